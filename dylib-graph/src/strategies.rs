//! Random graphs and programs for [`mod@proptest`], shrinking towards small ones with few links.
//!
//! You give sizes; you get strategies. Not for real dylibs, and not only for this crate's loader: build the graph or run the
//! [`Program`] with a loader of your own, and check the trace.
//!
//! An invariant of your own over random programs, whose failures shrink:
//!
//! ```
//! use dylib_graph::strategies::{programs, schedule};
//! use dylib_graph::trace::{Event, Replay};
//! use dylib_graph::{VisitorId, rules};
//! use proptest::test_runner::{TestCaseError, TestRunner};
//!
//! /// Somebody's executor has one stack of initializers: it cannot have two visitors in finalizers of the same unload.
//! fn one_finalizes(before: &Replay, visitor: VisitorId, event: &Event) -> Result<(), String> {
//!     let Event::Fini { dylib } = event else { return Ok(()) };
//!     match before.holder(*dylib) {
//!         Some(holder) if holder != visitor => Err(format!("{holder} unloads {dylib}")),
//!         _ => Ok(()),
//!     }
//! }
//!
//! TestRunner::default().run(&(programs(4, 8, 2), schedule()), |(program, schedule)| {
//!     // Or run the program with a loader of your own, which writes the trace.
//!     let run = program.run(&schedule).map_err(|deadlock| TestCaseError::fail(format!("{deadlock:?}")))?;
//!     run.trace.check(&[("one finalizes", one_finalizes)])?;
//!     // All the rules of this crate; a refutation says which, why, and what happened before.
//!     rules::check(&run.trace)?;
//!     Ok(())
//! })
//! .map_err(|error| error.to_string())?;
//! # Ok::<(), String>(())
//! ```
//!
//! And over random graphs:
//!
//! ```
//! use dylib_graph::strategies::{links, graph_of};
//! use proptest::test_runner::TestRunner;
//!
//! // The root comes last.
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
use crate::init::InitSection;
use crate::program::{Act, Program};
use crate::scope::Scope;
use crate::trace::{Definition, Kind, Mode};

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
    programs_of(max_dylibs, max_acts, threads, act)
}

/// As [`programs()`], of acts of your choice: `act` gives a strategy for so many dylibs.
pub fn programs_of<S: Strategy<Value = Act> + 'static>(
    max_dylibs: usize,
    max_acts: usize,
    threads: usize,
    act: impl Fn(usize) -> S,
) -> impl Strategy<Value = Program> {
    links(max_dylibs).prop_flat_map(move |links| {
        let n = links.len();
        let inner = || vec(prop_oneof![3 => Just(vec![]), 1 => vec(act(n), 1..3)], n);
        let threads = vec(vec(act(n), 1..=max_acts), threads);
        (Just(links), inner(), inner(), threads).prop_map(|(links, initializers, finalizers, threads)| Program {
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

/// One act with one of `n` dylibs, of every kind but for starting and joining threads (which may deadlock, rightly).
///
/// Most acts open, close and change what is opened; the rest is what code does, what surrounds it, and now and then the end of the program.
pub fn act(n: usize) -> impl Strategy<Value = Act> {
    prop_oneof![
        60 => opening(n),
        20 => inside(n),
        15 => naming(n),
        1 => dylib(n).prop_map(Act::Exit),
    ]
}

/// An open, a close, or something that matters to one.
pub fn opening(n: usize) -> impl Strategy<Value = Act> {
    prop_oneof![
        12 => dylib(n).prop_map(Act::Open),
        10 => dylib(n).prop_map(Act::Close),
        4 => dylib(n).prop_map(Act::Update),
        3 => dylib(n).prop_map(Act::Code),
        1 => (dylib(n), vec(array(), 0..5)).prop_map(|(dylib, arrays)| Act::Arrays(dylib, apart(arrays))),
        4 => (dylib(n), vec(dylib(n), 0..4)).prop_map(|(dylib, links)| Act::Link(dylib, links)),
        2 => (dylib(n), 0..4_usize).prop_map(|(dylib, limit)| Act::Cut(dylib, limit)),
        2 => dylib(n).prop_map(Act::Break),
        1 => dylib(n).prop_map(Act::Lack),
        3 => dylib(n).prop_map(Act::Mend),
        2 => dylib(n).prop_map(Act::Unload),
        2 => (dylib(n), mode()).prop_map(|(dylib, mode)| Act::OpenWith(dylib, mode)),
        2 => dylib(n).prop_map(Act::Count),
    ]
}

/// Something that the code of a dylib does, or going into and out of it.
pub fn inside(n: usize) -> impl Strategy<Value = Act> {
    let handler = prop_oneof![
        3 => Just(vec![]),
        1 => Just(vec![Act::AtExit(vec![]), Act::ThreadLocal]),
        1 => opening(n).prop_map(|act| vec![act]),
    ];
    prop_oneof![
        3 => dylib(n).prop_map(Act::Enter),
        2 => Just(Act::Leave),
        3 => handler.prop_map(Act::AtExit),
        3 => Just(Act::ThreadLocal),
        3 => Just(Act::Touch),
        2 => Just(Act::TakeError),
    ]
}

/// A definition, a lookup, or something else that is about names.
pub fn naming(n: usize) -> impl Strategy<Value = Act> {
    let scope = prop_oneof![dylib(n).prop_map(Scope::Handle), Just(Scope::Default), Just(Scope::Next),];
    prop_oneof![
        4 => (dylib(n), definition()).prop_map(|(dylib, definition)| Act::Define(dylib, definition)),
        4 => (scope, symbol()).prop_map(|(scope, symbol)| Act::Lookup(scope, symbol)),
        2 => symbol().prop_map(Act::Refer),
        1 => dylib(n).prop_map(Act::Program),
        1 => dylib(n).prop_map(Act::Apart),
        1 => (dylib(n), 0..40_u64).prop_map(|(dylib, at)| Act::Describe(dylib, at)),
        1 => (dylib(n), library()).prop_map(|(dylib, name)| Act::Named(dylib, name)),
        1 => library().prop_map(Act::Resolve),
    ]
}

/// A definition of one of three symbols.
pub fn definition() -> impl Strategy<Value = Definition> {
    let kind = prop_oneof![
        Just(Kind::Strong),
        Just(Kind::Weak),
        Just(Kind::Unique),
        Just(Kind::Hidden),
        select(vec!["g", "h"]).prop_map(|group| Kind::Group(group.into())),
    ];
    (symbol(), kind, 0..40_u64).prop_map(|(symbol, kind, at)| Definition { symbol, kind, at })
}

/// Flags of an open.
pub fn mode() -> impl Strategy<Value = Mode> {
    let rarely = || prop::bool::weighted(0.2);
    (any::<bool>(), rarely(), any::<bool>(), rarely()).prop_map(|(noload, nodelete, global, null)| Mode {
        noload,
        nodelete,
        global,
        null,
    })
}

/// An array of initializers, and how many entries it has.
pub fn array() -> impl Strategy<Value = (InitSection, u32)> {
    // Only the program's .preinit_array is run, and no dylib is the program for good here.
    let names = vec![".init_array", ".init_array.101", ".init_array.200", ".ctors", ".ctors.65434"];
    (select(names), 0..3_u32, 0..4_u32, 0..3_u32)
        .prop_filter_map("the name of an array", |(name, object, section, length)| {
            InitSection::from_name(name, object, section).map(|array| (array, length))
        })
}

/// No two arrays are the same section of the same object.
fn apart(mut arrays: Vec<(InitSection, u32)>) -> Vec<(InitSection, u32)> {
    for (number, (array, _)) in (0..).zip(&mut arrays) {
        array.section = 4 * number + array.section % 4;
    }
    arrays
}

fn symbol() -> impl Strategy<Value = String> {
    select(vec!["x", "y", "z"]).prop_map(str::to_owned)
}

fn library() -> impl Strategy<Value = String> {
    select(vec!["a.so", "b.so", "libc.so.6"]).prop_map(str::to_owned)
}

/// One of `n` dylibs.
pub fn dylib(n: usize) -> impl Strategy<Value = DylibId> {
    select((0..n).map(DylibId::at).collect::<Vec<_>>())
}
