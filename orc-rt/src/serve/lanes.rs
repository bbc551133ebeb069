//! Which thread of the executor runs a call: a thread of the controller has its own here.
//!
//! A call that runs code of the user begins with its lane. Lane 0 is the main thread, which runs its calls in [`Lanes::run_main`]; every
//! other lane gets a thread when it first calls, and keeps it until the controller's thread ends. So thread-local variables are found
//! again, and two threads of the controller run code at the same time. Calls without a lane go to a pool; nested ones never come
//! by here, their thread is waiting already.

use crate::service::down::tag;
use crate::signal_mask::Mask;
use crate::sync::{Arc, Mutex};
use dispatch::dispatcher::{Dispatcher, Job, Pool, Queue};
use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

/// Most threads that a controller may have here.
const MAX_LANES: usize = 4096;
/// A main thread's stack: lanes run what main threads would.
const STACK: usize = 8 << 20;
/// Long enough to be no load, whatever happens.
const A_WHILE: Duration = Duration::from_secs(3600);

/// Threads by lane.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    main: Queue,
    others: Mutex<HashMap<u64, Queue>>,
    pool: Pool,
    /// Which signals threads of the user hold back at first.
    pub(super) mask: OnceLock<Mask>,
}

impl Lanes {
    /// Makes this thread that of lane 0, for good: the process ends by other means.
    pub(crate) fn run_main(&self) -> ! {
        loop {
            self.main.run_one(A_WHILE);
        }
    }

    /// Ends the lane's thread, after the call that it runs now.
    pub(crate) fn end(&self, lane: u64) {
        self.others.lock().remove(&lane);
    }

    fn start(self: &Arc<Self>, lane: u64) -> Option<Queue> {
        let queue = Queue::new();
        let (lanes, jobs, mask) = (Arc::downgrade(self), queue.clone(), self.mask.get().copied());
        let run = move || {
            crate::crash::prepare_thread();
            // The thread that starts this one holds all back.
            if let Some(mask) = mask {
                mask.set();
            }
            while lanes.upgrade().is_some_and(|lanes| lanes.others.lock().contains_key(&lane)) {
                jobs.run_one(A_WHILE);
            }
        };
        let started = std::thread::Builder::new().name(format!("lane-{lane}")).stack_size(STACK).spawn(run);
        started.is_ok().then_some(queue)
    }
}

/// Whose thread is to run a call, if that matters.
fn lane_of(job: &Job) -> Option<u64> {
    let has_lane = tag::has_lane(job.tag()) || job.tag() == tag::END_LANE;
    has_lane.then(|| job.args().first_chunk().map(|bytes| u64::from_le_bytes(*bytes))).flatten()
}

/// The dispatcher of an executor's peer.
#[derive(Debug, Clone)]
pub(crate) struct ByLane(pub(crate) Arc<Lanes>);

impl Dispatcher for ByLane {
    fn dispatch(&self, job: Job) -> Option<Job> {
        let Self(lanes) = self;
        let lane = match lane_of(&job) {
            None => return lanes.pool.dispatch(job),
            Some(0) => return lanes.main.dispatch(job),
            Some(lane) => lane,
        };
        let queue = {
            let mut others = lanes.others.lock();
            match others.get(&lane) {
                Some(queue) => Some(queue.clone()),
                // A thread that never called has nothing to end.
                None if job.tag() == tag::END_LANE => return lanes.pool.dispatch(job),
                None if others.len() >= MAX_LANES => None,
                None => {
                    // In the table first: the thread ends when it is not.
                    others.insert(lane, Queue::new());
                    let started = lanes.start(lane);
                    match &started {
                        Some(queue) => others.insert(lane, queue.clone()),
                        None => others.remove(&lane),
                    };
                    started
                }
            }
        };
        match queue {
            Some(queue) => queue.dispatch(job),
            None => {
                tracing::warn!(lane, "no thread for a further thread of the controller");
                // Dropped, which answers it with an error.
                drop(job);
                None
            }
        }
    }
}
