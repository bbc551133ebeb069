//! Calls between a JIT's controller and its executor, over any transport.
#![forbid(unsafe_code)]

mod call;
mod error;
pub mod packed;
mod registry;
mod sync;

pub use call::{Caller, Handler, Reply, Tag, call_expected, call_typed};
pub use error::{CallError, Disconnect, PackError, TagInUse};
pub use registry::Registry;
