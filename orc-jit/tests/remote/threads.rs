//! Does each thread of the controller have one of its own over there?

use crate::support::{World, spawn, wait_for};
use dispatch::Tag;
use std::fs;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How many threads of the executor carry lanes.
fn lanes(process: u32) -> usize {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("it lives").flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.starts_with("lane-")).count()
}

#[test]
fn two_threads_open_at_the_same_time() {
    let world = World::at(&spawn());
    // An initializer of each waits here for one of the other.
    let meeting = Arc::new((Mutex::new(0u32), Condvar::new()));
    let met = move |(): ()| {
        let (count, changed) = &*meeting;
        let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
        *count += 1;
        changed.notify_all();
        let waited = changed.wait_timeout_while(count, Duration::from_secs(10), |count| *count < 2);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    };
    world.session.serve(Tag(5), met).expect("a free tag");
    for name in ["a", "b"] {
        world.c(
            name,
            "static int met; static __attribute__((constructor)) void i(void) { met = CALL(5, \"\", 0).data.bytes[0]; }\n\
             int has_met(void) { return met; }",
        );
    }
    world.session.set_arguments(&world.argv()).expect("no zero bytes");
    std::thread::scope(|scope| {
        for name in ["a", "b"] {
            let world = &world;
            scope.spawn(move || {
                let opened = world.session.open(name).unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(world.call(&opened, "has_met"), 1, "{name}");
            });
        }
    });
}

#[test]
fn a_thread_finds_its_variables_again_and_its_thread_ends_with_it() {
    let world = World::at(&spawn());
    world.c(
        "main",
        "static __thread int count; static pthread_key_t key; static void gone(void *p) { NOTE(\"gone\"); }\n\
         static __attribute__((constructor)) void i(void) { pthread_key_create(&key, gone); }\n\
         int next(void) { pthread_setspecific(key, &count); return ++count; }\n\
         int is_main(void) { return getpid() == gettid(); }\n\
         int thread(void) { return gettid(); }",
    );
    let main = world.open("main");
    assert_eq!(world.call(&main, "is_main"), 1, "the thread that connected has the main thread");
    assert_eq!((world.call(&main, "next"), world.call(&main, "next")), (1, 2));
    assert_eq!(lanes(world.process()), 0);
    let turns = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        let threads = [1, 2].map(|_| {
            scope.spawn(|| {
                let own = world.call(&main, "thread");
                assert_eq!(world.call(&main, "is_main"), 0);
                for count in 1..=20 {
                    assert_eq!((world.call(&main, "next"), world.call(&main, "thread")), (count, own));
                    turns.wait();
                }
                own
            })
        });
        let [one, two] = threads.map(|thread| thread.join().expect("no panic"));
        assert_ne!(one, two);
    });
    wait_for("the end of the lanes", || lanes(world.process()) == 0);
    assert_eq!(world.trace(), ["gone", "gone"]);
    assert_eq!(world.call(&main, "next"), 3);
}

#[test]
fn a_thousand_threads_one_after_the_other_leave_nothing() {
    let world = World::at(&spawn());
    world.c("main", "int one(void) { return 1; }");
    let main = world.open("main");
    let tasks = || fs::read_dir(format!("/proc/{}/task", world.process())).expect("it lives").count();
    let before = tasks();
    for _ in 0..125 {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert_eq!(world.call(&main, "one"), 1));
            }
        });
    }
    wait_for("the end of the lanes", || lanes(world.process()) == 0);
    assert!(tasks() <= before + 8, "{before} threads, then {}", tasks());
}
