//! A range of address space that this process owns, and what its pages may do.
//!
//! `unsafe` because a change of protection or contents under somebody's feet is undefined behaviour: [`Pages`] makes sure that only
//! addresses of its own mapping are ever changed; that nobody else uses these pages at that time is the caller's promise.
#![allow(unsafe_code)]

use super::code::{self, CodeFile, NotExecutable};
use crate::memory::Prot;
use crate::sync::Arc;
use crate::sync::leaf::Mutex;
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
    /// Code goes to a file whether or not the process may do without.
    dual: bool,
    /// Where code has gone, if it had to.
    code: Mutex<Option<Arc<CodeFile>>>,
}

impl Pages {
    fn new(base: u64, size: u64) -> Self {
        Self { base, size, dual: false, code: Mutex::new(None) }
    }

    /// From now on code is run from a file, without trying what the process may do.
    pub(crate) fn map_code_twice(&mut self) {
        self.dual = true;
    }

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
        let pages = Self::new(got as u64, size);
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
        Ok(Self::new(base, size))
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

    /// # Panics
    /// When the range is not all of this mapping's.
    pub(super) fn check(&self, range: &Range<u64>) {
        assert!(
            self.base <= range.start && range.start <= range.end && range.end <= self.base + self.size,
            "{range:#x?} is not of this mapping"
        );
    }

    /// Sets what the pages of `range` may do; empty `prot` makes them inaccessible. For code there is [`execute`](Self::execute).
    ///
    /// # Safety
    /// Nobody uses the pages of `range` in a way that `prot` forbids.
    pub(crate) unsafe fn protect(&self, range: Range<u64>, prot: Prot) -> io::Result<()> {
        self.check(&range);
        assert!(!prot.contains(Prot::EXEC), "code has another way");
        let mut flags = MprotectFlags::empty();
        flags.set(MprotectFlags::READ, prot.contains(Prot::READ));
        flags.set(MprotectFlags::WRITE, prot.contains(Prot::WRITE));
        // SAFETY: the caller's promise.
        unsafe { self.set(range, flags) }
    }

    /// # Safety
    /// As for [`protect`](Self::protect), and the flags are not those of writable code.
    unsafe fn set(&self, range: Range<u64>, flags: MprotectFlags) -> io::Result<()> {
        self.check(&range);
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

    /// Makes the pages of `range` readable and executable, with the contents that they have, and no longer writable. Where the process is denied the change, the
    /// contents go to pages of a file ([`code`]).
    ///
    /// # Safety
    /// Nobody uses the pages of `range`, which are readable.
    pub(crate) unsafe fn execute(&self, range: Range<u64>) -> Result<(), NotExecutable> {
        self.check(&range);
        // SAFETY: the caller's promise.
        let tried = unsafe { self.try_execute(&range)? };
        if tried == Tried::Done {
            return Ok(());
        }
        let offset = range.start - self.base;
        // SAFETY: the range lies in our mapping (checked), and the caller says that nobody uses it.
        unsafe { self.code_file()?.take_over(range, offset)? };
        if tried == Tried::Denied {
            code::note_denial();
        }
        Ok(())
    }

    /// The same for pages that are those of `file` from `offset` on, mapped as `sharing` says. They stay its pages.
    ///
    /// # Safety
    /// Nobody uses the pages of `range`, and this process has not written to them.
    pub(crate) unsafe fn execute_file(
        &self,
        range: Range<u64>,
        file: impl AsFd,
        offset: u64,
        sharing: Sharing,
    ) -> Result<(), NotExecutable> {
        self.check(&range);
        // SAFETY: the caller's promise.
        let tried = unsafe { self.try_execute(&range)? };
        if tried == Tried::Done {
            return Ok(());
        }
        // SAFETY: the range lies in our mapping (checked), and the pages are the same ones.
        unsafe { code::map_over(range, file, offset, sharing.flags()) }.map_err(|source| NotExecutable::Map {
            doing: "mapping the pages of shared memory readable and executable (mmap)",
            source: source.into(),
        })?;
        if tried == Tried::Denied {
            code::note_denial();
        }
        Ok(())
    }

    /// Changes the protection, unless that is known to be denied.
    ///
    /// # Safety
    /// As for [`execute`](Self::execute).
    unsafe fn try_execute(&self, range: &Range<u64>) -> Result<Tried, NotExecutable> {
        if self.dual || code::is_denied() {
            return Ok(Tried::Not);
        }
        // SAFETY: the caller's promise.
        match unsafe { self.set(range.clone(), MprotectFlags::READ | MprotectFlags::EXEC) } {
            Ok(()) => Ok(Tried::Done),
            Err(error) if code::is_denial(&error) => Ok(Tried::Denied),
            Err(error) => Err(NotExecutable::Protect(error)),
        }
    }

    /// The file for code that becomes final now.
    fn code_file(&self) -> Result<Arc<CodeFile>, NotExecutable> {
        let mut code = self.code.lock();
        if let Some(file) = code.as_ref().filter(|file| !file.is_shared()) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(CodeFile::new(self.size)?);
        *code = Some(Arc::clone(&file));
        Ok(file)
    }

    fn has_code_file(&self) -> bool {
        self.code.lock().is_some()
    }

    /// Makes the pages of `range` writable that may have been code. Says whether they are zero now.
    ///
    /// # Safety
    /// Nobody uses the pages of `range`, and no file is behind it but that of [`execute`](Self::execute).
    pub(crate) unsafe fn reopen(&self, range: Range<u64>) -> io::Result<bool> {
        self.check(&range);
        if !self.has_code_file() {
            // SAFETY: the caller's promise.
            unsafe { self.protect(range, Prot::READ | Prot::WRITE)? };
            return Ok(false);
        }
        // SAFETY: the range lies in our mapping (checked), and the caller says that its contents are nobody's.
        unsafe { map_fresh(range, ProtFlags::READ | ProtFlags::WRITE)? };
        Ok(true)
    }

    /// Makes it impossible to change protection, place or contents of `range` by system calls, until the process ends (mseal(2), Linux 6.10).
    pub(crate) fn seal(&self, range: Range<u64>) -> io::Result<()> {
        self.check(&range);
        // SAFETY: a call with three numbers, which changes nothing that could be read or written.
        let done = unsafe { libc::syscall(MSEAL, range.start, range.end - range.start, 0_u64) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Frees the pages of `range` and makes it inaccessible, whatever it was.
    ///
    /// # Safety
    /// As for [`reopen`](Self::reopen).
    pub(crate) unsafe fn close(&self, range: Range<u64>) -> io::Result<()> {
        self.check(&range);
        if !self.has_code_file() {
            // SAFETY: the caller's promise.
            return unsafe { self.discard(range.clone()).and_then(|()| self.protect(range, Prot::empty())) };
        }
        // SAFETY: as in `reopen`.
        unsafe { map_fresh(range.clone(), ProtFlags::empty())? };
        // What a forked child may still run goes with the last mapping of its file.
        let _ = self.free_code(&range);
        Ok(())
    }

    /// Drops what this process has written to `range`: it reads as zero afterwards, or as what the file behind it holds.
    ///
    /// # Safety
    /// Nobody uses the pages of `range`.
    pub(crate) unsafe fn discard(&self, range: Range<u64>) -> io::Result<()> {
        self.check(&range);
        // SAFETY: the range lies in our mapping (checked), and the caller says that its contents are nobody's.
        unsafe { advise(range.clone(), Advice::LinuxDontNeed)? };
        self.free_code(&range)
    }

    /// Frees what of `range` is in the file of [`execute`](Self::execute).
    fn free_code(&self, range: &Range<u64>) -> io::Result<()> {
        let code = self.code.lock();
        code.as_ref().map_or(Ok(()), |file| file.free(range.start - self.base..range.end - self.base))
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

/// mseal(2): one number on every machine.
const MSEAL: libc::c_long = 462;

/// What became of a change of protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tried {
    Done,
    Denied,
    /// It is known to be denied, or not wanted.
    Not,
}

/// Who sees what is written to the pages of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    Private,
    Shared,
}

impl Sharing {
    fn flags(self) -> MapFlags {
        match self {
            Self::Private => MapFlags::PRIVATE | MapFlags::NORESERVE,
            Self::Shared => MapFlags::SHARED | MapFlags::NORESERVE,
        }
    }
}

/// Puts zeroed anonymous pages in place of those of `range`.
///
/// # Safety
/// The range is the caller's own, and nobody uses its pages.
unsafe fn map_fresh(range: Range<u64>, prot: ProtFlags) -> io::Result<()> {
    let at = ptr::with_exposed_provenance_mut(range.start as usize);
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED;
    // SAFETY: the caller's promise.
    unsafe { rustix::mm::mmap_anonymous(at, (range.end - range.start) as usize, prot, flags)? };
    Ok(())
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
        // SAFETY: the mapping is ours alone and this is its last user. A failure leaks what it maps; so it is with sealed pages.
        let _ = unsafe { rustix::mm::munmap(ptr::with_exposed_provenance_mut(self.base as usize), self.size as usize) };
    }
}
