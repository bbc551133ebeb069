//! The executor side of a JIT: memory, `jit_dlopen` and friends, initializers, atexit, unwinding.
//!
//! You give a way to reach the controller (any [`dispatch::Caller`]); you get a [`Session`](session::Session) that opens and closes JITDylibs with the semantics of a
//! real dynamic loader, running initializers on the calling thread. It never sees an object file, a relocation or a linker.
//!
//! # Unsafe code
//!
//! Denied, but in these files, each of which says why at its head:
//! `native.rs`, `slab/{mod,arena}.rs`, `sys/linux/pages.rs`.
#![deny(unsafe_code)]

mod keepalive;
pub mod memory;
pub mod native;
pub mod service;
mod slab;
mod sync;
mod sys;

pub use keepalive::{Keepalive, StillInside, Teardown};
