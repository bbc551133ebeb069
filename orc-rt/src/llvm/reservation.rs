//! One reservation of LLVM's controller: which of its pages are final, and what they may do.
//!
//! Segments come with an address, contents and protections. Each is checked before anything of it is done: it lies in the reservation, on pages of its
//! own, and is never writable and executable.
//!
//! `unsafe` because pages change protection and contents: of reservations that nobody else has been given.
#![allow(unsafe_code)]

use super::actions::Kept;
use super::messages::{Segment, prot};
use super::shared::SharedFile;
use crate::memory::Prot;
use crate::sync::Arc;
use crate::sys::NotExecutable;
use crate::sys::pages::{Pages, Sharing};
use std::collections::BTreeMap;
use std::ops::Range;

/// What one reserve call has given.
#[derive(Debug)]
pub(super) struct Reservation {
    pub(super) base: u64,
    pub(super) size: u64,
    pub(super) pages: Arc<Pages>,
    /// Arena and pages in it; none for a range of its own.
    pub(super) run: Option<(usize, u32, u32)>,
    /// Its contents come through this file.
    pub(super) shared: Option<SharedFile>,
    /// Made final; by first address, pages are never part of two.
    pub(super) segments: BTreeMap<u64, Final>,
    /// What became final together; by the lowest address.
    pub(super) allocations: BTreeMap<u64, Allocation>,
    /// Its contents have not come yet; never so in shared memory, where nobody says what is to come.
    pub(super) awaited: bool,
    /// Bytes outside of segments may have been written.
    pub(super) dirty: bool,
    /// It becomes final or goes back at this moment.
    pub(super) busy: bool,
    /// Calls into its code.
    pub(super) inside: u32,
}

/// A segment that is final.
#[derive(Debug, Clone)]
pub(super) struct Final {
    pub(super) range: Range<u64>,
    pub(super) prot: Prot,
}

/// Segments that became final together.
#[derive(Debug)]
pub(super) struct Allocation {
    pub(super) number: u64,
    pub(super) segments: Vec<u64>,
    pub(super) actions: Vec<Kept>,
}

impl Reservation {
    pub(super) fn new(
        base: u64,
        size: u64,
        pages: Arc<Pages>,
        run: Option<(usize, u32, u32)>,
        shared: Option<SharedFile>,
    ) -> Self {
        let (segments, allocations) = (BTreeMap::new(), BTreeMap::new());
        Self {
            base,
            size,
            pages,
            run,
            shared,
            segments,
            allocations,
            awaited: false,
            dirty: false,
            busy: false,
            inside: 0,
        }
    }

    /// For the one that gives it back.
    pub(super) fn claim(&mut self) -> Result<(), String> {
        let base = self.base;
        if self.busy {
            return Err(format!("the memory at {base:#x} is becoming final or going back already"));
        }
        if self.inside > 0 {
            return Err(still_inside(base));
        }
        self.busy = true;
        Ok(())
    }

    pub(super) fn segment_at(&self, address: u64) -> Option<&Final> {
        let (_, segment) = self.segments.range(..=address).next_back()?;
        (address < segment.range.end).then_some(segment)
    }

    pub(super) fn is_writable(&self, range: &Range<u64>, page: u64) -> bool {
        let end = self.segments.range(..range.end.max(range.start + 1)).next_back();
        match end.filter(|(_, segment)| range.start < segment.range.end.next_multiple_of(page)) {
            Some((_, segment)) => {
                segment.range.start <= range.start
                    && range.end <= segment.range.end
                    && segment.prot.contains(Prot::WRITE)
            }
            // Outside of all segments: not final yet.
            None => self.shared.is_none() && range.end <= self.base + self.size,
        }
    }

    pub(super) fn make_final(&mut self, page: u64, segments: &[Segment<'_>]) -> Result<Vec<u64>, String> {
        let mut made: Vec<u64> = Vec::with_capacity(segments.len());
        for segment in segments.iter().filter(|segment| segment.size > 0) {
            if let Err(error) = self.check(page, segment).and_then(|new| self.set(new, segment)) {
                self.close_segments(&made);
                return Err(error);
            }
            made.push(segment.address);
        }
        Ok(made)
    }

    fn check(&self, page: u64, segment: &Segment<'_>) -> Result<Final, String> {
        let Segment { prot: bits, address, size, content } = *segment;
        let refuse = |why: &str| Err(format!("the segment of {size:#x} bytes at {address:#x} {why}"));
        if bits & !(prot::READ | prot::WRITE | prot::EXEC | prot::FINALIZE) != 0 {
            return refuse("has protections that nobody knows");
        }
        if bits & (prot::WRITE | prot::EXEC) == prot::WRITE | prot::EXEC {
            return refuse("asks to be writable and executable; no page here ever is");
        }
        if content.len() as u64 > size {
            return refuse("has more contents than bytes");
        }
        if address % page != 0 {
            return refuse("does not begin on a page");
        }
        let Some(end) = address.checked_add(size).filter(|&end| end <= self.base + self.size) else {
            return refuse("goes beyond what was reserved");
        };
        let pages_end = end.next_multiple_of(page);
        let before = self.segments.range(..pages_end).next_back();
        if before.is_some_and(|(_, other)| address < other.range.end) {
            return refuse("shares a page with another one");
        }
        let mut prot = Prot::empty();
        prot.set(Prot::READ, bits & prot::READ != 0);
        prot.set(Prot::WRITE, bits & prot::WRITE != 0);
        prot.set(Prot::EXEC, bits & prot::EXEC != 0);
        Ok(Final { range: address..end, prot })
    }

    fn set(&mut self, new: Final, segment: &Segment<'_>) -> Result<(), String> {
        let Segment { address, size, content, .. } = *segment;
        if self.shared.is_none() {
            let to = std::ptr::with_exposed_provenance_mut::<u8>(address as usize);
            // SAFETY: the segment lies in the reservation and on no page of another one (checked), so its pages are still writable.
            unsafe {
                std::ptr::copy_nonoverlapping(content.as_ptr(), to, content.len());
                if self.dirty {
                    to.add(content.len()).write_bytes(0, (size as usize) - content.len());
                }
            }
        }
        let pages = address..new.range.end.next_multiple_of(crate::sys::page_size());
        let refused = |error: &dyn std::fmt::Display| {
            format!("cannot set the protection of {size:#x} bytes at {address:#x}: {error}")
        };
        if new.prot.contains(Prot::EXEC) {
            // SAFETY: as above; nobody runs or writes what is not final.
            let done = unsafe {
                match &self.shared {
                    Some(shared) => self.pages.execute_file(pages, shared.file(), address - self.base, Sharing::Shared),
                    None => self.pages.execute(pages),
                }
            };
            done.map_err(|error| match error {
                NotExecutable::Protect(error) => refused(&error),
                NotExecutable::Map { doing, source } => refused(&format_args!(
                    "this process may not make executable what was writable, and {doing} failed: {source}"
                )),
            })?;
            crate::machine::code_was_written(address, size);
        } else if self.shared.is_some() || new.prot != Prot::READ | Prot::WRITE {
            // SAFETY: as above.
            unsafe { self.pages.protect(pages, new.prot) }.map_err(|error| refused(&error))?;
        }
        self.segments.insert(address, new);
        Ok(())
    }

    /// Makes segments inaccessible that were final.
    pub(super) fn close_segments(&mut self, segments: &[u64]) {
        for address in segments {
            let Some(segment) = self.segments.remove(address) else { continue };
            let pages = segment.range.start..segment.range.end.next_multiple_of(crate::sys::page_size());
            // SAFETY: they are in nobody's use: what needed them is undone, or never began. A refusal leaves them as they are.
            let _ = unsafe { self.pages.protect(pages, Prot::empty()) };
        }
    }
}

pub(super) fn still_inside(base: u64) -> String {
    format!("a call into the memory at {base:#x} has not returned")
}
