//! Thread-local variables of many dylibs that come and go: what every thread sees, and what is left afterwards.
//!
//! Each test has a process of its own: the static pool, the C library's keys and the memory in use belong to the whole process. `ORC_CYCLES` makes the
//! one about memory longer.
//!
//! `unsafe` because linked code is called by address, and keys are made and deleted; the code has just been compiled.
#![allow(unsafe_code)]
#![allow(clippy::print_stdout, reason = "children tell their figures")]

mod common;

use common::child::{in_child, lines, resident};
use common::compile;
use orc_jit::{InProcess, Opened, Session};
use std::process::Output;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

type Next = extern "C" fn() -> i64;

/// Gives 12, 13 and so on, in each thread; the last variable was zero before.
const COUNTER: &str = "
#ifndef SIZE
#define SIZE 1
#endif
__thread char filler[SIZE];
__thread long counter = 11;
static __thread long zero;
long next(void) { filler[SIZE - 1] = 1; return zero++ == counter - 11 ? ++counter : -1; }
";

/// A thread that calls what it is given.
struct Caller {
    to: Sender<Next>,
    answers: Receiver<i64>,
    thread: JoinHandle<()>,
}

impl Caller {
    fn new() -> Self {
        let ((to, told), (answer, answers)) = (channel::<Next>(), channel());
        let run = move || told.into_iter().for_each(|next| answer.send(next()).expect("the test waits"));
        Self { to, answers, thread: std::thread::spawn(run) }
    }

    fn call(&self, next: Next) -> i64 {
        self.to.send(next).expect("the thread listens");
        self.answers.recv().expect("an answer")
    }

    fn end(self) {
        drop(self.to);
        self.thread.join().expect("no panic");
    }
}

fn next_of(opened: &Opened<InProcess>) -> Next {
    // SAFETY: `COUNTER` defines `long next(void)`.
    *unsafe { opened.symbol::<Next>("next") }.expect("it is there")
}

/// How many keys the C library has left.
fn free_keys() -> usize {
    let mut keys = Vec::new();
    let mut key = 0;
    // SAFETY: the key is written to our own variable.
    while unsafe { libc::pthread_key_create(&raw mut key, None) } == 0 {
        keys.push(key);
    }
    for key in &keys {
        // SAFETY: made above.
        unsafe { libc::pthread_key_delete(*key) };
    }
    keys.len()
}

#[track_caller]
fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}\n{}", lines(output).join("\n"), String::from_utf8_lossy(&output.stderr));
    lines(output).iter().for_each(|line| println!("{line}"));
}

#[test]
fn ten_thousand_dylibs_have_variables_in_every_thread_with_one_key() {
    const COUNT: usize = 10_000;
    let output = in_child("ten_thousand_dylibs_have_variables_in_every_thread_with_one_key", || {
        let session = Session::in_process().expect("a session");
        let general: Arc<[u8]> = compile(&["gcc", "-x", "c"], COUNTER);
        let descriptor: Arc<[u8]> = compile(&["gcc", "-x", "c", "-mtls-dialect=gnu2"], COUNTER);
        for number in 0..COUNT {
            let object = if number % 2 == 0 { &general } else { &descriptor };
            let dylib = session.add_dylib(&format!("D{number}")).expect("a free name");
            dylib.add_object("counter.o", Arc::clone(object)).expect("a live session");
        }
        let static_only = session.add_dylib("static").expect("a free name");
        let large = compile(&["gcc", "-x", "c", "-ftls-model=local-exec", "-DSIZE=8000"], COUNTER);
        static_only.add_object("large.o", large).expect("a live session");
        let old = Caller::new();
        let keys = free_keys();
        let mut held = Vec::new();
        for _ in 0..3 {
            let opened: Vec<_> =
                (0..COUNT).map(|number| session.open(&format!("D{number}")).expect("it links")).collect();
            let all: Vec<Next> = opened.iter().map(next_of).collect();
            let first = |next: &Next| next() == 12 && next() == 13;
            assert!(all.iter().all(first), "the thread that opened");
            assert!(all.iter().all(|next| old.call(*next) == 12), "a thread that was there before");
            let copy = all.clone();
            let new = std::thread::spawn(move || copy.iter().all(first));
            assert!(new.join().expect("no panic"), "a new thread");
            assert!(all.iter().all(|next| next() == 14 && old.call(*next) == 13), "each has its own");
            let used = keys - free_keys();
            assert!(used <= 1, "{used} keys for {COUNT} modules");
            for one in opened {
                one.close().expect("it was open");
            }
            held.push(resident());
            println!("> resident {} KiB after {COUNT} opens and closes", resident() >> 10);
        }
        assert!(held[2] <= held[1] + (8 << 20), "{held:?}");
        // The whole pool is free again.
        let opened = session.open("static").expect("the pool has room for it");
        assert_eq!((next_of(&opened)(), old.call(next_of(&opened))), (12, 12));
        old.end();
    });
    succeeded(&output);
}

#[test]
fn blocks_of_living_threads_go_with_their_dylib() {
    let output = in_child("blocks_of_living_threads_go_with_their_dylib", || {
        const ROUNDS: usize = 200;
        let session = Session::in_process().expect("a session");
        let big = session.add_dylib("big").expect("a free name");
        // Of a megabyte in each thread, all of it written.
        let source =
            format!("#include <string.h>\n{COUNTER}\nlong fill(void) {{ memset(filler, 7, SIZE); return next(); }}");
        big.add_object("big.o", compile(&["gcc", "-x", "c", "-DSIZE=1048576"], &source)).expect("a live session");
        let threads: Vec<_> = (0..4).map(|_| Caller::new()).collect();
        let mut first = 0;
        for round in 0..ROUNDS {
            let opened = session.open("big").expect("it links");
            // SAFETY: the source defines `long fill(void)`.
            let fill = *unsafe { opened.symbol::<Next>("fill") }.expect("it is there");
            assert!(threads.iter().all(|thread| thread.call(fill) == 12), "round {round}");
            opened.close().expect("it was open");
            if round == ROUNDS / 10 {
                first = resident();
            }
        }
        println!("> resident {} KiB, then {} KiB", first >> 10, resident() >> 10);
        assert!(resident() <= first + (16 << 20), "{} KiB grew to {} KiB", first >> 10, resident() >> 10);
        threads.into_iter().for_each(Caller::end);
    });
    succeeded(&output);
}

#[test]
fn memory_is_flat_over_cycles_with_static_and_with_dynamic_storage() {
    let cycles: usize = std::env::var("ORC_CYCLES").ok().and_then(|text| text.parse().ok()).unwrap_or(5_000);
    let output = in_child("memory_is_flat_over_cycles_with_static_and_with_dynamic_storage", || {
        let session = Session::in_process().expect("a session");
        let runtime = session.executor().runtime().clone();
        for (name, size) in [("small", "-DSIZE=100"), ("large", "-DSIZE=20000")] {
            let dylib = session.add_dylib(name).expect("a free name");
            dylib.add_object("counter.o", compile(&["gcc", "-x", "c", size], COUNTER)).expect("a live session");
        }
        let old = Caller::new();
        let mut held = Vec::new();
        for cycle in 1..=cycles {
            for name in ["small", "large"] {
                let opened = session.open(name).expect("it links");
                let next = next_of(&opened);
                let new = std::thread::spawn(move || next());
                assert_eq!((next(), next(), old.call(next), new.join().expect("no panic")), (12, 13, 12, 12));
                opened.close().expect("it was open");
            }
            if [cycles / 10, cycles].contains(&cycle) {
                let inside = (runtime.slab().usage().used, runtime.ledger().len());
                println!("> after {cycle} cycles: resident {} KiB, inside {inside:?}", resident() >> 10);
                held.push((resident(), inside));
            }
        }
        old.end();
        assert_eq!(held[0].1, held[1].1);
        assert!(held[1].0 <= held[0].0 + (4 << 20), "{held:?}");
    });
    succeeded(&output);
}

/// Makes threads as fast as it can, each of which looks at the variables of what is open then.
const MAKER: &str = r#"
#include <pthread.h>
#include <stdlib.h>
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static long (*current)(void);
static int end;
static long wrong, looked;
static void *look(void *unused) {
    pthread_rwlock_rdlock(&lock);
    if (current) {
        if (current() != 12 || current() != 13) __atomic_fetch_add(&wrong, 1, __ATOMIC_SEQ_CST);
        __atomic_fetch_add(&looked, 1, __ATOMIC_SEQ_CST);
    }
    pthread_rwlock_unlock(&lock);
    return unused;
}
static void *make(void *unused) {
    while (!__atomic_load_n(&end, __ATOMIC_SEQ_CST)) {
        pthread_t threads[4];
        for (int i = 0; i < 4; i++) if (pthread_create(&threads[i], 0, look, 0)) abort();
        for (int i = 0; i < 4; i++) pthread_join(threads[i], 0);
    }
    return unused;
}
static pthread_t makers[3];
long begin(void) {
    for (int i = 0; i < 3; i++) if (pthread_create(&makers[i], 0, make, 0)) return -1;
    return 0;
}
long publish(long (*function)(void)) {
    pthread_rwlock_wrlock(&lock);
    current = function;
    pthread_rwlock_unlock(&lock);
    return 0;
}
long looks(void) { return __atomic_load_n(&looked, __ATOMIC_SEQ_CST); }
long finish(void) {
    __atomic_store_n(&end, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < 3; i++) pthread_join(makers[i], 0);
    return wrong;
}
"#;

#[test]
fn threads_that_are_made_while_images_come_and_go_see_what_was_defined() {
    let output = in_child("threads_that_are_made_while_images_come_and_go_see_what_was_defined", || {
        const IMAGES: usize = 1_500;
        let session = Session::in_process().expect("a session");
        let maker = session.add_dylib("maker").expect("a free name");
        maker.add_object("maker.o", compile(&["gcc", "-x", "c"], MAKER)).expect("a live session");
        for (name, size) in [("D0", "-DSIZE=3"), ("D1", "-DSIZE=5000"), ("D2", "-DSIZE=60000")] {
            let dylib = session.add_dylib(name).expect("a free name");
            dylib.add_object("counter.o", compile(&["gcc", "-x", "c", size], COUNTER)).expect("a live session");
        }
        let maker = session.open("maker").expect("it links");
        type Publish = extern "C" fn(Option<Next>) -> i64;
        // SAFETY: `MAKER` defines functions of these types.
        let function = |name| *unsafe { maker.symbol::<Next>(name) }.expect("it is there");
        // SAFETY: as above.
        let publish = *unsafe { maker.symbol::<Publish>("publish") }.expect("it is there");
        let (begin, looks, finish) = (function("begin"), function("looks"), function("finish"));
        assert_eq!(begin(), 0);
        for image in 0..IMAGES {
            let opened = session.open(&format!("D{}", image % 3)).expect("it links");
            let enough = looks() + 3;
            publish(Some(next_of(&opened)));
            while looks() < enough {
                std::thread::yield_now();
            }
            publish(None);
            opened.close().expect("it was open");
        }
        let looked = looks();
        println!("> {looked} looks at {IMAGES} images");
        assert_eq!(finish(), 0, "threads that saw something else");
    });
    succeeded(&output);
}
