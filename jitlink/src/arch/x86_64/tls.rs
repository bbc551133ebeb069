//! Thread-local storage: the instruction sequences of the access models, and the shorter ones that an address at a constant
//! distance from the thread pointer allows (psABI 3.6.1 and B.2; *ELF Handling For Thread-Local Storage*, sections 4 and 5).
//!
//! The thread pointer is `%fs:0`; static thread-local storage lies below it (variant II). A sequence is matched as a whole, with
//! the call that belongs to it; bytes that are no such sequence are left alone, and their slots, which always work, stay.

use super::kind;
use super::relax;
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

/// A general-dynamic sequence becomes `mov %fs:0, %rax; lea offset(%rax), %rax`
pub(super) const GENERAL: u8 = 0x20;
/// The same in the large model.
pub(super) const GENERAL_LARGE: u8 = 0x21;
/// A local-dynamic sequence becomes `mov %fs:0, %rax`
pub(super) const LOCAL: u8 = 0x22;
/// `call *(%rax)` of a descriptor becomes `xchg %ax, %ax`
pub(super) const DESCRIPTOR_CALL: u8 = 0x23;

/// A byte of a pattern: which bits count, and what they are.
type Byte = (u8, u8);

const fn b(value: u8) -> Byte {
    (0xff, value)
}

/// A byte of a field.
const F: Byte = (0, 0);
/// `REX.W` that extends the register of the `reg` field or does not: 0100 1R00.
const REX_W_R: Byte = (0xfb, 0x48);
/// `mod` 3, any register in `reg`, `%rax` in `r/m`.
const FROM_ANY_TO_RAX: Byte = (0xc7, 0xc0);

/// One sequence that ends in a call of the function that finds addresses.
struct Sequence {
    /// The edge that it begins with.
    from: EdgeKind,
    /// The row that replaces that edge.
    to: EdgeKind,
    /// Where in `bytes` the edge's field is.
    field: usize,
    /// Where in `bytes` the field of the call is.
    call: usize,
    bytes: &'static [Byte],
    /// What stands there afterwards.
    code: &'static [u8],
}

#[rustfmt::skip]
const SEQUENCES: &[Sequence] = &[
    // data16 lea x@tlsgd(%rip), %rdi; data16 data16 rex.W call __tls_get_addr@plt
    Sequence {
        from: kind::TLS_PAIR32, to: kind::TLS_RELAXED_GENERAL, field: 4, call: 12,
        bytes: &[b(0x66), b(0x48), b(0x8d), b(0x3d), F, F, F, F, b(0x66), b(0x66), b(0x48), b(0xe8), F, F, F, F],
        code: GENERAL_CODE,
    },
    // data16 lea x@tlsgd(%rip), %rdi; data16 rex.W call *__tls_get_addr@gotpcrel(%rip)
    Sequence {
        from: kind::TLS_PAIR32, to: kind::TLS_RELAXED_GENERAL, field: 4, call: 12,
        bytes: &[b(0x66), b(0x48), b(0x8d), b(0x3d), F, F, F, F, b(0x66), b(0x48), b(0xff), b(0x15), F, F, F, F],
        code: GENERAL_CODE,
    },
    // lea x@tlsgd(%rip), %rdi; movabs $__tls_get_addr@pltoff, %rax; add %reg, %rax; call *%rax
    Sequence {
        from: kind::TLS_PAIR32, to: kind::TLS_RELAXED_GENERAL_LARGE, field: 3, call: 9,
        bytes: &[
            b(0x48), b(0x8d), b(0x3d), F, F, F, F, b(0x48), b(0xb8), F, F, F, F, F, F, F, F,
            REX_W_R, b(0x01), FROM_ANY_TO_RAX, b(0xff), b(0xd0),
        ],
        code: &[
            0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0, // mov %fs:0, %rax
            0x48, 0x8d, 0x80, 0, 0, 0, 0,             // lea offset(%rax), %rax
            0x66, 0x0f, 0x1f, 0x44, 0, 0,             // nopw 0(%rax,%rax)
        ],
    },
    // lea x@tlsld(%rip), %rdi; call __tls_get_addr@plt
    Sequence {
        from: kind::TLS_MODULE_PAIR32, to: kind::TLS_RELAXED_LOCAL, field: 3, call: 8,
        bytes: &[b(0x48), b(0x8d), b(0x3d), F, F, F, F, b(0xe8), F, F, F, F],
        code: &[0x66, 0x66, 0x66, 0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0], // mov %fs:0, %rax
    },
    // lea x@tlsld(%rip), %rdi; call *__tls_get_addr@gotpcrel(%rip)
    Sequence {
        from: kind::TLS_MODULE_PAIR32, to: kind::TLS_RELAXED_LOCAL, field: 3, call: 9,
        bytes: &[b(0x48), b(0x8d), b(0x3d), F, F, F, F, b(0xff), b(0x15), F, F, F, F],
        code: LOCAL_CODE,
    },
    // lea x@tlsld(%rip), %rdi; addr32 call __tls_get_addr
    Sequence {
        from: kind::TLS_MODULE_PAIR32, to: kind::TLS_RELAXED_LOCAL, field: 3, call: 9,
        bytes: &[b(0x48), b(0x8d), b(0x3d), F, F, F, F, b(0x67), b(0xe8), F, F, F, F],
        code: LOCAL_CODE,
    },
    // lea x@tlsld(%rip), %rdi; movabs $__tls_get_addr@pltoff, %rax; add %reg, %rax; call *%rax
    Sequence {
        from: kind::TLS_MODULE_PAIR32, to: kind::TLS_RELAXED_LOCAL, field: 3, call: 9,
        bytes: &[
            b(0x48), b(0x8d), b(0x3d), F, F, F, F, b(0x48), b(0xb8), F, F, F, F, F, F, F, F,
            REX_W_R, b(0x01), FROM_ANY_TO_RAX, b(0xff), b(0xd0),
        ],
        code: &[
            0x66, 0x66, 0x66, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0, // cs nopw 0(%rax,%rax)
            0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0,                      // mov %fs:0, %rax
        ],
    },
];

const GENERAL_CODE: &[u8] = &[
    0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0, // mov %fs:0, %rax
    0x48, 0x8d, 0x80, 0, 0, 0, 0, // lea offset(%rax), %rax
];

const LOCAL_CODE: &[u8] = &[0x66, 0x66, 0x66, 0x66, 0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0]; // mov %fs:0, %rax

impl Sequence {
    /// Whether it stands in `content` with its first field at `offset`.
    fn stands(&self, content: &[u8], offset: usize) -> bool {
        let start = offset.checked_sub(self.field);
        let bytes = start.and_then(|start| content.get(start..)?.get(..self.bytes.len()));
        bytes.is_some_and(|bytes| bytes.iter().zip(self.bytes).all(|(byte, (mask, value))| byte & mask == *value))
    }
}

/// See [`Tls::relax`].
fn relax_sequence(from: EdgeKind, content: &[u8], offset: u32, call: Option<u32>) -> Option<EdgeKind> {
    match from {
        kind::TLS_PAIR32 | kind::TLS_MODULE_PAIR32 => {
            let distance = call?.checked_sub(offset)? as usize;
            let fits = |sequence: &&Sequence| {
                sequence.from == from
                    && sequence.call - sequence.field == distance
                    && sequence.stands(content, offset as usize)
            };
            SEQUENCES.iter().find(fits).map(|sequence| sequence.to)
        }
        // `mov slot(%rip), %reg` and `add slot(%rip), %reg` become the same of an immediate, and so does the `lea` of a descriptor, whose
        // call then finds the offset in the register that it would have returned it in.
        kind::TLS_SLOT32 => relax::immediate_operand(content, offset, false, false).then_some(kind::TLS_RELAXED_LOAD),
        kind::TLS_SLOT32_CODE4 => {
            relax::immediate_operand(content, offset, true, false).then_some(kind::TLS_RELAXED_LOAD_REX2)
        }
        kind::TLS_DESCRIPTOR32 => {
            relax::immediate_operand(content, offset, false, true).then_some(kind::TLS_RELAXED_LOAD)
        }
        kind::TLS_DESCRIPTOR32_CODE4 => {
            relax::immediate_operand(content, offset, true, true).then_some(kind::TLS_RELAXED_LOAD_REX2)
        }
        kind::TLS_DESCRIPTOR_CALL => {
            let found = content.get(offset as usize..)?.starts_with(CALL_DESCRIPTOR);
            found.then_some(kind::TLS_RELAXED_DESCRIPTOR_CALL)
        }
        _ => None,
    }
}

/// See [`Tls::constant`].
fn constant_row(from: EdgeKind) -> Option<EdgeKind> {
    match from {
        kind::TLS_THREAD_OFFSET32 | kind::TLS_MODULE_OFFSET32 => Some(EdgeKind::POINTER32_SIGNED),
        kind::TLS_THREAD_OFFSET64 | kind::TLS_MODULE_OFFSET64 | kind::TLS_PLACE64 => Some(EdgeKind::POINTER64),
        kind::TLS_KEY64 => Some(EdgeKind::KEEP_ALIVE),
        _ => None,
    }
}

/// See [`Tls::keep`].
fn keep_row(from: EdgeKind) -> Option<EdgeKind> {
    match from {
        kind::TLS_PAIR32
        | kind::TLS_MODULE_PAIR32
        | kind::TLS_SLOT32
        | kind::TLS_SLOT32_CODE4
        | kind::TLS_SLOT32_CODE5
        | kind::TLS_SLOT32_CODE6
        | kind::TLS_DESCRIPTOR32
        | kind::TLS_DESCRIPTOR32_CODE4
        | kind::TLS_DESCRIPTOR32_CODE5
        | kind::TLS_DESCRIPTOR32_CODE6 => Some(kind::TLS_KEPT_SLOT32),
        kind::TLS_MODULE_OFFSET32 => Some(kind::TLS_KEPT_MODULE_OFFSET32),
        kind::TLS_MODULE_OFFSET64 | kind::TLS_PLACE64 => Some(kind::TLS_KEPT_MODULE_OFFSET64),
        kind::TLS_MODULE64 | kind::TLS_KEY64 => Some(kind::TLS_KEPT_MODULE64),
        kind::TLS_DESCRIPTOR_CALL => Some(EdgeKind::KEEP_ALIVE),
        _ => None,
    }
}

/// `call *(%rax)`
const CALL_DESCRIPTOR: &[u8] = &[0xff, 0x10];

/// See [`crate::arch::Machine::rewrite`].
pub(super) fn rewrite(number: u8, content: &mut [u8], offset: usize) -> bool {
    if number == DESCRIPTOR_CALL {
        let call = content.get_mut(offset..).and_then(|rest| rest.first_chunk_mut::<2>());
        return match call {
            Some(call) if call == CALL_DESCRIPTOR => {
                *call = [0x66, 0x90]; // xchg %ax, %ax
                true
            }
            _ => false,
        };
    }
    let to = match number {
        GENERAL => kind::TLS_RELAXED_GENERAL,
        GENERAL_LARGE => kind::TLS_RELAXED_GENERAL_LARGE,
        LOCAL => kind::TLS_RELAXED_LOCAL,
        _ => return false,
    };
    // Of two sequences that begin alike, bytes behind the first field tell which it is.
    let Some(sequence) = SEQUENCES.iter().find(|sequence| sequence.to == to && sequence.stands(content, offset)) else {
        return false;
    };
    let start = offset - sequence.field;
    content[start..start + sequence.code.len()].copy_from_slice(sequence.code);
    true
}
