//! Global names: each is hashed once and is then a [`SymbolId`].

use super::{Symbol, SymbolId};
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// Eight bytes a name: part of its hash, so that growing the table and most misses never read the name itself.
#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u32,
    id: SymbolId,
}

/// The table from global names to symbols.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    table: HashTable<Entry>,
}

/// A global name with its hash.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hashed<'data> {
    pub(crate) name: &'data [u8],
    hash: u32,
}

impl<'data> Hashed<'data> {
    #[inline]
    pub(crate) fn new(name: &'data [u8]) -> Self {
        Self { name, hash: hash(name) }
    }
}

/// A table of fewer names is in a cache of the processor, and so are most of the names.
const CACHED: usize = 16 << 10;

/// The hash of a global name; the same in every process, so that orders never depend on it by accident of a seed.
#[inline]
pub(crate) fn hash(name: &[u8]) -> u32 {
    let hash = FixedState::with_seed(0x6a09_e667_f3bc_c908).hash_one(name);
    (hash >> 32) as u32 ^ hash as u32
}

/// `hashbrown` takes the probe start from the low bits and the tag from the highest: both come from all 32 bits.
#[inline]
pub(crate) fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Names X of which somebody asked `__start_X` or `__stop_X`, numbered in the order in which they were asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct BoundNames<'data> {
    names: Vec<&'data [u8]>,
    numbers: HashTable<u32>,
}

impl<'data> BoundNames<'data> {
    /// The number of `name`, which is now there.
    pub(crate) fn number(&mut self, name: &'data [u8]) -> u32 {
        let names = &mut self.names;
        let same = |number: &u32| names[*number as usize] == name;
        let rehash = |number: &u32| spread(hash(names[*number as usize]));
        match self.numbers.entry(spread(hash(name)), same, rehash) {
            hashbrown::hash_table::Entry::Occupied(entry) => *entry.get(),
            hashbrown::hash_table::Entry::Vacant(entry) => {
                let number = names.len() as u32;
                entry.insert(number);
                names.push(name);
                number
            }
        }
    }

    /// The number of `name`, if somebody asked for its bounds.
    #[inline]
    pub(crate) fn find(&self, name: &[u8]) -> Option<u32> {
        self.numbers.find(spread(hash(name)), |number| self.names[*number as usize] == name).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub(crate) fn name(&self, number: u32) -> &'data [u8] {
        self.names[number as usize]
    }
}

impl Names {
    #[inline]
    pub(crate) fn find(&self, name: &[u8], symbols: &[Symbol<'_>]) -> Option<SymbolId> {
        let hash = hash(name);
        let same = |entry: &Entry| entry.hash == hash && symbols[entry.id.index()].name == name;
        self.table.find(spread(hash), same).map(|entry| entry.id)
    }

    /// Has the processor bring in what it takes to look these names up. One lookup waits three times for memory, each time for an address that the
    /// wait before has given: entry, symbol, text. Those of many names go on at once if nothing is decided by what they read.
    pub(crate) fn expect(&self, names: &[Hashed<'_>], symbols: &[Symbol<'_>]) {
        if self.table.len() < CACHED {
            return;
        }
        let mut texts = 0;
        for Hashed { hash, .. } in names {
            if let Some(entry) = self.table.find(spread(*hash), |entry| entry.hash == *hash) {
                texts ^= symbols[entry.id.index()].name.first().copied().unwrap_or(0);
            }
        }
        std::hint::black_box(texts);
    }

    /// The symbol of `name`; a new one, made by `new`, is pushed when there is none.
    #[inline]
    pub(crate) fn intern<'data>(
        &mut self,
        Hashed { name, hash }: Hashed<'_>,
        symbols: &mut Vec<Symbol<'data>>,
        new: impl FnOnce() -> Symbol<'data>,
    ) -> (SymbolId, bool) {
        let same = |entry: &Entry| entry.hash == hash && symbols[entry.id.index()].name == name;
        match self.table.entry(spread(hash), same, |entry| spread(entry.hash)) {
            hashbrown::hash_table::Entry::Occupied(entry) => (entry.get().id, false),
            hashbrown::hash_table::Entry::Vacant(entry) => {
                symbols.push(new());
                let id = SymbolId::from_index(symbols.len() - 1);
                entry.insert(Entry { hash, id });
                (id, true)
            }
        }
    }
}
