//! Files for several machines, and archives of this format.

use super::support::{X86_64, c, clang};
use jitlink::graph::{LinkGraph, Spelling};
use jitlink::object::archive::{Archive, Content};
use jitlink::object::universal;
use std::path::Path;
use std::process::Command;

fn run(folder: &Path, tool: &str, arguments: &[&str]) {
    let status = Command::new(tool).args(arguments).current_dir(folder).status();
    assert!(status.unwrap_or_else(|error| panic!("{tool}: {error}")).success(), "{tool} {arguments:?}");
}

/// A folder with `x.o` for x86-64, `a.o` for arm64, and both in `both.o`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let source = "int f(void) { return 1; } int _g(void) { return 2; }";
    std::fs::write(folder.path().join("x.o"), c(source)).expect("a writable folder");
    std::fs::write(folder.path().join("a.o"), clang("arm64", "c", &["-O1"], source)).expect("a writable folder");
    run(folder.path(), "llvm-lipo-19", &["-create", "x.o", "a.o", "-output", "both.o"]);
    folder
}

#[test]
fn the_part_for_the_graph_s_machine_is_read() {
    let folder = folder();
    let read = |name: &str| std::fs::read(folder.path().join(name)).expect("it is there");
    let (both, alone) = (read("both.o"), read("x.o"));
    assert_eq!(universal::part(&both, X86_64), Ok(&alone[..]));
    assert_eq!(universal::part(&alone, X86_64), Ok(&alone[..]), "nothing to choose");
    assert!(universal::machines(&both).any(|machine| machine.name == X86_64.name));
    let mut graph = LinkGraph::new(X86_64);
    jitlink::object::read(&mut graph, "both.o", &both, Default::default()).expect("it has a part");
    assert!(graph.find(b"_f").is_some());
}

#[test]
fn a_file_without_a_part_for_the_machine_says_for_what_it_has_some() {
    let folder = folder();
    run(folder.path(), "llvm-lipo-19", &["-create", "a.o", "-output", "other.o"]);
    let other = std::fs::read(folder.path().join("other.o")).expect("it is there");
    let mut graph = LinkGraph::new(X86_64);
    let error = jitlink::object::read(&mut graph, "other.o", &other, Default::default()).expect_err("no part");
    assert_eq!(error.to_string(), "other.o: is for arm64, this link is for x86_64");
    for length in 0..other.len().min(64) {
        assert!(universal::part(&other[..length], X86_64).is_ok() == (length < 8), "cut at {length}");
    }
}

#[test]
fn archives_are_found_by_names_as_c_spells_them() {
    let folder = folder();
    run(folder.path(), "llvm-ar-19", &["rcs", "--format=darwin", "libx.a", "x.o"]);
    run(folder.path(), "llvm-ar-19", &["rcs", "--format=darwin", "liba.a", "a.o"]);
    run(folder.path(), "llvm-lipo-19", &["-create", "libx.a", "liba.a", "-output", "libboth.a"]);
    for name in ["libx.a", "libboth.a"] {
        let bytes = std::fs::read(folder.path().join(name)).expect("it is there");
        let archive = Archive::parse_for(&bytes, X86_64, Spelling::C).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(archive.find(b"f").is_some() && archive.find(b"_g").is_some(), "{name}");
        assert!(archive.find(b"_f").is_none() && archive.find(b"g").is_none(), "{name}");
        let member = archive.member(archive.find(b"f").expect("found")).expect("a member");
        let Content::Bytes(object) = member.content else { panic!("its bytes are here") };
        let mut graph = LinkGraph::new(X86_64).spelled(Spelling::C);
        jitlink::object::read(&mut graph, name, object, Default::default()).unwrap_or_else(|error| panic!("{error}"));
        assert!(graph.find(b"f").is_some());
    }
    let bytes = std::fs::read(folder.path().join("libx.a")).expect("it is there");
    let spelled = Archive::parse_for(&bytes, X86_64, Spelling::Object).expect("an archive");
    assert!(spelled.find(b"_f").is_some() && spelled.find(b"f").is_none());
}
