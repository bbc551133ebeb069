//! What a start costs without the image cache, with an empty one, and with one that has the image: CPU time of `orc run`, user and system, medians.
//!
//! `cargo bench -p orc-jit --bench cache`; the workloads are those of the scoreboard (`cargo bench -p integration-tests --bench rivals` makes them in
//! `target/bench-workloads`), those that are there. `-- W6` measures some of them, `ROUNDS=21` as often. The three starts of a workload take turns; the program's output is compared.
//!
//! `unsafe` because the kernel's accounts of children are C's.
#![allow(unsafe_code, clippy::print_stdout, reason = "getrusage(2); a bench prints")]

use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Inputs of a program, and libraries.
struct Workload {
    name: &'static str,
    words: Vec<OsString>,
    arguments: Vec<OsString>,
}

/// Files of a folder with this end, sorted.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut all: Vec<PathBuf> = all.filter(|path| path.to_string_lossy().ends_with(end)).collect();
    all.sort();
    all
}

fn workloads(folder: &Path) -> Outcome<Vec<Workload>> {
    let mut all = Vec::new();
    let mut add = |name: &'static str, words: Vec<OsString>, arguments: Vec<OsString>| {
        if words.iter().any(|word| Path::new(word).is_file()) {
            all.push(Workload { name, words, arguments });
        }
    };
    let of = |name: &str| folder.join(name);
    let words = |paths: Vec<PathBuf>| paths.into_iter().map(OsString::from).collect::<Vec<_>>();
    add("W1", words(files(&of("W1"), ".o")), Vec::new());
    let lua = of("W3");
    add(
        "W3",
        vec![lua.join("lua_main.o").into(), lua.join("liblua.a").into(), "-lm".into()],
        vec![lua.join("script.lua").into()],
    );
    add("W5-1k", words(files(&of("W5-1k"), ".o")), Vec::new());
    add("W5-10k", words(files(&of("W5-10k"), ".o")), Vec::new());
    if of("W6").is_dir() {
        let told = Command::new("llvm-config-19")
            .args(["--link-static", "--libfiles", "core", "irreader", "passes", "x86"])
            .output()?;
        let archives = String::from_utf8(told.stdout)?;
        let mut words = vec![of("W6").join("llvm_tool.o").into_os_string()];
        words.extend(archives.split_whitespace().map(OsString::from));
        words.extend(["-lstdc++", "-lm", "-lz", "-lzstd"].map(OsString::from));
        add("W6", words, Vec::new());
    }
    Ok(all)
}

/// CPU time of all children that have ended, in milliseconds.
fn children() -> f64 {
    // SAFETY: the structure is all numbers, for which zeros are good values, and the call fills it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    let milliseconds = |time: libc::timeval| time.tv_sec as f64 * 1e3 + time.tv_usec as f64 / 1e3;
    milliseconds(usage.ru_utime) + milliseconds(usage.ru_stime)
}

fn run(orc: &Path, workload: &Workload, cache: Option<&Path>) -> Outcome<(f64, Output)> {
    let mut command = Command::new(orc);
    command.arg("run").args(&workload.words);
    if let Some(cache) = cache {
        command.arg("--cache").arg(cache);
    }
    command.arg("--").args(&workload.arguments);
    let before = children();
    let output = command.output()?;
    Ok((children() - before, output))
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() -> Outcome<()> {
    let orc = PathBuf::from(env!("CARGO_BIN_EXE_orc"));
    let target = orc.ancestors().nth(2).ok_or("the target folder")?.to_owned();
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let rounds: usize = std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(11);
    let cache = std::env::temp_dir().join(format!("orc-cache-bench-{}", std::process::id()));
    let mut all = workloads(&target.join("bench-workloads"))?;
    all.retain(|workload| wanted.is_empty() || wanted.iter().any(|name| name == workload.name));
    if all.is_empty() {
        println!("there are no workloads: cargo bench -p integration-tests --bench rivals makes them");
    }
    println!(
        "| CPU ms | no cache | empty cache | from the cache | of no cache | entry, MB |\n|---|---|---|---|---|---|"
    );
    for workload in &all {
        let mut times: [Vec<f64>; 3] = Default::default();
        let mut size = 0;
        // The first round brings the inputs in and counts for nothing.
        for round in 0..=rounds {
            let _ = fs::remove_dir_all(&cache);
            let starts =
                [run(&orc, workload, None)?, run(&orc, workload, Some(&cache))?, run(&orc, workload, Some(&cache))?];
            for (number, (time, output)) in starts.iter().enumerate() {
                let native = &starts[0].1;
                if (output.status, &output.stdout) != (native.status, &native.stdout) {
                    return Err(format!("{}: another output in start {number}", workload.name).into());
                }
                if round > 0 {
                    times[number].push(*time);
                }
            }
            size = files(&cache, ".image").iter().filter_map(|path| path.metadata().ok()).map(|data| data.len()).sum();
        }
        let [cold, miss, warm] = times.each_mut().map(|times| median(times));
        let (name, part, size) = (workload.name, warm / cold, size as f64 / 1e6);
        println!("| {name} | {cold:.1} | {miss:.1} | {warm:.1} | {part:.2} | {size:.1} |");
    }
    let _ = fs::remove_dir_all(&cache);
    Ok(())
}
