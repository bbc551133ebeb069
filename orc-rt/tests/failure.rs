//! What is left behind when an initializer or a handler throws? (rules 9, 14, 15)
#![cfg(not(shuttle))]

mod common;

use common::{Dylib, Entries, Fake, Log, act, address, array, at, image_of};
use orc_rt::{DlError, ImageInfo, SymbolTable};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};

/// Opens, and gives back what was thrown.
fn open_throwing(fake: &Fake, name: &str) -> &'static str {
    let thrown = catch_unwind(AssertUnwindSafe(|| fake.open(name))).expect_err("an initializer throws");
    thrown.downcast_ref::<&'static str>().copied().expect("what the test throws")
}

#[test]
fn an_exception_passes_through_dlopen_and_poisons_the_dylib() {
    let (fake, log) = (Fake::new(), Log::default());
    fake.logging::<3000, 3001>(&log, "main", &["dep", "bad"]).logging::<3002, 3003>(&log, "dep", &[]);
    act(3004, || panic_any("thrown"));
    log.on(3005, "after the throw");
    log.on(3006, "handler of bad");
    act(3007, {
        let entries = Entries::of(&fake.session);
        move || assert_eq!(entries.atexit(at::<3006>), 0)
    });
    let bad = Dylib {
        initializers: vec![array(&[address::<3007>(), address::<3004>(), address::<3005>()])],
        finalizers: vec![array(&[address::<3005>()])],
        ..Dylib::default()
    };
    fake.add("bad", &[], bad);
    let start = address::<3004>() as u64;
    let mut symbols = SymbolTable::default();
    symbols.push(start, 1, "the_thrower");
    let info = ImageInfo { symbols, ..image_of::<3004>(&fake, "bad") };
    // SAFETY: one byte of code of this test, which stays.
    unsafe { fake.session.register_images(vec![info]) }.expect("a free range");

    assert_eq!(open_throwing(&fake, "main"), "thrown");
    assert_eq!(log.take(), ["dep"]);
    assert_eq!((fake.count("main"), fake.count("bad")), (0, 0));
    for name in ["main", "bad"] {
        let error = fake.open(name).expect_err("poisoned");
        let DlError::Poisoned { name, initializer } = &error else { panic!("{error}") };
        assert!(name == "bad" && initializer.contains("the_thrower"), "{error}");
    }
    assert!(log.take().is_empty(), "a poisoned open runs nothing");

    // The finished dependency works for others.
    let dep = fake.open("dep").expect("not poisoned");
    assert!(log.take().is_empty(), "still initialized");
    fake.session.dlclose(dep).expect("open");
    assert_eq!(log.take(), ["~dep"], "released with its last holder");

    // Unloaded and mended, it is as good as new.
    fake.session.unload(fake.id("bad")).expect("nobody holds it");
    assert_eq!(log.take(), ["handler of bad"], "what it registered runs, its finalizers do not");
    fake.change("bad", |dylib| dylib.initializers = vec![array(&[address::<3005>()])]);
    fake.open("main").expect("mended");
    assert_eq!(log.take(), ["dep", "after the throw", "main"]);
}

#[test]
fn an_exception_in_a_nested_open_can_be_caught_by_the_initializer() {
    let (fake, log) = (Fake::new(), Log::default());
    fake.logging::<3010, 3011>(&log, "main", &[]);
    act(3012, || panic_any("inner"));
    fake.add("bad", &[], Dylib { initializers: vec![array(&[address::<3012>()])], ..Dylib::default() });
    act(3010, {
        let (fake, log) = (fake.clone(), log.clone());
        move || log.push(format!("main caught {}", open_throwing(&fake, "bad")))
    });
    let handle = fake.open("main").expect("the outer open");
    assert_eq!((log.take(), fake.count("main")), (vec!["main caught inner".to_owned()], 1));
    fake.session.dlclose(handle).expect("open");
    assert_eq!(log.take(), ["~main"]);
}

#[test]
fn a_throwing_initializer_leaves_no_lock_behind() {
    let (fake, log) = (Fake::new(), Log::default());
    fake.logging::<3020, 3021>(&log, "good", &[]);
    act(3022, || panic_any("x"));
    fake.add("bad", &[], Dylib { initializers: vec![array(&[address::<3022>()])], ..Dylib::default() });
    for _ in 0..3 {
        open_throwing(&fake, "bad");
        fake.session.unload(fake.id("bad")).expect("nobody holds it");
    }
    let elsewhere = fake.clone();
    std::thread::spawn(move || elsewhere.open("good").map(|_| ())).join().expect("no panic").expect("no lock is held");
    assert_eq!(log.take(), ["good"]);
}

#[test]
fn a_throwing_finalizer_does_not_keep_the_rest_from_running() {
    let (fake, log) = (Fake::new(), Log::default());
    fake.logging::<3030, 3031>(&log, "main", &["a"]).logging::<3032, 3033>(&log, "a", &[]);
    act(3031, || panic_any("from a finalizer"));
    let handle = fake.open("main").expect("two dylibs");
    log.take();
    let thrown = catch_unwind(AssertUnwindSafe(|| fake.session.dlclose(handle))).expect_err("it passes through");
    assert_eq!(thrown.downcast_ref::<&str>(), Some(&"from a finalizer"));
    assert_eq!((log.take(), fake.closed().len()), (vec!["~a".to_owned()], 2));
    fake.open("main").expect("unloaded properly");
}

#[test]
fn an_unreachable_controller_is_an_error() {
    // SAFETY: this controller plans nothing.
    let session = unsafe { orc_rt::Session::new(orc_rt::Config::new(std::sync::Arc::new(dispatch::Registry::new()))) };
    let error = session.dlopen("main", 0).expect_err("nobody serves OPEN");
    assert!(matches!(error, DlError::Controller { .. }) && error.to_string().contains("no handler"), "{error}");
}
