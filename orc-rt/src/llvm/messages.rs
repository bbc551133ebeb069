//! What LLVM's controller says to its executor, as its `OrcRTBridge.h` and `TargetProcessControlTypes.h` lay it out.
//!
//! Counts and sizes are checked against the bytes that remain while they are read; contents are borrowed from the frame.

use dispatch::packed_struct;

/// Bits of [`Segment::prot`].
pub(super) mod prot {
    pub(in crate::llvm) const READ: u8 = 1;
    pub(in crate::llvm) const WRITE: u8 = 2;
    pub(in crate::llvm) const EXEC: u8 = 4;
    /// The contents are wanted only until the finalize actions have run. Kept as long as the rest: giving it back earlier would cost
    /// a change of mappings for each object.
    pub(in crate::llvm) const FINALIZE: u8 = 8;
}

packed_struct! {
    /// `SPSSimpleExecutorMemoryManagerReserveSignature`, and that of shared memory.
    pub(super) struct Reserve {
        pub(super) instance: u64,
        /// In bytes.
        pub(super) size: u64,
    }

    /// One segment to be made final. In shared memory it comes without contents: they are there already.
    pub(super) struct Segment<'a> {
        pub(super) prot: u8,
        pub(super) address: u64,
        /// In bytes; what the contents do not cover is zero.
        pub(super) size: u64,
        pub(super) content: &'a [u8],
    }

    /// A segment in shared memory.
    pub(super) struct SharedSegment {
        pub(super) prot: u8,
        pub(super) address: u64,
        pub(super) size: u64,
    }

    /// A wrapper function and its arguments; address 0 stands for none.
    pub(super) struct Action<'a> {
        pub(super) function: u64,
        pub(super) arguments: &'a [u8],
    }

    /// What to do when memory becomes final, and what undoes it.
    pub(super) struct ActionPair<'a> {
        pub(super) finalize: Action<'a>,
        pub(super) dealloc: Action<'a>,
    }

    /// `SPSSimpleExecutorMemoryManagerFinalizeSignature`.
    pub(super) struct Finalize<'a> {
        pub(super) instance: u64,
        pub(super) segments: Vec<Segment<'a>>,
        pub(super) actions: Vec<ActionPair<'a>>,
    }

    /// `SPSExecutorSharedMemoryMapperServiceInitializeSignature`.
    pub(super) struct Initialize<'a> {
        pub(super) instance: u64,
        /// What `Reserve` returned.
        pub(super) reservation: u64,
        pub(super) segments: Vec<SharedSegment>,
        pub(super) actions: Vec<ActionPair<'a>>,
    }

    /// Memory to give back, by the addresses under which it was handed out.
    pub(super) struct Addresses {
        pub(super) instance: u64,
        pub(super) bases: Vec<u64>,
    }

    /// `SPSSimpleExecutorDylibManagerOpenSignature`.
    pub(super) struct Open<'a> {
        pub(super) instance: u64,
        /// Empty for the process itself.
        pub(super) path: &'a str,
        /// LLVM 19 sends 0.
        pub(super) mode: u64,
    }

    /// `SPSSimpleExecutorDylibManagerLookupSignature`.
    pub(super) struct Lookup<'a> {
        pub(super) instance: u64,
        pub(super) library: u64,
        pub(super) names: Vec<Wanted<'a>>,
    }

    /// A symbol to look up.
    pub(super) struct Wanted<'a> {
        pub(super) name: &'a str,
        /// Otherwise address 0 is an answer.
        pub(super) required: bool,
    }

    /// A symbol that was looked up: `JITSymbolFlags` follow its address.
    #[derive(Clone, Copy)]
    pub(super) struct Found {
        pub(super) address: u64,
        pub(super) flags: u8,
        pub(super) target_flags: u8,
    }

    /// `SPSRunAsMainSignature`.
    pub(super) struct RunAsMain<'a> {
        pub(super) function: u64,
        pub(super) arguments: Vec<&'a [u8]>,
    }

    /// A table of call frame information, or an object for the debugger.
    #[derive(Clone, Copy)]
    pub(super) struct Range {
        pub(super) start: u64,
        pub(super) end: u64,
    }
}
