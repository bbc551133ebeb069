//! The executor's memory, as the linker writes it from here: where both processes map it, or into buffers that travel.
//!
//! Shared memory is made by this process, which seals its size, so that nothing the executor does can take it away under a write. It is mapped
//! here to be written, there to be run. The executor says where in it each segment goes; what it says is checked before anything is written:
//! no two views of this process ever overlap.
//!
//! `unsafe` because parts of the shared mapping become slices.
#![allow(unsafe_code)]

use super::connection::Connection;
use super::{Current, tag};
use jitlink::memory::{InFlight, Memory, MemoryError, Request, ThreadLocal, ThreadLocalRequest};
use memmap2::{Advice, MmapOptions, MmapRaw};
use orc_rt::service::down::{Reserve, Reserved, SegmentWanted, Write};
use orc_rt::tls::Wanted;
use rustix::fs::{MemfdFlags, SealFlags};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of shared memory, or less where the process may not map so much. Only pages that are written cost anything.
const SIZES: [u64; 3] = [64 << 30, 8 << 30, 1 << 30];
/// One page is as cheap to touch as to ask for.
const POPULATE_FROM: u64 = 8192;
/// What one message carries at most of contents that travel.
const PIECE: usize = 64 << 20;

/// Memory that both processes map.
#[derive(Debug)]
pub(super) struct Shared {
    map: MmapRaw,
    /// First and last+1 offset of every range that somebody has a view of.
    views: Mutex<BTreeMap<u64, u64>>,
}

impl Shared {
    /// New memory, and the descriptor for the executor; `None` where the system has no such thing.
    pub(super) fn new() -> Option<(Self, OwnedFd)> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        for size in SIZES {
            let file = rustix::fs::memfd_create("linked code", flags).ok()?;
            let sized = rustix::fs::ftruncate(&file, size);
            let sealed = sized.and_then(|()| rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW));
            if sealed.is_ok()
                && let Ok(map) = MmapOptions::new().len(size as usize).no_reserve_swap().map_raw(&file)
            {
                return Some((Self { map, views: Mutex::default() }, file));
            }
        }
        None
    }

    pub(super) fn size(&self) -> u64 {
        self.map.len() as u64
    }

    /// Whether the range lies in the memory.
    fn has(&self, range: &Range<u64>) -> bool {
        range.start <= range.end && range.end <= self.size()
    }

    /// Asks for the pages of a range in one call.
    fn populate(&self, range: &Range<u64>) {
        let size = range.end - range.start;
        if size >= POPULATE_FROM && self.has(range) {
            let start = range.start & !4095;
            // Only advice: pages that do not come now come when they are written.
            let _ = self.map.advise_range(Advice::PopulateWrite, start as usize, (range.end - start) as usize);
        }
    }

    /// Cleans what is `stale`, then gives the views of `wanted` to the caller, until [`Self::give_up`].
    ///
    /// # Errors
    /// A range is not of this memory, or somebody has a view of it.
    fn claim(&self, wanted: &[Range<u64>], stale: &[Range<u64>]) -> Result<(), MemoryError> {
        if !wanted.iter().chain(stale).all(|range| self.has(range)) {
            return Err(outside());
        }
        let mut views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        let is_free = |views: &BTreeMap<u64, u64>, range: &Range<u64>| {
            range.is_empty() || views.range(..range.end).next_back().is_none_or(|(_, end)| *end <= range.start)
        };
        if !stale.iter().all(|range| is_free(&views, range)) {
            return Err(twice());
        }
        for (index, range) in wanted.iter().enumerate() {
            if !is_free(&views, range) {
                remove(&mut views, &wanted[..index]);
                return Err(twice());
            }
            if !range.is_empty() {
                views.insert(range.start, range.end);
            }
        }
        for range in stale {
            // SAFETY: nobody had a view of it, as just checked; those that were given just now are not used before this returns, and the
            // lock keeps others from being given.
            unsafe { self.bytes(range) }.fill(0);
        }
        Ok(())
    }

    /// Ends the views that [`Self::claim`] gave.
    fn give_up(&self, views: &[Range<u64>]) {
        remove(&mut self.views.lock().unwrap_or_else(PoisonError::into_inner), views);
    }

    /// The bytes of a range.
    ///
    /// # Safety
    /// Nobody else has a view of it: the caller has claimed it, or nobody has.
    #[expect(clippy::mut_from_ref, reason = "the promise stands in for the borrow")]
    unsafe fn bytes(&self, range: &Range<u64>) -> &mut [u8] {
        assert!(self.has(range), "{range:#x?} is not of the shared memory");
        // SAFETY: the range lies in the mapping (checked), whose size is sealed; the executor maps it without writing to it; views of this
        // process do not overlap, by the caller's promise.
        unsafe {
            std::slice::from_raw_parts_mut(
                self.map.as_mut_ptr().add(range.start as usize),
                (range.end - range.start) as usize,
            )
        }
    }
}

fn remove(views: &mut BTreeMap<u64, u64>, ranges: &[Range<u64>]) {
    for range in ranges.iter().filter(|range| !range.is_empty()) {
        views.remove(&range.start);
    }
}

/// The memory of a [`Remote`](super::Remote).
#[derive(Debug)]
pub struct RemoteMemory(Arc<Current>);

impl RemoteMemory {
    pub(super) fn new(current: Arc<Current>) -> Self {
        Self(current)
    }
}

/// Memory that is being written.
pub struct RemoteInFlight {
    owned: Owned,
    addresses: Vec<u64>,
    /// Where the contents are in the shared memory, if there is one.
    views: Option<Views>,
    /// What is to travel, one for each segment; empty where the memory is shared.
    buffers: Vec<Vec<u8>>,
    thread_local: Option<ThreadLocal>,
}

/// A number of the executor's, given back when dropped.
#[derive(Debug)]
struct Owned {
    connection: Arc<Connection>,
    memory: u64,
}

/// Parts of the shared memory that are written, one for each segment.
#[derive(Debug)]
struct Views {
    connection: Arc<Connection>,
    ranges: Vec<Range<u64>>,
}

impl Views {
    fn shared(&self) -> &Shared {
        self.connection.shared.as_ref().expect("views are of shared memory")
    }
}

impl Drop for Views {
    fn drop(&mut self) {
        self.shared().give_up(&self.ranges);
    }
}

/// Memory that is final, or will be when what was linked with it is registered.
#[derive(Debug)]
pub struct RemoteAllocation {
    _owned: Owned,
}

impl Memory for RemoteMemory {
    type InFlight = RemoteInFlight;

    fn reserve(&self, request: &Request<'_>) -> Result<RemoteInFlight, MemoryError> {
        let connection = self.0.get();
        let wanted = |segment: &jitlink::memory::Segment| SegmentWanted {
            prot: segment.prot.bits(),
            align: segment.align,
            size: segment.size,
            content_size: segment.content_size,
        };
        let message = Reserve {
            segments: request.segments.iter().map(wanted).collect(),
            low: request.low,
            thread_local: request.thread_local.map(|wanted| {
                let ThreadLocalRequest { size, align, constant } = wanted;
                Wanted { size, align, constant }
            }),
        };
        let answer = connection.expect(tag::RESERVE, &message);
        let Reserved { memory, segments, stale, thread_local, watchers } =
            answer.map_err(|error| MemoryError::because(error.to_string(), error))?;
        connection.note_watchers(watchers);
        let owned = Owned { connection, memory };
        if segments.len() != request.segments.len() {
            return Err(MemoryError::new("the executor reserved other segments than it was asked for"));
        }
        let addresses: Vec<u64> = segments.iter().map(|(address, _)| *address).collect();
        check(&addresses, request)?;
        let mut buffers = Vec::new();
        let mut views = None;
        match &owned.connection.shared {
            Some(shared) => {
                let range = |start: u64, size: u64| start..start.saturating_add(size);
                let stale: Vec<Range<u64>> = stale.into_iter().map(|(start, size)| range(start, size)).collect();
                let sizes = request.segments.iter().map(|segment| segment.content_size);
                let ranges = segments.iter().zip(sizes).map(|((_, offset), size)| range(*offset, size));
                let ranges: Vec<Range<u64>> = ranges.collect();
                shared.claim(&ranges, &stale)?;
                ranges.iter().for_each(|range| shared.populate(range));
                views = Some(Views { connection: owned.connection.clone(), ranges });
            }
            None => buffers.extend(request.segments.iter().map(|segment| vec![0; segment.content_size as usize])),
        }
        let thread_local = thread_local.map(|place| {
            let orc_rt::tls::ThreadLocal { module, offset, distance } = place;
            ThreadLocal { module, offset, distance }
        });
        if let (Some(wanted), Some(place)) = (request.thread_local, thread_local)
            && !place.address().is_multiple_of(wanted.align.max(1))
        {
            return Err(MemoryError::new(
                "the executor reserved thread-local storage that is not aligned as it must be",
            ));
        }
        Ok(RemoteInFlight { owned, addresses, views, buffers, thread_local })
    }
}

/// Whether segments can be at these addresses: the linker relies on it.
fn check(addresses: &[u64], request: &Request<'_>) -> Result<(), MemoryError> {
    let mut ranges = Vec::with_capacity(addresses.len());
    for (&address, segment) in addresses.iter().zip(request.segments) {
        let end = address.checked_add(segment.size).filter(|_| address.is_multiple_of(segment.align.max(1)));
        let Some(end) = end else {
            let (size, align) = (segment.size, segment.align);
            let what = "the executor reserved an address where the segment cannot be";
            return Err(MemoryError::new(format!("{what}: {size:#x} bytes aligned to {align:#x} at {address:#x}")));
        };
        ranges.push(address..end);
    }
    ranges.retain(|range| !range.is_empty());
    ranges.sort_unstable_by_key(|range| range.start);
    if ranges.windows(2).all(|pair| pair[0].end <= pair[1].start) {
        Ok(())
    } else {
        Err(MemoryError::new("the executor reserved segments that overlap"))
    }
}

fn twice() -> MemoryError {
    MemoryError::new("the executor reserved a part of the shared memory twice")
}

fn outside() -> MemoryError {
    MemoryError::new("the executor reserved memory outside of what is shared with it")
}

impl InFlight for RemoteInFlight {
    type Allocation = RemoteAllocation;

    fn address(&self, segment: usize) -> u64 {
        self.addresses[segment]
    }

    fn bytes(&mut self, segment: usize) -> &mut [u8] {
        match &self.views {
            // SAFETY: this reservation has claimed the range, and is borrowed for as long as the view lives.
            Some(views) => unsafe { views.shared().bytes(&views.ranges[segment]) },
            None => &mut self.buffers[segment],
        }
    }

    fn thread_local(&self) -> Option<ThreadLocal> {
        self.thread_local
    }

    fn descriptor_function(&self) -> Option<u64> {
        Some(self.owned.connection.descriptor_function)
    }

    /// Becomes final with the next registration, which this process makes before anybody can look into it.
    fn finalize(self) -> Result<RemoteAllocation, MemoryError> {
        let Self { owned, views, mut buffers, .. } = self;
        drop(views);
        let total: usize = buffers.iter().map(Vec::len).sum();
        if total > PIECE {
            for (segment, buffer) in buffers.iter_mut().enumerate() {
                for (number, bytes) in buffer.chunks(PIECE).enumerate() {
                    let offset = (number * PIECE) as u64;
                    let write = Write { memory: owned.memory, segment: segment as u32, offset, bytes };
                    let written: Result<(), _> = owned.connection.expect(tag::WRITE, &write);
                    written.map_err(|error| MemoryError::because(error.to_string(), error))?;
                }
                *buffer = Vec::new();
            }
        }
        owned.connection.finish_later(owned.memory, buffers);
        Ok(RemoteAllocation { _owned: owned })
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.connection.give_back(self.memory);
    }
}

impl fmt::Debug for RemoteInFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteInFlight")
            .field("owned", &self.owned)
            .field("addresses", &self.addresses)
            .field("views", &self.views)
            .finish_non_exhaustive()
    }
}
