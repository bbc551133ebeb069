//! AArch64: operands of an instruction, in the order in which check files number them.

use super::{Instruction, REGISTER};
use yaxpeax_arch::{Decoder as _, U8Reader};
use yaxpeax_arm::armv8::a64::{InstDecoder, Opcode, Operand};

/// Every instruction has four bytes.
const LENGTH: usize = 4;

/// Immediates are the fields of the instruction as they are encoded: distances are counted in instructions or pages, offsets of loads in what is loaded. Those that
/// can be negative are sign-extended.
pub(super) fn decode(bytes: &[u8]) -> Option<Instruction> {
    let bytes = bytes.first_chunk::<LENGTH>()?;
    let word = u32::from_le_bytes(*bytes);
    let decoded = InstDecoder::default().decode(&mut U8Reader::new(bytes)).ok()?;
    let mut operands = Vec::new();
    match decoded.opcode {
        // The condition of a branch stands in front.
        Opcode::Bcc(condition) => operands.push(Some(condition.into())),
        // Its number is all that a hint has.
        Opcode::HINT => return Some(instruction(vec![Some((word >> 5 & 0x7f).into())])),
        _ => {}
    }
    // What writes its base register back has it as its first result.
    let is_written_back = |operand: &Operand| {
        matches!(operand, Operand::RegPreIndex(_, _, true) | Operand::RegPostIndex(..) | Operand::RegPostIndexReg(..))
    };
    if decoded.operands.iter().any(is_written_back) {
        operands.push(REGISTER);
    }
    let keeps = keeps_a_part(decoded.opcode, &decoded.operands[0]);
    for operand in &decoded.operands {
        push(&mut operands, decoded.opcode, word, operand);
        if keeps && operands.len() == 1 {
            operands.push(REGISTER);
        }
    }
    Some(instruction(operands))
}

fn instruction(operands: Vec<Option<i64>>) -> Instruction {
    Instruction { length: LENGTH as u64, operands }
}

/// Whether the result is read as well, since a part of it stays.
fn keeps_a_part(opcode: Opcode, result: &Operand) -> bool {
    matches!(opcode, Opcode::MOVK | Opcode::BFM | Opcode::BIT | Opcode::BIF | Opcode::BSL)
        || matches!(result, Operand::SIMDRegisterElementsLane(..))
}

fn push(operands: &mut Vec<Option<i64>>, opcode: Opcode, word: u32, operand: &Operand) {
    match *operand {
        Operand::Nothing => {}
        Operand::PCOffset(bytes) => operands.push(Some(match opcode {
            Opcode::ADR => bytes,
            Opcode::ADRP => bytes >> 12,
            _ => bytes >> 2,
        })),
        Operand::RegPreIndex(_, offset, _) | Operand::RegPostIndex(_, offset) => {
            operands.push(REGISTER);
            operands.extend(unit(word).map(|unit| Some(i64::from(offset) >> unit)));
        }
        Operand::RegRegOffset(..) => {
            operands.extend([REGISTER, REGISTER, Some((word >> 15 & 1).into()), Some((word >> 12 & 1).into())]);
        }
        Operand::RegShift(..) => operands.extend([REGISTER, Some(shifted(word))]),
        Operand::ImmShift(value, shift) => operands.extend([Some(value.into()), Some(shift.into())]),
        // With how far it is shifted: not at all.
        Operand::Immediate(value) if matches!(opcode, Opcode::ADD | Opcode::ADDS | Opcode::SUB | Opcode::SUBS) => {
            operands.extend([Some(value.into()), Some(0)]);
        }
        // Patterns of bits, and numbers with fractions: as the instruction has them.
        Operand::Immediate(_) | Operand::Imm64(_)
            if matches!(opcode, Opcode::AND | Opcode::ANDS | Opcode::ORR | Opcode::EOR) =>
        {
            operands.push(Some((word >> 10 & 0x1fff).into()));
        }
        Operand::ImmediateDouble(_) if opcode == Opcode::FMOV => operands.push(Some((word >> 13 & 0xff).into())),
        // The zero that a comparison implies.
        Operand::ImmediateDouble(_) => {}
        Operand::Immediate(value) => operands.push(Some(value.into())),
        Operand::Imm64(value) => operands.push(Some(value as i64)),
        Operand::Imm16(value) | Operand::PrefetchOp(value) => operands.push(Some(value.into())),
        Operand::ConditionCode(code) => operands.push(Some(code.into())),
        Operand::SystemReg(_) => operands.push(Some((word >> 5 & 0xffff).into())),
        Operand::SIMDRegisterElementsLane(.., lane) => operands.extend([REGISTER, Some(lane.into())]),
        _ => operands.push(REGISTER),
    }
}

/// The unit, as a power of two, in which the offset of a load or store is encoded (Arm ARM, "Loads and stores"). `None` for what never has an offset.
fn unit(word: u32) -> Option<u32> {
    let size = word >> 30;
    let is_vector = word >> 26 & 1 == 1;
    let is_without_sign = word >> 24 & 1 == 1;
    match word >> 27 & 0b111 {
        // Pairs.
        0b101 => Some(if is_vector { 2 + size } else { 2 + size / 2 }),
        // Offsets without a sign are counted in what is loaded, which is 16 bytes where bit 23 of a vector's load says so.
        0b111 if is_without_sign && is_vector && word >> 23 & 1 == 1 => Some(4),
        0b111 if is_without_sign => Some(size),
        0b111 => Some(0),
        // Tags of memory, a tag for 16 bytes; and what is loaded in order, without scale.
        0b011 if is_without_sign && word >> 21 & 1 == 1 => Some(4),
        0b011 if is_without_sign => Some(0),
        _ => None,
    }
}

/// How a register is shifted or extended, as one number: the fields of the instruction (Arm ARM, "Data Processing -- Register").
fn shifted(word: u32) -> i64 {
    let amount = i64::from(word >> 10 & 0x3f);
    // What adds and subtracts an extended register says in this field which bits it takes, and how far they are shifted.
    let is_extended = word >> 24 & 0x1f == 0b01011 && word >> 21 & 1 == 1;
    if is_extended { amount } else { i64::from(word >> 22 & 3) << 6 | amount }
}

#[cfg(test)]
mod tests {
    use super::super::check_immediate;
    use super::*;
    use object::read::archive::ArchiveFile;
    use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SectionKind};
    use std::collections::BTreeSet;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    /// What LLVM counts otherwise, all without relocations: scalable vectors, which the decoder does not know, and operands that are written in the name.
    const OTHERWISE: [&str; 15] = [
        "st1b", "ld1b", "whilelo", "cntb", "ptrue", "mov", "fmov", "cmeq", "mvni", "movi", "bic", "dc", "ld1", "dmb",
        "ldg",
    ];

    #[test]
    fn instructions_of_the_c_library_have_the_operands_that_llvm_shows() {
        let words = words_of("/usr/aarch64-linux-gnu/lib/libc.a");
        let shown = shown_by_llvm(&words);
        assert_eq!(shown.len(), words.len());
        let mut otherwise = 0;
        for (word, (name, operands)) in words.iter().zip(&shown) {
            let ours = decode(&word.to_le_bytes()).map(|decoded| decoded.operands);
            if ours.as_ref() != Some(operands) {
                assert!(OTHERWISE.contains(&name.as_str()), "{word:08x} {name}: {ours:?}, LLVM has {operands:?}");
                otherwise += 1;
            }
        }
        assert!(words.len() > 10_000 && otherwise * 100 < words.len(), "{otherwise} of {}", words.len());
    }

    /// Each instruction once.
    fn words_of(archive: &str) -> BTreeSet<u32> {
        let bytes = std::fs::read(archive).expect("the C library of the cross compiler");
        let archive = ArchiveFile::parse(&*bytes).expect("an archive");
        let mut words = BTreeSet::new();
        for member in archive.members() {
            let member = member.expect("a member").data(&*bytes).expect("its bytes");
            let file = object::File::parse(member).expect("an object");
            for section in file.sections().filter(|section| section.kind() == SectionKind::Text) {
                // Tables among the code are marked `$d`.
                let mut marks: Vec<_> = file
                    .symbols()
                    .filter(|symbol| symbol.section_index() == Some(section.index()))
                    .filter_map(|symbol| Some((symbol.address(), *symbol.name().ok()?.as_bytes().get(1)?)))
                    .filter(|(_, kind)| matches!(kind, b'x' | b'd'))
                    .collect();
                marks.sort_unstable();
                let data = section.data().expect("code");
                for (number, chunk) in data.chunks_exact(LENGTH).enumerate() {
                    let at = (number * LENGTH) as u64;
                    let mark = marks.iter().rev().find(|(start, _)| *start <= at);
                    if mark.is_none_or(|(_, kind)| *kind == b'x') {
                        words.extend(chunk.first_chunk().map(|word| u32::from_le_bytes(*word)));
                    }
                }
            }
        }
        words
    }

    /// The name and the operands of each.
    fn shown_by_llvm(words: &BTreeSet<u32>) -> Vec<(String, Vec<Option<i64>>)> {
        let mut input = tempfile::tempfile().expect("a file");
        let mut text = String::new();
        for word in words {
            let bytes = word.to_le_bytes().map(|byte| format!("{byte:#x}"));
            text += &bytes.join(" ");
            text.push('\n');
        }
        input.write_all(text.as_bytes()).expect("written");
        std::io::Seek::rewind(&mut input).expect("read from the start");
        let output = Command::new("llvm-mc-19")
            .args(["-disassemble", "-triple=aarch64", "-mattr=+all", "-show-inst"])
            .stdin(Stdio::from(input))
            .output()
            .expect("llvm-mc-19 runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut shown: Vec<(String, Vec<_>)> = Vec::new();
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            if line.contains("<MCInst") {
                let name = line.split_whitespace().next().expect("a name");
                shown.push((name.to_owned(), Vec::new()));
            } else if line.contains("<MCOperand") {
                let immediate = line.split_once("Imm:").map(|(_, value)| value.trim_end_matches('>').parse());
                let operands = &mut shown.last_mut().expect("an instruction").1;
                operands.push(immediate.transpose().expect("a number"));
            }
        }
        shown
    }

    /// The immediate that rules ask for: its number and value.
    #[track_caller]
    fn check(word: u32, number: usize, value: i64) {
        let bytes = word.to_le_bytes();
        check_immediate(decode(&bytes), &bytes, number, value);
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
