//! Is an executor in another process what one in this process is, until one of them ends, and then?
//!
//! The executor of most tests is the `orc` command of this crate, which is one itself; gcc is a declared tool of the tests.

#[path = "../common/mod.rs"]
mod common;

mod crashes;
mod cuts;
mod encrypted;
mod hostile;
mod opens;
mod orders;
mod programs;
mod reloads;
mod restarts;
mod services;
mod silence;
mod support;
mod threads;
mod waits;
