//! Thread-local storage: the thread pointer, and the entry points whose calling conventions C does not have.
//!
//! `unsafe` because this is assembly.

/// Static storage lies above the thread pointer (psABI, "Thread Local Storage": variant I).
pub(crate) const STORAGE_IS_ABOVE: bool = true;

/// A word at this distance from the thread pointer, which every thread has, is as good as the address of an empty table of blocks (`tls/dynamic.rs`): here is the
/// address of the dynamic loader's own vector of blocks, whose first word counts, hence is not negative: as a table it has no room for anything.
pub(crate) const NO_TABLE: i64 = -16;

/// What is taken from an offset before it is written for `__tls_get_addr`, which adds it again (`TLS_DTV_OFFSET`).
pub(crate) const OFFSET_BIAS: u64 = 0x800;

/// The thread pointer.
#[inline]
pub(crate) fn thread_pointer() -> u64 {
    let pointer: u64;
    // SAFETY: reads a register.
    unsafe { std::arch::asm!("mv {}, tp", out(reg) pointer, options(nomem, nostack, preserves_flags, pure)) };
    pointer
}

/// `void *__tls_get_addr(tls_index *)`, for modules of the system, which jump on, and ours, whose numbers are negative: an index into the thread's table
/// of blocks, whose address is in static storage (`tls/dynamic.rs`).
#[unsafe(naked)]
pub(crate) extern "C-unwind" fn entry_get_address() {
    std::arch::naked_asm!(
        "ld a1, 0(a0)",
        "bgez a1, 3f",
        "lla a2, {slot}",
        "ld a2, 0(a2)",
        "add a2, a2, tp",
        "ld a2, 0(a2)",
        // Is there room for the module in the table, and a block?
        "ld a3, 0(a2)",
        "blt a1, a3, 2f",
        "add a2, a2, a1",
        "ld a2, 0(a2)",
        "beqz a2, 2f",
        "ld a0, 8(a0)",
        "add a0, a0, a2",
        "li a1, {bias}",
        "add a0, a0, a1",
        "ret",
        "2:",
        "tail {ours}",
        "3:",
        "tail {system}",
        slot = sym crate::tls::SLOT,
        system = sym crate::tls::__tls_get_addr,
        ours = sym crate::tls::get_address,
        bias = const OFFSET_BIAS,
    )
}

/// `int __cxa_thread_atexit(void (*f)(void *), void *, void *dso_handle)`, with the caller's address.
#[unsafe(naked)]
pub(crate) extern "C-unwind" fn entry_thread_atexit() {
    std::arch::naked_asm!(
        "mv a3, ra",
        "tail {function}",
        function = sym crate::capi::cxa_thread_atexit,
    )
}

/// Answers a TLS descriptor: a0 points to it, its second word to module and offset; a0 gets the distance from the thread pointer. The return address is in t0; all other
/// registers are preserved (psABI, "TLS Descriptors"). A thread that has its block of the module needs three of them; a first access calls functions, and saves what these may change.
/// Of vector registers compilers expect nothing.
#[unsafe(naked)]
extern "C-unwind" fn descriptor_function() {
    std::arch::naked_asm!(
        ".option push",
        ".option arch, +d", // assembly outside of functions is for the base machine
        "addi sp, sp, -32",
        "sd a1, 0(sp)",
        "sd a2, 8(sp)",
        "sd a3, 16(sp)",
        "ld a0, 8(a0)",
        "ld a1, 0(a0)",
        "bgez a1, 2f",
        "lla a2, {slot}",
        "ld a2, 0(a2)",
        "add a2, a2, tp",
        "ld a2, 0(a2)",
        "ld a3, 0(a2)",
        "blt a1, a3, 2f",
        "add a2, a2, a1",
        "ld a2, 0(a2)",
        "beqz a2, 2f",
        "ld a0, 8(a0)",
        "add a0, a0, a2",
        "li a1, {bias}",
        "add a0, a0, a1",
        "sub a0, a0, tp",
        "j 3f",
        "2:",
        "addi sp, sp, -272",
        "sd ra, 0(sp)",
        "sd t0, 8(sp)",
        "sd t1, 16(sp)",
        "sd t2, 24(sp)",
        "sd t3, 32(sp)",
        "sd t4, 40(sp)",
        "sd t5, 48(sp)",
        "sd t6, 56(sp)",
        "sd a4, 64(sp)",
        "sd a5, 72(sp)",
        "sd a6, 80(sp)",
        "sd a7, 88(sp)",
        float_registers!("fsd", "96"),
        "call {get}",
        "sub a0, a0, tp",
        "ld ra, 0(sp)",
        "ld t0, 8(sp)",
        "ld t1, 16(sp)",
        "ld t2, 24(sp)",
        "ld t3, 32(sp)",
        "ld t4, 40(sp)",
        "ld t5, 48(sp)",
        "ld t6, 56(sp)",
        "ld a4, 64(sp)",
        "ld a5, 72(sp)",
        "ld a6, 80(sp)",
        "ld a7, 88(sp)",
        float_registers!("fld", "96"),
        "addi sp, sp, 272",
        "3:",
        "ld a1, 0(sp)",
        "ld a2, 8(sp)",
        "ld a3, 16(sp)",
        "addi sp, sp, 32",
        "jr t0",
        ".option pop",
        slot = sym crate::tls::SLOT,
        get = sym crate::tls::get_address,
        bias = const OFFSET_BIAS,
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
    let [a1, a2, a3, a7, t1, t2, t3, t6] = &mut kept;
    let distance: u64;
    // SAFETY: the function changes only the registers named.
    unsafe {
        std::arch::asm!(
            "ld t0, 0(a0)",
            "jalr t0, t0",
            inout("a0") descriptor => distance,
            inout("a1") *a1, inout("a2") *a2, inout("a3") *a3, inout("a7") *a7,
            inout("t1") *t1, inout("t2") *t2, inout("t3") *t3, inout("t6") *t6,
            inout("fa7") vector,
            out("t0") _,
        );
    }
    assert_eq!((kept, vector), (before, 2.5));
    distance
}
