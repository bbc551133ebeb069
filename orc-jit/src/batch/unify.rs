//! Definitions that are one for all: weak ones, those of COMDAT groups, and `STB_GNU_UNIQUE`.
//!
//! As a dynamic loader has it (rule 30), such a definition yields to the first one in the order in which names are looked up: the
//! program and what it reaches, then what was opened `GLOBAL`, then what is being opened and what that reaches. So an inline function's static is one
//! variable, and two dylibs agree about a `typeid`. A unique symbol is one for the whole session, whoever links against whom.
//!
//! A dylib that keeps its own definitions yields to nobody, as one that `ld -Bsymbolic` made. Others may still yield to it; its unique symbols are not
//! the session's.

use super::View;
use super::find::{Definers, Search};
use super::gather::{Gathered, is_earlier};
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
    /// At a place that the session keeps: a unique symbol of an earlier batch.
    Kept(Resolution),
}

/// Lets definitions yield, and gives each dylib's owners by symbol.
///
/// `index` says who of this batch may define what, when there are many.
pub(super) fn unify<E>(
    view: &View<'_, E>,
    index: Option<&Definers>,
    gathered: &mut [Gathered<'_>],
) -> Vec<HashMap<SymbolId, Owner>> {
    let mut owners: Vec<HashMap<SymbolId, Owner>> = vec![HashMap::new(); gathered.len()];
    let here: HashMap<DylibId, usize> = gathered.iter().enumerate().map(|(at, one)| (one.dylib, at)).collect();
    let scope = Scope::new(view, &here);
    let mut unique: HashMap<Box<[u8]>, DylibId> = HashMap::new();
    for at in 0..gathered.len() {
        let dylib = gathered[at].dylib;
        if view.part(dylib).is_some_and(|part| part.own_definitions) {
            continue;
        }
        let symbols = 0..gathered[at].graph.symbols().len();
        for id in symbols.map(SymbolId::from_index) {
            let symbol = gathered[at].graph.symbol(id);
            let mergeable = symbol.linkage != Linkage::Strong
                && symbol.scope == Visibility::Default
                && symbol.block().is_some()
                && symbol.kind != SymbolKind::Indirect
                && !symbol.name.is_empty();
            if !mergeable {
                continue;
            }
            let name = symbol.name;
            let defines = |other: DylibId| defines(view, gathered, &here, other, name);
            let first = match (view.index, index) {
                (Some(before), Some(now)) => {
                    let hash = names::hash(name);
                    scope.first_of(before.of(hash).chain(now.of(hash)).filter(|other| defines(*other)), dylib)
                }
                _ => scope.before(dylib).iter().copied().find(|other| defines(*other)),
            };
            let owner = if let Some(first) = first {
                Some(Owner::Dylib(first))
            } else if symbol.linkage == Linkage::Unique {
                let kept = view.unique.get(name).map(|place| Owner::Kept(*place));
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
    fn new<E>(view: &View<'_, E>, here: &HashMap<DylibId, usize>) -> Self {
        let roots: Vec<DylibId> = view.program.into_iter().chain(view.global.iter().copied()).collect();
        let mut order = super::reached(view.graph, &roots);
        let seen: HashSet<DylibId> = order.iter().copied().collect();
        order.extend(view.reached.iter().copied().filter(|dylib| !seen.contains(dylib)));
        let linked = |other: &DylibId| view.part(*other).is_some_and(|part| !part.names.is_empty());
        order.retain(|other| here.contains_key(other) || linked(other));
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
    here: &HashMap<DylibId, usize>,
    dylib: DylibId,
    name: &[u8],
) -> bool {
    if let Some(at) = here.get(&dylib) {
        let graph = &gathered[*at].graph;
        // What is there from earlier may be hidden: the dylib's own table says.
        if graph.find(name).is_some_and(|id| graph.symbol(id).is_exported()) && !is_earlier(graph, name) {
            return true;
        }
    }
    view.part(dylib).is_some_and(|part| part.names.exported(name).is_some())
}

/// The dylibs that `owners` name and that `dylib` does not keep alive by its own link order.
pub(super) fn lenders(search: &mut Search<'_>, dylib: DylibId, owners: &HashMap<SymbolId, Owner>) -> HashSet<DylibId> {
    let named = owners.values().filter_map(|owner| match owner {
        Owner::Dylib(other) => Some(*other),
        Owner::Kept(_) => None,
    });
    let mut lenders: HashSet<DylibId> = named.collect();
    lenders.retain(|lender| !search.reaches(dylib, *lender));
    lenders
}
