//! What the current thread is doing for a connection: which calls it serves, and for which answers it waits, innermost last.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use super::cancel::Wanted;
use super::turns::SlotId;
use crate::frame::Seq;

/// An entry of a thread's stack, as far as connections know of it.
enum Level {
    Serving(Arc<Wanted>, Seq),
    /// The number is the connection's.
    Waiting(u64, SlotId, Patience),
}

struct Stack {
    levels: Vec<Level>,
    /// How many of them serve.
    serving: usize,
}

thread_local! {
    static STACK: RefCell<Stack> = const { RefCell::new(Stack { levels: Vec::new(), serving: 0 }) };
}

/// How long a call waits, and how. What is called while it waits is called on its behalf, so it waits no longer and no other way.
#[derive(Clone, Copy, Default)]
pub(super) struct Patience {
    /// Until then.
    pub(super) deadline: Option<Instant>,
    /// Somebody may call it off at any time.
    pub(super) revocable: bool,
}

impl Patience {
    /// The shorter of both.
    pub(super) fn and(self, other: Patience) -> Self {
        let deadline = match (self.deadline, other.deadline) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        Patience { deadline, revocable: self.revocable || other.revocable }
    }

    /// Whether the thread must wake up by other means than a frame that arrives: then it cannot read.
    pub(super) fn is_limited(&self) -> bool {
        self.revocable || self.deadline.is_some()
    }
}

/// Where a call is made from.
#[derive(Default)]
pub(super) struct Place {
    /// The innermost call of the connection that this thread is serving: what a call made from here is nested in.
    pub(super) parent: Option<Seq>,
    /// The outermost call of this thread that waits for an answer of the connection.
    pub(super) outermost: Option<SlotId>,
    /// That of the innermost waiting call, of whatever connection.
    pub(super) patience: Patience,
}

/// Where this thread is, seen from connection `link`.
pub(super) fn place(link: u64) -> Place {
    with(|stack| {
        let serving = |level: &Level| match level {
            Level::Serving(wanted, seq) if wanted.link() == link => Some(*seq),
            _ => None,
        };
        let waiting = |level: &Level| match *level {
            Level::Waiting(of, slot, _) if of == link => Some(slot),
            _ => None,
        };
        let patience = |level: &Level| match *level {
            Level::Waiting(_, _, patience) => Some(patience),
            Level::Serving(..) => None,
        };
        Place {
            parent: stack.levels.iter().rev().find_map(serving),
            outermost: stack.levels.iter().find_map(waiting),
            patience: stack.levels.iter().rev().find_map(patience).unwrap_or_default(),
        }
    })
    .unwrap_or_default()
}

/// How many calls this thread is serving, one inside the other.
pub(super) fn depth() -> usize {
    with(|stack| stack.serving).unwrap_or(0)
}

/// Whether nobody waits any more for what this thread does. In a handler: the other side has given up the call that it serves, or its
/// connection has ended. It may stop, and answer with anything; nobody will see it.
///
/// It is the innermost handler that is asked about; outside of one, somebody always waits.
///
/// ```
/// use dispatch::{Registry, Tag};
///
/// let registry = Registry::new();
/// registry.serve(Tag(1), |pages: u64| -> Result<u64, String> {
///     for _page in 0..pages {
///         if dispatch::cancelled() {
///             return Err("nobody waits any more".to_owned());
///         }
///         // ... the work of one page
///     }
///     Ok(pages)
/// })?;
/// # assert_eq!(dispatch::call_expected::<u64, u64>(&registry, Tag(1), &3), Ok(3));
/// # Ok::<(), dispatch::TagInUse>(())
/// ```
pub fn cancelled() -> bool {
    with(|stack| {
        let serving = |level: &Level| match level {
            Level::Serving(wanted, seq) => Some(wanted.is_over() || wanted.is_given_up(*seq)),
            Level::Waiting(..) => None,
        };
        stack.levels.iter().rev().find_map(serving)
    })
    .flatten()
    .unwrap_or(false)
}

/// While it lives, this thread is one level deeper.
#[must_use]
pub(super) struct Deeper(());

pub(super) fn serving(wanted: &Arc<Wanted>, seq: Seq) -> Deeper {
    with(|stack| {
        stack.levels.push(Level::Serving(Arc::clone(wanted), seq));
        stack.serving += 1;
    });
    Deeper(())
}

pub(super) fn waiting(link: u64, slot: SlotId, patience: Patience) -> Deeper {
    with(|stack| stack.levels.push(Level::Waiting(link, slot, patience)));
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
