//! What becomes of the debug sections of linked objects? Checked on sections written by hand, against what a static linker does; real compilers' and
//! debuggers' part is in `integration-tests/tests/debugger/`.

mod support;

use jitlink::debug::{DebugSection, Input, Merger};
use jitlink::{Keep, Roots};
use proptest::prelude::*;
use support::{Named, Program, compile, link, link_with, objects};

/// The sections of all objects, or of those that are not refused.
fn merge(program: &Program<'_>, objects: &[Named]) -> (Vec<DebugSection>, Vec<String>) {
    let mut merger = Merger::new(&program.0);
    let mut refused = Vec::new();
    for ((name, bytes), sections) in objects.iter().zip(program.0.section_addresses()) {
        let added = merger.add(&Input { name, bytes, sections: &sections }, |name| program.0.address(name));
        refused.extend(added.err().map(|error| error.to_string()));
    }
    (merger.finish(), refused)
}

fn section<'s>(sections: &'s [DebugSection], name: &str) -> &'s [u8] {
    &sections.iter().find(|section| section.name == name).unwrap_or_else(|| panic!("{name} is not there")).bytes
}

fn words(bytes: &[u8]) -> Vec<u64> {
    bytes.chunks(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes"))).collect()
}

#[test]
fn addresses_are_final_and_what_is_not_linked_has_a_tombstone() {
    let source = "\
        .section .text.f,\"ax\"\n.globl f\nf: nop\nret\n.Lend:\n\
        .section .text.g,\"ax\"\n.globl g\ng: nop\nret\n.Lgone:\n\
        .section .debug_addr\n.quad .Lend, .Lgone, f, g\n\
        .section .debug_ranges\n.quad .Lend, .Lgone\n.section .debug_loc\n.quad .Lgone + 4";
    let objects = objects([source]);
    let roots = Roots { required: &[b"f"], keep: Keep::Named, ..Roots::default() };
    let program = link_with(&objects, &roots, |_| None).expect("complete");
    let (sections, refused) = merge(&program, &objects);
    assert!(refused.is_empty(), "{refused:?}");
    let f = program.address("f");
    assert_eq!(words(section(&sections, ".debug_addr")), [f + 2, 0, f, 0]);
    assert_eq!(words(section(&sections, ".debug_ranges")), [f + 2, 1]);
    assert_eq!(words(section(&sections, ".debug_loc")), [1]);
}

#[test]
fn offsets_into_other_sections_follow_them() {
    let source = |text: &str| {
        format!(
            ".text\nret\n.section .debug_str,\"MS\",@progbits,1\n.asciz \"padding\"\n.Ls: .asciz \"{text}\"\n\
             .section .debug_info\n.quad .Ls\n.long .Ls"
        )
    };
    let objects = objects([&source("first"), &source("second")]);
    let (sections, refused) = merge(&link(&objects), &objects);
    assert!(refused.is_empty(), "{refused:?}");
    let strings = section(&sections, ".debug_str");
    let info = section(&sections, ".debug_info");
    for (at, text) in [(0, "first"), (12, "second")] {
        let offset = u64::from_le_bytes(info[at..at + 8].try_into().expect("eight bytes")) as usize;
        assert_eq!(&strings[offset..offset + text.len()], text.as_bytes());
        assert_eq!(info[at + 8..at + 12], (offset as u32).to_le_bytes());
    }
}

#[test]
fn a_group_is_there_once_and_who_refers_to_another_copy_means_it() {
    let source = "\
        .text\nret\n.section .debug_macro,\"G\",@progbits,wm.1,comdat\n.Lm: .quad 7\n\
        .section .debug_macro\n.quad 9, .Lm";
    let plain = ".text\nret\n.section .debug_macro\n.quad 6";
    let objects = objects([plain, source, source]);
    let (sections, refused) = merge(&link(&objects), &objects);
    assert!(refused.is_empty(), "{refused:?}");
    let macros = words(section(&sections, ".debug_macro"));
    let imported = macros.iter().position(|word| *word == 7).expect("one copy") as u64 * 8;
    assert_eq!(macros.iter().filter(|word| **word == 7).count(), 1);
    assert_eq!(macros.iter().filter(|word| **word == imported).count(), 2, "{macros:?}");
}

#[test]
fn indices_and_damaged_objects_are_left_out() {
    let good = ".text\nret\n.section .debug_info\n.quad 1\n.section .debug_names\n.quad 2";
    let bad = ".text\nret\n.section .debug_abbrev\n.quad 3\n.section .debug_info\n.long x@GOTPCREL";
    let objects = objects([good, bad, good]);
    let (sections, refused) = merge(&link(&objects), &objects);
    assert_eq!(refused.len(), 1);
    assert!(refused[0].contains("b.o") && refused[0].contains(".debug_info"), "{refused:?}");
    assert_eq!(sections.len(), 1, "{sections:?}");
    assert_eq!(words(section(&sections, ".debug_info")), [1, 1]);
}

#[test]
fn compressed_sections_are_those_that_are_not() {
    let source = "int f(int x) { int y = x * 2; return y; }\nint g(int x) { return f(x) + f(1); }";
    let plain = [("a.o", compile("c", &["-g", "-gz=none", "-gno-record-gcc-switches"], source))];
    let compressed = [("a.o", compile("c", &["-g", "-gz=zlib", "-gno-record-gcc-switches"], source))];
    assert!(compressed[0].1.len() < plain[0].1.len(), "nothing is compressed");
    let of = |objects: &[Named]| merge(&link(objects), objects);
    assert_eq!(of(&plain), of(&compressed));
}

proptest! {
    #[test]
    fn damage_is_told_and_never_a_panic(at in 0usize..1 << 14, value: u8, cut in 0usize..1 << 14) {
        thread_local! {
            static WHOLE: Vec<u8> = compile("c++", &["-g3", "-gz", "-fdebug-types-section"], "struct S { int x; }; int f(S s) { return s.x; }");
        }
        WHOLE.with(|whole| {
            let objects = [("a.o", whole.clone())];
            let program = link(&objects);
            let sections = program.0.section_addresses();
            let mut changed = whole.clone();
            let size = changed.len();
            changed[at % size] = value;
            for bytes in [&changed[..], &whole[..cut % size]] {
                let mut merger = Merger::new(&program.0);
                let added = merger.add(&Input { name: "a.o", bytes, sections: &sections[0] }, |_| None);
                let total: usize = merger.finish().iter().map(|section| section.bytes.len()).sum();
                prop_assert!(added.is_ok() || total == 0);
            }
            Ok(())
        })?;
    }
}
