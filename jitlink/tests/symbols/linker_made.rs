//! Names and places that no object defines: the linker does.

use super::support::{assemble, finish, graph, link, link_with, objects};
use jitlink::graph::SymbolKind;
use jitlink::linked::DSO_HANDLE_OFFSET;
use jitlink::{FlatMemory, Keep, Link, LinkOptions, Roots};

#[test]
fn the_base_of_the_got() {
    let source = "
        .data
        .globl x, p
        x: .quad 5
        p: .quad x@GOTOFF, x@GOT
        base: .quad _GLOBAL_OFFSET_TABLE_ - base
        .quad far@PLTOFF
    ";
    let objects = objects([source]);
    let resolution = jitlink::Resolution::new(0x7f00_0000_1230, true);
    let program = link_with(&objects, &Roots::default(), |_| Some(resolution)).expect("complete");
    let p = program.address("p");
    let base = program.word(p + 16).wrapping_add(p + 16);
    assert_eq!(base, program.address("_GLOBAL_OFFSET_TABLE_"));
    assert_eq!(base.wrapping_add(program.word(p)), program.address("x"));
    assert_eq!(program.word(base.wrapping_add(program.word(p + 8))), program.address("x"), "what the slot holds");
    assert_eq!(base.wrapping_add(program.word(p + 24)), resolution.address);
    assert!(!program.exports().contains(&"_GLOBAL_OFFSET_TABLE_"));
}

#[test]
fn the_header_of_the_dylib_has_three_names_and_looks_like_one() {
    let source = ".data\n.globl p\np: .quad __dso_handle, __ehdr_start, __executable_start\n.hidden __dso_handle";
    let objects = objects([source]);
    let program = link(&objects);
    let p = program.address("p");
    let header = program.0.header.expect("it was asked for");
    let handle = header + DSO_HANDLE_OFFSET;
    assert_eq!([0, 8, 16].map(|at| program.word(p + at)), [handle, header, header]);
    assert_eq!(program.bytes(header, 8), b"\x7fELF\x02\x01\x01\0");
    // As crtstuff has it: the C library's `atexit` passes what the handle holds, C++ passes where it is.
    assert_eq!(program.word(handle), handle);

    // Later batches of the dylib share that of the first.
    let options = LinkOptions { header: Some(0x1234_5670), ..LinkOptions::default() };
    let pruned = Link::new(graph(&objects).expect("sound"), options).prune(&Roots::default()).expect("complete");
    let placed = pruned.place(&FlatMemory::new(1 << 40)).expect("memory");
    assert_eq!(placed.header(), Some(0x1234_5670));
    let linked = placed.resolve(|_| None).expect("complete").finalize().expect("in range");
    let p = linked.exports().next().expect("p").address;
    assert_eq!(linked.allocation.at(p, 8), Some(&(0x1234_5670_u64 + DSO_HANDLE_OFFSET).to_le_bytes()[..]));
}

#[test]
fn an_object_may_define_a_linker_name_itself() {
    let own =
        ".data\n.globl __dso_handle, __start_x\n__dso_handle: .quad 1\n__start_x: .quad 2\n.section x,\"aw\"\n.quad 3";
    let user = ".data\n.globl p\np: .quad __dso_handle, __start_x, __stop_x";
    for sources in [[own, user], [user, own]] {
        let objects = objects(sources);
        let program = link(&objects);
        let p = program.address("p");
        assert_eq!([0, 8].map(|at| program.word(program.word(p + at))), [1, 2]);
        assert_eq!(program.word(program.word(p + 16) - 8), 3);
    }
}

/// The bytes between `__start_set` and `__stop_set` as words.
fn set(sources: [&str; 3], keep: Keep) -> Vec<u64> {
    let objects = objects(sources);
    let roots = Roots { required: &[b"ends"], keep, ..Roots::default() };
    let program = link_with(&objects, &roots, |_| None).unwrap_or_else(|error| panic!("{error}"));
    let ends = program.address("ends");
    let (start, stop) = (program.word(ends), program.word(ends + 8));
    (start..stop).step_by(8).map(|at| program.word(at)).collect()
}

const ENDS: &str = ".data\n.globl ends\nends: .quad __start_set, __stop_set\n";

#[test]
fn sections_of_one_name_stand_together_over_all_objects() {
    let one = "\n.section set,\"aw\"\n.quad 1, 2";
    let first = format!("{ENDS}{one}\n.section other,\"aw\"\n.quad 99");
    for keep in [Keep::Exported, Keep::Named] {
        assert_eq!(set([&first, ".section set,\"aw\"\n.quad 3", ".section set,\"aw\"\n.quad 4"], keep), [1, 2, 3, 4]);
    }
    // Constants and variables: all become variables, in their order.
    assert_eq!(set([&first, ".section set,\"a\"\n.quad 3", ".section set,\"aw\"\n.quad 4"], Keep::Named), [1, 2, 3, 4]);
    // Zeros among them keep their place.
    assert_eq!(
        set([&first, ".section set,\"aw\",@nobits\n.zero 8", ".section set,\"aw\"\n.quad 4"], Keep::Named),
        [1, 2, 0, 4]
    );
    // One that may lie far away comes to those that may not.
    assert_eq!(set([&first, ".section set,\"awl\"\n.quad 3", ""], Keep::Named), [1, 2, 3]);
    // Equal constants of a set are not one.
    let constants = format!("{ENDS}.section set,\"aM\",@progbits,8\n.quad 7, 7");
    assert_eq!(set([&constants, ".section set,\"aM\",@progbits,8\n.quad 7", ""], Keep::Named), [7, 7, 7]);
}

#[test]
fn a_set_of_code_stays_code() {
    let sources = [
        ".data\n.globl ends\nends: .quad __start_set, __stop_set\n.section set,\"ax\"\n.globl f\nf: ret",
        ".section set,\"a\"\n.byte 1",
    ];
    let objects = objects(sources);
    let program = link(&objects);
    let f = program.address("f");
    let segment = program.0.segments.iter().find(|s| s.address <= f && f < s.address + s.size).expect("in one");
    assert!(segment.prot.contains(jitlink::graph::Prot::EXEC));
    assert_eq!(program.word(program.address("ends") + 8) - program.word_at("ends"), 2);
}

#[test]
fn code_and_variables_cannot_be_one_set() {
    let sources = [&format!("{ENDS}.section set,\"aw\"\n.quad 1"), ".section set,\"ax\"\nret"];
    let objects = objects(sources);
    let error = link_with(&objects, &Roots::default(), |_| None).err().expect("not possible");
    assert_eq!(
        error,
        "section set holds code in b.o and variables in a.o: __start_set and __stop_set cannot enclose both, since memory is never executable and writable"
    );
}

#[test]
fn an_empty_set_starts_where_it_stops_and_an_absent_one_is_undefined() {
    let empty = format!("{ENDS}.section set,\"aw\"");
    let objects_of_empty = objects([&empty]);
    let program = link(&objects_of_empty);
    let ends = program.address("ends");
    assert_eq!(program.word(ends), program.word(ends + 8));
    assert_ne!(program.word(ends), 0);

    let weak = format!("{ENDS}.weak __start_set, __stop_set");
    let absent = objects([&weak]);
    let program = link(&absent);
    let ends = program.address("ends");
    assert_eq!([program.word(ends), program.word(ends + 8)], [0, 0]);

    let absent = objects([ENDS]);
    let error = link_with(&absent, &Roots::default(), |_| None).err().expect("nobody has it");
    assert_eq!(
        error,
        "2 unresolved symbols: __start_set (referenced by a.o:(.data+0x0) in ends), __stop_set (referenced by a.o:(.data+0x8) in ends)"
    );
    // Sections whose names are no C identifiers have no bounds.
    let odd = objects([".data\n.globl ends\nends: .quad \"__start_.set\"\n.section .set,\"aw\"\n.quad 1"]);
    assert!(link_with(&odd, &Roots::default(), |_| None).is_err());
}

#[test]
fn a_set_keeps_its_members_and_what_they_refer_to() {
    let member = ".section set,\"aw\"\n.quad g\n.section .data.g,\"aw\"\n.globl g\ng: .quad 1\n.section alone,\"aw\"\n.globl h\nh: .quad 2";
    let objects = objects([ENDS, member]);
    for (root, live) in [("ends", [true, false]), ("h", [false, true])] {
        let roots = Roots { required: &[root.as_bytes()], keep: Keep::Named, ..Roots::default() };
        let program = link_with(&objects, &roots, |_| None).expect("complete");
        assert_eq!(["g", "h"].map(|name| program.is_live(name)), live);
    }
}

#[test]
fn an_indirect_function_is_its_stub_everywhere() {
    let definition = "
        .text
        .globl f
        .type f, @gnu_indirect_function
        f: lea chosen(%rip), %rax
        ret
        chosen: ret
        .globl a
        a: call f
        mov f@GOTPCREL(%rip), %rax
        lea f(%rip), %rax
        .data
        .globl p
        p: .quad f
    ";
    let user = ".text\n.globl b\nb: call f\nmov f@GOTPCREL(%rip), %rax\n.data\n.globl q\nq: .quad f";
    for sources in [[definition, user], [user, definition]] {
        let objects = objects(sources);
        let program = link(&objects);
        assert_eq!(program.symbol("f").kind, SymbolKind::Indirect);
        let f = program.address("f");
        let [one] = program.0.indirect[..] else { panic!("{:?}", program.0.indirect) };
        assert_ne!(one.resolver, f);
        assert_eq!(program.bytes(one.resolver, 3), [0x48, 0x8d, 5], "the resolver's first instruction");
        assert_eq!([program.word_at("p"), program.word_at("q")], [f, f]);
        let relative = |at: u64| {
            let distance = i32::from_le_bytes(program.bytes(at, 4).try_into().expect("four bytes"));
            (at + 4).wrapping_add_signed(distance.into())
        };
        let (a, b) = (program.address("a"), program.address("b"));
        assert_eq!([relative(a + 1), relative(b + 1), relative(a + 15)], [f, f, f]);
        // The stub jumps through the slot that the executor fills.
        assert_eq!(program.bytes(f, 2), [0xff, 0x25]);
        assert_eq!(relative(f + 2), one.slot);
        let slot = program.0.segments.iter().find(|s| s.address <= one.slot && one.slot < s.address + s.size);
        assert!(slot.expect("in a segment").prot.contains(jitlink::graph::Prot::WRITE));
        // Loads from the table are of the stub's address too, relaxed or not.
        for load in [a + 5, b + 5] {
            let target = relative(load + 3);
            match program.bytes(load, 2) {
                [_, 0x8d] => assert_eq!(target, f),
                [_, 0x8b] => assert_eq!(program.word(target), f),
                other => panic!("{other:x?}"),
            }
        }
    }
}

#[test]
fn an_indirect_function_that_nobody_reaches_has_no_slot() {
    let objects = [(
        "a.o",
        assemble(
            ".section .text.f,\"ax\"\n.globl f\n.type f, @gnu_indirect_function\nf: ret\n.data\n.globl p\np: .quad 1",
        ),
    )];
    let roots = Roots { required: &[b"p"], keep: Keep::Named, ..Roots::default() };
    let program = finish(graph(&objects).expect("sound"), &roots, |_| None).expect("complete");
    assert_eq!(program.0.indirect, []);
}
