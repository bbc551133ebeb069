//! Descriptors that whoever started this process has left open for it, and said the number of.
//!
//! `unsafe` because a number becomes the ownership of a descriptor.
#![allow(unsafe_code)]

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// The descriptor with this number, which programs started from here do not inherit. Asked for once each, before this process opens any.
///
/// # Errors
/// There is none, or it is a standard stream.
pub(super) fn take(number: RawFd) -> io::Result<OwnedFd> {
    if number <= 2 {
        return Err(io::Error::other(format!("descriptor {number} is a standard stream")));
    }
    // SAFETY: only asked about; the system answers for numbers that are no descriptors.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = fcntl_getfd(borrowed).map_err(|error| io::Error::other(format!("descriptor {number}: {error}")))?;
    fcntl_setfd(borrowed, flags | FdFlags::CLOEXEC)?;
    // SAFETY: it is open, as just seen. It was open when this process began, so nothing here owns it: its number came from the one
    // who left it open, and is taken once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
