//! Batches of small random objects whose references are all in range.

use object::elf::{self, RelocationType};
use object::write::{Object, Relocation, SectionId, Symbol, SymbolId, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
};
use proptest::prelude::*;
use std::collections::HashMap;

/// Where a batch is linked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Memory {
    /// Where addresses fit 32 bits.
    Low,
    /// Where only distances do.
    High,
    /// The same, and the objects are linked as a position-independent executable.
    Independent,
}

impl Memory {
    pub(crate) fn base(self) -> u64 {
        match self {
            Self::Low => 0x40_0000,
            Self::High | Self::Independent => 0x7f12_3450_0000,
        }
    }
}

/// What a reference names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Target {
    /// The global symbol of a section, of any object.
    Global,
    /// A section's local symbol, of the same object.
    Local,
    /// A section itself, of the same object.
    Section,
    /// A name that several objects define, one of them strongly.
    Contested,
    /// A name that none defines.
    External,
    /// A weak name that nobody defines: null.
    Null,
    /// A small constant (`SHN_ABS`).
    Absolute,
    /// The section that the reference stands in, at the place of the reference.
    Here,
    /// `_GLOBAL_OFFSET_TABLE_`.
    Table,
}

/// One type of relocation: what it may name so that its value is in range, and which addends it may have.
struct Shape {
    r_type: RelocationType,
    bytes: usize,
    low: &'static [Target],
    high: &'static [Target],
    /// Needs no help from a dynamic loader.
    independent: &'static [Target],
    addends: (i64, i64),
}

const ADDRESSES: &[Target] = &[Target::Global, Target::Local, Target::Section, Target::Contested, Target::External];
const PLACED: &[Target] = &[Target::Global, Target::Local, Target::Section, Target::Contested];
const CONSTANTS: &[Target] = &[Target::Absolute, Target::Null];
/// A 32-bit field for the address of anything else asks for low memory.
const CONSTANT: &[Target] = &[Target::Absolute];
const ALL: &[Target] = &[
    Target::Global,
    Target::Local,
    Target::Section,
    Target::Contested,
    Target::External,
    Target::Null,
    Target::Absolute,
    Target::Here,
];
const SMALL: (i64, i64) = (-64, 64);
const NEAR: (i64, i64) = (-1 << 16, 1 << 16);
const WIDE: (i64, i64) = (i64::MIN, i64::MAX);

#[rustfmt::skip]
const SHAPES: &[Shape] = &[
    Shape { r_type: elf::R_X86_64_NONE,     bytes: 0, low: ALL, high: ALL, independent: &[], addends: SMALL },
    Shape { r_type: elf::R_X86_64_64,       bytes: 8, low: ALL, high: ALL, independent: &[], addends: WIDE },
    Shape { r_type: elf::R_X86_64_32,       bytes: 4, low: ADDRESSES, high: CONSTANT, independent: &[], addends: (0, 0x7000_0000) },
    Shape { r_type: elf::R_X86_64_32S,      bytes: 4, low: ADDRESSES, high: CONSTANT, independent: &[], addends: NEAR },
    Shape { r_type: elf::R_X86_64_16,       bytes: 2, low: CONSTANTS, high: CONSTANT, independent: &[], addends: (-0x8000, 0xff00) },
    Shape { r_type: elf::R_X86_64_8,        bytes: 1, low: CONSTANTS, high: CONSTANT, independent: &[], addends: (-0x80, 0x7f) },
    Shape { r_type: elf::R_X86_64_PC64,     bytes: 8, low: ALL, high: ALL, independent: PLACED, addends: WIDE },
    Shape { r_type: elf::R_X86_64_PC32,     bytes: 4, low: ALL, high: ADDRESSES, independent: PLACED, addends: NEAR },
    Shape { r_type: elf::R_X86_64_PC16,     bytes: 2, low: &[Target::Here], high: &[Target::Here], independent: &[Target::Here], addends: (-0x8000, 0x7fff) },
    Shape { r_type: elf::R_X86_64_PC8,      bytes: 1, low: &[Target::Here], high: &[Target::Here], independent: &[Target::Here], addends: (-0x80, 0x7f) },
    Shape { r_type: elf::R_X86_64_PLT32,    bytes: 4, low: ALL, high: ADDRESSES, independent: PLACED, addends: NEAR },
    Shape { r_type: elf::R_X86_64_GOTPC32,  bytes: 4, low: &[Target::Table], high: &[Target::Table], independent: &[Target::Table], addends: NEAR },
    Shape { r_type: elf::R_X86_64_GOTPC64,  bytes: 8, low: &[Target::Table], high: &[Target::Table], independent: &[Target::Table], addends: WIDE },
    Shape { r_type: elf::R_X86_64_GOTOFF64, bytes: 8, low: ALL, high: ALL, independent: PLACED, addends: WIDE },
    Shape { r_type: elf::R_X86_64_PLTOFF64, bytes: 8, low: PLACED, high: PLACED, independent: PLACED, addends: WIDE },
    Shape { r_type: elf::R_X86_64_SIZE32,   bytes: 4, low: PLACED, high: PLACED, independent: PLACED, addends: (0, 0xffff_0000) },
    Shape { r_type: elf::R_X86_64_SIZE64,   bytes: 8, low: PLACED, high: PLACED, independent: PLACED, addends: WIDE },
];

/// Instructions whose slot both linkers do without, wherever the memory is.
const RELAXED_ANYWHERE: &[(RelocationType, &[u8])] = &[
    (elf::R_X86_64_GOTPCRELX, &[0xff, 0x15]), // call *v@GOTPCREL(%rip)
    (elf::R_X86_64_GOTPCRELX, &[0xff, 0x25]), // jmp *v@GOTPCREL(%rip)
];

/// The same, except that ld fails in high memory: it always takes an immediate where the code may depend on its position.
#[rustfmt::skip]
const RELAXED_LOADS: &[(RelocationType, &[u8])] = &[
    (elf::R_X86_64_REX_GOTPCRELX, &[0x48, 0x8b, 0x05]), // mov v@GOTPCREL(%rip), %rax
    (elf::R_X86_64_REX_GOTPCRELX, &[0x4c, 0x8b, 0x2d]), // mov v@GOTPCREL(%rip), %r13
];

/// The same, where addresses fit 32 bits.
#[rustfmt::skip]
const RELAXED_LOW: &[(RelocationType, &[u8])] = &[
    (elf::R_X86_64_GOTPCRELX,     &[0x8b, 0x0d]),       // mov v@GOTPCREL(%rip), %ecx
    (elf::R_X86_64_GOTPCRELX,     &[0x85, 0x3d]),       // test %edi, v@GOTPCREL(%rip)
    (elf::R_X86_64_REX_GOTPCRELX, &[0x4c, 0x85, 0x35]), // test %r14, v@GOTPCREL(%rip)
    (elf::R_X86_64_GOTPCRELX,     &[0x3b, 0x05]),       // cmp v@GOTPCREL(%rip), %eax
    (elf::R_X86_64_REX_GOTPCRELX, &[0x48, 0x03, 0x1d]), // add v@GOTPCREL(%rip), %rbx
    (elf::R_X86_64_REX_GOTPCRELX, &[0x4c, 0x0b, 0x05]), // or v@GOTPCREL(%rip), %r8
    (elf::R_X86_64_REX_GOTPCRELX, &[0x4c, 0x13, 0x0d]), // adc v@GOTPCREL(%rip), %r9
    (elf::R_X86_64_REX_GOTPCRELX, &[0x44, 0x1b, 0x15]), // sbb v@GOTPCREL(%rip), %r10d
    (elf::R_X86_64_REX_GOTPCRELX, &[0x48, 0x23, 0x35]), // and v@GOTPCREL(%rip), %rsi
    (elf::R_X86_64_REX_GOTPCRELX, &[0x4c, 0x2b, 0x3d]), // sub v@GOTPCREL(%rip), %r15
    (elf::R_X86_64_REX_GOTPCRELX, &[0x48, 0x33, 0x25]), // xor v@GOTPCREL(%rip), %rsp
    (elf::R_X86_64_REX_GOTPCRELX, &[0x4c, 0x3b, 0x25]), // cmp v@GOTPCREL(%rip), %r12
];

/// Every type that batches hold.
pub(crate) fn covered_types() -> impl Iterator<Item = u32> {
    let relaxed = [RELAXED_ANYWHERE, RELAXED_LOADS, RELAXED_LOW].into_iter().flatten().map(|(r_type, _)| r_type.0);
    SHAPES.iter().map(|shape| shape.r_type.0).chain(relaxed)
}

/// References that neither linker accepts: `(memory, type, symbol, addend)`; symbols as in [`Batch::of_one`].
pub(crate) const OUT_OF_RANGE: &[(Memory, RelocationType, &str, i64)] = &[
    (Memory::Low, elf::R_X86_64_32, "here", 1 << 32),
    (Memory::Low, elf::R_X86_64_32S, "here", 1 << 31),
    (Memory::Low, elf::R_X86_64_32, "constant", -0x1000),
    (Memory::Low, elf::R_X86_64_32, "constant", 1 << 32),
    (Memory::Low, elf::R_X86_64_32S, "constant", 1 << 31),
    (Memory::Low, elf::R_X86_64_32S, "constant", -(1 << 32)),
    (Memory::Low, elf::R_X86_64_16, "constant", 0x1_0000),
    (Memory::Low, elf::R_X86_64_8, "constant", 0x100),
    (Memory::High, elf::R_X86_64_PC32, "constant", 0),
    (Memory::Low, elf::R_X86_64_PC32, "here", 1 << 31),
    (Memory::Low, elf::R_X86_64_PC32, "here", -(1 << 32)),
    (Memory::Low, elf::R_X86_64_PLT32, "here", 1 << 31),
    (Memory::Low, elf::R_X86_64_PC16, "here", 0x1_0000),
    (Memory::Low, elf::R_X86_64_PC8, "here", 0x100),
];

/// One section: 16 bytes for each reference in it.
#[derive(Clone, Debug)]
struct Section {
    kind: SectionKind,
    align: u64,
    seed: u8,
    references: Vec<Reference>,
}

/// One relocation.
#[derive(Clone, Debug)]
struct Reference {
    r_type: RelocationType,
    target: Target,
    /// Which of the targets of that sort there are, modulo their number.
    which: usize,
    addend: i64,
    /// Where in its 16 bytes.
    offset: u64,
    /// An instruction's bytes before the field.
    code: &'static [u8],
}

impl Reference {
    fn new(r_type: RelocationType, target: Target, addend: i64) -> Self {
        Self { r_type, target, which: 0, addend, offset: 0, code: &[] }
    }
}

/// Objects of sections.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) memory: Memory,
    objects: Vec<Vec<Section>>,
}

pub(crate) fn batch(memory: Memory) -> impl Strategy<Value = Batch> {
    let section = (0..4_usize, 0..8_u32, any::<u8>(), prop::collection::vec(reference(memory), 0..24)).prop_map(
        move |(kind, align, seed, mut references)| {
            let kinds =
                [SectionKind::Text, SectionKind::ReadOnlyData, SectionKind::Data, SectionKind::UninitializedData];
            let kind = kinds[kind];
            references.retain(|reference| {
                kind == SectionKind::Text || reference.code.is_empty() && kind != SectionKind::UninitializedData
            });
            Section { kind, align: 1 << align, seed, references }
        },
    );
    let object = prop::collection::vec(section, 1..6);
    prop::collection::vec(object, 1..5).prop_map(move |mut objects| {
        // One section has content whatever the dice say. It refers to the table, so that both linkers have one, and in low memory holds an
        // address in 32 bits, so that the batch is known to need low memory and loads of slots may become immediates.
        let table = Reference::new(elf::R_X86_64_GOTPC64, Target::Table, 0);
        let address = if memory == Memory::Low { elf::R_X86_64_32 } else { elf::R_X86_64_PC64 };
        let references = vec![table, Reference::new(address, Target::Section, 0)];
        objects[0].push(Section { kind: SectionKind::Data, align: 8, seed: 0, references });
        Batch { memory, objects }
    })
}

fn reference(memory: Memory) -> impl Strategy<Value = Reference> {
    let data = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<usize>(), 0..=8_u64).prop_flat_map(
        move |(shape, target, which, offset)| {
            let targets = |shape: &Shape| match memory {
                Memory::Low => shape.low,
                Memory::High => shape.high,
                Memory::Independent => shape.independent,
            };
            let shapes: Vec<&Shape> = SHAPES.iter().filter(|shape| !targets(shape).is_empty()).collect();
            let shape = *shape.get(&shapes);
            let target = *target.get(targets(shape));
            let offset = offset.min(16 - shape.bytes as u64);
            (shape.addends.0..=shape.addends.1).prop_map(move |addend| Reference {
                r_type: shape.r_type,
                target,
                which,
                addend,
                offset,
                code: &[],
            })
        },
    );
    let code = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<usize>(), 0..=8_u64).prop_map(
        move |(instruction, target, which, offset)| {
            let more: &[_] = match memory {
                Memory::Low => &[RELAXED_LOADS, RELAXED_LOW],
                Memory::High => &[],
                Memory::Independent => &[RELAXED_LOADS],
            };
            let instructions: Vec<_> = RELAXED_ANYWHERE.iter().chain(more.iter().copied().flatten()).collect();
            let (r_type, code) = **instruction.get(&instructions);
            let offset = offset + code.len() as u64;
            Reference { r_type, target: *target.get(PLACED), which, addend: -4, offset, code }
        },
    );
    prop_oneof![3 => data, 1 => code]
}

impl Batch {
    /// A batch of one reference, to the place itself (`here`) or to the constant 0x40.
    pub(crate) fn of_one(memory: Memory, r_type: RelocationType, symbol: &str, addend: i64) -> Self {
        let target = if symbol == "here" { Target::Here } else { Target::Absolute };
        let references = vec![Reference::new(r_type, target, addend)];
        let section = Section { kind: SectionKind::Text, align: 16, seed: 1, references };
        Self { memory, objects: vec![vec![section]] }
    }

    /// Names that no object defines, and their addresses.
    pub(crate) fn externals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let base = self.memory.base();
        [("external_0", base + 0x1234_5678), ("external_1", base - 0x3_0000)].into_iter()
    }

    /// The names of the sections.
    pub(crate) fn sections(&self) -> impl Iterator<Item = String> {
        let numbers =
            self.objects.iter().enumerate().flat_map(|(o, sections)| (0..sections.len()).map(move |s| (o, s)));
        numbers.map(|(o, s)| section_name(o, s))
    }

    pub(crate) fn relocation_types(&self) -> impl Iterator<Item = u32> {
        self.objects.iter().flatten().flat_map(|section| &section.references).map(|reference| reference.r_type.0)
    }

    /// The reference that `offset` of the section `name` belongs to, for messages.
    pub(crate) fn reference_near(&self, name: &str, offset: usize) -> String {
        let index = self.sections().position(|section| section == name);
        let section = index.and_then(|index| self.objects.iter().flatten().nth(index));
        let reference = section.and_then(|section| section.references.get(offset / 16));
        reference.map_or_else(|| "no reference".into(), |reference| format!("{reference:?}"))
    }

    /// The objects as ELF files.
    pub(crate) fn objects(&self) -> Vec<Vec<u8>> {
        (0..self.objects.len()).map(|object| Writer::new(self, object).write()).collect()
    }
}

fn section_name(object: usize, section: usize) -> String {
    format!(".s{object}_{section}")
}

/// One object while it is written.
struct Writer<'a> {
    batch: &'a Batch,
    object: usize,
    out: Object<'static>,
    sections: Vec<SectionId>,
    locals: Vec<SymbolId>,
    names: HashMap<String, SymbolId>,
}

impl<'a> Writer<'a> {
    fn new(batch: &'a Batch, object: usize) -> Self {
        let out = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
        Self { batch, object, out, sections: Vec::new(), locals: Vec::new(), names: HashMap::new() }
    }

    fn write(mut self) -> Vec<u8> {
        let sections = &self.batch.objects[self.object];
        for (number, section) in sections.iter().enumerate() {
            let id = self.out.add_section(Vec::new(), section_name(self.object, number).into_bytes(), section.kind);
            let size = 16 * section.references.len() as u64 + 1 + u64::from(section.seed % 16);
            if section.kind == SectionKind::UninitializedData {
                self.out.append_section_bss(id, size, section.align);
            } else {
                self.out.append_section_data(id, &contents(section, size as usize), section.align);
            }
            self.sections.push(id);
            let value = size / 2;
            let local =
                self.symbol(format!("local_{number}"), SymbolScope::Compilation, SymbolSection::Section(id), value);
            self.locals.push(local);
            self.define(format!("global_{}_{number}", self.object), SymbolSection::Section(id), value, false);
        }
        let first = SymbolSection::Section(self.sections[0]);
        // The last object's definition is the strong one.
        let is_last = self.object + 1 == self.batch.objects.len();
        self.define("contested".into(), first, u64::from(sections[0].seed % 8), !is_last);
        if self.object == 0 {
            self.define("constant".into(), SymbolSection::Absolute, 0x40, false);
        }
        for (number, section) in sections.iter().enumerate() {
            for (cell, reference) in section.references.iter().enumerate() {
                self.relocate(number, cell, reference);
            }
        }
        self.out.write().expect("a sound object")
    }

    fn relocate(&mut self, section: usize, cell: usize, reference: &Reference) {
        let offset = 16 * cell as u64 + reference.offset;
        let mut addend = reference.addend;
        let same_object = |count: usize| reference.which % count;
        let symbol = match reference.target {
            Target::Global => {
                let all: Vec<(usize, usize)> = (0..self.batch.objects.len())
                    .flat_map(|object| (0..self.batch.objects[object].len()).map(move |section| (object, section)))
                    .collect();
                let (object, section) = all[same_object(all.len())];
                self.name(format!("global_{object}_{section}"), false)
            }
            Target::Local => self.locals[same_object(self.locals.len())],
            Target::Section => {
                let section = self.sections[same_object(self.sections.len())];
                self.out.section_symbol(section)
            }
            Target::Here => {
                addend = addend.wrapping_add(offset as i64);
                self.out.section_symbol(self.sections[section])
            }
            Target::Contested => self.name("contested".into(), false),
            Target::External => self.name(format!("external_{}", reference.which % 2), false),
            Target::Null => self.name("nobody".into(), true),
            Target::Absolute => self.name("constant".into(), false),
            Target::Table => self.name("_GLOBAL_OFFSET_TABLE_".into(), false),
        };
        let flags = RelocationFlags::Elf { r_type: reference.r_type };
        let relocation = Relocation { offset, symbol, addend, flags };
        self.out.add_relocation(self.sections[section], relocation).expect("a relocation of ELF");
    }

    /// A global symbol of this object, which refers to it if it does not define it.
    fn name(&mut self, name: String, weak: bool) -> SymbolId {
        if let Some(id) = self.names.get(&name) {
            return *id;
        }
        self.global(name, SymbolSection::Undefined, 0, weak)
    }

    fn define(&mut self, name: String, section: SymbolSection, value: u64, weak: bool) {
        self.global(name, section, value, weak);
    }

    fn global(&mut self, name: String, section: SymbolSection, value: u64, weak: bool) -> SymbolId {
        let id = self.symbol(name.clone(), SymbolScope::Dynamic, section, value);
        self.out.symbol_mut(id).weak = weak;
        self.names.insert(name, id);
        id
    }

    fn symbol(&mut self, name: String, scope: SymbolScope, section: SymbolSection, value: u64) -> SymbolId {
        let size = 1 + 3 * value;
        let (name, kind) = (name.into_bytes(), SymbolKind::Data);
        self.out.add_symbol(Symbol { name, value, size, kind, scope, weak: false, section, flags: SymbolFlags::None })
    }
}

/// Bytes with something in every place where nothing is to be written, and instructions where relocations need them.
fn contents(section: &Section, size: usize) -> Vec<u8> {
    // No byte of a filler is a prefix or the opcode of anything that is looked for.
    let mut bytes: Vec<u8> = (0..size).map(|i| 0x80 | (section.seed.wrapping_add(i as u8) % 0x30)).collect();
    for (cell, reference) in section.references.iter().enumerate() {
        let field = 16 * cell + reference.offset as usize;
        bytes[field - reference.code.len()..field].copy_from_slice(reference.code);
    }
    bytes
}
