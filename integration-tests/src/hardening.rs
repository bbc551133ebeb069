//! Processes that are denied to make executable what was writable.
//!
//! You give a hardening; you get the words that start a program so. It stays over exec: it is set by a small program, `hardened`, that becomes the one that is wanted.
//!
//! Not for native programs: they are linked ahead of time, and the oracle.

use crate::Failure;
use std::env;
use std::ffi::OsString;

/// How a process is denied it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hardening {
    /// prctl(PR_SET_MDWE): Linux 6.3.
    Mdwe,
    /// A seccomp filter as systemd's `MemoryDenyWriteExecute` has it: mprotect(2) with PROT_EXEC fails, and mmap(2) with PROT_WRITE and PROT_EXEC.
    Filter,
}

impl Hardening {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Mdwe, Self::Filter];

    /// As `ORC_EXECUTORS`, messages and the program `hardened` name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mdwe => "mdwe",
            Self::Filter => "filter",
        }
    }

    /// The words to put before a program's.
    ///
    /// # Errors
    /// This test does not know where it stands: cargo builds the program `hardened` beside it.
    pub fn words(self) -> Result<[OsString; 2], Failure> {
        let this = env::current_exe().map_err(|error| format!("this test's own path: {error}"))?;
        let program = this.ancestors().nth(2).map(|profile| profile.join("hardened"));
        match program.filter(|program| program.is_file()) {
            Some(program) => Ok([program.into(), self.name().into()]),
            None => Err(format!("{}: no program `hardened` in the folder above", this.display())),
        }
    }
}
