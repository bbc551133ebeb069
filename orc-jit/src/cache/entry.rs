//! What an entry is made of.
//!
//! ```text
//! magic, place and hash of the table of contents | contents of all segments | table of contents
//! ```
//!
//! The table is in [`dispatch::packed`]'s encoding, which is good for this build alone: so is the entry, whose name has the linker's sources in it. Every byte of
//! a file is under a hash: the header's own, that of the table, and in the table those of the segments.

use super::store::Hash;
use dispatch::packed::{Pack, Reader, Unpack};
use dispatch::{PackError, packed_struct};
use jitlink::memory::ThreadLocal;
use jitlink::moving::Anchor;

/// Bytes before the first content: magic, where the table begins, how long the file is, the table's hash, the hash of all that.
pub(crate) const HEADER: usize = 8 + 8 + 8 + 32 + 32;
const MAGIC: &[u8; 8] = b"orcimg\x02\n";

/// The header of a file.
pub(crate) fn header(table: u64, size: u64, hash: blake3::Hash) -> [u8; HEADER] {
    let mut out = [0; HEADER];
    out[..8].copy_from_slice(MAGIC);
    out[8..16].copy_from_slice(&table.to_le_bytes());
    out[16..24].copy_from_slice(&size.to_le_bytes());
    out[24..56].copy_from_slice(hash.as_bytes());
    let own = blake3::hash(&out[..56]);
    out[56..].copy_from_slice(own.as_bytes());
    out
}

/// Where the table of contents is in a file of `size` bytes, and its hash; `None` when the header is not one of such a file.
pub(crate) fn read_header(header: &[u8; HEADER], size: u64) -> Option<(u64, blake3::Hash)> {
    let word = |at: usize| header[at..].first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    let (table, length) = (word(8)?, word(16)?);
    let hash: Hash = *header[24..].first_chunk()?;
    let whole = header[..8] == MAGIC[..] && blake3::hash(&header[..56]).as_bytes()[..] == header[56..];
    (whole && length == size && table >= HEADER as u64 && table <= size)
        .then(|| (table, blake3::Hash::from_bytes(hash)))
}

/// A hash in the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Digest(pub(crate) Hash);

impl Pack for Digest {
    fn pack(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

impl<'a> Unpack<'a> for Digest {
    const MIN_SIZE: usize = 32;

    fn unpack(reader: &mut Reader<'a>) -> Result<Self, PackError> {
        let words: [u64; 4] = [u64::unpack(reader)?, u64::unpack(reader)?, u64::unpack(reader)?, u64::unpack(reader)?];
        let mut hash = [0; 32];
        hash.chunks_mut(8).zip(words).for_each(|(out, word)| out.copy_from_slice(&word.to_le_bytes()));
        Ok(Self(hash))
    }
}

/// A place in an image: the number of a segment, and an offset from its start. Segment numbers above [`FIXED`] mean other anchors.
pub(crate) type Place = (u8, u64);
/// In place of a segment: the number is an address.
pub(crate) const FIXED: u8 = 0xff;
/// In place of a segment: the number is a position among the image's thread-local variables.
pub(crate) const THREAD_LOCAL: u8 = 0xfe;

packed_struct! {
    /// The table of contents.
    #[derive(Debug)]
    pub(crate) struct Meta<'a> {
        /// The name of the entry: one under another name is none.
        pub(crate) name: Digest,
        /// What archives were not asked for because something else offers it, and the other way round: dylib, item, name, whether it was offered.
        pub(crate) offered: Vec<(u32, u32, &'a [u8], bool)>,
        /// The images, in the order in which they were linked.
        pub(crate) images: Vec<ImageEntry<'a>>,
    }

    /// What one unit got out of a batch.
    #[derive(Debug)]
    pub(crate) struct ImageEntry<'a> {
        /// Its dylib: position among those in reach.
        pub(crate) dylib: u32,
        pub(crate) segments: Vec<Segment>,
        /// Everything is below 2 GiB.
        pub(crate) low: bool,
        pub(crate) thread_local: Option<Thread>,
        pub(crate) externals: Vec<External<'a>>,
        /// Segment, field, plus, minus, places: see [`jitlink::moving`]. Anchors as [`anchor_number`] has them.
        pub(crate) groups: Vec<(u8, u16, u32, u32, &'a [u8])>,
        pub(crate) names: NameTable<'a>,
        pub(crate) eh_frame: Option<(Place, u64)>,
        pub(crate) header: Option<Place>,
        /// Kind, priority, place, count.
        pub(crate) arrays: Vec<(u8, u16, Place, u64)>,
        /// Resolver and slot.
        pub(crate) ifuncs: Vec<(Place, Place)>,
        /// The content of thread-local storage: place, bytes of content, bytes in all.
        pub(crate) first_content: Option<(Place, u64, u64)>,
        /// How many items of its dylib are linked.
        pub(crate) linked: u64,
        /// Archive members: item, position of its header.
        pub(crate) pulled: Vec<(u32, u64)>,
        /// Dylibs whose definitions it shares, by their position.
        pub(crate) lenders: Vec<u32>,
        /// Its functions go along with it.
        pub(crate) symbols_at_hand: bool,
        pub(crate) reads_debug: bool,
        pub(crate) objects: Vec<KeptObject<'a>>,
        pub(crate) map: Vec<MapBlock<'a>>,
    }

    /// A segment as it was asked for and linked.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Segment {
        pub(crate) prot: u8,
        pub(crate) align: u64,
        pub(crate) size: u64,
        pub(crate) content_size: u64,
        pub(crate) far: bool,
        /// Where it was.
        pub(crate) address: u64,
        /// Where its content is in the file.
        pub(crate) position: u64,
        pub(crate) hash: Digest,
    }

    /// Thread-local storage as it was asked for, and where it was.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Thread {
        pub(crate) size: u64,
        pub(crate) align: u64,
        pub(crate) constant: bool,
        pub(crate) module: u64,
        pub(crate) offset: u64,
        pub(crate) distance: Option<i64>,
    }

    /// A name that the image needs from outside, and what it was.
    #[derive(Debug)]
    pub(crate) struct External<'a> {
        pub(crate) name: &'a [u8],
        pub(crate) hidden: bool,
        pub(crate) thread_local: bool,
        /// Who defines it: see [`Source`].
        pub(crate) source: (u8, u32, u32),
        pub(crate) value: u64,
    }

    /// Names: the text of all of them, and [`NAME_SIZE`] bytes for each.
    #[derive(Debug)]
    pub(crate) struct NameTable<'a> {
        pub(crate) text: &'a [u8],
        pub(crate) entries: &'a [u8],
        /// Offsets of thread-local variables in the image's storage.
        pub(crate) thread_locals: Vec<u64>,
    }

    /// An object, for debug information.
    #[derive(Debug)]
    pub(crate) struct KeptObject<'a> {
        pub(crate) name: &'a str,
        pub(crate) item: u32,
        pub(crate) member: Option<u64>,
        /// Number and place of its sections.
        pub(crate) sections: Vec<(u32, Place)>,
    }

    /// A line of the link map.
    #[derive(Debug)]
    pub(crate) struct MapBlock<'a> {
        pub(crate) object: &'a str,
        pub(crate) section: &'a str,
        pub(crate) place: Place,
        pub(crate) size: u64,
        /// Distance from the start of the block, and name.
        pub(crate) symbols: Vec<(u64, &'a str)>,
    }
}

impl Thread {
    /// Where it was.
    pub(crate) fn place(&self) -> ThreadLocal {
        ThreadLocal { module: self.module, offset: self.offset, distance: self.distance }
    }
}

/// An anchor as a number.
pub(crate) fn anchor_number(anchor: Anchor) -> u32 {
    match anchor {
        Anchor::Fixed => 0,
        Anchor::ThreadLocal => 1,
        Anchor::Module => 2,
        Anchor::ModuleOffset => 3,
        Anchor::Segment(segment) => SEGMENTS + u32::from(segment),
        Anchor::External(number) => EXTERNALS.saturating_add(number),
    }
}

/// The anchor that a number stands for; any number stands for one, which may not be there.
pub(crate) fn anchor(number: u32) -> Anchor {
    match number {
        0 => Anchor::Fixed,
        1 => Anchor::ThreadLocal,
        2 => Anchor::Module,
        3 => Anchor::ModuleOffset,
        EXTERNALS.. => Anchor::External(number - EXTERNALS),
        segment => Anchor::Segment(u8::try_from(segment - SEGMENTS).unwrap_or(u8::MAX)),
    }
}

/// The number of the first segment.
const SEGMENTS: u32 = 4;
/// The number of the first external.
const EXTERNALS: u32 = 1 << 10;

/// Bytes of a name: number, size, length of its text, segment, kind, linkage, reach.
pub(crate) const NAME_SIZE: usize = 8 + 8 + 4 + 1 + 1 + 1 + 1;

/// Who defines an external.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// An image of the same batch: its number, and the number of the name there.
    Image(u32, u32),
    /// The runtime.
    Runtime,
    /// A shared library or the process: whether it is code, data, or thread-local at a constant distance or another.
    Native(u32),
    /// Nobody: it is null.
    Nobody,
}

impl Source {
    pub(crate) fn numbers(self) -> (u8, u32, u32) {
        match self {
            Self::Image(image, name) => (0, image, name),
            Self::Runtime => (1, 0, 0),
            Self::Native(kind) => (2, kind, 0),
            Self::Nobody => (3, 0, 0),
        }
    }

    pub(crate) fn of(numbers: (u8, u32, u32)) -> Option<Self> {
        match numbers {
            (0, image, name) => Some(Self::Image(image, name)),
            (1, ..) => Some(Self::Runtime),
            (2, kind, _) => Some(Self::Native(kind)),
            (3, ..) => Some(Self::Nobody),
            _ => None,
        }
    }
}
