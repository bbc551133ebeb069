//! i386: fixup rows and stubs, for links at fixed addresses.
//!
//! Source: *System V Application Binary Interface, Intel386 Architecture Processor Supplement* ("psABI"), section 4.4, and *ELF Handling For Thread-Local Storage*.
//! Letters are those of [`Expr`]; all arithmetic is modulo 2^32, so that a distance between any two addresses fits. No instruction is rewritten: slots, which always work,
//! stay. Relocation numbers are in `reloc/`.

use super::{Branches, Expr, Field, LazyStub, Machine, Range, Stub, Tls, TlsModel};
use crate::graph::EdgeKind;

/// i386, also called IA-32 and x86.
pub static MACHINE: Machine = Machine {
    name: "i386",
    pointer_size: 4,
    fixups: &FIXUPS,
    stub: STUB,
    lazy_stub: LAZY_STUB,
    // xor %eax, %eax; ret
    zero: &[0x31, 0xc0, 0xc3],
    filler: 0xcc, // int3
    relax: |_, _, _, _, _| None,
    // Null is in reach of everything.
    null: |_, _, _, _| None,
    rewrite: |_, _, _| false,
    tls: Tls {
        get_address: b"___tls_get_addr",
        offset_bias: 0,
        relax: |_, _, _, _| None,
        constant: |from| (from == kind::TLS_DISTANCE).then_some(kind::POINTER),
        keep,
    },
    reach: 1 << 32,
    branches: Branches::REACH_ALL,
    in_pieces: false,
    operand_addend: -4,
};

/// Jumps to the address in a slot, which is at a fixed address.
const STUB: Stub = Stub {
    code: &[
        0xff, 0x25, 0, 0, 0, 0, // jmp *slot
        0xcc, 0xcc, // int3; int3
    ],
    slot_fixups: &[(2, kind::POINTER, 0)],
    align: 8,
};

/// As [`STUB`]. Its second half pushes the address of the slot, since arguments may be in every register that a function may lose.
const LAZY_STUB: LazyStub = LazyStub {
    code: &[
        0xff, 0x25, 0, 0, 0, 0, // jmp *slot
        0xcc, 0xcc, // int3; int3
        0x68, 0, 0, 0, 0, // push $slot
        0xff, 0x25, 0, 0, 0, 0, // jmp *ask@GOT
    ],
    entry: 8,
    slot_fixups: &[(2, kind::POINTER, 0), (9, kind::POINTER, 0)],
    ask_fixups: &[(15, kind::SLOT_ADDRESS, 0)],
    align: 8,
};

const FOUR: Field = Field::Bytes(4);
/// Distances between addresses of 32 bits, before they are cut to as many.
const DISTANCE: Range = Range::Between(1 - (1 << 32), (1 << 32) - 1);
const WORD: Range = Range::Either(32);

const fn tls(model: TlsModel) -> Expr {
    Expr::Tls(model)
}

rows! {
    /// `S + A`, `-2^31 ..= 2^32 - 1` (`R_386_32`).
    POINTER = "Pointer", Expr::Absolute, FOUR, WORD;
    /// `S + A - P` modulo 2^32 (`R_386_PC32`).
    DELTA = "Delta", Expr::Relative, FOUR, DISTANCE;
    /// `L + A - P` modulo 2^32 (`R_386_PLT32`).
    BRANCH = "Branch", Expr::Branch, FOUR, DISTANCE;
    /// `G + A - GOT` modulo 2^32 (`R_386_GOT32`, `R_386_GOT32X`).
    SLOT_OFFSET = "SlotOffset", Expr::SlotOffset, FOUR, DISTANCE;
    /// `G + A`, `-2^31 ..= 2^32 - 1` (the same in an instruction that adds no register).
    SLOT_ADDRESS = "SlotAddress", Expr::SlotAddress, FOUR, WORD;
    /// `S + A - GOT` modulo 2^32 (`R_386_GOTOFF`).
    GOT_OFFSET = "GotOffset", Expr::GotOffset, FOUR, DISTANCE;
    /// `GOT + A - P` modulo 2^32 (`R_386_GOTPC`).
    GOT_BASE = "GotBase", Expr::GotBase, FOUR, DISTANCE;
    /// `Z + A`, `-2^31 ..= 2^32 - 1` (`R_386_SIZE32`).
    SIZE = "Size", Expr::Size, FOUR, WORD;

    /// The offset in the table of a pair of slots, module and offset (`R_386_TLS_GD`).
    TLS_PAIR = "TlsGeneralDynamic", tls(TlsModel::GeneralDynamic), FOUR, DISTANCE;
    /// The offset in the table of the pair of slots of this module (`R_386_TLS_LDM`).
    TLS_MODULE_PAIR = "TlsLocalDynamic", tls(TlsModel::LocalDynamic), FOUR, DISTANCE;
    /// `A +` the offset in the module's block (`R_386_TLS_LDO_32`).
    TLS_MODULE_OFFSET = "TlsModuleOffset", tls(TlsModel::ModuleOffset), FOUR, WORD;
    /// The offset in the table of a slot with the distance from the thread pointer (`R_386_TLS_GOTIE`).
    TLS_SLOT = "TlsInitialExec", tls(TlsModel::InitialExec), FOUR, DISTANCE;
    /// The address of the same slot (`R_386_TLS_IE`).
    TLS_SLOT_ADDRESS = "TlsInitialExecAddress", tls(TlsModel::InitialExec), FOUR, WORD;
    /// `A +` the distance from the thread pointer (`R_386_TLS_LE`).
    TLS_DISTANCE = "TlsLocalExec", tls(TlsModel::LocalExec), FOUR, WORD;
    /// The offset in the table of a descriptor (`R_386_TLS_GOTDESC`).
    TLS_DESCRIPTOR = "TlsDescriptor", tls(TlsModel::Descriptor), FOUR, DISTANCE;
    /// Marks `call *(%eax)` of a descriptor sequence; nothing is written (`R_386_TLS_DESC_CALL`).
    TLS_DESCRIPTOR_CALL = "TlsDescriptorCall", tls(TlsModel::DescriptorCall), Field::None, Range::Any;

    /// `T + A - GOT` modulo 2^32, T the variable's slots for the model of the access.
    TLS_KEPT_SLOT = "TlsSlotOffset", Expr::TlsSlotOffset, FOUR, DISTANCE;
    /// `T + A`.
    TLS_KEPT_SLOT_ADDRESS = "TlsSlotAddress", Expr::TlsSlotAddress, FOUR, WORD;
    /// `A +` the variable's offset in its module's block.
    TLS_KEPT_MODULE_OFFSET = "TlsOffsetInModule", Expr::TlsModuleOffset, FOUR, WORD;
}

/// See [`Tls::keep`].
fn keep(from: EdgeKind) -> Option<EdgeKind> {
    match from {
        kind::TLS_PAIR | kind::TLS_MODULE_PAIR | kind::TLS_SLOT | kind::TLS_DESCRIPTOR => Some(kind::TLS_KEPT_SLOT),
        kind::TLS_SLOT_ADDRESS => Some(kind::TLS_KEPT_SLOT_ADDRESS),
        kind::TLS_MODULE_OFFSET => Some(kind::TLS_KEPT_MODULE_OFFSET),
        kind::TLS_DESCRIPTOR_CALL => Some(EdgeKind::KEEP_ALIVE),
        _ => None,
    }
}
