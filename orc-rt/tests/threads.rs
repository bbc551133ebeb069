//! Do threads that open the same things share them, and those that do not stay out of each other's way? (rules 11-13)
#![cfg(not(shuttle))]

mod common;

use common::{Fake, Log, act};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

#[test]
fn two_threads_open_the_same_dylib_and_both_see_it_initialized() {
    let (fake, log) = (Fake::new(), Log::default());
    fake.logging::<4000, 4001>(&log, "main", &["a"]).logging::<4002, 4003>(&log, "a", &[]);
    let (ran, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    for number in [4000, 4002] {
        let (ran, done) = (Arc::clone(&ran), Arc::clone(&done));
        act(number, move || {
            ran.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(20));
            done.fetch_add(1, Ordering::SeqCst);
        });
    }
    let start = Barrier::new(4);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                start.wait();
                let handle = fake.open("main").expect("shared");
                assert_eq!(done.load(Ordering::SeqCst), 2, "returned before all was initialized");
                handle
            });
        }
    });
    assert_eq!((ran.load(Ordering::SeqCst), fake.count("main")), (2, 4));
}

#[test]
fn an_initializer_may_join_a_thread_that_opens_something_else() {
    let (fake, log) = (Fake::new(), Log::default());
    fake.logging::<4010, 4011>(&log, "main", &[]).logging::<4012, 4013>(&log, "other", &["dep"]).logging::<4014, 4015>(
        &log,
        "dep",
        &[],
    );
    act(4010, {
        let (fake, log) = (fake.clone(), log.clone());
        move || {
            let elsewhere = fake.clone();
            std::thread::spawn(move || elsewhere.open("other").map(|_| ()))
                .join()
                .expect("no panic")
                .expect("disjoint");
            log.push("main");
        }
    });
    fake.open("main").expect("no deadlock");
    assert_eq!(log.take(), ["dep", "other", "main"]);
}

#[test]
fn threads_that_need_each_others_dylibs_do_not_deadlock() {
    let (fake, log) = (Fake::new(), Log::default());
    fake.logging::<4020, 4021>(&log, "x", &[]).logging::<4022, 4023>(&log, "y", &[]);
    let meet = Arc::new(Barrier::new(2));
    for (number, other) in [(4020, "y"), (4022, "x")] {
        let (fake, meet) = (fake.clone(), Arc::clone(&meet));
        act(number, move || {
            meet.wait();
            fake.open(other).expect("a handle");
        });
    }
    let threads: Vec<_> = ["x", "y"]
        .map(|name| {
            let fake = fake.clone();
            std::thread::spawn(move || fake.open(name).map(|_| ()))
        })
        .into();
    for thread in threads {
        thread.join().expect("no panic").expect("no deadlock");
    }
    assert_eq!((fake.count("x"), fake.count("y")), (2, 2));
}

#[test]
fn many_threads_open_and_close_at_random() {
    let fake = Fake::new();
    let balance: &'static [AtomicUsize; 3] = Box::leak(Box::default());
    fn count(number: usize, cell: &'static AtomicUsize, up: bool) {
        act(number, move || {
            let before = if up { cell.fetch_add(1, Ordering::SeqCst) } else { cell.fetch_sub(1, Ordering::SeqCst) };
            assert_eq!(before, usize::from(!up), "initialized twice, or finalized twice");
        });
    }
    let log = Log::default();
    fake.logging::<4030, 4031>(&log, "a", &[]).logging::<4032, 4033>(&log, "b", &["a"]).logging::<4034, 4035>(
        &log,
        "c",
        &["b", "a"],
    );
    for (index, number) in [4030, 4032, 4034].into_iter().enumerate() {
        count(number, &balance[index], true);
        count(number + 1, &balance[index], false);
    }
    std::thread::scope(|scope| {
        for thread in 0..4usize {
            let fake = fake.clone();
            scope.spawn(move || {
                for round in 0..200usize {
                    let name = ["a", "b", "c"][(thread * 7 + round * 5 + round / 3) % 3];
                    let handle = fake.open(name).expect("always there");
                    let index = ["a", "b", "c"].iter().position(|&each| each == name).expect("one of three");
                    assert!(balance[..=index].iter().all(|cell| cell.load(Ordering::SeqCst) == 1));
                    fake.session.dlclose(handle).expect("just opened");
                }
            });
        }
    });
    assert!(balance.iter().all(|cell| cell.load(Ordering::SeqCst) == 0));
    assert!(fake.session.ledger().is_empty());
}
