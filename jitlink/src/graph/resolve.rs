//! Who wins: the rules for several definitions of one global name.
//!
//! gABI "Symbol Table": one strong definition, any number of weak ones, which yield; common symbols merge to the largest
//! size and alignment and yield to a strong definition. Two strong ones are an error that names both objects.

use crate::memory::ThreadLocal;

use super::names::Hashed;
use super::{
    BlockId, Definition, LinkGraph, Linkage, LinkerSymbol, ObjectId, Rare, Role, Scope, Symbol, SymbolId, SymbolKind,
};

/// A definition of a global name, as an object offers it.
#[derive(Clone, Copy, Debug)]
pub struct GlobalDefinition {
    /// Where.
    pub definition: Definition,
    /// Offset, value, or alignment: see [`Symbol::value`].
    pub value: u64,
    /// Size in bytes.
    pub size: u64,
    /// Who wins.
    pub linkage: Linkage,
    /// Who sees it.
    pub scope: Scope,
    /// What it names.
    pub kind: SymbolKind,
    /// The object that offers it.
    pub object: ObjectId,
}

/// Two strong definitions of one name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Redefinition {
    /// The name's symbol.
    pub symbol: SymbolId,
    /// The object that had it first.
    pub first: ObjectId,
    /// The object that defines it again.
    pub second: ObjectId,
}

impl<'data> LinkGraph<'data> {
    /// Says that `object` refers to the global `name`. A weak reference neither fetches archive members nor fails when nobody defines it.
    #[inline]
    pub fn refer(&mut self, name: &'data [u8], weak: bool, scope: Scope, object: ObjectId) -> SymbolId {
        self.refer_hashed(Hashed::new(name), weak, scope, object)
    }

    #[inline]
    pub(crate) fn refer_hashed(
        &mut self,
        hashed: Hashed<'data>,
        weak: bool,
        scope: Scope,
        object: ObjectId,
    ) -> SymbolId {
        let name = hashed.name;
        let (id, new) = self.names.intern(hashed, &mut self.symbols, || Symbol {
            name,
            definition: Definition::Undefined,
            value: 0,
            size: 0,
            address: 0,
            object,
            linkage: Linkage::Strong,
            scope: Scope::Default,
            kind: SymbolKind::Unknown,
            needed: false,
            live: false,
        });
        if new {
            self.note_version(name);
        }
        let symbol = &mut self.symbols[id.index()];
        // gABI: the most constraining visibility of all references and definitions becomes that of the symbol.
        symbol.scope = symbol.scope.min(scope);
        if symbol.definition == Definition::Undefined {
            let newly_needed = !weak && !symbol.needed;
            if newly_needed {
                symbol.needed = true;
                symbol.object = object;
            }
            if new {
                self.offer_linker_symbol(id);
            }
            let symbol = &self.symbols[id.index()];
            if newly_needed && symbol.definition == Definition::Undefined {
                self.wanted.push(id);
            }
        } else {
            symbol.needed |= !weak;
        }
        id
    }

    /// Says that `object` refers to a bound of the sections that are called `of`, by a name of its format's own: as `__start_X` and `__stop_X` are in ELF.
    pub(crate) fn refer_to_bound(
        &mut self,
        name: &'data [u8],
        of: &'data [u8],
        which: LinkerSymbol,
        object: ObjectId,
    ) -> SymbolId {
        let id = self.refer(name, false, Scope::Hidden, object);
        if self.symbols[id.index()].definition == Definition::Undefined {
            let number = self.bounds.number(of);
            let symbol = &mut self.symbols[id.index()];
            symbol.definition = Definition::Linker(which);
            symbol.value = number.into();
        }
        id
    }

    /// Defines the global `name`, or lets an earlier definition stand.
    ///
    /// # Errors
    /// When both are strong.
    #[inline]
    pub fn define(&mut self, name: &'data [u8], offered: GlobalDefinition) -> Result<SymbolId, Redefinition> {
        self.define_hashed(Hashed::new(name), offered)
    }

    #[inline]
    pub(crate) fn define_hashed(
        &mut self,
        hashed: Hashed<'data>,
        mut offered: GlobalDefinition,
    ) -> Result<SymbolId, Redefinition> {
        let name = hashed.name;
        if self.role == Role::Hidden {
            offered.scope = offered.scope.min(Scope::Hidden);
        }
        let (id, new) = self.names.intern(hashed, &mut self.symbols, || Symbol {
            name,
            definition: offered.definition,
            value: offered.value,
            size: offered.size,
            address: 0,
            object: offered.object,
            linkage: offered.linkage,
            scope: offered.scope,
            kind: offered.kind,
            needed: false,
            live: false,
        });
        self.rare |= Rare::of(offered.definition, offered.kind);
        if new {
            self.note_version(name);
        } else {
            self.settle(id, offered)?;
        }
        Ok(id)
    }

    /// Makes a local symbol of an object under test what somebody asks for under its name.
    #[cold]
    pub(super) fn promote(&mut self, symbol: &Symbol<'data>) -> Option<SymbolId> {
        let asked = self.find(symbol.name).filter(|_| !symbol.name.is_empty() && symbol.is_defined())?;
        let standing = self.symbol(asked);
        if standing.definition != Definition::Undefined {
            let by_a_test = self.object(standing.object).role == Role::Ordinary;
            return by_a_test.then_some(asked);
        }
        let Symbol { name, definition, value, size, linkage, kind, object, .. } = *symbol;
        let scope = Scope::Default;
        self.define(name, GlobalDefinition { definition, value, size, linkage, scope, kind, object }).ok()
    }

    #[inline]
    fn note_version(&mut self, name: &[u8]) {
        if name.contains(&b'@') {
            self.rare |= Rare::VERSIONED;
        }
    }

    fn settle(&mut self, id: SymbolId, offered: GlobalDefinition) -> Result<(), Redefinition> {
        use Definition::{Common, Discarded, Linker, Undefined};
        let symbol = &mut self.symbols[id.index()];
        symbol.scope = symbol.scope.min(offered.scope);
        let take = match (symbol.definition, offered.definition) {
            (_, Undefined | Discarded | Linker(_)) => false,
            (Undefined | Discarded | Linker(_), _) => true,
            (Common, Common) => {
                symbol.value = symbol.value.max(offered.value);
                if offered.size > symbol.size {
                    symbol.size = offered.size;
                    symbol.object = offered.object;
                }
                false
            }
            (Common, _) => offered.linkage == Linkage::Strong,
            (_, Common) => symbol.linkage != Linkage::Strong,
            _ => match (symbol.linkage, offered.linkage) {
                // `f` and its default version `f@@V` may both be in one object, for the same place.
                (Linkage::Strong, Linkage::Strong)
                    if (symbol.definition, symbol.value, symbol.object)
                        == (offered.definition, offered.value, offered.object) =>
                {
                    false
                }
                (Linkage::Strong, Linkage::Strong) if self.role == Role::Tested => false,
                (Linkage::Strong, Linkage::Strong) => {
                    return Err(Redefinition { symbol: id, first: symbol.object, second: offered.object });
                }
                (_, Linkage::Strong) => true,
                _ => false,
            },
        };
        if take {
            symbol.definition = offered.definition;
            symbol.value = offered.value;
            symbol.size = offered.size;
            symbol.linkage = offered.linkage;
            symbol.kind = offered.kind;
            symbol.object = offered.object;
        }
        Ok(())
    }

    /// Says that the dylib has `name` already, at `address`, from an earlier batch: references bind to it, weak definitions yield to it.
    pub fn predefine(&mut self, name: &'data [u8], address: u64, kind: SymbolKind, linkage: Linkage, by: ObjectId) {
        let prior = GlobalDefinition {
            definition: Definition::Absolute,
            value: address,
            size: 0,
            linkage,
            scope: Scope::Default,
            kind,
            object: by,
        };
        // The first definition of a name cannot clash with another.
        let _ = self.define(name, prior);
    }

    /// As [`Self::predefine`], for a thread-local variable.
    pub fn predefine_thread_local(&mut self, name: &'data [u8], place: ThreadLocal, linkage: Linkage, by: ObjectId) {
        self.predefine(name, place.address(), SymbolKind::ThreadLocal, linkage, by);
        if let Some(id) = self.find(name) {
            self.thread_locals.push((id, place));
        }
    }

    /// Names that became wanted (by more than weak references) since the last call and that nobody defines yet, in the order in
    /// which they were first wanted. Archives answer these: each answer may want more.
    pub fn take_wanted(&mut self) -> Vec<SymbolId> {
        let mut wanted = std::mem::take(&mut self.wanted);
        wanted.retain(|id| self.symbols[id.index()].definition == Definition::Undefined);
        wanted
    }

    /// Makes `alias` another name of the place that `of` names.
    pub fn alias(&mut self, alias: &'data [u8], of: SymbolId, by: ObjectId) -> Result<SymbolId, Redefinition> {
        let s = self.symbol(of);
        let (definition, value, size, linkage, kind) = (s.definition, s.value, s.size, s.linkage, s.kind);
        let offered = GlobalDefinition { definition, value, size, linkage, scope: Scope::Default, kind, object: by };
        let made = self.define(alias, offered)?;
        self.aliases.push(made);
        Ok(made)
    }

    /// `f@V` is `f@@V` where this graph defines that: the default version of `f` is one of its versions (GNU symbol versioning).
    pub(crate) fn bind_default_versions(&mut self) {
        if !self.rare.contains(Rare::VERSIONED) {
            return;
        }
        let mut default = Vec::new();
        for index in 0..self.symbols.len() {
            let symbol = &self.symbols[index];
            if symbol.definition != Definition::Undefined {
                continue;
            }
            let Some(at) = symbol.name.iter().position(|byte| *byte == b'@') else { continue };
            default.clear();
            default.extend_from_slice(&symbol.name[..at]);
            default.push(b'@');
            default.extend_from_slice(&symbol.name[at..]);
            if let Some(of) = self.find(&default).filter(|id| self.symbol(*id).is_defined()) {
                let Symbol { definition, value, size, linkage, kind, object, .. } = *self.symbol(of);
                let symbol = &mut self.symbols[index];
                *symbol = Symbol { definition, value, size, linkage, kind, object, ..*symbol };
            }
        }
    }

    /// Recognizes the names that linkers define: they stand until an object defines them.
    fn offer_linker_symbol(&mut self, id: SymbolId) {
        let name = self.symbols[id.index()].name;
        if name.len() < 8 || name[0] != b'_' {
            return;
        }
        let (definition, value) = match name {
            b"_GLOBAL_OFFSET_TABLE_" => (LinkerSymbol::GlobalOffsetTable, 0),
            b"_TLS_MODULE_BASE_" => (LinkerSymbol::ThreadLocalBase, 0),
            b"__ehdr_start" | b"__executable_start" => (LinkerSymbol::Header, 0),
            b"__dso_handle" => (LinkerSymbol::Header, crate::linked::DSO_HANDLE_OFFSET),
            _ => {
                let (of, which) = if let Some(of) = name.strip_prefix(b"__start_") {
                    (of, LinkerSymbol::SectionStart)
                } else if let Some(of) = name.strip_prefix(b"__stop_") {
                    (of, LinkerSymbol::SectionStop)
                } else {
                    return;
                };
                (which, self.bounds.number(of).into())
            }
        };
        let symbol = &mut self.symbols[id.index()];
        symbol.definition = Definition::Linker(definition);
        symbol.value = value;
    }

    /// Gives a definition up for one outside of this graph: from now on the symbol is undefined, and needed.
    pub fn import(&mut self, id: SymbolId) {
        let symbol = &mut self.symbols[id.index()];
        symbol.definition = Definition::Undefined;
        symbol.value = 0;
        symbol.needed = true;
    }

    /// A common symbol also stands for one of this size and alignment in another graph: the larger of both wins.
    pub fn widen_common(&mut self, id: SymbolId, size: u64, align: u64) {
        let symbol = &mut self.symbols[id.index()];
        if symbol.definition == Definition::Common {
            symbol.size = symbol.size.max(size);
            symbol.value = symbol.value.max(align);
        }
    }

    /// The block and offset that a symbol stands at.
    #[must_use]
    pub fn location(&self, id: SymbolId) -> Option<(BlockId, u64)> {
        let symbol = self.symbol(id);
        symbol.block().map(|block| (block, symbol.value))
    }
}
