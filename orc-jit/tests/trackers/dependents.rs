//! Is it known who is bound to what is removed?

use crate::places::{everywhere, tracked};
use crate::support::World;
use orc_jit::tracker::Dependent;
use orc_jit::{Error, Executor, Removal};

everywhere!(
    a_removal_is_refused_with_the_list,
    a_cascade_takes_along_what_can_go,
    a_cycle_of_trackers_goes_together,
    what_a_dylib_is_made_of_stays_and_so_does_what_it_uses,
    data_tables_and_weak_sharing_count,
    a_dylib_that_was_unloaded_uses_nothing,
);

const COUNTER: &str = "int total; int bump(int by) { return total += by; }";

fn in_words(users: &[Dependent]) -> Vec<String> {
    users.iter().map(Dependent::to_string).collect()
}

fn a_removal_is_refused_with_the_list<E: Executor>(world: &World<E>) {
    let counter = tracked(world, "main", "counter", COUNTER);
    let app = tracked(world, "app", "app", "extern int total; int bump(int); int app(void) { bump(2); return total; }");
    let other = tracked(world, "main", "other", "int bump(int); int other(void) { return bump(1); }");
    world.links("app", &["main"]);
    let opened = world.open("app");
    assert_eq!((world.call(&opened, "app"), world.call(&opened, "other")), (2, 3));
    let refused = counter.remove(Removal::Refuse).expect_err("it is used");
    assert_eq!(
        refused.to_string(),
        "counter.o of JITDylib main is used by other.o (JITDylib main): bump; app.o (JITDylib app): bump, total"
    );
    let users = counter.dependents().expect("it is there");
    assert_eq!(in_words(&users), ["other.o (JITDylib main): bump", "app.o (JITDylib app): bump, total"]);
    assert_eq!(users[1].tracker.as_deref(), Some("app"));
    assert_eq!((world.call(&opened, "app"), world.call(&opened, "other")), (5, 6), "nothing has changed");
    app.remove(Removal::Refuse).expect("nobody uses it");
    assert_eq!(in_words(&counter.dependents().expect("it is there")), ["other.o (JITDylib main): bump"]);
    other.remove(Removal::Refuse).expect("nobody uses it");
    counter.remove(Removal::Refuse).expect("nobody uses it any more");
}

fn a_cascade_takes_along_what_can_go<E: Executor>(world: &World<E>) {
    let noting = |name: &str, uses: &str| {
        format!("int {uses}(void); int {name}(void) {{ return {uses}() + 1; }} BOTH(\"{name}\")")
    };
    let a = tracked(world, "main", "a", "int a(void) { return 1; } BOTH(\"a\")");
    tracked(world, "main", "b", &noting("b", "a"));
    tracked(world, "far", "c", &noting("c", "b"));
    tracked(world, "main", "d", "int d(void) { return 9; } BOTH(\"d\")");
    world.links("far", &["main"]);
    let far = world.open("far");
    assert_eq!((world.call(&far, "c"), world.trace()), (3, ["a", "b", "d", "c"].map(String::from).to_vec()));
    a.remove(Removal::Cascade).expect("trackers can all go");
    assert_eq!(world.trace(), ["~c", "~b", "~a"]);
    assert_eq!(world.call(&far, "d"), 9);
    assert!(["a", "b", "c"].iter().all(|name| far.address(name).is_err()));
    far.close().expect("open");
    assert_eq!(world.trace(), ["~d"]);
}

fn a_cycle_of_trackers_goes_together<E: Executor>(world: &World<E>) {
    let a = tracked(world, "main", "a", "int b(int); int a(int n) { return n ? b(n - 1) : 0; }");
    let b = tracked(world, "main", "b", "int a(int); int b(int n) { return n ? a(n - 1) : 0; }");
    let main = world.open("main");
    for one in [&a, &b] {
        assert!(matches!(one.remove(Removal::Refuse), Err(Error::StillUsed { fixed: false, .. })));
    }
    b.remove(Removal::Cascade).expect("both go");
    assert!(matches!(a.remove(Removal::Cascade), Err(Error::TrackerRemoved { .. })));
    assert!(main.address("a").is_err());
}

fn what_a_dylib_is_made_of_stays_and_so_does_what_it_uses<E: Executor>(world: &World<E>) {
    world.c("main", "int mid(void); int run(void) { return mid(); }");
    let low = tracked(world, "main", "low", "int low(void) { return 1; } BOTH(\"low\")");
    tracked(world, "main", "mid", "int low(void); int mid(void) { return low() + 1; } BOTH(\"mid\")");
    let main = world.open("main");
    let refused = low.remove(Removal::Cascade).expect_err("main.o cannot go by itself").to_string();
    assert_eq!(
        refused,
        "mid.o of JITDylib main is used by main.o (JITDylib main): mid, which cannot be removed by itself"
    );
    assert_eq!(
        (world.call(&main, "run"), world.trace()),
        (2, vec!["low".to_owned(), "mid".to_owned()]),
        "nothing has changed"
    );
    main.close().expect("open");
    world.trace();
    // Of a dylib that is not linked nothing is bound to anything.
    low.remove(Removal::Refuse).expect("nothing is linked");
    let words = world.try_open("main").expect_err("mid.o needs it").to_string();
    assert!(words.contains("low"), "{words}");
}

fn data_tables_and_weak_sharing_count<E: Executor>(world: &World<E>) {
    let weak = "__attribute__((weak)) int shared = 3; int PART(void) { return shared++; }";
    let a = tracked(world, "main", "a", &weak.replace("PART", "a"));
    let b = tracked(world, "main", "b", &weak.replace("PART", "b"));
    let table = tracked(
        world,
        "main",
        "table",
        "int b(void); extern int shared; void *table[] = {(void *)b, &shared}; int hold(void) { return table[0] && table[1]; }",
    );
    let main = world.open("main");
    assert_eq!([world.call(&main, "a"), world.call(&main, "b"), world.call(&main, "hold")], [3, 4, 1]);
    assert_eq!(
        in_words(&a.dependents().expect("there")),
        ["b.o (JITDylib main): shared", "table.o (JITDylib main): shared"]
    );
    assert_eq!(in_words(&b.dependents().expect("there")), ["table.o (JITDylib main): b"]);
    table.remove(Removal::Refuse).expect("nobody uses it");
    b.remove(Removal::Refuse).expect("nobody uses it any more");
    a.remove(Removal::Refuse).expect("nobody uses it any more");
}

fn a_dylib_that_was_unloaded_uses_nothing<E: Executor>(world: &World<E>) {
    let counter = tracked(world, "main", "counter", COUNTER);
    world.c("app", "int bump(int); int app(void) { return bump(2); }").links("app", &["main"]);
    let (main, app) = (world.open("main"), world.open("app"));
    assert!(matches!(counter.remove(Removal::Cascade), Err(Error::StillUsed { fixed: true, .. })));
    app.close().expect("open");
    assert_eq!(counter.dependents().expect("it is there"), []);
    counter.remove(Removal::Refuse).expect("nobody uses it any more");
    assert!(main.address("bump").is_err());
}
