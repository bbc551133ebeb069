//! How a connection ends: once, with one reason, which everyone who waits or comes later hears.
//!
//! Invariant: the phase goes from open to over, with at most one stop in between, while somebody is asked for a better reason. During
//! that stop nothing is read or sent any more, the transport is let go, and nobody who waits has been told yet. No lock is held.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use super::link::Link;
use super::turns::State;
use crate::error::{CallError, Disconnect};
use crate::sync::MutexGuard;
use crate::transport::TransportError;

/// Gives a better reason for an end than the plain one.
pub(crate) type Explainer = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

pub(super) enum Phase {
    Open,
    /// This thread asks for a better reason than this one.
    Ending(ThreadId, Arc<Disconnect>),
    Closed(Arc<Disconnect>),
}

/// What the arrival of a frame, or of none, ends.
pub(super) enum End {
    /// The other side has said goodbye, and why.
    Hangup(String),
    /// Anything else: somebody may know better what happened.
    Broken(String),
}

impl State {
    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    pub(super) fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending(..))
    }

    /// Why it is over. The thread that asks for a better reason gets the plain one, for it would wait for itself.
    pub(super) fn closed(&self) -> Option<&Arc<Disconnect>> {
        match &self.phase {
            Phase::Open => None,
            Phase::Ending(asking, plain) => Some(plain).filter(|_| *asking == thread::current().id()),
            Phase::Closed(disconnect) => Some(disconnect),
        }
    }
}

impl Link {
    /// The state of a connection that is open, or why it is not.
    pub(super) fn settled(&self) -> Result<MutexGuard<'_, State>, Arc<Disconnect>> {
        let mut state = self.state.lock();
        loop {
            if let Some(disconnect) = state.closed() {
                return Err(Arc::clone(disconnect));
            }
            if state.is_open() {
                return Ok(state);
            }
            state = self.ended.wait(state);
        }
    }

    pub(crate) fn closed(&self) -> Option<Arc<Disconnect>> {
        self.state.lock().closed().cloned()
    }

    pub(crate) fn wait_closed(&self) -> Arc<Disconnect> {
        let mut state = self.state.lock();
        loop {
            match state.closed() {
                Some(disconnect) => return Arc::clone(disconnect),
                None => state = self.ended.wait(state),
            }
        }
    }

    /// Says goodbye and ends the connection.
    pub(crate) fn hang_up(self: &Arc<Self>, told: Result<(), String>, reason: &str) {
        /// How long a goodbye may take: the other side may not read, and another thread may be blocked in sending to it.
        const PATIENCE: Duration = Duration::from_millis(500);
        let mut state = self.state.lock();
        if !state.is_open() {
            return;
        }
        let goodbye = state.endpoint.hang_up(told);
        self.fail_all(state, reason.to_owned());
        // The connection ends either way; a goodbye that does not arrive is an end without a word.
        if let Some(goodbye) = goodbye {
            let (report, reported) = channel();
            let link = Arc::clone(self);
            let started = thread::Builder::new().name("dispatch-goodbye".to_owned()).spawn(move || {
                let mut sender = link.sender.lock();
                if let Some(sender) = sender.as_mut() {
                    let _ = sender.send(goodbye);
                }
                let sender = sender.take();
                drop(sender);
                let _ = report.send(());
            });
            if started.is_ok() {
                let _ = reported.recv_timeout(PATIENCE);
            }
        }
        self.let_go();
    }

    /// Ends the connection because something is wrong with it.
    /// The other side takes nothing any more. What it said before that is read to its end, if there is somebody to read: it may be why.
    pub(super) fn sending_failed(&self, error: &TransportError) {
        /// How long its last words may take to arrive: they were sent before.
        const LAST_WORDS: Duration = Duration::from_millis(500);
        self.drop_sender();
        let deadline = Instant::now() + LAST_WORDS;
        let mut state = self.state.lock();
        while state.is_open() && (state.receiver.is_none() || state.servers.count > 0) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.ended.wait_for(state, left);
        }
        self.close(state, End::Broken(format!("sending failed: {error}")));
    }

    pub(super) fn disconnect(&self, reason: String) {
        self.close(self.state.lock(), End::Broken(reason));
    }

    pub(super) fn close(&self, mut state: MutexGuard<'_, State>, end: End) {
        if !state.is_open() {
            return;
        }
        let (reason, explain) = match (end, &self.explain) {
            (End::Broken(reason), Some(explain)) => (reason, explain),
            (End::Hangup(reason) | End::Broken(reason), _) => {
                self.fail_all(state, reason);
                self.let_go();
                return;
            }
        };
        let plain = Arc::new(Disconnect { peer: self.name.clone(), reason });
        state.phase = Phase::Ending(thread::current().id(), Arc::clone(&plain));
        // Taken at once, so that nobody begins to read; let go before the question, for the answer may wait for the other side to
        // notice that it is alone.
        let receiver = state.receiver.take();
        drop(state);
        drop(receiver);
        self.let_go();
        let better = catch_unwind(AssertUnwindSafe(|| explain(&plain.reason))).ok().flatten();
        let reason = better.unwrap_or_else(|| plain.reason.clone());
        self.fail_all(self.state.lock(), reason);
    }

    /// Fails every call that waits.
    fn fail_all(&self, mut state: MutexGuard<'_, State>, reason: String) {
        tracing::debug!(target: "dispatch", peer = self.name, reason, "disconnected");
        let disconnect = Arc::new(Disconnect { peer: self.name.clone(), reason });
        state.phase = Phase::Closed(Arc::clone(&disconnect));
        state.recent.end_all();
        for slot in state.endpoint.close() {
            let slot = &mut state.slots[slot];
            slot.answer = Some(Err(CallError::Disconnected(Arc::clone(&disconnect))));
            slot.wake.notify_one();
        }
        state.slots.iter_mut().for_each(|slot| slot.nested.clear());
        self.server_turn.notify_all();
        self.ended.notify_all();
        self.urgent_turn.notify_all();
        self.clock_turn.notify_all();
    }

    /// Lets go of the transport.
    fn let_go(&self) {
        self.wanted.set_over();
        self.drop_sender();
        if let Some(closer) = &self.closer {
            closer.close();
        }
        let receiver = self.state.lock().receiver.take();
        drop(receiver);
    }

    /// Drops the sender, unless a thread is sending: that thread will see that it is over when it is done.
    pub(super) fn drop_sender(&self) {
        let sender = self.sender.try_lock().and_then(|mut sender| sender.take());
        drop(sender);
    }
}
