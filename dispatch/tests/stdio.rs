//! Can standard input and output carry frames, while everything around prints and reads? This program is also its own child.
#![allow(clippy::print_stdout, reason = "printing is what must not matter")]

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::Arc;

use dispatch::transport::{Transport, pipe, stdio};
use dispatch::{Caller, Connect, Registry, Setup, Tag, call_typed};

const ECHO: Tag = Tag(1);
const READ_INPUT: Tag = Tag(2);
const RUN: Tag = Tag(3);
const CHILD: &str = "--as-child";

fn main() {
    if std::env::args().any(|argument| argument == CHILD) {
        return child();
    }
    frames_pass_and_prints_go_elsewhere();
    println!("standard input and output carry frames: ok");
}

fn child() {
    println!("a stray line");
    // Left in the buffer: it must not come out between two frames.
    print!("half a line, ");
    let transport = stdio::take_over().unwrap();
    println!("printed after");
    let services = Registry::new();
    services
        .serve(ECHO, |text: String| {
            println!("echo of {} bytes", text.len());
            text
        })
        .unwrap();
    services
        .serve(READ_INPUT, |(): ()| {
            let mut input = String::new();
            io::stdin().read_to_string(&mut input).map_err(|error| error.to_string()).map(|_| input)
        })
        .unwrap();
    services
        .serve(RUN, |command: String| {
            let output = Command::new("sh").args(["-c", &command]).stderr(Stdio::inherit()).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        })
        .unwrap();
    let peer = Connect::executor(Setup::default()).handlers(Arc::new(services)).background(0).over(transport).unwrap();
    let end = peer.serve();
    assert_eq!(end.reason, "it hung up");
    eprintln!("the child is done");
}

fn frames_pass_and_prints_go_elsewhere() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg(CHILD)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = child.stdout.take().unwrap();
    // What left before the child took over is not the transport's: an executor prints nothing before.
    let before = b"a stray line\nhalf a line, ";
    let mut stray = vec![0; before.len()];
    output.read_exact(&mut stray).unwrap();
    assert_eq!(stray, before);

    let input = child.stdin.take().unwrap();
    let number = |pipe: &dyn AsFd| format!("pipe:[{}]", rustix::fs::fstat(pipe).unwrap().st_ino);
    let frames = [number(&input), number(&output)];
    let transport = pipe::over(output, input).unwrap().named("the child");
    assert_eq!(transport.name(), "the child");
    let peer = Connect::controller().over(transport).unwrap();
    for size in [0, 10, 100_000, 3_000_000] {
        let text = "x".repeat(size);
        assert_eq!(call_typed::<_, String>(&peer, ECHO, &text).unwrap(), text);
    }
    let input: Result<String, String> = call_typed(&peer, READ_INPUT, &()).unwrap();
    assert_eq!(input.as_deref(), Ok(""), "standard input is at its end");
    // Programs that the child starts do not hold the connection open, and what they print goes to standard error.
    let open: String = call_typed(&peer, RUN, &"ls -l /proc/self/fd".to_owned()).unwrap();
    assert!(open.contains("/dev/null"), "standard input: {open}");
    assert!(frames.iter().all(|pipe| !open.contains(pipe)), "{frames:?} are in {open}");
    let nothing: String = call_typed(&peer, RUN, &"echo from a program >&2".to_owned()).unwrap();
    assert_eq!(nothing, "");
    assert!(peer.call(Tag(99), &[]).unwrap().as_error().is_some());
    drop(peer);

    let finished = child.wait_with_output().unwrap();
    let errors = String::from_utf8(finished.stderr).unwrap();
    assert!(finished.status.success(), "{errors}");
    assert!(finished.stdout.is_empty());
    for line in ["printed after", "echo of 100000 bytes", "from a program", "the child is done"] {
        assert!(errors.contains(line), "{line:?} is not in {errors:?}");
    }
}
