//! A connected socket as something to read from and to write to, for [`Stream`].
//!
//! You give a socket, you get its two directions, which two threads use at once, and a closer that ends both from a third. Unlike the
//! standard library's sockets these never raise SIGPIPE, whatever the executed program made of that signal, and they carry file
//! descriptors beside bytes if there is a place for them. Not for datagrams, and not for sockets that are set to non-blocking.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    Shutdown,
};

use super::Closer;
use super::stream::Stream;
use super::unix::{Descriptors, MAX_DESCRIPTORS};

/// Both directions of `socket` as a stream of frames.
pub(super) fn stream(
    socket: Arc<OwnedFd>,
    name: String,
    descriptors: Option<Descriptors>,
) -> Stream<SocketReader, SocketWriter> {
    let reader = SocketReader { socket: Arc::clone(&socket), descriptors: descriptors.clone() };
    let writer = SocketWriter { socket: Arc::clone(&socket), descriptors, within_frame: false };
    Stream::new(reader, writer).named(name).on_close(move || shut_down(&socket))
}

/// What ends the connection in both directions.
pub(super) fn closer(socket: &Arc<OwnedFd>) -> Closer {
    let socket = Arc::clone(socket);
    Closer::new(move || shut_down(&socket))
}

pub(super) fn shut_down(socket: &OwnedFd) {
    // One that the other side has ended already needs no second end.
    let _ = rustix::net::shutdown(socket, Shutdown::Both);
}

/// The socket alone again; a second descriptor of it where a closer still holds the first.
pub(super) fn unshared(socket: Arc<OwnedFd>) -> io::Result<OwnedFd> {
    Arc::try_unwrap(socket).or_else(|shared| shared.try_clone())
}

/// Reads what a socket receives; keeps file descriptors that come along, if there is a place for them.
pub struct SocketReader {
    socket: Arc<OwnedFd>,
    descriptors: Option<Descriptors>,
}

impl Read for SocketReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(descriptors) = &self.descriptors else {
            return Ok(rustix::net::recv(&self.socket, buffer, RecvFlags::empty())?.1);
        };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut pieces = [IoSliceMut::new(buffer)];
        // More than `space` holds does not arrive at all: the kernel lets go of it.
        let received = rustix::net::recvmsg(&self.socket, &mut pieces, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(arrived) = message {
                descriptors.keep(arrived);
            }
        }
        Ok(received.bytes)
    }
}

impl fmt::Debug for SocketReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SocketReader")
    }
}

/// Writes to a socket; a flush ends a frame, and file descriptors leave with the first byte behind one.
pub struct SocketWriter {
    socket: Arc<OwnedFd>,
    descriptors: Option<Descriptors>,
    within_frame: bool,
}

impl SocketWriter {
    fn send(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let outgoing = match &self.descriptors {
            Some(descriptors) if !self.within_frame => descriptors.next_outgoing(),
            _ => Vec::new(),
        };
        let borrowed: Vec<_> = outgoing.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !borrowed.is_empty() {
            let fits = control.push(SendAncillaryMessage::ScmRights(&borrowed));
            debug_assert!(fits, "no more are taken than there is space for");
        }
        // Here rather than with the caller, who would not know that descriptors are still to be sent.
        let sent = rustix::io::retry_on_intr(|| {
            rustix::net::sendmsg(&self.socket, pieces, &mut control, SendFlags::NOSIGNAL)
        })?;
        self.within_frame = true;
        Ok(sent)
    }
}

impl Write for SocketWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.send(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.within_frame = false;
        Ok(())
    }
}

impl fmt::Debug for SocketWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SocketWriter")
    }
}
