//! Signals as a program expects to find them.
//!
//! `unsafe` because dispositions belong to the whole process.
#![allow(unsafe_code)]

/// Rust's runtime ignores SIGPIPE; a program that writes into a closed pipe expects to end, as it would have natively.
pub(crate) fn restore_defaults() {
    // It also takes two others to tell of a full stack, and then lets a program go on that has raised one of them.
    for signal in [libc::SIGPIPE, libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: SIG_DFL installs no handler, and orc has started no thread that could rely on the old disposition.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}
