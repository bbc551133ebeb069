//! The file of records that `perf inject --jit` and samply read (perf's documentation, `jitdump-specification.txt`, version 1).
//!
//! You give images as they come: for each function its lines, its unwind information, its name and its bytes, with the time. Nothing is said of unloads, for which there is no
//! record: at addresses that are used again, the later record counts from its time on. So profiles have to be taken with the same clock: `perf record -k mono`.
//!
//! A process has one file, `jit-PID.dump`, in `$JITDUMPDIR`, or else in a new folder of `~/.debug/jit`, where perf's own agents put theirs; a child by fork begins its own. perf hears of
//! it because the file is mapped, executable. What cannot be written is told once, and then no more is tried.
//!
//! Deliberately absent: unwind information that is mapped behind each function, which perf's libunwind (not its libdw) wants for `--call-graph dwarf`; linked functions stand side by side, so
//! there is no room. Stacks by frame pointers need none.
//!
//! `unsafe` because the file is mapped, the clock is read, and something is to be done at exit.
#![allow(unsafe_code)]

use super::frames::{self, Frame};
use super::names::readable;
use super::own_file;
use crate::sync::leaf::Mutex;
use rustix::mm::{MapFlags, ProtFlags};
use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::{env, process, ptr};

/// The file of this process, once somebody watches.
static DUMP: Mutex<Option<Dump>> = Mutex::new(None);

/// One function, to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Function<'a> {
    pub(super) address: u64,
    /// As objects spell it.
    pub(super) name: &'a str,
    pub(super) code: &'a [u8],
    pub(super) frame: Option<Frame<'a>>,
    pub(super) lines: Lines<'a>,
}

/// Its lines, and the paths that they speak of by number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lines<'a> {
    pub(super) lines: &'a [super::Line],
    pub(super) paths: &'a [String],
}

#[derive(Debug)]
struct Dump {
    process: u32,
    path: PathBuf,
    /// `None`: it could not be written, and somebody was told.
    file: Option<File>,
    /// Number of the next function.
    next: u64,
}

/// Numbers of records.
mod id {
    pub(super) const LOAD: u32 = 0;
    pub(super) const DEBUG_INFO: u32 = 2;
    pub(super) const CLOSE: u32 = 3;
    pub(super) const UNWINDING_INFO: u32 = 4;
}

/// "JiTD", as a number of this machine.
const MAGIC: u32 = 0x4a69_5444;
/// Bytes of the header of a record.
const PREFIX: usize = 16;
/// Begins the file of this process, unless it has one.
///
/// # Errors
/// The file cannot be made.
pub(super) fn begin() -> io::Result<()> {
    let mut dump = DUMP.lock();
    dump.get_or_insert_with(Dump::new).own_file()?.map(|_| ()).ok_or_else(super::failed_before)
}

/// Adds functions.
pub(super) fn add<'a>(functions: impl Iterator<Item = Function<'a>>) {
    let mut dump = DUMP.lock();
    let dump = dump.get_or_insert_with(Dump::new);
    if let Err(error) = dump.add(functions) {
        dump.file = None;
        tracing::warn!(%error, "{}: profilers are not told of linked functions any more", dump.path.display());
    }
}

/// The last record. What comes after it is read all the same.
extern "C" fn close() {
    let mut dump = DUMP.lock();
    let Some(dump) = dump.as_mut().filter(|dump| dump.process == process::id()) else { return };
    if let Some(file) = &mut dump.file {
        let mut out = Vec::new();
        record(&mut out, id::CLOSE, now(), |_| {});
        // The record is optional, and the process ends.
        let _ = file.write_all(&out);
    }
}

impl Dump {
    fn new() -> Self {
        Self { process: 0, path: PathBuf::new(), file: None, next: 0 }
    }

    /// The file of this process: a child does not write to its parent's. What that says of code from before is the child's as well, for profilers know whose child it is.
    fn own_file(&mut self) -> io::Result<Option<&mut File>> {
        if self.process != process::id() {
            let is_first = self.process == 0;
            self.process = process::id();
            self.file = None;
            self.path = folder()?.join(format!("jit-{}.dump", self.process));
            let mut file = own_file::create(&self.path)?;
            file.write_all(&header(self.process))?;
            mark(&file, &self.path);
            self.file = Some(file);
            if is_first {
                // SAFETY: the function is of this program, and touches nothing that ends before the process does. A refusal costs an optional record.
                unsafe { libc::atexit(close) };
            }
        }
        Ok(self.file.as_mut())
    }

    /// One write for all of them.
    fn add<'a>(&mut self, functions: impl Iterator<Item = Function<'a>>) -> io::Result<()> {
        if self.own_file()?.is_none() {
            return Ok(());
        }
        let (time, thread) = (now(), rustix::thread::gettid().as_raw_nonzero().get() as u32);
        let mut out = Vec::new();
        for function in functions {
            // Sizes of records are 32 bits wide.
            if function.code.len() > (i32::MAX / 2) as usize {
                continue;
            }
            debug_info(&mut out, time, &function);
            unwinding_info(&mut out, time, &function);
            record(&mut out, id::LOAD, time, |out| {
                out.extend(self.process.to_ne_bytes());
                out.extend(thread.to_ne_bytes());
                let size = function.code.len() as u64;
                for word in [function.address, function.address, size, self.next] {
                    out.extend(word.to_ne_bytes());
                }
                text(out, &readable(function.name));
                out.extend(function.code);
            });
            self.next += 1;
        }
        self.file.as_mut().map_or(Ok(()), |file| file.write_all(&out))
    }
}

/// Stands before the function's `LOAD`, as the format wants it; nothing if no lines are known.
fn debug_info(out: &mut Vec<u8>, time: u64, function: &Function<'_>) {
    let Lines { lines, paths } = function.lines;
    let known = || lines.iter().filter_map(|line| Some((line, paths.get(line.file as usize)?)));
    let count = known().count() as u64;
    if count == 0 {
        return;
    }
    record(out, id::DEBUG_INFO, time, |out| {
        out.extend(function.address.to_ne_bytes());
        out.extend(count.to_ne_bytes());
        for (line, path) in known() {
            out.extend(line.address.to_ne_bytes());
            out.extend(line.line.to_ne_bytes());
            out.extend(line.column.to_ne_bytes());
            text(out, path);
        }
    });
}

/// The table, then its header: so perf reads and every runtime writes it, though the specification names the header first. Its mapped size is 0, because it does not lie
/// behind the function in memory.
fn unwinding_info(out: &mut Vec<u8>, time: u64, function: &Function<'_>) {
    let Some(frame) = &function.frame else { return };
    let (table, header) = frames::eh_frame(frame, function.code.len() as u32);
    record(out, id::UNWINDING_INFO, time, |out| {
        for word in [table.len() as u64, header as u64, 0] {
            out.extend(word.to_ne_bytes());
        }
        out.extend(&table);
    });
}

/// A record: its number, its size, the time, what `body` appends.
fn record(out: &mut Vec<u8>, id: u32, time: u64, body: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend(id.to_ne_bytes());
    out.extend([0; 4]);
    out.extend(time.to_ne_bytes());
    debug_assert_eq!(out.len() - at, PREFIX, "the header of a record");
    body(out);
    let size = (out.len() - at) as u32;
    out[at + 4..at + 8].copy_from_slice(&size.to_ne_bytes());
}

/// A string that a zero byte ends.
fn text(out: &mut Vec<u8>, text: &str) {
    out.extend(text.bytes().take_while(|byte| *byte != 0));
    out.push(0);
}

fn header(process: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(40);
    for word in [MAGIC, 1, 40, u32::from(crate::machine::ELF_MACHINE), 0, process] {
        out.extend(word.to_ne_bytes());
    }
    for word in [now(), 0] {
        out.extend(word.to_ne_bytes());
    }
    out
}

/// Maps the file executable, which perf notes as the sign that it is there. The mapping stays: so one that is attached later sees it.
fn mark(file: &File, path: &Path) {
    // SAFETY: a new private mapping that nobody uses, where the kernel likes.
    let mapped = unsafe {
        rustix::mm::mmap(
            ptr::null_mut(),
            crate::sys::page_size() as usize,
            ProtFlags::READ | ProtFlags::EXEC,
            MapFlags::PRIVATE,
            file,
            0,
        )
    };
    if let Err(error) = mapped {
        tracing::warn!(
            %error,
            "{}: the file cannot be mapped executable, which is how perf hears of it; is its file system mounted noexec? Set JITDUMPDIR to another place",
            path.display()
        );
    }
}

/// Where the file is to be, for messages.
pub(super) fn place() -> String {
    match env::var("JITDUMPDIR") {
        Ok(folder) => folder,
        Err(_) => "~/.debug/jit".to_owned(),
    }
}

/// A folder for the file.
fn folder() -> io::Result<PathBuf> {
    if let Some(folder) = env::var_os("JITDUMPDIR") {
        return Ok(PathBuf::from(folder));
    }
    let home = env::var_os("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from);
    let parent = home.join(".debug/jit");
    DirBuilder::new().recursive(true).mode(0o700).create(&parent)?;
    let mut count = 0;
    loop {
        let folder = parent.join(format!("orc-{}-{count}", process::id()));
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => count += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Nanoseconds of the monotonic clock.
fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a structure that lives; this clock is always there.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
