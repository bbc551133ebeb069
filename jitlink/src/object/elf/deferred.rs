//! Objects whose relocations are read section by section, when somebody needs them.
//!
//! Sections and symbols are in the graph as for any object; blocks have no edges. What is told of the relocations beforehand is what decides where
//! memory has to be.

use super::{Fate, LE, Relocations, section_name};
use crate::arch::{Expr, TlsModel};
use crate::graph::{
    BlockId, Content, Definition, Edge, LinkGraph, Linkage, ObjectId, Scope, SectionKind, Symbol, SymbolId, SymbolKind,
};
use crate::object::{Asks, ObjectError, ObjectProblem};
use crate::reloc;
use object::SectionIndex;
use object::read::elf::{Rela, SectionHeader as _};

/// One object, without its relocations.
#[derive(Debug)]
pub struct Deferred<'data> {
    relocations: Relocations<'data>,
    asks: Asks,
}

impl<'data> Deferred<'data> {
    /// Of an object whose sections and symbols are in `graph`.
    pub(in crate::object) fn new(graph: &mut LinkGraph<'data>, mut relocations: Relocations<'data>) -> Self {
        let asks = survey(graph, &relocations);
        // gABI STN_UNDEF: a relocation without a symbol means the value zero.
        let zero = graph.add_local(Symbol {
            name: b"",
            definition: Definition::Absolute,
            value: 0,
            size: 0,
            address: 0,
            object: relocations.object,
            linkage: Linkage::Strong,
            scope: Scope::Local,
            kind: SymbolKind::Unknown,
            needed: false,
            live: false,
        });
        match relocations.symbol_ids.first_mut() {
            Some(slot) => *slot = Some(zero),
            None => relocations.symbol_ids.push(Some(zero)),
        }
        Self { relocations, asks }
    }

    /// The object.
    #[must_use]
    pub fn object(&self) -> ObjectId {
        self.relocations.object
    }

    /// What its relocations ask of memory.
    #[must_use]
    pub fn asks(&self) -> Asks {
        self.asks
    }

    /// The symbols of its table that are in the graph.
    pub fn symbols(&self) -> impl Iterator<Item = SymbolId> + '_ {
        self.relocations.symbol_ids.iter().copied().flatten()
    }

    /// Adds what `block`, one of its own in `graph`, refers to, in the order of the table.
    ///
    /// # Errors
    /// Its relocations are malformed or unknown.
    pub fn edges(&self, graph: &LinkGraph<'_>, block: BlockId, into: &mut Vec<Edge>) -> Result<(), ObjectError> {
        let section = SectionIndex(graph.section_of(block).number as usize);
        let table = match self.relocations.tables.get(section.0) {
            None | Some(0) => return Ok(()),
            Some(table) => SectionIndex(*table as usize),
        };
        let malformed = |index, offset, what: String| self.fail(graph, index, offset, ObjectProblem::Malformed(what));
        let header =
            self.relocations.sections.section(table).map_err(|error| malformed(table, None, error.to_string()))?;
        let entries =
            header.rela(LE, self.relocations.data).map_err(|error| malformed(table, None, error.to_string()))?;
        let Some((entries, symbols)) = entries else {
            let what = "relocations are not in a table with addends (SHT_RELA)";
            return Err(malformed(table, None, what.into()));
        };
        if symbols != self.relocations.symbols.section() {
            let what = format!("sh_link {} is not the symbol table", symbols.0);
            return Err(malformed(table, None, what));
        }
        let machine = graph.machine();
        let lookup = reloc::elf_lookup(machine);
        let size = graph.block(block).size;
        if graph.block(block).content == Content::Zero && !entries.is_empty() {
            return Err(malformed(section, None, "relocations in a section without content".into()));
        }
        into.reserve(entries.len());
        for entry in entries {
            let offset: u64 = entry.r_offset(LE);
            let (r_type, symbol) = (entry.r_type(LE, false).0, entry.r_sym(LE, false) as usize);
            let Some(row) = lookup(r_type) else {
                let name = reloc::elf_name(machine, r_type);
                let problem = ObjectProblem::UnknownRelocation { name, symbol: format!("number {symbol}") };
                return Err(self.fail(graph, section, Some(offset), problem));
            };
            let width = machine.fixup(row.kind).field.width();
            if offset.checked_add(u64::from(width)).is_none_or(|end| end > size) {
                let what = format!("{} writes beyond the section's {size:#x} bytes", row.name);
                return Err(malformed(section, Some(offset), what));
            }
            let Some(target) = self.relocations.symbol_ids.get(symbol).copied().flatten() else {
                let what = format!("the relocation names symbol number {symbol}, which does not exist");
                return Err(malformed(section, Some(offset), what));
            };
            into.push(Edge { addend: entry.r_addend(LE), block, offset: offset as u32, target, kind: row.kind });
        }
        Ok(())
    }

    #[cold]
    fn fail(
        &self,
        graph: &LinkGraph<'_>,
        index: SectionIndex,
        offset: Option<u64>,
        problem: ObjectProblem,
    ) -> ObjectError {
        let section = section_name(&self.relocations.sections, index);
        let object = graph.object(self.relocations.object).name.clone();
        ObjectError { object, section: Some(section), offset, problem }
    }
}

/// Looks at the types of all relocations of what is loaded, and at nothing else of them.
fn survey(graph: &LinkGraph<'_>, relocations: &Relocations<'_>) -> Asks {
    let machine = graph.machine();
    let lookup = reloc::elf_lookup(machine);
    let mut by_kind = [Asks::default(); 256];
    for (asks, fixup) in by_kind.iter_mut().zip(machine.fixups) {
        asks.low = fixup.holds_low_addresses(machine.pointer_size);
        asks.constant_distance = matches!(fixup.expr, Expr::Tls(TlsModel::LocalExec | TlsModel::InitialExec));
    }
    let mut all = Asks::default();
    let mut looked_at = 0;
    for (fate, table) in relocations.fates.iter().zip(&relocations.tables) {
        let (Fate::Loaded(block), table) = (fate, SectionIndex(*table as usize)) else { continue };
        if table.0 == 0 || graph.section_of(*block).kind == SectionKind::EhFrame {
            continue;
        }
        let header = relocations.sections.section(table);
        // Whoever needs it is told what is wrong with it.
        let Ok(Some((entries, _))) = header.and_then(|header| header.rela(LE, relocations.data)) else { continue };
        // Tables that overlap are more than the file.
        looked_at += size_of_val(entries);
        if looked_at > relocations.data.len() {
            break;
        }
        for entry in entries {
            if let Some(row) = lookup(entry.r_type(LE, false).0) {
                let asks = by_kind[usize::from(row.kind.0)];
                all.low |= asks.low;
                all.constant_distance |= asks.constant_distance;
            }
        }
    }
    all
}
