//! What the tables of Mach-O say beside rows: where addends stand, what pairs mean, and how compact unwind encodings read.

use super::{Refused, Row};
use crate::arch::Machine;
use crate::graph::EdgeKind;
use smallvec::SmallVec;

/// The table of one machine's Mach-O objects.
#[derive(Debug)]
pub(crate) struct MachO {
    /// `cputype` of the file header.
    pub(crate) cpu_type: u32,
    /// What a relocation of this type and form means.
    pub(crate) lookup: fn(Form) -> Result<Meaning, Refused>,
    /// The rows of a thread-local variable's descriptor: its second word and its third.
    pub(crate) descriptor: [EdgeKind; 2],
    /// `G + A - P` in 32 bits, of data.
    pub(crate) slot: EdgeKind,
    /// How functions without call frame information are unwound.
    pub(crate) unwind: Unwind,
}

/// What a relocation says of itself but for its place and symbol (`struct relocation_info`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Form {
    pub(crate) r_type: u8,
    /// Base-two logarithm of the field's size in bytes.
    pub(crate) r_length: u8,
    pub(crate) r_pcrel: bool,
}

/// What a relocation means.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Meaning {
    /// An address: or, behind a [`Self::Subtract`], the distance to what that one names.
    Address(Row),
    /// What the next relocation's address is counted from.
    Subtract,
    /// The constant of the next relocation, in place of a symbol.
    Addend,
    /// A row.
    Row(Row, Embedded),
    /// The row that the instruction asks for, if it has such a field; its addend stands before it.
    ByInstruction(&'static str, fn(u32) -> Option<EdgeKind>),
}

/// Where a row's addend stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Embedded {
    /// In the field: a distance in 32 bits that is counted from the end of the field, or from so many bytes behind it.
    Distance {
        /// Bytes of the instruction behind the field. They count where no symbol is named, and the field holds the distance to the target itself.
        behind: u8,
    },
    /// In a [`Meaning::Addend`] before it, or nowhere: what the field holds says nothing.
    Before,
}

/// What a machine's compact unwind encodings say (`mach-o/compact_unwind_encoding.h`).
#[derive(Debug)]
pub(crate) struct Unwind {
    /// DWARF's number of the register or column with the return address.
    pub(crate) return_address: u8,
    /// Call frame instructions that hold where a function begins.
    pub(crate) initial: &'static [u8],
    /// The frame of a function with this encoding, whose code begins so.
    ///
    /// # Errors
    /// In words, why the encoding cannot be read.
    pub(crate) frame: fn(encoding: u32, code: &[u8]) -> Result<Described, &'static str>,
}

/// What an encoding describes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Described {
    /// Nothing: nobody unwinds through the function.
    Nothing,
    /// Call frame information of the same object does.
    Elsewhere,
    /// This frame, wherever the function calls.
    Frame(Frame),
}

/// A frame, in DWARF's numbers of registers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Frame {
    /// The canonical frame address: register and what is added to it.
    pub(crate) cfa: (u8, u32),
    /// Saved registers: which, and how many bytes below the canonical frame address.
    pub(crate) saved: SmallVec<[(u8, u16); 24]>,
}

/// The table for `machine`; `None` where no Mach-O object is for it.
#[must_use]
pub(crate) fn table(machine: &Machine) -> Option<&'static MachO> {
    use crate::arch::{aarch64, x86_64};
    const TABLES: &[(&Machine, &MachO)] =
        &[(&x86_64::MACHINE, &super::mach_o_x86_64::TABLE), (&aarch64::MACHINE, &super::mach_o_arm64::TABLE)];
    TABLES.iter().find(|(of, _)| of.name == machine.name).map(|(_, table)| *table)
}

/// The machine that the file header numbers `cpu_type`, if it is linked for.
#[must_use]
pub(crate) fn machine_of(cpu_type: u32) -> Option<&'static Machine> {
    Machine::ALL.iter().copied().find(|machine| table(machine).is_some_and(|table| table.cpu_type == cpu_type))
}
