//! Pruning: what roots reach stays, the rest is as if it had never been read.
//!
//! Roots are the names that the client wants, everything that runs by itself (initializers and finalizers), what asks to be kept
//! (`SHF_GNU_RETAIN`), and as many of the exported definitions as the client says. A function keeps its language-specific data
//! and personality through its call frame information; a member of a group keeps the group; `__start_X` keeps every X.
//!
//! One work list, no recursion: a chain of a million objects is as good as any.

use super::eh_frame::EhFrames;
use crate::error::LinkError;
use crate::graph::{
    BlockId, Content, Definition, LinkGraph, LinkerSymbol, Prot, Rare, SectionFlags, SectionKind, SymbolId, SymbolKind,
};

/// How many of the exported definitions are roots.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Keep {
    /// All: what a shared library does.
    #[default]
    Exported,
    /// Those of the objects that a user named, not of archive members: a program that looks up its own names.
    ExplicitlyExported,
    /// None: what an executable does under `--gc-sections`.
    Named,
}

/// Where marking starts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Roots<'a> {
    /// Names that must be defined, and are kept.
    pub required: &'a [&'a [u8]],
    /// Names that are kept where this graph defines them.
    pub wanted: &'a [&'a [u8]],
    /// What else is kept.
    pub keep: Keep,
}

/// Marks what the roots reach, and lets the call frame information tell what it keeps.
pub(crate) fn mark(graph: &mut LinkGraph<'_>, roots: &Roots<'_>, eh_frames: &EhFrames) -> Result<(), LinkError> {
    for block in &mut graph.blocks {
        block.live = false;
    }
    let bounds = Bounds::new(graph);
    let mut marker = Marker {
        dependents: link_order_dependents(graph),
        bounds: &bounds,
        eh_frames,
        groups: vec![false; graph.groups.all.len()],
        work: Vec::new(),
        kept: Vec::new(),
        graph,
    };
    marker.roots(roots)?;
    marker.run();
    settle_bounds(graph, &bounds);
    check_bounds(graph, &bounds)
}

/// Gives every common symbol its zero-filled block.
pub(crate) fn allocate_commons(graph: &mut LinkGraph<'_>) {
    if !graph.rare.contains(Rare::COMMON) {
        return;
    }
    let (mut ordinary, mut thread_local) = (None, None);
    for index in 0..graph.symbols.len() {
        let symbol = &graph.symbols[index];
        if symbol.definition != Definition::Common {
            continue;
        }
        let (size, align) = (symbol.size, symbol.value.max(1).checked_next_power_of_two().unwrap_or(1));
        let flags = if symbol.kind == SymbolKind::ThreadLocal { SectionFlags::TLS } else { SectionFlags::empty() };
        let section = if flags.is_empty() { &mut ordinary } else { &mut thread_local };
        let section = *section.get_or_insert_with(|| {
            let section = graph.add_linker_section(b"COMMON", Prot::READ | Prot::WRITE, SectionKind::Regular);
            graph.sections[section.index()].flags = flags;
            section
        });
        let block = graph.add_block(section, Content::Zero, size, align);
        let symbol = &mut graph.symbols[index];
        symbol.definition = Definition::Block(block);
        symbol.value = 0;
    }
}

/// The sections X of which somebody asked `__start_X` or `__stop_X`, by the number of X.
#[derive(Debug)]
pub(crate) struct Bounds {
    /// Number of X and block, sorted.
    members: Vec<(u32, BlockId)>,
}

impl Bounds {
    pub(crate) fn new(graph: &LinkGraph<'_>) -> Self {
        let mut members = Vec::new();
        if !graph.bounds.is_empty() {
            for (index, block) in graph.blocks.iter().enumerate() {
                let section = graph.section(block.section);
                if !section.has_bounds() {
                    continue;
                }
                if let Some(number) = graph.bounds.find(section.name) {
                    members.push((number, BlockId::from_index(index)));
                }
            }
            members.sort_unstable();
        }
        Self { members }
    }

    /// The blocks of section number `number`, in order.
    pub(crate) fn members(&self, number: u64) -> impl Iterator<Item = BlockId> + '_ {
        let start = self.members.partition_point(|(n, _)| u64::from(*n) < number);
        self.members[start..].iter().take_while(move |(n, _)| u64::from(*n) == number).map(|(_, block)| *block)
    }

    /// All blocks with bounds, with the number of their name, ordered by it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, BlockId)> + '_ {
        self.members.iter().copied()
    }
}

/// `(linked-to block, block that shares its fate)`, sorted.
pub(crate) fn link_order_dependents(graph: &LinkGraph<'_>) -> Vec<(BlockId, BlockId)> {
    let mut dependents: Vec<_> = graph
        .blocks
        .iter()
        .enumerate()
        .filter_map(|(index, block)| {
            let section = graph.section(block.section);
            let linked = section.linked_to.filter(|_| section.flags.contains(SectionFlags::LINK_ORDER));
            linked.map(|to| (to, BlockId::from_index(index)))
        })
        .collect();
    dependents.sort_unstable();
    dependents
}

/// A name X that no section of this graph has is defined by nobody here.
fn settle_bounds(graph: &mut LinkGraph<'_>, bounds: &Bounds) {
    if graph.bounds.is_empty() {
        return;
    }
    for symbol in &mut graph.symbols {
        if let Definition::Linker(LinkerSymbol::SectionStart | LinkerSymbol::SectionStop) = symbol.definition
            && bounds.members(symbol.value).next().is_none()
        {
            symbol.definition = Definition::Undefined;
        }
    }
}

/// Sections between `__start_X` and `__stop_X` stand together, and no memory is writable and executable at once.
fn check_bounds(graph: &LinkGraph<'_>, bounds: &Bounds) -> Result<(), LinkError> {
    let live: Vec<_> = bounds.iter().filter(|(_, block)| graph.block(*block).live).collect();
    for of_name in live.chunk_by(|a, b| a.0 == b.0) {
        let with = |prot| of_name.iter().find(|(_, block)| graph.section_of(*block).prot.contains(prot));
        if let (Some((number, code)), Some((_, data))) = (with(Prot::EXEC), with(Prot::WRITE)) {
            let object = |block: &BlockId| graph.object(graph.section_of(*block).object).name.clone();
            return Err(LinkError::MixedSections {
                section: String::from_utf8_lossy(graph.bounds.name(*number)).into_owned(),
                code: object(code),
                data: object(data),
            });
        }
    }
    Ok(())
}

struct Marker<'a, 'data> {
    graph: &'a mut LinkGraph<'data>,
    eh_frames: &'a EhFrames,
    bounds: &'a Bounds,
    dependents: Vec<(BlockId, BlockId)>,
    /// By group: its members are all live.
    groups: Vec<bool>,
    work: Vec<BlockId>,
    /// What the call frame information of one function keeps; here to be allocated once.
    kept: Vec<SymbolId>,
}

impl Marker<'_, '_> {
    fn roots(&mut self, roots: &Roots<'_>) -> Result<(), LinkError> {
        for name in roots.required {
            let root = self.graph.find(name).filter(|id| self.graph.symbol(*id).is_defined());
            let Some(root) = root else {
                return Err(LinkError::NoRoot(String::from_utf8_lossy(name).into_owned()));
            };
            self.symbol(root);
        }
        for name in roots.wanted {
            if let Some(root) = self.graph.find(name).filter(|id| self.graph.symbol(*id).is_defined()) {
                self.symbol(root);
            }
        }
        for index in 0..self.graph.blocks.len() {
            let section = self.graph.section(self.graph.blocks[index].section);
            let runs_by_itself = matches!(section.kind, SectionKind::Initializers(_));
            // A section that depends on another one is no root even if it asks to be retained.
            if runs_by_itself || section.flags.contains(SectionFlags::RETAIN) {
                self.block(BlockId::from_index(index));
            }
        }
        for index in 0..self.graph.kept.len() {
            self.symbol(self.graph.kept[index]);
        }
        if roots.keep != Keep::Named {
            for index in 0..self.graph.symbols.len() {
                let symbol = &self.graph.symbols[index];
                let kept = roots.keep == Keep::Exported || self.graph.object(symbol.object).explicit;
                if kept && symbol.is_exported() {
                    self.symbol(SymbolId::from_index(index));
                }
            }
        }
        Ok(())
    }

    fn run(&mut self) {
        while let Some(block) = self.work.pop() {
            for index in self.graph.block(block).edge_range() {
                self.symbol(self.graph.edges[index].target);
            }
            let mut kept = std::mem::take(&mut self.kept);
            kept.extend(self.eh_frames.references(self.graph, block).map(|edge| edge.target));
            for target in kept.drain(..) {
                self.symbol(target);
            }
            self.kept = kept;
            if let Some(group) = self.graph.section_of(block).group
                && !std::mem::replace(&mut self.groups[group.index()], true)
            {
                for index in 0..self.graph.groups.all[group.index()].members.len() {
                    self.block(self.graph.groups.all[group.index()].members[index]);
                }
            }
            let start = self.dependents.partition_point(|(to, _)| *to < block);
            for index in start..self.dependents.len() {
                let (to, dependent) = self.dependents[index];
                if to != block {
                    break;
                }
                self.block(dependent);
            }
        }
    }

    #[inline]
    fn symbol(&mut self, id: SymbolId) {
        let symbol = &mut self.graph.symbols[id.index()];
        if symbol.live {
            return;
        }
        symbol.live = true;
        match symbol.definition {
            Definition::Block(block) => self.block(block),
            Definition::Linker(LinkerSymbol::SectionStart | LinkerSymbol::SectionStop) => {
                let (bounds, number) = (self.bounds, symbol.value);
                for member in bounds.members(number) {
                    self.block(member);
                }
            }
            _ => {}
        }
    }

    #[inline]
    fn block(&mut self, id: BlockId) {
        let block = &mut self.graph.blocks[id.index()];
        if !block.live {
            block.live = true;
            self.work.push(id);
        }
    }
}
