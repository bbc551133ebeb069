//! Can functions be redefined while they are in use?

use crate::common::{self, call, call_host, callback};
use crate::places::everywhere;
use crate::support::{World, object};
use dispatch::Tag;
use orc_jit::{Error, Executor, InProcess, Removal, Tracker};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

everywhere!(
    everybody_calls_the_new_function_by_the_same_pointer,
    the_new_one_is_initialized_before_the_old_one_is_finalized,
    what_others_use_must_be_there_again,
    data_that_others_use_does_not_move,
    what_cannot_be_linked_changes_nothing,
    functions_come_and_go_with_definitions,
    a_new_definition_calls_its_own_functions_from_the_start,
    what_is_not_linked_has_only_its_inputs_changed,
    another_tracker_is_replaced_when_nobody_uses_it,
    a_definition_is_removed_with_its_stubs,
    a_program_has_itself_redefined,
);

#[track_caller]
fn redefinable<E: Executor>(world: &World<E>, name: &str, source: &str) -> Tracker<E> {
    let tracker = world.dylib("main").redefinable(name).expect("a live session");
    tracker.add_object(format!("{name}.o"), object(source)).expect("a live session");
    tracker
}

fn replace<E: Executor>(tracker: &Tracker<E>, name: &str, source: &str) -> Result<(), Error> {
    tracker.replace(|new| {
        new.add_object(format!("{name}.o"), object(source));
    })
}

/// Calls the rule in every way that code can.
const USER: &str = "int rule(int); int (*const table[])(int) = {rule}; int (*kept)(int);\n\
    int direct(void) { return rule(1); } int through(void) { return table[0](1); }\n\
    int keep(void) { kept = rule; return 0; } int is_kept(void) { return kept == rule && kept == table[0] && kept == dlsym(RTLD_DEFAULT, \"rule\"); } int by_kept(void) { return kept(1); }";

fn everybody_calls_the_new_function_by_the_same_pointer<E: Executor>(world: &World<E>) {
    world.c("main", USER);
    world.c("far", "int rule(int); int far(void) { return rule(2); }").links("far", &["main"]);
    let version = |n: i32| {
        format!(
            "int rule(int by) {{ return {n} * by; }} void *own(void) {{ return rule; }} int is_own(int c, char **v) {{ return own() == dlsym(RTLD_DEFAULT, \"rule\"); }}"
        )
    };
    let rule = redefinable(world, "rule", &version(10));
    let (far, main) = (world.open("far"), world.open("main"));
    assert_eq!(world.call(&main, "keep"), 0);
    let address = main.address("rule").expect("it is there");
    for n in [10, 20, 30, 40] {
        if n > 10 {
            replace(&rule, &format!("rule{n}"), &version(n)).expect("it takes the other's place");
        }
        let called = ["direct", "through", "by_kept", "is_kept", "is_own"].map(|name| world.call(&main, name));
        assert_eq!(called, [n, n, n, 1, 1]);
        assert_eq!((world.call(&far, "far"), main.address("rule").expect("it is there")), (2 * n, address));
    }
    main.close().expect("open");
    far.close().expect("open");
    let main = world.open("main");
    assert_eq!(world.call(&main, "direct"), 40, "the dylib is made of the new one now");
}

fn the_new_one_is_initialized_before_the_old_one_is_finalized<E: Executor>(world: &World<E>) {
    world.c("main", "int rule(void); static __attribute__((constructor)) void i(void) { NOTE(\"main\"); } int ask(void) { return rule(); }");
    let version = |n: i32| {
        format!(
            "static void bye(void) {{ NOTE(\"bye {n}\"); }} static int state = {n}; __thread int own = {n}; int rule(void) {{ return state++ + own++; }}\n\
             static __attribute__((constructor)) void start(void) {{ NOTE(\"begin {n}\"); atexit(bye); }} FINI(\"{n}\")"
        )
    };
    let rule = redefinable(world, "rule", &version(1));
    let main = world.open("main");
    assert_eq!(world.call(&main, "ask"), 2);
    world.trace();
    for n in 2..5 {
        replace(&rule, "rule", &version(n)).expect("it takes the other's place");
        assert_eq!(world.trace(), [format!("begin {n}"), format!("~{}", n - 1), format!("bye {}", n - 1)]);
        assert_eq!(world.call(&main, "ask"), 2 * n, "its own state");
    }
    main.close().expect("open");
    assert_eq!(world.trace(), ["~4", "bye 4"]);
}

fn what_others_use_must_be_there_again<E: Executor>(world: &World<E>) {
    world.c("main", "int a(void); int b(void); int sum(void) { return a() + b(); }");
    let rules =
        redefinable(world, "rules", "int a(void) { return 1; } int b(void) { return 2; } int c(void) { return 3; }");
    let main = world.open("main");
    let refused = replace(&rules, "new", "int a(void) { return 5; } int c(void) { return 7; }")
        .expect_err("b is used")
        .to_string();
    assert_eq!(
        refused,
        "rules.o of JITDylib main cannot be redefined: the new definition lacks functions that others use: main.o (JITDylib main): b"
    );
    assert_eq!((world.call(&main, "sum"), world.call(&main, "c")), (3, 3));
    replace(&rules, "new", "int a(void) { return 5; } int b(void) { return 6; }").expect("nobody uses c");
    assert_eq!(world.call(&main, "sum"), 11);
    assert!(main.address("c").is_err(), "it is gone with its definition");
}

fn data_that_others_use_does_not_move<E: Executor>(world: &World<E>) {
    world.c("main", "extern int limit; int f(void); int ask(void) { return f() + limit; }");
    let rules = redefinable(world, "rules", "int limit = 5; int other = 6; int f(void) { return limit; }");
    let main = world.open("main");
    let refused =
        replace(&rules, "new", "int limit = 7; int f(void) { return 1; }").expect_err("limit is used").to_string();
    assert!(refused.ends_with("which cannot move: main.o (JITDylib main): limit"), "{refused}");
    assert_eq!(world.call(&main, "ask"), 10);
}

fn what_cannot_be_linked_changes_nothing<E: Executor>(world: &World<E>) {
    world.c("main", "int f(void); int ask(void) { return f(); } int taken(void) { return 0; }");
    let rules = redefinable(world, "rules", "int f(void) { return 1; } BOTH(\"one\")");
    let main = world.open("main");
    for (source, word) in [
        ("int nowhere(void); int f(void) { return nowhere(); } BOTH(\"two\")", "nowhere"),
        ("int taken(void) { return 1; } int f(void) { return 2; } BOTH(\"two\")", "duplicate definition of 'taken'"),
    ] {
        let words = replace(&rules, "new", source).expect_err("it cannot be linked").to_string();
        assert!(words.contains(word), "{words}");
        assert_eq!(world.call(&main, "ask"), 1);
    }
    assert!(
        rules
            .replace(|new| {
                new.add_object_file("/no/such/file.o");
            })
            .is_err()
    );
    replace(&rules, "new", "int f(void) { return 3; } BOTH(\"three\")").expect("this one can");
    assert_eq!(world.call(&main, "ask"), 3);
    drop(main);
    assert_eq!(world.trace(), ["one", "three", "~one", "~three"]);
}

fn functions_come_and_go_with_definitions<E: Executor>(world: &World<E>) {
    world.c("main", "int f(void); int ask(void) { return f(); }");
    let rules = redefinable(world, "rules", "int f(void) { return 1; }");
    let main = world.open("main");
    replace(&rules, "second", "int g(void) { return 20; } int f(void) { return g() + 1; }").expect("it links");
    assert_eq!((world.call(&main, "ask"), world.call(&main, "g")), (21, 20));
    let user = crate::places::tracked(world, "main", "user", "int g(void); int use(void) { return g(); }");
    main.update().expect("it links");
    assert_eq!(world.call(&main, "use"), 20);
    assert!(replace(&rules, "third", "int f(void) { return 3; }").is_err(), "g is used now");
    replace(&rules, "third", "int f(void) { return 3; } int g(void) { return 30; }").expect("both are there");
    assert_eq!((world.call(&main, "ask"), world.call(&main, "use")), (3, 30));
    user.remove(Removal::Refuse).expect("nobody uses it");
    replace(&rules, "fourth", "int f(void) { return 4; }").expect("g is not used any more");
    assert_eq!(world.call(&main, "ask"), 4);
    assert!(main.address("g").is_err());
    // Another one may have the name.
    crate::places::tracked(world, "main", "other", "int g(void) { return 50; }");
    main.update().expect("it links");
    assert_eq!(world.call(&main, "g"), 50);
}

fn a_new_definition_calls_its_own_functions_from_the_start<E: Executor>(world: &World<E>) {
    world.c("main", "int f(void); int ask(void) { return f(); }");
    let version = |n: i32| {
        format!(
            "int seen; int helper(void) {{ return {n}; }} int f(void) {{ return seen * 10 + helper(); }} __attribute__((constructor)) void begin(void) {{ seen = helper(); }}"
        )
    };
    let rules = redefinable(world, "rules", &version(1));
    let main = world.open("main");
    assert_eq!(world.call(&main, "ask"), 11);
    replace(&rules, "rules", &version(2)).expect("it takes the other's place");
    assert_eq!(world.call(&main, "ask"), 22);
}

fn what_is_not_linked_has_only_its_inputs_changed<E: Executor>(world: &World<E>) {
    world.c("main", "int f(void); int ask(void) { return f(); }");
    let rules = redefinable(world, "rules", "int f(void) { return 1; } BOTH(\"one\")");
    replace(&rules, "new", "int f(void) { return 2; } BOTH(\"two\")").expect("nothing is linked");
    let main = world.open("main");
    assert_eq!((world.call(&main, "ask"), world.trace()), (2, vec!["two".to_owned()]));
    main.close().expect("open");
    replace(&rules, "new", "int f(void) { return 3; }").expect("nothing is linked any more");
    let main = world.open("main");
    assert_eq!((world.call(&main, "ask"), world.trace()), (3, vec!["~two".to_owned()]));
}

fn another_tracker_is_replaced_when_nobody_uses_it<E: Executor>(world: &World<E>) {
    let plain = crate::places::tracked(world, "main", "plain", "int f(void) { return 1; } BOTH(\"one\")");
    let main = world.open("main");
    replace(&plain, "new", "int f(void) { return 2; } BOTH(\"two\")").expect("nobody uses it");
    assert_eq!((world.call(&main, "f"), world.trace()), (2, ["one", "two", "~one"].map(String::from).to_vec()));
    let user = crate::places::tracked(world, "main", "user", "int f(void); int use(void) { return f(); }");
    main.update().expect("it links");
    let refused = replace(&plain, "new", "int f(void) { return 3; }").expect_err("it is used").to_string();
    assert!(
        refused.contains("not made to be redefinable") && refused.ends_with("user.o (JITDylib main): f"),
        "{refused}"
    );
    user.remove(Removal::Refuse).expect("nobody uses it");
    replace(&plain, "new", "int f(void) { return 3; }").expect("nobody uses it any more");
    assert_eq!(world.call(&main, "f"), 3);
}

fn a_definition_is_removed_with_its_stubs<E: Executor>(world: &World<E>) {
    world.c("main", "int stays(void) { return 1; }");
    let rules = redefinable(world, "rules", "int f(void) { return 1; } BOTH(\"one\")");
    let user = crate::places::tracked(world, "main", "user", "int f(void); int use(void) { return f(); }");
    let main = world.open("main");
    replace(&rules, "new", "int f(void) { return 2; } int g(void) { return 3; } BOTH(\"two\")").expect("it links");
    let users: Vec<String> = rules.dependents().expect("it is there").iter().map(ToString::to_string).collect();
    assert_eq!(users, ["user.o (JITDylib main): f"]);
    assert!(matches!(rules.remove(Removal::Refuse), Err(Error::StillUsed { .. })));
    rules.remove(Removal::Cascade).expect("the user can go");
    assert!(user.dependents().is_err() && replace(&rules, "new", "int f(void) { return 2; }").is_err());
    assert_eq!(world.trace(), ["one", "two", "~one", "~two"]);
    assert!(["f", "g", "use"].iter().all(|name| main.address(name).is_err()));
    assert_eq!(world.call(&main, "stays"), 1);
}

fn a_program_has_itself_redefined<E: Executor>(world: &World<E>) {
    // It asks for it at a place where it is not inside of what goes.
    world.c(
        "main",
        "int rule(int); int main(void) { int sum = 0; for (unsigned n = 0; n < 100; n++) { Result r = CALL(7, &n, sizeof n); if (r.size > sizeof r.data) free(r.data.pointer); sum += rule(n); } return sum == 100 * 99 / 2 * 2 + 100; }",
    );
    let slot: Arc<Mutex<Option<Tracker<E>>>> = Arc::default();
    let own = slot.clone();
    let served = world.session.serve(Tag(7), move |number: u32| {
        let source = format!("int rule(int n) {{ return n + {number} + 1; }}");
        let tracker = common::lock(&own).clone().expect("set before it runs");
        replace(&tracker, "rule", &source).map_or_else(|error| error.to_string(), |()| String::new())
    });
    served.expect("the tag is free");
    *common::lock(&slot) = Some(redefinable(world, "rule", "int rule(int n) { return -1; }"));
    let status = world.run("main").expect("it returns");
    // The service would keep the session.
    common::lock(&slot).take();
    assert_eq!(status, 1);
}

fn in_process() -> (common::World, Tracker<InProcess>) {
    let world = common::World::new();
    world.c("main", "int rule(void); int ask(void) { return rule(); }");
    let rules = world.dylib("main").redefinable("rules").expect("a live session");
    rules.add_object("rules.o", common::tiny::Tiny::new().returns("rule", 0).bytes()).expect("a live session");
    (world, rules)
}

#[test]
fn an_initializer_that_throws_leaves_the_old_definition_in_force() {
    let (world, rules) = in_process();
    let main = world.open("main");
    let before = (world.holds(), world.session.executor().runtime().ledger());
    let throw = callback(|| panic!("as the test has it"));
    let source = format!(
        "int rule(void) {{ return 1; }} static void bye(void) {{ NOTE(\"bye\"); }} static __attribute__((constructor)) void i(void) {{ atexit(bye); {}; }}",
        call_host(throw)
    );
    // With tables, through which the panic can pass.
    let bytes = common::compile(
        &["gcc", "-x", "c", "-fexceptions"],
        &format!(
            "#include <stdlib.h>\n#define NOTE(t) ((void (*)(void *, const char *)){:#x}UL)((void *){:#x}UL, t)\n{source}",
            common::note_address(),
            world.log.address()
        ),
    );
    let replaced = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        rules.replace(|new| {
            new.add_object("new.o", bytes);
        })
    }));
    assert!(replaced.is_err(), "the panic passes");
    assert_eq!((call(&main, "ask"), world.log.take()), (0, vec!["bye".to_owned()]));
    assert_eq!((world.holds(), world.session.executor().runtime().ledger()), before, "nothing of the new one is left");
}

/// The calling thread holds a token while it is inside; what is replaced meanwhile goes when it drops it.
#[test]
fn a_thousand_definitions_while_another_thread_calls() {
    let (world, rules) = in_process();
    let main = world.open("main");
    let rule = main.address("ask").expect("it is there");
    // SAFETY: main.o defines `int ask(void)`.
    let ask = unsafe { std::mem::transmute::<usize, extern "C" fn() -> i32>(rule as usize) };
    let runtime = world.session.executor().runtime();
    let dylib = world.dylib("main").id();
    let (done, calls, latest) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let mut held = Vec::new();
    std::thread::scope(|scope| {
        let caller = scope.spawn(|| {
            let mut last = 0;
            while !done.load(Ordering::Relaxed) {
                let inside = runtime.keepalive(dylib).expect("the session lives");
                let now = ask();
                drop(inside);
                assert!(now >= last, "{now} after {last}: a definition came back");
                assert!(now as u64 <= latest.load(Ordering::Acquire) + 1);
                last = now;
                calls.fetch_add(1, Ordering::Relaxed);
            }
            last
        });
        for number in 1..=1000 {
            let bytes = common::tiny::Tiny::new().returns("rule", number).bytes();
            rules.replace(|new| new.add_object("rule.o", bytes)).expect("it takes the other's place");
            latest.store(number as u64, Ordering::Release);
            let inside = runtime.keepalive(dylib).expect("the session lives");
            assert_eq!(ask(), number);
            drop(inside);
            if number % 250 == 0 {
                held.push(world.holds().1);
            }
        }
        done.store(true, Ordering::Relaxed);
        assert!(caller.join().expect("no panic") <= 1000);
    });
    assert!(calls.load(Ordering::Relaxed) > 0);
    let (used, registered) = world.holds();
    // One more definition: nothing has piled up behind the tokens.
    rules
        .replace(|new| new.add_object("rule.o", common::tiny::Tiny::new().returns("rule", 7).bytes()))
        .expect("it links");
    assert_eq!(world.holds(), (used, registered));
    // A caller that is not scheduled holds what it is in, and no more than was replaced meanwhile.
    assert!(held.iter().all(|count| *count < registered + 250), "{held:?}, {registered} at the end");
    main.close().expect("open");
    assert_eq!(world.holds(), (0, 0));
}
