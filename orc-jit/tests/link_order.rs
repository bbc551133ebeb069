//! In which order are dylibs initialized, and what changes when link orders do? (rules 1-6, 10, 25, 26)

mod common;

use common::{World, call, read};

/// Opens and closes, and gives what was noted meanwhile.
fn trace(world: &World, root: &str) -> (Vec<String>, Vec<String>) {
    let root = world.open(root);
    let opened = world.log.take();
    root.close().expect("open");
    (opened, world.log.take())
}

#[test]
fn dependencies_come_first_in_link_order() {
    let world = World::new();
    world.traced("c", &[]).traced("b", &[]).traced("a", &[]).traced("main", &["a", "b", "c"]);
    let (opened, closed) = trace(&world, "main");
    assert_eq!(opened, ["a", "b", "c", "main"]);
    assert_eq!(closed, ["~main", "~c", "~b", "~a"]);
}

#[test]
fn a_dependency_of_a_later_link_comes_before_it() {
    let world = World::new();
    world.traced("main", &["b", "c"]).traced("b", &[]).traced("c", &["b"]);
    let (opened, closed) = trace(&world, "main");
    assert_eq!(
        (opened, closed),
        (["b", "c", "main"].map(str::to_owned).to_vec(), ["~main", "~c", "~b"].map(str::to_owned).to_vec())
    );
}

#[test]
fn bare_dylibs_pass_the_order_on() {
    let world = World::new();
    world.traced("deep", &[]).links("bare", &["deep"]).traced("main", &["bare"]);
    assert_eq!(trace(&world, "main").0, ["deep", "main"]);
    world.links("empty", &["main"]);
    assert_eq!(trace(&world, "empty").0, ["deep", "main"], "also below a root without code");
}

#[test]
fn self_links_and_repeated_links_change_nothing() {
    let world = World::new();
    world.traced("main", &["main", "b", "a", "b", "main"]).traced("b", &["b", "b"]).traced("a", &["b", "a"]);
    let (opened, closed) = trace(&world, "main");
    assert_eq!(opened, ["b", "a", "main"]);
    assert_eq!(closed, ["~main", "~a", "~b"]);
}

#[test]
fn a_dylib_that_links_against_itself_finds_its_own_names() {
    let world = World::new();
    world.c("main", "int own(void) { return 3; } int run(void) { return own() + own(); }").links("main", &["main"]);
    assert_eq!(call(&world.open("main"), "run"), 6);
}

#[test]
fn dylibs_in_a_circle_use_each_other() {
    let world = World::new();
    let part = |own: &str, next: &str, value: i32| {
        format!(
            "int {own}_data = {value}; extern int {next}_data; int {next}_get(void); int *{own}_pointer = &{next}_data; int (*{own}_function)(void) = {next}_get;\n\
             int {own}_get(void) {{ return {own}_data; }} int {own}_seen = -1;\n\
             __attribute__((constructor)) static void start(void) {{ {own}_seen = {next}_get() + *{own}_pointer + {own}_function(); NOTE(\"{own}\"); }} FINI(\"{own}\")"
        )
    };
    world.c("a", &part("a", "b", 1)).c("b", &part("b", "c", 10)).c("c", &part("c", "a", 100));
    world.links("a", &["b"]).links("b", &["c"]).links("c", &["a"]).traced("main", &["a"]);
    let main = world.open("main");
    assert_eq!(world.log.take(), ["c", "b", "a", "main"], "post-order from the member reached first");
    assert_eq!(["a_seen", "b_seen", "c_seen"].map(|name| read(&main, name)), [30, 300, 3]);
    main.close().expect("open");
    assert_eq!(world.log.take(), ["~main", "~a", "~b", "~c"], "a circle goes as a whole");
    let b = world.open("b");
    assert_eq!(world.log.take(), ["a", "c", "b"], "from another member, another order");
    drop(b);
    assert_eq!(world.log.take(), ["~b", "~c", "~a"]);
    assert_eq!(world.holds(), (0, 0));
}

#[test]
fn priorities_count_over_all_objects_of_a_dylib() {
    let world = World::new();
    let with = |priority: &str, name: &str| {
        format!(
            "__attribute__((constructor{priority})) static void i(void) {{ NOTE(\"{name}\"); }} __attribute__((destructor{priority})) static void f(void) {{ NOTE(\"~{name}\"); }}"
        )
    };
    world.c("main", &with("", "last 1")).c("main", &with("(300)", "300 a")).c("main", &with("(200)", "200"));
    world.c("main", &with("(300)", "300 b")).c("main", &with("", "last 2"));
    let (opened, closed) = trace(&world, "main");
    assert_eq!(opened, ["200", "300 a", "300 b", "last 1", "last 2"]);
    assert_eq!(closed, ["~last 2", "~last 1", "~300 b", "~300 a", "~200"]);
}

#[test]
fn priorities_count_within_what_was_added_together() {
    let world = World::new();
    let with = |priority: u32| {
        format!(
            "__attribute__((constructor({priority}))) static void i(void) {{ NOTE(\"{priority}\"); }} __attribute__((destructor({priority}))) static void f(void) {{ NOTE(\"~{priority}\"); }}"
        )
    };
    world.c("main", &with(500)).c("main", &with(400));
    let main = world.open("main");
    world.c("main", &with(300)).c("main", &with(200));
    main.update().expect("open");
    assert_eq!(world.log.take(), ["400", "500", "200", "300"], "what ran cannot be preceded any more");
    drop(main);
    assert_eq!(world.log.take(), ["~300", "~200", "~500", "~400"]);
    // Opened anew, it is one.
    drop(world.open("main"));
    assert_eq!(world.log.take(), ["200", "300", "400", "500", "~500", "~400", "~300", "~200"]);
}

#[test]
fn preinit_arrays_run_first_and_only_in_the_program() {
    let world = World::new();
    let source = |name: &str| {
        format!(
            "static void p(void) {{ NOTE(\"preinit {name}\"); }} __attribute__((section(\".preinit_array\"), used)) static void (*const pre)(void) = p; BOTH(\"{name}\")"
        )
    };
    world.c("main", &source("main")).c("lib", &source("lib")).links("main", &["lib"]);
    assert_eq!(trace(&world, "main").0, ["preinit main", "lib", "main"]);
}

#[test]
fn code_added_while_it_is_open_runs_at_the_next_open_or_update() {
    let world = World::new();
    world.c("main", "int one(void) { return 1; } BOTH(\"one\")");
    let main = world.open("main");
    assert_eq!(world.log.take(), ["one"]);
    world.c("main", "int one(void); int two(void) { return one() + 1; } BOTH(\"two\")");
    assert!(world.log.take().is_empty(), "not before it is asked for");
    let again = world.open("main");
    assert_eq!((world.log.take(), call(&again, "two")), (vec!["two".to_owned()], 2));
    world.c("main", "int two(void); int three(void) { return two() + 1; } BOTH(\"three\")");
    main.update().expect("open");
    main.update().expect("nothing is new");
    assert_eq!((world.log.take(), call(&main, "three")), (vec!["three".to_owned()], 3));
    assert_eq!(world.count("main"), 2, "an update counts nothing");
    drop(main);
    drop(again);
    assert_eq!(world.log.take(), ["~three", "~two", "~one"]);
    drop(world.open("main"));
    assert_eq!(world.log.take(), ["one", "two", "three", "~three", "~two", "~one"]);
}

#[test]
fn an_update_reaches_dependencies() {
    let world = World::new();
    world.traced("base", &[]).traced("main", &["base"]);
    let main = world.open("main");
    world.c("base", "int late(void) { return 9; } BOTH(\"late\")");
    main.update().expect("open");
    assert_eq!((world.log.take(), call(&main, "late")), (["base", "main", "late"].map(str::to_owned).to_vec(), 9));
}

#[test]
fn code_added_by_an_initializer_waits_for_the_next_update() {
    let world = World::new();
    let late = world.object("BOTH(\"late\")");
    let adding = common::callback({
        let dylib = world.dylib("main");
        move || dylib.add_object("late.o", late.clone()).expect("a live session")
    });
    world.c(
        "main",
        &format!(
            "__attribute__((constructor)) static void i(void) {{ NOTE(\"adds\"); {}; }}",
            common::call_host(adding)
        ),
    );
    let main = world.open("main");
    assert_eq!(world.log.take(), ["adds"]);
    main.update().expect("open");
    assert_eq!(world.log.take(), ["late"]);
    drop(main);
    assert_eq!(world.log.take(), ["~late"]);
}

#[test]
fn a_new_link_is_initialized_by_the_next_open_or_update() {
    let world = World::new();
    world.traced("main", &[]).traced("new", &[]).traced("newer", &[]);
    let main = world.open("main");
    world.links("main", &["new"]);
    assert_eq!(world.log.take(), ["main"]);
    main.update().expect("open");
    assert_eq!(world.log.take(), ["new"]);
    world.links("main", &["new", "newer"]);
    let again = world.open("main");
    assert_eq!(world.log.take(), ["newer"]);
    drop(main);
    drop(again);
    assert_eq!(world.log.take(), ["~newer", "~new", "~main"], "in reverse of what completed");
}

#[test]
fn a_link_that_is_gone_is_released_by_the_next_update_or_close() {
    let world = World::new();
    world.traced("old", &[]).traced("older", &[]).traced("main", &["old", "older"]);
    let main = world.open("main");
    assert_eq!(world.log.take(), ["old", "older", "main"]);
    world.links("main", &["older"]);
    assert!(world.log.take().is_empty(), "not before");
    main.update().expect("open");
    assert_eq!(world.log.take(), ["~old"]);
    world.links("main", &[]);
    drop(main);
    assert_eq!(world.log.take(), ["~main", "~older"]);
    assert_eq!(world.holds(), (0, 0));
}

#[test]
fn new_code_uses_new_links() {
    let world = World::new();
    world.c("main", "int f(void) { return 1; }").c("new", "int g(void) { return 10; }");
    let main = world.open("main");
    world.c("main", "int f(void), g(void); int h(void) { return f() + g(); }");
    let error = main.update().expect_err("g is not in reach");
    assert!(error.to_string().contains('g'), "{error}");
    assert_eq!(call(&main, "f"), 1);
    world.links("main", &["new"]);
    main.update().expect("now it is");
    assert_eq!(call(&main, "h"), 11);
}

#[test]
fn the_order_does_not_depend_on_the_order_of_making() {
    let build = |order: &[usize]| {
        let graph: [(&str, &[&str]); 5] =
            [("main", &["x", "y"]), ("x", &["z"]), ("y", &["w", "z"]), ("z", &["w"]), ("w", &["y"])];
        let world = World::new();
        world.dylib("main");
        for &at in order {
            world.traced(graph[at].0, graph[at].1);
        }
        trace(&world, "main")
    };
    let first = build(&[0, 1, 2, 3, 4]);
    assert_eq!(first.0, ["y", "w", "z", "x", "main"]);
    for order in [[4, 3, 2, 1, 0], [2, 0, 4, 1, 3], [3, 4, 0, 2, 1]] {
        assert_eq!(build(&order), first);
    }
}

#[test]
fn an_indirect_function_is_chosen_before_any_initializer() {
    let world = World::new();
    world.c(
        "lib",
        "static int fast(void) { return 7; } static void *choose(void) { return fast; } int pick(void) __attribute__((ifunc(\"choose\")));\n\
         int (*table[])(void) = { pick }; int via_table(void) { return table[0](); } BOTH(\"lib\")",
    );
    world.c(
        "main",
        "int pick(void), via_table(void); int seen; int same(void) { extern int (*table[])(void); return table[0] == pick; }\n\
         __attribute__((constructor)) static void i(void) { seen = pick() * 10 + via_table(); }",
    );
    world.links("main", &["lib"]);
    for _ in 0..2 {
        let main = world.open("main");
        assert_eq!((read(&main, "seen"), call(&main, "same"), call(&main, "pick")), (77, 1, 7));
    }
}
