//! Unwind tables of images, which the process's unwinder finds.
//!
//! You give an image's `.eh_frame` contents, one merged run of records that ends in a zero word; exceptions pass through its code until the result is dropped.
//! Other threads may unwind meanwhile. Not for tables of the process's own libraries, which the unwinder finds itself.
//!
//! # How
//!
//! 1. The table is read (`records.rs`): a sorted list of its functions.
//! 2. The index of all tables (`index.rs`) gets that list. Finding a function takes no lock and a time that does not grow with the number of tables (`readers.rs` says
//!    when a list may go).
//! 3. libgcc's unwinder asks the index first (`hook.rs`). Whether it does is tried with each table.
//!
//! Executed code that brings an unwinder of its own (`libgcc_eh.a` among its inputs) finds the tables as well: the C library's `_dl_find_object`, which such an unwinder asks, is answered
//! by us for it (`names/objects.rs`).
//!
//! Where that fails, the unwinder is told of the table in its own way, found by name: libgcc's takes the whole section at once, LLVM's libunwind has a function of its
//! own for that, which enters each record into a list that every frame of a throw is looked for in. So it is for other unwinders than libgcc as a shared library, where its slots cannot be changed, and for tables that the index does not take: encodings
//! that no compiler writes, functions that overlap or lie elsewhere than in their image.
//!
//! `unsafe` because the table is read by address, and must stay until the result is dropped.
#![allow(unsafe_code)]

mod hook;
mod index;
mod readers;
pub(crate) mod records;

use crate::native::system_symbol;
use hook::INDEX;
pub(crate) use hook::{entry_point, verify};
use records::{Function, Unread};
use std::ffi::c_void;
use std::ops::Range;
use std::sync::OnceLock;

type Registrar = unsafe extern "C" fn(*const c_void);

/// The two functions of the unwinder.
#[derive(Debug, Clone, Copy)]
struct Unwinder {
    register: Registrar,
    deregister: Registrar,
}

/// An unwind table that is registered; deregistered when dropped.
#[derive(Debug)]
pub(crate) struct Frames {
    address: u64,
    size: u64,
    how: How,
}

/// Who finds the table.
#[derive(Debug)]
enum How {
    /// We do, until this is dropped.
    Indexed(#[expect(dead_code, reason = "held for its drop")] index::Entry),
    /// The unwinder, which is told the end by this.
    Told(Registrar),
}

/// Why an unwind table was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnwindError {
    /// The unwinder would read on behind the end.
    #[error(
        ".eh_frame at {address:#x} ({size:#x} bytes) does not end in a zero word, which is how the unwinder finds its end"
    )]
    NoTerminator {
        /// First byte of the table.
        address: u64,
        /// Its size in bytes.
        size: u64,
    },
    /// The unwinder would read something else than records.
    #[error(".eh_frame at {address:#x} ({size:#x} bytes) is damaged: the record at offset {offset:#x} {problem}")]
    Damaged {
        /// First byte of the table.
        address: u64,
        /// Its size in bytes.
        size: u64,
        /// Where the record begins in it.
        offset: u32,
        /// What is wrong with it, as the end of a sentence.
        problem: String,
    },
    /// Nothing in this process can unwind.
    #[error(
        "this process has no unwinder (neither __register_frame nor __unw_add_dynamic_eh_frame_section is there): load libgcc_s.so.1 first, or link without exceptions"
    )]
    NoUnwinder,
}

/// Does what registering needs once in a process, for those who may not do it later: who enters a sandbox.
#[cfg(feature = "executor")]
pub(crate) fn prepare() {
    is_hooked();
}

/// Where the function begins that covers `pc`, if it is in a table of ours. Takes no lock.
pub(crate) fn function_at(pc: u64) -> Option<u64> {
    INDEX.find(pc).map(|found| found.function)
}

/// The function at `pc` in a table of ours, and where the table's header is (`PT_GNU_EH_FRAME`). Takes no lock.
pub(crate) fn header_at(pc: u64) -> Option<(Range<u64>, u64)> {
    INDEX.header(pc)
}

/// Registers the table of `size` bytes at `address`, all of whose functions should be code of the registering image: `is_its_code` is asked for each, ascending.
///
/// # Safety
/// It is a well-formed `.eh_frame` section in readable memory that stays until the result is dropped; nobody writes to it meanwhile.
pub(crate) unsafe fn register(
    address: u64,
    size: u64,
    is_its_code: impl FnMut(&Range<u64>) -> bool,
) -> Result<Frames, UnwindError> {
    // SAFETY: the caller's promise.
    let bytes =
        unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance::<u8>(address as usize), size as usize) };
    if !bytes.ends_with(&[0; 4]) {
        return Err(UnwindError::NoTerminator { address, size });
    }
    let functions = match records::functions(bytes, address) {
        Ok(functions) => Some(functions),
        Err(Unread::Unusual) => None,
        Err(Unread::Damaged(offset, problem)) => {
            return Err(UnwindError::Damaged { address, size, offset, problem: problem.to_string() });
        }
    };
    if let Some(entry) = functions.and_then(|functions| indexed(address, functions, is_its_code)) {
        return Ok(Frames { address, size, how: How::Indexed(entry) });
    }
    let Unwinder { register, deregister } = unwinder().ok_or(UnwindError::NoUnwinder)?;
    // SAFETY: the table is well-formed, ends in a zero word (checked), and the caller keeps it.
    unsafe { register(std::ptr::with_exposed_provenance(address as usize)) };
    Ok(Frames { address, size, how: How::Told(deregister) })
}

/// The table in our index, if the unwinder finds it there.
fn indexed(
    address: u64,
    functions: Vec<Function>,
    mut is_its_code: impl FnMut(&Range<u64>) -> bool,
) -> Option<index::Entry> {
    if !is_hooked() || !functions.iter().all(|function| is_its_code(&(function.start..function.end()))) {
        return None;
    }
    let entry = INDEX.add(address, functions)?;
    let Some(start) = entry.start() else { return Some(entry) };
    let asked = hook::is_asked(start) || hook::install() && hook::is_asked(start);
    asked.then_some(entry)
}

/// Whether the slots of the process's unwinder lead to us.
fn is_hooked() -> bool {
    static HOOKED: OnceLock<bool> = OnceLock::new();
    *HOOKED.get_or_init(|| {
        let hooked = hook::install();
        tracing::debug!(hooked, "unwind tables are found by us, or else by the unwinder");
        hooked
    })
}

fn unwinder() -> Option<Unwinder> {
    static FOUND: OnceLock<Option<Unwinder>> = OnceLock::new();
    let pair = |register, deregister| {
        let (register, deregister) = (system_symbol(register)?, system_symbol(deregister)?);
        // SAFETY: both unwinders document these names as `void (const void *)`.
        unsafe {
            Some(Unwinder {
                register: std::mem::transmute::<usize, Registrar>(register as usize),
                deregister: std::mem::transmute::<usize, Registrar>(deregister as usize),
            })
        }
    };
    *FOUND.get_or_init(|| {
        // libunwind's __register_frame takes a single record, so its own section-wise names are asked for first.
        pair(c"__unw_add_dynamic_eh_frame_section", c"__unw_remove_dynamic_eh_frame_section")
            .or_else(|| pair(c"__register_frame", c"__deregister_frame"))
    })
}

impl Frames {
    /// Where the table is, and its size in bytes.
    pub(crate) fn table(&self) -> (u64, u64) {
        (self.address, self.size)
    }

    /// The table's bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the table is final and stays until this is dropped, as whoever registered it has promised.
        unsafe {
            let start = std::ptr::with_exposed_provenance::<u8>(self.address as usize);
            std::slice::from_raw_parts(start, self.size as usize)
        }
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        if let How::Told(deregister) = self.how {
            // SAFETY: registered by `register`, and only once given back.
            unsafe { deregister(std::ptr::with_exposed_provenance(self.address as usize)) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{How, UnwindError, hook, register};

    /// A table of one function of 16 bytes at `start`: a CIE with absolute addresses, an FDE, a zero word.
    fn table(start: u64) -> Vec<u8> {
        let mut table = vec![20, 0, 0, 0, 0, 0, 0, 0, 1, b'z', b'R', 0, 1, 0x78, 16, 1, 0, 0x0c, 7, 8, 0x90, 1, 0, 0];
        table.extend([24, 0, 0, 0, 28, 0, 0, 0]);
        table.extend(start.to_ne_bytes());
        table.extend(16_u64.to_ne_bytes());
        table.extend([0; 8]);
        table
    }

    #[test]
    fn this_process_finds_tables_by_the_index() {
        let start = 0x5001_0000_0000;
        let bytes = table(start);
        let (address, size) = (bytes.as_ptr().expose_provenance() as u64, bytes.len() as u64);
        // SAFETY: a well-formed table, which outlives its registration.
        let frames =
            unsafe { register(address, size, |function| *function == (start..start + 16)) }.expect("a good table");
        assert!(matches!(frames.how, How::Indexed(_)), "{frames:?}");
        assert_eq!(frames.table(), (address, size));
        assert!(hook::is_asked(start));
        hook::tests::bind_once_more();
        assert!(!hook::is_asked(start));
        hook::verify();
        assert!(hook::is_asked(start), "whoever enters the runtime mends it");
        // SAFETY: as above.
        let second = unsafe { register(address, size, |_| true) }.expect("a good table");
        assert!(matches!(second.how, How::Told(_)), "a page has one table: {second:?}");
        drop((second, frames));
        assert!(!hook::is_asked(start));
        // SAFETY: as above.
        let foreign = unsafe { register(address, size, |_| false) }.expect("a good table");
        assert!(matches!(foreign.how, How::Told(_)), "code of somebody else: {foreign:?}");
        assert!(hook::is_asked(start), "the unwinder finds it in its own way");
    }

    #[test]
    fn a_table_without_its_end_is_refused() {
        let bytes = table(0x5002_0000_0000);
        let (address, size) = (bytes.as_ptr().expose_provenance() as u64, bytes.len() as u64 - 1);
        for size in [0, 3, 28, size - 12] {
            // SAFETY: refused before it is kept.
            let refused = unsafe { register(address, size, |_| true) }.err();
            assert_eq!(refused, Some(UnwindError::NoTerminator { address, size }));
        }
    }
}
