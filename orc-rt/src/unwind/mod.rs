//! Unwind tables of images, registered with the process's unwinder.
//!
//! You give an image's `.eh_frame` contents, one merged run of records that ends in a zero word; exceptions pass through its code from
//! then on. The unwinder is whichever the process has, found by name: libgcc's takes the whole section at once, LLVM's
//! libunwind has a function of its own for that.
//!
//! `unsafe` because the unwinder keeps the address: the table must stay until it is deregistered.
#![allow(unsafe_code)]

use crate::native::system_symbol;
use std::ffi::c_void;
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
    deregister: Registrar,
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
    /// Nothing in this process can unwind.
    #[error(
        "this process has no unwinder (neither __register_frame nor __unw_add_dynamic_eh_frame_section is there): load libgcc_s.so.1 first, or link without exceptions"
    )]
    NoUnwinder,
}

/// Registers the table of `size` bytes at `address`.
///
/// # Safety
/// It is a well-formed `.eh_frame` section in readable memory that stays until the result is dropped.
pub(crate) unsafe fn register(address: u64, size: u64) -> Result<Frames, UnwindError> {
    let ends_in_zero = size >= 4 && {
        // SAFETY: the last word of the table.
        unsafe { crate::call::word_at(address + size - 4) == 0 }
    };
    if !ends_in_zero {
        return Err(UnwindError::NoTerminator { address, size });
    }
    let Unwinder { register, deregister } = unwinder().ok_or(UnwindError::NoUnwinder)?;
    // SAFETY: the table is well-formed and ends in a zero word (checked); the caller keeps it.
    unsafe { register(std::ptr::with_exposed_provenance(address as usize)) };
    Ok(Frames { address, size, deregister })
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
}

impl Drop for Frames {
    fn drop(&mut self) {
        // SAFETY: registered by `register`, and only once given back.
        unsafe { (self.deregister)(std::ptr::with_exposed_provenance(self.address as usize)) };
    }
}
