//! Which record describes the code at an address: every table of this process, found without a lock.
//!
//! You [add](Index::add) the functions of a table; [`Index::find`] finds them until the result is dropped. Each page of code has a slot that names its table, so a
//! lookup is four loads and a search among the functions of one table; adding and removing a table costs its own functions and pages, whatever else is there.
//! A page has one table at most: images have pages of their own, since protections do. A table that meets another's page is refused.
//!
//! `find` takes no lock, allocates nothing and waits for nobody: an unwinder may ask it in a signal handler, while other threads add and remove.
//!
//! Slots are never given back: a page of them for each 2 MiB of addresses where code has ever been. So small that a process with little code touches little memory.
//!
//! `unsafe` because a slot holds a pointer: what it points to stays while a reader is inside (see [`readers`](super::readers)).
#![allow(unsafe_code)]

use super::readers::{Readers, Retired};
use super::records::{self, Function};
use crate::sync::Arc;
use crate::sync::leaf::Mutex;
use std::ops::Range;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Addresses from here on are given out on request only (see `sys/linux/maps.rs`), and have no slots.
const ADDRESS_BITS: u32 = 48;
/// Pages are as small as on any machine, whatever they are on this one.
const PAGE_BITS: u32 = 12;
/// Each of four levels has the same part of an address.
const LEVEL_BITS: u32 = (ADDRESS_BITS - PAGE_BITS) / 4;
const FANOUT: usize = 1 << LEVEL_BITS;

type Slot = AtomicPtr<Table>;
/// By the lowest bits of a page's number: 2 MiB.
type Leaf = [Slot; FANOUT];
/// 1 GiB, and 512 GiB.
type Inner<Below> = [OnceLock<Box<Below>>; FANOUT];

/// The tables that can be found.
#[derive(Debug)]
pub(super) struct Index {
    branches: Inner<Inner<Inner<Leaf>>>,
    readers: Readers,
    /// Who changes slots holds it.
    writer: Mutex<Retired<Arc<Table>>>,
}

/// A table, sorted.
#[derive(Debug)]
struct Table {
    /// Its first byte.
    address: u64,
    /// What a library would have in its segment `PT_GNU_EH_FRAME`, for those who ask for that: version, how the address is written, no table of its own (LSB, ".eh_frame_hdr").
    header: [u8; 12],
    /// Ascending and disjoint.
    functions: Vec<Function>,
}

/// A table that is found while this lives.
#[derive(Debug)]
pub(super) struct Entry {
    index: &'static Index,
    table: Arc<Table>,
}

/// What describes some code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// Where the function begins.
    pub(super) function: u64,
    /// Where its record is.
    pub(super) record: u64,
}

impl Index {
    pub(super) const fn new() -> Self {
        Self {
            branches: [const { OnceLock::new() }; FANOUT],
            readers: Readers::new(),
            writer: Mutex::new(Retired::new()),
        }
    }

    /// Makes the `functions` (ascending, disjoint) of the table at `address` known; `None` when a page has another table already, or lies where no code is.
    pub(super) fn add(&'static self, address: u64, functions: Vec<Function>) -> Option<Entry> {
        if functions.last().is_some_and(|last| last.end() > 1 << ADDRESS_BITS) {
            return None;
        }
        const WHOLE_ADDRESS: u8 = 0x04;
        const OMITTED: u8 = 0xff;
        let mut header = [1, WHOLE_ADDRESS, OMITTED, OMITTED, 0, 0, 0, 0, 0, 0, 0, 0];
        header[4..].copy_from_slice(&address.to_ne_bytes());
        let table = Arc::new(Table { address, header, functions });
        let writer = self.writer.lock();
        if table.pages().any(|page| !self.slot_or_new(page).load(Ordering::Relaxed).is_null()) {
            return None;
        }
        for page in table.pages() {
            self.slot_or_new(page).store(Arc::as_ptr(&table).cast_mut(), Ordering::SeqCst);
        }
        drop(writer);
        Some(Entry { index: self, table })
    }

    /// What describes the code at `pc`.
    pub(super) fn find(&self, pc: u64) -> Option<Found> {
        self.at(pc, |table, function| Found {
            function: function.start,
            record: table.address + u64::from(function.record),
        })
    }

    /// The function at `pc`, and the address of the header of its table, which stays as long as the function can be found.
    pub(super) fn header(&self, pc: u64) -> Option<(Range<u64>, u64)> {
        self.at(pc, |table, function| {
            (function.start..function.end(), table.header.as_ptr().expose_provenance() as u64)
        })
    }

    fn at<R>(&self, pc: u64, take: impl FnOnce(&Table, &Function) -> R) -> Option<R> {
        let slot = self.slot(pc >> PAGE_BITS)?;
        // Most frames of most stacks are none of ours.
        if slot.load(Ordering::Relaxed).is_null() {
            return None;
        }
        let inside = self.readers.enter();
        // SAFETY: a slot holds null or a pointer that `add` has made from an `Arc`. Its entry keeps that until it has cleared the slot and retired the table, and a
        // retired table is dropped when all readers have left that could have read the slot before: this one is counted until the end of this function.
        let table = unsafe { slot.load(Ordering::SeqCst).as_ref() }?;
        let found = records::covering(&table.functions, pc).map(|function| take(table, function));
        drop(inside);
        found
    }

    fn slot(&self, page: u64) -> Option<&Slot> {
        let [root, high, middle, low] = levels(page)?;
        Some(&self.branches[root].get()?[high].get()?[middle].get()?[low])
    }

    fn slot_or_new(&self, page: u64) -> &Slot {
        let [root, high, middle, low] = levels(page).expect("the end of the table was compared with that of addresses");
        let branch = self.branches[root].get_or_init(|| Box::new([const { OnceLock::new() }; FANOUT]));
        let branch = branch[high].get_or_init(|| Box::new([const { OnceLock::new() }; FANOUT]));
        let leaf = branch[middle].get_or_init(|| Box::new([const { AtomicPtr::new(ptr::null_mut()) }; FANOUT]));
        &leaf[low]
    }
}

/// A page's place in each level; `None` beyond the end of addresses.
fn levels(page: u64) -> Option<[usize; 4]> {
    const MASK: u64 = FANOUT as u64 - 1;
    let part = |level: u32| (page >> (level * LEVEL_BITS) & MASK) as usize;
    (page >> (4 * LEVEL_BITS) == 0).then(|| [part(3), part(2), part(1), part(0)])
}

impl Table {
    /// The pages that its functions touch, each once.
    fn pages(&self) -> impl Iterator<Item = u64> + '_ {
        let mut next = 0;
        self.functions.iter().flat_map(move |function| {
            let first = (function.start >> PAGE_BITS).max(next);
            next = ((function.end() - 1) >> PAGE_BITS) + 1;
            first..next
        })
    }
}

impl Entry {
    /// The first of its functions begins here; `None` when it has none.
    pub(super) fn start(&self) -> Option<u64> {
        self.table.functions.first().map(|function| function.start)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut writer = self.index.writer.lock();
        for page in self.table.pages() {
            self.index.slot_or_new(page).store(ptr::null_mut(), Ordering::SeqCst);
        }
        writer.retire(&self.index.readers, Arc::clone(&self.table));
    }
}

#[cfg(test)]
mod tests {
    use super::{FANOUT, Found, Function, Index};
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    /// Each test has one of its own.
    fn index() -> &'static Index {
        static INDEXES: [Index; 4] = [const { Index::new() }; 4];
        static NEXT: AtomicU64 = AtomicU64::new(0);
        &INDEXES[NEXT.fetch_add(1, Ordering::Relaxed) as usize]
    }

    /// Functions of `size` bytes, one behind the other; their records are 24 bytes long.
    fn row(start: u64, count: u64, size: u32) -> Vec<Function> {
        let one = |number| Function { start: start + number * u64::from(size), size, record: 24 * number as u32 };
        (0..count).map(one).collect()
    }

    #[test]
    fn each_address_leads_to_its_record_until_the_table_goes() {
        let index = index();
        let start = 0x7fff_1000;
        let one = index.add(0x1000, row(start, 1000, 48)).expect("free pages");
        let page_behind = (start + 48_000).next_multiple_of(4096);
        let other = index.add(0x2000, row(page_behind, 1, 1 << 20)).expect("free pages");
        for pc in (start..start + 48_000).step_by(7) {
            let number = (pc - start) / 48;
            assert_eq!(index.find(pc), Some(Found { function: start + 48 * number, record: 0x1000 + 24 * number }));
        }
        assert_eq!(index.find(start - 1), None);
        assert_eq!(index.find(start + 48_000), None, "on a page with functions, but in none");
        assert_eq!(index.find(page_behind + 0xf_ffff), Some(Found { function: page_behind, record: 0x2000 }));
        assert_eq!(one.start(), Some(start));
        drop(one);
        assert_eq!(index.find(start + 100), None);
        assert!(index.find(page_behind).is_some());
        drop(other);
        assert_eq!(index.find(page_behind), None);
        let again = index.add(0x3000, row(start, 1, 48)).expect("the pages are free again");
        assert_eq!(index.find(start).map(|found| found.record), Some(0x3000));
        drop(again);
    }

    #[test]
    fn a_page_has_one_table() {
        let index = index();
        let start = 0x1234_5000;
        let first = index.add(0, row(start + 4000, 1, 200)).expect("free pages");
        assert!(index.add(0, row(start, 1, 10)).is_none(), "the page where the other begins");
        assert!(index.add(0, row(start + 0x1000, 1, 0x10_0000)).is_none(), "the page where it ends");
        assert_eq!(index.find(start), None, "what was refused is not found");
        assert!(index.find(start + 4100).is_some());
        drop(first);
        assert!(index.add(0, row(start, 1, 10)).is_some());
        assert!(index.add(0, row((1 << 48) - 10, 1, 11)).is_none(), "no code is there");
        assert!(index.add(0, row((1 << 48) - 10, 1, 10)).is_some());
        assert_eq!(index.find(u64::MAX), None);
        assert!(index.add(0, Vec::new()).is_some_and(|entry| entry.start().is_none()));
    }

    #[test]
    fn ten_thousand_tables_are_told_apart() {
        let index = index();
        // Across leaves and branches.
        let start = |number: u64| 0x10_0000_0000 - 0x100_0000 + number * 0x3000;
        let mut entries: Vec<_> =
            (0..10_000).map(|number| index.add(number << 20, row(start(number), 10, 100))).map(Some).collect();
        let found = |number: u64| index.find(start(number) + 950).map(|found| found.record - 9 * 24);
        assert!((0..10_000).all(|number| found(number) == Some(number << 20)));
        for entry in entries.iter_mut().step_by(2) {
            *entry = None;
        }
        assert!((0..10_000).all(|number| found(number) == (number % 2 == 1).then_some(number << 20)));
        const { assert!(FANOUT < 10_000, "or one leaf would do") };
    }

    #[test]
    fn others_find_what_stays_while_tables_come_and_go() {
        let index = index();
        let start = 0x5500_0000_0000;
        let stays = index.add(7, row(start, 100, 64)).expect("free pages");
        let coming = start + 0x10_0000;
        let stop = AtomicBool::new(false);
        let (hits, misses) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        assert_eq!(index.find(start + 640), Some(Found { function: start + 640, record: 7 + 240 }));
                        // Found or not, but never something else.
                        match index.find(coming + 1000) {
                            Some(found) => {
                                assert_eq!((found.function, found.record % 1000), (coming + 960, 15 * 24));
                                hits.fetch_add(1, Ordering::Relaxed);
                            }
                            None => {
                                misses.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                });
            }
            let mut round = 0;
            while round < 4_000 || hits.load(Ordering::Relaxed) == 0 || misses.load(Ordering::Relaxed) == 0 {
                let entry = index.add(round * 1000, row(coming, 20, 64)).expect("free pages");
                if round % 64 == 0 {
                    std::thread::yield_now();
                }
                drop(entry);
                round += 1;
            }
            stop.store(true, Ordering::Relaxed);
        });
        drop(stays);
        assert_eq!(index.find(start + 640), None);
    }
}
