//! Crash reports of this process: what runs here and dies of a signal is told as it would be of an executor elsewhere.
//!
//! **You give** [`SessionOptions::crash_reports`](crate::SessionOptions::crash_reports), or [`VARIABLE`] in the environment. **You get**, on standard error and before the signal does what it
//! would have done, a [`CrashReport`]: signal and address, functions of dylibs with their objects and lines, those of the process by name. **Not here:** handlers, threads, what
//! happens when nobody can look anything up ([`orc_rt::crash`]); executors in other processes, whose death the controller tells in any case
//! ([`Error::Ended`](crate::Error::Ended)).

use crate::diagnose::{CrashReport, Ending, Format, Frame, Report, render};
use crate::executor::Executor;
use crate::locate::{addresses, told};
use crate::session::Shared;
use orc_rt::crash::Fault;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// With `1` in this environment variable every session whose code runs in this process asks for reports.
pub const VARIABLE: &str = "ORC_CRASH_REPORTS";

/// What can name addresses.
trait Frames: Send + Sync {
    fn frames_at(&self, addresses: &[u64]) -> Vec<Option<Frame>>;
}

impl<E: Executor> Frames for Shared<E> {
    fn frames_at(&self, addresses: &[u64]) -> Vec<Option<Frame>> {
        self.frames(addresses)
    }
}

/// The sessions that run code here.
static SESSIONS: Mutex<Vec<Weak<dyn Frames>>> = Mutex::new(Vec::new());

type Tell = Box<dyn Fn(CrashReport) -> Vec<u8> + Send + Sync>;
static TELL: OnceLock<Tell> = OnceLock::new();

/// How reports are written, unless they are to be text without colors: `tell` makes the bytes that standard error gets. Counts once in a process; says whether it did.
///
/// ```
/// # use orc_jit::diagnose::{Format, render};
/// orc_jit::crash::tell_by(|crash| render(&crash.report(), Format::Json).into_bytes());
/// ```
pub fn tell_by(tell: impl Fn(CrashReport) -> Vec<u8> + Send + Sync + 'static) -> bool {
    TELL.set(Box::new(tell)).is_ok()
}

/// Whether the environment asks for reports.
pub(crate) fn is_in_environment() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|value| value == "1")
}

/// Has what the session runs in this process be told, for as long as the session lives.
///
/// # Errors
/// The system has no thread for it.
pub(crate) fn watch<E: Executor>(session: &Arc<Shared<E>>) -> io::Result<()> {
    let session: Weak<dyn Frames> = Arc::downgrade(session) as Weak<dyn Frames>;
    {
        let mut sessions = SESSIONS.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|one| one.strong_count() > 0);
        sessions.push(session);
    }
    orc_rt::crash::report(describe).map(drop)
}

/// The bytes for standard error.
fn describe(fault: &Fault) -> Vec<u8> {
    let addresses = addresses(fault);
    let mut crash = CrashReport::new(Ending::Signal(fault.signal));
    crash.frames = name(&addresses).into_iter().flatten().collect();
    crash.fault = Some(told(fault.clone()));
    match TELL.get() {
        Some(tell) => tell(crash),
        None => render(&Report::from(&crash), Format::Human { color: false }).into_bytes(),
    }
}

/// What is at each address: of one session or another, else of the process.
fn name(addresses: &[u64]) -> Vec<Option<Frame>> {
    let sessions: Vec<_> = SESSIONS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut frames = vec![None; addresses.len()];
    for session in sessions.iter().filter_map(Weak::upgrade) {
        for (frame, found) in frames.iter_mut().zip(session.frames_at(addresses)) {
            *frame = frame.take().or(found);
        }
        // Whoever else has it may have let it go meanwhile; to end a session is not for this thread, and not at this moment.
        std::mem::forget(session);
    }
    for (depth, (frame, address)) in frames.iter_mut().zip(addresses).enumerate() {
        *frame = frame.take().or_else(|| host_frame(*address, u64::from(depth > 0)));
    }
    frames
}

/// Code that no session has linked. What returns to an address was called `back` bytes before it.
fn host_frame(address: u64, back: u64) -> Option<Frame> {
    let place = orc_rt::native::place_at(address.checked_sub(back)?)?;
    let (function, offset) = place.function.unwrap_or((String::new(), place.offset));
    Some(Frame { dylib: None, library: Some(place.library), function, offset: offset + back, places: Vec::new() })
}
