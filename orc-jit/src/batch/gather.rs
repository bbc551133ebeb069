//! Gathering: objects are read, and archives and each other's dylibs are asked for what is missing, until nothing new is missing.

use super::{Part, View};
use crate::error::Error;
use crate::executor::Executor;
use crate::names::Reach;
use crate::source::{Bytes, Item};
use dylib_graph::DylibId;
use jitlink::LinkGraph;
use jitlink::arch::Machine;
use jitlink::graph::{Definition, GlobalDefinition, Linkage, Scope, SymbolId, SymbolKind};
use jitlink::object::archive::{Archive, Content, Member, MemberId};
use jitlink::object::{self, ReadOptions};
use std::collections::{HashMap, VecDeque};

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

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
pub(super) struct Files {
    items: Vec<Option<OpenItem>>,
}

#[derive(Debug)]
enum OpenItem {
    Object(Bytes),
    Archive { bytes: Bytes, folder: PathBuf, thin: OnceLock<Vec<(MemberId, OnceLock<Bytes>)>> },
}

/// One dylib's graph while it grows.
#[derive(Debug)]
pub(super) struct Gathered<'f> {
    pub(super) dylib: DylibId,
    pub(super) graph: LinkGraph<'f>,
    pub(super) linked: usize,
    pub(super) pulled: Vec<(usize, MemberId)>,
    /// Names that a lookup asked for.
    pub(super) requested: Vec<Box<[u8]>>,
}

/// Opens every file that the batch may need.
pub(super) fn open<E>(view: &View<'_, E>, reached: &[DylibId]) -> Result<HashMap<DylibId, Files>, Error> {
    let mut all = HashMap::with_capacity(reached.len());
    for dylib in reached {
        let Some(part) = view.part(*dylib) else { continue };
        let mut items = Vec::with_capacity(part.items.len());
        for (index, item) in part.items.iter().enumerate() {
            let pending = index >= part.linked;
            let fail = |source: &crate::source::Source, error| Error::Read { file: source.name(), error };
            items.push(match item {
                Item::Object(source) if pending => {
                    Some(OpenItem::Object(source.read().map_err(|error| fail(source, error))?))
                }
                Item::Archive { source, .. } => {
                    let bytes = source.read().map_err(|error| fail(source, error))?;
                    let folder = Path::new(&source.name()).parent().map_or_else(PathBuf::new, Path::to_path_buf);
                    Some(OpenItem::Archive { bytes, folder, thin: OnceLock::new() })
                }
                _ => None,
            });
        }
        all.insert(*dylib, Files { items });
    }
    Ok(all)
}

struct Gatherer<'f, E> {
    view: &'f View<'f, E>,
    files: &'f HashMap<DylibId, Files>,
    archives: HashMap<(DylibId, usize), Archive<'f>>,
    orders: HashMap<DylibId, std::sync::Arc<[DylibId]>>,
    graphs: Vec<Gathered<'f>>,
    by_dylib: HashMap<DylibId, usize>,
    machine: &'static Machine,
    queue: VecDeque<(usize, SymbolId)>,
}

/// Reads everything that is linked anyway, then whatever that needs.
pub(super) fn gather<'f, E: Executor>(
    view: &'f View<'f, E>,
    files: &'f HashMap<DylibId, Files>,
    reached: &[DylibId],
    wanted: Option<Wanted<'f>>,
) -> Result<Vec<Gathered<'f>>, Error> {
    let mut gatherer = Gatherer {
        view,
        files,
        archives: HashMap::new(),
        orders: HashMap::new(),
        graphs: Vec::new(),
        by_dylib: HashMap::new(),
        machine: Machine::ALL[0],
        queue: VecDeque::new(),
    };
    for dylib in reached {
        gatherer.read_part(*dylib)?;
    }
    if let Some(wanted) = wanted {
        gatherer.provide(wanted.dylib, wanted.name, false, true)?;
    }
    while let Some((at, id)) = gatherer.queue.pop_front() {
        let one = &gatherer.graphs[at];
        let symbol = one.graph.symbol(id);
        if symbol.definition == Definition::Undefined {
            let (dylib, name, own) = (one.dylib, symbol.name, symbol.scope < Scope::Protected);
            gatherer.provide(dylib, name, own, false)?;
        }
    }
    Ok(gatherer.graphs)
}

/// Every name that some graph does not define: a dylib that keeps only what is reached keeps these for the others.
pub(super) fn undefined_names<'f>(gathered: &[Gathered<'f>]) -> Vec<&'f [u8]> {
    if gathered.len() < 2 {
        return Vec::new();
    }
    let symbols = gathered.iter().flat_map(|one| one.graph.symbols());
    symbols.filter(|symbol| symbol.definition == Definition::Undefined).map(|symbol| symbol.name).collect()
}

impl<'f, E: Executor> Gatherer<'f, E> {
    /// Reads the items of a dylib that are linked without being asked for.
    fn read_part(&mut self, dylib: DylibId) -> Result<(), Error> {
        let view = self.view;
        let Some(part) = view.part(dylib) else { return Ok(()) };
        for (index, item) in part.items.iter().enumerate().skip(part.linked) {
            if !item.is_root() {
                continue;
            }
            let at = self.graph(dylib, part);
            match item {
                Item::Object(source) => {
                    if let Some(OpenItem::Object(bytes)) = self.open_item(dylib, index) {
                        self.read(at, &source.name(), bytes, true)?;
                    }
                }
                Item::Archive { .. } => self.read_whole(at, dylib, index)?,
                Item::Absolute { name, address } => self.absolute(at, part, name, *address)?,
                Item::Alias { .. } | Item::Library(_) => {}
            }
        }
        if let Some(at) = self.by_dylib.get(&dylib).copied() {
            self.graphs[at].linked = part.items.len();
            self.aliases(at, part)?;
            for entry in &part.entries {
                self.provide(dylib, entry.as_bytes(), true, false)?;
            }
        }
        Ok(())
    }

    fn open_item(&self, dylib: DylibId, index: usize) -> Option<&'f OpenItem> {
        self.files.get(&dylib)?.items.get(index)?.as_ref()
    }

    /// The graph of a dylib; a new one knows what the dylib has from earlier batches.
    fn graph(&mut self, dylib: DylibId, part: &'f Part) -> usize {
        if let Some(at) = self.by_dylib.get(&dylib) {
            return *at;
        }
        let mut graph = LinkGraph::new(self.machine);
        let mut earlier = None;
        for (name, what) in part.names.iter().filter(|(_, what)| what.reach != Reach::Local) {
            let by = *earlier.get_or_insert_with(|| graph.add_object(EARLIER, false));
            graph.predefine(name, what.address, what.kind, what.linkage, by);
        }
        let linked = part.linked;
        self.graphs.push(Gathered { dylib, graph, linked, pulled: Vec::new(), requested: Vec::new() });
        self.by_dylib.insert(dylib, self.graphs.len() - 1);
        self.graphs.len() - 1
    }

    fn read(&mut self, at: usize, name: &str, bytes: &'f [u8], explicit: bool) -> Result<(), Error> {
        let graph = &mut self.graphs[at].graph;
        object::read(graph, name, bytes, ReadOptions { explicit })?;
        self.queue.extend(graph.take_wanted().into_iter().map(|id| (at, id)));
        Ok(())
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
    fn aliases(&mut self, at: usize, part: &'f Part) -> Result<(), Error> {
        for item in &part.items {
            let Item::Alias { name, of } = item else { continue };
            let dylib = self.graphs[at].dylib;
            self.provide(dylib, of.as_bytes(), true, false)?;
            let graph = &mut self.graphs[at].graph;
            let missing = || Error::Alias { alias: name.clone(), of: of.clone(), dylib: part.name.clone() };
            let target = graph.find(of.as_bytes()).filter(|id| graph.symbol(*id).is_defined()).ok_or_else(missing)?;
            let object = graph.add_object(format!("<aliases of {}>", part.name), true);
            let made = graph.alias(name.as_bytes(), target, object);
            made.map_err(|clash| Error::Duplicate {
                symbol: name.clone(),
                first: graph.object(clash.first).name.clone(),
                second: graph.object(clash.second).name.clone(),
            })?;
        }
        Ok(())
    }

    /// Looks for an archive member that defines `name`, in the order in which names are looked up, and reads it. `own`: only in the
    /// dylib itself. `keep`: it is to stay though no code refers to it.
    fn provide(&mut self, dylib: DylibId, name: &'f [u8], own: bool, keep: bool) -> Result<(), Error> {
        let view = self.view;
        let order = match self.orders.get(&dylib) {
            Some(order) => order.clone(),
            None => {
                let order: std::sync::Arc<[DylibId]> = view.search_order(dylib).into();
                self.orders.insert(dylib, order.clone());
                order
            }
        };
        for &other in order.iter() {
            if own && other != dylib {
                break;
            }
            let Some(part) = view.part(other) else { continue };
            if self.defines(other, part, name, other == dylib) {
                return Ok(());
            }
            if self.pull(other, part, name)? {
                if keep && let Some(at) = self.by_dylib.get(&other) {
                    self.graphs[*at].requested.push(name.into());
                }
                return Ok(());
            }
        }
        Ok(())
    }

    fn defines(&self, dylib: DylibId, part: &Part, name: &[u8], own: bool) -> bool {
        if let Some(at) = self.by_dylib.get(&dylib) {
            let graph = &self.graphs[*at].graph;
            let defined = graph.find(name).map(|id| graph.symbol(id));
            defined.is_some_and(|symbol| symbol.is_defined() && (own || symbol.is_exported()))
        } else {
            part.names.find(name).is_some_and(|found| own || found.reach == Reach::Exported)
        }
    }

    /// Reads the first archive member of `dylib` that defines `name`; libraries and the process are asked in their turn.
    fn pull(&mut self, dylib: DylibId, part: &'f Part, name: &'f [u8]) -> Result<bool, Error> {
        let mut libraries = Vec::new();
        for (index, item) in part.items.iter().enumerate() {
            let last = match item {
                Item::Library(library) => {
                    libraries.push(Some(*library));
                    continue;
                }
                Item::Archive { last, .. } => *last,
                _ => continue,
            };
            let Some(member) = self.archive(dylib, index)?.find(name) else { continue };
            let known = self.by_dylib.get(&dylib).is_some_and(|at| self.graphs[*at].pulled.contains(&(index, member)));
            if known || part.pulled.contains(&(index, member)) {
                continue;
            }
            // What a shared library or the runtime offers before this archive is asked, an archive need not.
            if last && self.view.executor.entry_points().iter().any(|(entry, _)| entry.as_bytes() == name) {
                return Ok(false);
            }
            let process = (last && self.view.host_symbols).then_some(None);
            if self.offered(libraries.iter().copied().chain(process), name)? {
                return Ok(false);
            }
            let at = self.graph(dylib, part);
            self.graphs[at].pulled.push((index, member));
            let member =
                self.archive(dylib, index)?.member(member).map_err(|error| archive_error(part, index, error))?;
            self.read_member(at, dylib, index, &member)?;
            return Ok(true);
        }
        Ok(false)
    }

    fn offered(
        &self,
        libraries: impl Iterator<Item = Option<orc_rt::native::NativeLibrary>>,
        name: &[u8],
    ) -> Result<bool, Error> {
        let Ok(name) = std::str::from_utf8(name) else { return Ok(false) };
        for library in libraries {
            if self.view.executor.lookup(library, &[name])?.iter().any(Option::is_some) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn archive(&mut self, dylib: DylibId, index: usize) -> Result<&Archive<'f>, Error> {
        let Some(OpenItem::Archive { bytes, .. }) = self.open_item(dylib, index) else {
            return Err(Error::internal("an archive is not open"));
        };
        let part = self.view.part(dylib);
        match self.archives.entry((dylib, index)) {
            std::collections::hash_map::Entry::Occupied(entry) => Ok(entry.into_mut()),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let archive = Archive::parse(bytes).map_err(|error| match part {
                    Some(part) => archive_error(part, index, error),
                    None => Error::internal("a dylib vanished while it was linked"),
                })?;
                Ok(entry.insert(archive))
            }
        }
    }

    fn read_whole(&mut self, at: usize, dylib: DylibId, index: usize) -> Result<(), Error> {
        let part = self.view.part(dylib).ok_or_else(|| Error::internal("a dylib vanished while it was linked"))?;
        let members: Result<Vec<_>, _> = self.archive(dylib, index)?.members().collect();
        for member in members.map_err(|error| archive_error(part, index, error))? {
            let key = (index, member.id);
            if part.pulled.contains(&key) || self.graphs[at].pulled.contains(&key) {
                continue;
            }
            self.graphs[at].pulled.push(key);
            self.read_member(at, dylib, index, &member)?;
        }
        Ok(())
    }

    fn read_member(&mut self, at: usize, dylib: DylibId, index: usize, member: &Member<'f>) -> Result<(), Error> {
        let Some(OpenItem::Archive { folder, thin, .. }) = self.open_item(dylib, index) else {
            return Err(Error::internal("an archive is not open"));
        };
        let archive = self.view.part(dylib).map_or_else(String::new, |part| item_name(part, index));
        let name = format!("{archive}({})", String::from_utf8_lossy(member.name));
        let bytes = match member.content {
            Content::Bytes(bytes) => bytes,
            Content::Thin(path) => {
                // Members of thin archives are files of their own: opened when they are needed, each once.
                let slots = match thin.get() {
                    Some(slots) => slots,
                    None => {
                        let members = self.archive(dylib, index)?.members();
                        let ids = members.filter_map(|member| member.ok().map(|member| member.id));
                        let mut slots: Vec<_> = ids.map(|id| (id, OnceLock::new())).collect();
                        slots.sort_by_key(|(id, _)| *id);
                        thin.get_or_init(|| slots)
                    }
                };
                let Ok(at) = slots.binary_search_by_key(&member.id, |(id, _)| *id) else {
                    return Err(Error::internal("an archive changed while it was read"));
                };
                let slot = &slots[at].1;
                let file = match slot.get() {
                    Some(bytes) => bytes,
                    None => {
                        let path = folder.join(String::from_utf8_lossy(path).as_ref());
                        let source = crate::source::Source::File(path);
                        let bytes = source.read().map_err(|error| Error::Read { file: source.name(), error })?;
                        slot.get_or_init(|| bytes)
                    }
                };
                member.in_file(file).map_err(|error| Error::Archive { file: archive, error })?
            }
        };
        self.read(at, &name, bytes, false)
    }
}

fn item_name(part: &Part, index: usize) -> String {
    match part.items.get(index) {
        Some(Item::Archive { source, .. } | Item::Object(source)) => source.name(),
        _ => String::new(),
    }
}

fn archive_error(part: &Part, index: usize, error: jitlink::object::archive::ArchiveError) -> Error {
    Error::Archive { file: item_name(part, index), error }
}

/// Every name in the indexes of a dylib's archives, with its archive: for "did you mean".
pub(super) fn archive_names<'a>(part: &'a Part, files: &'a Files) -> impl Iterator<Item = (String, String)> + 'a {
    files.items.iter().enumerate().flat_map(|(index, item)| {
        let parsed = match item {
            Some(OpenItem::Archive { bytes, .. }) => Archive::parse(bytes).ok(),
            _ => None,
        };
        let place = item_name(part, index);
        let names: Vec<_> = parsed.iter().flat_map(Archive::symbols).collect();
        names.into_iter().map(move |(name, _)| (String::from_utf8_lossy(name).into_owned(), place.clone()))
    })
}
