//! How a session links: what is chosen once, when it is made.

use crate::cache::Cache;
use orc_rt::Watchers;
use orc_rt::waits::REPORT_WAITS;
use std::num::NonZeroUsize;
use std::time::Duration;

/// How a session links.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Names that nobody defines are looked for in the executor's process.
    pub host_symbols: bool,
    /// What is linked is remembered for [`Session::link_map`](crate::Session::link_map).
    pub map: bool,
    /// A thread's wait for another thread's dylib, or for threads to leave one, is told when it has lasted so long, and again after each such time;
    /// zero: never. To whom: [`Session::on_wait`](crate::Session::on_wait).
    pub report_waits: Duration,
    /// Who is told of linked code besides: debuggers, profilers. By default whoever the environment names ([`Watchers::from_environment`]); a debugger that is
    /// attached is told in any case.
    pub watch: Watchers,
    /// Code that runs in this process and dies of a signal is told on standard error, with its callers, before the signal does what it does
    /// ([`crash`](mod@crate::crash)). Also set by `ORC_CRASH_REPORTS=1` in the environment. An executor elsewhere is told of in any case.
    pub crash_reports: bool,
    /// What backtraces of the process's own code need is kept, so that they have files and lines in frames of linked code: for
    /// [`orc_rt::names::show_to_process`]. Linked code that makes backtraces by itself needs nothing.
    pub backtraces: bool,
    /// Dylibs are linked lazily unless they say otherwise ([`JitDylib::link_lazily`](crate::JitDylib::link_lazily)).
    pub lazy: bool,
    /// Where linked images are kept for later sessions, of this process and of others ([`cache`](mod@crate::cache)).
    pub cache: Option<Cache>,
    /// How many threads may link at once, that of the caller among them; what comes out does not depend on it. `None`: one.
    /// Small links start none, and all have ended before linked code runs.
    pub jobs: Option<NonZeroUsize>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            host_symbols: true,
            map: false,
            report_waits: REPORT_WAITS,
            watch: Watchers::from_environment(),
            crash_reports: false,
            backtraces: false,
            lazy: false,
            cache: None,
            jobs: None,
        }
    }
}
