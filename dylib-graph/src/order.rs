//! In which order dylibs are initialized and searched.
//!
//! You give a graph and a root; you get every dylib that the root reaches, dependencies first. Not for
//! deciding what still has to run: that is the [`Loader`](crate::Loader)'s part.
//!
//! The rule, exactly: walk depth-first from the root, links in link order, each dylib once. Dylibs that reach each
//! other form one *set*. Sets come in the order in which the walk leaves them for good; inside a set, dylibs
//! come in the order in which the walk leaves them. So the order depends on link orders and on the root alone, never on
//! numbering, and if `a` reaches `b` while `b` does not reach `a`, `b` comes first.
//!
//! The walk keeps its own stack, so the depth of a graph is bounded by memory only.

use crate::error::GraphError;
use crate::graph::{DylibGraph, DylibId};

/// What a root reaches, in the order of initialization.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InitOrder {
    dylibs: Vec<DylibId>,
    /// Where each set ends in `dylibs`.
    ends: Vec<u32>,
}

impl InitOrder {
    pub(crate) fn single(dylib: DylibId) -> Self {
        Self { dylibs: vec![dylib], ends: vec![1] }
    }

    /// All dylibs, first to be initialized first.
    #[must_use]
    pub fn dylibs(&self) -> &[DylibId] {
        &self.dylibs
    }

    /// The same dylibs by set: one dylib, or all the dylibs of one cycle.
    pub fn sets(&self) -> impl DoubleEndedIterator<Item = &[DylibId]> + ExactSizeIterator {
        (0..self.ends.len()).map(|set| {
            let start = set.checked_sub(1).map_or(0, |before| self.ends[before]);
            &self.dylibs[start as usize..self.ends[set] as usize]
        })
    }
}

/// Computes orders, and keeps its working memory from one to the next, so that an order costs what it reaches
/// and not what the graph holds.
#[derive(Clone, Debug, Default)]
pub struct Walker {
    /// When each dylib was reached; below `base` means not in this walk.
    reached: Vec<u32>,
    /// The earliest unfinished dylib known to be in the same set; `DONE` once the set is complete.
    low: Vec<u32>,
    base: u32,
}

const DONE: u32 = u32::MAX;

/// A dylib on the way from the root, and how many of its links have been followed.
struct Frame {
    dylib: DylibId,
    followed: u32,
}

impl Walker {
    /// A walker without working memory yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// As [`DylibGraph::init_order`].
    ///
    /// # Errors
    /// [`GraphError::Unknown`] when `root` is not there.
    pub fn init_order(&mut self, graph: &DylibGraph, root: DylibId) -> Result<InitOrder, GraphError> {
        graph.check(root)?;
        Ok(self.sets(graph, [root], |dylib| graph.contains(dylib)))
    }

    /// The order of everything that `roots` reach, walking from each in turn and only through dylibs that `enter` admits.
    ///
    /// This is Tarjan's algorithm in Pearce's form: a dylib goes on the stack of its unfinished set when the walk leaves
    /// it, not when the walk enters it, so each set lies there already in the order we want.
    pub(crate) fn sets(
        &mut self,
        graph: &DylibGraph,
        roots: impl IntoIterator<Item = DylibId>,
        enter: impl Fn(DylibId) -> bool,
    ) -> InitOrder {
        self.start(graph);
        let mut next = self.base;
        let mut order = InitOrder::default();
        let mut frames: Vec<Frame> = Vec::new();
        let mut left: Vec<DylibId> = Vec::new();
        for root in roots {
            if self.seen(root) || !enter(root) {
                continue;
            }
            self.reach(root, &mut next);
            frames.push(Frame { dylib: root, followed: 0 });
            while let Some(frame) = frames.last_mut() {
                let dylib = frame.dylib;
                if let Some(&link) = graph.link_order(dylib).get(frame.followed as usize) {
                    frame.followed += 1;
                    if self.seen(link) {
                        let low = self.low[link.index()];
                        self.lower(dylib, low);
                    } else if enter(link) {
                        self.reach(link, &mut next);
                        frames.push(Frame { dylib: link, followed: 0 });
                    }
                    continue;
                }
                frames.pop();
                let low = self.low[dylib.index()];
                if let Some(parent) = frames.last() {
                    self.lower(parent.dylib, low);
                }
                let entry = self.reached[dylib.index()];
                if low != entry {
                    left.push(dylib);
                    continue;
                }
                // The walk leaves the set through the member that it reached first.
                let inner = left.iter().rposition(|each| self.reached[each.index()] < entry);
                order.dylibs.extend(left.drain(inner.map_or(0, |last| last + 1)..));
                order.dylibs.push(dylib);
                let start = order.ends.last().map_or(0, |&end| end as usize);
                for each in &order.dylibs[start..] {
                    self.low[each.index()] = DONE;
                }
                order.ends.push(u32::try_from(order.dylibs.len()).expect("ids are 32 bits wide"));
            }
        }
        self.base = next;
        order
    }

    /// As [`DylibGraph::search_order`].
    ///
    /// # Errors
    /// [`GraphError::Unknown`] when `root` is not there.
    pub fn search_order(&mut self, graph: &DylibGraph, root: DylibId) -> Result<Vec<DylibId>, GraphError> {
        self.search_orders(graph, [root])
    }

    /// The search orders of `roots`, one after the other, each dylib where it comes first.
    ///
    /// # Errors
    /// [`GraphError::Unknown`] when a root is not there.
    pub fn search_orders(
        &mut self,
        graph: &DylibGraph,
        roots: impl IntoIterator<Item = DylibId>,
    ) -> Result<Vec<DylibId>, GraphError> {
        self.start(graph);
        let mut next = self.base;
        let mut order = Vec::new();
        let mut followed = 0;
        for root in roots {
            graph.check(root)?;
            if self.seen(root) {
                continue;
            }
            order.push(root);
            self.reach(root, &mut next);
            // What an earlier root reaches is reached as a whole, so it hides nothing from this walk.
            while let Some(&dylib) = order.get(followed) {
                followed += 1;
                for &link in graph.link_order(dylib) {
                    if !self.seen(link) && graph.contains(link) {
                        self.reach(link, &mut next);
                        order.push(link);
                    }
                }
            }
        }
        self.base = next;
        Ok(order)
    }

    /// Makes room for every id, and for as many new numbers as one walk can need.
    fn start(&mut self, graph: &DylibGraph) {
        let bound = graph.id_bound();
        let numbers = u32::try_from(bound).expect("ids are 32 bits wide");
        if self.base == 0 || self.base.checked_add(numbers).is_none_or(|end| end == DONE) {
            self.reached.clear();
            self.base = 1;
        }
        self.reached.resize(bound, 0);
        self.low.resize(bound, 0);
    }

    fn seen(&self, dylib: DylibId) -> bool {
        self.reached[dylib.index()] >= self.base
    }

    fn reach(&mut self, dylib: DylibId, next: &mut u32) {
        self.reached[dylib.index()] = *next;
        self.low[dylib.index()] = *next;
        *next += 1;
    }

    fn lower(&mut self, dylib: DylibId, low: u32) {
        let own = &mut self.low[dylib.index()];
        *own = (*own).min(low);
    }
}
