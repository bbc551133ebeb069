//! Does loading and unloading without end cost either process anything?

use crate::common::child::in_child;
use crate::support::{World, spawn};
use std::fs;

#[derive(Debug)]
struct Holds {
    resident: u64,
    mappings: usize,
    descriptors: usize,
    threads: usize,
}

fn holds(process: u32) -> Holds {
    let read = |name: &str| fs::read_to_string(format!("/proc/{process}/{name}")).expect("it lives");
    let count = |name: &str| fs::read_dir(format!("/proc/{process}/{name}")).expect("it lives").count();
    let resident: u64 = read("statm").split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    Holds {
        resident: resident * 4096,
        mappings: read("maps").lines().count(),
        descriptors: count("fd"),
        threads: count("task"),
    }
}

#[track_caller]
fn flat(who: &str, before: &Holds, after: &Holds) {
    assert!(after.resident < before.resident + (3 << 20), "{who}: {before:?}, then {after:?}");
    assert!(after.mappings <= before.mappings + 3, "{who}: {before:?}, then {after:?}");
    assert_eq!((after.descriptors, after.threads), (before.descriptors, before.threads), "{who}");
}

#[test]
fn two_thousand_reloads_leave_both_processes_as_they_were() {
    let output = in_child("reloads::two_thousand_reloads_leave_both_processes_as_they_were", || {
        let worlds = [true, false].map(|shared| World::with(&spawn(), |options| options.share_memory = shared));
        for world in &worlds {
            world.c("lib", "static int data[3000] = {1}; static int zero[5000]; __thread int own = 5;\n\
                static __attribute__((constructor)) void i(void) { if (data[0]++ != 1 || zero[9]++ || own++ != 5) abort(); }\n\
                static __attribute__((destructor)) void f(void) { data[1] = zero[1] = 7; }\n\
                int lib(void) { return data[0] + zero[9]; }");
            world.c("main", "int lib(void); int get(void) { return lib(); }");
            world.links("main", &["lib"]);
            world.session.set_arguments(&world.argv()).expect("no zero bytes");
            let reload = || {
                let main = world.session.open("main").expect("it opens");
                assert_ne!(main.address("get").expect("it is there"), 0);
                main.close().expect("it closes");
            };
            (0..100).for_each(|_| reload());
            let main = world.open("main");
            assert_eq!(world.call(&main, "get"), 3);
            drop(main);
            let ids = [std::process::id(), world.process()];
            let before = ids.map(holds);
            (0..1000).for_each(|_| reload());
            let after = ids.map(holds);
            flat("the controller", &before[0], &after[0]);
            flat("the executor", &before[1], &after[1]);
        }
    });
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
