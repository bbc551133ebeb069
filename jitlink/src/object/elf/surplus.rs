//! Bytes that the linker has to delete: padding that assemblers made long enough for any place.
//!
//! Where linkers may shorten code, an assembler cannot know how much padding an aligned instruction needs, and leaves the most that it could ever be. How much it is here
//! is known as soon as the section is read, since nothing else is shortened and the section itself is aligned. Symbols, sizes and relocations behind it move.

use super::LE;
use super::sections::MAX_ALIGN;
use crate::arch::Machine;
use crate::reloc;
use crate::reloc::together::{Padding, Together};
use object::read::elf::{FileHeader, Rela, SectionHeader, SectionTable};
use object::{LittleEndian, SectionIndex, elf};

/// A run of bytes that is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cut {
    /// Where the padding began, and where what is left of it ends, in the file's section.
    padding: u64,
    start: u64,
    end: u64,
    /// Bytes that cuts before this one have taken.
    before: u64,
}

/// What is deleted of one section.
#[derive(Debug)]
struct Shortened {
    section: usize,
    align: u64,
    /// In order, none of them empty.
    cuts: Vec<Cut>,
}

/// What is deleted of an object's sections.
#[derive(Debug, Default)]
pub(crate) struct Surplus {
    /// By number of section.
    sections: Vec<Shortened>,
    fill: Option<fn(&mut [u8])>,
}

/// Where the padding is that cannot be shortened, and why.
#[derive(Debug)]
pub(crate) struct Unsound {
    pub(crate) section: SectionIndex,
    pub(crate) offset: Option<u64>,
    pub(crate) what: String,
}

impl Surplus {
    /// Of an object for `machine`: nothing for those that ask for nothing of the kind.
    pub(crate) fn read<Elf: FileHeader<Endian = LittleEndian>>(
        machine: &Machine,
        sections: &SectionTable<'_, Elf>,
        data: &[u8],
    ) -> Result<Self, Unsound> {
        match reloc::elf_together(machine) {
            None => Ok(Self::default()),
            Some(together) => Self::find(together, sections, data),
        }
    }

    fn find<Elf: FileHeader<Endian = LittleEndian>>(
        together: &'static Together,
        sections: &SectionTable<'_, Elf>,
        data: &[u8],
    ) -> Result<Self, Unsound> {
        let mut surplus = Self { sections: Vec::new(), fill: Some(together.fill) };
        let mut looked_at = 0;
        for (table, header) in sections.enumerate() {
            let index = SectionIndex(header.sh_info(LE) as usize);
            if header.sh_type(LE) != elf::SHT_RELA || index.0 == 0 {
                continue;
            }
            let Ok(section) = sections.section(index) else { continue };
            let flags: u64 = section.sh_flags(LE).0;
            if flags & elf::SHF_ALLOC.0 == 0 || section.sh_type(LE) == elf::SHT_NOBITS {
                continue;
            }
            // Whoever reads the table says what is wrong with it.
            let Ok(Some((entries, _))) = header.rela(LE, data) else { continue };
            looked_at += size_of_val(entries);
            if looked_at > data.len() {
                return Err(Unsound { section: table, offset: None, what: "relocation sections overlap".into() });
            }
            let mut paddings = Vec::new();
            for entry in entries {
                let offset: u64 = entry.r_offset(LE).into();
                let fail = |what| Unsound { section: index, offset: Some(offset), what };
                let padding = (together.padding)(entry.r_type(LE, false).0, entry.r_addend(LE).into());
                paddings.extend(padding.map_err(fail)?.map(|padding| (offset, padding)));
            }
            if !paddings.is_empty() {
                let shortened = Shortened::of(index, section.sh_size(LE).into(), paddings)?;
                surplus.sections.push(shortened);
            }
        }
        surplus.sections.sort_by_key(|shortened| shortened.section);
        Ok(surplus)
    }

    /// Whether nothing is.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }

    fn of(&self, section: usize) -> Option<&Shortened> {
        let at = self.sections.binary_search_by_key(&section, |shortened| shortened.section).ok()?;
        Some(&self.sections[at])
    }

    /// Where the byte at `offset` of the file's section is in the block.
    #[inline]
    pub(crate) fn moved(&self, section: usize, offset: u64) -> u64 {
        if self.sections.is_empty() {
            return offset;
        }
        self.of(section).map_or(offset, |shortened| shortened.moved(offset))
    }

    /// Where the byte at `offset` of the block is in the file's section: behind the padding that was deleted there.
    pub(crate) fn original(&self, section: usize, offset: u64) -> u64 {
        self.of(section).map_or(offset, |shortened| shortened.original(offset))
    }

    /// What the block is aligned to at least.
    pub(crate) fn align(&self, section: usize) -> u64 {
        self.of(section).map_or(1, |shortened| shortened.align)
    }

    /// The block's bytes, when they are not those of the file.
    pub(crate) fn content(&self, section: usize, bytes: &[u8]) -> Option<Box<[u8]>> {
        let shortened = self.of(section).filter(|shortened| !shortened.cuts.is_empty())?;
        let fill = self.fill?;
        let mut content = Vec::with_capacity(shortened.moved(bytes.len() as u64) as usize);
        let mut at = 0;
        for cut in &shortened.cuts {
            let kept = bytes.get(at..cut.start as usize)?;
            content.extend_from_slice(kept);
            let padding = content.len() - (cut.start - cut.padding) as usize;
            fill(&mut content[padding..]);
            at = cut.end as usize;
        }
        content.extend_from_slice(bytes.get(at..)?);
        Some(content.into())
    }
}

impl Shortened {
    fn of(section: SectionIndex, size: u64, mut paddings: Vec<(u64, Padding)>) -> Result<Self, Unsound> {
        paddings.sort_by_key(|(offset, _)| *offset);
        let (mut cuts, mut gone, mut end, mut largest) = (Vec::new(), 0, 0, 1);
        for (offset, Padding { align, bytes }) in paddings {
            let fail = |what| Err(Unsound { section, offset: Some(offset), what });
            if align > MAX_ALIGN {
                return fail(format!("alignment {align:#x} is larger than 1 GiB"));
            }
            if offset < end {
                return fail("padding inside of other padding".into());
            }
            end = match offset.checked_add(bytes) {
                Some(end) if end <= size => end,
                _ => return fail(format!("{bytes:#x} bytes of padding reach beyond the section's {size:#x} bytes")),
            };
            let start = offset - gone;
            let needed = start.next_multiple_of(align) - start;
            if needed > bytes {
                return fail(format!("{bytes} bytes of padding, and {needed} are needed to align to {align}"));
            }
            if needed < bytes {
                cuts.push(Cut { padding: offset, start: offset + needed, end, before: gone });
                gone += bytes - needed;
            }
            largest = largest.max(align);
        }
        Ok(Self { section: section.0, align: largest, cuts })
    }

    fn moved(&self, offset: u64) -> u64 {
        let number = self.cuts.partition_point(|cut| cut.start < offset);
        match number.checked_sub(1).map(|number| self.cuts[number]) {
            None => offset,
            Some(cut) if offset < cut.end => cut.start - cut.before,
            Some(cut) => offset - cut.before - (cut.end - cut.start),
        }
    }

    fn original(&self, offset: u64) -> u64 {
        let number = self.cuts.partition_point(|cut| cut.start - cut.before <= offset);
        let gone = number.checked_sub(1).map_or(0, |number| {
            let cut = self.cuts[number];
            cut.before + (cut.end - cut.start)
        });
        offset.saturating_add(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shortened(size: u64, paddings: &[(u64, u64, u64)]) -> Result<Shortened, String> {
        let paddings = paddings.iter().map(|&(offset, align, bytes)| (offset, Padding { align, bytes })).collect();
        Shortened::of(SectionIndex(1), size, paddings).map_err(|unsound| unsound.what)
    }

    #[test]
    fn what_is_behind_deleted_padding_moves_and_is_aligned() {
        let one = shortened(64, &[(2, 8, 6), (20, 16, 14), (40, 4, 2)]).expect("sound");
        assert_eq!(one.align, 16);
        // 2 + 6 is aligned already; 20 + 12 is; 38 + 2 is.
        assert_eq!(one.cuts, [Cut { padding: 20, start: 32, end: 34, before: 0 }]);
        for (before, after) in [(0, 0), (8, 8), (32, 32), (33, 32), (34, 32), (40, 38), (64, 62)] {
            assert_eq!(one.moved(before), after, "{before}");
        }
        for (after, before) in [(0, 0), (31, 31), (32, 34), (38, 40), (62, 64), (u64::MAX, u64::MAX)] {
            assert_eq!(one.original(after), before, "{after}");
        }
        let two = shortened(64, &[(4, 8, 6), (12, 8, 6), (20, 4, 2)]).expect("sound");
        // 4 + 4, 10 + 6, 18 + 2: the first loses two bytes, the others nothing.
        assert_eq!(two.cuts, [Cut { padding: 4, start: 8, end: 10, before: 0 }]);
        assert_eq!((two.moved(10), two.moved(18), two.moved(22)), (8, 16, 20));
    }

    #[test]
    fn padding_that_is_none_is_refused() {
        assert!(shortened(8, &[(4, 8, 6)]).expect_err("beyond the end").contains("beyond"));
        assert!(shortened(8, &[(u64::MAX, 8, 6)]).expect_err("beyond all ends").contains("beyond"));
        assert!(shortened(64, &[(4, 8, 6), (8, 8, 6)]).expect_err("overlap").contains("inside"));
        assert!(shortened(64, &[(2, 16, 6)]).expect_err("too short").contains("14 are needed"));
        assert!(shortened(64, &[(2, 1 << 40, 6)]).expect_err("too large").contains("1 GiB"));
    }

    #[test]
    fn what_is_left_of_padding_is_filled_anew() {
        let sections = vec![shortened(12, &[(2, 4, 6)]).expect("sound")];
        let surplus = Surplus { sections, fill: Some(|bytes| bytes.fill(9)) };
        let bytes = [1, 1, 7, 7, 7, 7, 7, 7, 2, 2, 2, 2];
        assert_eq!(surplus.content(1, &bytes).as_deref(), Some(&[1, 1, 9, 9, 2, 2, 2, 2][..]));
        assert_eq!(surplus.content(2, &bytes), None);
        assert_eq!((surplus.moved(1, 8), surplus.moved(2, 8), surplus.align(1), surplus.align(2)), (4, 8, 4, 1));
    }
}
