//! Can part of a dylib go, or be another, while the rest runs? In this process and in a spawned one.
//!
//! The spawned executor is the `orc` command of this crate; gcc and g++ are declared tools of the tests.

#[path = "../common/mod.rs"]
mod common;
#[path = "../remote/support.rs"]
#[allow(dead_code, reason = "the tests of remote executors use more of it")]
mod support;

mod cells;
mod counting;
mod cxx;
mod dependents;
mod linking;
mod model;
mod moments;
mod places;
mod redefinition;
mod removal;
