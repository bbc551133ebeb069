//! Groups and sections.

use super::{Fate, LE, Reader};
use crate::graph::{Content, GroupOutcome, InitKind, Prot, Section, SectionFlags, SectionKind};
use crate::object::{ObjectError, ObjectProblem};
use object::elf;
use object::read::elf::{FileHeader, SectionHeader, Sym};
use object::{LittleEndian, SectionIndex, SymbolIndex};

/// `SHT_X86_64_UNWIND` (psABI 4.2): `.eh_frame` under clang and the Solaris tools.
const UNWIND: u32 = 0x7000_0001;
/// `SHF_X86_64_LARGE` (psABI 4.2).
const LARGE: u64 = 0x1000_0000;

/// Zeros cost no bytes in a file, so that a damaged size is not found by looking there. No process has more addresses than this.
pub(super) const MAX_ZEROS: u64 = 1 << 47;
/// What the gABI leaves open: beyond the largest page there is nothing to gain from alignment.
pub(super) const MAX_ALIGN: u64 = 1 << 30;

impl<'data, Elf: FileHeader<Endian = LittleEndian>> Reader<'_, 'data, Elf> {
    /// Settles which groups of this object are kept, before any of its sections is looked at.
    pub(super) fn read_groups(&mut self) -> Result<(), ObjectError> {
        let headers: Vec<_> = self.sections.enumerate().collect();
        for (index, header) in headers {
            if header.sh_type(LE) != elf::SHT_GROUP {
                continue;
            }
            let group = header.group(LE, self.data).map_err(|error| self.malformed(index, None, error.to_string()))?;
            let Some((flags, members)) = group else { continue };
            self.claim(index, size_of_val(members) as u64)?;
            let signature = self.group_signature(index, header)?;
            let comdat = flags.0 & elf::GRP_COMDAT.0 != 0;
            let outcome = self.graph.offer_group(signature, comdat, self.object);
            for member in members {
                let member = member.get(LE) as usize;
                if member == 0 || member >= self.fates.len() {
                    return Err(self.malformed(index, None, format!("group member {member} is not a section")));
                }
                if self.groups[member].is_some() || self.fates[member] == Fate::Dropped {
                    let what = format!("group member {member} is a member of a group already");
                    return Err(self.malformed(index, None, what));
                }
                match outcome {
                    GroupOutcome::Kept(group) => self.groups[member] = Some(group),
                    GroupOutcome::Dropped(_) => self.fates[member] = Fate::Dropped,
                }
            }
        }
        Ok(())
    }

    fn group_signature(&self, index: SectionIndex, header: &Elf::SectionHeader) -> Result<&'data [u8], ObjectError> {
        let malformed = |error: object::read::Error| self.malformed(index, None, error.to_string());
        let symbol = self.symbols.symbol(SymbolIndex(header.sh_info(LE) as usize)).map_err(malformed)?;
        if symbol.st_type() != elf::STT_SECTION || symbol.st_name(LE) != 0 {
            return self.symbols.symbol_name(LE, symbol).map_err(malformed);
        }
        // `ld -r` may leave a section symbol as the signature: the name is then that of its section.
        let number = SymbolIndex(header.sh_info(LE) as usize);
        let section = self.symbols.symbol_section(LE, symbol, number).map_err(malformed)?;
        let header = self.sections.section(section.unwrap_or(SectionIndex(0))).map_err(malformed)?;
        self.sections.section_name(LE, header).map_err(malformed)
    }

    /// What depends on a dropped section (`SHF_LINK_ORDER`) is dropped with it, and what depends on that, too.
    pub(super) fn drop_dependents(&mut self) {
        if !self.fates.contains(&Fate::Dropped) {
            return;
        }
        let depends = |header: &Elf::SectionHeader| {
            let flags: u64 = header.sh_flags(LE).0;
            flags & elf::SHF_LINK_ORDER.0 != 0
        };
        let ordered = self.sections.enumerate().filter(|(_, header)| depends(header));
        let mut dependents: Vec<_> = ordered.map(|(index, header)| (header.sh_link(LE) as usize, index.0)).collect();
        dependents.sort_unstable();
        let dropped = |(index, fate): (usize, &Fate)| (*fate == Fate::Dropped).then_some(index);
        let mut work: Vec<usize> = self.fates.iter().enumerate().filter_map(dropped).collect();
        while let Some(section) = work.pop() {
            let start = dependents.partition_point(|(to, _)| *to < section);
            for (_, dependent) in dependents[start..].iter().take_while(|(to, _)| *to == section) {
                if self.fates[*dependent] != Fate::Dropped {
                    self.fates[*dependent] = Fate::Dropped;
                    work.push(*dependent);
                }
            }
        }
    }

    /// Turns loaded sections into blocks.
    pub(super) fn read_sections(&mut self) -> Result<(), ObjectError> {
        let sections = self.sections;
        for (index, header) in sections.enumerate() {
            let kind = header.sh_type(LE);
            if matches!(kind, elf::SHT_RELA | elf::SHT_REL | elf::SHT_CREL) {
                self.note_relocations(index, header)?;
                continue;
            }
            let flags: u64 = header.sh_flags(LE).0;
            if flags & elf::SHF_ALLOC.0 == 0 || self.fates[index.0] == Fate::Dropped {
                continue;
            }
            if matches!(
                kind,
                elf::SHT_NULL | elf::SHT_SYMTAB | elf::SHT_STRTAB | elf::SHT_GROUP | elf::SHT_SYMTAB_SHNDX
            ) {
                continue;
            }
            self.read_section(index, header, flags)?;
        }
        self.link_sections();
        Ok(())
    }

    fn note_relocations(&mut self, index: SectionIndex, header: &Elf::SectionHeader) -> Result<(), ObjectError> {
        let target = header.sh_info(LE) as usize;
        // Number 0 stands for no section; those of sections that are not loaded may be as they like.
        let section = self.sections.section(SectionIndex(target)).ok().filter(|_| target != 0);
        let Some(section) = section else {
            return Err(self.malformed(index, None, format!("sh_info {target} is not a section")));
        };
        let flags: u64 = section.sh_flags(LE).0;
        if flags & elf::SHF_ALLOC.0 == 0 {
            return Ok(());
        }
        let first = std::mem::replace(&mut self.relocations[target], index.0 as u32);
        if first != 0 {
            let what =
                format!("a second relocation section for section number {target}, after number {first}: not supported");
            return Err(self.malformed(index, None, what));
        }
        Ok(())
    }

    fn read_section(
        &mut self,
        index: SectionIndex,
        header: &'data Elf::SectionHeader,
        bits: u64,
    ) -> Result<(), ObjectError> {
        let has = |flag: u64| bits & flag != 0;
        let name =
            self.sections.section_name(LE, header).map_err(|error| self.malformed(index, None, error.to_string()))?;
        if has(elf::SHF_COMPRESSED.0) {
            return Err(self.malformed(index, None, "a loaded section cannot be compressed (gABI SHF_COMPRESSED)"));
        }

        let size: u64 = header.sh_size(LE).into();
        let align: u64 = header.sh_addralign(LE).into();
        let align = align.max(1);
        if !align.is_power_of_two() || align > MAX_ALIGN {
            return Err(self.malformed(index, None, format!("alignment {align:#x} is not a power of two up to 1 GiB")));
        }
        let sh_type = header.sh_type(LE);
        let content = if sh_type == elf::SHT_NOBITS {
            if size > MAX_ZEROS {
                return Err(self.malformed(
                    index,
                    None,
                    format!("{size:#x} zeros are more than an address space holds"),
                ));
            }
            Content::Zero
        } else {
            let bytes = header.data(LE, self.data).map_err(|_| {
                let offset: u64 = header.sh_offset(LE).into();
                let end = offset.saturating_add(size);
                let what =
                    format!("its bytes {offset:#x}..{end:#x} lie outside the file, which has {:#x}", self.data.len());
                self.malformed(index, None, what)
            })?;
            self.claim(index, size)?;
            self.surplus.content(index.0, bytes).map_or(Content::Bytes(bytes), Content::Owned)
        };
        let size = self.surplus.moved(index.0, size);
        let align = align.max(self.surplus.align(index.0));
        if size > u64::from(u32::MAX) && content != Content::Zero {
            return Err(self.malformed(index, None, format!("{size:#x} bytes of content; 4 GiB is the limit")));
        }

        let kind = kind_of(name, sh_type);
        let mut flags = SectionFlags::empty();
        flags.set(SectionFlags::MERGE, has(elf::SHF_MERGE.0));
        flags.set(SectionFlags::STRINGS, has(elf::SHF_STRINGS.0));
        flags.set(SectionFlags::TLS, has(elf::SHF_TLS.0));
        flags.set(SectionFlags::RETAIN, has(elf::SHF_GNU_RETAIN.0));
        flags.set(SectionFlags::LINK_ORDER, has(elf::SHF_LINK_ORDER.0));
        flags.set(SectionFlags::LARGE, has(LARGE));
        let write = has(elf::SHF_WRITE.0);
        let exec = has(elf::SHF_EXECINSTR.0);
        if write && exec {
            return Err(self.fail_at(index, None, ObjectProblem::WritableAndExecutable));
        }
        // Arrays of initializers and .data.rel.ro are written by relocation only: read-only once that is done, as a
        // dynamic loader does for PT_GNU_RELRO.
        let relro = name.starts_with(b".data.rel.ro") || matches!(kind, SectionKind::Initializers(_));
        flags.set(SectionFlags::RELRO, write && relro && content != Content::Zero);
        let prot = match (write && !flags.contains(SectionFlags::RELRO), exec) {
            (true, _) => Prot::READ | Prot::WRITE,
            (_, true) => Prot::READ | Prot::EXEC,
            _ => Prot::READ,
        };
        let entry_size: u64 = header.sh_entsize(LE).into();
        let group = self.groups[index.0];
        let section = self.graph.add_section(Section {
            name,
            object: self.object,
            prot,
            flags,
            kind,
            entry_size: u32::try_from(entry_size).unwrap_or(0),
            group,
            linked_to: None,
            number: index.0 as u32,
        });
        let block = self.graph.add_block(section, content, size, align);
        if let Some(group) = group {
            self.graph.add_to_group(group, block);
        }
        self.fates[index.0] = Fate::Loaded(block);
        Ok(())
    }

    /// `SHF_LINK_ORDER`: now that every section has its block.
    fn link_sections(&mut self) {
        for (index, block) in self.loaded() {
            let section = self.graph.block(block).section;
            if !self.graph.section(section).flags.contains(SectionFlags::LINK_ORDER) {
                continue;
            }
            let linked = self.link_of(index).and_then(|link| self.section_fate(link));
            // gABI: sh_link 0 stands for "no particular section": an ordinary section then.
            match linked {
                Some(Fate::Loaded(to)) => self.graph.sections[section.index()].linked_to = Some(to),
                _ => self.graph.sections[section.index()].flags.remove(SectionFlags::LINK_ORDER),
            }
        }
    }
}

/// What a section is for: by type where the gABI gives one, by name where there is only custom (`.ctors`, `.eh_frame`).
fn kind_of(name: &[u8], sh_type: elf::SectionType) -> SectionKind {
    let numbered = |prefix: &[u8]| -> Option<Option<u16>> {
        let rest = name.strip_prefix(prefix)?;
        match rest.split_first() {
            None => Some(None),
            Some((b'.', digits)) => std::str::from_utf8(digits).ok()?.parse().ok().map(Some),
            _ => None,
        }
    };
    let init = |kind| SectionKind::Initializers(kind);
    // Most sections are `.text.NAME`, `.rodata.NAME` and `.data.NAME`: two bytes tell most of them from those below.
    let custom = matches!(name, [b'.', b'c' | b'd' | b'e' | b'f' | b'i' | b'p', ..]);
    if !custom && sh_type == elf::SHT_PROGBITS {
        return SectionKind::Regular;
    }
    if sh_type.0 == UNWIND || name == b".eh_frame" {
        return SectionKind::EhFrame;
    }
    if sh_type == elf::SHT_PREINIT_ARRAY || name == b".preinit_array" {
        return init(InitKind::Preinit);
    }
    let unsuffixed = |n: Option<u16>| n.unwrap_or(u16::MAX);
    let inverted = |n: Option<u16>| n.map_or(u16::MAX, |n| u16::MAX - n);
    if let Some(n) = numbered(b".init_array") {
        return init(InitKind::Init { priority: unsuffixed(n) });
    }
    if let Some(n) = numbered(b".fini_array") {
        return init(InitKind::Fini { priority: unsuffixed(n) });
    }
    if let Some(n) = numbered(b".ctors") {
        return init(InitKind::Ctors { priority: inverted(n) });
    }
    if let Some(n) = numbered(b".dtors") {
        return init(InitKind::Dtors { priority: inverted(n) });
    }
    match sh_type {
        elf::SHT_INIT_ARRAY => init(InitKind::Init { priority: u16::MAX }),
        elf::SHT_FINI_ARRAY => init(InitKind::Fini { priority: u16::MAX }),
        _ => SectionKind::Regular,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initializer_sections_are_known_by_name_and_by_type() {
        let progbits = elf::SHT_PROGBITS;
        let kind = |name: &str, ty| kind_of(name.as_bytes(), ty);
        let init = |kind| SectionKind::Initializers(kind);
        assert_eq!(kind(".init_array", elf::SHT_INIT_ARRAY), init(InitKind::Init { priority: 65535 }));
        assert_eq!(kind(".init_array.00101", elf::SHT_INIT_ARRAY), init(InitKind::Init { priority: 101 }));
        assert_eq!(kind(".init_array.7", progbits), init(InitKind::Init { priority: 7 }));
        assert_eq!(kind(".ctors.65434", progbits), init(InitKind::Ctors { priority: 101 }));
        assert_eq!(kind(".dtors", progbits), init(InitKind::Dtors { priority: 65535 }));
        assert_eq!(kind(".preinit_array", elf::SHT_PREINIT_ARRAY), init(InitKind::Preinit));
        assert_eq!(kind("mine", elf::SHT_FINI_ARRAY), init(InitKind::Fini { priority: 65535 }));
        assert_eq!(kind(".ctors_of_mine", progbits), SectionKind::Regular);
        assert_eq!(kind(".init_array.x", progbits), SectionKind::Regular);
        assert_eq!(kind(".eh_frame", progbits), SectionKind::EhFrame);
    }
}
