//! riscv64 with compressed instructions and doubles (rv64gc, lp64d). Rules: *RISC-V ELF psABI*, *RISC-V Calling Conventions*, the unprivileged ISA manual.
//!
//! `unsafe` because the kernel is told of addresses, and because a resolver is called by address.

/// Assembly that stores (`fsd`) or loads (`fld`) the floating-point registers that calls may change: 160 bytes, from `$offset` above the stack pointer.
macro_rules! float_registers {
    ($instruction:literal, $offset:literal) => {
        float_registers!($instruction, $offset:
            fa0 0, fa1 8, fa2 16, fa3 24, fa4 32, fa5 40, fa6 48, fa7 56, ft0 64, ft1 72, ft2 80, ft3 88, ft4 96, ft5 104, ft6 112, ft7 120, ft8 128, ft9 136,
            ft10 144, ft11 152)
    };
    ($instruction:literal, $offset:literal: $($register:ident $distance:literal),*) => {
        concat!($($instruction, " ", stringify!($register), ", ", $offset, "+", $distance, "(sp)\n"),*)
    };
}

pub(crate) mod calls;
pub(crate) mod lazy;
pub(crate) mod signal;
#[cfg(feature = "executor")]
pub(crate) mod system;
pub(crate) mod tls;

/// What code runs here, as LLVM writes it.
pub(crate) const TRIPLE: &str = "riscv64-unknown-linux-gnu";

/// `e_machine` of this machine's ELF files.
pub(crate) const ELF_MACHINE: u16 = 243;

/// `e_flags` of them: compressed instructions, and doubles in registers, without which the loader takes no file (psABI, "File Header").
pub(crate) const ELF_FLAGS: u32 = 5;

/// User addresses end here, where pages have four levels; more is only given out on request.
pub(crate) const ADDRESS_LIMIT: u64 = 1 << 47;

/// Dynamic relocations (psABI, "Relocations").
pub(crate) mod dynamic {
    /// Symbol plus addend, in data (`64`).
    pub(crate) const POINTER: u32 = 2;
    /// The symbol, in a slot of the global offset table: the same one.
    pub(crate) const SLOT: u32 = POINTER;
    /// The same for a function, which may be looked up when it is first called (`JUMP_SLOT`).
    pub(crate) const FUNCTION_SLOT: u32 = 5;
    /// Those that write a thread-local variable's module, its offset there, and its distance from the thread pointer (`TLS_DTPMOD64`, `TLS_DTPREL64`, `TLS_TPREL64`).
    pub(crate) const MODULE_OFFSET_DISTANCE: [u32; 3] = [7, 9, 11];
}

/// Instruction fetch follows stores only behind a `fence.i`: memory that held code is code again only when every hart has run one.
pub(crate) const FETCH_FOLLOWS_STORES: bool = false;

/// riscv_flush_icache(2).
pub(crate) const FLUSH_ICACHE: i64 = 259;

/// Makes written code visible to instruction fetch, on all harts that run threads of this process: `fence.i` is for one hart (ISA manual, "Zifencei"), so the kernel
/// is asked, which knows where the threads are and will be.
pub(crate) fn code_was_written(address: u64, size: u64) {
    // SAFETY: a call with three numbers, which changes nothing that could be read or written.
    let done = unsafe { libc::syscall(FLUSH_ICACHE, address, address.saturating_add(size), 0_u64) };
    if done != 0 {
        // An emulator without the call, which has one view of memory for all of its harts.
        // SAFETY: orders fetches of this hart after its stores.
        unsafe { std::arch::asm!("fence.i", options(nostack, preserves_flags)) };
    }
}

/// Calls the resolver of an indirect function (STT_GNU_IFUNC), with what the processor can do. Newer C libraries also say how to ask for more; null says that one cannot.
///
/// # Safety
/// There is such a function at `resolver`.
pub(crate) unsafe fn call_resolver(resolver: u64) -> u64 {
    type Resolver = unsafe extern "C-unwind" fn(u64, *const u8, *const u8) -> u64;
    // SAFETY: any entry of the auxiliary vector may be asked for.
    let capabilities = unsafe { libc::getauxval(libc::AT_HWCAP) };
    // SAFETY: the caller's promise; arguments that a function does not have are ignored.
    unsafe {
        let function = std::mem::transmute::<usize, Resolver>(resolver as usize);
        function(capabilities, std::ptr::null(), std::ptr::null())
    }
}
