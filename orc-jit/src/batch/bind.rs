//! Binding: every external of a batch gets its address.
//!
//! The order: the dylib itself (its graph, what it has from earlier), then what it reaches, breadth
//! first in link order, then what was opened `GLOBAL`, then the runtime's own entry points, then the shared libraries of those dylibs, then the process. Data of
//! shared libraries that code cannot reach moves to where it can.

use super::find::{Definers, Search};
use super::gather::{self, Files};
use super::reach::{HostData, bring_near};
use super::recording::Origin;
use super::siblings::Siblings;
use super::stubs::Stubs;
use super::unify::Owner;
use super::{UnitKey, View, report};
use crate::error::Error;
use crate::executor::Executor;
use crate::names;
use crate::source::Item;
use crate::ties::Tie;
use dylib_graph::DylibId;
use jitlink::graph::{Convention, SymbolId};
use jitlink::link::Placed;
use jitlink::memory::{InFlight, ThreadLocal};
use jitlink::{Link, Resolution};
use orc_rt::native::{NativeKind, NativeLibrary, NativeSymbol};
use std::collections::{HashMap, HashSet};

/// The resolutions of one link, in the order of its externals.
pub(super) type Bound = Vec<Option<Resolution>>;

/// What binding gives for one link.
#[derive(Debug)]
pub(super) struct Bindings {
    pub(super) bound: Bound,
    /// Dylibs that it borrows from and that its own link order does not name.
    pub(super) borrowed: HashSet<DylibId>,
    pub(super) ties: Vec<Tie>,
}

/// Finds every external of every link of the batch.
pub(super) fn bind<'f, E: Executor, M: InFlight>(
    view: &View<'_, E>,
    files: &HashMap<DylibId, Files>,
    placed: &[(UnitKey, Link<'f, Placed<M>>)],
    owners: &[HashMap<SymbolId, Owner>],
    siblings: &Siblings<'_>,
    stubs: &Stubs,
    index: Option<&Definers>,
) -> Result<Vec<Bindings>, Error> {
    let search = Search::new(view.graph);
    let mut offers = Offers { view, placed, owners, siblings, index, search, candidates: Vec::new() };
    let mut libraries = Libraries::new(view);
    let entry_points = view.executor.entry_points();
    let entry_points: HashMap<&[u8], u64> =
        entry_points.iter().map(|(name, address)| (name.as_bytes(), *address)).collect();
    let global = super::reached(view.graph, view.global);
    let positions: HashMap<DylibId, usize> =
        global.iter().enumerate().map(|(position, dylib)| (*dylib, position)).collect();
    let mut all = Vec::with_capacity(placed.len());
    let mut missing = Vec::new();
    let mut data: Vec<HostData> = Vec::new();
    let mut all_ties = Vec::with_capacity(placed.len());
    for (at, (key, link)) in placed.iter().enumerate() {
        offers.search.start(key.dylib);
        if let Some(recording) = view.recording {
            recording.begin_image();
        }
        let mut bound: Bound = Vec::new();
        let mut borrowed = HashSet::new();
        let mut outside: Vec<Outside<'_>> = Vec::new();
        let mut ties = Vec::new();
        for (number, external) in link.asked().enumerate() {
            let behind = stubs.function(at, external.id).map(|(graph, symbol)| Owner::Behind(graph, symbol));
            let found = match behind.as_ref().or_else(|| owners[at].get(&external.id)) {
                Some(owner) => offers.of_owner(key.dylib, *owner, external.name),
                None if external.hidden => offers.of(key.dylib, external.name, true),
                None => offers.find(external.name),
            };
            let found = found.or_else(|| {
                if external.hidden {
                    return None;
                }
                let (lender, found) = offers.find_among(&global, &positions, external.name)?;
                borrowed.insert(lender);
                Some(found)
            });
            if let Some((found, by)) = found {
                if let Some(recording) = view.recording {
                    recording.external(&external, Origin::Unit(by));
                }
                if !by.is_own() && by != *key {
                    ties.push(Tie::new(by, external.name, link.graph(), external.id));
                }
                bound.push(Some(found));
                continue;
            }
            // What the runtime and the process have is called by the system's convention.
            let callable = external.convention == Convention::System;
            let runtime = entry_points.get(external.name).filter(|_| !external.hidden && callable);
            bound.push(runtime.map(|address| Resolution::new(*address, true)));
            if let Some(recording) = view.recording {
                recording.external(&external, runtime.map_or(Origin::Nobody, |_| Origin::Runtime));
            }
            if runtime.is_none()
                && !external.hidden
                && let Ok(name) = std::str::from_utf8(external.name)
            {
                outside.push(Outside { number, name, thread_local: external.thread_local, callable });
            }
        }
        libraries.ask(&mut offers.search, outside, |number, found| {
            bound[number] = Some(resolution(found));
            if let Some(recording) = view.recording {
                recording.native(number, found);
            }
            if found.kind == NativeKind::Data {
                data.push((at, number, found));
            }
        })?;
        let wanted = link.asked().zip(&bound);
        let unmet = wanted.filter(|(external, found)| found.is_none() && !external.weak);
        let mut unmet: Vec<_> = unmet.map(|(external, _)| external.id).collect();
        let unasked = link.externals().filter(|external| external.hidden && !link.has_siblings());
        unmet.extend(unasked.filter(|external| !external.weak).map(|external| external.id));
        if !unmet.is_empty() {
            unmet.sort_unstable();
            missing.push((at, unmet));
        }
        all.push(bound);
        all_ties.push((borrowed, ties));
    }
    if !missing.is_empty() {
        return Err(report::undefined(view, files, placed, &missing));
    }
    bring_near(view, placed, &data, &mut all)?;
    let bindings = all.into_iter().zip(all_ties);
    Ok(bindings.map(|(bound, (borrowed, ties))| Bindings { bound, borrowed, ties }).collect())
}

/// What JITDylibs offer: what this batch links into them, or what they have.
struct Offers<'b, 'f, E, M: InFlight> {
    view: &'b View<'b, E>,
    placed: &'b [(UnitKey, Link<'f, Placed<M>>)],
    owners: &'b [HashMap<SymbolId, Owner>],
    siblings: &'b Siblings<'b>,
    /// Who defines what in this batch, when there are many.
    index: Option<&'b Definers>,
    search: Search<'b>,
    candidates: Vec<DylibId>,
}

/// A definition, and the unit that it is in.
type Offer = (Resolution, UnitKey);

impl<E, M: InFlight> Offers<'_, '_, E, M> {
    /// The first definition in the search order that was started.
    fn find(&mut self, name: &[u8]) -> Option<Offer> {
        let own = self.search.at(0)?;
        if let Some(found) = self.of(own, name, true) {
            return Some(found);
        }
        let (Some(earlier), Some(now)) = (self.view.index, self.index) else {
            let mut position = 0;
            loop {
                position += 1;
                let dylib = self.search.at(position)?;
                if let Some(found) = self.of(dylib, name, false) {
                    return Some(found);
                }
            }
        };
        let hash = names::hash(name);
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.clear();
        candidates.extend(earlier.of(hash).chain(now.of(hash)).chain(self.view.waiting_with(name)));
        candidates.sort_unstable();
        candidates.dedup();
        candidates.retain(|dylib| *dylib != own && self.of(*dylib, name, false).is_some());
        let found = if candidates.is_empty() { None } else { self.search.first_of(&candidates) };
        self.candidates = candidates;
        self.of(found?, name, false)
    }

    /// The first definition among `dylibs`, whose positions are known besides.
    fn find_among(
        &self,
        dylibs: &[DylibId],
        positions: &HashMap<DylibId, usize>,
        name: &[u8],
    ) -> Option<(DylibId, Offer)> {
        let offer = |dylib: &DylibId| Some((*dylib, self.of(*dylib, name, false)?));
        let (Some(earlier), Some(now)) = (self.view.index, self.index) else { return dylibs.iter().find_map(offer) };
        if dylibs.is_empty() {
            return None;
        }
        let hash = names::hash(name);
        let candidates = earlier.of(hash).chain(now.of(hash)).chain(self.view.waiting_with(name));
        let candidates = candidates.filter_map(|dylib| Some((*positions.get(&dylib)?, offer(&dylib)?)));
        candidates.min_by_key(|(position, _)| *position).map(|(_, found)| found)
    }

    /// What `dylib` offers to others, or with `own` to itself.
    fn of(&self, dylib: DylibId, name: &[u8], own: bool) -> Option<Offer> {
        let of_units = self.siblings.graph_for(dylib, name);
        let at = of_units.unwrap_or_else(|| self.siblings.graph_of(UnitKey::own(dylib)));
        if let Some(at) = at {
            let (key, link) = &self.placed[at];
            let found = if own && of_units.is_some() { link.defined(name) } else { link.exported(name) };
            // What is there from earlier may be hidden: the batch knows it under its name only.
            if let Some(found) = found.filter(|_| !gather::is_earlier(link.graph(), name)) {
                return Some((found, *key));
            }
            // Its own definition has given way: the one that it gave way to is everybody's.
            let gave_way = own.then(|| link.graph().find(name)).flatten();
            if let Some(owner) = gave_way.and_then(|id| self.owners[at].get(&id)) {
                return self.of_owner(dylib, *owner, name);
            }
        }
        let found = self.view.part(dylib)?.find(name).filter(|found| own || found.is_exported());
        let found = found.map(|found| (found.resolution(), UnitKey { dylib, unit: found.unit }));
        found.or_else(|| Some((self.view.lazy.get(&dylib)?.find(name, !own)?, UnitKey::own(dylib))))
    }

    /// The definition that one of `dylib` gave way to.
    fn of_owner(&self, dylib: DylibId, owner: Owner, name: &[u8]) -> Option<Offer> {
        match owner {
            Owner::Kept(place, by) => Some((place, by)),
            Owner::Behind(at, symbol) => {
                let (key, link) = &self.placed[at];
                Some((link.resolution(link.graph().symbol(symbol))?, *key))
            }
            Owner::Dylib(owner) => self.of(owner, name, false),
            Owner::Sibling(unit) => self.of_unit(UnitKey { dylib, unit }, name),
        }
    }

    fn of_unit(&self, key: UnitKey, name: &[u8]) -> Option<Offer> {
        if let Some(at) = self.siblings.graph_of(key)
            && let link = &self.placed[at].1
            && let Some(found) = link.defined(name).filter(|_| !gather::is_earlier(link.graph(), name))
        {
            return Some((found, key));
        }
        let found = self.view.part(key.dylib)?.find_in(key.unit, name)?;
        Some((found.resolution(), key))
    }
}

/// A name that no JITDylib defines, with its number among the externals of its link.
pub(super) struct Outside<'a> {
    pub(super) number: usize,
    pub(super) name: &'a str,
    pub(super) thread_local: bool,
    /// A function serves, too: it is called as those of the process are.
    pub(super) callable: bool,
}

/// What shared libraries and the process offer.
pub(super) struct Libraries<'b, E> {
    view: &'b View<'b, E>,
    /// Whether any dylib of the batch's reach has a library.
    any: bool,
    /// Answers of the process: many dylibs ask for the same.
    process: HashMap<Box<str>, Option<NativeSymbol>>,
}

impl<'b, E: Executor> Libraries<'b, E> {
    pub(super) fn new(view: &'b View<'b, E>) -> Self {
        let has_library = |dylib: &DylibId| {
            view.part(*dylib).is_some_and(|part| part.items.iter().any(|item| matches!(item, Item::Library(_))))
        };
        Self { view, any: view.reached.iter().any(has_library), process: HashMap::new() }
    }

    /// Asks the libraries of the search order that was started, then the process, a batch of names at a time.
    pub(super) fn ask(
        &mut self,
        search: &mut Search<'_>,
        mut outside: Vec<Outside<'_>>,
        mut bind: impl FnMut(usize, NativeSymbol),
    ) -> Result<(), Error> {
        let executor = self.view.executor;
        let libraries = self.of(search, !outside.is_empty());
        let thread_locals: Vec<&str> = outside.iter().filter(|one| one.thread_local).map(|one| one.name).collect();
        if !thread_locals.is_empty() && (self.view.host_symbols || !libraries.is_empty()) {
            let mut answers = executor.lookup_thread_locals(&thread_locals)?.into_iter();
            outside.retain(|one| !one.thread_local || !settle(&mut bind, one, answers.next().flatten()));
        }
        for library in libraries {
            if outside.is_empty() {
                break;
            }
            let names: Vec<&str> = outside.iter().map(|one| one.name).collect();
            let mut answers = executor.lookup(Some(library), &names)?.into_iter();
            outside.retain(|one| !settle(&mut bind, one, answers.next().flatten()));
        }
        if !self.view.host_symbols || outside.is_empty() {
            return Ok(());
        }
        let unknown: Vec<&str> =
            outside.iter().map(|one| one.name).filter(|name| !self.process.contains_key(*name)).collect();
        let answers = executor.lookup(None, &unknown)?;
        self.process.extend(unknown.into_iter().map(Box::from).zip(answers));
        for one in outside {
            settle(&mut bind, &one, self.process.get(one.name).copied().flatten());
        }
        Ok(())
    }

    /// The libraries of the search order that was started, each once.
    fn of(&self, search: &mut Search<'_>, wanted: bool) -> Vec<NativeLibrary> {
        let mut libraries = Vec::new();
        let mut position = 0;
        while self.any
            && wanted
            && let Some(dylib) = search.at(position)
        {
            position += 1;
            for item in self.view.part(dylib).map_or(&[][..], |part| &part.items) {
                if let Item::Library(library) = item
                    && !libraries.contains(library)
                {
                    libraries.push(*library);
                }
            }
        }
        libraries
    }
}

/// Passes an answer on, if it is one.
fn settle(bind: &mut impl FnMut(usize, NativeSymbol), one: &Outside<'_>, answer: Option<NativeSymbol>) -> bool {
    let answer = answer.filter(|found| one.callable || found.kind == NativeKind::Data);
    if let Some(found) = answer {
        bind(one.number, found);
    }
    answer.is_some()
}

pub(super) fn resolution(found: NativeSymbol) -> Resolution {
    match found.kind {
        NativeKind::ThreadLocal(orc_rt::tls::ThreadLocal { module, offset, distance }) => {
            Resolution::thread_local(ThreadLocal { module, offset, distance })
        }
        kind => Resolution::new(found.address, kind != NativeKind::Data),
    }
}
