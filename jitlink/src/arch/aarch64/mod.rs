//! aarch64: fixup rows, stubs, and the instructions that may be rewritten.
//!
//! Source: *ELF for the Arm 64-bit Architecture* ("AAELF64"), sections 5.7.5 to 5.7.11, for the expressions, fields and ranges of the rows;
//! it calls the offset in a module's block `DTPREL` and the distance from the thread pointer `TPREL`. Letters are those of [`Expr`]; all
//! arithmetic is modulo 2^64. Relocation numbers are in `reloc/`.

mod encoding;
mod instruction;
mod relax;
mod stub;
mod tls;

use super::{Expr, Field, Machine, Range, Rewrite, TlsModel};
use encoding::{
    ADR, ADRP, IMM12, IMM12_16, IMM12_32, IMM12_64, IMM12_128, IMM12_HIGH, IMM14, IMM15_64, IMM19, IMM26, MOVNZ, MOVW,
    TWO_ADDS,
};

/// aarch64, also called ARM64: little-endian, with addresses of 64 bits (LP64).
pub static MACHINE: Machine = Machine {
    name: "aarch64",
    pointer_size: 8,
    fixups: &FIXUPS,
    stub: stub::STUB,
    lazy_stub: stub::LAZY_STUB,
    zero: stub::ZERO,
    filler: 0, // udf #0
    relax: relax::relax,
    null: relax::null,
    rewrite,
    tls: tls::TLS,
    reach: 1 << 31,
    branches: stub::BRANCHES,
    in_pieces: true,
    operand_addend: 0,
};

fn rewrite(number: u8, content: &mut [u8], offset: usize) -> bool {
    if number >= tls::FIRST { tls::rewrite(number, content, offset) } else { relax::rewrite(number, content, offset) }
}

const ANY: Range = Range::Any;
const GD: Expr = Expr::Tls(TlsModel::GeneralDynamic);
const LD: Expr = Expr::Tls(TlsModel::LocalDynamic);
const OFFSET: Expr = Expr::Tls(TlsModel::ModuleOffset);
const IE: Expr = Expr::Tls(TlsModel::InitialExec);
const LE: Expr = Expr::Tls(TlsModel::LocalExec);
const DESC: Expr = Expr::Tls(TlsModel::Descriptor);
const DESC_CALL: Expr = Expr::Tls(TlsModel::DescriptorCall);

const fn signed(bits: u8) -> Range {
    Range::Signed(bits)
}

const fn unsigned(bits: u8) -> Range {
    Range::Unsigned(bits)
}

const fn bits(encoding: &'static super::Bits) -> Field {
    Field::Bits(encoding)
}

const fn bytes(count: u8) -> Field {
    Field::Bytes(count)
}

const fn rewriting(number: u8, shift: i8) -> Rewrite {
    Rewrite { number, shift, bias: 0 }
}

rows! {
    // Data (5.7.5, 5.7.9, 5.7.11).

    /// `S + A`, `-2^31 ..= 2^32 - 1` (`ABS32`).
    POINTER32_EITHER = "Pointer32Either", Expr::Absolute, bytes(4), Range::Either(32);
    /// `S + A - P`, `-2^31 ..= 2^32 - 1` (`PREL32`).
    DELTA32_EITHER = "Delta32Either", Expr::Relative, bytes(4), Range::Either(32);
    /// `S + A - P`, `-2^15 ..= 2^16 - 1` (`PREL16`).
    DELTA16_EITHER = "Delta16Either", Expr::Relative, bytes(2), Range::Either(16);
    /// `L + A - P`, `-2^31 ..= 2^31 - 1`: data that leads to a function (`PLT32`).
    BRANCH32 = "Branch32", Expr::Branch, bytes(4), signed(32);
    /// `G + A - P`, `-2^31 ..= 2^31 - 1` (`GOTPCREL32`).
    SLOT32 = "GotSlot32", Expr::Slot, bytes(4), signed(32);
    /// `S + A - GOT`, all values (`GOTREL64`).
    GOT_OFFSET64 = "GotOffset64", Expr::GotOffset, bytes(8), ANY;
    /// `S + A - GOT`, `-2^31 ..= 2^32 - 1` (`GOTREL32`).
    GOT_OFFSET32 = "GotOffset32", Expr::GotOffset, bytes(4), Range::Either(32);

    // Sixteen bits of an address in `movz`, `movk`, `movn` (5.7.6).

    /// `S + A`, `0 ..= 2^16 - 1`, bits 0 to 15 (`MOVW_UABS_G0`).
    MOVW_G0 = "MoveWide0", Expr::Absolute, bits(&MOVW[0]), unsigned(16);
    /// `S + A`, all values, bits 0 to 15 (`MOVW_UABS_G0_NC`).
    MOVW_G0_NC = "MoveWide0 (unchecked)", Expr::Absolute, bits(&MOVW[0]), ANY;
    /// `S + A`, `0 ..= 2^32 - 1`, bits 16 to 31 (`MOVW_UABS_G1`).
    MOVW_G1 = "MoveWide16", Expr::Absolute, bits(&MOVW[1]), unsigned(32);
    /// `S + A`, all values, bits 16 to 31 (`MOVW_UABS_G1_NC`).
    MOVW_G1_NC = "MoveWide16 (unchecked)", Expr::Absolute, bits(&MOVW[1]), ANY;
    /// `S + A`, `0 ..= 2^48 - 1`, bits 32 to 47 (`MOVW_UABS_G2`).
    MOVW_G2 = "MoveWide32", Expr::Absolute, bits(&MOVW[2]), unsigned(48);
    /// `S + A`, all values, bits 32 to 47 (`MOVW_UABS_G2_NC`).
    MOVW_G2_NC = "MoveWide32 (unchecked)", Expr::Absolute, bits(&MOVW[2]), ANY;
    /// `S + A`, all values, bits 48 to 63 (`MOVW_UABS_G3`).
    MOVW_G3 = "MoveWide48", Expr::Absolute, bits(&MOVW[3]), ANY;
    /// `S + A`, `-2^16 ..= 2^16 - 1`, bits 0 to 15; `movz`, or `movn` if it is negative (`MOVW_SABS_G0`).
    MOVNZ_G0 = "MoveWideSigned0", Expr::Absolute, bits(&MOVNZ[0]), signed(17);
    /// `S + A`, `-2^32 ..= 2^32 - 1`, bits 16 to 31; `movz`, or `movn` if it is negative (`MOVW_SABS_G1`).
    MOVNZ_G1 = "MoveWideSigned16", Expr::Absolute, bits(&MOVNZ[1]), signed(33);
    /// `S + A`, `-2^48 ..= 2^48 - 1`, bits 32 to 47; `movz`, or `movn` if it is negative (`MOVW_SABS_G2`).
    MOVNZ_G2 = "MoveWideSigned32", Expr::Absolute, bits(&MOVNZ[2]), signed(49);

    // Addresses relative to the instruction, offsets in a page (5.7.7).

    /// `S + A - P`, `-2^20 ..= 2^20 - 1`, a multiple of 4: `ldr` of a literal (`LD_PREL_LO19`).
    DELTA19 = "LdrLiteral19", Expr::Relative, bits(&IMM19), signed(21);
    /// `S + A - P`, `-2^20 ..= 2^20 - 1`: `adr` (`ADR_PREL_LO21`).
    ADR21 = "AdrLiteral21", Expr::Relative, bits(&ADR), signed(21);
    /// `Page(S + A) - Page(P)`, `-2^32 ..= 2^32 - 1`: `adrp` (`ADR_PREL_PG_HI21`).
    PAGE21 = "Page21", Expr::Page, bits(&ADRP), signed(33);
    /// The same modulo 2^33, all values (`ADR_PREL_PG_HI21_NC`).
    PAGE21_NC = "Page21 (unchecked)", Expr::Page, bits(&ADRP), ANY;
    /// `S + A`, all values, bits 0 to 11: `add` (`ADD_ABS_LO12_NC`).
    ADD_LO12_NC = "PageOffset12", Expr::Absolute, bits(&IMM12), ANY;
    /// `S + A`, all values, bits 0 to 11: `ldrb` and the like (`LDST8_ABS_LO12_NC`).
    LDST8_LO12_NC = "PageOffset12 (8 bits)", Expr::Absolute, bits(&IMM12), ANY;
    /// `S + A`, multiples of 2, bits 1 to 11 (`LDST16_ABS_LO12_NC`).
    LDST16_LO12_NC = "PageOffset12 (16 bits)", Expr::Absolute, bits(&IMM12_16), ANY;
    /// `S + A`, multiples of 4, bits 2 to 11 (`LDST32_ABS_LO12_NC`).
    LDST32_LO12_NC = "PageOffset12 (32 bits)", Expr::Absolute, bits(&IMM12_32), ANY;
    /// `S + A`, multiples of 8, bits 3 to 11 (`LDST64_ABS_LO12_NC`).
    LDST64_LO12_NC = "PageOffset12 (64 bits)", Expr::Absolute, bits(&IMM12_64), ANY;
    /// `S + A`, multiples of 16, bits 4 to 11 (`LDST128_ABS_LO12_NC`).
    LDST128_LO12_NC = "PageOffset12 (128 bits)", Expr::Absolute, bits(&IMM12_128), ANY;

    // Branches (5.7.8).

    /// `L + A - P`, `-2^15 ..= 2^15 - 1`, a multiple of 4: `tbz`, `tbnz` (`TSTBR14`).
    BRANCH14 = "TestAndBranch14", Expr::Branch, bits(&IMM14), signed(16);
    /// `L + A - P`, `-2^20 ..= 2^20 - 1`, a multiple of 4: `b.cond`, `cbz`, `cbnz` (`CONDBR19`).
    BRANCH19 = "CondBranch19", Expr::Branch, bits(&IMM19), signed(21);
    /// `L + A - P`, `-2^27 ..= 2^27 - 1`, a multiple of 4: `b`, `bl` (`JUMP26`, `CALL26`).
    BRANCH26 = "Branch26", Expr::Branch, bits(&IMM26), signed(28);

    // Sixteen bits of a distance in `movz`, `movk`, `movn` (5.7.8).

    /// `S + A - P`, `-2^16 ..= 2^16 - 1`, bits 0 to 15; `movz` or `movn` (`MOVW_PREL_G0`).
    MOVNZ_DELTA_G0 = "MoveWideDelta0", Expr::Relative, bits(&MOVNZ[0]), signed(17);
    /// `S + A - P`, all values, bits 0 to 15 (`MOVW_PREL_G0_NC`).
    MOVW_DELTA_G0_NC = "MoveWideDelta0 (unchecked)", Expr::Relative, bits(&MOVW[0]), ANY;
    /// `S + A - P`, `-2^32 ..= 2^32 - 1`, bits 16 to 31; `movz` or `movn` (`MOVW_PREL_G1`).
    MOVNZ_DELTA_G1 = "MoveWideDelta16", Expr::Relative, bits(&MOVNZ[1]), signed(33);
    /// `S + A - P`, all values, bits 16 to 31 (`MOVW_PREL_G1_NC`).
    MOVW_DELTA_G1_NC = "MoveWideDelta16 (unchecked)", Expr::Relative, bits(&MOVW[1]), ANY;
    /// `S + A - P`, `-2^48 ..= 2^48 - 1`, bits 32 to 47; `movz` or `movn` (`MOVW_PREL_G2`).
    MOVNZ_DELTA_G2 = "MoveWideDelta32", Expr::Relative, bits(&MOVNZ[2]), signed(49);
    /// `S + A - P`, all values, bits 32 to 47 (`MOVW_PREL_G2_NC`).
    MOVW_DELTA_G2_NC = "MoveWideDelta32 (unchecked)", Expr::Relative, bits(&MOVW[2]), ANY;
    /// `S + A - P`, all values, bits 48 to 63; `movz` or `movn` (`MOVW_PREL_G3`).
    MOVNZ_DELTA_G3 = "MoveWideDelta48", Expr::Relative, bits(&MOVNZ[3]), ANY;

    // GOT slots (5.7.9).

    /// `G + A - GOT`, `-2^16 ..= 2^16 - 1`, bits 0 to 15; `movz` or `movn` (`MOVW_GOTOFF_G0`).
    SLOT_OFFSET_G0 = "GotSlotMoveWide0", Expr::SlotOffset, bits(&MOVNZ[0]), signed(17);
    /// `G + A - GOT`, all values, bits 0 to 15 (`MOVW_GOTOFF_G0_NC`).
    SLOT_OFFSET_G0_NC = "GotSlotMoveWide0 (unchecked)", Expr::SlotOffset, bits(&MOVW[0]), ANY;
    /// `G + A - GOT`, `-2^32 ..= 2^32 - 1`, bits 16 to 31; `movz` or `movn` (`MOVW_GOTOFF_G1`).
    SLOT_OFFSET_G1 = "GotSlotMoveWide16", Expr::SlotOffset, bits(&MOVNZ[1]), signed(33);
    /// `G + A - GOT`, all values, bits 16 to 31 (`MOVW_GOTOFF_G1_NC`).
    SLOT_OFFSET_G1_NC = "GotSlotMoveWide16 (unchecked)", Expr::SlotOffset, bits(&MOVW[1]), ANY;
    /// `G + A - GOT`, `-2^48 ..= 2^48 - 1`, bits 32 to 47; `movz` or `movn` (`MOVW_GOTOFF_G2`).
    SLOT_OFFSET_G2 = "GotSlotMoveWide32", Expr::SlotOffset, bits(&MOVNZ[2]), signed(49);
    /// `G + A - GOT`, all values, bits 32 to 47 (`MOVW_GOTOFF_G2_NC`).
    SLOT_OFFSET_G2_NC = "GotSlotMoveWide32 (unchecked)", Expr::SlotOffset, bits(&MOVW[2]), ANY;
    /// `G + A - GOT`, all values, bits 48 to 63; `movz` or `movn` (`MOVW_GOTOFF_G3`).
    SLOT_OFFSET_G3 = "GotSlotMoveWide48", Expr::SlotOffset, bits(&MOVNZ[3]), ANY;
    /// `G + A - P`, `-2^20 ..= 2^20 - 1`, a multiple of 4: `ldr` of a literal (`GOT_LD_PREL19`).
    SLOT19 = "GotSlotLdrLiteral19", Expr::Slot, bits(&IMM19), signed(21);
    /// `G + A - GOT`, `0 ..= 2^15 - 1`, a multiple of 8 (`LD64_GOTOFF_LO15`).
    SLOT_OFFSET_LO15 = "GotSlotOffset15", Expr::SlotOffset, bits(&IMM15_64), unsigned(15);
    /// `Page(G + A) - Page(P)`, `-2^32 ..= 2^32 - 1`: `adrp` (`ADR_GOT_PAGE`).
    SLOT_PAGE21 = "GotSlotPage21", Expr::SlotPage, bits(&ADRP), signed(33);
    /// `G + A`, multiples of 8, bits 3 to 11 (`LD64_GOT_LO12_NC`).
    SLOT_LO12_NC = "GotSlotPageOffset12", Expr::SlotAddress, bits(&IMM12_64), ANY;
    /// `G + A - Page(GOT)`, `0 ..= 2^15 - 1`, a multiple of 8 (`LD64_GOTPAGE_LO15`).
    SLOT_IN_PAGE_LO15 = "GotSlotPageOffset15", Expr::SlotFromPage, bits(&IMM15_64), unsigned(15);

    // Thread-local storage (5.7.10): the distance to a pair of slots, module and offset (general-dynamic).

    /// `T + A - P`, `-2^20 ..= 2^20 - 1`: `adr` (`TLSGD_ADR_PREL21`).
    TLS_PAIR_ADR21 = "TlsGeneralDynamicAdr21", GD, bits(&ADR), signed(21);
    /// `Page(T + A) - Page(P)`, `-2^32 ..= 2^32 - 1`: `adrp` (`TLSGD_ADR_PAGE21`).
    TLS_PAIR_PAGE21 = "TlsGeneralDynamicPage21", GD, bits(&ADRP), signed(33);
    /// `T + A`, all values, bits 0 to 11: `add` (`TLSGD_ADD_LO12_NC`).
    TLS_PAIR_LO12_NC = "TlsGeneralDynamicPageOffset12", GD, bits(&IMM12), ANY;
    /// `T + A - GOT`, `-2^32 ..= 2^32 - 1`, bits 16 to 31; `movz` or `movn` (`TLSGD_MOVW_G1`).
    TLS_PAIR_G1 = "TlsGeneralDynamicMoveWide16", GD, bits(&MOVNZ[1]), signed(33);
    /// `T + A - GOT`, all values, bits 0 to 15: `movk` (`TLSGD_MOVW_G0_NC`).
    TLS_PAIR_G0_NC = "TlsGeneralDynamicMoveWide0", GD, bits(&MOVW[0]), ANY;

    // The distance to the pair of slots of this module (local-dynamic).

    /// `T + A - P`, `-2^20 ..= 2^20 - 1`: `adr` (`TLSLD_ADR_PREL21`).
    TLS_MODULE_PAIR_ADR21 = "TlsLocalDynamicAdr21", LD, bits(&ADR), signed(21);
    /// `Page(T + A) - Page(P)`, `-2^32 ..= 2^32 - 1`: `adrp` (`TLSLD_ADR_PAGE21`).
    TLS_MODULE_PAIR_PAGE21 = "TlsLocalDynamicPage21", LD, bits(&ADRP), signed(33);
    /// `T + A`, all values, bits 0 to 11: `add` (`TLSLD_ADD_LO12_NC`).
    TLS_MODULE_PAIR_LO12_NC = "TlsLocalDynamicPageOffset12", LD, bits(&IMM12), ANY;
    /// `T + A - GOT`, `-2^32 ..= 2^32 - 1`, bits 16 to 31; `movz` or `movn` (`TLSLD_MOVW_G1`).
    TLS_MODULE_PAIR_G1 = "TlsLocalDynamicMoveWide16", LD, bits(&MOVNZ[1]), signed(33);
    /// `T + A - GOT`, all values, bits 0 to 15: `movk` (`TLSLD_MOVW_G0_NC`).
    TLS_MODULE_PAIR_G0_NC = "TlsLocalDynamicMoveWide0", LD, bits(&MOVW[0]), ANY;
    /// `T + A - P`, `-2^20 ..= 2^20 - 1`, a multiple of 4: `ldr` of a literal (`TLSLD_LD_PREL19`).
    TLS_MODULE_PAIR19 = "TlsLocalDynamicLdrLiteral19", LD, bits(&IMM19), signed(21);

    // An offset in the block of a module.

    /// `DTPREL + A`, `-2^48 ..= 2^48 - 1`, bits 32 to 47; `movz` or `movn` (`TLSLD_MOVW_DTPREL_G2`).
    TLS_MODULE_OFFSET_G2 = "TlsModuleOffsetMoveWide32", OFFSET, bits(&MOVNZ[2]), signed(49);
    /// `DTPREL + A`, `-2^32 ..= 2^32 - 1`, bits 16 to 31; `movz` or `movn` (`TLSLD_MOVW_DTPREL_G1`).
    TLS_MODULE_OFFSET_G1 = "TlsModuleOffsetMoveWide16", OFFSET, bits(&MOVNZ[1]), signed(33);
    /// `DTPREL + A`, all values, bits 16 to 31 (`TLSLD_MOVW_DTPREL_G1_NC`).
    TLS_MODULE_OFFSET_G1_NC = "TlsModuleOffsetMoveWide16 (unchecked)", OFFSET, bits(&MOVW[1]), ANY;
    /// `DTPREL + A`, `-2^16 ..= 2^16 - 1`, bits 0 to 15; `movz` or `movn` (`TLSLD_MOVW_DTPREL_G0`).
    TLS_MODULE_OFFSET_G0 = "TlsModuleOffsetMoveWide0", OFFSET, bits(&MOVNZ[0]), signed(17);
    /// `DTPREL + A`, all values, bits 0 to 15 (`TLSLD_MOVW_DTPREL_G0_NC`).
    TLS_MODULE_OFFSET_G0_NC = "TlsModuleOffsetMoveWide0 (unchecked)", OFFSET, bits(&MOVW[0]), ANY;
    /// `DTPREL + A`, `0 ..= 2^24 - 1`, bits 12 to 23: `add` (`TLSLD_ADD_DTPREL_HI12`).
    TLS_MODULE_OFFSET_HI12 = "TlsModuleOffsetHigh12", OFFSET, bits(&IMM12_HIGH), unsigned(24);
    /// `DTPREL + A`, `0 ..= 2^12 - 1`: `add` (`TLSLD_ADD_DTPREL_LO12`).
    TLS_MODULE_OFFSET_LO12 = "TlsModuleOffsetLow12", OFFSET, bits(&IMM12), unsigned(12);
    /// `DTPREL + A`, all values, bits 0 to 11: `add` (`TLSLD_ADD_DTPREL_LO12_NC`).
    TLS_MODULE_OFFSET_LO12_NC = "TlsModuleOffsetLow12 (unchecked)", OFFSET, bits(&IMM12), ANY;
    /// `DTPREL + A`, `0 ..= 2^12 - 1` (`TLSLD_LDST8_DTPREL_LO12`).
    TLS_MODULE_OFFSET_LDST8 = "TlsModuleOffsetLow12 (8 bits)", OFFSET, bits(&IMM12), unsigned(12);
    /// `DTPREL + A`, all values, bits 0 to 11 (`TLSLD_LDST8_DTPREL_LO12_NC`).
    TLS_MODULE_OFFSET_LDST8_NC = "TlsModuleOffsetLow12 (8 bits, unchecked)", OFFSET, bits(&IMM12), ANY;
    /// `DTPREL + A`, `0 ..= 2^12 - 1`, a multiple of 2 (`TLSLD_LDST16_DTPREL_LO12`).
    TLS_MODULE_OFFSET_LDST16 = "TlsModuleOffsetLow12 (16 bits)", OFFSET, bits(&IMM12_16), unsigned(12);
    /// `DTPREL + A`, all values, a multiple of 2, bits 1 to 11 (`TLSLD_LDST16_DTPREL_LO12_NC`).
    TLS_MODULE_OFFSET_LDST16_NC = "TlsModuleOffsetLow12 (16 bits, unchecked)", OFFSET, bits(&IMM12_16), ANY;
    /// `DTPREL + A`, `0 ..= 2^12 - 1`, a multiple of 4 (`TLSLD_LDST32_DTPREL_LO12`).
    TLS_MODULE_OFFSET_LDST32 = "TlsModuleOffsetLow12 (32 bits)", OFFSET, bits(&IMM12_32), unsigned(12);
    /// `DTPREL + A`, all values, a multiple of 4, bits 2 to 11 (`TLSLD_LDST32_DTPREL_LO12_NC`).
    TLS_MODULE_OFFSET_LDST32_NC = "TlsModuleOffsetLow12 (32 bits, unchecked)", OFFSET, bits(&IMM12_32), ANY;
    /// `DTPREL + A`, `0 ..= 2^12 - 1`, a multiple of 8 (`TLSLD_LDST64_DTPREL_LO12`).
    TLS_MODULE_OFFSET_LDST64 = "TlsModuleOffsetLow12 (64 bits)", OFFSET, bits(&IMM12_64), unsigned(12);
    /// `DTPREL + A`, all values, a multiple of 8, bits 3 to 11 (`TLSLD_LDST64_DTPREL_LO12_NC`).
    TLS_MODULE_OFFSET_LDST64_NC = "TlsModuleOffsetLow12 (64 bits, unchecked)", OFFSET, bits(&IMM12_64), ANY;
    /// `DTPREL + A`, `0 ..= 2^12 - 1`, a multiple of 16 (`TLSLD_LDST128_DTPREL_LO12`).
    TLS_MODULE_OFFSET_LDST128 = "TlsModuleOffsetLow12 (128 bits)", OFFSET, bits(&IMM12_128), unsigned(12);
    /// `DTPREL + A`, all values, a multiple of 16, bits 4 to 11 (`TLSLD_LDST128_DTPREL_LO12_NC`).
    TLS_MODULE_OFFSET_LDST128_NC = "TlsModuleOffsetLow12 (128 bits, unchecked)", OFFSET, bits(&IMM12_128), ANY;
    /// `DTPREL + A`, all values: debug information (`TLS_DTPREL`).
    TLS_MODULE_OFFSET64 = "TlsModuleOffset64", OFFSET, bytes(8), ANY;

    // The distance to a slot with the offset from the thread pointer (initial-exec).

    /// `T + A - GOT`, `-2^32 ..= 2^32 - 1`, bits 16 to 31; `movz` or `movn` (`TLSIE_MOVW_GOTTPREL_G1`).
    TLS_SLOT_G1 = "TlsInitialExecMoveWide16", IE, bits(&MOVNZ[1]), signed(33);
    /// `T + A - GOT`, all values, bits 0 to 15: `movk` (`TLSIE_MOVW_GOTTPREL_G0_NC`).
    TLS_SLOT_G0_NC = "TlsInitialExecMoveWide0", IE, bits(&MOVW[0]), ANY;
    /// `Page(T + A) - Page(P)`, `-2^32 ..= 2^32 - 1`: `adrp` (`TLSIE_ADR_GOTTPREL_PAGE21`).
    TLS_SLOT_PAGE21 = "TlsInitialExecPage21", IE, bits(&ADRP), signed(33);
    /// `T + A`, multiples of 8, bits 3 to 11: `ldr` (`TLSIE_LD64_GOTTPREL_LO12_NC`).
    TLS_SLOT_LD_LO12 = "TlsInitialExecPageOffset12", IE, bits(&IMM12_64), ANY;
    /// `T + A - P`, `-2^20 ..= 2^20 - 1`, a multiple of 4: `ldr` of a literal (`TLSIE_LD_GOTTPREL_PREL19`).
    TLS_SLOT19 = "TlsInitialExecLdrLiteral19", IE, bits(&IMM19), signed(21);

    // A constant offset from the thread pointer (local-exec).

    /// `TPREL + A`, `-2^48 ..= 2^48 - 1`, bits 32 to 47; `movz` or `movn` (`TLSLE_MOVW_TPREL_G2`).
    TLS_THREAD_OFFSET_G2 = "TlsLocalExecMoveWide32", LE, bits(&MOVNZ[2]), signed(49);
    /// `TPREL + A`, `-2^32 ..= 2^32 - 1`, bits 16 to 31; `movz` or `movn` (`TLSLE_MOVW_TPREL_G1`).
    TLS_THREAD_OFFSET_G1 = "TlsLocalExecMoveWide16", LE, bits(&MOVNZ[1]), signed(33);
    /// `TPREL + A`, all values, bits 16 to 31 (`TLSLE_MOVW_TPREL_G1_NC`).
    TLS_THREAD_OFFSET_G1_NC = "TlsLocalExecMoveWide16 (unchecked)", LE, bits(&MOVW[1]), ANY;
    /// `TPREL + A`, `-2^16 ..= 2^16 - 1`, bits 0 to 15; `movz` or `movn` (`TLSLE_MOVW_TPREL_G0`).
    TLS_THREAD_OFFSET_G0 = "TlsLocalExecMoveWide0", LE, bits(&MOVNZ[0]), signed(17);
    /// `TPREL + A`, all values, bits 0 to 15 (`TLSLE_MOVW_TPREL_G0_NC`).
    TLS_THREAD_OFFSET_G0_NC = "TlsLocalExecMoveWide0 (unchecked)", LE, bits(&MOVW[0]), ANY;
    /// `TPREL + A`, `0 ..= 2^24 - 1`, bits 12 to 23: `add` (`TLSLE_ADD_TPREL_HI12`).
    TLS_THREAD_OFFSET_HI12 = "TlsLocalExecHigh12", LE, bits(&IMM12_HIGH), unsigned(24);
    /// `TPREL + A`, `0 ..= 2^12 - 1`: `add` (`TLSLE_ADD_TPREL_LO12`).
    TLS_THREAD_OFFSET_LO12 = "TlsLocalExecLow12", LE, bits(&IMM12), unsigned(12);
    /// `TPREL + A`, all values, bits 0 to 11: `add` (`TLSLE_ADD_TPREL_LO12_NC`).
    TLS_THREAD_OFFSET_LO12_NC = "TlsLocalExecLow12 (unchecked)", LE, bits(&IMM12), ANY;
    /// `TPREL + A`, `0 ..= 2^12 - 1` (`TLSLE_LDST8_TPREL_LO12`).
    TLS_THREAD_OFFSET_LDST8 = "TlsLocalExecLow12 (8 bits)", LE, bits(&IMM12), unsigned(12);
    /// `TPREL + A`, all values, bits 0 to 11 (`TLSLE_LDST8_TPREL_LO12_NC`).
    TLS_THREAD_OFFSET_LDST8_NC = "TlsLocalExecLow12 (8 bits, unchecked)", LE, bits(&IMM12), ANY;
    /// `TPREL + A`, `0 ..= 2^12 - 1`, a multiple of 2 (`TLSLE_LDST16_TPREL_LO12`).
    TLS_THREAD_OFFSET_LDST16 = "TlsLocalExecLow12 (16 bits)", LE, bits(&IMM12_16), unsigned(12);
    /// `TPREL + A`, all values, a multiple of 2, bits 1 to 11 (`TLSLE_LDST16_TPREL_LO12_NC`).
    TLS_THREAD_OFFSET_LDST16_NC = "TlsLocalExecLow12 (16 bits, unchecked)", LE, bits(&IMM12_16), ANY;
    /// `TPREL + A`, `0 ..= 2^12 - 1`, a multiple of 4 (`TLSLE_LDST32_TPREL_LO12`).
    TLS_THREAD_OFFSET_LDST32 = "TlsLocalExecLow12 (32 bits)", LE, bits(&IMM12_32), unsigned(12);
    /// `TPREL + A`, all values, a multiple of 4, bits 2 to 11 (`TLSLE_LDST32_TPREL_LO12_NC`).
    TLS_THREAD_OFFSET_LDST32_NC = "TlsLocalExecLow12 (32 bits, unchecked)", LE, bits(&IMM12_32), ANY;
    /// `TPREL + A`, `0 ..= 2^12 - 1`, a multiple of 8 (`TLSLE_LDST64_TPREL_LO12`).
    TLS_THREAD_OFFSET_LDST64 = "TlsLocalExecLow12 (64 bits)", LE, bits(&IMM12_64), unsigned(12);
    /// `TPREL + A`, all values, a multiple of 8, bits 3 to 11 (`TLSLE_LDST64_TPREL_LO12_NC`).
    TLS_THREAD_OFFSET_LDST64_NC = "TlsLocalExecLow12 (64 bits, unchecked)", LE, bits(&IMM12_64), ANY;
    /// `TPREL + A`, `0 ..= 2^12 - 1`, a multiple of 16 (`TLSLE_LDST128_TPREL_LO12`).
    TLS_THREAD_OFFSET_LDST128 = "TlsLocalExecLow12 (128 bits)", LE, bits(&IMM12_128), unsigned(12);
    /// `TPREL + A`, all values, a multiple of 16, bits 4 to 11 (`TLSLE_LDST128_TPREL_LO12_NC`).
    TLS_THREAD_OFFSET_LDST128_NC = "TlsLocalExecLow12 (128 bits, unchecked)", LE, bits(&IMM12_128), ANY;

    // A descriptor: where it is, and the instructions that only mark a call of its function.

    /// `T + A - P`, `-2^20 ..= 2^20 - 1`, a multiple of 4: `ldr` of a literal (`TLSDESC_LD_PREL19`).
    TLS_DESCRIPTOR19 = "TlsDescriptorLdrLiteral19", DESC, bits(&IMM19), signed(21);
    /// `T + A - P`, `-2^20 ..= 2^20 - 1`: `adr` (`TLSDESC_ADR_PREL21`).
    TLS_DESCRIPTOR_ADR21 = "TlsDescriptorAdr21", DESC, bits(&ADR), signed(21);
    /// `Page(T + A) - Page(P)`, `-2^32 ..= 2^32 - 1`: `adrp` (`TLSDESC_ADR_PAGE21`).
    TLS_DESCRIPTOR_PAGE21 = "TlsDescriptorPage21", DESC, bits(&ADRP), signed(33);
    /// `T + A`, multiples of 8, bits 3 to 11: `ldr` (`TLSDESC_LD64_LO12`).
    TLS_DESCRIPTOR_LD_LO12 = "TlsDescriptorPageOffset12 (64 bits)", DESC, bits(&IMM12_64), ANY;
    /// `T + A`, all values, bits 0 to 11: `add` (`TLSDESC_ADD_LO12`).
    TLS_DESCRIPTOR_ADD_LO12 = "TlsDescriptorPageOffset12", DESC, bits(&IMM12), ANY;
    /// `T + A - GOT`, `-2^32 ..= 2^32 - 1`, bits 16 to 31; `movz` or `movn` (`TLSDESC_OFF_G1`).
    TLS_DESCRIPTOR_G1 = "TlsDescriptorMoveWide16", DESC, bits(&MOVNZ[1]), signed(33);
    /// `T + A - GOT`, all values, bits 0 to 15: `movk` (`TLSDESC_OFF_G0_NC`).
    TLS_DESCRIPTOR_G0_NC = "TlsDescriptorMoveWide0", DESC, bits(&MOVW[0]), ANY;
    /// Marks `ldr x1, [x, x0]`; nothing is written (`TLSDESC_LDR`).
    TLS_DESCRIPTOR_LDR = "TlsDescriptorLdr", DESC_CALL, Field::None, ANY;
    /// Marks `add x0, x, x0`; nothing is written (`TLSDESC_ADD`).
    TLS_DESCRIPTOR_ADD = "TlsDescriptorAdd", DESC_CALL, Field::None, ANY;
    /// Marks `blr x1`; nothing is written (`TLSDESC_CALL`).
    TLS_DESCRIPTOR_CALL = "TlsDescriptorCall", DESC_CALL, Field::None, ANY;

    /// The second word of a variable's own descriptor, all values ([`TlsModel::VariableKey`]).
    TLS_KEY64 = "TlsVariableKey64", Expr::Tls(TlsModel::VariableKey), bytes(8), ANY;
    /// The third word of it, all values ([`TlsModel::VariablePlace`]).
    TLS_PLACE64 = "TlsVariablePlace64", Expr::Tls(TlsModel::VariablePlace), bytes(8), ANY;

    // Rewritten accesses of GOT slots, and references to null.

    /// `S + A`, all values, bits 0 to 11, and `ldr xt, [xn, #slot]` becomes `add xt, xn, #symbol`.
    RELAXED_ADD = "PageOffset12 (of a slot)", Expr::Absolute, bits(&IMM12), ANY, rewriting(relax::LOAD_TO_ADD, 0);
    /// Nothing, and `adrp xd, symbol` becomes `mov xd, #0`.
    NULL_PAGE = "Page21 (null)", Expr::KeepAlive, Field::None, ANY, rewriting(relax::ADRP_TO_ZERO, 0);
    /// `S + A`, `0 ..= 2^16 - 1`, and `adr xd, symbol` becomes `movz xd, #symbol`.
    NULL_ADR = "AdrLiteral21 (null)", Expr::Absolute, bits(&MOVW[0]), unsigned(16), rewriting(relax::ADR_TO_MOVZ, 0);
    /// `S + A - P` modulo 2^21, all values: a load of what is not there, in code that is not run.
    NULL_DELTA19 = "LdrLiteral19 (null)", Expr::Relative, bits(&IMM19), ANY;
    /// Nothing, and a branch becomes `nop` (5.7.8: a call of a weak symbol that nobody defines).
    NULL_BRANCH = "Branch26 (null)", Expr::KeepAlive, Field::None, ANY, rewriting(relax::BRANCH_TO_NOP, 0);

    // Thread-local accesses that stay as they are.

    /// `T + A - P`, T the variable's slots for the model of the access, `-2^20 ..= 2^20 - 1`.
    TLS_KEPT_ADR21 = "TlsSlotAdr21", Expr::TlsSlot, bits(&ADR), signed(21);
    /// `Page(T + A) - Page(P)`, `-2^32 ..= 2^32 - 1`.
    TLS_KEPT_PAGE21 = "TlsSlotPage21", Expr::TlsSlotPage, bits(&ADRP), signed(33);
    /// `T + A`, all values, bits 0 to 11.
    TLS_KEPT_LO12 = "TlsSlotPageOffset12", Expr::TlsSlotAddress, bits(&IMM12), ANY;
    /// `T + A`, multiples of 8, bits 3 to 11.
    TLS_KEPT_LD_LO12 = "TlsSlotPageOffset12 (64 bits)", Expr::TlsSlotAddress, bits(&IMM12_64), ANY;
    /// `T + A - P`, `-2^20 ..= 2^20 - 1`, a multiple of 4.
    TLS_KEPT19 = "TlsSlotLdrLiteral19", Expr::TlsSlot, bits(&IMM19), signed(21);
    /// `T + A - GOT`, `-2^32 ..= 2^32 - 1`, bits 16 to 31; `movz` or `movn`.
    TLS_KEPT_G1 = "TlsSlotMoveWide16", Expr::TlsSlotOffset, bits(&MOVNZ[1]), signed(33);
    /// `T + A - GOT`, all values, bits 0 to 15.
    TLS_KEPT_G0_NC = "TlsSlotMoveWide0", Expr::TlsSlotOffset, bits(&MOVW[0]), ANY;
    /// The offset in the module's block `+ A`, `-2^48 ..= 2^48 - 1`, bits 32 to 47; `movz` or `movn`.
    TLS_KEPT_OFFSET_G2 = "TlsOffsetInModuleMoveWide32", Expr::TlsModuleOffset, bits(&MOVNZ[2]), signed(49);
    /// The offset in the module's block `+ A`, `-2^32 ..= 2^32 - 1`, bits 16 to 31; `movz` or `movn`.
    TLS_KEPT_OFFSET_G1 = "TlsOffsetInModuleMoveWide16", Expr::TlsModuleOffset, bits(&MOVNZ[1]), signed(33);
    /// The offset in the module's block `+ A`, all values, bits 16 to 31.
    TLS_KEPT_OFFSET_G1_NC = "TlsOffsetInModuleMoveWide16 (unchecked)", Expr::TlsModuleOffset, bits(&MOVW[1]), ANY;
    /// The offset in the module's block `+ A`, `-2^16 ..= 2^16 - 1`, bits 0 to 15; `movz` or `movn`.
    TLS_KEPT_OFFSET_G0 = "TlsOffsetInModuleMoveWide0", Expr::TlsModuleOffset, bits(&MOVNZ[0]), signed(17);
    /// The offset in the module's block `+ A`, all values, bits 0 to 15.
    TLS_KEPT_OFFSET_G0_NC = "TlsOffsetInModuleMoveWide0 (unchecked)", Expr::TlsModuleOffset, bits(&MOVW[0]), ANY;
    /// The offset in the module's block `+ A`, `0 ..= 2^24 - 1`, bits 12 to 23: `add`.
    TLS_KEPT_OFFSET_HI12 = "TlsOffsetInModuleHigh12", Expr::TlsModuleOffset, bits(&IMM12_HIGH), unsigned(24);
    /// The offset in the module's block `+ A`, `0 ..= 2^12 - 1`: `add`.
    TLS_KEPT_OFFSET_LO12 = "TlsOffsetInModuleLow12", Expr::TlsModuleOffset, bits(&IMM12), unsigned(12);
    /// The offset in the module's block `+ A`, all values, bits 0 to 11: `add`.
    TLS_KEPT_OFFSET_LO12_NC = "TlsOffsetInModuleLow12 (unchecked)", Expr::TlsModuleOffset, bits(&IMM12), ANY;
    /// The offset in the module's block `+ A`, `0 ..= 2^12 - 1`.
    TLS_KEPT_OFFSET_LDST8 = "TlsOffsetInModuleLow12 (8 bits)", Expr::TlsModuleOffset, bits(&IMM12), unsigned(12);
    /// The offset in the module's block `+ A`, all values, bits 0 to 11.
    TLS_KEPT_OFFSET_LDST8_NC = "TlsOffsetInModuleLow12 (8 bits, unchecked)", Expr::TlsModuleOffset, bits(&IMM12), ANY;
    /// The offset in the module's block `+ A`, `0 ..= 2^12 - 1`, a multiple of 2.
    TLS_KEPT_OFFSET_LDST16 = "TlsOffsetInModuleLow12 (16 bits)", Expr::TlsModuleOffset, bits(&IMM12_16), unsigned(12);
    /// The offset in the module's block `+ A`, all values, a multiple of 2, bits 1 to 11.
    TLS_KEPT_OFFSET_LDST16_NC = "TlsOffsetInModuleLow12 (16 bits, unchecked)", Expr::TlsModuleOffset, bits(&IMM12_16), ANY;
    /// The offset in the module's block `+ A`, `0 ..= 2^12 - 1`, a multiple of 4.
    TLS_KEPT_OFFSET_LDST32 = "TlsOffsetInModuleLow12 (32 bits)", Expr::TlsModuleOffset, bits(&IMM12_32), unsigned(12);
    /// The offset in the module's block `+ A`, all values, a multiple of 4, bits 2 to 11.
    TLS_KEPT_OFFSET_LDST32_NC = "TlsOffsetInModuleLow12 (32 bits, unchecked)", Expr::TlsModuleOffset, bits(&IMM12_32), ANY;
    /// The offset in the module's block `+ A`, `0 ..= 2^12 - 1`, a multiple of 8.
    TLS_KEPT_OFFSET_LDST64 = "TlsOffsetInModuleLow12 (64 bits)", Expr::TlsModuleOffset, bits(&IMM12_64), unsigned(12);
    /// The offset in the module's block `+ A`, all values, a multiple of 8, bits 3 to 11.
    TLS_KEPT_OFFSET_LDST64_NC = "TlsOffsetInModuleLow12 (64 bits, unchecked)", Expr::TlsModuleOffset, bits(&IMM12_64), ANY;
    /// The offset in the module's block `+ A`, `0 ..= 2^12 - 1`, a multiple of 16.
    TLS_KEPT_OFFSET_LDST128 = "TlsOffsetInModuleLow12 (128 bits)", Expr::TlsModuleOffset, bits(&IMM12_128), unsigned(12);
    /// The offset in the module's block `+ A`, all values, a multiple of 16, bits 4 to 11.
    TLS_KEPT_OFFSET_LDST128_NC = "TlsOffsetInModuleLow12 (128 bits, unchecked)", Expr::TlsModuleOffset, bits(&IMM12_128), ANY;
    /// The number of the variable's module `+ A`, all values.
    TLS_KEPT_MODULE64 = "TlsModuleNumber64", Expr::TlsModule, bytes(8), ANY;
    /// The offset in the module's block `+ A`, all values.
    TLS_KEPT_OFFSET64 = "TlsOffsetInModule64", Expr::TlsModuleOffset, bytes(8), ANY;

    // Thread-local accesses at a constant distance S from the thread pointer; rows of addresses write the others.

    /// `S + A`, `0 ..= 2^24 - 1`, bits 12 to 23.
    DISTANCE_HI12 = "TlsDistanceHigh12", Expr::Absolute, bits(&IMM12_HIGH), unsigned(24);
    /// `S + A`, `0 ..= 2^12 - 1`.
    DISTANCE_LO12 = "TlsDistanceLow12", Expr::Absolute, bits(&IMM12), unsigned(12);
    /// `S + A`, `0 ..= 2^12 - 1`, a multiple of 2.
    DISTANCE_LDST16 = "TlsDistanceLow12 (16 bits)", Expr::Absolute, bits(&IMM12_16), unsigned(12);
    /// `S + A`, `0 ..= 2^12 - 1`, a multiple of 4.
    DISTANCE_LDST32 = "TlsDistanceLow12 (32 bits)", Expr::Absolute, bits(&IMM12_32), unsigned(12);
    /// `S + A`, `0 ..= 2^12 - 1`, a multiple of 8.
    DISTANCE_LDST64 = "TlsDistanceLow12 (64 bits)", Expr::Absolute, bits(&IMM12_64), unsigned(12);
    /// `S + A`, `0 ..= 2^12 - 1`, a multiple of 16.
    DISTANCE_LDST128 = "TlsDistanceLow12 (128 bits)", Expr::Absolute, bits(&IMM12_128), unsigned(12);
    /// `S + A`, `0 ..= 2^32 - 1`, bits 16 to 31, and `adrp xd, slot` becomes `movz xd, #distance, lsl #16`.
    TLS_RELAXED_PAGE = "TlsDistance16 (adrp)", Expr::Absolute, bits(&MOVW[1]), unsigned(32), rewriting(tls::ADRP_TO_MOVZ, 0);
    /// `S + A`, bits 0 to 15, and `ldr xt, [xt, #slot]` becomes `movk xt, #distance`.
    TLS_RELAXED_LOAD = "TlsDistance0 (ldr)", Expr::Absolute, bits(&MOVW[0]), ANY, rewriting(tls::LOAD_TO_MOVK, 0);
    /// `S + A`, bits 0 to 15, and `add x0, x0, #pair; bl __tls_get_addr; nop` becomes `movk x0, #distance; mrs x1, tpidr_el0; add x0, x1, x0`.
    TLS_RELAXED_GENERAL = "TlsDistance0 (general-dynamic)", Expr::Absolute, bits(&MOVW[0]), ANY, rewriting(tls::GENERAL, 0);
    /// `S + A`, `0 ..= 2^24 - 1`, and `adr x0, pair; bl __tls_get_addr; nop` becomes `mrs x1, tpidr_el0; add x0, x1, #high, lsl #12; add x0, x0, #low`.
    TLS_RELAXED_GENERAL_TINY = "TlsDistance24 (general-dynamic)", Expr::Absolute, bits(&TWO_ADDS), unsigned(24), rewriting(tls::GENERAL_TINY, 4);
    /// Nothing, and `adrp x0, pair` becomes `mrs x0, tpidr_el0`, from which offsets are counted then.
    TLS_RELAXED_LOCAL = "TlsThreadPointer (local-dynamic)", Expr::KeepAlive, Field::None, ANY, rewriting(tls::LOCAL, 0);
    /// Nothing, and `add x0, x0, #pair; bl __tls_get_addr` becomes two `nop`.
    TLS_RELAXED_LOCAL_CALL = "TlsThreadPointer (local-dynamic call)", Expr::KeepAlive, Field::None, ANY, rewriting(tls::LOCAL_CALL, 0);
    /// Nothing, and `adr x0, pair; bl __tls_get_addr` becomes `mrs x0, tpidr_el0; nop`.
    TLS_RELAXED_LOCAL_TINY = "TlsThreadPointer (local-dynamic, tiny)", Expr::KeepAlive, Field::None, ANY, rewriting(tls::LOCAL_TINY, 0);
    /// `S + A`, bits 0 to 15, and `ldr xt, [x0, #descriptor]` or `adr x0, descriptor` becomes `movk x0, #distance`.
    TLS_RELAXED_DESCRIPTOR_LOAD = "TlsDistance0 (descriptor)", Expr::Absolute, bits(&MOVW[0]), ANY, rewriting(tls::DESCRIPTOR_TO_MOVK, 0);
    /// `S + A`, `0 ..= 2^32 - 1`, bits 16 to 31, and `ldr xt, descriptor` or `movz x0, ...` becomes `movz x0, #distance, lsl #16`.
    TLS_RELAXED_DESCRIPTOR_LITERAL = "TlsDistance16 (descriptor)", Expr::Absolute, bits(&MOVW[1]), unsigned(32), rewriting(tls::DESCRIPTOR_TO_MOVZ, 0);
    /// Nothing, and what is left of a descriptor sequence becomes `nop`: `x0` holds what its function would return.
    TLS_RELAXED_DESCRIPTOR_REST = "TlsDescriptor (none)", Expr::KeepAlive, Field::None, ANY, rewriting(tls::DESCRIPTOR_TO_NOP, 0);
}
