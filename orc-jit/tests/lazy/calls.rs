//! What does a first call do, and what does it leave alone?

use crate::common::{call, child};
use crate::{is_linked, world};
use std::sync::Barrier;

#[test]
fn a_function_is_linked_when_it_is_called_and_data_with_who_refers_to_it() {
    let world = world();
    world.c("main", "int used(void); int unused(void); int start(int n) { return n ? used() : unused(); }");
    world.c("main", "extern int table[2]; int used(void) { return table[1]; }");
    world.c("main", "int helper(void); int (*hook)(void) = helper; int table[2] = { 1, 42 };");
    world.c("main", "int helper(void) { return 0; } int unused(void) { return 1; }");
    let main = world.open("main");
    let linked = |names: [&str; 5]| names.map(|name| is_linked(&world, name));
    let all = ["start", "used", "table", "helper", "unused"];
    assert_eq!(linked(all), [false; 5], "nothing runs by itself");
    // SAFETY: the function is defined so.
    let start = unsafe { main.symbol::<extern "C" fn(i32) -> i32>("start") }.expect("a function");
    assert_eq!(linked(all), [false; 5], "an address is not a call");
    assert_eq!((start(1), start(1)), (42, 42));
    assert_eq!(linked(all), [true, true, true, false, false]);
    assert_eq!(start(0), 1);
    assert_eq!(linked(all), [true; 5], "the object has one section of code");
}

/// Everything that the psABI passes in registers, and what varargs and nested functions add (3.2.3, 3.5.7).
#[test]
fn a_first_call_passes_all_arguments_on() {
    let world = world();
    world.c(
        "main",
        "#include <stdarg.h>\n#include <string.h>\n\
         typedef double wide __attribute__((vector_size(32)));\n\
         int many(int a, long b, char *c, int d, int e, int f, double g, float h, double i, int j, int k);\n\
         double sum(int n, ...); wide twice(wide a, wide b); long double last(long double a);\n\
         struct big { long a[4]; }; struct big shift(struct big b, int n);\n\
         int nested(int (*f)(int), int n);\n\
         __attribute__((target(\"avx\"))) int wides(void) { wide a = {1, 2, 3, 4}, b = {5, 6, 7, 8}; wide c = twice(a, b); return c[0] == 12 && c[3] == 24; }\n\
         int run(void) {\n\
           if (many(1, 2, \"3\", 4, 5, 6, 7.5, 8.5f, 9.5, 10, 11) != 1) return 1;\n\
           if (sum(3, 1.5, 2.5, 3.0) != 7.0) return 2;\n\
           \
           if (last(0.5L) != 1.0L) return 4;\n\
           struct big b = {{1, 2, 3, 4}}; if (shift(b, 2).a[0] != 3) return 5;\n\
           return 0; }\n",
    );
    world.c(
        "main",
        "int many(int a, long b, char *c, int d, int e, int f, double g, float h, double i, int j, int k) {\n\
           return a == 1 && b == 2 && *c == '3' && d == 4 && e == 5 && f == 6 && g == 7.5 && h == 8.5f && i == 9.5 && j == 10 && k == 11; }",
    );
    world.c("main", "#include <stdarg.h>\ndouble sum(int n, ...) { va_list l; va_start(l, n); double s = 0; while (n--) s += va_arg(l, double); va_end(l); return s; }");
    world.c("main", "typedef double wide __attribute__((vector_size(32))); __attribute__((target(\"avx\"))) wide twice(wide a, wide b) { return (a + b) * 2; }");
    world.c("main", "long double last(long double a) { return a * 2; }");
    world.c("main", "struct big { long a[4]; }; struct big shift(struct big b, int n) { struct big c = {{b.a[n], 0, 0, 0}}; return c; }");
    let main = world.open("main");
    assert_eq!(call(&main, "run"), 0);
    if std::is_x86_feature_detected!("avx") {
        assert_eq!(call(&main, "wides"), 1);
    }
}

#[test]
fn errno_and_the_mask_of_signals_survive_a_first_call() {
    let world = world();
    world.c(
        "main",
        "#include <errno.h>\n#include <signal.h>\nint f(void); int run(void) {\n\
         sigset_t before, after; sigemptyset(&before); sigaddset(&before, SIGUSR1); pthread_sigmask(SIG_BLOCK, &before, 0);\n\
         errno = 1234; int n = f(); int kept = errno; pthread_sigmask(SIG_SETMASK, 0, &after);\n\
         return n == 7 && kept == 1234 && sigismember(&after, SIGUSR1) == 1 && sigismember(&after, SIGUSR2) == 0; }",
    );
    world.c("main", "int f(void) { return 7; }");
    assert_eq!(call(&world.open("main"), "run"), 1);
}

/// Each thread calls all functions, each from another one on: some are called by many at once, others by one.
#[test]
fn many_threads_call_the_same_and_different_functions_for_the_first_time() {
    const THREADS: usize = 8;
    const FUNCTIONS: usize = 40;
    let world = world();
    for number in 0..FUNCTIONS {
        let next = (number + 7) % FUNCTIONS;
        let source = format!(
            "int counter{number}; int f{next}(int depth);\n\
             int f{number}(int depth) {{ __atomic_add_fetch(&counter{number}, 1, __ATOMIC_SEQ_CST); return depth ? f{next}(depth - 1) + 1 : {number}; }}"
        );
        world.c("main", &source);
    }
    let main = world.open("main");
    let start = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (main, start) = (&main, &start);
            scope.spawn(move || {
                start.wait();
                for step in 0..FUNCTIONS {
                    let number = (thread * 5 + step) % FUNCTIONS;
                    // SAFETY: the functions are defined so.
                    let function = unsafe { main.symbol::<extern "C" fn(i32) -> i32>(&format!("f{number}")) };
                    let last = (number + 7 * 3) % FUNCTIONS;
                    assert_eq!(function.expect("a function")(3), last as i32 + 3);
                }
            });
        }
    });
    let calls: i32 = (0..FUNCTIONS).map(|number| crate::common::read(&main, &format!("counter{number}"))).sum();
    assert_eq!(calls as usize, THREADS * FUNCTIONS * 4, "there is one counter of each function");
}

#[test]
fn exceptions_and_statics_pass_through_functions_that_were_just_linked() {
    let world = world();
    world.cxx("main", "#include <stdexcept>\nint middle(int); extern \"C\" int run() { try { return middle(3); } catch (const std::runtime_error &e) { return e.what()[0]; } }");
    world.cxx("main", "#include <string>\nstruct Guard { int &n; ~Guard() { ++n; } }; int unwound; int deep(int); int middle(int n) { Guard g{unwound}; static std::string text(\"kept\"); return deep(n) + text.size(); } extern \"C\" int count() { return unwound; }");
    world
        .cxx("main", "#include <stdexcept>\nint deep(int n) { if (n > 2) throw std::runtime_error(\"x\"); return n; }");
    let main = world.open("main");
    assert_eq!(
        (call(&main, "run"), call(&main, "count"), call(&main, "run"), call(&main, "count")),
        ('x' as i32, 1, 'x' as i32, 2)
    );
}

#[test]
fn initializers_run_at_the_open_in_their_order_and_call_what_waits() {
    let world = world();
    world.c("main", "void say(const char *); __attribute__((constructor(200))) static void second(void) { say(\"second\"); } FINI(\"first\")");
    world.c("main", "void say(const char *); __attribute__((constructor(101))) static void first(void) { say(\"first\"); }\nint idle(void) { return 3; }");
    world.c("main", "void say(const char *text) { NOTE(text); }");
    world.c("other", "INIT(\"other\")").c("other", "int far(void) { return 5; }");
    world.links("main", &["other"]);
    let main = world.open("main");
    assert_eq!(world.log.take(), ["other", "first", "second"]);
    assert!(is_linked(&world, "say") && !is_linked(&world, "far"));
    assert_eq!(call(&main, "far"), 5);
    drop(main);
    assert_eq!(world.log.take(), ["~first"]);
}

#[test]
fn a_close_takes_everything_back_and_the_next_open_is_pristine() {
    let world = world();
    world.c("main", "int next(void); int run(void) { return next(); }");
    world.c("main", "int n; int next(void) { return ++n; }");
    let before = world.holds();
    for _ in 0..3 {
        let main = world.open("main");
        assert_eq!((call(&main, "run"), call(&main, "run")), (1, 2));
        drop(main);
        assert_eq!(world.holds(), before);
    }
}

/// What was opened by linked code and is closed by nobody ends with its session, and finalizers may call what never was called.
#[test]
fn finalizers_call_what_waits_when_the_session_ends() {
    let output = child::in_child("calls::finalizers_call_what_waits_when_the_session_ends", || {
        let world = world();
        world.c("main", "int run(void) { return dlopen(\"plugin\", RTLD_NOW) != 0; }");
        world.c("plugin", "void bye(void); __attribute__((destructor)) static void end(void) { bye(); }");
        world.c("plugin", "#include <unistd.h>\nvoid bye(void) { write(1, \"> bye\\n\", 6); }");
        let main = world.open("main");
        assert_eq!(call(&main, "run"), 1);
        drop((main, world));
    });
    child::ended(&output, 0, "");
    assert_eq!(child::lines(&output), ["bye"]);
}
