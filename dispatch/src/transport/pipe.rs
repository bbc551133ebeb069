//! Frames over a pair of pipes, or whatever else has two file descriptors: a child's standard input and output, a FIFO, a terminal line.
//!
//! You give one descriptor to read from and one to write to, in blocking mode; you get a transport that can be closed from any thread.
//! Plain blocking reads and writes, as [`stream`](super::stream) makes them, end only when the other side does. Sockets have better
//! ways: [`unix`](super::unix) and [`tcp`](super::tcp).
//!
//! ```
//! use dispatch::transport::pipe::over;
//!
//! dispatch::conformance::check(|| {
//!     let ((from_a, to_b), (from_b, to_a)) = (std::io::pipe()?, std::io::pipe()?);
//!     Ok((over(from_b, to_b)?, over(from_a, to_a)?))
//! })?;
//! # Ok::<(), dispatch::conformance::Failure>(())
//! ```

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use super::stream::Stream;
use crate::sync::Mutex;

/// A pipe with room takes this much without blocking (PIPE_BUF).
const PIECE: usize = 4096;

/// Carries frames over two descriptors; either may be the other's duplicate.
///
/// # Errors
/// The system has no more descriptors.
pub fn over(reader: impl Into<OwnedFd>, writer: impl Into<OwnedFd>) -> io::Result<Stream<PipeReader, PipeWriter>> {
    let end = Arc::new(End {
        event: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        reader: Mutex::new(Some(Arc::new(reader.into()))),
        writer: Mutex::new(Some(Arc::new(writer.into()))),
    });
    let (reader, writer) = (PipeReader(Arc::clone(&end)), PipeWriter(Arc::clone(&end)));
    Ok(Stream::new(reader, writer).on_close(move || end.come()))
}

/// Both pipes, and their end.
struct End {
    /// Readable once the end has come.
    event: OwnedFd,
    reader: Pipe,
    writer: Pipe,
}

/// None once the end has come. A thread that waits for a pipe holds it until it has woken, so that its number is no other file's yet.
type Pipe = Mutex<Option<Arc<OwnedFd>>>;

impl End {
    fn come(&self) {
        // It fails when the counter is full: then it is readable already.
        let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
        // The other side hears of it when the last copy of a pipe closes.
        drop((self.reader.lock().take(), self.writer.lock().take()));
    }

    /// The pipe, as soon as it is ready; none if the end has come.
    fn when_ready(&self, pipe: &Pipe, ready: PollFlags) -> io::Result<Option<Arc<OwnedFd>>> {
        let Some(pipe) = pipe.lock().clone() else { return Ok(None) };
        let mut waiting = [PollFd::new(&pipe, ready), PollFd::new(&self.event, PollFlags::IN)];
        poll(&mut waiting, None)?;
        let ended = !waiting[1].revents().is_empty();
        Ok((!ended).then_some(pipe))
    }
}

/// The half that reads.
pub struct PipeReader(Arc<End>);

impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.when_ready(&self.0.reader, PollFlags::IN)? {
            Some(pipe) => Ok(rustix::io::read(&pipe, buffer)?),
            None => Ok(0),
        }
    }
}

impl Drop for PipeReader {
    fn drop(&mut self) {
        drop(self.0.reader.lock().take());
    }
}

impl fmt::Debug for PipeReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PipeReader")
    }
}

/// The half that writes.
pub struct PipeWriter(Arc<End>);

impl Write for PipeWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.when_ready(&self.0.writer, PollFlags::OUT)? {
            Some(pipe) => Ok(rustix::io::write(&pipe, &bytes[..bytes.len().min(PIECE)])?),
            None => Err(ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        drop(self.0.writer.lock().take());
    }
}

impl fmt::Debug for PipeWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PipeWriter")
    }
}
