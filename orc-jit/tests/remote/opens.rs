//! Do opens inside opens, from threads of both sides, keep the rules over there?

use crate::support::{World, in_time, spawn};
use dispatch::Tag;
use orc_jit::executor::Executor;
use orc_jit::{InProcess, Opened};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const DEPTH: usize = 50;

pub(crate) fn nested<E: Executor>(world: &World<E>) -> Vec<String> {
    for level in 0..DEPTH {
        world.c(
            &format!("d{level}"),
            &format!(
                "static __attribute__((constructor)) void i(void) {{ NOTE(\"in {level}\");\n\
                 if ({level} + 1 < {DEPTH} && !dlopen(\"d{next}\", RTLD_NOW)) NOTE(dlerror()); NOTE(\"out {level}\"); }} FINI(\"{level}\")",
                next = level + 1
            ),
        );
    }
    world.open("d0").close().expect("it closes");
    world.trace()
}

/// The trace of [`nested`].
pub(crate) fn expected() -> Vec<String> {
    let ins = (0..DEPTH).map(|level| format!("in {level}"));
    let outs = (0..DEPTH).rev().map(|level| format!("out {level}"));
    // The others stay open: whoever opened them has not closed them.
    ins.chain(outs).chain(["~0".to_owned()]).collect()
}

#[test]
fn an_initializer_in_an_initializer_fifty_deep() {
    assert_eq!(nested(&World::at(&spawn())), expected());
    assert_eq!(nested(&World::over(InProcess::new())), expected());
}

/// Each initializer asks the controller's own service for the next, so that the calls nest on the connection, in both directions.
#[test]
fn opens_nest_through_the_controller_as_well() {
    let world = World::at(&spawn());
    let session = world.session.clone();
    let opened: &'static Mutex<Vec<Opened<_>>> = Box::leak(Box::default());
    let open = move |level: u64| match session.open(&format!("d{level}")) {
        Ok(one) => {
            opened.lock().unwrap_or_else(PoisonError::into_inner).push(one);
            true
        }
        Err(_) => false,
    };
    world.session.serve(Tag(6), open).expect("a free tag");
    for level in 0..DEPTH {
        world.c(
            &format!("d{level}"),
            &format!(
                "static __attribute__((constructor)) void i(void) {{ unsigned long next = {level} + 1; NOTE(\"in\");\n\
                 if (next < {DEPTH} && !CALL(6, &next, 8).data.bytes[0]) NOTE(\"failed\"); NOTE(\"out\"); }}"
            ),
        );
    }
    let (world, trace) = in_time(Duration::from_secs(20), "nesting", move || {
        world.open("d0").close().expect("it closes");
        let trace = world.trace();
        (world, trace)
    });
    let expected: Vec<&str> = [["in"; DEPTH], ["out"; DEPTH]].concat();
    assert_eq!(trace, expected);
    for one in opened.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        one.close().expect("it closes");
    }
    drop(world);
}

#[test]
fn a_thread_of_an_initializer_opens_while_the_initializer_joins_it() {
    let world = World::at(&spawn());
    world.c("other", "BOTH(\"other\")");
    world.c(
        "main",
        "static void *run(void *p) { NOTE(\"thread\"); if (!dlopen(\"other\", RTLD_NOW)) NOTE(dlerror()); return 0; }\n\
         static __attribute__((constructor)) void i(void) { pthread_t t; NOTE(\"begin\");\n\
         if (pthread_create(&t, 0, run, 0)) abort(); pthread_join(t, 0); NOTE(\"end\"); }",
    );
    let (world, trace) = in_time(Duration::from_secs(20), "the join", move || {
        let _main = world.open("main");
        let trace = world.trace();
        (world, trace)
    });
    assert_eq!(trace, ["begin", "thread", "other", "end"]);
    drop(world);
}

#[test]
fn opens_that_race_from_both_sides_initialize_once_and_in_order() {
    const DYLIBS: usize = 12;
    let world = World::at(&spawn());
    for number in 0..DYLIBS {
        world.c(&format!("base{number}"), &format!("INIT(\"base{number}\")"));
        world.c(&format!("top{number}"), &format!("INIT(\"top{number}\")"));
        let below = format!("base{number}");
        // Some share what they need.
        world.links(&format!("top{number}"), &[&below, &format!("base{}", number / 2)]);
    }
    world.c(
        "racer",
        "static void *run(void *p) { char name[16]; for (long n = 0; n < 12; n++) { \
            snprintf(name, sizeof name, \"top%ld\", (n * 5 + (long)p) % 12);\n\
            if (!dlopen(name, RTLD_NOW)) { NOTE(dlerror()); return 0; } } return (void *)1; }\n\
         int race(void) { pthread_t t[8]; int good = 0; for (long n = 0; n < 8; n++) if (pthread_create(&t[n], 0, run, (void *)n)) abort();\n\
         for (int n = 0; n < 8; n++) { void *r; pthread_join(t[n], &r); good += (long)r; } return good; }",
    );
    let (world, good) = in_time(Duration::from_secs(20), "the race", move || {
        let racer = world.open("racer");
        let good = std::thread::scope(|scope| {
            let program = scope.spawn(|| world.call(&racer, "race"));
            let threads = [0, 1, 2, 3, 4, 5, 6, 7].map(|thread| {
                let world = &world;
                scope.spawn(move || {
                    let names = (0..DYLIBS).map(|number| format!("top{}", (number * 7 + thread) % DYLIBS));
                    names.map(|name| world.session.open(&name)).collect::<Result<Vec<_>, _>>().expect("they open")
                })
            });
            let opened = threads.map(|thread| thread.join().expect("no panic"));
            // Closed here: the program has them open still.
            drop(opened);
            program.join().expect("no panic")
        });
        (world, good)
    });
    assert_eq!(good, 8);
    let trace = world.trace();
    let mut sorted = trace.clone();
    sorted.sort();
    let mut expected: Vec<String> =
        (0..DYLIBS).flat_map(|number| [format!("base{number}"), format!("top{number}")]).collect();
    expected.sort();
    assert_eq!(sorted, expected, "each once: {trace:?}");
    let at = |name: &str| trace.iter().position(|line| line == name).expect("it ran");
    for number in 0..DYLIBS {
        let top = at(&format!("top{number}"));
        assert!(at(&format!("base{number}")) < top && at(&format!("base{}", number / 2)) < top, "{trace:?}");
    }
}
