//! Does the slab give memory that is what it says: zeroed, aligned, reachable, protected, reused?
#![cfg(not(shuttle))]

#[path = "common/hardened.rs"]
mod hardened;

use orc_rt::memory::{Allocation, MAX_ALIGN, MemoryError, Prot, Reach, Request, Reservation, SegmentRequest, Slab};

const CODE: Prot = Prot::READ.union(Prot::EXEC);
const DATA: Prot = Prot::READ.union(Prot::WRITE);

fn segment(prot: Prot, align: u64, size: u64) -> SegmentRequest {
    SegmentRequest { prot, align, size, content_size: size }
}

fn reserve(slab: &Slab, segments: &[SegmentRequest]) -> Reservation {
    slab.reserve(&Request { segments, reach: Reach::Near }).expect("memory for a small request")
}

/// `(start, end, permissions)` of every mapping that meets the range.
fn mappings(start: u64, end: u64) -> Vec<(u64, u64, String)> {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("own maps");
    let parse = |line: &str| {
        let mut words = line.split([' ', '-']);
        let mut address = || u64::from_str_radix(words.next().unwrap_or_default(), 16).expect("an address");
        (address(), address(), line.split(' ').nth(1).unwrap_or_default().to_owned())
    };
    maps.lines().map(parse).filter(|(from, to, _)| *from < end && start < *to).collect()
}

fn permissions(allocation: &Allocation, index: usize) -> String {
    let range = &allocation.ranges()[index];
    let found = mappings(range.start, range.end);
    assert!(!found.is_empty(), "{range:x?} is not mapped");
    found[0].2.clone()
}

/// `mov eax, value; ret`
fn returning(value: i32) -> [u8; 6] {
    let [a, b, c, d] = value.to_le_bytes();
    [0xb8, a, b, c, d, 0xc3]
}

fn call(address: u64) -> i32 {
    // SAFETY: the tests put `mov eax, imm32; ret` at this address and finalized it.
    let function: extern "C" fn() -> i32 = unsafe { std::mem::transmute(address as usize) };
    function()
}

#[test]
fn code_runs_and_every_segment_has_its_protection() {
    let slab = Slab::new();
    let mut reservation = reserve(
        &slab,
        &[segment(CODE, 16, 6), segment(Prot::READ, 8, 100), segment(DATA, 64, 5000), segment(Prot::READ, 32, 8)],
    );
    assert_eq!(reservation.len(), 4);
    for (index, align) in [16, 8, 64, 32].into_iter().enumerate() {
        assert_eq!(reservation.address(index) % align, 0);
        assert!(reservation.bytes(index).iter().all(|&byte| byte == 0));
    }
    reservation.bytes(0).copy_from_slice(&returning(42));
    for (index, bytes) in reservation.all_bytes().enumerate().skip(1) {
        bytes.fill(index as u8);
    }
    let before = reservation.address(0);
    let allocation = reservation.finalize().expect("protections");
    assert_eq!(allocation.address(0), before);
    assert_eq!(call(allocation.address(0)), 42);
    let seen: Vec<_> = (0..4).map(|index| permissions(&allocation, index)).collect();
    assert_eq!(seen, ["r-xp", "r--p", "rw-p", "r--p"]);
    assert_eq!(
        allocation.ranges()[1].start >> 12,
        allocation.ranges()[3].start >> 12,
        "segments of one protection share pages"
    );
}

#[test]
fn libc_and_all_segments_are_within_reach() {
    let slab = Slab::new();
    let reservation = reserve(&slab, &[segment(CODE, 1, 1), segment(Prot::READ, 1, 1), segment(DATA, 1, 1)]);
    let libc = libc::getauxval as *const () as u64;
    for index in 0..3 {
        for other in [libc, reservation.address(0), reservation.address(1), reservation.address(2)] {
            assert!(reservation.address(index).abs_diff(other) < 1 << 31);
        }
    }
}

#[test]
fn low_memory_lies_below_two_gib() {
    let slab = Slab::new();
    let segments = [segment(CODE, 16, 6), segment(DATA, 4096, 1 << 20)];
    let mut reservation = slab.reserve(&Request { segments: &segments, reach: Reach::Low }).expect("low memory");
    reservation.bytes(0).copy_from_slice(&returning(-7));
    let allocation = reservation.finalize().expect("protections");
    assert!(allocation.ranges().iter().all(|range| range.end <= 1 << 31));
    assert_eq!(call(allocation.address(0)), -7);
}

#[test]
fn freed_pages_come_back_zeroed_and_at_once() {
    let slab = Slab::new();
    let segments = [segment(CODE, 16, 9000), segment(Prot::READ, 8, 100), segment(DATA, 8, 5000)];
    let mut first = Vec::new();
    for round in 0..50 {
        let mut reservation = reserve(&slab, &segments);
        let addresses: Vec<_> = (0..3).map(|index| reservation.address(index)).collect();
        assert!(reservation.all_bytes().all(|bytes| bytes.iter().all(|&byte| byte == 0)), "old bytes in round {round}");
        reservation.all_bytes().for_each(|bytes| bytes.fill(0xcc));
        if round == 0 {
            first.clone_from(&addresses);
        }
        assert_eq!(addresses, first, "the pages were not reused");
        if round % 2 == 0 {
            drop(reservation.finalize().expect("protections"));
        }
    }
    assert_eq!(slab.usage().used, 0);
}

#[test]
fn alignments_up_to_a_gibibyte() {
    let slab = Slab::new();
    for shift in [0, 3, 12, 13, 16, 20, 21, 24, 30] {
        let align = 1u64 << shift;
        let mut reservation =
            reserve(&slab, &[segment(CODE, 16, 6), segment(DATA, align, 24), segment(Prot::READ, align, 0)]);
        assert_eq!(reservation.address(1) % align, 0, "alignment {align:#x}");
        assert_eq!(reservation.address(2) % align, 0, "alignment {align:#x}, no bytes");
        assert!(reservation.address(0).abs_diff(reservation.address(1)) < 1 << 31);
        reservation.bytes(0).copy_from_slice(&returning(shift));
        reservation.bytes(1).fill(1);
        let allocation = reservation.finalize().expect("protections");
        assert_eq!(call(allocation.address(0)), shift);
    }
}

#[test]
fn segments_without_bytes_and_requests_without_segments() {
    let slab = Slab::new();
    let mut reservation = reserve(&slab, &[segment(CODE, 16, 0), segment(DATA, 4096, 0)]);
    assert!(reservation.bytes(0).is_empty() && reservation.bytes(1).is_empty());
    assert_eq!(reservation.address(1) % 4096, 0);
    let allocation = reservation.finalize().expect("nothing to protect");
    assert_eq!(allocation.ranges().len(), 2);
    assert!(reserve(&slab, &[]).finalize().expect("nothing").ranges().is_empty());
}

#[test]
fn large_zero_fill_costs_no_pages() {
    let slab = Slab::new();
    let bss = SegmentRequest { prot: DATA, align: 32, size: 1 << 30, content_size: 64 };
    let mut reservation = reserve(&slab, &[segment(CODE, 16, 6), bss]);
    let before = resident_kib();
    let view = reservation.bytes(1);
    view[0] = 1;
    view[(1 << 30) - 1] = 1;
    assert!(resident_kib() - before < 64 << 10, "a gibibyte of zero fill was touched");
    assert!(reservation.address(0).abs_diff(reservation.address(1) + (1 << 30)) < 1 << 31);
    drop(reservation.finalize().expect("protections"));
}

fn resident_kib() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("own status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

#[test]
fn requests_that_cannot_be_served_say_why() {
    let slab = Slab::new();
    let check = |segments: &[SegmentRequest], expected: &str| {
        let error = slab.reserve(&Request { segments, reach: Reach::Near }).map(|_| ()).expect_err(expected);
        assert!(error.to_string().contains(expected), "{error} does not say {expected:?}");
    };
    check(&[segment(CODE, 1, 1), segment(CODE | Prot::WRITE, 1, 1)], "segment 1 asks to be writable and executable");
    check(&[segment(DATA, 3, 1)], "alignment 0x3");
    check(&[segment(DATA, 0, 1)], "alignment 0x0");
    check(&[segment(DATA, MAX_ALIGN * 2, 1)], "alignment 0x80000000");
    check(&[SegmentRequest { prot: DATA, align: 1, size: 4, content_size: 5 }], "0x5 bytes of content");
    check(&[segment(DATA, 1, u64::MAX)], "cannot all reach each other");
    check(&[segment(DATA, 1, 3 << 30)], "cannot all reach each other");
    check(&[segment(DATA, 1, 1 << 30), segment(CODE, 1, 1 << 30)], "cannot all reach each other");
    let low = SegmentRequest { prot: DATA, align: 1 << 30, size: 3 << 29, content_size: 0 };
    let error =
        slab.reserve(&Request { segments: &[low], reach: Reach::Low }).expect_err("1.5 GiB at 1 GiB below 2 GiB");
    assert!(matches!(error, MemoryError::AddressSpace { size: 0x6000_0000, reach: Reach::Low, .. }), "{error}");
}

#[test]
fn a_batch_is_finalized_together() {
    let slab = Slab::new();
    let mut reservations: Vec<_> =
        (0..300).map(|_| reserve(&slab, &[segment(CODE, 16, 6), segment(Prot::READ, 1, 1)])).collect();
    for (value, reservation) in reservations.iter_mut().enumerate() {
        reservation.bytes(0).copy_from_slice(&returning(value as i32));
    }
    let allocations = slab.finalize_all(reservations).expect("protections");
    for (value, allocation) in allocations.iter().enumerate() {
        assert_eq!(call(allocation.address(0)), value as i32);
        assert_eq!(permissions(allocation, 1), "r--p");
    }
}

#[test]
fn memory_outlives_the_slab_that_gave_it() {
    let slab = Slab::new();
    let mut reservation = reserve(&slab, &[segment(CODE, 16, 6)]);
    reservation.bytes(0).copy_from_slice(&returning(3));
    let allocation = reservation.finalize().expect("protections");
    let address = allocation.address(0);
    drop(slab);
    assert_eq!(call(address), 3);
    drop(allocation);
}

#[test]
fn threads_share_a_slab() {
    let slab = Slab::new();
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let slab = slab.clone();
            scope.spawn(move || {
                let mut kept = Vec::new();
                for round in 0..300u64 {
                    let size = (thread * 7919 + round * 104_729) % 40_000 + 6;
                    let value = (thread * 1000 + round) as i32;
                    let mut reservation = reserve(&slab, &[segment(CODE, 16, size), segment(DATA, 8, size)]);
                    reservation.bytes(0)[..6].copy_from_slice(&returning(value));
                    assert!(reservation.bytes(1).iter().all(|&byte| byte == 0));
                    reservation.bytes(1).fill(thread as u8 + 1);
                    kept.push((value, reservation.finalize().expect("protections")));
                    if round % 3 == 0 {
                        let (value, allocation) = kept.swap_remove(round as usize / 2 % kept.len());
                        assert_eq!(call(allocation.address(0)), value);
                    }
                }
                for (value, allocation) in &kept {
                    assert_eq!(call(allocation.address(0)), *value);
                }
            });
        }
    });
    assert_eq!(slab.usage().used, 0);
}

#[test]
fn all_of_this_holds_where_nothing_writable_may_become_executable() {
    hardened::everything_again();
}

#[test]
fn a_dual_mapped_slab_runs_code_from_pages_that_were_never_writable() {
    let slab = Slab::dual_mapped();
    let mut reservation = reserve(&slab, &[segment(CODE, 16, 6), segment(Prot::READ, 8, 8), segment(DATA, 8, 8)]);
    reservation.bytes(0).copy_from_slice(&returning(12));
    let [code, data] = [0, 2].map(|index| reservation.address(index));
    let line = |address: u64| {
        let maps = std::fs::read_to_string("/proc/self/maps").expect("own maps");
        let holds = |line: &&str| {
            let (start, rest) = line.split_once('-').expect("a range");
            let end = rest.split(' ').next().expect("a range");
            let [start, end] = [start, end].map(|number| u64::from_str_radix(number, 16).expect("an address"));
            (start..end).contains(&address)
        };
        maps.lines().find(holds).expect("mapped").to_owned()
    };
    let written = line(code);
    assert!(written.contains(" rw-p ") && !written.contains("memfd"), "{written}");
    let allocation = reservation.finalize().expect("protections");
    let run = line(code);
    assert!(run.contains(" r-xp ") && run.contains("memfd:orc-code"), "{run}");
    assert!(line(data).contains(" rw-p "), "{}", line(data));
    assert_eq!(call(allocation.address(0)), 12);
    // No other view of the file: what is executable here is writable nowhere.
    let maps = std::fs::read_to_string("/proc/self/maps").expect("own maps");
    let inode = run.split_whitespace().nth(4).expect("an inode");
    let views = maps.lines().filter(|line| line.split_whitespace().nth(4) == Some(inode));
    assert!(views.clone().count() >= 1 && views.clone().all(|line| line.contains(" r-xp ")), "{maps}");
}

/// Puts `return value` into fresh code pages.
fn linked(slab: &Slab, value: i32) -> Allocation {
    let mut reservation = reserve(slab, &[segment(CODE, 16, 6)]);
    reservation.bytes(0).copy_from_slice(&returning(value));
    reservation.finalize().expect("protections")
}

#[test]
fn parent_and_forked_child_keep_their_code_while_the_other_links() {
    for slab in [Slab::new(), Slab::dual_mapped()] {
        let kept = linked(&slab, 1);
        let given_back = linked(&slab, 2);
        let address = given_back.address(0);
        let (mut read, mut write) = std::io::pipe().expect("a pipe");
        // SAFETY: the child uses this test's slab, which no other thread has, and ends at once.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let link_in_child = || {
                use std::io::Read;
                // The parent has put other code at this address meanwhile.
                let told = read.read_exact(&mut [0]).is_ok();
                let before = call(address) == 2 && call(kept.address(0)) == 1;
                drop(given_back);
                let new = linked(&slab, 4);
                told && before && new.address(0) == address && call(address) == 4 && call(kept.address(0)) == 1
            };
            let fine = std::panic::catch_unwind(std::panic::AssertUnwindSafe(link_in_child)).unwrap_or(false);
            // SAFETY: ends the child, without the parent's handlers.
            unsafe { libc::_exit(i32::from(!fine)) };
        }
        drop(given_back);
        let new = linked(&slab, 3);
        assert_eq!((new.address(0), call(address)), (address, 3));
        std::io::Write::write_all(&mut write, &[0]).expect("the child reads");
        let mut status = 0;
        // SAFETY: the child of this test; the status is ours.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0, "the child saw other code");
        assert_eq!((call(address), call(kept.address(0))), (3, 1), "the child's code came into the parent");
    }
}

#[test]
fn what_keeps_code_from_being_mapped_is_told() {
    // SAFETY: the child uses a slab of its own, and ends at once.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let told = std::panic::catch_unwind(|| {
            let small = libc::rlimit { rlim_cur: 4096, rlim_max: 4096 };
            // SAFETY: a limit of this child.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const small) }, 0);
            let mut reservation = reserve(&Slab::dual_mapped(), &[segment(CODE, 16, 6)]);
            reservation.bytes(0).copy_from_slice(&returning(1));
            let error = reservation.finalize().expect_err("no file so large").to_string();
            error.contains("may not make executable what was writable, and making a file")
                && error.contains("ulimit -f")
        });
        // SAFETY: ends the child, without the parent's handlers.
        unsafe { libc::_exit(i32::from(!told.unwrap_or(false))) };
    }
    let mut status = 0;
    // SAFETY: the child of this test; the status is ours.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
}

#[test]
fn sealed_code_stays_as_it_is() {
    let slab = Slab::new();
    let neighbour = linked(&slab, 1);
    let mut reservation = reserve(&slab, &[segment(CODE, 16, 6), segment(Prot::READ, 8, 8), segment(DATA, 8, 8)]);
    reservation.bytes(0).copy_from_slice(&returning(2));
    let mut allocation = reservation.finalize().expect("protections");
    let [code, constants, data] = [0, 1, 2].map(|index| allocation.address(index));
    match allocation.seal() {
        // Linux before 6.10 says so.
        Err(MemoryError::Seal { source, .. }) if source.raw_os_error() == Some(libc::ENOSYS) => return,
        other => other.expect("this system seals"),
    }
    let change = |address: u64, prot: i32| {
        let page = std::ptr::with_exposed_provenance_mut((address & !4095) as usize);
        // SAFETY: pages of this test, which only get more rights, or those that they have.
        let done = unsafe { libc::mprotect(page, 4096, prot) };
        if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error().raw_os_error()) }
    };
    let refused = Err(Some(libc::EPERM));
    assert_eq!(change(code, libc::PROT_READ | libc::PROT_WRITE), refused);
    assert_eq!(change(constants, libc::PROT_READ | libc::PROT_WRITE), refused);
    assert_eq!(change(data, libc::PROT_READ | libc::PROT_WRITE), Ok(()));
    drop(allocation);
    // Its pages are not given to anybody else; those of others are.
    let again = neighbour.address(0);
    drop(neighbour);
    let [first, second] = [linked(&slab, 3), linked(&slab, 4)];
    assert_eq!(first.address(0), again);
    assert!(second.address(0) & !4095 != code & !4095);
    drop((first, second, slab));
    assert_eq!(call(code), 2);
}
