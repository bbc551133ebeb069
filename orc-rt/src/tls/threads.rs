//! The other threads of this process, and where their thread pointers are.
//!
//! Linux tells no thread another one's thread pointer. But every thread of glibc registers its list of robust mutexes, which is part of
//! its descriptor, at one distance from the thread pointer: get_robust_list(2) gives the one, our own distance the other. Where the system has no such call, threads
//! note themselves (`seen.rs`).
//!
//! `unsafe` because of these system calls.
#![allow(unsafe_code)]

use super::seen;
use crate::machine::tls as machine;
use crate::sync::leaf::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::collections::HashSet;
use std::ffi::c_void;
use std::io;
use std::time::{Duration, Instant};

/// How long a thread may take from its creation to its registration, which is the first thing it does.
const PATIENCE: Duration = Duration::from_millis(100);

/// Held by whoever makes a thread, as one of many, and by whoever changes what threads begin with, alone: a thread in the making has copied
/// the old image, and is not in any list yet.
static CREATION: RwLock<()> = RwLock::new(());

/// While this lives, executed code makes no thread. Other code of the process can, as under the dynamic loader, whose late static storage has the same gap.
pub(super) struct NoCreation {
    #[expect(dead_code, reason = "held")]
    executed: RwLockWriteGuard<'static, ()>,
    #[expect(dead_code, reason = "held")]
    all: Option<seen::NoMaking>,
}

/// Waits for threads that are being made.
pub(super) fn no_creation() -> NoCreation {
    NoCreation { executed: CREATION.write(), all: seen::is_begun().then(seen::no_making) }
}

/// One of many; while it lives, a thread may be made.
pub(crate) struct Creation(#[expect(dead_code, reason = "held")] RwLockReadGuard<'static, ()>);

/// Executed code makes a thread: waits while what threads begin with changes.
pub(crate) fn creation() -> Creation {
    Creation(CREATION.read())
}

/// What is to stand in every thread's storage.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// From the thread pointer.
    pub(super) distance: i64,
    pub(super) bytes: Vec<u8>,
}

/// Writes `pieces` into the storage of every thread but this one. Threads that are just being made begin with what the
/// module's image says, or are found by a second look: the listing is repeated until nobody is new.
///
/// # Errors
/// There are other threads, and no way to find their storage.
///
/// # Safety
/// Nobody uses these bytes of any thread's storage, and they are part of it.
pub(super) unsafe fn write_to_others(_: &NoCreation, pieces: &[Piece]) -> io::Result<()> {
    if seen::is_begun() {
        // SAFETY: the caller's promise.
        seen::for_others(|pointer| unsafe { write(pointer, pieces) });
        return Ok(());
    }
    // SAFETY: no arguments, no failure.
    let own = unsafe { libc::gettid() };
    let mut done = HashSet::from([own]);
    loop {
        let mut new = 0;
        for entry in std::fs::read_dir("/proc/self/task")? {
            let name = entry?.file_name();
            let Some(thread) = name.to_str().and_then(|name| name.parse::<libc::pid_t>().ok()) else { continue };
            if !done.insert(thread) {
                continue;
            }
            new += 1;
            if let Some(pointer) = thread_pointer_of(thread)? {
                // SAFETY: the caller's promise.
                unsafe { write(pointer, pieces) };
            }
        }
        if new == 0 {
            return Ok(());
        }
    }
}

/// Whether the threads of this process can be found.
pub(super) fn can_be_found() -> bool {
    seen::is_begun() || are_told()
}

/// Whether the system tells where they are.
pub(super) fn are_told() -> bool {
    offset_of_list().is_ok()
}

/// Whether this process has one thread. User-mode emulators have threads of their own, which the system lists among a program's; there, the C library is asked.
pub(crate) fn is_alone() -> io::Result<bool> {
    let listed = std::fs::read_dir("/proc/self/task")?.count();
    if listed == 1 || !crate::sys::loaded::is_emulated() {
        return Ok(listed == 1);
    }
    let single = crate::native::system_symbol(c"__libc_single_threaded").unwrap_or(0);
    let single: *const u8 = std::ptr::with_exposed_provenance(single as usize);
    // SAFETY: null, or the address of a variable of that type (glibc, `sys/single_threaded.h`).
    Ok(!single.is_null() && unsafe { single.read_volatile() } != 0)
}

/// Where in a thread's descriptor its list is, from the thread pointer.
fn offset_of_list() -> io::Result<u64> {
    let offset = robust_list(0)?.wrapping_sub(machine::thread_pointer());
    // A descriptor begins at the thread pointer, or ends near it where storage is above; it has a few kilobytes.
    if (offset as i64).unsigned_abs() >= 1 << 16 {
        return Err(io::Error::other("this C library keeps no list of robust mutexes in its thread descriptor"));
    }
    Ok(offset)
}

/// `None` when the thread has ended, or is none of the C library's.
fn thread_pointer_of(thread: libc::pid_t) -> io::Result<Option<u64>> {
    let offset = offset_of_list()?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match robust_list(thread) {
            Ok(0) if Instant::now() < deadline => std::thread::yield_now(),
            Ok(0) => return Ok(None),
            Ok(list) => return Ok(Some(list.wrapping_sub(offset))),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

/// get_robust_list(2); 0 means the calling thread.
fn robust_list(thread: libc::pid_t) -> io::Result<u64> {
    let (mut head, mut size) = (0_u64, 0_usize);
    // SAFETY: both results are written to our own variables.
    let result = unsafe { libc::syscall(libc::SYS_get_robust_list, thread, &raw mut head, &raw mut size) };
    if result == 0 { Ok(head) } else { Err(io::Error::last_os_error()) }
}

/// Writes by way of the kernel, which finds out if the thread has ended and its memory is gone.
///
/// # Safety
/// As [`write_to_others`].
unsafe fn write(thread_pointer: u64, pieces: &[Piece]) {
    /// `IOV_MAX`.
    const AT_ONCE: usize = 1024;
    let there = |piece: &Piece| -> *mut c_void {
        std::ptr::with_exposed_provenance_mut(thread_pointer.wrapping_add_signed(piece.distance) as usize)
    };
    let vector = |base: *mut c_void, piece: &Piece| libc::iovec { iov_base: base, iov_len: piece.bytes.len() };
    for pieces in pieces.chunks(AT_ONCE) {
        let local: Vec<_> = pieces.iter().map(|piece| vector(piece.bytes.as_ptr().cast_mut().cast(), piece)).collect();
        let remote: Vec<_> = pieces.iter().map(|piece| vector(there(piece), piece)).collect();
        let count = pieces.len() as libc::c_ulong;
        // SAFETY: the local bytes are ours; the caller answers for the remote ones, which are of this process.
        let written =
            unsafe { libc::process_vm_writev(libc::getpid(), local.as_ptr(), count, remote.as_ptr(), count, 0) };
        if written >= 0 || io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT) {
            continue;
        }
        // Forbidden here: the thread was there a moment ago.
        for piece in pieces {
            // SAFETY: the caller's promise.
            unsafe { std::ptr::copy_nonoverlapping(piece.bytes.as_ptr(), there(piece).cast(), piece.bytes.len()) };
        }
    }
}
