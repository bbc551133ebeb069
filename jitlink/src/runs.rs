//! Runs: sections that stand together because of their names, in the order of their names (PE/COFF, "Grouped Sections").
//!
//! **You give** a graph whose live blocks are marked. **You get** the order of its blocks, and where each run begins: what offsets in a section are
//! counted from. **Not here:** which memory a block goes to.

use crate::graph::{BlockId, Content, LinkGraph, Section, SectionFlags, SectionId};
use crate::layout::At;
use std::collections::HashMap;

/// Sections that stand together because of their names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Runs {
    /// By section: its run, if there are any.
    of: Vec<u32>,
    /// By run, while blocks are placed: its number, in the order of places, and where it begins.
    starts: Vec<Option<(u32, At)>>,
    shapes: Vec<Shape>,
    /// Runs that were placed and have bytes.
    count: u32,
}

/// What is known of a run before it is placed.
#[derive(Clone, Copy, Debug, Default)]
struct Shape {
    /// Base-two logarithm of the largest alignment.
    align_log2: u8,
    has_content: bool,
    is_empty: bool,
}

impl Runs {
    const NONE: u32 = u32::MAX;

    /// Those of live blocks of `graph`; `class` says which sections can be beside each other at all.
    pub(crate) fn new(graph: &LinkGraph<'_>, class: impl Fn(&Section<'_>) -> u8) -> Self {
        let mut runs = Self::default();
        if !graph.sections().iter().any(|section| section.flags.contains(SectionFlags::GROUPED)) {
            return runs;
        }
        runs.of = vec![Self::NONE; graph.sections().len()];
        let mut numbers: HashMap<(u8, &[u8]), u32> = HashMap::new();
        for block in graph.blocks().iter().filter(|block| block.live) {
            let section = graph.section(block.section);
            if !section.flags.contains(SectionFlags::GROUPED) {
                continue;
            }
            let next = runs.shapes.len() as u32;
            let key = (class(section), section.group_and_rank().0);
            let number = *numbers.entry(key).or_insert(next);
            if number == next {
                runs.shapes.push(Shape { is_empty: true, ..Shape::default() });
            }
            runs.of[block.section.index()] = number;
            let shape = &mut runs.shapes[number as usize];
            shape.align_log2 = shape.align_log2.max(block.align_log2);
            shape.has_content |= block.content != Content::Zero;
            shape.is_empty &= block.size == 0;
        }
        runs.starts = vec![None; runs.shapes.len()];
        runs
    }

    pub(crate) fn of_section(&self, section: SectionId) -> Option<u32> {
        self.of.get(section.index()).copied().filter(|run| *run != Self::NONE)
    }

    /// Whether a block of zeros stands among blocks with content.
    pub(crate) fn has_content(&self, section: SectionId) -> bool {
        self.of_section(section).is_some_and(|run| self.shapes[run as usize].has_content)
    }

    /// Puts blocks of a run together, in the order of their sections' names; what stands in none comes first.
    pub(crate) fn sort(&self, graph: &LinkGraph<'_>, blocks: &mut [BlockId]) {
        if self.shapes.is_empty() {
            return;
        }
        blocks.sort_by_cached_key(|block| {
            let section = graph.block(*block).section;
            self.of_section(section).map(|run| (run, graph.section(section).group_and_rank().1))
        });
    }

    /// Notes where a block comes to lie that may be the first of its run: what `start` gives for the run's alignment.
    pub(crate) fn begin(&mut self, section: SectionId, start: impl FnOnce(u64) -> At) {
        if let Some(run) = self.of_section(section)
            && self.starts[run as usize].is_none()
        {
            let shape = self.shapes[run as usize];
            self.count += u32::from(!shape.is_empty);
            self.starts[run as usize] = Some((self.count, start(1 << shape.align_log2)));
        }
    }

    /// The run of a section: its number, from 1 in the order of places, and where it begins.
    pub(crate) fn run_of(&self, section: SectionId) -> Option<(u32, At)> {
        self.starts[self.of_section(section)? as usize]
    }
}
