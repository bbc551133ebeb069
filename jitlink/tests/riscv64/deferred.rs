//! Are relocations that are read when somebody needs them what they are when all are read at once?

use super::tools::assemble;
use jitlink::arch::riscv64::MACHINE;
use jitlink::graph::{BlockId, Edge, LinkGraph};

const SOURCE: &str = ".globl f, g, x
.text
f: c.nop
.p2align 4
.Lafter: la a0, x
 lla a1, x
 la.tls.ie a2, v
 call g
 ret
.Lend:
.section .text.g,\"ax\"
.cfi_startproc
g: addi sp, sp, -16
.cfi_def_cfa_offset 16
 call f
 ret
.cfi_endproc
.data
x: .quad f
.word .Lend - .Lafter, g - .
.byte .Lend - .Lafter
.section .rodata,\"a\"
.uleb128 .Lend - .Lafter
.section .tdata,\"awT\"
v: .word 1
";

/// What an edge says, with its target by name and place.
fn told(graph: &LinkGraph<'_>, edge: &Edge) -> String {
    let target = graph.symbol(edge.target);
    let name = String::from_utf8_lossy(target.name);
    let row = MACHINE.fixup(edge.kind).name;
    format!("{:#x} {row} {name} {:?}+{:#x} {:+#x}", edge.offset, target.definition, target.value, edge.addend)
}

#[test]
fn edges_are_the_same_whenever_they_are_read() {
    let object = assemble(SOURCE);
    let mut at_once = LinkGraph::new(&MACHINE);
    jitlink::object::read(&mut at_once, "a.o", &object, Default::default()).expect("sound");
    let mut later = LinkGraph::new(&MACHINE);
    let deferred = jitlink::object::read_deferred(&mut later, "a.o", &object, Default::default()).expect("sound");
    assert!(deferred.asks().constant_distance && !deferred.asks().low);

    let mut edges = 0;
    for block in (0..at_once.blocks().len()).map(BlockId::from_index) {
        assert_eq!(later.block(block).content, at_once.block(block).content);
        let now: Vec<_> = at_once.edges_of(block).iter().map(|edge| told(&at_once, edge)).collect();
        let mut read = Vec::new();
        deferred.edges(&later, block, &mut read).expect("sound");
        assert_eq!(read.iter().map(|edge| told(&later, edge)).collect::<Vec<_>>(), now);
        edges += now.len();
    }
    assert!(edges > 12, "{edges}");
}
