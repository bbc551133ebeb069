//! Does the conformance suite pass what is right and name what is wrong?

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use dispatch::Limits;
use dispatch::conformance::{Failure, check, check_bytes};
use dispatch::frame::{Frame, Opcode};
use dispatch::transport::channel::{self, Channel, ChannelReceiver, ChannelSender};
use dispatch::transport::stream::Stream;
use dispatch::transport::tcp::{self, Tcp};
use dispatch::transport::unix::{self, Unix};
use dispatch::transport::{RecvFrame, SendFrame, Transport, TransportError, pipe};

#[test]
fn the_channel_conforms() {
    check(|| Ok(channel::pair())).unwrap();
}

#[test]
fn streams_over_whatever_reads_and_writes_conform() {
    let over = |socket: UnixStream| -> io::Result<_> {
        let handle = socket.try_clone()?;
        let close = move || drop(handle.shutdown(Shutdown::Both));
        Ok(Stream::new(socket.try_clone()?, socket).on_close(close))
    };
    check(move || {
        let (a, b) = UnixStream::pair()?;
        Ok((over(a)?, over(b)?))
    })
    .unwrap();
    // Pipes of the standard library end by being dropped; there is no closer.
    check(|| {
        let ((from_a, to_b), (from_b, to_a)) = (io::pipe()?, io::pipe()?);
        Ok((Stream::new(from_b, to_b), Stream::new(from_a, to_a)))
    })
    .unwrap();
}

#[test]
fn pipes_that_can_be_closed_conform() {
    check(|| {
        let ((from_a, to_b), (from_b, to_a)) = (io::pipe()?, io::pipe()?);
        Ok((pipe::over(from_b, to_b)?, pipe::over(from_a, to_a)?))
    })
    .unwrap();
    check_bytes(|| {
        let ((ours, theirs), (_, unheard)) = (io::pipe()?, io::pipe()?);
        Ok((pipe::over(ours, unheard)?, theirs))
    })
    .unwrap();
}

#[test]
fn unix_sockets_conform() {
    check(Unix::pair).unwrap();
    check_bytes(|| {
        let (ours, theirs) = UnixStream::pair()?;
        Ok((Unix::new(ours), theirs))
    })
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = unix::Listener::bind(&path).unwrap();
    check(move || {
        let here = Unix::connect(&path)?;
        Ok((here, listener.accept().map_err(io::Error::other)?))
    })
    .unwrap();
}

#[test]
fn tcp_conforms() {
    let listener = Arc::new(tcp::Listener::bind("127.0.0.1:0").unwrap());
    let address = listener.local_addr().unwrap();
    let accepting = Arc::clone(&listener);
    check(move || {
        let here = Tcp::connect(&address.to_string(), Duration::from_secs(10))?;
        Ok((here, accepting.accept()?))
    })
    .unwrap();
    check_bytes(move || {
        let theirs = TcpStream::connect(address)?;
        Ok((listener.accept()?, theirs))
    })
    .unwrap();
}

/// A channel that does one thing wrong.
struct Broken(Channel, Fault);
struct BrokenSender(ChannelSender, Fault, Option<Frame<'static>>);
struct BrokenReceiver(ChannelReceiver, Fault);

#[derive(Clone, Copy)]
enum Fault {
    ChangesTag,
    DropsLarge,
    Reorders,
    IgnoresLimit,
    ForgetsTheEnd,
}

impl Transport for Broken {
    type Sender = BrokenSender;
    type Receiver = BrokenReceiver;
    fn split(self, limits: &Limits) -> io::Result<(BrokenSender, BrokenReceiver)> {
        let limits = if let Fault::IgnoresLimit = self.1 { Limits::default() } else { *limits };
        let (sender, receiver) = self.0.split(&limits)?;
        Ok((BrokenSender(sender, self.1, None), BrokenReceiver(receiver, self.1)))
    }
}

impl SendFrame for BrokenSender {
    fn send(&mut self, mut frame: Frame<'_>) -> Result<(), TransportError> {
        match self.1 {
            Fault::ChangesTag => frame.tag.0 &= u64::from(u32::MAX),
            Fault::DropsLarge if frame.payload.len() >= 1 << 16 => return Ok(()),
            Fault::Reorders if frame.opcode == Opcode::Result => {
                self.2 = Some(frame.into_owned());
                return Ok(());
            }
            _ => {}
        }
        self.0.send(frame)?;
        self.2.take().map_or(Ok(()), |late| self.0.send(late))
    }
}

impl RecvFrame for BrokenReceiver {
    fn recv(&mut self) -> Result<Option<Frame<'static>>, TransportError> {
        match (self.0.recv()?, self.1) {
            (None, Fault::ForgetsTheEnd) => {
                Ok(Some(Frame::new(Opcode::Call, dispatch::frame::Seq(1), dispatch::Tag(1), vec![])))
            }
            (received, _) => Ok(received),
        }
    }
}

#[test]
fn what_is_wrong_is_named() {
    let cases = [
        (Fault::ChangesTag, "frames arrive whole"),
        (Fault::DropsLarge, "frames arrive whole"),
        (Fault::Reorders, "frames arrive whole"),
        (Fault::IgnoresLimit, "over the limit"),
        (Fault::ForgetsTheEnd, "dropped sender"),
    ];
    for (fault, question) in cases {
        let failure: Failure = check(move || {
            let (a, b) = channel::pair();
            Ok((Broken(a, fault), Broken(b, fault)))
        })
        .unwrap_err();
        assert!(failure.check.contains(question), "{failure}");
        assert!(!failure.what.is_empty());
    }
}
