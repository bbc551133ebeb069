//! What carries frames.
//!
//! A [`Transport`] splits in a half that sends and a half that receives; each has one method. You give something that moves whole
//! frames, in order, once each; you get calls in both directions with a [`Peer`](crate::Peer) on top, and every layer of
//! [`crate::layer`] in between. It is not the place for matching answers to calls, for limits on calls, or for authentication of what
//! is called: a transport knows frames alone.
//!
//! | transport | carries frames over |
//! |---|---|
//! | [`channel`] | a pair of queues in this process |
//! | [`loopback`] | one such queue: whoever sends also receives |
//! | [`stream`] | any `Read` + `Write` |
//! | [`pipe`] | a pipe to read from and one to write to |
//! | [`stdio`] | this process's standard input and output |
//! | [`unix`] | a Unix socket, with file descriptors beside the frames; asks the kernel who is there |
//! | [`tcp`] | TCP within this machine |
//! | `tls` (feature `tls`) | TCP between machines, encrypted; certificates or a token say who is there |
//!
//! # A transport of one's own
//!
//! This one carries frames as messages of bytes, as a web socket or a message queue would, and passes the conformance suite.
//!
//! ```
//! use std::io;
//! use std::sync::mpsc::{Receiver, Sender, channel};
//! use dispatch::frame::{Frame, Limits};
//! use dispatch::transport::{RecvFrame, SendFrame, Transport, TransportError};
//!
//! struct Mail { outgoing: Sender<Vec<u8>>, incoming: Receiver<Vec<u8>> }
//! struct Outgoing(Sender<Vec<u8>>);
//! struct Incoming(Receiver<Vec<u8>>, Limits);
//!
//! impl Transport for Mail {
//!     type Sender = Outgoing;
//!     type Receiver = Incoming;
//!
//!     fn split(self, limits: &Limits) -> io::Result<(Outgoing, Incoming)> {
//!         Ok((Outgoing(self.outgoing), Incoming(self.incoming, *limits)))
//!     }
//! }
//!
//! impl SendFrame for Outgoing {
//!     fn send(&mut self, frame: Frame<'_>) -> Result<(), TransportError> {
//!         self.0.send(frame.to_bytes()).map_err(|_| TransportError::Closed)
//!     }
//! }
//!
//! impl RecvFrame for Incoming {
//!     fn recv(&mut self) -> Result<Option<Frame<'static>>, TransportError> {
//!         match self.0.recv() {
//!             Ok(bytes) => Ok(Some(Frame::from_bytes(&bytes, &self.1)?.into_owned())),
//!             Err(_) => Ok(None), // the other side is gone, and everything that it sent has been received
//!         }
//!     }
//! }
//!
//! fn pair() -> (Mail, Mail) {
//!     let (left, right) = (channel(), channel());
//!     (Mail { outgoing: left.0, incoming: right.1 }, Mail { outgoing: right.0, incoming: left.1 })
//! }
//!
//! dispatch::conformance::check(|| Ok(pair()))?;
//! # Ok::<(), dispatch::conformance::Failure>(())
//! ```

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::frame::{Frame, FrameError, Limits};

pub mod channel;
pub mod loopback;
pub mod pipe;
pub mod socket;
pub mod stdio;
pub mod stream;
pub mod tcp;
#[cfg(feature = "tls")]
pub mod tls;
pub mod unix;

/// One end of a connection that carries frames whole, in order, once each. See the [module](self) for a complete example.
pub trait Transport: Sized {
    /// The half that sends.
    type Sender: SendFrame;
    /// The half that receives.
    type Receiver: RecvFrame;

    /// Splits into halves that may be used by two threads at once. `limits.max_frame` is the largest frame that the receiving half may
    /// accept, before it allocates anything.
    ///
    /// # Errors
    /// The system refused.
    fn split(self, limits: &Limits) -> io::Result<(Self::Sender, Self::Receiver)>;

    /// The other side as errors should call it, e.g. `tcp 127.0.0.1:4000`.
    fn name(&self) -> String {
        "the peer".to_owned()
    }

    /// A way to end the connection from any thread, also one that never touches the halves. Without one, a thread that is blocked in
    /// a half stays so until the other side closes.
    fn closer(&self) -> Option<Closer> {
        None
    }
}

/// The sending half. Dropping it tells the other side that nothing more will come.
pub trait SendFrame: Send + 'static {
    /// Sends one frame; may block until there is room.
    ///
    /// # Errors
    /// The frame was not sent, or not whole: the connection is over.
    fn send(&mut self, frame: Frame<'_>) -> Result<(), TransportError>;
}

/// The receiving half.
pub trait RecvFrame: Send + 'static {
    /// Waits for the next frame. `None`: the other side has closed, and all that it sent has been received.
    ///
    /// # Errors
    /// What came is no frame, or the connection broke: it is over.
    fn recv(&mut self) -> Result<Option<Frame<'static>>, TransportError>;
}

impl<S: SendFrame + ?Sized> SendFrame for Box<S> {
    fn send(&mut self, frame: Frame<'_>) -> Result<(), TransportError> {
        (**self).send(frame)
    }
}

impl<R: RecvFrame + ?Sized> RecvFrame for Box<R> {
    fn recv(&mut self) -> Result<Option<Frame<'static>>, TransportError> {
        (**self).recv()
    }
}

/// Two halves are a transport, whatever each is made of.
impl<S: SendFrame, R: RecvFrame> Transport for (S, R) {
    type Sender = S;
    type Receiver = R;
    fn split(self, _: &Limits) -> io::Result<(S, R)> {
        Ok(self)
    }
}

/// Ends a connection in both directions: both sides' receiving halves come to their end, and this side's blocked threads return. Doing
/// it twice is doing it once.
#[derive(Clone)]
pub struct Closer(Arc<dyn Fn() + Send + Sync>);

impl Closer {
    /// A closer that calls `close`.
    pub fn new(close: impl Fn() + Send + Sync + 'static) -> Self {
        Closer(Arc::new(close))
    }

    /// Ends the connection.
    pub fn close(&self) {
        (self.0)();
    }
}

impl fmt::Debug for Closer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closer")
    }
}

/// A connection that broke.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The other side is gone, or this one has been closed.
    #[error("it is closed")]
    Closed,
    /// What came is no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The system reported an error.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A layer ended the connection on purpose, or found it wrong.
    #[error("{0}")]
    Layer(String),
}
