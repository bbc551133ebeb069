//! Runs programs from their object files: a linker, a graph of dylibs, and an executor, composed.
//!
//! **You give** relocatable objects, archives, shared libraries and who links against whom. **You get** dylibs that open and close with the
//! semantics of a real dynamic loader, typed symbols, and programs that run as if they had been linked ahead of time. **It is not
//! for** those who bring their own memory and symbol tables (take `jitlink`), their own loader (take `dylib-graph`) or their own link
//! between processes (take `orc-dispatch`): those are the crates below.
//!
//! ```no_run
//! # fn main() -> Result<(), orc_jit::Error> {
//! let session = orc_jit::Session::in_process()?;
//! let main = session.add_dylib("main")?;
//! main.add_object_file("app.o")?;
//! main.add_archive_file("libb.a")?;
//! let status = session.run("main", "main", &["app".into(), "--verbose".into()])?;
//! # std::process::exit(status)
//! # }
//! ```

#![deny(unsafe_code)] // exceptions: `executor/in_process.rs`, `executor/remote/memory.rs`, `executor/remote/place/start.rs`, `symbol.rs`

mod batch;
pub mod cache;
mod controller;
pub mod crash;
mod crew;
mod debug;
pub mod diagnose;
mod dylib;
mod error;
pub mod executor;
pub mod input;
mod locate;
mod map;
mod names;
pub mod phases;
mod restart;
mod session;
mod source;
mod symbol;
mod ties;
pub mod tracker;
mod unit;
mod waits;

pub use dylib::{JitDylib, NotClosed, Opened};
pub use error::Error;
pub use executor::{Executor, InProcess, Remote};
pub use jitlink::Keep;
pub use map::MapEntry;
pub use orc_rt::memory::Slab;
pub use orc_rt::native::NativeLibrary;
pub use orc_rt::{Teardown, WaitReport, Watchers};
pub use session::{LazyFailure, MakePlugin, Plugins, Relax, Session, SessionOptions, Undefined};
pub use symbol::Symbol;
pub use tracker::{Removal, Tracker};
