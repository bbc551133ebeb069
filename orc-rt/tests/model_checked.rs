//! Do the rules about threads hold whoever comes first? Real sessions, under a model checker that decides at every lock who goes on.
//!
//! ```sh
//! RUSTFLAGS="--cfg shuttle" cargo test -p orc-rt --no-default-features --test model_checked --target-dir target/shuttle
//! ```
//!
//! A failure prints its schedule. `ORC_SCHEDULE=91... cargo test ... rule_13` runs exactly that one again; `ORC_SCHEDULES=100000` tries as many
//! of each kind. The controller is a table (`common`), and lets others come in before and after each plan.
#![cfg(shuttle)]

mod common;

use common::{Array, Dylib, Fake, Log, act, address, array, forget_actions, lock, reversed, switch};
use orc_rt::{DlError, Handle, Teardown};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Runner, thread};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Of each scheduler, unless `ORC_SCHEDULES` says otherwise.
const SCHEDULES: usize = 4000;
/// Preemptions that PCT bets on.
const DEPTH: usize = 4;
/// Long enough for no clock to matter: the checker has none.
const A_DAY: Duration = Duration::from_secs(86_400);

/// Runs `body` under many schedules. `numbers` are those of its functions.
fn check(numbers: Range<usize>, body: fn()) {
    let body = move || {
        body();
        forget_actions(numbers.clone());
    };
    if let Ok(schedule) = std::env::var("ORC_SCHEDULE") {
        shuttle::replay(body, &schedule);
        return;
    }
    let schedules = std::env::var("ORC_SCHEDULES").map_or(SCHEDULES, |text| text.parse().expect("a number"));
    run(RandomScheduler::new(schedules), body.clone());
    run(PctScheduler::new(DEPTH, schedules), body);
}

fn run(scheduler: impl Scheduler + 'static, body: impl Fn() + Send + Sync + 'static) {
    let mut config = shuttle::Config::new();
    config.stack_size = 256 << 10;
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(body);
}

/// A dylib that counts: its initializer up, its finalizer down, and never beyond one.
fn counting<const I: usize, const F: usize>(fake: &Fake, name: &str, links: &[&str]) -> Arc<AtomicUsize> {
    let balance = Arc::new(AtomicUsize::new(0));
    act(I, {
        let balance = Arc::clone(&balance);
        move || {
            switch();
            assert_eq!(balance.fetch_add(1, Ordering::SeqCst), 0, "initialized twice");
        }
    });
    act(F, {
        let balance = Arc::clone(&balance);
        move || {
            assert_eq!(balance.fetch_sub(1, Ordering::SeqCst), 1, "finalized what was not initialized");
            switch();
        }
    });
    fake.add(name, links, dylib::<I, F>());
    balance
}

fn dylib<const I: usize, const F: usize>() -> Dylib {
    Dylib {
        initializers: vec![array(&[address::<I>()])],
        finalizers: vec![reversed(&[address::<F>()])],
        ..Dylib::default()
    }
}

/// Runs these on a thread each and gives what they return.
fn at_once<T: Send + 'static>(bodies: Vec<Box<dyn FnOnce() -> T + Send>>) -> Vec<T> {
    let threads: Vec<_> = bodies.into_iter().map(thread::spawn).collect();
    threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
}

fn is_one(balance: &AtomicUsize) -> bool {
    balance.load(Ordering::SeqCst) == 1
}

/// Nothing is open or registered, and nothing ran without being undone.
fn all_is_over(fake: &Fake, balances: &[&Arc<AtomicUsize>]) {
    assert!(balances.iter().all(|balance| balance.load(Ordering::SeqCst) == 0), "something was not finalized");
    assert!(fake.session.ledger().is_empty());
    assert!(fake.session.keepalives().0.is_empty());
}

#[test]
fn rule_11_one_thread_initializes_and_all_return_after_it() {
    check(100..104, || {
        let fake = Fake::new();
        let a = counting::<100, 101>(&fake, "a", &[]);
        let main = counting::<102, 103>(&fake, "main", &["a"]);
        let open = || -> Box<dyn FnOnce() -> Handle + Send> {
            let (fake, a, main) = (fake.clone(), Arc::clone(&a), Arc::clone(&main));
            Box::new(move || {
                let handle = fake.open("main").expect("nothing fails");
                assert!(is_one(&a) && is_one(&main), "returned before all was initialized");
                handle
            })
        };
        let handles = at_once(vec![open(), open(), open()]);
        assert!(handles.iter().all(|handle| *handle == handles[0]));
        for handle in handles {
            fake.session.dlclose(handle).expect("open");
        }
        all_is_over(&fake, &[&a, &main]);
    });
}

#[test]
fn rule_12_an_initializer_joins_a_thread_that_opens_something_else() {
    check(110..116, || {
        let (fake, log) = (Fake::new(), Log::default());
        fake.logging::<110, 111>(&log, "main", &[]).logging::<112, 113>(&log, "other", &["dep"]);
        fake.logging::<114, 115>(&log, "dep", &[]);
        let (inner, inner_log) = (fake.clone(), log.clone());
        act(110, move || {
            let elsewhere = inner.clone();
            thread::spawn(move || elsewhere.open("other").map(|_| ())).join().expect("no panic").expect("disjoint");
            inner_log.push("main");
        });
        let third = fake.clone();
        let third = thread::spawn(move || third.open("dep").map(|_| ()));
        fake.open("main").expect("no deadlock");
        third.join().expect("no panic").expect("nothing fails");
        assert_eq!(log.take(), ["dep", "other", "main"]);
    });
}

#[test]
fn rule_13_threads_wait_for_each_other_in_cycles_of_two_and_three() {
    check(120..130, || {
        let (fake, log) = (Fake::new(), Log::default());
        fake.logging::<120, 121>(&log, "x", &[]).logging::<122, 123>(&log, "y", &[]);
        fake.logging::<124, 125>(&log, "p", &[]).logging::<126, 127>(&log, "q", &[]).logging::<128, 129>(
            &log,
            "r",
            &[],
        );
        let opens = |number: usize, name: &'static str, other: &'static str| {
            let (fake, log) = (fake.clone(), log.clone());
            act(number, move || {
                log.push(name);
                switch();
                fake.open(other).expect("a handle, cycle or not");
            });
        };
        opens(120, "x", "y");
        opens(122, "y", "x");
        opens(124, "p", "q");
        opens(126, "q", "r");
        opens(128, "r", "p");
        let open = |name: &'static str| -> Box<dyn FnOnce() + Send> {
            let fake = fake.clone();
            Box::new(move || assert!(fake.open(name).is_ok(), "no deadlock"))
        };
        at_once(vec![open("x"), open("y"), open("p"), open("q"), open("r")]);
        let mut ran = log.take();
        ran.sort_unstable();
        assert_eq!(ran, ["p", "q", "r", "x", "y"], "each once");
        assert!(["x", "y", "p", "q", "r"].iter().all(|name| fake.count(name) == 2));
    });
}

#[test]
fn rule_15_threads_that_wait_for_a_dylib_hear_that_it_is_poisoned() {
    check(130..138, || {
        let fake = Fake::new();
        let good = counting::<130, 131>(&fake, "good", &[]);
        let bad = counting::<132, 133>(&fake, "bad", &["good"]);
        let first = counting::<134, 135>(&fake, "first", &["bad"]);
        let second = counting::<136, 137>(&fake, "second", &["bad"]);
        let throws = Arc::new(AtomicBool::new(true));
        act(132, {
            let (throws, bad) = (Arc::clone(&throws), Arc::clone(&bad));
            move || {
                switch();
                if throws.load(Ordering::SeqCst) {
                    // Without the hook of panics, which is shuttle's.
                    resume_unwind(Box::new("thrown"));
                }
                assert_eq!(bad.fetch_add(1, Ordering::SeqCst), 0, "initialized twice");
            }
        });
        let open = |name: &'static str| -> Box<dyn FnOnce() -> Option<Result<Handle, DlError>> + Send> {
            let fake = fake.clone();
            Box::new(move || catch_unwind(AssertUnwindSafe(|| fake.open(name))).ok())
        };
        let results = at_once(vec![open("first"), open("second"), open("bad")]);
        assert_eq!(results.iter().filter(|result| result.is_none()).count(), 1, "one thread has it passing through");
        for failed in results.into_iter().flatten() {
            assert!(matches!(failed, Err(DlError::Poisoned { ref name, .. }) if name == "bad"), "{failed:?}");
        }
        throws.store(false, Ordering::SeqCst);
        assert!(matches!(fake.open("second"), Err(DlError::Poisoned { .. })), "poisoned until unloaded");
        fake.session.unload(fake.id("bad")).expect("nobody holds it");
        let handle = fake.open("second").expect("mended");
        assert!(is_one(&good) && is_one(&bad) && is_one(&second));
        fake.session.dlclose(handle).expect("open");
        all_is_over(&fake, &[&good, &bad, &first, &second]);
    });
}

#[test]
fn rules_18_19_22_opens_and_closes_race() {
    check(140..146, || {
        let fake = Fake::new();
        let a = counting::<140, 141>(&fake, "a", &[]);
        let b = counting::<142, 143>(&fake, "b", &["a"]);
        let c = counting::<144, 145>(&fake, "c", &["b", "a"]);
        let walk = |names: [&'static str; 2]| -> Box<dyn FnOnce() + Send> {
            let (fake, all) = (fake.clone(), [("a", Arc::clone(&a)), ("b", Arc::clone(&b)), ("c", Arc::clone(&c))]);
            Box::new(move || {
                for name in names {
                    let handle = fake.open(name).expect("always there");
                    let reached = all.iter().position(|(each, _)| *each == name).expect("one of three");
                    assert!(all[..=reached].iter().all(|(_, balance)| is_one(balance)));
                    switch();
                    fake.session.dlclose(handle).expect("just opened");
                }
            })
        };
        at_once(vec![walk(["c", "a"]), walk(["b", "c"]), walk(["a", "b"])]);
        assert!(["a", "b", "c"].iter().all(|name| fake.count(name) == 0));
        all_is_over(&fake, &[&a, &b, &c]);
    });
}

#[test]
fn rule_23_an_initializer_closes_its_own_dylib_while_another_thread_opens_it() {
    check(150..152, || {
        let fake = Fake::new();
        let own = counting::<150, 151>(&fake, "own", &[]);
        act(150, {
            let (fake, own) = (fake.clone(), Arc::clone(&own));
            move || {
                assert_eq!(own.fetch_add(1, Ordering::SeqCst), 0, "initialized twice");
                let handle = fake.open("own").expect("in progress: the handle");
                fake.session.dlclose(handle).expect("gives its own open back");
                switch();
                assert!(is_one(&own), "unloaded while it was being initialized");
            }
        });
        let open = || -> Box<dyn FnOnce() -> Result<Handle, DlError> + Send> {
            let fake = fake.clone();
            Box::new(move || {
                let handle = fake.open("own")?;
                switch();
                fake.session.dlclose(handle)?;
                Ok(handle)
            })
        };
        for result in at_once(vec![open(), open()]) {
            result.expect("opened and closed");
        }
        all_is_over(&fake, &[&own]);
    });
}

#[test]
fn rule_24_memory_stays_while_somebody_is_inside() {
    check(160..162, || {
        let fake = Fake::new();
        let balance = counting::<160, 161>(&fake, "inside", &[]);
        let handle = fake.open("inside").expect("there");
        let token = fake.session.keepalive(fake.id("inside")).expect("not shut down");
        let gone = Arc::new(AtomicBool::new(false));
        let (other, seen) = (fake.clone(), Arc::clone(&gone));
        let closing = thread::spawn(move || {
            other.session.dlclose(handle).expect("open");
            // It may be opened anew, or wait for the one inside.
            match other.open("inside") {
                Ok(handle) => {
                    assert!(seen.load(Ordering::SeqCst), "opened anew with somebody inside");
                    other.session.dlclose(handle).expect("open");
                }
                Err(error) => assert!(matches!(error, DlError::StillInside { count: 1, .. }), "{error}"),
            }
        });
        switch();
        assert!(fake.closed().is_empty(), "its memory went while somebody was inside");
        gone.store(true, Ordering::SeqCst);
        drop(token);
        closing.join().expect("no panic");
        assert!(fake.closed().iter().all(|name| name == "inside"));
        all_is_over(&fake, &[&balance]);
    });
}

#[test]
fn rule_24_a_close_waits_or_is_refused_and_then_nothing_has_changed() {
    check(170..174, || {
        let fake = Fake::new();
        let dep = counting::<170, 171>(&fake, "dep", &[]);
        let main = counting::<172, 173>(&fake, "main", &["dep"]);
        let handle = fake.open("main").expect("there");
        let token = fake.session.keepalive(fake.id("dep")).expect("not shut down");
        let left = Arc::new(AtomicBool::new(false));
        let (other, seen, balances) = (fake.clone(), Arc::clone(&left), [Arc::clone(&dep), Arc::clone(&main)]);
        let closing = thread::spawn(move || match other.session.close_with(handle, Teardown::Refuse) {
            Ok(()) => assert!(seen.load(Ordering::SeqCst), "closed with somebody inside"),
            Err(error) => {
                assert!(matches!(error, DlError::Inside { count: 1, .. }), "{error}");
                assert_eq!(other.count("main"), 1, "counts as before");
                assert!(balances.iter().all(|balance| is_one(balance)), "half closed");
                other.session.close_with(handle, Teardown::Wait(A_DAY)).expect("they leave in time");
                assert!(seen.load(Ordering::SeqCst), "closed with somebody inside");
            }
        });
        switch();
        assert!(is_one(&dep) && is_one(&main), "finalized with somebody inside");
        left.store(true, Ordering::SeqCst);
        drop(token);
        closing.join().expect("no panic");
        assert_eq!(fake.count("main"), 0);
        all_is_over(&fake, &[&dep, &main]);
    });
}

#[test]
fn rules_10_25_code_is_added_while_others_open_and_update() {
    check(180..184, || {
        let (fake, log) = (Fake::new(), Log::default());
        fake.logging::<180, 181>(&log, "grows", &[]);
        log.on(182, "more");
        log.on(183, "~more");
        let handle = fake.open("grows").expect("there");
        let (adds, opens) = (fake.clone(), fake.clone());
        let adds = thread::spawn(move || {
            adds.change("grows", |dylib| {
                let more: [Array; 2] = [array(&[address::<182>()]), reversed(&[address::<183>()])];
                dylib.initializers.push(more[0]);
                dylib.finalizers.push(more[1]);
            });
            adds.session.dlupdate(handle).expect("open");
        });
        let opens = thread::spawn(move || {
            let again = opens.open("grows").expect("there");
            opens.session.dlupdate(again).expect("open");
            opens.session.dlclose(again).expect("open");
        });
        adds.join().expect("no panic");
        opens.join().expect("no panic");
        assert_eq!(log.take(), ["grows", "more"], "each once");
        fake.session.dlclose(handle).expect("open");
        assert_eq!(log.take(), ["~more", "~grows"]);
        all_is_over(&fake, &[]);
    });
}

#[test]
fn a_shutdown_comes_between_opens_and_closes() {
    check(190..194, || {
        let fake = Fake::new();
        let a = counting::<190, 191>(&fake, "a", &[]);
        let b = counting::<192, 193>(&fake, "b", &["a"]);
        let open = |name: &'static str| -> Box<dyn FnOnce() + Send> {
            let fake = fake.clone();
            Box::new(move || match fake.open(name) {
                Ok(handle) => {
                    switch();
                    // The shutdown may have closed it.
                    let _ = fake.session.dlclose(handle);
                }
                Err(error) => assert_eq!(error, DlError::ShutDown),
            })
        };
        let ends = fake.clone();
        let ends: Box<dyn FnOnce() + Send> = Box::new(move || {
            ends.session.shut_down(Teardown::Wait(A_DAY)).expect("initializers return");
        });
        at_once(vec![open("a"), open("b"), ends]);
        assert!(matches!(fake.open("a"), Err(DlError::ShutDown)));
        all_is_over(&fake, &[&a, &b]);
    });
}

#[test]
fn threads_that_exit_at_once_run_every_handler_once() {
    check(200..202, || {
        let fake = Fake::new();
        let balance = counting::<200, 201>(&fake, "program", &[]);
        fake.open("program").expect("there");
        let order = Arc::new(Mutex::new(Vec::new()));
        let exit = |number: usize| -> Box<dyn FnOnce() + Send> {
            let (fake, order) = (fake.clone(), Arc::clone(&order));
            Box::new(move || {
                fake.session.end_program(0);
                lock(&order).push(number);
            })
        };
        at_once(vec![exit(0), exit(1)]);
        assert_eq!(lock(&order).len(), 2);
        all_is_over(&fake, &[&balance]);
    });
}
