//! The mappings of this process's address space, and the free parts between them.

use super::loaded;
use crate::machine::ADDRESS_LIMIT;
use crate::memory::Prot;
use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;

/// The lowest address that `vm.mmap_min_addr` usually allows.
const LOWEST: u64 = 1 << 16;
/// Room left for the main thread's stack to grow down, and for the break to grow up.
const GROWTH: u64 = 1 << 30;

/// Ranges of addresses without a mapping, ascending; the places where the stack and the heap will grow are left out.
pub(crate) fn free_ranges() -> io::Result<Vec<Range<u64>>> {
    Ok(gaps(&read()?))
}

/// The system's list. It has no size that could be asked for, and gives a page at most each time; each call makes the list up to there anew.
fn read() -> io::Result<String> {
    /// A process without many libraries has no more.
    const USUAL: usize = 16 << 10;
    let mut maps = String::with_capacity(USUAL);
    File::open("/proc/self/maps")?.read_to_string(&mut maps)?;
    Ok(maps)
}

/// One mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// Where it lies.
    pub(crate) range: Range<u64>,
    /// What may be done with it now.
    pub(crate) prot: Prot,
}

/// Every mapping, ascending.
pub(crate) fn mappings() -> io::Result<Vec<Mapping>> {
    let mut all: Vec<Mapping> = parse(&read()?).map(|(mapping, _)| mapping).collect();
    if loaded::is_emulated() {
        // An emulator's list tells code and read-only data in one line where they lie together (the host maps them alike), and calls it code.
        loaded::without_code().iter().for_each(|range| not_code(&mut all, range));
    }
    Ok(all)
}

/// Tells `range` apart in a mapping that says of it that it is code.
fn not_code(all: &mut Vec<Mapping>, range: &Range<u64>) {
    let Some(at) = all.iter().position(|mapping| mapping.range.start < range.end && range.start < mapping.range.end)
    else {
        return;
    };
    let Mapping { range: whole, prot } = all[at].clone();
    if !prot.contains(Prot::EXEC) {
        return;
    }
    let inner = whole.start.max(range.start)..whole.end.min(range.end);
    let parts = [(whole.start..inner.start, prot), (inner.clone(), prot - Prot::EXEC), (inner.end..whole.end, prot)];
    let parts = parts.into_iter().filter(|(range, _)| !range.is_empty());
    all.splice(at..=at, parts.map(|(range, prot)| Mapping { range, prot }));
}

/// Mappings, and the rest of their lines: offset, device, inode, name.
fn parse(maps: &str) -> impl Iterator<Item = (Mapping, &str)> {
    maps.lines().filter_map(|line| {
        let (start, rest) = line.split_once('-')?;
        let (end, rest) = rest.split_once(' ')?;
        let range = u64::from_str_radix(start, 16).ok()?..u64::from_str_radix(end, 16).ok()?;
        let mut prot = Prot::empty();
        let flags = rest.as_bytes();
        prot.set(Prot::READ, flags.first() == Some(&b'r'));
        prot.set(Prot::WRITE, flags.get(1) == Some(&b'w'));
        prot.set(Prot::EXEC, flags.get(2) == Some(&b'x'));
        Some((Mapping { range, prot }, rest))
    })
}

fn gaps(maps: &str) -> Vec<Range<u64>> {
    let mut free = Vec::new();
    let mut from = LOWEST;
    for (Mapping { range: Range { start, end }, .. }, rest) in parse(maps) {
        let until = if rest.ends_with("[stack]") { start.saturating_sub(GROWTH) } else { start }.min(ADDRESS_LIMIT);
        if from < until {
            free.push(from..until);
        }
        from = from.max(if rest.ends_with("[heap]") { end.saturating_add(GROWTH) } else { end });
    }
    if from < ADDRESS_LIMIT {
        free.push(from..ADDRESS_LIMIT);
    }
    free
}

#[cfg(test)]
mod tests {
    use super::{ADDRESS_LIMIT, GROWTH, LOWEST, Mapping, gaps, not_code, parse};
    use crate::memory::Prot;

    #[test]
    fn gaps_lie_between_mappings_and_leave_room_to_grow() {
        let maps = "\
55e21b389000-55e21b38b000 r--p 00000000 fe:00 247030  /usr/bin/cat
55e24a82f000-55e24a850000 rw-p 00000000 00:00 0       [heap]
7f41ee88e000-7f41ee8b0000 rw-p 00000000 00:00 0
7f41ee8b0000-7f41ee907000 r--p 00000000 fe:00 316534  /a file with spaces
7ffc88213000-7ffc88234000 rw-p 00000000 00:00 0       [stack]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]
";
        assert_eq!(
            gaps(maps),
            [
                LOWEST..0x55e2_1b38_9000,
                0x55e2_1b38_b000..0x55e2_4a82_f000,
                0x55e2_4a85_0000 + GROWTH..0x7f41_ee88_e000,
                0x7f41_ee90_7000..0x7ffc_8821_3000 - GROWTH,
                0x7ffc_8823_4000..ADDRESS_LIMIT,
            ]
        );
    }

    #[test]
    fn lines_that_say_nothing_are_passed_over() {
        assert_eq!(gaps("\nnonsense\nxx-yy zz\n"), gaps(""));
    }

    #[test]
    fn read_only_data_in_a_line_of_code_is_told_apart() {
        let code = Prot::READ | Prot::EXEC;
        let mapping = |range, prot| Mapping { range, prot };
        let before = [mapping(0x1000..0x9000, code), mapping(0x9000..0xa000, Prot::READ | Prot::WRITE)];
        let mut all = before.to_vec();
        not_code(&mut all, &(0x7000..0xa000));
        assert_eq!(all, [mapping(0x1000..0x7000, code), mapping(0x7000..0x9000, Prot::READ), before[1].clone()]);
        let known = all.clone();
        not_code(&mut all, &(0x8000..0x9000));
        not_code(&mut all, &(0xb000..0xc000));
        assert_eq!(all, known);
    }

    #[test]
    fn a_mapping_says_what_may_be_done_with_it() {
        let line = "7f41ee8b0000-7f41ee907000 r-xp 00000000 fe:00 316534  /a file\n";
        let found: Vec<_> = parse(line).map(|(mapping, _)| mapping).collect();
        assert_eq!(found, [Mapping { range: 0x7f41_ee8b_0000..0x7f41_ee90_7000, prot: Prot::READ | Prot::EXEC }]);
    }
}
