//! Opens that fail, until the cause is mended.

use crate::world::everywhere;

//#Rule: 14
everywhere! {
    fn an_open_that_was_mended_runs_exactly_what_is_missing(world) {
        let user = r#"
            static void attempt(void) {
                void *p = dlopen("p", RTLD_NOW);
                error_or(p ? "opened" : "silent");
            }
            int work(int argc, char **argv) {
                attempt(), attempt();
                change();
                attempt(), attempt();
                return 0;
            }"#;
        world.c("q", "TRACED(q)", &[]).c("r", "TRACED(r) int of_nobody(void); int f(void) { return of_nobody(); }", &[]);
        world.c("p", "TRACED(p)", &["q", "r"]).c("user", user, &["q"]);
        world.prepare(|hand| {
            hand.add("r", "int of_nobody(void) { return 1; }");
        });
        let user = world.open("user");
        world.noted(&["q"]);
        assert_eq!(world.call(&user, "work"), 0);
        let trace = world.take();
        assert!(trace[0].contains("of_nobody") && trace[0] == trace[1], "through {}: {trace:?}", world.kind);
        assert_eq!(trace[2..], ["r", "p", "opened", "opened"], "through {}", world.kind);
    }
}

/// Throws at the first attempt, or as long as `luck` is 0.
const THROWS: &str = r#"
    extern "C" int luck;
    extern "C" __attribute__((constructor)) void start_of_p() {
        note("p begins");
        if (!luck) throw 6;
        note("p ends");
    }
    __attribute__((destructor)) static void fini() { note("~p"); }"#;

/// Opens `p` under the eyes of C++. Not by `dlopen`: dlfcn.h declares that `noexcept`, so compilers see no reason to catch anything from it.
const CATCHES: &str = r#"
    extern "C" void *__orc_rt_jit_dlopen(const char *name, int mode);
    extern "C" int luck;
    static void *p;
    extern "C" int attempt(int argc, char **argv) {
        try {
            p = __orc_rt_jit_dlopen("p", RTLD_NOW);
        } catch (int number) {
            note("caught");
            return number;
        }
        if (!p) error_or("silent");
        return p ? 0 : 1;
    }
    extern "C" int unload_and_retry(int argc, char **argv) {
        change();
        luck = 1;
        return attempt(argc, argv);
    }
    extern "C" int close_p(int argc, char **argv) { return dlclose(p); }"#;

//#Rule: 15
everywhere! {
    fn a_dylib_whose_initializer_threw_can_be_unloaded_and_opened_again(world) {
        world.c("luck", "int luck;", &[]).c("q", "TRACED(q)", &[]);
        world.cpp("p", THROWS, &["q", "luck"]).cpp("user", CATCHES, &["luck"]);
        world.prepare(|hand| hand.session.unload("p").expect("nobody holds it"));
        let user = world.open("user");
        assert_eq!(world.call(&user, "attempt"), 6);
        world.noted(&["q", "p begins", "caught"]);
        assert_eq!(world.call(&user, "attempt"), 1);
        let trace = world.take();
        assert!(trace[0].contains("start_of_p") && trace[0].contains("JITDylib p "), "through {}: {trace:?}", world.kind);
        let error = world.session.open("p").expect_err("poisoned for everybody").to_string();
        assert!(error.contains("start_of_p"), "through {}: {error}", world.kind);
        // What it needed has stayed initialized, and goes with it in the end.
        assert_eq!(world.call(&user, "unload_and_retry"), 0);
        world.noted(&["p begins", "p ends"]);
        assert_eq!(world.call(&user, "close_p"), 0);
        world.noted(&["~p", "~q"]);
    }
}
