//! What still works where the system's libraries are sealed (mseal(2), Linux 6.10), so that nobody can change their protections? The tests run again in a process whose libraries are
//! sealed before it begins, as a later dynamic loader would leave them.
#![cfg(target_arch = "x86_64")]
#![cfg(not(shuttle))]

mod common;

use common::{Dylib, Fake};
use orc_rt::memory::{Prot, Reach, Request, SegmentRequest};
use orc_rt::native::Native;
use orc_rt::tls::{Storage, Wanted};
use orc_rt::{CopyError, DataRequest, ImageInfo, SymbolTable};
use std::process::Command;

/// In the environment of the process that is to be sealed.
const SEALED: &std::ffi::CStr = c"ORC_RT_TEST_SEALED";

/// Seals before `main`: libraries are relocated by then, and no test has begun.
#[used]
#[unsafe(link_section = ".init_array")]
static SEAL: extern "C" fn() = seal;

extern "C" fn seal() {
    // SAFETY: a C string; nobody changes the environment yet.
    if unsafe { libc::getenv(SEALED.as_ptr()) }.is_null() {
        return;
    }
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for line in maps.lines().filter(|line| line.contains('/') && !line.contains(" rw-p ")) {
        let (range, _) = line.split_once(' ').unwrap_or_default();
        let (start, end) = range.split_once('-').unwrap_or_default();
        let [start, end] = [start, end].map(|number| u64::from_str_radix(number, 16).unwrap_or_default());
        // SAFETY: nothing is changed, but that it can be changed.
        unsafe { libc::syscall(libc::SYS_mseal, start, end - start, 0) };
    }
}

/// Runs test `name` again in a sealed process; says whether this is it.
fn is_sealed(name: &str) -> bool {
    if std::env::var_os(SEALED.to_str().unwrap()).is_some() {
        return true;
    }
    // SAFETY: no bytes are sealed: it is asked whether the system knows the call.
    if unsafe { libc::syscall(libc::SYS_mseal, 0, 0, 0) } != 0 {
        // Before Linux 6.10 nothing is sealed.
        assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::ENOSYS));
        return false;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.env(SEALED.to_str().unwrap(), "1").args(["--exact", name]).output().unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && told.contains("1 passed"), "{}\n{told}", output.status);
    false
}

/// Whether the page around `address` can get a right, and lose it.
fn can_be_changed(address: u64) -> bool {
    let page = std::ptr::with_exposed_provenance_mut((address & !4095) as usize);
    // SAFETY: a read-only page gets a right that nobody uses.
    unsafe {
        libc::mprotect(page, 4096, libc::PROT_READ | libc::PROT_WRITE) == 0
            && libc::mprotect(page, 4096, libc::PROT_READ) == 0
    }
}

unsafe extern "C" {
    fn _Unwind_FindEnclosingFunction(address: usize) -> usize;
}

#[test]
fn registered_code_is_found_by_the_unwinders_own_means() {
    if !is_sealed("registered_code_is_found_by_the_unwinders_own_means") {
        return;
    }
    let fake = Fake::new();
    fake.add("a", &[], Dylib::default());
    let segment = |prot, size| SegmentRequest { prot, align: 16, size, content_size: size };
    let segments = [segment(Prot::READ | Prot::EXEC, 16), segment(Prot::READ, 64)];
    let request = Request { segments: &segments, reach: Reach::Near };
    let mut pages = fake.session.slab().reserve(&request).expect("pages");
    pages.bytes(0)[..4].copy_from_slice(&[0x90, 0x90, 0x90, 0xc3]);
    let start = pages.address(0);
    // A CIE ("zR", absolute pointers; CFA rsp+8, return address at cfa-8) and an FDE of 16 bytes.
    let mut table: Vec<u8> =
        vec![20, 0, 0, 0, 0, 0, 0, 0, 1, b'z', b'R', 0, 1, 0x78, 16, 1, 0, 0x0c, 7, 8, 0x90, 1, 0, 0];
    table.extend([28, 0, 0, 0, 28, 0, 0, 0]);
    table.extend(start.to_le_bytes());
    table.extend(16_u64.to_le_bytes());
    table.extend([0; 8]);
    table.extend([0; 4]);
    pages.bytes(1)[..table.len()].copy_from_slice(&table);
    let frames = (pages.address(1), table.len() as u64);
    let allocation = pages.finalize().expect("protections");
    let image = ImageInfo {
        dylib: fake.id("a"),
        name: "a".into(),
        ranges: allocation.ranges().to_vec(),
        dso_handle: 0,
        eh_frame: Some(frames),
        ifuncs: vec![],
        thread_local: None,
        slots: 0..0,
        symbols: SymbolTable::default(),
    };
    // SAFETY: the table describes the code, and both stay until the image is released.
    let images = unsafe { fake.session.register_images(vec![image]) }.expect("it is registered all the same");
    // SAFETY: any address may be asked for.
    let found = |address: u64| unsafe { _Unwind_FindEnclosingFunction(address as usize + 1) } as u64;
    assert_eq!(found(start + 2), start);
    fake.session.release_image(images[0]);
    assert_eq!(found(start + 2), 0);
}

#[test]
fn data_of_libraries_that_cannot_be_changed_stays_where_it_is() {
    if !is_sealed("data_of_libraries_that_cannot_be_changed_stays_where_it_is") {
        return;
    }
    let fake = Fake::new();
    let native = Native::default();
    let stdout = native.lookup_process(&["stdout"])[0].expect("the C library's");
    assert!(!can_be_changed(libc::getauxval as *const () as u64), "libraries are not sealed");
    let request = DataRequest { address: stdout.address, size: stdout.size };
    // SAFETY: nobody else uses it.
    let answers = unsafe { fake.session.copy_data(&[request]) };
    let refused = "cannot change what libraries refer to";
    let clean = matches!(&answers[0], Err(CopyError::System { doing, .. }) if *doing == refused);
    assert!(clean, "{answers:?}");
    let after = native.lookup_process(&["stdout"])[0].expect("still there");
    assert_eq!(after.address, stdout.address);
}

#[test]
fn thread_local_storage_is_elsewhere_where_the_programs_image_is_sealed() {
    /// The program's own storage, of which linked code has pieces otherwise.
    const PROGRAM: u64 = 1;
    let sealed = is_sealed("thread_local_storage_is_elsewhere_where_the_programs_image_is_sealed");
    let storage = Storage::reserve(Wanted { size: 16, align: 8, constant: false }).expect("room");
    assert_eq!(storage.place().module != PROGRAM, sealed, "{}", storage.place());
}
