//! Wrapper functions: C functions that take packed bytes and return packed bytes, for executed code that calls up and for functions that are called down.
//!
//! You give a reply; you get what LLVM's ORC calls a `CWrapperFunctionResult`, and back again. [`call`] calls such a function by its address.
//!
//! `unsafe` because an address is called, and because large results lie in memory of malloc(3), which the receiver frees.
#![allow(unsafe_code)]

use dispatch::Reply;
use std::ffi::{CStr, c_char};

/// A wrapper function, as LLVM's ORC has it.
pub(crate) type Wrapper = unsafe extern "C-unwind" fn(*const u8, usize) -> WrapperResult;

/// Calls the wrapper function at `address` on this thread. What it throws goes on to the caller.
///
/// # Safety
/// There is such a function at `address`, and it stays there until it returns.
pub(crate) unsafe fn call(address: u64, args: &[u8]) -> Reply {
    // SAFETY: the caller's promise.
    let function = unsafe { std::mem::transmute::<usize, Wrapper>(address as usize) };
    // SAFETY: the caller's promise; the bytes live until it returns.
    let result = unsafe { function(args.as_ptr(), args.len()) };
    // SAFETY: the function has returned it, and nobody else has it.
    unsafe { result.into_reply() }
}

/// The arguments of a wrapper function that was called from C.
///
/// # Safety
/// `data` points to `size` bytes that live for as long as the result is used; no bytes need no pointer.
pub(crate) unsafe fn arguments<'a>(data: *const u8, size: usize) -> &'a [u8] {
    // SAFETY: the caller's promise.
    if size == 0 { &[] } else { unsafe { std::slice::from_raw_parts(data, size) } }
}

/// What a wrapper function returns, as LLVM's ORC lays it out: up to 8 bytes inline, more in memory of malloc(3) that the receiver frees. Size 0 with a
/// pointer that is not null is an error text.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct WrapperResult {
    data: WrapperData,
    size: usize,
}

#[repr(C)]
#[derive(Clone, Copy)]
union WrapperData {
    pointer: *mut c_char,
    bytes: [u8; 8],
}

impl WrapperResult {
    /// The same, for C.
    pub(crate) fn of(reply: &Reply) -> Self {
        match reply.bytes() {
            Ok(bytes) => Self::bytes(bytes),
            Err(text) => Self::error(text),
        }
    }

    /// Takes the result over; its memory goes back.
    ///
    /// # Safety
    /// A wrapper function has returned it, and this is its only copy that is used.
    unsafe fn into_reply(self) -> Reply {
        // SAFETY: every bit pattern is one of eight bytes, and one of a pointer.
        let (inline, pointer) = unsafe { (self.data.bytes, self.data.pointer) };
        let reply = match self.size {
            0 if pointer.is_null() => return Reply::empty(),
            // SAFETY: size 0 with a pointer is an error text, a C string.
            0 => Reply::error(unsafe { CStr::from_ptr(pointer) }.to_string_lossy()),
            size @ 1..=8 => return Reply::copy_from(&inline[..size]),
            // SAFETY: larger results lie in memory of that size.
            size => Reply::copy_from(unsafe { std::slice::from_raw_parts(pointer.cast(), size) }),
        };
        // SAFETY: texts and large results are memory of malloc(3) that is the receiver's to free.
        unsafe { libc::free(pointer.cast()) };
        reply
    }

    /// A copy of `bytes`.
    pub(crate) fn bytes(bytes: &[u8]) -> Self {
        if bytes.len() <= 8 {
            let mut inline = [0; 8];
            inline[..bytes.len()].copy_from_slice(bytes);
            return Self { data: WrapperData { bytes: inline }, size: bytes.len() };
        }
        match copy_to_malloc(bytes) {
            Some(pointer) => Self { data: WrapperData { pointer }, size: bytes.len() },
            None => Self::error("out of memory"),
        }
    }

    /// An error out of band.
    pub(crate) fn error(text: &str) -> Self {
        let mut bytes = text.replace('\0', "?").into_bytes();
        bytes.push(0);
        let pointer = copy_to_malloc(&bytes).unwrap_or(std::ptr::null_mut());
        Self { data: WrapperData { pointer }, size: 0 }
    }
}

fn copy_to_malloc(bytes: &[u8]) -> Option<*mut c_char> {
    // SAFETY: any size may be asked for.
    let memory = unsafe { libc::malloc(bytes.len()) };
    if memory.is_null() {
        return None;
    }
    // SAFETY: fresh memory of that size.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), memory.cast(), bytes.len()) };
    Some(memory.cast())
}
