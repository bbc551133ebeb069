//! System calls that only this machine has, as the sandbox sees them, and those that others have under another form.

use crate::sandbox::calls::{Group, free};

/// `asm-generic/unistd.h`.
const SYNC_FILE_RANGE: i64 = 84;
const GETRLIMIT: i64 = 163;

/// What is allowed.
pub(crate) const ALLOWED: &[Group] =
    &[free("read and write what is open", &[SYNC_FILE_RANGE]), free("who and where am I", &[GETRLIMIT])];

/// Allowed as well in a sandbox that allows processes.
pub(crate) const PROCESSES: &[i64] = &[];

/// What ends the process.
pub(crate) const FATAL: &[i64] = &[libc::SYS_kexec_file_load];

/// `AUDIT_ARCH_AARCH64` (linux/audit.h), for the filter's tests.
#[cfg(test)]
pub(crate) const AUDIT: u32 = 0xc000_00b7;

/// Older forms of openat(2), without its first argument.
#[cfg(test)]
pub(crate) const OPEN: &[i64] = &[];
