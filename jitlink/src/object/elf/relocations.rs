//! Relocations become edges.
//!
//! They are read by themselves: once the sections and symbols of an object are in the graph, its relocations need nothing of the graph any
//! more, and another thread may read them while the next object's names are looked up.

use super::{Fate, LE, Surplus, overlap, section_name, symbol_name};
use crate::arch::{Field, Machine};
use crate::graph::{BlockId, Edge, EdgeKind, Edges, ObjectId, SymbolId};
use crate::object::{ObjectError, ObjectProblem};
use crate::reloc;
use crate::reloc::together::{Entry, Here, Label, Labels, Settled, Together, Unsettled};
use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, Rel, Rela, SectionHeader, SectionTable, Sym, SymbolTable};
use object::{LittleEndian, SectionIndex, SymbolIndex};

/// The relocations of an object whose sections and symbols are in a graph.
#[derive(Debug)]
pub(crate) enum Relocations<'data> {
    Elf32(Tables<'data, FileHeader32<LittleEndian>>),
    Elf64(Tables<'data, FileHeader64<LittleEndian>>),
}

/// The same for either class of files.
macro_rules! of_class {
    ($relocations:expr, $tables:ident => $what:expr) => {
        match $relocations {
            Relocations::Elf32($tables) => $what,
            Relocations::Elf64($tables) => $what,
        }
    };
}
pub(super) use of_class;

impl Relocations<'_> {
    pub(crate) fn object(&self) -> ObjectId {
        of_class!(self, tables => tables.object)
    }

    /// What the file's tables say their size is, before anybody has looked at them; never more than the file.
    pub(crate) fn bytes(&self) -> u64 {
        of_class!(self, tables => tables.bytes())
    }

    pub(crate) fn read(self, edges: &mut Edges) {
        of_class!(self, tables => tables.read(edges));
    }

    /// By symbol index.
    pub(super) fn symbol_ids(&self) -> &[Option<SymbolId>] {
        of_class!(self, tables => &tables.symbol_ids)
    }

    pub(super) fn symbol_ids_mut(&mut self) -> &mut Vec<Option<SymbolId>> {
        of_class!(self, tables => &mut tables.symbol_ids)
    }
}

/// What is needed to read them.
#[derive(Debug)]
pub(crate) struct Tables<'data, Elf: FileHeader<Endian = LittleEndian>> {
    pub(super) machine: &'static Machine,
    pub(super) object: ObjectId,
    pub(super) data: &'data [u8],
    pub(super) sections: SectionTable<'data, Elf>,
    pub(super) symbols: SymbolTable<'data, Elf>,
    /// By section index.
    pub(super) fates: Vec<Fate>,
    /// By section index: the relocation section that applies to it, 0 for none.
    pub(super) tables: Vec<u32>,
    /// What is deleted of the sections.
    pub(super) surplus: Surplus,
    /// By symbol index.
    pub(super) symbol_ids: Vec<Option<SymbolId>>,
    /// Bytes of the file that its other sections say are theirs.
    pub(super) claimed: u64,
}

/// Relocations as the file has them.
#[derive(Clone, Copy)]
pub(super) enum Entries<'data, Elf: FileHeader> {
    /// With their addends.
    Explicit(&'data [Elf::Rela]),
    /// Their addends stand in the bytes that they apply to.
    InPlace(&'data [Elf::Rel]),
}

impl<Elf: FileHeader> Entries<'_, Elf> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Explicit(entries) => entries.len(),
            Self::InPlace(entries) => entries.len(),
        }
    }

    /// Hands their types to `each`.
    pub(super) fn types(&self, mut each: impl FnMut(u32))
    where
        Elf: FileHeader<Endian = LittleEndian>,
    {
        match self {
            Self::Explicit(entries) => entries.iter().for_each(|entry| each(entry.r_type(LE, false).0)),
            Self::InPlace(entries) => entries.iter().for_each(|entry| each(entry.r_type(LE).0)),
        }
    }

    /// Bytes of the file.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Explicit(entries) => size_of_val(*entries),
            Self::InPlace(entries) => size_of_val(*entries),
        }
    }
}

impl<'data, Elf: FileHeader<Endian = LittleEndian>> Tables<'data, Elf> {
    fn bytes(&self) -> u64 {
        let size = |table: &u32| match self.sections.section(SectionIndex(*table as usize)) {
            Ok(header) if *table != 0 => header.sh_size(LE).into(),
            _ => 0,
        };
        let all = self.tables.iter().map(size).fold(0, u64::saturating_add);
        all.min(self.data.len() as u64)
    }

    fn read(mut self, edges: &mut Edges) {
        if let Err(error) = self.read_tables(edges) {
            edges.fail(self.object, error);
        }
    }

    fn read_tables(&mut self, edges: &mut Edges) -> Result<(), ObjectError> {
        for index in 0..self.fates.len() {
            if let Fate::Loaded(block) = self.fates[index]
                && self.tables[index] != 0
            {
                let table = SectionIndex(self.tables[index] as usize);
                let entries = self.entries(SectionIndex(index), table)?;
                self.claimed = self.claimed.saturating_add(entries.size() as u64);
                if let Some(what) = overlap(self.claimed, self.data) {
                    return Err(self.malformed(table, None, what));
                }
                edges.begin(block, entries.len());
                self.make(SectionIndex(index), block, entries, |target, edge| match target {
                    Some(target) => edges.add(Edge { target, ..edge }),
                    None => edges.add_to_zero(self.object, |target| Edge { target, ..edge }),
                })?;
                edges.end();
            }
        }
        Ok(())
    }

    pub(super) fn fail_at(&self, section: SectionIndex, offset: Option<u64>, problem: ObjectProblem) -> ObjectError {
        let section = Some(section_name(&self.sections, section));
        // Its name is the graph's to say.
        ObjectError { object: String::new(), section, offset, problem }
    }

    fn malformed(&self, section: SectionIndex, offset: Option<u64>, what: impl Into<String>) -> ObjectError {
        self.fail_at(section, offset, ObjectProblem::Malformed(what.into()))
    }

    /// The entries of `table`, which applies to section `index`.
    pub(super) fn entries(&self, index: SectionIndex, table: SectionIndex) -> Result<Entries<'data, Elf>, ObjectError> {
        let malformed = |error: object::read::Error| self.malformed(table, None, error.to_string());
        let header = self.sections.section(table).map_err(malformed)?;
        let in_place = reloc::elf_addends_in_place(self.machine);
        let explicit = header.rela(LE, self.data).map_err(malformed)?;
        let (entries, symbols) = match (explicit, header.rel(LE, self.data).map_err(malformed)?) {
            (Some((entries, symbols)), _) => (Entries::Explicit(entries), symbols),
            (None, Some((entries, symbols))) if in_place => (Entries::InPlace(entries), symbols),
            _ => {
                let what = match header.sh_type(LE) {
                    elf::SHT_CREL => "compact relocations (SHT_CREL) are not supported: assemble without --crel",
                    _ => "relocations without addends (SHT_REL) on a machine whose psABI has none",
                };
                return Err(self.malformed(table, None, what));
            }
        };
        if symbols != self.symbols.section() {
            let what = format!(
                "sh_link {} is not the symbol table, which is section number {}",
                symbols.0,
                self.symbols.section().0
            );
            return Err(self.malformed(table, None, what));
        }
        let section = self.sections.section(index).map_err(malformed)?;
        if section.sh_type(LE) == elf::SHT_NOBITS && entries.len() > 0 {
            return Err(self.malformed(index, None, "relocations in a section without content"));
        }
        Ok(entries)
    }

    /// Hands the edges of `entries` to `add`, in their order: with their target, or none where that is the value zero (gABI `STN_UNDEF`).
    pub(super) fn make(
        &self,
        index: SectionIndex,
        block: BlockId,
        entries: Entries<'data, Elf>,
        add: impl FnMut(Option<SymbolId>, Edge),
    ) -> Result<(), ObjectError> {
        match entries {
            Entries::Explicit(entries) => self.make_of(index, block, entries.iter().map(explicit::<Elf>), add),
            Entries::InPlace(entries) => {
                let section = self.sections.section(index).and_then(|section| section.data(LE, self.data));
                let content = section.map_err(|error| self.malformed(index, None, error.to_string()))?;
                let lookup = reloc::elf_lookup(self.machine);
                let held = |entry: Entry| {
                    let field = lookup(entry.r_type).map_or(Field::None, |row| self.machine.fixup(row.kind).field);
                    // What lies outside is told when it is to be written.
                    Entry { addend: field.held(content, entry.offset).unwrap_or(0), ..entry }
                };
                self.make_of(index, block, entries.iter().map(|entry| held(in_place::<Elf>(entry))), add)
            }
        }
    }

    fn make_of(
        &self,
        index: SectionIndex,
        block: BlockId,
        entries: impl Iterator<Item = Entry>,
        mut add: impl FnMut(Option<SymbolId>, Edge),
    ) -> Result<(), ObjectError> {
        let section = self.sections.section(index);
        let section = section.map_err(|error| self.malformed(index, None, error.to_string()))?;
        let size = self.surplus.moved(index.0, section.sh_size(LE).into());
        let mut one = |offset: u64, symbol: usize, addend: i64, kind: EdgeKind, name: &str| {
            let width = u64::from(self.machine.fixup(kind).field.width());
            if offset.checked_add(width).is_none_or(|end| end > size) {
                let what = format!("{name} writes beyond the section's {size:#x} bytes");
                return Err(self.malformed(index, Some(offset), what));
            }
            let edge = Edge { addend, block, offset: offset as u32, target: SymbolId::from_index(0), kind };
            match self.symbol_ids.get(symbol).copied().flatten() {
                Some(target) => add(Some(target), edge),
                None if symbol == 0 => add(None, edge),
                None => {
                    let what =
                        format!("the relocation names symbol number {symbol}, which does not exist or is a file name");
                    return Err(self.malformed(index, Some(offset), what));
                }
            }
            Ok(())
        };
        if let Some(together) = reloc::elf_together(self.machine) {
            for Settled { offset, symbol, addend, kind } in self.settle(together, index, entries.collect())? {
                one(offset, symbol, addend, kind, self.machine.fixup(kind).name)?;
            }
            return Ok(());
        }
        let lookup = reloc::elf_lookup(self.machine);
        for entry in entries {
            let Some(row) = lookup(entry.r_type) else { return Err(self.unknown(index, entry)) };
            one(entry.offset, entry.symbol, entry.addend, row.kind, row.name)?;
        }
        Ok(())
    }

    fn settle(
        &self,
        together: &Together,
        index: SectionIndex,
        entries: Vec<Entry>,
    ) -> Result<Vec<Settled>, ObjectError> {
        let malformed = |error: object::read::Error| self.malformed(index, None, error.to_string());
        let section = self.sections.section(index).map_err(malformed)?;
        let content = section.data(LE, self.data).map_err(malformed)?;
        let labels = LabelsOf { symbols: &self.symbols, surplus: &self.surplus };
        let here = Here { section: index.0, content, labels: &labels };
        let mut settled = Vec::with_capacity(entries.len());
        match (together.settle)(&entries, &here, &mut settled) {
            Ok(()) => Ok(settled),
            Err(Unsettled::Unknown(entry)) => Err(self.unknown(index, entry)),
            Err(Unsettled::Malformed(offset, what)) => Err(self.malformed(index, Some(offset), what)),
        }
    }

    #[cold]
    fn unknown(&self, index: SectionIndex, entry: Entry) -> ObjectError {
        let name = reloc::elf_name(self.machine, entry.r_type);
        let symbol = symbol_name(&self.symbols, SymbolIndex(entry.symbol));
        self.fail_at(index, Some(entry.offset), ObjectProblem::UnknownRelocation { name, symbol })
    }
}

#[inline]
fn explicit<Elf: FileHeader<Endian = LittleEndian>>(entry: &Elf::Rela) -> Entry {
    Entry {
        offset: entry.r_offset(LE).into(),
        r_type: entry.r_type(LE, false).0,
        symbol: entry.r_sym(LE, false) as usize,
        addend: entry.r_addend(LE).into(),
    }
}

fn in_place<Elf: FileHeader<Endian = LittleEndian>>(entry: &Elf::Rel) -> Entry {
    let (offset, symbol) = (entry.r_offset(LE).into(), entry.r_sym(LE) as usize);
    Entry { offset, r_type: entry.r_type(LE).0, symbol, addend: 0 }
}

/// The symbols of an object, and what is deleted of what they are in.
pub(crate) struct LabelsOf<'a, 'data, Elf: FileHeader<Endian = LittleEndian>> {
    pub(crate) symbols: &'a SymbolTable<'data, Elf>,
    pub(crate) surplus: &'a Surplus,
}

impl<Elf: FileHeader<Endian = LittleEndian>> Labels for LabelsOf<'_, '_, Elf> {
    fn label(&self, symbol: usize) -> Option<Label> {
        let index = SymbolIndex(symbol);
        let symbol = self.symbols.symbol(index).ok()?;
        let section = self.symbols.symbol_section(LE, symbol, index).ok()??;
        let local = symbol.st_bind() == elf::STB_LOCAL;
        let whole = symbol.st_type() == elf::STT_SECTION;
        Some(Label { section: section.0, offset: symbol.st_value(LE).into(), local, whole })
    }

    fn name(&self, symbol: usize) -> &[u8] {
        let symbol = self.symbols.symbol(SymbolIndex(symbol));
        symbol.and_then(|symbol| self.symbols.symbol_name(LE, symbol)).unwrap_or_default()
    }

    fn moved(&self, section: usize, offset: u64) -> u64 {
        self.surplus.moved(section, offset)
    }
}
