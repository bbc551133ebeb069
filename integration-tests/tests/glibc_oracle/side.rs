//! The two sides: child processes that play programs, glibc's with the libraries and ours with their objects.
//!
//! You give a program; you get its record. A crash of glibc is an outcome: the driver forks for each program. A crash of ours ends the child
//! and is an error that the caller tells with the program. Not here: what a difference means.
//!
//! `unsafe` because the interpreter is a function that has just been linked.
#![allow(unsafe_code)]

use crate::event::{CAPACITY, EVENT, End, Record};
use crate::objects::{Libraries, Objects};
use crate::program::{LIBRARIES, Program, dylib};
use dylib_graph::DylibId;
use integration_tests::{Failure, context};
use orc_jit::Session;
use std::env;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// In the environment of our child: the folder of the objects.
pub(crate) const CHILD: &str = "GLIBC_ORACLE_CHILD";
/// A program that takes longer hangs; the driver for glibc has the same limit.
const SECONDS: u64 = 20;

/// A child that plays programs.
#[derive(Debug)]
pub(crate) struct Player {
    child: Child,
    to: ChildStdin,
    from: ChildStdout,
}

/// Both sides.
#[derive(Debug)]
pub(crate) struct Sides {
    libraries: Libraries,
    glibc: Player,
    ours: Player,
}

impl Sides {
    /// Starts both; `name` is that of a folder that nobody else uses.
    pub(crate) fn start(objects: &Objects, name: &str) -> Result<Self, Failure> {
        let libraries = Libraries::copy(objects, &objects.folder.join(name))?;
        // What it says when it gives up is no news: that it ends is.
        let mut driver = Command::new(objects.folder.join("driver"));
        let glibc = Player::start(driver.current_dir(&libraries.folder).stderr(Stdio::null()))?;
        let this = env::current_exe().map_err(context("this test"))?;
        let ours = Player::start(Command::new(this).env(CHILD, &objects.folder))?;
        Ok(Self { libraries, glibc, ours })
    }

    /// What glibc and we make of `program`.
    pub(crate) fn play(&mut self, program: &Program) -> Result<[Record; 2], Failure> {
        self.libraries.arrange(program)?;
        let packed = program.packed();
        self.glibc.ask(&packed).map_err(context("the driver for glibc"))?;
        let links = program
            .links
            .iter()
            .flat_map(|links| [links.len() as u8].into_iter().chain(links.iter().map(|link| link.get() as u8)));
        self.ours.ask(&links.chain(packed).collect::<Vec<_>>()).map_err(context("our child"))?;
        let glibc = self.glibc.answer().map_err(context("the driver for glibc"))?;
        let ours = self.ours.answer().map_err(|error| {
            let ended = self.ours.child.wait();
            format!("our child: {error}: {}", ended.map_or_else(|error| error.to_string(), |status| status.to_string()))
        })?;
        Ok([glibc, ours])
    }
}

impl Player {
    fn start(command: &mut Command) -> Result<Self, Failure> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(context(command.get_program().display()))?;
        let missing = || "a child without a pipe".to_owned();
        let (to, from) = (child.stdin.take().ok_or_else(missing)?, child.stdout.take().ok_or_else(missing)?);
        Ok(Self { child, to, from })
    }

    fn ask(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut message = (bytes.len() as u32).to_le_bytes().to_vec();
        message.extend(bytes);
        self.to.write_all(&message)
    }

    /// The status of waitpid(2), how many events there are, and they.
    fn answer(&mut self) -> io::Result<Record> {
        let status = number(&mut self.from)? as i32;
        let end = match (status & 0x7f, status >> 8 & 0xff) {
            (0, 0) => End::Done,
            (0, code) => End::Exit(code),
            (signal, _) => End::Signal(signal),
        };
        let count = number(&mut self.from)? as usize;
        if count >= CAPACITY {
            return Err(io::Error::other("the record is full"));
        }
        let mut bytes = vec![0; count * EVENT];
        self.from.read_exact(&mut bytes)?;
        Record::read(&bytes, end).map_err(io::Error::other)
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        // Nothing is lost with it, and when it is gone already, all the better.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn number(from: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

/// Our child: plays what standard input says until that ends.
pub(crate) fn serve(folder: &Path) -> Result<(), Failure> {
    let objects = Objects { folder: folder.to_owned() };
    let interpreter = Arc::from(objects.object("interpreter.o")?);
    let libraries = (1..=LIBRARIES).map(|n| objects.object(&format!("o{n}.o")).map(Arc::from));
    let objects = Inputs { interpreter, libraries: libraries.collect::<Result<_, _>>()? };
    let turns: &'static AtomicU64 = Box::leak(Box::default());
    std::thread::spawn(move || watch(turns));
    let (mut stdin, mut stdout) = (io::stdin().lock(), io::stdout().lock());
    while let Ok(size) = number(&mut stdin) {
        let mut bytes = vec![0; size as usize];
        stdin.read_exact(&mut bytes).map_err(context("a program"))?;
        turns.fetch_add(1, Ordering::Relaxed);
        let record = objects.play(&bytes)?;
        turns.fetch_add(1, Ordering::Relaxed);
        let mut answer = 0_u32.to_le_bytes().to_vec();
        answer.extend(&record);
        stdout.write_all(&answer).and_then(|()| stdout.flush()).map_err(context("a record"))?;
    }
    Ok(())
}

/// Ends the process when a program does not: `turns` is odd while one is played.
fn watch(turns: &AtomicU64) {
    let mut before = 0;
    loop {
        std::thread::sleep(Duration::from_secs(SECONDS));
        let now = turns.load(Ordering::Relaxed);
        if now == before && now % 2 == 1 {
            eprintln!("a program has not ended after {SECONDS} seconds");
            std::process::abort();
        }
        before = now;
    }
}

struct Inputs {
    interpreter: Arc<[u8]>,
    libraries: Vec<Arc<[u8]>>,
}

/// `struct record`.
#[repr(C)]
struct RawRecord {
    count: u32,
    events: [[u8; EVENT]; CAPACITY],
}

impl Inputs {
    /// Plays a program, link orders first; gives the record's count and events.
    fn play(&self, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
        let told = |error: orc_jit::Error| error.to_string();
        let (links, program) = split(bytes).ok_or("a program that breaks off")?;
        let session = Session::in_process().map_err(told)?;
        let main = session.add_dylib("main").map_err(told)?;
        main.add_object("interpreter.o", self.interpreter.clone()).map_err(told)?;
        let opened = session.open("main").map_err(told)?;
        let step = opened.address("oracle_step").map_err(told)?;
        let mut dylibs = Vec::new();
        for (at, object) in self.libraries.iter().enumerate() {
            let dylib = session.add_dylib(&format!("./o{}", at + 1)).map_err(told)?;
            dylib.add_object(format!("o{}.o", at + 1), object.clone()).map_err(told)?;
            dylib.define_absolute("oracle_step", step).map_err(told)?;
            dylibs.push(dylib);
        }
        for (dylib, links) in dylibs.iter().zip(links) {
            dylib.set_link_order(links.into_iter().map(|link| &dylibs[link.index()])).map_err(told)?;
        }
        let mut record = Box::new(RawRecord { count: 0, events: [[0; EVENT]; CAPACITY] });
        // SAFETY: interpreter.c defines `void oracle_play(const unsigned char *, struct record *, int)`.
        let play = unsafe { opened.symbol::<extern "C" fn(*const u8, *mut RawRecord, i32)>("oracle_play") };
        play.map_err(told)?(program.as_ptr(), &raw mut *record, 1);
        opened.close().map_err(told)?;
        let count = record.count.min(CAPACITY as u32);
        let mut answer = count.to_le_bytes().to_vec();
        answer.extend(record.events[..count as usize].as_flattened());
        Ok(answer)
    }
}

/// The link orders, and what is left.
fn split(mut bytes: &[u8]) -> Option<(Vec<Vec<DylibId>>, &[u8])> {
    let mut all = Vec::new();
    for _ in 0..LIBRARIES {
        let (&count, rest) = bytes.split_first()?;
        let (links, rest) = rest.split_at_checked(usize::from(count))?;
        all.push(links.iter().map(|&link| dylib(link.into())).collect());
        bytes = rest;
    }
    Some((all, bytes))
}
