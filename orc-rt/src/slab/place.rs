//! Where in the address space a reservation goes.

use crate::memory::Reach;
use crate::sys::{self, pages::Pages};
use std::io;
use std::ops::Range;

/// Left free below the lowest library near us, so that libraries that are loaded later come near as well.
const HEADROOM: u64 = 256 << 20;
/// End of what absolute 32-bit addresses reach whether they are sign-extended or not.
const LOW_END: u64 = 1 << 31;
/// Another thread may map something between our look at the address space and our reservation; an emulator has mappings of its own that no list shows.
const TRIES: usize = 8;

/// Reserves `size` bytes at a multiple of `align` where `reach` wants them.
pub(crate) fn reserve(size: u64, align: u64, reach: Reach) -> io::Result<Pages> {
    let mut failure = io::Error::from_raw_os_error(libc::ENOMEM);
    let mut refused: Vec<Range<u64>> = Vec::new();
    for _ in 0..TRIES {
        let Ok(mut free) = sys::free_ranges() else { break };
        refused.iter().for_each(|range| take_out(&mut free, range));
        let chosen = match reach {
            Reach::Near => near(&free, size, align, sys::libc_anchor()),
            Reach::Low => low(&free, size, align),
        };
        let Some(base) = chosen else { break };
        match Pages::reserve_at(base, size) {
            Ok(pages) => return Ok(pages),
            Err(error) => {
                let raced = error.raw_os_error() == Some(libc::EEXIST);
                failure = error;
                if !raced {
                    break;
                }
                refused.push(base..base + size);
            }
        }
    }
    match reach {
        // Far from libc is still good: calls go through stubs and data through the GOT.
        Reach::Near => Pages::reserve_anywhere(size, align),
        Reach::Low => Err(failure),
    }
}

/// Takes `range` out of what is free.
fn take_out(free: &mut Vec<Range<u64>>, range: &Range<u64>) {
    let rest = free.drain(..).flat_map(|gap| {
        let below = gap.start..gap.end.min(range.start);
        let above = gap.start.max(range.end)..gap.end;
        [below, above].into_iter().filter(|part| !part.is_empty())
    });
    *free = rest.collect();
}

/// The place whose farther end is closest to `anchor`.
fn near(free: &[Range<u64>], size: u64, align: u64, anchor: u64) -> Option<u64> {
    free.iter()
        .filter_map(|gap| {
            if gap.end <= anchor {
                from_top(gap, size, align, HEADROOM).or_else(|| from_top(gap, size, align, 0))
            } else {
                from_bottom(gap, size, align)
            }
        })
        .min_by_key(|&base| anchor.abs_diff(base).max(anchor.abs_diff(base + size)))
}

/// The highest place below 2 GiB: a program linked at a fixed low address has its heap above it.
fn low(free: &[Range<u64>], size: u64, align: u64) -> Option<u64> {
    free.iter().rev().find_map(|gap| from_top(&(gap.start..gap.end.min(LOW_END)), size, align, 0))
}

fn from_top(gap: &Range<u64>, size: u64, align: u64, headroom: u64) -> Option<u64> {
    let base = gap.end.checked_sub(headroom)?.checked_sub(size)? & !(align - 1);
    (base >= gap.start).then_some(base)
}

fn from_bottom(gap: &Range<u64>, size: u64, align: u64) -> Option<u64> {
    let base = gap.start.checked_next_multiple_of(align)?;
    (base.checked_add(size)? <= gap.end).then_some(base)
}

#[cfg(test)]
mod tests {
    use super::{HEADROOM, LOW_END, low, near, take_out};

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    #[test]
    fn near_goes_below_the_libraries_with_room_for_more() {
        let anchor = 100 * GIB;
        let free = [GIB..anchor - 16 * MIB, anchor + 4 * MIB..anchor + 8 * MIB];
        assert_eq!(near(&free, 512 * MIB, 2 * MIB, anchor), Some(anchor - 16 * MIB - HEADROOM - 512 * MIB));
    }

    #[test]
    fn near_goes_above_when_that_is_closer_or_all_there_is() {
        let anchor = 100 * GIB;
        let free = [GIB..anchor - 3 * GIB, anchor + 5 * MIB..anchor + 4 * GIB];
        assert_eq!(near(&free, 512 * MIB, 2 * MIB, anchor), Some(anchor + 6 * MIB));
    }

    #[test]
    fn near_uses_a_tight_gap_without_headroom() {
        let anchor = 100 * GIB;
        let free = &[GIB..2 * GIB, anchor - 600 * MIB..anchor - 80 * MIB][1..];
        assert_eq!(near(free, 512 * MIB, 2 * MIB, anchor), Some(anchor - 592 * MIB));
        assert_eq!(near(free, 600 * MIB, 2 * MIB, anchor), None);
    }

    #[test]
    fn what_was_refused_is_not_tried_again() {
        let mut free = vec![GIB..2 * GIB, 4 * GIB..5 * GIB];
        take_out(&mut free, &(2 * GIB - MIB..4 * GIB + MIB));
        assert_eq!(free, [GIB..2 * GIB - MIB, 4 * GIB + MIB..5 * GIB]);
        take_out(&mut free, &(GIB + MIB..GIB + 2 * MIB));
        assert_eq!(free, [GIB..GIB + MIB, GIB + 2 * MIB..2 * GIB - MIB, 4 * GIB + MIB..5 * GIB]);
        take_out(&mut free, &(0..8 * GIB));
        assert_eq!(free, []);
    }

    #[test]
    fn low_is_the_highest_place_below_two_gib() {
        let free = [MIB..64 * MIB, GIB..100 * GIB];
        assert_eq!(low(&free, 256 * MIB, GIB), Some(GIB));
        assert_eq!(low(&free, 256 * MIB, 2 * MIB), Some(LOW_END - 256 * MIB));
        assert_eq!(low(&free[..1], 256 * MIB, 2 * MIB), None);
    }
}
