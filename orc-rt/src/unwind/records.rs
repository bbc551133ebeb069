//! From the bytes of an `.eh_frame` to the functions that it describes, sorted.
//!
//! You give a table that ends in a zero word and the address of its first byte; you get one [`Function`] for each record that describes code, ascending and
//! disjoint. Everything that is read is checked to lie in the table. Not for frame instructions: those are the unwinder's, which gets the address of the record.
//!
//! The format is that of the LSB, chapter "Exception Frames", in this process's byte order.

use std::fmt;

/// Code, and the record that describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Function {
    /// Address of its first byte.
    pub(crate) start: u64,
    /// Its size in bytes, not 0.
    pub(crate) size: u32,
    /// Where its record begins in the table.
    pub(crate) record: u32,
}

impl Function {
    /// The address behind it.
    pub(crate) fn end(&self) -> u64 {
        self.start + u64::from(self.size)
    }
}

/// What is wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Problem {
    /// It reaches beyond the table.
    TooLong,
    /// A field reaches beyond it.
    Truncated,
    /// It describes a function by an entry that is none, or lies elsewhere.
    NoEntry,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "reaches beyond the table",
            Self::Truncated => "is shorter than its fields",
            Self::NoEntry => "refers to a common information entry that is not in the table",
        })
    }
}

/// Why no functions were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unread {
    /// The record at this offset is broken, and with it the chain of records.
    Damaged(u32, Problem),
    /// The table may be good, but holds what this module does not read: encodings that no compiler uses here, functions that overlap.
    Unusual,
}

/// A length that announces one of 64 bits; the unwinders read none either.
const EXTENDED: u32 = u32::MAX;
/// Augmentations are a handful of letters. The bound keeps a table linear whose records name a long one in turns.
const LONGEST_AUGMENTATION: usize = 16;

/// The functions of the table `bytes`, whose first byte is at `address`. Reads up to the first zero word between records, as unwinders do.
pub(crate) fn functions(bytes: &[u8], address: u64) -> Result<Vec<Function>, Unread> {
    if u32::try_from(bytes.len()).is_err() {
        return Err(Unread::Unusual);
    }
    let mut functions = Vec::new();
    let mut recent: Option<(usize, u8)> = None;
    let mut at = 0;
    loop {
        let damaged = |problem| Unread::Damaged(at as u32, problem);
        let Some((body, end)) = extent(bytes, at).map_err(|unread| unread.unwrap_or(damaged(Problem::TooLong)))? else {
            break;
        };
        let record = &bytes[..end];
        let link = word(record, body).ok_or(damaged(Problem::Truncated))? as usize;
        if link != 0 {
            // The distance from this field back to the entry.
            let entry = body.checked_sub(link).ok_or(damaged(Problem::NoEntry))?;
            let encoding = match recent {
                Some((known, encoding)) if known == entry => encoding,
                _ => encoding_of(bytes, entry).map_err(|unread| unread.unwrap_or(damaged(Problem::NoEntry)))?,
            };
            recent = Some((entry, encoding));
            let (start, size) = code(record, body + 4, encoding, address)
                .map_err(|unread| unread.unwrap_or(damaged(Problem::Truncated)))?;
            // A record without a function is what linkers leave of one that they have dropped.
            if start != 0 && size != 0 {
                let size = u32::try_from(size).map_err(|_| Unread::Unusual)?;
                start.checked_add(u64::from(size)).ok_or(Unread::Unusual)?;
                functions.push(Function { start, size, record: at as u32 });
            }
        }
        at = end;
    }
    if !functions.is_sorted_by_key(|function| function.start) {
        functions.sort_unstable_by_key(|function| function.start);
    }
    if functions.windows(2).any(|pair| pair[0].end() > pair[1].start) {
        return Err(Unread::Unusual);
    }
    Ok(functions)
}

/// The function among `functions`, which are sorted, that covers `pc`.
pub(crate) fn covering(functions: &[Function], pc: u64) -> Option<&Function> {
    let after = functions.partition_point(|function| function.start <= pc);
    functions[..after].last().filter(|function| pc < function.end())
}

/// An error of a field: `None` when it is broken, else [`Unread::Unusual`].
type Field<T> = Result<T, Option<Unread>>;

const UNUSUAL: Option<Unread> = Some(Unread::Unusual);

/// Where the body of the record at `at` begins and ends; `None` at the zero word.
fn extent(bytes: &[u8], at: usize) -> Field<Option<(usize, usize)>> {
    match word(bytes, at).ok_or(None)? {
        0 => Ok(None),
        EXTENDED => Err(UNUSUAL),
        length => {
            let end = (at + 4).checked_add(length as usize).filter(|end| *end <= bytes.len());
            Ok(Some((at + 4, end.ok_or(None)?)))
        }
    }
}

/// How the common information entry at offset `at` says that addresses are written (`DW_EH_PE_*`).
fn encoding_of(bytes: &[u8], at: usize) -> Field<u8> {
    let (body, end) = extent(bytes, at)?.ok_or(None)?;
    let record = &bytes[..end];
    if word(record, body) != Some(0) {
        return Err(None);
    }
    let mut at = body + 4;
    let version = next(record, &mut at)?;
    let letters = record[at..].iter().take(LONGEST_AUGMENTATION).position(|byte| *byte == 0).ok_or(UNUSUAL)?;
    let augmentation = &record[at..at + letters];
    at += letters + 1;
    match version {
        1 | 3 => {}
        // Size of an address, and of a segment selector.
        4 if (next(record, &mut at)?, next(record, &mut at)?) == (size_of::<usize>() as u8, 0) => {}
        _ => return Err(UNUSUAL),
    }
    // Without `z` there is no data, and addresses are written as they are.
    let Some((b'z', letters)) = augmentation.split_first() else {
        return if matches!(augmentation, b"" | b"eh") { Ok(pe::ABSOLUTE) } else { Err(UNUSUAL) };
    };
    skip_leb(record, &mut at)?; // code alignment
    skip_leb(record, &mut at)?; // data alignment
    if version == 1 {
        next(record, &mut at)?; // return address register
    } else {
        skip_leb(record, &mut at)?;
    }
    skip_leb(record, &mut at)?; // size of the data
    for letter in letters {
        match letter {
            b'R' => return next(record, &mut at),
            b'L' => {
                next(record, &mut at)?;
            }
            b'P' => {
                let format = next(record, &mut at)?;
                at += pe::size(format & !pe::INDIRECT).ok_or(UNUSUAL)?;
            }
            b'S' | b'B' | b'G' => {}
            _ => return Err(UNUSUAL),
        }
    }
    Ok(pe::ABSOLUTE)
}

/// The address and the size of a function, which stand at offset `at`.
fn code(record: &[u8], at: usize, encoding: u8, address: u64) -> Field<(u64, u64)> {
    let base = match encoding & pe::APPLICATION {
        pe::ABSOLUTE => 0,
        pe::RELATIVE => address.wrapping_add(at as u64),
        _ => return Err(UNUSUAL),
    };
    let format = encoding & pe::FORMAT;
    let width = pe::size(encoding).ok_or(UNUSUAL)?;
    let written = pe::value(record, at, format).ok_or(None)?;
    let size = pe::value(record, at + width, format).ok_or(None)?;
    // Nothing is relative to nowhere.
    Ok((if written == 0 { 0 } else { base.wrapping_add(written) }, size))
}

/// Pointer encodings (LSB, "DWARF Exception Header Encoding"), as far as compilers use them for code.
pub(crate) mod pe {
    pub(crate) const FORMAT: u8 = 0x0f;
    pub(crate) const APPLICATION: u8 = 0xf0;
    pub(crate) const ABSOLUTE: u8 = 0;
    pub(crate) const RELATIVE: u8 = 0x10;
    pub(crate) const INDIRECT: u8 = 0x80;

    /// Bytes of a value; `None` for formats of variable size, aligned and omitted ones.
    pub(crate) fn size(encoding: u8) -> Option<usize> {
        match (encoding & APPLICATION, encoding & FORMAT) {
            (0x50.., _) => None,
            (_, 0x0 | 0x4 | 0xc) => Some(8),
            (_, 0x3 | 0xb) => Some(4),
            (_, 0x2 | 0xa) => Some(2),
            _ => None,
        }
    }

    /// The value at offset `at`, with its sign.
    pub(crate) fn value(bytes: &[u8], at: usize, format: u8) -> Option<u64> {
        let bytes = bytes.get(at..)?;
        match format {
            0x2 => bytes.first_chunk().map(|bytes| u64::from(u16::from_ne_bytes(*bytes))),
            0x3 => bytes.first_chunk().map(|bytes| u64::from(u32::from_ne_bytes(*bytes))),
            0xa => bytes.first_chunk().map(|bytes| i64::from(i16::from_ne_bytes(*bytes)) as u64),
            0xb => bytes.first_chunk().map(|bytes| i64::from(i32::from_ne_bytes(*bytes)) as u64),
            _ => bytes.first_chunk().map(|bytes| u64::from_ne_bytes(*bytes)),
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

fn next(bytes: &[u8], at: &mut usize) -> Field<u8> {
    let byte = *bytes.get(*at).ok_or(None)?;
    *at += 1;
    Ok(byte)
}

/// Steps over a LEB128 number, of at most ten bytes.
fn skip_leb(bytes: &[u8], at: &mut usize) -> Field<()> {
    for _ in 0..10 {
        if next(bytes, at)? & 0x80 == 0 {
            return Ok(());
        }
    }
    Err(UNUSUAL)
}

#[cfg(test)]
mod tests {
    use super::{Function, Problem, Unread, covering, functions};
    use proptest::prelude::*;

    /// Where the tables of these tests are.
    const START: u64 = 0x7000_0000_1000;

    /// Puts records together.
    #[derive(Default)]
    struct Table(Vec<u8>);

    impl Table {
        fn record(&mut self, body: &[u8]) -> u32 {
            let at = self.0.len();
            let padded = body.len().next_multiple_of(4);
            self.0.extend((padded as u32).to_ne_bytes());
            self.0.extend(body);
            self.0.resize(at + 4 + padded, 0);
            at as u32
        }

        fn cie(&mut self, version: u8, augmentation: &[u8], data: &[u8]) -> u32 {
            let mut body = vec![0, 0, 0, 0, version];
            body.extend(augmentation);
            body.push(0);
            if version == 4 {
                body.extend([8, 0]);
            }
            body.extend([1, 0x78, 16]);
            if augmentation.first() == Some(&b'z') {
                body.push(data.len() as u8);
                body.extend(data);
            }
            self.record(&body)
        }

        fn fde(&mut self, cie: u32, fields: &[u8]) -> u32 {
            let mut body = (self.0.len() as u32 + 4 - cie).to_ne_bytes().to_vec();
            body.extend(fields);
            self.record(&body)
        }

        /// An FDE with a distance of 32 bits, as compilers write it.
        fn function(&mut self, cie: u32, start: u64, size: u32) -> u32 {
            let distance = start.wrapping_sub(START + self.0.len() as u64 + 8) as u32;
            self.fde(cie, &[distance.to_ne_bytes(), size.to_ne_bytes()].concat())
        }

        fn read(&self) -> Result<Vec<Function>, Unread> {
            let mut bytes = self.0.clone();
            bytes.extend([0; 4]);
            functions(&bytes, START)
        }
    }

    #[test]
    fn functions_come_sorted_and_are_found_by_every_address_in_them() {
        let mut table = Table::default();
        let cie = table.cie(1, b"zPLR", &[0x9b, 1, 2, 3, 4, 0x1b, 0x1b]);
        let late = table.function(cie, START + 0x2000, 0x20);
        let early = table.function(cie, START - 0x2000, 0x10);
        let dropped_size = table.function(cie, START + 0x3000, 0);
        let dropped = table.fde(cie, &[0, 0, 0, 0, 8, 0, 0, 0]);
        assert!(dropped > dropped_size);
        let read = table.read().expect("well-formed");
        let expected = [
            Function { start: START - 0x2000, size: 0x10, record: early },
            Function { start: START + 0x2000, size: 0x20, record: late },
        ];
        assert_eq!(read, expected);
        for (pc, record) in [
            (START - 0x2001, None),
            (START - 0x2000, Some(early)),
            (START - 0x1ff1, Some(early)),
            (START - 0x1ff0, None),
            (START + 0x201f, Some(late)),
            (START + 0x2020, None),
        ] {
            assert_eq!(covering(&read, pc).map(|function| function.record), record, "{pc:#x}");
        }
    }

    #[test]
    fn addresses_are_read_in_every_encoding_of_fixed_size() {
        let at = START + 0x100;
        for (encoding, width) in
            [(0x00, 8), (0x04, 8), (0x0c, 8), (0x10, 8), (0x1c, 8), (0x1b, 4), (0x13, 4), (0x1a, 2), (0x12, 2)]
        {
            let mut table = Table::default();
            let cie = table.cie(3, b"zR", &[encoding]);
            let base = if encoding & 0x10 == 0 { 0 } else { START + table.0.len() as u64 + 8 };
            let value = (at - base).to_ne_bytes();
            let record = table.fde(cie, &[&value[..width], &7_u64.to_ne_bytes()[..width]].concat());
            assert_eq!(table.read(), Ok(vec![Function { start: at, size: 7, record }]), "{encoding:#x}");
        }
        for encoding in [0xff, 0x9b, 0x50, 0x20, 0x30, 0x01, 0x09, 0x05] {
            let mut table = Table::default();
            let cie = table.cie(1, b"zR", &[encoding]);
            table.fde(cie, &[1; 16]);
            assert_eq!(table.read(), Err(Unread::Unusual), "{encoding:#x}");
        }
    }

    #[test]
    fn entries_of_every_version_are_read() {
        for (version, augmentation, data) in [
            (1, &b""[..], &[][..]),
            (3, b"", &[]),
            (4, b"zRS", &[0]),
            (1, b"zLS", &[0x1b]),
            (4, b"zPR", &[0x1a, 0, 0, 0]),
        ] {
            let mut table = Table::default();
            let cie = table.cie(version, augmentation, data);
            let record = table.fde(cie, &[0x1000_u64.to_ne_bytes(), 5_u64.to_ne_bytes()].concat());
            assert_eq!(
                table.read(),
                Ok(vec![Function { start: 0x1000, size: 5, record }]),
                "{version} {augmentation:?}"
            );
        }
        for (version, augmentation) in [(2, &b"zR"[..]), (1, b"zX"), (1, b"armcc"), (1, &[b'z'; 40])] {
            let mut table = Table::default();
            let cie = table.cie(version, augmentation, &[0]);
            table.fde(cie, &[1; 16]);
            assert_eq!(table.read(), Err(Unread::Unusual), "{version} {augmentation:?}");
        }
    }

    #[test]
    fn functions_that_overlap_are_left_to_the_unwinder() {
        let mut table = Table::default();
        let cie = table.cie(1, b"zR", &[0x1b]);
        table.function(cie, START + 0x100, 0x11);
        table.function(cie, START + 0x110, 0x10);
        assert_eq!(table.read(), Err(Unread::Unusual));
    }

    #[test]
    fn broken_chains_are_told_with_their_place() {
        let mut table = Table::default();
        let cie = table.cie(1, b"zR", &[0x1b]);
        let good = table.function(cie, START + 0x100, 0x10);
        let whole = table.0.clone();
        for cut in good + 4..whole.len() as u32 {
            assert_eq!(functions(&whole[..cut as usize], START), Err(Unread::Damaged(good, Problem::TooLong)), "{cut}");
        }
        // No zero word.
        assert_eq!(functions(&whole, START), Err(Unread::Damaged(whole.len() as u32, Problem::TooLong)));
        let short = table.fde(cie, &[1, 2]);
        assert_eq!(table.read(), Err(Unread::Damaged(short, Problem::Truncated)));
        for link in [1_u32, 4, 8, 0x7fff_ffff, u32::MAX] {
            let mut table = Table(whole.clone());
            let astray = table.record(&[&link.to_ne_bytes()[..], &[1; 8]].concat());
            assert_eq!(table.read(), Err(Unread::Damaged(astray, Problem::NoEntry)), "{link:#x}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_wild(bytes in proptest::collection::vec(any::<u8>(), 0..200), address: u64) {
            if let Ok(functions) = functions(&bytes, address) {
                prop_assert!(functions.iter().all(|function| (function.record as usize) < bytes.len()));
            }
        }

        #[test]
        fn damage_of_a_good_table_is_survived(at in 0_usize..72, byte: u8) {
            let mut table = Table::default();
            let cie = table.cie(1, b"zPLR", &[0x9b, 1, 2, 3, 4, 0x1b, 0x1b]);
            table.function(cie, START + 0x100, 0x10);
            table.function(cie, START + 0x200, 0x10);
            let at = at.min(table.0.len() - 1);
            table.0[at] = byte;
            if let Ok(read) = table.read() {
                prop_assert!(read.is_sorted_by(|a, b| a.end() <= b.start), "{read:x?}");
            }
        }
    }
}
