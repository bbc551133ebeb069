//! Link orders at one moment, and the walks over them, said as simply as possible.
//!
//! You ask who reaches whom and in which order; every answer searches again. Not for a loader: that has
//! [`DylibGraph`](crate::DylibGraph), whose answers these are to judge.

use crate::graph::DylibId;
use crate::scope::Scope;

/// Link orders at some moment, for questions that are answered by searching them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links(pub(crate) Vec<Vec<DylibId>>);

impl Links {
    /// The link order of `dylib`.
    #[must_use]
    pub fn of(&self, dylib: DylibId) -> &[DylibId] {
        &self.0[dylib.index()]
    }

    /// Everything that `root` reaches, depth-first and last to be left last.
    #[must_use]
    pub fn reached_by(&self, root: DylibId) -> Vec<DylibId> {
        let mut seen = vec![false; self.0.len()];
        let mut left = Vec::new();
        let mut stack = vec![(root, 0)];
        seen[root.index()] = true;
        while let Some((dylib, followed)) = stack.last_mut() {
            if let Some(&link) = self.0[dylib.index()].get(*followed) {
                *followed += 1;
                if !std::mem::replace(&mut seen[link.index()], true) {
                    stack.push((link, 0));
                }
            } else {
                left.push(*dylib);
                stack.pop();
            }
        }
        left
    }

    /// Whether `a` reaches `b`; everything reaches itself.
    #[must_use]
    pub fn reaches(&self, a: DylibId, b: DylibId) -> bool {
        self.reached_by(a).contains(&b)
    }

    /// The same links without self-links and repeated ones, which mean nothing (rule 3).
    #[must_use]
    pub fn plain(&self) -> Self {
        let plain = |(at, links): (usize, &Vec<DylibId>)| {
            let mut seen = vec![DylibId::at(at)];
            links
                .iter()
                .copied()
                .filter(|link| {
                    !seen.contains(link) && {
                        seen.push(*link);
                        true
                    }
                })
                .collect()
        };
        Self(self.0.iter().enumerate().map(plain).collect())
    }

    /// Everything that `root` reaches, breadth first, links in link order.
    #[must_use]
    pub fn search_order(&self, root: DylibId) -> Vec<DylibId> {
        let mut order = vec![root];
        let mut next = 0;
        while let Some(&dylib) = order.get(next) {
            next += 1;
            for &link in self.of(dylib) {
                if !order.contains(&link) {
                    order.push(link);
                }
            }
        }
        order
    }

    /// The dylibs of `scope`, as [`search_scope`](crate::scope::search_scope) has them.
    #[must_use]
    pub fn scope(
        &self,
        scope: Scope,
        program: Option<DylibId>,
        global: &[DylibId],
        asking: Option<DylibId>,
    ) -> Vec<DylibId> {
        if let Scope::Handle(dylib) = scope {
            return self.search_order(dylib);
        }
        let mut order: Vec<DylibId> = Vec::new();
        for root in program.into_iter().chain(global.iter().copied()).chain(asking) {
            for dylib in self.search_order(root) {
                if !order.contains(&dylib) {
                    order.push(dylib);
                }
            }
        }
        match order.iter().position(|&dylib| Some(dylib) == asking) {
            Some(own) if scope == Scope::Next => order.split_off(own + 1),
            _ => order,
        }
    }

    /// Everything that `root` reaches, in the order of initialization.
    #[must_use]
    pub fn init_order(&self, root: DylibId) -> Vec<DylibId> {
        let left = self.reached_by(root);
        let mut reach = vec![vec![false; self.0.len()]; self.0.len()];
        for &a in &left {
            self.reached_by(a).into_iter().for_each(|b| reach[a.index()][b.index()] = true);
        }
        let mutual = |a: DylibId, b: DylibId| reach[a.index()][b.index()] && reach[b.index()][a.index()];
        let mut order = left.clone();
        order.sort_by_cached_key(|&dylib| left.iter().rposition(|&each| mutual(dylib, each)));
        order
    }
}
