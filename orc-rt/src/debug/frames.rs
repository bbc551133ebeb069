//! Call frame information of single functions, written anew for tools that read it from files of their own.
//!
//! You give the `.eh_frame` of an image; you get for a function what says how to unwind it ([`Frames::of`]), and write that as an `.eh_frame` with its `.eh_frame_hdr`
//! beside a copy of the function ([`eh_frame`], for perf), or as records of a `.debug_frame` ([`DebugFrame`], for valgrind). Personality and tables of languages are left
//! out: tools only walk. Not for unwinding in this process, which is [`crate::unwind`]'s.
//!
//! Formats: LSB, chapter "Exception Frames"; DWARF 5, section 6.4.

use crate::unwind::records::{self, Function, pe};

/// The functions of an `.eh_frame`, and its bytes.
#[derive(Debug, Default)]
pub(super) struct Frames<'a> {
    bytes: &'a [u8],
    functions: Vec<Function>,
}

/// How one function is unwound, as its object says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    /// Code and data alignment factors and the return address register, as they stand: three LEB128 numbers.
    factors: &'a [u8],
    /// What holds where the function begins.
    initial: &'a [u8],
    /// What changes on the way.
    program: &'a [u8],
    /// The function is the return from a signal.
    is_signal: bool,
}

impl<'a> Frames<'a> {
    /// Reads the table `bytes`, which lies at `address` and ends in a zero word. What cannot be read has no functions.
    pub(super) fn new(bytes: &'a [u8], address: u64) -> Self {
        Self { bytes, functions: records::functions(bytes, address).unwrap_or_default() }
    }

    /// How the function at `address` is unwound, if the table says.
    pub(super) fn of(&self, address: u64) -> Option<Frame<'a>> {
        let function = records::covering(&self.functions, address)?;
        read(self.bytes, function.record as usize)
    }
}

/// The record at `at` and the entry that it refers to.
fn read(bytes: &[u8], at: usize) -> Option<Frame<'_>> {
    let (body, rest) = record(bytes, at)?;
    let link = u32::from_ne_bytes(*body.first_chunk()?) as usize;
    let entry = (at + 4).checked_sub(link)?;
    let (common, _) = record(bytes, entry)?;

    // The zero that makes it a common entry, its version, its augmentation.
    let (&version, common) = common.get(4..)?.split_first()?;
    let letters = common.iter().position(|byte| *byte == 0)?;
    let (augmentation, mut common) = (&common[..letters], &common[letters + 1..]);
    let has_data = augmentation.first() == Some(&b'z');
    if !has_data && !augmentation.is_empty() {
        return None;
    }
    if version == 4 {
        common = common.get(2..)?;
    }
    let factors = common;
    common = after_leb(after_leb(common)?)?;
    common = if version == 1 { common.get(1..)? } else { after_leb(common)? };
    let factors = &factors[..factors.len() - common.len()];
    // The register is a byte in version 1, which is the same number in LEB128 below 128.
    if factors.last().is_some_and(|last| *last >= 0x80) {
        return None;
    }
    let mut encoding = 0;
    if has_data {
        let (size, data) = leb(common)?;
        common = data.get(size..)?;
        encoding = encoding_of(augmentation, data.get(..size)?)?;
    }
    let width = pe::size(encoding)?;
    let mut program = rest.get(2 * width..)?;
    if has_data {
        let (size, data) = leb(program)?;
        program = data.get(size..)?;
    }
    Some(Frame { factors, initial: common, program, is_signal: augmentation.contains(&b'S') })
}

/// The body of the record at `at`, and what of it follows the first word.
fn record(bytes: &[u8], at: usize) -> Option<(&[u8], &[u8])> {
    let rest = bytes.get(at..)?;
    let size = u32::from_ne_bytes(*rest.first_chunk()?) as usize;
    let body = rest.get(4..)?.get(..size)?;
    Some((body, body.get(4..)?))
}

/// How the entry says that addresses are written.
fn encoding_of(augmentation: &[u8], mut data: &[u8]) -> Option<u8> {
    for letter in augmentation {
        match letter {
            b'R' => return data.first().copied(),
            b'L' => data = data.get(1..)?,
            b'P' => data = data.get(1 + pe::size(data.first()? & !pe::INDIRECT)?..)?,
            _ => {}
        }
    }
    Some(pe::ABSOLUTE)
}

/// A small number in LEB128, and what follows it.
fn leb(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let rest = after_leb(bytes)?;
    let digits = &bytes[..bytes.len() - rest.len()];
    let value = digits.iter().rev().fold(0_usize, |value, digit| value << 7 | usize::from(digit & 0x7f));
    (digits.len() <= 4).then_some((value, rest))
}

fn after_leb(bytes: &[u8]) -> Option<&[u8]> {
    let last = bytes.iter().take(10).position(|byte| byte & 0x80 == 0)?;
    Some(&bytes[last + 1..])
}

/// `DW_CFA_nop`, which fills records up.
const NOP: u8 = 0;
/// `DW_EH_PE_pcrel | DW_EH_PE_sdata4`
const RELATIVE: u8 = 0x1b;

/// Appends one record, whose size becomes a multiple of 8.
fn append(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend([0; 4]);
    body(out);
    out.resize(at + (out.len() - at).next_multiple_of(8), NOP);
    let size = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&size.to_ne_bytes());
}

/// An `.eh_frame` of one function of `size` bytes, followed by its `.eh_frame_hdr`, whose size is the second result. It has to stand behind the function, at the next multiple
/// of 8: every address in it is a distance.
pub(super) fn eh_frame(frame: &Frame<'_>, size: u32) -> (Vec<u8>, usize) {
    let start = u64::from(size).next_multiple_of(8) as i64;
    let mut out = Vec::with_capacity(96 + frame.initial.len() + frame.program.len());
    append(&mut out, |out| {
        out.extend(0_u32.to_ne_bytes());
        out.push(1);
        out.extend(if frame.is_signal { &b"zRS\0"[..] } else { b"zR\0" });
        out.extend(frame.factors);
        out.extend([1, RELATIVE]);
        out.extend(frame.initial);
    });
    let record = out.len();
    append(&mut out, |out| {
        out.extend((record as u32 + 4).to_ne_bytes());
        out.extend((-(start + out.len() as i64) as i32).to_ne_bytes());
        out.extend(size.to_ne_bytes());
        out.push(0);
        out.extend(frame.program);
    });
    // The zero word that ends the table.
    out.extend([0; 8]);
    let header = out.len();
    // Version, then how the address of the table, the number of entries (one of 4 bytes) and the entries (distances from the header) are written.
    out.extend([1, RELATIVE, 0x03, 0x3b]);
    out.extend((-(header as i32) - 4).to_ne_bytes());
    out.extend(1_u32.to_ne_bytes());
    out.extend((-(start + header as i64) as i32).to_ne_bytes());
    out.extend((record as i32 - header as i32).to_ne_bytes());
    let header = out.len() - header;
    (out, header)
}

/// A `.debug_frame` that is being written.
#[derive(Debug, Default)]
pub(super) struct DebugFrame {
    bytes: Vec<u8>,
    /// Where the entry before stands, and what it says.
    recent: Option<(u32, Vec<u8>)>,
}

impl DebugFrame {
    /// Adds a function.
    pub(super) fn push(&mut self, address: u64, size: u64, frame: &Frame<'_>) {
        let common = [frame.factors, frame.initial].concat();
        let entry = match &self.recent {
            Some((at, known)) if *known == common => *at,
            _ => {
                let at = self.bytes.len() as u32;
                append(&mut self.bytes, |out| {
                    out.extend(u32::MAX.to_ne_bytes());
                    out.extend([1, 0]);
                    out.extend(&common);
                });
                self.recent = Some((at, common));
                at
            }
        };
        append(&mut self.bytes, |out| {
            out.extend(entry.to_ne_bytes());
            out.extend(address.to_ne_bytes());
            out.extend(size.to_ne_bytes());
            out.extend(frame.program);
        });
    }

    /// The section.
    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::{DebugFrame, Frames, eh_frame};
    use gimli::{BaseAddresses, EndianSlice, NativeEndian, UnwindContext, UnwindSection};

    /// Two functions of 16 and 32 bytes, as gcc describes them: the first with a personality and a table of its language, pushing rbp; the second the return from a signal.
    fn table(address: u64, functions: [u64; 2]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut entry = |augmentation: &[u8], data: &[u8], function: u64, size: u32, extra: &[u8], program: &[u8]| {
            let common = out.len();
            super::append(&mut out, |out: &mut Vec<u8>| {
                out.extend([0, 0, 0, 0, 1]);
                out.extend(augmentation);
                out.extend([1, 0x78, 16, data.len() as u8]);
                out.extend(data);
                // DW_CFA_def_cfa rsp + 8, DW_CFA_offset ra at cfa-8
                out.extend([0x0c, 7, 8, 0x90, 1]);
            });
            let record = out.len();
            super::append(&mut out, |out: &mut Vec<u8>| {
                out.extend(((record + 4 - common) as u32).to_ne_bytes());
                out.extend((function.wrapping_sub(address + out.len() as u64) as u32).to_ne_bytes());
                out.extend(size.to_ne_bytes());
                out.push(extra.len() as u8);
                out.extend(extra);
                out.extend(program);
            });
        };
        // advance 1, def_cfa_offset 16, offset rbp at cfa-16
        entry(b"zPLR\0", &[0x9b, 1, 2, 3, 4, 0x1b, 0x1b], functions[0], 16, &[9, 9, 9, 9], &[0x41, 0x0e, 16, 0x86, 2]);
        entry(b"zRS\0", &[0x1b], functions[1], 32, &[], &[0x44, 0x0e, 24]);
        out.extend([0; 4]);
        out
    }

    /// What an independent reader makes of a section: start, size, whether it is a signal's, the offset of the frame at the start and behind the first instruction.
    fn rows<'a, S>(section: &S, bases: &BaseAddresses) -> Vec<(u64, u64, bool, Vec<String>)>
    where
        S: UnwindSection<EndianSlice<'a, NativeEndian>>,
        S::Offset: gimli::UnwindOffset<usize>,
    {
        let mut found = Vec::new();
        let mut entries = section.entries(bases);
        while let Some(entry) = entries.next().expect("readable") {
            let gimli::CieOrFde::Fde(partial) = entry else { continue };
            let fde = partial.parse(S::cie_from_offset).expect("readable");
            let mut context = UnwindContext::new();
            let mut table = fde.rows(section, bases, &mut context).expect("readable");
            let mut rows = Vec::new();
            while let Some(row) = table.next_row().expect("readable") {
                rows.push(format!("{:x}: {:?}", row.start_address() - fde.initial_address(), row.cfa()));
            }
            found.push((fde.initial_address(), fde.len(), fde.is_signal_trampoline(), rows));
        }
        found
    }

    #[test]
    fn a_function_beside_its_copy_is_unwound_as_before() {
        let (address, functions) = (0x7000_0000, [0x6fff_0000, 0x7000_4000]);
        let bytes = table(address, functions);
        let original =
            rows(&gimli::EhFrame::new(&bytes, NativeEndian), &BaseAddresses::default().set_eh_frame(address));
        assert_eq!(original.iter().map(|row| row.0).collect::<Vec<_>>(), functions);
        let frames = Frames::new(&bytes, address);
        for (function, expected) in functions.iter().zip(&original) {
            let (size, is_signal, rows_of_it) = (expected.1 as u32, expected.2, &expected.3);
            let frame = frames.of(*function).expect("described");
            let (table, header) = eh_frame(&frame, size);
            // Where perf puts it: the function at 0x80, the table at the next multiple of 8 behind it.
            let start = 0x80 + u64::from(size);
            let header_at = start + (table.len() - header) as u64;
            let bases = BaseAddresses::default().set_eh_frame(start).set_eh_frame_hdr(header_at);
            let (section, index) = table.split_at(table.len() - header);
            let section = gimli::EhFrame::new(section, NativeEndian);
            assert_eq!(rows(&section, &bases), [(0x80, u64::from(size), is_signal, rows_of_it.clone())]);
            let index = gimli::EhFrameHdr::new(index, NativeEndian).parse(&bases, 8).expect("readable");
            let found =
                index.table().expect("there").fde_for_address(&section, &bases, 0x81, gimli::EhFrame::cie_from_offset);
            assert_eq!(found.expect("found").initial_address(), 0x80);
        }
        assert_eq!(frames.of(0x6fff_0010), None);
    }

    #[test]
    fn a_debug_frame_says_the_same() {
        let (address, functions) = (0x7000_0000, [0x6fff_0000, 0x7000_4000]);
        let bytes = table(address, functions);
        let frames = Frames::new(&bytes, address);
        let mut section = DebugFrame::default();
        for (function, size) in functions.into_iter().zip([16, 32]) {
            section.push(function, size, &frames.of(function).expect("described"));
        }
        let section = section.finish();
        let mut section = gimli::DebugFrame::new(&section, NativeEndian);
        section.set_address_size(8);
        let mut original =
            rows(&gimli::EhFrame::new(&bytes, NativeEndian), &BaseAddresses::default().set_eh_frame(address));
        // There is no sign for it in this format.
        original.iter_mut().for_each(|row| row.2 = false);
        assert_eq!(rows(&section, &BaseAddresses::default()), original);
    }

    #[test]
    fn damage_says_nothing_rather_than_something_wrong() {
        let bytes = table(0x1000, [0x5000, 0x6000]);
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                let frames = Frames::new(&damaged, 0x1000);
                if let Some(frame) = frames.of(0x5000) {
                    let (table, header) = eh_frame(&frame, 16);
                    assert!(table.len() > header && table.len() < 300, "{at} {value}");
                }
            }
        }
    }
}
