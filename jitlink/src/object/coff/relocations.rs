//! Relocations become edges. They are read by themselves, when the names of the object are known.

use super::frames::Frames;
use super::{PieceOf, Reader};
use crate::arch::{Field, Machine};
use crate::graph::{BlockId, Edge, Edges, ObjectId, SymbolId};
use crate::object::{ObjectError, ObjectProblem};
use crate::reloc;
use object::pe;
use object::read::coff::{CoffHeader, Symbol as _, SymbolTable};
use object::{LittleEndian as LE, SymbolIndex};
use std::ops::Range;

/// The relocations of one section.
#[derive(Debug)]
struct Table<'data> {
    section: &'data [u8],
    /// Its bytes.
    content: &'data [u8],
    /// Its blocks in their order, each with where it begins in the section.
    pieces: Vec<(u64, BlockId)>,
    is_code: bool,
    entries: &'data [pe::ImageRelocation],
}

/// The symbol table, for its names.
#[derive(Debug)]
pub(super) enum Symbols<'data> {
    Ordinary(SymbolTable<'data, &'data [u8], pe::ImageFileHeader>),
    Big(SymbolTable<'data, &'data [u8], pe::AnonObjectHeaderBigobj>),
    None,
}

/// The relocations of an object whose sections and symbols are in a graph.
#[derive(Debug)]
pub(crate) struct Relocations<'data> {
    machine: &'static Machine,
    object: ObjectId,
    table: &'static reloc::Coff,
    symbols: Symbols<'data>,
    /// By symbol number.
    symbol_ids: Vec<Option<SymbolId>>,
    tables: Vec<Table<'data>>,
    frames: Option<Frames>,
}

/// Headers whose symbol tables are kept.
pub(super) trait Header: CoffHeader {
    fn keep<'data>(table: SymbolTable<'data, &'data [u8], Self>) -> Symbols<'data>;
}

impl Header for pe::ImageFileHeader {
    fn keep<'data>(table: SymbolTable<'data, &'data [u8], Self>) -> Symbols<'data> {
        Symbols::Ordinary(table)
    }
}

impl Header for pe::AnonObjectHeaderBigobj {
    fn keep<'data>(table: SymbolTable<'data, &'data [u8], Self>) -> Symbols<'data> {
        Symbols::Big(table)
    }
}

impl<'data> Relocations<'data> {
    /// Takes over from the reader of the rest.
    pub(super) fn new<Coff: Header>(reader: Reader<'_, 'data, Coff>, frames: Option<Frames>) -> Self {
        let Reader { graph, object, table, symbols, shapes, pieces, symbol_ids, .. } = reader;
        let tables = pieces.chunk_by(|a, b| a.section == b.section).filter_map(|pieces: &[PieceOf]| {
            let shape = &shapes[pieces[0].section];
            (!shape.relocations.is_empty()).then(|| Table {
                section: shape.name,
                content: shape.bytes,
                pieces: pieces.iter().map(|piece| (piece.start, piece.block)).collect(),
                is_code: shape.has(pe::IMAGE_SCN_MEM_EXECUTE),
                entries: shape.relocations,
            })
        });
        let tables = tables.collect();
        Self { machine: graph.machine(), object, table, symbols: Coff::keep(symbols), symbol_ids, tables, frames }
    }

    /// Of an object that has none.
    pub(super) fn none(machine: &'static Machine, object: ObjectId, table: &'static reloc::Coff) -> Self {
        let symbols = Symbols::None;
        Self { machine, object, table, symbols, symbol_ids: Vec::new(), tables: Vec::new(), frames: None }
    }

    pub(crate) fn object(&self) -> ObjectId {
        self.object
    }

    /// How many bytes of the file they are.
    pub(crate) fn bytes(&self) -> u64 {
        self.tables.iter().map(|table| size_of_val(table.entries) as u64).sum()
    }

    pub(crate) fn read(self, edges: &mut Edges) {
        for table in &self.tables {
            if let Err(error) = self.read_table(table, edges) {
                edges.fail(self.object, error);
                return;
            }
        }
        if let Some(frames) = self.frames {
            frames.add_edges(edges);
        }
    }

    fn fail_at(&self, table: &Table<'_>, offset: u64, problem: ObjectProblem) -> ObjectError {
        let section = Some(String::from_utf8_lossy(table.section).into_owned());
        // Its name is the graph's to say.
        ObjectError { object: String::new(), section, offset: Some(offset), problem }
    }

    fn malformed(&self, table: &Table<'_>, offset: u64, what: impl Into<String>) -> ObjectError {
        self.fail_at(table, offset, ObjectProblem::Malformed(what.into()))
    }

    fn read_table(&self, table: &Table<'_>, edges: &mut Edges) -> Result<(), ObjectError> {
        if let [(_, block)] = *table.pieces {
            let end = table.content.len() as u64;
            edges.begin(block, table.entries.len());
            for entry in table.entries {
                edges.add(self.edge(table, entry, (0..end, block))?);
            }
            edges.end();
            return Ok(());
        }
        // Few sections are in pieces, and their relocations are in order.
        let mut entries: Vec<_> = table.entries.iter().collect();
        entries.sort_by_key(|entry| entry.virtual_address.get(LE));
        let mut rest = &entries[..];
        for (at, (start, block)) in table.pieces.iter().enumerate() {
            let next = table.pieces.get(at + 1).map(|(next, _)| *next);
            let count = match next {
                Some(next) => rest.partition_point(|entry| u64::from(entry.virtual_address.get(LE)) < next),
                None => rest.len(),
            };
            let end = next.unwrap_or(table.content.len() as u64);
            edges.begin(*block, count);
            for entry in &rest[..count] {
                edges.add(self.edge(table, entry, (*start..end, *block))?);
            }
            edges.end();
            rest = &rest[count..];
        }
        Ok(())
    }

    fn edge(
        &self,
        table: &Table<'_>,
        entry: &pe::ImageRelocation,
        (range, block): (Range<u64>, BlockId),
    ) -> Result<Edge, ObjectError> {
        let offset = u64::from(entry.virtual_address.get(LE));
        let (typ, symbol) = (entry.typ.get(LE).0, entry.symbol_table_index.get(LE) as usize);
        let Some(row) = (self.table.lookup)(typ) else {
            let name = (self.table.refuse)(typ).to_string();
            return Err(self.fail_at(
                table,
                offset,
                ObjectProblem::UnknownRelocation { name, symbol: self.name(symbol) },
            ));
        };
        let field = self.machine.fixup(row.kind).field;
        if offset < range.start || offset.checked_add(field.width().into()).is_none_or(|end| end > range.end) {
            let what = format!(
                "{} writes beyond the section's {:#x} bytes, or across two entries",
                row.name,
                table.content.len()
            );
            return Err(self.malformed(table, offset, what));
        }
        let Some(target) = self.symbol_ids.get(symbol).copied().flatten() else {
            let what = format!("the relocation names {}, which is no symbol that has a place", self.name(symbol));
            return Err(self.malformed(table, offset, what));
        };
        let bytes = &table.content[offset as usize..];
        let mut kind = row.kind;
        if table.is_code {
            kind = (self.table.branch)(kind, table.content, offset as usize);
        }
        Ok(Edge {
            addend: addend(field, bytes) + i64::from(row.bias),
            block,
            offset: (offset - range.start) as u32,
            target,
            kind,
        })
    }

    /// What a symbol is called, or its number.
    fn name(&self, number: usize) -> String {
        let index = SymbolIndex(number);
        let name = match &self.symbols {
            Symbols::Ordinary(table) => table.symbol(index).and_then(|symbol| symbol.name(table.strings())),
            Symbols::Big(table) => table.symbol(index).and_then(|symbol| symbol.name(table.strings())),
            Symbols::None => Ok(&[][..]),
        };
        match name {
            Ok(name) if !name.is_empty() => String::from_utf8_lossy(name).into_owned(),
            _ => format!("number {number}"),
        }
    }
}

/// What a field holds before it is written; whole words are signed.
fn addend(field: Field, bytes: &[u8]) -> i64 {
    let mut word = [0; 8];
    let width = usize::from(field.width()).min(8);
    word[..width].copy_from_slice(&bytes[..width]);
    let word = u64::from_le_bytes(word);
    match field {
        // No row of this format's tables adds to what is there.
        Field::None | Field::Added(_) | Field::Subtracted(_) | Field::Leb128 => 0,
        Field::Bits(bits) => bits.extract(word),
        Field::Bytes(bytes) => {
            let unused = 64 - 8 * u32::from(bytes.clamp(1, 8));
            ((word << unused) as i64) >> unused
        }
    }
}
