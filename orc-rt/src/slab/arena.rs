//! One reserved address range, cut into stripes by permission, and the state of its pages.
//!
//! Pages of equal permission lie together, so neighbouring kernel mappings merge and their number stays small whatever the
//! number of allocations. A stripe knows for each page whether it is writable now and whether it may hold old bytes; a run is cleaned
//! when it is reused, not when it is freed, because zeroing costs a twentieth of a page fault.
//!
//! Where the process is denied to make executable what was writable, code leaves its page when it is final and is run from another one (`sys/linux/code.rs`);
//! a run that is taken again has fresh pages then.
//!
//! With a [`Backing`] the contents come from another process: pages of code and read-only data are then never writable here, and old bytes
//! are that process's to clean.
//!
//! With a [`View`] code and read-only data are as they will stay from the start, and are written at another address.
//!
//! `unsafe` because pages change protection and contents: only free pages do, or pages whose owner says that nobody uses them.
#![allow(unsafe_code)]

use super::backing::{Backing, Window};
use super::place;
use super::runs::FreeRuns;
use crate::memory::{MemoryError, Prot, Reach};
use crate::sync::Arc;
use crate::sync::leaf::Mutex;
use crate::sys::pages::{Pages, Sharing};
use crate::sys::{NotExecutable, View};
use smallvec::SmallVec;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;

/// What finalized pages may do; also the order of the stripes in an arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    Code,
    ReadOnly,
    Data,
}

/// Every class, by index.
pub(super) const CLASSES: [Class; 3] = [Class::Code, Class::ReadOnly, Class::Data];

impl Class {
    pub(super) fn of(prot: Prot) -> Self {
        if prot.contains(Prot::EXEC) {
            Self::Code
        } else if prot.contains(Prot::WRITE) {
            Self::Data
        } else {
            Self::ReadOnly
        }
    }

    pub(super) fn prot(self) -> Prot {
        match self {
            Self::Code => Prot::READ | Prot::EXEC,
            Self::ReadOnly => Prot::READ,
            Self::Data => Prot::READ | Prot::WRITE,
        }
    }
}

/// Eighths of an arena for each class.
const SHARES: [u64; 3] = [3, 2, 3];
/// Bytes that are made writable ahead of need: one call for many small allocations.
const AHEAD: u64 = 1 << 20;
/// Freed bytes per stripe that keep their pages for reuse; beyond it they go back to the system.
const KEPT: u64 = 16 << 20;
/// Freed runs of this size and more become inaccessible when their pages go back.
const CLOSED_FROM: u64 = 256 << 10;
/// Requests of this size and more get huge pages.
pub(super) const HUGE_FROM: u64 = 4 << 20;
/// Size of a huge page.
pub(super) const HUGE: u64 = 2 << 20;

/// The page is readable and writable now.
const WRITABLE: u8 = 1;
/// The page may hold bytes that are not zero.
const DIRTY: u8 = 2;
/// The page is one of a file that says what code it is.
const COVERED: u8 = 4;

/// Pages of one class that belong to one reservation.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) class: Class,
    pub(super) range: Range<u64>,
}

/// A run fresh from [`Arena::take`].
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) run: Run,
    /// Parts that hold old bytes, by address.
    pub(super) dirty: SmallVec<[Range<u64>; 2]>,
}

/// What is behind the pages of an arena.
#[derive(Debug, Clone, Copy)]
pub(super) struct Behind<'a> {
    /// The file that another process writes to.
    pub(super) file: Option<&'a Arc<Backing>>,
    /// Code is run from other pages than it is written to, whatever the process may do.
    pub(super) dual: bool,
    /// Code and read-only data of small requests are written at another address than they are used.
    pub(super) view: bool,
}

/// Size and alignment of a run that is wanted, in bytes; the size is a multiple of the page, the alignment at least a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Want {
    pub(super) class: Class,
    pub(super) size: u64,
    pub(super) align: u64,
}

#[derive(Debug)]
struct Stripe {
    class: Class,
    range: Range<u64>,
    free: FreeRuns,
    /// One entry per page from the start of the stripe; the pages beyond were never used and are inaccessible.
    state: Vec<u8>,
    /// Pages that are free and `DIRTY`.
    kept: u32,
    /// Pages in use.
    used: u32,
}

/// A reserved range. `stripes` is empty when the range serves one request alone.
#[derive(Debug)]
pub(super) struct Arena {
    /// Before the window, so that nothing is mapped any more when that goes back.
    pages: Pages,
    window: Option<Window>,
    view: Option<View>,
    page: u64,
    stripes: Mutex<Vec<Stripe>>,
}

impl Arena {
    /// Reserves an arena for many requests.
    pub(super) fn striped(size: u64, page: u64, reach: Reach, behind: Behind<'_>) -> Result<Self, MemoryError> {
        let (pages, window) = reserve(size, HUGE.max(page), reach, behind)?;
        let mut start = pages.base();
        let mut stripes = Vec::with_capacity(CLASSES.len());
        for (class, share) in CLASSES.into_iter().zip(SHARES) {
            let range = start..start + size / 8 * share;
            start = range.end;
            let total = ((range.end - range.start) / page) as u32;
            stripes.push(Stripe { class, range, free: FreeRuns::new(total), state: Vec::new(), kept: 0, used: 0 });
        }
        let view = match &stripes[..] {
            [code, read_only, _] if behind.view => {
                let (address, size) = (code.range.start, read_only.range.end - code.range.start);
                let view = View::over(&pages, code.range.clone(), read_only.range.clone());
                Some(view.map_err(|error| not_executable(error, address, size))?)
            }
            _ => None,
        };
        Ok(Self { pages, window, view, page, stripes: Mutex::new(stripes) })
    }

    /// Reserves a range of its own for one request and makes it writable.
    pub(super) fn whole(
        wants: &[Want],
        page: u64,
        reach: Reach,
        behind: Behind<'_>,
    ) -> Result<(Self, Vec<Taken>), MemoryError> {
        let mut size = 0u64;
        let mut align = page;
        let mut offsets: SmallVec<[u64; 3]> = SmallVec::new();
        for want in wants {
            size = size.next_multiple_of(want.align);
            offsets.push(size);
            size += want.size;
            align = align.max(want.align);
        }
        let (pages, window) = reserve(size, align, reach, behind)?;
        let base = pages.base();
        let mut taken = Vec::with_capacity(wants.len());
        for (want, offset) in wants.iter().zip(offsets) {
            let range = base + offset..base + offset + want.size;
            let written = if window.is_some() { Written::ByAnother } else { Written::Here };
            if is_written_here(want.class, written) {
                make_writable(&pages, range.clone())?;
            }
            advise_huge(&pages, &range);
            taken.push(Taken { run: Run { class: want.class, range }, dirty: SmallVec::new() });
        }
        Ok((Self { pages, window, view: None, page, stripes: Mutex::new(Vec::new()) }, taken))
    }

    /// Takes one writable run for each want, or `None` when a stripe has no room.
    ///
    /// # Errors
    /// The system refuses to make the pages writable. Nothing is taken then.
    pub(super) fn take(&self, wants: &[Want]) -> Result<Option<Vec<Taken>>, MemoryError> {
        if self.view.as_ref().is_some_and(View::is_shared) {
            // Another process may run what was written here, whoever has freed it in this one.
            return Ok(None);
        }
        let mut stripes = self.stripes.lock();
        let mut taken = Vec::with_capacity(wants.len());
        let mut failure = None;
        for want in wants {
            let Some(stripe) = stripes.get_mut(want.class as usize) else {
                return Ok(None);
            };
            match stripe.take(&self.pages, self.behind(), self.page, want) {
                Ok(Some(run)) => taken.push(run),
                Ok(None) => break,
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        if failure.is_none() && taken.len() == wants.len() {
            failure = taken.iter().try_for_each(|one| self.forget_code(one)).err();
        }
        if failure.is_none() && taken.len() == wants.len() {
            return Ok(Some(taken));
        }
        for Taken { run, .. } in taken {
            stripes[run.class as usize].give(self.page, &run.range);
        }
        failure.map_or(Ok(None), Err)
    }

    /// Has the processor forget code that it may have fetched from pages of a run that is used again. Where they are written elsewhere, nothing that is done to them on the way tells it
    /// (an emulator that keeps what it has translated hears of changes of protection and of new mappings, not of writes by another address).
    fn forget_code(&self, taken: &Taken) -> Result<(), MemoryError> {
        if crate::machine::FETCH_FOLLOWS_STORES || taken.run.class != Class::Code {
            return Ok(());
        }
        for part in &taken.dirty {
            let (address, size, prot) = (part.start, part.end - part.start, Class::Code.prot());
            let done = match (&self.window, &self.view) {
                // SAFETY: the part belongs to a run that is being taken: nobody uses it yet.
                (Some(_), _) => unsafe { self.pages.protect(part.clone(), Prot::empty()) },
                (None, Some(view)) => view.map_anew(&self.pages, part),
                (None, None) => Ok(()),
            };
            done.map_err(|source| MemoryError::Protect { address, size, prot, source })?;
        }
        Ok(())
    }

    /// Gives the pages of `range`, which lies within runs of `class`, their final protection.
    ///
    /// # Safety
    /// The runs belong to the caller and nobody writes to them any more.
    pub(super) unsafe fn finalize(&self, class: Class, range: &Range<u64>) -> Result<(), MemoryError> {
        if class == Class::Data {
            return Ok(());
        }
        if self.view.is_some() {
            // They are as they will stay.
            crate::machine::code_was_written(range.start, range.end - range.start);
            return Ok(());
        }
        if let Some(stripe) = self.stripes.lock().get_mut(class as usize) {
            // Noted before it is done: a change that fails half-way leaves pages that must be made writable again.
            let pages = stripe.indexes(self.page, range);
            stripe.state[pages].iter_mut().for_each(|state| *state &= !WRITABLE);
        }
        let (address, size, prot) = (range.start, range.end - range.start, class.prot());
        if class == Class::ReadOnly {
            // SAFETY: the caller owns the pages and has finished writing.
            let done = unsafe { self.pages.protect(range.clone(), prot) };
            return done.map_err(|source| MemoryError::Protect { address, size, prot, source });
        }
        // SAFETY: as above. With a file behind them this process has never written to pages of code.
        let done = unsafe {
            match &self.window {
                Some(window) => {
                    let offset = window.offset() + (address - self.pages.base());
                    self.pages.execute_file(range.clone(), window.file(), offset, Sharing::Private)
                }
                None => self.pages.execute(range.clone()),
            }
        };
        done.map_err(|error| not_executable(error, address, size))?;
        crate::machine::code_was_written(address, size);
        Ok(())
    }

    /// Puts pages of `file` from `offset` on in place of final pages of code, until these are released. Says no if they are not all of one stripe.
    ///
    /// # Safety
    /// The bytes are the same, and stay so.
    pub(super) unsafe fn cover(&self, range: &Range<u64>, file: &File, offset: u64) -> io::Result<bool> {
        let mut stripes = self.stripes.lock();
        if let Some(stripe) = stripes.get_mut(Class::Code as usize) {
            let known = stripe.range.start..stripe.range.start + stripe.state.len() as u64 * self.page;
            // Pages with a view would have to be given it again.
            if self.view.is_some() || !(known.start <= range.start && range.end <= known.end) {
                return Ok(false);
            }
            stripe.state_of(self.page, range).iter_mut().for_each(|state| *state |= COVERED);
        }
        // SAFETY: the caller's promise.
        unsafe { self.pages.replace(range.clone(), Class::Code.prot(), Some((file.as_fd(), offset)))? };
        Ok(true)
    }

    /// Puts pages as they were at first in place of those of a file.
    fn uncover(&self, stripe: &mut Stripe, range: &Range<u64>) {
        // In two steps, because valgrind forgets what is there when it can be executed no more.
        // SAFETY: the pages belong to a run that nobody uses any more.
        let renewed = unsafe {
            let file = self.window.as_ref().map(|window| window.file().as_fd());
            let file = file.zip(self.offset(range.start));
            let closed = self.pages.protect(range.clone(), Prot::empty());
            closed.and_then(|()| self.pages.replace(range.clone(), Prot::empty(), file))
        };
        for state in stripe.state_of(self.page, range) {
            // Inaccessible, so not writable either. If they could not be renewed they are private pages with old bytes, which do as well.
            *state &= !(WRITABLE | COVERED);
            if renewed.is_ok() && self.window.is_none() {
                *state &= !DIRTY;
            }
        }
    }

    /// Seals the pages of `run`, which is final. It cannot be taken back.
    pub(super) fn seal(&self, run: &Run) -> Result<(), MemoryError> {
        let (address, size) = (run.range.start, run.range.end - run.range.start);
        if self.view.is_some() {
            let source = io::Error::other("the pages have a writable view");
            return Err(MemoryError::Seal { address, size, source });
        }
        self.pages.seal(run.range.clone()).map_err(|source| MemoryError::Seal { address, size, source })
    }

    /// Takes the pages of `run` back.
    ///
    /// # Safety
    /// The run belongs to the caller, nobody uses its pages, and it is given back once.
    pub(super) unsafe fn release(&self, run: &Run) {
        let mut stripes = self.stripes.lock();
        let Some(stripe) = stripes.get_mut(run.class as usize) else {
            return;
        };
        if stripe.state_of(self.page, &run.range).iter().any(|state| state & COVERED != 0) {
            self.uncover(stripe, &run.range);
        }
        let count = ((run.range.end - run.range.start) / self.page) as u32;
        if u64::from(stripe.kept + count) * self.page > KEPT {
            // Stale code should not stay callable. Small runs stay mapped as they are: a hole for each would make the number of
            // kernel mappings grow with the number of allocations.
            let large = run.range.end - run.range.start >= CLOSED_FROM;
            let close = run.class != Class::Data && large && self.view.is_none();
            // SAFETY: as above.
            let closed = close && unsafe { self.close(&run.range) }.is_ok();
            let discarded = closed || self.discard(&run.range).is_ok();
            for state in stripe.state_of(self.page, &run.range) {
                if discarded {
                    *state &= !DIRTY;
                }
                if closed {
                    *state &= !WRITABLE;
                }
            }
        }
        stripe.give(self.page, &run.range);
    }

    /// Frees the pages of `range` and makes it inaccessible.
    ///
    /// # Safety
    /// The range belongs to nobody any more.
    unsafe fn close(&self, range: &Range<u64>) -> io::Result<()> {
        if self.window.is_none() && self.view.is_none() {
            // SAFETY: nobody uses it, says the caller, and no file is behind it.
            return unsafe { self.pages.close(range.clone()) };
        }
        self.discard(range)?;
        // SAFETY: as above.
        unsafe { self.pages.protect(range.clone(), Prot::empty()) }
    }

    /// Frees the pages of `range`, which belongs to nobody any more; they read as zero afterwards.
    fn discard(&self, range: &Range<u64>) -> io::Result<()> {
        if let Some(view) = self.view.as_ref().filter(|view| view.written_at(range.start).is_some()) {
            return view.free(range);
        }
        // SAFETY: the callers own the range, and say that nobody uses it.
        unsafe { self.pages.discard(range.clone()) }?;
        match &self.window {
            Some(window) => window.discard(range.start - self.pages.base()..range.end - self.pages.base()),
            None => Ok(()),
        }
    }

    /// Asks for the pages of `range` in one call, if it is written where it is used.
    pub(super) fn populate(&self, range: Range<u64>) {
        if self.written_at(range.start) == range.start {
            self.pages.populate(range);
        }
    }

    /// Where the byte that is used at `address` is written before it is final.
    pub(super) fn written_at(&self, address: u64) -> u64 {
        self.view.as_ref().and_then(|view| view.written_at(address)).unwrap_or(address)
    }

    fn behind(&self) -> Written {
        match (&self.window, &self.view) {
            (Some(_), _) => Written::ByAnother,
            (None, Some(_)) => Written::Elsewhere,
            (None, None) => Written::Here,
        }
    }

    /// Where the byte at `address` is in the file that backs the arena, if one does.
    pub(super) fn offset(&self, address: u64) -> Option<u64> {
        Some(self.window.as_ref()?.offset() + (address - self.pages.base()))
    }

    /// Whether the address is one of this arena's.
    pub(super) fn contains(&self, address: u64) -> bool {
        (self.pages.base()..self.pages.base() + self.pages.size()).contains(&address)
    }

    /// Address space of this arena in bytes.
    pub(super) fn size(&self) -> u64 {
        self.pages.size()
    }

    /// Bytes in use and bytes kept for reuse. A range that serves one request is in use as a whole.
    pub(super) fn usage(&self) -> (u64, u64) {
        let stripes = self.stripes.lock();
        if stripes.is_empty() {
            return (self.pages.size(), 0);
        }
        let sum = |of: fn(&Stripe) -> u32| stripes.iter().map(|stripe| u64::from(of(stripe)) * self.page).sum();
        (sum(|stripe| stripe.used), sum(|stripe| stripe.kept))
    }

    /// Lowest address of the stripe of `class`, for segments without bytes.
    pub(super) fn start_of(&self, class: Class) -> u64 {
        self.stripes.lock().get(class as usize).map_or(self.pages.base(), |stripe| stripe.range.start)
    }
}

impl Stripe {
    fn indexes(&self, page: u64, range: &Range<u64>) -> Range<usize> {
        let index = |address: u64| ((address - self.range.start) / page) as usize;
        index(range.start)..index(range.end)
    }

    fn state_of(&mut self, page: u64, range: &Range<u64>) -> &mut [u8] {
        let pages = self.indexes(page, range);
        &mut self.state[pages]
    }

    fn take(&mut self, pages: &Pages, written: Written, page: u64, want: &Want) -> Result<Option<Taken>, MemoryError> {
        let count = (want.size / page) as u32;
        let skew = (self.range.start / page % (crate::memory::MAX_ALIGN / page)) as u32;
        let Some(first) = self.free.take(count, (want.align / page) as u32, skew) else {
            return Ok(None);
        };
        let start = self.range.start + u64::from(first) * page;
        let range = start..start + want.size;
        if let Err(error) = self.make_writable(pages, written, page, &range) {
            self.free.give(first, count);
            return Err(error);
        }
        if want.size >= HUGE_FROM {
            advise_huge(pages, &range);
        }
        let mut dirty: SmallVec<[Range<u64>; 2]> = SmallVec::new();
        let mut address = range.start;
        for state in self.state_of(page, &range) {
            if *state & DIRTY != 0 {
                match dirty.last_mut() {
                    Some(last) if last.end == address => last.end += page,
                    _ => dirty.push(address..address + page),
                }
            }
            *state |= DIRTY;
            address += page;
        }
        if written == Written::ByAnother && self.class == Class::Data {
            for part in &dirty {
                // SAFETY: the part belongs to the run that is being taken: nobody uses it yet. A copy of a page that could not be dropped
                // would hide what the other side writes.
                if let Err(source) = unsafe { pages.discard(part.clone()) } {
                    self.free.give(first, count);
                    let (address, size) = (part.start, part.end - part.start);
                    return Err(MemoryError::Protect { address, size, prot: Class::Data.prot(), source });
                }
            }
        }
        let reused: u64 = dirty.iter().map(|part| part.end - part.start).sum();
        self.kept -= (reused / page) as u32;
        self.used += count;
        Ok(Some(Taken { run: Run { class: self.class, range }, dirty }))
    }

    fn make_writable(
        &mut self,
        pages: &Pages,
        written: Written,
        page: u64,
        range: &Range<u64>,
    ) -> Result<(), MemoryError> {
        let here = is_written_here(self.class, written);
        let change = |range: Range<u64>| if here { make_writable(pages, range) } else { Ok(()) };
        let used_end = self.range.start + self.state.len() as u64 * page;
        if range.end > used_end {
            let end = range.end.max(used_end + AHEAD).min(self.range.end);
            change(used_end..end)?;
            self.state.resize(((end - self.range.start) / page) as usize, WRITABLE);
        }
        let indexes = self.indexes(page, range);
        let state = &mut self.state[indexes];
        let Some(first) = state.iter().position(|state| state & WRITABLE == 0) else {
            return Ok(());
        };
        let end = state.iter().rposition(|state| state & WRITABLE == 0).map_or(first, |last| last + 1);
        let closed = range.start + first as u64 * page..range.start + end as u64 * page;
        let mut cleaned = 0;
        if here && self.class == Class::Code {
            if reopen(pages, closed)? {
                let was_dirty = state[first..end].iter_mut().filter(|state| **state & DIRTY != 0);
                cleaned = was_dirty.map(|state| *state &= !DIRTY).count();
            }
        } else {
            change(closed)?;
        }
        state.iter_mut().for_each(|state| *state |= WRITABLE);
        self.kept -= cleaned as u32;
        Ok(())
    }

    fn give(&mut self, page: u64, range: &Range<u64>) {
        let indexes = self.indexes(page, range);
        let (first, count) = (indexes.start as u32, indexes.len() as u32);
        self.kept += self.state[indexes].iter().filter(|&&state| state & DIRTY != 0).count() as u32;
        self.used -= count;
        self.free.give(first, count);
    }
}

/// Where the contents of code and read-only data come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    /// They are written where they are used.
    Here,
    /// At another address.
    Elsewhere,
    /// By another process, to the file behind the arena.
    ByAnother,
}

/// Whether pages of the class are made writable for a time.
fn is_written_here(class: Class, written: Written) -> bool {
    written == Written::Here || class == Class::Data
}

fn not_executable(error: NotExecutable, address: u64, size: u64) -> MemoryError {
    match error {
        NotExecutable::Protect(source) => MemoryError::Protect { address, size, prot: Class::Code.prot(), source },
        NotExecutable::Map { doing, source } => MemoryError::MapCode { address, size, doing, source },
    }
}

/// Makes pages writable that are free: not part of any run that was given out.
fn make_writable(pages: &Pages, range: Range<u64>) -> Result<(), MemoryError> {
    let prot = Prot::READ | Prot::WRITE;
    let (address, size) = (range.start, range.end - range.start);
    // SAFETY: the callers have just taken the pages, and nobody else knows of them.
    unsafe { pages.protect(range, prot) }.map_err(|source| MemoryError::Protect { address, size, prot, source })
}

/// The same for pages that may have been code; says whether they are zero now.
fn reopen(pages: &Pages, range: Range<u64>) -> Result<bool, MemoryError> {
    let prot = Prot::READ | Prot::WRITE;
    let (address, size) = (range.start, range.end - range.start);
    // SAFETY: as above, and no file of another process is behind them.
    unsafe { pages.reopen(range) }.map_err(|source| MemoryError::Protect { address, size, prot, source })
}

/// Address space, with a window of the file behind it if there is one.
fn reserve(size: u64, align: u64, reach: Reach, behind: Behind<'_>) -> Result<(Pages, Option<Window>), MemoryError> {
    let failed = |source| MemoryError::AddressSpace { size, reach, source };
    let mut pages = place::reserve(size, align, reach).map_err(failed)?;
    if behind.dual {
        pages.map_code_twice();
    }
    let Some(backing) = behind.file else { return Ok((pages, None)) };
    let window = backing.window(size).map_err(failed)?;
    pages.back_with(window.file(), window.offset()).map_err(failed)?;
    Ok((pages, Some(window)))
}

/// Huge pages for the part of `range` that they can cover whole.
fn advise_huge(pages: &Pages, range: &Range<u64>) {
    let inner = range.start.next_multiple_of(HUGE)..range.end & !(HUGE - 1);
    if range.end - range.start >= HUGE_FROM && inner.start < inner.end {
        pages.prefer_huge(inner);
    }
}
