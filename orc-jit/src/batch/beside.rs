//! Relocations are read beside the gathering: by another thread, where there are many.
//!
//! **You give** the relocations of each object as its names come into the graph. **You get** the edges of each graph at the end, in the
//! order in which the objects came, whoever made them. **Not here:** anything that looks a name up; that has an order and one thread.
//!
//! The thread begins with the first object after half a megabyte of relocations, and ends with the gathering. An object that is wrong ends
//! the reading of all that come after it, so that the error that is told is the first one in the order of objects.

use crate::crew::Crew;
use jitlink::Workers;
use jitlink::graph::Edges;
use jitlink::object::Relocations;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Scope, ScopedJoinHandle};

/// Bytes of relocations that one thread reads before another one is worth its start: they take about a millisecond.
const ALONE: u64 = 512 << 10;
/// Bytes of relocations that go to the other thread at once: what wakes it up costs as much as a hundred of them.
const GROUP: u64 = 96 << 10;

/// Relocations of some objects, each with the number of its graph; edges come back in the same order.
type Group<'f> = Vec<(usize, Relocations<'f>)>;

/// Relocations that are being read.
#[derive(Debug)]
pub(super) struct Beside<'scope, 'env, 'f> {
    crew: &'env Crew,
    scope: &'scope Scope<'scope, 'env>,
    /// By graph.
    edges: Vec<Edges>,
    /// The graph of the first object that is wrong.
    failed: Option<usize>,
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
    done: Receiver<Vec<(usize, Edges)>>,
    thread: ScopedJoinHandle<'scope, ()>,
}

impl<'scope, 'env, 'f: 'scope> Beside<'scope, 'env, 'f> {
    pub(super) fn new(crew: &'env Crew, scope: &'scope Scope<'scope, 'env>) -> Self {
        let (edges, group) = (Vec::new(), Vec::new());
        Self { crew, scope, edges, failed: None, seen: 0, group, grouped: 0, tried: false, other: None }
    }

    /// Reads the relocations of the object that came to graph number `graph`, now or later. False: something that came before is wrong, and nothing more is of use.
    pub(super) fn read(&mut self, graph: usize, relocations: Relocations<'f>) -> bool {
        let bytes = relocations.bytes();
        self.seen += bytes;
        if !self.tried && self.seen >= ALONE {
            self.tried = true;
            self.other = Other::start(self.crew, self.scope);
        }
        match &self.other {
            None => {
                let mut edges = std::mem::take(self.edges_of(graph));
                relocations.read(&mut edges);
                self.take(graph, edges);
            }
            Some(_) => {
                self.group.push((graph, relocations));
                self.grouped += bytes;
                if self.grouped >= GROUP {
                    self.hand_over();
                }
            }
        }
        self.failed.is_none()
    }

    /// Waits for what is not read yet. Gives the edges by graph; of those that are not there nothing was read. And the graph whose edges have failed, if any have.
    pub(super) fn finish(mut self) -> (Vec<Edges>, Option<usize>) {
        self.hand_over();
        if let Some(Other { work, done, thread }) = self.other.take() {
            drop(work);
            for edges in &done {
                self.take_all(edges);
            }
            if let Err(payload) = thread.join() {
                std::panic::resume_unwind(payload);
            }
        }
        (self.edges, self.failed)
    }

    fn hand_over(&mut self) {
        self.grouped = 0;
        let group = std::mem::take(&mut self.group);
        let Some(other) = &self.other else { return };
        // A thread that has ended found something wrong, which is among what it has done, or panicked, which is told at the end.
        let _ = other.work.send(group);
        while let Some(edges) = self.other.as_ref().and_then(|other| other.done.try_recv().ok()) {
            self.take_all(edges);
        }
    }

    fn take_all(&mut self, edges: Vec<(usize, Edges)>) {
        for (graph, edges) in edges {
            self.take(graph, edges);
        }
    }

    fn take(&mut self, graph: usize, edges: Edges) {
        if self.failed.is_none() {
            self.failed = edges.has_failed().then_some(graph);
            self.edges_of(graph).append(edges);
        }
    }

    fn edges_of(&mut self, graph: usize) -> &mut Edges {
        if self.edges.len() <= graph {
            self.edges.resize_with(graph + 1, Edges::default);
        }
        &mut self.edges[graph]
    }
}

impl<'scope, 'f: 'scope> Other<'scope, 'f> {
    fn start<'env>(crew: &'env Crew, scope: &'scope Scope<'scope, 'env>) -> Option<Self> {
        if crew.count() < 2 {
            return None;
        }
        let (work, groups) = channel::<Group<'f>>();
        let (give, done) = channel();
        let thread = crew.start(scope, move || {
            for group in groups {
                let edges = read_group(group);
                let failed = edges.last().is_some_and(|(_, edges)| edges.has_failed());
                // Nobody takes them any more: something else went wrong.
                if give.send(edges).is_err() || failed {
                    break;
                }
            }
        })?;
        Some(Self { work, done, thread })
    }
}

/// The edges of a group, those of neighbours in one graph together; the last are those that failed, if any did.
fn read_group(group: Group<'_>) -> Vec<(usize, Edges)> {
    let mut all: Vec<(usize, Edges)> = Vec::with_capacity(1);
    // Twenty-four bytes in a file of 64 bits; of a damaged one no more than it has.
    let count = group.iter().map(|(_, relocations)| relocations.bytes() / 24).fold(0, u64::saturating_add);
    for (graph, relocations) in group {
        if all.last().is_none_or(|(last, _)| *last != graph) {
            let room = if all.is_empty() { count } else { 0 };
            all.push((graph, Edges::with_capacity(room as usize)));
        }
        if let Some((_, edges)) = all.last_mut() {
            relocations.read(edges);
            if edges.has_failed() {
                break;
            }
        }
    }
    all
}
