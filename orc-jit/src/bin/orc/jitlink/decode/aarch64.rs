//! AArch64: operands of an instruction, in the order in which check files number them.

use super::{Instruction, REGISTER};
use disarm64::{InsnOpcode as _, InsnOperand, decoder};
use disarm64_defn::{InsnBitField, InsnClass, InsnOperandClass, InsnOperandKind};

/// Every instruction has four bytes.
const LENGTH: usize = 4;

/// Immediates are the fields of the instruction as they are encoded: distances are counted in instructions or pages, offsets of loads in what is loaded. Those that
/// can be negative are sign-extended.
pub(super) fn decode(bytes: &[u8]) -> Option<Instruction> {
    let word = u32::from_le_bytes(*bytes.first_chunk::<LENGTH>()?);
    let decoded = decoder::decode(word)?;
    let definition = decoded.definition();
    let mut operands = Vec::new();
    // What writes its base register back has it as its first result.
    if matches!(definition.class, InsnClass::LDST_IMM9 | InsnClass::LDSTPAIR_INDEXED) {
        operands.push(REGISTER);
    }
    for operand in definition.operands {
        push(&mut operands, word, operand);
        // `movk` keeps the rest of its register.
        if definition.mnemonic == "movk" && operands.len() == 1 {
            operands.push(REGISTER);
        }
    }
    Some(Instruction { length: LENGTH as u64, operands })
}

fn push(operands: &mut Vec<Option<i64>>, word: u32, operand: &InsnOperand) {
    use InsnOperandKind as Kind;
    match operand.kind {
        Kind::ADDR_PCREL14 | Kind::ADDR_PCREL19 | Kind::ADDR_PCREL21 | Kind::ADDR_PCREL26 | Kind::ADDR_ADRP => {
            // The condition of a branch stands in front.
            let condition = field(word, operand, |name| name == InsnBitField::cond);
            operands.extend((condition.1 > 0).then_some(Some(i64::from(condition.0))));
            operands.push(Some(signed(word, operand)));
        }
        Kind::ADDR_UIMM12 => operands.extend([REGISTER, Some(unsigned(word, operand))]),
        Kind::ADDR_SIMM7 | Kind::ADDR_SIMM9 => operands.extend([REGISTER, Some(signed(word, operand))]),
        // With how far it is shifted.
        Kind::AIMM => {
            let (shift, _) = field(word, operand, |name| name == InsnBitField::shift);
            operands.extend([Some(unsigned(word, operand)), Some(i64::from(shift) * 12)]);
        }
        Kind::HALF => operands.extend([Some(unsigned(word, operand)), Some(i64::from(word >> 21 & 3) * 16)]),
        _ if operand.class == InsnOperandClass::IMMEDIATE => {
            operands.push(Some(i64::from(field(word, operand, |_| true).0)));
        }
        Kind::PRFOP => operands.push(Some(i64::from(word & 0x1f))),
        _ => operands.push(REGISTER),
    }
}

/// The bits of some of an operand's fields, the highest first, and how many they are.
fn field(word: u32, operand: &InsnOperand, wanted: impl Fn(InsnBitField) -> bool) -> (u32, u32) {
    operand.bit_fields.iter().filter(|field| wanted(field.bitfield)).fold((0, 0), |(value, width), field| {
        let bits = word >> field.lsb & ((1 << field.width) - 1);
        (value << field.width | bits, width + u32::from(field.width))
    })
}

fn is_immediate(name: InsnBitField) -> bool {
    use InsnBitField as Field;
    matches!(
        name,
        Field::imm7
            | Field::imm9
            | Field::imm12
            | Field::imm14
            | Field::imm16_5
            | Field::imm19
            | Field::imm26
            | Field::immhi
            | Field::immlo
    )
}

fn unsigned(word: u32, operand: &InsnOperand) -> i64 {
    field(word, operand, is_immediate).0.into()
}

fn signed(word: u32, operand: &InsnOperand) -> i64 {
    let (value, width) = field(word, operand, is_immediate);
    let unused = 64 - width;
    (u64::from(value) << unused) as i64 >> unused
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The immediate that rules ask for: its number and value.
    #[track_caller]
    fn check(word: u32, number: usize, value: i64) {
        let decoded = decode(&word.to_le_bytes()).expect("an instruction");
        assert_eq!(decoded.operands.get(number), Some(&Some(value)), "{word:08x}: {:?}", decoded.operands);
    }

    #[test]
    fn operands_are_counted_as_llvm_counts_them() {
        check(0x1400_0002, 0, 2); // b +8
        check(0x97ff_ffff, 0, -1); // bl -4
        check(0x3000_0021, 1, 5); // adr x1, +5
        check(0xd000_0001, 1, 2); // adrp x1, +8192
        check(0xf0ff_ffe1, 1, -1); // adrp x1, -4096
        check(0x5800_0081, 1, 4); // ldr x1, +16
        check(0xb400_0041, 1, 2); // cbz x1, +8
        check(0x5400_0041, 0, 1); // b.ne +8: the condition
        check(0x5400_0041, 1, 2);
        check(0x9104_8c41, 2, 0x123); // add x1, x2, #0x123
        check(0x9144_8c41, 3, 12); // add x1, x2, #0x123, lsl #12
        check(0xf940_0841, 2, 2); // ldr x1, [x2, #16]
        check(0x3940_4041, 2, 16); // ldrb w1, [x2, #16]
        check(0x3d80_0441, 2, 1); // str q1, [x2, #16]
        check(0xd2a0_00a1, 1, 5); // movz x1, #5, lsl #16
        check(0xd2a0_00a1, 2, 16);
        check(0xf2a0_00a1, 2, 5); // movk x1, #5, lsl #16
        check(0x3618_0041, 1, 3); // tbz w1, #3, +8
        check(0x3618_0041, 2, 2);
        check(0xa941_0861, 3, 2); // ldp x1, x2, [x3, #16]
        check(0xf85f_8041, 2, -8); // ldur x1, [x2, #-8]
        check(0xf840_8441, 3, 8); // ldr x1, [x2], #8
    }

    #[test]
    fn nonsense_is_no_instruction() {
        assert_eq!(decode(&[0, 0, 0]), None);
        assert_eq!(decode(&0xffff_ffffu32.to_le_bytes()), None);
    }
}
