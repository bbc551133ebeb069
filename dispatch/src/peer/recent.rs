//! The last calls of a connection, for reports of how it ended.
//!
//! Kept under the lock that a call takes anyway: two readings of the clock and one entry of a ring for each call, no allocation.

use std::fmt;
use std::time::{Duration, Instant};

use crate::call::{Reply, Tag};
use crate::frame::Seq;
use crate::layer::Direction;

/// How many calls are remembered.
const KEPT: usize = 16;

/// A call that was made lately; see [`Peer::recent_calls`](crate::Peer::recent_calls). Prints as one line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallRecord {
    /// Who called: `Sent` is a call of this side.
    pub direction: Direction,
    /// What was called.
    pub tag: Tag,
    /// The call's number.
    pub seq: Seq,
    /// The number of the call, of the other direction, that it was nested in, if the two sides tell each other.
    pub parent: Option<u32>,
    /// How many bytes its arguments have.
    pub bytes: usize,
    /// What became of it.
    pub state: CallState,
    /// How long it took, or has taken so far.
    pub duration: Duration,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallState {
    /// It has no answer yet.
    Waiting,
    /// It has been answered with a result.
    Answered,
    /// It was answered with an error text, was given up, or the connection ended before its answer.
    Failed,
}

impl CallState {
    pub(super) fn of(reply: &Reply) -> Self {
        if reply.as_error().is_some() { CallState::Failed } else { CallState::Answered }
    }
}

impl fmt::Display for CallRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CallRecord { direction, tag, seq, bytes, state, duration, .. } = self;
        let state = match state {
            CallState::Waiting => "waiting for",
            CallState::Answered => "answered after",
            CallState::Failed => "failed after",
        };
        write!(f, "{direction} call-{}", seq.number())?;
        if let Some(parent) = self.parent {
            write!(f, "(in call-{parent})")?;
        }
        write!(f, " {tag} {bytes} bytes, {state} {duration:.1?}")
    }
}

/// The ring.
#[derive(Default)]
pub(super) struct Recent {
    ring: [Option<Entry>; KEPT],
    /// Where the next one goes: over the oldest.
    next: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    direction: Direction,
    tag: Tag,
    seq: Seq,
    has_parent: bool,
    bytes: usize,
    state: CallState,
    since: Instant,
    took: Duration,
}

impl Recent {
    /// A call begins. `has_parent`: the upper half of `seq` means what we mean by it.
    pub(super) fn begin(&mut self, direction: Direction, tag: Tag, seq: Seq, has_parent: bool, bytes: usize) {
        self.ring[self.next] = Some(Entry {
            direction,
            tag,
            seq,
            has_parent,
            bytes,
            state: CallState::Waiting,
            since: Instant::now(),
            took: Duration::ZERO,
        });
        self.next = (self.next + 1) % KEPT;
    }

    /// A call ends, if it is still remembered.
    pub(super) fn end(&mut self, direction: Direction, seq: Seq, state: CallState) {
        let of =
            |entry: &&mut Entry| entry.seq == seq && entry.direction == direction && entry.state == CallState::Waiting;
        if let Some(entry) = self.ring.iter_mut().flatten().find(of) {
            entry.state = state;
            entry.took = entry.since.elapsed();
        }
    }

    /// Whatever waits has failed.
    pub(super) fn end_all(&mut self) {
        for entry in self.ring.iter_mut().flatten().filter(|entry| entry.state == CallState::Waiting) {
            entry.state = CallState::Failed;
            entry.took = entry.since.elapsed();
        }
    }

    /// What is remembered, the oldest first.
    pub(super) fn records(&self) -> Vec<CallRecord> {
        let (newer, older) = self.ring.split_at(self.next);
        let record = |entry: &Entry| CallRecord {
            direction: entry.direction,
            tag: entry.tag,
            seq: entry.seq,
            parent: Some(entry.seq.parent()).filter(|&parent| entry.has_parent && parent != 0),
            bytes: entry.bytes,
            state: entry.state,
            duration: if entry.state == CallState::Waiting { entry.since.elapsed() } else { entry.took },
        };
        older.iter().chain(newer).flatten().map(record).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_keeps_the_last_calls_in_their_order() {
        let mut recent = Recent::default();
        assert!(recent.records().is_empty());
        for number in 1..=20 {
            recent.begin(Direction::Sent, Tag(u64::from(number)), Seq::new(number, 0), true, 3);
        }
        recent.end(Direction::Sent, Seq::new(18, 0), CallState::Answered);
        recent.end(Direction::Received, Seq::new(19, 0), CallState::Answered);
        recent.end(Direction::Sent, Seq::new(2, 0), CallState::Answered);
        let records = recent.records();
        let numbers: Vec<u32> = records.iter().map(|record| record.seq.number()).collect();
        assert_eq!(numbers, (5..=20).collect::<Vec<_>>());
        let answered: Vec<u32> =
            records.iter().filter(|r| r.state == CallState::Answered).map(|r| r.seq.number()).collect();
        assert_eq!(answered, [18]);
        recent.end_all();
        assert!(recent.records().iter().all(|record| record.state != CallState::Waiting));
    }

    #[test]
    fn a_record_prints_as_one_line() {
        let mut recent = Recent::default();
        recent.begin(Direction::Received, Tag(16), Seq::new(7, 3), true, 40);
        recent.begin(Direction::Sent, Tag(17), Seq::new(8, 3), false, 0);
        recent.end(Direction::Received, Seq::new(7, 3), CallState::Failed);
        let lines: Vec<String> = recent.records().iter().map(ToString::to_string).collect();
        assert!(lines[0].starts_with("<- call-7(in call-3) tag-0x10 40 bytes, failed after "), "{}", lines[0]);
        assert!(lines[1].starts_with("-> call-8 tag-0x11 0 bytes, waiting for "), "{}", lines[1]);
    }
}
