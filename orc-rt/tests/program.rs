//! How does a program run and end? (rules 20, 29; each program is a process of its own)
#![cfg(not(shuttle))]
// A program talks to its standard output.
#![allow(clippy::print_stdout)]

mod common;

use common::{Dylib, Entries, Fake, act, address, array, at, image, reversed};
use orc_rt::as_a_program;
use std::ffi::{CStr, c_char, c_int};
use std::process::{Command, Output};

/// Runs the test `name` of this file again, in a process of its own where it plays the program.
fn as_process(name: &str) -> Option<Output> {
    if std::env::var_os("ORC_RT_PROGRAM").is_some_and(|program| program == name) {
        return None;
    }
    let own = std::env::current_exe().expect("the path of this test");
    let output = Command::new(own).args(["--exact", name, "--nocapture"]).env("ORC_RT_PROGRAM", name).output();
    Some(output.expect("a process"))
}

/// The lines that the program wrote, which begin with a mark to tell them from the test harness's.
fn lines(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter_map(|line| Some(line.split_once("> ")?.1.to_owned())).collect()
}

fn say(line: &str) {
    println!("> {line}");
}

/// An initializer, finalizer or handler that says `line`.
fn saying(number: usize, line: &'static str) {
    act(number, move || say(line));
}

/// `main` with dependency `lib`; both with a handler from their initializer and a finalizer.
fn two_dylibs(main: usize) -> Fake {
    let fake = Fake::with(|config| config.before_exit = Some(Box::new(|status| say(&format!("before exit {status}")))));
    for (number, line) in [
        (6000, "fini main"),
        (6001, "fini lib"),
        (6004, "handler of main's initializer"),
        (6005, "handler of lib's initializer"),
        (6006, "handler of main"),
    ] {
        saying(number, line);
    }
    act(6002, {
        let entries = Entries::of(&fake.session);
        move || {
            say("init main");
            entries.atexit(at::<6004>);
        }
    });
    act(6003, {
        let entries = Entries::of(&fake.session);
        move || {
            say("init lib");
            entries.atexit(at::<6005>);
        }
    });
    let program = Dylib {
        initializers: vec![array(&[address::<6002>()])],
        finalizers: vec![reversed(&[address::<6000>()])],
        symbols: [("main".to_owned(), main as u64)].into(),
        is_program: true,
        ..Dylib::default()
    };
    let library = Dylib {
        initializers: vec![array(&[address::<6003>()])],
        finalizers: vec![reversed(&[address::<6001>()])],
        ..Dylib::default()
    };
    fake.add("main", &["lib"], program).add("lib", &[], library);
    // SAFETY: one byte of code of this test, which stays.
    unsafe { fake.session.register_images(vec![image(&fake, "main", main as u64..main as u64 + 1)]) }
        .expect("a free range");
    fake
}

static ENTRIES: std::sync::OnceLock<Entries> = std::sync::OnceLock::new();

/// `int main(int argc, char **argv)`: registers a handler, says its arguments, returns their number.
unsafe extern "C-unwind" fn returning_main(argc: c_int, argv: *const *const c_char) -> c_int {
    for index in 0..argc as usize {
        // SAFETY: `argv` has `argc` strings.
        say(unsafe { CStr::from_ptr(*argv.add(index)) }.to_str().expect("text"));
    }
    if let Some(entries) = ENTRIES.get() {
        entries.atexit(at::<6006>);
    }
    argc
}

unsafe extern "C-unwind" fn exiting_main(_argc: c_int, _argv: *const *const c_char) -> c_int {
    let entries = ENTRIES.get().expect("set by the test");
    entries.atexit(at::<6006>);
    entries.exit(41);
}

const NATIVE_END: [&str; 5] =
    ["handler of main", "handler of main's initializer", "handler of lib's initializer", "fini main", "fini lib"];

#[test]
fn exit_runs_everything_in_order_and_ends_the_process_with_its_code() {
    let Some(output) = as_process("exit_runs_everything_in_order_and_ends_the_process_with_its_code") else {
        let fake = two_dylibs(exiting_main as *const () as usize);
        ENTRIES.get_or_init(|| Entries::of(&fake.session));
        fake.open("main").expect("two dylibs");
        // SAFETY: it is a `main`, and its dylib is open.
        let returned = unsafe { fake.session.run_program(exiting_main as *const () as u64, ["program"]) };
        unreachable!("exit returned: {returned:?}");
    };
    assert_eq!(output.status.code(), Some(41), "{output:?}");
    let mut expected = vec!["init lib", "init main"];
    expected.extend(NATIVE_END);
    expected.push("before exit 41");
    assert_eq!(lines(&output), expected);
}

#[test]
fn exit_in_a_handler_goes_on_with_the_rest() {
    let Some(output) = as_process("exit_in_a_handler_goes_on_with_the_rest") else {
        let fake = two_dylibs(exiting_main as *const () as usize);
        ENTRIES.get_or_init(|| Entries::of(&fake.session));
        act(6004, || {
            say("a handler exits");
            ENTRIES.get().expect("set above").exit(7);
        });
        fake.open("main").expect("two dylibs");
        // SAFETY: it is a `main`, and its dylib is open.
        let returned = unsafe { fake.session.run_program(exiting_main as *const () as u64, ["program"]) };
        unreachable!("exit returned: {returned:?}");
    };
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert_eq!(
        lines(&output)[2..],
        [
            "handler of main",
            "a handler exits",
            "handler of lib's initializer",
            "fini main",
            "fini lib",
            "before exit 7"
        ]
    );
}

#[test]
fn a_returning_main_gives_its_code_and_ending_the_program_is_like_exit() {
    let Some(output) = as_process("a_returning_main_gives_its_code_and_ending_the_program_is_like_exit") else {
        let fake = two_dylibs(returning_main as *const () as usize);
        ENTRIES.get_or_init(|| Entries::of(&fake.session));
        let handle = fake.open("").expect("the program");
        // SAFETY: it is a `main`, and its dylib is open.
        let status = unsafe { fake.session.run_program(returning_main as *const () as u64, ["program", "x y"]) };
        assert_eq!(status, Ok(2));
        fake.session.end_program(2);
        say("ended");
        fake.session.dlclose(handle).expect("open");
        assert_eq!(fake.closed().len(), 2);
        return;
    };
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let mut expected = vec!["init lib", "init main", "program", "x y"];
    expected.extend(NATIVE_END);
    expected.push("ended");
    assert_eq!(lines(&output), expected);
}

#[test]
fn run_program_of_c_opens_calls_and_closes() {
    let Some(output) = as_process("run_program_of_c_opens_calls_and_closes") else {
        let fake = two_dylibs(returning_main as *const () as usize);
        type RunProgram = extern "C-unwind" fn(*const c_char, *const c_char, c_int, *const *const c_char) -> i64;
        let entries = Entries::of(&fake.session);
        // SAFETY: this is its C type.
        let run: RunProgram = unsafe { std::mem::transmute(entries.address("__orc_rt_run_program") as usize) };
        let arguments = [c"p".as_ptr(), c"q".as_ptr()];
        assert_eq!(run(c"main".as_ptr(), c"main".as_ptr(), 2, arguments.as_ptr()), 2);
        assert_eq!(run(c"main".as_ptr(), c"mian".as_ptr(), 2, arguments.as_ptr()), -1);
        assert!(entries.dlerror("dlerror").is_some_and(|text| text.contains("mian")));
        assert_eq!(run(c"nowhere".as_ptr(), c"main".as_ptr(), 0, std::ptr::null()), -1);
        return;
    };
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let once = ["init lib", "init main"];
    let end = ["fini main", "handler of main's initializer", "fini lib", "handler of lib's initializer"];
    let expected: Vec<_> = once.into_iter().chain(["p", "q"]).chain(end).chain(once).chain(end).collect();
    assert_eq!(lines(&output), expected);
}

#[test]
fn an_exception_that_nobody_catches_ends_a_program() {
    let Some(output) = as_process("an_exception_that_nobody_catches_ends_a_program") else {
        let caught = std::panic::catch_unwind(|| as_a_program(|| panic!("nobody catches this")));
        say(if caught.is_err() { "it passed the barrier" } else { "it vanished" });
        return;
    };
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{output:?}");
    assert!(lines(&output).is_empty());
    assert_eq!(as_a_program(|| 5), 5);
}

#[test]
fn only_code_of_the_session_can_be_run() {
    let fake = Fake::new();
    // SAFETY: refused before it is called.
    let refused = unsafe { fake.session.run_program(0x1234, ["program"]) };
    assert!(refused.expect_err("no image there").to_string().contains("0x1234"));
}
