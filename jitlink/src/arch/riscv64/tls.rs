//! Thread-local storage: the instruction sequences of the access models, and the shorter ones that a constant distance from the thread pointer allows
//! (psABI, "Thread Local Storage").
//!
//! The thread pointer is `tp`; static thread-local storage lies above it (variant I). Which sequences may be rewritten, the reader finds out, since it has all
//! instructions of one at hand; see `reloc/elf_riscv64.rs`. Offsets that are handed to `__tls_get_addr` count from 2 KiB into the module's block.

use super::{kind, rewrite};
use crate::arch::Tls;
use crate::graph::EdgeKind;

/// See [`crate::arch::Machine::tls`].
pub(super) const TLS: Tls =
    Tls { get_address: GET_ADDRESS, offset_bias: 0x800, relax: relax_sequence, constant: constant_row, keep: keep_row };

const GET_ADDRESS: &[u8] = b"__tls_get_addr";

/// Whether a general-dynamic sequence stands in `content` that may be rewritten: its first instruction at `upper`, the second at `lower`, and
/// behind it a call of `called`.
pub(crate) fn is_call_sequence(content: &[u8], upper: usize, lower: usize, called: &[u8]) -> bool {
    called == GET_ADDRESS && rewrite::is_address_call(content, upper, lower)
}

/// See [`Tls::relax`].
fn relax_sequence(from: EdgeKind, content: &[u8], offset: u32, call: Option<u32>) -> Option<EdgeKind> {
    let descriptor = |to| rewrite::is_of_descriptor(from, content, offset).then_some(to);
    match from {
        kind::TLS_SLOT_HI20_RELAXABLE | kind::TLS_PAIR_HI20_RELAXABLE => Some(kind::TLS_RELAXED_HI20),
        kind::TLS_SLOT_LO12_RELAXABLE => Some(kind::TLS_RELAXED_LOAD),
        kind::TLS_PAIR_LO12_RELAXABLE if call == offset.checked_add(4) => Some(kind::TLS_RELAXED_CALL),
        kind::TLS_DESCRIPTOR_HI20 => descriptor(kind::TLS_RELAXED_DESCRIPTOR_HI20),
        kind::TLS_DESCRIPTOR_LOAD => descriptor(kind::TLS_RELAXED_DESCRIPTOR_LOAD),
        kind::TLS_DESCRIPTOR_ADD => descriptor(kind::TLS_RELAXED_DESCRIPTOR_ADD),
        kind::TLS_DESCRIPTOR_CALL => descriptor(kind::TLS_RELAXED_DESCRIPTOR_CALL),
        _ => None,
    }
}

/// See [`Tls::constant`].
fn constant_row(from: EdgeKind) -> Option<EdgeKind> {
    match from {
        kind::TLS_HI20 => Some(kind::HI20),
        kind::TLS_LO12_I => Some(kind::LO12_I),
        kind::TLS_LO12_S => Some(kind::LO12_S),
        _ => None,
    }
}

/// See [`Tls::keep`].
fn keep_row(from: EdgeKind) -> Option<EdgeKind> {
    match from {
        kind::TLS_SLOT_HI20
        | kind::TLS_SLOT_HI20_RELAXABLE
        | kind::TLS_PAIR_HI20
        | kind::TLS_PAIR_HI20_RELAXABLE
        | kind::TLS_DESCRIPTOR_HI20 => Some(kind::TLS_KEPT_HI20),
        kind::TLS_SLOT_LO12
        | kind::TLS_SLOT_LO12_RELAXABLE
        | kind::TLS_PAIR_LO12
        | kind::TLS_PAIR_LO12_RELAXABLE
        | kind::TLS_DESCRIPTOR_LOAD
        | kind::TLS_DESCRIPTOR_ADD => Some(kind::TLS_KEPT_LO12),
        kind::TLS_DESCRIPTOR_CALL => Some(EdgeKind::KEEP_ALIVE),
        kind::TLS_MODULE_OFFSET32 => Some(kind::TLS_KEPT_MODULE_OFFSET32),
        kind::TLS_MODULE_OFFSET64 => Some(kind::TLS_KEPT_MODULE_OFFSET64),
        _ => None,
    }
}
