//! `unsafe` has an address: these files and no others, each of which says why.

use super::tree::{MEMBERS, Source, has_word, read, sources};
use crate::refuse;

/// Files that may hold `unsafe`, and what only it can do there. A path that ends in `/` is a folder.
const LISTED: &[(&str, &str)] = &[
    ("jitlink/src/file.rs", "maps input files"),
    ("orc-jit/benches/cache.rs", "reads the kernel's accounts of its children"),
    ("orc-jit/benches/cycles.rs", "calls what it has just linked"),
    ("orc-jit/benches/memory.rs", "asks the C library for its accounts"),
    ("orc-jit/benches/lazy.rs", "calls what it has just compiled"),
    ("orc-jit/benches/tls.rs", "calls what it has just compiled"),
    ("orc-jit/benches/unwinding.rs", "calls what it has just compiled, registers tables by address"),
    ("orc-jit/benches/opening/main.rs", "calls what it has just compiled"),
    ("orc-jit/src/bin/orc/phases/ending.rs", "is called when the process ends"),
    ("orc-jit/src/bin/orc/signals.rs", "sets what signals do to the command"),
    ("orc-jit/src/executor/in_process.rs", "promises the runtime that what is registered is what was linked"),
    ("orc-jit/src/executor/remote/memory.rs", "makes slices of memory that it shares with an executor"),
    ("orc-jit/src/executor/remote/place/start.rs", "has something done between fork and exec"),
    ("orc-jit/src/symbol.rs", "makes functions and references of addresses"),
    ("orc-jit/tests/", "calls what it has just compiled"),
    ("orc-rt/examples/llvm_executor.rs", "takes descriptors as numbers"),
    ("orc-rt/src/call.rs", "calls what was linked"),
    ("orc-rt/src/capi.rs", "is called from C, with C's pointers"),
    ("orc-rt/src/copies/area.rs", "writes memory that it hands out by address"),
    ("orc-rt/src/copies/mod.rs", "copies data of shared libraries while they run"),
    ("orc-rt/src/copies/plan.rs", "changes what shared libraries refer to"),
    ("orc-rt/src/crash/handler.rs", "handles signals that end a process, calls handlers of before by address"),
    ("orc-rt/src/crash/note.rs", "reads what the kernel says of a signal"),
    ("orc-rt/src/crash/reporter.rs", "has a copy of the process write a report"),
    ("orc-rt/src/crash/stack.rs", "gives threads a stack for signal handlers"),
    ("orc-rt/src/crash/walk.rs", "walks stacks that may be damaged"),
    ("orc-rt/src/darwin/mod.rs", "is called from C, with C's pointers"),
    ("orc-rt/src/darwin/x86_64.rs", "has entry points that C cannot express"),
    ("orc-rt/src/debug/gdb.rs", "keeps the list that debuggers read"),
    ("orc-rt/src/debug/jitdump.rs", "maps its file, reads the clock, is called at exit"),
    ("orc-rt/src/debug/profile.rs", "reads code and unwind tables by address"),
    ("orc-rt/src/debug/valgrind.rs", "maps pages over code"),
    ("orc-rt/src/lazy.rs", "keeps errno as it is between a call and its function"),
    ("orc-rt/src/llvm/debugger.rs", "shows debuggers what the controller names by address"),
    ("orc-rt/src/llvm/frames.rs", "reads unwind tables by address"),
    ("orc-rt/src/llvm/memory.rs", "writes to pages that the controller names by address"),
    ("orc-rt/src/llvm/names.rs", "is called from C, with C's pointers"),
    ("orc-rt/src/llvm/process.rs", "stands in for functions of the unwinder"),
    ("orc-rt/src/llvm/programs.rs", "calls functions by address"),
    ("orc-rt/src/llvm/reservation.rs", "fills and protects pages that the controller names by address"),
    ("orc-rt/src/llvm/shared.rs", "maps a file over what was reserved"),
    (
        "orc-rt/src/machine/",
        "reads the thread pointer and what signals have interrupted, has entry points that C cannot express",
    ),
    ("orc-rt/src/loader.rs", "runs initializers and finalizers by address"),
    ("orc-rt/src/names/files.rs", "owns descriptors by their number"),
    ("orc-rt/src/names/mod.rs", "is called from C, with C's pointers"),
    ("orc-rt/src/names/objects.rs", "calls back into C, with pointers into what it keeps"),
    ("orc-rt/src/names/process.rs", "changes where the process's libraries call"),
    ("orc-rt/src/names/trace.rs", "takes C arrays, gives memory of malloc(3)"),
    ("orc-rt/src/native.rs", "speaks with the system's dynamic loader"),
    ("orc-rt/src/remove.rs", "runs finalizers and writes slots by address"),
    ("orc-rt/src/run.rs", "runs a main by address"),
    ("orc-rt/src/sandbox/state.rs", "asks descriptors that it finds by number what they are"),
    ("orc-rt/src/serve.rs", "makes a session whose controller is trusted"),
    ("orc-rt/src/serve/ending.rs", "ends a process at once"),
    ("orc-rt/src/serve/fault.rs", "handles signals that end a process"),
    ("orc-rt/src/serve/inherited.rs", "owns descriptors that it was left"),
    ("orc-rt/src/serve/service.rs", "runs what the controller has linked"),
    ("orc-rt/src/serve/signals.rs", "sets what signals do to an executor"),
    ("orc-rt/src/serve/supervisor.rs", "forks"),
    ("orc-rt/src/serve/worker.rs", "makes a session whose controller is trusted"),
    ("orc-rt/src/session.rs", "takes the caller's word for addresses in images and plans"),
    ("orc-rt/src/slots.rs", "changes where shared libraries call each other"),
    ("orc-rt/src/started.rs", "starts threads with functions and arguments that come as C pointers"),
    ("orc-rt/src/signal_mask.rs", "sets masks of signals"),
    ("orc-rt/src/slab/arena.rs", "changes the protection of pages"),
    ("orc-rt/src/slab/mod.rs", "makes slices of reserved memory"),
    ("orc-rt/src/sys/linux/code.rs", "maps pages of files over others, hears of forks"),
    ("orc-rt/src/sys/linux/loaded.rs", "reads tables of shared libraries, changes their words"),
    ("orc-rt/src/sys/linux/pages.rs", "maps, protects and unmaps"),
    ("orc-rt/src/sys/linux/view.rs", "maps a file twice"),
    ("orc-rt/src/tls/dynamic.rs", "allocates every thread's blocks"),
    ("orc-rt/src/tls/exit.rs", "hands destructors to the C library"),
    ("orc-rt/src/tls/mod.rs", "takes the linker's word for places of variables"),
    ("orc-rt/src/tls/modules.rs", "reads the dynamic loader's tables"),
    ("orc-rt/src/tls/pool.rs", "writes what threads begin with"),
    ("orc-rt/src/tls/reserve.rs", "loads modules that ask for thread-local variables and storage"),
    ("orc-rt/src/tls/threads.rs", "writes other threads' variables"),
    ("orc-rt/src/tls/seen.rs", "starts threads in place of the C library"),
    ("orc-rt/src/unwind/hook.rs", "changes what the unwinder calls, and is called by it"),
    ("orc-rt/src/unwind/index.rs", "follows pointers that other threads take away"),
    ("orc-rt/src/unwind/mod.rs", "reads unwind tables by address, hands them to the unwinder"),
    ("orc-rt/src/wrapper.rs", "gives and takes memory of malloc(3)"),
    ("orc-rt/tests/", "plays the part of linked code and of a controller without a linker"),
    ("integration-tests/benches/small/", "calls what it has just linked"),
    ("integration-tests/src/scoreboard/measure.rs", "asks the system what a whole tree of processes used"),
    ("integration-tests/src/bin/hardened.rs", "asks the kernel for a hardened process"),
    ("integration-tests/tests/backtraces.rs", "calls what it has just linked"),
    ("integration-tests/tests/glibc_oracle/side.rs", "calls what it has just linked"),
    ("integration-tests/examples/late_library.rs", "is called from C"),
    ("integration-tests/examples/ring_transport.rs", "reads and writes memory that two sides share"),
];

/// Packages without any, where not even an attribute could allow it.
const FORBIDDEN: [&str; 2] = ["dispatch", "dylib-graph"];

fn listed(path: &str) -> bool {
    LISTED.iter().any(|(entry, _)| *entry == path || entry.ends_with('/') && path.starts_with(entry))
}

fn uses(source: &Source) -> impl Iterator<Item = usize> + '_ {
    source.numbered().filter(|(_, line)| has_word(&line.code, "unsafe")).map(|(number, _)| number)
}

#[test]
fn unsafe_stands_in_listed_files_only() {
    let sources = sources();
    let mut breaches = Vec::new();
    for source in sources.iter().filter(|source| !listed(&source.path)) {
        breaches.extend(uses(source).map(|number| format!("{}:{number}", source.path)));
        let allows = |code: &str| code.contains("unsafe_code") && (code.contains("allow(") || code.contains("expect("));
        let allowing = source.numbered().filter(|(_, line)| allows(&line.code));
        breaches.extend(allowing.map(|(number, _)| format!("{}:{number}: allows it", source.path)));
    }
    for (entry, _) in LISTED {
        let mut of_entry = sources.iter().filter(|source| source.path.starts_with(entry));
        if !of_entry.any(|source| uses(source).next().is_some()) {
            breaches.push(format!("{entry}: listed without need"));
        }
    }
    refuse("`unsafe` stands in the files that this test lists, each with its reason", breaches);
}

#[test]
fn every_crate_root_denies_unsafe_code() {
    let mut breaches = Vec::new();
    for source in sources() {
        let Some((member, file)) = source.path.split_once("/src/") else { continue };
        let root = file == "lib.rs"
            || file.starts_with("bin/") && (file.ends_with("/main.rs") || file.matches('/').count() == 1);
        if !root || member == "integration-tests" {
            continue;
        }
        let level = if FORBIDDEN.contains(&member) { "#![forbid(unsafe_code)]" } else { "#![deny(unsafe_code)]" };
        let forbids = |line: &str| line.starts_with(level) || line.starts_with("#![forbid(unsafe_code)]");
        if !source.lines.iter().any(|line| forbids(&line.code)) {
            breaches.push(format!("{}: has no `{level}`", source.path));
        }
    }
    refuse("`unsafe` is denied for a whole crate, and allowed where it is listed", breaches);
}

#[test]
fn files_with_unsafe_say_why_at_their_head() {
    let mut breaches = Vec::new();
    let holds =
        |source: &&Source| source.path.contains("/src/") && listed(&source.path) && uses(source).next().is_some();
    for source in sources().iter().filter(holds) {
        let reasoned = |code: &str| code.contains("expect(unsafe_code, reason =");
        let says = source.head().contains("`unsafe` because") || source.lines.iter().any(|line| reasoned(&line.code));
        if !says {
            breaches.push(format!("{}:1: no sentence with \"`unsafe` because\" in its head", source.path));
        }
    }
    refuse("a file that may hold `unsafe` opens with why", breaches);
}

#[test]
fn crate_roots_name_their_files_with_unsafe() {
    let mut breaches = Vec::new();
    for (entry, _) in LISTED.iter().filter(|(entry, _)| entry.contains("/src/")) {
        let (member, file) = entry.split_once("/src/").expect("filtered");
        let (root, file) = match file.strip_prefix("bin/").and_then(|file| file.split_once('/')) {
            Some((command, file)) => (format!("{member}/src/bin/{command}/main.rs"), file),
            None => (format!("{member}/src/lib.rs"), file),
        };
        let stem = file.trim_end_matches(".rs");
        if !passage(&read(&root)).split('`').any(|name| name == file || name == stem) {
            breaches.push(format!("{root}: does not name `{file}`"));
        }
    }
    for member in MEMBERS.iter().filter(|member| **member != "integration-tests") {
        let root = format!("{member}/src/lib.rs");
        for name in passage(&read(&root)).split('`').skip(1).step_by(2).filter(|name| name.ends_with(".rs")) {
            if !listed(&format!("{member}/src/{name}")) {
                breaches.push(format!("{root}: names `{name}`, which may hold none"));
            }
        }
    }
    refuse("the list of files with `unsafe` in a crate's root is this test's list", breaches);
}

/// What a crate's root says about `unsafe`: the line that denies it, and the chapter of its documentation.
fn passage(root: &str) -> String {
    let denial = root.lines().filter(|line| line.contains("(unsafe_code)"));
    let chapter = root
        .lines()
        .skip_while(|line| !line.starts_with("//! # Unsafe code"))
        .take_while(|line| line.starts_with("//!"));
    denial.chain(chapter).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_unsafe_block_is_argued() {
    /// Lines between the argument and the block, when a statement takes several.
    const NEAR: usize = 8;
    let mut breaches = Vec::new();
    for source in sources() {
        for (number, line) in source.numbered() {
            let needs = ["unsafe {", "unsafe impl"].iter().any(|what| line.code.contains(what));
            let first = number.saturating_sub(1 + NEAR);
            let argued = source.lines[first..number].iter().any(|line| line.comment.contains("SAFETY:"));
            if needs && !argued {
                breaches.push(format!("{}:{number}: {}", source.path, line.text.trim()));
            }
        }
    }
    refuse("an `unsafe` block or impl has its argument in a `// SAFETY:` comment right above", breaches);
}

#[test]
fn every_unsafe_function_says_what_is_promised() {
    let mut breaches = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        for (number, line) in source.shipped() {
            let declared = line.code.trim_start().split('{').next().unwrap_or_default();
            // What is private to a file has its callers in sight.
            let function = declared.starts_with("pub") && declared.contains("unsafe ") && declared.contains("fn ");
            if !function {
                continue;
            }
            let above = source.lines[..number - 1].iter().rev();
            let attached = |line: &&super::tree::Line| line.text.trim_start().starts_with(['/', '#']);
            if !above
                .take_while(attached)
                .any(|line| line.comment.contains("# Safety") || line.comment.contains("SAFETY:"))
            {
                breaches.push(format!("{}:{number}: {declared}", source.path));
            }
        }
    }
    refuse("an `unsafe fn` for others has a `# Safety` chapter", breaches);
}
