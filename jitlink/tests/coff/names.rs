//! Which definition does a name mean: weak externals, alternate names, common symbols, absolute ones, the image base?

use super::support::{BASE, Named, clang, compile, link, link_with, objects, refused};
use jitlink::{External, Resolution, Roots};
use object::pe;

/// An object with a weak external `w` that stands for `d`, and a word `p` with the address of `w`.
const WEAK: &str = ".data\n.globl p\np: .quad w\n.globl d\nd: .long 5\n.weak w\n.set w, d";

#[test]
fn a_weak_external_is_its_default_where_nobody_defines_it() {
    let alone = objects([WEAK]);
    let program = link(&alone);
    assert_eq!(program.word_at("p"), program.address("d"));
    for both in [objects([WEAK, ".data\n.globl w\nw: .long 6"]), objects([".data\n.globl w\nw: .long 6", WEAK])] {
        let program = link(&both);
        assert_eq!(program.word_at("p"), program.address("w"));
        assert_eq!(program.half_at("w", 0), 6, "a definition wins wherever it stands");
    }
}

#[test]
fn a_weak_external_may_stand_for_a_name_of_elsewhere() {
    let source = ".data\n.globl p\np: .quad w\n.weak w\n.set w, outside";
    let alone = objects([source]);
    let find = |external: External<'_>| (external.name == b"outside").then(|| Resolution::new(0x1234, false));
    let program = link_with(&alone, &Roots::default(), find).expect("the default is asked for");
    assert_eq!(program.word_at("p"), 0x1234);
    let error = link_with(&alone, &Roots::default(), |_| None).err().expect("nobody has it");
    assert!(error.contains("unresolved symbol: outside"), "{error}");
    let both = objects([source, ".data\n.globl outside\noutside: .long 1"]);
    let program = link(&both);
    assert_eq!(program.word_at("p"), program.address("outside"));
}

/// Sets how the object's only weak external is searched for.
fn searching(mut object: Vec<u8>, search: pe::WeakExternSearch) -> Vec<u8> {
    let entry = object.windows(8).rposition(|name| name == b"w\0\0\0\0\0\0\0").expect("the symbol");
    object[entry + 18 + 4..entry + 18 + 8].copy_from_slice(&search.0.to_le_bytes());
    object
}

#[test]
fn only_one_kind_of_weak_external_wants_archives_searched() {
    for (search, wanted) in [
        (pe::IMAGE_WEAK_EXTERN_SEARCH_NOLIBRARY, false),
        (pe::IMAGE_WEAK_EXTERN_SEARCH_LIBRARY, true),
        (pe::IMAGE_WEAK_EXTERN_SEARCH_ALIAS, false),
        (pe::IMAGE_WEAK_EXTERN_ANTI_DEPENDENCY, false),
    ] {
        let object = searching(super::support::assemble(WEAK), search);
        let mut graph = jitlink::LinkGraph::new(&jitlink::arch::x86_64::MACHINE);
        jitlink::object::read(&mut graph, "a.obj", &object, Default::default()).expect("sound");
        let names: Vec<_> = graph.take_wanted().into_iter().map(|id| graph.symbol(id).name).collect();
        assert_eq!(names.contains(&&b"w"[..]), wanted, "{search:?}");
        let objects: [Named; 1] = [("a.obj", object)];
        let program = link(&objects);
        assert_eq!(program.word_at("p"), program.address("d"), "{search:?}");
    }
}

#[test]
fn the_largest_common_symbol_wins_and_yields_to_a_definition() {
    let common = |size: u32| format!(".data\n.globl p{size}\np{size}: .quad c\n.comm c, {size}");
    let both = objects([&*common(4), &*common(100)]);
    let program = link(&both);
    assert_eq!(program.word_at("p4"), program.word_at("p100"));
    assert_eq!(program.symbol("c").size, 100);
    assert_eq!(program.address("c") % 32, 0, "as link.exe aligns it");
    let defined = objects([&*common(4), ".data\n.globl c\nc: .long 9"]);
    let program = link(&defined);
    assert_eq!(program.word_at("p4"), program.address("c"));
    assert_eq!(program.half_at("c", 0), 9);
}

#[test]
fn absolute_symbols_and_what_compilers_say_of_themselves() {
    let source = ".globl @feat.00\n.set @feat.00, 1\n.globl a\n.set a, 0x12345\n.data\n.globl p\np: .quad a";
    let both: [Named; 2] = [("a.obj", super::support::assemble(source)), ("b.obj", compile("int x = 1;"))];
    let program = link(&both);
    assert_eq!(program.word_at("p"), 0x12345);
}

#[test]
fn the_image_base_has_the_names_of_both_families_of_tools() {
    let source = ".data\n.globl p, q\np: .quad __ImageBase\nq: .quad __image_base__\n.globl r\nr: .rva r";
    let alone = objects([source]);
    let program = link(&alone);
    assert_eq!((program.word_at("p"), program.word_at("q")), (BASE, BASE));
    assert_eq!(u64::from(program.half_at("r", 0)), program.address("r") - BASE);
}

#[test]
fn two_definitions_are_an_error() {
    let said = refused(&objects([".globl f\nf: ret", ".globl f\nf: ret"]));
    assert_eq!(said, "b.obj: duplicate definition of 'f', first defined in a.obj");
}

#[test]
fn names_of_cpp_are_names() {
    let source = "struct S { virtual int f(); int x; }; int S::f() { return x; } S make() { S s; s.x = 3; return s; }";
    let object = clang("x86_64-pc-windows-msvc", "c++", &["-O1", "-fno-exceptions", "-fno-rtti"], source);
    let alone: [Named; 1] = [("a.obj", object)];
    let program = link(&alone);
    let table = program.word_at("??_7S@@6B@");
    assert_eq!(table, program.address("?f@S@@UEAAHXZ"));
}
