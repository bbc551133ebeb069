//! LoongArch: operands of an instruction, in the order in which check files number them.
//!
//! The formats of the reference manual (volume 1, 1.2) are told by the first bits, and no library for this machine is kept well; what has no immediate that a linker
//! writes is registers here.

use super::{Instruction, REGISTER};

/// Every instruction has four bytes.
const LENGTH: usize = 4;

/// Immediates are the fields of the instruction, sign-extended; distances of branches are in bytes.
pub(super) fn decode(bytes: &[u8]) -> Option<Instruction> {
    let word = u32::from_le_bytes(*bytes.first_chunk::<LENGTH>()?);
    let signed = |value: u32, bits: u32| Some(i64::from((value << (32 - bits)) as i32 >> (32 - bits)));
    let unsigned = |value: u32| Some(i64::from(value));
    let (imm12, imm14, imm16, imm20) =
        (word >> 10 & 0xfff, word >> 10 & 0x3fff, word >> 10 & 0xffff, word >> 5 & 0xf_ffff);
    let far = |bits: u32| signed(((word & ((1 << (bits - 16)) - 1)) << 16 | imm16) << 2, bits + 2);
    let operands = match word >> 26 {
        // lu12i.w, lu32i.d, pcaddi, pcalau12i, pcaddu12i, pcaddu18i
        0b00_0101..=0b00_0111 => vec![REGISTER, signed(imm20, 20)],
        // addu16i.d
        0b00_0100 => vec![REGISTER, REGISTER, signed(imm16, 16)],
        // slti, sltui, addi.w, addi.d, lu52i.d, and of which numbers are unsigned: andi, ori, xori
        0b00_0000 if word >> 22 >= 0b00_0000_1000 => {
            let immediate = if word >> 22 >= 0b00_0000_1101 { unsigned(imm12) } else { signed(imm12, 12) };
            vec![REGISTER, REGISTER, immediate]
        }
        // ll, sc, ldptr, stptr
        0b00_1000 | 0b00_1001 => vec![REGISTER, REGISTER, signed(imm14 << 2, 16)],
        // Loads and stores of whole and of floating-point numbers.
        0b00_1010 => vec![REGISTER, REGISTER, signed(imm12, 12)],
        // beqz, bnez; bceqz and bcnez
        0b01_0000..=0b01_0010 => vec![REGISTER, far(21)],
        // jirl
        0b01_0011 => vec![REGISTER, REGISTER, signed(imm16 << 2, 18)],
        // b, bl
        0b01_0100 | 0b01_0101 => vec![far(26)],
        // beq, bne, blt, bge, bltu, bgeu
        0b01_0110..=0b01_1011 => vec![REGISTER, REGISTER, signed(imm16 << 2, 18)],
        // What there is besides has registers only.
        0b00_0000..=0b00_0011 | 0b00_1011..=0b00_1110 => vec![REGISTER; 3],
        _ => return None,
    };
    Some(Instruction { length: LENGTH as u64, operands })
}

#[cfg(test)]
mod tests {
    use super::super::check_immediate;
    use super::*;

    #[track_caller]
    fn check(word: u32, number: usize, value: i64) {
        let bytes = word.to_le_bytes();
        check_immediate(decode(&bytes), &bytes, number, value);
    }

    #[test]
    fn operands_are_counted_as_llvm_counts_them() {
        check(0x5400_0800, 0, 8); // bl +8
        check(0x53ff_ffff, 0, -4); // b -4
        check(0x1a00_0024, 1, 1); // pcalau12i $a0, 1
        check(0x1bff_ffe4, 1, -1); // pcalau12i $a0, -1
        check(0x1400_0024, 1, 1); // lu12i.w $a0, 1
        check(0x02c0_0484, 2, 1); // addi.d $a0, $a0, 1
        check(0x02ff_fc84, 2, -1); // addi.d $a0, $a0, -1
        check(0x03bf_fc84, 2, 0xfff); // ori $a0, $a0, 0xfff
        check(0x28c0_2084, 2, 8); // ld.d $a0, $a0, 8
        check(0x4c00_0481, 2, 4); // jirl $ra, $a0, 4
        check(0x5800_0885, 2, 8); // beq $a0, $a1, 8
        check(0x4000_0880, 1, 8); // beqz $a0, 8
    }

    #[test]
    fn nonsense_is_no_instruction() {
        assert_eq!(decode(&[0, 0, 0]), None);
        assert_eq!(decode(&0xffff_ffffu32.to_le_bytes()), None);
    }
}
