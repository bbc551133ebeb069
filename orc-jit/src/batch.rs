//! One batch: everything that an open or a lookup needs, linked together.
//!
//! ```text
//! gather (read objects, ask archives) -> prune -> place all -> bind (find externals) -> write -> register
//! ```
//!
//! A batch only reads the session; what it made is given back whole, or nothing of it exists. Dylibs that need each other are
//! placed before any of them is bound, so that cycles are nothing special.

mod archives;
mod bind;
mod gather;
mod reach;
mod report;
mod unify;

pub(crate) use gather::Wanted;

use crate::error::Error;
use crate::executor::Executor;
use crate::map::MapEntry;
use crate::names::{Name, Names, Reach};
use crate::source::Item;
use dylib_graph::{DylibGraph, DylibId};
use jitlink::graph::{Scope, SymbolKind};
use jitlink::linked::{DSO_HANDLE_OFFSET, InitArray, Linked};
use jitlink::memory::ThreadLocal;
use jitlink::object::archive::MemberId;
use jitlink::{Keep, Link, LinkGraph, LinkOptions, Resolution, Roots};
use orc_rt::image::ImageInfo;
use orc_rt::tls::FirstContent;
use std::collections::{HashMap, HashSet};

/// What a batch needs to know of one dylib.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) items: Vec<Item>,
    /// How many of the items have been linked, counting only those that are linked without being asked for.
    pub(crate) linked: usize,
    /// Archive members that have been linked: item and member.
    pub(crate) pulled: HashSet<(usize, MemberId)>,
    pub(crate) names: Names,
    pub(crate) header: Option<u64>,
    pub(crate) keep: Keep,
    /// Names kept even when nobody refers to them.
    pub(crate) entries: Vec<String>,
}

/// Everything that a batch reads.
#[derive(Debug)]
pub(crate) struct View<'a, E> {
    pub(crate) executor: &'a E,
    pub(crate) graph: &'a DylibGraph,
    pub(crate) parts: &'a [Option<Part>],
    pub(crate) host_symbols: bool,
    pub(crate) map: bool,
    pub(crate) program: Option<DylibId>,
    /// Unique symbols (`STB_GNU_UNIQUE`) that the session has, with their addresses.
    pub(crate) unique: &'a HashMap<Box<[u8]>, Resolution>,
}

impl<E> View<'_, E> {
    pub(crate) fn part(&self, dylib: DylibId) -> Option<&Part> {
        self.parts.get(dylib.index())?.as_ref()
    }

    /// `dylib` and what it reaches, in the order in which names are looked up.
    pub(crate) fn search_order(&self, dylib: DylibId) -> Vec<DylibId> {
        self.graph.search_order(dylib).unwrap_or_default()
    }
}

/// What one dylib got out of a batch.
#[derive(Debug)]
pub(crate) struct Made<A> {
    pub(crate) dylib: DylibId,
    pub(crate) allocation: A,
    pub(crate) image: ImageInfo,
    pub(crate) names: Names,
    pub(crate) header: Option<u64>,
    pub(crate) arrays: Vec<InitArray>,
    pub(crate) map: Vec<MapEntry>,
    pub(crate) linked: usize,
    pub(crate) pulled: HashSet<(usize, MemberId)>,
    /// Dylibs whose definitions it shares and that may be closed before it.
    pub(crate) lenders: HashSet<DylibId>,
}

/// Links what `roots` and all that they reach still need, and what `wanted` asks for besides. Nothing to do gives nothing.
pub(crate) fn link<E: Executor>(
    view: &View<'_, E>,
    roots: &[DylibId],
    wanted: Option<Wanted<'_>>,
) -> Result<Vec<Made<E::Allocation>>, Error> {
    let mut reached: Vec<DylibId> = Vec::new();
    let mut seen: HashSet<DylibId> = HashSet::new();
    for root in roots {
        if !seen.contains(root) {
            reached.extend(view.search_order(*root).into_iter().filter(|dylib| seen.insert(*dylib)));
        }
    }
    let files = gather::open(view, &reached)?;
    let mut gathered = gather::gather(view, &files, &reached, wanted)?;
    if gathered.is_empty() {
        return Ok(Vec::new());
    }

    let owners = unify::unify(view, &mut gathered);
    let undefined = gather::undefined_names(&gathered);
    let mut pruned = Vec::with_capacity(gathered.len());
    let mut made = Vec::with_capacity(gathered.len());
    for one in gathered {
        let part = view.part(one.dylib).ok_or_else(|| Error::internal("a dylib vanished while it was linked"))?;
        let options = LinkOptions { header: part.header, plain: false };
        let entries: Vec<&[u8]> = part.entries.iter().map(String::as_bytes).collect();
        let mut wanted_names = entries;
        wanted_names.extend(one.requested.iter().map(|name| &**name));
        let keep = keep_of(part, &one.graph);
        if keep != Keep::Exported {
            wanted_names.extend(undefined.iter().copied());
        }
        let roots = Roots { required: &[], wanted: &wanted_names, keep };
        pruned.push(Link::new(one.graph, options).prune(&roots).map_err(|error| report::link(&part.name, error))?);
        made.push((one.dylib, one.linked, one.pulled));
    }
    // Code that holds addresses in 32 bits needs everything that it may refer to below 2 GiB.
    if pruned.iter().any(Link::needs_low) {
        pruned.iter_mut().for_each(Link::require_low);
    }
    let name_of = |dylib: DylibId| view.part(dylib).map_or("", |part| &part.name);
    let mut placed = Vec::with_capacity(pruned.len());
    for (link, (dylib, ..)) in pruned.into_iter().zip(&made) {
        let link = link.place(view.executor.memory()).map_err(|error| report::link(name_of(*dylib), error))?;
        placed.push((*dylib, link));
    }
    let bindings = bind::bind(view, &files, &placed, &owners)?;
    let mut finished = Vec::with_capacity(placed.len());
    for ((((dylib, link), bound), (_, linked, pulled)), owners) in
        placed.into_iter().zip(bindings).zip(made).zip(&owners)
    {
        let mut bound = bound.into_iter();
        let resolved = link.resolve(|_| bound.next().flatten());
        let done = resolved.and_then(Link::finalize).map_err(|error| report::link(name_of(dylib), error))?;
        let mut made = describe(dylib, name_of(dylib), view.map, done, linked, pulled);
        made.lenders = unify::lenders(view, dylib, owners);
        finished.push(made);
    }
    Ok(finished)
}

/// The linker's word for a place in the runtime's.
pub(crate) fn native_place(place: ThreadLocal) -> orc_rt::tls::ThreadLocal {
    let ThreadLocal { module, offset, distance } = place;
    orc_rt::tls::ThreadLocal { module, offset, distance }
}

/// What a dylib keeps. One that keeps only what is named can still look up its own names as it runs: if it may, what the user named
/// stays, so that the lookup finds it.
fn keep_of(part: &Part, graph: &LinkGraph<'_>) -> Keep {
    const LOOKUPS: [&[u8]; 4] = [b"dlsym", b"dlvsym", b"__orc_rt_jit_dlsym", b"__orc_rt_jit_dispatch"];
    let looks_up = || LOOKUPS.iter().any(|name| graph.find(name).is_some());
    if part.keep == Keep::Named && looks_up() { Keep::ExplicitlyExported } else { part.keep }
}

/// Takes from a finished link what outlives its inputs.
fn describe<A>(
    dylib: DylibId,
    name: &str,
    map: bool,
    linked: Linked<'_, A>,
    items: usize,
    pulled: HashSet<(usize, MemberId)>,
) -> Made<A> {
    let mut names = Names::default();
    for one in linked.names() {
        // Labels inside of code and data are no help in a backtrace.
        if one.symbol.scope == Scope::Local && one.kind == SymbolKind::Unknown {
            continue;
        }
        let reach = match one.symbol.scope {
            Scope::Local => Reach::Local,
            Scope::Hidden => Reach::Hidden,
            Scope::Protected | Scope::Default => Reach::Exported,
        };
        let linkage = one.symbol.linkage;
        let mut name = Name { address: one.address, size: one.size, kind: one.kind, linkage, reach };
        if let Some(place) = one.thread_local {
            name.address = names.thread_local(place);
        }
        names.push(one.name, name);
    }
    for one in linked.globals() {
        // Absolute symbols stand in no block; those that an earlier batch defined are known already.
        if one.symbol.block().is_none() && linked.graph().object(one.symbol.object).name != gather::EARLIER {
            let linkage = one.symbol.linkage;
            let reach = if one.symbol.is_exported() { Reach::Exported } else { Reach::Hidden };
            names.push(one.name, Name { address: one.address, size: one.size, kind: one.kind, linkage, reach });
        }
    }
    let image = ImageInfo {
        dylib,
        name: name.to_owned(),
        ranges: linked.segments.iter().map(|segment| segment.address..segment.address + segment.size).collect(),
        dso_handle: linked.header.map_or(0, |header| header + DSO_HANDLE_OFFSET),
        eh_frame: linked.eh_frame,
        ifuncs: linked.indirect.iter().map(|function| (function.resolver, function.slot)).collect(),
        thread_local: linked.thread_local.map(|image| FirstContent {
            place: native_place(image.place),
            address: image.address,
            content_size: image.content_size,
            size: image.size,
        }),
        symbols: orc_rt::image::SymbolTable::default(),
    };
    Made {
        dylib,
        image,
        names,
        header: linked.header,
        arrays: linked.init_arrays().collect(),
        map: if map { crate::map::entries(name, &linked) } else { Vec::new() },
        linked: items,
        pulled,
        lenders: HashSet::new(),
        allocation: linked.allocation,
    }
}
