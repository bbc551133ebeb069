//! Who is initialized next, who may be unloaded, who waits for whom.
//!
//! You give dylibs, link orders, and the news that an initializer returned; you get the next thing to do. Not for
//! calling initializers, blocking threads, mapping memory or talking to a controller: there is no lock, thread, clock or
//! I/O in here. Put the [`Loader`] behind your own lock, hold the lock for one call at a time, and hold it never while an
//! initializer or finalizer runs.
//!
//! Every operation is a token that one visitor holds: [`Open`] (also for updates) and [`Close`]. Ask for the next step, do
//! it, ask again. A visitor that is running an initializer may begin further operations; they nest.
//!
//! After a call that changed [`Loader::changes`], wake every visitor that waits; each of them asks for its step again.
//!
//! The numbered rules that comments refer to are the list in the crate's documentation.

mod close;
mod open;
mod reopen;
mod visitors;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

pub use close::{Close, CloseStep};
pub use open::{Finished, Open, Outcome, Step};
pub use visitors::Waiting;

use crate::error::{GraphError, LoadError};
use crate::graph::{DylibGraph, DylibId};
use crate::order::Walker;
use visitors::Visitors;

/// Who does something: one number for each thread. Prints as `visitor-1`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VisitorId(pub u64);

impl fmt::Display for VisitorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "visitor-{}", self.0)
    }
}

impl fmt::Debug for VisitorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One turn of a dylib's initializers.
///
/// A dylib has a run when it is first needed, whether it has initializers or not (so that its exit handlers have a place
/// in the order of finalization), and another for code that was added later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    /// Whose initializers.
    pub dylib: DylibId,
    start: u32,
    end: u32,
}

impl Run {
    /// Which batches of code, as [`Loader::add_code`] numbered them.
    #[must_use]
    pub fn batches(self) -> Range<u32> {
        self.start..self.end
    }
}

/// Where a dylib stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Nothing of it has run since it was added or last unloaded.
    Unloaded,
    /// Part of an open, and its first run has not begun.
    Pending,
    /// Its initializers are running, called by this visitor.
    Running(VisitorId),
    /// Initialized.
    Ready,
    /// An initializer threw.
    Poisoned,
    /// Its finalizers are running, or its memory is about to go.
    Unloading(VisitorId),
}

/// The state of all dylibs of one executor. See the [module](self).
#[derive(Clone, Debug, Default)]
pub struct Loader {
    graph: DylibGraph,
    nodes: Vec<Node>,
    walker: Walker,
    visitors: Visitors,
    /// Runs that were done and not yet undone, linked per dylib from the latest back.
    done: Vec<DoneRun>,
    free_done: Vec<u32>,
    /// The number of the next finished run.
    sequence: u64,
    /// What the initializer that threw was called, for poisoned dylibs.
    poison: BTreeMap<DylibId, String>,
    /// Perhaps nobody holds these any more: they stay until the next close or update looks (rules 15, 26).
    leftovers: Vec<DylibId>,
    /// Counts whatever can make an open incomplete.
    version: u64,
    changes: u64,
    /// The last mark that was given out; see [`Node::mark`].
    marks: u64,
}

/// What the loader knows of one dylib.
#[derive(Clone, Debug)]
struct Node {
    /// Opens that succeeded less closes.
    count: u64,
    /// Stays until the program ends, whoever closes it.
    pinned: bool,
    /// Links from dylibs that are loaded.
    dependants: u32,
    /// Operations in progress that reach it.
    planned: u32,
    /// Batches of code known, and how many of them had their run.
    added: u32,
    ran: u32,
    phase: Phase,
    /// Whether its own links count in `dependants` of what it links to.
    loaded: bool,
    /// Whether it is among `Loader::leftovers`.
    leftover: bool,
    /// Nobody holds it any more but operations in progress: looked at when the last of them ends (rule 23).
    deferred: bool,
    /// The operation that runs or unloads it.
    busy: Option<OpId>,
    /// The first operation in progress that has to run it.
    owner: Option<OpId>,
    /// Its latest entry in `Loader::done`.
    last_run: Option<u32>,
    /// The loader's version when everything it reaches was seen to be initialized.
    settled: u64,
    /// Equal to a walk's own number when the walk has marked it.
    mark: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Not in use.
    Unloaded,
    /// In use, first run not finished.
    Fresh,
    Initialized,
    Poisoned,
    Unloading,
}

/// A run that is to be undone at unload.
#[derive(Clone, Debug)]
struct DoneRun {
    run: Run,
    sequence: u64,
    threw: bool,
    before: Option<u32>,
}

/// The number of an operation in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OpId(u32);

impl Default for Node {
    fn default() -> Self {
        Self {
            count: 0,
            pinned: false,
            dependants: 0,
            planned: 0,
            added: 0,
            ran: 0,
            phase: Phase::Unloaded,
            loaded: false,
            leftover: false,
            deferred: false,
            busy: None,
            owner: None,
            last_run: None,
            settled: u64::MAX,
            mark: 0,
        }
    }
}

impl Node {
    /// Whether a run is missing: the first, or one for code added since.
    fn is_due(&self) -> bool {
        self.phase != Phase::Initialized || self.ran < self.added
    }

    /// Whether it stays without anybody who depends on it.
    fn is_kept(&self) -> bool {
        self.count > 0 || self.pinned
    }

    /// Whether an operation in progress needs it to stay as it is.
    fn is_in_use(&self) -> bool {
        self.planned > 0 || self.busy.is_some()
    }
}

impl Loader {
    /// A loader without dylibs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The dylibs and their link orders.
    #[must_use]
    pub fn graph(&self) -> &DylibGraph {
        &self.graph
    }

    /// A new dylib, as [`DylibGraph::add`].
    ///
    /// # Panics
    /// After 2^32 - 1 dylibs.
    pub fn add(&mut self) -> DylibId {
        let dylib = self.graph.add();
        self.nodes.push(Node::default());
        dylib
    }

    /// Makes `dylib` exist, as [`DylibGraph::ensure`]. Says whether it is new.
    ///
    /// # Errors
    /// As [`DylibGraph::ensure`].
    pub fn ensure(&mut self, dylib: DylibId) -> Result<bool, GraphError> {
        let new = self.graph.ensure(dylib)?;
        self.nodes.resize_with(self.graph.id_bound(), Node::default);
        if new {
            // A dylib that comes back makes old links count again.
            self.version += 1;
        }
        Ok(new)
    }

    /// Takes out a dylib that is not loaded, as [`DylibGraph::remove`].
    ///
    /// # Errors
    /// [`LoadError::InUse`] unless its status is [`Status::Unloaded`]; [`GraphError::Unknown`] when it is not there.
    pub fn remove(&mut self, dylib: DylibId) -> Result<(), LoadError> {
        self.graph.check(dylib)?;
        if self.node(dylib).phase != Phase::Unloaded {
            return Err(LoadError::InUse { dylib });
        }
        self.graph.remove(dylib)?;
        self.node_mut(dylib).added = 0;
        self.version += 1;
        Ok(())
    }

    /// Replaces the link order of `dylib`. What is new in it is initialized by the next open or update that reaches it; what
    /// is gone from it is released by the next close or update (rule 26).
    ///
    /// # Errors
    /// As [`DylibGraph::set_link_order`].
    pub fn set_link_order(&mut self, dylib: DylibId, links: &[DylibId]) -> Result<(), GraphError> {
        if self.graph.contains(dylib) && self.graph.link_order(dylib) == links {
            return Ok(());
        }
        if !self.graph.contains(dylib) || !self.node(dylib).loaded {
            self.graph.set_link_order(dylib, links)?;
            self.version += 1;
            return Ok(());
        }
        let old = self.graph.link_order(dylib).to_vec();
        self.graph.set_link_order(dylib, links)?;
        self.version += 1;
        for link in old {
            self.node_mut(link).dependants -= 1;
            self.leave_over(link);
        }
        for &link in links {
            self.node_mut(link).dependants += 1;
        }
        Ok(())
    }

    /// `dylib` has code whose initializers have not run: the next open or update that reaches it gives it a run (rule 10: one in
    /// progress does not). Returns the number of this batch of code; batches count from 0, and from 0 again
    /// after an unload.
    ///
    /// A dylib gets its first run without this; then it is only needed to know which code a run is about.
    ///
    /// # Errors
    /// [`GraphError::Unknown`] when `dylib` is not there.
    ///
    /// # Panics
    /// After 2^32 - 1 batches.
    pub fn add_code(&mut self, dylib: DylibId) -> Result<u32, GraphError> {
        self.graph.check(dylib)?;
        self.version += 1;
        let node = self.node_mut(dylib);
        let batch = node.added;
        node.added = batch.checked_add(1).expect("fewer than 2^32 batches of code");
        Ok(batch)
    }

    /// Opens that succeeded less closes (rule 18).
    #[must_use]
    pub fn count(&self, dylib: DylibId) -> u64 {
        self.nodes.get(dylib.index()).map_or(0, |node| node.count)
    }

    /// Whether `visitor` may close or update `dylib`: it is open, or `visitor` is opening it.
    #[must_use]
    pub fn is_open(&self, dylib: DylibId, visitor: VisitorId) -> bool {
        self.count(dylib) > 0 || self.visitors.opening(visitor, dylib).is_some()
    }

    /// Keeps `dylib`, and what it reaches, until the program ends, however often it is closed (`NODELETE`, rule 28). Between the last
    /// [`step`](Self::step) of an open and its end this also holds against a close from inside.
    ///
    /// # Errors
    /// [`LoadError::NotOpen`] when it is not loaded; [`LoadError::Graph`].
    pub fn pin(&mut self, dylib: DylibId) -> Result<(), LoadError> {
        self.graph.check(dylib)?;
        match self.node(dylib).phase {
            Phase::Unloaded | Phase::Unloading => Err(LoadError::NotOpen { dylib }),
            Phase::Fresh | Phase::Initialized | Phase::Poisoned => {
                self.node_mut(dylib).pinned = true;
                Ok(())
            }
        }
    }

    /// Where `dylib` stands.
    #[must_use]
    pub fn status(&self, dylib: DylibId) -> Status {
        let Some(node) = self.nodes.get(dylib.index()) else {
            return Status::Unloaded;
        };
        match (node.phase, node.busy.and_then(|op| self.visitors.visitor_of(op))) {
            (Phase::Unloading, Some(by)) => Status::Unloading(by),
            (_, Some(by)) => Status::Running(by),
            (Phase::Fresh, None) => Status::Pending,
            (Phase::Initialized, None) => Status::Ready,
            (Phase::Poisoned, None) => Status::Poisoned,
            (Phase::Unloaded | Phase::Unloading, None) => Status::Unloaded,
        }
    }

    /// Whether an open of `dylib` would find everything it reaches initialized, for as far as the loader knows of code. Costs
    /// nothing; may say no where a walk would find yes.
    #[must_use]
    pub fn is_settled(&self, dylib: DylibId) -> bool {
        self.nodes.get(dylib.index()).is_some_and(|node| node.settled == self.version)
    }

    /// Counts everything that can matter to a visitor that waits. When a call has changed it, wake them all.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Who waits for what at this moment (rule 13), in the order of visitors.
    pub fn waits(&self) -> impl Iterator<Item = Waiting> + '_ {
        self.visitors.waits().map(|(visitor, dylib)| Waiting { visitor, dylib, held_by: self.holder(dylib) })
    }

    fn node(&self, dylib: DylibId) -> &Node {
        &self.nodes[dylib.index()]
    }

    fn node_mut(&mut self, dylib: DylibId) -> &mut Node {
        &mut self.nodes[dylib.index()]
    }

    /// From now on `dylib` keeps alive what it links to.
    fn hold_links(&mut self, dylib: DylibId) {
        let node = &mut self.nodes[dylib.index()];
        if !node.loaded {
            node.loaded = true;
            for &link in self.graph.link_order(dylib) {
                self.nodes[link.index()].dependants += 1;
            }
        }
    }

    /// From now on `dylib` keeps nothing alive, and what it linked to is left over.
    fn release_links(&mut self, dylib: DylibId) {
        self.release_links_for_good(dylib);
        for at in 0..self.graph.link_order(dylib).len() {
            let link = self.graph.link_order(dylib)[at];
            self.leave_over(link);
        }
    }

    /// As [`release_links`](Self::release_links), for a walk that looks at what it linked to itself.
    fn release_links_for_good(&mut self, dylib: DylibId) {
        let node = &mut self.nodes[dylib.index()];
        if node.loaded {
            node.loaded = false;
            for &link in self.graph.link_order(dylib) {
                self.nodes[link.index()].dependants -= 1;
            }
        }
    }

    /// Keeps `dylib` until the next close or update sees whether anybody holds it.
    fn leave_over(&mut self, dylib: DylibId) {
        let node = &mut self.nodes[dylib.index()];
        if node.loaded && !node.leftover {
            node.leftover = true;
            self.leftovers.push(dylib);
        }
    }

    fn poisoned(&self, dylib: DylibId) -> LoadError {
        LoadError::Poisoned { dylib, initializer: self.poison.get(&dylib).cloned().unwrap_or_default() }
    }
}
