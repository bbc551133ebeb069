//! Relocations become edges.
//!
//! They are read by themselves: once the sections and symbols of an object are in the graph, its relocations need nothing of the graph any
//! more, and another thread may read them while the next object's names are looked up.

use super::{Fate, LE, Surplus, overlap, section_name, symbol_name};
use crate::arch::Machine;
use crate::graph::{BlockId, Edge, EdgeKind, Edges, ObjectId, SymbolId};
use crate::object::{ObjectError, ObjectProblem};
use crate::reloc;
use crate::reloc::together::{Entry, Here, Label, Labels, Settled, Together, Unsettled};
use object::elf::{self, FileHeader64};
use object::read::elf::{Rela, SectionHeader, SectionTable, Sym, SymbolTable};
use object::{LittleEndian, SectionIndex, SymbolIndex};

/// The relocations of an object whose sections and symbols are in a graph.
#[derive(Debug)]
pub(crate) struct Relocations<'data> {
    pub(super) machine: &'static Machine,
    pub(super) object: ObjectId,
    pub(super) data: &'data [u8],
    pub(super) sections: SectionTable<'data, FileHeader64<LittleEndian>>,
    pub(super) symbols: SymbolTable<'data, FileHeader64<LittleEndian>>,
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
type Entries<'data> = &'data [elf::Rela64<LittleEndian>];

impl<'data> Relocations<'data> {
    pub(crate) fn object(&self) -> ObjectId {
        self.object
    }

    /// What the file's tables say their size is, before anybody has looked at them; never more than the file.
    pub(crate) fn bytes(&self) -> u64 {
        let size = |table: &u32| match self.sections.section(SectionIndex(*table as usize)) {
            Ok(header) if *table != 0 => header.sh_size(LE),
            _ => 0,
        };
        let all = self.tables.iter().map(size).fold(0, u64::saturating_add);
        all.min(self.data.len() as u64)
    }

    pub(crate) fn read(mut self, edges: &mut Edges) {
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
                self.claimed = self.claimed.saturating_add(size_of_val(entries) as u64);
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
    pub(super) fn entries(&self, index: SectionIndex, table: SectionIndex) -> Result<Entries<'data>, ObjectError> {
        let malformed = |error: object::read::Error| self.malformed(table, None, error.to_string());
        let header = self.sections.section(table).map_err(malformed)?;
        let Some((entries, symbols)) = header.rela(LE, self.data).map_err(malformed)? else {
            let what = match header.sh_type(LE) {
                elf::SHT_CREL => "compact relocations (SHT_CREL) are not supported: assemble without --crel",
                _ => "relocations without addends (SHT_REL) on a machine whose psABI has none",
            };
            return Err(self.malformed(table, None, what));
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
        if section.sh_type(LE) == elf::SHT_NOBITS && !entries.is_empty() {
            return Err(self.malformed(index, None, "relocations in a section without content"));
        }
        Ok(entries)
    }

    /// Hands the edges of `entries` to `add`, in their order: with their target, or none where that is the value zero (gABI `STN_UNDEF`).
    pub(super) fn make(
        &self,
        index: SectionIndex,
        block: BlockId,
        entries: Entries<'data>,
        mut add: impl FnMut(Option<SymbolId>, Edge),
    ) -> Result<(), ObjectError> {
        let section = self.sections.section(index);
        let section = section.map_err(|error| self.malformed(index, None, error.to_string()))?;
        let size = self.surplus.moved(index.0, section.sh_size(LE));
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
            for Settled { offset, symbol, addend, kind } in self.settle(together, index, entries)? {
                one(offset, symbol, addend, kind, self.machine.fixup(kind).name)?;
            }
            return Ok(());
        }
        let lookup = reloc::elf_lookup(self.machine);
        for entry in entries {
            let entry = self.entry(entry);
            let Some(row) = lookup(entry.r_type) else { return Err(self.unknown(index, entry)) };
            one(entry.offset, entry.symbol, entry.addend, row.kind, row.name)?;
        }
        Ok(())
    }

    #[inline]
    fn entry(&self, entry: &elf::Rela64<LittleEndian>) -> Entry {
        Entry {
            offset: entry.r_offset(LE),
            r_type: entry.r_type(LE, false).0,
            symbol: entry.r_sym(LE, false) as usize,
            addend: entry.r_addend(LE),
        }
    }

    fn settle(
        &self,
        together: &Together,
        index: SectionIndex,
        entries: Entries<'data>,
    ) -> Result<Vec<Settled>, ObjectError> {
        let malformed = |error: object::read::Error| self.malformed(index, None, error.to_string());
        let section = self.sections.section(index).map_err(malformed)?;
        let content = section.data(LE, self.data).map_err(malformed)?;
        let entries: Vec<Entry> = entries.iter().map(|entry| self.entry(entry)).collect();
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

/// The symbols of an object, and what is deleted of what they are in.
pub(crate) struct LabelsOf<'a, 'data> {
    pub(crate) symbols: &'a SymbolTable<'data, FileHeader64<LittleEndian>>,
    pub(crate) surplus: &'a Surplus,
}

impl Labels for LabelsOf<'_, '_> {
    fn label(&self, symbol: usize) -> Option<Label> {
        let index = SymbolIndex(symbol);
        let symbol = self.symbols.symbol(index).ok()?;
        let section = self.symbols.symbol_section(LE, symbol, index).ok()??;
        let local = symbol.st_bind() == elf::STB_LOCAL;
        let whole = symbol.st_type() == elf::STT_SECTION;
        Some(Label { section: section.0, offset: symbol.st_value(LE), local, whole })
    }

    fn name(&self, symbol: usize) -> &[u8] {
        let symbol = self.symbols.symbol(SymbolIndex(symbol));
        symbol.and_then(|symbol| self.symbols.symbol_name(LE, symbol)).unwrap_or_default()
    }

    fn moved(&self, section: usize, offset: u64) -> u64 {
        self.surplus.moved(section, offset)
    }
}
