//! Symbols: names for places, and what the linker knows about them.

use super::{BlockId, ObjectId};

/// Where a symbol is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Definition {
    /// Nobody in this graph defines it; the client of the link is asked.
    Undefined,
    /// At [`Symbol::value`] bytes from the start of a block.
    Block(BlockId),
    /// [`Symbol::value`] is its address or constant (gABI `SHN_ABS`).
    Absolute,
    /// A tentative definition (gABI `SHN_COMMON`): [`Symbol::value`] is its alignment; pruning gives it a zero-filled block.
    Common,
    /// Its section was dropped with a group that an earlier object already had, or is not loaded (debug information).
    Discarded,
    /// The linker itself defines it when the graph is placed.
    Linker(LinkerSymbol),
}

/// Symbols that linkers make.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkerSymbol {
    /// `_GLOBAL_OFFSET_TABLE_`: the base of GOT-relative expressions (psABI 3.8).
    GlobalOffsetTable,
    /// `__ehdr_start`, `__executable_start`: the header of this dylib; `__dso_handle`, which stands behind it. [`Symbol::value`] is the offset.
    Header,
    /// `__start_X`: the first byte of all sections named X. [`Symbol::value`] is the number of X in the table of bounds.
    SectionStart,
    /// `__stop_X`: the byte after the last section named X.
    SectionStop,
    /// `__ImageBase`: the lowest address of what is linked together, from which PE/COFF counts addresses.
    ImageBase,
    /// `_TLS_MODULE_BASE_`: what offsets of thread-local variables in local-dynamic code are counted from.
    ThreadLocalBase,
}

impl LinkerSymbol {
    /// The names of [`Self::Header`].
    pub(crate) const HEADER_NAMES: [&[u8]; 3] = [b"__ehdr_start", b"__executable_start", b"__dso_handle"];
}

/// Who wins when several objects define one name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Linkage {
    /// The only one allowed.
    Strong,
    /// Yields to a strong one; the first of several weak ones wins.
    Weak,
    /// As weak, and one for the whole session (`STB_GNU_UNIQUE`).
    Unique,
}

/// Who can see a symbol.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Its object.
    Local,
    /// The objects of its dylib (`STV_HIDDEN`, `STV_INTERNAL`).
    Hidden,
    /// Everybody, but its own dylib always means its own definition (`STV_PROTECTED`).
    Protected,
    /// Everybody.
    Default,
}

/// What a symbol names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum SymbolKind {
    /// The object does not say.
    Unknown,
    /// Code.
    Function,
    /// Data.
    Object,
    /// The start of a section; has no name of its own.
    Section,
    /// A thread-local variable: its value is an offset in the thread's image.
    ThreadLocal,
    /// A function that returns the function to use (`STT_GNU_IFUNC`).
    Indirect,
}

/// One symbol. A global name is one symbol in the whole graph, whoever defines or refers to it.
#[derive(Clone, Debug)]
pub struct Symbol<'data> {
    /// Its name as the object spells it; empty for the anonymous.
    pub name: &'data [u8],
    /// Where it is.
    pub definition: Definition,
    /// Offset in its block, absolute value, or alignment of a common symbol.
    pub value: u64,
    /// Size in bytes, 0 when the object does not say.
    pub size: u64,
    /// Its address in the executor; meaningful once the graph is placed (definitions) or resolved (externals).
    pub address: u64,
    /// The object that defines it, or that referred to it first.
    pub object: ObjectId,
    /// Who wins.
    pub linkage: Linkage,
    /// Who sees it.
    pub scope: Scope,
    /// What it names.
    pub kind: SymbolKind,
    /// Somebody refers to it and needs it: a reference that is not weak.
    pub needed: bool,
    /// Reached while pruning.
    pub live: bool,
}

bitflags::bitflags! {
    /// Kinds of symbols that few graphs have: what is about them alone costs nothing where there are none.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub(crate) struct Rare: u8 {
        /// [`Definition::Common`].
        const COMMON = 1;
        /// [`Definition::Absolute`].
        const ABSOLUTE = 2;
        /// [`SymbolKind::Indirect`].
        const INDIRECT = 4;
        /// A name with an `@` (GNU symbol versioning).
        const VERSIONED = 8;
    }
}

impl Rare {
    /// What of all that a symbol is, but for its name.
    #[inline]
    pub(crate) fn of(definition: Definition, kind: SymbolKind) -> Self {
        let by_definition = match definition {
            Definition::Common => Self::COMMON,
            Definition::Absolute => Self::ABSOLUTE,
            _ => Self::empty(),
        };
        if kind == SymbolKind::Indirect { by_definition | Self::INDIRECT } else { by_definition }
    }
}

impl Symbol<'_> {
    /// Whether another dylib may look it up.
    #[inline]
    #[must_use]
    pub fn is_exported(&self) -> bool {
        self.scope >= Scope::Protected && self.is_defined()
    }

    /// Whether this graph defines it, other than by the linker's own symbols.
    #[inline]
    #[must_use]
    pub fn is_defined(&self) -> bool {
        matches!(self.definition, Definition::Block(_) | Definition::Absolute | Definition::Common)
    }

    /// The block that it stands in.
    #[inline]
    #[must_use]
    pub fn block(&self) -> Option<BlockId> {
        match self.definition {
            Definition::Block(block) => Some(block),
            _ => None,
        }
    }
}
