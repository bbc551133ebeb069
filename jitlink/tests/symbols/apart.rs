//! What a graph is to other graphs of its dylib.

use super::support::{graph, objects};
use jitlink::graph::Definition;
use jitlink::{FlatMemory, Link, LinkOptions, Resolution, Roots};

#[test]
fn hidden_names_are_asked_for_where_the_dylib_has_other_graphs() {
    let objects = objects([".data\n.globl p\np: .quad other\n.hidden other"]);
    let place = |has_siblings| {
        let options = LinkOptions { has_siblings, ..LinkOptions::default() };
        let pruned = Link::new(graph(&objects).expect("sound"), options).prune(&Roots::default()).expect("complete");
        pruned.place(&FlatMemory::new(1 << 40)).expect("memory")
    };
    let other = Some(Resolution::new(0x1234, false));
    assert_eq!((place(false).asked().count(), place(true).asked().count()), (0, 1));
    assert!(place(false).resolve(|_| other).is_err(), "nobody outside may define it");
    let linked = place(true).resolve(|_| other).expect("a sibling has it").finalize().expect("in range");
    let p = linked.exports().next().expect("p").address;
    assert_eq!(linked.allocation.at(p, 8), Some(&0x1234u64.to_le_bytes()[..]));
}

#[test]
fn hidden_names_are_for_the_dylib_alone() {
    let objects = objects([".data\n.globl p, q\n.hidden q\np: .quad q\nq: .quad 1"]);
    let pruned =
        Link::new(graph(&objects).expect("sound"), LinkOptions::default()).prune(&Roots::default()).expect("complete");
    let placed = pruned.place(&FlatMemory::new(1 << 40)).expect("memory");
    assert_eq!(placed.exported(b"q"), None);
    assert_eq!(placed.defined(b"q").map(|found| found.address), placed.exported(b"p").map(|found| found.address + 8));
}

/// Calls and what runs by itself mean the function; its address is what everybody has.
#[test]
fn a_detached_function_is_called_by_its_own_and_known_by_another_s_address() {
    let source = "
        .text
        .globl f, g
        .type f, @function
        f: .cfi_startproc
        ret
        .cfi_endproc
        g: call f
        lea f(%rip), %rax
        ret
        .data
        .globl pointer
        pointer: .quad f
        .section .init_array,\"aw\"
        .quad f
    ";
    let objects = objects([source]);
    let mut graph = graph(&objects).expect("sound");
    let f = graph.find(b"f").expect("it is there");
    let detached = graph.detach(&[f]);
    assert_eq!(graph.symbol(f).definition, Definition::Undefined);
    let pruned = Link::new(graph, LinkOptions::default()).prune(&Roots::default()).expect("complete");
    let placed = pruned.place(&FlatMemory::new(1 << 20)).expect("memory");
    let names: Vec<_> = placed.externals().map(|external| external.name.to_vec()).collect();
    assert_eq!(names, [b"f"]);
    let own = placed.resolution(placed.graph().symbol(detached[0])).expect("it is kept").address;
    let stub = own + 0x1000;
    let linked = placed.resolve(|_| Some(Resolution::new(stub, true))).expect("complete").finalize().expect("in range");
    let address = |name: &str| linked.exports().find(|one| one.name == name.as_bytes()).expect("it is there").address;
    let word = |at: u64| u64::from_le_bytes(linked.allocation.at(at, 8).expect("inside").try_into().expect("eight"));
    let half = |at: u64| i32::from_le_bytes(linked.allocation.at(at, 4).expect("inside").try_into().expect("four"));
    let g = address("g");
    assert_eq!((g + 5).wrapping_add_signed(half(g + 1).into()), own, "a call");
    assert_eq!((g + 12).wrapping_add_signed(half(g + 8).into()), stub, "an address");
    assert_eq!(word(address("pointer")), stub);
    let array = linked.init_arrays().next().expect("one").address;
    assert_eq!(word(array), own, "what runs by itself");
    assert!(linked.eh_frame.is_some(), "it unwinds");
}
