//! Writing the fixups: the value of an expression into the bytes of a block.
//!
//! **You give** the edge's row and the addresses that its expression names. **You get** the bytes patched, or why they are not.
//! **Not here:** where those addresses come from, and messages with file and symbol names: the link makes both.

use crate::arch::{Expr, Fixup, Machine, Recipe, TlsModel};
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
        words
    }

    /// The value of a row's expression.
    #[inline]
    pub(crate) fn value(&self, recipe: &Recipe) -> i64 {
        let words = self.words();
        let [plus, minus] = [recipe.plus, recipe.minus].map(|index| words[usize::from(index) % words.len()]);
        (plus.wrapping_sub(minus) as i64).wrapping_add(self.addend)
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
    let value = operands.value(recipe);
    if recipe.special {
        return special(machine, row, content, offset, value);
    }
    if value.wrapping_sub(recipe.lowest) as u64 > recipe.span {
        return Err(FixupError::OutOfRange { value, row });
    }
    store(row, content, offset, value)
}

/// What is more than a value to write, or less.
#[inline(never)]
fn special(
    machine: &Machine,
    row: &'static Fixup,
    content: &mut [u8],
    offset: usize,
    value: i64,
) -> Result<(), FixupError> {
    match (row.expr, row.rewrite) {
        (Expr::Tls(model), _) => Err(FixupError::Unsupported { model, row }),
        (_, None) => Ok(()),
        (_, Some(rewrite)) => {
            let value = value.wrapping_add(i64::from(rewrite.bias));
            if row.recipe.bytes > 0 && !row.range.contains(value) {
                return Err(FixupError::OutOfRange { value, row });
            }
            // A rewrite finds the whole unmoved field in bounds, and the instruction before it, so that the moved one is in bounds too.
            if !(machine.rewrite)(rewrite.number, content, offset) {
                return Err(FixupError::Mismatch { row });
            }
            store(row, content, offset.wrapping_add_signed(isize::from(rewrite.shift)), value)
        }
    }
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
