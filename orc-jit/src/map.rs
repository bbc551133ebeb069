//! The link map: which input stands where. Made only when it is asked for.

use jitlink::Linked;
use jitlink::graph::{BlockId, SymbolKind};
use std::fmt;

/// One block of linked memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapEntry {
    /// The dylib that it belongs to.
    pub dylib: String,
    /// The object that it came from: a path, or `archive.a(member.o)`; `<linker>` for what the linker made.
    pub object: String,
    /// Its section, as the object spells it.
    pub section: String,
    /// Where it is in the executor.
    pub address: u64,
    /// Its size in bytes.
    pub size: u64,
    /// The functions and variables in it, by address.
    pub symbols: Vec<(u64, String)>,
}

/// One block a line, as GNU ld's map has it; its symbols below it.
impl fmt::Display for MapEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dylib, object, section, address, size, symbols } = self;
        writeln!(f, "{address:#018x} {size:#10x} {dylib} {object}:({section})")?;
        for (address, name) in symbols {
            writeln!(f, "{address:#018x}            {}", crate::diagnose::demangle(name))?;
        }
        Ok(())
    }
}

/// Everything that a link placed, by address.
pub(crate) fn entries<A>(dylib: &str, linked: &Linked<'_, A>) -> Vec<MapEntry> {
    let graph = linked.graph();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut of_block: Vec<Option<usize>> = vec![None; graph.blocks().len()];
    let mut entries = Vec::new();
    for (index, block) in graph.blocks().iter().enumerate().filter(|(_, block)| block.live && block.size > 0) {
        let section = graph.section_of(BlockId::from_index(index));
        of_block[index] = Some(entries.len());
        entries.push(MapEntry {
            dylib: dylib.to_owned(),
            object: graph.object(section.object).name.clone(),
            section: text(section.name),
            address: block.address,
            size: block.size,
            symbols: Vec::new(),
        });
    }
    for symbol in graph.symbols() {
        let entry = symbol.block().and_then(|block| of_block[block.index()]);
        if let Some(entry) = entry
            && symbol.kind != SymbolKind::Section
            && !symbol.name.is_empty()
        {
            // The name of an indirect function stands for its stub: what stands here is the resolver.
            let start = entries[entry].address.wrapping_add(symbol.value);
            entries[entry].symbols.push((start, text(symbol.name)));
        }
    }
    for entry in &mut entries {
        entry.symbols.sort();
    }
    entries.sort_by_key(|entry| entry.address);
    entries
}
