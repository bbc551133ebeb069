//! What the tests of remote executors share: executors to connect to, sessions over them, and a trace that the code leaves in a file.

use crate::common::compile;
use dispatch::frame::Limits;
use dispatch::transport::{Closer, RecvFrame, SendFrame, Transport, tcp, unix};
use orc_jit::executor::remote::{Place, RemoteOptions};
use orc_jit::executor::{Executor, Remote};
use orc_jit::{Error, JitDylib, Opened, Session, SessionOptions};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The executor of the tests, which is also the command.
pub(crate) const ORC: &str = env!("CARGO_BIN_EXE_orc");

/// Started by this process.
pub(crate) fn spawn() -> Place {
    Place::Spawn { path: Some(ORC.into()), arguments: vec!["executor".into()] }
}

/// A listening executor, which ends with the value.
pub(crate) struct Listener {
    child: Child,
    stdin: Option<ChildStdin>,
    address: String,
    _folder: TempDir,
}

impl Listener {
    pub(crate) fn unix() -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let listen = format!("unix:{}", folder.path().join("socket").display());
        Self::start(folder, &listen, Path::new("."), &[])
    }

    pub(crate) fn tcp() -> Self {
        Self::tcp_with(Path::new("."), &[])
    }

    /// Started in `place`, with more options.
    pub(crate) fn tcp_with(place: &Path, options: &[&str]) -> Self {
        Self::start(tempfile::tempdir().expect("a directory"), "tcp:127.0.0.1:0", place, options)
    }

    fn start(folder: TempDir, listen: &str, place: &Path, options: &[&str]) -> Self {
        let announced = folder.path().join("announced");
        let mut child = Command::new(ORC)
            .args(["executor", "--until-eof", "--listen", listen, "--announce"])
            .arg(&announced)
            .args(options)
            .current_dir(place)
            .stdin(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let stdin = child.stdin.take();
        wait_for("a listener", || announced.exists());
        let address = fs::read_to_string(announced).expect("an address").trim().to_owned();
        Self { child, stdin, address, _folder: folder }
    }

    pub(crate) fn place(&self) -> Place {
        self.address.parse().expect("a place")
    }

    /// The path, or host and port.
    pub(crate) fn address(&self) -> &str {
        self.address.split_once(':').expect("a kind and an address").1
    }

    pub(crate) fn connect_unix(&self) -> unix::Unix {
        unix::Unix::connect(self.address()).expect("it listens")
    }

    pub(crate) fn connect_tcp(&self) -> tcp::Tcp {
        tcp::Tcp::connect(self.address(), Duration::from_secs(10)).expect("it listens")
    }

    /// Its sessions' processes that are there still; what only waits to be reaped is gone.
    pub(crate) fn sessions(&self) -> Vec<u32> {
        children(self.child.id()).into_iter().filter(|process| is_alive(*process)).collect()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stdin = None;
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end {
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        // It should have ended; the test that asks is another.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The children of a process.
pub(crate) fn children(process: u32) -> Vec<u32> {
    // Each thread has those that it has started.
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<_>>()).collect()
}

/// The third field of `/proc/PID/stat`.
pub(crate) fn state_of(process: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

pub(crate) fn is_alive(process: u32) -> bool {
    state_of(process).is_some_and(|state| state != 'Z' && state != 'X')
}

/// The parent of a process.
pub(crate) fn parent(process: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:")).expect("it has a parent");
    line.trim().parse().expect("a number")
}

#[track_caller]
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    within(Duration::from_secs(10), what, &mut condition);
}

#[track_caller]
pub(crate) fn within(limit: Duration, what: &str, condition: &mut dyn FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < end, "{what} did not come in {limit:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Runs `body` on another thread; a test that hangs fails.
#[track_caller]
pub(crate) fn in_time<R: Send + 'static>(limit: Duration, what: &str, body: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, answer) = std::sync::mpsc::channel();
    let running = thread::spawn(move || done.send(body()));
    match answer.recv_timeout(limit) {
        Ok(result) => result,
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("{what} hangs"),
        Err(_) => panic!("{what}: {:?}", running.join().err().and_then(|panic| panic.downcast::<String>().ok())),
    }
}

/// What the code of the tests may use: `NOTE(text)`, which adds a line to the trace, and `INIT(name)`, `FINI(name)` and `BOTH(name)`, which note `name`
/// and `~name`; `CALL(tag, bytes, size)`, which calls up.
const PRELUDE: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
void note(const char *text);
#define NOTE(text) note(text)
#define INIT(name) static __attribute__((constructor)) void on_init(void) { NOTE(name); }
#define FINI(name) static __attribute__((destructor)) void on_fini(void) { NOTE("~" name); }
#define BOTH(name) INIT(name) FINI(name)
typedef struct { union { char *pointer; char bytes[8]; } data; size_t size; } Result;
Result __orc_rt_jit_dispatch(void *context, const void *tag, const void *bytes, size_t size);
#define CALL(tag, bytes, size) __orc_rt_jit_dispatch(NULL, (void *)(tag), bytes, size)
#line 1
"#;

/// The dylib that every other links against: the second argument is where the trace goes.
const NOTE: &str = r#"
static int trace = -1;
static __attribute__((constructor)) void on_init(int argc, char **argv, char **envp) {
    if (argc < 2 || argv[1][0] != '/') abort(); // nobody has set the arguments: these are the executor's own
    trace = open(argv[1], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}
static __attribute__((destructor)) void on_fini(void) { close(trace); }
void note(const char *text) {
    char line[256];
    int size = snprintf(line, sizeof line, "%s\n", text);
    if (write(trace, line, size) != size) abort();
}
"#;

pub(crate) fn object(source: &str) -> std::sync::Arc<[u8]> {
    compile(&["gcc", "-x", "c", "-pthread"], &format!("{PRELUDE}{source}"))
}

/// A session, and the trace of its code.
pub(crate) struct World<E: Executor = Remote> {
    pub(crate) session: Session<E>,
    folder: TempDir,
    extra: Vec<Vec<u8>>,
}

impl World {
    pub(crate) fn at(place: &Place) -> Self {
        Self::with(place, |_| {})
    }

    pub(crate) fn with(place: &Place, change: impl FnOnce(&mut RemoteOptions)) -> Self {
        let remote = connect(place, change).unwrap_or_else(|error| panic!("{place}: {error}"));
        Self::over(remote)
    }

    /// The worker's process.
    pub(crate) fn process(&self) -> u32 {
        self.session.executor().process()
    }
}

pub(crate) fn connect(
    place: &Place,
    change: impl FnOnce(&mut RemoteOptions),
) -> Result<Remote, orc_jit::executor::ExecutorError> {
    let mut options = RemoteOptions::default();
    change(&mut options);
    Remote::connect(place, options)
}

impl<E: Executor> World<E> {
    pub(crate) fn over(executor: E) -> Self {
        let session = Session::new(executor, SessionOptions::default()).expect("a session");
        let world = Self { session, folder: tempfile::tempdir().expect("a directory"), extra: Vec::new() };
        let dylib = world.session.add_dylib("note").expect("a free name");
        dylib.add_object("note.o", object(NOTE)).expect("a live session");
        world
    }

    /// Everything that follows the name and the file of the trace in `argv`.
    pub(crate) fn arguments(mut self, extra: &[&str]) -> Self {
        self.extra = extra.iter().map(|text| text.as_bytes().to_vec()).collect();
        self
    }

    pub(crate) fn argv(&self) -> Vec<Vec<u8>> {
        let trace = self.trace_file().into_os_string().into_encoded_bytes();
        [b"it".to_vec(), trace].into_iter().chain(self.extra.iter().cloned()).collect()
    }

    fn trace_file(&self) -> PathBuf {
        self.folder.path().join("trace")
    }

    /// What was noted since the last call.
    pub(crate) fn trace(&self) -> Vec<String> {
        let text = fs::read_to_string(self.trace_file()).unwrap_or_default();
        // Truncated, not removed: the code has it open for appending.
        if !text.is_empty() {
            fs::write(self.trace_file(), "").expect("a file");
        }
        text.lines().map(str::to_owned).collect()
    }

    pub(crate) fn dylib(&self, name: &str) -> JitDylib<E> {
        self.session.dylib(name).unwrap_or_else(|| {
            let dylib = self.session.add_dylib(name).expect("a free name");
            let note = self.session.dylib("note").expect("made first");
            dylib.set_link_order([&note]).expect("dylibs of this session");
            dylib
        })
    }

    pub(crate) fn links(&self, dylib: &str, links: &[&str]) -> &Self {
        let links: Vec<_> = ["note"].iter().chain(links).map(|name| self.dylib(name)).collect();
        self.dylib(dylib).set_link_order(&links).expect("dylibs of this session");
        self
    }

    pub(crate) fn c(&self, dylib: &str, source: &str) -> &Self {
        let added = self.dylib(dylib).add_object(format!("{dylib}.o"), object(source));
        added.expect("a live session");
        self
    }

    /// Sets the arguments and opens.
    #[track_caller]
    pub(crate) fn open(&self, dylib: &str) -> Opened<E> {
        self.try_open(dylib).unwrap_or_else(|error| panic!("{dylib}: {error}"))
    }

    pub(crate) fn try_open(&self, dylib: &str) -> Result<Opened<E>, Error> {
        self.session.set_arguments(&self.argv())?;
        self.session.open(dylib)
    }

    /// `Session::run`.
    pub(crate) fn run(&self, dylib: &str) -> Result<i32, Error> {
        self.session.run(dylib, "main", &self.argv())
    }

    /// Calls `int name(int argc, char **argv, char **envp)`.
    #[track_caller]
    pub(crate) fn call(&self, dylib: &Opened<E>, name: &str) -> i32 {
        self.try_call(dylib, name).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn try_call(&self, dylib: &Opened<E>, name: &str) -> Result<i32, Error> {
        self.session.call_main(dylib.address(name)?, &self.argv())
    }
}

/// Carries frames between two connections until either ends. The halves of `a` may be wrapped before: that is where faults go.
pub(crate) fn pump(a: impl Transport, b: impl Transport) {
    let limits = Limits::default();
    let closers: Vec<Closer> = a.closer().into_iter().chain(b.closer()).collect();
    let (to_a, from_a) = a.split(&limits).expect("halves");
    let (to_b, from_b) = b.split(&limits).expect("halves");
    let other = closers.clone();
    let there = thread::spawn(move || carry(from_a, to_b, &other));
    carry(from_b, to_a, &closers);
    there.join().expect("no panic");
}

fn carry(mut from: impl RecvFrame, mut to: impl SendFrame, closers: &[Closer]) {
    while let Ok(Some(frame)) = from.recv() {
        if to.send(frame).is_err() {
            break;
        }
    }
    drop(to);
    closers.iter().for_each(Closer::close);
}

/// Everything that [`crate::programs`] and others run through: a name, a place, and whether memory is shared there.
pub(crate) struct Places {
    pub(crate) unix: Listener,
    pub(crate) tcp: Listener,
}

impl Places {
    pub(crate) fn new() -> Self {
        Self { unix: Listener::unix(), tcp: Listener::tcp() }
    }

    /// Place, whether sharing is wanted, whether it is to be.
    pub(crate) fn all(&self) -> [(Place, bool, bool); 6] {
        let exec = Place::Exec(format!("{ORC} executor"));
        [
            (spawn(), true, true),
            (spawn(), false, false),
            (self.unix.place(), true, true),
            (self.unix.place(), false, false),
            (self.tcp.place(), true, false),
            (exec, true, false),
        ]
    }
}

pub(crate) fn write_file(path: &Path, text: &str) {
    let mut file = fs::File::create(path).expect("a file");
    file.write_all(text.as_bytes()).expect("room");
}
