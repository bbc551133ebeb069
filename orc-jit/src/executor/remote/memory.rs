//! The executor's memory, as the linker writes it from here: where both processes map it, or into buffers that travel.
//!
//! Shared memory is made by this process, which seals its size, so that nothing the executor does can take it away under a write. It is mapped
//! here to be written, there to be run.
//!
//! `unsafe` because parts of the shared mapping become slices.
#![allow(unsafe_code)]

use super::connection::Connection;
use super::{Current, tag};
use jitlink::memory::{InFlight, Memory, MemoryError, Request, ThreadLocal};
use memmap2::{Advice, MmapOptions, MmapRaw};
use orc_rt::service::down::{Reserve, Reserved, SegmentWanted, Write};
use rustix::fs::{MemfdFlags, SealFlags};
use std::fmt;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;

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
                return Some((Self { map }, file));
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

    /// The bytes of a range.
    ///
    /// # Safety
    /// Nobody else has a view of it: it belongs to a reservation that the caller has, or to nobody.
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
    segments: Vec<Segment>,
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

#[derive(Debug)]
struct Segment {
    address: u64,
    /// Where its content is in the shared memory.
    content: Range<u64>,
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
            thread_local: request.thread_local.map(|wanted| (wanted.size, wanted.align)),
        };
        let answer = connection.expect(tag::RESERVE, &message);
        let Reserved { memory, segments, stale, thread_local } =
            answer.map_err(|error| MemoryError::because(error.to_string(), error))?;
        let owned = Owned { connection, memory };
        if segments.len() != request.segments.len() {
            return Err(MemoryError::new("the executor reserved other segments than it was asked for"));
        }
        let place = |((address, offset), wanted): ((u64, u64), &jitlink::memory::Segment)| {
            let end = offset.checked_add(wanted.content_size)?;
            Some(Segment { address, content: offset..end })
        };
        let segments: Option<Vec<Segment>> = segments.into_iter().zip(request.segments).map(place).collect();
        let segments = segments.ok_or_else(outside)?;
        let mut buffers = Vec::new();
        match &owned.connection.shared {
            Some(shared) => {
                let stale = stale.into_iter().map(|(start, size)| start..start.saturating_add(size));
                let stale: Vec<Range<u64>> = stale.collect();
                if !stale.iter().chain(segments.iter().map(|segment| &segment.content)).all(|range| shared.has(range)) {
                    return Err(outside());
                }
                for segment in &segments {
                    shared.populate(&segment.content);
                }
                for range in &stale {
                    // SAFETY: it is part of what was just reserved.
                    unsafe { shared.bytes(range) }.fill(0);
                }
            }
            None => buffers.extend(request.segments.iter().map(|segment| vec![0; segment.content_size as usize])),
        }
        let thread_local = thread_local.map(|place| {
            let orc_rt::tls::ThreadLocal { module, offset, distance } = place;
            ThreadLocal { module, offset, distance }
        });
        Ok(RemoteInFlight { owned, segments, buffers, thread_local })
    }
}

fn outside() -> MemoryError {
    MemoryError::new("the executor reserved memory outside of what is shared with it")
}

impl InFlight for RemoteInFlight {
    type Allocation = RemoteAllocation;

    fn address(&self, segment: usize) -> u64 {
        self.segments[segment].address
    }

    fn bytes(&mut self, segment: usize) -> &mut [u8] {
        match &self.owned.connection.shared {
            // SAFETY: the range is that of a segment of this reservation, which is borrowed for as long as the view lives; segments do
            // not overlap.
            Some(shared) => unsafe { shared.bytes(&self.segments[segment].content) },
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
        let Self { owned, mut buffers, .. } = self;
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
            .field("segments", &self.segments)
            .finish_non_exhaustive()
    }
}
