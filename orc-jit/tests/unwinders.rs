//! Do exceptions go through linked code whatever the process's unwinder is, however its library was linked, and whatever may be done to its pages? Each test has processes of its own.
//!
//! `unsafe` because the unwinder is asked by address, and its pages are sealed.
#![allow(clippy::print_stdout, reason = "a child tells its parent what happened")]
#![allow(unsafe_code)]

mod common;

use common::child::{in_child_with, lines};
use common::compile;
use orc_jit::{InProcess, Opened, Session};
use std::ffi::{c_char, c_int, c_long, c_void};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

unsafe extern "C" {
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    fn syscall(number: c_long, ...) -> c_long;
}

/// Throws through three frames, so often, and counts what is caught and what is destroyed.
const THROWS: &str = r#"
static int left;
struct Note { ~Note() { left++; } };
static __attribute__((noinline)) void three(int n) { Note note; throw n; }
static __attribute__((noinline)) void two(int n) { Note note; three(n); }
extern "C" int throws(int count) {
    int caught = left = 0;
    for (int n = 0; n < count; n++) {
        try { two(n); } catch (int thrown) { caught += thrown == n; }
    }
    return caught + left;
}
"#;

type Function = extern "C" fn(c_int) -> c_int;

/// A dylib of C++ that was compiled by `compiler`, for the C++ library `library`.
fn open(session: &Session, name: &str, compiler: &[&str], library: &str) -> Opened<InProcess> {
    // Found as the process finds its names: an unwinder that was loaded first comes first.
    session.open_library(library).expect("a tool of the tests");
    let dylib = session.add_dylib(name).expect("a new name");
    dylib.add_object("throws.o", compile(compiler, THROWS)).expect("an object");
    session.open(name).expect("it links")
}

fn function(opened: &Opened<InProcess>) -> Function {
    // SAFETY: `THROWS` defines it so.
    *unsafe { opened.symbol::<Function>("throws") }.expect("it is there")
}

/// Whether the unwinder itself knows the function at `address`: asked past its slots, which lead to the runtime.
fn is_known_to_the_unwinder(address: usize) -> bool {
    type Find = unsafe extern "C" fn(usize, *mut [usize; 3]) -> usize;
    // SAFETY: the null handle is that of all libraries; the name is a C string.
    let find = unsafe { dlsym(std::ptr::null_mut(), c"_Unwind_Find_FDE".as_ptr()) };
    assert!(!find.is_null());
    // SAFETY: `const void *_Unwind_Find_FDE(void *, struct dwarf_eh_bases *)`.
    let find = unsafe { std::mem::transmute::<*mut c_void, Find>(find) };
    let mut bases = [0; 3];
    // SAFETY: any address may be asked for; the result is three words.
    unsafe { find(address + 1, &raw mut bases) != 0 }
}

/// What the child of each test does, and says.
fn throw_and_tell(compiler: &[&str], library: &str) {
    let session = Session::in_process().expect("a session");
    let opened = open(&session, "throws", compiler, library);
    let throws = function(&opened);
    assert_eq!(throws(100), 300);
    let address = throws as *const () as usize;
    let known = is_known_to_the_unwinder(address);
    opened.close().expect("it closes");
    let after = is_known_to_the_unwinder(address);
    let again = open(&session, "again", compiler, library);
    assert_eq!(function(&again)(100), 300);
    println!("> the unwinder knows {known}, after the close {after}");
}

const GCC: [&str; 2] = ["g++", "-xc++"];
const OF_GCC: &str = "libstdc++.so.6";

#[track_caller]
fn said(output: &Output, expected: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}\n{stderr}", output.status);
    assert_eq!(lines(output), [expected], "{stderr}");
}

const ASKS_THE_RUNTIME: &str = "the unwinder knows false, after the close false";
const WAS_TOLD: &str = "the unwinder knows true, after the close false";

#[test]
fn libgcc_asks_the_runtime_whenever_it_was_bound() {
    let test = "libgcc_asks_the_runtime_whenever_it_was_bound";
    let each: [&[(&str, &str)]; 2] = [&[], &[("LD_BIND_NOW", "1")]];
    for env in each {
        said(&in_child_with(test, env, || throw_and_tell(&GCC, OF_GCC)), ASKS_THE_RUNTIME);
    }
}

#[test]
fn llvms_libunwind_is_told_of_each_table_and_forgets_it() {
    let test = "llvms_libunwind_is_told_of_each_table_and_forgets_it";
    let library = printed(Command::new("clang++-19").arg("-print-file-name=libunwind.so.1"));
    assert!(Path::new(&library).is_absolute(), "libunwind-19, of Debian, is a tool of the tests");
    let compiler = ["clang++-19", "-xc++", "-stdlib=libc++"];
    let each: [(&[&str], &str); 2] = [(&compiler, "libc++.so.1"), (&GCC, OF_GCC)];
    for number in ["0", "1"] {
        let output = in_child_with(test, &[("LD_PRELOAD", &library), ("ORC_TEST_NUMBER", number)], || {
            let number = std::env::var("ORC_TEST_NUMBER").expect("set by the test");
            let (compiler, of) = each[usize::from(number == "1")];
            throw_and_tell(compiler, of);
        });
        said(&output, WAS_TOLD);
    }
}

#[test]
fn slots_that_are_read_only_are_changed_and_read_only_again() {
    let test = "slots_that_are_read_only_are_changed_and_read_only_again";
    let folder = locked_libgcc();
    let folder = folder.path().display().to_string();
    let output = in_child_with(test, &[("LD_LIBRARY_PATH", &folder)], || {
        let before = pages_of_libgcc();
        throw_and_tell(&GCC, OF_GCC);
        assert_eq!(before, pages_of_libgcc());
    });
    said(&output, ASKS_THE_RUNTIME);
}

#[test]
fn an_unwinder_whose_slots_are_sealed_is_told() {
    const SYS_MSEAL: c_long = 462;
    let test = "an_unwinder_whose_slots_are_sealed_is_told";
    let folder = locked_libgcc();
    let folder = folder.path().display().to_string();
    let output = in_child_with(test, &[("LD_LIBRARY_PATH", &folder)], || {
        for (start, end, _) in pages_of_libgcc().into_iter().filter(|(.., prot)| prot == "r--p") {
            // SAFETY: nobody has to change these pages.
            let sealed = unsafe { syscall(SYS_MSEAL, start, end - start, 0_usize) };
            assert_eq!(sealed, 0, "mseal(2) of Linux 6.10 is a tool of the tests");
        }
        throw_and_tell(&GCC, OF_GCC);
    });
    said(&output, WAS_TOLD);
}

#[test]
fn a_library_with_an_unwinder_of_its_own_throws_through_linked_code() {
    const LIBRARY: &str = r#"
    static void throws(int n) { throw n; }
    extern "C" int catches(int (*through)(void (*)(int), int), int n) {
        try { return through(throws, n); } catch (int thrown) { return 10 * thrown; }
    }"#;
    const THROUGH: &str = r#"
    extern "C" int catches(int (*through)(void (*)(int), int), int n);
    static int left;
    struct Note { ~Note() { left++; } };
    static int through(void (*function)(int), int n) { Note note; function(n); return -1; }
    extern "C" int throws(int n) { return catches(through, n) + left; }"#;
    let test = "a_library_with_an_unwinder_of_its_own_throws_through_linked_code";
    let output = in_child_with(test, &[], || {
        let folder = tempfile::tempdir().expect("a folder");
        let source = folder.path().join("catches.cc");
        fs::write(&source, LIBRARY).expect("writable");
        let library = folder.path().join("libcatches.so");
        let mut gcc = Command::new("g++");
        gcc.args(["-shared", "-fPIC", "-static-libgcc", "-static-libstdc++", "-o"]).arg(&library).arg(&source);
        printed(&mut gcc);
        let session = Session::in_process().expect("a session");
        let library = session.open_library(&library.to_string_lossy()).expect("it can be opened");
        let dylib = session.add_dylib("through").expect("a new name");
        dylib.add_library(library).expect("a library");
        dylib.add_object("through.o", compile(&GCC, THROUGH)).expect("an object");
        let opened = session.open("through").expect("it links");
        println!("> {}", function(&opened)(4));
    });
    said(&output, "41");
}

/// Start, end and protection of the mappings of this process's libgcc.
fn pages_of_libgcc() -> Vec<(usize, usize, String)> {
    let maps = fs::read_to_string("/proc/self/maps").expect("Linux");
    let of_libgcc = maps.lines().filter(|line| line.ends_with("libgcc_s.so.1"));
    let parse = |line: &str| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        Some((address(start)?, address(end)?, rest.get(..4)?.to_owned()))
    };
    of_libgcc.filter_map(parse).collect()
}

#[track_caller]
fn printed(command: &mut Command) -> String {
    let output = command.output().expect("a tool of the tests");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// A folder with a libgcc_s.so.1 made of gcc's static libraries, all of whose slots are read-only once it is loaded (`-z relro -z now`).
fn locked_libgcc() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let here = |program: &str| {
        let mut command = Command::new(program);
        command.current_dir(folder.path());
        command
    };
    for archive in ["-print-libgcc-file-name", "-print-file-name=libgcc_eh.a"] {
        let archive = printed(Command::new("gcc").arg(archive));
        printed(here("ar").args(["x", &archive]));
    }
    let mut objects: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder.path()).expect("readable") {
        let path = entry.expect("readable").path();
        // These two are not for shared libraries.
        if ["morestack", "cpuinfo"].iter().any(|part| path.to_string_lossy().contains(part)) {
            continue;
        }
        show_symbols(&path);
        objects.push(path);
    }
    // The versions that the process's other libraries ask for.
    let shared = path_of_libgcc();
    let names = printed(Command::new("nm").args(["-D", "--defined-only", &shared]));
    let mut versions: std::collections::BTreeMap<&str, String> = std::collections::BTreeMap::new();
    for (name, version) in names.lines().filter_map(|line| line.rsplit(' ').next()?.split_once("@@")) {
        let globals = versions.entry(version).or_default();
        if name != version && !name.starts_with("__cpu") {
            *globals += &format!("{name};");
        }
    }
    let node = |(version, names): (&&str, &String)| match names.as_str() {
        "" => format!("{version} {{ }};\n"),
        names => format!("{version} {{ global: {names} }};\n"),
    };
    fs::write(folder.path().join("versions"), versions.iter().map(node).collect::<String>()).expect("writable");
    let mut gcc = here("gcc");
    gcc.args(["-shared", "-nostdlib", "-o", "libgcc_s.so.1"]).args(&objects);
    gcc.args(["-Wl,-soname,libgcc_s.so.1", "-Wl,-z,relro,-z,now", "-Wl,--version-script=versions", "-lc"]);
    printed(&mut gcc);
    folder
}

/// The path of this process's libgcc.
fn path_of_libgcc() -> String {
    let maps = fs::read_to_string("/proc/self/maps").expect("Linux");
    let line = maps.lines().find(|line| line.ends_with("libgcc_s.so.1")).expect("this test is linked against it");
    line[line.find('/').expect("a path")..].to_owned()
}

/// Makes the hidden symbols of an object visible: what a static libgcc hides, a shared one exports.
fn show_symbols(object: &Path) {
    const HIDDEN: u8 = 2;
    let mut bytes = fs::read(object).expect("readable");
    let word = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight")) as usize;
    // ELF64: the section headers, their number; type, offset and size of one.
    let (headers, count) = (word(&bytes, 40), usize::from(bytes[60]) | usize::from(bytes[61]) << 8);
    for header in (0..count).map(|number| headers + 64 * number) {
        if bytes[header + 4] != 2 {
            continue;
        }
        let (start, size) = (word(&bytes, header + 24), word(&bytes, header + 32));
        for other in (start..start + size).step_by(24).map(|symbol| symbol + 5) {
            if bytes[other] & 3 == HIDDEN {
                bytes[other] &= !3;
            }
        }
    }
    fs::write(object, bytes).expect("writable");
}
