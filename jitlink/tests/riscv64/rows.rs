//! Does every row write what the psABI says, as a processor reads it, at both ends of its range, and nothing else?

use capstone::arch::riscv::RiscVOperand;
use capstone::arch::{ArchOperand, BuildsCapstone, BuildsCapstoneExtraMode};
use capstone::{Capstone, arch::riscv::ArchExtraMode, arch::riscv::ArchMode};
use jitlink::arch::riscv64::{MACHINE, kind};
use jitlink::arch::{Expr, Field};
use jitlink::fixup::{FixupError, Operands, apply};
use jitlink::graph::EdgeKind;
use jitlink::reloc::{self, Refused, elf_riscv64};
use object::elf;
use proptest::prelude::*;
use std::collections::HashSet;

/// Where the value is found again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Found {
    /// In so many bytes of data.
    Data(usize),
    /// In the offset of a branch.
    Branch,
    /// In an instruction with upper bits, rounded.
    Upper,
    /// In an instruction with lower bits.
    Lower,
    /// In both, one behind the other.
    Pair,
    /// Added to so many bits.
    Added(u32),
    /// Subtracted from so many bits.
    Subtracted(u32),
    /// In the lower six bits of a byte.
    Six,
    /// As LEB128 of the length that it had.
    Leb128,
}

/// What the psABI says of one row, in 128 bits so that the test wraps in one visible place.
#[derive(Debug)]
struct Rule {
    kind: EdgeKind,
    value: fn(&Operands) -> i128,
    /// Sets the one operand that makes the value what the test wants: `(operands, wanted - value)`.
    adjust: fn(&mut Operands, u64),
    /// Bytes as an assembler leaves them.
    code: &'static [u8],
    found: Found,
    range: (i128, i128),
    align: i128,
}

const ALL: (i128, i128) = (i64::MIN as i128, i64::MAX as i128);
const S32: (i128, i128) = (-(1 << 31), (1 << 31) - 1);
const E32: (i128, i128) = (-(1 << 31), (1 << 32) - 1);
/// What `auipc` and a signed offset reach.
const PAIR: (i128, i128) = (-(1 << 31) - 0x800, (1 << 31) - 0x801);

const fn signed(bits: u32) -> (i128, i128) {
    (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
}

macro_rules! rules {
    ($($kind:path: $value:expr, $solve:ident, $code:expr, $found:expr, $range:expr, $align:literal;)*) => {
        &[$(Rule {
            kind: $kind,
            value: |&Operands { symbol, addend, place, slot, branch, .. }| {
                let [s, p, g, l] = [symbol, place, slot, branch].map(i128::from);
                $value(i128::from(addend), s, p, g, l)
            },
            adjust: |operands, by| operands.$solve = operands.$solve.wrapping_add(by),
            code: &$code,
            found: $found,
            range: $range,
            align: $align,
        }),*]
    };
}

const AUIPC: [u8; 4] = [0x97, 0x0f, 0x00, 0x00]; // auipc t6, 0
const LUI: [u8; 4] = [0xb7, 0x0f, 0x00, 0x00]; // lui t6, 0
const ADDI: [u8; 4] = [0x93, 0x8f, 0x0f, 0x00]; // addi t6, t6, 0
const LD: [u8; 4] = [0x83, 0xbf, 0x0f, 0x00]; // ld t6, 0(t6)
const SD: [u8; 4] = [0x23, 0xb0, 0xff, 0x01]; // sd t6, 0(t6)

/// Every row that writes a value which the linker knows, and no instruction besides. Arguments: A, S, P, G (the slot), L.
#[rustfmt::skip]
const RULES: &[Rule] = rules! {
    EdgeKind::POINTER64:    |a, s, _, _, _| s + a,     symbol, [0x5a; 8], Found::Data(8), ALL, 1;
    EdgeKind::DELTA32:      |a, s, p, _, _| s + a - p, symbol, [0x5a; 4], Found::Data(4), S32, 1;
    kind::WORD32:           |a, s, _, _, _| s + a,     symbol, [0x5a; 4], Found::Data(4), E32, 1;
    kind::BRANCH_WORD32:    |a, _, p, _, l| l + a - p, branch, [0x5a; 4], Found::Data(4), S32, 1;
    kind::GOT_WORD32:       |a, _, p, g, _| g + a - p, slot,   [0x5a; 4], Found::Data(4), S32, 1;
    kind::BRANCH:           |a, _, p, _, l| l + a - p, branch, [0x63, 0x8c, 0xf5, 0x01], Found::Branch, signed(13), 2; // beq a1, t6
    kind::JAL:              |a, _, p, _, l| l + a - p, branch, [0xef, 0x00, 0x00, 0x00], Found::Branch, signed(21), 2; // jal ra
    kind::CALL:             |a, _, p, _, l| l + a - p, branch, [0x97, 0x0f, 0, 0, 0xe7, 0x8f, 0x0f, 0], Found::Pair, PAIR, 1; // auipc t6; jalr t6, t6
    kind::RVC_BRANCH:       |a, _, p, _, l| l + a - p, branch, [0x81, 0xc5], Found::Branch, signed(9), 2; // c.beqz a1
    kind::RVC_JUMP:         |a, _, p, _, l| l + a - p, branch, [0x01, 0xa0], Found::Branch, signed(12), 2; // c.j
    kind::HI20:             |a, s, _, _, _| s + a,     symbol, LUI,   Found::Upper, PAIR, 1;
    kind::LO12_I:           |a, s, _, _, _| s + a,     symbol, ADDI,  Found::Lower, ALL, 1;
    kind::LO12_S:           |a, s, _, _, _| s + a,     symbol, SD,    Found::Lower, ALL, 1;
    kind::PCREL_HI20:       |a, s, p, _, _| s + a - p, symbol, AUIPC, Found::Upper, PAIR, 1;
    kind::PCREL_LO12_I:     |a, s, p, _, _| s + a - p, symbol, LD,    Found::Lower, PAIR, 1;
    kind::PCREL_LO12_S:     |a, s, p, _, _| s + a - p, symbol, SD,    Found::Lower, PAIR, 1;
    kind::GOT_HI20:             |a, _, p, g, _| g + a - p, slot, AUIPC, Found::Upper, PAIR, 1;
    kind::GOT_LO12_I:           |a, _, p, g, _| g + a - p, slot, LD,    Found::Lower, PAIR, 1;
    kind::GOT_HI20_RELAXABLE:   |a, _, p, g, _| g + a - p, slot, AUIPC, Found::Upper, PAIR, 1;
    kind::GOT_LO12_RELAXABLE:   |a, _, p, g, _| g + a - p, slot, LD,    Found::Lower, PAIR, 1;
    kind::TLS_KEPT_HI20:        |a, _, p, g, _| g + a - p, slot, AUIPC, Found::Upper, PAIR, 1;
    kind::TLS_KEPT_LO12:        |a, _, p, g, _| g + a - p, slot, LD,    Found::Lower, PAIR, 1;
    kind::ADD8:             |a, s, _, _, _| s + a,     symbol, [0xc3; 8], Found::Added(8), ALL, 1;
    kind::ADD16:            |a, s, _, _, _| s + a,     symbol, [0xc3; 8], Found::Added(16), ALL, 1;
    kind::ADD32:            |a, s, _, _, _| s + a,     symbol, [0xc3; 8], Found::Added(32), ALL, 1;
    kind::ADD64:            |a, s, _, _, _| s + a,     symbol, [0xc3; 8], Found::Added(64), ALL, 1;
    kind::SUB6:             |a, s, _, _, _| s + a,     symbol, [0xc3; 8], Found::Subtracted(6), ALL, 1;
    kind::SUB8:             |a, s, _, _, _| s + a,     symbol, [0xc3; 8], Found::Subtracted(8), ALL, 1;
    kind::SUB16:            |a, s, _, _, _| s + a,     symbol, [0xc3; 8], Found::Subtracted(16), ALL, 1;
    kind::SUB32:            |a, s, _, _, _| s + a,     symbol, [0xc3; 8], Found::Subtracted(32), ALL, 1;
    kind::SUB64:            |a, s, _, _, _| s + a,     symbol, [0xc3; 8], Found::Subtracted(64), ALL, 1;
    kind::SET6:             |a, s, _, _, _| s + a,     symbol, [0xc3; 1], Found::Six, ALL, 1;
    kind::SET8:             |a, s, _, _, _| s + a,     symbol, [0xc3; 1], Found::Data(1), ALL, 1;
    kind::SET16:            |a, s, _, _, _| s + a,     symbol, [0xc3; 2], Found::Data(2), ALL, 1;
    kind::SET32:            |a, s, _, _, _| s + a,     symbol, [0xc3; 4], Found::Data(4), ALL, 1;
    kind::ULEB128:          |a, s, _, _, _| s + a,     symbol, [0x80, 0x80, 0x80, 0x00], Found::Leb128, (0, (1 << 28) - 1), 1;
};

/// Types whose row is not among those above: they mark, or are for thread-local storage to find, or belong to others.
const MARKS: &[elf::RelocationType] =
    &[elf::R_RISCV_NONE, elf::R_RISCV_ALIGN, elf::R_RISCV_RELAX, elf::R_RISCV_TPREL_ADD];

const THREAD_LOCAL: &[elf::RelocationType] = &[
    elf::R_RISCV_TLS_GOT_HI20,
    elf::R_RISCV_TLS_GD_HI20,
    elf::R_RISCV_TLS_DTPREL32,
    elf::R_RISCV_TLS_DTPREL64,
    elf::R_RISCV_TPREL_HI20,
    elf::R_RISCV_TPREL_LO12_I,
    elf::R_RISCV_TPREL_LO12_S,
    elf::R_RISCV_TLSDESC_HI20,
    elf::R_RISCV_TLSDESC_LOAD_LO12,
    elf::R_RISCV_TLSDESC_ADD_LO12,
    elf::R_RISCV_TLSDESC_CALL,
];

/// Types that linkers write, for dynamic loaders or for themselves; no assembler emits them.
const NOT_IN_OBJECTS: &[elf::RelocationType] = &[
    elf::R_RISCV_RELATIVE,
    elf::R_RISCV_COPY,
    elf::R_RISCV_JUMP_SLOT,
    elf::R_RISCV_TLS_DTPMOD32,
    elf::R_RISCV_TLS_DTPMOD64,
    elf::R_RISCV_TLS_TPREL32,
    elf::R_RISCV_TLS_TPREL64,
    elf::R_RISCV_TLSDESC,
    elf::R_RISCV_RVC_LUI,
    elf::R_RISCV_GPREL_I,
    elf::R_RISCV_GPREL_S,
    elf::R_RISCV_TPREL_I,
    elf::R_RISCV_TPREL_S,
    elf::R_RISCV_IRELATIVE,
];

fn decoder() -> Capstone {
    let riscv = Capstone::new().riscv().mode(ArchMode::RiscV64);
    riscv.extra_mode([ArchExtraMode::RiscVC].into_iter()).detail(true).build().expect("capstone knows riscv64")
}

/// The last number among the operands of the one instruction that `code` begins with.
fn immediate(code: &[u8]) -> i64 {
    let decoder = decoder();
    let all = decoder.disasm_count(code, 0, 1).expect("code");
    let one = all.first().unwrap_or_else(|| panic!("no instruction: {code:02x?}"));
    let detail = decoder.insn_detail(one).expect("operands");
    let operands = detail.arch_detail().operands();
    let mut numbers = operands.iter().rev().filter_map(|operand| match operand {
        ArchOperand::RiscVOperand(RiscVOperand::Imm(value)) => Some(*value),
        ArchOperand::RiscVOperand(RiscVOperand::Mem(memory)) => Some(memory.disp()),
        _ => None,
    });
    // An offset of zero is left out where that is how it is written: `jr t6`, `mv`.
    numbers.next().unwrap_or(0)
}

fn upper(code: &[u8]) -> i64 {
    i64::from((immediate(code) as i32) << 12)
}

/// What of `value` a field can hold.
fn expected(rule: &Rule, value: i64, before: &[u8]) -> i64 {
    let low = |bits: u32| u64::MAX >> (64 - bits);
    let old = |bits: u32| word(before) & low(bits);
    match rule.found {
        Found::Data(bytes) => (value as u64 & low(8 * bytes as u32)) as i64,
        Found::Branch | Found::Pair | Found::Leb128 => value,
        Found::Upper => i64::from((value.wrapping_add(0x800) >> 12 << 12) as i32),
        Found::Lower => value << 52 >> 52,
        Found::Added(bits) => (old(bits).wrapping_add(value as u64) & low(bits)) as i64,
        Found::Subtracted(bits) => (old(bits).wrapping_sub(value as u64) & low(bits)) as i64,
        Found::Six => (value as u64 & low(6)) as i64,
    }
}

fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    let count = bytes.len().min(8);
    word[..count].copy_from_slice(&bytes[..count]);
    u64::from_le_bytes(word)
}

/// What a reader of the field finds in it.
fn found(rule: &Rule, after: &[u8]) -> i64 {
    let low = |bits: u32| (word(after) & u64::MAX >> (64 - bits)) as i64;
    match rule.found {
        Found::Data(bytes) => low(8 * bytes as u32),
        Found::Branch | Found::Lower => immediate(after),
        Found::Upper => upper(after),
        Found::Pair => upper(after) + immediate(&after[4..]),
        Found::Added(bits) | Found::Subtracted(bits) => low(bits),
        Found::Six => low(6),
        Found::Leb128 => after.iter().take(4).rev().fold(0, |value, byte| value << 7 | i64::from(byte & 0x7f)),
    }
}

/// Bits that a field does not have: opcode and registers, and what is beside it.
fn kept(rule: &Rule, bytes: &[u8]) -> u64 {
    let field = match rule.found {
        Found::Data(bytes) => u64::MAX >> (64 - 8 * bytes as u32),
        Found::Added(bits) | Found::Subtracted(bits) => u64::MAX >> (64 - bits),
        Found::Six => 0x3f,
        Found::Leb128 => 0x7f7f_7f7f,
        Found::Upper => 0xffff_f000,
        Found::Pair => 0xfff0_0000_ffff_f000,
        Found::Lower if rule.code == SD => 0xfe00_0f80,
        Found::Lower => 0xfff0_0000,
        Found::Branch => match MACHINE.fixup(rule.kind).field {
            Field::Bits(bits) => {
                bits.pieces.iter().fold(0, |all, piece| all | ((1_u64 << piece.width) - 1) << piece.to)
            }
            _ => unreachable!("branches have bits"),
        },
    };
    word(bytes) & !field
}

fn operands() -> impl Strategy<Value = Operands> {
    let address = || prop_oneof![any::<u64>(), 0..1_u64 << 32, 0x2a_0000_0000..0x3f_ffff_f000_u64];
    let addend = prop_oneof![any::<i64>(), -64..64_i64, Just(4), Just(0)];
    (address(), addend, address(), address(), address(), address(), any::<u64>()).prop_map(
        |(symbol, addend, place, slot, got, branch, size)| Operands {
            symbol,
            addend,
            place,
            slot,
            got,
            branch,
            size,
            image: 0,
        },
    )
}

/// Values at, just inside, just outside both ends of `range`, within it, and anywhere.
fn wanted(range: (i128, i128)) -> impl Strategy<Value = i64> {
    let near = |end: i128| (-3..=3_i128).prop_map(move |by| (end + by) as i64);
    prop_oneof![near(range.0), near(range.1), (range.0..=range.1).prop_map(|v| v as i64), any::<i64>(), -2..=2_i64]
}

fn check(rule: &Rule, wanted: i64, operands: &mut Operands) -> Result<(), TestCaseError> {
    let correction = wanted.wrapping_sub((rule.value)(operands) as i64) as u64;
    (rule.adjust)(operands, correction);
    prop_assert_eq!((rule.value)(operands) as i64, wanted);

    let mut content = rule.code.to_vec();
    let result = apply(&MACHINE, rule.kind, &mut content, 0, operands);
    let name = MACHINE.fixup(rule.kind).name;
    let fits = rule.range.0 <= i128::from(wanted) && i128::from(wanted) <= rule.range.1;
    match result {
        Ok(()) => {
            prop_assert!(fits && i128::from(wanted) % rule.align == 0, "{name}: {wanted:#x} was accepted");
            let expected = expected(rule, wanted, rule.code);
            prop_assert_eq!(found(rule, &content), expected, "{}: {:#x}: {:02x?}", name, wanted, content);
            prop_assert_eq!(kept(rule, &content), kept(rule, rule.code), "{}: what is no field stays", name);
        }
        Err(FixupError::OutOfRange { value, .. }) => {
            prop_assert!(!fits, "{name}: {wanted:#x} was refused");
            prop_assert_eq!(value, wanted);
            prop_assert_eq!(&content, rule.code);
        }
        Err(FixupError::Misaligned { value, align, .. }) => {
            prop_assert!(fits && i128::from(wanted) % rule.align != 0, "{name}: {wanted:#x} was refused");
            prop_assert_eq!((value, i128::from(align)), (wanted, rule.align));
            prop_assert_eq!(&content, rule.code);
        }
        Err(error) => prop_assert!(false, "{name}: {error}"),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn a_row_writes_its_expression_exactly_when_it_fits(
        (rule, wanted) in (0..RULES.len()).prop_flat_map(|index| (Just(&RULES[index]), wanted(RULES[index].range))),
        mut operands in operands(),
    ) {
        check(rule, wanted, &mut operands)?;
    }

    #[test]
    fn a_field_outside_of_its_block_is_an_error_and_no_row_panics(
        kind in (0..MACHINE.fixups.len()).prop_map(|kind| EdgeKind(kind as u8)),
        before in proptest::collection::vec(any::<u8>(), 0..16),
        offset in prop_oneof![0..20_usize, any::<usize>(), usize::MAX - 8..=usize::MAX],
        operands in operands(),
    ) {
        let mut content = before.clone();
        let result = apply(&MACHINE, kind, &mut content, offset, &operands);
        let width = usize::from(MACHINE.fixup(kind).field.width());
        if width > 0 && offset.checked_add(width).is_none_or(|end| end > before.len()) {
            prop_assert!(result.is_err());
        }
        if result.is_err() {
            prop_assert_eq!(content, before, "a fixup that fails changes nothing");
        }
    }
}

#[test]
fn both_ends_of_every_range() {
    for rule in RULES {
        for end in [rule.range.0, rule.range.1] {
            for by in -4..=4 {
                let mut operands = Operands { place: 0x3f_1234_5678, addend: 8, ..Operands::default() };
                check(rule, (end + by) as i64, &mut operands).unwrap_or_else(|error| panic!("{error}"));
            }
        }
    }
}

/// Every number up to the largest is in exactly one of the lists above, or is one that the psABI has reserved.
#[test]
fn every_relocation_type_of_the_psabi_is_accounted_for() {
    let rules: HashSet<EdgeKind> = RULES.iter().map(|rule| rule.kind).collect();
    let last = elf::R_RISCV_TLSDESC_CALL.0;
    let reserved = |number: u32| matches!(number, 13..=15 | 42) || number > last;
    for number in 0..=last + 300 {
        let any = |list: &[elf::RelocationType]| list.iter().any(|r_type| r_type.0 == number);
        let row = elf_riscv64::lookup(number);
        let lists = [
            row.is_some_and(|row| rules.contains(&row.kind)),
            any(MARKS),
            any(THREAD_LOCAL),
            any(NOT_IN_OBJECTS),
            reserved(number),
        ];
        assert_eq!(lists.iter().filter(|has| **has).count(), 1, "type {number}: {lists:?}");
        assert_eq!(row.is_some(), !lists[3] && !lists[4], "type {number}");
        assert_eq!(elf_riscv64::name(number).is_some(), !lists[4], "type {number}");
        let refused = elf_riscv64::refuse(number);
        if lists[3] {
            assert!(matches!(refused, Refused::DynamicOnly { .. }), "{refused:?}");
            assert!(refused.to_string().starts_with(elf_riscv64::name(number).expect("a name")), "{refused}");
        }
        if lists[4] {
            assert_eq!(refused, Refused::Unknown { number, table: "ELF riscv64" });
        }
    }
    assert!(elf_riscv64::lookup(u32::MAX).is_none());
    assert_eq!(reloc::elf_machine(&MACHINE), 243);
}

#[test]
fn thread_local_types_name_their_model_and_are_not_written_before_it_is_known() {
    for r_type in THREAD_LOCAL {
        let kind = elf_riscv64::lookup(r_type.0).expect("a type of objects").kind;
        let Expr::Tls(expected) = MACHINE.fixup(kind).expr else { panic!("{kind:?} is not thread-local") };
        let mut content = [0x5a; 8];
        match apply(&MACHINE, kind, &mut content, 0, &Operands::default()) {
            Err(FixupError::Unsupported { model, .. }) => assert_eq!(model, expected),
            other => panic!("{other:?}"),
        }
        assert_eq!(content, [0x5a; 8]);
    }
}

/// Each stub as a processor reads it: where it loads from, and where it jumps.
#[test]
fn stubs_jump_through_their_slot() {
    let (stub, slot) = (0x3f_0000_1230_u64, 0x3f_7654_3ff8_u64);
    let mut code = MACHINE.stub.code.to_vec();
    for &(offset, kind, addend) in MACHINE.stub.slot_fixups {
        let place = stub + u64::from(offset);
        let operands = Operands { symbol: slot, addend, place, ..Operands::default() };
        apply(&MACHINE, kind, &mut code, offset as usize, &operands).expect("in reach");
    }
    assert_eq!(stub.wrapping_add_signed(upper(&code) + immediate(&code[4..])), slot);
    assert_eq!(mnemonics(&code), ["auipc t3", "ld t3", "jr t3"]);

    let lazy = &MACHINE.lazy_stub;
    let mut code = lazy.code.to_vec();
    for &(offset, kind, addend) in lazy.slot_fixups.iter().chain(lazy.ask_fixups) {
        let place = stub + u64::from(offset);
        let operands = Operands { symbol: slot, slot: slot - 0x800, addend, place, ..Operands::default() };
        apply(&MACHINE, kind, &mut code, offset as usize, &operands).expect("in reach");
    }
    let pair = |at: usize| stub.wrapping_add_signed(at as i64 + upper(&code[at..]) + immediate(&code[at + 4..]));
    assert_eq!([pair(0), pair(12), pair(20)], [slot, slot, slot - 0x800]);
    let half = usize::from(lazy.entry);
    assert_eq!(mnemonics(&code[..half]), ["auipc t3", "ld t3", "jr t3"]);
    assert_eq!(mnemonics(&code[half..]), ["auipc t1", "addi t1", "auipc t3", "ld t3", "jr t3"]);
    assert_eq!(mnemonics(MACHINE.zero), ["mv a0", "ret "]);
}

/// Name and first register of each instruction.
fn mnemonics(code: &[u8]) -> Vec<String> {
    let decoder = decoder();
    let all = decoder.disasm_all(code, 0).expect("code");
    assert_eq!(all.iter().map(|one| one.bytes().len()).sum::<usize>(), code.len(), "all of it is code");
    let text = |text: Option<&str>| text.unwrap_or_default().split(',').next().unwrap_or_default().to_owned();
    all.iter().map(|one| format!("{} {}", text(one.mnemonic()), text(one.op_str()))).collect()
}
