//! Data of shared libraries that moves below 2 GiB. One test: what moves stays moved for the whole process.
#![cfg(not(shuttle))]

mod common;

use common::Fake;
use orc_rt::native::{Native, NativeKind, NativeSymbol};
use orc_rt::{CopyError, DataRequest};
use std::ffi::{CStr, CString, c_char, c_int};

unsafe extern "C" {
    static mut environ: *const *const c_char;
    static mut optarg: *const c_char;
    static mut optind: c_int;
    static stdout: *mut libc::FILE;
}

static mut OF_THE_PROGRAM: u64 = 7;

fn found(native: &Native, name: &str) -> NativeSymbol {
    native.lookup_process(&[name])[0].unwrap_or_else(|| panic!("{name} is not there"))
}

fn request(symbol: NativeSymbol) -> DataRequest {
    DataRequest { address: symbol.address, size: symbol.size }
}

/// What the process's list of mappings says of `address`.
fn protection(address: u64) -> String {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux");
    let line = maps.lines().find(|line| {
        let (range, _) = line.split_once(' ').expect("a range");
        let (start, end) = range.split_once('-').expect("two ends");
        let [start, end] = [start, end].map(|text| u64::from_str_radix(text, 16).expect("hexadecimal"));
        (start..end).contains(&address)
    });
    line.and_then(|line| line.split(' ').nth(1)).unwrap_or("").to_owned()
}

fn writable_and_executable() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux");
    maps.lines().filter(|line| line.contains(" rwx")).count()
}

#[test]
fn data_moves_and_everybody_follows() {
    let session = Fake::new().session;
    let native = Native::default();
    let names = ["environ", "__environ", "optarg", "optind", "stdout"];
    let before = names.map(|name| found(&native, name));
    let read_only_before = protection(before[4].address & !0xfff);
    let requests: Vec<DataRequest> = before.iter().copied().map(request).collect();
    let bad = [
        DataRequest { address: before[0].address + 8, size: 0 },
        DataRequest { address: &raw const session as u64, size: 8 },
        DataRequest { address: &raw const OF_THE_PROGRAM as u64, size: 8 },
    ];
    // SAFETY: this is the only thread that uses any of it.
    let answers = unsafe { session.copy_data(&[&requests[..], &bad].concat()) };
    assert_eq!(answers[5], Err(CopyError::UnknownSize));
    assert_eq!(answers[6], Err(CopyError::NotInALibrary));
    assert_eq!(answers[7], Err(CopyError::Bound { library: "the program".into() }));
    let new: Vec<u64> = answers[..5].iter().map(|answer| *answer.as_ref().expect("it can move")).collect();
    assert!(new.iter().all(|address| *address < 1 << 31), "{new:x?}");
    assert_eq!(new[0], new[1], "two names of one object");

    // Lookups of ours and of the system, and references of this program, which the loader resolved before.
    for (name, new) in names.iter().zip(&new) {
        let after = found(&native, name);
        assert_eq!((after.address, after.kind), (*new, NativeKind::Data), "{name}");
        let name = CString::new(*name).expect("no zero");
        // SAFETY: a C string.
        assert_eq!(unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) } as u64, *new);
    }
    assert_eq!(found(&native, "environ").size, 8);
    assert_eq!(
        [&raw const environ as u64, &raw const optarg as u64, &raw const stdout as u64],
        [new[0], new[2], new[4]]
    );

    // The library writes to the copy, and reads it.
    // SAFETY: no other thread uses these; the strings are constants.
    unsafe {
        let words = [c"program", c"-x", c"value"].map(CStr::as_ptr);
        optind = 1;
        assert_eq!(libc::getopt(3, words.as_ptr().cast_mut().cast(), c"x:".as_ptr()), c_int::from(b'x'));
        assert_eq!((CStr::from_ptr(optarg), optind), (c"value", 3));
        libc::setenv(c"ORC_RT_COPIES".as_ptr(), c"new".as_ptr(), 1);
        let mut at = environ;
        let mut seen = false;
        while !(*at).is_null() {
            seen |= CStr::from_ptr(*at) == c"ORC_RT_COPIES=new";
            at = at.add(1);
        }
        assert!(seen);
        let mine = [c"ORC_RT_COPIES=mine".as_ptr(), std::ptr::null()];
        let whole = environ;
        environ = mine.as_ptr();
        assert_eq!(CStr::from_ptr(libc::getenv(c"ORC_RT_COPIES".as_ptr())), c"mine");
        environ = whole;
    }

    // A library that is loaded later, and objects that have been initialized.
    native.open("libstdc++.so.6").expect("the C++ library");
    let initialize = found(&native, "_ZNSt8ios_base4InitC1Ev");
    let mut counter = [0u8; 1];
    // SAFETY: `std::ios_base::Init::Init()`, whose object is empty.
    unsafe {
        let constructor: extern "C" fn(*mut u8) = std::mem::transmute(initialize.address as usize);
        constructor(counter.as_mut_ptr());
    }
    let cpp =
        ["_ZSt4cout", "_ZSt3cin", "_ZTIi", "_ZTVN10__cxxabiv117__class_type_infoE"].map(|name| found(&native, name));
    // SAFETY: the reference to &cout that cin was initialized with.
    let tied = |cin: u64, cout: u64| unsafe { words_of(cin, 280).iter().filter(|word| **word == cout).count() };
    assert_eq!(tied(cpp[1].address, cpp[0].address), 1, "cin is tied to cout");
    let requests: Vec<DataRequest> = cpp.iter().copied().map(request).collect();
    // SAFETY: as before.
    let (first, second) = unsafe { (session.copy_data(&requests[..1]), session.copy_data(&requests)) };
    assert_eq!(first[0], second[0], "once is enough");
    let new: Vec<u64> = second.into_iter().map(|answer| answer.expect("it can move")).collect();
    assert_eq!(tied(new[1], new[0]), 1, "the copies are tied to each other");
    assert_eq!(tied(new[1], cpp[0].address), 0);
    assert!(protection(new[0]).starts_with("rw-"));
    assert!(protection(new[2]).starts_with("r--") && protection(new[3]).starts_with("r--"));
    // SAFETY: copies of at least that size.
    let [of_copy, of_old] = [new[3], cpp[3].address].map(|at| unsafe { words_of(at, 32) });
    assert_eq!(of_copy, of_old, "the same table, its type information included");

    assert_eq!(protection(before[4].address & !0xfff), read_only_before);
    assert_eq!(writable_and_executable(), 0);

    // Both sides of a fork have their own.
    // SAFETY: the child calls nothing but setenv and _exit.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            optind = 77;
            libc::_exit(if optind == 77 { 0 } else { 1 });
        }
        let mut status = -1;
        assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
        assert_eq!((status, optind), (0, 3));
    }
}

/// # Safety
/// `size` bytes at `address` are readable.
unsafe fn words_of(address: u64, size: usize) -> Vec<u64> {
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance::<u64>(address as usize), size / 8) }.to_vec()
}
