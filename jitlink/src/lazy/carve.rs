//! From what is to be linked together to a graph of its own.

use super::closure::Closure;
use super::{ASK, Progress, Waiting};
use crate::arch::{Expr, Machine};
use crate::graph::{
    BlockId, Content, Definition, Edge, EdgeKind, GlobalDefinition, LinkGraph, Linkage, LinkerSymbol, ObjectId, Prot,
    Scope, Section, SectionFlags, SectionId, SectionKind, Symbol, SymbolId, SymbolKind,
};
use crate::link::Resolution;
use crate::object::ObjectError;
use foldhash::fast::FixedState;
use std::collections::HashMap;

type Map<K, V> = HashMap<K, V, FixedState>;

/// A graph to be linked, and what it is of the waiting graph.
#[derive(Debug)]
pub struct Portion<'w> {
    /// To be linked: all of it is needed, and nothing of it need be named.
    pub graph: LinkGraph<'w>,
    /// What is what.
    pub plan: PortionPlan,
}

/// How a portion goes together with the rest.
#[derive(Debug, Default)]
pub struct PortionPlan {
    /// Blocks there and here.
    pub(super) blocks: Vec<(BlockId, BlockId)>,
    /// Objects there and here.
    pub objects: Vec<(ObjectId, ObjectId)>,
    /// The functions of its new stubs, in the order of their slots, and what they stand for.
    pub(super) stubs: Vec<(SymbolId, (BlockId, u64))>,
    /// The first new stub and the first slot.
    pub(super) stub_symbols: Option<(SymbolId, SymbolId)>,
    /// Symbols whose address is not that of their place, there and here.
    pub(super) special: Vec<(SymbolId, SymbolId)>,
    /// Names of others, there and here.
    externals: Vec<(SymbolId, SymbolId)>,
    /// The name of what stubs call, if it was not known.
    pub(super) ask: Option<SymbolId>,
    /// What is known of symbols that are not defined here; `None` for null.
    outside: Map<SymbolId, Option<Resolution>>,
}

impl PortionPlan {
    /// What of the waiting graph it links.
    #[must_use]
    pub fn linked(&self) -> Vec<BlockId> {
        self.blocks.iter().map(|(there, _)| *there).collect()
    }

    /// Names that others define: their symbols in the waiting graph and in this one.
    pub fn externals(&self) -> impl Iterator<Item = (SymbolId, SymbolId)> + '_ {
        self.externals.iter().copied()
    }

    /// What a symbol of the portion is that is not defined there, if that was known before it was linked.
    #[must_use]
    pub fn outside(&self, here: SymbolId) -> Option<Resolution> {
        self.outside.get(&here).copied().flatten()
    }

    /// Whether there is nothing to link.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.stubs.is_empty()
    }
}

/// The distance from one stub to the next.
pub(super) fn stride(machine: &Machine) -> u64 {
    (machine.lazy_stub.code.len() as u64).next_multiple_of(machine.lazy_stub.align.into())
}

struct Carver<'w, 'p> {
    waiting: &'w Waiting<'w>,
    progress: &'p Progress,
    graph: LinkGraph<'w>,
    plan: PortionPlan,
    blocks: Map<BlockId, BlockId>,
    symbols: Map<SymbolId, SymbolId>,
    /// Functions that are here and have a stub from earlier: the symbols of their stubs.
    stubbed: Map<(BlockId, u64), SymbolId>,
    /// What stands for everything that records of call frames name and that is of no interest.
    nothing: Option<SymbolId>,
}

/// The graph of a closure. With it every symbol of `asked` is among its symbols.
pub(super) fn carve<'w>(closure: Closure<'w, '_>, asked: &[SymbolId]) -> Result<Portion<'w>, ObjectError> {
    let (waiting, progress) = (closure.waiting, closure.progress);
    let mut carver = Carver {
        waiting,
        progress,
        graph: LinkGraph::new(waiting.graph.machine()),
        plan: PortionPlan::default(),
        blocks: Map::default(),
        symbols: Map::default(),
        stubbed: Map::default(),
        nothing: None,
    };
    let blocks = closure.blocks();
    carver.take_blocks(&blocks, &closure);
    carver.define();
    carver.make_stubs(&closure.functions);
    for (block, edges) in &blocks {
        carver.take_edges(*block, &closure.edges[edges.clone()]);
    }
    carver.take_frames(&closure);
    carver.ask(asked);
    Ok(Portion { graph: carver.graph, plan: carver.plan })
}

impl<'w> Carver<'w, '_> {
    /// Gives every block of the closure, and the records of its objects, a place here.
    fn take_blocks(&mut self, blocks: &[(BlockId, std::ops::Range<usize>)], closure: &Closure<'w, '_>) {
        let graph = &self.waiting.graph;
        let mut all: Vec<BlockId> = blocks.iter().map(|(block, _)| *block).collect();
        all.extend(closure.frames.keys().flat_map(|object| self.waiting.frames.get(object).into_iter().flatten()));
        all.sort_unstable();
        let mut object = None;
        for id in all {
            let (block, section) = (graph.block(id), graph.section_of(id));
            if object.is_none_or(|(there, _)| there != section.object) {
                let known = graph.object(section.object);
                let here = self.graph.add_object(known.name.clone(), known.explicit);
                self.plan.objects.push((section.object, here));
                object = Some((section.object, here));
            }
            let Some((_, object)) = object else { continue };
            let mut flags = section.flags - (SectionFlags::MERGE | SectionFlags::STRINGS | SectionFlags::LINK_ORDER);
            // Records stay with their functions; of all else the closure is what is needed.
            flags.set(SectionFlags::RETAIN, section.kind != SectionKind::EhFrame);
            let here =
                self.graph.add_section(Section { object, flags, group: None, linked_to: None, ..section.clone() });
            let content = match &block.content {
                Content::Bytes(bytes) => Content::Bytes(bytes),
                Content::Owned(bytes) => Content::Owned(bytes.clone()),
                Content::Zero => Content::Zero,
            };
            let here = self.graph.add_block(here, content, block.size, block.align());
            self.blocks.insert(id, here);
            if section.kind != SectionKind::EhFrame {
                self.plan.blocks.push((id, here));
            }
        }
    }

    /// Names everything that the blocks define.
    fn define(&mut self) {
        let waiting = self.waiting;
        let touched: Vec<ObjectId> = self.plan.objects.iter().map(|(there, _)| *there).collect();
        for object in &touched {
            let Some(reader) = &waiting.objects[object.index()] else { continue };
            for id in reader.symbols() {
                self.define_one(id);
            }
        }
        for id in waiting.graph.aliases.iter().chain(&waiting.made) {
            self.define_one(*id);
        }
    }

    fn define_one(&mut self, id: SymbolId) {
        let waiting = self.waiting;
        let symbol = waiting.graph.symbol(id);
        let Some(there) = symbol.block() else { return };
        if symbol.kind == SymbolKind::Section || self.symbols.contains_key(&id) {
            return;
        }
        let Some(here) = self.blocks.get(&there).copied() else { return };
        self.add(id, symbol, there, here);
    }

    /// A symbol at a place there whose block is here.
    fn add(&mut self, id: SymbolId, symbol: &Symbol<'w>, there: BlockId, here: BlockId) -> SymbolId {
        let stubbed = self.progress.stubs.contains_key(&(there, symbol.value));
        let object = self.graph.section_of(here).object;
        let definition = Definition::Block(here);
        let new = if symbol.scope > Scope::Local && !stubbed {
            let Symbol { value, size, linkage, scope, kind, .. } = *symbol;
            let offered = GlobalDefinition { definition, value, size, linkage, scope, kind, object };
            self.define_as(symbol.name, offered)
        } else {
            let scope = Scope::Local;
            self.graph.add_local(Symbol { definition, object, scope, needed: false, live: false, ..symbol.clone() })
        };
        if symbol.kind == SymbolKind::Indirect {
            self.plan.special.push((id, new));
        }
        self.symbols.insert(id, new);
        new
    }

    /// A global symbol; the waiting graph has each name once, and so has this one.
    fn define_as(&mut self, name: &'w [u8], offered: GlobalDefinition) -> SymbolId {
        self.graph.define(name, offered).unwrap_or_else(|redefined| redefined.symbol)
    }

    /// The object that was added last, for what is of no particular one.
    fn last_object(&self) -> ObjectId {
        ObjectId::from_index(self.graph.objects().len().saturating_sub(1))
    }

    /// A symbol that is somewhere else, and known by its id.
    fn external(&mut self, like: &Symbol<'w>, found: Option<Resolution>) -> SymbolId {
        let object = self.last_object();
        let new = self.graph.add_local(Symbol {
            name: like.name,
            definition: Definition::Undefined,
            value: 0,
            size: like.size,
            address: 0,
            object,
            linkage: Linkage::Strong,
            scope: Scope::Default,
            kind: like.kind,
            // What nobody defines is null for who only refers to it weakly; everything else was found.
            needed: like.needed || found.is_some(),
            live: false,
        });
        self.plan.outside.insert(new, found);
        new
    }

    /// A stub for each of `functions` that is neither here nor linked, nor has one.
    fn make_stubs(&mut self, functions: &[SymbolId]) {
        let waiting = self.waiting;
        let mut places: Map<(BlockId, u64), ()> = Map::default();
        for id in functions {
            let symbol = waiting.graph.symbol(*id);
            let Some(block) = symbol.block() else { continue };
            let place = (block, symbol.value);
            let known = self.blocks.contains_key(&block)
                || self.progress.address_of(block).is_some()
                || self.progress.stubs.contains_key(&place);
            if !known && places.insert(place, ()).is_none() {
                self.plan.stubs.push((*id, place));
            }
        }
        if self.plan.stubs.is_empty() {
            return;
        }
        let machine = self.graph.machine();
        let (stub, word) = (&machine.lazy_stub, u64::from(machine.pointer_size));
        let (stride, count) = (stride(machine), self.plan.stubs.len() as u64);
        let mut text = vec![machine.filler; (count * stride) as usize];
        for one in text.chunks_mut(stride as usize) {
            one[..stub.code.len()].copy_from_slice(stub.code);
        }
        let object = self.graph.add_object("<stubs>", false);
        let text_section = self.section(b".text", object, Prot::READ | Prot::EXEC);
        let data_section = self.section(b".data", object, Prot::READ | Prot::WRITE);
        let align = stub.align.into();
        let text = self.graph.add_block(text_section, Content::Owned(text.into()), count * stride, align);
        let zeros = vec![0; (count * word) as usize].into();
        let slots = self.graph.add_block(data_section, Content::Owned(zeros), count * word, word);
        let text_symbol = self.graph.add_local(local(object, Definition::Block(text), SymbolKind::Unknown));
        let slots_symbol = self.graph.add_local(local(object, Definition::Block(slots), SymbolKind::Object));
        self.plan.stub_symbols = Some((text_symbol, slots_symbol));
        let ask = self.ask_symbol(object);
        for number in 0..count {
            let (at, slot) = ((number * stride) as u32, (number * word) as i64);
            for (offset, kind, addend) in stub.slot_fixups {
                let offset = at + offset;
                self.graph.add_edge(Edge {
                    addend: addend + slot,
                    block: text,
                    offset,
                    target: slots_symbol,
                    kind: *kind,
                });
            }
            for (offset, kind, addend) in stub.ask_fixups {
                self.graph.add_edge(Edge {
                    addend: *addend,
                    block: text,
                    offset: at + offset,
                    target: ask,
                    kind: *kind,
                });
            }
        }
        for number in 0..count {
            let addend = (number * stride + u64::from(stub.entry)) as i64;
            let offset = (number * word) as u32;
            self.graph.add_edge(Edge { addend, block: slots, offset, target: text_symbol, kind: EdgeKind::POINTER64 });
        }
        for number in 0..self.plan.stubs.len() {
            let (id, place) = self.plan.stubs[number];
            let symbol = waiting.graph.symbol(id);
            let offered = GlobalDefinition {
                definition: Definition::Block(text),
                value: number as u64 * stride,
                size: stub.code.len() as u64,
                linkage: symbol.linkage,
                scope: symbol.scope,
                kind: SymbolKind::Function,
                object,
            };
            let stub = self.define_as(symbol.name, offered);
            self.stubbed.insert(place, stub);
        }
    }

    /// The name of what stubs call.
    fn ask_symbol(&mut self, object: ObjectId) -> SymbolId {
        let known = self.progress.ask;
        let ask = self.graph.refer(ASK.as_bytes(), false, Scope::Default, object);
        if known.is_some() {
            self.plan.outside.insert(ask, known);
        } else {
            self.plan.ask = Some(ask);
        }
        ask
    }

    fn section(&mut self, name: &'static [u8], object: ObjectId, prot: Prot) -> SectionId {
        self.graph.add_section(Section {
            name,
            object,
            prot,
            flags: SectionFlags::RETAIN,
            kind: SectionKind::Regular,
            entry_size: 0,
            group: None,
            linked_to: None,
            number: 0,
        })
    }

    fn take_edges(&mut self, there: BlockId, edges: &[Edge]) {
        let Some(block) = self.blocks.get(&there).copied() else { return };
        let section = self.waiting.graph.section_of(there);
        let by_itself = matches!(section.kind, SectionKind::Initializers(_));
        let code = section.prot.contains(Prot::EXEC);
        for edge in edges {
            let expr = self.graph.machine().fixup(edge.kind).expr;
            let direct = by_itself || matches!(expr, Expr::Branch | Expr::StubOffset);
            let alias = if by_itself { None } else { self.alias_of_stub(edge, expr, code) };
            let (target, addend) = alias.unwrap_or_else(|| (self.target(edge.target, direct), edge.addend));
            self.graph.add_edge(Edge { block, target, addend, ..*edge });
        }
    }

    /// A reference by a name of the object's own to where a function begins that has a stub: the address of the function is the stub's, whatever it is called.
    fn alias_of_stub(&mut self, edge: &Edge, expr: Expr, code: bool) -> Option<(SymbolId, i64)> {
        let symbol = self.waiting.graph.symbol(edge.target);
        let block = symbol.block().filter(|_| symbol.scope == Scope::Local)?;
        let addend = match expr {
            Expr::Absolute | Expr::Page => 0,
            Expr::Relative if code => self.graph.machine().operand_addend,
            _ => return None,
        };
        let place = (block, symbol.value.checked_add_signed(edge.addend - addend)?);
        Some((self.stub(symbol, place)?, addend))
    }

    /// The symbol here that stands for one there. `direct`: what is meant is the function itself, if it is here or linked.
    fn target(&mut self, id: SymbolId, direct: bool) -> SymbolId {
        let waiting = self.waiting;
        let symbol = waiting.graph.symbol(id);
        let Some(there) = symbol.block() else { return self.foreign(id, symbol) };
        let place = (there, symbol.value);
        let here = self.blocks.get(&there).copied();
        let stub = if symbol.scope > Scope::Local { self.stub(symbol, place) } else { None };
        if let Some(stub) = stub.filter(|_| !direct || here.is_none()) {
            return stub;
        }
        if let Some(known) = self.symbols.get(&id) {
            return *known;
        }
        if let Some(here) = here {
            return self.add(id, symbol, there, here);
        }
        let address = self.progress.address_of(there).map(|address| address.wrapping_add(symbol.value));
        let address = self.progress.special.get(&id).copied().or(address);
        let found = address.and_then(|address| {
            if symbol.kind == SymbolKind::ThreadLocal || self.is_thread_local(there) {
                return Some(Resolution::thread_local(self.progress.thread_local?.found_at(address)));
            }
            Some(Resolution::new(address, waiting.graph.section_of(there).prot.contains(Prot::EXEC)))
        });
        let kind = if self.is_thread_local(there) { SymbolKind::ThreadLocal } else { symbol.kind };
        // Somebody made a mistake if it is nowhere: then it is reported as a name that nobody defines.
        let new = self.external(&Symbol { kind, needed: true, ..symbol.clone() }, found);
        self.symbols.insert(id, new);
        new
    }

    fn is_thread_local(&self, there: BlockId) -> bool {
        self.waiting.graph.section_of(there).flags.contains(SectionFlags::TLS)
    }

    /// The symbol of a function's stub, if it has one.
    fn stub(&mut self, symbol: &Symbol<'w>, place: (BlockId, u64)) -> Option<SymbolId> {
        if let Some(stub) = self.stubbed.get(&place) {
            return Some(*stub);
        }
        let stub = self.progress.stubs.get(&place)?;
        let stub = self.external(symbol, Some(Resolution::new(stub.address, true)));
        self.stubbed.insert(place, stub);
        Some(stub)
    }

    /// What stands in no block of the waiting graph.
    fn foreign(&mut self, id: SymbolId, symbol: &Symbol<'w>) -> SymbolId {
        if let Some(known) = self.symbols.get(&id) {
            return *known;
        }
        let object = self.last_object();
        let is_first = self.progress.ask.is_none();
        let new = match symbol.definition {
            Definition::Linker(LinkerSymbol::SectionStart | LinkerSymbol::SectionStop) if !is_first => {
                let address = self.progress.special.get(&id).copied().filter(|address| *address != 0);
                self.external(symbol, address.map(|address| Resolution::new(address, false)))
            }
            Definition::Undefined | Definition::Linker(_) => {
                let new = self.graph.refer(symbol.name, !symbol.needed, symbol.scope, object);
                let known = &mut self.graph.symbols[new.index()];
                if known.kind == SymbolKind::Unknown {
                    known.kind = symbol.kind;
                }
                if symbol.definition == Definition::Undefined {
                    self.plan.externals.push((id, new));
                } else {
                    self.plan.special.push((id, new));
                }
                if let Some(found) = self.progress.outside.get(&id) {
                    self.plan.outside.insert(new, *found);
                }
                new
            }
            // The first portion has those that others may look up.
            Definition::Absolute if is_first && symbol.scope > Scope::Local => {
                let Symbol { definition, value, size, linkage, scope, kind, .. } = *symbol;
                self.define_as(symbol.name, GlobalDefinition { definition, value, size, linkage, scope, kind, object })
            }
            _ => {
                let scope = Scope::Local;
                self.graph.add_local(Symbol { object, scope, needed: false, live: false, ..symbol.clone() })
            }
        };
        self.symbols.insert(id, new);
        new
    }

    /// The records of call frames: all of each object, since what is of no function here goes when the portion is pruned.
    fn take_frames(&mut self, closure: &Closure<'w, '_>) {
        let waiting = self.waiting;
        let mut objects: Vec<ObjectId> = closure.frames.keys().copied().collect();
        objects.sort_unstable();
        for object in objects {
            for edge in &closure.frames[&object].edges {
                let Some(block) = self.blocks.get(&edge.block).copied() else { continue };
                let symbol = waiting.graph.symbol(edge.target);
                let waits = symbol.block().is_some_and(|there| {
                    let is_known = self.blocks.contains_key(&there) || self.progress.address_of(there).is_some();
                    !is_known && !self.stubbed.contains_key(&(there, symbol.value))
                });
                let target = if waits { self.nothing() } else { self.target(edge.target, true) };
                self.graph.add_edge(Edge { block, target, ..*edge });
            }
        }
    }

    fn nothing(&mut self) -> SymbolId {
        if let Some(nothing) = self.nothing {
            return nothing;
        }
        let object = self.last_object();
        let nothing = self.graph.add_local(local(object, Definition::Absolute, SymbolKind::Unknown));
        self.nothing = Some(nothing);
        nothing
    }

    /// Has a block of nothing refer to all of `asked`, and to what stubs to come will call.
    fn ask(&mut self, asked: &[SymbolId]) {
        if asked.is_empty() && self.progress.ask.is_some() {
            return;
        }
        let object = self.graph.add_object("<asked>", false);
        let section = self.section(b".asked", object, Prot::READ);
        let block = self.graph.add_block(section, Content::Owned(Box::default()), 0, 1);
        let keep = |target| Edge { addend: 0, block, offset: 0, target, kind: EdgeKind::KEEP_ALIVE };
        if self.progress.ask.is_none() {
            let ask = self.ask_symbol(object);
            self.graph.add_edge(keep(ask));
        }
        for id in asked {
            let target = self.foreign(*id, self.waiting.graph.symbol(*id));
            self.graph.add_edge(keep(target));
        }
    }
}

fn local(object: ObjectId, definition: Definition, kind: SymbolKind) -> Symbol<'static> {
    Symbol {
        name: b"",
        definition,
        value: 0,
        size: 0,
        address: 0,
        object,
        linkage: Linkage::Strong,
        scope: Scope::Local,
        kind,
        needed: false,
        live: false,
    }
}
