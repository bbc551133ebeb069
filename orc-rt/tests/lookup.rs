//! What do lookups, errors and the C entry points say? (rules 17, 23, 27-29)
#![cfg(not(shuttle))]

mod common;

use common::{Dylib, Entries, Fake, Log, image};
use dispatch::Tag;
use orc_rt::dlfcn::{dladdr, dlerror};
use orc_rt::service::{mode, tag};
use orc_rt::{Config, DlError, ImageInfo, Scope, Session, SymbolTable};
use std::ffi::{CStr, c_char};
use std::sync::Arc;

fn symbols(list: &[(&str, u64)]) -> Dylib {
    Dylib { symbols: list.iter().map(|&(name, address)| (name.to_owned(), address)).collect(), ..Dylib::default() }
}

fn world() -> Fake {
    let fake = Fake::new();
    fake.add("main", &["a", "b"], symbols(&[("main", 0x10), ("weak_null", 0)]));
    fake.add("a", &["c"], symbols(&[("common", 0xa), ("only_a", 0xaa)]));
    fake.add("b", &[], symbols(&[("common", 0xb)]));
    fake.add("c", &[], symbols(&[("common", 0xc), ("only_c", 0xcc)]));
    fake.change("main", |dylib| dylib.is_program = true);
    fake
}

#[test]
fn dlsym_searches_breadth_first() {
    let fake = world();
    let handle = fake.open("main").expect("four dylibs");
    let find = |name| fake.session.dlsym(Scope::Handle(handle), name);
    assert_eq!((find("common"), find("only_c"), find("weak_null")), (Ok(0xa), Ok(0xcc), Ok(0)));
    assert_eq!(fake.session.dlsym(Scope::Default(None), "main"), Ok(0x10));
    assert_eq!(fake.session.dlsym(Scope::Next(Some(fake.id("a"))), "common"), Ok(0xc));
    let error = fake.session.dlsym(Scope::Next(Some(fake.id("a"))), "only_a").expect_err("a itself is passed over");
    assert!(error.to_string().contains("only_a") && error.to_string().contains("asked for by JITDylib a"), "{error}");
    let error = find("nothing").expect_err("not there");
    assert!(error.to_string().contains("nothing") && error.to_string().contains("JITDylib main"), "{error}");
    fake.break_linking(Some("archive member x.o is truncated"));
    assert!(find("main").expect_err("broken").to_string().contains("x.o is truncated"));
}

#[test]
fn dlerror_is_per_thread_and_says_it_once() {
    let fake = world();
    assert_eq!(dlerror(), None);
    fake.open("nowhere").expect_err("not there");
    let handle = fake.open("main").expect("success leaves the error alone");
    let elsewhere = fake.clone();
    std::thread::spawn(move || {
        assert_eq!(dlerror(), None, "another thread's error");
        elsewhere.session.dlsym(Scope::Handle(handle), "absent").expect_err("not there");
        assert!(dlerror().is_some_and(|text| text.contains("absent")));
    })
    .join()
    .expect("no panic");
    assert!(dlerror().is_some_and(|text| text.contains("nowhere")));
    assert_eq!(dlerror(), None);
}

#[test]
fn the_c_functions_do_what_the_rust_ones_do() {
    // Two sessions, so that a call that no code makes belongs to none of them.
    let (fake, other) = (world(), world());
    fake.open("main").expect("open");
    let entries = Entries::of(&fake.session);
    // A call from within: from `main`'s initializer.
    let log = Log::default();
    fake.change("c", |dylib| dylib.initializers.push(common::array(&[common::address::<5000>()])));
    common::act(5000, {
        let (entries, log) = (Entries::of(&fake.session), log.clone());
        move || {
            let handle = entries.dlopen("__orc_rt_jit_dlopen", c"a".as_ptr(), 0);
            assert!(!handle.is_null());
            assert_eq!(entries.dlsym("__orc_rt_jit_dlsym", handle, c"only_a".as_ptr()) as usize, 0xaa);
            assert_eq!(
                entries.dlsym("dlsym", libc::RTLD_NEXT, c"strlen".as_ptr()) as usize,
                libc::strlen as *const () as usize
            );
            assert!(entries.dlsym("__orc_rt_jit_dlsym", handle, c"strlen".as_ptr()).is_null());
            log.push(entries.dlerror("__orc_rt_jit_dlerror").unwrap_or_default());
            assert_eq!(entries.handle_call("__orc_rt_jit_dlclose", handle), 0);
            let program = entries.dlopen("dlopen", std::ptr::null(), libc::RTLD_NOW);
            assert_eq!(entries.dlsym("dlsym", program, c"main".as_ptr()) as usize, 0x10);
            assert_eq!(
                entries.dlsym("dlsym", program, c"strlen".as_ptr()) as usize,
                libc::strlen as *const () as usize
            );
            assert_eq!(entries.handle_call("dlclose", program), 0);
            assert!(!entries.dlopen("dlopen", c"b".as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD).is_null());
            log.push(format!("{:?}", entries.dlerror("dlerror")));
        }
    });
    let main = fake.open("main").expect("with new code");
    let lines = log.take();
    assert!(lines[0].contains("strlen") && lines[0].contains("asked for by JITDylib c"), "{lines:?}");
    assert_eq!(lines[1], "None");

    // From no code at all: handles still say whose they are.
    let raw = main.as_raw() as *mut std::ffi::c_void;
    assert_eq!(entries.dlsym("__orc_rt_jit_dlsym", raw, c"only_c".as_ptr()) as usize, 0xcc);
    assert_eq!(entries.handle_call("__orc_rt_jit_dlupdate", raw), 0);
    assert!(entries.dlopen("__orc_rt_jit_dlopen", c"main".as_ptr(), 0).is_null());
    assert!(entries.dlerror("dlerror").is_some());
    for bogus in [0usize, 1, 0xdead_0000, usize::MAX] {
        assert_eq!(entries.handle_call("__orc_rt_jit_dlclose", bogus as *mut _), -1);
        assert!(entries.dlerror("__orc_rt_jit_dlerror").is_some_and(|text| text.contains("handle")));
    }
    assert_eq!(entries.handle_call("dlclose", (main.as_raw() + 999) as *mut _), -1);
    drop(other);
}

#[test]
fn the_system_answers_what_no_jitdylib_does() {
    let fake = world();
    let entries = Entries::of(&fake.session);
    let libm = entries.dlopen("dlopen", c"libm.so.6".as_ptr(), libc::RTLD_NOW);
    assert!(!libm.is_null(), "{:?}", entries.dlerror("dlerror"));
    assert!(!entries.dlsym("dlsym", libm, c"cos".as_ptr()).is_null());
    assert!(entries.dlsym("dlsym", libm, c"no_such_symbol".as_ptr()).is_null());
    assert!(entries.dlerror("dlerror").is_some_and(|text| text.contains("no_such_symbol")));
    assert_eq!(entries.handle_call("dlclose", libm), 0);
    assert!(entries.dlopen("dlopen", c"libnowhere.so".as_ptr(), libc::RTLD_NOW).is_null());
    assert!(entries.dlerror("dlerror").is_some_and(|text| text.contains("libnowhere.so")));
    assert_eq!(entries.dlerror("dlerror"), None);
    let info = entries.dladdr("dladdr", libc::getauxval as *const () as u64).expect("in libc");
    // SAFETY: dladdr(3) gives a C string.
    let file = unsafe { CStr::from_ptr(info.dli_fname) }.to_str().expect("text");
    assert!(file.contains("libc"), "{file}");
    assert!(entries.dladdr("__orc_rt_jit_dladdr", libc::getauxval as *const () as u64).is_none());
}

#[test]
fn dladdr_names_dylib_symbol_and_offset() {
    let fake = world();
    let base = 0x5a5a_0000_0000u64;
    let mut table = SymbolTable::default();
    table.push(base + 0x20, 0x10, "function");
    let info = ImageInfo { symbols: table, ..image(&fake, "a", base..base + 0x1000) };
    // SAFETY: nothing at these addresses is ever touched.
    unsafe { fake.session.register_images(vec![info]) }.expect("free addresses");
    let found = dladdr(base + 0x24).expect("in the image");
    assert_eq!(
        (found.name.as_str(), found.base, found.symbol),
        ("a", base, Some(("function".to_owned(), base + 0x20)))
    );
    assert_eq!(dladdr(base + 0x30).expect("in the image").symbol, None);
    assert_eq!(dladdr(base + 0x1000), None);
    let info = Entries::of(&fake.session).dladdr("dladdr", base + 0x2f).expect("in the image");
    // SAFETY: both are C strings of the image.
    let (file, symbol) = unsafe { (CStr::from_ptr(info.dli_fname), CStr::from_ptr(info.dli_sname)) };
    assert_eq!((file, symbol, info.dli_saddr as u64), (c"a", c"function", base + 0x20));
}

#[test]
fn the_controller_describes_images_without_symbols() {
    let registry = dispatch::Registry::new();
    registry
        .serve(tag::DESCRIBE, |address: u64| Some((format!("near_{address:x}"), address & !0xf)))
        .expect("a free tag");
    // SAFETY: this controller plans nothing.
    let session = unsafe { Session::new(Config::new(Arc::new(registry))) };
    let base = 0x5b5b_0000_0000u64;
    let info = ImageInfo {
        dylib: orc_rt::DylibId::new(1).expect("not zero"),
        name: "x".into(),
        ranges: std::iter::once(base..base + 0x1000).collect(),
        dso_handle: 0,
        eh_frame: None,
        ifuncs: vec![],
        thread_local: None,
        slots: 0..0,
        symbols: SymbolTable::default(),
    };
    // SAFETY: nothing at these addresses is ever touched.
    unsafe { session.register_images(vec![info]) }.expect("free addresses");
    let found = dladdr(base + 0x123).expect("in the image");
    assert_eq!(found.symbol, Some(("near_5b5b00000123".to_owned(), base + 0x120)));
}

#[test]
fn dispatch_from_c_has_llvms_layout() {
    #[repr(C)]
    struct WrapperResult {
        data: [u8; 8],
        size: usize,
    }
    type Dispatch = extern "C-unwind" fn(u64, u64, *const u8, usize) -> WrapperResult;
    let fake = Fake::new();
    let address = Entries::of(&fake.session).address("__orc_rt_jit_dispatch");
    // SAFETY: this is its C type.
    let dispatch: Dispatch = unsafe { std::mem::transmute(address as usize) };
    let context = fake.session.dispatch_context();
    let pointer = |result: &WrapperResult| usize::from_ne_bytes(result.data) as *mut c_char;

    let small = dispatch(context, 77, b"12345678".as_ptr(), 8);
    assert_eq!((small.size, &small.data), (8, b"12345678"));
    let large = dispatch(context, 77, b"123456789".as_ptr(), 9);
    // SAFETY: results above 8 bytes are in memory of malloc(3).
    assert_eq!(unsafe { std::slice::from_raw_parts(pointer(&large).cast::<u8>(), large.size) }, b"123456789");
    let empty = dispatch(context, 77, std::ptr::null(), 0);
    assert_eq!((empty.size, pointer(&empty).is_null()), (0, true));
    let errors = [
        dispatch(context, 78, std::ptr::null(), 0),
        dispatch(context, 79, std::ptr::null(), 0),
        dispatch(u64::MAX, 77, std::ptr::null(), 0),
    ];
    for (error, expected) in errors.iter().zip(["refused", "no handler", "no session"]) {
        assert_eq!(error.size, 0);
        // SAFETY: an error is a C string of malloc(3).
        let text = unsafe { CStr::from_ptr(pointer(error)) }.to_str().expect("text");
        assert!(text.contains(expected), "{text}");
    }
    for result in [&large, &errors[0], &errors[1], &errors[2]] {
        // SAFETY: the receiver frees.
        unsafe { libc::free(pointer(result).cast()) };
    }
    assert_eq!(fake.session.dispatch(Tag(77), b"x").expect("an echo").bytes(), Ok(&b"x"[..]));
}

#[test]
fn a_program_is_found_by_its_null_name() {
    let fake = world();
    let handle = fake.session.dlopen("", mode::NOW).expect("the program");
    assert_eq!(fake.session.dylib_of(handle), Ok(fake.id("main")));
    let without = Fake::new();
    assert!(matches!(without.session.dlopen("", 0), Err(DlError::NoSuchDylib { .. })));
}

#[test]
fn every_entry_point_has_an_address_of_its_own() {
    let fake = Fake::new();
    let mut entries = fake.session.entry_points();
    let names = [
        "__orc_rt_jit_dlopen",
        "__orc_rt_jit_dlclose",
        "__orc_rt_jit_dlsym",
        "__orc_rt_jit_dlerror",
        "__orc_rt_jit_dlupdate",
        "__orc_rt_jit_dladdr",
        "__orc_rt_jit_dispatch",
        "__orc_rt_run_program",
    ];
    for name in names.into_iter().chain([
        "dlopen",
        "dlclose",
        "dlsym",
        "dlerror",
        "dladdr",
        "__cxa_atexit",
        "__cxa_finalize",
        "atexit",
        "on_exit",
        "exit",
    ]) {
        assert!(entries.iter().any(|&(known, address)| known == name && address != 0), "{name}");
    }
    let count = entries.len();
    entries.sort_unstable();
    entries.dedup_by_key(|(name, _)| *name);
    assert_eq!(entries.len(), count);
}
