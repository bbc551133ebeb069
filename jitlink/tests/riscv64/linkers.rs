//! Does a link give the bytes that GNU ld and lld give for the same addresses, of what real compilers make?
//!
//! Objects are linked here first; where their sections came to lie goes into a linker script, with which the other linker links the same objects; then sections, symbols
//! and the meaning of call frame information are compared. Where slots lie is each linker's own choice: of instructions that name one, what it holds is compared.

use super::tools::{Way, assemble, compile, link, number, pair, storage};
use gimli::{BaseAddresses, CieOrFde, EhFrame, LittleEndian, UnwindSection};
use jitlink::arch::Expr;
use jitlink::arch::riscv64::{MACHINE, kind};
use jitlink::debug::{Input, Merger};
use jitlink::graph::{BlockId, Definition, Edge, SectionFlags, SectionKind, Symbol, SymbolKind};
use jitlink::memory::FlatImage;
use jitlink::{FlatMemory, LinkGraph, LinkOptions, Linked};
use object::{Object, ObjectSection, ObjectSymbol};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

const LOW: u64 = 0x10_0000;
const HIGH: u64 = 0x3f_0000_0000;

/// Programs in pieces that refer to each other: all models of thread-local storage, tables, loops, floating point, exceptions, templates.
const SOURCES: &[(&str, &str)] = &[
    ("c", include_str!("../sources/calls.c")),
    ("c", include_str!("../sources/data.c")),
    ("c++", include_str!("../sources/throws.cc")),
    ("c++", include_str!("../sources/templates.cc")),
];

/// Flags, and where what is compiled with them is linked.
const FLAGS: &[(&str, u64)] = &[
    ("-O2 -fno-pie -mcmodel=medlow", LOW),
    ("-O2 -fno-pie -mcmodel=medlow -mno-relax", LOW),
    ("-O2 -fno-pie -mcmodel=medany", HIGH),
    ("-O0 -fno-pie -mcmodel=medany -march=rv64g -mabi=lp64d", HIGH),
    ("-O2 -fPIE -mcmodel=medany", HIGH),
    ("-O2 -fPIC", HIGH),
    ("-O1 -fPIC -march=rv64g -mabi=lp64d", HIGH),
    ("-O0 -fPIC -mno-relax", LOW),
    ("-O3 -fPIC -falign-functions=32 -falign-loops=16", HIGH),
    ("-Os -fPIC -ffunction-sections -fdata-sections", HIGH),
    ("-O2 -fPIC -ftls-model=initial-exec -gdwarf-5", HIGH),
    ("-O1 -fno-pie -mcmodel=medany -gdwarf-4 -falign-functions=16", HIGH),
    ("-O2 -fPIC -ftls-model=local-exec", HIGH),
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Linker {
    Gnu,
    Lld,
}

impl Linker {
    /// Links `0.o`, `1.o`, ... in `folder` into `folder/out`.
    fn run(self, folder: &Path, objects: usize, externals: &[(String, u64)]) -> Result<(), String> {
        let mut command = match self {
            Self::Gnu => Command::new("riscv64-linux-gnu-ld"),
            Self::Lld => {
                let mut command = Command::new("ld.lld-19");
                command.args(["-m", "elf64lriscv"]);
                command
            }
        };
        command.current_dir(folder).args(["-static", "--no-relax", "--no-check-sections", "-z", "norelro"]);
        command.args(["-e", "0", "-T", "script"]);
        command.args(["-o", "out"]).args((0..objects).map(|number| format!("{number}.o")));
        for (name, address) in externals {
            command.arg(format!("--defsym={name}={address:#x}"));
        }
        let output = command.output().unwrap_or_else(|error| panic!("{self:?}: {error}"));
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }
}

/// Objects of all sources, of which equal strings are not to be merged.
fn objects(compiler: &str, flags: &str) -> Vec<Vec<u8>> {
    let flags: Vec<&str> = flags.split(' ').collect();
    let one = |(language, source): &(&str, &str)| {
        let compiler = match (compiler, *language) {
            ("gcc", "c") => "riscv64-linux-gnu-gcc",
            ("gcc", _) => "riscv64-linux-gnu-g++",
            _ => "clang-19",
        };
        let mut object = compile(compiler, language, &flags, source);
        forget_merging(&mut object);
        object
    };
    SOURCES.iter().map(one).collect()
}

/// Clears `SHF_MERGE` and `SHF_STRINGS` of sections: what linkers make of these is their own choice.
fn forget_merging(object: &mut [u8]) {
    let half = |object: &[u8], at: usize| usize::from(u16::from_le_bytes([object[at], object[at + 1]]));
    let table = number(&object[40..48]) as usize;
    for section in 0..half(object, 60) {
        object[table + section * half(object, 58) + 8] &= !0x30;
    }
}

/// The names that nobody defines: variables of each thread, and all others.
fn undefined(objects: &[Vec<u8>]) -> Result<(Vec<String>, Vec<String>), String> {
    let mut graph = LinkGraph::new(&MACHINE);
    for object in objects {
        jitlink::object::read(&mut graph, "o", object, Default::default()).map_err(|error| error.to_string())?;
    }
    let undefined = graph.symbols().iter().filter(|symbol| symbol.definition == Definition::Undefined);
    let (thread_local, others): (Vec<_>, Vec<_>) = undefined.partition(|symbol| symbol.kind == SymbolKind::ThreadLocal);
    let names = |symbols: Vec<&Symbol<'_>>| {
        symbols.into_iter().map(|symbol| String::from_utf8_lossy(symbol.name).into_owned()).collect()
    };
    Ok((names(thread_local), names(others)))
}

/// An object that defines these variables.
fn thread_locals(names: &[String]) -> Vec<u8> {
    let one = |name: &String| format!(".globl {name}\n.type {name}, @object\n{name}: .zero 8\n");
    let all: String = names.iter().map(one).collect();
    assemble(&format!(".section .tbss,\"awT\",@nobits\n.p2align 3\n{all}"))
}

/// The file and the name of a block's section.
fn origin<'a>(linked: &'a Linked<'_, FlatImage>, block: BlockId) -> (usize, &'a str, u32) {
    let section = linked.graph().section_of(block);
    (section.object.index(), std::str::from_utf8(section.name).expect("ASCII"), section.number)
}

/// The sections that are compared byte by byte: not thread-local ones, which have no place, nor call frames, which are written anew.
fn compared<'a>(linked: &'a Linked<'_, FlatImage>) -> impl Iterator<Item = BlockId> + 'a {
    let graph = linked.graph();
    (0..graph.blocks().len()).map(BlockId::from_index).filter(move |id| {
        let section = graph.section_of(*id);
        let plain = section.kind != SectionKind::EhFrame && !section.flags.contains(SectionFlags::TLS);
        graph.block(*id).live && section.number != 0 && graph.block(*id).size > 0 && plain
    })
}

/// A linker script that puts every section where `linked` has it.
fn script(linked: &Linked<'_, FlatImage>, base: u64) -> String {
    let mut places: Vec<(u64, String)> = compared(linked)
        .map(|id| {
            let (address, (file, name, number)) = (linked.graph().block(id).address, origin(linked, id));
            (address, format!("  .s{file}_{number} {address:#x} : {{ {file}.o({name}) }}\n"))
        })
        .collect();
    places.sort();
    let mut script = String::from("SECTIONS {\n");
    script.extend(places.into_iter().map(|(_, line)| line));
    for (number, line) in [
        ".eh_frame ADDRESS : { *(.eh_frame) }",
        ".tdata ADDRESS : { *(.tdata .tdata.*) }\n  .tbss : { *(.tbss .tbss.*) }",
        ".got ADDRESS : { *(.got.plt) *(.got) }",
    ]
    .into_iter()
    .enumerate()
    {
        let address = format!("{:#x}", base + 0x100_0000 * (2 + number as u64));
        writeln!(script, "  {}", line.replace("ADDRESS", &address)).expect("a string");
    }
    script
        + "  .text : { *(.text) }\n  /DISCARD/ : { *(.note*) *(.comment) *(.riscv.attributes) *(.llvm_addrsig) }\n}\n"
}

/// What another linker has made.
struct Theirs<'a>(object::File<'a>);

impl Theirs<'_> {
    fn word(&self, address: u64) -> Option<u64> {
        self.0.sections().find_map(|section| {
            let start = address.checked_sub(section.address())?;
            Some(number(section.data().ok()?.get(start as usize..)?.get(..8)?))
        })
    }
}

/// What slots hold: a pair begins with the number of the only module.
fn words(place: u64, read: impl Fn(u64) -> Option<u64>) -> Option<(u64, u64)> {
    let first = read(place)?;
    Some((first, if first == 1 { read(place + 8)? } else { 0 }))
}

/// What an instruction of either link that names a slot reads, and the bits in which it does so, which become zero.
fn slot(edge: &Edge, address: u64, code: &mut [u8]) -> Option<u64> {
    let (upper, lower) = match edge.kind {
        kind::GOT_HI20 | kind::GOT_HI20_RELAXABLE | kind::TLS_KEPT_HI20 => return None,
        // The addend is the distance to the instruction with the upper bits.
        _ => (edge.offset as usize - edge.addend as usize, edge.offset as usize),
    };
    Some((address + upper as u64).wrapping_add_signed(pair(code, upper, lower)))
}

fn clear(edges: &[&Edge], code: &mut [u8]) {
    for edge in edges {
        let at = edge.offset as usize;
        let is_upper = matches!(edge.kind, kind::GOT_HI20 | kind::GOT_HI20_RELAXABLE | kind::TLS_KEPT_HI20);
        let mask: u32 = if is_upper { 0xfff } else { 0xf_ffff };
        let word = number(&code[at..at + 4]) as u32 & mask;
        code[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }
}

/// Compares one section; gives how many slots were.
fn compare_block(linked: &Linked<'_, FlatImage>, id: BlockId, theirs: &Theirs<'_>, what: &str) -> usize {
    let graph = linked.graph();
    let block = graph.block(id);
    let (file, name, number_of) = origin(linked, id);
    let section = theirs.0.section_by_name(&format!(".s{file}_{number_of}"));
    let section = section.unwrap_or_else(|| panic!("{what}: {file}.o({name}) is not there"));
    assert_eq!((section.address(), section.size()), (block.address, block.size), "{what}: {file}.o({name})");
    let mut ours = linked.allocation.at(block.address, block.size as usize).expect("in the image").to_vec();
    if block.content.bytes().is_none() {
        assert!(ours.iter().all(|byte| *byte == 0), "{what}: {file}.o({name}) is not zero");
        return 0;
    }
    let mut other = section.data().expect("content").to_vec();
    let edges = graph.edges_of(id).iter();
    let slots: Vec<&Edge> =
        edges.filter(|edge| matches!(MACHINE.fixup(edge.kind).expr, Expr::Slot | Expr::TlsSlot)).collect();
    for edge in &slots {
        let Some(place) = slot(edge, block.address, &mut ours) else { continue };
        let there = slot(edge, block.address, &mut other).expect("the same kind");
        let mine = words(place, |at| linked.allocation.at(at, 8).map(number));
        let yours = words(there, |at| theirs.word(at));
        assert!(mine.is_some() && mine == yours, "{what}: {file}.o({name})+{:#x}: {mine:x?} {yours:x?}", edge.offset);
    }
    clear(&slots, &mut ours);
    clear(&slots, &mut other);
    if let Some(at) = ours.iter().zip(&other).position(|(a, b)| a != b) {
        let window = |bytes: &[u8]| format!("{:02x?}", &bytes[at & !3..(at + 12).min(bytes.len())]);
        panic!("{what}: {file}.o({name})+{at:#x} differs: ours {}, theirs {}", window(&ours), window(&other));
    }
    slots.len()
}

/// Call frame information as an unwinder reads it: by function, its extent, its language's table, and what restores its caller.
fn frames(bytes: &[u8], address: u64) -> BTreeMap<u64, String> {
    let section = EhFrame::new(bytes, LittleEndian);
    let bases = BaseAddresses::default().set_eh_frame(address);
    let mut all = BTreeMap::new();
    let mut entries = section.entries(&bases);
    while let Some(entry) = entries.next().expect("sound call frame information") {
        let CieOrFde::Fde(partial) = entry else { continue };
        let fde = partial.parse(UnwindSection::cie_from_offset).expect("its entry");
        let mut text = format!("{:#x} {:?} {:?}", fde.len(), fde.lsda(), fde.cie().personality());
        let mut instructions = fde.instructions(&section, &bases);
        while let Some(instruction) = instructions.next().expect("instructions") {
            if instruction != gimli::CallFrameInstruction::Nop {
                write!(text, " {instruction:?}").expect("a string");
            }
        }
        // The personality is named through a word whose own address is what counts.
        assert!(all.insert(fde.initial_address(), text).is_none(), "one record for each function");
    }
    all
}

fn compare(compiler: &str, flags: &str, base: u64, linker: Linker) {
    let what = format!("{linker:?}, {compiler} {flags}");
    let compared = compare_objects(&what, objects(compiler, flags), base, linker);
    let compared = compared.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(compared.sections > 10 && compared.symbols > 10 && compared.frames > 10, "{what}: {compared:?}");
    assert!(compared.slots > 0 || flags.contains("-fno-pie"), "{what}: {compared:?}");
    assert!(compared.debug > 5000 || !flags.contains("-g"), "{what}: {compared:?}");
}

/// How much was compared.
#[derive(Debug, Default)]
struct Compared {
    sections: usize,
    slots: usize,
    symbols: usize,
    frames: usize,
    /// Bytes of debug sections.
    debug: usize,
}

/// Compares the debug sections, but for indices of names.
fn compare_debug(objects: &[Vec<u8>], linked: &Linked<'_, FlatImage>, theirs: &Theirs<'_>, what: &str) -> usize {
    let mut merger = Merger::new(linked);
    let addresses = linked.section_addresses();
    for (number, bytes) in objects.iter().enumerate() {
        let input = Input { name: what, bytes, sections: &addresses[number] };
        merger.add(&input, |name| linked.address(name)).unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    let mut compared = 0;
    for section in merger.finish() {
        let other = theirs.0.section_by_name(&section.name).expect("the same debug sections");
        let other = other.uncompressed_data().expect("content");
        let differs = section.bytes.iter().zip(&*other).position(|(a, b)| a != b);
        if let Some(at) = differs {
            let window = |bytes: &[u8]| format!("{:02x?}", &bytes[at.saturating_sub(8)..(at + 12).min(bytes.len())]);
            panic!("{what}: {}+{at:#x}: ours {}, theirs {}", section.name, window(&section.bytes), window(&other));
        }
        assert_eq!(section.bytes.len(), other.len(), "{what}: {}", section.name);
        compared += other.len();
    }
    compared
}

/// An error is why one of the linkers does not link; a difference is a panic.
fn compare_objects(what: &str, mut objects: Vec<Vec<u8>>, base: u64, linker: Linker) -> Result<Compared, String> {
    let (of_threads, others) = undefined(&objects)?;
    if !of_threads.is_empty() {
        objects.push(thread_locals(&of_threads));
    }
    let at = (0..).map(|number| base + 0x200_0000 + 0x1010 * number);
    let externals: Vec<(String, u64)> = others.into_iter().zip(at).collect();
    let named: Vec<(&str, u64)> = externals.iter().map(|(name, address)| (name.as_str(), *address)).collect();
    let memory = FlatMemory::new(base).with_thread_local(storage(0));
    let options = LinkOptions { plain: true, ..LinkOptions::default() };
    let linked = link(&objects, &Way { memory, options, externals: &named })?;

    let folder = tempfile::tempdir().expect("a folder");
    for (number, object) in objects.iter().enumerate() {
        std::fs::write(folder.path().join(format!("{number}.o")), object).expect("a folder");
    }
    std::fs::write(folder.path().join("script"), script(&linked, base)).expect("a folder");
    let handle = linked.address(b"__dso_handle").map(|handle| ("__dso_handle".to_owned(), handle));
    linker.run(folder.path(), objects.len(), &externals.into_iter().chain(handle).collect::<Vec<_>>())?;
    let file = std::fs::read(folder.path().join("out")).expect("their output");
    let theirs = Theirs(object::File::parse(&*file).expect("their output is ELF"));

    let blocks: Vec<BlockId> = compared(&linked).collect();
    let mut compared = Compared { sections: blocks.len(), ..Compared::default() };
    compared.slots = blocks.iter().map(|id| compare_block(&linked, *id, &theirs, what)).sum();
    for symbol in theirs.0.symbols().filter(|symbol| symbol.is_global() && symbol.is_definition()) {
        let name = symbol.name().expect("a name");
        let Some(ours) = linked.address(name.as_bytes()) else { continue };
        if symbol.kind() != object::SymbolKind::Tls {
            assert_eq!(ours, symbol.address(), "{what}: {name}");
            compared.symbols += 1;
        }
    }
    compared.debug = compare_debug(&objects, &linked, &theirs, what);
    let Some((address, size)) = linked.eh_frame else { return Ok(compared) };
    let ours = frames(linked.allocation.at(address, size as usize).expect("in the image"), address);
    let section = theirs.0.section_by_name(".eh_frame").expect("call frames");
    let mut theirs = frames(section.data().expect("content"), section.address());
    // What nobody refers to is not there, and neither are its frames.
    let extents: Vec<_> =
        blocks.iter().map(|id| linked.graph().block(*id)).map(|b| b.address..b.address + b.size).collect();
    theirs.retain(|function, _| extents.iter().any(|extent| extent.contains(function)));
    for (function, frame) in &theirs {
        assert_eq!(ours.get(function), Some(frame), "{what}: {function:#x}");
    }
    assert_eq!(ours.len(), theirs.len(), "{what}");
    compared.frames = ours.len();
    Ok(compared)
}

/// Of debug information of clang's, GNU ld before 2.41 does not know relocations of LEB128 numbers, by which DWARF 5 lists ranges (it ends by a signal). And it takes for addresses
/// what is said of thread-local variables (`R_RISCV_64`, where gcc has `R_RISCV_TLS_DTPREL64`); lld takes them for offsets in a module, as debuggers do.
fn is_known_to(linker: Linker, compiler: &str, flags: &str) -> bool {
    linker == Linker::Lld || compiler == "gcc" || !flags.contains("-gdwarf")
}

fn compare_all(compiler: &str, linker: Linker) {
    for (flags, base) in FLAGS.iter().filter(|(flags, _)| is_known_to(linker, compiler, flags)) {
        compare(compiler, flags, *base, linker);
    }
}

#[test]
fn what_gcc_compiles_is_linked_as_gnu_ld_links_it() {
    compare_all("gcc", Linker::Gnu);
}

#[test]
fn what_gcc_compiles_is_linked_as_lld_links_it() {
    compare_all("gcc", Linker::Lld);
}

#[test]
fn what_clang_compiles_is_linked_as_gnu_ld_links_it() {
    compare_all("clang", Linker::Gnu);
}

#[test]
fn what_clang_compiles_is_linked_as_lld_links_it() {
    compare_all("clang", Linker::Lld);
}
