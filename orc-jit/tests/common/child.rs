//! Tests that need a process of their own: because they end it, or because they measure it.

use std::process::{Command, Output};

const CHILD: &str = "ORC_JIT_TEST_CHILD";

/// Runs `body` in a child process, which is this test once more, and gives what came of it; `test` is the test's own name. In the child the
/// process ends with status 0 after `body`.
pub fn in_child(test: &str, body: impl FnOnce()) -> Output {
    in_child_with(test, &[], body)
}

/// As [`in_child`], with more variables in the child's environment.
pub fn in_child_with(test: &str, env: &[(&str, &str)], body: impl FnOnce()) -> Output {
    if std::env::var(CHILD).is_ok_and(|name| name == test) {
        body();
        std::process::exit(0);
    }
    let program = std::env::current_exe().expect("this test's program");
    let mut command = Command::new(program);
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(CHILD, test).envs(env.iter().copied());
    command.output().expect("it starts")
}

/// The child ended with `status`, and said this on standard error.
#[track_caller]
pub fn ended(output: &Output, status: i32, part: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{:?}\n{text}", output.status);
    assert!(text.contains(part), "{part:?} is not in:\n{text}");
}

/// What the child wrote itself, without the words of the test harness around it: lines that begin with `> `.
pub fn lines(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter_map(|line| line.split_once("> ").map(|(_, line)| line.to_owned())).collect()
}

/// Bytes of memory that this process has now.
pub fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("the second number");
    pages * 4096
}

/// Mappings of this process now.
pub fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps").expect("Linux").lines().count()
}
