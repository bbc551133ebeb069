//! Which visitor is inside which operations, and what it waits for.
//!
//! You give the beginnings and ends of operations; you get the answer to "would this wait ever end?". Not for
//! blocking anybody.

use std::collections::BTreeMap;

use super::{Loader, OpId, VisitorId};
use crate::graph::DylibId;

/// A visitor that waits, and what would have to happen (rule 13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Who waits.
    pub visitor: VisitorId,
    /// For which dylib.
    pub dylib: DylibId,
    /// Who is initializing or unloading it, or has it next in an open of their own.
    pub held_by: Option<VisitorId>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Visitors {
    visitors: BTreeMap<VisitorId, Visitor>,
    ops: Vec<Option<Op>>,
    free: Vec<u32>,
}

#[derive(Clone, Debug, Default)]
struct Visitor {
    /// Operations in progress, outermost first.
    stack: Vec<OpId>,
    waiting: Option<DylibId>,
}

#[derive(Clone, Debug)]
struct Op {
    visitor: VisitorId,
    /// What it will count for when it succeeds.
    counts: Option<DylibId>,
    running: Option<DylibId>,
    cancelled: bool,
}

impl Visitors {
    pub(super) fn begin(&mut self, visitor: VisitorId, counts: Option<DylibId>) -> OpId {
        let op = Op { visitor, counts, running: None, cancelled: false };
        let id = if let Some(slot) = self.free.pop() {
            self.ops[slot as usize] = Some(op);
            OpId(slot)
        } else {
            self.ops.push(Some(op));
            OpId(u32::try_from(self.ops.len() - 1).expect("fewer than 2^32 operations at once"))
        };
        self.visitors.entry(visitor).or_default().stack.push(id);
        id
    }

    pub(super) fn end(&mut self, id: OpId) {
        let Some(op) = self.ops[id.0 as usize].take() else {
            return;
        };
        self.free.push(id.0);
        if let Some(visitor) = self.visitors.get_mut(&op.visitor) {
            visitor.stack.retain(|&each| each != id);
            visitor.waiting = None;
            if visitor.stack.is_empty() {
                self.visitors.remove(&op.visitor);
            }
        }
    }

    /// The innermost open of `dylib` that `visitor` has in progress and has not closed yet.
    pub(super) fn opening(&self, visitor: VisitorId, dylib: DylibId) -> Option<OpId> {
        let counts = |&&id: &&OpId| self.op(id).is_some_and(|op| op.counts == Some(dylib));
        self.visitors.get(&visitor)?.stack.iter().rev().find(counts).copied()
    }

    /// Says what an open counts for, and makes it count for nothing.
    pub(super) fn take_count(&mut self, id: OpId) -> Option<DylibId> {
        self.ops[id.0 as usize].as_mut()?.counts.take()
    }

    /// Takes [`take_count`](Self::take_count) back.
    pub(super) fn give_count(&mut self, id: OpId, dylib: DylibId) {
        if let Some(op) = self.ops[id.0 as usize].as_mut() {
            op.counts = Some(dylib);
        }
    }

    pub(super) fn visitor_of(&self, id: OpId) -> Option<VisitorId> {
        self.op(id).map(|op| op.visitor)
    }

    pub(super) fn is_cancelled(&self, id: OpId) -> bool {
        self.op(id).is_none_or(|op| op.cancelled)
    }

    pub(super) fn cancel_all(&mut self) {
        for op in self.ops.iter_mut().flatten() {
            op.cancelled = true;
            op.running = None;
            // It will not succeed, so there is nothing that a close inside could take back (rule 18).
            op.counts = None;
        }
        for visitor in self.visitors.values_mut() {
            visitor.waiting = None;
        }
    }

    pub(super) fn set_running(&mut self, id: OpId, dylib: Option<DylibId>) {
        if let Some(op) = &mut self.ops[id.0 as usize] {
            op.running = dylib;
        }
    }

    /// Notes what `visitor` waits for; says whether that is news.
    pub(super) fn set_waiting(&mut self, visitor: VisitorId, dylib: Option<DylibId>) -> bool {
        let before = self.visitors.get(&visitor).and_then(|each| each.waiting);
        if before == dylib {
            return false;
        }
        let entry = self.visitors.entry(visitor).or_default();
        entry.waiting = dylib;
        if dylib.is_none() && entry.stack.is_empty() {
            self.visitors.remove(&visitor);
        }
        true
    }

    fn len(&self) -> usize {
        self.visitors.len()
    }

    pub(super) fn waiting(&self, visitor: VisitorId) -> Option<DylibId> {
        self.visitors.get(&visitor)?.waiting
    }

    pub(super) fn waits(&self) -> impl Iterator<Item = (VisitorId, DylibId)> + '_ {
        self.visitors.iter().filter_map(|(&id, visitor)| Some((id, visitor.waiting?)))
    }

    /// The dylibs whose initializers `visitor` is inside of.
    pub(super) fn running(&self, visitor: VisitorId) -> impl Iterator<Item = DylibId> + '_ {
        let stack = self.visitors.get(&visitor).map_or(&[][..], |each| &each.stack);
        stack.iter().filter_map(|&id| self.op(id)?.running)
    }

    /// Whether `id` is what its visitor is doing right now: not inside an initializer, and nothing nested in it.
    fn is_innermost(&self, id: OpId) -> bool {
        self.op(id).is_some_and(|op| {
            let innermost = self.visitors.get(&op.visitor).and_then(|visitor| visitor.stack.last());
            op.running.is_none() && innermost == Some(&id)
        })
    }

    fn op(&self, id: OpId) -> Option<&Op> {
        self.ops[id.0 as usize].as_ref()
    }
}

impl Loader {
    /// Who initializes or unloads `dylib` now, or will do so next.
    pub(super) fn holder(&self, dylib: DylibId) -> Option<VisitorId> {
        let node = self.node(dylib);
        self.visitors.visitor_of(node.busy.or(node.owner)?)
    }

    /// Who initializes or unloads `dylib` now.
    pub(super) fn busy_with(&self, dylib: DylibId) -> Option<VisitorId> {
        self.visitors.visitor_of(self.node(dylib).busy?)
    }

    /// Whether the operation that has `dylib` in its plan will get to it without anybody's help. If not (its visitor is inside
    /// an initializer, or waits), whoever needs the dylib runs it: the initializer may be waiting for just that (rules 8, 12).
    pub(super) fn will_proceed(&self, owner: OpId) -> bool {
        let waits_in_vain = |visitor| {
            self.visitors
                .waiting(visitor)
                .is_some_and(|dylib| self.node(dylib).is_due() || self.node(dylib).busy.is_some())
        };
        self.visitors.is_innermost(owner) && !self.visitors.visitor_of(owner).is_none_or(waits_in_vain)
    }

    /// The visitors between `dylib` and `visitor` in the wait-for graph, if `visitor` waiting for `dylib` would close a cycle (rule 13).
    ///
    /// A visitor waits for one dylib at most and a dylib is in the hands of one visitor, so this is a walk along a line.
    pub(super) fn wait_cycle(&self, visitor: VisitorId, dylib: DylibId) -> Option<Vec<VisitorId>> {
        let mut cycle = Vec::new();
        let mut dylib = dylib;
        loop {
            let by = self.busy_with(dylib)?;
            cycle.push(by);
            if by == visitor {
                return Some(cycle);
            }
            if cycle.len() > self.visitors.len() {
                // A cycle of others, which one of them is about to leave.
                return None;
            }
            dylib = self.visitors.waiting(by)?;
        }
    }
}
