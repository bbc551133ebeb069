//! What was linked, kept for checks and dumps: a plugin takes a picture of every image once it is written.

use super::files::Format;
use jitlink::arch::{Expr, Machine};
use jitlink::graph::{Definition, LinkGraph, Linkage, Scope, Symbol, SymbolId, SymbolKind};
use jitlink::pass::{Plugin, PluginResult};
use jitlink::written::WrittenImage;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The pictures of all images, in the order in which they were linked.
#[derive(Clone, Debug, Default)]
pub(super) struct Album(Arc<Mutex<Vec<Picture>>>);

impl Album {
    /// Takes pictures; one for each image.
    pub(super) fn photographer(&self, format: Format) -> Box<dyn Plugin> {
        Box::new(Photographer { album: self.clone(), format })
    }

    pub(super) fn pictures(&self) -> MutexGuard<'_, Vec<Picture>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Photographer {
    album: Album,
    format: Format,
}

impl Plugin for Photographer {
    fn written(&mut self, image: &mut WrittenImage<'_, '_>) -> PluginResult {
        let picture = Picture::of(image, self.format);
        self.album.pictures().push(picture);
        Ok(())
    }
}

/// One image: the objects of one dylib that were linked together.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) machine: &'static Machine,
    pub(super) format: Format,
    /// By address.
    pub(super) segments: Vec<Segment>,
    pub(super) objects: Vec<Object>,
    /// The address of each slot, by the symbol whose address it holds.
    pub(super) slots: BTreeMap<String, u64>,
    /// Stubs, likewise.
    pub(super) stubs: BTreeMap<String, Stub>,
    /// Every name that has an address.
    pub(super) symbols: HashMap<String, Named>,
}

#[derive(Debug)]
pub(super) struct Segment {
    pub(super) address: u64,
    pub(super) size: u64,
    /// Those that are not zero.
    pub(super) bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Stub {
    pub(super) address: u64,
    pub(super) size: u64,
    pub(super) slot: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Named {
    pub(super) address: u64,
    pub(super) size: u64,
    local: bool,
}

/// One file.
#[derive(Debug)]
pub(super) struct Object {
    /// As it was given, or `archive(member)`.
    pub(super) name: String,
    pub(super) sections: Vec<Section>,
    /// Symbols that are no place in it: absolute ones.
    pub(super) absolute: Vec<Label>,
    /// What it refers to and others define, by address.
    pub(super) external: Vec<Label>,
}

#[derive(Debug)]
pub(super) struct Section {
    pub(super) name: String,
    /// In its file; 0 if it is in none.
    pub(super) number: u32,
    /// By address.
    pub(super) blocks: Vec<Block>,
}

#[derive(Debug)]
pub(super) struct Block {
    pub(super) address: u64,
    pub(super) size: u64,
    pub(super) align: u64,
    pub(super) zero: bool,
    /// By offset.
    pub(super) symbols: Vec<Label>,
    /// By offset.
    pub(super) edges: Vec<Edge>,
}

/// A symbol.
#[derive(Clone, Debug)]
pub(super) struct Label {
    /// Empty for the anonymous.
    pub(super) name: String,
    pub(super) address: u64,
    pub(super) size: u64,
    pub(super) linkage: Linkage,
    pub(super) scope: Scope,
    pub(super) live: bool,
    /// It is the start of a section.
    pub(super) section: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Edge {
    pub(super) offset: u64,
    pub(super) kind: &'static str,
    /// It reads the slot of its target, or may lead to its stub.
    pub(super) way: Way,
    pub(super) addend: i64,
    pub(super) target: Target,
}

/// How an edge gets to its target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    Direct,
    Slot,
    /// Through a stub where the distance does not fit so many bits.
    Branch(u8),
}

#[derive(Clone, Debug)]
pub(super) enum Target {
    Named(String),
    /// Address of a block, and offset in it.
    Place(u64, u64),
}

impl Target {
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Named(name) => Some(name),
            Self::Place(..) => None,
        }
    }
}

impl Object {
    /// What rules call it: its name without folders.
    pub(super) fn file_name(&self) -> &str {
        file_name(&self.name)
    }
}

/// The last component of a path; a member's path is its archive's.
pub(super) fn file_name(path: &str) -> &str {
    let folders = path.split_once('(').map_or(path, |(archive, _)| archive);
    let start = Path::new(folders).file_name().map_or(0, |name| folders.len() - name.len());
    &path[start..]
}

/// What code of ELF calls the table of slots.
pub(super) const TABLE: &str = "_GLOBAL_OFFSET_TABLE_";

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// Whether the linker has given the symbol an address of its own.
fn has_address(graph: &LinkGraph<'_>, symbol: &Symbol<'_>) -> bool {
    match symbol.definition {
        Definition::Block(block) => graph.block(block).live,
        Definition::Absolute | Definition::Linker(_) => true,
        Definition::Undefined | Definition::Common | Definition::Discarded => false,
    }
}

impl Picture {
    fn of(image: &mut WrittenImage<'_, '_>, format: Format) -> Self {
        let graph = image.graph();
        let mut segments = Vec::new();
        for (number, segment) in image.segments().into_iter().enumerate() {
            let bytes = image.content(number).to_vec();
            segments.push(Segment { address: segment.address, size: segment.size, bytes });
        }
        segments.sort_by_key(|segment| segment.address);
        // Thread-local variables have numbers for addresses: what stands there is what each thread begins with.
        if let Some((place, bytes, size)) = image.thread_local() {
            segments.push(Segment { address: place.address(), size, bytes: bytes.to_vec() });
        }
        let name = |id: SymbolId| text(graph.symbol(id).name);
        let slots = image.slots().map(|slot| (name(slot.symbol), slot.address)).collect();
        let stubs = image
            .stubs()
            .map(|stub| (name(stub.symbol), Stub { address: stub.address, size: stub.size, slot: stub.slot }));
        Self {
            machine: graph.machine(),
            format,
            segments,
            slots,
            stubs: stubs.collect(),
            symbols: names(graph, image.table().filter(|_| format == Format::Elf)),
            objects: objects(graph, format),
        }
    }
}

/// Global names win over local ones, which several files may have.
fn names(graph: &LinkGraph<'_>, table: Option<u64>) -> HashMap<String, Named> {
    let mut names: HashMap<String, Named> = HashMap::new();
    let table = table.map(|address| (TABLE.to_owned(), Named { address, size: 0, local: true }));
    names.extend(table);
    for symbol in graph.symbols().iter().filter(|symbol| !symbol.name.is_empty() && has_address(graph, symbol)) {
        let local = symbol.scope == Scope::Local;
        let named = Named { address: symbol.address, size: symbol.size, local };
        let known = names.entry(text(symbol.name)).or_insert(named);
        if known.local && !local {
            *known = named;
        }
    }
    names
}

fn label(symbol: &Symbol<'_>) -> Label {
    Label {
        name: text(symbol.name),
        address: symbol.address,
        size: symbol.size,
        linkage: symbol.linkage,
        scope: symbol.scope,
        // What others may ask for is live though nothing here refers to it.
        live: symbol.live || symbol.scope > Scope::Local,
        section: symbol.kind == SymbolKind::Section,
    }
}

fn objects(graph: &LinkGraph<'_>, format: Format) -> Vec<Object> {
    let mut sections: Vec<Section> = graph.sections().iter().map(section).collect();
    let mut at: Vec<Option<(usize, usize)>> = vec![None; graph.blocks().len()];
    for (index, block) in graph.blocks().iter().enumerate().filter(|(_, block)| block.live) {
        let blocks = &mut sections[block.section.index()].blocks;
        at[index] = Some((block.section.index(), blocks.len()));
        let edges = graph.edges()[block.edge_range()].iter();
        let mut edges: Vec<Edge> = edges.map(|edge| self::edge(graph, edge)).collect();
        edges.sort_by_key(|edge| edge.offset);
        blocks.push(Block {
            address: block.address,
            size: block.size,
            align: block.align(),
            zero: block.content.bytes().is_none(),
            symbols: Vec::new(),
            edges,
        });
    }
    let mut all: Vec<Object> = graph.objects().iter().map(object).collect();
    for symbol in graph.symbols().iter() {
        match symbol.definition {
            // The start of a section is a symbol where something refers to it.
            Definition::Block(block) if symbol.kind != SymbolKind::Section || symbol.live || format == Format::Coff => {
                if let Some((section, block)) = at[block.index()] {
                    sections[section].blocks[block].symbols.push(label(symbol));
                }
            }
            Definition::Absolute if !symbol.name.is_empty() => {
                all[symbol.object.index()].absolute.push(label(symbol));
            }
            _ => {}
        }
    }
    externals(graph, &mut all);
    for section in &mut sections {
        let by_place = |symbol: &Label| (symbol.address, symbol.name.is_empty());
        section.blocks.iter_mut().for_each(|block| block.symbols.sort_by_key(by_place));
        section.blocks.sort_by_key(|block| block.address);
        if format == Format::Coff {
            section.blocks.iter_mut().for_each(|block| complete(block, &section.name));
        }
    }
    let mut sections = sections.into_iter();
    for (object, of) in all.iter_mut().zip(graph.objects()) {
        let own: Vec<Section> = sections.by_ref().take(of.sections.len()).collect();
        object.sections = super::sections::complete(&object.name, own);
    }
    all
}

/// COFF says of symbols where they begin: they reach to the next. A section is a symbol there where nothing else is.
fn complete(block: &mut Block, section: &str) {
    if block.symbols.iter().any(|symbol| !symbol.section) {
        block.symbols.retain(|symbol| !symbol.section);
    }
    block.symbols.dedup_by(|next, first| next.section && first.section && next.address == first.address);
    for symbol in block.symbols.iter_mut().filter(|symbol| symbol.section && symbol.name.is_empty()) {
        (symbol.name, symbol.live) = (section.to_owned(), true);
    }
    let mut end = block.address + block.size;
    let mut next = end;
    for symbol in block.symbols.iter_mut().rev() {
        if symbol.address < next {
            (next, end) = (symbol.address, next);
        }
        symbol.size = if symbol.size == 0 { end.saturating_sub(symbol.address) } else { symbol.size };
    }
}

/// What each object refers to by name and does not define itself.
fn externals(graph: &LinkGraph<'_>, objects: &mut [Object]) {
    let mut pairs: Vec<(usize, SymbolId)> = Vec::new();
    for block in graph.blocks().iter().filter(|block| block.live) {
        let object = graph.section(block.section).object;
        let targets = graph.edges()[block.edge_range()].iter().map(|edge| edge.target);
        let foreign = targets.filter(|target| {
            let symbol = graph.symbol(*target);
            let here = symbol.is_defined() && symbol.object == object;
            !symbol.name.is_empty() && symbol.scope > Scope::Local && !here
        });
        pairs.extend(foreign.map(|target| (object.index(), target)));
    }
    pairs.sort_unstable();
    pairs.dedup();
    for (object, symbol) in pairs {
        objects[object].external.push(label(graph.symbol(symbol)));
    }
    objects.iter_mut().for_each(|object| object.external.sort_by_key(|label| label.address));
}

fn section(section: &jitlink::graph::Section<'_>) -> Section {
    Section { name: text(section.name), number: section.number, blocks: Vec::new() }
}

fn object(object: &jitlink::graph::Object) -> Object {
    Object { name: object.name.clone(), sections: Vec::new(), absolute: Vec::new(), external: Vec::new() }
}

fn edge(graph: &LinkGraph<'_>, edge: &jitlink::graph::Edge) -> Edge {
    let symbol = graph.symbol(edge.target);
    let target = match (symbol.name, symbol.definition) {
        (b"", Definition::Block(block)) => Target::Place(graph.block(block).address, symbol.value),
        (b"", _) => Target::Place(symbol.address, 0),
        (name, _) => Target::Named(text(name)),
    };
    let row = graph.machine().fixup(edge.kind);
    let way = match row.expr {
        Expr::Branch => Way::Branch(64 - row.range.ends().1.leading_zeros() as u8),
        expr if expr.needs_slot() => Way::Slot,
        _ => Way::Direct,
    };
    Edge { offset: edge.offset.into(), kind: row.name, way, addend: edge.addend, target }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_last_component() {
        for (path, name) in
            [("a.o", "a.o"), ("/x/y/a.o", "a.o"), ("dir/liba.a(sub/m.o)", "liba.a(sub/m.o)"), ("<linker>", "<linker>")]
        {
            assert_eq!(file_name(path), name);
        }
    }
}
