//! Calls in and out, whose conventions C does not have.
//!
//! `unsafe` because this is assembly.

use std::ffi::c_void;

/// Defines an entry point that passes its own return address to `$function`, behind as many arguments as it has.
macro_rules! with_caller {
    ($name:ident, 1, $function:path) => { $crate::machine::calls::with_caller!(@ $name, "rsi", $function); };
    ($name:ident, 2, $function:path) => { $crate::machine::calls::with_caller!(@ $name, "rdx", $function); };
    ($name:ident, 3, $function:path) => { $crate::machine::calls::with_caller!(@ $name, "rcx", $function); };
    ($name:ident, 4, $function:path) => { $crate::machine::calls::with_caller!(@ $name, "r8", $function); };
    (@ $name:ident, $register:literal, $function:path) => {
        #[unsafe(naked)]
        extern "C-unwind" fn $name() {
            std::arch::naked_asm!(concat!("mov ", $register, ", [rsp]"), "jmp {function}", function = sym $function)
        }
    };
}
pub(crate) use with_caller;

/// `f(data)`. To an unwinder the stack ends here, so an exception that nobody catches is the C++ runtime's to report.
///
/// # Safety
/// `f` takes this pointer.
#[unsafe(naked)]
pub(crate) unsafe extern "C-unwind" fn barrier(f: unsafe extern "C-unwind" fn(*mut c_void), data: *mut c_void) {
    std::arch::naked_asm!(
        ".cfi_startproc",
        ".cfi_undefined rip",
        "push rbp",
        "mov rbp, rsp",
        "mov rax, rdi",
        "mov rdi, rsi",
        "call rax",
        "pop rbp",
        "ret",
        ".cfi_endproc",
    )
}

/// The first byte of [`__jit_debug_register_code`]: `nop`.
pub(crate) const STOP_BEGINS_WITH: u8 = 0x90;

/// Debuggers stop here to read the list of linked code. Its bytes are fixed, so that a breakpoint shows.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn __jit_debug_register_code() {
    std::arch::naked_asm!(
        "nop", // 90
        "ret"  // c3
    )
}

/// How many valgrinds this runs under (valgrind.h, `RUNNING_ON_VALGRIND`).
pub(crate) fn valgrinds() -> u64 {
    /// `VG_USERREQ__RUNNING_ON_VALGRIND`, without arguments.
    const RUNNING_ON_VALGRIND: [u64; 6] = [0x1001, 0, 0, 0, 0, 0];
    let mut answer: u64 = 0;
    // SAFETY: four rotations by 128 bits in all, and an exchange of a register with itself: nothing, on a processor. Valgrind writes its answer to rdx.
    unsafe {
        std::arch::asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") RUNNING_ON_VALGRIND.as_ptr(),
            inout("rdx") answer,
            inout("rdi") 0_u64 => _,
        );
    }
    answer
}
