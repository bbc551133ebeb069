//! The entry point of first calls.
//!
//! `unsafe` because this is assembly.

/// From the second half of a stub: x17 is the address of its slot, x16 is free, everything else as the function is to find it. Arguments are in x0 to x8 and in vector
/// registers, of which callees of any convention may find all (AAPCS64 6.1.2, 6.4). The frame pointer is what unwinders find the caller by.
#[unsafe(naked)]
extern "C-unwind" fn entry() {
    std::arch::naked_asm!(
        ".cfi_startproc",
        "hint #34", // bti c
        "stp x29, x30, [sp, #-112]!",
        ".cfi_def_cfa_offset 112",
        ".cfi_offset x29, -112",
        ".cfi_offset x30, -104",
        "mov x29, sp",
        ".cfi_def_cfa_register x29",
        "stp x0, x1, [sp, #16]",
        "stp x2, x3, [sp, #32]",
        "stp x4, x5, [sp, #48]",
        "stp x6, x7, [sp, #64]",
        "stp x8, x9, [sp, #80]",
        "str x18, [sp, #96]",
        "sub sp, sp, #512",
        vector_registers!("stp"),
        "mov x0, x17",
        "bl {resolve}",
        "mov x16, x0",
        vector_registers!("ldp"),
        "mov sp, x29",
        "ldp x0, x1, [sp, #16]",
        "ldp x2, x3, [sp, #32]",
        "ldp x4, x5, [sp, #48]",
        "ldp x6, x7, [sp, #64]",
        "ldp x8, x9, [sp, #80]",
        "ldr x18, [sp, #96]",
        "ldp x29, x30, [sp], #112",
        ".cfi_def_cfa sp, 0",
        ".cfi_restore x29",
        ".cfi_restore x30",
        "br x16",
        ".cfi_endproc",
        resolve = sym crate::lazy::resolve,
    )
}

/// Its address.
pub(crate) fn entry_point() -> u64 {
    entry as *const () as u64
}
