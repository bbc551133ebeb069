//! Compact unwind encodings of arm64 (`mach-o/compact_unwind_encoding.h`, `UNWIND_ARM64_*`), as call frame information says the same.

use super::super::mach_o::{Described, Frame, Unwind};
use smallvec::SmallVec;

/// See [`Unwind`].
pub(super) const UNWIND: Unwind = Unwind {
    return_address: LR,
    initial: &[0x0c, 31, 0], // DW_CFA_def_cfa: sp + 0
    frame,
};

/// DWARF's numbers (*DWARF for the Arm 64-bit Architecture*, 4.1).
const FP: u8 = 29;
const LR: u8 = 30;
const SP: u8 = 31;
const V0: u8 = 64;

const MODE: u32 = 0x0f00_0000;
const MODE_FRAMELESS: u32 = 0x0200_0000;
const MODE_DWARF: u32 = 0x0300_0000;
const MODE_FRAME: u32 = 0x0400_0000;

/// Pairs of saved registers, by the bit that says so, in the order in which they lie from the frame downwards.
const PAIRS: [(u32, u8); 9] = [
    (0x001, 19),
    (0x002, 21),
    (0x004, 23),
    (0x008, 25),
    (0x010, 27),
    (0x100, V0 + 8),
    (0x200, V0 + 10),
    (0x400, V0 + 12),
    (0x800, V0 + 14),
];

/// See [`Unwind::frame`].
fn frame(encoding: u32, _code: &[u8]) -> Result<Described, &'static str> {
    let (cfa, mut saved, mut below): (_, SmallVec<[(u8, u16); 24]>, u16) = match encoding & MODE {
        0 => return Ok(Described::Nothing),
        MODE_DWARF => return Ok(Described::Elsewhere),
        // `stp x29, x30, [sp, ...]; mov x29, sp`
        MODE_FRAME => ((FP, 16), SmallVec::from_slice(&[(FP, 16), (LR, 8)]), 16),
        // The return address stays in its register.
        MODE_FRAMELESS => ((SP, 16 * (encoding >> 12 & 0xfff)), SmallVec::new(), 0),
        _ => return Err("a mode that did not exist when this was written"),
    };
    for (bit, first) in PAIRS {
        if encoding & bit != 0 {
            saved.extend([(first, below + 8), (first + 1, below + 16)]);
            below += 16;
        }
    }
    Ok(Described::Frame(Frame { cfa, saved }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(encoding: u32) -> Frame {
        match frame(encoding, &[]) {
            Ok(Described::Frame(frame)) => frame,
            other => panic!("{encoding:#x}: {other:?}"),
        }
    }

    #[test]
    fn pairs_lie_below_the_frame_in_their_order() {
        let frame = described(MODE_FRAME | 0x103);
        assert_eq!(frame.cfa, (FP, 16));
        let pairs = [(FP, 16), (LR, 8), (19, 24), (20, 32), (21, 40), (22, 48), (72, 56), (73, 64)];
        assert_eq!(frame.saved[..], pairs);
    }

    #[test]
    fn a_frameless_function_keeps_its_return_address_in_its_register() {
        let frame = described(MODE_FRAMELESS | 3 << 12 | 1);
        assert_eq!((frame.cfa, &frame.saved[..]), ((SP, 48), &[(19, 8), (20, 16)][..]));
        assert_eq!(described(MODE_FRAMELESS).saved.len(), 0);
    }

    #[test]
    fn what_is_not_described_here() {
        assert_eq!(super::frame(0, &[]), Ok(Described::Nothing));
        assert_eq!(super::frame(MODE_DWARF, &[]), Ok(Described::Elsewhere));
        assert!(super::frame(0x0100_0000, &[]).is_err());
    }
}
