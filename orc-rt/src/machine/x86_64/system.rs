//! System calls that only this machine has, as the sandbox sees them; most are older forms of those that all have.

use crate::sandbox::calls::{ACCESS, CREATE, Group, Need, SET_ID, TRUNCATE, free, opening, when};
use Need::{Bits, Is};

/// What is allowed.
pub(crate) const ALLOWED: &[Group] = &[
    free("read and write what is open", &[libc::SYS_dup2, libc::SYS_pipe, libc::SYS_sync_file_range]),
    free(
        "wait for what is open",
        &[
            libc::SYS_poll,
            libc::SYS_select,
            libc::SYS_epoll_create,
            libc::SYS_epoll_wait,
            libc::SYS_eventfd,
            libc::SYS_signalfd,
        ],
    ),
    free("time and timers", &[libc::SYS_time, libc::SYS_alarm, libc::SYS_pause]),
    free("who and where am I", &[libc::SYS_getpgrp, libc::SYS_getrlimit]),
    // Where the thread pointer is, and the state of wide vector registers.
    when(
        "threads",
        &[libc::SYS_arch_prctl],
        &[&[Bits(0, !3, 0x1000)], &[Is(0, 0x1004)], &[Is(0, 0x1021)], &[Is(0, 0x1022)], &[Is(0, 0x1023)]],
    ),
    when("files, as Landlock allows", &[libc::SYS_open], opening!(1, 2)),
    when("files, as Landlock allows", &[libc::SYS_creat, libc::SYS_mknod], &[&[Bits(1, SET_ID, 0)]]),
    free(
        "files, as Landlock allows",
        &[
            libc::SYS_mkdir,
            libc::SYS_rmdir,
            libc::SYS_unlink,
            libc::SYS_rename,
            libc::SYS_renameat,
            libc::SYS_link,
            libc::SYS_symlink,
        ],
    ),
    free("what a file is", &[libc::SYS_stat, libc::SYS_lstat, libc::SYS_access, libc::SYS_readlink]),
];

/// Allowed as well in a sandbox that allows processes.
pub(crate) const PROCESSES: &[i64] = &[libc::SYS_fork, libc::SYS_vfork];

/// What ends the process.
pub(crate) const FATAL: &[i64] = &[libc::SYS_kexec_file_load, libc::SYS_iopl, libc::SYS_ioperm];

/// `AUDIT_ARCH_X86_64` (linux/audit.h), for the filter's tests.
#[cfg(test)]
pub(crate) const AUDIT: u32 = 0xc000_003e;

/// Older forms of openat(2), without its first argument.
#[cfg(test)]
pub(crate) const OPEN: &[i64] = &[libc::SYS_open];
