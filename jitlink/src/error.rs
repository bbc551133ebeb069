//! Why a link failed: each error names object, section+offset, function, symbol, and where known what would help.

use crate::arch::TlsModel;
use crate::graph::{BlockId, Definition, LinkGraph, SymbolKind};
use crate::memory::MemoryError;
use crate::pass::eh_frame::EhFrameError;
use crate::pass::merge::MergeError;
use std::fmt;

/// A place in an object, in a user's words.
#[derive(Clone, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The object.
    pub object: String,
    /// The section.
    pub section: String,
    /// Offset in the section's block, in bytes.
    pub offset: u64,
    /// The function or variable that it lies in, as the object spells it.
    pub within: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:({}+{:#x})", self.object, self.section, self.offset)?;
        match &self.within {
            Some(within) => write!(f, " in {within}"),
            None => Ok(()),
        }
    }
}

/// One name that nobody defines, and who asked for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unresolved {
    /// The name, as the objects spell it.
    pub name: String,
    /// It is hidden: only an object of the same dylib could define it.
    pub hidden: bool,
    /// Every place that refers to it, in order.
    pub references: Vec<Place>,
}

/// A link that failed. Nothing of it is visible anywhere.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// Names that nobody defines: all of them.
    #[error("{} unresolved symbol{}: {}", .0.len(), if .0.len() == 1 { "" } else { "s" }, list(.0))]
    Unresolved(Vec<Unresolved>),
    /// A value does not fit its field.
    #[error("{place}: {kind} to '{symbol}' at {target:#x} is out of range: {value:#x} does not fit{}", help.as_deref().map(|h| format!(" ({h})")).unwrap_or_default())]
    OutOfRange {
        /// Where the field is.
        place: Box<Place>,
        /// The name of the fixup.
        kind: &'static str,
        /// The symbol.
        symbol: String,
        /// Its address.
        target: u64,
        /// The address of the field.
        at: u64,
        /// What should have been written.
        value: i64,
        /// What would help.
        help: Option<String>,
    },
    /// An access to thread-local storage that cannot be had.
    #[error("{place}: thread-local variable '{symbol}' is accessed by the {model} model, {why}")]
    ThreadLocal {
        /// Where.
        place: Box<Place>,
        /// The variable.
        symbol: String,
        /// The access model.
        model: TlsModel,
        /// What is in the way, and what would help.
        why: String,
    },
    /// One says that it is thread-local, and another that it is not.
    #[error("'{symbol}' is {} where it is defined, but {place} refers to {}", if *.defined { "thread-local" } else { "not thread-local" }, if *.defined { "an ordinary one" } else { "a thread-local one" })]
    ThreadLocalMismatch {
        /// Who refers to it.
        place: Box<Place>,
        /// The name.
        symbol: String,
        /// Whether the definition is thread-local.
        defined: bool,
    },
    /// Live code refers to something that was dropped with its section group.
    #[error("{place}: refers to '{symbol}', whose section was dropped because an earlier object has the same group")]
    Discarded {
        /// Where.
        place: Box<Place>,
        /// What.
        symbol: String,
    },
    /// Sections of one name that must stand together and cannot be in one memory.
    #[error(
        "section {section} holds code in {code} and variables in {data}: __start_{section} and __stop_{section} cannot enclose both, since memory is never executable and writable"
    )]
    MixedSections {
        /// The name of the sections.
        section: String,
        /// An object in which it is executable.
        code: String,
        /// An object in which it is writable.
        data: String,
    },
    /// A root that nobody defines.
    #[error("'{0}' is to be kept, but no object defines it")]
    NoRoot(String),
    /// Call frame information that cannot be read.
    #[error(transparent)]
    EhFrame(#[from] EhFrameError),
    /// A merge section that cannot be split.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// No memory.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// A plugin refused.
    #[error("{0}")]
    Plugin(Box<dyn std::error::Error + Send + Sync>),
}

fn list(unresolved: &[Unresolved]) -> String {
    let mut text = String::new();
    for (i, one) in unresolved.iter().enumerate() {
        text.push_str(if i == 0 { "" } else { ", " });
        text.push_str(&one.name);
        if let Some(place) = one.references.first() {
            text.push_str(&format!(" (referenced by {place})"));
        }
    }
    text
}

/// Finds the function or variable around a place. Made once for all messages of a failed link.
pub(crate) struct Places<'g, 'data> {
    graph: &'g LinkGraph<'data>,
    /// Block, offset and symbol index of named symbols, sorted.
    starts: Vec<(BlockId, u64, usize)>,
}

impl<'g, 'data> Places<'g, 'data> {
    pub(crate) fn new(graph: &'g LinkGraph<'data>) -> Self {
        let named = graph.symbols.iter().enumerate().filter_map(|(i, symbol)| match symbol.definition {
            Definition::Block(block) if !symbol.name.is_empty() && symbol.kind != SymbolKind::Section => {
                Some((block, symbol.value, i))
            }
            _ => None,
        });
        let mut starts: Vec<_> = named.collect();
        starts.sort_unstable();
        Self { graph, starts }
    }

    /// The place, boxed: errors stay small.
    pub(crate) fn boxed(&self, block: BlockId, offset: u64) -> Box<Place> {
        Box::new(self.place(block, offset))
    }

    pub(crate) fn place(&self, block: BlockId, offset: u64) -> Place {
        let section = self.graph.section_of(block);
        let after = self.starts.partition_point(|(b, value, _)| (*b, *value) <= (block, offset));
        let within = after.checked_sub(1).map(|i| self.starts[i]).filter(|(b, ..)| *b == block);
        let name = |index: usize| String::from_utf8_lossy(self.graph.symbols[index].name).into_owned();
        Place {
            object: self.graph.object(section.object).name.clone(),
            section: String::from_utf8_lossy(section.name).into_owned(),
            offset,
            within: within.map(|(.., index)| name(index)),
        }
    }
}
