//! What planning costs: orders, the beginning of an open, a reopen, the check for cycles of waits.
//!
//! ```text
//! cargo bench -p dylib-graph --bench planning
//! ```
//!
//! Prints medians, in nanoseconds for each dylib of graphs of 10,000 and of 1,000,000, and the exponent e of time ~ size^e between the two: 1 is
//! linear. A larger graph leaves the caches, so a little more than 1 is memory and not work. Times are those on the processor where the system tells
//! them (Linux), so that a busy machine shows a little and not a lot.

#![allow(clippy::print_stdout, reason = "a bench prints its table")]

use dylib_graph::scope::{Scope, search_scope};
use dylib_graph::{DylibGraph, DylibId, Loader, Outcome, Step, VisitorId, Walker};
use std::hint::black_box;
use std::time::Instant;

const SMALL: usize = 10_000;
const LARGE: usize = 1_000_000;
const REOPENS: u32 = 1_000_000;

type Shape = fn(usize) -> Vec<Vec<u32>>;

fn main() {
    let shapes: [(&str, Shape); 5] =
        [("chain", chain), ("fan", fan), ("random, sparse", random), ("layered", layered), ("one cycle", cycle)];
    println!("| graph | what | 10,000: ns per dylib | 1,000,000: ns per dylib | exponent |");
    println!("|---|---|---:|---:|---:|");
    for (name, shape) in shapes {
        let [small, large] = [SMALL, LARGE].map(|n| measure(&shape(n)));
        for ((what, small), (_, large)) in small.into_iter().zip(large) {
            let per = |time: f64, n: usize| time / n as f64;
            let exponent = (large / small).ln() / (LARGE as f64 / SMALL as f64).ln();
            println!("| {name} | {what} | {:.1} | {:.1} | {exponent:.2} |", per(small, SMALL), per(large, LARGE));
        }
    }
    println!();
    println!("| what | ns |");
    println!("|---|---:|");
    for n in [1, SMALL] {
        println!("| open and close of an open dylib that reaches {n} | {:.1} |", reopen(n));
    }
    for visitors in [2, 1_000, 10_000] {
        println!("| to find that {visitors} visitors would wait in a cycle | {:.0} |", wait_cycle(visitors));
    }
}

/// The medians of what is planned for one graph, in nanoseconds.
fn measure(links: &[Vec<u32>]) -> Vec<(&'static str, f64)> {
    let mut graph = DylibGraph::new();
    let ids: Vec<_> = links.iter().map(|_| graph.add()).collect();
    let mut loader = Loader::new();
    for _ in &ids {
        loader.add();
    }
    for (at, links) in links.iter().enumerate() {
        let links: Vec<_> = links.iter().map(|&link| ids[link as usize]).collect();
        graph.set_link_order(ids[at], &links).expect("of this graph");
        loader.set_link_order(ids[at], &links).expect("of this graph");
    }
    let root = ids[0];
    let mut walker = Walker::new();
    let orders = median(5, || drop(black_box(walker.init_order(&graph, root))));
    let searches = median(5, || drop(black_box(walker.search_order(&graph, root))));
    let last = ids[ids.len() - 1];
    let globals = [ids[ids.len() / 2], last];
    let scopes = median(5, || {
        drop(black_box(search_scope(&graph, Scope::Default, Some(root), &globals, Some(last))));
    });
    let plans = median(5, || {
        let open = loader.begin_open(root, VisitorId(0)).expect("nothing is wrong with it");
        black_box(loader.abandon_open(open));
    });
    let whole = median(5, || open_and_close(&mut loader, root));
    vec![
        ("init order", orders),
        ("search order", searches),
        ("default scope", scopes),
        ("begin an open, give up", plans),
        ("open and close", whole),
    ]
}

fn open_and_close(loader: &mut Loader, root: DylibId) {
    open(loader, root);
    let mut close = loader.begin_close(root, VisitorId(0)).expect("it is open");
    while loader.close_step(&mut close) != dylib_graph::CloseStep::Done {}
}

fn open(loader: &mut Loader, root: DylibId) {
    let mut open = loader.begin_open(root, VisitorId(0)).expect("nothing is wrong with it");
    while let Ok(Step::Run(run)) = loader.step(&mut open) {
        black_box(run);
        loader.completed(&mut open, Outcome::Completed);
    }
    loader.finish_open(open).result.expect("nothing threw");
}

/// One more open and its close, where everything is initialized.
fn reopen(n: usize) -> f64 {
    let mut loader = Loader::new();
    let ids: Vec<_> = (0..n).map(|_| loader.add()).collect();
    for pair in ids.windows(2) {
        loader.set_link_order(pair[0], &pair[1..]).expect("of this graph");
    }
    open(&mut loader, ids[0]);
    let all = median(5, || (0..REOPENS).for_each(|_| open_and_close(&mut loader, ids[0])));
    all / f64::from(REOPENS)
}

/// A ring of visitors, each inside a dylib's initializer and waiting for the next dylib, but for the last one, who asks.
fn wait_cycle(visitors: usize) -> f64 {
    let mut loader = Loader::new();
    let ids: Vec<_> = (0..visitors).map(|_| loader.add()).collect();
    let visitor = |at: usize| VisitorId(at as u64);
    let mut opens = Vec::new();
    for (at, &id) in ids.iter().enumerate() {
        let mut open = loader.begin_open(id, visitor(at)).expect("nothing is wrong with it");
        let step = loader.step(&mut open);
        assert!(matches!(step, Ok(Step::Run(_))), "nobody else is at {id}");
        opens.push(open);
    }
    for (at, &next) in ids.iter().enumerate().skip(1) {
        let mut open = loader.begin_open(next, visitor(at - 1)).expect("nothing is wrong with it");
        assert_eq!(loader.step(&mut open), Ok(Step::Wait(next)));
        opens.push(open);
    }
    let last = visitor(visitors - 1);
    median(5, || {
        let mut open = loader.begin_open(ids[0], last).expect("nothing is wrong with it");
        assert_eq!(loader.step(&mut open), Ok(Step::Ready), "waiting would close the cycle");
        black_box(loader.abandon_open(open));
    })
}

/// The median of some rounds, in nanoseconds for one piece of work. A round repeats it for a tenth of a second, since the system's clock of a thread
/// may go in steps of milliseconds.
fn median(rounds: usize, mut work: impl FnMut()) -> f64 {
    let began = Instant::now();
    work();
    let repeats = (100_000_000 / began.elapsed().as_nanos().max(1)).clamp(1, 10_000) as u32;
    let mut times: Vec<_> = (0..rounds)
        .map(|_| {
            let (began, ran) = (Instant::now(), on_processor());
            (0..repeats).for_each(|_| work());
            let time = match (ran, on_processor()) {
                (Some(before), Some(after)) if after > before => (after - before) as f64,
                _ => began.elapsed().as_nanos() as f64,
            };
            time / f64::from(repeats)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[rounds / 2]
}

/// How many nanoseconds this thread has run.
fn on_processor() -> Option<u64> {
    std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
}

fn number(index: usize) -> u32 {
    u32::try_from(index).expect("graphs are smaller than that")
}

fn chain(n: usize) -> Vec<Vec<u32>> {
    (1..=n).map(|next| if next < n { vec![number(next)] } else { vec![] }).collect()
}

fn fan(n: usize) -> Vec<Vec<u32>> {
    let mut links = vec![vec![]; n];
    links[0] = (1..number(n)).collect();
    links
}

fn cycle(n: usize) -> Vec<Vec<u32>> {
    (1..=n).map(|next| vec![number(next % n)]).collect()
}

/// A tree that reaches everything, and two links anywhere from each dylib.
fn random(n: usize) -> Vec<Vec<u32>> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).expect("31 bits") % n
    };
    let mut links = vec![vec![]; n];
    for at in 1..n {
        let parent = below(at);
        links[parent].push(number(at));
        for _ in 0..2 {
            links[at].push(number(below(n)));
        }
    }
    links
}

/// Layers of a hundred dylibs, each of which links against three of the next layer; the first dylib links against the whole first layer.
fn layered(n: usize) -> Vec<Vec<u32>> {
    const WIDTH: usize = 100;
    let mut links = vec![vec![]; n];
    links[0] = (1..=number(WIDTH.min(n - 1))).collect();
    for (at, links) in links.iter_mut().enumerate().skip(1) {
        let layer = (at - 1) / WIDTH + 1;
        let next = (0..3).map(|step| 1 + layer * WIDTH + (at * 7 + step * 31) % WIDTH).filter(|&next| next < n);
        links.extend(next.map(number));
    }
    links
}
