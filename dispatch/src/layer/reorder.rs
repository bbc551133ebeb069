//! Delivers frames in another order that is as legal, chosen from a seed, so that tests meet the orders that a busy machine would make.
//!
//! What two threads send at the same time may arrive either way, and nothing may depend on which; this layer makes both happen. It holds
//! frames back on the sending side, a few and not for long, and sends what it holds in an order of its own:
//!
//! | may pass each other | because |
//! |---|---|
//! | answers to different calls | they are made by different handlers |
//! | calls | that both wait means that different threads made them, or that the first was given up |
//! | a call and the answer to a call that it is not nested in | the same |
//!
//! | stays where it is | because |
//! |---|---|
//! | a call before the answer to the call that it is nested in | that answer comes of it |
//! | Setup, Hangup, notices, and what is before and behind each | they speak of what came before: a notice may give up a call |
//!
//! The seed decides which frames are held and in which order they go; the clock decides which meet. So a seed is a good guess at a
//! failure's repetition, not the repetition itself.
//!
//! ```
//! use std::sync::Arc;
//! use dispatch::{Connect, Registry, Tag, call_typed, layer::reorder::Reorder, transport::channel};
//!
//! let (here, there) = channel::pair();
//! let services = Arc::new(Registry::new());
//! services.serve(Tag(1), |n: u32| n + 1)?;
//! let executor = Connect::executor(Default::default()).handlers(services).over(Reorder::new(there, 7))?;
//! let peer = Connect::controller().over(Reorder::new(here, 8))?;
//! assert_eq!(call_typed::<_, u32>(&peer, Tag(1), &1u32)?, 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::Dice;
use crate::frame::{Frame, Limits, Opcode};
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::transport::{Closer, SendFrame, Transport, TransportError};

/// A transport whose sending half reorders. Put it on both sides to reorder both directions.
#[derive(Debug)]
pub struct Reorder<T> {
    inner: T,
    seed: u64,
    window: usize,
    hold: Duration,
}

impl<T: Transport> Reorder<T> {
    /// Holds up to eight frames, none for longer than half a millisecond.
    pub fn new(inner: T, seed: u64) -> Self {
        Reorder { inner, seed, window: 8, hold: Duration::from_micros(500) }
    }

    /// How many frames are held at most. With 0 nothing is reordered.
    pub fn window(mut self, frames: usize) -> Self {
        self.window = frames;
        self
    }

    /// How long a frame is held at most, if no other comes to send it.
    pub fn hold(mut self, hold: Duration) -> Self {
        self.hold = hold;
        self
    }
}

/// Whether `later` may be sent before `earlier`, though it came behind it.
pub fn may_pass(earlier: &Frame<'_>, later: &Frame<'_>) -> bool {
    use Opcode::{Call, Result};
    let nested_in = |call: &Frame<'_>, answer: &Frame<'_>| call.seq.parent() == answer.seq.number();
    match (earlier.opcode, later.opcode) {
        (Call, Call) | (Result, Result) => earlier.seq != later.seq,
        (Call, Result) => !nested_in(earlier, later),
        (Result, Call) => !nested_in(later, earlier),
        _ => false,
    }
}

impl<T: Transport> Transport for Reorder<T> {
    type Sender = ReorderSender<T::Sender>;
    type Receiver = T::Receiver;

    fn split(self, limits: &Limits) -> io::Result<(Self::Sender, Self::Receiver)> {
        let (sender, receiver) = self.inner.split(limits)?;
        let line = Line { inner: Some(sender), held: Vec::new(), dice: Dice::new(self.seed), failed: None };
        let shared = Arc::new(Shared {
            line: Mutex::new(line),
            changed: Condvar::default(),
            dropped: AtomicBool::new(false),
            window: self.window,
            hold: self.hold,
        });
        let flusher = Arc::clone(&shared);
        thread::Builder::new().name("dispatch-reorder".to_owned()).spawn(move || flusher.flush_in_time())?;
        Ok((ReorderSender(shared), receiver))
    }

    fn name(&self) -> String {
        self.inner.name()
    }

    fn closer(&self) -> Option<Closer> {
        self.inner.closer()
    }
}

/// The sending half of a [`Reorder`].
pub struct ReorderSender<S>(Arc<Shared<S>>);

struct Shared<S> {
    line: Mutex<Line<S>>,
    changed: Condvar,
    /// Nothing more will be sent; the thread sends what is held and lets go.
    dropped: AtomicBool,
    window: usize,
    hold: Duration,
}

struct Line<S> {
    inner: Option<S>,
    held: Vec<Frame<'static>>,
    dice: Dice,
    /// Why the thread could not send.
    failed: Option<TransportError>,
}

impl<S: SendFrame> Line<S> {
    /// Sends one of the frames that may be next.
    fn release(&mut self) -> Result<(), TransportError> {
        let free: Vec<usize> = (0..self.held.len())
            .filter(|&later| self.held[..later].iter().all(|earlier| may_pass(earlier, &self.held[later])))
            .collect();
        // The first may always be next.
        let Some(&index) = free.get(self.dice.below(free.len())) else { return Ok(()) };
        let frame = self.held.remove(index);
        self.inner.as_mut().ok_or(TransportError::Closed)?.send(frame)
    }

    fn release_all(&mut self) -> Result<(), TransportError> {
        while !self.held.is_empty() {
            self.release()?;
        }
        Ok(())
    }
}

impl<S: SendFrame> SendFrame for ReorderSender<S> {
    fn send(&mut self, frame: Frame<'_>) -> Result<(), TransportError> {
        let mut line = self.0.line.lock();
        if let Some(error) = line.failed.take() {
            return Err(error);
        }
        if !matches!(frame.opcode, Opcode::Call | Opcode::Result) || self.0.window == 0 {
            line.release_all()?;
            return line.inner.as_mut().ok_or(TransportError::Closed)?.send(frame);
        }
        line.held.push(frame.into_owned());
        while line.held.len() > self.0.window || (!line.held.is_empty() && line.dice.below(2) == 0) {
            line.release()?;
        }
        self.0.changed.notify_one();
        Ok(())
    }
}

impl<S: SendFrame> Shared<S> {
    /// Sends what has been held for long enough, until the sender is dropped.
    fn flush_in_time(&self) {
        let mut line = self.line.lock();
        while !self.dropped.load(Ordering::SeqCst) {
            line = if line.held.is_empty() { self.wait(line) } else { self.changed.wait_for(line, self.hold) };
            if let Err(error) = line.release_all() {
                line.failed = Some(error);
                line.inner = None;
                line.held.clear();
            }
        }
        // Whoever dropped the sender need not hear what comes of it.
        let _ = line.release_all();
        line.inner = None;
    }

    /// Waits for something to hold, or the end. Whoever drops the sender cannot take the lock: so look again now and then.
    fn wait<'a>(&self, line: MutexGuard<'a, Line<S>>) -> MutexGuard<'a, Line<S>> {
        let line = self.changed.wait_for(line, Duration::from_millis(20));
        if line.held.is_empty() { line } else { self.changed.wait_for(line, self.hold) }
    }
}

impl<S> Drop for ReorderSender<S> {
    fn drop(&mut self) {
        // The lock may be held by the thread while it is blocked in sending, and the one who drops may be about to end that.
        self.0.dropped.store(true, Ordering::SeqCst);
        self.0.changed.notify_one();
    }
}

impl<S> fmt::Debug for ReorderSender<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReorderSender")
    }
}
