//! What stays in the table, and can a strict reader follow it?

use super::*;
use crate::arch::x86_64;
use crate::graph::{
    Content, Definition, EdgeKind, Linkage, ObjectId, Prot, Scope, Section, SectionFlags, SectionId, Symbol, SymbolId,
    SymbolKind,
};
use proptest::prelude::*;

/// Objects with functions and their call frame information, as an assembler writes it.
struct Builder {
    graph: LinkGraph<'static>,
    object: ObjectId,
    bytes: Vec<u8>,
    edges: Vec<(u32, EdgeKind, SymbolId, i64)>,
}

impl Builder {
    fn new() -> Self {
        let mut graph = LinkGraph::new(&x86_64::MACHINE);
        let object = graph.add_object("1.o", true);
        Self { graph, object, bytes: Vec::new(), edges: Vec::new() }
    }

    fn object(&mut self) {
        let name = format!("{}.o", self.graph.objects().len() + 1);
        self.object = self.graph.add_object(name, true);
    }

    fn section(&mut self, name: &'static [u8], kind: SectionKind) -> SectionId {
        let (object, flags, prot) = (self.object, SectionFlags::empty(), Prot::READ);
        self.graph.add_section(Section {
            name,
            object,
            prot,
            flags,
            kind,
            entry_size: 0,
            group: None,
            linked_to: None,
            number: 0,
        })
    }

    fn local(&mut self, definition: Definition) -> SymbolId {
        let (linkage, scope, kind) = (Linkage::Strong, Scope::Local, SymbolKind::Section);
        let (name, object) = (&b""[..], self.object);
        let symbol = Symbol {
            name,
            definition,
            value: 0,
            size: 0,
            address: 0,
            object,
            linkage,
            scope,
            kind,
            needed: true,
            live: true,
        };
        self.graph.add_local(symbol)
    }

    /// A function of four bytes in a section of its own, and the symbol of that section.
    fn function(&mut self) -> (BlockId, SymbolId) {
        let section = self.section(b".text.f", SectionKind::Regular);
        let block = self.graph.add_block(section, Content::Bytes(b"\xc3\xc3\xc3\xc3"), 4, 1);
        (block, self.local(Definition::Block(block)))
    }

    fn word(&mut self, word: u32) {
        self.bytes.extend_from_slice(&word.to_le_bytes());
    }

    /// Writes a record: length, identifier or distance to `cie`, body, no-ops.
    fn record(&mut self, cie: Option<usize>, body: &[u8], extended: bool) -> usize {
        let at = self.bytes.len();
        let length = (4 + body.len()).next_multiple_of(4) as u32;
        if extended {
            self.word(u32::MAX);
            self.word(length);
            self.word(0);
        } else {
            self.word(length);
        }
        let link = self.bytes.len();
        self.word(cie.map_or(0, |cie| (link - cie) as u32));
        self.bytes.extend_from_slice(body);
        self.bytes.resize(link + length as usize, 0);
        at
    }

    /// A common information entry as g++ writes it, with a personality routine or without.
    fn cie(&mut self, personality: Option<SymbolId>, tail: u8) -> usize {
        let Some(personality) = personality else {
            return self.record(None, &[1, b'z', b'R', 0, 1, 0x78, 16, 1, 0x1b, 0x0c, 7, tail], false);
        };
        let start = self.bytes.len() as u32;
        self.edges.push((start + 8 + 10, EdgeKind::DELTA32, personality, 0));
        let body = [1, b'z', b'P', b'R', 0, 1, 0x78, 16, 6, 0x9b, 0, 0, 0, 0, 0x1b, 0x0c, 7, tail];
        self.record(None, &body, false)
    }

    /// A frame description of a function of four bytes, with the address of its language-specific data if it has some.
    fn fde(&mut self, cie: usize, function: Option<SymbolId>, lsda: Option<SymbolId>, extended: bool) -> usize {
        let start = (self.bytes.len() + if extended { 16 } else { 8 }) as u32;
        if let Some(function) = function {
            self.edges.push((start, EdgeKind::DELTA32, function, 0));
        }
        let mut body = vec![0, 0, 0, 0, 4, 0, 0, 0];
        if let Some(lsda) = lsda {
            body.extend_from_slice(&[4, 0, 0, 0, 0]);
            self.edges.push((start + 9, EdgeKind::DELTA32, lsda, 0));
        } else {
            body.push(0);
        }
        self.record(Some(cie), &body, extended)
    }

    /// Ends the section: what was written becomes a block of the current object.
    fn finish(&mut self) -> BlockId {
        let section = self.section(b".eh_frame", SectionKind::EhFrame);
        let bytes = std::mem::take(&mut self.bytes);
        let size = bytes.len() as u64;
        let block = self.graph.add_block(section, Content::Owned(bytes.into_boxed_slice()), size, 8);
        for (offset, kind, target, addend) in std::mem::take(&mut self.edges) {
            self.graph.add_edge(Edge { addend, block, offset, target, kind });
        }
        block
    }

    fn compact(&mut self) -> Option<BlockId> {
        let frames = index(&self.graph).expect("sound input is read");
        // As pruning does: the blocks are nobody's root.
        for i in 0..self.graph.blocks.len() {
            let kind = self.graph.section(self.graph.blocks[i].section).kind;
            self.graph.blocks[i].live &= kind != SectionKind::EhFrame;
        }
        frames.compact(&mut self.graph)
    }
}

/// One frame description as a strict reader sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Described {
    function: SymbolId,
    lsda: Option<SymbolId>,
    /// The body of its common information, and the target of its personality.
    common: (Vec<u8>, Option<SymbolId>),
}

/// Reads a compacted table as libgcc does (a zero word ends it), and refuses everything that is not exactly as it should be.
fn decode(graph: &LinkGraph<'_>, table: BlockId) -> Vec<Described> {
    let bytes = graph.block(table).content.bytes().expect("a table has bytes");
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let edges = graph.edges_of(table);
    assert!(edges.is_sorted_by_key(|edge| edge.offset), "edges come in order");
    let edge_in = |from: usize, to: usize| edges.iter().find(|edge| (from..to).contains(&(edge.offset as usize)));
    let mut described = Vec::new();
    let mut commons = std::collections::BTreeMap::new();
    let mut used = 0;
    let mut at = 0;
    loop {
        let length = word(at) as usize;
        if length == 0 {
            assert_eq!(at + 4, bytes.len(), "a zero word before the end");
            break;
        }
        assert_eq!(length % 4, 0);
        let end = at + 4 + length;
        match word(at + 4) {
            0 => {
                let personality = edge_in(at, end).map(|edge| edge.target);
                used += usize::from(personality.is_some());
                commons.insert(at, (bytes[at + 8..end].to_vec(), personality));
            }
            distance => {
                let function = edge_in(at + 8, at + 9).expect("every record has its function");
                let lsda = edge_in(at + 9, end).map(|edge| edge.target);
                used += 1 + usize::from(lsda.is_some());
                let common = commons[&(at + 4 - distance as usize)].clone();
                described.push(Described { function: function.target, lsda, common });
            }
        }
        at = end;
    }
    assert_eq!(used, edges.len(), "no edge but of a record");
    described
}

#[test]
fn a_dropped_function_leaves_no_hole() {
    let mut b = Builder::new();
    let functions: Vec<_> = (0..3).map(|_| b.function()).collect();
    let cie = b.cie(None, 8);
    for (_, symbol) in &functions {
        b.fde(cie, Some(*symbol), None, false);
    }
    b.finish();
    b.graph.blocks[functions[1].0.index()].live = false;
    let table = b.compact().expect("two are left");
    let names: Vec<_> = decode(&b.graph, table).iter().map(|described| described.function).collect();
    assert_eq!(names, [functions[0].1, functions[2].1]);
    assert_eq!(b.graph.section_of(table).name, b".eh_frame");
}

#[test]
fn records_of_functions_that_are_not_here_vanish() {
    let mut b = Builder::new();
    let (_, kept) = b.function();
    let discarded = b.local(Definition::Discarded);
    let (elsewhere, other) = b.function();
    let cie = b.cie(None, 8);
    b.fde(cie, Some(discarded), None, false);
    b.fde(cie, None, None, false);
    b.fde(cie, Some(kept), None, false);
    b.finish();
    // The second object describes a function by a global name that the first object won.
    b.object();
    let cie = b.cie(None, 8);
    b.fde(cie, Some(other), None, false);
    b.finish();
    let frames = index(&b.graph).expect("is read");
    assert!(frames.records_of(elsewhere).is_empty());
    assert_eq!(frames.records().len(), 6);
    let table = b.compact().expect("one is left");
    assert_eq!(decode(&b.graph, table).len(), 1);
}

#[test]
fn nothing_live_means_no_table() {
    let mut b = Builder::new();
    let (function, symbol) = b.function();
    let cie = b.cie(None, 8);
    b.fde(cie, Some(symbol), None, false);
    let old = b.finish();
    b.graph.blocks[function.index()].live = false;
    assert_eq!(b.compact(), None);
    assert!(!b.graph.block(old).live);
}

#[test]
fn zeros_between_records_are_skipped_and_extended_lengths_become_plain() {
    let mut b = Builder::new();
    let (_, first) = b.function();
    let (_, second) = b.function();
    b.word(0);
    let cie = b.cie(None, 8);
    b.fde(cie, Some(first), None, true);
    b.word(0);
    b.word(0);
    let cie = b.record(None, &[3, b'z', b'R', 0, 1, 0x78, 0x90, 0, 1, 0x1b, 0x0c], true);
    b.fde(cie, Some(second), Some(first), true);
    b.word(0);
    b.bytes.extend_from_slice(&[0; 3]);
    b.finish();
    let table = b.compact().expect("both are live");
    let described = decode(&b.graph, table);
    assert_eq!(described.len(), 2);
    assert_eq!((described[1].function, described[1].lsda), (second, Some(first)));
    assert_eq!(described[1].common.0, [3, b'z', b'R', 0, 1, 0x78, 0x90, 0, 1, 0x1b, 0x0c, 0]);
}

#[test]
fn common_information_is_shared_between_objects_when_all_of_it_is_equal() {
    let mut b = Builder::new();
    let personality = b.local(Definition::Undefined);
    let another = b.local(Definition::Undefined);
    for personality in [Some(personality), None, Some(personality), Some(another), None] {
        let (_, function) = b.function();
        let cie = b.cie(personality, 8);
        b.fde(cie, Some(function), None, false);
        b.finish();
        b.object();
    }
    let table = b.compact().expect("all are live");
    assert_eq!(decode(&b.graph, table).len(), 5);
    let bytes = b.graph.block(table).content.bytes().expect("has bytes");
    // Three entries: with each personality, and without. 28 and 20 bytes; the five descriptions have 20 bytes each.
    assert_eq!(bytes.len(), 2 * 28 + 20 + 5 * 20 + 4);
}

#[test]
fn a_function_keeps_its_language_specific_data_and_personality() {
    let mut b = Builder::new();
    let personality = b.local(Definition::Undefined);
    let lsda = b.local(Definition::Undefined);
    let (block, function) = b.function();
    let (other, second) = b.function();
    let cie = b.cie(Some(personality), 8);
    b.fde(cie, Some(function), Some(lsda), false);
    b.fde(cie, Some(second), None, false);
    b.finish();
    let frames = index(&b.graph).expect("is read");
    let kept = |block| frames.references(&b.graph, block).map(|edge| edge.target).collect::<Vec<_>>();
    assert_eq!(kept(block), [lsda, personality]);
    assert_eq!(kept(other), [personality]);
    assert_eq!(frames.references(&b.graph, BlockId::from_index(1000)).count(), 0);
}

#[test]
fn edges_in_any_order_are_found() {
    let mut b = Builder::new();
    let personality = b.local(Definition::Undefined);
    let lsda = b.local(Definition::Undefined);
    let (block, function) = b.function();
    let cie = b.cie(Some(personality), 8);
    b.fde(cie, Some(function), Some(lsda), false);
    b.edges.reverse();
    b.finish();
    let frames = index(&b.graph).expect("is read");
    assert_eq!(frames.references(&b.graph, block).count(), 2);
    let table = b.compact().expect("is live");
    let described = decode(&b.graph, table);
    assert_eq!(
        (described[0].function, described[0].lsda, described[0].common.1),
        (function, Some(lsda), Some(personality))
    );
}

#[test]
fn a_symbol_of_the_table_moves_with_it() {
    let mut b = Builder::new();
    let section = b.section(b".eh_frame", SectionKind::EhFrame);
    let empty = b.graph.add_block(section, Content::Bytes(b""), 0, 4);
    let begin = b.local(Definition::Block(empty));
    let (_, function) = b.function();
    let cie = b.cie(None, 8);
    b.fde(cie, Some(function), None, false);
    b.finish();
    let frames = index(&b.graph).expect("is read");
    // Somebody referred to it, and pruning marked it.
    let table = frames.compact(&mut b.graph).expect("is live");
    assert_eq!(b.graph.location(begin), Some((table, 0)));
}

#[test]
fn a_table_that_somebody_refers_to_is_made_even_if_empty() {
    let mut b = Builder::new();
    let (function, symbol) = b.function();
    let cie = b.cie(None, 8);
    b.fde(cie, Some(symbol), None, false);
    let old = b.finish();
    let begin = b.local(Definition::Block(old));
    b.graph.blocks[function.index()].live = false;
    let frames = index(&b.graph).expect("is read");
    let table = frames.compact(&mut b.graph).expect("is referred to");
    assert_eq!((b.graph.location(begin), decode(&b.graph, table)), (Some((table, 0)), Vec::new()));
}

#[test]
fn augmentations_are_understood() {
    let read = |body: &[u8]| {
        let mut b = Builder::new();
        b.record(None, body, false);
        b.finish();
        index(&b.graph).map(|frames| frames.records()[0].kind)
    };
    let cie = |pointer_encoding, lsda_encoding, personality, signal_frame| {
        Ok(RecordKind::Cie(Cie { pointer_encoding, lsda_encoding, personality, signal_frame }))
    };
    assert_eq!(read(&[1, 0, 1, 0x78, 16, 0x0c]), cie(0, None, false, false));
    assert_eq!(read(b"\x01eh\0\0\0\0\0\0\0\0\0\x01\x78\x10\x0c"), cie(0, None, false, false));
    assert_eq!(read(b"\x01zRS\0\x01\x78\x10\x01\x1b"), cie(0x1b, None, false, true));
    assert_eq!(read(b"\x01zRB\0\x01\x78\x1e\x01\x1b"), cie(0x1b, None, false, false));
    assert_eq!(read(b"\x01zPLR\0\x01\x78\x10\x0b\x00\0\0\0\0\0\0\0\0\x1c\x1b"), cie(0x1b, Some(0x1c), true, false));
    assert_eq!(read(b"\x04zR\0\x08\0\x01\x78\x10\x01\x1b"), cie(0x1b, None, false, false));
    let problem = |body| read(body).expect_err("is damaged").problem;
    assert_eq!(problem(b"\x02zR\0"), EhFrameProblem::Version(2));
    assert_eq!(problem(b"\x01zQ\0\x01\x78\x10\x01\x1b"), EhFrameProblem::Augmentation("zQ".into()));
    assert_eq!(problem(b"\x01q\0\x01\x78\x10\x01\x1b"), EhFrameProblem::Augmentation("q".into()));
    assert_eq!(problem(b"\x01zP\0\x01\x78\x10\x05\x07"), EhFrameProblem::Truncated("augmentation data"));
    assert_eq!(problem(b"\x01zP\0\x01\x78\x10\x01\x07"), EhFrameProblem::Encoding(7));
    assert_eq!(problem(b"\x01zR1"), EhFrameProblem::Truncated("augmentation"));
}

#[test]
fn errors_say_where() {
    let damaged = |change: fn(&mut Vec<u8>)| {
        let mut b = Builder::new();
        let (_, function) = b.function();
        let cie = b.cie(None, 8);
        b.fde(cie, Some(function), None, false);
        change(&mut b.bytes);
        b.finish();
        index(&b.graph).expect_err("is damaged").to_string()
    };
    let said = "1.o: section .eh_frame+0x14: damaged call frame information: ";
    let expect = |problem: &str| format!("{said}{problem}");
    assert_eq!(damaged(|bytes| bytes[0x14] = 0x40), expect("a record of 64 bytes, and 16 are left in the section"));
    assert_eq!(damaged(|bytes| bytes[0x14] = 2), expect("the record ends inside its identifier"));
    assert_eq!(damaged(|bytes| bytes[0x14] = 8), expect("the record ends inside its addresses"));
    assert_eq!(damaged(|bytes| bytes.truncate(0x16)), expect("the record ends inside its length"));
    assert_eq!(
        damaged(|bytes| bytes[0x18] = 0x10),
        expect("no common information entry at offset 0x8, where this record looks for it")
    );
}

proptest! {
    /// Random objects, some functions dropped: the table holds exactly the rest, in order.
    #[test]
    fn the_table_holds_the_live_functions(
        objects in prop::collection::vec(
            prop::collection::vec((any::<bool>(), any::<bool>(), 0_u8..3, any::<bool>(), 0_usize..3), 0..8), 1..6),
    ) {
        let mut b = Builder::new();
        let personalities = [b.local(Definition::Undefined), b.local(Definition::Undefined)];
        let lsda = b.local(Definition::Undefined);
        let mut expected = Vec::new();
        for functions in objects {
            b.object();
            for (live, extended, which, has_lsda, gap) in functions {
                let (block, function) = b.function();
                b.graph.blocks[block.index()].live = live;
                let personality = personalities.get(usize::from(which)).copied();
                let cie = b.cie(personality, which);
                let body = b.bytes[cie + 8..].to_vec();
                for _ in 0..gap {
                    b.word(0);
                }
                let lsda = has_lsda.then_some(lsda);
                b.fde(cie, Some(function), lsda, extended);
                if live {
                    expected.push(Described { function, lsda, common: (body, personality) });
                }
            }
            b.finish();
        }
        let described = b.compact().map(|table| decode(&b.graph, table)).unwrap_or_default();
        prop_assert_eq!(described, expected);
    }

    /// Whatever is changed in sound input, the answer is a table or an error.
    #[test]
    fn damage_never_panics(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut in 0_usize..8) {
        let mut b = Builder::new();
        let personality = b.local(Definition::Undefined);
        let (_, first) = b.function();
        let (_, second) = b.function();
        let cie = b.cie(Some(personality), 8);
        b.fde(cie, Some(first), Some(second), false);
        let cie = b.cie(None, 8);
        b.fde(cie, Some(second), None, true);
        for (at, byte) in changes {
            let at = at.index(b.bytes.len());
            b.bytes[at] = byte;
        }
        let length = b.bytes.len() - cut;
        b.bytes.truncate(length);
        b.edges.retain(|edge| (edge.0 as usize) < length);
        b.finish();
        if let Ok(frames) = index(&b.graph)
            && let Some(table) = frames.compact(&mut b.graph)
        {
            let bytes = b.graph.block(table).content.bytes().expect("has bytes");
            prop_assert_eq!(&bytes[bytes.len() - 4..], [0; 4]);
            // What was written can be read again, and nothing more is lost.
            prop_assert!(index(&b.graph).is_ok());
        }
    }
}
