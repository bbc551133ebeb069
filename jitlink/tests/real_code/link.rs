//! The same objects linked here and by another linker, at the same addresses, and what came out compared.

use crate::machines::{Access, Target};
use crate::patch;
use jitlink::graph::{
    Block, Definition, Edge, EdgeKind, LinkGraph, LinkerSymbol, Prot, Section, SectionFlags, SymbolKind,
};
use jitlink::memory::{FlatImage, ThreadLocal};
use jitlink::{FlatMemory, Link, LinkOptions, Linked, Roots};
use object::write;
use object::{
    BinaryFormat, Endianness, FileFlags, Object as _, ObjectSection as _, ObjectSymbol as _, SectionKind, SymbolFlags,
    SymbolScope,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// Low, so that code that holds addresses in 32 bits can be linked, and with segments that are apart.
const BASE: u64 = 0x1000_0000;

/// Segments start at multiples of this: what is far apart, and what the tiny model reaches.
pub(crate) const APART: u64 = 0x40_0000;
pub(crate) const TINY: u64 = 0x4000;

/// Which linker is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Oracle {
    Lld,
    Gnu,
}

/// What was compared.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Compared {
    pub(crate) archives: usize,
    pub(crate) objects: usize,
    pub(crate) bytes: usize,
    pub(crate) edges: usize,
    /// Instructions that read a slot there and do without here.
    pub(crate) relaxed: usize,
    /// References to indirect functions, whose stubs are where each linker likes.
    pub(crate) indirect: usize,
}

impl std::ops::AddAssign for Compared {
    fn add_assign(&mut self, other: Self) {
        self.archives += other.archives;
        self.objects += other.objects;
        self.bytes += other.bytes;
        self.edges += other.edges;
        self.relaxed += other.relaxed;
        self.indirect += other.indirect;
    }
}

/// Links `objects` with all that they ask for defined by one object more, and compares.
pub(crate) fn compare(
    target: &Target,
    oracle: Oracle,
    page: u64,
    objects: &[(String, &[u8])],
) -> Result<Compared, String> {
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for (number, (name, bytes)) in objects.iter().enumerate() {
        files.push((name.clone(), patch::rename(bytes, &format!("o{number}s"))));
    }
    let externals = externals(target, objects)?;
    files.push(("externals.o".into(), patch::rename(&externals, "external")));

    // Once to see where thread-local storage comes to lie, and once with the distance that a program has there.
    let anywhere = ThreadLocal { module: 1, offset: 0, distance: Some(0x100) };
    let image = link(target, &files, page, anywhere)?.thread_local;
    let distance = image.map_or(0x100, |image| (target.distance)(image.address, image.size, image.align));
    let linked = link(target, &files, page, ThreadLocal { distance: Some(distance), ..anywhere })?;

    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    other(target, oracle, folder.path(), &files, &script(&linked, page))?;
    let out = std::fs::read(folder.path().join("out")).map_err(|error| error.to_string())?;
    let comparison = Comparison::new(target, &linked, &out)?;
    let mut compared = comparison.run()?;
    compared.objects = objects.len();
    Ok(compared)
}

fn link<'data>(
    target: &Target,
    files: &'data [(String, Vec<u8>)],
    page: u64,
    place: ThreadLocal,
) -> Result<Linked<'data, FlatImage>, String> {
    let mut graph = LinkGraph::new(target.machine);
    for (name, bytes) in files {
        jitlink::object::read(&mut graph, name, bytes, Default::default()).map_err(|error| error.to_string())?;
    }
    let memory = FlatMemory { page_size: page, ..FlatMemory::new(BASE) }.with_thread_local(place);
    let text = |error: jitlink::LinkError| error.to_string();
    let pruned = Link::new(graph, LinkOptions::default()).prune(&Roots::default()).map_err(text)?;
    let placed = pruned.place(&memory).map_err(text)?;
    placed.resolve(|_| None).map_err(text)?.finalize().map_err(text)
}

/// An object that defines what the others ask for.
fn externals(target: &Target, objects: &[(String, &[u8])]) -> Result<Vec<u8>, String> {
    let (mut defined, mut wanted) = (BTreeSet::new(), BTreeMap::new());
    let mut flags = FileFlags::None;
    for (name, bytes) in objects {
        let file = object::File::parse(*bytes).map_err(|error| format!("{name}: {error}"))?;
        flags = file.flags();
        for symbol in file.symbols().filter(object::ObjectSymbol::is_global) {
            let name = symbol.name_bytes().map_err(|error| error.to_string())?.to_vec();
            if symbol.is_undefined() {
                let thread_local = symbol.kind() == object::SymbolKind::Tls || is_thread_local(&name);
                *wanted.entry(name).or_insert(false) |= thread_local;
            } else {
                defined.insert(name);
            }
        }
    }
    let mut out = write::Object::new(BinaryFormat::Elf, target.architecture, Endianness::Little);
    // They say which calling convention it is.
    out.flags = flags;
    let code = out.add_section(Vec::new(), b".code".to_vec(), SectionKind::Text);
    let variables = out.add_section(Vec::new(), b".tbss".to_vec(), SectionKind::UninitializedTls);
    for (name, thread_local) in wanted {
        if defined.contains(&name) || name == b"_GLOBAL_OFFSET_TABLE_" {
            continue;
        }
        let (section, value, kind) = if thread_local {
            (variables, out.append_section_bss(variables, 16, 16), object::SymbolKind::Tls)
        } else {
            (code, out.append_section_data(code, &[0; 16], 16), object::SymbolKind::Text)
        };
        out.add_symbol(write::Symbol {
            name,
            value,
            size: 16,
            kind,
            scope: SymbolScope::Dynamic,
            weak: false,
            section: write::SymbolSection::Section(section),
            flags: SymbolFlags::None,
        });
    }
    out.write().map_err(|error| error.to_string())
}

/// Symbols that are thread-local by their relocations only.
fn is_thread_local(name: &[u8]) -> bool {
    matches!(name, b"errno" | b"h_errno" | b"__libc_errno")
}

/// Where a block is for a linker script: thread-local ones are where threads are initialized from.
fn address(linked: &Linked<'_, FlatImage>, section: &Section<'_>, block: &Block<'_>) -> u64 {
    match linked.thread_local.filter(|_| section.flags.contains(SectionFlags::TLS)) {
        Some(image) => block.address.wrapping_sub(image.place.address()).wrapping_add(image.address),
        None => block.address,
    }
}

/// A linker script that puts every section where `linked` has it.
fn script(linked: &Linked<'_, FlatImage>, page: u64) -> String {
    let graph = linked.graph();
    let mut places = Vec::new();
    for block in graph.blocks().iter().filter(|block| block.live) {
        let section = graph.section(block.section);
        let name = String::from_utf8_lossy(section.name).into_owned();
        if name == ".eh_frame" || graph.object(section.object).name == "<linker>" {
            continue;
        }
        let at = address(linked, section, block);
        let thread_local = section.flags.contains(SectionFlags::TLS);
        let order = if thread_local { linked.thread_local.map_or(0, |image| image.address) } else { at };
        places.push((order, !thread_local, at, block.size, name));
    }
    places.sort();
    let mut script = String::from("SECTIONS {\n");
    for (.., at, _, name) in places {
        let _ = writeln!(script, "  {name} {at:#x} : {{ *({name}) }}");
    }
    let end = BASE + linked.allocation.bytes.len() as u64;
    let mut next = end.next_multiple_of(page);
    for name in [".got", ".got.plt", ".plt", ".iplt", ".igot.plt", ".rela.iplt", ".rela.dyn"] {
        let _ = writeln!(script, "  {name} {next:#x} : {{ *({name}) }}");
        next += page;
    }
    script + "  /DISCARD/ : { *(.eh_frame) *(.comment) *(.note.GNU-stack) }\n}\n"
}

fn other(
    target: &Target,
    oracle: Oracle,
    folder: &Path,
    files: &[(String, Vec<u8>)],
    script: &str,
) -> Result<(), String> {
    let save = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).map_err(|error| error.to_string());
    save("script", script.as_bytes())?;
    let mut command = match oracle {
        Oracle::Lld => Command::new("ld.lld-19"),
        Oracle::Gnu => Command::new(target.gnu_ld),
    };
    command.current_dir(folder).args([
        "-static",
        "--no-check-sections",
        "-S",
        "-e",
        "0",
        "-z",
        "norelro",
        "-T",
        "script",
        "-o",
        "out",
    ]);
    if oracle == Oracle::Lld {
        command.args(["-m", target.emulation]);
    }
    if !target.relaxes {
        command.arg("--no-relax");
    }
    for (number, (_, bytes)) in files.iter().enumerate() {
        let name = format!("{number}.o");
        save(&name, bytes)?;
        command.arg(name);
    }
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let messages = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{oracle:?}: {messages}")) }
}

struct Comparison<'a> {
    target: &'a Target,
    linked: &'a Linked<'a, FlatImage>,
    /// Sections of the other linker: contents by name, and addresses.
    sections: HashMap<String, (u64, &'a [u8])>,
    our_table: Table,
    their_table: Table,
}

/// A table of slots: where it begins, and slots by what they hold.
#[derive(Default)]
struct Table {
    address: u64,
    slots: HashMap<u64, Vec<u64>>,
}

impl Table {
    fn new(address: u64, bytes: &[u8]) -> Self {
        let mut slots: HashMap<u64, Vec<u64>> = HashMap::new();
        for (number, word) in bytes.chunks_exact(8).enumerate() {
            let value = u64::from_le_bytes(word.try_into().expect("eight bytes"));
            slots.entry(value).or_default().push(address + 8 * number as u64);
        }
        Self { address, slots }
    }

    /// Of our own link: it stands before the first block that is read only.
    fn of(linked: &Linked<'_, FlatImage>) -> Self {
        let image = &linked.allocation;
        let Some((start, size, _)) = image.segments.iter().find(|(.., prot)| *prot == Prot::READ).copied() else {
            return Self::default();
        };
        let address = image.base + start as u64;
        let blocks = linked.graph().blocks().iter().map(|block| block.address);
        let end = blocks.filter(|block| (address..address + size as u64).contains(block)).min();
        let length = end.map_or(size, |end| (end - address) as usize);
        Self::new(address, &image.bytes[start..start + length])
    }
}

impl<'a> Comparison<'a> {
    fn new(target: &'a Target, linked: &'a Linked<'a, FlatImage>, out: &'a [u8]) -> Result<Self, String> {
        let file = object::File::parse(out).map_err(|error| error.to_string())?;
        let mut sections = HashMap::new();
        let mut their_table = Table::default();
        for section in file.sections() {
            let name = section.name().map_err(|error| error.to_string())?.to_owned();
            let data = section.data().map_err(|error| error.to_string())?;
            if name == ".got" {
                their_table = Table::new(section.address(), data);
            }
            sections.insert(name, (section.address(), data));
        }
        Ok(Self { target, linked, sections, our_table: Table::of(linked), their_table })
    }

    fn run(&'a self) -> Result<Compared, String> {
        let graph = self.linked.graph();
        let mut compared = Compared::default();
        for (index, block) in graph.blocks().iter().enumerate() {
            let section = graph.section(block.section);
            let name = String::from_utf8_lossy(section.name).into_owned();
            if name == ".eh_frame" || !block.live || block.size == 0 || graph.object(section.object).name == "<linker>"
            {
                continue;
            }
            let object = &graph.object(section.object).name;
            let (at, theirs) =
                self.sections.get(&name).copied().ok_or_else(|| format!("{object}: there is no {name}"))?;
            let here = address(self.linked, section, block);
            if at != here {
                return Err(format!("{object}: {name} is at {at:#x}, not at {here:#x}"));
            }
            let Some(content) = block.content.bytes() else { continue };
            let ours = self.linked.allocation.at(here, content.len()).ok_or("not in the image")?;
            if ours.len() != theirs.len() {
                return Err(format!("{object}: {name} has {:#x} bytes, not {:#x}", theirs.len(), ours.len()));
            }
            compared.bytes += ours.len();
            compared.edges += block.edge_range().len();
            if ours != theirs {
                self.explain(index, here, ours, theirs, &mut compared)?;
            }
        }
        Ok(compared)
    }

    /// Goes through the differences of a block.
    fn explain(
        &'a self,
        index: usize,
        here: u64,
        ours: &'a [u8],
        theirs: &'a [u8],
        compared: &mut Compared,
    ) -> Result<(), String> {
        let graph = self.linked.graph();
        let block = &graph.blocks()[index];
        let mut edges: Vec<_> = graph.edges()[block.edge_range()].to_vec();
        edges.sort_by_key(|edge| edge.offset);
        let mut done = 0;
        for at in 0..ours.len() {
            if at < done || ours[at] == theirs[at] {
                continue;
            }
            // The field that it is in, or the opcode before a field.
            let after = edges.partition_point(|edge| edge.offset as usize <= at);
            let width = |edge: &Edge| usize::from(self.target.machine.fixup(edge.kind).field.width()).max(4);
            let covers = |edge: &&Edge| at < edge.offset as usize + width(edge);
            let edge = after.checked_sub(1).map(|edge| &edges[edge]).filter(covers);
            let next = edges.get(after).filter(|edge| edge.offset as usize <= at + 3);
            let edge = edge.or(next).copied();
            let edge = edge.ok_or_else(|| self.differs(index, at, ours, theirs, "no relocation"))?;
            let symbol = graph.symbol(edge.target);
            let start = edge.offset as usize;
            let row = self.target.machine.fixup(edge.kind);
            let access = |bytes: &'a [u8], table: &'a Table| {
                let is_table = symbol.definition == Definition::Linker(LinkerSymbol::GlobalOffsetTable);
                let address = if is_table { table.address } else { symbol.address };
                let mut slots = table.slots.get(&symbol.address).cloned().unwrap_or_default();
                if symbol.block().is_some_and(|block| graph.section_of(block).flags.contains(SectionFlags::TLS)) {
                    slots.extend(self.pairs(table, symbol.address));
                }
                let (before, bytes) = bytes.split_at(start);
                let (place, table) = (here + start as u64, table.address);
                Access { before, bytes, place, symbol: address, addend: edge.addend, slots, table }
            };
            if symbol.kind == SymbolKind::Indirect {
                compared.indirect += 1;
            } else if (self.target.is_same)(&access(ours, &self.our_table), &access(theirs, &self.their_table)) {
                compared.relaxed += 1;
            } else {
                let what = format!("{} {} {:+#x}", row.name, String::from_utf8_lossy(symbol.name), edge.addend);
                return Err(self.differs(index, at, ours, theirs, &what));
            }
            let width = usize::from(row.field.width()).max(4);
            done = start + if edge.kind == EdgeKind::KEEP_ALIVE { self.target.call } else { width };
        }
        Ok(())
    }

    /// Pairs of slots that name the only module and the thread-local variable at `address`.
    fn pairs(&self, table: &Table, address: u64) -> Vec<u64> {
        let Some(image) = self.linked.thread_local else { return Vec::new() };
        let offset = address.wrapping_sub(image.place.address()).wrapping_add(image.place.offset);
        let offset = offset.wrapping_sub(self.target.machine.tls.offset_bias);
        let holding = |value: u64| table.slots.get(&value).map_or(&[][..], |slots| slots);
        holding(image.place.module).iter().copied().filter(|slot| holding(offset).contains(&(slot + 8))).collect()
    }

    fn differs(&self, index: usize, at: usize, ours: &[u8], theirs: &[u8], what: &str) -> String {
        let graph = self.linked.graph();
        let section = graph.section(graph.blocks()[index].section);
        let name = String::from_utf8_lossy(section.name);
        let from = at.saturating_sub(8) & !3;
        let window = |bytes: &[u8]| format!("{:02x?}", &bytes[from..(from + 20).min(bytes.len())]);
        let object = &graph.object(section.object).name;
        format!("{object}: {name}+{at:#x} ({what}) differs\nours   {}\ntheirs {}", window(ours), window(theirs))
    }
}
