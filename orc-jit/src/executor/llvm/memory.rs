//! The executor's memory as the linker writes it: bytes are kept here and sent when the image is registered, in one message with its
//! protections and its call frames.
//!
//! You give segments; you get addresses at once, in one range with pages of their own for each segment. Memory below 2 GiB is not among the
//! executor's services: it is mapped by a call to the process's mmap(2), written and protected in steps. Never is a page writable and
//! executable.

use super::remote::{Remote, Segment, wire_prot};
use crate::executor::ExecutorError;
use jitlink::graph::Prot;
use jitlink::memory::{InFlight, Memory, MemoryError, Request};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Memory of LLVM's executor.
#[derive(Debug, Clone)]
pub struct LlvmMemory(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    remote: Arc<Remote>,
    /// Final bytes that are not sent yet, by the first address of their range.
    waiting: Mutex<BTreeMap<u64, Waiting>>,
    /// Call frames that are registered for low memory, by the first address of their range.
    low_frames: Mutex<HashMap<u64, (u64, u64)>>,
}

#[derive(Debug)]
struct Waiting {
    end: u64,
    low: bool,
    parts: Vec<Part>,
}

/// A segment, and the bytes that it begins with.
#[derive(Debug)]
struct Part {
    prot: Prot,
    address: u64,
    size: u64,
    content: Vec<u8>,
}

/// Memory that is being written.
#[derive(Debug)]
pub struct LlvmInFlight {
    home: Home,
    parts: Vec<Part>,
}

/// Memory of a finished image. Dropping it takes the call frames back and frees it.
#[derive(Debug)]
pub struct LlvmAllocation {
    _home: Home,
}

/// One range of the executor's memory.
#[derive(Debug)]
struct Home {
    shared: Arc<Shared>,
    /// First address and size; size 0: there is none.
    base: u64,
    size: u64,
    low: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LlvmMemory {
    pub(super) fn new(remote: Arc<Remote>) -> Self {
        Self(Arc::new(Shared { remote, waiting: Mutex::default(), low_frames: Mutex::default() }))
    }

    /// Sends what was linked at `address`, and registers its call frames (address, size).
    pub(super) fn send(&self, address: u64, frames: Option<(u64, u64)>) -> Result<(), ExecutorError> {
        let frames = frames.filter(|(_, size)| *size > 0);
        let taken = {
            let mut waiting = lock(&self.0.waiting);
            let base =
                waiting.range(..=address).next_back().filter(|(_, one)| address < one.end).map(|(base, _)| *base);
            base.and_then(|base| Some((base, waiting.remove(&base)?)))
        };
        let Some((base, Waiting { low, parts, .. })) = taken else {
            return Err(ExecutorError(format!("nothing was linked at {address:#x} that the executor does not have")));
        };
        if low { self.send_low(base, &parts, frames) } else { self.send_managed(base, &parts, frames) }
    }

    fn send_managed(&self, base: u64, parts: &[Part], frames: Option<(u64, u64)>) -> Result<(), ExecutorError> {
        let mut segments: Vec<Segment<'_>> = Vec::with_capacity(parts.len() + 1);
        if parts.first().is_none_or(|first| first.address != base) {
            // The executor knows a reservation by the lowest of its segments.
            segments.push(Segment { prot: wire_prot(Prot::READ | Prot::WRITE), address: base, size: 0, content: &[] });
        }
        segments.extend(parts.iter().map(|part| {
            // Fresh pages are writable and zero already: what no content covers need not be touched.
            let size = if part.prot.contains(Prot::WRITE) { part.content.len() as u64 } else { part.size };
            Segment { prot: wire_prot(part.prot), address: part.address, size, content: &part.content }
        }));
        self.0.remote.finalize(segments, frames)
    }

    fn send_low(&self, base: u64, parts: &[Part], frames: Option<(u64, u64)>) -> Result<(), ExecutorError> {
        let remote = &self.0.remote;
        let pieces: Vec<(u64, &[u8])> = parts.iter().map(|part| (part.address, &*part.content)).collect();
        remote.write(&pieces)?;
        for part in parts.iter().filter(|part| !part.prot.contains(Prot::WRITE)) {
            let doing = "protecting linked code";
            // The bits of mprotect(2) are those of the wire.
            let arguments = [part.address, part.size, wire_prot(part.prot).into()];
            if remote.call(remote.c().mprotect, &arguments, doing)? as i32 != 0 {
                let size = part.size;
                return Err(ExecutorError(format!(
                    "mprotect failed while {doing}: {:#x}, {size:#x} bytes",
                    part.address
                )));
            }
        }
        if let Some(frames) = frames {
            remote.frames(frames, true)?;
            lock(&self.0.low_frames).insert(base, frames);
        }
        Ok(())
    }
}

/// Where each segment goes, from an address that is a multiple of the returned alignment; the size of all.
fn arrange(page: u64, request: &Request<'_>) -> Option<(Vec<u64>, u64, u64)> {
    let mut end: u64 = 0;
    let mut most = page;
    let mut offsets = Vec::with_capacity(request.segments.len());
    for segment in request.segments {
        let align = segment.align.max(page);
        most = most.max(align);
        let start = end.checked_next_multiple_of(align)?;
        offsets.push(start);
        end = start.checked_add(segment.size)?;
    }
    Some((offsets, most, end.checked_next_multiple_of(page)?))
}

impl Memory for LlvmMemory {
    type InFlight = LlvmInFlight;

    fn reserve(&self, request: &Request<'_>) -> Result<LlvmInFlight, MemoryError> {
        let shared = &self.0;
        let failed = |error: ExecutorError| MemoryError::because(error.to_string(), error);
        let mut home = Home { shared: shared.clone(), base: 0, size: 0, low: request.low };
        if request.segments.is_empty() {
            return Ok(LlvmInFlight { home, parts: Vec::new() });
        }
        let page = shared.remote.page_size();
        let arranged = arrange(page, request);
        // The executor aligns to pages; what wants more gets room to move.
        let room =
            |(offsets, align, size): (Vec<u64>, u64, u64)| Some((offsets, align, size.checked_add(align - page)?));
        let Some((offsets, align, size)) = arranged.and_then(room) else {
            return Err(MemoryError::new("the segments are larger than any address space"));
        };
        let reserved = if request.low { map_low(&shared.remote, size) } else { shared.remote.reserve(size) };
        home.base = reserved.map_err(failed)?;
        home.size = size;
        let first = home.base.checked_next_multiple_of(align).unwrap_or(home.base);
        let mut parts = Vec::with_capacity(offsets.len());
        for (segment, offset) in request.segments.iter().zip(offsets) {
            let mut content = Vec::new();
            let length = usize::try_from(segment.content_size).unwrap_or(usize::MAX);
            content.try_reserve_exact(length).map_err(|error| {
                MemoryError::because(format!("{length:#x} bytes to link in cannot be had here"), error)
            })?;
            content.resize(length, 0);
            parts.push(Part { prot: segment.prot, address: first + offset, size: segment.size, content });
        }
        Ok(LlvmInFlight { home, parts })
    }
}

/// Memory below 2 GiB, readable and writable.
fn map_low(remote: &Remote, size: u64) -> Result<u64, ExecutorError> {
    const READ_WRITE: u64 = (libc::PROT_READ | libc::PROT_WRITE) as u64;
    const FLAGS: u64 = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT) as u64;
    let doing = "mapping memory below 2 GiB";
    let address = remote.call(remote.c().mmap, &[0, size, READ_WRITE, FLAGS, u64::MAX, 0], doing)?;
    if address.checked_add(size).is_none_or(|end| end > 1 << 31) {
        return Err(ExecutorError(format!(
            "LLVM's executor has no {size:#x} bytes below 2 GiB, which code without -fPIC needs: compile with -fPIC"
        )));
    }
    Ok(address)
}

impl InFlight for LlvmInFlight {
    type Allocation = LlvmAllocation;

    fn address(&self, segment: usize) -> u64 {
        self.parts[segment].address
    }

    fn bytes(&mut self, segment: usize) -> &mut [u8] {
        &mut self.parts[segment].content
    }

    /// The bytes are complete; they leave when the image is registered.
    fn finalize(self) -> Result<LlvmAllocation, MemoryError> {
        let Self { home, parts } = self;
        if home.size > 0 {
            let waiting = Waiting { end: home.base + home.size, low: home.low, parts };
            lock(&home.shared.waiting).insert(home.base, waiting);
        }
        Ok(LlvmAllocation { _home: home })
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if self.size == 0 {
            return;
        }
        let remote = &self.shared.remote;
        lock(&self.shared.waiting).remove(&self.base);
        let frames = lock(&self.shared.low_frames).remove(&self.base);
        if remote.is_over() {
            return;
        }
        // Nobody can be told of a failure, and nothing depends on it: the range is not used again.
        if self.low {
            if let Some(frames) = frames {
                let _ = remote.frames(frames, false);
            }
            let _ = remote.call(remote.c().munmap, &[self.base, self.size], "unmapping memory");
        } else {
            let _ = remote.deallocate(self.base);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::arrange;
    use jitlink::graph::Prot;
    use jitlink::memory::{Request, Segment};

    fn segment(align: u64, size: u64) -> Segment {
        Segment { prot: Prot::READ, align, size, content_size: 0, far: false }
    }

    #[test]
    fn segments_have_pages_of_their_own() {
        let segments = [segment(1, 1), segment(64, 4097), segment(0x4000, 8), segment(8, 0)];
        let request = Request { segments: &segments, low: false, thread_local: None };
        let (offsets, align, size) = arrange(4096, &request).expect("they fit");
        assert_eq!(offsets, [0, 0x1000, 0x4000, 0x5000]);
        assert_eq!((align, size), (0x4000, 0x5000));
    }

    #[test]
    fn what_no_address_space_holds_is_refused() {
        for segments in [[segment(8, u64::MAX), segment(8, 1)], [segment(8, u64::MAX - 4096), segment(8, 4096)]] {
            let request = Request { segments: &segments, low: false, thread_local: None };
            assert_eq!(arrange(4096, &request), None);
        }
    }
}
