//! Relocations of riscv64 that mean something only together (psABI, chapter "Relocations").
//!
//! - The lower bits of a distance name the `auipc` that has the upper ones: they get its target, and an addend that makes up for the distance between the two.
//! - A distance between two labels is the sum of two relocations. Where both are in one section it is a constant; where the second is in the section of the field, it is
//!   a distance from the field. What is left is added and subtracted in place.
//! - Padding has been shortened when this is asked ([`super::Together::padding`]), so that offsets move.

use super::super::together::{Entry, Here, Label, Settled, Unsettled};
use super::lookup;
use crate::arch::riscv64::{is_call_sequence, is_load, kind};
use crate::graph::EdgeKind;
use object::elf::{self, RelocationType};

/// See [`crate::reloc::together::Together::settle`].
pub(super) fn settle(entries: &[Entry], here: &Here<'_>, settled: &mut Vec<Settled>) -> Result<(), Unsettled> {
    let highs = Highs::of(entries, here);
    let mut number = 0;
    while let Some(entry) = entries.get(number) {
        number += 1;
        let kind = match RelocationType(entry.r_type) {
            elf::R_RISCV_RELAX | elf::R_RISCV_ALIGN | elf::R_RISCV_TPREL_ADD => continue,
            elf::R_RISCV_PCREL_LO12_I
            | elf::R_RISCV_PCREL_LO12_S
            | elf::R_RISCV_TLSDESC_LOAD_LO12
            | elf::R_RISCV_TLSDESC_ADD_LO12
            | elf::R_RISCV_TLSDESC_CALL => {
                settled.push(highs.lower(entry, here)?);
                continue;
            }
            _ => match highs.upper(entry) {
                Some(kind) => kind,
                None => lookup(entry.r_type).ok_or(Unsettled::Unknown(*entry))?.kind,
            },
        };
        if let Some(difference) = difference(entry, entries.get(number), here)? {
            settled.push(difference);
            number += 1;
            continue;
        }
        let addend = target(entry, here);
        settled.push(Settled { offset: moved(entry, here), kind, symbol: entry.symbol, addend });
    }
    Ok(())
}

fn malformed<T>(entry: &Entry, what: impl Into<String>) -> Result<T, Unsettled> {
    Err(Unsettled::Malformed(entry.offset, what.into()))
}

fn name(entry: &Entry) -> &'static str {
    super::name(entry.r_type).unwrap_or("a relocation")
}

/// Where an entry's field is in the block.
fn moved(entry: &Entry, here: &Here<'_>) -> u64 {
    here.labels.moved(here.section, entry.offset)
}

/// An entry's addend: an offset in a section moves as what is there does.
fn target(entry: &Entry, here: &Here<'_>) -> i64 {
    match (here.labels.label(entry.symbol), u64::try_from(entry.addend)) {
        (Some(Label { whole: true, section, offset, .. }), Ok(addend)) => {
            let at = here.labels.moved(section, offset.wrapping_add(addend));
            at.wrapping_sub(here.labels.moved(section, offset)) as i64
        }
        _ => entry.addend,
    }
}

/// An `auipc`, by which those that have the lower bits name it.
#[derive(Clone, Copy)]
struct High {
    entry: Entry,
    /// Every instruction that belongs to it is the expected one: they may be rewritten, all of them.
    rewritable: bool,
    lows: u32,
}

/// The `auipc`s of one section, by offset.
struct Highs(Vec<High>);

impl Highs {
    fn of(entries: &[Entry], here: &Here<'_>) -> Self {
        let mut highs = Vec::new();
        for entry in entries {
            let rewritable = match RelocationType(entry.r_type) {
                elf::R_RISCV_PCREL_HI20 | elf::R_RISCV_TLSDESC_HI20 => false,
                elf::R_RISCV_GOT_HI20 | elf::R_RISCV_TLS_GOT_HI20 | elf::R_RISCV_TLS_GD_HI20 => entry.addend == 0,
                _ => continue,
            };
            highs.push(High { entry: *entry, rewritable, lows: 0 });
        }
        highs.sort_by_key(|high| high.entry.offset);
        let mut highs = Self(highs);
        if highs.0.iter().any(|high| high.rewritable) {
            highs.look_at_lows(entries, here);
        }
        highs
    }

    /// Looks for instructions that cannot be rewritten.
    fn look_at_lows(&mut self, entries: &[Entry], here: &Here<'_>) {
        for (number, entry) in entries.iter().enumerate() {
            let is_lower =
                matches!(RelocationType(entry.r_type), elf::R_RISCV_PCREL_LO12_I | elf::R_RISCV_PCREL_LO12_S);
            let Some(high) = self.position(entry, here).filter(|_| is_lower) else { continue };
            let high = &mut self.0[high];
            high.lows += 1;
            let offset = entry.offset as usize;
            high.rewritable &= entry.r_type == elf::R_RISCV_PCREL_LO12_I.0
                && match RelocationType(high.entry.r_type) {
                    elf::R_RISCV_TLS_GD_HI20 => {
                        let called = call_behind(&entries[number + 1..], entry.offset);
                        let called = called.map_or(&[][..], |call| here.labels.name(call.symbol));
                        high.lows == 1 && is_call_sequence(here.content, high.entry.offset as usize, offset, called)
                    }
                    _ => is_load(here.content, offset),
                };
        }
        for high in &mut self.0 {
            high.rewritable &= high.lows > 0;
        }
    }

    /// The `auipc` that an entry's symbol stands at.
    fn position(&self, entry: &Entry, here: &Here<'_>) -> Option<usize> {
        let label = here.labels.label(entry.symbol).filter(|label| label.section == here.section)?;
        self.0.binary_search_by_key(&label.offset, |high| high.entry.offset).ok()
    }

    /// The row of an entry that is one of them and may be rewritten.
    fn upper(&self, entry: &Entry) -> Option<EdgeKind> {
        let kind = match RelocationType(entry.r_type) {
            elf::R_RISCV_GOT_HI20 => kind::GOT_HI20_RELAXABLE,
            elf::R_RISCV_TLS_GOT_HI20 => kind::TLS_SLOT_HI20_RELAXABLE,
            elf::R_RISCV_TLS_GD_HI20 => kind::TLS_PAIR_HI20_RELAXABLE,
            _ => return None,
        };
        let at = self.0.binary_search_by_key(&entry.offset, |high| high.entry.offset).ok()?;
        self.0[at].rewritable.then_some(kind)
    }

    /// The edge of an entry that belongs to one of them.
    fn lower(&self, entry: &Entry, here: &Here<'_>) -> Result<Settled, Unsettled> {
        let Some(high) = self.position(entry, here).map(|at| self.0[at]) else {
            return malformed(entry, format!("{} names no instruction of this section with upper bits", name(entry)));
        };
        if entry.addend != 0 {
            return malformed(entry, format!("{} has an addend of its own, {}", name(entry), entry.addend));
        }
        let kind = match (RelocationType(high.entry.r_type), RelocationType(entry.r_type), high.rewritable) {
            (elf::R_RISCV_PCREL_HI20, elf::R_RISCV_PCREL_LO12_I, _) => kind::PCREL_LO12_I,
            (elf::R_RISCV_PCREL_HI20, elf::R_RISCV_PCREL_LO12_S, _) => kind::PCREL_LO12_S,
            (elf::R_RISCV_GOT_HI20, elf::R_RISCV_PCREL_LO12_I, false) => kind::GOT_LO12_I,
            (elf::R_RISCV_GOT_HI20, elf::R_RISCV_PCREL_LO12_I, true) => kind::GOT_LO12_RELAXABLE,
            (elf::R_RISCV_TLS_GOT_HI20, elf::R_RISCV_PCREL_LO12_I, false) => kind::TLS_SLOT_LO12,
            (elf::R_RISCV_TLS_GOT_HI20, elf::R_RISCV_PCREL_LO12_I, true) => kind::TLS_SLOT_LO12_RELAXABLE,
            (elf::R_RISCV_TLS_GD_HI20, elf::R_RISCV_PCREL_LO12_I, false) => kind::TLS_PAIR_LO12,
            (elf::R_RISCV_TLS_GD_HI20, elf::R_RISCV_PCREL_LO12_I, true) => kind::TLS_PAIR_LO12_RELAXABLE,
            (elf::R_RISCV_TLSDESC_HI20, elf::R_RISCV_TLSDESC_LOAD_LO12, _) => kind::TLS_DESCRIPTOR_LOAD,
            (elf::R_RISCV_TLSDESC_HI20, elf::R_RISCV_TLSDESC_ADD_LO12, _) => kind::TLS_DESCRIPTOR_ADD,
            (elf::R_RISCV_TLSDESC_HI20, elf::R_RISCV_TLSDESC_CALL, _) => kind::TLS_DESCRIPTOR_CALL,
            _ => return malformed(entry, format!("{} cannot belong to {}", name(entry), name(&high.entry))),
        };
        let offset = moved(entry, here);
        let distance = offset.wrapping_sub(moved(&high.entry, here)) as i64;
        let addend = target(&high.entry, here).wrapping_add(distance);
        Ok(Settled { offset, kind, symbol: high.entry.symbol, addend })
    }
}

/// The call whose relocation is the next but for marks, right behind the instruction at `offset`.
fn call_behind(entries: &[Entry], offset: u64) -> Option<&Entry> {
    let next = entries.iter().find(|entry| entry.r_type != elf::R_RISCV_RELAX.0)?;
    let is_call = matches!(RelocationType(next.r_type), elf::R_RISCV_CALL | elf::R_RISCV_CALL_PLT);
    (is_call && next.offset == offset.wrapping_add(4)).then_some(next)
}

/// A field that a pair of relocations writes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Width {
    Six,
    Bytes(u8),
    Leb128,
}

/// The field of the first of a pair, and whether what is there counts.
fn first(r_type: u32) -> Option<(Width, bool)> {
    Some(match RelocationType(r_type) {
        elf::R_RISCV_ADD8 => (Width::Bytes(1), true),
        elf::R_RISCV_ADD16 => (Width::Bytes(2), true),
        elf::R_RISCV_ADD32 => (Width::Bytes(4), true),
        elf::R_RISCV_ADD64 => (Width::Bytes(8), true),
        elf::R_RISCV_SET6 => (Width::Six, false),
        elf::R_RISCV_SET8 => (Width::Bytes(1), false),
        elf::R_RISCV_SET16 => (Width::Bytes(2), false),
        elf::R_RISCV_SET32 => (Width::Bytes(4), false),
        elf::R_RISCV_SET_ULEB128 => (Width::Leb128, false),
        _ => return None,
    })
}

/// The field of the second.
fn second(r_type: u32) -> Option<Width> {
    Some(match RelocationType(r_type) {
        elf::R_RISCV_SUB6 => Width::Six,
        elf::R_RISCV_SUB8 => Width::Bytes(1),
        elf::R_RISCV_SUB16 => Width::Bytes(2),
        elf::R_RISCV_SUB32 => Width::Bytes(4),
        elf::R_RISCV_SUB64 => Width::Bytes(8),
        elf::R_RISCV_SUB_ULEB128 => Width::Leb128,
        _ => return None,
    })
}

/// The one edge that two entries are, if they are a distance that can be told by one.
fn difference(plus: &Entry, minus: Option<&Entry>, here: &Here<'_>) -> Result<Option<Settled>, Unsettled> {
    let is_second = plus.r_type == elf::R_RISCV_SUB_ULEB128.0;
    let Some((width, counts)) = first(plus.r_type) else {
        return if is_second {
            malformed(plus, "R_RISCV_SUB_ULEB128 has no R_RISCV_SET_ULEB128 before it")
        } else {
            Ok(None)
        };
    };
    let minus = minus.filter(|minus| minus.offset == plus.offset && second(minus.r_type) == Some(width));
    let found = minus.and_then(|minus| {
        let place = |entry: &Entry| {
            let label = here.labels.label(entry.symbol).filter(|label| label.local)?;
            let at = here.labels.moved(label.section, label.offset).wrapping_add_signed(target(entry, here));
            Some((label.section, at))
        };
        let there = if counts { held(here.content, plus.offset, width)? } else { 0 };
        let offset = moved(plus, here);
        let (minus_section, minus) = place(minus)?;
        match (place(plus), width) {
            (Some((section, plus)), _) if section == minus_section => {
                let value = plus.wrapping_sub(minus).wrapping_add(there);
                Some(constant(offset, width, value))
            }
            // It counts from the field, whatever is in the way between there and the label.
            (_, Width::Bytes(bytes @ (4 | 8))) if minus_section == here.section => {
                let kind = if bytes == 4 { EdgeKind::DELTA32 } else { EdgeKind::DELTA64 };
                let addend =
                    target(plus, here).wrapping_add_unsigned(offset.wrapping_sub(minus)).wrapping_add_unsigned(there);
                Some(Settled { offset, kind, symbol: plus.symbol, addend })
            }
            _ => None,
        }
    });
    if found.is_none() && width == Width::Leb128 {
        return malformed(plus, "R_RISCV_SET_ULEB128 is no distance between two labels of one section");
    }
    Ok(found)
}

/// A number that is known.
fn constant(offset: u64, width: Width, value: u64) -> Settled {
    let (kind, bits) = match width {
        Width::Six => (kind::SET6, 6),
        Width::Bytes(1) => (EdgeKind::POINTER8, 8),
        Width::Bytes(2) => (EdgeKind::POINTER16, 16),
        Width::Bytes(4) => (EdgeKind::POINTER32, 32),
        Width::Bytes(_) => (EdgeKind::POINTER64, 64),
        Width::Leb128 => (kind::ULEB128, 64),
    };
    Settled { offset, kind, symbol: 0, addend: (value & u64::MAX >> (64 - bits)) as i64 }
}

/// What a field holds.
fn held(content: &[u8], offset: u64, width: Width) -> Option<u64> {
    let field = content.get(usize::try_from(offset).ok()?..)?;
    let Width::Bytes(bytes) = width else { return Some(0) };
    let mut word = [0; 8];
    word[..usize::from(bytes)].copy_from_slice(field.get(..usize::from(bytes))?);
    Some(u64::from_le_bytes(word))
}
