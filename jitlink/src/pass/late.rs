//! Loads from slots that need no load after all, decided when every address is known.
//!
//! You give a graph whose definitions and externals have addresses; edges that read a slot become edges to the symbol itself where the instruction
//! allows it and the value fits. Slots stay. The decision before placing, which saves the slots, is `tables`'.

use crate::arch::{Expr, Reach};
use crate::fixup::Operands;
use crate::graph::{Block, Edge, EdgeKind, LinkGraph, SymbolKind};

/// Within this distance everything reaches everything: both instructions of a pair (a page, and an offset in it) decide alike, wherever in their block they
/// stand.
const NEAR: u64 = (1 << 31) - (1 << 20);

pub(crate) fn relax(graph: &mut LinkGraph<'_>) {
    for index in 0..graph.blocks.len() {
        let block = &graph.blocks[index];
        if !block.live {
            continue;
        }
        for edge in block.edge_range() {
            if let Some(kind) = relaxed(graph, &graph.blocks[index], &graph.edges[edge]) {
                graph.edges[edge].kind = kind;
            }
        }
    }
}

fn relaxed(graph: &LinkGraph<'_>, block: &Block<'_>, edge: &Edge) -> Option<EdgeKind> {
    let machine = graph.machine();
    if !machine.fixup(edge.kind).expr.needs_slot() {
        return None;
    }
    let target = graph.symbol(edge.target);
    // What an indirect function is, its slot alone knows; what is null stays one.
    if matches!(target.kind, SymbolKind::ThreadLocal | SymbolKind::Indirect) || target.address == 0 {
        return None;
    }
    let content = block.content.bytes()?;
    let distance = target.address.wrapping_sub(block.address) as i64;
    let paired = matches!(machine.fixup(edge.kind).expr, Expr::SlotPage | Expr::SlotAddress);
    if paired && distance.unsigned_abs().saturating_add(block.size) >= NEAR {
        return None;
    }
    let kind = (machine.relax)(edge.kind, content, edge.offset, edge.addend, Reach::Near)?;
    let operands = Operands {
        symbol: target.address,
        branch: target.address,
        addend: edge.addend,
        place: block.address.wrapping_add(u64::from(edge.offset)),
        size: target.size,
        ..Operands::default()
    };
    machine.fixup(kind).holds(&operands).then_some(kind)
}
