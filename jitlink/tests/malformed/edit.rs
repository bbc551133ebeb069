//! Changes single fields of an ELF file (gABI, "Section Header", "Symbol Table", "Relocation").

use object::read::elf::{FileHeader, SectionHeader, Sym};
use object::{LittleEndian as LE, elf};

/// Offset and width of a field in an entry of a table.
#[derive(Clone, Copy)]
pub(crate) struct Field(usize, usize);

/// Of section headers, 64 bytes each.
pub(crate) const SH_NAME: Field = Field(0, 4);
pub(crate) const SH_TYPE: Field = Field(4, 4);
pub(crate) const SH_FLAGS: Field = Field(8, 8);
pub(crate) const SH_OFFSET: Field = Field(24, 8);
pub(crate) const SH_SIZE: Field = Field(32, 8);
pub(crate) const SH_LINK: Field = Field(40, 4);
pub(crate) const SH_INFO: Field = Field(44, 4);
pub(crate) const SH_ADDRALIGN: Field = Field(48, 8);
/// Of symbols, 24 bytes each.
pub(crate) const ST_NAME: Field = Field(0, 4);
pub(crate) const ST_SHNDX: Field = Field(6, 2);
pub(crate) const ST_VALUE: Field = Field(8, 8);
pub(crate) const ST_SIZE: Field = Field(16, 8);
/// Of relocations with addends, 24 bytes each.
pub(crate) const R_OFFSET: Field = Field(0, 8);
pub(crate) const R_TYPE: Field = Field(8, 4);
pub(crate) const R_SYM: Field = Field(12, 4);
/// Of the file's header.
pub(crate) const E_SHOFF: Field = Field(40, 8);

pub(crate) fn put(data: &mut [u8], at: usize, Field(offset, width): Field, value: u64) {
    data[at + offset..at + offset + width].copy_from_slice(&value.to_le_bytes()[..width]);
}

fn header(data: &[u8]) -> &elf::FileHeader64<LE> {
    elf::FileHeader64::<LE>::parse(data).expect("a sound header")
}

/// The number of the section called `name`.
pub(crate) fn number(data: &[u8], name: &str) -> usize {
    let sections = header(data).sections(LE, data).expect("sound sections");
    let (index, _) = sections.section_by_name(LE, name.as_bytes()).unwrap_or_else(|| panic!("no section {name}"));
    index.0
}

/// Where the header of the section called `name` stands.
fn header_of(data: &[u8], name: &str) -> usize {
    header(data).e_shoff.get(LE) as usize + 64 * number(data, name)
}

/// Where the content of the section called `name` stands, and its size.
pub(crate) fn content_of(data: &[u8], name: &str) -> (usize, usize) {
    let sections = header(data).sections(LE, data).expect("sound sections");
    let (_, section) = sections.section_by_name(LE, name.as_bytes()).unwrap_or_else(|| panic!("no section {name}"));
    (section.sh_offset(LE) as usize, section.sh_size(LE) as usize)
}

/// Sets a field of the header of the section called `section`.
pub(crate) fn section(data: &mut [u8], section: &str, field: Field, value: u64) {
    let at = header_of(data, section);
    put(data, at, field, value);
}

/// Sets a field of the symbol called `name`.
pub(crate) fn symbol(data: &mut [u8], name: &str, field: Field, value: u64) {
    let whole = &*data;
    let sections = header(whole).sections(LE, whole).expect("sound sections");
    let symbols = sections.symbols(LE, whole, elf::SHT_SYMTAB).expect("sound symbols");
    let found = symbols.enumerate().find(|(_, symbol)| symbol.name(LE, symbols.strings()) == Ok(name.as_bytes()));
    let (index, _) = found.unwrap_or_else(|| panic!("no symbol {name}"));
    let at = content_of(data, ".symtab").0 + 24 * index.0;
    put(data, at, field, value);
}

/// Sets a field of the relocation at position `index` of the section called `table`.
pub(crate) fn relocation(data: &mut [u8], table: &str, index: usize, field: Field, value: u64) {
    let at = content_of(data, table).0 + 24 * index;
    put(data, at, field, value);
}

/// Sets a field of the file's header.
pub(crate) fn file(data: &mut [u8], field: Field, value: u64) {
    put(data, 0, field, value);
}
