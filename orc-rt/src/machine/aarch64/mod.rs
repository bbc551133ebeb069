//! aarch64. Rules: *ELF for the Arm 64-bit Architecture* (AAELF64), *Procedure Call Standard* (AAPCS64), *System V ABI* (SYSVABI64), Arm ARM.
//!
//! `unsafe` because caches are told of addresses, and because a resolver is called by address.

/// Assembly that stores (`stp`) or loads (`ldp`) all vector registers at the stack pointer: 512 bytes.
macro_rules! vector_registers {
    ($instruction:literal) => {
        vector_registers!($instruction:
            0 1 0, 2 3 32, 4 5 64, 6 7 96, 8 9 128, 10 11 160, 12 13 192, 14 15 224,
            16 17 256, 18 19 288, 20 21 320, 22 23 352, 24 25 384, 26 27 416, 28 29 448, 30 31 480)
    };
    ($instruction:literal: $($first:literal $second:literal $offset:literal),*) => {
        concat!($($instruction, " q", $first, ", q", $second, ", [sp, #", $offset, "]\n"),*)
    };
}

pub(crate) mod calls;
pub(crate) mod lazy;
pub(crate) mod signal;
#[cfg(feature = "executor")]
pub(crate) mod system;
pub(crate) mod tls;

/// What code runs here, as LLVM writes it.
pub(crate) const TRIPLE: &str = "aarch64-unknown-linux-gnu";

/// `e_machine` of this machine's ELF files.
pub(crate) const ELF_MACHINE: u16 = 183;

/// `e_flags` of them: none are defined.
pub(crate) const ELF_FLAGS: u32 = 0;

/// User addresses end here; more is only given out on request.
pub(crate) const ADDRESS_LIMIT: u64 = 1 << 48;

/// Dynamic relocations (AAELF64, "Dynamic relocations").
pub(crate) mod dynamic {
    /// Symbol plus addend, in data (`ABS64`).
    pub(crate) const POINTER: u32 = 257;
    /// The symbol, in a slot of the global offset table (`GLOB_DAT`).
    pub(crate) const SLOT: u32 = 1025;
    /// The same for a function, which may be looked up when it is first called (`JUMP_SLOT`).
    pub(crate) const FUNCTION_SLOT: u32 = 1026;
    /// Those that write a thread-local variable's module, its offset there, and its distance from the thread pointer (`TLS_DTPMOD`, `TLS_DTPREL`, `TLS_TPREL`; Linux
    /// has the first two in this order).
    pub(crate) const MODULE_OFFSET_DISTANCE: [u32; 3] = [1028, 1029, 1030];
}

/// Instruction fetch has a cache of its own: memory that held code is code again only when every processor has forgotten the old one.
pub(crate) const FETCH_FOLLOWS_STORES: bool = false;

/// Makes written code visible to instruction fetch, on all processors (Arm ARM B2.7.4.2): data goes to the point of unification, where instructions are fetched anew. By the
/// address at which it runs, whichever it was written at: caches know where it lies.
pub(crate) fn code_was_written(address: u64, size: u64) {
    let types: u64;
    // SAFETY: reads a register that Linux lets programs read (CTR_EL0).
    unsafe { std::arch::asm!("mrs {}, ctr_el0", out(reg) types, options(nomem, nostack, preserves_flags)) };
    // The logarithms of the smallest lines, in words of four bytes.
    let (data, instructions) = (4_u64 << (types >> 16 & 0xf), 4_u64 << (types & 0xf));
    let end = address.saturating_add(size);
    // SAFETY: the range is mapped and readable, as its owner says by calling this; nothing that it holds changes.
    unsafe {
        for line in (address & !(data - 1)..end).step_by(data as usize) {
            std::arch::asm!("dc cvau, {}", in(reg) line, options(nostack, preserves_flags));
        }
        std::arch::asm!("dsb ish", options(nostack, preserves_flags));
        for line in (address & !(instructions - 1)..end).step_by(instructions as usize) {
            std::arch::asm!("ic ivau, {}", in(reg) line, options(nostack, preserves_flags));
        }
        std::arch::asm!("dsb ish", "isb", options(nostack, preserves_flags));
    }
}

/// `__ifunc_arg_t` (SYSVABI64, "Indirect functions"; glibc `sys/ifunc.h`).
#[repr(C)]
struct Capabilities {
    size: u64,
    first: u64,
    second: u64,
}

/// Calls the resolver of an indirect function (STT_GNU_IFUNC), with what the processor can do.
///
/// # Safety
/// There is such a function at `resolver`.
pub(crate) unsafe fn call_resolver(resolver: u64) -> u64 {
    type Resolver = unsafe extern "C-unwind" fn(u64, *const Capabilities) -> u64;
    /// `_IFUNC_ARG_HWCAP`: there is a second argument.
    const HAS_SECOND: u64 = 1 << 62;
    // SAFETY: any entry of the auxiliary vector may be asked for.
    let [first, second] = unsafe { [libc::getauxval(libc::AT_HWCAP), libc::getauxval(libc::AT_HWCAP2)] };
    let capabilities = Capabilities { size: size_of::<Capabilities>() as u64, first, second };
    // SAFETY: the caller's promise.
    unsafe {
        let function = std::mem::transmute::<usize, Resolver>(resolver as usize);
        function(first | HAS_SECOND, &raw const capabilities)
    }
}
