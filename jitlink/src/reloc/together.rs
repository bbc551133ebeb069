//! Relocations that mean something only together.
//!
//! For most machines each relocation is an edge, whatever stands beside it. Where a psABI lets the linker delete bytes, it is not: distances between two labels
//! are two relocations, the low half of a distance is told by naming the instruction that has the high half, and padding is told to be too long. A reader gives
//! the relocations of a section to [`Together`], and gets edges of which each is complete; passes and fixups know nothing of pairs.

use crate::graph::EdgeKind;

/// One relocation, as an object has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    /// Where in the section of the file.
    pub(crate) offset: u64,
    /// Its type.
    pub(crate) r_type: u32,
    /// The number of its symbol.
    pub(crate) symbol: usize,
    /// Its addend.
    pub(crate) addend: i64,
}

/// An edge to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Settled {
    /// Where in the block.
    pub(crate) offset: u64,
    /// Which fixup.
    pub(crate) kind: EdgeKind,
    /// The number of its symbol; 0 for the value zero (gABI `STN_UNDEF`).
    pub(crate) symbol: usize,
    /// Its addend.
    pub(crate) addend: i64,
}

/// Where a symbol is that the object defines in one of its sections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Label {
    /// The section's number.
    pub(crate) section: usize,
    /// The offset in the section of the file.
    pub(crate) offset: u64,
    /// Only this object sees it: no other definition can win over this one.
    pub(crate) local: bool,
    /// It stands for the section, so that an addend is an offset in that.
    pub(crate) whole: bool,
}

/// What an object says besides its relocations.
pub(crate) trait Labels {
    /// Where a symbol is.
    fn label(&self, symbol: usize) -> Option<Label>;
    /// What it is called.
    fn name(&self, symbol: usize) -> &[u8];
    /// Where a byte of a section is once surplus padding is gone.
    fn moved(&self, section: usize, offset: u64) -> u64;
}

/// The section whose relocations are settled.
#[derive(Clone, Copy)]
pub(crate) struct Here<'a> {
    /// Its number.
    pub(crate) section: usize,
    /// Its bytes in the file.
    pub(crate) content: &'a [u8],
    /// What else the object says.
    pub(crate) labels: &'a dyn Labels,
}

/// Why relocations cannot be settled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Unsettled {
    /// A type that has no place in relocatable objects.
    Unknown(Entry),
    /// A pair that is none; the offset in the section of the file, and what is wrong.
    Malformed(u64, String),
}

/// Padding that the assembler made long enough for any place: what is too much has to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Padding {
    /// What its end is to be aligned to, in bytes: a power of two.
    pub(crate) align: u64,
    /// Its length in the file in bytes.
    pub(crate) bytes: u64,
}

/// What a psABI says of relocations together.
#[derive(Debug)]
pub(crate) struct Together {
    /// `padding(r_type, addend)`: the padding that stands at such a relocation, if it says that any does. An error is told in words.
    pub(crate) padding: fn(r_type: u32, addend: i64) -> Result<Option<Padding>, String>,
    /// Fills what is left of padding with instructions that do nothing.
    pub(crate) fill: fn(&mut [u8]),
    /// Appends the edges of a section's relocations.
    pub(crate) settle: Settle,
}

/// Gives the edges of a section's relocations to its last argument.
type Settle = fn(&[Entry], &Here<'_>, &mut Vec<Settled>) -> Result<(), Unsettled>;
