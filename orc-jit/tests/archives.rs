//! Which members of an archive are linked, when, and what of them runs? (rule 27)

mod common;

use common::{World, call, tiny::Tiny};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Writes `name` in `dir` from members and their bytes.
fn archive(dir: &Path, name: &str, flags: &str, members: &[(&str, &[u8])]) -> PathBuf {
    let path = dir.join(name);
    let files = members.iter().map(|(member, bytes)| {
        std::fs::write(dir.join(member), bytes).expect("it can be written");
        (*member).to_owned()
    });
    let status = Command::new("ar").current_dir(dir).arg(flags).arg(name).args(files).status();
    assert!(status.expect("ar, which comes with the compiler, is a tool of the tests").success());
    path
}

fn member(world: &World, name: &str) -> Vec<u8> {
    Tiny::new().returns(name, 5).at_init(world.log, name).at_fini(world.log, &format!("~{name}")).bytes()
}

struct Library {
    world: World,
    dir: tempfile::TempDir,
}

/// main needs `used` of a library that has `spare` too.
fn library(flags: &str) -> Library {
    let (world, dir) = (World::new(), tempfile::tempdir().expect("a directory"));
    let path = archive(
        dir.path(),
        "lib.a",
        flags,
        &[("used.o", &member(&world, "used")), ("spare.o", &member(&world, "spare"))],
    );
    world.c("main", "int used(void); int run(void) { return used(); } BOTH(\"main\")");
    world.dylib("main").add_archive_file(path).expect("a live session");
    Library { world, dir }
}

#[test]
fn only_needed_members_are_linked_and_run() {
    for flags in ["rcs", "rcsT"] {
        let Library { world, dir: _dir } = library(flags);
        let main = world.open("main");
        assert_eq!((call(&main, "run"), world.log.take()), (5, vec!["main".to_owned(), "used".to_owned()]), "{flags}");
    }
}

#[test]
fn a_lookup_links_a_member_whose_initializers_wait_for_an_update() {
    let Library { world, dir: _dir } = library("rcs");
    let main = world.open("main");
    world.log.take();
    assert_eq!(call(&main, "spare"), 5);
    assert!(world.log.take().is_empty(), "a lookup runs nothing");
    let address = main.address("spare").expect("linked");
    assert_eq!(main.address("spare").expect("linked"), address, "and it is linked once");
    main.update().expect("open");
    main.update().expect("nothing is new");
    assert_eq!(world.log.take(), ["spare"]);
    main.close().expect("open");
    assert_eq!(world.log.take(), ["~spare", "~used", "~main"]);
    // Opened anew it starts without what the lookup had added.
    let main = world.open("main");
    assert_eq!(world.log.take(), ["main", "used"]);
    call(&main, "spare");
    assert!(world.log.take().is_empty());
    drop(main);
    assert_eq!(world.log.take(), ["~used", "~main"], "what never ran has nothing to undo");
    assert_eq!(world.holds(), (0, 0));
}

#[test]
fn a_lookup_reaches_archives_of_dependencies_in_search_order() {
    let (world, dir) = (World::new(), tempfile::tempdir().expect("a directory"));
    let returning = |value| Tiny::new().returns("f", value).bytes();
    let lib = archive(dir.path(), "lib.a", "rcs", &[("f.o", &returning(1))]);
    world.dylib("far").add_object("far.o", returning(2)).expect("a live session");
    world.dylib("near").add_archive_file(lib).expect("a live session");
    world.traced("main", &["near", "far"]);
    assert_eq!(call(&world.open("main"), "f"), 1, "near would define it, if asked");
    world.links("main", &["far", "near"]);
    assert_eq!(call(&world.open("main"), "f"), 2);
}

#[test]
fn archives_that_need_each_other() {
    let (world, dir) = (World::new(), tempfile::tempdir().expect("a directory"));
    let a = archive(
        dir.path(),
        "a.a",
        "rcs",
        &[("a1.o", &Tiny::new().calls("a1", "b1").bytes()), ("a2.o", &Tiny::new().calls("a2", "b2").bytes())],
    );
    let b = archive(
        dir.path(),
        "b.a",
        "rcs",
        &[("b1.o", &Tiny::new().calls("b1", "a2").bytes()), ("b2.o", &Tiny::new().returns("b2", 10).bytes())],
    );
    world.c("main", "int a1(void); int run(void) { return a1(); }");
    world.dylib("main").add_archive_file(a).expect("a live session");
    world.dylib("main").add_archive_file(b).expect("a live session");
    assert_eq!(call(&world.open("main"), "run"), 13);
}

#[test]
fn a_member_of_another_dylib_is_linked_into_that_dylib() {
    let Library { world, dir: _dir } = library("rcs");
    world
        .c("user", "int used(void); int spare(void); int both(void) { return used() + spare(); } BOTH(\"user\")")
        .links("user", &["main"]);
    let user = world.open("user");
    assert_eq!(call(&user, "both"), 10);
    assert_eq!(world.log.take(), ["main", "used", "spare", "user"]);
    assert!(world.open("main").address("spare").is_ok(), "main has it");
}

#[test]
fn a_whole_archive_is_linked_as_a_whole() {
    let (world, dir) = (World::new(), tempfile::tempdir().expect("a directory"));
    let path =
        archive(dir.path(), "lib.a", "rcs", &[("one.o", &member(&world, "one")), ("two.o", &member(&world, "two"))]);
    world.dylib("main").add_whole_archive_file(path).expect("a live session");
    let main = world.open("main");
    assert_eq!(
        (world.log.take(), call(&main, "one") + call(&main, "two")),
        (vec!["one".to_owned(), "two".to_owned()], 10)
    );
}

#[test]
fn a_weak_reference_does_not_pull() {
    let (world, dir) = (World::new(), tempfile::tempdir().expect("a directory"));
    let path = archive(dir.path(), "lib.a", "rcs", &[("extra.o", &member(&world, "extra"))]);
    world.c("main", "int extra(void) __attribute__((weak)); int run(void) { return extra ? extra() : -1; }");
    world.dylib("main").add_archive_file(path).expect("a live session");
    let main = world.open("main");
    assert_eq!((call(&main, "run"), world.log.take()), (-1, vec![]));
    assert_eq!(call(&main, "extra"), 5, "a lookup does");
}

#[test]
fn archives_from_memory_and_members_of_one_name() {
    let (world, dir) = (World::new(), tempfile::tempdir().expect("a directory"));
    std::fs::create_dir(dir.path().join("sub")).expect("a folder");
    let path = archive(
        dir.path(),
        "lib.a",
        "rcs",
        &[
            ("same.o", &Tiny::new().returns("first", 1).bytes()),
            ("sub/same.o", &Tiny::new().returns("second", 2).bytes()),
        ],
    );
    let bytes = std::fs::read(path).expect("an archive");
    drop(dir);
    world.c("main", "int first(void), second(void); int run(void) { return first() * 10 + second(); }");
    world.dylib("main").add_archive("lib.a", bytes).expect("a live session");
    assert_eq!(call(&world.open("main"), "run"), 12);
}

#[test]
fn a_member_that_cannot_be_linked_leaves_nothing() {
    let (world, dir) = (World::new(), tempfile::tempdir().expect("a directory"));
    let path = archive(
        dir.path(),
        "lib.a",
        "rcs",
        &[("bad.o", &Tiny::new().calls("bad", "nowhere_at_all").bytes()), ("good.o", &member(&world, "good"))],
    );
    world.traced("main", &[]).dylib("main").add_archive_file(path).expect("a live session");
    let main = world.open("main");
    let before = world.holds();
    for _ in 0..2 {
        let error = main.address("bad").expect_err("it needs what nobody has");
        let orc_jit::Error::Undefined(reports) = &error else { panic!("{error:?}") };
        assert_eq!(reports[0].symbol.as_deref(), Some("nowhere_at_all"));
        assert!(format!("{reports:?}").contains("lib.a(bad.o)"), "{reports:?}");
        assert_eq!(world.holds(), before);
    }
    assert_eq!(call(&main, "good"), 5);
    world.dylib("main").add_object("mend.o", Tiny::new().returns("nowhere_at_all", 1).bytes()).expect("a live session");
    assert_eq!(call(&main, "bad"), 2);
    main.update().expect("open");
    assert_eq!(world.log.take(), ["main", "good"]);
}

#[test]
fn an_archive_added_while_it_is_open_is_asked() {
    let (world, dir) = (World::new(), tempfile::tempdir().expect("a directory"));
    world.traced("main", &[]);
    let main = world.open("main");
    assert!(main.address("late").is_err());
    let path = archive(dir.path(), "late.a", "rcs", &[("late.o", &member(&world, "late"))]);
    world.dylib("main").add_archive_file(path).expect("a live session");
    assert_eq!(call(&main, "late"), 5);
    main.update().expect("open");
    assert_eq!(world.log.take(), ["main", "late"]);
}

#[test]
fn what_the_process_offers_is_not_taken_from_a_last_archive() {
    let (world, dir) = (World::new(), tempfile::tempdir().expect("a directory"));
    let path = archive(
        dir.path(),
        "last.a",
        "rcs",
        &[
            ("getpid.o", &Tiny::new().returns("getpid", -77).bytes()),
            ("only.o", &Tiny::new().returns("only_here", 8).bytes()),
            ("exits.o", &Tiny::new().returns("on_exit", -1).bytes()),
        ],
    );
    world.c("main", "int getpid(void), only_here(void); static void f(int status, void *p) {} int run(void) { return (getpid() > 0) + only_here() + on_exit(f, 0); }");
    world.dylib("main").add_last_archive_file(path).expect("a live session");
    assert_eq!(call(&world.open("main"), "run"), 9);
}
