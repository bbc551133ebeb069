//! x86-64: fixup rows, stub, and the instructions that may be rewritten.
//!
//! Source: *System V Application Binary Interface, AMD64 Architecture Processor Supplement* ("psABI"), section 4.4 for the
//! expressions and fields, appendix B for the rewrites, and *ELF Handling For Thread-Local Storage* for what its names say.
//! Letters are those of [`Expr`]; all arithmetic is modulo 2^64. Relocation numbers are in `reloc/`.

mod crossing;
mod relax;
mod tls;

use super::{Bits, Branches, Expr, Field, LazyStub, Machine, Piece, Range, Rewrite, Stub, TlsModel};
use crate::graph::EdgeKind;
pub(crate) use crossing::CROSSING;

/// x86-64, also called AMD64 and Intel 64.
pub static MACHINE: Machine = Machine {
    name: "x86_64",
    pointer_size: 8,
    fixups: &FIXUPS,
    stub: STUB,
    lazy_stub: LAZY_STUB,
    // xor %eax, %eax; ret
    zero: &[0x31, 0xc0, 0xc3],
    filler: 0xcc, // int3
    relax: relax::relax,
    null: relax::null,
    rewrite,
    tls: tls::TLS,
    reach: 1 << 31,
    branches: Branches::REACH_ALL,
    in_pieces: false,
    operand_addend: -4,
};

fn rewrite(number: u8, content: &mut [u8], offset: usize) -> bool {
    if number >= tls::GENERAL { tls::rewrite(number, content, offset) } else { relax::rewrite(number, content, offset) }
}

/// Jumps to the address in a GOT slot.
///
/// No `endbr64` at its head: direct calls and jumps reach it, and these need none (Intel SDM volume 1, 18.3.2). It fills
/// eight bytes, so that none straddles a cache line.
const STUB: Stub = Stub {
    code: &[
        0xff, 0x25, 0, 0, 0, 0, // jmp *slot(%rip)
        0xcc, 0xcc, // int3; int3
    ],
    slot_fixups: &[(2, EdgeKind::DELTA32, -4)],
    align: 8,
};

/// As [`STUB`] for everybody who calls, and the address of the function for everybody who takes it: both halves are reached by indirect jumps.
///
/// Nothing but `%r11` is changed, which a function may lose on its way to be called (psABI 3.2.3, figure 3.4).
const LAZY_STUB: LazyStub = LazyStub {
    code: &[
        0xf3, 0x0f, 0x1e, 0xfa, // endbr64
        0xff, 0x25, 0, 0, 0, 0, // jmp *slot(%rip)
        0xcc, 0xcc, // int3; int3
        0xf3, 0x0f, 0x1e, 0xfa, // endbr64
        0x4c, 0x8d, 0x1d, 0, 0, 0, 0, // lea slot(%rip), %r11
        0xff, 0x25, 0, 0, 0, 0, // jmp *ask@GOTPCREL(%rip)
        0xcc, 0xcc, 0xcc, // int3; int3; int3
    ],
    entry: 12,
    slot_fixups: &[(6, EdgeKind::DELTA32, -4), (19, EdgeKind::DELTA32, -4)],
    ask_fixups: &[(25, kind::GOT_SLOT32, -4)],
    align: 16,
};

const FOUR: Field = Field::Bytes(4);
const EIGHT: Field = Field::Bytes(8);
const SEVEN: Bits = Bits { bytes: 1, aligned: 0, pieces: &[Piece::new(0, 7, 0)] };
const SIGNED: Range = Range::Signed(32);

const fn tls(model: TlsModel) -> Expr {
    Expr::Tls(model)
}

const fn rewriting(number: u8, shift: i8, bias: i8) -> Rewrite {
    Rewrite { number, shift, bias }
}

rows! {
    /// `L + A - P`, `-2^31 ..= 2^31 - 1` (4.4.1, `PLT32`).
    BRANCH32 = "Branch32", Expr::Branch, FOUR, SIGNED;
    /// `G + A - P`, `-2^31 ..= 2^31 - 1` (4.4.1, `GOTPCREL`): any instruction or datum.
    GOT_SLOT32 = "GotSlot32", Expr::Slot, FOUR, SIGNED;
    /// As [`GOT_SLOT32`] in an instruction without a REX prefix that may be rewritten (B.2, `GOTPCRELX`).
    GOT_SLOT32_RELAXABLE = "GotSlot32Relaxable", Expr::Slot, FOUR, SIGNED;
    /// As [`GOT_SLOT32`] in an instruction with a REX prefix that may be rewritten (B.2, `REX_GOTPCRELX`).
    GOT_SLOT32_RELAXABLE_REX = "GotSlot32RelaxableRex", Expr::Slot, FOUR, SIGNED;
    /// As [`GOT_SLOT32`] in an instruction with a REX2 prefix (APX) that may be rewritten (B.2, `CODE_4_GOTPCRELX`).
    GOT_SLOT32_RELAXABLE_REX2 = "GotSlot32RelaxableRex2", Expr::Slot, FOUR, SIGNED;
    /// `G + A - P`, all values (4.4.1, `GOTPCREL64`).
    GOT_SLOT64 = "GotSlot64", Expr::Slot, EIGHT, Range::Any;
    /// `G + A - GOT`, `-2^31 ..= 2^31 - 1` (4.4.1, `GOT32`).
    SLOT_OFFSET32 = "SlotOffset32", Expr::SlotOffset, FOUR, SIGNED;
    /// `G + A - GOT`, all values (4.4.1, `GOT64`, `GOTPLT64`).
    SLOT_OFFSET64 = "SlotOffset64", Expr::SlotOffset, EIGHT, Range::Any;
    /// `GOT + A - P`, `-2^31 ..= 2^31 - 1` (4.4.1, `GOTPC32`).
    GOT_BASE32 = "GotBase32", Expr::GotBase, FOUR, SIGNED;
    /// `GOT + A - P`, all values (4.4.1, `GOTPC64`).
    GOT_BASE64 = "GotBase64", Expr::GotBase, EIGHT, Range::Any;
    /// `S + A - GOT`, all values (4.4.1, `GOTOFF64`).
    GOT_OFFSET64 = "GotOffset64", Expr::GotOffset, EIGHT, Range::Any;
    /// `L + A - GOT`, all values (4.4.1, `PLTOFF64`).
    STUB_OFFSET64 = "StubOffset64", Expr::StubOffset, EIGHT, Range::Any;
    /// `Z + A`, `-2^31 ..= 2^32 - 1` (4.4.1, `SIZE32`; the psABI does not say whether it is signed).
    SIZE32 = "Size32", Expr::Size, FOUR, Range::Either(32);
    /// `S + A - R` in the low seven bits of a byte, `0 ..= 127` (PE/COFF, `IMAGE_REL_AMD64_SECREL7`).
    SECTION_OFFSET7 = "SectionOffset7", Expr::SectionOffset, Field::Bits(&SEVEN), Range::Unsigned(7);
    /// `Z + A`, all values (4.4.1, `SIZE64`).
    SIZE64 = "Size64", Expr::Size, EIGHT, Range::Any;

    /// The distance to a pair of slots, module and offset, `-2^31 ..= 2^31 - 1` (4.4.1, `TLSGD`).
    TLS_PAIR32 = "TlsGeneralDynamic32", tls(TlsModel::GeneralDynamic), FOUR, SIGNED;
    /// The distance to the pair of slots of this module, `-2^31 ..= 2^31 - 1` (4.4.1, `TLSLD`).
    TLS_MODULE_PAIR32 = "TlsLocalDynamic32", tls(TlsModel::LocalDynamic), FOUR, SIGNED;
    /// `A +` the offset in the module's block, `-2^31 ..= 2^31 - 1` (4.4.1, `DTPOFF32`).
    TLS_MODULE_OFFSET32 = "TlsModuleOffset32", tls(TlsModel::ModuleOffset), FOUR, SIGNED;
    /// `A +` the offset in the module's block, all values (4.4.1, `DTPOFF64`).
    TLS_MODULE_OFFSET64 = "TlsModuleOffset64", tls(TlsModel::ModuleOffset), EIGHT, Range::Any;
    /// The distance to a slot with the offset from the thread pointer, `-2^31 ..= 2^31 - 1` (4.4.1, `GOTTPOFF`).
    TLS_SLOT32 = "TlsInitialExec32", tls(TlsModel::InitialExec), FOUR, SIGNED;
    /// As [`TLS_SLOT32`], the field four bytes into its instruction (B.2, `CODE_4_GOTTPOFF`).
    TLS_SLOT32_CODE4 = "TlsInitialExec32Code4", tls(TlsModel::InitialExec), FOUR, SIGNED;
    /// As [`TLS_SLOT32`], the field five bytes into its instruction (B.2, `CODE_5_GOTTPOFF`).
    TLS_SLOT32_CODE5 = "TlsInitialExec32Code5", tls(TlsModel::InitialExec), FOUR, SIGNED;
    /// As [`TLS_SLOT32`], the field six bytes into its instruction (B.2, `CODE_6_GOTTPOFF`).
    TLS_SLOT32_CODE6 = "TlsInitialExec32Code6", tls(TlsModel::InitialExec), FOUR, SIGNED;
    /// `A +` the offset from the thread pointer, `-2^31 ..= 2^31 - 1` (4.4.1, `TPOFF32`).
    TLS_THREAD_OFFSET32 = "TlsLocalExec32", tls(TlsModel::LocalExec), FOUR, SIGNED;
    /// `A +` the offset from the thread pointer, all values (4.4.1, `TPOFF64`).
    TLS_THREAD_OFFSET64 = "TlsLocalExec64", tls(TlsModel::LocalExec), EIGHT, Range::Any;
    /// The number of the module, all values (4.4.1, `DTPMOD64`).
    TLS_MODULE64 = "TlsModule64", tls(TlsModel::Module), EIGHT, Range::Any;
    /// The distance to a descriptor, `-2^31 ..= 2^31 - 1` (4.4.1, `GOTPC32_TLSDESC`).
    TLS_DESCRIPTOR32 = "TlsDescriptor32", tls(TlsModel::Descriptor), FOUR, SIGNED;
    /// As [`TLS_DESCRIPTOR32`], the field four bytes into its instruction (B.2, `CODE_4_GOTPC32_TLSDESC`).
    TLS_DESCRIPTOR32_CODE4 = "TlsDescriptor32Code4", tls(TlsModel::Descriptor), FOUR, SIGNED;
    /// As [`TLS_DESCRIPTOR32`], the field five bytes into its instruction (B.2, `CODE_5_GOTPC32_TLSDESC`).
    TLS_DESCRIPTOR32_CODE5 = "TlsDescriptor32Code5", tls(TlsModel::Descriptor), FOUR, SIGNED;
    /// As [`TLS_DESCRIPTOR32`], the field six bytes into its instruction (B.2, `CODE_6_GOTPC32_TLSDESC`).
    TLS_DESCRIPTOR32_CODE6 = "TlsDescriptor32Code6", tls(TlsModel::Descriptor), FOUR, SIGNED;
    /// Marks `call *(%rax)` of a descriptor sequence; nothing is written (4.4.1, `TLSDESC_CALL`).
    TLS_DESCRIPTOR_CALL = "TlsDescriptorCall", tls(TlsModel::DescriptorCall), Field::None, Range::Any;
    /// A descriptor: function and argument, two words, all values (4.4.1, `TLSDESC`).
    TLS_DESCRIPTOR_PAIR = "TlsDescriptorPair", tls(TlsModel::DescriptorPair), EIGHT, Range::Any;
    /// The second word of a variable's own descriptor, all values ([`TlsModel::VariableKey`]).
    TLS_KEY64 = "TlsVariableKey64", tls(TlsModel::VariableKey), EIGHT, Range::Any;
    /// The third word of it, all values ([`TlsModel::VariablePlace`]).
    TLS_PLACE64 = "TlsVariablePlace64", tls(TlsModel::VariablePlace), EIGHT, Range::Any;

    /// `S + A - P`, `-2^31 ..= 2^31 - 1`, and `mov slot(%rip), reg` becomes `lea symbol(%rip), reg` (B.2).
    RELAXED_LEA = "Delta32 (lea)", Expr::Relative, FOUR, SIGNED, rewriting(relax::LEA, 0, 0);
    /// `S + A - P`, `-2^31 ..= 2^31 - 1`, and `call *slot(%rip)` becomes `addr32 call symbol` (B.2).
    RELAXED_CALL = "Branch32 (call)", Expr::Relative, FOUR, SIGNED, rewriting(relax::CALL, 0, 0);
    /// `S + A - P + 1`, `-2^31 ..= 2^31 - 1`, and `jmp *slot(%rip)` becomes `jmp symbol; nop` with its field a byte earlier (B.2).
    RELAXED_JMP = "Branch32 (jmp)", Expr::Relative, FOUR, SIGNED, rewriting(relax::JMP, -1, 1);
    /// `S + A + 4`, `-2^31 ..= 2^31 - 1`, and the memory operand becomes a 32-bit immediate; no prefix (B.2).
    ///
    /// `A` is -4, the distance from the field to the end of the instruction: what is written is `S`.
    RELAXED_IMMEDIATE = "Pointer32Signed (immediate)", Expr::Absolute, FOUR, SIGNED, rewriting(relax::IMMEDIATE, 0, 4);
    /// As [`RELAXED_IMMEDIATE`], with a REX prefix.
    RELAXED_IMMEDIATE_REX = "Pointer32Signed (immediate, REX)", Expr::Absolute, FOUR, SIGNED, rewriting(relax::IMMEDIATE_REX, 0, 4);
    /// As [`RELAXED_IMMEDIATE`], with a REX2 prefix.
    RELAXED_IMMEDIATE_REX2 = "Pointer32Signed (immediate, REX2)", Expr::Absolute, FOUR, SIGNED, rewriting(relax::IMMEDIATE_REX2, 0, 4);
    /// `S + A - P` modulo 2^32, all values: a reference to null in code that is not run, or a `lea` that keeps 32 bits only.
    NULL_DELTA32 = "Delta32 (null)", Expr::Relative, FOUR, Range::Any;
    /// `G + A - P`, `-2^31 ..= 2^31 - 1`, and `lea symbol(%rip), reg` becomes `mov slot(%rip), reg`: the slot holds null.
    NULL_LOAD = "GotSlot32 (null lea)", Expr::Slot, FOUR, SIGNED, rewriting(relax::NULL_LOAD, 0, 0);
    /// Nothing, and `call symbol` becomes `xor %eax, %eax; call *%rax; nop`.
    NULL_CALL = "Branch32 (null call)", Expr::KeepAlive, Field::None, Range::Any, rewriting(relax::NULL_CALL, 0, 0);
    /// Nothing, and `jmp symbol` becomes `xor %eax, %eax; jmp *%rax; nop`.
    NULL_JMP = "Branch32 (null jmp)", Expr::KeepAlive, Field::None, Range::Any, rewriting(relax::NULL_JMP, 0, 0);

    /// `T + A - P`, T the variable's slots for the model of the access, `-2^31 ..= 2^31 - 1`: a thread-local access that stays as it is.
    TLS_KEPT_SLOT32 = "TlsSlot32", Expr::TlsSlot, FOUR, SIGNED;
    /// `A +` the variable's offset in its module's block, `-2^31 ..= 2^31 - 1`.
    TLS_KEPT_MODULE_OFFSET32 = "TlsOffsetInModule32", Expr::TlsModuleOffset, FOUR, SIGNED;
    /// `A +` the variable's offset in its module's block, all values.
    TLS_KEPT_MODULE_OFFSET64 = "TlsOffsetInModule64", Expr::TlsModuleOffset, EIGHT, Range::Any;
    /// The number of the variable's module, all values.
    TLS_KEPT_MODULE64 = "TlsModuleNumber64", Expr::TlsModule, EIGHT, Range::Any;
    /// `S + A + 4`, S the distance from the thread pointer, `-2^31 ..= 2^31 - 1`; the sequence reads `%fs:0` itself (B.2, "GD to LE").
    TLS_RELAXED_GENERAL = "TlsLocalExec32 (general-dynamic)", Expr::Absolute, FOUR, SIGNED, rewriting(tls::GENERAL, 8, 4);
    /// As [`TLS_RELAXED_GENERAL`], in the large model.
    TLS_RELAXED_GENERAL_LARGE = "TlsLocalExec32 (general-dynamic, large)", Expr::Absolute, FOUR, SIGNED, rewriting(tls::GENERAL_LARGE, 9, 4);
    /// Nothing; the sequence loads the thread pointer, from which offsets are counted then (B.2, "LD to LE").
    TLS_RELAXED_LOCAL = "TlsThreadPointer (local-dynamic)", Expr::KeepAlive, Field::None, Range::Any, rewriting(tls::LOCAL, 0, 0);
    /// `S + A + 4`, S the distance from the thread pointer, `-2^31 ..= 2^31 - 1`, as an immediate: of a load or an addition of a slot
    /// (B.2, "IE to LE"), or of the `lea` of a descriptor (B.2, "GDesc to LE").
    TLS_RELAXED_LOAD = "TlsLocalExec32 (immediate)", Expr::Absolute, FOUR, SIGNED, rewriting(relax::IMMEDIATE_REX, 0, 4);
    /// As [`TLS_RELAXED_LOAD`], with a REX2 prefix.
    TLS_RELAXED_LOAD_REX2 = "TlsLocalExec32 (immediate, REX2)", Expr::Absolute, FOUR, SIGNED, rewriting(relax::IMMEDIATE_REX2, 0, 4);
    /// Nothing, and `call *(%rax)` becomes `xchg %ax, %ax`: the register holds what the descriptor's function would return.
    TLS_RELAXED_DESCRIPTOR_CALL = "TlsDescriptorCall (none)", Expr::KeepAlive, Field::None, Range::Any, rewriting(tls::DESCRIPTOR_CALL, 0, 0);
}
