//! The graph as it is shown: the same facts for every format. Serialized, it is the documented JSON of `orc inspect`.
//!
//! ```json
//! { "version": 1, "objects": [ {
//!     "name": "main.o", "machine": "x86_64",
//!     "sections": [ { "name": ".text", "prot": "r-x", "flags": [], "kind": "regular", "size": 21, "blocks": [ {
//!         "id": 1, "size": 21, "align": 16, "zero_fill": false, "address": 268435456,
//!         "symbols": [ { "name": "main", "offset": 0, "size": 21, "scope": "default", "linkage": "strong", "kind": "function" } ],
//!         "edges": [ { "offset": 11, "kind": "Branch32", "target": "puts", "addend": -4 } ] } ] } ],
//!     "symbols": [ { "name": "puts", "definition": "undefined", "scope": "default", "linkage": "strong", "kind": "unknown" } ] } ] }
//! ```
//!
//! Sizes, offsets and addresses are in bytes. `address` stands only under `--linked`. `demangled` stands beside each name that
//! has one. A target without a name is written `block-N` or `block-N+OFFSET`. Fields may be added; `version` changes when one changes its meaning.

use jitlink::graph::{
    BlockId, Content, Definition, InitKind, LinkGraph, Linkage, LinkerSymbol, Prot, Scope, Section, SectionFlags,
    SectionKind, Symbol, SymbolKind,
};
use orc_jit::diagnose::demangle;
use serde::Serialize;
use std::borrow::Cow;

#[derive(Debug, Serialize)]
pub(super) struct Model {
    pub(super) version: u32,
    pub(super) objects: Vec<ObjectModel>,
}

#[derive(Debug, Serialize)]
pub(super) struct ObjectModel {
    pub(super) name: String,
    pub(super) machine: &'static str,
    pub(super) sections: Vec<SectionModel>,
    /// Symbols that stand in no block.
    pub(super) symbols: Vec<OutsideSymbol>,
}

#[derive(Debug, Serialize)]
pub(super) struct SectionModel {
    pub(super) name: String,
    pub(super) prot: String,
    pub(super) flags: Vec<&'static str>,
    pub(super) kind: String,
    pub(super) size: u64,
    pub(super) blocks: Vec<BlockModel>,
}

#[derive(Debug, Serialize)]
pub(super) struct BlockModel {
    pub(super) id: usize,
    pub(super) size: u64,
    pub(super) align: u64,
    pub(super) zero_fill: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<u64>,
    pub(super) symbols: Vec<SymbolModel>,
    pub(super) edges: Vec<EdgeModel>,
}

#[derive(Debug, Serialize)]
pub(super) struct SymbolModel {
    #[serde(flatten)]
    pub(super) name: Name,
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) scope: &'static str,
    pub(super) linkage: &'static str,
    pub(super) kind: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct OutsideSymbol {
    #[serde(flatten)]
    pub(super) name: Name,
    pub(super) definition: &'static str,
    /// The address of an absolute symbol, the size of a common one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<u64>,
    pub(super) scope: &'static str,
    pub(super) linkage: &'static str,
    pub(super) kind: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct EdgeModel {
    pub(super) offset: u64,
    pub(super) kind: &'static str,
    pub(super) target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) demangled: Option<String>,
    pub(super) addend: i64,
    /// The block that the target stands in, for drawings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) target_block: Option<usize>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Name {
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) demangled: Option<String>,
}

impl Name {
    fn new(bytes: &[u8]) -> Self {
        let name = String::from_utf8_lossy(bytes).into_owned();
        let demangled = demangled(&name);
        Self { name, demangled }
    }

    /// As people read it.
    pub(super) fn shown(&self) -> &str {
        self.demangled.as_deref().unwrap_or(&self.name)
    }
}

fn demangled(name: &str) -> Option<String> {
    match demangle(name) {
        Cow::Owned(text) if text != name => Some(text),
        _ => None,
    }
}

impl Model {
    pub(super) fn new(objects: Vec<ObjectModel>) -> Self {
        Self { version: 1, objects }
    }
}

/// Every object of `graph`. `placed`: only what is live, with addresses.
pub(super) fn objects(graph: &LinkGraph<'_>, placed: bool) -> Vec<ObjectModel> {
    let mut blocks_of: Vec<Vec<BlockModel>> = graph.sections().iter().map(|_| Vec::new()).collect();
    let mut symbols_of: Vec<Vec<SymbolModel>> = graph.blocks().iter().map(|_| Vec::new()).collect();
    let mut outside: Vec<Vec<OutsideSymbol>> = graph.objects().iter().map(|_| Vec::new()).collect();
    for symbol in graph.symbols().iter().filter(|symbol| !symbol.name.is_empty() && (symbol.live || !placed)) {
        match symbol.block() {
            Some(block) => symbols_of[block.index()].push(inside(symbol)),
            None => outside[symbol.object.index()].push(outside_symbol(symbol)),
        }
    }
    for (index, block) in graph.blocks().iter().enumerate().filter(|(_, block)| block.live || !placed) {
        let mut symbols = std::mem::take(&mut symbols_of[index]);
        symbols.sort_by_key(|symbol| symbol.offset);
        let mut edges: Vec<EdgeModel> =
            graph.edges_of(BlockId::from_index(index)).iter().map(|edge| edge_model(graph, edge)).collect();
        edges.sort_by_key(|edge| edge.offset);
        blocks_of[block.section.index()].push(BlockModel {
            id: index + 1,
            size: block.size,
            align: block.align(),
            zero_fill: block.content == Content::Zero,
            address: placed.then_some(block.address),
            symbols,
            edges,
        });
    }
    let sections = graph.sections().iter().zip(blocks_of).map(|(section, blocks)| section_model(section, blocks));
    let mut sections: Vec<Option<SectionModel>> = sections.map(Some).collect();
    let object = |(object, symbols): (&jitlink::graph::Object, _)| ObjectModel {
        name: object.name.clone(),
        machine: graph.machine().name,
        sections: sections[object.sections.clone()]
            .iter_mut()
            .filter_map(Option::take)
            .filter(|section| !placed || !section.blocks.is_empty())
            .collect(),
        symbols,
    };
    graph.objects().iter().zip(outside).map(object).collect()
}

fn section_model(section: &Section<'_>, blocks: Vec<BlockModel>) -> SectionModel {
    SectionModel {
        name: String::from_utf8_lossy(section.name).into_owned(),
        prot: prot(section.prot),
        flags: section.flags.iter_names().map(|(_, flag)| flag_name(flag)).collect(),
        kind: kind(section.kind),
        size: blocks.iter().map(|block| block.size).sum(),
        blocks,
    }
}

fn edge_model(graph: &LinkGraph<'_>, edge: &jitlink::graph::Edge) -> EdgeModel {
    let symbol = graph.symbol(edge.target);
    let (target, demangled) = match (symbol.name, symbol.block()) {
        ([], Some(block)) if symbol.value == 0 => (block.to_string(), None),
        ([], Some(block)) => (format!("{block}+{:#x}", symbol.value), None),
        ([], None) => (edge.target.to_string(), None),
        (name, _) => {
            let Name { name, demangled } = Name::new(name);
            (name, demangled)
        }
    };
    EdgeModel {
        offset: u64::from(edge.offset),
        kind: graph.machine().fixup(edge.kind).name,
        target,
        demangled,
        addend: edge.addend,
        target_block: symbol.block().map(|block| block.index() + 1),
    }
}

fn inside(symbol: &Symbol<'_>) -> SymbolModel {
    SymbolModel {
        name: Name::new(symbol.name),
        offset: symbol.value,
        size: symbol.size,
        scope: scope(symbol.scope),
        linkage: linkage(symbol.linkage),
        kind: symbol_kind(symbol.kind),
    }
}

fn outside_symbol(symbol: &Symbol<'_>) -> OutsideSymbol {
    let (definition, value) = match symbol.definition {
        Definition::Undefined if symbol.needed => ("undefined", None),
        Definition::Undefined => ("undefined weak", None),
        Definition::Absolute => ("absolute", Some(symbol.value)),
        Definition::Common => ("common", Some(symbol.size)),
        Definition::Discarded => ("discarded", None),
        Definition::Linker(LinkerSymbol::GlobalOffsetTable) => ("global offset table", None),
        Definition::Linker(LinkerSymbol::Header) => ("dylib header", None),
        Definition::Linker(LinkerSymbol::ImageBase) => ("image base", None),
        Definition::Linker(LinkerSymbol::SectionStart) => ("section start", None),
        Definition::Linker(LinkerSymbol::SectionStop) => ("section stop", None),
        Definition::Linker(LinkerSymbol::ThreadLocalBase) => ("base of thread-local offsets", None),
        Definition::Block(_) => ("block", None),
    };
    OutsideSymbol {
        name: Name::new(symbol.name),
        definition,
        value,
        scope: scope(symbol.scope),
        linkage: linkage(symbol.linkage),
        kind: symbol_kind(symbol.kind),
    }
}

fn prot(prot: Prot) -> String {
    [(Prot::READ, 'r'), (Prot::WRITE, 'w'), (Prot::EXEC, 'x')]
        .map(|(bit, letter)| if prot.contains(bit) { letter } else { '-' })
        .iter()
        .collect()
}

fn flag_name(flag: SectionFlags) -> &'static str {
    const NAMES: &[(SectionFlags, &str)] = &[
        (SectionFlags::MERGE, "merge"),
        (SectionFlags::STRINGS, "strings"),
        (SectionFlags::TLS, "tls"),
        (SectionFlags::RETAIN, "retain"),
        (SectionFlags::LINK_ORDER, "link-order"),
        (SectionFlags::LARGE, "large"),
        (SectionFlags::RELRO, "relro"),
    ];
    NAMES.iter().find(|(known, _)| *known == flag).map_or("other", |(_, name)| name)
}

fn kind(kind: SectionKind) -> String {
    match kind {
        SectionKind::Regular => "regular".into(),
        SectionKind::EhFrame => "call frames".into(),
        SectionKind::Initializers(InitKind::Preinit) => "preinitializers".into(),
        SectionKind::Initializers(InitKind::Init { priority } | InitKind::Ctors { priority }) => {
            format!("initializers, priority {priority}")
        }
        SectionKind::Initializers(InitKind::Fini { priority } | InitKind::Dtors { priority }) => {
            format!("finalizers, priority {priority}")
        }
    }
}

fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Local => "local",
        Scope::Hidden => "hidden",
        Scope::Protected => "protected",
        Scope::Default => "default",
    }
}

fn linkage(linkage: Linkage) -> &'static str {
    match linkage {
        Linkage::Strong => "strong",
        Linkage::Weak => "weak",
        Linkage::Unique => "unique",
    }
}

fn symbol_kind(kind: SymbolKind) -> &'static str {
    match kind {
        SymbolKind::Unknown => "unknown",
        SymbolKind::Function => "function",
        SymbolKind::Object => "object",
        SymbolKind::Section => "section",
        SymbolKind::ThreadLocal => "thread-local",
        SymbolKind::Indirect => "indirect function",
    }
}
