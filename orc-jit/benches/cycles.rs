//! Linking, calling and closing over and over: how long a cycle takes, and whether anything stays behind.
//!
//! ```text
//! cargo bench -p orc-jit --bench cycles                       # 200,000 cycles on two threads
//! CYCLES=20000 THREADS=1 cargo bench -p orc-jit --bench cycles
//! ```
//!
//! An object with two functions, one of which calls the other, lies in memory. Each thread has a dylib of its own with it, in one session, and over and over opens the dylib (which
//! links), looks the function up, calls it and closes the dylib (which unloads). Prints the median and the 99th percentile of a cycle in microseconds, for the slab as it
//! is and for one with a [writable view](Slab::with_writable_view), and what the process holds at the start, halfway, and at the end.
//!
//! `unsafe` because what was just linked is called by address.
#![allow(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a bench prints its table")]

use orc_jit::{InProcess, Session, SessionOptions, Slab};
use std::error::Error;
use std::fs;
use std::process::Command;
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const OBJECT: &str = "
__attribute__((noinline)) int one(int x) { return x * 3; }
int two(int x) { return one(x) + 1; }
";

fn main() -> Outcome<()> {
    let number = |name, usual| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (cycles, threads) = (number("CYCLES", 200_000), number("THREADS", 2));
    let object = compile()?;
    println!("{cycles} cycles on {threads} threads");
    for (title, slab) in [("protections changed", Slab::new()), ("writable view", Slab::with_writable_view())] {
        let session = Session::new(InProcess::with_slab(slab), SessionOptions::default())?;
        println!("\n{title}");
        // The first tenth fills caches: of the allocator, of the slab.
        tell("before", &session, &mut run(&session, &object, 0, cycles / 10, threads)?);
        tell("halfway", &session, &mut run(&session, &object, 1, cycles / 2, threads)?);
        tell("at the end", &session, &mut run(&session, &object, 2, cycles - cycles / 2, threads)?);
    }
    Ok(())
}

fn compile() -> Outcome<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let (source, object) = (folder.path().join("two.c"), folder.path().join("two.o"));
    fs::write(&source, OBJECT)?;
    let status = Command::new("gcc").args(["-O2", "-fPIC", "-c"]).arg(&source).arg("-o").arg(&object).status()?;
    if status.success() { Ok(fs::read(object)?) } else { Err("gcc fails".into()) }
}

/// Microseconds of each cycle.
fn run(session: &Session, object: &[u8], part: usize, cycles: usize, threads: usize) -> Outcome<Vec<f32>> {
    std::thread::scope(|scope| {
        let one = |thread: usize| -> Outcome<Vec<f32>> {
            let name = format!("cycle-{part}-{thread}");
            session.add_dylib(&name)?.add_object("two.o", object)?;
            let mut times = Vec::with_capacity(cycles / threads);
            for number in 0..(cycles / threads) as i32 {
                let begin = Instant::now();
                let opened = session.open(&name)?;
                // SAFETY: `two` is declared so.
                let two = unsafe { opened.symbol::<extern "C" fn(i32) -> i32>("two")? };
                let answer = two(number);
                opened.close()?;
                times.push(begin.elapsed().as_secs_f32() * 1e6);
                if answer != number * 3 + 1 {
                    return Err(format!("two({number}) is {answer}").into());
                }
            }
            Ok(times)
        };
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || one(thread))).collect();
        let mut all = Vec::new();
        for thread in running {
            all.extend(thread.join().map_err(|_| "a thread panicked")??);
        }
        Ok(all)
    })
}

fn tell(when: &str, session: &Session, times: &mut [f32]) {
    times.sort_unstable_by(f32::total_cmp);
    let (median, late) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    let runtime = session.executor().runtime();
    let usage = runtime.slab().usage();
    let resident = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = resident.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("?").trim().to_owned();
    println!(
        "{when}: median {median:.1} us, 99th percentile {late:.1} us; resident {resident}, slab {} used and {} kept bytes, ledger {}",
        usage.used,
        usage.kept,
        runtime.ledger().len()
    );
}
