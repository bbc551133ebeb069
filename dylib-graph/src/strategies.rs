//! Random graphs and programs for [`mod@proptest`], shrinking towards small ones with few links.
//!
//! You give sizes; you get strategies. Not for real dylibs, and not only for this crate's loader: build the graph or run the
//! [`Program`] with a loader of your own, and check the trace.
//!
//! ```
//! use dylib_graph::strategies::{links, graph_of};
//! use proptest::test_runner::TestRunner;
//!
//! // An invariant of your own: the root comes last.
//! TestRunner::default().run(&links(8), |links| {
//!     let (graph, ids) = graph_of(&links);
//!     let order = graph.init_order(ids[0]).unwrap();
//!     assert_eq!(order.dylibs().last(), Some(&ids[0]));
//!     Ok(())
//! })?;
//! # Ok::<(), proptest::test_runner::TestError<Vec<Vec<dylib_graph::DylibId>>>>(())
//! ```

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::graph::{DylibGraph, DylibId};
use crate::program::{Act, Program};

/// Link orders of 1 to `max` dylibs, of every shape that this module knows.
///
/// # Panics
/// When `max` is 0.
pub fn links(max: usize) -> impl Strategy<Value = Vec<Vec<DylibId>>> {
    prop_oneof![4 => random(max), 1 => chain(max), 1 => fan(max), 1 => cycle(max), 2 => cycles(max), 1 => dense(max)]
}

/// Any links at all, also self-links and repeated ones.
pub fn random(max: usize) -> impl Strategy<Value = Vec<Vec<DylibId>>> {
    (1..=max).prop_flat_map(|n| vec(vec(dylib(n), 0..4), n))
}

/// Each dylib links against the next.
pub fn chain(max: usize) -> impl Strategy<Value = Vec<Vec<DylibId>>> {
    (1..=max).prop_map(|n| (1..=n).map(|next| if next < n { vec![DylibId::at(next)] } else { vec![] }).collect())
}

/// The first dylib links against all others, in any order.
pub fn fan(max: usize) -> impl Strategy<Value = Vec<Vec<DylibId>>> {
    (1..=max).prop_flat_map(|n| Just((1..n).map(DylibId::at).collect::<Vec<_>>()).prop_shuffle()).prop_map(|leaves| {
        let mut links = vec![vec![]; leaves.len() + 1];
        links[0] = leaves;
        links
    })
}

/// Each dylib links against the next, and the last against the first.
pub fn cycle(max: usize) -> impl Strategy<Value = Vec<Vec<DylibId>>> {
    (1..=max).prop_map(|n| (1..=n).map(|next| vec![DylibId::at(next % n)]).collect())
}

/// Small cycles, and a few links from one to another.
pub fn cycles(max: usize) -> impl Strategy<Value = Vec<Vec<DylibId>>> {
    (1..=max, 1..=4_usize).prop_flat_map(|(n, size)| {
        let next =
            move |at: usize| DylibId::at(if at % size + 1 < size && at + 1 < n { at + 1 } else { at - at % size });
        vec(vec(dylib(n), 0..2), n).prop_map(move |mut links| {
            links.iter_mut().enumerate().for_each(|(at, links)| links.push(next(at)));
            links
        })
    })
}

/// Most dylibs link against most others.
pub fn dense(max: usize) -> impl Strategy<Value = Vec<Vec<DylibId>>> {
    (1..=max).prop_flat_map(|n| vec(vec(dylib(n), n / 2..=n), n))
}

/// A graph with these link orders, and its dylibs.
///
/// # Panics
/// When a link order names a dylib beyond the number of link orders.
#[must_use]
pub fn graph_of(links: &[Vec<DylibId>]) -> (DylibGraph, Vec<DylibId>) {
    let mut graph = DylibGraph::new();
    let ids: Vec<_> = links.iter().map(|_| graph.add()).collect();
    for (&id, links) in ids.iter().zip(links) {
        graph.set_link_order(id, links).expect("links name dylibs of the graph");
    }
    (graph, ids)
}

/// Programs of one thread, whose initializers and finalizers open, close, update, link and fail as well.
pub fn program(max_dylibs: usize, max_acts: usize) -> impl Strategy<Value = Program> {
    programs(max_dylibs, max_acts, 1)
}

/// As [`program()`], with several threads at once.
pub fn programs(max_dylibs: usize, max_acts: usize, threads: usize) -> impl Strategy<Value = Program> {
    links(max_dylibs).prop_flat_map(move |links| {
        let n = links.len();
        let inner = vec(prop_oneof![3 => Just(vec![]), 1 => vec(act(n), 1..3)], n);
        let threads = vec(vec(act(n), 1..=max_acts), threads);
        (Just(links), inner.clone(), inner, threads).prop_map(|(links, initializers, finalizers, threads)| Program {
            links,
            initializers,
            finalizers,
            threads,
        })
    })
}

/// Which thread goes next, for [`Program::run`].
pub fn schedule() -> impl Strategy<Value = Vec<u8>> {
    vec(0_u8..4, 0..200)
}

/// One act with one of `n` dylibs.
pub fn act(n: usize) -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => dylib(n).prop_map(Act::Open),
        5 => dylib(n).prop_map(Act::Close),
        2 => dylib(n).prop_map(Act::Update),
        2 => dylib(n).prop_map(Act::Code),
        2 => (dylib(n), vec(dylib(n), 0..4)).prop_map(|(dylib, links)| Act::Link(dylib, links)),
        1 => (dylib(n), 0..4_usize).prop_map(|(dylib, limit)| Act::Cut(dylib, limit)),
        1 => dylib(n).prop_map(Act::Break),
        1 => dylib(n).prop_map(Act::Mend),
        1 => dylib(n).prop_map(Act::Unload),
    ]
}

/// One of `n` dylibs.
pub fn dylib(n: usize) -> impl Strategy<Value = DylibId> {
    select((0..n).map(DylibId::at).collect::<Vec<_>>())
}
