//! What a rule's sides are worth.
//!
//! Values are unsigned, of 64 bits, and wrap. Where linked code is comes from a [`World`]; it is asked for addresses in the target, and what loads
//! read there is what stands there after fix-up.

use super::parse::{Call, Expr, Operator};

/// What rules speak of: a finished link.
pub(crate) trait World {
    /// The address of a symbol.
    fn symbol(&self, name: &str) -> Result<u64, String>;
    /// The number that stands at an address, in the target's byte order.
    fn read(&self, address: u64, bytes: u8) -> Result<u64, String>;
    /// Where a section of a file begins.
    fn section(&self, file: &str, section: &str) -> Result<u64, String>;
    /// The slot that a file's code loads a symbol's address from.
    fn slot(&self, file: &str, symbol: &str) -> Result<u64, String>;
    /// The stub through which a file's code calls a symbol.
    fn stub(&self, file: &str, symbol: &str, kind: Option<&str>) -> Result<u64, String>;
    /// The instruction that stands `offset` bytes behind a symbol.
    fn instruction(&self, symbol: &str, offset: u64) -> Result<Instruction, String>;
}

/// As much of an instruction as rules ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    /// In bytes.
    pub(crate) length: u64,
    /// By LLVM's numbering; `None` for those that are no immediates.
    pub(crate) operands: Vec<Option<i64>>,
}

/// The value of an expression, or what of it has none.
pub(super) fn value(world: &impl World, expr: &Expr) -> Result<u64, String> {
    Ok(match expr {
        Expr::Number(number) => *number,
        Expr::Symbol(name) => world.symbol(name)?,
        Expr::Call(call) => self::call(world, call)?,
        Expr::Load { bytes, address } => world.read(value(world, address)?, *bytes)?,
        Expr::Chain { first, rest } => {
            let mut result = value(world, first)?;
            for (operator, operand) in rest {
                result = apply(result, *operator, value(world, operand)?);
            }
            result
        }
        Expr::Slice { of, high, low } => {
            let kept = u64::MAX >> (63 - (high - low));
            (value(world, of)? >> low) & kept
        }
    })
}

fn apply(left: u64, operator: Operator, right: u64) -> u64 {
    let bits = u32::try_from(right).ok();
    match operator {
        Operator::Add => left.wrapping_add(right),
        Operator::Subtract => left.wrapping_sub(right),
        Operator::And => left & right,
        Operator::Or => left | right,
        // What is shifted out is gone, all of it when there are no so many bits.
        Operator::ShiftLeft => bits.and_then(|bits| left.checked_shl(bits)).unwrap_or(0),
        Operator::ShiftRight => bits.and_then(|bits| left.checked_shr(bits)).unwrap_or(0),
    }
}

fn call(world: &impl World, call: &Call) -> Result<u64, String> {
    match call {
        Call::SectionAddr { file, section } => world.section(file, section),
        Call::GotAddr { file, symbol } => world.slot(file, symbol),
        Call::StubAddr { file, symbol, kind } => world.stub(file, symbol, kind.as_deref()),
        Call::NextPc { symbol } => {
            let length = world.instruction(symbol, 0)?.length;
            Ok(world.symbol(symbol)?.wrapping_add(length))
        }
        Call::DecodeOperand { symbol, offset, operand } => {
            let Instruction { operands, .. } = world.instruction(symbol, *offset)?;
            let count = operands.len();
            match usize::try_from(*operand).ok().and_then(|number| operands.get(number)) {
                Some(Some(immediate)) => Ok(*immediate as u64),
                Some(None) => Err(format!("operand {operand} of the instruction at {symbol} is not an immediate")),
                None => Err(format!(
                    "the instruction at {symbol} has {count} operands, counted from 0: there is none {operand}"
                )),
            }
        }
    }
}
