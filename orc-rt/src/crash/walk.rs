//! The return addresses on the stack of a thread that a signal has interrupted, from that thread's handler.
//!
//! The unwinder walks; it reads what it finds on a stack that may be damaged. A handler that is called again meanwhile, by a fault of the walk itself, calls [`abandon`], and
//! [`walk`] returns with what it has. Not for threads that are somewhere else.
//!
//! `unsafe` because registers and stacks are changed, by address, and because the unwinder is C's.
#![allow(unsafe_code)]

use super::{Note, this_thread};
use crate::machine::signal as interrupted;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

unsafe extern "C" {
    fn _Unwind_Backtrace(each: unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int, argument: *mut c_void)
    -> c_int;
    fn _Unwind_GetIP(context: *mut c_void) -> usize;
}

/// The thread that walks, 0 for none. One walks at a time.
static WALKER: AtomicI32 = AtomicI32::new(0);
/// Where its stack goes on when it is to give up.
static BACK: AtomicU64 = AtomicU64::new(0);

struct Walk<'a> {
    note: &'a Note,
    context: *mut c_void,
    /// The address at which the interrupted frames begin, behind those of the handler.
    first: u64,
    begun: bool,
}

/// Adds the interrupted instruction to `note`, and the return addresses from there on.
///
/// # Safety
/// Called by the handler of a signal that `note` was filled for, with the `context` that the kernel has passed, and by one thread at a time.
pub(crate) unsafe fn walk(note: &Note, context: *mut c_void) {
    let (signal, _, address, instruction) = note.facts();
    note.push(instruction);
    let mut walk = Walk { note, context, first: instruction, begun: false };
    // SAFETY: the caller's promise.
    let before = unsafe { interrupted::registers(context) };
    // A call through a pointer to no code: the stack is still the caller's, but for the return address. The unwinder finds the interrupted registers in the kernel's frame,
    // which is this context.
    let is_call_to_nowhere = address == instruction && matches!(signal, libc::SIGSEGV | libc::SIGBUS);
    WALKER.store(this_thread(), Ordering::SeqCst);
    // SAFETY: `begin` gets just this argument, and is over when this returns, one way or the other.
    unsafe {
        let begin = if is_call_to_nowhere { from_caller } else { from_here };
        interrupted::guarded(begin, (&raw mut walk).cast(), &BACK);
    }
    WALKER.store(0, Ordering::SeqCst);
    if is_call_to_nowhere {
        // SAFETY: the caller's promise; these are what was there before.
        unsafe { interrupted::set_registers(context, before) };
    }
}

/// Has the walk of this thread return at once when the handler that was called with `context` does, if there is one.
///
/// # Safety
/// Called by a handler with the context that the kernel has passed.
pub(crate) unsafe fn abandon(context: *mut c_void) -> bool {
    if WALKER.load(Ordering::SeqCst) != this_thread() {
        return false;
    }
    WALKER.store(0, Ordering::SeqCst);
    let back = BACK.load(Ordering::SeqCst);
    // SAFETY: the caller's promise. `guarded` has not returned: its frame, to which `back` leads, is there.
    unsafe { interrupted::set_registers(context, (interrupted::leave_guarded as *const () as u64, back)) };
    true
}

/// # Safety
/// `argument` is a `Walk` that nobody else uses.
unsafe extern "C" fn from_here(argument: *mut c_void) {
    // SAFETY: `each` gets just this argument, and takes it for what it is.
    unsafe { _Unwind_Backtrace(each, argument) };
}

/// # Safety
/// As [`from_here`]; the interrupted instruction was called and has not begun.
unsafe extern "C" fn from_caller(argument: *mut c_void) {
    // SAFETY: the caller's promise. A stack that cannot be read ends the walk, as any fault does.
    unsafe {
        let walk = &mut *argument.cast::<Walk<'_>>();
        let (caller, stack) = interrupted::caller(walk.context);
        interrupted::set_registers(walk.context, (caller, stack));
        walk.first = caller;
        from_here(argument);
    }
}

/// # Safety
/// Called by the unwinder with a context of its own and what it was given, a `Walk`.
unsafe extern "C" fn each(context: *mut c_void, argument: *mut c_void) -> c_int {
    const GO_ON: c_int = 0;
    const STOP: c_int = 4;
    // SAFETY: the caller's promise.
    let (walk, ip) = unsafe { (&mut *argument.cast::<Walk<'_>>(), _Unwind_GetIP(context) as u64) };
    if !walk.begun {
        walk.begun = ip == walk.first;
        let is_noted = walk.note.frames().last() == Some(ip);
        if !walk.begun || is_noted {
            return GO_ON;
        }
    }
    if walk.note.push(ip) && ip != 0 { GO_ON } else { STOP }
}
