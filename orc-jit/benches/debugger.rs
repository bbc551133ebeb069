//! What it costs that debuggers are told of linked code: ten thousand objects in one batch, and a thousand batches of one object, when nobody watches, when
//! the list is kept for one that comes later, and with a real gdb that reads it. Each row is a process of its own.
//!
//! `cargo bench -p orc-jit --bench debugger`; OBJECTS=1000 BATCHES=100 for less. Needs gcc and gdb.
#![allow(clippy::print_stdout, reason = "a bench prints its table")]

use orc_jit::{InProcess, Session, SessionOptions, Watchers};
use std::error::Error;
use std::process::Command;
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The name that each object has another of, of the same length.
const NAME: &str = "function_00000";
const SOURCE: &str = "static int shared;\nint function_00000(int x) {\n    int twice = x * 2;\n    shared += twice;\n    return twice + shared;\n}\n";

/// How a row is run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Watched {
    Nobody,
    Listed,
    Gdb,
}

const ROWS: [(Watched, &str); 3] =
    [(Watched::Nobody, "nobody watches"), (Watched::Listed, "--debug"), (Watched::Gdb, "gdb is there")];

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|word| word == "--row") {
        let [shape, listed, template] = &arguments[at + 1..] else { return Err("--row SHAPE LISTED OBJECT".into()) };
        let seconds = measure(shape, listed == "listed", &std::fs::read(template)?)?;
        println!("took {}", seconds.as_secs_f64());
        return Ok(());
    }
    let folder = std::env::temp_dir().join(format!("debugger-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("t.c"), SOURCE)?;
    let compiled = Command::new("gcc").args(["-c", "-g", "-O0", "t.c", "-o", "t.o"]).current_dir(&folder).status()?;
    if !compiled.success() {
        return Err("gcc could not compile".into());
    }
    let template = folder.join("t.o").display().to_string();
    for (shape, title) in [("objects", "objects in one batch"), ("batches", "batches of one object")] {
        println!("{} {title}, opened", count(shape)?);
        let mut first = None;
        for (watched, name) in ROWS {
            let took = row(shape, watched, &template)?;
            let base = *first.get_or_insert(took);
            let each = took.as_secs_f64() * 1e6 / count(shape)? as f64;
            let ratio = took.as_secs_f64() / base.as_secs_f64();
            println!("  {name:16} {:>9.1} ms {each:>9.1} us each {ratio:>7.2}x", took.as_secs_f64() * 1e3);
        }
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

fn count(shape: &str) -> Outcome<usize> {
    let (variable, usual) = if shape == "objects" { ("OBJECTS", 10_000) } else { ("BATCHES", 1_000) };
    Ok(std::env::var(variable).ok().map_or(Ok(usual), |text| text.parse())?)
}

/// One row, in a process of its own.
fn row(shape: &str, watched: Watched, template: &str) -> Outcome<Duration> {
    let this = std::env::current_exe()?;
    let listed = if watched == Watched::Listed { "listed" } else { "unlisted" };
    let mut command = match watched {
        Watched::Gdb => {
            let mut command = Command::new("gdb");
            command.args(["-q", "-nx", "-batch", "-ex", "run", "--args"]).arg(this).env("DEBUGINFOD_URLS", "");
            command
        }
        _ => Command::new(this),
    };
    let output = command.args(["--row", shape, listed, template]).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let seconds = text.lines().find_map(|line| line.strip_prefix("took ")?.trim().parse().ok());
    let seconds: f64 = seconds.ok_or_else(|| format!("no time: {text}{}", String::from_utf8_lossy(&output.stderr)))?;
    Ok(Duration::from_secs_f64(seconds))
}

fn measure(shape: &str, listed: bool, template: &[u8]) -> Outcome<Duration> {
    let watch = if listed { Watchers::DEBUGGER } else { Watchers::empty() };
    let session = Session::new(InProcess::new(), SessionOptions { watch, ..SessionOptions::default() })?;
    let count = count(shape)?;
    let mut open = Vec::new();
    if shape == "objects" {
        let main = session.add_dylib("main")?;
        for number in 0..count {
            main.add_object(format!("{number}.o"), renamed(template, number))?;
        }
        let started = Instant::now();
        open.push(session.open("main")?);
        return Ok(started.elapsed());
    }
    for number in 0..count {
        session.add_dylib(&format!("dylib {number}"))?.add_object(format!("{number}.o"), renamed(template, number))?;
    }
    let started = Instant::now();
    for number in 0..count {
        open.push(session.open(&format!("dylib {number}"))?);
    }
    Ok(started.elapsed())
}

/// The object with another name in place of [`NAME`], wherever it stands.
fn renamed(template: &[u8], number: usize) -> Vec<u8> {
    let (old, new) = (NAME.as_bytes(), format!("function_{number:05}"));
    let mut bytes = template.to_vec();
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(old.len()).position(|window| window == old) {
        bytes[at + found..at + found + old.len()].copy_from_slice(new.as_bytes());
        at += found + old.len();
    }
    bytes
}
