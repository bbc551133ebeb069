//! Does it matter how many threads link, or in which order pieces are done?

#[path = "support/mod.rs"]
mod support;

use jitlink::graph::{Edges, LinkGraph};
use jitlink::memory::ThreadLocal;
use jitlink::object::{ReadOptions, Relocations, read_names};
use jitlink::workers::Alone;
use jitlink::{FlatMemory, Link, LinkError, LinkOptions, Resolution, Roots, Workers, arch};
use object::{Object as _, ObjectSection as _};
use std::fmt::Write as _;
use std::sync::Mutex;
use support::{BASE, Named, assemble, compile};

/// Threads that take turns: number n does every piece n, n + count, ...
struct Threads(usize);

impl Workers for Threads {
    fn count(&self) -> usize {
        self.0
    }

    fn run(&self, pieces: usize, work: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            for first in 0..self.0 {
                scope.spawn(move || (first..pieces).step_by(self.0).for_each(work));
            }
        });
    }
}

/// One thread that begins at the end, and notes how many pieces there were.
struct Backwards(Mutex<Vec<usize>>);

impl Workers for Backwards {
    fn count(&self) -> usize {
        4
    }

    fn run(&self, pieces: usize, work: &(dyn Fn(usize) + Sync)) {
        self.0.lock().expect("one thread").push(pieces);
        (0..pieces).rev().for_each(work);
    }
}

const FUNCTIONS: usize = 3000;

/// Megabytes in thousands of sections of each kind, which refer to each other, with gaps and blocks of zeros between, in four objects.
/// `far` names functions that refer to the absolute name `far` in a way that only reaches 2 GiB.
fn bulk(far: &[usize]) -> Vec<Named> {
    let part = |of: std::ops::Range<usize>| {
        let mut source = String::new();
        for i in of {
            let (next, other) = ((i + 1) % FUNCTIONS, i * 7 % FUNCTIONS);
            let wrong = if far.contains(&i) { "mov far, %eax" } else { "nop" };
            let size = 400 + i % 13;
            let _ = write!(
                source,
                ".section .text.f{i},\"ax\"\n.globl f{i}\nf{i}: .cfi_startproc\n call f{next}\n .rept 16\n .cfi_def_cfa_offset 16\n .endr\n\
                 lea d{other}(%rip), %rax\n mov r{i}@GOTPCREL(%rip), %rax\n call outside@PLT\n{wrong}\n .fill {size}, 1, 0x90\n ret\n .cfi_endproc\n\
                 .section .data.d{i},\"aw\"\n.balign 16\n.globl d{i}\nd{i}: .quad f{other}, r{other} + 8, d{next}\n .fill {size}, 1, {fill}\n\
                 .section .rodata.r{i},\"a\"\n.balign 8\n.globl r{i}\nr{i}: .long f{other} - .\n .fill {size}, 1, {fill}\n\
                 .section .bss.z{i},\"aw\",@nobits\n .zero 24\n",
                fill = i % 251,
            );
        }
        assemble(&source)
    };
    let quarter = FUNCTIONS / 4;
    let names = ["a.o", "b.o", "c.o", "d.o"].into_iter().enumerate();
    names.map(|(number, name)| (name, part(number * quarter..(number + 1) * quarter))).collect()
}

fn exceptions() -> Vec<u8> {
    let source = "#include <map>\n#include <string>\n#include <stdexcept>\n\
         static std::map<std::string, int> table; thread_local int calls = 3; inline int shared = 4;\n\
         int unit(char const* key) { if (!*key) throw std::invalid_argument(\"empty\"); return table[key] += shared++ + calls++; }\n";
    compile("c++", &["-O1", "-ffunction-sections", "-std=c++17", "-fPIC"], source)
}

/// The image, and everything that is told of it.
fn linked(objects: &[Named], workers: &dyn Workers) -> Result<(Vec<u8>, String), String> {
    let text = |error: LinkError| error.to_string();
    let graph = support::graph(objects).unwrap_or_else(|error| panic!("{error}"));
    let memory = FlatMemory::new(BASE).with_thread_local(ThreadLocal { module: 1, offset: 0, distance: Some(-4096) });
    let placed = Link::new(graph, LinkOptions::default())
        .with_workers(workers)
        .prune(&Roots::default())
        .and_then(|link| link.place(&memory))
        .map_err(text)?;
    let outside = |name: &[u8]| if name == b"far" { 1 << 40 } else { BASE - 64 * name.len() as u64 };
    let resolved = placed.resolve(|external| Some(Resolution::new(outside(external.name), external.name != b"far")));
    let linked = resolved.and_then(Link::finalize).map_err(text)?;
    let told = format!("{:?} {:?} {}", linked.segments, linked.eh_frame, linked.graph().dump());
    Ok((linked.allocation.bytes.clone(), told))
}

#[test]
fn any_number_of_workers_writes_the_same_bytes() {
    let mut objects = bulk(&[]);
    objects.push(("exceptions.o", exceptions()));
    let alone = linked(&objects, &Alone).expect("complete");
    assert!(alone.0.len() > 3 << 20, "worth cutting: {}", alone.0.len());
    for count in [1, 2, 3, 8] {
        assert!(linked(&objects, &Threads(count)).as_ref() == Ok(&alone), "{count} threads");
    }
    let backwards = Backwards(Mutex::default());
    assert!(linked(&objects, &backwards).as_ref() == Ok(&alone), "from the end");
    let pieces = backwards.0.into_inner().expect("one thread");
    assert!(pieces.len() >= 4 && pieces.iter().all(|count| *count >= 2), "frames, text, constants, data: {pieces:?}");
}

#[test]
fn a_small_link_is_not_cut() {
    struct Nobody;
    impl Workers for Nobody {
        fn count(&self) -> usize {
            64
        }
        fn run(&self, pieces: usize, _: &(dyn Fn(usize) + Sync)) {
            panic!("{pieces} pieces of a small link");
        }
    }
    let objects = [("exceptions.o", exceptions())];
    assert!(linked(&objects, &Nobody) == linked(&objects, &Alone));
}

#[test]
fn of_two_errors_the_first_is_told() {
    let objects = bulk(&[2900, 700]);
    let alone = linked(&objects, &Alone).expect_err("far is out of reach");
    assert!(alone.contains(".text.f700"), "{alone}");
    for count in [1, 2, 3, 8] {
        assert_eq!(linked(&objects, &Threads(count)), Err(alone.clone()), "{count} threads");
    }
    assert_eq!(linked(&objects, &Backwards(Mutex::default())), Err(alone));
}

#[test]
fn of_two_damaged_tables_of_call_frames_the_first_is_told() {
    let mut objects = bulk(&[]);
    for (_, data) in &mut objects[1..3] {
        // The first record after the common one ("zR", version 1) becomes longer than the section.
        let version = data.windows(4).position(|bytes| bytes == b"\x01zR\0").expect("call frames");
        let common = version - 8;
        let length = u32::from_le_bytes(data[common..common + 4].try_into().expect("four bytes")) as usize;
        data[common + 4 + length + 3] = 0x7f;
    }
    let alone = linked(&objects, &Alone).expect_err("damaged");
    assert!(alone.starts_with("b.o: section .eh_frame+0x18: "), "{alone}");
    for count in [2, 3, 8] {
        assert_eq!(linked(&objects, &Threads(count)), Err(alone.clone()), "{count} threads");
    }
}

/// Reads names first and relocations later, in groups of `size` objects on a thread each.
fn read_in_groups(objects: &[Named], size: usize) -> Result<String, String> {
    let mut graph = LinkGraph::new(&arch::x86_64::MACHINE);
    let mut relocations = Vec::new();
    for (name, data) in objects {
        let read = read_names(&mut graph, name, data, ReadOptions::default()).map_err(|error| error.to_string())?;
        relocations.push(read.1);
    }
    let mut groups: Vec<Vec<Relocations<'_>>> = Vec::new();
    for one in relocations {
        match groups.last_mut().filter(|group| group.len() < size) {
            Some(group) => group.push(one),
            None => groups.push(vec![one]),
        }
    }
    let mut all = Edges::default();
    let read = |group: Vec<Relocations<'_>>| {
        let mut edges = Edges::default();
        group.into_iter().for_each(|one| one.read(&mut edges));
        edges
    };
    let edges = jitlink::workers::map(&Threads(4), groups, read);
    edges.into_iter().for_each(|edges| all.append(edges));
    graph.add_edges(all).map_err(|error| error.to_string())?;
    assert_eq!(graph.verify(), Ok(()));
    Ok(graph.dump().to_string())
}

/// Six objects; relocations without a symbol are in two of them.
fn six() -> Vec<Named> {
    let plain = |i: usize| {
        let zero = if i % 3 == 1 { ".reloc ., R_X86_64_64, 5\n .quad 0\n" } else { "" };
        format!(
            ".data\n.globl d{i}\nd{i}: .quad d{}, d{i} + 3\n{zero}.text\n.globl f{i}\nf{i}: call f{}\n",
            (i + 1) % 6,
            (i + 2) % 6
        )
    };
    support::objects([0, 1, 2, 3, 4, 5].map(plain).each_ref().map(String::as_str)).into_iter().collect()
}

#[test]
fn relocations_may_be_read_later_and_in_groups() {
    let objects = six();
    let whole = read_in_groups(&objects, 6).expect("well-formed");
    for size in [1, 2, 4] {
        assert_eq!(read_in_groups(&objects, size).as_ref(), Ok(&whole), "groups of {size}");
    }
    // Without the symbols that are made late it is the same graph as when each object is read as a whole.
    let without: Vec<Named> = objects.into_iter().filter(|(name, _)| !["b.o", "e.o"].contains(name)).collect();
    let whole = support::graph(&without).expect("well-formed").dump().to_string();
    assert_eq!(read_in_groups(&without, 2), Ok(whole));
}

#[test]
fn of_two_wrong_objects_the_first_is_told() {
    let mut objects = six();
    for name in ["e.o", "c.o"] {
        let data = &mut objects.iter_mut().find(|(known, _)| *known == name).expect("one of six").1;
        // The type of the first relocation (Elf64_Rela: the offset, then the information) becomes one that does not exist.
        let file = object::File::parse(&**data).expect("an object");
        let table = file.section_by_name(".rela.data").and_then(|section| section.file_range());
        let entry = table.expect("relocations").0 as usize + 8;
        data[entry] = 250;
    }
    let told = read_in_groups(&objects, 6).expect_err("unknown");
    assert!(told.starts_with("c.o: ") && told.contains("250"), "{told}");
    for size in [1, 2, 4] {
        assert_eq!(read_in_groups(&objects, size), Err(told.clone()), "groups of {size}");
    }
    assert_eq!(support::graph(&objects).map(drop).map_err(|error| error.to_string()), Err(told));
}
