//! Does a rule hold for both, and does each fail when it is made false?

use super::support::{Bench, Case};

/// The rules of a text, each on a line of its own.
fn rules(text: &str) -> Vec<String> {
    let mut rules = Vec::new();
    let mut unfinished = String::new();
    for line in text.lines().filter_map(|line| line.trim().strip_prefix("# jitlink-check:")) {
        match line.strip_suffix('\\') {
            Some(part) => unfinished.push_str(part),
            None => rules.push(format!("{}{line}", std::mem::take(&mut unfinished)).trim().to_owned()),
        }
    }
    rules
}

#[test]
fn every_case_of_the_corpus_holds_for_both() {
    let cases = Case::all();
    assert!(!cases.is_empty());
    for case in cases {
        let bench = Bench::new();
        let mut arguments = case.make(&bench);
        arguments.extend(["-check", "case.o.s"]);
        let (orc, llvm) = (bench.orc(&arguments), bench.llvm(&arguments));
        assert_eq!((llvm.status, llvm.stderr.as_str()), (Some(0), ""), "llvm-jitlink: {}", case.name);
        assert_eq!((orc.status, orc.stderr.as_str()), (Some(0), ""), "orc: {}", case.name);
    }
}

#[test]
fn every_rule_fails_when_it_is_made_false() {
    for case in Case::all() {
        let bench = Bench::new();
        let mut arguments = case.make(&bench);
        let rules = rules(&case.text);
        let wrong: Vec<String> = rules.iter().map(|rule| format!("# jitlink-check: {rule} + 1\n")).collect();
        bench.write("wrong.txt", wrong.concat());
        arguments.extend(["-check", "wrong.txt"]);
        let ended = bench.orc(&arguments);
        assert_eq!(ended.status, Some(1), "{}", case.name);
        // A load takes what follows it: such a rule reads elsewhere, and may happen to hold.
        let loads_last =
            |rule: &&String| rule.rsplit('=').next().is_some_and(|side| side.trim_start().starts_with('*'));
        let expected = rules.len() - rules.iter().filter(loads_last).count();
        let told = ended.stderr.lines().filter(|line| line.contains(" is false: 0x")).count();
        assert!(told >= expected, "{}: {told} of {expected} rules\n{}", case.name, ended.stderr);
        assert!(ended.stderr.ends_with("llvm-jitlink error: Some checks in wrong.txt failed\n"), "{}", ended.stderr);
        assert_eq!(bench.llvm(&arguments).status, Some(1), "{}", case.name);
    }
}

/// An object with a function, a call of nobody, data.
const SMALL: &str = "\
    .globl main\nmain: retq\n.globl f\nf: callq g@plt\n.data\n.globl d\nd: .quad 0x1122334455667788\n.size d, 8\n";

#[test]
fn rules_that_cannot_be_evaluated_fail() {
    let bench = Bench::new();
    bench.object("a.o", SMALL);
    for rule in [
        "d = 0",
        "nobody = 0",
        "d = ",
        "(d = d",
        "*{3}d = 0",
        "decode_operand(f, 7) = 0",
        "decode_operand(f - 1, 0) = 0",
        "next_pc(nobody) = 0",
        "section_addr(a.o, .nothing) = 0",
        "section_addr(b.o, .data) = 0",
        "got_addr(a.o, d) = 0",
        "stub_addr(a.o, d) = 0",
        "frob(d) = 0",
        "d = d extra",
    ] {
        bench.write("rules.txt", format!("# jitlink-check: {rule}\n"));
        bench.both(&["-noexec", "-abs", "g=0x1", "-check", "rules.txt", "a.o"], 1);
    }
    // llvm-jitlink 19 lets one pass that compares nothing.
    bench.write("rules.txt", "# jitlink-check: d\n");
    let ended = bench.orc(&["-noexec", "-abs", "g=0x1", "-check", "rules.txt", "a.o"]);
    assert_eq!(ended.status, Some(1), "{ended:?}");
}

#[test]
fn rules_have_a_name_and_there_must_be_one() {
    let bench = Bench::new();
    bench.object("a.o", SMALL);
    bench.write("rules.txt", "  # jitlink-check: *{8}d = 0x1122334455667788\n# other: *{1}d = 0x88\n# wrong: d = 0\n");
    let common = ["-noexec", "-abs", "g=0x1", "a.o", "-check", "rules.txt"];
    bench.both(&common, 0);
    for (name, status) in [("other", 0), ("wrong", 1), ("none", 1)] {
        bench.both(&[&common[..], &["-check-name", name]].concat(), status);
    }
    bench.write("empty.txt", "");
    bench.both(&[&common[..], &["-check", "empty.txt"]].concat(), 1);
    bench.both(&[&common[..], &["-check", "absent.txt"]].concat(), 1);
}

#[test]
fn files_of_one_name_cannot_be_told_apart() {
    let bench = Bench::new();
    bench.object("a.o", SMALL);
    std::fs::create_dir(bench.path("sub")).unwrap();
    bench.object("sub/a.o", ".globl other\nother: retq\n");
    bench.write("rules.txt", "# jitlink-check: d = d\n");
    bench.both(&["-noexec", "-abs", "g=0x1", "a.o", "sub/a.o"], 0);
    // llvm-jitlink 19 takes the first.
    let ended = bench.orc(&["-noexec", "-abs", "g=0x1", "a.o", "sub/a.o", "-check", "rules.txt"]);
    assert_eq!(ended.status, Some(1), "{ended:?}");
}

/// llvm-jitlink 19 has other answers to these: it writes the target's address where a relaxed call or jump has its distance, and dies of a load of zeros.
#[test]
fn rules_that_llvm_gets_wrong() {
    let bench = Bench::new();
    let text = "\
        .globl main\nmain: retq\n\
        .globl calls\ncalls: call *near@GOTPCREL(%rip)\n.size calls, .-calls\n\
        .globl jumps\njumps: jmp *near@GOTPCREL(%rip)\n.size jumps, .-jumps\n\
        .bss\n.globl zeros\nzeros: .zero 32\n.size zeros, 32\n";
    bench.object("a.o", text);
    let rules = "\
        # jitlink-check: decode_operand(calls, 0) = near - next_pc(calls)\n\
        # jitlink-check: *{2}calls = 0xe867\n\
        # jitlink-check: decode_operand(jumps, 0) = near - next_pc(jumps)\n\
        # jitlink-check: *{1}jumps = 0xe9\n\
        # jitlink-check: *{1}jumps + 5 = 0x90\n\
        # jitlink-check: *{8}zeros = 0\n\
        # jitlink-check: *{1}zeros + 31 = 0\n";
    bench.write("rules.txt", rules);
    let slab = ["-slab-allocate", "100Kb", "-slab-address", "0xfff00000", "-slab-page-size", "4096"];
    let line = ["-noexec", "a.o", "-abs", "near=0xffe00000", "-check", "rules.txt"];
    let ended = bench.orc(&[&line[..], &slab].concat());
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""));
}
