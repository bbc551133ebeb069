//! Code between two calling conventions of one machine, as its folder gives it.

use super::{Machine, x86_64};
use crate::graph::EdgeKind;

/// Between the machine's psABI ("system") and Microsoft's convention.
#[derive(Debug)]
pub(crate) struct Crossing {
    /// Common information of call frames, from its version on (LSB, "The Common Information Entry Format").
    pub(crate) cie: &'static [u8],
    /// For the system's callers: calls a function of Microsoft's with up to four words.
    pub(crate) enter: Template,
    /// For the system's callers: calls the function of Microsoft's whose address is in a word, if one is.
    pub(crate) initializer: Template,
    /// For the system's callers: calls the function of Microsoft's that is its first argument.
    pub(crate) call_argument: Template,
    /// A function that does nothing and changes nothing.
    pub(crate) nothing: &'static [u8],
    /// For Microsoft's callers: calls a function of the system's. `None` where there are too many arguments.
    pub(crate) leave: fn(&[Argument]) -> Option<Code>,
}

impl Crossing {
    /// What `machine` has.
    pub(crate) fn of(machine: &Machine) -> Option<&'static Self> {
        const ALL: &[(&Machine, &Crossing)] = &[(&x86_64::MACHINE, &x86_64::CROSSING)];
        ALL.iter().find(|(of, _)| of.name == machine.name).map(|(_, crossing)| *crossing)
    }
}

/// A function that is always the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Template {
    pub(crate) code: &'static [u8],
    /// Where it refers to what it is about.
    pub(crate) holes: &'static [(u32, EdgeKind, i64)],
    /// Call frame instructions.
    pub(crate) frame: &'static [u8],
}

/// What a function of the system's is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Argument {
    /// The caller's next argument: an integer of 32 or 64 bits, or an address.
    Word,
    /// The caller's next argument, as a `double` or `float`.
    Double,
    /// A `va_list` of all of the caller's arguments that follow.
    Rest,
    /// The address of a symbol. At most one stands before a [`Self::Word`].
    Symbol,
}

/// A function that was made.
#[derive(Debug)]
pub(crate) struct Code {
    pub(crate) bytes: Vec<u8>,
    /// Where, to what, how, and with which addend it refers; symbols in the order of their arguments.
    pub(crate) holes: Vec<(u32, Hole, EdgeKind, i64)>,
    /// Call frame instructions.
    pub(crate) frame: Vec<u8>,
}

/// What a place in made code refers to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hole {
    /// The function that is called.
    Function,
    /// The next symbol.
    Symbol,
}

impl Code {
    /// Room for a field of four bytes.
    pub(crate) fn hole(&mut self, to: Hole, kind: EdgeKind, addend: i64) {
        self.holes.push((self.bytes.len() as u32, to, kind, addend));
        self.bytes.extend([0; 4]);
    }
}
