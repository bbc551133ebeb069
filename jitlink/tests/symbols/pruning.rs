//! What stays, and what runs by itself.

use super::support::{assemble, finish, link, link_with, objects};
use jitlink::graph::{InitKind, LinkGraph};
use jitlink::object::ReadOptions;
use jitlink::{Keep, Roots, arch};

/// A named object and one from an archive; each has a function that calls another one, and one that nobody calls.
fn named_and_fetched(keep: Keep, required: &[&[u8]]) -> [bool; 4] {
    let source = |name: &str| {
        format!(
            ".section .text.{name},\"ax\"\n.globl {name}\n{name}: call {name}_callee\n\
             .section .text.{name}_callee,\"ax\"\n.hidden {name}_callee\n.globl {name}_callee\n{name}_callee: ret"
        )
    };
    let (named, fetched) = (assemble(&source("n")), assemble(&source("f")));
    let mut graph = LinkGraph::new(&arch::x86_64::MACHINE);
    for (name, data, explicit) in [("n.o", &named, true), ("lib.a(f.o)", &fetched, false)] {
        jitlink::object::read(&mut graph, name, data, ReadOptions { explicit }).expect("sound");
    }
    let program = finish(graph, &Roots { required, keep, ..Roots::default() }, |_| None).expect("complete");
    ["n", "n_callee", "f", "f_callee"].map(|name| program.is_live(name))
}

#[test]
fn the_client_says_how_many_exports_are_roots() {
    assert_eq!(named_and_fetched(Keep::Exported, &[]), [true; 4]);
    assert_eq!(named_and_fetched(Keep::ExplicitlyExported, &[]), [true, true, false, false]);
    assert_eq!(named_and_fetched(Keep::Named, &[]), [false; 4]);
    assert_eq!(named_and_fetched(Keep::Named, &[b"f"]), [false, false, true, true]);
    assert_eq!(named_and_fetched(Keep::Named, &[b"n_callee"]), [false, true, false, false]);
}

#[test]
fn a_root_must_be_defined_if_it_is_required_and_may_be_absent_if_it_is_wanted() {
    let objects = objects([".data\n.globl p\np: .quad 1\n.weak q\n.quad q"]);
    for name in ["nobody", "q"] {
        let roots = Roots { required: &[name.as_bytes()], ..Roots::default() };
        let error = link_with(&objects, &roots, |_| None).err().expect("not defined");
        assert_eq!(error, format!("'{name}' is to be kept, but no object defines it"));
    }
    let roots = Roots { wanted: &[b"nobody", b"p"], keep: Keep::Named, ..Roots::default() };
    assert!(link_with(&objects, &roots, |_| None).expect("complete").is_live("p"));

    // Somebody who is dropped needs it: nobody is asked for it.
    let objects =
        super::support::objects([".section .text.f,\"ax\"\n.globl f\nf: call far\n.data\n.globl p\np: .quad 1"]);
    let roots = Roots { wanted: &[b"far", b"p"], keep: Keep::Named, ..Roots::default() };
    assert!(link_with(&objects, &roots, |_| None).expect("complete").is_live("p"));
}

#[test]
fn what_asks_to_be_retained_is() {
    let objects =
        objects([".section kept,\"awR\"\n.globl k\nk: .quad r\n.section gone,\"aw\"\n.globl g\ng: .quad 1\n\
                            .section reached,\"aw\"\n.globl r\nr: .quad 2"]);
    let roots = Roots { keep: Keep::Named, ..Roots::default() };
    let program = link_with(&objects, &roots, |_| None).expect("complete");
    assert_eq!(["k", "r", "g"].map(|name| program.is_live(name)), [true, true, false]);
}

#[test]
fn arrays_of_initializers_are_kept_and_told_with_their_priorities() {
    let a = "
        .section .init_array.00200,\"aw\",@init_array
        .quad f1
        .section .init_array,\"aw\",@init_array
        .quad f2, f3
        .section .ctors.65435,\"aw\",@progbits
        .quad f4
        .section .fini_array.00101,\"aw\",@fini_array
        .quad f5
        .section .preinit_array,\"aw\",@preinit_array
        .quad f6
        .section .dtors,\"aw\",@progbits
        .quad f7
        .section .text.f,\"ax\"
        .irp n, 1, 2, 3, 4, 5, 6, 7
        .globl f\\n
        f\\n: ret
        .endr
    ";
    let b = ".section .init_array,\"aw\",@init_array\n.quad f1\n.section .init_array.00000,\"aw\",@init_array\n";
    let objects = objects([a, b]);
    let roots = Roots { keep: Keep::Named, ..Roots::default() };
    let program = link_with(&objects, &roots, |_| None).expect("complete");
    let pointers =
        |address: u64, count: u64| -> Vec<u64> { (0..count).map(|i| program.word(address + 8 * i)).collect() };
    let arrays: Vec<_> = program.0.init_arrays().map(|a| (a.kind, pointers(a.address, a.count))).collect();
    let f = |n: u64| program.address(&format!("f{n}"));
    let expected = [
        (InitKind::Init { priority: 200 }, vec![f(1)]),
        (InitKind::Init { priority: 65535 }, vec![f(2), f(3)]),
        (InitKind::Ctors { priority: 100 }, vec![f(4)]),
        (InitKind::Fini { priority: 101 }, vec![f(5)]),
        (InitKind::Preinit, vec![f(6)]),
        (InitKind::Dtors { priority: 65535 }, vec![f(7)]),
        (InitKind::Init { priority: 65535 }, vec![f(1)]),
    ];
    assert_eq!(arrays, expected, "an empty array is none");
}

#[test]
fn strings_are_merged_over_objects_and_references_follow() {
    let source = |name: &str, text: &str| {
        format!(
            ".section .rodata.str,\"aMS\",@progbits,1\n.Lx: .string \"shared\"\n.Ly: .string \"{text}\"\n.data\n.globl {name}\n{name}: .quad .Lx, .Ly, .Ly+1"
        )
    };
    let objects = objects([&source("a", "one"), &source("b", "two")]);
    let program = link(&objects);
    let [a, b] = ["a", "b"].map(|name| [0, 8, 16].map(|at| program.word(program.address(name) + at)));
    assert_eq!(a[0], b[0]);
    assert_eq!([a[0], a[1], b[1]].map(|at| program.bytes(at, 4)), [b"shar", b"one\0", b"two\0"]);
    assert_eq!((a[2], b[2]), (a[1] + 1, b[1] + 1));
}
