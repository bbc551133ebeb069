//! ELF on x86-64: relocation types of the psABI, table 4.9, and of its APX additions.

use super::Elf;
use crate::arch::x86_64::kind;
use crate::graph::EdgeKind;
use object::elf;

/// ELF on x86-64.
pub(super) static TABLE: Elf =
    Elf { e_machine: elf::EM_X86_64.0, lookup, refuse, is_mapping: |_| false, together: None, addends_in_place: false };

// Types that only linked files have.
elf_refused! {
    "ELF x86-64";
    R_X86_64_COPY: "it copies a shared library's variable into the program",
    R_X86_64_GLOB_DAT: "it fills a slot of a linked GOT",
    R_X86_64_JUMP_SLOT: "it fills a slot of a linked PLT",
    R_X86_64_RELATIVE: "it adds a load address to a linked one",
    R_X86_64_IRELATIVE: "it calls the resolver of a linked indirect function",
    R_X86_64_RELATIVE64: "it adds a load address to a linked one",
}

elf_rows! {
    up to R_X86_64_CODE_6_GOTPC32_TLSDESC;
    R_X86_64_NONE => EdgeKind::KEEP_ALIVE,
    R_X86_64_64 => EdgeKind::POINTER64,
    R_X86_64_32 => EdgeKind::POINTER32,
    R_X86_64_32S => EdgeKind::POINTER32_SIGNED,
    R_X86_64_16 => EdgeKind::POINTER16,
    R_X86_64_8 => EdgeKind::POINTER8,
    R_X86_64_PC64 => EdgeKind::DELTA64,
    R_X86_64_PC32 => EdgeKind::DELTA32,
    R_X86_64_PC16 => EdgeKind::DELTA16,
    R_X86_64_PC8 => EdgeKind::DELTA8,
    R_X86_64_PLT32 => kind::BRANCH32,
    R_X86_64_GOT32 => kind::SLOT_OFFSET32,
    R_X86_64_GOT64 => kind::SLOT_OFFSET64,
    R_X86_64_GOTPLT64 => kind::SLOT_OFFSET64,
    R_X86_64_GOTPCREL => kind::GOT_SLOT32,
    R_X86_64_GOTPCREL64 => kind::GOT_SLOT64,
    R_X86_64_GOTPCRELX => kind::GOT_SLOT32_RELAXABLE,
    R_X86_64_REX_GOTPCRELX => kind::GOT_SLOT32_RELAXABLE_REX,
    R_X86_64_CODE_4_GOTPCRELX => kind::GOT_SLOT32_RELAXABLE_REX2,
    // The rewrites of these two are optional and rarely to be had: the slot stays.
    R_X86_64_CODE_5_GOTPCRELX => kind::GOT_SLOT32,
    R_X86_64_CODE_6_GOTPCRELX => kind::GOT_SLOT32,
    R_X86_64_GOTPC32 => kind::GOT_BASE32,
    R_X86_64_GOTPC64 => kind::GOT_BASE64,
    R_X86_64_GOTOFF64 => kind::GOT_OFFSET64,
    R_X86_64_PLTOFF64 => kind::STUB_OFFSET64,
    R_X86_64_SIZE32 => kind::SIZE32,
    R_X86_64_SIZE64 => kind::SIZE64,
    R_X86_64_TLSGD => kind::TLS_PAIR32,
    R_X86_64_TLSLD => kind::TLS_MODULE_PAIR32,
    R_X86_64_DTPMOD64 => kind::TLS_MODULE64,
    R_X86_64_DTPOFF32 => kind::TLS_MODULE_OFFSET32,
    R_X86_64_DTPOFF64 => kind::TLS_MODULE_OFFSET64,
    R_X86_64_GOTTPOFF => kind::TLS_SLOT32,
    R_X86_64_CODE_4_GOTTPOFF => kind::TLS_SLOT32_CODE4,
    R_X86_64_CODE_5_GOTTPOFF => kind::TLS_SLOT32_CODE5,
    R_X86_64_CODE_6_GOTTPOFF => kind::TLS_SLOT32_CODE6,
    R_X86_64_TPOFF32 => kind::TLS_THREAD_OFFSET32,
    R_X86_64_TPOFF64 => kind::TLS_THREAD_OFFSET64,
    R_X86_64_GOTPC32_TLSDESC => kind::TLS_DESCRIPTOR32,
    R_X86_64_CODE_4_GOTPC32_TLSDESC => kind::TLS_DESCRIPTOR32_CODE4,
    R_X86_64_CODE_5_GOTPC32_TLSDESC => kind::TLS_DESCRIPTOR32_CODE5,
    R_X86_64_CODE_6_GOTPC32_TLSDESC => kind::TLS_DESCRIPTOR32_CODE6,
    R_X86_64_TLSDESC_CALL => kind::TLS_DESCRIPTOR_CALL,
    R_X86_64_TLSDESC => kind::TLS_DESCRIPTOR_PAIR,
}
