//! ELF on loongarch64: relocation types of *ELF for the LoongArch Architecture* ("psABI"), chapter "Relocations".
//!
//! Code of the small and medium models, whose assembler was not told that a linker would shorten it. `GOT_PC_LO12` has the lower bits of whatever the
//! `pcalau12i` before it has the upper ones of: a slot, or the pair of slots of a thread-local variable.

use super::Elf;
use super::together::{Entry, Here, Settled, Together, Unsettled};
use crate::arch::loongarch64::kind;
use crate::graph::EdgeKind;
use object::elf::{self, RelocationType};
use std::collections::HashSet;

/// ELF on loongarch64.
pub(super) static TABLE: Elf = Elf {
    e_machine: elf::EM_LOONGARCH.0,
    lookup,
    refuse,
    is_mapping: |_| false,
    together: Some(&Together { padding: |_, _| Ok(None), fill: |_| (), settle }),
    addends_in_place: false,
};

// Types that only linked files have, and those of code that a linker is expected to shorten.
elf_refused! {
    "ELF loongarch64, small and medium code models";
    R_LARCH_RELATIVE: "it adds a load address to a linked one",
    R_LARCH_COPY: "it copies a shared library's variable into the program",
    R_LARCH_JUMP_SLOT: "it fills a slot of a linked PLT",
    R_LARCH_TLS_DTPMOD64: "it fills a slot of a linked GOT with a module's number",
    R_LARCH_TLS_DTPREL64: "it fills a slot of a linked GOT with an offset",
    R_LARCH_TLS_TPREL64: "it fills a slot of a linked GOT with a distance",
    R_LARCH_IRELATIVE: "it calls the resolver of a linked indirect function",
    R_LARCH_ALIGN: "it is for linkers that shorten code: compile with -mno-relax",
}

elf_rows! {
    up to R_LARCH_TLS_LE_LO12_R;
    R_LARCH_NONE => EdgeKind::KEEP_ALIVE,
    R_LARCH_32 => kind::WORD32,
    R_LARCH_64 => EdgeKind::POINTER64,
    R_LARCH_32_PCREL => EdgeKind::DELTA32,
    R_LARCH_64_PCREL => EdgeKind::DELTA64,
    R_LARCH_ADD6 => kind::ADD6,
    R_LARCH_ADD8 => kind::ADD8,
    R_LARCH_ADD16 => kind::ADD16,
    R_LARCH_ADD32 => kind::ADD32,
    R_LARCH_ADD64 => kind::ADD64,
    R_LARCH_SUB6 => kind::SUB6,
    R_LARCH_SUB8 => kind::SUB8,
    R_LARCH_SUB16 => kind::SUB16,
    R_LARCH_SUB32 => kind::SUB32,
    R_LARCH_SUB64 => kind::SUB64,
    R_LARCH_B16 => kind::BRANCH16,
    R_LARCH_B21 => kind::BRANCH21,
    R_LARCH_B26 => kind::BRANCH26,
    R_LARCH_CALL36 => kind::CALL36,
    R_LARCH_ABS_HI20 => kind::ABS_HI20,
    R_LARCH_ABS_LO12 => kind::LO12,
    R_LARCH_PCALA_HI20 => kind::PAGE_HI20,
    R_LARCH_PCALA_LO12 => kind::LO12,
    R_LARCH_PCREL20_S2 => kind::WORDS20,
    R_LARCH_GOT_PC_HI20 => kind::GOT_PAGE_HI20,
    R_LARCH_GOT_PC_LO12 => kind::GOT_LO12,
    R_LARCH_TLS_LE_HI20 => kind::TLS_HI20,
    R_LARCH_TLS_LE_LO12 => kind::TLS_LO12,
    R_LARCH_TLS_LE_HI20_R => kind::TLS_HI20_ROUNDED,
    R_LARCH_TLS_LE_ADD_R => EdgeKind::KEEP_ALIVE,
    R_LARCH_TLS_LE_LO12_R => kind::TLS_LO12,
    R_LARCH_TLS_IE_PC_HI20 => kind::TLS_SLOT_PAGE,
    R_LARCH_TLS_IE_PC_LO12 => kind::TLS_SLOT_LO12,
    R_LARCH_TLS_GD_PC_HI20 => kind::TLS_PAIR_PAGE,
    R_LARCH_TLS_LD_PC_HI20 => kind::TLS_MODULE_PAGE,
    R_LARCH_TLS_DESC_PC_HI20 => kind::TLS_DESCRIPTOR_PAGE,
    R_LARCH_TLS_DESC_PC_LO12 => kind::TLS_DESCRIPTOR_LO12,
    R_LARCH_TLS_DESC_LD => kind::TLS_DESCRIPTOR_CALL,
    R_LARCH_TLS_DESC_CALL => kind::TLS_DESCRIPTOR_CALL,
}

/// See [`Together::settle`].
fn settle(entries: &[Entry], _: &Here<'_>, settled: &mut Vec<Settled>) -> Result<(), Unsettled> {
    // By symbol: the last one of which this section has the upper bits, if these are of a pair of slots.
    let mut pairs = HashSet::new();
    for entry in entries {
        let r_type = RelocationType(entry.r_type);
        if r_type == elf::R_LARCH_RELAX {
            continue;
        }
        let mut kind = lookup(entry.r_type).ok_or(Unsettled::Unknown(*entry))?.kind;
        match r_type {
            elf::R_LARCH_TLS_GD_PC_HI20 | elf::R_LARCH_TLS_LD_PC_HI20 => {
                pairs.insert(entry.symbol);
            }
            elf::R_LARCH_GOT_PC_HI20 => {
                pairs.remove(&entry.symbol);
            }
            elf::R_LARCH_GOT_PC_LO12 if pairs.contains(&entry.symbol) => kind = kind::TLS_PAIR_LO12,
            _ => {}
        }
        let &Entry { offset, symbol, addend, .. } = entry;
        settled.push(Settled { offset, kind, symbol, addend });
    }
    Ok(())
}
