//! In which order do the initializers of one dylib run, over all its objects (rule 6)?

use dylib_graph::init::{ArrayKind, InitSection, Priority, finalizer_order, initializer_order};

/// The names of the sections in the order in which they run; sections are given as (object, name) in the order of objects.
fn order(sections: &[(u32, &str)], of: fn(&[InitSection]) -> Vec<usize>) -> Vec<String> {
    let arrays: Vec<InitSection> = sections
        .iter()
        .enumerate()
        .map(|(at, &(object, name))| InitSection::from_name(name, object, u32::try_from(at).unwrap()).unwrap())
        .collect();
    of(&arrays).into_iter().map(|at| format!("{}{}", sections[at].0, sections[at].1)).collect()
}

#[test]
fn rule_06_preinit_then_ascending_priority_then_the_unsuffixed() {
    let sections = [
        (0, ".init_array"),
        (0, ".init_array.200"),
        (0, ".ctors.65434"), // effective 101
        (1, ".init_array.00101"),
        (1, ".preinit_array"),
        (1, ".init_array.65535"),
        (1, ".ctors"),
        (2, ".init_array"),
        (2, ".ctors.00000"), // effective 65535
    ];
    let expected = [
        "1.preinit_array",
        "0.ctors.65434",
        "1.init_array.00101",
        "0.init_array.200",
        "1.init_array.65535",
        "2.ctors.00000",
        "0.init_array",
        "1.ctors",
        "2.init_array",
    ];
    assert_eq!(order(&sections, initializer_order), expected);
}

#[test]
fn rule_06_equal_priorities_come_in_the_order_of_objects_then_of_sections() {
    let arrays = [(2, 5), (1, 9), (1, 3), (0, 7)];
    let arrays = arrays.map(|(object, section)| InitSection::from_name(".init_array.5", object, section).unwrap());
    assert_eq!(initializer_order(&arrays), [3, 2, 1, 0]);
}

#[test]
fn rule_06_finalizers_run_in_the_reverse_of_initializers() {
    let sections = [
        (0, ".fini_array"),
        (0, ".fini_array.200"),
        (0, ".init_array"),
        (1, ".dtors.65434"),
        (1, ".fini_array.300"),
        (1, ".dtors"),
    ];
    let expected = ["1.dtors", "0.fini_array", "1.fini_array.300", "0.fini_array.200", "1.dtors.65434"];
    assert_eq!(order(&sections, finalizer_order), expected);
}

#[test]
fn rule_06_only_arrays_have_a_place() {
    for name in [".init", ".init_array_x", ".init_arrayx", ".ctor", "init_array", "", ".text", ".fini", ".dtorsx"] {
        assert_eq!(InitSection::from_name(name, 0, 0), None, "{name}");
    }
}

#[test]
fn rule_06_what_is_not_a_number_is_no_priority() {
    let priority = |name| InitSection::from_name(name, 0, 0).unwrap().priority;
    for name in [".init_array.", ".init_array.x", ".init_array.-1", ".init_array.1x", ".ctors.+3", ".init_array"] {
        assert_eq!(priority(name), Priority::LAST, "{name}");
    }
    assert_eq!(priority(".init_array.00000"), Priority::new(0));
    assert_eq!(priority(".ctors.65535"), Priority::new(0));
    assert_eq!(priority(".ctors.99999"), Priority::new(0), "beyond the range counts as its end");
    // More digits than any number type holds: late, but before those without a number.
    assert!(priority(".init_array.99999999999999999999999") < Priority::LAST);
    assert!(priority(".init_array.4294967295") < Priority::LAST);
}

#[test]
fn rule_06_end_marks_are_skipped_where_they_exist() {
    for kind in [ArrayKind::Ctors, ArrayKind::Dtors] {
        assert!(kind.skips(0, 8) && kind.skips(u64::MAX, 8) && kind.skips(0xffff_ffff, 4));
        assert!(!kind.skips(0xffff_ffff, 8) && !kind.skips(0x1000, 8));
    }
    for kind in [ArrayKind::Preinit, ArrayKind::Init, ArrayKind::Fini] {
        assert!(kind.skips(0, 8));
        assert!(!kind.skips(u64::MAX, 8));
    }
}

#[test]
fn rule_06_direction_inside_an_array() {
    let backward = [ArrayKind::Preinit, ArrayKind::Init, ArrayKind::Ctors, ArrayKind::Fini, ArrayKind::Dtors]
        .map(ArrayKind::runs_backward);
    assert_eq!(backward, [false, false, true, true, false]);
}
