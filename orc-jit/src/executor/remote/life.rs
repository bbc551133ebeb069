//! Whether an executor's process lives, and how it ended.
//!
//! A process that this one has started has a *lifeline*: its supervisor tells over it how the program ended, and ends the program with it.
//! Elsewhere the supervisor's last notice tells. Whoever asks before either is there waits a moment.

use crate::diagnose::signal_name;
use dispatch::packed::from_bytes;
use dispatch::{CallRecord, CallState, Tag};
use orc_rt::service::down::{Ended, tag as down};
use orc_rt::service::tag as up;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the end of a connection waits for the end of the process.
const PATIENCE: Duration = Duration::from_secs(3);
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
    /// Nobody can tell any more.
    over: bool,
    /// A child of this process is waited for.
    child: bool,
    lifeline: Option<UnixStream>,
}

impl Life {
    /// Of a process that tells its end by a notice, if it does.
    pub(super) fn by_notice() -> Arc<Self> {
        let life = Arc::new(Self::default());
        life.lock().told = true;
        life
    }

    /// Of a child of this process, with a lifeline to its supervisor.
    ///
    /// # Errors
    /// No thread to wait for it.
    pub(super) fn of_child(child: Child, lifeline: UnixStream) -> std::io::Result<Arc<Self>> {
        let life = Self::by_notice();
        life.lock().lifeline = Some(lifeline.try_clone()?);
        life.lock().child = true;
        let waiting = life.clone();
        let wait = move || waiting.wait_for(child, Some(lifeline));
        std::thread::Builder::new().name("executor-end".to_owned()).spawn(wait)?;
        Ok(life)
    }

    /// Of a child of this process that carries frames to an executor which tells its own end.
    ///
    /// # Errors
    /// No thread to wait for it.
    pub(super) fn of_carrier(child: Child) -> std::io::Result<Arc<Self>> {
        let life = Self::by_notice();
        life.lock().child = true;
        let waiting = life.clone();
        std::thread::Builder::new().name("executor-end".to_owned()).spawn(move || waiting.wait_for(child, None))?;
        Ok(life)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for(&self, mut child: Child, lifeline: Option<UnixStream>) {
        let told = lifeline.and_then(hear);
        let status = child.wait().ok();
        let mut state = self.lock();
        if let Some(ended) = told {
            state.ended.get_or_insert(ended);
        } else if let Some(status) = status {
            // The supervisor itself was ended, or what carried the frames, which ends as the program does; a shell in between says it in
            // its own way.
            let of_shell =
                status.code().and_then(|code| code.checked_sub(128)).filter(|number| (1..65).contains(number));
            let signal = status.signal().or(of_shell);
            let code = status.code().filter(|_| signal.is_none());
            state.ended.get_or_insert(Ended { code, signal, fault: None });
        }
        state.over = true;
        state.lifeline = None;
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
        self.changed.notify_all();
    }

    /// How it ended. Waits a moment if somebody will tell.
    pub(super) fn ended(&self) -> Option<Ended> {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.lock();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if state.ended.is_some() || state.over || !state.told || left.is_zero() {
                return state.ended.clone();
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
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
    let what = name(call.tag).map_or_else(|| call.tag.to_string(), str::to_owned);
    match call.state {
        CallState::Waiting => format!("{what} (waiting)"),
        CallState::Failed => format!("{what} (failed)"),
        CallState::Answered => what,
    }
}

/// What a call asks for.
fn name(tag: Tag) -> Option<&'static str> {
    const NAMES: [(Tag, &str); 25] = [
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
        (down::UPDATE, "update"),
        (down::UNLOAD, "unload"),
        (down::SYMBOL, "look up a symbol"),
        (down::RUN_PROGRAM, "run main"),
        (down::END_PROGRAM, "end the program"),
        (down::EXIT, "exit"),
    ];
    NAMES.iter().find(|(of, _)| *of == tag).map(|(_, name)| *name)
}
