//! The slab: one reservation of address space near libc, striped by permission, whose pages are recycled.
//!
//! Costs, measured: a fresh page 0.5-6 µs, a change of protection 1-9 µs. Hence one change per class and finalize (none for writable data),
//! pages made writable a mebibyte ahead, contents brought in with one call, freed pages kept for reuse. The number of kernel mappings
//! does not grow with the number of allocations.
//!
//! `unsafe` because views of reserved memory are made from addresses: they are disjoint since `runs` never gives out a page twice.
#![allow(unsafe_code)]

mod arena;
mod backing;
mod place;
mod runs;

use crate::memory::{MAX_REQUEST, MemoryError, Reach, Request};
use crate::sync::Arc;
use crate::sync::leaf::RwLock;
use arena::{Arena, Behind, CLASSES, Class, HUGE, HUGE_FROM, Run, Taken, Want};
use backing::Backing;
use smallvec::SmallVec;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;

pub(crate) use place::reserve as reserve_pages;
pub(crate) use runs::FreeRuns;

/// Address space of an arena; halved when the process's limits do not allow it.
const ARENA: u64 = 512 << 20;
/// The smallest arena worth having.
const SMALLEST_ARENA: u64 = 16 << 20;
/// Runs above this size, and alignments above a huge page, get a range of their own.
const LARGEST_RUN: u64 = 64 << 20;

/// Memory of one executor session. Cheap to clone; all clones are the same slab. Its address space goes back when the slab and everything
/// that came from it are gone.
#[derive(Debug, Clone)]
pub struct Slab {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    page: u64,
    /// Code is run from other pages than it is written to, whatever the process may do.
    dual: bool,
    /// Small requests are written at another address than they are used.
    view: bool,
    /// The file whose pages the arenas are; anonymous memory without.
    backing: OnceLock<Arc<Backing>>,
    near: RwLock<Vec<Arc<Arena>>>,
    low: RwLock<Vec<Arc<Arena>>>,
}

/// How much a [`Slab`] holds, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SlabUsage {
    /// Address space reserved for striped arenas.
    pub reserved: u64,
    /// Bytes in the runs of live reservations and allocations (large requests, which own their range, are not counted).
    pub used: u64,
    /// Freed bytes that are kept for reuse.
    pub kept: u64,
}

/// Memory that is being filled. Dropping it gives everything back.
#[derive(Debug)]
#[must_use = "dropping a reservation gives its memory back"]
pub struct Reservation {
    held: Held,
    /// Parts of the file behind it that hold old bytes.
    stale: SmallVec<[Range<u64>; 2]>,
}

/// Finalized memory. Dropping it frees it: the caller makes sure that nobody uses it any more.
#[derive(Debug)]
#[must_use = "dropping an allocation frees its memory"]
pub struct Allocation {
    held: Held,
}

/// Runs of an arena, given back when dropped.
#[derive(Debug)]
struct Held {
    arena: Arc<Arena>,
    runs: SmallVec<[Run; 3]>,
    segments: SmallVec<[Range<u64>; 4]>,
}

/// Offsets of segments within the run of their class.
type Offsets = SmallVec<[u64; 4]>;
/// At most one run per class.
type Wants = SmallVec<[Want; 3]>;
/// Runs and where they are.
type Found = (Arc<Arena>, Vec<Taken>);

impl Default for Slab {
    fn default() -> Self {
        Self::new()
    }
}

impl Slab {
    /// An empty slab. Address space is reserved by the first request.
    ///
    /// How code becomes executable is found out when it first does: by a change of protection, and where the process is denied that (PR_SET_MDWE, a seccomp
    /// filter, SELinux), as a [dual-mapped](Self::dual_mapped) slab has it. A process for which the environment variable `ORC_DUAL_MAPPED` is set
    /// (to anything but `0`) is taken to be denied it, and does not try.
    pub fn new() -> Self {
        Self::with(false, false)
    }

    /// A slab that never makes executable what was writable: finished code is copied into a file in memory, whose pages are mapped executable in place
    /// of those that were written, and are writable nowhere. For processes whose filter ends them where it could refuse.
    ///
    /// ```
    /// use orc_rt::memory::{Prot, Reach, Request, SegmentRequest, Slab};
    ///
    /// let segment = SegmentRequest { prot: Prot::READ | Prot::EXEC, align: 16, size: 6, content_size: 6 };
    /// let mut reservation = Slab::dual_mapped().reserve(&Request { segments: &[segment], reach: Reach::Near })?;
    /// reservation.bytes(0).copy_from_slice(&[0xb8, 42, 0, 0, 0, 0xc3]); // mov eax, 42; ret
    /// let code = reservation.finalize()?;
    /// let maps = std::fs::read_to_string("/proc/self/maps").expect("this is Linux");
    /// let line = maps.lines().find(|line| line.starts_with(&format!("{:x}-", code.address(0)))).expect("mapped");
    /// assert!(line.contains("r-xp") && line.contains("orc-code"));
    /// # Ok::<(), orc_rt::memory::MemoryError>(())
    /// ```
    pub fn dual_mapped() -> Self {
        Self::with(true, false)
    }

    /// A slab that makes no system call for small requests once it is warm: code and read-only data lie in a file in memory that is mapped twice, where they are used and,
    /// at another address, to be written. Requests above 64 MiB are served as ever, and so is everything once another process writes the contents
    /// ([`back_with`](Self::back_with)).
    ///
    /// It saves the changes of protection of each link, a few microseconds, and costs a guarantee: for as long as the slab lives, memory that runs can be written in this process, at an address
    /// that nobody is told and that the process's list of mappings shows. A stray write there changes code, and somebody who can already write to addresses of their choice can run what
    /// they like. No page is writable and executable at one address. For hosts that link small objects all the time and trust all of the code in their process. Nothing here, nor the `orc` command,
    /// chooses it by itself. Allocations cannot be [sealed](Allocation::seal), and valgrind is not told of their code.
    ///
    /// ```
    /// use orc_rt::memory::{Prot, Reach, Request, SegmentRequest, Slab};
    ///
    /// let segment = SegmentRequest { prot: Prot::READ | Prot::EXEC, align: 16, size: 6, content_size: 6 };
    /// let mut reservation = Slab::with_writable_view().reserve(&Request { segments: &[segment], reach: Reach::Near })?;
    /// reservation.bytes(0).copy_from_slice(&[0xb8, 42, 0, 0, 0, 0xc3]); // mov eax, 42; ret
    /// assert_ne!(reservation.bytes(0).as_ptr() as u64, reservation.address(0), "it is written elsewhere");
    /// let code = reservation.finalize()?;
    /// assert_eq!(code.address(0) % 16, 0);
    /// # Ok::<(), orc_rt::memory::MemoryError>(())
    /// ```
    pub fn with_writable_view() -> Self {
        Self::with(false, true)
    }

    fn with(dual: bool, view: bool) -> Self {
        Self {
            inner: Arc::new(Inner {
                page: crate::sys::page_size(),
                dual,
                view,
                backing: OnceLock::new(),
                near: RwLock::default(),
                low: RwLock::default(),
            }),
        }
    }

    /// From now on the memory is that of `file`, `size` bytes of shared memory that another process writes to ([`Reservation::offset`]).
    /// Says whether it is: not if something was reserved before, nor if the file has no such size, since what runs behind its end ends the
    /// process.
    pub fn back_with(&self, file: OwnedFd, size: u64) -> bool {
        let inner = &self.inner;
        let (near, low) = (inner.near.write(), inner.low.write());
        let unused = near.is_empty() && low.is_empty();
        let is_large =
            rustix::fs::fstat(&file).is_ok_and(|stat| u64::try_from(stat.st_size).is_ok_and(|is| is >= size));
        unused && is_large && inner.backing.set(Arc::new(Backing::new(file, size, inner.page))).is_ok()
    }

    /// Reserves memory: addresses are final, bytes are zero and writable.
    ///
    /// # Errors
    /// The request is not valid, or the system has no address space, memory or mappings left. Nothing is kept then.
    pub fn reserve(&self, request: &Request<'_>) -> Result<Reservation, MemoryError> {
        request.validate()?;
        let (offsets, wants) = self.lay_out(request)?;
        let (arena, taken) = self.take(&wants, request.reach)?;

        let mut runs: SmallVec<[Run; 3]> = SmallVec::new();
        let mut starts = CLASSES.map(|class| arena.start_of(class));
        let mut stale = SmallVec::new();
        for Taken { run, dirty } in taken {
            starts[run.class as usize] = run.range.start;
            for part in dirty {
                match arena.offset(part.start) {
                    Some(offset) => stale.push(offset..offset + (part.end - part.start)),
                    // SAFETY: the part lies in a run that was just taken for us and is writable there.
                    None => unsafe { view(&arena, &part) }.fill(0),
                }
            }
            runs.push(run);
        }
        let mut segments: SmallVec<[Range<u64>; 4]> = SmallVec::new();
        for (segment, offset) in request.segments.iter().zip(offsets) {
            let start = (starts[Class::of(segment.prot) as usize] + offset).next_multiple_of(segment.align);
            segments.push(start..start + segment.size);
        }
        let held = Held { arena, runs, segments };
        if self.inner.backing.get().is_none() {
            self.populate(&held, request);
        }
        Ok(Reservation { held, stale })
    }

    /// Finalizes many reservations with the fewest changes of protection: runs that touch are changed together.
    ///
    /// # Errors
    /// The system refuses a change; all the reservations are given back then.
    pub fn finalize_all(&self, reservations: Vec<Reservation>) -> Result<Vec<Allocation>, MemoryError> {
        finalize(reservations.iter().map(|reservation| &reservation.held))?;
        Ok(reservations.into_iter().map(|Reservation { held, .. }| Allocation { held }).collect())
    }

    /// Puts pages of `file` from `offset` on in place of final pages of code, until their memory is freed. `range` is whole pages.
    ///
    /// # Errors
    /// The pages are not this slab's, or the system refuses.
    ///
    /// # Safety
    /// The file holds the same bytes as the pages, and neither changes.
    pub(crate) unsafe fn cover(&self, range: Range<u64>, file: &File, offset: u64) -> io::Result<()> {
        for arenas in [&self.inner.near, &self.inner.low] {
            let arena = arenas.read().iter().find(|arena| arena.contains(range.start)).cloned();
            let Some(arena) = arena else { continue };
            // SAFETY: the caller's promise.
            if unsafe { arena.cover(&range, file, offset)? } {
                return Ok(());
            }
        }
        Err(io::Error::other("the code is not in the slab's striped memory"))
    }

    /// What the slab holds now.
    pub fn usage(&self) -> SlabUsage {
        let mut usage = SlabUsage::default();
        for arenas in [&self.inner.near, &self.inner.low] {
            for arena in arenas.read().iter() {
                let (used, kept) = arena.usage();
                usage.reserved += arena.size();
                usage.used += used;
                usage.kept += kept;
            }
        }
        usage
    }

    /// Offsets of the segments within the run of their class, and the runs that are wanted, the largest alignment first: that order
    /// wastes least when they follow each other in a range of their own.
    fn lay_out(&self, request: &Request<'_>) -> Result<(Offsets, Wants), MemoryError> {
        let page = self.inner.page;
        let too_large = |size| MemoryError::TooLarge { size, segments: request.segments.len() };
        let mut wants = CLASSES.map(|class| Want { class, size: 0, align: page });
        let mut offsets = SmallVec::new();
        for segment in request.segments {
            let want = &mut wants[Class::of(segment.prot) as usize];
            let offset = want.size.checked_next_multiple_of(segment.align).ok_or_else(|| too_large(u64::MAX))?;
            want.size = offset
                .checked_add(segment.size)
                .filter(|&end| end <= MAX_REQUEST)
                .ok_or_else(|| too_large(segment.size))?;
            want.align = want.align.max(segment.align);
            offsets.push(offset);
        }
        for want in &mut wants {
            // A segment without bytes still needs an aligned address of ours.
            if want.size > 0 || want.align > page {
                want.size = want.size.max(1).next_multiple_of(page);
            }
            if want.size >= HUGE_FROM {
                want.align = want.align.max(HUGE);
            }
        }
        wants.sort_by_key(|want| std::cmp::Reverse(want.align));
        let wants: Wants = wants.into_iter().filter(|want| want.size > 0).collect();
        let total = wants.iter().fold(0u64, |total, want| total.next_multiple_of(want.align) + want.size);
        if total > MAX_REQUEST { Err(too_large(total)) } else { Ok((offsets, wants)) }
    }

    fn behind(&self) -> Behind<'_> {
        let file = self.inner.backing.get();
        Behind { file, dual: self.inner.dual, view: self.inner.view && file.is_none() }
    }

    fn take(&self, wants: &[Want], reach: Reach) -> Result<Found, MemoryError> {
        let arenas = match reach {
            Reach::Near => &self.inner.near,
            Reach::Low => &self.inner.low,
        };
        if wants.iter().all(|want| want.size <= LARGEST_RUN && want.align <= HUGE) {
            let known = arenas.read().clone();
            if let Some(found) = take_from(&known, wants)? {
                return Ok(found);
            }
            let mut arenas = arenas.write();
            // Another thread may have made room meanwhile.
            if let Some(found) = take_from(arenas.get(known.len()..).unwrap_or_default(), wants)? {
                return Ok(found);
            }
            let mut size = ARENA;
            let arena = loop {
                match Arena::striped(size, self.inner.page, reach, self.behind()) {
                    Err(_) if size > SMALLEST_ARENA => size /= 2,
                    other => break Arc::new(other?),
                }
            };
            arenas.push(Arc::clone(&arena));
            if let Some(taken) = arena.take(wants)? {
                return Ok((arena, taken));
            }
        }
        let (arena, taken) = Arena::whole(wants, self.inner.page, reach, self.behind())?;
        Ok((Arc::new(arena), taken))
    }

    /// Brings in the pages that the caller is about to write; pages of zero fill stay untouched.
    fn populate(&self, held: &Held, request: &Request<'_>) {
        let page = self.inner.page;
        for run in &held.runs {
            let mut pending = run.range.start..run.range.start;
            for (range, segment) in held.segments.iter().zip(request.segments) {
                if Class::of(segment.prot) != run.class || segment.content_size == 0 {
                    continue;
                }
                let content = range.start & !(page - 1)..(range.start + segment.content_size).next_multiple_of(page);
                if content.start <= pending.end {
                    pending.end = pending.end.max(content.end);
                } else {
                    populate_range(&held.arena, page, pending);
                    pending = content;
                }
            }
            populate_range(&held.arena, page, pending);
        }
    }
}

fn populate_range(arena: &Arena, page: u64, range: Range<u64>) {
    // One page is as cheap to touch.
    if range.end - range.start > page {
        arena.populate(range);
    }
}

fn take_from(arenas: &[Arc<Arena>], wants: &[Want]) -> Result<Option<Found>, MemoryError> {
    for arena in arenas {
        if let Some(taken) = arena.take(wants)? {
            return Ok(Some((Arc::clone(arena), taken)));
        }
    }
    Ok(None)
}

fn finalize<'a>(all: impl Iterator<Item = &'a Held>) -> Result<(), MemoryError> {
    let mut runs: SmallVec<[(*const Arena, &Arena, Run); 3]> = SmallVec::new();
    for held in all {
        runs.extend(held.runs.iter().map(|run| (Arc::as_ptr(&held.arena), &*held.arena, run.clone())));
    }
    runs.sort_unstable_by_key(|(arena, _, run)| (*arena, run.class, run.range.start));
    let mut rest = runs.into_iter().peekable();
    while let Some((at, arena, mut run)) = rest.next() {
        while let Some((_, _, next)) = rest.next_if(|(next_at, _, next)| {
            *next_at == at && next.class == run.class && next.range.start == run.range.end
        }) {
            run.range.end = next.range.end;
        }
        // SAFETY: the runs belong to reservations, which the callers hold by value: nobody has a view any more.
        unsafe { arena.finalize(run.class, &run.range)? };
    }
    Ok(())
}

/// The bytes that are used at `range`, where they are written.
///
/// # Safety
/// The range is memory of a reservation of ours to which nobody else has access while the view lives.
unsafe fn view<'a>(arena: &Arena, range: &Range<u64>) -> &'a mut [u8] {
    let data = std::ptr::with_exposed_provenance_mut(arena.written_at(range.start) as usize);
    // SAFETY: forwarded to the caller; anonymous memory is always initialized.
    unsafe { std::slice::from_raw_parts_mut(data, (range.end - range.start) as usize) }
}

impl Reservation {
    /// Final address of segment `index` of the request.
    ///
    /// # Panics
    /// When the request had no such segment.
    pub fn address(&self, index: usize) -> u64 {
        self.held.segments[index].start
    }

    /// Number of segments.
    pub fn len(&self) -> usize {
        self.held.segments.len()
    }

    /// Whether the request had no segments.
    pub fn is_empty(&self) -> bool {
        self.held.segments.is_empty()
    }

    /// Where segment `index` is in the file that backs the slab; `None` when none does.
    ///
    /// # Panics
    /// When the request had no such segment.
    pub fn offset(&self, index: usize) -> Option<u64> {
        self.held.arena.offset(self.held.segments[index].start)
    }

    /// Parts of the file that backs the slab which hold old bytes: whoever writes the segments makes them zero first.
    pub fn stale(&self) -> &[Range<u64>] {
        &self.stale
    }

    /// The bytes of segment `index`, zero at first.
    ///
    /// # Panics
    /// When the request had no such segment, or when a file backs the slab: then another process writes them.
    pub fn bytes(&mut self, index: usize) -> &mut [u8] {
        assert!(self.offset(index).is_none(), "segments that a file backs are written through the file");
        // SAFETY: the range lies in a run of this reservation, which is borrowed for as long as the view lives.
        unsafe { view(&self.held.arena, &self.held.segments[index]) }
    }

    /// The bytes of all segments, in the order of the request, for writing several at once; none when a file backs the slab.
    pub fn all_bytes(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let Held { arena, segments, .. } = &self.held;
        let written_here = arena.offset(arena.start_of(Class::Code)).is_none();
        // SAFETY: as for `bytes`; the ranges of different segments never overlap.
        segments.iter().filter(move |_| written_here).map(move |range| unsafe { view(arena, range) })
    }

    /// Sets the protections. Nobody can write to code and read-only data afterwards, and nobody could run code before.
    ///
    /// # Errors
    /// The system refuses; everything is given back then.
    pub fn finalize(self) -> Result<Allocation, MemoryError> {
        finalize(std::iter::once(&self.held))?;
        Ok(Allocation { held: self.held })
    }
}

impl Allocation {
    /// Address of segment `index` of the request.
    ///
    /// # Panics
    /// When the request had no such segment.
    pub fn address(&self, index: usize) -> u64 {
        self.held.segments[index].start
    }

    /// The address ranges of all segments, in the order of the request.
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.held.segments
    }

    /// Seals code and read-only data until the process ends (mseal(2), Linux 6.10): no call changes their protection, unmaps them, or puts other pages in their
    /// place. For what is never to be unloaded: these pages do not go back to the slab when the allocation is dropped, and neither does the address
    /// space around them when the slab is. Writable data is not sealed, and goes back.
    ///
    /// # Errors
    /// The system does not know sealing, or refuses. What is sealed by then stays sealed.
    pub fn seal(&mut self) -> Result<(), MemoryError> {
        let Held { arena, runs, .. } = &mut self.held;
        while let Some(at) = runs.iter().position(|run| run.class != Class::Data) {
            arena.seal(&runs[at])?;
            // Nobody gives it back.
            runs.remove(at);
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for run in &self.runs {
            // SAFETY: the runs were taken for this owner, who ends here; nothing gives them back twice.
            unsafe { self.arena.release(run) };
        }
    }
}
