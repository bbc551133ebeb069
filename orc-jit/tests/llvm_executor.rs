//! Do programs run in LLVM's own executor as they do natively, by the services that it has, and do errors say what it lacks?
//!
//! `llvm-jitlink-executor-19` (Debian package llvm-19) is a declared tool of the tests: where it is missing, they fail.

mod common;

use common::child::{in_child, lines};
use common::compile;
use dispatch::transport::stream::Stream;
use dispatch::{Connect, Peer, Setup};
use orc_jit::executor::llvm::{LlvmExecutor, spawn_with_pipes};
use orc_jit::input::SearchPath;
use orc_jit::{Executor, JitDylib, Opened, Session, SessionOptions};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const EXECUTOR: &str = "llvm-jitlink-executor-19";

fn connect() -> (Peer, Child) {
    let (transport, child) = spawn_with_pipes(EXECUTOR).unwrap_or_else(|error| {
        panic!("{EXECUTOR}, which the tests need (Debian package llvm-19), cannot be started: {error}")
    });
    (Connect::controller().over(transport).expect("it says who it is"), child)
}

/// A session in a process of LLVM's, and the number of that process.
struct World {
    session: Session<LlvmExecutor>,
    process: u32,
}

/// Writes to standard output at once: what C buffers comes when the process ends.
const SAY: &str = "#include <stdio.h>\n#include <stdlib.h>\n#include <unistd.h>\n#include <string.h>\n\
    static void say(const char *text) { char line[200]; int n = snprintf(line, sizeof line, \"> %s\\n\", text); write(1, line, n); }\n#line 1\n";

impl World {
    fn new() -> Self {
        let (peer, child) = connect();
        let process = child.id();
        let executor = LlvmExecutor::over(peer).expect("LLVM's services");
        let executor = executor.watching(child).expect("a thread");
        let session = Session::new(executor, SessionOptions::default()).expect("a session");
        Self { session, process }
    }

    fn dylib(&self, name: &str) -> JitDylib<LlvmExecutor> {
        let made = || {
            let made = self.session.add_dylib(name).expect("a free name");
            // Where `atexit` is.
            let archives = SearchPath::host(Vec::new()).unasked_archives();
            made.add_last_archive_file(archives.first().expect("the C library's development files"))
                .expect("a live session");
            made
        };
        self.session.dylib(name).unwrap_or_else(made)
    }

    fn links(&self, dylib: &str, links: &[&str]) -> &Self {
        let links: Vec<_> = links.iter().map(|name| self.dylib(name)).collect();
        self.dylib(dylib).set_link_order(&links).expect("dylibs of this session");
        self
    }

    fn add(&self, dylib: &str, compiler: &[&str], source: &str) -> &Self {
        let object = compile(compiler, &format!("{SAY}{source}"));
        self.dylib(dylib).add_object(format!("{dylib}.o"), object).expect("a live session");
        self
    }

    fn c(&self, dylib: &str, source: &str) -> &Self {
        self.add(dylib, &["gcc", "-x", "c"], source)
    }

    fn cxx(&self, dylib: &str, source: &str) -> &Self {
        let library = self.session.open_library("libstdc++.so.6").expect("the C++ library");
        self.dylib(dylib).add_library(library).expect("a live session");
        self.add(dylib, &["g++", "-x", "c++"], source)
    }

    #[track_caller]
    fn open(&self, dylib: &str) -> Opened<LlvmExecutor> {
        self.session.open(dylib).unwrap_or_else(|error| panic!("{dylib}: {error}"))
    }

    #[track_caller]
    fn refuses(&self, dylib: &str) -> String {
        self.session.open(dylib).err().unwrap_or_else(|| panic!("{dylib} opens")).to_string()
    }

    /// Calls `int name(int argc, char **argv, char **envp)`.
    #[track_caller]
    fn call(&self, dylib: &Opened<LlvmExecutor>, name: &str) -> i32 {
        let entry = dylib.address(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        self.session.executor().run_program(entry, &["it".into()]).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// As `orc run` does it: opens, calls `main`, ends the program. The process's own status, and what `main` gave.
    #[track_caller]
    fn run(&self, arguments: &[&str]) -> (Option<i32>, i32) {
        let executor = self.session.executor();
        let arguments: Vec<Vec<u8>> = arguments.iter().map(|argument| argument.as_bytes().to_vec()).collect();
        executor.set_arguments(&arguments).expect("no zero bytes");
        let main = self.open("main");
        let entry = main.address("main").expect("main");
        let status = executor.run_program(entry, &arguments).expect("main runs");
        executor.end_program(status);
        (executor.exit_status().expect("it has ended").code(), status)
    }
}

/// An object made of C as the option says: what `compile` makes is for any address.
fn compiled(option: &str, source: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a directory");
    let (from, to) = (dir.path().join("a.c"), dir.path().join("a.o"));
    std::fs::write(&from, format!("{SAY}{source}")).expect("a file");
    let made = Command::new("gcc").args([option, "-O1", "-w", "-c"]).arg(&from).arg("-o").arg(&to).status();
    assert!(made.expect("gcc, which the tests need").success(), "{source}");
    std::fs::read(&to).expect("an object")
}

#[track_caller]
fn said(output: &Output) -> Vec<String> {
    assert!(output.status.success(), "{:?}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    lines(output)
}

/// A constructor and a destructor that say `name` and `~name`.
fn traced(name: &str) -> String {
    format!(
        "__attribute__((constructor)) static void on_init(void) {{ say(\"{name}\"); }}\n\
         __attribute__((destructor)) static void on_fini(void) {{ say(\"~{name}\"); }}\n"
    )
}

#[test]
fn variables_are_shared_between_objects_and_dylibs() {
    let world = World::new();
    world.c("lib", "int shared = 40; int zero[1000]; int *where(void) { return &shared; }");
    world.c(
        "main",
        "extern int shared, zero[]; int *where(void);\nint add(void) { shared += 2; return zero[999] + shared; }",
    );
    world.c("main", "extern int shared; int *where(void); int same(void) { return where() == &shared; }");
    world.links("main", &["lib"]);
    let main = world.open("main");
    assert_eq!(world.call(&main, "add"), 42);
    assert_eq!(world.call(&main, "add"), 44);
    assert_eq!(world.call(&main, "same"), 1);
    main.close().expect("open");
    assert_eq!(world.call(&world.open("main"), "add"), 42, "data is pristine after an unload");
}

#[test]
fn initializers_run_dependencies_first_and_finalizers_in_reverse() {
    let output = in_child("initializers_run_dependencies_first_and_finalizers_in_reverse", || {
        let world = World::new();
        for name in ["main", "a", "b", "c"] {
            world.c(name, &traced(name));
        }
        world.links("c", &["b"]).links("main", &["a", "b", "c"]);
        let b = world.open("b");
        let main = world.open("main");
        main.close().expect("open");
        b.close().expect("open");
        let again = world.open("c");
        drop(again);
    });
    assert_eq!(said(&output), ["b", "a", "c", "main", "~main", "~c", "~a", "~b", "b", "c", "~c", "~b"]);
}

#[test]
fn a_close_undoes_in_exact_reverse() {
    let output = in_child("a_close_undoes_in_exact_reverse", || {
        let world = World::new();
        let part = |name: &str| {
            format!(
                "static void h1(void) {{ say(\"{name} h1\"); }} static void h2(void) {{ say(\"{name} h2\"); atexit(h1); }}\n\
                 static void h3(void) {{ say(\"{name} h3\"); }} int late(void) {{ return atexit(h3); }}\n\
                 __attribute__((constructor(200))) static void i1(void) {{ say(\"{name} i1\"); atexit(h1); }}\n\
                 __attribute__((constructor(300))) static void i2(void) {{ say(\"{name} i2\"); atexit(h2); }}\n\
                 __attribute__((destructor(200))) static void f1(void) {{ say(\"{name} f1\"); }}\n\
                 __attribute__((destructor(300))) static void f2(void) {{ say(\"{name} f2\"); }}"
            )
        };
        world.c("a", &part("a")).c("b", &part("b")).links("b", &["a"]);
        let b = world.open("b");
        assert_eq!(world.call(&b, "late"), 0);
        b.close().expect("open");
        let world = World::new();
        world.c("a", &part("after"));
        drop(world.open("a"));
    });
    let undone = |name: &str| ["f2", "f1", "h2", "h1", "h1"].map(|what| format!("{name} {what}")).to_vec();
    let mut expected: Vec<String> = ["a i1", "a i2", "b i1", "b i2", "b h3"].map(String::from).to_vec();
    expected.extend([undone("b"), undone("a")].concat());
    expected.extend(["after i1", "after i2"].map(String::from));
    expected.extend(undone("after"));
    assert_eq!(said(&output), expected);
}

/// Handlers registered all over, then the end of the program: by a return from `main`, or by `exit` from inside.
fn ending(name: &str, end: &str) -> Vec<String> {
    let output = in_child(name, || {
        let world = World::new();
        let part = |name: &str| {
            format!(
                "static void h(void) {{ say(\"{name} handler\"); }}\n\
                 __attribute__((constructor)) static void i(void) {{ say(\"{name} init\"); atexit(h); }}\n\
                 __attribute__((destructor)) static void f(void) {{ say(\"{name} fini\"); }}\n"
            )
        };
        world.c("lib", &part("lib"));
        let main = format!(
            "{}static void m(void) {{ say(\"handler of main\"); }}\n\
             int main(void) {{ say(\"main\"); atexit(m); printf(\"> buffered\\n\"); {end} }}",
            part("main")
        );
        world.c("main", &main).links("main", &["lib"]);
        assert_eq!(world.run(&["main.o"]), (Some(7), 7));
    });
    said(&output)
}

/// What a native program does: every handler, the latest first, then finalizers; buffers are written last.
const ENDING: [&str; 9] = [
    "lib init",
    "main init",
    "main",
    "handler of main",
    "main handler",
    "lib handler",
    "main fini",
    "lib fini",
    "buffered",
];

#[test]
fn a_program_that_returns_ends_as_natively() {
    assert_eq!(ending("a_program_that_returns_ends_as_natively", "return 7;"), ENDING);
}

#[test]
fn a_program_that_calls_exit_ends_as_natively() {
    assert_eq!(ending("a_program_that_calls_exit_ends_as_natively", "exit(7);"), ENDING);
}

#[test]
fn everybody_sees_the_arguments_and_the_environment() {
    let world = World::new();
    world.c(
        "main",
        "static int early, arguments; static char *first; extern char **environ;\n\
         __attribute__((constructor)) static void i(int argc, char **argv, char **envp) {\n\
             early = argc; first = argv[0]; setenv(\"ORC_TEST_EARLY\", \"yes\", 1); (void)envp; }\n\
         int main(int argc, char **argv, char **envp) {\n\
             if (early != 3 || argc != 3 || argv[3]) return 1;\n\
             if (strcmp(first, \"main.o\") || strcmp(argv[1], \"two words\") || strcmp(argv[2], \"\")) return 2;\n\
             if (envp != environ) return 3;\n\
             for (; *envp; envp++) if (!strcmp(*envp, \"ORC_TEST_EARLY=yes\")) return 42;\n\
             return 4; }",
    );
    assert_eq!(world.run(&["main.o", "two words", ""]), (Some(42), 42));
    let zero = World::new().session.executor().set_arguments(&[b"a\0b".to_vec()]).expect_err("no C string");
    assert_eq!(zero.to_string(), "argument 0 holds a zero byte at offset 1, which no C string can");
}

#[test]
fn cxx_programs_have_their_streams_and_their_static_objects() {
    let output = in_child("cxx_programs_have_their_streams_and_their_static_objects", || {
        let world = World::new();
        world.cxx(
            "lib",
            "#include <iostream>\n#include <map>\n#include <string>\n\
             struct Noisy { std::string name; Noisy(const char *n) : name(n) { std::cout << \"> +\" << name << std::endl; }\n\
             ~Noisy() { std::cout << \"> -\" << name << std::endl; } };\n\
             std::map<std::string, int> numbers{{\"one\", 1}, {\"two\", 2}}; static Noisy lib(\"lib\");\n\
             inline int &counter() { static int count; return count; } int bump() { return ++counter(); }",
        );
        world.cxx(
            "main",
            "#include <iostream>\n#include <map>\n#include <string>\n\
             extern std::map<std::string, int> numbers; int bump(); inline int &counter() { static int count; return count; }\n\
             struct Local { ~Local() { std::cout << \"> local\" << std::endl; } };\n\
             int main() { static Local local; bump(); ++counter();\n\
             std::cout << \"> \" << numbers.at(\"two\") << ' ' << bump() << \"\\n\"; return 0; }",
        );
        world.links("main", &["lib"]);
        assert_eq!(world.run(&["main.o"]), (Some(0), 0));
    });
    assert_eq!(said(&output), ["+lib", "2 3", "local", "-lib"]);
}

#[test]
fn exceptions_are_caught_where_they_should_be() {
    let world = World::new();
    world.cxx(
        "lib",
        "#include <stdexcept>\n#include <string>\nstruct Guard { int *count; ~Guard() { ++*count; } };\n\
         int thrower(int *count, int depth) { Guard guard{count}; if (depth) return thrower(count, depth - 1) + 1; throw std::runtime_error(\"deep\"); }\n\
         int from_library() { try { return std::stoi(\"no number\"); } catch (const std::invalid_argument &) { return 5; } }",
    );
    world.cxx(
        "main",
        "#include <stdexcept>\n#include <vector>\nint thrower(int *, int); int from_library();\n\
         extern \"C\" int across(void) { int count = 0; try { thrower(&count, 20); } catch (const std::exception &e) { return count + (e.what()[0] == 'd'); } return -1; }\n\
         extern \"C\" int library(void) { try { std::vector<int>().at(1); } catch (const std::out_of_range &) { return from_library(); } return -1; }",
    );
    world.links("main", &["lib"]);
    let main = world.open("main");
    assert_eq!(world.call(&main, "across"), 22);
    assert_eq!(world.call(&main, "library"), 5);
    main.close().expect("open");
    assert_eq!(world.call(&world.open("main"), "across"), 22, "call frames are registered anew");
}

#[test]
fn an_exception_that_nobody_catches_ends_the_process_and_the_error_says_so() {
    let output = in_child("an_exception_that_nobody_catches_ends_the_process_and_the_error_says_so", || {
        let world = World::new();
        world.cxx(
            "main",
            "#include <stdexcept>\nint start() { throw std::runtime_error(\"too early\"); } int value = start();",
        );
        let text = world.refuses("main");
        assert_eq!(text, "the program was ended by signal 6 (SIGABRT): it called abort, or an assertion of it failed");
    });
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("too early"));
}

#[test]
fn the_death_of_the_process_is_told_with_what_it_was_doing() {
    let world = World::new();
    world.c("lib", "int main(void) { *(volatile int *)8 = 1; return 0; }").c("main", &traced("main"));
    let (lib, main) = (world.open("lib"), world.open("main"));
    let entry = lib.address("main").expect("main");
    let error = world.session.executor().run_program(entry, &[]).expect_err("it died").to_string();
    assert_eq!(error, "LLVM's executor ended while running main: signal: 11 (SIGSEGV)");
    assert_eq!(world.session.executor().exit_status().and_then(|status| status.signal()), Some(11));
    let later = main.close().expect_err("nothing is there").to_string();
    assert!(later.contains("the program was ended by signal 11 (SIGSEGV)"), "{later}");
    let again = world.refuses("main");
    assert!(again.contains("the program was ended by signal 11 (SIGSEGV)"), "{again}");
}

#[test]
fn archive_members_come_when_they_are_needed() {
    let world = World::new();
    let dir = tempfile::tempdir().expect("a directory");
    let mut members = Vec::new();
    for (name, source) in [
        ("used.o", "int helper(void); int used(void) { return helper() + 1; }"),
        ("helper.o", "int helper(void) { return 41; }"),
        ("late.o", "int late(void) { return 9; }"),
        ("broken.o", "int missing(void); int broken(void) { return missing(); }"),
    ] {
        let path = dir.path().join(name);
        std::fs::write(&path, compile(&["gcc", "-x", "c"], source)).expect("a file");
        members.push(path);
    }
    let archive = dir.path().join("liball.a");
    let made = Command::new("ar").arg("rcs").arg(&archive).args(&members).status().expect("ar");
    assert!(made.success());
    world.c("main", "int used(void); int main(void) { return used(); }");
    world.dylib("main").add_archive_file(&archive).expect("a live session");
    let main = world.open("main");
    assert_eq!(world.call(&main, "main"), 42);
    assert_eq!(world.call(&main, "late"), 9, "a lookup pulls its member");
    let missing = main.address("broken").expect_err("its member needs what nobody has").to_string();
    assert!(missing.contains("missing"), "{missing}");
    assert_eq!(world.call(&main, "main"), 42, "what was refused changes nothing");
}

#[test]
fn indirect_functions_are_chosen_before_anything_runs() {
    let world = World::new();
    world.c(
        "main",
        "static int one(void) { return 1; } static int two(void) { return 2; }\n\
         static void *choose(void) { return two; } int chosen(void) __attribute__((ifunc(\"choose\")));\n\
         static int early; int (*pointer)(void) = chosen;\n\
         __attribute__((constructor)) static void i(void) { early = chosen(); }\n\
         int main(void) { return early * 100 + chosen() * 10 + pointer() + (one() == 2); }",
    );
    assert_eq!(world.run(&["main.o"]), (Some(222), 222));
}

#[test]
fn thread_local_variables_are_refused_by_name() {
    let world = World::new();
    world.c("own", "__thread int counter; int count(void) { return ++counter; }");
    let own = world.refuses("own");
    assert!(own.contains("thread-local variable 'counter'") && own.contains("no thread-local storage"), "{own}");
    world.cxx("once", "#include <mutex>\nstd::once_flag flag; int once() { std::call_once(flag, [] {}); return 0; }");
    let once = world.refuses("once");
    assert!(once.contains("_ZSt15__once_call") && once.contains("orc-executor"), "{once}");
    world.c("errno", "#include <errno.h>\nint failing(void) { return close(-1) == -1 && errno == EBADF; }");
    assert_eq!(world.call(&world.open("errno"), "failing"), 1, "what functions give works");
}

#[test]
fn code_for_low_addresses_runs_unless_it_needs_data_of_libraries() {
    let world = World::new();
    let source = "static int table[3] = {1, 2, 39}; int (*compare)(const char *, const char *) = strcmp;\n\
        __attribute__((destructor)) static void f(void) { table[0] = 0; }\n\
        int main(void) { int *p = table; int sum = 0; for (int i = 0; i < 3; i++) sum += p[i]; return sum + compare(\"a\", \"a\"); }";
    world.dylib("main").add_object("main.o", compiled("-fno-pic", source)).expect("a live session");
    let main = world.open("main");
    assert!(main.address("main").expect("main") < 1 << 31);
    assert_eq!(world.call(&main, "main"), 42);
    main.close().expect("open");
    let needs = "int table[3]; int main(int argc, char **argv) { return table[argc] + (stdout == 0); }";
    world.dylib("needs").add_object("needs.o", compiled("-fno-pic", needs)).expect("a live session");
    let reports = world.session.open("needs").expect_err("stdout is far away").reports();
    let text = format!("{reports:?}");
    assert!(text.contains("stdout") && text.contains("cannot move data of shared libraries"), "{text}");
}

#[test]
fn data_and_functions_of_shared_libraries_are_those_of_the_process() {
    let world = World::new();
    let source = "extern char **environ; FILE *stream(void) { return stdout; } char **variables(void) { return environ; }\n\
        int same(void) { setenv(\"ORC_TEST_SAME\", \"1\", 1); return stdout == stream() && environ == variables() && getenv(\"ORC_TEST_SAME\") && signgam_is(); }\n";
    let libm = world.session.open_library("libm.so.6").expect("the mathematics library");
    assert_eq!(world.session.open_library("libm.so.6").expect("again"), libm, "a library is opened once");
    let math = "#include <math.h>\nint signgam_is(void) { lgamma(-0.5); return signgam == -1; }\n";
    for pic in ["-fPIC", "-fPIE"] {
        let name = format!("main{pic}");
        let dylib = world.dylib(&name);
        dylib.add_object("main.o", compiled(pic, &format!("{math}{source}"))).expect("a live session");
        dylib.add_library(libm).expect("a live session");
        assert_eq!(world.call(&world.open(&name), "same"), 1, "{pic}");
    }
    let error = world.session.open_library("libnowhere.so.9").expect_err("it does not exist").to_string();
    assert!(error.contains("libnowhere.so.9") && error.contains("No such file"), "{error}");
}

#[test]
fn versions_of_symbols_are_asked_for() {
    let world = World::new();
    world.c(
        "main",
        "__asm__(\".symver old_memcpy, memcpy@GLIBC_2.2.5\"); void *old_memcpy(void *, const void *, size_t);\n\
         int main(void) { char to[4] = \"\"; old_memcpy(to, \"abc\", 4); return to[2] == 'c'; }",
    );
    assert_eq!(world.call(&world.open("main"), "main"), 1);
    world.c("none", "__asm__(\".symver no, memcpy@GLIBC_9.9\"); void no(void); int main(void) { no(); return 0; }");
    let error = world.refuses("none");
    assert!(error.contains("memcpy@GLIBC_9.9"), "{error}");
}

#[test]
fn a_failed_open_leaves_nothing_and_can_be_mended() {
    let output = in_child("a_failed_open_leaves_nothing_and_can_be_mended", || {
        let world = World::new();
        world.c("lib", &traced("lib"));
        world.c("main", &format!("{}int missing(void); int main(void) {{ return missing(); }}", traced("main")));
        world.links("main", &["lib"]);
        let (first, second) = (world.refuses("main"), world.refuses("main"));
        assert!(first.contains("missing") && first == second, "{first}\n{second}");
        world.c("lib", "int missing(void) { return 6; }");
        let main = world.open("main");
        assert_eq!(world.call(&main, "main"), 6);
        world.c("main", "__attribute__((constructor)) static void more(void) { say(\"more\"); }");
        main.update().expect("it links");
        let handle = main.handle().expect("open");
        main.close().expect("open");
        let stale = world.session.executor().close(handle).expect_err("closed").to_string();
        assert!(stale.contains("not that of an open JITDylib"), "{stale}");
    });
    assert_eq!(said(&output), ["lib", "main", "more", "~main", "~lib"]);
}

#[test]
fn threads_of_the_controller_open_one_dylib_once() {
    let output = in_child("threads_of_the_controller_open_one_dylib_once", || {
        let world = World::new();
        world.c(
            "lib",
            &format!("{}__attribute__((constructor)) static void slow(void) {{ usleep(50000); }}", traced("lib")),
        );
        world.c("one", "int value(void) { return 1; }").c("two", "int value(void) { return 2; }");
        world.links("one", &["lib"]).links("two", &["lib"]);
        std::thread::scope(|scope| {
            for (name, value) in [("one", 1), ("two", 2), ("one", 1), ("two", 2)] {
                let world = &world;
                scope.spawn(move || assert_eq!(world.call(&world.open(name), "value"), value));
            }
        });
        let one = world.open("one");
        drop(world);
        drop(one);
    });
    let said = said(&output);
    assert!(said.chunks(2).all(|pair| pair == ["lib", "~lib"]) && !said.is_empty(), "{said:?}");
}

#[test]
fn threads_of_the_program_run() {
    let world = World::new();
    world.c(
        "main",
        "#include <pthread.h>\nstatic pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; static int sum;\n\
         static void *work(void *n) { for (int i = 0; i < 1000; i++) { pthread_mutex_lock(&lock); sum += (long)n; pthread_mutex_unlock(&lock); } return 0; }\n\
         int main(void) { pthread_t t[4]; for (long i = 0; i < 4; i++) pthread_create(&t[i], 0, work, (void *)i);\n\
         for (int i = 0; i < 4; i++) pthread_join(t[i], 0); return sum == 6000; }",
    );
    assert_eq!(world.run(&["main.o"]), (Some(1), 1));
}

fn mappings(process: u32) -> Vec<String> {
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).expect("a child of this process");
    maps.lines().map(str::to_owned).collect()
}

#[test]
fn no_page_is_writable_and_executable_and_closed_dylibs_give_theirs_back() {
    let world = World::new();
    world.c(
        "main",
        "static char large[64 << 20]; static __attribute__((aligned(65536))) int aligned = 3; const int constant = 5;\n\
         __attribute__((destructor)) static void f(void) { aligned = 0; }\n\
         int main(void) { large[sizeof large - 1] = 1; return (long)&aligned % 65536 == 0 && aligned + constant == 8 && large[5] == 0; }",
    );
    // Linked code has no file behind it, and neither has the page that calls it.
    let code =
        |mappings: &[String]| mappings.iter().filter(|line| line.contains("r-xp") && !line.contains('/')).count();
    let before = code(&mappings(world.process));
    for _ in 0..30 {
        let main = world.open("main");
        assert_eq!(world.call(&main, "main"), 1);
        let open = mappings(world.process);
        assert_eq!(code(&open), before + 1, "{open:?}");
        assert!(open.iter().all(|line| !line.contains("wx")), "{open:?}");
        main.close().expect("open");
        assert_eq!(code(&mappings(world.process)), before);
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", world.process)).expect("it runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line").trim();
    let peak: u64 = peak.trim_end_matches(" kB").parse().expect("a number");
    assert!(peak < 60 << 10, "zeros are not written: {peak} kB at the most");
}

#[test]
fn what_is_closed_early_is_not_finalized_again_at_the_end() {
    let output = in_child("what_is_closed_early_is_not_finalized_again_at_the_end", || {
        let world = World::new();
        let opened = ["a", "b", "c", "d"].map(|name| world.c(name, &traced(name)).open(name));
        let [a, b, c, d] = opened;
        c.close().expect("open");
        b.close().expect("open");
        let again = world.open("b");
        world.session.executor().end_program(0);
        drop((a, again, d));
    });
    assert_eq!(said(&output), ["a", "b", "c", "d", "~c", "~b", "b", "~b", "~d", "~a"]);
}

#[test]
fn the_process_ends_when_its_parent_is_killed() {
    let started = Instant::now();
    let output = in_child("the_process_ends_when_its_parent_is_killed", || {
        let world = World::new();
        world.c("main", "int main(void) { say(\"running\"); for (int i = 0; i < 300; i++) usleep(100000); say(\"late\"); return 0; }");
        let main = world.open("main");
        std::thread::spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            let this = rustix::process::getpid();
            rustix::process::kill_process(this, rustix::process::Signal::KILL).expect("itself");
        });
        world.call(&main, "main");
    });
    // The output is at its end when nobody holds it any more.
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    assert_eq!((output.status.signal(), lines(&output)), (Some(9), vec!["running".to_owned()]));
}

#[test]
fn an_executor_that_listens_is_driven_over_its_socket() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let mut child = Command::new(EXECUTOR).arg(format!("listen={free}")).stdout(Stdio::null()).spawn().expect(EXECUTOR);
    let started = Instant::now();
    let socket = loop {
        match TcpStream::connect(free) {
            Ok(socket) => break socket,
            Err(error) => assert!(started.elapsed() < Duration::from_secs(20), "{error}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let handle = socket.try_clone().expect("a descriptor");
    let stream = Stream::new(socket.try_clone().expect("a descriptor"), socket);
    let stream = stream.named("the listener").on_close(move || drop(handle.shutdown(Shutdown::Both)));
    let executor = LlvmExecutor::over(Connect::controller().over(stream).expect("it says who it is"));
    let session = Session::new(executor.expect("LLVM's services"), SessionOptions::default()).expect("a session");
    let world = World { session, process: child.id() };
    let source = "__attribute__((destructor)) static void f(void) { _exit(9); } int main(void) { abort(); }";
    world.c("main", source).c("other", "int main(int argc, char **argv) { return argv[argc - 1][0] == 'i'; }");
    let (main, other) = (world.open("main"), world.open("other"));
    assert_eq!(world.call(&other, "main"), 1);
    world.session.executor().end_program(0);
    assert_eq!(child.wait().expect("a child").code(), Some(9), "a finalizer had the last word");
    let entry = main.address("main").expect("linked before");
    let error = world.session.executor().run_program(entry, &["it".into()]).expect_err("it has ended").to_string();
    assert!(
        error.contains("LLVM's executor is gone while running main: the connection to the listener is closed"),
        "{error}"
    );
    assert!(world.session.executor().exit_status().is_none(), "nobody watches it");
}

#[test]
fn executors_of_another_kind_are_refused_by_name() {
    let (peer, child) = connect();
    let setup = peer.setup().expect("it has said").clone();
    assert!(LlvmExecutor::is_spoken_by(&setup));
    assert!(!LlvmExecutor::is_spoken_by(&Setup::default()));
    let executor = LlvmExecutor::over(peer).and_then(|executor| executor.watching(child)).expect("LLVM's services");
    drop(executor);
    let refused = |setup: Setup| {
        let (here, there) = dispatch::transport::channel::pair();
        let _executor = Connect::executor(setup).over(there).expect("a channel");
        LlvmExecutor::over(Connect::controller().over(here).expect("a channel")).expect_err("refused").to_string()
    };
    let mut without = setup.clone();
    without.symbols.retain(|(name, _)| !name.contains("mem_write_uint64s"));
    assert!(refused(without).contains("does not offer __llvm_orc_bootstrap_mem_write_uint64s_wrapper"));
    let other = refused(Setup { triple: "aarch64-unknown-linux-gnu".into(), ..setup });
    assert!(other.contains("aarch64-unknown-linux-gnu"), "{other}");
}

#[test]
fn parts_of_dylibs_are_not_removed_and_functions_not_redefined_and_it_is_said_so() {
    let world = World::new();
    let main = world.dylib("main");
    let object = compile(&["gcc", "-x", "c"], "int part(void) { return 7; }");
    let part = main.redefinable("part").expect("a live session");
    part.add_object("part.o", object.clone()).expect("a live session");
    // What is not linked is only taken out.
    let other = main.tracker("other").expect("a live session");
    other.add_object("other.o", object.clone()).expect("a live session");
    other.remove(orc_jit::Removal::Refuse).expect("it is not linked");
    let opened = world.session.open("main").expect("it links");
    let refused = part.remove(orc_jit::Removal::Cascade).expect_err("the executor cannot").to_string();
    assert_eq!(refused, "this executor cannot remove part of a dylib: close the dylib instead");
    let replaced = part.replace(|new| new.add_object("new.o", object)).expect_err("the executor cannot");
    assert_eq!(replaced.to_string(), refused);
    assert_ne!(opened.address("part").expect("it is there still"), 0);
    opened.close().expect("open");
    part.remove(orc_jit::Removal::Refuse).expect("nothing is linked");
}
