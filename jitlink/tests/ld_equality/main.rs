//! Does a link into [`FlatMemory`] give the bytes that GNU ld gives for the same addresses?
//!
//! Random objects are linked here first; where their sections came to lie goes into a linker script, with which ld links the same
//! objects; then the bytes of each section are compared. GOT slots and stubs are left out: where these lie is each linker's own choice.

mod generate;
mod moved;
#[path = "../support/stored.rs"]
mod stored;

use generate::{Batch, Memory, batch};
use jitlink::graph::LinkGraph;
use jitlink::memory::FlatImage;
use jitlink::{FlatMemory, Link, LinkError, LinkOptions, Linked, Resolution, Roots, arch};
use object::{Object, ObjectSection};
use proptest::prelude::*;
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Output};

/// Links the batch here; externals are where it says.
fn link<'data>(batch: &Batch, objects: &'data [Vec<u8>]) -> Result<Linked<'data, FlatImage>, Box<LinkError>> {
    let mut graph = LinkGraph::new(&arch::x86_64::MACHINE);
    for (number, object) in objects.iter().enumerate() {
        jitlink::object::read(&mut graph, &format!("{number}.o"), object, Default::default()).expect("a sound object");
    }
    let linked = Link::new(graph, LinkOptions::default())
        .prune(&Roots::default())?
        .place(&FlatMemory::new(batch.memory.base()))?
        .resolve(|external| {
            let (_, address) = batch.externals().find(|(name, _)| name.as_bytes() == external.name)?;
            Some(Resolution::new(address, true))
        })?
        .finalize()?;
    Ok(linked)
}

/// A linker script that puts every section where `linked` has it.
fn script(linked: &Linked<'_, FlatImage>) -> String {
    let graph = linked.graph();
    let mut script = String::from("SECTIONS {\n");
    for block in graph.blocks() {
        let name = std::str::from_utf8(graph.section(block.section).name).expect("an ASCII name");
        // Names are unique in a batch, so that one input makes each output.
        writeln!(script, "  {name} {:#x} : {{ *({name}) }}", block.address).expect("a string");
    }
    // ld has `_GLOBAL_OFFSET_TABLE_` at the start of this section.
    let table = graph.find(b"_GLOBAL_OFFSET_TABLE_").map_or(0, |id| graph.symbol(id).address);
    writeln!(script, "  .got.plt {table:#x} : {{ *(.got.plt) }}").expect("a string");
    script + "  /DISCARD/ : { *(.note*) *(.comment) *(.eh_frame) }\n}\n"
}

/// Links the same objects with ld into `directory/out`.
fn ld(directory: &Path, batch: &Batch, objects: &[Vec<u8>], script: &str) -> Output {
    std::fs::write(directory.join("script"), script).expect("a writable directory");
    let mut command = Command::new("ld");
    command.current_dir(directory).args(["-static", "--no-check-sections", "-e", "0", "-T", "script", "-o", "out"]);
    if batch.memory == Memory::Independent {
        command.args(["-pie", "--no-dynamic-linker"]);
    }
    for (name, address) in batch.externals() {
        command.arg(format!("--defsym={name}={address:#x}"));
    }
    for (number, object) in objects.iter().enumerate() {
        let name = format!("{number}.o");
        std::fs::write(directory.join(&name), object).expect("a writable directory");
        command.arg(name);
    }
    command.output().expect("GNU ld (package binutils) is needed for this test")
}

/// Whether two links are equal, section by section; the message says where they are not.
fn compare(batch: &Batch) -> Result<usize, TestCaseError> {
    let objects = batch.objects();
    let linked = link(batch, &objects).map_err(|error| TestCaseError::fail(format!("{error}\n{batch:#?}")))?;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let output = ld(directory.path(), batch, &objects, &script(&linked));
    let messages = String::from_utf8_lossy(&output.stderr);
    prop_assert!(output.status.success(), "ld: {messages}\n{batch:#?}");

    let file = std::fs::read(directory.path().join("out")).expect("ld's output");
    let file = object::File::parse(&*file).expect("ld's output is ELF");
    let mut compared = 0;
    for block in linked.graph().blocks() {
        let name = std::str::from_utf8(linked.graph().section(block.section).name).expect("an ASCII name");
        let Some(section) = file.section_by_name(name) else {
            prop_assert!(false, "ld has no {name}");
            continue;
        };
        prop_assert!(block.live, "{name} was dropped");
        prop_assert_eq!(section.address(), block.address, "{}", name);
        prop_assert_eq!(section.size(), block.size, "{}", name);
        let theirs = section.data().expect("contents");
        let ours = linked.allocation.at(block.address, block.size as usize).expect("in the image");
        if block.content.bytes().is_none() {
            prop_assert!(theirs.is_empty() && ours.iter().all(|byte| *byte == 0), "{} is not zero", name);
            continue;
        }
        if let Some(at) = ours.iter().zip(theirs).position(|(a, b)| a != b) {
            let from = at.saturating_sub(8);
            let window = |bytes: &[u8]| format!("{:02x?}", &bytes[from..(at + 12).min(bytes.len())]);
            let about = batch.reference_near(name, at);
            prop_assert!(
                false,
                "{name}+{at:#x} differs ({about})\nours {}\nld   {}\n{batch:#?}",
                window(ours),
                window(theirs)
            );
        }
        compared += theirs.len();
    }
    Ok(compared)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn linked_bytes_are_those_of_gnu_ld_in_low_memory(batch in batch(Memory::Low)) {
        prop_assert!(compare(&batch)? > 0);
    }

    #[test]
    fn linked_bytes_are_those_of_gnu_ld_in_high_memory(batch in batch(Memory::High)) {
        prop_assert!(compare(&batch)? > 0);
    }

    #[test]
    fn linked_bytes_are_those_of_gnu_ld_for_position_independent_code(batch in batch(Memory::Independent)) {
        prop_assert!(compare(&batch)? > 0);
    }
}

/// The batches above hold every type that they claim to, or the comparison would say little.
#[test]
fn generated_batches_use_every_type() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = std::collections::BTreeSet::new();
    for memory in [Memory::Low, Memory::High, Memory::Independent] {
        for _ in 0..100 {
            let batch = batch(memory).new_tree(&mut runner).expect("a batch").current();
            seen.extend(batch.relocation_types());
        }
    }
    assert_eq!(seen, generate::covered_types().collect());
}

#[test]
fn what_does_not_fit_is_refused_by_both() {
    for (memory, r_type, symbol, addend) in generate::OUT_OF_RANGE {
        let batch = Batch::of_one(*memory, *r_type, symbol, *addend);
        let objects = batch.objects();
        let error = link(&batch, &objects).expect_err("out of range");
        assert!(matches!(*error, LinkError::OutOfRange { .. }), "{error}\n{batch:#?}");

        let directory = tempfile::tempdir().expect("a temporary directory");
        let sections = batch.sections().map(|name| format!("{name} {:#x} : {{ *({name}) }}\n", memory.base()));
        let script = format!("SECTIONS {{ {} }}", sections.collect::<String>());
        let output = ld(directory.path(), &batch, &objects, &script);
        let messages = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && messages.contains("relocation truncated to fit"), "{batch:#?} {messages}");
    }
}
