//! An ELF file of linked code as it lies in memory, as valgrind reads it when it is mapped.
//!
//! You give the pages of code with their address, the functions in them and sections of an image's description; you get the bytes of a file whose two segments are
//! to be mapped from [`Image::code`] and [`Image::data`]. Valgrind (3.19 to 3.24, `coregrind/m_debuginfo/readelf.c`) wants: one `.text` in a segment that is readable and executable;
//! a second segment that is readable and writable, without which versions up to 3.19 read nothing; ascending segments, each of them mapped. Not for running.

use super::frames::DebugFrame;
use std::ops::Range;

/// A file, and where its segments are in it.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) bytes: Vec<u8>,
    /// The pages of code.
    pub(super) code: Range<u64>,
    /// A page of zeros.
    pub(super) data: Range<u64>,
}

/// A function: first address, size, name as objects spell it.
pub(super) type Symbol<'a> = (u64, u64, &'a str);

/// `Elf64_Ehdr`, `Elf64_Phdr`, `Elf64_Shdr`.
const HEADER: u64 = 64;
const SEGMENT: u64 = 56;
const SECTION: u64 = 64;

const PROGBITS: u32 = 1;
const SYMTAB: u32 = 2;
const STRTAB: u32 = 3;
/// `SHF_ALLOC | SHF_EXECINSTR`
const CODE: u64 = 6;

/// Sections that are being written.
struct Sections {
    bytes: Vec<u8>,
    headers: Vec<u8>,
    names: Vec<u8>,
}

/// What a section header says but for where the bytes are (gABI, "Sections").
#[derive(Clone, Copy, Default)]
struct Header<'a> {
    name: &'a str,
    kind: u32,
    flags: u64,
    address: u64,
    link: u32,
    entry: u64,
}

impl Sections {
    /// Notes a section whose bytes are there. Its number is how many were noted before.
    fn note(&mut self, header: Header<'_>, at: Range<u64>) {
        let Header { name, kind, flags, address, link, entry } = header;
        let name_at = self.names.len() as u32;
        self.names.extend(name.as_bytes());
        self.names.push(0);
        put32(&mut self.headers, &[name_at, kind]);
        put64(&mut self.headers, &[flags, address, at.start, at.end - at.start]);
        put32(&mut self.headers, &[link, 0]);
        put64(&mut self.headers, &[1, entry]);
    }

    fn add(&mut self, header: Header<'_>, contents: &[u8]) {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let start = self.bytes.len() as u64;
        self.bytes.extend(contents);
        self.note(header, start..self.bytes.len() as u64);
    }
}

/// A file of `code`, which lies at `address`, both multiples of `page`.
pub(super) fn image<'a>(
    address: u64,
    code: &[u8],
    page: u64,
    functions: impl Iterator<Item = Symbol<'a>>,
    frames: DebugFrame,
    description: &[u8],
) -> Image {
    let size = code.len() as u64;
    let code_at = page..page + size;
    let data_at = code_at.end..code_at.end + page;
    let mut bytes = vec![0; data_at.end as usize];
    bytes[code_at.start as usize..code_at.end as usize].copy_from_slice(code);

    let mut sections = Sections { bytes, headers: vec![0; SECTION as usize], names: vec![0] };
    let text = Header { name: ".text", kind: PROGBITS, flags: CODE, address, ..Header::default() };
    sections.note(text, code_at.clone());
    let (symbols, strings) = symbols(functions);
    // Its names are the third section.
    sections.add(Header { name: ".symtab", kind: SYMTAB, link: 3, entry: 24, ..Header::default() }, &symbols);
    sections.add(Header { name: ".strtab", kind: STRTAB, ..Header::default() }, &strings);
    sections.add(Header { name: ".debug_frame", kind: PROGBITS, ..Header::default() }, &frames.finish());
    for (name, flags, contents) in debug_sections(description) {
        sections.add(Header { name: &name, kind: PROGBITS, flags, ..Header::default() }, contents);
    }
    let names_at = sections.bytes.len() as u64;
    let count = (sections.headers.len() as u64 / SECTION + 1) as u16;
    let names_size = (sections.names.len() + ".shstrtab".len() + 1) as u64;
    let names = Header { name: ".shstrtab", kind: STRTAB, ..Header::default() };
    sections.note(names, names_at..names_at + names_size);

    let Sections { mut bytes, headers, names } = sections;
    bytes.extend(names);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    let headers_at = bytes.len() as u64;
    bytes.extend(headers);

    let mut start = Vec::with_capacity((HEADER + 2 * SEGMENT) as usize);
    // 64 bits, this byte order, version 1.
    start.extend(*b"\x7fELF");
    start.extend([2, if cfg!(target_endian = "little") { 1 } else { 2 }, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    // ET_EXEC: its addresses are final.
    put16(&mut start, &[2, crate::machine::ELF_MACHINE]);
    put32(&mut start, &[1]);
    put64(&mut start, &[0, HEADER, headers_at]);
    put32(&mut start, &[crate::machine::ELF_FLAGS]);
    put16(&mut start, &[HEADER as u16, SEGMENT as u16, 2, SECTION as u16, count, count - 1]);
    // PT_LOAD, readable and executable; readable and writable, at addresses that no section has.
    for (flags, at, address) in [(5, &code_at, address), (6, &data_at, address + size)] {
        put32(&mut start, &[1, flags]);
        put64(&mut start, &[at.start, address, address, at.end - at.start, at.end - at.start, page]);
    }
    bytes[..start.len()].copy_from_slice(&start);
    Image { bytes, code: code_at, data: data_at }
}

/// A symbol table and its names.
fn symbols<'a>(functions: impl Iterator<Item = Symbol<'a>>) -> (Vec<u8>, Vec<u8>) {
    let (mut symbols, mut strings) = (vec![0; 24], vec![0]);
    for (address, size, name) in functions {
        let name_at = strings.len() as u32;
        strings.extend(name.bytes().take_while(|byte| *byte != 0));
        strings.push(0);
        put32(&mut symbols, &[name_at]);
        // STB_GLOBAL, STT_FUNC; in the first section.
        symbols.extend([0x12, 0]);
        put16(&mut symbols, &[1]);
        put64(&mut symbols, &[address, size]);
    }
    (symbols, strings)
}

/// The sections of debug information in an ELF file of this machine: name, flags, bytes. Nothing of what cannot be read.
fn debug_sections(file: &[u8]) -> Vec<(String, u64, &[u8])> {
    let headers = |at: usize| file.get(at..)?.first_chunk::<{ SECTION as usize }>();
    let read = || {
        let table = usize::try_from(get64(file, 40)?).ok()?;
        let (count, names) = (get16(file, 60)?, get16(file, 62)?);
        let section = |number: u16| headers(table.checked_add(usize::from(number) * SECTION as usize)?);
        let contents = |header: &[u8]| {
            let (at, size) = (get64(header, 24)?, get64(header, 32)?);
            file.get(usize::try_from(at).ok()?..usize::try_from(at.checked_add(size)?).ok()?)
        };
        let names = contents(section(names)?)?;
        let one = |header: &[u8; SECTION as usize]| {
            let name = names.get(get32(header, 0)? as usize..)?;
            let name = std::str::from_utf8(&name[..name.iter().position(|byte| *byte == 0)?]).ok()?;
            let wanted = name.starts_with(".debug_") && name != ".debug_frame" && get32(header, 4)? == PROGBITS;
            if wanted { Some((name.to_owned(), get64(header, 8)?, contents(header)?)) } else { None }
        };
        Some((0..count).filter_map(|number| one(section(number)?)).collect())
    };
    read().unwrap_or_default()
}

fn put16(out: &mut Vec<u8>, values: &[u16]) {
    values.iter().for_each(|value| out.extend(value.to_ne_bytes()));
}

fn put32(out: &mut Vec<u8>, values: &[u32]) {
    values.iter().for_each(|value| out.extend(value.to_ne_bytes()));
}

fn put64(out: &mut Vec<u8>, values: &[u64]) {
    values.iter().for_each(|value| out.extend(value.to_ne_bytes()));
}

fn get16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
}

fn get32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

fn get64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_ne_bytes(*bytes))
}
