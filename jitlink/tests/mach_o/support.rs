//! Objects from clang, links of them, and a look at what came out.

use jitlink::arch::{Machine, aarch64, x86_64};
use jitlink::graph::{Block, LinkGraph, Spelling, Symbol};
use jitlink::memory::{FlatImage, ThreadLocal};
use jitlink::object::{ObjectError, ReadOptions};
use jitlink::{External, FlatMemory, Link, LinkError, LinkOptions, Linked, Resolution, Roots};
use std::io::Write;
use std::process::{Command, Stdio};

/// Where links are placed.
pub(crate) const BASE: u64 = 0x4_0000_0000;
/// Where thread-local storage is said to be.
pub(crate) const STORAGE: ThreadLocal = ThreadLocal { module: 7, offset: 0x100, distance: None };

pub(crate) static X86_64: &Machine = &x86_64::MACHINE;
pub(crate) static ARM64: &Machine = &aarch64::MACHINE;

/// Runs clang on `source`, in a language that it knows by this name; `arch` is the first word of the target.
pub(crate) fn clang(arch: &str, language: &str, flags: &[&str], source: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("out.o");
    let mut clang = Command::new("clang-19");
    clang
        .arg(format!("--target={arch}-apple-macosx14"))
        .args(["-c", "-x", language, "-", "-o"])
        .arg(&output)
        .args(flags);
    let mut child = clang.stdin(Stdio::piped()).spawn().expect("clang-19 is installed");
    writeln!(child.stdin.take().expect("piped"), "{source}").expect("clang reads its input");
    assert!(child.wait().expect("clang ends").success(), "clang takes:\n{source}");
    std::fs::read(output).expect("clang wrote it")
}

pub(crate) fn c(source: &str) -> Vec<u8> {
    clang("x86_64", "c", &["-O1"], source)
}

/// Assembly whose symbols begin blocks.
pub(crate) fn assemble(source: &str) -> Vec<u8> {
    clang("x86_64", "assembler", &[], &format!("{source}\n.subsections_via_symbols"))
}

pub(crate) fn try_read<'d>(machine: &'static Machine, objects: &'d [Vec<u8>]) -> Result<LinkGraph<'d>, ObjectError> {
    let mut graph = LinkGraph::new(machine).spelled(Spelling::C);
    for (object, name) in objects.iter().zip(["a.o", "b.o", "c.o", "d.o"]) {
        jitlink::object::read(&mut graph, name, object, ReadOptions::default())?;
        assert_eq!(graph.verify(), Ok(()));
    }
    Ok(graph)
}

pub(crate) fn read(objects: &[Vec<u8>]) -> LinkGraph<'_> {
    try_read(X86_64, objects).unwrap_or_else(|error| panic!("{error}"))
}

/// The error of reading, as its message.
pub(crate) fn refused(object: &[u8]) -> String {
    let objects = [object.to_vec()];
    let error = try_read(X86_64, &objects).map(|_| ()).expect_err("it is refused");
    error.to_string()
}

/// A finished link.
pub(crate) struct Program<'data>(pub(crate) Linked<'data, FlatImage>);

/// Links with everything exported kept and nothing defined outside.
pub(crate) fn link(objects: &[Vec<u8>]) -> Program<'_> {
    link_with(objects, &Roots::default(), STORAGE, |_| None).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn link_with<'data>(
    objects: &'data [Vec<u8>],
    roots: &Roots<'_>,
    storage: ThreadLocal,
    find: impl FnMut(External<'_>) -> Option<Resolution>,
) -> Result<Program<'data>, LinkError> {
    let placed = Link::new(read(objects), LinkOptions::default())
        .prune(roots)?
        .place(&FlatMemory::new(BASE).with_thread_local(storage))?;
    Ok(Program(placed.resolve(find)?.finalize()?))
}

impl Program<'_> {
    /// The symbol of a name, global or not.
    pub(crate) fn symbol(&self, name: &str) -> &Symbol<'_> {
        let symbols = self.0.graph().symbols();
        symbols.iter().find(|symbol| symbol.name == name.as_bytes()).unwrap_or_else(|| panic!("no {name}"))
    }

    pub(crate) fn address(&self, name: &str) -> u64 {
        self.symbol(name).address
    }

    pub(crate) fn bytes(&self, address: u64, size: usize) -> &[u8] {
        self.0.allocation.at(address, size).unwrap_or_else(|| panic!("nothing at {address:#x}"))
    }

    pub(crate) fn word(&self, address: u64) -> u64 {
        u64::from_le_bytes(self.bytes(address, 8).try_into().expect("eight bytes"))
    }

    /// Whether what the symbol names was kept.
    pub(crate) fn keeps(&self, name: &str) -> bool {
        self.symbol(name).block().is_some_and(|block| self.0.graph().block(block).live)
    }
}

/// The blocks of a section, by its name, in order.
pub(crate) fn blocks_of<'g>(graph: &'g LinkGraph<'_>, section: &str) -> Vec<&'g Block<'g>> {
    let of = |block: &&Block<'_>| graph.section(block.section).name == section.as_bytes();
    graph.blocks().iter().filter(of).collect()
}

/// The object with another type for the section `name`, one that assemblers have no word for.
pub(crate) fn with_section_type(mut object: Vec<u8>, name: &str, kind: u8) -> Vec<u8> {
    let mut field = name.as_bytes().to_vec();
    field.resize(16, 0);
    let at = object.windows(16).position(|bytes| bytes == field).expect("the section is there");
    // `flags` of `struct section_64`.
    object[at + 64] = kind;
    object
}
