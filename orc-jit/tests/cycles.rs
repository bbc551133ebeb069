//! Does anything pile up when a dylib is opened, run and closed over and over, with all that C++ hangs on it?
//!
//! Each cycle links the dylib anew and runs constructors and destructors of statics, thread-local objects on two threads, an exit handler, an
//! exception, an indirect function and a variable that every image must share. `ORC_CYCLES` says how many cycles: a million is the long run, the tests
//! make do with fewer. What the process holds is printed at 1 %, 50 % and 100 %.
#![allow(clippy::print_stdout, reason = "the figures are what the long run is for")]

mod common;

use common::child::{in_child, lines};
use common::compile;
use orc_jit::executor::remote::{Place, RemoteOptions};
use orc_jit::{Executor, InProcess, Opened, Remote, Session, SessionOptions};
use std::fs;
use std::time::Instant;

/// Counts what the cycles do, and stays open.
const COUNTS: &str = r#"
#include <stdlib.h>
#include <unistd.h>
static long counts[8];
void count(int what) { __atomic_fetch_add(&counts[what], 1, __ATOMIC_RELAXED); }
int ask(int argc, char **argv) { return argc > 1 ? counts[atoi(argv[1])] : getpid(); }
"#;

/// What is counted, how often in a cycle.
const EACH: [(&str, usize); 8] = [
    ("constructors of statics", 1),
    ("destructors of statics", 1),
    ("constructors of thread-local objects", 2),
    ("destructors of thread-local objects", 2),
    ("exit handlers", 1),
    ("exceptions caught", 2),
    ("calls of the indirect function", 1),
    ("pristine starts", 1),
];

const CYCLED: &str = r#"
#include <cstdlib>
#include <pthread.h>
#include <stdexcept>
#include <string>

extern "C" void count(int what);

template <int CONSTRUCTED, int DESTROYED> struct Noted {
    std::string text{"a text that does not fit into the string itself"};
    Noted() { count(CONSTRUCTED); }
    ~Noted() { count(DESTROYED); }
};
static Noted<0, 1> global;
static thread_local Noted<2, 3> local;

static int runs;
static void at_exit() { count(4); }
__attribute__((constructor)) static void start() {
    std::atexit(at_exit);
    if (runs++ == 0) count(7);
}

/* One for all images, for good (STB_GNU_UNIQUE). */
inline int &shared() { static int value; return value; }

extern "C" {
static int chosen_one() { count(6); return 1; }
static int (*choose())() { return chosen_one; }
int chosen() __attribute__((ifunc("choose")));
}

static __attribute__((noinline)) int throws(const std::string &text) {
    if (text != global.text) throw std::logic_error("torn");
    throw std::runtime_error(text);
}

static int touch() {
    try {
        return throws(local.text);
    } catch (const std::runtime_error &error) {
        count(5);
        return local.text == error.what();
    }
}

static void *on_another_thread(void *result) {
    *static_cast<int *>(result) = touch();
    return nullptr;
}

extern "C" int run(int, char **, char **) {
    pthread_t thread;
    int there = 0;
    if (pthread_create(&thread, nullptr, on_another_thread, &there)) return -1;
    int here = touch();
    pthread_join(thread, nullptr);
    ++shared();
    return here + there + chosen() == 3 ? shared() : -1;
}
"#;

#[test]
fn nothing_piles_up_in_process() {
    let output = in_child("nothing_piles_up_in_process", || {
        let session = Session::new(InProcess::new(), SessionOptions::default()).expect("a session");
        let runtime = session.executor().runtime().clone();
        cycle(&session, cycles(20_000), &|| {
            vec![("slab", runtime.slab().usage().used), ("ledger", runtime.ledger().len() as u64)]
        });
    });
    assert!(output.status.success(), "{}\n{}", lines(&output).join("\n"), String::from_utf8_lossy(&output.stderr));
    lines(&output).iter().for_each(|line| println!("in process: {line}"));
    assert_eq!(lines(&output).len(), 4);
}

#[test]
fn nothing_piles_up_in_another_process() {
    let spawn = Place::Spawn { path: Some(env!("CARGO_BIN_EXE_orc").into()), arguments: vec!["executor".into()] };
    let executor = Remote::connect(&spawn, RemoteOptions::default()).expect("it starts");
    let session = Session::new(executor, SessionOptions::default()).expect("a session");
    cycle(&session, cycles(20_000) / 10, &Vec::new);
}

fn cycles(usual: usize) -> usize {
    let Ok(text) = std::env::var("ORC_CYCLES") else { return usual };
    text.parse().unwrap_or_else(|_| panic!("ORC_CYCLES={text} is no number"))
}

/// What the executor's process holds, as far as the system and the runtime know.
struct Held {
    resident_kib: u64,
    mappings: usize,
    files: usize,
    inside: Vec<(&'static str, u64)>,
}

impl Held {
    fn of(process: i32, inside: Vec<(&'static str, u64)>) -> Self {
        let read = |name: &str| fs::read_to_string(format!("/proc/{process}/{name}")).expect("the process is there");
        let status = read("status");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says it");
        Self {
            resident_kib: resident.trim().trim_end_matches(" kB").parse().expect("a number"),
            mappings: read("maps").lines().count(),
            files: fs::read_dir(format!("/proc/{process}/fd")).expect("the process is there").count(),
            inside,
        }
    }

    fn tell(&self, cycles: usize, since: Instant) {
        let inside: String = self.inside.iter().map(|(what, how_much)| format!(", {what} {how_much}")).collect();
        println!(
            "> after {cycles} cycles, {:.1} s: resident {} KiB, mappings {}, open files {}{inside}",
            since.elapsed().as_secs_f64(),
            self.resident_kib,
            self.mappings,
            self.files,
        );
    }

    /// Caches fill up and the allocator has its ways, but what grows with each cycle grows more than that.
    #[track_caller]
    fn is_no_more_than(&self, before: &Self, cycles_between: usize) {
        // Less than half a byte for each cycle of the long run.
        let noise = 2048 + before.resident_kib / 50;
        assert!(
            self.resident_kib <= before.resident_kib + noise,
            "{} KiB grew to {} KiB in {cycles_between} cycles",
            before.resident_kib,
            self.resident_kib
        );
        assert!(self.mappings <= before.mappings + 8, "{} mappings grew to {}", before.mappings, self.mappings);
        assert_eq!(self.files, before.files, "open files");
        assert_eq!(self.inside, before.inside);
    }
}

fn cycle<E: Executor>(session: &Session<E>, cycles: usize, inside: &dyn Fn() -> Vec<(&'static str, u64)>) {
    let library = session.open_library("libstdc++.so.6").expect("the C++ library");
    let counts = session.add_dylib("counts").expect("a free name");
    counts.add_object("counts.o", compile(&["gcc", "-x", "c"], COUNTS)).expect("a live session");
    let cycled = session.add_dylib("cycled").expect("a free name");
    cycled.add_object("cycled.o", compile(&["g++", "-x", "c++"], CYCLED)).expect("a live session");
    cycled.add_library(library).expect("a live session");
    cycled.set_link_order([&counts]).expect("dylibs of this session");
    let counts = session.open("counts").expect("it links");
    let process = ask(session, &counts, None);
    let look = || Held::of(process, inside());

    let begin = Instant::now();
    let marks = [cycles.div_ceil(100), cycles / 2, cycles];
    let mut held: Vec<Held> = Vec::new();
    for number in 1..=cycles {
        let opened = session.open("cycled").expect("it links");
        let run = opened.address("run").expect("it is there");
        let shared = session.call_main(run, &[]).expect("it runs");
        assert_eq!(shared, number as i32, "one variable for all images");
        opened.close().expect("it was open");
        if marks.contains(&number) {
            held.push(look());
            held[held.len() - 1].tell(number, begin);
        }
    }
    println!("> {:.1} us for each cycle", begin.elapsed().as_secs_f64() * 1e6 / cycles as f64);
    for (what, (name, times)) in EACH.iter().enumerate() {
        assert_eq!(ask(session, &counts, Some(what)), (cycles * times) as i32, "{name}");
    }
    let [first, middle, last] = &held[..] else { panic!("{} times looked", held.len()) };
    last.is_no_more_than(middle, cycles / 2);
    last.is_no_more_than(first, cycles);
}

/// Calls `ask`: how often something was counted, or the number of the process.
fn ask<E: Executor>(session: &Session<E>, counts: &Opened<E>, what: Option<usize>) -> i32 {
    let address = counts.address("ask").expect("it is there");
    let arguments: Vec<Vec<u8>> = what.map(|what| what.to_string()).into_iter().map(String::into_bytes).collect();
    let arguments = [vec![b"ask".to_vec()], arguments].concat();
    session.call_main(address, &arguments).expect("it answers")
}
