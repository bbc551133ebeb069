//! Processes that are denied to make executable what was writable, and the ways in which trials are run.
//!
//! You give a kind of executor and a hardening; you get the words that start a program so. `ORC_EXECUTORS` names ways as `in-process`, `spawn+mdwe`,
//! `unix+filter`; with `+lazy` behind it functions are linked when they are first called; behind `+cache` everything runs twice, and the second run takes from the image cache what the first one has linked. The hardening stays over exec: it is set by a small program, `hardened`, that becomes the one that is wanted.
//!
//! Not for native programs: they are linked ahead of time, and the oracle.

use crate::Failure;
use crate::executor::Kind;
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

/// A way to run a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Way {
    /// Through which executor.
    pub kind: Kind,
    /// In a process like this; none is an ordinary one. `orc` and its executor both are.
    pub hardening: Option<Hardening>,
    /// Twice, with an image cache that is empty at first.
    pub cache: bool,
    /// Functions are linked when they are first called (`--lazy`).
    pub lazy: bool,
}

impl Way {
    /// Those that are tried when nobody says which: every executor as it is, and a hardened process.
    #[must_use]
    pub fn usual() -> Vec<Self> {
        let plain = Kind::ALL.into_iter().map(Self::from);
        let in_process = Self::from(Kind::InProcess);
        let hardened = Self { hardening: Some(Hardening::Mdwe), ..in_process };
        plain.chain([hardened, Self { cache: true, ..in_process }, Self { lazy: true, ..in_process }]).collect()
    }

    /// Reads names between commas and spaces.
    ///
    /// # Errors
    /// A name that is none, or no name at all.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, Failure> {
        let ways = text.split([',', ' ']).filter(|name| !name.is_empty()).map(Self::parse);
        let ways = ways.collect::<Result<Vec<_>, _>>()?;
        if ways.is_empty() { Err("names no executor".into()) } else { Ok(ways) }
    }

    fn parse(name: &str) -> Result<Self, Failure> {
        let (name, cache) = name.strip_suffix("+cache").map_or((name, false), |rest| (rest, true));
        let (name, lazy) = name.strip_suffix("+lazy").map_or((name, false), |rest| (rest, true));
        let (kind, hardening) = name.split_once('+').map_or((name, None), |(kind, hardening)| (kind, Some(hardening)));
        let known = |name: &str| {
            let found = Hardening::ALL.into_iter().find(|hardening| hardening.name() == name);
            found.ok_or_else(|| format!("`+{name}` is none of +mdwe, +filter, +lazy, +cache"))
        };
        let hardening = hardening.map(known).transpose()?;
        let mut kinds = Kind::parse_list(kind)?.into_iter();
        Ok(Self { kind: kinds.next().ok_or("names no executor")?, hardening, cache, lazy })
    }

    /// The ways that `ORC_EXECUTORS` names; the usual ones, when it is not set.
    ///
    /// # Errors
    /// A name that is none.
    pub fn wanted() -> Result<Vec<Self>, Failure> {
        match env::var("ORC_EXECUTORS") {
            Ok(names) => Self::parse_list(&names).map_err(|why| format!("ORC_EXECUTORS: {why}")),
            Err(env::VarError::NotPresent) => Ok(Self::usual()),
            Err(error) => Err(format!("ORC_EXECUTORS: {error}")),
        }
    }
}

impl From<Kind> for Way {
    fn from(kind: Kind) -> Self {
        Self { kind, hardening: None, cache: false, lazy: false }
    }
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind.name())?;
        self.hardening.map_or(Ok(()), |hardening| write!(f, "+{}", hardening.name()))?;
        f.write_str(if self.lazy { "+lazy" } else { "" })?;
        f.write_str(if self.cache { "+cache" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::{Hardening, Kind, Way};

    #[test]
    fn ways_are_executors_with_or_without_a_hardening() {
        let way = |kind, hardening| Way { kind, hardening, cache: false, lazy: false };
        let read = Way::parse_list(
            "in-process, spawn+mdwe tcp+filter unix+cache exec+mdwe+cache in-process+lazy spawn+mdwe+lazy",
        );
        let expected = [
            way(Kind::InProcess, None),
            way(Kind::Spawn, Some(Hardening::Mdwe)),
            way(Kind::Tcp, Some(Hardening::Filter)),
            Way { cache: true, ..way(Kind::Unix, None) },
            Way { cache: true, ..way(Kind::Exec, Some(Hardening::Mdwe)) },
            Way { lazy: true, ..way(Kind::InProcess, None) },
            Way { lazy: true, ..way(Kind::Spawn, Some(Hardening::Mdwe)) },
        ];
        assert_eq!(read, Ok(expected.to_vec()));
        assert!(expected.iter().all(|way| Way::parse_list(&way.to_string()) == Ok(vec![*way])));
        for wrong in ["", "+mdwe", "spawn+", "spawn+selinux", "remote+mdwe", "spawn+cache+mdwe", "spawn+lazy+mdwe"] {
            assert!(Way::parse_list(wrong).is_err(), "{wrong:?}");
        }
    }
}
