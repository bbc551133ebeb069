//! Lazy linking: a graph of which parts are linked when they are needed.
//!
//! **You give** a graph whose objects were read without their relocations ([`crate::object::read_deferred`]): every name is settled, nothing is known of
//! who refers to what. **You get** [`Portion`]s: graphs of their own, to be linked as any other, each with what something needs and no
//! more. Functions that a portion refers to and does not have are stubs in it, which ask for the function when they are first called; data
//! comes along with whoever refers to it. **Not here:** memory, who is asked when a stub is called, names outside of the graph.
//!
//! What is linked already stands in a [`Progress`], which borrows nothing, so that a portion that comes to nothing has changed nothing.
//!
//! A function is one address for everybody: where its code is, if it was linked before anybody else asked for the address, and that of its stub
//! otherwise, for good. A block is linked once; sections of constants that could be merged with others stay whole for that reason.

mod carve;
mod closure;
mod frames;

pub use carve::{Portion, PortionPlan};
use closure::Closure;

use crate::graph::{
    BlockId, Definition, LinkGraph, Linkage, LinkerSymbol, ObjectId, Prot, Scope, Symbol, SymbolId, SymbolKind,
};
use crate::graph::{SectionFlags, SectionKind};
use crate::link::Resolution;
use crate::linked::Linked;
use crate::memory::ThreadLocal;
use crate::object::{Asks, Deferred, ObjectError};
use crate::pass::prune::{self, Bounds};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// The name of what stubs call: it gets the address of a stub's slot and makes the slot lead to the function.
pub const ASK: &str = "__orc_rt_lazy";

/// A graph whose objects wait to be linked.
#[derive(Debug)]
pub struct Waiting<'data> {
    graph: LinkGraph<'data>,
    /// By object: what reads its relocations. Objects that the linker made have none.
    objects: Vec<Option<Deferred<'data>>>,
    /// Blocks of call frame information, by object.
    frames: HashMap<ObjectId, Vec<BlockId>>,
    /// Blocks of code, by object.
    code: HashMap<ObjectId, Vec<BlockId>>,
    bounds: Bounds,
    /// `(linked-to block, block that shares its fate)`, sorted.
    dependents: Vec<(BlockId, BlockId)>,
    /// Symbols of what no object that was read has: they were common, or the linker made them.
    made: Vec<SymbolId>,
}

/// A stub, and the word that says where it leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StubPlace {
    /// The address of the function for everybody.
    pub address: u64,
    /// The address of the word.
    pub slot: u64,
}

/// What of a [`Waiting`] is linked, and where.
#[derive(Debug, Default)]
pub struct Progress {
    /// By block: its address and one; 0 as long as it waits.
    blocks: Vec<u64>,
    /// Where the thread-local variables are. All of them are linked at once.
    thread_local: Option<ThreadLocal>,
    /// Stubs, by what they stand for: block and offset.
    stubs: BTreeMap<(BlockId, u64), StubPlace>,
    /// What names of others turned out to be; `None` for null.
    outside: HashMap<SymbolId, Option<Resolution>>,
    /// What stubs call.
    ask: Option<Resolution>,
    /// Symbols whose address is not that of their place: those that the linker defines, and indirect functions, which are their stub.
    special: HashMap<SymbolId, u64>,
}

impl Progress {
    fn address_of(&self, block: BlockId) -> Option<u64> {
        self.blocks[block.index()].checked_sub(1)
    }

    /// Where the thread-local variables are: for [`crate::LinkOptions::thread_local`].
    #[must_use]
    pub fn thread_local(&self) -> Option<ThreadLocal> {
        self.thread_local
    }

    /// Every stub whose function is linked: the address of its slot, and what it should hold.
    pub fn slots(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let linked = |(block, offset): (BlockId, u64)| Some(self.address_of(block)?.wrapping_add(offset));
        self.stubs.iter().filter_map(move |(place, stub)| Some((stub.slot, linked(*place)?)))
    }

    /// As [`Self::slots`], for what stands in `blocks` only.
    pub fn slots_of<'a>(&'a self, blocks: &'a [BlockId]) -> impl Iterator<Item = (u64, u64)> + 'a {
        let known = blocks.iter().filter_map(|block| Some((*block, self.address_of(*block)?)));
        known.flat_map(|(block, address)| {
            let stubs = self.stubs.range((block, 0)..=(block, u64::MAX));
            stubs.map(move |((_, offset), stub)| (stub.slot, address.wrapping_add(*offset)))
        })
    }

    /// Keeps what the first portion's externals turned out to be, in the order of [`PortionPlan::externals`].
    pub fn bind(&mut self, plan: &PortionPlan, mut found: impl FnMut(SymbolId) -> Option<Resolution>) {
        self.outside.extend(plan.externals().map(|(waiting, here)| (waiting, found(here))));
        self.ask = self.ask.or_else(|| plan.ask.and_then(found));
    }

    /// Notes that what a portion was linked to is there. Gives the slots of its stubs, each with the function that it is for.
    pub fn advance(&mut self, advance: Advance) -> Vec<(u64, SymbolId)> {
        for (block, address) in advance.blocks {
            self.blocks[block.index()] = address.wrapping_add(1);
        }
        self.thread_local = self.thread_local.or(advance.thread_local);
        self.special.extend(advance.special);
        let slots = advance.stubs.iter().map(|(function, _, stub)| (stub.slot, *function)).collect();
        self.stubs.extend(advance.stubs.into_iter().map(|(_, place, stub)| (place, stub)));
        slots
    }
}

/// What a portion was linked to: what a [`Progress`] has to know of it.
#[derive(Debug)]
pub struct Advance {
    blocks: Vec<(BlockId, u64)>,
    thread_local: Option<ThreadLocal>,
    special: Vec<(SymbolId, u64)>,
    /// Functions, what they stand for, and their stubs.
    stubs: Vec<(SymbolId, (BlockId, u64), StubPlace)>,
}

impl Advance {
    /// Of a finished link.
    #[must_use]
    pub fn of<A>(plan: &PortionPlan, linked: &Linked<'_, A>) -> Self {
        let graph = linked.graph();
        let machine = graph.machine();
        let (text, slots) = plan.stub_symbols.map_or((0, 0), |(text, slots)| {
            let address = |id| graph.symbol(id).address;
            (address(text), address(slots))
        });
        let (stride, word) = (carve::stride(machine), u64::from(machine.pointer_size));
        let stubs = (0u64..).zip(&plan.stubs).map(|(number, (function, place))| {
            let stub = StubPlace { address: text + number * stride, slot: slots + number * word };
            (*function, *place, stub)
        });
        Self {
            blocks: plan.blocks.iter().map(|(there, here)| (*there, graph.block(*here).address)).collect(),
            thread_local: linked.thread_local.map(|image| image.place),
            special: plan.special.iter().map(|(there, here)| (*there, graph.symbol(*here).address)).collect(),
            stubs: stubs.collect(),
        }
    }

    /// The addresses of the words that say where its stubs lead.
    #[must_use]
    pub fn slots(&self) -> std::ops::Range<u64> {
        let slots = || self.stubs.iter().map(|(_, _, stub)| stub.slot);
        match (slots().min(), slots().max()) {
            (Some(first), Some(last)) => first..last + 8,
            _ => 0..0,
        }
    }
}

impl<'data> Waiting<'data> {
    /// A graph that is complete: nothing is added to it any more. `objects` are those that were read into it.
    #[must_use]
    pub fn new(mut graph: LinkGraph<'data>, objects: Vec<Deferred<'data>>) -> Self {
        let read: HashSet<ObjectId> = objects.iter().map(Deferred::object).collect();
        // Most graphs have nothing but what was read.
        let any = read.len() < graph.objects().len();
        let is_made = |symbol: &Symbol<'_>| match symbol.definition {
            Definition::Common => true,
            Definition::Block(_) => any && !read.contains(&symbol.object),
            _ => false,
        };
        let made = graph.symbols().iter().enumerate().filter(|(_, symbol)| is_made(symbol));
        let made = made.map(|(index, _)| SymbolId::from_index(index)).collect();
        prune::allocate_commons(&mut graph);
        graph.bind_default_versions();
        let mut frames: HashMap<ObjectId, Vec<BlockId>> = HashMap::new();
        let mut code: HashMap<ObjectId, Vec<BlockId>> = HashMap::new();
        for (index, block) in graph.blocks().iter().enumerate() {
            let section = graph.section(block.section);
            if section.kind == SectionKind::EhFrame {
                frames.entry(section.object).or_default().push(BlockId::from_index(index));
            } else if section.prot.contains(Prot::EXEC) {
                code.entry(section.object).or_default().push(BlockId::from_index(index));
            }
        }
        let mut by_object: Vec<Option<Deferred<'data>>> = Vec::new();
        by_object.resize_with(graph.objects().len(), || None);
        for object in objects {
            let at = object.object().index();
            by_object[at] = Some(object);
        }
        let (bounds, dependents) = (Bounds::new(&graph), prune::link_order_dependents(&graph));
        Self { graph, objects: by_object, frames, code, bounds, dependents, made }
    }

    /// All of its objects, sections and symbols; no block has an edge.
    #[must_use]
    pub fn graph(&self) -> &LinkGraph<'data> {
        &self.graph
    }

    /// What the relocations of its objects ask of memory.
    #[must_use]
    pub fn asks(&self) -> Asks {
        let each = self.objects.iter().flatten().map(Deferred::asks);
        each.fold(Asks::default(), |all, one| Asks {
            low: all.low | one.low,
            constant_distance: all.constant_distance | one.constant_distance,
        })
    }

    /// The symbol that is defined here under `name`: for the whole dylib, or with `exported` for everybody.
    #[must_use]
    pub fn defined(&self, name: &[u8], exported: bool) -> Option<SymbolId> {
        let id = self.graph.find(name)?;
        let symbol = self.graph.symbol(id);
        (symbol.block().is_some() && (!exported || symbol.is_exported())).then_some(id)
    }

    /// Nothing is linked.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress { blocks: vec![0; self.graph.blocks().len()], ..Progress::default() }
    }

    /// Whether the symbol is a function that can be reached through a stub.
    fn is_function(&self, symbol: &Symbol<'_>) -> bool {
        symbol.kind == SymbolKind::Function
            && symbol.scope > Scope::Local
            && symbol.block().is_some_and(|block| self.graph.section_of(block).prot.contains(Prot::EXEC))
    }

    /// Where the symbol is for everybody, if that is known.
    #[must_use]
    pub fn find(&self, progress: &Progress, id: SymbolId) -> Option<Resolution> {
        let symbol = self.graph.symbol(id);
        let block = symbol.block()?;
        if let Some(address) = progress.special.get(&id) {
            return Some(Resolution::new(*address, true));
        }
        if let Some(stub) = progress.stubs.get(&(block, symbol.value)) {
            return Some(Resolution::new(stub.address, true));
        }
        let address = progress.address_of(block)?.wrapping_add(symbol.value);
        if symbol.kind == SymbolKind::ThreadLocal {
            return Some(Resolution::thread_local(progress.thread_local?.found_at(address)));
        }
        Some(Resolution::new(address, symbol.kind != SymbolKind::Object))
    }

    /// Where the code of the function `id` is, if it is linked.
    #[must_use]
    pub fn body(&self, progress: &Progress, id: SymbolId) -> Option<u64> {
        let symbol = self.graph.symbol(id);
        Some(progress.address_of(symbol.block()?)?.wrapping_add(symbol.value))
    }

    /// What has to be there before anything runs: initializers and finalizers, what asks to be kept, thread-local variables, sections with bounds that
    /// somebody asked for, indirect functions with all that they call; and what `named` names. Every name of others is among its externals. Of what `offered`
    /// names data is linked, and functions have stubs.
    ///
    /// # Errors
    /// Relocations are malformed.
    pub fn first(
        &self,
        progress: &Progress,
        named: &[SymbolId],
        offered: &[SymbolId],
    ) -> Result<Portion<'_>, ObjectError> {
        let mut closure = Closure::new(self, progress);
        for (index, block) in self.graph.blocks().iter().enumerate() {
            let section = self.graph.section(block.section);
            if matches!(section.kind, SectionKind::Initializers(_))
                || section.flags.intersects(SectionFlags::RETAIN | SectionFlags::TLS)
            {
                closure.block(BlockId::from_index(index), false);
            }
        }
        self.bounds.iter().for_each(|(_, block)| closure.block(block, false));
        let mut asked = Vec::new();
        for (index, symbol) in self.graph.symbols().iter().enumerate() {
            match symbol.definition {
                Definition::Undefined
                | Definition::Linker(LinkerSymbol::Header | LinkerSymbol::SectionStart | LinkerSymbol::SectionStop) => {
                    asked.push(SymbolId::from_index(index));
                }
                Definition::Absolute if symbol.scope > Scope::Local => asked.push(SymbolId::from_index(index)),
                Definition::Block(block) if symbol.kind == SymbolKind::Indirect => closure.block(block, true),
                // One for the whole session, which has to know where it is.
                Definition::Block(block) if symbol.linkage == Linkage::Unique => closure.block(block, false),
                _ => {}
            }
        }
        named.iter().for_each(|id| closure.link(*id));
        offered.iter().for_each(|id| closure.offer(*id));
        closure.run()?;
        carve::carve(closure, &asked)
    }

    /// What linking the symbols `wanted` needs, and what making `offered` addressable does: as for [`Self::first`]. Functions that are wanted bring all code of
    /// their object: its symbols and call frames are gone through for one function as for all, so that one function at a time would cost the square of them.
    ///
    /// # Errors
    /// Relocations are malformed.
    pub fn portion(
        &self,
        progress: &Progress,
        wanted: &[SymbolId],
        offered: &[SymbolId],
    ) -> Result<Portion<'_>, ObjectError> {
        let mut closure = Closure::new(self, progress);
        wanted.iter().for_each(|id| closure.link(*id));
        let objects: BTreeSet<ObjectId> = wanted.iter().filter_map(|id| self.code_of(*id)).collect();
        objects.iter().flat_map(|object| &self.code[object]).for_each(|block| closure.block(*block, false));
        offered.iter().for_each(|id| closure.offer(*id));
        closure.run()?;
        carve::carve(closure, &[])
    }

    /// The object of which the symbol is code.
    fn code_of(&self, id: SymbolId) -> Option<ObjectId> {
        let section = self.graph.section_of(self.graph.symbol(id).block()?);
        section.prot.contains(Prot::EXEC).then_some(section.object)
    }

    /// Everything that waits.
    ///
    /// # Errors
    /// Relocations are malformed.
    pub fn rest(&self, progress: &Progress) -> Result<Portion<'_>, ObjectError> {
        let mut closure = Closure::new(self, progress);
        for index in 0..self.graph.blocks().len() {
            closure.block(BlockId::from_index(index), false);
        }
        closure.run()?;
        carve::carve(closure, &[])
    }
}
