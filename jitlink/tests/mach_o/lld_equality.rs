//! Does LLVM's linker for this format write the same bytes?
//!
//! Objects are linked by `ld64.lld`, and read and pruned here. Then every block is fixed up as if it stood where lld put it, and compared with lld's bytes. Where things are
//! is told by lld's symbol table; what has no name there (strings, constants, tables of switches) is left out, and slots are found by what they hold. The rows that
//! were compared are counted, so that the comparison cannot become empty unnoticed.

use super::support::{ARM64, X86_64, clang, try_read};
use jitlink::arch::{Expr, Machine};
use jitlink::fixup::{self, Operands};
use jitlink::graph::{BlockId, LinkGraph, Scope, SectionKind, SymbolId};
use jitlink::{Link, LinkOptions, Roots};
use object::{Object, ObjectSection, ObjectSymbol};
use std::collections::{BTreeMap, HashMap};
use std::process::Command;

/// What lld made.
struct Linked {
    /// Those that one symbol has.
    names: HashMap<Vec<u8>, u64>,
    /// Name, address and content.
    sections: Vec<(String, u64, Vec<u8>)>,
    /// Slots by what they hold.
    slots: HashMap<u64, u64>,
}

fn lld(arch: &str, objects: &[Vec<u8>], more: &[&str]) -> Linked {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new("ld64.lld-19");
    command.current_dir(&folder).args(["-arch", arch, "-platform_version", "macos", "14.0", "14.0", "-o", "out"]);
    command.args(["-no_fixup_chains", "-ignore_optimization_hints", "-e", "_main", "-U", "__tlv_bootstrap"]);
    command.args(more);
    for (number, object) in objects.iter().enumerate() {
        let name = format!("{number}.o");
        std::fs::write(folder.path().join(&name), object).expect("a writable folder");
        command.arg(name);
    }
    let output = command.output().expect("ld64.lld-19 (package lld-19) is needed for this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file = std::fs::read(folder.path().join("out")).expect("lld's output");
    let file = object::File::parse(&*file).expect("a Mach-O file");
    let section = |section: object::Section<'_, '_>| {
        let name = section.name().expect("a name").to_owned();
        (name, section.address(), section.data().expect("content").to_vec())
    };
    let sections: Vec<_> = file.sections().map(section).collect();
    let mut names: HashMap<Vec<u8>, Option<u64>> = HashMap::new();
    for symbol in file.symbols() {
        let name = symbol.name_bytes().expect("a name").to_vec();
        names.entry(name).and_modify(|known| *known = None).or_insert(Some(symbol.address()));
    }
    let names = names.into_iter().filter_map(|(name, address)| Some((name, address?))).collect();
    let mut slots = HashMap::new();
    for (_, start, content) in sections.iter().filter(|(name, ..)| name == "__got") {
        for (number, word) in (0u64..).zip(content.as_chunks::<8>().0) {
            slots.insert(u64::from_le_bytes(*word), start + 8 * number);
        }
    }
    Linked { names, sections, slots }
}

impl Linked {
    fn bytes(&self, address: u64, size: usize) -> Option<&[u8]> {
        self.sections.iter().find_map(|(_, start, content)| {
            let at = usize::try_from(address.checked_sub(*start)?).ok()?;
            content.get(at..)?.get(..size)
        })
    }
}

/// Where lld has each block: by the names in it, or its section where that is one block.
fn places(graph: &LinkGraph<'_>, lld: &Linked) -> HashMap<BlockId, u64> {
    let mut places = HashMap::new();
    let mut names: HashMap<&[u8], usize> = HashMap::new();
    graph.symbols().iter().for_each(|symbol| *names.entry(symbol.name).or_default() += 1);
    for symbol in graph.symbols().iter().filter(|symbol| names[symbol.name] == 1) {
        let name = [b"_", symbol.name].concat();
        if let (Some(block), Some(address), false) = (symbol.block(), lld.names.get(&name), symbol.name.is_empty()) {
            places.entry(block).or_insert(address - symbol.value);
        }
    }
    for section in graph.sections() {
        let own = section.name.rsplit(|byte| *byte == b',').next().expect("a name");
        let same = |(_, block): &(usize, &jitlink::graph::Block<'_>)| graph.section(block.section).name == section.name;
        let blocks: Vec<_> = graph.blocks().iter().enumerate().filter(same).collect();
        let theirs: Vec<_> = lld.sections.iter().filter(|(name, ..)| name.as_bytes() == own).collect();
        if let ([(index, block)], [(_, address, content)]) = (&blocks[..], &theirs[..])
            && block.size == content.len() as u64
        {
            places.entry(BlockId::from_index(*index)).or_insert(*address);
        }
    }
    places
}

/// Compares every block that lld has a place for; gives how often each row was.
pub(super) fn compare(
    machine: &'static Machine,
    arch: &str,
    objects: &[Vec<u8>],
    more: &[&str],
) -> BTreeMap<&'static str, usize> {
    let lld = lld(arch, objects, more);
    let graph = try_read(machine, objects).unwrap_or_else(|error| panic!("{error}"));
    // What is hidden is kept, too.
    let all = graph.symbols().iter().filter(|symbol| symbol.block().is_some() && symbol.scope > Scope::Local);
    let all: Vec<&[u8]> = all.map(|symbol| symbol.name).collect();
    let roots = Roots { wanted: &all, ..Roots::default() };
    let pruned = Link::new(graph, LinkOptions::default()).prune(&roots).unwrap_or_else(|error| panic!("{error}"));
    let graph = pruned.graph();
    let places = places(graph, &lld);
    let address = |id: SymbolId| {
        let symbol = graph.symbol(id);
        Some(places.get(&symbol.block()?)?.wrapping_add(symbol.value))
    };
    let mut rows = BTreeMap::new();
    for (index, block) in graph.blocks().iter().enumerate() {
        let id = BlockId::from_index(index);
        let Some(content) = block.content.bytes().filter(|_| block.live) else { continue };
        let section = graph.section(block.section);
        let Some(place) = places.get(&id).filter(|_| section.kind != SectionKind::EhFrame) else { continue };
        let theirs = lld.bytes(*place, content.len()).unwrap_or_else(|| panic!("{id} at {place:#x}"));
        let mut ours = content.to_vec();
        for edge in graph.edges_of(id) {
            let row = machine.fixup(edge.kind);
            let at = edge.offset as usize;
            let slot = address(edge.target).and_then(|symbol| lld.slots.get(&symbol).copied());
            let known = address(edge.target).filter(|_| {
                (!row.expr.needs_slot() || slot.is_some()) && !row.expr.is_thread_local() && row.expr != Expr::KeepAlive
            });
            let Some(symbol) = known else {
                let width = usize::from(row.field.width());
                ours[at..at + width].copy_from_slice(&theirs[at..at + width]);
                continue;
            };
            let operands = Operands {
                symbol,
                addend: edge.addend,
                place: place + u64::from(edge.offset),
                slot: slot.unwrap_or(0),
                branch: symbol,
                ..Operands::default()
            };
            fixup::apply(machine, edge.kind, &mut ours, at, &operands)
                .unwrap_or_else(|error| panic!("{id}+{at:#x}: {error}"));
            *rows.entry(row.name).or_default() += 1;
        }
        if let Some(at) = ours.iter().zip(theirs).position(|(a, b)| a != b) {
            let near: Vec<_> =
                graph.edges_of(id).iter().filter(|edge| (edge.offset as usize).abs_diff(at) < 8).collect();
            let window = |bytes: &[u8]| format!("{:02x?}", &bytes[at.saturating_sub(8)..(at + 12).min(bytes.len())]);
            let name = String::from_utf8_lossy(section.name).into_owned();
            panic!("{name} {id}+{at:#x} differs\nours {}\nlld  {}\n{near:?}", window(&ours), window(theirs));
        }
    }
    rows
}

/// C and C++ whose data has names.
fn sources(arch: &str) -> Vec<Vec<u8>> {
    let first = "extern int helper(int, const char *); extern int table[64]; extern double wide[8]; static int counter; char bytes[16]; short halves[8];
        static const char text[] = \"named\"; _Thread_local int each = 3; int *pointer = &table[5]; int (*function)(int, const char *) = helper;
        int local(int x) { counter += x; bytes[x & 15]++; halves[x & 7] += 2; return counter + table[x & 63]; }
        int main(void) { each++; return helper(local(3), text) + *pointer + function(1, text) + (int)wide[2]; }";
    let second = "int table[64] = {1, 2, 3}; double wide[8] = {1.0}; typedef float v __attribute__((vector_size(16))); v vector = {1, 2, 3, 4}; v *where = &vector;
        int helper(int x, const char *s) { switch (x) { case 0: return 5; case 1: return s[0]; case 2: return 9; case 3: return s[1]; case 4: return 1; }
        vector = vector + vector; return x + (int)vector[1]; }";
    let third = "struct B { virtual int f(int x) { return x; } int n = 1; }; struct D : B { int f(int x) override { return n + x; } }; D object; B *base = &object;
        extern \"C\" int helper(int, const char *); extern \"C\" __attribute__((visibility(\"hidden\"))) int use(int x) { return base->f(x) + helper(x, \"x\"); }";
    let flags = ["-O2", "-fno-rtti", "-fno-exceptions"];
    let unoptimized = ["-O0", "-fno-rtti", "-fno-exceptions"];
    vec![
        clang(arch, "c", &["-O2"], first),
        clang(arch, "c", &["-O1"], second),
        clang(arch, "c++", if arch == "x86_64" { &flags } else { &unoptimized }, third),
    ]
}

#[test]
fn bytes_of_x86_64_are_those_of_lld() {
    let mut objects = sources("x86_64");
    // Every relocation type, by hand: operands before immediates of each size, slots that stay, differences.
    let all = ".globl _all\n_all: movb $1, _datum(%rip)\nmovw $2, _datum(%rip)\nmovl $3, _datum+4(%rip)\ncmpq $4, _datum(%rip)\nmovl $5, Ldatum(%rip)\nmovb $6, Ldatum(%rip)\n\
        movq _datum@GOTPCREL(%rip), %rax\npushq _slotted@GOTPCREL(%rip)\njmp _all+3\ncallq _other\nleaq _datum(%rip), %rcx\nret\n_other: ret\n.data\nLdatum: .long 1\n.p2align 3\n.globl _datum\n\
        _datum: .quad _all, _other+2, Ldatum\n.long _all - _datum\n.long _datum - _all\n.quad _all - . + 8\n.globl _slotted\n_slotted: .quad 1\n.subsections_via_symbols";
    objects.push(clang("x86_64", "assembler", &[], all));
    let rows = compare(X86_64, "x86_64", &objects, &[]);
    for row in ["Branch32", "Delta32", "Delta32 (lea)", "GotSlot32", "Pointer64", "Delta64", "NegDelta32"] {
        assert!(rows.get(row).is_some_and(|count| *count > 0), "{row}: {rows:?}");
    }
    assert!(rows.values().sum::<usize>() > 35, "{rows:?}");
}

#[test]
fn bytes_of_arm64_are_those_of_lld() {
    let mut objects = sources("arm64");
    let all = ".globl _all\n.p2align 2\n_all: adrp x0, _datum@PAGE\nadd x0, x0, _datum@PAGEOFF\nldr x1, [x0, _datum@PAGEOFF]\nadrp x2, _datum@PAGE+8\nldr w3, [x2, _datum@PAGEOFF+8]\nldrb w4, [x2, _datum@PAGEOFF+9]\n\
        ldrh w5, [x2, _datum@PAGEOFF+10]\nldr q0, [x2, _datum@PAGEOFF+16]\nadrp x6, _datum@GOTPAGE\nldr x6, [x6, _datum@GOTPAGEOFF]\nb _all+8\nbl _other\nret\n_other: ret\n.data\n.p2align 4\n.globl _datum\n\
        _datum: .quad _all, _other+4, 7, 9\n.long _all - _datum\n.long _datum - _all\n.quad _all - . + 8\n.long _other@GOT - .\n.subsections_via_symbols";
    objects.push(clang("arm64", "assembler", &[], all));
    let rows = compare(ARM64, "arm64", &objects, &[]);
    for row in [
        "Branch26",
        "Page21",
        "PageOffset12",
        "PageOffset12 (of a slot)",
        "PageOffset12 (8 bits)",
        "PageOffset12 (16 bits)",
        "PageOffset12 (32 bits)",
        "PageOffset12 (64 bits)",
        "PageOffset12 (128 bits)",
        "Pointer64",
        "Delta64",
        "Delta32",
        "NegDelta32",
        "GotSlot32",
    ] {
        assert!(rows.get(row).is_some_and(|count| *count > 0), "{row}: {rows:?}");
    }
    assert!(rows.values().sum::<usize>() > 50, "{rows:?}");
}
