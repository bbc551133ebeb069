//! How sections are cut, and what each piece asks for.

use super::support::{STORAGE, assemble, blocks_of, clang, link, link_with, read, refused};
use jitlink::graph::{Content, Prot, SectionFlags, SectionKind};
use jitlink::{Keep, Roots};

#[test]
fn each_symbol_begins_a_block_and_an_alternative_entry_does_not() {
    let objects = [assemble(
        ".globl _f, _g, _h\n_f: nop\nnop\n.alt_entry _g\n_g: ret\n_h: ret\n.globl _aligned\n.p2align 4\n_aligned: ret",
    )];
    let graph = read(&objects);
    let sizes: Vec<u64> = blocks_of(&graph, "__TEXT,__text").iter().map(|block| block.size).collect();
    assert_eq!(sizes, [3, 13, 1]);
    let symbol = |name: &str| graph.symbol(graph.find(name.as_bytes()).expect(name));
    assert_eq!(symbol("f").block(), symbol("g").block());
    assert_eq!((symbol("f").value, symbol("g").value, symbol("g").size), (0, 2, 1));
    let aligned = graph.block(symbol("aligned").block().expect("defined"));
    assert_eq!((aligned.align(), graph.block(symbol("h").block().expect("defined")).align()), (16, 1));
}

#[test]
fn without_leave_of_the_object_a_section_stays_whole() {
    let objects = [clang("x86_64", "assembler", &[], ".globl _f, _g\n_f: nop\n_g: ret")];
    let graph = read(&objects);
    assert_eq!(blocks_of(&graph, "__TEXT,__text").len(), 1);
}

#[test]
fn unreached_functions_go_and_what_asks_to_be_kept_stays() {
    let objects = [assemble(
        ".globl _main\n_main: call _used\nret\n_used: ret\n_unused: ret\n_kept: ret\n.no_dead_strip _kept\n\
         .data\n_data: .quad 1\n_kept_data: .quad _behind\n.no_dead_strip _kept_data\n_behind: .quad 2",
    )];
    let roots = Roots { required: &[b"main"], keep: Keep::Named, ..Roots::default() };
    let program = link_with(&objects, &roots, STORAGE, |_| None).unwrap_or_else(|error| panic!("{error}"));
    for (name, kept) in
        [("main", true), ("used", true), ("unused", false), ("kept", true), ("data", false), ("behind", true)]
    {
        assert_eq!(program.keeps(name), kept, "{name}");
    }
    assert_eq!(program.word(program.address("kept_data")), program.address("behind"));
}

#[test]
fn sections_have_the_protection_of_their_segment() {
    let objects = [assemble(
        "_f: ret\n.const\n_c: .quad 1\n.data\n_d: .quad 1\n.section __DATA,__const\n_r: .quad _f\n\
         .section __DATA_CONST,__mine\n_m: .quad _f\n.zerofill __DATA,__bss,_z,64,4\n.section __DATA,__own\n_o: .quad 1",
    )];
    let graph = read(&objects);
    let of = |name: &str| {
        let section = graph.sections().iter().find(|section| section.name == name.as_bytes());
        section.map(|section| (section.prot, section.flags.contains(SectionFlags::RELRO))).expect(name)
    };
    let (read, write, exec) = (Prot::READ, Prot::READ | Prot::WRITE, Prot::READ | Prot::EXEC);
    assert_eq!(of("__TEXT,__text"), (exec, false));
    assert_eq!(of("__TEXT,__const"), (read, false));
    assert_eq!(of("__DATA,__data"), (write, false));
    assert_eq!(of("__DATA,__const"), (read, true));
    // Sections that no compiler makes are known by their own name.
    assert_eq!(of("__mine"), (read, true));
    assert_eq!(of("__own"), (write, false));
    let [zeros] = blocks_of(&graph, "__DATA,__bss")[..] else { panic!("one block") };
    assert_eq!((&zeros.content, zeros.size, zeros.align()), (&Content::Zero, 64, 16));
}

#[test]
fn strings_and_constants_of_several_objects_are_stored_once() {
    let source = |name: &str| {
        super::support::c(&format!(
            "const char *{name}(void) {{ return \"the same text\"; }} double {name}_d(double x) {{ return x * 3.25; }}"
        ))
    };
    let objects = [source("a"), source("b")];
    let program = link(&objects);
    let linked = program.0.graph();
    let of = |section: &str| blocks_of(linked, section).into_iter().filter(|block| block.live).collect::<Vec<_>>();
    let [strings] = of("__TEXT,__cstring")[..] else { panic!("one block of strings") };
    assert_eq!(program.bytes(strings.address, strings.size as usize), b"the same text\0");
    let [numbers] = of("__TEXT,__literal8")[..] else { panic!("one block of constants") };
    assert_eq!(program.bytes(numbers.address, numbers.size as usize), 3.25_f64.to_le_bytes());
}

#[test]
fn debug_information_and_notes_for_linkers_are_not_loaded() {
    let source = "int f(int x) { return x + 1; }";
    let objects = [clang("x86_64", "c", &["-O1", "-g"], source)];
    let graph = read(&objects);
    let loaded: Vec<_> = graph.sections().iter().filter(|section| section.kind == SectionKind::Regular).collect();
    assert!(loaded.iter().all(|section| section.name.starts_with(b"__TEXT,") || section.name.starts_with(b"__DATA,")));
    assert_eq!(blocks_of(&graph, "__TEXT,__text").len(), 1);
}

#[test]
fn what_cannot_be_loaded_says_why() {
    let both = refused(&assemble(".section __DATA,__x,regular,pure_instructions\n_f: ret"));
    assert!(both.contains("a.o: section __x: is writable and executable at once"), "{both}");
    let stubs = refused(&assemble(
        ".section __DATA,__p,non_lazy_symbol_pointers\nL1: .indirect_symbol _x\n.quad 0\n.text\n_f: jmp *L1(%rip)",
    ));
    assert!(stubs.contains("is made by linkers for linked files"), "{stubs}");
}

#[test]
fn sections_of_one_name_stand_together_between_their_bounds() {
    let source = |name: &str, value: i32| {
        super::support::c(&format!("__attribute__((section(\"__DATA,__set\"), used)) static int {name} = {value};"))
    };
    let user = "extern int first __asm(\"section$start$__DATA$__set\"), last __asm(\"section$end$__DATA$__set\"); int *start = &first, *end = &last;";
    let objects = [source("one", 1), super::support::c(user), source("two", 2)];
    let program = link(&objects);
    let (start, end) = (program.word(program.address("start")), program.word(program.address("end")));
    let bytes = program.bytes(start, (end - start) as usize);
    assert_eq!(bytes, [1_i32.to_le_bytes(), 2_i32.to_le_bytes()].concat());
}
