//! The system calls of a sandboxed process, as data: what is allowed and for whom, what says "not here", what ends the process.
//!
//! A call that stands in no table gives `EPERM`. SANDBOX.md has the same tables in words; a test holds the two together. How the tables
//! become a filter is `filter.rs`'s matter.

/// What an argument of a call must be. Arguments count from zero. The kernel itself looks at 32 bits only, but for `Null`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Need {
    /// Exactly this number.
    Is(u8, u32),
    /// `argument & mask == value`.
    Bits(u8, u32, u32),
    /// A null pointer.
    Null(u8),
    /// This process's own number. Without effect where Landlock keeps signals inside.
    Own(u8),
    /// This process's own number, always.
    Itself(u8),
    /// Threads, unless the sandbox allows processes.
    Thread(u8),
}

/// One way in which a call is allowed: all of these.
pub(crate) type Way = &'static [Need];

/// Calls that are allowed for one reason. `ways` is empty when arguments do not matter, else one of them must be met.
#[derive(Debug)]
pub(crate) struct Group {
    /// As in SANDBOX.md.
    pub(crate) what: &'static str,
    pub(crate) calls: &'static [i64],
    pub(crate) ways: &'static [Way],
}

pub(crate) const fn free(what: &'static str, calls: &'static [i64]) -> Group {
    Group { what, calls, ways: &[] }
}

pub(crate) const fn when(what: &'static str, calls: &'static [i64], ways: &'static [Way]) -> Group {
    Group { what, calls, ways }
}

use crate::machine::system;

/// Allowed as well in a sandbox that allows processes.
pub(super) use system::PROCESSES;

use Need::{Bits, Is, Itself, Null, Own, Thread};

const WRITE_EXEC: u32 = (libc::PROT_WRITE | libc::PROT_EXEC) as u32;
const WRITE: u32 = libc::PROT_WRITE as u32;
const EXEC: u32 = libc::PROT_EXEC as u32;
const GROWS_DOWN: u32 = libc::MAP_GROWSDOWN as u32;
pub(crate) const ACCESS: u32 = libc::O_ACCMODE as u32;
pub(crate) const TRUNCATE: u32 = libc::O_TRUNC as u32;
/// O_CREAT and the bit that O_TMPFILE has beyond O_DIRECTORY: the calls that look at the mode.
pub(crate) const CREATE: u32 = (libc::O_CREAT | (libc::O_TMPFILE & !libc::O_DIRECTORY)) as u32;
/// S_ISUID and S_ISGID.
pub(crate) const SET_ID: u32 = libc::S_ISUID | libc::S_ISGID;
const FAST_OPEN: u32 = libc::MSG_FASTOPEN as u32;
const SOCKET: u32 = libc::SOL_SOCKET as u32;
/// PR_GET_AUXV (linux/prctl.h).
const GET_AUXV: u32 = 0x4155_5856;
const TCP: u32 = libc::IPPROTO_TCP as u32;

/// Namespaces, which `clone` must not make.
pub(super) const NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32;

/// Opening a file at an access mode. Truncation of what is open for reading only is left out, since Landlock before Linux 6.2 overlooks it;
/// so is a new file that would run as its owner.
macro_rules! opening {
    ($flags:literal, $mode:literal) => {
        &[
            &[Bits($flags, ACCESS | TRUNCATE | CREATE, 0)],
            &[Bits($flags, ACCESS | CREATE, 1)],
            &[Bits($flags, ACCESS | CREATE, 2)],
            &[Bits($flags, ACCESS | TRUNCATE, 0), Bits($mode, SET_ID, 0)],
            &[Bits($flags, ACCESS, 1), Bits($mode, SET_ID, 0)],
            &[Bits($flags, ACCESS, 2), Bits($mode, SET_ID, 0)],
        ]
    };
}
#[allow(unused_imports, reason = "for machines that have older calls as well")]
pub(crate) use opening;

/// Everything that is allowed, on every machine; some have more ([`system`]).
const ALLOWED: &[Group] = &[
    free(
        "read and write what is open",
        &[
            libc::SYS_read,
            libc::SYS_write,
            libc::SYS_readv,
            libc::SYS_writev,
            libc::SYS_pread64,
            libc::SYS_pwrite64,
            libc::SYS_preadv,
            libc::SYS_pwritev,
            libc::SYS_preadv2,
            libc::SYS_pwritev2,
            libc::SYS_lseek,
            libc::SYS_sendfile,
            libc::SYS_copy_file_range,
            libc::SYS_fsync,
            libc::SYS_fdatasync,
            libc::SYS_fadvise64,
            libc::SYS_readahead,
            libc::SYS_ftruncate,
            libc::SYS_fallocate,
            libc::SYS_flock,
            libc::SYS_close,
            libc::SYS_close_range,
            libc::SYS_dup,
            libc::SYS_dup3,
            libc::SYS_pipe2,
        ],
    ),
    free(
        "wait for what is open",
        &[
            libc::SYS_ppoll,
            libc::SYS_pselect6,
            libc::SYS_epoll_create1,
            libc::SYS_epoll_ctl,
            libc::SYS_epoll_pwait,
            libc::SYS_epoll_pwait2,
            libc::SYS_eventfd2,
            libc::SYS_timerfd_create,
            libc::SYS_timerfd_settime,
            libc::SYS_timerfd_gettime,
            libc::SYS_signalfd4,
        ],
    ),
    when(
        "descriptor flags and locks",
        &[libc::SYS_fcntl],
        &[
            &[Is(1, libc::F_DUPFD as u32)],
            &[Is(1, libc::F_DUPFD_CLOEXEC as u32)],
            &[Is(1, libc::F_GETFD as u32)],
            &[Is(1, libc::F_SETFD as u32)],
            &[Is(1, libc::F_GETFL as u32)],
            &[Is(1, libc::F_SETFL as u32)],
            &[Is(1, libc::F_GETLK as u32)],
            &[Is(1, libc::F_SETLK as u32)],
            &[Is(1, libc::F_SETLKW as u32)],
            &[Is(1, libc::F_OFD_GETLK as u32)],
            &[Is(1, libc::F_OFD_SETLK as u32)],
            &[Is(1, libc::F_OFD_SETLKW as u32)],
            &[Is(1, libc::F_GETPIPE_SZ as u32)],
            &[Is(1, libc::F_SETPIPE_SZ as u32)],
            &[Is(1, libc::F_ADD_SEALS as u32)],
            &[Is(1, libc::F_GET_SEALS as u32)],
        ],
    ),
    when(
        "is it a terminal, how wide, how much is there to read",
        &[libc::SYS_ioctl],
        &[
            &[Is(1, libc::TCGETS as u32)],
            &[Is(1, libc::TCGETS2 as u32)],
            &[Is(1, libc::TIOCGWINSZ as u32)],
            &[Is(1, libc::TIOCGPGRP as u32)],
            &[Is(1, libc::FIONREAD as u32)],
            &[Is(1, libc::FIONBIO as u32)],
            &[Is(1, libc::FIOCLEX as u32)],
            &[Is(1, libc::FIONCLEX as u32)],
        ],
    ),
    free(
        "talk over sockets that are open",
        &[
            libc::SYS_recvfrom,
            libc::SYS_recvmsg,
            libc::SYS_recvmmsg,
            libc::SYS_shutdown,
            libc::SYS_getsockname,
            libc::SYS_getpeername,
            libc::SYS_getsockopt,
        ],
    ),
    when("talk over sockets that are open", &[libc::SYS_sendto], &[&[Null(4), Bits(3, FAST_OPEN, 0)]]),
    when("talk over sockets that are open", &[libc::SYS_sendmsg], &[&[Bits(2, FAST_OPEN, 0)]]),
    when(
        "talk over sockets that are open",
        &[libc::SYS_setsockopt],
        &[
            &[Is(1, SOCKET), Is(2, libc::SO_RCVTIMEO as u32)],
            &[Is(1, SOCKET), Is(2, libc::SO_SNDTIMEO as u32)],
            &[Is(1, SOCKET), Is(2, libc::SO_RCVBUF as u32)],
            &[Is(1, SOCKET), Is(2, libc::SO_SNDBUF as u32)],
            &[Is(1, SOCKET), Is(2, libc::SO_KEEPALIVE as u32)],
            &[Is(1, SOCKET), Is(2, libc::SO_LINGER as u32)],
            &[Is(1, TCP), Is(2, libc::TCP_NODELAY as u32)],
            &[Is(1, TCP), Is(2, libc::TCP_CORK as u32)],
            &[Is(1, TCP), Is(2, libc::TCP_QUICKACK as u32)],
            &[Is(1, TCP), Is(2, libc::TCP_USER_TIMEOUT as u32)],
            &[Is(1, TCP), Is(2, libc::TCP_KEEPIDLE as u32)],
            &[Is(1, TCP), Is(2, libc::TCP_KEEPINTVL as u32)],
            &[Is(1, TCP), Is(2, libc::TCP_KEEPCNT as u32)],
        ],
    ),
    when(
        "a pair of connected sockets",
        &[libc::SYS_socketpair],
        // A datagram socket can send to any path or name; a stream knows its peer only.
        &[&[Is(0, libc::AF_UNIX as u32), Bits(1, 0xf, libc::SOCK_STREAM as u32)]],
    ),
    when(
        "memory that is writable or executable, not both",
        &[libc::SYS_mmap],
        // A mapping that grows down is not counted by the limit of memory.
        &[&[Bits(2, WRITE, 0), Bits(3, GROWS_DOWN, 0)], &[Bits(2, WRITE_EXEC, WRITE), Bits(3, GROWS_DOWN, 0)]],
    ),
    when(
        "memory that is writable or executable, not both",
        &[libc::SYS_mprotect, libc::SYS_pkey_mprotect],
        // Executable is what is mapped so, from a file; nothing becomes it.
        &[&[Bits(2, EXEC, 0)]],
    ),
    free(
        "memory",
        &[
            libc::SYS_munmap,
            libc::SYS_mremap,
            libc::SYS_madvise,
            libc::SYS_msync,
            libc::SYS_brk,
            libc::SYS_mlock,
            libc::SYS_mlock2,
            libc::SYS_munlock,
            libc::SYS_memfd_create,
            libc::SYS_membarrier,
            libc::SYS_pkey_alloc,
            libc::SYS_pkey_free,
        ],
    ),
    when("threads", &[libc::SYS_clone], &[&[Thread(0)]]),
    free(
        "threads",
        &[
            libc::SYS_futex,
            libc::SYS_set_tid_address,
            libc::SYS_set_robust_list,
            libc::SYS_get_robust_list,
            libc::SYS_rseq,
            libc::SYS_gettid,
            libc::SYS_sched_yield,
            libc::SYS_sched_getaffinity,
            libc::SYS_sched_getscheduler,
            libc::SYS_sched_getparam,
            libc::SYS_sched_get_priority_max,
            libc::SYS_sched_get_priority_min,
            libc::SYS_getcpu,
            libc::SYS_exit,
            libc::SYS_exit_group,
            libc::SYS_wait4,
            libc::SYS_waitid,
        ],
    ),
    when("threads", &[libc::SYS_sched_setaffinity], &[&[Is(0, 0)]]),
    free(
        "signals of its own",
        &[
            libc::SYS_rt_sigaction,
            libc::SYS_rt_sigprocmask,
            libc::SYS_rt_sigpending,
            libc::SYS_rt_sigsuspend,
            libc::SYS_rt_sigtimedwait,
            libc::SYS_rt_sigreturn,
            libc::SYS_sigaltstack,
            libc::SYS_restart_syscall,
        ],
    ),
    when(
        "signals to itself",
        &[libc::SYS_kill, libc::SYS_tgkill, libc::SYS_rt_sigqueueinfo, libc::SYS_rt_tgsigqueueinfo],
        &[&[Own(0)]],
    ),
    // The runtime gives linked code its thread-local variables in threads that exist; the answer for an address where nothing is any
    // more is an error instead of a fault.
    when("memory of its own, by number", &[libc::SYS_process_vm_writev], &[&[Itself(0)]]),
    free(
        "time and timers",
        &[
            libc::SYS_clock_gettime,
            libc::SYS_clock_getres,
            libc::SYS_clock_nanosleep,
            libc::SYS_nanosleep,
            libc::SYS_gettimeofday,
            libc::SYS_getitimer,
            libc::SYS_setitimer,
            libc::SYS_timer_create,
            libc::SYS_timer_settime,
            libc::SYS_timer_gettime,
            libc::SYS_timer_getoverrun,
            libc::SYS_timer_delete,
            libc::SYS_times,
        ],
    ),
    free(
        "who and where am I",
        &[
            libc::SYS_getpid,
            libc::SYS_getppid,
            libc::SYS_getpgid,
            libc::SYS_getsid,
            libc::SYS_getuid,
            libc::SYS_geteuid,
            libc::SYS_getgid,
            libc::SYS_getegid,
            libc::SYS_getresuid,
            libc::SYS_getresgid,
            libc::SYS_getgroups,
            libc::SYS_capget,
            libc::SYS_uname,
            libc::SYS_sysinfo,
            libc::SYS_getrusage,
            libc::SYS_getpriority,
            libc::SYS_getrandom,
            libc::SYS_getcwd,
            libc::SYS_umask,
        ],
    ),
    when("who and where am I", &[libc::SYS_prlimit64], &[&[Is(0, 0), Null(2)]]),
    when(
        "names of threads and mappings, and questions",
        &[libc::SYS_prctl],
        &[
            &[Is(0, libc::PR_SET_NAME as u32)],
            &[Is(0, libc::PR_GET_NAME as u32)],
            &[Is(0, libc::PR_SET_VMA as u32)],
            &[Is(0, libc::PR_GET_DUMPABLE as u32)],
            &[Is(0, libc::PR_GET_PDEATHSIG as u32)],
            &[Is(0, libc::PR_GET_SECCOMP as u32)],
            &[Is(0, libc::PR_SET_NO_NEW_PRIVS as u32)],
            &[Is(0, libc::PR_GET_NO_NEW_PRIVS as u32)],
            &[Is(0, libc::PR_CAPBSET_READ as u32)],
            &[Is(0, libc::PR_SET_TIMERSLACK as u32)],
            &[Is(0, libc::PR_GET_TIMERSLACK as u32)],
            &[Is(0, libc::PR_SET_THP_DISABLE as u32)],
            &[Is(0, libc::PR_GET_THP_DISABLE as u32)],
            // `/proc/self/auxv` is root's in a process that cannot be dumped.
            &[Is(0, GET_AUXV)],
        ],
    ),
    when("files, as Landlock allows", &[libc::SYS_openat], opening!(2, 3)),
    when("files, as Landlock allows", &[libc::SYS_mknodat], &[&[Bits(2, SET_ID, 0)]]),
    free(
        "files, as Landlock allows",
        &[
            libc::SYS_getdents64,
            libc::SYS_mkdirat,
            libc::SYS_unlinkat,
            libc::SYS_renameat2,
            libc::SYS_linkat,
            libc::SYS_symlinkat,
        ],
    ),
    free(
        "what a file is",
        &[
            libc::SYS_fstat,
            libc::SYS_newfstatat,
            libc::SYS_statx,
            libc::SYS_statfs,
            libc::SYS_fstatfs,
            libc::SYS_faccessat,
            libc::SYS_faccessat2,
            libc::SYS_readlinkat,
            libc::SYS_chdir,
            libc::SYS_fchdir,
        ],
    ),
];

/// Allowed as well where Landlock sees them: before Linux 6.2 it overlooks truncation by path.
pub(super) const TRUNCATION: &[i64] = &[libc::SYS_truncate];

/// Calls that answer `ENOSYS`, as a kernel that lacks them does, because libraries then take the older one: a filter cannot see the structures
/// that these take. Calls newer than every allowed one answer the same.
pub(super) const ABSENT: &[i64] = &[libc::SYS_clone3, libc::SYS_openat2];

/// Calls that no program makes by mistake, and that no library tries in order to learn what there is: the process ends with SIGSYS.
const FATAL: &[i64] = &[
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
    libc::SYS_open_by_handle_at,
    libc::SYS_bpf,
];

/// Everything that is allowed here.
pub(super) fn allowed() -> impl Iterator<Item = &'static Group> {
    ALLOWED.iter().chain(system::ALLOWED)
}

/// What ends the process here.
pub(super) fn fatal() -> impl Iterator<Item = i64> {
    FATAL.iter().chain(system::FATAL).copied()
}

#[cfg(test)]
mod tests {
    use super::{ABSENT, PROCESSES, TRUNCATION, allowed, fatal};
    use std::collections::BTreeSet;

    #[test]
    fn a_call_stands_in_one_place() {
        let mut seen = BTreeSet::new();
        let allowed = allowed().flat_map(|group| group.calls);
        let others = allowed.chain(TRUNCATION).chain(PROCESSES).chain(ABSENT).copied();
        for call in others.chain(fatal()) {
            assert!(seen.insert(call), "call {call} stands twice");
        }
        for never in [libc::SYS_socket, libc::SYS_connect, libc::SYS_execve, libc::SYS_execveat, libc::SYS_ptrace] {
            assert!(!seen.contains(&never), "call {never} is denied with an error, not by a table");
        }
    }

    #[test]
    fn the_document_has_every_group_and_every_fatal_call() {
        let document = include_str!("../../SANDBOX.md");
        for group in allowed() {
            assert!(document.contains(&format!("| {} |", group.what)), "SANDBOX.md has no row for: {}", group.what);
        }
        for name in ["`clone3`", "`openat2`", "`open_by_handle_at`", "`process_vm_writev`", "`setns`", "`bpf`"] {
            assert!(document.contains(name), "SANDBOX.md does not name {name}");
        }
    }
}
