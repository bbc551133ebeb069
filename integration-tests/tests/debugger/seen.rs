//! What gdb sees of code that is linked while it watches.

use crate::world::{World, in_order};

const PROGRAM: &str = r#"#include <stdio.h>
__thread int own = 7;
static int helper(int x) {
    int twice = x * 2;
    own += twice;
    return twice;
}
int compute(int n) {
    int sum = 0;
    for (int i = 0; i < n; i++)
        sum += helper(i);
    return sum;
}
int main(int argc, char **argv) {
    int result = compute(argc + 2);
    printf("%d %d\n", result, own);
    return 0;
}
"#;

/// Stops by function before the code is there, steps, prints, looks at the stack; then by line.
const SESSION: &str = "break helper\nbreak a.c:12\nrun\nbt 3\nnext\nnext\nprint twice\nprint own\nprint &own\ndelete 1\ncontinue\nprint sum\ncontinue\n";

fn sees_everything(compiler: &str) {
    let world = World::new();
    let object = world.compile("a.c", PROGRAM, "a.o", &format!("{compiler} -c"));
    let text = world.gdb(&["--debug", &object], SESSION);
    in_order(
        &text,
        &[
            "Breakpoint 1, helper (x=0) at a.c:4",
            "#0  helper (x=0) at a.c:4",
            "#1  0x",
            " in compute (n=3) at a.c:11",
            "#2  0x",
            " in main (argc=1, argv=0x",
            "$1 = 0",
            "$2 = 7",
            "(int *) 0x",
            "Breakpoint 2, compute (n=3) at a.c:12",
            "$4 = 6",
            "6 13",
            "exited normally]",
        ],
    );
}

#[test]
fn gcc_writes_dwarf_4() {
    sees_everything("gcc -gdwarf-4 -O0");
}

#[test]
fn gcc_writes_dwarf_5_compressed() {
    sees_everything("gcc -gdwarf-5 -gz -O0");
}

#[test]
fn gcc_writes_types_and_macros_in_groups() {
    sees_everything("gcc -g3 -fdebug-types-section -ffunction-sections -O0");
}

#[test]
fn gcc_writes_code_without_call_frame_information_in_memory() {
    sees_everything("gcc -g -fno-asynchronous-unwind-tables -O0");
}

#[test]
fn clang_writes_dwarf_4() {
    sees_everything("clang-19 -gdwarf-4 -O0");
}

#[test]
fn clang_writes_dwarf_5_compressed() {
    sees_everything("clang-19 -gdwarf-5 -gz -ffunction-sections -O0");
}

/// Thread-local variables are not asked for: gdb 13 does not read how gcc 12 describes them in such files, of natively linked programs either.
#[test]
fn debug_information_is_split_into_files_of_its_own() {
    let world = World::new();
    let object = world.compile("a.c", PROGRAM, "a.o", "gcc -c -g -gsplit-dwarf -O0");
    assert!(world.path("a.dwo").exists(), "nothing was split off");
    let text = world.gdb(&["--debug", &object], "break helper\nrun\nbt 3\nprint x\ndelete\ncontinue\n");
    in_order(
        &text,
        &["helper (x=0) at a.c:4", "in compute (n=3) at a.c:11", "main (argc=1", "$1 = 0", "exited normally]"],
    );
}

#[test]
fn a_backtrace_passes_through_lines_without_variables() {
    let world = World::new();
    let object = world.compile("a.c", PROGRAM, "a.o", "clang-19 -c -g1 -O1 -fno-inline");
    // No option: gdb is there when the code is linked.
    let text = world.gdb(&[&object], "break a.c:5\nrun\nbt\n");
    in_order(&text, &["helper", "at a.c:5", "#1", "compute", "a.c:11", "#2", "main", "a.c:15", "orc_rt::"]);
}

#[test]
fn functions_of_one_name_are_told_apart_in_several_dylibs() {
    let world = World::new();
    let source = |name: &str, value: u32| {
        format!(
            "static int same(int x) {{\n    return x + {value};\n}}\nint {name}(int x) {{\n    return same(x);\n}}\n"
        )
    };
    let main = "int b(int); int c(int);\nint main(void) {\n    return b(1) + c(1) - 302;\n}\n";
    for (name, text) in [("main", main.to_owned()), ("b", source("b", 100)), ("c", source("c", 200))] {
        world.compile(&format!("{name}.c"), &text, &format!("{name}.o"), "gcc -c -g -O0");
    }
    let commands = "break same\nrun\nbt 2\ncontinue\nbt 2\ndelete\nbreak c.c:2\ninfo breakpoints\ncontinue\n";
    let text = world.gdb(&["main.o", "--dylib", "B", "b.o", "--dylib", "C", "c.o"], commands);
    in_order(&text, &["same (x=1) at b.c:2", "b (x=1) at b.c:5", "same (x=1) at c.c:2", "c (x=1) at c.c:5"]);
    in_order(&text, &["in same at c.c:2", "exited normally]"]);
}

#[test]
fn a_backtrace_passes_through_exceptions_and_templates_of_cpp() {
    let world = World::new();
    let program = r#"#include <stdexcept>
template <class T> T thrower(T value) {
    if (value > 1) throw std::runtime_error("thrown");
    return value;
}
struct Caller {
    int number = 41;
    int call() { return thrower(number); }
};
int main() {
    Caller caller;
    try { return caller.call(); } catch (const std::exception &) { return 0; }
}
"#;
    let object = world.compile("a.cc", program, "a.o", "g++ -c -g -O0");
    let text = world.gdb(
        &["a.o", "-lstdc++"],
        "catch throw\nrun\nbt\nframe function thrower<int>\nprint value\nup\nprint *this\ncontinue\n",
    );
    assert_eq!(object, "a.o");
    in_order(&text, &["thrower<int> (value=41) at a.cc:3", "Caller::call (this=0x", "at a.cc:8", "main () at a.cc:12"]);
    in_order(&text, &["$1 = 41", "$2 = {number = 41}", "exited normally]"]);
}

#[test]
fn functions_of_rust_have_names_lines_and_variables() {
    let world = World::new();
    let library = r#"#![no_std]
struct Pair { first: u32, second: u32 }
mod inside {
    #[inline(never)]
    pub fn double(value: u32) -> u32 {
        let doubled = value.wrapping_mul(2);
        doubled
    }
}
#[unsafe(no_mangle)]
pub extern "C" fn entry(value: u32) -> u32 {
    let pair = Pair { first: value, second: inside::double(value) };
    pair.first ^ pair.second
}
"#;
    let rustc = "rustc --edition 2024 --crate-type lib --emit obj -g -C panic=abort -C overflow-checks=off";
    world.compile("r.rs", library, "r.o", rustc);
    world.compile("m.c", "unsigned entry(unsigned);\nint main(void) { return entry(5) != 15; }\n", "m.o", "gcc -c -g");
    let text = world
        .gdb(&["m.o", "r.o"], "break r::inside::double\nbreak r.rs:13\nrun\nbt 3\ncontinue\nprint pair\ncontinue\n");
    in_order(&text, &["r::inside::double (value=5) at r.rs:6", "r::entry (value=5) at r.rs:12", "main () at m.c:2"]);
    in_order(&text, &["r.rs:13", "r::Pair {first: 5, second: 10}", "exited normally]"]);
}

#[test]
fn what_is_closed_is_forgotten() {
    let world = World::new();
    // Names that orc has none of: gdb would stop there, too.
    let main = r#"#include <dlfcn.h>
void b_is_open(void) {}
void b_is_closed(void) {}
int main(void) {
    void *b = dlopen("B", RTLD_NOW);
    int (*function)(void) = (int (*)(void))dlsym(b, "in_b");
    int result = function();
    b_is_open();
    dlclose(b);
    b_is_closed();
    return result;
}
"#;
    world.compile("m.c", main, "m.o", "gcc -c -g -O0");
    world.compile("b.c", "int in_b(void) {\n    return 0;\n}\n", "b.o", "gcc -c -g -O0");
    let commands = "break b.c:2\nbreak b_is_open\nbreak b_is_closed\nrun\ncontinue\ninfo line in_b\nmaint info jit\ncontinue\nmaint info jit\ninfo line in_b\n";
    let text = world.gdb(&["m.o", "--needs", "", "--dylib", "B", "b.o"], commands);
    in_order(
        &text,
        &[
            "Breakpoint 1, in_b () at b.c:2",
            "Breakpoint 2, b_is_open () at m.c:2",
            "Line 1 of \"b.c\" starts at",
            "Breakpoint 3, b_is_closed () at m.c:3",
            "Function \"in_b\" not defined",
        ],
    );
    let (with, without) = text.split_once("Breakpoint 3, b_is_closed").expect("it stopped there");
    let count = |text: &str| crate::world::entries(text).len();
    assert_eq!((count(with), count(without)), (2, 1), "one entry for each image:\n{text}");
}
