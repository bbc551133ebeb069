//! The plan's inputs, put into the dylibs of a session.

use super::files::{self, Format, Input, Target};
use super::options::{Alias, Dylib, Item, Plan, Section};
use super::words;
use object::write::{Mangling, Object, SectionId, Symbol, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope};
use orc_jit::{Executor, JitDylib, Session};
use std::collections::HashMap;
use std::path::Path;

/// A name for what no dylib of the command line is called.
const RESULT: &str = "<test result>";

/// The function by which a program says what the exit status is to be.
const SET_RESULT: &str = "llvm_jitlink_setTestResultOverride";

/// Why it could not be filled, as lines for standard error.
type Told = Vec<String>;

fn told(text: String) -> Told {
    vec![words::line(&text)]
}

/// Makes the plan's dylibs. `set_result`: the address of what a program may call to say its exit status, where there is one.
pub(super) fn fill<E: Executor>(
    session: &Session<E>,
    plan: &Plan,
    target: Target,
    entry: &str,
    set_result: Option<u64>,
) -> Result<(), Told> {
    let failed = |error: orc_jit::Error| words::lines(&error);
    for library in &plan.preload {
        session.open_library(library).map_err(failed)?;
    }
    let mut dylibs: HashMap<&str, JitDylib<E>> = HashMap::new();
    for dylib in &plan.dylibs {
        dylibs.insert(&dylib.name, session.add_dylib(&dylib.name).map_err(failed)?);
    }
    let result = match set_result {
        Some(address) => {
            let dylib = session.add_dylib(RESULT).map_err(failed)?;
            dylib.define_absolute(SET_RESULT, address).map_err(failed)?;
            Some(dylib)
        }
        None => None,
    };
    let mut elsewhere = Vec::new();
    for (number, dylib) in plan.dylibs.iter().enumerate() {
        let filler = Filler { session, plan, target, dylib, made: &dylibs[dylib.name.as_str()] };
        // Harnesses go first: what clashes with them yields.
        let tested = number == 0 && !plan.harnesses.is_empty();
        if tested {
            for path in &plan.harnesses {
                filler.check_object(path)?;
                filler.made.add_object_file(path).map_err(failed)?;
            }
        }
        let links = filler.fill(tested, &mut elsewhere)?;
        let links = links.iter().filter_map(|name| dylibs.get(name.as_str())).chain(&result);
        filler.made.set_link_order(links).map_err(failed)?;
    }
    for alias in elsewhere {
        self::alias(session, plan, &dylibs, alias)?;
    }
    dylibs["main"].keep_name(entry).map_err(failed)
}

/// Defines an alias: in its own dylib, or for what another one defines, which is linked for that.
fn alias<E: Executor>(
    session: &Session<E>,
    plan: &Plan,
    dylibs: &HashMap<&str, JitDylib<E>>,
    (current, alias): (&Dylib, &Alias),
) -> Result<(), Told> {
    let failed = |error: orc_jit::Error| words::lines(&error);
    let find = |name: &Option<String>| {
        let name = name.as_deref().unwrap_or(&current.name);
        dylibs.get_key_value(name).ok_or_else(|| told(format!("-alias names {name}, but there is no -jd {name}")))
    };
    let ((name, dylib), (of_name, _)) = (find(&alias.dylib)?, find(&alias.of_dylib)?);
    if name == of_name {
        return dylib.define_alias(&alias.name, &alias.of).map_err(failed);
    }
    if let Some(of) = plan.dylibs.iter().find(|dylib| dylib.name == **of_name) {
        dylibs[of.name.as_str()].keep_name(&alias.of).map_err(failed)?;
    }
    let opened = session.open(of_name).map_err(failed)?;
    let address = opened.address(&alias.of).map_err(|_| told(words::not_found([alias.of.as_str()].into_iter())))?;
    // It stays open for as long as the session lives: somebody has its address.
    std::mem::forget(opened);
    dylib.define_absolute(&alias.name, address).map_err(failed)
}

struct Filler<'a, E: Executor> {
    session: &'a Session<E>,
    plan: &'a Plan,
    target: Target,
    dylib: &'a Dylib,
    made: &'a JitDylib<E>,
}

impl<'a, E: Executor> Filler<'a, E> {
    /// Adds all items; gives the dylibs that this one links against, and leaves aliases for later.
    fn fill(&self, tested: bool, aliases: &mut Vec<(&'a Dylib, &'a Alias)>) -> Result<Vec<String>, Told> {
        files::check_search(self.dylib).map_err(told)?;
        let failed = |error: orc_jit::Error| words::lines(&error);
        let mut links = Vec::new();
        for item in &self.dylib.items {
            let input = match item {
                Item::File(path) => files::input(path),
                Item::Library { name, hidden } => files::library(self.plan, self.dylib, name, *hidden),
                Item::Hidden(path) => files::hidden(path),
                Item::Absolute { name, value } => {
                    self.made.define_absolute(name, *value).map_err(failed)?;
                    continue;
                }
                Item::Alias(alias) => {
                    aliases.push((self.dylib, alias));
                    continue;
                }
                Item::Section(section) => {
                    let bytes = self.section(section)?;
                    self.made.add_object(format!("<sectcreate {}>", section.name), bytes).map_err(failed)?;
                    continue;
                }
            };
            let added = match input.map_err(told)? {
                Input::Object(path) if tested => self.made.add_object_file_under_test(path),
                Input::Object(path) => {
                    self.check_object(&path)?;
                    self.made.add_object_file_at_need(path)
                }
                Input::Archive { path, hidden: true } => self.made.add_hidden_archive_file(path),
                Input::Archive { path, hidden: false } => self.made.add_archive_file(path),
                Input::Shared(path) => self
                    .session
                    .open_library(&path.display().to_string())
                    .and_then(|library| self.made.add_library(library)),
                Input::Dylib(name) => {
                    links.push(name);
                    Ok(())
                }
            };
            added.map_err(failed)?;
        }
        Ok(links)
    }

    /// An object for another machine than the first is an error, also where nothing needs it.
    fn check_object(&self, path: &Path) -> Result<(), Told> {
        let failed = |what: String| told(format!("{}: {what}", path.display()));
        let bytes = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
        let kind = jitlink::object::detect::FileKind::detect(&bytes);
        match kind.machine() {
            Some(machine) if machine.name == self.target.machine.name => Ok(()),
            Some(machine) => Err(failed(format!(
                "it is for {}, and the first object is for {}",
                machine.name, self.target.machine.name
            ))),
            None => Err(failed(format!("it is no object that can be linked: it is {kind}"))),
        }
    }

    /// An object with one section: the bytes of a file.
    fn section(&self, section: &Section) -> Result<Vec<u8>, Told> {
        let failed = |what: String| told(format!("-sectcreate {}: {what}", section.name));
        let bytes =
            std::fs::read(&section.file).map_err(|error| failed(format!("{}: {error}", section.file.display())))?;
        let architecture = architecture(self.target.machine.name)
            .ok_or_else(|| failed(format!("there is no writer of objects for {}", self.target.machine.name)))?;
        let format = match self.target.format {
            Format::Elf => BinaryFormat::Elf,
            Format::MachO => BinaryFormat::MachO,
            Format::Coff => BinaryFormat::Coff,
        };
        let mut object = Object::new(format, architecture, Endianness::Little);
        object.set_mangling(Mangling::None);
        let (segment, name) = section.name.split_once(',').unwrap_or(("__DATA", &section.name));
        let segment = if self.target.format == Format::MachO { segment } else { "" };
        let name = if segment.is_empty() { &section.name } else { name };
        let id = object.add_section(segment.into(), name.into(), SectionKind::ReadOnlyData);
        object.append_section_data(id, &bytes, 16);
        for (name, offset) in &section.symbols {
            if *offset > bytes.len() as u64 {
                return Err(failed(format!("{name} is at {offset:#x}, behind the end of the section")));
            }
            object.add_symbol(place(name, *offset, id));
        }
        object.write().map_err(|error| failed(error.to_string()))
    }
}

fn place(name: &str, offset: u64, section: SectionId) -> Symbol {
    Symbol {
        name: name.into(),
        value: offset,
        size: 0,
        kind: SymbolKind::Data,
        scope: SymbolScope::Dynamic,
        weak: false,
        section: SymbolSection::Section(section),
        flags: SymbolFlags::None,
    }
}

fn architecture(machine: &str) -> Option<Architecture> {
    Some(match machine {
        "x86_64" => Architecture::X86_64,
        "i386" | "i686" => Architecture::I386,
        "aarch64" | "arm64" => Architecture::Aarch64,
        "riscv64" => Architecture::Riscv64,
        "riscv32" => Architecture::Riscv32,
        "loongarch64" => Architecture::LoongArch64,
        _ => return None,
    })
}
