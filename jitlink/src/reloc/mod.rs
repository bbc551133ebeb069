//! Relocation types: the one place where a file format and a machine meet, and it is a table for each pair.
//!
//! A table says for each number of the format which fixup row it means ([`Row`]), or why an object must not contain it
//! ([`Refused`]). Readers look numbers up here and add edges; they know nothing else about machines.
//!
//! Formats whose addends stand in the bytes (ELF `SHT_REL`, COFF, Mach-O) read them by the field of the row. x86-64 and aarch64
//! have `SHT_RELA` only (psABI 4.4, AAELF64 5.7.1).

#[macro_use]
mod elf_types;
pub mod coff_x86_64;
mod coff_x86_64_unwind;
pub mod elf_aarch64;
pub mod elf_i386;
pub mod elf_loongarch64;
pub mod elf_riscv64;
pub mod elf_x86_64;
pub(crate) mod mach_o;
mod mach_o_arm64;
mod mach_o_x86_64;
pub(crate) mod together;

use crate::arch::{Machine, aarch64, i386, loongarch64, riscv64, x86_64};
use crate::graph::EdgeKind;

/// Gives the row of a relocation number, or `None` where [`elf_name`] says why.
pub type Lookup = fn(u32) -> Option<&'static Row>;

/// The table of one machine's ELF objects.
#[derive(Debug)]
struct Elf {
    e_machine: u16,
    lookup: Lookup,
    refuse: fn(u32) -> Refused,
    is_mapping: fn(&[u8]) -> bool,
    /// What is to be done with the relocations of a section before they are edges.
    together: Option<&'static together::Together>,
    /// Whether addends may stand in the bytes that they apply to (gABI `SHT_REL`).
    addends_in_place: bool,
}

/// One line for each machine.
const ELF: &[(&Machine, &Elf)] = &[
    (&x86_64::MACHINE, &elf_x86_64::TABLE),
    (&aarch64::MACHINE, &elf_aarch64::TABLE),
    (&riscv64::MACHINE, &elf_riscv64::TABLE),
    (&loongarch64::MACHINE, &elf_loongarch64::TABLE),
    (&i386::MACHINE, &elf_i386::TABLE),
];

fn elf(machine: &Machine) -> &'static Elf {
    let table = ELF.iter().find(|(of, _)| of.name == machine.name);
    table.expect("every machine of Machine::ALL has an ELF table").1
}

/// The machine of ELF objects whose header says `e_machine`, in a file of `bits` bits.
#[must_use]
pub fn machine_of_elf(e_machine: u16, bits: u8) -> Option<&'static Machine> {
    let (machine, _) = ELF.iter().find(|(of, elf)| elf.e_machine == e_machine && of.pointer_size * 8 == bits)?;
    Machine::named(machine.name)
}

/// `e_machine` in the file headers of ELF objects for `machine` (gABI).
#[must_use]
pub fn elf_machine(machine: &Machine) -> u16 {
    elf(machine).e_machine
}

/// The rows of ELF relocations for `machine`. Fetch it once for a whole object.
#[must_use]
pub fn elf_lookup(machine: &Machine) -> Lookup {
    elf(machine).lookup
}

/// Whether a local symbol of this name says what the bytes behind it are, code or data, and names nothing (AAELF64 5.5.3, "Mapping symbols").
#[must_use]
pub fn elf_is_mapping(machine: &Machine, name: &[u8]) -> bool {
    name.starts_with(b"$") && (elf(machine).is_mapping)(name)
}

/// What `machine`'s psABI says of ELF relocations together.
pub(crate) fn elf_together(machine: &Machine) -> Option<&'static together::Together> {
    elf(machine).together
}

/// Whether ELF relocations for `machine` may have their addends in the bytes that they apply to.
pub(crate) fn elf_addends_in_place(machine: &Machine) -> bool {
    elf(machine).addends_in_place
}

/// How a message calls the relocation `r_type` that [`elf_lookup`] has no row for, and why.
#[must_use]
pub fn elf_name(machine: &Machine, r_type: u32) -> String {
    (elf(machine).refuse)(r_type).to_string()
}

/// The table of one machine's COFF objects.
#[derive(Debug)]
pub(crate) struct Coff {
    /// `IMAGE_FILE_MACHINE_*`.
    pub(crate) machine: u16,
    pub(crate) lookup: fn(u16) -> Option<&'static CoffRow>,
    pub(crate) refuse: fn(u16) -> Refused,
    /// `branch(kind, content, offset)`: the row of a call or jump, where the bytes around the field are those of one.
    pub(crate) branch: fn(kind: EdgeKind, content: &[u8], offset: usize) -> EdgeKind,
    /// How its call frame information is told to unwinders of other systems.
    pub(crate) unwind: Option<&'static Unwind>,
}

/// Call frame information of Windows for one machine, in the words of DWARF.
#[derive(Debug)]
pub(crate) struct Unwind {
    /// A common information entry, from its version on.
    pub(crate) cie: &'static [u8],
    /// Bytes of one entry of `.pdata`.
    pub(crate) entry_size: u64,
    /// Where in unwind information the entry stands that it is chained to.
    pub(crate) chained: fn(info: &[u8]) -> Option<usize>,
    /// The instructions of a frame description entry for the first of `infos`, each of which is chained to the next.
    pub(crate) convert: fn(infos: &[&[u8]]) -> Option<Vec<u8>>,
}

/// One line for each machine whose COFF objects are linked.
const COFF: &[(&Machine, &Coff)] = &[(&x86_64::MACHINE, &coff_x86_64::TABLE)];

/// The table of COFF objects for `machine`, if they are linked for it.
pub(crate) fn coff(machine: &Machine) -> Option<&'static Coff> {
    COFF.iter().find(|(of, _)| of.name == machine.name).map(|(_, table)| *table)
}

/// The machine of COFF objects with this number (`IMAGE_FILE_MACHINE_*`), if it is linked for.
#[must_use]
pub fn machine_of_coff(number: u16) -> Option<&'static Machine> {
    let (machine, _) = COFF.iter().find(|(_, table)| table.machine == number)?;
    Machine::named(machine.name)
}

/// What a relocation type means whose addend stands in the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CoffRow {
    /// Its name, as the format's specification spells it.
    pub name: &'static str,
    /// The fixup row.
    pub kind: EdgeKind,
    /// What is added to the addend of the bytes.
    pub bias: i8,
}

/// What a relocation type means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// Its name, as the format's specification spells it.
    pub name: &'static str,
    /// The fixup row.
    pub kind: EdgeKind,
}

/// A relocation type that has no place in a relocatable object.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// Linkers write it for the dynamic loader.
    #[error("{name} (type {number}, for dynamic loaders only: {reason})")]
    DynamicOnly {
        /// Its number.
        number: u32,
        /// Its name.
        name: &'static str,
        /// What it is for.
        reason: &'static str,
    },
    /// In this form it does not exist.
    #[error("{name} of a form that does not exist: {reason}")]
    Form {
        /// Its name.
        name: &'static str,
        /// What it should be.
        reason: &'static str,
    },
    /// A type that the specification has and that cannot be linked.
    #[error("{name} (type {number}: {reason})")]
    Unsupported {
        /// Its number.
        number: u32,
        /// Its name.
        name: &'static str,
        /// Why not.
        reason: &'static str,
    },
    /// Not a number that the specification has.
    #[error("type {number} (not one of {table})")]
    Unknown {
        /// Its number.
        number: u32,
        /// Format and machine.
        table: &'static str,
    },
}
