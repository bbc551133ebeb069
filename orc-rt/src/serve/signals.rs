//! What signals do to a process of an executor.
//!
//! `unsafe` because dispositions belong to the whole process; each is set before there are threads.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a program expects to find: Rust's runtime ignores SIGPIPE, and whoever started us may ignore what comes from a terminal.
pub(super) fn as_a_program_expects() {
    for signal in [libc::SIGPIPE, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGHUP, libc::SIGCHLD] {
        set(signal, libc::SIG_DFL);
    }
    // SAFETY: the set is initialized before it is used. Whoever started us may hold signals back, for itself.
    unsafe {
        let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
    }
}

/// What is sent to the whole group is the worker's: a supervisor outlives it.
pub(super) fn leave_to_the_worker() {
    for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGHUP, libc::SIGPIPE] {
        set(signal, libc::SIG_IGN);
    }
}

/// Makes `signal` end the process that gets it, whatever was set before.
pub(super) fn make_deadly(signal: c_int) {
    set(signal, libc::SIG_DFL);
}

fn set(signal: c_int, disposition: libc::sighandler_t) {
    // SAFETY: neither of the two dispositions installs a handler, and nothing here relies on the old one.
    unsafe { libc::signal(signal, disposition) };
}

/// Becomes true when one of these signals asks the process to end; what waits is interrupted.
pub(super) fn asked_to_end(by: &[c_int]) -> &'static AtomicBool {
    static ASKED: AtomicBool = AtomicBool::new(false);
    extern "C" fn ask(_signal: c_int) {
        ASKED.store(true, Ordering::SeqCst);
    }
    for &signal in by {
        // SAFETY: all zero is a valid action, without SA_RESTART so that waiting is interrupted; the handler only stores to an atomic.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = ask as *const () as usize;
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
    }
    &ASKED
}
