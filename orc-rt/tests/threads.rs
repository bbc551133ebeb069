//! Do threads that open the same things share them, and those that do not stay out of each other's way? (rules 11-13)
#![cfg(not(shuttle))]

mod common;

use common::{Fake, Log, act, address, lock};
use orc_rt::waits::{Activity, Awaited};
use orc_rt::{DlError, Teardown};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Mutex};
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

#[test]
fn a_wait_that_lasts_is_told_with_names_and_so_is_its_end() {
    let (tell, told) = channel();
    let fake = Fake::with(|config| {
        config.report_waits = Duration::from_millis(20);
        config.on_wait = Some(Arc::new(move |report| tell.send(report.clone()).expect("the test listens")));
    });
    let log = Log::default();
    fake.logging::<4040, 4041>(&log, "slow", &[]).logging::<4042, 4043>(&log, "main", &["slow"]);
    let (go_on, may_go_on) = channel::<()>();
    let may_go_on = Mutex::new(may_go_on);
    let (begun, has_begun) = channel();
    act(4040, move || {
        begun.send(()).expect("the test listens");
        lock(&may_go_on).recv().expect("the test says so");
    });
    let named = |name: &str, dylib: &'static str| {
        let fake = fake.clone();
        let open = move || fake.open(dylib).map(|_| ());
        std::thread::Builder::new().name(name.to_owned()).spawn(open).expect("a thread")
    };
    let initializes = named("initializes", "slow");
    has_begun.recv().expect("it runs");
    let waits = named("waits", "main");
    for _ in 0..2 {
        let report = told.recv().expect("told once in each period");
        assert!(!report.over && report.waiter.name == "waits" && report.dylibs == ["slow"], "{report:?}");
        let [holder] = &report.holders[..] else { panic!("{report:?}") };
        assert_eq!(
            (&*holder.thread.name, &*holder.dylib, holder.activity),
            ("initializes", "slow", Activity::Initializes)
        );
        assert_eq!(holder.function.as_ref().map(|(address, _)| *address), Some(address::<4040>() as u64));
        assert!(report.to_string().starts_with("thread waits ("), "{report}");
    }
    go_on.send(()).expect("it waits");
    for thread in [initializes, waits] {
        thread.join().expect("no panic").expect("nothing fails");
    }
    let last = told.try_iter().last().expect("its end is told");
    assert!(last.over && last.holders.is_empty() && last.to_string().contains("it is over after"), "{last}");
}

#[test]
fn a_wait_for_the_right_to_plan_and_one_for_an_unload_are_told() {
    let (tell, told) = channel();
    let fake = Fake::with(|config| {
        config.report_waits = Duration::from_millis(20);
        config.on_wait = Some(Arc::new(move |report| tell.send(report.clone()).expect("the test listens")));
    });
    let log = Log::default();
    fake.logging::<4050, 4051>(&log, "a", &[]).logging::<4052, 4053>(&log, "b", &[]);
    let handle = fake.open("a").expect("there");
    // The finalizer of a goes on when a wait for its end has been told.
    let (go_on, may_go_on) = channel::<()>();
    let (may_go_on, (begun, has_begun)) = (Mutex::new(may_go_on), channel());
    act(4051, move || {
        begun.send(()).expect("the test listens");
        lock(&may_go_on).recv().expect("the test says so");
    });
    std::thread::scope(|scope| {
        scope.spawn(|| fake.session.dlclose(handle).expect("open"));
        has_begun.recv().expect("it runs");
        scope.spawn(|| fake.open("a").expect("it comes back"));
        let report = told.recv().expect("told");
        assert_eq!((report.awaited, &report.dylibs[..]), (Awaited::Unload, &["a".to_owned()][..]));
        assert_eq!(report.holders[0].activity, Activity::Finalizes, "{report}");
        go_on.send(()).expect("it waits");
    });
    // While the controller plans, nobody else can have it plan.
    let (plan, may_plan) = channel::<()>();
    let (may_plan, (planning, is_planning)) = (Mutex::new(may_plan), channel());
    fake.while_planning(move || {
        planning.send(()).expect("the test listens");
        lock(&may_plan).recv().expect("the test says so");
    });
    std::thread::scope(|scope| {
        scope.spawn(|| fake.open("b").expect("there"));
        is_planning.recv().expect("asked");
        fake.while_planning(|| ());
        scope.spawn(|| fake.open("a").expect("there"));
        let report = told.iter().find(|report| report.awaited == Awaited::Planning).expect("told");
        assert_eq!(report.holders[0].activity, Activity::Plans, "{report}");
        plan.send(()).expect("it waits");
    });
}

#[test]
fn memory_that_waits_for_somebody_inside_is_told() {
    let (tell, told) = channel();
    let fake = Fake::with(|config| {
        config.report_waits = Duration::from_millis(20);
        config.on_wait = Some(Arc::new(move |report| tell.send(report.clone()).expect("the test listens")));
    });
    let log = Log::default();
    fake.logging::<4060, 4061>(&log, "a", &[]);
    let handle = fake.open("a").expect("there");
    let token = fake.session.keepalive(fake.id("a")).expect("not shut down");
    fake.session.dlclose(handle).expect("open");
    let report = told.recv().expect("told");
    assert_eq!((report.awaited, report.over, &report.dylibs[..]), (Awaited::Memory, false, &["a".to_owned()][..]));
    assert_eq!((report.holders[0].activity, &*report.holders[0].dylib), (Activity::Calls, "a"), "{report}");
    drop(token);
    assert!(told.iter().any(|report| report.over), "its end is told");
    assert_eq!(fake.closed(), ["a"]);
}

#[test]
fn a_close_is_refused_with_who_is_inside_and_changes_nothing() {
    let (fake, log) = (Fake::new(), Log::default());
    fake.logging::<4070, 4071>(&log, "dep", &[]).logging::<4072, 4073>(&log, "main", &["dep"]);
    let handle = fake.open("main").expect("there");
    log.take();
    let (leave, may_leave) = channel::<()>();
    let (entered, is_inside) = channel();
    let inside = {
        let fake = fake.clone();
        let body = move || {
            let token = fake.session.keepalive(fake.id("dep")).expect("not shut down");
            entered.send(()).expect("the test listens");
            may_leave.recv().expect("the test says so");
            drop(token);
        };
        std::thread::Builder::new().name("inside".to_owned()).spawn(body).expect("a thread")
    };
    is_inside.recv().expect("it enters");
    for how in [Teardown::Refuse, Teardown::Wait(Duration::from_millis(5))] {
        let refused = fake.session.close_with(handle, how).expect_err("somebody is inside");
        assert!(orc_rt::dlfcn::dlerror().is_some_and(|text| text == refused.to_string()));
        let DlError::Inside { name, count: 1, inside } = refused else { panic!("{refused}") };
        assert_eq!((&*name, &*inside[0].dylib, &*inside[0].thread.name), ("main", "dep", "inside"));
        assert_eq!((fake.count("main"), log.take(), fake.closed()), (1, vec![], vec![]), "as before");
        assert_eq!(fake.open("main"), Ok(handle), "the same handle");
        fake.session.dlclose(handle).expect("open twice");
    }
    leave.send(()).expect("it waits");
    fake.session.close_with(handle, Teardown::Wait(Duration::from_secs(60))).expect("it leaves");
    inside.join().expect("no panic");
    assert_eq!((log.take(), fake.count("main")), (vec!["~main".to_owned(), "~dep".to_owned()], 0));
    // A thread does not wait for itself.
    let handle = fake.open("main").expect("there");
    let token = fake.session.keepalive(fake.id("main"));
    let own = fake.session.close_with(handle, Teardown::Wait(Duration::from_secs(3600)));
    assert!(matches!(own, Err(DlError::Inside { count: 1, .. })));
    drop(token);
    fake.session.close_with(handle, Teardown::Refuse).expect("nobody is inside");
}

/// Two that wait for an unload do not keep each other awake, asking the controller again and again.
#[test]
fn those_who_wait_for_an_unload_sleep() {
    let (fake, log) = (Fake::new(), Log::default());
    fake.logging::<4080, 4081>(&log, "a", &[]);
    let handle = fake.open("a").expect("there");
    let (go_on, may_go_on) = channel::<()>();
    let (may_go_on, (begun, has_begun)) = (Mutex::new(may_go_on), channel());
    act(4081, move || {
        begun.send(()).expect("the test listens");
        lock(&may_go_on).recv().expect("the test says so");
    });
    std::thread::scope(|scope| {
        scope.spawn(|| fake.session.dlclose(handle).expect("open"));
        has_begun.recv().expect("it runs");
        for _ in 0..2 {
            scope.spawn(|| fake.open("a").expect("it comes back"));
        }
        while fake.opens() < 3 {
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_millis(50));
        // Each begins to wait once, and the first may have heard of the second.
        assert!(fake.opens() <= 4, "{} plans were asked for", fake.opens());
        go_on.send(()).expect("it waits");
    });
    assert_eq!(fake.count("a"), 2);
}
