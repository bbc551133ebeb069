//! Calls in and out, whose conventions C does not have.
//!
//! `unsafe` because this is assembly.

use std::ffi::c_void;

/// Defines an entry point that passes its own return address to `$function`, behind as many arguments as it has.
macro_rules! with_caller {
    ($name:ident, 1, $function:path) => { $crate::machine::calls::with_caller!(@ $name, "a1", $function); };
    ($name:ident, 2, $function:path) => { $crate::machine::calls::with_caller!(@ $name, "a2", $function); };
    ($name:ident, 3, $function:path) => { $crate::machine::calls::with_caller!(@ $name, "a3", $function); };
    ($name:ident, 4, $function:path) => { $crate::machine::calls::with_caller!(@ $name, "a4", $function); };
    (@ $name:ident, $register:literal, $function:path) => {
        #[unsafe(naked)]
        extern "C-unwind" fn $name() {
            std::arch::naked_asm!(
                concat!("mv ", $register, ", ra"),
                "tail {function}",
                function = sym $function
            )
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
        ".cfi_undefined ra",
        "addi sp, sp, -16",
        "sd ra, 8(sp)",
        "sd s0, 0(sp)",
        "addi s0, sp, 16",
        "mv t0, a0",
        "mv a0, a1",
        "jalr t0",
        "ld ra, 8(sp)",
        "ld s0, 0(sp)",
        "addi sp, sp, 16",
        "ret",
        ".cfi_endproc",
    )
}

/// The first byte of [`__jit_debug_register_code`]: of `nop`.
pub(crate) const STOP_BEGINS_WITH: u8 = 0x13;

/// Debuggers stop here to read the list of linked code. Its bytes are fixed, so that a breakpoint shows.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn __jit_debug_register_code() {
    std::arch::naked_asm!(
        ".option push",
        ".option norvc",
        "nop", // 13 00 00 00
        ".option pop",
        "ret",
    )
}

/// How many valgrinds this runs under. Before version 3.25, which this crate has not met, valgrind does not know the machine.
pub(crate) fn valgrinds() -> u64 {
    0
}
