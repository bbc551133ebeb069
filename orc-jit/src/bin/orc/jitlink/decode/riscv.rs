//! RISC-V: operands of an instruction, in the order in which check files number them.

use super::{Instruction, REGISTER};
use raki::{COpcode, Decode as _, InstFormat, Isa, OpcodeKind};

/// Immediates are distances and offsets in bytes; those of `lui` and `auipc` are the upper 20 bits, unsigned.
pub(super) fn decode(isa: Isa, bytes: &[u8]) -> Option<Instruction> {
    let half = u16::from_le_bytes(*bytes.first_chunk()?);
    // The two lowest bits are set where there is a second half.
    let (length, decoded) = if half & 3 == 3 {
        let word = u32::from_le_bytes(*bytes.first_chunk()?);
        (4, without_floats(word).decode(isa))
    } else {
        (2, without_floats_compressed(half).decode(isa))
    };
    let decoded = decoded.ok()?;
    let compressed = match decoded.opc {
        OpcodeKind::C(opcode) => Some(opcode),
        _ => None,
    };
    let Some(immediate) = decoded.imm else {
        let registers = [decoded.rd, decoded.rs1, decoded.rs2].into_iter().flatten();
        return Some(Instruction { length, operands: registers.map(|_| REGISTER).collect() });
    };
    let registers = match (&decoded.inst_format, &compressed) {
        (_, Some(COpcode::J | COpcode::JAL)) => 0,
        (_, Some(COpcode::BEQZ | COpcode::BNEZ | COpcode::LI | COpcode::LUI)) => 1,
        (InstFormat::UFormat | InstFormat::JFormat, _) => 1,
        // Two that are read, or one that is and one that is written, named or implied.
        _ => 2,
    };
    let mut immediate = i64::from(immediate);
    if compressed == Some(COpcode::LUI) {
        immediate = immediate >> 12 & 0xf_ffff;
    }
    let mut operands = vec![REGISTER; registers];
    operands.push(Some(immediate));
    Some(Instruction { length, operands })
}

/// Loads and stores of floating-point registers look like those of integers but for one bit (the unprivileged specification, "F"), and the decoder
/// knows the latter only.
fn without_floats(word: u32) -> u32 {
    match word & 0x7f {
        0x07 | 0x27 => word & !4,
        _ => word,
    }
}

/// The same of the compressed ones with 64 bits ("C").
fn without_floats_compressed(half: u16) -> u16 {
    match (half & 3, half >> 13) {
        (0 | 2, 0b001 | 0b101) => half | 1 << 14,
        _ => half,
    }
}

#[cfg(test)]
mod tests {
    use super::super::check_immediate;
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], number: usize, value: i64) {
        check_immediate(decode(Isa::Rv64, bytes), bytes, number, value);
    }

    #[test]
    fn operands_are_counted_as_llvm_counts_them() {
        check(&0xffff_f537u32.to_le_bytes(), 1, 0xf_ffff); // lui a0, 0xfffff
        check(&0x0001_2517u32.to_le_bytes(), 1, 0x12); // auipc a0, 0x12
        check(&0x0080_00efu32.to_le_bytes(), 1, 8); // jal ra, +8
        check(&0xff9f_f0efu32.to_le_bytes(), 1, -8); // jal ra, -8
        check(&0x0045_00e7u32.to_le_bytes(), 2, 4); // jalr ra, 4(a0)
        check(&0xffc5_a503u32.to_le_bytes(), 2, -4); // lw a0, -4(a1)
        check(&0xffd5_8513u32.to_le_bytes(), 2, -3); // addi a0, a1, -3
        check(&0x00a5_a223u32.to_le_bytes(), 2, 4); // sw a0, 4(a1)
        check(&0xfea5_ae23u32.to_le_bytes(), 2, -4); // sw a0, -4(a1)
        check(&0x00b5_0463u32.to_le_bytes(), 2, 8); // beq a0, a1, +8
        check(&0x0045_2507u32.to_le_bytes(), 2, 4); // flw fa0, 4(a0)
        check(&0x00a5_3427u32.to_le_bytes(), 2, 8); // fsd fa0, 8(a0)
        check(&0xa021u16.to_le_bytes(), 0, 8); // c.j +8
        check(&0xc501u16.to_le_bytes(), 1, 8); // c.beqz a0, +8
        check(&0x450du16.to_le_bytes(), 1, 3); // c.li a0, 3
        check(&0x657du16.to_le_bytes(), 1, 31); // c.lui a0, 31
        check(&0x757du16.to_le_bytes(), 1, 0xf_ffff); // c.lui a0, 0xfffff
        check(&0x050du16.to_le_bytes(), 2, 3); // c.addi a0, 3
        check(&0x4522u16.to_le_bytes(), 2, 8); // c.lwsp a0, 8(sp)
        check(&0x2508u16.to_le_bytes(), 2, 8); // c.fld fa0, 8(a0)
    }

    #[test]
    fn lengths_are_right_without_immediates() {
        assert_eq!(decode(Isa::Rv64, &0x00c5_8533u32.to_le_bytes()).unwrap().length, 4); // add a0, a1, a2
        assert_eq!(decode(Isa::Rv64, &0x852eu16.to_le_bytes()).unwrap().length, 2); // c.mv a0, a1
    }

    #[test]
    fn nonsense_is_no_instruction() {
        assert_eq!(decode(Isa::Rv64, &[]), None);
        assert_eq!(decode(Isa::Rv64, &[3]), None);
        assert_eq!(decode(Isa::Rv64, &[0xff, 0xff, 0xff]), None);
    }
}
