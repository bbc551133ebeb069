//! Between an executor and the session that it asks: shut for good when another executor takes its place.
//!
//! What an executor asks changes what the session takes for linked and initialized. So once a gate is shut, nothing that comes from its
//! executor reaches the session, and nothing that had come is still on its way. Services of the user pass: they know nothing of it.

use crate::executor::Late;
use dispatch::{CallError, Caller, Reply, Tag};
use orc_rt::service::tag;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The requests that are the session's own.
const OWN: [Tag; 5] = [tag::OPEN, tag::UPDATE, tag::CLOSED, tag::LOOKUP, tag::DESCRIBE];

/// What one connection's executor calls.
#[derive(Debug)]
pub(super) struct Gate {
    controller: Arc<Late>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    shut: bool,
    /// Requests that are being served.
    inside: usize,
}

impl Gate {
    pub(super) fn new(controller: Arc<Late>) -> Arc<Self> {
        Arc::new(Self { controller, state: Mutex::default(), changed: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shuts it, and waits until what was inside is through: what the connection was asked meanwhile must fail, or this waits for it.
    pub(super) fn shut(&self) {
        let mut state = self.lock();
        state.shut = true;
        while state.inside > 0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Caller for Gate {
    fn call(&self, tag: Tag, args: &[u8]) -> Result<Reply, CallError> {
        if !OWN.contains(&tag) {
            return self.controller.call(tag, args);
        }
        {
            let mut state = self.lock();
            if state.shut {
                return Ok(Reply::error("the session has another executor now"));
            }
            state.inside += 1;
        }
        let _inside = Inside(self);
        self.controller.call(tag, args)
    }
}

/// A request that is being served, be it to the end or to a panic.
struct Inside<'a>(&'a Gate);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.lock().inside -= 1;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dispatch::Registry;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    #[test]
    fn shutting_waits_for_what_is_inside_and_lets_nothing_more_in() {
        let registry = Arc::new(Registry::new());
        let (entered, entering) = channel();
        let (let_go, going) = channel::<()>();
        let going = Mutex::new(going);
        let wait = move |_: &[u8]| {
            entered.send(()).expect("somebody waits");
            let going = going.lock().unwrap_or_else(PoisonError::into_inner);
            going.recv().expect("somebody tells");
            Reply::empty()
        };
        registry.add(tag::OPEN, wait).expect("a free tag");
        registry.serve(Tag(1), |(): ()| 1u8).expect("a free tag");
        let late = Arc::new(Late::default());
        late.set(registry).expect("the first");
        let gate = Gate::new(late);
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| gate.call(tag::OPEN, b""));
            entering.recv().expect("it comes");
            let (shut, shutting) = channel();
            let gate = &gate;
            scope.spawn(move || {
                gate.shut();
                shut.send(()).expect("somebody waits");
            });
            assert!(shutting.recv_timeout(Duration::from_millis(50)).is_err(), "one is inside");
            let refused = gate.call(tag::LOOKUP, b"").expect("an answer");
            assert!(refused.as_error().is_some_and(|text| text.contains("another executor")));
            let_go.send(()).expect("it waits");
            shutting.recv_timeout(Duration::from_secs(10)).expect("nothing is inside any more");
            assert_eq!(inside.join().expect("no panic"), Ok(Reply::empty()));
        });
        assert_eq!(gate.call(Tag(1), b""), Ok(Reply::packed(&1u8)), "the user's own go on");
    }
}
