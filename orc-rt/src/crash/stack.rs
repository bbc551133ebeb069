//! A stack for signal handlers, for each thread that runs code of the user: one that has used up its own can still tell.
//!
//! `unsafe` because it is the system's, by address.
#![allow(unsafe_code)]

use rustix::mm::{MapFlags, ProtFlags};
use std::cell::OnceCell;
use std::ffi::c_void;
use std::ptr;

/// The unwinder needs some.
const SIZE: usize = 64 << 10;

/// A mapping whose first page is never touched: what is beyond the end shows.
struct HandlerStack(*mut c_void);

/// Gives the calling thread a stack for handlers until it ends, unless it has one that is as large.
pub(crate) fn prepare_thread() {
    thread_local! { static OWN: OnceCell<Option<HandlerStack>> = const { OnceCell::new() } }
    // A thread that is about to end needs none.
    let _ = OWN.try_with(|own| own.get_or_init(HandlerStack::new).is_some());
}

/// The stack for handlers that the calling thread has.
fn current() -> libc::stack_t {
    let mut stack = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: 0, ss_size: 0 };
    // SAFETY: asks only.
    unsafe { libc::sigaltstack(ptr::null(), &raw mut stack) };
    stack
}

impl HandlerStack {
    /// Without memory for it, handlers run on the thread's own stack.
    fn new() -> Option<Self> {
        let current = current();
        if current.ss_flags & libc::SS_DISABLE == 0 && current.ss_size >= SIZE {
            return None;
        }
        let guard = crate::sys::page_size() as usize;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start =
            unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), guard + SIZE, ProtFlags::empty(), MapFlags::PRIVATE) };
        let own = Self(start.ok()?);
        let stack = own.0.wrapping_byte_add(guard);
        // SAFETY: the pages are ours, and nobody knows them yet.
        unsafe {
            rustix::mm::mprotect(stack, SIZE, rustix::mm::MprotectFlags::READ | rustix::mm::MprotectFlags::WRITE)
        }
        .ok()?;
        let stack = libc::stack_t { ss_sp: stack, ss_flags: 0, ss_size: SIZE };
        // SAFETY: the memory is ours, of the size said, and stays until the thread ends.
        (unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) } == 0).then_some(own)
    }
}

impl Drop for HandlerStack {
    fn drop(&mut self) {
        let guard = crate::sys::page_size() as usize;
        let current = current();
        if current.ss_flags & libc::SS_ONSTACK != 0 {
            // The thread ends in a handler, on this stack.
            return;
        }
        if current.ss_sp == self.0.wrapping_byte_add(guard) {
            let none = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
            // SAFETY: handlers of what is left of this thread run on its own stack.
            unsafe { libc::sigaltstack(&raw const none, ptr::null_mut()) };
        }
        // SAFETY: mapped by `new` in this size; no handler runs there (asked above), and none will.
        let _ = unsafe { rustix::mm::munmap(self.0, guard + SIZE) };
    }
}

#[cfg(test)]
mod tests {
    use super::{SIZE, current, prepare_thread};

    #[test]
    fn a_thread_has_it_until_it_ends() {
        let (first, second) = std::thread::spawn(|| {
            prepare_thread();
            let first = current();
            prepare_thread();
            ((first.ss_sp.addr(), first.ss_size), (current().ss_sp.addr(), current().ss_flags))
        })
        .join()
        .expect("it ends well");
        assert_eq!(first.1, SIZE);
        assert_eq!((first.0, 0), second, "one for each thread");
        let mapped = std::fs::read_to_string("/proc/self/maps").expect("readable");
        assert!(!mapped.contains(&format!("{:x}-", first.0)), "given back");
    }
}
