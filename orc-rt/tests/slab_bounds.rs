//! Does the slab keep the kernel's mappings and the process's memory bounded? One test: it measures the whole process.
#![cfg(not(shuttle))]

#[path = "common/hardened.rs"]
mod hardened;

use orc_rt::memory::{Prot, Reach, Request, SegmentRequest, Slab};

const CODE: Prot = Prot::READ.union(Prot::EXEC);
const DATA: Prot = Prot::READ.union(Prot::WRITE);

fn segment(prot: Prot, size: u64) -> SegmentRequest {
    SegmentRequest { prot, align: 16, size, content_size: size }
}

fn kernel_mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps").expect("own maps").lines().count()
}

fn resident_kib() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("own status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

fn no_page_is_writable_and_executable() {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("own maps");
    assert!(!maps.lines().any(|line| line.contains(" rwx")), "{maps}");
}

/// KiB of files in memory that this process has open.
fn in_files_kib() -> i64 {
    use std::os::unix::fs::MetadataExt;
    let open = std::fs::read_dir("/proc/self/fd").expect("own descriptors").flatten();
    let files = open.filter(|entry| {
        std::fs::read_link(entry.path()).is_ok_and(|to| to.as_os_str().as_encoded_bytes().starts_with(b"/memfd:"))
    });
    files.map(|entry| std::fs::metadata(entry.path()).map_or(0, |file| file.blocks() as i64 / 2)).sum()
}

#[test]
fn mappings_and_memory_stay_bounded() {
    everything_stays_bounded(&Slab::new);
    if !hardened::is_hardened() {
        everything_stays_bounded(&Slab::dual_mapped);
    }
    // Not beside the measurement above.
    hardened::everything_again_in(&[hardened::Hardening::Mdwe]);
}

fn everything_stays_bounded(make: &dyn Fn() -> Slab) {
    let slab = make();
    let before = kernel_mappings();

    // 23,000 allocations of a page each, written and kept: one by one, then holes, then filled again.
    let allocate = |size| {
        let segments = [segment(CODE, size), segment(Prot::READ, size), segment(DATA, size)];
        let mut reservation =
            slab.reserve(&Request { segments: &segments, reach: Reach::Near }).expect("a small request");
        reservation.all_bytes().for_each(|bytes| bytes[0] = 0xc3);
        reservation.finalize().expect("protections")
    };
    let mut allocations: Vec<_> = (0..23_000).map(|_| Some(allocate(100))).collect();
    assert!(kernel_mappings() <= before + 12, "{} mappings more after 23,000 allocations", kernel_mappings() - before);
    allocations.iter_mut().step_by(2).for_each(|allocation| drop(allocation.take()));
    assert!(kernel_mappings() <= before + 12, "{} mappings more after freeing half", kernel_mappings() - before);
    allocations.iter_mut().step_by(2).for_each(|allocation| *allocation = Some(allocate(100)));
    assert!(kernel_mappings() <= before + 12, "{} mappings more after filling the holes", kernel_mappings() - before);
    no_page_is_writable_and_executable();
    drop(allocations);

    // Many cycles of small and of large allocations: neither mappings nor resident memory grow.
    let cycle = || {
        for size in [100, 5_000, 300_000, 9 << 20] {
            let first = allocate(size);
            let second = allocate(size / 2);
            drop(first);
            drop(second);
        }
    };
    (0..20).for_each(|_| cycle());
    let (maps, resident, in_files) = (kernel_mappings(), resident_kib(), in_files_kib());
    (0..40).for_each(|_| cycle());
    assert!(kernel_mappings() <= maps + 2, "{maps} mappings became {}", kernel_mappings());
    assert!(resident_kib() <= resident + 1024, "{resident} KiB became {}", resident_kib());
    assert!(in_files_kib() <= in_files + 1024, "{in_files} KiB in files became {}", in_files_kib());
    assert!(in_files_kib() <= 64 << 10, "{} KiB are kept in files", in_files_kib());
    assert_eq!(slab.usage().used, 0);
    assert!(slab.usage().kept <= 3 * (16 << 20));

    // Everything goes back with the slab.
    drop(slab);
    assert!(kernel_mappings() <= before + 1);
    assert_eq!(in_files_kib(), 0);
}
