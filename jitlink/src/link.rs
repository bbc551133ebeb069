//! A link, step by step. Each step consumes the one before, so that steps cannot be left out or taken in another order.
//!
//! ```text
//! Link<Built> --prune--> Link<Pruned> --place--> Link<Placed> --resolve--> Link<Resolved> --finalize--> Linked
//! ```
//!
//! From `place` on every exported address is final: links that need each other are all placed first and then resolved, and no
//! cycle between them needs anything more.

use crate::error::{LinkError, Places, Unresolved};
use crate::fixup::Operands;
use crate::graph::{Convention, Definition, LinkGraph, LinkerSymbol, Scope, Symbol, SymbolId, SymbolKind};
use crate::layout::{self, At, Image, Layout};
use crate::linked::{Linked, Names, ThreadLocalImage};
use crate::memory::{InFlight, Memory, Request, Segment, ThreadLocal, ThreadLocalRequest};
use crate::moving::Written;
use crate::pass::prune::{self, Bounds, Roots};
use crate::pass::tables::{self, Tables};
use crate::pass::tls::{self, Known};
use crate::pass::{Plugin, eh_frame, imports, late, merge};
use crate::workers::{Alone, Workers};
use crate::write::{self, Target};
use crate::written::WrittenImage;

/// How a link is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkOptions {
    /// The address of the dylib's header (`__dso_handle`, `__ehdr_start`), when an earlier batch made it.
    pub header: Option<u64>,
    /// Leave instructions and merge sections as they are: every GOT load loads, every string stays.
    pub plain: bool,
    /// Whether loads from slots and calls through stubs are shortened is decided when all addresses are known, for each reference by itself: every slot
    /// that is asked for is made, and what lies outside counts as well as what lies inside. Otherwise it is decided before there are addresses, and what need not be made is not.
    /// With [`Self::plain`], this is all that becomes of instructions.
    pub relax_late: bool,
    /// The dylib has other graphs besides: hidden names, which are those of the whole dylib, are asked for like all others.
    pub has_siblings: bool,
    /// Where the thread-local variables of the dylib's earlier batch begin; for a graph that has none of its own.
    pub thread_local: Option<ThreadLocal>,
}

/// Debug builds look at the whole graph after each step: a rule that does not hold is a mistake of a reader, a pass or a plugin.
fn check(graph: &LinkGraph<'_>) {
    debug_assert_eq!(graph.verify(), Ok(()));
}

/// A graph on its way into memory.
#[must_use = "a link that goes no further has no effect"]
pub struct Link<'data, S> {
    graph: LinkGraph<'data>,
    options: LinkOptions,
    plugins: Vec<Box<dyn Plugin + 'data>>,
    workers: &'data dyn Workers,
    /// What is live and not defined: found once, when it is known, and asked for by every later step.
    externals: Vec<SymbolId>,
    state: S,
}

/// Every object is in the graph.
#[derive(Debug)]
pub struct Built(());

/// What is not reached is gone; tables are known.
#[derive(Debug)]
pub struct Pruned {
    tables: Tables,
    eh_frame: Option<crate::graph::BlockId>,
}

/// Everything has its address.
#[derive(Debug)]
pub struct Placed<M> {
    tables: Tables,
    layout: Layout,
    memory: M,
    eh_frame: Option<crate::graph::BlockId>,
    header: Option<u64>,
    known: Known,
}

/// Externals have their addresses too.
#[derive(Debug)]
pub struct Resolved<M> {
    placed: Placed<M>,
    /// Where the stubs jump, by stub.
    destinations: Vec<u64>,
}

/// A name that this graph refers to and does not define.
#[derive(Clone, Copy, Debug)]
pub struct External<'a> {
    /// Its symbol in this graph.
    pub id: SymbolId,
    /// Its name.
    pub name: &'a [u8],
    /// Nothing but weak references ask for it: it is null when nobody defines it.
    pub weak: bool,
    /// Only an object of this dylib could define it: it is not looked for outside, and asked for at all only where
    /// [`LinkOptions::has_siblings`] says that the dylib has other graphs.
    pub hidden: bool,
    /// It is a thread-local variable: [`Resolution::thread_local`] is wanted.
    pub thread_local: bool,
    /// By which convention it is called, if it is a function.
    pub convention: Convention,
}

impl<'a> External<'a> {
    fn of(id: SymbolId, graph: &LinkGraph<'a>) -> Self {
        let symbol = graph.symbol(id);
        let convention = graph.object(symbol.object).convention;
        let hidden = symbol.scope < Scope::Protected;
        let thread_local = symbol.kind == SymbolKind::ThreadLocal;
        External { id, name: symbol.name, weak: !symbol.needed, hidden, thread_local, convention }
    }
}

/// What an external turned out to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Resolution {
    /// Its address in the executor.
    pub address: u64,
    /// Whether it is code: then a reference that is out of reach may go through a stub.
    pub code: bool,
    /// Where it is when it is thread-local; the address says nothing then.
    pub thread_local: Option<ThreadLocal>,
}

impl Resolution {
    /// A function, a variable or a constant.
    #[must_use]
    pub fn new(address: u64, code: bool) -> Self {
        Self { address, code, thread_local: None }
    }

    /// A thread-local variable.
    #[must_use]
    pub fn thread_local(place: ThreadLocal) -> Self {
        Self { address: place.address(), code: false, thread_local: Some(place) }
    }
}

impl<S: std::fmt::Debug> std::fmt::Debug for Link<'_, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("graph", &self.graph).field("state", &self.state).finish_non_exhaustive()
    }
}

impl<'data, S> Link<'data, S> {
    /// The graph as it stands.
    #[must_use]
    pub fn graph(&self) -> &LinkGraph<'data> {
        &self.graph
    }

    /// Who refers to these symbols, in a user's words: what an error about names that nobody defines has to tell.
    #[must_use]
    pub fn describe(&self, symbols: &[SymbolId]) -> Vec<Unresolved> {
        describe_missing(&self.graph, symbols)
    }

    /// Names that the linked code needs from outside; none before the graph was pruned.
    pub fn externals(&self) -> impl Iterator<Item = External<'_>> + '_ {
        self.externals.iter().map(|id| External::of(*id, &self.graph))
    }

    /// Whether the dylib has other graphs besides.
    #[must_use]
    pub fn has_siblings(&self) -> bool {
        self.options.has_siblings
    }

    /// Those of [`Self::externals`] that resolving asks for.
    pub fn asked(&self) -> impl Iterator<Item = External<'_>> + '_ {
        self.externals().filter(|external| !external.hidden || self.options.has_siblings)
    }
}

impl<'data> Link<'data, Built> {
    /// Begins with a graph that holds every object of the batch.
    pub fn new(graph: LinkGraph<'data>, options: LinkOptions) -> Self {
        Self { graph, options, plugins: Vec::new(), workers: &Alone, externals: Vec::new(), state: Built(()) }
    }

    /// Adds a plugin; plugins are asked in the order in which they were added.
    pub fn with(mut self, plugin: impl Plugin + 'data) -> Self {
        self.plugins.push(Box::new(plugin));
        self
    }

    /// Lets `workers` do what can be done in pieces; the result is the same.
    pub fn with_workers(self, workers: &'data dyn Workers) -> Self {
        Self { workers, ..self }
    }

    /// Drops what the roots do not reach, merges equal strings, compacts call frame information, decides on slots and stubs.
    ///
    /// # Errors
    /// A required root is not defined; call frame information or a merge section is malformed; something live needs what is not
    /// supported (thread-local storage) or was dropped with its group.
    pub fn prune(mut self, roots: &Roots<'_>) -> Result<Link<'data, Pruned>, LinkError> {
        for plugin in &mut self.plugins {
            plugin.built(&mut self.graph).map_err(LinkError::Plugin)?;
        }
        check(&self.graph);
        let graph = &mut self.graph;
        prune::allocate_commons(graph);
        imports::make_cells(graph);
        graph.redirect_fallbacks();
        graph.bind_default_versions();
        let frames = eh_frame::index_with(graph, self.workers)?;
        prune::mark(graph, roots, &frames)?;
        // Before merging, so that what tables refer to is merged with the rest.
        let eh_frame = frames.compact(graph);
        if !self.options.plain {
            merge::merge(graph)?;
        }
        for plugin in &mut self.plugins {
            plugin.pruned(&mut self.graph).map_err(LinkError::Plugin)?;
        }
        check(&self.graph);
        let plain = self.options.plain || self.options.relax_late;
        let tables = tables::build(&mut self.graph, plain, self.workers)?;
        let Link { graph, options, plugins, workers, state: Built(()), .. } = self;
        let symbols = graph.symbols.iter().enumerate();
        let externals = symbols.filter(|(_, symbol)| symbol.live && symbol.definition == Definition::Undefined);
        let externals = externals.map(|(index, _)| SymbolId::from_index(index)).collect();
        Ok(Link { graph, options, plugins, workers, externals, state: Pruned { tables, eh_frame } })
    }
}

impl<'data> Link<'data, Pruned> {
    /// Whether code holds addresses in 32 bits, so that everything must lie below 2 GiB.
    #[must_use]
    pub fn needs_low(&self) -> bool {
        self.state.tables.low
    }

    /// Whether code holds distances of thread-local variables from the thread pointer (the local-exec and initial-exec models).
    #[must_use]
    pub fn needs_constant_distance(&self) -> bool {
        self.state.tables.constant_distance
    }

    /// Asks for thread-local storage at a constant distance from the thread pointer: code of another link may hold it.
    pub fn require_constant_distance(&mut self) {
        self.state.tables.constant_distance = true;
    }

    /// Asks for memory below 2 GiB: links that refer to each other's data must all be low if one of them is.
    pub fn require_low(&mut self) {
        self.state.tables.low = true;
    }

    /// Reserves memory and gives everything its address.
    ///
    /// # Errors
    /// When the memory cannot be had.
    pub fn place<M: Memory>(self, memory: &M) -> Result<Link<'data, Placed<M::InFlight>>, LinkError> {
        let Link { mut graph, options, mut plugins, workers, externals, state: Pruned { mut tables, eh_frame } } = self;
        let layout = layout::compute(&mut graph, &mut tables, options.header.is_none());
        let constant = tables.constant_distance;
        let thread_local = layout.image.map(|image| ThreadLocalRequest::of(image, constant));
        let memory = memory.reserve(&Request { segments: &layout.segments, low: tables.low, thread_local })?;
        let bases: Vec<u64> = (0..layout.segments.len()).map(|segment| memory.address(segment)).collect();
        let address = |at: At| bases.get(usize::from(at.segment)).map_or(0, |base| base + at.offset);
        for (block, at) in &layout.blocks {
            graph.blocks[block.index()].address = address(*at);
        }
        let known = Known {
            own: thread_local.and_then(|_| memory.thread_local()).or(options.thread_local),
            descriptor: memory.descriptor_function(),
            ..Known::default()
        };
        let first = known.own.map_or(0, ThreadLocal::address);
        for (block, offset) in &layout.thread_local {
            graph.blocks[block.index()].address = first.wrapping_add(*offset);
        }
        let header = layout.header.map(address).or(options.header);
        let image = bases.iter().copied().min().unwrap_or(0);
        place_symbols(&mut graph, address(layout.slots), header, image);
        for (index, symbol) in tables.indirect.symbols.iter().enumerate() {
            // An indirect function is its stub, everywhere: all pointers to it are equal.
            let number = (tables.stubs.symbols.len() + index) as u64;
            graph.symbols[symbol.index()].address = address(layout.stubs) + number * layout.stub_size;
        }
        check(&graph);
        for plugin in &mut plugins {
            plugin.placed(&graph).map_err(LinkError::Plugin)?;
        }
        Ok(Link {
            graph,
            options,
            plugins,
            workers,
            externals,
            state: Placed { tables, layout, memory, eh_frame, header, known },
        })
    }
}

impl ThreadLocalRequest {
    fn of(image: Image, constant: bool) -> Self {
        Self { size: image.size.max(1), align: image.align, constant }
    }
}

fn place_symbols(graph: &mut LinkGraph<'_>, got: u64, header: Option<u64>, image: u64) {
    let bounds = (!graph.bounds.is_empty()).then(|| Bounds::new(graph));
    for index in 0..graph.symbols.len() {
        let symbol = &graph.symbols[index];
        let address = match symbol.definition {
            Definition::Block(block) => graph.blocks[block.index()].address.wrapping_add(symbol.value),
            Definition::Absolute => symbol.value,
            Definition::Undefined | Definition::Common | Definition::Discarded => continue,
            Definition::Linker(LinkerSymbol::GlobalOffsetTable) => got,
            Definition::Linker(LinkerSymbol::Header) => header.map_or(0, |header| header + symbol.value),
            Definition::Linker(LinkerSymbol::ImageBase) => image,
            Definition::Linker(LinkerSymbol::ThreadLocalBase) => 0,
            Definition::Linker(which) => {
                let members = bounds.iter().flat_map(|bounds| bounds.members(symbol.value));
                let live = members.map(|block| graph.block(block)).filter(|block| block.live);
                let ends = live.map(|block| (block.address, block.address + block.size));
                let (start, stop) = ends.fold((u64::MAX, 0), |(a, b), (c, d)| (a.min(c), b.max(d)));
                if which == LinkerSymbol::SectionStart { start } else { stop }
            }
        };
        graph.symbols[index].address = address;
    }
}

impl<'data, M: InFlight> Link<'data, Placed<M>> {
    /// The segments, in the order in which they are written.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.state.layout.segments
    }

    /// The address of a global name that this graph defines for others.
    #[must_use]
    pub fn exported(&self, name: &[u8]) -> Option<Resolution> {
        let symbol = self.graph.symbol(self.graph.find(name)?);
        if symbol.is_exported() { self.resolution(symbol) } else { None }
    }

    /// The address of a global name that this graph defines for its dylib: exported or hidden.
    #[must_use]
    pub fn defined(&self, name: &[u8]) -> Option<Resolution> {
        self.resolution(self.graph.symbol(self.graph.find(name)?))
    }

    /// Where a symbol is that this graph defines, if it is kept.
    #[must_use]
    pub fn resolution(&self, symbol: &Symbol<'_>) -> Option<Resolution> {
        let here = symbol.is_defined() && symbol.block().is_none_or(|block| self.graph.block(block).live);
        if !here {
            return None;
        }
        if symbol.kind == SymbolKind::ThreadLocal {
            let own = self.state.known.own.filter(|_| tls::is_thread_local(&self.graph, symbol));
            return own.map(|own| Resolution::thread_local(own.found_at(symbol.address)));
        }
        let code = matches!(symbol.kind, SymbolKind::Function | SymbolKind::Indirect | SymbolKind::Unknown);
        Some(Resolution::new(symbol.address, code))
    }

    /// The address of the dylib's header (`__dso_handle`), if anything refers to it.
    #[must_use]
    pub fn header(&self) -> Option<u64> {
        self.state.header
    }

    /// Whether everything lies below 2 GiB.
    #[must_use]
    pub fn is_low(&self) -> bool {
        self.state.tables.low
    }

    /// Externals whose address some code or data holds without a table between, in fewer bits than a pointer has. Code can be
    /// represented by its stub when it is out of reach; data cannot.
    pub fn direct_externals(&self) -> impl Iterator<Item = External<'_>> + '_ {
        let machine = self.graph.machine();
        let edges = self.state.tables.direct.iter().map(|edge| &self.graph.edges[*edge as usize]);
        let narrow = edges.filter(|edge| machine.fixup(edge.kind).range != crate::arch::Range::Any);
        let mut targets: Vec<SymbolId> = narrow.map(|edge| edge.target).collect();
        targets.sort_unstable();
        targets.dedup();
        targets.into_iter().map(|id| External::of(id, &self.graph))
    }

    /// Asks `find` for the address of every external.
    ///
    /// # Errors
    /// [`LinkError::Unresolved`] with every name that is needed and that `find` does not know.
    pub fn resolve(
        mut self,
        mut find: impl FnMut(External<'_>) -> Option<Resolution>,
    ) -> Result<Link<'data, Resolved<M>>, LinkError> {
        let mut missing = Vec::new();
        let mut thread_locals = std::mem::take(&mut self.graph.thread_locals);
        let mut code = vec![false; if self.state.tables.direct.is_empty() { 0 } else { self.graph.symbols.len() }];
        for id in &self.externals {
            let external = External::of(*id, &self.graph);
            let found = if !external.hidden || self.options.has_siblings { find(external) } else { None };
            match found {
                Some(found) => {
                    if external.thread_local != found.thread_local.is_some() {
                        return Err(mismatch(&self.graph, external.id, found.thread_local.is_some()));
                    }
                    thread_locals.extend(found.thread_local.map(|place| (external.id, place)));
                    self.graph.symbols[id.index()].address = found.address;
                    if let Some(code) = code.get_mut(id.index()) {
                        *code = found.code;
                    }
                }
                None if external.weak => {
                    self.graph.symbols[id.index()].address = 0;
                    if external.thread_local {
                        // As dynamic loaders and linkers have it: the thread pointer itself.
                        thread_locals.push((external.id, ThreadLocal { module: 0, offset: 0, distance: Some(0) }));
                    }
                }
                None => missing.push(external.id),
            }
        }
        if !missing.is_empty() {
            return Err(LinkError::Unresolved(describe_missing(&self.graph, &missing)));
        }
        thread_locals.sort_unstable_by_key(|(symbol, _)| *symbol);
        let Placed { tables, known, .. } = &mut self.state;
        known.others = thread_locals;
        tls::lower(&mut self.graph, &tables.thread_local, &tables.thread_local_slots, known, self.options.plain)?;
        let stubs = &self.state.tables.stubs.symbols;
        let destinations: Vec<u64> = stubs.iter().map(|id| self.graph.symbol(*id).address).collect();
        self.settle_for_stubs(&code);
        if self.options.relax_late {
            late::relax(&mut self.graph);
        }
        self.settle_for_null();
        let Link { graph, options, plugins, workers, externals, state: placed } = self;
        Ok(Link { graph, options, plugins, workers, externals, state: Resolved { placed, destinations } })
    }

    /// Code outside that a field cannot reach is represented by its stub, for every reference of this graph alike, so that pointers
    /// to it stay equal (psABI 3.5.6, "Procedure Linkage Table": the address of a function is that of its entry in the table).
    fn settle_for_stubs(&mut self, code: &[bool]) {
        let machine = self.graph.machine();
        let stubs = self.stub_base();
        let segments = 0..self.state.layout.segments.len();
        let image = segments.map(|segment| self.state.memory.address(segment)).min().unwrap_or(0);
        for edge in &self.state.tables.direct {
            let edge = self.graph.edges[*edge as usize];
            let target = self.graph.symbol(edge.target);
            if !code[edge.target.index()] {
                continue;
            }
            let place = self.graph.block(edge.block).address + u64::from(edge.offset);
            let row = machine.fixup(edge.kind);
            let (symbol, addend) = (target.address, edge.addend);
            let operands = Operands { symbol, addend, place, image, ..Operands::default() };
            if !row.holds(&operands)
                && let Some(stub) = self.state.tables.stubs.of(edge.target)
            {
                self.graph.symbols[edge.target.index()].address = stubs + stub as u64 * self.state.layout.stub_size;
            }
        }
    }

    /// A branch to what nobody defines is what the psABI says it is.
    fn settle_for_null(&mut self) {
        let branches = self.graph.machine().branches;
        for edge in &self.state.tables.weak_branches {
            let edge = &mut self.graph.edges[*edge as usize];
            let target = &self.graph.symbols[edge.target.index()];
            if target.definition == Definition::Undefined && target.address == 0 {
                edge.kind = (branches.null)(edge.kind).unwrap_or(edge.kind);
            }
        }
    }

    fn stub_base(&self) -> u64 {
        let at = self.state.layout.stubs;
        if self.state.tables.stubs.symbols.is_empty() {
            return 0;
        }
        self.state.memory.address(usize::from(at.segment)) + at.offset
    }
}

/// An external that is thread-local for one side only.
#[cold]
fn mismatch(graph: &LinkGraph<'_>, id: SymbolId, defined: bool) -> LinkError {
    let symbol = String::from_utf8_lossy(graph.symbol(id).name).into_owned();
    let described = describe_missing(graph, &[id]).into_iter().flat_map(|one| one.references).next();
    let place = described.unwrap_or_else(|| crate::error::Place {
        object: graph.object(graph.symbol(id).object).name.clone(),
        section: String::new(),
        offset: 0,
        within: None,
    });
    LinkError::ThreadLocalMismatch { place: Box::new(place), symbol, defined }
}

fn describe_missing(graph: &LinkGraph<'_>, missing: &[SymbolId]) -> Vec<Unresolved> {
    let places = Places::new(graph);
    let mut order = vec![usize::MAX; graph.symbols.len()];
    let mut unresolved: Vec<Unresolved> = Vec::with_capacity(missing.len());
    for id in missing {
        let symbol = graph.symbol(*id);
        order[id.index()] = unresolved.len();
        let name = String::from_utf8_lossy(symbol.name).into_owned();
        unresolved.push(Unresolved { name, hidden: symbol.scope < Scope::Protected, references: Vec::new() });
    }
    for block in graph.blocks.iter().filter(|block| block.live) {
        for edge in &graph.edges[block.edge_range()] {
            if let Some(one) = unresolved.get_mut(order[edge.target.index()]) {
                one.references.push(places.place(edge.block, u64::from(edge.offset)));
            }
        }
    }
    unresolved
}

impl<'data, M: InFlight> Link<'data, Resolved<M>> {
    /// Copies every byte to its place, applies the fixups, makes the memory final.
    ///
    /// # Errors
    /// A value does not fit its field, or the memory cannot be made final. Dropping the error's link gives the memory back.
    pub fn finalize(self) -> Result<Linked<'data, M::Allocation>, LinkError> {
        self.finalize_seen(|_| ())
    }

    /// As [`Self::finalize`]; `see` is shown the written bytes before they are final, so that they can be stored ([`crate::moving`]).
    ///
    /// # Errors
    /// As [`Self::finalize`].
    pub fn finalize_seen(
        self,
        see: impl FnOnce(&mut Written<'_, 'data, M>),
    ) -> Result<Linked<'data, M::Allocation>, LinkError> {
        self.finalize_beside(see, |_| ()).map(|(linked, ())| linked)
    }

    /// As [`Self::finalize_seen`]; `beside` may look at the names in the meantime, on another thread where there is one.
    ///
    /// # Errors
    /// As [`Self::finalize`].
    pub fn finalize_beside<R: Send>(
        self,
        see: impl FnOnce(&mut Written<'_, 'data, M>),
        beside: impl FnOnce(Names<'_, 'data>) -> R + Send,
    ) -> Result<(Linked<'data, M::Allocation>, R), LinkError> {
        let Link { graph, options, mut plugins, workers, state: Resolved { mut placed, destinations }, .. } = self;
        let target = Target {
            graph: &graph,
            tables: &placed.tables,
            layout: &placed.layout,
            bases: (0..placed.layout.segments.len()).map(|segment| placed.memory.address(segment)).collect(),
            destinations: &destinations,
            known: &placed.known,
        };
        let names = Names { graph: &graph, known: &placed.known };
        let segments = &placed.layout.segments;
        // Beside the one that takes longest.
        let longest = (0..segments.len()).max_by_key(|segment| segments[*segment].content_size);
        let mut beside = Some(beside);
        let mut found = None;
        for segment in 0..segments.len() {
            let beside = beside.take_if(|_| longest == Some(segment)).map(|beside| move || beside(names));
            let made = write::segment(&target, segment, placed.memory.bytes(segment), workers, beside)?;
            found = found.or(made);
        }
        // A link without segments has nothing to write.
        let found = match (found, beside) {
            (Some(found), _) => found,
            (None, beside) => beside.expect("it is called once")(names),
        };
        for plugin in &mut plugins {
            plugin.written(&mut WrittenImage::new(&target, &mut placed.memory)).map_err(LinkError::Plugin)?;
        }
        let image = placed.layout.image;
        let constant = placed.tables.constant_distance;
        see(&mut Written {
            target: &target,
            memory: &mut placed.memory,
            low: placed.tables.low,
            thread_local: image.map(|image| ThreadLocalRequest::of(image, constant)),
            has_siblings: options.has_siblings,
        });
        let indirect = target.indirect_functions().collect();
        let segments = target.segments();
        let thread_local = placed.known.own.zip(placed.layout.image).map(|(place, image)| ThreadLocalImage {
            place,
            address: target.address(image.at),
            content_size: image.content_size,
            size: image.size,
            align: image.align,
        });
        let allocation = placed.memory.finalize()?;
        let linked = Linked {
            thread_local,
            known: placed.known,
            eh_frame: placed.eh_frame.map(|block| (graph.block(block).address, graph.block(block).size)),
            header: placed.header,
            indirect,
            segments,
            allocation,
            graph,
        };
        Ok((linked, found))
    }
}
