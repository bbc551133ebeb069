//! How much a sandboxed process may use, and what it gives up: resource limits, capabilities, core dumps.
//!
//! Memory is bounded by two limits, since none alone fits a process that reserves addresses by the gigabyte. `RLIMIT_DATA` counts private
//! writable mappings (Linux 4.7), reserved addresses not among them: that is what programs feel. `RLIMIT_AS` counts every mapping whatever it
//! is, and so also what was filled first and made read-only or shared; it leaves room for reservations.

use super::error::{Part, SandboxError};
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};
use std::fs;
use std::io;
use std::time::Duration;

/// Open descriptors: what most systems give a process anyway.
const DESCRIPTORS: u64 = 1024;
/// Seconds from SIGXCPU, which a program may catch, to SIGKILL.
const GRACE: u64 = 1;

/// What is bounded, in absolute numbers for this process.
#[derive(Debug)]
pub(super) struct Limits {
    limits: Vec<(Resource, u64, u64)>,
}

/// What the user asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// Bytes.
    pub(super) memory: Option<u64>,
    /// Bytes of reserved addresses beyond memory.
    pub(super) address_space: u64,
    /// From now on.
    pub(super) cpu: Option<Duration>,
    /// With their threads.
    pub(super) processes: Option<u32>,
}

impl Limits {
    /// Looks at what this process uses already. Nothing is limited yet.
    ///
    /// # Errors
    /// More memory is in use than is to be allowed; `/proc/self` cannot be read.
    pub(super) fn new(wanted: &Wanted) -> Result<Self, SandboxError> {
        let mut limits = vec![
            (Resource::Core, 0, 0),
            (Resource::Nofile, DESCRIPTORS, DESCRIPTORS),
            (Resource::Msgqueue, 0, 0),
            (Resource::Rtprio, 0, 0),
        ];
        if let Some(memory) = wanted.memory {
            let status = read("/proc/self/status")?;
            let [size, data] = ["VmSize:", "VmData:"].map(|key| kib(&status, key).saturating_mul(1024));
            if data > memory {
                return Err(SandboxError::Memory { limit: memory, used: data });
            }
            let addresses = memory.saturating_add(wanted.address_space);
            limits.push((Resource::Data, memory, memory));
            limits.push((Resource::As, addresses.saturating_add(size), addresses.saturating_add(size)));
            // A file may lie in memory, and a mapped one may be as sparse as a reservation.
            limits.push((Resource::Fsize, addresses, addresses));
        }
        if let Some(cpu) = wanted.cpu {
            let seconds = cpu.as_secs() + u64::from(cpu.subsec_nanos() > 0);
            let limit = used_seconds()?.saturating_add(seconds.max(1));
            limits.push((Resource::Cpu, limit, limit.saturating_add(GRACE)));
        }
        if let Some(processes) = wanted.processes {
            let limit = tasks_of_this_user()?.saturating_add(processes.into());
            limits.push((Resource::Nproc, limit, limit));
        }
        Ok(Self { limits })
    }

    /// Sets them, for good. A limit that is lower already stays.
    pub(super) fn set(&self) -> Result<(), SandboxError> {
        for &(resource, current, maximum) in &self.limits {
            let now = rustix::process::getrlimit(resource);
            let lower = |limit: u64, now: Option<u64>| Some(now.map_or(limit, |now| now.min(limit)));
            let new = Rlimit { current: lower(current, now.current), maximum: lower(maximum, now.maximum) };
            let what = "a resource limit cannot be lowered (setrlimit)";
            rustix::process::setrlimit(resource, new).map_err(SandboxError::system(what))?;
        }
        Ok(())
    }
}

/// Gives up what would let the process out again: capabilities, programs that run as somebody else, core dumps and debuggers.
pub(super) fn give_up_privileges() -> Result<(), SandboxError> {
    rustix::thread::set_no_new_privs(true).map_err(SandboxError::system("no_new_privs cannot be set"))?;
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    let what = "capabilities cannot be given up (capset)";
    rustix::thread::set_capabilities(None, none).map_err(SandboxError::system(what))?;
    // RLIMIT_CORE does not hold where the system pipes core dumps into a program (core(5)).
    let what = "core dumps cannot be turned off (PR_SET_DUMPABLE)";
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(SandboxError::system(what))
}

/// Whether a number of processes can be enforced.
pub(super) fn can_limit_processes() -> Result<(), SandboxError> {
    if rustix::process::getuid().is_root() {
        let source = io::Error::from_raw_os_error(libc::EPERM);
        return Err(SandboxError::Unsupported { part: Part::Processes, source: Box::new(source) });
    }
    Ok(())
}

fn read(path: &str) -> Result<String, SandboxError> {
    let what = "/proc/self cannot be read, which tells what is in use";
    fs::read_to_string(path).map_err(|source| SandboxError::System { what, source })
}

/// A number of `/proc/PID/status`; zero where it has none.
fn kib(status: &str, key: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// Processor time of this process so far, rounded up.
fn used_seconds() -> Result<u64, SandboxError> {
    let stat = read("/proc/self/stat")?;
    // The name of the program, in parentheses, may hold anything (proc_pid_stat(5)); utime and stime are fields 14 and 15, the state is 3.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 = fields.split_whitespace().skip(14 - 3).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Ok(ticks.div_ceil(rustix::param::clock_ticks_per_second().max(1)))
}

/// Threads of all processes of this user, which is what `RLIMIT_NPROC` counts.
fn tasks_of_this_user() -> Result<u64, SandboxError> {
    let what = "/proc cannot be read, which tells how many processes there are";
    let entries = fs::read_dir("/proc").map_err(|source| SandboxError::System { what, source })?;
    let own = rustix::process::getuid().as_raw();
    let mut tasks = 0;
    for entry in entries.flatten() {
        if !entry.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit) {
            continue;
        }
        // It may have ended by now.
        let Ok(status) = fs::read_to_string(entry.path().join("status")) else { continue };
        if status.contains("\nUid:") && kib(&status, "Uid:") == u64::from(own) {
            tasks += kib(&status, "Threads:");
        }
    }
    Ok(tasks)
}

#[cfg(test)]
mod tests {
    use super::{kib, used_seconds};

    #[test]
    fn numbers_of_the_status_are_found() {
        let status = "Name:\tx\nUid:\t7\t8\t9\t9\nVmSize:\t    5120 kB\nThreads:\t3\n";
        assert_eq!(["VmSize:", "Uid:", "Threads:", "VmData:"].map(|key| kib(status, key)), [5120, 7, 3, 0]);
        assert!(used_seconds().is_ok_and(|seconds| seconds < 3600));
    }
}
