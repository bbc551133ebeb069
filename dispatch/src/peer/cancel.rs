//! Calls that nobody waits for any more: ours, which the other side is told of, and the other side's, whose handlers may ask.
//!
//! A call that is given up fails at once, but keeps its number until the other side has answered, as it must: so a late answer is
//! never taken for another call's. The notice of it travels behind the call's own frame, which is why a call remembers that it was sent.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use super::link::Link;
use super::recent::CallState;
use super::turns::{SlotId, State};
use crate::endpoint::Features;
use crate::error::CallError;
use crate::frame::Seq;
use crate::layer::Direction;
use crate::sync::Mutex;

/// Calls off calls of this side, from any thread: each fails with [`CallError::Cancelled`], whatever the other side does, and the other
/// side is told. Clones are one token, which may serve any number of [calls](crate::Peer::call_cancellable).
///
/// ```
/// use std::sync::Arc;
/// use dispatch::{CallError, CancelToken, Connect, Registry, Setup, Tag, transport::channel};
///
/// let (here, there) = channel::pair();
/// let services = Arc::new(Registry::new());
/// services.serve(Tag(1), |(): ()| while !dispatch::cancelled() { std::thread::yield_now() })?;
/// let executor = Connect::executor(Setup::default()).handlers(services).over(there)?;
/// let peer = Connect::controller().over(here)?;
///
/// let token = CancelToken::new();
/// let button = token.clone();
/// std::thread::spawn(move || button.cancel());
/// assert_eq!(peer.call_cancellable(&token, Tag(1), b""), Err(CallError::Cancelled(Tag(1))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct CancelToken(Arc<Token>);

#[derive(Default)]
struct Token {
    cancelled: AtomicBool,
    /// Those that wait.
    calls: Mutex<Vec<(Weak<Link>, Seq)>>,
}

impl CancelToken {
    /// A token that has called off nothing yet.
    pub fn new() -> Self {
        CancelToken::default()
    }

    /// Calls off every call made with this token, and every one that will be.
    pub fn cancel(&self) {
        let calls = {
            let mut calls = self.0.calls.lock();
            self.0.cancelled.store(true, Ordering::SeqCst);
            std::mem::take(&mut *calls)
        };
        for (link, seq) in calls {
            if let Some(link) = link.upgrade() {
                link.revoke(seq);
            }
        }
    }

    /// Whether it has been used.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::SeqCst)
    }

    /// Adds a call, until the guard is dropped. None: it is called off already.
    pub(super) fn register(&self, link: &Arc<Link>, seq: Seq) -> Option<Registered<'_>> {
        let mut calls = self.0.calls.lock();
        if self.is_cancelled() {
            return None;
        }
        let link = Arc::downgrade(link);
        calls.push((link.clone(), seq));
        Some(Registered { token: &self.0, link, seq })
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CancelToken({})", if self.is_cancelled() { "cancelled" } else { "not cancelled" })
    }
}

/// A call that a token may call off.
pub(super) struct Registered<'a> {
    token: &'a Token,
    link: Weak<Link>,
    seq: Seq,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.token.calls.lock().retain(|(link, seq)| *seq != self.seq || !link.ptr_eq(&self.link));
    }
}

/// Whether somebody waits for the answers that a connection's handlers work on.
pub(super) struct Wanted {
    link: u64,
    /// The transport has been let go.
    over: AtomicBool,
    /// How many `given_up` has: mostly none, and then no lock is taken.
    count: AtomicUsize,
    /// Calls of the other side that it has given up and that have no answer yet. Changed under the connection's lock.
    given_up: Mutex<HashSet<Seq>>,
}

impl Wanted {
    pub(super) fn new(link: u64) -> Self {
        Wanted { link, over: AtomicBool::new(false), count: AtomicUsize::new(0), given_up: Mutex::default() }
    }

    /// The connection's number.
    pub(super) fn link(&self) -> u64 {
        self.link
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    pub(super) fn set_over(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_given_up(&self, seq: Seq) -> bool {
        self.count.load(Ordering::SeqCst) > 0 && self.given_up.lock().contains(&seq)
    }

    /// Whether it is news.
    fn give_up(&self, seq: Seq) -> bool {
        let mut given_up = self.given_up.lock();
        let news = given_up.insert(seq);
        self.count.store(given_up.len(), Ordering::SeqCst);
        news
    }

    /// The call has its answer.
    pub(super) fn settle(&self, seq: Seq) {
        if self.count.load(Ordering::SeqCst) > 0 {
            let mut given_up = self.given_up.lock();
            given_up.remove(&seq);
            self.count.store(given_up.len(), Ordering::SeqCst);
        }
    }
}

impl Link {
    /// Calls off a call of this side that waits without reading, and all that its thread calls on its behalf.
    fn revoke(self: &Arc<Self>, seq: Seq) {
        let mut state = self.state.lock();
        let Some(&slot) = state.endpoint.waiter(seq.number()) else { return };
        if state.slots[slot].seq != seq {
            return;
        }
        let outermost = state.slots[slot].outermost;
        let innermost = state.slots[outermost].innermost;
        let mut inner = innermost;
        while inner != slot {
            self.give_up(&mut state, inner);
            inner = state.slots[inner].outer;
        }
        self.give_up(&mut state, slot);
        state.slots[innermost].wake.notify_one();
    }

    /// The other side has given up its call `seq`: so have the calls made on its behalf. Gives their places.
    pub(super) fn cancel_served(self: &Arc<Self>, state: &mut State, seq: Seq) -> Vec<SlotId> {
        if !self.wanted.give_up(seq) {
            return Vec::new();
        }
        let nested = state.endpoint.nested_in(seq);
        nested
            .into_iter()
            .filter_map(|nested| {
                let slot = *state.endpoint.waiter(nested.number())?;
                self.give_up(state, slot);
                Some(slot)
            })
            .collect()
    }

    /// Makes the call of `slot` fail as cancelled, unless it has its answer. Its thread is not woken.
    fn give_up(self: &Arc<Self>, state: &mut State, slot: SlotId) {
        let (seq, tag) = (state.slots[slot].seq, state.slots[slot].tag);
        if state.slots[slot].answer.is_none() && self.abandon(state, seq, slot) {
            state.slots[slot].answer = Some(Err(CallError::Cancelled(tag)));
        }
    }

    /// Takes the waiter of a call away, and has the other side told. Whether there was one.
    pub(super) fn abandon(self: &Arc<Self>, state: &mut State, seq: Seq, slot: SlotId) -> bool {
        if state.endpoint.abandon(seq.number()).is_none() {
            return false;
        }
        state.recent.end(Direction::Sent, seq, CallState::Failed);
        if state.endpoint.features().contains(Features::CANCEL) {
            if state.slots[slot].sent {
                state.urgent.cancels.push_back(seq);
                self.urge(state);
            } else {
                state.slots[slot].cancel_when_sent = true;
            }
        }
        true
    }

    /// The frame of the call of `slot` is on its way.
    pub(super) fn note_sent(self: &Arc<Self>, state: &mut State, slot: SlotId) {
        state.slots[slot].sent = true;
        if std::mem::take(&mut state.slots[slot].cancel_when_sent) {
            let seq = state.slots[slot].seq;
            state.urgent.cancels.push_back(seq);
            self.urge(state);
        }
    }
}
