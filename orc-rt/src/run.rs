//! Running a program: its arguments, its `main`, its end.
//!
//! `main` runs on the calling thread. Its return does not end the program: call [`Session::end_program`] for what `exit` would do, or close the
//! dylib and let its handlers run then (rule 20).
//!
//! `unsafe` because an entry point is an address.
#![allow(unsafe_code)]

use crate::atexit::Backwards;
use crate::call::{self, Arguments};
use crate::context::{self, Running};
use crate::image;
use crate::session::Session;
use crate::sync::Arc;
use crate::waits::{Activity, Awaited, Holder, thread_name};
use dylib_graph::Run;
use std::ffi::CString;

/// Why a program could not be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// An argument that C cannot have.
    #[error("argument {index} holds a zero byte at offset {offset}, which no C string can")]
    ZeroByte {
        /// Which argument.
        index: usize,
        /// Where in it.
        offset: usize,
    },
    /// The entry point is not in executed code.
    #[error("the entry point {address:#x} lies in no image of this session")]
    NoCode {
        /// The address.
        address: u64,
    },
    /// The session was shut down.
    #[error("the session was shut down")]
    ShutDown,
}

impl Session {
    /// Sets what initializers and `main` get as `argc` and `argv`, with the program's name first. Without it they get those of this process.
    ///
    /// # Errors
    /// An argument holds a zero byte.
    pub fn set_arguments<A: Into<Vec<u8>>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<(), RunError> {
        let strings = arguments
            .into_iter()
            .enumerate()
            .map(|(index, text)| {
                CString::new(text).map_err(|error| RunError::ZeroByte { index, offset: error.nul_position() })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let mut current = self.arguments.lock();
        if current.1.is_none() || current.0 != strings {
            let arguments = Arguments::leak(&strings);
            *current = (strings, Some(arguments));
        }
        Ok(())
    }

    /// Calls `int main(int argc, char **argv, char **envp)` at `entry` on this thread and returns what it returns. Its dylib's
    /// memory stays for as long.
    ///
    /// # Errors
    /// The arguments or the address are no good; nothing ran then.
    ///
    /// # Safety
    /// There is such a function at `entry`, and its dylib is open.
    pub unsafe fn run_program<A: Into<Vec<u8>>>(
        self: &Arc<Self>,
        entry: u64,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<i32, RunError> {
        crate::crash::prepare_thread_if_asked();
        crate::unwind::verify();
        self.set_arguments(arguments)?;
        let dylib = self.dylib_at(entry).ok_or(RunError::NoCode { address: entry })?;
        let _inside = self.enter_at(entry, Activity::RunsProgram).ok_or(RunError::ShutDown)?;
        let _running = Running::enter(self, Some(dylib));
        let arguments = self.initializer_arguments();
        // SAFETY: the caller's promise.
        Ok(unsafe { call::main(entry, arguments) })
    }

    /// What `exit(status)` does before the process ends: every exit handler of the session, the latest first, then the finalizers of every
    /// dylib in the reverse order of initialization. Each of them runs once, also when a handler calls `exit` again.
    pub fn end_program(self: &Arc<Self>, status: i32) {
        self.become_the_one_that_exits();
        let _done = Exiting(self);
        // Thread-local objects of the thread that exits go first (C++ [basic.start.term]).
        crate::tls::run_destructors(self, |_| true);
        loop {
            self.run_handlers(&mut self.backwards_over_all(), 0, status);
            let runs = self.runs_to_finalize();
            if runs.is_empty() {
                return;
            }
            for (number, run) in runs {
                self.finalize(run, number);
                self.run_handlers(&mut self.backwards_over_all(), 0, status);
            }
        }
    }

    fn backwards_over_all(&self) -> Backwards {
        Backwards::over(self.lock().handlers.pending().map(|(dylib, _)| dylib).collect())
    }

    /// Runs whose finalizers are due, the latest first.
    fn runs_to_finalize(&self) -> Vec<(u64, Run)> {
        let state = self.lock();
        let runs = state.dylibs.iter().flat_map(|dylib| &dylib.runs);
        let mut due: Vec<_> = runs.filter(|done| !done.finalized).map(|done| (done.number, done.run)).collect();
        due.sort_unstable_by_key(|&(number, _)| std::cmp::Reverse(number));
        due
    }

    /// A second thread that calls `exit` waits for the first, as in C.
    fn become_the_one_that_exits(&self) {
        let visitor = context::visitor();
        let mut wait = None;
        let mut state = self.lock();
        while let Some(other) = state.exiting.filter(|&other| other != visitor) {
            let wait = wait.get_or_insert_with(|| self.waits.begin(visitor, Awaited::Exit, Vec::new()));
            state.wait(wait.left());
            if wait.is_due() {
                let holder = Holder { thread: thread_name(other), activity: Activity::Exits, ..Holder::default() };
                state.without(|| wait.report(|waits| vec![Holder { waits_for: waits.of(other), ..holder }]));
            }
        }
        state.exiting = Some(visitor);
    }
}

/// Lets others exit when this thread is through, be it by an exception.
struct Exiting<'a>(&'a Session);

impl Drop for Exiting<'_> {
    fn drop(&mut self) {
        self.0.lock().exiting = None;
        self.0.notify();
    }
}

/// Runs `body` below a frame that no exception passes: one that nobody catches ends the process with the C++ runtime's own words, as it would had the
/// program been started natively. Meant around everything that a command runs of a program, initializers included.
pub fn as_a_program<R>(body: impl FnOnce() -> R) -> R {
    let mut result = None;
    let mut body = Some(body);
    call::below_a_barrier(&mut || {
        if let Some(body) = body.take() {
            result = Some(body());
        }
    });
    result.expect("the barrier returns only after the body")
}

/// Whether code at `address` is executed code of any session.
pub fn is_executed_code(address: u64) -> bool {
    image::at(address).is_some()
}
