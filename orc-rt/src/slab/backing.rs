//! A file whose pages are the slab's: the controller, in another process, writes what runs here.
//!
//! You give a descriptor of shared memory; you get windows of it, one for each arena. Both sides map the same pages, the other side to write,
//! this one to run, so that no page is writable and executable in one process. What this side writes to its data stays its own:
//! its mapping is private, as that of a program's file is, and a forked child does not write to its parent's variables.
//! It is not for talking: what is in the file is read when it is final, and not before.

use super::runs::FreeRuns;
use crate::sync::Arc;
use crate::sync::leaf::Mutex;
use rustix::fs::{FallocateFlags, fallocate};
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;

/// Shared memory, and which of it no window has.
#[derive(Debug)]
pub(super) struct Backing {
    file: OwnedFd,
    page: u64,
    free: Mutex<FreeRuns>,
}

/// A part of the file, given back when dropped.
#[derive(Debug)]
pub(super) struct Window {
    backing: Arc<Backing>,
    range: Range<u64>,
}

impl Backing {
    /// The first `size` bytes of `file`.
    pub(super) fn new(file: OwnedFd, size: u64, page: u64) -> Self {
        let pages = u32::try_from(size / page).unwrap_or(u32::MAX);
        Self { file, page, free: Mutex::new(FreeRuns::new(pages)) }
    }

    /// A window of `size` bytes, a multiple of the page.
    ///
    /// # Errors
    /// The file has no room left.
    pub(super) fn window(self: &Arc<Self>, size: u64) -> io::Result<Window> {
        let pages = u32::try_from(size / self.page).ok();
        let first = pages.and_then(|pages| self.free.lock().take(pages, 1, 0));
        let first =
            first.ok_or_else(|| io::Error::other("the memory that is shared with the controller is used up"))?;
        let start = u64::from(first) * self.page;
        Ok(Window { backing: Arc::clone(self), range: start..start + size })
    }
}

impl Window {
    /// The file.
    pub(super) fn file(&self) -> &OwnedFd {
        &self.backing.file
    }

    /// Where it begins in the file.
    pub(super) fn offset(&self) -> u64 {
        self.range.start
    }

    /// Frees the pages behind `range`, which is relative to the window; they read as zero afterwards, on both sides.
    pub(super) fn discard(&self, range: Range<u64>) -> io::Result<()> {
        let start = self.range.start + range.start;
        fallocate(self.file(), FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, start, range.end - range.start)?;
        Ok(())
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // A hole that cannot be made would show old bytes to the next window: then this part of the file is not used again.
        if self.discard(0..self.range.end - self.range.start).is_ok() {
            let page = self.backing.page;
            let (first, pages) = (self.range.start / page, (self.range.end - self.range.start) / page);
            self.backing.free.lock().give(first as u32, pages as u32);
        }
    }
}
