//! Calls in and out, whose conventions C does not have.
//!
//! `unsafe` because this is assembly.

use std::ffi::c_void;

/// Defines an entry point that passes its own return address to `$function`, behind as many arguments as it has. `bti c`: pointers to it may be called.
macro_rules! with_caller {
    ($name:ident, 1, $function:path) => { $crate::machine::calls::with_caller!(@ $name, "x1", $function); };
    ($name:ident, 2, $function:path) => { $crate::machine::calls::with_caller!(@ $name, "x2", $function); };
    ($name:ident, 3, $function:path) => { $crate::machine::calls::with_caller!(@ $name, "x3", $function); };
    ($name:ident, 4, $function:path) => { $crate::machine::calls::with_caller!(@ $name, "x4", $function); };
    (@ $name:ident, $register:literal, $function:path) => {
        #[unsafe(naked)]
        extern "C-unwind" fn $name() {
            std::arch::naked_asm!(
                "hint #34", // bti c
                concat!("mov ", $register, ", x30"),
                "b {function}",
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
        ".cfi_undefined x30",
        "stp x29, x30, [sp, #-16]!",
        "mov x29, sp",
        "mov x2, x0",
        "mov x0, x1",
        "blr x2",
        "ldp x29, x30, [sp], #16",
        "ret",
        ".cfi_endproc",
    )
}

/// The first byte of [`__jit_debug_register_code`]: of `nop`.
pub(crate) const STOP_BEGINS_WITH: u8 = 0x1f;

/// Debuggers stop here to read the list of linked code. Its bytes are fixed, so that a breakpoint shows.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn __jit_debug_register_code() {
    std::arch::naked_asm!(
        "nop", // 1f 20 03 d5
        "ret", // c0 03 5f d6
    )
}

/// How many valgrinds this runs under (valgrind.h, `RUNNING_ON_VALGRIND`).
pub(crate) fn valgrinds() -> u64 {
    /// `VG_USERREQ__RUNNING_ON_VALGRIND`, without arguments.
    const RUNNING_ON_VALGRIND: [u64; 6] = [0x1001, 0, 0, 0, 0, 0];
    let mut answer: u64 = 0;
    // SAFETY: four rotations by 128 bits in all, and the union of a register with itself: nothing, on a processor. Valgrind writes its answer to x3.
    unsafe {
        std::arch::asm!(
            "ror x12, x12, #3",
            "ror x12, x12, #13",
            "ror x12, x12, #51",
            "ror x12, x12, #61",
            "orr x10, x10, x10",
            in("x4") RUNNING_ON_VALGRIND.as_ptr(),
            inout("x3") answer,
            out("x12") _,
        );
    }
    answer
}
