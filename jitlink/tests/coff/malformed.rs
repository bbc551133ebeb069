//! Objects with damage: an error that names the object, or a link. Never a panic, never more of anything than the file pays for.

use super::support::{assemble, clang, graph};
use jitlink::graph::LinkGraph;
use jitlink::{FlatMemory, Link, LinkOptions, Resolution, Roots, arch};
use proptest::prelude::*;
use proptest::sample::Index;
use std::sync::LazyLock;

/// Sound objects to damage.
static OBJECTS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let everything = "
        .section .text,\"xr\",largest,f
        .globl f
        f: .seh_proc f
        pushq %rbp
        .seh_pushreg %rbp
        subq $0x120, %rsp
        .seh_stackalloc 0x120
        leaq 0x80(%rsp), %rbp
        .seh_setframe %rbp, 0x80
        movups %xmm6, (%rsp)
        .seh_savexmm %xmm6, 0
        .seh_handler handler, @except
        .seh_endprologue
        call g
        leaq x(%rip), %rax
        callq *__imp_i(%rip)
        ret
        .seh_endproc
        .section .more,\"dr\",associative,f
        .rva f, __ImageBase
        .secrel32 x
        .secidx x
        .section .CRT$XCU,\"dr\"
        .quad f
        .section .ctors,\"dw\"
        .quad f
        .weak w
        .set w, x
        .comm c, 32
        .data
        .globl x
        x: .quad w, c, a
        .globl a
        .set a, 7
        .section .drectve,\"yn\"
        .ascii \"/include:f /alternatename:q=x /merge:.more=.rdata -aligncomm:\\\"c\\\",5 /export:y=x /failifmismatch:\\\"k=v\\\"\"";
    let c = "static const char *const names[] = {\"one\", \"two\"}; int g(int); int h(int n) { char b[9000]; b[n] = 1; return g(n) + b[n / 2] + names[n & 1][0]; }";
    let mut big = String::from(everything);
    for number in 0..66_000 {
        big += &format!("\n.section .d,\"dr\",discard,v{number}\n.globl v{number}\nv{number}: .byte 1");
    }
    vec![
        assemble(everything),
        clang("x86_64-pc-windows-msvc", "c", &["-O1", "-g", "-gcodeview"], c),
        clang("x86_64-pc-windows-gnu", "c", &["-O0", "-g"], c),
        // Its tables are at its end: of what stands in front of them, a little is enough.
        assemble(&big),
    ]
});

/// A short import object: f of some.dll.
fn import() -> Vec<u8> {
    let mut bytes = vec![0, 0, 0xff, 0xff, 0, 0, 0x64, 0x86, 0, 0, 0, 0, 11, 0, 0, 0, 0, 0, 4, 0];
    bytes.extend(b"f\0some.dll\0");
    bytes
}

/// Reads and links what may be damaged; gives how far that went.
fn try_all(object: &[u8]) -> Result<(), String> {
    let mut graph = LinkGraph::new(&arch::x86_64::MACHINE);
    jitlink::object::read(&mut graph, "damaged.obj", object, Default::default()).map_err(|error| error.to_string())?;
    assert_eq!(graph.verify(), Ok(()));
    let edges = graph.edges().len();
    assert!(edges <= object.len(), "{edges} edges from {} bytes", object.len());
    let text = |error: jitlink::LinkError| error.to_string();
    let pruned = Link::new(graph, LinkOptions::default()).prune(&Roots::default()).map_err(text)?;
    let live = pruned.graph().blocks().iter().filter(|block| block.live);
    if live.map(|block| block.size.saturating_add(block.align())).fold(0, u64::saturating_add) > 1 << 24 {
        return Ok(());
    }
    let placed = pruned.place(&FlatMemory::new(0x10_0000)).map_err(text)?;
    let found = |external: jitlink::External<'_>| (!external.thread_local).then(|| Resolution::new(0x10_0000, true));
    placed.resolve(found).map_err(text)?.finalize().map_err(text).map(drop)
}

#[test]
fn what_is_to_be_damaged_is_sound() {
    for object in &OBJECTS[..] {
        assert_eq!(try_all(object), Ok(()));
    }
    assert_eq!(try_all(&import()), Ok(()));
}

#[test]
fn every_prefix_is_an_error_or_a_link() {
    for object in OBJECTS[..3].iter().chain([&import()]) {
        for length in 0..object.len() {
            if let Err(error) = try_all(&object[..length]) {
                assert!(error.contains("damaged.obj") || error.contains("unresolved"), "{length}: {error}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_an_error_or_a_link(
        which in 0..4usize,
        changes in proptest::collection::vec((any::<Index>(), prop_oneof![any::<u8>(), Just(0), Just(0xff), Just(1)]), 1..12),
        near in any::<bool>(),
    ) {
        let object = if which < 3 { OBJECTS[which].clone() } else { import() };
        let mut damaged = object;
        // Headers and tables are where numbers stand.
        let reach = if near { damaged.len().min(600) } else { damaged.len() };
        for (at, value) in changes {
            let at = at.index(reach);
            damaged[at] = value;
        }
        let _ = try_all(&damaged);
    }

    #[test]
    fn words_of_headers_that_claim_anything(
        which in 0..3usize,
        at in 0..160usize,
        value in prop_oneof![any::<u32>(), Just(u32::MAX), Just(0x7fff_ffff), Just(0), 0..2000u32],
    ) {
        let mut damaged = OBJECTS[which].clone();
        let at = (at * 4).min(damaged.len() - 4);
        damaged[at..at + 4].copy_from_slice(&value.to_le_bytes());
        let _ = try_all(&damaged);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn an_object_of_many_sections(at in any::<Index>(), value in any::<u8>()) {
        let mut damaged = OBJECTS[3].clone();
        let length = damaged.len();
        damaged[at.index(length)] = value;
        let _ = try_all(&damaged);
    }
}

/// Sections that are associated with each other in a circle have nobody who keeps them, and nobody waits for them.
#[test]
fn a_circle_of_associated_sections() {
    let source = ".section .a,\"dr\",associative,b\n.globl a\na: .long 1\n.section .b,\"dr\",associative,a\n.globl b\nb: .long 2";
    let object = assemble(source);
    let objects = [("a.obj", object)];
    if let Ok(graph) = graph(&objects) {
        assert!(Link::new(graph, LinkOptions::default()).prune(&Roots::default()).is_ok());
    }
}
