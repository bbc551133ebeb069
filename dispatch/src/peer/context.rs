//! What the current thread is doing for a connection: which calls it serves, and for which answers it waits, innermost last.

use std::cell::RefCell;

use super::turns::SlotId;
use crate::frame::Seq;

/// An entry of a thread's stack, as far as connections know of it. The number is the connection's.
#[derive(Clone, Copy)]
enum Level {
    Serving(u64, Seq),
    Waiting(u64, SlotId),
}

struct Stack {
    levels: Vec<Level>,
    /// How many of them serve.
    serving: usize,
}

thread_local! {
    static STACK: RefCell<Stack> = const { RefCell::new(Stack { levels: Vec::new(), serving: 0 }) };
}

/// The innermost call of connection `link` that this thread is serving: what a call made from here is nested in.
pub(super) fn parent(link: u64) -> Option<Seq> {
    let serving = |level: &Level| match *level {
        Level::Serving(of, seq) if of == link => Some(seq),
        _ => None,
    };
    with(|stack| stack.levels.iter().rev().find_map(serving)).flatten()
}

/// The outermost call of this thread that waits for an answer of connection `link`.
pub(super) fn outermost_wait(link: u64) -> Option<SlotId> {
    let waiting = |level: &Level| match *level {
        Level::Waiting(of, slot) if of == link => Some(slot),
        _ => None,
    };
    with(|stack| stack.levels.iter().find_map(waiting)).flatten()
}

/// How many calls this thread is serving, one inside the other.
pub(super) fn depth() -> usize {
    with(|stack| stack.serving).unwrap_or(0)
}

/// While it lives, this thread is one level deeper.
#[must_use]
pub(super) struct Deeper(());

pub(super) fn serving(link: u64, seq: Seq) -> Deeper {
    with(|stack| {
        stack.levels.push(Level::Serving(link, seq));
        stack.serving += 1;
    });
    Deeper(())
}

pub(super) fn waiting(link: u64, slot: SlotId) -> Deeper {
    with(|stack| stack.levels.push(Level::Waiting(link, slot)));
    Deeper(())
}

impl Drop for Deeper {
    fn drop(&mut self) {
        with(|stack| {
            if let Some(Level::Serving(..)) = stack.levels.pop() {
                stack.serving -= 1;
            }
        });
    }
}

/// None on a thread that is ending: destructors of thread-locals may still call, and are then nested in nothing.
fn with<T>(act: impl FnOnce(&mut Stack) -> T) -> Option<T> {
    STACK.try_with(|stack| act(&mut stack.borrow_mut())).ok()
}
