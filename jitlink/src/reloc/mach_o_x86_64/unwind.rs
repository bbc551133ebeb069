//! Compact unwind encodings of x86-64 (`mach-o/compact_unwind_encoding.h`, `UNWIND_X86_64_*`), as call frame information says the same.

use super::super::mach_o::{Described, Frame, Unwind};
use smallvec::SmallVec;

/// See [`Unwind`].
pub(super) const UNWIND: Unwind = Unwind {
    return_address: RETURN_ADDRESS,
    initial: &[
        0x0c, 0x07, 0x08, // DW_CFA_def_cfa: rsp + 8
        0x90, 0x01, // DW_CFA_offset: the return address at cfa - 8
    ],
    frame,
};

/// DWARF's numbers (psABI, table 3.36).
const RBP: u8 = 6;
const RSP: u8 = 7;
const RETURN_ADDRESS: u8 = 16;
/// Registers by the numbers that encodings have for them, from 1 on: rbx, r12, r13, r14, r15, rbp.
const REGISTERS: [u8; 6] = [3, 12, 13, 14, 15, RBP];

const MODE: u32 = 0x0f00_0000;
const MODE_RBP_FRAME: u32 = 0x0100_0000;
const MODE_STACK_IMMEDIATE: u32 = 0x0200_0000;
const MODE_STACK_INDIRECT: u32 = 0x0300_0000;
const MODE_DWARF: u32 = 0x0400_0000;

/// See [`Unwind::frame`].
fn frame(encoding: u32, code: &[u8]) -> Result<Described, &'static str> {
    match encoding & MODE {
        0 => Ok(Described::Nothing),
        MODE_DWARF => Ok(Described::Elsewhere),
        MODE_RBP_FRAME => rbp_frame(encoding).map(Described::Frame),
        MODE_STACK_IMMEDIATE => frameless(8 * (encoding >> 16 & 0xff), encoding).map(Described::Frame),
        MODE_STACK_INDIRECT => {
            // Where `sub $size, %rsp` has its operand, and how much is pushed besides.
            let at = (encoding >> 16 & 0xff) as usize;
            let operand = code.get(at..).and_then(|rest| rest.first_chunk());
            let size = u32::from_le_bytes(*operand.ok_or("the size of its frame lies outside of the function")?);
            let size = size.checked_add(8 * (encoding >> 13 & 7)).filter(|size| *size < 1 << 30);
            frameless(size.ok_or("its frame is larger than a stack")?, encoding).map(Described::Frame)
        }
        _ => Err("a mode that did not exist when this was written"),
    }
}

/// `push %rbp; mov %rsp, %rbp`, and up to five registers from `8 * offset` below `%rbp` on upwards.
fn rbp_frame(encoding: u32) -> Result<Frame, &'static str> {
    let offset = encoding >> 16 & 0xff;
    let mut saved = SmallVec::from_slice(&[(RBP, 16), (RETURN_ADDRESS, 8)]);
    for place in 0..5 {
        match encoding >> (3 * place) & 7 {
            0 => {}
            number @ 1..=5 => {
                let below = offset.checked_sub(place).ok_or("a register is saved above its frame")?;
                saved.push((REGISTERS[number as usize - 1], (16 + 8 * below) as u16));
            }
            _ => return Err("a register that no function saves below %rbp"),
        }
    }
    Ok(Frame { cfa: (RBP, 16), saved })
}

/// `%rsp` is `size` below its value before the call's return address; up to six registers are saved right below that.
fn frameless(size: u32, encoding: u32) -> Result<Frame, &'static str> {
    let count = encoding >> 10 & 7;
    if count > 6 {
        return Err("more registers than there are to save");
    }
    if size < 8 * (count + 1) {
        return Err("a frame that is too small for what is saved in it");
    }
    let mut saved = SmallVec::from_slice(&[(RETURN_ADDRESS, 8)]);
    for (place, register) in (0..).zip(permutation(count, encoding & 0x3ff)?) {
        saved.push((register, (8 + 8 * (count - place)) as u16));
    }
    Ok(Frame { cfa: (RSP, size), saved })
}

/// Which registers, in the order of their addresses: one of the ways to choose `count` of six in some order, by its number. Each digit says which of those that
/// are not chosen yet comes next; the first digit counts most.
fn permutation(count: u32, number: u32) -> Result<SmallVec<[u8; 6]>, &'static str> {
    let mut left: SmallVec<[u8; 6]> = SmallVec::from_slice(&REGISTERS);
    let mut rest = number;
    let mut chosen = SmallVec::new();
    for place in 0..count {
        // How many ways there are to choose those behind this one, of what is left then.
        let ways: u32 = (place + 1..count).map(|behind| 6 - behind).product();
        let digit = (rest / ways) as usize;
        rest %= ways;
        if digit >= left.len() {
            return Err("registers in an order that does not exist");
        }
        chosen.push(left.remove(digit));
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(encoding: u32, code: &[u8]) -> Frame {
        match frame(encoding, code) {
            Ok(Described::Frame(frame)) => frame,
            other => panic!("{encoding:#x}: {other:?}"),
        }
    }

    #[test]
    fn registers_below_rbp() {
        // push %rbp; mov %rsp, %rbp; push %rbx; push %r14; push %r15
        let frame = described(MODE_RBP_FRAME | 3 << 16 | 5 | 4 << 3 | 1 << 6, &[]);
        assert_eq!(frame.cfa, (RBP, 16));
        assert_eq!(frame.saved[..], [(RBP, 16), (RETURN_ADDRESS, 8), (15, 40), (14, 32), (3, 24)]);
        assert!(super::frame(MODE_RBP_FRAME | 6, &[]).is_err(), "%rbp below itself");
        assert!(super::frame(MODE_RBP_FRAME | 1 << 3, &[]).is_err(), "above the frame");
    }

    /// As Apple's libunwind decodes it (`stepWithCompactEncodingFrameless`), for every order of every number of registers.
    #[test]
    fn registers_of_frameless_functions() {
        let mut seen = std::collections::BTreeSet::new();
        for count in 0..=6u32 {
            let all: u32 = (0..count).map(|taken| 6 - taken).product();
            // Of six in some order the last one is what is left: its digit says nothing.
            for number in 0..all {
                let encoding = MODE_STACK_IMMEDIATE | 10 << 16 | count << 10 | number;
                if number > 0x3ff {
                    break;
                }
                let frame = described(encoding, &[]);
                assert_eq!(frame.cfa, (RSP, 80));
                assert_eq!(frame.saved[0], (RETURN_ADDRESS, 8));
                assert_eq!(frame.saved[1..].iter().map(|(_, below)| *below).collect::<Vec<_>>(), below(count));
                let registers: Vec<u8> = frame.saved[1..].iter().map(|(register, _)| *register).collect();
                assert_eq!(registers, reference(count, number));
                assert!(seen.insert((count, registers)), "{count} {number}");
            }
        }
        assert_eq!(seen.len(), 1 + 6 + 30 + 120 + 360 + 720 + 720);
    }

    fn below(count: u32) -> Vec<u16> {
        (0..count).map(|place| (8 + 8 * (count - place)) as u16).collect()
    }

    fn reference(count: u32, number: u32) -> Vec<u8> {
        let divisors: &[u32] = match count {
            6 => &[120, 24, 6, 2, 1, 1],
            5 => &[120, 24, 6, 2, 1],
            4 => &[60, 12, 3, 1],
            3 => &[20, 4, 1],
            2 => &[5, 1],
            1 => &[1],
            _ => &[],
        };
        let mut rest = number;
        let mut digits: Vec<u32> = Vec::new();
        for divisor in divisors {
            let digit = rest / divisor;
            rest -= digit * divisor;
            digits.push(digit);
        }
        let mut used = [false; 7];
        digits
            .into_iter()
            .map(|digit| {
                let free: Vec<usize> = (1..7).filter(|number| !used[*number]).collect();
                used[free[digit as usize]] = true;
                REGISTERS[free[digit as usize] - 1]
            })
            .collect()
    }

    #[test]
    fn a_large_frame_has_its_size_in_the_code() {
        // push %rbx; sub $0x1234560, %rsp
        let code = [0x53, 0x48, 0x81, 0xec, 0x60, 0x45, 0x23, 0x01];
        let frame = described(MODE_STACK_INDIRECT | 4 << 16 | 2 << 13 | 1 << 10, &code);
        assert_eq!(frame.cfa, (RSP, 0x0123_4560 + 16));
        assert_eq!(frame.saved[..], [(RETURN_ADDRESS, 8), (3, 16)]);
        assert!(super::frame(MODE_STACK_INDIRECT | 5 << 16, &code).is_err(), "outside of the code");
    }

    #[test]
    fn what_is_not_described_here() {
        assert_eq!(super::frame(0, &[]), Ok(Described::Nothing));
        assert_eq!(super::frame(MODE_DWARF | 0x1234, &[]), Ok(Described::Elsewhere));
        assert!(super::frame(0x0900_0000, &[]).is_err());
        assert!(super::frame(MODE_STACK_IMMEDIATE | 7 << 10 | 0xff << 16, &[]).is_err());
        assert!(super::frame(MODE_STACK_IMMEDIATE | 2 << 10 | 2 << 16, &[]).is_err(), "too small");
    }
}
