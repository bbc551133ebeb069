//! Where linked code runs, as the controller sees it.
//!
//! **You give** final memory and registrations. **You get** addresses, calls, and the runtime's `jit_dlopen`. One trait; the
//! session is the same whatever implements it.

mod in_process;
pub mod llvm;
mod pretended;
pub mod remote;

pub use in_process::{InProcess, SlabInFlight, SlabMemory};
pub use pretended::{Pretended, PretendedInFlight, PretendedMemory, PretendedPlace};
pub use remote::Remote;

use dispatch::{CallError, Caller, Reply, Tag};
use dylib_graph::DylibId;
use jitlink::arch::Machine;
use jitlink::memory::{InFlight, Memory};
use orc_rt::image::{ImageId, ImageInfo};
use orc_rt::native::{NativeLibrary, NativeSymbol};
use orc_rt::service::down::Ended;
use orc_rt::{Changes, DataRequest, Description, Teardown, WaitHook, Watchers};
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A handle of the runtime's `jit_dlopen`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Handle(pub u64);

/// The executor could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ExecutorError(pub String);

/// A process (this one, or another) that runs linked code.
pub trait Executor: Send + Sync + fmt::Debug + Sized + 'static {
    /// Its memory, as the linker writes it.
    type Memory: Memory<InFlight: InFlight<Allocation = Self::Allocation>>;
    /// Final memory; dropping it gives it back to the executor.
    type Allocation: Send + fmt::Debug;

    /// Code runs in this process, whose death nobody else will tell.
    const IS_THIS_PROCESS: bool = false;

    /// Its memory.
    fn memory(&self) -> &Self::Memory;

    /// Its processor, for which everything is linked.
    fn machine(&self) -> &'static Machine {
        Machine::named(std::env::consts::ARCH).unwrap_or(Machine::ALL[0])
    }

    /// Whether functions of another calling convention than its own are to be called through code in between. One that calls nothing says no.
    fn crosses_conventions(&self) -> bool {
        true
    }

    /// Whether images that were linked for a process like its own can be put into its memory instead of being linked; if not, why.
    ///
    /// # Errors
    /// In words: what is in the way.
    fn caches_images(&self) -> Result<(), &'static str> {
        Ok(())
    }

    /// Tells the executor whom to call for plans and lookups. Called once, before anything else.
    ///
    /// # Errors
    /// When it cannot be reached.
    fn attach(&self, controller: Arc<dyn Caller>) -> Result<(), ExecutorError>;

    /// What the session is to count its changes in, for an executor that then answers what cannot have changed without asking ([`Changes::note`] says
    /// which changes). One that asks every time need not say anything.
    fn changes(&self) -> Changes {
        Changes::default()
    }

    /// Names that the runtime offers to linked code: `jit_dlopen` and its kin, `atexit`, the `dlfcn.h` names.
    fn entry_points(&self) -> Arc<[(String, u64)]>;

    /// Opens a shared library, as a path or as a name that the dynamic loader finds.
    ///
    /// # Errors
    /// In the dynamic loader's words.
    fn open_library(&self, name: &str) -> Result<NativeLibrary, ExecutorError>;

    /// Looks names up in a shared library, or in the process itself.
    ///
    /// # Errors
    /// When the executor cannot be reached.
    fn lookup(
        &self,
        library: Option<NativeLibrary>,
        names: &[&str],
    ) -> Result<Vec<Option<NativeSymbol>>, ExecutorError>;

    /// Looks thread-local variables up in the process, and asks for static storage for those that do not have it yet. What is not found so
    /// may still be found by [`Self::lookup`].
    ///
    /// # Errors
    /// When the executor cannot be reached.
    fn lookup_thread_locals(&self, names: &[&str]) -> Result<Vec<Option<NativeSymbol>>, ExecutorError> {
        Ok(vec![None; names.len()])
    }

    /// Moves data of shared libraries below 2 GiB, as copy relocations do, for code that refers to it in 32 bits
    /// ([`orc_rt::copies`]); the libraries and later lookups find it there. Answers where each object is, or why it cannot move.
    ///
    /// # Errors
    /// When the executor cannot be reached.
    fn copy_data(&self, objects: &[DataRequest]) -> Result<Vec<Result<u64, String>>, ExecutorError>;

    /// Registers finished images that were linked together: unwind information, address ranges; then runs the resolvers of their
    /// indirect functions.
    ///
    /// # Errors
    /// When one cannot be registered; none is then.
    fn register(&self, images: Vec<ImageInfo>) -> Result<Vec<ImageId>, ExecutorError>;

    /// Undoes [`Self::register`] for one image.
    fn release(&self, image: ImageId);

    /// Who is to be told of images from now on, besides those that are told already.
    ///
    /// # Errors
    /// When it cannot tell them, or cannot be reached.
    fn watch(&self, watchers: Watchers) -> Result<(), ExecutorError> {
        let _ = watchers;
        Err(ExecutorError("this executor cannot tell debuggers and profilers of what is linked".into()))
    }

    /// Who is to be told of what is linked now: those whom [`Self::watch`] named, and a debugger that is there. Asked once memory is reserved, and
    /// after each registration; it costs next to nothing.
    fn watchers(&self) -> Watchers {
        Watchers::empty()
    }

    /// What debuggers count offsets of linked thread-local variables from, as its distance from the thread pointer: the storage of the program's first
    /// module ([`jitlink::debug`]).
    fn thread_local_origin(&self) -> Option<i64> {
        None
    }

    /// Tells [`Self::watchers`] of registered images what they have not been told; it is taken back with [`Self::release`].
    ///
    /// # Errors
    /// When the executor cannot be reached.
    fn describe(&self, images: Vec<Description>) -> Result<(), ExecutorError> {
        let _ = images;
        Ok(())
    }

    /// `jit_dlopen`: initializers run on the calling thread (of the executor's process, whichever it chooses for this caller).
    ///
    /// # Errors
    /// The text of `jit_dlerror`.
    fn open(&self, name: &str, mode: u32) -> Result<Handle, ExecutorError>;

    /// `jit_dlclose`.
    ///
    /// # Errors
    /// The text of `jit_dlerror`.
    fn close(&self, handle: Handle) -> Result<(), ExecutorError>;

    /// `jit_dlclose`; `how` says what is to be done when somebody is inside of what would go.
    ///
    /// # Errors
    /// The text of `jit_dlerror`, which says who is inside when it is refused for that. Nothing has changed then.
    fn close_with(&self, handle: Handle, how: Teardown) -> Result<(), ExecutorError> {
        match how {
            Teardown::Park => self.close(handle),
            _ => Err(ExecutorError("this executor does not know who is inside of a dylib".into())),
        }
    }

    /// How long a wait of a thread may last before it is told, and again; zero for never.
    ///
    /// # Errors
    /// When the executor cannot be reached.
    fn report_waits(&self, every: Duration) -> Result<(), ExecutorError> {
        let _ = every;
        Ok(())
    }

    /// Who is told of waits that last. Executors without threads of their own have none to tell of.
    fn on_wait(&self, hook: WaitHook) {
        let _ = hook;
    }

    /// `jit_dlupdate`.
    ///
    /// # Errors
    /// The text of `jit_dlerror`.
    fn update(&self, handle: Handle) -> Result<(), ExecutorError>;

    /// Unloads a dylib that nobody holds, such as one whose initializer threw.
    ///
    /// # Errors
    /// When it is not loaded, or somebody holds it.
    fn unload(&self, dylib: DylibId) -> Result<(), ExecutorError>;

    /// Takes images out of dylibs that stay: destructors of this thread's thread-local objects, exit handlers and finalizers that belong to the
    /// images run in reverse order of what completed, on the calling thread; what has not run is forgotten. Then, at once or when nobody is
    /// inside of them, the controller is asked ([`orc_rt::service::tag::REMOVED`]) to release them. To remove no image says whether it can.
    ///
    /// # Errors
    /// When it cannot, or their dylib is being opened or closed. Nothing has changed then.
    fn remove(&self, images: &[ImageId]) -> Result<(), ExecutorError> {
        let _ = images;
        Err(ExecutorError("this executor cannot remove part of a dylib: close the dylib instead".into()))
    }

    /// Runs what is new in a dylib that is loaded, as [`Self::update`] does, for one that is not open from outside. Nothing happens to one
    /// that is not loaded.
    ///
    /// # Errors
    /// The text of `jit_dlerror`.
    fn initialize(&self, dylib: DylibId) -> Result<(), ExecutorError> {
        let _ = dylib;
        Err(ExecutorError("this executor cannot initialize part of a dylib: open the dylib instead".into()))
    }

    /// Writes slots of stubs: address and new value, each in one store.
    ///
    /// # Errors
    /// When it cannot, or an address is not that of a slot. None is written then.
    fn write_slots(&self, slots: &[(u64, u64)]) -> Result<(), ExecutorError> {
        let _ = slots;
        Err(ExecutorError("this executor cannot redefine functions".into()))
    }

    /// `jit_dlsym`.
    ///
    /// # Errors
    /// The text of `jit_dlerror`.
    fn symbol(&self, handle: Handle, name: &str) -> Result<u64, ExecutorError>;

    /// Sets what initializers and `main` see as their arguments.
    ///
    /// # Errors
    /// When one holds a zero byte.
    fn set_arguments(&self, arguments: &[Vec<u8>]) -> Result<(), ExecutorError>;

    /// Calls `int main(int argc, char **argv, char **envp)` at `entry`.
    ///
    /// # Errors
    /// When the program ended without returning or calling `exit`.
    fn run_program(&self, entry: u64, arguments: &[Vec<u8>]) -> Result<i32, ExecutorError>;

    /// What `exit(status)` does before the process ends: every handler and finalizer of everything that is open runs, in order.
    fn end_program(&self, status: i32);

    /// Ends the executor's process, if it is not this one, as `exit(status)` does once handlers and finalizers have run; the exit code that a
    /// parent of the program would see.
    ///
    /// # Errors
    /// When the process does not end by that.
    fn leave(&self, status: i32) -> Result<i32, ExecutorError> {
        Ok(status)
    }

    /// How the executor's process ended, if it has; waits a moment when it is about to be known.
    fn ended(&self) -> Option<Ended> {
        None
    }

    /// What was last called between controller and executor, in words, the oldest first.
    fn last_calls(&self) -> Vec<String> {
        Vec::new()
    }

    /// Starts anew with another process, in place of one that has ended or is ended by this: nothing is linked there, no dylib is open; it has
    /// been told the arguments, and has opened the libraries, that the old one had.
    /// `forget` makes the session know that: it is called when the old one can ask for nothing any more, and before the new one is used.
    ///
    /// # Errors
    /// When there is no other, or it cannot be reached.
    fn restart(&self, forget: &dyn Fn()) -> Result<(), ExecutorError> {
        let _ = forget;
        Err(ExecutorError("this executor cannot be started anew".into()))
    }
}

/// A controller that is not known yet when the executor is made.
#[derive(Default)]
pub(crate) struct Late(OnceLock<Arc<dyn Caller>>);

impl Late {
    pub(crate) fn set(&self, controller: Arc<dyn Caller>) -> Result<(), ExecutorError> {
        self.0.set(controller).map_err(|_| ExecutorError("the executor has a controller already".into()))
    }
}

impl Caller for Late {
    fn call(&self, tag: Tag, args: &[u8]) -> Result<Reply, CallError> {
        match self.0.get() {
            Some(controller) => controller.call(tag, args),
            None => Ok(Reply::error("the session has no controller yet")),
        }
    }
}

impl fmt::Debug for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Late").field(&self.0.get().is_some()).finish()
    }
}
