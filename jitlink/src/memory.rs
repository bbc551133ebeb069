//! Memory that a link writes into: a trait for any, and [`FlatMemory`], which is a plain vector of bytes.
//!
//! **You give** the sizes of the segments. **You get** an address for each (where it will run) and bytes to write (where it can be
//! written now); the two need not be in one process. **Not here:** how an executor maps, protects or shares its pages.
//!
//! A memory of one's own is two small traits:
//!
//! ```
//! use jitlink::memory::{InFlight, Memory, MemoryError, Request};
//!
//! /// Gives one address range after another and keeps what is linked there in a list.
//! struct Listing(std::cell::RefCell<Vec<(u64, Vec<u8>)>>);
//! struct Pending<'a>(&'a Listing, Vec<(u64, Vec<u8>)>);
//!
//! impl<'a> Memory for &'a Listing {
//!     type InFlight = Pending<'a>;
//!     fn reserve(&self, request: &Request<'_>) -> Result<Pending<'a>, MemoryError> {
//!         let mut next = 0x10_0000 * (1 + self.0.borrow().len() as u64);
//!         let place = |segment: &jitlink::memory::Segment| {
//!             let address = next.next_multiple_of(segment.align);
//!             next = address + segment.size;
//!             (address, vec![0; segment.size as usize])
//!         };
//!         Ok(Pending(*self, request.segments.iter().map(place).collect()))
//!     }
//! }
//! impl InFlight for Pending<'_> {
//!     type Allocation = ();
//!     fn address(&self, segment: usize) -> u64 { self.1[segment].0 }
//!     fn bytes(&mut self, segment: usize) -> &mut [u8] { &mut self.1[segment].1 }
//!     fn finalize(self) -> Result<(), MemoryError> { Ok(self.0.0.borrow_mut().extend(self.1)) }
//! }
//!
//! let memory = Listing(Default::default());
//! let segment = jitlink::memory::Segment { prot: jitlink::graph::Prot::READ, align: 16, size: 8, content_size: 8, far: false };
//! let mut pending = (&memory).reserve(&Request { segments: &[segment], low: false, thread_local: None }).unwrap();
//! pending.bytes(0)[0] = 7;
//! pending.finalize().unwrap();
//! assert_eq!(memory.0.borrow()[0].1[0], 7);
//! ```

use crate::graph::Prot;

/// One run of memory with one protection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// What may be done with it once it is final.
    pub prot: Prot,
    /// Alignment of its address in bytes, a power of two.
    pub align: u64,
    /// Its size in bytes.
    pub size: u64,
    /// How many of its first bytes are written; the rest is zeros and need not be touched.
    pub content_size: u64,
    /// It may lie anywhere (large code model); the others must lie within 2 GiB of each other.
    pub far: bool,
}

/// What a link needs: all of it, or none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request<'a> {
    /// The segments, by the index that [`InFlight`] takes.
    pub segments: &'a [Segment],
    /// Every address must be below 2 GiB: the code holds addresses in 32 bits (small non-PIC code model, psABI 3.5.1).
    pub low: bool,
    /// Storage that every thread has of its own.
    pub thread_local: Option<ThreadLocalRequest>,
}

/// Storage that every thread has of its own. What it begins with is written into one of the segments, and the finished link says where
/// ([`crate::linked::ThreadLocalImage`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ThreadLocalRequest {
    /// Its size in bytes.
    pub size: u64,
    /// Alignment of its address in every thread in bytes, a power of two.
    pub align: u64,
    /// Code holds its distance from the thread pointer, which has to be the same in all threads (the local-exec and initial-exec models).
    pub constant: bool,
}

/// Where a thread-local variable is, in words that hold for every thread (ELF Handling For Thread-Local Storage, section 3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ThreadLocal {
    /// The number of its module, for the function that finds addresses (`__tls_get_addr`).
    pub module: u64,
    /// Its offset in the module's block.
    pub offset: u64,
    /// What is added to the thread pointer, where that is the same in all threads: static thread-local storage.
    pub distance: Option<i64>,
}

impl ThreadLocal {
    /// The place so many bytes further.
    #[must_use]
    pub fn at(self, bytes: u64) -> Self {
        let distance = self.distance.map(|distance| distance.wrapping_add_unsigned(bytes));
        Self { module: self.module, offset: self.offset.wrapping_add(bytes), distance }
    }

    /// The number that stands for its address in a graph: the distance from the thread pointer, or else the offset in its module.
    #[must_use]
    pub fn address(self) -> u64 {
        self.distance.map_or(self.offset, |distance| distance as u64)
    }

    /// The place whose [`Self::address`] is `address`, in the same storage.
    pub(crate) fn found_at(self, address: u64) -> Self {
        self.at(address.wrapping_sub(self.address()))
    }
}

/// Memory cannot be had or made final.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct MemoryError {
    message: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl MemoryError {
    /// An error that says how much was asked for and what would help.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), source: None }
    }

    /// The same, for a reason that another error tells.
    pub fn because(message: impl Into<String>, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { message: message.into(), source: Some(Box::new(source)) }
    }
}

/// Where linked bytes go.
pub trait Memory {
    /// Memory that is reserved and being written.
    type InFlight: InFlight;

    /// Reserves every segment of `request`, zero-filled.
    ///
    /// # Errors
    /// When one of them cannot be had; nothing is reserved then.
    fn reserve(&self, request: &Request<'_>) -> Result<Self::InFlight, MemoryError>;
}

/// Reserved memory. Dropping it gives everything back.
pub trait InFlight {
    /// Final memory, owned; what dropping it means is for its maker to say.
    type Allocation;

    /// The address at which `segment` will run.
    fn address(&self, segment: usize) -> u64;

    /// The bytes of `segment`, to be written; at least [`Segment::content_size`] of them.
    fn bytes(&mut self, segment: usize) -> &mut [u8];

    /// Where the thread-local storage of the request begins. `None` where there is none: a link that needs it fails.
    fn thread_local(&self) -> Option<ThreadLocal> {
        None
    }

    /// The address of a function that answers TLS descriptors (psABI, "TLS descriptors"): it gets the address of a descriptor, whose
    /// second word points at a module and an offset, and returns the variable's distance from the thread pointer, all other
    /// registers preserved.
    fn descriptor_function(&self) -> Option<u64> {
        None
    }

    /// Sets protections and makes instructions visible. Nothing runs before this.
    ///
    /// # Errors
    /// When the protections cannot be set; everything is given back then.
    fn finalize(self) -> Result<Self::Allocation, MemoryError>;
}

/// A vector of bytes that pretends to start at any address: for tests on any host, images to be stored, and tools.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlatMemory {
    /// The address of the first byte.
    pub base: u64,
    /// Segments start at multiples of this.
    pub page_size: u64,
    /// Where thread-local storage is said to begin; a link that needs some fails without.
    pub thread_local: Option<ThreadLocal>,
}

impl FlatMemory {
    /// Memory that starts at `base`, in pages of 4096 bytes.
    #[must_use]
    pub fn new(base: u64) -> Self {
        Self { base, page_size: 4096, thread_local: None }
    }

    /// The same, with thread-local storage that begins at `place`.
    #[must_use]
    pub fn with_thread_local(self, place: ThreadLocal) -> Self {
        Self { thread_local: Some(place), ..self }
    }
}

/// What was linked into a [`FlatMemory`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FlatImage {
    /// The address of `bytes[0]`.
    pub base: u64,
    /// All segments, with gaps of zeros.
    pub bytes: Vec<u8>,
    /// Offset in `bytes`, size and protection of each segment.
    pub segments: Vec<(usize, usize, Prot)>,
    /// Where thread-local storage is said to begin.
    pub thread_local: Option<ThreadLocal>,
}

impl FlatImage {
    /// The bytes at an address.
    #[must_use]
    pub fn at(&self, address: u64, size: usize) -> Option<&[u8]> {
        let start = usize::try_from(address.checked_sub(self.base)?).ok()?;
        self.bytes.get(start..start.checked_add(size)?)
    }
}

impl Memory for FlatMemory {
    type InFlight = FlatImage;

    fn reserve(&self, request: &Request<'_>) -> Result<FlatImage, MemoryError> {
        let mut end = self.base;
        let mut segments = Vec::with_capacity(request.segments.len());
        let too_large = || MemoryError::new(format!("the segments do not fit after {:#x}", self.base));
        for segment in request.segments {
            let align = segment.align.max(self.page_size);
            let start = end.checked_next_multiple_of(align).ok_or_else(too_large)?;
            end = start.checked_add(segment.size).ok_or_else(too_large)?;
            segments.push(((start - self.base) as usize, segment.size as usize, segment.prot));
        }
        if request.low && end > 1 << 31 {
            return Err(MemoryError::new(format!(
                "non-PIC code needs addresses below 2 GiB, this memory ends at {end:#x}: choose a lower base or compile with -fPIC"
            )));
        }
        let size = usize::try_from(end - self.base).map_err(|_| too_large())?;
        let room = Vec::<u8>::new().try_reserve_exact(size);
        room.map_err(|error| MemoryError::because(format!("{size:#x} bytes cannot be had"), error))?;
        // Zeros from the system, page by page as they are touched: gaps and `.bss` may be large.
        Ok(FlatImage { base: self.base, bytes: vec![0; size], segments, thread_local: self.thread_local })
    }
}

impl InFlight for FlatImage {
    type Allocation = Self;

    fn address(&self, segment: usize) -> u64 {
        self.base + self.segments[segment].0 as u64
    }

    fn bytes(&mut self, segment: usize) -> &mut [u8] {
        let (start, size, _) = self.segments[segment];
        &mut self.bytes[start..start + size]
    }

    fn thread_local(&self) -> Option<ThreadLocal> {
        self.thread_local
    }

    fn finalize(self) -> Result<Self, MemoryError> {
        Ok(self)
    }
}
