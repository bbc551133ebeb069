//! Whose turn it is to read, and where the answers and nested calls of waiting threads are kept.
//!
//! Everything here happens under one lock, and waits for nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::clock::Heard;
use super::end::Phase;
use super::recent::Recent;
use super::urgent::Urgent;
use crate::call::{Reply, Tag};
use crate::endpoint::Endpoint;
use crate::error::CallError;
use crate::frame::Seq;
use crate::sync::Condvar;
use crate::transport::RecvFrame;

/// A waiting call's place in [`State::slots`].
pub(crate) type SlotId = usize;

pub(super) struct State {
    pub(super) endpoint: Endpoint<SlotId>,
    /// Waiting calls; slots and their condition variables are used again.
    pub(super) slots: Vec<Slot>,
    pub(super) free: Vec<SlotId>,
    pub(super) receiver: Option<Box<dyn RecvFrame>>,
    /// Waiting calls that would read if it were their turn.
    pub(super) followers: Vec<SlotId>,
    pub(super) servers: Servers,
    /// Calls that wait with a limit: they do not read, a server thread must.
    pub(super) limited: usize,
    /// Counts the calls that were not nested in others.
    pub(super) activity: u64,
    pub(super) phase: Phase,
    pub(super) recent: Recent,
    pub(super) urgent: Urgent,
    pub(super) heard: Heard,
}

#[derive(Default)]
pub(super) struct Servers {
    /// All of them but those that are busy in a handler.
    pub(super) count: usize,
    /// Those that wait to be told.
    pub(super) parked: usize,
    /// Those that look again soon.
    pub(super) lingering: usize,
}

/// A call that waits. A thread may have several, one inside the other, and is awake in the innermost alone: so what is nested in any
/// of them is kept at the outermost, and served from wherever the thread waits. (If each served its own alone, two threads that run
/// each other's calls on top of their own would wait for each other for ever.)
pub(super) struct Slot {
    pub(super) wake: Arc<Condvar>,
    pub(super) answer: Option<Result<Reply, CallError>>,
    /// The call: its number, and what is called.
    pub(super) seq: Seq,
    pub(super) tag: Tag,
    /// Its frame has been sent.
    pub(super) sent: bool,
    /// It was given up before that.
    pub(super) cancel_when_sent: bool,
    /// The outermost waiting call of the same thread, maybe this one.
    pub(super) outermost: SlotId,
    /// The next outer one; this one if there is none.
    pub(super) outer: SlotId,
    /// At the outermost: the innermost.
    pub(super) innermost: SlotId,
    /// At the outermost: calls of the other side made on behalf of any of them, for their thread to serve.
    pub(super) nested: VecDeque<Incoming>,
}

impl Slot {
    fn new() -> Self {
        Slot {
            wake: Arc::default(),
            answer: None,
            seq: Seq::NONE,
            tag: Tag(0),
            sent: false,
            cancel_when_sent: false,
            outermost: 0,
            outer: 0,
            innermost: 0,
            nested: VecDeque::new(),
        }
    }
}

/// A call of the other side.
pub(super) struct Incoming {
    pub(super) seq: Seq,
    pub(super) tag: Tag,
    pub(super) args: Vec<u8>,
}

/// What a reader reads for.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Reader {
    Caller(SlotId),
    Server,
}

/// What a reader does after a frame.
pub(super) enum Next {
    ReadOn,
    /// There is something for this reader, or somebody else should read.
    Stop,
    Dispatch(Incoming),
    /// A notice, and what it says.
    Tell(Tag, Vec<u8>),
}

impl State {
    pub(super) fn new(endpoint: Endpoint<SlotId>, receiver: Box<dyn RecvFrame>) -> Self {
        State {
            endpoint,
            slots: Vec::new(),
            free: Vec::new(),
            receiver: Some(receiver),
            followers: Vec::new(),
            servers: Servers::default(),
            limited: 0,
            activity: 0,
            phase: Phase::Open,
            recent: Recent::default(),
            urgent: Urgent::default(),
            heard: Heard::new(),
        }
    }

    /// A place for a call, made by the thread whose outermost waiting call is `outermost`.
    pub(super) fn occupy(&mut self, outermost: Option<SlotId>) -> SlotId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::new());
            self.slots.len() - 1
        });
        let outermost = outermost.unwrap_or(slot);
        let outer = if outermost == slot { slot } else { self.slots[outermost].innermost };
        let place = &mut self.slots[slot];
        (place.outermost, place.outer) = (outermost, outer);
        (place.sent, place.cancel_when_sent) = (false, false);
        self.slots[outermost].innermost = slot;
        slot
    }

    /// Gives the place back; what was still meant for its thread, if it waits for nothing any more, is returned.
    pub(super) fn vacate(&mut self, slot: SlotId) -> VecDeque<Incoming> {
        let Slot { outermost, outer, .. } = self.slots[slot];
        self.slots[outermost].innermost = outer;
        self.slots[slot].answer = None;
        self.free.push(slot);
        std::mem::take(&mut self.slots[slot].nested)
    }

    /// The next call for the thread of `slot` to serve.
    pub(super) fn next_nested(&mut self, slot: SlotId) -> Option<Incoming> {
        let outermost = self.slots[slot].outermost;
        self.slots[outermost].nested.pop_front()
    }

    /// Tells the thread of `slot` that there is something for it.
    pub(super) fn wake(&mut self, slot: SlotId, reader: Reader, linger: Duration) -> Next {
        if reader == Reader::Caller(slot) {
            return Next::Stop;
        }
        self.unfollow(slot);
        self.slots[slot].wake.notify_one();
        // A server thread steps aside for callers: the next answer is then read by the one who wants it.
        if reader == Reader::Server && !linger.is_zero() && self.limited == 0 { Next::Stop } else { Next::ReadOn }
    }

    pub(super) fn unfollow(&mut self, slot: SlotId) {
        self.followers.retain(|&follower| follower != slot);
    }

    /// If nobody reads, wakes the one whose turn it is: a waiting call before a server thread.
    pub(super) fn pass_on(&mut self, server_turn: &Condvar) {
        if self.receiver.is_none() {
            return;
        }
        if let Some(follower) = self.followers.pop() {
            self.slots[follower].wake.notify_one();
        } else if self.limited > 0 {
            server_turn.notify_all();
        } else if self.servers.lingering == 0 && self.servers.parked > 0 {
            server_turn.notify_one();
        }
    }
}
