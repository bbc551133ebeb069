//! Pages that are written at one address and used at another: a file in memory that is mapped twice.
//!
//! You give a range of [`Pages`], in which code and read-only data will lie. They are the file's pages from then on, executable or readable as they will stay; the same pages
//! are mapped once more, elsewhere, to be written. So nothing has to change when code is final, and no system call is made for it. The price is that memory that
//! runs can be written by whoever finds the other address: see [`Slab::with_writable_view`](crate::memory::Slab::with_writable_view), which is the only way to come here.
//!
//! A forked child shares the pages, and may run what is there. So a view that a fork has seen is written no more ([`View::is_shared`]).
//!
//! `unsafe` because mappings are replaced and made.
#![allow(unsafe_code)]

use super::code::{CodeFile, NotExecutable};
use super::pages::Pages;
use rustix::mm::{MapFlags, ProtFlags};
use std::ops::Range;

/// The second mapping; unmapped when dropped.
#[derive(Debug)]
pub(crate) struct View {
    file: CodeFile,
    /// Where the pages are used.
    used: Range<u64>,
    /// Where they are written.
    written: u64,
}

impl View {
    /// Puts the pages of a new file over the fresh ones of `code` and of `read_only`, which follows it.
    ///
    /// # Errors
    /// The system makes no such file, or does not map it executable.
    pub(crate) fn over(pages: &Pages, code: Range<u64>, read_only: Range<u64>) -> Result<Self, NotExecutable> {
        let used = code.start..read_only.end;
        let size = used.end - used.start;
        let file = CodeFile::new(size)?;
        let failed = NotExecutable::map("mapping a file in memory twice (mmap)");
        let flags = MapFlags::SHARED | MapFlags::NORESERVE;
        for (range, prot) in [(&code, ProtFlags::READ | ProtFlags::EXEC), (&read_only, ProtFlags::READ)] {
            pages.check(range);
            let at = std::ptr::with_exposed_provenance_mut(range.start as usize);
            let (length, offset) = ((range.end - range.start) as usize, range.start - used.start);
            // SAFETY: the range lies in a mapping that was just made (checked): nobody has used its pages.
            unsafe { rustix::mm::mmap(at, length, prot, flags | MapFlags::FIXED, file.as_fd(), offset) }
                .map_err(&failed)?;
        }
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        let written = unsafe { rustix::mm::mmap(std::ptr::null_mut(), size as usize, prot, flags, file.as_fd(), 0) };
        let written = written.map_err(failed)?.expose_provenance() as u64;
        Ok(Self { file, used, written })
    }

    /// Maps the pages of `range`, which is code that nobody uses, once more where they are.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn map_anew(&self, pages: &Pages, range: &Range<u64>) -> std::io::Result<()> {
        pages.check(range);
        let offset = range.start - self.used.start;
        // SAFETY: the range lies in the caller's mapping (checked), and the pages are the same ones.
        unsafe {
            super::code::map_over(range.clone(), self.file.as_fd(), offset, MapFlags::SHARED | MapFlags::NORESERVE)?;
        };
        Ok(())
    }

    /// Where the byte that is used at `address` is written, if it is one of these pages.
    pub(crate) fn written_at(&self, address: u64) -> Option<u64> {
        self.used.contains(&address).then(|| self.written + (address - self.used.start))
    }

    /// Whether another process may use the pages.
    pub(crate) fn is_shared(&self) -> bool {
        self.file.is_shared()
    }

    /// Frees the pages of `range`, where they are used; they read as zero afterwards.
    ///
    /// # Errors
    /// Another process may use them, or the system refuses.
    pub(crate) fn free(&self, range: &Range<u64>) -> std::io::Result<()> {
        self.file.free(range.start - self.used.start..range.end - self.used.start)
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let at = std::ptr::with_exposed_provenance_mut(self.written as usize);
        // SAFETY: the mapping is ours alone, and this is its last user. A failure leaks it.
        let _ = unsafe { rustix::mm::munmap(at, (self.used.end - self.used.start) as usize) };
    }
}
