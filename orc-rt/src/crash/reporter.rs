//! Who makes the text of a report while the thread that crashed waits: a thread, or in a child of fork(2) a copy of the process.
//!
//! The two hand a [`Note`] to each other by the word [`STATE`]; each step is one exchange, so that whoever is late finds that the other has gone on. Every wait has an end.
//!
//! `unsafe` because of clone(2), and because dispositions belong to the whole process.
#![allow(unsafe_code)]

use super::{Fault, Note, SIGNALS, plain, this_thread, walk};
use crate::signal_mask::Held;
use crate::sync::leaf::Mutex;
use rustix::event::Timespec;
use rustix::thread::futex;
use std::ffi::{c_int, c_void};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::time::Duration;

/// Makes the text of a report.
pub(super) type Describe = Box<dyn Fn(&Fault) -> Vec<u8> + Send + Sync>;

/// How long a walk over the stack may take.
const WALK: Duration = Duration::from_secs(2);
/// How long the text may take: debug information is read for it.
const TEXT: Duration = Duration::from_secs(10);
/// How long a thread waits for its turn, while others are told of.
const TURN: Duration = Duration::from_secs(15);

/// Nobody has crashed.
const FREE: u32 = 0;
/// A thread writes to the note.
const NOTING: u32 = 1;
/// The note has all but the frames.
const WALKING: u32 = 2;
/// The note is complete.
const NOTED: u32 = 3;
/// The text is being written.
const WRITING: u32 = 4;
/// It is written.
const WRITTEN: u32 = 5;
/// The reporter cannot.
const FAILED: u32 = 6;
/// The thread that crashed has stopped waiting.
const LATE: u32 = 7;
/// The walk has not come to an end: the reporter tells what there is, and ends the process.
const HANGS: u32 = 8;

static STATE: AtomicU32 = AtomicU32::new(FREE);
static NOTE: Note = Note::new();
static DESCRIBE: OnceLock<Describe> = OnceLock::new();
/// The process that has a reporter, and the number of its thread.
static PROCESS: AtomicI32 = AtomicI32::new(0);
static REPORTER: AtomicI32 = AtomicI32::new(0);
/// It has met a fault itself, and serves nobody any more.
static GONE: AtomicBool = AtomicBool::new(false);

/// Starts the reporter, unless there is one; says whether there was none.
///
/// # Errors
/// The system has no thread.
pub(super) fn start(describe: Describe) -> io::Result<bool> {
    static STARTING: Mutex<()> = Mutex::new(());
    let _one = STARTING.lock();
    if DESCRIBE.get().is_some() {
        return Ok(false);
    }
    // The thread takes no signal that is the program's: what is sent to the process waits for the program's own threads, also where these hold it back.
    let held = Held::all();
    let started = std::thread::Builder::new().name("crash-reports".to_owned()).spawn(|| {
        REPORTER.store(this_thread(), Ordering::Release);
        loop {
            serve_one();
        }
    });
    drop(held);
    started?;
    PROCESS.store(process(), Ordering::Release);
    Ok(DESCRIBE.set(describe).is_ok())
}

/// A set of signals.
pub(super) fn blocked(signals: &[c_int]) -> libc::sigset_t {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is initialized before it is used.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        set.assume_init()
    }
}

/// Waits until somebody has crashed, and tells it.
fn serve_one() {
    let state = STATE.load(Ordering::Acquire);
    if state != WALKING && state != NOTED {
        wait(state, None);
        return;
    }
    if state == WALKING {
        wait_while(WALKING, WALK);
        if STATE.compare_exchange(WALKING, HANGS, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return;
        }
    }
    let state = STATE.load(Ordering::Acquire);
    // Here it may meet a fault of its own.
    let own = blocked(&SIGNALS);
    // SAFETY: the set is initialized.
    let hold_back = |how| unsafe { libc::pthread_sigmask(how, &raw const own, ptr::null_mut()) };
    hold_back(libc::SIG_UNBLOCK);
    let text = text();
    hold_back(libc::SIG_BLOCK);
    let Ok(text) = text else { return fail() };
    if step(state, WRITING) {
        write_all(&text);
        if state == HANGS {
            end_by(NOTE.facts().0);
        }
        // Whoever has stopped waiting meanwhile is gone.
        let _ = step(WRITING, WRITTEN);
    }
}

/// The text for what is noted.
fn text() -> Result<Vec<u8>, ()> {
    let describe = DESCRIBE.get().ok_or(())?;
    let fault = NOTE.fault();
    catch_unwind(AssertUnwindSafe(|| describe(&fault))).map_err(drop)
}

/// The reporter cannot tell: whoever waits for it is to know.
fn fail() {
    if STATE.load(Ordering::Acquire) == HANGS {
        plain::write(&NOTE, "names could not be looked up, and the stack not be walked to its end");
        end_by(NOTE.facts().0);
    }
    // Who has stopped waiting meanwhile knows.
    let _ = step(NOTED, FAILED) || step(WRITING, FAILED);
}

/// Does not come back if this is the reporter, which has met a fault itself.
pub(super) fn stop_the_reporter() {
    if process() != PROCESS.load(Ordering::Acquire) || this_thread() != REPORTER.load(Ordering::Acquire) {
        return;
    }
    GONE.store(true, Ordering::Release);
    fail();
    loop {
        wait(STATE.load(Ordering::Acquire), None);
    }
}

/// Tells of a signal, on the thread that has met it. Comes back when that is done, or cannot be. Where the process is about to end by this signal (`is_last`), what another thread meets
/// meanwhile is not told: it waits for the end.
///
/// # Safety
/// Called by a handler with what the kernel has passed.
pub(super) unsafe fn tell(signal: c_int, info: *const libc::siginfo_t, context: *mut c_void, is_last: bool) {
    if process() != PROCESS.load(Ordering::Acquire) {
        // SAFETY: the caller's promise.
        unsafe { tell_in_a_child(signal, info, context) };
        return;
    }
    let mut left = TURN;
    const NAP: Duration = Duration::from_millis(50);
    while !step(FREE, NOTING) {
        if left.is_zero() {
            return;
        }
        wait(STATE.load(Ordering::Acquire), Some(NAP));
        left = left.saturating_sub(NAP);
    }
    // SAFETY: the caller's promise; this thread alone has the note.
    unsafe {
        NOTE.fill(signal, info, context);
        let _ = step(NOTING, WALKING);
        walk(&NOTE, context);
    }
    if !step(WALKING, NOTED) {
        // The reporter has given this thread up, and is about to end the process.
        loop {
            wait(STATE.load(Ordering::Acquire), None);
        }
    }
    if !GONE.load(Ordering::Acquire) {
        wait_while(NOTED, TEXT);
    }
    if step(NOTED, LATE) {
        plain::write(&NOTE, "names could not be looked up in time: this thread may have a lock that is needed for it");
    } else if step(FAILED, LATE) {
        plain::write(&NOTE, "names could not be looked up: the thread that does it has met a fault itself");
    }
    wait_while(WRITING, TEXT);
    if !is_last {
        STATE.store(FREE, Ordering::Release);
        wake();
    }
}

/// As [`tell`], in a process that was forked and has no reporter. It has one thread at first; whichever it is that crashes tells.
///
/// # Safety
/// As [`tell`].
unsafe fn tell_in_a_child(signal: c_int, info: *const libc::siginfo_t, context: *mut c_void) {
    static TELLS: AtomicI32 = AtomicI32::new(0);
    let own = process();
    if TELLS.swap(own, Ordering::AcqRel) == own {
        return;
    }
    // SAFETY: the caller's promise.
    unsafe {
        NOTE.fill(signal, info, context);
        walk(&NOTE, context);
    }
    if !tell_in_a_copy() {
        plain::write(&NOTE, "names could not be looked up in this child of the process");
    }
    TELLS.store(0, Ordering::Release);
}

/// Has a copy of this process write the report; says whether it did. A copy has this thread only: a lock that another one has here is never given back there.
fn tell_in_a_copy() -> bool {
    const STACK: usize = 1 << 20;
    extern "C" fn copy(_: *mut c_void) -> c_int {
        SIGNALS.iter().for_each(|signal| set_default(*signal));
        let Ok(text) = text() else { return 1 };
        write_all(&text);
        0
    }
    // SAFETY: a new mapping at an address of the kernel's choice, which goes with the process.
    let stack = unsafe {
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        libc::mmap(ptr::null_mut(), STACK, prot, flags, -1, 0)
    };
    if stack == libc::MAP_FAILED {
        return false;
    }
    // SAFETY: the function runs on a stack of its own in a copy of this memory. The flags ask for no signal at its end: the program has not started it.
    let child = unsafe { libc::clone(copy, stack.byte_add(STACK), 0, ptr::null_mut()) };
    let mut status = 0;
    let mut left = TEXT;
    const NAP: Duration = Duration::from_millis(5);
    // SAFETY: asks for the end of the copy, and ends it.
    while child > 0 && unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG | libc::__WALL) } == 0 {
        if left.is_zero() {
            // SAFETY: as above.
            unsafe {
                libc::kill(child, libc::SIGKILL);
                libc::waitpid(child, &raw mut status, libc::__WALL);
            }
        }
        nap(NAP);
        left = left.saturating_sub(NAP);
    }
    // SAFETY: mapped above; the copy has its own.
    unsafe { libc::munmap(stack, STACK) };
    child > 0 && libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
}

fn process() -> c_int {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// Makes `signal` end the process that gets it.
pub(super) fn set_default(signal: c_int) {
    // SAFETY: SIG_DFL installs no handler.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// Ends this process by `signal`, whoever is where.
fn end_by(signal: c_int) {
    set_default(signal);
    let own = blocked(&[signal]);
    // SAFETY: the reporter may be interrupted by the signals that it tells of.
    unsafe {
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const own, ptr::null_mut());
        libc::raise(signal);
        libc::_exit(128 + signal);
    }
}

fn step(from: u32, to: u32) -> bool {
    let done = STATE.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok();
    if done {
        wake();
    }
    done
}

fn wake() {
    // Nobody may wait.
    let _ = futex::wake(&STATE, futex::Flags::PRIVATE, u32::MAX >> 1);
}

/// Waits until the state is another than `state`, for so long at most; may come back before.
fn wait(state: u32, at_most: Option<Duration>) {
    let at_most = at_most.map(timespec);
    // Woken up, interrupted, too late or changed already: the caller looks.
    let _ = futex::wait(&STATE, futex::Flags::PRIVATE, state, at_most.as_ref());
}

fn wait_while(state: u32, at_most: Duration) {
    const NAP: Duration = Duration::from_millis(50);
    let mut left = at_most;
    while STATE.load(Ordering::Acquire) == state && !left.is_zero() {
        wait(state, Some(NAP));
        left = left.saturating_sub(NAP);
    }
}

fn nap(duration: Duration) {
    let _ = rustix::thread::nanosleep(&timespec(duration));
}

fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs() as i64, tv_nsec: i64::from(duration.subsec_nanos()) }
}

/// Writes to standard error, whoever else writes there. One that is gone cannot be told of that.
pub(super) fn write_all(mut bytes: &[u8]) {
    let stderr = rustix::stdio::stderr();
    while !bytes.is_empty() {
        match rustix::io::write(stderr, bytes) {
            Ok(0) => return,
            Ok(count) => bytes = &bytes[count..],
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
    }
}
