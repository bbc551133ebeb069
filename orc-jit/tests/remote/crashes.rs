//! When an executor dies, is it told how and where, to everybody who waits?

use crate::common::compile;
use crate::support::{Listener, Places, World, is_alive, parent, spawn, wait_for};
use orc_jit::diagnose::{Access, Ending};
use orc_jit::executor::Executor as _;
use orc_jit::executor::remote::Place;
use orc_jit::{Error, Session};
use rustix::process::{Pid, Signal, kill_process};
use std::thread;
use std::time::{Duration, Instant};

/// The fault is in line 4 of a file; the initializer in line 8 calls for it.
const BOOM: &str = "#line 1 \"boom.c\"\n\
    __attribute__((noinline)) static void spoil(int *target)\n\
    {\n\
    __asm__ volatile(\"\" ::: \"memory\");\n\
    *target = 1;\n\
    }\n\
    __attribute__((constructor)) static void on_init(void)\n\
    {\n\
    spoil(0);\n\
    __asm__ volatile(\"\" ::: \"memory\");\n\
    }\n";

fn boom(world: &World) {
    let object = compile(&["gcc", "-x", "c", "-g"], BOOM);
    world.dylib("bad").add_object("boom.o", object).expect("a live session");
}

#[test]
fn a_null_pointer_in_an_initializer_is_told_in_full() {
    let places = Places::new();
    for (place, wanted, _) in places.all() {
        let world = World::with(&place, |options| options.share_memory = wanted);
        boom(&world);
        let error = world.try_open("bad").expect_err("it dies");
        let Error::Ended(crash) = &error else { panic!("{place}: {error:?}") };
        assert_eq!((crash.ending, crash.exit_code()), (Ending::Signal(11), 139), "{place}");
        let fault = crash.fault.as_ref().expect("it could tell");
        assert_eq!((fault.address, fault.access, fault.thread.as_deref()), (0, Some(Access::Write), None), "{place}");
        let functions: Vec<&str> = crash.frames.iter().map(|frame| frame.function.as_str()).collect();
        assert_eq!(functions, ["spoil", "on_init"], "{place}");
        let lines = crash.frames.iter().map(|frame| {
            let place = frame.places.first().expect("a place in the object");
            let line = place.line.as_ref().expect("-g");
            (frame.dylib.as_deref(), place.object.as_str(), line.file.ends_with("boom.c"), line.line)
        });
        let expected = [(Some("bad"), "boom.o", true, 4), (Some("bad"), "boom.o", true, 8)];
        assert_eq!(lines.collect::<Vec<_>>(), expected, "{place}");
        assert_eq!(crash.last_calls.last().map(String::as_str), Some("finalize memory"), "{place}: {crash:?}");
        assert!(crash.last_calls.iter().any(|call| call.contains("open")), "{place}: {crash:?}");
        let report = error.reports()[0].to_string();
        for part in [
            "SIGSEGV",
            "it wrote address 0x0, through a null pointer",
            "in spoil+",
            "boom.c:4",
            "(boom.o:(.text+",
            "dylib bad",
        ] {
            assert!(report.contains(part), "{place}: {part} is not in\n{report}");
        }
    }
}

#[test]
fn calls_of_other_threads_fail_with_how_it_ended() {
    let world = World::at(&spawn());
    boom(&world);
    world.c("main", "int main(void) { NOTE(\"waits\"); for (;;) pause(); }");
    let main = world.open("main");
    thread::scope(|scope| {
        let waiting = [0, 1, 2].map(|_| scope.spawn(|| world.try_call(&main, "main")));
        let mut seen = 0;
        wait_for("the other calls", || {
            seen += world.trace().len();
            seen == 3
        });
        let before = Instant::now();
        assert!(matches!(world.session.open("bad"), Err(Error::Ended(_))));
        for other in waiting {
            let error = other.join().expect("no panic").expect_err("it has no answer");
            let Error::Ended(crash) = &error else { panic!("{error:?}") };
            assert_eq!(crash.ending, Ending::Signal(11));
            assert!(error.to_string().contains("ended by signal 11 (SIGSEGV)"), "{error}");
        }
        assert!(before.elapsed() < Duration::from_secs(5));
    });
    // The connection says it too.
    let peer = world.session.executor().peer();
    let reason = peer.wait_closed().reason.clone();
    assert!(reason.contains("ended by signal 11 (SIGSEGV)") && reason.contains("about address 0x0"), "{reason}");
    let error = world.session.open("main").expect_err("it is gone");
    assert!(matches!(error, Error::Ended(_)), "{error:?}");
}

#[test]
fn a_fault_in_a_thread_of_the_program_names_it() {
    let world = World::at(&spawn());
    world.c(
        "main",
        "static void *run(void *p) { prctl(15, \"sweeper\"); *(volatile int *)16; return 0; }\n\
         int main(void) { pthread_t t; pthread_create(&t, 0, run, 0); pthread_join(t, 0); return 0; }",
    );
    let Err(Error::Ended(crash)) = world.run("main") else { panic!("it dies") };
    let fault = crash.fault.as_ref().expect("it could tell");
    assert_eq!((fault.address, fault.access), (16, Some(Access::Read)));
    assert_eq!(fault.thread.as_deref(), Some("sweeper"));
    assert_eq!(crash.frames.first().map(|frame| frame.function.as_str()), Some("run"));
}

#[test]
fn a_full_stack_is_told_as_one() {
    let world = World::at(&spawn());
    world.c(
        "main",
        "__attribute__((noinline)) int down(int n) { volatile char room[4096]; room[0] = n; return down(n + 1) + room[0]; }\n\
         int main(void) { return down(0); }",
    );
    let here = world.run("main").expect_err("it dies");
    assert!(here.to_string().contains("beyond the end of its stack"), "{here}");
    // A lane's stack ends as well.
    world.session.restart().expect("another one");
    let there = thread::scope(|scope| scope.spawn(|| world.run("main")).join().expect("no panic"));
    let there = there.expect_err("it dies");
    assert!(there.to_string().contains("beyond the end of its stack"), "{there}");
}

/// `main` waits in `place`'s executor while its process is killed.
fn killed(place: &Place, whom: impl Fn(&World) -> u32) {
    let world = World::at(place);
    world.c(
        "main",
        "int main(void) { int child = fork(); if (!child) for (;;) pause();\n\
         char line[32]; snprintf(line, 32, \"%d\", child); NOTE(line); for (;;) pause(); }",
    );
    let main = world.open("main");
    let worker = world.process();
    let mut child = 0;
    let error = thread::scope(|scope| {
        let waiting = scope.spawn(|| world.try_call(&main, "main"));
        wait_for("the program's child", || {
            child = world.trace().first().map_or(0, |line| line.parse().expect("a number"));
            child != 0
        });
        kill(whom(&world));
        waiting.join().expect("no panic").expect_err("it has no answer")
    });
    let Error::Ended(crash) = &error else { panic!("{place}: {error:?}") };
    assert_eq!((crash.ending, crash.exit_code()), (Ending::Signal(9), 137), "{place}");
    assert_eq!(crash.fault, None, "{place}");
    wait_for("the worker's end", || !is_alive(worker));
    if is_alive(child) {
        // As natively: what a program has started outlives it.
        kill(child);
    }
    goes_on(&world.session);
}

fn kill(process: u32) {
    let process = Pid::from_raw(process as i32).expect("a process");
    kill_process(process, Signal::KILL).expect("it lives");
}

fn goes_on(session: &Session<orc_jit::Remote>) {
    session.restart().expect("another one");
    assert!(session.executor().ended().is_none());
    let read = session.executor().read_memory(&[(16, 4)]).expect("an answer");
    assert!(read[0].as_ref().is_err_and(|error| error.contains("cannot read 0x4 bytes at 0x10")), "{read:?}");
}

#[test]
fn a_killed_worker_is_told() {
    let places = Places::new();
    for place in [spawn(), places.unix.place(), places.tcp.place()] {
        killed(&place, World::process);
    }
}

#[test]
fn a_killed_supervisor_takes_its_worker_along() {
    killed(&spawn(), |world| parent(world.process()));
}

#[test]
fn a_killed_supervisor_of_a_listener_ends_the_connection_and_the_worker() {
    let listener = Listener::unix();
    let world = World::at(&listener.place());
    world.c("main", "int main(void) { NOTE(\"waits\"); for (;;) pause(); }");
    let main = world.open("main");
    let worker = world.process();
    let error = thread::scope(|scope| {
        let waiting = scope.spawn(|| world.try_call(&main, "main"));
        wait_for("the program", || !world.trace().is_empty());
        kill(parent(worker));
        waiting.join().expect("no panic").expect_err("it has no answer")
    });
    assert!(matches!(error, Error::Executor(_)), "nobody could tell how it ended: {error:?}");
    assert!(error.to_string().contains("closed the connection without a word"), "{error}");
    wait_for("the worker's end", || !is_alive(worker));
    goes_on(&world.session);
}

/// Ended by this side, because what the executor sends is more than it takes.
#[test]
fn a_connection_that_breaks_is_told_as_that_and_its_program_is_ended() {
    let listener = Listener::unix();
    for place in [spawn(), listener.place()] {
        let world = World::with(&place, |options| options.limits.max_frame = 1 << 16);
        world.c(
            "main",
            "static char much[200000]; char *where(void) { return much; }\n\
             int start(void) { int child = fork(); if (!child) for (;;) pause(); return child; }",
        );
        let main = world.open("main");
        let child = world.call(&main, "start") as u32;
        let worker = world.process();
        let start = main.address("where").expect("it is there") & !4095;
        // Code and data are far apart; what lies behind the code is enough.
        let error = world.session.executor().read_memory(&[(start, 100_000)]).expect_err("it is too much").to_string();
        assert!(error.contains("receiving failed") && !error.contains("124"), "{place}: {error}");
        let again = world.session.open("main").expect_err("it is over");
        assert!(matches!(again, Error::Executor(_)) && again.to_string() == error, "{place}: {again:?}");
        wait_for("the end of all of its processes", || !is_alive(worker) && !is_alive(child));
        goes_on(&world.session);
    }
}

#[test]
fn a_program_that_ends_leaves_what_it_has_started_and_keeps_nobody_waiting() {
    let world = World::at(&spawn());
    for (status, how) in [(124, "exit"), (3, "_exit")] {
        let name = format!("main{status}");
        world.c(
            &name,
            &format!(
                "int start(void) {{ int child = fork(); if (child) return child; for (;;) pause(); }} int end(void) {{ {how}({status}); }}"
            ),
        );
        let main = world.open(&name);
        let child = world.call(&main, "start") as u32;
        let before = Instant::now();
        let Err(Error::Ended(crash)) = world.try_call(&main, "end") else { panic!("it ends") };
        assert_eq!(crash.ending, Ending::Exit(status));
        assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
        assert!(is_alive(child));
        kill(child);
        drop(main);
        world.session.restart().expect("another one");
    }
}
