//! `-show-graphs` and `-show-addrs`: what was linked, as text.

use super::picture::{Block, Edge, Label, Object, Picture, Stub, Target, Way};
use super::words;
use jitlink::graph::{Linkage, Scope};
use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

/// The graph of one file, as LLVM writes it.
pub(super) fn graph(picture: &Picture, object: &Object) -> String {
    let mut out = String::new();
    // A string takes everything.
    let _ = write_graph(&mut out, picture, object);
    out
}

fn write_graph(out: &mut String, picture: &Picture, object: &Object) -> fmt::Result {
    writeln!(out, "Link graph \"{}\" post-fixup:", object.name)?;
    for section in &object.sections {
        write_section(out, picture, &section.name, &section.blocks)?;
    }
    // Of the tables, what the file refers to.
    let edges = object.sections.iter().flat_map(|section| &section.blocks).flat_map(|block| &block.edges);
    let names: BTreeSet<&str> = edges.filter_map(|edge| edge.target.name()).collect();
    let stubs = picture.stubs.iter().filter(|(name, _)| names.contains(name.as_str()));
    let slots = picture.slots.iter().map(|(name, address)| (name, *address));
    let slots = slots.chain(picture.stubs.iter().map(|(name, stub)| (name, stub.slot)));
    let word = u64::from(picture.machine.pointer_size);
    let slots = slots.filter(|(name, _)| names.contains(name.as_str()));
    let pointer = if word == 8 { "Pointer64" } else { "Pointer32" };
    let slots =
        slots.map(|(name, address)| table_entry(address, word, word, (0, pointer, Target::Named(name.clone()))));
    // A stub of several instructions has an edge for the first.
    let first = picture.machine.stub.slot_fixups.first();
    let (at, kind) =
        first.map_or((0, "Keep-Alive"), |(at, kind, _)| (u64::from(*at), picture.machine.fixup(*kind).name));
    let stubs = stubs
        .map(|(_, Stub { address, size, slot })| table_entry(*address, *size, 1, (at, kind, Target::Place(*slot, 0))));
    write_table(out, picture, "$__STUBS", stubs.collect())?;
    write_table(out, picture, "$__GOT", slots.collect())?;
    write_list(out, "Absolute", &object.absolute)?;
    writeln!(out)?;
    write_list(out, "External", &object.external)
}

/// One entry of a table, with its only edge.
fn table_entry(address: u64, size: u64, align: u64, (offset, kind, target): (u64, &'static str, Target)) -> Block {
    let label = Label {
        name: String::new(),
        address,
        size,
        linkage: Linkage::Strong,
        scope: Scope::Local,
        live: false,
        section: false,
    };
    let edges = vec![Edge { offset, kind, way: Way::Direct, addend: 0, target }];
    Block { address, size, align, zero: false, symbols: vec![label], edges }
}

fn write_table(out: &mut String, picture: &Picture, name: &str, mut blocks: Vec<Block>) -> fmt::Result {
    if blocks.is_empty() {
        return Ok(());
    }
    blocks.sort_by_key(|block| block.address);
    write_section(out, picture, name, &blocks)
}

fn write_section(out: &mut String, picture: &Picture, name: &str, blocks: &[Block]) -> fmt::Result {
    writeln!(out, "section {name}:\n")?;
    blocks.iter().try_for_each(|block| write_block(out, picture, block))
}

/// What an edge refers to in the tables, if it does: its target's slot, or the stub that a branch leads to because the target is too far away.
fn in_table(picture: &Picture, block: &Block, edge: &Edge) -> Option<u64> {
    let name = edge.target.name()?;
    match edge.way {
        Way::Direct => None,
        Way::Slot => picture.slots.get(name).copied(),
        Way::Branch(bits) => {
            let stub = picture.stubs.get(name)?;
            let to = picture.symbols.get(name).map(|named| named.address)?;
            let place = block.address.wrapping_add(edge.offset);
            let distance = to.wrapping_add_signed(edge.addend).wrapping_sub(place) as i64;
            let reached = distance >> bits == 0 || distance >> bits == -1;
            (!reached).then_some(stub.address)
        }
    }
}

fn write_block(out: &mut String, picture: &Picture, block: &Block) -> fmt::Result {
    let Block { address, size, align, zero, .. } = block;
    let zero = if *zero { ", zero-fill" } else { "" };
    writeln!(out, "  block {address:#x} size = {}, align = {align}, alignment-offset = 0{zero}", hex(*size))?;
    // What the linker made has symbols that nobody is to find.
    let shown = |symbol: &&Label| symbol.live || symbol.name.is_empty();
    let mut live = block.symbols.iter().filter(shown).peekable();
    if live.peek().is_none() {
        writeln!(out, "    no symbols")?;
    } else {
        writeln!(out, "    symbols:")?;
        for symbol in live {
            writeln!(out, "      {}", Shown { label: symbol, within: "block", start: *address })?;
        }
    }
    if block.edges.is_empty() {
        writeln!(out, "    no edges")?;
    } else {
        writeln!(out, "    edges:")?;
        for edge in &block.edges {
            let Edge { offset, kind, addend, target, .. } = edge;
            let (kind, addend) = words::kind_and_addend(picture, kind, *addend);
            let (sign, amount) = if addend < 0 { ('-', addend.unsigned_abs()) } else { ('+', addend as u64) };
            let place = address.wrapping_add(*offset);
            write!(
                out,
                "      {place:#x} (block + {}), addend = {sign}{}, kind = {kind}, target = ",
                hex(*offset),
                hex(amount)
            )?;
            match (in_table(picture, block, edge), target) {
                (Some(slot), _) => writeln!(out, "addressable@{slot:#x}+{}", hex(0))?,
                (None, Target::Named(name)) => writeln!(out, "{name}")?,
                (None, Target::Place(block, offset)) => writeln!(out, "addressable@{block:#x}+{}", hex(*offset))?,
            }
        }
    }
    writeln!(out)
}

fn write_list(out: &mut String, what: &str, symbols: &[Label]) -> fmt::Result {
    writeln!(out, "{what} symbols:")?;
    if symbols.is_empty() {
        writeln!(out, "  none")?;
    }
    for symbol in symbols {
        let shown = Shown { label: symbol, within: "addressable", start: symbol.address };
        writeln!(out, "  {:#x}: {shown}", symbol.address)?;
    }
    Ok(())
}

/// Eight digits at least.
fn hex(number: u64) -> String {
    format!("{number:#010x}")
}

/// A symbol, as one line has it.
struct Shown<'l> {
    label: &'l Label,
    /// What it stands in, and where that begins.
    within: &'static str,
    start: u64,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Label { name, address, size, linkage, scope, live, .. } = self.label;
        let linkage = match linkage {
            Linkage::Strong => "strong",
            Linkage::Weak | Linkage::Unique => "weak",
        };
        let scope = match scope {
            Scope::Local => "local",
            Scope::Hidden => "hidden",
            Scope::Protected | Scope::Default => "default",
        };
        let live = if *live { "live" } else { "dead" };
        let name = if name.is_empty() { "<anonymous symbol>" } else { name };
        let offset = hex(address.wrapping_sub(self.start));
        let within = self.within;
        let size = hex(*size);
        write!(
            f,
            "{address:#x} ({within} + {offset}): size: {size}, linkage: {linkage}, scope: {scope}, {live}  -   {name}"
        )
    }
}

/// The addresses of everything that rules can name.
pub(super) fn addresses(pictures: &[Picture]) -> String {
    let mut out = String::from("Registered addresses:\n");
    // A string takes everything.
    let _ = write_addresses(&mut out, pictures);
    out
}

fn write_addresses(out: &mut String, pictures: &[Picture]) -> fmt::Result {
    writeln!(out, "Symbols:")?;
    let mut names: Vec<_> = pictures.iter().flat_map(|picture| &picture.symbols).collect();
    names.sort_by_key(|(name, _)| *name);
    for (name, named) in names {
        writeln!(
            out,
            "  \"{name}\" {}",
            Range { address: named.address, size: named.size, zero: is_zero(pictures, named.address) }
        )?;
    }
    for picture in pictures {
        for object in picture.objects.iter().filter(|object| !object.sections.is_empty()) {
            writeln!(out, "File \"{}\":", object.file_name())?;
            for section in object.sections.iter().filter(|section| !section.blocks.is_empty()) {
                let (first, last) = (&section.blocks[0], &section.blocks[section.blocks.len() - 1]);
                let size = last.address + last.size - first.address;
                let zero = section.blocks.iter().all(|block| block.zero);
                writeln!(out, "  Section \"{}\": {}", section.name, Range { address: first.address, size, zero })?;
            }
            let word = u64::from(picture.machine.pointer_size);
            for (name, address) in &picture.slots {
                writeln!(out, "  GOT \"{name}\": {}", Range { address: *address, size: word, zero: false })?;
            }
            for (name, Stub { address, size, .. }) in &picture.stubs {
                writeln!(out, "  Stub \"{name}\": {}", Range { address: *address, size: *size, zero: false })?;
            }
        }
    }
    Ok(())
}

/// Whether what stands there has no bytes of its own.
fn is_zero(pictures: &[Picture], address: u64) -> bool {
    let sections = pictures.iter().flat_map(|picture| &picture.objects).flat_map(|object| &object.sections);
    let mut blocks = sections.flat_map(|section| &section.blocks);
    blocks.any(|block| block.zero && address.wrapping_sub(block.address) < block.size)
}

struct Range {
    address: u64,
    size: u64,
    zero: bool,
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, size, zero } = self;
        write!(f, "target addr = {address:#018x}, ")?;
        if *zero { write!(f, "zero-fill: {size} bytes") } else { write!(f, "content: {size} bytes") }
    }
}
