//! Instructions that may be rewritten: loads of an address from a GOT slot when the address itself can be had, and references to a weak
//! symbol that nobody defines, whose null lies out of reach.
//!
//! `adrp xd, :got:symbol` and the loads that go with it may stand anywhere, so that all of a symbol's are rewritten or none
//! ([`Machine::in_pieces`](crate::arch::Machine::in_pieces)). Each of them is looked at by itself; bytes that are not the expected
//! instruction are left alone, and the slot, which always works, stays.

use super::instruction::{ADD, Instruction, MOVZ, NOP};
use super::kind;
use crate::arch::Reach;
use crate::graph::EdgeKind;

/// `ldr xt, [xn, #slot]` -> `add xt, xn, #symbol`
pub(super) const LOAD_TO_ADD: u8 = 0;
/// `adrp xd, symbol` -> `mov xd, #0`
pub(super) const ADRP_TO_ZERO: u8 = 1;
/// `adr xd, symbol` -> `movz xd, #symbol`
pub(super) const ADR_TO_MOVZ: u8 = 2;
/// A branch -> `nop`
pub(super) const BRANCH_TO_NOP: u8 = 3;

/// See [`crate::arch::Machine::relax`].
pub(super) fn relax(from: EdgeKind, content: &[u8], offset: u32, addend: i64, reach: Reach) -> Option<EdgeKind> {
    let instruction = Instruction::at(content, offset as usize)?;
    // What is loaded is the slot itself, not a word beside it.
    if addend != 0 || !reach.is_near() {
        return None;
    }
    match from {
        kind::SLOT_PAGE21 if instruction.is_adrp() => Some(kind::PAGE21),
        kind::SLOT_LO12_NC if instruction.is_load() => Some(kind::RELAXED_ADD),
        _ => None,
    }
}

/// See [`crate::arch::Machine::null`].
///
/// What follows `adrp` adds the low twelve bits of the addend, so that the page is 0 for small ones. A literal at null is read by code
/// that stands behind a check of the address and does not run.
pub(super) fn null(from: EdgeKind, content: &[u8], offset: u32, addend: i64) -> Option<EdgeKind> {
    let instruction = Instruction::at(content, offset as usize)?;
    match from {
        kind::PAGE21 if instruction.is_adrp() && (0..0x1000).contains(&addend) => Some(kind::NULL_PAGE),
        kind::ADR21 if instruction.is_adr() && (0..0x1_0000).contains(&addend) => Some(kind::NULL_ADR),
        kind::DELTA19 => Some(kind::NULL_DELTA19),
        _ => None,
    }
}

/// See [`crate::arch::Branches::null`].
pub(super) fn null_branch(from: EdgeKind) -> Option<EdgeKind> {
    matches!(from, kind::BRANCH14 | kind::BRANCH19 | kind::BRANCH26).then_some(kind::NULL_BRANCH)
}

/// See [`crate::arch::Machine::rewrite`].
pub(super) fn rewrite(number: u8, content: &mut [u8], offset: usize) -> bool {
    let Some(old) = Instruction::at(content, offset) else { return false };
    let new = match number {
        LOAD_TO_ADD if old.is_load() => ADD | old.rn() << 5 | old.rd(),
        ADRP_TO_ZERO if old.is_adrp() => MOVZ | old.rd(),
        ADR_TO_MOVZ if old.is_adr() => MOVZ | old.rd(),
        BRANCH_TO_NOP if old.is_branch() => NOP,
        _ => return false,
    };
    Instruction(new).put(content, offset)
}
