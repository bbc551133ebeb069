//! Compilers and links for riscv64.

use super::support::compile_with;
use jitlink::arch::riscv64::MACHINE;
use jitlink::memory::{FlatImage, ThreadLocal};
use jitlink::{FlatMemory, Link, LinkError, LinkGraph, LinkOptions, Linked, Resolution, Roots};

/// Compiles `source`, which is of a language that the compiler knows by this name.
pub(crate) fn compile(compiler: &str, language: &str, flags: &[&str], source: &str) -> Vec<u8> {
    let target: &[&str] = if compiler.starts_with("clang") { &["--target=riscv64-linux-gnu"] } else { &[] };
    compile_with(compiler, language, &[target, flags].concat(), source)
}

/// Assembles, with marks for linkers that shorten code.
pub(crate) fn assemble(source: &str) -> Vec<u8> {
    compile("clang-19", "assembler", &["-march=rv64gc"], source)
}

/// Thread-local storage `distance` above the thread pointer.
pub(crate) fn storage(distance: i64) -> ThreadLocal {
    ThreadLocal { module: 1, offset: 0, distance: Some(distance) }
}

/// How a link is made.
pub(crate) struct Way<'a> {
    pub(crate) memory: FlatMemory,
    pub(crate) options: LinkOptions,
    /// Names that no object defines.
    pub(crate) externals: &'a [(&'a str, u64)],
}

impl Way<'_> {
    pub(crate) fn at(base: u64) -> Self {
        Way { memory: FlatMemory::new(base), options: LinkOptions::default(), externals: &[] }
    }
}

/// Reads and links, all that is exported kept.
pub(crate) fn link<'data>(objects: &'data [Vec<u8>], way: &Way<'_>) -> Result<Linked<'data, FlatImage>, String> {
    let mut graph = LinkGraph::new(&MACHINE);
    for (number, object) in objects.iter().enumerate() {
        let read = jitlink::object::read(&mut graph, &format!("{number}.o"), object, Default::default());
        read.map_err(|error| error.to_string())?;
    }
    finish(graph, way).map_err(|error| error.to_string())
}

fn finish<'data>(graph: LinkGraph<'data>, way: &Way<'_>) -> Result<Linked<'data, FlatImage>, LinkError> {
    Link::new(graph, way.options)
        .prune(&Roots::default())?
        .place(&way.memory)?
        .resolve(|external| {
            let (_, address) = way.externals.iter().find(|(name, _)| name.as_bytes() == external.name)?;
            Some(Resolution::new(*address, true))
        })?
        .finalize()
}

/// The address of a global name.
pub(crate) fn address(linked: &Linked<'_, FlatImage>, name: &str) -> u64 {
    linked.address(name.as_bytes()).unwrap_or_else(|| panic!("{name} is not linked"))
}

/// The bytes at a global name.
pub(crate) fn bytes<'a>(linked: &'a Linked<'_, FlatImage>, name: &str, count: usize) -> &'a [u8] {
    linked.allocation.at(address(linked, name), count).unwrap_or_else(|| panic!("{name} is not in the image"))
}

/// A little-endian number.
pub(crate) fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// What `auipc` or `lui` at `upper` and an I-type or S-type instruction at `lower` of `code` add up to.
pub(crate) fn pair(code: &[u8], upper: usize, lower: usize) -> i64 {
    let word = |at: usize| number(&code[at..at + 4]) as u32;
    let (upper, lower) = (word(upper), word(lower));
    let store = lower & 0x7f == 0x23;
    let low = if store { (lower & 0xfe00_0000) as i32 >> 20 | (lower >> 7 & 0x1f) as i32 } else { lower as i32 >> 20 };
    i64::from((upper & 0xffff_f000) as i32) + i64::from(low)
}
