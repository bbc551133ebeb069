//! COMDAT groups and sections that depend on others: kept or dropped whole.

use super::support::{link, link_with, objects};
use jitlink::{Keep, Roots};

/// Function and data of one group, `value` in the data; `also` stands beside it.
fn group(value: u8, also: &str) -> String {
    format!(
        ".section .text.f,\"axG\",@progbits,sig,comdat\n.weak f\nf: lea d(%rip), %rax\nret\n\
         .section .data.d,\"awG\",@progbits,sig,comdat\n.weak d\nd: .quad {value}\n{also}"
    )
}

#[test]
fn the_first_group_of_a_signature_is_kept_and_the_others_names_mean_its_own() {
    let first = group(1, ".data\n.globl a\na: .quad f, d");
    let second = group(2, ".data\n.globl b\nb: .quad f, d");
    let objects = objects([&first, &second]);
    let program = link(&objects);
    for user in ["a", "b"] {
        let user = program.address(user);
        assert_eq!(program.word(user), program.address("f"));
        assert_eq!(program.word(program.word(user + 8)), 1);
    }
    let graph = program.0.graph();
    assert_eq!(graph.groups().len(), 1);
    assert!(graph.sections().iter().filter(|section| section.name == b".text.f").count() == 1);
}

#[test]
fn a_member_keeps_its_group() {
    let source =
        group(1, ".section .data.e,\"awG\",@progbits,sig,comdat\n.globl e\ne: .quad 5\n.data\n.globl a\na: .quad d");
    let objects = objects([&source]);
    let roots = Roots { required: &[b"a"], keep: Keep::Named, ..Roots::default() };
    let program = link_with(&objects, &roots, |_| None).expect("complete");
    assert!(program.is_live("f") && program.is_live("d") && program.is_live("e"));
    let nothing = Roots { keep: Keep::Named, ..Roots::default() };
    let program = link_with(&objects, &nothing, |_| None).expect("complete");
    assert!(!program.is_live("f") && !program.is_live("e"));
}

#[test]
fn a_strong_definition_in_a_dropped_group_is_no_duplicate() {
    let strong = group(1, "").replace(".weak", ".globl");
    let objects = objects([&strong, &strong]);
    assert_eq!(link(&objects).word_at("d"), 1);
}

#[test]
fn a_group_that_is_no_comdat_is_compared_with_no_other() {
    let plain = |name: &str| format!(".section .data.d,\"awG\",@progbits,sig\n.globl {name}\n{name}: .quad 1");
    let objects = objects([&plain("x"), &plain("y")]);
    let program = link(&objects);
    assert_eq!((program.word_at("x"), program.word_at("y")), (1, 1));
}

#[test]
fn a_reference_into_a_dropped_group_by_a_local_name_is_an_error_only_if_it_is_reached() {
    let local = "\n.section .data.d,\"awG\",@progbits,sig,comdat\nhere: .quad 9\n.data\n.globl b\nb: .quad here";
    let (first, second) = (group(1, ""), group(2, local));
    let objects = objects([&first, &second]);
    let error = link_with(&objects, &Roots::default(), |_| None).err().expect("b reaches it");
    assert_eq!(
        error,
        "b.o:(.data+0x0) in b: refers to 'here', whose section was dropped because an earlier object has the same group"
    );
    let roots = Roots { required: &[b"f"], keep: Keep::Named, ..Roots::default() };
    let program = link_with(&objects, &roots, |_| None).expect("nobody reaches it");
    assert!(!program.is_live("b"));
}

#[test]
fn what_is_ordered_by_a_section_shares_its_fate() {
    let source = "
        .section .text.f,\"ax\"
        .globl f
        f: ret
        .section about,\"ao\",@progbits,.text.f
        .globl about_f
        about_f: .quad 1
        .section more,\"ao\",@progbits,about
        .globl more_f
        more_f: .quad 2
        .text
        .globl g
        g: ret
    ";
    let objects = objects([source]);
    for (root, live) in [("f", true), ("g", false)] {
        let roots = Roots { required: &[root.as_bytes()], keep: Keep::Named, ..Roots::default() };
        let program = link_with(&objects, &roots, |_| None).expect("complete");
        assert_eq!([program.is_live("about_f"), program.is_live("more_f")], [live, live], "{root}");
    }
}

#[test]
fn what_is_ordered_by_a_dropped_section_is_dropped_with_it() {
    // As tools that list functions do it: entries outside of the group, ordered by the function's section.
    let entry = |value| {
        group(
            value,
            "\n.section list,\"awo\",@progbits,.text.f\n.quad f\n.section list_of_lists,\"awo\",@progbits,list\n.quad 1",
        )
    };
    let first = entry(1)
        + "\n.data\n.globl ends\nends: .quad __start_list, __stop_list, __start_list_of_lists, __stop_list_of_lists";
    let objects = objects([&first, &entry(2), &entry(3)]);
    let program = link(&objects);
    let [start, stop, start2, stop2] = [0, 8, 16, 24].map(|at| program.word(program.address("ends") + at));
    assert_eq!((stop - start, stop2 - start2), (8, 8), "one entry of each");
    assert_eq!(program.word(start), program.address("f"));
}

#[test]
fn call_frame_information_goes_with_its_group() {
    let function = |other: &str| {
        format!(
            ".section .text.f,\"axG\",@progbits,sig,comdat\n.weak f\nf: .cfi_startproc\nret\n.cfi_endproc\n\
             .text\n.globl {other}\n{other}: .cfi_startproc\nnop\nret\n.cfi_endproc"
        )
    };
    let objects = objects([&function("g"), &function("h")]);
    let program = link(&objects);
    let (start, size) = program.0.eh_frame.expect("there is some");
    let mut at = start;
    let mut records = Vec::new();
    while at < start + size {
        let length = u32::from_le_bytes(program.bytes(at, 4).try_into().expect("four bytes"));
        if length == 0 {
            break;
        }
        if program.bytes(at + 4, 4) != [0; 4] {
            let distance = i32::from_le_bytes(program.bytes(at + 8, 4).try_into().expect("four bytes"));
            records.push((at + 8).wrapping_add_signed(distance.into()));
        }
        at += 4 + u64::from(length);
    }
    assert_eq!(at + 4, start + size, "the zero word is the last");
    assert_eq!(records, ["f", "g", "h"].map(|name| program.address(name)));
}
