//! Does the time grow with the size and not with its square?
//!
//! Each test runs at one size and at four times that size, in a process of its own, and the larger may cost at most eight times as much:
//! twice what linear growth costs, half of what quadratic growth does. Times go to standard output (`--nocapture`).
#![allow(clippy::print_stdout, reason = "times are told to who asks with `--nocapture`")]

mod common;

use common::child::{ended, in_child};
use common::{World, call, tiny::Tiny};
use std::time::{Duration, Instant};

/// Measures `body` at `size` / 4 and at `size`.
fn near_linear(what: &str, size: usize, body: impl Fn(usize)) {
    // The first time pays for pages and tables that the process keeps.
    body(size / 8);
    let time = |size| {
        let since = Instant::now();
        body(size);
        since.elapsed()
    };
    let (quarter, whole) = (time(size / 4), time(size));
    println!("> {what}: {} in {quarter:.2?}, {size} in {whole:.2?}", size / 4);
    assert!(whole < quarter * 8 + Duration::from_millis(200), "{what}: {quarter:?} became {whole:?}");
}

fn show(output: &std::process::Output) {
    ended(output, 0, "");
    for line in common::child::lines(output) {
        println!("{line}");
    }
}

/// d0 links against d1, that against d2; each calls the next one's function. All of them use a name of the process and one of the last dylib.
fn chain(size: usize) -> World {
    let world = World::new();
    let dylibs: Vec<_> =
        (0..size).map(|number| world.session.add_dylib(&format!("d{number}")).expect("a free name")).collect();
    for (number, dylib) in dylibs.iter().enumerate() {
        let object = if number + 1 == size {
            Tiny::new().returns(&format!("f{number}"), 0).returns("last", 1)
        } else {
            Tiny::new()
                .calls(&format!("f{number}"), &format!("f{}", number + 1))
                .calls("to_last", "last")
                .calls("host", "getpid")
        };
        let object = object.at_init(world.log, "in").at_fini(world.log, "out").bytes();
        dylib.add_object("tiny.o", object).expect("a live session");
        dylib.set_link_order(dylibs.get(number + 1)).expect("dylibs of this session");
    }
    world
}

#[test]
fn a_chain_of_ten_thousand_dylibs_opens_and_closes() {
    let output = in_child("a_chain_of_ten_thousand_dylibs_opens_and_closes", || {
        near_linear("chain of dylibs", 10_000, |size| {
            let world = chain(size);
            let since = Instant::now();
            let first = world.open("d0");
            let opened = since.elapsed();
            assert_eq!(world.log.take(), vec!["in"; size]);
            let since = Instant::now();
            first.close().expect("open");
            println!("> {size} dylibs: open {opened:.2?}, close {:.2?}", since.elapsed());
            assert_eq!(world.log.take(), vec!["out"; size]);
            assert_eq!(world.holds(), (0, 0));
        });
    });
    show(&output);
}

#[test]
fn a_call_through_a_chain_of_dylibs_is_right() {
    let world = chain(300);
    let first = world.open("d0");
    assert_eq!(call(&first, "f0"), 299);
    assert_eq!(call(&first, "to_last"), 2);
    assert_eq!(call(&first, "host"), std::process::id() as i32 + 1);
}

#[test]
fn ten_thousand_objects_in_one_dylib() {
    let output = in_child("ten_thousand_objects_in_one_dylib", || {
        near_linear("objects in one dylib", 10_000, |size| {
            let world = World::new();
            let main = world.dylib("main");
            for number in 0..size {
                let object = if number + 1 == size {
                    Tiny::new().returns(&format!("f{number}"), 0)
                } else {
                    Tiny::new().calls(&format!("f{number}"), &format!("f{}", number + 1))
                };
                main.add_object(format!("{number}.o"), object.at_init(world.log, "in").bytes())
                    .expect("a live session");
            }
            let main = world.open("main");
            assert_eq!(call(&main, "f0") as usize, size - 1);
            assert_eq!(world.log.take().len(), size);
        });
    });
    show(&output);
}

/// Each dylib is opened and closed by itself, with unwind tables, in a session that has many.
#[test]
fn thousands_of_dylibs_side_by_side() {
    let output = in_child("thousands_of_dylibs_side_by_side", || {
        near_linear("dylibs side by side", 4_000, |size| {
            let world = World::new();
            let object = world.object("int f(void) { return 3; } BOTH(\"x\")");
            let opened: Vec<_> = (0..size)
                .map(|number| {
                    let name = format!("d{number}");
                    world
                        .session
                        .add_dylib(&name)
                        .expect("a free name")
                        .add_object("f.o", object.clone())
                        .expect("a live session");
                    world.open(&name)
                })
                .collect();
            assert!(opened.iter().all(|one| call(one, "f") == 3));
            drop(opened);
            assert_eq!(world.log.take().len(), 2 * size);
            assert_eq!(world.holds(), (0, 0));
        });
    });
    show(&output);
}

#[test]
fn objects_added_one_by_one_to_an_open_dylib() {
    let output = in_child("objects_added_one_by_one_to_an_open_dylib", || {
        near_linear("objects added one by one", 2_000, |size| {
            let world = World::new();
            let dylib = world.dylib("main");
            dylib.add_object("0.o", Tiny::new().returns("f0", 0).bytes()).expect("a live session");
            let main = world.open("main");
            for number in 1..size {
                let object = Tiny::new().calls(&format!("f{number}"), &format!("f{}", number - 1)).bytes();
                dylib.add_object(format!("{number}.o"), object).expect("a live session");
                main.update().expect("open");
            }
            assert_eq!(call(&main, &format!("f{}", size - 1)) as usize, size - 1);
        });
    });
    show(&output);
}

/// Nothing of it links, and each of the names is missing in each dylib.
#[test]
fn a_failure_in_thousands_of_dylibs_is_told_in_time() {
    let output = in_child("a_failure_in_thousands_of_dylibs_is_told_in_time", || {
        near_linear("undefined names", 4_000, |size| {
            let world = chain(size);
            for number in (0..size).step_by(4) {
                let object = Tiny::new().calls("broken", &format!("missing_{}", number / 8)).bytes();
                world.dylib(&format!("d{number}")).add_object("broken.o", object).expect("a live session");
            }
            let error = world.session.open("d0").expect_err("much is missing");
            let orc_jit::Error::Undefined(reports) = &error else { panic!("{error:?}") };
            assert_eq!(reports.len(), size.div_ceil(8));
            assert_eq!((world.log.take(), world.holds()), (vec![], (0, 0)));
        });
    });
    show(&output);
}

#[test]
fn lookups_in_a_large_graph() {
    let world = chain(2_000);
    let first = world.open("d0");
    let since = Instant::now();
    for number in 0..2_000 {
        assert_ne!(first.address(&format!("f{number}")).expect("somewhere in the chain"), 0);
    }
    println!("> 2000 lookups through 2000 dylibs: {:.2?}", since.elapsed());
}
