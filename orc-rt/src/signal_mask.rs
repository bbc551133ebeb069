//! Which signals a thread takes: what is sent to the process goes to any thread that does not hold it back, and threads of ours are none of the program's.
//!
//! A mask is inherited by threads that are started meanwhile. **Not here:** dispositions, which are the program's.
//!
//! `unsafe` because masks are the system's.
#![allow(unsafe_code)]

use crate::crash::SIGNALS;
use std::fmt;

/// The signals that a thread holds back.
#[derive(Clone, Copy)]
pub(crate) struct Mask(libc::sigset_t);

impl Mask {
    /// This thread's.
    pub(crate) fn current() -> Self {
        // SAFETY: a set of signals is plain data; asks only.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut set);
            Self(set)
        }
    }

    /// Makes it this thread's. Gives the one of before.
    pub(crate) fn set(self) -> Self {
        // SAFETY: sets of signals are plain data, and the new one was filled by the system.
        unsafe {
            let mut before = std::mem::zeroed();
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, &mut before);
            Self(before)
        }
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: asks only.
        let held = |signal: &i32| unsafe { libc::sigismember(&raw const self.0, *signal) == 1 };
        f.debug_set().entries((1..=64).filter(held)).finish()
    }
}

/// While it lives the thread has another mask than before.
#[derive(Debug)]
pub(crate) struct Held(Mask);

impl Held {
    /// All signals are held back.
    pub(crate) fn all() -> Self {
        Self::all_but(&[])
    }

    /// All signals are held back but those that instructions of this thread cause.
    pub(crate) fn what_is_sent() -> Self {
        Self::all_but(&SIGNALS)
    }

    /// The mask is this one.
    pub(crate) fn as_in(mask: Mask) -> Self {
        Self(mask.set())
    }

    fn all_but(signals: &[i32]) -> Self {
        // SAFETY: the set is plain data, and filled before it is used.
        let mask = unsafe {
            let mut all = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            for signal in signals {
                libc::sigdelset(&raw mut all, *signal);
            }
            Mask(all)
        };
        Self::as_in(mask)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.set();
    }
}
