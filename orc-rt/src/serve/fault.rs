//! What a process that dies of a signal leaves behind for its supervisor: which instruction, which address, where it was called from.
//!
//! The process writes it, in a handler of the signal, to a page that it shares with its supervisor; then the signal does what it would
//! have done. A handler of the program's own takes the place of ours, as it does natively. What is written, and how the stack is walked, is [`crash`](crate::crash)'s;
//! here it needs nobody to make a text of it. Not for going on after a fault.
//!
//! Only what POSIX allows in a handler happens in it, but for walking the stack, which comes last: the page has the rest by then, and an
//! alarm ends a walk that hangs.
//!
//! `unsafe` because signal handlers and the shared page are the system's, by address.
#![allow(unsafe_code)]

use crate::crash::{self, Note, SIGNALS};
use crate::service::down::Fault;
use rustix::mm::{MapFlags, ProtFlags};
use std::ffi::{c_int, c_void};
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// Seconds that a walk over the stack may take.
const PATIENCE: u32 = 2;

/// The page, by the process that dies and the one that looks.
#[repr(C)]
#[derive(Debug)]
struct Page {
    /// 0: nothing; 1: being written; 2: all but the frames; 3: complete.
    state: AtomicU32,
    /// 1: the controller is lost, and the process ends because of that.
    lost: AtomicU32,
    note: Note,
}

/// The page of this process, once it has one.
static PAGE: AtomicPtr<Page> = AtomicPtr::new(ptr::null_mut());

/// Memory that a process and those that it forks share.
#[derive(Debug)]
pub(crate) struct Record(&'static Page);

impl Record {
    /// An empty record.
    ///
    /// # Errors
    /// The system has no page.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = MapFlags::SHARED;
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        let page = unsafe {
            rustix::mm::mmap_anonymous(ptr::null_mut(), size_of::<Page>(), ProtFlags::READ | ProtFlags::WRITE, flags)?
        };
        // SAFETY: mapped just now with the size of a page, never unmapped (a process has one), and zeros are a valid page; everything
        // in it is atomic.
        Ok(Self(unsafe { &*page.cast::<Page>() }))
    }

    /// Whether the process has noted that its controller is lost.
    pub(crate) fn lost(&self) -> bool {
        self.0.lost.load(Ordering::Acquire) != 0
    }

    /// What was written, if anything was.
    pub(crate) fn fault(&self) -> Option<Fault> {
        (self.0.state.load(Ordering::Acquire) >= 2).then(|| self.0.note.fault())
    }

    /// Makes this process write its last fault here, and prepares the calling thread.
    pub(crate) fn watch(&self) {
        PAGE.store(ptr::from_ref(self.0).cast_mut(), Ordering::Release);
        crash::prepare_threads();
        for signal in SIGNALS {
            // SAFETY: all zero is a valid action; the handler does only what handlers may, and the rest is argued at the head.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = record as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
                libc::sigaction(signal, &raw const action, ptr::null_mut());
            }
        }
    }
}

/// Notes, where there is a supervisor, that this process is about to end because its controller is lost.
pub(crate) fn note_lost_controller() {
    let page = PAGE.load(Ordering::Acquire);
    if !page.is_null() {
        // SAFETY: a record's page is never unmapped.
        unsafe { &*page }.lost.store(1, Ordering::Release);
    }
}

/// The handler.
unsafe extern "C" fn record(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: what the kernel passes, passed on.
    if unsafe { crash::abandon(context) } {
        return;
    }
    let page = PAGE.load(Ordering::Acquire);
    if !page.is_null() {
        // SAFETY: a record's page is never unmapped.
        let page = unsafe { &*page };
        // The first thread that dies tells.
        if page.state.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            // SAFETY: what the kernel passes, passed on; one thread comes here. The default action ends the process if the unwinder waits for a lock that the interrupted
            // code holds.
            unsafe {
                page.note.fill(signal, info, context);
                page.state.store(2, Ordering::Release);
                libc::signal(libc::SIGALRM, libc::SIG_DFL);
                libc::alarm(PATIENCE);
                crash::walk(&page.note, context);
            }
            page.state.store(3, Ordering::Release);
        } else {
            // The others leave it the time for that; the alarm ends all of them.
            for _ in 0..PATIENCE * 1000 {
                if page.state.load(Ordering::Acquire) == 3 {
                    break;
                }
                // SAFETY: sleeps.
                unsafe { libc::usleep(1000) };
            }
        }
    }
    // SAFETY: `info` is the kernel's; SIG_DFL installs no handler.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        if !crash::comes_again(signal, (*info).si_code) {
            libc::raise(signal);
        }
    }
}
