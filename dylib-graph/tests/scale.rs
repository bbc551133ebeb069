//! Do a million dylibs work, on a small stack, in near-linear time (rule 5)?

use std::time::{Duration, Instant};

use dylib_graph::{CloseStep, DylibGraph, DylibId, Loader, Outcome, Step, VisitorId};

const MILLION: usize = 1_000_000;

/// Runs `work` where recursion over the input would overflow at once.
fn on_small_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new().stack_size(512 * 1024).spawn(work).unwrap().join().unwrap()
}

/// `n` dylibs; `links` says what each links against, by index.
fn graph(n: usize, links: impl Fn(usize, &[DylibId], &mut Vec<DylibId>)) -> (DylibGraph, Vec<DylibId>) {
    let mut graph = DylibGraph::new();
    let ids: Vec<_> = (0..n).map(|_| graph.add()).collect();
    let mut order = Vec::new();
    for at in 0..n {
        order.clear();
        links(at, &ids, &mut order);
        graph.set_link_order(ids[at], &order).unwrap();
    }
    (graph, ids)
}

type Shape = fn(usize) -> (DylibGraph, Vec<DylibId>);

fn chain(n: usize) -> (DylibGraph, Vec<DylibId>) {
    graph(n, |at, ids, links| links.extend(ids.get(at + 1)))
}

fn fan(n: usize) -> (DylibGraph, Vec<DylibId>) {
    graph(n, |at, ids, links| links.extend(if at == 0 { &ids[1..] } else { &[] }))
}

fn cycle(n: usize) -> (DylibGraph, Vec<DylibId>) {
    graph(n, move |at, ids, links| links.push(ids[(at + 1) % n]))
}

/// Opens and closes the first dylib; returns how many ran, and how long it took.
fn open_and_close(graph: &DylibGraph, ids: &[DylibId]) -> (usize, Duration) {
    let mut loader = Loader::new();
    for &id in ids {
        loader.ensure(id).unwrap();
    }
    for &id in ids {
        loader.set_link_order(id, graph.link_order(id)).unwrap();
    }
    let visitor = VisitorId(0);
    let began = Instant::now();
    let mut open = loader.begin_open(ids[0], visitor).unwrap();
    let mut ran = Vec::new();
    while let Step::Run(run) = loader.step(&mut open).unwrap() {
        ran.push(run);
        loader.completed(&mut open, Outcome::Completed);
    }
    assert_eq!(loader.finish_open(open).result, Ok(ids[0]));
    let mut close = loader.begin_close(ids[0], visitor).unwrap();
    let mut undone = 0;
    loop {
        match loader.close_step(&mut close) {
            CloseStep::Finalize(run) => {
                undone += 1;
                assert_eq!(run, ran[ran.len() - undone], "finalizers run in exact reverse");
            }
            CloseStep::Release(dylibs) => assert_eq!(dylibs.len(), ran.len()),
            CloseStep::Discard(run) => panic!("{run:?} did not throw"),
            CloseStep::Done => break,
        }
    }
    assert_eq!(undone, ran.len());
    (ran.len(), began.elapsed())
}

#[test]
fn rule_05_a_chain_of_a_million_has_an_order() {
    on_small_stack(|| {
        let (graph, mut ids) = chain(MILLION);
        let order = graph.init_order(ids[0]).unwrap();
        assert_eq!(order.sets().len(), MILLION);
        assert_eq!(graph.search_order(ids[0]).unwrap(), ids);
        ids.reverse();
        assert_eq!(order.dylibs(), ids);
    });
}

#[test]
fn rule_05_a_fan_of_a_million_has_an_order() {
    on_small_stack(|| {
        let (graph, mut ids) = fan(MILLION);
        assert_eq!(graph.search_order(ids[0]).unwrap(), ids);
        ids.rotate_left(1);
        assert_eq!(graph.init_order(ids[MILLION - 1]).unwrap().dylibs(), ids);
    });
}

#[test]
fn rule_05_a_cycle_of_a_million_is_one_set() {
    on_small_stack(|| {
        let (graph, ids) = cycle(MILLION);
        let order = graph.init_order(ids[0]).unwrap();
        assert_eq!(order.sets().len(), 1);
        assert_eq!(order.dylibs().first(), ids.last());
    });
}

#[test]
fn rule_05_a_million_dylibs_open_and_close() {
    on_small_stack(|| {
        for (graph, ids) in [chain(MILLION), fan(MILLION), cycle(MILLION)] {
            assert_eq!(open_and_close(&graph, &ids).0, MILLION);
        }
    });
}

#[test]
fn rule_05_time_is_near_linear() {
    on_small_stack(|| {
        for shape in [chain as Shape, fan, cycle] {
            // As much work in small pieces as in one: how busy the machine is matters to both alike.
            let time = |pieces: usize| {
                let (graph, ids) = shape(MILLION / pieces);
                let once = || (0..pieces).map(|_| open_and_close(&graph, &ids).1).sum::<Duration>();
                once().min(once())
            };
            let (small, large) = (time(100), time(1));
            // A quadratic step would take 100 times as long.
            assert!(large < small * 40, "in pieces of 10,000: {small:?}, in one: {large:?}");
        }
    });
}

#[test]
fn rule_05_opens_that_find_everything_done_do_not_walk() {
    let (graph, ids) = chain(100_000);
    let mut loader = Loader::new();
    for &id in &ids {
        loader.ensure(id).unwrap();
    }
    for &id in &ids {
        loader.set_link_order(id, graph.link_order(id)).unwrap();
    }
    let visitor = VisitorId(0);
    let began = Instant::now();
    for _ in 0..100_000 {
        let mut open = loader.begin_open(ids[0], visitor).unwrap();
        while let Step::Run(_) = loader.step(&mut open).unwrap() {
            loader.completed(&mut open, Outcome::Completed);
        }
        assert_eq!(loader.finish_open(open).result, Ok(ids[0]));
    }
    assert_eq!(loader.count(ids[0]), 100_000);
    assert!(loader.is_settled(ids[0]));
    // 10^10 steps if each open walked the chain.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}
