//! Frames over TCP between machines: encrypted, and with proof of who is there (TLS 1.3 by rustls).
//!
//! You give a certificate with its key, whom you trust, and an address; you get a transport. The client always checks the server's
//! certificate. The server always demands something of the client, too: a certificate of a CA that it names, a [`Token`] that both
//! know, or both. It is not a public key infrastructure: certificates are files that somebody made (`openssl`, `step`, `mkcert`).
//!
//! Who fails is disconnected without a word; the reason is this side's alone, as a [`TlsError`]. A handshake has a deadline, and
//! happens in [`Incoming::handshake`], on whatever thread (or in whatever process) calls it: accepting waits for nobody. How many
//! strangers may be in a handshake at once is for who accepts to bound; each costs a thread and a descriptor until the deadline.
//!
//! ```no_run
//! use std::time::Duration;
//! use dispatch::transport::tls::{ClientTls, Listener, ServerTls, TlsIdentity, Token};
//!
//! // Here:
//! let identity = TlsIdentity::from_pem_files("server.pem", "server.key")?;
//! let listener = Listener::bind("0.0.0.0:4000", ServerTls::new(identity, Some("clients.pem".as_ref()), None)?)?;
//! loop {
//!     let incoming = listener.accept()?;
//!     std::thread::spawn(move || match incoming.handshake() {
//!         Ok(transport) => drop(dispatch::Connect::executor(Default::default()).over(transport)),
//!         Err(error) => tracing::warn!("{error}"),
//!     });
//! }
//! # #[allow(unreachable_code, reason = "the loop above has no end")]
//! // There:
//! let identity = TlsIdentity::from_pem_files("client.pem", "client.key")?;
//! let client = ClientTls::new(Some(identity), "servers.pem", None)?;
//! let transport = client.connect("build-host:4000", Duration::from_secs(10))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # On the wire
//! TLS 1.3 with the application protocol `orc-dispatch/1`. Inside, the client first sends 258 bytes: the length of its token (0: none)
//! as a little-endian `u16`, and the token, filled up with zeros. The server answers with the byte 1 if the client may come in. Then
//! both send frames. TLS's goodbye (close_notify) ends them; a connection that ends without has been cut, which is an error.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

use super::stream::{Stream, StreamReceiver, StreamSender};
use super::tcp::{self, BindError};
use super::{Closer, Transport, socket};
use crate::frame::Limits;

mod config;
mod error;
mod halves;
mod handshake;
mod timed;

pub use config::{TlsIdentity, Token};
pub use error::{Reason, TlsError};
pub use halves::{TlsReader, TlsWriter};

use halves::Shared;

/// How long a handshake may take, unless told otherwise.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How this side connects: who it is, whom it trusts. Clones share everything.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    token: Option<Token>,
    timeout: Duration,
}

impl ClientTls {
    /// Connects to servers whose certificates the CAs in `ca_pem` (a PEM file) have signed, for the host name or address that is
    /// connected to. `identity` and `token` are what the server demands.
    ///
    /// # Errors
    /// The files are unreadable, or what is in them does not fit together.
    pub fn new(
        identity: Option<TlsIdentity>,
        ca_pem: impl AsRef<Path>,
        token: Option<Token>,
    ) -> Result<Self, TlsError> {
        let config = Arc::new(config::client(identity, ca_pem.as_ref())?);
        Ok(ClientTls { config, token, timeout: HANDSHAKE_TIMEOUT })
    }

    /// How long a handshake may take. Default: [`HANDSHAKE_TIMEOUT`].
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Connects to `address`, `host:port`, within `timeout`, and proves to it who this side is.
    ///
    /// # Errors
    /// It cannot be reached, is not who it should be, or does not let this side in.
    pub fn connect(&self, address: &str, timeout: Duration) -> Result<Tls, TlsError> {
        let peer = format!("tls {address}");
        let reached = tcp::connect(address, timeout).map_err(|error| error::refused(&peer, Reason::System(error)))?;
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
        self.handshake(reached, host).map_err(|error| error.named(&peer)).map(|tls| Tls { name: peer, ..tls })
    }

    /// Makes a transport of a connection to a server that calls itself `host`.
    ///
    /// # Errors
    /// It is not who it should be, or does not let this side in.
    pub fn handshake(&self, socket: TcpStream, host: &str) -> Result<Tls, TlsError> {
        let peer = format!("tls {host}");
        let begin = || -> Result<_, Reason> {
            let name = ServerName::try_from(host.to_owned()).map_err(|_| Reason::NoName { host: host.to_owned() })?;
            socket.set_nodelay(true).map_err(Reason::System)?;
            Ok(ClientConnection::new(Arc::clone(&self.config), name)?)
        };
        let connection = begin().map_err(|reason| error::refused(&peer, reason))?;
        let deadline = Instant::now() + self.timeout;
        let shared = handshake::client(socket.into(), connection, self.token.as_ref(), deadline)
            .map_err(|reason| error::refused(&peer, reason.within(self.timeout)))?;
        Ok(Tls { shared, name: peer })
    }
}

/// How this side lets others in. Clones share everything.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    token: Option<Token>,
    timeout: Duration,
}

impl ServerTls {
    /// Shows `identity` to clients, and lets in those with a certificate that a CA in the PEM file `client_ca` has signed, and with the
    /// `token`: what is given is demanded, and something must be.
    ///
    /// # Errors
    /// Nothing is demanded of clients, the files are unreadable, or what is in them does not fit together.
    pub fn new(identity: TlsIdentity, client_ca: Option<&Path>, token: Option<Token>) -> Result<Self, TlsError> {
        if client_ca.is_none() && token.is_none() {
            return Err(TlsError::AnybodyMayComeIn);
        }
        let config = Arc::new(config::server(identity, client_ca)?);
        Ok(ServerTls { config, token, timeout: HANDSHAKE_TIMEOUT })
    }

    /// How long a handshake may take. Default: [`HANDSHAKE_TIMEOUT`].
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Makes a transport of a connection that was accepted, possibly by another process.
    ///
    /// # Errors
    /// The client may not come in. The connection is closed, and the client is not told why.
    pub fn handshake(&self, socket: TcpStream) -> Result<Tls, TlsError> {
        let peer = socket.peer_addr().map_or_else(|_| "tls (gone)".to_owned(), |address| format!("tls {address}"));
        let begin = || -> Result<_, Reason> {
            socket.set_nodelay(true).map_err(Reason::System)?;
            Ok(ServerConnection::new(Arc::clone(&self.config))?)
        };
        let connection = begin().map_err(|reason| error::refused(&peer, reason))?;
        let deadline = Instant::now() + self.timeout;
        let shared = handshake::server(socket.into(), connection, self.token.as_ref(), deadline)
            .map_err(|reason| error::refused(&peer, reason.within(self.timeout)))?;
        Ok(Tls { shared, name: peer })
    }
}

/// An encrypted connection that carries frames.
pub struct Tls {
    shared: Arc<Shared>,
    name: String,
}

impl Transport for Tls {
    type Sender = StreamSender<TlsWriter>;
    type Receiver = StreamReceiver<TlsReader>;

    fn split(self, limits: &Limits) -> io::Result<(Self::Sender, Self::Receiver)> {
        // Without a closer: the writer ends the connection itself, after its goodbye.
        Stream::new(TlsReader::new(&self.shared), TlsWriter::new(&self.shared)).split(limits)
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn closer(&self) -> Option<Closer> {
        Some(socket::closer(&self.shared.socket))
    }
}

/// Listens on any address for clients that prove who they are.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    config: ServerTls,
}

impl Listener {
    /// Listens on `address`, `host:port`; port 0 takes a free one.
    ///
    /// # Errors
    /// The system refused.
    pub fn bind(address: &str, config: ServerTls) -> Result<Self, BindError> {
        Ok(Listener { socket: tcp::bind(address, |_| true)?, config })
    }

    /// Waits for the next connection, not for its handshake.
    ///
    /// # Errors
    /// The system gave none; when descriptors have run out, wait before trying again.
    pub fn accept(&self) -> io::Result<Incoming> {
        let (socket, _) = tcp::accept(&self.socket)?;
        Ok(Incoming { socket, config: self.config.clone() })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A connection of somebody who has proven nothing yet.
#[derive(Debug)]
#[must_use = "it is closed when dropped"]
pub struct Incoming {
    socket: TcpStream,
    config: ServerTls,
}

impl Incoming {
    /// Lets the client prove who it is; takes as long as the configuration allows.
    ///
    /// # Errors
    /// The client may not come in. The connection is closed, and the client is not told why.
    pub fn handshake(self) -> Result<Tls, TlsError> {
        self.config.handshake(self.socket)
    }

    /// The bare connection, to give it to the process that will make the handshake.
    pub fn into_socket(self) -> TcpStream {
        self.socket
    }
}

impl AsFd for Incoming {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").field("token", &self.token).finish_non_exhaustive()
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").field("token", &self.token).finish_non_exhaustive()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({})", self.name)
    }
}
