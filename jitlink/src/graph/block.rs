//! Blocks: bytes that stay together, the unit of keeping and placing.

use super::SectionId;
use std::ops::Range;

/// Where a block's bytes come from. Nothing is copied before the bytes go where they will run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<'data> {
    /// Bytes of an input file.
    Bytes(&'data [u8]),
    /// Bytes that a pass made.
    Owned(Box<[u8]>),
    /// Zeros: `.bss`, common symbols.
    Zero,
}

impl Content<'_> {
    /// The bytes, or `None` where all are zero.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Owned(bytes) => Some(bytes),
            Self::Zero => None,
        }
    }
}

/// Bytes that stay together: for ELF one section, for Mach-O one subsection.
#[derive(Clone, Debug)]
pub struct Block<'data> {
    /// Its bytes.
    pub content: Content<'data>,
    /// Its size in bytes; content, where there is any, is exactly as long.
    pub size: u64,
    /// Where it will run: an address in the executor. 0 before it is placed.
    pub address: u64,
    /// The section that it is part of.
    pub section: SectionId,
    /// Its edges, a range of [`super::LinkGraph::edges`].
    pub edges: Range<u32>,
    /// Base-two logarithm of its alignment.
    pub align_log2: u8,
    /// Whether something that stays refers to it. Until pruning everything is.
    pub live: bool,
}

impl Block<'_> {
    /// Alignment in bytes, a power of two.
    #[inline]
    #[must_use]
    pub fn align(&self) -> u64 {
        1 << self.align_log2
    }

    /// Its edges as indices of the edge array.
    #[inline]
    #[must_use]
    pub fn edge_range(&self) -> Range<usize> {
        self.edges.start as usize..self.edges.end as usize
    }
}
