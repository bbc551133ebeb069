//! riscv64: fixup rows, stubs, and the instructions that may be rewritten.
//!
//! Source: *RISC-V ELF Specification* ("psABI"), chapter "Relocations" for the expressions, *The RISC-V Instruction Set Manual*, volume I ("ISA"), section "Base
//! Instruction Formats" for the fields. Letters are those of [`Expr`]; all arithmetic is modulo 2^64. Relocation numbers are in `reloc/`.
//!
//! An address takes two instructions: the first adds the upper 20 of 32 bits to the program counter (`auipc`) or loads them (`lui`), the second has the lower
//! 12, whose sign is extended, for which the upper ones make up. Where both count from the first, the second one's edge has the distance to it in
//! its addend: of each pair both rows compute the same value, and refuse the same values.

mod rewrite;
mod tls;

use super::{Bits, Branches, COMMON_FIXUPS, Expr, Field, LazyStub, Machine, Piece, Range, Rewrite, Stub, TlsModel};
use crate::graph::EdgeKind;
pub(crate) use rewrite::{is_load, nops};
pub(crate) use tls::is_call_sequence;

/// riscv64: RV64 with or without compressed instructions, little-endian.
pub static MACHINE: Machine = Machine {
    name: "riscv64",
    pointer_size: 8,
    fixups: &FIXUPS,
    stub: STUB,
    lazy_stub: LAZY_STUB,
    zero: &[
        0x13, 0x05, 0x00, 0x00, // li a0, 0
        0x67, 0x80, 0x00, 0x00, // ret
    ],
    filler: 0, // unimp, of two bytes
    relax: rewrite::relax,
    null: rewrite::null,
    rewrite: rewrite::rewrite,
    tls: tls::TLS,
    reach: 1 << 31,
    // Compilers call with two instructions; what they jump to with one is in the same function.
    branches: Branches::REACH_ALL,
    // The reader sees all of a pair, and lets none be rewritten that has one which cannot be.
    in_pieces: false,
    operand_addend: 0,
};

/// Jumps to the address in a GOT slot; `t3` is what linkers' tables change, too (psABI, "Procedure Linkage Table").
const STUB: Stub = Stub {
    code: &[
        0x17, 0x0e, 0x00, 0x00, // 1: auipc t3, %pcrel_hi(slot)
        0x03, 0x3e, 0x0e, 0x00, // ld t3, %pcrel_lo(1b)(t3)
        0x67, 0x00, 0x0e, 0x00, // jr t3
    ],
    slot_fixups: &[(0, kind::PCREL_HI20, 0), (4, kind::PCREL_LO12_I, 4)],
    align: 16,
};

/// As [`STUB`]. Its second half hands over the address of the slot in `t1`, which a function may lose on its way to be called, like `t3`.
const LAZY_STUB: LazyStub = LazyStub {
    code: &[
        0x17, 0x0e, 0x00, 0x00, // 1: auipc t3, %pcrel_hi(slot)
        0x03, 0x3e, 0x0e, 0x00, // ld t3, %pcrel_lo(1b)(t3)
        0x67, 0x00, 0x0e, 0x00, // jr t3
        0x17, 0x03, 0x00, 0x00, // 2: auipc t1, %pcrel_hi(slot)
        0x13, 0x03, 0x03, 0x00, // addi t1, t1, %pcrel_lo(2b)
        0x17, 0x0e, 0x00, 0x00, // 3: auipc t3, %got_pcrel_hi(ask)
        0x03, 0x3e, 0x0e, 0x00, // ld t3, %pcrel_lo(3b)(t3)
        0x67, 0x00, 0x0e, 0x00, // jr t3
    ],
    entry: 12,
    slot_fixups: &[
        (0, kind::PCREL_HI20, 0),
        (4, kind::PCREL_LO12_I, 4),
        (12, kind::PCREL_HI20, 0),
        (16, kind::PCREL_LO12_I, 4),
    ],
    ask_fixups: &[(20, kind::GOT_HI20, 0), (24, kind::GOT_LO12_I, 4)],
    align: 16,
};

/// Added to a value before its upper bits are taken, so that the lower twelve may be negative.
const HALF: u32 = 0x800;
/// What two instructions reach.
const PAIR: Range = Range::Between(-(1 << 31) - HALF as i64, (1 << 31) - 1 - HALF as i64);

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident: $bytes:literal bytes, multiple of 2^$aligned:literal, $($piece:expr),*;)*) => {
        $(
            $(#[$doc])*
            const $name: Field = Field::Bits(&Bits { bytes: $bytes, aligned: $aligned, pieces: &[$($piece),*] });
        )*
    };
}

const fn piece(from: u8, width: u8, to: u8) -> Piece {
    Piece::new(from, width, to)
}

fields! {
    /// U-type.
    UPPER: 4 bytes, multiple of 2^0, Piece::rounded(12, 20, 12, HALF);
    /// I-type.
    LOWER_I: 4 bytes, multiple of 2^0, piece(0, 12, 20);
    /// S-type.
    LOWER_S: 4 bytes, multiple of 2^0, piece(0, 5, 7), piece(5, 7, 25);
    /// U-type, and I-type behind it.
    BOTH: 8 bytes, multiple of 2^0, Piece::rounded(12, 20, 12, HALF), piece(0, 12, 52);
    /// B-type.
    B: 4 bytes, multiple of 2^1, piece(11, 1, 7), piece(1, 4, 8), piece(5, 6, 25), piece(12, 1, 31);
    /// J-type.
    J: 4 bytes, multiple of 2^1, piece(12, 8, 12), piece(11, 1, 20), piece(1, 10, 21), piece(20, 1, 31);
    /// CB-type: offset[8|4:3] in bits 12 to 10, offset[7:6|2:1|5] in bits 6 to 2.
    CB: 2 bytes, multiple of 2^1, piece(5, 1, 2), piece(1, 2, 3), piece(6, 2, 5), piece(3, 2, 10), piece(8, 1, 12);
    /// CJ-type: offset[11|4|9:8|10|6|7|3:1|5] in bits 12 to 2.
    CJ: 2 bytes, multiple of 2^1, piece(5, 1, 2), piece(1, 3, 3), piece(7, 1, 6), piece(6, 1, 7), piece(10, 1, 8), piece(8, 2, 9),
        piece(4, 1, 11), piece(11, 1, 12);
}

const BYTE: &Bits = &Bits { bytes: 1, aligned: 0, pieces: &[piece(0, 8, 0)] };
const HALFWORD: &Bits = &Bits { bytes: 2, aligned: 0, pieces: &[piece(0, 16, 0)] };
const WORD: &Bits = &Bits { bytes: 4, aligned: 0, pieces: &[piece(0, 32, 0)] };
const DOUBLE: &Bits = &Bits { bytes: 8, aligned: 0, pieces: &[piece(0, 64, 0)] };
/// The operand of `DW_CFA_advance_loc`.
const SIX: &Bits = &Bits { bytes: 1, aligned: 0, pieces: &[piece(0, 6, 0)] };

const fn tls(model: TlsModel) -> Expr {
    Expr::Tls(model)
}

const fn rewriting(number: u8) -> Rewrite {
    Rewrite { number, shift: 0, bias: 0 }
}

rows! {
    /// `S + A`, `-2^31 ..= 2^32 - 1` (`32`).
    WORD32 = "Pointer32Either", Expr::Absolute, Field::Bytes(4), Range::Either(32);
    /// `L + A - P`, `-2^31 ..= 2^31 - 1` (`PLT32`).
    BRANCH_WORD32 = "Branch32", Expr::Branch, Field::Bytes(4), Range::Signed(32);
    /// `G + A - P`, `-2^31 ..= 2^31 - 1` (`GOT32_PCREL`).
    GOT_WORD32 = "GotSlot32", Expr::Slot, Field::Bytes(4), Range::Signed(32);

    /// `L + A - P`, `-2^12 ..= 2^12 - 2`, even (`BRANCH`): a conditional branch.
    BRANCH = "Branch12", Expr::Branch, B, Range::Signed(13);
    /// `L + A - P`, `-2^20 ..= 2^20 - 2`, even (`JAL`).
    JAL = "Branch20", Expr::Branch, J, Range::Signed(21);
    /// `L + A - P`, `-2^31 - 2^11 ..= 2^31 - 2^11 - 1` (`CALL`, `CALL_PLT`): `auipc` and `jalr`.
    CALL = "BranchPair", Expr::Branch, BOTH, PAIR;
    /// `L + A - P`, `-2^8 ..= 2^8 - 2`, even (`RVC_BRANCH`): `c.beqz`, `c.bnez`.
    RVC_BRANCH = "Branch8", Expr::Branch, CB, Range::Signed(9);
    /// `L + A - P`, `-2^11 ..= 2^11 - 2`, even (`RVC_JUMP`): `c.j`.
    RVC_JUMP = "Branch11", Expr::Branch, CJ, Range::Signed(12);

    /// Upper bits of `S + A`, `-2^31 - 2^11 ..= 2^31 - 2^11 - 1` (`HI20`): `lui`.
    HI20 = "PointerUpper20", Expr::Absolute, UPPER, PAIR;
    /// Lower bits of `S + A`, all values (`LO12_I`).
    LO12_I = "PointerLower12", Expr::Absolute, LOWER_I, Range::Any;
    /// As [`LO12_I`], of a store (`LO12_S`).
    LO12_S = "PointerLower12Store", Expr::Absolute, LOWER_S, Range::Any;
    /// Upper bits of `S + A - P`, `-2^31 - 2^11 ..= 2^31 - 2^11 - 1` (`PCREL_HI20`): `auipc`.
    PCREL_HI20 = "DeltaUpper20", Expr::Relative, UPPER, PAIR;
    /// Lower bits of `S + A - P`, `-2^31 - 2^11 ..= 2^31 - 2^11 - 1` (`PCREL_LO12_I`).
    PCREL_LO12_I = "DeltaLower12", Expr::Relative, LOWER_I, PAIR;
    /// As [`PCREL_LO12_I`], of a store (`PCREL_LO12_S`).
    PCREL_LO12_S = "DeltaLower12Store", Expr::Relative, LOWER_S, PAIR;
    /// Upper bits of `G + A - P`, `-2^31 - 2^11 ..= 2^31 - 2^11 - 1` (`GOT_HI20`).
    GOT_HI20 = "GotSlotUpper20", Expr::Slot, UPPER, PAIR;
    /// Lower bits of `G + A - P`, `-2^31 - 2^11 ..= 2^31 - 2^11 - 1` (`PCREL_LO12_I` of a `GOT_HI20`).
    GOT_LO12_I = "GotSlotLower12", Expr::Slot, LOWER_I, PAIR;
    /// As [`GOT_HI20`], where all that belongs to it are loads, which may be rewritten (psABI, "GOT load relaxation").
    GOT_HI20_RELAXABLE = "GotSlotUpper20Relaxable", Expr::Slot, UPPER, PAIR;
    /// As [`GOT_LO12_I`], a load that may be rewritten.
    GOT_LO12_RELAXABLE = "GotSlotLower12Relaxable", Expr::Slot, LOWER_I, PAIR;
    /// As [`PCREL_LO12_I`], and the load becomes `addi`.
    RELAXED_LO12 = "DeltaLower12 (addi)", Expr::Relative, LOWER_I, PAIR, rewriting(rewrite::LOAD_TO_ADDI);

    /// `V + S + A` modulo 2^8, V what is there (`ADD8`).
    ADD8 = "Add8", Expr::Absolute, Field::Added(BYTE), Range::Any;
    /// The same in 16 bits (`ADD16`).
    ADD16 = "Add16", Expr::Absolute, Field::Added(HALFWORD), Range::Any;
    /// The same in 32 bits (`ADD32`).
    ADD32 = "Add32", Expr::Absolute, Field::Added(WORD), Range::Any;
    /// The same in 64 bits (`ADD64`).
    ADD64 = "Add64", Expr::Absolute, Field::Added(DOUBLE), Range::Any;
    /// `V - S - A` modulo 2^6, in the lower bits of a byte (`SUB6`).
    SUB6 = "Subtract6", Expr::Absolute, Field::Subtracted(SIX), Range::Any;
    /// `V - S - A` modulo 2^8 (`SUB8`).
    SUB8 = "Subtract8", Expr::Absolute, Field::Subtracted(BYTE), Range::Any;
    /// The same in 16 bits (`SUB16`).
    SUB16 = "Subtract16", Expr::Absolute, Field::Subtracted(HALFWORD), Range::Any;
    /// The same in 32 bits (`SUB32`).
    SUB32 = "Subtract32", Expr::Absolute, Field::Subtracted(WORD), Range::Any;
    /// The same in 64 bits (`SUB64`).
    SUB64 = "Subtract64", Expr::Absolute, Field::Subtracted(DOUBLE), Range::Any;
    /// `S + A` modulo 2^6, in the lower bits of a byte (`SET6`).
    SET6 = "Set6", Expr::Absolute, Field::Bits(SIX), Range::Any;
    /// `S + A` modulo 2^8 (`SET8`).
    SET8 = "Set8", Expr::Absolute, Field::Bits(BYTE), Range::Any;
    /// `S + A` modulo 2^16 (`SET16`).
    SET16 = "Set16", Expr::Absolute, Field::Bits(HALFWORD), Range::Any;
    /// `S + A` modulo 2^32 (`SET32`).
    SET32 = "Set32", Expr::Absolute, Field::Bits(WORD), Range::Any;
    /// `S + A`, as many bits as the number that is there has (`SET_ULEB128` and its `SUB_ULEB128`, settled).
    ULEB128 = "Leb128", Expr::Absolute, Field::Leb128, Range::Any;

    /// Upper bits of `A +` the distance from the thread pointer (`TPREL_HI20`).
    TLS_HI20 = "TlsLocalExecUpper20", tls(TlsModel::LocalExec), UPPER, PAIR;
    /// Lower bits of `A +` the distance from the thread pointer (`TPREL_LO12_I`).
    TLS_LO12_I = "TlsLocalExecLower12", tls(TlsModel::LocalExec), LOWER_I, Range::Any;
    /// As [`TLS_LO12_I`], of a store (`TPREL_LO12_S`).
    TLS_LO12_S = "TlsLocalExecLower12Store", tls(TlsModel::LocalExec), LOWER_S, Range::Any;
    /// Upper bits of the distance to a slot with the distance from the thread pointer (`TLS_GOT_HI20`).
    TLS_SLOT_HI20 = "TlsInitialExecUpper20", tls(TlsModel::InitialExec), UPPER, PAIR;
    /// Lower bits of the same (`PCREL_LO12_I` of a `TLS_GOT_HI20`).
    TLS_SLOT_LO12 = "TlsInitialExecLower12", tls(TlsModel::InitialExec), LOWER_I, PAIR;
    /// As [`TLS_SLOT_HI20`], where all that belongs to it are loads, which may be rewritten.
    TLS_SLOT_HI20_RELAXABLE = "TlsInitialExecUpper20Relaxable", tls(TlsModel::InitialExec), UPPER, PAIR;
    /// As [`TLS_SLOT_LO12`], a load that may be rewritten.
    TLS_SLOT_LO12_RELAXABLE = "TlsInitialExecLower12Relaxable", tls(TlsModel::InitialExec), LOWER_I, PAIR;
    /// Upper bits of the distance to a pair of slots, module and offset (`TLS_GD_HI20`).
    TLS_PAIR_HI20 = "TlsGeneralDynamicUpper20", tls(TlsModel::GeneralDynamic), UPPER, PAIR;
    /// Lower bits of the same (`PCREL_LO12_I` of a `TLS_GD_HI20`).
    TLS_PAIR_LO12 = "TlsGeneralDynamicLower12", tls(TlsModel::GeneralDynamic), LOWER_I, PAIR;
    /// As [`TLS_PAIR_HI20`], of a whole sequence that may be rewritten.
    TLS_PAIR_HI20_RELAXABLE = "TlsGeneralDynamicUpper20Relaxable", tls(TlsModel::GeneralDynamic), UPPER, PAIR;
    /// As [`TLS_PAIR_LO12`], the call behind it.
    TLS_PAIR_LO12_RELAXABLE = "TlsGeneralDynamicLower12Relaxable", tls(TlsModel::GeneralDynamic), LOWER_I, PAIR;
    /// Upper bits of the distance to a descriptor (`TLSDESC_HI20`).
    TLS_DESCRIPTOR_HI20 = "TlsDescriptorUpper20", tls(TlsModel::Descriptor), UPPER, PAIR;
    /// Lower bits of the same, in the load of its function (`TLSDESC_LOAD_LO12`).
    TLS_DESCRIPTOR_LOAD = "TlsDescriptorLower12Load", tls(TlsModel::Descriptor), LOWER_I, PAIR;
    /// Lower bits of the same, in the addition that makes its address (`TLSDESC_ADD_LO12`).
    TLS_DESCRIPTOR_ADD = "TlsDescriptorLower12Add", tls(TlsModel::Descriptor), LOWER_I, PAIR;
    /// Marks the call of a descriptor sequence; nothing is written (`TLSDESC_CALL`).
    TLS_DESCRIPTOR_CALL = "TlsDescriptorCall", tls(TlsModel::DescriptorCall), Field::None, Range::Any;
    /// `A +` the offset in the module's block less 2^11, `-2^31 ..= 2^31 - 1` (`TLS_DTPREL32`).
    TLS_MODULE_OFFSET32 = "TlsModuleOffset32", tls(TlsModel::ModuleOffset), Field::Bytes(4), Range::Signed(32);
    /// The same, all values (`TLS_DTPREL64`).
    TLS_MODULE_OFFSET64 = "TlsModuleOffset64", tls(TlsModel::ModuleOffset), Field::Bytes(8), Range::Any;

    /// Upper bits of `T + A - P`, T the variable's slots for the model of the access: one that stays as it is.
    TLS_KEPT_HI20 = "TlsSlotUpper20", Expr::TlsSlot, UPPER, PAIR;
    /// Lower bits of the same.
    TLS_KEPT_LO12 = "TlsSlotLower12", Expr::TlsSlot, LOWER_I, PAIR;
    /// `A +` the variable's offset in its module's block less 2^11, `-2^31 ..= 2^31 - 1`.
    TLS_KEPT_MODULE_OFFSET32 = "TlsOffsetInModule32", Expr::TlsModuleOffset, Field::Bytes(4), Range::Signed(32);
    /// The same, all values.
    TLS_KEPT_MODULE_OFFSET64 = "TlsOffsetInModule64", Expr::TlsModuleOffset, Field::Bytes(8), Range::Any;
    /// Upper bits of `S`, the distance from the thread pointer, and `auipc` becomes `lui`.
    TLS_RELAXED_HI20 = "TlsLocalExecUpper20 (lui)", Expr::Symbol, UPPER, PAIR, rewriting(rewrite::AUIPC_TO_LUI);
    /// Lower bits of `S`, the distance from the thread pointer, and the load of a slot becomes `addi`.
    TLS_RELAXED_LOAD = "TlsLocalExecLower12 (addi)", Expr::Symbol, LOWER_I, Range::Any, rewriting(rewrite::LOAD_TO_ADDI);
    /// Lower bits of `S`, the distance from the thread pointer, and the call behind the instruction becomes `add a0, a0, tp; nop`.
    TLS_RELAXED_CALL = "TlsLocalExecLower12 (general-dynamic)", Expr::Symbol, LOWER_I, Range::Any, rewriting(rewrite::CALL_TO_ADD);
    /// Nothing, and `auipc` of a descriptor becomes `nop`.
    TLS_RELAXED_DESCRIPTOR_HI20 = "TlsDescriptorUpper20 (nop)", Expr::KeepAlive, Field::None, Range::Any, rewriting(rewrite::AUIPC_TO_NOP);
    /// Nothing, and the load of a descriptor's function becomes `nop`.
    TLS_RELAXED_DESCRIPTOR_LOAD = "TlsDescriptorLower12Load (nop)", Expr::KeepAlive, Field::None, Range::Any, rewriting(rewrite::LOAD_TO_NOP);
    /// Upper bits of `S`, the distance from the thread pointer, and the addition of a descriptor sequence becomes `lui a0`.
    TLS_RELAXED_DESCRIPTOR_ADD = "TlsLocalExecUpper20 (descriptor)", Expr::Symbol, UPPER, PAIR, rewriting(rewrite::ADDI_TO_LUI);
    /// Lower bits of `S`, the distance from the thread pointer, and the call of a descriptor sequence becomes `addi a0, a0`.
    TLS_RELAXED_DESCRIPTOR_CALL = "TlsLocalExecLower12 (descriptor)", Expr::Symbol, LOWER_I, Range::Any, rewriting(rewrite::JALR_TO_ADDI);

    /// Nothing, and `auipc` becomes `lui` of zero: its target is null.
    NULL_HI20 = "DeltaUpper20 (null)", Expr::KeepAlive, Field::None, Range::Any, rewriting(rewrite::AUIPC_TO_NULL);
    /// Nothing, and the instruction behind it has no offset.
    NULL_LO12_I = "DeltaLower12 (null)", Expr::KeepAlive, Field::None, Range::Any, rewriting(rewrite::NULL_I);
    /// The same, of a store.
    NULL_LO12_S = "DeltaLower12Store (null)", Expr::KeepAlive, Field::None, Range::Any, rewriting(rewrite::NULL_S);
}

const _: () = assert!(COMMON_FIXUPS.len() == EdgeKind::FIRST_OF_MACHINE as usize && FIXUPS.len() <= 256);
