//! Relocation types: the one place where a file format and a machine meet, and it is a table for each pair.
//!
//! A table says for each number of the format which fixup row it means ([`Row`]), or why an object must not contain it
//! ([`Refused`]). Readers look numbers up here and add edges; they know nothing else about machines.
//!
//! Formats whose addends stand in the bytes (ELF `SHT_REL`, COFF, Mach-O) read them by the field of the row. x86-64 and aarch64
//! have `SHT_RELA` only (psABI 4.4, AAELF64 5.7.1).

pub mod elf_aarch64;
pub mod elf_riscv64;
pub mod elf_x86_64;
pub(crate) mod together;

use crate::arch::{Machine, aarch64, riscv64, x86_64};
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
}

/// One line for each machine.
const ELF: &[(&Machine, &Elf)] = &[
    (&x86_64::MACHINE, &elf_x86_64::TABLE),
    (&aarch64::MACHINE, &elf_aarch64::TABLE),
    (&riscv64::MACHINE, &elf_riscv64::TABLE),
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

/// How a message calls the relocation `r_type` that [`elf_lookup`] has no row for, and why.
#[must_use]
pub fn elf_name(machine: &Machine, r_type: u32) -> String {
    (elf(machine).refuse)(r_type).to_string()
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
    /// Not a number that the specification has.
    #[error("type {number} (not one of {table})")]
    Unknown {
        /// Its number.
        number: u32,
        /// Format and machine.
        table: &'static str,
    },
}
