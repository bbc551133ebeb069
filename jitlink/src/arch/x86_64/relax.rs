//! Instructions that may be rewritten: loads of an address from a GOT slot when the address itself can be had (psABI B.2,
//! "Optimize GOTPCRELX Relocations"), and references to null that no 32-bit distance can express.
//!
//! The field of a RIP-relative operand is the last of its instruction here, so the opcode is found two bytes before it, behind
//! it the ModRM byte, and prefixes before both. Nothing is assumed: bytes that are not the expected instruction are left alone,
//! and the slot, which always works, stays.

use super::kind;
use crate::arch::Reach;
use crate::graph::EdgeKind;

/// `mov slot(%rip), reg` -> `lea symbol(%rip), reg`
pub(super) const LEA: u8 = 0;
/// `call *slot(%rip)` -> `addr32 call symbol`
pub(super) const CALL: u8 = 1;
/// `jmp *slot(%rip)` -> `jmp symbol; nop`
pub(super) const JMP: u8 = 2;
/// `mov`, `test`, `adc`, `add`, `and`, `cmp`, `or`, `sbb`, `sub`, `xor` of a slot, and `lea` -> the same of an immediate
pub(super) const IMMEDIATE: u8 = 3;
/// The same with a REX prefix.
pub(super) const IMMEDIATE_REX: u8 = 4;
/// The same with a REX2 prefix.
pub(super) const IMMEDIATE_REX2: u8 = 5;
/// `lea symbol(%rip), reg` -> `mov slot(%rip), reg`
pub(super) const NULL_LOAD: u8 = 6;
/// `call symbol` -> `xor %eax, %eax; call *%rax; nop`
pub(super) const NULL_CALL: u8 = 7;
/// `jmp symbol` -> `xor %eax, %eax; jmp *%rax; nop`
pub(super) const NULL_JMP: u8 = 8;

/// What an operand of a slot loads: `slot(%rip)` exactly, not four bytes into it.
const END_OF_INSTRUCTION: i64 = -4;
/// Operand size prefix: immediates have two bytes behind it, and lengths differ.
const DATA16: u8 = 0x66;
/// Segment prefixes: `lea` ignores them, a load does not.
const FS: u8 = 0x64;
const GS: u8 = 0x65;
const REX_W: u8 = 0x48;
const REX2: u8 = 0xd5;

/// See [`crate::arch::Machine::relax`].
pub(super) fn relax(from: EdgeKind, content: &[u8], offset: u32, addend: i64, reach: Reach) -> Option<EdgeKind> {
    let form = match from {
        kind::GOT_SLOT32_RELAXABLE => Form::Plain,
        kind::GOT_SLOT32_RELAXABLE_REX => Form::Rex,
        kind::GOT_SLOT32_RELAXABLE_REX2 => Form::Rex2,
        _ => return None,
    };
    let offset = offset as usize;
    if addend != END_OF_INSTRUCTION || content.len() < offset.checked_add(4)? {
        return None;
    }
    let before = content.get(..offset)?;
    let instruction = Instruction::before(before, form)?;
    // `data16 rex.W call *__tls_get_addr@GOTPCREL(%rip)` of a TLS sequence: behind REX.W the prefix addr32 would undo it, and leave
    // data16 alone with the call, which some processors obey.
    let padded = before.ends_with(&[DATA16, REX_W, 0xff, 0x15]);
    match (instruction.operation, form) {
        (Operation::Call, Form::Plain) if reach.is_near() && !padded => Some(kind::RELAXED_CALL),
        (Operation::Jmp, Form::Plain) if reach.is_near() => Some(kind::RELAXED_JMP),
        (Operation::Mov | Operation::Test | Operation::Binary(_), form) if reach.is_low() && !instruction.prefixed => {
            Some(match form {
                Form::Plain => kind::RELAXED_IMMEDIATE,
                Form::Rex => kind::RELAXED_IMMEDIATE_REX,
                Form::Rex2 => kind::RELAXED_IMMEDIATE_REX2,
            })
        }
        (Operation::Mov, _) if !instruction.prefixed && reach.is_near() => Some(kind::RELAXED_LEA),
        _ => None,
    }
}

/// Whether the instruction around `offset` loads or adds a 64-bit slot (or, with `lea`, computes a slot's address), so that an immediate
/// can stand for it.
pub(super) fn immediate_operand(content: &[u8], offset: u32, rex2: bool, lea: bool) -> bool {
    let form = if rex2 { Form::Rex2 } else { Form::Rex };
    let offset = offset as usize;
    if content.len() < offset.saturating_add(4) {
        return false;
    }
    let Some(instruction) = content.get(..offset).and_then(|before| Instruction::before(before, form)) else {
        return false;
    };
    // The prefix stands before opcode and ModRM; its bit 3 is W in both forms.
    let wide = content[offset - 3] & 8 != 0;
    let suits = match instruction.operation {
        Operation::Mov | Operation::Binary(0) => !lea,
        Operation::Lea => lea,
        _ => false,
    };
    wide && suits
}

/// See [`crate::arch::Machine::null`].
///
/// `lea symbol(%rip), reg` becomes `mov $0, reg`, and calls and jumps go to address 0, as they do where null is in reach. Other
/// instructions read or write the object itself, or jump on a condition: such code stands behind a check of the address and
/// does not run, so the low 32 bits of the distance are written. Were it to run, it would touch an address that is a
/// multiple of 4 GiB. For a `lea` to a 32-bit register these bits are the exact answer.
pub(super) fn null(from: EdgeKind, content: &[u8], offset: u32, addend: i64) -> Option<EdgeKind> {
    let before = content.get(..offset as usize)?;
    content.get(offset as usize..)?.get(..4)?;
    match (from, before) {
        // `lea symbol(%rip), %r16` with its REX2 prefix d5 48 looks like `lea symbol(%rip), %rax` behind an instruction whose last
        // byte is d5, such as `call *%rbp`. A load from a slot is right for both.
        (EdgeKind::DELTA32, [.., REX2, payload, 0x8d, modrm]) if is_rip_relative(*modrm) && payload & 0x88 == 0x08 => {
            (addend == END_OF_INSTRUCTION).then_some(kind::NULL_LOAD)
        }
        (EdgeKind::DELTA32, [.., REX_W..=0x4f, 0x8d, modrm]) if is_rip_relative(*modrm) => {
            Some(kind::RELAXED_IMMEDIATE_REX)
        }
        (EdgeKind::DELTA32 | kind::BRANCH32, [.., 0xe8]) => Some(kind::NULL_CALL),
        (EdgeKind::DELTA32 | kind::BRANCH32, [.., 0xe9]) => Some(kind::NULL_JMP),
        (EdgeKind::DELTA32 | kind::BRANCH32, _) => Some(kind::NULL_DELTA32),
        _ => None,
    }
}

/// See [`crate::arch::Machine::rewrite`].
pub(super) fn rewrite(number: u8, content: &mut [u8], offset: usize) -> bool {
    let Some((before, field)) = content.split_at_mut_checked(offset) else {
        return false;
    };
    let Some(field) = field.first_chunk_mut::<4>() else {
        return false;
    };
    match (number, before) {
        (LEA, [.., opcode @ 0x8b, modrm]) if is_rip_relative(*modrm) => *opcode = 0x8d,
        (CALL, [.., prefix @ 0xff, opcode @ 0x15]) => (*prefix, *opcode) = (0x67, 0xe8), // addr32 call symbol
        (JMP, [.., opcode @ 0xff, displacement @ 0x25]) => {
            *opcode = 0xe9; // jmp symbol
            *displacement = 0;
            field[3] = 0x90; // nop
        }
        (NULL_LOAD, [.., opcode @ 0x8d, modrm]) if is_rip_relative(*modrm) => *opcode = 0x8b,
        (IMMEDIATE, before) => return immediate(before, Form::Plain),
        (IMMEDIATE_REX, before) => return immediate(before, Form::Rex),
        (IMMEDIATE_REX2, before) => return immediate(before, Form::Rex2),
        (NULL_CALL, [.., opcode @ 0xe8]) => {
            *opcode = 0x31; // xor %eax, %eax; call *%rax; nop
            *field = [0xc0, 0xff, 0xd0, 0x90];
        }
        (NULL_JMP, [.., opcode @ 0xe9]) => {
            *opcode = 0x31; // xor %eax, %eax; jmp *%rax; nop
            *field = [0xc0, 0xff, 0xe0, 0x90];
        }
        _ => return false,
    }
    true
}

/// Which prefix stands before the opcode.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    Rex,
    Rex2,
}

impl Form {
    /// Bytes of the prefix.
    fn length(self) -> usize {
        match self {
            Self::Plain => 0,
            Self::Rex => 1,
            Self::Rex2 => 2,
        }
    }

    /// Whether `prefix` is one of this form that selects the one-byte opcode map.
    fn accepts(self, prefix: &[u8]) -> bool {
        match self {
            Self::Plain => true,
            Self::Rex => matches!(prefix, [0x40..=0x4f]),
            Self::Rex2 => matches!(prefix, [REX2, 0x00..=0x7f]),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    /// `call *operand`
    Call,
    /// `jmp *operand`
    Jmp,
    /// `mov operand, reg`
    Mov,
    /// `lea operand, reg`
    Lea,
    /// `test reg, operand`
    Test,
    /// `adc`, `add`, ... `operand, reg`, by the number that the group of immediate forms has for it.
    Binary(u8),
}

/// An instruction whose last operand is RIP-relative.
struct Instruction {
    operation: Operation,
    /// Before it stands what may be a prefix that changes what it loads; it may also be the end of another instruction.
    prefixed: bool,
}

impl Instruction {
    /// The one that the field behind `before` belongs to.
    fn before(before: &[u8], form: Form) -> Option<Self> {
        let [rest @ .., opcode, modrm] = before else {
            return None;
        };
        let (rest, prefix) = rest.split_at_checked(rest.len().checked_sub(form.length())?)?;
        if !is_rip_relative(*modrm) || !form.accepts(prefix) {
            return None;
        }
        let operation = match (opcode, modrm) {
            (0xff, 0x15) => Operation::Call,
            (0xff, 0x25) => Operation::Jmp,
            (0x8b, _) => Operation::Mov,
            (0x8d, _) => Operation::Lea,
            (0x85, _) => Operation::Test,
            // 03 add, 0b or, 13 adc, 1b sbb, 23 and, 2b sub, 33 xor, 3b cmp: group 1, as 81 /0 ... /7.
            (0x03 | 0x0b | 0x13 | 0x1b | 0x23 | 0x2b | 0x33 | 0x3b, _) => Operation::Binary(opcode >> 3),
            _ => return None,
        };
        Some(Self { operation, prefixed: matches!(rest, [.., DATA16 | FS | GS]) })
    }
}

/// `mod` 0, `r/m` 5: a 32-bit displacement from the end of the instruction.
fn is_rip_relative(modrm: u8) -> bool {
    modrm & 0xc7 == 0x05
}

/// Makes the memory operand an immediate: the register moves from the `reg` field, extended by the prefix's R bits, to the
/// `r/m` field, extended by its B bits, as it does in the immediate forms of these instructions.
fn immediate(before: &mut [u8], form: Form) -> bool {
    let Some(Instruction { operation, .. }) = Instruction::before(before, form) else {
        return false;
    };
    let (to, group) = match operation {
        Operation::Mov | Operation::Lea => (0xc7, 0),
        Operation::Test => (0xf7, 0),
        Operation::Binary(number) => (0x81, number),
        Operation::Call | Operation::Jmp => return false,
    };
    let [rest @ .., opcode, modrm] = before else {
        return false;
    };
    *opcode = to;
    *modrm = 0xc0 | group << 3 | (*modrm >> 3 & 7);
    match (form, rest) {
        (Form::Rex, [.., rex]) => *rex = *rex & !0b101 | (*rex >> 2 & 1), // 0100 WRXB
        (Form::Rex2, [.., rex2]) => *rex2 = *rex2 & !0b0101_0101 | (*rex2 >> 2 & 0b0001_0001), // M R4 X4 B4, W R3 X3 B3
        _ => {}
    }
    true
}
