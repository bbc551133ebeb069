//! Equal strings and constants are stored once in the whole graph (gABI, `SHF_MERGE` and `SHF_STRINGS`).
//!
//! **You give** a graph whose live blocks are marked. **You get** the same graph with the pieces of its merge sections deduplicated:
//! one new block for each kind of piece, every symbol and every relocation moved to where its piece went. **Not here:** strings that
//! end in one another (tail merging); pieces that nobody refers to are kept with their block.
//!
//! What may be merged: read-only blocks without relocations, in whole elements, of which nobody asks `__start_X` or `__stop_X`.
//! Pieces are alike only if the size of their elements, their alignment and their reach are. A block that is alone of its kind is
//! left as it is: its compiler has already stored equal constants once.

mod moves;
#[cfg(test)]
mod tests;

use crate::graph::{Block, BlockId, Content, LinkGraph, Prot, SectionFlags, SectionKind, names};
use hashbrown::HashTable;
use moves::{Moves, Piece};

/// Merges the live merge blocks of `graph`. Call frame information is compacted before: what is dead is not looked at.
///
/// The new blocks belong to the section of the first block that was merged into them; the old ones become dead.
///
/// # Errors
/// A string without its end; a symbol or relocation that lies outside of its merge section; more than 4 GiB of one kind.
pub fn merge(graph: &mut LinkGraph<'_>) -> Result<Merged, MergeError> {
    let mut stats = Merged::default();
    let mut moves = Moves::default();
    for kin in candidates(graph).chunk_by(|(a, _), (b, _)| a == b) {
        if kin.len() > 1 {
            join(graph, kin, &mut moves, &mut stats)?;
        }
    }
    moves.apply(graph, &mut stats)?;
    Ok(stats)
}

/// What merging did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Merged {
    /// Blocks that were merged.
    pub blocks: usize,
    /// Pieces in them.
    pub pieces: usize,
    /// Pieces that are left.
    pub unique: usize,
    /// Bytes in the blocks.
    pub bytes_before: u64,
    /// Bytes that are left.
    pub bytes_after: u64,
    /// Relocations that were changed.
    pub edges: usize,
}

/// A merge section that cannot be merged, or cannot be what it says.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// A relocation refers to a place before or after the section whose symbol it names.
    #[error(
        "{object}: section {section}+{offset:#x}: relocation refers to offset {target} of {merged}, a merge section of {size} bytes"
    )]
    EdgeOutside {
        /// The object with the relocation.
        object: String,
        /// The section with the relocation.
        section: String,
        /// Where in that section's block it stands, in bytes.
        offset: u32,
        /// The offset that it refers to.
        target: i64,
        /// The merge section's name.
        merged: String,
        /// The merge section's size in bytes.
        size: u64,
    },
    /// A symbol stands after the end of its section.
    #[error("{object}: symbol {symbol} stands at offset {value:#x} of {section}, a merge section of {size} bytes")]
    SymbolOutside {
        /// The object's name.
        object: String,
        /// The symbol's name.
        symbol: String,
        /// Where it says it is.
        value: u64,
        /// The merge section's name.
        section: String,
        /// The merge section's size in bytes.
        size: u64,
    },
    /// The merged block would not fit the offsets of this linker.
    #[error("{object}: section {section}: more than 4 GiB of strings or constants of one kind in one dylib")]
    TooLarge {
        /// The object that was added last.
        object: String,
        /// The section that was added last.
        section: String,
    },
}

/// Above this alignment nothing is merged: every piece would take that much room. No compiler asks for more than a vector.
const MAX_ALIGN_LOG2: u8 = 6;

/// Blocks with the same kind of pieces can be merged with each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Kind {
    element: u32,
    align_log2: u8,
    strings: bool,
    /// May lie out of reach of code (`SHF_X86_64_LARGE`): never joined with what must not.
    large: bool,
}

/// The blocks that may be merged, those of a kind together and in order.
fn candidates(graph: &LinkGraph<'_>) -> Vec<(Kind, BlockId)> {
    let kind = |block: &Block<'_>| {
        let section = graph.section(block.section);
        let unfit = SectionFlags::TLS | SectionFlags::LINK_ORDER;
        let fit = section.flags.contains(SectionFlags::MERGE)
            && section.prot == Prot::READ
            && section.kind == SectionKind::Regular
            && !section.flags.intersects(unfit)
            && section.entry_size > 0
            && block.live
            && block.edges.is_empty()
            && block.size > 0
            && block.size.is_multiple_of(section.entry_size.into())
            && block.content.bytes().is_some_and(|bytes| {
                // GNU ld keeps a section whose last string does not end as it is.
                let strings = section.flags.contains(SectionFlags::STRINGS);
                let last = bytes.len().saturating_sub(section.entry_size as usize);
                !strings || bytes[last..].iter().all(|byte| *byte == 0)
            })
            && block.align_log2 <= MAX_ALIGN_LOG2
            && !(section.has_bounds() && graph.bounds.find(section.name).is_some());
        fit.then(|| Kind {
            element: section.entry_size,
            align_log2: block.align_log2,
            strings: section.flags.contains(SectionFlags::STRINGS),
            large: section.flags.contains(SectionFlags::LARGE),
        })
    };
    let blocks = graph.blocks().iter().enumerate();
    let mut found: Vec<_> = blocks.filter_map(|(i, block)| Some((kind(block)?, BlockId::from_index(i)))).collect();
    found.sort_unstable();
    found
}

/// Merges the blocks of one kind into a new one.
fn join(
    graph: &mut LinkGraph<'_>,
    kin: &[(Kind, BlockId)],
    moves: &mut Moves,
    stats: &mut Merged,
) -> Result<(), MergeError> {
    let kind = kin[0].0;
    let align = 1 << kind.align_log2;
    let element = kind.element as usize;
    let before: u64 = kin.iter().map(|(_, id)| graph.block(*id).size).sum();
    let mut pool = Pool::default();
    let first_piece = moves.pieces.len();
    let output = BlockId::from_index(graph.blocks().len());
    for &(_, id) in kin {
        let block = graph.block(id);
        let section = graph.section(block.section);
        let place = || (graph.object(section.object).name.clone(), String::from_utf8_lossy(section.name).into_owned());
        let bytes = block.content.bytes().unwrap_or_default();
        let start = moves.begin(id, output);
        let mut rest = bytes;
        while !rest.is_empty() {
            let length = if kind.strings { string_length(rest, element) } else { element };
            let (piece, after) = rest.split_at(length);
            let from = bytes.len() - rest.len();
            let to = pool.intern(piece, align);
            let (Ok(from), Some(to)) = (u32::try_from(from), to) else {
                let (object, section) = place();
                return Err(MergeError::TooLarge { object, section });
            };
            moves.pieces.push(Piece { from, to });
            rest = after;
        }
        moves.end(start, block.size);
    }

    stats.blocks += kin.len();
    stats.pieces += moves.pieces.len() - first_piece;
    stats.unique += pool.table.len();
    stats.bytes_before += before;
    stats.bytes_after += pool.bytes.len() as u64;
    for (_, id) in kin {
        graph.blocks[id.index()].live = false;
    }
    let section = graph.block(kin[0].1).section;
    let size = pool.bytes.len() as u64;
    let made = graph.add_block(section, Content::Owned(pool.bytes.into_boxed_slice()), size, align as u64);
    debug_assert_eq!(made, output);
    Ok(())
}

/// The length in bytes of the string at the start of `bytes`, with its zero element; there is one.
fn string_length(bytes: &[u8], element: usize) -> usize {
    if element == 1 {
        // Searches a word at a time.
        return std::ffi::CStr::from_bytes_until_nul(bytes).map_or(bytes.len(), |s| s.count_bytes() + 1);
    }
    let zero = bytes.chunks_exact(element).position(|element| element.iter().all(|byte| *byte == 0));
    zero.map_or(bytes.len(), |position| (position + 1) * element)
}

/// Pieces, each once, one after another.
#[derive(Debug, Default)]
struct Pool {
    bytes: Vec<u8>,
    /// Hash and position: eight bytes a piece. Neither kind of piece needs its length to be compared: constants are all of one
    /// size, and a string that begins with another, zero element and all, is that other.
    table: HashTable<(u32, u32)>,
}

impl Pool {
    /// Where `piece` stands; `None` when it would be beyond 4 GiB.
    #[inline]
    fn intern(&mut self, piece: &[u8], align: usize) -> Option<u32> {
        let hash = names::hash(piece);
        let bytes = &mut self.bytes;
        let same = |(h, at): &(u32, u32)| *h == hash && bytes[*at as usize..].starts_with(piece);
        match self.table.entry(names::spread(hash), same, |(hash, _)| names::spread(*hash)) {
            hashbrown::hash_table::Entry::Occupied(entry) => Some(entry.get().1),
            hashbrown::hash_table::Entry::Vacant(entry) => {
                let at = bytes.len().next_multiple_of(align);
                u32::try_from(at + piece.len()).ok()?;
                bytes.resize(at, 0);
                bytes.extend_from_slice(piece);
                entry.insert((hash, at as u32));
                Some(at as u32)
            }
        }
    }
}
