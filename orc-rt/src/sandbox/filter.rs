//! The tables of `calls.rs` as a seccomp filter.
//!
//! The allow-list is compiled by the crate `seccompiler`, which knows two answers; what must answer otherwise stands in a few
//! instructions in front of it, so that one filter is all that the kernel runs.

use super::calls::{ABSENT, NAMESPACES, Need, PROCESSES, TRUNCATION, allowed, fatal};
use super::error::{Part, SandboxError};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    sock_filter,
};
use std::collections::BTreeMap;

/// What the filter depends on besides the tables.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy {
    /// `fork` and the like.
    pub(super) processes: bool,
    /// Landlock keeps signals inside (Linux 6.12).
    pub(super) signals_stay_inside: bool,
    /// Landlock sees truncation (Linux 6.2).
    pub(super) truncation_is_seen: bool,
    /// This process.
    pub(super) own: u32,
}

/// Limits the calls of every thread of this process, for good.
///
/// # Errors
/// The kernel has no seccomp filters, or refuses this one.
pub(super) fn install(policy: Policy) -> Result<(), SandboxError> {
    let unsupported =
        |source: seccompiler::Error| SandboxError::Unsupported { part: Part::Calls, source: Box::new(source) };
    let program = program(policy).map_err(|error| unsupported(error.into()))?;
    seccompiler::apply_filter_all_threads(&program).map_err(unsupported)
}

fn program(policy: Policy) -> Result<BpfProgram, seccompiler::BackendError> {
    let machine = std::env::consts::ARCH.try_into()?;
    let rules = rules(policy)?;
    let newest = rules.keys().next_back().copied().unwrap_or_default();
    let allow_list =
        SeccompFilter::new(rules, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow, machine)?;
    let mut program = BpfProgram::try_from(allow_list)?;
    // The first three instructions end the process when it makes a call of another machine's (32-bit) interface. They are wanted first.
    let mut whole: BpfProgram = program.drain(..ARCHITECTURE).collect();
    whole.extend(exceptions(newest));
    whole.append(&mut program);
    Ok(whole)
}

/// Instructions that seccompiler begins a program with: load the architecture, skip if it is ours, kill.
const ARCHITECTURE: usize = 3;

/// Calls whose answer is neither "allowed" nor `EPERM`.
fn exceptions(newest: i64) -> Vec<sock_filter> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const GREATER: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
    const ANY_BIT: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
    /// The number of the call (`struct seccomp_data`).
    const NUMBER: u32 = 0;
    /// The mark of a call of the x32 interface, which has the same architecture as x86-64's own; no call of another machine has a number so large.
    const X32: u32 = 0x4000_0000;

    let kill = u32::from(SeccompAction::KillProcess);
    let absent = u32::from(SeccompAction::Errno(libc::ENOSYS as u32));
    let instruction = |code, k, jt, jf| sock_filter { code, jt, jf, k };
    let mut out = vec![instruction(LOAD, NUMBER, 0, 0)];
    let mut answer = |test, number: u32, action| {
        out.push(instruction(test, number, 0, 1));
        out.push(instruction(RETURN, action, 0, 0));
    };
    answer(ANY_BIT, X32, kill);
    fatal().for_each(|call| answer(EQUAL, call as u32, kill));
    ABSENT.iter().for_each(|call| answer(EQUAL, *call as u32, absent));
    answer(GREATER, newest as u32, absent);
    out
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn rules(policy: Policy) -> Result<Rules, seccompiler::BackendError> {
    let mut rules = Rules::new();
    for group in allowed() {
        for call in group.calls {
            let ways = group.ways.iter().map(|way| {
                let needs = way.iter().filter_map(|need| condition(*need, policy).transpose());
                needs.collect::<Result<Vec<_>, _>>()
            });
            let ways = ways.collect::<Result<Vec<_>, _>>()?;
            // One way without a condition is every way.
            let open = ways.iter().any(Vec::is_empty);
            let ways = if open { Vec::new() } else { ways };
            rules.insert(*call, ways.into_iter().map(SeccompRule::new).collect::<Result<_, _>>()?);
        }
    }
    let more = [(TRUNCATION, policy.truncation_is_seen), (PROCESSES, policy.processes)];
    let more = more.into_iter().filter(|(_, allowed)| *allowed).flat_map(|(calls, _)| calls);
    rules.extend(more.map(|call| (*call, Vec::new())));
    Ok(rules)
}

/// `None` when there is nothing to ask.
fn condition(need: Need, policy: Policy) -> Result<Option<SeccompCondition>, seccompiler::BackendError> {
    use SeccompCmpArgLen::{Dword, Qword};
    use SeccompCmpOp::{Eq, MaskedEq};
    let (argument, size, operator, value) = match need {
        Need::Is(argument, value) => (argument, Dword, Eq, value),
        Need::Bits(argument, mask, value) => (argument, Dword, MaskedEq(mask.into()), value),
        Need::Null(argument) => (argument, Qword, Eq, 0),
        Need::Own(_) if policy.signals_stay_inside => return Ok(None),
        Need::Own(argument) | Need::Itself(argument) => (argument, Dword, Eq, policy.own),
        Need::Thread(argument) if policy.processes => (argument, Dword, MaskedEq(NAMESPACES.into()), 0),
        Need::Thread(argument) => {
            let thread = libc::CLONE_THREAD as u32;
            (argument, Dword, MaskedEq((NAMESPACES | thread).into()), thread)
        }
    };
    SeccompCondition::new(argument, size, operator, value.into()).map(Some)
}

#[cfg(test)]
mod tests {
    use super::{ARCHITECTURE, PROCESSES, Policy, fatal, program};
    use crate::machine::system::{AUDIT, OPEN};

    /// The answer of the filter to a call, by a small interpreter of the instructions that occur.
    fn answer(policy: Policy, architecture: u32, call: u32, arguments: [u64; 6]) -> u32 {
        let program = program(policy).expect("a program");
        let mut data = vec![call, architecture, 0, 0];
        data.extend(arguments.iter().flat_map(|argument| [*argument as u32, (argument >> 32) as u32]));
        let (mut at, mut accumulator) = (0, 0u32);
        loop {
            let instruction = &program[at];
            at += 1;
            let skip = |met: bool| usize::from(if met { instruction.jt } else { instruction.jf });
            match instruction.code {
                0x20 => accumulator = data[instruction.k as usize / 4],
                0x54 => accumulator &= instruction.k,
                0x05 => at += instruction.k as usize,
                0x15 => at += skip(accumulator == instruction.k),
                0x25 => at += skip(accumulator > instruction.k),
                0x45 => at += skip(accumulator & instruction.k != 0),
                0x06 => return instruction.k,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    const I386: u32 = 0x4000_0003;
    const POLICY: Policy = Policy { processes: false, signals_stay_inside: false, truncation_is_seen: false, own: 77 };
    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
    const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;
    const DENIED: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    const ABSENT: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

    #[track_caller]
    fn check(policy: Policy, call: i64, arguments: &[u64], expected: u32) {
        let mut six = [0; 6];
        six[..arguments.len()].copy_from_slice(arguments);
        assert_eq!(answer(policy, AUDIT, call as u32, six), expected, "call {call} with {arguments:x?}");
    }

    #[test]
    fn memory_is_written_by_number_in_this_process_alone() {
        let keeps_signals_inside = Policy { signals_stay_inside: true, ..POLICY };
        for policy in [POLICY, keeps_signals_inside] {
            check(policy, libc::SYS_process_vm_writev, &[77, 0, 1, 0, 1, 0], ALLOW);
            check(policy, libc::SYS_process_vm_writev, &[78, 0, 1, 0, 1, 0], DENIED);
            check(policy, libc::SYS_process_vm_readv, &[77, 0, 1, 0, 1, 0], DENIED);
        }
    }

    #[test]
    fn the_program_is_within_what_the_kernel_takes_and_begins_with_the_architecture() {
        let program = program(POLICY).expect("a program");
        assert!(program.len() < 4096, "{} instructions", program.len());
        assert_eq!(program[ARCHITECTURE - 1].k, KILL);
        assert_eq!((program[ARCHITECTURE].code, program[ARCHITECTURE].k), (0x20, 0));
    }

    #[test]
    fn calls_of_other_interfaces_and_plain_attacks_kill() {
        assert_eq!(answer(POLICY, I386, 20, [0; 6]), KILL);
        assert_eq!(answer(POLICY, AUDIT, 0x4000_0000 | libc::SYS_getpid as u32, [0; 6]), KILL);
        for call in fatal() {
            check(POLICY, call, &[], KILL);
        }
    }

    #[test]
    fn what_no_table_has_is_denied_and_what_is_newer_is_absent() {
        for call in [libc::SYS_socket, libc::SYS_execve, libc::SYS_ptrace, libc::SYS_io_uring_setup, libc::SYS_fchmodat]
        {
            check(POLICY, call, &[], DENIED);
        }
        for call in [libc::SYS_clone3, libc::SYS_openat2, libc::SYS_landlock_create_ruleset, 9999] {
            check(POLICY, call, &[], ABSENT);
        }
        check(POLICY, libc::SYS_read, &[], ALLOW);
    }

    #[test]
    fn arguments_decide_where_they_say_what_is_done() {
        let (w, x) = (libc::PROT_WRITE as u64, libc::PROT_EXEC as u64);
        for (prot, expected) in [(0, ALLOW), (w, ALLOW), (x, ALLOW), (w | x, DENIED), (w | x | 1 << 40, DENIED)] {
            check(POLICY, libc::SYS_mmap, &[0, 0, prot], expected);
            let changed = if prot & x == 0 { ALLOW } else { DENIED };
            check(POLICY, libc::SYS_mprotect, &[0, 0, prot], changed);
        }
        check(POLICY, libc::SYS_mmap, &[0, 0, w, libc::MAP_GROWSDOWN as u64], DENIED);
        check(POLICY, libc::SYS_ioctl, &[0, libc::TIOCSTI], DENIED);
        check(POLICY, libc::SYS_ioctl, &[0, libc::TIOCSTI | 1 << 32], DENIED);
        check(POLICY, libc::SYS_ioctl, &[0, libc::TCGETS], ALLOW);
        check(POLICY, libc::SYS_sendto, &[3, 0, 0, 0, 0], ALLOW);
        check(POLICY, libc::SYS_sendto, &[3, 0, 0, 0, 1 << 32], DENIED);
        check(POLICY, libc::SYS_sendmsg, &[3, 0, libc::MSG_FASTOPEN as u64], DENIED);
        check(POLICY, libc::SYS_socketpair, &[1, (libc::SOCK_STREAM | libc::SOCK_CLOEXEC) as u64], ALLOW);
        check(POLICY, libc::SYS_socketpair, &[1, libc::SOCK_DGRAM as u64], DENIED);
        check(POLICY, libc::SYS_prlimit64, &[0, 0, 1], DENIED);
        check(POLICY, libc::SYS_prlimit64, &[0, 0, 0], ALLOW);
    }

    #[test]
    fn files_are_opened_without_hidden_truncation_and_without_borrowed_rights() {
        let open = |flags: i32, mode: u64, expected| {
            check(POLICY, libc::SYS_openat, &[0, 0, flags as u64, mode], expected);
            for call in OPEN {
                check(POLICY, *call, &[0, flags as u64, mode], expected);
            }
        };
        open(libc::O_RDONLY, 0o7777, ALLOW);
        open(libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC, 0o644, ALLOW);
        open(libc::O_WRONLY | libc::O_CREAT, 0o4755, DENIED);
        open(libc::O_RDONLY | libc::O_CREAT, 0o4755, DENIED);
        open(libc::O_RDWR | libc::O_TMPFILE, 0o2755, DENIED);
        open(libc::O_RDONLY | libc::O_TRUNC, 0, DENIED);
        open(libc::O_RDONLY | libc::O_DIRECTORY, 0o7777, ALLOW);
        check(POLICY, libc::SYS_truncate, &[], DENIED);
        check(Policy { truncation_is_seen: true, ..POLICY }, libc::SYS_truncate, &[], ALLOW);
    }

    #[test]
    fn threads_are_not_processes_and_signals_stay() {
        let thread = (libc::CLONE_THREAD | libc::CLONE_VM | libc::CLONE_SIGHAND) as u64;
        let many = Policy { processes: true, ..POLICY };
        for (policy, fork) in [(POLICY, DENIED), (many, ALLOW)] {
            check(policy, libc::SYS_clone, &[thread], ALLOW);
            check(policy, libc::SYS_clone, &[thread | libc::CLONE_NEWUSER as u64], DENIED);
            check(policy, libc::SYS_clone, &[libc::SIGCHLD as u64], fork);
            check(policy, libc::SYS_clone, &[(libc::CLONE_NEWNET | libc::SIGCHLD) as u64], DENIED);
            for call in PROCESSES {
                check(policy, *call, &[], fork);
            }
        }
        check(POLICY, libc::SYS_kill, &[77], ALLOW);
        check(POLICY, libc::SYS_kill, &[78], DENIED);
        check(POLICY, libc::SYS_tgkill, &[78], DENIED);
        check(Policy { signals_stay_inside: true, ..POLICY }, libc::SYS_kill, &[78], ALLOW);
    }
}
