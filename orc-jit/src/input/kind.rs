//! Telling files apart by their first bytes.

use super::{InputError, Target};
use jitlink::arch::Machine;
use jitlink::object::detect::{self, ElfKind, MachO};
use jitlink::object::universal;
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

/// How much of a file is looked at.
const HEAD: usize = 4096;

/// What the first bytes of a file say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    pub(crate) kind: FileKind,
    /// `e_machine`, where it is ELF.
    machine: Option<u16>,
}

impl FileKind {
    /// The kind that the first bytes of `path` show; at least 4096 of them, or the whole file.
    ///
    /// # Errors
    /// When they are of no kind that can be linked: says what the file is instead.
    pub fn of_bytes(path: &Path, head: &[u8]) -> Result<Self, InputError> {
        look(path, head).map(|head| head.kind)
    }

    /// The kind that the name promises, if it promises one. Believing it saves opening the file twice.
    #[must_use]
    pub fn of_name(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "o" | "obj" => Some(Self::Object),
            "a" | "rlib" | "lib" => Some(Self::Archive),
            _ => None,
        }
    }
}

/// Opens `path` and looks at its first bytes.
pub(crate) fn read_head(path: &Path) -> Result<Head, InputError> {
    let mut head = Vec::with_capacity(HEAD);
    let file = File::open(path).map_err(|error| InputError::read(path, error))?;
    file.take(HEAD as u64).read_to_end(&mut head).map_err(|error| InputError::read(path, error))?;
    // What a universal file holds for several machines stands somewhere in it.
    if detect::FileKind::detect(&head) == detect::FileKind::MachOUniversal {
        let all = std::fs::read(path).map_err(|error| InputError::read(path, error))?;
        if let Some(Ok(part)) = Machine::named(std::env::consts::ARCH).map(|machine| universal::part(&all, machine)) {
            return look(path, part);
        }
    }
    look(path, &head)
}

fn look(path: &Path, head: &[u8]) -> Result<Head, InputError> {
    let detected = detect::FileKind::detect(head);
    let (kind, machine) = match detected {
        detect::FileKind::Archive | detect::FileKind::ThinArchive => (FileKind::Archive, None),
        detect::FileKind::MachO(MachO { relocatable: true, .. }) | detect::FileKind::MachOUniversal => {
            (FileKind::Object, None)
        }
        detect::FileKind::LinkerScript | detect::FileKind::Text => (FileKind::Script, None),
        detect::FileKind::Elf(elf) => match elf.kind {
            ElfKind::Relocatable => (FileKind::Object, Some(elf.machine)),
            ElfKind::Shared => (FileKind::SharedLibrary, Some(elf.machine)),
            ElfKind::Executable => {
                let help = "give the objects that it was linked from";
                return Err(InputError::unusable(path, format!("is {detected}"), help));
            }
            ElfKind::Core | ElfKind::Other(_) => return Err(InputError::unusable(path, format!("is {detected}"), "")),
        },
        detect::FileKind::Coff { .. } | detect::FileKind::ImportObject => (FileKind::Object, None),
        _ => return Err(InputError::unusable(path, format!("is {detected}"), detected.advice())),
    };
    Ok(Head { kind, machine })
}

impl Head {
    /// Whether a library search may take it: nobody loads a library of another machine.
    pub(crate) fn fits(&self, target: &Target) -> bool {
        self.machine.is_none_or(|machine| machine == target.elf_machine)
    }
}
