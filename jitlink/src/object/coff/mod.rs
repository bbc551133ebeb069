//! Relocatable COFF objects (PE/COFF specification, "COFF File Header (Object and Image)" and following), ordinary ones and those of `/bigobj`.
//!
//! One section becomes one block; contents are borrowed. What linkers read and programs do not (`IMAGE_SCN_LNK_REMOVE`, `IMAGE_SCN_LNK_INFO`, debug
//! information) is never touched, but for commands to the linker. Call frame information of Windows is kept beside the functions that it
//! describes, and once more in the form that unwinders elsewhere read. **Not here:** thread-local storage as Windows has it; exception tables,
//! which are data like any other.

mod directives;
mod frames;
mod import;
mod relocations;
mod sections;
mod symbols;

pub(crate) use relocations::Relocations;

use super::detect::FileKind;
use super::{ObjectError, ObjectProblem, ReadOptions};
use crate::graph::{BlockId, Convention, GroupId, LinkGraph, ObjectId, Redefinition, SymbolId};
use crate::reloc;
use directives::Directives;
use object::pe;
use object::read::coff::{CoffHeader, SectionTable, SymbolTable};
use object::{LittleEndian, SectionIndex, SymbolIndex};
use std::collections::HashSet;

const LE: LittleEndian = LittleEndian;

/// What became of a section of the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// Not loaded at run time.
    Ignored,
    /// An earlier object has it, or what it belongs to.
    Dropped,
    /// In the graph, from this of the reader's pieces on.
    Loaded(usize),
}

/// A run of bytes of a section that is one block.
#[derive(Clone, Copy, Debug)]
struct PieceOf {
    /// Number of the section in its file, from 1.
    section: usize,
    /// Where it begins in the section, in bytes.
    start: u64,
    block: BlockId,
    /// The symbol at its start, for those who refer to the section.
    symbol: SymbolId,
}

/// One object while it is read.
struct Reader<'a, 'data, Coff: CoffHeader> {
    graph: &'a mut LinkGraph<'data>,
    data: &'data [u8],
    name: &'a str,
    object: ObjectId,
    table: &'static reloc::Coff,
    time: u32,
    sections: SectionTable<'data>,
    symbols: SymbolTable<'data, &'data [u8], Coff>,
    directives: Directives<'data>,
    /// By section number, from 1; the first one is of no section.
    shapes: Vec<sections::Shape<'data>>,
    fates: Vec<Fate>,
    /// In the order of sections and of their bytes.
    pieces: Vec<PieceOf>,
    /// Bytes of the file that tables and sections which were read so far say are theirs.
    claimed: u64,
    /// By symbol number.
    symbol_ids: Vec<Option<SymbolId>>,
    /// Numbers of symbols that only unwind information refers to: handlers of exceptions.
    handlers: HashSet<usize>,
    /// The object is a member of an import library: what is in it is for the loader of Windows.
    is_import: bool,
}

pub(super) fn read<'data>(
    graph: &mut LinkGraph<'data>,
    name: &str,
    data: &'data [u8],
    options: ReadOptions,
) -> Result<Relocations<'data>, ObjectError> {
    let fail = |problem| ObjectError { object: name.to_owned(), section: None, offset: None, problem };
    let malformed = |error: object::read::Error| fail(ObjectProblem::Malformed(error.to_string()));
    let kind = FileKind::detect(data);
    let mut offset = 0;
    match kind {
        FileKind::Coff { big: false, .. } => {
            let header = pe::ImageFileHeader::parse(data, &mut offset).map_err(malformed)?;
            Reader::run(graph, name, data, (header, header.time_date_stamp.get(LE), offset), options)
        }
        FileKind::Coff { big: true, .. } => {
            let header = pe::AnonObjectHeaderBigobj::parse(data, &mut offset).map_err(malformed)?;
            Reader::run(graph, name, data, (header, header.time_date_stamp.get(LE), offset), options)
        }
        FileKind::ImportObject => import::read(graph, name, data, options),
        _ => Err(fail(ObjectProblem::NotAnObject(kind.to_string()))),
    }
}

/// Begins an object in the graph, whose functions follow the convention of Windows.
fn begin(graph: &mut LinkGraph<'_>, name: &str, options: ReadOptions) -> ObjectId {
    let object = graph.add_object(name, options.explicit);
    graph.objects[object.index()].convention = Convention::Microsoft;
    object
}

impl<'a, 'data, Coff: relocations::Header> Reader<'a, 'data, Coff> {
    /// Reads all but the relocations.
    fn run(
        graph: &'a mut LinkGraph<'data>,
        name: &'a str,
        data: &'data [u8],
        (header, time, offset): (&'data Coff, u32, u64),
        options: ReadOptions,
    ) -> Result<Relocations<'data>, ObjectError> {
        let fail = |problem| ObjectError { object: name.to_owned(), section: None, offset: None, problem };
        let malformed = |error: object::read::Error| fail(ObjectProblem::Malformed(error.to_string()));
        let machine = graph.machine();
        let found = header.machine().0;
        let table = reloc::coff(machine).filter(|table| table.machine == found).ok_or_else(|| {
            let found = super::detect::coff_machine_name(found).to_owned();
            fail(ObjectProblem::WrongMachine { found, wanted: machine.name.to_owned() })
        })?;
        let sections = header.sections(data, offset).map_err(malformed)?;
        let symbols = header.symbols(data).map_err(malformed)?;
        let object = begin(graph, name, options);
        let count = sections.len() + 1;
        let mut reader = Self {
            graph,
            data,
            name,
            object,
            table,
            time,
            sections,
            symbols,
            directives: Directives::default(),
            shapes: Vec::with_capacity(count),
            fates: vec![Fate::Ignored; count],
            pieces: Vec::new(),
            claimed: 0,
            symbol_ids: Vec::new(),
            handlers: HashSet::new(),
            is_import: false,
        };
        reader.read_shapes()?;
        reader.read_directives()?;
        let groups = reader.choose_comdats()?;
        reader.read_sections(&groups)?;
        reader.handlers = reader.find_handlers();
        reader.read_symbols()?;
        reader.apply_directives()?;
        let frames = reader.convert_frames()?;
        Ok(Relocations::new(reader, frames))
    }
}

impl<'data, Coff: CoffHeader> Reader<'_, 'data, Coff> {
    fn fail(&self, problem: ObjectProblem) -> ObjectError {
        ObjectError { object: self.name.to_owned(), section: None, offset: None, problem }
    }

    fn fail_at(&self, section: usize, offset: Option<u64>, problem: ObjectProblem) -> ObjectError {
        let section = match self.shapes.get(section) {
            Some(shape) if section > 0 => String::from_utf8_lossy(shape.name).into_owned(),
            _ => format!("number {section}"),
        };
        ObjectError { object: self.name.to_owned(), section: Some(section), offset, problem }
    }

    fn malformed(&self, section: usize, offset: Option<u64>, what: impl Into<String>) -> ObjectError {
        self.fail_at(section, offset, ObjectProblem::Malformed(what.into()))
    }

    fn duplicate(&self, redefinition: Redefinition) -> ObjectError {
        let symbol = self.graph.symbol(redefinition.symbol);
        self.fail(ObjectProblem::Duplicate {
            symbol: String::from_utf8_lossy(symbol.name).into_owned(),
            first: self.graph.object(redefinition.first).name.clone(),
        })
    }

    /// Counts bytes of the file. No byte belongs to two sections, so that all of them together are no more than the file has, and what is made of them
    /// stays in proportion to it.
    fn claim(&mut self, section: usize, size: u64) -> Result<(), ObjectError> {
        self.claimed = self.claimed.saturating_add(size);
        let all = self.data.len() as u64;
        if self.claimed > all {
            let claimed = self.claimed;
            let what = format!("sections overlap: up to this one they claim {claimed:#x} bytes, the file has {all:#x}");
            return Err(self.malformed(section, None, what));
        }
        Ok(())
    }

    /// The piece of a section that holds this offset; the last one holds its end, too.
    fn piece_at(&self, section: usize, offset: u64) -> Option<PieceOf> {
        let Fate::Loaded(first) = *self.fates.get(section)? else { return None };
        let rest = &self.pieces[first..];
        let count = rest.partition_point(|piece| piece.section == section && piece.start <= offset);
        rest[..count].last().copied()
    }

    fn symbol_name(&self, index: SymbolIndex) -> Result<&'data [u8], ObjectError> {
        use object::read::coff::Symbol as _;
        let name = self.symbols.symbol(index).and_then(|symbol| symbol.name(self.symbols.strings()));
        name.map_err(|error| self.fail(ObjectProblem::Malformed(format!("symbol number {}: {error}", index.0))))
    }

    /// The header of a section that the file has.
    fn header(&self, section: usize) -> Option<&'data pe::ImageSectionHeader> {
        self.sections.section(SectionIndex(section)).ok()
    }
}

/// Groups of this object's sections, by section number.
type Groups = Vec<Option<GroupId>>;
