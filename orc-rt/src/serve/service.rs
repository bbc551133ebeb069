//! What an executor does for its controller: each message of [`service::down`](crate::service::down), answered from the session.
//!
//! `unsafe` because the controller is trusted as a linker is: what it finalizes is run.
#![allow(unsafe_code)]

use crate::copies::DataRequest;
use crate::debug::{Description, Watchers};
use crate::dlfcn::{Handle, Scope};
use crate::image::{ImageId, ImageInfo};
use crate::keepalive::Teardown;
use crate::memory::{Allocation, Prot, Reach, Request, Reservation, SegmentRequest};
use crate::native::NativeLibrary;
use crate::run::as_a_program;
use crate::serve::lanes::Lanes;
use crate::service::down::{Attach, Attached, Finalize, Native, Release, Reserve, Reserved, SegmentWanted, Write, tag};
use crate::session::Session;
use crate::sync::{Arc, Mutex};
use crate::tls::{self, Storage};
use dispatch::packed::{Pack, Unpack, from_bytes};
use dispatch::{Registry, Reply, Tag, TagInUse};
use dylib_graph::DylibId;
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Most bytes that one read of memory gives, all ranges together.
const MAX_READ: u64 = 64 << 20;

/// Gives descriptors that came along with messages, in order.
pub(crate) type TakeDescriptors = Box<dyn Fn() -> Vec<OwnedFd> + Send + Sync>;

/// A session, as its controller sees it.
pub(crate) struct Service {
    session: Arc<Session>,
    memories: Mutex<HashMap<u64, Memory>>,
    next: AtomicU64,
    descriptors: TakeDescriptors,
    lanes: Arc<Lanes>,
}

/// Memory that the controller has a number for.
enum Memory {
    Reserved(Reservation, Option<Storage>),
    Final { _memory: Allocation, _storage: Option<Storage> },
}

impl Service {
    pub(crate) fn new(session: Arc<Session>, lanes: Arc<Lanes>, descriptors: TakeDescriptors) -> Arc<Self> {
        Arc::new(Self { session, memories: Mutex::default(), next: AtomicU64::new(1), descriptors, lanes })
    }

    /// Puts every message under its tag.
    pub(crate) fn serve(self: &Arc<Self>, registry: &Registry) -> Result<(), TagInUse> {
        self.on(registry, tag::ATTACH, |service, attach: Attach| service.attach(attach))?;
        self.on(registry, tag::RESERVE, |service, wanted: Reserve| service.reserve(&wanted))?;
        self.on_bytes(registry, tag::WRITE, |service, args| {
            from_bytes::<Write<'_>>(args).map(|it| service.write(&it))
        })?;
        self.on_bytes(registry, tag::FINALIZE, |service, args| {
            from_bytes::<Finalize<'_>>(args).map(|it| service.finalize(it))
        })?;
        self.on(registry, tag::RELEASE, |service, release: Release| service.release(&release))?;
        self.on(registry, tag::OPEN_LIBRARY, |service, name: String| {
            let opened = service.session.native().open(&name);
            opened.map(NativeLibrary::number).map_err(|error| error.to_string())
        })?;
        self.on(registry, tag::LOOKUP, |service, (library, names): (Option<u32>, Vec<String>)| {
            let native = service.session.native();
            let found = match library {
                Some(library) => native.lookup(NativeLibrary::from_number(library), &names),
                None => native.lookup_process(&names),
            };
            found.into_iter().map(|symbol| symbol.map(Native::from)).collect::<Vec<_>>()
        })?;
        self.on(registry, tag::LOOKUP_THREAD_LOCALS, |service, names: Vec<String>| {
            let found = service.session.native().lookup_thread_locals(&names);
            found.into_iter().map(|symbol| symbol.map(Native::from)).collect::<Vec<_>>()
        })?;
        self.on(registry, tag::COPY_DATA, |service, objects: Vec<(u64, u64)>| service.copy_data(&objects))?;
        self.on(registry, tag::READ_MEMORY, |_, ranges: Vec<(u64, u64)>| read_memory(&ranges))?;
        self.on(registry, tag::SET_ARGUMENTS, |service, arguments: Vec<Vec<u8>>| {
            service.session.set_arguments(arguments).map_err(|error| error.to_string())
        })?;
        self.on(registry, tag::WRITE_SLOTS, |service, slots: Vec<(u64, u64)>| {
            service.session.write_slots(&slots).map_err(|error| error.to_string())
        })?;
        self.on(registry, tag::REPORT_WAITS, |service, milliseconds: u64| {
            service.session.report_waits(Duration::from_millis(milliseconds));
        })?;
        self.on(registry, tag::WATCH, |service, watchers: Watchers| {
            service.session.watch(watchers).map_err(|error| error.to_string())
        })?;
        self.on(registry, tag::DESCRIBE, |service, images: Vec<Description>| service.session.describe(images))?;
        self.serve_calls_that_run_code(registry)
    }

    /// What is called here may run code of the user, below a barrier: an exception that nobody catches ends the process in the words of
    /// the language's own runtime, as it does natively.
    fn serve_calls_that_run_code(self: &Arc<Self>, registry: &Registry) -> Result<(), TagInUse> {
        self.on(registry, tag::END_LANE, |service, lane: u64| service.lanes.end(lane))?;
        self.on(registry, tag::OPEN, |service, (_lane, name, mode): (u64, String, u32)| {
            let opened = as_a_program(|| service.session.dlopen(&name, mode));
            opened.map(Handle::as_raw).map_err(|error| error.to_string())
        })?;
        self.on(registry, tag::CLOSE, |service, (_lane, handle): (u64, u64)| {
            as_a_program(|| service.session.dlclose(Handle::from_raw(handle))).map_err(|error| error.to_string())
        })?;
        self.on(registry, tag::CLOSE_WITH, |service, (_lane, handle, wait): (u64, u64, Option<u64>)| {
            let how = match wait {
                None => Teardown::Park,
                Some(0) => Teardown::Refuse,
                Some(milliseconds) => Teardown::Wait(Duration::from_millis(milliseconds)),
            };
            let handle = Handle::from_raw(handle);
            as_a_program(|| service.session.close_with(handle, how)).map_err(|error| error.to_string())
        })?;
        self.on(registry, tag::UPDATE, |service, (_lane, handle): (u64, u64)| {
            as_a_program(|| service.session.dlupdate(Handle::from_raw(handle))).map_err(|error| error.to_string())
        })?;
        self.on(registry, tag::UNLOAD, |service, (_lane, dylib): (u64, u32)| {
            let dylib = DylibId::new(dylib).ok_or("a dylib has number 0")?;
            as_a_program(|| service.session.unload(dylib)).map_err(|error| error.to_string())
        })?;
        self.on(registry, tag::REMOVE, |service, (_lane, images): (u64, Vec<u64>)| {
            let images: Vec<ImageId> = images.into_iter().map(ImageId).collect();
            as_a_program(|| service.session.remove_images(&images)).map_err(|error| error.to_string())
        })?;
        self.on(registry, tag::INITIALIZE, |service, (_lane, dylib): (u64, u32)| {
            let dylib = DylibId::new(dylib).ok_or("a dylib has number 0")?;
            as_a_program(|| service.session.initialize_new(dylib)).map_err(|error| error.to_string())
        })?;
        self.on(registry, tag::SYMBOL, |service, (_lane, handle, name): (u64, u64, String)| {
            let scope = Scope::Handle(Handle::from_raw(handle));
            as_a_program(|| service.session.dlsym(scope, &name)).map_err(|error| error.to_string())
        })?;
        self.on(registry, tag::RUN_PROGRAM, |service, (_lane, entry, arguments): (u64, u64, Vec<Vec<u8>>)| {
            // SAFETY: the controller says that it has linked a `main` there; the session checks that the address is of its code.
            let status = as_a_program(|| unsafe { service.session.run_program(entry, arguments) });
            status.map_err(|error| error.to_string())
        })?;
        self.on(registry, tag::END_PROGRAM, |service, (_lane, status): (u64, i32)| {
            as_a_program(|| service.session.end_program(status));
        })?;
        self.on(registry, tag::EXIT, |_, (_lane, status): (u64, i32)| -> () {
            as_a_program(|| std::process::exit(status));
        })
    }

    fn on<A, R>(
        self: &Arc<Self>,
        registry: &Registry,
        tag: Tag,
        answer: impl Fn(&Self, A) -> R + Send + Sync + 'static,
    ) -> Result<(), TagInUse>
    where
        A: for<'a> Unpack<'a>,
        R: Pack,
    {
        let service = Arc::clone(self);
        registry.serve(tag, move |args: A| answer(&service, args))
    }

    /// For messages whose bytes are not to be copied.
    fn on_bytes<R: Pack>(
        self: &Arc<Self>,
        registry: &Registry,
        tag: Tag,
        answer: impl Fn(&Self, &[u8]) -> Result<R, dispatch::PackError> + Send + Sync + 'static,
    ) -> Result<(), TagInUse> {
        let service = Arc::clone(self);
        registry.add(tag, move |args: &[u8]| match answer(&service, args) {
            Ok(answer) => Reply::packed(&answer),
            Err(error) => Reply::error(format!("the arguments of {tag} could not be read: {error}")),
        })
    }

    fn attach(&self, attach: Attach) -> Result<Attached, String> {
        let mut descriptors = (self.descriptors)().into_iter();
        let mut shares_memory = false;
        if let Some(size) = attach.shared_memory {
            let memory = descriptors.next().ok_or("no descriptor of shared memory came along")?;
            shares_memory = self.session.slab().back_with(memory, size);
        }
        if attach.stdio {
            let mut next =
                || descriptors.next().ok_or("the descriptors of standard input, output and error did not come along");
            let (input, output, errors) = (next()?, next()?, next()?);
            let taken = rustix::stdio::dup2_stdin(input)
                .and_then(|()| rustix::stdio::dup2_stdout(output))
                .and_then(|()| rustix::stdio::dup2_stderr(errors));
            taken.map_err(|error| format!("cannot take the controller's standard streams: {error}"))?;
        }
        let entry_points = self.session.entry_points().into_iter();
        Ok(Attached {
            entry_points: entry_points.map(|(name, address)| (name.to_owned(), address)).collect(),
            process: std::process::id(),
            shares_memory,
            descriptor_function: tls::descriptor_function(),
            thread_local_origin: tls::first_module(),
        })
    }

    fn reserve(&self, wanted: &Reserve) -> Result<Reserved, String> {
        let segment = |wanted: &SegmentWanted| {
            let SegmentWanted { prot, align, size, content_size } = *wanted;
            SegmentRequest { prot: Prot::from_bits_truncate(prot), align, size, content_size }
        };
        let segments = wanted.segments.iter().map(segment).collect::<Vec<_>>();
        let reach = if wanted.low { Reach::Low } else { Reach::Near };
        let reservation = self.session.slab().reserve(&Request { segments: &segments, reach });
        let reservation = reservation.map_err(|error| error.to_string())?;
        let storage = wanted.thread_local.map(Storage::reserve).transpose();
        let storage = storage.map_err(|error| error.to_string())?;

        let memory = self.next.fetch_add(1, Ordering::Relaxed);
        let place = |index| (reservation.address(index), reservation.offset(index).unwrap_or(0));
        let reserved = Reserved {
            memory,
            segments: (0..segments.len()).map(place).collect(),
            stale: reservation.stale().iter().map(|range| (range.start, range.end - range.start)).collect(),
            thread_local: storage.as_ref().map(Storage::place),
            watchers: self.session.watchers(),
        };
        self.memories.lock().insert(memory, Memory::Reserved(reservation, storage));
        Ok(reserved)
    }

    fn write(&self, write: &Write<'_>) -> Result<(), String> {
        match self.memories.lock().get_mut(&write.memory) {
            Some(Memory::Reserved(reservation, _)) => {
                put(reservation, write.segment as usize, write.offset, write.bytes)
            }
            _ => Err(no_such_memory(write.memory)),
        }
    }

    /// Nothing of it is left if any of it fails.
    fn finalize(&self, finalize: Finalize<'_>) -> Result<Vec<ImageId>, String> {
        let Finalize { memories, images } = finalize;
        let images = images.into_iter().map(ImageInfo::try_from).collect::<Result<Vec<_>, _>>();
        let (mut numbers, mut reservations, mut storages) = (Vec::new(), Vec::new(), Vec::new());
        let mut problem = None;
        for (number, contents) in memories {
            let taken = self.memories.lock().remove(&number);
            match taken {
                Some(Memory::Reserved(mut reservation, storage)) => {
                    for (segment, bytes) in contents.into_iter().enumerate().filter(|(_, bytes)| !bytes.is_empty()) {
                        problem = problem.or(put(&mut reservation, segment, 0, bytes).err());
                    }
                    numbers.push(number);
                    reservations.push(reservation);
                    storages.push(storage);
                }
                Some(already @ Memory::Final { .. }) => {
                    self.memories.lock().insert(number, already);
                    problem = problem.or(Some(format!("memory {number} is final already")));
                }
                None => problem = problem.or(Some(no_such_memory(number))),
            }
        }
        // From here on whatever fails drops what was taken out: the memories go back.
        let images = images?;
        if let Some(problem) = problem {
            return Err(problem);
        }
        let allocations = self.session.slab().finalize_all(reservations).map_err(|error| error.to_string())?;
        // SAFETY: the images are what the controller has linked into memory that was made final just now or before, and that stays until
        // it releases them.
        let registered = unsafe { self.session.register_images(images) }.map_err(|error| error.to_string())?;
        let finals = allocations.into_iter().zip(storages);
        let finals = finals.map(|(memory, storage)| Memory::Final { _memory: memory, _storage: storage });
        self.memories.lock().extend(numbers.into_iter().zip(finals));
        Ok(registered)
    }

    fn release(&self, release: &Release) {
        for &image in &release.images {
            self.session.release_image(ImageId(image));
        }
        let gone: Vec<_> = {
            let mut memories = self.memories.lock();
            release.memories.iter().filter_map(|number| memories.remove(number)).collect()
        };
        drop(gone);
    }

    fn copy_data(&self, objects: &[(u64, u64)]) -> Vec<Result<u64, String>> {
        let objects = objects.iter().map(|&(address, size)| DataRequest { address, size }).collect::<Vec<_>>();
        // SAFETY: the requests are what lookups said of libraries' data; that nobody writes to it at this moment is up to whoever
        // links code that is not position-independent.
        let copied = unsafe { self.session.copy_data(&objects) };
        copied.into_iter().map(|one| one.map_err(|error| error.to_string())).collect()
    }
}

fn no_such_memory(number: u64) -> String {
    format!("there is no memory {number} that waits to be written")
}

/// Writes into a segment; what does not fit is refused.
fn put(reservation: &mut Reservation, segment: usize, offset: u64, bytes: &[u8]) -> Result<(), String> {
    if segment >= reservation.len() {
        return Err(format!("there is no segment {segment}: the memory has {}", reservation.len()));
    }
    if reservation.offset(segment).is_some() {
        return Err(format!("segment {segment} is shared memory: it is written there"));
    }
    let room = reservation.bytes(segment);
    let size = room.len();
    let start = usize::try_from(offset).ok().filter(|&start| start <= size);
    match start.and_then(|start| room.get_mut(start..start.checked_add(bytes.len())?)) {
        Some(place) => {
            place.copy_from_slice(bytes);
            Ok(())
        }
        None => {
            Err(format!("{} bytes at {offset:#x} do not fit into segment {segment} of {size:#x} bytes", bytes.len()))
        }
    }
}

/// Through the system, which answers for addresses where nothing is.
fn read_memory(ranges: &[(u64, u64)]) -> Vec<Result<Vec<u8>, String>> {
    let memory = File::open("/proc/self/mem").map_err(|error| format!("cannot open /proc/self/mem: {error}"));
    let mut left = MAX_READ;
    let read = |&(address, size): &(u64, u64)| {
        let memory = memory.as_ref().map_err(Clone::clone)?;
        if size > left {
            return Err(format!(
                "{size:#x} bytes are more than one read gives, which has {left:#x} of {MAX_READ:#x} left"
            ));
        }
        left -= size;
        let mut bytes = vec![0; size as usize];
        let done = memory.read_exact_at(&mut bytes, address);
        done.map_err(|error| format!("cannot read {size:#x} bytes at {address:#x}: {error}"))?;
        Ok(bytes)
    };
    ranges.iter().map(read).collect()
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memories = self.memories.lock().len();
        f.debug_struct("Service").field("session", &self.session).field("memories", &memories).finish_non_exhaustive()
    }
}
