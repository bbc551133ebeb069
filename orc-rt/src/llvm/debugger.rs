//! Objects that LLVM's controller shows to a debugger, in the list that GDB and LLDB read (GDB manual, "JIT Compilation Interface").
//!
//! You give the range of an object file in memory; a debugger that is attached, or attaches later, knows its code by name and line, until its memory
//! goes.
//!
//! `unsafe` because the list is the debugger's to read: C structures, by address.
#![allow(unsafe_code)]

use super::memory::Memory;
use super::messages::Range;
use crate::sync::leaf::Mutex;
use std::collections::BTreeMap;
use std::ptr::null_mut;

/// `struct jit_code_entry`
#[repr(C)]
struct Entry {
    next: *mut Entry,
    previous: *mut Entry,
    file: *const u8,
    size: u64,
}

/// `struct jit_descriptor`
#[repr(C)]
struct Descriptor {
    version: u32,
    action: u32,
    relevant: *mut Entry,
    first: *mut Entry,
}

/// What [`__jit_debug_register_code`] is called for.
const REGISTER: u32 = 1;
const UNREGISTER: u32 = 2;

/// The head of the list, under the name that debuggers look for. Only touched while [`LIST`] is locked.
#[unsafe(no_mangle)]
static mut __jit_debug_descriptor: Descriptor =
    Descriptor { version: 1, action: 0, relevant: null_mut(), first: null_mut() };

static LIST: Mutex<()> = Mutex::new(());

/// Debuggers stop here to read the list.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn __jit_debug_register_code() {
    // Something to stop at, that no optimization removes.
    std::hint::black_box(());
}

/// The objects of one controller that are in the list: address of the file, of the entry.
#[derive(Debug, Default)]
pub(super) struct Objects {
    shown: Mutex<BTreeMap<u64, u64>>,
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
        let file = std::ptr::with_exposed_provenance(start as usize);
        let entry = Box::new(Entry { next: null_mut(), previous: null_mut(), file, size: end - start });
        let mut shown = self.shown.lock();
        if let Some(old) = shown.remove(&start) {
            // SAFETY: this object made the entry, and has just forgotten it.
            unsafe { unlink(old) };
        }
        let entry = Box::into_raw(entry);
        shown.insert(start, entry.expose_provenance() as u64);
        let _list = LIST.lock();
        // SAFETY: the list is locked; its entries are boxes that are unlinked before they are freed.
        unsafe {
            let head = &raw mut __jit_debug_descriptor;
            (*entry).next = (*head).first;
            if let Some(next) = (*entry).next.as_mut() {
                next.previous = entry;
            }
            (*head).first = entry;
            (*head).relevant = entry;
            (*head).action = REGISTER;
        }
        if tell {
            __jit_debug_register_code();
        }
        Ok(())
    }

    /// Takes out what lies in memory that goes.
    pub(super) fn forget(&self, range: &std::ops::Range<u64>) {
        let mut shown = self.shown.lock();
        let inside: Vec<u64> = shown.range(range.clone()).map(|(&file, _)| file).collect();
        for file in inside {
            if let Some(entry) = shown.remove(&file) {
                // SAFETY: this object made the entry, and has just forgotten it.
                unsafe { unlink(entry) };
            }
        }
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        self.forget(&(0..u64::MAX));
    }
}

/// Takes an entry out of the list and frees it.
///
/// # Safety
/// It is the address of an entry in the list, which nobody uses afterwards.
unsafe fn unlink(entry: u64) {
    let entry = std::ptr::with_exposed_provenance_mut::<Entry>(entry as usize);
    let _list = LIST.lock();
    // SAFETY: the list is locked, and the entry is in it by the caller's promise.
    unsafe {
        let head = &raw mut __jit_debug_descriptor;
        match (*entry).previous.as_mut() {
            Some(previous) => previous.next = (*entry).next,
            None => (*head).first = (*entry).next,
        }
        if let Some(next) = (*entry).next.as_mut() {
            next.previous = (*entry).previous;
        }
        (*head).relevant = entry;
        (*head).action = UNREGISTER;
        __jit_debug_register_code();
        (*head).relevant = null_mut();
        drop(Box::from_raw(entry));
    }
}
