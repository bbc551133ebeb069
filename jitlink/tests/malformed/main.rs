//! What becomes of objects that are damaged, lie about themselves, or are something else?

mod aarch64;
mod claims;
mod edit;
mod mutations;
mod other_files;
mod riscv64;
#[path = "../support/mod.rs"]
mod support;
