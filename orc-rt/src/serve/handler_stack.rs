//! A stack for signal handlers, for each thread that runs code of the user: one that has used up its own can still tell.
//!
//! `unsafe` because it is the system's, by address.
#![allow(unsafe_code)]

use rustix::mm::{MapFlags, ProtFlags};
use std::cell::Cell;
use std::ptr;

/// The unwinder needs some.
const STACK: usize = 64 << 10;

/// Gives the calling thread a stack for handlers, so that one that has used up its own can still tell.
pub(crate) fn prepare_thread() {
    thread_local! { static PREPARED: Cell<bool> = const { Cell::new(false) } }
    if PREPARED.replace(true) {
        return;
    }
    let flags = MapFlags::PRIVATE;
    // SAFETY: a new mapping; it stays, since a handler may run until the thread's last moment.
    let stack =
        unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), STACK, ProtFlags::READ | ProtFlags::WRITE, flags) };
    // Without memory for it, handlers run on the thread's own stack.
    let Ok(stack) = stack else { return };
    let stack = libc::stack_t { ss_sp: stack, ss_flags: 0, ss_size: STACK };
    // SAFETY: the memory is ours, mapped for good, and of the size said.
    unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) };
}
