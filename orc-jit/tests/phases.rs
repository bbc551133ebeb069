//! Where did the time of a run go? What `--time` and `--trace` tell, of programs that return, exit, and run elsewhere.

mod common;

use common::compile;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

const PROGRAM: &str = r#"
#include <stdlib.h>
static int began;
__attribute__((constructor)) static void begin(void) { began = 1; }
int helper(int x);
int main(int argc, char **argv) { if (argc > 1) exit(helper(began)); return helper(began); }
"#;
const HELPER: &str = "int table[4] = {4, 5, 6, 7}; int helper(int x) { return table[x]; }";

fn objects(folder: &Path) -> [String; 2] {
    [("main", PROGRAM), ("helper", HELPER)].map(|(name, source)| {
        let path = folder.join(format!("{name}.o"));
        std::fs::write(&path, compile(&["gcc", "-xc"], source)).expect("a file");
        path.display().to_string()
    })
}

fn orc(options: &[&str], objects: &[String], arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orc"));
    command.arg("run").args(options).args(objects).arg("--").args(arguments);
    command.output().expect("orc starts")
}

/// The lines of `--time --message-format json`.
fn times(options: &[&str], objects: &[String], arguments: &[&str]) -> Vec<Value> {
    let options = [&["--time", "--message-format", "json"], options].concat();
    let output = orc(&options, objects, arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(5), "{errors}");
    errors.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

fn names(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["phase"].as_str().expect("a name")).collect()
}

const UNTIL_MAIN: [&str; 13] = [
    "start",
    "find inputs",
    "link",
    "find",
    "gather",
    "unify",
    "prune",
    "place",
    "bind",
    "write",
    "describe",
    "register",
    "initialize",
];

#[test]
fn every_phase_is_told_once_with_what_was_done_in_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines = times(&[], &objects(folder.path()), &[]);
    assert_eq!(names(&lines), [&UNTIL_MAIN[..], &["run", "finalize", "in all"]].concat());
    let figure = |phase: &str, what: &str| {
        let line = lines.iter().find(|line| line["phase"] == phase).expect("the phase");
        line[what].as_u64().unwrap_or_else(|| panic!("{line} says nothing of {what}"))
    };
    assert_eq!(figure("link", "batches"), 1);
    assert_eq!(figure("link", "images"), 1);
    assert!(figure("find", "files") >= 2);
    let sizes = objects(folder.path()).map(|path| std::fs::metadata(path).expect("a file").len());
    assert!(figure("find", "bytes") >= sizes.iter().sum());
    assert!(figure("gather", "objects") >= 2);
    assert!(figure("gather", "relocations") >= figure("write", "relocations"));
    assert!(figure("write", "relocations") >= 3, "two calls, a table, a constructor");
    assert!(figure("write", "bytes") >= 16 && figure("write", "bytes") <= figure("place", "bytes"));
    assert!(figure("describe", "names") >= 4);
}

#[test]
fn parts_are_no_longer_than_the_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines = times(&[], &objects(folder.path()), &[]);
    let took = |line: &Value| line["milliseconds"].as_f64().expect("a time");
    let whole = |name: &str| lines.iter().find(|line| line["phase"] == name).map(took).expect("the phase");
    let parts: f64 = lines.iter().filter(|line| line["within"] == "link").map(took).sum();
    assert!(parts > 0.0 && parts <= whole("link"), "{parts} of {}", whole("link"));
    let laps: f64 = lines.iter().filter(|line| line["within"].is_null() && line["phase"] != "in all").map(took).sum();
    assert!(laps <= whole("in all"), "{laps} of {}", whole("in all"));
}

#[test]
fn a_program_that_exits_is_told_to_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines = times(&[], &objects(folder.path()), &["exit"]);
    assert_eq!(names(&lines), [&UNTIL_MAIN[..], &["run", "in all"]].concat());
}

#[test]
fn a_run_elsewhere_has_the_same_phases() {
    let folder = tempfile::tempdir().expect("a folder");
    let executor = format!("exec:{} executor", env!("CARGO_BIN_EXE_orc"));
    let lines = times(&["--executor", &executor], &objects(folder.path()), &[]);
    assert_eq!(names(&lines), [&UNTIL_MAIN[..], &["run", "finalize", "in all"]].concat());
}

#[test]
fn lines_for_people_align() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = orc(&["--time"], &objects(folder.path()), &[]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(errors.lines().count(), UNTIL_MAIN.len() + 3, "{errors}");
    for line in errors.lines() {
        let rest = line.strip_prefix("time: ").expect("each line says what it is");
        assert_eq!(rest.find(" ms  "), Some(10), "{line}");
    }
}

/// The events of a trace, whether or not its array is closed.
fn events(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("a trace");
    let whole = format!("{}]", text.trim_end().trim_end_matches(','));
    serde_json::from_str(&whole).expect("an array of events")
}

#[test]
fn a_trace_has_the_phases_nested() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace.json");
    let status = orc(&["--trace", &trace.display().to_string()], &objects(folder.path()), &[]).status;
    assert_eq!(status.code(), Some(5));
    let mut open: Vec<String> = Vec::new();
    let mut seen = Vec::new();
    let mut last = 0.0;
    for event in events(&trace) {
        let name = event["name"].as_str().expect("a name").to_owned();
        let at = event["ts"].as_f64().expect("a time");
        assert!(at >= last, "{event}");
        last = at;
        match event["ph"].as_str() {
            Some("B") => {
                seen.push((open.last().cloned(), name.clone()));
                open.push(name);
            }
            Some("E") => assert_eq!(open.pop(), Some(name)),
            other => panic!("{other:?}"),
        }
    }
    assert!(open.is_empty(), "{open:?}");
    let inside = |outer: &str, inner: &str| seen.contains(&(Some(outer.to_owned()), inner.to_owned()));
    assert!(inside("open", "link") && inside("link", "gather") && inside("link", "register"), "{seen:?}");
    assert!(seen.contains(&(None, "run".into())), "{seen:?}");
}

#[test]
fn a_trace_of_a_program_that_exits_ends_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace.json");
    orc(&["--trace", &trace.display().to_string()], &objects(folder.path()), &["exit"]);
    let last = events(&trace).pop().expect("an event");
    assert_eq!((&last["name"], &last["ph"]), (&"run".into(), &"B".into()));
}

#[test]
fn a_trace_of_a_run_elsewhere_has_its_calls() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace.json");
    let executor = format!("exec:{} executor", env!("CARGO_BIN_EXE_orc"));
    orc(&["--executor", &executor, "--trace", &trace.display().to_string()], &objects(folder.path()), &[]);
    let events = events(&trace);
    let called = |what: &str| events.iter().any(|event| event["name"] == "call" && event["args"]["what"] == what);
    assert!(called("reserve memory") && called("finalize memory") && called("run main"), "{events:?}");
}

#[test]
fn a_trace_that_cannot_be_written_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = orc(&["--trace", "/nowhere/trace.json"], &objects(folder.path()), &[]);
    assert_eq!(output.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write the trace /nowhere/trace.json"));
}
