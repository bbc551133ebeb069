//! The model as a drawing: `orc inspect --format dot x.o | dot -Tsvg`.
//!
//! A node for each block and for each name from outside, an arrow for each pair of them that edges join; each object is a box.

use super::model::{BlockModel, Model, SectionModel};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

/// So many names are written into a block's node.
const NAMES: usize = 4;

/// The whole drawing.
pub(super) fn write(model: &Model, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "digraph \"link graph\" {{")?;
    writeln!(out, "  rankdir=LR;\n  node [shape=box, fontname=\"monospace\"];")?;
    let linked = model.objects.iter().flat_map(|object| &object.sections).flat_map(|section| &section.blocks);
    let linked = linked.clone().any(|block| block.address.is_some());
    let mut arrows: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut outside = BTreeSet::new();
    for (index, object) in model.objects.iter().enumerate() {
        // Blocks are numbered by graph: joined objects share one, others have one each.
        let graph = if linked { 0 } else { index };
        writeln!(out, "  subgraph cluster_{index} {{\n    label={};", quote(&object.name))?;
        for section in &object.sections {
            for block in &section.blocks {
                let node = format!("b{graph}_{}", block.id);
                writeln!(out, "    {node} [label={}];", quote(&label(section, block)))?;
                for edge in &block.edges {
                    let target = match edge.target_block {
                        Some(id) => format!("b{graph}_{id}"),
                        None => {
                            let name = edge.demangled.as_deref().unwrap_or(&edge.target);
                            outside.insert(name);
                            quote(&format!("s {name}"))
                        }
                    };
                    *arrows.entry((node.clone(), target)).or_default() += 1;
                }
            }
        }
        writeln!(out, "  }}")?;
    }
    for name in outside {
        writeln!(out, "  {} [label={}, shape=ellipse, style=dashed];", quote(&format!("s {name}")), quote(name))?;
    }
    for ((from, to), times) in arrows {
        match times {
            1 => writeln!(out, "  {from} -> {to};")?,
            _ => writeln!(out, "  {from} -> {to} [label=\"{times}\"];")?,
        }
    }
    writeln!(out, "}}")
}

fn label(section: &SectionModel, block: &BlockModel) -> String {
    let mut label = format!("{} {} bytes", section.name, block.size);
    if let Some(address) = block.address {
        label += &format!(" at {address:#x}");
    }
    for symbol in block.symbols.iter().take(NAMES) {
        label += "\n";
        label += symbol.name.shown();
    }
    if block.symbols.len() > NAMES {
        label += &format!("\n... {} more", block.symbols.len() - NAMES);
    }
    label
}

/// A quoted string of the DOT language.
fn quote(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}
