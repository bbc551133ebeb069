//! Is a dylib that is linked when it is used what it would be if all of it had been linked at once?
//!
//! gcc and g++ are declared tools of the tests. That whole programs do the same is what the cases say, which run with `--lazy` too
//! (`integration-tests/src/hardening.rs`).

#[path = "../common/mod.rs"]
mod common;
#[path = "../remote/support.rs"]
#[allow(dead_code, reason = "the tests of remote executors use more of it")]
mod support;

mod calls;
mod failures;
mod names;

use common::World;
use orc_jit::{InProcess, Session, SessionOptions};

/// A session whose dylibs are linked lazily, with a map of what is linked.
fn world() -> World {
    let options = SessionOptions { lazy: true, map: true, ..SessionOptions::default() };
    World::over(Session::new(InProcess::new(), options).expect("a session"))
}

/// Whether the map shows the code of `function`, which is there under its name when it is linked, and otherwise as a stub at most.
fn is_linked(world: &World, function: &str) -> bool {
    let map = world.session.link_map();
    let code = map.iter().filter(|entry| entry.object != "<stubs>");
    code.flat_map(|entry| &entry.symbols).any(|(_, name)| name == function)
}
