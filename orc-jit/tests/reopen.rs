//! Does a dylib that is opened again start as it did the first time, and does nothing stay behind? (rules 4, 18, 19, 22, 23)

mod common;

use common::child::{ended, in_child, mappings, resident};
use common::{World, call, read};
use orc_jit::executor::Handle;

#[test]
fn initializers_run_once_while_it_is_open() {
    let world = World::new();
    world.traced("base", &[]).traced("main", &["base"]);
    let opened: Vec<_> = (0..5).map(|_| world.open("main")).collect();
    let base = world.open("base");
    assert_eq!(world.log.take(), ["base", "main"]);
    assert_eq!((world.count("main"), world.count("base")), (5, 1));
    for one in opened {
        one.close().expect("open");
    }
    assert_eq!(world.log.take(), ["~main"], "base is open on its own");
    base.close().expect("open");
    assert_eq!(world.log.take(), ["~base"]);
    assert_eq!(world.holds(), (0, 0));
}

#[test]
fn finalizers_undo_in_exact_reverse() {
    let world = World::new();
    let part = |name: &str| {
        format!(
            "#include <stdlib.h>\nstatic void h1(void) {{ NOTE(\"{name} h1\"); }} static void h2(void) {{ NOTE(\"{name} h2\"); atexit(h1); }}\n\
             __attribute__((constructor(200))) static void i1(void) {{ NOTE(\"{name} i1\"); atexit(h1); }}\n\
             __attribute__((constructor(300))) static void i2(void) {{ NOTE(\"{name} i2\"); atexit(h2); }}\n\
             __attribute__((destructor(200))) static void f1(void) {{ NOTE(\"{name} f1\"); }}\n\
             __attribute__((destructor(300))) static void f2(void) {{ NOTE(\"{name} f2\"); }}"
        )
    };
    world.c("a", &part("a")).c("b", &part("b")).links("b", &["a"]);
    let b = world.open("b");
    assert_eq!(world.log.take(), ["a i1", "a i2", "b i1", "b i2"]);
    b.close().expect("open");
    // The finalizers undo the run as a whole, which completed after its handlers were registered; a handler that a handler registers
    // runs before the older ones.
    let undone = |name: &str| ["f2", "f1", "h2", "h1", "h1"].map(|what| format!("{name} {what}"));
    assert_eq!(world.log.take(), [undone("b"), undone("a")].concat());
}

#[test]
fn data_is_pristine_after_an_unload() {
    let world = World::new();
    world.c(
        "main",
        "int data = 7, bss, runs; static char large[1 << 20]; char *string = \"text\"; const int *const relro = &data;\n\
         __attribute__((constructor)) static void start(void) { runs += 1; }\n\
         int dirty(void) { data = -1; bss = -1; string = 0; for (int i = 0; i < sizeof large; i += 64) large[i] = 1; return 0; }\n\
         int is_clean(void) { for (int i = 0; i < sizeof large; i++) if (large[i]) return 0; return string && *string == 't' && *relro == 7; }",
    );
    for _ in 0..10 {
        let main = world.open("main");
        assert_eq!((read(&main, "data"), read(&main, "bss"), read(&main, "runs")), (7, 0, 1));
        assert_eq!(call(&main, "is_clean"), 1);
        call(&main, "dirty");
        assert_eq!((read(&main, "data"), read(&main, "bss")), (-1, -1));
        main.close().expect("open");
        assert_eq!(world.holds(), (0, 0));
    }
}

#[test]
fn only_what_nobody_needs_is_unloaded() {
    let world = World::new();
    world.c("base", "int data = 1; BOTH(\"base\")").traced("a", &["base"]).traced("b", &["base"]);
    let (a, b) = (world.open("a"), world.open("b"));
    // SAFETY: an `int` that nobody else uses.
    unsafe { **b.symbol::<*mut i32>("data").expect("base has it") = 2 };
    a.close().expect("open");
    assert_eq!(world.log.take(), ["base", "a", "b", "~a"]);
    let a = world.open("a");
    assert_eq!((world.log.take(), read(&a, "data")), (vec!["a".to_owned()], 2), "base stayed, with its data");
    // Of what nobody needs, whatever completed last goes first; base lives until the last of the two is gone.
    a.close().expect("open");
    b.close().expect("open");
    assert_eq!(world.log.take(), ["~a", "~b", "~base"]);
}

#[test]
fn closing_twice_is_an_error_and_harms_nobody() {
    let world = World::new();
    world.c(
        "main",
        "int twice(void) { void *h = dlopen(\"part\", RTLD_NOW); int a = dlclose(h), b = dlclose(h), c = dlclose((void *)0x4a49000000000000); return a * 100 + (b != 0) * 10 + (c != 0); }\n\
         const char *words(void) { return dlerror(); }",
    );
    world.traced("part", &[]);
    let main = world.open("main");
    assert_eq!(call(&main, "twice"), 11);
    let words = common::text_of(&main, "words").expect("an error");
    assert!(words.contains("not that of an open JITDylib"), "{words}");
    assert_eq!(common::text_of(&main, "words"), None, "told once");
    assert_eq!(world.log.take(), ["part", "~part"]);
}

/// After 200 cycles nothing may grow: not one mapping, and of memory no more than the allocator's noise (4 MiB over 1,800 cycles, 2.3 KiB a cycle).
#[test]
fn two_thousand_cycles_leave_nothing_behind() {
    let output = in_child("two_thousand_cycles_leave_nothing_behind", || {
        let world = World::new();
        world.c(
            "base",
            "int data[5000] = {1}; int bss[50000]; int f(void) { bss[49999]++; return data[0]++; } BOTH(\"base\")",
        );
        world.c("main", "int f(void); int run(void) { return f() + f(); } BOTH(\"main\")").links("main", &["base"]);
        let cycle = || {
            let main = world.open("main");
            assert_eq!(call(&main, "run"), 3);
            main.close().expect("open");
            assert_eq!(world.log.take(), ["base", "main", "~main", "~base"]);
        };
        (0..200).for_each(|_| cycle());
        let (memory, maps) = (resident(), mappings());
        (0..1800).for_each(|_| cycle());
        let (memory_after, maps_after) = (resident(), mappings());
        assert!(memory_after < memory + (4 << 20), "{memory} bytes became {memory_after}");
        assert!(maps_after <= maps + 2, "{maps} mappings became {maps_after}");
        assert_eq!(world.holds(), (0, 0));
    });
    ended(&output, 0, "");
}

#[test]
fn a_close_from_inside_waits_for_the_inside() {
    let world = World::new();
    world.c(
        "part",
        "static void *own;\n\
         __attribute__((constructor)) static void start(void) { own = dlopen(\"part\", RTLD_NOW); NOTE(own ? \"part has itself\" : \"null\"); dlclose(own); dlclose(own); NOTE(\"part is still here\"); }\n\
         FINI(\"part\")",
    );
    world.c("main", "int run(void) { void *h = dlopen(\"part\", RTLD_NOW); NOTE(h ? \"opened\" : dlerror()); return h != 0; } BOTH(\"main\")");
    let main = world.open("main");
    assert_eq!(call(&main, "run"), 0);
    let noted = world.log.take();
    // The initializer gave back the count of the open that was going on: the dylib went when that was over, and there is no handle.
    assert_eq!(noted[..4], ["main", "part has itself", "part is still here", "~part"]);
    assert!(noted[4].contains("closed as often as it was opened"), "{noted:?}");
    drop(main);
    assert_eq!((world.log.take(), world.holds()), (vec!["~main".to_owned()], (0, 0)));
}

#[test]
fn an_initializer_and_who_opens_have_the_same_handle() {
    let world = World::new();
    world.c("main", "void *own; __attribute__((constructor)) static void i(void) { own = dlopen(\"main\", RTLD_NOW); dlclose(own); }");
    let main = world.open("main");
    // SAFETY: a pointer that nobody writes any more.
    let own = unsafe { **main.symbol::<*const u64>("own").expect("a variable") };
    assert_eq!((main.handle().map(Handle::as_raw), world.count("main")), (Some(own), 1));
}
