//! How one row of the table is measured: calls one after the other, and from several threads at once.

use std::hint::black_box;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use dispatch::dispatcher::Inline;
use dispatch::transport::Transport;
use dispatch::{Caller, Connect, Peer, Registry, Reply, Setup, Tag};

const COUNT: Tag = Tag(1);

pub(crate) fn services() -> Arc<Registry> {
    let registry = Registry::new();
    registry.add(COUNT, |args: &[u8]| Reply::packed(&(args.len() as u64))).expect("the first handler");
    Arc::new(registry)
}

/// A controller whose executor is a thread that serves.
pub(crate) fn connect<A: Transport, B: Transport + Send + 'static>(here: A, there: B) -> Peer {
    thread::spawn(move || serve(there));
    control(here)
}

pub(crate) fn control(here: impl Transport) -> Peer {
    Connect::controller().over(here).expect("the executor says Setup")
}

/// Serves until the controller leaves.
pub(crate) fn serve(there: impl Transport) {
    let connect = Connect::executor(Setup::default()).handlers(services()).dispatcher(Inline).background(0);
    connect.over(there).expect("the controller listens").serve();
}

/// The median and the 99th percentile of single calls.
fn times(caller: &dyn Caller, args: &[u8], batch: u32) -> [Duration; 2] {
    const TIMES: usize = 3000;
    let call = |_| {
        let start = Instant::now();
        for _ in 0..batch {
            black_box(caller.call(COUNT, black_box(args))).expect("it is served");
        }
        start.elapsed() / batch
    };
    // The first ones start threads and fill caches.
    (0..TIMES / 10).map(call).for_each(|_| {});
    let mut times: Vec<Duration> = (0..TIMES).map(call).collect();
    times.sort_unstable();
    [times[TIMES / 2], times[TIMES * 99 / 100]]
}

fn calls_per_second(caller: &(impl Caller + Clone + 'static), threads: usize) -> f64 {
    const CALLS: usize = 40_000;
    let start = Instant::now();
    let workers: Vec<_> = (0..threads)
        .map(|_| {
            let caller = caller.clone();
            thread::spawn(move || {
                for _ in 0..CALLS / threads {
                    black_box(caller.call(COUNT, b"")).expect("it is served");
                }
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().expect("no call fails"));
    CALLS as f64 / start.elapsed().as_secs_f64()
}

/// The heads of the columns.
pub(crate) fn head() -> String {
    let calls = ["k/s: 1", "8", "64 threads"];
    format!("{:<12} {:>10} {:>10} {:>10} {:>8} {:>8} {:>10}", "", "empty", "p99", "1 MiB", calls[0], calls[1], calls[2])
}

/// A row. `batch` calls are timed together, for calls that take no longer than looking at the clock.
pub(crate) fn row(name: &str, caller: &(impl Caller + Clone + 'static), batch: u32) -> String {
    let [empty, late] = times(caller, &[], batch);
    let [large, _] = times(caller, &vec![1; 1 << 20], batch);
    let [one, eight, many] = [1, 8, 64].map(|threads| calls_per_second(caller, threads) / 1000.0);
    format!("{name:<12} {empty:>10.2?} {late:>10.2?} {large:>10.2?} {one:>8.0} {eight:>8.0} {many:>10.0}")
}
