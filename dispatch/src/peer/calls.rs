//! Calls of this side: how a thread waits for its answer, and serves meanwhile what is nested in it.
//!
//! Invariant: a call whose thread must wake up by other means than a frame (a limit of time, a token) never reads, for a thread that
//! is blocked in reading cannot be woken. It is counted in [`State::limited`], and there is a server thread to read for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cancel::CancelToken;
use super::context::{self, Patience};
use super::link::Link;
use super::recent::CallState;
use super::turns::{Reader, SlotId, State};
use crate::call::{Reply, Tag};
use crate::endpoint::{Features, Refusal};
use crate::error::{CallError, Disconnect};
use crate::layer::Direction;
use crate::sync::MutexGuard;

impl Link {
    pub(crate) fn call(
        self: &Arc<Self>,
        tag: Tag,
        args: &[u8],
        timeout: Option<Duration>,
        token: Option<&CancelToken>,
    ) -> Result<Reply, CallError> {
        let limit = timeout.or(self.deadline);
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let place = context::place(self.id);
        let patience = place.patience.and(Patience { deadline, revocable: token.is_some() });
        let mut state = self.settled().map_err(CallError::Disconnected)?;
        match place.parent {
            None => state.activity += 1,
            Some(parent) if self.wanted.is_given_up(parent) => return Err(CallError::Cancelled(tag)),
            Some(_) => {}
        }
        let slot = state.occupy(place.outermost);
        let frame = match state.endpoint.call(tag, args, place.parent, slot) {
            Ok(frame) => frame,
            Err(refusal) => {
                state.vacate(slot);
                return Err(self.refused(refusal, tag));
            }
        };
        let seq = frame.seq;
        (state.slots[slot].seq, state.slots[slot].tag) = (seq, tag);
        let has_parent = state.endpoint.features().contains(Features::PARENT);
        state.recent.begin(Direction::Sent, tag, seq, has_parent, args.len());
        drop(state);
        let registered = token.map(|token| token.register(self, seq));
        if let Some(None) = registered {
            // Called off before it was sent: it is taken back, and the other side never hears of it.
            let mut state = self.state.lock();
            state.endpoint.retract(seq);
            state.recent.end(Direction::Sent, seq, CallState::Failed);
            return self.leave(state, slot, Err(CallError::Cancelled(tag)));
        }
        self.send(frame);
        // Whatever this thread calls while it waits here, it calls from within this call.
        let _waiting = context::waiting(self.id, slot, patience);
        if patience.is_limited() { self.wait_limited(patience, slot) } else { self.wait(slot) }
    }

    pub(super) fn refused(&self, refusal: Refusal, tag: Tag) -> CallError {
        match refusal {
            Refusal::TooLarge { size, limit } => CallError::TooLarge { tag, size, limit },
            Refusal::TooManyPending { limit } => CallError::TooManyPending { limit },
            Refusal::NoNotices => CallError::NoNotices(tag),
            Refusal::NotOpen => {
                CallError::Disconnected(Arc::new(Disconnect { peer: self.name.clone(), reason: refusal.to_string() }))
            }
        }
    }

    /// Waits for the answer: serves what is nested in the call, reads when it is this thread's turn.
    fn wait(self: &Arc<Self>, slot: SlotId) -> Result<Reply, CallError> {
        let mut state = self.state.lock();
        self.note_sent(&mut state, slot);
        loop {
            if let Some(answer) = state.slots[slot].answer.take() {
                return self.leave(state, slot, answer);
            }
            if let Some(call) = state.next_nested(slot) {
                state.unfollow(slot);
                state.pass_on(&self.server_turn);
                drop(state);
                self.serve_call(call);
                state = self.state.lock();
            } else if state.receiver.is_some() {
                state.unfollow(slot);
                state = self.read(state, Reader::Caller(slot));
            } else {
                if !state.followers.contains(&slot) {
                    state.followers.push(slot);
                }
                let wake = Arc::clone(&state.slots[slot].wake);
                state = wake.wait(state);
            }
        }
    }

    /// [`wait`](Link::wait), but never reads.
    fn wait_limited(self: &Arc<Self>, patience: Patience, slot: SlotId) -> Result<Reply, CallError> {
        if self.state.lock().servers.count == 0
            && let Err(error) = Link::serve_in_background(self)
        {
            self.disconnect(format!("no thread can be started to read from it: {error}"));
        }
        let mut state = self.state.lock();
        self.note_sent(&mut state, slot);
        state.limited += 1;
        state.pass_on(&self.server_turn);
        let answer = loop {
            if let Some(answer) = state.slots[slot].answer.take() {
                break answer;
            }
            if let Some(call) = state.next_nested(slot) {
                drop(state);
                self.serve_call(call);
                state = self.state.lock();
                continue;
            }
            let wake = Arc::clone(&state.slots[slot].wake);
            let Some(deadline) = patience.deadline.filter(|_| !state.is_ending()) else {
                // No limit of time, or the connection ends and the reason is on its way.
                state = wake.wait(state);
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let (seq, tag) = (state.slots[slot].seq, state.slots[slot].tag);
                self.abandon(&mut state, seq, slot);
                break Err(CallError::TimedOut(tag));
            }
            state = wake.wait_for(state, left);
        };
        state.limited -= 1;
        self.leave(state, slot, answer)
    }

    /// Ends a call's stay: what was still meant for its thread goes to others.
    fn leave(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        slot: SlotId,
        answer: Result<Reply, CallError>,
    ) -> Result<Reply, CallError> {
        state.unfollow(slot);
        let orphans = state.vacate(slot);
        state.pass_on(&self.server_turn);
        drop(state);
        for call in orphans {
            if let Some(job) = self.dispatcher.dispatch(self.job(call)) {
                job.run();
            }
        }
        answer
    }
}
