//! The symbol table.

use super::{Fate, LE, Reader};
use crate::graph::{Definition, GlobalDefinition, Linkage, LinkerSymbol, Scope, Symbol, SymbolId, SymbolKind};
use crate::object::{ObjectError, ObjectProblem};
use object::SymbolIndex;
use object::pe;
use object::read::coff::{CoffHeader, Symbol as _};

/// What stands before the name of a cell that holds the address of an imported name.
pub(super) const IMPORT: &[u8] = b"__imp_";

impl<'data, Coff: CoffHeader> Reader<'_, 'data, Coff> {
    pub(super) fn read_symbols(&mut self) -> Result<(), ObjectError> {
        self.symbol_ids = vec![None; self.symbols.len()];
        let symbols: Vec<(SymbolIndex, &'data Coff::Symbol)> = self.symbols.iter().collect();
        let mut weak = Vec::new();
        for (index, symbol) in symbols {
            let id = match symbol.storage_class() {
                pe::IMAGE_SYM_CLASS_EXTERNAL => self.external(index, symbol)?,
                pe::IMAGE_SYM_CLASS_WEAK_EXTERNAL => {
                    weak.push((index, symbol));
                    continue;
                }
                pe::IMAGE_SYM_CLASS_STATIC | pe::IMAGE_SYM_CLASS_LABEL | pe::IMAGE_SYM_CLASS_SECTION => {
                    self.local(index, symbol)?
                }
                // Names of files, ends of functions, metadata.
                _ => None,
            };
            self.symbol_ids[index.0] = id;
        }
        for (index, symbol) in weak {
            self.symbol_ids[index.0] = Some(self.weak_external(index, symbol)?);
        }
        Ok(())
    }

    /// Where `symbol` is, with its value in the graph's terms.
    fn definition(&self, index: SymbolIndex, symbol: &Coff::Symbol) -> Result<(Definition, u64), ObjectError> {
        let value = u64::from(symbol.value());
        let section = match (symbol.section_number(), self.section_number(symbol)) {
            (pe::IMAGE_SYM_UNDEFINED, _) => return Ok((Definition::Undefined, value)),
            (pe::IMAGE_SYM_ABSOLUTE, _) => return Ok((Definition::Absolute, value)),
            (_, Some(section)) => section,
            _ => return Ok((Definition::Discarded, 0)),
        };
        match self.fates.get(section) {
            Some(Fate::Loaded(_)) => {
                let size = self.shapes[section].size;
                if value > size {
                    let name = String::from_utf8_lossy(self.symbol_name(index)?);
                    let what = format!("symbol '{name}' lies at {value:#x}, after the section's {size:#x} bytes");
                    return Err(self.malformed(section, Some(value), what));
                }
                let piece = self.piece_at(section, value);
                Ok(piece
                    .map_or((Definition::Discarded, 0), |piece| (Definition::Block(piece.block), value - piece.start)))
            }
            Some(Fate::Ignored | Fate::Dropped) => Ok((Definition::Discarded, 0)),
            None => {
                let name = String::from_utf8_lossy(self.symbol_name(index)?);
                let what = format!("symbol '{name}' is in section number {section}, which does not exist");
                Err(self.fail(ObjectProblem::Malformed(what)))
            }
        }
    }

    fn local(&mut self, index: SymbolIndex, symbol: &Coff::Symbol) -> Result<Option<SymbolId>, ObjectError> {
        let name = self.symbol_name(index)?;
        // What compilers say about themselves and about exception tables of another machine.
        if matches!(name, b"@feat.00" | b"@comp.id" | b"@vol.md") {
            return Ok(None);
        }
        let (definition, value) = self.definition(index, symbol)?;
        let section = self.section_number(symbol).and_then(|section| self.shapes.get(section));
        let is_section = value == 0 && section.is_some_and(|section| section.name == name);
        Ok(Some(self.graph.add_local(Symbol {
            name: if is_section { b"" } else { name },
            definition,
            value,
            size: 0,
            address: 0,
            object: self.object,
            linkage: Linkage::Strong,
            scope: Scope::Local,
            kind: if is_section { SymbolKind::Section } else { kind_of(symbol) },
            needed: false,
            live: false,
        })))
    }

    fn external(&mut self, index: SymbolIndex, symbol: &Coff::Symbol) -> Result<Option<SymbolId>, ObjectError> {
        let name = self.symbol_name(index)?;
        let (definition, value) = self.definition(index, symbol)?;
        match definition {
            Definition::Undefined if value > 0 => self.common(name, value).map(Some),
            Definition::Undefined if self.handlers.contains(&index.0) => {
                Ok(Some(self.graph.refer(name, true, Scope::Default, self.object)))
            }
            // A name of a section that was dropped is whatever the one that was kept calls by it.
            Definition::Undefined | Definition::Discarded => Ok(Some(self.refer(name))),
            _ => {
                let comdat = match definition {
                    Definition::Block(block) => self.graph.is_comdat(block),
                    _ => false,
                };
                let offered = GlobalDefinition {
                    definition,
                    value,
                    size: 0,
                    linkage: if comdat { Linkage::Weak } else { Linkage::Strong },
                    scope: self.directives.scope_of(name),
                    kind: kind_of(symbol),
                    object: self.object,
                };
                self.refuse_beside_comdat(name, comdat)?;
                let id = self.graph.define(name, offered).map_err(|redefinition| self.duplicate(redefinition))?;
                Ok(Some(id))
            }
        }
    }

    /// A name that a COMDAT section has is not defined otherwise: here the one does not yield to the other.
    fn refuse_beside_comdat(&self, name: &[u8], comdat: bool) -> Result<(), ObjectError> {
        let Some(symbol) = self.graph.find(name).filter(|_| !comdat) else { return Ok(()) };
        let (id, symbol) = (symbol, self.graph.symbol(symbol));
        match symbol.block() {
            Some(block) if symbol.linkage == Linkage::Weak && self.graph.is_comdat(block) => {
                let (first, second) = (symbol.object, self.object);
                Err(self.duplicate(crate::graph::Redefinition { symbol: id, first, second }))
            }
            _ => Ok(()),
        }
    }

    /// A tentative definition: its value is its size (PE/COFF, "Section Number Values"). It is aligned as `link.exe` does, or as its object says.
    fn common(&mut self, name: &'data [u8], size: u64) -> Result<SymbolId, ObjectError> {
        let align = self.directives.alignment_of(name).unwrap_or_else(|| size.next_power_of_two().min(32));
        let offered = GlobalDefinition {
            definition: Definition::Common,
            value: align,
            size,
            linkage: Linkage::Strong,
            scope: self.directives.scope_of(name),
            kind: SymbolKind::Object,
            object: self.object,
        };
        self.graph.define(name, offered).map_err(|redefinition| self.duplicate(redefinition))
    }

    /// A name that this object needs: one that a linker makes, a cell for an imported one, or any other.
    pub(super) fn refer(&mut self, name: &'data [u8]) -> SymbolId {
        if let Some(imported) = name.strip_prefix(IMPORT).filter(|imported| !imported.is_empty()) {
            let cell = self.graph.refer(name, true, Scope::Hidden, self.object);
            if self.graph.symbol(cell).definition == Definition::Undefined {
                let target = self.refer_plainly(imported);
                self.graph.import_through(cell, target);
            }
            return cell;
        }
        self.refer_plainly(name)
    }

    fn refer_plainly(&mut self, name: &'data [u8]) -> SymbolId {
        let id = self.graph.refer(name, false, self.directives.scope_of(name), self.object);
        // The second name is that of GNU tools.
        if matches!(name, b"__ImageBase" | b"__image_base__") {
            let symbol = &mut self.graph.symbols[id.index()];
            if symbol.definition == Definition::Undefined {
                symbol.definition = Definition::Linker(LinkerSymbol::ImageBase);
            }
        }
        id
    }

    /// A name that stands for another one where nobody defines it (PE/COFF, "Auxiliary Format 3: Weak Externals").
    fn weak_external(&mut self, index: SymbolIndex, symbol: &Coff::Symbol) -> Result<SymbolId, ObjectError> {
        let name = self.symbol_name(index)?;
        if symbol.section_number() != pe::IMAGE_SYM_UNDEFINED {
            let what = format!("weak external '{}' is defined itself", String::from_utf8_lossy(name));
            return Err(self.fail(ObjectProblem::Malformed(what)));
        }
        let aux = self.symbols.aux_weak_external(index).ok().filter(|_| symbol.number_of_aux_symbols() > 0);
        let default = aux.map_or(usize::MAX, |aux| aux.default_symbol().0);
        let to = match self.symbol_ids.get(default).copied().flatten() {
            Some(to) => to,
            // One weak external may stand for another that comes later.
            None => {
                let other = self.symbols.symbol(SymbolIndex(default)).ok().filter(|_| default != index.0);
                match other.map(|other| other.storage_class()) {
                    Some(pe::IMAGE_SYM_CLASS_WEAK_EXTERNAL) => {
                        let name = self.symbol_name(SymbolIndex(default))?;
                        self.graph.refer(name, true, Scope::Default, self.object)
                    }
                    _ => {
                        let name = String::from_utf8_lossy(name);
                        let what =
                            format!("weak external '{name}' stands for symbol number {default}, which does not exist");
                        return Err(self.fail(ObjectProblem::Malformed(what)));
                    }
                }
            }
        };
        let search = aux.map(|aux| aux.weak_search_type.get(LE));
        // Only this kind has archives searched for the name itself; of an anti-dependency too, any other definition counts.
        let weak = search != Some(pe::IMAGE_WEAK_EXTERN_SEARCH_LIBRARY);
        let id = self.graph.refer(name, weak, Scope::Default, self.object);
        self.graph.fall_back(id, to, search == Some(pe::IMAGE_WEAK_EXTERN_ANTI_DEPENDENCY));
        Ok(id)
    }
}

fn kind_of(symbol: &impl object::read::coff::Symbol) -> SymbolKind {
    match symbol.derived_type() {
        pe::IMAGE_SYM_DTYPE_FUNCTION => SymbolKind::Function,
        _ => SymbolKind::Unknown,
    }
}
