//! Variables of every thread: descriptors, and what each thread's storage begins with.

use super::support::{BASE, Program, STORAGE, c, link_with};
use jitlink::memory::ThreadLocal;
use jitlink::{Resolution, Roots};

const SOURCE: &str = "_Thread_local int first = 41; static _Thread_local long zeros[3]; _Thread_local char last = 7;
    int *f(void) { return &first; } long *z(void) { return &zeros[1]; } char *l(void) { return &last; }";
const THUNK: u64 = BASE + 0x10_0000;

fn linked(objects: &[Vec<u8>], storage: ThreadLocal) -> Program<'_> {
    let found = |external: jitlink::External<'_>| {
        assert_eq!(external.name, b"_tlv_bootstrap");
        Some(Resolution::new(THUNK, true))
    };
    link_with(objects, &Roots::default(), storage, found).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_descriptor_names_function_module_and_offset() {
    let objects = [c(SOURCE)];
    let program = linked(&objects, STORAGE);
    let image = program.0.thread_local.expect("storage");
    let mut offsets = Vec::new();
    for name in ["first", "zeros", "last"] {
        let descriptor = program.address(name);
        assert_eq!(program.word(descriptor), THUNK, "{name}");
        assert_eq!(program.word(descriptor + 8), STORAGE.module, "{name}");
        let offset = program.word(descriptor + 16) - STORAGE.offset;
        assert!(offset < image.size, "{name}");
        offsets.push(offset);
    }
    let content = |offset: u64, size| program.bytes(image.address + offset, size);
    assert_eq!(content(offsets[0], 4), 41_u32.to_le_bytes());
    assert_eq!(content(offsets[2], 1), [7]);
    assert!(offsets[1] >= image.content_size, "zeros have no content");
    assert_eq!(offsets[1] % 8, 0);
}

#[test]
fn at_a_constant_distance_the_descriptor_says_that() {
    let objects = [c(SOURCE)];
    let here = ThreadLocal { module: 1, offset: 64, distance: Some(-4096) };
    let program = linked(&objects, here);
    for name in ["first", "zeros", "last"] {
        let descriptor = program.address(name);
        let [key, place] = [8, 16].map(|at| program.word(descriptor + at));
        assert_eq!(key, 0, "{name}");
        assert!((-4096..-4096 + 64).contains(&(place as i64)), "{name}: {}", place as i64);
    }
}

#[test]
fn code_loads_the_descriptor_s_address_without_a_slot() {
    let objects = [c(SOURCE)];
    let program = linked(&objects, STORAGE);
    let code = program.bytes(program.address("f"), 32);
    // movq first@TLVP(%rip), %rdi has become leaq first(%rip), %rdi.
    let at = code.windows(3).position(|bytes| bytes == [0x48, 0x8d, 0x3d]).expect("lea to %rdi");
    let distance = i32::from_le_bytes(code[at + 3..at + 7].try_into().expect("four bytes"));
    let end = program.address("f") + at as u64 + 7;
    assert_eq!(end.wrapping_add_signed(distance.into()), program.address("first"));
}

#[test]
fn a_variable_of_somebody_else_comes_from_a_slot() {
    let objects = [c("extern _Thread_local int theirs; int f(void) { return theirs; }")];
    let at = BASE + 0x20_0000;
    let found = |external: jitlink::External<'_>| {
        assert_eq!((external.name, external.thread_local), (&b"theirs"[..], false), "its descriptor is data");
        Some(Resolution::new(at, false))
    };
    let program = link_with(&objects, &Roots::default(), STORAGE, found).unwrap_or_else(|error| panic!("{error}"));
    let code = program.bytes(program.address("f"), 32);
    let load = code.windows(3).position(|bytes| bytes == [0x48, 0x8b, 0x3d]).expect("mov to %rdi");
    let distance = i32::from_le_bytes(code[load + 3..load + 7].try_into().expect("four bytes"));
    let slot = (program.address("f") + load as u64 + 7).wrapping_add_signed(distance.into());
    assert_eq!(program.word(slot), at);
}
