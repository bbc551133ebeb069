//! What every source file looks like: its size, its head, nothing left behind.

use super::tree::{MEMBERS, has_word, sources};
use crate::refuse;

/// Lines of the file in the middle, and of the largest.
const MEDIAN: usize = 450;
const LARGEST: usize = 800;

#[test]
fn files_are_read_without_scrolling_for_minutes() {
    let mut lengths: Vec<(usize, &str)> =
        sources().iter().map(|source| (source.lines.len(), source.path.as_str())).collect();
    lengths.sort();
    let (median, middle) = &lengths[lengths.len() / 2];
    assert!(*median <= MEDIAN, "the file in the middle, {middle}, has {median} lines; {MEDIAN} are enough");
    let long = lengths.iter().filter(|(lines, _)| *lines > LARGEST);
    refuse(
        &format!("no file has more than {LARGEST} lines"),
        long.map(|(lines, path)| format!("{path}: {lines} lines")).collect(),
    );
}

#[test]
fn files_open_with_what_they_are() {
    let opens = |head: String| head.split_whitespace().count() >= 3;
    let breaches =
        sources().iter().filter(|source| !opens(source.head())).map(|source| format!("{}:1", source.path)).collect();
    refuse("a source file opens with a `//!` comment that says what it is", breaches);
}

#[test]
fn libraries_open_with_what_one_gives_and_gets() {
    let mut breaches = Vec::new();
    for source in sources() {
        let Some((member, "lib.rs")) = source.path.split_once("/src/") else { continue };
        let head = source.head().to_lowercase();
        let first = head.split("```").next().unwrap_or_default();
        for (what, ways) in [("give", &["give"][..]), ("get", &["get"]), ("what it is not for", &["not", "never"])] {
            if !ways.iter().any(|way| has_word(first, way)) {
                breaches.push(format!("{}:1: does not say {what}", source.path));
            }
        }
        if member != "integration-tests" && !head.contains("```") {
            breaches.push(format!("{}:1: has no example", source.path));
        }
    }
    refuse("a library opens with what you give, what you get, what it is not for, and an example", breaches);
}

#[test]
fn nothing_is_left_to_be_done() {
    let mut breaches = Vec::new();
    for source in sources() {
        for (number, line) in source.numbered() {
            let left = ["todo!", "unimplemented!", "dbg!"].into_iter().find(|left| line.code.contains(left));
            let noted = ["TODO", "FIXME", "XXX", "HACK"].into_iter().find(|note| has_word(&line.comment, note));
            if let Some(what) = left.or(noted) {
                breaches.push(format!("{}:{number}: {what}", source.path));
            }
        }
    }
    breaches.retain(|breach| !breach.starts_with("integration-tests/tests/tidy/files.rs"));
    refuse("what stands is done: no stub, no note to come back, no print for debugging", breaches);
}

#[test]
fn ignored_tests_say_why() {
    let mut breaches = Vec::new();
    for source in sources() {
        let bare = source.numbered().filter(|(_, line)| line.code.contains("#[ignore]"));
        breaches.extend(bare.map(|(number, _)| format!("{}:{number}", source.path)));
    }
    refuse("a test that is not run has a reason: `#[ignore = \"...\"]`", breaches);
}

#[test]
fn allowances_say_why() {
    let mut breaches = Vec::new();
    for source in sources() {
        for (number, line) in source.numbered() {
            let allows = ["[allow(", "[expect("].iter().any(|what| line.code.contains(what));
            // For `unsafe_code`, the head of the file says why.
            if !allows || line.code.contains("reason") || line.code.contains("unsafe_code") || !line.comment.is_empty()
            {
                continue;
            }
            let above = number.checked_sub(2).map(|index| &source.lines[index]);
            let multi_line = line.code.trim_end().ends_with('(');
            if !multi_line && !above.is_some_and(|above| above.comment.starts_with("// ")) {
                breaches.push(format!("{}:{number}: {}", source.path, line.text.trim()));
            }
        }
    }
    refuse("a lint that is allowed has its reason, as `reason = \"...\"` or as a comment beside it", breaches);
}

#[test]
fn tests_assert() {
    let mut breaches = Vec::new();
    for source in sources() {
        let tests = source.lines.iter().any(|line| line.code.trim() == "#[test]");
        let root = MEMBERS.iter().any(|member| {
            source.path.strip_prefix(&format!("{member}/tests/")).is_some_and(|file| !file.contains('/'))
        });
        let asserts = ["assert", "panic!", "should_panic", "Failed", "compile_fail(", "refuse(", ".expect("];
        let asserts = |code: &str| asserts.iter().any(|way| code.contains(way));
        if (tests || root) && !source.lines.iter().any(|line| asserts(&line.code)) {
            breaches.push(format!("{}:1", source.path));
        }
    }
    refuse("a file with tests asserts something", breaches);
}
