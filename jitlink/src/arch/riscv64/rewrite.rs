//! Instructions that may be rewritten, and references to null that no distance can express.
//!
//! Instructions of four bytes only: an assembler that leaves a field to the linker uses no compressed form, but for branches. Nothing is assumed: bytes that are
//! not the expected instruction are left alone.

use super::kind;
use crate::arch::Reach;
use crate::graph::EdgeKind;

/// `auipc rd` -> `lui rd`
pub(super) const AUIPC_TO_LUI: u8 = 0;
/// `ld rd, (rs1)` -> `addi rd, rs1`
pub(super) const LOAD_TO_ADDI: u8 = 1;
/// `addi a0, a0; call` -> `addi a0, a0; add a0, a0, tp; nop`
pub(super) const CALL_TO_ADD: u8 = 2;
/// `auipc` -> `nop`
pub(super) const AUIPC_TO_NOP: u8 = 3;
/// `ld` -> `nop`
pub(super) const LOAD_TO_NOP: u8 = 4;
/// `addi a0, rs1` -> `lui a0`
pub(super) const ADDI_TO_LUI: u8 = 5;
/// `jalr t0, (rs1)` -> `addi a0, a0`
pub(super) const JALR_TO_ADDI: u8 = 6;
/// `auipc rd` -> `lui rd, 0`
pub(super) const AUIPC_TO_NULL: u8 = 7;
/// No offset in an I-type instruction.
pub(super) const NULL_I: u8 = 8;
/// No offset in an S-type instruction.
pub(super) const NULL_S: u8 = 9;

const NOP: u32 = 0x0000_0013; // addi zero, zero, 0
const C_NOP: u16 = 0x0001;
const LUI: u32 = 0x37;
const ADDI: u32 = 0x13;
const LUI_A0: u32 = 0x0000_0537;
const ADDI_A0_A0: u32 = 0x0005_0513;
const ADD_A0_A0_TP: u32 = 0x0045_0533;

/// The instruction at `offset`.
fn at(content: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*content.get(offset..)?.first_chunk()?))
}

fn is_auipc(instruction: u32) -> bool {
    instruction & 0x7f == 0x17
}

/// Whether it loads a doubleword.
fn is_ld(instruction: u32) -> bool {
    instruction & 0x707f == 0x3003
}

/// `addi a0, rs1`
fn is_addi_to_a0(instruction: u32) -> bool {
    instruction & 0x7fff == 0x0513
}

/// `jalr t0, (rs1)`
fn is_jalr_t0(instruction: u32) -> bool {
    instruction & 0x7fff == 0x02e7
}

/// Whether a load of a doubleword stands at `offset`.
pub(crate) fn is_load(content: &[u8], offset: usize) -> bool {
    at(content, offset).is_some_and(is_ld)
}

/// Whether `auipc a0; addi a0, a0; auipc ra; jalr ra` stand there: the first at `upper`, the others in a row from `lower` on.
pub(super) fn is_address_call(content: &[u8], upper: usize, lower: usize) -> bool {
    let instruction = |number: usize| at(content, lower.checked_add(4 * number)?);
    at(content, upper).is_some_and(|auipc| auipc & 0xfff == 0x517)
        && instruction(0).is_some_and(|addi| addi & 0xf_ffff == ADDI_A0_A0)
        && instruction(1).is_some_and(|auipc| auipc & 0xfff == 0x097)
        && instruction(2).is_some_and(|jalr| jalr & 0xf_ffff == 0x0_80e7)
}

/// Whether the instruction of a descriptor sequence is the one that its relocation says.
pub(super) fn is_of_descriptor(kind: EdgeKind, content: &[u8], offset: u32) -> bool {
    at(content, offset as usize).is_some_and(|instruction| match kind {
        kind::TLS_DESCRIPTOR_HI20 => is_auipc(instruction),
        kind::TLS_DESCRIPTOR_LOAD => is_ld(instruction),
        kind::TLS_DESCRIPTOR_ADD => is_addi_to_a0(instruction),
        kind::TLS_DESCRIPTOR_CALL => is_jalr_t0(instruction),
        _ => false,
    })
}

/// Fills with no-ops: as many of four bytes as there is room for, then one of two. An odd byte is left alone.
pub(crate) fn nops(bytes: &mut [u8]) {
    let mut four = bytes.chunks_exact_mut(4);
    four.by_ref().for_each(|bytes| bytes.copy_from_slice(&NOP.to_le_bytes()));
    if let Some(two) = four.into_remainder().first_chunk_mut() {
        *two = C_NOP.to_le_bytes();
    }
}

/// See [`crate::arch::Machine::relax`]. That the instructions are loads, the reader has seen for all of a pair.
pub(super) fn relax(from: EdgeKind, _: &[u8], _: u32, _: i64, reach: Reach) -> Option<EdgeKind> {
    match from {
        kind::GOT_HI20_RELAXABLE if reach.is_near() => Some(kind::PCREL_HI20),
        kind::GOT_LO12_RELAXABLE if reach.is_near() => Some(kind::RELAXED_LO12),
        _ => None,
    }
}

/// See [`crate::arch::Machine::null`]: `auipc rd; addi rd, rd` becomes `lui rd, 0; addi rd, rd, 0`. Calls go through their stub.
///
/// An addend is left out: code that adds to null stands behind a check of the address and does not run.
pub(super) fn null(from: EdgeKind, content: &[u8], offset: u32, _: i64) -> Option<EdgeKind> {
    let instruction = at(content, offset as usize)?;
    match from {
        kind::PCREL_HI20 if is_auipc(instruction) => Some(kind::NULL_HI20),
        kind::PCREL_LO12_I => Some(kind::NULL_LO12_I),
        kind::PCREL_LO12_S => Some(kind::NULL_LO12_S),
        _ => None,
    }
}

/// See [`crate::arch::Machine::rewrite`].
pub(super) fn rewrite(number: u8, content: &mut [u8], offset: usize) -> bool {
    let Some(from) = at(content, offset) else { return false };
    let to = match number {
        AUIPC_TO_LUI if is_auipc(from) => from & !0x7f | LUI,
        LOAD_TO_ADDI if is_ld(from) => from & !0x707f | ADDI,
        CALL_TO_ADD if from & 0xf_ffff == ADDI_A0_A0 => {
            let Some(call) = content.get_mut(offset + 4..).and_then(|rest| rest.first_chunk_mut::<8>()) else {
                return false;
            };
            *call = (u64::from(NOP) << 32 | u64::from(ADD_A0_A0_TP)).to_le_bytes();
            from
        }
        AUIPC_TO_NOP if is_auipc(from) => NOP,
        LOAD_TO_NOP if is_ld(from) => NOP,
        ADDI_TO_LUI if is_addi_to_a0(from) => LUI_A0,
        JALR_TO_ADDI if is_jalr_t0(from) => ADDI_A0_A0,
        AUIPC_TO_NULL if is_auipc(from) => from & 0xfff & !0x7f | LUI,
        NULL_I => from & 0x000f_ffff,
        NULL_S => from & 0x01ff_f07f,
        _ => return false,
    };
    content[offset..offset + 4].copy_from_slice(&to.to_le_bytes());
    true
}
