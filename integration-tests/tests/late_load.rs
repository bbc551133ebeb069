//! What has thread-local code of a session that lives in a shared library, which a program opens when its threads already run? Such a library has no static
//! storage of its own.
//!
//! The library is the example `late_library`; cargo builds it with all tests, and this test does if it is not there.

use integration_tests::process::{Outcome, Program, tool};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Opens the library that it is given, and links objects: in the thread that opened, in one that was there before, in one that comes afterwards.
const PROGRAM: &str = r#"
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
static long (*next)(void);
static pthread_barrier_t turn;
static int done;
static void *early(void *seen) {
    for (;;) {
        pthread_barrier_wait(&turn);
        if (done) return seen;
        *(long *)seen = next();
        pthread_barrier_wait(&turn);
    }
}
static void *late(void *seen) { return *(long *)seen = next(), seen; }
int main(int argc, char **argv) {
    long in_early, in_late;
    pthread_t before, after;
    pthread_barrier_init(&turn, 0, 2);
    pthread_create(&before, 0, early, &in_early);
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!library) return puts(dlerror()), 1;
    long (*(*link)(const char *, const char *, char *, size_t))(void) = dlsym(library, "late_link");
    for (int i = 2; i < argc; i++) {
        char why[4096] = "";
        next = link(argv[i], "next", why, sizeof why);
        if (!next) { printf("%s: %s\n", argv[i], why); continue; }
        long first = next(), second = next();
        pthread_barrier_wait(&turn);
        pthread_barrier_wait(&turn);
        pthread_create(&after, 0, late, &in_late);
        pthread_join(after, 0);
        printf("%s: %ld %ld %ld %ld\n", argv[i], first, second, in_early, in_late);
    }
    done = 1;
    pthread_barrier_wait(&turn);
    pthread_join(before, 0);
    return 0;
}
"#;

const COUNTER: &str = "
__thread char filler[SIZE];
__thread long counter = 11;
static __thread long zero;
long next(void) { filler[SIZE - 1] = 1; return zero++ == counter - 11 ? ++counter : -1; }
";

/// Objects: name, flags.
const OBJECTS: &[(&str, &[&str])] = &[
    ("exec.o", &["-fno-pic", "-mcmodel=large", "-DSIZE=4"]),
    ("initial.o", &["-fPIC", "-ftls-model=initial-exec", "-DSIZE=4"]),
    ("general.o", &["-fPIC", "-DSIZE=4"]),
    ("descriptor.o", &["-fPIC", "-mtls-dialect=gnu2", "-DSIZE=4"]),
    ("general_large.o", &["-fPIC", "-DSIZE=100000"]),
    ("descriptor_large.o", &["-fPIC", "-mtls-dialect=gnu2", "-DSIZE=100000"]),
    ("far_large.o", &["-fPIC", "-mcmodel=large", "-DSIZE=100000"]),
];

/// Cannot be had, and is said.
const TOO_LARGE: (&str, &[&str]) = ("exec_large.o", &["-fPIC", "-ftls-model=local-exec", "-DSIZE=100000"]);

#[test]
fn every_model_works_in_every_thread_and_what_cannot_is_refused() {
    let outcome = run(&[]);
    let (refused, served): (Vec<_>, Vec<_>) =
        lines(&outcome).into_iter().partition(|line| line.starts_with(TOO_LARGE.0));
    let expected: Vec<_> = OBJECTS.iter().map(|(name, _)| format!("{name}: 12 13 12 12")).collect();
    assert_eq!(served, expected);
    let [refused] = &refused[..] else { panic!("{refused:?}") };
    for part in ["filler", "local-exec", "no static thread-local storage", "glibc.rtld.optional_static_tls"] {
        assert!(refused.contains(part), "{part:?} is not in: {refused}");
    }
}

#[test]
fn with_a_larger_reserve_nothing_is_refused() {
    let outcome = run(&[("GLIBC_TUNABLES".into(), "glibc.rtld.optional_static_tls=200000".into())]);
    let names = OBJECTS.iter().chain([&TOO_LARGE]);
    let expected: Vec<_> = names.map(|(name, _)| format!("{name}: 12 13 12 12")).collect();
    assert_eq!(lines(&outcome), expected);
}

fn lines(outcome: &Outcome) -> Vec<String> {
    let text = String::from_utf8_lossy(&outcome.stdout);
    assert_eq!(outcome.code, 0, "{text}\n{}", String::from_utf8_lossy(&outcome.stderr));
    text.lines().map(str::to_owned).collect()
}

fn run(env: &[(String, OsString)]) -> Outcome {
    let folder = tempfile::tempdir().expect("a directory");
    let folder = folder.path();
    std::fs::write(folder.join("program.c"), PROGRAM).expect("it can be written");
    std::fs::write(folder.join("counter.c"), COUNTER).expect("it can be written");
    let gcc = |words: &[&str]| {
        let words: Vec<OsString> = ["gcc", "-O1"].iter().chain(words).map(OsString::from).collect();
        tool(folder, &words, &[]).expect("gcc compiles it");
    };
    gcc(&["-o", "program", "program.c", "-lpthread", "-ldl"]);
    let mut words = vec![folder.join("program").into(), library().into()];
    for (name, flags) in OBJECTS.iter().chain([&TOO_LARGE]) {
        gcc(&[&["-c", "counter.c", "-o", name], *flags].concat());
        words.push(name.into());
    }
    let timeout = Duration::from_secs(60);
    let program = Program { words, folder: folder.into(), env: env.to_vec(), timeout, ..Program::default() };
    program.run("late").expect("it ends")
}

/// The example, beside the folder of this test's program.
fn library() -> PathBuf {
    let test = std::env::current_exe().expect("this test's program");
    let profile = test.ancestors().nth(2).expect("deps/ of a profile's folder");
    let library = profile.join("examples/liblate_library.so");
    if !library.exists() {
        let words = [env!("CARGO"), "build", "-p", "integration-tests", "--example", "late_library"];
        tool(Path::new(env!("CARGO_MANIFEST_DIR")), &words.map(OsString::from), &[]).expect("cargo builds the example");
    }
    library
}
