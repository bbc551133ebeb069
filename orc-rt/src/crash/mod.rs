//! What a process tells of its own death by a signal: which instruction, which address, in which functions.
//!
//! **You give** [`report`] a function that makes the text of a report from a [`Fault`]. **You get** that text on standard error whenever a thread meets one of [`SIGNALS`],
//! and then the signal does what it would have done: what was installed for it before runs, or the process ends by it, with a core file where there is one. **Not for** going
//! on after a fault, and not for executors whose supervisor tells ([`serve`](crate::serve)), which note the same facts with the same code (`note.rs`, `walk.rs`).
//!
//! # How
//!
//! 1. The handler (`handler.rs`) notes what the signal says (`note.rs`) and the return addresses on the stack (`walk.rs`). It takes no lock and allocates nothing. A walk that meets
//!    damage itself is given up; one that hangs is left behind.
//! 2. A thread that was started for this (`reporter.rs`) makes the text and writes it, while the thread that crashed waits for it. It may take locks: whoever else has them goes on.
//! 3. When it gives no answer in time, because the thread that crashed has a lock that it needs, or has met a fault itself, the handler writes what is known without locks
//!    (`plain.rs`): addresses, and the dylibs that they are in.
//!
//! One fault is told at a time; a thread that crashes meanwhile waits for its turn. A child of fork(2) has no such thread; there a copy of the process makes the text, and is ended
//! when it takes too long.
//!
//! # What is not told
//!
//! A program that installs a handler of its own afterwards has taken ours away, as natively. A stack that is used up can only be told of by a thread with a stack for handlers
//! (`stack.rs`): the one that called [`report`], those that open or run something, and those that code was started on by pthread_create(3); not those that a shared library starts.
//! A signal that was ignored stays ignored.

mod handler;
mod note;
mod plain;
mod reporter;
mod stack;
mod walk;

pub use crate::service::down::Fault;
pub(crate) use handler::comes_again;
pub(crate) use note::Note;
pub(crate) use stack::prepare_thread;
pub(crate) use walk::{abandon, walk};

use std::ffi::c_int;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

/// Signals that a program dies of by its own doing.
pub const SIGNALS: [i32; 7] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGABRT, libc::SIGTRAP, libc::SIGSYS];

/// Somebody asked for reports, or a supervisor waits for one.
static ASKED: AtomicBool = AtomicBool::new(false);

/// Has this process tell of its death, for as long as it lives, in the words of `describe`; says whether this was the first call, which is the one that counts. `describe` runs on a
/// thread of its own, or in a copy of this process; whichever lock it takes, somebody may have it for good. What it gives is written to standard error in one piece.
///
/// ```
/// orc_rt::crash::report(|fault| format!("signal {} at {:#x}\n", fault.signal, fault.instruction).into_bytes())?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// The system has no thread.
pub fn report(describe: impl Fn(&Fault) -> Vec<u8> + Send + Sync + 'static) -> io::Result<bool> {
    let first = reporter::start(Box::new(describe))?;
    if first {
        handler::install();
    }
    prepare_threads();
    Ok(first)
}

/// Prepares this thread for handlers of signals, and from now on those that run code of the user.
pub(crate) fn prepare_threads() {
    ASKED.store(true, Ordering::Release);
    prepare_thread();
}

/// Prepares this thread for reports, if anybody wants them.
pub(crate) fn prepare_thread_if_asked() {
    if ASKED.load(Ordering::Relaxed) {
        prepare_thread();
    }
}

/// This thread's number, asked of the system: a handler may run where nothing else can be relied on.
fn this_thread() -> c_int {
    rustix::thread::gettid().as_raw_nonzero().get()
}
