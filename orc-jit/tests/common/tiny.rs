//! Objects that need no compiler, for tests with thousands of them. Each function's assembly stands beside its bytes.

use super::{Log, note_address, text_address};
use object::write::{Object, Relocation, SectionId, StandardSection, Symbol, SymbolId, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationEncoding, RelocationFlags, RelocationKind, SectionFlags,
    SectionKind, SymbolFlags, SymbolKind, SymbolScope, elf,
};

/// A relocatable object while it is written.
pub struct Tiny {
    object: Object<'static>,
    text: SectionId,
}

impl Tiny {
    pub fn new() -> Self {
        let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
        let text = object.section_id(StandardSection::Text);
        Self { object, text }
    }

    fn function(&mut self, name: &str, scope: SymbolScope, code: &[u8]) -> (SymbolId, u64) {
        let start = self.object.append_section_data(self.text, code, 16);
        let symbol = self.object.add_symbol(Symbol {
            name: name.as_bytes().to_vec(),
            value: start,
            size: code.len() as u64,
            kind: SymbolKind::Text,
            scope,
            weak: false,
            section: SymbolSection::Section(self.text),
            flags: SymbolFlags::None,
        });
        (symbol, start)
    }

    /// `int name(void) { return value; }`
    pub fn returns(mut self, name: &str, value: i32) -> Self {
        let mut code = vec![0xb8]; // mov $value, %eax
        code.extend(value.to_le_bytes());
        code.push(0xc3); // ret
        self.function(name, SymbolScope::Dynamic, &code);
        self
    }

    /// `int name(void) { return target() + 1; }`
    pub fn calls(mut self, name: &str, target: &str) -> Self {
        // sub $8, %rsp; call target@PLT; add $1, %eax; add $8, %rsp; ret
        let code = [0x48, 0x83, 0xec, 8, 0xe8, 0, 0, 0, 0, 0x83, 0xc0, 1, 0x48, 0x83, 0xc4, 8, 0xc3];
        let (_, start) = self.function(name, SymbolScope::Dynamic, &code);
        let target = self.object.add_symbol(Symbol {
            name: target.as_bytes().to_vec(),
            value: 0,
            size: 0,
            kind: SymbolKind::Unknown,
            scope: SymbolScope::Unknown,
            weak: false,
            section: SymbolSection::Undefined,
            flags: SymbolFlags::None,
        });
        let flags = RelocationFlags::Generic {
            kind: RelocationKind::PltRelative,
            encoding: RelocationEncoding::X86Branch,
            size: 32,
        };
        // The distance is counted from the end of the four bytes that hold it.
        let relocation = Relocation { offset: start + 5, symbol: target, addend: -4, flags };
        self.object.add_relocation(self.text, relocation).expect("a field of the section");
        self
    }

    /// Notes `text` when it is initialized.
    pub fn at_init(self, log: Log, text: &str) -> Self {
        self.notes(".init_array", elf::SHT_INIT_ARRAY, log, text)
    }

    /// Notes `text` when it is finalized.
    pub fn at_fini(self, log: Log, text: &str) -> Self {
        self.notes(".fini_array", elf::SHT_FINI_ARRAY, log, text)
    }

    fn notes(mut self, array: &str, sh_type: elf::SectionType, log: Log, text: &str) -> Self {
        let mut code = Vec::new();
        for (register, value) in [(0xbf, log.address()), (0xbe, text_address(text)), (0xb8, note_address())] {
            code.extend([0x48, register]); // movabs $value, %rdi; the same for %rsi, %rax
            code.extend(value.to_le_bytes());
        }
        code.extend([0xff, 0xe0]); // jmp *%rax
        let (function, _) = self.function("notes", SymbolScope::Compilation, &code);
        let array = self.object.add_section(Vec::new(), array.as_bytes().to_vec(), SectionKind::Data);
        let sh_flags = elf::SHF_ALLOC | elf::SHF_WRITE;
        self.object.section_mut(array).flags = SectionFlags::Elf { sh_type, sh_flags };
        let offset = self.object.append_section_data(array, &[0; 8], 8);
        let flags = RelocationFlags::Generic {
            kind: RelocationKind::Absolute,
            encoding: RelocationEncoding::Generic,
            size: 64,
        };
        let relocation = Relocation { offset, symbol: function, addend: 0, flags };
        self.object.add_relocation(array, relocation).expect("a field of the section");
        self
    }

    pub fn bytes(self) -> Vec<u8> {
        self.object.write().expect("a well-formed object")
    }
}
