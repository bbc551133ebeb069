//! How many objects, members and dylibs can there be? Chains in which each needs the next, linked and run on a stack of 512 KiB.
//!
//! The objects are written directly: no compiler is started a hundred thousand times.
//#Rule: 5

use integration_tests::process::{Outcome, Program, tool};
use integration_tests::workplace::Workplace;
use object::write::{Object, Relocation, Symbol, SymbolId, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionFlags, SectionKind, SymbolFlags, SymbolKind,
    SymbolScope, elf,
};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Half of the smallest default that is in use; a link or an open that recurses along the chain ends here.
const STACK_KIB: u32 = 512;

#[test]
fn two_thousand_objects() {
    let (workplace, folder) = workplace("two_thousand_objects");
    write_chain(&folder, 2_000);
    let native = native(&folder, "objects");
    assert_eq!(native, "2000\n");
    assert_eq!(orc(&workplace, &folder, &["@objects".into()]), native);
}

#[test]
fn two_thousand_members_of_an_archive() {
    let (workplace, folder) = workplace("two_thousand_members");
    write_chain(&folder, 2_000);
    // From the last to the first, so that one pass over the archive's index never suffices.
    let mut names: Vec<_> = fs::read_to_string(folder.join("objects")).unwrap().lines().map(str::to_owned).collect();
    names.retain(|name| name != "main.o");
    names.reverse();
    fs::write(folder.join("members"), names.join("\n")).unwrap();
    let _ = fs::remove_file(folder.join("libchain.a"));
    tool(&folder, &["ar", "rcs", "libchain.a", "@members"].map(OsString::from), &[]).unwrap();
    assert_eq!(orc(&workplace, &folder, &["main.o".into(), "libchain.a".into()]), "2000\n");
}

/// 400 MB of small files, gone afterwards.
#[test]
fn a_hundred_thousand_objects() {
    let (workplace, folder) = workplace("a_hundred_thousand_objects");
    write_chain(&folder, 100_000);
    let found = orc(&workplace, &folder, &["@objects".into()]);
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(found, "100000\n");
}

/// A variable of each thread in every object, reached by calls and by descriptors in turns: 400 KB for each thread.
#[test]
fn a_hundred_thousand_objects_with_thread_local_variables() {
    let (workplace, folder) = workplace("thread_locals");
    write_thread_locals(&folder, 2_000, &[Access::Call, Access::Descriptor]);
    let native = native(&folder, "objects");
    assert_eq!(native, "2000 4000 2000\n");
    assert_eq!(orc(&workplace, &folder, &["@objects".into()]), native);
    write_thread_locals(&folder, 100_000, &[Access::Call, Access::Descriptor]);
    let found = orc(&workplace, &folder, &["@objects".into()]);
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(found, "100000 200000 100000\n");
}

/// The same of code that must have them at a constant distance from the thread pointer; the loader keeps so much only if it is told to.
#[test]
fn a_hundred_thousand_objects_with_static_thread_local_variables() {
    let (workplace, folder) = workplace("static_thread_locals");
    write_thread_locals(&folder, 100_000, &[Access::Constant]);
    let enlarged = [("GLIBC_TUNABLES".to_owned(), OsString::from("glibc.rtld.optional_static_tls=1000000"))];
    let found = orc_with(&workplace, &folder, &["@objects".into()], &enlarged);
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(found, "100000 200000 100000\n");
}

#[test]
fn a_chain_of_dylibs_is_initialized_from_its_end() {
    const COUNT: usize = 500;
    let (workplace, folder) = workplace("dylibs");
    fs::write(folder.join("main.o"), calling_puts("main", "main", None)).unwrap();
    let mut words = String::from("--needs D0 main.o\n");
    let mut expected = String::from("main\n");
    for n in 0..COUNT {
        fs::write(folder.join(format!("d{n}.o")), calling_puts(&format!("init{n}"), &format!("D{n}"), Some(())))
            .unwrap();
        write!(words, "--dylib D{n} d{n}.o").unwrap();
        if n + 1 < COUNT {
            write!(words, " --needs D{}", n + 1).unwrap();
        }
        words.push('\n');
        expected.insert_str(0, &format!("D{n}\n"));
    }
    fs::write(folder.join("line"), words).unwrap();
    assert_eq!(orc(&workplace, &folder, &["@line".into()]), expected);
}

fn workplace(name: &str) -> (Workplace, PathBuf) {
    let workplace = Workplace::of_this_test().unwrap();
    let folder = workplace.builds.join("many-objects").join(name);
    fs::create_dir_all(&folder).unwrap();
    (workplace, folder)
}

fn orc(workplace: &Workplace, folder: &Path, inputs: &[OsString]) -> String {
    orc_with(workplace, folder, inputs, &[])
}

fn orc_with(workplace: &Workplace, folder: &Path, inputs: &[OsString], env: &[(String, OsString)]) -> String {
    let Some(orc) = &workplace.orc else { panic!("these tests have no oracle: they need orc") };
    let words = [orc.into(), "run".into()].into_iter().chain(inputs.iter().cloned()).collect();
    let timeout = Duration::from_secs(300);
    let env = env.to_vec();
    let program = Program { words, folder: folder.into(), stack: Some(STACK_KIB), timeout, env, ..Program::default() };
    succeeded(&program, program.run("orc"))
}

fn native(folder: &Path, list: &str) -> String {
    let words = ["gcc", "-no-pie", "-o", "native", &format!("@{list}")].map(OsString::from);
    tool(folder, &words, &[]).unwrap();
    let words = vec![folder.join("native").into()];
    let program = Program { words, folder: folder.into(), timeout: Duration::from_secs(60), ..Program::default() };
    succeeded(&program, program.run("native"))
}

#[track_caller]
fn succeeded(program: &Program, outcome: Result<Outcome, String>) -> String {
    let outcome = outcome.unwrap();
    assert_eq!(outcome.code, 0, "{}\n{}", program.line(), String::from_utf8_lossy(&outcome.stderr));
    String::from_utf8(outcome.stdout).unwrap()
}

/// `main.o` and `count` objects, and their names in the file `objects`. Each function adds the 1 that its object holds and jumps to the
/// next one's; the last returns.
fn write_chain(folder: &Path, count: usize) {
    let mut names = String::from("main.o\n");
    fs::write(folder.join("main.o"), chain_main()).unwrap();
    for n in 0..count {
        let name = format!("f{n}.o");
        let next = (n + 1 < count).then(|| format!("f{}", n + 1));
        fs::write(folder.join(&name), link_of_chain(&format!("f{n}"), next.as_deref())).unwrap();
        names.push_str(&name);
        names.push('\n');
    }
    fs::write(folder.join("objects"), names).unwrap();
}

/// ```text
/// name: add edi, [rip + one]
///       jmp next            or    mov eax, edi; ret
/// ```
fn link_of_chain(name: &str, next: Option<&str>) -> Vec<u8> {
    let mut object = Unit::new();
    let one = object.data("one", SectionKind::Data, &1u32.to_le_bytes());
    object.code(name, &[0x03, 0x3d]);
    object.field(one, elf::R_X86_64_PC32);
    if let Some(next) = next {
        object.more_code(&[0xe9]);
        let next = object.undefined(next);
        object.field(next, elf::R_X86_64_PLT32);
    } else {
        object.more_code(&[0x89, 0xf8, 0xc3]);
    }
    object.finish()
}

/// How code reaches its object's variable.
#[derive(Debug, Clone, Copy)]
enum Access {
    /// General-dynamic, by `__tls_get_addr`.
    Call,
    /// General-dynamic, by a descriptor.
    Descriptor,
    /// Local-exec.
    Constant,
}

/// `main.o`, which counts twice in its own thread and once in another, and `count` objects, whose functions add their variables, each of which begins
/// with 1 and is one more afterwards.
fn write_thread_locals(folder: &Path, count: usize, accesses: &[Access]) {
    const MAIN: &str = "#include <pthread.h>\n#include <stdio.h>\nlong f0(long);\n\
        static void *thread(void *sum) { *(long *)sum = f0(0); return sum; }\n\
        int main(void) {\n\
            long first = f0(0), second = f0(0), there;\n\
            pthread_t other;\n\
            pthread_create(&other, 0, thread, &there);\n\
            pthread_join(other, 0);\n\
            return printf(\"%ld %ld %ld\\n\", first, second, there) < 0;\n\
        }\n";
    fs::write(folder.join("main.c"), MAIN).unwrap();
    tool(folder, &["gcc", "-O1", "-fno-pic", "-c", "main.c"].map(OsString::from), &[]).unwrap();
    let mut names = String::from("main.o\n");
    for n in 0..count {
        let name = format!("f{n}.o");
        let next = (n + 1 < count).then(|| format!("f{}", n + 1));
        let object = with_thread_local(&format!("f{n}"), next.as_deref(), accesses[n % accesses.len()]);
        fs::write(folder.join(&name), object).unwrap();
        names.push_str(&name);
        names.push('\n');
    }
    fs::write(folder.join("objects"), names).unwrap();
}

/// ```text
/// name: push rdi
///       the address of one -> rax
///       pop rdi; add edi, [rax]; inc dword [rax]
///       jmp next            or    mov eax, edi; ret
/// ```
fn with_thread_local(name: &str, next: Option<&str>, access: Access) -> Vec<u8> {
    let mut object = Unit::new();
    let one = object.thread_local("one", &1u32.to_le_bytes());
    object.code(name, &[0x57]);
    match access {
        // data16 lea rdi, one@tlsgd[rip]; data16 data16 rex.W call __tls_get_addr@plt
        Access::Call => {
            object.more_code(&[0x66, 0x48, 0x8d, 0x3d]);
            object.field(one, elf::R_X86_64_TLSGD);
            object.more_code(&[0x66, 0x66, 0x48, 0xe8]);
            let function = object.undefined("__tls_get_addr");
            object.field(function, elf::R_X86_64_PLT32);
        }
        // lea rax, one@tlsdesc[rip]; call one@tlscall[rax]; add rax, fs:0
        Access::Descriptor => {
            object.more_code(&[0x48, 0x8d, 0x05]);
            object.field(one, elf::R_X86_64_GOTPC32_TLSDESC);
            object.mark(one, elf::R_X86_64_TLSDESC_CALL);
            object.more_code(&[0xff, 0x10, 0x64, 0x48, 0x03, 0x04, 0x25, 0, 0, 0, 0]);
        }
        // mov rax, fs:0; lea rax, one@tpoff[rax]
        Access::Constant => {
            object.more_code(&[0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0, 0x48, 0x8d, 0x80]);
            object.absolute_field(one, elf::R_X86_64_TPOFF32);
        }
    }
    object.more_code(&[0x5f, 0x03, 0x38, 0xff, 0x00]);
    if let Some(next) = next {
        object.more_code(&[0xe9]);
        let next = object.undefined(next);
        object.field(next, elf::R_X86_64_PLT32);
    } else {
        object.more_code(&[0x89, 0xf8, 0xc3]);
    }
    object.finish()
}

/// ```text
/// main: sub rsp, 8; xor edi, edi; call f0; mov esi, eax; lea rdi, format; xor eax, eax; call printf; xor eax, eax; add rsp, 8; ret
/// ```
fn chain_main() -> Vec<u8> {
    let mut object = Unit::new();
    let format = object.data("format", SectionKind::ReadOnlyData, b"%d\n\0");
    object.code("main", &[0x48, 0x83, 0xec, 8, 0x31, 0xff, 0xe8]);
    let first = object.undefined("f0");
    object.field(first, elf::R_X86_64_PLT32);
    object.more_code(&[0x89, 0xc6, 0x48, 0x8d, 0x3d]);
    object.field(format, elf::R_X86_64_PC32);
    object.more_code(&[0x31, 0xc0, 0xe8]);
    let printf = object.undefined("printf");
    object.field(printf, elf::R_X86_64_PLT32);
    object.more_code(&[0x31, 0xc0, 0x48, 0x83, 0xc4, 8, 0xc3]);
    object.finish()
}

/// A function that puts `text` and returns 0, as an initializer or under its own name only.
///
/// ```text
/// name: sub rsp, 8; lea rdi, text; call puts; xor eax, eax; add rsp, 8; ret
/// ```
fn calling_puts(name: &str, text: &str, initializer: Option<()>) -> Vec<u8> {
    let mut object = Unit::new();
    let text = object.data("text", SectionKind::ReadOnlyData, format!("{text}\0").as_bytes());
    let function = object.code(name, &[0x48, 0x83, 0xec, 8, 0x48, 0x8d, 0x3d]);
    object.field(text, elf::R_X86_64_PC32);
    object.more_code(&[0xe8]);
    let puts = object.undefined("puts");
    object.field(puts, elf::R_X86_64_PLT32);
    object.more_code(&[0x31, 0xc0, 0x48, 0x83, 0xc4, 8, 0xc3]);
    if initializer.is_some() {
        object.initializer(function);
    }
    object.finish()
}

/// One object under construction: code grows at the end of `.text`.
struct Unit {
    object: Object<'static>,
    text: object::write::SectionId,
}

impl Unit {
    fn new() -> Self {
        let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
        let text = object.section_id(object::write::StandardSection::Text);
        Self { object, text }
    }

    fn code(&mut self, name: &str, bytes: &[u8]) -> SymbolId {
        let value = self.object.append_section_data(self.text, bytes, 16);
        self.define(name, value, self.text, SymbolKind::Text, SymbolScope::Dynamic)
    }

    fn more_code(&mut self, bytes: &[u8]) {
        self.object.append_section_data(self.text, bytes, 1);
    }

    /// Four bytes that end the instruction, to be filled relative to their end.
    fn field(&mut self, symbol: SymbolId, r_type: elf::RelocationType) {
        let offset = self.object.append_section_data(self.text, &[0; 4], 1);
        let flags = RelocationFlags::Elf { r_type };
        self.object.add_relocation(self.text, Relocation { offset, symbol, addend: -4, flags }).unwrap();
    }

    /// The same, with nothing to be subtracted.
    fn absolute_field(&mut self, symbol: SymbolId, r_type: elf::RelocationType) {
        let offset = self.object.append_section_data(self.text, &[0; 4], 1);
        let flags = RelocationFlags::Elf { r_type };
        self.object.add_relocation(self.text, Relocation { offset, symbol, addend: 0, flags }).unwrap();
    }

    /// A relocation of the instruction that comes next, which changes nothing in it.
    fn mark(&mut self, symbol: SymbolId, r_type: elf::RelocationType) {
        let offset = self.object.append_section_data(self.text, &[], 1);
        let flags = RelocationFlags::Elf { r_type };
        self.object.add_relocation(self.text, Relocation { offset, symbol, addend: 0, flags }).unwrap();
    }

    fn thread_local(&mut self, name: &str, bytes: &[u8]) -> SymbolId {
        let section = self.object.section_id(object::write::StandardSection::Tls);
        let value = self.object.append_section_data(section, bytes, 4);
        self.define(name, value, section, SymbolKind::Tls, SymbolScope::Compilation)
    }

    fn data(&mut self, name: &str, kind: SectionKind, bytes: &[u8]) -> SymbolId {
        let (section, symbol) = match kind {
            SectionKind::Data => (object::write::StandardSection::Data, SymbolKind::Data),
            _ => (object::write::StandardSection::ReadOnlyData, SymbolKind::Data),
        };
        let section = self.object.section_id(section);
        let value = self.object.append_section_data(section, bytes, 4);
        self.define(name, value, section, symbol, SymbolScope::Compilation)
    }

    fn initializer(&mut self, function: SymbolId) {
        let section = self.object.add_section(Vec::new(), b".init_array".to_vec(), SectionKind::Data);
        let offset = self.object.append_section_data(section, &[0; 8], 8);
        let flags = RelocationFlags::Elf { r_type: elf::R_X86_64_64 };
        self.object.add_relocation(section, Relocation { offset, symbol: function, addend: 0, flags }).unwrap();
        let (sh_type, sh_flags) = (elf::SHT_INIT_ARRAY, elf::SHF_ALLOC | elf::SHF_WRITE);
        self.object.section_mut(section).flags = SectionFlags::Elf { sh_type, sh_flags };
    }

    fn define(
        &mut self,
        name: &str,
        value: u64,
        section: object::write::SectionId,
        kind: SymbolKind,
        scope: SymbolScope,
    ) -> SymbolId {
        let section = SymbolSection::Section(section);
        let name = name.as_bytes().to_vec();
        self.object.add_symbol(Symbol {
            name,
            value,
            size: 0,
            kind,
            scope,
            weak: false,
            section,
            flags: SymbolFlags::None,
        })
    }

    fn undefined(&mut self, name: &str) -> SymbolId {
        let (kind, scope, section) = (SymbolKind::Text, SymbolScope::Unknown, SymbolSection::Undefined);
        let name = name.as_bytes().to_vec();
        self.object.add_symbol(Symbol {
            name,
            value: 0,
            size: 0,
            kind,
            scope,
            weak: false,
            section,
            flags: SymbolFlags::None,
        })
    }

    fn finish(self) -> Vec<u8> {
        self.object.write().unwrap()
    }
}
