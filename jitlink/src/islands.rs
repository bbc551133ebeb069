//! Islands: veneers between blocks of code, for branches that do not reach what they lead to.
//!
//! **You give** the blocks of a segment of code in order. **You get** the same with islands among them, blocks as all others, where the
//! segment is longer than a branch reaches ([`Veneer::reach`]). It is cut into runs of half of that; behind each run there is room for an
//! island, which has a veneer for every place that branches near it may not reach by themselves. Whether they do is known when they are
//! written, and then the direct way is taken if there is one.
//!
//! **Not here:** branches that reach a few KiB only, which compilers keep within a section, and blocks that are themselves longer than
//! a branch reaches; what does not fit is an error as anywhere else.

use crate::arch::{Expr, Fixup, Veneer};
use crate::graph::{BlockId, Content, Definition, Edge, LinkGraph, Prot, SectionKind, SymbolId, SymbolKind};
use crate::pass::tables::Tables;

/// Veneers that stand together.
#[derive(Clone, Debug)]
pub(crate) struct Island {
    block: BlockId,
    /// From one veneer to the next, in bytes.
    stride: u64,
    /// Where they lead, symbol and addend; sorted.
    places: Vec<(SymbolId, i64)>,
}

impl Island {
    /// The address of the veneer that leads to `symbol + addend`.
    fn leads_to(&self, graph: &LinkGraph<'_>, symbol: SymbolId, addend: i64) -> Option<u64> {
        let number = self.places.binary_search(&(symbol, addend)).ok()?;
        Some(graph.block(self.block).address + number as u64 * self.stride)
    }
}

/// The nearest veneer that leads from `place` to `symbol + addend`. There are as many islands as runs of [`Veneer::reach`]: few.
pub(crate) fn find(
    islands: &[Island],
    graph: &LinkGraph<'_>,
    place: u64,
    symbol: SymbolId,
    addend: i64,
) -> Option<u64> {
    let veneers = islands.iter().filter_map(|island| island.leads_to(graph, symbol, addend));
    veneers.min_by_key(|veneer| veneer.abs_diff(place))
}

/// Whether the code of one segment may be longer than branches reach: `start` bytes of stubs, `blocks`, and `more`.
pub(crate) fn may_be(graph: &LinkGraph<'_>, start: u64, blocks: &[BlockId], more: &[BlockId]) -> bool {
    let Some(veneer) = graph.machine().branches.veneer else { return false };
    let sizes = blocks.iter().chain(more).map(|block| graph.block(*block));
    sizes.map(|block| block.size.saturating_add(block.align())).fold(start, u64::saturating_add) > veneer.reach
}

/// Adds islands to `blocks`, the code of one segment, which stands behind the first `start` bytes (where the stubs are) and before `more`.
pub(crate) fn insert(
    graph: &mut LinkGraph<'_>,
    tables: &mut Tables,
    start: u64,
    blocks: &mut Vec<BlockId>,
    more: &[BlockId],
) -> Vec<Island> {
    let Some(veneer) = graph.machine().branches.veneer else { return Vec::new() };
    if !may_be(graph, start, blocks, more) {
        return Vec::new();
    }
    let all = || blocks.iter().chain(more);
    let plan = Plan::new(graph, &veneer, start, blocks, more);
    let mut wanted: Vec<(usize, (SymbolId, i64))> = Vec::new();
    for block in all() {
        for edge in graph.edges_of(*block) {
            if let Some(place) = plan.wants(graph, &veneer, edge) {
                wanted.push((plan.nearest(place), (edge.target, edge.addend)));
            }
        }
    }
    wanted.sort_unstable();
    wanted.dedup();
    let mut islands = Vec::new();
    let mut new = Vec::new();
    for of_island in wanted.chunk_by(|a, b| a.0 == b.0) {
        let places = of_island.iter().map(|(_, place)| *place).collect();
        let island = build(graph, tables, &veneer, places);
        new.push((plan.cuts[of_island[0].0].0, island.block));
        islands.push(island);
    }
    let mut rest = std::mem::take(blocks).into_iter();
    let mut taken = 0;
    for (position, island) in new {
        blocks.extend(rest.by_ref().take(position - taken));
        blocks.push(island);
        taken = position;
    }
    blocks.extend(rest);
    islands
}

/// Where everything would be without islands.
struct Plan {
    /// By block: its offset in the segment.
    offsets: Vec<u64>,
    /// Where there is room for an island: before which of the blocks, and at which offset. Ascending, at least one.
    cuts: Vec<(usize, u64)>,
}

const ELSEWHERE: u64 = u64::MAX;

impl Plan {
    fn new(graph: &LinkGraph<'_>, veneer: &Veneer, start: u64, blocks: &[BlockId], more: &[BlockId]) -> Self {
        let mut plan = Self { offsets: vec![ELSEWHERE; graph.blocks.len()], cuts: Vec::new() };
        let (mut at, mut run) = (start, 0);
        for (position, id) in blocks.iter().chain(more).enumerate() {
            if position == blocks.len() {
                plan.cuts.push((position, at));
            }
            let block = graph.block(*id);
            let offset = at.checked_next_multiple_of(block.align()).unwrap_or(ELSEWHERE);
            let end = offset.saturating_add(block.size);
            if position < blocks.len() && end - run > veneer.reach / 2 && at > run {
                plan.cuts.push((position, at));
                run = at;
            }
            plan.offsets[id.index()] = offset;
            at = end;
        }
        if more.is_empty() {
            plan.cuts.push((blocks.len(), at));
        }
        plan
    }

    /// The offset of a branch that may need a veneer.
    fn wants(&self, graph: &LinkGraph<'_>, veneer: &Veneer, edge: &Edge) -> Option<u64> {
        if !is_helped(graph.machine().fixup(edge.kind), veneer) {
            return None;
        }
        let place = self.offsets[edge.block.index()].checked_add(u64::from(edge.offset))?;
        let target = graph.symbol(edge.target);
        let to = match target.definition {
            // Both are reached through stubs, which stand first.
            Definition::Undefined | Definition::Absolute if edge.addend != 0 => return None,
            Definition::Undefined | Definition::Absolute => 0,
            Definition::Block(_) if target.kind == SymbolKind::Indirect => 0,
            Definition::Block(block) => match self.offsets[block.index()] {
                ELSEWHERE => return Some(place),
                offset => offset.checked_add(target.value)?.checked_add_signed(edge.addend)?,
            },
            Definition::Linker(_) => return Some(place),
            Definition::Common | Definition::Discarded => return None,
        };
        // Islands between the two make them farther apart.
        (place.abs_diff(to) > veneer.reach / 2).then_some(place)
    }

    /// The number of the cut that is nearest.
    fn nearest(&self, place: u64) -> usize {
        let after = self.cuts.partition_point(|(_, at)| *at < place);
        let distance = |cut: usize| self.cuts.get(cut).map_or(ELSEWHERE, |(_, at)| at.abs_diff(place));
        match after.checked_sub(1) {
            Some(before) if distance(before) < distance(after) => before,
            _ => after.min(self.cuts.len() - 1),
        }
    }
}

/// Whether a row is a branch that reaches as far as veneers are made for.
fn is_helped(row: &Fixup, veneer: &Veneer) -> bool {
    row.expr == Expr::Branch && row.range.ends().1.unsigned_abs() + 1 == veneer.reach
}

/// Makes the veneers to `places`, which are sorted.
fn build(graph: &mut LinkGraph<'_>, tables: &mut Tables, veneer: &Veneer, places: Vec<(SymbolId, i64)>) -> Island {
    let longest = veneer.near.code.len().max(veneer.far.code.len()) as u64;
    let stride = longest.next_multiple_of(u64::from(veneer.align));
    let mut code = vec![graph.machine().filler; places.len() * stride as usize];
    let mut edges = Vec::new();
    for ((target, addend), (number, out)) in places.iter().zip(code.chunks_mut(stride as usize).enumerate()) {
        let far = matches!(graph.symbol(*target).definition, Definition::Undefined | Definition::Absolute);
        if far {
            tables.slots.add(*target);
        }
        let snippet = if far { &veneer.far } else { &veneer.near };
        out[..snippet.code.len()].copy_from_slice(snippet.code);
        for (offset, kind, more) in snippet.fixups {
            edges.push((number as u32 * stride as u32 + offset, *kind, *target, addend + more));
        }
    }
    let section = graph.add_linker_section(b".text.veneers", Prot::READ | Prot::EXEC, SectionKind::Regular);
    let size = code.len() as u64;
    let block = graph.add_block(section, Content::Owned(code.into()), size, u64::from(veneer.align));
    for (offset, kind, target, addend) in edges {
        graph.add_edge(Edge { addend, block, offset, target, kind });
    }
    Island { block, stride, places }
}
