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
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::Dice;
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
    jitter: Option<(Duration, u64)>,
    stalls: Vec<(u64, Duration)>,
    silent_from: Option<u64>,
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

    /// Every frame takes up to `most` longer, each for a time of its own that follows from `seed` and its number.
    pub fn jitter(mut self, most: Duration, seed: u64) -> Self {
        self.plan.jitter = Some((most, seed));
        self
    }

    /// Message `index`, both directions counted together, takes `time` longer, and whatever is behind it.
    pub fn stall_at(mut self, index: u64, time: Duration) -> Self {
        self.plan.stalls.push((index, time));
        self
    }

    /// Message `index`, both directions counted together, and all after it are lost, and nobody is told: the line stands, and is
    /// silent.
    pub fn silent_from(mut self, index: u64) -> Self {
        self.plan.silent_from = Some(index);
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

    /// Received message `index` ends after `size` bytes, header included. (A frame of this side that is sent in half needs a
    /// [`CutWriter`] below the transport.)
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
    /// Lets one message pass (true) or be lost, or says that the line is cut.
    fn pass(&self) -> Result<bool, TransportError> {
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
        if self.plan.silent_from.is_some_and(|from| index >= from) {
            return Ok(false);
        }
        let mut delay = self.plan.delay;
        if let Some((most, seed)) = self.plan.jitter {
            let share = Dice::new(seed ^ index.rotate_left(32)).below(1 << 16) as u32;
            delay += most * share / (1 << 16);
        }
        delay += self.plan.stalls.iter().filter(|stall| stall.0 == index).map(|stall| stall.1).sum::<Duration>();
        if !delay.is_zero() {
            thread::sleep(delay);
        }
        Ok(true)
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
        match self.line.pass() {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) => {
                self.inner = None;
                return Err(error);
            }
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
        let (frame, index) = loop {
            let Some(frame) = self.inner.recv()? else { return Ok(None) };
            let index = self.index;
            self.index += 1;
            if self.line.pass()? {
                break (frame, index);
            }
        };
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

/// A writer that passes so many bytes and then fails, for ever: below a [stream](crate::transport::stream) it leaves the other side
/// with half a frame.
///
/// ```
/// use std::io::Write;
/// use dispatch::layer::fault::CutWriter;
///
/// let mut wire = Vec::new();
/// let mut cut = CutWriter::new(&mut wire, 5);
/// assert!(cut.write_all(b"half a frame").is_err());
/// assert_eq!(wire, b"half ");
/// ```
#[derive(Debug)]
pub struct CutWriter<W> {
    inner: W,
    left: usize,
}

impl<W: Write> CutWriter<W> {
    /// Passes `bytes` bytes to `inner`.
    pub fn new(inner: W, bytes: usize) -> Self {
        CutWriter { inner, left: bytes }
    }
}

impl<W: Write> Write for CutWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.left == 0 && !bytes.is_empty() {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the line was cut, as planned"));
        }
        let written = self.inner.write(&bytes[..bytes.len().min(self.left)])?;
        self.left -= written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
