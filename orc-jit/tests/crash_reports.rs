//! What does a program tell that links in its own process, when what it has linked dies of a signal there, and who else hears of the signal?
//!
//! Each test is two processes: itself, and the one that dies.
//!
//! `unsafe` because dispositions belong to the whole process, and linked code is called by address.
#![allow(unsafe_code)]

mod common;

use common::child::in_child;
use common::compile;
use orc_jit::{InProcess, Opened, Session, SessionOptions};
use std::ffi::c_int;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Output;
use std::sync::Arc;

unsafe extern "C" {
    fn signal(number: c_int, handler: usize) -> usize;
    fn _exit(status: c_int) -> !;
}

const SIGABRT: c_int = 6;
const SIGFPE: c_int = 8;
const SIGSEGV: c_int = 11;
const SIG_DFL: usize = 0;
const SIG_IGN: usize = 1;

const DEADLY: &str = r"
static int *volatile nowhere;
int dies(int n) { *nowhere = n; return n; }
int caller(int n) { return dies(n) + 1; }
";

type Function = extern "C-unwind" fn(c_int) -> c_int;

fn set(number: c_int, handler: usize) {
    // SAFETY: 0 and 1 install no handler; the others are functions of this type, here or in linked code that stays.
    unsafe { signal(number, handler) };
}

fn session(crash_reports: bool) -> Session {
    let options = SessionOptions { crash_reports, ..SessionOptions::default() };
    Session::new(InProcess::new(), options).expect("a session")
}

fn open(session: &Session, name: &str, compiler: &[&str], source: &str) -> Opened<InProcess> {
    let dylib = session.add_dylib(name).expect("a new name");
    dylib.add_object("deadly.o", compile(compiler, source)).expect("an object");
    session.open(name).expect("it links")
}

fn function(opened: &Opened<InProcess>, name: &str) -> Function {
    // SAFETY: the sources of these tests define functions of this type.
    *unsafe { opened.symbol::<Function>(name) }.expect("it is there")
}

/// A dylib whose function `caller` dies, and is told of. What Rust's runtime has installed is taken away first.
fn deadly() -> (Session, Opened<InProcess>) {
    set(SIGSEGV, SIG_DFL);
    let session = session(true);
    let opened = open(&session, "deadly", &["gcc", "-xc", "-g"], DEADLY);
    (session, opened)
}

#[track_caller]
fn died(output: &Output, signal: c_int) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.signal(), Some(signal), "{:?}\n{said}", output.status);
    said
}

#[track_caller]
fn has_in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let at = rest.find(part).unwrap_or_else(|| panic!("{part:?} is missing in its place in:\n{text}"));
        rest = &rest[at + part.len()..];
    }
}

const FRAMES: [&str; 3] = ["through a null pointer", "in dies+", "called from caller+"];

#[test]
fn functions_are_named_with_their_lines_and_the_process_dies_of_the_signal() {
    let output = in_child("functions_are_named_with_their_lines_and_the_process_dies_of_the_signal", || {
        let (_session, opened) = deadly();
        function(&opened, "caller")(1);
    });
    let said = died(&output, SIGSEGV);
    has_in_order(
        &said,
        &["it wrote address 0x0, through a null pointer", "in dies+", ":3 (deadly.o:(.text+", "called from caller+"],
    );
    assert!(said.contains("crash_reports-"), "the host's own frames are told by its name:\n{said}");
}

#[test]
fn what_nobody_catches_is_told_where_it_was_thrown() {
    let output = in_child("what_nobody_catches_is_told_where_it_was_thrown", || {
        let session = session(true);
        let library = session.open_library("libstdc++.so.6").expect("a tool of the tests");
        let dylib = session.add_dylib("throws").expect("a new name");
        dylib.add_library(library).expect("a library");
        let source = r#"extern "C" int throws(int n) noexcept { throw n; }"#;
        dylib.add_object("throws.o", compile(&["g++", "-xc++", "-g"], source)).expect("an object");
        let opened = session.open("throws").expect("it links");
        function(&opened, "throws")(1);
    });
    has_in_order(
        &died(&output, SIGABRT),
        &["terminate called", "(SIGABRT)", "called from abort+", "called from throws+"],
    );
}

#[test]
fn what_was_installed_before_runs_after_the_report() {
    extern "C" fn ends(number: c_int) {
        // SAFETY: ends the process at once.
        unsafe { _exit(70 + number) };
    }
    let output = in_child("what_was_installed_before_runs_after_the_report", || {
        set(SIGSEGV, ends as *const () as usize);
        let session = session(true);
        let opened = open(&session, "deadly", &["gcc", "-xc"], DEADLY);
        function(&opened, "caller")(1);
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(70 + SIGSEGV), "{said}");
    has_in_order(&said, &FRAMES);
}

#[test]
fn a_handler_of_before_may_leave_by_a_jump_and_the_next_fault_is_told_again() {
    const JUMPS: &str = r"
    #include <setjmp.h>
    #include <signal.h>
    static sigjmp_buf back;
    static int *volatile nowhere;
    static void jumps(int number) { siglongjmp(back, number); }
    int installs(int number) { signal(number, jumps); return 0; }
    static __attribute__((noinline)) int first(int n) { *nowhere = n; return n; }
    static __attribute__((noinline)) int second(int n) { nowhere[n] = n; return n; }
    int recovers(int n) {
        int number = sigsetjmp(back, 1);
        if (number) return number;
        return n == 1 ? first(n) : second(n);
    }";
    let output = in_child("a_handler_of_before_may_leave_by_a_jump_and_the_next_fault_is_told_again", || {
        let before = session(false);
        let opened = open(&before, "jumps", &["gcc", "-xc"], JUMPS);
        function(&opened, "installs")(SIGSEGV);
        let _tells = session(true);
        orc_jit::crash::tell_by(|crash| {
            let functions: Vec<_> = crash.frames.iter().map(|frame| frame.function.as_str()).collect();
            format!("told of {}\n", functions.first().unwrap_or(&"nothing")).into_bytes()
        });
        for n in [1, 2, 1] {
            assert_eq!(function(&opened, "recovers")(n), SIGSEGV);
        }
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    // The session that has linked these did not ask: its functions are nobody's.
    assert_eq!(said.matches("told of ").count(), 3, "{said}");
}

#[test]
fn an_ignored_signal_stays_ignored_and_is_not_told() {
    let output = in_child("an_ignored_signal_stays_ignored_and_is_not_told", || {
        set(SIGFPE, SIG_IGN);
        let session = session(true);
        let source = "#include <signal.h>\nint raises(int n) { return raise(n); }";
        let opened = open(&session, "raises", &["gcc", "-xc"], source);
        assert_eq!(function(&opened, "raises")(SIGFPE), 0);
    });
    assert!(output.status.success(), "{output:?}");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("signal"), "{output:?}");
}

#[test]
fn names_are_found_while_other_threads_link() {
    let output = in_child("names_are_found_while_other_threads_link", || {
        let (session, opened) = deadly();
        let busy = Arc::new(std::sync::Barrier::new(3));
        for thread in 0..2 {
            let (session, busy) = (session.clone(), Arc::clone(&busy));
            std::thread::spawn(move || {
                for number in 0.. {
                    let source = "int links(int n) { return n; }";
                    drop(open(&session, &format!("{thread}-{number}"), &["gcc", "-xc"], source));
                    if number == 3 {
                        busy.wait();
                    }
                }
            });
        }
        busy.wait();
        function(&opened, "caller")(1);
    });
    has_in_order(&died(&output, SIGSEGV), &FRAMES);
}

#[test]
fn a_thread_that_has_the_lock_that_is_needed_is_told_by_addresses() {
    // A resolver runs while its dylib is linked, by the thread that has the session.
    const RESOLVER: &str = r"
    static int *volatile nowhere;
    static int implementation(int n) { return n; }
    static int (*choose(void))(int) { *nowhere = 1; return implementation; }
    int chosen(int n) __attribute__((ifunc(\x22choose\x22)));
    int calls(int n) { return chosen(n); }";
    let source = RESOLVER.replace(r"\x22", "\"");
    let output = in_child("a_thread_that_has_the_lock_that_is_needed_is_told_by_addresses", || {
        set(SIGSEGV, SIG_DFL);
        drop(open(&session(true), "resolves", &["gcc", "-xc"], &source));
    });
    let said = died(&output, SIGSEGV);
    has_in_order(&said, &["signal 11, about address 0x0", "at 0x", "in the function at 0x", "(dylib resolves)"]);
    has_in_order(&said, &["called from 0x", "note: names could not be looked up in time"]);
}

#[test]
fn a_reporter_that_dies_itself_is_no_reason_to_say_nothing() {
    let output = in_child("a_reporter_that_dies_itself_is_no_reason_to_say_nothing", || {
        let (_session, opened) = deadly();
        let dies = function(&opened, "dies");
        orc_jit::crash::tell_by(move |_| vec![b'.'; dies(1) as usize]);
        function(&opened, "caller")(1);
    });
    let said = died(&output, SIGSEGV);
    has_in_order(&said, &["signal 11, about address 0x0", "(dylib deadly)", "called from", "met a fault itself"]);
}

#[test]
fn a_reporter_that_panics_is_no_reason_to_say_nothing() {
    let output = in_child("a_reporter_that_panics_is_no_reason_to_say_nothing", || {
        let (_session, opened) = deadly();
        orc_jit::crash::tell_by(|crash| panic!("nothing is told of {} frames", crash.frames.len()));
        function(&opened, "caller")(1);
    });
    has_in_order(&died(&output, SIGSEGV), &["nothing is told of", "signal 11, about address 0x0", "(dylib deadly)"]);
}
