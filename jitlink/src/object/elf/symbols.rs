//! The symbol table.

use super::sections::{MAX_ALIGN, MAX_ZEROS};
use super::{Fate, LE, Reader, symbol_name};
use crate::graph::names::Hashed;
use crate::graph::{Definition, GlobalDefinition, Linkage, Rare, Scope, Symbol, SymbolId, SymbolKind};
use crate::object::{ObjectError, ObjectProblem};
use crate::reloc;
use object::elf;
use object::read::elf::{FileHeader, Sym};
use object::{LittleEndian, SectionIndex, SymbolIndex};

/// `SHN_X86_64_LCOMMON` (psABI 4.1): a common symbol of the large model.
const LARGE_COMMON: u16 = 0xff02;
/// So many names are read before the first of them is looked up: enough for as many loads as a processor has under way, and few enough to stay in its first cache.
const AHEAD: usize = 64;

impl<'data, Elf: FileHeader<Endian = LittleEndian>> Reader<'_, 'data, Elf> {
    pub(super) fn read_symbols(&mut self) -> Result<(), ObjectError> {
        let symbols = self.symbols;
        self.symbol_ids = vec![None; symbols.len()];
        let mut ahead: Vec<Hashed<'data>> = Vec::new();
        let mut taken = 0;
        for (index, symbol) in symbols.enumerate().skip(1) {
            self.symbol_ids[index.0] = if symbol.st_bind() == elf::STB_LOCAL {
                self.local_symbol(index, symbol)?
            } else {
                if taken == ahead.len() {
                    self.look_ahead(index, &mut ahead)?;
                    taken = 0;
                }
                taken += 1;
                Some(self.global_symbol(index, symbol, ahead[taken - 1])?)
            };
        }
        Ok(())
    }

    /// Reads the names of the next global symbols, that of number `from` and some after it, so that memory is waited for once for all of them. Of those
    /// after it, none from the first one on that cannot be read: what comes before may be what is wrong.
    fn look_ahead(&self, from: SymbolIndex, ahead: &mut Vec<Hashed<'data>>) -> Result<(), ObjectError> {
        ahead.clear();
        let globals = self.symbols.symbols()[from.0..].iter().filter(|symbol| symbol.st_bind() != elf::STB_LOCAL);
        for symbol in globals.take(AHEAD) {
            match self.symbols.symbol_name(LE, symbol) {
                Ok(name) => ahead.push(Hashed::new(name)),
                Err(error) if ahead.is_empty() => return Err(self.fail(ObjectProblem::Malformed(error.to_string()))),
                Err(_) => break,
            }
        }
        self.graph.names.expect(ahead, &self.graph.symbols);
        Ok(())
    }

    /// Where `symbol` is, with its value in the graph's terms.
    fn definition(&self, index: SymbolIndex, symbol: &Elf::Sym) -> Result<(Definition, u64), ObjectError> {
        let value: u64 = symbol.st_value(LE).into();
        let section = match symbol.st_shndx(LE) {
            elf::SHN_UNDEF => return Ok((Definition::Undefined, 0)),
            elf::SHN_ABS => return Ok((Definition::Absolute, value)),
            elf::SHN_COMMON | elf::SymbolSection(LARGE_COMMON) => return self.common(index, symbol),
            elf::SHN_XINDEX => self.symbols.shndx(LE, index).unwrap_or(u32::MAX) as usize,
            other => match other.index() {
                Some(section) => usize::from(section),
                // Reserved numbers name no section even where the file has so many.
                None => {
                    let name = self.symbol_name(index);
                    let what = format!("symbol '{name}' is in section number {:#x}, which is reserved", other.0);
                    return Err(self.fail(ObjectProblem::Malformed(what)));
                }
            },
        };
        match self.section_fate(SectionIndex(section)) {
            Some(Fate::Loaded(block)) => {
                let size = self.graph.block(block).size;
                let moved = self.surplus.moved(section, value);
                // Compilers place labels that stand for no data behind the end, from which data is so far back (section anchors).
                let anchor = symbol.st_bind() == elf::STB_LOCAL && symbol.st_type() == elf::STT_NOTYPE;
                if moved > size && (!anchor || moved - size > u64::from(u32::MAX)) {
                    let name = self.symbol_name(index);
                    let what = format!("symbol '{name}' lies at {value:#x}, after the section's {size:#x} bytes");
                    return Err(self.malformed(SectionIndex(section), Some(value), what));
                }
                Ok((Definition::Block(block), moved))
            }
            Some(Fate::Ignored | Fate::Dropped) => Ok((Definition::Discarded, 0)),
            None => {
                let what = format!(
                    "symbol '{}' is in section number {section}, which does not exist",
                    self.symbol_name(index)
                );
                Err(self.fail(ObjectProblem::Malformed(what)))
            }
        }
    }

    /// Its size, without what is deleted of it.
    fn size_of(&self, symbol: &Elf::Sym, definition: Definition) -> u64 {
        let (value, size): (u64, u64) = (symbol.st_value(LE).into(), symbol.st_size(LE).into());
        match definition {
            Definition::Block(block) if !self.surplus.is_empty() => {
                let section = self.graph.section_of(block).number as usize;
                let moved = |offset| self.surplus.moved(section, offset);
                moved(value.saturating_add(size)).saturating_sub(moved(value))
            }
            _ => size,
        }
    }

    /// A common symbol: its value is its alignment (gABI `SHN_COMMON`).
    fn common(&self, index: SymbolIndex, symbol: &Elf::Sym) -> Result<(Definition, u64), ObjectError> {
        let (size, align): (u64, u64) = (symbol.st_size(LE).into(), symbol.st_value(LE).into());
        let align = align.max(1);
        let what = if !align.is_power_of_two() || align > MAX_ALIGN {
            format!("alignment {align:#x} is not a power of two up to 1 GiB")
        } else if size > MAX_ZEROS {
            format!("{size:#x} bytes are more than an address space holds")
        } else {
            return Ok((Definition::Common, align));
        };
        let what = format!("common symbol '{}': {what}", self.symbol_name(index));
        Err(self.fail(ObjectProblem::Malformed(what)))
    }

    pub(super) fn symbol_name(&self, index: SymbolIndex) -> String {
        symbol_name(&self.symbols, index)
    }

    fn local_symbol(&mut self, index: SymbolIndex, symbol: &Elf::Sym) -> Result<Option<SymbolId>, ObjectError> {
        let kind = match symbol.st_type() {
            elf::STT_FILE => return Ok(None),
            elf::STT_SECTION => SymbolKind::Section,
            other => kind_of(other),
        };
        let (definition, value) = self.definition(index, symbol)?;
        let name: &[u8] = if kind == SymbolKind::Section {
            b""
        } else {
            self.symbols
                .symbol_name(LE, symbol)
                .map_err(|error| self.fail(ObjectProblem::Malformed(error.to_string())))?
        };
        let name = if reloc::elf_is_mapping(self.graph.machine(), name) { b"" } else { name };
        Ok(Some(self.graph.add_local(Symbol {
            name,
            definition,
            value,
            size: self.size_of(symbol, definition),
            address: 0,
            object: self.object,
            linkage: Linkage::Strong,
            scope: Scope::Local,
            kind,
            needed: false,
            live: false,
        })))
    }

    fn global_symbol(
        &mut self,
        index: SymbolIndex,
        symbol: &Elf::Sym,
        hashed: Hashed<'data>,
    ) -> Result<SymbolId, ObjectError> {
        let name = hashed.name;
        let (definition, value) = self.definition(index, symbol)?;
        let scope = match symbol.st_visibility() {
            elf::STV_INTERNAL | elf::STV_HIDDEN => Scope::Hidden,
            elf::STV_PROTECTED => Scope::Protected,
            _ => Scope::Default,
        };
        let weak = symbol.st_bind() == elf::STB_WEAK;
        // A symbol of a dropped group is whatever the group that was kept calls by its name.
        if matches!(definition, Definition::Undefined | Definition::Discarded) {
            let id = self.graph.refer_hashed(hashed, weak, scope, self.object);
            let known = &mut self.graph.symbols[id.index()];
            if known.kind == SymbolKind::Unknown {
                known.kind = kind_of(symbol.st_type());
            }
            return Ok(id);
        }
        let offered = GlobalDefinition {
            definition,
            value,
            size: self.size_of(symbol, definition),
            linkage: match symbol.st_bind() {
                elf::STB_WEAK => Linkage::Weak,
                elf::STB_GNU_UNIQUE => Linkage::Unique,
                _ => Linkage::Strong,
            },
            scope,
            kind: kind_of(symbol.st_type()),
            object: self.object,
        };
        let id = self.define(hashed, offered)?;
        // `f@@V` is the default version of f: it also answers to `f`, and to `f@V` once everything is read (GNU symbol versioning).
        if self.graph.rare.contains(Rare::VERSIONED)
            && let Some(at) = name.windows(2).position(|pair| pair == b"@@")
        {
            let plain = self.define(Hashed::new(&name[..at]), offered)?;
            self.graph.aliases.push(plain);
        }
        Ok(id)
    }

    fn define(&mut self, name: Hashed<'data>, offered: GlobalDefinition) -> Result<SymbolId, ObjectError> {
        self.graph.define_hashed(name, offered).map_err(|redefinition| self.duplicate(redefinition))
    }
}

fn kind_of(st_type: elf::SymbolType) -> SymbolKind {
    match st_type {
        elf::STT_FUNC => SymbolKind::Function,
        elf::STT_OBJECT | elf::STT_COMMON => SymbolKind::Object,
        elf::STT_TLS => SymbolKind::ThreadLocal,
        elf::STT_GNU_IFUNC => SymbolKind::Indirect,
        _ => SymbolKind::Unknown,
    }
}
