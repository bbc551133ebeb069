//! Sections: what an object says about a run of blocks.

use super::{BlockId, GroupId, ObjectId};

bitflags::bitflags! {
    /// What may be done with memory once it is final. Never both `WRITE` and `EXEC`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
    pub struct Prot: u8 {
        /// Loads.
        const READ = 1;
        /// Stores.
        const WRITE = 2;
        /// Instruction fetches.
        const EXEC = 4;
    }
}

bitflags::bitflags! {
    /// What a section asks of the linker, in words that every format shares.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
    pub struct SectionFlags: u16 {
        /// Equal pieces may be stored once (gABI `SHF_MERGE`).
        const MERGE = 1;
        /// The pieces are strings that end in a zero element (gABI `SHF_STRINGS`).
        const STRINGS = 2;
        /// One copy for each thread (gABI `SHF_TLS`).
        const TLS = 4;
        /// Kept though nobody refers to it (`SHF_GNU_RETAIN`).
        const RETAIN = 8;
        /// Kept exactly when [`Section::linked_to`] is kept (gABI `SHF_LINK_ORDER`).
        const LINK_ORDER = 16;
        /// May lie more than 2 GiB away from code (`SHF_X86_64_LARGE`).
        const LARGE = 32;
        /// Written by relocation only, read-only afterwards (`.data.rel.ro`).
        const RELRO = 64;
        /// Stands with all others of its name up to a `$`, in the order of what follows that (PE/COFF, "Grouped Sections").
        const GROUPED = 128;
    }
}

/// What the content of a section is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum SectionKind {
    /// Code and data.
    Regular,
    /// Addresses of functions to run when the dylib is opened or closed.
    Initializers(InitKind),
    /// Call frame information (LSB, "Exception Frames"): never a root, compacted to what is live.
    EhFrame,
}

/// The several ways in which objects name functions to run at start and end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum InitKind {
    /// `.preinit_array` (gABI): for the program itself, before all else.
    Preinit,
    /// `.init_array[.N]` (gABI) with its priority; 65535 is "unsuffixed".
    Init {
        /// The effective priority: lower runs first.
        priority: u16,
    },
    /// `.ctors[.N]`: run last to first; the effective priority is 65535 - N.
    Ctors {
        /// The effective priority: lower runs first.
        priority: u16,
    },
    /// `.fini_array[.N]` (gABI).
    Fini {
        /// The effective priority: lower runs last.
        priority: u16,
    },
    /// `.dtors[.N]`.
    Dtors {
        /// The effective priority: lower runs last.
        priority: u16,
    },
}

/// One section of one object.
#[derive(Clone, Debug)]
pub struct Section<'data> {
    /// Its name, as the object spells it.
    pub name: &'data [u8],
    /// The object that it came from.
    pub object: ObjectId,
    /// What its memory allows.
    pub prot: Prot,
    /// What it asks for.
    pub flags: SectionFlags,
    /// What it is for.
    pub kind: SectionKind,
    /// Size of one element of a `MERGE` section, in bytes; 0 elsewhere.
    pub entry_size: u32,
    /// The group that it belongs to.
    pub group: Option<GroupId>,
    /// The block whose fate it shares (`LINK_ORDER`).
    pub linked_to: Option<BlockId>,
    /// Its number in its object, which other sections of the object name it by; 0 for what no object has.
    pub number: u32,
}

impl<'data> Section<'data> {
    /// What its name says of a section that stands with others: that of all of them, and what orders them.
    #[must_use]
    pub fn group_and_rank(&self) -> (&'data [u8], &'data [u8]) {
        match self.name.iter().position(|byte| *byte == b'$') {
            Some(at) => (&self.name[..at], &self.name[at..]),
            None => (self.name, b""),
        }
    }

    /// Whether the linker makes `__start_NAME` and `__stop_NAME` for it: its name is a C identifier.
    #[must_use]
    pub fn has_bounds(&self) -> bool {
        let mut bytes = self.name.iter();
        bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_')
            && bytes.all(|b| b.is_ascii_alphanumeric() || *b == b'_')
    }
}
