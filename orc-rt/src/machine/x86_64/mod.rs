//! x86-64. Rules: psABI x86-64, Intel SDM.
//!
//! `unsafe` because a resolver is called by address.

pub(crate) mod calls;
pub(crate) mod lazy;
pub(crate) mod signal;
#[cfg(feature = "executor")]
pub(crate) mod system;
pub(crate) mod tls;

/// What code runs here, as LLVM writes it.
pub(crate) const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// `e_machine` of this machine's ELF files.
pub(crate) const ELF_MACHINE: u16 = 62;

/// `e_flags` of them: none are defined.
pub(crate) const ELF_FLAGS: u32 = 0;

/// User addresses end here; more is only given out on request.
pub(crate) const ADDRESS_LIMIT: u64 = 1 << 47;

/// Dynamic relocations (psABI, table 4.9, "Relocation types").
pub(crate) mod dynamic {
    /// Symbol plus addend, in data (`64`).
    pub(crate) const POINTER: u32 = 1;
    /// The symbol, in a slot of the global offset table; the addend is not used (`GLOB_DAT`).
    pub(crate) const SLOT: u32 = 6;
    /// The same for a function, which may be looked up when it is first called (`JUMP_SLOT`).
    pub(crate) const FUNCTION_SLOT: u32 = 7;
    /// Those that write a thread-local variable's module, its offset there, and its distance from the thread pointer (`DTPMOD64`, `DTPOFF64`, `TPOFF64`).
    pub(crate) const MODULE_OFFSET_DISTANCE: [u32; 3] = [16, 17, 18];
}

/// Instruction fetch sees what was stored, once it has gone to another address (Intel SDM volume 3, 13.6): memory that held code can be code again as it is.
pub(crate) const FETCH_FOLLOWS_STORES: bool = true;

/// Makes written code visible to instruction fetch, on all processors. Nothing, here.
pub(crate) fn code_was_written(_address: u64, _size: u64) {}

/// Calls the resolver of an indirect function (STT_GNU_IFUNC), which takes no arguments (psABI, "Indirect functions").
///
/// # Safety
/// There is such a function at `resolver`.
pub(crate) unsafe fn call_resolver(resolver: u64) -> u64 {
    // SAFETY: the caller's promise.
    unsafe {
        let function = std::mem::transmute::<usize, unsafe extern "C-unwind" fn() -> u64>(resolver as usize);
        function()
    }
}
