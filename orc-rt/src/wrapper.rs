//! What wrapper functions return across C: the same for executed code that calls up and for functions that are called down.
//!
//! You give bytes or an error text; you get what LLVM's ORC calls a `CWrapperFunctionResult`.
//!
//! `unsafe` because large results lie in memory of malloc(3), which the receiver frees.
#![allow(unsafe_code)]

use std::ffi::c_char;

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
