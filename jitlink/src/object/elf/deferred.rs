//! Objects whose relocations are read section by section, when somebody needs them.
//!
//! Sections and symbols are in the graph as for any object; blocks have no edges. What is told of the relocations beforehand is what decides where
//! memory has to be.

use super::{Fate, LE, Relocations};
use crate::arch::{Expr, TlsModel};
use crate::graph::{
    BlockId, Definition, Edge, LinkGraph, Linkage, ObjectId, Scope, SectionKind, Symbol, SymbolId, SymbolKind,
};
use crate::object::{Asks, ObjectError};
use crate::reloc;
use object::SectionIndex;
use object::read::elf::SectionHeader as _;

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
        let name = |error| ObjectError { object: graph.object(self.relocations.object).name.clone(), ..error };
        let entries = self.relocations.entries(section, table).map_err(name)?;
        into.reserve(entries.len());
        // The value zero has a symbol here.
        let add = |target: Option<SymbolId>, edge: Edge| {
            if let Some(target) = target {
                into.push(Edge { target, ..edge });
            }
        };
        self.relocations.make(section, block, entries, add).map_err(name)
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
