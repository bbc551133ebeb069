//! Fields: where the value of an edge goes, and which values fit.
//!
//! A field of data is a number of bytes. A field of an instruction is [`Bits`]: which bits of the value go to which bits of the
//! instruction, as psABIs draw them, so that a machine's encodings are tables and there is one function that writes them all.

use std::fmt;

/// Where the value goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    /// Nowhere.
    None,
    /// So many bytes, in the machine's byte order.
    Bytes(u8),
    /// Bits of one instruction, or of some that follow one another.
    Bits(&'static Bits),
    /// Bits whose number the value is added to, modulo their width: what is there is the rest of a sum.
    Added(&'static Bits),
    /// Bits whose number the value is subtracted from, modulo their width.
    Subtracted(&'static Bits),
    /// A number in unsigned LEB128 (DWARF 5, 7.6), of as many bytes as the one that is there.
    Leb128,
}

impl Field {
    /// How many bytes are looked at from the edge's offset on, at least.
    #[inline]
    #[must_use]
    pub const fn width(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Bytes(bytes) => bytes,
            Self::Bits(bits) | Self::Added(bits) | Self::Subtracted(bits) => bits.bytes,
            Self::Leb128 => 1,
        }
    }

    /// What stands in the field at `offset` of `content`, its sign extended: the addend, in formats that have it there. `None` where the field lies outside.
    pub(crate) fn held(self, content: &[u8], offset: u64) -> Option<i64> {
        let rest = content.get(usize::try_from(offset).ok()?..)?;
        let width = usize::from(self.width());
        let mut word = [0; 8];
        word.get_mut(..width)?.copy_from_slice(rest.get(..width)?);
        let word = u64::from_le_bytes(word);
        Some(match self {
            Self::Bytes(bytes @ 1..=8) => {
                let unused = 64 - 8 * u32::from(bytes);
                ((word << unused) as i64) >> unused
            }
            Self::Bits(bits) | Self::Added(bits) | Self::Subtracted(bits) => bits.extract(word),
            Self::None | Self::Bytes(_) | Self::Leb128 => 0,
        })
    }

    /// What is added to the value before its upper bits are taken.
    #[must_use]
    pub fn rounding(self) -> u64 {
        match self {
            Self::Bits(bits) => bits.pieces.iter().map(|piece| u64::from(piece.plus)).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// Whether it is data of fewer bytes than an address has.
    #[must_use]
    pub const fn is_narrow(self, pointer_size: u8) -> bool {
        matches!(self, Self::Bytes(bytes) if bytes < pointer_size)
    }
}

/// A value spread over an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bits {
    /// Bytes of the instruction, or of all of the instructions that the field is spread over: at most eight. They are read as one
    /// little-endian number, in which bits are counted.
    pub bytes: u8,
    /// So many low bits of the value are not stored, and must be zero.
    pub aligned: u8,
    /// What goes where.
    pub pieces: &'static [Piece],
}

/// A run of bits that stay together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// The lowest of them in the value.
    pub from: u8,
    /// How many.
    pub width: u8,
    /// The lowest of them in the instruction.
    pub to: u8,
    /// What is added to the value first: half of what the low part of a split value can hold, where its reader extends its sign.
    pub plus: u32,
    /// What they are bits of.
    pub of: Of,
}

/// What of a value bits are taken from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Of {
    /// The value itself.
    Value,
    /// The complement of a negative value, every other value itself: for instructions that come in two forms.
    Magnitude,
    /// All ones for a value that is not negative, zeros otherwise: which of the forms it is.
    NotNegative,
}

impl Piece {
    /// Bits `from..from + width` of the value at bit `to` of the instruction.
    #[must_use]
    pub const fn new(from: u8, width: u8, to: u8) -> Self {
        Self { from, width, to, plus: 0, of: Of::Value }
    }

    /// As [`Self::new`], of the value and `plus`.
    #[must_use]
    pub const fn rounded(from: u8, width: u8, to: u8, plus: u32) -> Self {
        Self { from, width, to, plus, of: Of::Value }
    }

    /// As [`Self::new`], of the complement of a negative value.
    #[must_use]
    pub const fn magnitude(from: u8, width: u8, to: u8) -> Self {
        Self { from, width, to, plus: 0, of: Of::Magnitude }
    }

    /// Bit `to` of the instruction says that the value is not negative.
    #[must_use]
    pub const fn not_negative(to: u8) -> Self {
        Self { from: 0, width: 1, to, plus: 0, of: Of::NotNegative }
    }

    const fn mask(self) -> u64 {
        u64::MAX >> (64 - self.width)
    }

    const fn bits(self, value: i64) -> u64 {
        let value = match self.of {
            Of::Value => value.wrapping_add(self.plus as i64),
            Of::Magnitude => value ^ value >> 63,
            Of::NotNegative => !(value >> 63),
        };
        (value >> self.from) as u64 & self.mask()
    }
}

impl Bits {
    /// Whether the bits of `value` that are not stored are zero.
    #[must_use]
    pub const fn is_aligned(&self, value: i64) -> bool {
        value & ((1 << self.aligned) - 1) == 0
    }

    /// `instruction` with `value` in it; its other bits are kept.
    #[must_use]
    pub fn insert(&self, instruction: u64, value: i64) -> u64 {
        self.pieces.iter().fold(instruction, |instruction, piece| {
            instruction & !(piece.mask() << piece.to) | piece.bits(value) << piece.to
        })
    }

    /// What the field holds: the stored bits of a value at their places, zeros elsewhere, sign-extended from the highest of them. Of use
    /// for formats whose addends stand in the instruction; a piece that was rounded or complemented is not undone.
    #[must_use]
    pub fn extract(&self, instruction: u64) -> i64 {
        let (mut value, mut top) = (0u64, 0);
        for piece in self.pieces {
            value |= (instruction >> piece.to & piece.mask()) << piece.from;
            top = top.max(u32::from(piece.from) + u32::from(piece.width));
        }
        let unused = 64 - top.clamp(1, 64);
        ((value << unused) as i64) >> unused
    }
}

/// Which values fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Range {
    /// All.
    Any,
    /// `-2^(n-1) ..= 2^(n-1) - 1`
    Signed(u8),
    /// `0 ..= 2^n - 1`
    Unsigned(u8),
    /// `-2^(n-1) ..= 2^n - 1`: data that may be read either way.
    Either(u8),
    /// The smallest and the largest value, where they are no powers of two.
    Between(i64, i64),
}

impl Range {
    /// The smallest and the largest value that fit.
    #[must_use]
    pub const fn ends(self) -> (i64, i64) {
        match self {
            Self::Any => (i64::MIN, i64::MAX),
            Self::Signed(bits) => (-1 << (bits - 1), (1 << (bits - 1)) - 1),
            Self::Unsigned(bits) => (0, (1 << bits) - 1),
            Self::Either(bits) => (-1 << (bits - 1), (1 << bits) - 1),
            Self::Between(lowest, highest) => (lowest, highest),
        }
    }

    /// Whether `value` fits.
    #[inline]
    #[must_use]
    pub const fn contains(self, value: i64) -> bool {
        let (lowest, highest) = self.ends();
        lowest <= value && value <= highest
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.ends()) {
            (Self::Any, _) => f.write_str("any 64-bit value"),
            (_, (0, highest)) => write!(f, "0 ..= {highest:#x}"),
            (_, (lowest, highest)) => write!(f, "-{:#x} ..= {highest:#x}", lowest.unsigned_abs()),
        }
    }
}

/// Writes `value` over the LEB128 number that `bytes` begin with, in as many bytes; `None`, and nothing changed, when it has no end or too few bytes.
pub(crate) fn put_leb128(bytes: &mut [u8], value: u64) -> Option<()> {
    let last = bytes.iter().position(|byte| byte & 0x80 == 0)?;
    let bits = 7 * (last + 1);
    if bits < 64 && value >> bits != 0 {
        return None;
    }
    for (number, byte) in bytes[..=last].iter_mut().enumerate() {
        let seven = u32::try_from(7 * number).ok().and_then(|shift| value.checked_shr(shift)).unwrap_or(0) as u8 & 0x7f;
        *byte = seven | if number < last { 0x80 } else { 0 };
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RISC-V's conditional branch: the pieces are out of order.
    const BRANCH: Bits = Bits {
        bytes: 4,
        aligned: 1,
        pieces: &[Piece::new(12, 1, 31), Piece::new(5, 6, 25), Piece::new(1, 4, 8), Piece::new(11, 1, 7)],
    };
    /// The high and the low part of 32 bits in two instructions, as RISC-V's calls have them.
    const PAIR: Bits =
        Bits { bytes: 8, aligned: 0, pieces: &[Piece::rounded(12, 20, 12, 0x800), Piece::new(0, 12, 52)] };

    #[test]
    fn what_is_inserted_is_extracted() {
        for value in [-4096, -2, 0, 2, 0x7fe, 0x800, 4094] {
            let instruction = BRANCH.insert(0x63, value);
            assert_eq!((BRANCH.extract(instruction), instruction & 0x7f), (value, 0x63));
            assert_eq!(BRANCH.insert(instruction, 0), 0x63, "the old value is gone");
        }
        assert!(BRANCH.is_aligned(-2) && !BRANCH.is_aligned(-1));
    }

    #[test]
    fn a_low_part_that_reads_as_negative_is_made_up_for() {
        let both = PAIR.insert(0, 0x1800);
        assert_eq!((both >> 12 & 0xf_ffff, both >> 52), (2, 0x800), "0x2000 - 0x800");
    }

    /// A move of 16 bits in two forms, as AArch64 has it.
    const MOVE: Bits = Bits { bytes: 4, aligned: 0, pieces: &[Piece::magnitude(16, 16, 5), Piece::not_negative(30)] };

    #[test]
    fn a_negative_value_has_its_complement_stored_in_the_other_form() {
        assert_eq!(MOVE.insert(0xd2a0_0000, 0x1234_5678), 0xd2a0_0000 | 0x1234 << 5);
        assert_eq!(MOVE.insert(0xd2a0_0000, -1), 0x92a0_0000);
        assert_eq!(MOVE.insert(0x92a0_0000, !0x1234_5678), 0x92a0_0000 | 0x1234 << 5);
    }

    #[test]
    fn leb128_keeps_its_length() {
        let mut bytes = [0x80, 0x80, 0x00, 0xaa];
        assert_eq!(put_leb128(&mut bytes, 0x1_2345), Some(()));
        assert_eq!(bytes, [0xc5, 0xc6, 0x04, 0xaa]);
        assert_eq!(put_leb128(&mut bytes, 1), Some(()));
        assert_eq!(bytes, [0x81, 0x80, 0x00, 0xaa]);
        assert_eq!(put_leb128(&mut bytes, 1 << 21), None);
        assert_eq!(put_leb128(&mut [0x80, 0x80], 1), None, "it has no end");
        let mut long = [0x80; 12];
        long[11] = 0;
        assert_eq!(put_leb128(&mut long, u64::MAX), Some(()));
        assert_eq!(long, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81, 0x80, 0x00]);
        assert_eq!(put_leb128(&mut [], 0), None);
    }

    #[test]
    fn widths() {
        assert_eq!([Field::None, Field::Bytes(8), Field::Bits(&BRANCH)].map(Field::width), [0, 8, 4]);
        assert!(Field::Bytes(4).is_narrow(8) && !Field::Bytes(8).is_narrow(8) && !Field::Bits(&BRANCH).is_narrow(8));
    }
}
