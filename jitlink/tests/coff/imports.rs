//! How do names that come from DLLs reach what stands in for these?

use super::support::{BASE, Named, link, link_with, objects};
use jitlink::object::archive::{Archive, Content};
use jitlink::{External, Resolution, Roots};
use std::process::Command;

fn outside(external: External<'_>) -> Option<Resolution> {
    match external.name {
        b"f" => Some(Resolution::new(0x7f00_0000_1000, true)),
        b"v" => Some(Resolution::new(0x7f00_0000_2000, false)),
        _ => None,
    }
}

#[test]
fn a_cell_with_the_address_is_made_where_nobody_defines_it() {
    let source = ".globl start\nstart: callq *__imp_f(%rip)\nmovq __imp_v(%rip), %rax\njmp f";
    let both = objects([source, ".globl other\nother: callq *__imp_f(%rip)"]);
    let program = link_with(&both, &Roots::default(), outside).expect("both are outside");
    let cell = |name: &str, at: u64| {
        (program.address(name) + at + 4).wrapping_add_signed(i64::from(program.half_at(name, at) as i32))
    };
    let word = |address: u64| u64::from_le_bytes(program.bytes(address, 8).try_into().expect("eight bytes"));
    assert_eq!(word(cell("start", 2)), 0x7f00_0000_1000);
    assert_eq!(word(cell("start", 9)), 0x7f00_0000_2000);
    assert_eq!(cell("start", 2), cell("other", 2), "one for all");
    assert!(program.base() >= BASE);
}

#[test]
fn a_cell_of_an_own_function_and_one_that_the_program_has() {
    let source = ".globl start\nstart: callq *__imp_g(%rip)\n.globl g\ng: ret\n.data\n.globl p\np: .quad __imp_g";
    let alone = objects([source]);
    let program = link(&alone);
    let cell = program.word_at("p");
    assert_eq!(u64::from_le_bytes(program.bytes(cell, 8).try_into().expect("8")), program.address("g"));
    let both = objects([source, ".data\n.globl __imp_g\n__imp_g: .quad 77"]);
    let program = link(&both);
    assert_eq!(program.word_at("p"), program.address("__imp_g"));
    assert_eq!(program.word_at("__imp_g"), 77);
}

#[test]
fn what_is_missing_is_the_name_itself() {
    let alone = objects([".globl start\nstart: callq *__imp_missing(%rip)"]);
    let error = link_with(&alone, &Roots::default(), outside).err().expect("nobody has it");
    assert!(error.contains("unresolved symbol: missing"), "{error}");
}

/// An import library for these lines of a module definition.
fn library(tool: &str, exports: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let (definition, output) = (folder.path().join("a.def"), folder.path().join("a.lib"));
    std::fs::write(&definition, format!("LIBRARY some.dll\nEXPORTS\n{exports}")).expect("a writable folder");
    let mut command = Command::new(tool);
    command.arg("-d").arg(&definition).arg("-l").arg(&output);
    if tool.starts_with("llvm") {
        command.args(["-m", "i386:x86-64"]);
    }
    let output_of = command.output().unwrap_or_else(|_| panic!("{tool} is installed"));
    assert!(output_of.status.success(), "{}", String::from_utf8_lossy(&output_of.stderr));
    std::fs::read(output).expect("the library")
}

/// Links `source` with every member of the archive that it wants.
fn with_library(library: &[u8], source: &str, expected: &[(&str, u64)]) -> Vec<String> {
    let object = super::support::assemble(source);
    let archive = Archive::parse(library).expect("a sound archive");
    let mut graph = jitlink::LinkGraph::new(&jitlink::arch::x86_64::MACHINE);
    jitlink::object::read(&mut graph, "a.obj", &object, Default::default()).expect("sound");
    let mut pulled = Vec::new();
    loop {
        let wanted = graph.take_wanted();
        if wanted.is_empty() {
            break;
        }
        for id in wanted {
            let Some(member) = archive.find(graph.symbol(id).name).filter(|member| !pulled.contains(member)) else {
                continue;
            };
            pulled.push(member);
            let Content::Bytes(bytes) = archive.member(member).expect("a sound member").content else {
                panic!("no thin archive")
            };
            jitlink::object::read(&mut graph, "some.lib", bytes, Default::default()).expect("a sound member");
        }
    }
    assert!(!pulled.is_empty());
    let told = graph.notes().iter().map(|note| note.text.clone()).collect();
    let text = |error: jitlink::LinkError| error.to_string();
    let link = jitlink::Link::new(graph, jitlink::LinkOptions::default()).prune(&Roots::default()).map_err(text);
    let placed = link.and_then(|link| link.place(&jitlink::FlatMemory::new(BASE)).map_err(text));
    let linked = placed.and_then(|placed| placed.resolve(outside).map_err(text)?.finalize().map_err(text));
    let linked = linked.unwrap_or_else(|error| panic!("{error}"));
    for (name, value) in expected {
        let at = linked.address(name.as_bytes()).expect("a word");
        let cell = u64::from_le_bytes(linked.allocation.at(at, 8).expect("in the image").try_into().expect("8"));
        let word = u64::from_le_bytes(linked.allocation.at(cell, 8).expect("in the image").try_into().expect("8"));
        assert_eq!(word, *value, "{name}");
    }
    told
}

#[test]
fn import_libraries_of_both_families_of_tools() {
    let source =
        ".globl start\nstart: callq *__imp_f(%rip)\ncallq f\n.data\n.globl p, q\np: .quad __imp_f\nq: .quad __imp_v";
    for tool in ["llvm-dlltool-19", "x86_64-w64-mingw32-dlltool"] {
        let library = library(tool, "f\nv DATA\n");
        with_library(&library, source, &[("p", 0x7f00_0000_1000), ("q", 0x7f00_0000_2000)]);
    }
}

#[test]
fn a_member_says_which_dll_has_the_name_and_which_has_none() {
    let source = ".globl start\nstart: jmp f\n.data\n.globl p\np: .quad __imp_f";
    let told = with_library(&library("llvm-dlltool-19", "f\n"), source, &[("p", 0x7f00_0000_1000)]);
    assert!(told.contains(&"'f' is imported from some.dll".to_owned()), "{told:?}");
    let told = with_library(&library("llvm-dlltool-19", "f @7 NONAME\n"), source, &[("p", 0x7f00_0000_1000)]);
    assert!(told.contains(&"'f' is function number 7 of some.dll, which has no name there".to_owned()), "{told:?}");
}

#[test]
fn an_archive_of_microsofts_form_is_an_index_of_its_members() {
    let folder = tempfile::tempdir().expect("a folder");
    let objects: [Named; 2] = objects([".globl f\nf: ret", ".globl g\ng: ret"]);
    let mut command = Command::new("llvm-lib-19");
    command.arg(format!("/out:{}", folder.path().join("x.lib").display()));
    for (name, bytes) in &objects {
        std::fs::write(folder.path().join(name), bytes).expect("a writable folder");
        command.arg(folder.path().join(name));
    }
    assert!(command.status().expect("llvm-lib-19 is installed (package llvm-19)").success());
    let library = std::fs::read(folder.path().join("x.lib")).expect("the library");
    let archive = Archive::parse(&library).expect("a sound archive");
    let names: Vec<_> = archive.symbols().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
    assert!(names.contains(&"f".to_owned()) && names.contains(&"g".to_owned()), "{names:?}");
    for (name, (_, bytes)) in [b"f", b"g"].into_iter().zip(&objects) {
        let member = archive.member(archive.find(name).expect("indexed")).expect("sound");
        assert_eq!(member.content, Content::Bytes(bytes));
    }
}
