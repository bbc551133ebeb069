//! From a transport to a peer: who speaks first, and what each side says of itself.
//!
//! The executor sends its [`Setup`] first; the controller waits for it before it runs anything. The form is that of LLVM's
//! `SimpleRemoteEPC`, whose executors and controllers are served too: what goes beyond it is offered in the bootstrap map and used only
//! if the other side shows that it knows it.
//!
//! ```
//! use std::sync::Arc;
//! use dispatch::{Connect, Registry, Setup, Tag, call_typed, transport::channel};
//!
//! let (here, there) = channel::pair();
//! let executor = std::thread::spawn(move || {
//!     let services = Arc::new(Registry::new());
//!     services.serve(Tag(1), |(a, b): (u32, u32)| a + b).unwrap();
//!     let peer = Connect::executor(Setup::default()).handlers(services).background(0).over(there).unwrap();
//!     peer.serve() // until the controller hangs up
//! });
//!
//! let peer = Connect::controller().over(here)?;
//! assert_eq!(call_typed::<_, u32>(&peer, Tag(1), &(2u32, 3u32))?, 5);
//! peer.hang_up(Ok(()));
//! assert_eq!(executor.join().unwrap().reason, "it hung up");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use crate::call::{Caller, Tag};
use crate::dispatcher::{Dispatcher, Pool};
use crate::endpoint::{Endpoint, Event, Features, ProtocolError, Role};
use crate::error::PackError;
use crate::frame::{Frame, Limits};
use crate::packed;
use crate::peer::{Explainer, Heartbeat, Link, NoticeHandler, Parts, Peer, Watch};
use crate::registry::Registry;
use crate::transport::{RecvFrame, SendFrame, Transport, TransportError};

/// The bootstrap map's key for [`Features`], as a packed `u64`.
const FEATURES_KEY: &str = "orc-dispatch.features";

crate::packed_struct! {
    /// What an executor says of itself.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct Setup {
        /// What code runs there, e.g. `x86_64-unknown-linux-gnu`.
        pub triple: String,
        /// The size of its pages in bytes.
        pub page_size: u64,
        /// Whatever else is to be known, by name; values are packed.
        pub map: Vec<(String, Vec<u8>)>,
        /// What can be called there, by name: tags or addresses.
        pub symbols: Vec<(String, u64)>,
    }
}

impl Setup {
    /// The value of a name in [`map`](Setup::map).
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        self.map.iter().find(|entry| entry.0 == name).map(|entry| &*entry.1)
    }

    /// The address or tag of a name in [`symbols`](Setup::symbols).
    pub fn symbol(&self, name: &str) -> Option<u64> {
        self.symbols.iter().find(|entry| entry.0 == name).map(|entry| entry.1)
    }

    /// What the peer can do beyond the basic protocol; what this version does not know is left out.
    pub fn features(&self) -> Features {
        let bits = self.value(FEATURES_KEY).and_then(|bytes| packed::from_bytes::<u64>(bytes).ok());
        Features::from_bits_truncate(bits.unwrap_or(0))
    }

    /// Reads a Setup frame's payload.
    ///
    /// # Errors
    /// The bytes are no such description.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PackError> {
        packed::from_bytes(bytes)
    }

    fn with_features(mut self, features: Features) -> Self {
        self.map.retain(|entry| entry.0 != FEATURES_KEY);
        self.map.push((FEATURES_KEY.to_owned(), packed::to_bytes(&features.bits())));
        self
    }
}

/// Makes a [`Peer`] of a transport. The defaults suit most: a pool for the other side's calls, one server thread in the background.
#[must_use = "nothing is connected before `over`"]
pub struct Connect {
    /// What this side says of itself, if it is the executor.
    setup: Option<Setup>,
    features: Features,
    handlers: Arc<dyn Caller>,
    dispatcher: Option<Arc<dyn Dispatcher>>,
    limits: Limits,
    background: usize,
    linger: Duration,
    setup_timeout: Duration,
    deadline: Option<Duration>,
    watch: Watch,
    on_notice: Option<NoticeHandler>,
    explain: Option<Explainer>,
}

impl Connect {
    /// This side drives: it waits for the executor's [`Setup`].
    pub fn controller() -> Self {
        Connect::new(None)
    }

    /// This side executes: it begins by saying `setup`.
    pub fn executor(setup: Setup) -> Self {
        Connect::new(Some(setup))
    }

    fn new(setup: Option<Setup>) -> Self {
        Connect {
            setup,
            features: Features::all(),
            handlers: Arc::new(Registry::new()),
            dispatcher: None,
            limits: Limits::default(),
            background: 1,
            linger: Duration::from_micros(500),
            setup_timeout: Duration::from_secs(10),
            deadline: None,
            watch: Watch::default(),
            on_notice: None,
            explain: None,
        }
    }

    /// What answers the other side's calls: a [`Registry`], or anything that can be called, another peer included. Default: nothing
    /// can be called.
    pub fn handlers(mut self, handlers: Arc<dyn Caller>) -> Self {
        self.handlers = handlers;
        self
    }

    /// On which threads the other side's calls run, unless they are nested in calls of this side. Default: a [`Pool`] of its own.
    pub fn dispatcher(mut self, dispatcher: impl Dispatcher + 'static) -> Self {
        self.dispatcher = Some(Arc::new(dispatcher));
        self
    }

    /// What is accepted from the other side.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How many server threads run in the background. Default: 1. With 0, calls of the other side are read, and its end is noticed,
    /// only while a thread of this side calls or [serves](Peer::serve).
    pub fn background(mut self, threads: usize) -> Self {
        self.background = threads;
        self
    }

    /// How long server threads leave reading to threads that call, after the last call. Default: 500 µs. Zero: not at all.
    ///
    /// It saves each of these calls a hand-over between threads; a call of the other side that comes in such a pause may wait as long.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// How long a controller waits for the executor's Setup. Default: 10 s.
    pub fn setup_timeout(mut self, timeout: Duration) -> Self {
        self.setup_timeout = timeout;
        self
    }

    /// Makes an executor expect that the controller introduces itself: nothing is taken before its Setup, and the connection ends if
    /// none comes in this time. Not for LLVM's controllers, which send none. Default: not expected.
    pub fn expect_setup(mut self, timeout: Duration) -> Self {
        self.watch.setup = Some(timeout);
        self
    }

    /// How long every call of this side waits for its answer, unless it says otherwise ([`Peer::call_within`], which also says what
    /// happens when the time is up). Default: as long as it takes.
    ///
    /// It costs each call a hand-over between threads: a thread that watches the time does not read.
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.deadline = Some(limit);
        self
    }

    /// Watches whether the other side is alive: when nothing has come from it for `every`, it is asked whether it is there; when
    /// nothing at all has come for `patience`, the connection ends. Default: silence is no sign of anything.
    ///
    /// Any frame is a sign of life; the question is answered by whoever reads there, however busy its handlers are (with
    /// [`background(0)`](Connect::background) somebody must always serve there; on this side a server thread is started if there is
    /// none). Nothing happens if the other side does not know [`Features::HEARTBEAT`].
    ///
    /// `patience` should be several times `every`, and longer than the largest frame takes to arrive: a frame counts when it is whole.
    /// Large frames that *this* side sends are allowed for: the time that one takes is not counted, up to a second for each MiB.
    pub fn heartbeat(mut self, every: Duration, patience: Duration) -> Self {
        let every = every.max(Duration::from_millis(1));
        self.watch.heartbeat = Some(Heartbeat { every, patience: patience.max(every) });
        self
    }

    /// What takes the other side's [notices](Peer::notify): their subject, and what they say. Default: they are dropped.
    ///
    /// It runs on the thread that reads, before the next frame is read, so it must not block: above all it must not call the other
    /// side, whose answer nobody would read. It may put the notice where another thread takes it.
    pub fn on_notice(mut self, take: impl Fn(Tag, &[u8]) + Send + Sync + 'static) -> Self {
        self.on_notice = Some(Box::new(take));
        self
    }

    /// Who is asked why the connection ended, once, if it ends by anything but a hangup of this side or a word of goodbye from the
    /// other. `explain` gets the plain reason and may give a better one; every call that waits, and every later one, fails with it.
    ///
    /// Nobody who waits is told before it has answered, not even a call whose time is up. The transport is closed already, and no lock
    /// is held: it may wait for the other side's process to end, and ask [`Peer::recent_calls`]. It should not wait for ever. Should it
    /// call the other side, it gets the plain reason.
    pub fn explain(mut self, explain: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        self.explain = Some(Box::new(explain));
        self
    }

    /// Offers no more than `features` to the other side. Default: all.
    pub fn features(mut self, features: Features) -> Self {
        self.features = features;
        self
    }

    /// Connects. A controller returns when it has the executor's Setup, an executor when it has sent its own.
    ///
    /// # Errors
    /// The transport failed, or the other side did not begin as it should.
    pub fn over(self, transport: impl Transport) -> Result<Peer, ConnectError> {
        let name = transport.name();
        let fail = |cause| ConnectError { peer: name.clone(), cause };
        let closer = transport.closer();
        let (sender, receiver) = transport.split(&self.limits).map_err(|error| fail(Cause::Transport(error.into())))?;
        let mut sender: Box<dyn SendFrame> = Box::new(sender);
        let mut receiver: Box<dyn RecvFrame> = Box::new(receiver);

        let role = if self.setup.is_some() { Role::Executor } else { Role::Controller };
        let mut endpoint = Endpoint::new(role, self.limits);
        if self.watch.setup.is_some() {
            endpoint.expect_setup();
        }
        // A controller has it when it comes to watch.
        let setup = self.watch.setup.filter(|_| role == Role::Executor);
        let watch = Watch { setup, ..self.watch };
        let mut theirs = None;
        let ours = match self.setup {
            Some(setup) => Some(setup.with_features(self.features)),
            None => {
                let (frame, rest) = first_frame(receiver, self.setup_timeout).map_err(|cause| {
                    if let Some(closer) = &closer {
                        closer.close();
                    }
                    fail(cause)
                })?;
                receiver = rest;
                let setup = receive_setup(&mut endpoint, frame).map_err(fail)?;
                let agreed = setup.features() & self.features;
                endpoint.agree(agreed);
                theirs = Some(setup);
                // One that shows no features is of another make, and does not expect an answer.
                (!agreed.is_empty()).then(|| Setup::default().with_features(agreed))
            }
        };
        if let Some(ours) = ours {
            let description = packed::to_bytes(&ours);
            sender.send(endpoint.setup(&description)).map_err(|error| fail(Cause::Transport(error)))?;
        }

        let link = Link::new(Parts {
            name: name.clone(),
            endpoint,
            offered: self.features,
            sender,
            receiver,
            closer,
            target: self.handlers,
            dispatcher: self.dispatcher.unwrap_or_else(|| Arc::new(Pool::default())),
            linger: self.linger,
            max_depth: self.limits.max_depth,
            deadline: self.deadline,
            watch,
            on_notice: self.on_notice,
            explain: self.explain,
        });
        let peer = Peer::new(Arc::clone(&link), theirs);
        for _ in 0..self.background {
            peer.serve_in_background().map_err(|error| fail(Cause::Transport(error.into())))?;
        }
        link.start_clock().map_err(|error| fail(Cause::Transport(error.into())))?;
        Ok(peer)
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("setup", &self.setup)
            .field("limits", &self.limits)
            .field("background", &self.background)
            .finish_non_exhaustive()
    }
}

type Receiver = Box<dyn RecvFrame>;

/// Waits for the first frame, but not for ever: a stranger may connect and say nothing. The thread that waits ends when the transport
/// is closed.
fn first_frame(mut receiver: Receiver, timeout: Duration) -> Result<(Frame<'static>, Receiver), Cause> {
    let (report, reported) = channel();
    thread::Builder::new()
        .name("dispatch-setup".to_owned())
        .spawn(move || {
            let received = receiver.recv();
            // Nobody listens any more if the time is up.
            let _ = report.send((received, receiver));
        })
        .map_err(|error| Cause::Transport(error.into()))?;
    match reported.recv_timeout(timeout) {
        Ok((Ok(Some(frame)), receiver)) => Ok((frame, receiver)),
        Ok((Ok(None), _)) | Err(RecvTimeoutError::Disconnected) => Err(Cause::Silent),
        Ok((Err(error), _)) => Err(Cause::Transport(error)),
        Err(RecvTimeoutError::Timeout) => Err(Cause::TimedOut(timeout)),
    }
}

fn receive_setup(endpoint: &mut Endpoint<usize>, frame: Frame<'static>) -> Result<Setup, Cause> {
    match endpoint.receive(frame)? {
        Event::Setup(description) => Ok(Setup::from_bytes(&description)?),
        Event::Hangup(reason) => Err(Cause::Refused(reason.err().unwrap_or_default())),
        // The endpoint lets nothing else pass before Setup.
        _ => Err(Cause::Silent),
    }
}

/// A connection that did not come about.
#[derive(Debug, thiserror::Error)]
#[error("could not connect to {peer}: {cause}")]
pub struct ConnectError {
    /// The other side, as its transport names it.
    pub peer: String,
    /// What went wrong.
    #[source]
    pub cause: Cause,
}

/// Why a connection did not come about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The transport failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The other side did not begin with Setup.
    #[error("{0}; is it an executor?")]
    Protocol(#[from] ProtocolError),
    /// Its description cannot be read.
    #[error("its description of itself is unreadable: {0}")]
    Setup(#[from] PackError),
    /// It closed the connection at once.
    #[error("it closed the connection before saying anything; did it start and stay alive?")]
    Silent,
    /// It said nothing in time.
    #[error("it said nothing for {0:?}; is it an executor?")]
    TimedOut(Duration),
    /// It hung up with this reason.
    #[error("it hung up: {0}")]
    Refused(String),
}
