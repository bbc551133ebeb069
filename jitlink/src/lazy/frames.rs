//! What call frame information keeps, of one object: for each function its language-specific data and its personality routine.
//!
//! Only extents of records and their first words are read here; whether they are sound, [`crate::pass::eh_frame`] says when they are linked.

use super::Waiting;
use crate::graph::{BlockId, Edge, EdgeKind, ObjectId, SymbolId};
use crate::object::ObjectError;
use std::ops::Range;

/// The records of one object.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// All edges of its blocks of records, block by block, by offset.
    pub(super) edges: Vec<Edge>,
    /// Function, and edges of its record besides: its own and those of its common information. Sorted by function.
    by_function: Vec<(BlockId, Range<usize>, Range<usize>)>,
}

impl Frames {
    pub(super) fn read(waiting: &Waiting<'_>, object: ObjectId) -> Result<Self, ObjectError> {
        let mut frames = Self::default();
        let Some(reader) = &waiting.objects[object.index()] else { return Ok(frames) };
        for block in waiting.frames.get(&object).into_iter().flatten() {
            let start = frames.edges.len();
            reader.edges(&waiting.graph, *block, &mut frames.edges)?;
            frames.edges[start..].sort_by_key(|edge| edge.offset);
            frames.records(waiting, *block, start);
        }
        frames.by_function.sort_by_key(|(function, ..)| *function);
        Ok(frames)
    }

    fn records(&mut self, waiting: &Waiting<'_>, block: BlockId, start: usize) {
        let Some(bytes) = waiting.graph.block(block).content.bytes() else { return };
        let word = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        // Common information entries so far: where, and their edges; by offset.
        let mut common: Vec<(usize, Range<usize>)> = Vec::new();
        let (mut at, mut edge) = (0, start);
        while let Some(length) = word(at) {
            let (body, length) = match length {
                0 => {
                    at += 4;
                    continue;
                }
                u32::MAX => match bytes.get(at + 4..).and_then(<[u8]>::first_chunk) {
                    Some(long) => (at + 12, u64::from_le_bytes(*long)),
                    None => return,
                },
                short => (at + 4, u64::from(short)),
            };
            let end = usize::try_from(length).ok().and_then(|length| body.checked_add(length));
            let (Some(end), Some(link)) = (end.filter(|end| *end <= bytes.len()), word(body)) else { return };
            let within = |edge: &Edge| (edge.offset as usize) < end;
            let own = edge;
            edge += self.edges[edge..].iter().take_while(|edge| within(edge)).count();
            if link == 0 {
                common.push((at, own..edge));
            } else if let Some(first) = self.edges[own..edge].first()
                && first.offset as usize == body + 4
                && first.kind != EdgeKind::KEEP_ALIVE
                && let Some(function) = waiting.graph.symbol(first.target).block()
            {
                let target = body.wrapping_sub(link as usize);
                let cie = common.binary_search_by_key(&target, |(at, _)| *at);
                let cie = cie.map_or(0..0, |cie| common[cie].1.clone());
                self.by_function.push((function, own + 1..edge, cie));
            }
            at = end;
        }
    }

    /// What becomes live with the code in `function`.
    pub(super) fn references(&self, function: BlockId) -> impl Iterator<Item = SymbolId> + '_ {
        let start = self.by_function.partition_point(|(other, ..)| *other < function);
        let records = self.by_function[start..].iter().take_while(move |(other, ..)| *other == function);
        records.flat_map(|(_, own, common)| {
            self.edges[own.clone()].iter().chain(&self.edges[common.clone()]).map(|edge| edge.target)
        })
    }
}
