//! A range of address space that this process owns, and what its pages may do.
//!
//! `unsafe` because a change of protection or contents under somebody's feet is undefined behaviour: [`Pages`] makes sure that only
//! addresses of its own mapping are ever changed; that nobody else uses these pages at that time is the caller's promise.
#![allow(unsafe_code)]

use crate::memory::Prot;
use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr;

/// One anonymous private mapping, unmapped when dropped. Fresh pages are inaccessible and cost nothing.
#[derive(Debug)]
pub(crate) struct Pages {
    base: u64,
    size: u64,
}

impl Pages {
    /// Maps `size` bytes exactly at `base`, or fails with `EEXIST` when something is there.
    pub(crate) fn reserve_at(base: u64, size: u64) -> io::Result<Self> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED_NOREPLACE;
        // SAFETY: FIXED_NOREPLACE never replaces a mapping; a kernel that does not know the flag takes the address as a hint only.
        let got = unsafe {
            rustix::mm::mmap_anonymous(
                ptr::without_provenance_mut(base as usize),
                size as usize,
                ProtFlags::empty(),
                flags,
            )?
        };
        let pages = Self { base: got as u64, size };
        if pages.base == base { Ok(pages) } else { Err(io::Error::from_raw_os_error(libc::EEXIST)) }
    }

    /// Maps `size` bytes wherever the system likes, at a multiple of `align`.
    pub(crate) fn reserve_anywhere(size: u64, align: u64) -> io::Result<Self> {
        let slack = align.saturating_sub(super::page_size());
        let total = size.checked_add(slack).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        let got =
            unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), total as usize, ProtFlags::empty(), flags)? } as u64;
        let base = got.next_multiple_of(align);
        for part in [got..base, base + size..got + total] {
            if !part.is_empty() {
                // SAFETY: the part belongs to the mapping just made, and nobody has seen its address.
                // Failing to trim only wastes address space, so the result does not matter.
                let _ = unsafe {
                    rustix::mm::munmap(
                        ptr::without_provenance_mut(part.start as usize),
                        (part.end - part.start) as usize,
                    )
                };
            }
        }
        Ok(Self { base, size })
    }

    /// Puts the pages of `file` from `offset` on in place of the fresh ones, inaccessible like these. What is written to them stays this
    /// process's own.
    pub(crate) fn back_with(&self, file: impl AsFd, offset: u64) -> io::Result<()> {
        // SAFETY: the range is our own mapping, just made: nobody has used its pages yet.
        unsafe {
            rustix::mm::mmap(
                ptr::with_exposed_provenance_mut(self.base as usize),
                self.size as usize,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED,
                file,
                offset,
            )?;
        }
        Ok(())
    }

    /// First address.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// Length in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    fn check(&self, range: &Range<u64>) {
        assert!(
            self.base <= range.start && range.start <= range.end && range.end <= self.base + self.size,
            "{range:#x?} is not of this mapping"
        );
    }

    /// Sets what the pages of `range` may do; empty `prot` makes them inaccessible.
    ///
    /// # Safety
    /// Nobody uses the pages of `range` in a way that `prot` forbids.
    pub(crate) unsafe fn protect(&self, range: Range<u64>, prot: Prot) -> io::Result<()> {
        self.check(&range);
        assert!(!prot.contains(Prot::WRITE | Prot::EXEC), "no page is writable and executable");
        let mut flags = MprotectFlags::empty();
        flags.set(MprotectFlags::READ, prot.contains(Prot::READ));
        flags.set(MprotectFlags::WRITE, prot.contains(Prot::WRITE));
        flags.set(MprotectFlags::EXEC, prot.contains(Prot::EXEC));
        // SAFETY: the range lies in our mapping (checked), and the caller answers for its users.
        unsafe {
            rustix::mm::mprotect(
                ptr::with_exposed_provenance_mut(range.start as usize),
                (range.end - range.start) as usize,
                flags,
            )?;
        }
        Ok(())
    }

    /// Puts fresh pages in place of those of `range`, or those of a file from an offset on, privately.
    ///
    /// # Safety
    /// Nobody uses the pages of `range`, or what is put there holds the same bytes and may be used as before.
    pub(crate) unsafe fn replace(
        &self,
        range: Range<u64>,
        prot: Prot,
        file: Option<(BorrowedFd<'_>, u64)>,
    ) -> io::Result<()> {
        self.check(&range);
        assert!(!prot.contains(Prot::WRITE), "what is replaced is not writable");
        let mut flags = ProtFlags::empty();
        flags.set(ProtFlags::READ, prot.contains(Prot::READ));
        flags.set(ProtFlags::EXEC, prot.contains(Prot::EXEC));
        let how = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED;
        let (start, size) =
            (ptr::with_exposed_provenance_mut(range.start as usize), (range.end - range.start) as usize);
        // SAFETY: the range lies in our mapping (checked), and the caller answers for its users.
        unsafe {
            match file {
                Some((file, offset)) => rustix::mm::mmap(start, size, flags, how, file, offset)?,
                None => rustix::mm::mmap_anonymous(start, size, flags, how)?,
            };
        }
        Ok(())
    }

    /// Drops what this process has written to `range`: it reads as zero afterwards, or as what the file behind it holds.
    ///
    /// # Safety
    /// Nobody uses the pages of `range`.
    pub(crate) unsafe fn discard(&self, range: Range<u64>) -> io::Result<()> {
        self.check(&range);
        // SAFETY: the range lies in our mapping (checked), and the caller says that its contents are nobody's.
        unsafe { advise(range, Advice::LinuxDontNeed) }
    }

    /// Asks for huge pages in `range`. Only advice: a refusal changes nothing.
    pub(crate) fn prefer_huge(&self, range: Range<u64>) {
        self.check(&range);
        // SAFETY: the advice changes how pages are backed, never what they hold.
        let _ = unsafe { advise(range, Advice::LinuxHugepage) };
    }

    /// Brings the writable pages of `range` in with one call, which halves the price of touching them one by one.
    /// Only advice: a kernel before 5.14 refuses and nothing changes.
    pub(crate) fn populate(&self, range: Range<u64>) {
        self.check(&range);
        // SAFETY: populating triggers the faults that writing would, and changes no content.
        let _ = unsafe { advise(range, Advice::LinuxPopulateWrite) };
    }
}

/// # Safety
/// As the advice demands; see the callers.
unsafe fn advise(range: Range<u64>, advice: Advice) -> io::Result<()> {
    // SAFETY: forwarded to the caller.
    unsafe {
        rustix::mm::madvise(
            ptr::with_exposed_provenance_mut(range.start as usize),
            (range.end - range.start) as usize,
            advice,
        )?;
    }
    Ok(())
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours alone and this is its last user. A failure would leak address space, nothing worse.
        let _ = unsafe { rustix::mm::munmap(ptr::with_exposed_provenance_mut(self.base as usize), self.size as usize) };
    }
}
