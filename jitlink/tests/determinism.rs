//! Are equal inputs linked to equal bytes?

#[path = "support/mod.rs"]
mod support;

use jitlink::{Resolution, Roots};
use support::{Named, compile, link_with};

fn objects() -> Vec<Named> {
    let units = ["a.o", "b.o", "c.o"].into_iter().enumerate().map(|(i, name)| {
        let source = format!(
            "#include <map>\n#include <string>\n#include <stdexcept>\n\
             static std::map<std::string, int> table{i};\n\
             inline int shared_counter = {i};\n\
             int unit{i}(char const* key) {{ if (!*key) throw std::invalid_argument(\"empty\"); return table{i}[key] += shared_counter++; }}\n\
             int unit{}(char const*); int next{i}(char const* key) {{ return unit{}(key); }}\n",
            (i + 1) % 3,
            (i + 1) % 3
        );
        (name, compile("c++", &["-O1", "-ffunction-sections", "-std=c++17"], &source))
    });
    units.collect()
}

/// The image and everything that a link tells about it, as text.
fn linked(objects: &[Named]) -> (Vec<u8>, String) {
    let mut asked = Vec::new();
    let program = link_with(objects, &Roots::default(), |external| {
        asked.push(String::from_utf8_lossy(external.name).into_owned());
        // Near, and some of them code.
        Some(Resolution::new(0x50_0000 + 16 * external.id.index() as u64, external.name.len() % 2 == 0))
    });
    let program = program.expect("complete");
    let linked = &program.0;
    let told = format!(
        "{asked:?} {:?} {:?} {:?} {:?} {:?} {}",
        linked.segments,
        linked.eh_frame,
        linked.init_arrays().collect::<Vec<_>>(),
        linked.indirect,
        linked.exports().map(|export| (export.name, export.address)).collect::<Vec<_>>(),
        linked.graph().dump(),
    );
    (linked.allocation.bytes.clone(), told)
}

#[test]
fn equal_inputs_give_equal_bytes() {
    let objects = objects();
    let first = linked(&objects);
    // Tables with random seeds would be seeded anew on each thread.
    for _ in 0..3 {
        let again = std::thread::scope(|scope| scope.spawn(|| linked(&objects)).join().expect("no panic"));
        assert!(again == first);
    }
}

#[test]
fn where_the_inputs_lie_in_memory_does_not_matter() {
    let objects = objects();
    let first = linked(&objects);
    let moved: Vec<Named> = objects.iter().rev().map(|(name, data)| (*name, data.clone())).rev().collect();
    assert!(linked(&moved) == first);
}

#[test]
fn the_order_of_inputs_is_the_order_of_outputs() {
    let mut objects = objects();
    let (first, _) = linked(&objects);
    objects.swap(0, 1);
    assert_ne!(linked(&objects).0, first);
}
