//! Which pieces become one, and does everybody find them?

use super::*;
use crate::arch::x86_64;
use crate::graph::{
    Definition, Edge, EdgeKind, Linkage, ObjectId, Scope, Section, SectionId, Symbol, SymbolId, SymbolKind,
};
use proptest::prelude::*;

struct Builder {
    graph: LinkGraph<'static>,
    object: ObjectId,
}

impl Builder {
    fn new() -> Self {
        let mut graph = LinkGraph::new(&x86_64::MACHINE);
        let object = graph.add_object("a.o", true);
        Self { graph, object }
    }

    fn section(&mut self, name: &'static [u8], flags: SectionFlags, entry_size: u32) -> SectionId {
        let (object, kind) = (self.object, SectionKind::Regular);
        let (group, linked_to) = (None, None);
        self.graph.add_section(Section {
            name,
            object,
            prot: Prot::READ,
            flags,
            kind,
            entry_size,
            group,
            linked_to,
            number: 0,
        })
    }

    fn strings(&mut self, bytes: &[u8], align: u64) -> BlockId {
        let section = self.section(b".rodata.str1.1", SectionFlags::MERGE | SectionFlags::STRINGS, 1);
        self.graph.add_block(section, Content::Owned(bytes.into()), bytes.len() as u64, align)
    }

    fn constants(&mut self, bytes: &[u8], size: u32) -> BlockId {
        let section = self.section(b".rodata.cst", SectionFlags::MERGE, size);
        self.graph.add_block(section, Content::Owned(bytes.into()), bytes.len() as u64, u64::from(size))
    }

    fn symbol(&mut self, block: BlockId, value: u64, kind: SymbolKind) -> SymbolId {
        self.graph.add_local(Symbol {
            name: if kind == SymbolKind::Section { b"" } else { b".LC" },
            definition: Definition::Block(block),
            value,
            size: 0,
            address: 0,
            object: self.object,
            linkage: Linkage::Strong,
            scope: Scope::Local,
            kind,
            needed: true,
            live: true,
        })
    }

    /// A block of pointers, one for each target and addend.
    fn pointers(&mut self, targets: &[(SymbolId, i64, EdgeKind)]) -> BlockId {
        let section = self.section(b".data", SectionFlags::empty(), 0);
        let size = 8 * targets.len() as u64;
        let block = self.graph.add_block(section, Content::Zero, size, 8);
        for (i, (target, addend, kind)) in targets.iter().enumerate() {
            let (target, addend, kind) = (*target, *addend, *kind);
            self.graph.add_edge(Edge { addend, block, offset: 8 * i as u32, target, kind });
        }
        block
    }

    /// What stands at the place that a symbol and an addend name.
    fn at(&self, target: SymbolId, addend: i64) -> &[u8] {
        let (block, value) = self.graph.location(target).expect("stands in a block");
        assert!(self.graph.block(block).live, "{target} stands in a block that is gone");
        let bytes = self.graph.block(block).content.bytes().expect("has content");
        &bytes[(value as i64 + addend) as usize..]
    }

    /// The string that edge `i` of `block` refers to.
    fn string(&self, block: BlockId, i: usize) -> String {
        let edge = self.graph.edges_of(block)[i];
        let bytes = self.at(edge.target, edge.addend);
        let end = bytes.iter().position(|byte| *byte == 0).expect("ends");
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }
}

#[test]
fn equal_strings_of_two_objects_become_one() {
    let mut b = Builder::new();
    let first = b.strings(b"red\0green\0", 1);
    let second = b.strings(b"green\0blue\0", 1);
    let named = b.symbol(second, 2, SymbolKind::Object);
    let sections = [first, second].map(|block| b.symbol(block, 0, SymbolKind::Section));
    let pointer = EdgeKind::POINTER64;
    let data = b.pointers(&[
        (sections[0], 4, pointer),
        (sections[1], 0, pointer),
        (sections[1], 7, pointer),
        (named, 1, pointer),
        (sections[1], 11, pointer),
    ]);
    let stats = merge(&mut b.graph).expect("merges");
    assert_eq!(stats, Merged { blocks: 2, pieces: 4, unique: 3, bytes_before: 21, bytes_after: 15, edges: 4 });
    assert_eq!(b.string(data, 0), "green");
    assert_eq!(b.string(data, 1), "green");
    assert_eq!(b.string(data, 2), "lue");
    assert_eq!(b.string(data, 3), "en", "a symbol's piece is found by its value, the addend is kept");
    let edges = b.graph.edges_of(data);
    assert_eq!((edges[0].target, edges[0].addend), (edges[1].target, edges[1].addend));
    assert_eq!(edges[4].addend, 15, "the end of a section is the end of its last piece");
    assert!(!b.graph.block(first).live && !b.graph.block(second).live);
}

#[test]
fn kinds_are_kept_apart_and_the_lonely_left_alone() {
    let mut b = Builder::new();
    let aligned = b.strings(b"x\0", 8);
    let plain = b.strings(b"x\0", 1);
    let eight = b.constants(&[0; 8], 8);
    let four = b.constants(&[0; 8], 4);
    let blocks = b.graph.blocks().len();
    assert_eq!(merge(&mut b.graph).expect("nothing to do"), Merged::default());
    assert_eq!(b.graph.blocks().len(), blocks);
    assert!([aligned, plain, eight, four].iter().all(|block| b.graph.block(*block).live));
}

#[test]
fn pieces_keep_the_alignment_of_their_section() {
    let mut b = Builder::new();
    let first = b.strings(b"a\0\0\0\0\0\0\0second\0", 8);
    let second = b.strings(b"other\0\0\0second\0", 8);
    let symbols = [(first, 8), (second, 0), (second, 8)].map(|(block, at)| b.symbol(block, at, SymbolKind::Object));
    merge(&mut b.graph).expect("merges");
    let places = symbols.map(|symbol| b.graph.location(symbol).expect("is defined"));
    assert!(places.iter().all(|(block, at)| at % 8 == 0 && b.graph.block(*block).align() == 8));
    assert_eq!(places[0], places[2]);
    assert!(b.at(symbols[1], 0).starts_with(b"other\0"));
}

#[test]
fn wide_strings_end_in_wide_zeros() {
    let mut b = Builder::new();
    let wide = |b: &mut Builder, text: &[u16]| {
        let section = b.section(b".rodata.str2.2", SectionFlags::MERGE | SectionFlags::STRINGS, 2);
        let bytes: Vec<u8> = text.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        b.graph.add_block(section, Content::Owned(bytes.as_slice().into()), bytes.len() as u64, 2)
    };
    // 0x0100 and 0x0041 have zero bytes and are no ends.
    wide(&mut b, &[0x41, 0x100, 0, 0x42, 0]);
    wide(&mut b, &[0x42, 0, 0x41, 0x100, 0]);
    let stats = merge(&mut b.graph).expect("merges");
    assert_eq!((stats.pieces, stats.unique, stats.bytes_after), (4, 2, 10));
}

#[test]
fn constants_are_compared_whole() {
    let mut b = Builder::new();
    let first = b.constants(&[1, 2, 3, 4, 1, 2, 3, 5], 4);
    let second = b.constants(&[1, 2, 3, 5], 4);
    let symbols = [(first, 4), (second, 0)].map(|(block, at)| b.symbol(block, at, SymbolKind::Object));
    let stats = merge(&mut b.graph).expect("merges");
    assert_eq!((stats.pieces, stats.unique), (3, 2));
    assert_eq!(b.graph.location(symbols[0]), b.graph.location(symbols[1]));
}

#[test]
fn what_must_not_be_merged_is_not() {
    let flags = SectionFlags::MERGE | SectionFlags::STRINGS;
    let mut b = Builder::new();
    for _ in 0..2 {
        for section in [
            b.section(b"bounded", flags, 1),
            b.section(b".rodata.tls", flags | SectionFlags::TLS, 1),
            b.section(b".rodata.linked", flags | SectionFlags::LINK_ORDER, 1),
            b.section(b".rodata.odd", flags, 0),
            b.section(b".rodata.part", flags, 4),
        ] {
            b.graph.add_block(section, Content::Owned(b"ab\0c\0\0"[..].into()), 6, 1);
        }
        let section = b.section(b".data.str", flags, 1);
        b.graph.sections[section.index()].prot = Prot::READ | Prot::WRITE;
        b.graph.add_block(section, Content::Bytes(b"a\0"), 2, 1);
        let section = b.section(b".bss.str", flags, 1);
        b.graph.add_block(section, Content::Zero, 2, 1);
        let section = b.section(b".rodata.huge", flags, 1);
        b.graph.add_block(section, Content::Bytes(b"a\0"), 2, 1 << 20);
        let dead = b.strings(b"a\0", 1);
        b.graph.blocks[dead.index()].live = false;
    }
    let object = b.object;
    b.graph.refer(b"__start_bounded", false, Scope::Default, object);
    assert_eq!(merge(&mut b.graph).expect("nothing to do"), Merged::default());
}

#[test]
fn a_slot_of_a_section_gets_a_symbol_of_its_own() {
    let mut b = Builder::new();
    b.strings(b"one\0two\0", 1);
    let second = b.strings(b"two\0", 1);
    let section = b.symbol(second, 0, SymbolKind::Section);
    let rows = x86_64::MACHINE.fixups.iter();
    let slot = rows.clone().position(|row| row.expr.needs_slot()).expect("x86-64 has a GOT");
    let data = b.pointers(&[(section, -4, EdgeKind(slot as u8))]);
    merge(&mut b.graph).expect("merges");
    let edge = b.graph.edges_of(data)[0];
    assert_eq!(edge.addend, -4);
    assert!(b.at(edge.target, 0).starts_with(b"two\0"));
}

#[test]
fn a_section_whose_last_string_does_not_end_is_left_alone() {
    let mut b = Builder::new();
    b.strings(b"whole\0", 1);
    b.strings(b"whole\0", 1);
    let open_ended = b.strings(b"whole\0half", 1);
    merge(&mut b.graph).expect("merges the others");
    let block = b.graph.block(open_ended);
    assert!(block.live);
    assert_eq!(block.content.bytes(), Some(&b"whole\0half"[..]));
}

#[test]
fn errors_name_the_object() {
    let mut b = Builder::new();
    b.strings(b"one\0", 1);
    let second = b.strings(b"two\0", 1);
    let section = b.symbol(second, 0, SymbolKind::Section);
    b.pointers(&[(section, -4, EdgeKind::DELTA32)]);
    let error = merge(&mut b.graph).expect_err("before the section");
    assert_eq!(
        error.to_string(),
        "a.o: section .data+0x0: relocation refers to offset -4 of .rodata.str1.1, a merge section of 4 bytes"
    );

    let mut b = Builder::new();
    b.strings(b"one\0", 1);
    let second = b.strings(b"two\0", 1);
    b.symbol(second, 5, SymbolKind::Object);
    let error = merge(&mut b.graph).expect_err("after the section");
    assert_eq!(error.to_string(), "a.o: symbol .LC stands at offset 0x5 of .rodata.str1.1, a merge section of 4 bytes");
}

proptest! {
    /// Whatever is merged, every reference reads what it read before.
    #[test]
    fn references_read_what_they_read_before(
        blocks in prop::collection::vec((prop::collection::vec("[ab]{0,3}", 1..8), 0_u32..3), 1..6),
        picks in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>()), 1..20),
    ) {
        let mut b = Builder::new();
        let mut contents = Vec::new();
        for (strings, align_log2) in &blocks {
            let bytes: Vec<u8> = strings.iter().flat_map(|s| s.bytes().chain([0])).collect();
            contents.push((b.strings(&bytes, 1 << align_log2), bytes));
        }
        let mut targets = Vec::new();
        let mut expected = Vec::new();
        for (block, offset, by_section) in picks {
            let (block, bytes) = &contents[block.index(contents.len())];
            let at = offset.index(bytes.len());
            let end = at + bytes[at..].iter().position(|byte| *byte == 0).expect("strings end");
            expected.push(String::from_utf8_lossy(&bytes[at..end]).into_owned());
            targets.push(if by_section {
                (b.symbol(*block, 0, SymbolKind::Section), at as i64, EdgeKind::POINTER64)
            } else {
                (b.symbol(*block, at as u64, SymbolKind::Object), 0, EdgeKind::POINTER64)
            });
        }
        let data = b.pointers(&targets);
        let stats = merge(&mut b.graph).expect("sound input merges");
        for (i, expected) in expected.iter().enumerate() {
            prop_assert_eq!(&b.string(data, i), expected);
        }
        prop_assert!(stats.unique <= stats.pieces);
    }
}
