//! Functions that others reach in another way than the graph that defines them: through a stub that can be made to lead elsewhere.
//!
//! **You give** functions of a graph. **You get** for each a local symbol at its place, which is kept; its global name is from now on one that
//! somebody else defines. Calls inside of the graph, call frame information and arrays of initializers mean the function itself; whoever takes its
//! address gets what everybody gets, so that pointers stay equal.

use super::{Definition, LinkGraph, Scope, SectionFlags, SectionKind, Symbol, SymbolId};
use crate::arch::Expr;

impl LinkGraph<'_> {
    /// Detaches functions from their names. Gives their new symbols, in order; what stands in no block stays as it is.
    pub fn detach(&mut self, functions: &[SymbolId]) -> Vec<SymbolId> {
        const NONE: u32 = u32::MAX;
        let mut own = vec![NONE; self.symbols.len()];
        let mut detached = Vec::with_capacity(functions.len());
        for &id in functions {
            let symbol = self.symbol(id);
            let Some(block) = symbol.block() else {
                detached.push(id);
                continue;
            };
            let local = Symbol { scope: Scope::Local, needed: false, ..symbol.clone() };
            let section = self.block(block).section;
            self.sections[section.index()].flags |= SectionFlags::RETAIN;
            let new = self.add_local(local);
            own[id.index()] = new.index() as u32;
            let symbol = &mut self.symbols[id.index()];
            symbol.definition = Definition::Undefined;
            symbol.value = 0;
            symbol.size = 0;
            detached.push(new);
        }
        for edge in &mut self.edges {
            let Some(new) = own.get(edge.target.index()).filter(|new| **new != NONE) else { continue };
            let section = &self.sections[self.blocks[edge.block.index()].section.index()];
            let by_itself = matches!(section.kind, SectionKind::EhFrame | SectionKind::Initializers(_));
            let calls = matches!(self.machine.fixup(edge.kind).expr, Expr::Branch | Expr::StubOffset);
            if by_itself || calls {
                edge.target = SymbolId::from_index(*new as usize);
            }
        }
        detached
    }
}
