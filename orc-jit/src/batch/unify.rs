//! Definitions that are one for all: weak ones, those of COMDAT groups, and `STB_GNU_UNIQUE`.
//!
//! As a dynamic loader has it (rule 30), such a definition yields to the first one in the order in which names are looked up: the
//! program and what it reaches, then what the dylib reaches. So an inline function's static is one variable, and two dylibs agree
//! about a `typeid`. A unique symbol is one for the whole session, whoever links against whom.

use super::View;
use super::gather::Gathered;
use dylib_graph::DylibId;
use jitlink::Resolution;
use jitlink::graph::{Linkage, Scope, SymbolId, SymbolKind};
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
pub(super) fn unify<E>(view: &View<'_, E>, gathered: &mut [Gathered<'_>]) -> Vec<HashMap<SymbolId, Owner>> {
    let mut owners: Vec<HashMap<SymbolId, Owner>> = vec![HashMap::new(); gathered.len()];
    let here: HashMap<DylibId, usize> = gathered.iter().enumerate().map(|(at, one)| (one.dylib, at)).collect();
    let program = view.program.map(|program| view.search_order(program)).unwrap_or_default();
    let mut unique: HashMap<Box<[u8]>, DylibId> = HashMap::new();
    for at in 0..gathered.len() {
        let dylib = gathered[at].dylib;
        let earlier = earlier_of(view, &program, dylib, &here);
        let symbols = 0..gathered[at].graph.symbols().len();
        for id in symbols.map(SymbolId::from_index) {
            let symbol = gathered[at].graph.symbol(id);
            let mergeable = symbol.linkage != Linkage::Strong
                && symbol.scope == Scope::Default
                && symbol.block().is_some()
                && symbol.kind != SymbolKind::Indirect
                && !symbol.name.is_empty();
            if !mergeable {
                continue;
            }
            let name = symbol.name;
            let first = earlier.iter().copied().find(|other| defines(view, gathered, &here, *other, name));
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

/// The dylibs that are asked before `dylib` itself, of those that are linked or are being linked.
fn earlier_of<E>(
    view: &View<'_, E>,
    program: &[DylibId],
    dylib: DylibId,
    here: &HashMap<DylibId, usize>,
) -> Vec<DylibId> {
    let there =
        |other: &DylibId| here.contains_key(other) || view.part(*other).is_some_and(|part| !part.names.is_empty());
    program.iter().copied().take_while(|other| *other != dylib).filter(there).collect()
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
        if graph.find(name).is_some_and(|id| graph.symbol(id).is_exported()) {
            return true;
        }
    }
    view.part(dylib).is_some_and(|part| part.names.exported(name).is_some())
}

/// The dylibs that `owners` name and that `dylib` does not keep alive by its own link order.
pub(super) fn lenders<E>(view: &View<'_, E>, dylib: DylibId, owners: &HashMap<SymbolId, Owner>) -> HashSet<DylibId> {
    let named = owners.values().filter_map(|owner| match owner {
        Owner::Dylib(other) => Some(*other),
        Owner::Kept(_) => None,
    });
    let mut lenders: HashSet<DylibId> = named.collect();
    if !lenders.is_empty() {
        for reached in view.search_order(dylib) {
            lenders.remove(&reached);
        }
    }
    lenders
}
