//! A session of cells, as a notebook or a REPL has it: each uses earlier ones, and any of them may go.

use crate::common;
use crate::places::{everywhere, tracked};
use crate::support::World;
use orc_jit::{Error, Executor, Removal};

everywhere!(cells_use_earlier_cells_and_go_with_them);

fn cells_use_earlier_cells_and_go_with_them<E: Executor>(world: &World<E>) {
    world.c("repl", "int start(void) { return 0; }");
    let repl = world.open("repl");
    let cell = |number: usize, source: &str| {
        let tracker = tracked(world, "repl", &format!("cell{number}"), source);
        repl.update().expect("it links");
        tracker
    };
    let x = cell(1, "int x = 20;");
    let f = cell(2, "extern int x; int f(void) { return x + 1; }");
    let g = cell(3, "int f(void); int g(void) { return f() * 2; }");
    assert_eq!(world.call(&repl, "g"), 42);
    let refused = x.remove(Removal::Refuse).expect_err("f uses it").to_string();
    assert_eq!(refused, "cell1.o of JITDylib repl is used by cell2.o (JITDylib repl): x");
    f.remove(Removal::Cascade).expect("g goes with it");
    assert!(matches!(g.dependents(), Err(Error::TrackerRemoved { .. })));
    cell(4, "extern int x; int f(void) { return x - 1; }");
    cell(5, "int f(void); int g(void) { return f() * 2; }");
    assert_eq!(world.call(&repl, "g"), 38);
    x.remove(Removal::Cascade).expect("all go");
    assert!(["x", "f", "g"].iter().all(|name| repl.address(name).is_err()));
    assert_eq!(world.call(&repl, "start"), 0);
}

/// What one more cell has the controller allocate must not grow with the number of cells, nor what it takes to remove one.
#[test]
fn a_cell_costs_the_same_however_many_there_are() {
    let world = common::World::new();
    world.c("repl", "int base(void) { return 1; }");
    let repl = world.open("repl");
    let template = world.object("int base(void); int cell_00000(void) { return base(); }");
    let mut trackers = Vec::new();
    let mut cells = |numbers: std::ops::Range<usize>| {
        let before = crate::counting::allocated();
        for number in numbers {
            let tracker = world.dylib("repl").tracker(format!("cell {number}")).expect("a live session");
            tracker.add_object(format!("cell{number}.o"), renamed(&template, number)).expect("a live session");
            repl.update().expect("it links");
            trackers.push(tracker);
        }
        crate::counting::allocated() - before
    };
    let first = cells(0..500);
    let _between = cells(500..4000);
    let last = cells(4000..4500);
    assert!(last < first * 2, "500 cells cost {first} bytes at first, and {last} after 4,000");
    assert_eq!(common::call(&repl, "cell_04499"), 1);
    let before = crate::counting::allocated();
    for tracker in trackers.drain(..500) {
        tracker.remove(Removal::Refuse).expect("nobody uses it");
    }
    let removing = crate::counting::allocated() - before;
    assert!(removing < first, "500 removals cost {removing} bytes, {first} when they were linked");
    assert!(repl.address("cell_00499").is_err() && repl.address("cell_00500").is_ok());
}

/// The object with another number in its name.
fn renamed(template: &[u8], number: usize) -> Vec<u8> {
    let (old, new) = (b"cell_00000", format!("cell_{number:05}"));
    let mut bytes = template.to_vec();
    let places: Vec<usize> = (0..bytes.len() - old.len()).filter(|at| bytes[*at..].starts_with(old)).collect();
    for at in places {
        bytes[at..at + old.len()].copy_from_slice(new.as_bytes());
    }
    bytes
}
