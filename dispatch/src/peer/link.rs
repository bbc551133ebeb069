//! What all threads of a connection share, and how they take turns at reading.
//!
//! Invariant: `State::receiver` is there exactly while nobody reads. Whoever takes it is *the reader*; when it puts it back,
//! [`State::pass_on`] wakes the next. No lock is held while reading, sending, or in a handler (but for the sender's own, while sending).

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use super::cancel::Wanted;
use super::clock::{Sending, Watch};
use super::context;
use super::end::{End, Explainer};
use super::recent::{CallRecord, CallState};
use super::turns::{Incoming, Next, Reader, SlotId, State};
use crate::call::{Caller, Reply, Tag};
use crate::connect::Setup;
use crate::dispatcher::{Dispatcher, Job, Work};
use crate::endpoint::{Endpoint, Event, FIRST_SUBJECT, Features};
use crate::error::{CallError, Disconnect};
use crate::frame::{Frame, Seq};
use crate::layer::Direction;
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::transport::{Closer, RecvFrame, SendFrame, TransportError};

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
    pub(crate) deadline: Option<Duration>,
    pub(crate) watch: Watch,
    pub(crate) on_notice: Option<NoticeHandler>,
    pub(crate) explain: Option<Explainer>,
}

/// Takes notices, on the thread that reads.
pub(crate) type NoticeHandler = Box<dyn Fn(Tag, &[u8]) + Send + Sync>;

pub(crate) struct Link {
    pub(super) id: u64,
    pub(super) name: String,
    /// What this side can do.
    offered: Features,
    target: Arc<dyn Caller>,
    pub(super) dispatcher: Arc<dyn Dispatcher>,
    linger: Duration,
    max_depth: usize,
    /// How long a call waits that says nothing else.
    pub(super) deadline: Option<Duration>,
    pub(super) watch: Watch,
    on_notice: Option<NoticeHandler>,
    pub(super) explain: Option<Explainer>,
    pub(super) state: Mutex<State>,
    pub(super) sender: Mutex<Option<Box<dyn SendFrame>>>,
    pub(super) closer: Option<Closer>,
    /// What is being sent, if there is a heartbeat.
    pub(super) sending: Mutex<Option<Sending>>,
    pub(super) wanted: Arc<Wanted>,
    /// Server threads wait here for their turn.
    pub(super) server_turn: Condvar,
    pub(super) ended: Condvar,
    /// The threads for urgent notices and for the clock wait here.
    pub(super) urgent_turn: Condvar,
    pub(super) clock_turn: Condvar,
}

impl Link {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        static LAST_ID: AtomicU64 = AtomicU64::new(0);
        let id = LAST_ID.fetch_add(1, Ordering::Relaxed);
        Arc::new(Link {
            id,
            name: parts.name,
            offered: parts.offered,
            target: parts.target,
            dispatcher: parts.dispatcher,
            linger: parts.linger,
            max_depth: parts.max_depth,
            deadline: parts.deadline,
            watch: parts.watch,
            on_notice: parts.on_notice,
            explain: parts.explain,
            state: Mutex::new(State::new(parts.endpoint, parts.receiver)),
            sender: Mutex::new(Some(parts.sender)),
            closer: parts.closer,
            sending: Mutex::default(),
            wanted: Arc::new(Wanted::new(id)),
            server_turn: Condvar::default(),
            ended: Condvar::default(),
            urgent_turn: Condvar::default(),
            clock_turn: Condvar::default(),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn features(&self) -> Features {
        self.state.lock().endpoint.features()
    }

    pub(crate) fn in_flight(&self) -> (usize, usize) {
        self.state.lock().endpoint.in_flight()
    }

    pub(crate) fn recent_calls(&self) -> Vec<CallRecord> {
        self.state.lock().recent.records()
    }

    // ---- reading, in turns ----

    /// Reads until there is something for this reader to do, or the connection ends. The receiver must be there.
    pub(super) fn read<'a>(
        self: &'a Arc<Self>,
        mut state: MutexGuard<'a, State>,
        reader: Reader,
    ) -> MutexGuard<'a, State> {
        let Some(mut receiver) = state.receiver.take() else {
            return state;
        };
        loop {
            drop(state);
            let received = receiver.recv();
            state = self.state.lock();
            if !state.is_open() {
                return state;
            }
            if self.watch.heartbeat.is_some() {
                state.heard.now();
            }
            let delivered = match received {
                Ok(Some(frame)) => self.deliver(&mut state, frame, reader),
                Ok(None) => Err(End::Broken("it closed the connection without a word".to_owned())),
                Err(error) => Err(End::Broken(format!("receiving failed: {error}"))),
            };
            match delivered {
                Ok(Next::ReadOn) => {}
                Ok(Next::Stop) => {
                    state.receiver = Some(receiver);
                    state.pass_on(&self.server_turn);
                    return state;
                }
                Ok(Next::Dispatch(call)) => {
                    drop(state);
                    let job = self.dispatcher.dispatch(self.job(call));
                    state = self.state.lock();
                    if let Some(job) = job {
                        state.receiver = Some(receiver);
                        state.servers.count -= usize::from(reader == Reader::Server);
                        state.pass_on(&self.server_turn);
                        let unread = state.servers.count == 0 && self.must_read(&state);
                        drop(state);
                        if unread && let Err(error) = Link::serve_in_background(self) {
                            tracing::warn!(target: "dispatch", %error, "no thread to read while a handler runs");
                        }
                        job.run();
                        state = self.state.lock();
                        state.servers.count += usize::from(reader == Reader::Server);
                        return state;
                    }
                    if !state.is_open() {
                        return state;
                    }
                }
                Ok(Next::Tell(subject, payload)) => {
                    drop(state);
                    self.tell(subject, &payload);
                    state = self.state.lock();
                    if !state.is_open() {
                        return state;
                    }
                }
                Err(end) => {
                    drop(receiver);
                    self.close(state, end);
                    return self.state.lock();
                }
            }
        }
    }

    /// Whether somebody relies on this side's reading at all times.
    fn must_read(&self, state: &State) -> bool {
        state.limited > 0 || state.heard.watches || self.watch.heartbeat.is_some()
    }

    /// Gives a frame to whom it belongs. An error ends the connection.
    fn deliver(self: &Arc<Self>, state: &mut State, frame: Frame<'static>, reader: Reader) -> Result<Next, End> {
        let seq = frame.seq;
        let event = state.endpoint.receive(frame).map_err(|error| End::Broken(error.to_string()))?;
        match event {
            Event::Answer(slot, reply) => {
                state.recent.end(Direction::Sent, seq, CallState::of(&reply));
                state.slots[slot].answer = Some(Ok(reply));
                Ok(state.wake(slot, reader, self.linger))
            }
            Event::Call { seq, tag, args, parent } => {
                let has_parent = state.endpoint.features().contains(Features::PARENT);
                state.recent.begin(Direction::Received, tag, seq, has_parent, args.len());
                let call = Incoming { seq, tag, args: args.into_owned() };
                let Some(&slot) = parent.and_then(|number| state.endpoint.waiter(number)) else {
                    return Ok(Next::Dispatch(call));
                };
                let outermost = state.slots[slot].outermost;
                state.slots[outermost].nested.push_back(call);
                Ok(state.wake(state.slots[outermost].innermost, reader, self.linger))
            }
            Event::Setup(description) => {
                let setup = Setup::from_bytes(&description)
                    .map_err(|error| End::Broken(format!("its description of itself is unreadable: {error}")))?;
                state.endpoint.agree(self.offered & setup.features());
                state.heard.introduced = true;
                self.clock_turn.notify_all();
                Ok(Next::ReadOn)
            }
            Event::Late | Event::Pong => Ok(Next::ReadOn),
            Event::Ping => {
                state.heard.watches = true;
                state.urgent.pong = true;
                self.urge(state);
                Ok(Next::ReadOn)
            }
            Event::Cancel(seq) => {
                let mut next = Next::ReadOn;
                for slot in self.cancel_served(state, seq) {
                    if let Next::Stop = state.wake(slot, reader, self.linger) {
                        next = Next::Stop;
                    }
                }
                Ok(next)
            }
            Event::Notice { subject, payload } => Ok(Next::Tell(subject, payload.into_owned())),
            Event::Hangup(Ok(())) => Err(End::Hangup("it hung up".to_owned())),
            Event::Hangup(Err(reason)) => Err(End::Hangup(format!("it hung up: {reason}"))),
        }
    }

    /// Passes a notice on.
    fn tell(&self, subject: Tag, payload: &[u8]) {
        let Some(on_notice) = &self.on_notice else {
            tracing::debug!(target: "dispatch", peer = self.name, %subject, "a notice that nobody listens to");
            return;
        };
        // The thread reads on, whatever a handler does.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| on_notice(subject, payload))) {
            tracing::error!(target: "dispatch", %subject, panic = panic_text(&*panic), "a notice's handler panicked");
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
            if let Some(disconnect) = state.closed() {
                return Arc::clone(disconnect);
            }
            if state.receiver.is_none() {
                state.servers.parked += 1;
                state = self.server_turn.wait(state);
                state.servers.parked -= 1;
            } else if state.activity != seen && state.limited == 0 && !self.linger.is_zero() {
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

    // ---- notices ----

    pub(crate) fn notify(&self, subject: Tag, bytes: &[u8]) -> Result<(), CallError> {
        if subject < FIRST_SUBJECT {
            return Err(CallError::ReservedSubject(subject));
        }
        let state = self.settled().map_err(CallError::Disconnected)?;
        let frame = state.endpoint.notice(subject, bytes).map_err(|refusal| self.refused(refusal, subject))?;
        drop(state);
        self.send(frame);
        Ok(())
    }

    // ---- calls up the wire ----

    pub(super) fn job(self: &Arc<Self>, call: Incoming) -> Job {
        Job::new(Served { link: Arc::downgrade(self), call })
    }

    pub(super) fn serve_call(&self, call: Incoming) {
        let Incoming { seq, tag, args } = call;
        if self.wanted.is_over() {
            // Nobody waits for it any more.
            return;
        }
        let reply = if self.wanted.is_given_up(seq) {
            Reply::error("cancelled")
        } else if context::depth() >= self.max_depth {
            Reply::error(format!("calls are nested more than {} deep", self.max_depth))
        } else {
            let _serving = context::serving(&self.wanted, seq);
            // The other side must get its answer, and this connection's threads must live on, whatever a handler does.
            match catch_unwind(AssertUnwindSafe(|| self.target.call(tag, &args))) {
                Ok(Ok(reply)) => reply,
                Ok(Err(error)) => Reply::error(error.to_string()),
                Err(panic) => Reply::error(format!("the handler of {tag} panicked: {}", panic_text(&*panic))),
            }
        };
        self.answer(seq, &reply);
    }

    pub(super) fn answer(&self, seq: Seq, reply: &Reply) {
        let mut state = self.state.lock();
        let frame = state.endpoint.answer(seq, reply);
        self.wanted.settle(seq);
        state.recent.end(Direction::Received, seq, CallState::of(reply));
        drop(state);
        if let Some(frame) = frame {
            self.send(frame);
        }
    }

    /// Sends a frame; a failure ends the connection, which whoever waits will hear.
    pub(super) fn send(&self, frame: Frame<'_>) {
        let sent = match self.sender.lock().as_mut() {
            Some(sender) if self.watch.heartbeat.is_some() => self.send_watched(&mut **sender, frame),
            Some(sender) => sender.send(frame),
            None => return,
        };
        match sent {
            Err(error) => self.sending_failed(&error),
            Ok(()) if self.wanted.is_over() => self.drop_sender(),
            Ok(()) => {}
        }
    }

    /// Sends while the clock knows of it: what takes long here is no silence of the other side.
    fn send_watched(&self, sender: &mut dyn SendFrame, frame: Frame<'_>) -> Result<(), TransportError> {
        let sending = Sending::begin(frame.size());
        *self.sending.lock() = Some(sending);
        let sent = sender.send(frame);
        // In one step, so that the clock never misses it in both places.
        let mut state = self.state.lock();
        *self.sending.lock() = None;
        let excuse = sending.excuse(state.heard.at);
        state.heard.excused += excuse;
        sent
    }
}

/// A call of the other side, on its way through a dispatcher. It does not keep the connection, which keeps the dispatcher: a queue that
/// nobody runs any more must not keep itself.
struct Served {
    link: Weak<Link>,
    call: Incoming,
}

impl Work for Served {
    fn run(self: Box<Self>) {
        if let Some(link) = self.link.upgrade() {
            link.serve_call(self.call);
        }
    }

    fn refuse(self: Box<Self>) {
        if let Some(link) = self.link.upgrade() {
            let text = format!("{} was dropped by the dispatcher without being run", self.call.tag);
            // Perhaps on the thread that reads, which must not wait for sending.
            let mut state = link.state.lock();
            if state.is_open() {
                state.urgent.refusals.push_back((self.call.seq, text));
                link.urge(&mut state);
            }
        }
    }

    fn tag(&self) -> Tag {
        self.call.tag
    }

    fn args(&self) -> &[u8] {
        &self.call.args
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
