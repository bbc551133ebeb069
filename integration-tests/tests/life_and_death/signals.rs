//! Does a signal that `orc` gets reach the program, and once?

use crate::processes::gone;
use crate::world::{Running, SECOND, World};
use integration_tests::executor::Kind;
use rustix::process::{Signal, kill_process, kill_process_group};
use std::io::Write as _;
use std::process::{Command, Stdio};

/// Counts the signals that come within half a second of the first one.
const COUNTER: &str = r#"
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
static volatile sig_atomic_t interrupted, ended;
static void count(int signal) { if (signal == SIGINT) interrupted++; else ended++; }
static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}
int main(void) {
    struct sigaction action = {.sa_handler = count};
    sigaction(SIGINT, &action, 0);
    sigaction(SIGTERM, &action, 0);
    puts("up");
    fflush(stdout);
    double end = now() + 20;
    while (!interrupted && !ended && now() < end) usleep(10000);
    for (end = now() + 0.5; now() < end;) usleep(10000);
    printf("%d interrupts, %d ends\n", (int)interrupted, (int)ended);
    return 7;
}
"#;

/// Leaves signals as they are.
const PATIENT: &str = r#"
#include <stdio.h>
#include <unistd.h>
int main(void) {
    puts("up");
    fflush(stdout);
    for (int i = 0; i < 30; i++) sleep(1);
    return 1;
}
"#;

type Send = fn(&Running);

/// A signal, as it comes; what the program that counts says; the exit code of the one that leaves it as it is.
const SENT: [(&str, Send, &str, i32); 3] = [
    (
        "SIGINT to the group",
        |orc| kill_process_group(orc.pid(), Signal::INT).expect("it is there"),
        "1 interrupts, 0 ends",
        130,
    ),
    ("SIGINT", |orc| kill_process(orc.pid(), Signal::INT).expect("it is there"), "1 interrupts, 0 ends", 130),
    ("SIGTERM", |orc| kill_process(orc.pid(), Signal::TERM).expect("it is there"), "0 interrupts, 1 ends", 143),
];

#[test]
fn a_program_that_handles_signals_gets_each_once() {
    let world = World::new("handled");
    world.compile("counter", COUNTER);
    for kind in world.kinds.clone() {
        for (name, send, counted, _) in SENT {
            let mut orc = world.start(kind, &["counter.o"]);
            orc.expect("up");
            send(&orc);
            assert_eq!(orc.line(), counted, "{kind}: {name}: {}", orc.said());
            assert_eq!(orc.end(), 7, "{kind}: {name}: {}", orc.said());
        }
    }
    world.end();
}

/// `orc` on a terminal of its own, whose keys are what is written to standard input.
#[track_caller]
fn at_a_terminal(world: &World, kind: Kind, object: &str) -> Running {
    let orc = world.orc(kind, &[object]);
    let words = [orc.get_program()].into_iter().chain(orc.get_args());
    let line: Vec<String> = words.map(|word| format!("'{}'", word.to_str().expect("text"))).collect();
    let mut script = Command::new("script");
    script.args(["-qefc", &format!("exec {}", line.join(" ")), "/dev/null"]).current_dir(&world.folder);
    script.envs(world.env()).env("SHELL", "/bin/sh").stdin(Stdio::piped()).stdout(Stdio::piped());
    let child = script.stderr(Stdio::inherit()).spawn().expect("script, of Debian's bsdutils, is a tool of the tests");
    Running::new(child, &world.folder, format!("{kind}: at a terminal"))
}

#[test]
fn ctrl_c_at_a_terminal_reaches_the_program_once() {
    let world = World::new("terminal");
    world.compile("counter", COUNTER);
    world.compile("patient", PATIENT);
    for kind in world.kinds.clone() {
        for (object, said, code) in [("counter.o", Some("1 interrupts, 0 ends"), 7), ("patient.o", None, 130)] {
            let mut orc = at_a_terminal(&world, kind, object);
            orc.expect("up");
            orc.stdin.as_mut().expect("piped").write_all(b"\x03").expect("a key is pressed");
            // The terminal shows the key, and what orc says.
            let line = orc.line();
            assert!(said.is_none_or(|said| line.trim_start_matches("^C") == said), "{kind}: {object}: {line}");
            assert_eq!(orc.end(), code, "{kind}: {object}");
            gone(SECOND, &format!("{kind}: {object} at a terminal"), || world.living());
        }
    }
    world.end();
}

#[test]
fn a_program_that_does_not_is_ended() {
    let world = World::new("unhandled");
    world.compile("patient", PATIENT);
    for kind in world.kinds.clone() {
        for (name, send, _, code) in SENT {
            let mut orc = world.start(kind, &["patient.o"]);
            orc.expect("up");
            send(&orc);
            assert_eq!(orc.end(), code, "{kind}: {name}: {}", orc.said());
            gone(SECOND, &format!("{kind}: {name}"), || world.living());
        }
    }
    world.end();
}
