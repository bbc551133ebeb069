//! What may an initializer, a finalizer, a handler do? (rules 7, 8, 19, 20)
#![allow(clippy::print_stdout, reason = "a child tells its parent what happened")]

mod common;

use common::child::{ended, in_child, lines};
use common::{World, call, call_host, callback, lock};
use orc_jit::Error;
use std::sync::{Arc, Mutex};

fn opening(name: &str, inner: &str) -> String {
    format!(
        "__attribute__((constructor)) static void i(void) {{ NOTE(\"{name} begins\"); void *h = dlopen(\"{inner}\", RTLD_NOW); NOTE(h ? \"{name} ends\" : dlerror()); }} FINI(\"{name}\")"
    )
}

#[test]
fn an_open_from_an_initializer_completes_before_it_returns() {
    let world = World::new();
    world.traced("leaf", &[]).traced("part", &["leaf"]).traced("other", &[]);
    // part comes later in the outer order: the inner open runs it now, and the outer one skips it.
    world.c("first", &opening("first", "part")).traced("main", &["first", "other", "part"]);
    let main = world.open("main");
    assert_eq!(world.log.take(), ["first begins", "leaf", "part", "first ends", "other", "main"]);
    main.close().expect("open");
    assert_eq!(world.log.take(), ["~main", "~other", "~first"], "first never closed part");
    assert_eq!(world.count("part"), 1);
}

#[test]
fn an_open_of_what_is_in_progress_gives_the_handle() {
    let world = World::new();
    world.c("dep", &opening("dep", "main")).c("main", &opening("main", "main")).links("main", &["dep"]);
    let main = world.open("main");
    assert_eq!(world.log.take(), ["dep begins", "dep ends", "main begins", "main ends"], "main's own run once, later");
    assert_eq!(world.count("main"), 3);
    drop(main);
    assert!(world.log.take().is_empty(), "two opens are left");
}

#[test]
fn opens_nest_deeply() {
    let world = World::new();
    let depth = 60;
    for number in 0..depth {
        world.c(&format!("d{number}"), &opening(&format!("d{number}"), &format!("d{}", number + 1)));
    }
    world.traced(&format!("d{depth}"), &[]);
    let first = world.open("d0");
    let begins = (0..depth).map(|number| format!("d{number} begins"));
    let ends = (0..depth).rev().map(|number| format!("d{number} ends"));
    let expected: Vec<_> = begins.chain([format!("d{depth}")]).chain(ends).collect();
    assert_eq!(world.log.take(), expected);
    drop(first);
    assert_eq!(world.log.take(), ["~d0"]);
}

#[test]
fn the_host_may_open_from_inside_an_initializer() {
    let world = World::new();
    let opened: Arc<Mutex<Vec<_>>> = Arc::default();
    let inside = callback({
        let (session, opened) = (world.session.clone(), opened.clone());
        move || {
            let part = session.open("part").expect("nothing is in the way");
            assert_eq!(call(&part, "f"), 5);
            lock(&opened).push(part);
            let error = session.open("no such dylib").expect_err("there is none");
            assert!(matches!(error, Error::NoDylib(_)), "{error}");
        }
    });
    world.c("part", "int f(void) { return 5; } BOTH(\"part\")");
    world.c(
        "main",
        &format!(
            "__attribute__((constructor)) static void i(void) {{ NOTE(\"main begins\"); {}; NOTE(\"main ends\"); }}",
            call_host(inside)
        ),
    );
    let main = world.open("main");
    assert_eq!(world.log.take(), ["main begins", "part", "main ends"]);
    drop(main);
    lock(&opened).clear();
    assert_eq!(world.log.take(), ["~part"]);
}

#[test]
fn an_initializer_may_look_up_and_call_what_it_needs() {
    let world = World::new();
    world.c("base", "int f(void) { return 8; } BOTH(\"base\")");
    world.c("main", "int seen; int own(void) { return 1; } __attribute__((constructor)) static void i(void) { void *h = dlopen(0, RTLD_NOW); seen = ((int (*)(void))dlsym(h, \"f\"))() + ((int (*)(void))dlsym((void *)0, \"own\"))(); dlclose(h); }");
    world.links("main", &["base"]);
    assert_eq!(common::read(&world.open("main"), "seen"), 9);
}

#[test]
fn a_finalizer_may_open_and_close_what_stays() {
    let world = World::new();
    world.traced("stays", &[]).traced("comes", &[]);
    world.c("main", "__attribute__((destructor)) static void f(void) { NOTE(\"~main\"); void *h = dlopen(\"comes\", RTLD_NOW); dlclose(h); h = dlopen(\"stays\", RTLD_NOW); dlclose(h); }");
    let stays = world.open("stays");
    drop(world.open("main"));
    assert_eq!(world.log.take(), ["stays", "~main", "comes", "~comes"]);
    drop(stays);
    assert_eq!((world.log.take(), world.holds()), (vec!["~stays".to_owned()], (0, 0)));
}

#[test]
fn a_finalizer_that_opens_its_own_dylib_gets_an_error() {
    let world = World::new();
    world.c("main", "__attribute__((destructor)) static void f(void) { void *h = dlopen(\"main\", RTLD_NOW); NOTE(h ? \"opened\" : dlerror()); }");
    drop(world.open("main"));
    let noted = world.log.take();
    assert!(noted.len() == 1 && noted[0].contains("being unloaded"), "{noted:?}");
    assert_eq!(world.holds(), (0, 0));
    drop(world.open("main"));
}

#[test]
fn a_handler_belongs_to_the_dylib_whose_code_registered_it() {
    let world = World::new();
    world.c("base", "int add_for_base(void (*f)(void)) { return atexit(f); } static void own(void) { NOTE(\"base's own\"); } __attribute__((constructor)) static void i(void) { atexit(own); } FINI(\"base\")");
    world.c("a", "int add_for_base(void (*)(void)); static void mine(void) { NOTE(\"a's\"); } static void lent(void) { NOTE(\"lent\"); } int go(void) { return atexit(mine) + add_for_base(lent); } FINI(\"a\")");
    world.links("a", &["base"]);
    let (base, a) = (world.open("base"), world.open("a"));
    assert_eq!(call(&a, "go"), 0);
    a.close().expect("open");
    assert_eq!(world.log.take(), ["a's", "~a"]);
    // lent is code of a, which is gone: base must not be left with it. So a is opened again before base goes.
    let a = world.open("a");
    drop(a);
    world.log.take();
    drop(base);
}

#[test]
fn exit_runs_handlers_then_finalizers_of_everything() {
    let output = in_child("exit_runs_handlers_then_finalizers_of_everything", || {
        let world = World::new();
        let say = |name: &str| {
            format!(
                "#include <stdio.h>\n__attribute__((constructor)) static void i(void) {{ puts(\"> {name}\"); }} __attribute__((destructor)) static void f(void) {{ puts(\"> ~{name}\"); }}\n\
                 static void h(void) {{ puts(\"> handler of {name}\"); }} int {name}_register(void) {{ return atexit(h); }}"
            )
        };
        world.c("base", &say("base")).c("plugin", &say("plugin")).c("main", &say("main")).links("main", &["base"]);
        world.c(
            "main",
            "int base_register(void), main_register(void); int main(int c, char **v) { void *h = dlopen(\"plugin\", RTLD_NOW); base_register(); ((int (*)(void))dlsym(h, \"plugin_register\"))(); main_register(); exit(c + 40); }",
        );
        let status = world.session.run("main", "main", &["p".into(), "x".into()]);
        println!("> came back with {status:?}");
    });
    ended(&output, 42, "");
    assert_eq!(
        lines(&output),
        [
            "base",
            "main",
            "plugin",
            "handler of main",
            "handler of plugin",
            "handler of base",
            "~plugin",
            "~main",
            "~base"
        ]
    );
}

#[test]
fn a_handler_may_register_open_and_exit() {
    let output = in_child("a_handler_may_register_open_and_exit", || {
        let world = World::new();
        world.c("late", "#include <stdio.h>\n__attribute__((constructor)) static void i(void) { puts(\"> late\"); } __attribute__((destructor)) static void f(void) { puts(\"> ~late\"); }");
        world.c(
            "main",
            "#include <stdio.h>\nstatic void third(void) { puts(\"> third\"); }\n\
             static void second(void) { puts(\"> second\"); dlopen(\"late\", RTLD_NOW); exit(9); }\n\
             static void first(void) { puts(\"> first\"); atexit(second); }\n\
             __attribute__((destructor)) static void f(void) { puts(\"> ~main\"); }\n\
             int main(void) { atexit(third); atexit(first); exit(3); }",
        );
        let _never = world.session.run("main", "main", &["p".into()]);
    });
    ended(&output, 9, "");
    assert_eq!(lines(&output), ["first", "second", "late", "third", "~late", "~main"]);
}

#[test]
fn a_return_from_main_closes_and_the_process_goes_on() {
    let world = World::new();
    world.c("main", "static void h(void) { NOTE(\"handler\"); } int main(void) { atexit(h); void *p = dlopen(\"plugin\", RTLD_NOW); return p ? 5 : 1; } BOTH(\"main\")");
    world.traced("plugin", &[]);
    assert_eq!(world.session.run("main", "main", &["p".into()]).expect("it returns"), 5);
    assert_eq!(world.log.take(), ["main", "plugin", "handler", "~main"]);
}
