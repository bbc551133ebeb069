//! Does the process's unwinder find its way through registered code: much of it, while more comes and goes, whatever unwinds?
#![cfg(target_arch = "x86_64")]

mod common;

use common::{Dylib, Fake};
use orc_rt::memory::{Allocation, Prot, Reach, Request, SegmentRequest};
use orc_rt::{ImageError, ImageId, ImageInfo, SymbolTable, UnwindError};
use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

const CODE: Prot = Prot::READ.union(Prot::EXEC);
/// Bytes from one function to the next.
const STRIDE: u64 = 48;

unsafe extern "C" {
    fn _Unwind_Backtrace(frame: extern "C" fn(*mut c_void, *mut c_void) -> c_int, argument: *mut c_void) -> c_int;
    fn _Unwind_GetIP(context: *mut c_void) -> usize;
    fn _Unwind_FindEnclosingFunction(address: usize) -> usize;
    fn __register_frame(table: *const c_void);
    fn __deregister_frame(table: *const c_void);
}

/// Where the unwinder thinks that the function around `address` begins; 0 when it knows none.
fn enclosing(address: u64) -> u64 {
    // SAFETY: any return address may be asked for.
    unsafe { _Unwind_FindEnclosingFunction(address as usize + 1) as u64 }
}

/// `sub rsp, 8; mov rax, function; call rax; add rsp, 8; ret`: the arguments are passed on.
fn calling(function: u64) -> Vec<u8> {
    let mut code = vec![0x48, 0x83, 0xec, 0x08, 0x48, 0xb8];
    code.extend(function.to_le_bytes());
    code.extend([0xff, 0xd0, 0x48, 0x83, 0xc4, 0x08, 0xc3]);
    code
}
const SIZE: u64 = 21;

/// `.eh_frame` for functions of [`calling`] at these addresses.
fn eh_frame(functions: impl Iterator<Item = (u64, u64)>) -> Vec<u8> {
    let mut table: Vec<u8> = Vec::new();
    let mut record = |body: &dyn Fn(usize) -> Vec<u8>| {
        let body = body(table.len());
        let padded = (body.len() + 4).next_multiple_of(8) - 4;
        table.extend((padded as u32).to_le_bytes());
        table.extend(&body);
        table.resize(table.len() + padded - body.len(), 0); // DW_CFA_nop
    };
    // Id 0, version 1, "zR", code alignment 1, data alignment -8, return address in 16, augmentation: absolute pointers (DW_EH_PE_absptr);
    // DW_CFA_def_cfa rsp+8, DW_CFA_offset 16 at cfa-8.
    record(&|_| vec![0, 0, 0, 0, 1, b'z', b'R', 0, 1, 0x78, 16, 1, 0, 0x0c, 7, 8, 0x90, 1]);
    for (start, size) in functions {
        record(&|at| {
            let mut fde = (at as u32 + 4).to_le_bytes().to_vec();
            fde.extend(start.to_le_bytes());
            fde.extend(size.to_le_bytes());
            // No augmentation data; behind the first instruction (4 bytes) the CFA is rsp+16: DW_CFA_advance_loc 4, DW_CFA_def_cfa_offset 16.
            fde.extend([0, 0x44, 0x0e, 16]);
            fde
        });
    }
    table.extend([0; 4]);
    table
}

/// Functions in a row.
struct Placed {
    allocation: Allocation,
    count: u64,
    table: (u64, u64),
}

impl Placed {
    fn start(&self, number: u64) -> u64 {
        self.allocation.address(0) + STRIDE * number
    }

    fn info(&self, fake: &Fake) -> ImageInfo {
        ImageInfo {
            dylib: fake.id("a"),
            name: "a".into(),
            ranges: self.allocation.ranges().to_vec(),
            dso_handle: 0,
            eh_frame: Some(self.table),
            ifuncs: vec![],
            thread_local: None,
            slots: 0..0,
            symbols: SymbolTable::default(),
        }
    }

    fn register(&self, fake: &Fake) -> ImageId {
        // SAFETY: a well-formed table in memory that the tests keep until they have released the image.
        unsafe { fake.session.register_images(vec![self.info(fake)]) }.expect("a good image")[0]
    }

    /// Calls a function.
    fn call(&self, number: u64, argument: u64) {
        assert!(number < self.count);
        // SAFETY: finalized code that passes its argument on.
        let function: extern "C-unwind" fn(u64) = unsafe { std::mem::transmute(self.start(number) as usize) };
        function(argument);
    }

    /// Calls a function that leads to [`throws`]; what arrives here.
    fn caught(&self, number: u64, argument: u64) -> u64 {
        let thrown = catch_unwind(AssertUnwindSafe(|| self.call(number, argument))).expect_err("it throws");
        *thrown.downcast_ref().expect("a number")
    }
}

fn fake() -> Fake {
    let fake = Fake::new();
    fake.add("a", &[], Dylib::default());
    fake
}

/// Places `count` functions, each of which calls what `callee` says (from where the first one is and its own number); `tables` makes the table.
fn place_with(fake: &Fake, count: u64, callee: impl Fn(u64, u64) -> u64, table: impl Fn(u64) -> Vec<u8>) -> Placed {
    let segment = |prot, size: u64| SegmentRequest { prot, align: 16, size, content_size: size };
    let size = table(1 << 32).len() as u64;
    let segments = [segment(CODE, STRIDE * count), segment(Prot::READ, size)];
    let mut reservation =
        fake.session.slab().reserve(&Request { segments: &segments, reach: Reach::Near }).expect("memory");
    let (start, address) = (reservation.address(0), reservation.address(1));
    for (number, code) in reservation.bytes(0).chunks_exact_mut(STRIDE as usize).enumerate() {
        let bytes = calling(callee(start, number as u64));
        code[..bytes.len()].copy_from_slice(&bytes);
    }
    reservation.bytes(1).copy_from_slice(&table(start));
    Placed { allocation: reservation.finalize().expect("protections"), count, table: (address, size) }
}

fn place(fake: &Fake, count: u64, callee: impl Fn(u64, u64) -> u64) -> Placed {
    place_with(fake, count, callee, |start| eh_frame((0..count).map(|number| (start + STRIDE * number, SIZE))))
}

extern "C-unwind" fn throws(argument: u64) {
    resume_unwind(Box::new(argument));
}

fn throwing(_: u64, _: u64) -> u64 {
    throws as extern "C-unwind" fn(u64) as usize as u64
}

/// Number 0 calls 1, 1 calls 2, and the last one throws.
fn chain(count: u64) -> impl Fn(u64, u64) -> u64 {
    move |start, number| if number + 1 == count { throwing(start, number) } else { start + STRIDE * (number + 1) }
}

#[test]
fn each_of_a_hundred_thousand_functions_in_one_image_is_found() {
    let fake = fake();
    let image = place(&fake, 100_000, throwing);
    let id = image.register(&fake);
    for number in 0..image.count {
        let start = image.start(number);
        assert_eq!((enclosing(start), enclosing(start + SIZE - 1)), (start, start), "{number}");
        assert_eq!(enclosing(start + SIZE), 0, "between functions");
    }
    for number in (0..image.count).step_by(997) {
        assert_eq!(image.caught(number, number), number);
    }
    assert!(fake.session.release_image(id));
    assert!((0..image.count).all(|number| enclosing(image.start(number)) == 0), "released code is not found");
}

#[test]
fn each_function_of_ten_thousand_images_is_found_until_its_image_goes() {
    let fake = fake();
    let images: Vec<Placed> = (0..10_000).map(|_| place(&fake, 10, chain(10))).collect();
    let mut ids: Vec<Option<ImageId>> = images.iter().map(|image| Some(image.register(&fake))).collect();
    let found =
        |image: &Placed| (0..10).filter(|number| enclosing(image.start(*number)) == image.start(*number)).count();
    assert!(images.iter().all(|image| found(image) == 10));
    for (number, image) in images.iter().enumerate().step_by(97) {
        assert_eq!(image.caught(0, number as u64), number as u64, "through ten frames");
    }
    for id in ids.iter_mut().skip(1).step_by(2) {
        assert!(fake.session.release_image(id.take().expect("registered")));
    }
    for (number, image) in images.iter().enumerate() {
        assert_eq!(found(image), if number % 2 == 0 { 10 } else { 0 }, "image {number}");
    }
    for (number, image) in images.iter().enumerate().step_by(194) {
        assert_eq!(image.caught(5, number as u64), number as u64);
    }
    ids.into_iter().flatten().for_each(|id| assert!(fake.session.release_image(id)));
    assert!(images.iter().all(|image| found(image) == 0));
}

#[test]
fn threads_throw_while_images_come_and_go() {
    let fake = fake();
    let stays = place(&fake, 3, chain(3));
    let id = stays.register(&fake);
    let stop = AtomicBool::new(false);
    let thrown = [const { AtomicUsize::new(0) }; 4];
    let rounds = std::thread::scope(|scope| {
        for (thread, count) in thrown.iter().enumerate() {
            let (stays, stop) = (&stays, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let number = count.fetch_add(1, Ordering::Relaxed);
                    let argument = (thread << 32 | number) as u64;
                    assert_eq!(stays.caught(0, argument), argument);
                }
            });
        }
        let mut rounds = 0;
        while rounds < 3_000 || thrown.iter().any(|count| count.load(Ordering::Relaxed) < 500) {
            let image = place(&fake, 1 + rounds % 50, chain(1 + rounds % 50));
            let id = image.register(&fake);
            if rounds % 10 == 0 {
                assert_eq!(image.caught(0, rounds), rounds);
            }
            assert!(fake.session.release_image(id));
            assert_eq!(enclosing(image.start(0)), 0, "released code is not found");
            rounds += 1;
        }
        stop.store(true, Ordering::Relaxed);
        rounds
    });
    assert!(rounds >= 3_000);
    assert_eq!(stays.caught(0, 1), 1);
    assert!(fake.session.release_image(id));
}

/// Where [`walk`] puts what it sees.
static SEEN: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];

/// Notes the functions on the stack; no more than a handler of a signal may do.
fn walk() {
    extern "C" fn frame(context: *mut c_void, count: *mut c_void) -> c_int {
        // SAFETY: the unwinder's context, and the counter of `walk`.
        unsafe {
            let count = &mut *count.cast::<usize>();
            if let Some(slot) = SEEN.get(*count) {
                slot.store(_Unwind_FindEnclosingFunction(_Unwind_GetIP(context)) as u64, Ordering::Relaxed);
            }
            *count += 1;
        }
        0
    }
    let mut count = 0_usize;
    // SAFETY: the callback gets the counter, which outlives the walk.
    unsafe { _Unwind_Backtrace(frame, (&raw mut count).cast()) };
}

#[test]
fn a_handler_of_a_signal_walks_the_stack_through_registered_code() {
    extern "C" fn on_signal(_: c_int) {
        walk();
    }
    extern "C-unwind" fn raises(_: u64) {
        // SAFETY: the handler of this signal is `on_signal`.
        unsafe { libc_raise(SIGUSR2) };
    }
    const SIGUSR2: c_int = 12;
    unsafe extern "C" {
        fn signal(number: c_int, handler: extern "C" fn(c_int)) -> usize;
        #[link_name = "raise"]
        fn libc_raise(number: c_int) -> c_int;
    }
    let fake = fake();
    let image = place(&fake, 5, |start, number| {
        if number == 4 { raises as extern "C-unwind" fn(u64) as usize as u64 } else { start + STRIDE * (number + 1) }
    });
    let id = image.register(&fake);
    // SAFETY: the handler does what a handler may do.
    unsafe { signal(SIGUSR2, on_signal) };
    // Another thread changes what is registered, as fast as it can.
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let other = place(&fake, 20, throwing);
            while !stop.load(Ordering::Relaxed) {
                let id = other.register(&fake);
                assert!(fake.session.release_image(id));
            }
        });
        for round in 0..200 {
            SEEN.iter().for_each(|slot| slot.store(0, Ordering::Relaxed));
            image.call(0, 0);
            let seen: Vec<u64> = SEEN.iter().map(|slot| slot.load(Ordering::Relaxed)).collect();
            let inner = seen.iter().position(|function| *function == image.start(4)).expect("the innermost function");
            let frames: Vec<u64> = (0..5).rev().map(|number| image.start(number)).collect();
            assert_eq!(seen[inner..inner + 5], frames, "round {round}");
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(fake.session.release_image(id));
}

#[test]
fn what_the_index_does_not_take_is_the_unwinders() {
    let fake = fake();
    // Two records for the same function; a record for a function that is not of the image.
    let twice = place_with(&fake, 3, chain(3), |start| {
        eh_frame([0, 1, 1, 2].into_iter().map(|number| (start + STRIDE * number, SIZE)))
    });
    let elsewhere = place_with(&fake, 3, chain(3), |start| {
        eh_frame((0..3).map(|number| (start + STRIDE * number, SIZE)).chain([(0x1000, 16)]))
    });
    for image in [twice, elsewhere] {
        for round in 0..3 {
            let id = image.register(&fake);
            assert_eq!(image.caught(0, round), round);
            assert!(fake.session.release_image(id));
            assert_eq!(enclosing(image.start(0)), 0);
        }
    }
}

#[test]
fn tables_that_others_tell_the_unwinder_stay_theirs() {
    let fake = fake();
    let (theirs, ours) = (place(&fake, 3, chain(3)), place(&fake, 3, chain(3)));
    let before = ours.register(&fake);
    let table = std::ptr::with_exposed_provenance::<c_void>(theirs.table.0 as usize);
    // SAFETY: a well-formed table that stays.
    unsafe { __register_frame(table) };
    let after = place(&fake, 3, chain(3));
    let id = after.register(&fake);
    for image in [&theirs, &ours, &after] {
        assert_eq!(image.caught(0, 9), 9);
    }
    assert!(fake.session.release_image(before) && fake.session.release_image(id));
    assert_eq!(theirs.caught(0, 10), 10);
    // SAFETY: registered above.
    unsafe { __deregister_frame(table) };
    assert_eq!(enclosing(theirs.start(0)), 0);
}

#[test]
fn a_damaged_table_is_refused_with_its_place() {
    let fake = fake();
    let refused = |table: fn(u64) -> Vec<u8>| {
        let image = place_with(&fake, 1, throwing, table);
        // SAFETY: refused, or well-formed.
        let error = unsafe { fake.session.register_images(vec![image.info(&fake)]) }.expect_err("damaged");
        assert!(fake.session.ledger().is_empty());
        match error {
            ImageError::Unwind { source: UnwindError::Damaged { offset, problem, .. }, .. } => (offset, problem),
            other => panic!("{other}"),
        }
    };
    let (offset, problem) = refused(|start| {
        let mut table = eh_frame([(start, SIZE)].into_iter());
        table[24] = 0x7c; // the length of the second record
        table
    });
    assert!(offset == 24 && problem.contains("beyond the table"), "{offset}: {problem}");
    let (offset, problem) = refused(|start| {
        let mut table = eh_frame([(start, SIZE)].into_iter());
        table[28] = 0x40; // the distance to its entry
        table
    });
    assert!(offset == 24 && problem.contains("not in the table"), "{offset}: {problem}");
}
