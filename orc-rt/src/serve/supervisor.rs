//! The process beside the one that runs the code: it outlives it, tells how it ended, and leaves none of its children behind.
//!
//! ```text
//!   controller ===== frames ===== worker        directly: both share a socket (and memory)
//!        \                          |  child
//!         '------ lifeline ---- supervisor
//!
//!   controller ===== frames ===== supervisor ===== frames ===== worker      relayed: across a network, a pipe, a listener
//! ```
//!
//! The supervisor is the executor's first process, and has one thread when it forks the worker. It adopts what the worker's children
//! leave behind, so that when the controller is lost, however it was, everything that the program has started can be ended. When the
//! program ends by itself, what it has started goes on, as natively.
//!
//! `unsafe` because of fork(2).
#![allow(unsafe_code)]

use super::ending::leave_now;
use super::fault::Record;
use super::signals;
use super::worker::{self, Worker};
use crate::service::down::{CONTROLLER_LOST, Ended};
use dispatch::packed::to_bytes;
use dispatch::transport::Transport;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, WaitStatus};
use std::convert::Infallible;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long the orphans of a program are hunted.
const HUNT: Duration = Duration::from_millis(800);

/// Supervises a worker that speaks with the controller itself. Over `lifeline` the supervisor gets numbers of signals to pass on, sends how the
/// worker ended, and hears that the controller is lost. Without one, it ends as the worker does.
///
/// # Errors
/// The system refuses a process, a page, or what it takes to watch over it.
pub(super) fn direct(
    transport: impl Transport,
    lifeline: Option<UnixStream>,
    prepare: impl FnOnce() -> Worker,
) -> Result<Infallible, String> {
    let child = match fork()? {
        Side::Worker(record) => {
            drop(lifeline);
            return worker::run(transport, &record, prepare());
        }
        Side::Supervisor(child) => child,
    };
    // The controller hears of the worker's end by the end of this connection.
    drop(transport);
    let Some(mut lifeline) = lifeline else {
        let ended = child.wait();
        end_alike(&ended)
    };
    let pidfd = rustix::process::pidfd_open(child.pid, PidfdFlags::empty()).map_err(said("watch the worker"))?;
    loop {
        let mut events = [PollFd::new(&pidfd, PollFlags::IN), PollFd::new(&lifeline, PollFlags::IN)];
        match poll(&mut events, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(format!("cannot wait for the worker: {error}")),
        }
        let [gone, told] = events.map(|event| !event.revents().is_empty());
        if told && !pass_on(&mut lifeline, child.pid) && !gone {
            child.end_with_all_descendants();
            leave_now(CONTROLLER_LOST);
        }
        if gone {
            let ended = child.wait();
            // A worker that has lost its controller ends by itself: its children are still there.
            if child.lost_its_controller() {
                child.end_all_descendants();
                leave_now(CONTROLLER_LOST);
            }
            let message = to_bytes(&ended);
            let size = (message.len() as u32).to_le_bytes();
            // A controller that is gone hears nothing.
            let _ = lifeline.write_all(&size).and_then(|()| lifeline.write_all(&message));
            leave_now(0);
        }
    }
}

/// Sends the signals that the controller names; says whether it is still there.
fn pass_on(lifeline: &mut UnixStream, worker: Pid) -> bool {
    let mut numbers = [0; 16];
    match lifeline.read(&mut numbers) {
        Ok(0) => false,
        Ok(count) => {
            numbers[..count].iter().for_each(|number| raise(worker, i32::from(*number)));
            true
        }
        Err(error) => error.kind() == io::ErrorKind::Interrupted,
    }
}

/// Sends a signal; a number that is none does nothing.
pub(super) fn raise(process: Pid, number: i32) {
    if let Some(signal) = Signal::from_named_raw(number) {
        // The worker may be gone, and then needs none.
        let _ = rustix::process::kill_process(process, signal);
    }
}

/// A worker, from its supervisor's side.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) pid: Pid,
    record: Record,
}

/// Which process this is, behind a fork.
pub(super) enum Side {
    /// The one that runs the code. What it should not hold it drops.
    Worker(Record),
    /// The one that watches over it.
    Supervisor(Child),
}

/// Splits this process in two.
///
/// # Errors
/// The system refuses a process or a page, or this one has threads already.
pub(super) fn fork() -> Result<Side, String> {
    if !crate::tls::is_alone().map_err(said("see the threads of this process"))? {
        return Err("an executor is started before any thread, but there are others in this process".into());
    }
    // Orphans of the worker become ours. Emulators that do not know the call (Linux always does) leave them to the system: what a program has left behind stays there.
    match rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
        Ok(()) | Err(rustix::io::Errno::INVAL) => {}
        Err(error) => return Err(said("adopt orphans")(error)),
    }
    let record = Record::new().map_err(said("share a page with the worker"))?;
    let supervisor = rustix::process::getpid();
    // SAFETY: this process has one thread, so the child has everything that this one has.
    match unsafe { libc::fork() } {
        -1 => Err(format!("cannot start a process: {}", io::Error::last_os_error())),
        0 => {
            let bound = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
            // It may have gone before that took hold.
            if bound.is_err() || rustix::process::getppid() != Some(supervisor) {
                leave_now(CONTROLLER_LOST);
            }
            Ok(Side::Worker(record))
        }
        pid => {
            let pid = Pid::from_raw(pid).ok_or("the system gave a process without a number")?;
            signals::leave_to_the_worker();
            Ok(Side::Supervisor(Child { pid, record }))
        }
    }
}

impl Child {
    /// Waits for the worker's end; its children are left alone.
    pub(super) fn wait(&self) -> Ended {
        static NEVER: AtomicBool = AtomicBool::new(false);
        self.wait_unless(&NEVER).unwrap_or_default()
    }

    /// As [`Self::wait`]; `None` when a signal has made `asked` true.
    pub(super) fn wait_unless(&self, asked: &AtomicBool) -> Option<Ended> {
        while !asked.load(Ordering::SeqCst) {
            match rustix::process::waitpid(Some(self.pid), WaitOptions::empty()) {
                Ok(Some((_, status))) if status.exited() || status.signaled() => return Some(self.ended(status)),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                // Not our child any more: nothing can be said of it.
                Err(_) => return Some(Ended::default()),
            }
        }
        None
    }

    fn ended(&self, status: WaitStatus) -> Ended {
        let code = status.exit_status();
        let fault = self.record.fault().filter(|_| code.is_none());
        // A walk over a broken stack may end in another signal.
        let signal = fault.as_ref().map(|fault| fault.signal).or(status.terminating_signal());
        Ended { code, signal, fault }
    }

    /// Whether the worker ended because its controller was gone.
    fn lost_its_controller(&self) -> bool {
        self.record.lost()
    }

    /// Kills the worker and all that it has started.
    pub(super) fn end_with_all_descendants(&self) {
        raise(self.pid, libc::SIGKILL);
        self.end_all_descendants();
    }

    /// Kills what a worker has started that has ended itself.
    fn end_all_descendants(&self) {
        let start = Instant::now();
        // Children of what dies become ours, so this comes to an end when there are none.
        while start.elapsed() < HUNT {
            for child in children() {
                raise(child, libc::SIGKILL);
            }
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some(_)) => {}
                Ok(None) => std::thread::sleep(Duration::from_millis(1)),
                Err(_) => return,
            }
        }
    }
}

/// The children of this process, whichever of its threads has them.
fn children() -> Vec<Pid> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let numbers =
        lists.flat_map(|list| list.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<_>>());
    numbers.filter_map(Pid::from_raw).collect()
}

/// Ends this process as another ended.
pub(super) fn end_alike(ended: &Ended) -> ! {
    if let Some(signal) = ended.signal {
        let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
        // The worker has left its core file, if any.
        let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
        signals::make_deadly(signal);
        raise(rustix::process::getpid(), signal);
        leave_now(128 + signal);
    }
    leave_now(ended.code.unwrap_or(CONTROLLER_LOST))
}

/// An error of the system, with what was being done.
pub(super) fn said<E: std::fmt::Display>(what: &str) -> impl Fn(E) -> String + '_ {
    move |error| format!("cannot {what}: {error}")
}
