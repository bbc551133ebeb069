//! The entry point of first calls.
//!
//! `unsafe` because this is assembly.

/// From the second half of a stub: t1 is the address of its slot, t3 is free, everything else as the function is to find it. Arguments are in a0 to a7 and fa0 to fa7; whatever
/// else a called function may lose is preserved as well, but for vector registers. The frame pointer is what unwinders find the caller by.
#[unsafe(naked)]
extern "C-unwind" fn entry() {
    std::arch::naked_asm!(
        ".option push",
        ".option arch, +d", // assembly outside of functions is for the base machine
        ".cfi_startproc",
        "addi sp, sp, -288",
        ".cfi_def_cfa_offset 288",
        "sd ra, 280(sp)",
        ".cfi_offset ra, -8",
        "sd s0, 272(sp)",
        ".cfi_offset s0, -16",
        "addi s0, sp, 288",
        ".cfi_def_cfa s0, 0",
        "sd t0, 0(sp)",
        "sd t2, 8(sp)",
        "sd t4, 16(sp)",
        "sd t5, 24(sp)",
        "sd t6, 32(sp)",
        "sd a0, 40(sp)",
        "sd a1, 48(sp)",
        "sd a2, 56(sp)",
        "sd a3, 64(sp)",
        "sd a4, 72(sp)",
        "sd a5, 80(sp)",
        "sd a6, 88(sp)",
        "sd a7, 96(sp)",
        float_registers!("fsd", "104"),
        "mv a0, t1",
        "call {resolve}",
        "mv t3, a0",
        "ld t0, 0(sp)",
        "ld t2, 8(sp)",
        "ld t4, 16(sp)",
        "ld t5, 24(sp)",
        "ld t6, 32(sp)",
        "ld a0, 40(sp)",
        "ld a1, 48(sp)",
        "ld a2, 56(sp)",
        "ld a3, 64(sp)",
        "ld a4, 72(sp)",
        "ld a5, 80(sp)",
        "ld a6, 88(sp)",
        "ld a7, 96(sp)",
        float_registers!("fld", "104"),
        ".cfi_def_cfa sp, 288",
        "ld s0, 272(sp)",
        ".cfi_restore s0",
        "ld ra, 280(sp)",
        ".cfi_restore ra",
        "addi sp, sp, 288",
        ".cfi_def_cfa_offset 0",
        "jr t3",
        ".cfi_endproc",
        ".option pop",
        resolve = sym crate::lazy::resolve,
    )
}

/// Its address.
pub(crate) fn entry_point() -> u64 {
    entry as *const () as u64
}
