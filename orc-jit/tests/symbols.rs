//! What do absolute symbols, aliases, weak and common definitions stand for?

mod common;

use common::{World, call, callback, read, tiny::Tiny};
use orc_jit::Error;

#[test]
fn an_absolute_symbol_is_an_address_of_the_host() {
    let world = World::new();
    static NUMBER: i32 = 99;
    extern "C" fn double(number: i32) -> i32 {
        number * 2
    }
    let main = world.dylib("main");
    main.define_absolute("number", (&raw const NUMBER).expose_provenance() as u64).expect("a live session");
    main.define_absolute("twice", (double as extern "C" fn(i32) -> i32) as usize as u64).expect("a live session");
    world.c("main", "extern const int number; int twice(int); int run(void) { return twice(number); }");
    let main = world.open("main");
    assert_eq!((call(&main, "run"), read(&main, "number")), (198, 99));
    world.c("user", "int twice(int); int f(void) { return twice(4); }").links("user", &["main"]);
    assert_eq!(call(&world.open("user"), "f"), 8, "others find it too");
}

#[test]
fn absolute_symbols_survive_updates_and_unloads() {
    let world = World::new();
    let (function, _) = callback(|| {});
    world.dylib("main").define_absolute("host", function).expect("a live session");
    for _ in 0..3 {
        let main = world.open("main");
        assert_eq!(main.address("host").expect("defined"), function);
        world.dylib("main").define_absolute(format!("more_{}", world.count("main")), 0x10).expect("a live session");
        world.c(
            "main",
            &format!("__attribute__((weak)) int f{}(void) {{ return 1; }}", main.handle().expect("open").as_raw()),
        );
        let updated = main.update();
        if let Err(error) = updated {
            // The second round defines `more_1` again.
            assert!(matches!(&error, Error::Duplicate { symbol, .. } if symbol == "more_1"), "{error:?}");
            return;
        }
        assert_eq!(
            (main.address("host").expect("defined"), main.address("more_1").expect("defined")),
            (function, 0x10)
        );
    }
    panic!("a name was defined twice, and nobody said so");
}

#[test]
fn an_alias_is_another_name_of_the_same_place() {
    let world = World::new();
    world.c("main", "int data = 3; int f(void) { return data; } int other(void); extern int info; int run(void) { return other() + info; }");
    let main = world.dylib("main");
    main.define_alias("other", "f").expect("a live session");
    main.define_alias("info", "data").expect("a live session");
    let main = world.open("main");
    assert_eq!(call(&main, "run"), 6);
    assert_eq!(main.address("other").expect("an alias"), main.address("f").expect("its function"));
    // Later code sees it, and it stays what it is.
    world.c("main", "int other(void); int late(void) { return other() + 1; }");
    main.update().expect("open");
    assert_eq!(call(&main, "late"), 4);
    world.dylib("main").define_alias("third", "other").expect("a live session");
    main.update().expect("an alias of an alias, of earlier code");
    assert_eq!(call(&main, "third"), 3);
    drop(main);
    assert_eq!(call(&world.open("main"), "third"), 3, "all of it at once");
}

#[test]
fn an_alias_may_name_what_an_archive_has() {
    let (world, dir) = (World::new(), tempfile::tempdir().expect("a directory"));
    std::fs::write(dir.path().join("f.o"), Tiny::new().returns("in_archive", 6).bytes()).expect("it can be written");
    let made = std::process::Command::new("ar").current_dir(dir.path()).args(["rcs", "lib.a", "f.o"]).status();
    assert!(made.expect("ar").success());
    let main = world.dylib("main");
    main.define_alias("alias", "in_archive").expect("a live session");
    main.add_archive_file(dir.path().join("lib.a")).expect("a live session");
    let main = world.open("main");
    assert_eq!(call(&main, "alias"), 6);
}

#[test]
fn aliases_of_nothing_and_aliases_that_clash_are_told() {
    let world = World::new();
    world.c("main", "int f(void) { return 1; }");
    world.dylib("main").define_alias("alias", "nothing").expect("told later");
    let error = world.session.open("main").expect_err("nothing is defined so");
    assert!(
        matches!(&error, Error::Alias { alias, of, dylib } if alias == "alias" && of == "nothing" && dylib == "main"),
        "{error:?}"
    );
    world.c("main", "int nothing(void) { return 2; }");
    assert_eq!(call(&world.open("main"), "alias"), 2);
    world.dylib("main").define_alias("f", "nothing").expect("told later");
    let error = world.session.open("main").expect_err("f is there");
    assert!(matches!(&error, Error::Duplicate { symbol, .. } if symbol == "f"), "{error:?}");
}

#[test]
fn weak_and_common_definitions_yield() {
    let world = World::new();
    world
        .c("main", "__attribute__((weak)) int f(void) { return 1; } int g(void) { return f(); }")
        .c("main", "int f(void) { return 2; }");
    world.c("main", "int tentative __attribute__((common)); int small(void) { return tentative; }");
    world
        .c("main", "long long tentative __attribute__((common)); int large(void) { return sizeof tentative; }")
        .c("main", "extern int tentative; int set(void) { return tentative = 5; }");
    let main = world.open("main");
    assert_eq!((call(&main, "g"), call(&main, "set"), call(&main, "small"), call(&main, "large")), (2, 5, 5, 8));
    // What is linked is bound: a strong definition that comes later is used by later code only.
    world.c("other", "__attribute__((weak)) int h(void) { return 1; } int use(void) { return h(); }");
    let other = world.open("other");
    world.c("other", "int h(void) { return 2; } int late(void) { return h(); }");
    other.update().expect("a weak one yields");
    assert_eq!((call(&other, "use"), call(&other, "late"), call(&other, "h")), (1, 2, 2));
}

#[test]
fn a_weak_definition_that_comes_later_yields_to_what_is_there() {
    let world = World::new();
    world.c("main", "int f(void) { return 1; }");
    let main = world.open("main");
    world.c("main", "__attribute__((weak)) int f(void) { return 2; } int late(void) { return f(); }");
    main.update().expect("no clash");
    assert_eq!((call(&main, "late"), call(&main, "f")), (1, 1));
}

#[test]
fn bounds_of_sections_cover_all_objects_of_a_dylib() {
    let world = World::new();
    let entry = |value: i32| format!("__attribute__((section(\"table\"), used)) static int entry = {value};");
    world.c("main", &entry(1)).c("main", &entry(2)).c("main", &entry(3));
    world.c("main", "extern int __start_table[], __stop_table[]; int sum(void) { int s = 0; for (int *p = __start_table; p != __stop_table; p++) s = s * 10 + *p; return s; }");
    assert_eq!(call(&world.open("main"), "sum"), 123);
}

#[test]
fn each_dylib_has_its_own_handle_and_its_own_statics() {
    let world = World::new();
    let source = "extern void *__dso_handle __attribute__((visibility(\"hidden\"))); static int own; int NAME(void) { return ++own; } void *NAME_handle = &__dso_handle;";
    world.c("a", &source.replace("NAME", "a")).c("b", &source.replace("NAME", "b")).links("a", &["b"]);
    let a = world.open("a");
    assert_eq!((call(&a, "a"), call(&a, "a"), call(&a, "b")), (1, 2, 1));
    // SAFETY: both are pointers.
    let handles = unsafe {
        [
            **a.symbol::<*const usize>("a_handle").expect("a variable"),
            **a.symbol::<*const usize>("b_handle").expect("a variable"),
        ]
    };
    assert!(handles[0] != 0 && handles[0] != handles[1], "{handles:x?}");
}
