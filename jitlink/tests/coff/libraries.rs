//! Are the static libraries of mingw linked as lld-link links them?
//!
//! In a copy of each object every section has a name of its own. `lld-link` makes a section of the program of each, and so says where it put it. Objects are linked
//! here at another address; then every block is fixed up once more as if it stood where lld has it, and compared with lld's bytes. What nobody here defines,
//! one more object does.

use jitlink::arch::{self, Expr, Machine};
use jitlink::fixup::{self, Operands};
use jitlink::graph::{Definition, LinkGraph, SymbolId};
use jitlink::object::ReadOptions;
use jitlink::{FlatMemory, Link, LinkOptions, Roots};
use object::read::archive::ArchiveFile;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, pe, write};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;

const MACHINE: &Machine = &arch::x86_64::MACHINE;

/// Below 2 GiB, since some code holds addresses in 32 bits.
const LLD_BASE: u64 = 0x1000_0000;
const OUR_BASE: u64 = 0x4000_0000;

/// Members of an archive that are linked together.
const TOGETHER: usize = 48;

#[derive(Default, Debug)]
struct Compared {
    archives: usize,
    objects: usize,
    bytes: usize,
    fields: usize,
    /// Fields that refer to what lld has somewhere that its sections do not tell.
    elsewhere: usize,
}

impl std::ops::AddAssign for Compared {
    fn add_assign(&mut self, other: Self) {
        self.archives += other.archives;
        self.objects += other.objects;
        self.bytes += other.bytes;
        self.fields += other.fields;
        self.elsewhere += other.elsewhere;
    }
}

/// A copy in which each section that is loaded is called by the object's number and its own.
fn rename(object: &[u8], number: usize) -> Vec<u8> {
    let half = |at: usize| usize::from(u16::from_le_bytes([object[at], object[at + 1]]));
    let word = |at: usize| u32::from_le_bytes(object[at..at + 4].try_into().expect("four bytes"));
    let (count, start) = (half(2), 20 + half(16));
    // Long names stand behind the symbols.
    let strings = (word(8) + 18 * word(12)) as usize;
    let long = |name: &[u8]| {
        let at = std::str::from_utf8(name.strip_prefix(b"/")?).ok()?.trim_end_matches('\0').parse::<usize>().ok()?;
        object.get(strings + at..)
    };
    let mut copy = object.to_vec();
    for section in 0..count {
        let header = start + 40 * section;
        let name = &object[header..header + 8];
        let name = long(name).unwrap_or(name);
        let flags = word(header + 36);
        let dropped = flags & (pe::IMAGE_SCN_LNK_INFO.0 | pe::IMAGE_SCN_LNK_REMOVE.0 | pe::IMAGE_SCN_MEM_DISCARDABLE.0);
        if dropped == 0 && !is_gathered(name) {
            copy[header..header + 8].copy_from_slice(format!(".{number:02x}{section:05x}").as_bytes());
        }
    }
    copy
}

/// Whether each linker gathers sections of this name in its own way: what describes one function belongs to it by its name.
fn is_gathered(name: &[u8]) -> bool {
    [&b".debug"[..], b".pdata$", b".xdata$", b".eh_frame"].iter().any(|prefix| name.starts_with(prefix))
}

/// An object that defines what the others ask for.
fn externals(objects: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut defined, mut wanted) = (BTreeSet::new(), BTreeSet::new());
    for (name, bytes) in objects {
        let file = object::File::parse(&**bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        for symbol in file.symbols().filter(object::ObjectSymbol::is_global) {
            let set = if symbol.is_undefined() { &mut wanted } else { &mut defined };
            set.insert(symbol.name_bytes().expect("a name").to_vec());
        }
    }
    let mut out =
        write::Object::new(object::BinaryFormat::Coff, object::Architecture::X86_64, object::Endianness::Little);
    out.set_mangling(write::Mangling::None);
    let section = out.add_section(Vec::new(), b".others".to_vec(), object::SectionKind::Data);
    for name in wanted.difference(&defined).filter(|name| *name != b"__ImageBase") {
        let value = out.append_section_data(section, &[0; 16], 16);
        out.add_symbol(write::Symbol {
            name: name.clone(),
            value,
            size: 16,
            kind: object::SymbolKind::Data,
            scope: object::SymbolScope::Linkage,
            weak: false,
            section: write::SymbolSection::Section(section),
            flags: object::SymbolFlags::None,
        });
    }
    out.write().expect("an object")
}

/// What lld makes of them.
fn lld(folder: &Path, objects: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut command = Command::new("lld-link-19");
    command.current_dir(folder).args([
        "/dll",
        "/noentry",
        "/out:out.dll",
        "/opt:noref,noicf",
        "/nodefaultlib",
        "/machine:x64",
    ]);
    command.args([
        "/dynamicbase:no",
        "/threads:1",
        "/largeaddressaware:no",
        "/lldmingw",
        &format!("/base:{LLD_BASE:#x}"),
    ]);
    for (number, (_, bytes)) in objects.iter().enumerate() {
        let name = format!("{number}.obj");
        std::fs::write(folder.join(&name), bytes).expect("a writable folder");
        command.arg(name);
    }
    let output = command.output().expect("lld-link-19 (package lld-19) is needed for this test");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "lld-link: {}: {said}", objects[0].0);
    std::fs::read(folder.join("out.dll")).expect("lld's output")
}

/// Links some objects here and there, and compares.
fn compare(members: &[(String, &[u8])]) -> Result<Compared, String> {
    let renamed = members.iter().enumerate().map(|(number, (name, bytes))| (name.clone(), rename(bytes, number)));
    let mut objects: Vec<(String, Vec<u8>)> = renamed.collect();
    objects.push(("others".into(), externals(&objects)));
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let theirs = lld(folder.path(), &objects);
    let theirs = object::File::parse(&*theirs).map_err(|error| error.to_string())?;
    // Number, address and content of each section.
    let mut sections = HashMap::new();
    for section in theirs.sections() {
        let (name, data) = (section.name_bytes().expect("a name"), section.data().expect("content"));
        sections.insert(name.to_vec(), (section.index().0 as u64, section.address(), data));
    }

    let mut graph = LinkGraph::new(MACHINE);
    for (name, bytes) in &objects {
        jitlink::object::read(&mut graph, name, bytes, ReadOptions::default()).map_err(|error| error.to_string())?;
    }
    let text = |error: jitlink::LinkError| error.to_string();
    let pruned = Link::new(graph, LinkOptions::default()).prune(&Roots::default()).map_err(text)?;
    let placed = pruned.place(&FlatMemory::new(OUR_BASE)).map_err(text)?;
    let linked = placed.resolve(|_| None).map_err(text)?.finalize().map_err(text)?;
    let graph = linked.graph();

    // lld defines these itself.
    let is_made = |name: &[u8]| name.ends_with(b"TOR_LIST__") || name.starts_with(b"__RUNTIME_PSEUDO_RELOC_LIST_");
    // Where lld has a symbol, and number and address of the section that it stands in.
    let find = |id: SymbolId| -> Option<(u64, u64, u64)> {
        let symbol = graph.symbol(id);
        match symbol.definition {
            _ if is_made(symbol.name) => None,
            Definition::Block(block) => {
                let (number, address, _) = *sections.get(graph.section_of(block).name)?;
                Some((address + symbol.value, number, address))
            }
            Definition::Absolute => Some((symbol.value, 0, 0)),
            _ if symbol.name == b"__ImageBase" => Some((LLD_BASE, 0, 0)),
            _ => None,
        }
    };
    let mut compared = Compared { objects: members.len(), ..Compared::default() };
    for block in graph.blocks().iter().filter(|block| block.live && block.size > 0) {
        let section = graph.section(block.section);
        if is_gathered(section.name) {
            continue;
        }
        let object = &graph.object(section.object).name;
        let (Some(content), Some((_, place, theirs))) = (block.content.bytes(), sections.get(section.name)) else {
            continue;
        };
        let theirs = theirs.get(..content.len()).ok_or_else(|| format!("{object}: lld has too few bytes"))?;
        let mut ours = content.to_vec();
        for edge in &graph.edges()[block.edge_range()] {
            let row = MACHINE.fixup(edge.kind);
            let (at, width) = (edge.offset as usize, usize::from(row.field.width()));
            let Some((symbol, number, start)) = find(edge.target).filter(|_| !row.expr.needs_slot()) else {
                ours[at..at + width].copy_from_slice(&theirs[at..at + width]);
                compared.elsewhere += 1;
                continue;
            };
            let image = match row.expr {
                Expr::SectionNumber => number,
                Expr::SectionOffset => start,
                _ => LLD_BASE,
            };
            let (place, addend) = (place + u64::from(edge.offset), edge.addend);
            let operands = Operands { symbol, addend, place, branch: symbol, image, ..Operands::default() };
            fixup::apply(MACHINE, edge.kind, &mut ours, at, &operands)
                .map_err(|error| format!("{object}: {} at {at:#x}: {error}", row.name))?;
            compared.fields += 1;
        }
        if let Some(at) = ours.iter().zip(theirs).position(|(ours, theirs)| ours != theirs) {
            let window = |bytes: &[u8]| format!("{:02x?}", &bytes[at.saturating_sub(8)..(at + 12).min(bytes.len())]);
            let name = String::from_utf8_lossy(section.name);
            return Err(format!("{object}: {name}+{at:#x} differs\nours {}\nlld  {}", window(&ours), window(theirs)));
        }
        compared.bytes += ours.len();
    }
    Ok(compared)
}

type Member<'data> = (String, &'data [u8]);

/// Members that can be linked together: no two define a name that only one may.
fn batches(members: Vec<Member<'_>>) -> Vec<Vec<Member<'_>>> {
    let mut batches: Vec<(BTreeSet<Vec<u8>>, Vec<Member<'_>>)> = Vec::new();
    for (name, bytes) in members {
        let own = defined_once(&name, bytes);
        let fits = |(names, members): &&mut (BTreeSet<_>, Vec<_>)| members.len() < TOGETHER && names.is_disjoint(&own);
        match batches.iter_mut().find(fits) {
            Some((names, members)) => {
                names.extend(own);
                members.push((name, bytes));
            }
            None => batches.push((own, vec![(name, bytes)])),
        }
    }
    batches.into_iter().map(|(_, members)| members).collect()
}

/// The global names of a member that no other may define: those that are not in COMDAT sections, nor weak.
fn defined_once(name: &str, bytes: &[u8]) -> BTreeSet<Vec<u8>> {
    let file = object::File::parse(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    let in_comdat = |symbol: &object::Symbol<'_, '_>| {
        let section = symbol.section_index().and_then(|index| file.section_by_index(index).ok());
        let flags = section.map(|section| section.flags());
        matches!(flags, Some(object::SectionFlags::Coff { characteristics })
            if characteristics.contains(pe::IMAGE_SCN_LNK_COMDAT))
    };
    let strong = file.symbols().filter(|symbol| symbol.is_global() && symbol.is_definition() && !symbol.is_weak());
    strong.filter(|symbol| !in_comdat(symbol)).map(|symbol| symbol.name_bytes().expect("a name").to_vec()).collect()
}

/// gcc's own libraries, without those that only name functions of a DLL, and some of mingw: code, and one import library.
fn libraries() -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        ["mingwex", "mingw32", "mingwthrd", "moldname", "gmon", "m", "scrnsave", "uuid", "kernel32"]
            .map(|name| PathBuf::from(format!("/usr/x86_64-w64-mingw32/lib/lib{name}.a")))
            .into();
    let folders =
        std::fs::read_dir("/usr/lib/gcc/x86_64-w64-mingw32").expect("package gcc-mingw-w64-x86-64-win32 is needed");
    let newest = folders.map(|folder| folder.expect("a readable folder").path()).max().expect("a compiler");
    let own = std::fs::read_dir(newest).expect("a readable folder").map(|file| file.expect("a file").path());
    paths
        .extend(own.filter(|path| path.to_str().is_some_and(|path| path.ends_with(".a") && !path.ends_with(".dll.a"))));
    paths.sort();
    paths
}

#[test]
fn static_libraries_of_mingw_are_linked_as_by_lld() {
    let mut all = Compared::default();
    let mut failures = Vec::new();
    for path in libraries() {
        let data = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let archive = ArchiveFile::parse(&*data).expect("a sound archive");
        let mut members = Vec::new();
        for member in archive.members() {
            let member = member.expect("a sound archive");
            let bytes = member.data(&*data).expect("a sound archive");
            if bytes.starts_with(&[0x64, 0x86]) {
                members.push((format!("{}({})", path.display(), String::from_utf8_lossy(member.name())), bytes));
            }
        }
        all.archives += 1;
        for together in batches(members) {
            match compare(&together) {
                Ok(compared) => all += compared,
                Err(error) => failures.push(error),
            }
        }
    }
    assert!(failures.is_empty(), "{} of {:?}:\n{}", failures.len(), all, failures[..failures.len().min(20)].join("\n"));
    assert!(all.archives >= 20 && all.objects > 2500 && all.fields > 55_000, "{all:?}");
    assert!(all.elsewhere * 1000 < all.fields, "{all:?}");
}
