//! The return addresses on the stack of a thread that a signal has interrupted, from that thread's handler.
//!
//! The unwinder walks; it reads what it finds on a stack that may be damaged. A handler that is called again meanwhile, by a fault of the walk itself, calls [`abandon`], and
//! [`walk`] returns with what it has. Not for threads that are somewhere else.
//!
//! `unsafe` because registers and stacks are changed, by address, and because the unwinder is C's.
#![allow(unsafe_code)]

use super::{Note, this_thread};
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

unsafe extern "C" {
    fn _Unwind_Backtrace(each: unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int, argument: *mut c_void)
    -> c_int;
    fn _Unwind_GetIP(context: *mut c_void) -> usize;
}

/// The thread that walks, 0 for none. One walks at a time.
static WALKER: AtomicI32 = AtomicI32::new(0);
/// Where its stack goes on when it is to give up.
static BACK: AtomicU64 = AtomicU64::new(0);

struct Walk<'a> {
    note: &'a Note,
    context: *mut c_void,
    /// The address at which the interrupted frames begin, behind those of the handler.
    first: u64,
    begun: bool,
}

/// Adds the interrupted instruction to `note`, and the return addresses from there on.
///
/// # Safety
/// Called by the handler of a signal that `note` was filled for, with the `context` that the kernel has passed, and by one thread at a time.
pub(crate) unsafe fn walk(note: &Note, context: *mut c_void) {
    let (signal, _, address, instruction) = note.facts();
    note.push(instruction);
    let mut walk = Walk { note, context, first: instruction, begun: false };
    // SAFETY: the caller's promise.
    let before = unsafe { machine::registers(context) };
    // A call through a pointer to no code: the stack is still the caller's, but for the return address. The unwinder finds the interrupted registers in the kernel's frame,
    // which is this context.
    let is_call_to_nowhere = address == instruction && matches!(signal, libc::SIGSEGV | libc::SIGBUS);
    WALKER.store(this_thread(), Ordering::SeqCst);
    // SAFETY: `begin` gets just this argument, and is over when this returns, one way or the other.
    unsafe {
        let begin = if is_call_to_nowhere { from_caller } else { from_here };
        machine::guarded(begin, (&raw mut walk).cast(), &BACK);
    }
    WALKER.store(0, Ordering::SeqCst);
    if is_call_to_nowhere {
        // SAFETY: the caller's promise; these are what was there before.
        unsafe { machine::set_registers(context, before) };
    }
}

/// Has the walk of this thread return at once when the handler that was called with `context` does, if there is one.
///
/// # Safety
/// Called by a handler with the context that the kernel has passed.
pub(crate) unsafe fn abandon(context: *mut c_void) -> bool {
    if WALKER.load(Ordering::SeqCst) != this_thread() {
        return false;
    }
    WALKER.store(0, Ordering::SeqCst);
    let back = BACK.load(Ordering::SeqCst);
    // SAFETY: the caller's promise. `guarded` has not returned: its frame, to which `back` leads, is there.
    unsafe { machine::set_registers(context, (machine::leave_guarded as *const () as u64, back)) };
    true
}

/// # Safety
/// `argument` is a `Walk` that nobody else uses.
unsafe extern "C" fn from_here(argument: *mut c_void) {
    // SAFETY: `each` gets just this argument, and takes it for what it is.
    unsafe { _Unwind_Backtrace(each, argument) };
}

/// # Safety
/// As [`from_here`]; the interrupted instruction was called and has not begun.
unsafe extern "C" fn from_caller(argument: *mut c_void) {
    // SAFETY: the caller's promise. A stack that cannot be read ends the walk, as any fault does.
    unsafe {
        let walk = &mut *argument.cast::<Walk<'_>>();
        let (_, stack) = machine::registers(walk.context);
        let caller = std::ptr::with_exposed_provenance::<u64>(stack as usize).read_volatile();
        machine::set_registers(walk.context, (caller, stack + 8));
        walk.first = caller;
        from_here(argument);
    }
}

/// # Safety
/// Called by the unwinder with a context of its own and what it was given, a `Walk`.
unsafe extern "C" fn each(context: *mut c_void, argument: *mut c_void) -> c_int {
    const GO_ON: c_int = 0;
    const STOP: c_int = 4;
    // SAFETY: the caller's promise.
    let (walk, ip) = unsafe { (&mut *argument.cast::<Walk<'_>>(), _Unwind_GetIP(context) as u64) };
    if !walk.begun {
        walk.begun = ip == walk.first;
        let is_noted = walk.note.frames().last() == Some(ip);
        if !walk.begun || is_noted {
            return GO_ON;
        }
    }
    if walk.note.push(ip) && ip != 0 { GO_ON } else { STOP }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod machine {
    use std::ffi::{c_int, c_void};
    use std::sync::atomic::AtomicU64;

    /// What a fault's instruction wanted of its address, from the error code of the page fault (Intel SDM volume 3, 5.7): 0 unknown, 1 read, 2 write, 3 execute.
    ///
    /// # Safety
    /// `context` is what the kernel passes to a handler.
    pub(in crate::crash) unsafe fn access(signal: c_int, context: *const c_void) -> u32 {
        if signal != libc::SIGSEGV && signal != libc::SIGBUS {
            return 0;
        }
        const PAGE_FAULT: i64 = 14;
        // SAFETY: the caller's promise: a ucontext_t.
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
    ///
    /// # Safety
    /// As [`access`].
    pub(in crate::crash) unsafe fn registers(context: *const c_void) -> (u64, u64) {
        // SAFETY: the caller's promise: a ucontext_t.
        let registers = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
        (registers[libc::REG_RIP as usize] as u64, registers[libc::REG_RSP as usize] as u64)
    }

    /// Where the thread goes on when the handler returns, and with which stack.
    ///
    /// # Safety
    /// As [`access`], and code can go on so.
    pub(super) unsafe fn set_registers(context: *mut c_void, (instruction, stack): (u64, u64)) {
        // SAFETY: the caller's promise: a ucontext_t.
        let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
        registers[libc::REG_RIP as usize] = instruction as i64;
        registers[libc::REG_RSP as usize] = stack as i64;
    }

    /// `body(argument)`, with everything at `back` that [`leave_guarded`] needs to return in its place. The records are for the unwinder, which passes through here.
    ///
    /// # Safety
    /// `body` takes this argument; it keeps nothing that would be missed if it ended in the middle.
    #[unsafe(naked)]
    pub(super) unsafe extern "C" fn guarded(
        body: unsafe extern "C" fn(*mut c_void),
        argument: *mut c_void,
        back: &AtomicU64,
    ) {
        std::arch::naked_asm!(
            ".cfi_startproc",
            "push rbp",
            ".cfi_def_cfa_offset 16",
            ".cfi_offset rbp, -16",
            "mov rbp, rsp",
            ".cfi_def_cfa_register rbp",
            "push rbx",
            ".cfi_offset rbx, -24",
            "push r12",
            ".cfi_offset r12, -32",
            "push r13",
            ".cfi_offset r13, -40",
            "push r14",
            ".cfi_offset r14, -48",
            "push r15",
            ".cfi_offset r15, -56",
            "sub rsp, 8",
            "mov [rdx], rsp",
            "mov rax, rdi",
            "mov rdi, rsi",
            "call rax",
            "add rsp, 8",
            "pop r15",
            "pop r14",
            "pop r13",
            "pop r12",
            "pop rbx",
            "pop rbp",
            ".cfi_def_cfa rsp, 8",
            "ret",
            ".cfi_endproc",
        )
    }

    /// Returns from [`guarded`], whatever was called there. The direction of strings is what the psABI has it be at a return.
    ///
    /// # Safety
    /// The stack pointer is what `guarded` has left at `back`, and it has not returned.
    #[unsafe(naked)]
    pub(super) unsafe extern "C" fn leave_guarded() {
        std::arch::naked_asm!(
            "cld",
            "add rsp, 8",
            "pop r15",
            "pop r14",
            "pop r13",
            "pop r12",
            "pop rbx",
            "pop rbp",
            "ret"
        )
    }
}
#[cfg(not(target_arch = "x86_64"))]
compile_error!("this machine needs its registers in crash/walk.rs");
