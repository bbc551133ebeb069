//! Compact unwind encodings become call frame information.
//!
//! A function has both, or an encoding alone. Where it has both the records stay: they hold at every instruction, and an encoding only where something is
//! called. The others get a record that says what the encoding says.

use super::frames::Fixed;
use super::relocations::{Aim, distance};
use super::sections::Shape;
use super::{LE, Reader, Start};
use crate::graph::{EdgeKind, Prot, SectionKind, SymbolId};
use crate::object::ObjectError;
use crate::reloc::mach_o::{Described, Frame, Meaning};
use object::read::macho::Section as _;
use std::collections::HashMap;

/// Bytes of one entry: function (8), length (4), encoding (4), personality (8), language-specific data (8).
const ENTRY: usize = 32;
const LENGTH: usize = 8;
const ENCODING: usize = 12;

/// One entry: what its relocations name.
#[derive(Clone, Copy, Default)]
struct Entry {
    function: Option<(Aim, i64)>,
    personality: Option<(Aim, i64)>,
    table: Option<(Aim, i64)>,
}

/// Records as they are written.
struct Records {
    bytes: Vec<u8>,
    fixes: Vec<Fixed>,
    /// Where common information stands, by personality and whether there is language-specific data.
    common: HashMap<(Option<SymbolId>, bool), usize>,
}

impl Reader<'_, '_> {
    /// Makes records of the encodings of functions that are not among `described`, which are sorted.
    pub(super) fn read_unwind(&mut self, number: usize, described: &[u64]) -> Result<(), ObjectError> {
        let content = self.content(number)?;
        let (encodings, rest) = content.as_chunks::<ENTRY>();
        if !rest.is_empty() {
            return Err(self.malformed(number, None, format!("has {:#x} bytes; an entry has {ENTRY}", content.len())));
        }
        let entries = self.entries(number, content, encodings.len()).map_err(|error| self.named(error))?;
        let mut records = Records { bytes: Vec::new(), fixes: Vec::new(), common: HashMap::new() };
        for (index, (entry, bytes)) in entries.iter().zip(encodings).enumerate() {
            let offset = (index * ENTRY) as u64;
            let malformed = |what: &str| self.malformed(number, Some(offset), what);
            let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
            let Some((aim, addend)) = entry.function else {
                return Err(malformed("an entry without a function"));
            };
            let function = aim.address.map(|address| address.wrapping_add_signed(addend));
            let function = function.zip(aim.place);
            let Some((address, (part, start))) = function else {
                return Err(malformed("an entry about a function that the object does not have"));
            };
            if described.binary_search(&address).is_ok() {
                continue;
            }
            let code = self.content(part)?;
            let at = address.wrapping_sub(self.file.parts[part].header.addr(LE)) as usize;
            let encoding = word(ENCODING);
            let described = (self.file.table.unwind.frame)(encoding, code.get(at..).unwrap_or_default());
            let frame = match described {
                Ok(Described::Frame(frame)) => frame,
                Ok(Described::Nothing | Described::Elsewhere) => continue,
                Err(why) => return Err(malformed(&format!("compact unwind encoding {encoding:#010x}: {why}"))),
            };
            let place = |named: (Aim, i64)| self.place_in(named);
            let personality = match entry.personality {
                Some((_, addend)) if addend != 0 => return Err(malformed("a personality routine that is no symbol")),
                Some((aim, _)) => Some(aim.symbol),
                None => None,
            };
            let function = (start.symbol, distance(address, start.address));
            let unwind = (&self.file.table.unwind, self.file.table.slot);
            records.add(unwind, &frame, (function, word(LENGTH)), personality, entry.table.map(place));
            if u32::try_from(records.bytes.len()).is_err() {
                return Err(malformed("more than 4 GiB of call frame information"));
            }
        }
        if !records.bytes.is_empty() {
            let shape = Shape { prot: Prot::READ, kind: SectionKind::EhFrame, ..Shape::default() };
            self.add_made(number, shape, records.bytes, 8, &records.fixes);
        }
        Ok(())
    }

    /// What the relocations of the entries name.
    fn entries(&mut self, number: usize, content: &[u8], count: usize) -> Result<Vec<Entry>, ObjectError> {
        let mut entries = vec![Entry::default(); count];
        for item in self.file.items(number)? {
            let offset = item.info.r_address as usize;
            let malformed = |what: &str| self.file.malformed(number, Some(offset as u64), what);
            if !matches!(item.meaning, Meaning::Address(_)) || item.from.is_some() || item.info.r_length != 3 {
                return Err(malformed("a relocation that makes no address"));
            }
            let aim = self.file.aim(number, &item, content)?;
            let entry = entries.get_mut(offset / ENTRY);
            let entry = entry.ok_or_else(|| malformed("a relocation outside of the entries"))?;
            match offset % ENTRY {
                0 => entry.function = Some(aim),
                16 => entry.personality = Some(aim),
                24 => entry.table = Some(aim),
                _ => return Err(malformed("a relocation of what is no address")),
            }
        }
        Ok(entries)
    }

    /// A place as counted from the start of its block, which no other object's definition of a name replaces.
    fn place_in(&self, (aim, addend): (Aim, i64)) -> (SymbolId, i64) {
        match aim.address.zip(aim.place) {
            Some((address, (_, Start { address: start, symbol, .. }))) => {
                (symbol, addend.wrapping_add(distance(address, start)))
            }
            None => (aim.symbol, addend),
        }
    }
}

/// `DW_EH_PE_pcrel | DW_EH_PE_sdata4`
const RELATIVE: u8 = 0x1b;
/// The same, of a word with the address.
const INDIRECT: u8 = 0x9b;
/// Offsets of saved registers are multiples of this, downwards.
const WORD: u32 = 8;

impl Records {
    /// Adds the record of a function: where it is and how long, its personality routine and its language-specific data.
    fn add(
        &mut self,
        (unwind, slot): (&crate::reloc::mach_o::Unwind, EdgeKind),
        frame: &Frame,
        (function, length): ((SymbolId, i64), u32),
        personality: Option<SymbolId>,
        table: Option<(SymbolId, i64)>,
    ) {
        let key = (personality, table.is_some());
        let common = match self.common.get(&key) {
            Some(at) => *at,
            None => {
                let at = self.common(unwind, slot, personality, table.is_some());
                self.common.insert(key, at);
                at
            }
        };
        let start = self.begin();
        let link = self.bytes.len();
        self.word((link - common) as u32);
        self.distance(function, EdgeKind::DELTA32);
        self.word(length);
        self.bytes.push(if table.is_some() { 4 } else { 0 });
        if let Some(table) = table {
            self.distance(table, EdgeKind::DELTA32);
        }
        self.bytes.push(0x0c); // DW_CFA_def_cfa
        self.number(frame.cfa.0.into());
        self.number(frame.cfa.1);
        for (register, below) in &frame.saved {
            if *register < 0x40 {
                self.bytes.push(0x80 | register); // DW_CFA_offset
            } else {
                self.bytes.push(0x05); // DW_CFA_offset_extended
                self.number(u32::from(*register));
            }
            self.number(u32::from(*below) / WORD);
        }
        self.end(start);
    }

    /// Adds common information, and says where it stands.
    fn common(
        &mut self,
        unwind: &crate::reloc::mach_o::Unwind,
        slot: EdgeKind,
        personality: Option<SymbolId>,
        table: bool,
    ) -> usize {
        let start = self.begin();
        self.word(0);
        self.bytes.extend([1, b'z']); // version, then the augmentation
        self.bytes.extend(personality.map(|_| b'P'));
        self.bytes.extend(table.then_some(b'L'));
        self.bytes.extend([b'R', 0]);
        self.bytes.extend([1, 0x78, unwind.return_address]); // alignment of code, and of data: -8
        self.bytes.push(1 + 5 * u8::from(personality.is_some()) + u8::from(table));
        if let Some(personality) = personality {
            self.bytes.push(INDIRECT);
            self.distance((personality, 0), slot);
        }
        self.bytes.extend(table.then_some(RELATIVE));
        self.bytes.push(RELATIVE);
        self.bytes.extend(unwind.initial);
        self.end(start);
        start
    }

    fn begin(&mut self) -> usize {
        let start = self.bytes.len();
        self.word(0);
        start
    }

    /// Pads the record that begins at `start`, and writes its length.
    fn end(&mut self, start: usize) {
        let size = self.bytes.len().next_multiple_of(8);
        self.bytes.resize(size, 0); // DW_CFA_nop
        let length = (size - start - 4) as u32;
        self.bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
    }

    fn word(&mut self, word: u32) {
        self.bytes.extend(word.to_le_bytes());
    }

    fn distance(&mut self, (target, addend): (SymbolId, i64), kind: EdgeKind) {
        let offset = self.bytes.len() as u32;
        self.fixes.push(Fixed { offset, target, addend, kind, address: None });
        self.word(0);
    }

    /// An unsigned LEB128 number.
    fn number(&mut self, mut number: u32) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }
}
