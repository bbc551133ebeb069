//! Gathering: objects are read, and archives and each other's dylibs are asked for what is missing, until nothing new is missing.

use super::archives::{Archives, ThinMembers, archive_error, item_name};
use super::beside::Beside;
use super::find::Search;
use super::foreign;
use super::lazy::{self, Needs};
use super::rustc::{self, Shim};
use super::{Part, View};
use crate::crew::Crew;
use crate::debug::Opened;
use crate::error::Error;
use crate::executor::Executor;
use crate::names::{Names, Reach};
use crate::phases;
use crate::source::{Bytes, Item, Source};
use crate::unit::{Unit, UnitId, UnitKey};
use dylib_graph::DylibId;
use jitlink::arch::Machine;
use jitlink::graph::{Definition, GlobalDefinition, Linkage, Role, Scope, SymbolId, SymbolKind};
use jitlink::object::archive::{Content, Member, MemberId};
use jitlink::object::{self, Deferred, ReadOptions};
use jitlink::{LinkGraph, Workers as _};
use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The object that stands for what earlier batches of the same dylib defined.
pub(super) const EARLIER: &str = "<linked earlier>";

/// A name that is to be linked though no code refers to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// Where the search starts: this dylib, then what it reaches.
    pub(crate) dylib: DylibId,
    pub(crate) name: &'a [u8],
}

/// The open files of one dylib, by item.
#[derive(Debug)]
pub(crate) struct Files {
    pub(super) items: Vec<Option<OpenItem>>,
    /// Those of its units that have something to link, likewise.
    units: HashMap<UnitId, UnitFiles>,
    /// Names that items give, by item.
    given: Vec<Option<Box<str>>>,
    /// What of it was linked earlier.
    earlier: Arc<Names>,
}

/// The same of a unit that is not the dylib's own.
#[derive(Debug)]
struct UnitFiles {
    items: Vec<Option<OpenItem>>,
    given: Vec<Option<Box<str>>>,
    earlier: Arc<Names>,
}

#[derive(Debug)]
pub(crate) enum OpenItem {
    Object(Bytes),
    Archive { bytes: Bytes, thin: ThinMembers },
}

impl OpenItem {
    /// The whole file.
    fn bytes(&self) -> &[u8] {
        let (Self::Object(bytes) | Self::Archive { bytes, .. }) = self;
        bytes
    }
}

/// The open files of every dylib in reach.
pub(crate) type Inputs = HashMap<DylibId, Files>;

/// One unit's graph while it grows.
#[derive(Debug)]
pub(super) struct Gathered<'f> {
    pub(super) key: UnitKey,
    pub(super) graph: LinkGraph<'f>,
    pub(super) linked: usize,
    pub(super) pulled: HashSet<(usize, MemberId)>,
    /// Names that a lookup asked for.
    pub(super) requested: Vec<Box<[u8]>>,
    /// The objects that were read.
    pub(super) objects: Vec<Opened<'f>>,
    /// Its relocations are read when they are needed.
    pub(super) waits: bool,
    /// What reads them.
    pub(super) deferred: Vec<Deferred<'f>>,
}

/// Files are opened by several threads when there are so many: one takes 10 to 30 µs.
const MANY: usize = 64;

/// Opens every file that the batch may need.
pub(super) fn open<E>(view: &View<'_, E>) -> Result<Inputs, Error> {
    let mut all = HashMap::with_capacity(view.reached.len());
    for dylib in view.reached {
        let Some(part) = view.part(*dylib) else { continue };
        let first = if view.only.is_none() { part.linked } else { part.items.len() };
        let items = open_items(view.crew, &part.items, first)?;
        let mut units = HashMap::new();
        for (id, unit) in part.units.pending().filter(|(id, _)| view.only.is_none_or(|only| only.unit == *id)) {
            let items = open_items(view.crew, &unit.items, unit.linked)?;
            let (given, earlier) = (given_names(&unit.items, unit.linked), unit.names.clone());
            units.insert(id, UnitFiles { items, given, earlier });
        }
        let (given, earlier) = (given_names(&part.items, part.linked), part.names.clone());
        all.insert(*dylib, Files { items, units, given, earlier });
    }
    Ok(all)
}

/// The names that items give: graphs borrow them from here, since they may outlive the session's list.
fn given_names(items: &[Item], linked: usize) -> Vec<Option<Box<str>>> {
    let name = |item: &Item| match item {
        Item::Absolute { name, .. } | Item::Alias { name, .. } => Some(name.as_str().into()),
        _ => None,
    };
    let fresh = items.iter().enumerate();
    fresh.map(|(index, item)| if index < linked { None } else { name(item) }).collect()
}

/// Says what there is to read.
pub(super) fn tell(phase: &tracing::Span, files: &Inputs) {
    let all = || {
        files
            .values()
            .flat_map(|files| files.items.iter().chain(files.units.values().flat_map(|unit| &unit.items)))
            .flatten()
    };
    phases::count(phase, "files", || all().count());
    phases::count(phase, "bytes", || all().map(|file| file.bytes().len()).sum());
}

/// Opens all archives, and the objects from number `pending` on. The first file that cannot be had is told.
fn open_items(crew: &Crew, items: &[Item], pending: usize) -> Result<Vec<Option<OpenItem>>, Error> {
    let some = |(start, items): (usize, &[Item])| -> Result<Vec<_>, _> {
        items.iter().zip(start..).map(|(item, index)| open_item(item, index >= pending)).collect()
    };
    // Objects that are linked are not opened again, so that adding one to thousands is no work for two.
    if items.len().saturating_sub(pending) < MANY || crew.count() < 2 {
        return some((0, items));
    }
    let pieces = items.chunks(MANY / 4).enumerate().map(|(number, items)| (number * (MANY / 4), items));
    let opened = jitlink::workers::map(crew, pieces.collect(), some);
    opened.into_iter().try_fold(Vec::with_capacity(items.len()), |mut all, some| {
        all.extend(some?);
        Ok(all)
    })
}

/// The file of an item, if it is an archive, or an object that is to be linked.
fn open_item(item: &Item, pending: bool) -> Result<Option<OpenItem>, Error> {
    let fail = |source: &Source, error| Error::Read { file: source.name(), error };
    Ok(match item {
        Item::Object(source) | Item::Tested(source) if pending => {
            Some(OpenItem::Object(source.read().map_err(|error| fail(source, error))?))
        }
        Item::AtNeed(source) => Some(OpenItem::Object(source.read().map_err(|error| fail(source, error))?)),
        Item::Archive { source, .. } => {
            let bytes = source.read().map_err(|error| fail(source, error))?;
            let folder = Path::new(&source.name()).parent().map_or_else(PathBuf::new, Path::to_path_buf);
            Some(OpenItem::Archive { bytes, thin: ThinMembers::new(folder) })
        }
        _ => None,
    })
}

struct Gatherer<'scope, 'env, 'v, 'f, E> {
    view: &'v View<'v, E>,
    files: &'f HashMap<DylibId, Files>,
    archives: Archives<'f>,
    search: Search<'v>,
    graphs: Vec<Gathered<'f>>,
    /// The dylibs' own graphs.
    by_dylib: HashMap<DylibId, usize>,
    /// What other graphs define for their dylib, and whether some of them export it.
    siblings: HashMap<DylibId, HashMap<&'f [u8], bool>>,
    /// By graph of a dylib's own: how many symbols its objects have, before archives were asked.
    given: HashMap<usize, usize>,
    machine: &'static Machine,
    queue: VecDeque<(usize, SymbolId)>,
    /// Dylibs that say so are linked lazily.
    lazily: bool,
    /// What has to be linked first.
    needs: Needs,
    beside: Beside<'scope, 'env, 'f>,
}

/// Reads everything that is linked anyway, then whatever that needs.
pub(super) fn gather<'f, E: Executor>(
    view: &View<'_, E>,
    files: &'f HashMap<DylibId, Files>,
    wanted: Option<Wanted<'_>>,
    lazily: bool,
) -> Result<(Vec<Gathered<'f>>, Needs), Error> {
    std::thread::scope(|scope| {
        let mut gatherer = Gatherer {
            view,
            files,
            archives: Archives::new(view),
            search: Search::new(view.graph),
            graphs: Vec::new(),
            by_dylib: HashMap::new(),
            siblings: HashMap::new(),
            given: HashMap::new(),
            machine: view.executor.machine(),
            queue: VecDeque::new(),
            beside: Beside::new(view.crew, scope),
            lazily,
            needs: Needs::default(),
        };
        let outcome = gatherer.gather(wanted);
        let Gatherer { mut graphs, beside, needs, .. } = gatherer;
        let (mut edges, failed) = beside.finish();
        // The relocations of an object come before all of the next one, also in what is told of them.
        if let Some(at) = failed {
            graphs[at].graph.add_edges(edges.swap_remove(at))?;
        }
        outcome?;
        for (one, edges) in graphs.iter_mut().zip(edges) {
            one.graph.add_edges(edges)?;
        }
        for graph in graphs.iter().map(|one| &one.graph) {
            for note in graph.notes() {
                let name = &graph.object(note.object).name;
                if note.is_warning {
                    tracing::warn!("{name}: {}", note.text);
                } else {
                    tracing::info!("{name}: {}", note.text);
                }
            }
        }
        if !needs.at_once && view.executor.crosses_conventions() {
            foreign::cross(view, &mut graphs);
        }
        Ok((graphs, needs))
    })
}

/// Whether what the graph has under this name is from an earlier batch: then the dylib's own table says who may see it.
pub(super) fn is_earlier(graph: &LinkGraph<'_>, name: &[u8]) -> bool {
    let object = graph.find(name).map(|id| graph.object(graph.symbol(id).object));
    object.is_some_and(|object| object.name == EARLIER)
}

/// Whether shared libraries that stand before a dylib's archive offer a name, or the process does where the archive comes after it.
pub(super) fn is_offered_before<E: Executor>(
    view: &View<'_, E>,
    (dylib, part): (DylibId, &Part),
    archive: usize,
    name: &[u8],
) -> Result<bool, Error> {
    let Ok(text) = std::str::from_utf8(name) else { return Ok(false) };
    let before = part.items.get(..archive).unwrap_or_default();
    let libraries = before.iter().filter_map(|item| match item {
        Item::Library(library) => Some(Some(*library)),
        _ => None,
    });
    let last = matches!(part.items.get(archive), Some(Item::Archive { last: true, .. }));
    let process = (last && view.host_symbols).then_some(None);
    let (mut asked, mut offered) = (false, false);
    for library in libraries.chain(process) {
        asked = true;
        offered = view.executor.lookup(library, &[text])?.iter().any(Option::is_some);
        if offered {
            break;
        }
    }
    if let Some(recording) = view.recording.filter(|_| asked) {
        recording.offered(dylib, archive, name, offered);
    }
    Ok(offered)
}

impl<'scope, 'v, 'f: 'scope, E: Executor> Gatherer<'scope, '_, 'v, 'f, E> {
    fn gather(&mut self, wanted: Option<Wanted<'_>>) -> Result<(), Error> {
        for dylib in self.view.reached {
            self.read_part(*dylib)?;
        }
        if let Some(wanted) = wanted {
            self.keep(wanted.dylib, wanted.name)?;
        }
        loop {
            while let Some((at, id)) = self.queue.pop_front() {
                let one = &self.graphs[at];
                let symbol = one.graph.symbol(id);
                if symbol.definition == Definition::Undefined {
                    let (dylib, name, own) = (one.key.dylib, symbol.name, symbol.scope < Scope::Protected);
                    self.provide(dylib, name, own)?;
                }
            }
            // What stands for a name counts when nobody has defined that.
            for (at, one) in self.graphs.iter_mut().enumerate() {
                one.graph.want_fallbacks();
                self.queue.extend(one.graph.take_wanted().into_iter().map(|id| (at, id)));
            }
            if self.queue.is_empty() {
                break;
            }
        }
        self.graphs.iter_mut().for_each(|one| one.graph.settle_fallbacks());
        Ok(())
    }

    /// Reads the items of a dylib that are linked without being asked for.
    fn read_part(&mut self, dylib: DylibId) -> Result<(), Error> {
        let view = self.view;
        let Some(part) = view.part(dylib) else { return Ok(()) };
        if let Some(only) = view.only {
            match part.units.get(only.unit).filter(|_| only.dylib == dylib) {
                Some(unit) => return self.read_unit(only, part, unit),
                None => return Ok(()),
            }
        }
        for (index, item) in part.items.iter().enumerate().skip(part.linked) {
            if !item.is_root() {
                continue;
            }
            let at = self.graph(dylib, part);
            match item {
                Item::Object(source) => {
                    if let Some(OpenItem::Object(bytes)) = self.open_item(dylib, index) {
                        self.read(at, &source.name(), bytes, (index, None), Role::Ordinary)?;
                    }
                }
                Item::Tested(source) => {
                    if let Some(OpenItem::Object(bytes)) = self.open_item(dylib, index) {
                        self.read(at, &source.name(), bytes, (index, None), Role::Tested)?;
                    }
                }
                Item::Archive { .. } => self.read_whole(at, dylib, part, index)?,
                Item::Absolute { address, .. } => {
                    let name = self.files.get(&dylib).and_then(|files| files.given.get(index)?.as_deref());
                    self.absolute(at, part, name.unwrap_or_default(), *address)?;
                }
                Item::Alias { .. } | Item::Library(_) | Item::AtNeed(_) => {}
            }
        }
        for (id, unit) in part.units.pending() {
            self.read_unit(UnitKey { dylib, unit: id }, part, unit)?;
        }
        if let Some(at) = self.by_dylib.get(&dylib).copied() {
            self.graphs[at].linked = part.items.len();
            self.given.insert(at, self.graphs[at].graph.symbols().len());
            self.aliases(at, part)?;
            for entry in &part.entries {
                self.find(dylib, entry.as_bytes(), true, false)?;
            }
        }
        Ok(())
    }

    /// Reads what is not linked of a unit.
    fn read_unit(&mut self, key: UnitKey, part: &Part, unit: &Unit) -> Result<(), Error> {
        let files = self.files.get(&key.dylib).and_then(|files| files.units.get(&key.unit));
        let at = self.new_graph(key, files.map(|files| &*files.earlier), unit.items.len());
        for (index, item) in unit.items.iter().enumerate().skip(unit.linked) {
            match (item, files.and_then(|files| files.items.get(index))) {
                (Item::Object(source), Some(Some(OpenItem::Object(bytes)))) => {
                    self.read(at, &source.name(), bytes, (index, None), Role::Ordinary)?;
                }
                (Item::Absolute { address, .. }, _) => {
                    let name = files.and_then(|files| files.given.get(index)?.as_deref());
                    self.absolute(at, part, name.unwrap_or_default(), *address)?;
                }
                _ => {}
            }
        }
        let graph = &self.graphs[at].graph;
        let shared = graph.symbols().iter().filter(|symbol| symbol.is_defined() && symbol.scope > Scope::Local);
        let beside = self.siblings.entry(key.dylib).or_default();
        for symbol in shared {
            *beside.entry(symbol.name).or_default() |= symbol.is_exported();
        }
        Ok(())
    }

    fn open_item(&self, dylib: DylibId, index: usize) -> Option<&'f OpenItem> {
        self.files.get(&dylib)?.items.get(index)?.as_ref()
    }

    /// The graph of a dylib; a new one knows what the dylib has from earlier batches.
    fn graph(&mut self, dylib: DylibId, part: &Part) -> usize {
        if let Some(at) = self.by_dylib.get(&dylib) {
            return *at;
        }
        let earlier = self.files.get(&dylib).map(|files| &*files.earlier);
        let at = self.new_graph(UnitKey::own(dylib), earlier, part.linked);
        self.by_dylib.insert(dylib, at);
        at
    }

    /// A graph that knows the names that its unit has already.
    fn new_graph(&mut self, key: UnitKey, names: Option<&'f Names>, linked: usize) -> usize {
        let mut graph = LinkGraph::new(self.machine).spelled(self.view.options.spelling);
        let mut earlier = None;
        let named = names.into_iter().flat_map(|names| names.iter().map(move |(name, what)| (names, name, what)));
        for (names, name, what) in named.filter(|(.., what)| what.reach != Reach::Local) {
            let by = *earlier.get_or_insert_with(|| graph.add_object(EARLIER, false));
            match names.place(&what) {
                Some(place) => graph.predefine_thread_local(name, place, what.linkage, by),
                None => graph.predefine(name, what.address, what.kind, what.linkage, by),
            }
        }
        self.graphs.push(Gathered {
            key,
            graph,
            linked,
            pulled: HashSet::new(),
            requested: Vec::new(),
            objects: Vec::new(),
            waits: key.is_own() && self.lazily && lazy::waits(self.view, key.dylib),
            deferred: Vec::new(),
        });
        // What is added to a dylib that waits is bound to all of it.
        if self.view.lazy.get(&key.dylib).is_some_and(|lazy| !lazy.is_whole) {
            self.needs.whole.push(key.dylib);
        }
        self.graphs.len() - 1
    }

    /// Reads an object: an item, or a member of one.
    fn read(
        &mut self,
        at: usize,
        name: &str,
        bytes: &'f [u8],
        (item, member): (usize, Option<MemberId>),
        role: Role,
    ) -> Result<(), Error> {
        if self.graphs[at].waits && !object::can_be_deferred(bytes) {
            self.needs.at_once = true;
        }
        if self.needs.at_once {
            // All is read again, and linked at once.
            return Ok(());
        }
        let Gathered { graph, objects, waits, deferred, .. } = &mut self.graphs[at];
        graph.set_role(role);
        let options = ReadOptions { explicit: member.is_none() };
        let (object, relocations) = if *waits {
            let read = object::read_deferred(graph, name, bytes, options)?;
            let object = read.object();
            deferred.push(read);
            (object, None)
        } else {
            let (object, relocations) = object::read_names(graph, name, bytes, options)?;
            (object, Some(relocations))
        };
        graph.set_role(Role::Ordinary);
        objects.push(Opened { object, bytes, item, member });
        self.queue.extend(graph.take_wanted().into_iter().map(|id| (at, id)));
        // What is wrong is told in the end.
        if relocations.is_none_or(|relocations| self.beside.read(at, relocations)) {
            Ok(())
        } else {
            Err(Error::internal("relocations that are wrong"))
        }
    }

    fn absolute(&mut self, at: usize, part: &Part, name: &'f str, address: u64) -> Result<(), Error> {
        let graph = &mut self.graphs[at].graph;
        let object = graph.add_object(format!("<symbols of {}>", part.name), true);
        let offered = GlobalDefinition {
            definition: Definition::Absolute,
            value: address,
            size: 0,
            linkage: Linkage::Strong,
            scope: Scope::Default,
            kind: SymbolKind::Unknown,
            object,
        };
        let defined = graph.define(name.as_bytes(), offered);
        defined.map(|_| ()).map_err(|clash| Error::Duplicate {
            symbol: name.to_owned(),
            first: graph.object(clash.first).name.clone(),
            second: graph.object(clash.second).name.clone(),
        })
    }

    /// Aliases are made when everything named is read: what they stand for may be in an archive.
    fn aliases(&mut self, at: usize, part: &Part) -> Result<(), Error> {
        // Those of earlier batches are names like all others.
        for (index, item) in part.items.iter().enumerate().skip(part.linked) {
            let Item::Alias { name, of } = item else { continue };
            let dylib = self.graphs[at].key.dylib;
            let given = self.files.get(&dylib).and_then(|files| files.given.get(index)?.as_deref());
            self.find(dylib, of.as_bytes(), true, false)?;
            let graph = &mut self.graphs[at].graph;
            let missing = || Error::Alias { alias: name.clone(), of: of.clone(), dylib: part.name.clone() };
            let target = graph.find(of.as_bytes()).filter(|id| graph.symbol(*id).is_defined()).ok_or_else(missing)?;
            let object = graph.add_object(format!("<aliases of {}>", part.name), true);
            let made = graph.alias(given.unwrap_or_default().as_bytes(), target, object);
            made.map_err(|clash| Error::Duplicate {
                symbol: name.clone(),
                first: graph.object(clash.first).name.clone(),
                second: graph.object(clash.second).name.clone(),
            })?;
        }
        Ok(())
    }

    /// Sees to it that `name` is defined, if somebody has a definition: an archive, or else rustc's own link would. `own`: only in the
    /// dylib itself.
    fn provide(&mut self, dylib: DylibId, name: &'f [u8], own: bool) -> Result<(), Error> {
        let shim = Shim::of(name);
        let found = self.find(dylib, name, own, shim.is_some())?;
        if let (None, Some(shim)) = (found, shim) {
            self.add_shim(dylib, name, shim)?;
        }
        Ok(())
    }

    /// Sees to it that `name` is defined, if an archive defines it, and that it stays though no code refers to it.
    fn keep(&mut self, dylib: DylibId, name: &[u8]) -> Result<(), Error> {
        let found = self.find(dylib, name, false, true)?;
        if let Some(at) = found.and_then(|found| self.by_dylib.get(&found)) {
            self.graphs[*at].requested.push(name.into());
        }
        Ok(())
    }

    /// Looks for an archive member that defines `name`, in the order in which names are looked up, and reads it. Says which dylib has the name now, if one does; with
    /// `thorough` also if it was there before.
    fn find(&mut self, dylib: DylibId, name: &[u8], own: bool, thorough: bool) -> Result<Option<DylibId>, Error> {
        let view = self.view;
        // Most names are in no archive at all.
        let offering = self.archives.offering(view, self.files, name)?;
        if offering.is_empty() && !thorough {
            return Ok(None);
        }
        let mut position = 0;
        loop {
            self.search.start(dylib);
            let Some(other) = self.search.at(position) else { return Ok(None) };
            position += 1;
            if own && other != dylib {
                return Ok(None);
            }
            let Some(part) = view.part(other) else { continue };
            if self.defines(other, part, name, other == dylib)
                || offering.contains(other) && self.pull(other, part, name, other == dylib)?
            {
                return Ok(Some(other));
            }
        }
    }

    /// Defines a name that rustc would define: in the dylib that has what it stands for, or in the one that asks.
    fn add_shim(&mut self, dylib: DylibId, name: &'f [u8], shim: Shim<'f>) -> Result<Option<DylibId>, Error> {
        let view = self.view;
        let mut stands_alone = true;
        for target in shim.targets() {
            stands_alone = false;
            let Some(other) = self.find(dylib, &target, false, true)? else { continue };
            let Some(part) = view.part(other) else { continue };
            let at = self.graph(other, part);
            let graph = &mut self.graphs[at].graph;
            // One that a unit of the dylib has can go, and the name with it.
            let Some(of) = graph.find(&target).filter(|id| graph.symbol(*id).is_defined()) else { continue };
            let object = graph.add_object("<what rustc adds>", false);
            // It was not found, so it is not defined.
            let _ = graph.alias(name, of, object);
            return Ok(Some(other));
        }
        if let (true, Some(part)) = (stands_alone, view.part(dylib)) {
            let at = self.graph(dylib, part);
            shim.define(&mut self.graphs[at].graph);
            return Ok(Some(dylib));
        }
        Ok(None)
    }

    fn defines(&self, dylib: DylibId, part: &Part, name: &[u8], own: bool) -> bool {
        if let Some(at) = self.by_dylib.get(&dylib) {
            let graph = &self.graphs[*at].graph;
            let defined = graph.find(name).map(|id| graph.symbol(id)).filter(|symbol| symbol.is_defined());
            if (own || !is_earlier(graph, name)) && defined.is_some_and(|symbol| own || symbol.is_exported()) {
                return true;
            }
        }
        let beside = self.siblings.get(&dylib).and_then(|names| names.get(name));
        beside.is_some_and(|exported| own || *exported)
            || part.find(name).is_some_and(|found| own || found.is_exported())
            || self.view.waits_with(dylib, name, !own)
    }

    /// Reads the first archive member of `dylib` that defines `name`, unless what comes before that archive offers it.
    fn pull(&mut self, dylib: DylibId, part: &Part, name: &[u8], own: bool) -> Result<bool, Error> {
        let view = self.view;
        let Self { archives, given, graphs, .. } = self;
        // Whether the Rust programs of this batch abort when they panic.
        let aborts = || {
            let given = given.iter().flat_map(|(at, count)| graphs[*at].graph.symbols()[..*count].iter());
            rustc::aborts(given.map(|symbol| symbol.name))
        };
        let Some(found) = archives.find(view, self.files, dylib, name, aborts)? else { return Ok(false) };
        let key = (found.item, found.member);
        let known = self.by_dylib.get(&dylib).is_some_and(|at| self.graphs[*at].pulled.contains(&key));
        if known || part.pulled.contains(&key) {
            return Ok(false);
        }
        if !own && matches!(part.items.get(found.item), Some(Item::Archive { hidden: true, .. })) {
            return Ok(false);
        }
        if is_offered_before(view, (dylib, part), found.item, name)? {
            return Ok(false);
        }
        let at = self.graph(dylib, part);
        if let Some(Item::AtNeed(source)) = part.items.get(found.item) {
            self.graphs[at].pulled.insert(key);
            return match self.open_item(dylib, found.item) {
                Some(OpenItem::Object(bytes)) => {
                    self.read(at, &source.name(), bytes, (found.item, None), Role::Ordinary).map(|()| true)
                }
                _ => Err(Error::internal("an object is not open")),
            };
        }
        let archive = self.archives.archive(view, self.files, dylib, found.item)?;
        let member = archive.member(found.member).map_err(|error| archive_error(part, found.item, error))?;
        // What the system's compiler adds to a program is not for one of Windows.
        if let Content::Bytes(bytes) = member.content
            && !object::suits(&self.graphs[at].graph, bytes)
        {
            return Ok(false);
        }
        self.read_member(at, dylib, part, found.item, &member)?;
        Ok(true)
    }

    fn read_whole(&mut self, at: usize, dylib: DylibId, part: &Part, item: usize) -> Result<(), Error> {
        let archive = self.archives.archive(self.view, self.files, dylib, item)?;
        let members: Result<Vec<_>, _> = archive.members().collect();
        for member in members.map_err(|error| archive_error(part, item, error))? {
            if !part.pulled.contains(&(item, member.id)) {
                self.read_member(at, dylib, part, item, &member)?;
            }
        }
        Ok(())
    }

    fn read_member(
        &mut self,
        at: usize,
        dylib: DylibId,
        part: &Part,
        item: usize,
        member: &Member<'f>,
    ) -> Result<(), Error> {
        if !self.graphs[at].pulled.insert((item, member.id)) {
            return Ok(());
        }
        let Some(OpenItem::Archive { thin, .. }) = self.open_item(dylib, item) else {
            return Err(Error::internal("an archive is not open"));
        };
        if let Some(recording) = self.view.recording
            && matches!(member.content, Content::Thin(_))
        {
            recording.refuse("members of thin archives are files that are not known before they are asked for");
        }
        let archive_name = item_name(part, item);
        let archive = self.archives.archive(self.view, self.files, dylib, item)?;
        let bytes = thin.bytes(archive, &archive_name, member)?;
        let name = format!("{archive_name}({})", String::from_utf8_lossy(member.name));
        let hidden = matches!(part.items.get(item), Some(Item::Archive { hidden: true, .. }));
        self.read(at, &name, bytes, (item, Some(member.id)), if hidden { Role::Hidden } else { Role::Ordinary })
    }
}
