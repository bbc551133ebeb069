//! Does a slab with a writable view write at one address what runs at another, without a system call, and leave alone what a fork has seen?
#![cfg(not(shuttle))]

use orc_rt::memory::{Allocation, MemoryError, Prot, Reach, Request, SegmentRequest, Slab};
use seccompiler::{SeccompAction, SeccompFilter};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

const CODE: Prot = Prot::READ.union(Prot::EXEC);
const DATA: Prot = Prot::READ.union(Prot::WRITE);

/// One test at a time: a fork is seen by every slab of the process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `mov eax, value; ret`, a constant, a variable, like any small link.
fn link(slab: &Slab, value: i32) -> Allocation {
    let segment = |prot, size| SegmentRequest { prot, align: 16, size, content_size: size };
    let segments = [segment(CODE, 6), segment(Prot::READ, 8), segment(DATA, 4)];
    let mut reservation = slab.reserve(&Request { segments: &segments, reach: Reach::Near }).expect("memory");
    for index in 0..3 {
        assert!(reservation.bytes(index).iter().all(|byte| *byte == 0), "old bytes in segment {index}");
    }
    let [a, b, c, d] = value.to_le_bytes();
    let contents: [&[u8]; 3] = [&[0xb8, a, b, c, d, 0xc3], &[7; 8], &[9; 4]];
    for (bytes, content) in reservation.all_bytes().zip(contents) {
        bytes.copy_from_slice(content);
    }
    reservation.finalize().expect("nothing is asked of the system")
}

fn call(allocation: &Allocation) -> i32 {
    // SAFETY: `link` has put a function of this type there.
    let function: extern "C" fn() -> i32 = unsafe { std::mem::transmute(allocation.address(0) as usize) };
    function()
}

/// What the mapping at `address` may do.
fn permissions(address: u64) -> String {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("own maps");
    let covers = |line: &&str| {
        let (start, end) = line.split_once(' ').and_then(|(range, _)| range.split_once('-')).expect("a range");
        let number = |text| u64::from_str_radix(text, 16).expect("an address");
        (number(start)..number(end)).contains(&address)
    };
    maps.lines().find(covers).and_then(|line| line.split(' ').nth(1)).expect("it is mapped").to_owned()
}

#[test]
fn what_is_used_is_never_writable_where_it_is_used() {
    let _alone = alone();
    let slab = Slab::with_writable_view();
    let segment = SegmentRequest { prot: CODE, align: 16, size: 6, content_size: 6 };
    let mut reservation = slab.reserve(&Request { segments: &[segment], reach: Reach::Near }).expect("memory");
    let (used, written) = (reservation.address(0), reservation.bytes(0).as_ptr() as u64);
    assert_eq!((permissions(used), permissions(written)), ("r-xs".to_owned(), "rw-s".to_owned()));
    drop(reservation);
    let allocation = link(&slab, 42);
    assert_eq!(call(&allocation), 42);
    let found = [0, 1, 2].map(|index| permissions(allocation.address(index)));
    assert_eq!(found, ["r-xs", "r--s", "rw-p"]);
    let maps = std::fs::read_to_string("/proc/self/maps").expect("own maps");
    assert!(!maps.contains("rwx"), "{maps}");
}

#[test]
fn pages_are_clean_when_they_are_used_again_and_go_back_with_the_slab() {
    let _alone = alone();
    let slab = Slab::with_writable_view();
    let first = link(&slab, 1).address(0);
    for round in 0..1000 {
        let (one, two) = (link(&slab, round), link(&slab, -round));
        assert_eq!((call(&one), call(&two)), (round, -round));
        assert_eq!(one.address(0), first, "recycled");
    }
    assert_eq!(slab.usage().used, 0);
    // More than a stripe keeps.
    let large = SegmentRequest { prot: CODE, align: 16, size: 40 << 20, content_size: 1 };
    let request = Request { segments: &[large], reach: Reach::Near };
    let mut reservation = slab.reserve(&request).expect("memory");
    reservation.bytes(0).fill(0xc3);
    drop(reservation.finalize().expect("final"));
    let mut reservation = slab.reserve(&request).expect("memory");
    assert!(reservation.bytes(0).iter().all(|byte| *byte == 0));
}

#[test]
fn it_cannot_be_sealed() {
    let _alone = alone();
    let refused = link(&Slab::with_writable_view(), 1).seal().expect_err("it can be written");
    assert!(matches!(refused, MemoryError::Seal { .. }) && refused.to_string().contains("writable view"), "{refused}");
}

#[test]
fn what_a_fork_has_seen_is_not_written_again() {
    let _alone = alone();
    let slab = Slab::with_writable_view();
    let shared = link(&slab, 5);
    let address = shared.address(0);
    let mut pipe = [0; 2];
    // SAFETY: two descriptors are written.
    assert_eq!(unsafe { libc::pipe(pipe.as_mut_ptr()) }, 0);
    // SAFETY: the child reads, calls a function that is there, and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let mut byte = 0_u8;
        // SAFETY: one byte is read; the function was linked before the fork.
        unsafe {
            libc::read(pipe[0], (&raw mut byte).cast(), 1);
            let function: extern "C" fn() -> i32 = std::mem::transmute(address as usize);
            libc::_exit(function());
        }
    }
    drop(shared);
    let next = link(&slab, 6);
    assert_ne!(next.address(0), address, "the child may be running it");
    assert_eq!(call(&next), 6);
    let mut status = 0;
    // SAFETY: a byte is written, the child waited for.
    unsafe {
        libc::write(pipe[1], [0_u8].as_ptr().cast(), 1);
        assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
    }
    assert_eq!((libc::WIFEXITED(status), libc::WEXITSTATUS(status)), (true, 5));
}

/// Tells this program that it is the one that must not ask the system for anything.
const STRICT: &str = "ORC_RT_TEST_STRICT";

#[test]
fn a_warm_slab_asks_the_system_for_nothing() {
    let _alone = alone();
    if std::env::var_os(STRICT).is_none() {
        let mut again = Command::new(std::env::current_exe().expect("own path"));
        let name = "a_warm_slab_asks_the_system_for_nothing";
        let output = again.env(STRICT, "1").args(["--exact", name, "--test-threads=1"]).output().expect("it starts");
        assert!(output.status.success(), "{}: {output:?}", output.status);
        return;
    }
    let slab = Slab::with_writable_view();
    for number in 0..100 {
        assert_eq!(call(&link(&slab, number)), number);
    }
    let calls = [libc::SYS_mprotect, libc::SYS_mmap, libc::SYS_munmap, libc::SYS_madvise, libc::SYS_fallocate];
    let rules = calls.into_iter().map(|call| (call, Vec::new())).collect();
    let machine = std::env::consts::ARCH.try_into().expect("a machine that filters know");
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::KillProcess, machine).expect("rules");
    let filter: seccompiler::BpfProgram = filter.try_into().expect("a program");
    seccompiler::apply_filter(&filter).expect("a filter for this thread");
    for number in 0..1000 {
        assert_eq!(call(&link(&slab, number)), number);
    }
    // Anything that tidies up might ask for something.
    // SAFETY: the process ends at once, which is its own affair.
    unsafe { libc::_exit(0) };
}
