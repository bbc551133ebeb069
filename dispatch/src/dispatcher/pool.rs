//! Calls run on worker threads.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::{Dispatcher, Job};
use crate::sync::{Condvar, Mutex};

/// A worker that has had nothing to do for this long ends.
const IDLE: Duration = Duration::from_secs(10);

/// Runs calls on worker threads. One is started whenever a call comes and none is idle, up to a maximum; beyond that calls wait for a
/// worker, and handlers that wait for each other may wait for ever: choose the maximum above the number of such handlers.
///
/// Dropping the pool drops the calls that wait; workers end after the call that they run.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    arrived: Condvar,
    max: usize,
    stack_size: usize,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    workers: usize,
    idle: usize,
    closed: bool,
}

impl Pool {
    /// At most `max` workers (at least one).
    pub fn new(max: usize) -> Self {
        // What a main thread has: handlers run programs.
        Pool::with_stack_size(max, 8 << 20)
    }

    /// [`new`](Pool::new), with stacks of `stack_size` bytes instead of 8 MiB.
    pub fn with_stack_size(max: usize, stack_size: usize) -> Self {
        let (state, arrived) = (Mutex::default(), Condvar::default());
        Pool { shared: Arc::new(Shared { state, arrived, max: max.max(1), stack_size }) }
    }

    /// How many workers there are at this moment.
    pub fn workers(&self) -> usize {
        self.shared.state.lock().workers
    }
}

/// Up to 64 workers.
impl Default for Pool {
    fn default() -> Self {
        Pool::new(64)
    }
}

impl Dispatcher for Pool {
    fn dispatch(&self, job: Job) -> Option<Job> {
        let mut state = self.shared.state.lock();
        state.jobs.push_back(job);
        if state.jobs.len() <= state.idle || state.workers >= self.shared.max {
            self.shared.arrived.notify_one();
            return None;
        }
        state.workers += 1;
        drop(state);
        let shared = Arc::clone(&self.shared);
        let started = thread::Builder::new()
            .name("dispatch-pool".to_owned())
            .stack_size(self.shared.stack_size)
            .spawn(move || shared.work());
        match started {
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(target: "dispatch", %error, "no further worker thread");
                let mut state = self.shared.state.lock();
                state.workers -= 1;
                // Others will come round to it; without others, the reading thread does it.
                if state.workers == 0 { state.jobs.pop_back() } else { None }
            }
        }
    }
}

impl Shared {
    fn work(&self) {
        let mut idle_since = Instant::now();
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                job.run();
                idle_since = Instant::now();
                state = self.state.lock();
                continue;
            }
            if state.closed {
                break;
            }
            let left = IDLE.saturating_sub(idle_since.elapsed());
            if left.is_zero() {
                break;
            }
            state.idle += 1;
            state = self.arrived.wait_for(state, left);
            state.idle -= 1;
        }
        state.workers -= 1;
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.closed = true;
        let jobs = std::mem::take(&mut state.jobs);
        drop(state);
        self.shared.arrived.notify_all();
        drop(jobs);
    }
}
