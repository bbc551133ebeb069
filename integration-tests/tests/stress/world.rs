//! Dylibs of linked code that tells what it does, and threads that use them at random.

use crate::choice::Choice;
use dispatch::packed_struct;
use dylib_graph::DylibId;
use dylib_graph::trace::Call;
use integration_tests::process::tool;
use orc_jit::executor::Executor;
use orc_jit::{JitDylib, Opened, Session, SessionOptions};
use std::fmt;
use std::fs;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What every object begins with. `my_number` is an absolute symbol of each dylib, so that one object serves them all.
const PRELUDE: &str = r#"
#define _GNU_SOURCE
#include <stdint.h>
#include <stddef.h>
#include <unistd.h>
struct result { char *pointer; size_t size; };
struct result __orc_rt_jit_dispatch(void *context, const void *tag, const char *arguments, size_t size);
extern uint64_t next_number;
"#;

/// The dylib that every other links against.
const COUNTER: &str = "uint64_t next_number = 1;\nint whoami(void) { return gettid(); }\n";

/// One dylib. `balance` is zero when the data is pristine.
const MEMBER: &str = r#"
extern char my_number[];
int balance;
static int pristine = 7;
static void tell(uint32_t what) {
    struct { uint64_t number; uint32_t what, dylib, balance, thread; } event = {
        __atomic_fetch_add(&next_number, 1, __ATOMIC_SEQ_CST), what, (uint32_t)(uintptr_t)my_number,
        (uint32_t)balance + (pristine == 7 ? 0 : 1000), (uint32_t)gettid() };
    __orc_rt_jit_dispatch(0, (void *)1, (const char *)&event, sizeof event);
}
__attribute__((constructor)) static void begin(void) { tell(0); balance++; pristine = 7; tell(1); }
__attribute__((destructor)) static void end(void) { tell(2); balance--; tell(3); pristine = 8; }
int answer(void) { return (int)(uintptr_t)my_number; }
"#;

/// Code that is added later, as often as somebody likes.
const MORE: &str = r#"
extern char my_number[];
extern int balance;
static void tell(uint32_t what) {
    struct { uint64_t number; uint32_t what, dylib, balance, thread; } event = {
        __atomic_fetch_add(&next_number, 1, __ATOMIC_SEQ_CST), what, (uint32_t)(uintptr_t)my_number, (uint32_t)balance, (uint32_t)gettid() };
    __orc_rt_jit_dispatch(0, (void *)1, (const char *)&event, sizeof event);
}
__attribute__((constructor)) static void more(void) { tell(4); }
"#;

packed_struct! {
    /// What linked code tells.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Told {
        /// In the order of all.
        pub(crate) number: u64,
        /// 0 and 1: an initializer begins and ends; 2 and 3: a finalizer does; 4: an initializer of code that was added.
        pub(crate) what: u32,
        /// The number of the dylib.
        pub(crate) dylib: u32,
        /// What it found in its data.
        pub(crate) balance: u32,
        /// The number of its thread.
        pub(crate) thread: u32,
    }
}

/// A line of the trace, in the order in which the controller heard of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Linked code, on a thread of this number.
    Code(Told),
    /// Thread `visitor` of the test begins a call.
    Begin(usize, Call, DylibId),
    /// It has returned.
    End(usize, Call, DylibId),
    /// Thread `visitor` runs code on the thread of this number.
    Runs(usize, u32),
}

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) threads: usize,
    pub(crate) dylibs: usize,
    pub(crate) seed: u64,
}

pub(crate) struct World<E: Executor> {
    pub(crate) session: Session<E>,
    size: Size,
    counter: JitDylib<E>,
    _counts: Opened<E>,
    members: Vec<Member<E>>,
    more: Arc<[u8]>,
    /// As they are now, by the number of the dylib, without the counter.
    links: Mutex<Vec<Vec<DylibId>>>,
    trace: Arc<Mutex<Vec<Line>>>,
}

struct Member<E: Executor> {
    name: String,
    dylib: JitDylib<E>,
    /// How often code was added; a dylib that grows without end would be slow, no more.
    grown: Mutex<usize>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn object(folder: &std::path::Path, name: &str, source: &str) -> Arc<[u8]> {
    let file = folder.join(name).with_extension("c");
    fs::write(&file, format!("{PRELUDE}{source}")).expect("it can be written");
    let object = file.with_extension("o");
    let mut words: Vec<std::ffi::OsString> = ["gcc", "-c", "-g0", "-O1", "-fPIC", "-o"].map(Into::into).to_vec();
    words.extend([object.clone().into(), file.into()]);
    tool(folder, &words, &[]).unwrap_or_else(|why| panic!("{why}"));
    fs::read(object).expect("the compiler has written it").into()
}

impl<E: Executor> World<E> {
    pub(crate) fn new(executor: E, size: Size) -> Self {
        let session = Session::new(executor, SessionOptions::default()).expect("an executor that is there");
        let trace: Arc<Mutex<Vec<Line>>> = Arc::default();
        let told = Arc::clone(&trace);
        session.serve(dispatch::Tag(1), move |line: Told| lock(&told).push(Line::Code(line))).expect("a free tag");
        let folder = tempfile::tempdir().expect("a folder");
        let counter = session.add_dylib("counter").expect("a new name");
        counter.add_object("counter.o", object(folder.path(), "counter", COUNTER)).expect("a live session");
        let (member, more) = (object(folder.path(), "member", MEMBER), object(folder.path(), "more", MORE));
        let members: Vec<Member<E>> = (0..size.dylibs)
            .map(|index| {
                let name = format!("d{index}");
                let dylib = session.add_dylib(&name).expect("a new name");
                dylib.define_absolute("my_number", u64::from(dylib.id().get())).expect("a live session");
                dylib.add_object(format!("{name}.o"), member.clone()).expect("a live session");
                Member { name, dylib, grown: Mutex::new(0) }
            })
            .collect();
        let counts = session.open("counter").unwrap_or_else(|error| panic!("{error}"));
        let world = Self {
            session,
            size,
            counter,
            _counts: counts,
            members,
            more,
            links: Mutex::new(vec![Vec::new(); size.dylibs + 1]),
            trace,
        };
        let mut choice = Choice::new(size.seed, 0);
        // No cycles at first: each links against some that come before it.
        for index in 0..size.dylibs {
            world.link(index, (0..choice.below(4)).filter(|_| index > 0).map(|_| choice.below(index)).collect());
        }
        world
    }

    fn link(&self, index: usize, mut links: Vec<usize>) {
        links.dedup();
        let ids = links.iter().map(|&link| self.members[link].dylib.id()).collect();
        let mut all = lock(&self.links);
        all[self.members[index].dylib.id().index()] = ids;
        let links = links.iter().map(|&link| &self.members[link].dylib).chain([&self.counter]);
        self.members[index].dylib.set_link_order(links).expect("of one session");
    }

    /// See the field.
    pub(crate) fn links(&self) -> Vec<Vec<DylibId>> {
        lock(&self.links).clone()
    }

    pub(crate) fn take(&self) -> Vec<Line> {
        std::mem::take(&mut *lock(&self.trace))
    }

    fn note(&self, line: Line) {
        lock(&self.trace).push(line);
    }

    /// Also makes the session look at what is left over.
    pub(crate) fn open_and_close_all(&self) {
        for member in &self.members {
            let opened = self.session.open(&member.name).unwrap_or_else(|error| panic!("{error}"));
            opened.close().unwrap_or_else(|error| panic!("{error}"));
        }
    }

    /// Lets the threads go for a time, then closes what they have open; gives how many calls they made.
    pub(crate) fn run(&self, time: Duration, change: bool) -> usize {
        let end = Instant::now() + time;
        std::thread::scope(|scope| {
            let (done, calls) = channel();
            for thread in 0..self.size.threads {
                let done = done.clone();
                let body = move || {
                    let calls = self.at_random(thread, end, change);
                    done.send(calls).expect("the test waits");
                };
                std::thread::Builder::new()
                    .name(format!("stress-{thread}"))
                    .spawn_scoped(scope, body)
                    .expect("a thread");
            }
            drop(done);
            let limit = time + Duration::from_secs(300);
            let each = |_| calls.recv_timeout(limit).expect("no thread hangs or panics");
            (0..self.size.threads).map(each).sum()
        })
    }

    fn at_random(&self, thread: usize, end: Instant, change: bool) -> usize {
        let mut choice = Choice::new(self.size.seed.wrapping_add(u64::from(change)), thread + 1);
        let whoami = self._counts.address("whoami").expect("it is there");
        let number = self.session.call_main(whoami, &["x".into()]).expect("it returns");
        self.note(Line::Runs(thread, number as u32));
        let mut held: Vec<(usize, Opened<E>)> = Vec::new();
        let mut calls = 0;
        while Instant::now() < end {
            calls += 1;
            match choice.below(100) {
                0..40 if held.len() < 8 => {
                    let index = choice.below(self.members.len());
                    held.push((index, self.open(thread, index)));
                }
                0..75 if !held.is_empty() => {
                    let (index, opened) = held.swap_remove(choice.below(held.len()));
                    self.close(thread, index, opened);
                }
                75..80 if change && !held.is_empty() => self.add(&mut choice, thread, &held),
                80..82 if change => {
                    let index = choice.below(self.members.len());
                    self.link(index, (0..choice.below(4)).map(|_| choice.below(self.members.len())).collect());
                }
                _ if !held.is_empty() => {
                    let (index, opened) = &held[choice.below(held.len())];
                    let address = opened.address("answer").unwrap_or_else(|error| panic!("{error}"));
                    if choice.one_in(4) {
                        let answer = self.session.call_main(address, &["x".into()]).expect("it returns");
                        assert_eq!(answer as u32, self.members[*index].dylib.id().get(), "its own symbol first");
                    }
                }
                _ => {}
            }
        }
        for (index, opened) in held {
            self.close(thread, index, opened);
        }
        calls
    }

    fn open(&self, thread: usize, index: usize) -> Opened<E> {
        let Member { name, dylib, .. } = &self.members[index];
        self.note(Line::Begin(thread, Call::Open, dylib.id()));
        let opened = self.session.open(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        self.note(Line::End(thread, Call::Open, dylib.id()));
        opened
    }

    fn close(&self, thread: usize, index: usize, opened: Opened<E>) {
        let id = self.members[index].dylib.id();
        self.note(Line::Begin(thread, Call::Close, id));
        opened.close().unwrap_or_else(|error| panic!("{error}"));
        self.note(Line::End(thread, Call::Close, id));
    }

    fn add(&self, choice: &mut Choice, thread: usize, held: &[(usize, Opened<E>)]) {
        let (index, opened) = &held[choice.below(held.len())];
        let Member { dylib, grown, .. } = &self.members[*index];
        {
            let mut grown = lock(grown);
            if *grown < 3 {
                *grown += 1;
                dylib.add_object(format!("more-{grown}.o"), self.more.clone()).expect("a live session");
            }
        }
        self.note(Line::Begin(thread, Call::Update, dylib.id()));
        opened.update().unwrap_or_else(|error| panic!("{error}"));
        self.note(Line::End(thread, Call::Update, dylib.id()));
    }
}

/// What a process holds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Bytes of linked code and data; in this process.
    pub(crate) slab: u64,
    /// Registrations; in this process.
    pub(crate) registered: usize,
    pub(crate) mappings: usize,
    /// In KiB.
    pub(crate) resident: u64,
}

impl Usage {
    pub(crate) fn of(process: u32) -> Self {
        let read = |file: &str| fs::read_to_string(format!("/proc/{process}/{file}")).expect("it lives");
        let status = read("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
        let resident = line.trim().trim_end_matches(" kB").parse().expect("a number");
        Self { mappings: read("maps").lines().count(), resident, ..Self::default() }
    }

    /// Linked code and registrations to the byte; mappings and pages, which include the stacks of threads and what allocators keep, nearly.
    pub(crate) fn is_as(&self, before: &Self, seed: u64) {
        assert_eq!((self.slab, self.registered), (before.slab, before.registered), "seed {seed}");
        assert!(self.mappings <= before.mappings + 64, "mappings, seed {seed}: {before}, then {self}");
        assert!(self.resident <= before.resident + (256 << 10), "memory, seed {seed}: {before}, then {self}");
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { slab, registered, mappings, resident } = self;
        write!(f, "{slab} bytes linked, {registered} registrations, {mappings} mappings, {resident} KiB")
    }
}
