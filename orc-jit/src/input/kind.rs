//! Telling files apart by their first bytes.

use super::{InputError, Target};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// What a file is to a linker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileKind {
    /// A relocatable object.
    Object,
    /// A static library: `.a`, `.rlib`, normal or thin.
    Archive,
    /// A shared library, for the dynamic loader.
    SharedLibrary,
    /// Text that may be a linker script.
    Script,
}

/// How much of a file [`FileKind::of_bytes`] wants to see.
pub(crate) const HEAD: usize = 512;

/// What the first bytes of a file say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    pub(crate) kind: FileKind,
    /// `e_machine`, where it is ELF.
    pub(crate) machine: Option<u16>,
}

impl FileKind {
    /// The kind that the first bytes of `path` show; at least 512 of them, or the whole file.
    ///
    /// # Errors
    /// When they are of no kind that can be linked: says what the file seems to be instead.
    pub fn of_bytes(path: &Path, head: &[u8]) -> Result<Self, InputError> {
        look(path, head).map(|head| head.kind)
    }

    /// The kind that the name promises, if it promises one. Believing it saves opening the file twice.
    #[must_use]
    pub fn of_name(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "o" | "obj" => Some(Self::Object),
            "a" | "rlib" => Some(Self::Archive),
            _ => None,
        }
    }
}

/// Opens `path` and looks at its first bytes.
pub(crate) fn read_head(path: &Path) -> Result<Head, InputError> {
    let mut head = Vec::with_capacity(HEAD);
    let file = File::open(path).map_err(|error| InputError::read(path, error))?;
    file.take(HEAD as u64).read_to_end(&mut head).map_err(|error| InputError::read(path, error))?;
    look(path, &head)
}

fn look(path: &Path, head: &[u8]) -> Result<Head, InputError> {
    let unusable = |what: &str, help: &str| Err(InputError::unusable(path, what, help));
    if head.is_empty() {
        return unusable("is empty", "build it again: the compiler was interrupted, or its output went elsewhere");
    }
    if head.starts_with(b"!<arch>\n") || head.starts_with(b"!<thin>\n") {
        return Ok(Head { kind: FileKind::Archive, machine: None });
    }
    if let Some(ident) = head.strip_prefix(b"\x7fELF") {
        return look_elf(path, ident);
    }
    // LLVM bitcode: raw, and wrapped (LLVM "Bitcode File Format").
    if head.starts_with(b"BC\xc0\xde") || head.starts_with(b"\xde\xc0\x17\x0b") {
        return unusable("is LLVM bitcode, not machine code", "compile it without -flto, or with -ffat-lto-objects");
    }
    if head.starts_with(&[0xcf, 0xfa, 0xed, 0xfe]) || head.starts_with(&[0xca, 0xfe, 0xba, 0xbe]) {
        return unusable("is a Mach-O file", "only ELF objects are linked so far");
    }
    let text_so_far = match std::str::from_utf8(head) {
        Ok(_) => true,
        // A character may be cut at the end of what was read.
        Err(error) => error.error_len().is_none() && head.len() == HEAD,
    };
    if text_so_far && !head.contains(&0) {
        return Ok(Head { kind: FileKind::Script, machine: None });
    }
    unusable("is not an object, an archive, a shared library or a linker script", "check that the path is right")
}

/// `ident` is what follows the magic.
fn look_elf(path: &Path, ident: &[u8]) -> Result<Head, InputError> {
    let unusable = |what: &str, help: &str| Err(InputError::unusable(path, what, help));
    // EI_DATA is at 5, e_type at 16, e_machine at 18 of the file (gABI, "ELF Header").
    let half = |at: usize| -> Option<u16> {
        let bytes = [*ident.get(at - 4)?, *ident.get(at - 3)?];
        Some(if ident[1] == object::elf::ELFDATA2MSB.0 { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    };
    let (Some(e_type), Some(machine)) = (half(16), half(18)) else {
        return unusable("ends inside its ELF header", "build it again: it was cut off");
    };
    let kind = match object::elf::FileType(e_type) {
        object::elf::ET_REL => FileKind::Object,
        object::elf::ET_DYN => FileKind::SharedLibrary,
        object::elf::ET_EXEC => {
            return unusable("is a finished program, not an object", "give the objects that it was linked from");
        }
        object::elf::ET_CORE => return unusable("is a core dump", "give an object"),
        _ => return unusable("is an ELF file of an unknown type", "give an object, an archive or a shared library"),
    };
    Ok(Head { kind, machine: Some(machine) })
}

impl Head {
    /// Whether a library search may take it: nobody loads a library of another machine.
    pub(crate) fn fits(&self, target: &Target) -> bool {
        self.machine.is_none_or(|machine| machine == target.elf_machine)
    }
}
