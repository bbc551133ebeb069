//! Whoever watches the time: has the other side introduced itself, is it still there?
//!
//! A thread of its own, for connections that asked for it. It sends nothing itself and waits for nothing but the clock, so that no
//! silence of the other side silences it.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::end::End;
use super::link::Link;
use super::turns::State;
use crate::endpoint::Features;

/// The slowest line on which a large frame that is being sent does not count as the other side's silence, in bytes per second.
const SLOWEST: u64 = 1 << 20;

/// What is watched.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Watch {
    /// How long the other side may take to introduce itself.
    pub(crate) setup: Option<Duration>,
    pub(crate) heartbeat: Option<Heartbeat>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Heartbeat {
    /// After so long a silence a ping is sent.
    pub(crate) every: Duration,
    /// After so long a silence the connection ends.
    pub(crate) patience: Duration,
}

/// What was heard of the other side.
pub(super) struct Heard {
    /// When a frame came last. Kept only where there is a heartbeat.
    pub(super) at: Instant,
    /// How much of the time since then was spent in sending to it: it may have read all the while.
    pub(super) excused: Duration,
    /// Its Setup has come.
    pub(super) introduced: bool,
    /// It watches this side, which must always have a thread that reads.
    pub(super) watches: bool,
}

/// A frame that is being sent.
#[derive(Clone, Copy)]
pub(super) struct Sending {
    since: Instant,
    size: u64,
}

impl Sending {
    pub(super) fn begin(size: u64) -> Self {
        Sending { since: Instant::now(), size }
    }

    /// How much of the time that it has taken, since something was `heard`, is no silence of the other side.
    pub(super) fn excuse(&self, heard: Instant) -> Duration {
        let expected = Duration::from_micros(self.size.saturating_mul(1_000_000) / SLOWEST);
        self.since.max(heard).elapsed().min(expected)
    }
}

impl Heard {
    pub(super) fn new() -> Self {
        Heard { at: Instant::now(), excused: Duration::ZERO, introduced: false, watches: false }
    }

    pub(super) fn now(&mut self) {
        self.at = Instant::now();
        self.excused = Duration::ZERO;
    }
}

impl Link {
    /// Starts to watch, if there is anything to watch.
    pub(crate) fn start_clock(self: &Arc<Self>) -> std::io::Result<()> {
        if self.watch.setup.is_none() && self.watch.heartbeat.is_none() {
            return Ok(());
        }
        if self.watch.heartbeat.is_some() && self.state.lock().servers.count == 0 {
            // What nobody reads cannot be heard.
            Link::serve_in_background(self)?;
        }
        let link = Arc::clone(self);
        thread::Builder::new().name("dispatch-clock".to_owned()).spawn(move || link.watch_clock())?;
        Ok(())
    }

    fn watch_clock(self: &Arc<Self>) {
        let start = Instant::now();
        let mut pinged: Option<Instant> = None;
        let mut state = self.state.lock();
        while state.is_open() {
            let now = Instant::now();
            let mut next: Option<Duration> = None;
            if let Some(limit) = self.watch.setup.filter(|_| !state.heard.introduced) {
                let left = limit.saturating_sub(now - start);
                if left.is_zero() {
                    self.close(state, End::Broken(format!("it did not introduce itself within {limit:?}")));
                    return;
                }
                next = Some(left);
            }
            if let Some(heartbeat) = self.watch.heartbeat
                && state.endpoint.features().contains(Features::HEARTBEAT)
            {
                let silence = self.silence(&state, now);
                if silence >= heartbeat.patience {
                    self.close(state, End::Broken(format!("it said nothing for {:?}", heartbeat.patience)));
                    return;
                }
                // The first ping comes at once: it tells the other side that it is watched.
                let quiet = pinged.map(|pinged| now.saturating_duration_since(pinged.max(state.heard.at)));
                let mut left = heartbeat.every.saturating_sub(quiet.unwrap_or(heartbeat.every));
                if left.is_zero() {
                    pinged = Some(now);
                    left = heartbeat.every;
                    state.urgent.ping = true;
                    self.urge(&mut state);
                }
                let left = left.min(heartbeat.patience - silence);
                next = Some(next.map_or(left, |next| next.min(left)));
            }
            state = match next {
                Some(next) => self.clock_turn.wait_for(state, next),
                None => self.clock_turn.wait(state),
            };
        }
    }

    /// For how long nothing has come, without the time in which nothing could be expected.
    fn silence(&self, state: &State, now: Instant) -> Duration {
        let sending = self.sending.lock().map_or(Duration::ZERO, |sending| sending.excuse(state.heard.at));
        now.saturating_duration_since(state.heard.at).saturating_sub(state.heard.excused + sending)
    }
}
