//! memcheck and callgrind name linked functions and their lines, without being asked to.

use crate::world::{World, words};
use integration_tests::executor::Kind;
use std::ffi::OsString;
use std::fs;

/// Reads behind a block in line 4, loses one in line 7.
const FAULTY: &str = r#"
#include <stdlib.h>
__attribute__((noinline)) int reads_behind(volatile int *block) {
    return block[10];
}
__attribute__((noinline)) void loses(void) {
    *(volatile char *)malloc(33) = 1;
}
int main(void) {
    int *block = calloc(10, 4);
    int sum = reads_behind(block);
    free(block);
    loses();
    return sum == 1234567;
}
"#;

/// A tool of valgrind with `orc run` or its executor in it, whose report goes to `report.PID`.
fn command(world: &World, kind: Kind, tool: &str, rest: &str) -> Vec<OsString> {
    let report = world.folder.join("report");
    let mut line = words(&format!("valgrind {tool} --log-file={}.%p", report.display()));
    if kind == Kind::InProcess {
        line.extend(world.orc(kind, rest));
        return line;
    }
    line.extend([world.executor().into(), "--listen".into(), "stdio".into()]);
    let line: Vec<String> = line.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let mut orc = world.orc(Kind::InProcess, "--executor");
    orc.push(format!("exec:{}", line.join(" ")).into());
    orc.extend(words(rest));
    orc
}

/// What the tool said, of all processes.
fn reports(world: &World) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(&world.folder).expect("there") {
        let entry = entry.expect("there");
        if entry.file_name().to_string_lossy().starts_with("report.") {
            text += &fs::read_to_string(entry.path()).expect("text");
            fs::remove_file(entry.path()).expect("removed");
        }
    }
    text
}

/// The stacks in a report that begin with `first`: one line for each frame, without addresses, up to `main`.
fn stacks(report: &str, first: &str) -> Vec<Vec<String>> {
    let frame = |line: &str| {
        let line = line.split_once("== ")?.1.trim();
        let rest = line.strip_prefix("at 0x").or_else(|| line.strip_prefix("by 0x"))?;
        Some(rest.split_once(": ")?.1.to_owned())
    };
    let lines: Vec<Option<String>> = report.lines().map(frame).collect();
    let stacks = lines.split(Option::is_none).map(|stack| stack.iter().flatten().cloned().collect::<Vec<_>>());
    let whole = stacks.filter(|stack| stack.first().is_some_and(|frame| frame.starts_with(first)));
    whole
        .map(|stack| {
            let end = stack.iter().position(|frame| frame.starts_with("main ")).map_or(stack.len(), |main| main + 1);
            stack[..end].to_vec()
        })
        .collect()
}

/// The stacks of all reports, as memcheck tells them of the same objects linked natively.
fn native(world: &World, tool: &str, object: &str) -> String {
    world.tool(&format!("gcc {object} -o native"));
    let report = world.folder.join("report");
    world.succeed(&words(&format!("valgrind {tool} --log-file={}.%p ./native", report.display())), &[]);
    reports(world)
}

#[test]
fn memcheck_names_functions_and_lines() {
    let world = World::new("memcheck");
    for (flags, stack) in [
        ("-O0 -g", &["reads_behind (faulty.c:4)", "main (faulty.c:11)"][..]),
        // Here it follows the call on its way, and names the caller.
        ("-O1 -g -fomit-frame-pointer", &["main (faulty.c:11)"][..]),
    ] {
        let object = world.compile("faulty.c", FAULTY, flags);
        let native = native(&world, "--leak-check=full", &object);
        assert_eq!(stacks(&native, stack[0]), [stack], "natively\n{native}");
        let lost = ["loses (faulty.c:7)", "main (faulty.c:13)"];
        assert!(stacks(&native, "malloc").iter().any(|stack| stack[1..] == lost), "natively\n{native}");
        // An executor has ten seconds to answer at first, which are few for a second one on a busy machine.
        let kinds = world.kinds().filter(|kind| *kind == Kind::InProcess || stack.len() > 1);
        for kind in kinds {
            world.succeed(&command(&world, kind, "--leak-check=full", &object), &[]);
            let report = reports(&world);
            assert_eq!(stacks(&report, stack[0]), [stack], "{kind}:\n{report}");
            assert!(stacks(&report, "malloc").iter().any(|stack| stack[1..] == lost), "{kind}:\n{report}");
        }
    }
}

#[test]
fn memcheck_names_functions_without_debug_information() {
    let world = World::new("memcheck_names");
    let object = world.compile("faulty.c", FAULTY, "-O1 -fomit-frame-pointer");
    world.succeed(&command(&world, Kind::InProcess, "-q --vex-guest-chase=no", &object), &[]);
    let report = reports(&world);
    let read = stacks(&report, "reads_behind");
    assert_eq!(read.len(), 1, "{report}");
    let is_in_dylib = |frame: &String| frame.contains(" (in ") && frame.ends_with("/main)");
    assert!(read[0].len() == 2 && read[0].iter().all(is_in_dylib), "{read:?}");
}

/// The second dylib lies where the first one lay.
#[test]
fn memcheck_forgets_what_is_unloaded() {
    let world = World::new("memcheck_reuse");
    let main = r#"
    #include <dlfcn.h>
    #include <stdio.h>
    #include <stdlib.h>
    int main(void) {
        int *block = calloc(10, 4);
        for (int i = 0; i < 2; i++) {
            void *dylib = dlopen(i ? "B" : "A", RTLD_NOW);
            int (*reads)(int *) = (int (*)(int *))dlsym(dylib, i ? "reads_b" : "reads_a");
            printf("%p ", (void *)reads);
            reads(block);
            dlclose(dylib);
        }
        free(block);
        return 0;
    }
    "#;
    let reads = |name: &str| format!("int {name}(volatile int *block) {{\n    return block[10];\n}}\n");
    let main = world.compile("main.c", main, "-O1 -g");
    let (a, b) = (world.compile("a.c", &reads("reads_a"), "-O0 -g"), world.compile("b.c", &reads("reads_b"), "-O0 -g"));
    let rest = format!("--needs= {main} --dylib A {a} --dylib B {b}");
    let said = world.succeed(&command(&world, Kind::InProcess, "-q", &rest), &[]);
    let places: Vec<&str> = said.split_whitespace().collect();
    assert_eq!(places[0], places[1], "the memory is used again");
    let report = reports(&world);
    assert_eq!(stacks(&report, "reads_a"), [["reads_a (a.c:2)", "main (main.c:11)"]], "{report}");
    assert_eq!(stacks(&report, "reads_b"), [["reads_b (b.c:2)", "main (main.c:11)"]], "{report}");
}

#[test]
fn callgrind_counts_by_function_and_file() {
    let world = World::new("callgrind");
    let object = world.compile("faulty.c", FAULTY, "-O0 -g");
    let out = world.folder.join("counts");
    let tool = format!("--tool=callgrind --callgrind-out-file={}", out.display());
    world.succeed(&command(&world, Kind::InProcess, &tool, &object), &[]);
    let counts = fs::read_to_string(&out).expect("counted");
    // A name stands where its number is used first: by a function of its own, or by one that is called.
    let has = |name: &str| counts.lines().any(|line| line.contains("fn=(") && line.ends_with(&format!(") {name}")));
    for name in ["reads_behind", "loses", "main"] {
        assert!(has(name), "{name}");
    }
    let file = |line: &str| line.contains("=(") && line.ends_with("/faulty.c");
    assert!(counts.lines().any(file), "its file, by a function of its own or by one that is called");
}
