//! What of a finished image changes when it stands at other addresses: how an image is stored, and used again elsewhere.
//!
//! **You give** [`Link::finalize_seen`](crate::Link::finalize_seen) a closure, which sees the written bytes before they are final. **You get**
//! [`Moving`]: for each field that holds an address or a distance, which of the image's *anchors* it is counted from. The fields hold what was linked, so
//! that a field needs nothing but its place: whoever knows by how much each anchor has moved adds that ([`Group::apply`]), and has the bytes that a
//! link at the new place would have written. **Not here:** files, and what an external is called: whoever binds a link knows it.
//!
//! A link that nobody sees pays nothing: this is a second walk over the edges, not a part of the first.

use crate::arch::{Expr, Field as Width, Fixup, Range, Recipe};
use crate::fixup::Operands;
use crate::graph::{BlockId, Definition, EdgeKind, LinkerSymbol, SymbolId, SymbolKind};
use crate::layout::At;
use crate::memory::{InFlight, Request, ThreadLocalRequest};
use crate::pass::prune::Bounds;
use crate::write::Target;
use std::collections::HashMap;

/// Tells this linker from every other one: what is stored is good for the linker that made it.
pub const LINKER: &str = env!("JITLINK_SOURCES");

/// What an address is counted from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Anchor {
    /// Nothing: a constant.
    Fixed,
    /// The first byte of a segment of the image.
    Segment(u8),
    /// The first byte of the image's thread-local storage, as [`ThreadLocal::address`](crate::memory::ThreadLocal::address) counts.
    ThreadLocal,
    /// An external, by its number among those that [`Link::asked`](crate::Link::asked) names.
    External(u32),
}

/// What a field is, and what it can hold.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Field {
    /// Eight bytes, any value.
    Word,
    /// Four bytes, `-2^31 ..= 2^31 - 1`.
    Signed,
    /// Four bytes, `0 ..= 2^32 - 1`.
    Unsigned,
    /// Four bytes, modulo 2^32.
    Wrapping,
}

impl Field {
    /// All of them; the position is the number that [`Self::number`] gives.
    pub const ALL: [Self; 4] = [Self::Word, Self::Signed, Self::Unsigned, Self::Wrapping];

    /// A number to store it by.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }
}

/// Fields of one segment that move alike: with `plus`, against `minus`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// The segment that they are in.
    pub segment: u8,
    /// What they are.
    pub field: Field,
    /// What is added in them.
    pub plus: Anchor,
    /// What is subtracted in them.
    pub minus: Anchor,
    /// Where they are, as [`Group::apply`] reads it: the distance of each from the one before, in zigzag LEB128.
    pub places: Vec<u8>,
}

/// Why fields could not be changed. Those before the one at fault are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ApplyError {
    /// What a field would hold does not fit it: something is out of reach from the new place.
    #[error("the field at offset {offset:#x} cannot hold {value:#x}")]
    OutOfRange {
        /// Offset in the segment.
        offset: usize,
        /// What it would hold.
        value: i64,
    },
    /// The list of places is damaged, or not of this segment.
    #[error("a list of places is damaged")]
    Places,
}

impl Group {
    /// Adds `delta` to each field of `places` in `bytes`, the content of the segment.
    ///
    /// # Errors
    /// When a value does not fit, or `places` names no field of `bytes`.
    pub fn apply(places: &[u8], field: Field, bytes: &mut [u8], delta: i64) -> Result<(), ApplyError> {
        let mut at = 0usize;
        let mut rest = places;
        while !rest.is_empty() {
            let step = read_signed(&mut rest).ok_or(ApplyError::Places)?;
            at = usize::try_from(step)
                .map_or_else(
                    |_| at.checked_sub(usize::try_from(step.unsigned_abs()).ok()?),
                    |step| at.checked_add(step),
                )
                .ok_or(ApplyError::Places)?;
            let here = bytes.get_mut(at..).ok_or(ApplyError::Places)?;
            if field == Field::Word {
                let here: &mut [u8; 8] = here.first_chunk_mut().ok_or(ApplyError::Places)?;
                *here = i64::from_le_bytes(*here).wrapping_add(delta).to_le_bytes();
                continue;
            }
            let here: &mut [u8; 4] = here.first_chunk_mut().ok_or(ApplyError::Places)?;
            let old = match field {
                Field::Unsigned => i64::from(u32::from_le_bytes(*here)),
                _ => i64::from(i32::from_le_bytes(*here)),
            };
            let value = old.wrapping_add(delta);
            let fits = match field {
                Field::Signed => i32::try_from(value).is_ok(),
                Field::Unsigned => u32::try_from(value).is_ok(),
                _ => true,
            };
            if !fits {
                return Err(ApplyError::OutOfRange { offset: at, value });
            }
            *here = (value as u32).to_le_bytes();
        }
        Ok(())
    }
}

/// What moves in a finished image.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Moving {
    /// Every field that moves, in groups; equal links give equal groups in equal order.
    pub groups: Vec<Group>,
    /// What each external was, by its number: an address, or what stands for one when it is thread-local.
    pub externals: Vec<u64>,
    /// The anchor of each block, by its index: `Fixed` for those that are not placed.
    pub blocks: Vec<Anchor>,
    /// The anchor of stubs, which are what indirect functions are everywhere.
    pub stubs: Option<Anchor>,
}

/// A link whose bytes are written and not final.
pub struct Written<'a, 'data, M> {
    pub(crate) target: &'a Target<'a, 'data>,
    pub(crate) memory: &'a mut M,
    pub(crate) low: bool,
    pub(crate) thread_local: Option<ThreadLocalRequest>,
    /// Externals that were asked for.
    pub(crate) has_siblings: bool,
}

impl<M> std::fmt::Debug for Written<'_, '_, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Written").field("segments", &self.target.layout.segments).finish_non_exhaustive()
    }
}

impl<M: InFlight> Written<'_, '_, M> {
    /// What was asked of the memory.
    #[must_use]
    pub fn request(&self) -> Request<'_> {
        Request { segments: &self.target.layout.segments, low: self.low, thread_local: self.thread_local }
    }

    /// The address of a segment.
    #[must_use]
    pub fn address(&self, segment: usize) -> u64 {
        self.target.bases.get(segment).copied().unwrap_or(0)
    }

    /// Where the image's thread-local storage is.
    #[must_use]
    pub fn thread_local(&self) -> Option<crate::memory::ThreadLocal> {
        self.target.known.own
    }

    /// The content of a segment.
    pub fn content(&mut self, segment: usize) -> &[u8] {
        let size = self.target.layout.segments[segment].content_size as usize;
        &self.memory.bytes(segment)[..size]
    }

    /// What moves in it.
    ///
    /// # Errors
    /// Why that cannot be said of this image, in words that follow "it has".
    pub fn moving(&self) -> Result<Moving, &'static str> {
        Walk::new(self.target, self.has_siblings).walk()
    }
}

/// Groups while they are filled.
struct Filling {
    group: Group,
    last: usize,
}

struct Walk<'a, 'data> {
    target: &'a Target<'a, 'data>,
    blocks: Vec<Anchor>,
    /// By symbol: its number among externals that were asked for.
    externals: Vec<u32>,
    values: Vec<u64>,
    bounds: Option<Bounds>,
    filling: Vec<Filling>,
    /// By segment, field and near anchors; the rest by key.
    near: Vec<u32>,
    far: HashMap<(u8, Field, Anchor, Anchor), u32>,
}

const NONE: u32 = u32::MAX;
/// Anchors with a position in [`Walk::near`]: constants, thread-local storage, six segments.
const NEAR: usize = 8;

fn near(anchor: Anchor) -> Option<usize> {
    match anchor {
        Anchor::Fixed => Some(0),
        Anchor::ThreadLocal => Some(1),
        Anchor::Segment(segment) if usize::from(segment) < NEAR - 2 => Some(2 + usize::from(segment)),
        Anchor::Segment(_) | Anchor::External(_) => None,
    }
}

impl<'a, 'data> Walk<'a, 'data> {
    fn new(target: &'a Target<'a, 'data>, has_siblings: bool) -> Self {
        let graph = target.graph;
        let mut blocks = vec![Anchor::Fixed; graph.blocks().len()];
        for (block, at) in &target.layout.blocks {
            blocks[block.index()] = Anchor::Segment(at.segment);
        }
        for (block, _) in &target.layout.thread_local {
            blocks[block.index()] = Anchor::ThreadLocal;
        }
        let mut externals = vec![NONE; graph.symbols().len()];
        let mut values = Vec::new();
        for (index, symbol) in graph.symbols().iter().enumerate() {
            let hidden = symbol.scope < crate::graph::Scope::Protected;
            if symbol.live && symbol.definition == Definition::Undefined && (!hidden || has_siblings) {
                externals[index] = values.len() as u32;
                values.push(symbol.address);
            }
        }
        // One that is represented by its stub has lost its address to it.
        for (id, destination) in target.tables.stubs.symbols.iter().zip(target.destinations) {
            if let Some(value) = values.get_mut(externals[id.index()] as usize) {
                *value = *destination;
            }
        }
        let bounds = (!graph.bounds.is_empty()).then(|| Bounds::new(graph));
        let near = vec![NONE; target.layout.segments.len() * Field::ALL.len() * NEAR * NEAR];
        Self { target, blocks, externals, values, bounds, filling: Vec::new(), near, far: HashMap::new() }
    }

    fn walk(mut self) -> Result<Moving, &'static str> {
        if self.target.layout.segments.iter().any(|segment| segment.size > u64::from(u32::MAX)) {
            return Err("a segment of more than 4 GiB");
        }
        if !self.target.known.kept.is_empty() {
            return Err("thread-local variables at no constant distance from the thread pointer");
        }
        self.tables()?;
        let target = self.target;
        for (id, at) in &target.layout.blocks {
            self.block(*id, *at)?;
        }
        let stubs = (self.target.tables.stubs.symbols.len() + self.target.tables.indirect.symbols.len()) > 0;
        Ok(Moving {
            groups: self.filling.into_iter().map(|filling| filling.group).collect(),
            externals: self.values,
            blocks: self.blocks,
            stubs: stubs.then_some(Anchor::Segment(self.target.layout.stubs.segment)),
        })
    }

    fn add(&mut self, at: At, offset: u64, field: Field, (plus, minus): (Anchor, Anchor)) {
        if plus == minus {
            return;
        }
        let segment = usize::from(at.segment);
        let slot = match (near(plus), near(minus)) {
            (Some(plus), Some(minus)) => {
                let row = segment * Field::ALL.len() + usize::from(field.number());
                &mut self.near[(row * NEAR + plus) * NEAR + minus]
            }
            _ => self.far.entry((at.segment, field, plus, minus)).or_insert(NONE),
        };
        if *slot == NONE {
            *slot = self.filling.len() as u32;
            let group = Group { segment: at.segment, field, plus, minus, places: Vec::new() };
            self.filling.push(Filling { group, last: 0 });
        }
        let filling = &mut self.filling[*slot as usize];
        let place = (at.offset + offset) as usize;
        write_signed(&mut filling.group.places, place as i64 - filling.last as i64);
        filling.last = place;
    }

    /// What the address of a symbol is counted from.
    fn symbol(&self, id: SymbolId) -> Result<Anchor, &'static str> {
        let symbol = self.target.graph.symbol(id);
        Ok(match symbol.definition {
            Definition::Block(_)
                if symbol.kind == SymbolKind::Indirect && self.target.tables.indirect.of(id).is_some() =>
            {
                Anchor::Segment(self.target.layout.stubs.segment)
            }
            Definition::Block(block) => self.blocks[block.index()],
            Definition::Undefined => {
                let number = self.externals[id.index()];
                let own = self.values.get(number as usize);
                match own {
                    Some(value) if *value == symbol.address => Anchor::External(number),
                    Some(_) => Anchor::Segment(self.target.layout.stubs.segment),
                    None => Anchor::Fixed,
                }
            }
            Definition::Absolute | Definition::Common | Definition::Discarded => Anchor::Fixed,
            Definition::Linker(LinkerSymbol::GlobalOffsetTable) => Anchor::Segment(self.target.layout.slots.segment),
            Definition::Linker(LinkerSymbol::Header) => match self.target.layout.header {
                Some(at) => Anchor::Segment(at.segment),
                None if symbol.address == 0 => Anchor::Fixed,
                None => return Err("a header that an earlier batch made"),
            },
            Definition::Linker(LinkerSymbol::ImageBase) => self.image_base(),
            Definition::Linker(LinkerSymbol::ThreadLocalBase) => Anchor::Fixed,
            Definition::Linker(LinkerSymbol::SectionStart | LinkerSymbol::SectionStop) => {
                let members = self.bounds.iter().flat_map(|bounds| bounds.members(symbol.value));
                let live = members.filter(|block| self.target.graph.block(*block).live);
                live.map(|block| self.blocks[block.index()]).next().unwrap_or(Anchor::Fixed)
            }
        })
    }

    /// The tables that the linker makes.
    fn tables(&mut self) -> Result<(), &'static str> {
        let (layout, tables) = (self.target.layout, self.target.tables);
        let machine = self.target.graph.machine();
        let word = u64::from(machine.pointer_size);
        for (number, id) in (0u64..).zip(&tables.slots.symbols) {
            let anchor = self.symbol(*id)?;
            self.add(layout.slots, number * word, Field::Word, (anchor, Anchor::Fixed));
        }
        for (number, id) in (0u64..).zip(&tables.stubs.symbols) {
            let external = self.externals[id.index()];
            if external != NONE {
                self.add(layout.stub_slots, number * word, Field::Word, (Anchor::External(external), Anchor::Fixed));
            }
        }
        if let Some(header) = layout.header {
            let handle = crate::linked::DSO_HANDLE_OFFSET;
            self.add(header, handle, Field::Word, (Anchor::Segment(header.segment), Anchor::Fixed));
        }
        let jumps = tables.stubs.symbols.len();
        for number in 0..jumps + tables.indirect.symbols.len() {
            let slots = if number < jumps { layout.stub_slots } else { layout.indirect_slots };
            let between = (Anchor::Segment(slots.segment), Anchor::Segment(layout.stubs.segment));
            for (offset, kind, _) in machine.stub.slot_fixups {
                let offset = number as u64 * layout.stub_size + u64::from(*offset);
                self.add(layout.stubs, offset, field_of(machine.fixup(*kind))?, between);
            }
        }
        Ok(())
    }

    /// The edges of a block, as `write` has applied them.
    fn block(&mut self, id: BlockId, at: At) -> Result<(), &'static str> {
        let target = self.target;
        let (graph, layout) = (target.graph, target.layout);
        let machine = graph.machine();
        let block = graph.block(id);
        let Some(content) = block.content.bytes() else { return Ok(()) };
        for edge in &graph.edges()[block.edge_range()] {
            let mut row = machine.fixup(edge.kind);
            if row.expr == Expr::KeepAlive || row.expr == Expr::Size {
                continue;
            }
            if row.expr.is_thread_local() {
                return Err("thread-local variables that are named by module and offset");
            }
            if row.expr.is_of_section() {
                return Err("offsets in runs of sections");
            }
            let symbol = graph.symbol(edge.target);
            let mut anchors = self.anchors(row.recipe, id, self.symbol(edge.target)?);
            let got = target.address(layout.slots);
            let slot = target.tables.slots.of(edge.target).unwrap_or(0) as u64 * u64::from(machine.pointer_size);
            let operands = Operands {
                symbol: symbol.address,
                addend: edge.addend,
                place: block.address.wrapping_add(u64::from(edge.offset)),
                slot: got.wrapping_add(slot),
                got,
                branch: symbol.address,
                size: symbol.size,
                image: target.image_base(),
            };
            if !row.holds(&operands) {
                // As `write::retry` has it.
                if matches!(row.expr, Expr::Branch | Expr::StubOffset) && target.tables.stubs.of(edge.target).is_some()
                {
                    anchors.0 = Anchor::Segment(layout.stubs.segment);
                } else {
                    let null = (machine.null)(edge.kind, content, edge.offset, edge.addend);
                    let null: EdgeKind = null.ok_or("a reference that was written in an unknown way")?;
                    row = machine.fixup(null);
                    anchors = self.anchors(row.recipe, id, self.symbol(edge.target)?);
                    if row.expr == Expr::Slot && target.tables.stubs.of(edge.target).is_some() {
                        anchors.0 = Anchor::Segment(layout.stub_slots.segment);
                    }
                }
            }
            if row.field == Width::None || anchors.0 == anchors.1 {
                continue;
            }
            let field = field_of(row)?;
            let shift = row.rewrite.map_or(0, |rewrite| i64::from(rewrite.shift));
            let offset = u64::from(edge.offset).wrapping_add_signed(shift);
            self.add(at, offset, field, anchors);
        }
        Ok(())
    }

    /// The segment that is the lowest.
    fn image_base(&self) -> Anchor {
        let lowest = self.target.bases.iter().enumerate().min_by_key(|(_, base)| **base);
        lowest.map_or(Anchor::Fixed, |(segment, _)| Anchor::Segment(segment as u8))
    }

    /// What a row adds and subtracts.
    fn anchors(&self, recipe: Recipe, block: BlockId, symbol: Anchor) -> (Anchor, Anchor) {
        let anchor = |operand: u8| match operand {
            Recipe::SYMBOL | Recipe::BRANCH => symbol,
            Recipe::PLACE => self.blocks[block.index()],
            Recipe::SLOT | Recipe::GOT => Anchor::Segment(self.target.layout.slots.segment),
            Recipe::IMAGE => self.image_base(),
            _ => Anchor::Fixed,
        };
        (anchor(recipe.plus), anchor(recipe.minus))
    }
}

/// What the field of a row is.
fn field_of(row: &Fixup) -> Result<Field, &'static str> {
    match (row.field, row.range) {
        (Width::Bytes(8), Range::Any) => Ok(Field::Word),
        (Width::Bytes(4), Range::Signed(32)) => Ok(Field::Signed),
        (Width::Bytes(4), Range::Unsigned(32)) => Ok(Field::Unsigned),
        (Width::Bytes(4), Range::Any) => Ok(Field::Wrapping),
        (Width::Bits(_), _) => Err("an address in the bits of an instruction"),
        _ => Err("an address in fewer than four bytes"),
    }
}

/// Appends a number in zigzag LEB128.
fn write_signed(out: &mut Vec<u8>, value: i64) {
    let mut rest = (value.wrapping_shl(1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Reads what [`write_signed`] wrote.
#[inline]
fn read_signed(bytes: &mut &[u8]) -> Option<i64> {
    let (mut value, mut shift) = (0u64, 0);
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        let mut bytes = Vec::new();
        let numbers = [0, 1, -1, 63, 64, -64, -65, 8, 1 << 20, -(1 << 40), i64::MAX, i64::MIN];
        numbers.iter().for_each(|number| write_signed(&mut bytes, *number));
        let mut rest = &*bytes;
        let read: Vec<i64> = numbers.iter().filter_map(|_| read_signed(&mut rest)).collect();
        assert_eq!((read, rest.len()), (numbers.to_vec(), 0));
        assert_eq!(read_signed(&mut &[0x80u8; 20][..]), None);
    }

    #[test]
    fn places_outside_and_values_that_do_not_fit_are_refused() {
        let places = |all: &[usize]| {
            let (mut out, mut last) = (Vec::new(), 0);
            for place in all {
                write_signed(&mut out, *place as i64 - last);
                last = *place as i64;
            }
            out
        };
        let mut bytes = [0u8; 16];
        assert_eq!(Group::apply(&places(&[8, 0]), Field::Word, &mut bytes, -2), Ok(()));
        assert_eq!(bytes, [254, 255, 255, 255, 255, 255, 255, 255, 254, 255, 255, 255, 255, 255, 255, 255]);
        assert_eq!(Group::apply(&places(&[9]), Field::Word, &mut bytes, 1), Err(ApplyError::Places));
        assert_eq!(Group::apply(&places(&[usize::MAX >> 1]), Field::Signed, &mut bytes, 1), Err(ApplyError::Places));
        assert_eq!(Group::apply(&[0x01], Field::Signed, &mut bytes, 1), Err(ApplyError::Places), "before the start");
        assert_eq!(Group::apply(&[0x80], Field::Signed, &mut bytes, 1), Err(ApplyError::Places), "cut off");
        let out_of_range = Err(ApplyError::OutOfRange { offset: 0, value: i64::from(i32::MIN) - 1 });
        bytes = [0; 16];
        bytes[..4].copy_from_slice(&i32::MIN.to_le_bytes());
        assert_eq!(Group::apply(&places(&[0]), Field::Signed, &mut bytes, -1), out_of_range);
        assert_eq!(Group::apply(&places(&[0]), Field::Wrapping, &mut bytes, -1), Ok(()));
        assert_eq!(bytes[..4], i32::MAX.to_le_bytes());
        bytes[..4].copy_from_slice(&[0; 4]);
        assert!(Group::apply(&places(&[0]), Field::Unsigned, &mut bytes, -1).is_err());
        assert_eq!(Group::apply(&places(&[0]), Field::Unsigned, &mut bytes, i64::from(u32::MAX)), Ok(()));
    }
}
