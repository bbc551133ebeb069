//! Which of several COMDAT sections is loaded, and what goes with it?

use super::support::{Named, assemble, clang, graph, link, link_only, objects, refused};
use object::{Object as _, ObjectSymbol as _};

/// A function in a COMDAT section of this kind that returns `value` and is `padding` bytes longer than its code.
fn function(selection: &str, value: u32, padding: u32) -> String {
    format!(
        ".section .text, \"xr\", {selection}, f\n.globl f\nf: movl ${value}, %eax\nret\n.fill {padding}, 1, 0xcc\n\
         .text\n.globl use{value}\nuse{value}: jmp f"
    )
}

fn two(selection: [&str; 2], value: [u32; 2], padding: [u32; 2]) -> [Named; 2] {
    let sources = [0, 1].map(|at| function(selection[at], value[at], padding[at]));
    objects([&*sources[0], &*sources[1]])
}

/// What `f` returns.
#[track_caller]
fn check(objects: &[Named], value: u32) {
    let program = link(objects);
    assert_eq!(program.half_at("f", 1), value);
    assert!(program.is_live("use1") && program.is_live("use2"));
}

#[test]
fn any_is_the_first_one() {
    check(&two(["discard"; 2], [1, 2], [0, 4]), 1);
}

#[test]
fn the_same_size_is_the_first_one_of_equal_sizes() {
    check(&two(["same_size"; 2], [1, 2], [4, 4]), 1);
    let said = refused(&two(["same_size"; 2], [1, 2], [4, 5]));
    assert_eq!(
        said,
        "b.obj: section .text: COMDAT section 'f' is in a.obj, too, and it has 0xa bytes there and 0xb here"
    );
}

#[test]
fn an_exact_match_is_the_first_one_of_equal_bytes() {
    let source = function("same_contents", 1, 2);
    let again = source.replace("use1", "use2");
    check(&objects([&*source, &*again]), 1);
    let said = refused(&two(["same_contents"; 2], [1, 2], [2, 2]));
    assert_eq!(said, "b.obj: section .text: COMDAT section 'f' is in a.obj, too, and its content is not the same");
}

#[test]
fn the_largest_wins_wherever_it_stands() {
    check(&two(["largest"; 2], [1, 2], [9, 3]), 1);
    check(&two(["largest"; 2], [1, 2], [3, 9]), 2);
    check(&two(["largest"; 2], [1, 2], [3, 3]), 1);
    // gcc says "any" where others say "largest".
    check(&two(["discard", "largest"], [1, 2], [3, 9]), 2);
    check(&two(["largest", "discard"], [1, 2], [3, 9]), 2);
}

#[test]
fn the_newest_is_that_of_the_object_with_the_latest_time() {
    let of = |times: [u32; 2]| {
        let mut both = two(["newest"; 2], [1, 2], [0, 0]);
        for ((_, object), time) in both.iter_mut().zip(times) {
            object[4..8].copy_from_slice(&time.to_le_bytes());
        }
        both
    };
    check(&of([5, 6]), 2);
    check(&of([6, 5]), 1);
    check(&of([5, 5]), 1);
}

#[test]
fn one_only_may_be_there_once() {
    let said = refused(&two(["one_only"; 2], [1, 2], [0, 0]));
    assert_eq!(said, "b.obj: section .text: COMDAT section 'f' is in a.obj, too, and it may be defined once only");
    let once = objects([&*function("one_only", 1, 0), ".globl use2\nuse2: jmp f"]);
    check(&once, 1);
}

#[test]
fn rules_that_contradict_each_other_are_an_error() {
    let said = refused(&two(["discard", "same_size"], [1, 2], [0, 0]));
    assert!(said.ends_with("'f' is in a.obj, too, and one is chosen by 'any', the other by 'same size'"), "{said}");
}

#[test]
fn a_name_that_is_defined_otherwise_does_not_yield_here() {
    let comdat = function("discard", 1, 0);
    let ordinary = ".globl f\nf: ret";
    for (first, second) in [(&*comdat, ordinary), (ordinary, &*comdat)] {
        let said = refused(&objects([first, second]));
        assert_eq!(said, "b.obj: duplicate definition of 'f', first defined in a.obj");
    }
}

#[test]
fn associated_sections_go_where_their_parent_goes() {
    let source = |number: u32| {
        format!(
            ".section .text, \"xr\", discard, f\n.globl f\nf: ret\n\
             .section .more, \"dr\", associative, f\n.globl more{number}\nmore{number}: .long {number}\n\
             .text\n.globl g{number}\ng{number}: ret"
        )
    };
    let both = objects([&*source(1), &*source(2)]);
    let program = link_only(&both, &[b"f", b"g2"]);
    assert!(program.is_live("f") && program.is_live("more1"));
    assert!(!program.is_live("more2"), "its parent was dropped");
    let program = link_only(&both, &[b"g1"]);
    assert!(!program.is_live("f") && !program.is_live("more1"), "nobody refers to its parent");
}

#[test]
fn a_function_that_is_not_external_is_its_own() {
    let source = |value| {
        format!(
            ".section .text, \"xr\", discard, f\nf: movl ${value}, %eax\nret\n.text\n.globl use{value}\nuse{value}: jmp f"
        )
    };
    let both = objects([&*source(1), &*source(2)]);
    let program = link(&both);
    for value in [1, 2] {
        let at = program.address(&format!("use{value}"));
        let jump = program.bytes(at, 5);
        // Within an object the assembler may know the distance: then there is no relocation, and a section of its own.
        let to = at + if jump[0] == 0xeb { 2 } else { 5 };
        let distance = i64::from(i32::from_le_bytes(jump[1..5].try_into().expect("four bytes")));
        assert_eq!(program.bytes(to.wrapping_add_signed(distance) + 1, 4), [value as u8, 0, 0, 0]);
    }
}

/// The GNU assembler has no associative sections: tables of a function have its name in theirs.
#[test]
fn tables_of_gnu_tools_go_with_the_function_in_their_name() {
    let source = "inline int twice(int x) { volatile int y = x; return y + y; } int USE(int x) { return twice(x); }";
    let [a, b] = [1, 2].map(|number| gcc(&source.replace("USE", &format!("use{number}"))));
    let both: [Named; 2] = [("a.obj", a), ("b.obj", b)];
    let program = link(&both);
    let of_twice = |name: &str| name.starts_with(".pdata$_Z5twice") || name.starts_with(".xdata$_Z5twice");
    let count = program.sections().iter().filter(|(name, _)| of_twice(name)).count();
    assert_eq!(count, 2, "{:?}", program.sections());
}

/// C++ by mingw's gcc.
fn gcc(source: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let (input, output) = (folder.path().join("in.cc"), folder.path().join("out.o"));
    std::fs::write(&input, source).expect("a writable folder");
    let mut gcc = std::process::Command::new("x86_64-w64-mingw32-g++");
    let status = gcc.args(["-c", "-O0", "-o"]).arg(&output).arg(&input).status();
    assert!(status.expect("mingw's g++ is installed (package g++-mingw-w64-x86-64-win32)").success());
    std::fs::read(output).expect("gcc wrote it")
}

#[test]
fn objects_with_many_sections_are_read() {
    let mut source = String::new();
    for number in 0..70_000 {
        source +=
            &format!(".section .d${number}, \"dr\", discard, v{number}\n.globl v{number}\nv{number}: .long {number}\n");
    }
    let big: [Named; 1] = [("big.obj", clang("x86_64-pc-windows-msvc", "assembler", &[], &source))];
    assert_eq!(big[0].1[..4], [0, 0, 0xff, 0xff], "the form for many sections");
    let program = link_only(&big, &[b"v0", b"v69999"]);
    assert_eq!(program.half_at("v69999", 0), 69999);
    assert_eq!(program.half_at("v0", 0), 0);
    assert!(!program.is_live("v5"));
}

/// libstdc++ of mingw has such sections: the GNU assembler leaves out the symbol of a section to which nothing refers.
#[test]
fn what_describes_a_function_needs_no_symbol_of_its_own() {
    let source = ".section .text$f,\"xr\",discard,f\n.globl f\nf: ret\n.section .pdata$f,\"dr\",discard,p\np: .rva f\n.rva f + 1\n.rva u\n.section .xdata$f,\"dr\",discard,u\nu: .byte 1, 0, 0, 0";
    let mut object = assemble(source);
    // The auxiliary record of each such section's symbol says which of several is taken.
    let file = object::File::parse(&*object).expect("an object");
    let strings = file
        .symbols()
        .filter(|symbol| symbol.name().is_ok_and(|name| name.starts_with(".pdata$") || name.starts_with(".xdata$")));
    let start = u32::from_le_bytes(object[8..12].try_into().expect("four bytes")) as usize;
    let records: Vec<usize> = strings.map(|symbol| start + 18 * (symbol.index().0 + 1)).collect();
    assert_eq!(records.len(), 2);
    for record in records {
        object[record + 14] = 0;
    }
    let (first, second) = (("a.obj", object.clone()), ("b.obj", object));
    assert!(graph(&[first, second]).is_ok());
}
