//! What of a finished image changes when it stands at other addresses: how an image is stored, and used again elsewhere.
//!
//! **You give** [`Link::finalize_seen`](crate::Link::finalize_seen) a closure, which sees the written bytes before they are final. **You get**
//! [`Moving`]: for each field that holds an address or a distance, which of the image's *anchors* it is counted from. Fields of four or eight bytes hold what was linked, so
//! that a field needs nothing but its place; of one that is some bits of an instruction, the whole value is noted beside the place. Whoever knows by how much each anchor
//! has moved adds that ([`Group::apply`]), and has the bytes that a
//! link at the new place would have written. **Not here:** files, and what an external is called: whoever binds a link knows it.
//!
//! A link that nobody sees pays nothing: this is a second walk over the edges, not a part of the first.

mod walk;

use crate::arch::{Field as Width, Fixup, Machine};
use crate::fixup::{self, Operands};
use crate::graph::EdgeKind;
use crate::memory::{InFlight, Request, ThreadLocalRequest};
use crate::write::Target;
use walk::Walk;

/// Tells this linker from every other one: what is stored is good for the linker that made it.
pub const LINKER: &str = env!("JITLINK_SOURCES");

/// What an address is counted from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Anchor {
    /// Nothing: a constant.
    Fixed,
    /// The first byte of a segment of the image.
    Segment(u8),
    /// The first byte of the image's thread-local storage, as [`ThreadLocal::address`](crate::memory::ThreadLocal::address) counts.
    ThreadLocal,
    /// The number of the module of the image's thread-local storage.
    Module,
    /// The offset of that storage in its module.
    ModuleOffset,
    /// An external, by its number among those that [`Link::asked`](crate::Link::asked) names.
    External(u32),
}

/// What a field is, and what it can hold.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Field {
    /// Eight bytes, any value.
    Word,
    /// Four bytes, `-2^31 ..= 2^31 - 1`.
    Signed,
    /// Four bytes, `0 ..= 2^32 - 1`.
    Unsigned,
    /// Four bytes, modulo 2^32.
    Wrapping,
    /// The field of this row of the machine's: bits of an instruction, or data of another width.
    Row(EdgeKind),
}

impl Field {
    /// Those that are the same on every machine.
    const PLAIN: [Self; 4] = [Self::Word, Self::Signed, Self::Unsigned, Self::Wrapping];

    /// A number to store it by.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::Word => 0,
            Self::Signed => 1,
            Self::Unsigned => 2,
            Self::Wrapping => 3,
            Self::Row(kind) => Self::PLAIN.len() as u16 + u16::from(kind.0),
        }
    }

    /// The field with this number; `None` where `machine` has no such row.
    #[must_use]
    pub fn numbered(machine: &Machine, number: u16) -> Option<Self> {
        match number.checked_sub(Self::PLAIN.len() as u16) {
            None => Self::PLAIN.get(usize::from(number)).copied(),
            Some(row) if usize::from(row) < machine.fixups.len() => Some(Self::Row(EdgeKind(row as u8))),
            Some(_) => None,
        }
    }
}

/// Fields of one segment that move alike: with `plus`, against `minus`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// The segment that they are in.
    pub segment: u8,
    /// What they are.
    pub field: Field,
    /// What is added in them.
    pub plus: Anchor,
    /// What is subtracted in them.
    pub minus: Anchor,
    /// Where they are, as [`Group::apply`] reads it: the distance of each from the one before, in zigzag LEB128; behind that of a field whose bits do not tell it, its value.
    pub places: Vec<u8>,
}

/// Why fields could not be changed. Those before the one at fault are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ApplyError {
    /// What a field would hold does not fit it: something is out of reach from the new place.
    #[error("the field at offset {offset:#x} cannot hold {value:#x}")]
    OutOfRange {
        /// Offset in the segment.
        offset: usize,
        /// What it would hold.
        value: i64,
    },
    /// The list of places is damaged, or not of this segment.
    #[error("a list of places is damaged")]
    Places,
}

/// By how much anchors have moved: that which is added, and that which is subtracted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moved {
    /// What is added.
    pub plus: u64,
    /// What is subtracted.
    pub minus: u64,
}

impl Group {
    /// Moves each field of `places` in `bytes`, the content of a segment of an image for `machine`.
    ///
    /// Segments move by whole pages: of distances between pages of one segment it is not noted that they are there.
    ///
    /// # Errors
    /// When a value does not fit, or `places` names no field of `bytes`.
    pub fn apply(
        machine: &Machine,
        places: &[u8],
        field: Field,
        bytes: &mut [u8],
        moved: Moved,
    ) -> Result<(), ApplyError> {
        let delta = moved.plus.wrapping_sub(moved.minus) as i64;
        let mut places = Places { at: 0, rest: places };
        while let Some(at) = places.next()? {
            let here = bytes.get_mut(at..).ok_or(ApplyError::Places)?;
            if field == Field::Word {
                let here: &mut [u8; 8] = here.first_chunk_mut().ok_or(ApplyError::Places)?;
                *here = i64::from_le_bytes(*here).wrapping_add(delta).to_le_bytes();
                continue;
            }
            if let Field::Row(kind) = field {
                move_row(machine.fixup(kind), &mut places, (at, here), moved)?;
                continue;
            }
            let here: &mut [u8; 4] = here.first_chunk_mut().ok_or(ApplyError::Places)?;
            let old = match field {
                Field::Unsigned => i64::from(u32::from_le_bytes(*here)),
                _ => i64::from(i32::from_le_bytes(*here)),
            };
            let value = old.wrapping_add(delta);
            let fits = match field {
                Field::Signed => i32::try_from(value).is_ok(),
                Field::Unsigned => u32::try_from(value).is_ok(),
                _ => true,
            };
            if !fits {
                return Err(ApplyError::OutOfRange { offset: at, value });
            }
            *here = (value as u32).to_le_bytes();
        }
        Ok(())
    }
}

/// A list of places while it is read.
struct Places<'a> {
    at: usize,
    rest: &'a [u8],
}

impl Places<'_> {
    fn next(&mut self) -> Result<Option<usize>, ApplyError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let step = read_signed(&mut self.rest).ok_or(ApplyError::Places)?;
        let backward = || self.at.checked_sub(usize::try_from(step.unsigned_abs()).ok()?);
        let at = usize::try_from(step).map_or_else(|_| backward(), |step| self.at.checked_add(step));
        self.at = at.ok_or(ApplyError::Places)?;
        Ok(Some(self.at))
    }
}

/// Moves one field of a row, `here`, which is at offset `at`.
fn move_row(
    row: &'static Fixup,
    places: &mut Places<'_>,
    (offset, here): (usize, &mut [u8]),
    moved: Moved,
) -> Result<(), ApplyError> {
    let delta = moved.plus.wrapping_sub(moved.minus) as i64;
    let value = match is_noted(row) {
        true => read_signed(&mut places.rest).ok_or(ApplyError::Places)?.wrapping_add(delta),
        false => delta,
    };
    let out_of_range = Err(ApplyError::OutOfRange { offset, value });
    // The page of what is subtracted has moved as that has.
    if row.expr.is_of_pages() && moved.minus & OFFSET_IN_PAGE != 0 {
        return out_of_range;
    }
    match fixup::rewrite(row, here, cut(row, value)) {
        Ok(()) => Ok(()),
        Err(fixup::FixupError::OutOfBlock { .. }) => Err(ApplyError::Places),
        Err(_) => out_of_range,
    }
}

const OFFSET_IN_PAGE: u64 = 0xfff;

/// The value of a row, of what is noted of it: distances of pages are noted with what stands in the first page.
fn cut(row: &Fixup, noted: i64) -> i64 {
    if row.expr.pages().0 { noted & !(OFFSET_IN_PAGE as i64) } else { noted }
}

/// Whether the value of a row is noted: what is added in place is moved without it.
fn is_noted(row: &Fixup) -> bool {
    !matches!(row.field, Width::Added(_) | Width::Subtracted(_))
}

/// What is noted of a row that was written with `operands`, with what its rewrite adds.
fn noted(row: &Fixup, operands: &Operands) -> i64 {
    let bias = row.rewrite.map_or(0, |rewrite| i64::from(rewrite.bias));
    let cut_off = if row.expr.pages().0 { operands.added(row) & OFFSET_IN_PAGE } else { 0 };
    operands.value(row).wrapping_add(bias).wrapping_add_unsigned(cut_off)
}

/// What moves in a finished image.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Moving {
    /// Every field that moves, in groups; equal links give equal groups in equal order.
    pub groups: Vec<Group>,
    /// What each external was, by its number: an address, or what stands for one when it is thread-local.
    pub externals: Vec<u64>,
    /// The anchor of each block, by its index: `Fixed` for those that are not placed.
    pub blocks: Vec<Anchor>,
    /// The anchor of stubs, which are what indirect functions are everywhere.
    pub stubs: Option<Anchor>,
}

/// A link whose bytes are written and not final.
pub struct Written<'a, 'data, M> {
    pub(crate) target: &'a Target<'a, 'data>,
    pub(crate) memory: &'a mut M,
    pub(crate) low: bool,
    pub(crate) thread_local: Option<ThreadLocalRequest>,
    /// Externals that were asked for.
    pub(crate) has_siblings: bool,
}

impl<M> std::fmt::Debug for Written<'_, '_, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Written").field("segments", &self.target.layout.segments).finish_non_exhaustive()
    }
}

impl<M: InFlight> Written<'_, '_, M> {
    /// What was asked of the memory.
    #[must_use]
    pub fn request(&self) -> Request<'_> {
        Request { segments: &self.target.layout.segments, low: self.low, thread_local: self.thread_local }
    }

    /// The address of a segment.
    #[must_use]
    pub fn address(&self, segment: usize) -> u64 {
        self.target.bases.get(segment).copied().unwrap_or(0)
    }

    /// Where the image's thread-local storage is.
    #[must_use]
    pub fn thread_local(&self) -> Option<crate::memory::ThreadLocal> {
        self.target.known.own
    }

    /// The content of a segment.
    pub fn content(&mut self, segment: usize) -> &[u8] {
        let size = self.target.layout.segments[segment].content_size as usize;
        &self.memory.bytes(segment)[..size]
    }

    /// What moves in it.
    ///
    /// # Errors
    /// Why that cannot be said of this image, in words that follow "it has".
    pub fn moving(&self) -> Result<Moving, &'static str> {
        Walk::new(self.target, self.has_siblings).walk()
    }
}

/// Appends a number in zigzag LEB128.
fn write_signed(out: &mut Vec<u8>, value: i64) {
    let mut rest = (value.wrapping_shl(1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Reads what [`write_signed`] wrote.
#[inline]
fn read_signed(bytes: &mut &[u8]) -> Option<i64> {
    let (mut value, mut shift) = (0u64, 0);
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        let mut bytes = Vec::new();
        let numbers = [0, 1, -1, 63, 64, -64, -65, 8, 1 << 20, -(1 << 40), i64::MAX, i64::MIN];
        numbers.iter().for_each(|number| write_signed(&mut bytes, *number));
        let mut rest = &*bytes;
        let read: Vec<i64> = numbers.iter().filter_map(|_| read_signed(&mut rest)).collect();
        assert_eq!((read, rest.len()), (numbers.to_vec(), 0));
        assert_eq!(read_signed(&mut &[0x80u8; 20][..]), None);
    }

    #[test]
    fn places_outside_and_values_that_do_not_fit_are_refused() {
        let machine = &crate::arch::x86_64::MACHINE;
        let apply = |places: &[u8], field, bytes: &mut [u8], delta: i64| {
            Group::apply(machine, places, field, bytes, Moved { plus: delta as u64, minus: 0 })
        };
        let places = |all: &[usize]| {
            let (mut out, mut last) = (Vec::new(), 0);
            for place in all {
                write_signed(&mut out, *place as i64 - last);
                last = *place as i64;
            }
            out
        };
        let mut bytes = [0u8; 16];
        assert_eq!(apply(&places(&[8, 0]), Field::Word, &mut bytes, -2), Ok(()));
        assert_eq!(bytes, [254, 255, 255, 255, 255, 255, 255, 255, 254, 255, 255, 255, 255, 255, 255, 255]);
        assert_eq!(apply(&places(&[9]), Field::Word, &mut bytes, 1), Err(ApplyError::Places));
        assert_eq!(apply(&places(&[usize::MAX >> 1]), Field::Signed, &mut bytes, 1), Err(ApplyError::Places));
        assert_eq!(apply(&[0x01], Field::Signed, &mut bytes, 1), Err(ApplyError::Places), "before the start");
        assert_eq!(apply(&[0x80], Field::Signed, &mut bytes, 1), Err(ApplyError::Places), "cut off");
        let out_of_range = Err(ApplyError::OutOfRange { offset: 0, value: i64::from(i32::MIN) - 1 });
        bytes = [0; 16];
        bytes[..4].copy_from_slice(&i32::MIN.to_le_bytes());
        assert_eq!(apply(&places(&[0]), Field::Signed, &mut bytes, -1), out_of_range);
        assert_eq!(apply(&places(&[0]), Field::Wrapping, &mut bytes, -1), Ok(()));
        assert_eq!(bytes[..4], i32::MAX.to_le_bytes());
        bytes[..4].copy_from_slice(&[0; 4]);
        assert!(apply(&places(&[0]), Field::Unsigned, &mut bytes, -1).is_err());
        assert_eq!(apply(&places(&[0]), Field::Unsigned, &mut bytes, i64::from(u32::MAX)), Ok(()));
    }

    #[test]
    fn bits_of_instructions_are_written_from_the_value_that_was_noted() {
        use crate::arch::aarch64::{MACHINE, kind};
        let page = Field::Row(kind::PAGE21);
        let mut places = Vec::new();
        // adrp x0, of something 0xff8 bytes into the next page but one.
        [4, 0x2ff8].iter().for_each(|number| write_signed(&mut places, *number));
        let adrp = |pages: u32| 0x9000_0000_u32 | (pages & 3) << 29 | (pages >> 2) << 5;
        let moved = |plus, minus| {
            let mut bytes = [0; 8];
            bytes[4..].copy_from_slice(&adrp(2).to_le_bytes());
            Group::apply(&MACHINE, &places, page, &mut bytes, Moved { plus, minus })
                .map(|()| u32::from_le_bytes(*bytes[4..].first_chunk().expect("four")))
        };
        assert_eq!(moved(0, 0), Ok(adrp(2)));
        assert_eq!(moved(7, 0), Ok(adrp(2)), "the same page");
        assert_eq!(moved(8, 0), Ok(adrp(3)), "the next one");
        assert_eq!(moved(0x1008, 0x1000), Ok(adrp(3)));
        assert!(matches!(moved(0, 8), Err(ApplyError::OutOfRange { offset: 4, .. })), "it was in another page");
        assert!(matches!(moved(1 << 40, 0), Err(ApplyError::OutOfRange { offset: 4, .. })));
        let cut_off = &places[..places.len() - 3];
        let applied = Group::apply(&MACHINE, cut_off, page, &mut [0; 8], Moved { plus: 1, minus: 0 });
        assert_eq!(applied, Err(ApplyError::Places), "the value is missing");
        assert_eq!(Field::numbered(&MACHINE, page.number()), Some(page));
        assert_eq!(Field::numbered(&MACHINE, 4 + MACHINE.fixups.len() as u16), None);
        assert_eq!(
            (0..4).map(|number| Field::numbered(&MACHINE, number)).collect::<Option<Vec<_>>>().as_deref(),
            Some(&Field::PLAIN[..])
        );
    }
}
