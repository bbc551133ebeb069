//! This process's standard input and output as a transport, for executors that something else starts and connects: `ssh host
//! orc-executor`, `docker exec -i`, an emulator.
//!
//! You give up both, you get frames. From then on whatever reads standard input finds its end, and whatever prints goes to standard
//! error, so that no library and no executed program can break the frames. It is not for processes that have something to print.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::stdio;

use super::pipe::{self, PipeReader, PipeWriter};
use super::stream::Stream;

/// Where the descriptors go: out of the way of programs that expect their first file to have a small number.
const HIGH: i32 = 100;

/// Takes over standard input and output. Once for each process; a second time would find the null device there.
///
/// What the standard library has buffered for output leaves first. What else was read ahead from standard input is lost: do it before
/// anything reads.
///
/// # Errors
/// The system has no more descriptors, or there is no null device.
pub fn take_over() -> io::Result<Stream<PipeReader, PipeWriter>> {
    io::stdout().flush()?;
    let reader = moved(stdio::stdin())?;
    let writer = moved(stdio::stdout())?;
    stdio::dup2_stdin(File::open("/dev/null")?)?;
    stdio::dup2_stdout(stdio::stderr())?;
    Ok(pipe::over(reader, writer)?.named("standard input and output"))
}

/// A duplicate that programs started from here do not inherit.
fn moved(descriptor: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    match fcntl_dupfd_cloexec(descriptor, HIGH) {
        // The limit on open files lies below.
        Err(Errno::INVAL) => Ok(fcntl_dupfd_cloexec(descriptor, 3)?),
        moved => Ok(moved?),
    }
}
