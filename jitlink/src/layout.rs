//! Layout: every live block, table and stub gets a segment and an offset in it.
//!
//! Segments are few (code, read-only, data, and the same again for what may lie far away), blocks keep the order in which they
//! were read, zero-filled ones come last in their segment so that nothing of them is ever written, and sections with
//! `__start_`/`__stop_` bounds stand together. Equal inputs give equal layouts.

use crate::graph::{BlockId, Content, Definition, LinkGraph, LinkerSymbol, Prot, Section, SectionFlags};
use crate::islands::{self, Island};
use crate::memory::Segment;
use crate::pass::prune::Bounds;
use crate::pass::tables::Tables;
use crate::runs::Runs;

/// The segment that a block goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    Text,
    ReadOnly,
    Data,
    FarText,
    FarReadOnly,
    FarData,
}

const CLASSES: [(Class, Prot, bool); 6] = [
    (Class::Text, Prot::READ.union(Prot::EXEC), false),
    (Class::ReadOnly, Prot::READ, false),
    (Class::Data, Prot::READ.union(Prot::WRITE), false),
    (Class::FarText, Prot::READ.union(Prot::EXEC), true),
    (Class::FarReadOnly, Prot::READ, true),
    (Class::FarData, Prot::READ.union(Prot::WRITE), true),
];

/// A place in a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct At {
    pub(crate) segment: u8,
    pub(crate) offset: u64,
}

/// Everything's place, relative to its segment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layout {
    pub(crate) segments: Vec<Segment>,
    /// Live blocks with content or without, segment by segment, by ascending offset.
    pub(crate) blocks: Vec<(BlockId, At)>,
    pub(crate) header: Option<At>,
    pub(crate) slots: At,
    pub(crate) stub_slots: At,
    pub(crate) indirect_slots: At,
    pub(crate) thread_local_slots: At,
    /// What the storage of each thread begins with.
    pub(crate) image: Option<Image>,
    /// Thread-local blocks, with the offset in each thread's storage.
    pub(crate) thread_local: Vec<(BlockId, u64)>,
    pub(crate) stubs: At,
    pub(crate) stub_size: u64,
    /// Runs of sections, if any stand together.
    pub(crate) runs: Runs,
    /// What helps branches that do not reach far enough.
    pub(crate) islands: Vec<Island>,
}

/// Thread-local storage, and where its content is to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Image {
    pub(crate) at: At,
    pub(crate) content_size: u64,
    pub(crate) size: u64,
    pub(crate) align: u64,
}

/// The header of a dylib: an ELF file header with no program and no sections, what `__ehdr_start` is expected to point at.
pub(crate) const HEADER_SIZE: u64 = 64;

fn class_of(section: &Section<'_>) -> Class {
    class(section.prot, section.flags.contains(SectionFlags::LARGE))
}

fn class(prot: Prot, far: bool) -> Class {
    if prot.contains(Prot::EXEC) {
        if far { Class::FarText } else { Class::Text }
    } else if prot.contains(Prot::WRITE) {
        if far { Class::FarData } else { Class::Data }
    } else if far {
        Class::FarReadOnly
    } else {
        Class::ReadOnly
    }
}

/// One class while it is filled.
#[derive(Default)]
struct Fill {
    content: Vec<BlockId>,
    bounded: Vec<BlockId>,
    zero: Vec<BlockId>,
    size: u64,
    align: u64,
}

impl Fill {
    fn take(&mut self, size: u64, align: u64) -> u64 {
        // What is too large for any memory is for the memory to refuse.
        let offset = self.size.checked_next_multiple_of(align).unwrap_or(u64::MAX);
        self.align = self.align.max(align);
        self.size = offset.saturating_add(size);
        offset
    }
}

pub(crate) fn compute(graph: &mut LinkGraph<'_>, tables: &mut Tables, wants_header: bool) -> Layout {
    let mut fills: [Fill; 6] = Default::default();
    let bounds = Bounds::new(graph);
    let bounded = sort_bounded(graph, &bounds, &mut fills);
    let mut runs = Runs::new(graph, |section| class_of(section) as u8);
    let mut thread_local = Fill::default();
    for (index, block) in graph.blocks.iter().enumerate() {
        if !block.live || bounded.binary_search(&BlockId::from_index(index)).is_ok() {
            continue;
        }
        if graph.section(block.section).flags.contains(SectionFlags::TLS) {
            let list = if block.content == Content::Zero { &mut thread_local.zero } else { &mut thread_local.content };
            list.push(BlockId::from_index(index));
            continue;
        }
        let fill = &mut fills[class_of(graph.section(block.section)) as usize];
        let is_zero = block.content == Content::Zero && !runs.has_content(block.section);
        let list = if is_zero { &mut fill.zero } else { &mut fill.content };
        list.push(BlockId::from_index(index));
    }

    for fill in &mut fills {
        runs.sort(graph, &mut fill.content);
        runs.sort(graph, &mut fill.zero);
    }

    let machine = graph.machine();
    let word = u64::from(machine.pointer_size);
    let stub_align = u64::from(machine.stub.align);
    let stub_size = (machine.stub.code.len() as u64).next_multiple_of(stub_align);
    let stub_count = (tables.stubs.symbols.len() + tables.indirect.symbols.len()) as u64;
    let header = wants_header && names_header(graph);

    let mut layout = Layout { stub_size, ..Layout::default() };
    let stub_bytes = stub_count * stub_size;
    let text = &fills[Class::Text as usize];
    // Behind the code, as other linkers have them; before it where some of it may not reach the end.
    let stubs_first = islands::may_be(graph, stub_bytes, &text.content, &text.bounded);
    for (class, first) in [(Class::Text, stub_bytes), (Class::FarText, 0)] {
        let Fill { content, bounded, .. } = &mut fills[class as usize];
        layout.islands.extend(islands::insert(graph, tables, first, content, bounded));
    }
    let mut stubs = 0;
    if stub_count > 0 && stubs_first {
        stubs = fills[Class::Text as usize].take(stub_bytes, stub_align);
    }
    let read_only = &mut fills[Class::ReadOnly as usize];
    let header_at = header.then(|| read_only.take(HEADER_SIZE + u64::from(machine.pointer_size), 16));
    let slot_count = tables.slots.symbols.len() as u64;
    // The base of the table needs an address even when nothing is in it.
    let slot_words = slot_count.max(u64::from(tables.got_base || names_got(graph)));
    let slots = if slot_words > 0 { read_only.take(slot_words * word, word) } else { 0 };
    let stub_slot_count = tables.stubs.symbols.len() as u64;
    let thread_local_words = u64::from(tables.thread_local_slots.words);
    let thread_local_slots = if thread_local_words > 0 { read_only.take(thread_local_words * word, word) } else { 0 };
    let stub_slots = if stub_slot_count > 0 { read_only.take(stub_slot_count * word, word) } else { 0 };
    let image = thread_local_image(graph, thread_local, read_only, &mut layout.thread_local);
    let data = &mut fills[Class::Data as usize];
    let indirect_count = tables.indirect.symbols.len() as u64;
    let indirect_slots = if indirect_count > 0 { data.take(indirect_count * word, word) } else { 0 };

    let mut numbers = [0u8; 6];
    layout.blocks.reserve(fills.iter().map(|f| f.content.len() + f.bounded.len() + f.zero.len()).sum());
    for (class, prot, far) in CLASSES {
        let fill = &mut fills[class as usize];
        let segment = layout.segments.len() as u8;
        numbers[class as usize] = segment;
        if class == Class::ReadOnly
            && let Some(image) = &image
        {
            let content = layout.thread_local.iter().filter(|(block, _)| graph.block(*block).content != Content::Zero);
            layout.blocks.extend(
                content
                    .map(|(block, offset)| (*block, At { segment, offset: image.at.offset.saturating_add(*offset) })),
            );
        }
        let mut place = |fill: &mut Fill, list: Vec<BlockId>| {
            for block in list {
                let shape = graph.block(block);
                runs.begin(shape.section, |align| At { segment, offset: fill.take(0, align) });
                let offset = fill.take(shape.size, shape.align());
                layout.blocks.push((block, At { segment, offset }));
            }
        };
        let (content, bounded, zero) =
            (std::mem::take(&mut fill.content), std::mem::take(&mut fill.bounded), std::mem::take(&mut fill.zero));
        let stubs_here = class == Class::Text && stub_count > 0 && !stubs_first;
        let any = fill.size > 0 || stubs_here || !content.is_empty() || !bounded.is_empty() || !zero.is_empty();
        place(fill, content);
        place(fill, bounded);
        if stubs_here {
            stubs = fill.take(stub_bytes, stub_align);
        }
        let content_size = fill.size;
        place(fill, zero);
        if any {
            // Even a segment of empty blocks needs an address for the symbols in them.
            let size = fill.size.max(1);
            layout.segments.push(Segment { prot, align: fill.align.max(1), size, content_size, far });
        }
    }
    layout.runs = runs;
    let at = |class: Class, offset| At { segment: numbers[class as usize], offset };
    layout.header = header_at.map(|offset| at(Class::ReadOnly, offset));
    layout.slots = at(Class::ReadOnly, slots);
    layout.stub_slots = at(Class::ReadOnly, stub_slots);
    layout.indirect_slots = at(Class::Data, indirect_slots);
    layout.stubs = at(Class::Text, stubs);
    layout.thread_local_slots = at(Class::ReadOnly, thread_local_slots);
    layout.image = image.map(|image| Image { at: at(Class::ReadOnly, image.at.offset), ..image });
    layout
}

/// Gives every thread-local block its offset in a thread's storage, and what has content a place to be read from.
fn thread_local_image(
    graph: &LinkGraph<'_>,
    mut fill: Fill,
    read_only: &mut Fill,
    blocks: &mut Vec<(BlockId, u64)>,
) -> Option<Image> {
    let (content, zero) = (std::mem::take(&mut fill.content), std::mem::take(&mut fill.zero));
    if content.is_empty() && zero.is_empty() {
        return None;
    }
    for block in content {
        blocks.push((block, fill.take(graph.block(block).size, graph.block(block).align())));
    }
    let content_size = fill.size;
    for block in zero {
        blocks.push((block, fill.take(graph.block(block).size, graph.block(block).align())));
    }
    let align = fill.align.max(1);
    let offset = read_only.take(content_size, align);
    Some(Image { at: At { segment: 0, offset }, content_size, size: fill.size, align })
}

fn names_header(graph: &LinkGraph<'_>) -> bool {
    let named = LinkerSymbol::HEADER_NAMES.iter().filter_map(|name| graph.find(name));
    named.map(|id| graph.symbol(id)).any(|s| s.live && s.definition == Definition::Linker(LinkerSymbol::Header))
}

fn names_got(graph: &LinkGraph<'_>) -> bool {
    graph.find(b"_GLOBAL_OFFSET_TABLE_").is_some_and(|id| graph.symbol(id).live)
}

/// Puts live blocks with bounds beside others of their name, in one class for each name: one that allows what each of them needs
/// (pruning refuses code and variables under one name), and near if one of them must be. Gives the blocks, sorted.
fn sort_bounded(graph: &LinkGraph<'_>, bounds: &Bounds, fills: &mut [Fill; 6]) -> Vec<BlockId> {
    let live: Vec<(u32, BlockId)> = bounds.iter().filter(|(_, block)| graph.block(*block).live).collect();
    for of_name in live.chunk_by(|a, b| a.0 == b.0) {
        let sections = of_name.iter().map(|(_, block)| graph.section_of(*block));
        let prot = sections.clone().fold(Prot::READ, |prot, section| prot | section.prot);
        let far = sections.clone().all(|section| section.flags.contains(SectionFlags::LARGE));
        let class = class(prot, far);
        fills[class as usize].bounded.extend(of_name.iter().map(|(_, block)| *block));
    }
    let mut blocks: Vec<_> = live.into_iter().map(|(_, block)| block).collect();
    blocks.sort_unstable();
    blocks
}
