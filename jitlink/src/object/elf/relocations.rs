//! Relocations become edges.

use super::{LE, Reader};
use crate::arch::Field;
use crate::graph::{BlockId, Content, Definition, Edge, Linkage, Scope, Symbol, SymbolId, SymbolKind};
use crate::object::{ObjectError, ObjectProblem};
use object::elf;
use object::read::elf::{FileHeader, Rela, SectionHeader};
use object::{LittleEndian, SectionIndex, SymbolIndex};

impl<Elf: FileHeader<Endian = LittleEndian>> Reader<'_, '_, Elf> {
    pub(super) fn read_relocations(&mut self) -> Result<(), ObjectError> {
        for (index, block) in self.loaded() {
            let table = SectionIndex(self.relocations[index.0] as usize);
            if table.0 != 0 {
                self.read_table(index, block, table)?;
            }
        }
        Ok(())
    }

    fn read_table(&mut self, index: SectionIndex, block: BlockId, table: SectionIndex) -> Result<(), ObjectError> {
        let malformed = |reader: &Self, error: object::read::Error| reader.malformed(table, None, error.to_string());
        let header = self.sections.section(table).map_err(|error| malformed(self, error))?;
        let Some((entries, symbols)) = header.rela(LE, self.data).map_err(|error| malformed(self, error))? else {
            let what = match header.sh_type(LE) {
                elf::SHT_CREL => "compact relocations (SHT_CREL) are not supported: assemble without --crel",
                _ => "relocations without addends (SHT_REL) on a machine whose psABI has none",
            };
            return Err(self.malformed(table, None, what));
        };
        if symbols != self.symbols.section() {
            let what = format!(
                "sh_link {} is not the symbol table, which is section number {}",
                symbols.0,
                self.symbols.section().0
            );
            return Err(self.malformed(table, None, what));
        }
        self.claim(table, size_of_val(entries) as u64)?;
        let size = self.graph.block(block).size;
        if self.graph.block(block).content == Content::Zero && !entries.is_empty() {
            return Err(self.malformed(index, None, "relocations in a section without content"));
        }
        let machine = self.graph.machine();
        self.graph.edges.reserve(entries.len());
        for entry in entries {
            let offset: u64 = entry.r_offset(LE).into();
            let r_type = entry.r_type(LE, false);
            let symbol = entry.r_sym(LE, false) as usize;
            let Some(row) = (self.lookup)(r_type.0) else {
                let name = crate::reloc::elf_name(machine, r_type.0);
                let symbol = self.symbol_name(SymbolIndex(symbol));
                return Err(self.fail_at(index, Some(offset), ObjectProblem::UnknownRelocation { name, symbol }));
            };
            let width = match machine.fixup(row.kind).field {
                Field::None => 0,
                Field::Bytes(bytes) => u64::from(bytes),
            };
            if offset.checked_add(width).is_none_or(|end| end > size) {
                let what = format!("{} writes beyond the section's {size:#x} bytes", row.name);
                return Err(self.malformed(index, Some(offset), what));
            }
            let target = match self.symbol_ids.get(symbol).copied().flatten() {
                Some(target) => target,
                None => self.odd_target(index, offset, symbol)?,
            };
            let addend: i64 = entry.r_addend(LE).into();
            self.graph.add_edge(Edge { addend, block, offset: offset as u32, target, kind: row.kind });
        }
        Ok(())
    }

    /// Symbol 0 (gABI `STN_UNDEF`) has the value zero; anything else that has no id is a mistake.
    #[cold]
    fn odd_target(&mut self, section: SectionIndex, offset: u64, symbol: usize) -> Result<SymbolId, ObjectError> {
        if symbol != 0 {
            let what = format!("the relocation names symbol number {symbol}, which does not exist or is a file name");
            return Err(self.malformed(section, Some(offset), what));
        }
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
        Ok(zero)
    }
}
