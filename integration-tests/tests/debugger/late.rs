//! What gdb sees of code that was linked before it came.

use crate::world::{World, in_order};
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

/// Says which process it is, and waits until a debugger lets it go on.
const WAITING: &str = r#"#include <stdio.h>
#include <unistd.h>
volatile int go;
static int step(int rounds) {
    int left = rounds - 1;
    usleep(1000);
    return left;
}
int main(void) {
    printf("%d\n", (int)getpid());
    fflush(stdout);
    for (int i = 0; !go && i < 60000; i++)
        step(i);
    puts("gone on");
    return 0;
}
"#;

const LOOK: &str = "break step\ncontinue\nbt 2\nnext\nprint left == rounds - 1\ndelete\nset var go = 1\ndetach\n";

/// Starts a program of one source, attaches, and gives what gdb and then the program said.
fn attached(source: &str, options: &[&str], commands: &str) -> (String, String) {
    let world = World::new();
    let object = world.compile("w.c", source, "w.o", "gcc -c -g -O0");
    let mut arguments = options.to_vec();
    arguments.push(&object);
    attach_to(&world, &arguments, commands)
}

fn attach_to(world: &World, arguments: &[&str], commands: &str) -> (String, String) {
    let mut orc = world.start(arguments).stdout(Stdio::piped()).stdin(Stdio::null()).spawn().expect("orc starts");
    let mut output = BufReader::new(orc.stdout.take().expect("piped"));
    let mut line = String::new();
    output.read_line(&mut line).expect("it says its number");
    let process = line.trim().parse().unwrap_or_else(|_| panic!("`{line}` is no number of a process"));
    let text = world.attach(process, commands);
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut output, &mut rest).expect("it goes on");
    let status = orc.wait().expect("it ends");
    assert!(status.success(), "{status}\n{text}");
    (text, rest)
}

fn sees_lines(options: &[&str]) {
    let (text, rest) = attached(WAITING, options, LOOK);
    in_order(&text, &["step (rounds=", "at w.c:5", "#1  0x", "main () at w.c:13", "$1 = 1"]);
    assert_eq!(rest, "gone on\n", "{text}");
}

#[test]
fn the_process_of_orc_shows_lines_with_debug() {
    sees_lines(&["--debug"]);
}

#[test]
fn a_spawned_executor_shows_lines_with_debug() {
    sees_lines(&["--debug", "--executor", "spawn"]);
}

/// Has everything described, as one would in the debugger: `call (int)__orc_rt_debug_describe_all()`. gdb 13 itself cannot call functions on processors with
/// much state to save, so the program does.
const ASKING: &str = r#"int __orc_rt_debug_describe_all(void);
__attribute__((constructor)) static void ask(void) { ready = __orc_rt_debug_describe_all(); }
"#;

/// Without `--debug`: names, and variables as far as they have symbols.
fn sees_names_when_asked(options: &[&str]) {
    let source = WAITING.replace("static int step", &format!("int ready;\n{ASKING}static int step"));
    let commands = "print *(int *)&ready\nbreak step\ncontinue\nbt 2\ndelete\nset var *(int *)&go = 1\ndetach\n";
    let (text, rest) = attached(&source, options, commands);
    in_order(&text, &["$1 = 1", " in step ()", "#1  0x", " in main ()"]);
    assert_eq!(rest, "gone on\n", "{text}");
}

#[test]
fn the_process_of_orc_shows_names_when_asked() {
    sees_names_when_asked(&[]);
}

#[test]
fn a_spawned_executor_shows_names_when_asked() {
    sees_names_when_asked(&["--executor", "spawn"]);
}

/// Opens a dylib as soon as a debugger is there.
const OPENING: &str = r#"#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
static int is_traced(void) {
    char line[256];
    int tracer = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof line, status))
        if (sscanf(line, "TracerPid: %d", &tracer) == 1) break;
    fclose(status);
    return tracer != 0;
}
int main(void) {
    printf("%d\n", (int)getpid());
    fflush(stdout);
    for (int i = 0; !is_traced() && i < 60000; i++)
        usleep(1000);
    void *b = dlopen("B", RTLD_NOW);
    int (*function)(int) = (int (*)(int))dlsym(b, "in_b");
    puts(function(5) == 10 ? "gone on" : "wrong");
    return 0;
}
"#;

/// What is linked from then on has lines, what was linked before has names.
fn the_next_batch_tells_everything(options: &[&str]) {
    let world = World::new();
    world.compile("b.c", "int in_b(int x) {\n    int twice = x * 2;\n    return twice;\n}\n", "b.o", "gcc -c -g -O0");
    world.compile("w.c", OPENING, "w.o", "gcc -c -g -O0");
    let mut arguments = options.to_vec();
    arguments.extend(["w.o", "--needs", "", "--dylib", "B", "b.o"]);
    let commands = "break b.c:3\ncontinue\nprint twice\nbt 2\ndelete\ndetach\n";
    let (text, rest) = attach_to(&world, &arguments, commands);
    in_order(&text, &["in_b (x=5) at b.c:3", "$1 = 10", "#1  0x", " in main ()"]);
    assert_eq!(rest, "gone on\n", "{text}");
}

#[test]
fn the_next_batch_of_the_process_of_orc_tells_everything() {
    the_next_batch_tells_everything(&[]);
}

#[test]
fn the_next_batch_of_a_spawned_executor_tells_everything() {
    the_next_batch_tells_everything(&["--executor", "spawn"]);
}
