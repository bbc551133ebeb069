//! Mach-O objects, as clang makes them for macOS: what becomes of their sections, symbols and relocations.
//!
//! Filed by question: `blocks.rs`, how sections are cut; `symbols.rs`, who defines a name; `starts.rs`, what runs by itself; `storage.rs`, variables of every thread;
//! `frames.rs`, what an unwinder reads; `universal.rs`, files for several machines; `lld_equality.rs`, whether LLVM's linker writes the same bytes;
//! `damage.rs`, what damaged files do.

mod blocks;
mod damage;
mod frames;
mod lld_equality;
mod rust_std;
mod starts;
mod storage;
mod support;
mod symbols;
mod universal;
