//! The list that GDB and LLDB read ("JIT Compilation Interface" of GDB's manual).
//!
//! You give an ELF file; a debugger that is attached, or attaches later, knows its code by name and line, until what you get is dropped. **An entry
//! is for a whole image**, since a debugger's work, and what it keeps, grow with the number of entries.
//!
//! A debugger that reads the list has a breakpoint in [`__jit_debug_register_code`]. So a byte says whether one is there ([`is_attached`]),
//! and nobody has to make descriptions that nobody reads.
//!
//! `unsafe` because the list is the debugger's to read: C structures, by address.
#![allow(unsafe_code)]

use crate::machine::calls::{__jit_debug_register_code, STOP_BEGINS_WITH};
use crate::sync::leaf::Mutex;
use std::fmt;
use std::ptr::null_mut;

/// `struct jit_code_entry`, and what keeps its file.
#[repr(C)]
struct Entry {
    next: *mut Entry,
    previous: *mut Entry,
    file: *const u8,
    size: u64,
    owned: Option<Box<[u8]>>,
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

/// Whether a debugger is there that reads the list.
pub(crate) fn is_attached() -> bool {
    let code = __jit_debug_register_code as extern "C" fn() as *const u8;
    // SAFETY: a byte of this program's code; it may be another at any time, since a debugger writes it.
    unsafe { code.read_volatile() != STOP_BEGINS_WITH }
}

/// An entry in the list; dropping it takes it out.
pub(crate) struct Shown(*mut Entry);

// SAFETY: the entry is only touched while the list is locked, and freed once.
unsafe impl Send for Shown {}
// SAFETY: as above; a shared reference gives the size only, which does not change.
unsafe impl Sync for Shown {}

/// Shows a file, and keeps it.
pub(crate) fn show(file: Box<[u8]>) -> Shown {
    let (address, size) = (file.as_ptr(), file.len() as u64);
    // SAFETY: the entry keeps the file for as long as it is in the list.
    unsafe { enter(address, size, Some(file), true) }
}

/// Shows a file that somebody else keeps; only those who attach later find it unless `tell`.
///
/// # Safety
/// The memory stays as it is until the result is dropped.
pub(crate) unsafe fn show_at(address: u64, size: u64, tell: bool) -> Shown {
    let file = std::ptr::with_exposed_provenance(address as usize);
    // SAFETY: the caller's promise.
    unsafe { enter(file, size, None, tell) }
}

/// # Safety
/// The file stays until the result is dropped.
unsafe fn enter(file: *const u8, size: u64, owned: Option<Box<[u8]>>, tell: bool) -> Shown {
    let entry = Box::into_raw(Box::new(Entry { next: null_mut(), previous: null_mut(), file, size, owned }));
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
    Shown(entry)
}

impl Shown {
    /// Size of the file in bytes.
    pub(crate) fn size(&self) -> u64 {
        // SAFETY: the entry lives as long as this, and its size never changes.
        unsafe { (&raw const (*self.0).size).read() }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let entry = self.0;
        let _list = LIST.lock();
        // SAFETY: the list is locked, and the entry has been in it since it was made.
        let gone = unsafe {
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
            Box::from_raw(entry)
        };
        drop(gone.owned);
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shown({} bytes)", self.size())
    }
}
