//! Closing: who is not needed any more, and in which order it goes.
//!
//! You give a root that somebody opened; you get the runs to undo, in exact reverse of their completion, and then
//! the dylibs whose memory may go. Not for atexit handlers: their order inside a dylib is the executor's.
//!
//! A dylib lives while its count is not zero, while a loaded dylib links to it, or while an operation in progress reaches
//! it. Links inside a cycle do not keep the cycle alive.

use super::{DoneRun, Loader, Node, OpId, Phase, Run, VisitorId};
use crate::error::LoadError;
use crate::graph::DylibId;

/// A close in progress. Drive it with [`Loader::close_step`] until [`CloseStep::Done`].
#[derive(Debug)]
#[must_use = "a close in progress has finalizers to run"]
pub struct Close {
    visitor: VisitorId,
    /// `None` when nothing is unloaded.
    op: Option<OpId>,
    dylibs: Vec<DylibId>,
    /// Entries of `Loader::done`, the one to undo next at the end.
    runs: Vec<u32>,
    released: bool,
    deferred: bool,
}

/// What a close has to do next. The previous step is over when the next one is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseStep {
    /// Undo this run, which completed: exit handlers and finalizers, last first, without any lock.
    Finalize(Run),
    /// Undo this run, which threw: only the exit handlers that it had registered.
    Discard(Run),
    /// Give back the memory of these dylibs, dependants first. Nobody can open them before the next step is asked for.
    Release(Vec<DylibId>),
    /// Nothing is left to do.
    Done,
}

impl Close {
    /// Who closes.
    #[must_use]
    pub fn visitor(&self) -> VisitorId {
        self.visitor
    }

    /// Whether the dylib goes only when the operation that still uses it has ended (rule 23).
    #[must_use]
    pub fn is_deferred(&self) -> bool {
        self.deferred
    }

    /// What this close unloads.
    #[must_use]
    pub fn dylibs(&self) -> &[DylibId] {
        &self.dylibs
    }
}

impl Loader {
    /// Begins to close `root`: it counts as opened once less. At zero it goes, and with it whatever nobody else holds.
    ///
    /// # Errors
    /// [`LoadError::NotOpen`] when it was closed as often as opened (rule 23); [`LoadError::Graph`]. Nothing has changed then.
    pub fn begin_close(&mut self, root: DylibId, visitor: VisitorId) -> Result<Close, LoadError> {
        self.graph.check(root)?;
        let node = self.node_mut(root);
        if node.count == 0 {
            return Err(LoadError::NotOpen { dylib: root });
        }
        node.count -= 1;
        let mut roots = Vec::new();
        if node.count == 0 {
            roots.push(root);
        }
        self.take_suspects(&mut roots);
        let mut close = self.collect(roots, visitor);
        close.deferred = self.node(root).deferred;
        Ok(close)
    }

    /// Begins to unload a dylib that nobody holds and no close will reach: one that is poisoned, or that a failed open left
    /// initialized. Then it can be opened again, from pristine memory (rules 15, 22).
    ///
    /// # Errors
    /// [`LoadError::NotOpen`] when it is not loaded; [`LoadError::InUse`] when somebody holds it. Nothing has changed then.
    pub fn begin_unload(&mut self, dylib: DylibId, visitor: VisitorId) -> Result<Close, LoadError> {
        self.graph.check(dylib)?;
        let node = self.node(dylib);
        match node.phase {
            Phase::Unloaded => return Err(LoadError::NotOpen { dylib }),
            Phase::Poisoned if !node.loaded && !node.is_in_use() => {
                return Ok(self.unload(vec![dylib], visitor));
            }
            _ => {}
        }
        let (dead, _) = self.unheld(&[dylib]);
        if !dead.contains(&dylib) {
            return Err(LoadError::InUse { dylib });
        }
        Ok(self.unload(dead, visitor))
    }

    /// Begins to unload everything, as at the end of a program: counts become zero, and operations in progress fail at their next step.
    /// Runs that an unfinished close has not undone are undone here.
    pub fn begin_shutdown(&mut self, visitor: VisitorId) -> Close {
        self.visitors.cancel_all();
        for node in &mut self.nodes {
            node.count = 0;
            node.planned = 0;
            node.busy = None;
            node.owner = None;
            node.deferred = false;
        }
        self.take_suspects(&mut Vec::new());
        let Self {
            walker,
            graph,
            nodes,
            ..
        } = self;
        let in_use = |dylib: DylibId| nodes[dylib.index()].phase != Phase::Unloaded;
        let mut dylibs = walker.sets(graph, graph.dylibs(), in_use).dylibs().to_vec();
        dylibs.reverse();
        self.unload(dylibs, visitor)
    }

    /// What to do next.
    pub fn close_step(&mut self, close: &mut Close) -> CloseStep {
        let Some(op) = close.op else {
            return CloseStep::Done;
        };
        if self.visitors.is_cancelled(op) {
            self.visitors.end(op);
            close.op = None;
            return CloseStep::Done;
        }
        if let Some(entry) = close.runs.pop() {
            let done = self.forget(entry);
            return if done.threw {
                CloseStep::Discard(done.run)
            } else {
                CloseStep::Finalize(done.run)
            };
        }
        if !close.released {
            close.released = true;
            return CloseStep::Release(close.dylibs.clone());
        }
        for &dylib in &close.dylibs {
            // Links to it still count: they are their owners', not its own.
            let node = self.node_mut(dylib);
            *node = Node {
                dependants: node.dependants,
                count: node.count,
                ..Node::default()
            };
            self.poison.remove(&dylib);
        }
        self.visitors.end(op);
        close.op = None;
        self.changes += 1;
        CloseStep::Done
    }

    /// The dylibs that nobody may hold any more, to be looked at now.
    pub(super) fn take_suspects(&mut self, roots: &mut Vec<DylibId>) {
        for dylib in std::mem::take(&mut self.suspects) {
            self.node_mut(dylib).suspect = false;
            roots.push(dylib);
        }
    }

    /// Begins to unload what nobody holds any more of all that `roots` reach.
    pub(super) fn collect(&mut self, roots: Vec<DylibId>, visitor: VisitorId) -> Close {
        let (dead, busy) = self.unheld(&roots);
        for dylib in busy {
            self.node_mut(dylib).deferred = true;
        }
        self.unload(dead, visitor)
    }

    /// Which of the dylibs that `roots` reach nobody holds, dependants first; and which nobody holds but an operation in progress.
    fn unheld(&mut self, roots: &[DylibId]) -> (Vec<DylibId>, Vec<DylibId>) {
        let (mut dead, mut busy) = (Vec::new(), Vec::new());
        if roots.is_empty() {
            return (dead, busy);
        }
        let Self {
            walker,
            graph,
            nodes,
            marks,
            ..
        } = self;
        let live = |nodes: &[Node], dylib: DylibId| {
            let node = &nodes[dylib.index()];
            node.loaded && node.phase != Phase::Unloading
        };
        let order = walker.sets(graph, roots.iter().copied(), |dylib| live(nodes, dylib));
        // Dependants come before what they depend on, so when a set's turn comes, every dead dylib that links to it is known.
        for set in order.sets().rev() {
            *marks += 1;
            for dylib in set {
                nodes[dylib.index()].mark = *marks;
            }
            let inner = set.iter().flat_map(|&dylib| graph.link_order(dylib));
            let inner = inner
                .filter(|link| nodes[link.index()].mark == *marks)
                .count();
            let links: usize = set
                .iter()
                .map(|dylib| nodes[dylib.index()].dependants as usize)
                .sum();
            if links > inner || set.iter().any(|dylib| nodes[dylib.index()].count > 0) {
                continue;
            }
            if set.iter().any(|dylib| nodes[dylib.index()].is_in_use()) {
                // Each member in use: whichever operation ends last then finds one that it has in its plan.
                busy.extend(set.iter().filter(|dylib| nodes[dylib.index()].is_in_use()));
                continue;
            }
            dead.extend(set.iter().rev());
            for &dylib in set {
                for link in graph.link_order(dylib) {
                    nodes[link.index()].dependants -= 1;
                }
            }
        }
        // Only looked so far: the links of the dead are taken away for good by `unload`.
        for &dylib in &dead {
            for link in graph.link_order(dylib) {
                nodes[link.index()].dependants += 1;
            }
        }
        (dead, busy)
    }

    fn unload(&mut self, dylibs: Vec<DylibId>, visitor: VisitorId) -> Close {
        if dylibs.is_empty() {
            return Close {
                visitor,
                op: None,
                dylibs,
                runs: Vec::new(),
                released: false,
                deferred: false,
            };
        }
        let op = self.visitors.begin(visitor);
        let mut runs = Vec::new();
        for &dylib in &dylibs {
            self.release_links(dylib);
            let node = self.node_mut(dylib);
            node.phase = Phase::Unloading;
            node.busy = Some(op);
            let mut entry = node.last_run;
            while let Some(each) = entry {
                runs.push(each);
                entry = self.done[each as usize].before;
            }
        }
        runs.sort_unstable_by_key(|&entry| self.done[entry as usize].sequence);
        self.version += 1;
        self.changes += 1;
        Close {
            visitor,
            op: Some(op),
            dylibs,
            runs,
            released: false,
            deferred: false,
        }
    }

    /// Notes that a run is over and will have to be undone.
    pub(super) fn record(&mut self, run: Run, threw: bool) {
        let done = DoneRun {
            run,
            sequence: self.sequence,
            threw,
            before: self.node(run.dylib).last_run,
        };
        self.sequence += 1;
        let entry = if let Some(entry) = self.free_done.pop() {
            self.done[entry as usize] = done;
            entry
        } else {
            self.done.push(done);
            u32::try_from(self.done.len() - 1).expect("fewer than 2^32 runs to undo")
        };
        self.node_mut(run.dylib).last_run = Some(entry);
    }

    /// Takes back the latest run of a dylib.
    fn forget(&mut self, entry: u32) -> DoneRun {
        let done = self.done[entry as usize].clone();
        self.free_done.push(entry);
        self.node_mut(done.run.dylib).last_run = done.before;
        done
    }
}
