//! Signals as a program expects to find them.
//!
//! `unsafe` because dispositions belong to the whole process.
#![allow(unsafe_code)]

/// Rust's runtime ignores SIGPIPE; a program that writes into a closed pipe expects to end, as it would have natively.
pub(crate) fn restore_defaults() {
    // SAFETY: SIG_DFL installs no handler, and orc has started no thread that could rely on the old disposition.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}
