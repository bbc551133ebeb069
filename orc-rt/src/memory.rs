//! Memory for linked code: what is asked for, what comes back, what can go wrong.
//!
//! You give a list of segments (protection, alignment, size); you get a [`Reservation`], whose addresses are final and whose
//! bytes are zeroed and writable; [`Reservation::finalize`] sets the protections and returns the [`Allocation`] that owns the pages until
//! it is dropped. A dropped reservation gives everything back.
//!
//! No page is ever writable and executable, at any moment and at any address. In a process that is denied to make executable what was writable, code is
//! run from other pages than it was written to ([`Slab::dual_mapped`]). Not for general allocation: the unit is the page.
//!
//! ```
//! use orc_rt::memory::{Prot, Reach, Request, SegmentRequest, Slab};
//!
//! let slab = Slab::new();
//! let segment = SegmentRequest { prot: Prot::READ | Prot::EXEC, align: 16, size: 6, content_size: 6 };
//! let mut reservation = slab.reserve(&Request { segments: &[segment], reach: Reach::Near })?;
//! reservation.bytes(0).copy_from_slice(&[0xb8, 42, 0, 0, 0, 0xc3]); // mov eax, 42; ret
//! let allocation = reservation.finalize()?;
//! assert_eq!(allocation.address(0) % 16, 0);
//! # Ok::<(), orc_rt::memory::MemoryError>(())
//! ```

use bitflags::bitflags;
use std::io;

pub use crate::slab::{Allocation, Reservation, Slab, SlabUsage};

bitflags! {
    /// What finalized code may do with a segment.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct Prot: u8 {
        /// Readable. Alone it means "read-only after finalize", which is also what relocation read-only (RELRO) data wants.
        const READ = 1;
        /// Writable.
        const WRITE = 2;
        /// Executable. Never together with `WRITE`.
        const EXEC = 4;
    }
}

/// One segment of a [`Request`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentRequest {
    /// Protection once finalized. Until then every segment is readable and writable.
    pub prot: Prot,
    /// Alignment of the address: a power of two, at most [`MAX_ALIGN`].
    pub align: u64,
    /// Size in bytes; zero is allowed and gives an aligned address without bytes.
    pub size: u64,
    /// How many of the first bytes the caller will write; the rest is zero fill, and its pages are not touched.
    pub content_size: u64,
}

/// Where the memory must lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Reach {
    /// All segments within ±2 GiB of each other and, while there is room, of this process's libc.
    #[default]
    Near,
    /// Below 2 GiB, for code that uses absolute 32-bit addresses (`R_X86_64_32`, `R_X86_64_32S`: the non-PIC small code model).
    Low,
}

/// Segments that are reserved together and finalized together.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The segments. They are placed independently; only their reach is common.
    pub segments: &'a [SegmentRequest],
    /// Where they must lie.
    pub reach: Reach,
}

/// The largest alignment that can be asked for: 1 GiB.
pub const MAX_ALIGN: u64 = 1 << 30;

/// The largest total size of one request: all of it must reach all of it through a signed 32-bit displacement.
pub const MAX_REQUEST: u64 = (1 << 31) - (1 << 16);

/// Why memory could not be had.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// A segment asked to be writable and executable.
    #[error(
        "segment {segment} asks to be writable and executable; no page here ever is: split it into one segment for code and one for data"
    )]
    WritableAndExecutable {
        /// Index in the request.
        segment: usize,
    },
    /// An alignment that is no power of two or above [`MAX_ALIGN`].
    #[error(
        "segment {segment} asks for alignment {align:#x}; it must be a power of two, at most {MAX_ALIGN:#x} (1 GiB)"
    )]
    BadAlignment {
        /// Index in the request.
        segment: usize,
        /// What was asked for.
        align: u64,
    },
    /// More content than size.
    #[error("segment {segment} has {content_size:#x} bytes of content but a size of {size:#x}")]
    ContentTooLarge {
        /// Index in the request.
        segment: usize,
        /// Size of the segment in bytes.
        size: u64,
        /// Size of its content in bytes.
        content_size: u64,
    },
    /// The request cannot lie within ±2 GiB of itself.
    #[error(
        "{size:#x} bytes in {segments} segments (with alignment) cannot all reach each other within 2 GiB; link fewer inputs into one JITDylib, or \
         allocate large zero-filled arrays at run time"
    )]
    TooLarge {
        /// Bytes asked for, padding included; `u64::MAX` when their sum overflows.
        size: u64,
        /// Number of segments.
        segments: usize,
    },
    /// No free address range was found.
    #[error("cannot reserve {size:#x} bytes of address space {}: {source}; {}", reach_words(*reach), reach_help(*reach, source))]
    AddressSpace {
        /// Bytes of address space that were wanted.
        size: u64,
        /// Where.
        reach: Reach,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused a change of protection.
    #[error("cannot make {size:#x} bytes at {address:#x} {}: {source}; {}", prot_words(*prot), protect_help(source))]
    Protect {
        /// First byte.
        address: u64,
        /// Length in bytes.
        size: u64,
        /// Wanted protection.
        prot: Prot,
        /// What the system said.
        source: io::Error,
    },
    /// This process is denied to make executable what was writable, and code could not be run from a file in memory either.
    #[error(
        "cannot make {size:#x} bytes at {address:#x} executable: this process may not make executable what was writable, and {doing} failed: \
         {source}; {}",
        map_help(source)
    )]
    MapCode {
        /// First byte.
        address: u64,
        /// Length in bytes.
        size: u64,
        /// What failed, as in "making a file in memory".
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused to seal pages.
    #[error(
        "cannot seal {size:#x} bytes at {address:#x}: {source}; mseal(2) needs Linux 6.10 on a 64-bit machine, and a filter that allows it"
    )]
    Seal {
        /// First byte.
        address: u64,
        /// Length in bytes.
        size: u64,
        /// What the system said.
        source: io::Error,
    },
}

fn reach_words(reach: Reach) -> &'static str {
    match reach {
        Reach::Near => "for code",
        Reach::Low => "below 2 GiB",
    }
}

fn reach_help(reach: Reach, source: &io::Error) -> &'static str {
    match (reach, source.raw_os_error()) {
        (_, Some(libc::ENOMEM)) => {
            "the limit of virtual memory (ulimit -v), of memory mappings (vm.max_map_count), or of the 2 GiB range was met"
        }
        (Reach::Low, _) => "compile with -fPIC or -fPIE, so that the code may lie anywhere",
        (Reach::Near, _) => "see /proc/self/maps for what fills the address space",
    }
}

fn prot_words(prot: Prot) -> &'static str {
    if prot.contains(Prot::EXEC) {
        "executable"
    } else if prot.contains(Prot::WRITE) {
        "writable"
    } else {
        "read-only"
    }
}

fn protect_help(source: &io::Error) -> &'static str {
    match source.raw_os_error() {
        Some(libc::ENOMEM) => "raise vm.max_map_count or the memory limit of the process",
        Some(libc::EACCES | libc::EPERM) => {
            "a security policy (SELinux, seccomp) forbids it, or the pages are sealed (mseal)"
        }
        _ => "see mprotect(2)",
    }
}

fn map_help(source: &io::Error) -> &'static str {
    match source.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => {
            "the security policy (PR_SET_MDWE, seccomp, SELinux) has to allow memfd_create(2), and mmap(2) of its files with PROT_READ and PROT_EXEC"
        }
        Some(libc::EFBIG) => "raise the limit of file sizes (ulimit -f)",
        Some(libc::ENOMEM | libc::ENOSPC) => "raise vm.max_map_count or the memory limit of the process",
        Some(libc::EMFILE | libc::ENFILE) => "raise the limit of open files (ulimit -n)",
        _ => "see memfd_create(2) and mmap(2)",
    }
}

impl Request<'_> {
    /// Checks everything that can be checked without the system.
    ///
    /// # Errors
    /// The first segment whose protection, alignment or sizes cannot be served.
    pub fn validate(&self) -> Result<(), MemoryError> {
        for (segment, request) in self.segments.iter().enumerate() {
            let SegmentRequest { prot, align, size, content_size } = *request;
            if prot.contains(Prot::WRITE | Prot::EXEC) {
                return Err(MemoryError::WritableAndExecutable { segment });
            }
            if !align.is_power_of_two() || align > MAX_ALIGN {
                return Err(MemoryError::BadAlignment { segment, align });
            }
            if content_size > size {
                return Err(MemoryError::ContentTooLarge { segment, size, content_size });
            }
        }
        Ok(())
    }
}
