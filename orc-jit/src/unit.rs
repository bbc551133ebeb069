//! Units: groups of a dylib's inputs that are linked by themselves, so that they can go by themselves.
//!
//! Each unit has a graph, an allocation and an image of its own; the dylib's own inputs are its unit number 0, which goes only with the
//! dylib. Units of one dylib see each other's hidden names. **Not here:** linking ([`crate::batch`]) and who is bound to whom
//! ([`crate::ties`]).

use crate::batch::Definers;
use crate::names::{self, Name, Names, Reach};
use crate::source::Item;
use dylib_graph::DylibId;
use jitlink::Resolution;
use jitlink::graph::{Linkage, SymbolKind};
use jitlink::memory::ThreadLocal;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A unit of a session, counted in the order in which they were made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct UnitId(pub(crate) u64);

impl UnitId {
    /// A dylib's own inputs.
    pub(crate) const OWN: Self = Self(0);
}

/// A tracker of a session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct TrackerId(pub(crate) u64);

/// A unit, with its dylib.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct UnitKey {
    pub(crate) dylib: DylibId,
    pub(crate) unit: UnitId,
}

impl UnitKey {
    pub(crate) fn own(dylib: DylibId) -> Self {
        Self { dylib, unit: UnitId::OWN }
    }

    pub(crate) fn is_own(self) -> bool {
        self.unit == UnitId::OWN
    }
}

/// What a unit is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// Its definitions are reached directly.
    Plain,
    /// Its functions are reached through stubs: those of this unit, unless its tracker has some of the name.
    Behind(UnitId),
    /// It is stubs, and the slots that say where they lead.
    Stubs,
}

/// A group of inputs.
#[derive(Debug)]
pub(crate) struct Unit {
    /// What messages call it.
    pub(crate) name: String,
    /// Whose it is.
    pub(crate) tracker: TrackerId,
    pub(crate) role: Role,
    pub(crate) items: Vec<Item>,
    /// How many of the items have been linked.
    pub(crate) linked: usize,
    pub(crate) names: Arc<Names>,
    pub(crate) header: Option<u64>,
    /// How many of its names are in the session's index.
    pub(crate) indexed: usize,
    /// Where functions behind stubs are, or the slots of stubs.
    pub(crate) places: BTreeMap<Box<[u8]>, u64>,
}

impl Unit {
    pub(crate) fn new(name: String, tracker: TrackerId, role: Role) -> Self {
        Self {
            name,
            tracker,
            role,
            items: Vec::new(),
            linked: 0,
            names: Arc::default(),
            header: None,
            indexed: 0,
            places: BTreeMap::new(),
        }
    }

    /// As it was before it was linked.
    pub(crate) fn forget_what_is_linked(&mut self) {
        self.linked = 0;
        self.names = Arc::default();
        self.header = None;
        self.indexed = 0;
        self.places.clear();
    }

    /// Its inputs in words.
    pub(crate) fn title(&self) -> String {
        let files: Vec<String> = self.items.iter().filter_map(Item::file).collect();
        match files.as_slice() {
            [] => self.name.clone(),
            [one] => one.clone(),
            [first, .., last] => format!("{first} to {last}"),
        }
    }
}

/// The units of a dylib, without its own.
#[derive(Debug, Default)]
pub(crate) struct Units {
    all: BTreeMap<UnitId, Unit>,
    /// Those with inputs that are not linked.
    pending: BTreeSet<UnitId>,
    /// Which of them may have which names, hidden ones too.
    index: Definers<UnitId>,
    /// Those with initializer arrays that no plan has named.
    pub(crate) with_arrays: BTreeSet<UnitId>,
    /// Those with exported names that the session's index may not have.
    pub(crate) unindexed: BTreeSet<UnitId>,
}

impl Units {
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(crate) fn get(&self, unit: UnitId) -> Option<&Unit> {
        self.all.get(&unit)
    }

    pub(crate) fn get_mut(&mut self, unit: UnitId) -> Option<&mut Unit> {
        self.all.get_mut(&unit)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (UnitId, &Unit)> + '_ {
        self.all.iter().map(|(id, unit)| (*id, unit))
    }

    /// Those that have something to link, in the order in which they were made.
    pub(crate) fn pending(&self) -> impl Iterator<Item = (UnitId, &Unit)> + '_ {
        self.pending.iter().filter_map(|id| Some((*id, self.all.get(id)?)))
    }

    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Adds a unit, or puts one back that [`Self::take`] took.
    pub(crate) fn put(&mut self, id: UnitId, unit: Unit) {
        unit.names.shared_hashes().for_each(|hash| self.index.insert(hash, id));
        if unit.linked < unit.items.len() {
            self.pending.insert(id);
        }
        if unit.indexed < unit.names.len() {
            self.unindexed.insert(id);
        }
        self.all.insert(id, unit);
    }

    /// Takes a unit out: nobody finds its names any more.
    pub(crate) fn take(&mut self, id: UnitId) -> Option<Unit> {
        let unit = self.all.remove(&id)?;
        unit.names.shared_hashes().for_each(|hash| self.index.remove(hash, id));
        self.pending.remove(&id);
        self.with_arrays.remove(&id);
        self.unindexed.remove(&id);
        Some(unit)
    }

    /// Adds an input.
    pub(crate) fn add(&mut self, id: UnitId, item: Item) -> bool {
        let Some(unit) = self.all.get_mut(&id) else { return false };
        unit.items.push(item);
        self.pending.insert(id);
        true
    }

    /// Notes what a batch has linked of a unit.
    pub(crate) fn linked(
        &mut self,
        id: UnitId,
        linked: usize,
        names: Names,
        header: Option<u64>,
        places: Vec<(Box<[u8]>, u64)>,
    ) {
        let Some(unit) = self.all.get_mut(&id) else { return };
        names.shared_hashes().for_each(|hash| self.index.insert(hash, id));
        if unit.names.is_empty() {
            unit.names = Arc::new(names);
        } else {
            Arc::make_mut(&mut unit.names).append(&names);
        }
        unit.header = unit.header.or(header);
        unit.places.extend(places);
        unit.linked = linked;
        self.pending.remove(&id);
        self.unindexed.insert(id);
    }

    /// Nothing of them is linked any more.
    pub(crate) fn forget_what_is_linked(&mut self) {
        for (id, unit) in &mut self.all {
            unit.forget_what_is_linked();
            if !unit.items.is_empty() {
                self.pending.insert(*id);
            }
        }
        self.index = Definers::default();
        self.with_arrays.clear();
        self.unindexed.clear();
    }

    /// The definition of a name in units, hidden ones too, other than in `but`: a strong one, or else the oldest.
    pub(crate) fn find(&self, name: &[u8], but: UnitId) -> Option<Defined<'_>> {
        if self.all.is_empty() {
            return None;
        }
        let candidates = self.index.of(names::hash(name)).filter(|id| *id != but);
        let found = candidates.filter_map(|id| {
            let names = &self.all.get(&id)?.names;
            Some(Defined { unit: id, name: names.find(name)?, names })
        });
        found.min_by_key(Defined::rank)
    }
}

/// A definition that is linked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Defined<'a> {
    pub(crate) unit: UnitId,
    pub(crate) name: Name,
    pub(crate) names: &'a Names,
}

impl Defined<'_> {
    /// Who goes first: strong before weak, then the older.
    pub(crate) fn rank(&self) -> (bool, UnitId) {
        (self.name.linkage != Linkage::Strong, self.unit)
    }

    pub(crate) fn is_exported(&self) -> bool {
        self.name.reach == Reach::Exported
    }

    pub(crate) fn thread_local(&self) -> Option<ThreadLocal> {
        self.names.place(&self.name)
    }

    pub(crate) fn resolution(&self) -> Resolution {
        match self.thread_local() {
            Some(place) => Resolution::thread_local(place),
            None => Resolution::new(self.name.address, self.name.kind != SymbolKind::Object),
        }
    }
}
