//! Calls wait until a thread of your choice runs them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Dispatcher, Job};
use crate::sync::{Condvar, Mutex};

/// Keeps calls, in the order of their arrival, until you run them. Clones share one queue: the peer gets one, you keep another.
///
/// Its length is bounded by the peer's [`max_pending`](crate::Limits::max_pending).
///
/// ```
/// # use dispatch::dispatcher::Queue;
/// let queue = Queue::new();
/// // ... give `queue.clone()` to a connection; then, in the main loop:
/// assert_eq!(queue.run_pending(), 0);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Queue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    jobs: Mutex<VecDeque<Job>>,
    arrived: Condvar,
}

impl Queue {
    /// An empty queue.
    pub fn new() -> Self {
        Queue::default()
    }

    /// Runs, on this thread, the calls that are here now; how many that were.
    pub fn run_pending(&self) -> usize {
        let jobs = std::mem::take(&mut *self.0.jobs.lock());
        let count = jobs.len();
        jobs.into_iter().for_each(Job::run);
        count
    }

    /// Waits up to `timeout` for a call and runs it on this thread; whether there was one.
    pub fn run_one(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut jobs = self.0.jobs.lock();
        loop {
            if let Some(job) = jobs.pop_front() {
                drop(jobs);
                job.run();
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            jobs = self.0.arrived.wait_for(jobs, left);
        }
    }

    /// How many calls wait.
    pub fn len(&self) -> usize {
        self.0.jobs.lock().len()
    }

    /// Whether no call waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Dispatcher for Queue {
    fn dispatch(&self, job: Job) -> Option<Job> {
        self.0.jobs.lock().push_back(job);
        self.0.arrived.notify_one();
        None
    }
}
