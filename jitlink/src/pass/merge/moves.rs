//! Where pieces went, and what follows them: symbols and relocations.

use super::{MergeError, Merged};
use crate::graph::{BlockId, Definition, Edge, LinkGraph, Linkage, ObjectId, Scope, Symbol, SymbolId, SymbolKind};
use std::ops::Range;

/// One piece of a merged block: it stood at `from` of its block and is at `to` of the new one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) from: u32,
    pub(super) to: u32,
}

/// One merged block.
#[derive(Clone, Debug)]
struct Move {
    output: BlockId,
    /// Its pieces, in order.
    pieces: Range<usize>,
    size: u64,
}

/// All merged blocks and their pieces.
#[derive(Debug, Default)]
pub(super) struct Moves {
    pub(super) pieces: Vec<Piece>,
    moves: Vec<Move>,
    /// By block: its position in `moves` plus one, or 0.
    by_block: Vec<u32>,
}

impl Moves {
    /// Says that pieces of `block`, which goes to `output`, come next.
    pub(super) fn begin(&mut self, block: BlockId, output: BlockId) -> usize {
        let start = self.pieces.len();
        self.moves.push(Move { output, pieces: start..start, size: 0 });
        if self.by_block.len() <= block.index() {
            self.by_block.resize(block.index() + 1, 0);
        }
        self.by_block[block.index()] = self.moves.len() as u32;
        start
    }

    /// Says that all pieces of the block that was begun last are there.
    pub(super) fn end(&mut self, start: usize, size: u64) {
        let last = self.moves.last_mut().expect("a block was begun");
        last.pieces = start..self.pieces.len();
        last.size = size;
    }

    fn of(&self, block: BlockId) -> Option<&Move> {
        let position = *self.by_block.get(block.index())?;
        self.moves.get((position as usize).checked_sub(1)?)
    }

    /// Where offset `at` of a merged block is now: in its piece, or at the end of the last piece for the end of the block.
    fn target(&self, moved: &Move, at: u64) -> Option<u64> {
        if at > moved.size {
            return None;
        }
        let pieces = &self.pieces[moved.pieces.clone()];
        let piece = pieces[pieces.partition_point(|piece| u64::from(piece.from) <= at) - 1];
        Some(u64::from(piece.to) + (at - u64::from(piece.from)))
    }

    /// Moves every symbol that stands in a merged block, and every relocation that names such a block by its section.
    pub(super) fn apply(&self, graph: &mut LinkGraph<'_>, stats: &mut Merged) -> Result<(), MergeError> {
        if self.moves.is_empty() {
            return Ok(());
        }
        let sections = self.move_symbols(graph)?;
        if !sections.is_empty() {
            self.move_edges(graph, &sections, stats)?;
        }
        Ok(())
    }

    /// A symbol with a name goes where the piece went that it stands in, whatever addends its users have. Gives the others:
    /// a section's symbol stands for as many pieces as there are.
    fn move_symbols(&self, graph: &mut LinkGraph<'_>) -> Result<Bits, MergeError> {
        let mut sections = Bits::default();
        for i in 0..graph.symbols.len() {
            let symbol = &mut graph.symbols[i];
            let Some(moved) = symbol.block().and_then(|block| self.of(block)) else { continue };
            if symbol.kind == SymbolKind::Section {
                sections.set(i, graph.symbols.len());
            } else if let Some(value) = self.target(moved, symbol.value) {
                symbol.definition = Definition::Block(moved.output);
                symbol.value = value;
            } else {
                return Err(outside(graph, SymbolId::from_index(i), moved.size));
            }
        }
        Ok(sections)
    }

    /// A relocation against a section's symbol finds its piece by value and addend together, and then names the new block.
    ///
    /// In a PC-relative field that is not the last of its instruction, the addend also makes up for the distance to the next
    /// instruction (-4 for most), which leads to the wrong piece. Assemblers know that: GNU as and LLVM keep the symbol of the
    /// piece in such relocations and name sections of this kind only where addend and place in the section are one. So do we
    /// read them, as GNU ld and lld do: literally.
    fn move_edges(&self, graph: &mut LinkGraph<'_>, sections: &Bits, stats: &mut Merged) -> Result<(), MergeError> {
        let mut anchors = Anchors::default();
        let mut slots = Vec::new();
        for i in 0..graph.blocks.len() {
            if !graph.blocks[i].live {
                continue;
            }
            for at in graph.blocks[i].edge_range() {
                let edge = graph.edges[at];
                if !sections.get(edge.target.index()) {
                    continue;
                }
                let symbol = graph.symbol(edge.target);
                let Some(moved) = symbol.block().and_then(|block| self.of(block)) else { continue };
                // A GOT slot holds the symbol's own address; what is added to the slot's is no place in the section.
                let slot = graph.machine().fixup(edge.kind).expr.needs_slot();
                let addend = if slot { 0 } else { edge.addend };
                let place = i128::from(symbol.value) + i128::from(addend);
                let target = u64::try_from(place).ok().and_then(|place| self.target(moved, place));
                let Some(target) = target else { return Err(edge_outside(graph, &edge, place, moved.size)) };
                stats.edges += 1;
                if slot {
                    slots.push((at, moved.output, target));
                } else {
                    let anchor = anchors.of(graph, moved.output);
                    // Places in the new block are below 4 GiB.
                    graph.edges[at] = Edge { target: anchor, addend: target as i64, ..edge };
                }
            }
        }
        for (at, output, value) in slots {
            let object = graph.section_of(output).object;
            graph.edges[at].target = graph.add_local(anonymous(output, value, object));
        }
        Ok(())
    }
}

/// For each new block that needs one, a symbol without a name at its start.
#[derive(Debug, Default)]
struct Anchors(Vec<(BlockId, SymbolId)>);

impl Anchors {
    fn of(&mut self, graph: &mut LinkGraph<'_>, block: BlockId) -> SymbolId {
        // New blocks are made in order, and are as few as there are kinds.
        match self.0.binary_search_by_key(&block, |(block, _)| *block) {
            Ok(at) => self.0[at].1,
            Err(at) => {
                let object = graph.section_of(block).object;
                let symbol = graph.add_local(anonymous(block, 0, object));
                self.0.insert(at, (block, symbol));
                symbol
            }
        }
    }
}

fn anonymous<'data>(block: BlockId, value: u64, object: ObjectId) -> Symbol<'data> {
    Symbol {
        name: b"",
        definition: Definition::Block(block),
        value,
        size: 0,
        address: 0,
        object,
        linkage: Linkage::Strong,
        scope: Scope::Local,
        kind: SymbolKind::Unknown,
        needed: false,
        live: true,
    }
}

/// A set of symbols: one bit each, so that the test for every edge stays in the nearest cache.
#[derive(Debug, Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn set(&mut self, index: usize, of: usize) {
        if self.0.is_empty() {
            self.0.resize(of.div_ceil(64), 0);
        }
        self.0[index / 64] |= 1 << (index % 64);
    }

    #[inline]
    fn get(&self, index: usize) -> bool {
        self.0.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }
}

fn outside(graph: &LinkGraph<'_>, id: SymbolId, size: u64) -> MergeError {
    let symbol = graph.symbol(id);
    let section = symbol.block().map_or(&b""[..], |block| graph.section_of(block).name);
    MergeError::SymbolOutside {
        object: graph.object(symbol.object).name.clone(),
        symbol: String::from_utf8_lossy(symbol.name).into_owned(),
        value: symbol.value,
        section: String::from_utf8_lossy(section).into_owned(),
        size,
    }
}

fn edge_outside(graph: &LinkGraph<'_>, edge: &Edge, target: i128, size: u64) -> MergeError {
    let section = graph.section_of(edge.block);
    let merged = graph.symbol(edge.target).block().map_or(&b""[..], |block| graph.section_of(block).name);
    MergeError::EdgeOutside {
        object: graph.object(section.object).name.clone(),
        section: String::from_utf8_lossy(section.name).into_owned(),
        offset: edge.offset,
        target: target.clamp(i64::MIN.into(), i64::MAX.into()) as i64,
        merged: String::from_utf8_lossy(merged).into_owned(),
        size,
    }
}
