//! Does a program do over there what it does here: arguments, environment, every way to end?

use crate::support::{Places, World};
use orc_jit::Error;
use orc_jit::diagnose::Ending;
use orc_jit::executor::Executor as _;

/// For every place, a session of its own.
fn everywhere(body: impl Fn(World, &str) + Sync) {
    let places = Places::new();
    std::thread::scope(|scope| {
        for (place, wanted, shared) in places.all() {
            let body = &body;
            scope.spawn(move || {
                let world = World::with(&place, |options| options.share_memory = wanted);
                assert_eq!(world.session.executor().shares_memory(), shared, "{place}");
                let name = format!("{place}{}", if shared { ", shared" } else { "" });
                body(world.arguments(&[" a b ", ""]), &name);
            });
        }
    });
}

#[track_caller]
fn ending(result: Result<i32, Error>, at: &str) -> Ending {
    match result {
        Err(Error::Ended(crash)) => crash.ending,
        other => panic!("{at}: {other:?}"),
    }
}

#[test]
fn a_program_gets_its_arguments_and_environment_and_gives_its_status() {
    everywhere(|world, at| {
        world.c(
            "main",
            "static int early;\n\
             static __attribute__((constructor)) void on_init(int argc, char **argv, char **envp)\n\
             { early = argc == 4 && !strcmp(argv[0], \"it\") && !strcmp(argv[2], \" a b \") && envp[0]; NOTE(\"main\"); }\n\
             static void handler(void) { NOTE(\"handler\"); }\n\
             FINI(\"main\")\n\
             int main(int argc, char **argv, char **envp) {\n\
                if (!early) return 1;\n\
                if (argc != 4 || strcmp(argv[2], \" a b \") || strcmp(argv[3], \"\") || argv[4]) return 2;\n\
                if (!getenv(\"PATH\") || !envp[0]) return 3;\n\
                atexit(handler);\n\
                return 42; }",
        );
        assert_eq!(world.run("main").unwrap_or_else(|error| panic!("{at}: {error}")), 42, "{at}");
        assert_eq!(world.trace(), ["main", "handler", "~main"], "{at}");
        assert_eq!(world.run("main").expect("it runs again"), 42, "{at}");
        assert_eq!(world.trace(), ["main", "handler", "~main"], "{at}");
    });
}

#[test]
fn exit_from_main_runs_the_handlers_and_gives_its_status() {
    everywhere(|world, at| {
        world.c(
            "main",
            "BOTH(\"main\") static void handler(void) { NOTE(\"handler\"); }\n\
             int main(void) { atexit(handler); exit(7); }",
        );
        assert_eq!(ending(world.run("main"), at), Ending::Exit(7), "{at}");
        assert_eq!(world.trace(), ["main", "handler", "~main"], "{at}");
        let Err(Error::Ended(crash)) = world.session.open("main") else { panic!("{at}: it is gone") };
        assert_eq!(crash.exit_code(), 7, "{at}");
    });
}

#[test]
fn exit_from_an_initializer_gives_its_status() {
    everywhere(|world, at| {
        world.c("lib", "BOTH(\"lib\")");
        world.c("main", "static __attribute__((constructor)) void i(void) { exit(9); } int main(void) { return 0; }");
        world.links("main", &["lib"]);
        assert_eq!(ending(world.run("main"), at), Ending::Exit(9), "{at}");
        assert_eq!(world.trace(), ["lib", "~lib"], "{at}");
    });
}

#[test]
fn exit_from_a_handler_and_at_once_give_their_status() {
    everywhere(|world, at| {
        world.c("main", "static void h(void) { exit(11); } int main(void) { atexit(h); return 1; } BOTH(\"main\")");
        assert_eq!(ending(world.run("main"), at), Ending::Exit(11), "{at}");
        assert_eq!(world.trace(), ["main", "~main"], "{at}");
    });
    everywhere(|world, at| {
        world.c("main", "BOTH(\"main\") int main(void) { _exit(13); }");
        assert_eq!(ending(world.run("main"), at), Ending::Exit(13), "{at}");
        assert_eq!(world.trace(), ["main"], "{at}");
    });
}

#[test]
fn abort_is_a_signal() {
    everywhere(|world, at| {
        world.c("main", "BOTH(\"main\") int main(void) { abort(); }");
        let Err(Error::Ended(crash)) = world.run("main") else { panic!("{at}: it aborts") };
        assert_eq!((crash.ending, crash.exit_code()), (Ending::Signal(6), 134), "{at}");
        assert!(crash.frames.iter().any(|frame| frame.function == "main"), "{at}: {crash:?}");
        assert_eq!(world.trace(), ["main"], "{at}");
    });
}

#[test]
fn leaving_gives_the_status_that_a_parent_would_see() {
    everywhere(|world, at| {
        world.c("main", "BOTH(\"main\") int main(void) { return 3; }");
        let main = world.open("main");
        let status = world.call(&main, "main");
        world.session.executor().end_program(status);
        assert_eq!(world.session.leave(status + 256).unwrap_or_else(|error| panic!("{at}: {error}")), 3, "{at}");
        assert_eq!(world.trace(), ["main", "~main"], "{at}");
    });
}
