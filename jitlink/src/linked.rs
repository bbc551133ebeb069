//! What a finished link tells: where everything is, what is to be run and registered.

use crate::graph::{
    BlockId, Definition, InitKind, LinkGraph, Prot, Rare, SectionFlags, SectionKind, Symbol, SymbolKind,
};
use crate::memory::ThreadLocal;
use crate::pass::tls::Known;

/// A finished link: final memory, and the graph that tells what is where.
#[derive(Debug)]
#[must_use = "dropping the allocation may free the memory"]
pub struct Linked<'data, A> {
    /// The memory's owner.
    pub allocation: A,
    /// The segments, as they are in the executor.
    pub segments: Vec<LinkedSegment>,
    /// Address and size of the call frame information, which ends in a zero word: one registration for the whole batch.
    pub eh_frame: Option<(u64, u64)>,
    /// The address of the dylib's header, `__ehdr_start`; `__dso_handle` is [`DSO_HANDLE_OFFSET`] bytes behind it.
    pub header: Option<u64>,
    /// What every thread's storage begins with, before any of the code runs.
    pub thread_local: Option<ThreadLocalImage>,
    /// Functions to be chosen by the executor before anything else runs.
    pub indirect: Vec<IndirectFunction>,
    pub(crate) graph: LinkGraph<'data>,
    pub(crate) known: Known,
}

/// What is to be in every thread, those that exist and those to come, before the code runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ThreadLocalImage {
    /// Where in each thread.
    pub place: ThreadLocal,
    /// The address of its content in the executor: part of a segment.
    pub address: u64,
    /// Bytes of content.
    pub content_size: u64,
    /// Bytes in all; what follows the content is zero.
    pub size: u64,
    /// Alignment in bytes.
    pub align: u64,
}

/// `__dso_handle` stands right behind the header: a pointer to itself, which is a dylib's identity (Itanium C++ ABI 3.3.5).
pub const DSO_HANDLE_OFFSET: u64 = crate::layout::HEADER_SIZE;

/// One segment in the executor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkedSegment {
    /// Its first byte.
    pub address: u64,
    /// Its size in bytes.
    pub size: u64,
    /// What may be done with it.
    pub prot: Prot,
}

/// One `STT_GNU_IFUNC` symbol: call the resolver, store what it returns in the slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IndirectFunction {
    /// The address of the resolver.
    pub resolver: u64,
    /// Where its result is stored, as a pointer.
    pub slot: u64,
}

/// One array of function pointers in the executor's memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InitArray {
    /// What it is.
    pub kind: InitKind,
    /// Its first pointer.
    pub address: u64,
    /// How many pointers it has.
    pub count: u64,
}

/// An address with a name.
#[derive(Clone, Copy, Debug)]
pub struct Export<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its address; for a thread-local variable what [`ThreadLocal::address`] says.
    pub address: u64,
    /// Where it is, if it is thread-local.
    pub thread_local: Option<ThreadLocal>,
    /// Its size, 0 when unknown.
    pub size: u64,
    /// What it names.
    pub kind: SymbolKind,
    /// Its symbol, with linkage and scope.
    pub symbol: &'a Symbol<'a>,
}

impl<'data, A> Linked<'data, A> {
    /// The graph, every address filled in.
    #[must_use]
    pub fn graph(&self) -> &LinkGraph<'data> {
        &self.graph
    }

    /// Arrays of initializers and finalizers in the order in which they were read: object by object, section by section. Who runs
    /// them orders them by kind and priority.
    pub fn init_arrays(&self) -> impl Iterator<Item = InitArray> + '_ {
        let pointer = u64::from(self.graph.machine().pointer_size);
        let mut blocks: Vec<_> = self.graph.blocks().iter().filter(|block| block.live).collect();
        blocks.retain(|block| matches!(self.graph.section(block.section).kind, SectionKind::Initializers(_)));
        // What stands in the order of names runs in that order.
        blocks.sort_by_key(|block| {
            let section = self.graph.section(block.section);
            section.flags.contains(SectionFlags::GROUPED).then_some(section.name)
        });
        blocks.into_iter().filter_map(move |block| match self.graph.section(block.section).kind {
            SectionKind::Initializers(kind) if block.size >= pointer => {
                Some(InitArray { kind, address: block.address, count: block.size / pointer })
            }
            _ => None,
        })
    }

    /// What is called how.
    #[must_use]
    pub fn symbols(&self) -> Names<'_, 'data> {
        Names { graph: &self.graph, known: &self.known }
    }

    /// Every name that others may look up.
    pub fn exports(&self) -> impl Iterator<Item = Export<'_>> + '_ {
        self.symbols().exports()
    }

    /// Every name that other batches of the same dylib may refer to: the exported and the hidden.
    pub fn globals(&self) -> impl Iterator<Item = Export<'_>> + '_ {
        self.symbols().globals()
    }

    /// Every named function and variable, local ones too: for backtraces.
    pub fn names(&self) -> impl Iterator<Item = Export<'_>> + '_ {
        self.symbols().all()
    }
}

/// The names of a link whose addresses are all known; its bytes need not be written yet.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a, 'data> {
    pub(crate) graph: &'a LinkGraph<'data>,
    pub(crate) known: &'a Known,
}

impl<'a, 'data> Names<'a, 'data> {
    /// The graph, every address filled in.
    #[must_use]
    pub fn graph(self) -> &'a LinkGraph<'data> {
        self.graph
    }

    /// See [`Linked::exports`].
    pub fn exports(self) -> impl Iterator<Item = Export<'a>> {
        self.named(Symbol::is_exported)
    }

    /// See [`Linked::globals`].
    pub fn globals(self) -> impl Iterator<Item = Export<'a>> {
        self.named(|symbol| symbol.is_defined() && symbol.scope > crate::graph::Scope::Local)
    }

    /// See [`Linked::names`].
    pub fn all(self) -> impl Iterator<Item = Export<'a>> {
        self.named(|symbol| {
            matches!(symbol.definition, Definition::Block(_))
                && !symbol.name.is_empty()
                && symbol.kind != SymbolKind::Section
        })
    }

    /// Those of [`Self::globals`] that stand in no block: absolute symbols.
    pub fn absolutes(self) -> impl Iterator<Item = Export<'a>> {
        let any = self.graph.rare.contains(Rare::ABSOLUTE);
        let absolutes = any.then(|| self.globals().filter(|one| one.symbol.block().is_none()));
        absolutes.into_iter().flatten()
    }

    fn thread_local_place(self, symbol: &Symbol<'_>) -> Option<ThreadLocal> {
        if symbol.kind != SymbolKind::ThreadLocal || symbol.block().is_none() {
            return None;
        }
        self.known.own.map(|own| own.found_at(symbol.address))
    }

    fn named(self, which: impl Fn(&Symbol<'data>) -> bool + 'a) -> impl Iterator<Item = Export<'a>> {
        let live = move |block: BlockId| self.graph.block(block).live;
        let symbols = self.graph.symbols().iter();
        symbols.filter(move |symbol| which(symbol) && symbol.block().is_none_or(live)).map(move |symbol| Export {
            name: symbol.name,
            address: symbol.address,
            thread_local: self.thread_local_place(symbol),
            size: symbol.size,
            kind: symbol.kind,
            symbol,
        })
    }
}
