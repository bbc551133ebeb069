//! Does the conformance suite pass what is right and name what is wrong?

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

use dispatch::Limits;
use dispatch::conformance::{Failure, check};
use dispatch::frame::{Frame, Opcode};
use dispatch::transport::channel::{self, Channel, ChannelReceiver, ChannelSender};
use dispatch::transport::stream::Stream;
use dispatch::transport::{RecvFrame, SendFrame, Transport, TransportError};

#[test]
fn the_channel_conforms() {
    check(|| Ok(channel::pair())).unwrap();
}

#[test]
fn streams_over_sockets_and_pipes_conform() {
    check(|| {
        let over = |socket: UnixStream| -> io::Result<_> {
            let handle = socket.try_clone()?;
            let close = move || drop(handle.shutdown(Shutdown::Both));
            Ok(Stream::new(socket.try_clone()?, socket).on_close(close))
        };
        let (a, b) = UnixStream::pair()?;
        Ok((over(a)?, over(b)?))
    })
    .unwrap();
    check(|| {
        let over = |socket: TcpStream| -> io::Result<_> {
            socket.set_nodelay(true)?;
            let handle = socket.try_clone()?;
            let close = move || drop(handle.shutdown(Shutdown::Both));
            Ok(Stream::new(socket.try_clone()?, socket).on_close(close))
        };
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let a = TcpStream::connect(listener.local_addr()?)?;
        Ok((over(a)?, over(listener.accept()?.0)?))
    })
    .unwrap();
    // Pipes end by being dropped; there is no closer.
    check(|| {
        let ((from_a, to_b), (from_b, to_a)) = (io::pipe()?, io::pipe()?);
        Ok((Stream::new(from_b, to_b), Stream::new(from_a, to_a)))
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
