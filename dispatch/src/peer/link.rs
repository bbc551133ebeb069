//! What all threads of a connection share, and how they take turns at reading.
//!
//! Invariant: `State::receiver` is there exactly while nobody reads. Whoever takes it is *the reader*; when it puts it back,
//! [`State::pass_on`] wakes the next. No lock is held while reading, sending, or in a handler (but for the sender's own, while sending).

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::context::{self, Serving};
use crate::call::{Caller, Reply, Tag};
use crate::connect::Setup;
use crate::dispatcher::{Dispatcher, Job, Work};
use crate::endpoint::{Endpoint, Event, Features, Refusal};
use crate::error::{CallError, Disconnect};
use crate::frame::{Frame, Seq};
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::transport::{Closer, RecvFrame, SendFrame};

/// What a connection is made of; see [`Connect`](crate::Connect).
pub(crate) struct Parts {
    pub(crate) name: String,
    pub(crate) endpoint: Endpoint<SlotId>,
    pub(crate) offered: Features,
    pub(crate) sender: Box<dyn SendFrame>,
    pub(crate) receiver: Box<dyn RecvFrame>,
    pub(crate) closer: Option<Closer>,
    pub(crate) target: Arc<dyn Caller>,
    pub(crate) dispatcher: Arc<dyn Dispatcher>,
    pub(crate) linger: Duration,
    pub(crate) max_depth: usize,
}

pub(crate) struct Link {
    id: u64,
    name: String,
    /// What this side can do.
    offered: Features,
    target: Arc<dyn Caller>,
    dispatcher: Arc<dyn Dispatcher>,
    linger: Duration,
    max_depth: usize,
    state: Mutex<State>,
    sender: Mutex<Option<Box<dyn SendFrame>>>,
    closer: Option<Closer>,
    is_closed: AtomicBool,
    /// Server threads wait here for their turn.
    server_turn: Condvar,
    ended: Condvar,
}

/// A waiting call's place in [`State::slots`].
pub(crate) type SlotId = usize;

struct State {
    endpoint: Endpoint<SlotId>,
    /// Waiting calls; slots and their condition variables are used again.
    slots: Vec<Slot>,
    free: Vec<SlotId>,
    receiver: Option<Box<dyn RecvFrame>>,
    /// Waiting calls that would read if it were their turn.
    followers: Vec<SlotId>,
    servers: Servers,
    /// Calls that wait with a time limit: they do not read, a server thread must.
    timed: usize,
    /// Counts the calls that were not nested in others.
    activity: u64,
    closed: Option<Arc<Disconnect>>,
}

#[derive(Default)]
struct Servers {
    /// All of them but those that are busy in a handler.
    count: usize,
    /// Those that wait to be told.
    parked: usize,
    /// Those that look again soon.
    lingering: usize,
}

#[derive(Default)]
struct Slot {
    wake: Arc<Condvar>,
    answer: Option<Result<Reply, CallError>>,
    /// Calls of the other side made on this call's behalf, for its thread to serve.
    nested: VecDeque<Incoming>,
}

/// A call of the other side.
struct Incoming {
    seq: Seq,
    tag: Tag,
    args: Vec<u8>,
}

/// What a reader reads for.
#[derive(Clone, Copy, PartialEq)]
enum Reader {
    Caller(SlotId),
    Server,
}

impl Link {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        static LAST_ID: AtomicU64 = AtomicU64::new(0);
        Arc::new(Link {
            id: LAST_ID.fetch_add(1, Ordering::Relaxed),
            name: parts.name,
            offered: parts.offered,
            target: parts.target,
            dispatcher: parts.dispatcher,
            linger: parts.linger,
            max_depth: parts.max_depth,
            state: Mutex::new(State {
                endpoint: parts.endpoint,
                slots: Vec::new(),
                free: Vec::new(),
                receiver: Some(parts.receiver),
                followers: Vec::new(),
                servers: Servers::default(),
                timed: 0,
                activity: 0,
                closed: None,
            }),
            sender: Mutex::new(Some(parts.sender)),
            closer: parts.closer,
            is_closed: AtomicBool::new(false),
            server_turn: Condvar::default(),
            ended: Condvar::default(),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn features(&self) -> Features {
        self.state.lock().endpoint.features()
    }

    pub(crate) fn closed(&self) -> Option<Arc<Disconnect>> {
        self.state.lock().closed.clone()
    }

    pub(crate) fn wait_closed(&self) -> Arc<Disconnect> {
        let mut state = self.state.lock();
        loop {
            match &state.closed {
                Some(disconnect) => return Arc::clone(disconnect),
                None => state = self.ended.wait(state),
            }
        }
    }

    // ---- calls down the wire ----

    pub(crate) fn call(self: &Arc<Self>, tag: Tag, args: &[u8], timeout: Option<Duration>) -> Result<Reply, CallError> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let parent = context::parent(self.id);
        let mut state = self.state.lock();
        if let Some(disconnect) = &state.closed {
            return Err(CallError::Disconnected(Arc::clone(disconnect)));
        }
        if parent.is_none() {
            state.activity += 1;
        }
        let slot = state.occupy();
        let frame = match state.endpoint.call(tag, args, parent, slot) {
            Ok(frame) => frame,
            Err(refusal) => {
                state.free.push(slot);
                return Err(self.refused(refusal, tag));
            }
        };
        let number = frame.seq.number();
        drop(state);
        self.send(frame);
        match deadline {
            None => self.wait(slot),
            Some(deadline) => self.wait_until(deadline, slot, number, tag),
        }
    }

    fn refused(&self, refusal: Refusal, tag: Tag) -> CallError {
        match refusal {
            Refusal::TooLarge { size, limit } => CallError::TooLarge { tag, size, limit },
            Refusal::TooManyPending { limit } => CallError::TooManyPending { limit },
            Refusal::NotOpen => {
                CallError::Disconnected(Arc::new(Disconnect { peer: self.name.clone(), reason: refusal.to_string() }))
            }
        }
    }

    /// Waits for the answer: serves what is nested in the call, reads when it is this thread's turn.
    fn wait(self: &Arc<Self>, slot: SlotId) -> Result<Reply, CallError> {
        let mut state = self.state.lock();
        loop {
            if let Some(answer) = state.slots[slot].answer.take() {
                return self.leave(state, slot, answer);
            }
            if let Some(call) = state.slots[slot].nested.pop_front() {
                state.unfollow(slot);
                state.pass_on(self);
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

    /// [`wait`](Link::wait), but never reads, for a thread that reads cannot watch the time.
    fn wait_until(
        self: &Arc<Self>,
        deadline: Instant,
        slot: SlotId,
        number: u32,
        tag: Tag,
    ) -> Result<Reply, CallError> {
        if self.state.lock().servers.count == 0
            && let Err(error) = Link::serve_in_background(self)
        {
            self.disconnect(format!("no thread can be started to read from it: {error}"));
        }
        let mut state = self.state.lock();
        state.timed += 1;
        state.pass_on(self);
        let answer = loop {
            if let Some(answer) = state.slots[slot].answer.take() {
                break answer;
            }
            if let Some(call) = state.slots[slot].nested.pop_front() {
                drop(state);
                self.serve_call(call);
                state = self.state.lock();
                continue;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                state.endpoint.abandon(number);
                break Err(CallError::TimedOut(tag));
            }
            let wake = Arc::clone(&state.slots[slot].wake);
            state = wake.wait_for(state, left);
        };
        state.timed -= 1;
        self.leave(state, slot, answer)
    }

    /// Ends a call's stay: what was still meant for its thread goes to others.
    fn leave(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        slot: SlotId,
        answer: Result<Reply, CallError>,
    ) -> Result<Reply, CallError> {
        let orphans = std::mem::take(&mut state.slots[slot].nested);
        state.unfollow(slot);
        state.free.push(slot);
        state.pass_on(self);
        drop(state);
        for call in orphans {
            if let Some(job) = self.dispatcher.dispatch(self.job(call)) {
                job.run();
            }
        }
        answer
    }

    // ---- reading, in turns ----

    /// Reads until there is something for this reader to do, or the connection ends. The receiver must be there.
    fn read<'a>(self: &'a Arc<Self>, mut state: MutexGuard<'a, State>, reader: Reader) -> MutexGuard<'a, State> {
        let Some(mut receiver) = state.receiver.take() else {
            return state;
        };
        loop {
            drop(state);
            let received = receiver.recv();
            state = self.state.lock();
            if state.closed.is_some() {
                return state;
            }
            let delivered = match received {
                Ok(Some(frame)) => self.deliver(&mut state, frame, reader),
                Ok(None) => Err("it closed the connection without a word".to_owned()),
                Err(error) => Err(format!("receiving failed: {error}")),
            };
            match delivered {
                Ok(Next::ReadOn) => {}
                Ok(Next::Stop) => {
                    state.receiver = Some(receiver);
                    state.pass_on(self);
                    return state;
                }
                Ok(Next::Dispatch(call)) => {
                    drop(state);
                    let job = self.dispatcher.dispatch(self.job(call));
                    state = self.state.lock();
                    if let Some(job) = job {
                        state.receiver = Some(receiver);
                        state.servers.count -= usize::from(reader == Reader::Server);
                        state.pass_on(self);
                        drop(state);
                        job.run();
                        state = self.state.lock();
                        state.servers.count += usize::from(reader == Reader::Server);
                        return state;
                    }
                    if state.closed.is_some() {
                        return state;
                    }
                }
                Err(reason) => {
                    drop(receiver);
                    self.close(state, reason);
                    return self.state.lock();
                }
            }
        }
    }

    /// Gives a frame to whom it belongs. An error ends the connection.
    fn deliver(&self, state: &mut State, frame: Frame<'static>, reader: Reader) -> Result<Next, String> {
        let event = state.endpoint.receive(frame).map_err(|error| error.to_string())?;
        match event {
            Event::Answer(slot, reply) => {
                state.slots[slot].answer = Some(Ok(reply));
                Ok(state.wake(slot, reader, self.linger))
            }
            Event::Call { seq, tag, args, parent } => {
                let call = Incoming { seq, tag, args: args.into_owned() };
                let Some(&slot) = parent.and_then(|number| state.endpoint.waiter(number)) else {
                    return Ok(Next::Dispatch(call));
                };
                state.slots[slot].nested.push_back(call);
                Ok(state.wake(slot, reader, self.linger))
            }
            Event::Setup(description) => {
                let setup = Setup::from_bytes(&description)
                    .map_err(|error| format!("its description of itself is unreadable: {error}"))?;
                state.endpoint.agree(self.offered & setup.features());
                Ok(Next::ReadOn)
            }
            Event::Late => Ok(Next::ReadOn),
            Event::Hangup(Ok(())) => Err("it hung up".to_owned()),
            Event::Hangup(Err(reason)) => Err(format!("it hung up: {reason}")),
        }
    }

    /// Makes this thread a server thread until the end.
    pub(crate) fn serve(self: &Arc<Self>) -> Arc<Disconnect> {
        let mut state = self.state.lock();
        state.servers.count += 1;
        let disconnect = self.serve_counted(state);
        self.state.lock().servers.count -= 1;
        disconnect
    }

    fn serve_counted<'a>(self: &'a Arc<Self>, mut state: MutexGuard<'a, State>) -> Arc<Disconnect> {
        let mut seen = state.activity;
        loop {
            if let Some(disconnect) = &state.closed {
                return Arc::clone(disconnect);
            }
            if state.receiver.is_none() {
                state.servers.parked += 1;
                state = self.server_turn.wait(state);
                state.servers.parked -= 1;
            } else if state.activity != seen && state.timed == 0 && !self.linger.is_zero() {
                // Threads are calling, and read for themselves faster than this one would for them: look again when it is quiet.
                seen = state.activity;
                state.servers.lingering += 1;
                state = self.server_turn.wait_for(state, self.linger);
                state.servers.lingering -= 1;
            } else {
                state = self.read(state, Reader::Server);
            }
        }
    }

    pub(crate) fn serve_in_background(link: &Arc<Self>) -> std::io::Result<()> {
        let server = Arc::clone(link);
        // Counted from here, so that the next one who needs a server does not start another.
        link.state.lock().servers.count += 1;
        let started = thread::Builder::new().name("dispatch-server".to_owned()).spawn(move || {
            let state = server.state.lock();
            server.serve_counted(state);
            server.state.lock().servers.count -= 1;
        });
        if started.is_err() {
            link.state.lock().servers.count -= 1;
        }
        started.map(drop)
    }

    // ---- calls up the wire ----

    fn job(self: &Arc<Self>, call: Incoming) -> Job {
        Job::new(Served { link: Arc::clone(self), call })
    }

    fn serve_call(&self, call: Incoming) {
        let Incoming { seq, tag, args } = call;
        let reply = if context::depth() >= self.max_depth {
            Reply::error(format!("calls are nested more than {} deep", self.max_depth))
        } else {
            let _serving = Serving::enter(self.id, seq);
            // The other side must get its answer, and this connection's threads must live on, whatever a handler does.
            match catch_unwind(AssertUnwindSafe(|| self.target.call(tag, &args))) {
                Ok(Ok(reply)) => reply,
                Ok(Err(error)) => Reply::error(error.to_string()),
                Err(panic) => Reply::error(format!("the handler of {tag} panicked: {}", panic_text(&*panic))),
            }
        };
        self.answer(seq, &reply);
    }

    fn answer(&self, seq: Seq, reply: &Reply) {
        let frame = self.state.lock().endpoint.answer(seq, reply);
        if let Some(frame) = frame {
            self.send(frame);
        }
    }

    /// Sends a frame; a failure ends the connection, which whoever waits will hear.
    fn send(&self, frame: Frame<'_>) {
        let sent = match self.sender.lock().as_mut() {
            Some(sender) => sender.send(frame),
            None => return,
        };
        match sent {
            Err(error) => self.disconnect(format!("sending failed: {error}")),
            Ok(()) if self.is_closed.load(Ordering::SeqCst) => self.drop_sender(),
            Ok(()) => {}
        }
    }

    // ---- the end ----

    /// Says goodbye and ends the connection.
    pub(crate) fn hang_up(&self, told: Result<(), String>, reason: &str) {
        /// How long a goodbye waits for another thread to finish sending; it may be blocked for ever.
        const PATIENCE: Duration = Duration::from_millis(100);
        let mut state = self.state.lock();
        let goodbye = state.endpoint.hang_up(told);
        if !self.fail_all(state, reason.to_owned()) {
            return;
        }
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(mut sender) = self.sender.try_lock() {
                if let (Some(sender), Some(goodbye)) = (sender.as_mut(), goodbye) {
                    // The connection ends either way; a goodbye that does not arrive is an end without a word.
                    let _ = sender.send(goodbye);
                }
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        self.let_go();
    }

    fn disconnect(&self, reason: String) {
        self.close(self.state.lock(), reason);
    }

    fn close(&self, state: MutexGuard<'_, State>, reason: String) {
        if self.fail_all(state, reason) {
            self.let_go();
        }
    }

    /// Fails every call that waits. Only the first time; tells whether it was.
    fn fail_all(&self, mut state: MutexGuard<'_, State>, reason: String) -> bool {
        if state.closed.is_some() {
            return false;
        }
        tracing::debug!(target: "dispatch", peer = self.name, reason, "disconnected");
        let disconnect = Arc::new(Disconnect { peer: self.name.clone(), reason });
        state.closed = Some(Arc::clone(&disconnect));
        for slot in state.endpoint.close() {
            let slot = &mut state.slots[slot];
            slot.answer = Some(Err(CallError::Disconnected(Arc::clone(&disconnect))));
            slot.nested.clear();
            slot.wake.notify_one();
        }
        self.server_turn.notify_all();
        self.ended.notify_all();
        true
    }

    /// Lets go of the transport.
    fn let_go(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        self.drop_sender();
        if let Some(closer) = &self.closer {
            closer.close();
        }
        let receiver = self.state.lock().receiver.take();
        drop(receiver);
    }

    /// Drops the sender, unless a thread is sending: that thread will see `is_closed` when it is done.
    fn drop_sender(&self) {
        let sender = self.sender.try_lock().and_then(|mut sender| sender.take());
        drop(sender);
    }
}

/// What a reader does after a frame.
enum Next {
    ReadOn,
    /// There is something for this reader, or somebody else should read.
    Stop,
    Dispatch(Incoming),
}

impl State {
    fn occupy(&mut self) -> SlotId {
        self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        })
    }

    /// Tells the thread of `slot` that there is something for it.
    fn wake(&mut self, slot: SlotId, reader: Reader, linger: Duration) -> Next {
        if reader == Reader::Caller(slot) {
            return Next::Stop;
        }
        self.unfollow(slot);
        self.slots[slot].wake.notify_one();
        // A server thread steps aside for callers: the next answer is then read by the one who wants it.
        if reader == Reader::Server && !linger.is_zero() && self.timed == 0 { Next::Stop } else { Next::ReadOn }
    }

    fn unfollow(&mut self, slot: SlotId) {
        self.followers.retain(|&follower| follower != slot);
    }

    /// If nobody reads, wakes the one whose turn it is: a waiting call before a server thread.
    fn pass_on(&mut self, link: &Link) {
        if self.receiver.is_none() {
            return;
        }
        if let Some(follower) = self.followers.pop() {
            self.slots[follower].wake.notify_one();
        } else if self.timed > 0 {
            link.server_turn.notify_all();
        } else if self.servers.lingering == 0 && self.servers.parked > 0 {
            link.server_turn.notify_one();
        }
    }
}

/// A call of the other side, on its way through a dispatcher.
struct Served {
    link: Arc<Link>,
    call: Incoming,
}

impl Work for Served {
    fn run(self: Box<Self>) {
        self.link.serve_call(self.call);
    }

    fn refuse(self: Box<Self>) {
        let text = format!("{} was dropped by the dispatcher without being run", self.call.tag);
        self.link.answer(self.call.seq, &Reply::error(text));
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "no text"
    }
}
