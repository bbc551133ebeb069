//! i386, at fixed addresses: does a link give the bytes that GNU ld gives, of what gcc and clang make; and what is in the slots of thread-local variables?
//!
//! Addends stand in the bytes here, so that each field of a link that agrees was read and written.

use jitlink::arch::i386::{MACHINE, kind};
use jitlink::arch::{Expr, Field};
use jitlink::fixup::{FixupError, Operands, apply};
use jitlink::graph::{BlockId, Definition, EdgeKind, LinkGraph, SectionFlags, SectionKind};
use jitlink::memory::{FlatImage, ThreadLocal};
use jitlink::reloc::{self, Refused, elf_i386};
use jitlink::{FlatMemory, Link, LinkOptions, Linked, Resolution, Roots};
use object::{Object, ObjectSection, elf};
use std::fmt::Write;
use std::process::Command;
use support::compile_with;

#[path = "../support/mod.rs"]
mod support;

const BASE: u64 = 0x0804_8000;

const SOURCES: &[(&str, &str)] = &[
    ("c", include_str!("../sources/calls.c")),
    ("c", include_str!("../sources/data.c")),
    ("c++", include_str!("../sources/throws.cc")),
    ("c++", include_str!("../sources/templates.cc")),
];

/// Thread-local accesses of other models GNU ld rewrites; slots are not rewritten where assemblers do not say that they may be.
const FLAGS: &[&str] = &[
    "-O2 -fno-pic -ftls-model=local-exec",
    "-O0 -fno-pic -ftls-model=local-exec",
    "-O2 -fPIC -ftls-model=local-exec",
    "-O2 -fPIE -ftls-model=local-exec",
    "-Os -fPIC -ftls-model=local-exec -ffunction-sections -fdata-sections",
];

fn compile(compiler: &str, language: &str, flags: &str, source: &str) -> Vec<u8> {
    let target = if compiler == "gcc" { "-m32" } else { "--target=i386-linux-gnu" };
    let flags: Vec<&str> = [target, "-w", "-Wa,-mrelax-relocations=no"].into_iter().chain(flags.split(' ')).collect();
    compile_with(compiler, language, &flags, source)
}

fn link<'data>(objects: &'data [Vec<u8>], place: ThreadLocal) -> Linked<'data, FlatImage> {
    let mut graph = LinkGraph::new(&MACHINE);
    for (number, object) in objects.iter().enumerate() {
        jitlink::object::read(&mut graph, &format!("{number}.o"), object, Default::default())
            .unwrap_or_else(|error| panic!("{error}"));
    }
    let pruned = Link::new(graph, LinkOptions { plain: true, ..LinkOptions::default() }).prune(&Roots::default());
    let placed = pruned.expect("sound").place(&FlatMemory::new(BASE).with_thread_local(place)).expect("memory");
    let resolved = placed.resolve(|external| Some(Resolution::new(outside(external.name), true)));
    resolved.expect("all are found").finalize().unwrap_or_else(|error| panic!("{error}"))
}

/// The address of a name that nobody defines.
fn outside(name: &[u8]) -> u64 {
    0xb7f0_0000 + name.iter().fold(7, |hash: u64, byte| (hash * 31 + u64::from(*byte)) % 0x1_0000) * 16
}

/// Clears `SHF_MERGE` and `SHF_STRINGS` of sections: what linkers make of these is their own choice.
fn forget_merging(object: &mut [u8]) {
    let half = |object: &[u8], at: usize| usize::from(u16::from_le_bytes([object[at], object[at + 1]]));
    let table = number(&object[32..36]) as usize;
    for section in 0..half(object, 48) {
        object[table + section * half(object, 46) + 8] &= !0x30;
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The sections that are compared: not thread-local ones, which have no place, nor call frames, which are written anew.
fn compared(linked: &Linked<'_, FlatImage>) -> Vec<BlockId> {
    let graph = linked.graph();
    let all = (0..graph.blocks().len()).map(BlockId::from_index);
    all.filter(|id| {
        let section = graph.section_of(*id);
        let plain = section.kind != SectionKind::EhFrame && !section.flags.contains(SectionFlags::TLS);
        graph.block(*id).live && section.number != 0 && graph.block(*id).size > 0 && plain
    })
    .collect()
}

/// The table that slots and offsets are counted from.
fn table(linked: &Linked<'_, FlatImage>) -> u64 {
    linked.address(b"_GLOBAL_OFFSET_TABLE_").unwrap_or(BASE + 0x80_0000)
}

/// A linker script that puts every section where `linked` has it.
fn script(linked: &Linked<'_, FlatImage>) -> String {
    let graph = linked.graph();
    let mut script = String::from("SECTIONS {\n");
    let mut blocks = compared(linked);
    blocks.sort_by_key(|id| graph.block(*id).address);
    for id in blocks {
        let section = graph.section_of(id);
        let (file, number, address) = (section.object.index(), section.number, graph.block(id).address);
        let name = String::from_utf8_lossy(section.name);
        writeln!(script, "  .s{file}_{number} {address:#x} : {{ {file}.o({name}) }}").expect("a string");
    }
    writeln!(script, "  .got.plt {:#x} : {{ *(.got.plt) }}", table(linked)).expect("a string");
    for (at, line) in [
        ".got ADDRESS : { *(.got) }",
        ".tdata ADDRESS : { *(.tdata .tdata.*) }\n  .tbss : { *(.tbss .tbss.*) }",
        ".text ADDRESS : { *(.text .text.*) *(.plt) *(.iplt) }",
    ]
    .into_iter()
    .enumerate()
    {
        let address = format!("{:#x}", BASE + 0x100_0000 * (1 + at as u64));
        writeln!(script, "  {}", line.replace("ADDRESS", &address)).expect("a string");
    }
    script + "  /DISCARD/ : { *(.note*) *(.comment) *(.eh_frame) *(.llvm_addrsig) }\n}\n"
}

/// Links the same objects with GNU ld.
fn gnu_ld(linked: &Linked<'_, FlatImage>, objects: &[Vec<u8>]) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let save = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).expect("a folder");
    save("script", script(linked).as_bytes());
    let mut ld = Command::new("ld");
    ld.current_dir(folder.path()).args(["-m", "elf_i386", "-static", "--no-check-sections", "-e", "0", "-T", "script"]);
    ld.args(["-z", "norelro", "-o", "out"]);
    for symbol in linked.graph().symbols() {
        if symbol.definition == Definition::Undefined {
            ld.arg(format!("--defsym={}={:#x}", String::from_utf8_lossy(symbol.name), symbol.address));
        }
    }
    if let Some(handle) = linked.address(b"__dso_handle") {
        ld.arg(format!("--defsym=__dso_handle={handle:#x}"));
    }
    for (number, object) in objects.iter().enumerate() {
        save(&format!("{number}.o"), object);
        ld.arg(format!("{number}.o"));
    }
    let output = ld.output().expect("GNU ld is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(folder.path().join("out")).expect("its output")
}

fn compare(compiler: &str, flags: &str) {
    let what = format!("{compiler} {flags}");
    let objects: Vec<Vec<u8>> = SOURCES
        .iter()
        .map(|(language, source)| {
            let mut object = compile(compiler, language, flags, source);
            forget_merging(&mut object);
            object
        })
        .collect();
    let anywhere = ThreadLocal { module: 1, offset: 0, distance: Some(0x1000) };
    let image = link(&objects, anywhere).thread_local.expect("thread-local variables");
    // The thread pointer is the end (variant II).
    let distance = -(image.size.next_multiple_of(image.align) as i64);
    let linked = link(&objects, ThreadLocal { distance: Some(distance), ..anywhere });

    let out = gnu_ld(&linked, &objects);
    let theirs = object::File::parse(&*out).expect("ELF");
    let word_there = |address: u64| {
        theirs.sections().find_map(|section| {
            let start = address.checked_sub(section.address())?;
            Some(number(section.data().ok()?.get(start as usize..)?.get(..4)?))
        })
    };
    let (graph, table) = (linked.graph(), table(&linked));
    let (mut bytes, mut slots) = (0, 0);
    for id in compared(&linked) {
        let (block, section) = (graph.block(id), graph.section_of(id));
        let name = format!("{what}: {}.o({})", section.object.index(), String::from_utf8_lossy(section.name));
        let there = theirs.section_by_name(&format!(".s{}_{}", section.object.index(), section.number));
        let there = there.unwrap_or_else(|| panic!("{name} is not there"));
        assert_eq!((there.address(), there.size()), (block.address, block.size), "{name}");
        if block.content.bytes().is_none() {
            continue;
        }
        let mut ours = linked.allocation.at(block.address, block.size as usize).expect("in the image").to_vec();
        let mut other = there.data().expect("content").to_vec();
        for edge in graph.edges_of(id) {
            let base = match MACHINE.fixup(edge.kind).expr {
                Expr::SlotOffset => table,
                Expr::SlotAddress => 0,
                _ => continue,
            };
            // Where slots are is each linker's own choice; what is in them is not.
            let field = edge.offset as usize..edge.offset as usize + 4;
            let slot = |bytes: &[u8]| base.wrapping_add(number(&bytes[field.clone()])) & 0xffff_ffff;
            let held = linked.allocation.at(slot(&ours), 4).map(number);
            assert!(held.is_some() && held == word_there(slot(&other)), "{name}+{:#x}", edge.offset);
            ours[field.clone()].fill(0);
            other[field].fill(0);
            slots += 1;
        }
        if let Some(at) = ours.iter().zip(&other).position(|(a, b)| a != b) {
            let window = |bytes: &[u8]| format!("{:02x?}", &bytes[at.saturating_sub(4)..(at + 8).min(bytes.len())]);
            panic!("{name}+{at:#x} differs: ours {}, theirs {}", window(&ours), window(&other));
        }
        bytes += ours.len();
    }
    assert!(bytes > 2000 && (slots > 0 || !flags.contains("-fPIC")), "{what}: {bytes} bytes, {slots} slots");
}

#[test]
fn what_gcc_compiles_is_linked_as_gnu_ld_links_it() {
    FLAGS.iter().for_each(|flags| compare("gcc", flags));
}

#[test]
fn what_clang_compiles_is_linked_as_gnu_ld_links_it() {
    FLAGS.iter().for_each(|flags| compare("clang-19", flags));
}

#[test]
fn accesses_to_thread_local_variables_read_their_slots() {
    let object = compile(
        "gcc",
        "assembler",
        "-c",
        ".globl f\n.text\nf: leal x@tlsgd(,%ebx,1), %eax\n call ___tls_get_addr@PLT\n leal x@tlsldm(%ebx), %eax\n call ___tls_get_addr@PLT\n\
         leal x@dtpoff(%eax), %edx\n movl x@gotntpoff(%ebx), %ecx\n movl x@indntpoff, %ecx\n leal x@ntpoff(%ecx), %ecx\n\
         .section .tdata,\"awT\"\n.long 1\nx: .long 7\n",
    );
    let objects = [object];
    let linked = link(&objects, ThreadLocal { module: 5, offset: 0x20, distance: Some(-0x40) });
    let block = linked.graph().block(BlockId::from_index(0));
    let code = linked.allocation.at(block.address, block.size as usize).expect("in the image");
    let fields: Vec<u64> = linked
        .graph()
        .edges_of(BlockId::from_index(0))
        .iter()
        .filter(|edge| MACHINE.fixup(edge.kind).expr != Expr::Branch)
        .map(|edge| number(&code[edge.offset as usize..edge.offset as usize + 4]))
        .collect();
    // Slots are counted from the start of the table, which is that of the read-only segment.
    let (start, ..) = linked.allocation.segments[1];
    let table = BASE + start as u64;
    let words = |at: u64, count: usize| -> Vec<u64> {
        let bytes = linked.allocation.at(at & 0xffff_ffff, 4 * count).expect("slots");
        bytes.chunks(4).map(number).collect()
    };
    let distance = 0xffff_ffff & (-0x3c_i64) as u64;
    assert_eq!(words(table + fields[0], 2), [5, 0x24], "general dynamic");
    assert_eq!(words(table + fields[1], 2), [5, 0x20], "local dynamic");
    assert_eq!(fields[2], 4, "an offset from what that gives");
    assert_eq!(words(table + fields[3], 1), [distance]);
    assert_eq!(words(fields[4], 1), [distance]);
    assert_eq!(fields[5], distance);
}

#[test]
fn distances_wrap_at_32_bits_and_addresses_do_not() {
    let field = |kind: EdgeKind, operands: Operands| {
        let mut content = [0; 4];
        apply(&MACHINE, kind, &mut content, 0, &operands).map(|()| number(&content))
    };
    let far = Operands {
        symbol: 0xffff_f000,
        place: 0x1000,
        branch: 0x10,
        got: 0xf000_0000,
        slot: 0x20,
        ..Operands::default()
    };
    assert_eq!(field(kind::DELTA, far).expect("it wraps"), 0xffff_e000);
    assert_eq!(field(kind::BRANCH, far).expect("it wraps"), 0xffff_f010);
    assert_eq!(field(kind::SLOT_OFFSET, far).expect("it wraps"), 0x1000_0020);
    assert_eq!(field(kind::POINTER, far).expect("an address"), 0xffff_f000);
    let beyond = Operands { symbol: 1 << 32, ..far };
    assert!(matches!(field(kind::POINTER, beyond), Err(FixupError::OutOfRange { .. })));
    assert!(matches!(field(kind::DELTA, Operands { place: 0, ..beyond }), Err(FixupError::OutOfRange { .. })));
}

/// Every number up to the largest has a row, or is refused by name, or is of another system or withdrawn.
#[test]
fn every_relocation_type_of_the_psabi_is_accounted_for() {
    let others = |number: u32| matches!(number, 11..=13 | 24..=31 | 33 | 34);
    for number in 0..=300 {
        let known = number <= elf::R_386_GOT32X.0 && !others(number);
        assert_eq!(elf_i386::name(number).is_some(), known, "type {number}");
        match elf_i386::lookup(number) {
            Some(row) => {
                let fixup = MACHINE.fixup(row.kind);
                let marks = number == 0 || row.kind == kind::TLS_DESCRIPTOR_CALL;
                assert_eq!(fixup.field == Field::None, marks, "{}", row.name);
            }
            None if known => assert!(matches!(elf_i386::refuse(number), Refused::DynamicOnly { .. })),
            None => assert_eq!(elf_i386::refuse(number), Refused::Unknown { number, table: "ELF i386" }),
        }
    }
    assert_eq!(reloc::elf_machine(&MACHINE), 3);
}
