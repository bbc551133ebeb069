//! The threads that link: as many as a session may use, for as long as there are pieces to do, and none otherwise.
//!
//! **You give** how many there may be ([`crate::SessionOptions::jobs`]). **You get** a [`Crew`], which is [`Workers`] for `jitlink` and for
//! [`crate::batch`]. **Not here:** what is worth being cut into pieces.
//!
//! There is no pool: threads begin with the pieces and have ended when these are done, so that linked code never shares the process with a
//! thread of the linker (fork, unshare(2), and who lists threads would see it), and a small link starts none. To start one and wait for its
//! end takes some 10 µs; what is cut takes milliseconds. Where the system gives no thread (a limit, a filter of system calls), the caller
//! does all.

use jitlink::Workers;
use std::any::Any;
use std::num::NonZeroUsize;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Builder, Scope, ScopedJoinHandle};

/// More threads than this have never been of use: pages are zeroed and mapped by one system.
const MOST: usize = 16;

/// As many are used where nobody has said how many may be: half of a link is done by one thread in any case.
const UNASKED: usize = 2;

/// Threads of one session.
#[derive(Debug)]
pub(crate) struct Crew {
    jobs: Option<NonZeroUsize>,
    /// Nobody has said how many, and what is linked is so large that more than one pay.
    large: AtomicBool,
    /// How many are used then, once somebody has asked.
    unasked: OnceLock<usize>,
    /// How many threads were started so far.
    started: AtomicUsize,
}

impl Crew {
    /// At most `jobs` threads, that of the caller among them; by default that one alone, until something large is to be linked.
    pub(crate) fn new(jobs: Option<NonZeroUsize>) -> Self {
        Self { jobs, large: AtomicBool::new(false), unasked: OnceLock::new(), started: AtomicUsize::new(0) }
    }

    /// Whether a user has said how many there may be.
    pub(crate) fn is_told(&self) -> bool {
        self.jobs.is_some()
    }

    /// Says whether what is linked now is large.
    pub(crate) fn expect_large(&self, large: bool) {
        self.large.store(large, Ordering::Relaxed);
    }

    /// How many threads this crew has started since it was made.
    #[cfg(test)]
    pub(crate) fn started(&self) -> usize {
        self.started.load(Ordering::Relaxed)
    }

    /// Starts a thread that `scope` waits for; `None` where that cannot be.
    pub(crate) fn start<'scope, T: Send + 'scope>(
        &self,
        scope: &'scope Scope<'scope, '_>,
        work: impl FnOnce() -> T + Send + 'scope,
    ) -> Option<ScopedJoinHandle<'scope, T>> {
        let thread = Builder::new().name("orc-link".to_owned()).spawn_scoped(scope, work);
        match thread {
            Ok(thread) => {
                let number = 1 + self.started.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(number, "a thread begins to link");
                Some(thread)
            }
            Err(error) => {
                tracing::debug!(%error, "no thread can be started: the link goes on with those there are");
                None
            }
        }
    }
}

impl Workers for Crew {
    fn count(&self) -> usize {
        match self.jobs {
            Some(jobs) => jobs.get().min(MOST),
            None if self.large.load(Ordering::Relaxed) => {
                // The system is asked for files about that: only then, and once, since each image of a batch comes here.
                *self.unasked.get_or_init(|| thread::available_parallelism().map_or(1, NonZeroUsize::get).min(UNASKED))
            }
            None => 1,
        }
    }

    fn run(&self, pieces: usize, work: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        // Each takes the next piece, so that one that began late or is slow takes fewer.
        let take = || {
            loop {
                let piece = next.fetch_add(1, Ordering::Relaxed);
                if piece >= pieces {
                    break;
                }
                work(piece);
            }
        };
        let panicked: Option<Box<dyn Any + Send>> = thread::scope(|scope| {
            let helpers = 1..self.count().min(pieces);
            let helpers: Vec<_> = helpers.map_while(|_| self.start(scope, take)).collect();
            take();
            helpers.into_iter().filter_map(|helper| helper.join().err()).next()
        });
        if let Some(payload) = panicked {
            std::panic::resume_unwind(payload);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn crew(jobs: usize) -> Crew {
        Crew::new(NonZeroUsize::new(jobs))
    }

    #[test]
    fn every_piece_is_done_once_by_any_number_of_threads() {
        for jobs in [1, 2, 3, 8] {
            let crew = crew(jobs);
            for pieces in [0, 1, 2, 100] {
                let done: Vec<_> = (0..pieces).map(|_| AtomicUsize::new(0)).collect();
                crew.run(pieces, &|piece| {
                    done[piece].fetch_add(1, Ordering::Relaxed);
                });
                assert!(done.iter().all(|times| times.load(Ordering::Relaxed) == 1), "{jobs} jobs, {pieces} pieces");
            }
        }
    }

    #[test]
    fn one_job_or_one_piece_starts_no_thread() {
        let (alone, many) = (crew(1), crew(8));
        alone.run(1000, &|_| {});
        many.run(1, &|_| {});
        assert_eq!((alone.started(), many.started()), (0, 0));
        many.run(3, &|_| {});
        assert_eq!(many.started(), 2, "the caller does its part");
    }

    #[test]
    fn without_a_number_there_is_one_thread_until_something_is_large() {
        let crew = Crew::new(None);
        assert_eq!(crew.count(), 1);
        crew.expect_large(true);
        let there_are = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        assert_eq!(crew.count(), there_are.min(UNASKED));
        crew.expect_large(false);
        assert_eq!(crew.count(), 1);
    }

    #[test]
    fn a_panic_of_any_piece_is_the_callers() {
        for bad in 0..4 {
            let payload = catch_unwind(AssertUnwindSafe(|| {
                crew(2).run(4, &|piece| assert_ne!(piece, bad, "piece {bad} is bad"));
            }));
            let text = payload.expect_err("it panicked").downcast::<String>().expect("a message");
            assert!(text.contains("is bad"), "{text}");
        }
    }
}
