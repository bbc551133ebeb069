//! Relocations become edges.
//!
//! They are read by themselves: once the sections and symbols of an object are in the graph, its relocations need nothing of the graph any
//! more, and another thread may read them while the next object's names are looked up.

use super::{Fate, LE, overlap, section_name, symbol_name};
use crate::arch::Machine;
use crate::graph::{BlockId, Edge, Edges, ObjectId, SymbolId};
use crate::object::{ObjectError, ObjectProblem};
use crate::reloc;
use object::elf::{self, FileHeader64};
use object::read::elf::{Rela, SectionHeader, SectionTable, SymbolTable};
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
    /// By symbol index.
    pub(super) symbol_ids: Vec<Option<SymbolId>>,
    /// Bytes of the file that its other sections say are theirs.
    pub(super) claimed: u64,
}

impl Relocations<'_> {
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
                self.read_table(SectionIndex(index), block, table, edges)?;
            }
        }
        Ok(())
    }

    fn fail_at(&self, section: SectionIndex, offset: Option<u64>, problem: ObjectProblem) -> ObjectError {
        let section = Some(section_name(&self.sections, section));
        // Its name is the graph's to say.
        ObjectError { object: String::new(), section, offset, problem }
    }

    fn malformed(&self, section: SectionIndex, offset: Option<u64>, what: impl Into<String>) -> ObjectError {
        self.fail_at(section, offset, ObjectProblem::Malformed(what.into()))
    }

    fn read_table(
        &mut self,
        index: SectionIndex,
        block: BlockId,
        table: SectionIndex,
        edges: &mut Edges,
    ) -> Result<(), ObjectError> {
        let malformed = |reader: &Self, error: object::read::Error| reader.malformed(table, None, error.to_string());
        let header = self.sections.section(table).map_err(|error| malformed(self, error))?;
        let Some((entries, symbols)) = header.rela(LE, self.data).map_err(|error| malformed(self, error))? else {
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
        self.claimed = self.claimed.saturating_add(size_of_val(entries) as u64);
        if let Some(what) = overlap(self.claimed, self.data) {
            return Err(self.malformed(table, None, what));
        }
        let section = self.sections.section(index).map_err(|error| malformed(self, error))?;
        let size = section.sh_size(LE);
        if section.sh_type(LE) == elf::SHT_NOBITS && !entries.is_empty() {
            return Err(self.malformed(index, None, "relocations in a section without content"));
        }
        let lookup = reloc::elf_lookup(self.machine);
        edges.begin(block, entries.len());
        for entry in entries {
            let offset: u64 = entry.r_offset(LE);
            let r_type = entry.r_type(LE, false);
            let symbol = entry.r_sym(LE, false) as usize;
            let Some(row) = lookup(r_type.0) else {
                let name = reloc::elf_name(self.machine, r_type.0);
                let symbol = symbol_name(&self.symbols, SymbolIndex(symbol));
                return Err(self.fail_at(index, Some(offset), ObjectProblem::UnknownRelocation { name, symbol }));
            };
            let width = self.machine.fixup(row.kind).field.width();
            if offset.checked_add(u64::from(width)).is_none_or(|end| end > size) {
                let what = format!("{} writes beyond the section's {size:#x} bytes", row.name);
                return Err(self.malformed(index, Some(offset), what));
            }
            let addend: i64 = entry.r_addend(LE);
            let edge = |target| Edge { addend, block, offset: offset as u32, target, kind: row.kind };
            match self.symbol_ids.get(symbol).copied().flatten() {
                Some(target) => edges.add(edge(target)),
                // Symbol 0 (gABI `STN_UNDEF`) has the value zero; anything else that has no id is a mistake.
                None if symbol == 0 => edges.add_to_zero(self.object, edge),
                None => {
                    let what =
                        format!("the relocation names symbol number {symbol}, which does not exist or is a file name");
                    return Err(self.malformed(index, Some(offset), what));
                }
            }
        }
        edges.end();
        Ok(())
    }
}
