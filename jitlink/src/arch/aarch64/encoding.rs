//! Which bits of a value an instruction holds, and where (*Arm Architecture Reference Manual*, C4.1).

use crate::arch::{Bits, Piece};

/// The immediate of an instruction, whose low `aligned` bits are not stored.
const fn immediate(aligned: u8, pieces: &'static [Piece]) -> Bits {
    Bits { bytes: 4, aligned, pieces }
}

/// `adr`: `immlo`, `immhi`.
pub(super) static ADR: Bits = immediate(0, &[Piece::new(0, 2, 29), Piece::new(2, 19, 5)]);
/// `adrp`: the same of a number of pages.
pub(super) static ADRP: Bits = immediate(12, &[Piece::new(12, 2, 29), Piece::new(14, 19, 5)]);
/// `b`, `bl`: `imm26`.
pub(super) static IMM26: Bits = immediate(2, &[Piece::new(2, 26, 0)]);
/// `b.cond`, `cbz`, `cbnz`, `ldr` of a literal: `imm19`.
pub(super) static IMM19: Bits = immediate(2, &[Piece::new(2, 19, 5)]);
/// `tbz`, `tbnz`: `imm14`.
pub(super) static IMM14: Bits = immediate(2, &[Piece::new(2, 14, 5)]);
/// `add`, `ldrb`, `strb`: `imm12` with the low twelve bits.
pub(super) static IMM12: Bits = immediate(0, &[Piece::new(0, 12, 10)]);
/// `add ..., lsl #12`: `imm12` with the twelve bits above.
pub(super) static IMM12_HIGH: Bits = immediate(0, &[Piece::new(12, 12, 10)]);
/// `ldrh`, `strh`: `imm12`, in units of two bytes; what is left of the low twelve bits.
pub(super) static IMM12_16: Bits = immediate(1, &[Piece::new(1, 11, 10)]);
/// Loads and stores of 32 bits: `imm12`, in units of four bytes.
pub(super) static IMM12_32: Bits = immediate(2, &[Piece::new(2, 10, 10)]);
/// Loads and stores of 64 bits: `imm12`, in units of eight bytes.
pub(super) static IMM12_64: Bits = immediate(3, &[Piece::new(3, 9, 10)]);
/// Loads and stores of 128 bits: `imm12`, in units of sixteen bytes.
pub(super) static IMM12_128: Bits = immediate(4, &[Piece::new(4, 8, 10)]);
/// Loads of 64 bits from a table of 32 KiB: `imm12`, in units of eight bytes.
pub(super) static IMM15_64: Bits = immediate(3, &[Piece::new(3, 12, 10)]);
/// `movz`, `movk` by the group of sixteen bits: `imm16`.
pub(super) static MOVW: [Bits; 4] = [
    immediate(0, &[Piece::new(0, 16, 5)]),
    immediate(0, &[Piece::new(16, 16, 5)]),
    immediate(0, &[Piece::new(32, 16, 5)]),
    immediate(0, &[Piece::new(48, 16, 5)]),
];
/// `movz`, or `movn` with the complement of a negative value: `imm16`, and the bit of `opc` that tells them apart.
pub(super) static MOVNZ: [Bits; 4] = [
    immediate(0, &[Piece::magnitude(0, 16, 5), Piece::not_negative(30)]),
    immediate(0, &[Piece::magnitude(16, 16, 5), Piece::not_negative(30)]),
    immediate(0, &[Piece::magnitude(32, 16, 5), Piece::not_negative(30)]),
    immediate(0, &[Piece::magnitude(48, 16, 5), Piece::not_negative(30)]),
];
/// `add ..., lsl #12; add`: 24 bits in two instructions.
pub(super) static TWO_ADDS: Bits =
    Bits { bytes: 8, aligned: 0, pieces: &[Piece::new(12, 12, 10), Piece::new(0, 12, 42)] };
