//! Where do sections go, and what is never loaded?

use super::support::{Named, compile, link, link_only, objects, refused};
use jitlink::graph::{InitKind, Prot};

#[test]
fn grouped_sections_stand_in_the_order_of_what_follows_the_dollar() {
    let of = |letter: &str, number: u32| {
        format!(".section .list${letter},\"dr\"\n.globl {letter}{number}\n{letter}{number}: .long {number}\n")
    };
    let a = of("z", 9) + &of("m", 1) + ".section .list,\"dr\"\n.globl first\nfirst: .long 7\n";
    let b = of("m", 2) + &of("a", 0) + ".section .else,\"dr\"\n.globl x\nx: .long 3\n";
    let both = objects([&*a, &*b]);
    let program = link(&both);
    let at = ["first", "a0", "m1", "m2", "z9"].map(|name| program.address(name));
    assert_eq!(at.map(|address| address - at[0]), [0, 4, 8, 12, 16], "each begins where the last one ends");
}

#[test]
fn a_run_may_hold_zeros() {
    let source = ".section .r$a,\"dw\"\n.globl a\na: .long 1\n.section .r$b,\"bw\"\n.globl b\nb: .zero 8\n.section .r$c,\"dw\"\n.globl c\nc: .long 3";
    let alone = objects([source]);
    let program = link(&alone);
    assert_eq!(program.address("c") - program.address("a"), 12);
    assert_eq!(program.bytes(program.address("b"), 8), [0; 8]);
}

#[test]
fn initializers_are_in_the_order_of_their_sections_names() {
    let of = |section: &str, name: &str| format!(".section .CRT${section},\"dr\"\n.p2align 3\n.quad {name}\n");
    let code = |names: &[&str]| names.iter().map(|name| format!(".text\n{name}: nop\n")).collect::<String>();
    let a = of("XCU", "u1") + &of("XCZ", "0") + &of("XIB", "i1") + &of("XTA", "t1") + &code(&["u1", "i1", "t1"]);
    let b = of("XCU", "u2") + &of("XCA", "0") + &of("XCL", "l2") + &of("XPA", "p2") + &code(&["u2", "l2", "p2"]);
    let both = objects([&*a, &*b]);
    let program = link_only(&both, &[]);
    let arrays: Vec<_> = program.0.init_arrays().collect();
    let words = |kind: InitKind| -> Vec<u64> {
        let of_kind = arrays.iter().filter(|array| array.kind == kind);
        let word = |at: u64| u64::from_le_bytes(program.bytes(at, 8).try_into().expect("eight bytes"));
        of_kind.flat_map(|array| (0..array.count).map(|at| word(array.address + 8 * at)).collect::<Vec<_>>()).collect()
    };
    let graph = program.0.graph();
    let place = |name: &str| {
        let symbol = graph.symbols().iter().find(|symbol| symbol.name == name.as_bytes()).expect("a label");
        symbol.address
    };
    assert_eq!(words(InitKind::Init { priority: u16::MAX }), [0, place("l2"), place("u1"), place("u2"), 0]);
    assert_eq!(words(InitKind::Init { priority: 0 }), [place("i1")]);
    assert_eq!(words(InitKind::Fini { priority: u16::MAX }), [place("p2")]);
    assert_eq!(words(InitKind::Fini { priority: 0 }), [place("t1")]);
}

#[test]
fn debug_information_and_what_is_for_linkers_is_not_loaded() {
    let source = "int f(int x) { return x + 1; } int (*p)(int) = f;";
    for flags in [&["-g", "-gcodeview"][..], &["-g", "-gdwarf"], &["-faddrsig"]] {
        let object = super::support::clang("x86_64-pc-windows-msvc", "c", flags, source);
        let alone: [Named; 1] = [("a.obj", object)];
        let program = link(&alone);
        for (name, _) in program.sections() {
            assert!(!name.starts_with(".debug") && name != ".llvm_addrsig" && name != ".drectve", "{name}");
        }
        assert_eq!(program.word_at("p"), program.address("f"));
    }
}

#[test]
fn zeros_and_rights() {
    let alone: [Named; 1] =
        [("a.obj", compile("int zeros[100]; int one = 1; const int two = 2; int f(void) { return one; }"))];
    let program = link(&alone);
    let graph = program.0.graph();
    let prot = |name: &str| graph.section_of(program.symbol(name).block().expect("a block")).prot;
    assert_eq!(prot("zeros"), Prot::READ | Prot::WRITE);
    assert_eq!(prot("one"), Prot::READ | Prot::WRITE);
    assert_eq!(prot("two"), Prot::READ);
    assert_eq!(prot("f"), Prot::READ | Prot::EXEC);
    assert!(program.bytes(program.address("zeros"), 400).iter().all(|byte| *byte == 0));
    assert!(refused(&objects([".section .x,\"xw\"\nret"])).contains("writable and executable at once"));
}
