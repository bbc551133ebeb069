//! Edges on their way into a graph: they are made apart from it and added in one piece.

use super::{BlockId, Definition, Edge, LinkGraph, Linkage, ObjectId, Scope, Symbol, SymbolId, SymbolKind};
use crate::object::ObjectError;
use std::ops::Range;

/// Edges of some blocks of one graph, in order; [`LinkGraph::add_edges`] puts them there.
#[derive(Debug, Default)]
pub struct Edges {
    edges: Vec<Edge>,
    /// Where the edges of each block are in `edges`.
    blocks: Vec<(BlockId, Range<u32>)>,
    /// Those to the symbol without a name that has the value zero, and the object that they are of.
    to_zero: Vec<(u32, ObjectId)>,
    /// What ended the reading; the graph knows what the object is called.
    error: Option<(ObjectId, ObjectError)>,
}

impl Edges {
    /// None yet, with room for `count`.
    #[must_use]
    pub fn with_capacity(count: usize) -> Self {
        Self { edges: Vec::with_capacity(count), ..Self::default() }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.edges.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.edges.is_empty()
    }

    /// Whether a relocation was wrong: what is read after it is of no use.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.error.is_some()
    }

    /// Adds other edges of the same graph behind these. After an error, nothing.
    pub fn append(&mut self, other: Self) {
        if self.has_failed() {
            return;
        }
        if self.is_empty() && self.blocks.is_empty() && self.to_zero.is_empty() {
            *self = other;
            return;
        }
        let first = self.position();
        self.edges.extend_from_slice(&other.edges);
        self.position();
        let moved = |range: Range<u32>| first + range.start..first + range.end;
        self.blocks.extend(other.blocks.into_iter().map(|(block, range)| (block, moved(range))));
        self.to_zero.extend(other.to_zero.into_iter().map(|(at, object)| (first + at, object)));
        self.error = other.error;
    }

    pub(crate) fn fail(&mut self, object: ObjectId, error: ObjectError) {
        self.error.get_or_insert((object, error));
    }

    pub(crate) fn begin(&mut self, block: BlockId, count: usize) {
        self.edges.reserve(count);
        let at = self.position();
        self.blocks.push((block, at..at));
    }

    #[inline]
    pub(crate) fn add(&mut self, edge: Edge) {
        self.edges.push(edge);
    }

    /// Adds an edge to the zero of `object`, whose symbol is made when it comes to the graph.
    #[cold]
    pub(crate) fn add_to_zero(&mut self, object: ObjectId, edge: impl Fn(SymbolId) -> Edge) {
        self.to_zero.push((self.position(), object));
        self.edges.push(edge(SymbolId::from_index(0)));
    }

    pub(crate) fn end(&mut self) {
        let end = self.position();
        if let Some((_, range)) = self.blocks.last_mut() {
            range.end = end;
        }
    }

    fn position(&self) -> u32 {
        u32::try_from(self.edges.len()).expect("fewer than 2^32 edges")
    }
}

impl LinkGraph<'_> {
    /// Room for edges that are added next: where nothing is added in between, they are written to their place at once.
    pub(crate) fn begin_edges(&mut self) -> Edges {
        Edges { edges: std::mem::take(&mut self.edges), ..Edges::default() }
    }

    /// Adds edges of blocks of this graph that have none yet.
    ///
    /// # Errors
    /// The one that ended their reading.
    ///
    /// # Panics
    /// When one of the blocks has edges, or there are 2^32 of them.
    pub fn add_edges(&mut self, edges: Edges) -> Result<(), ObjectError> {
        let mut all = self.begin_edges();
        all.append(edges);
        let Edges { edges, blocks, to_zero, error } = all;
        self.edges = edges;
        for (id, range) in blocks {
            let block = &mut self.blocks[id.index()];
            assert!(block.edges.is_empty(), "the edges of a block are added together");
            block.edges = range;
        }
        let mut zero: Option<(ObjectId, SymbolId)> = None;
        for (at, object) in to_zero {
            let symbol = match zero {
                Some((of, symbol)) if of == object => symbol,
                _ => self.add_zero(object),
            };
            zero = Some((object, symbol));
            self.edges[at as usize].target = symbol;
        }
        match error {
            None => Ok(()),
            Some((object, error)) => Err(ObjectError { object: self.object(object).name.clone(), ..error }),
        }
    }

    /// Adds edges to blocks that may have some already; those of each block are sorted by where they are. For passes: the whole array is written anew.
    ///
    /// # Panics
    /// When there are 2^32 edges.
    pub fn insert_edges(&mut self, mut more: Vec<Edge>) {
        if more.is_empty() {
            return;
        }
        more.sort_by_key(|edge| (edge.block, edge.offset));
        let mut more = more.into_iter().peekable();
        let mut edges = Vec::with_capacity(self.edges.len() + more.len());
        for (index, block) in self.blocks.iter_mut().enumerate() {
            let start = u32::try_from(edges.len()).expect("fewer than 2^32 edges");
            edges.extend_from_slice(&self.edges[block.edge_range()]);
            let mut added = false;
            while let Some(edge) = more.next_if(|edge| edge.block.index() <= index) {
                added = true;
                edges.push(edge);
            }
            if added {
                edges[start as usize..].sort_by_key(|edge| edge.offset);
            }
            block.edges = start..u32::try_from(edges.len()).expect("fewer than 2^32 edges");
        }
        self.edges = edges;
    }

    fn add_zero(&mut self, object: ObjectId) -> SymbolId {
        self.add_local(Symbol {
            name: b"",
            definition: Definition::Absolute,
            value: 0,
            size: 0,
            address: 0,
            object,
            linkage: Linkage::Strong,
            scope: Scope::Local,
            kind: SymbolKind::Unknown,
            needed: false,
            live: false,
        })
    }
}
