//! Objects that are linked at need: what they define, before they are read into the graph that they may become part of.

use super::Part;
use crate::error::Error;
use crate::source::Item;
use jitlink::LinkGraph;
use jitlink::graph::{Linkage, Scope, Spelling};
use jitlink::object::archive::MemberId;
use jitlink::object::{self, ReadOptions};
use std::collections::HashMap;

/// Stands for the object as if it were the only member of an archive: no member of one begins where its magic stands.
pub(super) const WHOLE: MemberId = MemberId::from_offset(0);

/// Who defines what for good: two such definitions are a mistake, also where nobody needs the second.
pub(super) struct Strong<'p> {
    part: &'p Part,
    spelling: Spelling,
    /// By name, who has it.
    names: HashMap<Box<[u8]>, String>,
}

impl<'p> Strong<'p> {
    pub(super) fn new(part: &'p Part, spelling: Spelling) -> Self {
        let given = part.items.iter().filter_map(|item| match item {
            Item::Absolute { name, .. } | Item::Alias { name, .. } => Some(name),
            _ => None,
        });
        let by = format!("<symbols of {}>", part.name);
        Self { part, spelling, names: given.map(|name| (name.as_bytes().into(), by.clone())).collect() }
    }

    /// The global names that the object defines which is item number `item`.
    pub(super) fn names<'f>(&mut self, item: usize, bytes: &'f [u8]) -> Result<Vec<&'f [u8]>, Error> {
        let file = self.part.items.get(item).and_then(Item::file).unwrap_or_default();
        let Some(machine) = object::detect::FileKind::detect(bytes).machine() else {
            // Reading it says what it is.
            return Ok(Vec::new());
        };
        let mut graph = LinkGraph::new(machine).spelled(self.spelling);
        let _ = object::read_names(&mut graph, &file, bytes, ReadOptions::default())?;
        let mut defined = Vec::new();
        for symbol in graph.symbols().iter().filter(|symbol| symbol.is_defined() && symbol.scope > Scope::Local) {
            defined.push(symbol.name);
            let common = matches!(symbol.definition, jitlink::graph::Definition::Common);
            if symbol.linkage == Linkage::Strong
                && !common
                && let Some(first) = self.names.insert(symbol.name.into(), file.clone())
            {
                let symbol = String::from_utf8_lossy(symbol.name).into_owned();
                return Err(Error::Duplicate { symbol, first, second: file });
            }
        }
        Ok(defined)
    }
}
