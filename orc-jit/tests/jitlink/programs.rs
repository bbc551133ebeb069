//! What programs see, and what their end means.

use super::support::Bench;
use std::process::Command;

#[test]
fn the_exit_status_is_mains() {
    let bench = Bench::new();
    for (value, status) in [(0, 0), (42, 42), (255, 255)] {
        bench.object("a.o", &format!(".globl main\nmain: movl ${value}, %eax\nretq\n"));
        bench.both(&["a.o"], status);
        bench.both(&["-noexec", "a.o"], 0);
    }
}

#[test]
fn a_program_may_say_its_status_itself() {
    let bench = Bench::new();
    let text = ".globl main\nmain: subq $8, %rsp\nmovl $23, %edi\ncallq llvm_jitlink_setTestResultOverride@plt\nmovl $1, %eax\naddq $8, %rsp\nretq\n";
    bench.object("a.o", text);
    bench.both(&["a.o"], 23);
    bench.both(&["-noexec", "a.o"], 0);
}

#[test]
fn words_behind_args_are_the_programs() {
    let bench = Bench::new();
    bench.object("a.o", ".globl main\nmain: movl %edi, %eax\nretq\n");
    bench.both(&["a.o", "--args", "a", "-noexec", "b.o"], 3);
    assert_eq!(bench.orc(&["a.o"]).status, Some(1), "a program has a name");
}

#[test]
fn harnesses_reach_into_what_they_test() {
    let bench = Bench::new();
    // The tested object has a main of its own, and a function that only it sees.
    bench.object(
        "tested.o",
        ".globl main\nmain: movl $1, %eax\nretq\ninner: movl $5, %eax\nretq\n.globl calls\ncalls: jmp main@plt\n",
    );
    bench
        .object("harness.o", ".globl main\nmain: subq $8, %rsp\ncallq inner@plt\naddl $1, %eax\naddq $8, %rsp\nretq\n");
    bench.both(&["tested.o", "-harness", "harness.o"], 6);
    bench.both(&["-noexec", "tested.o", "harness.o"], 1);
}

#[test]
fn initialized_c_programs_run_in_this_process_and_in_another() {
    let bench = Bench::new();
    bench.write(
        "a.c",
        "#include <stdio.h>\nint main(int argc, char **argv) { printf(\"%d %s\\n\", argc, argv[1]); return 3; }\n",
    );
    bench.tool("clang-19", &["-c", "-O1", "-fPIC", "a.c", "-o", "a.o"]);
    for line in [&["a.o", "--args", "p", "x"][..], &["-oop-executor", "a.o", "--args", "p", "x"]] {
        let ended = bench.orc(line);
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(3), "2 x\n"), "{line:?}: {}", ended.stderr);
    }
}

#[test]
fn preloaded_libraries_have_names_for_everybody() {
    let bench = Bench::new();
    bench.write("f.c", "int from_library(void) { return 11; }\n");
    bench.tool("clang-19", &["-shared", "-fPIC", "f.c", "-o", "libf.so"]);
    bench.object("a.o", ".globl main\nmain: subq $8, %rsp\ncallq from_library@plt\naddq $8, %rsp\nretq\n");
    bench.both(&["-preload", "./libf.so", "a.o"], 11);
    bench.both(&["a.o", "-L.", "-lf"], 11);
    bench.both(&["a.o"], 1);
    bench.both(&["-no-process-syms", "a.o"], 1);
}

#[test]
fn profilers_are_told() {
    let bench = Bench::new();
    bench.object("a.o", ".globl main\n.type main, @function\nmain: xorl %eax, %eax\nretq\n.size main, .-main\n");
    let mut command = Command::new(env!("CARGO_BIN_EXE_orc"));
    let status =
        command.args(["jitlink", "-perf-support"]).arg(bench.path("a.o")).env("JITDUMPDIR", bench.path("")).status();
    assert_eq!(status.expect("orc starts").code(), Some(0));
    let mut pending = vec![bench.path("")];
    let mut found = false;
    while let Some(folder) = pending.pop() {
        for file in std::fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path()) {
            found |= file.extension().is_some_and(|extension| extension == "dump");
            pending.extend(file.is_dir().then_some(file));
        }
    }
    assert!(found, "no jitdump was written");
}

#[test]
fn the_command_may_be_called_by_llvms_name() {
    let bench = Bench::new();
    bench.object("a.o", ".globl main\nmain: movl $9, %eax\nretq\n");
    let link = bench.path("llvm-jitlink");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_orc"), &link).expect("a link");
    let run = |arguments: &[&str]| {
        Command::new(&link).args(arguments).arg(bench.path("a.o")).status().expect("starts").code()
    };
    assert_eq!(run(&[]), Some(9));
    assert_eq!(run(&["-noexec"]), Some(0));
    assert_eq!(run(&["-frob"]), Some(1));
}
