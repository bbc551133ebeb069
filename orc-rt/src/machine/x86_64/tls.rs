//! Thread-local storage: the thread pointer, and the entry points whose calling conventions C does not have.
//!
//! `unsafe` because this is assembly.
/// Static storage lies below the thread pointer (*ELF Handling For Thread-Local Storage*, variant II).
pub(crate) const STORAGE_IS_ABOVE: bool = false;

/// A word at this distance from the thread pointer, which every thread has, is as good as the address of an empty table of blocks (`tls/dynamic.rs`): here the thread
/// pointer itself is stored (psABI 3.6.1), which as a table has no room for anything.
pub(crate) const NO_TABLE: i64 = 0;

/// What is taken from an offset before it is written for `__tls_get_addr`, which adds it again.
pub(crate) const OFFSET_BIAS: u64 = 0;

/// The thread pointer: `%fs:0` holds its own address (psABI 3.6.1).
#[inline]
pub(crate) fn thread_pointer() -> u64 {
    let pointer: u64;
    // SAFETY: the psABI says that the word is there in every thread.
    unsafe {
        std::arch::asm!("mov {}, qword ptr fs:[0]", out(reg) pointer, options(nostack, preserves_flags, readonly, pure));
    }
    pointer
}

/// `void *__tls_get_addr(tls_index *)`, for modules of the system, which jump on, and ours, whose numbers are negative: an index into the thread's table
/// of blocks, whose address is in static storage (`dynamic.rs`).
#[unsafe(naked)]
pub(crate) extern "C-unwind" fn entry_get_address() {
    std::arch::naked_asm!(
        "mov rax, [rdi]",
        "mov rcx, [rip + {slot}]",
        "mov rcx, fs:[rcx]",
        "test rax, rax",
        "jns 3f",
        // Is there room for the module in the table, and a block?
        "cmp rax, [rcx]",
        "jl 2f",
        "mov rax, [rcx + rax]",
        "test rax, rax",
        "jz 2f",
        "add rax, [rdi + 8]",
        "ret",
        "2:",
        // Old compilers call with any stack alignment (ELF Handling For Thread-Local Storage, 4.1.6).
        "push rbp",
        "mov rbp, rsp",
        "and rsp, -16",
        "call {ours}",
        "mov rsp, rbp",
        "pop rbp",
        "ret",
        "3:",
        "jmp qword ptr [rip + {system}@GOTPCREL]",
        slot = sym crate::tls::SLOT,
        system = sym crate::tls::__tls_get_addr,
        ours = sym crate::tls::get_address,
    )
}

/// `int __cxa_thread_atexit(void (*)(void *), void *, void *dso_handle)`, with the caller's address.
#[unsafe(naked)]
pub(crate) extern "C-unwind" fn entry_thread_atexit() {
    std::arch::naked_asm!("mov rcx, [rsp]", "jmp {function}", function = sym crate::capi::cxa_thread_atexit)
}

/// Answers a TLS descriptor: `%rax` points to it, its second word to module and offset. All other registers but the flags are preserved (Oliva,
/// *Thread-Local Storage Descriptors*, 3.4). A thread that has its block of the module needs two of them; a first access calls functions, and saves vector
/// registers too: what XSAVE knows, or without it what FXSAVE does.
#[unsafe(naked)]
extern "C" fn descriptor_function() {
    std::arch::naked_asm!(
        "mov [rsp - 8], rcx",
        "mov [rsp - 16], rdx",
        "mov rdx, [rax + 8]",
        "mov rcx, [rip + {slot}]",
        "mov rcx, fs:[rcx]",
        "mov [rsp - 24], rax",
        "mov rax, [rdx]",
        "test rax, rax",
        "jns 2f",
        "cmp rax, [rcx]",
        "jl 2f",
        "mov rax, [rcx + rax]",
        "test rax, rax",
        "jz 2f",
        "add rax, [rdx + 8]",
        "sub rax, qword ptr fs:[0]",
        "mov rdx, [rsp - 16]",
        "mov rcx, [rsp - 8]",
        "ret",
        "2:",
        "mov rax, [rsp - 24]",
        "mov rdx, [rsp - 16]",
        "mov rcx, [rsp - 8]",
        "push rbp",
        "mov rbp, rsp",
        "push rbx",
        "push rcx",
        "push rdx",
        "push rsi",
        "push rdi",
        "push r8",
        "push r9",
        "push r10",
        "push r11",
        "mov rdi, [rax + 8]",
        // Room for the state, as large as the processor says it is now, at a multiple of 64.
        "mov ebx, dword ptr [rip + {size}]",
        "mov rsi, rsp",
        "sub rsp, rbx",
        "and rsp, -64",
        "push rsi",
        "sub rsp, 56",
        // The header of the area must be zero before XSAVE (Intel SDM volume 1, 13.4.2).
        "xor eax, eax",
        "mov [rsp + 64 + 512], rax",
        "mov [rsp + 64 + 520], rax",
        "mov [rsp + 64 + 528], rax",
        "mov [rsp + 64 + 536], rax",
        "mov [rsp + 64 + 544], rax",
        "mov [rsp + 64 + 552], rax",
        "mov [rsp + 64 + 560], rax",
        "mov [rsp + 64 + 568], rax",
        "test ebx, 1",
        "jnz 4f",
        "mov eax, -1",
        "mov edx, -1",
        "xsave64 [rsp + 64]",
        "call {get}",
        "mov rsi, rax",
        "mov eax, -1",
        "mov edx, -1",
        "xrstor64 [rsp + 64]",
        "jmp 5f",
        "4:",
        "fxsave64 [rsp + 64]",
        "call {get}",
        "mov rsi, rax",
        "fxrstor64 [rsp + 64]",
        "5:",
        "mov rax, rsi",
        "sub rax, qword ptr fs:[0]",
        "mov rsp, [rsp + 56]",
        "pop r11",
        "pop r10",
        "pop r9",
        "pop r8",
        "pop rdi",
        "pop rsi",
        "pop rdx",
        "pop rcx",
        "pop rbx",
        "pop rbp",
        "ret",
        slot = sym crate::tls::SLOT,
        size = sym STATE_SIZE,
        get = sym crate::tls::get_address,
    )
}

/// Bytes that the processor's state needs, an odd number where there is only FXSAVE; set before anybody knows the function.
pub(super) static STATE_SIZE: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

/// The address of the function that answers descriptors.
pub(crate) fn descriptor_address() -> u64 {
    note_state_size();
    descriptor_function as *const () as u64
}

/// Sets [`STATE_SIZE`], for code that saves the processor's state.
pub(super) fn note_state_size() {
    // Each CPUID is some microseconds under a hypervisor, and every link asks for this address.
    if STATE_SIZE.load(std::sync::atomic::Ordering::Relaxed) != 0 {
        return;
    }
    let os_xsave = std::arch::x86_64::__cpuid(1).ecx & 1 << 27 != 0;
    // CPUID.0DH:EBX: the size for what is enabled in XCR0 (Intel SDM volume 1, 13.2), a multiple of 8.
    let size = if os_xsave { std::arch::x86_64::__cpuid_count(0xd, 0).ebx.max(576) } else { 577 };
    STATE_SIZE.store(size, std::sync::atomic::Ordering::Relaxed);
}

/// What a descriptor gives, called as its convention says; the registers that it must preserve are looked at.
///
/// # Safety
/// `descriptor` is one, and its variable is there.
#[cfg(test)]
pub(crate) unsafe fn through_descriptor(descriptor: *const [u64; 2]) -> u64 {
    let mut kept: [u64; 8] = std::array::from_fn(|n| 0x5555 + n as u64);
    let (before, mut vector) = (kept, 2.5_f64);
    let [c, d, si, di, r8, r9, r10, r11] = &mut kept;
    let distance: u64;
    // SAFETY: the function changes only the registers named.
    unsafe {
        std::arch::asm!(
            "call qword ptr [rax]",
            inout("rax") descriptor => distance,
            inout("rcx") *c, inout("rdx") *d, inout("rsi") *si, inout("rdi") *di,
            inout("r8") *r8, inout("r9") *r9, inout("r10") *r10, inout("r11") *r11,
            inout("xmm7") vector,
        );
    }
    assert_eq!((kept, vector), (before, 2.5));
    distance
}
