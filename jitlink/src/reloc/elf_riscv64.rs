//! ELF on riscv64: relocation types of the *RISC-V ELF Specification* ("psABI"), chapter "Relocations", and what it says of them together.
//!
//! Nothing is shortened here but padding, which has to be (`R_RISCV_ALIGN`): `R_RISCV_RELAX` marks what a linker may shorten, and is passed over.
//! `R_RISCV_TPREL_ADD` marks an instruction for the same end.

mod pairs;

use super::Elf;
use super::together::{Padding, Together};
use crate::arch::riscv64::{kind, nops};
use crate::graph::EdgeKind;
use object::elf;

/// ELF on riscv64.
pub(super) static TABLE: Elf = Elf {
    e_machine: elf::EM_RISCV.0,
    lookup,
    refuse,
    is_mapping,
    addends_in_place: false,
    together: Some(&Together { padding, fill: nops, settle: pairs::settle }),
};

// Types that only linked files have, and types that have no meaning without what only a linker of the whole program can set up.
elf_refused! {
    "ELF riscv64";
    R_RISCV_RELATIVE: "it adds a load address to a linked one",
    R_RISCV_COPY: "it copies a shared library's variable into the program",
    R_RISCV_JUMP_SLOT: "it fills a slot of a linked PLT",
    R_RISCV_TLS_DTPMOD32: "it fills a slot of a linked GOT with a module's number",
    R_RISCV_TLS_DTPMOD64: "it fills a slot of a linked GOT with a module's number",
    R_RISCV_TLS_TPREL32: "it fills a slot of a linked GOT with a distance",
    R_RISCV_TLS_TPREL64: "it fills a slot of a linked GOT with a distance",
    R_RISCV_TLSDESC: "it fills a descriptor of a linked GOT",
    R_RISCV_IRELATIVE: "it calls the resolver of a linked indirect function",
    R_RISCV_RVC_LUI: "linkers make it of R_RISCV_HI20 while they shorten code",
    R_RISCV_GPREL_I: "linkers make it of R_RISCV_LO12_I while they shorten code",
    R_RISCV_GPREL_S: "linkers make it of R_RISCV_LO12_S while they shorten code",
    R_RISCV_TPREL_I: "linkers make it of R_RISCV_TPREL_LO12_I while they shorten code",
    R_RISCV_TPREL_S: "linkers make it of R_RISCV_TPREL_LO12_S while they shorten code",
}

// Those that are settled together have the row that they get in their commonest company.
elf_rows! {
    up to R_RISCV_TLSDESC_CALL;
    R_RISCV_NONE => EdgeKind::KEEP_ALIVE,
    R_RISCV_32 => kind::WORD32,
    R_RISCV_64 => EdgeKind::POINTER64,
    R_RISCV_32_PCREL => EdgeKind::DELTA32,
    R_RISCV_PLT32 => kind::BRANCH_WORD32,
    R_RISCV_GOT32_PCREL => kind::GOT_WORD32,
    R_RISCV_BRANCH => kind::BRANCH,
    R_RISCV_JAL => kind::JAL,
    R_RISCV_CALL => kind::CALL,
    R_RISCV_CALL_PLT => kind::CALL,
    R_RISCV_RVC_BRANCH => kind::RVC_BRANCH,
    R_RISCV_RVC_JUMP => kind::RVC_JUMP,
    R_RISCV_HI20 => kind::HI20,
    R_RISCV_LO12_I => kind::LO12_I,
    R_RISCV_LO12_S => kind::LO12_S,
    R_RISCV_PCREL_HI20 => kind::PCREL_HI20,
    R_RISCV_PCREL_LO12_I => kind::PCREL_LO12_I,
    R_RISCV_PCREL_LO12_S => kind::PCREL_LO12_S,
    R_RISCV_GOT_HI20 => kind::GOT_HI20,
    R_RISCV_ADD8 => kind::ADD8,
    R_RISCV_ADD16 => kind::ADD16,
    R_RISCV_ADD32 => kind::ADD32,
    R_RISCV_ADD64 => kind::ADD64,
    R_RISCV_SUB8 => kind::SUB8,
    R_RISCV_SUB16 => kind::SUB16,
    R_RISCV_SUB32 => kind::SUB32,
    R_RISCV_SUB64 => kind::SUB64,
    R_RISCV_SUB6 => kind::SUB6,
    R_RISCV_SET6 => kind::SET6,
    R_RISCV_SET8 => kind::SET8,
    R_RISCV_SET16 => kind::SET16,
    R_RISCV_SET32 => kind::SET32,
    R_RISCV_SET_ULEB128 => kind::ULEB128,
    R_RISCV_SUB_ULEB128 => kind::ULEB128,
    R_RISCV_ALIGN => EdgeKind::KEEP_ALIVE,
    R_RISCV_RELAX => EdgeKind::KEEP_ALIVE,
    R_RISCV_TPREL_ADD => EdgeKind::KEEP_ALIVE,
    R_RISCV_TPREL_HI20 => kind::TLS_HI20,
    R_RISCV_TPREL_LO12_I => kind::TLS_LO12_I,
    R_RISCV_TPREL_LO12_S => kind::TLS_LO12_S,
    R_RISCV_TLS_GOT_HI20 => kind::TLS_SLOT_HI20,
    R_RISCV_TLS_GD_HI20 => kind::TLS_PAIR_HI20,
    R_RISCV_TLS_DTPREL32 => kind::TLS_MODULE_OFFSET32,
    R_RISCV_TLS_DTPREL64 => kind::TLS_MODULE_OFFSET64,
    R_RISCV_TLSDESC_HI20 => kind::TLS_DESCRIPTOR_HI20,
    R_RISCV_TLSDESC_LOAD_LO12 => kind::TLS_DESCRIPTOR_LOAD,
    R_RISCV_TLSDESC_ADD_LO12 => kind::TLS_DESCRIPTOR_ADD,
    R_RISCV_TLSDESC_CALL => kind::TLS_DESCRIPTOR_CALL,
}

/// `R_RISCV_ALIGN`: its addend is the length of the padding, and the next power of two what it aligns to (psABI, "Linker Relaxation", "Alignment").
fn padding(r_type: u32, addend: i64) -> Result<Option<Padding>, String> {
    if r_type != elf::R_RISCV_ALIGN.0 {
        return Ok(None);
    }
    match u32::try_from(addend) {
        Ok(bytes) if bytes % 2 == 0 => {
            let bytes = u64::from(bytes);
            Ok(Some(Padding { align: (bytes + 1).next_power_of_two(), bytes }))
        }
        _ => Err(format!("R_RISCV_ALIGN: {addend} is no length of padding")),
    }
}

/// `$d`, `$x`, `$xrv64gc` and the like (psABI, "Mapping Symbol").
fn is_mapping(name: &[u8]) -> bool {
    matches!(name, [b'$', b'd' | b'x'] | [b'$', b'd' | b'x', b'.', ..] | [b'$', b'x', b'r', b'v', ..])
}
