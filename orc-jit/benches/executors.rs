//! What an executor costs: to start, to link and run a function in, to be asked something.
//!
//! ```text
//! cargo bench -p orc-jit --bench executors
//! ```
//!
//! Prints medians and 99th percentiles in microseconds; only ratios within one run mean anything.

#![allow(clippy::print_stdout, reason = "a bench prints its table")]

use orc_jit::executor::remote::{Place, RemoteOptions};
use orc_jit::{Executor, InProcess, Remote, Session, SessionOptions};
use std::error::Error;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const STARTS: usize = 60;
const OPENS: usize = 2_000;
const LOOKUPS: usize = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let object = folder.path().join("f.o");
    let mut gcc = Command::new("gcc")
        .args(["-O1", "-fPIC", "-c", "-x", "c", "-", "-o"])
        .arg(&object)
        .stdin(Stdio::piped())
        .spawn()?;
    gcc.stdin.take().ok_or("gcc takes its source from a pipe")?.write_all(b"int f(int x) { return x + 1; }\n")?;
    if !gcc.wait()?.success() {
        return Err("gcc does not compile one function".into());
    }
    let object = std::fs::read(object)?;

    let spawn = Place::Spawn { path: Some(env!("CARGO_BIN_EXE_orc").into()), arguments: vec!["executor".into()] };
    let mut separate = RemoteOptions::default();
    separate.share_memory = false;
    println!("| executor | start and end | open and close one function | look a name up |");
    println!("|---|---:|---:|---:|");
    row("in process", &object, || Ok(InProcess::new()))?;
    row("spawn", &object, || Ok(Remote::connect(&spawn, RemoteOptions::default())?))?;
    row("spawn, bytes travel", &object, || Ok(Remote::connect(&spawn, separate.clone())?))?;
    Ok(())
}

/// Measures one kind of executor.
fn row<E: Executor>(
    name: &str,
    object: &[u8],
    start: impl Fn() -> Result<E, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let starts = times(STARTS, || {
        drop(Session::new(start()?, SessionOptions::default())?);
        Ok(())
    })?;
    let session = Session::new(start()?, SessionOptions::default())?;
    session.add_dylib("f")?.add_object("f.o", object.to_vec())?;
    let opens = times(OPENS, || Ok(session.open("f")?.close()?))?;
    let opened = session.open("f")?;
    let lookups = times(LOOKUPS, || {
        let address = opened.address("f")?;
        if address == 0 { Err("f is nowhere".into()) } else { Ok(()) }
    })?;
    println!("| {name} | {starts} | {opens} | {lookups} |");
    Ok(())
}

/// The median and the 99th percentile of so many runs, after some that do not count.
fn times(count: usize, mut run: impl FnMut() -> Result<(), Box<dyn Error>>) -> Result<String, Box<dyn Error>> {
    for _ in 0..count / 10 {
        run()?;
    }
    let mut took = Vec::with_capacity(count);
    for _ in 0..count {
        let begin = Instant::now();
        run()?;
        took.push(begin.elapsed());
    }
    took.sort_unstable();
    let microseconds = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e6);
    Ok(format!("{} (p99 {})", microseconds(took[count / 2]), microseconds(took[count * 99 / 100])))
}
