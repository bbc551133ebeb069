//! Who defines a name, and who sees it.

use super::support::{BASE, STORAGE, X86_64, assemble, c, link, link_with, read, refused, try_read};
use jitlink::graph::{Definition, LinkGraph, Linkage, Scope, SymbolKind};
use jitlink::{Resolution, Roots};

fn answer(at: u64) -> impl FnMut(jitlink::External<'_>) -> Option<Resolution> {
    move |external| (external.name == b"outside").then(|| Resolution::new(at, true))
}

#[test]
fn names_are_spelled_as_objects_do_or_as_c_does() {
    let objects = [assemble(".globl _f, plain\n_f: ret\nplain: ret")];
    let as_c = read(&objects);
    assert!(as_c.find(b"f").is_some() && as_c.find(b"_f").is_none() && as_c.find(b"plain").is_some());
    let mut graph = LinkGraph::new(X86_64);
    jitlink::object::read(&mut graph, "a.o", &objects[0], Default::default()).expect("a sound object");
    assert!(graph.find(b"_f").is_some() && graph.find(b"f").is_none() && graph.find(b"plain").is_some());
}

#[test]
fn of_weak_definitions_the_first_counts_and_a_strong_one_more() {
    let weak = |value: u32| {
        assemble(&format!(
            ".globl _f, _use{value}\n.weak_definition _f\n_f: mov ${value}, %eax\nret\n_use{value}: call _f\nret"
        ))
    };
    let objects = [weak(1), weak(2)];
    let program = link(&objects);
    assert_eq!(program.bytes(program.address("f"), 2), [0xb8, 1]);
    // Both call the one that counts.
    for name in ["use1", "use2"] {
        let at = program.address(name);
        let distance = i32::from_le_bytes(program.bytes(at + 1, 4).try_into().expect("four bytes"));
        assert_eq!((at + 5).wrapping_add_signed(distance.into()), program.address("f"), "{name}");
    }
    let objects = [weak(1), assemble(".globl _f\n_f: mov $9, %eax\nret")];
    let program = link(&objects);
    assert_eq!(program.bytes(program.address("f"), 2), [0xb8, 9]);
}

#[test]
fn two_strong_definitions_are_an_error_that_names_both_objects() {
    let objects = [assemble(".globl _f\n_f: ret"), assemble(".globl _f\n_f: ret")];
    let error = try_read(X86_64, &objects).map(|_| ()).expect_err("two definitions").to_string();
    assert_eq!(error, "b.o: duplicate definition of 'f', first defined in a.o");
}

#[test]
fn private_external_names_are_hidden() {
    let objects = [c("__attribute__((visibility(\"hidden\"))) int h = 1; int e = 2; static int l = 3; int *p = &l;")];
    let graph = read(&objects);
    let scope = |name: &str| {
        let named = graph.symbols().iter().find(|symbol| symbol.name == name.as_bytes());
        named.map(|symbol| (symbol.scope, symbol.kind)).expect(name)
    };
    assert_eq!(scope("h"), (Scope::Hidden, SymbolKind::Object));
    assert_eq!(scope("e"), (Scope::Default, SymbolKind::Object));
    assert_eq!(scope("l"), (Scope::Local, SymbolKind::Object));
}

#[test]
fn a_weak_reference_may_be_null() {
    let objects = [c(
        "extern int maybe(void) __attribute__((weak_import)); int here(void) { return maybe ? maybe() : -1; } extern int outside(void); int there(void) { return outside(); }",
    )];
    let program = link_with(&objects, &Roots::default(), STORAGE, answer(BASE + 0x1000)).expect("nothing is missing");
    assert_eq!(program.address("maybe"), 0);
    let error = link_with(&objects, &Roots::default(), STORAGE, |_| None).map(|_| ()).expect_err("outside is missing");
    assert!(error.to_string().contains("outside"), "{error}");
}

#[test]
fn tentative_definitions_are_the_largest_of_all() {
    let objects = [
        assemble(".comm _shared,4,2\n.globl _p\n.data\n_p: .quad _shared"),
        assemble(".comm _shared,64,5"),
        assemble(".comm _alone,8"),
    ];
    let program = link(&objects);
    let symbol = program.symbol("shared");
    assert_eq!((symbol.size, symbol.address % 32), (64, 0));
    assert_eq!(program.word(program.address("p")), symbol.address);
    assert_eq!(program.address("alone") % 8, 0, "natural alignment");
}

#[test]
fn a_resolver_gives_the_function() {
    let objects = [assemble(
        ".globl _f\n.symbol_resolver _f\n_f: lea _g(%rip), %rax\nret\n_g: ret\n.globl _use\n_use: call _f\nret",
    )];
    let program = link(&objects);
    assert_eq!(program.symbol("f").kind, SymbolKind::Indirect);
    let [indirect] = program.0.indirect[..] else { panic!("one indirect function") };
    assert_eq!(program.bytes(indirect.resolver, 3), [0x48, 0x8d, 0x05]);
}

#[test]
fn absolute_symbols_and_sizes() {
    let objects =
        [assemble(".globl _abs, _f, _v\n_abs = 0x1234\n_f: nop\nret\n_g: ret\n.data\n_v: .quad 1, 2\n_w: .quad 3")];
    let graph = read(&objects);
    let symbol = |name: &str| graph.symbols().iter().find(|symbol| symbol.name == name.as_bytes()).expect(name);
    assert_eq!((symbol("abs").definition, symbol("abs").value), (Definition::Absolute, 0x1234));
    // The format has no sizes: up to the next symbol.
    assert_eq!((symbol("f").size, symbol("v").size, symbol("w").size), (2, 16, 8));
    assert_eq!(symbol("f").linkage, Linkage::Strong);
}

#[test]
fn distances_between_symbols_go_either_way() {
    let objects = [assemble(
        ".globl _t\n_f: ret\n.const\n_t: .long _f - _t\n.long _t - _f\n.quad _f - _t + 5\n.quad _t - _f - 7\n.long _f - .",
    )];
    let program = link(&objects);
    let (t, f) = (program.address("t"), program.address("f"));
    let word = |at: u64| i64::from(i32::from_le_bytes(program.bytes(t + at, 4).try_into().expect("four bytes")));
    let distance = f.wrapping_sub(t) as i64;
    assert_eq!((word(0), word(4), word(24)), (distance, -distance, distance - 24));
    assert_eq!((program.word(t + 8) as i64, program.word(t + 16) as i64), (distance + 5, -distance - 7));
}

#[test]
fn a_distance_between_two_others_is_refused_with_the_reason() {
    let objects = [assemble("_f: ret\n.const\n_c: .quad 1\n.data\n.globl _d\n_d: .quad _f - _c")];
    let error = try_read(X86_64, &objects).map(|_| ()).expect_err("no fixup says it").to_string();
    assert!(error.contains("a distance between two symbols of which neither is where it is stored"), "{error}");
}

#[test]
fn references_that_name_sections_find_their_block() {
    let source = "static const char *const names[] = {\"one\", \"two\"}; const char *const *all(void) { return names; } const char *first(void) { return \"two\"; }";
    let objects =
        [c(source), c("const char *other(void) { return \"one\"; } const char *third(void) { return \"zero\"; }")];
    let program = link(&objects);
    let names = program.address("names");
    let text = |at: u64| program.bytes(program.word(names + at), 4);
    assert_eq!((text(0), text(8)), (&b"one\0"[..], &b"two\0"[..]));
    // `lea text(%rip), %rax` of each function: strings that are equal in both objects are one.
    let loaded = |function: &str| {
        let code = program.address(function);
        let at = program.bytes(code, 16).windows(3).position(|bytes| bytes == [0x48, 0x8d, 0x05]).expect("lea") as u64;
        let distance = i32::from_le_bytes(program.bytes(code + at + 3, 4).try_into().expect("four bytes"));
        (code + at + 7).wrapping_add_signed(distance.into())
    };
    assert_eq!((loaded("first"), loaded("other")), (program.word(names + 8), program.word(names)));
    assert_eq!(program.bytes(loaded("third"), 5), b"zero\0");
}

#[test]
fn what_has_no_place_here_says_so() {
    let error = refused(&assemble("_f: ret\n.globl _a\n.data\n.globl _p\n_p: .quad _a\n_a = _elsewhere"));
    assert!(error.contains("another name of an undefined one"), "{error}");
}
