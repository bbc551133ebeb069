//! Whose definition is found, from outside and from linked code? (rules 27-29)

mod common;

use common::{World, call, call_with, read, text_of, tiny::Tiny};

fn returning(world: &World, dylib: &str, names: &[(&str, i32)]) {
    let object = names.iter().fold(Tiny::new(), |object, (name, value)| object.returns(name, *value));
    world.dylib(dylib).add_object(format!("{dylib}.o"), object.bytes()).expect("a live session");
}

#[test]
fn dylibs_are_searched_breadth_first() {
    let world = World::new();
    // deep is two steps away through a, one step through nobody; d is one step away.
    returning(&world, "deep", &[("f", 1), ("g", 1), ("h", 1)]);
    returning(&world, "d", &[("f", 2), ("g", 2)]);
    returning(&world, "a", &[("f", 3)]);
    returning(&world, "main", &[("own", 4)]);
    world.links("a", &["deep"]).links("main", &["a", "d"]);
    let main = world.open("main");
    assert_eq!(["own", "f", "g", "h"].map(|name| call(&main, name)), [4, 3, 2, 1]);
    let a = world.open("a");
    assert_eq!(["f", "g", "h"].map(|name| call(&a, name)), [3, 1, 1]);
    assert!(world.open("deep").address("own").is_err(), "links lead one way");
}

#[test]
fn references_are_bound_in_the_same_order() {
    let world = World::new();
    returning(&world, "deep", &[("f", 1), ("g", 1), ("h", 1)]);
    returning(&world, "d", &[("f", 2), ("g", 2)]);
    returning(&world, "a", &[("f", 3)]);
    world.c("main", "int f(void), g(void), h(void); int run(void) { return 100 * f() + 10 * g() + h(); }");
    world.links("a", &["deep"]).links("main", &["a", "d"]);
    assert_eq!(call(&world.open("main"), "run"), 321);
}

#[test]
fn each_dylib_binds_by_its_own_links() {
    let world = World::new();
    returning(&world, "one", &[("f", 1)]);
    returning(&world, "two", &[("f", 2)]);
    world.c("a", "int f(void); int a(void) { return f(); }").links("a", &["one", "two"]);
    world.c("b", "int f(void); int b(void) { return f(); }").links("b", &["two", "one"]);
    world.links("main", &["a", "b"]);
    let main = world.open("main");
    assert_eq!((call(&main, "a"), call(&main, "b"), call(&main, "f")), (1, 2, 1));
}

#[test]
fn what_is_linked_already_is_found_like_what_is_linked_now() {
    let world = World::new();
    returning(&world, "base", &[("f", 1)]);
    let base = world.open("base");
    returning(&world, "front", &[("f", 2)]);
    world.c("main", "int f(void); int run(void) { return f(); }").links("main", &["front", "base"]);
    assert_eq!(call(&world.open("main"), "run"), 2);
    world.c("other", "int f(void); int run(void) { return f(); }").links("other", &["base", "front"]);
    assert_eq!(call(&world.open("other"), "run"), 1);
    drop(base);
}

#[test]
fn hidden_names_are_nobodys_to_find() {
    let world = World::new();
    world.c("main", "__attribute__((visibility(\"hidden\"))) int secret(void) { return 1; } static int local(void) { return 2; } __attribute__((visibility(\"protected\"))) int guarded(void) { return secret() + local(); }");
    world
        .c("user", "int secret(void) __attribute__((weak)); int run(void) { return secret ? secret() : -1; }")
        .links("user", &["main"]);
    let main = world.open("main");
    assert_eq!(call(&main, "guarded"), 3);
    for name in ["secret", "local"] {
        assert!(main.address(name).expect_err("not exported").to_string().contains(name));
    }
    assert_eq!(call(&world.open("user"), "run"), -1);
    // Code of the same dylib that comes later does see it.
    world.c(
        "main",
        "int secret(void) __attribute__((visibility(\"hidden\"))); int later(void) { return secret() * 10; }",
    );
    main.update().expect("open");
    assert_eq!(call(&main, "later"), 10);
}

#[test]
fn a_weak_reference_to_nothing_is_null() {
    let world = World::new();
    world.c("main", "extern int nowhere_data __attribute__((weak)); int nowhere(void) __attribute__((weak)); int run(void) { return (&nowhere_data == 0) + 2 * (nowhere == 0); }");
    let main = world.open("main");
    assert_eq!(call(&main, "run"), 3);
    assert!(main.address("nowhere").is_err(), "a reference is no definition");
}

#[test]
fn linked_code_searches_as_dlsym_says() {
    let world = World::new();
    let finds = "#define _GNU_SOURCE\n#include <dlfcn.h>\n\
        static int in(void *h, const char *name) { int (*f)(void) = dlsym(h, name); return f ? f() : -1; }\n";
    let wrap = |name: &str| {
        format!(
            "{finds}int {name}_default(const char *s) {{ return in(RTLD_DEFAULT, s); }} int {name}_next(const char *s) {{ return in(RTLD_NEXT, s); }}"
        )
    };
    let object = |dylib: &str, source: &str| {
        // `RTLD_NEXT` needs _GNU_SOURCE ahead of everything.
        world.c(dylib, &format!("#undef RTLD_NEXT\n#undef RTLD_DEFAULT\n#define RTLD_NEXT ((void *)-1L)\n#define RTLD_DEFAULT ((void *)0)\n{source}"));
    };
    object("main", &format!("{} int f(void) {{ return 1; }} int only_main(void) {{ return 11; }}", wrap("main")));
    object("a", &format!("{} int f(void) {{ return 2; }}", wrap("a")));
    object("b", &format!("{} int f(void) {{ return 3; }}", wrap("b")));
    object("plugin", &format!("{} int f(void) {{ return 4; }} int only_plugin(void) {{ return 14; }}", wrap("plugin")));
    world.links("main", &["a", "b"]);
    let main = world.open("main");
    let plugin = world.open("plugin");
    assert_eq!(["main_default", "a_default", "b_default"].map(|name| call_with(&main, name, "f")), [1, 1, 1]);
    assert_eq!(["main_next", "a_next", "b_next"].map(|name| call_with(&main, name, "f")), [2, 3, -1]);
    assert_eq!(call_with(&plugin, "plugin_default", "f"), 1, "the program comes first");
    assert_eq!(call_with(&plugin, "plugin_default", "only_plugin"), 14, "then the one who asks");
    assert_eq!(call_with(&main, "main_default", "only_plugin"), -1, "opened without GLOBAL");
    assert_eq!(call_with(&main, "a_default", "no_such_function"), -1);
}

#[test]
fn what_is_opened_as_global_serves_everybody() {
    let world = World::new();
    world.dylib("main");
    world.c("plugin", "int dep(void); int offered(void) { return dep() + 1; }").c("dep", "int dep(void) { return 5; }");
    world.links("plugin", &["dep"]);
    world.c(
        "main",
        "static void *h; int find(const char *name) { int (*f)(void) = dlsym((void *)0, name); return f ? f() : -1; }\n\
         int local(void) { h = dlopen(\"plugin\", RTLD_NOW); return h != 0; } int global(void) { void *g = dlopen(\"plugin\", RTLD_NOW | RTLD_GLOBAL); return g == h; }\n\
         int shut(void) { return dlclose(h) + dlclose(h); }",
    );
    let main = world.open("main");
    assert_eq!((call(&main, "local"), call_with(&main, "find", "offered")), (1, -1));
    assert_eq!(
        (call(&main, "global"), call_with(&main, "find", "offered"), call_with(&main, "find", "dep")),
        (1, 6, 5)
    );
    assert_eq!((call(&main, "shut"), call_with(&main, "find", "offered")), (0, -1), "it is gone");
}

#[test]
fn dladdr_names_functions_static_ones_too() {
    let world = World::new();
    world.c(
        "main",
        "#define _GNU_SOURCE\n#include <stddef.h>\ntypedef struct { const char *file; void *base; const char *name; void *start; } Info; int dladdr(const void *, void *);\n\
         static Info info;\n\
         __attribute__((noinline)) static const char *quiet(int i) { volatile int x = i; void *here = &&label; label: return dladdr(here, &info) ? info.name : 0; }\n\
         const char *loud(void) { return dladdr((char *)loud + 3, &info) ? info.name : 0; }\n\
         const char *run(void) { return quiet(1); } const char *file(void) { return info.file; }\n\
         int exact(void) { return dladdr(loud, &info) && info.start == (void *)loud; } int heap(void) { return dladdr(&(char){0}, &info); }\n\
         const char *system_name(void) { return dladdr(dlsym((void *)0, \"puts\"), &info) ? info.name : 0; }",
    );
    let main = world.open("main");
    assert_eq!(text_of(&main, "loud").as_deref(), Some("loud"));
    let quiet = text_of(&main, "run").expect("a name");
    assert!(quiet.starts_with("quiet"), "a static function, perhaps of a compiler's variant: {quiet}");
    assert_eq!(text_of(&main, "file").as_deref(), Some("main"));
    assert_eq!((call(&main, "exact"), call(&main, "heap")), (1, 0));
    assert!(text_of(&main, "system_name").is_some_and(|name| name.contains("puts")));
}

#[test]
fn names_of_several_batches_of_a_dylib_are_all_found() {
    let world = World::new();
    returning(&world, "main", &[("f0", 0)]);
    let main = world.open("main");
    for number in 1..20 {
        let object = Tiny::new().calls(&format!("f{number}"), &format!("f{}", number - 1)).bytes();
        world.dylib("main").add_object(format!("{number}.o"), object).expect("a live session");
        main.update().expect("open");
    }
    assert_eq!(
        (0..20).map(|number| call(&main, &format!("f{number}"))).collect::<Vec<_>>(),
        (0..20).collect::<Vec<_>>()
    );
}

#[test]
fn linked_code_asks_with_noload_and_nodelete() {
    let world = World::new();
    world.dylib("main");
    world.traced("part", &[]);
    world.c(
        "main",
        "int loaded(void) { void *h = dlopen(\"part\", RTLD_NOW | RTLD_NOLOAD); if (h) dlclose(h); return h != 0; }\n\
         int load(void) { return dlopen(\"part\", RTLD_NOW) != 0; } int forever(void) { void *h = dlopen(\"part\", RTLD_NOW | RTLD_NODELETE); return dlclose(h) + dlclose(h); }\n\
         int self(void) { void *h = dlopen(0, RTLD_NOW); int r = dlsym(h, \"loaded\") == (void *)loaded; dlclose(h); return r; }",
    );
    let main = world.open("main");
    assert_eq!((call(&main, "loaded"), world.log.take()), (0, vec![]));
    assert_eq!((call(&main, "load"), call(&main, "loaded")), (1, 1));
    assert_eq!(world.log.take(), ["part"]);
    assert_eq!((call(&main, "forever"), call(&main, "loaded")), (0, 1));
    assert_eq!((world.log.take(), call(&main, "self")), (vec![], 1));
}

#[test]
fn a_resolver_that_looks_something_up_is_refused_and_does_not_hang() {
    let world = World::new();
    world.c(
        "main",
        "static int plain(void) { return 1; } static int found(void) { return 2; } typedef struct { const char *a; void *b; const char *c; void *d; } Info; int dladdr(const void *, void *);\n\
         static void *choose(void) { Info info; dladdr(plain, &info); return dlsym((void *)0, \"puts_nowhere\") || dlopen(\"main\", RTLD_NOW) ? found : plain; }\n\
         int pick(void) __attribute__((ifunc(\"choose\")));",
    );
    let main = world.open("main");
    assert_eq!(call(&main, "pick"), 1);
}

#[test]
fn constants_and_variables_are_found_as_well() {
    let world = World::new();
    world.c("base", "int shared = 3; const int fixed = 4;").c("main", "extern int shared; extern const int fixed; int *where = &shared; int run(void) { return shared++ * 10 + fixed; }");
    world.links("main", &["base"]);
    let main = world.open("main");
    assert_eq!((call(&main, "run"), read(&main, "shared"), read(&world.open("base"), "shared")), (34, 4, 4));
}
