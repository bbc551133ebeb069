//! The process that runs the code: what it begins with, and how it ends.
//!
//! `unsafe` because a session is made, whose controller is trusted.
#![allow(unsafe_code)]

use super::fault::Record;
use super::{Executor, signals, supervisor};
use crate::llvm::Services;
use crate::sync::Arc;
use dispatch::Disconnect;
use dispatch::transport::Transport;
use std::convert::Infallible;
use std::time::Duration;

/// How long handlers of the end of a process may take that nobody waits for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Ends the process with its connection.
pub(super) fn end(why: &Arc<Disconnect>, lost: bool, llvm: Option<&Services>) {
    tracing::debug!(%why, lost, "the controller is gone");
    // An LLVM controller that goes while its program runs waits for nothing that the program still does.
    if lost || llvm.is_some_and(|services| services.close().is_err()) {
        supervisor::leave_now(supervisor::CONTROLLER_LOST);
    }
    // What still runs is not waited for: the controller has ended what it wanted to see ended.
    let late = std::thread::Builder::new().name("ending".to_owned()).spawn(|| {
        std::thread::sleep(PATIENCE);
        supervisor::leave_now(0);
    });
    drop(late);
    std::process::exit(0);
}

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
    confine()?;
    // SAFETY: whoever has come as far as this was let in to run code here.
    let mut executor = unsafe { Executor::new() };
    prepare(&mut executor);
    let connected = executor.over(transport).map_err(|error| error.to_string())?;
    connected.run().map_err(|error| format!("no thread for the connection: {error}"))
}
