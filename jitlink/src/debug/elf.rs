//! The debug sections of one ELF object (gABI chapters "Sections" and "Relocation"; names of sections: DWARF 5, appendix B).

use super::{Input, Member, Merger, Piece};
use crate::arch::{Expr, Machine, TlsModel};
use crate::fixup::{self, Operands};
use crate::memory::ThreadLocal;
use crate::object::elf::{LabelsOf, Surplus};
use crate::object::{ObjectError, ObjectProblem};
use crate::reloc;
use crate::reloc::together::{Entry, Here, Settled, Unsettled};
use object::elf::{self, FileHeader64};
use object::read::CompressionFormat;
use object::read::elf::{CompressionHeader as _, ElfFile64, Rela as _, SectionHeader as _, Sym as _, SymbolTable};
use object::{LittleEndian as Le, Object as _, ObjectSection as _, SectionIndex, SymbolIndex};

/// Sections that say they are larger are not uncompressed.
const LARGEST: u64 = 1 << 30;

/// Nor are those that say they are so many times as large as what they were compressed to; real ones are by less than 50.
const RATIO: u64 = 2048;

/// Operations of DWARF expressions (DWARF 5, 7.7.1).
mod operation {
    pub(super) const CONST4U: u8 = 0x0c;
    pub(super) const CONST8U: u8 = 0x0e;
    pub(super) const NOP: u8 = 0x96;
    pub(super) const FORM_TLS_ADDRESS: u8 = 0x9b;
    pub(super) const GNU_PUSH_TLS_ADDRESS: u8 = 0xe0;
}

/// What a section of the object is by now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// Not in the output.
    Gone,
    /// In memory, at this address.
    Memory(u64),
    /// In a debug section.
    Debug(Piece),
}

/// A COMDAT group: its signature, the numbers of its sections.
type Group<'data> = (&'data [u8], Vec<usize>);

struct Reader<'a, 'data> {
    merger: &'a mut Merger,
    file: ElfFile64<'data, Le>,
    data: &'data [u8],
    name: &'a str,
    places: Vec<Place>,
    /// What is deleted of what is in memory.
    surplus: Surplus,
    /// By section number: a group that an earlier object has.
    dropped: Vec<bool>,
    /// Bytes of the file that sections which were read so far say are theirs.
    claimed: u64,
}

/// What is deleted of an object.
pub(super) fn surplus(machine: &Machine, bytes: &[u8]) -> Option<Surplus> {
    let file = ElfFile64::<Le>::parse(bytes).ok()?;
    Surplus::read(machine, file.elf_section_table(), bytes).ok()
}

pub(super) fn add(
    merger: &mut Merger,
    input: &Input<'_>,
    find: &dyn Fn(&[u8]) -> Option<u64>,
) -> Result<(), ObjectError> {
    let fail = |problem: String| ObjectError {
        object: input.name.to_owned(),
        section: None,
        offset: None,
        problem: ObjectProblem::Malformed(problem),
    };
    let file = ElfFile64::<Le>::parse(input.bytes).map_err(|error| fail(error.to_string()))?;
    let count = file.elf_section_table().len();
    let mut places = vec![Place::Gone; count];
    for &(number, address) in input.sections {
        let place = places.get_mut(number as usize);
        *place.ok_or_else(|| fail(format!("it has {count} sections, and what was linked had a number {number}")))? =
            Place::Memory(address);
    }
    let (name, data) = (input.name, input.bytes);
    let surplus = Surplus::read(merger.machine, file.elf_section_table(), data);
    let surplus = surplus.map_err(|unsound| fail(unsound.what))?;
    let mut reader = Reader { merger, file, data, name, places, surplus, dropped: vec![false; count], claimed: 0 };
    let groups = reader.read_groups()?;
    reader.read_sections()?;
    reader.apply_relocations(find)?;
    // Only now: an object that was refused keeps no group.
    for (signature, members) in groups {
        let members = members.into_iter().filter_map(|member| reader.member(member)).collect();
        reader.merger.groups.insert(signature.into(), members);
    }
    Ok(())
}

impl<'data> Reader<'_, 'data> {
    fn fail(&self, section: SectionIndex, offset: Option<u64>, problem: ObjectProblem) -> ObjectError {
        let name = self.file.section_by_index(section).ok().and_then(|section| section.name().ok().map(str::to_owned));
        ObjectError { object: self.name.to_owned(), section: name, offset, problem }
    }

    fn malformed(&self, section: SectionIndex, what: impl ToString) -> ObjectError {
        self.fail(section, None, ObjectProblem::Malformed(what.to_string()))
    }

    /// No byte of a file belongs to two sections, so that what is made of them stays in proportion to it.
    fn claim(&mut self, section: SectionIndex, size: usize) -> Result<(), ObjectError> {
        self.claimed = self.claimed.saturating_add(size as u64);
        if self.claimed <= self.data.len() as u64 {
            return Ok(());
        }
        Err(self.malformed(section, "debug sections overlap"))
    }

    /// Drops what an earlier object has; gives the groups that this one is the first to have, with their members.
    fn read_groups(&mut self) -> Result<Vec<Group<'data>>, ObjectError> {
        let mut new = Vec::new();
        let (sections, symbols) = (self.file.elf_section_table(), self.file.elf_symbol_table());
        let (sections, symbols) = (*sections, *symbols);
        for (index, header) in sections.enumerate().filter(|(_, header)| header.sh_type(Le) == elf::SHT_GROUP) {
            let group = header.group(Le, self.data).map_err(|error| self.malformed(index, error))?;
            let Some((flags, members)) = group else { continue };
            if flags.0 & elf::GRP_COMDAT.0 == 0 {
                continue;
            }
            let signature = symbols
                .symbol(SymbolIndex(header.sh_info(Le) as usize))
                .and_then(|symbol| symbols.symbol_name(Le, symbol))
                .map_err(|error| self.malformed(index, error))?;
            let members: Vec<usize> = members.iter().map(|member| member.get(Le) as usize).collect();
            if members.iter().any(|member| *member >= self.places.len()) {
                return Err(self.malformed(index, "a group member is not a section"));
            }
            let Some(kept) = self.merger.groups.get(signature) else {
                new.push((signature, members));
                continue;
            };
            for member in members {
                self.dropped[member] = true;
                // What refers to it means the earlier one's: macros of a header are imported so.
                let name = name_of(&self.file, SectionIndex(member));
                if let Some(same) = kept.iter().find(|one| Some(&*one.name) == name.as_deref()) {
                    self.places[member] = Place::Debug(same.at);
                }
            }
        }
        Ok(new)
    }

    /// The member of a new group, if it is a debug section.
    fn member(&self, section: usize) -> Option<Member> {
        let Place::Debug(at) = self.places[section] else { return None };
        Some(Member { name: name_of(&self.file, SectionIndex(section))?, at })
    }

    fn read_sections(&mut self) -> Result<(), ObjectError> {
        for index in (1..self.places.len()).map(SectionIndex) {
            if self.dropped[index.0] {
                continue;
            }
            let Some(name) = name_of(&self.file, index) else { continue };
            if !is_wanted(&name) {
                continue;
            }
            let section = self.file.section_by_index(index).map_err(|error| self.malformed(index, error))?;
            let flags: u64 = section.elf_section_header().sh_flags(Le).0;
            if name != SCRIPTS && flags & (elf::SHF_ALLOC.0 | elf::SHF_EXCLUDE.0) != 0 {
                continue;
            }
            let compressed = section.compressed_data().map_err(|error| self.malformed(index, error))?;
            let (size, in_file) = (compressed.uncompressed_size, compressed.data.len());
            let is_compressed = compressed.format != CompressionFormat::None;
            if is_compressed && (size > LARGEST || size > RATIO.saturating_mul(in_file as u64)) {
                return Err(self.malformed(index, format!("{in_file:#x} bytes are said to be {size:#x} uncompressed")));
            }
            // A compressed section is aligned for its own header; what it holds has another alignment (gABI "Section Compression").
            let header = section.elf_section_header();
            let inside = header.compression(Le, self.data).map_err(|error| self.malformed(index, error))?;
            let align = inside.map_or(section.align(), |(header, ..)| header.ch_addralign(Le)).max(1);
            let bytes = compressed.decompress().map_err(|error| self.malformed(index, error))?;
            self.claim(index, in_file)?;
            if !align.is_power_of_two() || align > 4096 {
                return Err(self.malformed(index, format!("alignment {align:#x} is none for debug information")));
            }
            if name == SCRIPTS {
                self.add_scripts(&bytes);
            } else {
                self.places[index.0] = Place::Debug(self.merger.append(&name, align, &bytes));
            }
        }
        Ok(())
    }

    /// What each unit of a language names, and a debugger is to load once.
    fn add_scripts(&mut self, bytes: &[u8]) {
        for entry in bytes.split_inclusive(|byte| *byte == 0).filter(|entry| entry.len() > 1) {
            if self.merger.scripts.insert(entry.into()) {
                self.merger.append(SCRIPTS, 1, entry);
            }
        }
    }

    fn apply_relocations(&mut self, find: &dyn Fn(&[u8]) -> Option<u64>) -> Result<(), ObjectError> {
        let (sections, symbols) = (*self.file.elf_section_table(), *self.file.elf_symbol_table());
        for (table, header) in sections.enumerate() {
            let index = SectionIndex(header.sh_info(Le) as usize);
            if header.sh_type(Le) != elf::SHT_RELA || self.dropped.get(index.0) != Some(&false) {
                continue;
            }
            let Some(Place::Debug(piece)) = self.places.get(index.0).copied() else { continue };
            let entries = header.rela(Le, self.data).map_err(|error| self.malformed(table, error))?;
            let Some((entries, of_symbols)) = entries else { continue };
            if of_symbols != symbols.section() {
                return Err(self.malformed(table, "sh_link is not the symbol table"));
            }
            self.claim(table, size_of_val(entries))?;
            let dead = tombstone(&self.merger.sections[piece.section].name);
            for Settled { offset, kind, symbol, addend } in self.settle(index, piece, &symbols, entries)? {
                let value = self.value(&symbols, SymbolIndex(symbol), find);
                let value = value.map_err(|error| self.malformed(table, error))?;
                self.apply(index, piece, offset, kind, value.map(|value| (value, addend)), dead)?;
            }
        }
        Ok(())
    }

    /// What the relocations of a debug section write.
    fn settle(
        &self,
        section: SectionIndex,
        piece: Piece,
        symbols: &SymbolTable<'data, FileHeader64<Le>>,
        entries: &[elf::Rela64<Le>],
    ) -> Result<Vec<Settled>, ObjectError> {
        let machine = self.merger.machine;
        let unknown = |entry: &Entry| {
            let name = reloc::elf_name(machine, entry.r_type);
            let problem = ObjectProblem::UnknownRelocation { name, symbol: String::new() };
            self.fail(section, Some(entry.offset), problem)
        };
        let entries = entries.iter().map(|entry| Entry {
            offset: entry.r_offset(Le),
            r_type: entry.r_type(Le, false).0,
            symbol: entry.r_sym(Le, false) as usize,
            addend: entry.r_addend(Le),
        });
        let Some(together) = reloc::elf_together(machine) else {
            let lookup = reloc::elf_lookup(machine);
            let settled = entries.map(|entry| {
                let Entry { offset, symbol, addend, .. } = entry;
                let row = lookup(entry.r_type).ok_or_else(|| unknown(&entry))?;
                Ok(Settled { offset, kind: row.kind, symbol, addend })
            });
            return settled.collect();
        };
        let labels = LabelsOf { symbols, surplus: &self.surplus };
        let content = &self.merger.sections[piece.section].bytes[piece.offset as usize..];
        let here = Here { section: section.0, content, labels: &labels };
        let mut settled = Vec::new();
        (together.settle)(&entries.collect::<Vec<_>>(), &here, &mut settled).map_err(|unsettled| match unsettled {
            Unsettled::Unknown(entry) => unknown(&entry),
            Unsettled::Malformed(offset, what) => self.fail(section, Some(offset), ObjectProblem::Malformed(what)),
        })?;
        Ok(settled)
    }

    /// S of a relocation; `None` for what is not linked.
    fn value(
        &self,
        symbols: &SymbolTable<'data, FileHeader64<Le>>,
        index: SymbolIndex,
        find: &dyn Fn(&[u8]) -> Option<u64>,
    ) -> object::Result<Option<u64>> {
        if index.0 == 0 {
            return Ok(Some(0));
        }
        let symbol = symbols.symbol(index)?;
        let section = symbols.symbol_section(Le, symbol, index)?;
        let value = symbol.st_value(Le);
        let here = section.and_then(|section| self.places.get(section.0)).copied();
        Ok(match here {
            Some(Place::Memory(address)) if symbol.st_bind() == elf::STB_LOCAL => {
                let section = section.map_or(0, |section| section.0);
                Some(address.wrapping_add(self.surplus.moved(section, value)))
            }
            Some(Place::Debug(piece)) => Some(piece.offset.wrapping_add(value)),
            Some(Place::Gone) if symbol.st_bind() == elf::STB_LOCAL => None,
            _ if symbol.st_shndx(Le) == elf::SHN_ABS => Some(value),
            // Another object's definition may be the one that counts.
            _ => find(symbols.symbol_name(Le, symbol)?),
        })
    }

    /// Writes one value.
    fn apply(
        &mut self,
        section: SectionIndex,
        piece: Piece,
        offset: u64,
        kind: crate::graph::EdgeKind,
        value: Option<(u64, i64)>,
        dead: u64,
    ) -> Result<(), ObjectError> {
        let machine = self.merger.machine;
        let bytes = &mut self.merger.sections[piece.section].bytes[piece.offset as usize..];
        let mut operands = match value {
            Some((symbol, addend)) => Operands { symbol, addend, ..Operands::default() },
            None => Operands { symbol: dead, ..Operands::default() },
        };
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        let mut kind = kind;
        match machine.fixup(kind).expr {
            Expr::KeepAlive => return Ok(()),
            Expr::Absolute => {}
            Expr::Relative => operands.place = piece.offset.wrapping_add(offset),
            Expr::Tls(TlsModel::ModuleOffset) => {
                let own = self.merger.thread_local.filter(|_| value.is_some());
                let place = own.map(|own| own.found_at(operands.symbol).at(operands.addend as u64));
                operands = Operands::default();
                // Compilers add to the addend what the machine counts from.
                let bias = machine.tls.offset_bias;
                match (place, self.merger.origin) {
                    (None, _) => {}
                    (Some(place), None) => operands.symbol = place.offset.wrapping_sub(bias),
                    (Some(ThreadLocal { distance: Some(distance), .. }), Some(origin)) => {
                        operands.symbol = (distance.wrapping_sub(origin) as u64).wrapping_sub(bias);
                    }
                    (Some(_), Some(_)) => {
                        say_nothing(bytes, at);
                        return Ok(());
                    }
                }
                kind = (machine.tls.keep)(kind).unwrap_or(kind);
            }
            _ => {
                let name = machine.fixup(kind).name.to_owned();
                let problem = ObjectProblem::UnknownRelocation { name, symbol: String::new() };
                return Err(self.fail(section, Some(offset), problem));
            }
        }
        fixup::apply(machine, kind, bytes, at, &operands)
            .map_err(|error| self.fail(section, Some(offset), ObjectProblem::Malformed(error.to_string())))
    }
}

/// Makes an expression that says nothing of `const8u OFFSET; form_tls_address`, whose field is at `at`: better than a wrong place.
fn say_nothing(bytes: &mut [u8], at: usize) {
    use operation::{CONST4U, CONST8U, FORM_TLS_ADDRESS, GNU_PUSH_TLS_ADDRESS, NOP};
    let Some(start) = at.checked_sub(1) else { return };
    let width = match bytes.get(start) {
        Some(&CONST8U) => 8,
        Some(&CONST4U) => 4,
        _ => return,
    };
    if let Some(expression) = bytes.get_mut(start..start + width + 2)
        && matches!(expression[width + 1], FORM_TLS_ADDRESS | GNU_PUSH_TLS_ADDRESS)
    {
        expression.fill(NOP);
    }
}

const SCRIPTS: &str = ".debug_gdb_scripts";

/// What stands for the address of what is not there.
fn tombstone(section: &str) -> u64 {
    u64::from(matches!(section, ".debug_ranges" | ".debug_loc"))
}

/// A section's name, without the `z` that stands for compression in old objects.
fn name_of(file: &ElfFile64<'_, Le>, index: SectionIndex) -> Option<String> {
    let section = file.section_by_index(index).ok()?;
    let name = section.name().ok()?;
    Some(match name.strip_prefix(".zdebug_") {
        Some(rest) => format!(".debug_{rest}"),
        None => name.to_owned(),
    })
}

fn is_wanted(name: &str) -> bool {
    let Some(what) = name.strip_prefix(".debug_") else { return false };
    let is_index = what == "names" || what.ends_with("pubnames") || what.ends_with("pubtypes");
    !is_index && !what.ends_with(".dwo")
}

#[cfg(test)]
mod tests {
    use super::{is_wanted, operation, say_nothing};

    #[test]
    fn a_variable_that_has_no_place_has_no_location() {
        let expression = [7, operation::CONST8U, 0, 0, 0, 0, 0, 0, 0, 0, operation::FORM_TLS_ADDRESS, 7];
        let mut bytes = expression;
        say_nothing(&mut bytes, 2);
        assert_eq!(bytes[1..11], [operation::NOP; 10]);
        assert_eq!((bytes[0], bytes[11]), (7, 7));
        for (mut other, at) in
            [(vec![operation::CONST4U, 0, 0, 0, 0, 0x22], 1), (vec![operation::CONST8U, 0], 1), (vec![0], 0)]
        {
            let before = other.clone();
            say_nothing(&mut other, at);
            assert_eq!(other, before, "it is something else, or cut");
        }
    }

    #[test]
    fn indices_and_split_sections_are_left_out() {
        assert!(is_wanted(".debug_info") && is_wanted(".debug_line_str") && is_wanted(".debug_frame"));
        assert!(!is_wanted(".debug_names") && !is_wanted(".debug_gnu_pubtypes") && !is_wanted(".debug_info.dwo"));
        assert!(!is_wanted(".comment") && !is_wanted(".eh_frame"));
    }
}
