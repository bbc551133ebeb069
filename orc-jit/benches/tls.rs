//! What an access of a thread-local variable costs in linked code, beside the same code in a program that was linked natively and in a shared
//! library that was opened; and what thread-local storage costs a thread.
//!
//! ```text
//! cargo bench -p orc-jit --bench tls            # ROUNDS=1000 for a longer look
//! ```
//!
//! The same objects are used in all three ways. Many short rounds go around all cells, and the best of each cell counts, in time of the processor:
//! a busy machine shows little. Static storage is compared with the program's, which linkers relax to local-exec as ours does; dynamic storage with that
//! of a library whose variables are too large for the loader's reserve. Only ratios within one run mean anything.
//!
//! `unsafe` because what was just compiled is called.
#![allow(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a bench prints its table")]

use libloading::os::unix::Library;
use orc_jit::{InProcess, Opened, Session};
use std::error::Error;
use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

type Result<T> = std::result::Result<T, Box<dyn Error>>;
type Run = extern "C" fn(i64) -> f64;

/// Accesses that a function makes: enough that its call does not count.
const PER_FUNCTION: usize = 8;

/// How code is compiled; whether a shared library may hold it.
const MODELS: &[(&str, &[&str], Fit)] = &[
    ("local-exec", &["-fno-pic"], Fit::Program),
    ("initial-exec", &["-fPIC", "-ftls-model=initial-exec"], Fit::Program),
    ("local-dynamic", &["-fPIC", "-DLOCAL"], Fit::Library),
    ("local-dynamic, descriptors", &["-fPIC", "-DLOCAL", "-mtls-dialect=gnu2"], Fit::Library),
    ("general-dynamic", &["-fPIC"], Fit::Library),
    ("general-dynamic, -fno-plt", &["-fPIC", "-fno-plt"], Fit::Library),
    ("general-dynamic, large model", &["-fPIC", "-mcmodel=large"], Fit::Library),
    ("descriptors", &["-fPIC", "-mtls-dialect=gnu2"], Fit::Library),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fit {
    Program,
    Library,
}

const CLOCK: &str = r#"
#include <time.h>
#include <stdio.h>
#include <stdlib.h>
#include <pthread.h>
#ifndef CLOCK
#define CLOCK CLOCK_THREAD_CPUTIME_ID
#endif
static double now(void) { struct timespec t; clock_gettime(CLOCK, &t); return t.tv_sec * 1e9 + t.tv_nsec; }
"#;

/// `double run(long rounds)`: nanoseconds for an access of one of `count` variables. With `padding` bytes of others.
fn accesses(count: usize, padding: usize) -> String {
    let mut source = format!("{CLOCK}\n#ifdef LOCAL\n#define HERE static\n#else\n#define HERE\n#endif\n");
    if padding > 0 {
        writeln!(source, "__thread char padding[{padding}];").unwrap_or_default();
    }
    let functions = count.div_ceil(PER_FUNCTION);
    for function in 0..functions {
        let variables = (0..PER_FUNCTION).map(|n| function * PER_FUNCTION + n);
        let (mut declared, mut body) = (String::new(), String::new());
        for variable in variables {
            write!(declared, "HERE __thread volatile long v{variable} = {variable}; ").unwrap_or_default();
            write!(body, "v{variable} += 1; ").unwrap_or_default();
        }
        writeln!(source, "{declared}\nstatic __attribute__((noinline)) void f{function}(void) {{ {body} }}")
            .unwrap_or_default();
    }
    let all: String = (0..functions).map(|n| format!("f{n},")).collect();
    write!(
        source,
        "static void (*const all[])(void) = {{ {all} }};\n\
         double run(long rounds) {{\n\
             double begin = now();\n\
             for (long r = 0; r < rounds; r++) for (long i = 0; i < {functions}; i++) all[i]();\n\
             return (now() - begin) / rounds / {};\n\
         }}\n",
        functions * PER_FUNCTION
    )
    .unwrap_or_default();
    source
}

const CXX: &str = r#"
struct Noted { long value; Noted(); ~Noted(); };
static long total;
__attribute__((noinline)) Noted::Noted() : value(1) {}
__attribute__((noinline)) Noted::~Noted() { __atomic_fetch_add(&total, value, __ATOMIC_RELAXED); }
thread_local Noted noted;
static __attribute__((noinline)) void touch() { noted.value += 1; __asm__ volatile("" ::: "memory"); }
extern "C" double run(long rounds) {
    double begin = now();
    for (long r = 0; r < rounds; r++) touch();
    return (now() - begin) / rounds;
}
static void *nothing(void *p) { return p; }
static void *one(void *p) { touch(); return p; }
static double threads(long rounds, void *(*function)(void *)) {
    double begin = now();
    for (long r = 0; r < rounds; r++) { pthread_t t; pthread_create(&t, 0, function, 0); pthread_join(t, 0); }
    return (now() - begin) / rounds;
}
extern "C" double run_threads(long rounds) { return threads(rounds, nothing); }
extern "C" double run_objects(long rounds) { return threads(rounds, one); }
"#;

/// A program that answers on its standard output what it is asked on the standard input: which function, how many rounds.
const ASKED: &str = r#"
int main(void) {
    long rounds; int which;
    while (scanf("%d %ld", &which, &rounds) == 2) { printf("%f\n", all_of_them[which](rounds)); fflush(stdout); }
    return 0;
}
"#;

fn main() -> Result<()> {
    let rounds = std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(101);
    let folder = tempfile::tempdir()?;
    let bench = Bench { folder: folder.path(), session: Session::in_process()?, rounds };
    bench.models()?;
    bench.variables()?;
    bench.modules()?;
    bench.threads()
}

struct Bench<'a> {
    folder: &'a Path,
    session: Session<InProcess>,
    rounds: usize,
}

/// One way to run the code.
enum Cell {
    Here(Run),
    Asked(Program, usize),
}

impl Bench<'_> {
    /// Each model in static and in dynamic storage.
    fn models(&self) -> Result<()> {
        const ROUNDS: i64 = 20_000;
        println!("| ns per access | program | linked | ratio | shared library | linked, dynamic | ratio |");
        println!("|---|---:|---:|---:|---:|---:|---:|");
        let (mut opened, mut libraries) = (Vec::new(), Vec::new());
        let mut rows = Vec::new();
        for (number, (name, flags, fit)) in MODELS.iter().enumerate() {
            let small = self.compile(&format!("small{number}"), "c", flags, &accesses(PER_FUNCTION, 0))?;
            let mut cells = vec![self.program(&small)?, self.linked(&small, &mut opened)?];
            if *fit == Fit::Library {
                let big = self.compile(&format!("big{number}"), "c", flags, &accesses(PER_FUNCTION, 1 << 16))?;
                cells.push(self.library(&big, &mut libraries)?);
                cells.push(self.linked(&big, &mut opened)?);
            }
            rows.push((*name, cells));
        }
        self.measure(rows.iter_mut().map(|(_, cells)| cells), ROUNDS)?
            .zip(MODELS)
            .for_each(|(times, (name, ..))| println!("| {name} | {} |", pairs(&times)));
        println!();
        Ok(())
    }

    /// Many variables in one module.
    fn variables(&self) -> Result<()> {
        println!("| ns per access, dynamic, that many variables | shared library | linked | ratio |");
        println!("|---|---:|---:|---:|");
        for count in [8, 1_000, 100_000] {
            for (name, flags) in
                [("general-dynamic", &["-fPIC"][..]), ("descriptors", &["-fPIC", "-mtls-dialect=gnu2"])]
            {
                let object = self.compile(&format!("many{count}{name}"), "c", flags, &accesses(count, 1 << 16))?;
                let (mut opened, mut libraries) = (Vec::new(), Vec::new());
                let mut cells = vec![self.library(&object, &mut libraries)?, self.linked(&object, &mut opened)?];
                for times in self.measure([&mut cells].into_iter(), (100_000 / count as i64).max(1))? {
                    println!("| {name}, {count} | {} |", pairs(&times));
                }
            }
        }
        println!();
        Ok(())
    }

    /// Many modules with one variable each.
    fn modules(&self) -> Result<()> {
        type Touch = extern "C" fn() -> i64;
        const SOURCE: &str = "__thread char padding[4096]; __thread long v; long touch(void) { return ++v; }\n";
        const ACCESSES: usize = 20_000;
        println!("| ns per call and access, that many modules | shared libraries | linked | ratio |");
        println!("|---|---:|---:|---:|");
        for (name, flags) in
            [("general-dynamic", &["-fPIC", "-O2"][..]), ("descriptors", &["-fPIC", "-mtls-dialect=gnu2"])]
        {
            let object = self.compile(&format!("module{name}"), "c", flags, SOURCE)?;
            let template = self.shared(&object)?;
            for count in [1, 1_000] {
                let (mut linked, mut native): (Vec<Touch>, Vec<Touch>) = (Vec::new(), Vec::new());
                let (mut opened, mut libraries) = (Vec::new(), Vec::new());
                let bytes: std::sync::Arc<[u8]> = std::fs::read(&object)?.into();
                for number in 0..count {
                    let dylib = format!("{name}{count}-{number}");
                    self.session.add_dylib(&dylib)?.add_object("module.o", std::sync::Arc::clone(&bytes))?;
                    let open = self.session.open(&dylib)?;
                    // SAFETY: `SOURCE` defines `long touch(void)`.
                    linked.push(*unsafe { open.symbol::<Touch>("touch")? });
                    opened.push(open);
                    let copy = self.folder.join(format!("{dylib}.so"));
                    std::fs::copy(&template, &copy)?;
                    // SAFETY: as above; the library has no initializers.
                    let library = unsafe { Library::new(&copy) }?;
                    // SAFETY: as above.
                    native.push(*unsafe { library.get::<Touch>(b"touch")? });
                    libraries.push(library);
                    std::fs::remove_file(&copy)?;
                }
                let time = |functions: &[Touch]| {
                    let begin = processor_time();
                    for _ in 0..ACCESSES / functions.len() {
                        for function in functions {
                            black_box(function());
                        }
                    }
                    (processor_time() - begin) * 1e9 / (ACCESSES / functions.len() * functions.len()) as f64
                };
                let mut times = [Vec::new(), Vec::new()];
                for _ in 0..=self.rounds {
                    times[0].push(time(&native));
                    times[1].push(time(&linked));
                }
                println!("| {name}, {count} | {} |", pairs(&times.map(best)));
            }
        }
        println!();
        Ok(())
    }

    /// What a thread costs, and objects with constructors and destructors.
    fn threads(&self) -> Result<()> {
        println!("| ns | program | linked | ratio |");
        println!("|---|---:|---:|---:|");
        let object =
            self.compile("cxx", "c++", &["-fPIC", "-DCLOCK=CLOCK_PROCESS_CPUTIME_ID"], &format!("{CLOCK}{CXX}"))?;
        let functions = ["run", "run_threads", "run_objects"];
        let program = self.program_of(&object, &functions)?;
        let dylib = self.session.add_dylib("cxx")?;
        dylib.add_library(self.session.open_library("libstdc++.so.6")?)?;
        dylib.add_object_file(&object)?;
        let open = self.session.open("cxx")?;
        let rows = [
            ("access of a thread_local object that has a constructor", 20_000),
            ("a thread's start and end", 50),
            ("the same with a thread_local object, constructed and destroyed", 50),
        ];
        let mut program = program;
        for ((name, count), (which, function)) in rows.into_iter().zip(functions.into_iter().enumerate()) {
            // SAFETY: `CXX` defines such functions.
            let linked = *unsafe { open.symbol::<Run>(function)? };
            let mut times = [Vec::new(), Vec::new()];
            for _ in 0..=self.rounds {
                times[0].push(program.ask(which, count)?);
                times[1].push(linked(count));
            }
            println!("| {name} | {} |", pairs(&times.map(best)));
        }
        Ok(())
    }

    /// The best time of each cell, in rounds around all of them.
    fn measure<'c>(
        &self,
        rows: impl Iterator<Item = &'c mut Vec<Cell>>,
        count: i64,
    ) -> Result<impl Iterator<Item = Vec<f64>>> {
        let mut rows: Vec<_> =
            rows.map(|cells| cells.iter_mut().map(|cell| (cell, Vec::new())).collect::<Vec<_>>()).collect();
        // One more round, whose times nobody takes: first accesses.
        for round in 0..=self.rounds {
            for (cell, times) in rows.iter_mut().flatten() {
                let time = match cell {
                    Cell::Here(function) => function(count),
                    Cell::Asked(program, which) => program.ask(*which, count)?,
                };
                if round > 0 {
                    times.push(time);
                }
            }
        }
        let medians = rows.into_iter().map(|cells| cells.into_iter().map(|(_, times)| best(times)).collect());
        Ok(medians.collect::<Vec<_>>().into_iter())
    }

    fn linked(&self, object: &Path, opened: &mut Vec<Opened<InProcess>>) -> Result<Cell> {
        let name = object.to_string_lossy();
        self.session.add_dylib(&name)?.add_object_file(object)?;
        let open = self.session.open(&name)?;
        // SAFETY: the objects define `double run(long)`.
        let run = *unsafe { open.symbol::<Run>("run")? };
        opened.push(open);
        Ok(Cell::Here(run))
    }

    fn library(&self, object: &Path, libraries: &mut Vec<Library>) -> Result<Cell> {
        // SAFETY: the library has no initializers, and the function this type.
        let (library, run) = unsafe {
            let library = Library::new(self.shared(object)?)?;
            let run = *library.get::<Run>(b"run")?;
            (library, run)
        };
        libraries.push(library);
        Ok(Cell::Here(run))
    }

    fn program(&self, object: &Path) -> Result<Cell> {
        Ok(Cell::Asked(self.program_of(object, &["run"])?, 0))
    }

    fn program_of(&self, object: &Path, functions: &[&str]) -> Result<Program> {
        let declared: String = functions.iter().map(|name| format!("double {name}(long);\n")).collect();
        let list = functions.join(",");
        let source = format!("{CLOCK}{declared}double (*const all_of_them[])(long) = {{ {list} }};\n{ASKED}");
        let main = self.compile("main", "c", &["-Wno-unused-function"], &source)?;
        let program = object.with_extension("exe");
        run(Command::new("g++").arg("-no-pie").arg("-o").arg(&program).arg(&main).arg(object))?;
        let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (input, output) = (child.stdin.take().ok_or("no input")?, child.stdout.take().ok_or("no output")?);
        Ok(Program { child, input: Some(input), output: std::io::BufReader::new(output) })
    }

    fn shared(&self, object: &Path) -> Result<PathBuf> {
        let library = object.with_extension("so");
        // Few mappings: the system has a limit for all that are open.
        run(Command::new("g++").args(["-shared", "-Wl,-z,noseparate-code", "-o"]).arg(&library).arg(object))?;
        Ok(library)
    }

    /// Compiles `source`; where the object is.
    fn compile(&self, name: &str, language: &str, flags: &[&str], source: &str) -> Result<PathBuf> {
        let object = self.folder.join(format!("{name}.o"));
        let mut command = Command::new("g++");
        command.args(["-O1", "-c", "-x", language]).args(flags).args(["-", "-o"]).arg(&object);
        let mut gcc = command.stdin(Stdio::piped()).spawn()?;
        gcc.stdin.take().ok_or("g++ takes its source from a pipe")?.write_all(source.as_bytes())?;
        if gcc.wait()?.success() { Ok(object) } else { Err(format!("g++ does not compile {name}").into()) }
    }
}

/// A program that was linked natively and waits to be asked.
struct Program {
    child: std::process::Child,
    input: Option<std::process::ChildStdin>,
    output: std::io::BufReader<std::process::ChildStdout>,
}

impl Program {
    fn ask(&mut self, which: usize, count: i64) -> Result<f64> {
        let input = self.input.as_mut().ok_or("the program has ended")?;
        writeln!(input, "{which} {count}")?;
        let mut line = String::new();
        std::io::BufRead::read_line(&mut self.output, &mut line)?;
        Ok(line.trim().parse()?)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

/// What is compared, what it is compared with, the ratio; and so on.
fn pairs(times: &[f64]) -> String {
    let pair = |pair: &[f64]| format!("{:.2} | {:.2} | {:.2}", pair[0], pair[1], pair[1] / pair[0]);
    times.chunks_exact(2).map(pair).collect::<Vec<_>>().join(" | ")
}

fn best(times: Vec<f64>) -> f64 {
    times.into_iter().fold(f64::INFINITY, f64::min)
}

/// Seconds for which this thread has had the processor.
fn processor_time() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time is written to our own variable.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn run(command: &mut Command) -> Result<()> {
    if command.status()?.success() { Ok(()) } else { Err(format!("{command:?} has failed").into()) }
}
