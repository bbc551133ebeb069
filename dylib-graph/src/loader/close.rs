//! Closing: who is not needed any more, and in which order it goes.
//!
//! You give a root that somebody opened; you get the runs to undo, in exact reverse of their completion, and then
//! the dylibs whose memory may go. Not for atexit handlers: their order inside a dylib is the executor's.
//!
//! A dylib lives while its count is not zero or it is pinned, while a loaded dylib links to it, or while an operation in progress reaches
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
    /// Begins to close `root`: it counts as opened once less. At zero it goes, and with it whatever nobody else holds. From inside
    /// the open that is the only one so far, it goes when that open ends (rule 23).
    ///
    /// # Errors
    /// [`LoadError::NotOpen`] when it was closed as often as opened (rule 23); [`LoadError::Graph`]. Nothing has changed then.
    pub fn begin_close(&mut self, root: DylibId, visitor: VisitorId) -> Result<Close, LoadError> {
        let close = self.begin_close_if(root, visitor, |_| true)?;
        Ok(close.expect("nobody has refused it"))
    }

    /// As [`begin_close`](Self::begin_close), if `may` agrees to what would go, dependants first. Otherwise `None`: counts and everything else
    /// are as before (rule 24). `may` is not asked when nothing would go.
    ///
    /// # Errors
    /// As [`begin_close`](Self::begin_close).
    pub fn begin_close_if(
        &mut self,
        root: DylibId,
        visitor: VisitorId,
        may: impl FnOnce(&[DylibId]) -> bool,
    ) -> Result<Option<Close>, LoadError> {
        self.graph.check(root)?;
        let own = if self.node(root).count > 0 {
            self.node_mut(root).count -= 1;
            None
        } else if let Some(open) = self.visitors.opening(visitor, root) {
            self.visitors.take_count(open);
            Some(open)
        } else {
            return Err(LoadError::NotOpen { dylib: root });
        };
        let mut roots = if self.node(root).count == 0 { vec![root] } else { Vec::new() };
        let first_leftover = roots.len();
        self.take_leftovers(&mut roots);
        let dead = self.unheld(&roots);
        if !dead.is_empty() && !may(&dead) {
            for &dylib in &dead {
                self.hold_links(dylib);
            }
            // Whatever nobody holds is looked at again by the next close.
            for &dylib in &roots[first_leftover..] {
                self.leave_over(dylib);
            }
            match own {
                Some(open) => self.visitors.give_count(open, root),
                None => self.node_mut(root).count += 1,
            }
            return Ok(None);
        }
        let mut close = self.unload(dead, visitor);
        close.deferred = self.node(root).deferred;
        Ok(Some(close))
    }

    /// Begins to unload a dylib that nobody holds, without waiting for a close to find it: one that a failed open left over, or
    /// one whose very first run threw (which no close finds, since it never was in use). Then it can be opened again, from
    /// pristine memory (rules 15, 22).
    ///
    /// # Errors
    /// [`LoadError::NotOpen`] when it is not loaded; [`LoadError::InUse`] when somebody holds it. Nothing has changed then.
    pub fn begin_unload(&mut self, dylib: DylibId, visitor: VisitorId) -> Result<Close, LoadError> {
        self.graph.check(dylib)?;
        let node = self.node(dylib);
        if node.phase == Phase::Unloaded {
            return Err(LoadError::NotOpen { dylib });
        }
        if node.phase == Phase::Unloading || node.is_in_use() {
            return Err(LoadError::InUse { dylib });
        }
        if !node.loaded {
            return Ok(self.unload(vec![dylib], visitor));
        }
        let Self { walker, graph, nodes, .. } = self;
        let mut kept = walker.sets(graph, [dylib], |dylib| nodes[dylib.index()].loaded).dylibs().to_vec();
        kept.retain(|dylib| std::mem::take(&mut nodes[dylib.index()].leftover));
        let dead = self.unheld(&[dylib]);
        if dead.is_empty() {
            for dylib in kept {
                self.node_mut(dylib).leftover = true;
            }
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
            node.pinned = false;
            node.planned = 0;
            node.busy = None;
            node.owner = None;
            node.deferred = false;
        }
        self.take_leftovers(&mut Vec::new());
        let Self { walker, graph, nodes, .. } = self;
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
            return if done.threw { CloseStep::Discard(done.run) } else { CloseStep::Finalize(done.run) };
        }
        if !close.released {
            close.released = true;
            return CloseStep::Release(close.dylibs.clone());
        }
        for &dylib in &close.dylibs {
            // Links to it still count: they are their owners', not its own.
            let node = self.node_mut(dylib);
            *node = Node { dependants: node.dependants, count: node.count, ..Node::default() };
            self.poison.remove(&dylib);
        }
        self.visitors.end(op);
        close.op = None;
        self.changes += 1;
        CloseStep::Done
    }

    /// Begins to unload what nobody holds any more of all that `roots` reach; also of what is left over, if asked.
    pub(super) fn collect(&mut self, mut roots: Vec<DylibId>, leftovers: bool, visitor: VisitorId) -> Close {
        if leftovers {
            self.take_leftovers(&mut roots);
        }
        let dead = self.unheld(&roots);
        self.unload(dead, visitor)
    }

    fn take_leftovers(&mut self, roots: &mut Vec<DylibId>) {
        for dylib in std::mem::take(&mut self.leftovers) {
            self.node_mut(dylib).leftover = false;
            roots.push(dylib);
        }
    }

    /// Which of the dylibs that `roots` reach nobody holds, dependants first. They hold nobody from here on. What only
    /// operations in progress hold will be looked at when these end.
    fn unheld(&mut self, roots: &[DylibId]) -> Vec<DylibId> {
        if roots.is_empty() {
            return Vec::new();
        }
        let Self { walker, graph, nodes, .. } = self;
        let order = walker.sets(graph, roots.iter().copied(), |dylib| nodes[dylib.index()].loaded);
        let mut dead = Vec::new();
        // Dependants come before what they depend on, so when a set's turn comes, every dead dylib that links to it is known.
        for set in order.sets().rev() {
            if self.is_held(set) {
                continue;
            }
            let mut in_use = false;
            for &dylib in set {
                let node = self.node_mut(dylib);
                node.deferred = node.is_in_use();
                in_use |= node.deferred;
            }
            if !in_use {
                dead.extend(set.iter().rev());
                for &dylib in set {
                    self.release_links_for_good(dylib);
                }
            }
        }
        dead
    }

    /// Whether a set has a count, is left over, or has a loaded dylib outside that links to it.
    fn is_held(&mut self, set: &[DylibId]) -> bool {
        self.marks += 1;
        let mark = self.marks;
        let (mut held, mut links, mut inner) = (false, 0, 0);
        for &dylib in set {
            let node = self.node_mut(dylib);
            node.mark = mark;
            held |= node.is_kept() || node.leftover;
            links += node.dependants as usize;
        }
        for &dylib in set {
            let is_inner = |link: &&DylibId| self.node(**link).mark == mark;
            inner += self.graph.link_order(dylib).iter().filter(is_inner).count();
        }
        held || links > inner
    }

    fn unload(&mut self, dylibs: Vec<DylibId>, visitor: VisitorId) -> Close {
        if dylibs.is_empty() {
            return Close { visitor, op: None, dylibs, runs: Vec::new(), released: false, deferred: false };
        }
        let op = self.visitors.begin(visitor, None);
        let mut runs = Vec::new();
        for &dylib in &dylibs {
            self.release_links_for_good(dylib);
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
        Close { visitor, op: Some(op), dylibs, runs, released: false, deferred: false }
    }

    /// Notes that a run is over and will have to be undone.
    pub(super) fn record(&mut self, run: Run, threw: bool) {
        let done = DoneRun { run, sequence: self.sequence, threw, before: self.node(run.dylib).last_run };
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
