//! What tests of whole links share: objects from assembly, a link from end to end, and a look at what came out.
#![allow(dead_code, reason = "each test takes what it needs")]

use jitlink::graph::{LinkGraph, Symbol};
use jitlink::memory::FlatImage;
use jitlink::object::{ObjectError, ReadOptions};
use jitlink::{External, FlatMemory, Link, LinkError, LinkOptions, Linked, Resolution, Roots, arch};
use std::io::Write;
use std::process::{Command, Stdio};

/// Where links are placed unless a test says otherwise: low, so that non-PIC code works.
pub(crate) const BASE: u64 = 0x10_0000;

/// An object and its name in messages.
pub(crate) type Named = (&'static str, Vec<u8>);

/// Assembles x86-64 assembly in AT&T syntax.
pub(crate) fn assemble(source: &str) -> Vec<u8> {
    compile("assembler", &[], source)
}

/// Compiles `source`, of a language that gcc knows by this name, with these flags.
pub(crate) fn compile(language: &str, flags: &[&str], source: &str) -> Vec<u8> {
    compile_with("gcc", language, flags, source)
}

/// The same with another compiler that takes gcc's options.
pub(crate) fn compile_with(compiler: &str, language: &str, flags: &[&str], source: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("out.o");
    let mut command = Command::new(compiler);
    command.args(["-c", "-x", language, "-", "-o"]).arg(&output).args(flags).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{compiler}: {error}"));
    writeln!(child.stdin.take().expect("piped"), "{source}").expect("the compiler reads its input");
    assert!(child.wait().expect("it ends").success(), "{compiler} {flags:?} takes:\n{source}");
    std::fs::read(output).expect("it wrote it")
}

/// Objects from assembly, called `a.o`, `b.o` and so on.
pub(crate) fn objects<const N: usize>(sources: [&str; N]) -> [Named; N] {
    const NAMES: [&str; 6] = ["a.o", "b.o", "c.o", "d.o", "e.o", "f.o"];
    let mut names = NAMES.into_iter();
    sources.map(|source| (names.next().expect("few objects"), assemble(source)))
}

pub(crate) fn graph(objects: &[Named]) -> Result<LinkGraph<'_>, ObjectError> {
    let mut graph = LinkGraph::new(&arch::x86_64::MACHINE);
    for (name, data) in objects {
        jitlink::object::read(&mut graph, name, data, ReadOptions::default())?;
        assert_eq!(graph.verify(), Ok(()));
    }
    Ok(graph)
}

/// A finished link.
pub(crate) struct Program<'data>(pub(crate) Linked<'data, FlatImage>);

/// Links with everything exported kept and nothing defined outside.
pub(crate) fn link(objects: &[Named]) -> Program<'_> {
    link_with(objects, &Roots::default(), |_| None).unwrap_or_else(|error| panic!("{error}"))
}

/// The error is its message.
pub(crate) fn link_with<'data>(
    objects: &'data [Named],
    roots: &Roots<'_>,
    find: impl FnMut(External<'_>) -> Option<Resolution>,
) -> Result<Program<'data>, String> {
    finish(graph(objects).unwrap_or_else(|error| panic!("{error}")), roots, find)
}

pub(crate) fn finish<'data>(
    graph: LinkGraph<'data>,
    roots: &Roots<'_>,
    find: impl FnMut(External<'_>) -> Option<Resolution>,
) -> Result<Program<'data>, String> {
    let text = |error: LinkError| error.to_string();
    let pruned = Link::new(graph, LinkOptions::default()).prune(roots).map_err(text)?;
    let placed = pruned.place(&FlatMemory::new(BASE)).map_err(text)?;
    let resolved = placed.resolve(find).map_err(text)?;
    Ok(Program(resolved.finalize().map_err(text)?))
}

impl Program<'_> {
    /// The symbol of a global name.
    pub(crate) fn symbol(&self, name: &str) -> &Symbol<'_> {
        let graph = self.0.graph();
        let id = graph.find(name.as_bytes()).unwrap_or_else(|| panic!("{name} is not in the graph"));
        graph.symbol(id)
    }

    pub(crate) fn address(&self, name: &str) -> u64 {
        self.symbol(name).address
    }

    pub(crate) fn bytes(&self, address: u64, size: usize) -> &[u8] {
        self.0.allocation.at(address, size).unwrap_or_else(|| panic!("{address:#x} is not in the image"))
    }

    /// The eight bytes at an address.
    pub(crate) fn word(&self, address: u64) -> u64 {
        u64::from_le_bytes(self.bytes(address, 8).try_into().expect("eight bytes"))
    }

    /// The eight bytes at a global name.
    pub(crate) fn word_at(&self, name: &str) -> u64 {
        self.word(self.address(name))
    }

    /// Whether something at this name is still there.
    pub(crate) fn is_live(&self, name: &str) -> bool {
        let graph = self.0.graph();
        let symbol = graph.find(name.as_bytes()).map(|id| graph.symbol(id));
        symbol.and_then(Symbol::block).is_some_and(|block| graph.block(block).live)
    }

    /// The names that others may look up, sorted.
    pub(crate) fn exports(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.0.exports().map(|export| str::from_utf8(export.name).expect("ASCII")).collect();
        names.sort_unstable();
        names
    }
}
