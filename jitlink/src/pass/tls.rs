//! Thread-local storage: which accesses become constants, and which slots the others need.
//!
//! Every access whose variable lies at the same distance from the thread pointer in all threads becomes local-exec, whatever its model
//! was: the linker knows that distance, and one instruction with it is the fastest there is. The others keep their model, with slots
//! that name a module and an offset in it.
//!
//! Slots are set aside before it is known where variables are, and an access that turns out not to need its slot leaves it unused.

use crate::arch::{Expr, TlsModel};
use crate::error::{LinkError, Places};
use crate::graph::{Definition, Edge, LinkGraph, LinkerSymbol, Prot, SectionFlags, Symbol, SymbolId, SymbolKind};
use crate::memory::ThreadLocal;

/// What the slots of one symbol hold.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Shape {
    /// Module and offset: the argument of the function that finds addresses.
    Pair,
    /// Module, and the offset of this link's part of it.
    Module,
    /// Distance from the thread pointer.
    Distance,
    /// Function and argument of a descriptor, and the pair that the argument points at.
    Descriptor,
}

impl Shape {
    fn of(model: TlsModel) -> Option<Self> {
        match model {
            TlsModel::GeneralDynamic => Some(Self::Pair),
            TlsModel::LocalDynamic => Some(Self::Module),
            TlsModel::InitialExec => Some(Self::Distance),
            TlsModel::Descriptor => Some(Self::Descriptor),
            _ => None,
        }
    }

    fn words(self) -> u32 {
        match self {
            Self::Distance => 1,
            Self::Pair | Self::Module => 2,
            Self::Descriptor => 4,
        }
    }
}

/// Slots of thread-local variables: symbol, what is wanted of it, first word. Sorted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots {
    entries: Vec<(SymbolId, Shape, u32)>,
    pub(crate) words: u32,
}

impl Slots {
    /// Room for every one of `edges`, which are accesses of thread-local variables.
    pub(crate) fn new(graph: &LinkGraph<'_>, edges: &[u32]) -> Self {
        let wanted = edges.iter().filter_map(|index| {
            let edge = graph.edges[*index as usize];
            let Expr::Tls(model) = graph.machine().fixup(edge.kind).expr else { return None };
            Some((edge.target, Shape::of(model)?, 0))
        });
        let mut entries: Vec<_> = wanted.collect();
        entries.sort_unstable();
        entries.dedup();
        let mut words = 0;
        for (_, shape, word) in &mut entries {
            *word = words;
            words += shape.words();
        }
        Self { entries, words }
    }

    /// The first word of what an access of `model` reads.
    fn of(&self, symbol: SymbolId, shape: Shape) -> Option<u32> {
        let at = self.entries.binary_search_by_key(&(symbol, shape), |(s, sh, _)| (*s, *sh)).ok()?;
        Some(self.entries[at].2)
    }
}

/// Where thread-local variables are, once that is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// The first byte of this graph's own variables.
    pub(crate) own: Option<ThreadLocal>,
    /// Variables of others, sorted by symbol.
    pub(crate) others: Vec<(SymbolId, ThreadLocal)>,
    /// A function for descriptors whose variable has no constant distance.
    pub(crate) descriptor: Option<u64>,
    /// The slots of accesses that are kept, by edge.
    pub(crate) kept: Vec<(u32, u32)>,
    /// Local-dynamic code counts offsets from the thread pointer, not from the start of the module's block.
    pub(crate) from_thread_pointer: bool,
}

impl Known {
    /// Where `id` is; `None` when it is no thread-local variable that anybody knows.
    pub(crate) fn variable(&self, graph: &LinkGraph<'_>, id: SymbolId) -> Option<ThreadLocal> {
        let symbol = graph.symbol(id);
        match symbol.definition {
            Definition::Block(_) if is_thread_local(graph, symbol) => self.own.map(|own| own.found_at(symbol.address)),
            Definition::Linker(LinkerSymbol::ThreadLocalBase) => {
                if self.from_thread_pointer {
                    return Some(ThreadLocal { module: 0, offset: 0, distance: Some(0) });
                }
                self.own
            }
            _ => {
                let at = self.others.binary_search_by_key(&id, |(symbol, _)| *symbol).ok()?;
                Some(self.others[at].1)
            }
        }
    }

    /// What slots hold: those that no access reads, nothing.
    pub(crate) fn values(&self, graph: &LinkGraph<'_>, slots: &Slots, base: u64) -> Vec<u64> {
        let mut values = vec![0; slots.words as usize];
        let word_size = u64::from(graph.machine().pointer_size);
        let biased = |offset: u64| offset.wrapping_sub(graph.machine().tls.offset_bias);
        for (symbol, shape, word) in self.used(slots) {
            let at = *word as usize;
            let variable = match shape {
                Shape::Module => self.own.or_else(|| self.variable(graph, *symbol)),
                _ => self.variable(graph, *symbol),
            };
            let Some(variable) = variable else { continue };
            match shape {
                Shape::Pair => {
                    values[at] = variable.module;
                    values[at + 1] = biased(variable.offset);
                }
                Shape::Module => {
                    values[at] = variable.module;
                    values[at + 1] = biased(self.own.map_or(0, |own| own.offset));
                }
                Shape::Distance => values[at] = variable.distance.unwrap_or(0) as u64,
                Shape::Descriptor => {
                    values[at] = self.descriptor.unwrap_or(0);
                    values[at + 1] = base + (u64::from(*word) + 2) * word_size;
                    values[at + 2] = variable.module;
                    values[at + 3] = biased(variable.offset);
                }
            }
        }
        values
    }

    /// Slots that some access reads: symbol, what they hold, first word.
    pub(crate) fn used<'a>(&self, slots: &'a Slots) -> impl Iterator<Item = &'a (SymbolId, Shape, u32)> {
        let mut words: Vec<u32> = self.kept.iter().map(|(_, word)| *word).collect();
        words.sort_unstable();
        slots.entries.iter().filter(move |(.., word)| words.binary_search(word).is_ok())
    }

    /// Whether it is a variable of others.
    pub(crate) fn is_others(&self, id: SymbolId) -> bool {
        self.others.binary_search_by_key(&id, |(symbol, _)| *symbol).is_ok()
    }

    /// The first word of the slots that edge number `index` reads.
    pub(crate) fn slot(&self, index: u32) -> Option<u32> {
        let at = self.kept.binary_search_by_key(&index, |(edge, _)| *edge).ok()?;
        Some(self.kept[at].1)
    }
}

/// Whether `symbol` is one that this graph defines in thread-local storage.
pub(crate) fn is_thread_local(graph: &LinkGraph<'_>, symbol: &Symbol<'_>) -> bool {
    symbol.block().is_some_and(|block| graph.section_of(block).flags.contains(SectionFlags::TLS))
}

/// Gives every access its final row.
pub(crate) fn lower(
    graph: &mut LinkGraph<'_>,
    edges: &[u32],
    slots: &Slots,
    known: &mut Known,
    plain: bool,
) -> Result<(), LinkError> {
    let mut lowering = Lowering { graph, known, slots, plain, loaded: Vec::new() };
    let (descriptors, from_thread_pointer) = lowering.survey(edges);
    if lowering.graph.machine().in_pieces {
        lowering.loaded = lowering.loaded_in_pieces(edges);
    }
    lowering.known.from_thread_pointer = from_thread_pointer;
    for index in edges {
        lowering.edge(*index, descriptors)?;
    }
    Ok(())
}

struct Lowering<'a, 'data> {
    graph: &'a mut LinkGraph<'data>,
    known: &'a mut Known,
    slots: &'a Slots,
    plain: bool,
    /// Variables of which some initial-exec access has to stay, and so all of them; sorted.
    loaded: Vec<SymbolId>,
}

impl Lowering<'_, '_> {
    fn model(&self, index: u32) -> Option<TlsModel> {
        match self.graph.machine().fixup(self.graph.edges[index as usize].kind).expr {
            Expr::Tls(model) => Some(model),
            _ => None,
        }
    }

    /// Accesses of which the pieces are apart are rewritten all or none: whether descriptors are, and whether local-dynamic code counts
    /// from the thread pointer.
    fn survey(&self, edges: &[u32]) -> (bool, bool) {
        let own = self.known.own.is_none_or(|own| own.distance.is_some());
        let (mut descriptors, mut local) = (!self.plain, !self.plain && own);
        for index in edges {
            match self.model(*index) {
                Some(TlsModel::Descriptor | TlsModel::DescriptorCall) => descriptors &= self.relaxed(*index).is_some(),
                Some(TlsModel::LocalDynamic) => local &= self.relaxed(*index).is_some(),
                _ => {}
            }
        }
        // A module's base is told by a descriptor or by a pair, and both must tell the same.
        (
            descriptors && (local || !self.has_base_descriptor(edges)),
            local && (descriptors || !self.has_base_descriptor(edges)),
        )
    }

    /// Variables of which some piece of an initial-exec access cannot be rewritten.
    fn loaded_in_pieces(&self, edges: &[u32]) -> Vec<SymbolId> {
        let kept = |index: &&u32| self.model(**index) == Some(TlsModel::InitialExec) && self.relaxed(**index).is_none();
        let mut all: Vec<_> = edges.iter().filter(kept).map(|index| self.graph.edges[*index as usize].target).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn has_base_descriptor(&self, edges: &[u32]) -> bool {
        edges.iter().any(|index| {
            let target = self.graph.edges[*index as usize].target;
            let base = Definition::Linker(LinkerSymbol::ThreadLocalBase);
            self.model(*index) == Some(TlsModel::Descriptor) && self.graph.symbol(target).definition == base
        })
    }

    /// The row of the rewritten access, when the instructions allow it.
    fn relaxed(&self, index: u32) -> Option<crate::graph::EdgeKind> {
        let tls = &self.graph.machine().tls;
        let edge = self.graph.edges[index as usize];
        let content = self.graph.block(edge.block).content.bytes()?;
        (tls.relax)(edge.kind, content, edge.offset, self.call_after(index))
    }

    /// The offset of the edge behind this one, when it names the function that finds addresses. What is of the same access stands between.
    fn call_after(&self, index: u32) -> Option<u32> {
        let graph = &*self.graph;
        let edge = graph.edges[index as usize];
        let rest = graph.edges.get(index as usize + 1..graph.block(edge.block).edge_range().end)?;
        let expr = |edge: &Edge| graph.machine().fixup(edge.kind).expr;
        let next = rest.iter().find(|next| next.target != edge.target || expr(next) != expr(&edge))?;
        self.is_call(next).then_some(next.offset)
    }

    fn is_call(&self, edge: &Edge) -> bool {
        self.graph.symbol(edge.target).name == self.graph.machine().tls.get_address
    }

    fn edge(&mut self, index: u32, descriptors: bool) -> Result<(), LinkError> {
        let Some(model) = self.model(index) else { return Ok(()) };
        let edge = self.graph.edges[index as usize];
        let tls = self.graph.machine().tls;
        let variable = self.known.variable(self.graph, edge.target);
        let constant = variable.is_some_and(|variable| variable.distance.is_some());
        let fail = |why: &str| Err(self.error(index, model, why));
        let kind = match model {
            TlsModel::GeneralDynamic if constant && !self.plain => self.relaxed(index),
            TlsModel::InitialExec if constant && !self.plain && self.loaded.binary_search(&edge.target).is_err() => {
                self.relaxed(index)
            }
            TlsModel::LocalDynamic if self.known.from_thread_pointer => self.relaxed(index),
            TlsModel::Descriptor | TlsModel::DescriptorCall if constant && descriptors => self.relaxed(index),
            TlsModel::ModuleOffset if self.known.from_thread_pointer && self.is_code(index) => {
                if !constant {
                    return fail("which was decided to be at a constant distance from the thread pointer, and is not");
                }
                (tls.constant)(edge.kind)
            }
            TlsModel::LocalExec | TlsModel::VariableKey | TlsModel::VariablePlace if constant => {
                (tls.constant)(edge.kind)
            }
            _ => None,
        };
        if let Some(kind) = kind {
            self.graph.edges[index as usize].kind = kind;
            let next = self.graph.edges.get(index as usize + 1).copied();
            if matches!(model, TlsModel::GeneralDynamic | TlsModel::LocalDynamic)
                && next.is_some_and(|next| next.block == edge.block && self.is_call(&next))
            {
                // The call is part of the sequence.
                self.graph.edges[index as usize + 1].kind = crate::graph::EdgeKind::KEEP_ALIVE;
            }
            return Ok(());
        }
        let Some(variable) = variable.or(self.known.own.filter(|_| model == TlsModel::LocalDynamic)) else {
            return fail("but nobody says where it is: this memory has no thread-local storage");
        };
        match model {
            TlsModel::LocalExec => return fail(DYNAMIC),
            TlsModel::InitialExec if variable.distance.is_none() => return fail(DYNAMIC),
            TlsModel::Descriptor if self.known.descriptor.is_none() => {
                return fail("but the executor has no function for descriptors");
            }
            TlsModel::ModuleOffset if self.known.own.is_some_and(|own| own.module != variable.module) => {
                return fail("but it is in another module than the code that refers to it");
            }
            _ => {}
        }
        let Some(kind) = (tls.keep)(edge.kind) else {
            return fail("which has no place in relocatable objects");
        };
        if let Some(shape) = Shape::of(model)
            && let Some(word) = self.slots.of(edge.target, shape)
        {
            self.known.kept.push((index, word));
        }
        self.graph.edges[index as usize].kind = kind;
        Ok(())
    }

    fn is_code(&self, index: u32) -> bool {
        let block = self.graph.edges[index as usize].block;
        self.graph.section_of(block).prot.contains(Prot::EXEC)
    }

    #[cold]
    fn error(&self, index: u32, model: TlsModel, why: &str) -> LinkError {
        let edge = self.graph.edges[index as usize];
        let symbol = self.graph.symbol(edge.target);
        LinkError::ThreadLocal {
            place: Places::new(self.graph).boxed(edge.block, u64::from(edge.offset)),
            symbol: if symbol.name.is_empty() {
                "a local variable".into()
            } else {
                String::from_utf8_lossy(symbol.name).into_owned()
            },
            model,
            why: why.to_owned(),
        }
    }
}

const DYNAMIC: &str = "which needs it at a constant distance from the thread pointer, but the executor has no static thread-local storage \
                       left for it: compile with -fPIC and without -ftls-model, or give the executor more \
                       (glibc: GLIBC_TUNABLES=glibc.rtld.optional_static_tls=BYTES in its environment)";

/// Remembers that an undefined name is thread-local when only the relocation says so.
pub(crate) fn note(graph: &mut LinkGraph<'_>, id: SymbolId) {
    let symbol = &mut graph.symbols[id.index()];
    if symbol.kind == SymbolKind::Unknown && symbol.definition == Definition::Undefined {
        symbol.kind = SymbolKind::ThreadLocal;
    }
}
