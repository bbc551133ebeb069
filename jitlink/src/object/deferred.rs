//! Objects of any format whose relocations are read block by block, when somebody needs them.

use super::{Asks, ObjectError, elf, mach_o};
use crate::graph::{BlockId, Edge, LinkGraph, ObjectId, SymbolId};

/// One object, without its relocations.
#[derive(Debug)]
pub struct Deferred<'data>(pub(super) Format<'data>);

/// What each format's reader knows of it.
#[derive(Debug)]
pub(super) enum Format<'data> {
    Elf(elf::Deferred<'data>),
    MachO(mach_o::Deferred<'data>),
}

impl Deferred<'_> {
    /// The object.
    #[must_use]
    pub fn object(&self) -> ObjectId {
        match &self.0 {
            Format::Elf(elf) => elf.object(),
            Format::MachO(mach_o) => mach_o.object(),
        }
    }

    /// What its relocations ask of memory.
    #[must_use]
    pub fn asks(&self) -> Asks {
        match &self.0 {
            Format::Elf(elf) => elf.asks(),
            Format::MachO(mach_o) => mach_o.asks(),
        }
    }

    /// Those of its symbols in the graph that its relocations may name.
    pub fn symbols(&self) -> Box<dyn Iterator<Item = SymbolId> + '_> {
        match &self.0 {
            Format::Elf(elf) => Box::new(elf.symbols()),
            Format::MachO(mach_o) => Box::new(mach_o.symbols()),
        }
    }

    /// Adds what `block`, one of its own in `graph`, refers to.
    ///
    /// # Errors
    /// Its relocations are malformed or unknown.
    pub fn edges(&self, graph: &LinkGraph<'_>, block: BlockId, into: &mut Vec<Edge>) -> Result<(), ObjectError> {
        match &self.0 {
            Format::Elf(elf) => elf.edges(graph, block, into),
            Format::MachO(mach_o) => mach_o.edges(block, into),
        }
    }
}
