//! In which order do initializers run, how often, and with what? (rules 1-10, 25, 26)
#![cfg(not(shuttle))]

mod common;

use common::{Dylib, Fake, Log, act, address, array, reversed};
use orc_rt::DlError;
use std::ffi::{CStr, c_char, c_int};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

#[test]
fn dependencies_first_each_once_and_finalizers_in_reverse() {
    let (fake, log) = (Fake::new(), Log::default());
    fake.logging::<1000, 1001>(&log, "main", &["a", "b", "c"])
        .logging::<1002, 1003>(&log, "a", &[])
        .logging::<1004, 1005>(&log, "b", &["c"])
        .logging::<1006, 1007>(&log, "c", &["main"]);
    let handle = fake.open("main").expect("all there");
    assert_eq!(log.take(), ["a", "c", "b", "main"]);
    assert_eq!(fake.open("main").expect("open"), handle, "the handle is the same while it is open");
    assert!(log.take().is_empty());
    fake.session.dlclose(handle).expect("open twice");
    assert!(log.take().is_empty() && fake.closed().is_empty());
    fake.session.dlclose(handle).expect("open once");
    assert_eq!(log.take(), ["~main", "~b", "~c", "~a"]);
    assert_eq!(fake.closed().len(), 4);
    // Again, from the beginning (rule 22).
    let again = fake.open("main").expect("all there");
    assert_eq!(log.take(), ["a", "c", "b", "main"]);
    assert_ne!(again, handle);
    assert!(matches!(fake.session.dlclose(handle), Err(DlError::BadHandle { .. })));
}

#[test]
fn initializers_get_the_programs_arguments_and_environment() {
    static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());
    unsafe extern "C-unwind" fn initializer(argc: c_int, argv: *const *const c_char, envp: *const *const c_char) {
        for index in 0..argc as usize {
            // SAFETY: the loader passes `argc` strings.
            let text = unsafe { CStr::from_ptr(*argv.add(index)) };
            SEEN.lock().unwrap().push(text.to_str().unwrap().to_owned());
        }
        // SAFETY: the vector ends with a null pointer.
        assert!(unsafe { *argv.add(argc as usize) }.is_null());
        // SAFETY: the environment of a test is not empty.
        assert!(!unsafe { *envp }.is_null());
    }
    let fake = Fake::new();
    let initializers = vec![array(&[initializer as *const () as usize])];
    fake.add("main", &[], Dylib { initializers, ..Dylib::default() });
    fake.session.set_arguments(["program", "--flag"]).expect("no zero bytes");
    let refused = fake.session.set_arguments(["ok", "b\0d"]).expect_err("a zero byte").to_string();
    assert!(refused.contains("argument 1"), "{refused}");
    fake.open("main").expect("one initializer");
    assert_eq!(*SEEN.lock().unwrap(), ["program", "--flag"]);
}

#[test]
fn ctors_run_backwards_and_their_marks_are_skipped() {
    let (fake, log) = (Fake::new(), Log::default());
    log.on(1010, "first");
    log.on(1011, "second");
    log.on(1012, "last");
    let ctors = reversed(&[usize::MAX, address::<1012>(), 0, address::<1011>(), address::<1010>(), 0]);
    fake.add("a", &[], Dylib { initializers: vec![ctors, array(&[0])], ..Dylib::default() });
    fake.open("a").expect("three initializers");
    assert_eq!(log.take(), ["first", "second", "last"]);
}

#[test]
fn arrays_are_read_when_they_are_run() {
    let (fake, log) = (Fake::new(), Log::default());
    let late: &'static [std::sync::atomic::AtomicUsize; 1] = Box::leak(Box::new([AtomicUsize::new(address::<1021>())]));
    log.on(1021, "stale");
    log.on(1022, "fresh");
    act(1020, || late[0].store(address::<1022>(), Ordering::SeqCst));
    // SAFETY: an atomic word has the layout of a word; the array stays.
    let entries: &'static [usize] = unsafe { std::slice::from_raw_parts(late.as_ptr().cast(), 1) };
    let arrays = vec![array(&[address::<1020>()]), common::Array { entries, reverse: false }];
    fake.add("a", &[], Dylib { initializers: arrays, ..Dylib::default() });
    fake.open("a").expect("two arrays");
    assert_eq!(log.take(), ["fresh"]);
}

#[test]
fn preinit_runs_before_everything_and_only_for_the_program() {
    let (fake, log) = (Fake::new(), Log::default());
    log.on(1034, "preinit");
    log.on(1035, "never");
    fake.logging::<1030, 1031>(&log, "main", &["a"]).logging::<1032, 1033>(&log, "a", &[]);
    fake.change("main", |dylib| {
        dylib.is_program = true;
        dylib.preinit = vec![array(&[address::<1034>()])];
    });
    fake.change("a", |dylib| dylib.preinit = vec![array(&[address::<1035>()])]);
    let handle = fake.open("").expect("the program");
    assert_eq!(log.take(), ["preinit", "a", "main"]);
    assert_eq!(fake.open("main").expect("the same"), handle);
    assert!(log.take().is_empty());
}

#[test]
fn opening_oneself_or_an_ancestor_runs_nothing_now() {
    let (fake, log) = (Fake::new(), Log::default());
    fake.logging::<1040, 1041>(&log, "main", &["a"]).logging::<1042, 1043>(&log, "a", &[]);
    let (inner, inner_log) = (fake.clone(), log.clone());
    act(1042, move || {
        inner_log.push("a begins");
        inner.open("a").expect("itself");
        inner.open("main").expect("its ancestor");
        inner_log.push("a ends");
    });
    let handle = fake.open("main").expect("nested opens");
    assert_eq!(log.take(), ["a begins", "a ends", "main"]);
    assert_eq!((fake.count("main"), fake.count("a")), (2, 1));
    fake.session.dlclose(handle).expect("twice open");
    assert!(log.take().is_empty());
    fake.session.dlclose(handle).expect("once open");
    assert_eq!(log.take(), ["~main"], "a is still open");
}

#[test]
fn an_inner_open_initializes_its_whole_subtree() {
    let (fake, log) = (Fake::new(), Log::default());
    fake.logging::<1050, 1051>(&log, "main", &["a", "b"])
        .logging::<1052, 1053>(&log, "a", &[])
        .logging::<1054, 1055>(&log, "b", &["c"])
        .logging::<1056, 1057>(&log, "c", &[]);
    let (inner, inner_log) = (fake.clone(), log.clone());
    act(1052, move || {
        inner_log.push("a begins");
        inner.open("b").expect("not started yet");
        inner_log.push("a ends");
    });
    fake.open("main").expect("nested opens");
    assert_eq!(log.take(), ["a begins", "c", "b", "a ends", "main"]);
}

#[test]
fn a_failed_inner_open_does_not_spoil_the_outer_one() {
    let (fake, log) = (Fake::new(), Log::default());
    fake.logging::<1060, 1061>(&log, "main", &[]);
    let (inner, inner_log) = (fake.clone(), log.clone());
    act(1060, move || {
        inner.break_linking(Some("symbol x is undefined"));
        inner_log.push(inner.open("main").expect_err("broken").to_string());
        inner_log.push(inner.open("nowhere").expect_err("broken").to_string());
        inner.break_linking(None);
        inner_log.push(inner.open("nowhere").expect_err("not there").to_string());
    });
    fake.open("main").expect("the outer open");
    let lines = log.take();
    assert!(lines[0].contains("main") && lines[0].contains("symbol x is undefined"), "{lines:?}");
    assert!(lines[2].contains("no JITDylib named \"nowhere\""), "{lines:?}");
}

#[test]
fn a_failed_open_leaves_nothing_and_can_be_repeated() {
    let (fake, log) = (Fake::new(), Log::default());
    fake.logging::<1070, 1071>(&log, "main", &["a"]).logging::<1072, 1073>(&log, "a", &[]);
    fake.break_linking(Some("a.o: truncated"));
    let first = fake.open("main").expect_err("broken");
    assert_eq!(fake.open("main").expect_err("still broken"), first);
    assert!(log.take().is_empty());
    fake.break_linking(None);
    fake.open("main").expect("mended");
    assert_eq!((log.take(), fake.count("main")), (vec!["a".to_owned(), "main".to_owned()], 1));
}

#[test]
fn new_code_waits_for_an_update_or_the_next_open() {
    let (fake, log) = (Fake::new(), Log::default());
    fake.logging::<1080, 1081>(&log, "main", &[]).logging::<1082, 1083>(&log, "late", &[]);
    log.on(1084, "more");
    log.on(1085, "~more");
    let (inner, inner_log) = (fake.clone(), log.clone());
    act(1080, move || {
        inner_log.push("main");
        inner.change("main", |dylib| {
            dylib.initializers.push(array(&[address::<1084>()]));
            dylib.finalizers.push(array(&[address::<1085>()]));
        });
    });
    let handle = fake.open("main").expect("one initializer");
    assert_eq!(log.take(), ["main"], "code that comes during an open is not its business");
    fake.session.dlupdate(handle).expect("open");
    assert_eq!(log.take(), ["more"]);
    fake.session.dlupdate(handle).expect("open");
    assert!(log.take().is_empty());
    fake.change("main", |dylib| dylib.links.push("late".into()));
    fake.session.dlupdate(handle).expect("open");
    assert_eq!((log.take(), fake.count("main")), (vec!["late".to_owned()], 1));
    fake.session.dlclose(handle).expect("open");
    assert_eq!(log.take(), ["~late", "~more", "~main"], "in reverse of what completed");
    assert!(matches!(fake.session.dlupdate(handle), Err(DlError::BadHandle { .. })));
}

#[test]
fn a_dependency_that_is_not_linked_any_more_is_released() {
    let (fake, log) = (Fake::new(), Log::default());
    fake.logging::<1090, 1091>(&log, "main", &["a"]).logging::<1092, 1093>(&log, "a", &[]);
    let handle = fake.open("main").expect("two dylibs");
    log.take();
    fake.change("main", |dylib| dylib.links.clear());
    fake.session.dlupdate(handle).expect("open");
    assert_eq!((log.take(), fake.closed()), (vec!["~a".to_owned()], vec!["a".to_owned()]));
}

#[test]
fn a_long_chain_opens_in_a_small_stack() {
    let fake = Fake::new();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    act(1100, move || {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let names: Vec<_> = (0..2000).map(|index| format!("d{index}")).collect();
    for (index, name) in names.iter().enumerate() {
        let links: Vec<&str> = names.get(index + 1).map(String::as_str).into_iter().collect();
        fake.add(name, &links, Dylib { initializers: vec![array(&[address::<1100>()])], ..Dylib::default() });
    }
    let opening = std::thread::Builder::new().stack_size(128 << 10).spawn(move || {
        let handle = fake.open("d0").expect("a chain");
        fake.session.dlclose(handle).expect("open");
        fake.closed().len()
    });
    assert_eq!(opening.expect("a thread").join().expect("no overflow"), 2000);
    assert_eq!(count.load(Ordering::SeqCst), 2000);
}
