//! Bridges between two calling conventions, for graphs whose functions follow another one than those who call them and whom they call.
//!
//! **You give** a graph of objects of [`Convention::Microsoft`], with all its edges, before it is linked, and say what crosses over: [`Bridge::initializers`],
//! functions that others call ([`Bridge::enter`]), functions of others that it calls ([`Bridge::leave`]). **You get** blocks of code in between. Executors
//! and whoever looks names up know nothing of conventions. **Not here:** which functions others have, and what their arguments are.

pub use crate::arch::crossing::Argument;

use crate::arch::crossing::{Crossing, Hole, Template};
use crate::graph::{
    BlockId, Content, Convention, Definition, Edge, EdgeKind, LinkGraph, Linkage, Prot, Scope, SectionFlags, SectionId,
    SectionKind, Symbol, SymbolId, SymbolKind,
};
use crate::pass::eh_frame::record;
use std::collections::HashMap;

/// Bridges of one graph while they are made.
#[derive(Debug)]
pub struct Bridge<'g, 'data> {
    graph: &'g mut LinkGraph<'data>,
    crossing: &'static Crossing,
    code: Option<SectionId>,
    /// Records of call frames of the functions that were made, and what they refer to.
    frames: Vec<u8>,
    frame_edges: Vec<(u32, SymbolId)>,
    /// Where edges lead that lead to the key now.
    redirected: HashMap<SymbolId, SymbolId>,
    call_argument: Option<SymbolId>,
}

impl<'g, 'data> Bridge<'g, 'data> {
    /// Begins; `None` where nothing of the graph follows another convention, or its machine has only one.
    pub fn new(graph: &'g mut LinkGraph<'data>) -> Option<Self> {
        let crossing = Crossing::of(graph.machine())?;
        if !graph.objects().iter().any(|object| object.convention == Convention::Microsoft) {
            return None;
        }
        Some(Self {
            graph,
            crossing,
            code: None,
            frames: Vec::new(),
            frame_edges: Vec::new(),
            redirected: HashMap::new(),
            call_argument: None,
        })
    }

    /// The graph as it stands.
    #[must_use]
    pub fn graph(&self) -> &LinkGraph<'data> {
        self.graph
    }

    /// Lets others call initializers and finalizers: their arrays get functions that can be called.
    pub fn initializers(&mut self) {
        let word = u64::from(self.graph.machine().pointer_size);
        for index in 0..self.graph.blocks().len() {
            let block = BlockId::from_index(index);
            let section = self.graph.section_of(block);
            let (kind, name) = (section.kind, section.name);
            let grouped = section.group_and_rank().1;
            let foreign = self.graph.object(section.object).convention == Convention::Microsoft;
            if !matches!(kind, SectionKind::Initializers(_)) || !foreign {
                continue;
            }
            let old = self.graph.block(block).section;
            // Who walks the arrays by himself finds them as they were.
            self.graph.sections[old.index()].kind = SectionKind::Regular;
            let entries = self.graph.block(block).size / word;
            let place = self.local(Definition::Block(block), 0);
            let functions: Vec<SymbolId> = (0..entries)
                .map(|entry| self.template(&self.crossing.initializer, place, (entry * word) as i64))
                .collect();
            let made = self.graph.add_linker_section(if grouped.is_empty() { name } else { grouped }, Prot::READ, kind);
            // Their order is that of the names still.
            self.graph.sections[made.index()].flags = SectionFlags::GROUPED;
            let size = entries * word;
            let content = Content::Owned(vec![0; size as usize].into_boxed_slice());
            let array = self.graph.add_block(made, content, size, word);
            for (offset, target) in (0u32..).step_by(word as usize).zip(functions) {
                self.graph.add_edge(Edge { addend: 0, block: array, offset, target, kind: EdgeKind::POINTER64 });
            }
        }
    }

    /// Lets others call the function `name` of this graph with up to four words; it goes on to be called by its own code as before.
    /// Whether there is such a function.
    pub fn enter(&mut self, name: &[u8]) -> bool {
        let Some(id) = self.graph.find(name) else { return false };
        let symbol = self.graph.symbol(id);
        let foreign = self.graph.object(symbol.object).convention == Convention::Microsoft;
        let (Definition::Block(_), true) = (symbol.definition, foreign) else { return false };
        let inner = Symbol { scope: Scope::Local, ..symbol.clone() };
        let inner = self.graph.add_local(inner);
        let made = self.template(&self.crossing.enter, inner, 0);
        self.redirected.insert(id, inner);
        let (definition, object) = (self.graph.symbol(made).definition, self.graph.symbol(made).object);
        let symbol = &mut self.graph.symbols[id.index()];
        (symbol.definition, symbol.value, symbol.size, symbol.object) = (definition, 0, 0, object);
        true
    }

    /// Lets this graph's code call, by the name of `symbol`, the function that others call `function`, with these arguments and the addresses of
    /// `symbols`. Nothing happens where there are more arguments than registers: says whether that is so.
    pub fn leave(
        &mut self,
        symbol: SymbolId,
        function: &'data [u8],
        arguments: &[Argument],
        symbols: &[SymbolId],
    ) -> bool {
        let Some(code) = (self.crossing.leave)(arguments) else { return false };
        let (block, made) = self.function(code.bytes.into_boxed_slice(), &code.frame);
        let object = self.graph.section_of(block).object;
        let outer = Symbol {
            name: function,
            definition: Definition::Undefined,
            value: 0,
            size: 0,
            address: 0,
            object,
            linkage: Linkage::Strong,
            scope: Scope::Default,
            kind: SymbolKind::Function,
            needed: true,
            live: false,
        };
        let outer = self.graph.add_local(outer);
        let mut symbols = symbols.iter();
        for (offset, to, kind, addend) in code.holes {
            let next = if to == Hole::Function { Some(&outer) } else { symbols.next() };
            let target = *next.expect("a symbol for each argument that is one");
            self.graph.add_edge(Edge { addend, block, offset, target, kind });
        }
        self.redirected.insert(symbol, made);
        true
    }

    /// A function for others that calls the function of this graph that is its argument.
    pub fn call_argument(&mut self) -> SymbolId {
        match self.call_argument {
            Some(known) => known,
            None => {
                let (_, made) =
                    self.function(self.crossing.call_argument.code.into(), self.crossing.call_argument.frame);
                self.call_argument = Some(made);
                made
            }
        }
    }

    /// The identity of the dylib, for functions that are told whose a handler is: `__dso_handle`.
    pub fn dylib(&mut self) -> SymbolId {
        let object = self.graph.symbols().first().map_or(crate::graph::ObjectId::from_index(0), |symbol| symbol.object);
        self.graph.refer(b"__dso_handle", false, Scope::Hidden, object)
    }

    /// Lets this graph's code call a function by the name of `symbol` that does nothing.
    pub fn nothing(&mut self, symbol: SymbolId) {
        let (_, made) = self.function(self.crossing.nothing.into(), &[]);
        self.redirected.insert(symbol, made);
    }

    /// Puts everything in its place.
    pub fn finish(self) {
        let Self { graph, crossing, frames, frame_edges, redirected, .. } = self;
        if !frames.is_empty() {
            let mut bytes = Vec::new();
            record::write(&mut bytes, 0, crossing.cie);
            let start = bytes.len() as u32;
            bytes.extend(frames);
            // Each says how far away the common record is, and begins as if there was none.
            let mut at = start as usize;
            while let Some(length) = bytes.get(at..at + 4) {
                let length = u32::from_le_bytes(length.try_into().unwrap_or_default()) as usize;
                bytes[at + 4..at + 8].copy_from_slice(&(at as u32 + 4).to_le_bytes());
                at += 4 + length;
            }
            let section = graph.add_linker_section(b".eh_frame", Prot::READ, SectionKind::EhFrame);
            let size = bytes.len() as u64;
            let block = graph.add_block(section, Content::Owned(bytes.into_boxed_slice()), size, 4);
            for (offset, target) in frame_edges {
                graph.add_edge(Edge { addend: 0, block, offset: offset + start, target, kind: EdgeKind::DELTA32 });
            }
        }
        graph.redirect(&redirected);
    }

    /// A function from a template whose holes are about `target + addend`.
    fn template(&mut self, template: &'static Template, target: SymbolId, addend: i64) -> SymbolId {
        let (block, made) = self.function(template.code.into(), template.frame);
        for (offset, kind, bias) in template.holes {
            self.graph.add_edge(Edge { addend: addend + bias, block, offset: *offset, target, kind: *kind });
        }
        made
    }

    /// A block of code, and its symbol.
    fn function(&mut self, code: Box<[u8]>, frame: &[u8]) -> (BlockId, SymbolId) {
        let prot = Prot::READ | Prot::EXEC;
        let section = *self
            .code
            .get_or_insert_with(|| self.graph.add_linker_section(b".text.bridge", prot, SectionKind::Regular));
        let size = code.len() as u64;
        let block = self.graph.add_block(section, Content::Owned(code), size, 16);
        let made = self.local(Definition::Block(block), size);
        let mut body = vec![0; 9];
        body[4..8].copy_from_slice(&(size as u32).to_le_bytes());
        body.extend(frame);
        self.frame_edges.push((self.frames.len() as u32 + 8, made));
        record::write(&mut self.frames, 0, &body);
        (block, made)
    }

    fn local(&mut self, definition: Definition, size: u64) -> SymbolId {
        let object = match definition {
            Definition::Block(block) => self.graph.section_of(block).object,
            _ => crate::graph::ObjectId::from_index(0),
        };
        self.graph.add_local(Symbol {
            name: b"",
            definition,
            value: 0,
            size,
            address: 0,
            object,
            linkage: Linkage::Strong,
            scope: Scope::Local,
            kind: SymbolKind::Function,
            needed: false,
            live: false,
        })
    }
}
