//! Objects of generated functions, written without a compiler: the same bytes on every machine, thousands in a second.
//!
//! Each function calls two others, reads a datum through the GOT, has an entry in `.eh_frame`, and stands beside a pointer to a third.

use crate::scoreboard::Result;
use object::elf::{R_X86_64_64, R_X86_64_PC32, R_X86_64_PLT32, R_X86_64_REX_GOTPCRELX, RelocationType};
use object::write::{Object, Relocation, SectionId, Symbol, SymbolId, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
};

/// What a function refers to: two that it calls, one that it points to, one whose datum it reads; all by number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refers {
    pub(super) calls: [usize; 2],
    pub(super) points: usize,
    pub(super) reads: usize,
}

/// What function `number` adds, and what its datum is.
pub(super) fn constant(number: usize) -> u32 {
    (number % 9973) as u32
}

/// `step(1)`: what main adds up.
pub(super) fn result(number: usize, refers: Refers) -> u32 {
    let called = constant(refers.calls[0]).wrapping_add(constant(refers.calls[1]));
    called.wrapping_add(constant(refers.reads)).wrapping_add(constant(number)).wrapping_add(1)
}

#[rustfmt::skip]
const STEP: &[u8] = &[
    0x53,                          // push rbx
    0x89, 0xfb,                    // mov  ebx, edi
    0x85, 0xff,                    // test edi, edi
    0x74, 0x1b,                    // je   leaf
    0x31, 0xff,                    // xor  edi, edi
    0xe8, 0, 0, 0, 0,              // call first            at 10
    0x01, 0xc3,                    // add  ebx, eax
    0x31, 0xff,                    // xor  edi, edi
    0xe8, 0, 0, 0, 0,              // call second           at 19
    0x01, 0xc3,                    // add  ebx, eax
    0x48, 0x8b, 0x0d, 0, 0, 0, 0,  // mov  rcx, [rip + datum@GOTPCREL]  at 28; of an own datum: lea rcx, [rip + datum]
    0x03, 0x19,                    // add  ebx, [rcx]
    0x8d, 0x83, 0, 0, 0, 0,        // leaf: lea eax, [rbx + constant]   at 36
    0x5b,                          // pop  rbx
    0xc3,                          // ret
];
const CALLS_AT: [u64; 2] = [10, 19];
const READS_AT: u64 = 28;
/// The middle byte of the load, and of the `lea` that a compiler writes where nobody else can define the datum.
const LOAD: (usize, u8) = (26, 0x8d);
const CONSTANT_AT: usize = 36;

#[rustfmt::skip]
const MAIN: &[u8] = &[
    0x53, 0x55, 0x41, 0x54,        // push rbx; push rbp; push r12
    0x48, 0x8d, 0x1d, 0, 0, 0, 0,  // lea  rbx, [rip + table]    at 7
    0xbd, 0, 0, 0, 0,              // mov  ebp, entries          at 12
    0x45, 0x31, 0xe4,              // xor  r12d, r12d
    0xbf, 1, 0, 0, 0,              // next: mov edi, 1
    0xff, 0x13,                    // call [rbx]
    0x45, 0x6b, 0xe4, 31,          // imul r12d, r12d, 31
    0x41, 0x01, 0xc4,              // add  r12d, eax
    0x48, 0x83, 0xc3, 8,           // add  rbx, 8
    0xff, 0xcd,                    // dec  ebp
    0x75, 0xea,                    // jne  next
    0x48, 0x8d, 0x3d, 0, 0, 0, 0,  // lea  rdi, [rip + format]   at 44
    0x44, 0x89, 0xe6,              // mov  esi, r12d
    0x31, 0xc0,                    // xor  eax, eax
    0xe8, 0, 0, 0, 0,              // call printf                at 54
    0x31, 0xc0,                    // xor  eax, eax
    0x41, 0x5c, 0x5d, 0x5b,        // pop  r12; pop rbp; pop rbx
    0xc3,                          // ret
];
const TABLE_AT: u64 = 7;
const ENTRIES_AT: usize = 12;
const FORMAT_AT: u64 = 44;
const PRINTF_AT: u64 = 54;

/// System V gABI, DWARF: `zR`, the return address in rip, pointers that are relative and of four bytes.
#[rustfmt::skip]
const CIE: &[u8] = &[
    0x14, 0, 0, 0,  0, 0, 0, 0,  1, b'z', b'R', 0, 1, 0x78, 0x10, 1, 0x1b,
    0x0c, 7, 8, 0x90, 1, 0, 0,     // CFA is rsp + 8, rip lies below it
];
/// After length and distance to the CIE: start, size, nothing more, then the push of rbx.
const FDE_BYTES: usize = 24;
const PUSHED: [u8; 7] = [0x41, 0x0e, 0x10, 0x83, 2, 0, 0];

/// An object that is being written.
pub(super) struct Unit {
    object: Object<'static>,
    text: SectionId,
    data: SectionId,
    frames: SectionId,
    names: Names,
}

/// How functions are known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    /// Others may refer to them.
    pub(super) global: bool,
    /// Each is a section of its own, as with `-ffunction-sections`.
    pub(super) section_each: bool,
}

/// Symbols that were named so far; dense, as numbers of one object lie together.
#[derive(Default)]
struct Names {
    steps: std::collections::HashMap<usize, SymbolId>,
    values: std::collections::HashMap<usize, SymbolId>,
}

impl Unit {
    pub(super) fn new() -> Self {
        let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
        let mut section = |name: &[u8], kind| object.add_section(Vec::new(), name.to_vec(), kind);
        let text = section(b".text", SectionKind::Text);
        let data = section(b".data", SectionKind::Data);
        let frames = section(b".eh_frame", SectionKind::ReadOnlyData);
        object.append_section_data(frames, CIE, 8);
        Self { object, text, data, frames, names: Names::default() }
    }

    /// Functions by number, and what each refers to. Every one is declared before any is written, so that they may refer to each other.
    pub(super) fn functions(&mut self, style: Style, all: &[(usize, Refers)]) -> Result<()> {
        let mut places = Vec::with_capacity(all.len());
        for &(number, _) in all {
            let text = if style.section_each {
                self.object.add_section(Vec::new(), format!(".text.step_{number}").into_bytes(), SectionKind::Text)
            } else {
                self.text
            };
            let mut code = STEP.to_vec();
            code[CONSTANT_AT..CONSTANT_AT + 4].copy_from_slice(&constant(number).to_le_bytes());
            if !style.global {
                code[LOAD.0] = LOAD.1;
            }
            let at = self.object.append_section_data(text, &code, 16);
            let step = self.define(format!("step_{number}"), style, SymbolKind::Text, (text, at, code.len() as u64));
            let datum = self.object.append_section_data(self.data, &u64::from(constant(number)).to_le_bytes(), 8);
            let value = self.define(format!("value_{number}"), style, SymbolKind::Data, (self.data, datum, 4));
            let pointer = self.object.append_section_data(self.data, &[0; 8], 8);
            self.names.steps.insert(number, step);
            self.names.values.insert(number, value);
            places.push((text, at, pointer));
        }
        for (&(_, refers), (text, at, pointer)) in all.iter().zip(places) {
            for (call, offset) in refers.calls.into_iter().zip(CALLS_AT) {
                let called = self.step(call);
                self.relocate(text, at + offset, called, -4, R_X86_64_PLT32)?;
            }
            let value = self.value(refers.reads);
            let kind = if style.global { R_X86_64_REX_GOTPCRELX } else { R_X86_64_PC32 };
            self.relocate(text, at + READS_AT, value, -4, kind)?;
            let pointed = self.step(refers.points);
            self.relocate(self.data, pointer, pointed, 0, R_X86_64_64)?;
            self.frame(text, at)?;
        }
        Ok(())
    }

    /// `main`, which calls what its table names and prints what came out.
    pub(super) fn main(&mut self, table: impl ExactSizeIterator<Item = usize>) -> Result<()> {
        let mut code = MAIN.to_vec();
        code[ENTRIES_AT..ENTRIES_AT + 4].copy_from_slice(&(table.len() as u32).to_le_bytes());
        let at = self.object.append_section_data(self.text, &code, 16);
        let style = Style { global: true, section_each: false };
        self.define("main".to_owned(), style, SymbolKind::Text, (self.text, at, code.len() as u64));
        let rows = self.object.add_section(Vec::new(), b".data.rel.ro".to_vec(), SectionKind::ReadOnlyDataWithRel);
        let start = self.object.append_section_data(rows, &vec![0; 8 * table.len()], 8);
        for (index, number) in table.enumerate() {
            let step = self.step(number);
            self.relocate(rows, start + 8 * index as u64, step, 0, R_X86_64_64)?;
        }
        let constants = self.object.add_section(Vec::new(), b".rodata".to_vec(), SectionKind::ReadOnlyData);
        self.object.append_section_data(constants, b"%u\n\0", 1);
        let (rows, constants) = (self.object.section_symbol(rows), self.object.section_symbol(constants));
        let printf = self.undefined("printf".to_owned());
        self.relocate(self.text, at + TABLE_AT, rows, -4, R_X86_64_PC32)?;
        self.relocate(self.text, at + FORMAT_AT, constants, -4, R_X86_64_PC32)?;
        self.relocate(self.text, at + PRINTF_AT, printf, -4, R_X86_64_PLT32)
    }

    /// The object's bytes.
    pub(super) fn finish(self) -> Result<Vec<u8>> {
        self.object.write().map_err(|e| e.to_string())
    }

    fn frame(&mut self, text: SectionId, at: u64) -> Result<()> {
        let mut entry = [0; FDE_BYTES];
        entry[..4].copy_from_slice(&(FDE_BYTES as u32 - 4).to_le_bytes());
        entry[12..16].copy_from_slice(&(STEP.len() as u32).to_le_bytes());
        entry[17..].copy_from_slice(&PUSHED);
        let start = self.object.append_section_data(self.frames, &entry, 8);
        // The distance back to the CIE, which is the first in the section.
        let distance = (start as u32 + 4).to_le_bytes();
        self.object.section_mut(self.frames).data_mut()[start as usize + 4..][..4].copy_from_slice(&distance);
        let section = self.object.section_symbol(text);
        self.relocate(self.frames, start + 8, section, at as i64, R_X86_64_PC32)
    }

    fn define(&mut self, name: String, style: Style, kind: SymbolKind, place: (SectionId, u64, u64)) -> SymbolId {
        let (section, value, size) = place;
        self.object.add_symbol(Symbol {
            name: name.into_bytes(),
            value,
            size,
            kind,
            scope: if style.global { SymbolScope::Dynamic } else { SymbolScope::Compilation },
            weak: false,
            section: SymbolSection::Section(section),
            flags: SymbolFlags::None,
        })
    }

    fn undefined(&mut self, name: String) -> SymbolId {
        self.object.add_symbol(Symbol {
            name: name.into_bytes(),
            value: 0,
            size: 0,
            kind: SymbolKind::Unknown,
            scope: SymbolScope::Unknown,
            weak: false,
            section: SymbolSection::Undefined,
            flags: SymbolFlags::None,
        })
    }

    fn step(&mut self, number: usize) -> SymbolId {
        if let Some(known) = self.names.steps.get(&number) {
            return *known;
        }
        let symbol = self.undefined(format!("step_{number}"));
        self.names.steps.insert(number, symbol);
        symbol
    }

    fn value(&mut self, number: usize) -> SymbolId {
        if let Some(known) = self.names.values.get(&number) {
            return *known;
        }
        let symbol = self.undefined(format!("value_{number}"));
        self.names.values.insert(number, symbol);
        symbol
    }

    fn relocate(
        &mut self,
        section: SectionId,
        offset: u64,
        symbol: SymbolId,
        addend: i64,
        r_type: RelocationType,
    ) -> Result<()> {
        let relocation = Relocation { offset, symbol, addend, flags: RelocationFlags::Elf { r_type } };
        self.object.add_relocation(section, relocation).map_err(|e| e.to_string())
    }
}
