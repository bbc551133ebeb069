//! Pieces of code that the linker makes: stubs, lazy stubs, veneers, and a function that returns zero.
//!
//! They change `x16` and `x17` alone, which a function may lose on its way to be called (AAPCS64, 6.1.1). What may be reached by an
//! indirect branch begins with `bti c`, a no-op where there is nothing to check; that `br` goes through `x16` lets it land on another.

use super::kind;
use super::relax;
use crate::arch::{Branches, LazyStub, Snippet, Stub, Veneer};

/// Returns 0.
pub(super) const ZERO: &[u8] = &[
    0x5f, 0x24, 0x03, 0xd5, // bti c
    0x00, 0x00, 0x80, 0xd2, // mov x0, #0
    0xc0, 0x03, 0x5f, 0xd6, // ret
];

/// Jumps to the address in a GOT slot.
pub(super) const STUB: Stub = Stub {
    code: &[
        0x5f, 0x24, 0x03, 0xd5, // bti c
        0x10, 0x00, 0x00, 0x90, // adrp x16, slot
        0x10, 0x02, 0x40, 0xf9, // ldr x16, [x16, #:lo12:slot]
        0x00, 0x02, 0x1f, 0xd6, // br x16
    ],
    slot_fixups: &[(4, kind::PAGE21, 0), (8, kind::LDST64_LO12_NC, 0)],
    align: 16,
};

/// As [`STUB`]; its second half has `x17` point at the slot.
pub(super) const LAZY_STUB: LazyStub = LazyStub {
    code: &[
        0x5f, 0x24, 0x03, 0xd5, // bti c
        0x10, 0x00, 0x00, 0x90, // adrp x16, slot
        0x10, 0x02, 0x40, 0xf9, // ldr x16, [x16, #:lo12:slot]
        0x00, 0x02, 0x1f, 0xd6, // br x16
        0x5f, 0x24, 0x03, 0xd5, // bti c
        0x11, 0x00, 0x00, 0x90, // adrp x17, slot
        0x31, 0x02, 0x00, 0x91, // add x17, x17, #:lo12:slot
        0x10, 0x00, 0x00, 0x90, // adrp x16, :got:ask
        0x10, 0x02, 0x40, 0xf9, // ldr x16, [x16, #:got_lo12:ask]
        0x00, 0x02, 0x1f, 0xd6, // br x16
    ],
    entry: 16,
    slot_fixups: &[
        (4, kind::PAGE21, 0),
        (8, kind::LDST64_LO12_NC, 0),
        (20, kind::PAGE21, 0),
        (24, kind::ADD_LO12_NC, 0),
    ],
    ask_fixups: &[(28, kind::SLOT_PAGE21, 0), (32, kind::SLOT_LO12_NC, 0)],
    align: 8,
};

/// Calls and jumps reach 128 MiB. No `bti` in a veneer: it is only branched to directly.
pub(super) const BRANCHES: Branches = Branches {
    null: relax::null_branch,
    veneer: Some(Veneer {
        reach: 1 << 27,
        align: 4,
        near: Snippet {
            code: &[
                0x10, 0x00, 0x00, 0x90, // adrp x16, symbol
                0x10, 0x02, 0x00, 0x91, // add x16, x16, #:lo12:symbol
                0x00, 0x02, 0x1f, 0xd6, // br x16
            ],
            fixups: &[(0, kind::PAGE21, 0), (4, kind::ADD_LO12_NC, 0)],
        },
        far: Snippet {
            code: &[
                0x10, 0x00, 0x00, 0x90, // adrp x16, :got:symbol
                0x10, 0x02, 0x40, 0xf9, // ldr x16, [x16, #:got_lo12:symbol]
                0x00, 0x02, 0x1f, 0xd6, // br x16
            ],
            fixups: &[(0, kind::SLOT_PAGE21, 0), (4, kind::SLOT_LO12_NC, 0)],
        },
    }),
};
