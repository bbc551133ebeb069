//! What a signal has interrupted, as the kernel leaves it (`ucontext_t`), and a call that its handler can give up.
//!
//! `unsafe` because registers are read and written where the kernel has left them.

use std::ffi::{c_int, c_void};
use std::sync::atomic::AtomicU64;

/// Where the instruction pointer, the return address and the stack pointer are among the registers (linux `asm/ptrace.h`, `struct user_regs_struct`).
const PC: usize = 0;
const RA: usize = 1;
const SP: usize = 2;

/// What a fault's instruction wanted of its address: not known (0), since the kernel does not pass the cause on.
///
/// # Safety
/// `context` is what the kernel passes to a handler.
pub(crate) unsafe fn access(_signal: c_int, _context: *const c_void) -> u32 {
    0
}

/// Instruction and stack pointer of what a signal interrupted.
///
/// # Safety
/// As [`access`].
pub(crate) unsafe fn registers(context: *const c_void) -> (u64, u64) {
    // SAFETY: the caller's promise: a ucontext_t.
    let registers = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext.__gregs };
    (registers[PC], registers[SP])
}

/// Where the thread goes on when the handler returns, and with which stack.
///
/// # Safety
/// As [`access`], and code can go on so.
pub(crate) unsafe fn set_registers(context: *mut c_void, (instruction, stack): (u64, u64)) {
    // SAFETY: the caller's promise: a ucontext_t.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.__gregs };
    (registers[PC], registers[SP]) = (instruction, stack);
}

/// The registers with which the caller goes on, where the interrupted instruction was called and has not begun: its return address is in a register.
///
/// # Safety
/// As [`access`].
pub(crate) unsafe fn caller(context: *const c_void) -> (u64, u64) {
    // SAFETY: the caller's promise: a ucontext_t.
    let registers = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext.__gregs };
    (registers[RA], registers[SP])
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
        ".option push",
        ".option arch, +d", // assembly outside of functions is for the base machine
        ".cfi_startproc",
        "addi sp, sp, -208",
        ".cfi_def_cfa_offset 208",
        "sd ra, 200(sp)",
        ".cfi_offset ra, -8",
        "sd s0, 192(sp)",
        ".cfi_offset s0, -16",
        "sd s1, 0(sp)",
        ".cfi_offset s1, -208",
        "sd s2, 8(sp)",
        ".cfi_offset s2, -200",
        "sd s3, 16(sp)",
        ".cfi_offset s3, -192",
        "sd s4, 24(sp)",
        ".cfi_offset s4, -184",
        "sd s5, 32(sp)",
        ".cfi_offset s5, -176",
        "sd s6, 40(sp)",
        ".cfi_offset s6, -168",
        "sd s7, 48(sp)",
        ".cfi_offset s7, -160",
        "sd s8, 56(sp)",
        ".cfi_offset s8, -152",
        "sd s9, 64(sp)",
        ".cfi_offset s9, -144",
        "sd s10, 72(sp)",
        ".cfi_offset s10, -136",
        "sd s11, 80(sp)",
        ".cfi_offset s11, -128",
        "fsd fs0, 88(sp)",
        "fsd fs1, 96(sp)",
        "fsd fs2, 104(sp)",
        "fsd fs3, 112(sp)",
        "fsd fs4, 120(sp)",
        "fsd fs5, 128(sp)",
        "fsd fs6, 136(sp)",
        "fsd fs7, 144(sp)",
        "fsd fs8, 152(sp)",
        "fsd fs9, 160(sp)",
        "fsd fs10, 168(sp)",
        "fsd fs11, 176(sp)",
        "sd sp, 0(a2)",
        "mv t0, a0",
        "mv a0, a1",
        "jalr t0",
        "j {leave}",
        ".cfi_endproc",
        ".option pop",
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
        ".option push",
        ".option arch, +d", // assembly outside of functions is for the base machine
        "ld s1, 0(sp)",
        "ld s2, 8(sp)",
        "ld s3, 16(sp)",
        "ld s4, 24(sp)",
        "ld s5, 32(sp)",
        "ld s6, 40(sp)",
        "ld s7, 48(sp)",
        "ld s8, 56(sp)",
        "ld s9, 64(sp)",
        "ld s10, 72(sp)",
        "ld s11, 80(sp)",
        "fld fs0, 88(sp)",
        "fld fs1, 96(sp)",
        "fld fs2, 104(sp)",
        "fld fs3, 112(sp)",
        "fld fs4, 120(sp)",
        "fld fs5, 128(sp)",
        "fld fs6, 136(sp)",
        "fld fs7, 144(sp)",
        "fld fs8, 152(sp)",
        "fld fs9, 160(sp)",
        "fld fs10, 168(sp)",
        "fld fs11, 176(sp)",
        "ld s0, 192(sp)",
        "ld ra, 200(sp)",
        "addi sp, sp, 208",
        "ret",
        ".option pop",
    )
}
