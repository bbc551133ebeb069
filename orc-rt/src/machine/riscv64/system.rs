//! System calls that only this machine has, as the sandbox sees them, and those that others have under another form.

use crate::sandbox::calls::{Group, free};

/// kexec_file_load(2): one number on every machine whose numbers are those of `asm-generic/unistd.h`.
const KEXEC_FILE_LOAD: i64 = 294;

/// riscv_hwprobe(2): which instructions there are.
const HWPROBE: i64 = 258;

/// What is allowed.
pub(crate) const ALLOWED: &[Group] = &[
    free("read and write what is open", &[libc::SYS_sync_file_range]),
    free("who and where am I", &[libc::SYS_getrlimit]),
    free("memory", &[super::FLUSH_ICACHE]),
    free("who and where am I", &[HWPROBE]),
];

/// Allowed as well in a sandbox that allows processes.
pub(crate) const PROCESSES: &[i64] = &[];

/// What ends the process.
pub(crate) const FATAL: &[i64] = &[KEXEC_FILE_LOAD];

/// `AUDIT_ARCH_RISCV64` (linux/audit.h), for the filter's tests.
#[cfg(test)]
pub(crate) const AUDIT: u32 = 0xc000_00f3;

/// Older forms of openat(2), without its first argument.
#[cfg(test)]
pub(crate) const OPEN: &[i64] = &[];
