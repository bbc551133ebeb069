//! Relocations become edges.
//!
//! What they say is read along with sections and symbols: a relocation that names a section of literals gets a symbol for the very place that it refers to, since
//! literals move one by one when equal ones are stored once. Edges are made by themselves, as for every format: nothing of the graph is needed any more. A section's
//! relocations stand in any order, mostly from its end to its start; edges stand block by block, so that each section's are sorted.

use super::{Fate, File, LE, Part, Reader, Start};
use crate::graph::{Edge, EdgeKind, Edges, ObjectId, SymbolId, SymbolKind};
use crate::object::{ObjectError, ObjectProblem};
use crate::reloc::Row;
use crate::reloc::mach_o::{Embedded, Form, Meaning};
use object::macho::{self, RelocationInfo};
use object::read::macho::Section as _;

/// The relocations of an object whose sections and symbols are in a graph.
#[derive(Debug)]
pub(crate) struct Relocations<'data> {
    pub(super) file: File<'data>,
    /// Edges of blocks whose bytes the reader made, block by block.
    made: Vec<Edge>,
}

/// What a relocation names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Aim {
    pub(super) symbol: SymbolId,
    /// The symbol's address in the object, where that has it.
    pub(super) address: Option<u64>,
    /// Its section and block.
    pub(super) place: Option<(usize, Start)>,
}

/// One relocation, or two that belong together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) info: RelocationInfo,
    pub(super) meaning: Meaning,
    /// What the address is counted from.
    pub(super) from: Option<Aim>,
    /// The constant that stood before it.
    pub(super) addend: Option<i64>,
}

impl<'data> Relocations<'data> {
    pub(super) fn new(file: File<'data>, made: Vec<Edge>) -> Self {
        Self { file, made }
    }

    pub(crate) fn object(&self) -> ObjectId {
        self.file.object
    }

    /// What the file's tables say their size is, before anybody has looked at them; never more than the file.
    pub(crate) fn bytes(&self) -> u64 {
        let sizes = self.file.parts.iter().map(|part| 8 * u64::from(part.header.nreloc(LE)));
        sizes.fold(0, u64::saturating_add).min(self.file.data.len() as u64)
    }

    pub(crate) fn read(mut self, edges: &mut Edges) {
        match self.all() {
            Err(error) => edges.fail(self.file.object, error),
            Ok(all) => {
                for of_block in all.chunk_by(|a, b| a.block == b.block) {
                    edges.begin(of_block[0].block, of_block.len());
                    of_block.iter().for_each(|edge| edges.add(*edge));
                    edges.end();
                }
            }
        }
    }

    /// Every edge, block by block, in the order of blocks.
    pub(super) fn all(&mut self) -> Result<Vec<Edge>, ObjectError> {
        let mut all = Vec::with_capacity((self.bytes() / 8) as usize + self.made.len());
        for (number, items) in std::mem::take(&mut self.file.items) {
            let content = self.file.content(number)?;
            for item in &items {
                let place = self.file.place(number, item)?;
                self.file.edge(number, item, place, content, &mut all)?;
            }
        }
        all.append(&mut self.made);
        // Mostly in order already.
        all.sort_by_key(|edge| (edge.block, edge.offset));
        Ok(all)
    }
}

impl Reader<'_, '_> {
    /// Reads the relocations of loaded sections, and makes the symbols that they need.
    pub(super) fn read_items(&mut self) -> Result<(), ObjectError> {
        let mut places = Vec::new();
        for number in 0..self.file.parts.len() {
            let Part { header, fate, .. } = self.file.parts[number];
            if fate != Fate::Loaded || header.nreloc(LE) == 0 {
                continue;
            }
            let items = self.file.items(number).map_err(|error| self.named(error))?;
            let content = self.file.content(number).map_err(|error| self.named(error))?;
            let literals = items.iter().filter_map(|item| self.file.literal(number, item, content));
            places.extend(literals);
            self.file.items.push((number, items));
        }
        places.sort_unstable_by_key(|(address, _)| *address);
        places.dedup_by_key(|(address, _)| *address);
        for (address, start) in places {
            let symbol = self.add_place(start.block, address.wrapping_sub(start.address), SymbolKind::Unknown);
            self.file.literals.push((address, symbol));
        }
        Ok(())
    }
}

impl File<'_> {
    /// The place in a section of literals that a relocation refers to without naming a symbol.
    fn literal(&self, number: usize, item: &Item, content: &[u8]) -> Option<(u64, Start)> {
        let info = item.info;
        let part = self.parts.get((info.r_symbolnum as usize).checked_sub(1)?)?;
        if info.r_extern || !part.is_literal() {
            return None;
        }
        let address = self.target(number, item, content)?;
        Some((address, self.start_in(info.r_symbolnum as usize - 1, address)?))
    }

    /// The address in the object that a relocation refers to, which names a section.
    fn target(&self, number: usize, item: &Item, content: &[u8]) -> Option<u64> {
        let at = item.info.r_address;
        match item.meaning {
            Meaning::Row(_, Embedded::Distance { behind }) => {
                let end = (self.parts[number].address() + u64::from(at)).wrapping_add(4 + u64::from(behind));
                Some(end.wrapping_add_signed(held32(content, at)?))
            }
            _ if item.info.r_length == 3 => held64(content, at).map(|held| held as u64),
            _ => held32(content, at).map(|held| u64::from(held as u32)),
        }
    }

    /// The relocations of a section, pairs as one.
    pub(super) fn items(&mut self, number: usize) -> Result<Vec<Item>, ObjectError> {
        let Part { header, .. } = self.parts[number];
        let entries =
            header.relocations(LE, self.data).map_err(|error| self.malformed(number, None, error.to_string()))?;
        self.claim(number, size_of_val(entries) as u64)?;
        let mut items = Vec::with_capacity(entries.len());
        // Of the next relocation: its place, what it is counted from, its constant.
        let mut before: Option<(RelocationInfo, Option<Aim>, Option<i64>)> = None;
        for entry in entries {
            let cpu = macho::CpuType(self.table.cpu_type);
            let info = entry.info(LE);
            let offset = Some(u64::from(info.r_address));
            if entry.r_scattered(LE, cpu) {
                return Err(self.malformed(number, offset, "a scattered relocation, which this machine does not have"));
            }
            let meaning = match self.meaning(number, info)? {
                Meaning::ByInstruction(name, choose) => {
                    let held = self.content(number).ok().and_then(|content| held32(content, info.r_address));
                    let Some(kind) = held.and_then(|held| choose(held as u32)) else {
                        let what = format!("{name} at an instruction that has no such field");
                        return Err(self.malformed(number, offset, what));
                    };
                    Meaning::Row(Row { name, kind }, Embedded::Before)
                }
                meaning => meaning,
            };
            if let Some((first, ..)) = before
                && first.r_address != info.r_address
            {
                let what = format!("the relocation belongs to one that follows it, and {:#x} does", info.r_address);
                return Err(self.malformed(number, Some(first.r_address.into()), what));
            }
            match meaning {
                Meaning::Subtract => {
                    if before.is_some() {
                        return Err(self.malformed(number, offset, "two distances from one place"));
                    }
                    before = Some((info, Some(self.subtracted(number, info)?), None));
                }
                Meaning::Addend => {
                    if before.is_some() {
                        return Err(self.malformed(number, offset, "two constants, or a constant and a distance"));
                    }
                    // Twenty-four bits, signed, in place of a symbol's number.
                    let addend = i64::from((info.r_symbolnum << 8) as i32 >> 8);
                    before = Some((info, None, Some(addend)));
                }
                Meaning::Address(_) | Meaning::Row(..) | Meaning::ByInstruction(..) => {
                    let alike = before.is_none_or(|(first, ..)| first.r_length == info.r_length);
                    let (from, addend) = before.take().map_or((None, None), |(_, from, addend)| (from, addend));
                    let fits = match meaning {
                        Meaning::Address(_) => addend.is_none() && alike,
                        _ => from.is_none(),
                    };
                    if !fits {
                        return Err(self.malformed(
                            number,
                            offset,
                            "a pair of relocations that do not belong together",
                        ));
                    }
                    items.push(Item { info, meaning, from, addend });
                }
            }
        }
        match before {
            None => Ok(items),
            Some((info, ..)) => {
                let what = "the relocation belongs to one that follows it, and none does";
                Err(self.malformed(number, Some(info.r_address.into()), what))
            }
        }
    }

    fn meaning(&self, number: usize, info: RelocationInfo) -> Result<Meaning, ObjectError> {
        let RelocationInfo { r_length, r_pcrel, .. } = info;
        (self.table.lookup)(Form { r_type: info.r_type.0, r_length, r_pcrel }).map_err(|refused| {
            let symbol = if info.r_extern { self.symbol_name(info.r_symbolnum as usize) } else { "a section".into() };
            let problem = ObjectProblem::UnknownRelocation { name: refused.to_string(), symbol };
            self.fail_at(number, Some(info.r_address.into()), problem)
        })
    }

    fn subtracted(&self, number: usize, info: RelocationInfo) -> Result<Aim, ObjectError> {
        if info.r_extern {
            return self.aim_of_symbol(number, info);
        }
        let what = "a distance from a section: assemblers name a symbol";
        Err(self.malformed(number, Some(info.r_address.into()), what))
    }

    /// What a relocation that names a symbol is about.
    fn aim_of_symbol(&self, number: usize, info: RelocationInfo) -> Result<Aim, ObjectError> {
        let index = info.r_symbolnum as usize;
        let Some(symbol) = self.symbol_ids.get(index).copied().flatten() else {
            let what = format!("the relocation names symbol number {index}, which does not exist or is for debuggers");
            return Err(self.malformed(number, Some(info.r_address.into()), what));
        };
        let place = self.symbols.symbols().get(index).and_then(|symbol| self.place_of(symbol));
        let address = place.map(|(_, address)| address);
        let place = place.and_then(|(part, address)| Some((part, self.start_in(part, address)?)));
        Ok(Aim { symbol, address, place })
    }

    /// What a relocation that names a section is about: what lies at `address` there.
    fn aim_in_section(&self, number: usize, info: RelocationInfo, address: u64) -> Result<Aim, ObjectError> {
        let part = (info.r_symbolnum as usize).checked_sub(1);
        if let Ok(at) = self.literals.binary_search_by_key(&address, |(address, _)| *address)
            && let Some(part) = part.filter(|part| self.parts.get(*part).is_some_and(Part::is_literal))
            && let Some(start) = self.start_in(part, address)
        {
            return Ok(Aim { symbol: self.literals[at].1, address: Some(address), place: Some((part, start)) });
        }
        // The address may lie outside of the section that is named: an offset that the compiler computed beforehand. It moves with that section.
        let nearest = |part: usize| {
            let starts = self.starts.get(self.parts.get(part)?.starts.clone())?;
            let at = starts.partition_point(|start| start.address <= address).saturating_sub(1);
            Some((part, *starts.get(at)?))
        };
        let start = part.and_then(nearest);
        match start.or_else(|| self.start_of(address)) {
            Some((part, start)) => {
                Ok(Aim { symbol: start.symbol, address: Some(start.address), place: Some((part, start)) })
            }
            None => {
                let what = format!("the relocation refers to {address:#x}, where nothing is that is loaded");
                Err(self.malformed(number, Some(info.r_address.into()), what))
            }
        }
    }

    /// The block whose bytes a relocation changes.
    fn place(&self, number: usize, item: &Item) -> Result<Start, ObjectError> {
        let part = &self.parts[number];
        let offset = u64::from(item.info.r_address);
        let (Meaning::Address(Row { name, kind }) | Meaning::Row(Row { name, kind }, _)) = item.meaning else {
            return Err(self.malformed(number, Some(offset), "half of a pair"));
        };
        let width = u64::from(self.machine.fixup(kind).field.width());
        if offset + width > part.size() {
            let what = format!("{name} writes beyond the section's {:#x} bytes", part.size());
            return Err(self.malformed(number, Some(offset), what));
        }
        let starts = &self.starts[part.starts.clone()];
        let address = part.address() + offset;
        let at = starts.partition_point(|start| start.address <= address);
        if starts.get(at).is_some_and(|next| address + width > next.address) {
            return Err(self.malformed(number, Some(offset), format!("{name} writes across the start of a symbol")));
        }
        match at.checked_sub(1) {
            Some(at) => Ok(starts[at]),
            None => Err(self.malformed(number, Some(offset), "a relocation in a section without content")),
        }
    }

    /// Makes the edges of one relocation.
    fn edge(
        &self,
        number: usize,
        item: &Item,
        place: Start,
        content: &[u8],
        into: &mut Vec<Edge>,
    ) -> Result<(), ObjectError> {
        let info = item.info;
        let at = info.r_address;
        let address = self.parts[number].address() + u64::from(at);
        let offset = (address - place.address) as u32;
        let edge = |target, kind, addend| Edge { addend, block: place.block, offset, target, kind };
        let malformed = |what: String| self.malformed(number, Some(at.into()), what);
        match item.meaning {
            Meaning::Address(row) => {
                let wide = info.r_length == 3;
                if !info.r_extern && info.r_symbolnum == 0 && item.from.is_none() {
                    // R_ABS: the bytes are right as they are.
                    return Ok(());
                }
                let (aim, addend) = self.aim(number, item, content)?;
                if let Some(from) = item.from {
                    into.push(self.difference(aim, addend, from, place, address, wide).map_err(|why| {
                        let problem =
                            ObjectProblem::UnknownRelocation { name: why.into(), symbol: self.aim_name(info) };
                        self.fail_at(number, Some(at.into()), problem)
                    })?);
                    return Ok(());
                }
                if let Some([key, variable]) = self.descriptor(number, at, wide, aim)
                    && let Some(before) = offset.checked_sub(8)
                {
                    into.push(Edge { offset: before, ..edge(aim.symbol, key, addend) });
                    into.push(edge(aim.symbol, variable, addend));
                    return Ok(());
                }
                into.push(edge(aim.symbol, row.kind, addend));
            }
            Meaning::Row(row, embedded) => {
                let held = || held32(content, at).ok_or_else(|| malformed("a field outside of its section".into()));
                let (before_end, behind, held) = match embedded {
                    Embedded::Distance { behind } => (4, i64::from(behind), held()?),
                    Embedded::Before => (0, 0, item.addend.unwrap_or(0)),
                };
                if info.r_extern {
                    let aim = self.aim_of_symbol(number, info)?;
                    into.push(edge(aim.symbol, row.kind, held - before_end));
                    return Ok(());
                }
                if self.machine.fixup(row.kind).expr.needs_slot() || embedded == Embedded::Before {
                    return Err(malformed(format!("{} names a section; it needs a symbol", row.name)));
                }
                let target = address.wrapping_add_signed(before_end + behind + held);
                let aim = self.aim_in_section(number, info, target)?;
                let within = distance(target, aim.address.unwrap_or(0));
                into.push(edge(aim.symbol, row.kind, within - before_end - behind));
            }
            Meaning::Subtract | Meaning::Addend | Meaning::ByInstruction(..) => {
                return Err(malformed("half of a pair".into()));
            }
        }
        Ok(())
    }

    /// `to + addend - from`: a fixup says that of its own place and one other, so that one of both has to be in the block that is written to.
    pub(super) fn difference(
        &self,
        to: Aim,
        addend: i64,
        from: Aim,
        place: Start,
        address: u64,
        wide: bool,
    ) -> Result<Edge, &'static str> {
        let within = |aim: &Aim| aim.address.filter(|_| aim.place.is_some_and(|(_, start)| start.block == place.block));
        let offset = (address - place.address) as u32;
        let edge = |target, kind, addend| Ok(Edge { addend, block: place.block, offset, target, kind });
        let either = |if_wide, otherwise| if wide { if_wide } else { otherwise };
        if let Some(from) = within(&from) {
            let kind = either(EdgeKind::DELTA64, EdgeKind::DELTA32);
            return edge(to.symbol, kind, addend.wrapping_add(distance(address, from)));
        }
        let to = within(&to).ok_or("a distance between two symbols of which neither is where it is stored")?;
        let kind = either(EdgeKind::NEG_DELTA64, EdgeKind::NEG_DELTA32);
        edge(from.symbol, kind, addend.wrapping_sub(distance(address, to)))
    }

    /// The rows of words of a thread-local variable's descriptor: its third word is said to hold the address of the variable's first content.
    fn descriptor(&self, number: usize, at: u32, wide: bool, aim: Aim) -> Option<[EdgeKind; 2]> {
        const SIZE: u32 = 24;
        const PLACE: u32 = 16;
        let kind = self.parts[number].header.section_type(LE);
        let (part, _) = aim.place.filter(|_| kind == macho::S_THREAD_LOCAL_VARIABLES && wide && at % SIZE == PLACE)?;
        self.parts[part].is_thread_local().then_some(self.table.descriptor)
    }

    fn aim_name(&self, info: RelocationInfo) -> String {
        if info.r_extern {
            self.symbol_name(info.r_symbolnum as usize)
        } else {
            format!("section {}", info.r_symbolnum)
        }
    }

    /// What a relocation names, and the constant that is added to its address.
    pub(super) fn aim(&self, number: usize, item: &Item, content: &[u8]) -> Result<(Aim, i64), ObjectError> {
        let info = item.info;
        let wide = info.r_length == 3;
        let held = if wide { held64(content, info.r_address) } else { held32(content, info.r_address) };
        let what = "a field outside of its section";
        let held = held.ok_or_else(|| self.malformed(number, Some(info.r_address.into()), what))?;
        if info.r_extern {
            return Ok((self.aim_of_symbol(number, info)?, held));
        }
        let target = if wide { held as u64 } else { u64::from(held as u32) };
        let aim = self.aim_in_section(number, info, target)?;
        let addend = distance(target, aim.address.unwrap_or(0));
        Ok((aim, addend))
    }
}

/// From `from` to `to`, modulo 2^64 as all addresses.
pub(super) fn distance(to: u64, from: u64) -> i64 {
    to.wrapping_sub(from) as i64
}

pub(super) fn held64(content: &[u8], at: u32) -> Option<i64> {
    content.get(at as usize..)?.first_chunk().map(|bytes| i64::from_le_bytes(*bytes))
}

/// Four bytes, sign-extended.
pub(super) fn held32(content: &[u8], at: u32) -> Option<i64> {
    content.get(at as usize..)?.first_chunk().map(|bytes| i32::from_le_bytes(*bytes).into())
}
