//! What a signal has interrupted, as the kernel leaves it (`ucontext_t`), and a call that its handler can give up.
//!
//! `unsafe` because registers are read and written where the kernel has left them.

use std::ffi::{c_int, c_void};
use std::sync::atomic::AtomicU64;

/// `struct _aarch64_ctx`, and the record that says why (`struct esr_context`, linux `asm/sigcontext.h`).
const ESR_MAGIC: u32 = 0x4553_5201;
/// What there is of records behind the registers.
const RECORDS: usize = 4096;

/// What a fault's instruction wanted of its address, from the exception syndrome (Arm ARM D17.2.37): 0 unknown, 1 read, 2 write, 3 execute.
///
/// # Safety
/// `context` is what the kernel passes to a handler.
pub(crate) unsafe fn access(signal: c_int, context: *const c_void) -> u32 {
    /// `EC`, from a lower exception level: an instruction could not be fetched, data not be read or written; and in the latter `WnR`, whether it was to be written.
    const INSTRUCTION: u64 = 0x20;
    const DATA: u64 = 0x24;
    const WRITE: u64 = 1 << 6;
    if signal != libc::SIGSEGV && signal != libc::SIGBUS {
        return 0;
    }
    // SAFETY: the caller's promise.
    let Some(syndrome) = (unsafe { syndrome(context) }) else { return 0 };
    match syndrome >> 26 & 0x3f {
        INSTRUCTION => 3,
        DATA if syndrome & WRITE != 0 => 2,
        DATA => 1,
        _ => 0,
    }
}

/// ESR_EL1 as it was at the fault, if the kernel has put it there.
///
/// # Safety
/// As [`access`].
unsafe fn syndrome(context: *const c_void) -> Option<u64> {
    // SAFETY: the caller's promise: a ucontext_t, which ends in 4096 bytes of records, each with a magic number and its size, the last of size 0. Nothing is read behind them.
    unsafe {
        let registers = &raw const (*context.cast::<libc::ucontext_t>()).uc_mcontext;
        let records = registers.byte_add(size_of::<libc::mcontext_t>() - RECORDS).cast::<u8>();
        let mut at = 0;
        while at + 16 <= RECORDS {
            let [magic, size] = records.add(at).cast::<[u32; 2]>().read_unaligned();
            if magic == ESR_MAGIC {
                return Some(records.add(at + 8).cast::<u64>().read_unaligned());
            }
            if size == 0 {
                return None;
            }
            at += size as usize;
        }
    }
    None
}

/// Instruction and stack pointer of what a signal interrupted.
///
/// # Safety
/// As [`access`].
pub(crate) unsafe fn registers(context: *const c_void) -> (u64, u64) {
    // SAFETY: the caller's promise: a ucontext_t.
    let registers = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext };
    (registers.pc, registers.sp)
}

/// Where the thread goes on when the handler returns, and with which stack.
///
/// # Safety
/// As [`access`], and code can go on so.
pub(crate) unsafe fn set_registers(context: *mut c_void, (instruction, stack): (u64, u64)) {
    // SAFETY: the caller's promise: a ucontext_t.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext };
    (registers.pc, registers.sp) = (instruction, stack);
}

/// The registers with which the caller goes on, where the interrupted instruction was called and has not begun: its return address is in a register.
///
/// # Safety
/// As [`access`].
pub(crate) unsafe fn caller(context: *const c_void) -> (u64, u64) {
    // SAFETY: the caller's promise: a ucontext_t.
    let registers = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext };
    (registers.regs[30], registers.sp)
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
        "stp x29, x30, [sp, #-160]!",
        ".cfi_def_cfa_offset 160",
        ".cfi_offset x29, -160",
        ".cfi_offset x30, -152",
        "mov x29, sp",
        ".cfi_def_cfa_register x29",
        "stp x19, x20, [sp, #16]",
        ".cfi_offset x19, -144",
        ".cfi_offset x20, -136",
        "stp x21, x22, [sp, #32]",
        ".cfi_offset x21, -128",
        ".cfi_offset x22, -120",
        "stp x23, x24, [sp, #48]",
        ".cfi_offset x23, -112",
        ".cfi_offset x24, -104",
        "stp x25, x26, [sp, #64]",
        ".cfi_offset x25, -96",
        ".cfi_offset x26, -88",
        "stp x27, x28, [sp, #80]",
        ".cfi_offset x27, -80",
        ".cfi_offset x28, -72",
        "stp d8, d9, [sp, #96]",
        "stp d10, d11, [sp, #112]",
        "stp d12, d13, [sp, #128]",
        "stp d14, d15, [sp, #144]",
        "mov x9, sp",
        "str x9, [x2]",
        "mov x9, x0",
        "mov x0, x1",
        "blr x9",
        "b {leave}",
        ".cfi_endproc",
        leave = sym leave_guarded,
    )
}

/// Returns from [`guarded`], whatever was called there.
///
/// # Safety
/// The stack pointer is what `guarded` has left at `back`, and it has not returned.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn leave_guarded() {
    std::arch::naked_asm!(
        "ldp x19, x20, [sp, #16]",
        "ldp x21, x22, [sp, #32]",
        "ldp x23, x24, [sp, #48]",
        "ldp x25, x26, [sp, #64]",
        "ldp x27, x28, [sp, #80]",
        "ldp d8, d9, [sp, #96]",
        "ldp d10, d11, [sp, #112]",
        "ldp d12, d13, [sp, #128]",
        "ldp d14, d15, [sp, #144]",
        "ldp x29, x30, [sp], #160",
        "ret",
    )
}
