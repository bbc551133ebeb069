//! What a signal has interrupted, as the kernel leaves it (`ucontext_t`), and a call that its handler can give up.
//!
//! `unsafe` because registers are read and written where the kernel has left them.

use std::ffi::{c_int, c_void};
use std::sync::atomic::AtomicU64;

/// What a fault's instruction wanted of its address, from the error code of the page fault (Intel SDM volume 3, 5.7): 0 unknown, 1 read, 2 write, 3 execute.
///
/// # Safety
/// `context` is what the kernel passes to a handler.
pub(crate) unsafe fn access(signal: c_int, context: *const c_void) -> u32 {
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
pub(crate) unsafe fn registers(context: *const c_void) -> (u64, u64) {
    // SAFETY: the caller's promise: a ucontext_t.
    let registers = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    (registers[libc::REG_RIP as usize] as u64, registers[libc::REG_RSP as usize] as u64)
}

/// Where the thread goes on when the handler returns, and with which stack.
///
/// # Safety
/// As [`access`], and code can go on so.
pub(crate) unsafe fn set_registers(context: *mut c_void, (instruction, stack): (u64, u64)) {
    // SAFETY: the caller's promise: a ucontext_t.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    registers[libc::REG_RIP as usize] = instruction as i64;
    registers[libc::REG_RSP as usize] = stack as i64;
}

/// The registers with which the caller goes on, where the interrupted instruction was called and has not begun: its return address is on the stack.
///
/// # Safety
/// As [`access`]. A stack that cannot be read is a fault.
pub(crate) unsafe fn caller(context: *const c_void) -> (u64, u64) {
    // SAFETY: the caller's promise.
    unsafe {
        let (_, stack) = registers(context);
        (std::ptr::with_exposed_provenance::<u64>(stack as usize).read_volatile(), stack + 8)
    }
}

/// `body(argument)`, with everything at `back` that [`leave_guarded`] needs to return in its place. The records are for the unwinder, which passes through here.
///
/// # Safety
/// `body` takes this argument; it keeps nothing that would be missed if it ended in the middle.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn guarded(
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
pub(crate) unsafe extern "C" fn leave_guarded() {
    std::arch::naked_asm!("cld", "add rsp, 8", "pop r15", "pop r14", "pop r13", "pop r12", "pop rbx", "pop rbp", "ret")
}
