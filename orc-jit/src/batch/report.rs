//! Why a batch failed, in the words of [`crate::diagnose`].

use super::gather::Files;
use super::{UnitKey, View};
use crate::diagnose::{Known, KnownKind, Report, Unresolved as Named, demangle, link_error};
use crate::error::Error;
use crate::executor::Executor;
use dylib_graph::DylibId;
use jitlink::graph::{Convention, Scope, SymbolId};
use jitlink::link::Placed;
use jitlink::memory::InFlight;
use jitlink::{Link, LinkError, Unresolved};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

/// A link error of one dylib.
pub(super) fn link(dylib: &str, error: LinkError) -> Error {
    Error::Link { dylib: dylib.to_owned(), error: Box::new(error) }
}

/// Every name of the batch that nobody defines, with what was probably meant.
#[cold]
pub(super) fn undefined<E: Executor, M: InFlight>(
    view: &View<'_, E>,
    files: &HashMap<DylibId, Files>,
    placed: &[(UnitKey, Link<'_, Placed<M>>)],
    missing: &[(usize, Vec<SymbolId>)],
) -> Error {
    let mut unresolved: Vec<Unresolved> = Vec::new();
    let mut by_name: HashMap<String, usize> = HashMap::new();
    for (at, symbols) in missing {
        for one in placed[*at].1.describe(symbols) {
            match by_name.entry(one.name.clone()) {
                Entry::Occupied(known) => unresolved[*known.get()].references.extend(one.references),
                Entry::Vacant(new) => {
                    new.insert(unresolved.len());
                    unresolved.push(one);
                }
            }
        }
    }
    let machine = view.executor.machine();
    let mut known: Vec<(String, String, KnownKind)> = Vec::new();
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    for (_, link) in placed {
        let graph = link.graph();
        for symbol in graph.symbols().iter().filter(|symbol| symbol.is_defined() && !symbol.name.is_empty()) {
            let kind = if symbol.scope >= Scope::Protected { KnownKind::Exported } else { KnownKind::Hidden };
            known.push((text(symbol.name), graph.object(symbol.object).name.clone(), kind));
        }
    }
    known.extend(functions_of_the_process(view, placed, missing));
    let reached: HashSet<DylibId> = view.reached.iter().copied().collect();
    for dylib in view.graph.dylibs() {
        let Some(part) = view.part(dylib) else { continue };
        let kind = if reached.contains(&dylib) { KnownKind::Exported } else { KnownKind::OutOfReach };
        known.extend(part.all_names().map(|(name, _)| (text(name), part.name.clone(), kind)));
        if let Some(files) = files.get(&dylib) {
            known.extend(
                super::archives::names(machine, part, files)
                    .map(|(name, archive)| (name, archive, KnownKind::Exported)),
            );
        }
    }
    let known: Vec<Known<'_>> = known.iter().map(|(name, place, kind)| Known { name, place, kind: *kind }).collect();
    Error::Undefined(link_error(&LinkError::Unresolved(unresolved), &known))
}

/// Functions that the process has under these names and that cannot be called by who asks for them.
fn functions_of_the_process<E: Executor, M: InFlight>(
    view: &View<'_, E>,
    placed: &[(UnitKey, Link<'_, Placed<M>>)],
    missing: &[(usize, Vec<SymbolId>)],
) -> Vec<(String, String, KnownKind)> {
    let asked = missing.iter().flat_map(|(at, symbols)| symbols.iter().map(|id| (placed[*at].1.graph(), *id)));
    let foreign = asked.filter(|(graph, id)| graph.object(graph.symbol(*id).object).convention != Convention::System);
    let names: Vec<&str> = foreign.filter_map(|(graph, id)| str::from_utf8(graph.symbol(id).name).ok()).collect();
    if names.is_empty() || !view.host_symbols {
        return Vec::new();
    }
    // A report does without what the executor does not say.
    let answers = view.executor.lookup(None, &names).unwrap_or_default();
    let found = names.iter().zip(answers).filter(|(_, answer)| answer.is_some());
    found.map(|(name, _)| ((*name).to_owned(), "the process".to_owned(), KnownKind::OtherConvention)).collect()
}

/// Data of shared libraries that 32 bits do not reach: which link refers to it, the symbol, its address, why it stays there.
#[cold]
pub(super) fn out_of_reach<M: InFlight>(
    placed: &[(UnitKey, Link<'_, Placed<M>>)],
    refused: &[(usize, SymbolId, u64, &str)],
) -> Error {
    let report = |(at, symbol, address, why): &(usize, SymbolId, u64, &str)| {
        let described = placed[*at].1.describe(&[*symbol]);
        let Named { name, references, reference_count } = described.first().map(Named::from)?;
        let report = Report::error(format!("{} is out of reach", demangle(&name)))
            .detail(format!("it is data of a shared library at {address:#x}, and code that is not position-independent has 32 bits for its address"))
            .detail(format!("it cannot be copied to where they reach: {why}"))
            .help("compile with -fPIC, so that its address is loaded from a table");
        Some(Report { symbol: Some(name), references, reference_count, ..report })
    };
    Error::OutOfReach(refused.iter().filter_map(report).collect())
}
