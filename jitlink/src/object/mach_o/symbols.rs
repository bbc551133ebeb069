//! The symbol table.

use super::sections::{self, MAX_ZEROS};
use super::{Fate, LE, Reader, Symbol as Entry};
use crate::graph::{
    Definition, GlobalDefinition, Linkage, LinkerSymbol, Prot, Scope, Spelling, Symbol, SymbolId, SymbolKind,
};
use crate::object::{ObjectError, ObjectProblem};
use object::macho;
use object::read::macho::Nlist as _;

impl<'data> Reader<'_, 'data> {
    pub(super) fn read_symbols(&mut self) -> Result<(), ObjectError> {
        let symbols = self.file.symbols;
        self.file.symbol_ids = vec![None; symbols.len()];
        for (index, symbol) in symbols.enumerate() {
            if !symbol.n_type.is_stab() {
                self.file.symbol_ids[index.0] = Some(self.read_symbol(index.0, symbol)?);
            }
        }
        Ok(())
    }

    /// The symbol's name, as the graph spells names.
    fn spelled(&self, symbol: &'data Entry) -> Result<&'data [u8], ObjectError> {
        let name = symbol.name(LE, self.file.symbols.strings());
        let name = name.map_err(|error| self.fail(ObjectProblem::Malformed(error.to_string())))?;
        Ok(match self.graph.spelling() {
            Spelling::Object => name,
            Spelling::C => name.strip_prefix(b"_").unwrap_or(name),
        })
    }

    fn read_symbol(&mut self, index: usize, symbol: &'data Entry) -> Result<SymbolId, ObjectError> {
        let name = self.spelled(symbol)?;
        if name.is_empty() && symbol.n_type.is_ext() {
            let what = format!("Symbol at index {index} has no name (string table index 0), but N_EXT bit is set");
            return Err(self.fail(ObjectProblem::Malformed(what)));
        }
        let (definition, value, kind, size) = self.definition(index, symbol)?;
        let desc = symbol.n_desc(LE);
        // What linkers name for themselves, and mapping symbols of assemblers.
        let labels = matches!(name, [b'l' | b'L', ..]) && name == self.raw_name(symbol);
        let local = !symbol.n_type.is_ext() && definition != Definition::Undefined;
        // Old compilers name records of call frame information for everybody.
        if local || definition == Definition::Discarded {
            let weak = desc.contains(macho::N_WEAK_DEF) && matches!(definition, Definition::Block(_));
            let kind = if labels && kind != SymbolKind::ThreadLocal { SymbolKind::Unknown } else { kind };
            return Ok(self.graph.add_local(Symbol {
                name,
                definition,
                value,
                size,
                address: 0,
                object: self.file.object,
                linkage: if weak { Linkage::Weak } else { Linkage::Strong },
                scope: Scope::Local,
                kind,
                needed: false,
                live: false,
            }));
        }
        let scope = if symbol.n_type.is_pext() { Scope::Hidden } else { Scope::Default };
        if definition == Definition::Undefined {
            if let Some((of, which)) = bound(name) {
                return Ok(self.graph.refer_to_bound(name, of, which, self.file.object));
            }
            return Ok(self.graph.refer(name, desc.contains(macho::N_WEAK_REF), scope, self.file.object));
        }
        let weak = desc.contains(macho::N_WEAK_DEF) && definition != Definition::Common;
        let linkage = if weak { Linkage::Weak } else { Linkage::Strong };
        let object = self.file.object;
        let offered = GlobalDefinition { definition, value, size, linkage, scope, kind, object };
        self.graph.define(name, offered).map_err(|redefinition| self.duplicate(redefinition))
    }

    fn raw_name(&self, symbol: &'data Entry) -> &'data [u8] {
        symbol.name(LE, self.file.symbols.strings()).unwrap_or_default()
    }

    /// Where `symbol` is, with its value in the graph's terms; what it is, and its size.
    fn definition(&self, index: usize, symbol: &Entry) -> Result<(Definition, u64, SymbolKind, u64), ObjectError> {
        let malformed = |what: String| {
            let what = format!("symbol '{}' {what}", self.file.symbol_name(index));
            self.fail(ObjectProblem::Malformed(what))
        };
        let value = symbol.n_value(LE);
        match symbol.n_type.typ() {
            macho::N_UNDF | macho::N_PBUD if value == 0 || !symbol.n_type.is_ext() => {
                Ok((Definition::Undefined, 0, SymbolKind::Unknown, 0))
            }
            // A tentative definition: its value is its size.
            macho::N_UNDF => {
                if value > MAX_ZEROS {
                    return Err(malformed(format!("has {value:#x} bytes, more than an address space holds")));
                }
                // Without a given alignment it is the natural one, up to that of the largest vector that C has.
                let given = u32::from(symbol.n_desc(LE).0 >> 8 & 0xf);
                let align = if given == 0 { value.next_power_of_two().trailing_zeros().min(4) } else { given };
                Ok((Definition::Common, 1 << align, SymbolKind::Object, value))
            }
            macho::N_ABS => Ok((Definition::Absolute, value, SymbolKind::Unknown, 0)),
            macho::N_SECT => {
                let Some((number, address)) = self.file.place_of(symbol) else {
                    return Err(malformed(format!("is in section number {}, which does not exist", symbol.n_sect)));
                };
                let part = &self.file.parts[number];
                if part.fate != Fate::Loaded {
                    return Ok((Definition::Discarded, 0, SymbolKind::Unknown, 0));
                }
                let start = (address >= part.address()).then(|| self.file.start_in(number, address)).flatten();
                let Some(start) = start else {
                    let end = part.address().saturating_add(part.size());
                    let section = String::from_utf8_lossy(part.name);
                    let what = format!("lies at {address:#x}, outside of {section} ({:#x}..{end:#x})", part.address());
                    return Err(malformed(what));
                };
                let block = self.graph.block(start.block);
                let offset = address - start.address;
                let kind = if part.is_thread_local() {
                    SymbolKind::ThreadLocal
                } else if !self.graph.section(block.section).prot.contains(Prot::EXEC) {
                    SymbolKind::Object
                } else if symbol.n_desc(LE).contains(macho::N_SYMBOL_RESOLVER) {
                    SymbolKind::Indirect
                } else {
                    SymbolKind::Function
                };
                // The format has no sizes. A block ends where another symbol stands, but for entries in its middle.
                Ok((Definition::Block(start.block), offset, kind, block.size.saturating_sub(offset)))
            }
            macho::N_INDR => {
                Err(malformed("is another name of an undefined one (N_INDR), which is not supported".into()))
            }
            other => Err(malformed(format!("is of type {:#x}, which does not exist", other.0))),
        }
    }
}

/// `section$start$SEGMENT$section` and `section$end$SEGMENT$section` (ld64(1)): the section's name as the graph has it, and which of its bounds. Sections that compilers
/// make have no bounds.
fn bound(name: &[u8]) -> Option<(&[u8], LinkerSymbol)> {
    let rest = name.strip_prefix(b"section$")?;
    let (which, rest) = match rest.strip_prefix(b"start$") {
        Some(rest) => (LinkerSymbol::SectionStart, rest),
        None => (LinkerSymbol::SectionStop, rest.strip_prefix(b"end$")?),
    };
    let at = rest.iter().position(|byte| *byte == b'$')?;
    let (segment, section) = (&rest[..at], &rest[at + 1..]);
    (sections::full_name(segment, section) == section).then_some((section, which))
}
