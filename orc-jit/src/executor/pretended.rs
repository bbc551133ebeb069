//! An executor that runs nothing: what is linked goes into bytes that pretend to be at some address, whatever machine it is for.
//!
//! **You give** a machine and where its memory pretends to be. **You get** everything that a session does before code runs: names, archives, link orders,
//! fix-up, and addresses. Who wants to see the bytes adds a plugin ([`crate::Plugins`]). **Not here:** initializers and programs: opening a
//! dylib links it, and to run something is an error.
//!
//! ```
//! use jitlink::arch::Machine;
//! use orc_jit::executor::{PretendedPlace, Pretended};
//! use orc_jit::{Session, SessionOptions};
//!
//! let machine = Machine::ALL[0];
//! let place = PretendedPlace { address: Some(0x10_0000), size: Some(1 << 20), page_size: 4096 };
//! let session = Session::new(Pretended::new(machine, place), SessionOptions::default())?;
//! session.add_dylib("main")?.define_absolute("answer", 42)?;
//! assert_eq!(session.open("main")?.address("answer")?, 42);
//! assert!(session.call_main(42, &[]).is_err());
//! # Ok::<(), orc_jit::Error>(())
//! ```

use super::{Executor, ExecutorError, Handle, InProcess, Late};
use dispatch::{Caller, call_typed};
use dylib_graph::DylibId;
use jitlink::arch::Machine;
use jitlink::memory::{InFlight, Memory, MemoryError, Request, Segment, ThreadLocal};
use orc_rt::DataRequest;
use orc_rt::image::{ImageId, ImageInfo};
use orc_rt::native::{NativeLibrary, NativeSymbol};
use orc_rt::service::{Found, Lookup, Open, Plan, scope, tag};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Where memory pretends to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PretendedPlace {
    /// Its first byte; chosen by what is linked if it is not said: where a process would have it.
    pub address: Option<u64>,
    /// How many bytes there are; as many as it takes if it is not said.
    pub size: Option<u64>,
    /// Each segment begins with a page of its own, counted from the first byte. At least 1.
    pub page_size: u64,
}

/// Links, and runs nothing. Names of the process are those of this one.
#[derive(Debug)]
pub struct Pretended {
    machine: &'static Machine,
    memory: PretendedMemory,
    controller: Late,
    /// Answers lookups.
    process: InProcess,
    last_image: AtomicU64,
}

impl Pretended {
    /// An executor for `machine` with memory at `place`.
    #[must_use]
    pub fn new(machine: &'static Machine, place: PretendedPlace) -> Self {
        let memory = PretendedMemory { machine, place, taken: Arc::new(Mutex::new(Taken::default())) };
        Self { machine, memory, controller: Late::default(), process: InProcess::new(), last_image: AtomicU64::new(0) }
    }

    fn ask<A: dispatch::packed::Pack, R: for<'a> dispatch::packed::Unpack<'a>>(
        &self,
        tag: dispatch::Tag,
        arguments: &A,
    ) -> Result<R, ExecutorError> {
        let answer: Result<R, String> = call_typed(&self.controller, tag, arguments)
            .map_err(|error| ExecutorError(format!("the session cannot be asked: {error}")))?;
        answer.map_err(ExecutorError)
    }
}

const NOTHING_RUNS: &str = "this executor links and runs nothing";

impl Executor for Pretended {
    type Memory = PretendedMemory;
    type Allocation = Vec<Vec<u8>>;

    fn machine(&self) -> &'static Machine {
        self.machine
    }

    fn memory(&self) -> &PretendedMemory {
        &self.memory
    }

    /// Functions keep their calling convention: nobody here calls them.
    fn crosses_conventions(&self) -> bool {
        false
    }

    fn caches_images(&self) -> Result<(), &'static str> {
        Err("nothing that pretends to be somewhere is kept")
    }

    fn attach(&self, controller: Arc<dyn Caller>) -> Result<(), ExecutorError> {
        self.controller.set(controller)
    }

    fn entry_points(&self) -> Arc<[(String, u64)]> {
        self.process.entry_points()
    }

    fn open_library(&self, name: &str) -> Result<NativeLibrary, ExecutorError> {
        self.process.open_library(name)
    }

    fn lookup(
        &self,
        library: Option<NativeLibrary>,
        names: &[&str],
    ) -> Result<Vec<Option<NativeSymbol>>, ExecutorError> {
        self.process.lookup(library, names)
    }

    fn copy_data(&self, objects: &[DataRequest]) -> Result<Vec<Result<u64, String>>, ExecutorError> {
        Ok(objects.iter().map(|_| Err(NOTHING_RUNS.to_owned())).collect())
    }

    /// Nothing is registered, and no resolver is asked what an indirect function is.
    fn register(&self, images: Vec<ImageInfo>) -> Result<Vec<ImageId>, ExecutorError> {
        let number = |_| ImageId::from_number(self.last_image.fetch_add(1, Ordering::Relaxed) + 1);
        Ok(images.iter().map(number).collect())
    }

    fn release(&self, _image: ImageId) {}

    /// The dylib with all that it reaches is linked. Its handle is its number.
    fn open(&self, name: &str, mode: u32) -> Result<Handle, ExecutorError> {
        let plan: Option<Plan> = self.ask(tag::OPEN, &Open { name, mode })?;
        let plan = plan.ok_or_else(|| ExecutorError(format!("there is no JITDylib named {name:?}")))?;
        Ok(Handle(plan.root.into()))
    }

    /// What is linked stays for as long as the session lives.
    fn close(&self, _handle: Handle) -> Result<(), ExecutorError> {
        Ok(())
    }

    fn update(&self, handle: Handle) -> Result<(), ExecutorError> {
        let dylib = u32::try_from(handle.0).map_err(|error| ExecutorError(error.to_string()))?;
        self.ask::<_, Plan>(tag::UPDATE, &dylib).map(drop)
    }

    fn unload(&self, _dylib: DylibId) -> Result<(), ExecutorError> {
        Err(ExecutorError(NOTHING_RUNS.into()))
    }

    fn symbol(&self, handle: Handle, name: &str) -> Result<u64, ExecutorError> {
        let dylib = u32::try_from(handle.0).map_err(|error| ExecutorError(error.to_string()))?;
        let found: Option<Found> = self.ask(tag::LOOKUP, &Lookup { scope: scope::HANDLE, dylib, name })?;
        let found = found.ok_or_else(|| ExecutorError(format!("symbol {name} is not defined")))?;
        // The number that stands for it, if each thread has its own.
        Ok(found.thread_local.map_or(found.address, |place| place.offset))
    }

    fn set_arguments(&self, _arguments: &[Vec<u8>]) -> Result<(), ExecutorError> {
        Ok(())
    }

    fn run_program(&self, _entry: u64, _arguments: &[Vec<u8>]) -> Result<i32, ExecutorError> {
        Err(ExecutorError(NOTHING_RUNS.into()))
    }

    fn end_program(&self, _status: i32) {}
}

/// How much is taken, and from where on.
#[derive(Debug, Default)]
struct Taken {
    base: Option<u64>,
    bytes: u64,
}

/// Memory that pretends to be somewhere.
#[derive(Debug)]
pub struct PretendedMemory {
    machine: &'static Machine,
    place: PretendedPlace,
    taken: Arc<Mutex<Taken>>,
}

/// Memory of one image: address and bytes of each segment.
#[derive(Debug)]
pub struct PretendedInFlight {
    segments: Vec<(u64, Vec<u8>)>,
    thread_local: Option<ThreadLocal>,
    /// Given back if it comes to nothing.
    reserved: Option<Reserved>,
}

#[derive(Debug)]
struct Reserved {
    taken: Arc<Mutex<Taken>>,
    before: u64,
    after: u64,
}

/// Where a process of a 64-bit machine has what it maps, and where everything has it that 32 bits must reach.
const HIGH: u64 = 0x7e00_0000_0000;
const LOW: u64 = 0x1000_0000;

impl PretendedMemory {
    fn base(&self, low: bool) -> u64 {
        let narrow = self.machine.pointer_size < 8;
        self.place.address.unwrap_or(if low || narrow { LOW } else { HIGH })
    }
}

impl Memory for PretendedMemory {
    type InFlight = PretendedInFlight;

    fn reserve(&self, request: &Request<'_>) -> Result<PretendedInFlight, MemoryError> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        // Where the first image goes decides for all: an address that was chosen must be in reach of every later one.
        let base = taken.base.unwrap_or_else(|| self.base(request.low));
        let before = taken.bytes;
        let mut end = before;
        let mut segments = vec![(0, Vec::new()); request.segments.len()];
        // What is read stands before what is written, and code last: as LLVM's slabs have it, whose rules compare addresses.
        let rank = |number: &usize| request.segments[*number].prot.bits();
        let mut order: Vec<usize> = (0..request.segments.len()).collect();
        order.sort_by_key(rank);
        for number in order {
            let segment = &request.segments[number];
            let full = || self.full(request, before);
            let start = place(base, end, segment, self.place.page_size.max(1)).ok_or_else(full)?;
            end = start
                .checked_add(segment.size)
                .filter(|end| self.place.size.is_none_or(|size| *end <= size))
                .ok_or_else(full)?;
            segments[number] = (base.wrapping_add(start), zeros(segment.content_size)?);
        }
        *taken = Taken { base: Some(base), bytes: end };
        let reserved = Reserved { taken: self.taken.clone(), before, after: end };
        // Right below the thread pointer, as in a process that has no other.
        let thread_local = request.thread_local.map(|wanted| {
            let distance = (wanted.size.next_multiple_of(wanted.align) as i64).wrapping_neg();
            ThreadLocal { module: 1, offset: 0, distance: Some(distance) }
        });
        Ok(PretendedInFlight { segments, thread_local, reserved: Some(reserved) })
    }
}

impl PretendedMemory {
    #[cold]
    fn full(&self, request: &Request<'_>, taken: u64) -> MemoryError {
        let wanted: u64 = request.segments.iter().fold(0, |sum, segment| sum.saturating_add(segment.size));
        let PretendedPlace { size, page_size, .. } = self.place;
        MemoryError::new(match size {
            Some(size) => format!(
                "the slab of {size:#x} bytes has no room for {wanted:#x} more in pages of {page_size:#x}: {taken:#x} are taken"
            ),
            None => format!("{wanted:#x} bytes are more than there are addresses"),
        })
    }
}

/// Where in the slab a segment begins: with a page, and aligned as it wants it to be where it pretends to be.
fn place(base: u64, end: u64, segment: &Segment, page_size: u64) -> Option<u64> {
    let page = end.checked_next_multiple_of(page_size)?;
    let misaligned = base.wrapping_add(page) & (segment.align - 1);
    page.checked_add(if misaligned == 0 { 0 } else { segment.align - misaligned })
}

/// Bytes for a content; what follows it is zero, and nobody writes there.
fn zeros(size: u64) -> Result<Vec<u8>, MemoryError> {
    let mut bytes = Vec::new();
    let size =
        usize::try_from(size).map_err(|error| MemoryError::because(format!("{size:#x} bytes cannot be had"), error))?;
    bytes
        .try_reserve_exact(size)
        .map_err(|error| MemoryError::because(format!("{size:#x} bytes cannot be had"), error))?;
    bytes.resize(size, 0);
    Ok(bytes)
}

impl InFlight for PretendedInFlight {
    type Allocation = Vec<Vec<u8>>;

    fn address(&self, segment: usize) -> u64 {
        self.segments[segment].0
    }

    fn bytes(&mut self, segment: usize) -> &mut [u8] {
        &mut self.segments[segment].1
    }

    fn thread_local(&self) -> Option<ThreadLocal> {
        self.thread_local
    }

    fn finalize(mut self) -> Result<Vec<Vec<u8>>, MemoryError> {
        self.reserved = None;
        Ok(std::mem::take(&mut self.segments).into_iter().map(|(_, bytes)| bytes).collect())
    }
}

impl Drop for PretendedInFlight {
    fn drop(&mut self) {
        if let Some(Reserved { taken, before, after }) = self.reserved.take() {
            let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever came later is above, and stays there.
            if taken.bytes == after {
                taken.bytes = before;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jitlink::graph::Prot;

    fn memory(address: u64, size: u64, page_size: u64) -> PretendedMemory {
        let place = PretendedPlace { address: Some(address), size: Some(size), page_size };
        PretendedMemory { machine: Machine::ALL[0], place, taken: Arc::default() }
    }

    fn segment(align: u64, size: u64) -> Segment {
        Segment { prot: Prot::READ, align, size, content_size: size, far: false }
    }

    fn addresses(memory: &PretendedMemory, segments: &[Segment]) -> Result<Vec<u64>, String> {
        let reserved = memory.reserve(&Request { segments, low: false, thread_local: None });
        let reserved = reserved.map_err(|error| error.to_string())?;
        let addresses = (0..segments.len()).map(|segment| reserved.address(segment)).collect();
        reserved.finalize().map_err(|error| error.to_string())?;
        Ok(addresses)
    }

    #[test]
    fn segments_stand_on_pages_of_their_own() {
        let memory = memory(0xfff0_0000, 100 << 10, 4096);
        assert_eq!(addresses(&memory, &[segment(16, 1), segment(1, 4097)]), Ok(vec![0xfff0_0000, 0xfff0_1000]));
        assert_eq!(addresses(&memory, &[segment(8192, 1)]), Ok(vec![0xfff0_4000]));
    }

    #[test]
    fn any_address_will_do() {
        assert_eq!(addresses(&memory(0, 4096, 4096), &[segment(4096, 4096)]), Ok(vec![0]));
        assert_eq!(addresses(&memory(0x1001, 8192, 16), &[segment(1, 2), segment(1, 2)]), Ok(vec![0x1001, 0x1011]));
        assert_eq!(addresses(&memory(0x1001, 8192, 16), &[segment(8, 2)]), Ok(vec![0x1008]));
        assert_eq!(
            addresses(&memory(u64::MAX - 4095, 8192, 4096), &[segment(1, 1), segment(1, 1)]),
            Ok(vec![u64::MAX - 4095, 0])
        );
    }

    #[test]
    fn a_slab_has_an_end() {
        let memory = memory(0x1000, 8192, 4096);
        assert_eq!(addresses(&memory, &[segment(1, 1)]), Ok(vec![0x1000]));
        let told = "the slab of 0x2000 bytes has no room for 0x1001 more in pages of 0x1000: 0x1 are taken";
        assert_eq!(addresses(&memory, &[segment(1, 4097)]), Err(told.to_owned()));
        assert!(addresses(&memory, &[segment(1, u64::MAX)]).is_err());
        assert_eq!(addresses(&memory, &[segment(1, 4096)]), Ok(vec![0x2000]), "what failed has taken nothing");
    }
}
