//! The pool of static thread-local storage, of which executed code gets pieces.
//!
//! All of it lies at one distance from the thread pointer in all threads, as the variables of an executable do, so that code reads it
//! with one instruction. What a piece begins with is written into its module's initialization image, which the C library copies for
//! every new thread, and into the threads that exist.
//!
//! The pool has *regions*. The first is a thread-local array of this module; where this module was itself loaded late and has no static
//! storage, it is a small part of what the dynamic loader keeps in reserve ([`super::reserve`]). More of that reserve is taken only for code that
//! cannot be served without, since libraries that are opened later may need it: they could not be opened.
//!
//! Every thread of the process pays for the first region with its size, whether or not anything is executed: hence its modest size. A thread's
//! stack is that much smaller (glibc takes static storage from it): a program may ask for stacks of 16 KiB, and gets half of that.
//!
//! `unsafe` because the image and other threads' storage are written by address.
#![allow(unsafe_code)]

use super::dynamic::Table;
use super::modules::{self, Module};
use super::threads::{self, Piece};
use super::{FirstContent, ThreadLocal, TlsError, Wanted, reserve};
use crate::machine::tls as machine;
use crate::sync::leaf::{Mutex, RwLock};
use std::cell::{Cell, UnsafeCell};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

/// Bytes of the pool's first region in every thread.
pub const POOL_SIZE: usize = 8 << 10;

/// Alignment of regions, and hence the largest that a piece can have: that of the thread pointer itself.
pub(super) const ALIGN: u64 = 64;

/// What the first region has before its pieces: the address of the thread's table of blocks.
const SLOT_SIZE: u64 = 8;

/// Bytes that a library without static storage of its own takes from the loader's reserve, and what is taken at least when code needs more. As
/// much as glibc keeps for uses that are not vital (`glibc.rtld.optional_static_tls`).
const FROM_RESERVE: u64 = 512;

/// More than this nobody has in static storage.
const TOO_LARGE: u64 = 1 << 30;

#[repr(C, align(64))]
struct Own {
    table: Cell<Table>,
    _pieces: UnsafeCell<[u8; POOL_SIZE - SLOT_SIZE as usize]>,
}

thread_local! {
    // The table is no null pointer: only what has content is part of the image.
    static OWN: Own = const {
        Own { table: Cell::new(Table::EMPTY), _pieces: UnsafeCell::new([0; POOL_SIZE - SLOT_SIZE as usize]) }
    };
}

/// The distance from the thread pointer of the word with the address of the thread's table; [`NO_TABLE`](machine::NO_TABLE) where no word has one. What is there
/// has no room for anything: entry points need no case of their own.
pub(crate) static SLOT: AtomicI64 = AtomicI64::new(machine::NO_TABLE);

/// The pool of this process; empty where there is no static storage, or no way to write to other threads' storage.
#[derive(Debug, Default)]
pub(super) struct Pool {
    regions: RwLock<Vec<&'static Region>>,
}

/// A part of one module's static storage.
#[derive(Debug)]
pub(super) struct Region {
    module: u64,
    /// Of the region's first byte, in its module.
    offset: u64,
    distance: i64,
    size: u64,
    /// Address of what the first byte is in new threads.
    image: u64,
    /// The image is relocated first and made read-only then: addresses.
    sealed: std::ops::Range<u64>,
    /// Free pieces: first and last+1 offset, ascending, never touching.
    free: Mutex<Vec<(u64, u64)>>,
}

/// A piece of the pool, given back when dropped.
#[derive(Debug)]
pub(super) struct Range {
    region: &'static Region,
    start: u64,
    end: u64,
}

/// The pool, with its first region if it can have one.
pub(super) fn find() -> &'static Pool {
    static POOL_OF_PROCESS: OnceLock<Pool> = OnceLock::new();
    POOL_OF_PROCESS.get_or_init(|| {
        let pool = Pool::default();
        if threads::can_be_found()
            && let Some(region) = own_region().or_else(|| region_from_reserve(FROM_RESERVE))
        {
            SLOT.store(region.distance, Ordering::Release);
            pool.regions.write().push(region);
        }
        pool
    })
}

/// Where the address of this thread's table of blocks is.
pub(super) fn table_of_this_thread() -> &'static Cell<Table> {
    let distance = SLOT.load(Ordering::Acquire);
    let own = || OWN.with(|own| &raw const own.table);
    let slot = if distance == machine::NO_TABLE {
        own()
    } else {
        std::ptr::with_exposed_provenance(machine::thread_pointer().wrapping_add_signed(distance) as usize)
    };
    // SAFETY: this thread's storage stays as long as the thread, which is the only one to use the word; it began as `Table::EMPTY`.
    unsafe { &*slot }
}

/// This module's array, if it is static.
fn own_region() -> Option<&'static Region> {
    let address = OWN.with(|own| &raw const *own as u64);
    let module = modules::containing(address)?;
    let offset = address - module.block;
    let distance = modules::distance_of_block(&module)?.checked_add_unsigned(offset)?;
    if offset + POOL_SIZE as u64 > module.image_size {
        return None;
    }
    let Module { number: module, image, relro: (relro, size), .. } = module;
    // What is sealed ends at a page's start (the loader rounds it down).
    let sealed = relro..(relro + size) & !(crate::sys::page_size() - 1);
    Region::new(ThreadLocal { module, offset, distance: Some(distance) }, POOL_SIZE as u64, image + offset, sealed)
}

/// So much of the loader's reserve, as a first region or a further one.
fn region_from_reserve(size: u64) -> Option<&'static Region> {
    let reserve::Module { place, image } = reserve::take(size, ALIGN, &Table::EMPTY.address().to_ne_bytes())?;
    Region::new(place, size, image, 0..0)
}

/// A piece as wanted; `None` when there is none so large, or so aligned.
pub(super) fn take(wanted: Wanted) -> Option<Range> {
    let Wanted { size, align, constant } = wanted;
    if align > ALIGN || size > TOO_LARGE {
        return None;
    }
    let pool = find();
    let regions = pool.regions.read().clone();
    let found = regions.into_iter().find_map(|region| region.take(size, align));
    if found.is_some() || !constant || SLOT.load(Ordering::Acquire) == machine::NO_TABLE {
        return found;
    }
    let needed = (size + SLOT_SIZE).next_multiple_of(ALIGN) + if align > SLOT_SIZE { ALIGN } else { 0 };
    let region = region_from_reserve(needed.max(FROM_RESERVE)).or_else(|| region_from_reserve(needed))?;
    pool.regions.write().push(region);
    region.take(size, align)
}

/// Writes what pieces begin with: first for threads to come, then into this thread, then into all others.
///
/// # Safety
/// The pieces are taken, at least as large as said, and not in use by any code; the contents are readable.
pub(super) unsafe fn initialize(contents: &[&FirstContent]) -> Result<(), TlsError> {
    let failed = |reason: String| TlsError::Threads { reason };
    let regions = find().regions.read().clone();
    let mut pieces = Vec::with_capacity(contents.len());
    for content in contents {
        let region = regions.iter().position(|region| region.holds(content));
        let region = region.ok_or_else(|| failed("the storage is not of the pool".into()))?;
        let distance = content.place.distance.ok_or_else(|| failed("the storage is not static".into()))?;
        // SAFETY: the caller's promise.
        pieces.push((region, Piece { distance, bytes: unsafe { bytes(content) } }));
    }
    pieces.sort_by_key(|(region, _)| *region);
    let creation = threads::no_creation();
    for same in pieces.chunk_by(|(one, _), (other, _)| one == other) {
        // SAFETY: the pieces are part of the region (checked), hence of the image, and nobody uses them.
        unsafe { regions[same[0].0].write_image(same) }.map_err(|error| failed(error.to_string()))?;
    }
    let pieces: Vec<Piece> = pieces.into_iter().map(|(_, piece)| piece).collect();
    for piece in &pieces {
        let here = machine::thread_pointer().wrapping_add_signed(piece.distance);
        let here: *mut u8 = std::ptr::with_exposed_provenance_mut(here as usize);
        // SAFETY: as above, of this thread's storage.
        unsafe { std::ptr::copy_nonoverlapping(piece.bytes.as_ptr(), here, piece.bytes.len()) };
    }
    // SAFETY: as above, of the other threads' storage.
    unsafe { threads::write_to_others(&creation, &pieces) }.map_err(|error| failed(error.to_string()))
}

/// What is to be in every thread.
///
/// # Safety
/// The content is readable.
unsafe fn bytes(content: &FirstContent) -> Vec<u8> {
    let mut bytes = vec![0; content.size as usize];
    let given = content.content_size.min(content.size) as usize;
    let from: *const u8 = std::ptr::with_exposed_provenance(content.address as usize);
    if given > 0 {
        // SAFETY: the caller's promise.
        unsafe { std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), given) };
    }
    bytes
}

impl Region {
    /// A region of static storage, which stays as long as the process. Its first word is a slot for a table, in new threads and old ones.
    fn new(place: ThreadLocal, size: u64, image: u64, sealed: std::ops::Range<u64>) -> Option<&'static Self> {
        let ThreadLocal { module, offset, distance } = place;
        let distance = distance?;
        if !machine::thread_pointer().wrapping_add_signed(distance).is_multiple_of(ALIGN) {
            return None;
        }
        let free = Mutex::new(vec![(SLOT_SIZE, size)]);
        let region = Self { module, offset, distance, size, image, sealed, free };
        let slot = Piece { distance, bytes: Table::EMPTY.address().to_ne_bytes().to_vec() };
        // Of an image that is sealed, or that a policy protects, no piece can be had: storage is dynamic then.
        // SAFETY: nobody has a piece yet, and this is what the image begins with.
        if let Err(error) = unsafe { region.write_image(&[(0, slot)]) } {
            tracing::debug!(%error, "thread-local storage is dynamic: its initialization image cannot be written");
            return None;
        }
        Some(Box::leak(Box::new(region)))
    }

    fn take(&'static self, size: u64, align: u64) -> Option<Range> {
        let mut free = self.free.lock();
        let (at, start) = free.iter().enumerate().find_map(|(at, (first, end))| {
            let start = first.next_multiple_of(align);
            (start.checked_add(size)? <= *end).then_some((at, start))
        })?;
        let (first, end) = free[at];
        let rest = [(first, start), (start + size, end)];
        free.splice(at..=at, rest.into_iter().filter(|(first, end)| first < end));
        Some(Range { region: self, start, end: start + size })
    }

    fn holds(&self, content: &FirstContent) -> bool {
        let start = content.place.offset.wrapping_sub(self.offset);
        let end = start.checked_add(content.size).filter(|end| *end <= self.size);
        let same = content.place.distance == Some(self.distance.wrapping_add_unsigned(start));
        content.place.module == self.module && start >= SLOT_SIZE && end.is_some() && same
    }

    /// # Safety
    /// The pieces are part of this region, and no code relies on what they are.
    unsafe fn write_image(&self, pieces: &[(usize, Piece)]) -> std::io::Result<()> {
        use rustix::mm::{MprotectFlags, mprotect};
        let page = crate::sys::page_size();
        let address = |piece: &Piece| self.image + piece.distance.wrapping_sub(self.distance) as u64;
        let start = pieces.iter().map(|(_, piece)| address(piece)).min().unwrap_or(self.image);
        let end = pieces.iter().map(|(_, piece)| address(piece) + piece.bytes.len() as u64).max().unwrap_or(start);
        let sealed = self.sealed.start <= start && start < self.sealed.end;
        let pages = start & !(page - 1)..end.min(self.sealed.end).next_multiple_of(page);
        let first = std::ptr::with_exposed_provenance_mut(pages.start as usize);
        let size = pages.end.saturating_sub(pages.start) as usize;
        if sealed {
            // SAFETY: pages of this module's own data; whoever reads them can go on reading.
            unsafe { mprotect(first, size, MprotectFlags::READ | MprotectFlags::WRITE)? };
        }
        for (_, piece) in pieces {
            let to: *mut u8 = std::ptr::with_exposed_provenance_mut(address(piece) as usize);
            // SAFETY: writable now; a thread that is being made meanwhile copies old bytes or new ones, and is written to afterwards.
            unsafe { std::ptr::copy_nonoverlapping(piece.bytes.as_ptr(), to, piece.bytes.len()) };
        }
        if sealed {
            // SAFETY: as it was before.
            unsafe { mprotect(first, size, MprotectFlags::READ)? };
        }
        Ok(())
    }
}

impl Range {
    pub(super) fn place(&self) -> ThreadLocal {
        let Region { module, offset, distance, .. } = *self.region;
        let distance = distance.wrapping_add_unsigned(self.start);
        ThreadLocal { module, offset: offset + self.start, distance: Some(distance) }
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        if self.start == self.end {
            return;
        }
        let mut free = self.region.free.lock();
        let after = free.partition_point(|(first, _)| *first < self.start);
        let (mut start, mut end, mut replaced) = (self.start, self.end, after..after);
        if let Some((first, _)) = free.get(after).filter(|(first, _)| *first == end) {
            debug_assert!(*first >= end);
            end = free[after].1;
            replaced.end += 1;
        }
        if after > 0 && free[after - 1].1 == start {
            start = free[after - 1].0;
            replaced.start -= 1;
        }
        free.splice(replaced, [(start, end)]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FirstContent, Storage, Wanted, address_here, initialize};
    use super::POOL_SIZE;

    fn read(storage: &Storage) -> Vec<u8> {
        // SAFETY: the storage is reserved and has this size.
        unsafe {
            let address = address_here(storage.place());
            let pointer: *const u8 = std::ptr::with_exposed_provenance(address as usize);
            std::slice::from_raw_parts(pointer, 24).to_vec()
        }
    }

    #[test]
    fn threads_before_and_after_see_the_content_wherever_the_room_comes_from() {
        let any = Wanted { size: 24, align: 16, constant: false };
        check_region(any);
        let _most = Storage::reserve(Wanted { size: POOL_SIZE as u64 - 256, ..any }).expect("memory");
        let dynamic = Storage::reserve(Wanted { size: 600, ..any }).expect("memory");
        assert_eq!(dynamic.place().distance, None);
        // Code that cannot do with that gets it out of the loader's reserve.
        check_region(Wanted { size: 600, align: 64, constant: true });
    }

    fn check_region(wanted: Wanted) {
        let (to_old, told) = std::sync::mpsc::channel::<Storage>();
        let (answer, answered) = std::sync::mpsc::channel();
        let old = std::thread::spawn(move || {
            for storage in told {
                answer.send((read(&storage), storage)).expect("the test waits");
            }
        });
        let mut storage = Some(Storage::reserve(wanted).expect("room"));
        let place = storage.as_ref().expect("taken").place();
        assert!(place.distance.is_some_and(|distance| distance % wanted.align as i64 == 0), "{place}");
        for round in 1..4_u8 {
            let one = storage.take().unwrap_or_else(|| Storage::reserve(wanted).expect("room again"));
            assert_eq!(one.place(), place, "round {round}");
            let content = [round; 8];
            let first = FirstContent { place, address: content.as_ptr() as u64, content_size: 8, size: 24 };
            // SAFETY: nobody else knows the storage, and the content is here.
            unsafe { initialize(&[&first]) }.expect("threads can be written to");
            let mut expected = vec![round; 8];
            expected.resize(24, 0);
            assert_eq!(read(&one), expected);
            to_old.send(one).expect("the thread listens");
            let (seen, one) = answered.recv().expect("an answer");
            assert_eq!(seen, expected, "a thread that was there before");
            let new = std::thread::spawn(move || (read(&one), one));
            let (seen, one) = new.join().expect("no panic");
            assert_eq!(seen, expected, "a new thread");
            drop(one);
        }
        drop(to_old);
        old.join().expect("no panic");
    }
}
