//! A machine is data: a table of fixup rows, a stub template, and the rewrites that its instructions allow.
//!
//! Nothing here asks which machine the linker itself runs on, and nothing here knows a file format.
//! To add a machine, write one folder beside this file, one table per format in `reloc/`, and name it in [`Machine::ALL`].

pub(crate) mod crossing;
mod field;
#[macro_use]
mod rows;
pub mod aarch64;
pub mod i386;
pub mod loongarch64;
pub mod riscv64;
pub mod x86_64;

pub(crate) use field::put_leb128;
pub use field::{Bits, Field, Of, Piece, Range};

use crate::graph::EdgeKind;
use std::fmt;

/// What is computed for an edge, in the letters of the psABIs: S symbol, A addend, P place, G the address of the
/// symbol's GOT slot, GOT the base of the table, L a stub or the symbol itself where it is in reach, Z the symbol's size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expr {
    /// Nothing; the target is kept.
    KeepAlive,
    /// `S + A`
    Absolute,
    /// `S`: the addend belongs to the expression that this one replaces.
    Symbol,
    /// `S + A - P`
    Relative,
    /// `P + A - S`: the distance the other way.
    Reverse,
    /// `L + A - P`: a call or jump, which may go through a stub.
    Branch,
    /// `G + A - P`
    Slot,
    /// `G + A - GOT`
    SlotOffset,
    /// `GOT + A - P`
    GotBase,
    /// `S + A - GOT`
    GotOffset,
    /// `Page(S + A) - Page(P)`, where `Page` clears the low twelve bits.
    Page,
    /// `Page(G + A) - Page(P)`
    SlotPage,
    /// `G + A`
    SlotAddress,
    /// `G + A - Page(GOT)`
    SlotFromPage,
    /// `L + A - GOT`
    StubOffset,
    /// `S + A - B`, B the image base: the lowest address of what is linked together.
    ImageOffset,
    /// `S + A - R`, R the start of the run of sections that S stands in: all those of one name, up to a `$`.
    SectionOffset,
    /// `N + A`, N the number of that run, from 1.
    SectionNumber,
    /// `Z + A`
    Size,
    /// Thread-local storage: which model, and which of its pieces. Lowered to one of the others once it is known where the variable is.
    Tls(TlsModel),
    /// `T + A - P`, T the variable's slots for the model of the access.
    TlsSlot,
    /// `Page(T + A) - Page(P)`
    TlsSlotPage,
    /// `T + A`
    TlsSlotAddress,
    /// `T + A - GOT`
    TlsSlotOffset,
    /// The variable's offset in its module's block `+ A`
    TlsModuleOffset,
    /// The number of the variable's module `+ A`
    TlsModule,
}

impl Expr {
    /// Whether the target needs a GOT slot.
    #[must_use]
    pub const fn needs_slot(self) -> bool {
        matches!(self, Self::Slot | Self::SlotOffset | Self::SlotPage | Self::SlotAddress | Self::SlotFromPage)
    }

    /// Whether a side is cut to its page before they are subtracted: what is added, and what is subtracted.
    #[must_use]
    pub const fn pages(self) -> (bool, bool) {
        match self {
            Self::Page | Self::SlotPage | Self::TlsSlotPage => (true, true),
            Self::SlotFromPage => (false, true),
            _ => (false, false),
        }
    }

    /// Whether pages are what counts.
    #[must_use]
    pub const fn is_of_pages(self) -> bool {
        self.pages().1
    }

    /// Whether the value is told by more than addresses that are at hand for every edge: by where a thread-local variable is, or the section of a symbol.
    #[inline]
    #[must_use]
    pub(crate) fn asks_more(self) -> bool {
        self.is_thread_local() || self.is_of_section()
    }

    /// Whether the value is told by the section of the symbol.
    #[inline]
    #[must_use]
    pub fn is_of_section(self) -> bool {
        matches!(self, Self::SectionOffset | Self::SectionNumber)
    }

    /// Whether the value is told by where a thread-local variable is, not by an address.
    #[inline]
    #[must_use]
    pub fn is_thread_local(self) -> bool {
        matches!(
            self,
            Self::Tls(_)
                | Self::TlsSlot
                | Self::TlsSlotPage
                | Self::TlsSlotAddress
                | Self::TlsSlotOffset
                | Self::TlsModuleOffset
                | Self::TlsModule
        )
    }
}

/// The access models of thread-local storage (ELF Handling For Thread-Local Storage, section 4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TlsModel {
    /// A call with module and offset.
    GeneralDynamic,
    /// A call with the module; offsets are constants.
    LocalDynamic,
    /// An offset in the module's block (`DTPOFF`).
    ModuleOffset,
    /// An offset from the thread pointer, loaded from a slot.
    InitialExec,
    /// A constant offset from the thread pointer.
    LocalExec,
    /// A descriptor with a function to call.
    Descriptor,
    /// The call instruction of a descriptor sequence.
    DescriptorCall,
    /// The two words of a descriptor itself.
    DescriptorPair,
    /// The number of the module (`DTPMOD`).
    Module,
    /// The second word of a variable's own descriptor, whose first is the function that finds it: 0 where the distance from the thread pointer is
    /// constant, or else the module.
    VariableKey,
    /// The third word: that distance, or else the offset in the module.
    VariablePlace,
}

impl fmt::Display for TlsModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GeneralDynamic => "general-dynamic",
            Self::LocalDynamic | Self::ModuleOffset | Self::Module => "local-dynamic",
            Self::InitialExec => "initial-exec",
            Self::LocalExec => "local-exec",
            Self::Descriptor | Self::DescriptorCall | Self::DescriptorPair => "TLS descriptor",
            Self::VariableKey | Self::VariablePlace => "variable descriptor",
        })
    }
}

/// One row of a machine's table.
#[derive(Clone, Copy, Debug)]
pub struct Fixup {
    /// The name that dumps and errors show.
    pub name: &'static str,
    /// What is computed.
    pub expr: Expr,
    /// Where it goes.
    pub field: Field,
    /// What fits.
    pub range: Range,
    /// The instruction rewrite that is made together with the fixup.
    pub rewrite: Option<Rewrite>,
    /// The same for the processor.
    pub(crate) recipe: Recipe,
}

impl Fixup {
    /// A row.
    #[must_use]
    pub const fn new(name: &'static str, expr: Expr, field: Field, range: Range, rewrite: Option<Rewrite>) -> Self {
        Self { name, expr, field, range, rewrite, recipe: Recipe::new(expr, field, range, rewrite) }
    }

    /// Whether it holds any address as it is.
    pub(crate) fn holds_any_address(&self, pointer_size: u8) -> bool {
        self.expr == Expr::Absolute && self.field == Field::Bytes(pointer_size)
    }

    /// Whether it holds an address that must be low for it: in fewer bits than addresses of processes have, and not just the low bits of one.
    pub(crate) fn holds_low_addresses(&self, pointer_size: u8) -> bool {
        const OF_PROCESSES: u8 = 47;
        let bits = match self.range {
            Range::Any => 64,
            Range::Signed(bits) | Range::Unsigned(bits) | Range::Either(bits) => bits,
            Range::Between(..) => 32,
        };
        self.expr == Expr::Absolute && bits < OF_PROCESSES.min(pointer_size * 8) && self.field != Field::None
    }

    /// Whether the row's value for `operands` fits its field.
    pub(crate) fn holds(&self, operands: &crate::fixup::Operands) -> bool {
        let bias = self.rewrite.map_or(0, |rewrite| i64::from(rewrite.bias));
        self.range.contains(operands.value(self).wrapping_add(bias))
    }
}

/// A row as numbers to compute with. Kinds of edges follow one another in no order that a branch predictor could learn, so a match on
/// the expression for each of them would cost more than everything else about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipe {
    /// The operand that is added, and the one that is subtracted: indices in [`crate::fixup::Operands::words`].
    pub(crate) plus: u8,
    pub(crate) minus: u8,
    /// Bytes to write.
    pub(crate) bytes: u8,
    /// Not just a value to compute and to write.
    pub(crate) special: bool,
    /// The smallest value that fits, and how far above it the largest is.
    pub(crate) lowest: i64,
    pub(crate) span: u64,
}

impl Recipe {
    pub(crate) const ZERO: u8 = 0;
    pub(crate) const SYMBOL: u8 = 1;
    pub(crate) const PLACE: u8 = 2;
    pub(crate) const SLOT: u8 = 3;
    pub(crate) const GOT: u8 = 4;
    pub(crate) const BRANCH: u8 = 5;
    pub(crate) const SIZE: u8 = 6;
    pub(crate) const IMAGE: u8 = 7;

    const fn new(expr: Expr, field: Field, range: Range, rewrite: Option<Rewrite>) -> Self {
        let (plus, minus) = match expr {
            Expr::KeepAlive | Expr::Tls(_) => (Self::ZERO, Self::ZERO),
            Expr::Absolute | Expr::Symbol | Expr::TlsModuleOffset | Expr::TlsModule => (Self::SYMBOL, Self::ZERO),
            Expr::Relative | Expr::Page => (Self::SYMBOL, Self::PLACE),
            Expr::Reverse => (Self::PLACE, Self::SYMBOL),
            Expr::Branch => (Self::BRANCH, Self::PLACE),
            Expr::Slot | Expr::TlsSlot | Expr::SlotPage | Expr::TlsSlotPage => (Self::SLOT, Self::PLACE),
            Expr::SlotAddress | Expr::TlsSlotAddress => (Self::SLOT, Self::ZERO),
            Expr::SlotOffset | Expr::SlotFromPage | Expr::TlsSlotOffset => (Self::SLOT, Self::GOT),
            Expr::GotBase => (Self::GOT, Self::PLACE),
            Expr::GotOffset => (Self::SYMBOL, Self::GOT),
            Expr::StubOffset => (Self::BRANCH, Self::GOT),
            Expr::Size => (Self::SIZE, Self::ZERO),
            Expr::ImageOffset | Expr::SectionOffset => (Self::SYMBOL, Self::IMAGE),
            Expr::SectionNumber => (Self::IMAGE, Self::ZERO),
        };
        let bytes = field.width();
        let (lowest, highest) = range.ends();
        let special = bytes == 0
            || rewrite.is_some()
            || !matches!(field, Field::Bytes(_))
            || expr.is_of_pages()
            || matches!(expr, Expr::KeepAlive | Expr::Symbol | Expr::Tls(_));
        Self { plus, minus, bytes, special, lowest, span: highest.wrapping_sub(lowest) as u64 }
    }
}

/// An instruction rewrite: one of [`Machine::rewrite`], and what it does to the field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rewrite {
    /// Which, as its machine numbers them.
    pub number: u8,
    /// How many bytes the field moves by.
    pub shift: i8,
    /// What is added to the value, because the field moves or its reader no longer counts from the end of the instruction.
    pub bias: i8,
}

/// What is known about the address of a symbol before there are addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// It lies within [`Machine::reach`] of everything that refers to it.
    Near,
    /// It lies below 2 GiB, as does everything that refers to it.
    Low,
    /// It is a constant that fits 32 signed bits, such as the null of a weak symbol that nobody defines, and it may be far away.
    Constant,
}

impl Reach {
    /// Whether a 32-bit distance reaches it.
    #[must_use]
    pub fn is_near(self) -> bool {
        self != Self::Constant
    }

    /// Whether it fits 32 signed bits.
    #[must_use]
    pub fn is_low(self) -> bool {
        self != Self::Near
    }
}

/// Whether and how an edge can do without its GOT slot; see [`Machine::relax`].
pub type Relax = fn(kind: EdgeKind, content: &[u8], offset: u32, addend: i64, reach: Reach) -> Option<EdgeKind>;

/// The rows that mean the same on every machine, at the indices that [`EdgeKind`]'s constants name.
pub const COMMON_FIXUPS: [Fixup; EdgeKind::FIRST_OF_MACHINE as usize] = {
    const fn row(name: &'static str, expr: Expr, bytes: u8, range: Range) -> Fixup {
        let field = if bytes == 0 { Field::None } else { Field::Bytes(bytes) };
        Fixup::new(name, expr, field, range, None)
    }
    let unused = row("Unused", Expr::KeepAlive, 0, Range::Any);
    [
        row("Keep-Alive", Expr::KeepAlive, 0, Range::Any),
        row("Pointer64", Expr::Absolute, 8, Range::Any),
        row("Pointer32", Expr::Absolute, 4, Range::Unsigned(32)),
        row("Pointer32Signed", Expr::Absolute, 4, Range::Signed(32)),
        row("Pointer16", Expr::Absolute, 2, Range::Either(16)),
        row("Pointer8", Expr::Absolute, 1, Range::Either(8)),
        row("Delta64", Expr::Relative, 8, Range::Any),
        row("Delta32", Expr::Relative, 4, Range::Signed(32)),
        row("Delta16", Expr::Relative, 2, Range::Signed(16)),
        row("Delta8", Expr::Relative, 1, Range::Signed(8)),
        row("NegDelta64", Expr::Reverse, 8, Range::Any),
        row("NegDelta32", Expr::Reverse, 4, Range::Signed(32)),
        row("ImageOffset32", Expr::ImageOffset, 4, Range::Unsigned(32)),
        row("SectionOffset32", Expr::SectionOffset, 4, Range::Unsigned(32)),
        row("SectionNumber16", Expr::SectionNumber, 2, Range::Unsigned(16)),
        unused,
    ]
};

/// A piece of code that jumps to the address in a GOT slot.
#[derive(Clone, Copy, Debug)]
pub struct Stub {
    /// The instructions.
    pub code: &'static [u8],
    /// Where in `code` the distance to the slot is written, with which fixup row and addend; the slot is its symbol, S.
    pub slot_fixups: &'static [(u32, EdgeKind, i64)],
    /// Alignment in bytes.
    pub align: u8,
}

/// A stub whose function may not be linked yet: until it is, the stub's slot leads to its second half, which has the executor ask for it.
#[derive(Clone, Copy, Debug)]
pub struct LazyStub {
    /// Its bytes.
    pub code: &'static [u8],
    /// Where its second half begins: what the slot holds at first.
    pub entry: u8,
    /// Where it refers to its slot: offset, kind, addend.
    pub slot_fixups: &'static [(u32, EdgeKind, i64)],
    /// Where it refers to what asks for the function.
    pub ask_fixups: &'static [(u32, EdgeKind, i64)],
    /// Its alignment.
    pub align: u8,
}

/// What a machine does about branches that do not reach what they lead to.
#[derive(Clone, Copy, Debug)]
pub struct Branches {
    /// The row of a branch to a weak symbol that nobody defines, where the psABI says what becomes of it; an ordinary branch to null otherwise.
    pub null: fn(kind: EdgeKind) -> Option<EdgeKind>,
    /// What leads farther than branches reach; `None` where these reach as far as [`Machine::reach`].
    pub veneer: Option<Veneer>,
}

impl Branches {
    /// They reach everything that is not far anyway, and null is an address as any other.
    pub const REACH_ALL: Self = Self { null: |_| None, veneer: None };

    /// Whether a branch that reaches so far forward, in bytes, may be a call, which leads anywhere. What reaches 1 MiB or less is none, unless the machine's
    /// veneers are for no more: whoever leads such a branch somewhere knows that it reaches.
    #[must_use]
    pub fn may_call(&self, forward: i64) -> bool {
        const SHORT: u64 = 1 << 21;
        let least = self.veneer.map_or(SHORT, |veneer| veneer.reach.saturating_sub(1).min(SHORT));
        u64::try_from(forward).is_ok_and(|forward| forward >= least)
    }
}

/// A piece of code between blocks that goes on to where a branch is to lead. Those of one place make an island.
#[derive(Clone, Copy, Debug)]
pub struct Veneer {
    /// How far calls and jumps reach in both directions, in bytes.
    pub reach: u64,
    /// Alignment in bytes.
    pub align: u8,
    /// Leads to a symbol within [`Machine::reach`].
    pub near: Snippet,
    /// Leads anywhere, through the symbol's GOT slot.
    pub far: Snippet,
}

/// Code that refers to one symbol.
#[derive(Clone, Copy, Debug)]
pub struct Snippet {
    /// The instructions.
    pub code: &'static [u8],
    /// Where in `code` it refers to the symbol, with which row and addend.
    pub fixups: &'static [(u32, EdgeKind, i64)],
}

/// What a machine knows of thread-local storage.
#[derive(Clone, Copy, Debug)]
pub struct Tls {
    /// The function that general- and local-dynamic sequences call.
    pub get_address: &'static [u8],
    /// What that function adds to the offsets that it is given: slots and data for it hold so much less.
    pub offset_bias: u64,
    /// `relax(kind, content, offset, call)`: the row to use when the variable is at a constant distance from the thread pointer. `call`
    /// is the offset of the field that follows (behind all fields of the same model and variable), when that one names [`Self::get_address`];
    /// the sequence swallows it. `None` where the bytes are no sequence that can be rewritten; the edge is kept then.
    pub relax: fn(kind: EdgeKind, content: &[u8], offset: u32, call: Option<u32>) -> Option<EdgeKind>,
    /// The row that writes the distance from the thread pointer in place of an offset.
    pub constant: fn(kind: EdgeKind) -> Option<EdgeKind>,
    /// The row of an access that stays as it is.
    pub keep: fn(kind: EdgeKind) -> Option<EdgeKind>,
}

/// One machine.
pub struct Machine {
    /// Its name, as target triples spell it.
    pub name: &'static str,
    /// Bytes in an address.
    pub pointer_size: u8,
    /// Its fixup rows, the common ones first.
    pub fixups: &'static [Fixup],
    /// Its stub.
    pub stub: Stub,
    /// The stub of a function that is linked when it is first called.
    pub lazy_stub: LazyStub,
    /// A function that returns 0, whatever it is called with.
    pub zero: &'static [u8],
    /// What fills gaps between code blocks: a trap or a no-op, repeated.
    pub filler: u8,
    /// `relax(kind, content, offset, addend, reach)`: the row to use instead of one that reads a GOT slot, when `reach` and the
    /// instruction around `offset` allow it. `None` leaves the edge as it is, which is always right. Reads `content` only.
    pub relax: Relax,
    /// `null(kind, content, offset, addend)`: the row to use instead of one whose value is out of range because its target is a
    /// weak symbol that nobody defines and whose address reads as null. Code only: it looks at the bytes before `offset`. The row
    /// may read a slot that holds null, so give the one that the symbol or its stub has. `None` where nothing can be done; the
    /// range error stands then.
    pub null: fn(kind: EdgeKind, content: &[u8], offset: u32, addend: i64) -> Option<EdgeKind>,
    /// Makes rewrite `number` around the unmoved `offset`; `false`, and nothing changed, when the bytes are not the
    /// instruction that it is for.
    pub rewrite: fn(number: u8, content: &mut [u8], offset: usize) -> bool,
    /// Thread-local storage.
    pub tls: Tls,
    /// How far a reference that is relative to an instruction reaches in both directions, in bytes, as do branches, with help if need be.
    pub reach: u64,
    /// What helps them.
    pub branches: Branches,
    /// To load from a slot takes several instructions, each with an edge of its own: those of a symbol are rewritten all or none.
    pub in_pieces: bool,
    /// The addend of an instruction that computes the address of a symbol itself: less than 0 where distances count from the end of the field.
    pub operand_addend: i64,
}

impl Machine {
    /// Every machine that this crate links for.
    pub const ALL: &'static [&'static Machine] =
        &[&x86_64::MACHINE, &aarch64::MACHINE, &riscv64::MACHINE, &loongarch64::MACHINE, &i386::MACHINE];

    /// The machine of this name, as target triples spell it.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Machine> {
        Self::ALL.iter().copied().find(|machine| machine.name == name)
    }

    /// The row of `kind`.
    ///
    /// # Panics
    /// When the kind is not of this machine; readers only make kinds of their machine's table.
    #[inline]
    #[must_use]
    pub fn fixup(&self, kind: EdgeKind) -> &'static Fixup {
        &self.fixups[kind.0 as usize]
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
