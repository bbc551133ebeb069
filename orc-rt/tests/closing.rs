//! What runs at a close, in which order, and what is left? (rules 18-20, 22-24, 28)
#![cfg(not(shuttle))]

mod common;

use common::{Dylib, Entries, Fake, Log, act, address, array, at, image_of, reversed};
use orc_rt::service::mode;
use orc_rt::{DlError, Handle, Registration, Teardown};
use std::ffi::{c_int, c_void};
use std::sync::Mutex;

#[test]
fn handlers_and_finalizers_run_in_exact_reverse_of_what_happened() {
    let (fake, log) = (Fake::new(), Log::default());
    fake.logging::<2000, 2001>(&log, "main", &["a"]).logging::<2002, 2003>(&log, "a", &[]);
    for (number, line) in
        [(2004, "a's handler 1"), (2005, "a's handler 2"), (2006, "main's handler"), (2007, "late handler of a")]
    {
        log.on(number, line);
    }
    let entries = Entries::of(&fake.session);
    let dso_handle = address::<2002>() as u64;
    act(2002, {
        let entries = Entries::of(&fake.session);
        move || {
            assert_eq!(entries.atexit(at::<2004>), 0);
            assert_eq!(entries.cxa_atexit(at::<2005>, dso_handle), 0);
        }
    });
    act(2000, {
        let entries = Entries::of(&fake.session);
        move || assert_eq!(entries.atexit(at::<2006>), 0)
    });
    // SAFETY: one byte of code of this test, which stays.
    let ids = unsafe { fake.session.register_images(vec![image_of::<2002>(&fake, "a")]) }.expect("a free range");
    let handle = fake.open("main").expect("two dylibs");
    assert_eq!(entries.cxa_atexit(at::<2007>, dso_handle), 0);
    let counts: Vec<_> = fake
        .session
        .ledger()
        .into_iter()
        .map(|entry| entry.registration)
        .filter(|each| matches!(each, Registration::ExitHandlers(_)))
        .collect();
    assert_eq!(counts, [Registration::ExitHandlers(1), Registration::ExitHandlers(3)]);
    fake.session.dlclose(handle).expect("open");
    assert_eq!(log.take(), ["late handler of a", "~main", "main's handler", "~a", "a's handler 2", "a's handler 1"]);
    assert!(fake.session.release_image(ids[0]) && !fake.session.release_image(ids[0]));
    assert_eq!(fake.session.ledger(), []);
}

#[test]
fn a_handler_registered_by_a_handler_runs_before_the_older_ones() {
    let (fake, log) = (Fake::new(), Log::default());
    fake.logging::<2010, 2011>(&log, "a", &[]);
    log.on(2012, "older");
    log.on(2014, "registered by a handler");
    act(2010, {
        let entries = Entries::of(&fake.session);
        let _ = &entries;
        move || {
            entries.atexit(at::<2012>);
            entries.atexit(at::<2013>);
        }
    });
    let dso_handle = address::<2010>() as u64;
    act(2013, {
        let (entries, log) = (Entries::of(&fake.session), log.clone());
        move || {
            log.push("younger");
            entries.cxa_atexit(at::<2014>, dso_handle);
        }
    });
    // SAFETY: one byte of code of this test, which stays.
    unsafe { fake.session.register_images(vec![image_of::<2010>(&fake, "a")]) }.expect("a free range");
    let handle = fake.open("a").expect("one dylib");
    fake.session.dlclose(handle).expect("open");
    assert_eq!(log.take(), ["~a", "younger", "registered by a handler", "older"]);
}

#[test]
fn cxa_finalize_runs_the_handlers_of_one_dylib_once() {
    let (fake, log) = (Fake::new(), Log::default());
    fake.logging::<2020, 2021>(&log, "a", &[]).logging::<2022, 2023>(&log, "b", &[]);
    log.on(2024, "of a");
    log.on(2025, "of b");
    let entries = Entries::of(&fake.session);
    // SAFETY: bytes of code of this test, which stay.
    unsafe { fake.session.register_images(vec![image_of::<2020>(&fake, "a"), image_of::<2022>(&fake, "b")]) }
        .expect("free ranges");
    let (a, b) = (fake.open("a").expect("a"), fake.open("b").expect("b"));
    entries.cxa_atexit(at::<2024>, address::<2020>() as u64);
    entries.cxa_atexit(at::<2025>, address::<2022>() as u64);
    log.take();
    entries.cxa_finalize(address::<2020>() as u64);
    assert_eq!(log.take(), ["of a"]);
    fake.session.dlclose(a).expect("open");
    fake.session.dlclose(b).expect("open");
    assert_eq!(log.take(), ["~a", "of b", "~b"]);
}

#[test]
fn on_exit_handlers_get_status_and_argument() {
    static SEEN: Mutex<Vec<(c_int, usize)>> = Mutex::new(Vec::new());
    extern "C-unwind" fn handler(status: c_int, argument: *mut c_void) {
        SEEN.lock().unwrap().push((status, argument as usize));
    }
    let fake = Fake::new();
    let entries = Entries::of(&fake.session);
    act(2030, move || assert_eq!(entries.on_exit(handler, 99), 0));
    fake.add("a", &[], Dylib { initializers: vec![array(&[address::<2030>()])], ..Dylib::default() });
    let handle = fake.open("a").expect("one dylib");
    fake.session.dlclose(handle).expect("open");
    assert_eq!(*SEEN.lock().unwrap(), [(0, 99)]);
}

#[test]
fn a_dependency_lives_while_an_open_dependant_does_and_a_cycle_goes_as_a_whole() {
    let (fake, log) = (Fake::new(), Log::default());
    fake.logging::<2040, 2041>(&log, "x", &["y"]).logging::<2042, 2043>(&log, "y", &["x"]).logging::<2044, 2045>(
        &log,
        "z",
        &["x"],
    );
    let (x, z) = (fake.open("x").expect("a cycle"), fake.open("z").expect("on top of it"));
    log.take();
    fake.session.dlclose(x).expect("open");
    assert!(log.take().is_empty(), "z needs the cycle");
    assert!(matches!(fake.session.dlclose(x), Err(DlError::BadHandle { .. })));
    fake.session.dlclose(z).expect("open");
    assert_eq!(log.take(), ["~z", "~x", "~y"]);
    assert_eq!(fake.session.ledger(), []);
}

#[test]
fn finalizer_arrays_run_as_they_say() {
    let (fake, log) = (Fake::new(), Log::default());
    for number in [2050, 2051, 2052, 2053] {
        log.on(number, &number.to_string());
    }
    let finalizers = vec![
        reversed(&[address::<2050>(), address::<2051>()]),
        array(&[address::<2052>(), usize::MAX, address::<2053>(), 0]),
    ];
    fake.add("a", &[], Dylib { finalizers, ..Dylib::default() });
    let handle = fake.open("a").expect("no initializers");
    fake.session.dlclose(handle).expect("open");
    assert_eq!(log.take(), ["2051", "2050", "2052", "2053"]);
}

#[test]
fn bogus_and_stale_handles_are_errors() {
    let fake = Fake::new();
    fake.add("a", &[], Dylib::default());
    let other = Fake::new();
    other.add("a", &[], Dylib::default());
    let handle = fake.open("a").expect("one dylib");
    for bogus in [0, 1, 0xdead_beef, u64::MAX, handle.as_raw() + 100, handle.as_raw() ^ (1 << 50)] {
        assert_eq!(
            fake.session.dlclose(Handle::from_raw(bogus)),
            Err(DlError::BadHandle { handle: Handle::from_raw(bogus) })
        );
    }
    assert!(matches!(other.session.dlclose(handle), Err(DlError::BadHandle { .. })), "a handle of another session");
    fake.session.dlclose(handle).expect("open");
    assert!(matches!(fake.session.dlclose(handle), Err(DlError::BadHandle { .. })), "over-closed");
}

#[test]
fn a_close_from_within_is_deferred() {
    let (fake, log) = (Fake::new(), Log::default());
    fake.logging::<2060, 2061>(&log, "a", &[]);
    act(2060, {
        let (fake, log) = (fake.clone(), log.clone());
        move || {
            let handle = fake.open("a").expect("itself");
            fake.session.dlclose(handle).expect("just opened");
            log.push("a, after closing itself");
        }
    });
    let handle = fake.open("a").expect("nested");
    assert_eq!(log.take(), ["a, after closing itself"]);
    assert_eq!(fake.count("a"), 1);
    act(2061, {
        let (fake, log) = (fake.clone(), log.clone());
        move || {
            log.push("~a");
            assert!(matches!(fake.session.dlclose(handle), Err(DlError::BadHandle { .. })));
            assert!(
                matches!(fake.open("a"), Err(DlError::Unloading { .. })),
                "what goes away cannot come back meanwhile"
            );
        }
    });
    fake.session.dlclose(handle).expect("open");
    assert_eq!((log.take(), fake.closed()), (vec!["~a".to_owned()], vec!["a".to_owned()]));
    assert_eq!(fake.open("a").map(|_| fake.count("a")), Ok(1));
}

#[test]
fn memory_stays_while_somebody_is_inside() {
    let (fake, log) = (Fake::new(), Log::default());
    fake.logging::<2070, 2071>(&log, "a", &[]);
    let handle = fake.open("a").expect("one dylib");
    let token = fake.session.keepalive(fake.id("a")).expect("not torn down");
    log.take();
    fake.session.dlclose(handle).expect("open");
    assert_eq!((log.take(), fake.closed()), (vec!["~a".to_owned()], vec![]), "finalized, but not freed");
    assert_eq!(fake.open("a"), Err(DlError::StillInside { name: "a".into(), count: 1 }));
    assert!(fake.session.shut_down(Teardown::Refuse).is_err());
    drop(token);
    assert_eq!(fake.closed(), ["a"]);
    fake.open("a").expect("free again");
}

#[test]
fn modes_are_those_of_dlopen() {
    let (fake, log) = (Fake::new(), Log::default());
    fake.logging::<2080, 2081>(&log, "a", &[]);
    assert_eq!(fake.session.dlopen("a", mode::NOW | mode::NOLOAD), Err(DlError::NotLoaded { name: "a".into() }));
    assert!(log.take().is_empty());
    let handle = fake.session.dlopen("a", mode::NODELETE).expect("one dylib");
    assert_eq!(fake.session.dlopen("a", mode::NOLOAD), Ok(handle));
    fake.session.dlclose(handle).expect("open twice");
    fake.session.dlclose(handle).expect("open once");
    assert!(matches!(fake.session.dlclose(handle), Err(DlError::NotOpen { .. })), "over-closed");
    assert_eq!(log.take(), ["a"], "never unloaded");
    fake.session.shut_down(Teardown::Refuse).expect("nobody is inside");
    assert_eq!(log.take(), ["~a"]);
    assert!(fake.session.keepalive(fake.id("a")).is_none());
}

#[test]
fn shutting_down_closes_everything_in_reverse() {
    let (fake, log) = (Fake::new(), Log::default());
    fake.logging::<2090, 2091>(&log, "a", &[]).logging::<2092, 2093>(&log, "b", &["a"]).logging::<2094, 2095>(
        &log,
        "c",
        &[],
    );
    for name in ["a", "b", "c", "b"] {
        fake.open(name).expect("a dylib");
    }
    log.take();
    fake.session.shut_down(Teardown::Refuse).expect("nobody is inside");
    assert_eq!(log.take(), ["~c", "~b", "~a"]);
    assert_eq!(fake.session.ledger(), []);
    assert_eq!(fake.open("a"), Err(DlError::ShutDown));
}
