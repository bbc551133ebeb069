//! Which JITDylib links against which, and what is initialized next.
#![forbid(unsafe_code)]

pub mod error;
pub mod graph;
pub mod init;
pub mod loader;
pub mod order;

pub use error::{GraphError, LoadError};
pub use graph::{DylibGraph, DylibId};
pub use loader::{Close, CloseStep, Finished, Loader, Open, Outcome, Run, Status, Step, VisitorId, Waiting};
pub use order::{InitOrder, Walker};

pub mod model;
pub mod program;
pub mod rules;
#[cfg(feature = "proptest")]
pub mod strategies;
pub mod trace;
