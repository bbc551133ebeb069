//! Objects whose blocks get their edges when somebody needs them.
//!
//! Sections and symbols are in the graph as for any object; blocks have no edges. A section's relocations are in no order, so that all of them are read
//! at once, and kept.

use super::relocations::Relocations;
use crate::arch::{Expr, TlsModel};
use crate::graph::{BlockId, Edge, LinkGraph, ObjectId, SymbolId};
use crate::object::{Asks, ObjectError};

/// One object, its relocations aside.
#[derive(Debug)]
pub struct Deferred<'data> {
    relocations: Relocations<'data>,
    /// Every edge, in the order of blocks; or what is wrong with the first one that is.
    edges: Result<Vec<Edge>, ObjectError>,
    asks: Asks,
}

impl<'data> Deferred<'data> {
    /// Of an object whose sections and symbols are in `graph`.
    pub(in crate::object) fn new(graph: &LinkGraph<'data>, mut relocations: Relocations<'data>) -> Self {
        let name = &graph.object(relocations.object()).name;
        let edges = relocations.all().map_err(|error| ObjectError { object: name.clone(), ..error });
        let machine = graph.machine();
        let mut asks = Asks::default();
        for edge in edges.iter().flatten() {
            let fixup = machine.fixup(edge.kind);
            asks.low |= fixup.holds_low_addresses(machine.pointer_size);
            asks.constant_distance |= matches!(fixup.expr, Expr::Tls(TlsModel::LocalExec | TlsModel::InitialExec));
        }
        Self { relocations, edges, asks }
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

    /// The symbols of its table that are in the graph, and those of its blocks.
    pub fn symbols(&self) -> impl Iterator<Item = SymbolId> + '_ {
        let file = &self.relocations.file;
        let starts = file.starts.iter().map(|start| start.symbol);
        let literals = file.literals.iter().map(|(_, symbol)| *symbol);
        file.symbol_ids.iter().copied().flatten().chain(starts).chain(literals)
    }

    /// Adds what `block`, one of its own in `graph`, refers to, in the order of its bytes.
    ///
    /// # Errors
    /// Relocations of the object are malformed or unknown.
    pub fn edges(&self, block: BlockId, into: &mut Vec<Edge>) -> Result<(), ObjectError> {
        let edges = self.edges.as_ref().map_err(Clone::clone)?;
        let rest = &edges[edges.partition_point(|edge| edge.block < block)..];
        into.extend(rest.iter().take_while(|edge| edge.block == block));
        Ok(())
    }
}
