//! Does a session go on with another executor, as if nothing had happened but the loss of memory?

use crate::support::{Listener, World, in_time, is_alive, spawn, wait_for, write_file};
use dispatch::transport::unix::Unix;
use orc_jit::executor::remote::RemoteOptions;
use orc_jit::{Error, Remote, executor::Executor as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

fn three() -> World {
    let world = World::at(&spawn()).arguments(&["third"]);
    world.session.open_library("libm.so.6").expect("the mathematics library");
    world.c("lib", "BOTH(\"lib\") int value = 5;");
    world.c(
        "a",
        "BOTH(\"a\") extern int value; double cbrt(double); int data = 3; int bump(void) { return ++data; }\n\
         int sum(int argc, char **argv) { volatile double cube = 27; return value + data + (int)cbrt(cube) + argc; }",
    );
    world.c("b", "BOTH(\"b\") int get(void) { return 9; }");
    world.c("main", "int main(int argc, char **argv) { return argc == 3 && !strcmp(argv[2], \"third\") ? 4 : 1; }");
    world.c(
        "bad",
        "static __attribute__((constructor)) void i(void) { volatile int *volatile nowhere = 0; *nowhere = 1; }",
    );
    world.links("a", &["lib"]).links("b", &["a"]);
    world
}

#[test]
fn what_was_open_is_open_again_and_closes_as_it_should() {
    let world = three();
    let b = world.open("b");
    let closed = world.open("a");
    let a = world.open("a");
    closed.close().expect("it closes");
    assert_eq!(world.trace(), ["lib", "a", "b"]);
    assert_eq!((world.call(&a, "bump"), world.call(&a, "bump")), (4, 5));
    let old = (world.process(), a.address("sum").expect("it is there"));
    for round in 0..2 {
        let died = world.session.open("bad").map(drop);
        assert!(matches!(died, Err(Error::Ended(_))), "round {round}: {died:?}");
        let gone = a.address("sum");
        assert!(matches!(gone, Err(Error::Ended(_))), "round {round}: {gone:?}");
        world.session.restart().expect("another one");
        assert_eq!(world.trace(), ["lib", "a", "b"], "round {round}");
        assert_eq!(
            world.call(&a, "sum"),
            5 + 3 + 3 + 3,
            "round {round}: data is fresh, the library and the arguments are there"
        );
        assert_eq!((world.call(&b, "get"), world.call(&b, "sum")), (9, 14), "round {round}");
        assert_eq!(world.call(&a, "bump"), 4, "round {round}");
    }
    assert_ne!(world.process(), old.0);
    let again = world.open("a");
    assert!(world.trace().is_empty(), "it is open");
    drop(again);
    b.close().expect("it closes");
    assert_eq!(world.trace(), ["~b"]);
    a.close().expect("it closes");
    assert_eq!(world.trace(), ["~a", "~lib"]);
    assert_eq!(world.run("main").expect("it runs"), 4);
}

#[test]
fn a_session_without_anything_open_restarts_and_so_does_one_that_lives() {
    let world = three();
    let old = world.process();
    world.session.restart().expect("another one");
    world.session.restart().expect("another one");
    wait_for("the end of the first", || !is_alive(old));
    assert_eq!(world.run("main").expect("it runs"), 4);
    let b = world.open("b");
    assert_eq!(world.trace(), ["lib", "a", "b"]);
    // The old one lives, and is ended as it stands.
    let old = world.process();
    world.session.restart().expect("another one");
    wait_for("the end of the old one", || !is_alive(old));
    assert_eq!(world.trace(), ["lib", "a", "b"]);
    assert_eq!(world.call(&b, "get"), 9);
}

#[test]
fn a_connection_that_was_handed_over_cannot_be_made_again() {
    let listener = Listener::unix();
    let transport = Unix::connect(listener.address()).expect("it listens");
    let world = World::over(Remote::over(transport, RemoteOptions::default()).expect("an executor"));
    world.c("main", "int main(void) { return 6; }");
    let error = world.session.restart().expect_err("there is none").to_string();
    assert_eq!(error, "a connection that was handed over cannot be made again");
    assert_eq!(world.run("main").expect("what was there goes on"), 6);
}

#[test]
fn what_cannot_be_opened_again_is_told_and_the_rest_stays_usable() {
    let world = World::at(&spawn());
    let folder = tempfile::tempdir().expect("a directory");
    let good = folder.path().join("good");
    write_file(&good, "");
    world.c("first", "BOTH(\"first\") int get(void) { return 1; }");
    world.c(
        "picky",
        &format!("static __attribute__((constructor)) void i(void) {{ if (access(\"{}\", 0)) abort(); NOTE(\"picky\"); }} int get(void) {{ return 2; }}", good.display()),
    );
    let first = world.open("first");
    let picky = world.open("picky");
    std::fs::remove_file(&good).expect("it is there");
    let error = world.session.restart().expect_err("an initializer aborts");
    assert!(matches!(error, Error::Ended(_)), "{error:?}");
    assert!(matches!(first.address("get"), Err(Error::Ended(_))));
    write_file(&good, "");
    world.trace();
    world.session.restart().expect("another one");
    assert_eq!((world.call(&first, "get"), world.call(&picky, "get")), (1, 2));
}

/// Threads that open, call and close all the while must neither hang nor spoil what is open again.
#[test]
fn restarts_under_way_of_other_threads_lose_nothing() {
    let world = World::at(&spawn());
    for number in 0..4 {
        world.c(&format!("d{number}"), &format!("static int ready; static __attribute__((constructor)) void i(void) {{ ready = 1; }} int get(void) {{ return ready ? {number} : -1; }}"));
    }
    let kept = world.open("d0");
    let world = in_time(Duration::from_secs(30), "restarting", move || {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for thread in 1..4 {
                let (world, over) = (&world, &over);
                scope.spawn(move || {
                    let name = format!("d{thread}");
                    let mut good = 0;
                    while !over.load(Ordering::Relaxed) || good == 0 {
                        // Anything may fail while the executor goes; what succeeds is right.
                        if let Ok(opened) = world.session.open(&name)
                            && let Ok(answer) = world.try_call(&opened, "get")
                        {
                            assert_eq!(answer, thread, "an initializer was lost");
                            good += 1;
                        }
                    }
                });
            }
            for _ in 0..12 {
                thread::sleep(Duration::from_millis(30));
                world.session.restart().expect("another one");
                assert_eq!(world.call(&kept, "get"), 0, "an initializer was lost");
            }
            over.store(true, Ordering::Relaxed);
        });
        drop(kept);
        world
    });
    assert!(world.session.executor().ended().is_none());
}
