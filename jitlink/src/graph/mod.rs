//! The link graph: sections, blocks, symbols and edges of one batch of objects, in flat arrays.
//!
//! **You give** objects, parsed by [`crate::object`] or built by hand with the `add_*` methods. **You get** one graph in which
//! every global name is one [`Symbol`], every duplicate has been settled, and every relocation is an [`Edge`].
//! **Not here:** addresses of things outside, memory, order of initialization.

mod block;
mod comdat;
mod detach;
mod dump;
mod edge;
mod edges;
mod fallback;
mod groups;
mod ids;
pub(crate) mod names;
mod resolve;
mod section;
mod symbol;
mod verify;
mod wishes;

pub use block::{Block, Content};
pub use comdat::{Comdat, ComdatClash, ComdatOutcome, Selection};
pub use dump::Dump;
pub use edge::{Edge, EdgeKind};
pub use edges::Edges;
pub use groups::{Group, GroupOutcome};
pub use ids::{BlockId, GroupId, ObjectId, SectionId, SymbolId};
pub use resolve::{GlobalDefinition, Redefinition};
pub use section::{InitKind, Prot, Section, SectionFlags, SectionKind};
pub(crate) use symbol::Rare;
pub use symbol::{Definition, Linkage, LinkerSymbol, Scope, Symbol, SymbolKind};
pub use verify::GraphError;
pub use wishes::{Convention, Note};

use crate::arch::Machine;
use groups::Groups;
use names::{BoundNames, Names};
use std::ops::Range;

/// One object of a graph.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its name in messages: a path, or `archive.a(member.o)`.
    pub name: String,
    /// Its sections, by [`SectionId::index`].
    pub sections: Range<usize>,
    /// Whether it was named by the user rather than taken from an archive at need.
    pub explicit: bool,
    /// By which convention its functions call and are called.
    pub convention: Convention,
    /// How its definitions take part.
    pub role: Role,
}

/// One batch of objects of one dylib.
#[derive(Debug)]
pub struct LinkGraph<'data> {
    machine: &'static Machine,
    pub(crate) objects: Vec<Object>,
    pub(crate) sections: Vec<Section<'data>>,
    pub(crate) blocks: Vec<Block<'data>>,
    pub(crate) symbols: Vec<Symbol<'data>>,
    pub(crate) edges: Vec<Edge>,
    pub(crate) names: Names,
    pub(crate) groups: Groups<'data>,
    /// Names X of which somebody asked `__start_X` or `__stop_X`.
    pub(crate) bounds: BoundNames<'data>,
    /// Names that became needed while nobody defined them, not yet taken by [`Self::take_wanted`].
    pub(crate) wanted: Vec<SymbolId>,
    /// Thread-local variables that earlier batches defined.
    pub(crate) thread_locals: Vec<(SymbolId, crate::memory::ThreadLocal)>,
    /// Names that stand in no object's table for what they name.
    pub(crate) aliases: Vec<SymbolId>,
    /// What some symbol is, or once was.
    pub(crate) rare: Rare,
    /// How what is added next takes part.
    pub(crate) role: Role,
    spelling: Spelling,
    /// What names stand for that nobody defines.
    pub(crate) fallbacks: fallback::Fallbacks,
    /// Names of cells, and the names whose addresses they hold.
    pub(crate) imports: Vec<(SymbolId, SymbolId)>,
    /// Symbols that objects ask to be kept.
    pub(crate) kept: Vec<SymbolId>,
    pub(crate) agreements: wishes::Agreements<'data>,
    /// By which convention the functions of the objects call, and the first of them.
    pub(crate) convention: Option<(Convention, ObjectId)>,
    pub(crate) notes: Vec<Note>,
}

/// How the definitions of an object take part in the graph.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Role {
    /// As the object says.
    #[default]
    Ordinary,
    /// Nobody outside of the graph sees them, whatever their visibility.
    Hidden,
    /// They are under test: a strong definition that is there already stands, a local symbol that is asked for by name, while nobody defines that
    /// name, is what was asked for, and one whose name a test defines is that definition.
    Tested,
}

/// How the names of a graph are spelled, whatever format its objects have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Spelling {
    /// As the objects spell them.
    #[default]
    Object,
    /// As C does: without the underscore that some formats (Mach-O) put before every name of C. A name that does not begin with it stays as it is.
    C,
}

impl<'data> LinkGraph<'data> {
    /// An empty graph for objects of `machine`.
    #[must_use]
    pub fn new(machine: &'static Machine) -> Self {
        Self {
            machine,
            objects: Vec::new(),
            sections: Vec::new(),
            blocks: Vec::new(),
            symbols: Vec::new(),
            edges: Vec::new(),
            names: Names::default(),
            groups: Groups::default(),
            bounds: BoundNames::default(),
            wanted: Vec::new(),
            thread_locals: Vec::new(),
            aliases: Vec::new(),
            rare: Rare::empty(),
            role: Role::Ordinary,
            spelling: Spelling::default(),
            fallbacks: fallback::Fallbacks::default(),
            imports: Vec::new(),
            kept: Vec::new(),
            agreements: wishes::Agreements::default(),
            convention: None,
            notes: Vec::new(),
        }
    }

    /// The same graph, whose objects' names will be spelled as `spelling` says. For graphs without objects.
    #[must_use]
    pub fn spelled(self, spelling: Spelling) -> Self {
        debug_assert!(self.objects.is_empty(), "names were spelled in another way");
        Self { spelling, ..self }
    }

    /// How names are spelled.
    #[must_use]
    pub fn spelling(&self) -> Spelling {
        self.spelling
    }

    /// The machine whose code this is.
    #[must_use]
    pub fn machine(&self) -> &'static Machine {
        self.machine
    }

    /// All objects, by [`ObjectId::index`].
    #[must_use]
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// All sections, by [`SectionId::index`].
    #[must_use]
    pub fn sections(&self) -> &[Section<'data>] {
        &self.sections
    }

    /// All blocks, by [`BlockId::index`].
    #[must_use]
    pub fn blocks(&self) -> &[Block<'data>] {
        &self.blocks
    }

    /// All symbols, by [`SymbolId::index`].
    #[must_use]
    pub fn symbols(&self) -> &[Symbol<'data>] {
        &self.symbols
    }

    /// All edges; those of a block are [`Block::edges`].
    #[must_use]
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// One object.
    #[inline]
    #[must_use]
    pub fn object(&self, id: ObjectId) -> &Object {
        &self.objects[id.index()]
    }

    /// One section.
    #[inline]
    #[must_use]
    pub fn section(&self, id: SectionId) -> &Section<'data> {
        &self.sections[id.index()]
    }

    /// One block.
    #[inline]
    #[must_use]
    pub fn block(&self, id: BlockId) -> &Block<'data> {
        &self.blocks[id.index()]
    }

    /// One symbol.
    #[inline]
    #[must_use]
    pub fn symbol(&self, id: SymbolId) -> &Symbol<'data> {
        &self.symbols[id.index()]
    }

    /// The section that `block` is part of.
    #[inline]
    #[must_use]
    pub fn section_of(&self, block: BlockId) -> &Section<'data> {
        self.section(self.block(block).section)
    }

    /// The edges of `block`.
    #[inline]
    #[must_use]
    pub fn edges_of(&self, block: BlockId) -> &[Edge] {
        &self.edges[self.block(block).edge_range()]
    }

    /// The symbol of the global name `name`, if anybody defined it or referred to it.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<SymbolId> {
        self.names.find(name, &self.symbols)
    }

    /// Says how the definitions of the objects that are added next take part; until it is said again.
    pub fn set_role(&mut self, role: Role) {
        self.role = role;
    }

    /// Begins an object: what is added next belongs to it. `explicit` says that a user named it (an archive gave it otherwise).
    pub fn add_object(&mut self, name: impl Into<String>, explicit: bool) -> ObjectId {
        let start = self.sections.len();
        let convention = Convention::System;
        self.objects.push(Object { name: name.into(), sections: start..start, explicit, convention, role: self.role });
        ObjectId::from_index(self.objects.len() - 1)
    }

    /// Adds a section to the object that was begun last.
    ///
    /// # Panics
    /// When the section is said to be of another object.
    pub fn add_section(&mut self, section: Section<'data>) -> SectionId {
        assert_eq!(section.object.index() + 1, self.objects.len(), "sections are added to the last object");
        let object = self.objects.last_mut().expect("an object was begun");
        self.sections.push(section);
        object.sections.end = self.sections.len();
        SectionId::from_index(self.sections.len() - 1)
    }

    /// Adds a section that no input has: what the linker itself makes stands in an object of its own, called `<linker>`.
    pub fn add_linker_section(&mut self, name: &'data [u8], prot: Prot, kind: SectionKind) -> SectionId {
        if self.objects.last().is_none_or(|object| object.name != "<linker>") {
            self.add_object("<linker>", false);
        }
        let object = ObjectId::from_index(self.objects.len() - 1);
        let flags = SectionFlags::empty();
        self.add_section(Section {
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

    /// Adds a block with no edges yet. `align` is a power of two.
    pub fn add_block(&mut self, section: SectionId, content: Content<'data>, size: u64, align: u64) -> BlockId {
        debug_assert!(align.is_power_of_two() && content.bytes().is_none_or(|b| b.len() as u64 == size));
        let at = u32::try_from(self.edges.len()).unwrap_or(u32::MAX);
        let align_log2 = align.trailing_zeros() as u8;
        self.blocks.push(Block { content, size, address: 0, section, edges: at..at, align_log2, live: true });
        BlockId::from_index(self.blocks.len() - 1)
    }

    /// Adds an edge to `edge.block`. Edges of a block must be added one after another, with none of another block between.
    ///
    /// # Panics
    /// When edges of another block were added in between, or there are 2^32 of them.
    #[inline]
    pub fn add_edge(&mut self, edge: Edge) {
        let at = u32::try_from(self.edges.len()).expect("fewer than 2^32 edges");
        let block = &mut self.blocks[edge.block.index()];
        if block.edges.is_empty() {
            block.edges = at..at;
        }
        assert_eq!(block.edges.end, at, "the edges of a block are added together");
        block.edges.end = at + 1;
        self.edges.push(edge);
    }

    /// Adds a symbol that only its object sees. Global names are added by [`Self::refer`] and [`Self::define`].
    #[inline]
    pub fn add_local(&mut self, symbol: Symbol<'data>) -> SymbolId {
        if self.role == Role::Tested
            && let Some(id) = self.promote(&symbol)
        {
            return id;
        }
        self.rare |= Rare::of(symbol.definition, symbol.kind);
        self.symbols.push(symbol);
        SymbolId::from_index(self.symbols.len() - 1)
    }
}
