//! The executor side of a JIT: memory, `jit_dlopen` and friends, initializers, atexit, unwinding.
//!
//! You give a way to reach the controller (any [`dispatch::Caller`]); you get a [`Session`] that opens and closes JITDylibs with the semantics of a
//! real dynamic loader, running initializers on the calling thread. It never sees an object file, a relocation or a linker.
//!
//! ```
//! use dispatch::{Registry, packed};
//! use orc_rt::service::{InitArray, Open, Plan, PlanDylib, tag};
//! use orc_rt::{Config, Session};
//! use std::sync::Arc;
//!
//! // A controller whose one JITDylib has one initializer, already in memory.
//! static INITIALIZERS: [extern "C" fn(); 1] = [hello];
//! extern "C" fn hello() {
//!     println!("initialized on {:?}", std::thread::current().id());
//! }
//! let controller = Registry::new();
//! controller.add(tag::OPEN, |args: &[u8]| {
//!     let plan = |open: Open<'_>| Plan {
//!         root: 1,
//!         epoch: 1,
//!         dylibs: vec![PlanDylib {
//!             id: 1,
//!             name: open.name.to_owned(),
//!             new_initializers: vec![InitArray { address: INITIALIZERS.as_ptr() as u64, count: 1, ..InitArray::default() }],
//!             ..PlanDylib::default()
//!         }],
//!     };
//!     let answer = packed::from_bytes(args).map(|open| Some(plan(open))).map_err(|error| error.to_string());
//!     dispatch::Reply::packed(&answer)
//! })?;
//! controller.serve(tag::CLOSED, |_unloaded: Vec<u32>| ())?;
//!
//! // SAFETY: the plan above names an array of functions that stays.
//! let session = unsafe { Session::new(Config::new(Arc::new(controller))) };
//! let handle = session.dlopen("main", 0)?;
//! session.dlclose(handle)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to look
//!
//! [`memory`] for the pages that code lives in; [`Session`] for everything else: `dlopen` and friends in [`dlfcn`], images and their registrations in
//! [`image`], who else is told of them in [`debug`], the system's libraries in [`native`], their data within 32 bits in [`copies`], thread-local storage in [`tls`], what is said to
//! the controller in [`service`]. An executor for a controller in another process is made in [`serve`], and one for LLVM's controllers in [`llvm`]; with
//! feature `executor`, [`sandbox`] limits what this process may do to the rest of the system. Deliberately absent: object files, symbols
//! and their resolution, policy about names.
//!
//! # Unsafe code
//!
//! Denied, but in these files, each of which says why at its head:
//! `call.rs` (every call into executed code), `capi.rs`, `darwin/mod.rs` and `darwin/x86_64.rs` (C entry points), `lazy.rs` (first calls), `loader.rs`, `remove.rs`, `run.rs`, `session.rs` (promises about addresses), `signal_mask.rs`, `started.rs` (functions of threads),
//! `crash/handler.rs`, `crash/note.rs`, `crash/reporter.rs`, `crash/stack.rs` and `crash/walk.rs` (signals that a process dies of),
//! `native.rs`, `slots.rs`, `names/mod.rs`, `names/objects.rs`, `names/files.rs`, `names/process.rs`, `names/trace.rs`, `unwind/mod.rs`, `unwind/hook.rs` and `unwind/index.rs` (the system's loader and unwinder, and what leads to them), `tls/mod.rs`, `tls/dynamic.rs`, `tls/exit.rs`,
//! `tls/modules.rs`, `tls/pool.rs`, `tls/reserve.rs`, `tls/seen.rs` and `tls/threads.rs` (storage of every thread), `machine/` (what differs between machines), `slab/mod.rs`, `slab/arena.rs`, `sys/linux/code.rs`, `sys/linux/view.rs` and `sys/linux/pages.rs` (pages),
//! `debug/gdb.rs` (the list that debuggers read), `debug/jitdump.rs`, `debug/profile.rs` and `debug/valgrind.rs` (code by address, files that are mapped), `copies/mod.rs`, `copies/plan.rs`, `copies/area.rs` and `sys/linux/loaded.rs` (data and tables of shared libraries),
//! `sandbox/state.rs` (descriptors found by number), `wrapper.rs` (results in memory of malloc(3)), `serve.rs`, `serve/service.rs` and
//! `serve/worker.rs` (a controller that is trusted), `serve/ending.rs`, `serve/fault.rs`, `serve/signals.rs`, `serve/supervisor.rs` and `serve/inherited.rs` (processes,
//! their signals and descriptors), `llvm/debugger.rs`, `llvm/frames.rs`, `llvm/memory.rs`, `llvm/names.rs`, `llvm/process.rs`, `llvm/programs.rs`,
//! `llvm/reservation.rs` and `llvm/shared.rs` (a controller that speaks in addresses).
#![deny(unsafe_code)]

mod atexit;
mod call;
mod capi;
mod changes;
mod context;
pub mod copies;
pub mod crash;
mod darwin;
pub mod debug;
pub mod dlfcn;
mod doing;
mod found;
pub mod image;
mod keepalive;
mod lazy;
mod leaving;
mod ledger;
pub mod llvm;
mod loader;
mod machine;
pub mod memory;
pub mod names;
pub mod native;
mod planning;
mod recent;
mod remove;
mod run;
#[cfg(feature = "executor")]
pub mod sandbox;
pub mod serve;
pub mod service;
mod session;
mod signal_mask;
mod slab;
mod slots;
mod started;
mod sync;
mod sys;
pub mod tls;
mod unwind;
pub mod waits;
mod wrapper;

pub use changes::Changes;
pub use copies::{CopyError, DataRequest};
pub use debug::{Description, WatchError, Watchers};
pub use dlfcn::{DlError, Handle, Scope};
pub use dylib_graph::DylibId;
pub use image::{ImageId, ImageInfo, SymbolTable};
pub use keepalive::{Keepalive, StillInside, Teardown};
pub use ledger::{ImageError, LedgerEntry, Registration};
pub use remove::RemoveError;
pub use run::{RunError, as_a_program, is_executed_code};
pub use session::{Config, ExitHook, Session};
pub use unwind::UnwindError;
pub use waits::{WaitHook, WaitReport};
