//! The files themselves, read by others: lines of perf's map as perf reads them, records by the reader that samply uses.
//!
//! What they say is held against the objects' symbol tables and bytes, against the program, which prints where it is, and against `addr2line`'s word on the same objects linked natively.

use crate::world::World;
use integration_tests::executor::Kind;
use linux_perf_data::jitdump::{JitDumpReader, JitDumpRecord};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Prints its process and where two of its functions are; the other file is C++.
const MAIN: &str = r#"
#include <stdio.h>
#include <unistd.h>
int square(int x) {
    return x * x;
}
static __attribute__((noinline)) int cube(int x) {
    int y = square(x);
    return x * y;
}
long twice(long);
int main(void) {
    printf("%d %lx %lx %d\n", getpid(), (unsigned long)main, (unsigned long)square, cube(2) + (int)twice(3));
    return 0;
}
"#;

const OTHER: &str = r#"
namespace n {
    template <class T> __attribute__((noinline)) T add(T a, T b) {
        T c = a + b;
        return c;
    }
}
extern "C" long twice(long x) {
    return n::add<long>(x, x);
}
"#;

/// A function of an object.
struct Function {
    size: u64,
    /// Its bytes, but for those that relocations change.
    bytes: Vec<Option<u8>>,
}

/// The functions of an object that have a size, by name.
fn functions(path: &Path) -> BTreeMap<String, Function> {
    let data = fs::read(path).expect("there");
    let file = object::File::parse(&*data).expect("an object");
    let mut found = BTreeMap::new();
    for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0) {
        let section = file.section_by_index(symbol.section_index().expect("defined")).expect("there");
        let mut bytes: Vec<Option<u8>> = section.data().expect("read").iter().copied().map(Some).collect();
        for (at, _) in section.relocations() {
            bytes[at as usize..at as usize + 4].fill(None);
        }
        let start = symbol.address() as usize;
        let bytes = bytes[start..start + symbol.size() as usize].to_vec();
        found.insert(symbol.name().expect("a name").to_owned(), Function { size: symbol.size(), bytes });
    }
    found
}

/// The name as people write it: both files have these, since neither samply nor, in maps, perf demangles.
fn shown(name: &str) -> &str {
    if name.starts_with("_Z") { "n::add<long>" } else { name }
}

/// Where the program says that it is: its process, `main` and `square`.
fn said(output: &str) -> (u32, u64, u64) {
    let words: Vec<&str> = output.split_whitespace().collect();
    assert_eq!(words[3], "14", "{output}");
    let address = |word: &str| u64::from_str_radix(word, 16).expect("hexadecimal");
    (words[0].parse().expect("a number"), address(words[1]), address(words[2]))
}

/// The lines of a map as perf reads them: two numbers, and a name up to the end.
fn map(path: &Path) -> BTreeMap<String, (u64, u64)> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let number = |text: &str| u64::from_str_radix(text, 16).expect("hexadecimal");
    let line = |line: &str| {
        let [start, size, name] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{line:?}") };
        (name.to_owned(), (number(start), number(size)))
    };
    text.lines().map(line).collect()
}

#[test]
fn perf_s_map_has_every_function_with_its_address_and_size() {
    let world = World::new("map");
    let objects = [world.compile("main.c", MAIN, "-O1 -g"), world.compile("other.cc", OTHER, "-O0 -g")];
    for kind in world.kinds() {
        let (process, main, square) =
            said(&world.succeed(&world.orc(kind, &format!("--profile perf-map {} {}", objects[0], objects[1])), &[]));
        let path = PathBuf::from(format!("/tmp/perf-{process}.map"));
        let metadata = fs::metadata(&path).expect("a map");
        // perf reads no map of somebody else.
        assert_eq!(
            (metadata.uid(), metadata.permissions().mode() & 0o777),
            (rustix::process::geteuid().as_raw(), 0o600)
        );
        let map = map(&path);
        fs::remove_file(&path).expect("removed");
        assert_eq!((map["main"].0, map["square"].0), (main, square), "{kind}");
        for object in &objects {
            for (name, function) in functions(&world.folder.join(object)) {
                assert_eq!(map[shown(&name)].1, function.size, "{kind}: {name}");
            }
        }
    }
}

#[test]
fn nothing_is_written_unless_it_is_asked_for() {
    let world = World::new("off");
    let objects = [world.compile("main.c", MAIN, "-O1 -g"), world.compile("other.cc", OTHER, "-O0 -g")];
    for kind in world.kinds() {
        let folder = world.folder.join("home");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).expect("made");
        let home = folder.to_string_lossy().into_owned();
        let line = world.orc(kind, &format!("{} {}", objects[0], objects[1]));
        let (process, ..) = said(&world.succeed(&line, &[("HOME", &home), ("JITDUMPDIR", &home)]));
        assert!(!PathBuf::from(format!("/tmp/perf-{process}.map")).exists(), "{kind}");
        assert_eq!(fs::read_dir(&folder).expect("there").count(), 0, "{kind}");
    }
}

/// A function as a jitdump file tells it.
#[derive(Debug, Default, Clone)]
struct Loaded {
    process: u32,
    address: u64,
    code: Vec<u8>,
    /// Offset, line, file.
    lines: Vec<(u64, u32, String)>,
    /// Size of the unwind table with its header.
    unwinding: u64,
}

/// The functions of a jitdump file by name, and whether it ends in its last record.
fn dump(path: &Path) -> (BTreeMap<String, Loaded>, bool) {
    let mut reader = JitDumpReader::new(File::open(path).expect("a file")).expect("a header");
    assert_eq!((reader.header().version, reader.header().elf_machine_arch), (1, 62));
    let (mut found, mut pending, mut closed, mut numbers) = (BTreeMap::new(), Loaded::default(), false, Vec::new());
    let mut before = reader.header().timestamp;
    while let Some(record) = reader.next_record().expect("readable") {
        assert!(record.timestamp >= before, "time goes on");
        before = record.timestamp;
        match record.parse().expect("readable") {
            JitDumpRecord::CodeDebugInfo(info) => {
                let text = |raw: &linux_perf_data::linux_perf_event_reader::RawData<'_>| {
                    String::from_utf8(raw.as_slice().into_owned()).expect("text")
                };
                pending.address = info.code_addr;
                let lines = info.entries.iter();
                pending.lines = lines.map(|it| (it.code_addr - info.code_addr, it.line, text(&it.file_path))).collect();
            }
            JitDumpRecord::CodeUnwindingInfo(info) => {
                assert_eq!(info.mapped_size, 0);
                pending.unwinding = (info.eh_frame.len() + info.eh_frame_hdr.len()) as u64;
            }
            JitDumpRecord::CodeLoad(load) => {
                assert!(pending.lines.is_empty() || pending.address == load.vma, "lines stand before their function");
                numbers.push(load.code_index);
                let name = String::from_utf8(load.function_name.as_slice().into_owned()).expect("text");
                let code = load.code_bytes.as_slice().into_owned();
                let loaded = Loaded { process: load.pid, address: load.vma, code, ..std::mem::take(&mut pending) };
                found.insert(name, loaded);
            }
            JitDumpRecord::CodeClose => closed = true,
            other => panic!("{other:?}"),
        }
    }
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    (found, closed)
}

/// The jitdump file of a process, in the folder where it was asked to be.
fn dump_of(world: &World, process: u32) -> PathBuf {
    world.folder.join(format!("jit-{process}.dump"))
}

#[test]
fn jitdump_has_every_function_with_its_bytes_and_lines() {
    let world = World::new("jitdump");
    let objects = [world.compile("main.c", MAIN, "-O1 -g"), world.compile("other.cc", OTHER, "-O0 -g")];
    let folder = world.folder.to_string_lossy().into_owned();
    world.tool("g++ main.o other.o -o native");
    let symbols = functions_of_program(&world.folder.join("native"));
    for kind in world.kinds() {
        let line = world.orc(kind, &format!("--profile jitdump {} {}", objects[0], objects[1]));
        let (process, main, square) = said(&world.succeed(&line, &[("JITDUMPDIR", &folder)]));
        let (dump, closed) = dump(&dump_of(&world, process));
        assert!(closed, "{kind}: the last record");
        assert_eq!((dump["main"].address, dump["square"].address), (main, square), "{kind}");
        for object in &objects {
            for (name, function) in functions(&world.folder.join(object)) {
                let loaded = &dump[shown(&name)];
                assert_eq!((loaded.process, loaded.code.len() as u64), (process, function.size), "{kind}: {name}");
                let differs = |(written, read): (&Option<u8>, &u8)| written.is_some_and(|written| written != *read);
                assert!(!function.bytes.iter().zip(&loaded.code).any(differs), "{kind}: {name}");
                assert!(loaded.unwinding > 0, "{kind}: {name} can be unwound");
                lines_are_those_of_addr2line(&world, &name, symbols[&name], loaded);
            }
        }
    }
}

/// Addresses of a program's functions.
fn functions_of_program(path: &Path) -> BTreeMap<String, u64> {
    let data = fs::read(path).expect("there");
    let file = object::File::parse(&*data).expect("a program");
    let text = file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text);
    text.map(|symbol| (symbol.name().expect("a name").to_owned(), symbol.address())).collect()
}

/// For each place where a line begins, what an independent tool says of the same place in the native program.
fn lines_are_those_of_addr2line(world: &World, name: &str, native: u64, loaded: &Loaded) {
    assert!(!loaded.lines.is_empty(), "{name} has lines");
    let mut last: BTreeMap<u64, (u32, &str)> = BTreeMap::new();
    for (offset, line, file) in &loaded.lines {
        assert!(*offset < loaded.code.len() as u64, "{name}: {offset:#x}");
        last.insert(*offset, (*line, file));
    }
    let places: String = last.keys().map(|offset| format!(" {:#x}", native + offset)).collect();
    let said = world.output(&format!("addr2line -e native{places}"));
    for ((offset, (line, file)), said) in last.into_iter().zip(said.lines()) {
        // It adds the discriminator of the place to some.
        let said = said.split(" (").next().expect("a part");
        assert_eq!(format!("{file}:{line}"), said, "{name}+{offset:#x}");
    }
}

/// The map of a child by fork has what its parent's has, and what is linked in the child stands there alone.
#[test]
fn a_child_has_a_map_and_a_dump_of_its_own() {
    let world = World::new("fork");
    let main = r#"
    #include <dlfcn.h>
    #include <stdio.h>
    #include <sys/wait.h>
    #include <unistd.h>
    int main(void) {
        int child = fork();
        if (child == 0) {
            void *late = dlopen("late", RTLD_NOW);
            return late ? ((int (*)(void))dlsym(late, "late_function"))() : 1;
        }
        int status;
        waitpid(child, &status, 0);
        printf("%d %d %d\n", getpid(), child, status);
        return 0;
    }
    "#;
    let (main, late) = (
        world.compile("main.c", main, "-O1 -g"),
        world.compile("late.c", "int late_function(void) { return 0; }\n", "-O1 -g"),
    );
    let folder = world.folder.to_string_lossy().into_owned();
    let line = world.orc(Kind::InProcess, &format!("--profile perf-map,jitdump --needs= {main} --dylib late {late}"));
    let said = world.succeed(&line, &[("JITDUMPDIR", &folder)]);
    let words: Vec<u32> = said.split_whitespace().map(|word| word.parse().expect("a number")).collect();
    let [parent, child, status] = words[..] else { panic!("{said}") };
    assert_eq!(status, 0);
    let maps = [parent, child].map(|process| {
        let path = PathBuf::from(format!("/tmp/perf-{process}.map"));
        let map = map(&path);
        fs::remove_file(path).expect("removed");
        map
    });
    assert!(maps[0].contains_key("main") && !maps[0].contains_key("late_function"));
    assert_eq!(maps[0]["main"], maps[1]["main"]);
    assert!(maps[1].contains_key("late_function"));
    let (parents, _) = dump(&dump_of(&world, parent));
    let (childs, _) = dump(&dump_of(&world, child));
    assert!(parents.contains_key("main") && !parents.contains_key("late_function"));
    assert_eq!(childs.keys().collect::<Vec<_>>(), ["late_function"]);
}

/// Before anything is linked: whoever asks for a profile wants one.
#[test]
fn a_place_that_takes_no_file_is_told() {
    let world = World::new("refused");
    let objects = [world.compile("main.c", MAIN, "-O1"), world.compile("other.cc", OTHER, "-O1")];
    for kind in world.kinds() {
        let line = world.orc(kind, &format!("--profile jitdump {} {}", objects[0], objects[1]));
        let outcome = world.run(&line, &[("JITDUMPDIR", "/nonexistent/folder")]);
        let errors = String::from_utf8_lossy(&outcome.stderr);
        assert_eq!((outcome.code, outcome.stdout.len()), (125, 0), "{kind}: {errors}");
        assert!(errors.contains("/nonexistent/folder") && errors.contains("JITDUMPDIR"), "{kind}: {errors}");
    }
}
