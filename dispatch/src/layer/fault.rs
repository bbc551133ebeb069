//! Breaks a connection on purpose, at the message you name, so that tests can ask what happens then.
//!
//! ```
//! use std::sync::Arc;
//! use dispatch::{CallError, Caller, Connect, Registry, Tag, layer::fault::Fault, transport::loopback};
//!
//! // Setup there, Setup here, a call; the line is cut before the call arrives.
//! let cut = Fault::new(loopback::loopback()).cut_at(3);
//! let peer = Connect::executor(Default::default()).over(cut)?;
//! assert!(matches!(peer.call(Tag(1), b""), Err(CallError::Disconnected(_))));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::frame::{Frame, Limits};
use crate::transport::{Closer, RecvFrame, SendFrame, Transport, TransportError};

/// A transport with faults. Messages are counted from 0.
#[derive(Debug)]
pub struct Fault<T> {
    inner: T,
    plan: Plan,
}

#[derive(Debug, Clone, Default)]
struct Plan {
    delay: Duration,
    cut_at: Option<u64>,
    corrupt: Vec<(u64, usize, u8)>,
    truncate: Vec<(u64, usize)>,
}

impl<T: Transport> Fault<T> {
    /// No faults yet.
    pub fn new(inner: T) -> Self {
        Fault { inner, plan: Plan::default() }
    }

    /// Every frame takes `delay` longer, in each direction.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.plan.delay = delay;
        self
    }

    /// Message `index`, both directions counted together, does not pass, and nothing after it.
    pub fn cut_at(mut self, index: u64) -> Self {
        self.plan.cut_at = Some(index);
        self
    }

    /// In received message `index`, the byte at `offset` (modulo the frame's size) is changed by exclusive or with `mask`.
    pub fn corrupt(mut self, index: u64, offset: usize, mask: u8) -> Self {
        self.plan.corrupt.push((index, offset, mask));
        self
    }

    /// Received message `index` ends after `size` bytes, header included.
    pub fn truncate(mut self, index: u64, size: usize) -> Self {
        self.plan.truncate.push((index, size));
        self
    }
}

/// What both halves share.
#[derive(Debug)]
struct Line {
    plan: Plan,
    closer: Option<Closer>,
    passed: AtomicU64,
    is_cut: AtomicBool,
}

impl Line {
    /// Lets one message pass, or says that the line is cut.
    fn pass(&self) -> Result<(), TransportError> {
        let index = self.passed.fetch_add(1, Ordering::SeqCst);
        if self.plan.cut_at.is_some_and(|cut| index >= cut)
            && !self.is_cut.swap(true, Ordering::SeqCst)
            && let Some(closer) = &self.closer
        {
            closer.close();
        }
        if self.is_cut.load(Ordering::SeqCst) {
            return Err(TransportError::Layer("the line was cut, as planned".to_owned()));
        }
        if !self.plan.delay.is_zero() {
            thread::sleep(self.plan.delay);
        }
        Ok(())
    }
}

impl<T: Transport> Transport for Fault<T> {
    type Sender = FaultSender<T::Sender>;
    type Receiver = FaultReceiver<T::Receiver>;

    fn split(self, limits: &Limits) -> io::Result<(Self::Sender, Self::Receiver)> {
        let line = Arc::new(Line {
            plan: self.plan,
            closer: self.inner.closer(),
            passed: AtomicU64::new(0),
            is_cut: AtomicBool::new(false),
        });
        let (sender, receiver) = self.inner.split(limits)?;
        Ok((
            FaultSender { inner: Some(sender), line: Arc::clone(&line) },
            FaultReceiver { inner: receiver, line, limits: *limits, index: 0 },
        ))
    }

    fn name(&self) -> String {
        self.inner.name()
    }

    fn closer(&self) -> Option<Closer> {
        self.inner.closer()
    }
}

/// The sending half of a [`Fault`].
pub struct FaultSender<S> {
    /// Gone once the line is cut, so that the other side sees its end.
    inner: Option<S>,
    line: Arc<Line>,
}

impl<S: SendFrame> SendFrame for FaultSender<S> {
    fn send(&mut self, frame: Frame<'_>) -> Result<(), TransportError> {
        if let Err(error) = self.line.pass() {
            self.inner = None;
            return Err(error);
        }
        self.inner.as_mut().ok_or(TransportError::Closed)?.send(frame)
    }
}

impl<S> fmt::Debug for FaultSender<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FaultSender").field(&self.line).finish()
    }
}

/// The receiving half of a [`Fault`].
pub struct FaultReceiver<R> {
    inner: R,
    line: Arc<Line>,
    limits: Limits,
    index: u64,
}

impl<R: RecvFrame> RecvFrame for FaultReceiver<R> {
    fn recv(&mut self) -> Result<Option<Frame<'static>>, TransportError> {
        let Some(frame) = self.inner.recv()? else { return Ok(None) };
        self.line.pass()?;
        let index = self.index;
        self.index += 1;
        let plan = &self.line.plan;
        let hit = plan.corrupt.iter().any(|c| c.0 == index) || plan.truncate.iter().any(|t| t.0 == index);
        if !hit {
            return Ok(Some(frame));
        }
        let mut bytes = frame.to_bytes();
        for &(_, offset, mask) in plan.corrupt.iter().filter(|c| c.0 == index) {
            let size = bytes.len();
            bytes[offset % size] ^= mask;
        }
        for &(_, size) in plan.truncate.iter().filter(|t| t.0 == index) {
            bytes.truncate(size);
        }
        Ok(Some(Frame::from_bytes(&bytes, &self.limits)?.into_owned()))
    }
}

impl<R> fmt::Debug for FaultReceiver<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FaultReceiver").field(&self.line).finish()
    }
}
