//! Objects that LLVM's controller shows to a debugger.
//!
//! You give the range of an object file in memory; a debugger that is attached, or attaches later, knows its code by name and line, until its memory
//! goes. The list itself is [`crate::debug::gdb`]'s.
//!
//! `unsafe` because what is shown lies in memory that the controller has named by address.
#![allow(unsafe_code)]

use super::memory::Memory;
use super::messages::Range;
use crate::debug::gdb::{self, Shown};
use crate::sync::leaf::Mutex;
use std::collections::BTreeMap;

/// The objects of one controller that are in the list, by address of the file.
#[derive(Debug, Default)]
pub(super) struct Objects {
    shown: Mutex<BTreeMap<u64, Shown>>,
}

impl Objects {
    /// Puts an object into the list, and tells the debugger if `tell`.
    pub(super) fn register(&self, memory: &Memory, object: Range, tell: bool) -> Result<(), String> {
        let Range { start, end } = object;
        let pinned = memory.pin(start).filter(|(_, limit)| start < end && end <= *limit);
        let Some((_pin, _)) = pinned else {
            return Err(format!(
                "the object at {start:#x}..{end:#x} is not in memory that this controller has made final"
            ));
        };
        let mut shown = self.shown.lock();
        drop(shown.remove(&start));
        // SAFETY: the memory is final, and what lies in it is forgotten before it goes.
        shown.insert(start, unsafe { gdb::show_at(start, end - start, tell) });
        Ok(())
    }

    /// Takes out what lies in memory that goes.
    pub(super) fn forget(&self, range: &std::ops::Range<u64>) {
        let mut shown = self.shown.lock();
        let inside: Vec<u64> = shown.range(range.clone()).map(|(&file, _)| file).collect();
        inside.iter().for_each(|file| drop(shown.remove(file)));
    }
}
