//! What scripts rely on: exit codes, standard error, the demo's story. Needs no compiler.

use std::process::{Command, Output};

fn orc(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_orc")).args(arguments).output().expect("orc starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("orc writes UTF-8")
}

/// Exit code, and a part of standard error.
#[track_caller]
fn fails(arguments: &[&str], code: i32, part: &str) {
    let output = orc(arguments);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    assert!(stderr.contains(part), "{arguments:?}: {stderr}");
    assert_eq!(text(&output.stdout), "", "{arguments:?}");
}

#[test]
fn the_demo_tells_what_happens_in_order() {
    let output = orc(&["demo"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let story = text(&output.stdout);
    let program: Vec<&str> = story.lines().filter(|line| line.starts_with("  ") && !line.contains("bytes,")).collect();
    assert_eq!(
        program,
        [
            "  greeter   initializes: begins, and opens palette",
            "  palette   initializes: begins, and opens greeter, which is being opened",
            "  palette   initializes: had its handle, nothing ran twice, done",
            "  greeter   initializes: palette is open, done",
            "  main      initializes: everything it needs is ready",
            "  main      runs, registers an atexit handler, calls greet()",
            "  greeter   hello from another dylib",
            "  main      greet() returned 42, and so does main",
            "  main      atexit handler: goodbye",
            "  main      finalizes",
            "  greeter   finalizes, and closes palette",
            "  palette   finalizes",
        ]
    );
}

#[test]
fn wrong_command_lines_are_2() {
    fails(&["run"], 2, "there is nothing to run");
    fails(&["run", "--no-such-option", "a.o"], 2, "--no-such-option");
    fails(&["run", "a.o", "--needs", "B"], 2, "make it with --dylib B");
    fails(&["run", "a.o", "--executor", "nowhere"], 2, "in-process, spawn[:PATH]");
    fails(&["run", "a.o", "--executor", "spawn", "--tls-ca", "ca.pem"], 2, "are for tcp:HOST:PORT, not for spawn");
    fails(&["run", "a.o", "--tls-ca", "ca.pem"], 2, "are for --executor tcp:HOST:PORT");
    fails(&["inspect"], 2, "INPUT");
    fails(&["jitlink", "-no-such-option"], 1, "llvm-jitlink error: Unknown command line argument '-no-such-option'");
    fails(&["executor", "--listen", "nowhere"], 2, "unix:PATH, tcp:HOST:PORT, fd:N or stdio");
}

#[test]
fn what_cannot_be_linked_is_125_and_one_clear_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).expect("it can be written");
        path.display().to_string()
    };
    let nobody = dir.path().join("nobody");
    let nobody = format!("unix:{}", nobody.display());
    fails(&["run", "a.o", "--executor", &nobody], 125, "error: cannot reach the executor at unix:");
    fails(
        &["run", "a.o", "--executor", "spawn:/no/such"],
        125,
        "error: cannot start the executor /no/such: No such file",
    );
    fails(&["run", "a.o", "--executor", "exec:true"], 125, "closed the connection before saying anything");
    fails(&["run", "/no/such.o"], 125, "error: cannot read /no/such.o: no such file\n");
    fails(&["run", "@/no/such.rsp"], 125, "error: cannot read /no/such.rsp: no such file\n");
    fails(
        &["run", &file("a.c", b"int main;")],
        125,
        "a.c is C source, not an object\n  help: compile it first: cc -c ",
    );
    fails(&["run", &file("text.o", b"int main;")], 125, "text.o is not a relocatable object: it is text\n");
    fails(&["run", &file("empty.o", b"")], 125, "empty.o is not a relocatable object: it is an empty file\n");
    fails(&["run", &file("cut.o", b"\x7fELF\x02\x01\x01\0\0\0")], 125, "cut.o");
    fails(&["run", "-lno_such_library_anywhere"], 125, "error: cannot find -lno_such_library_anywhere\n");
    let json = orc(&["run", "--message-format", "json", "/no/such.o"]);
    let value: serde_json::Value = serde_json::from_slice(&json.stderr).expect("one object");
    assert_eq!(value["title"], "cannot read /no/such.o: no such file");
}

#[test]
fn colors_only_where_they_are_wanted() {
    assert!(!text(&orc(&["run", "/no/such.o"]).stderr).contains('\u{1b}'));
    assert!(text(&orc(&["run", "--color", "always", "/no/such.o"]).stderr).contains("\u{1b}["));
}

#[test]
fn generated_files_come_out_whole() {
    for (what, part) in [
        ("man", ".TH orc"),
        ("complete-bash", "_orc()"),
        ("complete-fish", "complete -c orc"),
        ("complete-zsh", "#compdef orc"),
    ] {
        let output = orc(&["--generate", what]);
        assert!(output.status.success() && text(&output.stdout).contains(part), "{what}");
    }
}
