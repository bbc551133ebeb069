//! Return addresses in words, as backtrace_symbols(3) and backtrace_symbols_fd(3) write them: `name(function+0x12) [0x...]`.
//!
//! You give addresses of executed code and of the process's own, mixed as they come; the latter are put into words by the C library.
//!
//! `unsafe` because addresses come as a C array, and texts leave in memory of malloc(3).
#![allow(unsafe_code)]

use super::{pointer, system};
use crate::image::{self, Image};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::io::Write as _;
use std::ptr;

/// # Safety
/// `addresses` points to `count` of them.
unsafe fn list<'a>(addresses: *const *mut c_void, count: c_int) -> &'a [*mut c_void] {
    let count = usize::try_from(count).unwrap_or(0);
    if count == 0 || addresses.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(addresses, count) }
}

/// `char **backtrace_symbols(void *const *addresses, int count)`: one text for each, in one piece of memory for free(3); null without memory.
///
/// # Safety
/// As backtrace_symbols(3).
pub(super) unsafe extern "C-unwind" fn backtrace_symbols(
    addresses: *const *mut c_void,
    count: c_int,
) -> *mut *mut c_char {
    // SAFETY: the caller's promise.
    let addresses = unsafe { list(addresses, count) };
    let mut texts = Vec::new();
    let mut starts = Vec::with_capacity(addresses.len());
    for address in addresses {
        starts.push(texts.len());
        match image::at(address.addr() as u64) {
            Some(image) => words(&mut texts, &image, address.addr() as u64),
            None => system_words(&mut texts, address),
        }
        texts.push(0);
    }
    let pointers = addresses.len() * size_of::<*mut c_char>();
    // SAFETY: any size may be asked for.
    let memory = unsafe { libc::malloc((pointers + texts.len()).max(1)) };
    if memory.is_null() {
        return ptr::null_mut();
    }
    let (list, text) = (memory.cast::<*mut c_char>(), memory.wrapping_byte_add(pointers).cast::<c_char>());
    // SAFETY: the memory has room for the pointers, and behind them for the texts.
    unsafe {
        ptr::copy_nonoverlapping(texts.as_ptr().cast(), text, texts.len());
        for (number, start) in starts.into_iter().enumerate() {
            list.add(number).write(text.add(start));
        }
    }
    list
}

/// An address of executed code.
fn words(texts: &mut Vec<u8>, image: &Image, address: u64) {
    texts.extend_from_slice(image.name.to_bytes());
    texts.push(b'(');
    let symbol = image.symbol(address);
    if let Some(symbol) = &symbol {
        texts.extend_from_slice(symbol.name.to_bytes());
    }
    let offset = address - symbol.map_or(image.base, |symbol| symbol.address);
    // As printf(3) has it with `%#tx`: zero has no prefix.
    let prefix = if offset == 0 { "" } else { "0x" };
    // Writing to a vector does not fail.
    let _ = write!(texts, "+{prefix}{offset:x}) [{address:#x}]");
}

/// An address of the process.
fn system_words(texts: &mut Vec<u8>, address: &*mut c_void) {
    // SAFETY: one address, which is any.
    let found = unsafe { system::backtrace_symbols()(address, 1) };
    if found.is_null() {
        let _ = write!(texts, "[{:#x}]", address.addr());
        return;
    }
    // SAFETY: the C library gives one text, and all of it is to be freed.
    unsafe {
        texts.extend_from_slice(CStr::from_ptr(*found).to_bytes());
        libc::free(found.cast());
    }
}

/// `void backtrace_symbols_fd(void *const *addresses, int count, int file)`: one line for each. In signal handlers, too: it allocates nothing, waits for no lock and asks
/// nobody. Functions are named whose image came with its symbols (it does where linked code refers to this function), or that were asked for before.
///
/// # Safety
/// As backtrace_symbols_fd(3).
pub(super) unsafe extern "C-unwind" fn backtrace_symbols_fd(addresses: *const *mut c_void, count: c_int, file: c_int) {
    // SAFETY: the caller's promise.
    for address in unsafe { list(addresses, count) } {
        let at = address.addr() as u64;
        let line = image::at_once(at, |image| {
            let mut line = Line { bytes: [0; Line::SIZE], length: 0, file };
            line.text(image.name.to_bytes());
            line.text(b"(");
            let start = image.symbol_at_once(at, |name, start| {
                line.text(name.to_bytes());
                start
            });
            line.text(b"+");
            line.number(at - start.unwrap_or(image.base));
            line.text(b")[");
            line.number(at);
            line.text(b"]\n");
            line
        });
        match line {
            Some(mut line) => line.flush(),
            // SAFETY: one address, which is any.
            None => unsafe { system::backtrace_symbols_fd()(&pointer(at), 1, file) },
        }
    }
}

/// A line on its way, on the stack.
struct Line {
    bytes: [u8; Line::SIZE],
    length: usize,
    file: c_int,
}

impl Line {
    /// Most lines are shorter; what does not fit is written while the table of images is locked for changes.
    const SIZE: usize = 4096;

    fn text(&mut self, mut text: &[u8]) {
        while !text.is_empty() {
            if self.length == Self::SIZE {
                self.flush();
            }
            let now = text.len().min(Self::SIZE - self.length);
            self.bytes[self.length..self.length + now].copy_from_slice(&text[..now]);
            self.length += now;
            text = &text[now..];
        }
    }

    fn number(&mut self, number: u64) {
        let mut digits = [0; 18];
        let mut free = &mut digits[..];
        // Eighteen bytes hold every number of 64 bits.
        let _ = write!(free, "{number:#x}");
        let length = 18 - free.len();
        self.text(&digits[..length]);
    }

    fn flush(&mut self) {
        let mut rest = &self.bytes[..self.length];
        while !rest.is_empty() {
            // SAFETY: the bytes are ours.
            let written = unsafe { libc::write(self.file, rest.as_ptr().cast(), rest.len()) };
            match usize::try_from(written) {
                Ok(written) if written > 0 => rest = &rest[written..],
                _ => break,
            }
        }
        self.length = 0;
    }
}
