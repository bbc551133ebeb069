//! Whether an executor's process lives, and how it ended.
//!
//! A process that this one has started has a *lifeline*: its supervisor tells over it how the program ended, and ends the program with it.
//! Elsewhere the supervisor's last notice tells. Whoever asks before either is there waits a moment.

use crate::diagnose::signal_name;
use dispatch::packed::from_bytes;
use dispatch::{CallRecord, CallState, Tag};
use orc_rt::service::down::{CONTROLLER_LOST, Ended, tag as down};
use orc_rt::service::tag as up;
use rustix::process::{Pid, PidfdFlags, Signal};
use std::borrow::Cow;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the end of a connection waits for the end of the process.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a process may take to end that was told to: its own patience with its handlers, and some.
const GRACE: Duration = Duration::from_secs(4);
/// How long a supervisor may take to end everything.
const HUNT: Duration = Duration::from_millis(1500);
/// Most bytes that a supervisor's word has.
const LONGEST: u32 = 1 << 16;

/// What is known of a process.
#[derive(Debug, Default)]
pub(super) struct Life {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    ended: Option<Ended>,
    /// Somebody will tell.
    told: bool,
    /// The connection is over, and all that came has been read.
    disconnected: bool,
    /// Nobody can tell any more.
    over: bool,
    /// A child of this process is waited for.
    child: bool,
    lifeline: Option<UnixStream>,
    /// The child, so that no other process that gets its number is meant.
    process: Option<OwnedFd>,
    /// Nobody cares any more how it ends, if only it does.
    given_up: bool,
}

impl Life {
    /// Of a process that tells its end by a notice, if it does.
    pub(super) fn by_notice() -> Arc<Self> {
        let life = Arc::new(Self::default());
        life.lock().told = true;
        life
    }

    /// Of a child of this process, with a lifeline to its supervisor. When it has ended, nothing more comes over `socket`, whoever holds its
    /// other end: what the program has started goes on.
    ///
    /// # Errors
    /// No thread to wait for it.
    pub(super) fn of_child(child: Child, lifeline: UnixStream, socket: UnixStream) -> std::io::Result<Arc<Self>> {
        let life = Self::by_notice();
        life.lock().lifeline = Some(lifeline.try_clone()?);
        life.has_started(&child)?;
        let waiting = life.clone();
        let wait = move || {
            waiting.wait_for(child, Some(lifeline));
            // What had been sent is still read. A connection that is over cannot be shut.
            let _ = socket.shutdown(Shutdown::Read);
        };
        std::thread::Builder::new().name("executor-end".to_owned()).spawn(wait)?;
        Ok(life)
    }

    /// Of a child of this process that carries frames to an executor which tells its own end.
    ///
    /// # Errors
    /// No thread to wait for it.
    pub(super) fn of_carrier(child: Child) -> std::io::Result<Arc<Self>> {
        let life = Self::by_notice();
        life.has_started(&child)?;
        let waiting = life.clone();
        std::thread::Builder::new().name("executor-end".to_owned()).spawn(move || waiting.wait_for(child, None))?;
        Ok(life)
    }

    fn has_started(&self, child: &Child) -> std::io::Result<()> {
        let process = rustix::process::pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
        let mut state = self.lock();
        (state.child, state.process) = (true, Some(process));
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for(&self, mut child: Child, lifeline: Option<UnixStream>) {
        let supervised = lifeline.is_some();
        let told = lifeline.and_then(hear);
        let status = child.wait().ok();
        if !supervised {
            // The last word may still have to be read, and knows more.
            drop(self.wait_until(PATIENCE, |state| state.disconnected || state.ended.is_some()));
        }
        let mut state = self.lock();
        // One that lost its controller, as it saw it, ended because the connection did: that is no news.
        let news = |code: Option<i32>| !supervised || code != Some(CONTROLLER_LOST);
        if let Some(ended) = told.filter(|_| !state.given_up) {
            state.ended.get_or_insert(ended);
        } else if let Some(status) = status.filter(|status| !state.given_up && news(status.code())) {
            // The supervisor itself was ended, or what carried the frames, which ends as the program does; a shell in between says it in
            // its own way.
            let of_shell =
                status.code().and_then(|code| code.checked_sub(128)).filter(|number| (1..65).contains(number));
            let signal = status.signal().or(of_shell);
            let code = status.code().filter(|_| signal.is_none());
            state.ended.get_or_insert(Ended { code, signal, fault: None });
        }
        state.over = true;
        (state.lifeline, state.process) = (None, None);
        self.changed.notify_all();
    }

    /// The executor's own last word.
    pub(super) fn tell(&self, ended: Ended) {
        self.lock().ended.get_or_insert(ended);
        self.changed.notify_all();
    }

    /// Nothing more will be told by notices: the connection is over.
    pub(super) fn disconnected(&self) {
        let mut state = self.lock();
        state.told = state.child;
        state.disconnected = true;
        self.changed.notify_all();
    }

    /// How it ended. Waits a moment if somebody will tell.
    pub(super) fn ended(&self) -> Option<Ended> {
        let known = |state: &State| state.ended.is_some() || state.over || !state.told || state.given_up;
        self.wait_until(PATIENCE, known).ended.clone()
    }

    /// Waits for a change, but no longer than `time`.
    fn wait_until(&self, time: Duration, done: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.changed.wait_timeout_while(self.lock(), time, |state| !done(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Ends the child, however it stands, and whatever it has started if its supervisor can.
    pub(super) fn give_up(self: &Arc<Self>) {
        {
            let mut state = self.lock();
            if state.given_up || state.process.is_none() {
                return;
            }
            state.given_up = true;
            if let Some(lifeline) = state.lifeline.take() {
                // What is gone already cannot be shut, and has told.
                let _ = lifeline.shutdown(Shutdown::Both);
            }
        }
        self.changed.notify_all();
        self.later(|life| {
            if let Some(process) = &life.wait_until(HUNT, |state| state.over).process {
                // It may end at this very moment.
                let _ = rustix::process::pidfd_send_signal(process, Signal::KILL);
            }
        });
    }

    /// Without a thread for it, the child ends with this process.
    fn later(self: &Arc<Self>, then: impl FnOnce(&Arc<Self>) + Send + 'static) {
        let life = Arc::clone(self);
        let _ = std::thread::Builder::new().name("executor-end".to_owned()).spawn(move || then(&life));
    }

    /// Sends a signal through the lifeline; says whether there is one.
    pub(super) fn raise(&self, signal: i32) -> bool {
        let state = self.lock();
        let Some(mut lifeline) = state.lifeline.as_ref() else { return false };
        let Ok(number) = u8::try_from(signal) else { return false };
        // A supervisor that is gone has no process to pass it to.
        let _ = lifeline.write_all(&[number]);
        true
    }
}

/// A connection's hold on the process that was started for it, which is to end with it.
#[derive(Debug)]
pub(super) struct Lease(Arc<Life>);

impl Lease {
    pub(super) fn new(life: &Arc<Life>) -> Self {
        Self(Arc::clone(life))
    }

    /// How the process ended, if the connection broke because of that. Otherwise the process is ended.
    pub(super) fn connection_broke(&self) -> Option<Ended> {
        self.0.disconnected();
        let ended = self.0.ended();
        if ended.is_none() {
            self.0.give_up();
        }
        ended
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.disconnected();
        let wanted = self.0.lock().process.is_some();
        if wanted {
            self.0.later(|life| {
                let over = life.wait_until(GRACE, |state| state.over).over;
                if !over {
                    life.give_up();
                }
            });
        }
    }
}

/// What the supervisor says when its worker has ended.
fn hear(mut lifeline: UnixStream) -> Option<Ended> {
    let mut size = [0; 4];
    lifeline.read_exact(&mut size).ok()?;
    let size = u32::from_le_bytes(size);
    if size > LONGEST {
        return None;
    }
    let mut message = vec![0; size as usize];
    lifeline.read_exact(&mut message).ok()?;
    from_bytes(&message).ok()
}

/// How a process ended, for an error.
pub(super) fn words(ended: &Ended) -> String {
    let Ended { code, signal, fault } = ended;
    let mut words = match (signal, code) {
        (Some(signal), _) => {
            let name = signal_name(*signal).map(|name| format!(" ({name})")).unwrap_or_default();
            format!("its process was ended by signal {signal}{name}")
        }
        (None, Some(code)) => format!("its process exited with code {code}"),
        (None, None) => "its process ended".to_owned(),
    };
    if let Some(fault) = fault {
        words += &format!(" at the instruction {:#x}, about address {:#x}", fault.instruction, fault.address);
    }
    words
}

/// A call, for a crash report.
pub(super) fn call_in_words(call: &CallRecord) -> String {
    let what = in_words(call.tag);
    match call.state {
        CallState::Waiting => format!("{what} (waiting)"),
        CallState::Failed => format!("{what} (failed)"),
        CallState::Answered => what.into_owned(),
    }
}

/// What calls of a tag ask for.
pub(super) fn in_words(tag: Tag) -> Cow<'static, str> {
    name(tag).map_or_else(|| tag.to_string().into(), Cow::Borrowed)
}

/// What a call asks for.
fn name(tag: Tag) -> Option<&'static str> {
    const NAMES: [(Tag, &str); 27] = [
        (up::OPEN, "plan an open"),
        (up::UPDATE, "plan an update"),
        (up::CLOSED, "tell of an unload"),
        (up::LOOKUP, "look a symbol up"),
        (up::DESCRIBE, "describe an address"),
        (down::ATTACH, "attach"),
        (down::RESERVE, "reserve memory"),
        (down::WRITE, "write memory"),
        (down::FINALIZE, "finalize memory"),
        (down::RELEASE, "release memory"),
        (down::OPEN_LIBRARY, "open a library"),
        (down::LOOKUP, "look up names of the process"),
        (down::LOOKUP_THREAD_LOCALS, "look up thread-local variables"),
        (down::COPY_DATA, "move data"),
        (down::READ_MEMORY, "read memory"),
        (down::SET_ARGUMENTS, "set arguments"),
        (down::END_LANE, "end a thread"),
        (down::OPEN, "open"),
        (down::CLOSE, "close"),
        (down::CLOSE_WITH, "close"),
        (down::REPORT_WAITS, "report waits"),
        (down::UPDATE, "update"),
        (down::UNLOAD, "unload"),
        (down::SYMBOL, "look up a symbol"),
        (down::RUN_PROGRAM, "run main"),
        (down::END_PROGRAM, "end the program"),
        (down::EXIT, "exit"),
    ];
    NAMES.iter().find(|(of, _)| *of == tag).map(|(_, name)| *name)
}
