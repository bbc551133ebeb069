//! Is an image of aarch64 or riscv64 that was moved the one that would have been linked there?
//!
//! What compilers make is linked twice: at other addresses, with other distances between segments, and with externals and thread-local storage elsewhere. What the first link
//! tells of its fields ([`jitlink::moving`]), applied to its bytes, has to give the bytes of the second. x86-64 has `ld_equality/moved.rs`.

#[path = "support/stored.rs"]
mod stored;
mod support;

use jitlink::arch::{self, Field as Width, Machine};
use jitlink::graph::{Definition, SymbolKind};
use jitlink::memory::ThreadLocal;
use jitlink::moving::Field;
use jitlink::{FlatMemory, Link, LinkGraph, LinkOptions, Resolution, Roots};
use std::collections::BTreeSet;
use stored::Stored;
use support::compile_with;

const HIGH: u64 = 0x3f_0000_0000;
const LOW: u64 = 0x10_0000;

const SOURCES: [(&str, &str); 4] = [
    ("c", include_str!("sources/calls.c")),
    ("c", include_str!("sources/data.c")),
    ("c++", include_str!("sources/throws.cc")),
    ("c++", include_str!("sources/templates.cc")),
];

/// Where an image and what it refers to are.
#[derive(Clone, Copy)]
struct Place {
    base: u64,
    page_size: u64,
    /// The first of the externals, from the base.
    externals: u64,
    /// From the thread pointer to thread-local storage.
    distance: i64,
}

/// Objects, and one that defines the thread-local variables that they leave to others.
fn objects(machine: &'static Machine, compiler: &str, flags: &str) -> Vec<Vec<u8>> {
    let target = format!("--target={}-linux-gnu", machine.name);
    let flags: Vec<&str> = flags.split(' ').collect();
    let one = |(language, source): &(&str, &str)| match (compiler, *language) {
        ("clang", _) => compile_with("clang-19", language, &[&[&*target], &*flags].concat(), source),
        (_, "c") => compile_with(&format!("{}-linux-gnu-gcc", machine.name), language, &flags, source),
        _ => compile_with(&format!("{}-linux-gnu-g++", machine.name), language, &flags, source),
    };
    let mut objects: Vec<Vec<u8>> = SOURCES.iter().map(one).collect();
    let mut graph = LinkGraph::new(machine);
    for object in &objects {
        jitlink::object::read(&mut graph, "o", object, Default::default()).expect("a sound object");
    }
    let undefined = graph.symbols().iter().filter(|symbol| symbol.definition == Definition::Undefined);
    let define = |name: &str| format!(".globl {name}\n.type {name}, @object\n{name}: .zero 8\n");
    let variables: String = undefined
        .filter(|symbol| symbol.kind == SymbolKind::ThreadLocal)
        .map(|symbol| define(std::str::from_utf8(symbol.name).expect("ASCII")))
        .collect();
    let storage = format!(".section .tbss,\"awT\",@nobits\n.p2align 3\n{variables}");
    objects.push(compile_with("clang-19", "assembler", &[&target], &storage));
    objects
}

fn link(machine: &'static Machine, objects: &[Vec<u8>], place: Place, plain: bool) -> Result<Stored, String> {
    let mut graph = LinkGraph::new(machine);
    for (number, object) in objects.iter().enumerate() {
        let read = jitlink::object::read(&mut graph, &format!("{number}.o"), object, Default::default());
        read.map_err(|error| error.to_string())?;
    }
    let text = |error: jitlink::LinkError| error.to_string();
    let thread_local = Some(ThreadLocal {
        module: place.distance as u64 >> 4,
        offset: place.distance as u64 * 2,
        distance: Some(place.distance),
    });
    let memory = FlatMemory { page_size: place.page_size, thread_local, ..FlatMemory::new(place.base) };
    let mut moving = Err("nobody looked");
    let mut names = (0..).map(|number| place.base + place.externals + 0x1010 * number);
    let linked = Link::new(graph, LinkOptions { plain, ..LinkOptions::default() })
        .prune(&Roots::default())
        .map_err(text)?
        .place(&memory)
        .map_err(text)?
        .resolve(|_| Some(Resolution::new(names.next()?, true)))
        .map_err(text)?
        .finalize_seen(|written| moving = written.moving())
        .map_err(text)?;
    Ok(Stored { machine, image: linked.allocation, thread_local, moving })
}

/// Moves an image; gives the rows of whose fields some have moved.
fn check(machine: &'static Machine, compiler: &str, flags: &str, (from, to): (Place, Place)) -> BTreeSet<&'static str> {
    let objects = objects(machine, compiler, flags);
    let mut rows = BTreeSet::new();
    // Descriptors, which aarch64's compilers use unless they are told not to, are done without, or are a function of the executor's.
    let descriptors = machine.name == "aarch64" && flags.ends_with("-fPIC");
    for plain in if descriptors { &[false][..] } else { &[false, true] } {
        let plain = *plain;
        let what = format!("{}, {compiler} {flags}, plain: {plain}", machine.name);
        let link = |place| link(machine, &objects, place, plain).unwrap_or_else(|error| panic!("{what}: {error}"));
        let (first, second) = (link(from), link(to));
        for (here, there) in [(&first, &second), (&second, &first)] {
            let moved = here.moved(there).unwrap_or_else(|why| panic!("{what}: {why}"));
            for (number, bytes) in moved.iter().enumerate() {
                let linked = there.segment(number).1;
                if let Some(at) = bytes.iter().zip(linked).position(|(a, b)| a != b) {
                    let window = |bytes: &[u8]| format!("{:02x?}", &bytes[at & !7..(at & !7) + 8]);
                    let before = window(here.segment(number).1);
                    let (moved, linked) = (window(bytes), window(linked));
                    panic!("{what}: {number}+{at:#x}: before {before}, moved {moved}, linked there {linked}");
                }
            }
            assert!(moved.iter().enumerate().any(|(number, bytes)| bytes != here.segment(number).1), "{what}");
        }
        let groups = &first.moving.as_ref().expect("it was moved").groups;
        rows.extend(
            groups
                .iter()
                .filter_map(|group| match group.field {
                    Field::Row(kind) => Some(machine.fixup(kind)).filter(|row| matches!(row.field, Width::Bits(_))),
                    _ => None,
                })
                .map(|row| row.name),
        );
    }
    rows
}

/// The same distances between segments or others; externals in reach of calls, and out of it where code is independent of its place.
fn check_all(machine: &'static Machine, cases: &[(&str, u64)]) -> BTreeSet<&'static str> {
    let mut rows = BTreeSet::new();
    for (flags, base) in cases {
        let near = Place { base: *base, page_size: 0x1000, externals: 0x200_0000, distance: 0x10 };
        let moved = Place { base: base + 0x35_b000, page_size: 0x8000, externals: 0x200_1ff0, distance: 0x1230 };
        let mut pairs = vec![(near, moved), (near, Place { externals: 0x1ff_f7f0, ..near })];
        if flags.contains("-fPIC") {
            let far = 0x50_0000_0000;
            pairs.push((Place { externals: far, ..near }, Place { externals: far + 0x1_2345_67f0, ..moved }));
        }
        let compilers = if flags.contains("-mtls-dialect") { &["gcc"][..] } else { &["gcc", "clang"] };
        for compiler in compilers {
            for pair in &pairs {
                rows.extend(check(machine, compiler, flags, *pair));
            }
        }
    }
    rows
}

#[test]
fn a_moved_image_of_aarch64_is_the_one_that_is_linked_there() {
    let cases = [
        ("-O2 -fPIC", HIGH),
        ("-O0 -fPIC", HIGH),
        ("-O2 -fPIC -mtls-dialect=trad", HIGH),
        ("-O2 -fno-pie", LOW),
        ("-Os -fPIE -ffunction-sections", HIGH),
    ];
    let rows = check_all(&arch::aarch64::MACHINE, &cases);
    assert!(rows.len() > 8 && rows.contains("Page21"), "{rows:?}");
}

#[test]
fn a_moved_image_of_riscv64_is_the_one_that_is_linked_there() {
    let cases = [
        ("-O2 -fPIC", HIGH),
        ("-O0 -fPIC -mno-relax", HIGH),
        ("-O2 -fno-pie -mcmodel=medlow", LOW),
        ("-O2 -fno-pie -mcmodel=medany -falign-loops=16", HIGH),
    ];
    let rows = check_all(&arch::riscv64::MACHINE, &cases);
    assert!(rows.len() > 8 && rows.contains("DeltaUpper20"), "{rows:?}");
}
