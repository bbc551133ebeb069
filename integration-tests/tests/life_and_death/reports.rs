//! What is told of a program that dies in this process (`--crash-reports`), and what becomes of the signal? The same as of one that dies in an executor's.

use crate::world::World;
use integration_tests::executor::Kind;
use rustix::process::{Signal, kill_process};

/// How the program dies, its exit code, and what the report has, in this order: title, then frames.
const WAYS: [(&str, i32, &[&str]); 15] = [
    (
        "null",
        139,
        &["(SIGSEGV): it wrote address 0x0, through a null pointer", "in stores+", "dies.c:", "called from main+"],
    ),
    ("initializer", 139, &["through a null pointer", "in stores+", "called from initializer+"]),
    ("divide", 136, &["(SIGFPE): it divided an integer by zero", "in main+", "dies.c:", "(dies.o:(.text+"]),
    ("abort", 134, &["(SIGABRT): the program sent it to itself", " main+"]),
    ("assert", 134, &["Assertion `zero == 1' failed", "(SIGABRT)", " main+"]),
    ("trap", 132, &["(SIGILL)", "as __builtin_trap leaves one", "in main+"]),
    ("breakpoint", 133, &["(SIGTRAP): it came to a breakpoint", "in main+"]),
    (
        "overflow",
        139,
        &["(SIGSEGV)", "beyond the end of its stack", "in depth+", "called from depth+", "more", "help: "],
    ),
    ("thread", 139, &["through a null pointer", "in thread ", "in stores+"]),
    ("overflow on a thread", 139, &["beyond the end of its stack", "in thread ", "in depth+", "called from depth+"]),
    ("two", 139, &["through a null pointer", "in stores+", "called from both+"]),
    ("qsort", 139, &["in stores+", "called from compare+", "called from main+"]),
    ("nothing", 139, &["it executed address 0x0, through a null pointer", "calls_nothing+", "called from main+"]),
    ("damaged", 139, &["through a null pointer", "in damaged+"]),
    ("fork", 3, &[]),
];

#[track_caller]
fn has_in_order(text: &str, parts: &[&str], about: &str) {
    let mut rest = text;
    for part in parts {
        let at = rest.find(part);
        let at = at.unwrap_or_else(|| panic!("{about}: {part:?} is missing, or comes too early, in:\n{text}"));
        rest = &rest[at + part.len()..];
    }
}

/// Frames of the C library are told in this process only: there they are at hand.
fn of_linked_code(frame: &str) -> bool {
    frame.contains("dylib ")
}

#[test]
fn every_death_is_told_in_this_process_as_it_is_of_an_executor() {
    let world = World::new("reports");
    world.compile("dies", include_str!("dies.c"));
    let kinds = world.kinds.clone();
    for (way, code, parts) in WAYS {
        let mut told = Vec::new();
        for kind in kinds.iter().copied().filter(|kind| matches!(kind, Kind::InProcess | Kind::Spawn)) {
            let about = format!("{kind}: {way}");
            let (ended, output, said) = world.run(kind, &["--crash-reports", "dies.o", "--", way]);
            assert_eq!(ended, code, "{about}: {said}");
            has_in_order(&said, parts, &about);
            let reports = said.matches("was ended by signal").count();
            if way == "fork" {
                assert_eq!(output, "the child died of 11\n", "{about}");
                // A child of an executor's program has nobody who would tell of it.
                assert_eq!(reports, usize::from(kind == Kind::InProcess), "{about}: {said}");
                continue;
            }
            assert_eq!(reports, 1, "{about}: {said}");
            let frames = said.lines().filter(|line| of_linked_code(line)).map(|line| line.trim().to_owned());
            // What is innermost differs where the C library's frames are told.
            let frames: Vec<_> = frames.map(|line| line.replacen("called from ", "in ", 1)).collect();
            told.push(frames);
        }
        assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{way}: {told:#?}");
    }
    world.end();
}

#[test]
fn children_of_a_program_are_told_of_as_well() {
    let world = World::new("reports-of-children");
    world.compile("dies", include_str!("dies.c"));
    if world.kinds.contains(&Kind::InProcess) {
        let (_, _, said) = world.run(Kind::InProcess, &["--crash-reports", "dies.o", "--", "fork"]);
        has_in_order(&said, &["through a null pointer", "in stores+", "dies.c:", "called from main+"], "fork");
    }
    world.end();
}

#[test]
fn handlers_of_the_program_win_and_nobody_is_told_of_what_they_handle() {
    let world = World::new("reports-and-handlers");
    world.compile("dies", include_str!("dies.c"));
    for kind in world.kinds.clone() {
        let (code, output, said) = world.run(kind, &["--crash-reports", "dies.o", "--", "recovers"]);
        assert_eq!((code, &*output, &*said), (4, "recovered\n", ""), "{kind}");
        // What all of its own threads hold back waits for them, and comes to no thread of ours.
        let (code, output, said) = world.run(kind, &["--crash-reports", "dies.o", "--", "held back"]);
        assert_eq!((code, &*output, &*said), (3, "", ""), "{kind}");
    }
    world.end();
}

#[test]
fn a_signal_from_outside_is_told_as_such() {
    let world = World::new("reports-of-what-was-sent");
    world.compile("dies", include_str!("dies.c"));
    if world.kinds.contains(&Kind::InProcess) {
        for signal in [Signal::SEGV, Signal::BUS, Signal::ABORT] {
            let mut orc = world.start(Kind::InProcess, &["--crash-reports", "dies.o", "--", "sent"]);
            orc.expect("up");
            kill_process(orc.pid(), signal).expect("it is there");
            assert_eq!(orc.end(), 128 + signal.as_raw(), "{}", orc.said());
            has_in_order(&orc.said(), &["another process sent it", " main+", "dies.c:"], "sent");
        }
    }
    world.end();
}

#[test]
fn reports_are_asked_for_by_the_environment_and_given_as_json() {
    let world = World::new("reports-as-json");
    world.compile("dies", include_str!("dies.c"));
    if world.kinds.contains(&Kind::InProcess) {
        let words = ["--message-format", "json", "dies.o", "--", "null"];
        let run = |asked: &str| {
            let mut command = world.orc(Kind::InProcess, &words);
            let ended = command.env("ORC_CRASH_REPORTS", asked).status().expect("orc starts");
            let said = std::fs::read_to_string(world.folder.join("orc.stderr")).expect("it is there");
            assert!(!ended.success());
            said
        };
        let said = run("1");
        has_in_order(&said, &["\"signal\":11", "\"function\":\"stores\"", "\"line\":"], "json");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert_eq!(run("0"), "", "nobody has asked");
    }
    world.end();
}
