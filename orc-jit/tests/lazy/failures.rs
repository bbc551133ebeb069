//! What is told when a function cannot be linked any more, and of executors elsewhere.

use crate::common::{compile, lock};
use crate::support::spawn;
use orc_jit::executor::Remote;
use orc_jit::executor::remote::RemoteOptions;
use orc_jit::{Error, Session, SessionOptions};
use std::sync::{Arc, Mutex};

/// An object with a function `broken` whose relocation is of a type that does not exist.
fn with_broken_function() -> Arc<[u8]> {
    let source = ".section .text.broken,\"ax\",@progbits\n.globl broken\n.type broken, @function\nbroken: jmp whole\n.size broken, .-broken\n";
    let mut bytes = compile(&["gcc", "-x", "assembler"], source).to_vec();
    // Elf64_Rela: offset 1, then the type in the low word of r_info (psABI 4.4: 4 is a call through a stub).
    let entry =
        bytes.windows(12).position(|entry| entry[..8] == 1u64.to_le_bytes() && entry[8..] == 4u32.to_le_bytes());
    bytes[entry.expect("the relocation of the jump") + 8] = 250;
    bytes.into()
}

fn session() -> Session<Remote> {
    let options = SessionOptions { lazy: true, ..SessionOptions::default() };
    let executor = Remote::connect(&spawn(), RemoteOptions::default()).expect("an executor");
    Session::new(executor, options).expect("a session")
}

fn run(session: &Session<Remote>) -> Result<i32, Error> {
    session.run("main", "main", &[b"program".to_vec()])
}

#[test]
fn a_function_that_cannot_be_linked_ends_its_process_and_is_told() {
    let session = session();
    let main = session.add_dylib("main").expect("a free name");
    main.add_object("broken.o", with_broken_function()).expect("a live session");
    main.add_object("whole.o", compile(&["gcc", "-x", "c"], "int whole(void) { return 3; }")).expect("a live session");
    main.add_object(
        "main.o",
        compile(
            &["gcc", "-x", "c"],
            "int whole(void); int broken(void); int main(void) { return whole() == 3 ? broken() : 1; }",
        ),
    )
    .expect("a live session");
    let told = Arc::new(Mutex::new(Vec::new()));
    let hears = told.clone();
    session.on_lazy_failure(move |failure| lock(&hears).push((failure.function.clone(), failure.to_string())));
    match run(&session) {
        Err(Error::Ended(report)) => {
            let title = report.report().title;
            assert!(title.contains("127"), "{title}");
        }
        other => panic!("{other:?}"),
    }
    let told = lock(&told);
    let [(function, text)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(function, "broken");
    for part in ["broken.o", "JITDylib main", ".text.broken", "250"] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
}

#[test]
fn functions_are_linked_into_another_process_when_they_are_called_there() {
    let session = session();
    let main = session.add_dylib("main").expect("a free name");
    let add =
        |name: &str, source: &str| main.add_object(name, compile(&["gcc", "-x", "c"], source)).expect("a live session");
    add(
        "main.o",
        "#include <pthread.h>\nint f(int); int g(int); static void *run(void *n) { return (void *)(long)g(*(int *)n); }\n\
        int main(void) { int n = f(2); pthread_t t; void *r; pthread_create(&t, 0, run, &n); pthread_join(t, &r); return (long)r; }",
    );
    add("f.o", "extern int base; int f(int n) { return base + n; }");
    add("g.o", "int f(int); int g(int n) { return f(n) + 1; } int base = 10;");
    assert_eq!(run(&session).expect("it runs"), 23);
}

/// A connection is its process's: what a child of fork(2) would have to ask, it cannot.
#[test]
fn a_forked_child_elsewhere_says_why_it_cannot_go_on() {
    let session = session();
    let main = session.add_dylib("main").expect("a free name");
    let add =
        |name: &str, source: &str| main.add_object(name, compile(&["gcc", "-x", "c"], source)).expect("a live session");
    add(
        "main.o",
        "#include <unistd.h>\n#include <sys/wait.h>\nint known(void); int unknown(void);\n\
        int main(void) { known(); int status = 0; pid_t child = fork(); if (!child) _exit(known() == 1 ? unknown() : 9); waitpid(child, &status, 0); return WEXITSTATUS(status); }",
    );
    add("known.o", "int known(void) { return 1; }");
    add("unknown.o", "int unknown(void) { return 5; }");
    assert_eq!(run(&session).expect("it runs"), 127);
}
