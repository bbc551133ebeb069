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

/// Starts the program, attaches, and gives what gdb and then the program said.
fn attached(options: &[&str], commands: &str) -> (String, String) {
    let world = World::new();
    let object = world.compile("w.c", WAITING, "w.o", "gcc -c -g -O0");
    let mut arguments = options.to_vec();
    arguments.push(&object);
    let mut orc = world.start(&arguments).stdout(Stdio::piped()).stdin(Stdio::null()).spawn().expect("orc starts");
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
    let (text, rest) = attached(options, LOOK);
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

/// Without `--debug`: names, and the variables that have symbols.
fn sees_names_when_asked(options: &[&str]) {
    let commands = "print (int)__orc_rt_debug_describe_all()\nbreak step\ncontinue\nbt 2\ndelete\nset var *(int *)&go = 1\ndetach\n";
    let (text, rest) = attached(options, commands);
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
