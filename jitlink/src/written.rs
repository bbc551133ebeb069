//! A written image, as plugins see it: final addresses, final bytes, and what the linker made besides.

use crate::graph::{BlockId, LinkGraph, SymbolId};
use crate::layout::At;
use crate::linked::LinkedSegment;
use crate::memory::{InFlight, ThreadLocal};
use crate::write::Target;
use std::fmt;

/// Bytes of segments, whatever memory they are in.
trait Bytes {
    fn of(&mut self, segment: usize) -> &[u8];
}

impl<M: InFlight> Bytes for M {
    fn of(&mut self, segment: usize) -> &[u8] {
        self.bytes(segment)
    }
}

/// An image whose bytes are written and not final yet.
pub struct WrittenImage<'a, 'data> {
    target: &'a Target<'a, 'data>,
    memory: &'a mut dyn Bytes,
}

/// A slot that holds the address of a symbol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slot {
    /// What it holds the address of.
    pub symbol: SymbolId,
    /// Where it is; as large as an address.
    pub address: u64,
}

/// A stub that jumps to what its slot holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stub {
    /// Where it leads.
    pub symbol: SymbolId,
    /// Where it is.
    pub address: u64,
    /// Its size in bytes.
    pub size: u64,
    /// The address of its slot.
    pub slot: u64,
}

impl fmt::Debug for WrittenImage<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrittenImage").field("segments", &self.segments()).finish_non_exhaustive()
    }
}

impl<'a, 'data> WrittenImage<'a, 'data> {
    pub(crate) fn new<M: InFlight>(target: &'a Target<'a, 'data>, memory: &'a mut M) -> Self {
        Self { target, memory }
    }

    /// The graph, every address filled in. Content of its blocks is as it was before it was fixed up.
    #[must_use]
    pub fn graph(&self) -> &'a LinkGraph<'data> {
        self.target.graph
    }

    /// The segments, by the index that [`Self::content`] takes.
    #[must_use]
    pub fn segments(&self) -> Vec<LinkedSegment> {
        self.target.segments()
    }

    /// The bytes of a segment; what of it is not among them is zero.
    ///
    /// # Panics
    /// When there is no such segment.
    pub fn content(&mut self, segment: usize) -> &[u8] {
        let size = self.target.layout.segments[segment].content_size as usize;
        &self.memory.of(segment)[..size]
    }

    /// Every block that is in a segment, with the segment and where in it, by segment.
    pub fn places(&self) -> impl Iterator<Item = (BlockId, usize, u64)> + '_ {
        self.target.layout.blocks.iter().map(|(id, at)| (*id, usize::from(at.segment), at.offset))
    }

    /// Where the table of slots begins, `_GLOBAL_OFFSET_TABLE_`, if something needs it.
    #[must_use]
    pub fn table(&self) -> Option<u64> {
        let tables = self.target.tables;
        let any = tables.got_base || !tables.slots.symbols.is_empty();
        any.then(|| self.target.address(self.target.layout.slots))
    }

    /// What each thread's storage begins with: where a thread has it, the bytes, and how many there are with the zeros that follow them.
    pub fn thread_local(&mut self) -> Option<(ThreadLocal, &[u8], u64)> {
        let image = self.target.layout.image?;
        let place = self.target.known.own?;
        // Without content there may be no segment for it.
        if image.content_size == 0 {
            return Some((place, &[], image.size));
        }
        let start = image.at.offset as usize;
        let bytes = self.memory.of(usize::from(image.at.segment)).get(start..start + image.content_size as usize)?;
        Some((place, bytes, image.size))
    }

    /// Slots of symbols whose address is loaded.
    pub fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        let first = self.target.address(self.target.layout.slots);
        let word = self.word();
        let symbols = self.target.tables.slots.symbols.iter().zip(0u64..);
        symbols.map(move |(symbol, number)| Slot { symbol: *symbol, address: first + number * word })
    }

    /// Stubs of functions that may be out of reach, and of indirect functions.
    pub fn stubs(&self) -> impl Iterator<Item = Stub> + '_ {
        let (layout, tables) = (self.target.layout, self.target.tables);
        let slots = |at: At, count: usize| {
            let (first, word) = (self.target.address(at), self.word());
            (0..count as u64).map(move |number| first + number * word)
        };
        let (calls, indirect) = (&tables.stubs.symbols, &tables.indirect.symbols);
        let slots = slots(layout.stub_slots, calls.len()).chain(slots(layout.indirect_slots, indirect.len()));
        let (first, size) = (self.target.address(layout.stubs), layout.stub_size);
        let stubs = calls.iter().chain(indirect).zip(slots).zip(0u64..);
        stubs.map(move |((symbol, slot), number)| Stub { symbol: *symbol, address: first + number * size, size, slot })
    }

    fn word(&self) -> u64 {
        u64::from(self.target.graph.machine().pointer_size)
    }
}
