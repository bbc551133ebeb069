//! Large inputs on a small stack: chains, many sections, many calls, many sets. What takes time that grows with the square of the
//! input, or stack that grows with its depth, does not come to an end here.

#[path = "support/mod.rs"]
mod support;

use jitlink::graph::LinkGraph;
use jitlink::object::ReadOptions;
use jitlink::{Keep, Roots, arch};
use object::write::{Comdat, Object, Relocation, SectionId, Symbol, SymbolId, SymbolSection};
use object::{
    Architecture, BinaryFormat, ComdatKind, Endianness, RelocationFlags, SectionKind, SymbolFlags, SymbolKind,
    SymbolScope,
};
use support::{Named, Program, finish, link_with};

/// Runs `f` on a thread with a stack of 512 KiB.
fn on_a_small_stack(f: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(512 << 10).spawn(f).expect("a thread");
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn new_object() -> Object<'static> {
    Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little)
}

fn symbol(object: &mut Object<'_>, name: String, section: Option<SectionId>, value: u64) -> SymbolId {
    object.add_symbol(Symbol {
        name: name.into_bytes(),
        value,
        size: 0,
        kind: SymbolKind::Text,
        scope: SymbolScope::Dynamic,
        weak: false,
        section: section.map_or(SymbolSection::Undefined, SymbolSection::Section),
        flags: SymbolFlags::None,
    })
}

fn text(object: &mut Object<'_>, name: String, code: &[u8]) -> SectionId {
    let section = object.add_section(Vec::new(), name.into_bytes(), SectionKind::Text);
    object.append_section_data(section, code, 1);
    section
}

fn call(object: &mut Object<'_>, section: SectionId, offset: u64, symbol: SymbolId) {
    let flags = RelocationFlags::Elf { r_type: object::elf::R_X86_64_PLT32 };
    object.add_relocation(section, Relocation { offset, symbol, addend: -4, flags }).expect("of ELF");
}

/// The function that the call at `address` goes to.
fn callee(program: &Program<'_>, address: u64) -> u64 {
    assert_eq!(program.bytes(address, 1), [0xe8]);
    let distance = i32::from_le_bytes(program.bytes(address + 1, 4).try_into().expect("four bytes"));
    (address + 5).wrapping_add_signed(distance.into())
}

const CALL: [u8; 6] = [0xe8, 0, 0, 0, 0, 0xc3]; // call ?; ret

#[test]
fn a_chain_of_objects_each_needing_the_next() {
    const COUNT: usize = 100_000;
    on_a_small_stack(|| {
        // Names of one length, so that all objects are copies of one template.
        let mut template = new_object();
        let code = text(&mut template, ".text".into(), &CALL);
        symbol(&mut template, "fn_this__".into(), Some(code), 0);
        let next = symbol(&mut template, "fn_next__".into(), None, 0);
        call(&mut template, code, 1, next);
        let template = template.write().expect("a sound object");
        let place =
            |name: &[u8]| template.windows(name.len()).position(|window| window == name).expect("in the strings");
        let (this_at, next_at) = (place(b"fn_this__"), place(b"fn_next__"));
        let name = |i: usize| format!("fn_{i:06}");
        let objects: Vec<Vec<u8>> = (0..COUNT)
            .map(|i| {
                let mut data = template.clone();
                data[this_at..this_at + 9].copy_from_slice(name(i).as_bytes());
                data[next_at..next_at + 9].copy_from_slice(name((i + 1) % COUNT).as_bytes());
                data
            })
            .collect();
        let mut graph = LinkGraph::new(&arch::x86_64::MACHINE);
        let mut wanted = 0;
        for (i, data) in objects.iter().enumerate() {
            jitlink::object::read(&mut graph, &name(i), data, ReadOptions { explicit: false }).expect("sound");
            wanted += graph.take_wanted().len();
        }
        assert_eq!(wanted, COUNT - 1, "each object but the last wants a name that is new");
        let roots = Roots { required: &[b"fn_000000"], keep: Keep::Named, ..Roots::default() };
        let program = finish(graph, &roots, |_| None).expect("complete");
        let mut at = program.address("fn_000000");
        for i in 1..=COUNT {
            at = callee(&program, at);
            assert_eq!(at, program.address(&name(i % COUNT)));
        }
    });
}

#[test]
fn one_object_of_functions_each_in_its_own_section() {
    const COUNT: usize = 100_000;
    on_a_small_stack(|| {
        let mut object = new_object();
        let mut previous = None;
        for i in 0..COUNT {
            let section = text(&mut object, format!(".text.f{i}"), &CALL);
            let id = symbol(&mut object, format!("f{i}"), Some(section), 0);
            call(&mut object, section, 1, previous.unwrap_or(id));
            previous = Some(id);
        }
        let objects: [Named; 1] = [("sections.o", object.write().expect("a sound object"))];
        let middle = format!("f{}", COUNT / 2);
        let roots = Roots { required: &[middle.as_bytes()], keep: Keep::Named, ..Roots::default() };
        let program = link_with(&objects, &roots, |_| None).expect("complete");
        let live = program.0.graph().blocks().iter().filter(|block| block.live).count();
        assert_eq!(live, COUNT / 2 + 1, "the half that is reached");
        assert_eq!(callee(&program, program.address(&middle)), program.address(&format!("f{}", COUNT / 2 - 1)));
    });
}

#[test]
fn many_calls_in_one_section() {
    const COUNT: usize = 64_000;
    let mut object = new_object();
    let code: Vec<u8> = [&CALL[..5]].concat().repeat(COUNT);
    let section = text(&mut object, ".text".into(), &code);
    let target = symbol(&mut object, "target".into(), Some(section), 5 * (COUNT as u64 - 1));
    for i in 0..COUNT as u64 {
        call(&mut object, section, 5 * i + 1, target);
    }
    let objects: [Named; 1] = [("calls.o", object.write().expect("a sound object"))];
    let program = link_with(&objects, &Roots::default(), |_| None).expect("complete");
    let target = program.address("target");
    let start = target - 5 * (COUNT as u64 - 1);
    assert!((0..COUNT as u64).all(|i| callee(&program, start + 5 * i) == target));
}

#[test]
fn many_sets_with_bounds() {
    const COUNT: usize = 50_000;
    let mut object = new_object();
    let users = object.add_section(Vec::new(), b".data".to_vec(), SectionKind::Data);
    object.append_section_data(users, &vec![0; 16 * COUNT], 8);
    symbol(&mut object, "users".into(), Some(users), 0);
    for i in 0..COUNT {
        let member = object.add_section(Vec::new(), format!("set_{i}").into_bytes(), SectionKind::Data);
        object.append_section_data(member, &[1; 8], 8);
        for (which, prefix) in [(0, "__start_"), (1, "__stop_")] {
            let symbol = symbol(&mut object, format!("{prefix}set_{i}"), None, 0);
            let flags = RelocationFlags::Elf { r_type: object::elf::R_X86_64_64 };
            let offset = 16 * i as u64 + 8 * which;
            object.add_relocation(users, Relocation { offset, symbol, addend: 0, flags }).expect("of ELF");
        }
    }
    let objects: [Named; 1] = [("sets.o", object.write().expect("a sound object"))];
    let roots = Roots { required: &[b"users"], keep: Keep::Named, ..Roots::default() };
    let program = link_with(&objects, &roots, |_| None).expect("complete");
    let users = program.address("users");
    for i in 0..COUNT as u64 {
        let (start, stop) = (program.word(users + 16 * i), program.word(users + 16 * i + 8));
        assert_eq!((stop - start, program.word(start)), (8, 0x0101_0101_0101_0101));
    }
}

#[test]
fn one_group_of_many_members() {
    const COUNT: usize = 60_000;
    let mut object = new_object();
    let mut sections = Vec::new();
    for i in 0..COUNT {
        sections.push(text(&mut object, format!(".text.m{i}"), &[0xc3]));
    }
    let signature = symbol(&mut object, "m".into(), Some(sections[COUNT / 2]), 0);
    object.add_comdat(Comdat { kind: ComdatKind::Any, symbol: signature, sections });
    let objects: [Named; 1] = [("group.o", object.write().expect("a sound object"))];
    let roots = Roots { required: &[b"m"], keep: Keep::Named, ..Roots::default() };
    let program = link_with(&objects, &roots, |_| None).expect("complete");
    assert_eq!(program.0.graph().blocks().iter().filter(|block| block.live).count(), COUNT);
}

#[test]
fn many_unresolved_names_are_all_told() {
    const COUNT: usize = 50_000;
    let mut object = new_object();
    let section = text(&mut object, ".text".into(), &CALL[..5].repeat(COUNT));
    symbol(&mut object, "caller".into(), Some(section), 0);
    for i in 0..COUNT {
        let missing = symbol(&mut object, format!("missing_{i}"), None, 0);
        call(&mut object, section, 5 * i as u64 + 1, missing);
    }
    let objects: [Named; 1] = [("missing.o", object.write().expect("a sound object"))];
    let said = link_with(&objects, &Roots::default(), |_| None).err().expect("nothing is there");
    assert!(
        said.starts_with("50000 unresolved symbols: missing_0 (referenced by missing.o:(.text+0x1) in caller), "),
        "{said:.200}"
    );
    assert!(said.ends_with("missing_49999 (referenced by missing.o:(.text+0x3d08c) in caller)"));
}
