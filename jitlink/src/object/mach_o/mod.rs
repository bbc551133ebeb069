//! Relocatable Mach-O objects (`mach-o/loader.h`, `mach-o/nlist.h`, `mach-o/reloc.h`; "OS X ABI Mach-O File Format Reference").
//!
//! Where the object allows it (`MH_SUBSECTIONS_VIA_SYMBOLS`), each symbol begins a block: what linkers of this format keep or drop. Call frame information
//! gets relocations where its bytes hold distances, and functions that only have a compact unwind encoding get call frame information: the
//! passes and unwinders behind this know one form of it.
//!
//! Sections are called `SEGMENT,section`, as tools for this format call them, where compilers make them; others by their own name alone.
//!
//! Not loaded: debug information, notes for linkers (`__LD`, linker options), LTO bytecode beside machine code. Not here: linked files.

mod deferred;
mod frames;
mod relocations;
mod sections;
mod symbols;
mod unwind;

pub use deferred::Deferred;
pub(crate) use relocations::Relocations;

use super::detect::{FileKind, MachO as Kind, cpu_name};
use super::{ObjectError, ObjectProblem, ReadOptions, universal};
use crate::arch::Machine;
use crate::graph::{BlockId, Edge, LinkGraph, ObjectId, Redefinition, SymbolId};
use crate::reloc::mach_o::{self as tables, MachO};
use object::LittleEndian;
use object::macho::{self, MachHeader64, Nlist64, Section64};
use object::read::macho::{MachHeader, Nlist as _, Section as _, Segment as _, SymbolTable};
use std::ops::Range;

/// Little-endian throughout: no machine of this format that is linked for is big-endian.
const LE: LittleEndian = LittleEndian;

/// The word size of the machines that are linked for; the format has another header for others.
type Header = MachHeader64<LittleEndian>;
type SectionHeader = Section64<LittleEndian>;
type Symbol = Nlist64<LittleEndian>;

/// What became of a section of the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// Not loaded at run time.
    Ignored,
    /// In the graph, as blocks with the file's bytes.
    Loaded,
    /// Call frame information.
    Frames,
    /// Compact unwind encodings.
    Unwind,
    /// Initializers as 32-bit offsets, which become an array of addresses.
    Offsets,
}

/// A section of the file.
#[derive(Clone, Debug)]
struct Part<'data> {
    header: &'data SectionHeader,
    name: &'data [u8],
    fate: Fate,
    /// Its blocks: a range of [`File::starts`].
    starts: Range<usize>,
}

impl Part<'_> {
    fn address(&self) -> u64 {
        self.header.addr(LE)
    }

    fn size(&self) -> u64 {
        self.header.size(LE)
    }

    /// Strings or constants, equal ones of which may be stored once.
    fn is_literal(&self) -> bool {
        matches!(
            self.header.section_type(LE),
            macho::S_CSTRING_LITERALS | macho::S_4BYTE_LITERALS | macho::S_8BYTE_LITERALS | macho::S_16BYTE_LITERALS
        )
    }

    /// One copy for each thread.
    fn is_thread_local(&self) -> bool {
        matches!(self.header.section_type(LE), macho::S_THREAD_LOCAL_REGULAR | macho::S_THREAD_LOCAL_ZEROFILL)
    }
}

/// Where a block starts.
#[derive(Clone, Copy, Debug)]
struct Start {
    /// In the object's own addresses.
    address: u64,
    block: BlockId,
    /// A symbol without a name.
    symbol: SymbolId,
}

/// An object's tables, and what became of its sections and symbols: all that its relocations need.
#[derive(Debug)]
struct File<'data> {
    machine: &'static Machine,
    table: &'static MachO,
    object: ObjectId,
    data: &'data [u8],
    /// By section number, which begins with 1, and one.
    parts: Vec<Part<'data>>,
    /// The blocks of each part in order, one part after another.
    starts: Vec<Start>,
    /// Loaded parts with something in them, by address.
    by_address: Vec<usize>,
    symbols: SymbolTable<'data, Header>,
    /// By symbol index.
    symbol_ids: Vec<Option<SymbolId>>,
    /// The relocations of loaded parts.
    items: Vec<(usize, Vec<relocations::Item>)>,
    /// Symbols without a name for places of literals that relocations refer to by their section, by address.
    literals: Vec<(u64, SymbolId)>,
    /// Bytes of the file that its tables say are theirs.
    claimed: u64,
}

/// One object while it is read.
struct Reader<'a, 'data> {
    graph: &'a mut LinkGraph<'data>,
    name: &'a str,
    file: File<'data>,
    /// Symbols begin blocks.
    by_symbols: bool,
    /// Edges of blocks whose bytes were made here.
    made: Vec<Edge>,
}

pub(super) fn read<'data>(
    graph: &mut LinkGraph<'data>,
    name: &str,
    data: &'data [u8],
    options: ReadOptions,
) -> Result<Relocations<'data>, ObjectError> {
    let fail = |problem| ObjectError { object: name.to_owned(), section: None, offset: None, problem };
    let machine = graph.machine();
    let data = universal::part(data, machine).map_err(fail)?;
    let kind = FileKind::detect(data);
    let FileKind::MachO(found @ Kind { relocatable: true, .. }) = kind else {
        return Err(fail(ObjectProblem::NotAnObject(kind.to_string())));
    };
    let table =
        tables::table(machine).filter(|table| table.cpu_type == found.cpu && found.bits == 64 && !found.big_endian);
    let Some(table) = table else {
        return Err(fail(ObjectProblem::WrongMachine {
            found: cpu_name(found.cpu).into(),
            wanted: machine.name.into(),
        }));
    };
    let malformed = |error: object::read::Error| fail(ObjectProblem::Malformed(error.to_string()));
    let header = Header::parse(data, 0).map_err(malformed)?;
    let mut commands = header.load_commands(LE, data, 0).map_err(malformed)?;
    let (mut headers, mut symbols) = (Vec::new(), SymbolTable::default());
    while let Some(command) = commands.next().map_err(malformed)? {
        if let Some((segment, rest)) = command.segment_64().map_err(malformed)? {
            headers.extend(segment.sections(LE, rest).map_err(malformed)?);
        } else if let Some(command) = command.symtab().map_err(malformed)? {
            symbols = command.symbols(LE, data).map_err(malformed)?;
        }
    }
    if headers.len() > usize::from(u8::MAX) {
        return Err(fail(ObjectProblem::Malformed(format!("{} sections; symbols can name 255", headers.len()))));
    }
    let parts = headers.into_iter().map(sections::part).collect();
    let object = graph.add_object(name, options.explicit);
    let file = File {
        machine,
        table,
        object,
        data,
        parts,
        starts: Vec::new(),
        by_address: Vec::new(),
        symbols,
        symbol_ids: Vec::new(),
        items: Vec::new(),
        literals: Vec::new(),
        claimed: 0,
    };
    let by_symbols = header.flags(LE).contains(macho::MH_SUBSECTIONS_VIA_SYMBOLS);
    let mut reader = Reader { graph, name, file, by_symbols, made: Vec::new() };
    reader.read_sections()?;
    reader.read_symbols()?;
    reader.read_items()?;
    reader.read_frames()?;
    Ok(Relocations::new(reader.file, reader.made))
}

impl<'data> Reader<'_, 'data> {
    /// Gives errors the name that only the graph knows.
    fn named(&self, error: ObjectError) -> ObjectError {
        ObjectError { object: self.name.to_owned(), ..error }
    }

    fn malformed(&self, part: usize, offset: Option<u64>, what: impl Into<String>) -> ObjectError {
        self.named(self.file.malformed(part, offset, what))
    }

    /// The bytes of a section; none where all are zero.
    fn content(&self, part: usize) -> Result<&'data [u8], ObjectError> {
        self.file.content(part).map_err(|error| self.named(error))
    }

    fn fail(&self, problem: ObjectProblem) -> ObjectError {
        ObjectError { object: self.name.to_owned(), section: None, offset: None, problem }
    }

    fn duplicate(&self, redefinition: Redefinition) -> ObjectError {
        let symbol = self.graph.symbol(redefinition.symbol);
        self.fail(ObjectProblem::Duplicate {
            symbol: String::from_utf8_lossy(symbol.name).into_owned(),
            first: self.graph.object(redefinition.first).name.clone(),
        })
    }
}

impl<'data> File<'data> {
    /// An error; the object's name is the graph's to say.
    fn fail_at(&self, part: usize, offset: Option<u64>, problem: ObjectProblem) -> ObjectError {
        let section = self.parts.get(part).map(|part| String::from_utf8_lossy(part.name).into_owned());
        ObjectError { object: String::new(), section, offset, problem }
    }

    fn malformed(&self, part: usize, offset: Option<u64>, what: impl Into<String>) -> ObjectError {
        self.fail_at(part, offset, ObjectProblem::Malformed(what.into()))
    }

    /// Counts bytes of the file. None belongs to two things, so that all of them together are no longer than the file, and what is made of them stays in
    /// proportion to it.
    fn claim(&mut self, part: usize, size: u64) -> Result<(), ObjectError> {
        self.claimed = self.claimed.saturating_add(size);
        let all = self.data.len() as u64;
        if self.claimed <= all {
            return Ok(());
        }
        let what =
            format!("sections overlap: up to this one they claim {:#x} bytes, the file has {all:#x}", self.claimed);
        Err(self.malformed(part, None, what))
    }

    /// The bytes of a section; none where all are zero.
    fn content(&self, part: usize) -> Result<&'data [u8], ObjectError> {
        let header = self.parts[part].header;
        header.data(LE, self.data, header.offset(LE).into()).map_err(|_| {
            let (start, size) = (u64::from(header.offset(LE)), header.size(LE));
            let end = start.saturating_add(size);
            let what = format!("its bytes {start:#x}..{end:#x} lie outside the file, which has {:#x}", self.data.len());
            self.malformed(part, None, what)
        })
    }

    /// The block of a part that `address` lies in; the last one also has its end.
    fn start_in(&self, part: usize, address: u64) -> Option<Start> {
        let part = self.parts.get(part)?;
        let starts = self.starts.get(part.starts.clone())?;
        if address > part.address().checked_add(part.size())? {
            return None;
        }
        let at = starts.partition_point(|start| start.address <= address).checked_sub(1)?;
        Some(starts[at])
    }

    /// The block that `address` lies in.
    fn start_of(&self, address: u64) -> Option<(usize, Start)> {
        let at = self.by_address.partition_point(|part| self.parts[*part].address() <= address).checked_sub(1)?;
        let number = self.by_address[at];
        let part = &self.parts[number];
        if address - part.address() >= part.size() {
            return None;
        }
        self.start_in(number, address).map(|start| (number, start))
    }

    /// Where the file says that a symbol is: part and address.
    fn place_of(&self, symbol: &Symbol) -> Option<(usize, u64)> {
        let part = usize::from(symbol.n_sect).checked_sub(1)?;
        let defined = !symbol.n_type.is_stab() && symbol.n_type.typ() == macho::N_SECT;
        (defined && part < self.parts.len()).then(|| (part, symbol.n_value(LE)))
    }

    /// What a symbol is called, or its number.
    fn symbol_name(&self, index: usize) -> String {
        let symbol = self.symbols.symbols().get(index);
        match symbol.map(|symbol| symbol.name(LE, self.symbols.strings())) {
            Some(Ok(name)) if !name.is_empty() => String::from_utf8_lossy(name).into_owned(),
            _ => format!("number {index}"),
        }
    }
}
