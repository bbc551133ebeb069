//! x86-64 and i386.

use super::{Instruction, REGISTER};
use iced_x86::{
    ConstantOffsets, Decoder, DecoderOptions, Instruction as Decoded, InstructionInfoFactory, OpAccess,
    OpCodeOperandKind, OpKind,
};

/// In LLVM a memory operand is five: base, scale, index, displacement, segment. A register that is read and written is two, and a register that the
/// opcode implies is none. Displacements, distances and immediates are what stands in the instruction, sign-extended.
pub(super) fn decode(bits: u32, bytes: &[u8]) -> Option<Instruction> {
    let mut decoder = Decoder::new(bits, bytes, DecoderOptions::NONE);
    let decoded = decoder.decode();
    if decoded.is_invalid() {
        return None;
    }
    let offsets = decoder.get_constant_offsets(&decoded);
    let constants = Constants { bytes, offsets };
    let mut information = InstructionInfoFactory::new();
    let information = information.info(&decoded);
    let code = decoded.op_code();
    let mut operands = Vec::new();
    let mut second_immediate = false;
    for number in 0..decoded.op_count() {
        if is_implied(code.op_kind(number)) {
            continue;
        }
        match decoded.op_kind(number) {
            OpKind::Register => {
                operands.push(REGISTER);
                let access = information.op_access(number);
                if number == 0 && matches!(access, OpAccess::ReadWrite | OpAccess::ReadCondWrite | OpAccess::CondWrite)
                {
                    operands.push(REGISTER);
                }
            }
            // An address that nothing is added to, beside an implied register.
            OpKind::Memory if code.op_kind(number) == OpCodeOperandKind::mem_offs => {
                operands.extend([Some(constants.displacement()), REGISTER]);
            }
            OpKind::Memory => {
                let scale = i64::from(decoded.memory_index_scale());
                operands.extend([REGISTER, Some(scale), REGISTER, Some(constants.displacement()), REGISTER]);
            }
            // Of string instructions: base and segment.
            kind if is_implied_memory(kind) => operands.extend([REGISTER, REGISTER]),
            _ => {
                operands.push(Some(constants.immediate(second_immediate)));
                second_immediate = true;
            }
        }
    }
    if decoded.condition_code() != iced_x86::ConditionCode::None {
        // The order of the enumeration is that of the encoding.
        operands.push(Some(condition(&decoded)));
    }
    Some(Instruction { length: decoded.len() as u64, operands })
}

/// Conditions follow one another in iced as they do in the encoding, which LLVM's are.
fn condition(decoded: &Decoded) -> i64 {
    decoded.condition_code() as i64 - iced_x86::ConditionCode::o as i64
}

fn is_implied(kind: OpCodeOperandKind) -> bool {
    use OpCodeOperandKind as Kind;
    matches!(
        kind,
        Kind::al
            | Kind::ax
            | Kind::eax
            | Kind::rax
            | Kind::cl
            | Kind::dx
            | Kind::es
            | Kind::cs
            | Kind::ss
            | Kind::ds
            | Kind::fs
            | Kind::gs
            | Kind::st0
            | Kind::imm8_const_1
    )
}

fn is_implied_memory(kind: OpKind) -> bool {
    use OpKind as Kind;
    matches!(
        kind,
        Kind::MemorySegSI
            | Kind::MemorySegESI
            | Kind::MemorySegRSI
            | Kind::MemorySegDI
            | Kind::MemorySegEDI
            | Kind::MemorySegRDI
            | Kind::MemoryESDI
            | Kind::MemoryESEDI
            | Kind::MemoryESRDI
    )
}

/// The numbers that stand in an instruction.
struct Constants<'b> {
    bytes: &'b [u8],
    offsets: ConstantOffsets,
}

impl Constants<'_> {
    fn displacement(&self) -> i64 {
        signed(self.bytes, self.offsets.displacement_offset(), self.offsets.displacement_size())
    }

    fn immediate(&self, second: bool) -> i64 {
        if second && self.offsets.has_immediate2() {
            signed(self.bytes, self.offsets.immediate_offset2(), self.offsets.immediate_size2())
        } else {
            signed(self.bytes, self.offsets.immediate_offset(), self.offsets.immediate_size())
        }
    }
}

/// The number in `size` bytes; 0 where there are none.
fn signed(bytes: &[u8], offset: usize, size: usize) -> i64 {
    let field = bytes.get(offset..offset + size).unwrap_or_default();
    let number = field.iter().rev().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    let unused = 64 - 8 * field.len() as u32;
    if unused == 64 { 0 } else { (number << unused) as i64 >> unused }
}

#[cfg(test)]
mod tests {
    use super::super::check_immediate;
    use super::*;

    /// The immediate that rules ask for: its number and value.
    #[track_caller]
    fn check(bits: u32, bytes: &[u8], number: usize, value: i64) {
        check_immediate(decode(bits, bytes), bytes, number, value);
    }

    #[test]
    fn operands_are_counted_as_llvm_counts_them() {
        check(64, &[0xe8, 0xfb, 0xff, 0xff, 0xff], 0, -5); // call
        check(64, &[0x67, 0xe8, 4, 3, 2, 1], 0, 0x0102_0304); // addr32 call
        check(64, &[0xe9, 1, 0, 0, 0], 0, 1); // jmp
        check(64, &[0xeb, 0xfe], 0, -2); // jmp, short
        check(64, &[0x0f, 0x84, 8, 0, 0, 0], 0, 8); // je
        check(64, &[0x0f, 0x84, 8, 0, 0, 0], 1, 4); // its condition
        check(64, &[0x48, 0x8b, 0x05, 16, 0, 0, 0], 4, 16); // mov disp(%rip), %rax
        check(64, &[0x48, 0x8d, 0x0d, 0xf0, 0xff, 0xff, 0xff], 4, -16); // lea disp(%rip), %rcx
        check(64, &[0x8b, 0x04, 0x25, 0, 0x10, 0, 0], 4, 0x1000); // mov 0x1000, %eax
        check(64, &[0x48, 0x89, 0x05, 16, 0, 0, 0], 3, 16); // mov %rax, disp(%rip)
        check(64, &[0x48, 0x03, 0x05, 16, 0, 0, 0], 5, 16); // add disp(%rip), %rax
        check(64, &[0xff, 0x15, 16, 0, 0, 0], 3, 16); // call *disp(%rip)
        check(64, &[0xff, 0x25, 16, 0, 0, 0], 3, 16); // jmp *disp(%rip)
        check(64, &[0x83, 0x3d, 16, 0, 0, 0, 0xff], 3, 16); // cmpl $-1, disp(%rip)
        check(64, &[0x83, 0x3d, 16, 0, 0, 0, 0xff], 5, -1);
        check(64, &[0xc7, 0x05, 16, 0, 0, 0, 7, 0, 0, 0], 5, 7); // movl $7, disp(%rip)
        check(64, &[0xf7, 0x05, 16, 0, 0, 0, 7, 0, 0, 0], 5, 7); // testl $7, disp(%rip)
        check(64, &[0x48, 0xb8, 8, 7, 6, 5, 4, 3, 2, 1], 1, 0x0102_0304_0506_0708); // movabs
        check(64, &[0x48, 0xc7, 0xc0, 0xff, 0xff, 0xff, 0xff], 1, -1); // mov $-1, %rax
        check(64, &[0xb8, 1, 0, 0, 0], 1, 1); // mov $1, %eax
        check(64, &[0x48, 0x81, 0xc1, 1, 0, 0, 0], 2, 1); // add $1, %rcx
        check(64, &[0x48, 0x05, 1, 0, 0, 0], 0, 1); // add $1, %rax: the register is implied
        check(64, &[0x48, 0x81, 0xf9, 1, 0, 0, 0], 1, 1); // cmp $1, %rcx
        check(64, &[0x68, 1, 0, 0, 0], 0, 1); // push $1
        check(32, &[0xe8, 1, 0, 0, 0], 0, 1); // call
        check(32, &[0xa1, 0, 0x10, 0, 0], 0, 0x1000); // mov 0x1000, %eax
        check(32, &[0x8b, 0x0d, 0, 0x10, 0, 0], 4, 0x1000); // mov 0x1000, %ecx
        check(32, &[0x81, 0xc3, 2, 0, 0, 0], 2, 2); // add $2, %ebx
    }

    #[test]
    fn nonsense_is_no_instruction() {
        assert_eq!(decode(64, &[0x06]), None);
        assert_eq!(decode(64, &[0xe8, 0]), None);
        assert_eq!(decode(64, &[]), None);
    }
}
