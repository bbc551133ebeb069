//! The line of one place of one relocatable object, from its debug information, read as if the object had been linked.
//!
//! In a relocatable object every section begins at address 0, and the debug sections get their addresses and offsets from relocations.
//! So each section of code is given an address of its own here. Of ELF objects, debug sections are then written as a link writes them ([`jitlink::debug`]), whatever
//! relocations their machine has. Of other formats, and where that does not go, plain relocations are applied as the sections are read. What is
//! not understood is left as it is then: a wrong attribute of a variable hides no line.

use super::{Inlined, SourceLine};
use addr2line::Context;
use gimli::{DwarfSections, EndianSlice, RelocateReader, RunTimeEndian, SectionId};
use jitlink::debug::{Input, Merger, Offsets};
use jitlink::reloc::machine_of_elf;
use object::read::CompressionFormat;
use object::read::elf::FileHeader as _;
use object::{
    Object as _, ObjectSection as _, ObjectSymbol as _, RelocationEncoding, RelocationKind, RelocationTarget,
    SectionIndex, SectionKind,
};
use std::borrow::Cow;
use std::collections::HashMap;
use std::convert::Infallible;

/// Distance between the addresses of two sections, at least: what reaches beyond the end of one is in no other.
const GAP: u64 = 0x1_0000;

/// Sections that say they are larger are not uncompressed.
const LARGEST: u64 = 1 << 30;

/// Nor are those that say they are so many times as large as what they were compressed to; real ones are by less than 50.
const RATIO: u64 = 2048;

/// Deeper trees of functions in functions are not followed: addr2line follows them by recursion. Compilers write fewer than 100.
const DEEPEST: isize = 256;

type Place = (Option<SourceLine>, Vec<Inlined>);
type Reader<'s> = RelocateReader<EndianSlice<'s, RunTimeEndian>, &'s Relocations>;

/// The line at `offset` of what is linked of a section of `file`, the object `bytes`, and what is inlined there. `None` where the object does not tell.
pub(super) fn line(
    file: &object::File<'_>,
    bytes: &[u8],
    offsets: &Offsets,
    section: SectionIndex,
    offset: u64,
) -> Option<Place> {
    let addresses = Addresses::new(file)?;
    let probe = addresses.of(section)?.checked_add(offset)?;
    if let Some(sections) = merged(file, bytes, offsets, &addresses) {
        let load = |id: SectionId| {
            let found = sections.iter().find(|section| section.name == id.name());
            let data = found.map_or(&[][..], |section| &section.bytes);
            Ok::<_, Infallible>(DebugSection { data: Cow::Borrowed(data), relocations: Relocations::default() })
        };
        let Ok(sections) = DwarfSections::load(load);
        return look_up(sections.borrow(|section| section.reader(RunTimeEndian::Little)), probe);
    }
    // Types that objects share have units in sections of their own, of the same name (`-fdebug-types-section`).
    let units = file.sections().filter(|section| matches!(section.name(), Ok(".debug_info" | ".zdebug_info")));
    for unit in units {
        let load = |id: SectionId| {
            let other = if id == SectionId::DebugInfo { None } else { file.section_by_name(id.name()) };
            let section = if id == SectionId::DebugInfo { Some(&unit) } else { other.as_ref() };
            let read = section.and_then(|section| DebugSection::new(file, section, &addresses));
            Ok::<_, Infallible>(read.unwrap_or_default())
        };
        let Ok(sections) = DwarfSections::load(load);
        let endian = if file.is_little_endian() { RunTimeEndian::Little } else { RunTimeEndian::Big };
        let dwarf = sections.borrow(|section| section.reader(endian));
        if let Some(place) = look_up(dwarf, probe) {
            return Some(place);
        }
    }
    None
}

/// The debug sections as a link writes them. `None` where jitlink does not read them.
fn merged(
    file: &object::File<'_>,
    bytes: &[u8],
    offsets: &Offsets,
    addresses: &Addresses,
) -> Option<Vec<jitlink::debug::DebugSection>> {
    let object::File::Elf64(elf) = file else { return None };
    let machine = machine_of_elf(elf.elf_header().e_machine(elf.endian()).0, 64)?;
    let numbered = (0..).zip(&addresses.0).filter(|(_, address)| **address > 0);
    let sections: Vec<(u32, u64)> = numbered.map(|(number, address)| (number, *address)).collect();
    let global = file.symbols().filter(|symbol| symbol.is_global() && symbol.is_definition());
    let globals: HashMap<&[u8], u64> = global
        .filter_map(|symbol| {
            let section = symbol.section_index()?;
            let offset = offsets.linked(section.0 as u32, symbol.address());
            Some((symbol.name_bytes().ok()?, addresses.of(section)?.wrapping_add(offset)))
        })
        .collect();
    let mut merger = Merger::of(machine, None);
    merger.add(&Input { name: "", bytes, sections: &sections }, |name| globals.get(name).copied()).ok()?;
    Some(merger.finish())
}

fn look_up(dwarf: gimli::Dwarf<Reader<'_>>, probe: u64) -> Option<Place> {
    let shallow = is_shallow(&dwarf);
    let context = Context::from_dwarf(dwarf).ok()?;
    let frames = if shallow { frames(&context, probe) } else { None };
    frames.or_else(|| Some((Some(source_line(context.find_location(probe).ok()??)?), Vec::new())))
}

fn frames(context: &Context<Reader<'_>>, probe: u64) -> Option<Place> {
    let mut frames = context.find_frames(probe).skip_all_loads().ok()?;
    let mut line = None;
    let mut inlined: Vec<Inlined> = Vec::new();
    let mut inner: Option<String> = None;
    let mut first = true;
    while let Some(frame) = frames.next().ok()? {
        let here = frame.location.and_then(source_line);
        if std::mem::take(&mut first) {
            line = here;
        } else {
            // This frame's line is where the code of the one before it was put.
            inlined.push(Inlined { function: inner.take().unwrap_or_default(), called_from: here });
        }
        inner = frame.function.and_then(|name| Some(name.raw_name().ok()?.into_owned()));
    }
    line.map(|line| (Some(line), inlined))
}

fn source_line(location: addr2line::Location<'_>) -> Option<SourceLine> {
    let column = location.column.filter(|column| *column > 0);
    Some(SourceLine { file: location.file?.to_owned(), line: location.line?, column })
}

/// Whether no tree of entries is so deep that it takes too much stack to follow.
fn is_shallow(dwarf: &gimli::Dwarf<Reader<'_>>) -> bool {
    let check = || -> gimli::Result<bool> {
        let mut units = dwarf.units();
        while let Some(header) = units.next()? {
            let unit = dwarf.unit(header)?;
            let mut entries = unit.entries_raw(None)?;
            while !entries.is_empty() {
                if entries.next_depth() > DEEPEST {
                    return Ok(false);
                }
                if let Some(abbreviation) = entries.read_abbreviation()? {
                    entries.skip_attributes(abbreviation.attributes())?;
                }
            }
        }
        Ok(true)
    };
    // Lines have tables of their own, which may be sound.
    check().unwrap_or(false)
}

/// An address for each section of code, by the section's index; 0 for all others, which makes offsets of references to debug sections.
struct Addresses(Vec<u64>);

impl Addresses {
    fn new(file: &object::File<'_>) -> Option<Self> {
        let mut addresses = Vec::new();
        let mut next = GAP;
        for section in file.sections().filter(|section| section.kind() == SectionKind::Text) {
            let index = section.index().0;
            if addresses.len() <= index {
                addresses.resize(index + 1, 0);
            }
            addresses[index] = next;
            next = next.checked_add(section.size())?.checked_next_multiple_of(GAP)?.checked_add(GAP)?;
        }
        Some(Self(addresses))
    }

    /// `None` for what is no section of code.
    fn of(&self, section: SectionIndex) -> Option<u64> {
        self.0.get(section.0).copied().filter(|address| *address > 0)
    }

    fn of_any(&self, section: Option<SectionIndex>) -> u64 {
        section.and_then(|section| self.of(section)).unwrap_or(0)
    }
}

/// A debug section, uncompressed, with its relocations.
#[derive(Default)]
struct DebugSection<'data> {
    data: Cow<'data, [u8]>,
    relocations: Relocations,
}

impl<'data> DebugSection<'data> {
    /// `None` when it cannot be read.
    fn new(file: &object::File<'data>, section: &object::Section<'data, '_>, addresses: &Addresses) -> Option<Self> {
        let compressed = section.compressed_data().ok()?;
        let size = compressed.uncompressed_size;
        let believable = compressed.format == CompressionFormat::None
            || size <= LARGEST && size <= RATIO.saturating_mul(compressed.data.len() as u64);
        let data = believable.then(|| compressed.decompress().ok()).flatten()?;
        Some(Self { data, relocations: Relocations::new(file, section, addresses) })
    }

    fn reader(&self, endian: RunTimeEndian) -> Reader<'_> {
        RelocateReader::new(EndianSlice::new(&self.data, endian), &self.relocations)
    }
}

/// What a section's relocations make of the numbers in it, by offset.
#[derive(Debug, Default)]
struct Relocations(Vec<(u64, Value)>);

#[derive(Clone, Copy, Debug)]
struct Value {
    value: u64,
    /// The number in the section is to be added.
    add: bool,
}

impl Relocations {
    fn new(file: &object::File<'_>, section: &object::Section<'_, '_>, addresses: &Addresses) -> Self {
        let mut all: Vec<(u64, Value)> = Vec::new();
        for (offset, relocation) in section.relocations() {
            if relocation.kind() != RelocationKind::Absolute || relocation.encoding() != RelocationEncoding::Generic {
                continue;
            }
            let target = match relocation.target() {
                RelocationTarget::Symbol(symbol) => file.symbol_by_index(symbol).ok().map(|symbol| {
                    let section = symbol.section_index();
                    addresses.of_any(section).wrapping_add(symbol.address())
                }),
                RelocationTarget::Section(section) => Some(addresses.of_any(Some(section))),
                _ => None,
            };
            let Some(target) = target else { continue };
            let value = target.wrapping_add(relocation.addend() as u64);
            all.push((offset, Value { value, add: relocation.has_implicit_addend() }));
        }
        all.sort_by_key(|(offset, _)| *offset);
        Self(all)
    }

    fn apply(&self, offset: u64, found: u64) -> u64 {
        match self.0.binary_search_by_key(&offset, |(offset, _)| *offset) {
            Ok(at) if self.0[at].1.add => found.wrapping_add(self.0[at].1.value),
            Ok(at) => self.0[at].1.value,
            Err(_) => found,
        }
    }
}

impl gimli::read::Relocate for &Relocations {
    fn relocate_address(&self, offset: usize, value: u64) -> gimli::Result<u64> {
        Ok(self.apply(offset as u64, value))
    }

    fn relocate_offset(&self, offset: usize, value: usize) -> gimli::Result<usize> {
        <usize as gimli::ReaderOffset>::from_u64(self.apply(offset as u64, value as u64))
    }
}
