//! Cells through which code refers to what another module defines: words with an address, that code knows by a name of their own.
//!
//! **You give** a graph whose readers have said which names are cells ([`LinkGraph::import_through`]). **You get** a word for each that nobody
//! defines, in read-only memory, with an edge to the name whose address it holds.

use crate::graph::{Content, Definition, Edge, EdgeKind, LinkGraph, Linkage, Prot, SectionKind, SymbolKind};

/// Makes the cells that are referred to and not there.
pub(crate) fn make_cells(graph: &mut LinkGraph<'_>) {
    let mut section = None;
    let word = u64::from(graph.machine().pointer_size);
    let kind = if word == 8 { EdgeKind::POINTER64 } else { EdgeKind::POINTER32 };
    for (cell, target) in std::mem::take(&mut graph.imports) {
        if graph.symbol(cell).definition != Definition::Undefined {
            continue;
        }
        let section =
            *section.get_or_insert_with(|| graph.add_linker_section(b".imports", Prot::READ, SectionKind::Regular));
        let object = graph.section(section).object;
        let block = graph.add_block(section, Content::Bytes(&[0; 8][..word as usize]), word, word);
        graph.add_edge(Edge { addend: 0, block, offset: 0, target, kind });
        let symbol = &mut graph.symbols[cell.index()];
        (symbol.definition, symbol.value, symbol.size) = (Definition::Block(block), 0, word);
        (symbol.kind, symbol.linkage, symbol.object) = (SymbolKind::Object, Linkage::Weak, object);
    }
}
