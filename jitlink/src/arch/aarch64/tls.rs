//! Thread-local storage: the instruction sequences of the access models, and the shorter ones that an address at a constant distance
//! from the thread pointer allows (AAELF64 5.7.10 and *ELF Handling For Thread-Local Storage*; the instructions are those that GNU ld
//! and lld write).
//!
//! The thread pointer is `tpidr_el0`; static thread-local storage lies above it (variant I). Calls of the function that finds addresses
//! are matched with all that belongs to them. The pieces of initial-exec and descriptor accesses may stand anywhere: all of a variable's
//! are rewritten or none ([`Machine::in_pieces`](crate::arch::Machine::in_pieces)).

use super::instruction::{ADD, ADD_12, ADD_X0_X1_X0, Instruction, MOVK, MOVZ_16, MRS_THREAD_POINTER as MRS, NOP};
use super::kind;
use crate::arch::Tls;
use crate::graph::EdgeKind;

/// See [`crate::arch::Machine::tls`].
pub(super) const TLS: Tls = Tls {
    get_address: b"__tls_get_addr",
    offset_bias: 0,
    relax: relax_sequence,
    constant: constant_row,
    keep: keep_row,
};

/// The smallest of these numbers.
pub(super) const FIRST: u8 = 0x20;
/// `adrp xd, slot` -> `movz xd, #distance, lsl #16`
pub(super) const ADRP_TO_MOVZ: u8 = FIRST;
/// `ldr xt, [xt, #slot]` -> `movk xt, #distance`
pub(super) const LOAD_TO_MOVK: u8 = FIRST + 1;
/// `add x0, x0, #pair; bl; nop` -> `movk x0, #distance; mrs x1, tpidr_el0; add x0, x1, x0`
pub(super) const GENERAL: u8 = FIRST + 2;
/// `adr x0, pair; bl; nop` -> `mrs x1, tpidr_el0; add x0, x1, #high, lsl #12; add x0, x0, #low`
pub(super) const GENERAL_TINY: u8 = FIRST + 3;
/// `adrp x0, pair` -> `mrs x0, tpidr_el0`
pub(super) const LOCAL: u8 = FIRST + 4;
/// `add x0, x0, #pair; bl` -> `nop; nop`
pub(super) const LOCAL_CALL: u8 = FIRST + 5;
/// `adr x0, pair; bl` -> `mrs x0, tpidr_el0; nop`
pub(super) const LOCAL_TINY: u8 = FIRST + 6;
/// `ldr xt, [x0, #descriptor]`, `adr x0, descriptor` -> `movk x0, #distance`
pub(super) const DESCRIPTOR_TO_MOVK: u8 = FIRST + 7;
/// `ldr xt, descriptor`, `movz x0, ...` -> `movz x0, #distance, lsl #16`
pub(super) const DESCRIPTOR_TO_MOVZ: u8 = FIRST + 8;
/// What is left of a descriptor sequence -> `nop`
pub(super) const DESCRIPTOR_TO_NOP: u8 = FIRST + 9;

/// What a sequence is looked at in.
#[derive(Clone, Copy)]
struct Code<'a> {
    content: &'a [u8],
    offset: usize,
}

impl Code<'_> {
    /// Whether so many bytes further there is an instruction of which `holds` is true.
    fn has(self, bytes: isize, holds: impl Fn(Instruction) -> bool) -> bool {
        let at = self.offset.checked_add_signed(bytes);
        at.and_then(|at| Instruction::at(self.content, at)).is_some_and(holds)
    }

    fn has_call(self, bytes: isize, call: Option<u32>) -> bool {
        let at = self.offset.checked_add_signed(bytes);
        call.is_some() && call.map(|call| call as usize) == at && self.has(bytes, Instruction::is_call)
    }

    fn has_nop(self, bytes: isize) -> bool {
        self.has(bytes, |instruction| instruction.0 == NOP)
    }
}

fn is_adrp_x0(instruction: Instruction) -> bool {
    instruction.is_adrp() && instruction.rd() == 0
}

fn is_adr_x0(instruction: Instruction) -> bool {
    instruction.is_adr() && instruction.rd() == 0
}

fn is_add_x0_x0(instruction: Instruction) -> bool {
    instruction.is_add() && instruction.rd() == 0 && instruction.rn() == 0
}

fn is_load_of_own_address(instruction: Instruction) -> bool {
    instruction.is_load() && instruction.rd() == instruction.rn()
}

fn is_load_from_x0(instruction: Instruction) -> bool {
    instruction.is_load() && instruction.rn() == 0
}

/// See [`Tls::relax`].
fn relax_sequence(from: EdgeKind, content: &[u8], offset: u32, call: Option<u32>) -> Option<EdgeKind> {
    let code = Code { content, offset: offset as usize };
    let (found, to) = match from {
        // adrp x0, pair; add x0, x0, #pair; bl __tls_get_addr; nop
        kind::TLS_PAIR_PAGE21 => (
            code.has(0, is_adrp_x0) && code.has(4, is_add_x0_x0) && code.has_call(8, call) && code.has_nop(12),
            kind::TLS_RELAXED_PAGE,
        ),
        kind::TLS_PAIR_LO12_NC => (
            code.has(-4, is_adrp_x0) && code.has(0, is_add_x0_x0) && code.has_call(4, call) && code.has_nop(8),
            kind::TLS_RELAXED_GENERAL,
        ),
        // adr x0, pair; bl __tls_get_addr; nop
        kind::TLS_PAIR_ADR21 => {
            (code.has(0, is_adr_x0) && code.has_call(4, call) && code.has_nop(8), kind::TLS_RELAXED_GENERAL_TINY)
        }
        // adrp x0, pair; add x0, x0, #pair; bl __tls_get_addr
        kind::TLS_MODULE_PAIR_PAGE21 => {
            (code.has(0, is_adrp_x0) && code.has(4, is_add_x0_x0) && code.has_call(8, call), kind::TLS_RELAXED_LOCAL)
        }
        kind::TLS_MODULE_PAIR_LO12_NC => (
            code.has(-4, is_adrp_x0) && code.has(0, is_add_x0_x0) && code.has_call(4, call),
            kind::TLS_RELAXED_LOCAL_CALL,
        ),
        // adr x0, pair; bl __tls_get_addr
        kind::TLS_MODULE_PAIR_ADR21 => (code.has(0, is_adr_x0) && code.has_call(4, call), kind::TLS_RELAXED_LOCAL_TINY),
        // adrp xd, slot; ldr xd, [xd, #slot]
        kind::TLS_SLOT_PAGE21 => (code.has(0, Instruction::is_adrp), kind::TLS_RELAXED_PAGE),
        kind::TLS_SLOT_LD_LO12 => (code.has(0, is_load_of_own_address), kind::TLS_RELAXED_LOAD),
        // adrp x0, descriptor; ldr x1, [x0, #descriptor]; add x0, x0, #descriptor; blr x1
        kind::TLS_DESCRIPTOR_PAGE21 => (code.has(0, is_adrp_x0), kind::TLS_RELAXED_PAGE),
        kind::TLS_DESCRIPTOR_LD_LO12 => (code.has(0, is_load_from_x0), kind::TLS_RELAXED_DESCRIPTOR_LOAD),
        kind::TLS_DESCRIPTOR_ADD_LO12 => (code.has(0, is_add_x0_x0), kind::TLS_RELAXED_DESCRIPTOR_REST),
        kind::TLS_DESCRIPTOR_CALL => (code.has(0, Instruction::is_call_of_register), kind::TLS_RELAXED_DESCRIPTOR_REST),
        // ldr x1, descriptor; adr x0, descriptor; blr x1
        kind::TLS_DESCRIPTOR19 => (code.has(0, Instruction::is_load_of_literal), kind::TLS_RELAXED_DESCRIPTOR_LITERAL),
        kind::TLS_DESCRIPTOR_ADR21 => (code.has(0, is_adr_x0), kind::TLS_RELAXED_DESCRIPTOR_LOAD),
        // movz x0, #descriptor, lsl #16; movk x0, #descriptor; ldr x1, [table, x0]; add x0, table, x0; blr x1
        kind::TLS_DESCRIPTOR_G1 => {
            (code.has(0, |it| it.is_move_16() && it.rd() == 0), kind::TLS_RELAXED_DESCRIPTOR_LITERAL)
        }
        kind::TLS_DESCRIPTOR_G0_NC => (code.has(0, |it| it.is_movk() && it.rd() == 0), kind::MOVW_G0_NC),
        kind::TLS_DESCRIPTOR_LDR => (code.has(0, Instruction::is_load_of_sum), kind::TLS_RELAXED_DESCRIPTOR_REST),
        kind::TLS_DESCRIPTOR_ADD => {
            (code.has(0, |it| it.is_add_of_registers() && it.rd() == 0), kind::TLS_RELAXED_DESCRIPTOR_REST)
        }
        _ => return None,
    };
    found.then_some(to)
}

/// See [`Tls::constant`].
fn constant_row(from: EdgeKind) -> Option<EdgeKind> {
    Some(match from {
        kind::TLS_THREAD_OFFSET_G2 | kind::TLS_MODULE_OFFSET_G2 => kind::MOVNZ_G2,
        kind::TLS_THREAD_OFFSET_G1 | kind::TLS_MODULE_OFFSET_G1 => kind::MOVNZ_G1,
        kind::TLS_THREAD_OFFSET_G1_NC | kind::TLS_MODULE_OFFSET_G1_NC => kind::MOVW_G1_NC,
        kind::TLS_THREAD_OFFSET_G0 | kind::TLS_MODULE_OFFSET_G0 => kind::MOVNZ_G0,
        kind::TLS_THREAD_OFFSET_G0_NC | kind::TLS_MODULE_OFFSET_G0_NC => kind::MOVW_G0_NC,
        kind::TLS_THREAD_OFFSET_HI12 | kind::TLS_MODULE_OFFSET_HI12 => kind::DISTANCE_HI12,
        kind::TLS_THREAD_OFFSET_LO12 | kind::TLS_MODULE_OFFSET_LO12 => kind::DISTANCE_LO12,
        kind::TLS_THREAD_OFFSET_LO12_NC | kind::TLS_MODULE_OFFSET_LO12_NC => kind::ADD_LO12_NC,
        kind::TLS_THREAD_OFFSET_LDST8 | kind::TLS_MODULE_OFFSET_LDST8 => kind::DISTANCE_LO12,
        kind::TLS_THREAD_OFFSET_LDST8_NC | kind::TLS_MODULE_OFFSET_LDST8_NC => kind::LDST8_LO12_NC,
        kind::TLS_THREAD_OFFSET_LDST16 | kind::TLS_MODULE_OFFSET_LDST16 => kind::DISTANCE_LDST16,
        kind::TLS_THREAD_OFFSET_LDST16_NC | kind::TLS_MODULE_OFFSET_LDST16_NC => kind::LDST16_LO12_NC,
        kind::TLS_THREAD_OFFSET_LDST32 | kind::TLS_MODULE_OFFSET_LDST32 => kind::DISTANCE_LDST32,
        kind::TLS_THREAD_OFFSET_LDST32_NC | kind::TLS_MODULE_OFFSET_LDST32_NC => kind::LDST32_LO12_NC,
        kind::TLS_THREAD_OFFSET_LDST64 | kind::TLS_MODULE_OFFSET_LDST64 => kind::DISTANCE_LDST64,
        kind::TLS_THREAD_OFFSET_LDST64_NC | kind::TLS_MODULE_OFFSET_LDST64_NC => kind::LDST64_LO12_NC,
        kind::TLS_THREAD_OFFSET_LDST128 | kind::TLS_MODULE_OFFSET_LDST128 => kind::DISTANCE_LDST128,
        kind::TLS_THREAD_OFFSET_LDST128_NC | kind::TLS_MODULE_OFFSET_LDST128_NC => kind::LDST128_LO12_NC,
        kind::TLS_MODULE_OFFSET64 | kind::TLS_PLACE64 => EdgeKind::POINTER64,
        kind::TLS_KEY64 => EdgeKind::KEEP_ALIVE,
        _ => return None,
    })
}

/// See [`Tls::keep`].
fn keep_row(from: EdgeKind) -> Option<EdgeKind> {
    Some(match from {
        kind::TLS_PAIR_ADR21 | kind::TLS_MODULE_PAIR_ADR21 | kind::TLS_DESCRIPTOR_ADR21 => kind::TLS_KEPT_ADR21,
        kind::TLS_PAIR_PAGE21 | kind::TLS_MODULE_PAIR_PAGE21 | kind::TLS_SLOT_PAGE21 | kind::TLS_DESCRIPTOR_PAGE21 => {
            kind::TLS_KEPT_PAGE21
        }
        kind::TLS_PAIR_LO12_NC | kind::TLS_MODULE_PAIR_LO12_NC | kind::TLS_DESCRIPTOR_ADD_LO12 => kind::TLS_KEPT_LO12,
        kind::TLS_SLOT_LD_LO12 | kind::TLS_DESCRIPTOR_LD_LO12 => kind::TLS_KEPT_LD_LO12,
        kind::TLS_MODULE_PAIR19 | kind::TLS_SLOT19 | kind::TLS_DESCRIPTOR19 => kind::TLS_KEPT19,
        kind::TLS_PAIR_G1 | kind::TLS_MODULE_PAIR_G1 | kind::TLS_SLOT_G1 | kind::TLS_DESCRIPTOR_G1 => kind::TLS_KEPT_G1,
        kind::TLS_PAIR_G0_NC | kind::TLS_MODULE_PAIR_G0_NC | kind::TLS_SLOT_G0_NC | kind::TLS_DESCRIPTOR_G0_NC => {
            kind::TLS_KEPT_G0_NC
        }
        kind::TLS_DESCRIPTOR_LDR | kind::TLS_DESCRIPTOR_ADD | kind::TLS_DESCRIPTOR_CALL => EdgeKind::KEEP_ALIVE,
        kind::TLS_MODULE_OFFSET_G2 => kind::TLS_KEPT_OFFSET_G2,
        kind::TLS_MODULE_OFFSET_G1 => kind::TLS_KEPT_OFFSET_G1,
        kind::TLS_MODULE_OFFSET_G1_NC => kind::TLS_KEPT_OFFSET_G1_NC,
        kind::TLS_MODULE_OFFSET_G0 => kind::TLS_KEPT_OFFSET_G0,
        kind::TLS_MODULE_OFFSET_G0_NC => kind::TLS_KEPT_OFFSET_G0_NC,
        kind::TLS_MODULE_OFFSET_HI12 => kind::TLS_KEPT_OFFSET_HI12,
        kind::TLS_MODULE_OFFSET_LO12 => kind::TLS_KEPT_OFFSET_LO12,
        kind::TLS_MODULE_OFFSET_LO12_NC => kind::TLS_KEPT_OFFSET_LO12_NC,
        kind::TLS_MODULE_OFFSET_LDST8 => kind::TLS_KEPT_OFFSET_LDST8,
        kind::TLS_MODULE_OFFSET_LDST8_NC => kind::TLS_KEPT_OFFSET_LDST8_NC,
        kind::TLS_MODULE_OFFSET_LDST16 => kind::TLS_KEPT_OFFSET_LDST16,
        kind::TLS_MODULE_OFFSET_LDST16_NC => kind::TLS_KEPT_OFFSET_LDST16_NC,
        kind::TLS_MODULE_OFFSET_LDST32 => kind::TLS_KEPT_OFFSET_LDST32,
        kind::TLS_MODULE_OFFSET_LDST32_NC => kind::TLS_KEPT_OFFSET_LDST32_NC,
        kind::TLS_MODULE_OFFSET_LDST64 => kind::TLS_KEPT_OFFSET_LDST64,
        kind::TLS_MODULE_OFFSET_LDST64_NC => kind::TLS_KEPT_OFFSET_LDST64_NC,
        kind::TLS_MODULE_OFFSET_LDST128 => kind::TLS_KEPT_OFFSET_LDST128,
        kind::TLS_MODULE_OFFSET_LDST128_NC => kind::TLS_KEPT_OFFSET_LDST128_NC,
        kind::TLS_MODULE_OFFSET64 | kind::TLS_PLACE64 => kind::TLS_KEPT_OFFSET64,
        kind::TLS_KEY64 => kind::TLS_KEPT_MODULE64,
        _ => return None,
    })
}

/// See [`crate::arch::Machine::rewrite`].
pub(super) fn rewrite(number: u8, content: &mut [u8], offset: usize) -> bool {
    let code = Code { content, offset };
    let Some(old) = Instruction::at(content, offset) else { return false };
    let call_and_nop = || code.has(4, Instruction::is_call) && code.has_nop(8);
    let new: &[u32] = match number {
        ADRP_TO_MOVZ if old.is_adrp() => &[MOVZ_16 | old.rd()],
        LOAD_TO_MOVK if is_load_of_own_address(old) => &[MOVK | old.rd()],
        GENERAL if is_add_x0_x0(old) && call_and_nop() => &[MOVK, MRS | 1, ADD_X0_X1_X0],
        GENERAL_TINY if is_adr_x0(old) && call_and_nop() => &[MRS | 1, ADD_12 | 1 << 5, ADD],
        LOCAL if is_adrp_x0(old) => &[MRS],
        LOCAL_CALL if is_add_x0_x0(old) && code.has(4, Instruction::is_call) => &[NOP, NOP],
        LOCAL_TINY if is_adr_x0(old) && code.has(4, Instruction::is_call) => &[MRS, NOP],
        DESCRIPTOR_TO_MOVK if is_load_from_x0(old) || is_adr_x0(old) => &[MOVK],
        DESCRIPTOR_TO_MOVZ if old.is_load_of_literal() || old.is_move_16() && old.rd() == 0 => &[MOVZ_16],
        DESCRIPTOR_TO_NOP
            if is_add_x0_x0(old)
                || old.is_call_of_register()
                || old.is_load_of_sum()
                || old.is_add_of_registers() && old.rd() == 0 =>
        {
            &[NOP]
        }
        _ => return false,
    };
    new.iter().zip((offset..).step_by(4)).all(|(new, at)| Instruction(*new).put(content, at))
}
