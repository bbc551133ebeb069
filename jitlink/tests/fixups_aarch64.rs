//! Does every row of aarch64 write what AAELF64 says, at both ends of its range, and nothing else? A decoder of others reads it back.

use capstone::arch::arm64::{ArchMode, Arm64OperandType, Arm64Shift};
use capstone::prelude::*;
use jitlink::arch::aarch64::{MACHINE, kind};
use jitlink::arch::{Expr, TlsModel};
use jitlink::fixup::{FixupError, Operands, apply};
use jitlink::graph::EdgeKind;
use jitlink::reloc::{self, Refused, elf_aarch64};
use object::elf::{self, RelocationType};
use proptest::prelude::*;
use std::collections::HashSet;

/// How a value is to be read back.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// So many bytes.
    Data(usize),
    /// An instruction whose operand is an address: that of the place, and the value.
    Target(u32),
    /// An instruction whose operand is an address: that of the place's page, and the value.
    Page(u32),
    /// An instruction with these bits of the value.
    Bits(u32, u64),
    /// A move of these bits of the value, or of the complement of the complement's.
    Move(u32, u64),
}
use Form::{Bits, Data, Move, Page, Target};

/// What AAELF64's tables say of one type, in 128 bits so that the test wraps in one visible place.
struct Rule {
    r_type: RelocationType,
    value: fn(&Operands) -> i128,
    /// Sets the one operand that makes the value what the test wants: `(operands, wanted - value)`.
    adjust: fn(&mut Operands, u64),
    form: Form,
    range: (i128, i128),
    align: i64,
}

const ALL: (i128, i128) = (i64::MIN as i128, i64::MAX as i128);
const fn signed(bits: u32) -> (i128, i128) {
    (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
}
const fn unsigned(bits: u32) -> (i128, i128) {
    (0, (1 << bits) - 1)
}
const fn either(bits: u32) -> (i128, i128) {
    (-(1 << (bits - 1)), (1 << bits) - 1)
}

// Instructions as assemblers leave them.
const MOVZ: u32 = 0xd280_0003;
const MOVK: u32 = 0xf280_0003;
const ADR: u32 = 0x1000_0003;
const ADRP: u32 = 0x9000_0003;
const ADD: u32 = 0x9100_0063;
const LDR_LITERAL: u32 = 0x5800_0003;
const LDRB: u32 = 0x3940_0063;
const LDRH: u32 = 0x7940_0063;
const LDR_W: u32 = 0xb940_0063;
const LDR: u32 = 0xf940_0063;
const LDR_Q: u32 = 0x3dc0_0063;
const B: u32 = 0x1400_0000;
const BL: u32 = 0x9400_0000;
const B_EQ: u32 = 0x5400_0000;
const TBZ: u32 = 0x3618_0003;

const G: [u64; 4] = [0xffff, 0xffff << 16, 0xffff << 32, 0xffff << 48];
const fn group(n: usize) -> u32 {
    MOVZ | (n as u32) << 21
}
const fn groupk(n: usize) -> u32 {
    MOVK | (n as u32) << 21
}

macro_rules! rules {
    ($($name:ident: $value:expr, $solve:ident, $form:expr, $range:expr, $align:literal;)*) => {
        &[$(Rule {
            r_type: elf::$name,
            value: |&Operands { symbol, addend, place, slot, got, branch, .. }| {
                let page = |address: u64| i128::from(address & !0xfff);
                let plus = |address: u64| address.wrapping_add_signed(addend);
                let _ = (page, plus);
                let [s, p, g, base, l] = [symbol, place, slot, got, branch].map(i128::from);
                $value(Terms { a: i128::from(addend), s, p, g, base, l, page_s: page(plus(symbol)), page_g: page(plus(slot)), page_p: page(place), page_base: page(got) })
            },
            adjust: |operands, by| operands.$solve = operands.$solve.wrapping_add(by),
            form: $form,
            range: $range,
            align: $align,
        }),*]
    };
}

/// The letters of AAELF64: L for the address of a branch's target or of its stub, pages of sums where pages are asked for.
struct Terms {
    a: i128,
    s: i128,
    p: i128,
    g: i128,
    base: i128,
    l: i128,
    page_s: i128,
    page_g: i128,
    page_p: i128,
    page_base: i128,
}

#[rustfmt::skip]
const RULES: &[Rule] = rules! {
    R_AARCH64_ABS64:                |t: Terms| t.s + t.a,                   symbol, Data(8),                    ALL,            1;
    R_AARCH64_ABS32:                |t: Terms| t.s + t.a,                   symbol, Data(4),                    either(32),     1;
    R_AARCH64_ABS16:                |t: Terms| t.s + t.a,                   symbol, Data(2),                    either(16),     1;
    R_AARCH64_PREL64:               |t: Terms| t.s + t.a - t.p,             symbol, Data(8),                    ALL,            1;
    R_AARCH64_PREL32:               |t: Terms| t.s + t.a - t.p,             symbol, Data(4),                    either(32),     1;
    R_AARCH64_PREL16:               |t: Terms| t.s + t.a - t.p,             symbol, Data(2),                    either(16),     1;
    R_AARCH64_PLT32:                |t: Terms| t.l + t.a - t.p,             branch, Data(4),                    signed(32),     1;
    R_AARCH64_GOTPCREL32:           |t: Terms| t.g + t.a - t.p,             slot,   Data(4),                    signed(32),     1;
    R_AARCH64_GOTREL64:             |t: Terms| t.s + t.a - t.base,          symbol, Data(8),                    ALL,            1;
    R_AARCH64_GOTREL32:             |t: Terms| t.s + t.a - t.base,          symbol, Data(4),                    either(32),     1;
    R_AARCH64_MOVW_UABS_G0:         |t: Terms| t.s + t.a,                   symbol, Bits(group(0), G[0]),       unsigned(16),   1;
    R_AARCH64_MOVW_UABS_G0_NC:      |t: Terms| t.s + t.a,                   symbol, Bits(groupk(0), G[0]),      ALL,            1;
    R_AARCH64_MOVW_UABS_G1:         |t: Terms| t.s + t.a,                   symbol, Bits(group(1), G[1]),       unsigned(32),   1;
    R_AARCH64_MOVW_UABS_G1_NC:      |t: Terms| t.s + t.a,                   symbol, Bits(groupk(1), G[1]),      ALL,            1;
    R_AARCH64_MOVW_UABS_G2:         |t: Terms| t.s + t.a,                   symbol, Bits(group(2), G[2]),       unsigned(48),   1;
    R_AARCH64_MOVW_UABS_G2_NC:      |t: Terms| t.s + t.a,                   symbol, Bits(groupk(2), G[2]),      ALL,            1;
    R_AARCH64_MOVW_UABS_G3:         |t: Terms| t.s + t.a,                   symbol, Bits(group(3), G[3]),       ALL,            1;
    R_AARCH64_MOVW_SABS_G0:         |t: Terms| t.s + t.a,                   symbol, Move(group(0), G[0]),       signed(17),     1;
    R_AARCH64_MOVW_SABS_G1:         |t: Terms| t.s + t.a,                   symbol, Move(group(1), G[1]),       signed(33),     1;
    R_AARCH64_MOVW_SABS_G2:         |t: Terms| t.s + t.a,                   symbol, Move(group(2), G[2]),       signed(49),     1;
    R_AARCH64_MOVW_PREL_G0:         |t: Terms| t.s + t.a - t.p,             symbol, Move(group(0), G[0]),       signed(17),     1;
    R_AARCH64_MOVW_PREL_G0_NC:      |t: Terms| t.s + t.a - t.p,             symbol, Bits(groupk(0), G[0]),      ALL,            1;
    R_AARCH64_MOVW_PREL_G1:         |t: Terms| t.s + t.a - t.p,             symbol, Move(group(1), G[1]),       signed(33),     1;
    R_AARCH64_MOVW_PREL_G1_NC:      |t: Terms| t.s + t.a - t.p,             symbol, Bits(groupk(1), G[1]),      ALL,            1;
    R_AARCH64_MOVW_PREL_G2:         |t: Terms| t.s + t.a - t.p,             symbol, Move(group(2), G[2]),       signed(49),     1;
    R_AARCH64_MOVW_PREL_G2_NC:      |t: Terms| t.s + t.a - t.p,             symbol, Bits(groupk(2), G[2]),      ALL,            1;
    R_AARCH64_MOVW_PREL_G3:         |t: Terms| t.s + t.a - t.p,             symbol, Move(group(3), G[3]),       ALL,            1;
    R_AARCH64_LD_PREL_LO19:         |t: Terms| t.s + t.a - t.p,             symbol, Target(LDR_LITERAL),        signed(21),     4;
    R_AARCH64_ADR_PREL_LO21:        |t: Terms| t.s + t.a - t.p,             symbol, Target(ADR),                signed(21),     1;
    R_AARCH64_ADR_PREL_PG_HI21:     |t: Terms| t.page_s - t.page_p,         symbol, Page(ADRP),                 signed(33),     4096;
    R_AARCH64_ADD_ABS_LO12_NC:      |t: Terms| t.s + t.a,                   symbol, Bits(ADD, 0xfff),           ALL,            1;
    R_AARCH64_LDST8_ABS_LO12_NC:    |t: Terms| t.s + t.a,                   symbol, Bits(LDRB, 0xfff),          ALL,            1;
    R_AARCH64_LDST16_ABS_LO12_NC:   |t: Terms| t.s + t.a,                   symbol, Bits(LDRH, 0xffe),          ALL,            2;
    R_AARCH64_LDST32_ABS_LO12_NC:   |t: Terms| t.s + t.a,                   symbol, Bits(LDR_W, 0xffc),         ALL,            4;
    R_AARCH64_LDST64_ABS_LO12_NC:   |t: Terms| t.s + t.a,                   symbol, Bits(LDR, 0xff8),           ALL,            8;
    R_AARCH64_LDST128_ABS_LO12_NC:  |t: Terms| t.s + t.a,                   symbol, Bits(LDR_Q, 0xff0),         ALL,            16;
    R_AARCH64_TSTBR14:              |t: Terms| t.l + t.a - t.p,             branch, Target(TBZ),                signed(16),     4;
    R_AARCH64_CONDBR19:             |t: Terms| t.l + t.a - t.p,             branch, Target(B_EQ),               signed(21),     4;
    R_AARCH64_JUMP26:               |t: Terms| t.l + t.a - t.p,             branch, Target(B),                  signed(28),     4;
    R_AARCH64_CALL26:               |t: Terms| t.l + t.a - t.p,             branch, Target(BL),                 signed(28),     4;
    R_AARCH64_MOVW_GOTOFF_G0:       |t: Terms| t.g + t.a - t.base,          slot,   Move(group(0), G[0]),       signed(17),     1;
    R_AARCH64_MOVW_GOTOFF_G0_NC:    |t: Terms| t.g + t.a - t.base,          slot,   Bits(groupk(0), G[0]),      ALL,            1;
    R_AARCH64_MOVW_GOTOFF_G1:       |t: Terms| t.g + t.a - t.base,          slot,   Move(group(1), G[1]),       signed(33),     1;
    R_AARCH64_MOVW_GOTOFF_G1_NC:    |t: Terms| t.g + t.a - t.base,          slot,   Bits(groupk(1), G[1]),      ALL,            1;
    R_AARCH64_MOVW_GOTOFF_G2:       |t: Terms| t.g + t.a - t.base,          slot,   Move(group(2), G[2]),       signed(49),     1;
    R_AARCH64_MOVW_GOTOFF_G2_NC:    |t: Terms| t.g + t.a - t.base,          slot,   Bits(groupk(2), G[2]),      ALL,            1;
    R_AARCH64_MOVW_GOTOFF_G3:       |t: Terms| t.g + t.a - t.base,          slot,   Move(group(3), G[3]),       ALL,            1;
    R_AARCH64_GOT_LD_PREL19:        |t: Terms| t.g + t.a - t.p,             slot,   Target(LDR_LITERAL),        signed(21),     4;
    R_AARCH64_LD64_GOTOFF_LO15:     |t: Terms| t.g + t.a - t.base,          slot,   Bits(LDR, 0x7ff8),          unsigned(15),   8;
    R_AARCH64_ADR_GOT_PAGE:         |t: Terms| t.page_g - t.page_p,         slot,   Page(ADRP),                 signed(33),     4096;
    R_AARCH64_LD64_GOT_LO12_NC:     |t: Terms| t.g + t.a,                   slot,   Bits(LDR, 0xff8),           ALL,            8;
    R_AARCH64_LD64_GOTPAGE_LO15:    |t: Terms| t.g + t.a - t.page_base,     slot,   Bits(LDR, 0x7ff8),          unsigned(15),   8;
};

/// Apart from the range, which nothing is held against, `ADR_PREL_PG_HI21`.
const UNCHECKED: RelocationType = elf::R_AARCH64_ADR_PREL_PG_HI21_NC;

/// Types that linkers write for dynamic loaders; no assembler emits them.
const DYNAMIC_ONLY: &[RelocationType] = &[
    elf::R_AARCH64_COPY,
    elf::R_AARCH64_GLOB_DAT,
    elf::R_AARCH64_JUMP_SLOT,
    elf::R_AARCH64_RELATIVE,
    elf::R_AARCH64_TLS_DTPMOD,
    elf::R_AARCH64_TLS_TPREL,
    elf::R_AARCH64_TLSDESC,
    elf::R_AARCH64_IRELATIVE,
];

fn kind_of(r_type: RelocationType) -> EdgeKind {
    elf_aarch64::lookup(r_type.0).expect("a type of relocatable objects").kind
}

struct Decoder(Capstone);

impl Decoder {
    fn new() -> Self {
        Self(Capstone::new().arm64().mode(ArchMode::Arm).detail(true).build().expect("a decoder"))
    }

    /// The operand that says an address, an offset or a constant: the last one, shifted as the instruction says.
    fn operand(&self, instruction: u32, address: u64) -> i64 {
        let bytes = instruction.to_le_bytes();
        let decoded = self.0.disasm_count(&bytes, address, 1).expect("a decoder");
        let decoded = decoded.iter().next().unwrap_or_else(|| panic!("{instruction:#x} is no instruction"));
        let detail = self.0.insn_detail(decoded).expect("details");
        let detail = detail.arch_detail();
        let last = detail.arm64().expect("of this machine").operands().last().expect("operands");
        let shift = match last.shift {
            Arm64Shift::Lsl(bits) => bits,
            _ => 0,
        };
        match last.op_type {
            Arm64OperandType::Imm(value) if decoded.mnemonic() == Some("movn") => !(value << shift),
            Arm64OperandType::Imm(value) => value << shift,
            Arm64OperandType::Mem(memory) => i64::from(memory.disp()),
            ref other => panic!("{other:?} in {instruction:#x}"),
        }
    }

    fn text(&self, code: &[u8], address: u64) -> Vec<String> {
        let decoded = self.0.disasm_all(code, address).expect("a decoder");
        let text =
            |one: &capstone::Insn<'_>| format!("{} {}", one.mnemonic().unwrap_or(""), one.op_str().unwrap_or(""));
        decoded.iter().map(|one| text(one).trim().to_owned()).collect()
    }
}

impl Rule {
    /// The bytes before, at offset 4 of a block.
    fn before(&self) -> [u8; 16] {
        let mut content = [0x5a; 16];
        match self.form {
            Data(_) => {}
            Target(word) | Page(word) | Bits(word, _) | Move(word, _) => {
                content[4..8].copy_from_slice(&word.to_le_bytes());
            }
        }
        content
    }

    /// Reads `value` back.
    fn check(&self, decoder: &Decoder, content: &[u8; 16], place: u64, value: i64) {
        let before = self.before();
        let name = elf_aarch64::name(self.r_type.0);
        let (expected, width) = match self.form {
            Data(bytes) => {
                assert_eq!(content[4..4 + bytes], value.to_le_bytes()[..bytes], "{name:?}");
                (0, bytes)
            }
            Target(_) => (place.wrapping_add_signed(value) as i64, 4),
            Page(_) => ((place & !0xfff).wrapping_add_signed(value) as i64, 4),
            Bits(_, mask) => ((value as u64 & mask) as i64, 4),
            Move(_, mask) if value < 0 => (!(!value as u64 & mask) as i64, 4),
            Move(_, mask) => ((value as u64 & mask) as i64, 4),
        };
        assert_eq!(content[..4], before[..4]);
        assert_eq!(content[4 + width..], before[4 + width..]);
        if !matches!(self.form, Data(_)) {
            let word = u32::from_le_bytes(content[4..8].try_into().expect("four bytes"));
            assert_eq!(decoder.operand(word, place), expected, "{name:?} {word:#x} {value:#x}");
            // The low bits are a register or a condition, but in those whose whole rest is the field.
            let old = u32::from_le_bytes(before[4..8].try_into().expect("four bytes"));
            assert!(matches!(old, B | BL) || (word ^ old) & 0x1f == 0, "{name:?} {word:#x}");
        }
    }

    /// Writes a value, and reads it back if it fits.
    fn write(&self, decoder: &Decoder, mut operands: Operands, wanted: i64) -> Result<(), FixupError> {
        let value = |operands: &Operands| (self.value)(operands) as i64;
        let correction = wanted.wrapping_sub(value(&operands)) as u64;
        (self.adjust)(&mut operands, correction);
        assert_eq!(value(&operands), wanted);
        let mut content = self.before();
        let result = apply(&MACHINE, kind_of(self.r_type), &mut content, 4, &operands);
        match &result {
            Ok(()) => self.check(decoder, &content, operands.place, wanted),
            Err(_) => assert_eq!(content, self.before(), "a fixup that fails changes nothing"),
        }
        result
    }
}

fn operands() -> impl Strategy<Value = Operands> {
    let address = || prop_oneof![any::<u64>(), 0..1_u64 << 32, 0x7f00_0000_0000..0x7fff_ffff_f000_u64];
    let addend = prop_oneof![any::<i64>(), -64..64_i64, Just(0)];
    (address(), addend, address(), address(), address(), address()).prop_map(
        |(symbol, addend, place, slot, got, branch)| Operands {
            symbol,
            addend,
            place: place & !3,
            slot,
            got,
            branch,
            ..Operands::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn a_row_writes_its_expression_exactly_when_it_fits(
        rule in 0..RULES.len(),
        operands in operands(),
        end in 0..4_usize,
        by in -2..=2_i128,
        anywhere in any::<i64>(),
        aligned in proptest::bool::weighted(0.8),
    ) {
        let rule = &RULES[rule];
        let wanted = match end {
            0 => rule.range.0 + by,
            1 => rule.range.1 + by,
            2 => by,
            _ => i128::from(anywhere).clamp(rule.range.0, rule.range.1),
        };
        let wanted = if aligned || rule.align == 4096 { wanted & -i128::from(rule.align) } else { wanted };
        let wanted = wanted as i64;
        let fits = rule.range.0 <= i128::from(wanted) && i128::from(wanted) <= rule.range.1;
        match rule.write(&Decoder::new(), operands, wanted) {
            Ok(()) => prop_assert!(fits && wanted & (rule.align - 1) == 0),
            Err(FixupError::OutOfRange { value, .. }) => prop_assert!(!fits && value == wanted),
            Err(FixupError::Misaligned { value, align, .. }) => {
                prop_assert!(fits && value == wanted && align == rule.align as u64 && wanted & (rule.align - 1) != 0);
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn a_field_outside_of_its_block_is_an_error_and_no_row_panics(
        kind in (0..MACHINE.fixups.len()).prop_map(|kind| EdgeKind(kind as u8)),
        before in proptest::collection::vec(any::<u8>(), 0..20),
        offset in prop_oneof![0..24_usize, any::<usize>(), usize::MAX - 12..=usize::MAX],
        operands in operands(),
    ) {
        let mut content = before.clone();
        let result = apply(&MACHINE, kind, &mut content, offset, &operands);
        let width = usize::from(MACHINE.fixup(kind).field.width());
        if width > 0 && offset.checked_add(width).is_none_or(|end| end > before.len()) {
            prop_assert!(result.is_err());
        }
        if result.is_err() {
            prop_assert_eq!(&content, &before, "a fixup that fails changes nothing");
        }
        let offset = offset as u32;
        let _ = (MACHINE.null)(kind, &before, offset, 0);
        let _ = (MACHINE.relax)(kind, &before, offset, 0, jitlink::arch::Reach::Near);
        for call in [None, Some(offset.wrapping_add(4)), Some(offset.wrapping_add(8))] {
            if let Some(to) = (MACHINE.tls.relax)(kind, &before, offset, call) {
                let small = Operands { symbol: 0x10, ..Operands::default() };
                prop_assert!(apply(&MACHINE, to, &mut before.clone(), offset as usize, &small).is_ok());
            }
        }
    }
}

#[test]
fn both_ends_of_every_range() {
    let decoder = Decoder::new();
    for rule in RULES {
        let align = i128::from(rule.align);
        let (lowest, highest) = (rule.range.0, rule.range.1 & -align);
        for (value, fits) in [
            (lowest, true),
            (lowest + align, true),
            (lowest - align, rule.range == ALL),
            (highest, true),
            (highest - align, true),
            (highest + align, rule.range == ALL),
        ] {
            let operands = Operands { place: 0x7fff_1234_5678, got: 0x5555_0000, addend: 0, ..Operands::default() };
            let result = rule.write(&decoder, operands, value as i64);
            assert_eq!(result.is_ok(), fits, "{:?} {value:#x}: {result:?}", elf_aarch64::name(rule.r_type.0));
        }
    }
}

/// Every number is in exactly one of the lists, or is one that the ABI does not have.
#[test]
fn every_relocation_type_of_the_abi_is_accounted_for() {
    let thread_local = |number: u32| {
        (elf::R_AARCH64_TLSGD_ADR_PREL21.0..=elf::R_AARCH64_TLSLD_LDST128_DTPREL_LO12_NC.0).contains(&number)
    };
    let mut models = HashSet::new();
    for number in 0..2048 {
        let lists = [
            RULES.iter().any(|rule| rule.r_type.0 == number),
            thread_local(number) || number == elf::R_AARCH64_TLS_DTPREL.0,
            DYNAMIC_ONLY.iter().any(|r_type| r_type.0 == number),
            number == UNCHECKED.0 || number == elf::R_AARCH64_NONE.0 || number == 256,
        ];
        let known = lists.iter().filter(|has| **has).count();
        assert!(known <= 1, "type {number}: {lists:?}");
        let [_, tls, dynamic, _] = lists;
        assert_eq!(elf_aarch64::lookup(number).is_some(), known == 1 && !dynamic, "type {number}");
        assert_eq!(elf_aarch64::name(number).is_some(), known == 1, "type {number}");
        if dynamic {
            let refused = elf_aarch64::refuse(number);
            assert!(matches!(refused, Refused::DynamicOnly { .. }), "{refused:?}");
            assert!(refused.to_string().starts_with(elf_aarch64::name(number).expect("a name")), "{refused}");
        }
        if known == 0 {
            assert_eq!(elf_aarch64::refuse(number), Refused::Unknown { number, table: "ELF aarch64" });
        }
        if tls {
            let kind = kind_of(RelocationType(number));
            let Expr::Tls(model) = MACHINE.fixup(kind).expr else { panic!("type {number} is not thread-local") };
            models.insert(format!("{model:?}"));
            let mut content = [0x5a; 8];
            let result = apply(&MACHINE, kind, &mut content, 0, &Operands::default());
            assert!(matches!(result, Err(FixupError::Unsupported { .. })), "type {number}");
            // What stays as it is has a row, but for distances that are constants.
            assert_eq!((MACHINE.tls.keep)(kind).is_some(), model != TlsModel::LocalExec, "type {number}");
            let constant = matches!(model, TlsModel::LocalExec | TlsModel::ModuleOffset);
            assert_eq!((MACHINE.tls.constant)(kind).is_some(), constant, "type {number}");
        }
    }
    assert!(elf_aarch64::lookup(u32::MAX).is_none());
    assert_eq!(models.len(), 7, "{models:?}");
    assert_eq!(
        reloc::elf_name(&MACHINE, elf::R_AARCH64_RELATIVE.0),
        "R_AARCH64_RELATIVE (type 1027, for dynamic loaders only: it adds a load address to a linked one)"
    );
}

#[test]
fn pages_that_are_not_checked_wrap() {
    let operands = Operands { symbol: 0x7000_1234_5678, place: 0x1000, addend: 0, ..Operands::default() };
    let mut content = ADRP.to_le_bytes();
    assert!(apply(&MACHINE, kind::PAGE21, &mut content, 0, &operands).is_err());
    apply(&MACHINE, kind_of(UNCHECKED), &mut content, 0, &operands).expect("no range");
    let read = Decoder::new().operand(u32::from_le_bytes(content), operands.place);
    assert_eq!(read as u64 & 0xffff_ffff, 0x1234_5000);
}

#[test]
fn stubs_jump_through_their_slot() {
    let decoder = Decoder::new();
    for (address, slot) in
        [(0x40_1000_u64, 0x40_2008_u64), (0x7fff_0000_0000, 0x7fff_7fff_fff0), (0x9000_0000, 0x1000_1000)]
    {
        let write = |code: &mut Vec<u8>, fixups: &[(u32, EdgeKind, i64)], operands: Operands| {
            for &(offset, kind, addend) in fixups {
                let operands = Operands { addend, place: address + u64::from(offset), ..operands };
                apply(&MACHINE, kind, code, offset as usize, &operands).expect("in reach");
            }
        };
        let of_slot = Operands { symbol: slot, ..Operands::default() };
        let through = |register: &str| {
            let page = format!("adrp {register}, #{:#x}", slot & !0xfff);
            let load = match slot & 0xfff {
                0 => format!("ldr {register}, [{register}]"),
                offset @ 1..=9 => format!("ldr {register}, [{register}, #{offset}]"),
                offset => format!("ldr {register}, [{register}, #{offset:#x}]"),
            };
            [page, load, format!("br {register}")]
        };
        let mut stub = MACHINE.stub.code.to_vec();
        write(&mut stub, MACHINE.stub.slot_fixups, of_slot);
        let text = decoder.text(&stub, address);
        assert!(text[0] == "bti c" || text[0] == "hint #0x22", "{text:?}");
        assert_eq!(text[1..], through("x16"));

        // The second half has x17 point at the slot, and asks.
        let lazy = MACHINE.lazy_stub;
        let mut code = lazy.code.to_vec();
        write(&mut code, lazy.slot_fixups, of_slot);
        write(&mut code, lazy.ask_fixups, Operands { slot, ..Operands::default() });
        let text = decoder.text(&code, address);
        assert_eq!((text[1..4].to_vec(), text[7..].to_vec()), (through("x16").to_vec(), through("x16").to_vec()));
        assert_eq!(text[5], format!("adrp x17, #{:#x}", slot & !0xfff));
        assert!(text[6].starts_with("add x17, x17, #"), "{text:?}");
        assert_eq!((text[0].clone(), usize::from(lazy.entry)), (text[4].clone(), 16));

        let veneer = MACHINE.branches.veneer.expect("calls reach 128 MiB");
        let mut far = veneer.far.code.to_vec();
        write(&mut far, veneer.far.fixups, Operands { slot, ..Operands::default() });
        assert_eq!(decoder.text(&far, address), through("x16"));
        let mut near = veneer.near.code.to_vec();
        write(&mut near, veneer.near.fixups, of_slot);
        let text = decoder.text(&near, address);
        assert_eq!((&*text[0], &*text[2]), (&*through("x16")[0], "br x16"));
        assert!(text[1].starts_with("add x16, x16, #"), "{text:?}");
    }
    assert_eq!(decoder.text(MACHINE.zero, 0)[1..], ["mov x0, #0", "ret"]);
}
