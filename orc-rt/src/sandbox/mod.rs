//! A sandbox for the code that this process runs: seccomp, Landlock and resource limits, entered once and for good.
//!
//! You give a [`Sandbox`] what may be read and written and how much may be used; [`Sandbox::enter`] puts this process into it. Not for parts of a
//! process, and no protection of the controller from what it is told.
//!
//! ```no_run
//! use orc_rt::sandbox::Sandbox;
//! use std::time::Duration;
//!
//! let sandbox = Sandbox::new().allow_read("/usr/share/dict").max_memory(1 << 30).max_cpu(Duration::from_secs(60));
//! let entered = sandbox.enter()?;
//! assert!(entered.not_enforced().is_empty());
//! assert!(std::net::TcpListener::bind("127.0.0.1:0").is_err());
//! # Ok::<(), orc_rt::sandbox::SandboxError>(())
//! ```
#![doc = include_str!("../../SANDBOX.md")]

pub(crate) mod calls;
mod error;
mod files;
mod filter;
mod limits;
mod state;

pub use error::{Part, SandboxError};

use files::Files;
use filter::Policy;
use limits::{Limits, Wanted};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// Room for reserved addresses beyond the limit of memory, unless told otherwise: 4 GiB, eight arenas of this crate's slab.
pub const DEFAULT_ADDRESS_SPACE: u64 = 4 << 30;

/// What executed code may do; everything that is not allowed here or in the tables above is denied.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a sandbox has no effect before it is entered"]
pub struct Sandbox {
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
    memory: Option<u64>,
    address_space: u64,
    cpu: Option<Duration>,
    processes: Option<u32>,
    best_effort: bool,
}

/// A sandbox that this process is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    not_enforced: Vec<Part>,
}

impl Entered {
    /// What the system lacks. Empty unless [`Sandbox::best_effort`] was asked for.
    #[must_use]
    pub fn not_enforced(&self) -> &[Part] {
        &self.not_enforced
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Sandbox {
    /// Allows no files but the system's libraries, no further process, and as much memory and time as the system gives.
    pub fn new() -> Self {
        Self {
            read: Vec::new(),
            write: Vec::new(),
            memory: None,
            address_space: DEFAULT_ADDRESS_SPACE,
            cpu: None,
            processes: None,
            best_effort: false,
        }
    }

    /// Allows to read a file, or a folder and all below it. Symbolic links are followed when the sandbox is entered.
    pub fn allow_read(mut self, path: impl Into<PathBuf>) -> Self {
        self.read.push(path.into());
        self
    }

    /// Allows to read and write a file, or to read, write, make, rename and remove everything below a folder, but devices and sockets.
    pub fn allow_write(mut self, path: impl Into<PathBuf>) -> Self {
        self.write.push(path.into());
        self
    }

    /// Bounds memory that is written to, in bytes, with what the process has already. An allocation beyond it fails as at the end of memory. What
    /// this counts, and what it does not, is told above.
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// With [`max_memory`](Self::max_memory): addresses in bytes that may be reserved or mapped beyond it, [`DEFAULT_ADDRESS_SPACE`] at first. The limit
    /// that no trick passes is the sum of both.
    pub fn address_space(mut self, bytes: u64) -> Self {
        self.address_space = bytes;
        self
    }

    /// Bounds the processor time of all threads together from now on, rounded up to seconds: SIGXCPU, a second later SIGKILL.
    pub fn max_cpu(mut self, time: Duration) -> Self {
        self.cpu = Some(time);
        self
    }

    /// Allows `fork`, and bounds how many processes and threads there may be besides those that this user has when the sandbox is entered. Every
    /// process has the other limits for itself.
    pub fn max_processes(mut self, count: u32) -> Self {
        self.processes = Some(count);
        self
    }

    /// Goes without what the system lacks; [`Entered::not_enforced`] tells what that is. Processes stay forbidden where they cannot be bounded.
    pub fn best_effort(mut self) -> Self {
        self.best_effort = true;
        self
    }

    /// Puts this process, all its threads and children to come into the sandbox, for good.
    ///
    /// Open descriptors stay open and usable: close what executed code is not to have.
    ///
    /// # Errors
    /// This is not the only thread; a socket is open that can send to anybody; a path cannot be allowed; more memory is in use than allowed; the system
    /// lacks a part and best effort was not asked for. Parts may be in force then, and cannot be taken back: end the process.
    pub fn enter(&self) -> Result<Entered, SandboxError> {
        let mut not_enforced = Vec::new();
        state::only_thread()?;
        state::sockets_are_connections()?;
        let processes = match self.processes.map(|count| limits::can_limit_processes().map(|()| count)).transpose() {
            Err(_) if self.best_effort => {
                not_enforced.push(Part::Processes);
                None
            }
            other => other?,
        };
        let Self { memory, address_space, cpu, best_effort, .. } = *self;
        let limits = Limits::new(&Wanted { memory, address_space, cpu, processes })?;
        let files = Files::new(&self.read, &self.write, best_effort)?;
        // What is done once, in files and memory that are out of reach then.
        let _ = rustix::param::page_size();
        crate::unwind::prepare();
        limits.set()?;
        limits::give_up_privileges()?;
        let restricted = files.restrict()?;
        if !restricted.files {
            not_enforced.push(Part::Files);
        }
        let policy = Policy {
            processes: processes.is_some(),
            signals_stay_inside: restricted.signals,
            truncation_is_seen: restricted.truncation,
            own: rustix::process::getpid().as_raw_pid().cast_unsigned(),
        };
        match filter::install(policy) {
            Err(SandboxError::Unsupported { part, .. }) if best_effort => not_enforced.push(part),
            other => other?,
        }
        Ok(Entered { not_enforced })
    }

    /// What is allowed, in words for people, a line each.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut out = String::from("network: none but open connections\nprograms: none can be started\n");
        let calls: BTreeSet<&str> = calls::allowed().map(|group| group.what).collect();
        let mut line = |what: &str, value: &dyn std::fmt::Display| {
            let _ = writeln!(out, "{what}: {value}");
        };
        line("system calls", &calls.into_iter().collect::<Vec<_>>().join("; "));
        let system: Vec<&str> = files::SYSTEM.iter().map(|(path, _)| *path).collect();
        line("read, where it is there", &system.join(" "));
        self.read.iter().for_each(|path| line("read", &path.display()));
        self.write.iter().for_each(|path| line("read and write", &path.display()));
        if self.write.is_empty() {
            line("write", &"nothing but /dev/null");
        }
        match self.memory {
            Some(bytes) => {
                let beyond = self.address_space;
                line("memory", &format_args!("{bytes} bytes, and {beyond} bytes of addresses beyond it"));
            }
            None => line("memory", &"not limited"),
        }
        match self.cpu {
            Some(time) => line("processor time", &format_args!("{} s", time.as_secs_f64().ceil().max(1.0))),
            None => line("processor time", &"not limited"),
        }
        match self.processes {
            Some(count) => line("processes and threads", &format_args!("{count} more than this user has")),
            None => line("processes", &"this one, with any number of threads"),
        }
        if self.best_effort {
            line("what the system lacks", &"is left out");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::{Sandbox, SandboxError};
    use std::time::Duration;

    #[test]
    fn the_description_names_what_was_allowed() {
        let sandbox = Sandbox::new().allow_read("/data").allow_write("/out").max_memory(1 << 20);
        let text = sandbox.max_cpu(Duration::from_millis(1500)).describe();
        for line in ["read: /data\n", "read and write: /out\n", "memory: 1048576 bytes", "processor time: 2 s\n"] {
            assert!(text.contains(line), "no {line:?} in {text}");
        }
        assert!(!text.contains("write: nothing"), "{text}");
    }

    #[test]
    fn a_process_with_threads_is_refused_and_stays_as_it_is() {
        // The test harness has threads.
        let refused = Sandbox::new().enter();
        assert!(matches!(refused, Err(SandboxError::Threads { count }) if count > 1), "{refused:?}");
        assert!(std::net::TcpListener::bind("127.0.0.1:0").is_ok());
    }
}
