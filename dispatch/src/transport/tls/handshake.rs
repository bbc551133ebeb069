//! From a bare connection to one that has proven who is there.
//!
//! A failure sends nothing: rustls would tell the other side by an alert what is wrong with it, and here it is not told. So this is
//! not `complete_io`.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use rustls::{ClientConnection, Connection, ServerConnection};

use super::config::{PROTOCOL, Token};
use super::error::Reason;
use super::halves::Shared;
use super::timed::Timed;
use crate::transport::socket::shut_down;

/// The server's answer to a greeting.
const WELCOME: u8 = 1;

pub(super) fn server(
    socket: OwnedFd,
    connection: ServerConnection,
    token: Option<&Token>,
    deadline: Instant,
) -> Result<Arc<Shared>, Reason> {
    let mut connection = connection.into();
    within(&socket, deadline, |socket| {
        agree(&mut connection, socket)?;
        let mut greeting = [0; Token::GREETING];
        read_exact(&mut connection, socket, &mut greeting)?;
        match token {
            Some(token) if greeting[..2] == [0, 0] && !token.is_shown_by(&greeting) => return Err(Reason::NoToken),
            Some(token) if !token.is_shown_by(&greeting) => return Err(Reason::WrongToken),
            _ => {}
        }
        write_all(&mut connection, socket, &[WELCOME])
    })?;
    Ok(Shared::new(socket, connection))
}

pub(super) fn client(
    socket: OwnedFd,
    connection: ClientConnection,
    token: Option<&Token>,
    deadline: Instant,
) -> Result<Arc<Shared>, Reason> {
    let mut connection = connection.into();
    within(&socket, deadline, |socket| {
        agree(&mut connection, socket)?;
        // From here on the server knows who this side is, and if it leaves, this is why.
        let mut proven = || {
            write_all(&mut connection, socket, &Token::greeting(token))?;
            let mut answer = [0];
            read_exact(&mut connection, socket, &mut answer)?;
            if answer == [WELCOME] { Ok(()) } else { Err(Reason::OtherProtocol) }
        };
        proven().map_err(|reason| if let Reason::Closed = reason { Reason::TurnedAway } else { reason })
    })?;
    Ok(Shared::new(socket, connection))
}

/// Runs a handshake, and ends the connection if it fails.
fn within(
    socket: &OwnedFd,
    deadline: Instant,
    handshake: impl FnOnce(&mut Timed<'_>) -> Result<(), Reason>,
) -> Result<(), Reason> {
    let outcome = handshake(&mut Timed::new(socket, deadline));
    if outcome.is_err() {
        shut_down(socket);
    }
    outcome
}

/// TLS's own handshake.
fn agree(connection: &mut Connection, socket: &mut Timed<'_>) -> Result<(), Reason> {
    loop {
        flush(connection, socket)?;
        if !connection.is_handshaking() {
            break;
        }
        receive(connection, socket)?;
    }
    if connection.alpn_protocol() == Some(PROTOCOL) { Ok(()) } else { Err(Reason::OtherProtocol) }
}

fn flush(connection: &mut Connection, socket: &mut Timed<'_>) -> Result<(), Reason> {
    while connection.wants_write() {
        connection.write_tls(socket)?;
    }
    Ok(())
}

fn receive(connection: &mut Connection, socket: &mut Timed<'_>) -> Result<(), Reason> {
    if connection.read_tls(socket)? == 0 {
        return Err(Reason::Closed);
    }
    connection.process_new_packets()?;
    Ok(())
}

fn write_all(connection: &mut Connection, socket: &mut Timed<'_>, bytes: &[u8]) -> Result<(), Reason> {
    connection.writer().write_all(bytes)?;
    flush(connection, socket)
}

fn read_exact(connection: &mut Connection, socket: &mut Timed<'_>, mut buffer: &mut [u8]) -> Result<(), Reason> {
    while !buffer.is_empty() {
        match connection.reader().read(buffer) {
            Ok(0) => return Err(Reason::Closed),
            Ok(count) => buffer = &mut buffer[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => receive(connection, socket)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
