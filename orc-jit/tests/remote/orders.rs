//! Is what a program does the same, however slowly and in whatever legal order its messages travel?

use crate::opens;
use crate::support::{Listener, World, in_time, pump};
use dispatch::layer::fault::Fault;
use dispatch::layer::reorder::Reorder;
use dispatch::transport::{Transport, channel};
use orc_jit::executor::remote::RemoteOptions;
use orc_jit::executor::{Executor, Remote};
use orc_jit::{Error, InProcess};
use std::thread;
use std::time::Duration;

/// `main` needs `left` and `right`; an initializer of `left` opens `extra`; `right` starts a process if its argument says so, and leaves its
/// number in the file named behind that.
pub(crate) fn fill<E: Executor>(world: &World<E>) {
    world.c("extra", "BOTH(\"extra\") int extra(void) { return 5; }");
    // What cannot go on stands still: the trace of a connection that was cut is the beginning of a whole one.
    world.c(
        "left",
        "static void *handle; static __attribute__((constructor)) void i(void) { NOTE(\"left begins\");\n\
         handle = dlopen(\"extra\", RTLD_NOW); if (!handle) for (;;) pause(); NOTE(\"left\"); }\n\
         static __attribute__((destructor)) void f(void) { NOTE(\"~left\"); dlclose(handle); }\n\
         int left(void) { int (*extra)(void) = dlsym(handle, \"extra\"); if (!extra) for (;;) pause(); return extra(); }",
    );
    world.c(
        "right",
        "static __attribute__((constructor)) void i(int argc, char **argv, char **envp) {\n\
         if (argc > 3 && !strcmp(argv[2], \"fork\")) { int child = fork(); if (!child) for (;;) pause();\n\
            FILE *file = fopen(argv[3], \"w\"); fprintf(file, \"%d\\n\", child); fclose(file); }\n\
         NOTE(\"right\"); } FINI(\"right\") __thread int right = 3;",
    );
    world.c(
        "main",
        "int left(void); extern __thread int right; static void handler(void) { NOTE(\"handler\"); }\n\
         BOTH(\"main\") int main(void) { NOTE(\"work\"); atexit(handler); return left() + ++right; }",
    );
    world.links("main", &["left", "right"]);
}

/// Opens, looks up, runs, closes.
pub(crate) fn script<E: Executor>(world: &World<E>) -> Result<i32, Error> {
    let main = world.try_open("main")?;
    let status = world.try_call(&main, "main")?;
    main.close()?;
    Ok(status)
}

pub(crate) const STATUS: i32 = 9;

pub(crate) const TRACE: [&str; 11] =
    ["left begins", "extra", "left", "right", "main", "work", "handler", "~main", "~right", "~left", "~extra"];

#[test]
fn in_this_process_the_trace_is_that_of_the_rules() {
    let world = World::over(InProcess::new());
    fill(&world);
    assert_eq!(script(&world).expect("it runs"), STATUS);
    assert_eq!(world.trace(), TRACE);
}

fn same_over(what: &str, transport: impl Transport + Send + 'static) {
    let world = in_time(Duration::from_secs(20), what, move || {
        let mut options = RemoteOptions::default();
        options.heartbeat = None;
        let world = World::over(Remote::over(transport, options).expect("an executor"));
        fill(&world);
        assert_eq!(script(&world).expect("it runs"), STATUS);
        assert_eq!(world.trace(), TRACE);
        assert_eq!(script(&world).expect("it runs again"), STATUS);
        assert_eq!(world.trace(), TRACE);
        world
    });
    drop(world);
}

#[test]
fn delays_change_nothing() {
    let listener = Listener::unix();
    same_over("a delayed program", Fault::new(listener.connect_unix()).delay(Duration::from_millis(1)));
    for seed in 0..4 {
        let jitter = Fault::new(listener.connect_unix()).jitter(Duration::from_millis(2), seed);
        same_over("a jittered program", jitter);
        let stalled = Fault::new(listener.connect_unix()).stall_at(10 + seed, Duration::from_millis(200));
        same_over("a stalled program", stalled);
    }
}

/// A connection that both sides reorder.
fn reordered(listener: &Listener, seed: u64) -> impl Transport + Send + 'static {
    let (here, there) = channel::pair();
    let socket = listener.connect_unix();
    thread::spawn(move || pump(Reorder::new(there, seed + 1), socket));
    Reorder::new(here, seed)
}

#[test]
fn another_legal_order_changes_nothing() {
    let listener = Listener::unix();
    for seed in 0..6 {
        same_over("a reordered program", reordered(&listener, seed * 1000));
    }
    let world = World::over(Remote::over(reordered(&listener, 77), RemoteOptions::default()).expect("an executor"));
    assert_eq!(opens::nested(&world), opens::expected());
}
