//! A graph as text: stable from run to run, in the shape that `llvm-jitlink -show-graphs` gives.
//!
//! Sections come in the order of their objects, blocks by address, symbols and edges by offset. What was pruned is not shown; a section
//! of which nothing is left is. Before the graph is placed, blocks are named by their ids, as they have no addresses.

use super::{
    Block, BlockId, Definition, Edge, LinkGraph, Linkage, LinkerSymbol, Object, ObjectId, Scope, Symbol, SymbolId,
};
use std::fmt::{self, Formatter};
use std::ops::Range;

impl<'data> LinkGraph<'data> {
    /// The graph as text: `println!("{}", graph.dump())`.
    #[must_use]
    pub fn dump(&self) -> Dump<'_, 'data> {
        Dump { graph: self, object: None }
    }
}

/// Displays a graph, or one object of it.
#[derive(Clone, Copy, Debug)]
pub struct Dump<'a, 'data> {
    graph: &'a LinkGraph<'data>,
    object: Option<ObjectId>,
}

impl Dump<'_, '_> {
    /// Only this object's sections, and the absolute and external symbols that they refer to; without a headline.
    #[must_use]
    pub fn object(self, object: ObjectId) -> Self {
        Self { object: Some(object), ..self }
    }
}

impl fmt::Display for Dump<'_, '_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let page = Page::new(self.graph);
        if let Some(object) = self.object {
            let sections = self.graph.object(object).sections.clone();
            page.sections(f, sections.clone())?;
            return page.outside(f, &page.referred(sections));
        }
        let graph = self.graph;
        writeln!(f, "Link graph for {}: {}\n", graph.machine().name, count(graph.objects().len(), "object"))?;
        for Object { name, sections, .. } in graph.objects() {
            writeln!(f, "object {name}:\n")?;
            page.sections(f, sections.clone())?;
        }
        page.outside(f, &page.referred(0..graph.sections().len()))
    }
}

/// What the text is made from: indexes by section and by block.
struct Page<'a, 'data> {
    graph: &'a LinkGraph<'data>,
    /// Live blocks, by section, address and number.
    blocks: Vec<(u32, u64, BlockId)>,
    /// Symbols in them, by block, offset and number.
    symbols: Vec<(BlockId, u64, SymbolId)>,
    /// Whether addresses mean something.
    placed: bool,
}

impl<'a, 'data> Page<'a, 'data> {
    fn new(graph: &'a LinkGraph<'data>) -> Self {
        let live = graph.blocks().iter().enumerate().filter(|(_, block)| block.live);
        let mut blocks: Vec<_> =
            live.map(|(i, block)| (block.section.index() as u32, block.address, BlockId::from_index(i))).collect();
        blocks.sort_unstable();
        let symbols = graph.symbols().iter().enumerate();
        let mut symbols: Vec<_> = symbols
            .filter_map(|(i, symbol)| Some((symbol.block()?, symbol.value, SymbolId::from_index(i))))
            .filter(|(block, ..)| graph.block(*block).live)
            .collect();
        symbols.sort_unstable();
        let placed = blocks.iter().any(|(_, address, _)| *address != 0);
        Self { graph, blocks, symbols, placed }
    }

    /// The live blocks of some sections.
    fn blocks(&self, sections: Range<usize>) -> &[(u32, u64, BlockId)] {
        let at = |section: usize| self.blocks.partition_point(|(of, ..)| (*of as usize) < section);
        &self.blocks[at(sections.start)..at(sections.end)]
    }

    fn sections(&self, f: &mut Formatter<'_>, sections: Range<usize>) -> fmt::Result {
        for i in sections {
            writeln!(f, "section {}:\n", String::from_utf8_lossy(self.graph.sections()[i].name))?;
            for (.., id) in self.blocks(i..i + 1) {
                self.block(f, *id)?;
                writeln!(f)?;
            }
        }
        Ok(())
    }

    fn block(&self, f: &mut Formatter<'_>, id: BlockId) -> fmt::Result {
        let block = self.graph.block(id);
        if self.placed {
            write!(f, "  block {:#018x}", block.address)?;
        } else {
            write!(f, "  {id}")?;
        }
        write!(f, " size = {:#010x}, align = {}, alignment-offset = 0", block.size, block.align())?;
        writeln!(f, "{}", if block.content.bytes().is_none() { ", zero-fill" } else { "" })?;

        let start = self.symbols.partition_point(|(of, ..)| *of < id);
        let symbols = self.symbols[start..].iter().take_while(|(of, ..)| *of == id);
        let mut none = true;
        for (_, offset, symbol) in symbols {
            if none {
                writeln!(f, "    symbols:")?;
                none = false;
            }
            write!(f, "      ")?;
            self.place(f, block, *offset)?;
            writeln!(f, ": {}", Described(self.graph.symbol(*symbol)))?;
        }
        if none {
            writeln!(f, "    no symbols")?;
        }

        let mut edges: Vec<&Edge> = self.graph.edges_of(id).iter().collect();
        if edges.is_empty() {
            return writeln!(f, "    no edges");
        }
        edges.sort_by_key(|edge| edge.offset);
        writeln!(f, "    edges:")?;
        for edge in edges {
            write!(f, "      ")?;
            self.place(f, block, edge.offset.into())?;
            let sign = if edge.addend < 0 { '-' } else { '+' };
            let kind = self.graph.machine().fixup(edge.kind).name;
            write!(f, ", addend = {sign}{:#010x}, kind = {kind}, target = ", edge.addend.unsigned_abs())?;
            self.target(f, edge.target)?;
            writeln!(f)?;
        }
        Ok(())
    }

    /// `0xADDRESS (block + 0xOFFSET)`
    fn place(&self, f: &mut Formatter<'_>, block: &Block<'_>, offset: u64) -> fmt::Result {
        if self.placed {
            write!(f, "{:#018x} ", block.address.wrapping_add(offset))?;
        }
        write!(f, "(block + {offset:#010x})")
    }

    /// The name of a symbol, or where it is.
    fn target(&self, f: &mut Formatter<'_>, id: SymbolId) -> fmt::Result {
        let symbol = self.graph.symbol(id);
        match symbol.definition {
            _ if !symbol.name.is_empty() => write!(f, "{}", String::from_utf8_lossy(symbol.name)),
            Definition::Block(block) if self.placed => {
                write!(f, "addressable@{:#018x}+{:#010x}", self.graph.block(block).address, symbol.value)
            }
            Definition::Block(block) => write!(f, "{block}+{:#010x}", symbol.value),
            Definition::Discarded => write!(f, "discarded {id}"),
            _ => write!(f, "{id}"),
        }
    }

    /// Which symbols the live blocks of some sections refer to.
    fn referred(&self, sections: Range<usize>) -> Vec<bool> {
        let mut referred = vec![false; self.graph.symbols().len()];
        for (.., id) in self.blocks(sections) {
            for edge in self.graph.edges_of(*id) {
                referred[edge.target.index()] = true;
            }
        }
        referred
    }

    /// The lists of symbols that are in no block.
    fn outside(&self, f: &mut Formatter<'_>, referred: &[bool]) -> fmt::Result {
        let all = || self.graph.symbols().iter().zip(referred);
        let absolute = all().filter(|(symbol, _)| symbol.definition == Definition::Absolute);
        list(f, "Absolute symbols:", absolute.filter(|(symbol, referred)| **referred || symbol.is_exported()))?;
        let common = all().filter(|(symbol, _)| symbol.definition == Definition::Common);
        if common.clone().next().is_some() {
            list(f, "\nCommon symbols:", common)?;
        }
        let external = |definition| matches!(definition, Definition::Undefined | Definition::Linker(_));
        list(f, "\nExternal symbols:", all().filter(|(symbol, referred)| **referred && external(symbol.definition)))
    }
}

fn list<'a, 'data: 'a>(
    f: &mut Formatter<'_>,
    title: &str,
    symbols: impl Iterator<Item = (&'a Symbol<'data>, &'a bool)>,
) -> fmt::Result {
    writeln!(f, "{title}")?;
    let mut none = true;
    for (symbol, _) in symbols {
        none = false;
        let address = match symbol.definition {
            Definition::Absolute => symbol.value,
            _ => symbol.address,
        };
        let note = match symbol.definition {
            Definition::Linker(LinkerSymbol::GlobalOffsetTable) => " (base of the GOT)",
            Definition::Linker(LinkerSymbol::Header) => " (header of the dylib)",
            Definition::Linker(LinkerSymbol::ImageBase) => " (lowest address)",
            Definition::Linker(LinkerSymbol::ThreadLocalBase) => " (base of thread-local offsets)",
            Definition::Linker(LinkerSymbol::SectionStart) => " (start of a section)",
            Definition::Linker(LinkerSymbol::SectionStop) => " (end of a section)",
            Definition::Undefined if !symbol.needed => " (weakly referenced)",
            _ => "",
        };
        writeln!(f, "  {address:#018x}: {}{note}", Described(symbol))?;
    }
    if none { writeln!(f, "  none") } else { Ok(()) }
}

/// `size: S, linkage: L, scope: S, live  -   NAME`
struct Described<'a, 'data>(&'a Symbol<'data>);

impl fmt::Display for Described<'_, '_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let symbol = self.0;
        let linkage = match symbol.linkage {
            Linkage::Strong => "strong",
            Linkage::Weak => "weak",
            Linkage::Unique => "unique",
        };
        let scope = match symbol.scope {
            Scope::Local => "local",
            Scope::Hidden => "hidden",
            Scope::Protected => "protected",
            Scope::Default => "default",
        };
        let live = if symbol.live { "live" } else { "dead" };
        write!(f, "size: {:#010x}, linkage: {linkage}, scope: {scope}, {live}  -   ", symbol.size)?;
        if symbol.name.is_empty() {
            f.write_str("<anonymous symbol>")
        } else {
            write!(f, "{}", String::from_utf8_lossy(symbol.name))
        }
    }
}

fn count(number: usize, of: &str) -> String {
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::super::{Content, EdgeKind, GlobalDefinition, Prot, Section, SectionFlags, SectionKind, SymbolKind};
    use super::*;

    fn graph() -> LinkGraph<'static> {
        let mut graph = LinkGraph::new(&crate::arch::x86_64::MACHINE);
        let object = graph.add_object("a.o", true);
        let section = |name| {
            let (prot, flags, kind) = (Prot::READ, SectionFlags::empty(), SectionKind::Regular);
            Section { name, object, prot, flags, kind, entry_size: 0, group: None, linked_to: None, number: 0 }
        };
        let text = graph.add_section(section(b".text"));
        graph.add_section(section(b".rodata"));
        let bss = graph.add_section(section(b".bss"));
        let code = graph.add_block(text, Content::Bytes(&[0; 16]), 16, 16);
        let zeros = graph.add_block(bss, Content::Zero, 0x20, 8);
        let define = |graph: &mut LinkGraph<'static>, name, definition, value, scope| {
            let (size, linkage, kind) = (4, Linkage::Weak, SymbolKind::Function);
            let offered = GlobalDefinition { definition, value, size, linkage, scope, kind, object };
            graph.define(name, offered).expect("is new")
        };
        let tail = define(&mut graph, b"tail", Definition::Block(code), 8, Scope::Hidden);
        define(&mut graph, b"f", Definition::Block(code), 0, Scope::Default);
        define(&mut graph, b"limit", Definition::Absolute, 0x1234, Scope::Default);
        let puts = graph.refer(b"puts", false, Scope::Default, object);
        let maybe = graph.refer(b"maybe", true, Scope::Default, object);
        graph.refer(b"unused", true, Scope::Default, object);
        let anonymous = graph.add_local(Symbol {
            name: b"",
            definition: Definition::Block(zeros),
            value: 8,
            kind: SymbolKind::Section,
            scope: Scope::Local,
            live: true,
            ..graph.symbol(tail).clone()
        });
        let edges = [
            (8, EdgeKind::POINTER64, puts, 0),
            (0, EdgeKind::DELTA32, anonymous, -4),
            (4, EdgeKind::DELTA32, maybe, 0x10),
        ];
        for (offset, kind, target, addend) in edges {
            graph.add_edge(Edge { addend, block: code, offset, target, kind });
        }
        graph
    }

    #[test]
    fn before_placing_blocks_are_named_by_their_ids() {
        let expected = "\
Link graph for x86_64: 1 object

object a.o:

section .text:

  block-1 size = 0x00000010, align = 16, alignment-offset = 0
    symbols:
      (block + 0x00000000): size: 0x00000004, linkage: weak, scope: default, dead  -   f
      (block + 0x00000008): size: 0x00000004, linkage: weak, scope: hidden, dead  -   tail
    edges:
      (block + 0x00000000), addend = -0x00000004, kind = Delta32, target = block-2+0x00000008
      (block + 0x00000004), addend = +0x00000010, kind = Delta32, target = maybe
      (block + 0x00000008), addend = +0x00000000, kind = Pointer64, target = puts

section .rodata:

section .bss:

  block-2 size = 0x00000020, align = 8, alignment-offset = 0, zero-fill
    symbols:
      (block + 0x00000008): size: 0x00000004, linkage: weak, scope: local, live  -   <anonymous symbol>
    no edges

Absolute symbols:
  0x0000000000001234: size: 0x00000004, linkage: weak, scope: default, dead  -   limit

External symbols:
  0x0000000000000000: size: 0x00000000, linkage: strong, scope: default, dead  -   puts
  0x0000000000000000: size: 0x00000000, linkage: strong, scope: default, dead  -   maybe (weakly referenced)
";
        assert_eq!(graph().dump().to_string(), expected);
    }

    #[test]
    fn after_placing_everything_has_its_address() {
        let mut graph = graph();
        graph.blocks[0].address = 0x1000;
        graph.blocks[1].address = 0x2000;
        let object = ObjectId::from_index(0);
        let text = graph.dump().object(object).to_string();
        assert!(
            text.starts_with("section .text:\n\n  block 0x0000000000001000 size = 0x00000010, align = 16"),
            "{text}"
        );
        for line in [
            "      0x0000000000001008 (block + 0x00000008): size: 0x00000004, linkage: weak, scope: hidden, dead  -   tail\n",
            "      0x0000000000001000 (block + 0x00000000), addend = -0x00000004, kind = Delta32, \
             target = addressable@0x0000000000002000+0x00000008\n",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        graph.blocks[0].live = false;
        let text = graph.dump().object(object).to_string();
        assert!(text.contains("section .text:\n\nsection .rodata:"), "a section that was dropped is listed, empty");
        assert!(text.ends_with("External symbols:\n  none\n"), "{text}");
    }
}
