//! Opening what is complete already.
//!
//! You give a root and a visitor; you hear whether everything that the root reaches is initialized, and then it counts as opened once more. Not for
//! opens that have something to run or to wait for: those begin, step and finish.

use super::{Loader, Node, Phase, VisitorId};
use crate::graph::DylibId;

impl Loader {
    /// Opens `root` on the spot if an open would find everything that it reaches initialized and nobody at work there: its count grows, and
    /// nothing else changes. What an open would have done is just that, without an operation in progress. Else nothing happens: begin an open.
    ///
    /// Costs nothing while [`Self::is_settled`] says yes, and a walk of what `root` reaches otherwise.
    pub fn reopen(&mut self, root: DylibId, visitor: VisitorId) -> bool {
        // A visitor that gave up waiting says so when it begins something.
        if self.visitors.waiting(visitor).is_some() {
            return false;
        }
        if !self.is_settled(root) && !self.settle(root) {
            return false;
        }
        self.node_mut(root).count += 1;
        true
    }

    /// Looks whether everything that `root` reaches is initialized and left alone, and remembers it.
    fn settle(&mut self, root: DylibId) -> bool {
        let complete = |node: &Node| {
            node.phase == Phase::Initialized && node.loaded && node.ran == node.added && node.busy.is_none()
        };
        if !self.nodes.get(root.index()).is_some_and(complete) {
            return false;
        }
        let Ok(reached) = self.walker.search_order(&self.graph, root) else { return false };
        if !reached.into_iter().all(|dylib| complete(self.node(dylib))) {
            return false;
        }
        self.node_mut(root).settled = self.version;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{DylibId, Loader, VisitorId};
    use crate::{CloseStep, Finished, Open, Outcome, Status, Step};

    const ME: VisitorId = VisitorId(1);
    const OTHER: VisitorId = VisitorId(2);

    fn pair() -> (Loader, DylibId, DylibId) {
        let mut loader = Loader::new();
        let (base, user) = (loader.add(), loader.add());
        loader.set_link_order(user, &[base]).unwrap();
        (loader, base, user)
    }

    fn run_one(loader: &mut Loader, open: &mut Open, outcome: Outcome) {
        assert!(matches!(loader.step(open), Ok(Step::Run(_))));
        loader.completed(open, outcome);
    }

    fn open(loader: &mut Loader, root: DylibId) {
        let mut open = loader.begin_open(root, ME).unwrap();
        while let Ok(Step::Run(_)) = loader.step(&mut open) {
            loader.completed(&mut open, Outcome::Completed);
        }
        let Finished { result, close } = loader.finish_open(open);
        assert_eq!((result, close.is_none()), (Ok(root), true));
    }

    fn close(loader: &mut Loader, root: DylibId) {
        let mut close = loader.begin_close(root, ME).unwrap();
        while loader.close_step(&mut close) != CloseStep::Done {}
    }

    #[test]
    fn what_is_complete_counts_at_once_and_what_is_not_does_not() {
        let (mut loader, base, user) = pair();
        assert!(!loader.reopen(user, ME), "nothing has run");
        open(&mut loader, user);
        assert!(loader.reopen(user, OTHER));
        assert!(loader.reopen(base, OTHER), "it is complete as well, though nobody has opened it");
        assert_eq!((loader.count(user), loader.count(base)), (2, 1));
        loader.add_code(base).unwrap();
        assert!(!loader.reopen(user, ME) && !loader.reopen(base, ME), "there is code to run");
        open(&mut loader, user);
        assert!(loader.reopen(base, ME));
        let late = loader.add();
        loader.set_link_order(base, &[late]).unwrap();
        assert!(!loader.reopen(user, ME), "what it reaches has grown");
        assert_eq!((loader.count(user), loader.count(base)), (3, 2));
    }

    #[test]
    fn an_unload_elsewhere_costs_a_walk_and_no_more() {
        let (mut loader, base, user) = pair();
        let other = loader.add();
        open(&mut loader, user);
        open(&mut loader, other);
        close(&mut loader, other);
        assert!(!loader.is_settled(user));
        assert!(loader.reopen(user, ME) && loader.is_settled(user));
        close(&mut loader, user);
        close(&mut loader, user);
        assert_eq!((loader.status(user), loader.status(base)), (Status::Unloaded, Status::Unloaded));
        assert!(!loader.reopen(user, ME));
    }

    #[test]
    fn who_is_at_work_or_poisoned_is_not_complete() {
        let (mut loader, base, user) = pair();
        let mut first = loader.begin_open(user, ME).unwrap();
        run_one(&mut loader, &mut first, Outcome::Completed);
        assert!(loader.reopen(base, OTHER), "base is through, whoever opened it");
        assert!(matches!(loader.step(&mut first), Ok(Step::Run(_))));
        assert!(!loader.reopen(user, OTHER), "its initializers are running");
        assert!(!loader.reopen(user, ME), "for its own visitor too");
        loader.completed(&mut first, Outcome::Threw("f".into()));
        assert!(loader.finish_open(first).result.is_err());
        assert!(!loader.reopen(user, ME), "it is poisoned");
        assert!(loader.reopen(base, ME));
    }
}
