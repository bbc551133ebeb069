//! One batch: everything that an open or a lookup needs, linked together.
//!
//! ```text
//! gather (read objects, ask archives) -> prune -> place all -> bind (find externals) -> write -> register
//! ```
//!
//! A batch only reads the session; what it made is given back whole, or nothing of it exists. Dylibs that need each other are
//! placed before any of them is bound, so that cycles are nothing special.

mod archives;
mod beside;
mod bind;
mod cached;
mod find;
mod foreign;
mod gather;
pub(crate) mod lazy;
mod loose;
mod reach;
mod recording;
mod report;
mod rustc;
mod siblings;
mod stubs;
mod unify;

use find::Search;
pub(crate) use find::{Definers, FEW};
pub(crate) use gather::Wanted;
use gather::{Gathered, Inputs};
use lazy::{First, LazyDylib, Needs, Parked, Shelf, Step};
pub(crate) use recording::Recording;
use siblings::Siblings;

use crate::cache::Cache;
use crate::crew::Crew;
use crate::debug::{self, Opened, Portrait};
use crate::error::Error;
use crate::executor::Executor;
use crate::map::MapEntry;
use crate::names::{Name, Names, Reach};
use crate::phases;
use crate::session::{Relax, SessionOptions};
use crate::source::Item;
use crate::ties::Tie;
use crate::unit::{Defined, Unit, UnitId, UnitKey, Units};
use dylib_graph::{DylibGraph, DylibId, Walker};
use jitlink::graph::{Definition, Scope, Symbol, SymbolId, SymbolKind};
use jitlink::linked::{DSO_HANDLE_OFFSET, InitArray, Linked};
use jitlink::memory::ThreadLocal;
use jitlink::object::archive::MemberId;
use jitlink::{Keep, Link, LinkGraph, LinkOptions, Resolution, Roots};
use orc_rt::Watchers;
use orc_rt::debug::Description;
use orc_rt::image::{ImageInfo, SymbolTable};
use orc_rt::tls::FirstContent;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What a batch needs to know of one dylib.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) items: Vec<Item>,
    /// How many of the items have been linked, counting only those that are linked without being asked for.
    pub(crate) linked: usize,
    /// Archive members that have been linked: item and member.
    pub(crate) pulled: HashSet<(usize, MemberId)>,
    pub(crate) names: Arc<Names>,
    pub(crate) header: Option<u64>,
    pub(crate) keep: Keep,
    /// Names kept even when nobody refers to them.
    pub(crate) entries: Vec<String>,
    /// Its definitions yield to nobody's.
    pub(crate) own_definitions: bool,
    /// What is linked apart from the rest.
    pub(crate) units: Units,
    /// Its own inputs are linked when they are needed.
    pub(crate) lazily: bool,
}

impl Part {
    /// A dylib without inputs.
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            items: Vec::new(),
            linked: 0,
            pulled: HashSet::new(),
            names: Arc::default(),
            header: None,
            keep: Keep::Exported,
            entries: Vec::new(),
            own_definitions: false,
            units: Units::default(),
            lazily: false,
        }
    }

    /// Whether something of it is not linked, or at need only.
    pub(crate) fn has_more(&self) -> bool {
        self.items[self.linked.min(self.items.len())..].iter().any(Item::is_root)
            || self.units.has_pending()
            || self.items.iter().any(|item| matches!(item, Item::Archive { .. } | Item::AtNeed(_)))
    }

    /// Whether anything of it is linked that has a name.
    pub(crate) fn has_names(&self) -> bool {
        !self.names.is_empty() || self.units.iter().any(|(_, unit)| !unit.names.is_empty())
    }

    /// What `name` names for the dylib itself: exported or hidden, of whichever unit.
    pub(crate) fn find(&self, name: &[u8]) -> Option<Defined<'_>> {
        let own = self.find_in(UnitId::OWN, name);
        match (own, self.units.find(name, UnitId::OWN)) {
            (Some(own), Some(other)) => Some(if other.rank() < own.rank() { other } else { own }),
            (own, other) => own.or(other),
        }
    }

    /// As [`Self::find`], but not what `unit` defines.
    pub(crate) fn find_beside(&self, unit: UnitId, name: &[u8]) -> Option<Defined<'_>> {
        let own = if unit == UnitId::OWN { None } else { self.find_in(UnitId::OWN, name) };
        match (own, self.units.find(name, unit)) {
            (Some(own), Some(other)) => Some(if other.rank() < own.rank() { other } else { own }),
            (own, other) => own.or(other),
        }
    }

    /// What `name` names in one unit.
    pub(crate) fn find_in(&self, unit: UnitId, name: &[u8]) -> Option<Defined<'_>> {
        let names = self.names_of(unit)?;
        Some(Defined { unit, name: names.find(name)?, names })
    }

    /// What `name` names for everybody.
    pub(crate) fn exported(&self, name: &[u8]) -> Option<Defined<'_>> {
        self.find(name).filter(Defined::is_exported)
    }

    /// The names of one unit.
    pub(crate) fn names_of(&self, unit: UnitId) -> Option<&Names> {
        if unit == UnitId::OWN { Some(&self.names) } else { self.units.get(unit).map(|unit| &*unit.names) }
    }

    /// The names of every unit.
    pub(crate) fn all_names(&self) -> impl Iterator<Item = (&[u8], Name)> + '_ {
        self.names.iter().chain(self.units.iter().flat_map(|(_, unit)| unit.names.iter()))
    }

    /// The header of a unit, when an earlier batch made it.
    fn header_of(&self, unit: UnitId) -> Option<u64> {
        if unit == UnitId::OWN { self.header } else { self.units.get(unit)?.header }
    }

    /// What a unit is called in messages.
    pub(crate) fn title_of(&self, unit: UnitId) -> String {
        let name = || format!("what is linked of {}", self.name);
        self.units.get(unit).map_or_else(name, Unit::title)
    }
}

/// Everything that a batch reads.
#[derive(Debug)]
pub(crate) struct View<'a, E> {
    pub(crate) executor: &'a E,
    pub(crate) crew: &'a Crew,
    pub(crate) graph: &'a DylibGraph,
    pub(crate) parts: &'a [Option<Part>],
    pub(crate) host_symbols: bool,
    pub(crate) map: bool,
    /// What debug sections are made from is kept for later.
    pub(crate) keeps_debug: bool,
    /// What the batch is about, and all that this reaches.
    pub(crate) reached: &'a [DylibId],
    /// Who defines what of all that is linked; absent when few dylibs are in reach.
    pub(crate) index: Option<&'a Definers>,
    pub(crate) program: Option<DylibId>,
    /// Nothing else is read: what the session is about to try. Archives are asked for what it needs.
    pub(crate) only: Option<UnitKey>,
    /// What was opened with `GLOBAL`, in the order of these opens.
    pub(crate) global: &'a [DylibId],
    /// Unique symbols (`STB_GNU_UNIQUE`) that the session has.
    pub(crate) unique: &'a HashMap<Box<[u8]>, Unique>,
    /// Dylibs that are linked in part.
    pub(crate) lazy: &'a HashMap<DylibId, LazyDylib>,
    /// How the session links.
    pub(crate) options: &'a SessionOptions,
    /// Where linked images are kept.
    pub(crate) cache: Option<&'a Cache>,
    /// Who wants to know what the batch does.
    pub(crate) recording: Option<&'a Recording<'a>>,
}

impl<E> Clone for View<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for View<'_, E> {}

/// A unique symbol: where it is, and who defines it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unique {
    pub(crate) place: Resolution,
    pub(crate) by: UnitKey,
}

impl<E> View<'_, E> {
    pub(crate) fn part(&self, dylib: DylibId) -> Option<&Part> {
        self.parts.get(dylib.index())?.as_ref()
    }

    /// How every graph of the session is linked.
    fn link_options(&self) -> LinkOptions {
        let (plain, relax_late) = match self.options.relax {
            Relax::Early => (false, false),
            Relax::Late => (true, true),
            Relax::Never => (true, false),
        };
        LinkOptions { plain, relax_late, ..LinkOptions::default() }
    }

    /// The dylibs that are linked in part and define `name` for everybody, in no particular order.
    fn waiting_with(&self, name: &[u8]) -> impl Iterator<Item = DylibId> {
        self.lazy.keys().copied().filter(move |dylib| self.waits_with(*dylib, name, true))
    }

    /// Whether a dylib that is linked in part defines `name`: for itself, or with `exported` for everybody.
    fn waits_with(&self, dylib: DylibId, name: &[u8], exported: bool) -> bool {
        self.lazy.get(&dylib).is_some_and(|lazy| lazy.waiting().defined(name, exported).is_some())
    }
}

/// What one unit got out of a batch.
#[derive(Debug)]
pub(crate) struct Made<A> {
    pub(crate) key: UnitKey,
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
    /// What it is bound to that may go before it.
    pub(crate) ties: Vec<Tie>,
    /// Where functions behind stubs are, or the slots of stubs.
    pub(crate) places: Vec<(Box<[u8]>, u64)>,
    /// What can be told of it later.
    pub(crate) portrait: Portrait,
    /// What is told of it at once, if somebody watches.
    pub(crate) description: Option<Description>,
    /// Something of its batch may read debug sections of its own process.
    pub(crate) reads_debug: bool,
    /// How it goes on with a dylib that is linked in part.
    pub(crate) step: Option<Step>,
}

/// What came of a batch.
#[derive(Debug)]
pub(crate) enum Batch<A> {
    /// What was linked, and the dylibs of which something waits.
    Linked(Vec<Made<A>>, Option<Shelf>),
    /// Nothing yet: this has to be linked first.
    Later(Needs),
}

/// What `roots` are and reach, each once, the first root's search order first.
pub(crate) fn reached(graph: &DylibGraph, roots: &[DylibId]) -> Vec<DylibId> {
    Walker::new().search_orders(graph, roots.iter().copied()).unwrap_or_default()
}

/// Links what everything in reach still needs, and what `wanted` asks for besides. Nothing to do gives nothing.
pub(crate) fn link<E: Executor>(view: &View<'_, E>, wanted: Option<Wanted<'_>>) -> Result<Batch<E::Allocation>, Error> {
    let waits = view.reached.iter().any(|dylib| lazy::waits(view, *dylib));
    if !waits && view.lazy.is_empty() {
        return cached::link(view, wanted).map(|made| Batch::Linked(made, None));
    }
    let mut files = open_files(view)?;
    if waits {
        let mut outcome = None;
        let shelf = Shelf::try_new(files, |files| match link_files(view, files, wanted, true)? {
            Some((batch, parked)) => {
                outcome = Some(batch);
                Ok(parked)
            }
            None => Ok(Vec::new()),
        });
        match (shelf, outcome) {
            (Ok(shelf), Some(Batch::Linked(made, _))) => return Ok(Batch::Linked(made, Some(shelf))),
            (Ok(_), Some(later)) => return Ok(later),
            // What is not reached may refer to what nobody defines: only a link of everything tells.
            (Ok(_), None) | (Err(Error::Undefined(_)), _) => files = open_files(view)?,
            (Err(error), _) => return Err(error),
        }
    }
    let linked = link_files(view, &files, wanted, false)?;
    linked.map(|(batch, _)| batch).ok_or_else(|| Error::internal("something waits that is not to"))
}

/// A batch in which nothing waits and of which nothing is known.
fn link_anew<E: Executor>(view: &View<'_, E>, wanted: Option<Wanted<'_>>) -> Result<Vec<Made<E::Allocation>>, Error> {
    match link_files(view, &open_files(view)?, wanted, false)? {
        Some((Batch::Linked(made, _), _)) => Ok(made),
        _ => Err(Error::internal("something waits that is not to")),
    }
}

fn open_files<E>(view: &View<'_, E>) -> Result<Inputs, Error> {
    let phase = phases::find().entered();
    let files = gather::open(view)?;
    gather::tell(&phase, &files);
    Ok(files)
}

/// A batch over open files, and what of it is set aside. `None` when it cannot be linked lazily.
#[expect(clippy::type_complexity, reason = "two results, both named")]
fn link_files<'f, E: Executor>(
    view: &View<'_, E>,
    files: &'f Inputs,
    wanted: Option<Wanted<'_>>,
    lazily: bool,
) -> Result<Option<(Batch<E::Allocation>, Vec<Parked<'f>>)>, Error> {
    let phase = phases::gather().entered();
    let (mut gathered, mut needs) = gather::gather(view, files, wanted, lazily)?;
    if !needs.whole.is_empty() {
        return Ok(Some((Batch::Later(needs), Vec::new())));
    }
    if needs.at_once {
        return Ok(None);
    }
    if gathered.is_empty() {
        return Ok(Some((Batch::Linked(Vec::new(), None), Vec::new())));
    }
    phases::gathered(&phase, gathered.iter().map(|one| &one.graph));
    drop(phase);

    let phase = phases::unify().entered();
    let stubs = stubs::put_functions_behind(view, &mut gathered)?;
    let index = view.index.map(|_| find::index(&gathered));
    let siblings = Siblings::new(view, &gathered);
    siblings.refuse_duplicates(view, &gathered)?;
    let owners = unify::unify(view, index.as_ref(), &siblings, &mut gathered);
    needs = lazy::needs(view, &gathered);
    if !needs.symbols.is_empty() {
        return Ok(Some((Batch::Later(needs), Vec::new())));
    }
    let Some(parked) = lazy::park(&mut gathered) else { return Ok(None) };
    phases::count(&phase, "names", || owners.iter().map(HashMap::len).sum());
    drop(phase);
    let found = Found { stubs, index, siblings };
    let made = link_gathered(view, files, gathered, owners, &found, &parked)?;
    Ok(Some((Batch::Linked(made, None), parked)))
}

/// What gathering has found out of names.
struct Found<'f> {
    stubs: stubs::Stubs,
    index: Option<Definers>,
    siblings: Siblings<'f>,
}

/// The second half of a batch: from graphs to memory.
fn link_gathered<'s, E: Executor>(
    view: &View<'_, E>,
    files: &'s Inputs,
    mut gathered: Vec<Gathered<'s>>,
    mut owners: Vec<HashMap<SymbolId, unify::Owner>>,
    found: &Found<'s>,
    parked: &'s [Parked<'s>],
) -> Result<Vec<Made<E::Allocation>>, Error> {
    let Found { stubs, index, siblings } = found;
    let mut first = First::of(view, parked, &mut gathered, &mut owners)?;
    let undefined = undefined_names(view, &gathered);

    let phase = phases::prune().entered();
    let mut pruned = Vec::with_capacity(gathered.len());
    let mut made = Vec::with_capacity(gathered.len());
    for (at, one) in gathered.into_iter().enumerate() {
        let part = view.part(one.key.dylib).ok_or_else(|| Error::internal("a dylib vanished while it was linked"))?;
        let has_siblings = !part.units.is_empty();
        let header = part.header_of(one.key.unit);
        let options = LinkOptions { header, has_siblings, ..view.link_options() };
        let mut wanted_names: Vec<&[u8]> = Vec::new();
        let mut keep = Keep::Exported;
        if first.has(at) {
            keep = Keep::Named;
        } else if one.key.is_own() {
            wanted_names.extend(part.entries.iter().map(String::as_bytes));
            keep = keep_of(part, &one.graph);
        }
        if !first.has(at) {
            wanted_names.extend(one.requested.iter().map(|name| &**name));
        }
        if keep != Keep::Exported {
            let defined = one.graph.symbols().iter().filter(|symbol| symbol.is_defined());
            wanted_names.extend(defined.map(|symbol| symbol.name).filter(|name| undefined.contains(name)));
        }
        if has_siblings {
            // Other units may refer to these, now or later.
            let defined = one.graph.symbols().iter().filter(|symbol| symbol.is_defined());
            wanted_names.extend(defined.filter(|symbol| symbol.scope == Scope::Hidden).map(|symbol| symbol.name));
        }
        let roots = Roots { required: &[], wanted: &wanted_names, keep };
        let link = Link::new(one.graph, options).with_workers(view.crew);
        let link = view.options.plugins.for_dylib(&part.name).fold(link, Link::with);
        pruned.push(link.prune(&roots).map_err(|error| report::link(&part.name, error))?);
        made.push((one.key, one.linked, one.pulled, one.objects));
    }
    // Code that holds addresses in 32 bits needs everything that it may refer to below 2 GiB.
    if pruned.iter().any(Link::needs_low) {
        pruned.iter_mut().for_each(Link::require_low);
    }
    // The same of code that holds distances from the thread pointer.
    if first.need_constant_distance() || pruned.iter().any(Link::needs_constant_distance) {
        pruned.iter_mut().for_each(Link::require_constant_distance);
    }
    phases::count(&phase, "blocks", || pruned.iter().map(|link| phases::live_blocks(link.graph())).sum());
    drop(phase);

    let phase = phases::place().entered();
    let name_of = |key: UnitKey| view.part(key.dylib).map_or("", |part| &part.name);
    let mut placed = Vec::with_capacity(pruned.len());
    for (link, (key, ..)) in pruned.into_iter().zip(&made) {
        let link = link.place(view.executor.memory()).map_err(|error| report::link(name_of(*key), error))?;
        placed.push((*key, link));
    }
    phases::count(&phase, "segments", || placed.iter().map(|(_, link)| link.segments().len()).sum());
    phases::count(&phase, "bytes", || {
        placed.iter().flat_map(|(_, link)| link.segments()).map(|segment| segment.size as usize).sum()
    });
    drop(phase);

    let phase = phases::bind().entered();
    let watchers = view.executor.watchers();
    // Of everything that is linked with it, and from now on: a backtrace goes through all of it.
    let reads_debug = placed.iter().any(|(_, link)| link.asked().any(|external| debug::reads_debug(external.name)));
    let keeps_debug = view.keeps_debug || reads_debug || !watchers.is_empty();
    let bindings = bind::bind(view, files, &placed, &owners, siblings, stubs, index.as_ref())?;
    phases::count(&phase, "names", || bindings.iter().map(|one| one.bound.len()).sum());
    drop(phase);

    let mut finished = Vec::with_capacity(placed.len());
    let mut search = Search::new(view.graph);
    for ((((key, link), bound), (_, linked, pulled, objects)), owners) in
        placed.into_iter().zip(bindings).zip(made).zip(&owners)
    {
        let bind::Bindings { bound, borrowed, ties } = bound;
        first.bind(finished.len(), &link, &bound);
        let mut bound = bound.into_iter();
        let phase = phases::write().entered();
        phases::written(&phase, link.graph());
        let resolved = link.resolve(|_| bound.next().flatten());
        let done = resolved.and_then(|link| match view.recording {
            Some(recording) => {
                let linked = link.finalize_seen(|written| recording.see(written))?;
                let names = names_of(linked.symbols(), |symbol| recording.name(symbol));
                Ok((linked, names))
            }
            // While the bytes are written: they need no name.
            None => link.finalize_beside(|_| (), |symbols| names_of(symbols, |_| ())),
        });
        let (done, names) = done.map_err(|error| report::link(name_of(key), error))?;
        drop(phase);
        let phase = phases::describe().entered();
        let places = stubs.places(finished.len(), &done);
        let mut slots = stubs.slots(finished.len(), &done);
        let step = first.step(finished.len(), &done);
        if let Some(Step::First(_, advance)) = &step {
            slots = advance.slots();
        }
        let asked = (watchers, keeps_debug);
        let mut made = describe(view, (key, name_of(key)), (asked, &objects), (done, names), linked, pulled);
        phases::count(&phase, "names", || made.names.len());
        drop(phase);
        made.reads_debug = reads_debug;
        made.places = places;
        made.step = step;
        made.image.slots = slots;
        made.lenders = unify::lenders(&mut search, key.dylib, owners);
        made.lenders.extend(borrowed);
        made.ties = ties;
        finished.push(made);
    }
    Ok(finished)
}

/// Every name that some graph of the batch does not define: a dylib that keeps only what is reached keeps these for the others.
fn undefined_names<'f, E>(view: &View<'_, E>, gathered: &[gather::Gathered<'f>]) -> HashSet<&'f [u8]> {
    let prunes = |one: &gather::Gathered<'_>| view.part(one.key.dylib).is_some_and(|part| part.keep != Keep::Exported);
    if gathered.len() < 2 || !gathered.iter().any(prunes) {
        return HashSet::new();
    }
    let symbols = gathered.iter().flat_map(|one| one.graph.symbols());
    symbols.filter(|symbol| symbol.definition == Definition::Undefined).map(|symbol| symbol.name).collect()
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

/// The symbols that go along with an image: its functions, if it refers to the function that names them in signal handlers, where nobody can be asked.
fn symbols_at_hand<A>(linked: &Linked<'_, A>, names: &Names) -> SymbolTable {
    let mut symbols = SymbolTable::default();
    if linked.address(b"backtrace_symbols_fd").is_some() {
        add_functions(&mut symbols, names);
    }
    symbols
}

fn add_functions(symbols: &mut SymbolTable, names: &Names) {
    let functions = names.iter().filter(|(_, what)| what.kind == SymbolKind::Function);
    functions.for_each(|(name, what)| symbols.push(what.address, what.size, &String::from_utf8_lossy(name)));
}

/// What stays known of names; `seen` hears of each symbol that it is made of.
fn names_of(symbols: jitlink::linked::Names<'_, '_>, seen: impl Fn(&Symbol<'_>)) -> Names {
    let mut names = Names::default();
    for one in symbols.all() {
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
        seen(one.symbol);
    }
    for one in symbols.absolutes() {
        // Those that an earlier batch defined are known already.
        if symbols.graph().object(one.symbol.object).name != gather::EARLIER {
            let linkage = one.symbol.linkage;
            let reach = if one.symbol.is_exported() { Reach::Exported } else { Reach::Hidden };
            names.push(one.name, Name { address: one.address, size: one.size, kind: one.kind, linkage, reach });
            seen(one.symbol);
        }
    }
    names.shrink();
    names
}

/// Takes from a finished link what outlives its inputs.
fn describe<E: Executor>(
    view: &View<'_, E>,
    (key, name): (UnitKey, &str),
    ((watchers, keeps_debug), objects): ((Watchers, bool), &[Opened<'_>]),
    (linked, names): (Linked<'_, E::Allocation>, Names),
    items: usize,
    pulled: HashSet<(usize, MemberId)>,
) -> Made<E::Allocation> {
    let image = ImageInfo {
        dylib: key.dylib,
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
        slots: 0..0,
        symbols: symbols_at_hand(&linked, &names),
    };
    let portrait = Portrait::of(view.executor, &linked, keeps_debug, objects);
    Made {
        key,
        image,
        description: debug::at_once(watchers, (key, name), &portrait, &names, &linked, objects),
        portrait,
        reads_debug: false,
        names,
        header: linked.header,
        arrays: linked.init_arrays().collect(),
        map: if view.map { crate::map::entries(name, &linked) } else { Vec::new() },
        linked: items,
        pulled,
        lenders: HashSet::new(),
        ties: Vec::new(),
        places: Vec::new(),
        step: None,
        allocation: linked.allocation,
    }
}
