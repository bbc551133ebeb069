//! The archives of a dylib as one table: a name is hashed once, however many archives there are.

use super::find::{Definers, FEW};
use super::gather::{Files, OpenItem};
use super::rustc::PanicRuntime;
use super::{Part, View};
use crate::error::Error;
use crate::executor::Executor;
use crate::source::{Item, Source};
use dylib_graph::DylibId;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use jitlink::arch::Machine;
use jitlink::graph::Spelling;
use jitlink::object::archive::{Archive, ArchiveError, Content, Member, MemberId};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::path::PathBuf;
use std::sync::OnceLock;

/// A member, by the item that is its archive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Found {
    pub(super) item: usize,
    pub(super) member: MemberId,
}

/// The archives of one dylib.
#[derive(Debug, Default)]
struct Table<'f> {
    archives: Vec<(usize, Archive<'f>)>,
    names: Vec<(&'f [u8], Found)>,
    /// The first panic runtime of each kind, by item: unwinding, aborting.
    panic_runtimes: [Option<usize>; 2],
    /// Hash and position in `names`; the first archive that has a name counts, and of its members the first.
    index: HashTable<(u32, u32)>,
}

/// The archives of every dylib that was asked.
#[derive(Debug)]
pub(super) struct Archives<'f> {
    machine: &'static Machine,
    tables: HashMap<DylibId, Table<'f>>,
    /// The dylibs in reach that have archives.
    dylibs: Vec<DylibId>,
    /// Which of them have which names, when there are many.
    index: Option<Definers>,
}

/// Dylibs whose archives have a name.
#[derive(Debug)]
pub(super) struct Offering(SmallVec<[DylibId; 4]>);

impl Offering {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains(&self, dylib: DylibId) -> bool {
        self.0.contains(&dylib)
    }
}

fn hash(name: &[u8]) -> u32 {
    FixedState::with_seed(0x3c6e_f372_fe94_f82b).hash_one(name) as u32
}

/// From 32 bits to the 64 that the table takes its place and tag from.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl<'f> Table<'f> {
    fn new(machine: &Machine, part: &Part, files: &'f Files) -> Result<Self, Error> {
        let mut table = Self::default();
        for (item, bytes) in files.archives() {
            let archive = Archive::parse_for(bytes, machine, Spelling::C);
            let archive = archive.map_err(|error| archive_error(part, item, error))?;
            table.index.reserve(archive.symbols().len(), |(hash, _)| spread(*hash));
            for (name, member) in archive.symbols() {
                let hash = hash(name);
                let same = |(h, at): &(u32, u32)| *h == hash && table.names[*at as usize].0 == name;
                let entry = table.index.entry(spread(hash), same, |(hash, _)| spread(*hash));
                if let hashbrown::hash_table::Entry::Vacant(vacant) = entry {
                    vacant.insert((hash, table.names.len() as u32));
                    table.names.push((name, Found { item, member }));
                }
            }
            if let Some(runtime) = PanicRuntime::of(&archive) {
                table.panic_runtimes[runtime as usize].get_or_insert(item);
            }
            table.archives.push((item, archive));
        }
        Ok(table)
    }

    /// Of two panic runtimes that both have `name`, the other one than that of `found`, if that is the one to take.
    fn other_panic_runtime(&self, found: Found, name: &[u8], aborts: impl FnOnce() -> bool) -> Option<Found> {
        let [Some(unwinding), Some(aborting)] = self.panic_runtimes else { return None };
        if found.item != unwinding && found.item != aborting {
            return None;
        }
        let item = if aborts() { aborting } else { unwinding };
        let at = self.archives.binary_search_by_key(&item, |(item, _)| *item).ok()?;
        Some(Found { item, member: self.archives[at].1.find(name)? })
    }

    fn find(&self, name: &[u8]) -> Option<Found> {
        if self.names.is_empty() {
            return None;
        }
        let hash = hash(name);
        let same = |(h, at): &(u32, u32)| *h == hash && self.names[*at as usize].0 == name;
        self.index.find(spread(hash), same).map(|(_, at)| self.names[*at as usize].1)
    }
}

impl<'f> Archives<'f> {
    pub(super) fn new<E: Executor>(view: &View<'_, E>) -> Self {
        let has = |dylib: &DylibId| {
            let part = view.part(*dylib);
            part.is_some_and(|part| part.items.iter().any(|item| matches!(item, Item::Archive { .. })))
        };
        let machine = view.executor.machine();
        Self {
            machine,
            tables: HashMap::new(),
            dylibs: view.reached.iter().copied().filter(has).collect(),
            index: None,
        }
    }

    /// The dylibs in reach whose archives have `name`, in no particular order.
    pub(super) fn offering<E>(
        &mut self,
        view: &View<'_, E>,
        files: &'f HashMap<DylibId, Files>,
        name: &[u8],
    ) -> Result<Offering, Error> {
        let dylibs = std::mem::take(&mut self.dylibs);
        let mut found = SmallVec::new();
        if dylibs.len() <= FEW {
            for dylib in &dylibs {
                if self.table(view, files, *dylib)?.find(name).is_some() {
                    found.push(*dylib);
                }
            }
        } else {
            if self.index.is_none() {
                let mut index = Definers::default();
                for dylib in &dylibs {
                    let names = &self.table(view, files, *dylib)?.names;
                    names.iter().for_each(|(name, _)| index.insert(spread(hash(name)), *dylib));
                }
                self.index = Some(index);
            }
            found.extend(self.index.iter().flat_map(|index| index.of(spread(hash(name)))));
        }
        self.dylibs = dylibs;
        Ok(Offering(found))
    }

    fn table<E>(
        &mut self,
        view: &View<'_, E>,
        files: &'f HashMap<DylibId, Files>,
        dylib: DylibId,
    ) -> Result<&Table<'f>, Error> {
        match self.tables.entry(dylib) {
            std::collections::hash_map::Entry::Occupied(entry) => Ok(entry.into_mut()),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let table = match (view.part(dylib), files.get(&dylib)) {
                    (Some(part), Some(files)) => Table::new(self.machine, part, files)?,
                    _ => Table::default(),
                };
                Ok(entry.insert(table))
            }
        }
    }

    /// The first member of the dylib's archives that defines `name`. Of Rust's panic runtimes, that for programs for which `aborts` holds, or the other.
    pub(super) fn find<E>(
        &mut self,
        view: &View<'_, E>,
        files: &'f HashMap<DylibId, Files>,
        dylib: DylibId,
        name: &[u8],
        aborts: impl FnOnce() -> bool,
    ) -> Result<Option<Found>, Error> {
        let table = self.table(view, files, dylib)?;
        let found = table.find(name);
        Ok(found.map(|found| table.other_panic_runtime(found, name, aborts).unwrap_or(found)))
    }

    /// The archive that is the dylib's item number `item`.
    pub(super) fn archive<E>(
        &mut self,
        view: &View<'_, E>,
        files: &'f HashMap<DylibId, Files>,
        dylib: DylibId,
        item: usize,
    ) -> Result<&Archive<'f>, Error> {
        let table = self.table(view, files, dylib)?;
        let at = table.archives.binary_search_by_key(&item, |(item, _)| *item);
        let at = at.map_err(|_| Error::internal("an archive is not open"))?;
        Ok(&table.archives[at].1)
    }
}

/// The bytes of members that are files of their own (thin archives), each read once.
#[derive(Debug, Default)]
pub(super) struct ThinMembers {
    pub(super) folder: PathBuf,
    files: OnceLock<Vec<(MemberId, OnceLock<crate::source::Bytes>)>>,
}

impl ThinMembers {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, files: OnceLock::new() }
    }

    /// The bytes of `member`, wherever they are.
    pub(super) fn bytes<'f>(
        &'f self,
        archive: &Archive<'f>,
        name: &str,
        member: &Member<'f>,
    ) -> Result<&'f [u8], Error> {
        let path = match member.content {
            Content::Bytes(bytes) => return Ok(bytes),
            Content::Thin(path) => path,
        };
        let files = self.files.get_or_init(|| {
            let members = archive.members().filter_map(Result::ok);
            let mut files: Vec<_> = members.map(|member| (member.id, OnceLock::new())).collect();
            files.sort_by_key(|(id, _)| *id);
            files
        });
        let at = files.binary_search_by_key(&member.id, |(id, _)| *id);
        let at = at.map_err(|_| Error::internal("an archive changed while it was read"))?;
        let slot = &files[at].1;
        let file = match slot.get() {
            Some(file) => file,
            None => {
                let source = Source::File(self.folder.join(String::from_utf8_lossy(path).as_ref()));
                let file = source.read().map_err(|error| Error::Read {
                    file: format!("{} (a member of the thin archive {name})", source.name()),
                    error,
                })?;
                slot.get_or_init(|| file)
            }
        };
        member.in_file(file).map_err(|error| Error::Archive { file: name.to_owned(), error })
    }
}

/// What a dylib's item is called in messages.
pub(super) fn item_name(part: &Part, item: usize) -> String {
    match part.items.get(item) {
        Some(Item::Archive { source, .. } | Item::Object(source)) => source.name(),
        _ => String::new(),
    }
}

pub(super) fn archive_error(part: &Part, item: usize, error: ArchiveError) -> Error {
    Error::Archive { file: item_name(part, item), error }
}

/// Every name in the indexes of a dylib's archives, with its archive: for "did you mean".
pub(super) fn names<'a>(
    machine: &'static Machine,
    part: &'a Part,
    files: &'a Files,
) -> impl Iterator<Item = (String, String)> + 'a {
    files.archives().flat_map(move |(item, bytes)| {
        let place = item_name(part, item);
        let parsed = Archive::parse_for(bytes, machine, Spelling::C).ok();
        let names: Vec<_> = parsed.iter().flat_map(Archive::symbols).map(|(name, _)| name).collect();
        names.into_iter().map(move |name| (String::from_utf8_lossy(name).into_owned(), place.clone()))
    })
}

impl Files {
    fn archives(&self) -> impl Iterator<Item = (usize, &crate::source::Bytes)> + '_ {
        self.items.iter().enumerate().filter_map(|(item, open)| match open {
            Some(OpenItem::Archive { bytes, .. }) => Some((item, bytes)),
            _ => None,
        })
    }
}
