//! Threads that note themselves, where the system does not say where they are: user-mode emulators have no get_robust_list(2).
//!
//! It begins in a process with one thread ([`begin`]). From then on whoever makes a thread through a slot of a global offset table makes it here, and the thread notes its
//! thread pointer before its function runs, until it ends. Not for threads that the C library makes for itself, which run no code of others (but for those of timers); not for
//! systems that can be asked, where nothing of this happens.
//!
//! `unsafe` because functions and arguments of threads come as C pointers, and because what libraries call is changed.
#![allow(unsafe_code)]

use super::threads;
use crate::machine::tls as machine;
use crate::native::system_symbol;
use crate::slots::{self, Lead};
use crate::sync::leaf::{Mutex, RwLock, RwLockWriteGuard};
use crate::sys::{self, loaded};
use std::collections::BTreeSet;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What pthread_create(3) runs, and itself.
type Function = unsafe extern "C-unwind" fn(*mut c_void) -> *mut c_void;
type Create =
    unsafe extern "C-unwind" fn(*mut libc::pthread_t, *const libc::pthread_attr_t, Function, *mut c_void) -> c_int;

/// How often destructors of keys run at the end of a thread (`PTHREAD_DESTRUCTOR_ITERATIONS`).
const ROUNDS: usize = 4;

/// The thread pointers of all threads. Whoever has it locked keeps them from ending.
static SEEN: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());

/// Held by whoever makes a thread, as one of many, until it has noted itself.
static MAKING: RwLock<()> = RwLock::new(());

/// The C library's pthread_create(3), once threads are noted; 0 before.
static ORIGINAL: AtomicU64 = AtomicU64::new(0);

/// How many objects had been loaded when slots were led here last.
static LED_AT: AtomicU64 = AtomicU64::new(0);

/// Has threads note themselves from now on, if they cannot be found otherwise and there is only this one.
pub(crate) fn begin() {
    if threads::are_told() || is_begun() {
        return;
    }
    let alone = threads::is_alone().unwrap_or(false);
    let (Some(original), true) = (system_symbol(c"pthread_create"), alone) else { return };
    if key().is_none() {
        return;
    }
    note_this_thread();
    ORIGINAL.store(original, Ordering::Release);
    lead();
}

/// Whether every thread is noted.
pub(super) fn is_begun() -> bool {
    ORIGINAL.load(Ordering::Acquire) != 0
}

/// A library may have been loaded, which may make threads.
pub(crate) fn library_loaded() {
    if is_begun() && LED_AT.load(Ordering::Relaxed) != loaded::ever_loaded() {
        lead();
    }
}

/// Has the slots for pthread_create(3) lead here.
fn lead() {
    LED_AT.store(loaded::ever_loaded(), Ordering::Relaxed);
    let Ok(maps) = sys::mappings() else { return };
    let from = ORIGINAL.load(Ordering::Acquire);
    let lead = Lead { name: c"pthread_create", from, to: pthread_create as *const () as u64, except: None };
    // SAFETY: ours does for everybody what the original does, which it calls. It stays: executors are programs.
    loaded::with_all(|objects| unsafe { slots::lead(objects, &[lead], &maps) });
}

/// While this lives, no thread is made through a slot.
pub(super) struct NoMaking(#[expect(dead_code, reason = "held")] RwLockWriteGuard<'static, ()>);

/// Waits for threads that are being made.
pub(super) fn no_making() -> NoMaking {
    NoMaking(MAKING.write())
}

/// Runs `body` on the thread pointer of every thread but this one; none of them ends meanwhile.
pub(super) fn for_others(body: impl FnMut(u64)) {
    let own = machine::thread_pointer();
    SEEN.lock().iter().copied().filter(|pointer| *pointer != own).for_each(body);
}

/// What a new thread is given; it stays until the thread is noted.
struct Start {
    function: Function,
    argument: *mut c_void,
    noted: AtomicBool,
}

/// pthread_create(3), for everybody.
///
/// # Safety
/// As pthread_create(3).
unsafe extern "C-unwind" fn pthread_create(
    thread: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    function: Function,
    argument: *mut c_void,
) -> c_int {
    let start = Start { function, argument, noted: AtomicBool::new(false) };
    // SAFETY: the C library's function of this type.
    let create = unsafe { std::mem::transmute::<usize, Create>(ORIGINAL.load(Ordering::Acquire) as usize) };
    let _making = MAKING.read();
    // SAFETY: the caller's promise; the thread has taken what it needs of `start` when it is noted.
    let result = unsafe { create(thread, attributes, begin_thread, (&raw const start).cast_mut().cast()) };
    while result == 0 && !start.noted.load(Ordering::Acquire) {
        std::thread::yield_now();
    }
    result
}

/// # Safety
/// Called as the function of a new thread, with what `pthread_create` waits for it to take.
unsafe extern "C-unwind" fn begin_thread(start: *mut c_void) -> *mut c_void {
    // SAFETY: as above.
    let Start { function, argument, noted } = unsafe { &*start.cast::<Start>() };
    let (function, argument) = (*function, *argument);
    note_this_thread();
    noted.store(true, Ordering::Release);
    // SAFETY: whoever makes the thread says so. Nothing is to be dropped in this frame: pthread_exit(3) may unwind through it.
    unsafe { function(argument) }
}

fn note_this_thread() {
    SEEN.lock().insert(machine::thread_pointer());
    if let Some(key) = key() {
        // SAFETY: the key is there. It is one of the first, whose values need no memory (PTHREAD_KEY_2NDLEVEL_SIZE).
        unsafe { libc::pthread_setspecific(key, ptr::without_provenance(ROUNDS)) };
    }
}

/// The key whose destructor runs at the end of threads.
fn key() -> Option<libc::pthread_key_t> {
    static KEY: OnceLock<Option<libc::pthread_key_t>> = OnceLock::new();
    *KEY.get_or_init(|| {
        let mut key = 0;
        // SAFETY: the destructor is called with values of this key only.
        let made = unsafe { libc::pthread_key_create(&raw mut key, Some(end)) };
        (made == 0).then_some(key)
    })
}

/// # Safety
/// Called by the C library at the end of a thread, with the value of [`key`]: rounds that are left.
unsafe extern "C" fn end(left: *mut c_void) {
    // In the last round, after the destructors of all other keys.
    let left = left.addr() - 1;
    // SAFETY: the key is there: this is its destructor.
    let again = left > 0
        && key().is_some_and(|key| unsafe { libc::pthread_setspecific(key, ptr::without_provenance(left)) } == 0);
    if !again {
        SEEN.lock().remove(&machine::thread_pointer());
    }
}
