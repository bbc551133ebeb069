//! Does the program's end reach the caller, whatever it is, with what was wrong?

use crate::world::World;

/// Ends as its first argument says, with its second.
const ENDS: &str = r#"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static void at_end(void) { puts("handler"); }
static int number(char **argv) { return argv[2] ? atoi(argv[2]) : 0; }
__attribute__((constructor)) static void on_init(int argc, char **argv) {
    (void)argc;
    if (!strcmp(argv[1], "exit-early")) exit(number(argv));
    if (!strcmp(argv[1], "raise-early")) raise(number(argv));
}
static void *thread(void *argv) { exit(number(argv)); }
int main(int argc, char **argv) {
    (void)argc;
    atexit(at_end);
    puts("main");
    if (!strcmp(argv[1], "return")) return number(argv);
    if (!strcmp(argv[1], "exit")) exit(number(argv));
    fflush(stdout);
    if (!strcmp(argv[1], "_exit")) _exit(number(argv));
    if (!strcmp(argv[1], "abort")) abort();
    if (!strcmp(argv[1], "raise")) raise(number(argv));
    if (!strcmp(argv[1], "thread")) {
        pthread_t other;
        pthread_create(&other, 0, thread, argv);
        pthread_join(other, 0);
    }
    return 99;
}
"#;

/// Words of the program, exit code, output.
const ENDINGS: [(&[&str], i32, &str); 17] = [
    (&["return", "0"], 0, "main\nhandler\n"),
    (&["return", "1"], 1, "main\nhandler\n"),
    (&["return", "42"], 42, "main\nhandler\n"),
    (&["return", "125"], 125, "main\nhandler\n"),
    (&["return", "255"], 255, "main\nhandler\n"),
    (&["return", "-1"], 255, "main\nhandler\n"),
    (&["exit", "7"], 7, "main\nhandler\n"),
    (&["thread", "11"], 11, "main\nhandler\n"),
    (&["_exit", "9"], 9, "main\n"),
    (&["exit-early", "5"], 5, ""),
    (&["abort"], 134, "main\n"),
    (&["raise", "2"], 130, "main\n"),
    (&["raise", "9"], 137, "main\n"),
    (&["raise", "10"], 138, "main\n"),
    (&["raise", "13"], 141, "main\n"),
    (&["raise", "15"], 143, "main\n"),
    (&["raise-early", "11"], 139, ""),
];

#[test]
fn exit_codes_and_signals_come_back() {
    let world = World::new("ends");
    world.compile("ends", ENDS);
    for kind in world.kinds.clone() {
        for (words, code, output) in ENDINGS {
            let (found, printed, said) = world.run(kind, &[&["ends.o", "--"], words].concat());
            assert_eq!((found, &*printed), (code, output), "{kind}: {words:?}: {said}");
            if code < 128 {
                assert_eq!(said, "", "{kind}: {words:?}: orc has nothing to say");
            }
        }
    }
    world.end();
}

/// The line of the fault is the fourth.
const CONFIG: &str = "\
static int *volatile setting;
static int read_setting(void)
{
    return *setting;
}
__attribute__((constructor)) static void init_config(void)
{
    read_setting();
}
";

const MAIN: &str = "\
#include <stdio.h>
int main(void)
{
    puts(\"main\");
    return 0;
}
";

#[track_caller]
fn tells(said: &str, facts: &[&str], about: &str) {
    for fact in facts {
        assert!(said.contains(fact), "{about}: the message does not say `{fact}`:\n{said}");
    }
}

#[test]
fn a_null_pointer_in_an_initializer_is_told_with_function_object_and_dylib() {
    let world = World::new("null");
    world.compile("config", CONFIG);
    world.compile("main", MAIN);
    for kind in world.remote() {
        let (code, printed, said) = world.run(kind, &["main.o", "--dylib", "settings", "config.o"]);
        assert_eq!((code, &*printed), (139, ""), "{kind}: main does not run: {said}");
        let facts = ["SIGSEGV", "read_setting+0x", "config.c:4", "config.o:(.text", "dylib settings", "null pointer"];
        tells(&said, &facts, kind.name());
    }
    world.end();
}

const THREAD: &str = "\
#include <pthread.h>
#include <stdio.h>
static volatile int zero;
static void *divide(void *unused)
{
    zero = 7 / zero;
    return unused;
}
int main(void)
{
    pthread_t other;
    puts(\"main\");
    fflush(stdout);
    pthread_create(&other, 0, divide, 0);
    pthread_join(other, 0);
    return 0;
}
";

#[test]
fn a_fault_in_a_thread_of_the_program_is_told_too() {
    let world = World::new("thread");
    world.compile("thread", THREAD);
    for kind in world.remote() {
        let (code, printed, said) = world.run(kind, &["thread.o"]);
        assert_eq!((code, &*printed), (136, "main\n"), "{kind}: {said}");
        tells(&said, &["SIGFPE", "divide+0x", "thread.c:6", "thread.o:(.text", "dylib main"], kind.name());
    }
    world.end();
}
