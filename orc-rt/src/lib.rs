//! The executor side of a JIT: memory, `jit_dlopen` and friends, initializers, atexit, unwinding.
//!
//! You give a way to reach the controller (any [`dispatch::Caller`]); you get a [`Session`] that opens and closes JITDylibs with the semantics of a
//! real dynamic loader, running initializers on the calling thread. It never sees an object file, a relocation or a linker.
//!
//! # Unsafe code
//!
//! Denied, but in these files, each of which says why at its head:
//! `atexit.rs`, `call.rs`, `capi.rs`, `ledger.rs`, `loader.rs`, `native.rs`, `run.rs`, `session.rs`, `slab/{mod,arena}.rs`, `sys/linux/pages.rs`, `unwind/mod.rs`.
#![deny(unsafe_code)]

mod atexit;
mod call;
mod capi;
mod context;
pub mod dlfcn;
pub mod image;
mod keepalive;
mod ledger;
mod loader;
pub mod memory;
pub mod native;
mod run;
pub mod service;
mod session;
mod slab;
mod sync;
mod sys;
mod unwind;

pub use dlfcn::{DlError, Handle, Scope};
pub use dylib_graph::DylibId;
pub use image::{ImageId, ImageInfo, SymbolTable};
pub use keepalive::{Keepalive, StillInside, Teardown};
pub use ledger::{ImageError, LedgerEntry, Registration};
pub use run::{RunError, as_a_program, is_executed_code};
pub use session::{Config, ExitHook, Session};
pub use unwind::UnwindError;
