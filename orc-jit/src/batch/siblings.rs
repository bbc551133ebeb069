//! Several graphs of one dylib: whose definition of a name is the dylib's?
//!
//! The rules are those inside of one graph (gABI, "Symbol Table"): one strong definition, to which all others yield; a common symbol before
//! weak ones; otherwise the first. What is linked already stays where it is: it is first. Dylibs without units have one graph, and cost
//! nothing here.

use super::gather::{EARLIER, Gathered};
use super::{UnitId, UnitKey, View};
use crate::error::Error;
use dylib_graph::DylibId;
use jitlink::LinkGraph;
use jitlink::graph::{Definition, Linkage, Scope, Symbol, SymbolId, SymbolKind};
use std::collections::HashMap;

/// The definitions of dylibs that have units.
#[derive(Debug)]
pub(super) struct Siblings<'f> {
    /// By dylib and name: the graph whose definition counts.
    first: HashMap<DylibId, HashMap<&'f [u8], usize>>,
    /// The graph of each unit.
    graphs: HashMap<UnitKey, usize>,
}

/// How strong a definition is: others yield to it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Weak,
    Common,
    Strong,
}

fn rank(symbol: &Symbol<'_>) -> Rank {
    match (symbol.definition, symbol.linkage) {
        (Definition::Common, _) => Rank::Common,
        (_, Linkage::Strong) => Rank::Strong,
        _ => Rank::Weak,
    }
}

/// The definitions of a graph that its dylib sees, without those of earlier batches.
fn shared<'g, 'f>(graph: &'g LinkGraph<'f>) -> impl Iterator<Item = (SymbolId, &'g Symbol<'f>)> + 'g {
    let symbols = graph.symbols().iter().enumerate().map(|(index, symbol)| (SymbolId::from_index(index), symbol));
    symbols.filter(|(_, symbol)| {
        symbol.is_defined()
            && symbol.scope > Scope::Local
            && !symbol.name.is_empty()
            && graph.object(symbol.object).name != EARLIER
    })
}

impl<'f> Siblings<'f> {
    pub(super) fn new<E>(view: &View<'_, E>, gathered: &[Gathered<'f>]) -> Self {
        let mut siblings = Self { first: HashMap::new(), graphs: HashMap::new() };
        for (at, one) in gathered.iter().enumerate() {
            siblings.graphs.insert(one.key, at);
            if view.part(one.key.dylib).is_none_or(|part| part.units.is_empty()) {
                continue;
            }
            let first = siblings.first.entry(one.key.dylib).or_default();
            for (_, symbol) in shared(&one.graph) {
                let known = first.entry(symbol.name).or_insert(at);
                let graph = &gathered[*known].graph;
                let before = graph.find(symbol.name).map(|id| rank(graph.symbol(id)));
                if before < Some(rank(symbol)) {
                    *known = at;
                }
            }
        }
        siblings
    }

    /// The graph that defines `name` for `dylib`, which has units; `None` for other dylibs.
    pub(super) fn graph_for(&self, dylib: DylibId, name: &[u8]) -> Option<Option<usize>> {
        self.first.get(&dylib).map(|first| first.get(name).copied())
    }

    /// Whether definitions of `dylib` may yield to each other: it has units.
    pub(super) fn has(&self, dylib: DylibId) -> bool {
        self.first.contains_key(&dylib)
    }

    /// The graph of a unit.
    pub(super) fn graph_of(&self, key: UnitKey) -> Option<usize> {
        self.graphs.get(&key).copied()
    }

    /// Two strong definitions of one name in one dylib are an error, as in one graph.
    pub(super) fn refuse_duplicates<E>(&self, view: &View<'_, E>, gathered: &[Gathered<'_>]) -> Result<(), Error> {
        for (at, one) in gathered.iter().enumerate() {
            let UnitKey { dylib, unit } = one.key;
            let (Some(first), Some(part)) = (self.first.get(&dylib), view.part(dylib)) else { continue };
            for (_, symbol) in shared(&one.graph).filter(|(_, symbol)| rank(symbol) == Rank::Strong) {
                let file = |graph: &LinkGraph<'_>, symbol: &Symbol<'_>| graph.object(symbol.object).name.clone();
                let before = first.get(symbol.name).filter(|before| **before != at).map(|before| {
                    let graph = &gathered[*before].graph;
                    graph.find(symbol.name).map(|id| file(graph, graph.symbol(id))).unwrap_or_default()
                });
                let before = before.or_else(|| {
                    let known = part.find_beside(unit, symbol.name)?;
                    (known.name.linkage == Linkage::Strong).then(|| part.title_of(known.unit))
                });
                if let Some(before) = before {
                    let name = String::from_utf8_lossy(symbol.name).into_owned();
                    return Err(Error::Duplicate { symbol: name, first: before, second: file(&one.graph, symbol) });
                }
            }
        }
        Ok(())
    }

    /// A common symbol that yields to another of this batch: the largest of them is the size of both.
    pub(super) fn widen(&self, gathered: &mut [Gathered<'_>], at: usize, id: SymbolId) {
        let one = &gathered[at];
        let symbol = one.graph.symbol(id);
        let first = self.first.get(&one.key.dylib).and_then(|first| first.get(symbol.name));
        let (Some(first), Definition::Common) = (first.copied(), symbol.definition) else { return };
        let (size, align) = (symbol.size, symbol.value);
        if let Some(id) = gathered[first].graph.find(symbol.name) {
            gathered[first].graph.widen_common(id, size, align);
        }
    }

    /// The unit of the same dylib that a definition yields to: one with a strong definition if `strong`, or else an older one with another.
    pub(super) fn owner<E>(
        &self,
        view: &View<'_, E>,
        gathered: &[Gathered<'_>],
        at: usize,
        id: SymbolId,
        strong: bool,
    ) -> Option<UnitId> {
        let UnitKey { dylib, unit } = gathered[at].key;
        let first = self.first.get(&dylib)?;
        let symbol = gathered[at].graph.symbol(id);
        if !yields(symbol) {
            return None;
        }
        let now = first.get(symbol.name).copied().filter(|now| *now != at).and_then(|now| {
            let graph = &gathered[now].graph;
            let other = graph.symbol(graph.find(symbol.name)?);
            (other.is_defined() && (rank(other) == Rank::Strong) == strong).then_some(gathered[now].key.unit)
        });
        let before = || {
            let known = view.part(dylib)?.find_beside(unit, symbol.name)?;
            ((known.name.linkage == Linkage::Strong) == strong).then_some(known.unit)
        };
        if strong { now.or_else(before) } else { before().or(now) }
    }
}

/// Whether a definition gives way to another of its dylib.
fn yields(symbol: &Symbol<'_>) -> bool {
    let placed = symbol.block().is_some() || symbol.definition == Definition::Common;
    placed
        && rank(symbol) != Rank::Strong
        && symbol.scope > Scope::Local
        && symbol.kind != SymbolKind::Indirect
        && !symbol.name.is_empty()
}
