//! The protocol, without I/O, threads or clock: which frame may come now, which call it belongs to, what to send.
//!
//! You give frames that arrived and calls that you want to make; you get frames to send and [`Event`]s. It is not for waiting: the
//! [`Peer`](crate::Peer) does that. Each call is made with a *waiter*, any value of yours, and the endpoint gives every waiter back
//! exactly once: with its answer, to [`abandon`](Endpoint::abandon), or from [`close`](Endpoint::close).
//!
//! ```text
//!   controller                       executor
//!       |  <------- Setup --------------  |     who I am, what I can do (always first)
//!       |  -------- Setup ------------->  |     only where the executor's shows our features: those that both have
//!       |  <======= Call, Result ======>  |     any number at once, both ways, nested, answers in any order
//!       |  <------- Notice ------------>  |     only where both have them; no answer
//!       |  <======= Notice ============>  |     the same, unanswered, where both have them
//!       |  <------- Hangup ------------>  |     last frame of whoever leaves, with the reason
//! ```

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use crate::call::{Reply, Tag};
use crate::frame::{Frame, HEADER_SIZE, Limits, Opcode, Seq, frame_size};
use crate::packed::{self, Status};

mod breach;

pub use breach::{ProtocolError, Refusal};

/// Which side of the connection this is; it decides who speaks first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Waits for the executor's Setup.
    Controller,
    /// Sends its Setup first.
    Executor,
}

bitflags::bitflags! {
    /// What goes beyond LLVM's protocol; used only where both sides have it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct Features: u64 {
        /// A result with tag 1 is an error text. Without it, an error out of band arrives as an empty result.
        const ERROR_TEXT = 1 << 0;
        /// A call's sequence number names the call that it is nested in ([`Seq::parent`]).
        const PARENT = 1 << 1;
        /// Notices may be sent. Without it, one that comes is a breach of the protocol.
        const NOTICE = 1 << 2;
        /// A call that is given up is reported to the side that serves it. Needs `NOTICE`.
        const CANCEL = 1 << 3;
        /// Either side may ask whether the other is still there. Needs `NOTICE`.
        const HEARTBEAT = 1 << 4;
    }
}

/// The tag of a result whose payload is an error text.
const ERROR_TAG: Tag = Tag(1);
/// The subjects of notices below this one belong to the protocol itself.
///
/// | subject | says | payload | with |
/// |---|---|---|---|
/// | 1 | are you there? | none | [`Features::HEARTBEAT`] |
/// | 2 | I am here: the answer to 1 | none | [`Features::HEARTBEAT`] |
/// | 3 | I wait no more for this call | the call's whole sequence number, a `u64` | [`Features::CANCEL`] |
pub const FIRST_SUBJECT: Tag = Tag(0x100);

const PING: Tag = Tag(1);
const PONG: Tag = Tag(2);
const CANCEL: Tag = Tag(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing but the other side's Setup (controller) or our own (executor) may pass.
    BeforeSetup,
    Open,
    Closed,
}

/// One side of a connection. `W` is what waits for an answer.
pub struct Endpoint<W> {
    role: Role,
    phase: Phase,
    limits: Limits,
    features: Features,
    /// A frame of the other side has come: its Setup is no longer welcome.
    heard: bool,
    /// An executor that takes nothing before its controller's Setup.
    expects_setup: bool,
    pending: HashMap<u32, Pending<W>>,
    /// Calls of the other side that have no answer yet, by their whole sequence number, and the size of their arguments.
    serving: HashMap<Seq, u64>,
    /// The sum of these sizes.
    held: u64,
    last_number: u32,
}

struct Pending<W> {
    seq: Seq,
    /// The other side's call on whose behalf it was made.
    parent: Option<Seq>,
    /// None once abandoned: the answer, when it comes, is dropped.
    waiter: Option<W>,
}

/// What an arrived frame means.
#[derive(Debug)]
pub enum Event<'a, W> {
    /// The other side's description of itself.
    Setup(Cow<'a, [u8]>),
    /// A call to serve; [`Endpoint::answer`] it with the same `seq`.
    Call {
        /// Names the call in the answer.
        seq: Seq,
        /// What is called.
        tag: Tag,
        /// The packed arguments.
        args: Cow<'a, [u8]>,
        /// Our own pending call that the other side was serving when it made this one: its waiter is the one to serve it.
        parent: Option<u32>,
    },
    /// The answer that this waiter waited for.
    Answer(W, Reply),
    /// The answer to a call that was abandoned, or a cancellation of one that has been answered; nothing to do.
    Late,
    /// The other side does not wait any more for the answer to its call, which it gets all the same.
    Cancel(Seq),
    /// The other side asks whether this one is there: send a [`pong`](Endpoint::pong), soon.
    Ping,
    /// The answer to a ping; that something came is all that it says.
    Pong,
    /// A message that is not answered.
    Notice {
        /// What it is about.
        subject: Tag,
        /// What it says.
        payload: Cow<'a, [u8]>,
    },
    /// The other side has left; [`Endpoint::close`] is next. An error is its reason.
    Hangup(Result<(), String>),
}

impl<W> Endpoint<W> {
    /// An endpoint before its first frame.
    pub fn new(role: Role, limits: Limits) -> Self {
        Endpoint {
            role,
            phase: Phase::BeforeSetup,
            limits,
            features: Features::empty(),
            heard: false,
            expects_setup: false,
            pending: HashMap::new(),
            serving: HashMap::new(),
            held: 0,
            last_number: 0,
        }
    }

    /// The frame that describes this side: the executor's first, and the controller's answer to a Setup that shows features.
    pub fn setup<'a>(&mut self, description: &'a [u8]) -> Frame<'a> {
        if self.role == Role::Executor && self.phase == Phase::BeforeSetup {
            self.phase = Phase::Open;
        }
        Frame::new(Opcode::Setup, Seq::NONE, Tag(0), description)
    }

    /// Makes an executor take nothing before its controller's Setup. Not for controllers of another make, which send none.
    pub fn expect_setup(&mut self) {
        self.expects_setup = self.role == Role::Executor;
    }

    /// What both sides can do, learnt from the other's Setup. From here on it is used. What cannot be without something else is left
    /// out if that is not there.
    pub fn agree(&mut self, features: Features) {
        let notices = Features::CANCEL | Features::HEARTBEAT;
        self.features = if features.contains(Features::NOTICE) { features } else { features - notices };
    }

    /// What both sides can do.
    pub fn features(&self) -> Features {
        self.features
    }

    /// Begins a call: the frame to send. `parent` is the other side's call that is being served by whoever calls, if any.
    ///
    /// # Errors
    /// The connection is not open or a limit is reached. Nothing changed, the connection goes on, the waiter is dropped.
    pub fn call<'a>(&mut self, tag: Tag, args: &'a [u8], parent: Option<Seq>, waiter: W) -> Result<Frame<'a>, Refusal> {
        if self.phase != Phase::Open {
            return Err(Refusal::NotOpen);
        }
        let (size, limit) = (frame_size(args.len()), self.limits.max_frame);
        if size > limit {
            return Err(Refusal::TooLarge { size, limit });
        }
        if self.pending.len() >= self.limits.max_pending {
            return Err(Refusal::TooManyPending { limit: self.limits.max_pending });
        }
        let told = match parent {
            Some(seq) if self.features.contains(Features::PARENT) => seq.number(),
            _ => 0,
        };
        let seq = Seq::new(self.next_number(), told);
        self.pending.insert(seq.number(), Pending { seq, parent, waiter: Some(waiter) });
        Ok(Frame::new(Opcode::Call, seq, tag, args))
    }

    /// Numbers go round after 2^32 calls; 0 means "no call", and one that still waits keeps its number.
    fn next_number(&mut self) -> u32 {
        loop {
            self.last_number = self.last_number.wrapping_add(1);
            if self.last_number != 0 && !self.pending.contains_key(&self.last_number) {
                return self.last_number;
            }
        }
    }

    /// Takes in a frame that arrived.
    ///
    /// # Errors
    /// The other side broke the protocol. It cannot be trusted to mean what it says any more: hang up and [`close`](Endpoint::close).
    pub fn receive<'a>(&mut self, frame: Frame<'a>) -> Result<Event<'a, W>, ProtocolError> {
        let first = !std::mem::replace(&mut self.heard, true);
        let (opcode, size, limit) = (frame.opcode, frame.size(), self.limits.largest(frame.opcode));
        if size > limit && self.phase != Phase::Closed {
            return Err(ProtocolError::TooLarge { opcode, size, limit });
        }
        match (self.phase, frame.opcode) {
            (Phase::Closed, _) => Err(ProtocolError::Closed),
            (_, Opcode::Hangup) => match packed::from_bytes::<Status>(&frame.payload) {
                Ok(Status(reason)) => Ok(Event::Hangup(reason)),
                Err(error) => Err(ProtocolError::Hangup(error)),
            },
            (_, Opcode::Setup) => self.receive_setup(first, frame),
            (_, opcode) if first && self.expects_setup => Err(ProtocolError::NoSetup { opcode }),
            (Phase::BeforeSetup, opcode) => Err(ProtocolError::NoSetup { opcode }),
            (Phase::Open, Opcode::Call) => self.receive_call(frame),
            (Phase::Open, Opcode::Result) => self.receive_result(frame),
            (Phase::Open, Opcode::Notice) => self.receive_notice(frame),
        }
    }

    /// A message that is not answered: the frame to send.
    ///
    /// # Errors
    /// The connection is not open, the other side takes no notices (or has not said yet that it does), or a limit is reached. Nothing
    /// changed, the connection goes on.
    pub fn notice<'a>(&self, subject: Tag, payload: impl Into<Cow<'a, [u8]>>) -> Result<Frame<'a>, Refusal> {
        if self.phase != Phase::Open {
            return Err(Refusal::NotOpen);
        }
        if !self.features.contains(Features::NOTICE) {
            return Err(Refusal::NoNotices);
        }
        let frame = Frame::new(Opcode::Notice, Seq::NONE, subject, payload);
        let (size, limit) = (frame.size(), self.limits.largest(Opcode::Notice));
        if size > limit { Err(Refusal::TooLarge { size, limit }) } else { Ok(frame) }
    }

    fn receive_notice<'a>(&self, frame: Frame<'a>) -> Result<Event<'a, W>, ProtocolError> {
        let Frame { seq, tag: subject, payload, .. } = frame;
        if !self.features.contains(Features::NOTICE) {
            return Err(ProtocolError::UnwantedNotice { subject });
        }
        if seq != Seq::NONE {
            return Err(ProtocolError::NumberedNotice { subject, seq });
        }
        let broken = |error| ProtocolError::BrokenNotice { subject, error };
        match subject {
            PING | PONG if self.features.contains(Features::HEARTBEAT) => {
                packed::from_bytes::<()>(&payload).map_err(broken)?;
                Ok(if subject == PING { Event::Ping } else { Event::Pong })
            }
            CANCEL if self.features.contains(Features::CANCEL) => {
                let seq = Seq(packed::from_bytes(&payload).map_err(broken)?);
                // Its answer may be on the way.
                Ok(if self.serving.contains_key(&seq) { Event::Cancel(seq) } else { Event::Late })
            }
            _ if subject < FIRST_SUBJECT => Err(ProtocolError::UnwantedNotice { subject }),
            _ => Ok(Event::Notice { subject, payload }),
        }
    }

    /// The question whether the other side is there, if it knows how to answer.
    pub fn ping(&self) -> Option<Frame<'static>> {
        self.own_notice(Features::HEARTBEAT, PING, Vec::new())
    }

    /// The answer to a [`Ping`](Event::Ping).
    pub fn pong(&self) -> Option<Frame<'static>> {
        self.own_notice(Features::HEARTBEAT, PONG, Vec::new())
    }

    /// Tells the other side that call `seq` was [abandoned](Endpoint::abandon): the frame to send behind that of the call, or none if
    /// it is not, has been answered meanwhile, or the other side does not want to know. The call stays pending until its answer.
    pub fn cancel(&self, seq: Seq) -> Option<Frame<'static>> {
        let pending = self.pending.get(&seq.number()).filter(|pending| pending.seq == seq)?;
        if pending.waiter.is_some() {
            return None;
        }
        self.own_notice(Features::CANCEL, CANCEL, packed::to_bytes(&seq.0))
    }

    fn own_notice(&self, feature: Features, subject: Tag, payload: Vec<u8>) -> Option<Frame<'static>> {
        self.notice(subject, payload).ok().filter(|_| self.features.contains(feature))
    }

    fn receive_setup<'a>(&mut self, first: bool, frame: Frame<'a>) -> Result<Event<'a, W>, ProtocolError> {
        if !first {
            return Err(ProtocolError::LateSetup);
        }
        if frame.seq != Seq::NONE || frame.tag != Tag(0) {
            return Err(ProtocolError::NumberedSetup { seq: frame.seq, tag: frame.tag });
        }
        if self.role == Role::Controller {
            self.phase = Phase::Open;
        }
        Ok(Event::Setup(frame.payload))
    }

    fn receive_call<'a>(&mut self, frame: Frame<'a>) -> Result<Event<'a, W>, ProtocolError> {
        let Frame { seq, tag, payload: args, .. } = frame;
        if self.serving.len() >= self.limits.max_pending {
            return Err(ProtocolError::TooManyCalls { limit: self.limits.max_pending });
        }
        let size = args.len() as u64;
        if self.held.saturating_add(size) > self.limits.max_held {
            return Err(ProtocolError::TooManyBytes { limit: self.limits.max_held });
        }
        match self.serving.entry(seq) {
            Entry::Occupied(_) => return Err(ProtocolError::RepeatedCall { seq }),
            Entry::Vacant(entry) => entry.insert(size),
        };
        self.held += size;
        // A parent that waits no more (or never did) is no error: the call is then served like any other.
        let parent = Some(seq.parent())
            .filter(|_| self.features.contains(Features::PARENT))
            .filter(|&number| self.waiter(number).is_some());
        Ok(Event::Call { seq, tag, args, parent })
    }

    fn receive_result<'a>(&mut self, frame: Frame<'a>) -> Result<Event<'a, W>, ProtocolError> {
        let Frame { seq, tag, payload, .. } = frame;
        let reply = match tag {
            Tag(0) => Reply::from_payload(payload),
            ERROR_TAG if self.features.contains(Features::ERROR_TEXT) => {
                Reply::error(String::from_utf8_lossy(&payload))
            }
            _ => return Err(ProtocolError::TaggedResult { seq, tag }),
        };
        match self.pending.get(&seq.number()) {
            Some(pending) if pending.seq == seq => {}
            _ => return Err(ProtocolError::UnknownResult { seq }),
        }
        let waiter = self.pending.remove(&seq.number()).and_then(|pending| pending.waiter);
        Ok(waiter.map_or(Event::Late, |waiter| Event::Answer(waiter, reply)))
    }

    /// The answer to a call of the other side: the frame to send, or none if the connection is over or the call was answered
    /// before. An answer over the size limit becomes an error text.
    pub fn answer<'a>(&mut self, seq: Seq, reply: &'a Reply) -> Option<Frame<'a>> {
        self.held -= self.serving.remove(&seq)?;
        if self.phase != Phase::Open {
            return None;
        }
        let limit = self.limits.max_frame;
        let (tag, payload) = match reply.bytes() {
            Ok(bytes) if frame_size(bytes.len()) <= limit => (Tag(0), Cow::Borrowed(bytes)),
            Ok(bytes) => {
                let size = bytes.len();
                let text = format!("the result of {size} bytes exceeds the largest frame allowed, {limit} bytes");
                self.error_payload(text.into())
            }
            Err(text) => self.error_payload(text.into()),
        };
        Some(Frame { opcode: Opcode::Result, seq, tag, payload })
    }

    fn error_payload<'a>(&self, text: Cow<'a, str>) -> (Tag, Cow<'a, [u8]>) {
        if !self.features.contains(Features::ERROR_TEXT) {
            return (Tag(0), Cow::Borrowed(&[]));
        }
        let room = (self.limits.max_frame - frame_size(0).min(self.limits.max_frame)) as usize;
        let payload = match text {
            Cow::Borrowed(text) => Cow::Borrowed(&text.as_bytes()[..text.len().min(room)]),
            Cow::Owned(text) => {
                let mut bytes = text.into_bytes();
                bytes.truncate(room);
                Cow::Owned(bytes)
            }
        };
        (ERROR_TAG, payload)
    }

    /// Who waits for the answer to call `number`.
    pub fn waiter(&self, number: u32) -> Option<&W> {
        self.pending.get(&number)?.waiter.as_ref()
    }

    /// Gives up on call `number`: the waiter comes back now, the answer will be dropped. The call still counts as pending, for the
    /// other side is still working on it.
    pub fn abandon(&mut self, number: u32) -> Option<W> {
        self.pending.get_mut(&number)?.waiter.take()
    }

    /// Takes back call `seq`, whose frame was not sent: its waiter, and the number is free.
    pub fn retract(&mut self, seq: Seq) -> Option<W> {
        match self.pending.entry(seq.number()) {
            Entry::Occupied(entry) if entry.get().seq == seq => entry.remove().waiter,
            _ => None,
        }
    }

    /// Our calls that somebody waits for and that were made on behalf of the other side's call `seq`, in the order of their numbers.
    pub fn nested_in(&self, seq: Seq) -> Vec<Seq> {
        let nested = |pending: &&Pending<W>| pending.parent == Some(seq) && pending.waiter.is_some();
        let mut seqs: Vec<Seq> = self.pending.values().filter(nested).map(|pending| pending.seq).collect();
        seqs.sort_unstable_by_key(|seq| seq.number());
        seqs
    }

    /// How many calls have no answer yet: ours, and the other side's.
    pub fn in_flight(&self) -> (usize, usize) {
        (self.pending.len(), self.serving.len())
    }

    /// Says goodbye: the last frame to send, or none if the connection is over. An error is the reason that the other side is told.
    pub fn hang_up(&mut self, reason: Result<(), String>) -> Option<Frame<'static>> {
        let open = self.phase == Phase::Open;
        self.phase = Phase::Closed;
        // A reason that is too long for the other side would be no reason to it.
        let room = self.limits.largest(Opcode::Hangup).saturating_sub(HANGUP_OVERHEAD);
        let reason = reason.map_err(|text| shortened(text, room));
        open.then(|| Frame::new(Opcode::Hangup, Seq::NONE, Tag(0), packed::to_bytes(&Status(reason))))
    }

    /// Ends the connection and gives back everyone who waits, in the order in which they called. A second time there is nobody.
    pub fn close(&mut self) -> Vec<W> {
        self.phase = Phase::Closed;
        self.serving.clear();
        self.held = 0;
        let mut pending: Vec<Pending<W>> = self.pending.drain().map(|(_, pending)| pending).collect();
        // Numbers go round; the distance from the newest does not.
        let newest = self.last_number;
        pending.sort_unstable_by_key(|p| std::cmp::Reverse(newest.wrapping_sub(p.seq.number())));
        pending.into_iter().filter_map(|pending| pending.waiter).collect()
    }
}

impl<W> fmt::Debug for Endpoint<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("role", &self.role)
            .field("phase", &self.phase)
            .field("features", &self.features)
            .field("pending", &self.pending.len())
            .field("serving", &self.serving.len())
            .finish_non_exhaustive()
    }
}

/// What a hangup takes beside the text of its reason: the header, that there is one, its length.
const HANGUP_OVERHEAD: u64 = HEADER_SIZE as u64 + 1 + 8;

/// The beginning of a text, up to `room` bytes.
fn shortened(mut text: String, room: u64) -> String {
    let mut end = usize::try_from(room).unwrap_or(usize::MAX).min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}
