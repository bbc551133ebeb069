//! What a dylib's linked code is called: names and addresses kept after the link, in flat arrays, indexed when first asked.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use jitlink::graph::{Linkage, SymbolKind};
use jitlink::memory::ThreadLocal;
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

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

/// A [`Name`] as it is kept, and where its text is: there is one for each function of a program.
#[derive(Clone, Copy, Debug)]
struct Entry {
    address: u64,
    /// What is larger than can be said counts as that large.
    size: u32,
    start: u32,
    len: u32,
    kind: SymbolKind,
    linkage: Linkage,
    reach: Reach,
}

const _: () = assert!(size_of::<Entry>() == 24);

impl Entry {
    fn name(&self) -> Name {
        let Self { address, size, kind, linkage, reach, .. } = *self;
        Name { address, size: size.into(), kind, linkage, reach }
    }
}

/// Names in the order in which they were added; a later one of the same spelling counts.
#[derive(Debug, Default)]
pub(crate) struct Names {
    text: Vec<u8>,
    entries: Vec<Entry>,
    thread_locals: Vec<ThreadLocal>,
    by_name: OnceLock<HashTable<u32>>,
    /// How often a name was looked for while there was no table.
    asked: AtomicU32,
    by_address: OnceLock<Vec<u32>>,
}

impl Clone for Names {
    fn clone(&self) -> Self {
        let Self { text, entries, thread_locals, .. } = self;
        // Indexes are made when they are asked for.
        Self { text: text.clone(), entries: entries.clone(), thread_locals: thread_locals.clone(), ..Self::default() }
    }
}

/// So many names inside of a function do not hide it.
const LABELS: usize = 16;

/// So many names are looked for one by one: a program of a hundred thousand functions is asked for `main` and for nothing else, and a table
/// would have to read and hash every name for that, where most differ in their length already.
const ONE_BY_ONE: u32 = 4;

/// The hash that every index of names uses.
pub(crate) fn hash(name: &[u8]) -> u64 {
    FixedState::with_seed(0x1f83_d9ab_fb41_bd6b).hash_one(name)
}

impl Names {
    pub(crate) fn push(&mut self, name: &[u8], what: Name) {
        // Nobody has 4 GiB of names.
        let (Ok(start), Ok(len)) = (u32::try_from(self.text.len()), u32::try_from(name.len())) else { return };
        let Name { address, size, kind, linkage, reach } = what;
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        self.entries.push(Entry { address, size, start, len, kind, linkage, reach });
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

    /// No names yet, for those that follow each other in `text` ([`Self::push_next`]).
    pub(crate) fn with(text: &[u8], count: usize, thread_locals: Vec<ThreadLocal>) -> Self {
        Self { text: text.to_vec(), entries: Vec::with_capacity(count), thread_locals, ..Self::default() }
    }

    /// The name that is the next `len` bytes of the text; `None` when there are none.
    pub(crate) fn push_next(&mut self, len: u32, what: Name) -> Option<()> {
        let start = self.entries.last().map_or(0, |last| last.start + last.len);
        let end = start.checked_add(len).filter(|end| *end as usize <= self.text.len());
        let Name { address, size, kind, linkage, reach } = what;
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        end.map(|_| self.entries.push(Entry { address, size, start, len, kind, linkage, reach }))
    }

    /// The text of all names, in their order.
    pub(crate) fn whole_text(&self) -> &[u8] {
        &self.text
    }

    /// Where thread-local variables are.
    pub(crate) fn thread_locals(&self) -> &[ThreadLocal] {
        &self.thread_locals
    }

    /// The name with this number.
    pub(crate) fn get(&self, number: usize) -> Option<Name> {
        self.entries.get(number).map(Entry::name)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Gives back what arrays have in reserve, when all of a link's names are there.
    pub(crate) fn shrink(&mut self) {
        self.entries.shrink_to_fit();
        self.text.shrink_to_fit();
        self.thread_locals.shrink_to_fit();
    }

    pub(crate) fn append(&mut self, other: &Self) {
        for entry in &other.entries {
            let mut name = entry.name();
            if let Some(place) = other.place(&name) {
                name.address = self.thread_local(place);
            }
            self.push(other.text(entry), name);
        }
    }

    fn text(&self, entry: &Entry) -> &[u8] {
        &self.text[entry.start as usize..][..entry.len as usize]
    }

    /// The place that `name` names for the dylib itself: exported or hidden.
    pub(crate) fn find(&self, name: &[u8]) -> Option<Name> {
        if self.by_name.get().is_none() && self.asked.fetch_add(1, Ordering::Relaxed) < ONE_BY_ONE {
            let mut shared = self.entries.iter().rev().filter(|entry| entry.reach != Reach::Local);
            let same = shared.find(|entry| entry.len as usize == name.len() && self.text(entry) == name);
            return same.map(Entry::name);
        }
        self.position(name).map(|(_, name)| name)
    }

    /// As [`Self::find`], with its number.
    pub(crate) fn position(&self, name: &[u8]) -> Option<(u32, Name)> {
        let table = self.by_name.get_or_init(|| self.index());
        let found = table.find(hash(name), |index| self.text(&self.entries[*index as usize]) == name);
        found.map(|index| (*index, self.entries[*index as usize].name()))
    }

    fn index(&self) -> HashTable<u32> {
        let mut table = HashTable::with_capacity(self.entries.len());
        for (index, entry) in self.entries.iter().enumerate() {
            if entry.reach == Reach::Local {
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
            order.sort_by_key(|index| self.entries[*index as usize].address);
            order
        });
        let after = order.partition_point(|index| self.entries[*index as usize].address <= address);
        // A label inside of a function stands between its start and what comes after.
        let before = order[..after].iter().rev().take(LABELS).map(|index| &self.entries[*index as usize]);
        let covers = |entry: &&Entry| address - entry.address < u64::from(entry.size.max(1));
        before.into_iter().find(covers).map(|entry| (self.text(entry), entry.name()))
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The hashes of the exported ones among the names with these numbers.
    pub(crate) fn exported_hashes(&self, numbers: Range<usize>) -> impl Iterator<Item = u64> + '_ {
        let exported = self.entries[numbers].iter().filter(|entry| entry.reach == Reach::Exported);
        exported.map(|entry| hash(self.text(entry)))
    }

    /// The hashes of all that the dylib itself may look up: the exported and the hidden.
    pub(crate) fn shared_hashes(&self) -> impl Iterator<Item = u64> + '_ {
        let shared = self.entries.iter().filter(|entry| entry.reach != Reach::Local);
        shared.map(|entry| hash(self.text(entry)))
    }

    /// Every name, with its place.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], Name)> + '_ {
        self.entries.iter().map(|entry| (self.text(entry), entry.name()))
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
        // First one by one, then in the table.
        for _ in 0..=ONE_BY_ONE {
            assert_eq!(names.find(b"f").map(|n| n.address), Some(0x40));
            assert_eq!(names.find(b"g").map(|n| (n.address, n.reach)), Some((0x20, Reach::Hidden)));
            assert_eq!(names.find(b"l"), None);
        }
        assert!(names.by_name.get().is_some());
    }

    #[test]
    fn what_is_kept_is_what_was_added() {
        let mut names = Names::default();
        let large =
            Name { kind: SymbolKind::Object, linkage: Linkage::Unique, ..name(u64::MAX - 7, 1 << 40, Reach::Hidden) };
        let place = ThreadLocal { module: 1, offset: 2, distance: None };
        names.push(b"", name(1, 2, Reach::Local));
        names.push(b"large", large);
        let number = names.thread_local(place);
        names.push(b"local", Name { kind: SymbolKind::ThreadLocal, ..name(number, 4, Reach::Exported) });
        names.shrink();
        let mut all = Names::default();
        all.thread_local(ThreadLocal { module: 9, ..place });
        all.append(&names);
        let kept: Vec<_> = all.iter().collect();
        assert_eq!(kept[0], (&b""[..], name(1, 2, Reach::Local)));
        assert_eq!(kept[1], (&b"large"[..], Name { size: u32::MAX.into(), ..large }));
        assert_eq!(all.find(b"local").and_then(|name| all.place(&name)), Some(place));
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
