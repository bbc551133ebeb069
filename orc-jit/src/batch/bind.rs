//! Binding: every external of a batch gets its address.
//!
//! The order is that of a dynamic loader: the dylib itself (its graph, what it has from earlier), then what it reaches, breadth
//! first in link order, then the runtime's own entry points, then the shared libraries of those dylibs, then the process. Data of
//! shared libraries that code cannot reach moves to where it can.

use super::gather::Files;
use super::reach::{HostData, bring_near};
use super::unify::Owner;
use super::{View, report};
use crate::error::Error;
use crate::executor::Executor;
use crate::source::Item;
use dylib_graph::DylibId;
use jitlink::graph::{SymbolId, SymbolKind};
use jitlink::link::Placed;
use jitlink::memory::{InFlight, ThreadLocal};
use jitlink::{Link, Resolution};
use orc_rt::native::{NativeKind, NativeLibrary, NativeSymbol};
use std::collections::HashMap;

/// The resolutions of one link, in the order of its externals.
pub(super) type Bound = Vec<Option<Resolution>>;

/// Finds every external of every link of the batch.
pub(super) fn bind<'f, E: Executor, M: InFlight>(
    view: &View<'_, E>,
    files: &HashMap<DylibId, Files>,
    placed: &[(DylibId, Link<'f, Placed<M>>)],
    owners: &[HashMap<SymbolId, Owner>],
) -> Result<Vec<Bound>, Error> {
    let here: HashMap<DylibId, usize> = placed.iter().enumerate().map(|(at, (dylib, _))| (*dylib, at)).collect();
    let entry_points: HashMap<&[u8], u64> =
        view.executor.entry_points().iter().map(|(name, address)| (name.as_bytes(), *address)).collect();
    let mut all = Vec::with_capacity(placed.len());
    let mut missing = Vec::new();
    let mut data: Vec<HostData> = Vec::new();
    for (at, (dylib, link)) in placed.iter().enumerate() {
        let order = view.search_order(*dylib);
        let mut bound: Bound = Vec::new();
        let mut outside: Vec<Outside<'_>> = Vec::new();
        for (number, external) in link.externals().filter(|external| !external.hidden).enumerate() {
            let found = match owners[at].get(&external.id) {
                Some(Owner::Kept(place)) => Some(*place),
                Some(Owner::Dylib(owner)) => in_dylib(view, placed, &here, *owner, external.name),
                None => order.iter().find_map(|other| in_dylib(view, placed, &here, *other, external.name)),
            };
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
        ask_outside(view, &order, outside, |number, found| {
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
    }
    if !missing.is_empty() {
        return Err(report::undefined(view, files, placed, &missing));
    }
    bring_near(view, placed, &data, &mut all)?;
    Ok(all)
}

/// What a JITDylib offers: what this batch links into it, or what it has.
fn in_dylib<'f, E, M: InFlight>(
    view: &View<'_, E>,
    placed: &[(DylibId, Link<'f, Placed<M>>)],
    here: &HashMap<DylibId, usize>,
    dylib: DylibId,
    name: &[u8],
) -> Option<Resolution> {
    if let Some(at) = here.get(&dylib)
        && let Some(found) = placed[*at].1.exported(name)
    {
        return Some(found);
    }
    let names = &view.part(dylib)?.names;
    let found = names.exported(name)?;
    if let Some(place) = names.place(&found) {
        return Some(Resolution::thread_local(place));
    }
    let code = !matches!(found.kind, SymbolKind::Object);
    Some(Resolution::new(found.address, code))
}

/// A name that no JITDylib defines, with its number among the externals of its link.
struct Outside<'a> {
    number: usize,
    name: &'a str,
    thread_local: bool,
}

/// Asks shared libraries and the process, a batch of names at a time.
fn ask_outside<E: Executor>(
    view: &View<'_, E>,
    order: &[DylibId],
    mut outside: Vec<Outside<'_>>,
    mut bind: impl FnMut(usize, NativeSymbol),
) -> Result<(), Error> {
    let items = order.iter().filter_map(|dylib| view.part(*dylib)).flat_map(|part| &part.items);
    let mut libraries: Vec<Option<NativeLibrary>> = items
        .filter_map(|item| match item {
            Item::Library(library) => Some(Some(*library)),
            _ => None,
        })
        .collect();
    if view.host_symbols {
        libraries.push(None);
    }
    let thread_locals: Vec<&str> = outside.iter().filter(|one| one.thread_local).map(|one| one.name).collect();
    if !thread_locals.is_empty() && !libraries.is_empty() {
        let mut answers = view.executor.lookup_thread_locals(&thread_locals)?.into_iter();
        outside.retain(|one| !one.thread_local || !settle(&mut bind, one, answers.next().flatten()));
    }
    for library in libraries {
        if outside.is_empty() {
            break;
        }
        let names: Vec<&str> = outside.iter().map(|one| one.name).collect();
        let answers = view.executor.lookup(library, &names)?;
        let mut answers = answers.into_iter();
        outside.retain(|one| !settle(&mut bind, one, answers.next().flatten()));
    }
    Ok(())
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
