//! Call frame information of Windows on x86-64 in the words of DWARF: "x64 exception handling" of Microsoft's documentation, `UNWIND_INFO`, on one side,
//! *DWARF Debugging Information Format* 6.4 and the AMD64 psABI 3.6.2 (register numbers) on the other.
//!
//! **You give** the unwind information of a function, and that of the functions that it is chained to. **You get** the instructions of a frame
//! description entry that says the same of every place behind the prologue and in it. **Not here:** epilogues, which Windows recognizes by their
//! instructions: while one runs, a walk of the stack may go wrong, as it may with compilers that leave them out; vector registers, which no caller
//! of another convention asks to be kept; handlers of exceptions.

use super::Unwind;
use smallvec::SmallVec;

pub(super) static UNWIND: Unwind = Unwind { cie: CIE, entry_size: 12, chained, convert };

/// "zR", code in bytes, data in minus eight, the return address in column 16, addresses as 32-bit distances; at the start of a function the frame is
/// what the call has pushed.
const CIE: &[u8] = &[
    1, b'z', b'R', 0, 1, 0x78, 16, 1,
    0x1b, // version 1, augmentation, 1, -8, 16, one byte, DW_EH_PE_pcrel | sdata4
    0x0c, 7, 8, // DW_CFA_def_cfa rsp, 8
    0x90, 1, // DW_CFA_offset 16, 1
];

/// By number of the processor: DWARF's.
const REGISTERS: [u8; 16] = [0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15];

/// What one operation of a prologue did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operation {
    Push(u8),
    Allocate(i64),
    /// The frame register is the stack pointer and so many bytes.
    SetFrame(u8, i64),
    /// So many bytes above what the fixed part of the frame begins with.
    Save(u8, i64),
    /// Nothing that concerns unwinders here.
    Other,
}

/// Where in unwind information the entry of the function stands that it is chained to.
fn chained(info: &[u8]) -> Option<usize> {
    const CHAINED: u8 = 4;
    let [first, _, count, ..] = info else { return None };
    (first >> 3 & CHAINED != 0).then(|| 4 + usize::from(*count).next_multiple_of(2) * 2)
}

/// The operations of a prologue in the order in which they run, each with where its instruction ends.
fn operations(info: &[u8]) -> Option<SmallVec<[(u8, Operation); 16]>> {
    let [first, _, count, frame, codes @ ..] = info else { return None };
    let version = first & 7;
    if !matches!(version, 1 | 2) {
        return None;
    }
    let mut codes = codes.get(..usize::from(*count) * 2)?;
    let mut all = SmallVec::new();
    while let [end, code, rest @ ..] = codes {
        let (operation, argument) = (code & 15, code >> 4);
        let half = || Some(i64::from(u16::from_le_bytes(*rest.first_chunk()?)));
        let word = || Some(i64::from(u32::from_le_bytes(*rest.first_chunk()?)));
        let (slots, what) = match operation {
            0 => (0, Operation::Push(argument)),
            1 if argument == 0 => (1, Operation::Allocate(half()? * 8)),
            1 => (2, Operation::Allocate(word()?)),
            2 => (0, Operation::Allocate(i64::from(argument) * 8 + 8)),
            3 => (0, Operation::SetFrame(frame & 15, i64::from(frame >> 4) * 16)),
            4 => (1, Operation::Save(argument, half()? * 8)),
            5 => (2, Operation::Save(argument, word()?)),
            // Version 2 describes epilogues with these; version 1 has stores of half a vector register.
            6 if version == 2 => (0, Operation::Other),
            6 | 8 => (1, Operation::Other),
            7 | 9 => (2, Operation::Other),
            // The frame of an interrupt: no function calls it.
            _ => return None,
        };
        codes = rest.get(slots * 2..)?;
        all.push((*end, what));
    }
    all.reverse();
    Some(all)
}

/// The instructions of the entry whose unwind information is the first of `infos`, each of which is chained to the next. `None` where the frame cannot be told.
fn convert(infos: &[&[u8]]) -> Option<Vec<u8>> {
    let mut all: SmallVec<[(Option<u8>, Operation); 16]> = SmallVec::new();
    for (at, info) in infos.iter().enumerate().rev() {
        // What it is chained to has run before.
        all.extend(operations(info)?.into_iter().map(|(end, operation)| ((at == 0).then_some(end), operation)));
    }
    // Bytes between the frame's address and the stack pointer: the return address first.
    let (mut depth, mut at_frame) = (8i64, None);
    for (_, operation) in &all {
        match operation {
            Operation::Push(_) => depth += 8,
            Operation::Allocate(bytes) => depth += bytes,
            Operation::SetFrame(..) => at_frame = Some(depth),
            Operation::Save(..) | Operation::Other => {}
        }
    }
    let fixed = at_frame.unwrap_or(depth);

    let mut out = Cfa { bytes: Vec::new(), at: 0 };
    let (mut depth, mut framed) = (8i64, false);
    for (end, operation) in all {
        out.advance(end);
        match operation {
            Operation::Push(register) => {
                depth += 8;
                out.depth(depth, framed);
                out.saved(register, depth);
            }
            Operation::Allocate(bytes) => {
                depth += bytes;
                out.depth(depth, framed);
            }
            Operation::SetFrame(register, above) => {
                framed = true;
                // DW_CFA_def_cfa
                out.bytes.extend([0x0c, REGISTERS[usize::from(register)]]);
                out.unsigned(u64::try_from(depth - above).ok()?);
            }
            Operation::Save(register, above) => out.saved(register, fixed - above),
            Operation::Other => {}
        }
    }
    Some(out.bytes)
}

/// Call frame instructions as they grow.
struct Cfa {
    bytes: Vec<u8>,
    /// Where in the function.
    at: u8,
}

impl Cfa {
    fn advance(&mut self, to: Option<u8>) {
        let by = to.map_or(0, |to| to.saturating_sub(self.at));
        match by {
            0 => return,
            // DW_CFA_advance_loc, DW_CFA_advance_loc1
            1..=63 => self.bytes.push(0x40 | by),
            _ => self.bytes.extend([0x02, by]),
        }
        self.at += by;
    }

    /// The frame begins so many bytes above the stack pointer, if that is what it is counted from.
    fn depth(&mut self, depth: i64, framed: bool) {
        if !framed {
            // DW_CFA_def_cfa_offset
            self.bytes.push(0x0e);
            self.unsigned(depth as u64);
        }
    }

    /// A register is so many bytes below the start of the frame; above it, where a callee may use what its caller has left for it.
    fn saved(&mut self, register: u8, below: i64) {
        let column = REGISTERS[usize::from(register)];
        match u64::try_from(below / 8) {
            // DW_CFA_offset
            Ok(words) => {
                self.bytes.push(0x80 | column);
                self.unsigned(words);
            }
            // DW_CFA_offset_extended_sf
            Err(_) => {
                self.bytes.extend([0x11, column]);
                self.signed(below / 8);
            }
        }
    }

    fn unsigned(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    fn signed(&mut self, mut value: i64) {
        loop {
            let byte = value as u8 & 0x7f;
            value >>= 7;
            if (value == 0 && byte & 0x40 == 0) || (value == -1 && byte & 0x40 != 0) {
                self.bytes.push(byte);
                return;
            }
            self.bytes.push(byte | 0x80);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushes_and_allocations() {
        // push %rbx; sub $32, %rsp
        let info = [0x01, 5, 2, 0, 5, 0x32, 1, 0x30];
        let cfa = convert(&[&info]).expect("a frame");
        assert_eq!(cfa, [0x41, 0x0e, 16, 0x83, 2, 0x44, 0x0e, 48]);
    }

    #[test]
    fn a_frame_register_is_what_the_frame_is_counted_from() {
        // push %rbp; sub $0x100, %rsp; lea 0x80(%rsp), %rbp; mov %rsi, 0x40(%rsp)
        let info = [0x01, 30, 6, 0x85, 30, 0x64, 8, 0, 20, 0x03, 10, 0x01, 0x20, 0, 1, 0x50];
        let cfa = convert(&[&info]).expect("a frame");
        let depth = 8 + 8 + 0x100;
        assert_eq!(
            cfa,
            [
                0x41,
                0x0e,
                16,
                0x86,
                2, // push %rbp
                0x49,
                0x0e,
                0x90,
                2, // sub
                0x4a,
                0x0c,
                6,
                0x90,
                1, // rbp + depth - 0x80
                0x4a,
                0x84,
                ((depth - 0x40) / 8) as u8, // rsi
            ]
        );
    }

    #[test]
    fn a_register_in_the_callers_space_is_above_the_frame() {
        // mov %rbx, 8(%rsp), and nothing is allocated: eight bytes above the return address.
        let info = [0x01, 5, 2, 0, 5, 0x34, 2, 0];
        assert_eq!(convert(&[&info]).expect("a frame"), [0x45, 0x11, 3, 0x7f]);
    }

    #[test]
    fn what_a_chained_function_did_has_happened() {
        let first = [0x01, 5, 2, 0, 5, 0x32, 1, 0x30];
        let second = [0x21, 4, 1, 0, 4, 0x60, 0, 0];
        assert_eq!(chained(&second), Some(8));
        assert_eq!(chained(&first), None);
        let cfa = convert(&[&second, &first]).expect("a frame");
        assert_eq!(cfa, [0x0e, 16, 0x83, 2, 0x0e, 48, 0x44, 0x0e, 56, 0x84, 7]);
    }

    #[test]
    fn what_is_damaged_or_no_function_is_not_told() {
        for info in
            [&[][..], &[1, 0], &[0x03, 0, 0, 0], &[1, 0, 2, 0, 1, 0x30], &[1, 0, 1, 0, 1, 0x0a], &[1, 0, 1, 0, 4, 0x01]]
        {
            assert_eq!(convert(&[info]), None, "{info:x?}");
        }
    }
}
