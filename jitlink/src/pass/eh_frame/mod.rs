//! Call frame information as bytes: read once, marked with the functions it describes, written back without holes.
//!
//! **You give** a graph with `.eh_frame` blocks ([`SectionKind::EhFrame`]). **You get** [`EhFrames`], an index of their records:
//! [`EhFrames::references`] says what a function keeps alive through them (its LSDA, the personality routine), and
//! [`EhFrames::compact`] replaces all blocks by one that holds the records of live functions and nothing else.
//! **Not here:** what the frame instructions mean, registration with an unwinder.
//!
//! Why compact? The unwinder of libgcc takes a zero word for the end of the table. A function that is dropped with its COMDAT group
//! must leave no gap, and neither may the terminators that `ld -r` and `crtend.o` leave between records: everything after the first
//! would be lost, and exceptions through it would end the program.
//!
//! Records are ranges of bytes here, not nodes of the graph; a program with debug information has as many of them as functions, and
//! every step is linear in their number.
//!
//! ```
//! # fn run(graph: &mut jitlink::graph::LinkGraph<'_>) -> Result<(), Box<dyn std::error::Error>> {
//! let frames = jitlink::pass::eh_frame::index(graph)?;
//! // ... mark: when a block becomes live, so does what `frames.references(graph, block)` names ...
//! let table = frames.compact(graph);
//! # Ok(()) }
//! ```

mod compact;
mod distances;
mod parse;
pub(crate) mod record;
#[cfg(test)]
mod tests;

pub(crate) use distances::{Distance, distances};

use crate::graph::{Block, BlockId, Edge, EdgeKind, LinkGraph, SectionKind};
use crate::workers::{self, Alone, Workers};

/// Bytes of records that one worker reads at least: they take as long as the start of a thread, four times.
const MIN_PIECE: u64 = 64 << 10;

/// Reads the records of all live `.eh_frame` blocks.
///
/// # Errors
/// The first record that is damaged, with its object, section and offset.
pub fn index(graph: &LinkGraph<'_>) -> Result<EhFrames, EhFrameError> {
    index_with(graph, &Alone)
}

/// As [`index`], by several workers where there are many records.
///
/// # Errors
/// As [`index`].
pub fn index_with(graph: &LinkGraph<'_>, workers: &dyn Workers) -> Result<EhFrames, EhFrameError> {
    let mut blocks = Vec::new();
    let mut too_large = None;
    let mut total = 0;
    for (i, block) in graph.blocks().iter().enumerate() {
        if block.live && graph.section(block.section).kind == SectionKind::EhFrame {
            total += block.content.bytes().map_or(0, |bytes| bytes.len() as u64);
            if total > i32::MAX as u64 {
                too_large = Some(EhFrameError::new(graph, block, 0, EhFrameProblem::TooLarge));
                break;
            }
            blocks.push(BlockId::from_index(i));
        }
    }
    let count = if total < 2 * MIN_PIECE { 1 } else { (total / MIN_PIECE).min(4 * workers.count() as u64) as usize };
    let pieces = blocks.chunks(blocks.len().div_ceil(count).max(1)).collect();
    let read = workers::map(workers, pieces, |blocks: &[BlockId]| {
        let mut frames = EhFrames::default();
        blocks.iter().try_for_each(|id| frames.read_block(graph, *id)).map(|()| frames)
    });
    let mut frames = EhFrames::default();
    for piece in read {
        frames.append(piece?);
    }
    if let Some(error) = too_large {
        return Err(error);
    }
    frames.sort_by_function(graph.blocks().len());
    Ok(frames)
}

/// The position of a record in [`EhFrames::records`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RecordId(u32);

impl RecordId {
    /// The position.
    #[inline]
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One record (LSB, "Exception Frames"): what stands from its length field to the next one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    /// The block that it stands in.
    pub block: BlockId,
    /// Where in the block, in bytes.
    pub offset: u32,
    /// Its size in bytes, with its length field.
    pub size: u32,
    /// What it is.
    pub kind: RecordKind,
    /// Its edges: a range of the graph's edges, or of [`EhFrames::resorted`].
    edges: (u32, u32),
    resorted: bool,
    /// Whether its length is written in twelve bytes.
    extended: bool,
}

/// The two kinds of records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordKind {
    /// Common information entry: what several functions share.
    Cie(Cie),
    /// Frame description entry of one function.
    Fde {
        /// Its common information.
        cie: RecordId,
        /// The block of the function. None when the function is not part of the graph: such a record is never live.
        ///
        /// A record without a relocation at its first address describes nothing either: that is what `ld -r` leaves of a record
        /// whose function it dropped.
        function: Option<BlockId>,
    },
}

/// What an unwinder must know of a common information entry to read its functions' records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cie {
    /// How addresses of functions are written (`R`; `DW_EH_PE_*`).
    pub pointer_encoding: u8,
    /// How the address of the language's table is written (`L`), if there is one.
    pub lsda_encoding: Option<u8>,
    /// Whether a personality routine is named (`P`, or the pointer of `eh`).
    pub personality: bool,
    /// Whether it describes signal frames (`S`).
    pub signal_frame: bool,
}

impl Record {
    /// Bytes of the length field.
    fn length_field(&self) -> u32 {
        if self.extended { 12 } else { 4 }
    }

    /// Which of the `edges` of a frame description entry names its function: the one that writes its first address.
    fn function_edge(&self, edges: &[Edge]) -> Option<usize> {
        let first_address = self.offset + self.length_field() + 4;
        edges.iter().position(|edge| edge.offset == first_address && edge.kind != EdgeKind::KEEP_ALIVE)
    }
}

/// The records of a graph, in the order of its blocks.
#[derive(Debug, Default)]
pub struct EhFrames {
    records: Vec<Record>,
    /// Copies of the edges of blocks whose edges were not in order of offset.
    resorted: Vec<Edge>,
    /// The blocks that were read.
    blocks: Vec<BlockId>,
    /// By function's block: the start of its part of `by_function`; one more at the end.
    starts: Vec<u32>,
    by_function: Vec<RecordId>,
    /// Bytes in all blocks.
    bytes: u64,
}

impl EhFrames {
    /// All records.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The frame description entries of the functions in `function`, in order.
    #[must_use]
    pub fn records_of(&self, function: BlockId) -> &[RecordId] {
        match self.starts.get(function.index()..function.index() + 2) {
            Some(&[start, end]) => &self.by_function[start as usize..end as usize],
            _ => &[],
        }
    }

    /// The edges of `record`, in order of offset.
    #[must_use]
    pub fn edges_of<'a>(&'a self, graph: &'a LinkGraph<'_>, record: &Record) -> &'a [Edge] {
        self.edges_in(graph.edges(), record)
    }

    /// What becomes live with the code in `function`: the targets of its records' edges other than the function itself
    /// (its language-specific data), and those of their common information (the personality routine).
    pub fn references<'a>(&'a self, graph: &'a LinkGraph<'_>, function: BlockId) -> impl Iterator<Item = &'a Edge> {
        self.references_in(graph.edges(), function)
    }

    /// As [`Self::references`], for those who have taken the graph apart: `edges` are all its edges.
    pub fn references_in<'a>(&'a self, edges: &'a [Edge], function: BlockId) -> impl Iterator<Item = &'a Edge> {
        self.records_of(function).iter().flat_map(move |id| {
            let fde = &self.records[id.index()];
            let RecordKind::Fde { cie, .. } = fde.kind else { unreachable!("only frame descriptions have functions") };
            let own = self.edges_in(edges, fde);
            let function = fde.function_edge(own);
            let others = own.iter().enumerate().filter(move |(i, _)| Some(*i) != function).map(|(_, edge)| edge);
            others.chain(self.edges_in(edges, &self.records[cie.index()]))
        })
    }

    /// Puts the records of later blocks behind these.
    fn append(&mut self, other: Self) {
        if self.blocks.is_empty() {
            *self = other;
            return;
        }
        let (records, resorted) = (self.records.len() as u32, self.resorted.len() as u32);
        self.records.extend(other.records.into_iter().map(|mut record| {
            if let RecordKind::Fde { cie, .. } = &mut record.kind {
                cie.0 += records;
            }
            if record.resorted {
                record.edges = (record.edges.0 + resorted, record.edges.1 + resorted);
            }
            record
        }));
        self.resorted.extend(other.resorted);
        self.blocks.extend(other.blocks);
        self.bytes += other.bytes;
    }

    fn edges_in<'a>(&'a self, edges: &'a [Edge], record: &Record) -> &'a [Edge] {
        let range = record.edges.0 as usize..record.edges.1 as usize;
        if record.resorted { &self.resorted[range] } else { &edges[range] }
    }

    /// Makes the index by function, by counting sort: order of records is kept.
    fn sort_by_function(&mut self, blocks: usize) {
        let mut starts = vec![0_u32; blocks + 2];
        let function = |record: &Record| match record.kind {
            RecordKind::Fde { function, .. } => function,
            RecordKind::Cie(_) => None,
        };
        for function in self.records.iter().filter_map(function) {
            starts[function.index() + 2] += 1;
        }
        for i in 2..starts.len() {
            starts[i] += starts[i - 1];
        }
        // starts[f + 1] is now where f begins; it moves to where f ends while its records are put down.
        let described = starts.last().copied().unwrap_or(0) as usize;
        self.by_function = vec![RecordId(0); described];
        for (i, record) in self.records.iter().enumerate() {
            if let Some(function) = function(record) {
                let slot = &mut starts[function.index() + 1];
                self.by_function[*slot as usize] = RecordId(i as u32);
                *slot += 1;
            }
        }
        starts.pop();
        self.starts = starts;
    }
}

/// A damaged record: the whole table of its object cannot be trusted.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{object}: section {section}+{offset:#x}: damaged call frame information: {problem}")]
pub struct EhFrameError {
    /// The object's name.
    pub object: String,
    /// The section's name.
    pub section: String,
    /// Where the record starts in the section, in bytes.
    pub offset: u64,
    /// What is wrong with it.
    pub problem: EhFrameProblem,
}

impl EhFrameError {
    fn new(graph: &LinkGraph<'_>, block: &Block<'_>, offset: usize, problem: EhFrameProblem) -> Self {
        let section = graph.section(block.section);
        Self {
            object: graph.object(section.object).name.clone(),
            section: String::from_utf8_lossy(section.name).into_owned(),
            offset: offset as u64,
            problem,
        }
    }
}

/// What can be wrong with a record.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EhFrameProblem {
    /// Its length reaches beyond the section.
    #[error("a record of {length} bytes, and {available} are left in the section")]
    TooLong {
        /// What its length field says.
        length: u64,
        /// What is left after that field.
        available: u64,
    },
    /// The section ends inside a field.
    #[error("the record ends inside its {0}")]
    Truncated(&'static str),
    /// No common information where a frame description says it is.
    #[error("no common information entry at offset {0:#x}, where this record looks for it")]
    NoCie(i64),
    /// A version that did not exist when this was written.
    #[error("version {0}; versions 1, 3 and 4 are known")]
    Version(u8),
    /// An augmentation that cannot be skipped.
    #[error("augmentation {0:?} is unknown")]
    Augmentation(String),
    /// An encoding of addresses that does not exist.
    #[error("addresses are written in encoding {0:#04x}, which does not exist")]
    Encoding(u8),
    /// A relocation whose field is not inside of one record.
    #[error("the relocation at offset {0:#x} writes past the end of the record")]
    Straddling(u32),
    /// More than a 32-bit distance can span.
    #[error("more than 2 GiB of call frame information in one dylib")]
    TooLarge,
}
