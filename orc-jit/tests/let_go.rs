//! What does a session hold of what it has linked, and what does it let go?
//!
//! `unsafe` because what was linked is called by address.

mod common;

use common::child::{in_child, lines};
use common::compile;
use orc_jit::{Error, InProcess, Session, SessionOptions, Slab};
use std::fs;

const TWO: &str = "
__attribute__((noinline)) int one(int x) { return x * 3; }
int two(int x) { return one(x) + 1; }
";

/// More than is read into memory: such a file is mapped.
const LARGE: &str = "
const char table[8 << 20] = {1};
int first(void) { return table[0]; }
";

#[test]
fn inputs_are_let_go_when_they_are_linked_and_opened_again_at_need() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("large_input.o");
    fs::write(&path, compile(&["gcc", "-x", "c"], LARGE)).expect("a file");
    let session = Session::in_process().expect("a session");
    session.add_dylib("large").expect("a free name").add_object_file(&path).expect("a live session");
    let call = || -> Result<i32, Error> {
        let opened = session.open("large")?;
        // SAFETY: `first` is declared so.
        Ok(unsafe { opened.symbol::<extern "C" fn() -> i32>("first")? }())
    };
    let opened = session.open("large").expect("it links");
    let maps = fs::read_to_string("/proc/self/maps").expect("own maps");
    assert!(!maps.contains("large_input.o"), "it is mapped: {maps}");
    let files = fs::read_dir("/proc/self/fd").expect("own files");
    let targets: Vec<_> = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok()).collect();
    assert!(!targets.contains(&path), "it is open: {targets:?}");
    let away = folder.path().join("away.o");
    fs::rename(&path, &away).expect("a new name");
    assert_eq!(call().expect("linked code needs no file"), 1);
    opened.close().expect("it was open");
    let refused = call().expect_err("there is nothing to link").to_string();
    assert!(refused.contains("large_input.o"), "{refused}");
    fs::rename(&away, &path).expect("the old name");
    assert_eq!(call().expect("it is there again"), 1);
}

/// What a process and its session hold.
#[derive(Debug, Clone, Copy)]
struct Held {
    resident_kib: u64,
    slab: u64,
    kept: u64,
    ledger: usize,
}

impl Held {
    fn now(session: &Session) -> Self {
        let status = fs::read_to_string("/proc/self/status").expect("own status");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says it");
        let runtime = session.executor().runtime();
        let usage = runtime.slab().usage();
        Self {
            resident_kib: resident.trim().trim_end_matches(" kB").parse().expect("a number"),
            slab: usage.used,
            kept: usage.kept,
            ledger: runtime.ledger().len(),
        }
    }
}

/// Two threads, each with a dylib of its own that it opens, calls and closes.
fn cycle(session: &Session, cycles: i32) {
    std::thread::scope(|scope| {
        for name in ["left", "right"] {
            scope.spawn(move || {
                for number in 0..cycles {
                    let opened = session.open(name).expect("it links");
                    // SAFETY: `two` is declared so.
                    let two = unsafe { opened.symbol::<extern "C" fn(i32) -> i32>("two").expect("it is there") };
                    assert_eq!(two(number), number * 3 + 1);
                    opened.close().expect("it was open");
                }
            });
        }
    });
}

fn nothing_stays_of(slab: Slab) {
    let session = Session::new(InProcess::with_slab(slab), SessionOptions::default()).expect("a session");
    let object = compile(&["gcc", "-O2", "-x", "c"], TWO);
    for name in ["left", "right"] {
        session.add_dylib(name).expect("a free name").add_object("two.o", object.clone()).expect("a live session");
    }
    // The allocator's arenas of two threads, the slab's pages.
    cycle(&session, 500);
    let before = Held::now(&session);
    cycle(&session, 4000);
    let after = Held::now(&session);
    assert_eq!((after.slab, after.ledger), (before.slab, before.ledger), "{before:?}, {after:?}");
    assert_eq!(after.slab, 0, "everything was closed");
    // Threads that meet take pages beside each other's: a handful for each.
    assert!(after.kept <= before.kept + 16 * 4096, "{before:?}, {after:?}");
    // Less than half a KiB for each cycle would be megabytes.
    assert!(after.resident_kib <= before.resident_kib + 2048, "{before:?}, {after:?}");
}

#[test]
fn cycles_on_two_threads_leave_nothing_behind() {
    let output = in_child("cycles_on_two_threads_leave_nothing_behind", || nothing_stays_of(Slab::new()));
    assert!(output.status.success(), "{}\n{}", lines(&output).join("\n"), String::from_utf8_lossy(&output.stderr));
}

#[test]
fn nor_do_they_with_a_writable_view() {
    let output = in_child("nor_do_they_with_a_writable_view", || nothing_stays_of(Slab::with_writable_view()));
    assert!(output.status.success(), "{}\n{}", lines(&output).join("\n"), String::from_utf8_lossy(&output.stderr));
}
