//! What do an object's options to its linker do?

use super::support::{link_only, link_with, objects, refused};
use jitlink::{Keep, Roots};

/// An object with these options and this code.
fn with(options: &str, code: &str) -> String {
    format!(".section .drectve, \"yn\"\n.ascii \"{}\"\n.text\n{code}", options.replace('"', "\\\""))
}

#[test]
fn include_keeps_a_name_and_wants_it() {
    let source = with(
        " /include:kept -INCLUDE:\"also\"",
        ".section .text,\"xr\",one_only,kept\n.globl kept\nkept: ret\n\
        .section .text,\"xr\",one_only,other\n.globl other\nother: ret\n.text\n.globl also\nalso: ret",
    );
    let alone = objects([&*source]);
    let program = link_only(&alone, &[]);
    assert!(program.is_live("kept") && program.is_live("also") && !program.is_live("other"));
    let missing = objects([&*with("/include:nobody", "ret")]);
    let roots = Roots { keep: Keep::Named, ..Roots::default() };
    let error = link_with(&missing, &roots, |_| None).err().expect("nobody defines it");
    assert!(error.contains("unresolved symbol: nobody"), "{error}");
}

#[test]
fn export_keeps_a_name_and_gives_another_one() {
    let source = with("/export:f,DATA /export:g=f,@3,NONAME", ".globl f\nf: ret");
    let alone = objects([&*source]);
    let program = link_only(&alone, &[]);
    assert!(program.is_live("f"));
    assert_eq!(program.address("g"), program.address("f"));
}

#[test]
fn an_alternate_name_counts_where_the_name_itself_is_not_defined() {
    let source = with("/alternatename:f=g", ".globl g\ng: nop\nret\n.data\n.globl p\np: .quad f");
    let alone = objects([&*source]);
    let program = super::support::link(&alone);
    assert_eq!(program.word_at("p"), program.address("g"));
    let both = objects([&*source, ".globl f\nf: ret"]);
    let program = super::support::link(&both);
    assert_eq!(program.word_at("p"), program.address("f"));
    assert_ne!(program.address("f"), program.address("g"));
}

#[test]
fn what_has_to_agree_has_to_agree() {
    let of =
        |value| with(&format!("/failifmismatch:\"_ITERATOR_DEBUG_LEVEL={value}\" /FAILIFMISMATCH:\"other=1\""), "ret");
    let [a, b] = [of(0), of(2)];
    assert_eq!(
        refused(&objects([&*a, &*b])),
        "b.obj: has '2' for '_ITERATOR_DEBUG_LEVEL', and a.obj has '0' (/failifmismatch): compile both alike"
    );
    assert!(super::support::graph(&objects([&*a, &*a])).is_ok());
}

#[test]
fn merged_sections_stand_together_and_rights_are_set() {
    let source = with(
        "/merge:.mine=.yours /section:.yours,RW",
        ".section .yours,\"dr\"\n.globl a\na: .quad 1\n.section .between,\"dr\"\n.globl x\nx: .quad 2\n\
         .section .mine,\"dr\"\n.globl b\nb: .secrel32 b\n.secrel32 a",
    );
    let alone = objects([&*source]);
    let program = super::support::link(&alone);
    assert_eq!(program.half_at("b", 4), 0);
    // The rights are those of the section that was named; the merged one has kept its own.
    let graph = program.0.graph();
    let of = |name: &str| graph.section_of(program.symbol(name).block().expect("a block")).prot;
    assert_eq!(of("a"), jitlink::graph::Prot::READ | jitlink::graph::Prot::WRITE);
    assert_eq!(of("x"), jitlink::graph::Prot::READ);
    let both = with("/section:.text,RWE", "ret");
    assert!(refused(&objects([&*both])).contains("writable and executable at once"));
}

#[test]
fn what_is_not_known_is_told_and_ends_nothing() {
    let source = with("/defaultlib:libcmt /frobnicate:x nonsense /opt:ref", "ret");
    let alone = objects([&*source]);
    let graph = super::support::graph(&alone).expect("nothing is wrong");
    let told: Vec<_> = graph.notes().iter().map(|note| note.text.as_str()).collect();
    assert_eq!(
        told,
        [
            "'libcmt' is wanted as a library, and not looked for (.drectve)",
            "'/frobnicate:x' is an option that is not known (.drectve)",
            "'nonsense' is no option (.drectve)",
        ]
    );
}

#[test]
fn options_that_are_not_whole_are_errors() {
    for (option, said) in [
        ("/alternatename:x", "is to be NAME=OTHER"),
        ("/failifmismatch:x", "is to be KEY=VALUE"),
        ("/merge:x", "is to be FROM=TO"),
        ("/section:.x,Q", "rights of another kind"),
        ("-aligncomm:\"x\",99", "an alignment of 0 to 13"),
    ] {
        let source = with(option, "ret");
        let text = refused(&objects([&*source]));
        assert!(text.starts_with("a.obj: section .drectve: malformed: option") && text.contains(said), "{text}");
    }
}

#[test]
fn common_symbols_have_the_alignment_that_an_option_says() {
    let source = with("-aligncomm:\"c\",8", ".comm c, 4\n.data\n.globl p\np: .quad c");
    let alone = objects([&*source]);
    let program = super::support::link(&alone);
    assert_eq!(program.address("c") % 256, 0);
}

#[test]
fn names_that_gnu_tools_exclude_are_hidden() {
    let source = with("-exclude-symbols:f,g", ".globl f, g, h\nf: ret\ng: ret\nh: ret");
    let alone = objects([&*source]);
    let program = super::support::link(&alone);
    let exports: Vec<_> = program.0.exports().map(|export| export.name).collect();
    assert_eq!(exports, [b"h"]);
}
