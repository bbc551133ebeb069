//! riscv64: rows, relocations that mean something only together, thread-local storage, and real compilers' objects against GNU ld and lld.

mod linkers;
mod pairs;
mod rows;
#[path = "../support/mod.rs"]
mod support;
mod thread_local;
mod tools;
