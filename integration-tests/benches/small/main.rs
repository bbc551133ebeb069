//! One function, linked, looked up, called and let go, in a process that is warm: by us, by the system's loader, by elf_loader, by cranelift-jit.
//!
//! ```text
//! cargo bench -p integration-tests --bench small                     # ROUNDS=20 for a shorter look
//! cargo bench -p integration-tests --bench small -- --rivals         # builds elf_loader and cranelift-jit first, which takes minutes
//! ```
//!
//! The object lies in memory, the shared library that is made of it on a file system in memory. Rows of ours: a dylib that is opened and closed; a tracker of an open dylib that gets
//! the object, and is removed; each with the slab as it is and with a [writable view](Slab::with_writable_view). elf_loader gets the same object; it registers no unwind tables and no names.
//! cranelift-jit gets finished machine code and links nothing by name, and frees nothing. Rounds go around all rows. Prints medians and 99th percentiles in microseconds, and ratios to the first row. Only ratios of one run mean anything.
//!
//! `unsafe` because what was just linked is called by address.
#![allow(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a bench prints its table")]

use orc_jit::{InProcess, Opened, Removal, Session, SessionOptions, Slab};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn Error>>;

const FUNCTION: &str = "int f(void) { return 42; }\n";

/// Of each row, in a round.
const CYCLES: usize = 200;

fn main() -> Outcome<()> {
    let rounds: usize = std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(100);
    let folder = tempfile::tempdir_in("/dev/shm")?;
    let (object, library) = compile(folder.path())?;
    let rivals = if std::env::args().any(|word| word == "--rivals") {
        vec![
            ("elf_loader: load, relocate, look up, call, drop", build("elf_loader")?, Some(folder.path().join("f.o"))),
            ("cranelift-jit: define, finalize, call", build("cranelift")?, None),
        ]
    } else {
        Vec::new()
    };
    let plain = Ours::new(Slab::new(), &object)?;
    let viewed = Ours::new(Slab::with_writable_view(), &object)?;

    type Row<'a> = (&'static str, Box<dyn Fn() -> Outcome<Vec<f64>> + 'a>);
    let mut rows: Vec<Row<'_>> = vec![
        ("open, look up, call, close", Box::new(|| plain.open())),
        ("add to a tracker, look up, call, remove", Box::new(|| plain.track(&object))),
        ("open, look up, call, close; writable view", Box::new(|| viewed.open())),
        ("add to a tracker, look up, call, remove; writable view", Box::new(|| viewed.track(&object))),
        ("dlopen, dlsym, call, dlclose", Box::new(|| system(&library))),
    ];
    for (title, program, object) in &rivals {
        rows.push((title, Box::new(|| run_rival(program, object.as_deref()))));
    }
    let mut cells: Vec<Vec<f64>> = rows.iter().map(|_| Vec::new()).collect();
    for round in 0..=rounds {
        for ((_, run), cell) in rows.iter().zip(&mut cells) {
            let times = run()?;
            // The first round warms up.
            if round > 0 {
                cell.extend(times);
            }
        }
    }
    println!("{rounds} rounds of {CYCLES} cycles, microseconds\n");
    println!("| | median | 99th percentile | median / first row's |");
    println!("|---|---:|---:|---:|");
    let mut first = None;
    for ((title, _), mut cell) in rows.iter().zip(cells) {
        cell.sort_unstable_by(f64::total_cmp);
        let (median, late) = (cell[cell.len() / 2] / 1e3, cell[cell.len() * 99 / 100] / 1e3);
        let ratio = median / *first.get_or_insert(median);
        println!("| {title} | {median:.1} | {late:.1} | {ratio:.2} |");
    }
    Ok(())
}

/// Object, and path of the library.
fn compile(folder: &Path) -> Outcome<(Vec<u8>, PathBuf)> {
    let (source, object, library) = (folder.join("f.c"), folder.join("f.o"), folder.join("libf.so"));
    fs::write(&source, FUNCTION)?;
    run(Command::new("gcc").args(["-O2", "-fPIC", "-c"]).arg(&source).arg("-o").arg(&object))?;
    run(Command::new("gcc").arg("-shared").arg(&object).arg("-o").arg(&library))?;
    Ok((fs::read(object)?, library))
}

fn run(command: &mut Command) -> Outcome<()> {
    if command.status()?.success() { Ok(()) } else { Err(format!("{command:?} fails").into()) }
}

/// A warm session: a dylib to open and close, and one that is open.
struct Ours {
    session: Session,
    opened: Opened<InProcess>,
}

impl Ours {
    fn new(slab: Slab, object: &[u8]) -> Outcome<Self> {
        let session = Session::new(InProcess::with_slab(slab), SessionOptions::default())?;
        session.add_dylib("open")?;
        session.add_dylib("f")?.add_object("f.o", object)?;
        let opened = session.open("open")?;
        Ok(Self { session, opened })
    }

    fn open(&self) -> Outcome<Vec<f64>> {
        timed(|| {
            let opened = self.session.open("f")?;
            // SAFETY: `f` is declared so.
            let answer = unsafe { opened.symbol::<extern "C" fn() -> i32>("f")? }();
            opened.close()?;
            Ok(answer)
        })
    }

    fn track(&self, object: &[u8]) -> Outcome<Vec<f64>> {
        let dylib = self.session.dylib("open").ok_or("it was added")?;
        timed(|| {
            let tracker = dylib.tracker("f")?;
            tracker.add_object("f.o", object)?;
            // SAFETY: `f` is declared so.
            let answer = unsafe { self.opened.symbol::<extern "C" fn() -> i32>("f")? }();
            tracker.remove(Removal::Refuse)?;
            Ok(answer)
        })
    }
}

fn system(library: &Path) -> Outcome<Vec<f64>> {
    timed(|| {
        // SAFETY: the library was just made, and has nothing but a function that is declared so.
        unsafe {
            let opened = libloading::Library::new(library)?;
            let answer = opened.get::<extern "C" fn() -> i32>(b"f\0")?();
            opened.close()?;
            Ok(answer)
        }
    })
}

fn timed(cycle: impl Fn() -> Outcome<i32>) -> Outcome<Vec<f64>> {
    let one = |_| {
        let begin = Instant::now();
        let answer = cycle()?;
        let took = begin.elapsed().as_nanos() as f64;
        if answer == 42 { Ok(took) } else { Err(format!("f says {answer}").into()) }
    };
    (0..CYCLES).map(one).collect()
}

/// Builds a rival, which is a package of its own beside this file.
fn build(name: &str) -> Outcome<PathBuf> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/small").join(name);
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rivals");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let built = cargo.args(["build", "--release", "--locked", "--manifest-path"]).arg(package.join("Cargo.toml"));
    run(built.arg("--target-dir").arg(&target))?;
    Ok(target.join("release").join(format!("{}-rival", name.replace('_', "-"))))
}

/// Its cycles, with the object if it gets one.
fn run_rival(program: &Path, object: Option<&Path>) -> Outcome<Vec<f64>> {
    // What it does first is cold.
    let cold = CYCLES;
    let output = Command::new(program).args(object).arg((cold + CYCLES).to_string()).output()?;
    if !output.status.success() {
        return Err(format!("{}: {}", program.display(), String::from_utf8_lossy(&output.stderr)).into());
    }
    let times = String::from_utf8(output.stdout)?;
    let times: Vec<f64> = times.lines().map(str::parse).collect::<Result<_, _>>()?;
    Ok(times[cold..].to_vec())
}
