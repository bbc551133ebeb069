//! Functions that can be redefined: each is reached through a stub, whose slot says which definition is in force.
//!
//! The stubs of a unit are a graph of their own, a unit of their own afterwards, which outlives what they lead to. Everybody who calls
//! the function or takes its address gets the stub, so that pointers to it stay equal whatever it is defined as; calls inside of the unit are
//! direct. A stub that the unit's tracker has from earlier is used again: who has it linked anew decides when its slot is written.

use super::View;
use super::gather::{EARLIER, Gathered};
use crate::error::Error;
use crate::unit::{Role, UnitId, UnitKey};
use jitlink::graph::{
    Content, Definition, Edge, EdgeKind, GlobalDefinition, LinkGraph, Linkage, ObjectId, Prot, Scope, Section,
    SectionFlags, SectionKind, Symbol, SymbolId, SymbolKind,
};
use jitlink::linked::Linked;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// What a function is called, and where it is.
type Named = (Box<[u8]>, SymbolId);

/// The functions of a batch that are behind stubs.
#[derive(Debug, Default)]
pub(super) struct Stubs {
    /// By graph: what they are called, and where they are.
    functions: HashMap<usize, Vec<Named>>,
    /// By graph of stubs: what they are called, in the order of their slots.
    names: HashMap<usize, Vec<Box<[u8]>>>,
    /// The first slot of a graph of stubs.
    slots: HashMap<usize, SymbolId>,
    /// By graph of stubs and symbol that a slot holds: the function's graph and symbol.
    held: HashMap<(usize, SymbolId), (usize, SymbolId)>,
}

/// A function that gets a stub.
struct Function<'f> {
    name: &'f [u8],
    size: u64,
    linkage: Linkage,
    scope: Scope,
    object: ObjectId,
    symbol: SymbolId,
}

/// Detaches the functions of units that are behind stubs, and adds the graphs of stubs that are new.
pub(super) fn put_functions_behind<E>(view: &View<'_, E>, gathered: &mut Vec<Gathered<'_>>) -> Result<Stubs, Error> {
    let mut stubs = Stubs::default();
    for at in 0..gathered.len() {
        let UnitKey { dylib, unit } = gathered[at].key;
        let Some(part) = view.part(dylib) else { continue };
        let Some(known) = part.units.get(unit) else { continue };
        let Role::Behind(new) = known.role else { continue };
        let graph = &mut gathered[at].graph;
        let ids: Vec<SymbolId> = functions(graph).collect();
        let found: Vec<(SymbolId, Function<'_>)> = ids
            .into_iter()
            .map(|id| {
                let Symbol { name, size, linkage, scope, object, .. } = *graph.symbol(id);
                (id, Function { name, size, linkage, scope, object, symbol: id })
            })
            .collect();
        let detached = graph.detach(&found.iter().map(|(id, _)| *id).collect::<Vec<_>>());
        let mut wanted = Vec::new();
        let mut all = Vec::with_capacity(found.len());
        for ((_, mut function), symbol) in found.into_iter().zip(detached) {
            function.symbol = symbol;
            all.push((function.name.into(), symbol));
            let of_tracker = |unit: UnitId| part.units.get(unit).is_some_and(|unit| unit.tracker == known.tracker);
            if !part.find(function.name).is_some_and(|defined| of_tracker(defined.unit)) {
                wanted.push(function);
            }
        }
        stubs.functions.insert(at, all);
        if !wanted.is_empty() {
            let next = gathered.len();
            let graph = stubs.graph(at, next, &gathered[at].graph, &wanted)?;
            let key = UnitKey { dylib, unit: new };
            gathered.push(Gathered {
                key,
                graph,
                linked: 0,
                pulled: HashSet::new(),
                requested: Vec::new(),
                objects: Vec::new(),
                waits: false,
                deferred: Vec::new(),
            });
        }
    }
    Ok(stubs)
}

/// The functions that others may call by name.
fn functions<'g>(graph: &'g LinkGraph<'_>) -> impl Iterator<Item = SymbolId> + 'g {
    let symbols = graph.symbols().iter().enumerate();
    let functions = symbols.filter(|(_, symbol)| {
        symbol.kind == SymbolKind::Function
            && symbol.scope > Scope::Local
            && symbol.block().is_some()
            && graph.object(symbol.object).name != EARLIER
    });
    functions.map(|(index, _)| SymbolId::from_index(index))
}

impl Stubs {
    /// The graph, number `next` of the batch, of stubs for functions of graph number `at`.
    fn graph<'f>(
        &mut self,
        at: usize,
        next: usize,
        from: &LinkGraph<'f>,
        functions: &[Function<'f>],
    ) -> Result<LinkGraph<'f>, Error> {
        let machine = from.machine();
        let mut graph = LinkGraph::new(machine);
        let mut objects: HashMap<ObjectId, ObjectId> = HashMap::new();
        for function in functions {
            // A clash of names is one of the object that defines the function.
            objects
                .entry(function.object)
                .or_insert_with(|| graph.add_object(&from.object(function.object).name, true));
        }
        let object = graph.add_object("<stubs>", true);
        let (code, word) = (machine.stub.code, u64::from(machine.pointer_size));
        let stride = (code.len() as u64).next_multiple_of(machine.stub.align.into());
        let count = functions.len() as u64;
        let mut text = vec![machine.filler; (count * stride) as usize];
        for stub in text.chunks_mut(stride as usize) {
            stub[..code.len()].copy_from_slice(code);
        }
        let text_section = graph.add_section(section(b".text", object, Prot::READ | Prot::EXEC));
        let data_section = graph.add_section(section(b".data", object, Prot::READ | Prot::WRITE));
        let text =
            graph.add_block(text_section, Content::Owned(text.into()), count * stride, machine.stub.align.into());
        // Room for each word, which the pointers fill.
        let slots = Content::Owned(vec![0; (count * word) as usize].into());
        let slots = graph.add_block(data_section, slots, count * word, word);
        let local = |name, definition, kind| Symbol {
            name,
            definition,
            value: 0,
            size: 0,
            address: 0,
            object,
            linkage: Linkage::Strong,
            scope: Scope::Local,
            kind,
            needed: true,
            live: false,
        };
        let first = graph.add_local(local(b"", Definition::Block(slots), SymbolKind::Object));
        let stub_edges = |number: u64| {
            machine.stub.slot_fixups.iter().map(move |(offset, kind, addend)| Edge {
                addend: addend + (number * word) as i64,
                block: text,
                offset: (number * stride) as u32 + offset,
                target: first,
                kind: *kind,
            })
        };
        (0..count).flat_map(stub_edges).for_each(|edge| graph.add_edge(edge));
        for (number, function) in (0u64..).zip(functions) {
            // Somebody else's, as a name of the whole program would be: found by its symbol, not by its name.
            let scope = Scope::Default;
            let target =
                graph.add_local(Symbol { scope, ..local(function.name, Definition::Undefined, SymbolKind::Function) });
            self.held.insert((next, target), (at, function.symbol));
            let offset = (number * word) as u32;
            graph.add_edge(Edge { addend: 0, block: slots, offset, target, kind: EdgeKind::POINTER64 });
            let offered = GlobalDefinition {
                definition: Definition::Block(text),
                value: number * stride,
                size: function.size.min(code.len() as u64),
                linkage: function.linkage,
                scope: function.scope,
                kind: SymbolKind::Function,
                object: objects.get(&function.object).copied().unwrap_or(object),
            };
            let defined = graph.define(function.name, offered);
            defined.map_err(|_| Error::internal("a function has two stubs"))?;
        }
        self.slots.insert(next, first);
        self.names.insert(next, functions.iter().map(|function| function.name.into()).collect());
        Ok(graph)
    }

    /// The function that a slot of graph `at` holds, if the symbol stands for one: its graph and symbol.
    pub(super) fn function(&self, at: usize, symbol: SymbolId) -> Option<(usize, SymbolId)> {
        self.held.get(&(at, symbol)).copied()
    }

    /// Where the functions of graph `at` are, or the slots of its stubs.
    pub(super) fn places<A>(&self, at: usize, linked: &Linked<'_, A>) -> Vec<(Box<[u8]>, u64)> {
        let address = |symbol: SymbolId| linked.graph().symbol(symbol).address;
        let functions = self.functions.get(&at).into_iter().flatten();
        let functions = functions.map(|(name, symbol)| (name.clone(), address(*symbol)));
        let first = self.slots.get(&at).map_or(0, |first| address(*first));
        let word = u64::from(linked.graph().machine().pointer_size);
        let names = self.names.get(&at).into_iter().flatten();
        functions.chain((0u64..).zip(names).map(|(number, name)| (name.clone(), first + number * word))).collect()
    }

    /// The addresses of the slots of graph `at`.
    pub(super) fn slots<A>(&self, at: usize, linked: &Linked<'_, A>) -> Range<u64> {
        let (Some(first), Some(names)) = (self.slots.get(&at), self.names.get(&at)) else { return 0..0 };
        let first = linked.graph().symbol(*first).address;
        first..first + names.len() as u64 * u64::from(linked.graph().machine().pointer_size)
    }
}

fn section(name: &'static [u8], object: ObjectId, prot: Prot) -> Section<'static> {
    // Kept whole: the place of a slot follows from its number.
    let flags = SectionFlags::RETAIN;
    Section {
        name,
        object,
        prot,
        flags,
        kind: SectionKind::Regular,
        entry_size: 0,
        group: None,
        linked_to: None,
        number: 0,
    }
}
