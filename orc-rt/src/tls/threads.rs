//! The other threads of this process, and where their thread pointers are.
//!
//! Linux tells no thread another one's thread pointer. But every thread of glibc registers its list of robust mutexes, which is part of
//! its descriptor, at one distance from the thread pointer: get_robust_list(2) gives the one, our own distance the other.
//!
//! `unsafe` because of these system calls.
#![allow(unsafe_code)]

use super::machine;
use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant};

/// How long a thread may take from its creation to its registration, which is the first thing it does.
const PATIENCE: Duration = Duration::from_millis(100);

/// Writes `bytes` at `distance` from the thread pointer of every thread but this one. Threads that are just being made begin with what the
/// module's image says, or are found by a second look: the listing is repeated until nobody is new.
///
/// # Errors
/// There are other threads, and no way to find their storage.
///
/// # Safety
/// Nobody uses these bytes of any thread's storage, and they are part of it.
pub(super) unsafe fn write_to_others(distance: i64, bytes: &[u8]) -> io::Result<()> {
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
                unsafe { write(pointer.wrapping_add_signed(distance), bytes) }?;
            }
        }
        if new == 0 {
            return Ok(());
        }
    }
}

/// Whether the threads of this process can be found.
pub(super) fn can_be_found() -> bool {
    offset_of_list().is_ok()
}

/// Where in a thread's descriptor its list is, from the thread pointer.
fn offset_of_list() -> io::Result<u64> {
    let offset = robust_list(0)?.wrapping_sub(machine::thread_pointer());
    // A descriptor begins at the thread pointer (variant II); it has a few kilobytes.
    if offset >= 1 << 16 {
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
unsafe fn write(address: u64, bytes: &[u8]) -> io::Result<()> {
    let local = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let pointer: *mut u8 = std::ptr::with_exposed_provenance_mut(address as usize);
    let remote = libc::iovec { iov_base: pointer.cast(), iov_len: bytes.len() };
    // SAFETY: the local bytes are ours; the caller answers for the remote ones, which are of this process.
    let written = unsafe { libc::process_vm_writev(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0) };
    if written >= 0 {
        return Ok(());
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::EFAULT) => Ok(()),
        // Forbidden here: the thread was there a moment ago.
        _ => {
            // SAFETY: the caller's promise.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), pointer, bytes.len()) };
            Ok(())
        }
    }
}
