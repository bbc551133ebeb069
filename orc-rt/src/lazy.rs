//! First calls: where stubs of functions lead that are not linked yet.
//!
//! A stub jumps to the address in its slot. As long as its function is not linked, that is the stub's second half, which comes here with the address of the
//! slot; the controller links the function, the slots of all that came with it are written, and the call goes on as if nothing had been. From then on
//! the stub is one jump. No lock is held here: threads that call the same function at once all ask, and the controller answers the later
//! ones with what the first one had linked.
//!
//! Signals of others wait meanwhile, so that their handlers do not meet a half-made link in their own thread. A function that cannot be linked any
//! more ends the process as a dynamic loader's lazy binding does, since the caller expects no error: with exit code 127, and a line on standard
//! error that names function, object and cause.
//!
//! `unsafe` because of errno.
#![allow(unsafe_code)]

use crate::image;
use crate::serve::leave_now;
use crate::service::tag;
use crate::session::Session;
use crate::signal_mask::Held;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The exit code of a process whose lazy binding fails, as of glibc's.
const LOOKUP_ERROR: i32 = 127;

/// The name of the entry point, which stubs jump to.
pub(crate) const NAME: &str = "__orc_rt_lazy";

/// The address of the entry point.
pub(crate) fn entry_point() -> u64 {
    crate::machine::lazy::entry_point()
}

/// The address of the function whose stub has its slot at `slot`. The entry point calls it, with all that the function is to find put aside.
pub(crate) extern "C" fn resolve(slot: u64) -> u64 {
    // SAFETY: the thread's own errno.
    let errno = unsafe { *libc::__errno_location() };
    let signals = Held::what_is_sent();
    let found = catch_unwind(AssertUnwindSafe(|| ask(slot)));
    drop(signals);
    // SAFETY: the thread's own errno, which a call does not change.
    unsafe { *libc::__errno_location() = errno };
    match found {
        Ok(Ok(address)) => address,
        Ok(Err(why)) => give_up(&why),
        Err(_) => give_up("linking a function that is called for the first time panicked"),
    }
}

fn ask(slot: u64) -> Result<u64, String> {
    let image = image::at(slot).ok_or("a function was called of a dylib that is closed")?;
    let session = image.session.upgrade().ok_or("a function was called for the first time after its session ended")?;
    if image.process != std::process::id() && !session.has_controller_here() {
        return Err("a forked child called a function for the first time, and its controller, in another process, is its parent's".into());
    }
    session.link_function(slot)
}

#[cold]
fn give_up(why: &str) -> ! {
    let program = std::env::args_os().next().unwrap_or_default();
    let line = format!("{}: symbol lookup error: {why}\n", program.display());
    // There is nobody to tell that it cannot be told.
    let _ = std::io::stderr().write_all(line.as_bytes());
    leave_now(LOOKUP_ERROR)
}

impl Session {
    /// Has the controller link the function whose stub has its slot at `slot`, and has all stubs of what came with it lead there.
    fn link_function(&self, slot: u64) -> Result<u64, String> {
        let slots: Result<Vec<(u64, u64)>, String> = self.ask(tag::LAZY, &slot).map_err(|error| error.to_string())?;
        let slots = slots?;
        self.write_slots(&slots).map_err(|error| error.to_string())?;
        let own = slots.iter().find(|(address, _)| *address == slot);
        own.map(|(_, function)| *function).ok_or_else(|| "the controller does not know the function".to_owned())
    }
}
