//! Calls run on the thread that read them.

use super::{Dispatcher, Job};

/// Runs each call on the thread that read it: a server thread, or a caller that waits for its answer.
///
/// No thread is woken, so this is the fastest. While the handler runs, another thread of the peer reads on, if there is one;
/// one is started if a call of this side waits with a limit, or if one side watches whether the other is there. A caller
/// that runs a handler is late for its own answer: a handler may call back as it likes, but must not wait by other means for what
/// such a caller does next.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inline;

impl Dispatcher for Inline {
    fn dispatch(&self, job: Job) -> Option<Job> {
        Some(job)
    }
}
