//! Which files a sandboxed process may open: a Landlock ruleset.
//!
//! What a program needs of the system in order to run at all is allowed for reading; the rest is what the user names.

use super::error::{Part, SandboxError};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, RestrictionStatus, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// What every program may read, if it is there, and why.
pub(super) const SYSTEM: &[(&str, &str)] = &[
    ("/lib", "shared libraries"),
    ("/lib32", "shared libraries"),
    ("/lib64", "shared libraries, the dynamic loader"),
    ("/usr/lib", "shared libraries, locales, character sets"),
    ("/usr/lib32", "shared libraries"),
    ("/usr/lib64", "shared libraries"),
    ("/usr/local/lib", "shared libraries"),
    ("/etc/ld.so.cache", "where the dynamic loader finds them"),
    ("/etc/localtime", "the time zone"),
    ("/usr/share/zoneinfo", "time zones"),
    ("/dev/null", "nothing, also for writing"),
    ("/dev/zero", "zeros"),
    ("/dev/random", "random numbers"),
    ("/dev/urandom", "random numbers"),
    ("/proc/cpuinfo", "what the processor can do"),
    ("/proc/meminfo", "how much memory there is"),
    ("/proc/sys/vm/overcommit_memory", "asked by malloc"),
    ("/sys/devices/system/cpu", "how many processors there are"),
    (OWN, "its own mappings, threads and descriptors"),
];

/// The one that is written too.
const NOTHING: &str = "/dev/null";
/// The folder of this process; a rule is tied to what it is when the sandbox is entered.
const OWN: &str = "/proc/self";

/// The newest rights that are asked for. Without those that came after V1, the filter of calls closes the gap.
const RIGHTS: ABI = ABI::V5;

/// A ruleset that is ready.
#[derive(Debug)]
pub(super) struct Files {
    ruleset: RulesetCreated,
    /// The kernel forgets folders of `/proc` that nobody uses, and a new one would not be the allowed one.
    own: Option<OwnedFd>,
}

/// What Landlock does beyond files.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Restricted {
    /// Whether it limits files at all.
    pub(super) files: bool,
    /// Truncation is seen.
    pub(super) truncation: bool,
    /// Signals stay inside.
    pub(super) signals: bool,
}

impl Files {
    /// Opens what is to be allowed. Nothing is limited yet.
    ///
    /// # Errors
    /// A path of the user's cannot be opened; the kernel lacks Landlock and `best_effort` is off.
    pub(super) fn new(read: &[PathBuf], write: &[PathBuf], best_effort: bool) -> Result<Self, SandboxError> {
        let needed = if best_effort { CompatLevel::BestEffort } else { CompatLevel::HardRequirement };
        let ruleset = Ruleset::default()
            .set_compatibility(needed)
            .handle_access(AccessFs::from_all(ABI::V1))
            .map_err(unsupported)?
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(RIGHTS))
            .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(RIGHTS)))
            .and_then(|ruleset| ruleset.scope(Scope::from_all(ABI::V6)))
            .and_then(Ruleset::create)
            .map_err(unsupported)?;
        let mut files = Self { ruleset, own: None };
        for (path, _) in SYSTEM {
            let path = Path::new(path);
            match open(path) {
                Ok(descriptor) if path == Path::new(OWN) => {
                    files.allow(path, &descriptor, reading())?;
                    files.own = Some(descriptor);
                }
                Ok(descriptor) if path == Path::new(NOTHING) => {
                    files.allow(path, &descriptor, reading() | AccessFs::WriteFile | AccessFs::Truncate)?;
                }
                Ok(descriptor) => files.allow(path, &descriptor, reading())?,
                // Systems differ in what they have.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => {}
                Err(errno) => return Err(refused(path)(errno)),
            }
        }
        for path in read {
            files.allow(path, &open(path).map_err(refused(path))?, reading())?;
        }
        for path in write {
            files.allow(path, &open(path).map_err(refused(path))?, reading() | writing())?;
        }
        Ok(files)
    }

    fn allow(&mut self, path: &Path, descriptor: &OwnedFd, access: BitFlags<AccessFs>) -> Result<(), SandboxError> {
        let stat = rustix::fs::fstat(descriptor).map_err(refused(path))?;
        let folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let access = if folder { access } else { access & AccessFs::from_file(RIGHTS) };
        let added = (&mut self.ruleset).add_rule(PathBeneath::new(descriptor, access));
        added.map(drop).map_err(|error| SandboxError::Path { path: path.to_owned(), source: io::Error::other(error) })
    }

    /// Limits the calling thread and all that it starts, for good.
    pub(super) fn restrict(self) -> Result<Restricted, SandboxError> {
        let RestrictionStatus { ruleset, landlock, .. } = self.ruleset.restrict_self().map_err(unsupported)?;
        if ruleset == RulesetStatus::NotEnforced {
            return Ok(Restricted::default());
        }
        if let Some(own) = self.own {
            // Held until the process ends.
            let _ = own.into_raw_fd();
        }
        let abi = ABI::from(landlock);
        Ok(Restricted { files: true, truncation: abi >= ABI::V3, signals: abi >= ABI::V6 })
    }
}

fn reading() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::ReadDir
}

/// Not among them: devices and sockets.
fn writing() -> BitFlags<AccessFs> {
    AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSym
        | AccessFs::MakeFifo
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer
}

fn open(path: &Path) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

fn refused(path: &Path) -> impl FnOnce(Errno) -> SandboxError {
    move |errno| SandboxError::Path { path: path.to_owned(), source: errno.into() }
}

fn unsupported(error: landlock::RulesetError) -> SandboxError {
    SandboxError::Unsupported { part: Part::Files, source: Box::new(error) }
}
