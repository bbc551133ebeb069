//! Becomes a program in a process that is denied to make executable what was writable: `hardened mdwe|filter PROGRAM [ARGUMENTS...]`.
//!
//! For the cases (`hardening.rs`). Both ways stay with the process and its descendants for good. Not a sandbox: a file can still be mapped executable.
//!
//! `unsafe` because prctl(2) is C's.
#![allow(unsafe_code)]

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};
use std::error::Error;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let (Some(how), Some(program)) = (words.next(), words.next()) else {
        eprintln!("usage: hardened mdwe|filter PROGRAM [ARGUMENTS...]");
        return ExitCode::from(2);
    };
    let done = match how.to_str() {
        Some("mdwe") => refuse_exec_gain(),
        Some("filter") => filter().and_then(|filter| Ok(apply_filter(&filter)?)),
        _ => Err("neither mdwe nor filter".into()),
    };
    if let Err(error) = done {
        eprintln!("hardened: {}: {error}", how.to_string_lossy());
        return ExitCode::from(2);
    }
    let error = Command::new(&program).args(words).exec();
    eprintln!("hardened: {}: {error}", program.to_string_lossy());
    ExitCode::from(2)
}

fn refuse_exec_gain() -> Result<(), Box<dyn Error>> {
    // SAFETY: numbers are passed.
    let done = unsafe { libc::prctl(libc::PR_SET_MDWE, libc::PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error().into()) }
}

/// What systemd's `MemoryDenyWriteExecute` denies by a filter, with its answer.
fn filter() -> Result<BpfProgram, Box<dyn Error>> {
    let bits = |bits: i32| -> Result<Vec<SeccompRule>, Box<dyn Error>> {
        let bits = u64::from(bits.cast_unsigned());
        let condition = SeccompCondition::new(2, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(bits), bits)?;
        Ok(vec![SeccompRule::new(vec![condition])?])
    };
    let rules = [
        (libc::SYS_mmap, bits(libc::PROT_WRITE | libc::PROT_EXEC)?),
        (libc::SYS_mprotect, bits(libc::PROT_EXEC)?),
        (libc::SYS_pkey_mprotect, bits(libc::PROT_EXEC)?),
        (libc::SYS_shmat, bits(libc::SHM_EXEC)?),
    ];
    let denied = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let machine = std::env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new(rules.into_iter().collect(), SeccompAction::Allow, denied, machine)?;
    Ok(filter.try_into()?)
}
