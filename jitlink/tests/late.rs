//! Loads that are shortened once all addresses are known, and what plugins see of a written image.

#[path = "support/mod.rs"]
mod support;

use jitlink::graph::{Edge, EdgeKind, LinkGraph};
use jitlink::pass::{Plugin, PluginResult};
use jitlink::written::WrittenImage;
use jitlink::{FlatMemory, Link, LinkOptions, Resolution, Roots};
use std::cell::RefCell;
use std::rc::Rc;

const BASE: u64 = 0x1_0000_0000;

/// What is told of an image: names and addresses of slots and stubs, and all bytes.
#[derive(Debug, Default)]
struct Seen {
    slots: Vec<(String, u64)>,
    stubs: Vec<(String, u64, u64)>,
    segments: Vec<(u64, Vec<u8>)>,
}

struct Look(Rc<RefCell<Seen>>);

impl Plugin for Look {
    fn written(&mut self, image: &mut WrittenImage<'_, '_>) -> PluginResult {
        let graph = image.graph();
        let name = |id| String::from_utf8_lossy(graph.symbol(id).name).into_owned();
        let mut seen = self.0.borrow_mut();
        seen.slots = image.slots().map(|slot| (name(slot.symbol), slot.address)).collect();
        seen.stubs = image.stubs().map(|stub| (name(stub.symbol), stub.address, stub.slot)).collect();
        for (number, segment) in image.segments().into_iter().enumerate() {
            seen.segments.push((segment.address, image.content(number).to_vec()));
        }
        assert!(image.places().all(|(block, ..)| graph.block(block).live));
        Ok(())
    }
}

impl Seen {
    fn at(&self, address: u64, size: usize) -> &[u8] {
        let (start, bytes) = self.segments.iter().rev().find(|(start, _)| *start <= address).expect("in a segment");
        &bytes[(address - start) as usize..][..size]
    }

    fn word(&self, address: u64) -> u64 {
        u64::from_le_bytes(self.at(address, 8).try_into().expect("eight bytes"))
    }
}

/// Links `source` late, with `ext` at this address; gives what was seen, and where `code` is.
fn link(source: &str, ext: u64) -> (Seen, u64) {
    let objects = support::objects([source]);
    let graph: LinkGraph<'_> = support::graph(&objects).expect("a sound object");
    let seen = Rc::new(RefCell::new(Seen::default()));
    let options = LinkOptions { plain: true, relax_late: true, ..LinkOptions::default() };
    let link = Link::new(graph, options).with(Look(seen.clone()));
    let placed = link.prune(&Roots::default()).expect("sound").place(&FlatMemory::new(BASE)).expect("memory");
    let resolved = placed.resolve(|_| Some(Resolution::new(ext, true))).expect("all is known");
    let linked = resolved.finalize().expect("all is in range");
    let code = linked.exports().find(|export| export.name == b"code").expect("exported").address;
    (seen.take(), code)
}

const LOADS: &str = "\
    .globl code\ncode: mov ext@GOTPCREL(%rip), %rax\ncall *ext@GOTPCREL(%rip)\nmov own@GOTPCREL(%rip), %rcx\ncall ext@PLT\n\
    .data\n.globl own\nown: .quad 7\n";

#[test]
fn what_is_near_is_reached_without_its_slot() {
    let near = BASE + 0x10_0000;
    let (seen, code) = link(LOADS, near);
    assert_eq!(seen.at(code, 3), [0x48, 0x8d, 0x05], "lea");
    assert_eq!(seen.at(code + 7, 2), [0x67, 0xe8], "addr32 call");
    assert_eq!(seen.at(code + 13, 3), [0x48, 0x8d, 0x0d], "lea");
    let distance = u32::from_le_bytes(seen.at(code + 3, 4).try_into().unwrap());
    assert_eq!(code.wrapping_add(7).wrapping_add(distance.into()), near);
    // Slots and stubs are there all the same, for whoever asks.
    let slots: Vec<&str> = seen.slots.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(slots, ["ext", "own"]);
    assert_eq!(seen.word(seen.slots[0].1), near);
    let [(name, stub, slot)] = seen.stubs.as_slice() else { panic!("{:?}", seen.stubs) };
    assert_eq!((name.as_str(), seen.word(*slot)), ("ext", near));
    assert_eq!(seen.at(*stub, 2), [0xff, 0x25], "jmp *slot(%rip)");
}

#[test]
fn what_is_far_is_loaded() {
    let far = 0x7fff_0000_0000;
    let (seen, code) = link(LOADS, far);
    assert_eq!(seen.at(code, 3), [0x48, 0x8b, 0x05], "mov");
    assert_eq!(seen.at(code + 7, 2), [0xff, 0x15], "call *");
    assert_eq!(seen.at(code + 13, 3), [0x48, 0x8d, 0x0d], "lea of what is its own");
    let slot = seen.slots.iter().find(|(name, _)| name == "ext").expect("has a slot").1;
    let distance = u32::from_le_bytes(seen.at(code + 3, 4).try_into().unwrap());
    assert_eq!(code.wrapping_add(7).wrapping_add(distance.into()), slot);
    assert_eq!(seen.word(slot), far);
}

/// Adds an edge to itself in front of every block's others.
struct Insert;

impl Plugin for Insert {
    fn built(&mut self, graph: &mut LinkGraph<'_>) -> PluginResult {
        let code = graph.find(b"code").expect("defined");
        let block = graph.symbol(code).block().expect("in a block");
        graph.insert_edges(vec![Edge { addend: 1, block, offset: 0, target: code, kind: EdgeKind::KEEP_ALIVE }]);
        assert_eq!(graph.verify(), Ok(()));
        let offsets: Vec<u32> = graph.edges_of(block).iter().map(|edge| edge.offset).collect();
        assert!(offsets.is_sorted() && offsets[0] == 0, "{offsets:?}");
        Ok(())
    }
}

#[test]
fn passes_insert_edges_among_others() {
    let objects = support::objects([LOADS, "d: .quad code, ext\n"]);
    let graph = support::graph(&objects).expect("sound objects");
    let before = graph.edges().len();
    let plugin: Box<dyn Plugin> = Box::new(Insert);
    let pruned = Link::new(graph, LinkOptions::default()).with(plugin).prune(&Roots::default()).expect("sound");
    assert_eq!(pruned.graph().edges().len(), before + 1);
}
