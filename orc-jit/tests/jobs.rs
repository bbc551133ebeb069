//! Does `--jobs N` change anything that one can see, and who starts threads for it?
//!
//! Threads are counted by a small library that stands in for `pthread_create`, and that can refuse, as a system does that gives no more of them.

use object::write::{Object, Relocation, StandardSection, Symbol, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationEncoding, RelocationFlags, RelocationKind, SymbolFlags,
    SymbolKind, SymbolScope, elf,
};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Objects named one by one, and members of an archive.
const NAMED: usize = 80;
const MEMBERS: usize = 70;
const UNITS: usize = NAMED + MEMBERS;
/// Pointers in the data of each unit: all of them are more than a megabyte of relocations.
const POINTERS: usize = 400;

/// How many threads were started goes to the file `$STARTED`, one line each; with `$REFUSED` none is.
const COUNTING: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
int pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *p) {
    int file = open(getenv("STARTED"), O_WRONLY | O_APPEND | O_CREAT, 0600);
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = dlsym(RTLD_NEXT, "pthread_create");
    if (file < 0 || !real || write(file, "thread\n", 7) != 7) abort();
    close(file);
    return getenv("REFUSED") ? EAGAIN : real(t, a, f, p);
}
"#;

/// Calls every unit, throws, and looks at all that was relocated, wherever it was placed.
fn main_source() -> String {
    let mut text =
        "#include <cstdio>\n#include <dirent.h>\n#include <stdexcept>\n#include <string>\nextern \"C\" {\n".to_owned();
    for unit in 0..UNITS {
        let _ = writeln!(text, "int unit_{unit}(); extern char *data_{unit}[{POINTERS}];");
    }
    let list = |name: &str| (0..UNITS).map(|unit| format!("{name}_{unit},")).collect::<String>();
    let _ = write!(
        text,
        "}}\nstatic int (*const units[])() = {{{}}};\nstatic char **const data[] = {{{}}};\nthread_local int calls = 1;\n",
        list("unit"),
        list("data"),
    );
    let _ = write!(
        text,
        r#"
int main() {{
    unsigned long sum = 0, seen = 0;
    char *first = (char *)data[0];
    for (int i = 0; i < {UNITS}; i++, calls++) {{
        try {{ if (units[i]() % 10 == 3) throw std::runtime_error(std::to_string(i)); sum += units[i](); }}
        catch (std::runtime_error const &error) {{ sum = sum * 31 + std::stoi(error.what()); }}
        for (int j = 0; j < {POINTERS}; j++) seen = seen * 33 + (unsigned long)(data[i][j] - first);
    }}
    int threads = -2; // `.` and `..`
    DIR *tasks = opendir("/proc/self/task");
    while (readdir(tasks)) threads++;
    std::printf("%lu %lx %d, threads %d\n", sum, seen, calls, threads);
    return 7;
}}
"#
    );
    text
}

/// `int unit_N(void)` gives N; `data_N` points at data of others.
fn unit(number: usize, wrong: Option<&Wrong>) -> Vec<u8> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    let (text, data) = (object.section_id(StandardSection::Text), object.section_id(StandardSection::Data));
    let symbol = |name: String, value, size, kind, section| Symbol {
        name: name.into_bytes(),
        value,
        size,
        kind,
        scope: if section == SymbolSection::Undefined { SymbolScope::Unknown } else { SymbolScope::Dynamic },
        weak: false,
        section,
        flags: SymbolFlags::None,
    };
    let mut code = vec![0xb8]; // mov $number, %eax
    code.extend((number as u32).to_le_bytes());
    code.push(0xc3); // ret
    let start = object.append_section_data(text, &code, 16);
    let defined = if wrong == Some(&Wrong::Duplicate) { 0 } else { number };
    object.add_symbol(symbol(format!("unit_{defined}"), start, 6, SymbolKind::Text, SymbolSection::Section(text)));
    let size = 8 * POINTERS as u64;
    let start = object.append_section_data(data, &vec![0; size as usize], 16);
    let own = symbol(format!("data_{number}"), start, size, SymbolKind::Data, SymbolSection::Section(data));
    let own = object.add_symbol(own);
    for at in 0..POINTERS {
        let other = (number * 7 + at * 13) % UNITS;
        let target = if other == number {
            own
        } else {
            object.add_symbol(symbol(format!("data_{other}"), 0, 0, SymbolKind::Unknown, SymbolSection::Undefined))
        };
        let flags = if wrong == Some(&Wrong::Relocation) && at == POINTERS / 2 {
            RelocationFlags::Elf { r_type: elf::RelocationType(250) }
        } else {
            let (kind, encoding) = (RelocationKind::Absolute, RelocationEncoding::Generic);
            RelocationFlags::Generic { kind, encoding, size: 64 }
        };
        let relocation = Relocation { offset: start + 8 * at as u64, symbol: target, addend: at as i64, flags };
        object.add_relocation(data, relocation).expect("a field of the section");
    }
    object.write().expect("a well-formed object")
}

#[derive(PartialEq, Eq)]
enum Wrong {
    Relocation,
    Duplicate,
}

/// A folder with a large program.
struct Large(TempDir);

impl Large {
    fn new(wrong: &[(usize, Wrong)]) -> Self {
        let large = Self(tempfile::tempdir().expect("a directory"));
        let wrong = |unit: usize| wrong.iter().find(|(number, _)| *number == unit).map(|(_, wrong)| wrong);
        for number in 0..UNITS {
            std::fs::write(large.file(&format!("u{number:03}.o")), unit(number, wrong(number))).expect("written");
        }
        std::fs::write(large.file("main.cc"), main_source()).expect("written");
        large.tool("g++", &["-O1", "-fPIC", "-c", "main.cc"]);
        let members: Vec<_> = (NAMED..UNITS).map(|number| format!("u{number:03}.o")).collect();
        let members: Vec<_> = ["rcs", "libunits.a"].into_iter().chain(members.iter().map(String::as_str)).collect();
        large.tool("ar", &members);
        large
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn tool(&self, tool: &str, arguments: &[&str]) {
        let status = Command::new(tool).args(arguments).current_dir(self.0.path()).status();
        assert!(status.unwrap_or_else(|error| panic!("the tests need {tool}: {error}")).success(), "{tool}");
    }

    fn inputs(&self) -> Vec<String> {
        let named = (0..NAMED).map(|number| format!("u{number:03}.o"));
        ["main.o".to_owned()].into_iter().chain(named).chain(["libunits.a".to_owned(), "-lstdc++".to_owned()]).collect()
    }
}

/// What can be seen of a run.
#[derive(PartialEq, Eq, Debug)]
struct Seen {
    status: Option<i32>,
    stdout: String,
    stderr: String,
    /// Addresses count from the first one.
    map: String,
}

fn run(folder: &Path, options: &[&str], inputs: &[String], variables: &[(&str, &Path)]) -> Seen {
    let map = folder.join("map");
    let _ = std::fs::remove_file(&map);
    let mut orc = Command::new(env!("CARGO_BIN_EXE_orc"));
    orc.args(["run", "--map"]).arg(&map).args(options).args(inputs).current_dir(folder);
    let output = orc.envs(variables.iter().copied()).output().expect("orc starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    let map = std::fs::read_to_string(map).unwrap_or_default();
    let address = |line: &str| u64::from_str_radix(line.get(2..18)?, 16).ok();
    let first = map.lines().find_map(address).unwrap_or(0);
    let moved = map.lines().map(|line| match address(line) {
        Some(address) if (first..first + (1 << 40)).contains(&address) => {
            format!("{:x} {}\n", address - first, &line[18..])
        }
        // Thread-local: counted from the thread pointer as it is.
        _ => format!("{line}\n"),
    });
    Seen {
        status: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
        map: moved.collect(),
    }
}

/// The same, and how many threads were started.
fn counted(folder: &Path, options: &[&str], inputs: &[String], refused: bool) -> (Seen, usize) {
    std::fs::write(folder.join("counting.c"), COUNTING).expect("written");
    let library = folder.join("counting.so");
    if !library.exists() {
        let mut gcc = Command::new("gcc");
        gcc.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(folder.join("counting.c"));
        assert!(gcc.status().expect("the tests need gcc").success());
    }
    let started = folder.join("started");
    std::fs::write(&started, "").expect("written");
    let mut variables = vec![("LD_PRELOAD", library.as_path()), ("STARTED", &started)];
    if refused {
        variables.push(("REFUSED", &started));
    }
    let seen = run(folder, options, inputs, &variables);
    (seen, std::fs::read_to_string(&started).expect("readable").lines().count())
}

#[test]
fn a_program_is_the_same_for_any_number_of_jobs() {
    let large = Large::new(&[]);
    let inputs = large.inputs();
    let alone = run(large.0.path(), &["--jobs", "1"], &inputs, &[]);
    assert_eq!((alone.status, alone.stderr.as_str()), (Some(7), ""), "{}", alone.stdout);
    assert!(alone.stdout.ends_with("threads 1\n"), "{}", alone.stdout);
    assert!(alone.map.lines().count() > 4 * UNITS, "{}", alone.map);
    for jobs in ["2", "3", "8"] {
        let seen = run(large.0.path(), &["--jobs", jobs], &inputs, &[]);
        assert!(seen == alone, "{jobs} jobs: {:?} {} {}", seen.status, seen.stdout, seen.stderr);
    }
    assert!(run(large.0.path(), &[], &inputs, &[]) == alone, "as many as there are");
}

#[test]
fn threads_are_started_for_large_links_and_only_there() {
    let large = Large::new(&[]);
    let folder = large.0.path();
    let inputs = large.inputs();
    let (alone, none) = counted(folder, &["--jobs", "1"], &inputs, false);
    assert_eq!((alone.status, none), (Some(7), 0), "{}", alone.stderr);
    let (seen, some) = counted(folder, &["--jobs", "2"], &inputs, false);
    assert!(seen == alone && some > 0, "{some} threads: {}", seen.stderr);
    // The system gives none: one thread does everything.
    let (seen, tried) = counted(folder, &["--jobs", "2"], &inputs, true);
    assert!(seen == alone && tried > 0, "{tried} tried: {}", seen.stderr);

    std::fs::write(large.file("small.c"), "#include <stdio.h>\nint main(void) { puts(\"small\"); return 0; }\n")
        .expect("written");
    large.tool("gcc", &["-c", "-fPIC", "small.c"]);
    let (seen, none) = counted(folder, &["--jobs", "8"], &["small.o".to_owned()], false);
    assert_eq!((seen.stdout.as_str(), none), ("small\n", 0));
}

#[test]
fn what_is_wrong_is_told_in_the_order_of_inputs() {
    let told = |wrong: &[(usize, Wrong)], part: &str| {
        let large = Large::new(wrong);
        let alone = run(large.0.path(), &["--jobs", "1"], &large.inputs(), &[]);
        assert_eq!((alone.status, alone.stdout.as_str()), (Some(125), ""));
        assert!(alone.stderr.contains(part), "{}", alone.stderr);
        for jobs in ["2", "3", "8"] {
            let seen = run(large.0.path(), &["--jobs", jobs], &large.inputs(), &[]);
            assert_eq!(seen, alone, "{jobs} jobs");
        }
    };
    // The wrong relocations are read by another thread, and names go on meanwhile.
    told(&[(74, Wrong::Duplicate), (72, Wrong::Relocation)], "u072.o");
    told(&[(72, Wrong::Duplicate), (74, Wrong::Relocation)], "unit_0");
    told(&[(79, Wrong::Relocation), (77, Wrong::Relocation)], "u077.o");
    // Of an archive's members.
    told(&[(NAMED + 60, Wrong::Relocation)], &format!("libunits.a(u{:03}.o)", NAMED + 60));
}

#[test]
fn a_file_that_cannot_be_read_is_the_first_one() {
    let large = Large::new(&[]);
    for unit in ["u071.o", "u011.o"] {
        std::fs::write(large.file(unit), "no object").expect("written");
    }
    let alone = run(large.0.path(), &["--jobs", "1"], &large.inputs(), &[]);
    assert!(alone.status == Some(125) && alone.stderr.contains("u011.o"), "{}", alone.stderr);
    assert_eq!(run(large.0.path(), &["--jobs", "8"], &large.inputs(), &[]), alone);
}
