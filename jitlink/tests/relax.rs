//! Do rewritten instructions do what the original ones did?
//!
//! A small model of what an instruction computes stands between: the decoder says what was read and written before and after, and
//! both must come to the same. REX2 prefixes, which the decoder does not know, are compared as bytes.

use iced_x86::{Code, Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};
use jitlink::arch::Reach;
use jitlink::arch::x86_64::{MACHINE, kind};
use jitlink::fixup::{FixupError, Operands, apply};
use jitlink::graph::EdgeKind;
use proptest::prelude::*;

const REACHES: [Reach; 3] = [Reach::Near, Reach::Low, Reach::Constant];
const RELAXABLE: [EdgeKind; 3] =
    [kind::GOT_SLOT32_RELAXABLE, kind::GOT_SLOT32_RELAXABLE_REX, kind::GOT_SLOT32_RELAXABLE_REX2];

fn relax(kind: EdgeKind, code: &[u8], offset: usize, reach: Reach) -> Option<EdgeKind> {
    (MACHINE.relax)(kind, code, offset as u32, -4, reach)
}

fn decode(bytes: &[u8], address: u64) -> Instruction {
    Decoder::with_ip(64, bytes, address, DecoderOptions::NONE).decode()
}

/// What an instruction does with one operand that comes from the linker.
#[derive(Debug, PartialEq, Eq)]
enum Effect {
    /// A register becomes a value.
    Set(Register, u64),
    /// An operation of a register and a value.
    Combine(Mnemonic, Register, u64),
    Call(u64),
    Jump(u64),
}

/// The effect of `instruction` when the slot at `slot` holds `symbol`.
fn effect(instruction: &Instruction, slot: u64, symbol: u64) -> Effect {
    let registers = [instruction.op0_register(), instruction.op1_register()];
    let register = registers.into_iter().find(|r| *r != Register::None).unwrap_or(Register::None);
    let bits = 8 * register.size() as u32;
    let narrow = |value: u64| if bits == 0 { value } else { value & (u64::MAX >> (64 - bits)) };
    let kinds: Vec<OpKind> = instruction.op_kinds().collect();
    let value = if kinds.contains(&OpKind::Memory) {
        assert_eq!(instruction.memory_base(), Register::RIP, "{instruction:?}");
        let points_at = instruction.memory_displacement64();
        if instruction.mnemonic() == Mnemonic::Lea {
            points_at
        } else {
            assert_eq!(points_at, slot, "{instruction:?}");
            symbol
        }
    } else if kinds.contains(&OpKind::Immediate32to64) {
        instruction.immediate32to64() as u64
    } else if kinds.contains(&OpKind::Immediate32) {
        u64::from(instruction.immediate32())
    } else {
        instruction.near_branch64()
    };
    match instruction.mnemonic() {
        Mnemonic::Call => Effect::Call(value),
        Mnemonic::Jmp => Effect::Jump(value),
        Mnemonic::Mov | Mnemonic::Lea => Effect::Set(register, narrow(value)),
        mnemonic => Effect::Combine(mnemonic, register, narrow(value)),
    }
}

/// All instructions that may be rewritten: opcode, whether a register is in its ModRM byte.
const OPCODES: [u8; 10] = [0x8b, 0x85, 0x03, 0x0b, 0x13, 0x1b, 0x23, 0x2b, 0x33, 0x3b];

/// `opcode slot(%rip), reg` without and with every REX prefix that says something about it.
fn loads() -> impl Iterator<Item = (EdgeKind, Vec<u8>)> {
    OPCODES.into_iter().flat_map(|opcode| {
        (0..8_u8).flat_map(move |register| {
            let modrm = register << 3 | 5;
            let plain = (kind::GOT_SLOT32_RELAXABLE, vec![opcode, modrm, 0, 0, 0, 0]);
            let rex =
                (0x40..=0x4f_u8).map(move |rex| (kind::GOT_SLOT32_RELAXABLE_REX, vec![rex, opcode, modrm, 0, 0, 0, 0]));
            std::iter::once(plain).chain(rex)
        })
    })
}

/// Writes the fixup `kind` of a whole instruction whose field comes last, as it runs at `address`.
fn link(code: &[u8], kind: EdgeKind, address: u64, slot: u64, symbol: u64) -> Result<Vec<u8>, FixupError> {
    let mut linked = code.to_vec();
    let offset = code.len() - 4;
    let place = address + offset as u64;
    let operands = Operands { symbol, addend: -4, place, slot, branch: 0xbad, ..Operands::default() };
    apply(&MACHINE, kind, &mut linked, offset, &operands).map(|()| linked)
}

/// Links `code` as it is and relaxed, and compares what both do.
fn check(from: EdgeKind, code: &[u8], reach: Reach, address: u64, slot: u64, symbol: u64) -> EdgeKind {
    let to = relax(from, code, code.len() - 4, reach).unwrap_or_else(|| panic!("{code:02x?} is kept ({reach:?})"));
    let before = link(code, from, address, slot, symbol).expect("the slot is in reach");
    let after = link(code, to, address, slot, symbol).unwrap_or_else(|error| panic!("{code:02x?}: {error}"));
    let [before, after] = [decode(&before, address), decode(&after, address)];
    assert_eq!(effect(&before, slot, symbol), effect(&after, slot, symbol), "{before:?} -> {after:?}");
    assert_ne!(before.code(), after.code(), "nothing was gained");
    assert!(after.len() <= before.len());
    if after.mnemonic() != Mnemonic::Jmp {
        assert_eq!(after.len(), before.len());
    }
    to
}

#[test]
fn every_load_of_every_register_sees_the_same_value() {
    for (from, code) in loads() {
        let is_mov = code[code.len() - 6] == 0x8b;
        if is_mov {
            let to = check(from, &code, Reach::Near, 0x7f12_0000_0000, 0x7f12_0000_3000, 0x7f12_1234_5678);
            assert_eq!(to, kind::RELAXED_LEA);
        } else {
            assert_eq!(relax(from, &code, code.len() - 4, Reach::Near), None);
        }
        for symbol in [0, 1, 0x40_1234, 0x7fff_ffff] {
            check(from, &code, Reach::Low, 0x40_0000, 0x40_3000, symbol);
            check(from, &code, Reach::Constant, 0x7f12_0000_0000, 0x7f12_0000_3000, symbol);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn loads_calls_and_jumps_do_the_same_wherever_they_are(
        index in 0..1360_usize,
        address in prop_oneof![0x1_0000_0000..0x7fff_0000_0000_u64, 0x40_0000..0x4000_0000_u64],
        slot in -0x4000_0000..0x4000_0000_i64,
        to in -0x7fff_fff0..0x7fff_fff0_i64,
        low in 0..0x8000_0000_u64,
    ) {
        let slot = address.wrapping_add_signed(slot);
        let near = address.wrapping_add_signed(to);
        let (from, code) = loads().nth(index).expect("80 without REX, 1280 with");
        check(from, &code, Reach::Constant, address, slot, low);
        if code[code.len() - 6] == 0x8b {
            check(from, &code, Reach::Near, address, slot, near);
        }
        for code in [[0xff, 0x15, 0, 0, 0, 0], [0xff, 0x25, 0, 0, 0, 0]] {
            check(kind::GOT_SLOT32_RELAXABLE, &code, Reach::Near, address, slot, near);
        }
    }

    /// An independent judge, the decoder, says whether a field belongs to an instruction that may be rewritten.
    #[test]
    fn only_the_expected_instructions_are_rewritten(
        mut code in proptest::collection::vec(any::<u8>(), 0..24),
        // Instructions proper, one byte of them changed or not.
        base in (proptest::option::of(0..OPCODES.len() + 3), any::<u8>(), any::<u8>(), proptest::option::of((0..4_usize, any::<u8>()))),
        from in 0..3_usize,
        reach in 0..3_usize,
        offset in 0..24_usize,
        addend in prop_oneof![9 => Just(-4_i64), 1 => any::<i64>()],
    ) {
        let (opcode, rex, modrm, mutation) = base;
        let prefix = [0, 1, 2][from];
        if let Some(opcode) = opcode && offset >= prefix + 2 && offset <= code.len() {
            let bytes = match opcode.checked_sub(OPCODES.len()) {
                None => [OPCODES[opcode], modrm & 0x38 | 5],
                Some(which) => [[0xff, 0x15], [0xff, 0x25], [0x8d, 0x05]][which],
            };
            code[offset - 2..offset].copy_from_slice(&bytes);
            if from == 1 {
                code[offset - 3] = 0x40 | rex & 0xf;
            } else if from == 2 {
                code[offset - 4..offset - 2].copy_from_slice(&[0xd5, rex & 0x7f]);
            }
            if let Some((back, byte)) = mutation && let Some(at) = (offset - 1).checked_sub(back) {
                code[at] = byte;
            }
        }
        let (from, reach) = (RELAXABLE[from], REACHES[reach]);
        let to = (MACHINE.relax)(from, &code, offset as u32, addend, reach);

        let start = offset.checked_sub(prefix + 2).filter(|_| offset + 4 <= code.len());
        let judged = start.is_some_and(|start| {
            let whole = &code[start..offset + 4];
            // The decoder does not know REX2; behind it there is what would stand there without.
            let is_prefix = match prefix { 0 => true, 1 => whole[0] & 0xf0 == 0x40, _ => whole[0] == 0xd5 && whole[1] < 0x80 };
            let decoded = decode(if prefix == 2 { &whole[2..] } else { whole }, 0);
            let length = if prefix == 2 { decoded.len() + 2 } else { decoded.len() };
            let rip = decoded.memory_base() == Register::RIP && length == whole.len();
            let operation = match decoded.code() {
                Code::Call_rm64 | Code::Jmp_rm64 => prefix == 0 && reach.is_near(),
                Code::Mov_r32_rm32 | Code::Mov_r64_rm64 => true,
                Code::Test_rm32_r32 | Code::Test_rm64_r64 | Code::Add_r32_rm32 | Code::Add_r64_rm64 | Code::Or_r32_rm32
                | Code::Or_r64_rm64 | Code::Adc_r32_rm32 | Code::Adc_r64_rm64 | Code::Sbb_r32_rm32 | Code::Sbb_r64_rm64
                | Code::And_r32_rm32 | Code::And_r64_rm64 | Code::Sub_r32_rm32 | Code::Sub_r64_rm64 | Code::Xor_r32_rm32
                | Code::Xor_r64_rm64 | Code::Cmp_r32_rm32 | Code::Cmp_r64_rm64 => reach.is_low(),
                _ => false,
            };
            let branch = matches!(decoded.code(), Code::Call_rm64 | Code::Jmp_rm64);
            let prefixed = !branch && start > 0 && matches!(code[start - 1], 0x64..=0x66);
            let padded = decoded.code() == Code::Call_rm64 && code[..start].ends_with(&[0x66, 0x48]);
            is_prefix && rip && operation && !prefixed && !padded && addend == -4
        });
        prop_assert_eq!(to.is_some(), judged, "{:02x?} at {}", code, offset);

        if let Some(to) = to {
            let mut linked = code.clone();
            let operands = Operands { symbol: 0x1000, addend, place: 0x2000, ..Operands::default() };
            prop_assert!(apply(&MACHINE, to, &mut linked, offset, &operands).is_ok());
            let start = start.expect("an instruction");
            prop_assert_eq!(&linked[..start], &code[..start], "bytes before the instruction stay");
            prop_assert_eq!(&linked[offset + 4..], &code[offset + 4..], "bytes behind the instruction stay");
        }
    }

    #[test]
    fn a_row_that_does_not_find_its_instruction_changes_nothing(
        code in proptest::collection::vec(any::<u8>(), 0..16),
        offset in prop_oneof![0..20_usize, any::<usize>()],
        row in 0..MACHINE.fixups.len(),
    ) {
        let kind = EdgeKind(row as u8);
        let mut linked = code.clone();
        if apply(&MACHINE, kind, &mut linked, offset, &Operands::default()).is_err() {
            prop_assert_eq!(&linked, &code);
        }
        let offset = offset as u32;
        for reach in REACHES {
            let relaxed = (MACHINE.relax)(kind, &code, offset, -4, reach);
            prop_assert!(relaxed.is_none() || RELAXABLE.contains(&kind));
        }
        if let Some(null) = (MACHINE.null)(kind, &code, offset, -4) {
            prop_assert!(kind == EdgeKind::DELTA32 || kind == kind::BRANCH32);
            let operands = Operands { addend: -4, place: 0x7f00_0000_0000, slot: 0x7f00_0000_1000, ..Operands::default() };
            prop_assert!(apply(&MACHINE, null, &mut linked.clone(), offset as usize, &operands).is_ok());
        }
    }
}

/// The value is held against its range after the rewrite has changed what it counts from.
#[test]
fn both_ends_of_every_rewritten_range() {
    let address = 0x7f12_0000_0000_u64;
    let end = address + 6;
    let plain = kind::GOT_SLOT32_RELAXABLE;
    // The jump is a byte shorter, so its reach is a byte less far forward and a byte farther back.
    for (code, to, lowest, highest) in [
        ([0x8b, 0x05, 0, 0, 0, 0], kind::RELAXED_LEA, end - (1 << 31), end + (1 << 31) - 1),
        ([0xff, 0x15, 0, 0, 0, 0], kind::RELAXED_CALL, end - (1 << 31), end + (1 << 31) - 1),
        ([0xff, 0x25, 0, 0, 0, 0], kind::RELAXED_JMP, end - 1 - (1 << 31), end - 1 + (1 << 31) - 1),
        ([0x3b, 0x05, 0, 0, 0, 0], kind::RELAXED_IMMEDIATE, 0_u64.wrapping_sub(1 << 31), (1 << 31) - 1),
    ] {
        for (symbol, fits) in [
            (lowest, true),
            (lowest.wrapping_add(1), true),
            (lowest.wrapping_sub(1), false),
            (highest, true),
            (highest - 1, true),
            (highest + 1, false),
        ] {
            let result = link(&code, to, address, address, symbol);
            assert_eq!(result.is_ok(), fits, "{code:02x?} {symbol:#x}");
            match result {
                Ok(linked) => {
                    let [before, after] = [link(&code, plain, address, address, symbol).expect("in reach"), linked];
                    let [before, after] = [decode(&before, address), decode(&after, address)];
                    assert_eq!(effect(&before, address, symbol), effect(&after, address, symbol), "{symbol:#x}");
                }
                Err(error) => assert!(matches!(error, FixupError::OutOfRange { .. }), "{error}"),
            }
        }
    }
}

#[test]
fn rewritten_branches_have_the_bytes_of_the_psabi() {
    let relaxed = |code: &[u8]| {
        let to = relax(kind::GOT_SLOT32_RELAXABLE, code, code.len() - 4, Reach::Near).expect("relaxable");
        link(code, to, 0x1000, 0, 0x2000).expect("in reach")
    };
    assert_eq!(relaxed(&[0xff, 0x15, 0, 0, 0, 0]), [0x67, 0xe8, 0xfa, 0x0f, 0, 0]); // addr32 call 0x2000
    assert_eq!(relaxed(&[0xff, 0x25, 0, 0, 0, 0]), [0xe9, 0xfb, 0x0f, 0, 0, 0x90]); // jmp 0x2000; nop
}

/// What an assembler makes of both sides, for registers that need a REX2 prefix.
#[test]
fn instructions_of_apx() {
    #[rustfmt::skip]
    let cases = [
        // mov v@GOTPCREL(%rip), %r16       lea v(%rip), %r16                   mov $v, %r16
        ([0xd5, 0x48, 0x8b, 0x05],          Some([0xd5, 0x48, 0x8d, 0x05]),     [0xd5, 0x18, 0xc7, 0xc0]),
        // ... %r31
        ([0xd5, 0x4c, 0x8b, 0x3d],          Some([0xd5, 0x4c, 0x8d, 0x3d]),     [0xd5, 0x19, 0xc7, 0xc7]),
        // ... %r17d
        ([0xd5, 0x40, 0x8b, 0x0d],          Some([0xd5, 0x40, 0x8d, 0x0d]),     [0xd5, 0x10, 0xc7, 0xc1]),
        // ... %r9, where nothing asks for REX2
        ([0xd5, 0x0c, 0x8b, 0x0d],          Some([0xd5, 0x0c, 0x8d, 0x0d]),     [0xd5, 0x09, 0xc7, 0xc1]),
        // add v@GOTPCREL(%rip), %r25                                           add $v, %r25
        ([0xd5, 0x4c, 0x03, 0x0d],          None,                               [0xd5, 0x19, 0x81, 0xc1]),
        // test %r18, v@GOTPCREL(%rip)                                          test $v, %r18
        ([0xd5, 0x48, 0x85, 0x15],          None,                               [0xd5, 0x18, 0xf7, 0xc2]),
        // cmp v@GOTPCREL(%rip), %r23                                           cmp $v, %r23
        ([0xd5, 0x48, 0x3b, 0x3d],          None,                               [0xd5, 0x18, 0x81, 0xff]),
        // xor v@GOTPCREL(%rip), %r29                                           xor $v, %r29
        ([0xd5, 0x4c, 0x33, 0x2d],          None,                               [0xd5, 0x19, 0x81, 0xf5]),
    ];
    for (load, near, low) in cases {
        let code = [&load[..], &[0; 4]].concat();
        let rex2 = kind::GOT_SLOT32_RELAXABLE_REX2;
        let to = relax(rex2, &code, 4, Reach::Near);
        let linked = to.map(|to| link(&code, to, 0x7f00_0000_0000, 0, 0x7f00_0000_1008).expect("in reach"));
        assert_eq!(linked, near.map(|near| [&near[..], &[0x00, 0x10, 0, 0]].concat()), "{load:02x?}");
        let to = relax(rex2, &code, 4, Reach::Low).expect("an immediate");
        let linked = link(&code, to, 0x40_0000, 0, 0x1122_3344).expect("in reach");
        assert_eq!(linked, [&low[..], &[0x44, 0x33, 0x22, 0x11]].concat(), "{load:02x?}");
    }
    // Bit M0 selects another opcode map: 0f 8b is jnp.
    assert_eq!(relax(kind::GOT_SLOT32_RELAXABLE_REX2, &[0xd5, 0xc8, 0x8b, 0x05, 0, 0, 0, 0], 4, Reach::Near), None);
}

#[test]
fn what_is_not_a_load_of_the_whole_address_is_kept() {
    let mov = [0x48, 0x8b, 0x05, 0, 0, 0, 0];
    let rex = kind::GOT_SLOT32_RELAXABLE_REX;
    assert_eq!((MACHINE.relax)(rex, &mov, 3, -4, Reach::Near), Some(kind::RELAXED_LEA));
    assert_eq!((MACHINE.relax)(rex, &mov, 3, 0, Reach::Near), None, "four bytes into the slot");
    assert_eq!((MACHINE.relax)(kind::GOT_SLOT32, &mov, 3, -4, Reach::Near), None, "not marked");
    assert_eq!((MACHINE.relax)(rex, &mov[..6], 3, -4, Reach::Near), None, "cut off");
    // A null that is far away has no relative address, and a call of it is left to fail where it fails.
    assert_eq!(relax(rex, &mov, 3, Reach::Constant), Some(kind::RELAXED_IMMEDIATE_REX));
    assert_eq!(relax(kind::GOT_SLOT32_RELAXABLE, &[0xff, 0x15, 0, 0, 0, 0], 2, Reach::Constant), None);
    // mov v@GOTPCREL(%rip), %ax; mov %gs:...; cmp with 16 bits
    for (code, reach) in [
        ([0x66, 0x8b, 0x05, 0, 0, 0, 0], Reach::Low),
        ([0x65, 0x8b, 0x05, 0, 0, 0, 0], Reach::Near),
        ([0x66, 0x3b, 0x05, 0, 0, 0, 0], Reach::Low),
    ] {
        assert_eq!(relax(kind::GOT_SLOT32_RELAXABLE, &code, 3, reach), None, "{code:02x?}");
    }
    // data16 rex.W call *__tls_get_addr@GOTPCREL(%rip)
    assert_eq!(relax(kind::GOT_SLOT32_RELAXABLE, &[0x66, 0x48, 0xff, 0x15, 0, 0, 0, 0], 4, Reach::Near), None);
}

/// Where code runs that refers to null.
const FAR: u64 = 0x7f12_0000_0000;

/// `code` at [`FAR`] with the last four bytes a reference of `kind` to null, as `null` has it written.
fn null(code: &[u8], from: EdgeKind, addend: i64) -> Option<(EdgeKind, Vec<u8>)> {
    let offset = code.len() - 4;
    let operands = Operands { addend, place: FAR + offset as u64, slot: FAR + 0x3000, ..Operands::default() };
    let mut linked = code.to_vec();
    assert!(apply(&MACHINE, from, &mut linked, offset, &operands).is_err(), "null is out of range");
    let to = (MACHINE.null)(from, code, offset as u32, addend)?;
    apply(&MACHINE, to, &mut linked, offset, &operands).expect("a row for null");
    Some((to, linked))
}

#[test]
fn the_address_of_null_is_null_in_every_register() {
    for rex in 0x40..=0x4f_u8 {
        for register in 0..8_u8 {
            for addend in [-4, 4] {
                let code = [rex, 0x8d, register << 3 | 5, 0, 0, 0, 0];
                let (_, linked) = null(&code, EdgeKind::DELTA32, addend).expect("a row");
                let [before, after] = [decode(&code, FAR), decode(&linked, FAR)];
                assert_eq!(after.len(), code.len());
                let expected = Effect::Set(before.op0_register(), (addend + 4) as u64);
                assert_eq!(effect(&after, 0, 0), expected, "{before:?} -> {after:?}");
            }
        }
    }
    // Without REX.
    let (_, linked) = null(&[0x8d, 0x0d, 0, 0, 0, 0], EdgeKind::DELTA32, -4).expect("a row");
    assert_eq!(effect(&decode(&linked, FAR), 0, 0), Effect::Set(Register::ECX, 0));
}

#[test]
fn a_lea_that_may_have_a_rex2_prefix_loads_null_from_a_slot() {
    // lea weak(%rip), %r16; or: call *%rbp; lea weak(%rip), %rax
    for code in [[0xd5, 0x48, 0x8d, 0x05, 0, 0, 0, 0], [0xd5, 0x0c, 0x8d, 0x0d, 0, 0, 0, 0]] {
        let (to, linked) = null(&code, EdgeKind::DELTA32, -4).expect("a row");
        assert_eq!(to, kind::NULL_LOAD);
        assert_eq!(linked, [code[0], code[1], 0x8b, code[3], 0xf8, 0x2f, 0, 0]);
        assert_eq!(null(&code, EdgeKind::DELTA32, 4), None, "not the slot itself");
    }
}

#[test]
fn calls_and_jumps_to_null_go_there() {
    use Code::{Call_rm64, Jmp_rm64, Nopd, Xor_rm32_r32};
    for (opcode, expected) in [(0xe8, [Xor_rm32_r32, Call_rm64, Nopd]), (0xe9, [Xor_rm32_r32, Jmp_rm64, Nopd])] {
        for from in [kind::BRANCH32, EdgeKind::DELTA32] {
            let (_, linked) = null(&[opcode, 0, 0, 0, 0], from, -4).expect("a row");
            let decoded: Vec<Instruction> =
                Decoder::with_ip(64, &linked, FAR, DecoderOptions::NONE).into_iter().collect();
            assert!(decoded.iter().map(Instruction::code).eq(expected), "{linked:02x?}");
            assert_eq!([decoded[0].op0_register(), decoded[0].op1_register()], [Register::EAX, Register::EAX]);
            assert_eq!(decoded[1].op0_register(), Register::RAX);
        }
    }
}

#[test]
fn code_that_does_not_run_keeps_its_instruction_and_gets_the_low_bits() {
    // mov weak(%rip), %eax; jne weak
    for code in [&[0x8b, 0x05, 0, 0, 0, 0], &[0x0f, 0x85, 0, 0, 0, 0]] {
        for from in [kind::BRANCH32, EdgeKind::DELTA32] {
            let (to, linked) = null(code, from, -4).expect("a row");
            assert_eq!(to, kind::NULL_DELTA32);
            assert_eq!(linked[..2], code[..2]);
            let distance = i32::from_le_bytes([linked[2], linked[3], linked[4], linked[5]]);
            assert_eq!((FAR + 6).wrapping_add_signed(i64::from(distance)) as u32, 0, "a multiple of 4 GiB");
        }
    }
    // Data of other widths: the range error stands.
    assert_eq!(null(&[0, 0, 0, 0], EdgeKind::DELTA16, 0), None);
    assert_eq!(null(&[0, 0, 0, 0], kind::GOT_BASE32, 0).map(|(to, _)| to), None);
}
