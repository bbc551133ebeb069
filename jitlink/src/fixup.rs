//! Writing the fixups: the value of an expression into the bytes of a block.
//!
//! **You give** the edge's row and the addresses that its expression names. **You get** the bytes patched, or why they are not.
//! **Not here:** where those addresses come from, and messages with file and symbol names: the link makes both.

use crate::arch::{Bits, Expr, Field, Fixup, Machine, Recipe, TlsModel, put_leb128};
use crate::graph::EdgeKind;

/// What an expression may name; see [`Expr`] for the letters. Those that the row at hand does not use may be anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Operands {
    /// S: the address of the symbol.
    pub symbol: u64,
    /// A: the constant of the edge.
    pub addend: i64,
    /// P: the address of the byte at `offset`.
    pub place: u64,
    /// G: the address of the symbol's GOT slot.
    pub slot: u64,
    /// GOT: the address of the base of the table.
    pub got: u64,
    /// L: where a branch goes, a stub or the symbol itself.
    pub branch: u64,
    /// Z: the size of the symbol.
    pub size: u64,
    /// B: the image base; R, the start of a run of sections, or N, its number, for rows that name these.
    pub image: u64,
}

impl Operands {
    /// All but the addend, at the indices of [`Recipe`].
    #[inline]
    fn words(&self) -> [u64; 8] {
        let mut words = [0; 8];
        words[usize::from(Recipe::SYMBOL)] = self.symbol;
        words[usize::from(Recipe::PLACE)] = self.place;
        words[usize::from(Recipe::SLOT)] = self.slot;
        words[usize::from(Recipe::GOT)] = self.got;
        words[usize::from(Recipe::BRANCH)] = self.branch;
        words[usize::from(Recipe::SIZE)] = self.size;
        words[usize::from(Recipe::IMAGE)] = self.image;
        words
    }

    /// The value of a row's expression.
    pub(crate) fn value(&self, row: &Fixup) -> i64 {
        match row.expr {
            Expr::Symbol => self.symbol as i64,
            expr if expr.is_of_pages() => self.pages(row),
            _ => self.distance(&row.recipe),
        }
    }

    fn sides(&self, recipe: &Recipe) -> [u64; 2] {
        let words = self.words();
        [recipe.plus, recipe.minus].map(|index| words[usize::from(index) % words.len()])
    }

    /// The value where pages are not what counts.
    #[inline]
    fn distance(&self, recipe: &Recipe) -> i64 {
        let [plus, minus] = self.sides(recipe);
        (plus.wrapping_sub(minus) as i64).wrapping_add(self.addend)
    }

    /// What of the value is added, before it is cut to a page.
    pub(crate) fn added(&self, row: &Fixup) -> u64 {
        let [plus, _] = self.sides(&row.recipe);
        // What is rounded in the instruction is rounded before it is cut.
        plus.wrapping_add_signed(self.addend).wrapping_add(row.field.rounding())
    }

    fn pages(&self, row: &Fixup) -> i64 {
        const OFFSET_IN_PAGE: u64 = 0xfff;
        let cut = |address: u64, to_page: bool| if to_page { address & !OFFSET_IN_PAGE } else { address };
        let [_, minus] = self.sides(&row.recipe);
        let (of_plus, of_minus) = row.expr.pages();
        let plus = self.added(row);
        cut(plus, of_plus).wrapping_sub(cut(minus, of_minus)) as i64
    }
}

/// Why a fixup could not be written. Nothing was.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum FixupError {
    /// The value does not fit the field.
    #[error("{}: value {value:#x} is out of range, {}", row.name, row.range)]
    OutOfRange {
        /// The value.
        value: i64,
        /// The row.
        row: &'static Fixup,
    },
    /// An expression that the link has to lower to others first.
    #[error("{}: thread-local storage of the {model} model is not supported here", row.name)]
    Unsupported {
        /// Which.
        model: TlsModel,
        /// The row.
        row: &'static Fixup,
    },
    /// The value has bits that the instruction leaves out.
    #[error("{}: value {value:#x} is not a multiple of {align}", row.name)]
    Misaligned {
        /// The value.
        value: i64,
        /// What it has to be a multiple of.
        align: u64,
        /// The row.
        row: &'static Fixup,
    },
    /// The field reaches past the end of the block.
    #[error("{}: the field lies outside of its block", row.name)]
    OutOfBlock {
        /// The row.
        row: &'static Fixup,
    },
    /// The bytes are not the instruction that the row rewrites.
    #[error("{}: the instruction is not one that can be rewritten", row.name)]
    Mismatch {
        /// The row.
        row: &'static Fixup,
    },
}

/// Writes the value of row `kind` at `offset` of `content`, with the row's instruction rewrite if it has one.
///
/// Expressions wrap modulo 2^64, as the psABIs say; only what is stored is held against the row's range.
///
/// # Errors
/// When the value or the field is out of bounds, or the row is not for writing. `content` is as it was then.
#[inline]
pub fn apply(
    machine: &Machine,
    kind: EdgeKind,
    content: &mut [u8],
    offset: usize,
    operands: &Operands,
) -> Result<(), FixupError> {
    let row = machine.fixup(kind);
    let recipe = &row.recipe;
    if recipe.special {
        return special(machine, row, content, offset, operands);
    }
    let value = operands.distance(recipe);
    if value.wrapping_sub(recipe.lowest) as u64 > recipe.span {
        return Err(FixupError::OutOfRange { value, row });
    }
    store(row, content, offset, value)
}

/// What is more than a number of bytes to write, or less.
#[inline(never)]
fn special(
    machine: &Machine,
    row: &'static Fixup,
    content: &mut [u8],
    offset: usize,
    operands: &Operands,
) -> Result<(), FixupError> {
    if let Expr::Tls(model) = row.expr {
        return Err(FixupError::Unsupported { model, row });
    }
    let value = operands.value(row).wrapping_add(row.rewrite.map_or(0, |rewrite| i64::from(rewrite.bias)));
    check(row, value)?;
    let mut offset = offset;
    if let Some(rewrite) = row.rewrite {
        // A rewrite finds the whole unmoved field in bounds, and the instruction before it, so that the moved one is in bounds too.
        if !(machine.rewrite)(rewrite.number, content, offset) {
            return Err(FixupError::Mismatch { row });
        }
        offset = offset.wrapping_add_signed(isize::from(rewrite.shift));
    }
    place(row, content, offset, value)
}

/// Writes `value` over what stands in the field of `row` that `content` begins with; to what is added in place, it is added once more. The instruction is the one that the
/// row's own rewrite has left.
pub(crate) fn rewrite(row: &'static Fixup, content: &mut [u8], value: i64) -> Result<(), FixupError> {
    check(row, value)?;
    place(row, content, 0, value)
}

/// Whether the value fits.
fn check(row: &'static Fixup, value: i64) -> Result<(), FixupError> {
    if row.field != Field::None && !row.range.contains(value) {
        return Err(FixupError::OutOfRange { value, row });
    }
    match row.field {
        Field::Bits(bits) if !bits.is_aligned(value) => {
            Err(FixupError::Misaligned { value, align: 1 << bits.aligned, row })
        }
        _ => Ok(()),
    }
}

fn place(row: &'static Fixup, content: &mut [u8], offset: usize, value: i64) -> Result<(), FixupError> {
    match row.field {
        Field::None => Ok(()),
        Field::Bytes(_) => store(row, content, offset, value),
        Field::Bits(bits) => insert(row, bits, content, offset, |_| value),
        Field::Added(bits) => insert(row, bits, content, offset, |old| old.wrapping_add(value)),
        Field::Subtracted(bits) => insert(row, bits, content, offset, |old| old.wrapping_sub(value)),
        Field::Leb128 => match content.get_mut(offset..).map(|bytes| put_leb128(bytes, value as u64)) {
            Some(Some(())) => Ok(()),
            Some(None) => Err(FixupError::OutOfRange { value, row }),
            None => Err(FixupError::OutOfBlock { row }),
        },
    }
}

/// Puts what `value` gives of what is there into the bits of a field.
fn insert(
    row: &'static Fixup,
    bits: &Bits,
    content: &mut [u8],
    offset: usize,
    value: impl Fn(i64) -> i64,
) -> Result<(), FixupError> {
    let field = content.get_mut(offset..).and_then(|rest| rest.get_mut(..usize::from(bits.bytes)));
    let field = field.ok_or(FixupError::OutOfBlock { row })?;
    let mut instruction = [0; 8];
    instruction[..field.len()].copy_from_slice(field);
    let instruction = u64::from_le_bytes(instruction);
    let instruction = bits.insert(instruction, value(bits.extract(instruction))).to_le_bytes();
    field.copy_from_slice(&instruction[..field.len()]);
    Ok(())
}

/// Widths, unlike expressions, come in runs: code has four bytes, data eight.
#[inline]
fn store(row: &'static Fixup, content: &mut [u8], offset: usize, value: i64) -> Result<(), FixupError> {
    let field = content.get_mut(offset..);
    let stored = match row.recipe.bytes {
        4 => put(field, (value as u32).to_le_bytes()),
        8 => put(field, value.to_le_bytes()),
        2 => put(field, (value as u16).to_le_bytes()),
        1 => put(field, [value as u8]),
        _ => Some(()),
    };
    stored.ok_or(FixupError::OutOfBlock { row })
}

#[inline]
fn put<const N: usize>(field: Option<&mut [u8]>, bytes: [u8; N]) -> Option<()> {
    *field?.first_chunk_mut()? = bytes;
    Some(())
}
