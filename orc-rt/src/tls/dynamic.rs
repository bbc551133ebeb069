//! Dynamic thread-local storage of executed code: every thread allocates its block of a module when it first asks.
//!
//! Used when the pool is full, or when an alignment is larger than the pool's. Each thread has a table of its blocks, and the table's address is in
//! a word of static storage ([`super::pool::slot`]), so that the entry points find a block with three loads and two compares. One key of the
//! C library serves the whole process, whatever the number of modules; blocks go with their thread, or with their module.
//!
//! Like the system's, a first access allocates: it is nothing for a signal handler that may interrupt the allocator.
//!
//! `unsafe` because blocks and tables are raw memory.
#![allow(unsafe_code)]

use super::{FirstContent, ThreadLocal, pool};
use crate::sync::leaf::Mutex;
use std::alloc::Layout;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::ffi::c_void;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Module numbers of ours are negative; the dynamic loader counts from one. The number of a module is where its block stands in every table: so
/// many bytes from the limit.
fn number(index: usize) -> u64 {
    (index as u64 + 1).wrapping_mul(8).wrapping_neg()
}

fn index(module: u64) -> usize {
    (module.wrapping_neg() / 8).wrapping_sub(1) as usize
}

pub(super) fn is_ours(module: u64) -> bool {
    (module as i64) < 0
}

/// One module's shape, and what its blocks begin with.
#[derive(Debug, Clone, Copy)]
struct Shape {
    layout: Layout,
    content: u64,
    content_size: usize,
}

/// What all threads share. No access takes this lock that finds its block.
struct Shared {
    /// By index; an index is used again when its module is gone.
    modules: Vec<Option<Shape>>,
    free: Vec<usize>,
    /// The tables of all threads that have one, as addresses.
    tables: BTreeSet<usize>,
}

static SHARED: Mutex<Shared> = Mutex::new(Shared { modules: Vec::new(), free: Vec::new(), tables: BTreeSet::new() });

impl Shared {
    fn shape(&self, index: usize) -> Option<Shape> {
        self.modules.get(index).copied().flatten()
    }
}

/// One thread's blocks: the address of a word that holds the number of the last module for which there is room, its *limit*. The blocks'
/// addresses stand below it. Only its thread replaces it, only with [`SHARED`] locked; another thread may take a block out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Table(*const AtomicU64);

/// The table of threads that have no block: no module has room.
static NO_BLOCKS: AtomicU64 = AtomicU64::new(0);

impl Table {
    pub(super) const EMPTY: Self = Self(&raw const NO_BLOCKS);

    /// What a thread's slot begins with, as a number.
    pub(super) fn address(self) -> u64 {
        self.0.expose_provenance() as u64
    }

    fn layout(room: usize) -> Layout {
        Layout::array::<AtomicU64>(room + 1).unwrap_or_else(|_| fatal("too many modules with thread-local variables"))
    }

    fn new(room: usize) -> Self {
        // SAFETY: the layout is not empty.
        let first = unsafe { std::alloc::alloc_zeroed(Self::layout(room)) }.cast::<AtomicU64>();
        if first.is_null() {
            fatal("no memory for thread-local variables");
        }
        // SAFETY: the last of its words, which are zero: null pointers, and the limit to be.
        unsafe {
            let limit = first.add(room);
            (*limit).store(number(room).wrapping_add(8), Ordering::Relaxed);
            Self(limit)
        }
    }

    fn room(self) -> usize {
        // SAFETY: a table lives until `free`.
        let limit = unsafe { (*self.0).load(Ordering::Relaxed) };
        (limit.wrapping_neg() / 8) as usize
    }

    /// Where the block's address is.
    fn block(&self, index: usize) -> Option<&AtomicU64> {
        // SAFETY: below the limit are as many words as there is room for.
        (index < self.room()).then(|| unsafe { &*self.0.sub(index + 1) })
    }

    /// # Safety
    /// Nobody uses the table any more.
    unsafe fn free(self) {
        let room = self.room();
        if self != Self::EMPTY {
            // SAFETY: allocated by `new` with this layout.
            unsafe { std::alloc::dealloc(self.0.sub(room).cast_mut().cast(), Self::layout(room)) };
        }
    }
}

/// Where this thread's table is noted.
fn here() -> &'static Cell<Table> {
    pool::table_of_this_thread()
}

/// A module of ours; its blocks in all threads go when it is dropped.
#[derive(Debug)]
pub(super) struct Module {
    index: usize,
}

impl Module {
    /// `align` is a power of two up to 1 GiB; `None` when no block could be so large.
    pub(super) fn new(size: u64, align: u64) -> Option<Self> {
        // Before there is a table, since that is what it points to.
        pool::find();
        let layout = Layout::from_size_align(usize::try_from(size).ok()?.max(1), align as usize).ok()?;
        let shape = Some(Shape { layout, content: 0, content_size: 0 });
        let mut shared = SHARED.lock();
        let index = shared.free.pop().unwrap_or(shared.modules.len());
        match shared.modules.get_mut(index) {
            Some(free) => *free = shape,
            None => shared.modules.push(shape),
        }
        Some(Self { index })
    }

    pub(super) fn place(&self) -> ThreadLocal {
        ThreadLocal { module: number(self.index), offset: 0, distance: None }
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        let mut shared = SHARED.lock();
        let Some(shape) = shared.modules.get_mut(self.index).and_then(Option::take) else { return };
        shared.free.push(self.index);
        for table in &shared.tables {
            let table = Table(ptr::with_exposed_provenance(*table));
            if let Some(block) = table.block(self.index) {
                // SAFETY: it is taken out of its table by us alone: the list is locked.
                unsafe { free_block(block.swap(0, Ordering::AcqRel), shape.layout) };
            }
        }
    }
}

/// # Safety
/// `block` is zero or was allocated with this layout, and is in nobody's hands.
unsafe fn free_block(block: u64, layout: Layout) {
    if block != 0 {
        // SAFETY: the caller's promise.
        unsafe { std::alloc::dealloc(ptr::with_exposed_provenance_mut(block as usize), layout) };
    }
}

/// What blocks of a module begin with, from now on.
pub(super) fn set_content(content: &FirstContent) {
    if let Some(Some(shape)) = SHARED.lock().modules.get_mut(index(content.place.module)) {
        shape.content = content.address;
        shape.content_size = (content.content_size as usize).min(shape.layout.size());
    }
}

/// The address of a variable in this thread. The entry points ask here when they find no block.
pub(super) fn address(module: u64, offset: u64) -> u64 {
    let index = index(module);
    let block = here().get().block(index).map_or(0, |block| block.load(Ordering::Relaxed));
    let block = if block == 0 { first_access(index) } else { block };
    block.wrapping_add(offset)
}

#[cold]
fn first_access(index: usize) -> u64 {
    let Some(shape) = SHARED.lock().shape(index) else {
        fatal("a thread-local variable of code that was unloaded is accessed");
    };
    // SAFETY: the layout is not empty.
    let block = unsafe { std::alloc::alloc_zeroed(shape.layout) };
    if block.is_null() {
        fatal("no memory for thread-local variables");
    }
    let content: *const u8 = ptr::with_exposed_provenance(shape.content as usize);
    if shape.content_size > 0 {
        // SAFETY: the content stays as long as the module, and is no longer than a block.
        unsafe { ptr::copy_nonoverlapping(content, block, shape.content_size) };
    }
    let block = block.expose_provenance() as u64;
    let key = key();
    let mut shared = SHARED.lock();
    let mut table = here().get();
    if table.room() <= index {
        table = longer(table, index, &mut shared);
        // SAFETY: the key was made with a destructor for tables.
        if unsafe { libc::pthread_setspecific(key, table.0.cast()) } != 0 {
            fatal("no memory for thread-local variables");
        }
    }
    if let Some(entry) = table.block(index) {
        entry.store(block, Ordering::Release);
    }
    block
}

/// Replaces this thread's table by one with room for `index`.
fn longer(old: Table, index: usize, shared: &mut Shared) -> Table {
    let table = Table::new((index + 1).max(2 * old.room()).next_power_of_two());
    for index in 0..old.room() {
        if let (Some(from), Some(to)) = (old.block(index), table.block(index)) {
            to.store(from.load(Ordering::Acquire), Ordering::Relaxed);
        }
    }
    shared.tables.remove(&old.0.addr());
    shared.tables.insert(table.0.expose_provenance());
    here().set(table);
    // SAFETY: this thread's own, and no longer where others look.
    unsafe { old.free() };
    table
}

/// The one key of this process.
fn key() -> libc::pthread_key_t {
    static KEY: OnceLock<libc::pthread_key_t> = OnceLock::new();
    *KEY.get_or_init(|| {
        let mut key = 0;
        // SAFETY: the key is written to our own variable.
        if unsafe { libc::pthread_key_create(&raw mut key, Some(thread_ends)) } != 0 {
            fatal("the C library has no key left (PTHREAD_KEYS_MAX)");
        }
        key
    })
}

/// # Safety
/// Called by the C library with the table of the thread that ends, after the destructors of thread-local objects.
unsafe extern "C" fn thread_ends(table: *mut c_void) {
    let table = Table(table.cast_const().cast());
    let mut shared = SHARED.lock();
    shared.tables.remove(&table.0.addr());
    here().set(Table::EMPTY);
    for (index, shape) in shared.modules.iter().enumerate().take(table.room()) {
        if let (Some(block), Some(shape)) = (table.block(index), shape) {
            // SAFETY: allocated with this layout; the module is still there, so nobody else has freed it.
            unsafe { free_block(block.load(Ordering::Acquire), shape.layout) };
        }
    }
    // SAFETY: made by `longer`, and in nobody's hands any more.
    unsafe { table.free() };
}

/// There is nobody to return an error to: the caller is an instruction sequence.
fn fatal(what: &str) -> ! {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "orc-rt: {what}");
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use super::super::{FirstContent, address_here};
    use super::{Module, is_ours, set_content};

    #[test]
    fn every_thread_has_its_block_and_blocks_go_with_the_module() {
        let module = Module::new(4096, 256).expect("a size");
        let place = module.place();
        assert!(is_ours(place.module) && place.distance.is_none());
        let content = [5_u8; 16];
        set_content(&FirstContent { place, address: content.as_ptr() as u64, content_size: 16, size: 4096 });
        let look = move || {
            // SAFETY: the module is there, and the block has 4096 bytes.
            unsafe {
                let address = address_here(place);
                let bytes: *mut u8 = std::ptr::with_exposed_provenance_mut(address as usize);
                let seen = (address % 256, *bytes, *bytes.add(15), *bytes.add(16), *bytes.add(4095));
                *bytes = 9;
                (address, seen, *bytes)
            }
        };
        let (here, seen, written) = look();
        assert_eq!((seen, written), ((0, 5, 5, 0, 0), 9));
        let (there, seen, _) = std::thread::spawn(look).join().expect("no panic");
        assert_eq!(seen, (0, 5, 5, 0, 0));
        assert_ne!(here, there);
        drop(module);
        let again = Module::new(8, 8).expect("a size");
        // SAFETY: the module is there.
        let fresh = unsafe { *std::ptr::with_exposed_provenance::<u64>(address_here(again.place()) as usize) };
        assert_eq!(fresh, 0);
    }
}
