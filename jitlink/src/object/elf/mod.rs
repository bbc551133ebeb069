//! Relocatable ELF objects (gABI chapters "Object Files", "Sections", "Symbol Table", "Relocation").
//!
//! One section becomes one block; contents are borrowed. Sections that are not loaded (`SHF_ALLOC` absent: debug information,
//! notes for the linker, LTO bytecode beside machine code) are never touched.

mod deferred;
mod relocations;
mod sections;
mod surplus;
mod symbols;

pub use deferred::Deferred;
use relocations::Tables;
pub(crate) use relocations::{LabelsOf, Relocations};
pub(crate) use surplus::Surplus;

use super::detect::{Elf, ElfKind, FileKind, machine_name};
use super::{ObjectError, ObjectProblem, ReadOptions};
use crate::graph::{BlockId, GroupId, LinkGraph, ObjectId, Redefinition};
use crate::reloc;
use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, SectionHeader as _, SectionTable, SymbolTable};
use object::{LittleEndian, SectionIndex, SymbolIndex};

/// What became of a section of the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// Not loaded at run time.
    Ignored,
    /// Part of a group that an earlier object has.
    Dropped,
    /// In the graph.
    Loaded(BlockId),
}

/// One object while it is read.
struct Reader<'a, 'data, Elf: FileHeader<Endian = LittleEndian>> {
    graph: &'a mut LinkGraph<'data>,
    data: &'data [u8],
    name: &'a str,
    object: ObjectId,
    sections: SectionTable<'data, Elf>,
    symbols: SymbolTable<'data, Elf>,
    /// By section index.
    fates: Vec<Fate>,
    /// By section index: the group that it is a member of.
    groups: Vec<Option<GroupId>>,
    /// By section index: the relocation section that applies to it, 0 for none.
    relocations: Vec<u32>,
    /// What is deleted of the sections.
    surplus: Surplus,
    /// Bytes of the file that sections which were read so far say are theirs.
    claimed: u64,
    /// By symbol index.
    symbol_ids: Vec<Option<crate::graph::SymbolId>>,
}

/// Little-endian throughout: big-endian machines are not linked for.
const LE: LittleEndian = LittleEndian;

pub(super) fn read<'data>(
    graph: &mut LinkGraph<'data>,
    name: &str,
    data: &'data [u8],
    options: ReadOptions,
) -> Result<Relocations<'data>, ObjectError> {
    let fail = |problem| ObjectError { object: name.to_owned(), section: None, offset: None, problem };
    let kind = FileKind::detect(data);
    let FileKind::Elf(file @ Elf { kind: ElfKind::Relocatable, bits, .. }) = kind else {
        return Err(fail(ObjectProblem::NotAnObject(kind.to_string())));
    };
    if file.big_endian || bits != graph.machine().pointer_size * 8 {
        let order = if file.big_endian { ", big-endian" } else { "" };
        let found = format!("{} ({bits} bits{order})", machine_name(file.machine));
        return Err(fail(ObjectProblem::WrongMachine { found, wanted: graph.machine().name.to_owned() }));
    }
    let run = match bits {
        64 => FileHeader64::<LittleEndian>::parse(data)
            .map(|header| Reader::run(graph, name, data, header, options).map(Relocations::Elf64)),
        _ => FileHeader32::<LittleEndian>::parse(data)
            .map(|header| Reader::run(graph, name, data, header, options).map(Relocations::Elf32)),
    };
    run.unwrap_or_else(|_| Err(fail(ObjectProblem::NotAnObject(kind.to_string()))))
}

impl<'a, 'data, Elf: FileHeader<Endian = LittleEndian>> Reader<'a, 'data, Elf> {
    /// Reads all but the relocations.
    fn run(
        graph: &'a mut LinkGraph<'data>,
        name: &'a str,
        data: &'data [u8],
        header: &'data Elf,
        options: ReadOptions,
    ) -> Result<Tables<'data, Elf>, ObjectError> {
        let fail = |problem| ObjectError { object: name.to_owned(), section: None, offset: None, problem };
        let malformed = |error: object::read::Error| fail(ObjectProblem::Malformed(error.to_string()));

        let machine = graph.machine();
        let found = header.e_machine(LE).0;
        if found != reloc::elf_machine(machine) {
            let found = machine_name(found).to_owned();
            return Err(fail(ObjectProblem::WrongMachine { found, wanted: machine.name.to_owned() }));
        }
        let sections = header.sections(LE, data).map_err(malformed)?;
        let symbols = sections.symbols(LE, data, elf::SHT_SYMTAB).map_err(malformed)?;
        let count = sections.len();
        let surplus = Surplus::read(machine, &sections, data).map_err(|unsound| ObjectError {
            object: name.to_owned(),
            section: Some(section_name(&sections, unsound.section)),
            offset: unsound.offset,
            problem: ObjectProblem::Malformed(unsound.what),
        })?;
        let object = graph.add_object(name, options.explicit);
        let mut reader = Self {
            graph,
            data,
            name,
            object,
            sections,
            symbols,
            fates: vec![Fate::Ignored; count],
            groups: vec![None; count],
            relocations: vec![0; count],
            surplus,
            claimed: 0,
            symbol_ids: Vec::new(),
        };
        reader.read_groups()?;
        reader.drop_dependents();
        reader.read_sections()?;
        reader.read_symbols()?;
        let Self { sections, symbols, fates, relocations: tables, surplus, claimed, symbol_ids, .. } = reader;
        Ok(Tables { machine, object, data, sections, symbols, fates, tables, surplus, symbol_ids, claimed })
    }
}

impl<'data, Elf: FileHeader<Endian = LittleEndian>> Reader<'_, 'data, Elf> {
    fn fail(&self, problem: ObjectProblem) -> ObjectError {
        ObjectError { object: self.name.to_owned(), section: None, offset: None, problem }
    }

    fn fail_at(&self, section: SectionIndex, offset: Option<u64>, problem: ObjectProblem) -> ObjectError {
        let section = section_name(&self.sections, section);
        ObjectError { object: self.name.to_owned(), section: Some(section), offset, problem }
    }

    fn malformed(&self, section: SectionIndex, offset: Option<u64>, what: impl Into<String>) -> ObjectError {
        self.fail_at(section, offset, ObjectProblem::Malformed(what.into()))
    }

    fn duplicate(&self, redefinition: Redefinition) -> ObjectError {
        let symbol = self.graph.symbol(redefinition.symbol);
        self.fail(ObjectProblem::Duplicate {
            symbol: String::from_utf8_lossy(symbol.name).into_owned(),
            first: self.graph.object(redefinition.first).name.clone(),
        })
    }

    /// Counts the bytes of a section. No byte of a file belongs to two sections (gABI "Sections"), so that all of them together
    /// are no longer than the file, and what is made of them stays in proportion to it.
    fn claim(&mut self, section: SectionIndex, size: u64) -> Result<(), ObjectError> {
        self.claimed = self.claimed.saturating_add(size);
        match overlap(self.claimed, self.data) {
            None => Ok(()),
            Some(what) => Err(self.malformed(section, None, what)),
        }
    }

    /// Whether `index` names a section of this file.
    fn section_fate(&self, index: SectionIndex) -> Option<Fate> {
        self.fates.get(index.0).copied()
    }

    /// The sections whose blocks are in the graph, in file order.
    fn loaded(&self) -> impl Iterator<Item = (SectionIndex, BlockId)> + use<Elf> {
        let loaded: Vec<_> = self
            .fates
            .iter()
            .enumerate()
            .filter_map(|(index, fate)| match fate {
                Fate::Loaded(block) => Some((SectionIndex(index), *block)),
                _ => None,
            })
            .collect();
        loaded.into_iter()
    }

    /// `sh_link` of a section header, as an index.
    fn link_of(&self, index: SectionIndex) -> Option<SectionIndex> {
        let header = self.sections.section(index).ok()?;
        Some(SectionIndex(header.sh_link(LE) as usize))
    }
}

/// What a section is called, or its number.
fn section_name<Elf: FileHeader<Endian = LittleEndian>>(
    sections: &SectionTable<'_, Elf>,
    index: SectionIndex,
) -> String {
    let name = sections.section(index).and_then(|header| sections.section_name(LE, header));
    name.map_or_else(|_| format!("number {}", index.0), |name| String::from_utf8_lossy(name).into_owned())
}

/// What a symbol is called, or its number.
fn symbol_name<Elf: FileHeader<Endian = LittleEndian>>(symbols: &SymbolTable<'_, Elf>, index: SymbolIndex) -> String {
    let name = symbols.symbol(index).and_then(|symbol| symbols.symbol_name(LE, symbol));
    match name {
        Ok(name) if !name.is_empty() => String::from_utf8_lossy(name).into_owned(),
        _ => format!("number {}", index.0),
    }
}

/// What is wrong if sections claim more bytes than the file has.
fn overlap(claimed: u64, file: &[u8]) -> Option<String> {
    let all = file.len() as u64;
    (claimed > all)
        .then(|| format!("sections overlap: up to this one they claim {claimed:#x} bytes, the file has {all:#x}"))
}
