//! A tiny assembler: enough x86-64 to call functions with strings and numbers, written as relocatable ELF objects.
//!
//! The objects are what a compiler would have made; nothing about them is special to this program. Each instruction is given with
//! its assembly beside the bytes.

use object::write::{Object, Relocation, SectionId, StandardSection, Symbol, SymbolId, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationEncoding, RelocationFlags, RelocationKind, SectionFlags,
    SectionKind, SymbolFlags, SymbolKind, SymbolScope, elf,
};

/// One instruction. Arguments are passed as the psABI says (3.2.3): rdi, rsi; eax is what a function returns.
#[derive(Clone, Copy, Debug)]
pub(super) enum Instruction<'a> {
    /// `lea text(%rip), %rdi`: the first argument is a string.
    PassText(&'a str),
    /// `lea symbol(%rip), %rdi`: the first argument is the address of a function of this object.
    PassAddress(&'a str),
    /// `xor %edi, %edi`: the first argument is a null pointer.
    PassNull,
    /// `mov %rax, %rdi`: the first argument is what the last call returned.
    PassResult,
    /// `mov variable(%rip), %rdi`: the first argument is what a variable holds.
    PassVariable(&'a str),
    /// `mov %rax, variable(%rip)`: a variable holds what the last call returned.
    StoreResult(&'a str),
    /// `mov $number, %esi`: the second argument is a number.
    PassSecond(u32),
    /// `mov %eax, %esi`: the second argument is what the last call returned.
    PassSecondResult,
    /// `xor %eax, %eax; call symbol@PLT`. Zero in al says that a variadic function gets no vector arguments.
    Call(&'a str),
    /// `mov $number, %eax`: what this function returns.
    Return(u32),
}

/// Who sees a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Visibility {
    Local,
    Exported,
}

/// An object file being written.
pub(super) struct Assembler {
    object: Object<'static>,
    text: SectionId,
    strings: SectionId,
}

impl Assembler {
    pub(super) fn new() -> Self {
        let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
        let text = object.add_section(Vec::new(), b".text".to_vec(), SectionKind::Text);
        let strings = object.add_section(Vec::new(), b".rodata".to_vec(), SectionKind::ReadOnlyData);
        Self { object, text, strings }
    }

    /// Adds a function that executes `body` and returns.
    pub(super) fn function(&mut self, name: &str, visibility: Visibility, body: &[Instruction<'_>]) {
        let mut code = Code::default();
        // push %rbx: the stack is aligned to 16 bytes where functions are called (psABI 3.2.2).
        code.bytes.push(0x53);
        for instruction in body {
            self.assemble(instruction, &mut code);
        }
        // pop %rbx; ret
        code.bytes.extend([0x5b, 0xc3]);

        let start = self.object.append_section_data(self.text, &code.bytes, 16);
        for (offset, symbol, encoding) in code.references {
            // The distance is counted from the end of the four bytes that hold it.
            let flags = RelocationFlags::Generic { kind: RelocationKind::Relative, encoding, size: 32 };
            self.relocate(self.text, Relocation { offset: start + offset, symbol, addend: -4, flags });
        }
        let symbol = self.reference(name);
        let defined = self.object.symbol_mut(symbol);
        defined.value = start;
        defined.size = code.bytes.len() as u64;
        defined.section = SymbolSection::Section(self.text);
        defined.scope = match visibility {
            Visibility::Local => SymbolScope::Compilation,
            Visibility::Exported => SymbolScope::Dynamic,
        };
    }

    /// Adds a variable of eight bytes, zero at first.
    pub(super) fn variable(&mut self, name: &str) {
        let section = self.object.section_id(StandardSection::UninitializedData);
        let value = self.object.append_section_bss(section, 8, 8);
        let symbol = self.reference(name);
        let defined = self.object.symbol_mut(symbol);
        defined.value = value;
        defined.size = 8;
        defined.kind = SymbolKind::Data;
        defined.section = SymbolSection::Section(section);
        defined.scope = SymbolScope::Compilation;
    }

    /// Makes `function` an initializer: a pointer to it in `.init_array` (gABI).
    pub(super) fn initializer(&mut self, function: &str) {
        self.pointer(".init_array", elf::SHT_INIT_ARRAY, function);
    }

    /// Makes `function` a finalizer: a pointer to it in `.fini_array` (gABI).
    pub(super) fn finalizer(&mut self, function: &str) {
        self.pointer(".fini_array", elf::SHT_FINI_ARRAY, function);
    }

    /// The object file.
    pub(super) fn finish(self) -> Vec<u8> {
        self.object.write().expect("every relocation and section of the demo is one that ELF for x86-64 has")
    }

    fn assemble(&mut self, instruction: &Instruction<'_>, code: &mut Code) {
        match *instruction {
            Instruction::PassText(text) => {
                let symbol = self.string(text);
                code.bytes.extend([0x48, 0x8d, 0x3d]);
                code.reference(symbol, RelocationEncoding::Generic);
            }
            Instruction::PassAddress(function) => {
                let symbol = self.reference(function);
                code.bytes.extend([0x48, 0x8d, 0x3d]);
                code.reference(symbol, RelocationEncoding::Generic);
            }
            Instruction::PassVariable(variable) => {
                let symbol = self.reference(variable);
                code.bytes.extend([0x48, 0x8b, 0x3d]);
                code.reference(symbol, RelocationEncoding::Generic);
            }
            Instruction::StoreResult(variable) => {
                let symbol = self.reference(variable);
                code.bytes.extend([0x48, 0x89, 0x05]);
                code.reference(symbol, RelocationEncoding::Generic);
            }
            Instruction::PassResult => code.bytes.extend([0x48, 0x89, 0xc7]),
            Instruction::PassNull => code.bytes.extend([0x31, 0xff]),
            Instruction::PassSecond(number) => {
                code.bytes.push(0xbe);
                code.bytes.extend(number.to_le_bytes());
            }
            Instruction::PassSecondResult => code.bytes.extend([0x89, 0xc6]),
            Instruction::Call(function) => {
                let symbol = self.reference(function);
                code.bytes.extend([0x31, 0xc0, 0xe8]);
                code.reference(symbol, RelocationEncoding::X86Branch);
            }
            Instruction::Return(number) => {
                code.bytes.push(0xb8);
                code.bytes.extend(number.to_le_bytes());
            }
        }
    }

    /// The symbol `name`, undefined as long as nobody defines it.
    fn reference(&mut self, name: &str) -> SymbolId {
        self.object.symbol_id(name.as_bytes()).unwrap_or_else(|| {
            self.object.add_symbol(Symbol {
                name: name.into(),
                value: 0,
                size: 0,
                // Only symbols of code and data are found again by name.
                kind: SymbolKind::Text,
                scope: SymbolScope::Unknown,
                weak: false,
                section: SymbolSection::Undefined,
                flags: SymbolFlags::None,
            })
        })
    }

    /// A local symbol for `text`, which ends in a zero byte.
    fn string(&mut self, text: &str) -> SymbolId {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        let value = self.object.append_section_data(self.strings, &bytes, 1);
        self.object.add_symbol(Symbol {
            name: Vec::new(),
            value,
            size: bytes.len() as u64,
            kind: SymbolKind::Data,
            scope: SymbolScope::Compilation,
            weak: false,
            section: SymbolSection::Section(self.strings),
            flags: SymbolFlags::None,
        })
    }

    fn pointer(&mut self, section: &str, sh_type: elf::SectionType, function: &str) {
        let symbol = self.reference(function);
        let section = self.object.add_section(Vec::new(), section.into(), SectionKind::Data);
        self.object.section_mut(section).flags =
            SectionFlags::Elf { sh_type, sh_flags: elf::SHF_ALLOC | elf::SHF_WRITE };
        let offset = self.object.append_section_data(section, &[0; 8], 8);
        let flags = RelocationFlags::Generic {
            kind: RelocationKind::Absolute,
            encoding: RelocationEncoding::Generic,
            size: 64,
        };
        self.relocate(section, Relocation { offset, symbol, addend: 0, flags });
    }

    fn relocate(&mut self, section: SectionId, relocation: Relocation) {
        self.object.add_relocation(section, relocation).expect("it is a relocation that ELF for x86-64 has");
    }
}

/// The bytes of one function, and where in them distances to symbols go.
#[derive(Default)]
struct Code {
    bytes: Vec<u8>,
    references: Vec<(u64, SymbolId, RelocationEncoding)>,
}

impl Code {
    fn reference(&mut self, symbol: SymbolId, encoding: RelocationEncoding) {
        self.references.push((self.bytes.len() as u64, symbol, encoding));
        self.bytes.extend([0; 4]);
    }
}
