//! The process that runs the code: what it begins with.
//!
//! `unsafe` because a session is made, whose controller is trusted.
#![allow(unsafe_code)]

use super::fault::Record;
use super::{Executor, signals};
use dispatch::transport::Transport;
use std::convert::Infallible;

/// What a worker does before it connects.
pub(super) struct Worker {
    /// When the process is as the program will find it, and still has one thread.
    pub(super) confine: Box<dyn FnOnce() -> Result<(), String>>,
    /// Makes the executor ready: what it says of itself, who answers what.
    pub(super) prepare: Box<dyn FnOnce(&mut Executor)>,
}

/// Runs an executor over `transport`, for the rest of this process. Its last fault is noted in `record`.
///
/// # Errors
/// What it needs cannot be had, before anything was run.
pub(super) fn run(transport: impl Transport, record: &Record, worker: Worker) -> Result<Infallible, String> {
    let Worker { confine, prepare } = worker;
    signals::as_a_program_expects();
    record.watch();
    crate::tls::note_threads();
    crate::names::show_to_process();
    confine()?;
    // SAFETY: whoever has come as far as this was let in to run code here.
    let mut executor = unsafe { Executor::new() };
    prepare(&mut executor);
    let connected = executor.over(transport).map_err(|error| error.to_string())?;
    connected.run().map_err(|error| format!("no thread for the connection: {error}"))
}
