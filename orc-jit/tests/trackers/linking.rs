//! Are the inputs of trackers linked as the inputs of one dylib are?

use crate::places::{everywhere, tracked};
use crate::support::World;
use orc_jit::{Executor, Removal};

everywhere!(
    trackers_of_a_dylib_see_each_other_and_what_it_is_made_of,
    hidden_names_are_those_of_the_whole_dylib,
    two_strong_definitions_name_both_files,
    weak_and_common_definitions_are_one,
    what_a_tracker_needs_comes_from_archives_and_stays,
    thread_local_variables_are_shared,
    later_trackers_see_earlier_ones,
    a_tracker_is_added_to,
);

fn trackers_of_a_dylib_see_each_other_and_what_it_is_made_of<E: Executor>(world: &World<E>) {
    world.c("main", "int a(int); int b(int); int base = 100; int run(void) { return a(3) + b(3); }");
    tracked(world, "main", "a", "extern int base; int b(int); int a(int n) { return n ? b(n - 1) + 1 : base; }");
    tracked(world, "main", "b", "extern int base; int a(int); int b(int n) { return n ? a(n - 1) + 1 : base; }");
    let main = world.open("main");
    assert_eq!(world.call(&main, "run"), 206);
}

fn hidden_names_are_those_of_the_whole_dylib<E: Executor>(world: &World<E>) {
    let hidden = "__attribute__((visibility(\"hidden\")))";
    world.c(
        "main",
        &format!(
            "{hidden} int own(void) {{ return 1; }} {hidden} int theirs(void); int run(void) {{ return theirs(); }}"
        ),
    );
    let source =
        format!("{hidden} int own(void); {hidden} int data = 40; {hidden} int theirs(void) {{ return own() + data; }}");
    tracked(world, "main", "a", &source);
    world.c("other", "int theirs(void); int see(void) { return theirs(); }").links("other", &["main"]);
    let main = world.open("main");
    assert_eq!(world.call(&main, "run"), 41);
    // A tracker that comes later sees them, too.
    let source =
        format!("{hidden} int own(void); {hidden} extern int data; int late(void) {{ return own() + data + 1; }}");
    tracked(world, "main", "b", &source);
    main.update().expect("it links");
    assert_eq!(world.call(&main, "late"), 42);
    let words = world.try_open("other").expect_err("another dylib").to_string();
    assert!(words.contains("theirs"), "{words}");
}

fn two_strong_definitions_name_both_files<E: Executor>(world: &World<E>) {
    tracked(world, "main", "a", "int f(void) { return 1; }");
    let second = tracked(world, "main", "b", "int f(void) { return 2; }");
    let words = world.try_open("main").expect_err("two definitions").to_string();
    assert_eq!(words, "duplicate definition of 'f': a.o and b.o");
    second.remove(Removal::Refuse).expect("it is not linked");
    let main = world.open("main");
    assert_eq!(world.call(&main, "f"), 1);
    // What is linked already has it.
    let third = tracked(world, "main", "c", "int f(void) { return 3; }");
    let words = main.update().expect_err("two definitions").to_string();
    assert_eq!(words, "duplicate definition of 'f': a.o and c.o");
    third.remove(Removal::Refuse).expect("it is not linked");
    world.c("main", "int f(void) { return 4; }");
    let words = main.update().expect_err("two definitions").to_string();
    assert_eq!(words, "duplicate definition of 'f': a.o and main.o");
}

fn weak_and_common_definitions_are_one<E: Executor>(world: &World<E>) {
    // As C says it of an inline function's static: one variable.
    let weak = |add: &str| {
        format!(
            "__attribute__((weak)) int count = 0; __attribute__((weak)) int next(void) {{ return ++count; }}\n\
             int room[{size}] __attribute__((common)); int {add}(void) {{ room[0]++; return next(); }}",
            size = add.len()
        )
    };
    tracked(world, "main", "a", &weak("a"));
    let second = tracked(world, "main", "b", &weak("bbbbbbbbbbbbbbbb"));
    tracked(
        world,
        "main",
        "c",
        "int strong(void) { return 7; } extern int room[]; int total(void) { return room[0]; }",
    );
    world.c("main", "__attribute__((weak)) int strong(void) { return 1; } int run(void) { return strong(); }");
    let main = world.open("main");
    assert_eq!(world.call(&main, "run"), 7, "a strong definition wins, whoever has it");
    assert_eq!((world.call(&main, "a"), world.call(&main, "bbbbbbbbbbbbbbbb"), world.call(&main, "next")), (1, 2, 3));
    assert_eq!(world.call(&main, "total"), 2);
    tracked(world, "main", "d", &weak("dd"));
    main.update().expect("it links");
    assert_eq!((world.call(&main, "dd"), world.call(&main, "total")), (4, 3), "what is linked already is first");
    second.remove(Removal::Refuse).expect("the first has what they share");
    assert_eq!((world.call(&main, "a"), world.call(&main, "dd")), (5, 6));
}

fn what_a_tracker_needs_comes_from_archives_and_stays<E: Executor>(world: &World<E>) {
    let folder = tempfile::tempdir().expect("a directory");
    let member = folder.path().join("member.o");
    let source = "int calls; int helper(void) { return ++calls; } BOTH(\"member\")";
    std::fs::write(&member, crate::support::object(source)).expect("room");
    let archive = folder.path().join("lib.a");
    let made = std::process::Command::new("ar")
        .arg("rcs")
        .args([&archive, &member])
        .status()
        .expect("ar, which the tests need");
    assert!(made.success());
    world.dylib("main").add_archive_file(&archive).expect("a live session");
    let first = tracked(world, "main", "a", "int helper(void); int a(void) { return helper(); }");
    let main = world.open("main");
    assert_eq!((world.call(&main, "a"), world.trace()), (1, vec!["member".to_owned()]));
    first.remove(Removal::Refuse).expect("nobody uses it");
    tracked(world, "main", "b", "int helper(void); int b(void) { return helper(); }");
    main.update().expect("it links");
    assert_eq!((world.call(&main, "b"), world.trace()), (2, vec![]), "a member is the dylib's own");
}

fn thread_local_variables_are_shared<E: Executor>(world: &World<E>) {
    tracked(world, "main", "a", "__thread int mine = 5; int a(void) { return mine++; }");
    tracked(world, "main", "b", "extern __thread int mine; int b(void) { return mine++; }");
    let main = world.open("main");
    assert_eq!([world.call(&main, "a"), world.call(&main, "b"), world.call(&main, "a")], [5, 6, 7]);
}

fn later_trackers_see_earlier_ones<E: Executor>(world: &World<E>) {
    tracked(world, "main", "a", "int total = 1; int bump(int n) { return total += n; }");
    let main = world.open("main");
    tracked(world, "main", "b", "extern int total; int bump(int); int b(void) { return bump(10) + total; }");
    tracked(world, "main", "c", "int b(void); int c(void) { return b() + 1; }");
    main.update().expect("it links");
    assert_eq!(world.call(&main, "c"), 23);
}

fn a_tracker_is_added_to<E: Executor>(world: &World<E>) {
    let both = tracked(world, "main", "a", "int a(void) { return 1; } BOTH(\"a\")");
    let main = world.open("main");
    both.add_object("b.o", crate::support::object("int a(void); int b(void) { return a() + 1; } BOTH(\"b\")"))
        .expect("it is there");
    main.update().expect("it links");
    assert_eq!((world.call(&main, "b"), world.trace()), (2, vec!["a".to_owned(), "b".to_owned()]));
    both.remove(Removal::Refuse).expect("nobody else uses it");
    assert_eq!(world.trace(), ["~b", "~a"]);
    assert!(main.address("a").is_err() && main.address("b").is_err());
}
