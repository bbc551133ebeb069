//! Why a process could not be put into its sandbox.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// What a sandbox is made of, and what may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Part {
    /// Which files may be read and written: Landlock.
    Files,
    /// Which system calls may be made: seccomp. Network, programs and devices are denied by this.
    Calls,
    /// How many processes may run: `RLIMIT_NPROC`, which does not bind root.
    Processes,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Files => "the limits of files (Landlock: Linux 5.13 built with CONFIG_SECURITY_LANDLOCK, `landlock` among the security modules of the boot option `lsm=`)",
            Self::Calls => "the limits of system calls (seccomp filters: a kernel built with CONFIG_SECCOMP_FILTER)",
            Self::Processes => "the limit of processes (RLIMIT_NPROC does not bind root: run as another user)",
        })
    }
}

/// Why a process could not be put into its sandbox.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// There are other threads, which Landlock would leave as they are.
    #[error(
        "{count} threads run already; a sandbox covers the thread that enters it and those that it starts, so enter before any other is started"
    )]
    Threads {
        /// How many, with the calling one.
        count: usize,
    },
    /// An open socket can send to whoever it names, and no filter can look at the name.
    #[error(
        "descriptor {descriptor} is a {kind} socket, which can send to any address; close it before the sandbox is entered, or pass a connected stream"
    )]
    Socket {
        /// Its number.
        descriptor: i32,
        /// Its domain and type.
        kind: String,
    },
    /// A path that is to be allowed cannot be opened.
    #[error("{} cannot be allowed: {source}; what is to be allowed must be there (for files that are yet to be made, allow their folder)", path.display())]
    Path {
        /// As it was given.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The system lacks a part, and best effort was not asked for.
    #[error("this system does not give {part}: {source}")]
    Unsupported {
        /// The part.
        part: Part,
        /// What was tried.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// More is in use than the limit allows.
    #[error("the limit of memory is {limit} bytes, and {used} are in use already")]
    Memory {
        /// What was asked for, in bytes.
        limit: u64,
        /// What this process has, in bytes.
        used: u64,
    },
    /// The system refuses something that it has.
    #[error("{what}: {source}")]
    System {
        /// What was being done.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

impl SandboxError {
    pub(super) fn system(what: &'static str) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |errno| Self::System { what, source: errno.into() }
    }
}
