//! The end of a process, which a program may bring about from any depth.
//!
//! `unsafe` because the C library is handed a function to call.
#![allow(unsafe_code)]

/// Has `last` called when the process ends by `exit`, after every handler of the program that runs in it: those came later. Nothing happens when the
/// C library has no memory for it.
pub(super) fn at_exit(last: extern "C" fn()) {
    // SAFETY: the function takes nothing, returns nothing, and is never unloaded: it is the command's own.
    unsafe { libc::atexit(last) };
}
