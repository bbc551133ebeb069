//! The handler of signals that a process dies of, and what becomes of a signal that was told.
//!
//! `unsafe` because dispositions are the system's, and those of before are called by address.
#![allow(unsafe_code)]

use super::{SIGNALS, reporter, this_thread, walk};
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

/// What was installed before, in the order of [`SIGNALS`]. Complete before the first of ours is installed.
static BEFORE: OnceLock<[libc::sigaction; SIGNALS.len()]> = OnceLock::new();

/// Threads that run a handler of before, and where on its stack ours called it. A signal that comes meanwhile is that handler's matter and is not told; one that comes when the
/// stack is shorter again shows that it has left by other ways than a return.
static INSIDE: [(AtomicI32, AtomicU64); 16] = [const { (AtomicI32::new(0), AtomicU64::new(0)) }; 16];

/// Installs the handler, once.
pub(super) fn install() {
    // SAFETY: all zero is a valid action, which the system overwrites; asks only.
    let before = SIGNALS.map(|signal| unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, ptr::null(), &raw mut action);
        action
    });
    if BEFORE.set(before).is_err() {
        return;
    }
    for (signal, before) in SIGNALS.into_iter().zip(before) {
        if before.sa_sigaction == libc::SIG_IGN {
            continue;
        }
        // SAFETY: all zero is a valid action; the handler does only what handlers may. It may be interrupted by a signal of its own kind, which ends its walk.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handle as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
            libc::sigaction(signal, &raw const action, ptr::null_mut());
        }
    }
}

/// The handler. What was installed before may leave it by an exception.
///
/// # Safety
/// Called by the kernel.
unsafe extern "C-unwind" fn handle(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the thread's own variable; the arguments are the kernel's.
    unsafe {
        if walk::abandon(context) {
            return;
        }
        reporter::stop_the_reporter();
        let errno = *libc::__errno_location();
        if !is_inside_of_another() {
            let is_last = before(signal).is_none_or(|before| before.sa_sigaction == libc::SIG_DFL);
            reporter::tell(signal, info, context, is_last);
        }
        pass_on(signal, info, context);
        *libc::__errno_location() = errno;
    }
}

/// An address on the stack of the caller.
#[inline(always)]
fn here() -> u64 {
    let here = 0_u8;
    (&raw const here).addr() as u64
}

fn is_inside_of_another() -> bool {
    let (thread, here) = (this_thread(), here());
    let Some((owner, at)) = INSIDE.iter().find(|(owner, _)| owner.load(Ordering::Acquire) == thread) else {
        return false;
    };
    // One page, because frames of this handler differ.
    if here.saturating_add(4096) > at.load(Ordering::Acquire) {
        owner.store(0, Ordering::Release);
        return false;
    }
    true
}

/// What was installed before for a signal.
fn before(signal: c_int) -> Option<&'static libc::sigaction> {
    let known = SIGNALS.iter().position(|known| *known == signal)?;
    Some(&BEFORE.get()?[known])
}

/// Does what would have been done without us.
///
/// # Safety
/// The arguments are the kernel's.
unsafe fn pass_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    match before(signal) {
        Some(before) if before.sa_sigaction == libc::SIG_IGN => {}
        Some(before) if before.sa_sigaction != libc::SIG_DFL => {
            let place = INSIDE.iter().find(|(owner, _)| {
                owner.compare_exchange(0, this_thread(), Ordering::AcqRel, Ordering::Relaxed).is_ok()
            });
            if let Some((_, at)) = place {
                at.store(here(), Ordering::Release);
            }
            // SAFETY: the caller's promise.
            unsafe { call(before, signal, info, context) };
            if let Some((owner, _)) = place {
                owner.store(0, Ordering::Release);
            }
        }
        // SAFETY: the caller's promise.
        _ => unsafe { end(signal, info) },
    }
}

/// Calls a handler that was installed before, with the mask that it asked for.
///
/// # Safety
/// The arguments are the kernel's.
unsafe fn call(before: &libc::sigaction, signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    type Simple = unsafe extern "C-unwind" fn(c_int);
    type Informed = unsafe extern "C-unwind" fn(c_int, *mut libc::siginfo_t, *mut c_void);
    // SAFETY: whoever has installed it said that it is a function of this type. Masks are initialized.
    unsafe {
        let mut blocked = before.sa_mask;
        if before.sa_flags & libc::SA_NODEFER == 0 {
            libc::sigaddset(&raw mut blocked, signal);
        }
        let mut mask = reporter::blocked(&[]);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const blocked, &raw mut mask);
        if before.sa_flags & libc::SA_SIGINFO != 0 {
            std::mem::transmute::<usize, Informed>(before.sa_sigaction)(signal, info, context);
        } else {
            std::mem::transmute::<usize, Simple>(before.sa_sigaction)(signal);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const mask, ptr::null_mut());
    }
}

/// Whether a signal comes again by itself when its handler returns: the instruction runs again, and ends the process where it stands. What was sent does not, nor what an instruction has
/// left behind it (a breakpoint) or in place of which another way was gone (a system call that is forbidden).
pub(crate) fn comes_again(signal: c_int, code: c_int) -> bool {
    code > 0 && !matches!(signal, libc::SIGTRAP | libc::SIGSYS | libc::SIGABRT)
}

/// The default action, when this handler returns.
///
/// # Safety
/// `info` is the kernel's.
unsafe fn end(signal: c_int, info: *mut libc::siginfo_t) {
    reporter::set_default(signal);
    // SAFETY: the caller's promise.
    let code = unsafe { (*info).si_code };
    if !comes_again(signal, code) {
        let own = reporter::blocked(&[signal]);
        // SAFETY: held back until the handler returns, which brings the mask of before back: it is then delivered where the first one was, with the same description.
        unsafe {
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const own, ptr::null_mut());
            libc::syscall(libc::SYS_rt_tgsigqueueinfo, libc::getpid(), libc::gettid(), signal, info);
        }
    }
}
