//! From bytes to records. Words are little-endian, as are all machines of [`crate::arch::Machine::ALL`].

use super::{Cie, EhFrameError, EhFrameProblem, EhFrames, Record, RecordId, RecordKind};
use crate::graph::{Block, BlockId, Edge, EdgeKind, LinkGraph};
use std::ops::Range;

/// The length that announces a longer one.
const EXTENDED: u32 = 0xffff_ffff;

impl EhFrames {
    pub(super) fn read_block(&mut self, graph: &LinkGraph<'_>, id: BlockId) -> Result<(), EhFrameError> {
        self.blocks.push(id);
        let block = graph.block(id);
        // A block of zeros holds terminators only.
        let Some(bytes) = block.content.bytes() else {
            return Ok(());
        };
        let fail = |offset, problem| EhFrameError::new(graph, block, offset, problem);
        self.bytes += bytes.len() as u64;

        let pointer = graph.machine().pointer_size;
        let (range, resorted) = self.edges_by_offset(graph, block);
        let edges = if resorted { &self.resorted[..range.end] } else { &graph.edges()[..range.end] };
        let first = self.records.len();
        let mut recent = None;
        let mut edge = range.start;
        let mut at = 0;
        while at < bytes.len() {
            match word(bytes, at) {
                // Between records this is a terminator or an alignment gap that `ld -r` carried along.
                Some(0) => {
                    at += 4;
                    continue;
                }
                None if bytes[at..].iter().all(|byte| *byte == 0) => break,
                _ => {}
            }
            let (extended, body, end) = extent(bytes, at).map_err(|problem| fail(at, problem))?;
            let link = word(&bytes[..end], body);
            let link = link.ok_or_else(|| fail(at, EhFrameProblem::Truncated("identifier")))?;
            while edge < edges.len() && (edges[edge].offset as usize) < at {
                edge += 1;
            }
            let own = edge;
            while edge < edges.len() && (edges[edge].offset as usize) < end {
                let width = usize::from(graph.machine().fixup(edges[edge].kind).field.width());
                if edges[edge].offset as usize + width > end {
                    return Err(fail(at, EhFrameProblem::Straddling(edges[edge].offset)));
                }
                edge += 1;
            }

            let mut fields = Fields { bytes: &bytes[..end], at: body + 4, pointer };
            let kind = if link == 0 {
                RecordKind::Cie(fields.cie().map_err(|problem| fail(at, problem))?)
            } else {
                // The distance from this field back to the entry; of 32 bits also beside an extended length (LSB).
                let target = body as i64 - i64::from(link);
                let cie = match recent {
                    Some((offset, cie)) if offset == target => cie,
                    _ => cie_at(&self.records, first, target).ok_or_else(|| fail(at, EhFrameProblem::NoCie(target)))?,
                };
                recent = Some((target, cie));
                let encoding = match self.records[cie.index()].kind {
                    RecordKind::Cie(cie) => cie.pointer_encoding,
                    RecordKind::Fde { .. } => {
                        unreachable!("cie_at gives common information entries only")
                    }
                };
                // Where the code starts, and how long it is.
                for format in [encoding, encoding & 0x0f] {
                    fields.pointer(format, "addresses").map_err(|problem| fail(at, problem))?;
                }
                RecordKind::Fde { cie, function: function(graph, block, &edges[own..edge], body + 4) }
            };
            let (offset, size) = (at as u32, (end - at) as u32);
            self.records.push(Record {
                block: id,
                offset,
                size,
                kind,
                edges: (own as u32, edge as u32),
                resorted,
                extended,
            });
            at = end;
        }
        Ok(())
    }

    /// The edges of `block` in order of offset: as they stand in the graph, where readers put them in that order; else a sorted
    /// copy, and true.
    fn edges_by_offset(&mut self, graph: &LinkGraph<'_>, block: &Block<'_>) -> (Range<usize>, bool) {
        let range = block.edge_range();
        let edges = &graph.edges()[range.clone()];
        if edges.is_sorted_by_key(|edge| edge.offset) {
            return (range, false);
        }
        let start = self.resorted.len();
        self.resorted.extend_from_slice(edges);
        self.resorted[start..].sort_by_key(|edge| edge.offset);
        (start..self.resorted.len(), true)
    }
}

/// Whether the length of the record at `at` is extended, where its body begins, and where it ends.
pub(super) fn extent(bytes: &[u8], at: usize) -> Result<(bool, usize, usize), EhFrameProblem> {
    let truncated = EhFrameProblem::Truncated("length");
    let (extended, length, body) = match word(bytes, at) {
        None => return Err(truncated),
        Some(EXTENDED) => match (word(bytes, at + 4), word(bytes, at + 8)) {
            (Some(low), Some(high)) => (true, u64::from(low) | u64::from(high) << 32, at + 12),
            _ => return Err(truncated),
        },
        Some(length) => (false, u64::from(length), at + 4),
    };
    let available = (bytes.len() - body) as u64;
    if length > available {
        return Err(EhFrameProblem::TooLong { length, available });
    }
    Ok((extended, body, body + length as usize))
}

/// The common information entry at offset `target` among the records from `first` on, which are those of one block.
fn cie_at(records: &[Record], first: usize, target: i64) -> Option<RecordId> {
    let of_block = &records[first..];
    let at = of_block.binary_search_by_key(&target, |record| i64::from(record.offset)).ok()?;
    matches!(of_block[at].kind, RecordKind::Cie(_)).then_some(RecordId((first + at) as u32))
}

/// The block of the function whose address belongs at `offset`: none when the linker dropped it or never had it.
fn function(graph: &LinkGraph<'_>, block: &Block<'_>, edges: &[Edge], offset: usize) -> Option<BlockId> {
    let edge = edges.iter().find(|edge| edge.offset as usize == offset && edge.kind != EdgeKind::KEEP_ALIVE)?;
    let function = graph.symbol(edge.target).block()?;
    // A record describes the code of its own object. Where it names a global that another object won, its own copy was dropped.
    (graph.section_of(function).object == graph.section(block.section).object).then_some(function)
}

#[inline]
pub(super) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

/// The fields of one record, from `at` on.
pub(super) struct Fields<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    pub(super) pointer: u8,
}

impl Fields<'_> {
    /// The fields of a common information entry after its identifier (LSB, "The Common Information Entry Format").
    pub(super) fn cie(&mut self) -> Result<Cie, EhFrameProblem> {
        let version = self.byte("version")?;
        if !matches!(version, 1 | 3 | 4) {
            return Err(EhFrameProblem::Version(version));
        }
        let start = self.at;
        while self.byte("augmentation")? != 0 {}
        let augmentation = &self.bytes[start..self.at - 1];
        let mut cie = Cie { pointer_encoding: 0, lsda_encoding: None, personality: false, signal_frame: false };
        if augmentation == b"eh" {
            // What compilers wrote before `z`: one address that nobody reads any more.
            self.skip(self.pointer.into(), "augmentation data")?;
        }
        if version == 4 {
            self.skip(2, "address size")?;
        }
        self.leb("code alignment")?;
        self.leb("data alignment")?;
        if version == 1 {
            self.skip(1, "return address register")?;
        } else {
            self.leb("return address register")?;
        }
        match augmentation {
            b"" | b"eh" => return Ok(cie),
            [b'z', ..] => {}
            _ => return Err(unknown(augmentation)),
        }
        let length = self.leb("augmentation length")?;
        let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length));
        let end = end.filter(|end| *end <= self.bytes.len()).ok_or(EhFrameProblem::Truncated("augmentation data"))?;
        let mut data = Fields { bytes: &self.bytes[..end], at: self.at, pointer: self.pointer };
        for letter in &augmentation[1..] {
            match letter {
                b'L' => cie.lsda_encoding = Some(data.byte("augmentation data")?),
                b'R' => cie.pointer_encoding = data.byte("augmentation data")?,
                b'P' => {
                    let encoding = data.byte("augmentation data")?;
                    data.pointer(encoding, "augmentation data")?;
                    cie.personality = true;
                }
                b'S' => cie.signal_frame = true,
                // AArch64: return addresses signed with key B; frames with memory tags. Neither has data.
                b'B' | b'G' => {}
                _ => return Err(unknown(augmentation)),
            }
        }
        Ok(cie)
    }

    /// Steps over an address written as `encoding` says (LSB, "DWARF Exception Header Encoding").
    pub(super) fn pointer(&mut self, encoding: u8, field: &'static str) -> Result<(), EhFrameProblem> {
        const OMITTED: u8 = 0xff;
        const ALIGNED: u8 = 0x50;
        let size = match (encoding, encoding & 0x0f) {
            (OMITTED, _) => 0,
            (ALIGNED, _) => {
                self.at = self.at.next_multiple_of(self.pointer.into());
                self.pointer
            }
            (_, 0x0 | 0x8) => self.pointer,
            (_, 0x2 | 0xa) => 2,
            (_, 0x3 | 0xb) => 4,
            (_, 0x4 | 0xc) => 8,
            (_, 0x1 | 0x9) => return self.leb(field).map(drop),
            _ => return Err(EhFrameProblem::Encoding(encoding)),
        };
        self.skip(size.into(), field)
    }

    fn byte(&mut self, field: &'static str) -> Result<u8, EhFrameProblem> {
        let byte = *self.bytes.get(self.at).ok_or(EhFrameProblem::Truncated(field))?;
        self.at += 1;
        Ok(byte)
    }

    fn skip(&mut self, count: usize, field: &'static str) -> Result<(), EhFrameProblem> {
        self.at += count;
        if self.at > self.bytes.len() { Err(EhFrameProblem::Truncated(field)) } else { Ok(()) }
    }

    /// A LEB128 number, read as unsigned; bits beyond 64 are dropped.
    pub(super) fn leb(&mut self, field: &'static str) -> Result<u64, EhFrameProblem> {
        let mut value = 0;
        let mut shift = 0;
        loop {
            let byte = self.byte(field)?;
            if shift < 64 {
                value |= u64::from(byte & 0x7f) << shift;
                shift += 7;
            }
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
    }
}

fn unknown(augmentation: &[u8]) -> EhFrameProblem {
    EhFrameProblem::Augmentation(String::from_utf8_lossy(augmentation).into_owned())
}
