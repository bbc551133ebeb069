//! Memory whose contents the controller writes through a file in shared memory, as LLVM's `SharedMemoryMapper` does.
//!
//! You give a reserved range; you get the name of a file that is mapped there, inaccessible at first. LLVM's controller opens the file with shm_open(3),
//! maps it writable on its side and unlinks it; if it never comes so far, it is unlinked here. No page of this process is writable and executable.
//!
//! `unsafe` because a mapping is replaced.
#![allow(unsafe_code)]

use rustix::mm::{MapFlags, ProtFlags};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where shm_open(3) has its files (glibc and musl on Linux).
const FOLDER: &str = "/dev/shm";
/// Names that others may have taken already.
const TRIES: usize = 16;

/// A file in shared memory; unlinked when dropped, if nobody has yet.
#[derive(Debug)]
pub(super) struct SharedFile {
    /// As shm_open(3) takes it.
    name: String,
    file: File,
}

impl SharedFile {
    /// A new file of `size` bytes, mapped at `base`.
    ///
    /// # Safety
    /// The range is reserved by the caller alone, and nobody uses it.
    pub(super) unsafe fn map_over(base: u64, size: u64) -> io::Result<Self> {
        let shared = Self::create()?;
        shared.file.set_len(size)?;
        let flags = MapFlags::SHARED | MapFlags::FIXED | MapFlags::NORESERVE;
        let at = std::ptr::with_exposed_provenance_mut(base as usize);
        // SAFETY: the caller's promise.
        unsafe { rustix::mm::mmap(at, size as usize, ProtFlags::empty(), flags, &shared.file, 0)? };
        Ok(shared)
    }

    fn create() -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let mut failure = io::Error::from(io::ErrorKind::AlreadyExists);
        for _ in 0..TRIES {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("/orc-executor-{}-{number}", std::process::id());
            match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path(&name)) {
                Ok(file) => return Ok(Self { name, file }),
                Err(error) => {
                    if error.kind() != io::ErrorKind::AlreadyExists {
                        return Err(error);
                    }
                    failure = error;
                }
            }
        }
        Err(failure)
    }

    /// As shm_open(3) takes it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The file itself.
    pub(super) fn file(&self) -> &File {
        &self.file
    }
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(format!("{FOLDER}{name}"))
}

impl Drop for SharedFile {
    fn drop(&mut self) {
        // The controller has usually unlinked it.
        let _ = fs::remove_file(path(&self.name));
    }
}
