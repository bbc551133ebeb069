//! A shared library with a JIT session inside, for a program that knows nothing of it and opens it when it already runs: `tests/late_load.rs`.
//!
//! `unsafe` because C calls it with pointers.
#![allow(unsafe_code, reason = "C strings come in as pointers")]

use orc_jit::{InProcess, Opened, Session};
use std::error::Error;
use std::ffi::{CStr, CString, c_char};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Links the object file at `path` and gives the address of `symbol`; zero after writing to `why`, which has room for so many bytes, what is wrong.
///
/// # Safety
/// Both are C strings, and the room is there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn late_link(path: *const c_char, symbol: *const c_char, why: *mut c_char, room: usize) -> u64 {
    // SAFETY: the caller's promise.
    let (path, symbol) = unsafe { (CStr::from_ptr(path), CStr::from_ptr(symbol)) };
    match link(path, symbol) {
        Ok(address) => address,
        Err(error) => {
            let text = CString::new(error.to_string()).unwrap_or_default();
            let bytes = text.as_bytes_with_nul();
            if let Some((_, most)) = bytes.split_last().filter(|_| bytes.len() <= room) {
                // SAFETY: no longer than the room, and the zero behind it.
                unsafe {
                    std::ptr::copy_nonoverlapping(most.as_ptr().cast(), why, most.len());
                    *why.add(most.len()) = 0;
                }
            }
            0
        }
    }
}

fn link(path: &CStr, symbol: &CStr) -> Result<u64, Box<dyn Error>> {
    static SESSION: OnceLock<Session<InProcess>> = OnceLock::new();
    static OPEN: Mutex<Vec<Opened<InProcess>>> = Mutex::new(Vec::new());
    if SESSION.get().is_none() {
        let _ = SESSION.set(Session::in_process()?);
    }
    let session = SESSION.get().ok_or("there is no session")?;
    let path = path.to_str()?;
    session.add_dylib(path)?.add_object_file(path)?;
    let opened = session.open(path)?;
    let address = opened.address(symbol.to_str()?)?;
    OPEN.lock().unwrap_or_else(PoisonError::into_inner).push(opened);
    Ok(address)
}
