//! What a dylib's linked code is called: names and addresses kept after the link, in flat arrays, indexed when first asked.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use jitlink::graph::{Linkage, SymbolKind};
use jitlink::memory::ThreadLocal;
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::OnceLock;

/// One named place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Name {
    /// For a thread-local variable what [`Names::thread_local`] gave.
    pub(crate) address: u64,
    pub(crate) size: u64,
    pub(crate) kind: SymbolKind,
    pub(crate) linkage: Linkage,
    pub(crate) reach: Reach,
}

/// Who may look a name up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reach {
    /// Everybody.
    Exported,
    /// Later batches of the same dylib.
    Hidden,
    /// Nobody: it is there for backtraces.
    Local,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    name: Name,
    start: usize,
    len: u32,
}

/// Names in the order in which they were added; a later one of the same spelling counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    text: Vec<u8>,
    entries: Vec<Entry>,
    thread_locals: Vec<ThreadLocal>,
    by_name: OnceLock<HashTable<u32>>,
    by_address: OnceLock<Vec<u32>>,
}

/// So many names inside of a function do not hide it.
const LABELS: usize = 16;

/// The hash that every index of names uses.
pub(crate) fn hash(name: &[u8]) -> u64 {
    FixedState::with_seed(0x1f83_d9ab_fb41_bd6b).hash_one(name)
}

impl Names {
    pub(crate) fn push(&mut self, name: &[u8], what: Name) {
        let Ok(len) = u32::try_from(name.len()) else { return };
        self.entries.push(Entry { name: what, start: self.text.len(), len });
        self.text.extend_from_slice(name);
        self.by_name.take();
        self.by_address.take();
    }

    /// Keeps the place of a thread-local variable, and gives the number that stands for its address.
    pub(crate) fn thread_local(&mut self, place: ThreadLocal) -> u64 {
        self.thread_locals.push(place);
        self.thread_locals.len() as u64 - 1
    }

    /// The place of a thread-local variable; `None` for everything else.
    pub(crate) fn place(&self, name: &Name) -> Option<ThreadLocal> {
        let thread_local = name.kind == SymbolKind::ThreadLocal;
        thread_local.then(|| self.thread_locals.get(name.address as usize).copied()).flatten()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn append(&mut self, other: &Self) {
        for entry in &other.entries {
            let mut name = entry.name;
            if let Some(place) = other.place(&name) {
                name.address = self.thread_local(place);
            }
            self.push(other.text(entry), name);
        }
    }

    fn text(&self, entry: &Entry) -> &[u8] {
        &self.text[entry.start..entry.start + entry.len as usize]
    }

    /// The place that `name` names for the dylib itself: exported or hidden.
    pub(crate) fn find(&self, name: &[u8]) -> Option<Name> {
        let table = self.by_name.get_or_init(|| self.index());
        let found = table.find(hash(name), |index| self.text(&self.entries[*index as usize]) == name);
        found.map(|index| self.entries[*index as usize].name)
    }

    fn index(&self) -> HashTable<u32> {
        let mut table = HashTable::with_capacity(self.entries.len());
        for (index, entry) in self.entries.iter().enumerate() {
            if entry.name.reach == Reach::Local {
                continue;
            }
            let text = self.text(entry);
            let same = |other: &u32| self.text(&self.entries[*other as usize]) == text;
            let rehash = |other: &u32| hash(self.text(&self.entries[*other as usize]));
            match table.entry(hash(text), same, rehash) {
                hashbrown::hash_table::Entry::Occupied(mut old) => *old.get_mut() = index as u32,
                hashbrown::hash_table::Entry::Vacant(new) => {
                    new.insert(index as u32);
                }
            }
        }
        table
    }

    /// The function or variable that covers `address`.
    pub(crate) fn covering(&self, address: u64) -> Option<(&[u8], Name)> {
        let order = self.by_address.get_or_init(|| {
            let mut order: Vec<u32> = (0..self.entries.len() as u32).collect();
            order.sort_by_key(|index| self.entries[*index as usize].name.address);
            order
        });
        let after = order.partition_point(|index| self.entries[*index as usize].name.address <= address);
        // A label inside of a function stands between its start and what comes after.
        let before = order[..after].iter().rev().take(LABELS).map(|index| &self.entries[*index as usize]);
        let covers = |entry: &&Entry| address - entry.name.address < entry.name.size.max(1);
        before.into_iter().find(covers).map(|entry| (self.text(entry), entry.name))
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The hashes of the exported ones among the names with these numbers.
    pub(crate) fn exported_hashes(&self, numbers: Range<usize>) -> impl Iterator<Item = u64> + '_ {
        let exported = self.entries[numbers].iter().filter(|entry| entry.name.reach == Reach::Exported);
        exported.map(|entry| hash(self.text(entry)))
    }

    /// The hashes of all that the dylib itself may look up: the exported and the hidden.
    pub(crate) fn shared_hashes(&self) -> impl Iterator<Item = u64> + '_ {
        let shared = self.entries.iter().filter(|entry| entry.name.reach != Reach::Local);
        shared.map(|entry| hash(self.text(entry)))
    }

    /// Every name, with its place.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], Name)> + '_ {
        self.entries.iter().map(|entry| (self.text(entry), entry.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(address: u64, size: u64, reach: Reach) -> Name {
        Name { address, size, kind: SymbolKind::Function, linkage: Linkage::Strong, reach }
    }

    #[test]
    fn the_last_of_a_name_counts_and_locals_are_not_found() {
        let mut names = Names::default();
        names.push(b"f", name(0x10, 4, Reach::Exported));
        names.push(b"g", name(0x20, 4, Reach::Hidden));
        names.push(b"l", name(0x30, 4, Reach::Local));
        assert_eq!(names.find(b"f").map(|n| n.address), Some(0x10));
        names.push(b"f", name(0x40, 4, Reach::Exported));
        assert_eq!(names.find(b"f").map(|n| n.address), Some(0x40));
        assert_eq!(names.find(b"g").map(|n| (n.address, n.reach)), Some((0x20, Reach::Hidden)));
        assert_eq!(names.find(b"l"), None);
    }

    #[test]
    fn an_address_is_covered_by_the_function_around_it() {
        let mut names = Names::default();
        names.push(b"b", name(0x20, 8, Reach::Local));
        names.push(b"a", name(0x10, 4, Reach::Exported));
        names.push(b"label in b", name(0x22, 0, Reach::Local));
        let covering = |address| names.covering(address).map(|(text, name)| (text, name.address));
        assert_eq!(covering(0x13), Some((&b"a"[..], 0x10)));
        assert_eq!(covering(0x14), None);
        assert_eq!(covering(0x27), Some((&b"b"[..], 0x20)));
        assert_eq!(covering(0x22), Some((&b"label in b"[..], 0x22)));
        assert_eq!(covering(0xf), None);
    }
}
