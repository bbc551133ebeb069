//! What an exception costs that passes through linked code, beside the same code in a shared library and in a program that was linked ahead of time; and what it costs to register a table.
//!
//! ```text
//! cargo bench -p orc-jit --bench unwinding
//! ```
//!
//! An exception is thrown through three frames and caught, while more and more functions are loaded: in the image that throws, and in images of their own. The shared
//! library, which is opened here, and the program, which runs by itself, have as many functions as all of these together. Prints medians in microseconds; only ratios within one
//! run mean anything. The rounds of the three take turns. The last column says what a throw costs while another thread throws, beside what it costs alone.
//!
//! With LLVM's libunwind as the process's unwinder (its own way to register tables, a list of all records), for those who want to see what that costs:
//!
//! ```text
//! LD_PRELOAD=libunwind.so.1 cargo bench -p orc-jit --bench unwinding
//! ```
//!
//! `unsafe` because what was just compiled is called, and tables are registered by address.
#![allow(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a bench prints its table")]

use orc_jit::{InProcess, Opened, Session};
use orc_rt::memory::{Prot, Reach, Request, SegmentRequest};
use orc_rt::{Config, DylibId, ImageInfo, SymbolTable};
use std::error::Error;
use std::ffi::c_void;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;
type ThrowAndCatch = extern "C" fn(i64) -> i64;

const ROUNDS: usize = 9;
const THROWS: i64 = 4_000;
const IMAGES: u64 = 10_000;

/// Other functions; in how many images.
const LOADED: [(usize, usize); 5] = [(0, 0), (1_000, 0), (1_000, 1_000), (100_000, 0), (100_000, 10_000)];

const THROWER: &str = r#"
static void __attribute__((noinline)) three(long n) { if (n >= 0) throw n; }
static void __attribute__((noinline)) two(long n) { three(n); asm volatile(""); }
static void __attribute__((noinline)) one(long n) { two(n); asm volatile(""); }
extern "C" long throw_and_catch(long count) {
    long sum = 0;
    for (long n = 0; n < count; n++) {
        try { one(n); } catch (long thrown) { sum += thrown; }
    }
    return sum;
}
"#;

/// The program that is linked ahead of time: threads, throws of each; prints microseconds for a throw.
const PROGRAM: &str = r#"
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>
extern "C" long throw_and_catch(long count);
int main(int, char **argv) {
    int threads = std::atoi(argv[1]);
    long count = std::atol(argv[2]);
    std::atomic<int> ready{0};
    std::vector<double> took(threads);
    std::vector<std::thread> running;
    throw_and_catch(1);
    for (int n = 0; n < threads; n++) {
        running.emplace_back([&, n] {
            ready++;
            while (ready < threads) std::this_thread::yield();
            auto begin = std::chrono::steady_clock::now();
            long sum = throw_and_catch(count);
            took[n] = std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count();
            if (sum != count * (count - 1) / 2) std::abort();
        });
    }
    double total = 0;
    for (int n = 0; n < threads; n++) {
        running[n].join();
        total += took[n];
    }
    std::printf("%f", total / (count * threads));
    return 0;
}
"#;

/// Functions that nobody calls.
fn filler(count: usize) -> String {
    format!(
        ".globl filler\n.hidden filler\n.text\nfiller:\n.rept {count}\n.cfi_startproc\npush %rbx\n.cfi_def_cfa_offset 16\n.cfi_offset %rbx, -16\n\
         xor %eax, %eax\nadd $1, %rax\npop %rbx\n.cfi_def_cfa_offset 8\nret\n.p2align 4\n.cfi_endproc\n.endr\n\
         .section .note.GNU-stack,\"\",@progbits\n"
    )
}

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let thrower = compile(folder.path(), "thrower", "c++", THROWER)?;
    let main = compile(folder.path(), "main", "c++", PROGRAM)?;
    println!(
        "| functions | images | threads | linked | shared library | ratio | program | ratio | linked, shared, program: beside one thread |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for (count, images) in LOADED {
        let others = compile(folder.path(), &format!("others{count}"), "assembler", &filler(count))?;
        let library = folder.path().join(format!("lib{count}-{images}.so"));
        run(Command::new("g++").arg("-shared").arg("-o").arg(&library).args([&thrower, &others]))?;
        let executable = folder.path().join(format!("program{count}-{images}"));
        run(Command::new("g++").arg("-o").arg(&executable).args([&main, &thrower, &others]).arg("-pthread"))?;
        let session = Session::in_process()?;
        let program = session.add_dylib("program")?;
        program.add_library(session.open_library("libstdc++.so.6")?)?;
        program.add_object_file(&thrower)?;
        let native = session.add_dylib("native")?;
        native.add_library(session.open_library(&library.to_string_lossy())?)?;
        if images == 0 {
            program.add_object_file(&others)?;
        }
        let part = count.checked_div(images).unwrap_or(0);
        let part = std::fs::read(compile(folder.path(), &format!("part{part}"), "assembler", &filler(part))?)?;
        let part: Arc<[u8]> = part.into();
        let mut open = Vec::with_capacity(images);
        for number in 0..images {
            let name = format!("other{number}");
            session.add_dylib(&name)?.add_object("part.o", Arc::clone(&part))?;
            open.push(session.open(&name)?);
        }
        let (program, native) = (session.open("program")?, session.open("native")?);
        let mut alone = [0.0; 3];
        for threads in [1, 2] {
            let mut times = [const { Vec::new() }; 3];
            for _ in 0..ROUNDS {
                times[0].push(throw(&program, threads)?);
                times[1].push(throw(&native, threads)?);
                times[2].push(throw_in(&executable, threads)?);
            }
            let [linked, shared, ahead] = times.map(median);
            let beside = if threads == 1 {
                alone = [linked, shared, ahead];
                String::new()
            } else {
                format!("{:.2}, {:.2}, {:.2}", linked / alone[0], shared / alone[1], ahead / alone[2])
            };
            println!(
                "| {count} | {} | {threads} | {linked:.2} | {shared:.2} | {:.2} | {ahead:.2} | {:.2} | {beside} |",
                images + 1,
                linked / shared,
                linked / ahead
            );
        }
    }
    println!();
    registrations()
}

/// Microseconds for a throw, when so many threads throw at the same time.
fn throw(from: &Opened<InProcess>, threads: usize) -> Result<f64> {
    // SAFETY: `THROWER` defines `long throw_and_catch(long)`.
    let function: ThrowAndCatch = *unsafe { from.symbol::<ThrowAndCatch>("throw_and_catch")? };
    let barrier = Barrier::new(threads);
    let one = || {
        barrier.wait();
        let begin = Instant::now();
        let sum = function(THROWS);
        (begin.elapsed(), sum)
    };
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        running.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
    });
    let mut total = Duration::ZERO;
    for outcome in outcomes {
        let (took, sum) = outcome.map_err(|_| "a thread that throws has panicked")?;
        if sum != THROWS * (THROWS - 1) / 2 {
            return Err("not every exception was caught".into());
        }
        total += took;
    }
    Ok(total.as_secs_f64() * 1e6 / (THROWS as f64 * threads as f64))
}

/// The same in a process of its own.
fn throw_in(executable: &Path, threads: usize) -> Result<f64> {
    let output = Command::new(executable).args([threads.to_string(), THROWS.to_string()]).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// Registers many images, one after the other, and releases them; then the same tables with libgcc's own function.
fn registrations() -> Result<()> {
    unsafe extern "C" {
        fn __register_frame(table: *const c_void);
        fn __deregister_frame(table: *const c_void);
        fn _Unwind_FindEnclosingFunction(address: *const c_void) -> *const c_void;
    }
    const FUNCTIONS: u64 = 10;
    // SAFETY: no plan ever comes from this controller, which serves nothing.
    let session = unsafe { orc_rt::Session::new(Config::new(Arc::new(dispatch::Registry::new()))) };
    let segment = |prot, size| SegmentRequest { prot, align: 16, size, content_size: size };
    let table_size = table(0, FUNCTIONS).len() as u64;
    let segments = [segment(Prot::READ | Prot::EXEC, 32 * FUNCTIONS), segment(Prot::READ, table_size)];
    let mut allocations = Vec::new();
    for _ in 0..IMAGES {
        let mut reservation = session.slab().reserve(&Request { segments: &segments, reach: Reach::Near })?;
        let start = reservation.address(0);
        reservation.bytes(1).copy_from_slice(&table(start, FUNCTIONS));
        allocations.push(reservation.finalize()?);
    }
    let info = |number: usize, with_table: bool| ImageInfo {
        dylib: DylibId::new(1).expect("not zero"),
        name: "image".into(),
        ranges: allocations[number].ranges().to_vec(),
        dso_handle: 0,
        eh_frame: with_table.then_some((allocations[number].address(1), table_size)),
        ifuncs: vec![],
        thread_local: None,
        slots: 0..0,
        symbols: SymbolTable::default(),
    };
    println!(
        "| {IMAGES} images of {FUNCTIONS} functions, µs each | register, first tenth | last tenth | release, first tenth | last tenth |"
    );
    println!("|---|---:|---:|---:|---:|");
    let row = |name: &str, register: &[Duration], release: &[Duration]| {
        let tenth = IMAGES as usize / 10;
        let mean = |times: &[Duration]| times.iter().sum::<Duration>().as_secs_f64() * 1e6 / times.len() as f64;
        let ends =
            |times: &[Duration]| format!("{:.2} | {:.2}", mean(&times[..tenth]), mean(&times[times.len() - tenth..]));
        println!("| {name} | {} | {} |", ends(register), ends(release));
    };
    for with_table in [false, true] {
        let (mut register, mut release, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..allocations.len() {
            let info = info(number, with_table);
            let begin = Instant::now();
            // SAFETY: well-formed tables in memory that stays until the images are released.
            ids.extend(unsafe { session.register_images(vec![info]) }?);
            register.push(begin.elapsed());
        }
        for id in ids {
            let begin = Instant::now();
            session.release_image(id);
            release.push(begin.elapsed());
        }
        row(if with_table { "with their unwind tables" } else { "without" }, &register, &release);
    }
    let (mut register, mut release) = (Vec::new(), Vec::new());
    let address = |number: usize| std::ptr::with_exposed_provenance(allocations[number].address(1) as usize);
    for number in 0..allocations.len() {
        let begin = Instant::now();
        // SAFETY: a well-formed table that stays until it is deregistered.
        unsafe { __register_frame(address(number)) };
        register.push(begin.elapsed());
    }
    let begin = Instant::now();
    // SAFETY: any address may be asked for; as a throw does, this sorts what was registered.
    let found =
        unsafe { _Unwind_FindEnclosingFunction(std::ptr::without_provenance(allocations[0].address(0) as usize + 1)) };
    let first = begin.elapsed();
    if found.is_null() {
        return Err("libgcc does not find what was registered".into());
    }
    for number in 0..allocations.len() {
        let begin = Instant::now();
        // SAFETY: registered above.
        unsafe { __deregister_frame(address(number)) };
        release.push(begin.elapsed());
    }
    row("libgcc alone (`__register_frame`)", &register, &release);
    println!("\nThe first frame that libgcc looks for then takes {:.0} µs.", first.as_secs_f64() * 1e6);
    Ok(())
}

/// `.eh_frame` of functions of 16 bytes, 32 apart: a CIE, FDEs with absolute addresses, a zero word.
fn table(start: u64, functions: u64) -> Vec<u8> {
    let mut table = vec![20, 0, 0, 0, 0, 0, 0, 0, 1, b'z', b'R', 0, 1, 0x78, 16, 1, 0, 0x0c, 7, 8, 0x90, 1, 0, 0];
    for number in 0..functions {
        table.extend(28_u32.to_le_bytes());
        table.extend((table.len() as u32).to_le_bytes());
        table.extend((start + 32 * number).to_le_bytes());
        table.extend(16_u64.to_le_bytes());
        table.extend([0; 8]);
    }
    table.extend([0; 4]);
    table
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Compiles `source`; where the object is.
fn compile(folder: &Path, name: &str, language: &str, source: &str) -> Result<PathBuf> {
    let object = folder.join(format!("{name}.o"));
    let mut gcc = Command::new("g++")
        .args(["-O2", "-fPIC", "-c", "-x", language, "-", "-o"])
        .arg(&object)
        .stdin(Stdio::piped())
        .spawn()?;
    gcc.stdin.take().ok_or("g++ takes its source from a pipe")?.write_all(source.as_bytes())?;
    if gcc.wait()?.success() { Ok(object) } else { Err(format!("g++ does not compile {name}").into()) }
}

fn run(command: &mut Command) -> Result<()> {
    if command.status()?.success() { Ok(()) } else { Err(format!("{command:?} has failed").into()) }
}
