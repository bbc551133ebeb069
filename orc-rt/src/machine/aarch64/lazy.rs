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
        "stp q0, q1, [sp]",
        "stp q2, q3, [sp, #32]",
        "stp q4, q5, [sp, #64]",
        "stp q6, q7, [sp, #96]",
        "stp q8, q9, [sp, #128]",
        "stp q10, q11, [sp, #160]",
        "stp q12, q13, [sp, #192]",
        "stp q14, q15, [sp, #224]",
        "stp q16, q17, [sp, #256]",
        "stp q18, q19, [sp, #288]",
        "stp q20, q21, [sp, #320]",
        "stp q22, q23, [sp, #352]",
        "stp q24, q25, [sp, #384]",
        "stp q26, q27, [sp, #416]",
        "stp q28, q29, [sp, #448]",
        "stp q30, q31, [sp, #480]",
        "mov x0, x17",
        "bl {resolve}",
        "mov x16, x0",
        "ldp q0, q1, [sp]",
        "ldp q2, q3, [sp, #32]",
        "ldp q4, q5, [sp, #64]",
        "ldp q6, q7, [sp, #96]",
        "ldp q8, q9, [sp, #128]",
        "ldp q10, q11, [sp, #160]",
        "ldp q12, q13, [sp, #192]",
        "ldp q14, q15, [sp, #224]",
        "ldp q16, q17, [sp, #256]",
        "ldp q18, q19, [sp, #288]",
        "ldp q20, q21, [sp, #320]",
        "ldp q22, q23, [sp, #352]",
        "ldp q24, q25, [sp, #384]",
        "ldp q26, q27, [sp, #416]",
        "ldp q28, q29, [sp, #448]",
        "ldp q30, q31, [sp, #480]",
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
