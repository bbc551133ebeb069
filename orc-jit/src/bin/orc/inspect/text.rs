//! The model for people.

use super::model::{BlockModel, Model, ObjectModel};
use std::io::{self, Write};

/// Everything, object by object.
pub(super) fn write(model: &Model, out: &mut impl Write) -> io::Result<()> {
    for (index, object) in model.objects.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        write_object(object, out)?;
    }
    Ok(())
}

fn write_object(object: &ObjectModel, out: &mut impl Write) -> io::Result<()> {
    let blocks: Vec<&BlockModel> = object.sections.iter().flat_map(|section| &section.blocks).collect();
    let symbols = object.symbols.len() + blocks.iter().map(|block| block.symbols.len()).sum::<usize>();
    writeln!(
        out,
        "{} ({}): {}, {}, {}, {}, {} bytes",
        object.name,
        object.machine,
        count(object.sections.len(), "section"),
        count(blocks.len(), "block"),
        count(symbols, "symbol"),
        count(blocks.iter().map(|block| block.edges.len()).sum(), "edge"),
        blocks.iter().map(|block| block.size).sum::<u64>(),
    )?;
    for section in &object.sections {
        write!(out, "  {} {} {} bytes", section.name, section.prot, section.size)?;
        if section.kind != "regular" {
            write!(out, ", {}", section.kind)?;
        }
        for flag in &section.flags {
            write!(out, ", {flag}")?;
        }
        writeln!(out)?;
        for block in &section.blocks {
            write_block(block, out)?;
        }
    }
    for symbol in &object.symbols {
        write!(out, "  {}: {}", symbol.definition, symbol.name.shown())?;
        match symbol.value {
            Some(value) => writeln!(out, " = {value:#x}")?,
            None => writeln!(out)?,
        }
    }
    Ok(())
}

fn write_block(block: &BlockModel, out: &mut impl Write) -> io::Result<()> {
    write!(out, "    block-{}", block.id)?;
    if let Some(address) = block.address {
        write!(out, " at {address:#x}")?;
    }
    write!(out, ", {:#x} bytes, align {}", block.size, block.align)?;
    writeln!(out, "{}", if block.zero_fill { ", zeros" } else { "" })?;
    // Symbols and edges in one list by offset: symbols first, as a disassembler shows labels.
    let mut symbols = block.symbols.iter().peekable();
    let mut edges = block.edges.iter().peekable();
    loop {
        let symbol_is_next = match (symbols.peek(), edges.peek()) {
            (None, None) => return Ok(()),
            (Some(symbol), Some(edge)) => symbol.offset <= edge.offset,
            (symbol, _) => symbol.is_some(),
        };
        if symbol_is_next {
            let Some(symbol) = symbols.next() else { return Ok(()) };
            write!(out, "      {:#06x} {}:", symbol.offset, symbol.name.shown())?;
            let plain = ["default", "strong", "unknown"];
            for word in [symbol.scope, symbol.linkage, symbol.kind].iter().filter(|word| !plain.contains(word)) {
                write!(out, " {word}")?;
            }
            writeln!(out, ", {:#x} bytes", symbol.size)?;
        } else {
            let Some(edge) = edges.next() else { return Ok(()) };
            let target = edge.demangled.as_deref().unwrap_or(&edge.target);
            write!(out, "      {:#06x}   {} -> {target}", edge.offset, edge.kind)?;
            match edge.addend {
                0 => writeln!(out)?,
                addend if addend < 0 => writeln!(out, " - {:#x}", addend.unsigned_abs())?,
                addend => writeln!(out, " + {addend:#x}")?,
            }
        }
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
