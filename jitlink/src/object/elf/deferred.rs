//! Objects whose relocations are read section by section, when somebody needs them.
//!
//! Sections and symbols are in the graph as for any object; blocks have no edges. What is told of the relocations beforehand is what decides where
//! memory has to be.

use super::{Fate, LE, Reader};
use crate::arch::{Expr, Field, TlsModel};
use crate::graph::{
    BlockId, Content, Definition, Edge, LinkGraph, Linkage, ObjectId, Scope, SectionKind, Symbol, SymbolId, SymbolKind,
};
use crate::object::{Asks, ObjectError, ObjectProblem};
use crate::reloc;
use object::elf;
use object::read::elf::{FileHeader, Rela, SectionHeader as _, SectionTable, SymbolTable};
use object::{LittleEndian, SectionIndex};

/// One object, without its relocations.
#[derive(Debug)]
pub struct Deferred<'data, Elf: FileHeader<Endian = LittleEndian> = elf::FileHeader64<LittleEndian>> {
    object: ObjectId,
    data: &'data [u8],
    lookup: reloc::Lookup,
    sections: SectionTable<'data, Elf>,
    symbols: SymbolTable<'data, Elf>,
    /// By section index: the relocation section that applies to it, 0 for none.
    relocations: Vec<u32>,
    /// By symbol index; number 0 is a symbol with the value zero.
    symbol_ids: Vec<Option<SymbolId>>,
    /// Names that the object defines beside those of its symbol table.
    pub(super) versions: Vec<SymbolId>,
    asks: Asks,
}

impl<'data, Elf: FileHeader<Endian = LittleEndian>> Reader<'_, 'data, Elf> {
    /// What is left of the reader when sections and symbols are in the graph.
    pub(super) fn defer(mut self) -> Result<Deferred<'data, Elf>, ObjectError> {
        let asks = self.survey()?;
        // gABI STN_UNDEF: a relocation without a symbol means the value zero.
        let zero = self.graph.add_local(Symbol {
            name: b"",
            definition: Definition::Absolute,
            value: 0,
            size: 0,
            address: 0,
            object: self.object,
            linkage: Linkage::Strong,
            scope: Scope::Local,
            kind: SymbolKind::Unknown,
            needed: false,
            live: false,
        });
        match self.symbol_ids.first_mut() {
            Some(slot) => *slot = Some(zero),
            None => self.symbol_ids.push(Some(zero)),
        }
        let Self { data, object, lookup, sections, symbols, relocations, symbol_ids, versions, .. } = self;
        Ok(Deferred { object, data, lookup, sections, symbols, relocations, symbol_ids, versions, asks })
    }

    /// Looks at the types of all relocations of what is loaded, and at nothing else of them.
    fn survey(&mut self) -> Result<Asks, ObjectError> {
        let machine = self.graph.machine();
        let mut by_kind = [Asks::default(); 256];
        for (asks, fixup) in by_kind.iter_mut().zip(machine.fixups) {
            let narrow = matches!(fixup.field, Field::Bytes(bytes) if bytes < machine.pointer_size);
            asks.low = fixup.expr == Expr::Absolute && narrow;
            asks.constant_distance = matches!(fixup.expr, Expr::Tls(TlsModel::LocalExec | TlsModel::InitialExec));
        }
        let mut all = Asks::default();
        for (index, fate) in self.fates.clone().into_iter().enumerate() {
            let (Fate::Loaded(block), table) = (fate, SectionIndex(self.relocations[index] as usize)) else { continue };
            if table.0 == 0 || self.graph.section_of(block).kind == SectionKind::EhFrame {
                continue;
            }
            let header = self.sections.section(table);
            let entries = header.and_then(|header| header.rela(LE, self.data));
            // Whoever needs it is told what is wrong with it.
            let Ok(Some((entries, _))) = entries else { continue };
            self.claim(table, size_of_val(entries) as u64)?;
            for entry in entries {
                if let Some(row) = (self.lookup)(entry.r_type(LE, false).0) {
                    let asks = by_kind[usize::from(row.kind.0)];
                    all.low |= asks.low;
                    all.constant_distance |= asks.constant_distance;
                }
            }
        }
        Ok(all)
    }
}

impl<Elf: FileHeader<Endian = LittleEndian>> Deferred<'_, Elf> {
    /// The object.
    #[must_use]
    pub fn object(&self) -> ObjectId {
        self.object
    }

    /// What its relocations ask of memory.
    #[must_use]
    pub fn asks(&self) -> Asks {
        self.asks
    }

    /// The symbols of its table that are in the graph, and the names that it defines besides.
    pub fn symbols(&self) -> impl Iterator<Item = SymbolId> + '_ {
        self.symbol_ids.iter().copied().flatten().chain(self.versions.iter().copied())
    }

    /// Adds what `block`, one of its own in `graph`, refers to, in the order of the table.
    ///
    /// # Errors
    /// Its relocations are malformed or unknown.
    pub fn edges(&self, graph: &LinkGraph<'_>, block: BlockId, into: &mut Vec<Edge>) -> Result<(), ObjectError> {
        let section = SectionIndex(graph.section_of(block).number as usize);
        let table = match self.relocations.get(section.0) {
            None | Some(0) => return Ok(()),
            Some(table) => SectionIndex(*table as usize),
        };
        let malformed = |index, offset, what: String| self.fail(graph, index, offset, ObjectProblem::Malformed(what));
        let header = self.sections.section(table).map_err(|error| malformed(table, None, error.to_string()))?;
        let entries = header.rela(LE, self.data).map_err(|error| malformed(table, None, error.to_string()))?;
        let Some((entries, symbols)) = entries else {
            let what = "relocations are not in a table with addends (SHT_RELA)";
            return Err(malformed(table, None, what.into()));
        };
        if symbols != self.symbols.section() {
            let what = format!("sh_link {} is not the symbol table", symbols.0);
            return Err(malformed(table, None, what));
        }
        let machine = graph.machine();
        let size = graph.block(block).size;
        if graph.block(block).content == Content::Zero && !entries.is_empty() {
            return Err(malformed(section, None, "relocations in a section without content".into()));
        }
        into.reserve(entries.len());
        for entry in entries {
            let offset: u64 = entry.r_offset(LE).into();
            let (r_type, symbol) = (entry.r_type(LE, false).0, entry.r_sym(LE, false) as usize);
            let Some(row) = (self.lookup)(r_type) else {
                let name = reloc::elf_name(machine, r_type);
                let problem = ObjectProblem::UnknownRelocation { name, symbol: format!("number {symbol}") };
                return Err(self.fail(graph, section, Some(offset), problem));
            };
            let width = match machine.fixup(row.kind).field {
                Field::None => 0,
                Field::Bytes(bytes) => u64::from(bytes),
            };
            if offset.checked_add(width).is_none_or(|end| end > size) {
                let what = format!("{} writes beyond the section's {size:#x} bytes", row.name);
                return Err(malformed(section, Some(offset), what));
            }
            let Some(target) = self.symbol_ids.get(symbol).copied().flatten() else {
                let what = format!("the relocation names symbol number {symbol}, which does not exist");
                return Err(malformed(section, Some(offset), what));
            };
            into.push(Edge { addend: entry.r_addend(LE).into(), block, offset: offset as u32, target, kind: row.kind });
        }
        Ok(())
    }

    #[cold]
    fn fail(
        &self,
        graph: &LinkGraph<'_>,
        index: SectionIndex,
        offset: Option<u64>,
        problem: ObjectProblem,
    ) -> ObjectError {
        let header = self.sections.section(index);
        let name = header.and_then(|header| self.sections.section_name(LE, header));
        let section = match name {
            Ok(name) => String::from_utf8_lossy(name).into_owned(),
            Err(_) => format!("number {}", index.0),
        };
        let object = graph.object(self.object).name.clone();
        ObjectError { object, section: Some(section), offset, problem }
    }
}
