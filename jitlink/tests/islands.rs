//! Does every branch lead to its target, however long the code between is?
//!
//! A machine whose calls reach 4 KiB only stands for aarch64 with its 128 MiB, so that many layouts are tried; one link has the real size.
//! What a branch leads to is followed through stubs and veneers, instruction by instruction.

use jitlink::arch::{Branches, Fixup, Machine, Range, Veneer, aarch64};
use jitlink::graph::{
    BlockId, Content, Definition, Edge, GlobalDefinition, LinkGraph, Linkage, Prot, Scope, Section, SectionFlags,
    SectionKind, SymbolId, SymbolKind,
};
use jitlink::memory::FlatImage;
use jitlink::{FlatMemory, Link, LinkOptions, Linked, Resolution, Roots};
use proptest::prelude::*;
use std::sync::OnceLock;

const BL: u32 = 0x9400_0000;
const NOP: u32 = 0xd503_201f;
const BASE: u64 = 0x4000_0000;

/// aarch64 with calls that reach 4 KiB.
fn narrow() -> &'static Machine {
    static NARROW: OnceLock<&'static Machine> = OnceLock::new();
    NARROW.get_or_init(|| {
        let mut fixups = aarch64::MACHINE.fixups.to_vec();
        let call = &mut fixups[usize::from(aarch64::kind::BRANCH26.0)];
        *call = Fixup::new(call.name, call.expr, call.field, Range::Signed(13), None);
        let branches = aarch64::MACHINE.branches;
        let veneer = branches.veneer.map(|veneer| Veneer { reach: 1 << 12, ..veneer });
        Box::leak(Box::new(Machine {
            fixups: fixups.leak(),
            branches: Branches { veneer, ..branches },
            ..aarch64::MACHINE
        }))
    })
}

/// One block of code: its size in instructions, and calls in it: at which instruction, of what, with which addend.
type Code<'data> = (&'data [u8], Vec<(u32, usize, i64)>);

struct Built<'data> {
    graph: LinkGraph<'data>,
    functions: Vec<SymbolId>,
}

fn name(number: usize) -> &'static [u8] {
    Box::leak(format!("function_{number}").into_bytes().into_boxed_slice())
}

/// A graph of blocks; targets behind them are two names of others and a constant.
fn build<'data>(machine: &'static Machine, code: &[Code<'data>]) -> Built<'data> {
    let mut graph = LinkGraph::new(machine);
    let object = graph.add_object("code.o", true);
    let section = graph.add_section(Section {
        name: b".text",
        object,
        prot: Prot::READ | Prot::EXEC,
        flags: SectionFlags::RETAIN,
        kind: SectionKind::Regular,
        entry_size: 0,
        group: None,
        linked_to: None,
        number: 1,
    });
    let blocks: Vec<BlockId> =
        code.iter().map(|(bytes, _)| graph.add_block(section, Content::Bytes(bytes), bytes.len() as u64, 4)).collect();
    let mut functions: Vec<SymbolId> = Vec::new();
    let define = |graph: &mut LinkGraph<'data>, number, definition, value| {
        let offered = GlobalDefinition {
            definition,
            value,
            size: 0,
            linkage: Linkage::Strong,
            scope: Scope::Default,
            kind: SymbolKind::Function,
            object,
        };
        graph.define(name(number), offered).unwrap_or_else(|_| panic!("{number} is defined twice"))
    };
    for (number, block) in blocks.iter().enumerate() {
        functions.push(define(&mut graph, number, Definition::Block(*block), 0));
    }
    functions.push(graph.refer(b"far", false, Scope::Default, object));
    functions.push(graph.refer(b"near", false, Scope::Default, object));
    functions.push(define(&mut graph, functions.len(), Definition::Absolute, 0x7ff0_0000_1000));
    for (block, (_, calls)) in blocks.iter().zip(code) {
        for (at, target, addend) in calls {
            let target = functions[*target];
            let kind = aarch64::kind::BRANCH26;
            graph.add_edge(Edge { addend: *addend, block: *block, offset: at * 4, target, kind });
        }
    }
    Built { graph, functions }
}

const FAR: u64 = 0x7f00_1234_5678;
const NEAR: u64 = BASE - 0x100;

fn link(graph: LinkGraph<'_>) -> Linked<'_, FlatImage> {
    let found = |name: &[u8]| Resolution::new(if name == b"far" { FAR } else { NEAR }, true);
    let pruned = Link::new(graph, LinkOptions::default()).prune(&Roots::default()).expect("nothing is missing");
    let placed = pruned.place(&FlatMemory::new(BASE)).expect("memory");
    let resolved = placed.resolve(|external| Some(found(external.name))).expect("found");
    resolved.finalize().unwrap_or_else(|error| panic!("{error}"))
}

/// Where the code at `address` goes on to, if it is a stub or a veneer.
fn follow(linked: &Linked<'_, FlatImage>, address: u64) -> Option<u64> {
    let word =
        |at: u64| linked.allocation.at(at, 4).map(|bytes| u32::from_le_bytes(bytes.try_into().expect("four bytes")));
    let at = if word(address)? == 0xd503_245f { address + 4 } else { address };
    let [page, low, jump] = [word(at)?, word(at + 4)?, word(at + 8)?];
    if page & 0x9f00_001f != 0x9000_0010 || jump != 0xd61f_0200 {
        return None;
    }
    let pages = ((page >> 5 & 0x7_ffff) << 2 | page >> 29 & 3) as i32;
    let page = (at & !0xfff).wrapping_add_signed(i64::from(pages << 11 >> 11) << 12);
    let immediate = u64::from(low >> 10 & 0xfff);
    match low & 0xffc0_03ff {
        0x9100_0210 => Some(page + immediate),
        0xf940_0210 => {
            let slot = linked.allocation.at(page + immediate * 8, 8).expect("a slot in the image");
            Some(u64::from_le_bytes(slot.try_into().expect("eight bytes")))
        }
        other => panic!("{other:#x} is no part of a stub"),
    }
}

/// Checks every call, and says how many went through a veneer.
fn check(linked: &Linked<'_, FlatImage>, code: &[Code<'_>], functions: &[SymbolId], reach: i64) -> usize {
    let graph = linked.graph();
    let mut through = 0;
    for (number, (_, calls)) in code.iter().enumerate() {
        let start = graph.symbol(functions[number]).address;
        for (at, target, addend) in calls {
            let place = start + u64::from(at * 4);
            let word = linked.allocation.at(place, 4).expect("in the image");
            let word = u32::from_le_bytes(word.try_into().expect("four bytes"));
            assert_eq!(word & 0xfc00_0000, BL);
            let distance = i64::from((word << 6) as i32 >> 4);
            assert!((-reach..reach).contains(&distance), "{distance:#x}");
            let wanted = graph.symbol(functions[*target]).address.wrapping_add_signed(*addend);
            let mut to = place.wrapping_add_signed(distance);
            let mut hops = 0;
            while to != wanted {
                to = follow(linked, to).unwrap_or_else(|| panic!("{place:#x} leads to {to:#x}, not to {wanted:#x}"));
                hops += 1;
                assert!(hops < 3, "{place:#x} goes around");
            }
            through += usize::from(hops > 0);
        }
    }
    through
}

/// Calls to any of the blocks and of the three others; addends, within a block, for calls by the name of a section.
fn calls(blocks: usize, size: usize) -> impl Strategy<Value = Vec<(u32, usize, i64)>> {
    let call = (0..size as u32, 0..blocks + 3, 0..4_i64);
    proptest::collection::vec(call, 0..8).prop_map(move |mut calls| {
        calls.sort_unstable();
        calls.dedup_by_key(|(at, ..)| *at);
        let addend = |target: usize, addend: i64| if target < blocks { addend * 4 } else { 0 };
        calls.into_iter().map(|(at, target, by)| (at, target, addend(target, by))).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_call_leads_to_its_target(
        code in proptest::collection::vec(8..700_usize, 1..40).prop_flat_map(|sizes| {
            let blocks = sizes.len();
            sizes.into_iter().map(move |size| calls(blocks, size).prop_map(move |calls| (size, calls))).collect::<Vec<_>>()
        }),
    ) {
        let bytes: Vec<Vec<u8>> = code
            .iter()
            .map(|(size, calls)| {
                let word = |at: u32| if calls.iter().any(|(call, ..)| *call == at) { BL } else { NOP };
                (0..*size as u32).flat_map(|at| word(at).to_le_bytes()).collect()
            })
            .collect();
        let code: Vec<Code<'_>> = bytes.iter().zip(&code).map(|(bytes, (_, calls))| (&**bytes, calls.clone())).collect();
        let Built { graph, functions } = build(narrow(), &code);
        let linked = link(graph);
        check(&linked, &code, &functions, 1 << 12);
    }
}

#[test]
fn code_of_more_than_128_mib_calls_across_it() {
    const SIZE: usize = 70 << 20;
    let mut bytes = vec![0; SIZE];
    let last = SIZE as u32 / 4 - 1;
    for at in [0, 1, 2, 3, 4, last] {
        bytes[at as usize * 4..][..4].copy_from_slice(&BL.to_le_bytes());
    }
    let all = |this: usize| vec![(0, 0, 0), (1, 1, 4), (2, 2, 8), (3, 3, 0), (4, 4, 0), (last, 2 - this, 0)];
    let code: Vec<Code<'_>> = (0..3).map(|this| (&*bytes, all(this))).collect();
    let Built { graph, functions } = build(&aarch64::MACHINE, &code);
    let linked = link(graph);
    let through = check(&linked, &code, &functions, 1 << 27);
    assert!(through > 2 * 3, "{through} of 18 calls go through something");
}

#[test]
fn code_within_reach_has_no_islands() {
    let bytes: Vec<u8> = [BL, NOP].into_iter().flat_map(u32::to_le_bytes).collect();
    let code: Vec<Code<'_>> = vec![(&bytes, vec![(0, 1, 0)]), (&bytes, vec![(0, 0, 0)])];
    let Built { graph, functions } = build(&aarch64::MACHINE, &code);
    let linked = link(graph);
    assert_eq!(check(&linked, &code, &functions, 1 << 27), 0);
    assert!(linked.graph().sections().iter().all(|section| section.name != b".text.veneers"));
}
