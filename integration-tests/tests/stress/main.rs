//! Does it all hold when sixteen threads open, close, look up and update two hundred dylibs at random?
//!
//! In this process and in a spawned executor. The initializers and finalizers are linked code: each takes the next number of a counter that all share
//! and tells what it found in its own data. First the link orders stay, and the trace is checked by `dylib_graph::rules`; then code is
//! added and link orders change, cycles included, and what has to hold all the same is checked. At the end everything is closed, and
//! memory, registrations and kernel mappings are what they were.
//!
//! `ORC_STRESS_SECONDS` says for how long each executor is tried (otherwise [`SECONDS`]), `ORC_STRESS_THREADS` and `ORC_STRESS_DYLIBS` how
//! large it is, `ORC_STRESS_SEED` repeats the choices of a run (not its schedule).

mod check;
mod choice;
mod world;

use check::Checks;
use integration_tests::executor::Kind;
use integration_tests::workplace::Workplace;
use orc_jit::executor::remote::{Place, Remote, RemoteOptions};
use orc_jit::executor::{Executor, InProcess};
use std::fmt::Write as _;
use std::time::Duration;
use world::{Size, Usage, World};

const SECONDS: u64 = 5;

fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable)
        .map_or(usual, |text| text.parse().unwrap_or_else(|error| panic!("{variable}={text}: {error}")))
}

fn size() -> Size {
    Size {
        threads: number("ORC_STRESS_THREADS", 16) as usize,
        dylibs: number("ORC_STRESS_DYLIBS", 200) as usize,
        seed: number("ORC_STRESS_SEED", u64::from(std::process::id())),
    }
}

/// Everything, with one executor; a line says how much it was.
fn stress<E: Executor>(executor: E, usage: impl Fn(&E) -> Usage) {
    let time = Duration::from_secs(number("ORC_STRESS_SECONDS", SECONDS));
    let size = size();
    let world = World::new(executor, size);
    // Once, so that what is made once is made.
    world.open_and_close_all();
    world.run(time / 50, false);
    world.take();
    let before = usage(world.session.executor());
    let fixed = world.run(time / 2, false);
    let trace = world.take();
    let checks = Checks { links: world.links(), seed: size.seed };
    checks.alternates(&trace);
    checks.rules(&trace);
    let changing = world.run(time / 2, true);
    world.open_and_close_all();
    let changed = world.take();
    checks.alternates(&changed);
    let after = usage(world.session.executor());
    after.is_as(&before, size.seed);
    let mut line =
        format!("{} threads, {} dylibs, seed {}: {fixed} with the same links, ", size.threads, size.dylibs, size.seed);
    write!(line, "{changing} with changes, {} initializers; {before}, then {after}", trace.len() + changed.len())
        .expect("a string");
    eprintln!("{line}");
    drop(world);
}

#[test]
fn threads_open_close_look_up_and_update_at_random_in_this_process() {
    stress(InProcess::new(), |executor| Usage {
        slab: executor.runtime().slab().usage().used,
        registered: executor.runtime().ledger().len(),
        ..Usage::of(std::process::id())
    });
}

#[test]
fn threads_open_close_look_up_and_update_at_random_in_a_spawned_executor() {
    let workplace = Workplace::of_this_test().unwrap_or_else(|why| panic!("{why}"));
    if !workplace.kinds.contains(&Kind::Spawn) {
        assert_ne!(workplace.kinds, Kind::ALL, "left out only when asked for");
        return;
    }
    let executors = workplace.executors.as_deref().expect("an orc-executor");
    let place = Place::Spawn { path: Some(executors.program().to_owned()), arguments: Vec::new() };
    let remote = Remote::connect(&place, RemoteOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    stress(remote, |executor| Usage::of(executor.process()));
}
