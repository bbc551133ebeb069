//! From records to bytes: one table of what is live.

use super::{EhFrames, Record, RecordKind};
use crate::graph::{BlockId, Content, Definition, Edge, LinkGraph, Prot};
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hash, Hasher};

/// Not written (yet).
const NOWHERE: u32 = u32::MAX;

impl EhFrames {
    /// Replaces all `.eh_frame` blocks of the graph by one that holds the records of the functions that are live, in their order,
    /// with no gap between them, and a zero word at the end. Common information that is the same in several objects is written once.
    ///
    /// The new block belongs to the section of the first block that gave it a record, which becomes read-only; it is live. Extended
    /// lengths become plain ones (libgcc reads no others); records are padded to four bytes with no-ops. Records whose function is
    /// not live, or that describe none, vanish; the old blocks become dead. `None` when nothing is live and nobody refers to the table.
    pub fn compact(self, graph: &mut LinkGraph<'_>) -> Option<BlockId> {
        let mut table = Table::with_capacity(&self, graph);
        let mut first_block = None;
        for (i, record) in self.records.iter().enumerate() {
            if let RecordKind::Fde { cie, function: Some(function) } = record.kind
                && graph.block(function).live
            {
                let common = table.cie(graph, cie.index());
                table.placed[i] = table.append(graph, record, Some(common));
                first_block.get_or_insert(record.block);
            }
        }
        let Table { mut bytes, placed, first_edge, .. } = table;
        let end = bytes.len() as u32;
        bytes.extend_from_slice(&[0; 4]);

        let align = self.blocks.iter().map(|id| graph.block(*id).align()).max().unwrap_or(4).max(4);
        let referred = self.blocks.iter().copied().find(|id| graph.block(*id).live);
        for id in &self.blocks {
            graph.blocks[id.index()].live = false;
        }
        let section = graph.block(first_block.or(referred)?).section;
        graph.sections[section.index()].prot = Prot::READ;
        let size = bytes.len() as u64;
        let block = graph.add_block(section, Content::Owned(bytes.into_boxed_slice()), size, align);
        graph.blocks[block.index()].edges.start = first_edge;
        if referred.is_some() {
            self.move_symbols(graph, block, &placed, end);
        }
        Some(block)
    }

    /// Somebody refers to the table itself (`__EH_FRAME_BEGIN__` of `crtbegin.o`): symbols move to where the next record that
    /// was kept went, or to the terminator.
    fn move_symbols(&self, graph: &mut LinkGraph<'_>, table: BlockId, placed: &[u32], end: u32) {
        let mut next = vec![end; placed.len() + 1];
        for i in (0..placed.len()).rev() {
            next[i] = if placed[i] == NOWHERE { next[i + 1] } else { placed[i] };
        }
        for symbol in &mut graph.symbols {
            if let Definition::Block(old) = symbol.definition
                && self.blocks.binary_search(&old).is_ok()
            {
                let at = (old, symbol.value);
                let record = self.records.partition_point(|record| (record.block, u64::from(record.offset)) < at);
                symbol.definition = Definition::Block(table);
                symbol.value = next[record].into();
            }
        }
    }
}

/// The table as it grows.
struct Table<'a> {
    frames: &'a EhFrames,
    /// The block that it will be. Its edges are put where they stay, at the end of the graph's, from `first_edge` on.
    block: BlockId,
    first_edge: u32,
    bytes: Vec<u8>,
    /// By record: where it went.
    placed: Vec<u32>,
    /// Common information entries that were written, and the hashes of what makes them equal.
    unique: HashTable<(u64, u32)>,
}

impl<'a> Table<'a> {
    fn with_capacity(frames: &'a EhFrames, graph: &mut LinkGraph<'_>) -> Self {
        let kept = frames.records.iter().filter(|record| match record.kind {
            RecordKind::Fde { function, .. } => function.is_some_and(|function| graph.block(function).live),
            RecordKind::Cie(_) => false,
        });
        let (bytes, edges) = kept.fold((0, 0), |(bytes, edges), record| {
            (bytes + record.size as usize, edges + (record.edges.1 - record.edges.0) as usize)
        });
        graph.edges.reserve(edges + 16);
        Self {
            frames,
            block: BlockId::from_index(graph.blocks.len()),
            first_edge: u32::try_from(graph.edges.len()).expect("fewer than 2^32 edges"),
            bytes: Vec::with_capacity(bytes + bytes / 16 + 64),
            placed: vec![NOWHERE; frames.records.len()],
            unique: HashTable::new(),
        }
    }

    /// Where common information entry number `i` stands; it is written now if neither it nor its like was before.
    fn cie(&mut self, graph: &mut LinkGraph<'_>, i: usize) -> u32 {
        if self.placed[i] != NOWHERE {
            return self.placed[i];
        }
        let frames = self.frames;
        let record = &frames.records[i];
        let hash = fingerprint(frames, graph, record);
        let same = |(h, j): &(u64, u32)| *h == hash && equal(frames, graph, record, &frames.records[*j as usize]);
        let at = match self.unique.find(hash, same) {
            Some((_, j)) => self.placed[*j as usize],
            None => {
                self.unique.insert_unique(hash, (hash, i as u32), |(hash, _)| *hash);
                self.append(graph, record, None)
            }
        };
        self.placed[i] = at;
        at
    }

    /// Writes `record` at the end, with a plain length; `cie` is where a frame description's common information stands.
    fn append(&mut self, graph: &mut LinkGraph<'_>, record: &Record, cie: Option<u32>) -> u32 {
        let body = body(graph, record);
        let at = self.bytes.len() as u32;
        let padded = body.len().next_multiple_of(4);
        self.bytes.extend_from_slice(&(padded as u32).to_le_bytes());
        self.bytes.extend_from_slice(body);
        // DW_CFA_nop is zero.
        self.bytes.resize(at as usize + 4 + padded, 0);
        if let Some(cie) = cie {
            let link = at as usize + 4;
            self.bytes[link..link + 4].copy_from_slice(&(link as u32 - cie).to_le_bytes());
        }
        let start = record.offset + record.length_field();
        for i in record.edges.0 as usize..record.edges.1 as usize {
            let edge = if record.resorted { self.frames.resorted[i] } else { graph.edges[i] };
            // None stands in a length field but by damage.
            if edge.offset >= start {
                graph.edges.push(Edge { block: self.block, offset: edge.offset - start + at + 4, ..edge });
            }
        }
        at
    }
}

/// What follows the length field.
fn body<'a>(graph: &'a LinkGraph<'_>, record: &Record) -> &'a [u8] {
    let bytes = graph.block(record.block).content.bytes().unwrap_or_default();
    &bytes[(record.offset + record.length_field()) as usize..(record.offset + record.size) as usize]
}

/// An edge of a record as it compares with those of another.
fn shape(record: &Record, edge: &Edge) -> (u32, u8, i64, usize) {
    (edge.offset.wrapping_sub(record.offset + record.length_field()), edge.kind.0, edge.addend, edge.target.index())
}

fn fingerprint(frames: &EhFrames, graph: &LinkGraph<'_>, record: &Record) -> u64 {
    let mut hasher = FixedState::with_seed(0xbb67_ae85_84ca_a73b).build_hasher();
    hasher.write(body(graph, record));
    for edge in frames.edges_of(graph, record) {
        shape(record, edge).hash(&mut hasher);
    }
    hasher.finish()
}

fn equal(frames: &EhFrames, graph: &LinkGraph<'_>, a: &Record, b: &Record) -> bool {
    let shapes = |record: &'_ Record| {
        let record = *record;
        frames
            .edges_of(graph, &record)
            .iter()
            .map(move |edge| shape(&record, edge))
            .collect::<smallvec::SmallVec<[_; 4]>>()
    };
    body(graph, a) == body(graph, b) && shapes(a) == shapes(b)
}
