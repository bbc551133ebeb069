//! Sections and the symbols that name them: many, aligned, far away, without a name.

use super::support::{BASE, Program, assemble, finish, graph, link, objects};
use jitlink::memory::{FlatImage, InFlight, Memory, MemoryError, Request, Segment};
use jitlink::{FlatMemory, Link, LinkOptions, Roots};
use object::write::{Object, Relocation, Symbol, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, RelocationFlags, SectionKind, SymbolFlags, SymbolScope};
use std::cell::RefCell;

#[test]
fn sections_are_referred_to_by_their_symbols() {
    let source = ".data\n.quad 1\nlocal: .quad 2\n.section other,\"aw\"\nthere: .quad 3\n.data\n.globl p\np: .quad local, there, .data";
    let objects = objects([source, source]);
    let [first, second] = objects;
    let second = ("b.o", second.1);
    for object in [first, second] {
        let all = [object];
        let program = link(&all);
        let p = program.address("p");
        let [local, there, data] = [0, 8, 16].map(|at| program.word(p + at));
        assert_eq!((program.word(local), program.word(there), data), (2, 3, local - 8));
    }
}

#[test]
fn symbol_number_zero_is_zero() {
    let objects = objects([".data\n.globl p\np: .reloc ., R_X86_64_64, 42\n.quad 0\n.reloc ., R_X86_64_NONE\n.quad 1"]);
    let program = link(&objects);
    let p = program.address("p");
    assert_eq!((program.word(p), program.word(p + 8)), (42, 1));
}

#[test]
fn sections_of_one_name_and_other_flags_stay_apart() {
    let source = ".section mine,\"aw\",@progbits,unique,1\n.globl w\nw: .quad 1\n.section mine,\"a\",@progbits,unique,2\n.globl r\n\
                  r: .quad 2\n.section mine,\"ax\",@progbits,unique,3\n.globl x\nx: .quad 3";
    let objects = objects([source]);
    let program = link(&objects);
    let segment = |name: &str| {
        let address = program.address(name);
        let found = program.0.segments.iter().find(|s| s.address <= address && address < s.address + s.size);
        found.expect("in a segment").prot
    };
    use jitlink::graph::Prot;
    assert_eq!(segment("w"), Prot::READ | Prot::WRITE);
    assert_eq!(segment("r"), Prot::READ);
    assert_eq!(segment("x"), Prot::READ | Prot::EXEC);
    assert_eq!(["w", "r", "x"].map(|name| program.word_at(name)), [1, 2, 3]);
}

#[test]
fn alignment_goes_up_to_a_gibibyte() {
    let objects = objects([".bss\n.p2align 30\n.globl x\nx: .zero 8\n.data\n.p2align 16\n.globl y\ny: .quad x"]);
    let program = link(&objects);
    assert_eq!((program.address("x") % (1 << 30), program.address("y") % (1 << 16)), (0, 0));
    assert_eq!(program.word_at("y"), program.address("x"));
}

/// More sections than `e_shnum` and `st_shndx` can count (gABI "Special Section Indexes"): an escape leads to wider numbers.
#[test]
fn section_numbers_need_not_fit_sixteen_bits() {
    const COUNT: u64 = 66_000;
    let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    let mut previous = None;
    for i in 0..COUNT {
        let section = object.add_section(Vec::new(), format!("d{i}").into_bytes(), SectionKind::Data);
        object.append_section_data(section, &i.to_le_bytes(), 8);
        object.append_section_data(section, &[0; 8], 8);
        let symbol = object.add_symbol(Symbol {
            name: format!("s{i}").into_bytes(),
            value: 0,
            size: 16,
            kind: object::SymbolKind::Data,
            scope: SymbolScope::Dynamic,
            weak: false,
            section: SymbolSection::Section(section),
            flags: SymbolFlags::None,
        });
        if let Some(previous) = previous.replace(symbol) {
            let flags = RelocationFlags::Elf { r_type: object::elf::R_X86_64_64 };
            object
                .add_relocation(section, Relocation { offset: 8, symbol: previous, addend: 0, flags })
                .expect("of ELF");
        }
    }
    let objects = [("many.o", object.write().expect("a sound object"))];
    let program = link(&objects);
    assert_eq!(program.0.graph().sections().len() as u64, COUNT);
    for i in [1, 2, 0xfeff, 0xff00, 0xff01, 0xfff0, 0xfff1, 0xfff2, 0xffff, 0x1_0000, 0x1_0001, COUNT - 1] {
        let address = program.address(&format!("s{i}"));
        assert_eq!(program.word(address), i);
        assert_eq!(program.word(address + 8), program.address(&format!("s{}", i - 1)), "s{i}");
    }
}

/// A [`FlatMemory`] that remembers what it was asked for.
struct Asked(FlatMemory, RefCell<Vec<Segment>>);

impl Memory for Asked {
    type InFlight = FlatImage;
    fn reserve(&self, request: &Request<'_>) -> Result<FlatImage, MemoryError> {
        assert!(!request.low);
        self.1.borrow_mut().extend_from_slice(request.segments);
        self.0.reserve(request)
    }
}

#[test]
fn large_sections_may_be_far_away_and_nothing_else() {
    let source = "
        .section .ldata,\"awl\"
        .globl big
        big: .quad near
        .section .lbss,\"awl\",@nobits
        .globl zeros
        zeros: .zero 0x100000
        .section .lrodata,\"al\"
        .globl constant
        constant: .quad 7
        .data
        .globl near
        near: .quad big, zeros
        .text
        .globl f
        f: movabs $constant, %rax
        ret
    ";
    let objects = objects([source]);
    let memory = Asked(FlatMemory::new(BASE << 20), RefCell::default());
    let link = Link::new(graph(&objects).expect("sound"), LinkOptions::default());
    let placed = link.prune(&Roots::default()).expect("complete").place(&memory).expect("memory");
    let program = Program(placed.resolve(|_| None).expect("complete").finalize().expect("in range"));
    let segments = memory.1.into_inner();
    let far_of = |name: &str| {
        let address = program.address(name);
        let linked = program.0.segments.iter().position(|s| s.address <= address && address < s.address + s.size);
        segments[linked.expect("in a segment")].far
    };
    assert_eq!(["big", "zeros", "constant", "near", "f"].map(far_of), [true, true, true, false, false]);
    assert_eq!(program.word_at("big"), program.address("near"));
    assert_eq!(program.word(program.address("f") + 2), program.address("constant"));
}

#[test]
fn what_is_not_loaded_costs_nothing() {
    let source = ".section .debug_info,\"\"\n.long 1\n.quad nobody\n.section .comment,\"MS\",@progbits,1\n.string \"x\"\n.data\n.globl p\np: .quad 1";
    let objects = objects([source]);
    let graph = graph(&objects).expect("sound");
    assert!(graph.sections().iter().all(|section| !section.name.starts_with(b".debug") && section.name != b".comment"));
    let program = finish(graph, &Roots::default(), |external| panic!("{external:?} is asked for by nobody"));
    assert_eq!(program.expect("complete").word_at("p"), 1);
}

#[test]
fn small_constants_below_two_gibibytes_make_a_link_low() {
    let objects = [("a.o", assemble(".data\n.globl p\np: .long p, 0"))];
    let pruned = Link::new(graph(&objects).expect("sound"), LinkOptions::default()).prune(&Roots::default());
    assert!(pruned.expect("complete").needs_low());
    let pruned = Link::new(graph(&objects).expect("sound"), LinkOptions::default()).prune(&Roots::default());
    let error = pruned.expect("complete").place(&FlatMemory::new(1 << 31)).expect_err("too high").to_string();
    assert_eq!(
        error,
        "non-PIC code needs addresses below 2 GiB, this memory ends at 0x80000008: choose a lower base or compile with -fPIC"
    );
}

#[test]
fn a_memory_that_is_dropped_in_flight_is_given_back() {
    use std::rc::Rc;
    struct Counting(Rc<()>);
    struct Pending(FlatImage, Rc<()>);
    impl Memory for Counting {
        type InFlight = Pending;
        fn reserve(&self, request: &Request<'_>) -> Result<Pending, MemoryError> {
            Ok(Pending(FlatMemory::new(BASE).reserve(request)?, Rc::clone(&self.0)))
        }
    }
    impl InFlight for Pending {
        type Allocation = Rc<()>;
        fn address(&self, segment: usize) -> u64 {
            self.0.address(segment)
        }
        fn bytes(&mut self, segment: usize) -> &mut [u8] {
            self.0.bytes(segment)
        }
        fn finalize(self) -> Result<Rc<()>, MemoryError> {
            Ok(self.1)
        }
    }
    let objects = objects([".data\n.globl p\np: .quad nobody"]);
    let memory = Counting(Rc::new(()));
    let pruned = Link::new(graph(&objects).expect("sound"), LinkOptions::default()).prune(&Roots::default());
    let placed = pruned.expect("nothing is required").place(&memory).expect("memory");
    assert_eq!(Rc::strong_count(&memory.0), 2);
    assert!(placed.resolve(|_| None).is_err());
    assert_eq!(Rc::strong_count(&memory.0), 1);
}
