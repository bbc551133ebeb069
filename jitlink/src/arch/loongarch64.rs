//! loongarch64: fixup rows, stubs, thread-local storage. No instruction is rewritten: every slot is read.
//!
//! Source: *ELF for the LoongArch Architecture* ("psABI"), chapter "Relocations", for the expressions, and *LoongArch Reference Manual*, volume 1, chapter
//! "Instruction Formats", for the fields. Letters are those of [`Expr`]; all arithmetic is modulo 2^64. Relocation numbers are in `reloc/`.
//!
//! An address takes two instructions: the first has the upper 20 of 32 bits, of an address (`lu12i.w`) or of the distance of two pages (`pcalau12i`), the second
//! the lower 12. Where the second extends their sign, the first rounds: what it counts in pages is `S + A + 2^11`.

use super::{Bits, Branches, Expr, Field, LazyStub, Machine, Piece, Range, Stub, Tls, TlsModel};
use crate::graph::EdgeKind;

/// loongarch64: LP64, little-endian.
pub static MACHINE: Machine = Machine {
    name: "loongarch64",
    pointer_size: 8,
    fixups: &FIXUPS,
    stub: STUB,
    lazy_stub: LAZY_STUB,
    zero: &[
        0x04, 0x00, 0x15, 0x00, // move a0, zero
        0x20, 0x00, 0x00, 0x4c, // ret
    ],
    filler: 0, // no instruction
    relax: |_, _, _, _, _| None,
    null: |_, _, _, _| None,
    rewrite: |_, _, _| false,
    tls: Tls {
        get_address: b"__tls_get_addr",
        offset_bias: 0,
        relax: |_, _, _, _| None,
        constant: constant_row,
        keep: keep_row,
    },
    reach: 1 << 31,
    branches: Branches::REACH_ALL,
    in_pieces: true,
    operand_addend: 0,
};

/// Jumps to the address in a GOT slot; `t3` is what linkers' tables change, too.
const STUB: Stub = Stub {
    code: &[
        0x0f, 0x00, 0x00, 0x1a, // pcalau12i t3, %pc_hi20(slot)
        0xef, 0x01, 0xc0, 0x28, // ld.d t3, t3, %pc_lo12(slot)
        0xe0, 0x01, 0x00, 0x4c, // jr t3
    ],
    slot_fixups: &[(0, kind::PAGE_HI20, 0), (4, kind::LO12, 0)],
    align: 16,
};

/// As [`STUB`]. Its second half hands over the address of the slot in `t1`, which a function may lose on its way to be called, like `t3`.
const LAZY_STUB: LazyStub = LazyStub {
    code: &[
        0x0f, 0x00, 0x00, 0x1a, // pcalau12i t3, %pc_hi20(slot)
        0xef, 0x01, 0xc0, 0x28, // ld.d t3, t3, %pc_lo12(slot)
        0xe0, 0x01, 0x00, 0x4c, // jr t3
        0x0d, 0x00, 0x00, 0x1a, // pcalau12i t1, %pc_hi20(slot)
        0xad, 0x01, 0xc0, 0x02, // addi.d t1, t1, %pc_lo12(slot)
        0x0f, 0x00, 0x00, 0x1a, // pcalau12i t3, %got_pc_hi20(ask)
        0xef, 0x01, 0xc0, 0x28, // ld.d t3, t3, %got_pc_lo12(ask)
        0xe0, 0x01, 0x00, 0x4c, // jr t3
    ],
    entry: 12,
    slot_fixups: &[(0, kind::PAGE_HI20, 0), (4, kind::LO12, 0), (12, kind::PAGE_HI20, 0), (16, kind::LO12, 0)],
    ask_fixups: &[(20, kind::GOT_PAGE_HI20, 0), (24, kind::GOT_LO12, 0)],
    align: 16,
};

const fn piece(from: u8, width: u8, to: u8) -> Piece {
    Piece::new(from, width, to)
}

/// Added to a value before its upper bits are taken, so that the lower twelve may be negative.
const HALF: u32 = 0x800;

/// 1RI20: `si20` in bits 24 to 5.
const UPPER: Field = Field::Bits(&Bits { bytes: 4, aligned: 0, pieces: &[piece(12, 20, 5)] });
/// 1RI20, rounded.
const UPPER_ROUNDED: Field = Field::Bits(&Bits { bytes: 4, aligned: 0, pieces: &[Piece::rounded(12, 20, 5, HALF)] });
/// 2RI12: `si12` in bits 21 to 10.
const LOWER: Field = Field::Bits(&Bits { bytes: 4, aligned: 0, pieces: &[piece(0, 12, 10)] });
/// 1RI20, in instructions.
const WORDS: Field = Field::Bits(&Bits { bytes: 4, aligned: 2, pieces: &[piece(2, 20, 5)] });
/// 2RI16: `offs[17:2]` in bits 25 to 10.
const B16: Field = Field::Bits(&Bits { bytes: 4, aligned: 2, pieces: &[piece(2, 16, 10)] });
/// 1RI21: besides, `offs[22:18]` in bits 4 to 0.
const B21: Field = Field::Bits(&Bits { bytes: 4, aligned: 2, pieces: &[piece(2, 16, 10), piece(18, 5, 0)] });
/// I26: besides, `offs[27:18]` in bits 9 to 0.
const B26: Field = Field::Bits(&Bits { bytes: 4, aligned: 2, pieces: &[piece(2, 16, 10), piece(18, 10, 0)] });
/// `pcaddu18i` and `jirl`: 20 bits of the sum with 2^17, and 16 bits in instructions.
const CALL: Field =
    Field::Bits(&Bits { bytes: 8, aligned: 2, pieces: &[Piece::rounded(18, 20, 5, 0x2_0000), piece(2, 16, 42)] });
const BYTE: &Bits = &Bits { bytes: 1, aligned: 0, pieces: &[piece(0, 8, 0)] };
const SIX: &Bits = &Bits { bytes: 1, aligned: 0, pieces: &[piece(0, 6, 0)] };
const HALFWORD: &Bits = &Bits { bytes: 2, aligned: 0, pieces: &[piece(0, 16, 0)] };
const WORD: &Bits = &Bits { bytes: 4, aligned: 0, pieces: &[piece(0, 32, 0)] };
const DOUBLE: &Bits = &Bits { bytes: 8, aligned: 0, pieces: &[piece(0, 64, 0)] };

const SIGNED: Range = Range::Signed(32);
const ANY: Range = Range::Any;

const fn tls(model: TlsModel) -> Expr {
    Expr::Tls(model)
}

rows! {
    /// `S + A`, `-2^31 ..= 2^32 - 1` (`32`).
    WORD32 = "Pointer32Either", Expr::Absolute, Field::Bytes(4), Range::Either(32);
    /// `V + S + A` modulo 2^6, V what is there, in the lower bits of a byte (`ADD6`).
    ADD6 = "Add6", Expr::Absolute, Field::Added(SIX), ANY;
    /// The same in 8 bits (`ADD8`).
    ADD8 = "Add8", Expr::Absolute, Field::Added(BYTE), ANY;
    /// The same in 16 bits (`ADD16`).
    ADD16 = "Add16", Expr::Absolute, Field::Added(HALFWORD), ANY;
    /// The same in 32 bits (`ADD32`).
    ADD32 = "Add32", Expr::Absolute, Field::Added(WORD), ANY;
    /// The same in 64 bits (`ADD64`).
    ADD64 = "Add64", Expr::Absolute, Field::Added(DOUBLE), ANY;
    /// `V - S - A` modulo 2^6, in the lower bits of a byte (`SUB6`).
    SUB6 = "Subtract6", Expr::Absolute, Field::Subtracted(SIX), ANY;
    /// The same in 8 bits (`SUB8`).
    SUB8 = "Subtract8", Expr::Absolute, Field::Subtracted(BYTE), ANY;
    /// The same in 16 bits (`SUB16`).
    SUB16 = "Subtract16", Expr::Absolute, Field::Subtracted(HALFWORD), ANY;
    /// The same in 32 bits (`SUB32`).
    SUB32 = "Subtract32", Expr::Absolute, Field::Subtracted(WORD), ANY;
    /// The same in 64 bits (`SUB64`).
    SUB64 = "Subtract64", Expr::Absolute, Field::Subtracted(DOUBLE), ANY;

    /// `L + A - P`, `-2^17 ..= 2^17 - 4`, a multiple of 4 (`B16`): a conditional branch.
    BRANCH16 = "Branch16", Expr::Branch, B16, Range::Signed(18);
    /// `L + A - P`, `-2^22 ..= 2^22 - 4`, a multiple of 4 (`B21`): `beqz`, `bnez`.
    BRANCH21 = "Branch21", Expr::Branch, B21, Range::Signed(23);
    /// `L + A - P`, `-2^27 ..= 2^27 - 4`, a multiple of 4 (`B26`): `b`, `bl`.
    BRANCH26 = "Branch26", Expr::Branch, B26, Range::Signed(28);
    /// `L + A - P`, `-2^37 - 2^17 ..= 2^37 - 2^17 - 4`, a multiple of 4 (`CALL36`): `pcaddu18i` and `jirl`.
    CALL36 = "BranchPair36", Expr::Branch, CALL, Range::Between(-(1 << 37) - 0x2_0000, (1 << 37) - 0x2_0000 - 1);

    /// Upper bits of `S + A`, `-2^31 ..= 2^31 - 1` (`ABS_HI20`): `lu12i.w`.
    ABS_HI20 = "PointerUpper20", Expr::Absolute, UPPER, SIGNED;
    /// Lower bits of `S + A`, all values (`ABS_LO12`, `PCALA_LO12`).
    LO12 = "PointerLower12", Expr::Absolute, LOWER, ANY;
    /// `Page(S + A + 2^11) - Page(P)`, `-2^31 ..= 2^31 - 1` (`PCALA_HI20`): `pcalau12i`.
    PAGE_HI20 = "PageUpper20", Expr::Page, UPPER_ROUNDED, SIGNED;
    /// `S + A - P`, `-2^21 ..= 2^21 - 4`, a multiple of 4 (`PCREL20_S2`): `pcaddi`.
    WORDS20 = "Words20", Expr::Relative, WORDS, Range::Signed(22);
    /// `Page(G + A + 2^11) - Page(P)`, `-2^31 ..= 2^31 - 1` (`GOT_PC_HI20`).
    GOT_PAGE_HI20 = "GotSlotPageUpper20", Expr::SlotPage, UPPER_ROUNDED, SIGNED;
    /// Lower bits of `G + A`, all values (`GOT_PC_LO12`, `GOT_LO12`).
    GOT_LO12 = "GotSlotLower12", Expr::SlotAddress, LOWER, ANY;

    /// Upper bits of `A +` the distance from the thread pointer, `-2^31 ..= 2^31 - 1` (`TLS_LE_HI20`).
    TLS_HI20 = "TlsLocalExecUpper20", tls(TlsModel::LocalExec), UPPER, SIGNED;
    /// Upper bits of the same and 2^11, `-2^31 ..= 2^31 - 1` (`TLS_LE_HI20_R`).
    TLS_HI20_ROUNDED = "TlsLocalExecUpper20 (rounded)", tls(TlsModel::LocalExec), UPPER_ROUNDED, SIGNED;
    /// Lower bits of the same (`TLS_LE_LO12`, `TLS_LE_LO12_R`).
    TLS_LO12 = "TlsLocalExecLower12", tls(TlsModel::LocalExec), LOWER, ANY;
    /// Page of a slot with the distance from the thread pointer (`TLS_IE_PC_HI20`).
    TLS_SLOT_PAGE = "TlsInitialExecPageUpper20", tls(TlsModel::InitialExec), UPPER_ROUNDED, SIGNED;
    /// Lower bits of its address (`TLS_IE_PC_LO12`).
    TLS_SLOT_LO12 = "TlsInitialExecLower12", tls(TlsModel::InitialExec), LOWER, ANY;
    /// Page of a pair of slots, module and offset (`TLS_GD_PC_HI20`).
    TLS_PAIR_PAGE = "TlsGeneralDynamicPageUpper20", tls(TlsModel::GeneralDynamic), UPPER_ROUNDED, SIGNED;
    /// Lower bits of its address (`GOT_PC_LO12` that belongs to a `TLS_GD_PC_HI20`).
    TLS_PAIR_LO12 = "TlsGeneralDynamicLower12", tls(TlsModel::GeneralDynamic), LOWER, ANY;
    /// Page of the pair of slots of a variable, module and offset (`TLS_LD_PC_HI20`): it names the variable, as general-dynamic code does.
    TLS_MODULE_PAGE = "TlsLocalDynamicPageUpper20", tls(TlsModel::GeneralDynamic), UPPER_ROUNDED, SIGNED;
    /// Page of a descriptor (`TLS_DESC_PC_HI20`).
    TLS_DESCRIPTOR_PAGE = "TlsDescriptorPageUpper20", tls(TlsModel::Descriptor), UPPER_ROUNDED, SIGNED;
    /// Lower bits of its address (`TLS_DESC_PC_LO12`).
    TLS_DESCRIPTOR_LO12 = "TlsDescriptorLower12", tls(TlsModel::Descriptor), LOWER, ANY;
    /// Marks load and call of a descriptor sequence; nothing is written (`TLS_DESC_LD`, `TLS_DESC_CALL`).
    TLS_DESCRIPTOR_CALL = "TlsDescriptorCall", tls(TlsModel::DescriptorCall), Field::None, ANY;

    /// Upper bits of `S + A + 2^11`, S the distance from the thread pointer, `-2^31 ..= 2^31 - 1`.
    CONSTANT_HI20_ROUNDED = "PointerUpper20 (rounded)", Expr::Absolute, UPPER_ROUNDED, SIGNED;
    /// `Page(T + A + 2^11) - Page(P)`, T the variable's slots for the model of the access.
    TLS_KEPT_PAGE = "TlsSlotPageUpper20", Expr::TlsSlotPage, UPPER_ROUNDED, SIGNED;
    /// Lower bits of `T + A`.
    TLS_KEPT_LO12 = "TlsSlotLower12", Expr::TlsSlotAddress, LOWER, ANY;
}

/// See [`Tls::constant`].
fn constant_row(from: EdgeKind) -> Option<EdgeKind> {
    match from {
        kind::TLS_HI20 => Some(kind::ABS_HI20),
        kind::TLS_HI20_ROUNDED => Some(kind::CONSTANT_HI20_ROUNDED),
        kind::TLS_LO12 => Some(kind::LO12),
        _ => None,
    }
}

/// See [`Tls::keep`].
fn keep_row(from: EdgeKind) -> Option<EdgeKind> {
    match from {
        kind::TLS_SLOT_PAGE | kind::TLS_PAIR_PAGE | kind::TLS_MODULE_PAGE | kind::TLS_DESCRIPTOR_PAGE => {
            Some(kind::TLS_KEPT_PAGE)
        }
        kind::TLS_SLOT_LO12 | kind::TLS_PAIR_LO12 | kind::TLS_DESCRIPTOR_LO12 => Some(kind::TLS_KEPT_LO12),
        kind::TLS_DESCRIPTOR_CALL => Some(EdgeKind::KEEP_ALIVE),
        _ => None,
    }
}
