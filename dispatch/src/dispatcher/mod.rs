//! On which thread a call of the other side runs.
//!
//! A nested call (made by the handler of a call that is waiting here) needs no dispatcher: the thread that waits serves it, as if the
//! whole chain were one thread. Every other call arrives as a [`Job`], and a [`Dispatcher`] says where it runs:
//!
//! | dispatcher | the handler runs | for |
//! |---|---|---|
//! | [`Inline`] | on the thread that read the call | lowest latency; handlers that do not wait for threads that call |
//! | [`Queue`] | when and where you ask for it | work that belongs to one thread (a main loop, a GUI) |
//! | [`Pool`] | on a worker thread, more are started as needed | everything else; the default |
//!
//! ```
//! use dispatch::dispatcher::{Dispatcher, Job};
//!
//! /// A thread for each call.
//! #[derive(Debug)]
//! struct Spawn;
//!
//! impl Dispatcher for Spawn {
//!     fn dispatch(&self, job: Job) -> Option<Job> {
//!         std::thread::spawn(move || job.run());
//!         None
//!     }
//! }
//! ```

use std::fmt;

use crate::call::Tag;

mod inline;
mod pool;
mod queue;

pub use inline::Inline;
pub use pool::Pool;
pub use queue::Queue;

/// Decides where calls run.
pub trait Dispatcher: Send + Sync {
    /// Takes a job to run it elsewhere, or gives it back: then the thread that read the call runs it, after it has left reading to
    /// another. Must not block: the connection stands still meanwhile.
    fn dispatch(&self, job: Job) -> Option<Job>;
}

/// A call of the other side, ready to run. If it is dropped, the other side gets an error for an answer.
#[must_use = "a job that is dropped is answered with an error"]
pub struct Job(Option<Box<dyn Work>>);

/// What a job does: one of the two, once.
pub(crate) trait Work: Send {
    fn run(self: Box<Self>);
    fn refuse(self: Box<Self>);
    fn tag(&self) -> Tag;
    fn args(&self) -> &[u8];
}

impl Job {
    pub(crate) fn new(work: impl Work + 'static) -> Self {
        Job(Some(Box::new(work)))
    }

    /// What is called.
    pub fn tag(&self) -> Tag {
        self.0.as_ref().map_or(Tag(0), |work| work.tag())
    }

    /// The packed arguments.
    pub fn args(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |work| work.args())
    }

    /// Runs the handler on this thread and sends its answer. Does not panic when the handler does.
    pub fn run(mut self) {
        if let Some(work) = self.0.take() {
            work.run();
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if let Some(work) = self.0.take() {
            work.refuse();
        }
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Job({} {} bytes)", self.tag(), self.args().len())
    }
}
