//! What kind of file is this?
//!
//! **You give** the first bytes of a file (all of them, or at least the first 4 KiB). **You get** what it is, in a word that an
//! error can use: "text where an object should be" helps more than "bad magic". **Not here:** whether the rest of the file is sound.

use crate::arch::Machine;
use crate::reloc;
use std::fmt;

/// What a file is, by its first bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FileKind {
    /// No bytes at all.
    Empty,
    /// ELF of any type.
    Elf(Elf),
    /// Begins as ELF does and ends before its header does, or has a class or byte order that does not exist.
    ElfDamaged,
    /// Mach-O for one machine.
    MachO(MachO),
    /// Mach-O for several machines in one file.
    MachOUniversal,
    /// A COFF object.
    Coff {
        /// `IMAGE_FILE_MACHINE_*`.
        machine: u16,
        /// Whether it is of the form that allows more than 65,279 sections (`/bigobj`).
        big: bool,
    },
    /// A member of a Windows import library: a name in a DLL, no code.
    ImportObject,
    /// A Windows executable or DLL.
    PortableExecutable,
    /// An archive of objects, with their contents.
    Archive,
    /// An archive that names objects in other files.
    ThinArchive,
    /// LLVM bitcode, bare or wrapped.
    Bitcode,
    /// WebAssembly.
    WebAssembly,
    /// Text that begins with a command of the linker script language.
    LinkerScript,
    /// Text.
    Text,
    /// Something compressed or packed; its usual name.
    Packed(&'static str),
    /// None of these.
    Unknown,
}

/// What the header of an ELF file says (gABI, "ELF Header").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Elf {
    /// Relocatable, executable, shared, ...
    pub kind: ElfKind,
    /// 32 or 64.
    pub bits: u8,
    /// Whether the most significant byte comes first.
    pub big_endian: bool,
    /// `EM_*`; see [`machine_name`].
    pub machine: u16,
}

/// The types of ELF files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ElfKind {
    /// `ET_REL`: what this crate links.
    Relocatable,
    /// `ET_EXEC`.
    Executable,
    /// `ET_DYN`: a shared library, or an executable that can be anywhere.
    Shared,
    /// `ET_CORE`.
    Core,
    /// Another number.
    Other(u16),
}

/// What the header of a Mach-O file says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MachO {
    /// `MH_OBJECT`: what a linker takes.
    pub relocatable: bool,
    /// 32 or 64.
    pub bits: u8,
    /// Whether the most significant byte comes first.
    pub big_endian: bool,
    /// `CPU_TYPE_*`.
    pub cpu: u32,
}

impl FileKind {
    /// Says what the file is that begins with `data`.
    #[must_use]
    pub fn detect(data: &[u8]) -> Self {
        let magic = |bytes: &[u8]| data.starts_with(bytes);
        match data {
            [] => Self::Empty,
            [0x7f, b'E', b'L', b'F', ..] => elf(data).map_or(Self::ElfDamaged, Self::Elf),
            [0xfe, 0xed, 0xfa, 0xce | 0xcf, ..] | [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..] => {
                mach_o(data).map_or(Self::Unknown, Self::MachO)
            }
            // Java classes have the same magic; there the next word is a version of at least 45.
            [0xca, 0xfe, 0xba, 0xbe | 0xbf, 0, 0, 0, count, ..] if *count < 45 => Self::MachOUniversal,
            [0xca, 0xfe, 0xba, 0xbe, ..] => Self::Packed("a Java class"),
            _ if magic(b"!<arch>\n") => Self::Archive,
            _ if magic(b"!<thin>\n") => Self::ThinArchive,
            _ if magic(b"BC\xc0\xde") || magic(b"\xde\xc0\x17\x0b") => Self::Bitcode,
            _ if magic(b"\0asm") => Self::WebAssembly,
            _ if magic(b"\x1f\x8b") => Self::Packed("gzip data"),
            _ if magic(b"\x28\xb5\x2f\xfd") => Self::Packed("zstd data"),
            _ if magic(b"\xfd7zXZ\0") => Self::Packed("xz data"),
            _ if magic(b"BZh") => Self::Packed("bzip2 data"),
            _ if magic(b"PK\x03\x04") => Self::Packed("a zip archive"),
            _ if magic(b"MZ") && data.get(2).is_some_and(|b| !b.is_ascii_graphic()) => Self::PortableExecutable,
            [0, 0, 0xff, 0xff, version, _, machine @ ..] => match (*version, machine) {
                (0, _) => Self::ImportObject,
                (_, [low, high, ..]) => Self::Coff { machine: u16::from_le_bytes([*low, *high]), big: true },
                _ => Self::Unknown,
            },
            [low, high, ..] if data.len() >= 20 && coff_name(u16::from_le_bytes([*low, *high])).is_some() => {
                Self::Coff { machine: u16::from_le_bytes([*low, *high]), big: false }
            }
            _ if is_text(data) && begins_linker_script(data) => Self::LinkerScript,
            _ if is_text(data) => Self::Text,
            _ => Self::Unknown,
        }
    }

    /// Whether it is an ELF object that a linker takes, for whatever machine.
    #[must_use]
    pub fn is_elf_relocatable(self) -> bool {
        matches!(self, Self::Elf(Elf { kind: ElfKind::Relocatable, .. }))
    }

    /// Whether it is an object that a linker takes, of whatever format and machine.
    #[must_use]
    pub fn is_relocatable(self) -> bool {
        self.is_elf_relocatable() || matches!(self, Self::MachO(MachO { relocatable: true, .. }))
    }

    /// The machine whose code it holds, if it is an object that this crate can read.
    #[must_use]
    pub fn machine(self) -> Option<&'static Machine> {
        match self {
            Self::Elf(Elf { kind: ElfKind::Relocatable, big_endian: false, machine, bits }) => {
                reloc::machine_of_elf(machine, bits)
            }
            Self::MachO(MachO { relocatable: true, bits: 64, big_endian: false, cpu }) => {
                reloc::mach_o::machine_of(cpu)
            }
            Self::Coff { machine, .. } => reloc::machine_of_coff(machine),
            _ => None,
        }
    }

    /// Whether it is an archive of either form.
    #[must_use]
    pub fn is_archive(self) -> bool {
        matches!(self, Self::Archive | Self::ThinArchive)
    }

    /// What the user could do about it where an object was wanted; empty when there is nothing to say.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Bitcode => "compile it without -flto, or with -ffat-lto-objects",
            Self::Text => "compile it first: this links what a compiler made",
            Self::Empty => "the compiler may have failed, or the disk was full",
            Self::ImportObject => "load the DLL that it names",
            Self::MachOUniversal => "take one machine's part out with `lipo -thin`",
            Self::Packed(_) => "unpack it first",
            _ => "",
        }
    }
}

impl fmt::Display for FileKind {
    /// With its article: "an archive", "text", "a shared library for aarch64 (ELF)".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::Empty => "an empty file",
            Self::Elf(elf) => return elf.fmt(f),
            Self::ElfDamaged => "an ELF file with a damaged header",
            Self::MachO(file) => return file.fmt(f),
            Self::MachOUniversal => "a universal Mach-O file",
            Self::Coff { machine, .. } => {
                return write!(f, "a COFF object for {}", coff_name(machine).unwrap_or("an unknown machine"));
            }
            Self::ImportObject => "a member of a Windows import library",
            Self::PortableExecutable => "a Windows executable or DLL",
            Self::Archive => "an archive",
            Self::ThinArchive => "a thin archive",
            Self::Bitcode => "LLVM bitcode",
            Self::WebAssembly => "WebAssembly",
            Self::LinkerScript => "a linker script",
            Self::Text => "text",
            Self::Packed(name) => name,
            Self::Unknown => "in no known format",
        })
    }
}

impl fmt::Display for Elf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ElfKind::Relocatable => f.write_str("a relocatable object")?,
            ElfKind::Executable => f.write_str("an executable")?,
            ElfKind::Shared => f.write_str("a shared library or an executable")?,
            ElfKind::Core => f.write_str("a core dump")?,
            ElfKind::Other(number) => write!(f, "a file of type {number}")?,
        }
        let order = if self.big_endian { ", big-endian" } else { "" };
        match machine_name(self.machine) {
            UNKNOWN_MACHINE => write!(f, " for machine number {}", self.machine)?,
            name => write!(f, " for {name}")?,
        }
        write!(f, " (ELF, {} bits{order})", self.bits)
    }
}

impl fmt::Display for MachO {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.relocatable { "a relocatable object" } else { "a Mach-O executable or library" };
        write!(f, "{kind} for {} (Mach-O, {} bits)", cpu_name(self.cpu), self.bits)
    }
}

/// What people call the machine that Mach-O numbers `cpu` (`cputype`); "an unknown machine" for the unknown.
#[must_use]
pub fn cpu_name(cpu: u32) -> &'static str {
    match cpu {
        0x7 => "i386",
        0x0100_0007 => "x86_64",
        0xc => "arm",
        0x0100_000c => "arm64",
        0x0200_000c => "arm64_32",
        0x12 => "powerpc",
        0x0100_0012 => "powerpc64",
        _ => UNKNOWN_MACHINE,
    }
}

const UNKNOWN_MACHINE: &str = "an unknown machine";

/// What people call the machine that ELF numbers `number` (gABI, `e_machine`); "an unknown machine" for the unknown.
#[must_use]
pub fn machine_name(number: u16) -> &'static str {
    match number {
        2 | 18 => "sparc",
        3 => "i386",
        4 => "m68k",
        8 => "mips",
        15 => "parisc",
        20 => "powerpc",
        21 => "powerpc64",
        22 => "s390x",
        40 => "arm",
        42 => "superh",
        43 => "sparc64",
        50 => "itanium",
        62 => "x86_64",
        83 => "avr",
        94 => "xtensa",
        105 => "msp430",
        164 => "hexagon",
        183 => "aarch64",
        190 => "CUDA",
        224 => "amdgpu",
        243 => "riscv",
        247 => "bpf",
        252 => "csky",
        258 => "loongarch",
        _ => UNKNOWN_MACHINE,
    }
}

/// What people call the machine that COFF numbers `number` (`IMAGE_FILE_MACHINE_*`).
pub(crate) fn coff_machine_name(number: u16) -> &'static str {
    coff_name(number).unwrap_or(UNKNOWN_MACHINE)
}

/// The machines of COFF objects; anything else is not taken for COFF, whose magic is no more than this number.
fn coff_name(machine: u16) -> Option<&'static str> {
    Some(match machine {
        0x14c => "i386",
        0x8664 => "x86_64",
        0x1c4 => "arm",
        0xaa64 => "aarch64",
        0xa641 => "arm64ec",
        0xa64e => "arm64x",
        _ => return None,
    })
}

fn elf(data: &[u8]) -> Option<Elf> {
    let bits = match data.get(4)? {
        1 => 32,
        2 => 64,
        _ => return None,
    };
    let big_endian = match data.get(5)? {
        1 => false,
        2 => true,
        _ => return None,
    };
    let half = |at: usize| {
        let bytes: [u8; 2] = data.get(at..at + 2)?.try_into().ok()?;
        Some(if big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    };
    // e_type and e_machine stand at the same place in both classes; the header ends at 52 or 64.
    let kind = match half(16)? {
        1 => ElfKind::Relocatable,
        2 => ElfKind::Executable,
        3 => ElfKind::Shared,
        4 => ElfKind::Core,
        other => ElfKind::Other(other),
    };
    let header = if bits == 64 { 64 } else { 52 };
    (data.len() >= header).then_some(Elf { kind, bits, big_endian, machine: half(18)? })
}

fn mach_o(data: &[u8]) -> Option<MachO> {
    let big_endian = data[0] == 0xfe;
    let word = |at: usize| {
        let bytes: [u8; 4] = data.get(at..at + 4)?.try_into().ok()?;
        Some(if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    };
    let bits = if word(0)? & 1 == 1 { 64 } else { 32 };
    Some(MachO { relocatable: word(12)? == 1, bits, big_endian, cpu: word(4)? })
}

/// Whether the beginning reads as text: UTF-8 without control characters other than white space.
fn is_text(data: &[u8]) -> bool {
    let beginning = &data[..data.len().min(4096)];
    let text = match std::str::from_utf8(beginning) {
        Ok(text) => text,
        // A character that the cut at 4096 bytes halves is no reason to doubt.
        Err(error) if error.error_len().is_none() && data.len() > beginning.len() => {
            str::from_utf8(&beginning[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.is_empty() && !text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\x0b' | '\x0c'))
}

/// Whether the first word after comments is a command that opens a linker script (as in Debian's `libc.so`).
fn begins_linker_script(data: &[u8]) -> bool {
    const COMMANDS: [&[u8]; 15] = [
        b"GROUP",
        b"INPUT",
        b"AS_NEEDED",
        b"OUTPUT_FORMAT",
        b"OUTPUT_ARCH",
        b"OUTPUT",
        b"SEARCH_DIR",
        b"ENTRY",
        b"EXTERN",
        b"INCLUDE",
        b"STARTUP",
        b"TARGET",
        b"PROVIDE",
        b"SECTIONS",
        b"VERSION",
    ];
    let mut rest = data;
    loop {
        rest = rest.trim_ascii_start();
        let Some(comment) = rest.strip_prefix(b"/*") else {
            break;
        };
        match comment.windows(2).position(|pair| pair == b"*/") {
            Some(end) => rest = &comment[end + 2..],
            None => return false,
        }
    }
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    let word = &rest[..rest.iter().position(|b| !is_name(b)).unwrap_or(rest.len())];
    let next = rest[word.len()..].trim_ascii_start().first();
    match word {
        b"INCLUDE" => next.is_some(),
        b"SECTIONS" | b"VERSION" => next == Some(&b'{'),
        _ => COMMANDS.contains(&word) && next == Some(&b'('),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(data: &[u8], said: &str) {
        assert_eq!(FileKind::detect(data).to_string(), said);
    }

    fn elf_header(kind: u16, machine: u16, bits: u8, big: bool) -> Vec<u8> {
        let mut header = vec![0; 64];
        header[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', bits / 32, 1 + u8::from(big), 1]);
        let half = |n: u16| {
            if big { n.to_be_bytes() } else { n.to_le_bytes() }
        };
        header[16..18].copy_from_slice(&half(kind));
        header[18..20].copy_from_slice(&half(machine));
        header
    }

    #[test]
    fn elf_says_type_machine_class_and_order() {
        check(&elf_header(1, 62, 64, false), "a relocatable object for x86_64 (ELF, 64 bits)");
        check(&elf_header(3, 183, 64, false), "a shared library or an executable for aarch64 (ELF, 64 bits)");
        check(&elf_header(2, 22, 64, true), "an executable for s390x (ELF, 64 bits, big-endian)");
        check(&elf_header(1, 9999, 32, false), "a relocatable object for machine number 9999 (ELF, 32 bits)");
        assert!(FileKind::detect(&elf_header(1, 8, 32, true)).is_elf_relocatable());
        assert!(!FileKind::detect(&elf_header(3, 62, 64, false)).is_elf_relocatable());
    }

    #[test]
    fn a_cut_header_is_damage_and_not_garbage() {
        let whole = elf_header(1, 62, 64, false);
        for length in 4..64 {
            check(&whole[..length], "an ELF file with a damaged header");
        }
        check(b"\x7fELF\x09\x01", "an ELF file with a damaged header");
    }

    #[test]
    fn other_formats() {
        check(b"", "an empty file");
        check(b"!<arch>\nfoo", "an archive");
        check(b"!<thin>\n", "a thin archive");
        check(b"BC\xc0\xde1234", "LLVM bitcode");
        check(b"\xcf\xfa\xed\xfe\x07\0\0\x01\x03\0\0\0\x01\0\0\0", "a relocatable object for x86_64 (Mach-O, 64 bits)");
        check(
            b"\xfe\xed\xfa\xce\0\0\0\x12\0\0\0\0\0\0\0\x02",
            "a Mach-O executable or library for powerpc (Mach-O, 32 bits)",
        );
        check(b"\xca\xfe\xba\xbe\0\0\0\x02", "a universal Mach-O file");
        check(b"\xca\xfe\xba\xbe\0\0\0\x34", "a Java class");
        check(b"\x64\x86\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "a COFF object for x86_64");
        check(b"\0\0\xff\xff\0\0\x64\x86", "a member of a Windows import library");
        check(b"\0\0\xff\xff\x02\0\x64\xaa", "a COFF object for aarch64");
        check(b"MZ\x90\0", "a Windows executable or DLL");
        check(b"\x1f\x8b\x08", "gzip data");
        check(b"\0asm\x01\0\0\0", "WebAssembly");
        check(&[0; 64], "in no known format");
    }

    #[test]
    fn text_and_linker_scripts() {
        check(b"int main(void) { return 0; }\n", "text");
        check("/* \u{e4}rger */\nGROUP ( /lib/libc.so.6 AS_NEEDED ( x ) )".as_bytes(), "a linker script");
        check(b"/* GNU ld script\n*/\nOUTPUT_FORMAT(elf64-x86-64)\n", "a linker script");
        check(b"INPUT(-lm)", "a linker script");
        check(b"INPUT is what I want", "text");
        check(b"/* never closed GROUP (", "text");
        check(b"text\0with a zero", "in no known format");
        // A character of two bytes that the window of 4096 bytes cuts in half.
        let mut long = vec![b'a'; 4095];
        long.extend("\u{e4}".repeat(10).bytes());
        check(&long, "text");
    }
}
