//! What has to be linked together: whatever blocks refer to, except functions, which can wait behind stubs.

use super::frames::Frames;
use super::{Progress, Waiting};
use crate::graph::{BlockId, Definition, Edge, LinkerSymbol, ObjectId, Prot, SectionKind, SymbolId};
use crate::object::ObjectError;
use foldhash::fast::FixedState;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

/// What a reference to a function does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Follow {
    /// It waits behind a stub.
    Nothing,
    /// It is linked: a stub would be of no use, since what refers to it runs by itself, and at once.
    Once,
    /// It is linked, and so is what it calls.
    Calls,
}

/// A block of a portion.
#[derive(Clone, Debug)]
struct Taken {
    calls: bool,
    /// Its edges, once they are read.
    edges: Option<Range<usize>>,
}

/// A portion while it is gathered.
#[derive(Debug)]
pub(super) struct Closure<'w, 'p> {
    pub(super) waiting: &'w Waiting<'w>,
    pub(super) progress: &'p Progress,
    /// The edges of its blocks; their targets are symbols of the waiting graph.
    pub(super) edges: Vec<Edge>,
    /// Functions that may need a stub, in the order in which they were met: many of them may be among the blocks, or have one.
    pub(super) functions: Vec<SymbolId>,
    /// The records of the objects that are touched.
    pub(super) frames: HashMap<ObjectId, Frames>,
    taken: HashMap<BlockId, Taken, FixedState>,
    work: Vec<BlockId>,
}

impl<'w, 'p> Closure<'w, 'p> {
    pub(super) fn new(waiting: &'w Waiting<'w>, progress: &'p Progress) -> Self {
        Self {
            waiting,
            progress,
            edges: Vec::new(),
            functions: Vec::new(),
            frames: HashMap::new(),
            taken: HashMap::default(),
            work: Vec::new(),
        }
    }

    /// The block is to be linked; with `calls`, what it calls as well.
    pub(super) fn block(&mut self, block: BlockId, calls: bool) {
        let is_frames = self.waiting.graph.section_of(block).kind == SectionKind::EhFrame;
        if is_frames || self.progress.address_of(block).is_some() {
            return;
        }
        let taken = self.taken.entry(block).or_insert_with(|| {
            self.work.push(block);
            Taken { calls, edges: None }
        });
        if calls && !taken.calls {
            taken.calls = true;
            self.work.push(block);
        }
    }

    /// The symbol is to be linked, whatever it is.
    pub(super) fn link(&mut self, id: SymbolId) {
        if let Some(block) = self.waiting.graph.symbol(id).block() {
            self.block(block, false);
        }
    }

    /// The symbol is to have an address.
    pub(super) fn offer(&mut self, id: SymbolId) {
        self.symbol(id, Follow::Nothing);
    }

    /// Its blocks, in the order in which they were read, each with its edges.
    pub(super) fn blocks(&self) -> Vec<(BlockId, Range<usize>)> {
        let all = self.taken.iter().map(|(block, taken)| (*block, taken.edges.clone().unwrap_or_default()));
        let mut all: Vec<_> = all.collect();
        all.sort_unstable_by_key(|(block, _)| *block);
        all
    }

    pub(super) fn run(&mut self) -> Result<(), ObjectError> {
        let waiting = self.waiting;
        while let Some(block) = self.work.pop() {
            let section = waiting.graph.section_of(block);
            let edges = self.edges_of(block)?;
            let calls = self.taken.get(&block).is_some_and(|taken| taken.calls);
            let follow = match section.kind {
                _ if calls => Follow::Calls,
                SectionKind::Initializers(_) => Follow::Once,
                _ => Follow::Nothing,
            };
            for at in edges {
                self.symbol(self.edges[at].target, follow);
            }
            if section.prot.contains(Prot::EXEC) {
                if let Entry::Vacant(new) = self.frames.entry(section.object) {
                    new.insert(Frames::read(waiting, section.object)?);
                }
                let kept: Vec<SymbolId> = self.frames[&section.object].references(block).collect();
                kept.into_iter().for_each(|id| self.symbol(id, follow));
            }
            if let Some(group) = section.group {
                let members = waiting.graph.groups()[group.index()].members.iter();
                members.for_each(|member| self.block(*member, calls));
            }
            let start = waiting.dependents.partition_point(|(to, _)| *to < block);
            for (_, dependent) in waiting.dependents[start..].iter().take_while(|(to, _)| *to == block) {
                self.block(*dependent, calls);
            }
        }
        Ok(())
    }

    /// The edges of a block that was taken.
    fn edges_of(&mut self, block: BlockId) -> Result<Range<usize>, ObjectError> {
        if let Some(known) = self.taken.get(&block).and_then(|taken| taken.edges.clone()) {
            return Ok(known);
        }
        let waiting = self.waiting;
        let start = self.edges.len();
        if let Some(reader) = &waiting.objects[waiting.graph.section_of(block).object.index()] {
            reader.edges(&waiting.graph, block, &mut self.edges)?;
        }
        let edges = start..self.edges.len();
        if let Some(taken) = self.taken.get_mut(&block) {
            taken.edges = Some(edges.clone());
        }
        Ok(edges)
    }

    fn symbol(&mut self, id: SymbolId, follow: Follow) {
        let waiting = self.waiting;
        let symbol = waiting.graph.symbol(id);
        match symbol.definition {
            Definition::Block(_) if follow == Follow::Nothing && waiting.is_function(symbol) => {
                self.functions.push(id);
            }
            Definition::Block(block) => {
                let code = waiting.graph.section_of(block).prot.contains(Prot::EXEC);
                self.block(block, code && follow == Follow::Calls);
            }
            Definition::Linker(LinkerSymbol::SectionStart | LinkerSymbol::SectionStop) => {
                waiting.bounds.members(symbol.value).for_each(|member| self.block(member, false));
            }
            _ => {}
        }
    }
}
