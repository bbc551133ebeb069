//! Objects whose relocations are read section by section, when somebody needs them.
//!
//! Sections and symbols are in the graph as for any object; blocks have no edges. What is told of the relocations beforehand is what decides where
//! memory has to be.

use super::relocations::of_class;
use super::{Fate, Relocations, Tables};
use crate::arch::{Expr, TlsModel};
use crate::graph::{
    BlockId, Definition, Edge, LinkGraph, Linkage, ObjectId, Scope, SectionKind, Symbol, SymbolId, SymbolKind,
};
use crate::object::{Asks, ObjectError};
use crate::reloc;
use object::read::elf::FileHeader;
use object::{LittleEndian, SectionIndex};

/// One object, without its relocations.
#[derive(Debug)]
pub struct Deferred<'data> {
    relocations: Relocations<'data>,
    asks: Asks,
}

impl<'data> Deferred<'data> {
    /// Of an object whose sections and symbols are in `graph`.
    pub(in crate::object) fn new(graph: &mut LinkGraph<'data>, mut relocations: Relocations<'data>) -> Self {
        let asks = of_class!(&relocations, tables => survey(graph, tables));
        // gABI STN_UNDEF: a relocation without a symbol means the value zero.
        let zero = graph.add_local(Symbol {
            name: b"",
            definition: Definition::Absolute,
            value: 0,
            size: 0,
            address: 0,
            object: relocations.object(),
            linkage: Linkage::Strong,
            scope: Scope::Local,
            kind: SymbolKind::Unknown,
            needed: false,
            live: false,
        });
        let ids = relocations.symbol_ids_mut();
        match ids.first_mut() {
            Some(slot) => *slot = Some(zero),
            None => ids.push(Some(zero)),
        }
        Self { relocations, asks }
    }

    /// The object.
    #[must_use]
    pub fn object(&self) -> ObjectId {
        self.relocations.object()
    }

    /// What its relocations ask of memory.
    #[must_use]
    pub fn asks(&self) -> Asks {
        self.asks
    }

    /// The symbols of its table that are in the graph.
    pub fn symbols(&self) -> impl Iterator<Item = SymbolId> + '_ {
        self.relocations.symbol_ids().iter().copied().flatten()
    }

    /// Adds what `block`, one of its own in `graph`, refers to, in the order of the table.
    ///
    /// # Errors
    /// Its relocations are malformed or unknown.
    pub fn edges(&self, graph: &LinkGraph<'_>, block: BlockId, into: &mut Vec<Edge>) -> Result<(), ObjectError> {
        let number = graph.section_of(block).number as usize;
        let read = of_class!(&self.relocations, tables => edges(tables, SectionIndex(number), block, into));
        read.map_err(|error| ObjectError { object: graph.object(self.object()).name.clone(), ..error })
    }
}

fn edges<Elf: FileHeader<Endian = LittleEndian>>(
    tables: &Tables<'_, Elf>,
    section: SectionIndex,
    block: BlockId,
    into: &mut Vec<Edge>,
) -> Result<(), ObjectError> {
    let table = match tables.tables.get(section.0) {
        None | Some(0) => return Ok(()),
        Some(table) => SectionIndex(*table as usize),
    };
    let entries = tables.entries(section, table)?;
    into.reserve(entries.len());
    tables.make(section, block, entries, |target, edge| {
        // The value zero has a symbol here.
        if let Some(target) = target {
            into.push(Edge { target, ..edge });
        }
    })
}

/// Looks at the types of all relocations of what is loaded, and at nothing else of them.
fn survey<Elf: FileHeader<Endian = LittleEndian>>(graph: &LinkGraph<'_>, tables: &Tables<'_, Elf>) -> Asks {
    let machine = graph.machine();
    let lookup = reloc::elf_lookup(machine);
    let mut by_kind = [Asks::default(); 256];
    for (asks, fixup) in by_kind.iter_mut().zip(machine.fixups) {
        asks.low = fixup.holds_low_addresses(machine.pointer_size);
        asks.constant_distance = matches!(fixup.expr, Expr::Tls(TlsModel::LocalExec | TlsModel::InitialExec));
    }
    let mut all = Asks::default();
    let mut looked_at = 0;
    for (number, (fate, table)) in tables.fates.iter().zip(&tables.tables).enumerate() {
        let (Fate::Loaded(block), table) = (fate, SectionIndex(*table as usize)) else { continue };
        if table.0 == 0 || graph.section_of(*block).kind == SectionKind::EhFrame {
            continue;
        }
        // Whoever needs it is told what is wrong with it.
        let Ok(entries) = tables.entries(SectionIndex(number), table) else { continue };
        // Tables that overlap are more than the file.
        looked_at += entries.size();
        if looked_at > tables.data.len() {
            break;
        }
        entries.types(|r_type| {
            if let Some(row) = lookup(r_type) {
                let asks = by_kind[usize::from(row.kind.0)];
                all.low |= asks.low;
                all.constant_distance |= asks.constant_distance;
            }
        });
    }
    all
}
