//! Call frame information of what LLVM's controller links: one table for each object.
//!
//! You give the address of an `.eh_frame` section; exceptions pass through its functions until it is taken back, or its memory goes. The records are
//! walked before the unwinder sees them: their chain has to end in a zero word inside of the memory.
//!
//! LLVM 19 leaves holes in these tables. It drops the records of functions that nobody needs and aligns those behind them, so that four bytes
//! of whatever was there may stand between two records; the unwinder takes them for a length and loses its way, and a throw ends the process. Such a hole is
//! made part of the record before it, as instructions that do nothing (`DW_CFA_nop`, which is 0).
//!
//! With its runtime, LLVM 19 registers a table before it sends its contents, when the first word is still the zero of an empty table; that is another way for a
//! throw to end the process. Such a table is registered when its memory becomes final.
//!
//! `unsafe` because tables are read by address, and handed to the unwinder.
#![allow(unsafe_code)]

use super::memory::Memory;
use crate::sync::Mutex;
use crate::unwind::{self, Frames};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// The tables of one controller that are registered, by address.
#[derive(Debug, Default)]
pub(super) struct Tables {
    registered: Mutex<BTreeMap<u64, Frames>>,
    /// Addresses of tables whose contents are still to come.
    awaited: Mutex<BTreeSet<u64>>,
}

impl Tables {
    /// Tells the unwinder of the table at `start` in final memory, which ends at its zero word, before `end` if that is known.
    pub(super) fn register(&self, memory: &Memory, start: u64, end: Option<u64>) -> Result<(), String> {
        let refuse = |why: &str| Err(format!("the .eh_frame at {start:#x} {why}"));
        let Some((_pin, limit)) = memory.pin(start) else {
            return refuse("is not in memory that this controller has made final");
        };
        if end.is_some_and(|end| end <= start || end > limit) {
            return refuse("does not end in the segment that it begins in");
        }
        let mut registered = self.registered.lock();
        if registered.contains_key(&start) {
            return refuse("is registered already");
        }
        // SAFETY: the walk asks for words between `start` and the end of a segment that is readable and stays while it is pinned.
        let read = |address| unsafe { crate::call::word_at(address) };
        let Some(Walked { size, holes }) = walk(start, end.unwrap_or(limit), read) else {
            return refuse("does not end in a zero word, which is how the unwinder finds its end");
        };
        let mut words = Vec::with_capacity(2 * holes.len());
        for Hole { record, at } in holes {
            words.extend([(record, (at - record) as u32), (at, 0)]);
        }
        memory.amend(&words)?;
        // Functions come ascending: most lie in the segment of the one before.
        let mut segment = 0..0;
        let is_final_code = |function: &Range<u64>| {
            if !segment.contains(&function.start) {
                segment = memory.pin(function.start).map_or(0..0, |(_pin, end)| function.start..end);
            }
            function.end <= segment.end
        };
        // SAFETY: the records end in a zero word (walked above) in memory that is final; before it goes, the table is taken back.
        let frames = unsafe { unwind::register(start, size, is_final_code) }.map_err(|error| error.to_string())?;
        registered.insert(start, frames);
        Ok(())
    }

    /// Registers a table whose memory is reserved, if need be when it becomes final.
    pub(super) fn register_early(&self, memory: &Memory, start: u64) -> Result<(), String> {
        if memory.is_awaited(start) {
            self.awaited.lock().insert(start);
            return Ok(());
        }
        self.register(memory, start, None)
    }

    /// Registers what was awaited in memory that has just become final.
    pub(super) fn contents_came(&self, memory: &Memory, range: &Range<u64>) -> Result<(), String> {
        let mut awaited = self.awaited.lock();
        let came: Vec<u64> = awaited.range(range.clone()).copied().collect();
        awaited.retain(|start| !range.contains(start));
        drop(awaited);
        came.into_iter().try_for_each(|start| self.register(memory, start, None))
    }

    /// Takes a table back.
    pub(super) fn deregister(&self, start: u64) -> Result<(), String> {
        if self.awaited.lock().remove(&start) {
            return Ok(());
        }
        let taken = self.registered.lock().remove(&start);
        taken.map(drop).ok_or_else(|| format!("no .eh_frame is registered at {start:#x}"))
    }

    /// Takes back what lies in memory that goes, for a controller that forgot it.
    pub(super) fn forget(&self, range: &Range<u64>) {
        self.awaited.lock().retain(|start| !range.contains(start));
        let mut registered = self.registered.lock();
        let inside: Vec<u64> = registered.range(range.clone()).map(|(&start, _)| start).collect();
        for start in inside {
            registered.remove(&start);
        }
    }
}

/// A table from its first record to its zero word.
#[derive(Debug, PartialEq, Eq)]
struct Walked {
    /// In bytes, the zero word included.
    size: u64,
    holes: Vec<Hole>,
}

/// Four bytes behind a record that are none.
#[derive(Debug, PartialEq, Eq)]
struct Hole {
    /// The record before it.
    record: u64,
    at: u64,
}

/// What records are aligned to where LLVM leaves holes.
const ALIGN: u64 = 8;

/// Walks the records at `start`; `None` if they do not lead to a zero word before `limit`.
fn walk(start: u64, limit: u64, read: impl Fn(u64) -> u32) -> Option<Walked> {
    let word = |at: u64| (at >= start && at.checked_add(4)? <= limit).then(|| read(at));
    // A common information entry has the id 0 and a version (LSB, chapter "Exception Frames").
    let is_cie = |at: u64| {
        let (id, version) = (word(at + 4), word(at + 8).map(|word| word & 0xff));
        id == Some(0) && matches!(version, Some(1 | 3 | 4))
    };
    let record = |at: u64| {
        // Lengths of 64 bits (u32::MAX) are for records that no compiler writes.
        let length = word(at).filter(|&length| length >= 8 && length != u32::MAX)?;
        let end = (at + 4).checked_add(u64::from(length)).filter(|&end| end <= limit)?;
        let cie = match word(at + 4)? {
            0 => at,
            distance => (at + 4).checked_sub(u64::from(distance)).filter(|cie| *cie >= start)?,
        };
        is_cie(cie).then_some(end)
    };
    let is_hole = |at: u64| at % ALIGN == 4 && record(at + 4).is_some();

    let (mut at, mut before) = (start, None);
    let mut holes = Vec::new();
    loop {
        // What is in a hole may look like a record; what follows it then does not.
        let end = record(at).filter(|&end| record(end).is_some() || word(end) == Some(0) || is_hole(end));
        match (end, before) {
            (Some(end), _) => {
                before = Some(at);
                at = end;
            }
            (None, Some(record)) if is_hole(at) => {
                holes.push(Hole { record, at });
                before = None;
                at += 4;
            }
            (None, _) if word(at) == Some(0) => return Some(Walked { size: at + 4 - start, holes }),
            (None, _) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Hole, Walked, walk};

    /// Where the tables of these tests are.
    const START: u64 = 0x1000;

    fn walked(words: &[u32]) -> Option<Walked> {
        walk(START, START + 4 * words.len() as u64, |at| words[((at - START) / 4) as usize])
    }

    /// 16 bytes.
    const CIE: [u32; 4] = [12, 0, 1, 0];

    /// A description of a function, in `words` words, at word number `at` of a table whose first record is its CIE.
    fn fde(at: u32, words: u32) -> Vec<u32> {
        let mut fde = vec![4 * (words - 1), 4 * (at + 1)];
        fde.resize(words as usize, 0x77);
        fde
    }

    fn table(parts: &[&[u32]]) -> Vec<u32> {
        parts.concat()
    }

    #[test]
    fn a_table_ends_at_its_zero_word() {
        let whole = table(&[&CIE, &fde(4, 5), &fde(9, 4), &[0, 9, 9]]);
        assert_eq!(walked(&whole), Some(Walked { size: 4 * 14, holes: vec![] }));
        assert_eq!(walked(&[0]), Some(Walked { size: 4, holes: vec![] }));
    }

    #[test]
    fn a_hole_belongs_to_the_record_before_it() {
        for garbage in [0, 4, 8, 16, 20, 0xaaaa_aaaa, u32::MAX] {
            let whole = table(&[&CIE, &fde(4, 5), &[garbage], &fde(10, 4), &[0]]);
            let hole = Hole { record: START + 16, at: START + 36 };
            assert_eq!(walked(&whole), Some(Walked { size: 4 * 15, holes: vec![hole] }), "{garbage:#x}");
        }
    }

    #[test]
    fn a_chain_that_leaves_the_table_has_no_end() {
        let whole = table(&[&CIE, &fde(4, 5), &fde(9, 5), &[0]]);
        for cut in 1..whole.len() {
            assert_eq!(walked(&whole[..cut]), None, "{cut} words");
        }
        assert_eq!(walked(&[u32::MAX, 4, 0, 9, 0]), None);
        assert_eq!(walked(&[]), None);
    }

    #[test]
    fn a_description_needs_the_entry_that_it_names() {
        let astray = table(&[&CIE, &[16, 8, 0x77, 0x77, 0x77], &[0]]);
        assert_eq!(walked(&astray), None);
        let before_the_table = table(&[&CIE, &[16, 0x4000, 0x77, 0x77, 0x77], &[0]]);
        assert_eq!(walked(&before_the_table), None);
    }
}
