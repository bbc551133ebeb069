//! ELF on x86-64: relocation types of the psABI, table 4.9, and of its APX additions.

use super::{Elf, Refused, Row};
use crate::arch::x86_64::kind;
use crate::graph::EdgeKind;
use object::elf;

/// ELF on x86-64.
pub(super) static TABLE: Elf =
    Elf { e_machine: elf::EM_X86_64.0, lookup, refuse, is_mapping: |_| false, together: None, addends_in_place: false };

/// Types that only linked files have.
const DYNAMIC_ONLY: &[(elf::RelocationType, &str, &str)] = &[
    (elf::R_X86_64_COPY, "R_X86_64_COPY", "it copies a shared library's variable into the program"),
    (elf::R_X86_64_GLOB_DAT, "R_X86_64_GLOB_DAT", "it fills a slot of a linked GOT"),
    (elf::R_X86_64_JUMP_SLOT, "R_X86_64_JUMP_SLOT", "it fills a slot of a linked PLT"),
    (elf::R_X86_64_RELATIVE, "R_X86_64_RELATIVE", "it adds a load address to a linked one"),
    (elf::R_X86_64_IRELATIVE, "R_X86_64_IRELATIVE", "it calls the resolver of a linked indirect function"),
    (elf::R_X86_64_RELATIVE64, "R_X86_64_RELATIVE64", "it adds a load address to a linked one"),
];

macro_rules! rows {
    ($($constant:ident => $kind:expr,)*) => {{
        let mut rows = [None; TYPES];
        $(rows[elf::$constant.0 as usize] = Some(Row { name: stringify!($constant), kind: $kind });)*
        rows
    }};
}

/// One more than the largest number.
const TYPES: usize = elf::R_X86_64_CODE_6_GOTPC32_TLSDESC.0 as usize + 1;

static ROWS: [Option<Row>; TYPES] = rows! {
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
};

/// What `r_type` means in a relocatable object; `None` when it has no place there ([`refuse`] says why).
#[inline]
#[must_use]
pub fn lookup(r_type: u32) -> Option<&'static Row> {
    ROWS.get(r_type as usize)?.as_ref()
}

/// The name of `r_type`, for those that have no place in objects too.
#[must_use]
pub fn name(r_type: u32) -> Option<&'static str> {
    let dynamic = || DYNAMIC_ONLY.iter().find(|(number, ..)| number.0 == r_type).map(|(_, name, _)| *name);
    lookup(r_type).map(|row| row.name).or_else(dynamic)
}

/// Why [`lookup`] has no row for `r_type`.
#[must_use]
pub fn refuse(r_type: u32) -> Refused {
    match DYNAMIC_ONLY.iter().find(|(number, ..)| number.0 == r_type) {
        Some(&(_, name, reason)) => Refused::DynamicOnly { number: r_type, name, reason },
        None => Refused::Unknown { number: r_type, table: "ELF x86-64" },
    }
}
