//! What must hold in every graph, whoever built it: debug builds and tests ask after each pass.
//!
//! A graph that was read from a damaged file holds all of this, too: readers refuse what would break it.

use super::{Block, Definition, Edge, LinkGraph, LinkerSymbol, Scope, Section, Symbol, SymbolKind};
use std::fmt::{self, Display, Formatter};

/// A graph that breaks its own rules: a mistake of a reader, of a pass, or of who built it by hand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct GraphError(pub String);

/// Says what is wrong with `what` unless `holds`.
fn check(holds: bool, what: impl Display, wrong: impl Display) -> Result<(), GraphError> {
    if holds { Ok(()) } else { Err(GraphError(format!("{what} {wrong}"))) }
}

/// An edge in words.
#[derive(Clone, Copy)]
struct Name(usize, super::BlockId);

impl Display for Name {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "edge {} of {}", self.0, self.1)
    }
}

impl LinkGraph<'_> {
    /// Checks every rule that does not depend on how far the link has come.
    ///
    /// # Errors
    /// The first rule that does not hold, and the thing that breaks it.
    pub fn verify(&self) -> Result<(), GraphError> {
        self.verify_objects()?;
        for (i, section) in self.sections.iter().enumerate() {
            self.verify_section(i, section)?;
        }
        for (i, block) in self.blocks.iter().enumerate() {
            self.verify_block(super::BlockId::from_index(i), block)?;
        }
        for (i, symbol) in self.symbols.iter().enumerate() {
            self.verify_symbol(super::SymbolId::from_index(i), symbol)?;
        }
        for (i, edge) in self.edges.iter().enumerate() {
            self.verify_edge(i, edge)?;
        }
        for (i, group) in self.groups.all.iter().enumerate() {
            let what = super::GroupId::from_index(i);
            check(group.object.index() < self.objects.len(), what, "is of an object that is not there")?;
            for block in &group.members {
                check(block.index() < self.blocks.len(), what, format_args!("has {block}, which is not there"))?;
                let object = self.section_of(*block).object;
                check(object == group.object, what, format_args!("of {} has {block} of {object}", group.object))?;
            }
        }
        Ok(())
    }

    /// Sections of an object stand together, in the order of objects.
    fn verify_objects(&self) -> Result<(), GraphError> {
        let mut end = 0;
        for (i, object) in self.objects.iter().enumerate() {
            let (what, range) = (super::ObjectId::from_index(i), &object.sections);
            check(range.start == end && range.start <= range.end, what, "does not begin where the last one ends")?;
            end = range.end;
            check(end <= self.sections.len(), what, "has more sections than there are")?;
            for section in &self.sections[range.clone()] {
                check(section.object == what, what, format_args!("has a section of {}", section.object))?;
            }
        }
        check(end == self.sections.len(), "the last section", "is of no object")
    }

    fn verify_section(&self, i: usize, section: &Section<'_>) -> Result<(), GraphError> {
        let what = super::SectionId::from_index(i);
        let group = section.group.is_none_or(|group| group.index() < self.groups.all.len());
        check(group, what, "is of a group that is not there")?;
        let linked = section.linked_to.is_none_or(|block| block.index() < self.blocks.len());
        check(linked, what, "shares the fate of a block that is not there")?;
        let both = super::Prot::WRITE | super::Prot::EXEC;
        check(!section.prot.contains(both), what, "is both writable and executable")
    }

    fn verify_block(&self, what: super::BlockId, block: &Block<'_>) -> Result<(), GraphError> {
        check(block.section.index() < self.sections.len(), what, "is of a section that is not there")?;
        check(block.align_log2 < 64, what, format_args!("is aligned to 2^{}", block.align_log2))?;
        if let Some(bytes) = block.content.bytes() {
            check(
                bytes.len() as u64 == block.size,
                what,
                format_args!("has {} bytes and says {}", bytes.len(), block.size),
            )?;
        }
        check(
            block.address.is_multiple_of(block.align()),
            what,
            format_args!("at {:#x} is not aligned to {}", block.address, block.align()),
        )?;
        let range = block.edge_range();
        check(range.start <= range.end && range.end <= self.edges.len(), what, "has edges that are not there")?;
        for edge in &self.edges[range] {
            check(edge.block == what, what, format_args!("has an edge of {}", edge.block))?;
        }
        Ok(())
    }

    fn verify_symbol(&self, what: super::SymbolId, symbol: &Symbol<'_>) -> Result<(), GraphError> {
        check(symbol.object.index() < self.objects.len(), what, "is of an object that is not there")?;
        match symbol.definition {
            Definition::Block(block) => {
                check(block.index() < self.blocks.len(), what, format_args!("stands in {block}, which is not there"))?;
                let size = self.block(block).size;
                // The end of a block is a place, too. What only its object sees, and has no type, may be a label that data is counted from.
                let anchor = symbol.scope == Scope::Local && symbol.kind == SymbolKind::Unknown;
                check(
                    symbol.value <= size || anchor,
                    what,
                    format_args!("stands at {:#x} of {block}, which has {size:#x} bytes", symbol.value),
                )
            }
            Definition::Linker(LinkerSymbol::SectionStart | LinkerSymbol::SectionStop) => {
                check(symbol.value < self.bounds.len() as u64, what, "bounds a section that nobody asked for")
            }
            _ => Ok(()),
        }
    }

    fn verify_edge(&self, i: usize, edge: &Edge) -> Result<(), GraphError> {
        let what = Name(i, edge.block);
        check(edge.block.index() < self.blocks.len(), what, "is of a block that is not there")?;
        check(edge.target.index() < self.symbols.len(), what, "has a target that is not there")?;
        let Some(row) = self.machine.fixups.get(usize::from(edge.kind.0)) else {
            return Err(GraphError(format!("{what} is of a kind that {} does not have", self.machine.name)));
        };
        let block = self.block(edge.block);
        check(block.edge_range().contains(&i), what, "is not among its block's edges")?;
        let end = u64::from(edge.offset) + u64::from(row.field.width());
        check(
            end <= block.size,
            what,
            format_args!("({}) writes up to {end:#x} of {:#x} bytes", row.name, block.size),
        )?;
        let target = self.symbol(edge.target);
        let dangling = block.live && target.block().is_some_and(|target| !self.block(target).live);
        check(!dangling, what, format_args!("is live, and {} stands in what is not", edge.target))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        BlockId, Content, Edge, EdgeKind, LinkGraph, ObjectId, Prot, Scope, Section, SectionFlags, SectionId,
        SectionKind, SymbolId,
    };
    use super::*;

    /// Two blocks, an edge from the first to a symbol, and a group with the second.
    fn graph() -> LinkGraph<'static> {
        let mut graph = LinkGraph::new(&crate::arch::x86_64::MACHINE);
        let object = graph.add_object("a.o", true);
        let (prot, flags, kind) = (Prot::READ, SectionFlags::empty(), SectionKind::Regular);
        let super::super::GroupOutcome::Kept(group) = graph.offer_group(b"g", true, object) else {
            unreachable!("the first of its signature")
        };
        let section = Section {
            name: b"s",
            object,
            prot,
            flags,
            kind,
            entry_size: 0,
            group: Some(group),
            linked_to: None,
            number: 0,
        };
        let section = graph.add_section(section);
        let block = graph.add_block(section, Content::Bytes(&[0; 8]), 8, 8);
        let other = graph.add_block(section, Content::Zero, 4, 4);
        graph.add_to_group(group, other);
        let target = graph.refer(b"x", false, Scope::Default, object);
        graph.refer(b"__start_s", false, Scope::Default, object);
        graph.add_edge(Edge { addend: 0, block, offset: 0, target, kind: EdgeKind::POINTER64 });
        graph.symbols[0].definition = Definition::Block(other);
        graph
    }

    #[test]
    fn a_sound_graph_passes() {
        assert_eq!(graph().verify(), Ok(()));
        assert_eq!(LinkGraph::new(&crate::arch::x86_64::MACHINE).verify(), Ok(()));
    }

    #[test]
    fn each_rule_is_checked() {
        type Break = fn(&mut LinkGraph<'static>);
        let cases: [(Break, &str); 18] = [
            (|g| g.objects[0].sections.end = 9, "object-1 has more sections than there are"),
            (|g| g.objects[0].sections.end = 0, "the last section is of no object"),
            (|g| g.sections[0].object = ObjectId::from_index(1), "object-1 has a section of object-2"),
            (
                |g| g.sections[0].linked_to = Some(BlockId::from_index(9)),
                "section-1 shares the fate of a block that is not there",
            ),
            (|g| g.sections[0].prot = Prot::WRITE | Prot::EXEC, "section-1 is both writable and executable"),
            (|g| g.blocks[0].section = SectionId::from_index(7), "block-1 is of a section that is not there"),
            (|g| g.blocks[0].size = 9, "block-1 has 8 bytes and says 9"),
            (|g| g.blocks[0].align_log2 = 64, "block-1 is aligned to 2^64"),
            (|g| g.blocks[0].address = 12, "block-1 at 0xc is not aligned to 8"),
            (|g| g.blocks[0].edges = 0..2, "block-1 has edges that are not there"),
            (|g| g.blocks[1].edges = 0..1, "block-2 has an edge of block-1"),
            (|g| g.blocks[0].edges = 0..0, "edge 0 of block-1 is not among its block's edges"),
            (|g| g.symbols[0].value = 5, "symbol-1 stands at 0x5 of block-2, which has 0x4 bytes"),
            (|g| g.symbols[1].value = 1, "symbol-2 bounds a section that nobody asked for"),
            (|g| g.edges[0].target = SymbolId::from_index(5), "edge 0 of block-1 has a target that is not there"),
            (|g| g.edges[0].offset = 1, "edge 0 of block-1 (Pointer64) writes up to 0x9 of 0x8 bytes"),
            (|g| g.edges[0].kind = EdgeKind(255), "edge 0 of block-1 is of a kind that x86_64 does not have"),
            (|g| g.blocks[1].live = false, "edge 0 of block-1 is live, and symbol-1 stands in what is not"),
        ];
        for (change, said) in cases {
            let mut graph = graph();
            change(&mut graph);
            assert_eq!(graph.verify(), Err(GraphError(said.to_owned())));
        }
    }
}
