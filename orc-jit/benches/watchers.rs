//! What it costs to tell of linked code: per image, with nobody watching, with each profiler's file, with a debugger's list.
//!
//! ```text
//! cargo bench -p orc-jit --bench watchers
//! ```
//!
//! Opens and closes dylibs of 20 functions with debug information, in process. Prints medians and 99th percentiles in microseconds; only ratios within one run mean anything.

#![allow(clippy::print_stdout, reason = "a bench prints its table")]

use orc_jit::{InProcess, Session, SessionOptions, Watchers};
use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Instant;

const FUNCTIONS: usize = 20;
const OPENS: usize = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    if std::env::var_os("JITDUMPDIR").is_none() {
        // Again, with a place for the file that goes with this folder.
        let status = Command::new(std::env::current_exe()?).env("JITDUMPDIR", folder.path()).status()?;
        return if status.success() { Ok(()) } else { Err("the bench failed".into()) };
    }
    let path = folder.path().join("f.o");
    let mut gcc = Command::new("gcc")
        .args(["-O1", "-g", "-fPIC", "-c", "-x", "c", "-", "-o"])
        .arg(&path)
        .stdin(Stdio::piped())
        .spawn()?;
    let mut source = String::new();
    for number in 0..FUNCTIONS {
        writeln!(source, "int f{number}(int x) {{\n    int y = x * {number};\n    return y + x;\n}}")?;
    }
    gcc.stdin.take().ok_or("gcc takes its source from a pipe")?.write_all(source.as_bytes())?;
    if !gcc.wait()?.success() {
        return Err("gcc does not compile".into());
    }
    let object = std::fs::read(path)?;
    println!("| told | open and close an image of {FUNCTIONS} functions | against nobody |");
    println!("|---|---:|---:|");
    let nobody = row("nobody", Watchers::empty(), &object, None)?;
    row("perf map", Watchers::PERF_MAP, &object, Some(nobody))?;
    row("jitdump", Watchers::JITDUMP, &object, Some(nobody))?;
    row("a debugger's list", Watchers::DEBUGGER, &object, Some(nobody))?;
    std::fs::remove_file(format!("/tmp/perf-{}.map", std::process::id()))?;
    Ok(())
}

/// Measures with one kind of watcher; the median.
fn row(name: &str, watch: Watchers, object: &[u8], nobody: Option<f64>) -> Result<f64, Box<dyn Error>> {
    let options = SessionOptions { watch, ..SessionOptions::default() };
    let session = Session::new(InProcess::new(), options)?;
    session.add_dylib("f")?.add_object("f.o", object.to_vec())?;
    let mut times = Vec::with_capacity(OPENS);
    for _ in 0..OPENS {
        let started = Instant::now();
        session.open("f")?.close()?;
        times.push(started.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    let (median, late) = (times[OPENS / 2], times[OPENS * 99 / 100]);
    println!("| {name} | {median:.1} (99%: {late:.1}) | {:.2} |", median / nobody.unwrap_or(median));
    Ok(median)
}
