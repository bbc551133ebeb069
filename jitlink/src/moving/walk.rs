//! The walk over a link that has been written: what each of its fields is counted from.
//!
//! It follows [`crate::write`], and asks for each edge what that did. Not for what is done with the answer.

use super::{Anchor, Field, Group, Moving, is_noted, noted, write_signed};
use crate::arch::{Expr, Field as Width, Fixup, Range, Recipe};
use crate::fixup::Operands;
use crate::graph::{BlockId, Definition, Edge, EdgeKind, LinkerSymbol, Prot, SymbolId, SymbolKind};
use crate::islands;
use crate::layout::At;
use crate::pass::prune::Bounds;
use crate::pass::tls::Shape;
use crate::write::Target;
use std::collections::HashMap;

/// Groups while they are filled.
struct Filling {
    group: Group,
    last: usize,
}

pub(super) struct Walk<'a, 'data> {
    target: &'a Target<'a, 'data>,
    blocks: Vec<Anchor>,
    /// By symbol: its number among externals that were asked for.
    externals: Vec<u32>,
    values: Vec<u64>,
    bounds: Option<Bounds>,
    filling: Vec<Filling>,
    /// By segment, field and near anchors; the rest by key.
    near: Vec<u32>,
    far: HashMap<(u8, Field, Anchor, Anchor), u32>,
}

const NONE: u32 = u32::MAX;
/// Anchors with a position in [`Walk::near`]: constants, thread-local storage, six segments.
const NEAR: usize = 8;

fn near(anchor: Anchor) -> Option<usize> {
    match anchor {
        Anchor::Fixed => Some(0),
        Anchor::ThreadLocal => Some(1),
        Anchor::Segment(segment) if usize::from(segment) < NEAR - 2 => Some(2 + usize::from(segment)),
        Anchor::Segment(_) | Anchor::External(_) | Anchor::Module | Anchor::ModuleOffset => None,
    }
}

impl<'a, 'data> Walk<'a, 'data> {
    pub(super) fn new(target: &'a Target<'a, 'data>, has_siblings: bool) -> Self {
        let graph = target.graph;
        let mut blocks = vec![Anchor::Fixed; graph.blocks().len()];
        for (block, at) in &target.layout.blocks {
            blocks[block.index()] = Anchor::Segment(at.segment);
        }
        for (block, _) in &target.layout.thread_local {
            blocks[block.index()] = Anchor::ThreadLocal;
        }
        let mut externals = vec![NONE; graph.symbols().len()];
        let mut values = Vec::new();
        for (index, symbol) in graph.symbols().iter().enumerate() {
            let hidden = symbol.scope < crate::graph::Scope::Protected;
            if symbol.live && symbol.definition == Definition::Undefined && (!hidden || has_siblings) {
                externals[index] = values.len() as u32;
                values.push(symbol.address);
            }
        }
        // One that is represented by its stub has lost its address to it.
        for (id, destination) in target.tables.stubs.symbols.iter().zip(target.destinations) {
            if let Some(value) = values.get_mut(externals[id.index()] as usize) {
                *value = *destination;
            }
        }
        let bounds = (!graph.bounds.is_empty()).then(|| Bounds::new(graph));
        let near = vec![NONE; target.layout.segments.len() * Field::PLAIN.len() * NEAR * NEAR];
        Self { target, blocks, externals, values, bounds, filling: Vec::new(), near, far: HashMap::new() }
    }

    pub(super) fn walk(mut self) -> Result<Moving, &'static str> {
        if self.target.layout.segments.iter().any(|segment| segment.size > u64::from(u32::MAX)) {
            return Err("a segment of more than 4 GiB");
        }
        self.tables()?;
        self.thread_local_slots()?;
        let target = self.target;
        for (id, at) in &target.layout.blocks {
            self.block(*id, *at)?;
        }
        let stubs = (self.target.tables.stubs.symbols.len() + self.target.tables.indirect.symbols.len()) > 0;
        Ok(Moving {
            groups: self.filling.into_iter().map(|filling| filling.group).collect(),
            externals: self.values,
            blocks: self.blocks,
            stubs: stubs.then_some(Anchor::Segment(self.target.layout.stubs.segment)),
        })
    }

    fn add(&mut self, at: At, offset: u64, field: Field, anchors: (Anchor, Anchor)) {
        self.place(at, offset, field, anchors);
    }

    /// Adds a field of a row that was written with `operands`.
    fn add_row(&mut self, (at, offset): (At, u64), kind: EdgeKind, operands: &Operands, anchors: (Anchor, Anchor)) {
        let row = self.target.graph.machine().fixup(kind);
        if row.field == Width::None {
            return;
        }
        let shift = row.rewrite.map_or(0, |rewrite| i64::from(rewrite.shift));
        let field = field_of(kind, row);
        let filling = self.place(at, offset.wrapping_add_signed(shift), field, anchors);
        if let (Some(filling), Field::Row(_), true) = (filling, field, is_noted(row)) {
            write_signed(&mut filling.group.places, noted(row, operands));
        }
    }

    /// Adds a place to the group that it belongs to; none where nothing moves.
    fn place(&mut self, at: At, offset: u64, field: Field, (plus, minus): (Anchor, Anchor)) -> Option<&mut Filling> {
        if plus == minus {
            return None;
        }
        let segment = usize::from(at.segment);
        let plain = Some(usize::from(field.number())).filter(|number| *number < Field::PLAIN.len());
        let slot = match (plain, near(plus), near(minus)) {
            (Some(field), Some(plus), Some(minus)) => {
                let row = segment * Field::PLAIN.len() + field;
                &mut self.near[(row * NEAR + plus) * NEAR + minus]
            }
            _ => self.far.entry((at.segment, field, plus, minus)).or_insert(NONE),
        };
        if *slot == NONE {
            *slot = self.filling.len() as u32;
            let group = Group { segment: at.segment, field, plus, minus, places: Vec::new() };
            self.filling.push(Filling { group, last: 0 });
        }
        let filling = &mut self.filling[*slot as usize];
        let place = (at.offset + offset) as usize;
        write_signed(&mut filling.group.places, place as i64 - filling.last as i64);
        filling.last = place;
        Some(filling)
    }

    /// What the address of a symbol is counted from.
    fn symbol(&self, id: SymbolId) -> Result<Anchor, &'static str> {
        let symbol = self.target.graph.symbol(id);
        Ok(match symbol.definition {
            Definition::Block(_)
                if symbol.kind == SymbolKind::Indirect && self.target.tables.indirect.of(id).is_some() =>
            {
                Anchor::Segment(self.target.layout.stubs.segment)
            }
            Definition::Block(block) => self.blocks[block.index()],
            Definition::Undefined => {
                let number = self.externals[id.index()];
                let own = self.values.get(number as usize);
                match own {
                    Some(value) if *value == symbol.address => Anchor::External(number),
                    Some(_) => Anchor::Segment(self.target.layout.stubs.segment),
                    None => Anchor::Fixed,
                }
            }
            Definition::Absolute | Definition::Common | Definition::Discarded => Anchor::Fixed,
            Definition::Linker(LinkerSymbol::GlobalOffsetTable) => Anchor::Segment(self.target.layout.slots.segment),
            Definition::Linker(LinkerSymbol::Header) => match self.target.layout.header {
                Some(at) => Anchor::Segment(at.segment),
                None if symbol.address == 0 => Anchor::Fixed,
                None => return Err("a header that an earlier batch made"),
            },
            Definition::Linker(LinkerSymbol::ImageBase) => self.image_base(),
            Definition::Linker(LinkerSymbol::ThreadLocalBase) => Anchor::Fixed,
            Definition::Linker(LinkerSymbol::SectionStart | LinkerSymbol::SectionStop) => {
                let members = self.bounds.iter().flat_map(|bounds| bounds.members(symbol.value));
                let live = members.filter(|block| self.target.graph.block(*block).live);
                live.map(|block| self.blocks[block.index()]).next().unwrap_or(Anchor::Fixed)
            }
        })
    }

    /// The tables that the linker makes.
    fn tables(&mut self) -> Result<(), &'static str> {
        let (layout, tables) = (self.target.layout, self.target.tables);
        let machine = self.target.graph.machine();
        let word = u64::from(machine.pointer_size);
        for (number, id) in (0u64..).zip(&tables.slots.symbols) {
            let anchor = self.symbol(*id)?;
            self.add(layout.slots, number * word, Field::Word, (anchor, Anchor::Fixed));
        }
        for (number, id) in (0u64..).zip(&tables.stubs.symbols) {
            let external = self.externals[id.index()];
            if external != NONE {
                self.add(layout.stub_slots, number * word, Field::Word, (Anchor::External(external), Anchor::Fixed));
            }
        }
        if let Some(header) = layout.header {
            let handle = crate::linked::DSO_HANDLE_OFFSET;
            self.add(header, handle, Field::Word, (Anchor::Segment(header.segment), Anchor::Fixed));
        }
        let jumps = tables.stubs.symbols.len();
        for number in 0..jumps + tables.indirect.symbols.len() {
            let slots = if number < jumps { layout.stub_slots } else { layout.indirect_slots };
            let slot = if number < jumps { number } else { number - jumps } as u64 * word;
            for (offset, kind, addend) in machine.stub.slot_fixups {
                let offset = number as u64 * layout.stub_size + u64::from(*offset);
                let operands = Operands {
                    symbol: self.target.address(slots) + slot,
                    addend: *addend,
                    place: self.target.address(layout.stubs) + offset,
                    ..Operands::default()
                };
                let (symbol, place) = (Anchor::Segment(slots.segment), Anchor::Segment(layout.stubs.segment));
                let anchors = self.anchors(machine.fixup(*kind).recipe, place, symbol);
                self.add_row((layout.stubs, offset), *kind, &operands, anchors);
            }
        }
        Ok(())
    }

    /// Slots that accesses of thread-local variables read.
    fn thread_local_slots(&mut self) -> Result<(), &'static str> {
        let Target { layout, tables, known, graph, .. } = *self.target;
        let word = u64::from(graph.machine().pointer_size);
        for (symbol, shape, at) in known.used(&tables.thread_local_slots) {
            if known.is_others(*symbol) {
                return Err("thread-local variables of others at no constant distance from the thread pointer");
            }
            let held: &[Anchor] = match shape {
                Shape::Pair | Shape::Module => &[Anchor::Module, Anchor::ModuleOffset],
                Shape::Distance => &[Anchor::ThreadLocal],
                Shape::Descriptor => return Err("thread-local variables that are found through descriptors"),
            };
            for (number, anchor) in (u64::from(*at)..).zip(held) {
                self.add(layout.thread_local_slots, number * word, Field::Word, (*anchor, Anchor::Fixed));
            }
        }
        Ok(())
    }

    /// What an access of a thread-local variable names that has kept its model, and with what it was written: see [`crate::write`].
    fn thread_local(
        &self,
        (index, edge): (usize, &Edge),
        here: Anchor,
    ) -> Result<((Anchor, Anchor), Operands), &'static str> {
        let Target { graph, known, layout, .. } = *self.target;
        let place = graph.block(edge.block).address.wrapping_add(u64::from(edge.offset));
        let mut operands = Operands { addend: edge.addend, place, ..Operands::default() };
        let row = graph.machine().fixup(edge.kind);
        let anchor = match row.expr {
            Expr::TlsModule | Expr::TlsModuleOffset if known.is_others(edge.target) => {
                return Err("thread-local variables of others that are named by module and offset");
            }
            // Offsets that code has are counted from the image's own storage.
            Expr::TlsModuleOffset if graph.section_of(edge.block).prot.contains(Prot::EXEC) => Anchor::Fixed,
            Expr::TlsModule | Expr::TlsModuleOffset => {
                let variable = known.variable(graph, edge.target);
                let bias = graph.machine().tls.offset_bias;
                let is_module = row.expr == Expr::TlsModule;
                operands.symbol = variable
                    .map_or(0, |variable| if is_module { variable.module } else { variable.offset.wrapping_sub(bias) });
                if is_module { Anchor::Module } else { Anchor::ModuleOffset }
            }
            _ => {
                let word = u64::from(known.slot(index as u32).unwrap_or(0));
                let slots = self.target.address(layout.thread_local_slots);
                operands.slot = slots + word * u64::from(graph.machine().pointer_size);
                operands.got = self.target.address(layout.slots);
                let anchors = self.anchors(row.recipe, here, Anchor::Fixed);
                return Ok(((Anchor::Segment(layout.thread_local_slots.segment), anchors.1), operands));
            }
        };
        Ok(((anchor, Anchor::Fixed), operands))
    }

    /// The edges of a block, as `write` has applied them.
    fn block(&mut self, id: BlockId, at: At) -> Result<(), &'static str> {
        let target = self.target;
        let (graph, layout) = (target.graph, target.layout);
        let machine = graph.machine();
        let block = graph.block(id);
        let Some(content) = block.content.bytes() else { return Ok(()) };
        for (index, edge) in block.edge_range().zip(&graph.edges()[block.edge_range()]) {
            let mut kind = edge.kind;
            let row = machine.fixup(kind);
            if row.expr == Expr::KeepAlive || row.expr == Expr::Size {
                continue;
            }
            let here = self.blocks[id.index()];
            if row.expr.is_thread_local() {
                let (anchors, operands) = self.thread_local((index, edge), here)?;
                self.add_row((at, u64::from(edge.offset)), kind, &operands, anchors);
                continue;
            }
            if row.expr.is_of_section() {
                return Err("offsets in runs of sections");
            }
            let symbol = graph.symbol(edge.target);
            let mut anchors = self.anchors(row.recipe, here, self.symbol(edge.target)?);
            let got = target.address(layout.slots);
            let slot = target.tables.slots.of(edge.target).unwrap_or(0) as u64 * u64::from(machine.pointer_size);
            let mut operands = Operands {
                symbol: symbol.address,
                addend: edge.addend,
                place: block.address.wrapping_add(u64::from(edge.offset)),
                slot: got.wrapping_add(slot),
                got,
                branch: symbol.address,
                size: symbol.size,
                image: target.image_base(),
            };
            if !row.holds(&operands) {
                // As `write::retry` has it.
                let stub = target.tables.stubs.of(edge.target);
                let through_stub = stub
                    .filter(|_| matches!(row.expr, Expr::Branch | Expr::StubOffset))
                    .map(|stub| target.address(layout.stubs) + stub as u64 * layout.stub_size)
                    .map(|branch| Operands { branch, ..operands })
                    .filter(|operands| layout.islands.is_empty() || row.holds(operands));
                let veneer = || islands::find(&layout.islands, graph, operands.place, edge.target, edge.addend);
                if let Some(through_stub) = through_stub {
                    operands = through_stub;
                    anchors.0 = Anchor::Segment(layout.stubs.segment);
                } else if row.expr == Expr::Branch
                    && let Some(veneer) = veneer()
                {
                    operands = Operands { branch: veneer, addend: 0, ..operands };
                    anchors.0 = self.segment_at(veneer);
                } else {
                    let null = (machine.null)(edge.kind, content, edge.offset, edge.addend);
                    kind = null.ok_or("a reference that was written in an unknown way")?;
                    let row = machine.fixup(kind);
                    anchors = self.anchors(row.recipe, here, self.symbol(edge.target)?);
                    if let Some(stub) = stub.filter(|_| row.expr == Expr::Slot) {
                        let slots = target.address(layout.stub_slots);
                        operands.slot = slots + stub as u64 * u64::from(machine.pointer_size);
                        anchors.0 = Anchor::Segment(layout.stub_slots.segment);
                    }
                }
            }
            self.add_row((at, u64::from(edge.offset)), kind, &operands, anchors);
        }
        Ok(())
    }

    /// The segment that an address of the image is in.
    fn segment_at(&self, address: u64) -> Anchor {
        let before = self.target.bases.iter().enumerate().filter(|(_, base)| **base <= address);
        before.max_by_key(|(_, base)| **base).map_or(Anchor::Fixed, |(segment, _)| Anchor::Segment(segment as u8))
    }

    /// The segment that is the lowest.
    fn image_base(&self) -> Anchor {
        let lowest = self.target.bases.iter().enumerate().min_by_key(|(_, base)| **base);
        lowest.map_or(Anchor::Fixed, |(segment, _)| Anchor::Segment(segment as u8))
    }

    /// What a row adds and subtracts.
    fn anchors(&self, recipe: Recipe, place: Anchor, symbol: Anchor) -> (Anchor, Anchor) {
        let anchor = |operand: u8| match operand {
            Recipe::SYMBOL | Recipe::BRANCH => symbol,
            Recipe::PLACE => place,
            Recipe::SLOT | Recipe::GOT => Anchor::Segment(self.target.layout.slots.segment),
            Recipe::IMAGE => self.image_base(),
            _ => Anchor::Fixed,
        };
        (anchor(recipe.plus), anchor(recipe.minus))
    }
}

/// What the field of a row is.
fn field_of(kind: EdgeKind, row: &Fixup) -> Field {
    match (row.field, row.range) {
        (Width::Bytes(8), Range::Any) => Field::Word,
        (Width::Bytes(4), Range::Signed(32)) => Field::Signed,
        (Width::Bytes(4), Range::Unsigned(32)) => Field::Unsigned,
        (Width::Bytes(4), Range::Any) => Field::Wrapping,
        _ => Field::Row(kind),
    }
}
