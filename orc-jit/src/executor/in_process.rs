//! The executor that is this process: the linker writes where the code will run.
//!
//! `unsafe` because linked code is trusted as a linker is: what is registered is what was linked.
#![allow(unsafe_code)]

use super::{Executor, ExecutorError, Handle, Late};
use dispatch::Caller;
use dylib_graph::DylibId;
use jitlink::memory::{InFlight, Memory, MemoryError, Request, ThreadLocal, ThreadLocalRequest};
use orc_rt::dlfcn::Scope;
use orc_rt::image::{ImageId, ImageInfo};
use orc_rt::memory::{Allocation, Prot, Reach, Reservation, SegmentRequest, Slab};
use orc_rt::native::{NativeLibrary, NativeSymbol};
use orc_rt::tls::Storage;
use orc_rt::{Changes, Config, DataRequest, Description, Session, Teardown, WaitHook, Watchers};
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::Duration;

/// Runs code in this process, on the thread that asks.
#[derive(Debug)]
pub struct InProcess {
    runtime: Arc<Session>,
    controller: Arc<Late>,
    memory: SlabMemory,
    entry_points: Arc<[(String, u64)]>,
    changes: Changes,
}

impl Default for InProcess {
    fn default() -> Self {
        Self::new()
    }
}

impl InProcess {
    /// A runtime of its own; one process may have many.
    #[must_use]
    pub fn new() -> Self {
        Self::with_slab(Slab::new())
    }

    /// The same with memory that the caller has chosen: [`Slab::dual_mapped`] where a security policy ends processes that try to make executable what was writable.
    #[must_use]
    pub fn with_slab(slab: Slab) -> Self {
        let controller = Arc::new(Late::default());
        let changes = Changes::default();
        let config = Config { changes: Some(changes.clone()), slab, ..Config::new(controller.clone()) };
        // SAFETY: the controller is the session that owns this executor. Its plans hold what it linked, in memory that it keeps
        // until it hears of the unload.
        let runtime = unsafe { Session::new(config) };
        let memory = SlabMemory(runtime.clone());
        let entry_points =
            runtime.entry_points().into_iter().map(|(name, address)| (name.to_owned(), address)).collect();
        Self { runtime, controller, memory, entry_points, changes }
    }

    /// The runtime: memory, ledger, keepalives.
    #[must_use]
    pub fn runtime(&self) -> &Arc<Session> {
        &self.runtime
    }
}

impl Executor for InProcess {
    type Memory = SlabMemory;
    type Allocation = SlabAllocation;

    const IS_THIS_PROCESS: bool = true;

    fn memory(&self) -> &SlabMemory {
        &self.memory
    }

    fn attach(&self, controller: Arc<dyn Caller>) -> Result<(), ExecutorError> {
        self.controller.set(controller)
    }

    fn changes(&self) -> Changes {
        self.changes.clone()
    }

    fn entry_points(&self) -> Arc<[(String, u64)]> {
        self.entry_points.clone()
    }

    fn open_library(&self, name: &str) -> Result<NativeLibrary, ExecutorError> {
        self.runtime.native().open(name).map_err(|error| ExecutorError(error.to_string()))
    }

    fn lookup(
        &self,
        library: Option<NativeLibrary>,
        names: &[&str],
    ) -> Result<Vec<Option<NativeSymbol>>, ExecutorError> {
        let native = self.runtime.native();
        Ok(match library {
            Some(library) => native.lookup(library, names),
            None => native.lookup_process(names),
        })
    }

    fn lookup_thread_locals(&self, names: &[&str]) -> Result<Vec<Option<NativeSymbol>>, ExecutorError> {
        Ok(self.runtime.native().lookup_thread_locals(names))
    }

    fn copy_data(&self, objects: &[DataRequest]) -> Result<Vec<Result<u64, String>>, ExecutorError> {
        // SAFETY: the requests are what lookups said of libraries' data. The session is locked while it links, so it unloads nothing
        // meanwhile. That no other thread writes to the data at this moment is up to whoever links code that is not position-independent.
        let copied = unsafe { self.runtime.copy_data(objects) };
        Ok(copied.into_iter().map(|one| one.map_err(|error| error.to_string())).collect())
    }

    fn register(&self, images: Vec<ImageInfo>) -> Result<Vec<ImageId>, ExecutorError> {
        // SAFETY: the images are what the session has just linked and finalized; it keeps their memory until it has released
        // them. Tables and resolvers are those of the objects that the user trusts to be run.
        unsafe { self.runtime.register_images(images) }.map_err(|error| ExecutorError(error.to_string()))
    }

    fn release(&self, image: ImageId) {
        self.runtime.release_image(image);
    }

    fn watch(&self, watchers: Watchers) -> Result<(), ExecutorError> {
        self.runtime.watch(watchers).map_err(|error| ExecutorError(error.to_string()))
    }

    fn watchers(&self) -> Watchers {
        self.runtime.watchers()
    }

    fn thread_local_origin(&self) -> Option<i64> {
        Some(orc_rt::tls::first_module())
    }

    fn describe(&self, images: Vec<Description>) -> Result<(), ExecutorError> {
        self.runtime.describe(images);
        Ok(())
    }

    fn open(&self, name: &str, mode: u32) -> Result<Handle, ExecutorError> {
        let opened = self.runtime.dlopen(name, mode);
        opened.map(|handle| Handle(handle.as_raw())).map_err(|error| ExecutorError(error.to_string()))
    }

    fn close(&self, handle: Handle) -> Result<(), ExecutorError> {
        let handle = orc_rt::dlfcn::Handle::from_raw(handle.0);
        self.runtime.dlclose(handle).map_err(|error| ExecutorError(error.to_string()))
    }

    fn close_with(&self, handle: Handle, how: Teardown) -> Result<(), ExecutorError> {
        let handle = orc_rt::dlfcn::Handle::from_raw(handle.0);
        self.runtime.close_with(handle, how).map_err(|error| ExecutorError(error.to_string()))
    }

    fn report_waits(&self, every: Duration) -> Result<(), ExecutorError> {
        self.runtime.report_waits(every);
        Ok(())
    }

    fn on_wait(&self, hook: WaitHook) {
        self.runtime.on_wait(Some(hook));
    }

    fn update(&self, handle: Handle) -> Result<(), ExecutorError> {
        let handle = orc_rt::dlfcn::Handle::from_raw(handle.0);
        self.runtime.dlupdate(handle).map_err(|error| ExecutorError(error.to_string()))
    }

    fn unload(&self, dylib: DylibId) -> Result<(), ExecutorError> {
        self.runtime.unload(dylib).map_err(|error| ExecutorError(error.to_string()))
    }

    fn remove(&self, images: &[ImageId]) -> Result<(), ExecutorError> {
        self.runtime.remove_images(images).map_err(|error| ExecutorError(error.to_string()))
    }

    fn initialize(&self, dylib: DylibId) -> Result<(), ExecutorError> {
        self.runtime.initialize_new(dylib).map_err(|error| ExecutorError(error.to_string()))
    }

    fn write_slots(&self, slots: &[(u64, u64)]) -> Result<(), ExecutorError> {
        self.runtime.write_slots(slots).map_err(|error| ExecutorError(error.to_string()))
    }

    fn symbol(&self, handle: Handle, name: &str) -> Result<u64, ExecutorError> {
        let scope = Scope::Handle(orc_rt::dlfcn::Handle::from_raw(handle.0));
        self.runtime.dlsym(scope, name).map_err(|error| ExecutorError(error.to_string()))
    }

    fn set_arguments(&self, arguments: &[Vec<u8>]) -> Result<(), ExecutorError> {
        let arguments = arguments.iter().map(Vec::as_slice);
        self.runtime.set_arguments(arguments).map_err(|error| ExecutorError(error.to_string()))
    }

    fn run_program(&self, entry: u64, arguments: &[Vec<u8>]) -> Result<i32, ExecutorError> {
        let arguments = arguments.iter().map(Vec::as_slice);
        // SAFETY: the entry is the address of a symbol that the session linked, and the user says that it is a `main`.
        let status = unsafe { self.runtime.run_program(entry, arguments) };
        status.map_err(|error| ExecutorError(error.to_string()))
    }

    fn end_program(&self, status: i32) {
        self.runtime.end_program(status);
    }
}

/// The runtime's slab, as the linker's memory.
#[derive(Debug)]
pub struct SlabMemory(Arc<Session>);

impl SlabMemory {
    fn slab(&self) -> &Slab {
        self.0.slab()
    }
}

impl Memory for SlabMemory {
    type InFlight = SlabInFlight;

    fn reserve(&self, request: &Request<'_>) -> Result<SlabInFlight, MemoryError> {
        let segments: SmallVec<[SegmentRequest; 6]> = request
            .segments
            .iter()
            .map(|segment| SegmentRequest {
                prot: Prot::from_bits_truncate(segment.prot.bits()),
                align: segment.align,
                size: segment.size,
                content_size: segment.content_size,
            })
            .collect();
        let reach = if request.low { Reach::Low } else { Reach::Near };
        let reserved = self.slab().reserve(&orc_rt::memory::Request { segments: &segments, reach });
        let memory = reserved.map_err(|error| MemoryError::because(error.to_string(), error))?;
        let storage = request.thread_local.map(|ThreadLocalRequest { size, align, constant }| {
            Storage::reserve(orc_rt::tls::Wanted { size, align, constant })
        });
        let storage = storage.transpose();
        let storage = storage.map_err(|error| MemoryError::because(error.to_string(), error))?;
        Ok(SlabInFlight { memory, storage })
    }
}

/// Memory that is being written.
#[derive(Debug)]
pub struct SlabInFlight {
    memory: Reservation,
    storage: Option<Storage>,
}

/// Final memory, and the thread-local storage that belongs to it.
#[derive(Debug)]
pub struct SlabAllocation {
    _memory: Allocation,
    _storage: Option<Storage>,
}

impl InFlight for SlabInFlight {
    type Allocation = SlabAllocation;

    fn address(&self, segment: usize) -> u64 {
        self.memory.address(segment)
    }

    fn bytes(&mut self, segment: usize) -> &mut [u8] {
        self.memory.bytes(segment)
    }

    fn thread_local(&self) -> Option<ThreadLocal> {
        let orc_rt::tls::ThreadLocal { module, offset, distance } = self.storage.as_ref()?.place();
        Some(ThreadLocal { module, offset, distance })
    }

    fn descriptor_function(&self) -> Option<u64> {
        Some(orc_rt::tls::descriptor_function())
    }

    fn finalize(self) -> Result<SlabAllocation, MemoryError> {
        let Self { memory, storage } = self;
        let memory = memory.finalize().map_err(|error| MemoryError::because(error.to_string(), error))?;
        Ok(SlabAllocation { _memory: memory, _storage: storage })
    }
}
