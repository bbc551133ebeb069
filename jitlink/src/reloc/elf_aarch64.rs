//! ELF on aarch64: relocation types of *ELF for the Arm 64-bit Architecture* ("AAELF64"), section 5.7, for the LP64 data model.

use super::{Elf, Row};
use crate::arch::aarch64::kind;
use crate::graph::EdgeKind;
use object::elf;

/// ELF on aarch64.
pub(super) static TABLE: Elf =
    Elf { e_machine: elf::EM_AARCH64.0, lookup, refuse, is_mapping, together: None, addends_in_place: false };

// Types that only linked files have (AAELF64 5.7.12).
elf_refused! {
    "ELF aarch64";
    R_AARCH64_COPY: "it copies a shared library's variable into the program",
    R_AARCH64_GLOB_DAT: "it fills a slot of a linked GOT",
    R_AARCH64_JUMP_SLOT: "it fills a slot of a linked PLT",
    R_AARCH64_RELATIVE: "it adds a load address to a linked one",
    R_AARCH64_TLS_DTPMOD: "it fills a slot of a linked GOT with the number of a module",
    R_AARCH64_TLS_TPREL: "it fills a slot of a linked GOT with a distance from the thread pointer",
    R_AARCH64_TLSDESC: "it fills a descriptor of a linked GOT",
    R_AARCH64_IRELATIVE: "it calls the resolver of a linked indirect function",
}

macro_rules! rows {
    ($first:ident ..= $last:ident: $($constant:ident => $kind:expr,)*) => {{
        let mut rows = [None; (elf::$last.0 - elf::$first.0) as usize + 1];
        $(rows[(elf::$constant.0 - elf::$first.0) as usize] = Some(Row { name: stringify!($constant), kind: $kind });)*
        rows
    }};
}

/// Static types that are not of thread-local storage (AAELF64 5.7.5 to 5.7.9, 5.7.11).
static ORDINARY: [Option<Row>; 59] = rows! {
    R_AARCH64_ABS64 ..= R_AARCH64_GOTPCREL32:
    R_AARCH64_ABS64 => EdgeKind::POINTER64,
    R_AARCH64_ABS32 => kind::POINTER32_EITHER,
    R_AARCH64_ABS16 => EdgeKind::POINTER16,
    R_AARCH64_PREL64 => EdgeKind::DELTA64,
    R_AARCH64_PREL32 => kind::DELTA32_EITHER,
    R_AARCH64_PREL16 => kind::DELTA16_EITHER,
    R_AARCH64_MOVW_UABS_G0 => kind::MOVW_G0,
    R_AARCH64_MOVW_UABS_G0_NC => kind::MOVW_G0_NC,
    R_AARCH64_MOVW_UABS_G1 => kind::MOVW_G1,
    R_AARCH64_MOVW_UABS_G1_NC => kind::MOVW_G1_NC,
    R_AARCH64_MOVW_UABS_G2 => kind::MOVW_G2,
    R_AARCH64_MOVW_UABS_G2_NC => kind::MOVW_G2_NC,
    R_AARCH64_MOVW_UABS_G3 => kind::MOVW_G3,
    R_AARCH64_MOVW_SABS_G0 => kind::MOVNZ_G0,
    R_AARCH64_MOVW_SABS_G1 => kind::MOVNZ_G1,
    R_AARCH64_MOVW_SABS_G2 => kind::MOVNZ_G2,
    R_AARCH64_LD_PREL_LO19 => kind::DELTA19,
    R_AARCH64_ADR_PREL_LO21 => kind::ADR21,
    R_AARCH64_ADR_PREL_PG_HI21 => kind::PAGE21,
    R_AARCH64_ADR_PREL_PG_HI21_NC => kind::PAGE21_NC,
    R_AARCH64_ADD_ABS_LO12_NC => kind::ADD_LO12_NC,
    R_AARCH64_LDST8_ABS_LO12_NC => kind::LDST8_LO12_NC,
    R_AARCH64_TSTBR14 => kind::BRANCH14,
    R_AARCH64_CONDBR19 => kind::BRANCH19,
    R_AARCH64_JUMP26 => kind::BRANCH26,
    R_AARCH64_CALL26 => kind::BRANCH26,
    R_AARCH64_LDST16_ABS_LO12_NC => kind::LDST16_LO12_NC,
    R_AARCH64_LDST32_ABS_LO12_NC => kind::LDST32_LO12_NC,
    R_AARCH64_LDST64_ABS_LO12_NC => kind::LDST64_LO12_NC,
    R_AARCH64_MOVW_PREL_G0 => kind::MOVNZ_DELTA_G0,
    R_AARCH64_MOVW_PREL_G0_NC => kind::MOVW_DELTA_G0_NC,
    R_AARCH64_MOVW_PREL_G1 => kind::MOVNZ_DELTA_G1,
    R_AARCH64_MOVW_PREL_G1_NC => kind::MOVW_DELTA_G1_NC,
    R_AARCH64_MOVW_PREL_G2 => kind::MOVNZ_DELTA_G2,
    R_AARCH64_MOVW_PREL_G2_NC => kind::MOVW_DELTA_G2_NC,
    R_AARCH64_MOVW_PREL_G3 => kind::MOVNZ_DELTA_G3,
    R_AARCH64_LDST128_ABS_LO12_NC => kind::LDST128_LO12_NC,
    R_AARCH64_MOVW_GOTOFF_G0 => kind::SLOT_OFFSET_G0,
    R_AARCH64_MOVW_GOTOFF_G0_NC => kind::SLOT_OFFSET_G0_NC,
    R_AARCH64_MOVW_GOTOFF_G1 => kind::SLOT_OFFSET_G1,
    R_AARCH64_MOVW_GOTOFF_G1_NC => kind::SLOT_OFFSET_G1_NC,
    R_AARCH64_MOVW_GOTOFF_G2 => kind::SLOT_OFFSET_G2,
    R_AARCH64_MOVW_GOTOFF_G2_NC => kind::SLOT_OFFSET_G2_NC,
    R_AARCH64_MOVW_GOTOFF_G3 => kind::SLOT_OFFSET_G3,
    R_AARCH64_GOTREL64 => kind::GOT_OFFSET64,
    R_AARCH64_GOTREL32 => kind::GOT_OFFSET32,
    R_AARCH64_GOT_LD_PREL19 => kind::SLOT19,
    R_AARCH64_LD64_GOTOFF_LO15 => kind::SLOT_OFFSET_LO15,
    R_AARCH64_ADR_GOT_PAGE => kind::SLOT_PAGE21,
    R_AARCH64_LD64_GOT_LO12_NC => kind::SLOT_LO12_NC,
    R_AARCH64_LD64_GOTPAGE_LO15 => kind::SLOT_IN_PAGE_LO15,
    R_AARCH64_PLT32 => kind::BRANCH32,
    R_AARCH64_GOTPCREL32 => kind::SLOT32,
};

/// Static types of thread-local storage (AAELF64 5.7.10).
static THREAD_LOCAL: [Option<Row>; 62] = rows! {
    R_AARCH64_TLSGD_ADR_PREL21 ..= R_AARCH64_TLSLD_LDST128_DTPREL_LO12_NC:
    R_AARCH64_TLSGD_ADR_PREL21 => kind::TLS_PAIR_ADR21,
    R_AARCH64_TLSGD_ADR_PAGE21 => kind::TLS_PAIR_PAGE21,
    R_AARCH64_TLSGD_ADD_LO12_NC => kind::TLS_PAIR_LO12_NC,
    R_AARCH64_TLSGD_MOVW_G1 => kind::TLS_PAIR_G1,
    R_AARCH64_TLSGD_MOVW_G0_NC => kind::TLS_PAIR_G0_NC,
    R_AARCH64_TLSLD_ADR_PREL21 => kind::TLS_MODULE_PAIR_ADR21,
    R_AARCH64_TLSLD_ADR_PAGE21 => kind::TLS_MODULE_PAIR_PAGE21,
    R_AARCH64_TLSLD_ADD_LO12_NC => kind::TLS_MODULE_PAIR_LO12_NC,
    R_AARCH64_TLSLD_MOVW_G1 => kind::TLS_MODULE_PAIR_G1,
    R_AARCH64_TLSLD_MOVW_G0_NC => kind::TLS_MODULE_PAIR_G0_NC,
    R_AARCH64_TLSLD_LD_PREL19 => kind::TLS_MODULE_PAIR19,
    R_AARCH64_TLSLD_MOVW_DTPREL_G2 => kind::TLS_MODULE_OFFSET_G2,
    R_AARCH64_TLSLD_MOVW_DTPREL_G1 => kind::TLS_MODULE_OFFSET_G1,
    R_AARCH64_TLSLD_MOVW_DTPREL_G1_NC => kind::TLS_MODULE_OFFSET_G1_NC,
    R_AARCH64_TLSLD_MOVW_DTPREL_G0 => kind::TLS_MODULE_OFFSET_G0,
    R_AARCH64_TLSLD_MOVW_DTPREL_G0_NC => kind::TLS_MODULE_OFFSET_G0_NC,
    R_AARCH64_TLSLD_ADD_DTPREL_HI12 => kind::TLS_MODULE_OFFSET_HI12,
    R_AARCH64_TLSLD_ADD_DTPREL_LO12 => kind::TLS_MODULE_OFFSET_LO12,
    R_AARCH64_TLSLD_ADD_DTPREL_LO12_NC => kind::TLS_MODULE_OFFSET_LO12_NC,
    R_AARCH64_TLSLD_LDST8_DTPREL_LO12 => kind::TLS_MODULE_OFFSET_LDST8,
    R_AARCH64_TLSLD_LDST8_DTPREL_LO12_NC => kind::TLS_MODULE_OFFSET_LDST8_NC,
    R_AARCH64_TLSLD_LDST16_DTPREL_LO12 => kind::TLS_MODULE_OFFSET_LDST16,
    R_AARCH64_TLSLD_LDST16_DTPREL_LO12_NC => kind::TLS_MODULE_OFFSET_LDST16_NC,
    R_AARCH64_TLSLD_LDST32_DTPREL_LO12 => kind::TLS_MODULE_OFFSET_LDST32,
    R_AARCH64_TLSLD_LDST32_DTPREL_LO12_NC => kind::TLS_MODULE_OFFSET_LDST32_NC,
    R_AARCH64_TLSLD_LDST64_DTPREL_LO12 => kind::TLS_MODULE_OFFSET_LDST64,
    R_AARCH64_TLSLD_LDST64_DTPREL_LO12_NC => kind::TLS_MODULE_OFFSET_LDST64_NC,
    R_AARCH64_TLSIE_MOVW_GOTTPREL_G1 => kind::TLS_SLOT_G1,
    R_AARCH64_TLSIE_MOVW_GOTTPREL_G0_NC => kind::TLS_SLOT_G0_NC,
    R_AARCH64_TLSIE_ADR_GOTTPREL_PAGE21 => kind::TLS_SLOT_PAGE21,
    R_AARCH64_TLSIE_LD64_GOTTPREL_LO12_NC => kind::TLS_SLOT_LD_LO12,
    R_AARCH64_TLSIE_LD_GOTTPREL_PREL19 => kind::TLS_SLOT19,
    R_AARCH64_TLSLE_MOVW_TPREL_G2 => kind::TLS_THREAD_OFFSET_G2,
    R_AARCH64_TLSLE_MOVW_TPREL_G1 => kind::TLS_THREAD_OFFSET_G1,
    R_AARCH64_TLSLE_MOVW_TPREL_G1_NC => kind::TLS_THREAD_OFFSET_G1_NC,
    R_AARCH64_TLSLE_MOVW_TPREL_G0 => kind::TLS_THREAD_OFFSET_G0,
    R_AARCH64_TLSLE_MOVW_TPREL_G0_NC => kind::TLS_THREAD_OFFSET_G0_NC,
    R_AARCH64_TLSLE_ADD_TPREL_HI12 => kind::TLS_THREAD_OFFSET_HI12,
    R_AARCH64_TLSLE_ADD_TPREL_LO12 => kind::TLS_THREAD_OFFSET_LO12,
    R_AARCH64_TLSLE_ADD_TPREL_LO12_NC => kind::TLS_THREAD_OFFSET_LO12_NC,
    R_AARCH64_TLSLE_LDST8_TPREL_LO12 => kind::TLS_THREAD_OFFSET_LDST8,
    R_AARCH64_TLSLE_LDST8_TPREL_LO12_NC => kind::TLS_THREAD_OFFSET_LDST8_NC,
    R_AARCH64_TLSLE_LDST16_TPREL_LO12 => kind::TLS_THREAD_OFFSET_LDST16,
    R_AARCH64_TLSLE_LDST16_TPREL_LO12_NC => kind::TLS_THREAD_OFFSET_LDST16_NC,
    R_AARCH64_TLSLE_LDST32_TPREL_LO12 => kind::TLS_THREAD_OFFSET_LDST32,
    R_AARCH64_TLSLE_LDST32_TPREL_LO12_NC => kind::TLS_THREAD_OFFSET_LDST32_NC,
    R_AARCH64_TLSLE_LDST64_TPREL_LO12 => kind::TLS_THREAD_OFFSET_LDST64,
    R_AARCH64_TLSLE_LDST64_TPREL_LO12_NC => kind::TLS_THREAD_OFFSET_LDST64_NC,
    R_AARCH64_TLSDESC_LD_PREL19 => kind::TLS_DESCRIPTOR19,
    R_AARCH64_TLSDESC_ADR_PREL21 => kind::TLS_DESCRIPTOR_ADR21,
    R_AARCH64_TLSDESC_ADR_PAGE21 => kind::TLS_DESCRIPTOR_PAGE21,
    R_AARCH64_TLSDESC_LD64_LO12 => kind::TLS_DESCRIPTOR_LD_LO12,
    R_AARCH64_TLSDESC_ADD_LO12 => kind::TLS_DESCRIPTOR_ADD_LO12,
    R_AARCH64_TLSDESC_OFF_G1 => kind::TLS_DESCRIPTOR_G1,
    R_AARCH64_TLSDESC_OFF_G0_NC => kind::TLS_DESCRIPTOR_G0_NC,
    R_AARCH64_TLSDESC_LDR => kind::TLS_DESCRIPTOR_LDR,
    R_AARCH64_TLSDESC_ADD => kind::TLS_DESCRIPTOR_ADD,
    R_AARCH64_TLSDESC_CALL => kind::TLS_DESCRIPTOR_CALL,
    R_AARCH64_TLSLE_LDST128_TPREL_LO12 => kind::TLS_THREAD_OFFSET_LDST128,
    R_AARCH64_TLSLE_LDST128_TPREL_LO12_NC => kind::TLS_THREAD_OFFSET_LDST128_NC,
    R_AARCH64_TLSLD_LDST128_DTPREL_LO12 => kind::TLS_MODULE_OFFSET_LDST128,
    R_AARCH64_TLSLD_LDST128_DTPREL_LO12_NC => kind::TLS_MODULE_OFFSET_LDST128_NC,
};

/// The two numbers of nothing: 256 is what older assemblers write (AAELF64 5.7.4).
static NONE: Row = Row { name: "R_AARCH64_NONE", kind: EdgeKind::KEEP_ALIVE };
const WITHDRAWN_NONE: u32 = 256;

/// An offset in a module's block, as data: debug information has it, and nothing but data can.
static MODULE_OFFSET: Row = Row { name: "R_AARCH64_TLS_DTPREL", kind: kind::TLS_MODULE_OFFSET64 };

/// What `r_type` means in a relocatable object; `None` when it has no place there ([`refuse`] says why).
#[inline]
#[must_use]
pub fn lookup(r_type: u32) -> Option<&'static Row> {
    let of = |rows: &'static [Option<Row>], first: elf::RelocationType| {
        rows.get(r_type.checked_sub(first.0)? as usize)?.as_ref()
    };
    let ordinary = of(&ORDINARY, elf::R_AARCH64_ABS64);
    ordinary.or_else(|| of(&THREAD_LOCAL, elf::R_AARCH64_TLSGD_ADR_PREL21)).or_else(|| rare(r_type))
}

#[cold]
fn rare(r_type: u32) -> Option<&'static Row> {
    match elf::RelocationType(r_type) {
        elf::R_AARCH64_NONE | elf::RelocationType(WITHDRAWN_NONE) => Some(&NONE),
        elf::R_AARCH64_TLS_DTPREL => Some(&MODULE_OFFSET),
        _ => None,
    }
}

/// `$x` begins code, `$d` data; what follows a dot is anybody's.
fn is_mapping(name: &[u8]) -> bool {
    matches!(name, b"$x" | b"$d" | [b'$', b'x' | b'd', b'.', ..])
}
