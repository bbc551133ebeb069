//! What runs by itself: initializers and finalizers.

use super::support::{assemble, c, link, refused, with_section_type};
use jitlink::graph::InitKind;

#[test]
fn initializers_and_finalizers_are_arrays_of_addresses() {
    let objects = [assemble(
        "_i: ret\n_j: ret\n_t: ret\n.section __DATA,__mod_init_func,mod_init_funcs\n.quad _i, _j\n\
         .section __DATA,__mod_term_func,mod_term_funcs\n.quad _t",
    )];
    let program = link(&objects);
    let arrays: Vec<_> = program.0.init_arrays().collect();
    let kinds: Vec<_> = arrays.iter().map(|array| (array.kind, array.count)).collect();
    assert_eq!(kinds, [(InitKind::Init { priority: 65535 }, 2), (InitKind::Fini { priority: 65535 }, 1)]);
    assert_eq!(program.word(arrays[0].address), program.address("i"));
    assert_eq!(program.word(arrays[0].address + 8), program.address("j"));
    assert_eq!(program.word(arrays[1].address), program.address("t"));
}

#[test]
fn a_constructor_of_c_is_kept_though_nobody_names_it() {
    let objects = [c(
        "int seen; extern int *volatile where; __attribute__((constructor)) static void start(void) { *where = seen++; } int *volatile where = &seen;",
    )];
    let program = link(&objects);
    let [array] = program.0.init_arrays().collect::<Vec<_>>()[..] else { panic!("one array") };
    assert_eq!(program.word(array.address), program.address("start"));
}

#[test]
fn initializers_as_offsets_become_addresses() {
    let source = "_start: nop\n_i: ret\n_j: ret\n.section __TEXT,__init_offsets\n.long _j - _start\n.long _i - _start";
    // S_INIT_FUNC_OFFSETS
    let objects = [with_section_type(assemble(source), "__init_offsets", 0x16)];
    let program = link(&objects);
    let [array] = program.0.init_arrays().collect::<Vec<_>>()[..] else { panic!("one array") };
    assert_eq!((array.kind, array.count), (InitKind::Init { priority: 65535 }, 2));
    assert_eq!(program.word(array.address), program.address("j"));
    assert_eq!(program.word(array.address + 8), program.address("i"));
}

#[test]
fn half_an_initializer_is_malformed() {
    let error = refused(&assemble("_i: ret\n.section __DATA,__mod_init_func,mod_init_funcs\n.quad _i\n.long 0"));
    assert!(error.contains("__DATA,__mod_init_func: malformed: holds addresses, and part of one"), "{error}");
}
