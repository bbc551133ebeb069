//! What becomes of the definitions of objects that take part in another way than they say.

use jitlink::LinkGraph;
use jitlink::graph::{
    BlockId, Content, Definition, GlobalDefinition, Linkage, ObjectId, Prot, Role, Scope, Section, SectionFlags,
    SectionKind, Symbol, SymbolKind,
};

/// Adds an object with one block of code.
fn object(graph: &mut LinkGraph<'static>, name: &str) -> (ObjectId, BlockId) {
    let object = graph.add_object(name, true);
    let section = graph.add_section(Section {
        name: b".text",
        object,
        prot: Prot::READ | Prot::EXEC,
        flags: SectionFlags::empty(),
        kind: SectionKind::Regular,
        entry_size: 0,
        group: None,
        linked_to: None,
        number: 1,
    });
    (object, graph.add_block(section, Content::Bytes(&[0xc3]), 1, 1))
}

fn global((object, block): (ObjectId, BlockId), scope: Scope) -> GlobalDefinition {
    let definition = Definition::Block(block);
    GlobalDefinition {
        definition,
        value: 0,
        size: 1,
        linkage: Linkage::Strong,
        scope,
        kind: SymbolKind::Function,
        object,
    }
}

fn local(name: &'static [u8], (object, block): (ObjectId, BlockId)) -> Symbol<'static> {
    Symbol {
        name,
        definition: Definition::Block(block),
        value: 0,
        size: 1,
        address: 0,
        object,
        linkage: Linkage::Strong,
        scope: Scope::Local,
        kind: SymbolKind::Function,
        needed: false,
        live: false,
    }
}

#[test]
fn nobody_outside_sees_what_is_hidden() {
    let mut graph = LinkGraph::new(&jitlink::arch::x86_64::MACHINE);
    graph.set_role(Role::Hidden);
    let hidden = object(&mut graph, "hidden.o");
    let f = graph.define(b"f", global(hidden, Scope::Default)).unwrap();
    graph.set_role(Role::Ordinary);
    let other = object(&mut graph, "other.o");
    let g = graph.define(b"g", global(other, Scope::Default)).unwrap();
    assert_eq!((graph.symbol(f).scope, graph.symbol(g).scope), (Scope::Hidden, Scope::Default));
    assert!(!graph.symbol(f).is_exported() && graph.symbol(g).is_exported());
}

#[test]
fn what_is_under_test_yields_to_its_test() {
    let mut graph = LinkGraph::new(&jitlink::arch::x86_64::MACHINE);
    let test = object(&mut graph, "test.o");
    let main = graph.define(b"main", global(test, Scope::Default)).unwrap();
    graph.set_role(Role::Tested);
    let tested = object(&mut graph, "tested.o");
    assert_eq!(graph.define(b"main", global(tested, Scope::Default)), Ok(main));
    assert_eq!(graph.symbol(main).object, test.0);
    graph.set_role(Role::Ordinary);
    assert!(graph.define(b"main", global(tested, Scope::Default)).is_err(), "others do not yield");
}

#[test]
fn a_local_symbol_under_test_is_what_its_test_asks_for() {
    let mut graph = LinkGraph::new(&jitlink::arch::x86_64::MACHINE);
    let test = object(&mut graph, "test.o");
    let asked = graph.refer(b"inner", false, Scope::Default, test.0);
    graph.set_role(Role::Tested);
    let tested = object(&mut graph, "tested.o");
    assert_eq!(graph.add_local(local(b"inner", tested)), asked);
    assert_eq!(graph.symbol(asked).definition, Definition::Block(tested.1));
    let other = graph.add_local(local(b"other", tested));
    assert_eq!(graph.symbol(other).scope, Scope::Local, "nobody asked for it");
    assert_eq!(graph.find(b"other"), None);
    let main = graph.define(b"main", global(test, Scope::Default)).unwrap();
    assert_eq!(graph.add_local(local(b"main", tested)), main, "what a test defines stands in its place");
    let second = graph.add_local(local(b"inner", tested));
    assert_ne!(second, asked, "the first of the name has it");
    assert_eq!(graph.verify(), Ok(()));
}
