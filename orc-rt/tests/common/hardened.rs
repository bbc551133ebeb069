//! Processes that are denied to make executable what was writable, in each way in which that happens.
//!
//! A test program runs itself again, whole, as such a process: what it asks has to hold there as well.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

/// How a process is denied it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hardening {
    /// prctl(PR_SET_MDWE), Linux 6.3.
    Mdwe,
    /// A filter as systemd's `MemoryDenyWriteExecute` has it: the calls fail.
    Filter,
    /// A filter that ends the process, which is told so by `ORC_DUAL_MAPPED`.
    DeadlyFilter,
}

pub const EVERY: [Hardening; 3] = [Hardening::Mdwe, Hardening::Filter, Hardening::DeadlyFilter];

impl Hardening {
    /// Has `command` start as such a process.
    pub fn harden(self, command: &mut Command) {
        let filter = filter(if self == Self::DeadlyFilter {
            SeccompAction::KillProcess
        } else {
            SeccompAction::Errno(libc::EPERM as u32)
        });
        if self == Self::DeadlyFilter {
            command.env("ORC_DUAL_MAPPED", "1");
        }
        let enter = move || match self {
            Self::Mdwe => refuse_exec_gain(),
            _ => apply_filter(&filter).map_err(|_| io::Error::last_os_error()),
        };
        // SAFETY: only system calls are made between fork and exec, with what was prepared before.
        unsafe { command.pre_exec(enter) };
    }
}

/// Denies this process and its descendants to make executable what was writable.
pub fn refuse_exec_gain() -> io::Result<()> {
    // SAFETY: numbers are passed.
    let done = unsafe { libc::prctl(libc::PR_SET_MDWE, libc::PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A filter that answers so to mprotect(2) with PROT_EXEC, and to mmap(2) with PROT_WRITE and PROT_EXEC.
fn filter(answer: SeccompAction) -> BpfProgram {
    let bits = |argument, bits: i32| {
        let bits = u64::from(bits.cast_unsigned());
        let condition =
            SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(bits), bits).unwrap();
        vec![SeccompRule::new(vec![condition]).unwrap()]
    };
    let rules = [
        (libc::SYS_mmap, bits(2, libc::PROT_WRITE | libc::PROT_EXEC)),
        (libc::SYS_mprotect, bits(2, libc::PROT_EXEC)),
        (libc::SYS_pkey_mprotect, bits(2, libc::PROT_EXEC)),
        (libc::SYS_shmat, bits(2, libc::SHM_EXEC)),
    ];
    let machine = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules.into_iter().collect(), SeccompAction::Allow, answer, machine).unwrap();
    filter.try_into().unwrap()
}

/// Tells a test program that it is the second one.
const AGAIN: &str = "ORC_RT_TEST_AGAIN";

/// Whether this is a hardened process of [`everything_again`].
pub fn is_hardened() -> bool {
    std::env::var_os(AGAIN).is_some()
}

/// Runs all tests of this program again, in one process for each hardening. Nothing in such a process itself.
pub fn everything_again() {
    everything_again_in(&EVERY);
}

/// The same in these ways.
pub fn everything_again_in(ways: &[Hardening]) {
    if is_hardened() {
        assert!(gain_is_refused(), "this process is not hardened");
        return;
    }
    for &hardening in ways {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env(AGAIN, "1").arg("--test-threads=2");
        hardening.harden(&mut command);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{hardening:?}: {}\n{}", output.status, told(&output));
        let passed = told(&output).contains("test result: ok.") && !told(&output).contains(" 0 passed");
        assert!(passed, "{hardening:?}: nothing ran\n{}", told(&output));
    }
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Tries, in a child, since the process may end by it.
fn gain_is_refused() -> bool {
    // SAFETY: the child makes system calls alone, on memory of its own.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            let (rw, private) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            let page = libc::mmap(std::ptr::null_mut(), 4096, rw, private, -1, 0);
            libc::_exit(i32::from(libc::mprotect(page, 4096, libc::PROT_READ | libc::PROT_EXEC) == 0));
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &raw mut status, 0), child, "{}", io::Error::last_os_error());
        libc::WIFSIGNALED(status) || libc::WEXITSTATUS(status) == 0
    }
}
