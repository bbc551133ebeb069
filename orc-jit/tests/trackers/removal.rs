//! Is everything gone of what was removed, and in the right order?

use crate::common;
use crate::places::{everywhere, tracked};
use crate::support::World;
use orc_jit::{Error, Executor, Removal};

everywhere!(
    names_and_registrations_go,
    what_it_had_set_up_is_undone_in_reverse,
    handlers_belong_to_whoever_registered_them,
    the_next_open_links_without_it,
    what_was_not_initialized_is_not_finalized,
    a_tracker_goes_once,
);

/// Looks at addresses as the process knows them: dladdr(3), and what the unwinder finds for a frame.
const LOOK: &str = "void *_Unwind_FindEnclosingFunction(void *); static char *kept;\n\
    int keep(int argc, char **argv) { kept = (char *)strtoul(argv[2], 0, 0); return 0; }\n\
    int is_code(void) { Dl_info info; return dladdr(kept, &info) != 0; }\n\
    int unwinds(void) { return _Unwind_FindEnclosingFunction(kept) != 0; }";

fn names_and_registrations_go<E: Executor>(world: &World<E>) {
    world.c("main", LOOK);
    let gone = tracked(
        world,
        "main",
        "gone",
        "extern int helper(int); __thread int own = 3; static int buffer[1000] = {1};\n\
         int gone(void) { return helper(own) + buffer[0]; } int helper(int n) { return n + 1; }\n\
         static void bye(void) {} static __attribute__((constructor)) void start(void) { atexit(bye); }",
    );
    let main = world.open("main");
    assert_eq!(world.call(&main, "gone"), 5);
    let address = main.address("gone").expect("it is there");
    let argv = [b"it".to_vec(), b"-".to_vec(), format!("{:#x}", address + 1).into_bytes()];
    let keep = main.address("keep").expect("it is there");
    assert_eq!(world.session.call_main(keep, &argv).expect("it runs"), 0);
    assert_eq!((world.call(&main, "is_code"), world.call(&main, "unwinds")), (1, 1));
    gone.remove(Removal::Refuse).expect("nobody uses it");
    assert_eq!((world.call(&main, "is_code"), world.call(&main, "unwinds")), (0, 0), "a throw finds no frame there");
    let words = main.address("gone").expect_err("it is gone").to_string();
    assert!(words.contains("gone"), "{words}");
}

#[test]
fn the_ledger_and_the_slab_are_as_before() {
    let world = common::World::new();
    world.c("main", "int base(void) { return 1; } BOTH(\"main\")");
    let main = world.open("main");
    let before = (world.holds(), world.session.executor().runtime().ledger());
    for _ in 0..50 {
        let tracker = world.dylib("main").tracker("part").expect("a live session");
        let source = "#include <pthread.h>\n__thread long mine[100] = {7}; int base(void); static void bye(void) { NOTE(\"bye\"); }\n\
             int part(void) { return base() + mine[0]++; } __attribute__((constructor)) static void i(void) { atexit(bye); } FINI(\"part\")";
        tracker.add_object("part.o", world.object(source)).expect("a live session");
        main.update().expect("it links");
        assert_eq!(common::call(&main, "part"), 8, "pristine each time");
        let with = world.session.executor().runtime().ledger();
        assert!(with.len() >= before.1.len() + 4, "ranges, unwind table, storage and a handler: {with:?}");
        tracker.remove(Removal::Refuse).expect("nobody uses it");
        assert_eq!((world.holds(), world.session.executor().runtime().ledger()), before);
        assert_eq!(world.log.take().last().map(String::as_str), Some("bye"));
    }
    main.close().expect("open");
    assert_eq!((world.log.take(), world.holds()), (vec!["~main".to_owned()], (0, 0)));
}

fn what_it_had_set_up_is_undone_in_reverse<E: Executor>(world: &World<E>) {
    let part = |name: &str| {
        format!(
            "static void h1(void) {{ NOTE(\"{name} h1\"); }} static void h2(void) {{ NOTE(\"{name} h2\"); atexit(h1); }}\n\
             __attribute__((constructor(200))) static void i1(void) {{ NOTE(\"{name} i1\"); atexit(h1); }}\n\
             __attribute__((constructor(300))) static void i2(void) {{ NOTE(\"{name} i2\"); atexit(h2); }}\n\
             __attribute__((destructor(200))) static void f1(void) {{ NOTE(\"{name} f1\"); }}\n\
             __attribute__((destructor(300))) static void f2(void) {{ NOTE(\"{name} f2\"); }}\n\
             int {name}_later(void) {{ atexit(h1); return 0; }}"
        )
    };
    world.c("main", "BOTH(\"main\")");
    let a = tracked(world, "main", "a", &part("a"));
    tracked(world, "main", "b", &format!("{} int a_later(void); int b(void) {{ return a_later(); }}", part("b")));
    let main = world.open("main");
    let mut begun = world.trace();
    begun.sort_unstable();
    assert_eq!(begun, ["a i1", "a i2", "b i1", "b i2", "main"]);
    assert_eq!(world.call(&main, "a_later") + world.call(&main, "b_later"), 0);
    // Both go: handlers that were registered after the run first, then the run's finalizers, then the handlers that it had registered.
    a.remove(Removal::Cascade).expect("b goes with it");
    let undone = world.trace();
    let of = |name: &str| {
        undone.iter().filter(|line| line.starts_with(name)).map(|line| line[2..].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(undone[..2], ["b h1", "a h1"], "{undone:?}");
    assert_eq!(of("a"), ["h1", "f2", "f1", "h2", "h1", "h1"], "{undone:?}");
    assert_eq!(of("b"), ["h1", "f2", "f1", "h2", "h1", "h1"], "{undone:?}");
    main.close().expect("open");
    assert_eq!(world.trace(), ["~main"]);
}

fn handlers_belong_to_whoever_registered_them<E: Executor>(world: &World<E>) {
    let handler = |name: &str| {
        format!(
            "static void bye(void) {{ NOTE(\"~{name}\"); }} int {name}(void) {{ return atexit(bye); }} static void last(int s, void *p) {{ NOTE(p); }} int {name}2(void) {{ return on_exit(last, \"~{name}2\"); }}"
        )
    };
    world.c("main", &handler("main_"));
    let a = tracked(world, "main", "a", &handler("a"));
    tracked(world, "main", "b", &handler("b"));
    let main = world.open("main");
    for name in ["a", "main_", "b", "a2", "b2", "a"] {
        assert_eq!(world.call(&main, name), 0);
    }
    a.remove(Removal::Refuse).expect("nobody uses it");
    assert_eq!(world.trace(), ["~a", "~a2", "~a"]);
    main.close().expect("open");
    assert_eq!(world.trace(), ["~b2", "~b", "~main_"]);
}

fn the_next_open_links_without_it<E: Executor>(world: &World<E>) {
    world.c("main", "__attribute__((weak)) int part(void); int run(void) { return part ? part() : -1; }");
    let part = tracked(world, "main", "part", "int state = 5; int part(void) { return state++; } BOTH(\"part\")");
    for _ in 0..2 {
        let main = world.open("main");
        assert_eq!((world.call(&main, "run"), world.call(&main, "run")), (5, 6), "pristine");
        main.close().expect("open");
        assert_eq!(world.trace(), ["part", "~part"]);
    }
    part.remove(Removal::Refuse).expect("nothing is linked");
    let main = world.open("main");
    assert_eq!((world.call(&main, "run"), world.trace()), (-1, vec![]));
}

fn what_was_not_initialized_is_not_finalized<E: Executor>(world: &World<E>) {
    world.c("main", "int run(void) { return 3; } BOTH(\"main\")");
    let main = world.open("main");
    let part = tracked(world, "main", "part", "int part(void) { return 4; } BOTH(\"part\")");
    // A lookup links it; nothing has run yet.
    assert_eq!(world.call(&main, "part"), 4);
    assert_eq!(world.trace(), ["main"]);
    part.remove(Removal::Refuse).expect("nobody uses it");
    main.update().expect("there is nothing new");
    drop(main);
    assert_eq!(world.trace(), ["~main"]);
}

fn a_tracker_goes_once<E: Executor>(world: &World<E>) {
    let part = tracked(world, "main", "part", "int part(void) { return 4; }");
    let same = part.clone();
    let main = world.open("main");
    part.remove(Removal::Refuse).expect("nobody uses it");
    for refused in [same.remove(Removal::Cascade), same.add_object_file("x.o"), same.dependents().map(drop)] {
        assert!(matches!(refused, Err(Error::TrackerRemoved { .. })), "{refused:?}");
    }
    // A name that is free again.
    tracked(world, "main", "part", "int part(void) { return 5; }");
    main.update().expect("it links");
    assert_eq!(world.call(&main, "part"), 5);
}
