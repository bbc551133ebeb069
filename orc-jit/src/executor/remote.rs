//! An executor in another process: started by this one, on the same machine, or anywhere.
//!
//! **You give** a [`Place`] (or a transport); **you get** an [`Executor`]: the session does not know the difference. Linked code is
//! written once, into memory that both processes map, where the connection can carry a descriptor; elsewhere it travels with
//! the message that makes it final. **Not here:** what the other process does ([`orc_rt::serve`]), and what carries frames ([`dispatch::transport`]).
//!
//! ```no_run
//! use orc_jit::executor::remote::Remote;
//! use orc_jit::{Session, SessionOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let executor = Remote::connect(&"spawn".parse()?, Default::default())?;
//! let session = Session::new(executor, SessionOptions::default())?;
//! session.add_dylib("main")?.add_object_file("app.o")?;
//! let status = session.run("main", "main", &["app".into()])?;
//! # std::process::exit(status)
//! # }
//! ```
//!
//! # Threads
//! Each thread that opens, closes, looks up or runs has a thread of its own in the executor; the one that connected has the main thread.
//!
//! # The end of an executor
//! When its process dies, every call that waits fails with how it ended, and the session's errors tell where:
//! [`Error::Ended`](crate::Error::Ended). [`Session::restart`](crate::Session::restart) goes on with a new process.
//! When this process dies, however it does, the executor and all that it has started ends within a second.

mod connection;
mod gate;
mod life;
mod memory;
mod place;
mod streams;

pub use memory::{RemoteAllocation, RemoteInFlight, RemoteMemory};
pub use place::{Place, Reach, shares_terminal};

use super::{Executor, ExecutorError, Handle, Late};
use connection::Connection;
use dispatch::transport::Transport;
use dispatch::{Caller, Connect, Limits, Peer};
use dylib_graph::DylibId;
use jitlink::arch::Machine;
use orc_rt::image::{ImageId, ImageInfo};
use orc_rt::native::{NativeLibrary, NativeSymbol};
use orc_rt::service::down::{Ended, Finalize, ImageMessage, Native, notice, tag};
use orc_rt::{DataRequest, Description, Teardown, WaitHook, Watchers};
use place::Reached;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many bytes of files one message takes, unless the first one is larger.
const MESSAGE: usize = 64 << 20;

/// How a connection to an executor is used.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RemoteOptions {
    /// The program reads this process's standard input, where that has to be passed on. Without it, it finds it at its end.
    pub input: bool,
    /// Bounds on what the executor may send and ask.
    pub limits: Limits,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How often a silent executor is asked whether it is there, and after how much silence it is given up. Calls that take long are no
    /// silence; a process that is stopped, or this one, is. For connections across a network: nearer, the system tells of every end.
    pub heartbeat: Option<(Duration, Duration)>,
    /// How long a call may take that runs no code of the user: what the executor has not answered by then fails.
    pub deadline: Option<Duration>,
    /// Linked code is written into memory that both processes map, where the connection can carry a descriptor. perf takes no names from its map for such
    /// memory; hence not by default when the environment asks for that map.
    pub share_memory: bool,
}

impl Default for RemoteOptions {
    fn default() -> Self {
        Self {
            input: false,
            limits: Limits::default(),
            connect_timeout: Duration::from_secs(10),
            heartbeat: None,
            deadline: None,
            share_memory: !Watchers::from_environment().contains(Watchers::PERF_MAP),
        }
    }
}

/// Runs code in another process. See the [module](self).
pub struct Remote {
    machine: &'static Machine,
    controller: Arc<Late>,
    memory: RemoteMemory,
    current: Arc<Current>,
    /// How another one is reached; connections that were handed over cannot be made again.
    again: Option<(Place, RemoteOptions)>,
    told: Mutex<Told>,
}

/// What another executor is told before anything runs there.
#[derive(Default)]
struct Told {
    arguments: Option<Vec<Vec<u8>>>,
    report_waits: Option<Duration>,
    watchers: Watchers,
    on_wait: Option<WaitHook>,
    /// In the order in which they were opened first, which is what their numbers are.
    libraries: Vec<String>,
}

/// The connection that is in use; another one after a restart.
#[derive(Debug)]
pub(crate) struct Current(Mutex<Arc<Connection>>);

impl Current {
    fn guard(&self) -> MutexGuard<'_, Arc<Connection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self) -> Arc<Connection> {
        self.guard().clone()
    }
}

impl Remote {
    /// Connects to the executor at `place`, or starts it.
    ///
    /// # Errors
    /// It cannot be started or reached, is no executor of ours, or of another version.
    pub fn connect(place: &Place, options: RemoteOptions) -> Result<Self, ExecutorError> {
        Ok(Reach::new(place, options.clone())?.into_remote()?.reachable_again(place.clone(), options))
    }

    /// Uses a connection that somebody has made, with an executor of ours at its other end.
    ///
    /// # Errors
    /// What is at the other end is no executor of ours, or of another version.
    pub fn over(transport: impl Transport, options: RemoteOptions) -> Result<Self, ExecutorError> {
        Reach::over(transport, options)?.into_remote()
    }

    fn reachable_again(mut self, place: Place, options: RemoteOptions) -> Self {
        self.again = Some((place, options));
        self
    }

    fn from_reached(reached: Reached, controller: Arc<Late>) -> Result<Self, ExecutorError> {
        let machine = place::machine(&reached.peer)?;
        let connection = Connection::attach(reached)?;
        let current = Arc::new(Current(Mutex::new(connection)));
        Ok(Self {
            machine,
            controller,
            memory: RemoteMemory::new(current.clone()),
            current,
            again: None,
            told: Mutex::default(),
        })
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, for services of one's own: [`dispatch::call_typed`] calls them.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.current.get().peer.clone()
    }

    /// The number of the executor's process, where it runs.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.current.get().process
    }

    /// Whether linked code is written into memory that both processes map.
    #[must_use]
    pub fn shares_memory(&self) -> bool {
        self.current.get().shared.is_some()
    }

    /// Sends a signal to the executor's process, as kill(2) does.
    ///
    /// # Errors
    /// It is gone.
    pub fn raise(&self, signal: i32) -> Result<(), ExecutorError> {
        self.current.get().raise(signal)
    }

    /// What memory of the executor holds now: `size` bytes at each address.
    ///
    /// # Errors
    /// The executor cannot be reached. Each range has its own result.
    pub fn read_memory(&self, ranges: &[(u64, u64)]) -> Result<Vec<Result<Vec<u8>, String>>, ExecutorError> {
        self.current.get().ask(tag::READ_MEMORY, &ranges.to_vec())
    }
}

impl Executor for Remote {
    type Memory = RemoteMemory;
    type Allocation = RemoteAllocation;

    fn memory(&self) -> &RemoteMemory {
        &self.memory
    }

    fn machine(&self) -> &'static Machine {
        self.machine
    }

    fn attach(&self, controller: Arc<dyn Caller>) -> Result<(), ExecutorError> {
        self.controller.set(controller)
    }

    fn entry_points(&self) -> Arc<[(String, u64)]> {
        self.current.get().entry_points.clone()
    }

    fn open_library(&self, name: &str) -> Result<NativeLibrary, ExecutorError> {
        let number = self.current.get().expect(tag::OPEN_LIBRARY, name)?;
        let libraries = &mut self.told().libraries;
        if !libraries.iter().any(|known| known == name) {
            libraries.push(name.to_owned());
        }
        Ok(NativeLibrary::from_number(number))
    }

    fn lookup(
        &self,
        library: Option<NativeLibrary>,
        names: &[&str],
    ) -> Result<Vec<Option<NativeSymbol>>, ExecutorError> {
        let library = library.map(NativeLibrary::number);
        self.current.get().natives(tag::LOOKUP, &(library, names), names.len())
    }

    fn lookup_thread_locals(&self, names: &[&str]) -> Result<Vec<Option<NativeSymbol>>, ExecutorError> {
        self.current.get().natives(tag::LOOKUP_THREAD_LOCALS, names, names.len())
    }

    fn copy_data(&self, objects: &[DataRequest]) -> Result<Vec<Result<u64, String>>, ExecutorError> {
        let wanted: Vec<(u64, u64)> = objects.iter().map(|object| (object.address, object.size)).collect();
        self.current.get().ask(tag::COPY_DATA, &wanted)
    }

    /// Everything that was made final since the last time becomes so there, and is registered, in one message.
    fn register(&self, images: Vec<ImageInfo>) -> Result<Vec<ImageId>, ExecutorError> {
        let connection = self.current.get();
        let waiting = connection.take_unfinished();
        let memories = waiting.iter().map(|(memory, contents)| (*memory, contents.iter().map(Vec::as_slice).collect()));
        let count = images.len();
        let message =
            Finalize { memories: memories.collect(), images: images.into_iter().map(ImageMessage::from).collect() };
        let ids: Vec<ImageId> = connection.expect(tag::FINALIZE, &message)?;
        if ids.len() == count { Ok(ids) } else { Err(connection.nonsense("as many images as were registered")) }
    }

    fn release(&self, image: ImageId) {
        // Told with the memory that goes back next.
        self.current.get().forget_image(image);
    }

    fn watch(&self, watchers: Watchers) -> Result<(), ExecutorError> {
        self.current.get().watch(watchers)?;
        self.told().watchers |= watchers;
        Ok(())
    }

    fn watchers(&self) -> Watchers {
        self.current.get().watchers()
    }

    fn thread_local_origin(&self) -> Option<i64> {
        Some(self.current.get().thread_local_origin)
    }

    /// In messages that are not too large for a frame.
    fn describe(&self, images: Vec<Description>) -> Result<(), ExecutorError> {
        let connection = self.current.get();
        let mut rest = images.as_slice();
        while !rest.is_empty() {
            let mut size = 0;
            let fits = |image: &&Description| {
                size += image.file.len();
                size <= MESSAGE
            };
            let (now, later) = rest.split_at(rest.iter().take_while(fits).count().max(1));
            let () = connection.ask(tag::DESCRIBE, now)?;
            rest = later;
        }
        Ok(())
    }

    fn open(&self, name: &str, mode: u32) -> Result<Handle, ExecutorError> {
        let connection = self.current.get();
        connection.expect(tag::OPEN, &(connection.lane(), name, mode)).map(Handle)
    }

    fn close(&self, handle: Handle) -> Result<(), ExecutorError> {
        let connection = self.current.get();
        connection.expect(tag::CLOSE, &(connection.lane(), handle.0))
    }

    fn close_with(&self, handle: Handle, how: Teardown) -> Result<(), ExecutorError> {
        let wait = match how {
            Teardown::Park => None,
            Teardown::Refuse => Some(0),
            Teardown::Wait(time) => Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        };
        let connection = self.current.get();
        connection.expect(tag::CLOSE_WITH, &(connection.lane(), handle.0, wait))
    }

    fn report_waits(&self, every: Duration) -> Result<(), ExecutorError> {
        self.current.get().report_waits(every)?;
        self.told().report_waits = Some(every);
        Ok(())
    }

    fn on_wait(&self, hook: WaitHook) {
        self.current.get().waits.set(hook.clone());
        self.told().on_wait = Some(hook);
    }

    fn update(&self, handle: Handle) -> Result<(), ExecutorError> {
        let connection = self.current.get();
        connection.expect(tag::UPDATE, &(connection.lane(), handle.0))
    }

    fn unload(&self, dylib: DylibId) -> Result<(), ExecutorError> {
        let connection = self.current.get();
        connection.expect(tag::UNLOAD, &(connection.lane(), dylib.get()))
    }

    fn remove(&self, images: &[ImageId]) -> Result<(), ExecutorError> {
        if images.is_empty() {
            return Ok(());
        }
        let connection = self.current.get();
        let numbers: Vec<u64> = images.iter().map(|image| image.number()).collect();
        connection.expect(tag::REMOVE, &(connection.lane(), numbers))
    }

    fn initialize(&self, dylib: DylibId) -> Result<(), ExecutorError> {
        let connection = self.current.get();
        connection.expect(tag::INITIALIZE, &(connection.lane(), dylib.get()))
    }

    fn write_slots(&self, slots: &[(u64, u64)]) -> Result<(), ExecutorError> {
        self.current.get().expect(tag::WRITE_SLOTS, slots)
    }

    fn symbol(&self, handle: Handle, name: &str) -> Result<u64, ExecutorError> {
        let connection = self.current.get();
        connection.expect(tag::SYMBOL, &(connection.lane(), handle.0, name))
    }

    fn set_arguments(&self, arguments: &[Vec<u8>]) -> Result<(), ExecutorError> {
        let set: () = self.current.get().expect(tag::SET_ARGUMENTS, arguments)?;
        self.told().arguments = Some(arguments.to_vec());
        Ok(set)
    }

    fn run_program(&self, entry: u64, arguments: &[Vec<u8>]) -> Result<i32, ExecutorError> {
        let connection = self.current.get();
        connection.expect(tag::RUN_PROGRAM, &(connection.lane(), entry, arguments))
    }

    fn end_program(&self, status: i32) {
        let connection = self.current.get();
        // An executor that is gone has nothing left to end.
        let _: Result<(), _> = connection.ask(tag::END_PROGRAM, &(connection.lane(), status));
    }

    fn leave(&self, status: i32) -> Result<i32, ExecutorError> {
        let connection = self.current.get();
        let answer: Result<(), _> = connection.ask(tag::EXIT, &(connection.lane(), status));
        match (connection.ended(), answer) {
            (Some(Ended { code: Some(code), .. }), _) => Ok(code),
            (Some(ended), _) => Err(ExecutorError(life::words(&ended))),
            (None, Err(error)) => Err(error),
            (None, Ok(())) => Err(connection.nonsense("to end")),
        }
    }

    fn ended(&self) -> Option<Ended> {
        self.current.get().ended()
    }

    fn last_calls(&self) -> Vec<String> {
        self.current.get().last_calls()
    }

    /// The old process, if it still lives, gets no time for handlers and finalizers that it has not begun.
    fn restart(&self, forget: &dyn Fn()) -> Result<(), ExecutorError> {
        let Some((place, options)) = &self.again else {
            return Err(ExecutorError("a connection that was handed over cannot be made again".into()));
        };
        let old = self.current.get();
        // First, so that requests that wait for the old one come to their end.
        old.peer.hang_up(Ok(()));
        old.gate.shut();
        let reached = Reach::new(place, options.clone())?.into_reached(&self.controller)?;
        let machine = place::machine(&reached.peer)?;
        if machine.name != self.machine.name {
            let (was, is) = (self.machine.name, machine.name);
            return Err(ExecutorError(format!("the executor that ended was of {was}, the new one is of {is}")));
        }
        let connection = Connection::attach(reached)?;
        // Before anybody else can ask it for anything: initializers see the arguments.
        let told = self.told();
        if let Some(arguments) = &told.arguments {
            let () = connection.expect(tag::SET_ARGUMENTS, arguments)?;
        }
        if let Some(every) = told.report_waits {
            connection.report_waits(every)?;
        }
        if !told.watchers.is_empty() {
            connection.watch(told.watchers)?;
        }
        if let Some(hook) = &told.on_wait {
            connection.waits.set(hook.clone());
        }
        for library in &told.libraries {
            let _number: u32 = connection.expect(tag::OPEN_LIBRARY, library.as_str())?;
        }
        drop(told);
        forget();
        *self.current.guard() = connection;
        Ok(())
    }
}

impl Connection {
    fn watch(&self, watchers: Watchers) -> Result<(), ExecutorError> {
        let told: () = self.expect(tag::WATCH, &watchers)?;
        self.note_watchers(watchers | self.watchers());
        Ok(told)
    }

    fn report_waits(&self, every: Duration) -> Result<(), ExecutorError> {
        let milliseconds = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
        // Less than what is counted is not never.
        self.ask(tag::REPORT_WAITS, &if every.is_zero() { 0 } else { milliseconds.max(1) })
    }

    fn natives<A: dispatch::packed::Pack + ?Sized>(
        &self,
        tag: dispatch::Tag,
        names: &A,
        count: usize,
    ) -> Result<Vec<Option<NativeSymbol>>, ExecutorError> {
        let found: Vec<Option<Native>> = self.ask(tag, names)?;
        if found.len() != count {
            return Err(self.nonsense("an answer for each name"));
        }
        Ok(found.into_iter().map(|symbol| symbol.map(NativeSymbol::from)).collect())
    }
}

impl Drop for Remote {
    /// Ends the executor as `exit(0)` does, so that what the program has written arrives.
    fn drop(&mut self) {
        self.current.get().end();
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("connection", &*self.current.guard()).finish_non_exhaustive()
    }
}

/// Options of a connection that do not depend on what carries it.
fn configured(connect: Connect, options: &RemoteOptions) -> Connect {
    let connect = connect.limits(options.limits).setup_timeout(options.connect_timeout);
    match options.heartbeat {
        Some((every, patience)) => connect.heartbeat(every, patience),
        None => connect,
    }
}

/// The subjects that a controller hears of.
const SUBJECTS: [dispatch::Tag; 5] = [notice::INPUT_ROOM, notice::OUTPUT, notice::ERRORS, notice::ENDED, notice::WAIT];
