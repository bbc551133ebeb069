//! Waits of the executor's threads that last: who hears of them.
//!
//! **You give** a function; **you get** each [`WaitReport`] of the session's executor, whichever process that is, with functions named as in the
//! source. **Not here:** what is a wait, and for whom ([`orc_rt::waits`]).

use crate::executor::Executor;
use crate::session::Session;
use orc_rt::{WaitHook, WaitReport};
use std::io::Write as _;
use std::sync::Arc;

impl<E: Executor> Session<E> {
    /// Whom to tell of waits that last ([`SessionOptions::report_waits`](crate::SessionOptions::report_waits)), instead of standard error: who waits for what, who has it, what that
    /// thread runs and what it waits for itself; at the end, that it is over. Called on a thread that waits, or on one that hears what the
    /// executor says: it should not open or close anything.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), orc_jit::Error> {
    /// let session = orc_jit::Session::in_process()?;
    /// session.on_wait(|report| eprintln!("{} threads in the way: {report}", report.holders.len()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_wait(&self, hook: impl Fn(&WaitReport) + Send + Sync + 'static) {
        self.shared.executor.on_wait(Arc::new(move |report| hook(&with_names_as_written(report))));
    }
}

/// Functions are named as in the source.
fn with_names_as_written(report: &WaitReport) -> WaitReport {
    let mut report = report.clone();
    for (_, name) in report.holders.iter_mut().filter_map(|holder| holder.function.as_mut()) {
        *name = crate::diagnose::demangle(name).into_owned();
    }
    report
}

/// Where waits are told unless somebody wants to hear of them.
pub(crate) fn on_standard_error() -> WaitHook {
    // A standard error that is gone cannot be told of that.
    Arc::new(|report| drop(writeln!(std::io::stderr(), "{}", with_names_as_written(report))))
}
