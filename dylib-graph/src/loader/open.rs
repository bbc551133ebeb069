//! Opening and updating: which initializers run next, on whose thread.
//!
//! You give a root and a visitor; you get steps until everything the root reaches is initialized. Not for asking a
//! controller: link first, tell the loader the link orders and new code, then begin.
//!
//! No dylib belongs to an open before its run begins. An open walks its own order and, at each dylib, goes on if it is
//! initialized, waits if another visitor is at it, and runs it otherwise. Since the order puts dependencies first, whatever an
//! open finds at its cursor has its dependencies behind it, so any visitor may run it: that is what makes an
//! open inside an initializer complete (rule 8) and keeps a thread that an initializer waits for from deadlocking (rule 12).

use super::{Close, Loader, Node, OpId, Phase, Run, VisitorId};
use crate::error::LoadError;
use crate::graph::DylibId;
use crate::order::InitOrder;

/// An open or update in progress. Ends with [`Loader::finish_open`] or [`Loader::abandon_open`].
#[derive(Debug)]
#[must_use = "an open in progress keeps its dylibs in use until it is finished or abandoned"]
pub struct Open {
    root: DylibId,
    visitor: VisitorId,
    counts: bool,
    op: OpId,
    plan: Vec<Planned>,
    cursor: usize,
    running: Option<Run>,
    failed: Option<LoadError>,
    version: u64,
    /// Something was left to another open.
    yielded: bool,
}

#[derive(Clone, Copy, Debug)]
struct Planned {
    dylib: DylibId,
    /// How many batches of code must have run.
    end: u32,
    /// Was not initialized when the open began.
    fresh: bool,
    /// Left to the open that is at it already (rules 7, 13).
    skip: bool,
}

/// What an open has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Run these initializers on this visitor, without any lock, and report with [`Loader::completed`].
    Run(Run),
    /// Another visitor is at this dylib: wait until [`Loader::changes`] changes, and ask again.
    Wait(DylibId),
    /// Everything is initialized: [`Loader::finish_open`].
    Ready,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every initializer returned.
    Completed,
    /// An exception left an initializer; the text names it, and later opens quote it (rule 15).
    Threw(String),
}

/// How an open ended.
#[derive(Debug)]
#[must_use = "what the open's end unloads has finalizers to run"]
pub struct Finished {
    /// The handle, which is the root itself; or why there is none.
    pub result: Result<DylibId, LoadError>,
    /// An unload that had to wait for the open's end (rule 23), or that an update found (rule 26): drive it as any other close.
    pub close: Option<Close>,
}

impl Open {
    /// What is being opened or updated.
    #[must_use]
    pub fn root(&self) -> DylibId {
        self.root
    }

    /// Who opens.
    #[must_use]
    pub fn visitor(&self) -> VisitorId {
        self.visitor
    }
}

impl Loader {
    /// Begins to open `root`: from here on everything it reaches stays, and its count grows when the open succeeds.
    ///
    /// # Errors
    /// [`LoadError::Graph`], [`LoadError::Poisoned`], [`LoadError::Unloading`] (wait, then begin again, or [`stop_waiting`](Self::stop_waiting)), [`LoadError::UnloadCycle`].
    /// Nothing has changed then (rule 14).
    pub fn begin_open(&mut self, root: DylibId, visitor: VisitorId) -> Result<Open, LoadError> {
        self.begin(root, visitor, true)
    }

    /// Begins to run what is new in `root` and its dependencies; no counts (rule 25).
    ///
    /// # Errors
    /// [`LoadError::NotOpen`] unless `root` is open; otherwise as [`begin_open`](Self::begin_open).
    pub fn begin_update(&mut self, root: DylibId, visitor: VisitorId) -> Result<Open, LoadError> {
        self.graph.check(root)?;
        if !self.is_open(root, visitor) {
            return Err(LoadError::NotOpen { dylib: root });
        }
        self.begin(root, visitor, false)
    }

    fn begin(&mut self, root: DylibId, visitor: VisitorId, counts: bool) -> Result<Open, LoadError> {
        self.graph.check(root)?;
        let order = if self.is_settled(root) {
            // The root in use keeps in use what it reaches.
            InitOrder::single(root)
        } else {
            let order = self.walker.init_order(&self.graph, root)?;
            // A visitor that goes on waiting is no news: two of them would wake each other for as long as they wait.
            self.refuse_unusable(order.dylibs(), visitor)?;
            order
        };
        self.set_waiting(visitor, None);
        // Beyond this point nothing fails.
        let op = self.visitors.begin(visitor, counts.then_some(root));
        let mut plan = Vec::with_capacity(order.dylibs().len());
        for &dylib in order.dylibs() {
            self.hold_links(dylib);
            let node = self.node_mut(dylib);
            node.planned += 1;
            if node.phase == Phase::Unloaded {
                node.phase = Phase::Fresh;
            }
            if node.owner.is_none() && node.is_due() {
                node.owner = Some(op);
            }
            let fresh = node.phase == Phase::Fresh;
            plan.push(Planned { dylib, end: node.added, fresh, skip: false });
        }
        let version = self.version;
        let (running, failed) = (None, None);
        let mut open = Open { root, visitor, counts, op, plan, cursor: 0, running, failed, version, yielded: false };
        if self.visitors.running(visitor).next().is_some() {
            self.leave_to_others(&mut open, &[visitor]);
        }
        self.changes += 1;
        Ok(open)
    }

    /// A visitor that was told to wait for an unload ([`LoadError::Unloading`]) does not begin again: nobody waits for it in vain, or
    /// takes its wait for a part of a cycle.
    pub fn stop_waiting(&mut self, visitor: VisitorId) {
        self.set_waiting(visitor, None);
    }

    /// Poisoned dylibs and dylibs on their way out cannot be opened, whoever they belong to.
    fn refuse_unusable(&mut self, dylibs: &[DylibId], visitor: VisitorId) -> Result<(), LoadError> {
        for &dylib in dylibs {
            match self.node(dylib).phase {
                Phase::Poisoned => {
                    self.set_waiting(visitor, None);
                    return Err(self.poisoned(dylib));
                }
                Phase::Unloading => {
                    let Some(by) = self.busy_with(dylib) else {
                        continue;
                    };
                    if self.wait_cycle(visitor, dylib).is_some() {
                        self.set_waiting(visitor, None);
                        return Err(LoadError::UnloadCycle { dylib });
                    }
                    self.set_waiting(visitor, Some(dylib));
                    return Err(LoadError::Unloading { dylib, by });
                }
                Phase::Unloaded | Phase::Fresh | Phase::Initialized => {}
            }
        }
        Ok(())
    }

    /// The next thing to do.
    ///
    /// # Errors
    /// [`LoadError::Poisoned`] when an initializer of this open threw, or of another visitor's open that this one waited for;
    /// [`LoadError::ShutDown`]. The open has failed then: finish it. [`LoadError::StillRunning`] changes nothing.
    pub fn step(&mut self, open: &mut Open) -> Result<Step, LoadError> {
        if let Some(error) = &open.failed {
            return Err(error.clone());
        }
        let op = open.op;
        if let Some(run) = open.running {
            return Err(LoadError::StillRunning { dylib: run.dylib });
        }
        if self.visitors.is_cancelled(op) {
            return Err(fail(open, LoadError::ShutDown));
        }
        while let Some(&Planned { dylib, end, skip, .. }) = open.plan.get(open.cursor) {
            let node = self.node(dylib);
            if skip {
                open.cursor += 1;
            } else if node.phase == Phase::Poisoned {
                self.set_waiting(open.visitor, None);
                return Err(fail(open, self.poisoned(dylib)));
            } else if let Some(by) = self.busy_with(dylib) {
                if by == open.visitor {
                    open.plan[open.cursor].skip = true;
                    open.yielded = true;
                } else if let Some(cycle) = self.wait_cycle(open.visitor, dylib) {
                    self.leave_to_others(open, &cycle);
                } else {
                    self.set_waiting(open.visitor, Some(dylib));
                    return Ok(Step::Wait(dylib));
                }
            } else if node.phase == Phase::Initialized && node.ran >= end {
                open.cursor += 1;
            } else if node.owner.is_some_and(|owner| owner != op && self.will_proceed(owner)) {
                self.set_waiting(open.visitor, Some(dylib));
                return Ok(Step::Wait(dylib));
            } else {
                self.set_waiting(open.visitor, None);
                return Ok(Step::Run(self.claim(open, op, dylib, end)));
            }
        }
        self.set_waiting(open.visitor, None);
        Ok(Step::Ready)
    }

    fn claim(&mut self, open: &mut Open, op: OpId, dylib: DylibId, end: u32) -> Run {
        let node = self.node_mut(dylib);
        node.busy = Some(op);
        node.owner = Some(op);
        let run = Run { dylib, start: node.ran, end };
        open.running = Some(run);
        self.visitors.set_running(op, Some(dylib));
        self.changes += 1;
        run
    }

    /// The run that [`step`](Self::step) gave last is over. Does nothing when there is none.
    pub fn completed(&mut self, open: &mut Open, outcome: Outcome) {
        let Some(run) = open.running.take() else { return };
        let op = open.op;
        if self.visitors.is_cancelled(op) {
            return;
        }
        self.visitors.set_running(op, None);
        let threw = match outcome {
            Outcome::Completed => None,
            Outcome::Threw(initializer) => Some(initializer),
        };
        self.record(run, threw.is_some());
        let node = self.node_mut(run.dylib);
        node.busy = None;
        if node.owner == Some(op) {
            node.owner = None;
        }
        if let Some(initializer) = threw {
            let unused = node.phase == Phase::Fresh && !node.is_kept();
            node.phase = Phase::Poisoned;
            self.poison.insert(run.dylib, initializer);
            self.version += 1;
            fail(open, self.poisoned(run.dylib));
            if unused {
                // Nobody can use it, so it needs nobody. Itself it stays: the exception on its way may be made of its code.
                self.release_links(run.dylib);
            }
        } else {
            node.phase = Phase::Initialized;
            node.ran = run.end;
        }
        self.changes += 1;
    }

    /// Ends an open or update. When [`step`](Self::step) last said [`Step::Ready`] it succeeds and counts, else it fails.
    pub fn finish_open(&mut self, mut open: Open) -> Finished {
        if open.failed.is_none() && (open.cursor < open.plan.len() || open.running.is_some()) {
            let root = open.root;
            if open.running.is_some() {
                // Its initializers were left in the middle.
                self.completed(&mut open, Outcome::Threw("an initializer that was left".into()));
            }
            open.failed = Some(LoadError::Abandoned { dylib: root });
        }
        let result = open.failed.clone().map_or(Ok(open.root), Err);
        let close = self.end_open(open, result.is_ok());
        Finished { result, close }
    }

    /// Gives up an open or update, whatever it has reached (rule 16). What it initialized stays so until the next close or update
    /// finds that nobody holds it; a dylib whose run was not reported is poisoned.
    #[must_use = "an unload that had to wait for the open's end has finalizers to run"]
    pub fn abandon_open(&mut self, mut open: Open) -> Option<Close> {
        if open.running.is_some() {
            self.completed(&mut open, Outcome::Threw("an initializer that was left".into()));
        }
        self.end_open(open, false)
    }

    fn end_open(&mut self, open: Open, success: bool) -> Option<Close> {
        let (root, visitor) = (open.root, open.visitor);
        let mut closed = Vec::new();
        let cancelled = self.visitors.is_cancelled(open.op);
        let counted = self.visitors.take_count(open.op).filter(|_| success);
        self.visitors.end(open.op);
        self.changes += 1;
        if cancelled {
            return None;
        }
        if let Some(root) = counted {
            self.node_mut(root).count += 1;
        }
        for planned in &open.plan {
            let node = self.node_mut(planned.dylib);
            node.planned -= 1;
            if node.owner == Some(open.op) {
                node.owner = None;
            }
            if node.deferred && !node.is_in_use() {
                node.deferred = false;
                closed.push(planned.dylib);
            }
        }
        if !success {
            self.let_go(&open);
        } else if open.version == self.version && !open.yielded {
            self.node_mut(root).settled = self.version;
        }
        let with_leftovers = success && !open.counts;
        Some(self.collect(closed, with_leftovers, visitor)).filter(|close| !close.dylibs().is_empty())
    }

    /// After a failure: what never ran is as if it had not been planned, and the rest waits for the next close or update (rule 15).
    fn let_go(&mut self, open: &Open) {
        for &Planned { dylib, .. } in &open.plan {
            let node = self.node_mut(dylib);
            if node.phase == Phase::Fresh && !node.is_kept() && !node.is_in_use() {
                node.phase = Phase::Unloaded;
                self.release_links(dylib);
            }
        }
        for planned in open.plan.iter().filter(|planned| planned.fresh) {
            self.leave_over(planned.dylib);
        }
    }

    /// Leaves to other opens what they have in progress and `open` cannot wait for, since they wait for `visitors` (rules 7 and
    /// 13): the dylibs that `visitors` are running, and whatever else in progress reaches one of those. When the root
    /// is among them, nothing is left to do at all.
    fn leave_to_others(&mut self, open: &mut Open, visitors: &[VisitorId]) {
        self.marks += 1;
        let mark = self.marks;
        for &visitor in visitors {
            for dylib in self.visitors.running(visitor) {
                self.nodes[dylib.index()].mark = mark;
            }
        }
        let Ok(order) = self.walker.init_order(&self.graph, open.root) else {
            return;
        };
        for set in order.sets() {
            let marked = |dylib: &DylibId| self.nodes[dylib.index()].mark == mark;
            if set.iter().any(|dylib| marked(dylib) || self.graph.link_order(*dylib).iter().any(marked)) {
                for &dylib in set {
                    self.nodes[dylib.index()].mark = mark;
                }
            }
        }
        open.yielded = true;
        // This open is one of those that have it planned.
        let elsewhere = |node: &Node| node.mark == mark && (node.planned > 1 || node.busy.is_some());
        let nothing = elsewhere(self.node(open.root));
        for planned in &mut open.plan[open.cursor..] {
            let node = &self.nodes[planned.dylib.index()];
            planned.skip |= nothing || (elsewhere(node) && (node.is_due() || node.busy.is_some()));
        }
    }

    /// Notes what a visitor waits for; a change matters to others, who may now run what it had planned.
    fn set_waiting(&mut self, visitor: VisitorId, dylib: Option<DylibId>) {
        if self.visitors.set_waiting(visitor, dylib) {
            self.changes += 1;
        }
    }
}

fn fail(open: &mut Open, error: LoadError) -> LoadError {
    open.failed = Some(error.clone());
    error
}
