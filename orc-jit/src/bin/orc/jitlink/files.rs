//! Input files: what they are, by their bytes and their names, and which machine everything is for.

use super::options::{Dylib, Item, Plan};
use jitlink::arch::Machine;
use jitlink::object::archive::{Archive, Content};
use jitlink::object::detect::FileKind;
use orc_jit::input::{self, SearchPath};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What is linked for: what the first object is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) machine: &'static Machine,
    pub(super) format: Format,
}

/// The file formats, as far as a command line has to tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Elf,
    MachO,
    Coff,
}

impl Target {
    /// The entry point, unless the user names one: as C spells it where the program runs, and else as objects do.
    pub(super) fn entry(&self, run: bool) -> &'static str {
        if self.format == Format::MachO && !run { "_main" } else { "main" }
    }
}

/// What goes into a dylib of a session.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Input {
    Object(PathBuf),
    Archive {
        path: PathBuf,
        hidden: bool,
    },
    Shared(PathBuf),
    /// Another dylib of the command line.
    Dylib(String),
}

/// What the plan links for: the first object's, or else that of the first archive's first object, or else this machine's.
pub(super) fn target(plan: &Plan) -> Result<Target, String> {
    let files = || {
        let items = plan.dylibs.iter().flat_map(|dylib| &dylib.items);
        let inputs = items.filter_map(|item| match item {
            Item::File(path) => Some(path),
            _ => None,
        });
        inputs.chain(&plan.harnesses)
    };
    if files().next().is_none() {
        return Err("No input files".into());
    }
    for path in files() {
        if let Some(target) = target_of(&read(path)?) {
            return Ok(target);
        }
    }
    let machine = Machine::named(std::env::consts::ARCH).unwrap_or(Machine::ALL[0]);
    Ok(Target { machine, format: Format::Elf })
}

fn target_of(bytes: &[u8]) -> Option<Target> {
    let kind = FileKind::detect(bytes);
    let format = match kind {
        FileKind::Elf(_) => Format::Elf,
        FileKind::MachO(_) | FileKind::MachOUniversal => Format::MachO,
        FileKind::Coff { .. } => Format::Coff,
        FileKind::Archive => {
            let archive = Archive::parse(bytes).ok()?;
            return archive.members().filter_map(Result::ok).find_map(|member| match member.content {
                Content::Bytes(bytes) => target_of(bytes),
                Content::Thin(_) => None,
            });
        }
        _ => return None,
    };
    kind.machine().map(|machine| Target { machine, format })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Names that promise an archive.
fn is_named_archive(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "a" || extension == "lib")
}

/// What an input is: its bytes say it, and a name that promises an archive must be right.
pub(super) fn input(path: &Path) -> Result<Input, String> {
    let kind = FileKind::detect(&read(path)?);
    match kind {
        _ if kind.is_archive() => Ok(Input::Archive { path: path.into(), hidden: false }),
        _ if is_named_archive(path) => Err(format!("{}: it is no archive: it is {kind}", path.display())),
        FileKind::Elf(elf) if elf.kind == jitlink::object::detect::ElfKind::Shared => Ok(Input::Shared(path.into())),
        // Whether it can be linked, its reader says.
        _ => Ok(Input::Object(path.into())),
    }
}

/// The archive that `-load_hidden` names.
pub(super) fn hidden(path: &Path) -> Result<Input, String> {
    match input(path)? {
        Input::Archive { path, .. } => Ok(Input::Archive { path, hidden: true }),
        _ => Err(format!("{}: it is no archive", path.display())),
    }
}

/// What `-lNAME` is in `dylib`: another dylib, or the first library in its directories, a shared one before an archive.
pub(super) fn library(plan: &Plan, dylib: &Dylib, name: &str, hidden: bool) -> Result<Input, String> {
    if !hidden && plan.dylibs.iter().any(|other| other.name == name) {
        return Ok(Input::Dylib(name.to_owned()));
    }
    let endings = ["so", "dylib", "dll", "a", "lib"];
    let system = if plan.search_system {
        SearchPath::host(Vec::new())
    } else {
        SearchPath::only(Vec::new(), input::Target::host())
    };
    let folders = dylib.search.iter().map(PathBuf::as_path).chain(system.directories());
    for folder in folders {
        for ending in endings.iter().filter(|ending| !hidden || matches!(**ending, "a" | "lib")) {
            let path = folder.join(format!("lib{name}.{ending}"));
            if !path.is_file() {
                continue;
            }
            return match self::input(&path)? {
                Input::Archive { path, .. } => Ok(Input::Archive { path, hidden }),
                Input::Shared(path) => Ok(Input::Shared(path)),
                _ => Err(format!("{}: it is no library", path.display())),
            };
        }
    }
    Err(format!(
        "While linking {}, could not find library for -{}l{name}",
        dylib.name,
        if hidden { "hidden-" } else { "" }
    ))
}

/// Every `-L` names a directory.
pub(super) fn check_search(dylib: &Dylib) -> Result<(), String> {
    match dylib.search.iter().find(|path| !path.is_dir()) {
        None => Ok(()),
        Some(path) => Err(format!("While linking {}, -L{} does not point to a directory", dylib.name, path.display())),
    }
}

/// Rules call files by their last component: there must not be two of one name.
pub(super) fn check_unique(plan: &Plan) -> Result<(), String> {
    let mut seen: HashMap<&std::ffi::OsStr, &Path> = HashMap::new();
    let items = plan.dylibs.iter().flat_map(|dylib| &dylib.items);
    let files = items.filter_map(|item| match item {
        Item::File(path) => Some(path),
        _ => None,
    });
    for path in files.chain(&plan.harnesses) {
        let Some(name) = path.file_name() else { continue };
        if let Some(first) = seen.insert(name, path) {
            let (name, first) = (name.to_string_lossy(), first.display());
            return Err(format!(
                "with -check, files must have different names: {name} is {first} and {}",
                path.display()
            ));
        }
    }
    Ok(())
}
