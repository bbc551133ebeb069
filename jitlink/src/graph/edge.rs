//! Edges: what a block needs to know about a symbol, and where in its bytes the answer goes.

use super::{BlockId, SymbolId};
use std::fmt;

/// Which fixup an edge asks for: a row of the machine's table ([`crate::arch::Machine::fixups`]).
///
/// The first rows mean the same on every machine; they are the constants below.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeKind(pub u8);

impl EdgeKind {
    /// Nothing is written; the target is kept as long as the block is.
    pub const KEEP_ALIVE: Self = Self(0);
    /// `S + A` in 64 bits.
    pub const POINTER64: Self = Self(1);
    /// `S + A` in 32 bits, zero-extended by its reader: `0 ..= u32::MAX`.
    pub const POINTER32: Self = Self(2);
    /// `S + A` in 32 bits, sign-extended by its reader.
    pub const POINTER32_SIGNED: Self = Self(3);
    /// `S + A` in 16 bits, signed or unsigned.
    pub const POINTER16: Self = Self(4);
    /// `S + A` in 8 bits, signed or unsigned.
    pub const POINTER8: Self = Self(5);
    /// `S + A - P` in 64 bits.
    pub const DELTA64: Self = Self(6);
    /// `S + A - P` in 32 bits.
    pub const DELTA32: Self = Self(7);
    /// `S + A - P` in 16 bits.
    pub const DELTA16: Self = Self(8);
    /// `S + A - P` in 8 bits.
    pub const DELTA8: Self = Self(9);
    /// `P + A - S` in 64 bits.
    pub const NEG_DELTA64: Self = Self(10);
    /// `P + A - S` in 32 bits.
    pub const NEG_DELTA32: Self = Self(11);
    /// `S + A - B` in 32 bits, B the image base: `0 ..= u32::MAX`.
    pub const IMAGE_OFFSET32: Self = Self(12);
    /// `S + A - R` in 32 bits, R the start of the target's run of sections: `0 ..= u32::MAX`.
    pub const SECTION_OFFSET32: Self = Self(13);
    /// `N + A` in 16 bits, N the number of the target's run of sections.
    pub const SECTION_NUMBER16: Self = Self(14);
    /// The first row that each machine defines for itself.
    pub const FIRST_OF_MACHINE: u8 = 16;
}

impl fmt::Debug for EdgeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kind-{}", self.0)
    }
}

/// One relocation: at `offset` of `block`, write what `kind` says about `target` and `addend`.
///
/// Twenty-four bytes, in one flat array; the edges of a block stand together in it ([`super::Block::edges`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Edge {
    /// `A`, the constant that the expression adds.
    pub addend: i64,
    /// The block whose bytes are changed.
    pub block: BlockId,
    /// Where in the block, in bytes.
    pub offset: u32,
    /// `S`, the symbol that is asked about.
    pub target: SymbolId,
    /// Which fixup.
    pub kind: EdgeKind,
}

const _: () = assert!(size_of::<Edge>() == 24);
