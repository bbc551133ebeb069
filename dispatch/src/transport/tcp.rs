//! Frames over TCP, within this machine.
//!
//! You give an address, you get a transport without delays for small frames. It neither encrypts nor asks who is there, so a
//! [`Listener`] takes loopback addresses alone: beyond them is what `tls` (a feature) is for. Mind that every user of a machine
//! reaches its loopback; where that matters, [`unix`](super::unix) sockets know who connects.
//!
//! ```
//! use std::time::Duration;
//! use dispatch::transport::tcp::{Listener, Tcp};
//!
//! let listener = Listener::bind("127.0.0.1:0")?;
//! let address = listener.local_addr()?.to_string();
//! dispatch::conformance::check(move || {
//!     let here = Tcp::connect(&address, Duration::from_secs(10))?;
//!     Ok((here, listener.accept()?))
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::socket::{self, SocketReader, SocketWriter};
use super::stream::{StreamReceiver, StreamSender};
use super::{Closer, Transport};
use crate::frame::Limits;

/// A TCP connection that carries frames.
pub struct Tcp {
    socket: Arc<OwnedFd>,
    name: String,
}

impl Tcp {
    /// Carries frames over a connection.
    ///
    /// # Errors
    /// It is not connected any more.
    pub fn new(socket: TcpStream) -> io::Result<Self> {
        let peer = socket.peer_addr()?;
        Tcp::named(socket, peer)
    }

    fn named(socket: TcpStream, peer: impl fmt::Display) -> io::Result<Self> {
        // A call is a small frame, and the answer waits for it.
        socket.set_nodelay(true)?;
        Ok(Tcp { socket: Arc::new(socket.into()), name: format!("tcp {peer}") })
    }

    /// Connects to `address`, `host:port`. All addresses of the host are tried, one after the other, for no longer than `timeout` in all.
    ///
    /// # Errors
    /// None answered, or not in time; the error names `address`.
    pub fn connect(address: &str, timeout: Duration) -> io::Result<Self> {
        Tcp::named(connect(address, timeout)?, address)
    }

    /// The socket, to give it to another process.
    ///
    /// # Errors
    /// A [`Closer`] has been taken, and the system has no descriptor for a second handle.
    pub fn into_socket(self) -> io::Result<TcpStream> {
        Ok(socket::unshared(self.socket)?.into())
    }
}

/// A connection to one of the addresses of `host:port`.
pub(super) fn connect(address: &str, timeout: Duration) -> io::Result<TcpStream> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("cannot connect to {address}: {error}"));
    let deadline = Instant::now() + timeout;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in address.to_socket_addrs().map_err(named)? {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            last = io::ErrorKind::TimedOut.into();
            break;
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(named(last))
}

impl Transport for Tcp {
    type Sender = StreamSender<SocketWriter>;
    type Receiver = StreamReceiver<SocketReader>;

    fn split(self, limits: &Limits) -> io::Result<(Self::Sender, Self::Receiver)> {
        socket::stream(self.socket, self.name, None).split(limits)
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn closer(&self) -> Option<Closer> {
        Some(socket::closer(&self.socket))
    }
}

impl AsFd for Tcp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl fmt::Debug for Tcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tcp({})", self.name)
    }
}

/// Listens on a loopback address.
#[derive(Debug)]
pub struct Listener(TcpListener);

impl Listener {
    /// Listens on `address`, `host:port`; port 0 takes a free one.
    ///
    /// # Errors
    /// [`BindError::BeyondLoopback`], before anything is bound, or the system refused.
    pub fn bind(address: &str) -> Result<Self, BindError> {
        bind(address, |address| address.ip().to_canonical().is_loopback()).map(Listener)
    }

    /// Waits for the next connection.
    ///
    /// # Errors
    /// The system gave none; when descriptors have run out, wait before trying again.
    pub fn accept(&self) -> io::Result<Tcp> {
        // Its address is asked for here: a client that is gone again has none, and is not the listener's trouble.
        accept(&self.0).and_then(|(socket, peer)| Tcp::named(socket, peer))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Listens on the addresses of `host:port`, if all of them are `allowed`.
pub(super) fn bind(address: &str, allowed: impl Fn(&SocketAddr) -> bool) -> Result<TcpListener, BindError> {
    let system = |error| BindError::System { address: address.to_owned(), error };
    let addresses: Vec<SocketAddr> = address.to_socket_addrs().map_err(system)?.collect();
    if !addresses.iter().all(allowed) {
        return Err(BindError::BeyondLoopback { address: address.to_owned() });
    }
    TcpListener::bind(&*addresses).map_err(system)
}

/// The next connection that has not ended while it waited.
pub(super) fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    loop {
        match listener.accept() {
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            accepted => return accepted,
        }
    }
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Others could reach it, and nothing would ask who they are.
    #[error(
        "will not listen on {address} without TLS: from beyond this machine anybody could have code run here; give a certificate \
         and a client CA or a token (--tls-cert, --tls-key, --tls-ca), or listen on 127.0.0.1 and let ssh -L bring clients there"
    )]
    BeyondLoopback {
        /// What was asked for.
        address: String,
    },
    /// The system refused.
    #[error("cannot listen on {address}: {error}")]
    System {
        /// What was asked for.
        address: String,
        /// What it said.
        #[source]
        error: io::Error,
    },
}
