//! Where in the user's inputs a place in code is, by what the linker calls it: `f+0x1f` is a section of an object, and a line.
//!
//! **You give** objects, a function's name as objects spell it, and an offset in it. **You get** every place that this can be, with its
//! line and what was inlined there, as far as the objects have debug information (DWARF 2 to 5). **It is not for** addresses: who
//! knows where code was linked knows the function ([`Session::frames`](crate::Session::frames)). Nothing is kept ready for it while programs
//! are well: the objects are read when something went wrong.
//!
//! A function's bytes have the same length in its object and where it runs, unless the linker has shortened padding in it, as it has to on riscv64: offsets in
//! functions are those where it runs, offsets in sections are those of the object's file.

mod dwarf;

use jitlink::debug::Offsets;
use jitlink::reloc::machine_of_elf;
use object::read::elf::FileHeader as _;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};
use serde::Serialize;
use std::cell::OnceCell;
use std::collections::HashMap;

/// A place in an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CodePlace {
    /// The object: a path, or `archive.a(member.o)`.
    pub object: String,
    /// The section.
    pub section: String,
    /// Where in the section, in bytes.
    pub section_offset: u64,
    /// The line of the source. Of an inlined function, where one is: the innermost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<SourceLine>,
    /// The functions that were inlined at that place, the innermost first; the last one was inlined into the function itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inlined: Vec<Inlined>,
}

/// A line of a source file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceLine {
    /// The file, as a path that its compiler could use anywhere: absolute, unless the compiler was told to hide that.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1, where the compiler noted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
}

/// A function whose code stands inside of another one's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inlined {
    /// Its name, as objects spell it.
    pub function: String,
    /// The call that was replaced by its code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub called_from: Option<SourceLine>,
}

/// The places in `inputs` (names and bytes of objects, in the order in which they were linked) that are `offset` bytes into a function
/// that is called `function`. `size` is the function's, in bytes, if it is known.
///
/// Several objects can have a local function (`static`) of that name: all of them are given, but only those of the right size if
/// there are any. Of a global function the one that a linker takes is given: the first strong one, otherwise the first weak one. What
/// cannot be read has no function.
///
/// ```no_run
/// use orc_jit::diagnose::locate;
///
/// let object = std::fs::read("config.o")?;
/// for place in locate([("config.o", &*object)], "init_config", 0x1f, None) {
///     println!("{}:({}+{:#x})", place.object, place.section, place.section_offset);
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn locate<'a>(
    inputs: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    function: &str,
    offset: u64,
    size: Option<u64>,
) -> Vec<CodePlace> {
    let mut search = Search::default();
    search.ask(function, offset, size);
    for (name, bytes) in inputs {
        search.object(name, bytes);
    }
    search.finish().swap_remove(0)
}

/// As [`locate`], for several functions at once, and for those who cannot hold all objects at once.
#[derive(Debug, Default)]
pub struct Search {
    asked: Vec<Asked>,
    by_name: HashMap<Box<[u8]>, Vec<usize>>,
}

#[derive(Debug)]
struct Asked {
    offset: u64,
    size: Option<u64>,
    found: Vec<Found>,
}

#[derive(Debug)]
struct Found {
    place: CodePlace,
    rank: Rank,
}

/// How good a candidate is: the smaller, the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// It is of another size than the function that was linked.
    other_size: bool,
    binding: Binding,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Strong,
    Weak,
    Local,
}

impl Search {
    /// One more place to look for, as in [`locate`].
    pub fn ask(&mut self, function: &str, offset: u64, size: Option<u64>) {
        self.by_name.entry(function.as_bytes().into()).or_default().push(self.asked.len());
        self.asked.push(Asked { offset, size, found: Vec::new() });
    }

    /// Looks into one more object: the bytes of something else, or damaged ones, have nothing to be found.
    pub fn object(&mut self, name: &str, bytes: &[u8]) {
        let Ok(file) = object::File::parse(bytes) else { return };
        if file.kind() != object::ObjectKind::Relocatable {
            return;
        }
        let offsets = OnceCell::new();
        for symbol in file.symbols().filter(|symbol| !symbol.is_undefined()) {
            let asked = symbol.name_bytes().ok().and_then(|name| self.by_name.get(name));
            for index in asked.into_iter().flatten() {
                let offsets = offsets.get_or_init(|| offsets_of(&file, bytes));
                self.asked[*index].symbol(&Object { name, bytes, file: &file, offsets }, &symbol);
            }
        }
    }

    /// What was found of each function that was asked for, in the order in which they were; the places in the order of the objects.
    #[must_use]
    pub fn finish(self) -> Vec<Vec<CodePlace>> {
        self.asked.into_iter().map(Asked::finish).collect()
    }
}

/// An object that is looked into.
struct Object<'a, 'data> {
    name: &'a str,
    bytes: &'data [u8],
    file: &'a object::File<'data>,
    offsets: &'a Offsets,
}

/// What linking does to offsets in an object: nothing, where that is not known.
fn offsets_of(file: &object::File<'_>, bytes: &[u8]) -> Offsets {
    let object::File::Elf64(elf) = file else { return Offsets::default() };
    let machine = machine_of_elf(elf.elf_header().e_machine(elf.endian()).0, 64);
    machine.and_then(|machine| Offsets::read(machine, bytes)).unwrap_or_default()
}

impl Asked {
    /// Looks at a symbol of the right name.
    fn symbol<'data>(&mut self, object: &Object<'_, 'data>, symbol: &object::Symbol<'data, '_>) {
        let Some((section, at, rank)) = self.candidate(object, symbol) else { return };
        let Object { bytes, file, offsets, .. } = *object;
        let (line, inlined) = dwarf::line(file, bytes, offsets, section.index(), at).unwrap_or_default();
        let place = CodePlace {
            object: object.name.to_owned(),
            section: String::from_utf8_lossy(section.name_bytes().unwrap_or_default()).into_owned(),
            section_offset: offsets.in_file(section.index().0 as u32, at),
            line,
            inlined,
        };
        self.found.push(Found { place, rank });
    }

    /// The section that a symbol means and the offset in what is linked of it, unless it cannot be what is looked for, or is no better than what is found
    /// already: debug information takes time to read, and an inline function may be in every object.
    fn candidate<'data, 'file>(
        &self,
        object: &Object<'file, 'data>,
        symbol: &object::Symbol<'data, '_>,
    ) -> Option<(object::Section<'data, 'file>, u64, Rank)> {
        if !matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Unknown | SymbolKind::Label) {
            return None;
        }
        let section = object.file.section_by_index(symbol.section_index()?).ok()?;
        let in_file = symbol.address().checked_sub(section.address())?;
        let linked = |offset| object.offsets.linked(section.index().0 as u32, offset);
        let start = linked(in_file);
        let at = start.checked_add(self.offset)?;
        // A function written in assembler may have no size: then it reaches to the end of its section.
        let end = if symbol.size() > 0 { in_file.checked_add(symbol.size())? } else { section.size() };
        let (size, end) = (linked(end).saturating_sub(start), linked(end.min(section.size())));
        let size = if symbol.size() > 0 { size } else { 0 };
        if at >= end {
            return None;
        }
        let binding = match (symbol.is_local(), symbol.is_weak()) {
            (true, _) => Binding::Local,
            (_, true) => Binding::Weak,
            _ => Binding::Strong,
        };
        let other_size = self.size.is_some_and(|asked| asked != size);
        let rank = Rank { other_size, binding };
        let beaten = self.found.iter().any(|found| match binding {
            Binding::Local => other_size && !found.rank.other_size,
            _ => found.rank.binding != Binding::Local && found.rank <= rank,
        });
        (!beaten).then_some((section, at, rank))
    }

    fn finish(self) -> Vec<CodePlace> {
        let exact = self.found.iter().any(|found| !found.rank.other_size);
        let fits = |rank: Rank| !(exact && rank.other_size);
        // Of global ones only a better one is noted after another, so there is one of the best rank.
        let global = self.found.iter().map(|found| found.rank).filter(|rank| rank.binding != Binding::Local).min();
        let kept =
            |found: &Found| fits(found.rank) && (found.rank.binding == Binding::Local || Some(found.rank) == global);
        self.found.into_iter().filter(kept).map(|found| found.place).collect()
    }
}
