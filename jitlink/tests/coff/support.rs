//! Objects for Windows from C and from assembly, and links of them.

use jitlink::graph::{LinkGraph, Symbol};
use jitlink::memory::FlatImage;
use jitlink::object::{ObjectError, ReadOptions};
use jitlink::{External, FlatMemory, Keep, Link, LinkOptions, Linked, Resolution, Roots, arch};
use std::io::Write;
use std::process::{Command, Stdio};

/// Where links are placed: above 4 GiB, as Windows places 64-bit programs.
pub(crate) const BASE: u64 = 0x1_4000_0000;

/// An object and its name in messages.
pub(crate) type Named = (&'static str, Vec<u8>);

/// Runs clang for the target on `source`.
pub(crate) fn clang(target: &str, language: &str, flags: &[&str], source: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("out.obj");
    let mut clang = Command::new("clang-19");
    clang.args([&*format!("--target={target}"), "-c", "-x", language, "-", "-o"]).arg(&output).args(flags);
    let mut child = clang.stdin(Stdio::piped()).spawn().expect("clang-19 is installed (package clang-19)");
    writeln!(child.stdin.take().expect("piped"), "{source}").expect("clang reads its input");
    assert!(child.wait().expect("clang ends").success(), "clang takes:\n{source}");
    std::fs::read(output).expect("clang wrote it")
}

pub(crate) fn assemble(source: &str) -> Vec<u8> {
    clang("x86_64-pc-windows-msvc", "assembler", &[], source)
}

/// C for Microsoft's tools; code is free of headers.
pub(crate) fn compile(source: &str) -> Vec<u8> {
    clang("x86_64-pc-windows-msvc", "c", &["-O1", "-ffreestanding", "-funwind-tables"], source)
}

/// Objects from assembly, called `a.obj`, `b.obj` and so on.
pub(crate) fn objects<const N: usize>(sources: [&str; N]) -> [Named; N] {
    const NAMES: [&str; 4] = ["a.obj", "b.obj", "c.obj", "d.obj"];
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

/// What reading says is wrong.
pub(crate) fn refused(objects: &[Named]) -> String {
    graph(objects).expect_err("refused").to_string()
}

/// A finished link.
pub(crate) struct Program<'data>(pub(crate) Linked<'data, FlatImage>);

/// Links with everything exported kept and nothing defined outside.
pub(crate) fn link(objects: &[Named]) -> Program<'_> {
    link_with(objects, &Roots::default(), |_| None).unwrap_or_else(|error| panic!("{error}"))
}

/// Links what `names` reach.
pub(crate) fn link_only<'data>(objects: &'data [Named], names: &[&[u8]]) -> Program<'data> {
    let roots = Roots { required: names, wanted: &[], keep: Keep::Named };
    link_with(objects, &roots, |_| None).unwrap_or_else(|error| panic!("{error}"))
}

/// The error is its message.
pub(crate) fn link_with<'data>(
    objects: &'data [Named],
    roots: &Roots<'_>,
    find: impl FnMut(External<'_>) -> Option<Resolution>,
) -> Result<Program<'data>, String> {
    let text = |error: jitlink::LinkError| error.to_string();
    let graph = graph(objects).map_err(|error| error.to_string())?;
    let placed = Link::new(graph, LinkOptions::default()).prune(roots).map_err(text)?;
    let placed = placed.place(&FlatMemory::new(BASE)).map_err(text)?;
    Ok(Program(placed.resolve(find).map_err(text)?.finalize().map_err(text)?))
}

impl Program<'_> {
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

    /// The four bytes at a global name and so many bytes behind it.
    pub(crate) fn half_at(&self, name: &str, offset: u64) -> u32 {
        u32::from_le_bytes(self.bytes(self.address(name) + offset, 4).try_into().expect("four bytes"))
    }

    /// The eight bytes at a global name.
    pub(crate) fn word_at(&self, name: &str) -> u64 {
        u64::from_le_bytes(self.bytes(self.address(name), 8).try_into().expect("eight bytes"))
    }

    /// Whether something at this name is still there.
    pub(crate) fn is_live(&self, name: &str) -> bool {
        let graph = self.0.graph();
        let symbol = graph.find(name.as_bytes()).map(|id| graph.symbol(id));
        symbol.and_then(Symbol::block).is_some_and(|block| graph.block(block).live)
    }

    /// The names of live blocks' sections, in the order of their addresses.
    pub(crate) fn sections(&self) -> Vec<(&str, u64)> {
        let graph = self.0.graph();
        let live = graph.blocks().iter().filter(|block| block.live);
        let mut all: Vec<_> = live
            .map(|block| (str::from_utf8(graph.section(block.section).name).expect("ASCII"), block.address))
            .collect();
        all.sort_by_key(|(_, address)| *address);
        all
    }

    /// The lowest address.
    pub(crate) fn base(&self) -> u64 {
        self.0.segments.iter().map(|segment| segment.address).min().expect("segments")
    }
}
