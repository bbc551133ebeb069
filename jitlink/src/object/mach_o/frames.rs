//! Call frame information, and other sections whose bytes are made anew.
//!
//! Records hold distances that the assembler knew without relocations, or pairs of relocations that say no more; either way the field holds, or is made to
//! hold, the distance between two places of the object. It becomes a relocation here, to the block that it points at.

use super::relocations::{distance, held32, held64};
use super::sections::Shape;
use super::{Fate, Reader, Start};
use crate::graph::{Content, Edge, EdgeKind, InitKind, Prot, SectionFlags, SectionKind, SymbolId};
use crate::object::ObjectError;
use crate::pass::eh_frame::{Distance, distances};
use crate::reloc::mach_o::{Embedded, Meaning};

/// A relocation of bytes that are not in the graph yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fixed {
    pub(super) offset: u32,
    pub(super) target: SymbolId,
    pub(super) addend: i64,
    pub(super) kind: EdgeKind,
    /// What it points at, where that is in the object.
    pub(super) address: Option<u64>,
}

impl Reader<'_, '_> {
    pub(super) fn read_frames(&mut self) -> Result<(), ObjectError> {
        let mut described = Vec::new();
        let of = |reader: &Self, fate| {
            let parts = reader.file.parts.iter().enumerate();
            parts.filter(|(_, part)| part.fate == fate).map(|(number, _)| number).collect::<Vec<_>>()
        };
        for number in of(self, Fate::Frames) {
            self.read_eh_frame(number, &mut described)?;
        }
        described.sort_unstable();
        for number in of(self, Fate::Unwind) {
            self.read_unwind(number, &described)?;
        }
        for number in of(self, Fate::Offsets) {
            self.read_offsets(number)?;
        }
        Ok(())
    }

    /// Adds a block of bytes that are as `fixes` say, sorted by offset.
    pub(super) fn add_made(&mut self, number: usize, shape: Shape, bytes: Vec<u8>, align: u64, fixes: &[Fixed]) {
        let size = bytes.len() as u64;
        let section = self.add_section(number, shape);
        let block = self.graph.add_block(section, Content::Owned(bytes.into()), size, align);
        self.made.extend(fixes.iter().map(|fixed| {
            let Fixed { offset, target, addend, kind, .. } = *fixed;
            Edge { addend, block, offset, target, kind }
        }));
    }

    /// Reads a table of records; `described` gets the addresses of the functions that they are about.
    fn read_eh_frame(&mut self, number: usize, described: &mut Vec<u64>) -> Result<(), ObjectError> {
        let content = self.content(number)?;
        let mut bytes = content.to_vec();
        let mut fixes = self.relocated(number, content, &mut bytes).map_err(|error| self.named(error))?;
        fixes.sort_by_key(|fixed| fixed.offset);
        let pointer = self.file.machine.pointer_size;
        let found = distances(&bytes, pointer).map_err(|(record, problem)| {
            self.malformed(number, Some(record as u64), format!("damaged call frame information: {problem}"))
        })?;
        let relocated = fixes.len();
        for one in found {
            let known = fixes[..relocated].binary_search_by_key(&(one.offset as u32), |fixed| fixed.offset);
            let fixed = match known {
                Ok(at) => Some(fixes[at]),
                Err(_) => self.held(number, &bytes, one)?,
            };
            let Some(fixed) = fixed else { continue };
            if one.code {
                described.extend(fixed.address);
            }
            if known.is_err() {
                fixes.push(fixed);
            }
        }
        fixes.sort_by_key(|fixed| fixed.offset);
        let shape = Shape { prot: Prot::READ, kind: SectionKind::EhFrame, ..Shape::default() };
        let align = u64::from(pointer);
        self.add_made(number, shape, bytes, align, &fixes);
        Ok(())
    }

    /// Goes through a table's relocations: distances within the object are written to `bytes`, the others are given.
    fn relocated(&mut self, number: usize, content: &[u8], bytes: &mut [u8]) -> Result<Vec<Fixed>, ObjectError> {
        let mut fixes = Vec::new();
        let items = self.file.items(number)?;
        let file = &self.file;
        let base = file.parts[number].address();
        for item in items {
            let info = item.info;
            let offset = info.r_address;
            let malformed = |what: &str| file.malformed(number, Some(offset.into()), what);
            match item.meaning {
                Meaning::Address(row) => {
                    let wide = info.r_length == 3;
                    let (to, addend) = file.aim(number, &item, content)?;
                    let target = to.address.map(|address| address.wrapping_add_signed(addend));
                    let Some(from) = item.from else {
                        // What it refers to is in the object, or somebody else's.
                        let own = to.address.zip(to.place);
                        let own = own
                            .map(|(at, (_, start))| (start.symbol, addend.wrapping_add(distance(at, start.address))));
                        let (symbol, addend) = own.unwrap_or((to.symbol, addend));
                        fixes.push(Fixed { offset, target: symbol, addend, kind: row.kind, address: target });
                        continue;
                    };
                    let Some(from) = from.address else {
                        return Err(malformed("a distance from what is not in the object"));
                    };
                    match target {
                        Some(target) => {
                            let value = distance(target, from);
                            let width = if wide { 8 } else { 4 };
                            let field = bytes.get_mut(offset as usize..).and_then(|rest| rest.get_mut(..width));
                            let field = field.ok_or_else(|| malformed("a field outside of its section"))?;
                            field.copy_from_slice(&value.to_le_bytes()[..width]);
                        }
                        None => {
                            let kind = if wide { EdgeKind::DELTA64 } else { EdgeKind::DELTA32 };
                            let addend = addend.wrapping_add(distance(base + u64::from(offset), from));
                            fixes.push(Fixed { offset, target: to.symbol, addend, kind, address: None });
                        }
                    }
                }
                Meaning::Row(row, embedded) if info.r_extern => {
                    let (to, held) = file.aim(number, &item, content)?;
                    let addend = match embedded {
                        Embedded::Distance { .. } => held - 4,
                        Embedded::Before => item.addend.unwrap_or(0),
                    };
                    fixes.push(Fixed { offset, target: to.symbol, addend, kind: row.kind, address: None });
                }
                _ => return Err(malformed("a relocation that names a section")),
            }
        }
        Ok(fixes)
    }

    /// The relocation that a distance in the bytes stands for; none where it says that there is nothing.
    fn held(&self, number: usize, bytes: &[u8], one: Distance) -> Result<Option<Fixed>, ObjectError> {
        const RELATIVE: u8 = 0x10;
        let malformed = |what: String| self.malformed(number, Some(one.record as u64), what);
        let offset = one.offset as u32;
        let (value, wide) = match one.encoding & 0x0f {
            0x0 | 0x4 | 0xc => (held64(bytes, offset), true),
            0x3 | 0xb => (held32(bytes, offset), false),
            _ => {
                return Err(malformed(format!(
                    "addresses are written in encoding {:#04x}, which objects do not use",
                    one.encoding
                )));
            }
        };
        let value = value.ok_or_else(|| malformed("a record that ends inside of a field".into()))?;
        if value == 0 && !one.code {
            return Ok(None);
        }
        let base = self.file.parts[number].address();
        let (target, kind) = match (one.encoding & 0xf0, wide) {
            (RELATIVE, wide) => {
                let kind = if wide { EdgeKind::DELTA64 } else { EdgeKind::DELTA32 };
                ((base + u64::from(offset)).wrapping_add_signed(value), kind)
            }
            (0, true) => (value as u64, EdgeKind::POINTER64),
            _ => {
                return Err(malformed(format!(
                    "addresses are written in encoding {:#04x}, and have no relocation",
                    one.encoding
                )));
            }
        };
        let Some((_, Start { address, symbol, .. })) = self.file.start_of(target) else {
            return Err(malformed(format!("the record is about {target:#x}, where nothing is that is loaded")));
        };
        let addend = distance(target, address);
        Ok(Some(Fixed { offset, target: symbol, addend, kind, address: Some(target) }))
    }

    /// Initializers as offsets from the image's start become an array of addresses.
    fn read_offsets(&mut self, number: usize) -> Result<(), ObjectError> {
        let content = self.content(number)?;
        let items = self.file.items(number).map_err(|error| self.named(error))?;
        let (entries, rest) = content.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(self.malformed(number, None, "holds 32-bit offsets, and part of one"));
        }
        let word = u32::from(self.file.machine.pointer_size);
        let absolute = if word == 8 { EdgeKind::POINTER64 } else { EdgeKind::POINTER32 };
        let mut fixes = Vec::with_capacity(entries.len());
        for item in items {
            let offset = item.info.r_address;
            if !matches!(item.meaning, Meaning::Address(_)) || item.info.r_length != 2 || !offset.is_multiple_of(4) {
                return Err(self.malformed(number, Some(offset.into()), "a relocation that makes no offset"));
            }
            let (to, addend) = self.file.aim(number, &item, content).map_err(|error| self.named(error))?;
            fixes.push(Fixed { offset: offset / 4 * word, target: to.symbol, addend, kind: absolute, address: None });
        }
        fixes.sort_by_key(|fixed| fixed.offset);
        let relocated = fixes.len();
        for (index, entry) in (0u32..).zip(entries) {
            let offset = index * word;
            if fixes[..relocated].binary_search_by_key(&offset, |fixed| fixed.offset).is_ok() {
                continue;
            }
            let target = u64::from(u32::from_le_bytes(*entry));
            let Some((_, start)) = self.file.start_of(target) else {
                let what = format!("{target:#x} is no function of the object");
                return Err(self.malformed(number, Some(u64::from(index) * 4), what));
            };
            let addend = distance(target, start.address);
            fixes.push(Fixed { offset, target: start.symbol, addend, kind: absolute, address: None });
        }
        fixes.sort_by_key(|fixed| fixed.offset);
        let shape = Shape {
            prot: Prot::READ,
            flags: SectionFlags::RELRO,
            kind: SectionKind::Initializers(InitKind::Init { priority: u16::MAX }),
            ..Shape::default()
        };
        let bytes = vec![0; entries.len() * word as usize];
        self.add_made(number, shape, bytes, word.into(), &fixes);
        Ok(())
    }
}
