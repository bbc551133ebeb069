//! Frames over bytes: any `Read` and any `Write` that lead to the other side.
//!
//! A small frame leaves in one `write` and arrives in one `read`. A payload's memory grows with what has arrived, never with what a
//! header claims.

use std::fmt;
use std::io::{self, BufReader, ErrorKind, IoSlice, Read, Write};

use super::{Closer, RecvFrame, SendFrame, Transport, TransportError};
use crate::frame::{Frame, FrameError, HEADER_SIZE, Header, Limits};

/// Frames up to this size are put together and written at once: copying them is cheaper than a second system call.
const GATHER: usize = 4096;
/// What one `read` asks for.
const READ_AHEAD: usize = 16 * 1024;
/// A payload's memory before any of it has arrived.
const FIRST_PAYLOAD: usize = 1 << 20;

/// A stream to read from and one to write to.
///
/// ```
/// use std::net::Shutdown;
/// use std::os::unix::net::UnixStream;
/// use dispatch::transport::stream::Stream;
///
/// fn over(socket: UnixStream) -> std::io::Result<Stream<UnixStream, UnixStream>> {
///     let handle = socket.try_clone()?;
///     // A socket lives on while any handle does: say how it ends.
///     Ok(Stream::new(socket.try_clone()?, socket).on_close(move || drop(handle.shutdown(Shutdown::Both))))
/// }
///
/// dispatch::conformance::check(|| {
///     let (a, b) = UnixStream::pair()?;
///     Ok((over(a)?, over(b)?))
/// })?;
/// # Ok::<(), dispatch::conformance::Failure>(())
/// ```
pub struct Stream<R, W> {
    reader: R,
    writer: W,
    name: String,
    closer: Option<Closer>,
}

impl<R: Read + Send + 'static, W: Write + Send + 'static> Stream<R, W> {
    /// Reads frames from `reader` and writes them to `writer`. Closing is dropping them, unless
    /// [`on_close`](Stream::on_close) says more.
    pub fn new(reader: R, writer: W) -> Self {
        Stream { reader, writer, name: "the other end of the stream".to_owned(), closer: None }
    }

    /// How errors should call the other side.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// What ends the connection in both directions, also while a thread is blocked in it: `shutdown` for a socket.
    pub fn on_close(mut self, close: impl Fn() + Send + Sync + 'static) -> Self {
        self.closer = Some(Closer::new(close));
        self
    }
}

impl<R, W> fmt::Debug for Stream<R, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({})", self.name)
    }
}

impl<R: Read + Send + 'static, W: Write + Send + 'static> Transport for Stream<R, W> {
    type Sender = StreamSender<W>;
    type Receiver = StreamReceiver<R>;

    fn split(self, limits: &Limits) -> io::Result<(StreamSender<W>, StreamReceiver<R>)> {
        let sender = StreamSender { writer: self.writer, closer: self.closer, gather: Vec::new() };
        let reader = BufReader::with_capacity(READ_AHEAD, self.reader);
        Ok((sender, StreamReceiver { reader, limits: *limits, over: false }))
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn closer(&self) -> Option<Closer> {
        self.closer.clone()
    }
}

/// The sending half of a [`Stream`].
pub struct StreamSender<W> {
    writer: W,
    closer: Option<Closer>,
    gather: Vec<u8>,
}

impl<W: Write + Send + 'static> SendFrame for StreamSender<W> {
    fn send(&mut self, frame: Frame<'_>) -> Result<(), TransportError> {
        let header = frame.header().encode();
        if frame.payload.len() <= GATHER - HEADER_SIZE {
            self.gather.clear();
            self.gather.extend_from_slice(&header);
            self.gather.extend_from_slice(&frame.payload);
            self.writer.write_all(&self.gather)?;
        } else {
            write_both(&mut self.writer, &header, &frame.payload)?;
        }
        self.writer.flush()?;
        Ok(())
    }
}

/// `write_all` of two pieces, without putting them together.
fn write_both(writer: &mut impl Write, first: &[u8], second: &[u8]) -> io::Result<()> {
    let mut pieces = [IoSlice::new(first), IoSlice::new(second)];
    let mut rest = &mut pieces[..];
    while !rest.is_empty() {
        match writer.write_vectored(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl<W> Drop for StreamSender<W> {
    fn drop(&mut self) {
        if let Some(closer) = &self.closer {
            closer.close();
        }
    }
}

impl<W> fmt::Debug for StreamSender<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamSender")
    }
}

/// The receiving half of a [`Stream`].
pub struct StreamReceiver<R> {
    reader: BufReader<R>,
    limits: Limits,
    /// Behind an error or the end there is no frame to be found.
    over: bool,
}

impl<R: Read + Send + 'static> StreamReceiver<R> {
    fn frame(&mut self) -> Result<Option<Frame<'static>>, TransportError> {
        let mut header = [0; HEADER_SIZE];
        match fill(&mut self.reader, &mut header)? {
            0 => return Ok(None),
            HEADER_SIZE => {}
            got => {
                return Err(FrameError::Truncated { got: got as u64, size: HEADER_SIZE as u64 }.into());
            }
        }
        let header = Header::decode(&header, &self.limits)?;
        let size = header.payload_size();
        let mut payload = Vec::new();
        payload.reserve_exact(size.min(FIRST_PAYLOAD));
        (&mut self.reader).take(size as u64).read_to_end(&mut payload)?;
        if payload.len() < size {
            let whole = |payload| crate::frame::frame_size(payload);
            return Err(FrameError::Truncated { got: whole(payload.len()), size: whole(size) }.into());
        }
        Ok(Some(header.with_payload(payload)))
    }
}

impl<R: Read + Send + 'static> RecvFrame for StreamReceiver<R> {
    fn recv(&mut self) -> Result<Option<Frame<'static>>, TransportError> {
        if self.over {
            return Ok(None);
        }
        let result = self.frame();
        self.over = !matches!(result, Ok(Some(_)));
        result
    }
}

impl<R> fmt::Debug for StreamReceiver<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamReceiver")
    }
}

/// Reads until `buffer` is full or the stream ends; how many bytes came.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
