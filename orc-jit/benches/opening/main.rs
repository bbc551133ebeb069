//! What it costs to open, close, update and look up, beside the system's dynamic loader in the same process.
//!
//! ```text
//! cargo bench -p orc-jit --bench opening              # ROUNDS=500 for a shorter look
//! cargo bench -p orc-jit --bench opening -- dlsym     # the rows with that in their name
//! ```
//!
//! The same object is linked by the JIT and, as a shared library, by the system; code that is linked both ways calls dlopen(3) and its kin and times them
//! itself. Rounds go around all cells, so that what disturbs the machine disturbs each. Prints medians and 99th percentiles in nanoseconds: of
//! single calls where each is cold, of means over a few hundred where they are warm. Only ratios within one run mean anything.
//!
//! `unsafe` because what was just compiled is called by address.
#![allow(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a bench prints its table")]

use orc_jit::executor::remote::{Place, RemoteOptions};
use orc_jit::{Executor, InProcess, JitDylib, Opened, Remote, Session, SessionOptions, Slab};
use std::error::Error;
use std::ffi::{CString, c_char, c_int};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A line of the table: what the driver does, with which library and symbol, and how often at once in this process and in another.
struct Row {
    title: &'static str,
    what: &'static str,
    library: &'static str,
    symbol: &'static str,
    at_once: (u32, u32),
}

const fn row(
    title: &'static str,
    what: &'static str,
    library: &'static str,
    symbol: &'static str,
    at_once: (u32, u32),
) -> Row {
    Row { title, what, library, symbol, at_once }
}

const ROWS: &[Row] = &[
    row("open and close what is open", "open", "open", "f", (400, 10)),
    row("dlsym, there", "find", "open", "f", (400, 10)),
    row("dlsym, not there", "miss", "open", "nowhere", (400, 10)),
    row("dlsym(RTLD_DEFAULT), its own", "default", "open", "own", (400, 10)),
    row("dlsym(RTLD_DEFAULT), the C library's", "default", "open", "strlen", (400, 10)),
    row("open, run, close one function", "cycle", "tiny", "f", (1, 1)),
    row("the same of C++ with constructor, TLS, atexit, throw", "cycle", "rich", "f", (1, 1)),
];

fn main() -> Outcome<()> {
    let rounds = std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(2000);
    let folder = tempfile::tempdir()?;
    let objects = Objects::compile(folder.path())?;
    let here = Jit::new(InProcess::new(), &objects)?;
    let dual = Jit::new(InProcess::with_slab(Slab::dual_mapped()), &objects)?;
    let spawn = Place::Spawn { path: Some(env!("CARGO_BIN_EXE_orc").into()), arguments: vec!["executor".into()] };
    let there = Jit::new(Remote::connect(&spawn, RemoteOptions::default())?, &objects)?;
    let system = System::new(&objects)?;

    let only: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wanted = |title: &str| only.is_empty() || only.iter().any(|word| title.contains(word));
    let rows: Vec<&Row> = ROWS.iter().filter(|row| wanted(row.title)).collect();
    let mut cells: Vec<[Vec<f64>; 4]> = rows.iter().map(|_| Default::default()).collect();
    let mut updates: [Vec<f64>; 3] = Default::default();
    for _ in 0..rounds {
        for (row, cell) in rows.iter().zip(&mut cells) {
            cell[0].push(here.time(row, row.at_once.0)?);
            cell[1].push(system.time(row, row.at_once.0)?);
            cell[2].push(there.time(row, row.at_once.1)?);
            cell[3].push(dual.time(row, row.at_once.0)?);
        }
    }
    let update = "add an object, update";
    for _ in 0..if wanted(update) { rounds.min(500) } else { 0 } {
        updates[0].push(here.time_update(&objects.added)?);
        updates[1].push(there.time_update(&objects.added)?);
        updates[2].push(dual.time_update(&objects.added)?);
    }
    println!("{rounds} rounds, nanoseconds: median (99th percentile)\n");
    println!("| | in process | glibc | in process / glibc | spawned | in process, dual-mapped |");
    println!("|---|---:|---:|---:|---:|---:|");
    for (row, cell) in rows.iter().zip(cells) {
        let [(here, here_99), (system, system_99), (there, there_99), (dual, dual_99)] = cell.map(median_and_99th);
        let ratio = here / system;
        println!(
            "| {} | {here:.0} ({here_99:.0}) | {system:.0} ({system_99:.0}) | {ratio:.2} | {there:.0} ({there_99:.0}) | {dual:.0} ({dual_99:.0}) |",
            row.title
        );
    }
    if updates[0].is_empty() {
        return Ok(());
    }
    let [(here, here_99), (there, there_99), (dual, dual_99)] = updates.map(median_and_99th);
    println!("| {update} | {here:.0} ({here_99:.0}) | – | – | {there:.0} ({there_99:.0}) | {dual:.0} ({dual_99:.0}) |");
    Ok(())
}

fn median_and_99th(mut times: Vec<f64>) -> (f64, f64) {
    times.sort_unstable_by(f64::total_cmp);
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

/// What is timed, compiled.
struct Objects {
    folder: PathBuf,
    driver: Vec<u8>,
    tiny: Vec<u8>,
    rich: Vec<u8>,
    added: Vec<u8>,
}

impl Objects {
    fn compile(folder: &Path) -> Outcome<Self> {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/opening");
        let compile = |compiler: &str, source: &str, name: &str| -> Outcome<Vec<u8>> {
            let object = folder.join(format!("{name}.o"));
            let library = folder.join(format!("{name}.so"));
            run(Command::new(compiler).args(["-O2", "-fPIC", "-c"]).arg(sources.join(source)).arg("-o").arg(&object))?;
            run(Command::new(compiler).arg("-shared").arg(&object).arg("-o").arg(&library))?;
            Ok(fs::read(object)?)
        };
        let driver = compile("gcc", "driver.c", "driver")?;
        let tiny = compile("gcc", "tiny.c", "tiny")?;
        fs::copy(folder.join("tiny.so"), folder.join("open.so"))?;
        let rich = compile("g++", "rich.cc", "rich")?;
        let added = compile("gcc", "added.c", "added")?;
        Ok(Self { folder: folder.to_owned(), driver, tiny, rich, added })
    }
}

fn run(command: &mut Command) -> Outcome<()> {
    if command.status()?.success() { Ok(()) } else { Err(format!("{command:?} fails").into()) }
}

fn arguments(row: &Row, library: &str, count: u32) -> Vec<String> {
    ["driver", row.what, library, row.symbol, &count.to_string()].map(str::to_owned).to_vec()
}

fn each(row: &Row, took: i32, count: u32) -> Outcome<f64> {
    if took < 0 {
        return Err(format!("{}: the driver fails", row.title).into());
    }
    Ok(f64::from(took) / f64::from(count))
}

/// A session with everything in it.
struct Jit<E: Executor> {
    session: Session<E>,
    driver: u64,
    updated: JitDylib<E>,
    opened: [Opened<E>; 3],
}

impl<E: Executor> Jit<E> {
    fn new(executor: E, objects: &Objects) -> Outcome<Self> {
        let session = Session::new(executor, SessionOptions::default())?;
        let library = session.open_library("libstdc++.so.6")?;
        let add = |name: &str, object: &[u8]| -> Outcome<JitDylib<E>> {
            let dylib = session.add_dylib(name)?;
            dylib.add_object(format!("{name}.o"), object.to_vec())?;
            dylib.add_library(library)?;
            Ok(dylib)
        };
        add("driver", &objects.driver)?;
        add("open", &objects.tiny)?;
        add("tiny", &objects.tiny)?;
        add("rich", &objects.rich)?;
        let updated = add("updated", &objects.tiny)?;
        let opened = [session.open("driver")?, session.open("open")?, session.open("updated")?];
        let driver = opened[0].address("drive")?;
        Ok(Self { driver, updated, opened, session })
    }

    fn time(&self, row: &Row, count: u32) -> Outcome<f64> {
        let arguments: Vec<Vec<u8>> = arguments(row, row.library, count).into_iter().map(String::into_bytes).collect();
        each(row, self.session.call_main(self.driver, &arguments)?, count)
    }

    fn time_update(&self, object: &[u8]) -> Outcome<f64> {
        let begin = Instant::now();
        self.updated.add_object("added.o", object)?;
        self.opened[2].update()?;
        Ok(begin.elapsed().as_nanos() as f64)
    }
}

/// The same by the system.
struct System {
    folder: PathBuf,
    driver: unsafe extern "C" fn(c_int, *const *const c_char, *const *const c_char) -> c_int,
    _open: [libloading::Library; 3],
}

impl System {
    fn new(objects: &Objects) -> Outcome<Self> {
        // SAFETY: the libraries are those that were just compiled, whose initializers do nothing to others.
        let open = |name: &str| unsafe { libloading::Library::new(name) };
        let path = |name: &str| objects.folder.join(name).to_string_lossy().into_owned();
        let open = [open(&path("driver.so"))?, open(&path("open.so"))?, open("libstdc++.so.6")?];
        // SAFETY: `drive` is declared so, and the library stays open.
        let driver = unsafe { *open[0].get(b"drive")? };
        Ok(Self { folder: objects.folder.clone(), driver, _open: open })
    }

    fn time(&self, row: &Row, count: u32) -> Outcome<f64> {
        let library = self.folder.join(format!("{}.so", row.library));
        let arguments = arguments(row, &library.to_string_lossy(), count);
        let arguments: Vec<CString> = arguments.into_iter().map(CString::new).collect::<Result<_, _>>()?;
        let pointers: Vec<*const c_char> =
            arguments.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect();
        // SAFETY: `drive` reads the five strings, which live until it returns.
        let took = unsafe { (self.driver)(arguments.len() as c_int, pointers.as_ptr(), std::ptr::null()) };
        each(row, took, count)
    }
}
