//! Mach-O on arm64: the relocation types of `mach-o/arm64/reloc.h`.
//!
//! Fields of instructions are empty: what is added to a symbol's address stands in a relocation of its own before it. Which field an instruction has for the low bits
//! of an address is for the instruction to say. Pointers that are signed (arm64e) are refused.

mod unwind;

use super::mach_o::{Embedded, Form, MachO, Meaning};
use super::{Refused, Row};
use crate::arch::aarch64::kind;
use crate::graph::EdgeKind;
use object::macho;

/// Mach-O on arm64.
pub(super) static TABLE: MachO = MachO {
    cpu_type: macho::CPU_TYPE_ARM64.0,
    lookup,
    descriptor: [kind::TLS_KEY64, kind::TLS_PLACE64],
    slot: kind::SLOT32,
    unwind: unwind::UNWIND,
};

/// What a relocation of this form means.
fn lookup(form: Form) -> Result<Meaning, Refused> {
    let r_type = macho::RelocationType(form.r_type);
    let address = |kind| Ok(Meaning::Address(Row { name: "ARM64_RELOC_UNSIGNED", kind }));
    let row = |name, kind| Ok(Meaning::Row(Row { name, kind }, Embedded::Before));
    match (r_type, form.r_pcrel, form.r_length) {
        (macho::ARM64_RELOC_UNSIGNED, false, 3) => address(EdgeKind::POINTER64),
        (macho::ARM64_RELOC_UNSIGNED, false, 2) => address(EdgeKind::POINTER32),
        (macho::ARM64_RELOC_SUBTRACTOR, false, 2 | 3) => Ok(Meaning::Subtract),
        (macho::ARM64_RELOC_ADDEND, false, 2) => Ok(Meaning::Addend),
        (macho::ARM64_RELOC_BRANCH26, true, 2) => row("ARM64_RELOC_BRANCH26", kind::BRANCH26),
        (macho::ARM64_RELOC_PAGE21, true, 2) => row("ARM64_RELOC_PAGE21", kind::PAGE21),
        (macho::ARM64_RELOC_PAGEOFF12, false, 2) => Ok(Meaning::ByInstruction("ARM64_RELOC_PAGEOFF12", page_offset)),
        (macho::ARM64_RELOC_GOT_LOAD_PAGE21, true, 2) => row("ARM64_RELOC_GOT_LOAD_PAGE21", kind::SLOT_PAGE21),
        (macho::ARM64_RELOC_GOT_LOAD_PAGEOFF12, false, 2) => row("ARM64_RELOC_GOT_LOAD_PAGEOFF12", kind::SLOT_LO12_NC),
        // The address of a variable's descriptor is loaded as that of anything else.
        (macho::ARM64_RELOC_TLVP_LOAD_PAGE21, true, 2) => row("ARM64_RELOC_TLVP_LOAD_PAGE21", kind::SLOT_PAGE21),
        (macho::ARM64_RELOC_TLVP_LOAD_PAGEOFF12, false, 2) => {
            row("ARM64_RELOC_TLVP_LOAD_PAGEOFF12", kind::SLOT_LO12_NC)
        }
        (macho::ARM64_RELOC_POINTER_TO_GOT, true, 2) => row("ARM64_RELOC_POINTER_TO_GOT", kind::SLOT32),
        _ => Err(match NAMES.get(usize::from(form.r_type)) {
            Some((name, reason)) => Refused::Form { name, reason },
            None => Refused::Unknown { number: form.r_type.into(), table: "Mach-O arm64" },
        }),
    }
}

/// Names by number, and what a relocation of the type has to be.
const NAMES: &[(&str, &str)] = &[
    ("ARM64_RELOC_UNSIGNED", NOT_A_DATUM),
    ("ARM64_RELOC_SUBTRACTOR", NOT_A_DATUM),
    ("ARM64_RELOC_BRANCH26", NOT_AN_INSTRUCTION),
    ("ARM64_RELOC_PAGE21", NOT_AN_INSTRUCTION),
    ("ARM64_RELOC_PAGEOFF12", NOT_AN_INSTRUCTION),
    ("ARM64_RELOC_GOT_LOAD_PAGE21", NOT_AN_INSTRUCTION),
    ("ARM64_RELOC_GOT_LOAD_PAGEOFF12", NOT_AN_INSTRUCTION),
    ("ARM64_RELOC_POINTER_TO_GOT", "only the distance to a slot, of four bytes, is supported"),
    ("ARM64_RELOC_TLVP_LOAD_PAGE21", NOT_AN_INSTRUCTION),
    ("ARM64_RELOC_TLVP_LOAD_PAGEOFF12", NOT_AN_INSTRUCTION),
    ("ARM64_RELOC_ADDEND", NOT_AN_INSTRUCTION),
    (
        "ARM64_RELOC_AUTHENTICATED_POINTER",
        "signed pointers need keys that only the system's loader has: compile for arm64, not for arm64e",
    ),
];

const NOT_AN_INSTRUCTION: &str =
    "its field is in an instruction of four bytes, and only branches and adrp count from their place";
const NOT_A_DATUM: &str = "its field has four or eight bytes, and no address is subtracted";

/// The row for the low twelve bits of an address in `add`, or in a load or store, which leaves out as many of them as its operand is aligned.
fn page_offset(instruction: u32) -> Option<EdgeKind> {
    // `add xd, xn, #imm` without a shift (Arm ARM C4.1.93).
    if instruction & 0x7fc0_0000 == 0x1100_0000 {
        return Some(kind::ADD_LO12_NC);
    }
    // Loads and stores with an unsigned offset (C4.1.96): size in bits 31 and 30, vectors by bit 26, their sixteen bytes by bit 23.
    if instruction & 0x3b00_0000 != 0x3900_0000 {
        return None;
    }
    Some(match (instruction >> 30, instruction & 0x0480_0000 == 0x0480_0000) {
        (0, true) => kind::LDST128_LO12_NC,
        (0, false) => kind::LDST8_LO12_NC,
        (1, _) => kind::LDST16_LO12_NC,
        (2, _) => kind::LDST32_LO12_NC,
        _ => kind::LDST64_LO12_NC,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::{Field, aarch64};

    #[test]
    fn every_form_of_every_type_has_a_row_or_a_reason() {
        let mut rows = 0;
        for (r_type, r_length, r_pcrel) in
            (0..16).flat_map(|r_type| (0..4).flat_map(move |length| [false, true].map(|pcrel| (r_type, length, pcrel))))
        {
            match lookup(Form { r_type, r_length, r_pcrel }) {
                Ok(Meaning::Address(row) | Meaning::Row(row, _)) => {
                    rows += 1;
                    assert_eq!(NAMES[usize::from(r_type)].0, row.name);
                    assert_eq!(aarch64::MACHINE.fixup(row.kind).field.width(), 1 << r_length, "{}", row.name);
                }
                Ok(Meaning::ByInstruction(name, _)) => assert_eq!(NAMES[usize::from(r_type)].0, name),
                Ok(Meaning::Subtract | Meaning::Addend) => assert!(!r_pcrel),
                Err(refused) => assert_eq!(matches!(refused, Refused::Unknown { .. }), r_type > 11),
            }
        }
        assert_eq!(rows, 9);
    }

    #[test]
    fn the_instruction_says_which_bits_of_an_offset_it_holds() {
        let cases = [
            (0x9100_0020, Some(kind::ADD_LO12_NC)),     // add x0, x1, #0
            (0x1100_0020, Some(kind::ADD_LO12_NC)),     // add w0, w1, #0
            (0x9140_0020, None),                        // add x0, x1, #0, lsl #12
            (0x3940_0020, Some(kind::LDST8_LO12_NC)),   // ldrb w0, [x1]
            (0x7900_0020, Some(kind::LDST16_LO12_NC)),  // strh w0, [x1]
            (0xb940_0020, Some(kind::LDST32_LO12_NC)),  // ldr w0, [x1]
            (0xf940_0020, Some(kind::LDST64_LO12_NC)),  // ldr x0, [x1]
            (0x3dc0_0020, Some(kind::LDST128_LO12_NC)), // ldr q0, [x1]
            (0x3d80_0020, Some(kind::LDST128_LO12_NC)), // str q0, [x1]
            (0x3d40_0020, Some(kind::LDST8_LO12_NC)),   // ldr b0, [x1]
            (0xfd40_0020, Some(kind::LDST64_LO12_NC)),  // ldr d0, [x1]
            (0xb980_0020, Some(kind::LDST32_LO12_NC)),  // ldrsw x0, [x1]
            (0xf840_0020, None),                        // ldur x0, [x1]
            (0xd503_201f, None),                        // nop
        ];
        for (instruction, row) in cases {
            assert_eq!(page_offset(instruction), row, "{instruction:#x}");
        }
        assert!(matches!(aarch64::MACHINE.fixup(kind::LDST128_LO12_NC).field, Field::Bits(_)));
    }
}
