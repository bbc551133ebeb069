//! What can be wrong with files, and why somebody did not come in.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// TLS that cannot be set up, or a connection that did not come about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read the {what} {path}: {error}")]
    File {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path} holds no {what} in PEM form: {why}")]
    Pem {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is in the way.
        why: String,
    },
    /// Certificates or keys that do not fit together.
    #[error("the certificate cannot be used: {0}; does the key belong to it?")]
    Unusable(String),
    /// Others can read the file of a secret.
    #[error("others can read the token in {path} (mode {mode:03o}); chmod 600 keeps it secret")]
    TokenIsNoSecret {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A token that can be guessed, or has no room in the greeting.
    #[error("a token has 16 to 256 bytes, this one {size}; `openssl rand -hex 32` makes one")]
    TokenSize {
        /// Its size in bytes, without the end of the line.
        size: usize,
    },
    /// A server that would let everybody in.
    #[error("a server must demand something of its clients: give the CA of their certificates, or a token")]
    AnybodyMayComeIn,
    /// A connection that did not come about.
    #[error("no connection with {peer}: {reason}")]
    Refused {
        /// The other side.
        peer: String,
        /// Why.
        #[source]
        reason: Reason,
    },
}

impl TlsError {
    pub(super) fn named(self, name: &str) -> Self {
        match self {
            TlsError::Refused { reason, .. } => refused(name, reason),
            other => other,
        }
    }
}

pub(super) fn refused(peer: &str, reason: Reason) -> TlsError {
    TlsError::Refused { peer: peer.to_owned(), reason }
}

/// Why a connection did not come about. Told to this side only.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The other side took too long.
    #[error("the handshake was not done after {0:?}")]
    TimedOut(Duration),
    /// The other side went away.
    #[error("it closed the connection before the handshake was done")]
    Closed,
    /// What the other side sent is no TLS, or its certificate is not good, or it has none.
    #[error("{0}")]
    Tls(String),
    /// The other side means another protocol.
    #[error("it does not speak orc-dispatch/1")]
    OtherProtocol,
    /// It showed no token.
    #[error("it showed no token")]
    NoToken,
    /// It showed another token.
    #[error("it showed a wrong token")]
    WrongToken,
    /// The server has seen who this side is, and closed the connection.
    #[error(
        "it turned this side away, and does not say why; does it know this side's certificate, and is the token the same?"
    )]
    TurnedAway,
    /// A name that no certificate can be for.
    #[error("{host:?} is no host name or address")]
    NoName {
        /// The text.
        host: String,
    },
    /// The system's error.
    #[error(transparent)]
    System(io::Error),
}

impl Reason {
    /// With the time that there was.
    pub(super) fn within(self, timeout: Duration) -> Self {
        match self {
            Reason::System(error) if error.kind() == io::ErrorKind::TimedOut => Reason::TimedOut(timeout),
            other => other,
        }
    }
}

impl From<rustls::Error> for Reason {
    fn from(error: rustls::Error) -> Self {
        Reason::Tls(error.to_string())
    }
}

impl From<io::Error> for Reason {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Reason::Closed,
            _ => Reason::System(error),
        }
    }
}
