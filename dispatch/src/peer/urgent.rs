//! What must be said soon and by nobody in particular: pings, pongs, cancellations, refusals.
//!
//! A thread of its own says it, started when there is something to say and ended when there has been nothing for a while. For sending
//! may block while the other side does not read, and none of those who have something to say may wait for that: not the one who reads
//! (both sides would wait for each other), not a caller whose time is up, not the one who watches the clock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::link::Link;
use super::turns::State;
use crate::call::Reply;
use crate::frame::Seq;

/// A thread that has had nothing to say for this long ends.
const IDLE: Duration = Duration::from_secs(10);

/// What is to be said.
#[derive(Default)]
pub(super) struct Urgent {
    /// However many were asked for, one will do.
    pub(super) ping: bool,
    pub(super) pong: bool,
    /// Calls of this side that were given up. Each pending call comes here once at most, so their number is bounded.
    pub(super) cancels: VecDeque<Seq>,
    /// Calls of the other side that no handler will answer, and why. They count as served until then, so their number is bounded too.
    pub(super) refusals: VecDeque<(Seq, String)>,
    /// There is a thread.
    runs: bool,
}

impl Link {
    /// Has what is in [`State::urgent`] said.
    pub(super) fn urge(self: &Arc<Self>, state: &mut State) {
        if state.urgent.runs {
            self.urgent_turn.notify_one();
            return;
        }
        let link = Arc::clone(self);
        let started = thread::Builder::new().name("dispatch-urgent".to_owned()).spawn(move || link.say_urgent());
        match started {
            Ok(_) => state.urgent.runs = true,
            // The next one tries again; what is not said is missed, but nothing breaks.
            Err(error) => tracing::warn!(target: "dispatch", %error, "no thread to send notices"),
        }
    }

    fn say_urgent(self: &Arc<Self>) {
        let mut state = self.state.lock();
        while state.is_open() {
            let urgent = &mut state.urgent;
            let frame = if let Some((seq, why)) = urgent.refusals.pop_front() {
                drop(state);
                self.answer(seq, &Reply::error(why));
                state = self.state.lock();
                continue;
            } else if std::mem::take(&mut urgent.pong) {
                state.endpoint.pong()
            } else if std::mem::take(&mut urgent.ping) {
                state.endpoint.ping()
            } else if let Some(seq) = urgent.cancels.pop_front() {
                state.endpoint.cancel(seq)
            } else {
                state = self.urgent_turn.wait_for(state, IDLE);
                let urgent = &state.urgent;
                if urgent.pong || urgent.ping || !urgent.cancels.is_empty() || !urgent.refusals.is_empty() {
                    continue;
                }
                break;
            };
            drop(state);
            if let Some(frame) = frame {
                self.send(frame);
            }
            state = self.state.lock();
        }
        state.urgent.runs = false;
    }
}
