//! How much may be sent before the other side has dealt with what was sent.
//!
//! The one who sends takes; the one who receives gives back what it has passed on, by whatever message. So neither side keeps more than the
//! agreed amount of the other's data, whoever is slow.

use crate::sync::{Condvar, Mutex};
use std::time::Duration;

/// Room for bytes on their way.
#[derive(Debug)]
pub struct Credit {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    room: u64,
    closed: bool,
}

impl Credit {
    /// Room for `room` bytes.
    pub fn new(room: u64) -> Self {
        Self { state: Mutex::new(State { room, closed: false }), changed: Condvar::new() }
    }

    /// Waits until there is room, and takes up to `most` bytes of it. `None` when there is none and will be none.
    pub fn take(&self, most: u64) -> Option<u64> {
        let mut state = self.state.lock();
        loop {
            if state.room > 0 {
                let taken = state.room.min(most);
                state.room -= taken;
                return Some(taken);
            }
            if state.closed {
                return None;
            }
            // Woken at every change; the limit only bounds what a lost one would cost.
            state = self.changed.wait_timeout(state, Duration::from_secs(1));
        }
    }

    /// Takes all of `bytes` if there is room for them now: what the other side was allowed to send.
    pub fn try_take(&self, bytes: u64) -> bool {
        let mut state = self.state.lock();
        let left = state.room.checked_sub(bytes);
        state.room = left.unwrap_or(state.room);
        left.is_some()
    }

    /// There is room for `bytes` more.
    pub fn give(&self, bytes: u64) {
        let mut state = self.state.lock();
        state.room = state.room.saturating_add(bytes);
        drop(state);
        self.changed.notify_all();
    }

    /// Nobody needs to wait any more.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::Credit;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn no_more_is_taken_than_was_given() {
        let credit = Arc::new(Credit::new(10));
        assert_eq!((credit.take(6), credit.take(6)), (Some(6), Some(4)));
        assert!(!credit.try_take(1));
        let waiting = {
            let credit = Arc::clone(&credit);
            std::thread::spawn(move || (credit.take(100), credit.take(100)))
        };
        std::thread::sleep(Duration::from_millis(20));
        credit.give(7);
        std::thread::sleep(Duration::from_millis(20));
        credit.close();
        assert_eq!(waiting.join().expect("no panic"), (Some(7), None));
    }
}
