//! Do real threads, with a real lock around the loader, all get through, and in a right order?

use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use dylib_graph::trace::{Call, Event, Trace};
use dylib_graph::{Close, CloseStep, DylibId, LoadError, Loader, Outcome, Step, VisitorId, rules};

/// The loader and what it made happen, under one lock, so that the trace has the loader's order.
struct Executor {
    state: Mutex<(Loader, Trace)>,
    changed: Condvar,
    /// What each dylib's initializers open.
    opens: Vec<Vec<DylibId>>,
}

impl Executor {
    fn new(links: &[Vec<DylibId>], opens: Vec<Vec<DylibId>>) -> Self {
        let mut loader = Loader::new();
        let ids: Vec<_> = links.iter().map(|_| loader.add()).collect();
        for (&id, links) in ids.iter().zip(links) {
            loader.set_link_order(id, links).unwrap();
        }
        Self { state: Mutex::new((loader, Trace::new(links))), changed: Condvar::new(), opens }
    }

    /// Calls the loader until it has an answer, waiting in between.
    fn call<T>(&self, me: VisitorId, mut call: impl FnMut(&mut Loader) -> (Option<T>, Vec<Event>)) -> T {
        let mut state = self.state.lock().unwrap();
        loop {
            let before = state.0.changes();
            let (answer, events) = call(&mut state.0);
            state.1.events.extend(events.into_iter().map(|event| (me, event)));
            if state.0.changes() != before {
                self.changed.notify_all();
            }
            if let Some(answer) = answer {
                return answer;
            }
            let seen = state.0.changes();
            let waited =
                self.changed.wait_timeout_while(state, Duration::from_secs(20), |state| state.0.changes() == seen);
            let (guard, timeout) = waited.unwrap();
            assert!(!timeout.timed_out(), "{me} waits in vain: {:?}", guard.0.waits().collect::<Vec<_>>());
            state = guard;
        }
    }

    fn open(&self, dylib: DylibId, me: VisitorId) {
        let mut open = self.call(me, |loader| match loader.begin_open(dylib, me) {
            Ok(open) => (Some(open), vec![Event::Begin { call: Call::Open, dylib }]),
            Err(LoadError::Unloading { .. }) => (None, vec![]),
            Err(error) => panic!("{error}"),
        });
        while let Some(run) = self.call(me, |loader| match loader.step(&mut open).unwrap() {
            Step::Run(run) => (Some(Some(run)), vec![Event::Init { dylib: run.dylib }]),
            Step::Wait(_) => (None, vec![]),
            Step::Ready => (Some(None), vec![]),
        }) {
            for &inner in &self.opens[run.dylib.index()] {
                self.open(inner, me);
            }
            thread::yield_now();
            self.call(me, |loader| {
                loader.completed(&mut open, Outcome::Completed);
                (Some(()), vec![Event::InitEnd { dylib: run.dylib, ok: true }])
            });
        }
        let mut open = Some(open);
        let close = self.call(me, |loader| {
            let finished = loader.finish_open(open.take().unwrap());
            assert_eq!(finished.result, Ok(dylib));
            (Some(finished.close), vec![Event::End { call: Call::Open, dylib, ok: true }])
        });
        assert!(close.is_none());
    }

    fn close(&self, dylib: DylibId, me: VisitorId) {
        let mut close = self.call(me, |loader| {
            let close = loader.begin_close(dylib, me).unwrap();
            let mut events = vec![Event::Begin { call: Call::Close, dylib }];
            if !close.dylibs().is_empty() {
                events.push(Event::Unload { dylibs: sorted(&close) });
            }
            (Some(close), events)
        });
        let mut finalizing: Option<DylibId> = None;
        while self.call(me, |loader| {
            let mut events: Vec<_> = finalizing.take().map(|dylib| Event::FiniEnd { dylib }).into_iter().collect();
            let step = loader.close_step(&mut close);
            match &step {
                CloseStep::Finalize(run) | CloseStep::Discard(run) => {
                    finalizing = Some(run.dylib);
                    events.push(Event::Fini { dylib: run.dylib });
                }
                CloseStep::Release(_) => events.push(Event::Release { dylibs: sorted(&close) }),
                CloseStep::Done => events.push(Event::End { call: Call::Close, dylib, ok: true }),
            }
            (Some(step != CloseStep::Done), events)
        }) {
            thread::yield_now();
        }
    }
}

fn sorted(close: &Close) -> Vec<DylibId> {
    let mut dylibs = close.dylibs().to_vec();
    dylibs.sort_unstable();
    dylibs
}

/// A little randomness that is the same every time.
fn numbers(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % below
    }
}

#[test]
fn rules_hold_when_real_threads_open_and_close_at_once() {
    let began = Instant::now();
    for seed in 0..60 {
        let mut number = numbers(seed + 1);
        let n = 3 + number(6);
        let id = |at: usize| DylibId::new(u32::try_from(at + 1).unwrap()).unwrap();
        let links: Vec<Vec<_>> = (0..n).map(|_| (0..number(3)).map(|_| id(number(n))).collect()).collect();
        let opens: Vec<Vec<_>> = (0..n).map(|_| (0..number(4) / 3).map(|_| id(number(n))).collect()).collect();
        let executor = Arc::new(Executor::new(&links, opens));
        let threads: Vec<_> = (0..4_u64)
            .map(|me| {
                let executor = Arc::clone(&executor);
                let mut number = numbers(seed * 4 + me + 1000);
                thread::spawn(move || {
                    for _ in 0..20 {
                        let dylib = id(number(n));
                        executor.open(dylib, VisitorId(me));
                        executor.close(dylib, VisitorId(me));
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let state = executor.state.lock().unwrap();
        state.1.check(&rules::ALL).unwrap();
        assert_eq!(state.0.waits().count(), 0);
        if began.elapsed() > Duration::from_secs(60) {
            // A busy machine: what was seen is enough.
            break;
        }
    }
}

#[test]
fn rule_12_an_initializer_joins_a_thread_that_opens_something_else() {
    let id = |number| DylibId::new(number).unwrap();
    // 1 needs 2 and 3. While 2's initializers run, another thread opens 3 and is waited for.
    let executor = Arc::new(Executor::new(&[vec![id(2), id(3)], vec![], vec![]], vec![vec![]; 3]));
    let mut open =
        executor.call(VisitorId(0), |loader| (Some(loader.begin_open(id(1), VisitorId(0)).unwrap()), vec![]));
    let mut ran = Vec::new();
    while let Some(run) = executor.call(VisitorId(0), |loader| match loader.step(&mut open).unwrap() {
        Step::Run(run) => (Some(Some(run.dylib)), vec![]),
        Step::Wait(_) => (None, vec![]),
        Step::Ready => (Some(None), vec![]),
    }) {
        ran.push(run);
        if run == id(2) {
            let other = Arc::clone(&executor);
            thread::spawn(move || other.open(id(3), VisitorId(1))).join().unwrap();
        }
        executor.call(VisitorId(0), |loader| {
            loader.completed(&mut open, Outcome::Completed);
            (Some(()), vec![])
        });
    }
    assert_eq!(ran, [id(2), id(1)]);
    let mut open = Some(open);
    let result = executor.call(VisitorId(0), |loader| (Some(loader.finish_open(open.take().unwrap()).result), vec![]));
    assert_eq!(result, Ok(id(1)));
}
