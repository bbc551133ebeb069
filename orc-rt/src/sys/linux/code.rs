//! Code in a process that is denied to make executable what was writable: PR_SET_MDWE, seccomp filters against mprotect(2) (systemd's
//! `MemoryDenyWriteExecute`), SELinux's `execmem`.
//!
//! You give the bytes of a range, at the place where they will run. They are copied into a file in memory, and the file's pages are mapped in their place, readable and
//! executable. So code has two homes, one that is written and one that is run, and they are never the same page: what is executable was never mapped
//! writable at any address, and the writable page is gone when the executable one comes.
//!
//! A forked child shares the pages of the file. So nothing is written to a file, nor freed in it, that a fork has seen: parent and child go on with new
//! ones. Forks are counted by pthread_atfork(3), hence not those of `_Fork` and clone(2).
//!
//! Not for processes that may change protections: they pay one call for that, and no copy.
//!
//! `unsafe` because mappings are replaced, and because the handler of forks is C's.
#![allow(unsafe_code)]

use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags};
use rustix::process::{Resource, getrlimit};
use std::ffi::{CStr, c_int};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Bytes that are in both homes at once: more is copied in steps.
const STEP: u64 = 16 << 20;

/// The process was refused to make executable what was writable. It stays so: neither PR_SET_MDWE nor a filter can be taken back.
static DENIED: AtomicBool = AtomicBool::new(false);

/// Forks that this process, or its ancestors since they are counted, have begun.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// Why pages are not executable.
#[derive(Debug)]
pub(crate) enum NotExecutable {
    /// Their protection cannot be changed.
    Protect(io::Error),
    /// That is denied, and they cannot be mapped from a file either.
    Map {
        /// What failed.
        doing: &'static str,
        source: io::Error,
    },
}

impl NotExecutable {
    pub(super) fn map(doing: &'static str) -> impl Fn(rustix::io::Errno) -> Self {
        move |error| Self::Map { doing, source: error.into() }
    }
}

/// Whether it is known that a change from writable to executable is denied, or the user says so: a filter may end the process instead of refusing.
pub(super) fn is_denied() -> bool {
    static SAID: OnceLock<bool> = OnceLock::new();
    let said = || std::env::var_os("ORC_DUAL_MAPPED").is_some_and(|value| !value.is_empty() && value != "0");
    DENIED.load(Ordering::Relaxed) || *SAID.get_or_init(said)
}

/// Whether `error` is how security policies refuse.
pub(super) fn is_denial(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EACCES | libc::EPERM))
}

/// From now on it is not tried any more.
pub(super) fn note_denial() {
    if !DENIED.swap(true, Ordering::Relaxed) {
        tracing::debug!("this process may not make executable what was writable: code is mapped from files in memory");
    }
}

/// Maps the pages of `file` from `offset` on over `range`, readable and executable.
///
/// # Safety
/// The range is the caller's own, and nobody uses its pages.
pub(super) unsafe fn map_over(
    range: Range<u64>,
    file: impl AsFd,
    offset: u64,
    how: MapFlags,
) -> rustix::io::Result<()> {
    let at = std::ptr::with_exposed_provenance_mut(range.start as usize);
    let flags = MapFlags::FIXED | MapFlags::POPULATE | how;
    let prot = ProtFlags::READ | ProtFlags::EXEC;
    // SAFETY: the caller's promise.
    unsafe { rustix::mm::mmap(at, (range.end - range.start) as usize, prot, flags, file, offset)? };
    Ok(())
}

/// An empty file that nobody can execute as a program; its pages can be mapped as they like. (`vm.memfd_noexec` of 2 allows no others.)
pub(crate) fn file_in_memory(name: &CStr) -> rustix::io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
        // Before Linux 6.3.
        Err(rustix::io::Errno::INVAL) => memfd_create(name, flags),
        other => other,
    }
}

/// The file that code of one reservation is run from. Its offsets are those in the reservation, so that code which lies together is one mapping.
#[derive(Debug)]
pub(super) struct CodeFile {
    file: OwnedFd,
    /// [`FORKS`] when it was made.
    forks: u64,
}

impl CodeFile {
    /// A sparse file of `size` bytes, which nobody can make smaller.
    pub(super) fn new(size: u64) -> Result<Self, NotExecutable> {
        count_forks()?;
        // Before the file is made: a fork in between is one too many, and only costs another file.
        let forks = FORKS.load(Ordering::Acquire);
        let limit = getrlimit(Resource::Fsize).current;
        if limit.is_some_and(|limit| limit < size) {
            // The system would answer with a signal.
            let source = io::Error::from_raw_os_error(libc::EFBIG);
            return Err(NotExecutable::Map { doing: "making a file in memory", source });
        }
        let file = file_in_memory(c"orc-code").map_err(NotExecutable::map("making a file in memory (memfd_create)"))?;
        ftruncate(&file, size).map_err(NotExecutable::map("giving the file its size"))?;
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        fcntl_add_seals(&file, seals).map_err(NotExecutable::map("sealing the file's size"))?;
        Ok(Self { file, forks })
    }

    /// The file itself.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Whether another process may run what is in it.
    pub(super) fn is_shared(&self) -> bool {
        self.forks != FORKS.load(Ordering::Acquire)
    }

    /// Moves the bytes of `range` to `offset` of the file, and maps them executable where they were.
    ///
    /// # Safety
    /// The range is the caller's own and readable, and nobody uses its pages.
    pub(super) unsafe fn take_over(&self, range: Range<u64>, offset: u64) -> Result<(), NotExecutable> {
        let mut start = range.start;
        while start < range.end {
            let part = start..range.end.min(start + STEP);
            let offset = offset + (start - range.start);
            let size = (part.end - part.start) as usize;
            let bytes = std::ptr::with_exposed_provenance::<u8>(part.start as usize);
            // SAFETY: readable, and nobody writes to it, says the caller.
            let mut rest = unsafe { std::slice::from_raw_parts(bytes, size) };
            while !rest.is_empty() {
                let at = offset + (size - rest.len()) as u64;
                let written = rustix::io::retry_on_intr(|| rustix::io::pwrite(&self.file, rest, at));
                rest = match written {
                    Ok(0) => Err(rustix::io::Errno::NOSPC),
                    other => other.map(|written| &rest[written..]),
                }
                .map_err(NotExecutable::map("copying code into a file in memory"))?;
            }
            start = part.end;
            // SAFETY: the caller's promise; the bytes are in the file.
            unsafe { map_over(part, &self.file, offset, MapFlags::PRIVATE) }
                .map_err(NotExecutable::map("mapping the file's pages readable and executable (mmap)"))?;
        }
        Ok(())
    }

    /// Frees the pages of `range`, relative to the file; they read as zero afterwards.
    ///
    /// # Errors
    /// Another process may run them, or the system refuses.
    pub(super) fn free(&self, range: Range<u64>) -> io::Result<()> {
        if self.is_shared() {
            return Err(io::Error::from(io::ErrorKind::ResourceBusy));
        }
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(fallocate(&self.file, flags, range.start, range.end - range.start)?)
    }
}

/// Sees to it that forks are counted from now on.
fn count_forks() -> Result<(), NotExecutable> {
    unsafe extern "C" {
        fn pthread_atfork(
            prepare: Option<extern "C" fn()>,
            parent: Option<extern "C" fn()>,
            child: Option<extern "C" fn()>,
        ) -> c_int;
    }
    /// Before the fork, so that both processes have the number.
    extern "C" fn prepare() {
        FORKS.fetch_add(1, Ordering::AcqRel);
    }
    static COUNTED: OnceLock<c_int> = OnceLock::new();
    // SAFETY: the handler is a function of this module that touches an atomic number and nothing else.
    match *COUNTED.get_or_init(|| unsafe { pthread_atfork(Some(prepare), None, None) }) {
        0 => Ok(()),
        error => Err(NotExecutable::Map {
            doing: "asking to be told of forks (pthread_atfork)",
            source: io::Error::from_raw_os_error(error),
        }),
    }
}
