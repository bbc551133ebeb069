//! Does the file that debuggers get say of each instruction what a native link of the same objects says?

use crate::world::{World, entries};
use std::collections::{BTreeMap, BTreeSet};

/// Two objects that share an inline function, a template and types, with something that nobody reaches.
const HEADER: &str = r#"#pragma once
#include <vector>
__attribute__((noinline)) inline int shared(int x) {
    static int calls;
    return x + ++calls;
}
template <class T> __attribute__((noinline)) T sum(const std::vector<T> &all) {
    T result = 0;
    for (T one : all) result += one;
    return result;
}
int other(int x);
"#;
const MAIN: &str = r#"#include "h.h"
static int unreached(int x) { return shared(x) * 3; }
int (*keep)(int) = unreached;
int main(int argc, char **) {
    std::vector<int> all = {1, 2, argc};
    return shared(sum(all)) + other(argc) == 0;
}
"#;
const OTHER: &str = r#"#include "h.h"
int other(int x) {
    std::vector<int> all(3, x);
    if (x > 100) throw 1;
    return sum(all) + shared(x);
}
"#;

/// Address and size of each function, by name.
fn functions(world: &World, file: &str) -> BTreeMap<String, (u64, u64)> {
    let text = world.native(&["nm", "-S", "--defined-only", file]);
    let functions = text.lines().filter_map(|line| {
        let [address, size, kind, name] = line.split_whitespace().collect::<Vec<_>>()[..] else { return None };
        let number = |text| u64::from_str_radix(text, 16).ok();
        "tTwW".contains(kind).then_some((name.to_owned(), (number(address)?, number(size)?)))
    });
    functions.collect()
}

/// What addr2line says of each byte of a function.
fn lines(world: &World, file: &str, (address, size): (u64, u64)) -> String {
    let addresses: Vec<String> = (address..address + size).map(|address| format!("{address:#x}")).collect();
    let mut words = vec!["addr2line", "-f", "-i", "-e", file];
    words.extend(addresses.iter().map(String::as_str));
    world.native(&words)
}

/// GNU ld lets what is said of a copy that was dropped mean the one that was kept; here, as in lld, it has a tombstone, which is in no range of its
/// unit, and which several have in common.
const OF_TOMBSTONES: [&str; 3] = [
    "DIE address ranges are not contained by parent ranges",
    "DIEs have overlapping address ranges",
    "DIE has overlapping DW_AT_ranges",
];

/// The kinds of faults that llvm-dwarfdump finds in debug information; compilers make some themselves.
fn faults(world: &World, file: &str) -> BTreeSet<String> {
    let text = world.output(&["llvm-dwarfdump-19", "--verify", file]);
    assert!(text.contains("Verifying .debug_info") && text.contains("rrors"), "{text}");
    let faults = text.lines().filter_map(|line| line.strip_prefix("error: ")?.split_once(" occurred "));
    faults.map(|(fault, _)| fault.to_owned()).collect()
}

fn says_what_a_native_link_says(compiler: &str) {
    let world = World::new();
    std::fs::write(world.path("h.h"), HEADER).expect("a header can be written");
    world.compile("a.cc", MAIN, "a.o", &format!("{compiler} -c"));
    world.compile("b.cc", OTHER, "b.o", &format!("{compiler} -c"));
    world.native(&["g++", "-no-pie", "a.o", "b.o", "-o", "native"]);

    // Where the file is, and then its bytes, in the same order of events.
    let arguments = ["a.o", "b.o", "-lstdc++"];
    let text = world.gdb(&arguments, "break other\nrun\nmaint info jit\n");
    let (file, size) = *entries(&text).first().unwrap_or_else(|| panic!("no entry:\n{text}"));
    let dump = "break other\nrun\nmaint info jit\npython\nimport re\nt = gdb.execute('maint info jit', to_string=True)\nm = re.findall(r'0x\\S+\\s+(0x\\S+)\\s+(\\d+)', t)[0]\nopen('image', 'wb').write(gdb.selected_inferior().read_memory(int(m[0], 16), int(m[1])).tobytes())\nend\n";
    let text = world.gdb(&arguments, dump);
    assert!(file != 0 && size > 0 && world.path("image").exists(), "{text}");

    let (ours, theirs) = (functions(&world, "image"), functions(&world, "native"));
    let mut compared = 0;
    for (name, place) in &ours {
        let Some(native) = theirs.get(name).filter(|native| native.1 == place.1 && place.1 > 0) else { continue };
        let (here, there) = (lines(&world, "image", *place), lines(&world, "native", *native));
        assert!(here.contains(".cc:") || here.contains(".h:"), "{name} has no lines:\n{here}");
        assert_eq!(here, there, "{name}");
        compared += 1;
    }
    assert!(compared >= 4, "few functions are in both: {ours:?}\n{theirs:?}");
    let (here, there) = (faults(&world, "image"), faults(&world, "native"));
    let new: Vec<&String> =
        here.iter().filter(|fault| !there.contains(*fault) && !OF_TOMBSTONES.contains(&&***fault)).collect();
    assert!(new.is_empty(), "{new:?} are not in a native link, which has {there:?}");
}

#[test]
fn gcc() {
    says_what_a_native_link_says("g++ -g -O1 -gz");
}

#[test]
fn gcc_with_a_section_for_each_function() {
    says_what_a_native_link_says("g++ -g -O1 -gdwarf-4 -ffunction-sections -fdebug-types-section");
}

#[test]
fn clang() {
    says_what_a_native_link_says("clang++-19 -g -O1 -ffunction-sections");
}
