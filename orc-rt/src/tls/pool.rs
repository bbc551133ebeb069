//! The pool of static thread-local storage: a thread-local array of this module, of which executed code gets pieces.
//!
//! All of it lies at one distance from the thread pointer in all threads, as the variables of an executable do, so that code reads it
//! with one instruction. What a piece begins with is written into the module's initialization image, which the C library copies for
//! every new thread, and into the threads that exist.
//!
//! Every thread of the process pays for the pool with its size, whether or not anything is executed: hence its modest size. A thread's
//! stack is that much smaller (glibc takes static storage from it): a program may ask for stacks of 16 KiB, and gets half of that.
//!
//! `unsafe` because the image and other threads' storage are written by address.
#![allow(unsafe_code)]

use super::modules::{self, Module};
use super::{FirstContent, ThreadLocal, TlsError, machine, threads};
use crate::sync::leaf::Mutex;
use std::cell::UnsafeCell;
use std::sync::OnceLock;

/// Bytes of the pool in every thread.
pub const POOL_SIZE: usize = 8 << 10;

/// Alignment of the pool, and hence the largest that a piece can have: that of the thread pointer itself.
const ALIGN: u64 = 64;

#[repr(C, align(64))]
struct Bytes(UnsafeCell<[u8; POOL_SIZE]>);

thread_local! {
    // Not all zero: only what has content is part of the image.
    static POOL: Bytes = const {
        let mut bytes = [0; POOL_SIZE];
        bytes[0] = 1;
        Bytes(UnsafeCell::new(bytes))
    };
}

/// The pool of this process.
#[derive(Debug)]
struct Pool {
    place: ThreadLocal,
    distance: i64,
    module: Module,
    /// Free pieces: first and last+1 offset, ascending, never touching.
    free: Mutex<Vec<(u64, u64)>>,
    /// Held while image and threads are written.
    writing: Mutex<()>,
}

/// A piece of the pool, given back when dropped.
#[derive(Debug)]
pub(super) struct Range {
    pool: &'static Pool,
    start: u64,
    end: u64,
}

/// `None` when this module has no static storage, its image cannot be written, or there is no way to write to other threads' storage.
fn pool() -> Option<&'static Pool> {
    static POOL_OF_PROCESS: OnceLock<Option<Pool>> = OnceLock::new();
    let find = || {
        let address = POOL.with(|pool| pool.0.get() as u64);
        let module = modules::containing(address)?;
        let offset = address - module.block;
        let distance = modules::distance_of_block(&module)?.checked_add_unsigned(offset)?;
        let in_image = offset + POOL_SIZE as u64 <= module.image_size;
        let aligned = address.is_multiple_of(ALIGN) && machine::thread_pointer().is_multiple_of(ALIGN);
        if !in_image || !aligned || !threads::can_be_found() {
            return None;
        }
        let place = ThreadLocal { module: module.number, offset, distance: Some(distance) };
        let free = Mutex::new(vec![(0, POOL_SIZE as u64)]);
        let pool = Pool { place, distance, module, free, writing: Mutex::new(()) };
        // Of an image that is sealed, or that a policy protects, no piece can be had: storage is dynamic then.
        // SAFETY: nobody has a piece yet, and this is what the image begins with.
        match unsafe { pool.write_image(offset, &[1]) } {
            Ok(()) => Some(pool),
            Err(error) => {
                tracing::debug!(%error, "thread-local storage is dynamic: its initialization image cannot be written");
                None
            }
        }
    };
    POOL_OF_PROCESS.get_or_init(find).as_ref()
}

/// A piece of `size` bytes; `None` when there is none so large, or so aligned.
pub(super) fn take(size: u64, align: u64) -> Option<Range> {
    if align > ALIGN || size > POOL_SIZE as u64 {
        return None;
    }
    let pool = pool()?;
    let mut free = pool.free.lock();
    let (at, start) = free.iter().enumerate().find_map(|(at, (first, end))| {
        let start = first.next_multiple_of(align);
        (start.checked_add(size)? <= *end).then_some((at, start))
    })?;
    let (first, end) = free[at];
    let rest = [(first, start), (start + size, end)];
    free.splice(at..=at, rest.into_iter().filter(|(first, end)| first < end));
    Some(Range { pool, start, end: start + size })
}

impl Range {
    pub(super) fn place(&self) -> ThreadLocal {
        let ThreadLocal { module, offset, .. } = self.pool.place;
        let distance = self.pool.distance.wrapping_add_unsigned(self.start);
        ThreadLocal { module, offset: offset + self.start, distance: Some(distance) }
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        if self.start == self.end {
            return;
        }
        let mut free = self.pool.free.lock();
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

/// Writes what a piece begins with: first for threads to come, then into this thread, then into all others.
///
/// # Safety
/// The piece is taken, at least as large as said, and not in use by any code; the content is readable.
pub(super) unsafe fn initialize(content: &FirstContent) -> Result<(), TlsError> {
    let failed = |reason: String| TlsError::Threads { reason };
    let pool = pool().ok_or_else(|| failed("there is no static storage".into()))?;
    let distance = content.place.distance.ok_or_else(|| failed("the storage is not static".into()))?;
    let start = content.place.offset.wrapping_sub(pool.place.offset);
    if start.checked_add(content.size).is_none_or(|end| end > POOL_SIZE as u64) {
        return Err(failed("the storage is not of the pool".into()));
    }
    let mut bytes = vec![0; content.size as usize];
    let given = content.content_size.min(content.size) as usize;
    let from: *const u8 = std::ptr::with_exposed_provenance(content.address as usize);
    if given > 0 {
        // SAFETY: the content is readable, says the caller.
        unsafe { std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), given) };
    }
    let _writing = pool.writing.lock();
    // SAFETY: the piece is part of the pool (checked), hence of the image, and nobody uses it.
    unsafe { pool.write_image(content.place.offset, &bytes) }.map_err(|error| failed(error.to_string()))?;
    let here = machine::thread_pointer().wrapping_add_signed(distance);
    // SAFETY: as above, of this thread's storage.
    unsafe {
        std::ptr::copy_nonoverlapping(
            bytes.as_ptr(),
            std::ptr::with_exposed_provenance_mut(here as usize),
            bytes.len(),
        );
    }
    // SAFETY: as above, of the other threads' storage.
    unsafe { threads::write_to_others(distance, &bytes) }.map_err(|error| failed(error.to_string()))
}

impl Pool {
    /// # Safety
    /// The bytes are part of the pool's image, and no code relies on what they are.
    unsafe fn write_image(&self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        use rustix::mm::{MprotectFlags, mprotect};
        let page = crate::sys::page_size();
        let start = self.module.image + offset;
        let end = start + bytes.len() as u64;
        let (relro, relro_size) = self.module.relro;
        // What is relocated first and then protected ends at a page's start (the loader rounds it down).
        let sealed = relro <= start && end <= (relro + relro_size) & !(page - 1);
        let pages = start & !(page - 1)..end.next_multiple_of(page);
        let first = std::ptr::with_exposed_provenance_mut(pages.start as usize);
        let size = (pages.end - pages.start) as usize;
        if sealed {
            // SAFETY: pages of this module's own data; whoever reads them can go on reading.
            unsafe { mprotect(first, size, MprotectFlags::READ | MprotectFlags::WRITE)? };
        }
        let to: *mut u8 = std::ptr::with_exposed_provenance_mut(start as usize);
        // SAFETY: writable now; a thread that is being made meanwhile copies old bytes or new ones, and is written to afterwards.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        if sealed {
            // SAFETY: as it was before.
            unsafe { mprotect(first, size, MprotectFlags::READ)? };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FirstContent, Storage, address_here, initialize};

    fn read(storage: &Storage) -> Vec<u8> {
        // SAFETY: the storage is reserved and has this size.
        unsafe {
            let address = address_here(storage.place());
            let pointer: *const u8 = std::ptr::with_exposed_provenance(address as usize);
            std::slice::from_raw_parts(pointer, 24).to_vec()
        }
    }

    #[test]
    fn threads_before_and_after_see_the_content_and_pieces_are_used_again() {
        let (to_old, told) = std::sync::mpsc::channel::<Storage>();
        let (answer, answered) = std::sync::mpsc::channel();
        let old = std::thread::spawn(move || {
            for storage in told {
                answer.send((read(&storage), storage)).expect("the test waits");
            }
        });
        let mut storage = Some(Storage::reserve(24, 16).expect("room"));
        let place = storage.as_ref().expect("taken").place();
        assert!(place.distance.is_some_and(|distance| distance % 16 == 0), "{place}");
        for round in 1..4_u8 {
            let one = storage.take().unwrap_or_else(|| Storage::reserve(24, 16).expect("room again"));
            assert_eq!(one.place(), place, "round {round}");
            let content = [round; 8];
            let first = FirstContent { place, address: content.as_ptr() as u64, content_size: 8, size: 24 };
            // SAFETY: nobody else knows the storage, and the content is here.
            unsafe { initialize(&first) }.expect("threads can be written to");
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
