//! Tells every frame that passes.
//!
//! ```
//! use std::sync::{Arc, Mutex};
//! use dispatch::{Connect, Registry, Tag, call_typed, layer::trace::Trace, transport::loopback};
//!
//! let lines = Arc::new(Mutex::new(Vec::new()));
//! let sink = Arc::clone(&lines);
//! let traced = Trace::new(loopback::loopback(), move |event| sink.lock().unwrap().push(event.to_string()));
//!
//! let registry = Arc::new(Registry::new());
//! registry.serve(Tag(9), |(): ()| 1u8)?;
//! let peer = Connect::executor(Default::default()).handlers(registry).over(traced)?;
//! call_typed::<_, u8>(&peer, Tag(9), &())?;
//!
//! let lines = lines.lock().unwrap();
//! assert!(lines.contains(&"-> Call call-1 tag-0x9 0 bytes".to_owned()));
//! assert!(lines.contains(&"<- Result call-1 1 bytes".to_owned()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::io;
use std::sync::Arc;

use super::Direction;
use crate::frame::{Frame, Limits};
use crate::transport::{Closer, RecvFrame, SendFrame, Transport, TransportError};

/// What happened; prints as one line.
#[derive(Debug)]
pub enum Traced<'a> {
    /// A frame is about to be sent, or has been received.
    Frame(Direction, &'a Frame<'a>),
    /// The other side closed.
    End,
    /// Sending or receiving failed.
    Error(Direction, &'a TransportError),
}

impl fmt::Display for Traced<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Traced::Frame(direction, frame) => write!(f, "{direction} {frame:?}"),
            Traced::End => write!(f, "{} end", Direction::Received),
            Traced::Error(direction, error) => write!(f, "{direction} error: {error}"),
        }
    }
}

type Sink = Arc<dyn Fn(&Traced<'_>) + Send + Sync>;

/// A transport whose frames are told.
pub struct Trace<T> {
    inner: T,
    sink: Sink,
}

impl<T: Transport> Trace<T> {
    /// Tells `sink`, on the thread that sends or receives.
    pub fn new(inner: T, sink: impl Fn(&Traced<'_>) + Send + Sync + 'static) -> Self {
        Trace { inner, sink: Arc::new(sink) }
    }

    /// Tells `tracing`, at level TRACE with target `dispatch`.
    pub fn to_log(inner: T) -> Self {
        let peer = inner.name();
        Trace::new(inner, move |event| tracing::trace!(target: "dispatch", peer, "{event}"))
    }
}

impl<T: Transport> Transport for Trace<T> {
    type Sender = TraceSender<T::Sender>;
    type Receiver = TraceReceiver<T::Receiver>;

    fn split(self, limits: &Limits) -> io::Result<(Self::Sender, Self::Receiver)> {
        let (sender, receiver) = self.inner.split(limits)?;
        let sink = Arc::clone(&self.sink);
        Ok((TraceSender { inner: sender, sink }, TraceReceiver { inner: receiver, sink: self.sink }))
    }

    fn name(&self) -> String {
        self.inner.name()
    }

    fn closer(&self) -> Option<Closer> {
        self.inner.closer()
    }
}

impl<T: fmt::Debug> fmt::Debug for Trace<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Trace").field(&self.inner).finish()
    }
}

/// The sending half of a [`Trace`].
pub struct TraceSender<S> {
    inner: S,
    sink: Sink,
}

impl<S: SendFrame> SendFrame for TraceSender<S> {
    fn send(&mut self, frame: Frame<'_>) -> Result<(), TransportError> {
        (self.sink)(&Traced::Frame(Direction::Sent, &frame));
        let sent = self.inner.send(frame);
        if let Err(error) = &sent {
            (self.sink)(&Traced::Error(Direction::Sent, error));
        }
        sent
    }
}

impl<S> fmt::Debug for TraceSender<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TraceSender")
    }
}

/// The receiving half of a [`Trace`].
pub struct TraceReceiver<R> {
    inner: R,
    sink: Sink,
}

impl<R: RecvFrame> RecvFrame for TraceReceiver<R> {
    fn recv(&mut self) -> Result<Option<Frame<'static>>, TransportError> {
        let received = self.inner.recv();
        (self.sink)(&match &received {
            Ok(Some(frame)) => Traced::Frame(Direction::Received, frame),
            Ok(None) => Traced::End,
            Err(error) => Traced::Error(Direction::Received, error),
        });
        received
    }
}

impl<R> fmt::Debug for TraceReceiver<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TraceReceiver")
    }
}
