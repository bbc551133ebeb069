//! Mach-O on x86-64: the relocation types of `mach-o/x86_64/reloc.h`.
//!
//! Addends stand in the bytes. Fields of instructions hold distances that the processor counts from the end of the instruction; where the
//! instruction has an immediate operand behind the field, the type says how long that is.

mod unwind;

use super::mach_o::{Embedded, Form, MachO, Meaning};
use super::{Refused, Row};
use crate::arch::x86_64::kind;
use crate::graph::EdgeKind;
use object::macho;

/// Mach-O on x86-64.
pub(super) static TABLE: MachO = MachO {
    cpu_type: macho::CPU_TYPE_X86_64.0,
    lookup,
    descriptor: [kind::TLS_KEY64, kind::TLS_PLACE64],
    slot: kind::GOT_SLOT32,
    unwind: unwind::UNWIND,
};

/// One type of instruction operand.
struct Operand {
    r_type: macho::RelocationType,
    row: Row,
    behind: u8,
}

macro_rules! operands {
    ($($constant:ident => $kind:expr, $behind:literal,)*) => {
        &[$(Operand { r_type: macho::$constant, row: Row { name: stringify!($constant), kind: $kind }, behind: $behind },)*]
    };
}

/// Types of fields with four bytes that are counted from the end of the instruction.
static OPERANDS: &[Operand] = operands! {
    X86_64_RELOC_SIGNED => EdgeKind::DELTA32, 0,
    X86_64_RELOC_SIGNED_1 => EdgeKind::DELTA32, 1,
    X86_64_RELOC_SIGNED_2 => EdgeKind::DELTA32, 2,
    X86_64_RELOC_SIGNED_4 => EdgeKind::DELTA32, 4,
    X86_64_RELOC_BRANCH => kind::BRANCH32, 0,
    // `movq symbol@GOTPCREL(%rip), reg`: a REX prefix stands before it.
    X86_64_RELOC_GOT_LOAD => kind::GOT_SLOT32_RELAXABLE_REX, 0,
    X86_64_RELOC_GOT => kind::GOT_SLOT32, 0,
    // `movq variable@TLVP(%rip), %rdi` loads the address of the variable's descriptor, as of anything else.
    X86_64_RELOC_TLV => kind::GOT_SLOT32_RELAXABLE_REX, 0,
};

/// What a relocation of this form means.
fn lookup(form: Form) -> Result<Meaning, Refused> {
    let r_type = macho::RelocationType(form.r_type);
    let row = |name, kind| Ok(Meaning::Address(Row { name, kind }));
    match (r_type, form.r_pcrel, form.r_length) {
        (macho::X86_64_RELOC_UNSIGNED, false, 3) => row("X86_64_RELOC_UNSIGNED", EdgeKind::POINTER64),
        (macho::X86_64_RELOC_UNSIGNED, false, 2) => row("X86_64_RELOC_UNSIGNED", EdgeKind::POINTER32),
        (macho::X86_64_RELOC_SUBTRACTOR, false, 2 | 3) => Ok(Meaning::Subtract),
        (_, pcrel, length) => {
            let operand = OPERANDS.iter().find(|operand| operand.r_type == r_type);
            match operand {
                Some(Operand { row, behind, .. }) if pcrel && length == 2 => {
                    Ok(Meaning::Row(*row, Embedded::Distance { behind: *behind }))
                }
                Some(Operand { row: Row { name, .. }, .. }) => Err(Refused::Form { name, reason: NOT_AN_OPERAND }),
                None if r_type == macho::X86_64_RELOC_UNSIGNED => {
                    Err(Refused::Form { name: "X86_64_RELOC_UNSIGNED", reason: NOT_A_DATUM })
                }
                None if r_type == macho::X86_64_RELOC_SUBTRACTOR => {
                    Err(Refused::Form { name: "X86_64_RELOC_SUBTRACTOR", reason: NOT_A_DATUM })
                }
                None => Err(Refused::Unknown { number: form.r_type.into(), table: "Mach-O x86-64" }),
            }
        }
    }
}

const NOT_AN_OPERAND: &str = "its field is four bytes of an instruction, counted from their end";
const NOT_A_DATUM: &str = "its field has four or eight bytes, and no address is subtracted";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::{Field, x86_64};

    #[test]
    fn every_form_of_every_type_has_a_row_or_a_reason() {
        let mut rows = 0;
        for (r_type, r_length, r_pcrel) in
            (0..16).flat_map(|r_type| (0..4).flat_map(move |length| [false, true].map(|pcrel| (r_type, length, pcrel))))
        {
            let meaning = lookup(Form { r_type, r_length, r_pcrel });
            let row = match meaning {
                Ok(Meaning::Address(row) | Meaning::Row(row, _)) => row,
                Ok(Meaning::Subtract) => {
                    assert_eq!((r_type, r_pcrel), (macho::X86_64_RELOC_SUBTRACTOR.0, false));
                    continue;
                }
                Ok(Meaning::Addend | Meaning::ByInstruction(..)) => unreachable!("x86-64 has addends in its bytes"),
                Err(refused) => {
                    assert_eq!(matches!(refused, Refused::Unknown { .. }), r_type > macho::X86_64_RELOC_TLV.0);
                    continue;
                }
            };
            rows += 1;
            assert!(row.name.starts_with("X86_64_RELOC_"));
            assert_eq!(x86_64::MACHINE.fixup(row.kind).field, Field::Bytes(1 << r_length), "{}", row.name);
        }
        assert_eq!(rows, 2 + OPERANDS.len());
    }
}
