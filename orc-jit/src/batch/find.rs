//! Whose definition of a name does a dylib see? What answers without walking through every dylib for every name.
//!
//! A dylib sees the first definition in its search order: itself, then what it reaches, breadth first. With few dylibs each is asked in
//! turn. With many, an index from names to those who define them leaves few to choose from, and the walk ends where the first of these is met.
//! What an index holds is a hint, which the caller confirms.

use super::gather::Gathered;
use crate::names;
use dylib_graph::{DylibGraph, DylibId};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::collections::HashMap;

/// With so many dylibs in reach, an index costs more than asking each of them.
pub(crate) const FEW: usize = 8;

/// Who may define a name, by the hash of the name.
#[derive(Debug)]
pub(crate) struct Definers<Of = DylibId> {
    /// A hash, and the latest of its entries.
    table: HashTable<(u64, u32)>,
    entries: Vec<(Of, u32)>,
    free: Vec<u32>,
}

impl<Of> Default for Definers<Of> {
    fn default() -> Self {
        Self { table: HashTable::new(), entries: Vec::new(), free: Vec::new() }
    }
}

const END: u32 = u32::MAX;

impl<Of: Copy + PartialEq> Definers<Of> {
    pub(crate) fn insert(&mut self, hash: u64, dylib: Of) {
        let at = self.free.pop().unwrap_or_else(|| {
            self.entries.push((dylib, END));
            self.entries.len() as u32 - 1
        });
        match self.table.entry(hash, |(other, _)| *other == hash, |(other, _)| *other) {
            Entry::Occupied(mut known) => {
                let latest = std::mem::replace(&mut known.get_mut().1, at);
                self.entries[at as usize] = (dylib, latest);
            }
            Entry::Vacant(new) => {
                new.insert((hash, at));
                self.entries[at as usize] = (dylib, END);
            }
        }
    }

    /// Takes one entry back that [`insert`](Self::insert) made.
    pub(crate) fn remove(&mut self, hash: u64, dylib: Of) {
        let Ok(mut known) = self.table.find_entry(hash, |(other, _)| *other == hash) else { return };
        let (mut before, mut at) = (END, known.get().1);
        while at != END && self.entries[at as usize].0 != dylib {
            (before, at) = (at, self.entries[at as usize].1);
        }
        if at == END {
            return;
        }
        let after = self.entries[at as usize].1;
        match before {
            END if after == END => drop(known.remove()),
            END => known.get_mut().1 = after,
            before => self.entries[before as usize].1 = after,
        }
        self.free.push(at);
    }

    /// Who may define the name with this hash, some of them perhaps twice.
    pub(crate) fn of(&self, hash: u64) -> impl Iterator<Item = Of> + '_ {
        let mut at = self.table.find(hash, |(other, _)| *other == hash).map_or(END, |(_, at)| *at);
        std::iter::from_fn(move || {
            let (dylib, next) = *self.entries.get(at as usize)?;
            at = next;
            Some(dylib)
        })
    }
}

/// Which of the graphs exports which names.
pub(super) fn index(gathered: &[Gathered<'_>]) -> Definers {
    let mut index = Definers::default();
    for one in gathered {
        let exported = one.graph.symbols().iter().filter(|symbol| symbol.is_exported());
        exported.for_each(|symbol| index.insert(names::hash(symbol.name), one.key.dylib));
    }
    index
}

/// The search order of one dylib at a time, as far as it was asked for.
#[derive(Debug)]
pub(super) struct Search<'g> {
    graph: &'g DylibGraph,
    order: Vec<DylibId>,
    followed: usize,
    /// By dylib index: the walk that met it, and as which.
    met: Vec<(u32, u32)>,
    walk: u32,
    backward: Option<Backward>,
}

impl<'g> Search<'g> {
    pub(super) fn new(graph: &'g DylibGraph) -> Self {
        Self { graph, order: Vec::new(), followed: 0, met: vec![(0, 0); graph.id_bound()], walk: 0, backward: None }
    }

    /// Searches from `root` from now on.
    pub(super) fn start(&mut self, root: DylibId) {
        if self.order.first() != Some(&root) {
            self.walk += 1;
            self.order.clear();
            self.followed = 0;
            self.meet(root);
        }
    }

    /// The dylib at this position of the search order.
    pub(super) fn at(&mut self, position: usize) -> Option<DylibId> {
        while self.order.len() <= position && self.follow() {}
        self.order.get(position).copied()
    }

    /// The one of `candidates` that the root meets first.
    pub(super) fn first_of(&mut self, candidates: &[DylibId]) -> Option<DylibId> {
        /// Steps until it is worth knowing whether the walk can meet any of them.
        const NEAR: usize = 64;
        let known = candidates.iter().filter_map(|dylib| self.position(*dylib)).min();
        if let Some(first) = known {
            return self.order.get(first as usize).copied();
        }
        let root = *self.order.first()?;
        let mut rest = candidates.to_vec();
        let mut steps = 0;
        loop {
            let before = self.order.len();
            if !self.follow() {
                return None;
            }
            if let Some(found) = self.order[before..].iter().find(|dylib| rest.contains(dylib)) {
                return Some(*found);
            }
            steps += 1;
            if steps == NEAR && rest.len() <= 4 {
                let backward = self.backward.get_or_insert_with(|| Backward::new(self.graph));
                rest.retain(|dylib| backward.reaches(root, *dylib));
                if rest.len() < 2 {
                    return rest.pop();
                }
            }
        }
    }

    /// Whether `root` reaches `dylib`.
    pub(super) fn reaches(&mut self, root: DylibId, dylib: DylibId) -> bool {
        self.backward.get_or_insert_with(|| Backward::new(self.graph)).reaches(root, dylib)
    }

    fn position(&self, dylib: DylibId) -> Option<u32> {
        let (walk, position) = *self.met.get(dylib.index())?;
        (walk == self.walk).then_some(position)
    }

    fn meet(&mut self, dylib: DylibId) {
        self.met[dylib.index()] = (self.walk, self.order.len() as u32);
        self.order.push(dylib);
    }

    /// Meets what the next dylib of the order links against.
    fn follow(&mut self) -> bool {
        let Some(next) = self.order.get(self.followed).copied() else { return false };
        self.followed += 1;
        let graph = self.graph;
        for &link in graph.link_order(next) {
            if self.position(link).is_none() && graph.contains(link) {
                self.meet(link);
            }
        }
        true
    }
}

/// Who reaches a dylib.
#[derive(Debug)]
struct Backward {
    /// By dylib index: where its users begin in `users`.
    starts: Vec<u32>,
    users: Vec<DylibId>,
    /// One bit for each dylib that reaches the key.
    known: HashMap<DylibId, Vec<u64>>,
}

/// So many sets are kept.
const KEPT: usize = 1024;

impl Backward {
    fn new(graph: &DylibGraph) -> Self {
        let links = || graph.dylibs().flat_map(|dylib| graph.link_order(dylib).iter().map(move |link| (dylib, *link)));
        let mut starts = vec![0u32; graph.id_bound() + 1];
        for (_, link) in links() {
            starts[link.index() + 1] += 1;
        }
        for index in 1..starts.len() {
            starts[index] += starts[index - 1];
        }
        let mut users: Vec<Option<DylibId>> = vec![None; starts.last().copied().unwrap_or(0) as usize];
        let mut next = starts.clone();
        for (dylib, link) in links() {
            users[next[link.index()] as usize] = Some(dylib);
            next[link.index()] += 1;
        }
        Self { starts, users: users.into_iter().flatten().collect(), known: HashMap::new() }
    }

    fn reaches(&mut self, root: DylibId, dylib: DylibId) -> bool {
        if self.known.len() >= KEPT && !self.known.contains_key(&dylib) {
            self.known.clear();
        }
        let Self { starts, users, known } = self;
        let set = known.entry(dylib).or_insert_with(|| {
            let mut set = vec![0u64; starts.len().div_ceil(64)];
            let mut stack = vec![dylib];
            while let Some(next) = stack.pop() {
                let bit = 1 << (next.index() % 64);
                let word = &mut set[next.index() / 64];
                if *word & bit == 0 {
                    *word |= bit;
                    stack.extend(&users[starts[next.index()] as usize..starts[next.index() + 1] as usize]);
                }
            }
            set
        });
        set[root.index() / 64] & (1 << (root.index() % 64)) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::{Definers, Search};
    use dylib_graph::{DylibGraph, DylibId};
    use proptest::prelude::*;

    fn graph(size: usize, links: &[(usize, usize)]) -> (DylibGraph, Vec<DylibId>) {
        let mut graph = DylibGraph::new();
        let dylibs: Vec<_> = (0..size).map(|_| graph.add()).collect();
        for (from, dylib) in dylibs.iter().enumerate() {
            let order: Vec<_> =
                links.iter().filter(|(f, _)| f % size == from).map(|(_, to)| dylibs[to % size]).collect();
            graph.set_link_order(*dylib, &order).expect("of this graph");
        }
        (graph, dylibs)
    }

    proptest! {
        #[test]
        fn the_first_of_some_is_the_first_in_the_search_order(
            size in 1usize..150,
            // A chain besides, so that walks get long.
            chained in any::<bool>(),
            links in prop::collection::vec((0usize..150, 0usize..150), 0..100),
            asked in prop::collection::vec((0usize..150, prop::collection::vec(0usize..150, 0..6)), 1..40),
        ) {
            let chain = (0..if chained { size } else { 0 }).map(|at| (at, (at + 1).min(size - 1)));
            let links: Vec<_> = links.into_iter().chain(chain).collect();
            let (graph, dylibs) = graph(size, &links);
            let mut search = Search::new(&graph);
            for (root, candidates) in asked {
                let root = dylibs[root % size];
                let candidates: Vec<_> = candidates.into_iter().map(|at| dylibs[at % size]).collect();
                let order = graph.search_order(root).expect("of this graph");
                search.start(root);
                prop_assert_eq!(search.first_of(&candidates), order.iter().copied().find(|dylib| candidates.contains(dylib)));
                let walked: Vec<_> = (0..).map_while(|position| search.at(position)).collect();
                prop_assert_eq!(walked, order);
            }
        }

        #[test]
        fn an_index_holds_what_was_inserted_and_not_removed(steps in prop::collection::vec((0u64..6, 1u32..5, any::<bool>()), 0..100)) {
            let (mut index, mut model) = (Definers::<DylibId>::default(), Vec::new());
            for (hash, number, insert) in steps {
                let dylib = DylibId::new(number).expect("not zero");
                if insert {
                    index.insert(hash, dylib);
                    model.push((hash, dylib));
                } else {
                    index.remove(hash, dylib);
                    if let Some(at) = model.iter().position(|one| *one == (hash, dylib)) {
                        model.swap_remove(at);
                    }
                }
            }
            for hash in 0..6 {
                let mut found: Vec<_> = index.of(hash).collect();
                let mut expected: Vec<_> = model.iter().filter(|(h, _)| *h == hash).map(|(_, dylib)| *dylib).collect();
                found.sort_unstable();
                expected.sort_unstable();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
