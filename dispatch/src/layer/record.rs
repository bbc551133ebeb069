//! Keeps what travels, and plays it again without the other side.
//!
//! A [`Record`] writes every frame to a [`Journal`]; a [`Replay`] of the journal is a transport that says what the other side said then,
//! each frame as soon as everything that this side had sent before it has been sent again. A frame that differs from the recorded one
//! ends the connection with an error that names it: so a journal of a failure is a test of its mending.
//!
//! ```
//! use std::sync::Arc;
//! use dispatch::{Connect, Registry, Tag, call_typed, layer::record::{Record, Replay, Journal}, transport::channel};
//!
//! let (here, there) = channel::pair();
//! let services = Arc::new(Registry::new());
//! services.serve(Tag(1), |n: u32| n + 1)?;
//! let executor = Connect::executor(Default::default()).handlers(services).over(there)?;
//!
//! let journal = Journal::new();
//! let peer = Connect::controller().over(Record::new(here, &journal))?;
//! assert_eq!(call_typed::<_, u32>(&peer, Tag(1), &1u32)?, 2);
//! drop((peer, executor));
//!
//! // Later, or elsewhere: there is no executor any more.
//! let journal = Journal::from_bytes(&journal.to_bytes())?;
//! let peer = Connect::controller().over(Replay::new(&journal))?;
//! assert_eq!(call_typed::<_, u32>(&peer, Tag(1), &1u32)?, 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::io;
use std::sync::Arc;

use super::Direction;
use crate::error::PackError;
use crate::frame::{Frame, Limits};
use crate::packed;
use crate::sync::{Condvar, Mutex};
use crate::transport::{Closer, RecvFrame, SendFrame, Transport, TransportError};

/// The frames of a connection, in the order in which this side saw them. Clones share one journal.
#[derive(Debug, Clone, Default)]
pub struct Journal(Arc<Mutex<Vec<Entry>>>);

/// One frame of a [`Journal`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which way it went.
    pub direction: Direction,
    /// The frame.
    pub frame: Frame<'static>,
}

impl Journal {
    /// Nothing yet.
    pub fn new() -> Self {
        Journal::default()
    }

    /// What has been written so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.0.lock().clone()
    }

    fn push(&self, direction: Direction, frame: Frame<'static>) {
        self.0.lock().push(Entry { direction, frame });
    }

    /// The journal as bytes, to be kept in a file. Only the same version need be able to read them.
    pub fn to_bytes(&self) -> Vec<u8> {
        let entries: Vec<(bool, Vec<u8>)> =
            self.0.lock().iter().map(|entry| (entry.direction == Direction::Sent, entry.frame.to_bytes())).collect();
        packed::to_bytes(&entries)
    }

    /// A journal that [`to_bytes`](Journal::to_bytes) wrote.
    ///
    /// # Errors
    /// The bytes are no journal.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, JournalError> {
        let limits = Limits { max_frame: u64::MAX, ..Limits::default() };
        let entries = packed::from_bytes::<Vec<(bool, &[u8])>>(bytes)?
            .into_iter()
            .map(|(sent, frame)| {
                let direction = if sent { Direction::Sent } else { Direction::Received };
                Ok(Entry { direction, frame: Frame::from_bytes(frame, &limits)?.into_owned() })
            })
            .collect::<Result<Vec<Entry>, JournalError>>()?;
        Ok(Journal(Arc::new(Mutex::new(entries))))
    }
}

/// Bytes that are no journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// The list of entries is broken.
    #[error("this is no journal: {0}")]
    Packed(#[from] PackError),
    /// A frame is broken.
    #[error("a frame of the journal is broken: {0}")]
    Frame(#[from] crate::frame::FrameError),
}

/// A transport whose frames are kept.
#[derive(Debug)]
pub struct Record<T> {
    inner: T,
    journal: Journal,
}

impl<T: Transport> Record<T> {
    /// Writes what passes through `inner` to `journal`.
    pub fn new(inner: T, journal: &Journal) -> Self {
        Record { inner, journal: journal.clone() }
    }
}

impl<T: Transport> Transport for Record<T> {
    type Sender = RecordSender<T::Sender>;
    type Receiver = RecordReceiver<T::Receiver>;

    fn split(self, limits: &Limits) -> io::Result<(Self::Sender, Self::Receiver)> {
        let (sender, receiver) = self.inner.split(limits)?;
        let journal = self.journal.clone();
        Ok((RecordSender(sender, journal), RecordReceiver(receiver, self.journal)))
    }

    fn name(&self) -> String {
        self.inner.name()
    }

    fn closer(&self) -> Option<Closer> {
        self.inner.closer()
    }
}

/// The sending half of a [`Record`].
#[derive(Debug)]
pub struct RecordSender<S>(S, Journal);

impl<S: SendFrame> SendFrame for RecordSender<S> {
    fn send(&mut self, frame: Frame<'_>) -> Result<(), TransportError> {
        // Before it leaves, for its answer must stand behind it.
        self.1.push(Direction::Sent, frame.clone().into_owned());
        self.0.send(frame)
    }
}

/// The receiving half of a [`Record`].
#[derive(Debug)]
pub struct RecordReceiver<R>(R, Journal);

impl<R: RecvFrame> RecvFrame for RecordReceiver<R> {
    fn recv(&mut self) -> Result<Option<Frame<'static>>, TransportError> {
        let frame = self.0.recv()?;
        if let Some(frame) = &frame {
            self.1.push(Direction::Received, frame.clone());
        }
        Ok(frame)
    }
}

/// A transport that repeats the other side's part of a [`Journal`].
#[derive(Debug)]
pub struct Replay {
    stage: Arc<Stage>,
}

#[derive(Debug)]
struct Stage {
    entries: Vec<Entry>,
    progress: Mutex<Progress>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Progress {
    /// All frames that this side sent before this entry have been sent again.
    sent: usize,
    /// All frames of the other side before this entry have been heard again.
    heard: usize,
    over: bool,
    /// What was sent that should not have been, for the receiving half to tell, too: whoever comes first ends the connection.
    broken: Option<String>,
}

impl Replay {
    /// Plays what `journal` holds now.
    pub fn new(journal: &Journal) -> Self {
        let (progress, moved) = (Mutex::default(), Condvar::default());
        Replay { stage: Arc::new(Stage { entries: journal.entries(), progress, moved }) }
    }
}

impl Stage {
    /// The first entry of `direction` from `start` on, or the end.
    fn find(&self, direction: Direction, start: usize) -> usize {
        let rest = &self.entries[start..];
        start + rest.iter().position(|e| e.direction == direction).unwrap_or(rest.len())
    }

    fn end(&self) {
        self.progress.lock().over = true;
        self.moved.notify_all();
    }
}

impl Transport for Replay {
    type Sender = ReplaySender;
    type Receiver = ReplayReceiver;

    fn split(self, _: &Limits) -> io::Result<(ReplaySender, ReplayReceiver)> {
        Ok((ReplaySender(Arc::clone(&self.stage)), ReplayReceiver(self.stage)))
    }

    fn name(&self) -> String {
        "the journal".to_owned()
    }

    fn closer(&self) -> Option<Closer> {
        let stage = Arc::clone(&self.stage);
        Some(Closer::new(move || stage.end()))
    }
}

/// The sending half of a [`Replay`].
#[derive(Debug)]
pub struct ReplaySender(Arc<Stage>);

impl SendFrame for ReplaySender {
    fn send(&mut self, frame: Frame<'_>) -> Result<(), TransportError> {
        let stage = &self.0;
        let mut progress = stage.progress.lock();
        if progress.over {
            return Err(TransportError::Closed);
        }
        let index = stage.find(Direction::Sent, progress.sent);
        match stage.entries.get(index) {
            Some(entry) if entry.frame == frame => {
                progress.sent = index + 1;
                stage.moved.notify_all();
                Ok(())
            }
            entry => {
                let expected = entry.map_or("nothing more".to_owned(), |entry| format!("{:?}", entry.frame));
                let text = format!("{frame:?} was sent where the journal has {expected} (entry {index})");
                progress.broken = Some(text.clone());
                drop(progress);
                stage.end();
                Err(TransportError::Layer(text))
            }
        }
    }
}

impl Drop for ReplaySender {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The receiving half of a [`Replay`].
#[derive(Debug)]
pub struct ReplayReceiver(Arc<Stage>);

impl RecvFrame for ReplayReceiver {
    fn recv(&mut self) -> Result<Option<Frame<'static>>, TransportError> {
        let stage = &self.0;
        let mut progress = stage.progress.lock();
        let index = stage.find(Direction::Received, progress.heard);
        // What the other side said then, it said after it had heard what was sent before.
        while stage.find(Direction::Sent, progress.sent) < index {
            if progress.over {
                return progress.broken.take().map_or(Ok(None), |text| Err(TransportError::Layer(text)));
            }
            progress = stage.moved.wait(progress);
        }
        progress.heard = (index + 1).min(stage.entries.len());
        Ok(stage.entries.get(index).map(|entry| entry.frame.clone()))
    }
}
