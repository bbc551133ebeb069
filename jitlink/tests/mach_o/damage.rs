//! Objects with random damage: an error that names the object, or a link. Never a panic.

use super::support::{STORAGE, X86_64, assemble, clang, with_section_type};
use jitlink::graph::{LinkGraph, Spelling};
use jitlink::object::{ReadOptions, read_deferred};
use jitlink::{FlatMemory, Link, LinkError, LinkOptions, Resolution, Roots};
use proptest::prelude::*;
use proptest::sample::Index;
use std::sync::LazyLock;

/// Sound objects to damage.
static OBJECTS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let c = "extern int other(int); static const char *const names[] = {\"one\", \"two\"}; int shared; _Thread_local int each = 3;
        const char *name(unsigned n) { switch (n) { case 0: return names[other(1)]; case 9: return \"x\"; case 4: return names[1]; } return names[n % 2]; }
        __attribute__((constructor)) static void start(void) { shared = other(2) + each; } double half(double x) { return x * 0.5; }";
    let cpp =
        "struct B { virtual ~B(); virtual int f(); }; inline int counter = 7; extern int other(int); thread_local B b;
        int use(B &b) { try { return other(b.f()) + counter++; } catch (int e) { return e; } }";
    let all = ".globl _f, _g\n_f: movq _x@GOTPCREL(%rip), %rax\npushq _x@GOTPCREL(%rip)\ncall _g\nmovb $1, _d(%rip)\nmovl $1, L1(%rip)\nret\n.alt_entry _g\n_g: ret\n\
        .const\n_t: .long _f - _t\n.long _t - _f\n.data\n_d: .quad _f + 4\nL1: .long 3\n.comm _c,8,3\n.section __TEXT,__init_offsets\n.long _f - _t\n\
        .section __DATA,__mod_term_func,mod_term_funcs\n.quad _f\n.zerofill __DATA,__bss,_z,64,4\n.weak_definition _f\n.no_dead_strip _d\n.weak_reference _x";
    vec![
        clang("x86_64", "c", &["-O2", "-g"], c),
        clang("x86_64", "c", &["-O1", "-femit-dwarf-unwind=no-compact-unwind", "-fomit-frame-pointer"], c),
        clang("x86_64", "c++", &["-O1", "-fexceptions"], cpp),
        with_section_type(assemble(all), "__init_offsets", 0x16),
    ]
});

/// One change. Positions are parts of what is there.
#[derive(Clone, Debug)]
enum Change {
    /// One byte of all.
    Byte(Index, u8),
    /// One byte of the header and its commands, which say where everything is.
    Command(Index, u8),
    /// Four bytes at a multiple of four.
    Word(Index, u32),
    /// Some bytes are replaced by as many from another place.
    Copy(Index, Index, u8),
    /// The end is missing.
    Cut(Index),
}

fn change() -> impl Strategy<Value = Change> {
    let words = prop_oneof![any::<u32>(), Just(0), Just(u32::MAX), Just(1), (0u32..64).prop_map(|bit| 1 << (bit % 32))];
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, to)| Change::Byte(at, to)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, to)| Change::Command(at, to)),
        (any::<Index>(), words).prop_map(|(at, to)| Change::Word(at, to)),
        (any::<Index>(), any::<Index>(), any::<u8>()).prop_map(|(from, to, count)| Change::Copy(from, to, count)),
        any::<Index>().prop_map(Change::Cut),
    ]
}

fn apply(object: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut bytes = object.to_vec();
    for change in changes {
        if bytes.len() < 8 {
            break;
        }
        let length = bytes.len();
        match change {
            Change::Byte(at, to) => bytes[at.index(length)] = *to,
            Change::Command(at, to) => bytes[at.index(length.min(0x500))] = *to,
            Change::Word(at, to) => {
                let at = at.index(length / 4) * 4;
                bytes[at..at + 4].copy_from_slice(&to.to_le_bytes());
            }
            Change::Copy(from, to, count) => {
                let (from, to) = (from.index(length), to.index(length));
                let count = usize::from(*count).min(length - from).min(length - to);
                bytes.copy_within(from..from + count, to);
            }
            Change::Cut(at) => bytes.truncate(at.index(length)),
        }
    }
    bytes
}

/// Reads and links; errors say which object.
fn link(object: &[u8]) -> Result<(), TestCaseError> {
    let mut graph = LinkGraph::new(X86_64).spelled(Spelling::C);
    if let Err(error) = jitlink::object::read(&mut graph, "damaged.o", object, ReadOptions::default()) {
        prop_assert!(error.to_string().starts_with("damaged.o: "), "{}", error);
        return Ok(());
    }
    prop_assert_eq!(graph.verify(), Ok(()));
    // Zeros are not bytes of the file: a sound object may ask for more than a test should have.
    if graph.blocks().iter().map(|block| block.size.saturating_add(block.align())).fold(0, u64::saturating_add)
        > 1 << 26
    {
        return Ok(());
    }
    let linked = || -> Result<(), LinkError> {
        let placed = Link::new(graph, LinkOptions::default())
            .prune(&Roots::default())?
            .place(&FlatMemory::new(0x10_0000).with_thread_local(STORAGE))?;
        let _ = placed
            .resolve(|external| (!external.thread_local).then(|| Resolution::new(0x20_0000, true)))?
            .finalize()?;
        Ok(())
    };
    if let Err(error) = linked() {
        prop_assert!(!error.to_string().is_empty());
    }
    Ok(())
}

/// Read for later, an object says the same of each block, or the same error.
fn defer(object: &[u8]) -> Result<(), TestCaseError> {
    let mut now = LinkGraph::new(X86_64);
    let mut later = LinkGraph::new(X86_64);
    let whole = jitlink::object::read(&mut now, "damaged.o", object, ReadOptions::default());
    let Ok(deferred) = read_deferred(&mut later, "damaged.o", object, ReadOptions::default()) else {
        prop_assert!(whole.is_err());
        return Ok(());
    };
    for index in 0..later.blocks().len() {
        let block = jitlink::graph::BlockId::from_index(index);
        let mut edges = Vec::new();
        match (&whole, deferred.edges(&later, block, &mut edges)) {
            (Ok(_), Ok(())) => prop_assert_eq!(&edges[..], now.edges_of(block)),
            (Err(error), Err(same)) => prop_assert_eq!(error, &same),
            (whole, later) => prop_assert!(false, "{:?} and {:?}", whole, later),
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn damage_is_an_error_or_a_link_and_never_a_panic(which in any::<Index>(), changes in prop::collection::vec(change(), 1..4)) {
        let object = apply(&OBJECTS[which.index(OBJECTS.len())], &changes);
        link(&object)?;
        defer(&object)?;
    }
}

#[test]
fn sound_objects_are_read_alike_at_once_and_later() {
    for object in OBJECTS.iter() {
        link(object).unwrap_or_else(|error| panic!("{error}"));
        defer(object).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn every_shorter_file_is_an_error() {
    let object = &OBJECTS[3];
    for length in 0..object.len() {
        let mut graph = LinkGraph::new(X86_64);
        let read = jitlink::object::read(&mut graph, "cut.o", &object[..length], ReadOptions::default());
        assert!(read.is_err(), "{length} of {} bytes", object.len());
    }
}
