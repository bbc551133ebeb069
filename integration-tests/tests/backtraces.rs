//! Do backtraces of a host application, and of Rust programs that use the `backtrace` crate, name functions, files and lines of linked code?
//!
//! Objects are compiled here by gcc and rustc with debug information. `unsafe` because what is linked is called.
#![allow(unsafe_code)]

use orc_jit::{InProcess, Session, SessionOptions};
use std::ffi::CStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

const THROUGH: &str = "\
int inner(int (*call)(void)) {
    int answer = call();
    return answer + 1;
}
int outer(int (*call)(void)) {
    return inner(call) + 1;
}
";

/// Each in words: of Rust's std, of the `backtrace` crate, of glibc.
static TRACES: Mutex<Vec<String>> = Mutex::new(Vec::new());

unsafe extern "C" {
    fn backtrace(frames: *mut *mut libc::c_void, count: i32) -> i32;
    fn backtrace_symbols(frames: *const *mut libc::c_void, count: i32) -> *mut *mut libc::c_char;
}

extern "C" fn capture() -> i32 {
    let std = std::backtrace::Backtrace::force_capture().to_string();
    let of_the_crate = format!("{:?}", backtrace::Backtrace::new());
    let mut frames = [std::ptr::null_mut(); 64];
    // SAFETY: there is room for 64 addresses; glibc gives a text for each, and one piece of memory with all of them.
    let of_glibc = unsafe {
        let count = self::backtrace(frames.as_mut_ptr(), 64);
        let texts = backtrace_symbols(frames.as_ptr(), count);
        let all = (0..count as usize).map(|at| CStr::from_ptr(*texts.add(at)).to_string_lossy().into_owned());
        let all = all.collect::<Vec<_>>().join("\n");
        libc::free(texts.cast());
        all
    };
    *TRACES.lock().expect("no panic before") = vec![std, of_the_crate, of_glibc];
    40
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}\n{errors}", output.status);
    out.into_owned()
}

/// The line of a backtrace that names `function`, and the next one.
fn frame<'t>(trace: &'t str, function: &str) -> (&'t str, &'t str) {
    let lines: Vec<&str> = trace.lines().map(str::trim).collect();
    let at = lines.iter().position(|line| line.ends_with(&format!(": {function}")));
    let at = at.unwrap_or_else(|| panic!("no frame of {function}:\n{trace}"));
    (lines[at], lines.get(at + 1).copied().unwrap_or(""))
}

#[test]
fn backtraces_of_the_host_name_frames_of_linked_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("through.c");
    fs::write(&source, THROUGH).expect("written");
    let object = folder.path().join("through.o");
    run(Command::new("gcc")
        .args(["-g", "-O1", "-fno-optimize-sibling-calls", "-fno-inline", "-c", "-o"])
        .arg(&object)
        .arg(&source));

    let options = SessionOptions { backtraces: true, ..SessionOptions::default() };
    let session = Session::new(InProcess::new(), options).expect("a session");
    let dylib = session.add_dylib("through").expect("a new name");
    dylib.add_object_file(&object).expect("an object");
    let shows = orc_rt::names::show_to_process();
    assert!(shows.slots >= 2, "{shows:?}");
    assert_eq!(shows.refused, []);
    let opened = session.open("through").expect("linked");
    type Outer = extern "C" fn(extern "C" fn() -> i32) -> i32;
    // SAFETY: it is `int outer(int (*)(void))`.
    let outer = unsafe { opened.symbol::<Outer>("outer") }.expect("defined");
    assert_eq!(outer(capture), 42);

    let traces = TRACES.lock().expect("no panic before").clone();
    let [std, of_the_crate, of_glibc] = &*traces else { panic!("{traces:?}") };
    for trace in [std, of_the_crate] {
        for (function, line) in [("inner", 2), ("outer", 6)] {
            let (_, place) = frame(trace, function);
            assert!(place.contains(&format!("through.c:{line}")), "{function} is at {place}:\n{trace}");
        }
        assert!(
            trace.contains("backtraces_of_the_host_name_frames_of_linked_code"),
            "the host's frames are there:\n{trace}"
        );
    }
    for function in ["through(inner+0x", "through(outer+0x"] {
        assert!(of_glibc.contains(function), "{of_glibc}");
    }
    opened.close().expect("nobody is inside");
}

const PROGRAM: &str = r#"
#[inline(never)]
fn deep(depth: u32) -> String {
    if depth == 0 {
        return format!("{:?}", backtrace::Backtrace::new());
    }
    let trace = deep(depth - 1);
    std::hint::black_box(trace)
}
fn main() {
    println!("{}", deep(2));
}
"#;

/// Folder of the libraries that cargo has built beside this test.
fn libraries() -> PathBuf {
    std::env::current_exe().expect("a path").parent().expect("a folder").to_owned()
}

/// The newest `lib<NAME>-*.rlib` there.
fn rlib(folder: &Path, name: &str) -> PathBuf {
    let prefix = format!("lib{name}-");
    let all = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let named = all.filter(|path| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        file.strip_prefix(&prefix).is_some_and(|rest| rest.ends_with(".rlib"))
    });
    let newest = named.max_by_key(|path| path.metadata().and_then(|data| data.modified()).ok());
    newest.unwrap_or_else(|| panic!("no {prefix}*.rlib in {}", folder.display()))
}

#[test]
fn programs_with_the_backtrace_crate_name_their_frames() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("prog.rs");
    fs::write(&source, PROGRAM).expect("written");
    let libraries = libraries();
    let of_the_crate = rlib(&libraries, "backtrace");
    let rustc = |output: &str, flags: &[&str]| {
        let output = folder.path().join(output);
        let mut command = Command::new("rustc");
        command.args(["--edition=2024", "-g", "--crate-name", "prog"]).args(flags).arg("-o").arg(&output).arg(&source);
        command.arg("--extern").arg(format!("backtrace={}", of_the_crate.display()));
        run(command.arg("-L").arg(format!("dependency={}", libraries.display())));
        output
    };
    let native = run(&mut Command::new(rustc("native", &[])));
    let object = rustc("prog.o", &["--emit=obj"]);
    let toolchain = run(Command::new("rustc").args(["--print", "target-libdir"]));
    let of_toolchain = fs::read_dir(toolchain.trim()).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut rlibs: Vec<PathBuf> =
        of_toolchain.filter(|path| path.extension().is_some_and(|end| end == "rlib")).collect();
    rlibs.sort();
    // Every library that cargo has built is offered: what the crate depends on is among them, and hashes in names tell which is meant.
    let beside = fs::read_dir(&libraries).expect("a folder").map(|entry| entry.expect("an entry").path());
    let offered = beside.filter(|path| path.extension().is_some_and(|end| end == "rlib"));
    let orc = std::env::var_os("ORC_BIN").map_or_else(|| libraries.with_file_name("orc"), PathBuf::from);
    let linked = run(Command::new(orc).arg("run").arg(&object).arg(&of_the_crate).args(offered).args(&rlibs));
    let own = |trace: &str| -> Vec<(String, String)> {
        let lines: Vec<&str> = trace.lines().map(str::trim).collect();
        let pairs = lines.windows(2).filter(|pair| pair[1].contains("prog.rs:"));
        let name = |line: &str| line.split_once(": ").map_or(line, |(_, name)| name).to_owned();
        pairs.map(|pair| (name(pair[0]), pair[1].to_owned())).collect()
    };
    assert_eq!(own(&linked), own(&native), "linked:\n{linked}\nnatively:\n{native}");
    assert_eq!(own(&linked).len(), 4, "deep three times, main once:\n{linked}");
}
