//! Which symbols need a GOT slot or a stub, and which loads from slots need none after all.
//!
//! Tables are dense arrays by symbol: no names, no hashing. A slot or stub that only unreachable code asks for is never made.

use super::tls;
use crate::arch::{Expr, Reach, TlsModel};
use crate::error::{LinkError, Places};
use crate::graph::{BlockId, Definition, Edge, EdgeKind, LinkGraph, Rare, SymbolId, SymbolKind};

/// Branches that reach less are no calls: 1 MiB and more is what code is called over.
const SHORT_BRANCH: i64 = 1 << 21;

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

/// Decides for every live edge; edges whose slot is not needed get the relaxed kind.
pub(crate) fn build(graph: &mut LinkGraph<'_>, plain: bool) -> Result<Tables, LinkError> {
    let count = graph.symbols.len();
    let mut tables =
        Tables { slots: Table::new(count), stubs: Table::new(count), indirect: Table::new(count), ..Tables::default() };
    tables.low = needs_low_addresses(graph);
    let reach = if tables.low { Reach::Low } else { Reach::Near };
    let may_relax = !plain && stays_within_reach(graph);
    let relax = may_relax.then_some(reach);
    let loaded = if graph.machine().in_pieces { loaded_in_pieces(graph, relax) } else { Vec::new() };
    for index in 0..graph.blocks.len() {
        if graph.blocks[index].live {
            visit(graph, BlockId::from_index(index), &mut tables, relax, &loaded)?;
        }
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

fn visit(
    graph: &mut LinkGraph<'_>,
    block: BlockId,
    tables: &mut Tables,
    relax: Option<Reach>,
    loaded: &[bool],
) -> Result<(), LinkError> {
    let machine = graph.machine();
    for index in graph.block(block).edge_range() {
        let edge = graph.edges[index];
        let target = graph.symbol(edge.target);
        let expr = machine.fixup(edge.kind).expr;
        let foreign = target.definition == Definition::Undefined;
        match expr {
            Expr::KeepAlive | Expr::Size => {}
            _ if target.definition == Definition::Discarded => return Err(discarded(graph, index)),
            Expr::Tls(model) => {
                tables.constant_distance |= matches!(model, TlsModel::LocalExec | TlsModel::InitialExec);
                tables.thread_local.push(index as u32);
                tls::note(graph, edge.target);
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
                tables.got_base |= expr == Expr::StubOffset;
                // An absolute address may be as far away as one of another dylib. Whoever leads a short branch there knows that it reaches.
                let calls = || machine.branches.veneer.map_or(SHORT_BRANCH, |it| SHORT_BRANCH.min(it.reach as i64 - 1));
                let far = || machine.fixup(edge.kind).range.ends().1 >= calls();
                if foreign || (target.definition == Definition::Absolute && far()) {
                    let null = foreign && !target.needed && (machine.branches.null)(edge.kind).is_some();
                    tables.stubs.add(edge.target);
                    if null {
                        tables.weak_branches.push(index as u32);
                    }
                }
            }
            // From the symbol to the place: of no use to code, so that no stub can stand for the symbol.
            Expr::Reverse => {}
            // No stub stands in for what is told of a section.
            Expr::SectionOffset | Expr::SectionNumber => {}
            Expr::Absolute | Expr::Relative | Expr::Page | Expr::ImageOffset => {
                if foreign && !machine.fixup(edge.kind).holds_any_address(machine.pointer_size) {
                    tables.stubs.add(edge.target);
                    tables.direct.push(index as u32);
                }
            }
            Expr::GotBase | Expr::GotOffset => tables.got_base = true,
            Expr::Slot | Expr::SlotOffset | Expr::SlotPage | Expr::SlotAddress | Expr::SlotFromPage => {
                tables.got_base |= matches!(expr, Expr::SlotOffset | Expr::SlotFromPage);
                let relaxed =
                    if loaded.get(edge.target.index()) == Some(&true) { None } else { relaxed(graph, &edge, relax) };
                match relaxed {
                    Some(kind) => graph.edges[index].kind = kind,
                    None => tables.slots.add(edge.target),
                }
            }
        }
    }
    Ok(())
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

/// Whether live code holds the address of something placeable in fewer bits than a pointer has.
fn needs_low_addresses(graph: &LinkGraph<'_>) -> bool {
    let machine = graph.machine();
    let mut narrow = [false; 256];
    for (kind, fixup) in machine.fixups.iter().enumerate() {
        narrow[kind] = fixup.holds_low_addresses(machine.pointer_size);
    }
    graph.blocks.iter().filter(|block| block.live).any(|block| {
        graph.edges[block.edge_range()]
            .iter()
            .any(|edge| narrow[edge.kind.0 as usize] && graph.symbol(edge.target).definition != Definition::Absolute)
    })
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
