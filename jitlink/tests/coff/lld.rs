//! Does a link give the bytes that lld-link gives for the same objects at the same addresses?
//!
//! Batches of three kinds of sections are small enough that both linkers place them alike: code, constants, data, a page or more each. lld counts from the
//! header of its file, a page below the code; that page is added to what is counted from the image base here.

use super::support::{assemble, graph};
use jitlink::graph::EdgeKind;
use jitlink::{FlatMemory, Link, LinkOptions, Roots};
use object::{Object as _, ObjectSection as _};
use proptest::prelude::*;
use std::fmt::Write as _;
use std::process::Command;

const LLD_BASE: u64 = 0x1_4000_0000;
const PAGE: u64 = 0x1000;

/// One function, constant or variable.
#[derive(Clone, Debug)]
struct Item {
    object: usize,
    /// Code, constants, data.
    kind: usize,
    group: Option<u8>,
    /// In a COMDAT section that every object has.
    comdat: bool,
    align: u32,
    references: Vec<(u8, usize, i16)>,
}

fn item() -> impl Strategy<Value = Item> {
    let reference = (0..12u8, any::<usize>(), prop_oneof![Just(0), -32..64i16]);
    let references = proptest::collection::vec(reference, 0..6);
    (0..3usize, 0..3usize, proptest::option::of(b'a'..b'e'), any::<bool>(), 2..6u32, references).prop_map(
        |(object, kind, group, comdat, align, references)| Item { object, kind, group, comdat, align, references },
    )
}

/// The line that opens the section of an item.
fn section(item: &Item, number: usize) -> String {
    let (name, flags) = [(".text", "xr"), (".rdata", "dr"), (".data", "dw")][item.kind];
    let group = item.group.map_or(String::new(), |letter| format!("${}", char::from(letter)));
    let comdat = if item.comdat { format!(", discard, s{number}") } else { String::new() };
    format!(".section {name}{group}, \"{flags}\"{comdat}\n.p2align {}\n.globl s{number}\ns{number}:\n", item.align)
}

/// What refers to `s{target}`: instructions in code, words elsewhere.
fn reference(kind: usize, how: u8, target: usize, addend: i16) -> String {
    let to = format!("s{target}{addend:+}");
    match (kind, how) {
        (0, 0) => format!("call s{target}\n"),
        (0, 1) => format!("jmp s{target}\n"),
        (0, 2) => format!("jne s{target}\n"),
        (0, 3) => format!("leaq {to}(%rip), %rax\n"),
        (0, 4) => format!("movb $1, {to}(%rip)\n"),
        (0, 5) => format!("movw $1, {to}(%rip)\n"),
        (0, 6) => format!("movl $1, {to}(%rip)\n"),
        (0, 7) => format!("cmpq $1, {to}(%rip)\n"),
        (0, 8) => format!("movabsq ${to}, %rcx\n"),
        (_, 0 | 1 | 8) => format!(".quad {to}\n"),
        (_, 2 | 3) => format!(".rva {to}\n"),
        (_, 4 | 5) => format!(".secrel32 {to}\n"),
        (_, 6) => format!(".secidx s{target}\n"),
        _ => format!(".long {}\n", u32::from(how) << 8),
    }
}

/// The sources of a batch of three objects. The first says in which order the sections come, and keeps a word of each.
fn sources(items: &[Item]) -> [String; 3] {
    let mut sources = [const { String::new() }; 3];
    for (kind, (name, flags)) in [(".text", "xr"), (".rdata", "dr"), (".data", "dw")].into_iter().enumerate() {
        write!(sources[0], ".section {name}, \"{flags}\"\n.globl first{kind}\nfirst{kind}: .long {kind}\n")
            .expect("a string");
    }
    // Of one name, lld takes an object's plain sections before its COMDAT ones, and we in the order of the file: here that is the same.
    let (plain, comdat): (Vec<_>, Vec<_>) = items.iter().enumerate().partition(|(_, item)| !item.comdat);
    for (number, item) in plain.into_iter().chain(comdat) {
        let mut body = section(item, number);
        for (how, target, addend) in &item.references {
            // What is counted from a section or an image is not negative.
            let addend = if item.kind == 0 { *addend } else { addend.abs() };
            body += &reference(item.kind, *how, target % items.len(), addend);
        }
        body += ".byte 0x90\n";
        let objects = if item.comdat { 0..3 } else { item.object..item.object + 1 };
        objects.for_each(|object| sources[object] += &body);
    }
    sources
}

fn lld(objects: &[(&'static str, Vec<u8>)]) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new("lld-link-19");
    command.current_dir(folder.path()).args(["/dll", "/noentry", "/nodefaultlib", "/fixed", "/dynamicbase:no"]);
    command.args(["/opt:noref", "/opt:noicf", "/base:0x140000000", "/out:out.dll"]);
    for (name, bytes) in objects {
        std::fs::write(folder.path().join(name), bytes).expect("a writable folder");
        command.arg(name);
    }
    let output = command.output().expect("lld-link-19 is installed (package lld-19)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(folder.path().join("out.dll")).expect("lld wrote it")
}

fn compare(items: &[Item]) -> Result<usize, TestCaseError> {
    let sources = sources(items);
    let names = ["a.obj", "b.obj", "c.obj"];
    let objects = [0, 1, 2].map(|at| (names[at], assemble(&sources[at])));
    let file = lld(&objects);
    let file = object::File::parse(&*file).expect("a DLL");

    let graph = graph(&objects).expect("sound objects");
    let pruned = Link::new(graph, LinkOptions::default()).prune(&Roots::default()).expect("a link");
    let placed = pruned.place(&FlatMemory::new(LLD_BASE + PAGE)).expect("memory");
    let linked = placed.resolve(|_| None).expect("nothing is missing").finalize().expect("all is in reach");
    let graph = linked.graph();
    let mut compared = 0;
    for (name, segment) in [".text", ".rdata", ".data"].into_iter().zip(&linked.segments) {
        let theirs = file.section_by_name(name).unwrap_or_else(|| panic!("lld has no {name}"));
        prop_assert_eq!(theirs.address(), segment.address, "{}", name);
        let mut ours = linked.allocation.at(segment.address, segment.size as usize).expect("in the image").to_vec();
        for block in graph.blocks().iter().filter(|block| block.live) {
            for edge in graph.edges()[block.edge_range()].iter().filter(|edge| edge.kind == EdgeKind::IMAGE_OFFSET32) {
                let place = (block.address + u64::from(edge.offset)).wrapping_sub(segment.address) as usize;
                if let Some(field) = ours.get_mut(place..place.wrapping_add(4)) {
                    let value = u32::from_le_bytes(field.try_into().expect("four bytes")) + PAGE as u32;
                    field.copy_from_slice(&value.to_le_bytes());
                }
            }
        }
        let theirs = theirs.data().expect("content");
        prop_assert!(theirs.len() >= ours.len(), "{} has {} bytes there and {} here", name, theirs.len(), ours.len());
        if let Some(at) = ours.iter().zip(theirs).position(|(a, b)| a != b) {
            let window = |bytes: &[u8]| format!("{:02x?}", &bytes[at.saturating_sub(8)..(at + 12).min(bytes.len())]);
            prop_assert!(
                false,
                "{name}+{at:#x} differs\nours {}\nlld  {}\n{}",
                window(&ours),
                window(theirs),
                sources.join("\n--\n")
            );
        }
        compared += ours.len();
    }
    Ok(compared)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn linked_bytes_are_those_of_lld(items in proptest::collection::vec(item(), 1..24)) {
        prop_assert!(compare(&items)? > 0);
    }
}

/// A batch with every way to refer to something, from every kind of section.
#[test]
fn every_type_of_relocation_is_written_as_lld_writes_it() {
    let all = |kind| Item {
        object: kind,
        kind,
        group: None,
        comdat: false,
        align: 3,
        references: (0..12)
            .map(|how| (how, 0, 4))
            .chain((0..12).map(|how| (how, 1, 8)))
            .chain((0..12).map(|how| (how, 2, 12)))
            .collect(),
    };
    let compared = compare(&[all(0), all(1), all(2)]);
    assert!(compared.is_ok_and(|bytes| bytes > 200));
}
