//! Is every change at the session seen by the very next open and lookup, though most of these ask nobody? (rules 10, 25-28)

mod common;

use common::{World, call, call_with, read};
use orc_jit::Removal;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

const FINDS: &str = "static void *h;\n\
    int find(const char *name) { if (!h) h = dlopen(\"main\", RTLD_NOW); int *at = dlsym(h, name); return at ? *at : -1; }\n\
    int is_null(const char *name) { dlerror(); return dlsym(h, name) == 0 && !dlerror(); }\n\
    int anywhere(const char *name) { int *at = dlsym((void *)0, name); return at ? *at : -1; }\n\
    int next(const char *name) { int *at = dlsym((void *)-1L, name); return at ? *at : -1; }";

#[test]
fn the_next_open_runs_what_was_added() {
    let world = World::new();
    world.traced("main", &["base"]).traced("base", &[]).traced("late", &[]);
    let first = world.open("main");
    let open = || {
        let handles = [world.open("main").handle(), world.open("main").handle()];
        assert_eq!(handles, [first.handle(); 2]);
        world.log.take()
    };
    assert_eq!(open(), ["base", "main"]);
    world.c("base", "INIT(\"more of base\")");
    assert_eq!(open(), ["more of base"]);
    world.links("base", &["late"]);
    assert_eq!(open(), ["late"]);
    world.c("late", "INIT(\"more of late\")").c("main", "INIT(\"more of main\")");
    assert_eq!(open(), ["more of late", "more of main"]);
    assert!(open().is_empty());
    world.links("main", &[]);
    // The two that were opened are closed again, and a close releases what is linked no more.
    assert_eq!(open(), ["~late", "~base"]);
    assert!(open().is_empty());
}

#[test]
fn the_next_open_runs_what_a_lookup_has_linked() {
    let world = World::new();
    world.traced("main", &[]);
    let main = world.open("main");
    world.c("main", "int data = 5; INIT(\"linked by a lookup\")");
    assert_eq!(read(&main, "data"), 5);
    assert_eq!(world.log.take(), ["main"], "a lookup runs nothing");
    let again = world.open("main");
    assert_eq!((again.handle(), world.log.take()), (main.handle(), vec!["linked by a lookup".to_owned()]));
}

#[test]
fn what_was_missing_is_found_when_it_comes() {
    let world = World::new();
    world.c("main", FINDS).c("base", "int there = 1; int hidden __attribute__((visibility(\"hidden\"))) = 2;");
    world.links("main", &["base"]);
    let main = world.open("main");
    for _ in 0..3 {
        assert_eq!(["there", "hidden", "comes"].map(|name| call_with(&main, "find", name)), [1, -1, -1]);
        assert_eq!(["there", "hidden", "comes"].map(|name| call_with(&main, "anywhere", name)), [1, -1, -1]);
        assert_eq!(["there", "comes"].map(|name| call_with(&main, "next", name)), [1, -1]);
    }
    world.c("base", "int comes = 3;");
    for _ in 0..4 {
        assert_eq!(["find", "anywhere", "next"].map(|how| call_with(&main, how, "comes")), [3, 3, 3]);
    }
    world.c("main", "int comes = 4;");
    for _ in 0..4 {
        assert_eq!(["find", "anywhere", "next"].map(|how| call_with(&main, how, "comes")), [4, 4, 3]);
    }
    world.dylib("base").define_absolute("nothing", 0).expect("a live session");
    assert_eq!([call_with(&main, "is_null", "nothing"), call_with(&main, "is_null", "nothing")], [1, 1]);
    assert_eq!([call_with(&main, "is_null", "nowhere"), call_with(&main, "is_null", "nowhere")], [0, 0]);
}

#[test]
fn what_another_dylib_offers_to_all_comes_and_goes() {
    let world = World::new();
    world.c("main", FINDS).c("plugin", "int offered = 6;");
    world.c("loader", "static void *h; int load(void) { h = dlopen(\"plugin\", RTLD_NOW | RTLD_GLOBAL); return h != 0; } int unload(void) { return dlclose(h); }");
    let (main, loader) = (world.open("main"), world.open("loader"));
    for _ in 0..3 {
        assert_eq!([call_with(&main, "anywhere", "offered"), call_with(&main, "anywhere", "offered")], [-1, -1]);
        assert_eq!(call(&loader, "load"), 1);
        assert_eq!([call_with(&main, "anywhere", "offered"), call_with(&main, "anywhere", "offered")], [6, 6]);
        assert_eq!(call(&loader, "unload"), 0);
    }
}

#[test]
fn a_thread_that_has_an_answer_hears_of_what_another_has_changed() {
    const ROUNDS: i32 = 12;
    let world = World::new();
    world.c("main", FINDS).c("base", "int base;").links("main", &["base"]);
    let main = world.open("main");
    let objects: Vec<_> = (0..ROUNDS).map(|round| world.object(&format!("int shared = {round};"))).collect();
    let look = |value: i32| {
        // Asked, remembered for all, remembered for this thread, found there.
        for _ in 0..5 {
            assert_eq!(["find", "anywhere", "next"].map(|how| call_with(&main, how, "shared")), [value; 3]);
            assert_eq!(main.address("shared").is_ok(), value >= 0);
        }
    };
    let turns = Barrier::new(2);
    let turn = || {
        turns.wait();
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..ROUNDS {
                turn();
                look(round);
                turn();
                turn();
                look(-1);
                turn();
            }
        });
        for (round, object) in (0..).zip(objects) {
            let tracker = world.dylib("base").tracker("shared").expect("a live session");
            tracker.add_object("shared.o", object).expect("a live session");
            look(round);
            turn();
            turn();
            tracker.remove(Removal::Refuse).expect("nobody is bound to it");
            look(-1);
            turn();
            turn();
        }
    });
}

#[test]
fn each_thread_finds_its_own_variable() {
    let world = World::new();
    world.c("main", &format!("{FINDS}\n__thread int mine = 7; int set(void) {{ return ++mine; }}"));
    let main = world.open("main");
    assert_eq!((call_with(&main, "find", "mine"), call(&main, "set"), call_with(&main, "find", "mine")), (7, 8, 8));
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!([call_with(&main, "find", "mine"), call_with(&main, "anywhere", "mine")], [7, 7]));
    });
    assert_eq!(call_with(&main, "find", "mine"), 8);
}

#[test]
fn a_resolver_is_refused_even_what_was_answered_before() {
    let world = World::new();
    world.c("main", FINDS);
    let main = world.open("main");
    assert_eq!(
        [call_with(&main, "find", "h"), call_with(&main, "anywhere", "find")].map(|found| found == -1),
        [true, false]
    );
    world.c(
        "main",
        "static int plain(void) { return 1; } static int found(void) { return 2; } extern int find(const char *);\n\
         static void *choose(void) { return dlsym((void *)0, \"find\") || dlopen(\"main\", RTLD_NOW) ? found : plain; }\n\
         int pick(void) __attribute__((ifunc(\"choose\")));",
    );
    main.update().expect("it links");
    assert_eq!(call(&main, "pick"), 1);
}

#[test]
fn changes_are_seen_while_others_open_and_look_up() {
    let world = World::new();
    world.traced("main", &["base"]).traced("base", &[]).traced("other", &["base"]);
    let first = world.open("main");
    world.log.take();
    let object = |round| world.object(&format!("int data{round} = {round}; INIT(\"round {round}\")"));
    let objects: Vec<_> = (0..20).map(object).collect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for name in ["main", "base", "other"] {
            let (world, stop) = (&world, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let opened = world.open(name);
                    assert!(opened.address("nowhere").is_err());
                    opened.close().expect("open");
                }
            });
        }
        for (round, object) in objects.into_iter().enumerate() {
            let dylib = world.dylib(["main", "base"][round % 2]);
            dylib.add_object(format!("{round}.o"), object).expect("a live session");
            let opened = world.open("main");
            assert!(world.log.take().contains(&format!("round {round}")), "it has not run");
            assert_eq!(read(&opened, &format!("data{round}")), round as i32);
        }
        stop.store(true, Ordering::Relaxed);
    });
    first.close().expect("open");
    assert_eq!(world.holds(), (0, 0));
}
