//! Code between the two calling conventions of this machine: that of the psABI (section 3.2) and Microsoft's ("x64 calling convention").
//!
//! A function of Microsoft's finds 32 bytes above its return address that it may use, words in `%rcx`, `%rdx`, `%r8`, `%r9`, doubles in `%xmm0` to `%xmm3`,
//! both by position, the rest on the stack; it keeps `%rdi`, `%rsi` and `%xmm6` to `%xmm15`, which the psABI's functions change. Nobody keeps less
//! than the caller needs then: what the psABI keeps, Microsoft's functions keep too.

use super::super::crossing::{Argument, Code, Crossing, Hole, Template};
use super::kind;
use crate::graph::EdgeKind;

pub(crate) static CROSSING: Crossing = Crossing {
    // As psABI 3.6.2 numbers registers: at the start of a function the frame is what the call has pushed.
    cie: &[1, b'z', b'R', 0, 1, 0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x90, 1],
    enter: Template {
        code: &[
            0x48, 0x83, 0xec, 0x28, // sub $40, %rsp
            0x49, 0x89, 0xc9, // mov %rcx, %r9
            0x49, 0x89, 0xd0, // mov %rdx, %r8
            0x48, 0x89, 0xf2, // mov %rsi, %rdx
            0x48, 0x89, 0xf9, // mov %rdi, %rcx
            0xe8, 0, 0, 0, 0, // call function
            0x48, 0x83, 0xc4, 0x28, // add $40, %rsp
            0xc3, // ret
        ],
        holes: &[(17, kind::BRANCH32, -4)],
        frame: FORTY,
    },
    initializer: Template {
        code: &[
            0x48, 0x83, 0xec, 0x28, // sub $40, %rsp
            0x48, 0x8b, 0x05, 0, 0, 0, 0, // mov entry(%rip), %rax
            0x48, 0x8d, 0x48, 0x01, // lea 1(%rax), %rcx
            0x48, 0x83, 0xf9, 0x01, // cmp $1, %rcx
            0x76, 0x02, // jbe 1f: neither 0 nor -1 is a function
            0xff, 0xd0, // call *%rax
            0x48, 0x83, 0xc4, 0x28, // 1: add $40, %rsp
            0xc3, // ret
        ],
        holes: &[(7, EdgeKind::DELTA32, -4)],
        frame: FORTY,
    },
    call_argument: Template {
        code: &[
            0x48, 0x83, 0xec, 0x28, // sub $40, %rsp
            0xff, 0xd7, // call *%rdi
            0x48, 0x83, 0xc4, 0x28, // add $40, %rsp
            0xc3, // ret
        ],
        holes: &[],
        frame: FORTY,
    },
    nothing: &[0xc3], // ret
    leave,
};

/// Four bytes in, the frame is forty bytes larger: `DW_CFA_advance_loc 4; DW_CFA_def_cfa_offset 48`.
const FORTY: &[u8] = &[0x44, 0x0e, 48];

const RCX: u8 = 1;
const RDX: u8 = 2;
const RSI: u8 = 6;
const RDI: u8 = 7;
/// Where Microsoft's callers put words, and where the psABI's functions look for them.
const THEIRS: [u8; 4] = [RCX, RDX, 8, 9];
const OURS: [u8; 6] = [RDI, RSI, RDX, RCX, 8, 9];
/// Bytes of the adapter's frame: ten vector registers, a `va_list`, and what aligns the stack.
const FRAME: i32 = 200;
/// Where the `va_list` is (psABI 3.5.7).
const LIST: i32 = 160;
/// From the stack pointer to the first argument's place: the frame, two registers, the return address.
const HOME: i32 = FRAME + 16 + 8;

/// A function for Microsoft's callers that calls one of the psABI's. `None` where there are more arguments than registers.
fn leave(arguments: &[Argument]) -> Option<Code> {
    let mut code = Code { bytes: vec![0x57, 0x56], holes: Vec::new(), frame: Vec::new() }; // push %rdi; push %rsi
    code.bytes.extend([0x48, 0x81, 0xec]); // sub $FRAME, %rsp
    code.bytes.extend(FRAME.to_le_bytes());
    // Each push, with what it saves, and the frame.
    code.frame = vec![0x41, 0x0e, 16, 0x85, 2, 0x41, 0x0e, 24, 0x84, 3, 0x47, 0x0e, 0xe0, 0x01];
    for register in 6..16 {
        vector(&mut code.bytes, 0x29, register);
    }
    if arguments.contains(&Argument::Rest) {
        // All words stand one after another then, as they do in a list of the psABI's once the registers are used up.
        for (position, register) in (0..).zip(THEIRS) {
            memory(&mut code.bytes, 0x89, register, HOME + 8 * position);
        }
    }
    let (mut position, mut words, mut doubles) = (0, 0, 0);
    for argument in arguments {
        let word = *OURS.get(words).filter(|_| *argument != Argument::Double || doubles < 8)?;
        match argument {
            Argument::Word => {
                match THEIRS.get(position) {
                    Some(from) => between(&mut code.bytes, *from, word),
                    None => memory(&mut code.bytes, 0x8b, word, HOME + 8 * position as i32),
                }
                (position, words) = (position + 1, words + 1);
            }
            Argument::Double => {
                match position {
                    0..4 if position == doubles => {}
                    // movaps %xmm(position), %xmm(doubles)
                    0..4 => code.bytes.extend([0x0f, 0x28, 0xc0 | (doubles as u8) << 3 | position as u8]),
                    _ => {
                        // movsd place(%rsp), %xmm(doubles)
                        code.bytes.extend([0xf2, 0x0f, 0x10, 0x84 | (doubles as u8) << 3, 0x24]);
                        code.bytes.extend((HOME + 8 * position as i32).to_le_bytes());
                    }
                }
                (position, doubles) = (position + 1, doubles + 1);
            }
            Argument::Rest => {
                // movl $48, list(%rsp); movl $304, list+4(%rsp): no registers are left of either kind.
                for (offset, value) in [(0, 48i32), (4, 304)] {
                    code.bytes.extend([0xc7, 0x84, 0x24]);
                    code.bytes.extend((LIST + offset).to_le_bytes());
                    code.bytes.extend(value.to_le_bytes());
                }
                // lea place(%rsp), %rax; mov %rax, list+8(%rsp); lea list(%rsp), word
                memory(&mut code.bytes, 0x8d, 0, HOME + 8 * position as i32);
                memory(&mut code.bytes, 0x89, 0, LIST + 8);
                memory(&mut code.bytes, 0x8d, word, LIST);
                words += 1;
            }
            Argument::Symbol => {
                // lea symbol(%rip), word
                code.bytes.extend([0x48 | (word >> 3) << 2, 0x8d, 0x05 | (word & 7) << 3]);
                code.hole(Hole::Symbol, EdgeKind::DELTA32, -4);
                words += 1;
            }
        }
    }
    // As many vector registers as there are: functions with variable arguments want to know.
    code.bytes.push(0xb8); // mov $doubles, %eax
    code.bytes.extend((doubles as u32).to_le_bytes());
    code.bytes.push(0xe8); // call function
    code.hole(Hole::Function, kind::BRANCH32, -4);
    for register in 6..16 {
        vector(&mut code.bytes, 0x28, register);
    }
    code.bytes.extend([0x48, 0x81, 0xc4]); // add $FRAME, %rsp
    code.bytes.extend(FRAME.to_le_bytes());
    code.bytes.extend([0x5e, 0x5f, 0xc3]); // pop %rsi; pop %rdi; ret
    Some(code)
}

/// `movaps` of a vector register to or from its place in the frame.
fn vector(out: &mut Vec<u8>, opcode: u8, register: u8) {
    if register >= 8 {
        out.push(0x44);
    }
    out.extend([0x0f, opcode, 0x84 | (register & 7) << 3, 0x24]);
    out.extend((i32::from(register - 6) * 16).to_le_bytes());
}

/// An instruction with 64 bits between a register and a place on the stack.
fn memory(out: &mut Vec<u8>, opcode: u8, register: u8, place: i32) {
    out.extend([0x48 | (register >> 3) << 2, opcode, 0x84 | (register & 7) << 3, 0x24]);
    out.extend(place.to_le_bytes());
}

/// `mov` between two registers.
fn between(out: &mut Vec<u8>, from: u8, to: u8) {
    out.extend([0x48 | (from >> 3) << 2 | to >> 3, 0x89, 0xc0 | (from & 7) << 3 | to & 7]);
}
