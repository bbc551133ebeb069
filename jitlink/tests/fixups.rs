//! Does every fixup row write what the psABI says, at both ends of its range, and nothing else?

use iced_x86::{Decoder, DecoderOptions, Instruction, OpKind, Register};
use jitlink::arch::x86_64::{MACHINE, kind};
use jitlink::arch::{Expr, Machine};
use jitlink::fixup::{FixupError, Operands, apply};
use jitlink::graph::EdgeKind;
use jitlink::reloc::{self, Refused, elf_x86_64};
use object::elf;
use proptest::prelude::*;
use std::collections::HashSet;

/// What the psABI's table 4.9 says of one type, in 128 bits so that the test wraps in one visible place.
#[derive(Debug)]
struct Rule {
    r_type: elf::RelocationType,
    value: fn(&Operands) -> i128,
    /// Sets the one operand that makes the value what the test wants: `(operands, wanted - value)`.
    adjust: fn(&mut Operands, u64),
    bytes: usize,
    range: (i128, i128),
}

const S8: (i128, i128) = (-(1 << 7), (1 << 7) - 1);
const S16: (i128, i128) = (-(1 << 15), (1 << 15) - 1);
const S32: (i128, i128) = (-(1 << 31), (1 << 31) - 1);
const U32: (i128, i128) = (0, (1 << 32) - 1);
const ALL: (i128, i128) = (i64::MIN as i128, i64::MAX as i128);

macro_rules! rules {
    ($($name:ident: $value:expr, $solve:ident, $bytes:literal, $range:expr;)*) => {
        &[$(Rule {
            r_type: elf::$name,
            value: |&Operands { symbol, addend, place, slot, got, branch, size, .. }| {
                let [s, p, g, base, l, z] = [symbol, place, slot, got, branch, size].map(i128::from);
                $value(i128::from(addend), s, p, g, base, l, z)
            },
            adjust: |operands, by| operands.$solve = operands.$solve.wrapping_add(by),
            bytes: $bytes,
            range: $range,
        }),*]
    };
}

/// Every type that writes a value which the linker knows. Arguments: A, S, P, G (the slot), GOT, L, Z.
#[rustfmt::skip]
const RULES: &[Rule] = rules! {
    R_X86_64_64:                |a, s, _, _, _, _, _| s + a,        symbol, 8, ALL;
    R_X86_64_32:                |a, s, _, _, _, _, _| s + a,        symbol, 4, U32;
    R_X86_64_32S:               |a, s, _, _, _, _, _| s + a,        symbol, 4, S32;
    R_X86_64_16:                |a, s, _, _, _, _, _| s + a,        symbol, 2, (-(1 << 15), (1 << 16) - 1);
    R_X86_64_8:                 |a, s, _, _, _, _, _| s + a,        symbol, 1, (-(1 << 7), (1 << 8) - 1);
    R_X86_64_PC64:              |a, s, p, _, _, _, _| s + a - p,    symbol, 8, ALL;
    R_X86_64_PC32:              |a, s, p, _, _, _, _| s + a - p,    symbol, 4, S32;
    R_X86_64_PC16:              |a, s, p, _, _, _, _| s + a - p,    symbol, 2, S16;
    R_X86_64_PC8:               |a, s, p, _, _, _, _| s + a - p,    symbol, 1, S8;
    R_X86_64_PLT32:             |a, _, p, _, _, l, _| l + a - p,    branch, 4, S32;
    R_X86_64_GOTPCREL:          |a, _, p, g, _, _, _| g + a - p,    slot,   4, S32;
    R_X86_64_GOTPCRELX:         |a, _, p, g, _, _, _| g + a - p,    slot,   4, S32;
    R_X86_64_REX_GOTPCRELX:     |a, _, p, g, _, _, _| g + a - p,    slot,   4, S32;
    R_X86_64_CODE_4_GOTPCRELX:  |a, _, p, g, _, _, _| g + a - p,    slot,   4, S32;
    R_X86_64_CODE_5_GOTPCRELX:  |a, _, p, g, _, _, _| g + a - p,    slot,   4, S32;
    R_X86_64_CODE_6_GOTPCRELX:  |a, _, p, g, _, _, _| g + a - p,    slot,   4, S32;
    R_X86_64_GOTPCREL64:        |a, _, p, g, _, _, _| g + a - p,    slot,   8, ALL;
    R_X86_64_GOT32:             |a, _, _, g, b, _, _| g + a - b,    slot,   4, S32;
    R_X86_64_GOT64:             |a, _, _, g, b, _, _| g + a - b,    slot,   8, ALL;
    R_X86_64_GOTPLT64:          |a, _, _, g, b, _, _| g + a - b,    slot,   8, ALL;
    R_X86_64_GOTPC32:           |a, _, p, _, b, _, _| b + a - p,    got,    4, S32;
    R_X86_64_GOTPC64:           |a, _, p, _, b, _, _| b + a - p,    got,    8, ALL;
    R_X86_64_GOTOFF64:          |a, s, _, _, b, _, _| s + a - b,    symbol, 8, ALL;
    R_X86_64_PLTOFF64:          |a, _, _, _, b, l, _| l + a - b,    branch, 8, ALL;
    R_X86_64_SIZE32:            |a, _, _, _, _, _, z| z + a,        size,   4, (-(1 << 31), (1 << 32) - 1);
    R_X86_64_SIZE64:            |a, _, _, _, _, _, z| z + a,        size,   8, ALL;
};

/// Types whose value is for thread-local storage to find.
const THREAD_LOCAL: &[elf::RelocationType] = &[
    elf::R_X86_64_TLSGD,
    elf::R_X86_64_TLSLD,
    elf::R_X86_64_DTPMOD64,
    elf::R_X86_64_DTPOFF32,
    elf::R_X86_64_DTPOFF64,
    elf::R_X86_64_GOTTPOFF,
    elf::R_X86_64_CODE_4_GOTTPOFF,
    elf::R_X86_64_CODE_5_GOTTPOFF,
    elf::R_X86_64_CODE_6_GOTTPOFF,
    elf::R_X86_64_TPOFF32,
    elf::R_X86_64_TPOFF64,
    elf::R_X86_64_GOTPC32_TLSDESC,
    elf::R_X86_64_CODE_4_GOTPC32_TLSDESC,
    elf::R_X86_64_CODE_5_GOTPC32_TLSDESC,
    elf::R_X86_64_CODE_6_GOTPC32_TLSDESC,
    elf::R_X86_64_TLSDESC_CALL,
    elf::R_X86_64_TLSDESC,
];

/// Types that linkers write for dynamic loaders; no assembler emits them.
const DYNAMIC_ONLY: &[elf::RelocationType] = &[
    elf::R_X86_64_COPY,
    elf::R_X86_64_GLOB_DAT,
    elf::R_X86_64_JUMP_SLOT,
    elf::R_X86_64_RELATIVE,
    elf::R_X86_64_IRELATIVE,
    elf::R_X86_64_RELATIVE64,
];

fn kind_of(r_type: elf::RelocationType) -> EdgeKind {
    elf_x86_64::lookup(r_type.0).expect("a type of relocatable objects").kind
}

fn operands() -> impl Strategy<Value = Operands> {
    let address = || prop_oneof![any::<u64>(), 0..1_u64 << 32, 0x7f00_0000_0000..0x7fff_ffff_f000_u64];
    let addend = prop_oneof![any::<i64>(), -64..64_i64, Just(-4), Just(0)];
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
    let near = |end: i128| (-2..=2_i128).prop_map(move |by| (end + by) as i64);
    prop_oneof![near(range.0), near(range.1), (range.0..=range.1).prop_map(|v| v as i64), any::<i64>(), -2..=2_i64]
}

/// The value in 64 bits: the psABI's arithmetic wraps.
fn wrap(value: i128) -> i64 {
    value as i64
}

fn rule() -> impl Strategy<Value = &'static Rule> {
    (0..RULES.len()).prop_map(|index| &RULES[index])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8192))]

    #[test]
    fn a_row_writes_its_expression_exactly_when_it_fits(
        (rule, wanted) in rule().prop_flat_map(|rule| (Just(rule), wanted(rule.range))),
        mut operands in operands(),
        before in any::<[u8; 24]>(),
        offset in 0..=16_usize,
    ) {
        let correction = wanted.wrapping_sub(wrap((rule.value)(&operands))) as u64;
        (rule.adjust)(&mut operands, correction);
        prop_assert_eq!(wrap((rule.value)(&operands)), wanted);

        let mut content = before;
        let result = apply(&MACHINE, kind_of(rule.r_type), &mut content, offset, &operands);

        let mut expected = before;
        if rule.range.0 <= i128::from(wanted) && i128::from(wanted) <= rule.range.1 {
            prop_assert!(result.is_ok(), "{:?}", result);
            expected[offset..offset + rule.bytes].copy_from_slice(&wanted.to_le_bytes()[..rule.bytes]);
        } else {
            let Err(FixupError::OutOfRange { value, row }) = result else { panic!("{wanted:#x} was accepted: {result:?}") };
            prop_assert_eq!(value, wanted);
            prop_assert_eq!(row.name, MACHINE.fixup(kind_of(rule.r_type)).name);
        }
        prop_assert_eq!(content, expected, "what was not to be written stays");
    }

    #[test]
    fn a_field_outside_of_its_block_is_an_error_and_no_row_panics(
        kind in (0..MACHINE.fixups.len()).prop_map(|kind| EdgeKind(kind as u8)),
        before in proptest::collection::vec(any::<u8>(), 0..12),
        offset in prop_oneof![0..16_usize, any::<usize>(), usize::MAX - 8..=usize::MAX],
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
        for (end, inside, outside) in [(rule.range.0, 1, -1), (rule.range.1, -1, 1)] {
            for (value, fits) in [(end, true), (end + inside, true), (end + outside, rule.range == ALL)] {
                let mut operands =
                    Operands { place: 0x7fff_1234_5678, got: 0x5555_0000, addend: -4, ..Operands::default() };
                let correction = wrap(value).wrapping_sub(wrap((rule.value)(&operands))) as u64;
                (rule.adjust)(&mut operands, correction);
                let mut content = [0; 8];
                let result = apply(&MACHINE, kind_of(rule.r_type), &mut content, 0, &operands);
                assert_eq!(result.is_ok(), fits, "{:?} {value:#x}: {result:?}", elf_x86_64::name(rule.r_type.0));
            }
        }
    }
}

/// Every number up to the largest is in exactly one of the lists above, or is one that the psABI withdrew.
#[test]
fn every_relocation_type_of_the_psabi_is_accounted_for() {
    let withdrawn = [39, 40]; // PC32_BND and PLT32_BND, of MPX
    let last = elf::R_X86_64_CODE_6_GOTPC32_TLSDESC.0;
    for number in 0..=last + 300 {
        let lists = [
            RULES.iter().any(|rule| rule.r_type.0 == number),
            THREAD_LOCAL.iter().any(|r_type| r_type.0 == number),
            DYNAMIC_ONLY.iter().any(|r_type| r_type.0 == number),
            number == elf::R_X86_64_NONE.0,
            number > last || withdrawn.contains(&number),
        ];
        assert_eq!(lists.iter().filter(|has| **has).count(), 1, "type {number}: {lists:?}");
        let [_, _, dynamic, _, unknown] = lists;
        assert_eq!(elf_x86_64::lookup(number).is_some(), !dynamic && !unknown, "type {number}");
        assert_eq!(elf_x86_64::name(number).is_some(), !unknown, "type {number}");
        if dynamic {
            let refused = elf_x86_64::refuse(number);
            assert!(matches!(refused, Refused::DynamicOnly { .. }), "{refused:?}");
            assert!(refused.to_string().starts_with(elf_x86_64::name(number).expect("a name")), "{refused}");
        }
        if unknown {
            assert_eq!(elf_x86_64::refuse(number), Refused::Unknown { number, table: "ELF x86-64" });
        }
    }
    assert!(elf_x86_64::lookup(u32::MAX).is_none());
}

#[test]
fn names_are_those_of_the_psabi() {
    for (r_type, name) in [
        (elf::R_X86_64_PLT32, "R_X86_64_PLT32"),
        (elf::R_X86_64_CODE_4_GOTPCRELX, "R_X86_64_CODE_4_GOTPCRELX"),
        (elf::R_X86_64_JUMP_SLOT, "R_X86_64_JUMP_SLOT"),
    ] {
        assert_eq!(elf_x86_64::name(r_type.0), Some(name));
    }
    let copy = reloc::elf_name(&MACHINE, elf::R_X86_64_COPY.0);
    assert_eq!(
        copy,
        "R_X86_64_COPY (type 5, for dynamic loaders only: it copies a shared library's variable into the program)"
    );
    assert_eq!(reloc::elf_name(&MACHINE, 999), "type 999 (not one of ELF x86-64)");
}

#[test]
fn every_thread_local_type_has_a_row_of_its_own_that_names_its_model() {
    let mut rows = HashSet::new();
    for r_type in THREAD_LOCAL {
        let kind = kind_of(*r_type);
        assert!(rows.insert(kind), "{:?}", elf_x86_64::name(r_type.0));
        let Expr::Tls(expected) = MACHINE.fixup(kind).expr else { panic!("{kind:?} is not thread-local") };
        let mut content = [0x5a; 8];
        match apply(&MACHINE, kind, &mut content, 0, &Operands::default()) {
            Err(FixupError::Unsupported { model, .. }) => assert_eq!(model, expected),
            other => panic!("{other:?}"),
        }
        assert_eq!(content, [0x5a; 8]);
    }
}

#[test]
fn every_machine_has_unique_row_names_and_its_tables() {
    for machine in Machine::ALL {
        let mut names = HashSet::new();
        for fixup in machine.fixups.iter().filter(|fixup| fixup.name != "Unused") {
            assert!(names.insert(fixup.name), "{}: {}", machine.name, fixup.name);
        }
        assert!(machine.fixups.len() <= 256, "a kind is one byte");
        let _ = reloc::elf_lookup(machine);
        assert_ne!(reloc::elf_machine(machine), 0);
        for &(offset, kind, _) in machine.stub.slot_fixups {
            let width = usize::from(machine.fixup(kind).field.width());
            assert!(width > 0, "a stub's fixup writes something");
            assert!(offset as usize + width <= machine.stub.code.len());
        }
        assert!(machine.stub.align.is_power_of_two());
    }
}

#[test]
fn nothing_is_written_for_a_reference_that_only_keeps_its_target() {
    let mut content = [7; 4];
    assert_eq!(kind_of(elf::R_X86_64_NONE), EdgeKind::KEEP_ALIVE);
    apply(&MACHINE, EdgeKind::KEEP_ALIVE, &mut content, 4, &Operands { symbol: 1, ..Operands::default() })
        .expect("no field");
    assert_eq!(content, [7; 4]);
}

/// Where an instruction's operand points, as a processor would compute it.
fn decode(bytes: &[u8], address: u64) -> Instruction {
    let instruction = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE).decode();
    assert!(!instruction.is_invalid(), "{bytes:02x?}");
    assert_eq!(instruction.len(), bytes.len(), "{bytes:02x?}");
    instruction
}

fn points_at(instruction: &Instruction) -> u64 {
    match instruction.op_kinds().find(|kind| !matches!(kind, OpKind::Register)) {
        Some(OpKind::NearBranch64) => instruction.near_branch64(),
        Some(OpKind::Memory) if instruction.memory_base() == Register::RIP => instruction.memory_displacement64(),
        Some(OpKind::Memory) => {
            assert_eq!(instruction.memory_base(), Register::None, "absolute");
            instruction.memory_displacement64()
        }
        Some(OpKind::Immediate64) => instruction.immediate64(),
        Some(OpKind::Immediate32to64) => instruction.immediate32to64() as u64,
        Some(OpKind::Immediate32) => u64::from(instruction.immediate32()),
        other => panic!("{other:?} in {instruction:?}"),
    }
}

/// One instruction as an assembler leaves it: bytes, relocation, its offset and addend.
type Form = (&'static str, &'static [u8], elf::RelocationType, usize, i64);

/// Instructions whose operand is the address of the symbol (or of its slot) once the fixup is written.
#[rustfmt::skip]
const FORMS: &[Form] = &[
    ("call f",                      &[0xe8, 0, 0, 0, 0],                            elf::R_X86_64_PLT32, 1, -4),
    ("call f, without PLT",         &[0xe8, 0, 0, 0, 0],                            elf::R_X86_64_PC32, 1, -4),
    ("jmp f",                       &[0xe9, 0, 0, 0, 0],                            elf::R_X86_64_PLT32, 1, -4),
    ("jne f",                       &[0x0f, 0x85, 0, 0, 0, 0],                      elf::R_X86_64_PLT32, 2, -4),
    ("jmp f, short",                &[0xeb, 0],                                     elf::R_X86_64_PC8, 1, -1),
    ("jrcxz f",                     &[0xe3, 0],                                     elf::R_X86_64_PC8, 1, -1),
    ("mov v(%rip), %eax",           &[0x8b, 0x05, 0, 0, 0, 0],                      elf::R_X86_64_PC32, 2, -4),
    ("lea v(%rip), %r15",           &[0x4c, 0x8d, 0x3d, 0, 0, 0, 0],                elf::R_X86_64_PC32, 3, -4),
    ("movsd v(%rip), %xmm9",        &[0xf2, 0x44, 0x0f, 0x10, 0x0d, 0, 0, 0, 0],    elf::R_X86_64_PC32, 5, -4),
    ("movb $1, v(%rip)",            &[0xc6, 0x05, 0, 0, 0, 0, 1],                   elf::R_X86_64_PC32, 2, -5),
    ("movl $1, v(%rip)",            &[0xc7, 0x05, 0, 0, 0, 0, 1, 0, 0, 0],          elf::R_X86_64_PC32, 2, -8),
    ("vmovaps v(%rip), %zmm1",      &[0x62, 0xf1, 0x7c, 0x48, 0x28, 0x0d, 0, 0, 0, 0], elf::R_X86_64_PC32, 6, -4),
    ("call *v@GOTPCREL(%rip)",      &[0xff, 0x15, 0, 0, 0, 0],                      elf::R_X86_64_GOTPCRELX, 2, -4),
    ("mov v@GOTPCREL(%rip), %r8",   &[0x4c, 0x8b, 0x05, 0, 0, 0, 0],                elf::R_X86_64_REX_GOTPCRELX, 3, -4),
    ("cmpq $1, v@GOTPCREL(%rip)",   &[0x48, 0x83, 0x3d, 0, 0, 0, 0, 1],             elf::R_X86_64_GOTPCREL, 3, -5),
    ("movabs $v, %r10",             &[0x49, 0xba, 0, 0, 0, 0, 0, 0, 0, 0],          elf::R_X86_64_64, 2, 0),
    ("mov $v, %edi",                &[0xbf, 0, 0, 0, 0],                            elf::R_X86_64_32, 1, 0),
    ("mov $v, %rdi",                &[0x48, 0xc7, 0xc7, 0, 0, 0, 0],                elf::R_X86_64_32S, 3, 0),
    ("mov v, %eax",                 &[0x8b, 0x04, 0x25, 0, 0, 0, 0],                elf::R_X86_64_32S, 3, 0),
    ("movabs v, %al",               &[0xa0, 0, 0, 0, 0, 0, 0, 0, 0],                elf::R_X86_64_64, 1, 0),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn an_instruction_points_where_the_symbol_is(
        form in 0..FORMS.len(),
        place in prop_oneof![Just(0x40_0000_u64), 0x7f00_0000_0000..0x7fff_0000_0000_u64, 0x1000..0x7000_0000_u64],
        to in any::<u64>(),
    ) {
        let (text, bytes, r_type, offset, addend) = FORMS[form];
        // A target that the field can express, and as far away as it can be.
        let target = match r_type {
            elf::R_X86_64_PC8 => place.wrapping_add_signed(i64::from(to as i8)).wrapping_add(1),
            elf::R_X86_64_64 => to,
            elf::R_X86_64_32 => u64::from(to as u32),
            elf::R_X86_64_32S => i64::from(to as i32) as u64,
            _ => place.wrapping_add_signed(i64::from((to as i32).clamp(i32::MIN + 16, i32::MAX))),
        };
        let start = place.wrapping_sub(offset as u64);
        let unused = 0x1111_2222_3333_4444;
        let operands = match r_type {
            elf::R_X86_64_PLT32 => Operands { branch: target, symbol: unused, slot: unused, ..Operands::default() },
            elf::R_X86_64_GOTPCREL | elf::R_X86_64_GOTPCRELX | elf::R_X86_64_REX_GOTPCRELX => {
                Operands { slot: target, symbol: unused, branch: unused, ..Operands::default() }
            }
            _ => Operands { symbol: target, branch: unused, slot: unused, ..Operands::default() },
        };
        let mut code = bytes.to_vec();
        let unlinked = decode(bytes, start);
        apply(&MACHINE, kind_of(r_type), &mut code, offset, &Operands { addend, place, ..operands })
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        let linked = decode(&code, start);
        prop_assert_eq!(points_at(&linked), target, "{}", text);
        prop_assert_eq!(linked.code(), unlinked.code(), "{}", text);
        prop_assert!(linked.op_kinds().eq(unlinked.op_kinds()), "{}", text);
    }
}

#[test]
fn a_stub_jumps_through_its_slot_and_traps_behind() {
    let stub = MACHINE.stub;
    for (address, slot) in
        [(0x40_1000_u64, 0x40_2000_u64), (0x7fff_0000_0000, 0x7fff_7fff_fff0), (0x9000_0000, 0x1000_1000)]
    {
        let mut code = stub.code.to_vec();
        for &(offset, kind, addend) in stub.slot_fixups {
            let operands = Operands { symbol: slot, addend, place: address + u64::from(offset), ..Operands::default() };
            apply(&MACHINE, kind, &mut code, offset as usize, &operands).expect("in reach");
        }
        let mut decoder = Decoder::with_ip(64, &code, address, DecoderOptions::NONE);
        let jump = decoder.decode();
        assert_eq!(jump.code(), iced_x86::Code::Jmp_rm64);
        assert_eq!(points_at(&jump), slot);
        while decoder.can_decode() {
            assert_eq!(decoder.decode().code(), iced_x86::Code::Int3);
        }
        assert_eq!(MACHINE.filler, 0xcc);
    }
}

#[test]
fn messages_say_row_value_and_range() {
    let mut content = [0; 4];
    let operands = Operands { branch: 0x1_0000_0000, ..Operands::default() };
    let error = apply(&MACHINE, kind::BRANCH32, &mut content, 0, &operands).expect_err("too far");
    assert_eq!(error.to_string(), "Branch32: value 0x100000000 is out of range, -0x80000000 ..= 0x7fffffff");
    let error = apply(&MACHINE, kind::BRANCH32, &mut content, 1, &Operands::default()).expect_err("too short");
    assert_eq!(error.to_string(), "Branch32: the field lies outside of its block");
    let error = apply(&MACHINE, kind::TLS_PAIR32, &mut content, 0, &operands).expect_err("not lowered");
    assert!(error.to_string().contains("general-dynamic"), "{error}");
}
