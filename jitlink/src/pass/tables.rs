//! Which symbols need a GOT slot or a stub, and which loads from slots need none after all.
//!
//! Tables are dense arrays by symbol: no names, no hashing. A slot or stub that only unreachable code asks for is never made.

use super::tls;
use crate::arch::{Expr, Machine, Reach, TlsModel};
use crate::error::{LinkError, Places};
use crate::graph::{Block, BlockId, Definition, Edge, EdgeKind, LinkGraph, Rare, SymbolId, SymbolKind};
use crate::workers::{self, Workers};
use std::ops::Range;

/// "Has none" in the arrays below.
const NONE: u32 = u32::MAX;

/// One table: symbols in the order of their slots, and back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) symbols: Vec<SymbolId>,
    index: Vec<u32>,
}

impl Table {
    fn new(symbols: usize) -> Self {
        Self { symbols: Vec::new(), index: vec![NONE; symbols] }
    }

    /// The index of the symbol's entry.
    #[inline]
    pub(crate) fn of(&self, symbol: SymbolId) -> Option<usize> {
        let index = *self.index.get(symbol.index())?;
        (index != NONE).then_some(index as usize)
    }

    pub(crate) fn add(&mut self, symbol: SymbolId) {
        let slot = &mut self.index[symbol.index()];
        if *slot == NONE {
            *slot = self.symbols.len() as u32;
            self.symbols.push(symbol);
        }
    }
}

/// What placing has to make room for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tables {
    /// Slots that hold a symbol's address.
    pub(crate) slots: Table,
    /// Stubs, each with a slot of its own that holds where it jumps.
    pub(crate) stubs: Table,
    /// Indirect functions: each has a stub, whose slot the executor fills by calling the resolver.
    pub(crate) indirect: Table,
    /// Edges that hold an undefined symbol's address directly; they may have to be content with its stub.
    pub(crate) direct: Vec<u32>,
    /// Branches to weak symbols that nobody here defines, where it counts what becomes of them if nobody does.
    pub(crate) weak_branches: Vec<u32>,
    /// Edges that access thread-local variables.
    pub(crate) thread_local: Vec<u32>,
    /// What they may have to read.
    pub(crate) thread_local_slots: tls::Slots,
    /// Some code holds the distance of a thread-local variable from the thread pointer.
    pub(crate) constant_distance: bool,
    /// Some code holds addresses in 32 bits.
    pub(crate) low: bool,
    /// Somebody asked for `_GLOBAL_OFFSET_TABLE_` or computes relative to it.
    pub(crate) got_base: bool,
}

/// Fewer edges than this are not cut: to look at them takes as long as to start a thread.
const FEW: usize = 64 << 10;

/// Decides for every live edge; edges whose slot is not needed get the relaxed kind.
pub(crate) fn build(graph: &mut LinkGraph<'_>, plain: bool, workers: &dyn Workers) -> Result<Tables, LinkError> {
    let count = graph.symbols.len();
    let mut tables =
        Tables { slots: Table::new(count), stubs: Table::new(count), indirect: Table::new(count), ..Tables::default() };
    let pieces = cut(graph, workers.count());
    let telling = Telling::of(graph.machine());
    let shared = &*graph;
    for told in workers::map(workers, pieces.clone(), |blocks| telling.look(shared, blocks)) {
        tables.low |= told.low;
        tables.thread_local.extend(told.thread_local);
    }
    for edge in &tables.thread_local {
        let variable = graph.edges[*edge as usize].target;
        tls::note(graph, variable);
    }
    let reach = if tables.low { Reach::Low } else { Reach::Near };
    let may_relax = !plain && stays_within_reach(graph);
    let relax = may_relax.then_some(reach);
    let loaded = if graph.machine().in_pieces { loaded_in_pieces(graph, relax) } else { Vec::new() };
    let shared = &*graph;
    // Taken in the order of the pieces, so that slots and stubs are numbered as by one thread, and the first error counts.
    for wishes in workers::map(workers, pieces, |blocks| Wishes::of(shared, blocks, relax, &loaded)) {
        tables.take(graph, wishes?);
    }
    let indirect = if graph.rare.contains(Rare::INDIRECT) { count } else { 0 };
    for index in 0..indirect {
        let symbol = &graph.symbols[index];
        if symbol.kind == SymbolKind::Indirect && symbol.block().is_some_and(|block| graph.block(block).live) {
            let id = SymbolId::from_index(index);
            tables.indirect.add(id);
        }
    }
    tables.thread_local_slots = tls::Slots::new(graph, &tables.thread_local);
    Ok(tables)
}

/// Pieces of the blocks, with about as many edges each.
fn cut(graph: &LinkGraph<'_>, workers: usize) -> Vec<Range<usize>> {
    let (blocks, edges) = (graph.blocks.len(), graph.edges.len());
    // A few for each, so that nobody waits long for the slowest.
    let pieces = if workers < 2 { 1 } else { (edges / FEW).clamp(1, workers * 4) };
    let mut all = Vec::with_capacity(pieces);
    let mut start = 0;
    let mut seen = 0;
    for (index, block) in graph.blocks.iter().enumerate() {
        seen += block.edge_range().len();
        if all.len() + 1 < pieces && seen >= edges / pieces {
            all.push(start..index + 1);
            (start, seen) = (index + 1, 0);
        }
    }
    all.push(start..blocks);
    all
}

/// Which kinds of edges tell something of the whole link, that has to be known before anything is decided.
struct Telling {
    narrow: [bool; 256],
    thread_local: [bool; 256],
}

/// What edges tell of the whole link.
struct Told {
    /// Live code holds the address of something placeable in fewer bits than a pointer has.
    low: bool,
    /// Edges that access thread-local variables.
    thread_local: Vec<u32>,
}

impl Telling {
    fn of(machine: &Machine) -> Self {
        let mut telling = Self { narrow: [false; 256], thread_local: [false; 256] };
        for (kind, fixup) in machine.fixups.iter().enumerate() {
            telling.narrow[kind] = fixup.holds_low_addresses(machine.pointer_size);
            telling.thread_local[kind] = matches!(fixup.expr, Expr::Tls(_));
        }
        telling
    }

    fn look(&self, graph: &LinkGraph<'_>, blocks: Range<usize>) -> Told {
        let mut told = Told { low: false, thread_local: Vec::new() };
        for block in graph.blocks[blocks].iter().filter(|block| block.live) {
            let range = block.edge_range();
            for (edge, index) in graph.edges[range.clone()].iter().zip(range) {
                let kind = usize::from(edge.kind.0);
                told.low |= self.narrow[kind] && graph.symbol(edge.target).definition != Definition::Absolute;
                if self.thread_local[kind] && graph.symbol(edge.target).definition != Definition::Discarded {
                    told.thread_local.push(index as u32);
                }
            }
        }
        told
    }
}

/// What some blocks ask for, in the order of their edges.
#[derive(Debug, Default)]
struct Wishes {
    slots: Vec<SymbolId>,
    stubs: Vec<SymbolId>,
    /// Edges whose slot is not needed, with the kind that does without.
    relaxed: Vec<(u32, EdgeKind)>,
    direct: Vec<u32>,
    weak_branches: Vec<u32>,
    constant_distance: bool,
    got_base: bool,
}

impl Tables {
    fn take(&mut self, graph: &mut LinkGraph<'_>, wishes: Wishes) {
        wishes.slots.into_iter().for_each(|symbol| self.slots.add(symbol));
        wishes.stubs.into_iter().for_each(|symbol| self.stubs.add(symbol));
        for (edge, kind) in wishes.relaxed {
            graph.edges[edge as usize].kind = kind;
        }
        self.direct.extend(wishes.direct);
        self.weak_branches.extend(wishes.weak_branches);
        self.constant_distance |= wishes.constant_distance;
        self.got_base |= wishes.got_base;
    }
}

impl Wishes {
    fn of(
        graph: &LinkGraph<'_>,
        blocks: Range<usize>,
        relax: Option<Reach>,
        loaded: &[bool],
    ) -> Result<Self, LinkError> {
        let mut wishes = Self::default();
        for block in graph.blocks[blocks].iter().filter(|block| block.live) {
            wishes.visit(graph, block, relax, loaded)?;
        }
        Ok(wishes)
    }

    fn visit(
        &mut self,
        graph: &LinkGraph<'_>,
        block: &Block<'_>,
        relax: Option<Reach>,
        loaded: &[bool],
    ) -> Result<(), LinkError> {
        let machine = graph.machine();
        for index in block.edge_range() {
            let edge = graph.edges[index];
            let target = graph.symbol(edge.target);
            let expr = machine.fixup(edge.kind).expr;
            let foreign = target.definition == Definition::Undefined;
            match expr {
                Expr::KeepAlive | Expr::Size => {}
                _ if target.definition == Definition::Discarded => return Err(discarded(graph, index)),
                Expr::Tls(model) => {
                    self.constant_distance |= matches!(model, TlsModel::LocalExec | TlsModel::InitialExec);
                }
                // Rows that only lowering makes.
                Expr::Symbol
                | Expr::TlsSlot
                | Expr::TlsSlotPage
                | Expr::TlsSlotAddress
                | Expr::TlsSlotOffset
                | Expr::TlsModuleOffset
                | Expr::TlsModule => {}
                _ if target.kind == SymbolKind::ThreadLocal => return Err(mismatch(graph, index)),
                Expr::Branch | Expr::StubOffset => {
                    self.got_base |= expr == Expr::StubOffset;
                    // An absolute address may be as far away as one of another dylib.
                    let far = || machine.branches.may_call(machine.fixup(edge.kind).range.ends().1);
                    if foreign || (target.definition == Definition::Absolute && far()) {
                        let null = foreign && !target.needed && (machine.branches.null)(edge.kind).is_some();
                        self.stubs.push(edge.target);
                        if null {
                            self.weak_branches.push(index as u32);
                        }
                    }
                }
                // From the symbol to the place: of no use to code, so that no stub can stand for the symbol.
                Expr::Reverse => {}
                // No stub stands in for what is told of a section.
                Expr::SectionOffset | Expr::SectionNumber => {}
                Expr::Absolute | Expr::Relative | Expr::Page | Expr::ImageOffset => {
                    if foreign && !machine.fixup(edge.kind).holds_any_address(machine.pointer_size) {
                        self.stubs.push(edge.target);
                        self.direct.push(index as u32);
                    }
                }
                Expr::GotBase | Expr::GotOffset => self.got_base = true,
                Expr::Slot | Expr::SlotOffset | Expr::SlotPage | Expr::SlotAddress | Expr::SlotFromPage => {
                    self.got_base |= matches!(expr, Expr::SlotOffset | Expr::SlotFromPage);
                    let relaxed = if loaded.get(edge.target.index()) == Some(&true) {
                        None
                    } else {
                        relaxed(graph, &edge, relax)
                    };
                    match relaxed {
                        Some(kind) => self.relaxed.push((index as u32, kind)),
                        None => self.slots.push(edge.target),
                    }
                }
            }
        }
        Ok(())
    }
}

/// The row that does without the slot, if the symbol is where that is possible and the instruction is one that can.
fn relaxed(graph: &LinkGraph<'_>, edge: &Edge, relax: Option<Reach>) -> Option<EdgeKind> {
    let target = graph.symbol(edge.target);
    let constant = target.definition == Definition::Absolute && target.value < 1 << 31;
    let reach = match target.block() {
        Some(block) => relax.filter(|_| !is_far(graph, block)),
        None => relax.filter(|_| constant).map(|_| Reach::Constant),
    };
    let content = graph.block(edge.block).content.bytes()?;
    (graph.machine().relax)(edge.kind, content, edge.offset, edge.addend, reach?)
}

/// By symbol: whether some piece of code that loads its slot cannot do without, so that none can.
fn loaded_in_pieces(graph: &LinkGraph<'_>, relax: Option<Reach>) -> Vec<bool> {
    let mut loaded = vec![false; graph.symbols.len()];
    for block in graph.blocks.iter().filter(|block| block.live) {
        for edge in &graph.edges[block.edge_range()] {
            if graph.machine().fixup(edge.kind).expr.needs_slot() && relaxed(graph, edge, relax).is_none() {
                loaded[edge.target.index()] = true;
            }
        }
    }
    loaded
}

/// An ordinary reference to a thread-local variable.
#[cold]
fn mismatch(graph: &LinkGraph<'_>, edge: usize) -> LinkError {
    let edge = graph.edges[edge];
    let symbol = String::from_utf8_lossy(graph.symbol(edge.target).name).into_owned();
    LinkError::ThreadLocalMismatch {
        place: Places::new(graph).boxed(edge.block, u64::from(edge.offset)),
        symbol,
        defined: true,
    }
}

#[cold]
fn discarded(graph: &LinkGraph<'_>, edge: usize) -> LinkError {
    let edge = graph.edges[edge];
    let name = graph.symbol(edge.target).name;
    let symbol = if name.is_empty() { "a section".into() } else { String::from_utf8_lossy(name).into_owned() };
    LinkError::Discarded { place: Places::new(graph).boxed(edge.block, u64::from(edge.offset)), symbol }
}

fn is_far(graph: &LinkGraph<'_>, block: BlockId) -> bool {
    graph.section_of(block).flags.contains(crate::graph::SectionFlags::LARGE)
}

/// Whether every near block is sure to lie within the machine's reach of every other one, wherever they are placed.
fn stays_within_reach(graph: &LinkGraph<'_>) -> bool {
    // Segments are placed independently, but a memory keeps the near ones within the reach of a link of this size.
    let near = graph.blocks.iter().enumerate().filter(|(i, b)| b.live && !is_far(graph, BlockId::from_index(*i)));
    let total: u64 = near.map(|(_, block)| block.size.saturating_add(block.align())).fold(0, u64::saturating_add);
    total < graph.machine().reach / 4
}
