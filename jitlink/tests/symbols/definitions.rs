//! Several objects define, or do not define, one name: who wins?

use super::support::{Program, assemble, finish, graph, link, link_with, objects};
use jitlink::graph::{LinkGraph, Linkage, SymbolKind};
use jitlink::{Roots, arch};

/// A user of `x`, and its definitions in the order given; what the user sees at `x`.
fn winner<const N: usize>(definitions: [&str; N]) -> u64 {
    let mut all = vec![("user.o", assemble(".data\n.globl user\nuser: .quad x"))];
    all.extend(objects(definitions));
    let program = link(&all);
    assert_eq!(program.word_at("user"), program.address("x"));
    program.word_at("x")
}

const STRONG_1: &str = ".data\n.globl x\nx: .quad 1";
const WEAK_2: &str = ".data\n.weak x\nx: .quad 2";
const WEAK_3: &str = ".data\n.weak x\nx: .quad 3";
const UNIQUE_4: &str = ".data\n.globl x\n.type x, @gnu_unique_object\nx: .quad 4";
const COMMON: &str = ".comm x, 8, 8";

#[test]
fn a_strong_definition_wins_wherever_it_stands() {
    assert_eq!(winner([STRONG_1, WEAK_2]), 1);
    assert_eq!(winner([WEAK_2, STRONG_1]), 1);
    assert_eq!(winner([WEAK_2, WEAK_3, STRONG_1]), 1);
    assert_eq!(winner([COMMON, STRONG_1]), 1);
    assert_eq!(winner([STRONG_1, COMMON]), 1);
    assert_eq!(winner([UNIQUE_4, STRONG_1]), 1);
}

#[test]
fn the_first_weak_definition_wins_over_later_ones() {
    assert_eq!(winner([WEAK_2, WEAK_3]), 2);
    assert_eq!(winner([WEAK_3, WEAK_2]), 3);
    assert_eq!(winner([WEAK_2, UNIQUE_4]), 2);
    assert_eq!(winner([UNIQUE_4, UNIQUE_4]), 4);
}

#[test]
fn a_common_symbol_wins_over_weak_ones() {
    assert_eq!(winner([COMMON, WEAK_2]), 0);
    assert_eq!(winner([WEAK_2, COMMON]), 0);
}

#[test]
fn unique_symbols_say_so() {
    let objects = objects([UNIQUE_4]);
    assert_eq!(link(&objects).symbol("x").linkage, Linkage::Unique);
}

#[test]
fn two_strong_definitions_are_an_error_that_names_both_objects() {
    let objects = objects([STRONG_1, WEAK_2, STRONG_1]);
    let error = graph(&objects).expect_err("two definitions").to_string();
    assert_eq!(error, "c.o: duplicate definition of 'x', first defined in a.o");
}

#[test]
fn a_common_symbol_gets_the_largest_size_and_the_largest_alignment() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let sources = [".comm x, 4, 512", ".comm x, 48, 16", ".comm x, 8, 8\n.data\n.globl before\nbefore: .byte 1"];
        let objects = objects(order.map(|i| sources[i]));
        let program = link(&objects);
        let x = program.symbol("x");
        assert_eq!((x.size, x.address % 512), (48, 0));
        assert_eq!(program.bytes(x.address, 48), [0; 48]);
        let block = program.0.graph().block(x.block().expect("allocated"));
        assert_eq!((block.size, block.align()), (48, 512));
    }
}

#[test]
fn the_strictest_visibility_of_all_objects_counts() {
    let sources = [
        ".data\n.globl def, prot, hid, int, def2\n.protected prot\n.hidden hid\n.internal int\n\
         def: .quad 1\nprot: .quad 2\nhid: .quad 3\nint: .quad 4\ndef2: .quad 5",
        ".data\n.globl users\nusers: .quad def, prot, hid, int, def2\n.hidden def2",
    ];
    let objects = objects(sources);
    let program = link(&objects);
    assert_eq!(program.exports(), ["def", "prot", "users"]);
    let users = program.address("users");
    for (i, name) in ["def", "prot", "hid", "int", "def2"].into_iter().enumerate() {
        assert_eq!(program.word(users + 8 * i as u64), program.address(name), "{name}");
        assert_eq!(program.word_at(name), i as u64 + 1, "{name}");
    }
    let mut globals: Vec<_> = program.0.globals().map(|export| export.name.to_owned()).collect();
    globals.sort();
    assert_eq!(globals, [&b"def"[..], b"def2", b"hid", b"int", b"prot", b"users"]);
}

#[test]
fn a_hidden_name_is_not_looked_for_outside() {
    let objects = objects([".data\n.globl p, q\np: .quad far\nq: .quad near\n.hidden near"]);
    let mut asked = Vec::new();
    let error = link_with(&objects, &Roots::default(), |external| {
        asked.push(String::from_utf8_lossy(external.name).into_owned());
        None
    });
    let error = error.err().expect("both are missing");
    assert_eq!(asked, ["far"]);
    assert_eq!(
        error,
        "2 unresolved symbols: far (referenced by a.o:(.data+0x0) in p), near (referenced by a.o:(.data+0x8) in q)"
    );
}

#[test]
fn an_absolute_symbol_is_its_value() {
    let objects = objects([".globl x\nx = 0x12345", ".data\n.globl p\np: .quad x, x+1\n.long x\n.short x - 0x10000"]);
    let program = link(&objects);
    let p = program.address("p");
    assert_eq!((program.word(p), program.word(p + 8)), (0x12345, 0x12346));
    assert_eq!(program.bytes(p + 16, 6), [0x45, 0x23, 1, 0, 0x45, 0x23]);
    assert_eq!(program.exports(), ["p", "x"]);
}

#[test]
fn a_default_version_answers_to_three_names() {
    let sources = [
        ".data\n.globl f1, f2\nf1: .quad 1\n.symver f1, f@V1\nf2: .quad 2\n.symver f2, f@@V2",
        ".symver old, f@V1\n.symver new, f@V2\n.data\n.globl p\np: .quad f, old, new",
    ];
    for reversed in [false, true] {
        let mut objects = objects(sources);
        if reversed {
            objects.reverse();
        }
        let program = link(&objects);
        let p = program.address("p");
        let seen = [0, 8, 16].map(|offset| program.word(program.word(p + offset)));
        assert_eq!(seen, [2, 1, 2]);
    }
}

#[test]
fn gcc_writes_a_default_version_beside_its_plain_name() {
    let both = assemble(".data\n.globl f\nf: .quad 7\n.symver f, f@@V2");
    let objects = [("a.o", both), ("b.o", assemble(".data\n.globl p\np: .quad f"))];
    let program = link(&objects);
    assert_eq!(program.word(program.word_at("p")), 7);
    assert_eq!(program.address("f@@V2"), program.address("f"));
}

#[test]
fn a_version_that_nobody_has_is_unresolved() {
    let objects = objects([".data\n.globl f2, p\nf2: .quad 2\n.symver f2, f@@V2\n.symver other, f@V3\np: .quad other"]);
    let error = link_with(&objects, &Roots::default(), |_| None).err().expect("nobody has V3");
    assert_eq!(error, "1 unresolved symbol: f@V3 (referenced by a.o:(.data+0x8) in p)");
}

#[test]
fn a_weak_reference_to_nobody_is_null_in_every_field() {
    let source = "
        .weak w
        .data
        .globl p
        p:  .quad w
            .long w
            .short w
            .byte w, 0
            .quad w + 5
            .quad w - .
            .long w - .
            .long w@GOTPCREL
            .quad w@SIZE
        .reloc ., R_X86_64_32S, w
            .long 0
            .short w - .
            .byte w - ., 0
    ";
    let objects = objects([source]);
    // PC8 reaches null from the lowest addresses only.
    let mut graph = graph(&objects).expect("sound");
    assert_eq!(graph.take_wanted(), []);
    let pruned = jitlink::Link::new(graph, Default::default()).prune(&Roots::default()).expect("nothing is missing");
    let memory = jitlink::FlatMemory { page_size: 8, ..jitlink::FlatMemory::new(0) };
    let resolved = pruned.place(&memory).expect("memory").resolve(|external| {
        assert!(external.weak);
        None
    });
    let program = Program(resolved.expect("weak").finalize().expect("in range"));
    let p = program.address("p");
    assert!(p < 64, "{p:#x}");
    assert_eq!(program.bytes(p, 16), [0; 16]);
    assert_eq!(program.word(p + 16), 5);
    assert_eq!(program.word(p + 24), (p + 24).wrapping_neg());
    let long = |at: u64| i32::from_le_bytes(program.bytes(p + at, 4).try_into().expect("four"));
    assert_eq!(long(32), -(p as i32 + 32));
    assert_eq!(program.word((p + 36).wrapping_add_signed(long(36).into())), 0, "the GOT slot");
    assert_eq!((program.word(p + 40), long(48)), (0, 0));
    let rest = program.bytes(p + 52, 3);
    assert_eq!(i16::from_le_bytes([rest[0], rest[1]]), -(p as i16 + 52));
    assert_eq!(rest[2] as i8, -(p as i8 + 54));
}

#[test]
fn a_strong_reference_makes_a_weak_one_needed() {
    let objects = objects([".weak w\n.data\n.globl p\np: .quad w", ".data\n.globl q\nq: .quad w"]);
    let error = link_with(&objects, &Roots::default(), |_| None).err().expect("q needs it");
    assert_eq!(error, "1 unresolved symbol: w (referenced by a.o:(.data+0x0) in p)");
}

#[test]
fn an_earlier_batch_of_the_dylib_counts_as_a_definition() {
    let objects = objects([".data\n.globl p\np: .quad x, y, z\n.weak y\ny: .quad 7\n.globl z\nz: .quad 8"]);
    let mut graph = LinkGraph::new(&arch::x86_64::MACHINE);
    let before = graph.add_object("earlier", false);
    graph.predefine(b"x", 0x7f00_1234_5678, SymbolKind::Object, Linkage::Strong, before);
    graph.predefine(b"y", 0x7f00_1234_0000, SymbolKind::Object, Linkage::Strong, before);
    graph.predefine(b"z", 0x7f00_9999_0000, SymbolKind::Object, Linkage::Weak, before);
    jitlink::object::read(&mut graph, "a.o", &objects[0].1, Default::default()).expect("sound");
    assert_eq!(graph.take_wanted(), []);
    let program = finish(graph, &Roots::default(), |external| panic!("{external:?} is known")).expect("complete");
    let p = program.address("p");
    assert_eq!(program.word(p), 0x7f00_1234_5678);
    assert_eq!(program.word(p + 8), 0x7f00_1234_0000, "the weak definition yields");
    assert_eq!(program.word(p + 16), program.address("z"), "a strong one wins over a weak one of before");
    assert_eq!(program.word_at("z"), 8);

    let mut graph = LinkGraph::new(&arch::x86_64::MACHINE);
    let before = graph.add_object("earlier", false);
    graph.predefine(b"p", 0x1000, SymbolKind::Object, Linkage::Strong, before);
    let error = jitlink::object::read(&mut graph, "a.o", &objects[0].1, Default::default()).expect_err("twice");
    assert_eq!(error.to_string(), "a.o: duplicate definition of 'p', first defined in earlier");
}
