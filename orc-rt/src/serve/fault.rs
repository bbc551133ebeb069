//! What a process that dies of a signal leaves behind: which instruction, which address, where it was called from.
//!
//! The process writes it, in a handler of the signal, to a page that it shares with its supervisor; then the signal does what it would
//! have done. A handler of the program's own takes the place of ours, as it does natively. Not for going on after a fault.
//!
//! Only what POSIX allows in a handler happens in it, but for walking the stack, which comes last: the page has the rest by then, and an
//! alarm ends a walk that hangs.
//!
//! `unsafe` because signal handlers, their stacks and the shared page are the system's, by address.
#![allow(unsafe_code)]

use crate::service::down::Fault;
use rustix::mm::{MapFlags, ProtFlags};
use std::ffi::{c_int, c_void};
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// Signals that a program dies of by its own doing.
const SIGNALS: [c_int; 7] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGABRT, libc::SIGTRAP, libc::SIGSYS];
/// Return addresses that are kept.
const FRAMES: usize = 64;
/// Seconds that a walk over the stack may take.
const PATIENCE: u32 = 2;

/// The page, by the process that dies and the one that looks.
#[repr(C)]
#[derive(Debug)]
struct Page {
    /// 0: nothing; 1: being written; 2: all but the frames.
    state: AtomicU32,
    /// 1: the controller is lost, and the process ends because of that.
    lost: AtomicU32,
    signal: AtomicI32,
    code: AtomicI32,
    address: AtomicU64,
    instruction: AtomicU64,
    stack: AtomicU64,
    access: AtomicU32,
    thread: [AtomicU64; 2],
    count: AtomicU32,
    frames: [AtomicU64; FRAMES],
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
        let page = self.0;
        if page.state.load(Ordering::Acquire) < 2 {
            return None;
        }
        let name: Vec<u8> = page.thread.iter().flat_map(|part| part.load(Ordering::Relaxed).to_ne_bytes()).collect();
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        let count = (page.count.load(Ordering::Acquire) as usize).min(FRAMES);
        Some(Fault {
            signal: page.signal.load(Ordering::Relaxed),
            code: page.code.load(Ordering::Relaxed),
            address: page.address.load(Ordering::Relaxed),
            instruction: page.instruction.load(Ordering::Relaxed),
            stack: page.stack.load(Ordering::Relaxed),
            access: page.access.load(Ordering::Relaxed) as u8,
            thread: String::from_utf8_lossy(name).into_owned(),
            frames: page.frames[..count].iter().map(|frame| frame.load(Ordering::Relaxed)).collect(),
        })
    }

    /// Makes this process write its last fault here, and prepares the calling thread.
    pub(crate) fn watch(&self) {
        PAGE.store(ptr::from_ref(self.0).cast_mut(), Ordering::Release);
        super::handler_stack::prepare_thread();
        for signal in SIGNALS {
            // SAFETY: all zero is a valid action; the handler does only what handlers may, and the rest is argued at the head.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = record as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESETHAND;
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
    let page = PAGE.load(Ordering::Acquire);
    if !page.is_null() {
        // SAFETY: a record's page is never unmapped.
        let page = unsafe { &*page };
        // The first thread that dies tells.
        if page.state.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            let (instruction, stack) = machine::registers(context);
            page.signal.store(signal, Ordering::Relaxed);
            // SAFETY: the kernel passes a valid description.
            let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as u64) };
            page.code.store(code, Ordering::Relaxed);
            page.address.store(address, Ordering::Relaxed);
            page.instruction.store(instruction, Ordering::Relaxed);
            page.stack.store(stack, Ordering::Relaxed);
            page.access.store(machine::access(signal, context), Ordering::Relaxed);
            let mut name = [0u8; 16];
            // SAFETY: both only ask; the system writes at most 16 bytes.
            unsafe {
                if libc::gettid() != libc::getpid() {
                    libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr());
                }
            }
            for (part, bytes) in page.thread.iter().zip(name.chunks_exact(8)) {
                part.store(bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)), Ordering::Relaxed);
            }
            page.state.store(2, Ordering::Release);
            walk(page, instruction);
        }
    }
    // SAFETY: `info` as above. What somebody sent does not come again by itself, as a fault does when its instruction is run again;
    // the action is the default one by now (`SA_RESETHAND`).
    unsafe {
        if (*info).si_code <= 0 {
            libc::raise(signal);
        }
    }
}

/// Notes the return addresses from the interrupted instruction on.
fn walk(page: &Page, instruction: u64) {
    unsafe extern "C" {
        fn _Unwind_Backtrace(
            each: unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int,
            argument: *mut c_void,
        ) -> c_int;
        fn _Unwind_GetIP(context: *mut c_void) -> usize;
    }
    struct Walk<'a> {
        page: &'a Page,
        instruction: u64,
        /// Behind the frames of the handler.
        begun: bool,
    }
    unsafe extern "C" fn each(context: *mut c_void, argument: *mut c_void) -> c_int {
        const GO_ON: c_int = 0;
        const STOP: c_int = 4;
        // SAFETY: the unwinder passes what it was given, and a context of its own.
        let (walk, ip) = unsafe { (&mut *argument.cast::<Walk<'_>>(), _Unwind_GetIP(context) as u64) };
        walk.begun |= ip == walk.instruction;
        if !walk.begun {
            return GO_ON;
        }
        let count = walk.page.count.load(Ordering::Relaxed) as usize;
        let Some(frame) = walk.page.frames.get(count) else { return STOP };
        frame.store(ip, Ordering::Relaxed);
        walk.page.count.store(count as u32 + 1, Ordering::Release);
        if ip == 0 { STOP } else { GO_ON }
    }
    // SAFETY: the default action ends the process if the unwinder waits for a lock that the interrupted code holds.
    unsafe {
        libc::signal(libc::SIGALRM, libc::SIG_DFL);
        libc::alarm(PATIENCE);
    }
    let mut walk = Walk { page, instruction, begun: false };
    // SAFETY: `each` gets just this argument, and takes it for what it is.
    unsafe { _Unwind_Backtrace(each, (&raw mut walk).cast()) };
}

#[cfg(target_arch = "x86_64")]
mod machine {
    use std::ffi::{c_int, c_void};

    /// What a fault's instruction wanted of its address, from the error code of the page fault (Intel SDM volume 3, 5.7).
    pub(super) fn access(signal: c_int, context: *mut c_void) -> u32 {
        if signal != libc::SIGSEGV && signal != libc::SIGBUS {
            return 0;
        }
        const PAGE_FAULT: i64 = 14;
        // SAFETY: the kernel passes a ucontext_t to handlers that ask for information.
        let registers = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
        let error = registers[libc::REG_ERR as usize];
        match registers[libc::REG_TRAPNO as usize] {
            PAGE_FAULT if error & 0x10 != 0 => 3,
            PAGE_FAULT if error & 2 != 0 => 2,
            PAGE_FAULT => 1,
            _ => 0,
        }
    }

    /// Instruction and stack pointer of what a signal interrupted.
    pub(super) fn registers(context: *mut c_void) -> (u64, u64) {
        // SAFETY: the kernel passes a ucontext_t to handlers that ask for information.
        let registers = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
        (registers[libc::REG_RIP as usize] as u64, registers[libc::REG_RSP as usize] as u64)
    }
}
#[cfg(not(target_arch = "x86_64"))]
compile_error!("this machine needs its registers in serve/fault.rs");
