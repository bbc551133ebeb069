//! Does code in the slab run, unwind, resolve its indirect functions, and is it told apart by where it calls from?
#![cfg(not(shuttle))]
#![cfg(target_arch = "x86_64")]

mod common;

use common::{Dylib, Entries, Fake, Log, act, address};
use orc_rt::memory::{Allocation, Prot, Reach, Request, SegmentRequest};
use orc_rt::{ImageError, ImageInfo, Registration, SymbolTable, is_executed_code};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};

const CODE: Prot = Prot::READ.union(Prot::EXEC);
const DATA: Prot = Prot::READ.union(Prot::WRITE);

/// `sub rsp, 8; mov rdi, argument; mov rax, function; call rax; add rsp, 8; ret`
fn calling(function: u64, argument: u64) -> Vec<u8> {
    let mut code = vec![0x48, 0x83, 0xec, 0x08, 0x48, 0xbf];
    code.extend(argument.to_le_bytes());
    code.extend([0x48, 0xb8]);
    code.extend(function.to_le_bytes());
    code.extend([0xff, 0xd0, 0x48, 0x83, 0xc4, 0x08, 0xc3]);
    code
}

/// `mov rax, value; ret`
fn returning(value: u64) -> Vec<u8> {
    let mut code = vec![0x48, 0xb8];
    code.extend(value.to_le_bytes());
    code.push(0xc3);
    code
}

/// `.eh_frame` for one function of [`calling`] at `start`: a CIE, an FDE with absolute addresses, a zero word.
fn eh_frame(start: u64, size: u64) -> Vec<u8> {
    let mut table = Vec::new();
    let mut record = |body: &[u8]| {
        let padded = (body.len() + 4).next_multiple_of(8) - 4;
        table.extend((padded as u32).to_le_bytes());
        table.extend(body);
        table.resize(table.len() + padded - body.len(), 0); // DW_CFA_nop
    };
    // Id 0, version 1, "zR", code alignment 1, data alignment -8, return address in 16, augmentation: absolute pointers (DW_EH_PE_absptr);
    // DW_CFA_def_cfa rsp+8, DW_CFA_offset 16 at cfa-8.
    record(&[0, 0, 0, 0, 1, b'z', b'R', 0, 1, 0x78, 16, 1, 0, 0x0c, 7, 8, 0x90, 1]);
    let cie_size = 24u32;
    let mut fde = (cie_size + 4).to_le_bytes().to_vec();
    fde.extend(start.to_le_bytes());
    fde.extend(size.to_le_bytes());
    // No augmentation data; behind the first instruction (4 bytes) the CFA is rsp+16: DW_CFA_advance_loc 4, DW_CFA_def_cfa_offset 16.
    fde.extend([0, 0x44, 0x0e, 16]);
    record(&fde);
    table.extend([0; 4]);
    table
}

struct Linked {
    allocation: Allocation,
    info: ImageInfo,
}

/// Places code and data in the session's slab, as a linker would.
fn link(fake: &Fake, name: &str, code: &[u8], read_only: impl FnOnce(u64) -> Vec<u8>) -> Linked {
    let segment = |prot, size: usize| SegmentRequest { prot, align: 16, size: size as u64, content_size: size as u64 };
    let table_size = read_only(0).len();
    let segments = [segment(CODE, code.len()), segment(Prot::READ, table_size), segment(DATA, 16)];
    let mut reservation =
        fake.session.slab().reserve(&Request { segments: &segments, reach: Reach::Near }).expect("memory");
    reservation.bytes(0).copy_from_slice(code);
    Linked {
        info: ImageInfo {
            dylib: fake.id(name),
            name: name.into(),
            ranges: vec![],
            dso_handle: reservation.address(2),
            eh_frame: None,
            ifuncs: vec![],
            thread_local: None,
            slots: 0..0,
            symbols: SymbolTable::default(),
        },
        allocation: reservation.finalize().expect("protections"),
    }
}

#[test]
fn exceptions_pass_through_registered_code() {
    let fake = Fake::new();
    fake.add("a", &[], Dylib::default());
    act(7000, || panic_any("through executed code"));
    let code = calling(address::<7000>() as u64, 0);
    let segment = |prot, size: usize| SegmentRequest { prot, align: 16, size: size as u64, content_size: size as u64 };
    let size = eh_frame(0, 0).len();
    let segments = [segment(CODE, code.len()), segment(Prot::READ, size)];
    let mut reservation =
        fake.session.slab().reserve(&Request { segments: &segments, reach: Reach::Near }).expect("memory");
    let (start, table) = (reservation.address(0), reservation.address(1));
    reservation.bytes(0).copy_from_slice(&code);
    reservation.bytes(1).copy_from_slice(&eh_frame(start, code.len() as u64));
    let allocation = reservation.finalize().expect("protections");
    let info = |eh_frame| ImageInfo {
        dylib: fake.id("a"),
        name: "a".into(),
        ranges: allocation.ranges().to_vec(),
        dso_handle: 0,
        eh_frame,
        ifuncs: vec![],
        thread_local: None,
        slots: 0..0,
        symbols: SymbolTable::default(),
    };
    // SAFETY: refused, or well-formed tables in memory that stays.
    let register = |eh_frame| unsafe { fake.session.register_images(vec![info(eh_frame)]) };
    let cut = register(Some((table, 4))).expect_err("no terminator");
    assert!(matches!(cut, ImageError::Unwind { .. }) && cut.to_string().contains("zero word"), "{cut}");
    let outside = register(Some((table, 1 << 40))).expect_err("outside of the image");
    assert!(matches!(outside, ImageError::UnwindOutside { .. }), "{outside}");
    assert!(fake.session.ledger().is_empty() && !is_executed_code(start), "a refused image leaves nothing behind");

    for _ in 0..3 {
        let images = register(Some((table, size as u64))).expect("a good image");
        assert!(
            fake.session
                .ledger()
                .iter()
                .any(|entry| entry.registration == Registration::UnwindTable(table, size as u64))
        );
        // SAFETY: finalized code of this C type.
        let function: extern "C-unwind" fn() = unsafe { std::mem::transmute(start as usize) };
        let thrown = catch_unwind(AssertUnwindSafe(|| function())).expect_err("it throws");
        assert_eq!(thrown.downcast_ref::<&str>(), Some(&"through executed code"));
        assert!(fake.session.release_image(images[0]));
    }
    assert!(fake.session.ledger().is_empty());
}

#[test]
fn atexit_belongs_to_the_code_that_calls_it() {
    let (fake, log) = (Fake::new(), Log::default());
    let entries = Entries::of(&fake.session);
    fake.add("a", &[], Dylib::default()).add("b", &[], Dylib::default());
    log.on(7010, "of a");
    log.on(7011, "of b");
    let a = link(&fake, "a", &calling(entries.address("atexit"), address::<7010>() as u64), |_| vec![]);
    let b = link(&fake, "b", &calling(entries.address("atexit"), address::<7011>() as u64), |_| vec![]);
    let mut images = Vec::new();
    for linked in [&a, &b] {
        let info = ImageInfo {
            ranges: linked.allocation.ranges().to_vec(),
            name: linked.info.name.clone(),
            slots: 0..0,
            symbols: SymbolTable::default(),
            ifuncs: vec![],
            thread_local: None,
            ..linked.info
        };
        images.push(info);
    }
    // SAFETY: finalized memory that stays until the end of the test.
    let ids = unsafe { fake.session.register_images(images) }.expect("free ranges");
    let (handle_a, handle_b) = (fake.open("a").expect("a"), fake.open("b").expect("b"));
    for linked in [&a, &b] {
        // SAFETY: finalized code of this C type.
        let function: extern "C-unwind" fn() = unsafe { std::mem::transmute(linked.allocation.address(0) as usize) };
        function();
    }
    assert_eq!(fake.session.dylib_at(a.allocation.address(0)), Some(fake.id("a")));
    fake.session.dlclose(handle_a).expect("open");
    assert_eq!(log.take(), ["of a"]);
    fake.session.dlclose(handle_b).expect("open");
    assert_eq!(log.take(), ["of b"]);
    for id in ids {
        assert!(fake.session.release_image(id));
    }
    assert_eq!(fake.session.ledger(), []);
}

#[test]
fn indirect_functions_are_resolved_when_all_images_are_in_place() {
    let fake = Fake::new();
    fake.add("a", &[], Dylib::default());
    let chosen = 0x1234_5678_9abc_def0;
    let linked = link(&fake, "a", &returning(chosen), |_| vec![]);
    let (resolver, slot) = (linked.allocation.address(0), linked.allocation.address(2));
    let info = ImageInfo { ranges: linked.allocation.ranges().to_vec(), ifuncs: vec![(resolver, slot)], ..linked.info };
    // SAFETY: the resolver and the slot are what they should be, in memory that stays.
    let ids = unsafe { fake.session.register_images(vec![info]) }.expect("a free range");
    // SAFETY: the slot is 8 bytes of writable data.
    assert_eq!(unsafe { (slot as *const u64).read() }, chosen);
    assert!(fake.session.release_image(ids[0]));
}

#[test]
fn initializers_in_the_slab_open_others_by_their_return_address() {
    // Two sessions, so that only the address of the caller tells which one is meant.
    let (fake, other) = (Fake::new(), Fake::new());
    let log = Log::default();
    fake.add("a", &[], Dylib::default()).logging::<7020, 7021>(&log, "b", &[]);
    let entries = Entries::of(&fake.session);
    let name: &'static std::ffi::CStr = c"b";
    // `dlopen(name, whatever is in rsi)`: the mode's bits decide nothing here.
    let linked = link(&fake, "a", &calling(entries.address("__orc_rt_jit_dlopen"), name.as_ptr() as u64), |_| vec![]);
    let start = linked.allocation.address(0);
    let info = ImageInfo { ranges: linked.allocation.ranges().to_vec(), ..linked.info };
    // SAFETY: finalized memory that stays until the end of the test.
    let ids = unsafe { fake.session.register_images(vec![info]) }.expect("a free range");
    // On a thread that runs nothing of the session, with `rsi` set to a mode.
    let opened = std::thread::spawn(move || {
        // SAFETY: finalized code that passes its second argument on.
        let function: extern "C-unwind" fn(u64, u64) -> u64 = unsafe { std::mem::transmute(start as usize) };
        function(0, u64::from(orc_rt::service::mode::NOW))
    });
    assert_ne!(opened.join().expect("no panic"), 0);
    assert_eq!(log.take(), ["b"]);
    fake.session.release_image(ids[0]);
    drop(other);
}
