//! Wherever the connection is cut (rule 16): a clean error here, nothing left there, and the next attempt does the whole.
//#Rule: 16

use crate::orders::{STATUS, TRACE, fill, script};
use crate::support::{Listener, World, in_time, is_alive, pump, within};
use dispatch::layer::fault::Fault;
use dispatch::layer::record::{Journal, Record};
use dispatch::transport::{Transport, tcp};
use orc_jit::Error;
use orc_jit::executor::remote::{Place, RemoteOptions};
use orc_jit::executor::{ExecutorError, Remote};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tempfile::TempDir;

/// So many at once.
const BATCHES: u64 = 8;
/// How long anything may take before it counts as hanging.
const HANGING: Duration = Duration::from_secs(20);
/// How long the executor's processes may stay, on a machine that is busy.
const GONE: Duration = Duration::from_secs(2);

fn options() -> RemoteOptions {
    let mut options = RemoteOptions::default();
    options.heartbeat = None;
    options
}

/// A session whose program starts a process, and where that leaves its number.
struct Scripted {
    world: World,
    child: PathBuf,
    _folder: TempDir,
}

impl Scripted {
    fn over(remote: Remote) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let child = folder.path().join("child");
        let world = World::over(remote).arguments(&["fork", child.to_str().expect("a name")]);
        fill(&world);
        Self { world, child, _folder: folder }
    }

    fn child(&self) -> Option<u32> {
        fs::read_to_string(&self.child).ok()?.trim().parse().ok()
    }

    /// Ends the process that the program has left behind.
    fn end_child(&self) {
        if let Some(child) = self.child().filter(|child| is_alive(*child)) {
            let child = rustix::process::Pid::from_raw(child as i32).expect("a process");
            rustix::process::kill_process(child, rustix::process::Signal::KILL).expect("it lives");
        }
    }

    /// The whole script, and its whole trace.
    #[track_caller]
    fn does_all(&self, at: u64) {
        assert_eq!(script(&self.world).unwrap_or_else(|error| panic!("after a cut at {at}: {error}")), STATUS);
        assert_eq!(self.world.trace(), TRACE, "after a cut at {at}");
        self.end_child();
    }

    /// What came of a script on a connection that was cut; whether it was.
    #[track_caller]
    fn was_cut(&self, at: u64, result: Result<i32, Error>, listener: &Listener) -> bool {
        let closed = self.world.session.executor().peer().closed();
        match &result {
            Ok(status) => assert_eq!(*status, STATUS, "cut at {at}"),
            Err(error) => {
                let text = error.to_string();
                assert!(closed.is_some() && !text.is_empty(), "cut at {at}: {text}");
                assert!(!text.contains("panicked") && !text.contains("internal error"), "cut at {at}: {text}");
            }
        }
        if closed.is_none() {
            return false;
        }
        gone(at, listener);
        within(GONE, "the end of what the program has started", &mut || !self.child().is_some_and(is_alive));
        let trace = self.world.trace();
        assert_eq!(trace, TRACE[..trace.len().min(TRACE.len())], "cut at {at}: the beginning of what should happen");
        assert!(result.is_err() || trace.len() == TRACE.len(), "cut at {at}: done, or not: {trace:?}");
        true
    }
}

#[track_caller]
fn gone(at: u64, listener: &Listener) {
    within(GONE, &format!("the end of the executor that was cut off at {at}"), &mut || listener.sessions().is_empty());
}

/// Runs `body` for every message and a few more, in batches.
fn at_every_message(count: u64, body: impl Fn(u64, &Listener) + Send + Sync + 'static, listen: fn() -> Listener) {
    let body = Arc::new(body);
    let batches: Vec<JoinHandle<()>> = (0..BATCHES)
        .map(|batch| {
            let body = Arc::clone(&body);
            thread::spawn(move || {
                let listener = Arc::new(listen());
                for at in (batch..count + 3).step_by(BATCHES as usize) {
                    let (body, own) = (Arc::clone(&body), Arc::clone(&listener));
                    in_time(HANGING, &format!("a session that is cut at {at}"), move || body(at, &own));
                }
            })
        })
        .collect();
    let ends: Vec<_> = batches.into_iter().map(JoinHandle::join).collect();
    assert!(ends.iter().all(Result::is_ok), "see above");
}

/// How many messages the script takes. A few come at their own time.
fn count(transport: impl Transport) -> u64 {
    let journal = Journal::new();
    let remote = Remote::over(Record::new(transport, &journal), options()).expect("an executor");
    let scripted = Scripted::over(remote);
    scripted.does_all(u64::MAX);
    drop(scripted);
    journal.entries().len() as u64
}

#[test]
fn a_cut_at_any_message_is_an_error_and_leaves_nothing() {
    let messages = {
        let listener = Listener::unix();
        count(listener.connect_unix())
    };
    assert!(messages > 30, "{messages}");
    let body = |at: u64, listener: &Listener| {
        match Remote::over(Fault::new(listener.connect_unix()).cut_at(at), options()) {
            Err(ExecutorError(text)) => {
                assert!(at < 12 && !text.is_empty(), "cut at {at}: {text}");
                gone(at, listener);
            }
            Ok(remote) => {
                let scripted = Scripted::over(remote);
                let result = script(&scripted.world);
                if !scripted.was_cut(at, result, listener) {
                    scripted.end_child();
                }
            }
        }
        let again = Scripted::over(Remote::connect(&listener.place(), options()).expect("it listens"));
        assert!(again.world.session.executor().shares_memory());
        again.does_all(at);
    };
    at_every_message(messages, body, Listener::unix);
}

/// Passes connections on; the first of them is cut.
struct Proxy {
    address: String,
    over: Arc<AtomicBool>,
    running: Option<JoinHandle<()>>,
}

impl Proxy {
    fn new(to: String, cut_at: u64) -> Self {
        let listener = tcp::Listener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let run = move || {
            let mut cut = Some(cut_at);
            while let Ok(connection) = listener.accept() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let there = tcp::Tcp::connect(&to, Duration::from_secs(10)).expect("it listens");
                match cut.take() {
                    Some(at) => thread::spawn(move || pump(Fault::new(connection).cut_at(at), there)),
                    None => thread::spawn(move || pump(connection, there)),
                };
            }
        };
        Self { address, over, running: Some(thread::spawn(run)) }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes it.
        let woken = tcp::Tcp::connect(&self.address, Duration::from_secs(10));
        if let (Ok(_), Some(running)) = (woken, self.running.take()) {
            running.join().expect("no panic");
        }
    }
}

#[test]
fn a_session_that_was_cut_at_any_message_restarts_and_does_the_whole() {
    let messages = {
        let listener = Listener::tcp();
        count(listener.connect_tcp())
    };
    let body = |at: u64, listener: &Listener| {
        let proxy = Proxy::new(listener.address().to_owned(), at);
        let place = Place::Tcp { address: proxy.address.clone(), tls: None };
        let scripted = match Remote::connect(&place, options()) {
            Err(ExecutorError(text)) => {
                assert!(at < 12 && !text.is_empty(), "cut at {at}: {text}");
                gone(at, listener);
                Scripted::over(Remote::connect(&place, options()).expect("the second is not cut"))
            }
            Ok(remote) => {
                let scripted = Scripted::over(remote);
                let result = script(&scripted.world);
                if !scripted.was_cut(at, result, listener) {
                    // It will be, by the goodbye if by nothing else.
                    scripted.world.trace();
                    scripted.end_child();
                }
                scripted.world.session.restart().unwrap_or_else(|error| panic!("after a cut at {at}: {error}"));
                scripted
            }
        };
        scripted.does_all(at);
        drop(scripted);
    };
    at_every_message(messages, body, Listener::tcp);
}
