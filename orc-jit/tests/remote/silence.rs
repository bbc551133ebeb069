//! Is an executor that stands still given up, with a reason that says so, and does a limit of time hold?

use crate::hostile::Fake;
use crate::support::{Listener, World, is_alive, parent, spawn, wait_for};
use dispatch::layer::fault::Fault;
use orc_jit::executor::Remote;
use orc_jit::executor::remote::{Place, RemoteOptions};
use orc_rt::service::down::tag;
use rustix::process::{Pid, Signal, kill_process};
use std::thread;
use std::time::{Duration, Instant};

fn impatient() -> RemoteOptions {
    let mut options = RemoteOptions::default();
    options.heartbeat = Some((Duration::from_millis(100), Duration::from_millis(700)));
    options
}

#[test]
fn a_stopped_executor_is_given_up_and_ended() {
    let listener = Listener::unix();
    thread::scope(|scope| {
        for place in [spawn(), listener.place()] {
            scope.spawn(move || stopped(&place));
        }
    });
}

fn stopped(place: &Place) {
    let world = World::with(place, |options| options.heartbeat = impatient().heartbeat);
    world.c("main", "int main(void) { return 4; }");
    assert_eq!(world.run("main").expect("it runs"), 4, "{place}");
    thread::sleep(Duration::from_millis(1000));
    assert_eq!(world.run("main").expect("quiet is no silence"), 4, "{place}");
    let worker = world.process();
    let supervisor = parent(worker);
    kill_process(Pid::from_raw(worker as i32).expect("a process"), Signal::STOP).expect("it lives");
    let before = Instant::now();
    let error = world.run("main").expect_err("nobody answers").to_string();
    assert!(before.elapsed() < Duration::from_secs(6), "{place}: {:?}", before.elapsed());
    assert!(error.contains("said nothing for 700ms"), "{place}: {error}");
    wait_for("the end of the stopped process", || !is_alive(worker) && !is_alive(supervisor));
    world.session.restart().expect("another one");
    assert_eq!(world.run("main").expect("it runs"), 4, "{place}");
}

#[test]
fn a_long_call_is_no_silence() {
    let world = World::with(&spawn(), |options| options.heartbeat = impatient().heartbeat);
    world.c("main", "int main(void) { usleep(1800000); return 4; }");
    assert_eq!(world.run("main").expect("it runs"), 4);
}

#[test]
fn a_line_that_falls_silent_is_given_up() {
    let listener = Listener::unix();
    thread::scope(|scope| {
        for from in [4, 5, 6, 9, 13, 18] {
            let listener = &listener;
            scope.spawn(move || {
                let before = Instant::now();
                let silent = Fault::new(listener.connect_unix()).silent_from(from);
                let error = match Remote::over(silent, impatient()) {
                    Err(error) => error.to_string(),
                    Ok(remote) => {
                        let world = World::over(remote);
                        world.c("main", "int main(void) { return 4; }");
                        world.run("main").expect_err("nobody answers").to_string()
                    }
                };
                assert!(error.contains("said nothing for 700ms"), "silent from {from}: {error}");
                assert!(before.elapsed() < Duration::from_secs(6), "silent from {from}: {:?}", before.elapsed());
            });
        }
    });
    wait_for("the end of the executors", || listener.sessions().is_empty());
}

#[test]
fn an_executor_that_never_attaches_is_given_up() {
    let fake = Fake::new().silent_at(tag::ATTACH).start();
    let mut options = RemoteOptions::default();
    options.heartbeat = None;
    options.connect_timeout = Duration::from_millis(300);
    let before = Instant::now();
    let error = Remote::connect(fake.place(), options).expect_err("it does not attach").to_string();
    assert!(error.contains("in time"), "{error}");
    assert!(before.elapsed() < Duration::from_secs(5));
}

#[test]
fn calls_that_run_no_code_have_a_limit_of_time() {
    let mut options = RemoteOptions::default();
    options.heartbeat = None;
    options.deadline = Some(Duration::from_millis(300));
    let silences = [
        (tag::RESERVE, "int get(void) { return 1; }"),
        (tag::LOOKUP, "int puts(const char *); int get(void) { return puts(\"\"); }"),
        (tag::FINALIZE, "int get(void) { return 1; }"),
    ];
    thread::scope(|scope| {
        for (silent, source) in silences {
            let options = options.clone();
            scope.spawn(move || {
                let fake = Fake::new().silent_at(silent).start();
                let world = World::over(Remote::connect(fake.place(), options).expect("an executor"));
                let plain = world.session.add_dylib("plain").expect("a free name");
                let object = crate::common::compile(&["gcc", "-x", "c"], source);
                plain.add_object("plain.o", object).expect("a live session");
                let error = world.session.open("plain").expect_err("nobody answers").to_string();
                assert!(error.contains("in time"), "{silent}: {error}");
            });
        }
    });
    let fake = Fake::new().silent_at(tag::OPEN_LIBRARY).start();
    let world = World::over(Remote::connect(fake.place(), options).expect("an executor"));
    let before = Instant::now();
    let error = world.session.open_library("libm.so.6").expect_err("nobody answers").to_string();
    assert!(error.contains("in time") && before.elapsed() < Duration::from_secs(2), "{error}");
}
