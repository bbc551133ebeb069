//! Relocations are read beside the gathering: by another thread, where there are many.
//!
//! **You give** the relocations of each object as its names come into the graph. **You get** the edges of each graph at the end, in the
//! order in which the objects came, whoever made them. **Not here:** anything that looks a name up; that has an order and one thread.
//!
//! The thread begins with the first object after half a megabyte of relocations, and ends with the gathering. It takes over the edges that
//! there are, adds to them in place and gives all back at its end: none is copied, and memory that it fills is its own until then. An object
//! that is wrong ends the reading of all that come after it, so that the error that is told is the first one in the order of objects.

use crate::crew::Crew;
use jitlink::Workers;
use jitlink::graph::Edges;
use jitlink::object::Relocations;
use std::sync::mpsc::{Sender, channel};
use std::thread::{Scope, ScopedJoinHandle};

/// Bytes of relocations that one thread reads before another one is worth its start: they take about a millisecond.
const ALONE: u64 = 512 << 10;
/// The same where nobody has said how many threads there may be: what a second one saves is then a tenth of the time, and it has a price that the
/// program pays, too (a process with threads in it has slower locks and reference counts).
const UNASKED: u64 = 4 << 20;
/// Bytes of relocations that go to the other thread at once: to wake it up interrupts this one, for as long as a hundred of them take.
const GROUP: u64 = 256 << 10;

/// Relocations of some objects, each with the number of its graph.
type Group<'f> = Vec<(usize, Relocations<'f>)>;

/// What was read so far.
#[derive(Debug, Default)]
struct Made {
    /// By graph.
    edges: Vec<Edges>,
    /// The graph of the first object that is wrong.
    failed: Option<usize>,
}

impl Made {
    fn read(&mut self, graph: usize, relocations: Relocations<'_>) {
        if self.failed.is_some() {
            return;
        }
        if self.edges.len() <= graph {
            self.edges.resize_with(graph + 1, Edges::default);
        }
        let edges = &mut self.edges[graph];
        relocations.read(edges);
        self.failed = edges.has_failed().then_some(graph);
    }
}

/// Relocations that are being read.
#[derive(Debug)]
pub(super) struct Beside<'scope, 'env, 'f> {
    crew: &'env Crew,
    scope: &'scope Scope<'scope, 'env>,
    /// By this thread; nothing while there is another.
    made: Made,
    /// Bytes of relocations so far, and of those in `group`.
    seen: u64,
    group: Group<'f>,
    grouped: u64,
    /// It was tried whether there is another thread.
    tried: bool,
    other: Option<Other<'scope, 'f>>,
}

/// The other thread.
#[derive(Debug)]
struct Other<'scope, 'f> {
    work: Sender<Group<'f>>,
    thread: ScopedJoinHandle<'scope, Made>,
}

impl<'scope, 'env, 'f: 'scope> Beside<'scope, 'env, 'f> {
    pub(super) fn new(crew: &'env Crew, scope: &'scope Scope<'scope, 'env>) -> Self {
        crew.expect_large(false);
        let (made, group) = (Made::default(), Vec::new());
        Self { crew, scope, made, seen: 0, group, grouped: 0, tried: false, other: None }
    }

    /// Reads the relocations of the object that came to graph number `graph`, now or later. False: something that came before is wrong, and nothing more is of use.
    pub(super) fn read(&mut self, graph: usize, relocations: Relocations<'f>) -> bool {
        let bytes = relocations.bytes();
        self.seen += bytes;
        if !self.tried && self.seen >= if self.crew.is_told() { ALONE } else { UNASKED } {
            self.tried = true;
            self.crew.expect_large(true);
            self.other = Other::start(self.crew, self.scope, &mut self.made);
        }
        let Some(other) = &self.other else {
            self.made.read(graph, relocations);
            return self.made.failed.is_none();
        };
        self.group.push((graph, relocations));
        self.grouped += bytes;
        if self.grouped < GROUP {
            return true;
        }
        self.grouped = 0;
        // A thread that has ended found something wrong, or panicked, which is told at the end.
        other.work.send(std::mem::take(&mut self.group)).is_ok()
    }

    /// Waits for what is not read yet. Gives the edges by graph; of those that are not there nothing was read. And the graph whose edges have failed, if any have.
    pub(super) fn finish(mut self) -> (Vec<Edges>, Option<usize>) {
        if let Some(Other { work, thread }) = self.other.take() {
            // As above.
            let _ = work.send(self.group);
            drop(work);
            self.made = thread.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload));
        }
        (self.made.edges, self.made.failed)
    }
}

impl<'scope, 'f: 'scope> Other<'scope, 'f> {
    /// Starts a thread that goes on with `made`.
    fn start<'env>(crew: &'env Crew, scope: &'scope Scope<'scope, 'env>, made: &mut Made) -> Option<Self> {
        if crew.count() < 2 {
            return None;
        }
        let (work, groups) = channel::<Group<'f>>();
        // It comes by the same way as the groups, so that it stays here where no thread can be started.
        let (give, begun) = channel();
        let thread = crew.start(scope, move || {
            let mut made: Made = begun.recv().unwrap_or_default();
            for (graph, relocations) in groups.into_iter().flatten() {
                made.read(graph, relocations);
                if made.failed.is_some() {
                    break;
                }
            }
            made
        })?;
        // The thread waits for it.
        let _ = give.send(std::mem::take(made));
        Some(Self { work, thread })
    }
}
