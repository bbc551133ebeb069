//! What linking at first call costs and saves: the time from an open to the first line of `main`, a function's first call, and every call after it.
//!
//! ```text
//! cargo bench -p orc-jit --bench lazy            # OBJECTS=2000 for a larger program, ROUNDS=51 for a longer look
//! ```
//!
//! The program has many objects, each with functions that call those of others, data and strings; `main` calls one. Eager and lazy opens alternate, and the
//! median of each counts. Only ratios within one run mean anything.
//!
//! `unsafe` because what was just compiled is called.
#![allow(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a bench prints its table")]

use orc_jit::{InProcess, Session, SessionOptions};
use std::error::Error;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;
type Function = extern "C" fn(i32) -> i32;

/// Functions of each object; each is a section.
const FUNCTIONS: usize = 50;
/// Calls of a function that is linked, for one measurement.
const CALLS: u32 = 1_000_000;

fn main() -> Result<()> {
    let number = |name: &str, usual| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (objects, rounds) = (number("OBJECTS", 200), number("ROUNDS", 11));
    let folder = tempfile::tempdir()?;
    compile(folder.path(), objects)?;
    let mut all = [Vec::new(), Vec::new()];
    for _ in 0..rounds.max(1) {
        for (lazy, measured) in [false, true].into_iter().zip(&mut all) {
            measured.push(measure(folder.path(), objects, lazy)?);
        }
    }
    println!("{objects} objects of {FUNCTIONS} functions; medians of {rounds}\n");
    println!("| | to the first line of `main` | first call of a function | warm call |");
    println!("|---|---|---|---|");
    for (name, measured) in ["eager", "lazy"].iter().zip(&all) {
        let [open, first, warm] = [0, 1, 2].map(|which| median(measured.iter().map(|one| one[which]).collect()));
        let (open, first) = (open.as_secs_f64() * 1e3, first.as_secs_f64() * 1e6);
        println!("| {name} | {open:.2} ms | {first:.2} µs | {:.2} ns |", warm.as_secs_f64() * 1e9 / f64::from(CALLS));
    }
    Ok(())
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort_unstable();
    all[all.len() / 2]
}

/// Writes `N.o` for each object.
fn compile(folder: &Path, objects: usize) -> Result<()> {
    let mut files = Vec::new();
    for object in 0..objects {
        let mut source = format!("int data{object} = {object};\n");
        for function in 0..FUNCTIONS {
            let (other, next) = ((object * 7 + function) % objects, (function + 1) % FUNCTIONS);
            writeln!(
                source,
                "extern int data{other}; int f{other}_{next}(int);\n\
                 int f{object}_{function}(int n) {{ static int count; return n > 1 ? f{other}_{next}(n - 1) + data{other} : ++count + n; }}"
            )?;
        }
        if object == 0 {
            source.push_str("int main(void) { return f0_0(1) > 1 ? 0 : 1; }\n");
        }
        let path = folder.join(format!("{object}.c"));
        std::fs::write(&path, source)?;
        files.push(path);
    }
    for some in files.chunks(64) {
        let mut gcc = Command::new("gcc");
        gcc.args(["-c", "-O1", "-fPIC", "-ffunction-sections", "-fdata-sections"]).args(some).current_dir(folder);
        if !gcc.status()?.success() {
            return Err("gcc, which the bench needs, failed".into());
        }
    }
    Ok(())
}

/// To the end of the open, which is when `main` can be called; a first call of a function that nobody has called; many calls of it.
fn measure(folder: &Path, objects: usize, lazy: bool) -> Result<[Duration; 3]> {
    let session = Session::new(InProcess::new(), SessionOptions { lazy, ..SessionOptions::default() })?;
    let dylib = session.add_dylib("main")?;
    for object in 0..objects {
        dylib.add_object_file(folder.join(format!("{object}.o")))?;
    }
    let start = Instant::now();
    let opened = session.open("main")?;
    let main = opened.address("main")?;
    let open = start.elapsed();
    let status = session.call_main(main, &[b"bench".to_vec()])?;
    if status != 1 && status != 0 {
        return Err(format!("main returned {status}").into());
    }
    // SAFETY: the functions were compiled so.
    let function = unsafe { opened.symbol::<Function>(&format!("f{}_3", objects - 1)) }?;
    let start = Instant::now();
    black_box(function(black_box(1)));
    let first = start.elapsed();
    let start = Instant::now();
    for _ in 0..CALLS {
        black_box(function(black_box(1)));
    }
    Ok([open, first, start.elapsed()])
}
