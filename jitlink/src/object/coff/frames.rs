//! Call frame information of Windows, once more as `.eh_frame`: what it says goes to unwinders that know no other form.
//!
//! `.pdata` and `.xdata` themselves stay as they are, for code that reads them.

use super::sections::Shape;
use super::{Fate, LE, ObjectError, Reader};
use crate::graph::{BlockId, Content, Edge, EdgeKind, Edges, Prot, Section, SectionFlags, SectionKind, SymbolId};
use crate::pass::eh_frame::record;
use object::SymbolIndex;
use object::pe;
use object::read::coff::{CoffHeader, Symbol as _};
use std::collections::{HashMap, HashSet};

/// One entry of `.pdata`: a function, or a part of one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Where the entry is in its section, in bytes.
    pub(super) offset: u64,
    /// Section and offset of the first byte.
    pub(super) function: (usize, u64),
    /// Offset of the byte after the last one.
    end: u64,
    /// Section and offset of its unwind information.
    info: (usize, u64),
}

/// The edges of a block of records.
#[derive(Debug)]
pub(super) struct Frames {
    block: BlockId,
    edges: Vec<(u32, SymbolId, i64)>,
}

impl Frames {
    pub(super) fn add_edges(self, edges: &mut Edges) {
        edges.begin(self.block, self.edges.len());
        for (offset, target, addend) in self.edges {
            edges.add(Edge { addend, block: self.block, offset, target, kind: EdgeKind::DELTA32 });
        }
        edges.end();
    }
}

/// What the relocations of a section name, by offset.
type Targets = Vec<(u64, (usize, u64))>;

/// Functions are chained to others that were split off earlier; no compiler comes near to this.
const MAX_CHAIN: usize = 32;

impl<'data, Coff: CoffHeader> Reader<'_, 'data, Coff> {
    /// The entries of a section of `.pdata` whose places are all in this object, in order.
    pub(super) fn frame_entries(&self, shape: &Shape<'data>) -> Vec<Entry> {
        let Some(unwind) = self.table.unwind else { return Vec::new() };
        let targets = self.targets(shape);
        let at = |offset: u64| {
            let found = targets.binary_search_by_key(&offset, |(at, _)| *at).ok()?;
            Some(targets[found].1)
        };
        let mut entries = Vec::new();
        for (offset, function) in targets.iter().filter(|(offset, _)| offset % unwind.entry_size == 0) {
            let (end, info) = (at(offset + 4), at(offset + 8));
            if let (Some((section, end)), Some(info)) = (end, info)
                && section == function.0
            {
                entries.push(Entry { offset: *offset, function: *function, end, info });
            }
        }
        entries
    }

    /// Where the relocations of a section lead, of those that lead to sections of this object; sorted.
    fn targets(&self, shape: &Shape<'data>) -> Targets {
        let target = |entry: &pe::ImageRelocation| {
            let offset = u64::from(entry.virtual_address.get(LE));
            let symbol = self.symbols.symbol(SymbolIndex(entry.symbol_table_index.get(LE) as usize)).ok()?;
            let section = self.section_number(symbol).filter(|section| *section < self.shapes.len())?;
            let field = shape.bytes.get(usize::try_from(offset).ok()?..)?.first_chunk()?;
            let value = u64::from(symbol.value()).wrapping_add_signed(i64::from(i32::from_le_bytes(*field)));
            Some((offset, (section, value)))
        };
        let mut targets: Targets = shape.relocations.iter().filter_map(target).collect();
        targets.sort_by_key(|(offset, _)| *offset);
        targets.dedup_by_key(|(offset, _)| *offset);
        targets
    }

    /// Symbols that are named in unwind information and nowhere else. Nobody here calls handlers of exceptions: what throws one wants more than these,
    /// and is told so.
    pub(super) fn find_handlers(&self) -> HashSet<usize> {
        let is_info = |shape: &&Shape<'data>| shape.name == b".xdata" || shape.name.starts_with(b".xdata$");
        let named = |shape: &Shape<'data>| {
            shape.relocations.iter().map(|entry| entry.symbol_table_index.get(LE) as usize).collect::<Vec<_>>()
        };
        let mut handlers: HashSet<usize> = self.shapes.iter().filter(is_info).flat_map(named).collect();
        handlers.retain(|symbol| {
            let symbol = self.symbols.symbol(SymbolIndex(*symbol));
            symbol.is_ok_and(|symbol| symbol.section_number() == pe::IMAGE_SYM_UNDEFINED && symbol.value() == 0)
        });
        let others = if handlers.is_empty() { &[][..] } else { &self.shapes };
        for shape in others.iter().filter(|shape| !is_info(shape)) {
            for entry in shape.relocations {
                handlers.remove(&(entry.symbol_table_index.get(LE) as usize));
            }
        }
        handlers
    }

    /// Makes records of call frames for all functions whose frames can be told.
    pub(super) fn convert_frames(&mut self) -> Result<Option<Frames>, ObjectError> {
        let Some(unwind) = self.table.unwind else { return Ok(None) };
        let mut bytes = Vec::new();
        let mut edges = Vec::new();
        let mut chains: HashMap<usize, Targets> = HashMap::new();
        for section in 1..self.shapes.len() {
            let shape = self.shapes[section];
            if !shape.describes_functions() || !matches!(self.fates[section], Fate::Loaded(_)) {
                continue;
            }
            for entry in self.frame_entries(&shape) {
                let Some(piece) = self.piece_at(entry.function.0, entry.function.1) else { continue };
                let length = entry.end.checked_sub(entry.function.1).and_then(|length| u32::try_from(length).ok());
                let infos = self.chain(entry.info, &mut chains);
                let instructions = infos.and_then(|infos| (unwind.convert)(&infos));
                let (Some(length), Some(instructions)) = (length, instructions) else { continue };
                if bytes.is_empty() {
                    record::write(&mut bytes, 0, unwind.cie);
                }
                let mut body = [0; 9].to_vec();
                body[4..8].copy_from_slice(&length.to_le_bytes());
                body.extend(instructions);
                let start = bytes.len() as u32;
                edges.push((start + 8, piece.symbol, (entry.function.1 - piece.start) as i64));
                record::write(&mut bytes, start + 4, &body);
            }
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        let id = self.graph.add_section(Section {
            name: b".eh_frame",
            object: self.object,
            prot: Prot::READ,
            flags: SectionFlags::empty(),
            kind: SectionKind::EhFrame,
            entry_size: 0,
            group: None,
            linked_to: None,
            number: 0,
        });
        let size = bytes.len() as u64;
        let block = self.graph.add_block(id, Content::Owned(bytes.into_boxed_slice()), size, 4);
        Ok(Some(Frames { block, edges }))
    }

    /// The unwind information at a place, and what it is chained to.
    fn chain(&self, mut info: (usize, u64), chains: &mut HashMap<usize, Targets>) -> Option<Vec<&'data [u8]>> {
        let unwind = self.table.unwind?;
        let mut all = Vec::new();
        while all.len() < MAX_CHAIN {
            let (section, offset) = info;
            let shape = self.shapes.get(section)?;
            let bytes = shape.bytes.get(usize::try_from(offset).ok()?..)?;
            all.push(bytes);
            let Some(next) = (unwind.chained)(bytes) else { return Some(all) };
            let targets = chains.entry(section).or_insert_with(|| self.targets(shape));
            // The third word of the entry there is where its unwind information is.
            let at = offset + next as u64 + 8;
            let found = targets.binary_search_by_key(&at, |(offset, _)| *offset).ok()?;
            info = targets[found].1;
        }
        None
    }
}
