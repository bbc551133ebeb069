//! The ELF file of an image: what debuggers, profilers and backtraces read instead of the objects that it was linked from.
//!
//! **You give** segments, symbols and debug sections, all with final addresses; **you get** an executable file (`ET_EXEC`) whose code and data have
//! headers and no bytes, since memory has them. There is room for the bytes of the call frame information, which debuggers read from files: the executor fills it in. **It is
//! not for** running.

use jitlink::debug::DebugSection;
use jitlink::graph::{Prot, SymbolKind};
use jitlink::linked::LinkedSegment;
use object::elf::{self, FileHeader64, ProgramHeader64, SectionHeader64, Sym64};
use object::pod::bytes_of;
use object::{LittleEndian as Le, U16, U32, U64};

const EH_FRAME: &str = ".eh_frame";

/// What says that the code is for Linux, from 3.2.0 (LSB, "The .note.ABI-tag section"). Debuggers know the thread pointer of no other.
const ABI_TAG: (&str, [u8; 32]) =
    (".note.ABI-tag", *b"\x04\0\0\0\x10\0\0\0\x01\0\0\0GNU\0\0\0\0\0\x03\0\0\0\x02\0\0\0\0\0\0\0");

/// What the file is made of.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    /// `e_machine`.
    pub(super) machine: u16,
    /// Addresses are those of a shared library: something is to be added to them.
    pub(super) relative: bool,
    /// The image's memory.
    pub(super) segments: &'a [LinkedSegment],
    /// Address and size of the call frame information, which lies in a segment.
    pub(super) eh_frame: Option<(u64, u64)>,
    pub(super) symbols: &'a [FileSymbol<'a>],
    pub(super) debug: &'a [DebugSection],
}

/// A symbol of the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileSymbol<'a> {
    pub(super) name: &'a [u8],
    pub(super) address: u64,
    pub(super) size: u64,
    pub(super) kind: SymbolKind,
    pub(super) local: bool,
}

impl FileSymbol<'_> {
    pub(super) fn is_function(&self) -> bool {
        matches!(self.kind, SymbolKind::Function | SymbolKind::Indirect)
    }
}

struct Section<'a> {
    name: String,
    kind: elf::SectionType,
    flags: u64,
    address: u64,
    /// In memory and, unless it is `SHT_NOBITS`, in the file.
    size: u64,
    align: u64,
    /// What it begins with; the rest is zero.
    content: &'a [u8],
    link: u32,
    info: u32,
    entry_size: u64,
}

impl<'a> Section<'a> {
    fn memory(name: String, prot: Prot, address: u64, size: u64) -> Self {
        let mut flags = elf::SHF_ALLOC.0;
        if prot.contains(Prot::WRITE) {
            flags |= elf::SHF_WRITE.0;
        }
        if prot.contains(Prot::EXEC) {
            flags |= elf::SHF_EXECINSTR.0;
        }
        Self { flags, address, size, ..Self::new(name, elf::SHT_NOBITS, &[]) }
    }

    fn new(name: String, kind: elf::SectionType, content: &'a [u8]) -> Self {
        let size = content.len() as u64;
        Self { name, kind, flags: 0, address: 0, size, align: 1, content, link: 0, info: 0, entry_size: 0 }
    }
}

impl Section<'_> {
    fn is_in_memory(&self) -> bool {
        self.flags & elf::SHF_ALLOC.0 != 0
    }

    fn file_size(&self) -> u64 {
        if self.kind == elf::SHT_NOBITS { 0 } else { self.size }
    }
}

/// The file, and where in it the bytes of the call frame information go.
pub(super) fn write(parts: Parts<'_>) -> (Vec<u8>, u64) {
    let Parts { machine, relative, segments, eh_frame, symbols, debug } = parts;
    let mut sections = memory_sections(segments, eh_frame);
    let in_memory = sections.len();
    let (table, strings, locals) = symbol_table(symbols, &sections);
    // The null section stands before all of them.
    let strtab = in_memory as u32 + 2;
    let entry_size = size_of::<Sym64<Le>>() as u64;
    let symtab = Section::new(".symtab".into(), elf::SHT_SYMTAB, &table);
    sections.push(Section { link: strtab, info: locals, entry_size, align: 8, ..symtab });
    sections.push(Section::new(".strtab".into(), elf::SHT_STRTAB, &strings));
    sections.push(Section { align: 4, ..Section::new(ABI_TAG.0.into(), elf::SHT_NOTE, &ABI_TAG.1) });
    for DebugSection { name, align, bytes } in debug {
        let mut section = Section { align: *align, ..Section::new(name.clone(), elf::SHT_PROGBITS, bytes) };
        if matches!(&**name, ".debug_str" | ".debug_line_str") {
            section.flags = elf::SHF_MERGE.0 | elf::SHF_STRINGS.0;
            section.entry_size = 1;
        }
        sections.push(section);
    }
    let kind = if relative { elf::ET_DYN } else { elf::ET_EXEC };
    assemble((machine, kind), &sections)
}

/// A section for each segment, cut where the call frame information is.
fn memory_sections<'a>(segments: &[LinkedSegment], eh_frame: Option<(u64, u64)>) -> Vec<Section<'a>> {
    let mut sections: Vec<Section<'a>> = Vec::new();
    let mut add = |prot: Prot, start: u64, end: u64| {
        if start < end {
            let base = match prot {
                _ if prot.contains(Prot::EXEC) => ".text",
                _ if prot.contains(Prot::WRITE) => ".data",
                _ => ".rodata",
            };
            let others = sections.iter().filter(|one| one.name.starts_with(base)).count();
            let name = if others == 0 { base.to_owned() } else { format!("{base}.{others}") };
            sections.push(Section::memory(name, prot, start, end - start));
        }
    };
    for segment in segments {
        let (start, end) = (segment.address, segment.address + segment.size);
        match eh_frame {
            Some((frames, size)) if start <= frames && frames + size <= end => {
                add(segment.prot, start, frames);
                add(segment.prot, frames + size, end);
            }
            _ => add(segment.prot, start, end),
        }
    }
    if let Some((address, size)) = eh_frame {
        let section = Section::new(EH_FRAME.into(), elf::SHT_PROGBITS, &[]);
        sections.push(Section { flags: elf::SHF_ALLOC.0, address, size, align: 8, ..section });
    }
    sections.sort_by_key(|section| section.address);
    sections
}

/// Symbols, their names, and the number of the first one that is not local.
fn symbol_table(symbols: &[FileSymbol<'_>], sections: &[Section<'_>]) -> (Vec<u8>, Vec<u8>, u32) {
    let mut table = Vec::with_capacity((symbols.len() + 1) * size_of::<Sym64<Le>>());
    let mut strings = Vec::with_capacity(1 + symbols.iter().map(|symbol| symbol.name.len() + 1).sum::<usize>());
    strings.push(0);
    table.extend_from_slice(bytes_of(&Sym64::<Le>::default()));
    let mut first_global = 1;
    for local in [true, false] {
        for symbol in symbols.iter().filter(|symbol| symbol.local == local) {
            let Ok(name) = u32::try_from(strings.len()) else { break };
            let after = sections.partition_point(|section| section.address <= symbol.address);
            let inside = after > 0 && symbol.address - sections[after - 1].address < sections[after - 1].size;
            let section = if inside { elf::SymbolSection(after as u16) } else { elf::SHN_ABS };
            strings.extend_from_slice(symbol.name);
            strings.push(0);
            let bind = if local { elf::STB_LOCAL } else { elf::STB_GLOBAL };
            let kind = match symbol.kind {
                SymbolKind::Function | SymbolKind::Indirect => elf::STT_FUNC,
                SymbolKind::Object => elf::STT_OBJECT,
                _ => elf::STT_NOTYPE,
            };
            let mut entry = Sym64 {
                st_name: U32::new(Le, name),
                st_shndx: U16::new(Le, section),
                st_value: U64::new(Le, symbol.address),
                st_size: U64::new(Le, symbol.size),
                ..Sym64::default()
            };
            entry.set_st_info(bind, kind);
            table.extend_from_slice(bytes_of(&entry));
            first_global += u32::from(local);
        }
    }
    (table, strings, first_global)
}

/// Header, program headers, contents, section headers.
fn assemble(what: (u16, elf::FileType), sections: &[Section<'_>]) -> (Vec<u8>, u64) {
    const NAMES: &str = ".shstrtab";
    let mut names = vec![0];
    let mut name_offsets = Vec::with_capacity(sections.len() + 1);
    for name in sections.iter().map(|section| &*section.name).chain([NAMES]) {
        name_offsets.push(names.len() as u32);
        names.extend_from_slice(name.as_bytes());
        names.push(0);
    }
    let name_table = Section::new(NAMES.into(), elf::SHT_STRTAB, &names);
    let sections: Vec<&Section<'_>> = sections.iter().chain([&name_table]).collect();
    let loaded = sections.iter().filter(|section| section.is_in_memory()).count();
    let headers = size_of::<FileHeader64<Le>>() + loaded * size_of::<ProgramHeader64<Le>>();
    let mut at = headers as u64;
    let mut offsets = Vec::with_capacity(sections.len());
    for section in &sections {
        at = at.next_multiple_of(section.align);
        offsets.push(at);
        at += section.file_size();
    }
    let table = at.next_multiple_of(8);
    let count = sections.len() + 1;
    let mut file = Vec::with_capacity(table as usize + count * size_of::<SectionHeader64<Le>>());
    file.extend_from_slice(bytes_of(&file_header(what, loaded as u16, table, count as u16)));
    for (section, offset) in sections.iter().zip(&offsets).filter(|(section, _)| section.is_in_memory()) {
        file.extend_from_slice(bytes_of(&program_header(section, *offset)));
    }
    for (section, offset) in sections.iter().zip(&offsets) {
        file.resize(*offset as usize, 0);
        file.extend_from_slice(section.content);
    }
    let frames = sections.iter().zip(&offsets).find(|(section, _)| section.name == EH_FRAME);
    let frames = frames.map_or(0, |(_, offset)| *offset);
    file.resize(table as usize, 0);
    file.resize(table as usize + size_of::<SectionHeader64<Le>>(), 0);
    for ((section, offset), name) in sections.iter().zip(&offsets).zip(name_offsets) {
        let header = SectionHeader64::<Le> {
            sh_name: U32::new(Le, name),
            sh_type: U32::new(Le, section.kind),
            sh_flags: U64::new(Le, elf::SectionFlags(section.flags)),
            sh_addr: U64::new(Le, section.address),
            sh_offset: U64::new(Le, *offset),
            sh_size: U64::new(Le, section.size),
            sh_link: U32::new(Le, section.link),
            sh_info: U32::new(Le, section.info),
            sh_addralign: U64::new(Le, section.align),
            sh_entsize: U64::new(Le, section.entry_size),
        };
        file.extend_from_slice(bytes_of(&header));
    }
    (file, frames)
}

fn file_header((machine, kind): (u16, elf::FileType), segments: u16, table: u64, sections: u16) -> FileHeader64<Le> {
    FileHeader64 {
        e_ident: elf::Ident {
            magic: elf::ELFMAG,
            class: elf::ELFCLASS64,
            data: elf::ELFDATA2LSB,
            version: elf::EV_CURRENT,
            os_abi: elf::ELFOSABI_NONE,
            abi_version: 0,
            padding: [0; 7],
        },
        e_type: U16::new(Le, kind),
        e_machine: U16::new(Le, elf::Machine(machine)),
        e_version: U32::new(Le, 1),
        e_entry: U64::new(Le, 0),
        e_phoff: U64::new(Le, if segments == 0 { 0 } else { size_of::<FileHeader64<Le>>() as u64 }),
        e_shoff: U64::new(Le, table),
        e_flags: U32::new(Le, elf::FileFlags(0)),
        e_ehsize: U16::new(Le, size_of::<FileHeader64<Le>>() as u16),
        e_phentsize: U16::new(Le, size_of::<ProgramHeader64<Le>>() as u16),
        e_phnum: U16::new(Le, segments),
        e_shentsize: U16::new(Le, size_of::<SectionHeader64<Le>>() as u16),
        e_shnum: U16::new(Le, sections),
        e_shstrndx: U16::new(Le, elf::SymbolSection(sections - 1)),
    }
}

/// One for each section of memory: a segment's call frame information has bytes in the file, the rest of it has none.
fn program_header(section: &Section<'_>, offset: u64) -> ProgramHeader64<Le> {
    let flag = |bit: elf::SectionFlags, flag: elf::ProgramFlags| if section.flags & bit.0 != 0 { flag.0 } else { 0 };
    let flags = elf::PF_R.0 | flag(elf::SHF_WRITE, elf::PF_W) | flag(elf::SHF_EXECINSTR, elf::PF_X);
    ProgramHeader64 {
        p_type: U32::new(Le, elf::PT_LOAD),
        p_flags: U32::new(Le, elf::ProgramFlags(flags)),
        p_offset: U64::new(Le, offset),
        p_vaddr: U64::new(Le, section.address),
        p_paddr: U64::new(Le, section.address),
        p_filesz: U64::new(Le, section.file_size()),
        p_memsz: U64::new(Le, section.size),
        p_align: U64::new(Le, 1),
    }
}
