//! COFF on x86-64: relocation types of the PE/COFF specification, "Type Indicators" for x64 processors.
//!
//! Addends stand in the bytes, in the field of the row. An instruction-relative field counts from the end of its instruction there, and from
//! its own address here: the difference is the row's bias.

use super::{Coff, CoffRow, Refused};
use crate::arch::x86_64::kind;
use crate::graph::EdgeKind;
use object::pe;

/// COFF on x86-64.
pub(super) static TABLE: Coff = Coff {
    machine: pe::IMAGE_FILE_MACHINE_AMD64.0,
    lookup,
    refuse,
    branch,
    unwind: Some(&super::coff_x86_64_unwind::UNWIND),
};

/// Types without a meaning for objects that are linked here.
const REFUSED: &[(pe::RelocationType, &str, &str)] = &[
    (pe::IMAGE_REL_AMD64_TOKEN, "IMAGE_REL_AMD64_TOKEN", "it names metadata of the Common Language Runtime"),
    (
        pe::IMAGE_REL_AMD64_SREL32,
        "IMAGE_REL_AMD64_SREL32",
        "no compiler for x86-64 has emitted it, and its span is not specified",
    ),
    (pe::IMAGE_REL_AMD64_PAIR, "IMAGE_REL_AMD64_PAIR", "it belongs to IMAGE_REL_AMD64_SREL32, which is not supported"),
    (pe::IMAGE_REL_AMD64_SSPAN32, "IMAGE_REL_AMD64_SSPAN32", "linkers write it for other linkers"),
    (pe::IMAGE_REL_AMD64_EHANDLER, "IMAGE_REL_AMD64_EHANDLER", "its meaning is not specified"),
];

macro_rules! rows {
    ($($constant:ident => $kind:expr, $bias:literal;)*) => {{
        let mut rows = [None; TYPES];
        $(rows[pe::$constant.0 as usize] = Some(CoffRow { name: stringify!($constant), kind: $kind, bias: $bias });)*
        rows
    }};
}

/// One more than the largest number that has a row.
const TYPES: usize = pe::IMAGE_REL_AMD64_SECREL7.0 as usize + 1;

static ROWS: [Option<CoffRow>; TYPES] = rows! {
    IMAGE_REL_AMD64_ABSOLUTE => EdgeKind::KEEP_ALIVE, 0;
    IMAGE_REL_AMD64_ADDR64 => EdgeKind::POINTER64, 0;
    IMAGE_REL_AMD64_ADDR32 => EdgeKind::POINTER32, 0;
    IMAGE_REL_AMD64_ADDR32NB => EdgeKind::IMAGE_OFFSET32, 0;
    IMAGE_REL_AMD64_REL32 => EdgeKind::DELTA32, -4;
    IMAGE_REL_AMD64_REL32_1 => EdgeKind::DELTA32, -5;
    IMAGE_REL_AMD64_REL32_2 => EdgeKind::DELTA32, -6;
    IMAGE_REL_AMD64_REL32_3 => EdgeKind::DELTA32, -7;
    IMAGE_REL_AMD64_REL32_4 => EdgeKind::DELTA32, -8;
    IMAGE_REL_AMD64_REL32_5 => EdgeKind::DELTA32, -9;
    IMAGE_REL_AMD64_SECTION => EdgeKind::SECTION_NUMBER16, 0;
    IMAGE_REL_AMD64_SECREL => EdgeKind::SECTION_OFFSET32, 0;
    IMAGE_REL_AMD64_SECREL7 => kind::SECTION_OFFSET7, 0;
};

/// What `typ` means; `None` when it has no place in objects ([`refuse`] says why).
#[inline]
#[must_use]
pub fn lookup(typ: u16) -> Option<&'static CoffRow> {
    ROWS.get(usize::from(typ))?.as_ref()
}

/// The row of a call or jump instead of `kind`, if the bytes before its field at `offset` are those of one: COFF has no types of its own for them.
///
/// No other instruction with a relative field has such a byte there: it is the ModR/M byte of an address (`mod` 00, `rm` 101).
#[inline]
#[must_use]
pub fn branch(kind: EdgeKind, content: &[u8], offset: usize) -> EdgeKind {
    let before = |distance: usize| offset.checked_sub(distance).and_then(|at| content.get(at)).copied();
    match (before(1), before(2)) {
        // call, jmp; jcc
        (Some(0xe8 | 0xe9), _) | (Some(0x80..=0x8f), Some(0x0f)) if kind == EdgeKind::DELTA32 => kind::BRANCH32,
        _ => kind,
    }
}

/// Why [`lookup`] has no row for `typ`.
#[must_use]
pub fn refuse(typ: u16) -> Refused {
    match REFUSED.iter().find(|(number, ..)| number.0 == typ) {
        Some(&(_, name, reason)) => Refused::Unsupported { number: typ.into(), name, reason },
        None => Refused::Unknown { number: typ.into(), table: "COFF x86-64" },
    }
}
