//! Is failure all or nothing? (rules 9, 14, 15, 17)
#![allow(clippy::print_stdout, reason = "a child tells its parent what happened")]

mod common;

use common::child::{ended, in_child};
use common::{World, call, call_host, callback, lock, text_of, tiny::Tiny};
use orc_jit::Error;
use std::sync::{Arc, Mutex};

/// main links against middle, which links against leaf, where something is missing.
fn three(leaf: &str) -> World {
    let world = World::new();
    world.c("main", "int middle(void); int run(void) { return middle() + 1; } BOTH(\"main\")");
    world.c("middle", "int leaf(void); int middle(void) { return leaf() + 1; } BOTH(\"middle\")");
    world.c("leaf", leaf).traced("fine", &[]);
    world.links("middle", &["leaf"]).links("main", &["fine", "middle"]);
    world
}

const BROKEN: &str = "int missing_function(void); extern int missing_data;\n\
    static int helper(void) { return missing_data; } int leaf(void) { return missing_function() + helper(); } BOTH(\"leaf\")";

#[test]
fn nothing_happens_until_everything_is_there() {
    let world = three(BROKEN);
    let fine = world.open("fine");
    assert_eq!(world.log.take(), ["fine"]);
    let before = world.holds();
    let first = world.refuses("main");
    assert!(first.contains("missing_function") && first.contains("missing_data"), "{first}");
    for _ in 0..3 {
        assert_eq!(world.refuses("main"), first, "the same words until it is mended");
    }
    assert!(world.log.take().is_empty(), "nothing ran");
    assert_eq!(world.holds(), before, "no memory, no registration stays");
    assert_eq!(["main", "middle", "leaf", "fine"].map(|name| world.count(name)), [0, 0, 0, 1]);

    // One of two is no mending.
    world.c("leaf", "int missing_data = 5;");
    let second = world.refuses("main");
    assert!(second.contains("missing_function") && !second.contains("missing_data"), "{second}");

    world.c("leaf", "int missing_function(void) { return 10; } __attribute__((constructor)) static void i(void) { NOTE(\"mended\"); }");
    let main = world.open("main");
    assert_eq!(call(&main, "run"), 17);
    assert_eq!(world.log.take(), ["leaf", "mended", "middle", "main"], "exactly what was missing, once");
    drop(main);
    drop(fine);
    assert_eq!(world.log.take(), ["~main", "~middle", "~leaf", "~fine"]);
    assert_eq!(world.holds(), (0, 0));
}

#[test]
fn an_undefined_name_is_told_with_who_asks_and_what_was_meant() {
    let world = World::new();
    world.c(
        "main",
        "int colour_of(int); static int inner(void) { return colour_of(1); } int run(void) { return inner(); }",
    );
    world.c("lib", "int color_of(int i) { return i; }").links("main", &["lib"]);
    let error = world.session.open("main").expect_err("a name is missing");
    let Error::Undefined(reports) = &error else { panic!("{error:?}") };
    assert_eq!(reports.len(), 1);
    let report = &reports[0];
    assert_eq!(report.symbol.as_deref(), Some("colour_of"));
    assert_eq!(report.reference_count, 1);
    let text = format!("{report:?}");
    assert!(text.contains("main.o") && text.contains("run"), "{text}");
    assert!(text.contains("color_of"), "did you mean: {text}");
}

#[test]
fn a_name_that_is_out_of_reach_is_told_where_it_is() {
    let world = World::new();
    world
        .c("main", "int helper(void); int run(void) { return helper(); }")
        .c("other", "int helper(void) { return 3; }");
    let opened = world.open("other");
    let error = world.session.open("main").expect_err("main does not link against other");
    let Error::Undefined(reports) = &error else { panic!("{error:?}") };
    assert!(format!("{reports:?}").contains("other"), "{reports:?}");
    world.links("main", &["other"]);
    assert_eq!(call(&world.open("main"), "run"), 3);
    drop(opened);
}

#[test]
fn every_undefined_name_is_listed_once() {
    let world = World::new();
    let names: Vec<String> = (0..300).map(|number| format!("missing_{number}")).collect();
    for dylib in ["main", "other"] {
        let mut object = Tiny::new();
        for name in &names {
            object = object.calls(&format!("{dylib}_{name}"), name);
        }
        world.dylib(dylib).add_object(format!("{dylib}.o"), object.bytes()).expect("a live session");
    }
    world.links("main", &["other"]);
    let error = world.session.open("main").expect_err("all are missing");
    let Error::Undefined(reports) = &error else { panic!("{error:?}") };
    let mut told: Vec<_> = reports.iter().filter_map(|report| report.symbol.clone()).collect();
    told.sort_unstable();
    let mut names = names;
    names.sort_unstable();
    assert_eq!(told, names);
    assert!(reports.iter().all(|report| report.reference_count == 2), "one in each dylib");
}

#[test]
fn definitions_that_clash_are_told_with_both_objects() {
    let world = World::new();
    let dylib = world.dylib("main");
    dylib.add_object("first.o", Tiny::new().returns("twice", 1).bytes()).expect("a live session");
    dylib.add_object("second.o", Tiny::new().returns("twice", 2).bytes()).expect("a live session");
    let text = world.refuses("main");
    assert!(["twice", "first.o", "second.o"].iter().all(|part| text.contains(part)), "{text}");

    let world = World::new();
    let dylib = world.dylib("main");
    dylib.add_object("first.o", Tiny::new().returns("twice", 1).bytes()).expect("a live session");
    dylib.define_absolute("twice", 0x1234).expect("a live session");
    let error = world.session.open("main").expect_err("a clash");
    assert!(
        matches!(&error, Error::Duplicate { symbol, first, .. } if symbol == "twice" && first == "first.o"),
        "{error:?}"
    );

    // Also with what is there from earlier.
    let world = World::new();
    world.dylib("main").add_object("first.o", Tiny::new().returns("twice", 1).bytes()).expect("a live session");
    let main = world.open("main");
    let before = world.holds();
    world.dylib("main").add_object("second.o", Tiny::new().returns("twice", 2).bytes()).expect("a live session");
    let text = main.update().expect_err("a clash").to_string();
    assert!(text.contains("twice") && text.contains("second.o"), "{text}");
    assert_eq!((world.holds(), call(&main, "twice")), (before, 1));
}

#[test]
fn inputs_that_cannot_be_read_are_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("late.o");
    let world = World::new();
    world.traced("base", &[]).links("main", &["base"]);
    world.dylib("main").add_object_file(&path).expect("not read yet");
    let error = world.session.open("main").expect_err("there is no file");
    assert!(matches!(&error, Error::Read { file, .. } if file.ends_with("late.o")), "{error:?}");
    for (content, part) in [(&b"int main;"[..], "text"), (b"", "empty"), (b"\x7fELF\x02\x01\x01\0\0\0", "late.o")] {
        std::fs::write(&path, content).expect("it can be written");
        let error = world.session.open("main").expect_err("no object");
        assert!(matches!(error, Error::Object(_)), "{error:?}");
        assert!(error.to_string().contains(part), "{error}");
    }
    let whole = Tiny::new().returns("f", 3).bytes();
    std::fs::write(&path, &whole[..whole.len() / 2]).expect("it can be written");
    assert!(world.refuses("main").contains("late.o"));
    assert_eq!((world.log.take(), world.holds()), (Vec::<String>::new(), (0, 0)));
    std::fs::write(&path, &whole).expect("it can be written");
    assert_eq!(call(&world.open("main"), "f"), 3);
    let dylib = world.dylib("asks");
    dylib.add_object("asks.o", Tiny::new().calls("asks", "something").bytes()).expect("a live session");
    dylib
        .add_archive("broken.a", *b"!<arch>\nno archive at all, but long enough to be looked at........")
        .expect("a live session");
    let error = world.session.open("asks").expect_err("no archive");
    assert!(matches!(&error, Error::Archive { file, .. } if file == "broken.a"), "{error:?}");
}

#[test]
fn a_failed_inner_open_is_the_initializers_own_matter() {
    let world = three(BROKEN);
    world.c(
        "outer",
        "#include <string.h>\nstatic const char *words; const char *said(void) { return words; }\n\
         __attribute__((constructor)) static void start(void) { void *h = dlopen(\"main\", RTLD_NOW); words = strdup(dlerror()); NOTE(h ? \"opened\" : \"refused\"); if (dlerror()) NOTE(\"told twice\"); }\n\
         FINI(\"outer\")",
    );
    let outer = world.open("outer");
    assert_eq!(world.log.take(), ["refused"]);
    let words = text_of(&outer, "said").expect("an error");
    assert!(words.contains("missing_function") && words.contains("main"), "{words}");
    drop(outer);
    assert_eq!((world.log.take(), world.holds()), (vec!["~outer".to_owned()], (0, 0)));
}

#[test]
fn an_error_inside_an_open_keeps_its_kind() {
    let world = three(BROKEN);
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let inner = callback({
        let (session, told) = (world.session.clone(), told.clone());
        move || {
            let error = session.open("main").expect_err("refused");
            assert!(matches!(&error, Error::Undefined(reports) if reports.len() == 2), "{error:?}");
            lock(&told).push(error.to_string());
        }
    });
    world.c("outer", &format!("__attribute__((constructor)) static void start(void) {{ {}; }}", call_host(inner)));
    let outer = world.open("outer");
    assert_eq!(lock(&told).len(), 1);
    drop(outer);
    // The session is part of the callback, which is never freed: what it holds is given back all the same.
    assert_eq!(world.holds(), (0, 0));
}

#[test]
fn errors_of_several_threads_are_not_mixed_up() {
    let world = World::new();
    for number in 0..4 {
        let object = Tiny::new().calls("f", &format!("missing_{number}")).bytes();
        world.dylib(&format!("d{number}")).add_object("d.o", object).expect("a live session");
    }
    std::thread::scope(|scope| {
        for number in 0..4 {
            let session = world.session.clone();
            scope.spawn(move || {
                for _ in 0..50 {
                    let error = session.open(&format!("d{number}")).expect_err("refused");
                    let Error::Undefined(reports) = &error else { panic!("{error:?}") };
                    assert_eq!(reports[0].symbol, Some(format!("missing_{number}")));
                }
            });
        }
    });
}

const THROWER: &str = "int attempts; struct Guard { ~Guard() { NOTE(\"unwound\"); } };\n\
    static struct First { First() { NOTE(\"first\"); } ~First() { NOTE(\"~first\"); } } first;\n\
    __attribute__((constructor(60000))) static void thrower(void) { Guard guard; NOTE(\"throws\"); throw 42; }";

#[test]
fn a_cxx_exception_passes_through_an_open_of_linked_code() {
    let world = World::new();
    world.cxx("thrower", THROWER).traced("base", &[]).links("thrower", &["base"]);
    world.cxx(
        "main",
        "extern \"C\" void *__orc_rt_jit_dlopen(const char *, int); // dlfcn.h says that dlopen throws nothing\n\
         extern \"C\" int attempt(void) { try { __orc_rt_jit_dlopen(\"thrower\", RTLD_NOW); return -1; } catch (int thrown) { return thrown; } }\n\
         extern \"C\" const char *again(void) { return dlopen(\"thrower\", RTLD_NOW) ? 0 : dlerror(); }",
    );
    let main = world.open("main");
    assert_eq!(call(&main, "attempt"), 42);
    assert_eq!(world.log.take(), ["base", "throws", "unwound"]);
    let words = text_of(&main, "again").expect("poisoned");
    assert!(words.contains("thrower") && words.contains("threw"), "{words}");
    assert!(world.log.take().is_empty(), "a poisoned dylib runs nothing");
    let base = world.open("base");
    assert!(world.log.take().is_empty(), "its dependency stays initialized");
    drop(base);
    assert_eq!(world.log.take(), ["~base"]);
}

#[test]
fn a_cxx_exception_passes_through_session_open() {
    let world = World::new();
    world.cxx("thrower", THROWER);
    let opening = callback({
        let session = world.session.clone();
        let log = world.log;
        move || {
            struct Dropped(common::Log);
            impl Drop for Dropped {
                fn drop(&mut self) {
                    self.0.take();
                }
            }
            // What stands in the way of an exception is dropped.
            let _dropped = Dropped(log);
            let _never = session.open("thrower");
        }
    });
    world.cxx(
        "main",
        &format!(
            "extern \"C\" int attempt(void) {{ try {{ {}; return -1; }} catch (int thrown) {{ return thrown; }} }}",
            call_host(opening)
        ),
    );
    let main = world.open("main");
    assert_eq!(call(&main, "attempt"), 42);
    assert!(world.log.take().is_empty(), "the callback's value was dropped");
    assert!(world.refuses("thrower").contains("threw"));
    // No lock is held, and other dylibs open.
    world.traced("other", &[]);
    drop(world.open("other"));
    assert_eq!(world.log.take(), ["other", "~other"]);
}

#[test]
fn a_poisoned_dylib_is_as_new_once_it_is_unloaded() {
    let world = World::new();
    world.cxx(
        "flaky",
        "#include <cstdlib>\nstatic int data = 1;\n\
         __attribute__((constructor)) static void start(void) { if (data++ != 1) abort(); if (!getenv(\"ORC_JIT_TEST_MENDED\")) throw 1; NOTE(\"flaky\"); } FINI(\"flaky\")",
    );
    world.cxx("main", "extern \"C\" void *__orc_rt_jit_dlopen(const char *, int); extern \"C\" int attempt(void) { try { __orc_rt_jit_dlopen(\"flaky\", RTLD_NOW); return 0; } catch (int thrown) { return thrown; } }");
    let main = world.open("main");
    assert_eq!(call(&main, "attempt"), 1);
    assert!(world.refuses("flaky").contains("start"), "the initializer is named: {}", world.refuses("flaky"));
    world.session.unload("flaky").expect("nobody holds it");
    assert_eq!(call(&main, "attempt"), 1, "from pristine memory");
    world.session.unload("flaky").expect("nobody holds it");
    assert!(world.session.unload("flaky").is_err(), "it is not loaded");
    assert!(world.session.unload("main").expect_err("main is open").to_string().contains("in use"));
}

#[test]
fn an_open_that_a_poisoned_dependency_refuses_leaves_nothing_bound_to_it() {
    let world = World::new();
    // Host memory, so that it is not pristine the second time.
    let attempts: &'static std::sync::atomic::AtomicI32 = Box::leak(Box::default());
    let attempts = attempts.as_ptr().expose_provenance();
    world.cxx("dep", &format!("extern \"C\" int where(void) {{ return 7; }} static char pages[3 << 12] = {{1}}; __attribute__((constructor)) static void start(void) {{ if ((*(int *){attempts:#x}UL)++ == 0) throw 1; }}"));
    world.c("main", "int where(void); int run(void) { return where(); } BOTH(\"main\")").links("main", &["dep"]);
    world.cxx("first", "extern \"C\" void *__orc_rt_jit_dlopen(const char *, int); extern \"C\" int attempt(void) { try { __orc_rt_jit_dlopen(\"dep\", RTLD_NOW); return 0; } catch (int thrown) { return thrown; } }");
    let first = world.open("first");
    assert_eq!(call(&first, "attempt"), 1);
    let before = world.holds();
    for _ in 0..2 {
        assert!(world.refuses("main").contains("dep"));
        assert_eq!(world.holds(), before, "main is not linked");
    }
    world.session.unload("dep").expect("nobody holds it");
    // Takes the place that dep had.
    world.c("other", "char other_pages[5 << 12] = {2}; int other(void) { return 9; }");
    let other = world.open("other");
    let main = world.open("main");
    assert_eq!((call(&main, "run"), call(&other, "other"), world.log.take()), (7, 9, vec!["main".to_owned()]));
}

#[test]
fn what_never_ran_because_a_dependency_threw_is_linked_anew() {
    let world = World::new();
    let attempts: &'static std::sync::atomic::AtomicI32 = Box::leak(Box::default());
    let attempts = attempts.as_ptr().expose_provenance();
    world.cxx("dep", &format!("extern \"C\" int where(void) {{ return 7; }} static char pages[3 << 12] = {{1}}; __attribute__((constructor)) static void start(void) {{ if ((*(int *){attempts:#x}UL)++ == 0) throw 1; }}"));
    world.c("back", "int where(void); int back(void) { return where() * 2; } BOTH(\"back\")").links("back", &["dep"]);
    world
        .c("main", "int where(void), back(void); int run(void) { return where() + back(); } BOTH(\"main\")")
        .links("main", &["back"]);
    world.cxx("first", "extern \"C\" void *__orc_rt_jit_dlopen(const char *, int); extern \"C\" int attempt(void) { try { __orc_rt_jit_dlopen(\"main\", RTLD_NOW); return 0; } catch (int thrown) { return thrown; } }");
    let first = world.open("first");
    let before = world.holds();
    assert_eq!(call(&first, "attempt"), 1);
    world.session.unload("dep").expect("nobody holds it");
    assert_eq!((world.log.take(), world.holds()), (vec![], before), "what is bound to dep goes with it");
    world.c("other", "char other_pages[5 << 12] = {2}; int other(void) { return 9; }");
    let other = world.open("other");
    let main = world.open("main");
    assert_eq!(
        (call(&main, "run"), call(&other, "other"), world.log.take()),
        (21, 9, ["back", "main"].map(str::to_owned).to_vec())
    );
}

/// A panic would be caught; a foreign exception is nothing that Rust can catch, and it says so instead of going on with a broken stack.
#[test]
fn a_cxx_exception_that_nobody_catches_ends_the_process() {
    let output = in_child("a_cxx_exception_that_nobody_catches_ends_the_process", || {
        let world = World::new();
        world.cxx("thrower", THROWER);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.session.open("thrower").map(drop)));
        println!("> came back with {result:?}");
    });
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("foreign exception"), "{output:?}");
}

#[test]
fn a_panic_of_the_host_inside_an_initializer_can_be_caught() {
    let world = World::new();
    let panics = callback(|| std::panic::resume_unwind(Box::new("from the host")));
    world.c(
        "main",
        &format!(
            "__attribute__((constructor)) static void start(void) {{ {}; NOTE(\"not reached\"); }}",
            call_host(panics)
        ),
    );
    let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.session.open("main").map(drop)));
    assert_eq!(opened.expect_err("it passes through").downcast_ref::<&str>(), Some(&"from the host"));
    assert!(world.refuses("main").contains("threw"));
    assert!(world.log.take().is_empty());
}

#[test]
fn exit_in_an_initializer_undoes_what_has_run() {
    let output = in_child("exit_in_an_initializer_undoes_what_has_run", || {
        let world = World::new();
        let say = |name: &str| {
            format!(
                "#include <stdio.h>\n__attribute__((constructor)) static void i(void) {{ puts(\"> {name}\"); }} __attribute__((destructor)) static void f(void) {{ puts(\"> ~{name}\"); }}"
            )
        };
        world.c("base", &say("base"));
        world.c("main", "#include <stdio.h>\nstatic void bye(void) { puts(\"> handler\"); } __attribute__((constructor)) static void i(void) { atexit(bye); puts(\"> leaves\"); exit(7); }");
        world.links("main", &["base"]);
        drop(world.open("main"));
    });
    ended(&output, 7, "");
    assert_eq!(common::child::lines(&output), ["base", "leaves", "handler", "~base"]);
}
