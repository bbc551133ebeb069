//! Binding: every external of a batch gets its address.
//!
//! The order: the dylib itself (its graph, what it has from earlier), then what it reaches, breadth
//! first in link order, then what was opened `GLOBAL`, then the runtime's own entry points, then the shared libraries of those dylibs, then the process. Data of
//! shared libraries that code cannot reach moves to where it can.

use super::find::{Definers, Search};
use super::gather::{self, Files};
use super::reach::{HostData, bring_near};
use super::unify::Owner;
use super::{View, report};
use crate::error::Error;
use crate::executor::Executor;
use crate::names;
use crate::source::Item;
use dylib_graph::DylibId;
use jitlink::graph::{SymbolId, SymbolKind};
use jitlink::link::Placed;
use jitlink::memory::{InFlight, ThreadLocal};
use jitlink::{Link, Resolution};
use orc_rt::native::{NativeKind, NativeLibrary, NativeSymbol};
use std::collections::{HashMap, HashSet};

/// The resolutions of one link, in the order of its externals.
pub(super) type Bound = Vec<Option<Resolution>>;

/// Finds every external of every link of the batch, and says which dylibs each link borrows from that its own link order does not name.
pub(super) fn bind<'f, E: Executor, M: InFlight>(
    view: &View<'_, E>,
    files: &HashMap<DylibId, Files>,
    placed: &[(DylibId, Link<'f, Placed<M>>)],
    owners: &[HashMap<SymbolId, Owner>],
    index: Option<&Definers>,
) -> Result<(Vec<Bound>, Vec<HashSet<DylibId>>), Error> {
    let mut offers = Offers::new(view, index, placed);
    let mut libraries = Libraries::new(view);
    let entry_points = view.executor.entry_points();
    let entry_points: HashMap<&[u8], u64> =
        entry_points.iter().map(|(name, address)| (name.as_bytes(), *address)).collect();
    let global = super::reached(view.graph, view.global);
    let mut all = Vec::with_capacity(placed.len());
    let mut all_borrowed = Vec::with_capacity(placed.len());
    let mut missing = Vec::new();
    let mut data: Vec<HostData> = Vec::new();
    for (at, (dylib, link)) in placed.iter().enumerate() {
        offers.search.start(*dylib);
        let mut bound: Bound = Vec::new();
        let mut borrowed = HashSet::new();
        let mut outside: Vec<Outside<'_>> = Vec::new();
        for (number, external) in link.externals().filter(|external| !external.hidden).enumerate() {
            let found = match owners[at].get(&external.id) {
                Some(Owner::Kept(place)) => Some(*place),
                Some(Owner::Dylib(owner)) => offers.of(*owner, external.name),
                None => offers.find(external.name),
            };
            let found = found.or_else(|| {
                let (lender, found) =
                    global.iter().find_map(|lender| Some((*lender, offers.of(*lender, external.name)?)))?;
                borrowed.insert(lender);
                Some(found)
            });
            let found = found.or_else(|| {
                let address = entry_points.get(external.name)?;
                Some(Resolution::new(*address, true))
            });
            bound.push(found);
            if found.is_none()
                && let Ok(name) = std::str::from_utf8(external.name)
            {
                outside.push(Outside { number, name, thread_local: external.thread_local });
            }
        }
        libraries.ask(&mut offers.search, outside, |number, found| {
            bound[number] = Some(resolution(found));
            if found.kind == NativeKind::Data {
                data.push((at, number, found));
            }
        })?;
        let wanted = link.externals().filter(|external| !external.hidden).zip(&bound);
        let unmet = wanted.filter(|(external, found)| found.is_none() && !external.weak);
        let mut unmet: Vec<_> = unmet.map(|(external, _)| external.id).collect();
        unmet.extend(link.externals().filter(|external| external.hidden && !external.weak).map(|external| external.id));
        if !unmet.is_empty() {
            unmet.sort_unstable();
            missing.push((at, unmet));
        }
        all.push(bound);
        all_borrowed.push(borrowed);
    }
    if !missing.is_empty() {
        return Err(report::undefined(view, files, placed, &missing));
    }
    bring_near(view, placed, &data, &mut all)?;
    Ok((all, all_borrowed))
}

/// What JITDylibs offer: what this batch links into them, or what they have.
struct Offers<'b, 'f, E, M: InFlight> {
    view: &'b View<'b, E>,
    placed: &'b [(DylibId, Link<'f, Placed<M>>)],
    /// The position in `placed`, by dylib.
    here: HashMap<DylibId, usize>,
    /// Who defines what in this batch, when there are many.
    index: Option<&'b Definers>,
    search: Search<'b>,
    candidates: Vec<DylibId>,
}

impl<'b, 'f, E, M: InFlight> Offers<'b, 'f, E, M> {
    fn new(view: &'b View<'b, E>, index: Option<&'b Definers>, placed: &'b [(DylibId, Link<'f, Placed<M>>)]) -> Self {
        let here = placed.iter().enumerate().map(|(at, (dylib, _))| (*dylib, at)).collect();
        Self { view, placed, here, index, search: Search::new(view.graph), candidates: Vec::new() }
    }

    /// The first definition in the search order that was started.
    fn find(&mut self, name: &[u8]) -> Option<Resolution> {
        let own = self.search.at(0)?;
        if let Some(found) = self.of(own, name) {
            return Some(found);
        }
        let (Some(earlier), Some(now)) = (self.view.index, self.index) else {
            let mut position = 0;
            loop {
                position += 1;
                let dylib = self.search.at(position)?;
                if let Some(found) = self.of(dylib, name) {
                    return Some(found);
                }
            }
        };
        let hash = names::hash(name);
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.clear();
        candidates.extend(earlier.of(hash).chain(now.of(hash)));
        candidates.sort_unstable();
        candidates.dedup();
        candidates.retain(|dylib| *dylib != own && self.of(*dylib, name).is_some());
        let found = if candidates.is_empty() { None } else { self.search.first_of(&candidates) };
        self.candidates = candidates;
        self.of(found?, name)
    }

    /// What `dylib` itself offers to others.
    fn of(&self, dylib: DylibId, name: &[u8]) -> Option<Resolution> {
        if let Some(at) = self.here.get(&dylib) {
            let link = &self.placed[*at].1;
            let found = link.exported(name);
            // What is there from earlier may be hidden: the batch knows it under its name only.
            if found.is_some() && !gather::is_earlier(link.graph(), name) {
                return found;
            }
        }
        let names = &self.view.part(dylib)?.names;
        let found = names.exported(name)?;
        if let Some(place) = names.place(&found) {
            return Some(Resolution::thread_local(place));
        }
        let code = !matches!(found.kind, SymbolKind::Object);
        Some(Resolution::new(found.address, code))
    }
}

/// A name that no JITDylib defines, with its number among the externals of its link.
struct Outside<'a> {
    number: usize,
    name: &'a str,
    thread_local: bool,
}

/// What shared libraries and the process offer.
struct Libraries<'b, E> {
    view: &'b View<'b, E>,
    /// Whether any dylib of the batch's reach has a library.
    any: bool,
    /// Answers of the process: many dylibs ask for the same.
    process: HashMap<Box<str>, Option<NativeSymbol>>,
}

impl<'b, E: Executor> Libraries<'b, E> {
    fn new(view: &'b View<'b, E>) -> Self {
        let has_library = |dylib: &DylibId| {
            view.part(*dylib).is_some_and(|part| part.items.iter().any(|item| matches!(item, Item::Library(_))))
        };
        Self { view, any: view.reached.iter().any(has_library), process: HashMap::new() }
    }

    /// Asks the libraries of the search order that was started, then the process, a batch of names at a time.
    fn ask(
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
    if let Some(found) = answer {
        bind(one.number, found);
    }
    answer.is_some()
}

fn resolution(found: NativeSymbol) -> Resolution {
    match found.kind {
        NativeKind::ThreadLocal(orc_rt::tls::ThreadLocal { module, offset, distance }) => {
            Resolution::thread_local(ThreadLocal { module, offset, distance })
        }
        kind => Resolution::new(found.address, kind != NativeKind::Data),
    }
}
