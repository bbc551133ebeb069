//! How a process that runs code ends with its connection.
//!
//! `unsafe` because a process can be ended at once.
#![allow(unsafe_code)]

use crate::llvm::Services;
use crate::service::down::CONTROLLER_LOST;
use crate::sync::Arc;
use dispatch::Disconnect;
use std::time::Duration;

/// How long handlers of the end of a process may take that nobody waits for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Ends the process with its connection.
pub(super) fn end(why: &Arc<Disconnect>, lost: bool, llvm: Option<&Services>) {
    tracing::debug!(%why, lost, "the controller is gone");
    // An LLVM controller that goes while its program runs waits for nothing that the program still does.
    if lost || llvm.is_some_and(|services| services.close().is_err()) {
        #[cfg(feature = "executor")]
        super::fault::note_lost_controller();
        leave_now(CONTROLLER_LOST);
    }
    // What still runs is not waited for: the controller has ended what it wanted to see ended.
    let late = std::thread::Builder::new().name("ending".to_owned()).spawn(|| {
        std::thread::sleep(PATIENCE);
        leave_now(0);
    });
    drop(late);
    std::process::exit(0);
}

/// Ends this process now: nothing of it runs any more.
pub(crate) fn leave_now(code: i32) -> ! {
    // SAFETY: it does not return, and needs nothing.
    unsafe { libc::_exit(code) }
}
