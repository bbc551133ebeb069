//! Calls into what LLVM's controller has linked: programs, functions, wrapper functions of its runtime.
//!
//! Each call that arrives runs on a thread of its own, with the stack of a main thread, and the answer waits for that thread's end: destructors of
//! thread-local objects are code of the program, and have to run while it is there. (LLVM's own executor starts a thread for each call as well, but
//! answers before it has ended.) What the program has printed goes out before the answer, too: the controller does not wait for this process to end. An
//! exception that nobody catches ends the process with the C++ runtime's own words.
//!
//! LLVM 19's controller calls a program when the object of its `main` is final; those that it needs may still be on their way, and a call into them would end
//! the process. So a program begins when everything that was reserved is final: whatever it needs was reserved before, since its address is known.
//!
//! `unsafe` because functions are called by address.
#![allow(unsafe_code)]

use super::memory::Memory;
use crate::call::{self, Arguments};
use crate::context::Running;
use crate::run::as_a_program;
use crate::session::Session;
use crate::sync::Arc;
use crate::wrapper;
use dispatch::Reply;
use std::ffi::CString;
use std::thread::Builder;

/// What a main thread has if its limit says nothing.
const DEFAULT_STACK: u64 = 8 << 20;
/// The most that is taken where there is no limit; stacks are mapped at once and filled at need.
const LARGEST_STACK: u64 = 1 << 30;

/// Runs `body` on a thread of its own and waits for the end of both.
pub(super) fn on_a_thread<R: Send>(body: impl FnOnce() -> R + Send) -> Result<R, String> {
    std::thread::scope(|scope| {
        let thread = Builder::new().name("program".to_owned()).stack_size(stack_size());
        let thread = thread.spawn_scoped(scope, body).map_err(|error| format!("no thread for the program: {error}"))?;
        let result = thread.join().map_err(|_| "the call panicked".to_owned());
        flush();
        result
    })
}

/// `fflush(stdout)`
fn flush() {
    unsafe extern "C" {
        static stdout: *mut libc::FILE;
    }
    // SAFETY: the C library's own stream, which is there from the start.
    unsafe { libc::fflush(stdout) };
}

/// The limit of a main thread's stack in bytes (getrlimit(2), RLIMIT_STACK).
fn stack_size() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Stack).current;
    limit.map_or(DEFAULT_STACK, |limit| limit.clamp(DEFAULT_STACK, LARGEST_STACK)) as usize
}

/// `int main(int, char **, char **)` at `function`.
pub(super) fn main(session: &Arc<Session>, memory: &Memory, function: u64, words: &[&[u8]]) -> Result<i64, String> {
    let words = words.iter().map(|word| CString::new(*word)).collect::<Result<Vec<_>, _>>();
    let words = words.map_err(|error| format!("an argument cannot be one in C: {error}"))?;
    inside(session, memory, function, || {
        // SAFETY: the controller says that this code is a `main`.
        i64::from(unsafe { call::main(function, Arguments::leak(&words)) })
    })
}

/// `int function(void)`.
pub(super) fn function(session: &Arc<Session>, memory: &Memory, function: u64) -> Result<i32, String> {
    inside(session, memory, function, || {
        // SAFETY: the controller says that this code is such a function.
        let code = unsafe { std::mem::transmute::<usize, unsafe extern "C-unwind" fn() -> i32>(function as usize) };
        // SAFETY: as above.
        unsafe { code() }
    })
}

/// `int function(int)`.
pub(super) fn int_function(session: &Arc<Session>, memory: &Memory, function: u64, value: i32) -> Result<i32, String> {
    inside(session, memory, function, || {
        // SAFETY: the controller says that this code is such a function.
        let code = unsafe { std::mem::transmute::<usize, unsafe extern "C-unwind" fn(i32) -> i32>(function as usize) };
        // SAFETY: as above.
        unsafe { code(value) }
    })
}

/// A wrapper function of linked code; `None` if there is no code at `function`.
pub(super) fn wrapper(session: &Arc<Session>, memory: &Memory, function: u64, args: &[u8]) -> Option<Reply> {
    let _inside = memory.enter(function)?;
    let _running = Running::enter(session, None);
    // SAFETY: the controller says that this code is a wrapper function; its memory stays while `_inside` lives.
    Some(as_a_program(|| unsafe { wrapper::call(function, args) }))
}

fn inside<R>(session: &Arc<Session>, memory: &Memory, function: u64, body: impl FnOnce() -> R) -> Result<R, String> {
    memory.settle();
    let entered = memory.enter(function);
    let _inside = entered.ok_or_else(|| format!("there is no code of this controller at {function:#x}"))?;
    let _running = Running::enter(session, None);
    Ok(as_a_program(body))
}
