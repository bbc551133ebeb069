//! Signals: as a program expects to find them, and on their way to one that runs elsewhere.
//!
//! `unsafe` because dispositions and masks belong to the whole process.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::mem::MaybeUninit;

/// Signals that people send to a program by way of orc.
const PASSED_ON: [c_int; 8] = [
    libc::SIGINT,
    libc::SIGTERM,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGCONT,
    libc::SIGWINCH,
];

/// Rust's runtime ignores SIGPIPE; a program that writes into a closed pipe expects to end, as it would have natively.
pub(crate) fn restore_defaults() {
    // It also takes two others to tell of a full stack, and then lets a program go on that has raised one of them.
    for signal in [libc::SIGPIPE, libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: SIG_DFL installs no handler, and orc has started no thread that could rely on the old disposition.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// A signal that came, and whether a terminal sent it, which sends it to the whole group of processes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Came {
    pub(crate) signal: c_int,
    pub(crate) from_terminal: bool,
}

/// Gives signals to `take`, on a thread of its own, from now on. Called before there are other threads: these inherit the mask.
///
/// # Errors
/// No thread.
pub(crate) fn pass_on(mut take: impl FnMut(Came) + Send + 'static) -> std::io::Result<()> {
    // SAFETY: the set is initialized before it is used; a mask only holds signals back, for the thread below to take.
    let set = unsafe {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        for signal in PASSED_ON {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        let set = set.assume_init();
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        set
    };
    let wait = move || loop {
        // SAFETY: all zero is a valid siginfo_t, which the system overwrites.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: both pointers are to our own variables.
        let signal = unsafe { libc::sigwaitinfo(&raw const set, &raw mut info) };
        if signal > 0 {
            // The kernel itself sends what a terminal asks for, and nothing else of these.
            take(Came { signal, from_terminal: info.si_code > 0 });
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait)?;
    Ok(())
}

/// Ends this process by a signal, as if it had not been held back.
pub(crate) fn die_of(signal: c_int) {
    // SAFETY: the set is initialized before it is used; the default action is what the signal would have done.
    unsafe {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signal);
        libc::signal(signal, libc::SIG_DFL);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), std::ptr::null_mut());
        libc::raise(signal);
    }
}
