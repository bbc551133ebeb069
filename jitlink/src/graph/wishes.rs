//! What objects ask of the link besides blocks and symbols: names to keep, values to agree on, and what is only told.

use super::{LinkGraph, ObjectId, SymbolId};
use std::collections::HashMap;

/// By which convention the functions of an object call and are called, where a machine has several.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub enum Convention {
    /// That of the machine's psABI.
    #[default]
    System,
    /// Microsoft's ("x64 calling convention").
    Microsoft,
}

/// Values that all objects have to agree on, by key.
pub(crate) type Agreements<'data> = HashMap<&'data [u8], (&'data [u8], ObjectId)>;

/// Something in an object that the link leaves undone, told to who wants to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// The object.
    pub object: ObjectId,
    /// What of it.
    pub text: String,
    /// Whether the object asks for something that the link does not know, rather than for what is left to others.
    pub is_warning: bool,
}

impl<'data> LinkGraph<'data> {
    /// Says that `cell` names a word with the address of `target`; if nobody defines it, pruning makes it.
    pub fn import_through(&mut self, cell: SymbolId, target: SymbolId) {
        self.imports.push((cell, target));
    }

    /// Keeps what `symbol` names, though nobody refers to it.
    pub fn keep(&mut self, symbol: SymbolId) {
        self.kept.push(symbol);
    }

    /// Says that `object` has this value for `key`. Gives the object that has another one, with its value.
    pub fn agree(&mut self, key: &'data [u8], value: &'data [u8], object: ObjectId) -> Option<(ObjectId, &'data [u8])> {
        let (said, by) = *self.agreements.entry(key).or_insert((value, object));
        (said != value).then_some((by, said))
    }

    /// Says that the functions of `object`, which was read, follow `convention`. Gives an object whose functions follow another one.
    pub(crate) fn follow(&mut self, convention: Convention, object: ObjectId) -> Result<(), ObjectId> {
        let (known, first) = *self.convention.get_or_insert((convention, object));
        if known == convention { Ok(()) } else { Err(first) }
    }

    /// Tells what is left to others.
    pub fn note(&mut self, object: ObjectId, text: impl Into<String>) {
        self.notes.push(Note { object, text: text.into(), is_warning: false });
    }

    /// Tells that something is asked for that is not known.
    pub fn warn(&mut self, object: ObjectId, text: impl Into<String>) {
        self.notes.push(Note { object, text: text.into(), is_warning: true });
    }

    /// What was told, in order.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }
}
