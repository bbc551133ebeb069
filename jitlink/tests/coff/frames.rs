//! Does call frame information go with its functions, and does it say in DWARF's words what it says in Windows'?

use super::support::{Named, assemble, compile, link, link_only};

#[test]
fn entries_live_and_die_with_their_functions() {
    let source = ".section .text,\"xr\",one_only,f\n.globl f\nf: .seh_proc f\npushq %rbx\n.seh_pushreg %rbx\n.seh_endprologue\npopq %rbx\nret\n.seh_endproc\n\
         .section .text,\"xr\",one_only,g\n.globl g\ng: .seh_proc g\nsubq $40, %rsp\n.seh_stackalloc 40\n.seh_endprologue\naddq $40, %rsp\nret\n.seh_endproc";
    let alone: [Named; 1] = [("a.obj", assemble(source))];
    let count = |program: &super::support::Program<'_>, name: &str| {
        program.sections().iter().filter(|(section, _)| *section == name).count()
    };
    let program = link_only(&alone, &[b"f"]);
    assert_eq!((count(&program, ".pdata"), count(&program, ".xdata")), (1, 1));
    let program = link_only(&alone, &[b"f", b"g"]);
    assert_eq!((count(&program, ".pdata"), count(&program, ".xdata")), (2, 2));
    let program = link_only(&alone, &[]);
    assert_eq!((count(&program, ".pdata"), count(&program, ".xdata")), (0, 0));
}

/// The entries of one section are about functions of two.
#[test]
fn a_table_of_several_sections_is_cut_where_they_change() {
    let source = "
        .section .text$a,\"xr\"
        .globl f
        f: ret
        .section .text$b,\"xr\"
        .globl g
        g: ret
        .section .xdata,\"dr\"
        info: .byte 1, 0, 0, 0
        .section .pdata,\"dr\"
        .rva f, f+1, info, g, g+1, info";
    let alone: [Named; 1] = [("a.obj", assemble(source))];
    let program = link_only(&alone, &[b"g"]);
    let graph = program.0.graph();
    let entries: Vec<_> = graph
        .blocks()
        .iter()
        .filter(|block| block.live && graph.section(block.section).name == b".pdata")
        .map(|block| (block.size, block.address))
        .collect();
    assert_eq!(entries.len(), 1, "the other function is gone, and its entry with it");
    let first = u32::from_le_bytes(program.bytes(entries[0].1, 4).try_into().expect("four bytes"));
    assert_eq!((entries[0].0, u64::from(first)), (12, program.address("g") - program.base()));
}

/// What the unwinder is told of the rows of a function: its frame counted from a register, and where registers are, as readelf has it.
fn rows(source: &str) -> String {
    let alone: [Named; 1] = [("a.obj", assemble(source))];
    let program = link(&alone);
    let (address, size) = program.0.eh_frame.expect("records");
    let table = program.bytes(address, size as usize);
    let folder = tempfile::tempdir().expect("a folder");
    let input = folder.path().join("frames");
    let mut bytes = String::from(".section .eh_frame,\"a\",@progbits\n");
    for byte in table {
        bytes += &format!(".byte {byte}\n");
    }
    std::fs::write(&input, bytes).expect("a writable folder");
    let object = folder.path().join("frames.o");
    let gcc = std::process::Command::new("gcc").args(["-c", "-x", "assembler", "-o"]).arg(&object).arg(&input).status();
    assert!(gcc.expect("gcc is installed").success());
    let readelf =
        std::process::Command::new("readelf").args(["--debug-dump=frames-interp", "-W"]).arg(&object).output();
    String::from_utf8_lossy(&readelf.expect("readelf is installed").stdout).into_owned()
}

/// Columns of one row: what `readelf` shows of it, without the place.
#[track_caller]
fn check(source: &str, expected: &[&str]) {
    let text = rows(source);
    let description = text.split("FDE").nth(1).unwrap_or_else(|| panic!("a description in {text}"));
    let rows: Vec<String> = description
        .lines()
        .filter(|line| {
            line.trim_start().starts_with(|first: char| first.is_ascii_hexdigit()) && line.contains("rsp")
                || line.contains("rbp+")
        })
        .map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(rows, expected, "{text}");
}

#[test]
fn pushes_and_an_allocation() {
    check(
        ".globl f\nf: .seh_proc f\npushq %rdi\n.seh_pushreg %rdi\npushq %rbx\n.seh_pushreg %rbx\nsubq $40, %rsp\n.seh_stackalloc 40\n\
         .seh_endprologue\naddq $40, %rsp\npopq %rbx\npopq %rdi\nret\n.seh_endproc",
        &["rsp+8 u u c-8", "rsp+16 u c-16 c-8", "rsp+24 c-24 c-16 c-8", "rsp+64 c-24 c-16 c-8"],
    );
}

#[test]
fn a_frame_register_and_registers_that_are_stored() {
    check(
        ".globl f\nf: .seh_proc f\npushq %rbp\n.seh_pushreg %rbp\nsubq $0x120, %rsp\n.seh_stackalloc 0x120\nleaq 0x80(%rsp), %rbp\n\
         .seh_setframe %rbp, 0x80\nmovq %rsi, 0x100(%rsp)\n.seh_savereg %rsi, 0x100\n.seh_endprologue\nret\n.seh_endproc",
        &["rsp+8 u u c-8", "rsp+16 u c-16 c-8", "rsp+304 u c-16 c-8", "rbp+176 u c-16 c-8", "rbp+176 c-48 c-16 c-8"],
    );
}

#[test]
fn what_compilers_emit_is_told() {
    let source = "void g(void *); int f(int n) { char big[5000]; g(big); return n + big[n]; } int h(int n) { char b[n]; g(b); return b[0]; }";
    let alone: [Named; 1] = [("a.obj", compile(source))];
    let outside = |external: jitlink::External<'_>| {
        matches!(external.name, b"g" | b"__chkstk")
            .then(|| jitlink::Resolution::new(external.name.len() as u64 + super::support::BASE, true))
    };
    let program = super::support::link_with(&alone, &jitlink::Roots::default(), outside).expect("a link");
    let frames = jitlink::pass::eh_frame::index(program.0.graph()).expect("sound records");
    let functions =
        frames.records().iter().filter(|record| matches!(record.kind, jitlink::pass::eh_frame::RecordKind::Fde { .. }));
    assert_eq!(functions.count(), 2);
}
