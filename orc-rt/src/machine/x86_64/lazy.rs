//! The entry point of first calls.
//!
//! `unsafe` because this is assembly.

/// Its address.
pub(crate) fn entry_point() -> u64 {
    super::tls::note_state_size();
    entry as *const () as u64
}

/// From the second half of a stub: `%r11` is the address of its slot, everything else as the function is to find it. Arguments are in general and
/// vector registers; whatever else the processor's state has is preserved as well. The frame pointer is what unwinders find the caller by.
#[unsafe(naked)]
extern "C-unwind" fn entry() {
    std::arch::naked_asm!(
        ".cfi_startproc",
        "push rbp",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset rbp, -16",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        "push rbx",
        ".cfi_offset rbx, -24",
        "push rax",
        "push rcx",
        "push rdx",
        "push rsi",
        "push rdi",
        "push r8",
        "push r9",
        "push r10",
        "mov rdi, r11",
        // Room for the state, as large as the processor says it is, at a multiple of 64.
        "mov ebx, dword ptr [rip + {size}]",
        "sub rsp, rbx",
        "and rsp, -64",
        // The header of the area must be zero before XSAVE (Intel SDM volume 1, 13.4.2).
        "xor eax, eax",
        "mov [rsp + 512], rax",
        "mov [rsp + 520], rax",
        "mov [rsp + 528], rax",
        "mov [rsp + 536], rax",
        "mov [rsp + 544], rax",
        "mov [rsp + 552], rax",
        "mov [rsp + 560], rax",
        "mov [rsp + 568], rax",
        "test ebx, 1",
        "jnz 4f",
        "mov eax, -1",
        "mov edx, -1",
        "xsave64 [rsp]",
        "call {resolve}",
        "mov r11, rax",
        "mov eax, -1",
        "mov edx, -1",
        "xrstor64 [rsp]",
        "jmp 5f",
        "4:",
        "fxsave64 [rsp]",
        "call {resolve}",
        "mov r11, rax",
        "fxrstor64 [rsp]",
        "5:",
        "lea rsp, [rbp - 72]",
        "pop r10",
        "pop r9",
        "pop r8",
        "pop rdi",
        "pop rsi",
        "pop rdx",
        "pop rcx",
        "pop rax",
        "pop rbx",
        "pop rbp",
        ".cfi_def_cfa rsp, 8",
        ".cfi_restore rbp",
        ".cfi_restore rbx",
        "jmp r11",
        ".cfi_endproc",
        size = sym super::tls::STATE_SIZE,
        resolve = sym crate::lazy::resolve,
    )
}
