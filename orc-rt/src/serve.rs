//! An executor for a controller in another process.
//!
//! You give a connection; its other side links, opens and runs code in this process, with all that a [`Session`] has. Whoever
//! connects is trusted with this process: who that may be is decided before (see [`dispatch::transport`]). Executors that are to be
//! isolated, restarted and ended with their controller are processes of their own: [`command`] is the `orc-executor` command as a library.
//!
//! ```no_run
//! use dispatch::transport::unix::Unix;
//! use dispatch::Tag;
//! use orc_rt::serve::Executor;
//!
//! // SAFETY: whoever listens there may run code in this process.
//! let executor = unsafe { Executor::new() };
//! // A service of one's own, for the controller to call.
//! executor.services().serve(Tag(0x1234), |(a, b): (u64, u64)| a + b)?;
//! executor.over(Unix::connect("/run/user/1000/controller")?)?.run()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `unsafe` because a session is made, whose controller is trusted.
#![allow(unsafe_code)]

#[cfg(feature = "executor")]
pub mod command;
mod credit;
mod ending;
#[cfg(feature = "executor")]
mod fault;
#[cfg(feature = "executor")]
mod inherited;
mod lanes;
#[cfg(feature = "executor")]
mod listen;
#[cfg(feature = "executor")]
mod relay;
mod service;
#[cfg(feature = "executor")]
mod signals;
#[cfg(feature = "executor")]
mod supervisor;
#[cfg(feature = "executor")]
mod worker;

pub use credit::Credit;
pub(crate) use ending::leave_now;

use crate::llvm::Services;
use crate::service::down::{VERSION, VERSION_KEY, notice};
use crate::session::{Config, Session};
use crate::signal_mask::{Held, Mask};
use crate::sync::Arc;
use crate::waits::WaitReport;
use dispatch::packed::to_bytes;
use dispatch::transport::Transport;
use dispatch::{CallError, Caller, Connect, ConnectError, Disconnect, Peer, Registry, Reply, Setup, Tag, WeakPeer};
use lanes::{ByLane, Lanes};
use service::{Service, TakeDescriptors};
use std::fmt;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// A session that waits for its controller.
pub struct Executor {
    session: Arc<Session>,
    controller: Arc<Controller>,
    services: Arc<Registry>,
    lanes: Arc<Lanes>,
    descriptors: TakeDescriptors,
    setup: Setup,
    /// What LLVM's controllers ask for.
    llvm: Option<Arc<Services>>,
    configure: Vec<Box<dyn FnOnce(Connect) -> Connect>>,
}

/// The peer, once there is one; it is not kept by the session that it serves.
#[derive(Debug, Default)]
struct Controller {
    peer: OnceLock<WeakPeer>,
    /// It is about to be there: what it asks first may come before its name is known here.
    connecting: AtomicBool,
}

impl Caller for Controller {
    fn call(&self, tag: Tag, args: &[u8]) -> Result<Reply, CallError> {
        if self.peer.get().is_none() && !self.connecting.load(Ordering::SeqCst) {
            return Ok(Reply::error("no controller has connected yet"));
        }
        self.peer.wait().call(tag, args)
    }
}

/// The controller hears of it, if it takes notices; otherwise whoever reads this process's standard error.
fn tell_of_wait(controller: Option<&Controller>, report: &WaitReport) {
    let peer = controller.and_then(|controller| controller.peer.get()).and_then(WeakPeer::upgrade);
    let told = peer.is_some_and(|peer| peer.notify(notice::WAIT, &to_bytes(report)).is_ok());
    if !told {
        // A standard error that is gone cannot be told of that.
        let _ = writeln!(std::io::stderr(), "{report}");
    }
}

impl Executor {
    /// A session in this process.
    ///
    /// # Safety
    /// Whoever is at the other end of the connection can read, write and run everything here.
    pub unsafe fn new() -> Self {
        let controller = Arc::new(Controller::default());
        let mut config = Config::new(controller.clone());
        let told = Arc::downgrade(&controller);
        config.on_wait = Some(Arc::new(move |report| tell_of_wait(told.upgrade().as_deref(), report)));
        // SAFETY: the controller is trusted, by the caller's promise.
        let session = unsafe { Session::new(config) };
        let setup = Setup {
            triple: crate::machine::TRIPLE.to_owned(),
            page_size: crate::sys::page_size(),
            map: vec![(VERSION_KEY.to_owned(), to_bytes(&VERSION))],
            symbols: Vec::new(),
        };
        Self {
            session,
            controller,
            services: Arc::new(Registry::new()),
            lanes: Arc::new(Lanes::default()),
            descriptors: Box::new(Vec::new),
            setup,
            llvm: None,
            configure: Vec::new(),
        }
    }

    /// The session.
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// What the controller can call; those of [`service::down`](crate::service::down) are added when it connects.
    pub fn services(&self) -> &Registry {
        &self.services
    }

    /// Says more about this executor when it connects.
    pub fn describe(&mut self, key: &str, value: Vec<u8>) {
        self.setup.map.push((key.to_owned(), value));
    }

    /// Limits, heartbeat and whatever else a connection can be told.
    pub fn configure(&mut self, configure: impl FnOnce(Connect) -> Connect + 'static) {
        self.configure.push(Box::new(configure));
    }

    /// Serves LLVM's controllers as well ([`crate::llvm`]).
    pub fn speak_with_llvm(&mut self) {
        let services = self.llvm.get_or_insert_with(|| Services::new(&self.session));
        self.setup.symbols = services.symbols();
    }

    /// Where descriptors come from that arrive beside frames, if the connection carries any, in order: with them a controller on the same
    /// machine shares memory with this process ([`Descriptors::take_received`](dispatch::transport::unix::Descriptors::take_received)).
    pub fn receive_descriptors(&mut self, take: impl Fn() -> Vec<OwnedFd> + Send + Sync + 'static) {
        self.descriptors = Box::new(take);
    }

    /// Connects.
    ///
    /// # Errors
    /// The transport failed.
    pub fn over(self, transport: impl Transport) -> Result<Connected, ConnectError> {
        let Self { session, controller, services, lanes, descriptors, setup, llvm, configure } = self;
        let service = Service::new(Arc::clone(&session), Arc::clone(&lanes), descriptors);
        // A tag that the user has taken stays the user's.
        if let Err(error) = service.serve(&services) {
            tracing::warn!(%error, "a service of the executor is not offered");
        }
        let lost = Arc::new(AtomicBool::new(false));
        let note = Arc::clone(&lost);
        let mask = Mask::current();
        let _ = lanes.mask.set(mask);
        let mut connect = Connect::executor(setup)
            .handlers(Arc::new(Answers { services, llvm: llvm.clone(), mask }))
            .dispatcher(ByLane(Arc::clone(&lanes)))
            .explain(move |_| {
                note.store(true, Ordering::SeqCst);
                None
            });
        for configure in configure {
            connect = configure(connect);
        }
        controller.connecting.store(true, Ordering::SeqCst);
        // Threads of the connection take no signal that is the program's.
        let held = Held::all();
        let peer = connect.over(transport)?;
        drop(held);
        // Nothing can have been set before: it is set here alone.
        let _ = controller.peer.set(peer.downgrade());
        Ok(Connected { session, lanes, peer, lost, llvm })
    }
}

/// Handlers by tag; what is left is LLVM's.
struct Answers {
    services: Arc<Registry>,
    llvm: Option<Arc<Services>>,
    /// Which signals the program's threads hold back at first.
    mask: Mask,
}

impl Caller for Answers {
    fn call(&self, tag: Tag, args: &[u8]) -> Result<Reply, CallError> {
        match (self.services.call(tag, args), &self.llvm) {
            (Err(CallError::UnknownTag(_)), Some(llvm)) => {
                // It may run the user's code.
                let _as_the_program = Held::as_in(self.mask);
                llvm.call(tag, args)
            }
            (answer, _) => answer,
        }
    }
}

/// A session whose controller is there.
#[derive(Debug)]
pub struct Connected {
    session: Arc<Session>,
    lanes: Arc<Lanes>,
    peer: Peer,
    lost: Arc<AtomicBool>,
    llvm: Option<Arc<Services>>,
}

impl Connected {
    /// Runs what the controller's first thread calls, on this thread, until the connection ends; then ends the process: as `exit(0)` does when
    /// the controller has said goodbye, and at once when it is lost.
    ///
    /// # Errors
    /// The system gives no thread to watch the connection with.
    pub fn run(self) -> std::io::Result<std::convert::Infallible> {
        crate::crash::prepare_thread();
        let Self { session: _session, lanes, peer, lost, llvm } = self;
        let mask = Mask::current();
        let watch = move || {
            let end = peer.wait_closed();
            // What runs at the exit is the program's.
            mask.set();
            ending::end(&end, lost.load(Ordering::SeqCst), llvm.as_deref());
        };
        let held = Held::all();
        std::thread::Builder::new().name("connection".to_owned()).spawn(watch)?;
        drop(held);
        lanes.run_main()
    }

    /// The session.
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// The controller.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Waits until the connection ends; calls on behalf of the controller's first thread wait as long.
    pub fn wait_closed(&self) -> Arc<Disconnect> {
        self.peer.wait_closed()
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("session", &self.session).finish_non_exhaustive()
    }
}
