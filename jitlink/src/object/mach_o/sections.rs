//! Sections, and where symbols cut them into blocks.

use super::{Fate, LE, Part, Reader, SectionHeader, Start};
use crate::graph::{
    BlockId, Content, Definition, InitKind, Linkage, Prot, Scope, Section, SectionFlags, SectionId, SectionKind,
    Symbol, SymbolId, SymbolKind,
};
use crate::object::{ObjectError, ObjectProblem};
use object::macho;
use object::read::macho::{Nlist as _, Section as _};

/// Zeros cost no bytes in a file, so that a damaged size is not found by looking there. No process has more addresses than this.
pub(super) const MAX_ZEROS: u64 = 1 << 47;
/// An object counts its own addresses from 0. Offsets within sections can be added to any of them.
const MAX_ADDRESS: u64 = 1 << 48;
/// Beyond the largest page there is nothing to gain from alignment.
const MAX_ALIGN_LOG2: u32 = 30;

/// A place where a symbol stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Mark {
    part: usize,
    offset: u64,
    /// A block begins here.
    cuts: bool,
    /// What stands here is kept, though nobody refers to it.
    retains: bool,
}

/// A section as the file has it.
pub(super) fn part(header: &SectionHeader) -> Part<'_> {
    let (segment, name) = (header.segment_name(), header.name());
    let kind = header.section_type(LE);
    let debug = header.flags(LE).contains(macho::S_ATTR_DEBUG);
    let fate = match (segment, name) {
        (b"__LD", b"__compact_unwind") => Fate::Unwind,
        (b"__DWARF" | b"__LLVM" | b"__LD", _) => Fate::Ignored,
        _ if debug => Fate::Ignored,
        (b"__TEXT", b"__eh_frame") => Fate::Frames,
        _ if kind == macho::S_INIT_FUNC_OFFSETS => Fate::Offsets,
        _ => Fate::Loaded,
    };
    Part { header, name: full_name(segment, name), fate, starts: 0..0 }
}

/// `SEGMENT,section`, for those that compilers make.
pub(super) fn full_name<'n>(segment: &[u8], name: &'n [u8]) -> &'n [u8] {
    const NAMES: &[&[u8]] = &[
        b"__TEXT,__text",
        b"__TEXT,__cstring",
        b"__TEXT,__ustring",
        b"__TEXT,__const",
        b"__TEXT,__literal4",
        b"__TEXT,__literal8",
        b"__TEXT,__literal16",
        b"__TEXT,__eh_frame",
        b"__TEXT,__gcc_except_tab",
        b"__TEXT,__StaticInit",
        b"__TEXT,__textcoal_nt",
        b"__TEXT,__const_coal",
        b"__TEXT,__init_offsets",
        b"__TEXT,__objc_classname",
        b"__TEXT,__objc_methname",
        b"__TEXT,__objc_methtype",
        b"__DATA,__data",
        b"__DATA,__bss",
        b"__DATA,__common",
        b"__DATA,__const",
        b"__DATA,__mod_init_func",
        b"__DATA,__mod_term_func",
        b"__DATA,__thread_vars",
        b"__DATA,__thread_data",
        b"__DATA,__thread_bss",
        b"__DATA,__thread_ptr",
        b"__DATA,__datacoal_nt",
        b"__DATA,__cfstring",
        b"__DATA,__objc_const",
        b"__DATA,__objc_data",
        b"__DATA,__objc_selrefs",
        b"__DATA,__objc_classrefs",
        b"__DATA,__objc_classlist",
        b"__DATA,__objc_imageinfo",
        b"__DATA,__nl_symbol_ptr",
        b"__DATA,__la_symbol_ptr",
        b"__DATA_CONST,__const",
        b"__LD,__compact_unwind",
        b"__DWARF,__debug_info",
        b"__DWARF,__debug_abbrev",
        b"__DWARF,__debug_line",
        b"__DWARF,__debug_str",
        b"__DWARF,__apple_names",
    ];
    let is = |full: &&&[u8]| full.strip_prefix(segment).and_then(|rest| rest.strip_prefix(b",")) == Some(name);
    NAMES.iter().find(is).copied().unwrap_or(name)
}

impl<'data> Reader<'_, 'data> {
    /// Gives every section its blocks; those that are read as a whole get them later.
    pub(super) fn read_sections(&mut self) -> Result<(), ObjectError> {
        let marks = self.marks();
        let mut rest = &*marks;
        for number in 0..self.file.parts.len() {
            let (mine, others) = rest.split_at(rest.partition_point(|mark| mark.part <= number));
            rest = others;
            self.check(number)?;
            let start = self.file.starts.len();
            if self.file.parts[number].fate == Fate::Loaded {
                self.read_section(number, mine)?;
            }
            self.file.parts[number].starts = start..self.file.starts.len();
        }
        let parts = &self.file.parts;
        let has_blocks = |number: &usize| !parts[*number].starts.is_empty() && parts[*number].size() > 0;
        let mut by_address: Vec<usize> = (0..parts.len()).filter(has_blocks).collect();
        by_address.sort_by_key(|number| parts[*number].address());
        self.file.by_address = by_address;
        Ok(())
    }

    /// Where symbols stand, in order, those at one place as one.
    fn marks(&self) -> Vec<Mark> {
        let mut marks = Vec::new();
        for symbol in self.file.symbols.iter() {
            let Some((part, address)) = self.file.place_of(symbol) else { continue };
            let desc = symbol.n_desc(LE);
            // Labels of an assembler, which it should have resolved, are no beginnings.
            let label = || symbol.name(LE, self.file.symbols.strings()).is_ok_and(|name| name.starts_with(b"L"));
            let cuts = self.by_symbols && !desc.contains(macho::N_ALT_ENTRY) && !label();
            let retains = desc.contains(macho::N_NO_DEAD_STRIP);
            if let Some(offset) = address.checked_sub(self.file.parts[part].address())
                && (cuts || retains)
            {
                marks.push(Mark { part, offset, cuts, retains });
            }
        }
        marks.sort_unstable();
        marks.dedup_by(|next, kept| {
            let same = (next.part, next.offset) == (kept.part, kept.offset);
            if same {
                kept.cuts |= next.cuts;
                kept.retains |= next.retains;
            }
            same
        });
        marks
    }

    /// What must hold of every section, whatever it is.
    fn check(&mut self, number: usize) -> Result<(), ObjectError> {
        let Part { header, fate, .. } = self.file.parts[number];
        let (address, size) = (header.addr(LE), header.size(LE));
        if address.checked_add(size).is_none_or(|end| end > MAX_ADDRESS) {
            let what = format!("{size:#x} bytes from {address:#x} on are beyond an address space");
            return Err(self.malformed(number, None, what));
        }
        if header.align(LE) > MAX_ALIGN_LOG2 {
            return Err(self.malformed(number, None, format!("alignment 2^{} is more than 1 GiB", header.align(LE))));
        }
        let zeros = header.file_size(LE).is_none();
        if fate == Fate::Ignored {
            return Ok(());
        }
        if zeros {
            if size > MAX_ZEROS {
                let what = format!("{size:#x} zeros are more than an address space holds");
                return Err(self.malformed(number, None, what));
            }
            if header.nreloc(LE) > 0 || fate != Fate::Loaded {
                return Err(self.malformed(number, None, "relocations in a section without content"));
            }
            return Ok(());
        }
        if size > u64::from(u32::MAX) {
            return Err(self.malformed(number, None, format!("{size:#x} bytes of content; 4 GiB is the limit")));
        }
        self.content(number)?;
        self.file.claim(number, size).map_err(|error| self.named(error))
    }

    /// Cuts a section into blocks.
    fn read_section(&mut self, number: usize, marks: &[Mark]) -> Result<(), ObjectError> {
        let Part { header, .. } = self.file.parts[number];
        let shape = self.shape(number)?;
        let (size, mut align_log2) = (header.size(LE), header.align(LE));
        // Descriptors hold addresses, which compilers do not ask to be aligned.
        if header.section_type(LE) == macho::S_THREAD_LOCAL_VARIABLES && header.addr(LE).is_multiple_of(8) {
            align_log2 = align_log2.max(3);
        }
        let zeros = header.file_size(LE).is_none();
        let content = self.content(number)?;
        let mut sections = [None; 2];
        let mut marks = marks.iter().copied().filter(|mark| mark.offset <= size).peekable();
        let mut start = 0;
        loop {
            // Up to the next symbol that begins a block; one at the section's end begins none, unless that is its start.
            let (mut retains, mut end) = (shape.flags.contains(SectionFlags::RETAIN), size);
            while let Some(mark) = marks.peek() {
                if mark.offset > start && mark.offset < size && mark.cuts && shape.cut {
                    end = mark.offset;
                    break;
                }
                retains |= mark.retains;
                marks.next();
            }
            let section = match sections[usize::from(retains)] {
                Some(section) => section,
                None => {
                    let flags = if retains { shape.flags | SectionFlags::RETAIN } else { shape.flags };
                    let section = self.add_section(number, Shape { flags, ..shape });
                    sections[usize::from(retains)] = Some(section);
                    section
                }
            };
            let bytes = if zeros { Content::Zero } else { Content::Bytes(&content[start as usize..end as usize]) };
            // A block that does not begin where its section does is aligned as far as its offset there is.
            let align = if start == 0 { align_log2 } else { align_log2.min(start.trailing_zeros()) };
            let block = self.graph.add_block(section, bytes, end - start, 1 << align);
            let thread_local = shape.flags.contains(SectionFlags::TLS);
            let kind = if thread_local { SymbolKind::ThreadLocal } else { SymbolKind::Section };
            let symbol = self.add_place(block, 0, kind);
            self.file.starts.push(Start { address: header.addr(LE) + start, block, symbol });
            start = end;
            if start == size {
                return Ok(());
            }
        }
    }

    /// A symbol without a name in a block: what relocations that name sections refer to.
    pub(super) fn add_place(&mut self, block: BlockId, value: u64, kind: SymbolKind) -> SymbolId {
        self.graph.add_local(Symbol {
            name: b"",
            definition: Definition::Block(block),
            value,
            size: 0,
            address: 0,
            object: self.file.object,
            linkage: Linkage::Strong,
            scope: Scope::Local,
            kind,
            needed: false,
            live: false,
        })
    }

    /// Adds a section to the graph, as `shape` says.
    pub(super) fn add_section(&mut self, number: usize, shape: Shape) -> SectionId {
        let Shape { prot, flags, kind, entry_size, cut: _ } = shape;
        self.graph.add_section(Section {
            name: self.file.parts[number].name,
            object: self.file.object,
            prot,
            flags,
            kind,
            entry_size,
            group: None,
            linked_to: None,
            number: number as u32 + 1,
        })
    }

    /// What a section's type, attributes and segment ask for.
    fn shape(&self, number: usize) -> Result<Shape, ObjectError> {
        let header = self.file.parts[number].header;
        let attributes = header.flags(LE);
        let (segment, name) = (header.segment_name(), header.name());
        let code = attributes.0 & (macho::S_ATTR_PURE_INSTRUCTIONS.0 | macho::S_ATTR_SOME_INSTRUCTIONS.0) != 0;
        let mut shape = Shape { cut: true, ..Shape::default() };
        // What the system's linker moves to a segment that is read-only once it is relocated.
        let relro = segment == b"__DATA_CONST" || (segment, name) == (b"__DATA", b"__const");
        let mut write = segment != b"__TEXT";
        shape.flags.set(SectionFlags::RETAIN, attributes.contains(macho::S_ATTR_NO_DEAD_STRIP));
        let mut literal = |size| {
            shape.flags |= SectionFlags::MERGE;
            (shape.entry_size, shape.cut) = (size, false);
        };
        match header.section_type(LE) {
            macho::S_CSTRING_LITERALS => {
                literal(1);
                shape.flags |= SectionFlags::STRINGS;
            }
            macho::S_4BYTE_LITERALS => literal(4),
            macho::S_8BYTE_LITERALS => literal(8),
            macho::S_16BYTE_LITERALS => literal(16),
            macho::S_MOD_INIT_FUNC_POINTERS => {
                shape.kind = SectionKind::Initializers(InitKind::Init { priority: u16::MAX });
            }
            macho::S_MOD_TERM_FUNC_POINTERS => {
                shape.kind = SectionKind::Initializers(InitKind::Fini { priority: u16::MAX });
            }
            macho::S_THREAD_LOCAL_REGULAR | macho::S_THREAD_LOCAL_ZEROFILL => shape.flags |= SectionFlags::TLS,
            macho::S_REGULAR
            | macho::S_COALESCED
            | macho::S_ZEROFILL
            | macho::S_GB_ZEROFILL
            | macho::S_LITERAL_POINTERS
            | macho::S_THREAD_LOCAL_VARIABLES => {}
            other => {
                let what = match other {
                    macho::S_NON_LAZY_SYMBOL_POINTERS
                    | macho::S_LAZY_SYMBOL_POINTERS
                    | macho::S_LAZY_DYLIB_SYMBOL_POINTERS
                    | macho::S_THREAD_LOCAL_VARIABLE_POINTERS
                    | macho::S_SYMBOL_STUBS => "is made by linkers for linked files (indirect symbols)",
                    macho::S_THREAD_LOCAL_INIT_FUNCTION_POINTERS => {
                        "holds functions to be called in each thread, which no compiler makes"
                    }
                    macho::S_INTERPOSING => "replaces functions of other libraries, which only the system's loader can",
                    _ => "has a type that is not known",
                };
                let what = format!("is of type {:#x}: it {what}", other.0);
                return Err(self.malformed(number, None, what));
            }
        }
        let by_relocation = matches!(shape.kind, SectionKind::Initializers(_))
            || header.section_type(LE) == macho::S_THREAD_LOCAL_VARIABLES;
        if matches!(shape.kind, SectionKind::Initializers(_)) {
            shape.cut = false;
            if !header.size(LE).is_multiple_of(self.file.machine.pointer_size.into()) {
                return Err(self.malformed(number, None, "holds addresses, and part of one"));
            }
        }
        if write && code {
            return Err(self.named(self.file.fail_at(number, None, ObjectProblem::WritableAndExecutable)));
        }
        if write && (relro || by_relocation) {
            shape.flags |= SectionFlags::RELRO;
            write = false;
        }
        // Strings and constants in a segment of variables can be written to.
        if write {
            shape.flags.remove(SectionFlags::MERGE | SectionFlags::STRINGS);
        }
        shape.prot = match (write, code) {
            (true, _) => Prot::READ | Prot::WRITE,
            (_, true) => Prot::READ | Prot::EXEC,
            _ => Prot::READ,
        };
        Ok(shape)
    }
}

/// What a section of the graph is to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) prot: Prot,
    pub(super) flags: SectionFlags,
    pub(super) kind: SectionKind,
    pub(super) entry_size: u32,
    /// Symbols cut it into blocks.
    pub(super) cut: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self { prot: Prot::READ, flags: SectionFlags::empty(), kind: SectionKind::Regular, entry_size: 0, cut: false }
    }
}
