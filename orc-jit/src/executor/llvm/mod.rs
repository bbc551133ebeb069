//! LLVM's own executor, `llvm-jitlink-executor`, driven through the services that it has.
//!
//! You give a connection to it ([`spawn_with_pipes`], or any transport with [`dispatch::Connect`]); you get an [`Executor`], and the session
//! is the same as with any other. There is no runtime of ours in its process: the loader runs here, linked code sees the process's own C
//! library, and one page of code of ours calls what has arguments.
//!
//! | in linked code | with this executor |
//! |---|---|
//! | initializers, `main`, `exit`, `atexit`, finalizers | as natively, in the same order; each call runs on a thread of its own |
//! | exceptions | as natively inside of linked code and its libraries; one that leaves an initializer, a finalizer or `main` ends the process |
//! | data of shared libraries | through the GOT, or directly where it is near; code without `-fPIC` that needs it below 2 GiB is refused |
//! | thread-local variables | refused when they are linked, by name: the executor has no room for them in its threads |
//! | `dlopen`, `dlsym`, `dladdr` | those of the system, which know no JITDylibs |
//! | a dylib that is closed while a thread is inside of it | as natively: nothing waits for the thread |
//!
//! ```no_run
//! use dispatch::Connect;
//! use orc_jit::executor::llvm::{LlvmExecutor, spawn_with_pipes};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (transport, child) = spawn_with_pipes("llvm-jitlink-executor-19")?;
//! let executor = LlvmExecutor::over(Connect::controller().over(transport)?)?.watching(child)?;
//! let session = orc_jit::Session::new(executor, orc_jit::SessionOptions::default())?;
//! session.add_dylib("main")?.add_object_file("app.o")?;
//! let status = session.run("main", "main", &["app".into()])?;
//! # std::process::exit(status)
//! # }
//! ```

mod code;
mod loader;
mod memory;
mod process;
mod remote;
mod state;
mod undo;

pub use memory::{LlvmAllocation, LlvmInFlight, LlvmMemory};
pub use process::spawn_with_pipes;

use super::{Executor, ExecutorError, Handle};
use dispatch::{Caller, Peer, Setup};
use dylib_graph::DylibId;
use loader::Opener;
use orc_rt::DataRequest;
use orc_rt::image::{ImageId, ImageInfo};
use orc_rt::native::{NativeKind, NativeLibrary, NativeSymbol};
use orc_rt::service::down::Ended;
use process::Ending;
use remote::{Array, Described, Remote};
use std::fmt;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A process of LLVM's that runs linked code. See the [module](self).
pub struct LlvmExecutor {
    remote: Arc<Remote>,
    memory: LlvmMemory,
    opener: Opener,
    /// Handles of libraries, by their number.
    libraries: Mutex<Vec<u64>>,
    last_image: AtomicU64,
}

/// Whether a program at this path is LLVM's executor, by its name.
#[must_use]
pub fn is_named_like(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().contains("llvm-jitlink-executor"))
}

impl LlvmExecutor {
    /// Whether an executor that says this of itself can be driven by [`Self::over`]. One of ours can, too, and better by its own services:
    /// ask for those first.
    #[must_use]
    pub fn is_spoken_by(setup: &Setup) -> bool {
        remote::is_spoken_by(setup)
    }

    /// Drives the executor at the other end. It needs no handlers: nothing there calls back.
    ///
    /// # Errors
    /// It does not have the services of LLVM 19, runs another machine's code, or is gone.
    pub fn over(peer: Peer) -> Result<Self, ExecutorError> {
        let remote = Arc::new(Remote::over(peer)?);
        let memory = LlvmMemory::new(remote.clone());
        let opener = Opener::new(remote.clone());
        Ok(Self { remote, memory, opener, libraries: Mutex::default(), last_image: AtomicU64::new(0) })
    }

    /// Hands over the executor's process, if it is a child of this one: then errors say how it ended, `main` may call `exit`, calls that
    /// wait fail when it ends even if somebody else holds its end of the connection, and it ends soon after this process has.
    ///
    /// # Errors
    /// The system gives no thread, here or there.
    pub fn watching(self, child: Child) -> Result<Self, ExecutorError> {
        let ending = Ending::watch(child, self.remote.peer().downgrade())
            .map_err(|error| ExecutorError(format!("LLVM's executor cannot be watched: {error}")))?;
        self.remote.set_ending(ending);
        self.remote.guard(std::process::id())?;
        Ok(self)
    }

    /// How the process ended; `None` while it runs, or when nobody [watches](Self::watching) it.
    #[must_use]
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.remote.exit_status()
    }

    fn libraries(&self) -> MutexGuard<'_, Vec<u64>> {
        self.libraries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for LlvmExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LlvmExecutor").field("peer", self.remote.peer()).finish_non_exhaustive()
    }
}

/// What dladdr1(3) said, in the session's words.
fn native(address: u64, Described { info, size }: Described) -> NativeSymbol {
    // The low four bits of st_info are the type (gABI, symbol table).
    let kind = match info & 0xf {
        1 | 5 => NativeKind::Data,      // STT_OBJECT, STT_COMMON
        2 | 10 => NativeKind::Function, // STT_FUNC, STT_GNU_IFUNC
        // An address where no symbol begins is what the resolver of an indirect function chose.
        _ if info == 256 => NativeKind::Function,
        _ => NativeKind::Unknown,
    };
    NativeSymbol { address, kind, size: if kind == NativeKind::Data { size } else { 0 } }
}

impl Executor for LlvmExecutor {
    type Memory = LlvmMemory;
    type Allocation = LlvmAllocation;

    fn caches_images(&self) -> Result<(), &'static str> {
        Err("LLVM's executor has no runtime that could say what its process offers")
    }

    fn memory(&self) -> &LlvmMemory {
        &self.memory
    }

    fn attach(&self, controller: Arc<dyn Caller>) -> Result<(), ExecutorError> {
        self.opener.attach(controller)
    }

    /// None: what linked code calls is the process's own.
    fn entry_points(&self) -> Arc<[(String, u64)]> {
        Arc::default()
    }

    fn open_library(&self, name: &str) -> Result<NativeLibrary, ExecutorError> {
        let handle = self.remote.open(name)?;
        let mut handles = self.libraries();
        let number = handles.iter().position(|known| *known == handle).unwrap_or_else(|| {
            handles.push(handle);
            handles.len() - 1
        });
        Ok(NativeLibrary::from_number(number as u32))
    }

    fn lookup(
        &self,
        library: Option<NativeLibrary>,
        names: &[&str],
    ) -> Result<Vec<Option<NativeSymbol>>, ExecutorError> {
        let handle = match library {
            Some(library) => self.libraries().get(library.number() as usize).copied(),
            None => Some(self.remote.process()),
        };
        let Some(handle) = handle.filter(|_| !names.is_empty()) else { return Ok(vec![None; names.len()]) };
        // No symbol has the empty name, nor one with a zero byte; versions are asked for one by one.
        let asked: Vec<&str> = names.iter().map(|name| if name.contains(['\0', '@']) { "" } else { *name }).collect();
        let mut addresses = self.remote.addresses(handle, &asked)?;
        addresses.resize(names.len(), 0);
        for (address, name) in addresses.iter_mut().zip(names) {
            if let Some((name, version)) = name.split_once('@').filter(|_| !name.contains('\0')) {
                // `f@V` asks for that version of f, `f@@V` too (GNU symbol versioning).
                *address = self.remote.versioned(handle, name, version.trim_start_matches('@'))?;
            }
        }
        let found: Vec<u64> = addresses.iter().copied().filter(|address| *address != 0).collect();
        let mut described = found.iter().copied().zip(self.remote.describe(&found)?);
        let next = |address| if address == 0 { None } else { described.next().map(|(at, what)| native(at, what)) };
        Ok(addresses.into_iter().map(next).collect())
    }

    /// Refuses those that the process has: linked code cannot reach them in the threads of this executor.
    fn lookup_thread_locals(&self, names: &[&str]) -> Result<Vec<Option<NativeSymbol>>, ExecutorError> {
        let found = self.lookup(None, names)?;
        match names.iter().zip(&found).find(|(_, symbol)| symbol.is_some()) {
            Some((name, _)) => Err(ExecutorError(format!(
                "thread-local variable {name} of a shared library cannot be used: LLVM's executor does not say where a thread has it; run the \
                 program in orc-executor, or call a function of the library that uses it"
            ))),
            None => Ok(found),
        }
    }

    fn copy_data(&self, objects: &[DataRequest]) -> Result<Vec<Result<u64, String>>, ExecutorError> {
        const WHY: &str = "LLVM's executor cannot move data of shared libraries: compile with -fPIC, or run the program in orc-executor";
        Ok(objects.iter().map(|_| Err(WHY.to_owned())).collect())
    }

    /// Sends what the images are made of; their memory is not written before.
    fn register(&self, images: Vec<ImageInfo>) -> Result<Vec<ImageId>, ExecutorError> {
        for image in &images {
            if let Some(range) = image.ranges.first() {
                self.memory.send(range.start, image.eh_frame)?;
            }
        }
        let mut slots = Vec::new();
        for image in &images {
            for (resolver, slot) in &image.ifuncs {
                let doing = format!("choosing indirect functions of JITDylib {}", image.name);
                let chosen = self.remote.run(&[Array::function(*resolver)], (0, 0), 0, &doing)?;
                slots.push((*slot, chosen));
            }
        }
        self.remote.write_words(&slots)?;
        let number = |_| ImageId::from_number(self.last_image.fetch_add(1, Ordering::Relaxed) + 1);
        Ok(images.iter().map(number).collect())
    }

    /// Nothing is left to undo: what was registered goes with the image's memory.
    fn release(&self, _image: ImageId) {}

    fn open(&self, name: &str, mode: u32) -> Result<Handle, ExecutorError> {
        self.opener.open(name, mode).map(Handle)
    }

    fn close(&self, handle: Handle) -> Result<(), ExecutorError> {
        self.opener.close(handle.0)
    }

    fn update(&self, handle: Handle) -> Result<(), ExecutorError> {
        self.opener.update(handle.0)
    }

    fn unload(&self, dylib: DylibId) -> Result<(), ExecutorError> {
        self.opener.unload(dylib)
    }

    fn symbol(&self, handle: Handle, name: &str) -> Result<u64, ExecutorError> {
        self.opener.symbol(handle.0, name)
    }

    fn set_arguments(&self, arguments: &[Vec<u8>]) -> Result<(), ExecutorError> {
        self.opener.set_arguments(arguments)
    }

    /// When `main` calls `exit`, the process ends as natively; its status is the answer if it is [watched](LlvmExecutor::watching).
    fn run_program(&self, entry: u64, arguments: &[Vec<u8>]) -> Result<i32, ExecutorError> {
        self.opener.set_arguments(arguments)?;
        match self.opener.start(&[Array::function(entry)], "running main") {
            Ok(status) => Ok(status as i32),
            Err(error) => self.exit_status().and_then(|status| status.code()).ok_or(error),
        }
    }

    /// Calls `exit` in the process: handlers and finalizers run, what is buffered is written, the process ends with `status`. Nothing can be
    /// done with this executor afterwards.
    fn ended(&self) -> Option<Ended> {
        self.remote.peer().closed()?;
        let status = self.exit_status()?;
        Some(Ended { code: status.code(), signal: status.signal(), fault: None })
    }

    fn end_program(&self, status: i32) {
        if !self.remote.is_over() {
            // The only answer is the end of the connection.
            let _ = self.remote.call(self.remote.c().exit, &[status as u64], "ending the program");
            // The next who asks finds everything written, and no zombie.
            self.remote.exit_status();
        }
    }
}

impl Drop for LlvmExecutor {
    fn drop(&mut self) {
        // The executor would free the memory of handlers that are still to run; `exit` runs them first.
        self.end_program(0);
    }
}
