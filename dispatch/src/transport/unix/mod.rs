//! Frames over a Unix socket: between processes of one machine, with file descriptors beside the frames.
//!
//! You give a connected socket, or a path; you get a transport, the credentials of whoever is at the other end, and a handle for
//! [`Descriptors`]. A [`Listener`] lets in this process's own user and root, and nobody else. It is not for sockets between machines
//! or users: that is what `tls` (a feature) is for.
//!
//! ```
//! use std::os::fd::AsFd;
//! use dispatch::frame::{Frame, Opcode, Seq};
//! use dispatch::transport::{RecvFrame, SendFrame, Transport, unix::Unix};
//! use dispatch::{Limits, Tag};
//!
//! let (here, there) = Unix::pair()?;
//! let (outgoing, incoming) = (here.descriptors(), there.descriptors());
//! let (mut sender, _receiver) = here.split(&Limits::default())?;
//! let (_sender, mut receiver) = there.split(&Limits::default())?;
//!
//! outgoing.send_with_next(std::io::stderr().as_fd().try_clone_to_owned()?);
//! sender.send(Frame::new(Opcode::Call, Seq(1), Tag(1), b"have a look".as_slice()))?;
//! receiver.recv()?;
//! assert_eq!(incoming.take_received().len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use super::socket::{self, SocketReader, SocketWriter};
use super::stream::{StreamReceiver, StreamSender};
use super::{Closer, Transport};
use crate::frame::Limits;

mod descriptors;
mod listener;

pub use descriptors::{Descriptors, MAX_DESCRIPTORS};
pub use listener::{AcceptError, BindError, Listener};

/// A Unix socket that carries frames.
///
/// ```
/// # use dispatch::transport::unix::Unix;
/// dispatch::conformance::check(Unix::pair)?;
/// # Ok::<(), dispatch::conformance::Failure>(())
/// ```
pub struct Unix {
    socket: Arc<OwnedFd>,
    descriptors: Descriptors,
    name: String,
}

impl Unix {
    /// Carries frames over a connected socket, which must be in blocking mode.
    pub fn new(socket: UnixStream) -> Self {
        Unix { socket: Arc::new(socket.into()), descriptors: Descriptors::default(), name: "unix socket".to_owned() }
    }

    /// Two ends that are connected with each other; one may be given to a child process.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub fn pair() -> io::Result<(Unix, Unix)> {
        let (a, b) = UnixStream::pair()?;
        Ok((Unix::new(a), Unix::new(b)))
    }

    /// Connects to whoever listens at `path`. It does not ask who that is: see [`same_user`](Unix::same_user).
    ///
    /// # Errors
    /// There is no such socket, nobody listens at it, or this process may not; the error names `path`.
    pub fn connect(path: impl AsRef<Path>) -> io::Result<Unix> {
        let path = path.as_ref();
        let name = format!("unix {}", path.display());
        match UnixStream::connect(path) {
            Ok(socket) => Ok(Unix::new(socket).named(name)),
            Err(error) => Err(io::Error::new(error.kind(), format!("cannot connect to {name}: {error}"))),
        }
    }

    /// How errors should call the other side.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// A handle for the file descriptors that travel beside the frames; it stays useful when the transport is split.
    pub fn descriptors(&self) -> Descriptors {
        self.descriptors.clone()
    }

    /// Who connected, or whom this side connected to.
    ///
    /// # Errors
    /// It is no Unix socket after all.
    pub fn peer_credentials(&self) -> io::Result<Credentials> {
        Credentials::of(self.socket.as_fd())
    }

    /// Whether the other side may [come in](Credentials::may_come_in).
    ///
    /// # Errors
    /// It is no Unix socket after all.
    pub fn same_user(&self) -> io::Result<bool> {
        Ok(self.peer_credentials()?.may_come_in())
    }

    /// The socket, to give it to another process.
    ///
    /// # Errors
    /// A [`Closer`] has been taken, and the system has no descriptor for a second handle.
    pub fn into_socket(self) -> io::Result<UnixStream> {
        Ok(socket::unshared(self.socket)?.into())
    }
}

impl Transport for Unix {
    type Sender = StreamSender<SocketWriter>;
    type Receiver = StreamReceiver<SocketReader>;

    fn split(self, limits: &Limits) -> io::Result<(Self::Sender, Self::Receiver)> {
        socket::stream(self.socket, self.name, Some(self.descriptors)).split(limits)
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn closer(&self) -> Option<Closer> {
        Some(socket::closer(&self.socket))
    }
}

impl AsFd for Unix {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl fmt::Debug for Unix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unix({})", self.name)
    }
}

/// Who is at the other end of a Unix socket, as the kernel saw it when they connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credentials {
    /// The process; 0 if it lives where this process cannot see it, in another container.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

impl Credentials {
    fn of(socket: BorrowedFd<'_>) -> io::Result<Self> {
        let peer = nix::sys::socket::getsockopt(&socket, nix::sys::socket::sockopt::PeerCredentials)?;
        Ok(Credentials { pid: peer.pid().try_into().unwrap_or(0), uid: peer.uid(), gid: peer.gid() })
    }

    /// Whether they may have code run here: the user of this process may, and root.
    pub fn may_come_in(&self) -> bool {
        self.may_come_in_to(rustix::process::geteuid().as_raw())
    }

    /// [`may_come_in`](Credentials::may_come_in), for a process of the user `uid`.
    pub fn may_come_in_to(&self, uid: u32) -> bool {
        self.uid == uid || self.uid == 0
    }
}
