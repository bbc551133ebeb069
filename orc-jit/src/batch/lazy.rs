//! Lazy dylibs in a batch: what of them is linked at once, and what waits.
//!
//! A dylib that links lazily is gathered without its relocations, so that all names are settled as in any batch; then it is set aside whole, and what
//! has to be there before anything runs takes its place in the batch ([`jitlink::lazy`]). Every name of others that it refers to is bound now, for
//! good: what is linked later finds what it would have found today. **Not here:** when the rest is linked (`session/lazy.rs`).

use super::gather::{Gathered, Inputs};
use super::unify::Owner;
use super::{Made, UnitKey, View, describe, names_of, report};
use crate::debug::Opened;
use crate::error::Error;
use crate::executor::Executor;
use dylib_graph::DylibId;
use jitlink::graph::{Definition, SymbolId};
use jitlink::lazy::{ASK, Advance, Portion, PortionPlan, Progress, Waiting};
use jitlink::link::Placed;
use jitlink::memory::InFlight;
use jitlink::object::Asks;
use jitlink::{Keep, Link, LinkGraph, LinkOptions, Linked, Resolution, Roots};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// A dylib that was set aside.
#[derive(Debug)]
pub(crate) struct Parked<'f> {
    /// Which graph of its batch it was.
    at: usize,
    pub(crate) dylib: DylibId,
    pub(crate) waiting: Waiting<'f>,
    objects: Vec<Opened<'f>>,
}

type AllParked<'f> = Vec<Parked<'f>>;

self_cell::self_cell!(
    /// The lazy dylibs of one batch, with the files that they borrow from.
    pub(crate) struct Shelf {
        owner: Inputs,
        #[covariant]
        dependent: AllParked,
    }
    impl { Debug }
);

/// A lazy dylib that is linked in part.
#[derive(Debug)]
pub(crate) struct LazyDylib {
    shelf: Arc<Shelf>,
    number: usize,
    pub(crate) progress: Progress,
    /// Nothing of it waits.
    pub(crate) is_whole: bool,
}

impl LazyDylib {
    /// Every dylib of a shelf; nothing is known of them yet.
    pub(crate) fn of(shelf: Shelf) -> impl Iterator<Item = (DylibId, Self)> {
        let count = shelf.borrow_dependent().len();
        let shelf = Arc::new(shelf);
        let dylibs = (0..count).map(move |number| Self {
            shelf: shelf.clone(),
            number,
            progress: Progress::default(),
            is_whole: false,
        });
        dylibs.map(|one| (one.parked().dylib, one))
    }

    pub(crate) fn parked(&self) -> &Parked<'_> {
        &self.shelf.borrow_dependent()[self.number]
    }

    pub(crate) fn waiting(&self) -> &Waiting<'_> {
        &self.parked().waiting
    }

    /// Where `name` is for the dylib itself, or with `exported` for everybody, if that is known.
    pub(crate) fn find(&self, name: &[u8], exported: bool) -> Option<Resolution> {
        self.waiting().find(&self.progress, self.waiting().defined(name, exported)?)
    }
}

/// What has to be linked before a batch can be: by dylib, the symbols that it refers to.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    pub(crate) symbols: Vec<(DylibId, Vec<SymbolId>)>,
    /// Dylibs to which something is added: the rest of them.
    pub(crate) whole: Vec<DylibId>,
    /// Nothing can wait: an object is of a format that is read whole.
    pub(crate) at_once: bool,
}

/// How a portion of a dylib goes on with it.
#[derive(Debug)]
pub(crate) enum Step {
    /// The first one; what is known afterwards.
    First(Box<Progress>, Advance),
    /// Another.
    Next(Advance),
}

/// Whether a dylib's own inputs wait when they are linked now.
pub(super) fn waits<E: Executor>(view: &View<'_, E>, dylib: DylibId) -> bool {
    let is_new = |part: &super::Part| part.lazily && part.linked == 0 && part.names.is_empty();
    view.part(dylib).is_some_and(is_new)
        && view.only.is_none()
        && view.executor.entry_points().iter().any(|(name, _)| name == ASK)
}

/// Sets the lazy dylibs of a batch aside. `None` when one of them cannot wait: code that holds addresses in 32 bits decides where everything lies.
pub(super) fn park<'f>(gathered: &mut [Gathered<'f>]) -> Option<Vec<Parked<'f>>> {
    let mut all = Vec::new();
    for (at, one) in gathered.iter_mut().enumerate().filter(|(_, one)| one.waits) {
        let machine = one.graph.machine();
        let graph = std::mem::replace(&mut one.graph, LinkGraph::new(machine));
        let waiting = Waiting::new(graph, std::mem::take(&mut one.deferred));
        if waiting.asks().low {
            return None;
        }
        all.push(Parked { at, dylib: one.key.dylib, waiting, objects: std::mem::take(&mut one.objects) });
    }
    Some(all)
}

/// The first portions of a batch, while it is linked.
#[derive(Debug, Default)]
pub(super) struct First {
    /// By graph.
    plans: HashMap<usize, (PortionPlan, Progress, Asks)>,
}

impl First {
    /// Puts into the place of each dylib that was set aside what has to be there at once.
    pub(super) fn of<'s, E: Executor>(
        view: &View<'_, E>,
        parked: &'s [Parked<'s>],
        gathered: &mut [Gathered<'s>],
        owners: &mut [HashMap<SymbolId, Owner>],
    ) -> Result<Self, Error> {
        let mut first = Self::default();
        for (number, one) in parked.iter().enumerate() {
            let Some(part) = view.part(one.dylib) else { continue };
            let names = part.entries.iter().map(String::as_bytes);
            let names = names.chain(gathered[one.at].requested.iter().map(|name| &**name));
            let named: Vec<SymbolId> = names.filter_map(|name| one.waiting.defined(name, false)).collect();
            let mut offered = HashSet::new();
            let others = parked.iter().enumerate().filter(|(other, _)| *other != number);
            let others = others.map(|(_, other)| (other.dylib, other.waiting.graph()));
            for (dylib, graph) in others.chain(gathered.iter().map(|other| (other.key.dylib, &other.graph))) {
                let wanted = undefined(graph).filter_map(|name| one.waiting.defined(name, dylib != one.dylib));
                offered.extend(wanted);
            }
            let mut offered: Vec<SymbolId> = offered.into_iter().collect();
            offered.sort_unstable();
            let progress = one.waiting.progress();
            let Portion { graph, plan } = one.waiting.first(&progress, &named, &offered)?;
            let before = std::mem::take(&mut owners[one.at]);
            let owner = |(there, here)| Some((here, *before.get(&there)?));
            owners[one.at] = plan.externals().filter_map(owner).collect();
            gathered[one.at].graph = graph;
            gathered[one.at].objects = objects_of(one, &plan);
            first.plans.insert(one.at, (plan, progress, one.waiting.asks()));
        }
        Ok(first)
    }

    /// Whether graph number `at` is a first portion.
    pub(super) fn has(&self, at: usize) -> bool {
        self.plans.contains_key(&at)
    }

    /// Whether code that waits holds distances from the thread pointer.
    pub(super) fn need_constant_distance(&self) -> bool {
        self.plans.values().any(|(.., asks)| asks.constant_distance)
    }

    /// Keeps what graph number `at` is bound to.
    pub(super) fn bind<M: InFlight>(&mut self, at: usize, link: &Link<'_, Placed<M>>, bound: &[Option<Resolution>]) {
        let Some((plan, progress, _)) = self.plans.get_mut(&at) else { return };
        let found: HashMap<SymbolId, Resolution> =
            link.asked().zip(bound).filter_map(|(external, found)| Some((external.id, (*found)?))).collect();
        progress.bind(plan, |here| found.get(&here).copied());
    }

    /// What is known of graph number `at` now that it is linked.
    pub(super) fn step<A>(&mut self, at: usize, linked: &Linked<'_, A>) -> Option<Step> {
        let (plan, progress, _) = self.plans.remove(&at)?;
        let advance = Advance::of(&plan, linked);
        Some(Step::First(Box::new(progress), advance))
    }
}

/// The names that a graph leaves to others.
fn undefined<'g>(graph: &'g LinkGraph<'_>) -> impl Iterator<Item = &'g [u8]> + 'g {
    let symbols = graph.symbols().iter().filter(|symbol| symbol.definition == Definition::Undefined);
    symbols.map(|symbol| symbol.name).filter(|name| !name.is_empty())
}

fn objects_of<'s>(parked: &'s Parked<'s>, plan: &PortionPlan) -> Vec<Opened<'s>> {
    let here = |opened: &Opened<'s>| {
        let at = plan.objects.binary_search_by_key(&opened.object, |(there, _)| *there).ok()?;
        Some(Opened { object: plan.objects[at].1, ..*opened })
    };
    parked.objects.iter().filter_map(here).collect()
}

/// What the graphs of a batch need of dylibs that wait since an earlier one.
pub(super) fn needs<E: Executor>(view: &View<'_, E>, gathered: &[Gathered<'_>]) -> Needs {
    let mut needs = Needs::default();
    for (dylib, lazy) in view.lazy {
        let mut wanted = HashSet::new();
        for one in gathered {
            let defined =
                undefined(&one.graph).filter_map(|name| lazy.waiting().defined(name, one.key.dylib != *dylib));
            wanted.extend(defined.filter(|id| lazy.waiting().find(&lazy.progress, *id).is_none()));
        }
        if !wanted.is_empty() {
            let mut wanted: Vec<SymbolId> = wanted.into_iter().collect();
            wanted.sort_unstable();
            needs.symbols.push((*dylib, wanted));
        }
    }
    needs.symbols.sort_unstable_by_key(|(dylib, _)| *dylib);
    needs
}

/// Links a portion of a dylib that waits: everything outside of it is known.
pub(crate) fn link_portion<'s, E: Executor>(
    view: &View<'_, E>,
    parked: &'s Parked<'s>,
    portion: Portion<'s>,
    progress: &Progress,
) -> Result<Made<E::Allocation>, Error> {
    let key = UnitKey::own(parked.dylib);
    let part = view.part(parked.dylib).ok_or_else(|| Error::internal("a dylib vanished while it was linked"))?;
    let fail = |error| report::link(&part.name, error);
    let Portion { graph, plan } = portion;
    let objects = objects_of(parked, &plan);
    let (header, thread_local) = (part.header, progress.thread_local());
    let options = LinkOptions { header, has_siblings: true, thread_local, ..view.link_options() };
    let roots = Roots { required: &[], wanted: &[], keep: Keep::Named };
    let link = view.options.plugins.for_dylib(&part.name).fold(Link::new(graph, options), Link::with);
    let pruned = link.prune(&roots).map_err(fail)?;
    let placed = pruned.place(view.executor.memory()).map_err(fail)?;
    let watchers = view.executor.watchers();
    let keeps_debug = view.keeps_debug || !watchers.is_empty();
    let linked = placed.resolve(|external| plan.outside(external.id)).and_then(Link::finalize).map_err(fail)?;
    let names = names_of(linked.symbols(), |_| ());
    let advance = Advance::of(&plan, &linked);
    let slots = advance.slots();
    let asked = (watchers, keeps_debug);
    let done = (linked, names);
    let mut made = describe(view, (key, &part.name), (asked, &objects), done, part.linked, HashSet::new());
    made.image.slots = slots;
    made.step = Some(Step::Next(advance));
    Ok(made)
}
