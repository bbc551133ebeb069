//! A controller and an executor for tests to speak through, and a side that is played by hand.
#![allow(dead_code, reason = "each test file uses what it needs")]

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use dispatch::frame::{Frame, Opcode, Seq};
use dispatch::packed::to_bytes;
use dispatch::transport::channel::{self, Channel};
use dispatch::transport::stream::Stream;
use dispatch::transport::{RecvFrame, SendFrame, Transport};
use dispatch::{Connect, Features, Limits, Peer, Registry, Setup, Tag, WeakPeer};

/// The other side, for the handlers of a registry; set once connected.
pub(crate) type Other = Arc<OnceLock<WeakPeer>>;

/// Both sides of one connection.
pub(crate) struct Pair {
    pub(crate) controller: Peer,
    pub(crate) executor: Peer,
}

/// A controller and an executor that serve `ours` and `theirs`; each side's handlers may call through the `Other` they were given.
pub(crate) fn connect(build: impl Fn(Connect) -> Connect, serve: impl Fn(&Registry, Other)) -> Pair {
    let (here, there) = channel::pair();
    connect_over(here, there, &build, &build, serve)
}

/// [`connect`] over transports of one's own; the controller's and the executor's side are built differently.
pub(crate) fn connect_over<A: Transport, B: Transport + Send + 'static>(
    here: A,
    there: B,
    controller: impl FnOnce(Connect) -> Connect,
    executor: impl FnOnce(Connect) -> Connect,
    serve: impl Fn(&Registry, Other),
) -> Pair {
    let handlers = || {
        let (registry, other) = (Arc::new(Registry::new()), Other::default());
        serve(&registry, Arc::clone(&other));
        (registry, other)
    };
    let (registry, executors_other) = handlers();
    let connect = executor(Connect::executor(Setup { triple: "x".into(), ..Setup::default() }).handlers(registry));
    let executor = thread::spawn(move || connect.over(there).unwrap());
    let (registry, controllers_other) = handlers();
    let controller = controller(Connect::controller().handlers(registry)).over(here).unwrap();
    let executor = executor.join().unwrap();
    assert!(executors_other.set(executor.downgrade()).is_ok());
    assert!(controllers_other.set(controller.downgrade()).is_ok());
    if !controller.features().is_empty() {
        eventually("the executor hears what was agreed", || {
            executor.features() == controller.features() || executor.closed().is_some()
        });
    }
    Pair { controller, executor }
}

/// Waits for what another thread is about to do.
pub(crate) fn eventually(what: &str, truth: impl Fn() -> bool) {
    let start = Instant::now();
    while !truth() {
        assert!(start.elapsed() < Duration::from_secs(20), "it never happened that {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The two halves of the line of a side that is played by hand.
pub(crate) struct Hand {
    pub(crate) sender: Box<dyn SendFrame>,
    pub(crate) receiver: Box<dyn RecvFrame>,
}

impl Hand {
    pub(crate) fn new(transport: impl Transport) -> Self {
        let (sender, receiver) = transport.split(&Limits::default()).unwrap();
        Hand { sender: Box::new(sender), receiver: Box::new(receiver) }
    }

    pub(crate) fn send(&mut self, opcode: Opcode, seq: Seq, tag: Tag, payload: &[u8]) {
        self.sender.send(Frame::new(opcode, seq, tag, payload)).unwrap();
    }

    /// The next frame; none at the end.
    pub(crate) fn recv(&mut self) -> Option<Frame<'static>> {
        self.receiver.recv().unwrap()
    }

    /// Says the Setup of an executor that shows `features`, or of a controller that answers one.
    pub(crate) fn introduce(&mut self, features: Features) {
        self.send(Opcode::Setup, Seq::NONE, Tag(0), &setup_with(features));
    }
}

/// What a side that has `features` says of itself.
pub(crate) fn setup_with(features: Features) -> Vec<u8> {
    let map = vec![("orc-dispatch.features".to_owned(), to_bytes(&features.bits()))];
    to_bytes(&Setup { map, ..Setup::default() })
}

/// A controller whose executor is played by hand, over a channel.
pub(crate) fn controller_by_hand(build: impl FnOnce(Connect) -> Connect, features: Features) -> (Peer, Hand) {
    let (here, there) = channel::pair();
    let mut hand = Hand::new(there);
    hand.introduce(features);
    let peer = build(Connect::controller()).over(here).unwrap();
    if !peer.features().is_empty() {
        assert_eq!(hand.recv().unwrap().opcode, Opcode::Setup);
    }
    (peer, hand)
}

/// An executor whose controller is played by hand, over a channel; the controller has said nothing yet.
pub(crate) fn executor_by_hand(build: impl FnOnce(Connect) -> Connect) -> (Peer, Hand) {
    let (here, there): (Channel, Channel) = channel::pair();
    let peer = build(Connect::executor(Setup::default())).over(here).unwrap();
    let mut hand = Hand::new(there);
    assert_eq!(hand.recv().unwrap().opcode, Opcode::Setup);
    (peer, hand)
}

/// One end of a connected pair of sockets as a transport that can be closed.
pub(crate) fn socket(socket: UnixStream) -> io::Result<Stream<UnixStream, UnixStream>> {
    let closer = socket.try_clone()?;
    let close = move || drop(closer.shutdown(std::net::Shutdown::Both));
    Ok(Stream::new(socket.try_clone()?, socket).named("the stranger").on_close(close))
}
