//! ELF on i386: relocation types of the psABI, table 4.4, and of *ELF Handling For Thread-Local Storage*. Addends stand in the bytes.

use super::Elf;
use super::together::{Entry, Here, Settled, Together, Unsettled};
use crate::arch::i386::kind;
use crate::graph::EdgeKind;
use object::elf;

/// ELF on i386.
pub(super) static TABLE: Elf = Elf {
    e_machine: elf::EM_386.0,
    lookup,
    refuse,
    is_mapping: |_| false,
    addends_in_place: true,
    together: Some(&Together { padding: |_, _| Ok(None), fill: |_| (), settle }),
};

// Types that only linked files have, and the sequences of another system that no compiler here makes.
elf_refused! {
    "ELF i386";
    R_386_COPY: "it copies a shared library's variable into the program",
    R_386_GLOB_DAT: "it fills a slot of a linked GOT",
    R_386_JMP_SLOT: "it fills a slot of a linked PLT",
    R_386_RELATIVE: "it adds a load address to a linked one",
    R_386_IRELATIVE: "it calls the resolver of a linked indirect function",
    R_386_TLS_TPOFF: "it fills a slot of a linked GOT with a distance",
    R_386_TLS_TPOFF32: "it fills a slot of a linked GOT with a distance",
    R_386_TLS_DTPMOD32: "it fills a slot of a linked GOT with a module's number",
    R_386_TLS_DTPOFF32: "it fills a slot of a linked GOT with an offset",
    R_386_TLS_DESC: "it fills a descriptor of a linked GOT",
}

elf_rows! {
    up to R_386_GOT32X;
    R_386_NONE => EdgeKind::KEEP_ALIVE,
    R_386_32 => kind::POINTER,
    R_386_PC32 => kind::DELTA,
    R_386_GOT32 => kind::SLOT_OFFSET,
    R_386_GOT32X => kind::SLOT_OFFSET,
    R_386_PLT32 => kind::BRANCH,
    R_386_GOTOFF => kind::GOT_OFFSET,
    R_386_GOTPC => kind::GOT_BASE,
    R_386_16 => EdgeKind::POINTER16,
    R_386_PC16 => EdgeKind::DELTA16,
    R_386_8 => EdgeKind::POINTER8,
    R_386_PC8 => EdgeKind::DELTA8,
    R_386_SIZE32 => kind::SIZE,
    R_386_TLS_GD => kind::TLS_PAIR,
    R_386_TLS_LDM => kind::TLS_MODULE_PAIR,
    R_386_TLS_LDO_32 => kind::TLS_MODULE_OFFSET,
    R_386_TLS_GOTIE => kind::TLS_SLOT,
    R_386_TLS_IE => kind::TLS_SLOT_ADDRESS,
    R_386_TLS_LE => kind::TLS_DISTANCE,
    R_386_TLS_GOTDESC => kind::TLS_DESCRIPTOR,
    R_386_TLS_DESC_CALL => kind::TLS_DESCRIPTOR_CALL,
}

/// A slot is named by its offset in the table, to which the instruction adds the table's address, or by its own address where it adds nothing (psABI,
/// `R_386_GOT32`).
fn settle(entries: &[Entry], here: &Here<'_>, settled: &mut Vec<Settled>) -> Result<(), Unsettled> {
    for entry in entries {
        let row = lookup(entry.r_type).ok_or(Unsettled::Unknown(*entry))?;
        let before = usize::try_from(entry.offset).ok().and_then(|offset| here.content.get(..offset));
        // `mod` 0, `r/m` 5: a displacement alone.
        let alone = matches!(before, Some([.., modrm]) if modrm & 0xc7 == 0x05);
        let kind = if row.kind == kind::SLOT_OFFSET && alone { kind::SLOT_ADDRESS } else { row.kind };
        settled.push(Settled { offset: entry.offset, kind, symbol: entry.symbol, addend: entry.addend });
    }
    Ok(())
}
