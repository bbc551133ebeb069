//! Threads that were started with a function of a dylib: each keeps its dylib until it has ended (rule 24).
//!
//! Executed code that calls pthread_create(3) comes here; whose function the thread runs decides which dylib that is. The token goes when the thread
//! does, after destructors of thread-local objects and of the C library's keys, which may be the dylib's too. Not for threads that a shared
//! library starts, as libstdc++ does for `std::thread`, or that thrd_create(3) starts: of those nobody knows.
//!
//! `unsafe` because functions and arguments come as C pointers.
#![allow(unsafe_code)]

use crate::image::{self, Image};
use crate::keepalive::Keepalive;
use crate::sync::Arc;
use crate::waits::Activity;
use std::ffi::{c_int, c_void};
use std::sync::OnceLock;

/// What pthread_create(3) runs.
type Function = unsafe extern "C-unwind" fn(*mut c_void) -> *mut c_void;

/// How often destructors of keys run at the end of a thread (`PTHREAD_DESTRUCTOR_ITERATIONS`).
const ROUNDS: u32 = 4;

/// What a new thread is given.
struct Start {
    function: Function,
    argument: *mut c_void,
    image: Arc<Image>,
    /// The token of the thread that starts it, until it has its own.
    inside: Keepalive,
}

/// What a thread gives back when it ends.
struct End {
    _inside: Keepalive,
    /// Rounds of destructors that are to come.
    left: u32,
}

/// `int pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *)`
///
/// # Safety
/// As pthread_create(3).
pub(crate) unsafe extern "C-unwind" fn pthread_create(
    thread: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    function: Function,
    argument: *mut c_void,
) -> c_int {
    let Some((image, inside)) = keep(function) else {
        let _creation = crate::tls::creation();
        // SAFETY: the caller's promise.
        return unsafe { system::pthread_create(thread, attributes, function, argument) };
    };
    let start = Box::new(Start { function, argument, image, inside });
    let start = Box::into_raw(start);
    let result = {
        let _creation = crate::tls::creation();
        // SAFETY: the caller's promise; `begin` takes the box, once.
        unsafe { system::pthread_create(thread, attributes, begin, start.cast()) }
    };
    if result != 0 {
        // SAFETY: there is no thread that would take it.
        drop(unsafe { Box::from_raw(start) });
    }
    result
}

/// A token for the dylib that `function` is of, if it is executed code and can be let go again.
fn keep(function: Function) -> Option<(Arc<Image>, Keepalive)> {
    let image = image::at(function as usize as u64)?;
    let session = image.session.upgrade()?;
    key()?;
    let inside = session.enter(image.dylib, Some(image.id), Activity::WasStarted)?;
    Some((image, inside))
}

/// # Safety
/// Called as the function of a new thread, with what `pthread_create` has made for it.
unsafe extern "C-unwind" fn begin(start: *mut c_void) -> *mut c_void {
    crate::crash::prepare_thread_if_asked();
    // SAFETY: as above.
    let (function, argument) = unsafe { take_token(start) };
    // SAFETY: whoever started the thread said so. Nothing is to be dropped in this frame: pthread_exit(3) may unwind through it.
    unsafe { function(argument) }
}

/// # Safety
/// As [`begin`].
unsafe fn take_token(start: *mut c_void) -> (Function, *mut c_void) {
    // SAFETY: the caller's promise.
    let Start { function, argument, image, inside } = *unsafe { Box::from_raw(start.cast::<Start>()) };
    // That of the other thread serves as well when the session was shut down meanwhile.
    let session = image.session.upgrade();
    let own = session.and_then(|session| session.enter(image.dylib, Some(image.id), Activity::WasStarted));
    let (own, other) = match own {
        Some(own) => (own, Some(inside)),
        None => (inside, None),
    };
    let end = Box::into_raw(Box::new(End { _inside: own, left: ROUNDS - 1 }));
    // SAFETY: `keep` has made the key; `end` takes the box.
    let set = key().is_some_and(|key| unsafe { libc::pthread_setspecific(key, end.cast()) } == 0);
    if !set {
        // The system has no memory for it. Better that the code stays than that it goes.
        tracing::warn!(dylib = %image.dylib, "a thread of this dylib keeps it for good");
    }
    drop(other);
    (function, argument)
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
/// Called by the C library at the end of a thread, with the value of [`key`].
unsafe extern "C" fn end(value: *mut c_void) {
    let end = value.cast::<End>();
    // SAFETY: made by `take_token`, and not freed before the last round.
    let left = unsafe { &mut (*end).left };
    if *left > 0 {
        *left -= 1;
        // In the last round, after the destructors of all other keys.
        // SAFETY: the key is there: this is its destructor.
        if key().is_some_and(|key| unsafe { libc::pthread_setspecific(key, value) } == 0) {
            return;
        }
    }
    // SAFETY: as above; this is the last time that it is seen.
    drop(unsafe { Box::from_raw(end) });
}

mod system {
    use std::ffi::{c_int, c_void};
    unsafe extern "C-unwind" {
        pub(super) fn pthread_create(
            thread: *mut libc::pthread_t,
            attributes: *const libc::pthread_attr_t,
            function: super::Function,
            argument: *mut c_void,
        ) -> c_int;
    }
}
