//! Low memory that is handed out in pieces and never given back.
//!
//! `unsafe` because protections of its pages change, and bytes are written by address: all of them are of its own mappings.
#![allow(unsafe_code)]

use crate::memory::{Prot, Reach};
use crate::sys::{self, loaded, pages::Pages};
use std::io;
use std::ops::Range;

/// Pieces are mostly a pointer or a table of them.
const CHUNK: u64 = 64 << 10;

/// Memory below 2 GiB of one kind: writable, or read-only but while it is [unsealed](Area::unseal).
#[derive(Debug)]
pub(super) struct Area {
    prot: Prot,
    /// The last one is being handed out.
    chunks: Vec<Pages>,
    used: u64,
}

impl Area {
    pub(super) const fn new(prot: Prot) -> Self {
        Self { prot, chunks: Vec::new(), used: 0 }
    }

    /// A piece of zeroed, writable memory, until the area is sealed.
    pub(super) fn take(&mut self, size: u64, align: u64) -> io::Result<u64> {
        if let Some(chunk) = self.chunks.last() {
            let start = (chunk.base() + self.used).next_multiple_of(align);
            if start.checked_add(size).is_some_and(|end| end <= chunk.base() + chunk.size()) {
                self.used = start + size - chunk.base();
                return Ok(start);
            }
        }
        let page = sys::page_size();
        let whole = size.checked_next_multiple_of(page).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?;
        let chunk = crate::slab::reserve_pages(whole.max(CHUNK), page, Reach::Low)?;
        let start = chunk.base();
        let range = start..start + chunk.size();
        // SAFETY: the pages are new.
        unsafe { chunk.protect(range, Prot::READ | Prot::WRITE)? };
        self.chunks.push(chunk);
        self.used = size;
        Ok(start)
    }

    /// Makes all pieces writable.
    pub(super) fn unseal(&self) -> io::Result<()> {
        self.protect(Prot::READ | Prot::WRITE)
    }

    /// Gives all pieces their protection.
    pub(super) fn seal(&self) -> io::Result<()> {
        self.protect(self.prot)
    }

    fn protect(&self, prot: Prot) -> io::Result<()> {
        for chunk in self.chunks.iter().filter(|_| !self.prot.contains(Prot::WRITE)) {
            // SAFETY: readable before and after, and written by this module alone, which seals it when it has written.
            unsafe { chunk.protect(chunk.base()..chunk.base() + chunk.size(), prot)? };
        }
        Ok(())
    }

    /// Where pieces lie.
    pub(super) fn ranges(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let last = self.chunks.len().saturating_sub(1);
        self.chunks.iter().enumerate().map(move |(index, chunk)| {
            chunk.base()..chunk.base() + if index == last { self.used } else { chunk.size() }
        })
    }

    /// Puts the bytes of a piece in.
    pub(super) fn write(&mut self, piece: u64, bytes: &[u8]) {
        debug_assert!(self.ranges().any(|range| range.start <= piece && piece + bytes.len() as u64 <= range.end));
        // SAFETY: the piece was taken from this area, which is unsealed, and nobody has been told of it yet.
        unsafe { loaded::fill(piece, bytes) };
    }
}
