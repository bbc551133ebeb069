//! A connection to an executor of ours, once both sides know each other.

use super::gate::Gate;
use super::life::{self, Life};
use super::memory::Shared;
use super::place::Reached;
use super::streams::{Streams, Waits};
use crate::executor::ExecutorError;
use crate::phases;
use dispatch::packed::{Pack, Unpack};
use dispatch::{CallError, Caller, Peer, Reply, Tag, call_expected, call_typed};
use orc_rt::Watchers;
use orc_rt::image::ImageId;
use orc_rt::service::down::{Attach, Attached, Ended, Release, Stdio, notice, tag};
use std::cell::RefCell;
use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, ThreadId};
use std::time::Duration;

/// Memory that was written and is not final yet, and what to write into its segments.
pub(super) type Unfinished = (u64, Vec<Vec<u8>>);

/// An executor that is there, or has been.
pub(crate) struct Connection {
    pub(super) peer: Peer,
    pub(super) gate: Arc<Gate>,
    life: Arc<Life>,
    pub(super) entry_points: Arc<[(String, u64)]>,
    pub(super) process: u32,
    pub(super) descriptor_function: u64,
    pub(super) thread_local_origin: i64,
    pub(super) shared: Option<Shared>,
    streams: Option<Arc<Streams>>,
    pub(super) waits: Arc<Waits>,
    /// Made final with the next registration.
    unfinished: Mutex<Vec<Unfinished>>,
    /// Released with the next memory.
    images: Mutex<Vec<u64>>,
    deadline: Option<Duration>,
    /// Bits of [`Watchers`], as the executor said last.
    watchers: AtomicU8,
    /// The thread that connected has lane 0.
    first: ThreadId,
    last_lane: AtomicU64,
}

impl Connection {
    /// Tells the executor what it needs to begin.
    ///
    /// # Errors
    /// It refuses.
    pub(super) fn attach(reached: Reached) -> Result<Arc<Self>, ExecutorError> {
        let Reached { peer, gate, life, descriptors, stdio, streams, waits, share_memory, connect_timeout, deadline } =
            reached;
        let mut attach = Attach::default();
        let mut shared = None;
        if let Some(descriptors) = descriptors {
            if share_memory && let Some((memory, descriptor)) = Shared::new() {
                attach.shared_memory = Some(memory.size());
                descriptors.send_with_next(descriptor);
                shared = Some(memory);
            }
            if stdio == Stdio::Descriptors {
                attach.stdio = true;
                for stream in place_of_streams()? {
                    descriptors.send_with_next(stream);
                }
            }
        }
        let caller = InTime { peer: &peer, deadline: Some(connect_timeout) };
        let attached: Result<Attached, CallError> = call_expected(&caller, tag::ATTACH, &attach);
        let attached = attached.map_err(|error| ExecutorError(error.to_string()))?;
        let Attached { entry_points, process, shares_memory, descriptor_function, thread_local_origin } = attached;
        Ok(Arc::new(Self {
            peer,
            gate,
            life,
            entry_points: entry_points.into(),
            process,
            descriptor_function,
            thread_local_origin,
            shared: shared.filter(|_| shares_memory),
            streams,
            waits,
            unfinished: Mutex::default(),
            images: Mutex::default(),
            deadline,
            watchers: AtomicU8::new(0),
            first: thread::current().id(),
            last_lane: AtomicU64::new(0),
        }))
    }

    /// Calls the executor.
    ///
    /// # Errors
    /// No answer, or one that makes no sense.
    pub(super) fn ask<A: Pack + ?Sized, R: for<'a> Unpack<'a>>(&self, tag: Tag, args: &A) -> Result<R, ExecutorError> {
        let caller = InTime { peer: &self.peer, deadline: self.deadline };
        call_typed(&caller, tag, args).map_err(|error| ExecutorError(error.to_string()))
    }

    /// Calls the executor for something that it may refuse.
    ///
    /// # Errors
    /// Its refusal, in its words; no answer, or one that makes no sense.
    pub(super) fn expect<A: Pack + ?Sized, R: for<'a> Unpack<'a>>(
        &self,
        tag: Tag,
        args: &A,
    ) -> Result<R, ExecutorError> {
        let caller = InTime { peer: &self.peer, deadline: self.deadline };
        call_expected(&caller, tag, args).map_err(|error| ExecutorError(error.to_string()))
    }

    pub(super) fn nonsense(&self, what: &str) -> ExecutorError {
        ExecutorError(format!("{} was expected to give {what}, and did not", self.peer.name()))
    }

    /// The number of the calling thread. Its thread in the executor ends with it.
    pub(super) fn lane(self: &Arc<Self>) -> u64 {
        thread_local! { static LANES: RefCell<Lanes> = const { RefCell::new(Lanes(Vec::new())) } }
        if thread::current().id() == self.first {
            return 0;
        }
        let known = |lanes: &RefCell<Lanes>| {
            let mut lanes = lanes.borrow_mut();
            lanes.0.retain(|(connection, _)| connection.strong_count() > 0);
            let own = lanes.0.iter().find(|(connection, _)| std::ptr::eq(connection.as_ptr(), Arc::as_ptr(self)));
            if let Some((_, lane)) = own {
                return *lane;
            }
            let lane = self.new_lane();
            lanes.0.push((Arc::downgrade(self), lane));
            lane
        };
        // A thread that is ending gets one for this call alone.
        LANES.try_with(known).unwrap_or_else(|_| self.new_lane())
    }

    pub(super) fn watchers(&self) -> Watchers {
        Watchers::from_bits_truncate(self.watchers.load(Ordering::Relaxed))
    }

    pub(super) fn note_watchers(&self, watchers: Watchers) {
        self.watchers.store(watchers.bits(), Ordering::Relaxed);
    }

    fn new_lane(&self) -> u64 {
        self.last_lane.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Memory that is to become final.
    pub(super) fn finish_later(&self, memory: u64, contents: Vec<Vec<u8>>) {
        self.unfinished.lock().unwrap_or_else(PoisonError::into_inner).push((memory, contents));
    }

    pub(super) fn take_unfinished(&self) -> Vec<Unfinished> {
        std::mem::take(&mut *self.unfinished.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn forget_image(&self, image: ImageId) {
        self.images.lock().unwrap_or_else(PoisonError::into_inner).push(image.number());
    }

    /// Gives memory back, and images that were forgotten before.
    pub(super) fn give_back(&self, memory: u64) {
        self.unfinished.lock().unwrap_or_else(PoisonError::into_inner).retain(|(number, _)| *number != memory);
        let images = std::mem::take(&mut *self.images.lock().unwrap_or_else(PoisonError::into_inner));
        // An executor that is gone has nothing to give back.
        let _: Result<(), _> = self.ask(tag::RELEASE, &Release { images, memories: vec![memory] });
    }

    pub(super) fn raise(&self, signal: i32) -> Result<(), ExecutorError> {
        if self.life.raise(signal) {
            return Ok(());
        }
        let told = self.peer.notify(notice::SIGNAL, &dispatch::packed::to_bytes(&signal));
        told.map_err(|error| ExecutorError(error.to_string()))
    }

    /// Ends the executor, if it has not ended: a process that does not end in time loses the connection, and ends by that.
    pub(super) fn end(self: &Arc<Self>) {
        /// How long exit handlers of the program's libraries may take.
        const PATIENCE: Duration = Duration::from_secs(5);
        if self.peer.closed().is_none() {
            let message = dispatch::packed::to_bytes(&(self.lane(), 0i32));
            // It does not answer: it ends.
            let _ = self.peer.call_within(PATIENCE, tag::EXIT, &message);
            self.ended();
        }
        self.peer.hang_up(Ok(()));
    }

    /// How the executor ended, if it has; what it had written by then has been passed on.
    pub(super) fn ended(&self) -> Option<Ended> {
        self.peer.closed()?;
        let ended = self.life.ended()?;
        if let Some(streams) = &self.streams {
            streams.flush();
        }
        Some(ended)
    }

    pub(super) fn last_calls(&self) -> Vec<String> {
        self.peer.recent_calls().iter().map(life::call_in_words).collect()
    }
}

/// The executor, for calls that must be answered in time: all but those that run code of the user.
struct InTime<'a> {
    peer: &'a Peer,
    deadline: Option<Duration>,
}

impl Caller for InTime<'_> {
    fn call(&self, tag: Tag, args: &[u8]) -> Result<Reply, CallError> {
        let phase = phases::call().entered();
        if !phase.is_disabled() {
            phase.record("what", life::in_words(tag).as_ref());
            phase.record("bytes", args.len() as u64);
        }
        match self.deadline {
            Some(deadline) if !tag::has_lane(tag) => self.peer.call_within(deadline, tag, args),
            _ => self.peer.call(tag, args),
        }
    }
}

/// This process's standard streams, for an executor on the same machine.
fn place_of_streams() -> Result<[std::os::fd::OwnedFd; 3], ExecutorError> {
    use std::os::fd::AsFd as _;
    let failed = |error: std::io::Error| ExecutorError(format!("cannot pass on the standard streams: {error}"));
    let (input, output, errors) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let own = |stream: std::os::fd::BorrowedFd<'_>| stream.try_clone_to_owned().map_err(failed);
    Ok([own(input.as_fd())?, own(output.as_fd())?, own(errors.as_fd())?])
}

/// The lanes of a thread, by connection.
struct Lanes(Vec<(Weak<Connection>, u64)>);

impl Drop for Lanes {
    fn drop(&mut self) {
        for (connection, lane) in self.0.drain(..) {
            if let Some(connection) = connection.upgrade() {
                // An executor that is gone has no threads.
                let _: Result<(), _> = connection.ask(tag::END_LANE, &lane);
            }
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("peer", &self.peer).field("process", &self.process).finish_non_exhaustive()
    }
}
