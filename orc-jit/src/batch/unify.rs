//! Definitions that are one for all: weak ones, those of COMDAT groups, and `STB_GNU_UNIQUE`.
//!
//! As a dynamic loader has it (rule 30), such a definition yields to the first one in the order in which names are looked up: the
//! program and what it reaches, then what was opened `GLOBAL`, then what is being opened and what that reaches. So an inline function's static is one
//! variable, and two dylibs agree about a `typeid`. A unique symbol is one for the whole session, whoever links against whom.
//!
//! A dylib that keeps its own definitions yields to nobody, as one that `ld -Bsymbolic` made. Others may still yield to it; its unique symbols are not
//! the session's.

use super::find::{Definers, Search};
use super::gather::{Gathered, is_earlier};
use super::siblings::Siblings;
use super::{Part, View};
use super::{UnitId, UnitKey};
use crate::names;
use dylib_graph::DylibId;
use jitlink::Resolution;
use jitlink::graph::{Linkage, Scope as Visibility, SymbolId, SymbolKind};
use std::collections::{HashMap, HashSet};

/// Where a definition that yielded is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Owner {
    /// In another dylib, linked earlier or in this batch.
    Dylib(DylibId),
    /// In another unit of the same dylib.
    Sibling(UnitId),
    /// In this graph of the batch, under this symbol: a function behind a stub.
    Behind(usize, SymbolId),
    /// At a place that the session keeps, of this unit: a unique symbol of an earlier batch.
    Kept(Resolution, UnitKey),
}

/// Lets definitions yield, and gives each dylib's owners by symbol.
///
/// `index` says who of this batch may define what, when there are many.
pub(super) fn unify<E>(
    view: &View<'_, E>,
    index: Option<&Definers>,
    siblings: &Siblings<'_>,
    gathered: &mut [Gathered<'_>],
) -> Vec<HashMap<SymbolId, Owner>> {
    let mut owners: Vec<HashMap<SymbolId, Owner>> = vec![HashMap::new(); gathered.len()];
    let here: HashSet<DylibId> = gathered.iter().map(|one| one.key.dylib).collect();
    let scope = Scope::new(view, &here);
    let mut unique: HashMap<Box<[u8]>, DylibId> = HashMap::new();
    for at in 0..gathered.len() {
        let dylib = gathered[at].key.dylib;
        let own_definitions = view.part(dylib).is_some_and(|part| part.own_definitions);
        // Asked of every symbol, and of most dylibs in vain.
        let has_siblings = siblings.has(dylib);
        let symbols = 0..gathered[at].graph.symbols().len();
        for id in symbols.map(SymbolId::from_index) {
            let symbol = gathered[at].graph.symbol(id);
            let mergeable = !own_definitions
                && symbol.linkage != Linkage::Strong
                && symbol.scope == Visibility::Default
                && symbol.block().is_some()
                && symbol.kind != SymbolKind::Indirect
                && !symbol.name.is_empty();
            if !mergeable && !has_siblings {
                continue;
            }
            let sibling = |strong| siblings.owner(view, gathered, at, id, strong).map(Owner::Sibling);
            let strong = sibling(true);
            let other = if strong.is_some() { None } else { sibling(false) };
            if let Some(owner) = strong.or_else(|| other.filter(|_| !mergeable)) {
                siblings.widen(gathered, at, id);
                gathered[at].graph.import(id);
                owners[at].insert(id, owner);
                continue;
            }
            if !mergeable {
                continue;
            }
            let name = symbol.name;
            let defines = |other: DylibId| defines(view, gathered, siblings, other, name);
            let first = match (view.index, index) {
                (Some(before), Some(now)) => {
                    let hash = names::hash(name);
                    let candidates = before.of(hash).chain(now.of(hash)).chain(view.waiting_with(name));
                    scope.first_of(candidates.filter(|other| defines(*other)), dylib)
                }
                _ => scope.before(dylib).iter().copied().find(|other| defines(*other)),
            };
            let owner = if let Some(first) = first {
                Some(Owner::Dylib(first))
            } else if other.is_some() {
                other
            } else if symbol.linkage == Linkage::Unique {
                let kept = view.unique.get(name).map(|kept| Owner::Kept(kept.place, kept.by));
                kept.or_else(|| match unique.get(name) {
                    Some(first) if *first != dylib => Some(Owner::Dylib(*first)),
                    _ => {
                        unique.insert(name.into(), dylib);
                        None
                    }
                })
            } else {
                None
            };
            if let Some(owner) = owner {
                gathered[at].graph.import(id);
                owners[at].insert(id, owner);
            }
        }
    }
    owners
}

/// Who is asked, in this order, as far as it is linked or being linked.
struct Scope {
    order: Vec<DylibId>,
    positions: HashMap<DylibId, usize>,
}

impl Scope {
    fn new<E>(view: &View<'_, E>, here: &HashSet<DylibId>) -> Self {
        let roots: Vec<DylibId> = view.program.into_iter().chain(view.global.iter().copied()).collect();
        let mut order = super::reached(view.graph, &roots);
        let seen: HashSet<DylibId> = order.iter().copied().collect();
        order.extend(view.reached.iter().copied().filter(|dylib| !seen.contains(dylib)));
        let linked = |other: &DylibId| view.part(*other).is_some_and(Part::has_names) || view.lazy.contains_key(other);
        order.retain(|other| here.contains(other) || linked(other));
        let positions = order.iter().enumerate().map(|(position, dylib)| (*dylib, position)).collect();
        Self { order, positions }
    }

    /// The dylibs that are asked before `dylib` itself.
    fn before(&self, dylib: DylibId) -> &[DylibId] {
        &self.order[..self.positions.get(&dylib).copied().unwrap_or(self.order.len())]
    }

    /// The one of `others` that is asked first, if that is before `dylib`.
    fn first_of(&self, others: impl Iterator<Item = DylibId>, dylib: DylibId) -> Option<DylibId> {
        let own = self.positions.get(&dylib).copied().unwrap_or(usize::MAX);
        let positions = others.filter_map(|other| self.positions.get(&other).copied());
        positions.filter(|position| *position < own).min().map(|position| self.order[position])
    }
}

fn defines<E>(
    view: &View<'_, E>,
    gathered: &[Gathered<'_>],
    siblings: &Siblings<'_>,
    dylib: DylibId,
    name: &[u8],
) -> bool {
    if let Some(at) = siblings.graph_for(dylib, name).unwrap_or_else(|| siblings.graph_of(UnitKey::own(dylib))) {
        let graph = &gathered[at].graph;
        // What is there from earlier may be hidden: the dylib's own table says.
        if graph.find(name).is_some_and(|id| graph.symbol(id).is_exported()) && !is_earlier(graph, name) {
            return true;
        }
    }
    view.part(dylib).is_some_and(|part| part.exported(name).is_some()) || view.waits_with(dylib, name, true)
}

/// The dylibs that `owners` name and that `dylib` does not keep alive by its own link order.
pub(super) fn lenders(search: &mut Search<'_>, dylib: DylibId, owners: &HashMap<SymbolId, Owner>) -> HashSet<DylibId> {
    let named = owners.values().filter_map(|owner| match owner {
        Owner::Dylib(other) => Some(*other),
        Owner::Sibling(_) | Owner::Behind(..) | Owner::Kept(..) => None,
    });
    let mut lenders: HashSet<DylibId> = named.collect();
    lenders.retain(|lender| !search.reaches(dylib, *lender));
    lenders
}
