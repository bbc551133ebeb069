//! Dynamic thread-local storage of executed code: every thread allocates its block of a module when it first asks.
//!
//! Used when the pool is full, when an alignment is larger than the pool's, or when this module was loaded too late to have static
//! storage. One key of the C library serves the whole process, whatever the number of modules; blocks go with their thread, or with
//! their module.
//!
//! `unsafe` because blocks are raw memory.
#![allow(unsafe_code)]

use super::{FirstContent, ThreadLocal};
use crate::sync::leaf::{Mutex, RwLock};
use std::alloc::Layout;
use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Module numbers of ours have this bit; the dynamic loader counts from one.
const OURS: u64 = 1 << 63;

/// One module's shape, and what its blocks begin with.
#[derive(Debug, Clone, Copy)]
struct Shape {
    layout: Layout,
    content: u64,
    content_size: usize,
}

/// By index; an index is used again when its module is gone.
static MODULES: RwLock<Vec<Option<Shape>>> = RwLock::new(Vec::new());
/// The tables of all threads that have one, as addresses.
static TABLES: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// One thread's blocks, by module index. Only its thread makes it longer, only with [`TABLES`] locked; another thread may take a block out.
#[derive(Debug, Default)]
struct Table {
    blocks: Vec<AtomicPtr<u8>>,
}

thread_local! {
    static TABLE: Cell<*mut Table> = const { Cell::new(ptr::null_mut()) };
}

/// A module of ours; its blocks in all threads go when it is dropped.
#[derive(Debug)]
pub(super) struct Module {
    index: usize,
}

pub(super) fn is_ours(module: u64) -> bool {
    module & OURS != 0
}

impl Module {
    /// `align` is a power of two up to 1 GiB; `None` when no block could be so large.
    pub(super) fn new(size: u64, align: u64) -> Option<Self> {
        let layout = Layout::from_size_align(usize::try_from(size).ok()?.max(1), align as usize).ok()?;
        let shape = Some(Shape { layout, content: 0, content_size: 0 });
        let mut modules = MODULES.write();
        let index = modules.iter().position(Option::is_none).unwrap_or(modules.len());
        if index == modules.len() {
            modules.push(shape);
        } else {
            modules[index] = shape;
        }
        Some(Self { index })
    }

    pub(super) fn place(&self) -> ThreadLocal {
        ThreadLocal { module: OURS | self.index as u64, offset: 0, distance: None }
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        let Some(shape) = MODULES.read().get(self.index).copied().flatten() else { return };
        for table in TABLES.lock().iter() {
            let table: *const Table = ptr::with_exposed_provenance(*table);
            // SAFETY: a table is in the list for as long as it lives, and the list is locked.
            let block =
                unsafe { &*table }.blocks.get(self.index).map(|block| block.swap(ptr::null_mut(), Ordering::AcqRel));
            if let Some(block) = block.filter(|block| !block.is_null()) {
                // SAFETY: it was allocated with this layout, and taken out of its table by us alone.
                unsafe { std::alloc::dealloc(block, shape.layout) };
            }
        }
        MODULES.write()[self.index] = None;
    }
}

/// What blocks of a module begin with, from now on.
pub(super) fn set_content(content: &FirstContent) {
    let index = (content.place.module & !OURS) as usize;
    if let Some(Some(shape)) = MODULES.write().get_mut(index) {
        shape.content = content.address;
        shape.content_size = (content.content_size as usize).min(shape.layout.size());
    }
}

/// The address of a variable in this thread.
#[inline]
pub(super) fn address(module: u64, offset: u64) -> u64 {
    let index = (module & !OURS) as usize;
    let table = TABLE.get();
    if !table.is_null() {
        // SAFETY: this thread's own table, which only this thread makes longer or frees.
        if let Some(block) = unsafe { &*table }.blocks.get(index) {
            let block = block.load(Ordering::Relaxed);
            if !block.is_null() {
                return (block as u64).wrapping_add(offset);
            }
        }
    }
    (first_access(index) as u64).wrapping_add(offset)
}

#[cold]
fn first_access(index: usize) -> *mut u8 {
    let Some(shape) = MODULES.read().get(index).copied().flatten() else {
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
    let mut tables = TABLES.lock();
    let mut table = TABLE.get();
    if table.is_null() {
        table = Box::into_raw(Box::default());
        tables.push(table.expose_provenance());
        TABLE.set(table);
        // SAFETY: the key was made with a destructor for tables.
        unsafe { libc::pthread_setspecific(key(), table.cast()) };
    }
    // SAFETY: this thread's own table, while nobody else looks at tables.
    let blocks = unsafe { &mut (*table).blocks };
    if blocks.len() <= index {
        blocks.resize_with(index + 1, AtomicPtr::default);
    }
    blocks[index].store(block, Ordering::Release);
    block
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
    let table: *mut Table = table.cast();
    let mut tables = TABLES.lock();
    tables.retain(|other| *other != table.expose_provenance());
    TABLE.set(ptr::null_mut());
    // SAFETY: made by `first_access`, and in nobody's hands any more.
    let table = unsafe { Box::from_raw(table) };
    let modules = MODULES.read();
    for (block, shape) in table.blocks.iter().zip(&*modules) {
        let block = block.load(Ordering::Acquire);
        if let Some(shape) = shape
            && !block.is_null()
        {
            // SAFETY: allocated with this layout; the module is still there, so nobody else has freed it.
            unsafe { std::alloc::dealloc(block, shape.layout) };
        }
    }
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
