//! What may be done with a session, its dylibs and their typed symbols?

mod common;

use common::{World, call, read, tiny::Tiny};
use orc_jit::{Error, InProcess, Session, SessionOptions, Watchers};
use orc_rt::Registration;

#[test]
fn a_function_and_a_variable_are_used_as_what_they_are() {
    let world = World::new();
    world.c("plugin", "int counter = 5; int add(int a, int b) { return a + b + counter; }");
    let plugin = world.open("plugin");
    // SAFETY: plugin defines `int add(int, int)` and `int counter`.
    let (add, counter) = unsafe {
        let add = plugin.symbol::<extern "C" fn(i32, i32) -> i32>("add").expect("a function");
        (add, plugin.symbol::<*mut i32>("counter").expect("a variable"))
    };
    assert_eq!(add(1, 2), 8);
    // SAFETY: nobody else uses the variable.
    unsafe { **counter = 100 };
    assert_eq!(add(1, 2), 103);
    assert_eq!(counter.address().addr() as u64, plugin.address("counter").expect("the same"));
    assert!(format!("{add:?}").starts_with("Symbol(0x"), "{add:?}");
}

#[test]
fn a_type_that_no_pointer_has_is_refused() {
    let world = World::new();
    world.c("plugin", "int f(void) { return 1; }");
    let plugin = world.open("plugin");
    // SAFETY: refused, whatever it is.
    let error = unsafe { plugin.symbol::<u16>("f") }.expect_err("too small");
    let Error::Type { symbol, type_name: "u16", .. } = &error else { panic!("{error}") };
    assert_eq!(symbol, "f");
    assert!(error.to_string().contains("size of a pointer"), "{error}");
    // SAFETY: as above.
    let error = unsafe { plugin.symbol::<[u8; 8]>("f") }.expect_err("not aligned as a pointer");
    assert!(matches!(error, Error::Type { .. }), "{error}");
    // SAFETY: as above.
    let error = unsafe { plugin.symbol::<extern "C" fn()>("no_such_function") }.expect_err("nobody defines it");
    assert!(error.to_string().contains("no_such_function"), "{error}");
}

#[test]
fn null_is_no_symbol() {
    let world = World::new();
    world.dylib("plugin").define_absolute("nothing", 0).expect("a live session");
    let plugin = world.open("plugin");
    assert_eq!(plugin.address("nothing").expect("defined as null"), 0);
    // SAFETY: refused, whatever it is.
    let error = unsafe { plugin.symbol::<*const i32>("nothing") }.expect_err("null");
    assert!(matches!(&error, Error::Type { symbol, .. } if symbol == "nothing"), "{error}");
}

#[test]
fn sessions_of_one_process_do_not_see_each_other() {
    let worlds: Vec<World> = (0..4).map(|_| World::new()).collect();
    for (number, world) in worlds.iter().enumerate() {
        world.c("base", &format!("int number(void) {{ return {number}; }} BOTH(\"base\")"));
        world.c("main", "int number(void); int twice(void) { return 2 * number(); } BOTH(\"main\")");
        world.links("main", &["base"]);
    }
    let opened: Vec<_> = worlds.iter().map(|world| world.open("main")).collect();
    for (number, (world, main)) in worlds.iter().zip(&opened).enumerate() {
        assert_eq!(call(main, "twice"), 2 * number as i32);
        assert_eq!(world.log.take(), ["base", "main"]);
    }
    drop(opened);
    for world in &worlds {
        assert_eq!(world.log.take(), ["~main", "~base"]);
        assert_eq!(world.holds(), (0, 0));
    }
}

#[test]
fn code_opens_in_its_own_session() {
    let worlds = [World::new(), World::new()];
    for (number, world) in worlds.iter().enumerate() {
        world.c("part", &format!("int number(void) {{ return {number}; }}"));
        world.c(
            "main",
            "int find(void) { void *h = dlopen(\"part\", RTLD_NOW); int n = ((int (*)(void))dlsym(h, \"number\"))(); dlclose(h); return n; }",
        );
    }
    let opened = [worlds[0].open("main"), worlds[1].open("main")];
    assert_eq!([call(&opened[0], "find"), call(&opened[1], "find")], [0, 1]);
}

#[test]
fn dylibs_of_another_session_are_no_links() {
    let (one, other) = (World::new(), World::new());
    let (ours, theirs) = (one.dylib("main"), other.dylib("main"));
    let error = ours.set_link_order([&theirs]).expect_err("another session's");
    assert!(matches!(error, Error::OtherSession), "{error}");
    assert!(error.to_string().contains("another session"), "{error}");
    assert!(ours.set_link_order([&ours]).is_ok(), "a self-link is one of this session");
}

#[test]
fn names_of_dylibs_are_unique_and_unknown_ones_are_told() {
    let world = World::new();
    world.dylib("main");
    let error = world.session.add_dylib("main").expect_err("taken");
    assert!(matches!(&error, Error::DylibExists(name) if name == "main"), "{error}");
    let error = world.session.open("mian").expect_err("there is none");
    assert!(matches!(&error, Error::NoDylib(name) if name == "mian"), "{error:?}");
    assert!(world.session.dylib("mian").is_none());
}

#[test]
fn a_session_lives_while_anything_of_it_does() {
    let world = World::new();
    world.c("main", "int answer(void) { return 42; } BOTH(\"main\")");
    let World { session, log } = world;
    let main = session.open("main").expect("it links");
    drop(session);
    assert_eq!(call(&main, "answer"), 42);
    assert_eq!(log.take(), ["main"]);
    drop(main);
    assert_eq!(log.take(), ["~main"]);
}

#[test]
fn what_is_left_open_is_finalized_with_the_session() {
    let world = World::new();
    world.traced("base", &[]).traced("plugin", &["base"]);
    world.c(
        "main",
        "static void bye(void) { NOTE(\"handler of main\"); }\n\
         __attribute__((constructor)) static void start(void) { NOTE(\"main\"); atexit(bye); dlopen(\"plugin\", RTLD_NOW); }\n\
         FINI(\"main\")",
    );
    let World { session, log } = world;
    let runtime = session.executor().runtime().clone();
    let main = session.open("main").expect("it links");
    assert_eq!(log.take(), ["main", "base", "plugin"]);
    main.close().expect("open");
    assert_eq!(log.take(), ["~main", "handler of main"], "plugin was opened by main and never closed");
    drop(session);
    assert_eq!(log.take(), ["~plugin", "~base"], "as at the end of a process");
    assert_eq!((runtime.slab().usage().used, runtime.ledger().len()), (0, 0));
}

#[test]
fn a_program_runs_and_its_status_comes_back() {
    let world = World::new();
    world.c(
        "main",
        "#include <string.h>\nBOTH(\"init\")\nstatic void bye(void) { NOTE(\"handler\"); }\n\
         int main(int argc, char **argv) { atexit(bye); NOTE(argv[1]); return argc * 10 + (argv[argc] == 0); }",
    );
    let arguments = ["program".into(), "first".into()];
    for _ in 0..2 {
        assert_eq!(world.session.run("main", "main", &arguments).expect("it runs"), 21);
        assert_eq!(world.log.take(), ["init", "first", "handler", "~init"]);
    }
    let error = world.session.run("main", "start_here", &arguments).expect_err("no such entry");
    assert!(error.to_string().contains("start_here"), "{error}");
    assert_eq!(world.log.take(), ["init", "~init"]);
    assert_eq!(world.holds(), (0, 0));
}

#[test]
fn without_the_host_only_dylibs_and_libraries_define_names() {
    let options = SessionOptions { host_symbols: false, ..SessionOptions::default() };
    let world = World::over(Session::new(InProcess::new(), options).expect("a session"));
    world.c("main", "int puts(const char *); int f(void) { return puts(\"x\") >= 0; }");
    let error = world.session.open("main").expect_err("nobody defines puts");
    assert!(matches!(&error, Error::Undefined(reports) if reports.len() == 1), "{error:?}");
    assert!(error.to_string().contains("puts"), "{error}");
    world.dylib("main").add_object("puts.o", Tiny::new().returns("puts", 7).bytes()).expect("a live session");
    assert_eq!(call(&world.open("main"), "f"), 1);
    // What the runtime offers is no host symbol.
    world.c("other", "static void f(void) {} int g(void) { return atexit(f); }");
    assert_eq!(call(&world.open("other"), "g"), 0);
}

#[test]
fn a_library_belongs_to_the_dylib_that_it_is_added_to() {
    let options = SessionOptions { host_symbols: false, ..SessionOptions::default() };
    let world = World::over(Session::new(InProcess::new(), options).expect("a session"));
    world
        .c("base", "")
        .c("main", "double cos(double); int f(void) { volatile double zero = 0; return (int)cos(zero); }");
    let error = world.session.open("main").expect_err("libm is not there yet");
    assert!(error.to_string().contains("cos"), "{error}");
    let libm = world.session.open_library("libm.so.6").expect("libm");
    world.dylib("base").add_library(libm).expect("a live session");
    assert!(world.session.open("main").is_err(), "main does not link against base yet");
    world.links("main", &["base"]);
    let main = world.open("main");
    assert_eq!(call(&main, "f"), 1);
    assert_ne!(main.address("cosf").expect("found through base"), 0);
    let error = world.session.open_library("libno_such_library.so.9").expect_err("no such file");
    assert!(error.to_string().contains("libno_such_library.so.9"), "{error}");
}

#[test]
fn handles_are_equal_while_it_is_open() {
    let world = World::new();
    world.traced("main", &[]);
    let (first, second) = (world.open("main"), world.open("main"));
    assert_eq!(first.handle(), second.handle());
    let raw = first.handle().expect("open").as_raw();
    first.close().expect("open");
    assert_eq!(world.open("main").handle().expect("open").as_raw(), raw);
    drop(second);
    assert_eq!(world.log.take(), ["main", "~main"]);
    assert_ne!(world.open("main").handle().expect("open").as_raw(), raw, "a stale handle must not come back to life");
}

#[test]
fn variables_start_as_they_were_compiled() {
    let world = World::new();
    world.c("main", "int data = 7; int bss; const int constant = 9; int *pointer = &data; int next(void) { return ++*pointer + ++bss; }");
    let main = world.open("main");
    assert_eq!((read(&main, "data"), read(&main, "bss"), read(&main, "constant")), (7, 0, 9));
    assert_eq!((call(&main, "next"), call(&main, "next")), (9, 11));
}

#[test]
fn a_debugger_has_an_entry_for_each_image_and_only_while_it_is_there() {
    let options = SessionOptions { watch: Watchers::DEBUGGER, ..SessionOptions::default() };
    let world = World::over(Session::new(InProcess::new(), options).expect("a session"));
    let shown = || {
        let ledger = world.session.executor().runtime().ledger();
        let sizes = ledger.into_iter().filter_map(|entry| match entry.registration {
            Registration::Debugger(size) => Some(size),
            _ => None,
        });
        sizes.collect::<Vec<u64>>()
    };
    world.c("base", "int two(void) { return 2; }");
    world.c("main", "int two(void); int f(void) { return two(); }").c("main", "int more(void) { return 1; }");
    world.links("main", &["base"]);
    let main = world.open("main");
    assert_eq!(call(&main, "f"), 2);
    assert_eq!(shown().len(), 2, "one for each image, whatever the number of objects");
    assert!(shown().iter().all(|size| *size > 0x200), "{:?}", shown());
    main.close().expect("open");
    assert_eq!(shown(), [0; 0]);
    let quiet = World::new();
    quiet.c("main", "int f(void) { return 3; }");
    assert_eq!(call(&quiet.open("main"), "f"), 3);
    assert_eq!(shown(), [0; 0], "nobody watches the other session");
}
