//! Thread-local storage: the thread pointer, and the entry points whose calling conventions C does not have.
//!
//! `unsafe` because this is assembly.

/// Static storage lies above the thread pointer (*ELF Handling For Thread-Local Storage*, variant I).
pub(crate) const STORAGE_IS_ABOVE: bool = true;

/// A word at this distance from the thread pointer, which every thread has, is as good as the address of an empty table of blocks (`tls/dynamic.rs`): here is the
/// address of the dynamic loader's own vector of blocks, whose first word counts, hence is not negative: as a table it has no room for anything.
pub(crate) const NO_TABLE: i64 = 0;

/// What is taken from an offset before it is written for `__tls_get_addr`, which adds it again.
pub(crate) const OFFSET_BIAS: u64 = 0;

/// The thread pointer.
#[inline]
pub(crate) fn thread_pointer() -> u64 {
    let pointer: u64;
    // SAFETY: reads a register.
    unsafe {
        std::arch::asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nomem, nostack, preserves_flags, pure));
    }
    pointer
}

/// `void *__tls_get_addr(tls_index *)`, for modules of the system, which jump on, and ours, whose numbers are negative: an index into the thread's table
/// of blocks, whose address is in static storage (`tls/dynamic.rs`).
#[unsafe(naked)]
pub(crate) extern "C-unwind" fn entry_get_address() {
    std::arch::naked_asm!(
        "hint #34", // bti c
        "ldr x1, [x0]",
        "tbz x1, #63, 3f",
        "adrp x2, {slot}",
        "ldr x2, [x2, #:lo12:{slot}]",
        "mrs x3, tpidr_el0",
        "ldr x2, [x3, x2]",
        // Is there room for the module in the table, and a block?
        "ldr x3, [x2]",
        "cmp x1, x3",
        "b.lt 2f",
        "ldr x2, [x2, x1]",
        "cbz x2, 2f",
        "ldr x0, [x0, #8]",
        "add x0, x0, x2",
        "ret",
        "2:",
        "b {ours}",
        "3:",
        "b {system}",
        slot = sym crate::tls::SLOT,
        system = sym crate::tls::__tls_get_addr,
        ours = sym crate::tls::get_address,
    )
}

/// `int __cxa_thread_atexit(void (*f)(void *), void *, void *dso_handle)`, with the caller's address.
#[unsafe(naked)]
pub(crate) extern "C-unwind" fn entry_thread_atexit() {
    std::arch::naked_asm!(
        "hint #34", // bti c
        "mov x3, x30",
        "b {function}",
        function = sym crate::capi::cxa_thread_atexit,
    )
}

/// Answers a TLS descriptor: x0 points to it, its second word to module and offset; x0 gets the distance from the thread pointer. All other registers but x30 and the flags are
/// preserved (AAELF64, "TLS descriptors"). A thread that has its block of the module needs three of them; a first access calls functions, and saves vector registers, too. Of
/// scalable ones compilers expect nothing.
#[unsafe(naked)]
extern "C-unwind" fn descriptor_function() {
    std::arch::naked_asm!(
        "hint #34", // bti c
        "stp x1, x2, [sp, #-32]!",
        "str x3, [sp, #16]",
        "ldr x0, [x0, #8]",
        "ldr x1, [x0]",
        "tbz x1, #63, 2f",
        "adrp x2, {slot}",
        "ldr x2, [x2, #:lo12:{slot}]",
        "mrs x3, tpidr_el0",
        "ldr x2, [x3, x2]",
        "ldr x3, [x2]",
        "cmp x1, x3",
        "b.lt 2f",
        "ldr x2, [x2, x1]",
        "cbz x2, 2f",
        "ldr x0, [x0, #8]",
        "add x0, x0, x2",
        "mrs x3, tpidr_el0",
        "sub x0, x0, x3",
        "ldr x3, [sp, #16]",
        "ldp x1, x2, [sp], #32",
        "ret",
        "2:",
        "stp x29, x30, [sp, #-144]!",
        "mov x29, sp",
        "stp x4, x5, [sp, #16]",
        "stp x6, x7, [sp, #32]",
        "stp x8, x9, [sp, #48]",
        "stp x10, x11, [sp, #64]",
        "stp x12, x13, [sp, #80]",
        "stp x14, x15, [sp, #96]",
        "stp x16, x17, [sp, #112]",
        "str x18, [sp, #128]",
        "sub sp, sp, #512",
        vector_registers!("stp"),
        "bl {get}",
        vector_registers!("ldp"),
        "mrs x1, tpidr_el0",
        "sub x0, x0, x1",
        "add sp, sp, #512",
        "ldp x4, x5, [sp, #16]",
        "ldp x6, x7, [sp, #32]",
        "ldp x8, x9, [sp, #48]",
        "ldp x10, x11, [sp, #64]",
        "ldp x12, x13, [sp, #80]",
        "ldp x14, x15, [sp, #96]",
        "ldp x16, x17, [sp, #112]",
        "ldr x18, [sp, #128]",
        "ldp x29, x30, [sp], #144",
        "ldr x3, [sp, #16]",
        "ldp x1, x2, [sp], #32",
        "ret",
        slot = sym crate::tls::SLOT,
        get = sym crate::tls::get_address,
    )
}

/// The address of the function that answers descriptors.
pub(crate) fn descriptor_address() -> u64 {
    descriptor_function as *const () as u64
}

/// What a descriptor gives, called as its convention says; the registers that it must preserve are looked at.
///
/// # Safety
/// `descriptor` is one, and its variable is there.
#[cfg(test)]
pub(crate) unsafe fn through_descriptor(descriptor: *const [u64; 2]) -> u64 {
    let mut kept: [u64; 8] = std::array::from_fn(|n| 0x5555 + n as u64);
    let (before, mut vector) = (kept, 2.5_f64);
    let [x1, x2, x3, x4, x9, x15, x16, x17] = &mut kept;
    let distance: u64;
    // SAFETY: the function changes only the registers named.
    unsafe {
        std::arch::asm!(
            "ldr x30, [x0]",
            "blr x30",
            inout("x0") descriptor => distance,
            inout("x1") *x1, inout("x2") *x2, inout("x3") *x3, inout("x4") *x4,
            inout("x9") *x9, inout("x15") *x15, inout("x16") *x16, inout("x17") *x17,
            inout("v7") vector,
            out("x30") _,
        );
    }
    assert_eq!((kept, vector), (before, 2.5));
    distance
}
