//! The two directions of one TLS connection.
//!
//! To rustls a connection is one object for both directions, and here two threads use it. Its lock is held to encrypt or to decrypt
//! what is in memory, never while a thread waits for the socket: a reader that waits does not keep the writer from writing, nor the
//! other way round, however full the socket is.
//!
//! Invariant: only the writer writes to the socket. What TLS wants to send while it reads (the answer to a change of keys) leaves with
//! the next frame, as RFC 8446, section 4.6.3, allows; records therefore keep the order in which they were encrypted.

use std::fmt;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::net::{RecvFlags, SendFlags};
use rustls::Connection;

use crate::sync::{Mutex, MutexGuard};
use crate::transport::socket::shut_down;

/// What one `recv` asks for: the largest record, and a bit of the next.
const READ_AHEAD: usize = 32 * 1024;

/// What both halves share.
pub(super) struct Shared {
    pub(super) socket: Arc<OwnedFd>,
    connection: Mutex<Connection>,
}

impl Shared {
    pub(super) fn new(socket: OwnedFd, connection: Connection) -> Arc<Self> {
        Arc::new(Shared { socket: Arc::new(socket), connection: Mutex::new(connection) })
    }

    /// What it sends next, encrypted.
    fn drain(connection: &mut MutexGuard<'_, Connection>, encrypted: &mut Vec<u8>) -> io::Result<()> {
        while connection.wants_write() {
            connection.write_tls(encrypted)?;
        }
        Ok(())
    }
}

/// The half that reads.
pub struct TlsReader {
    shared: Arc<Shared>,
    /// Received, of which `unread` is not decrypted yet.
    encrypted: Box<[u8]>,
    unread: std::ops::Range<usize>,
}

impl TlsReader {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        TlsReader { shared: Arc::clone(shared), encrypted: vec![0; READ_AHEAD].into(), unread: 0..0 }
    }

    /// What has been decrypted, as much as fits; `None` if there is nothing, and more must be received.
    fn decrypted(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let mut connection = self.shared.connection.lock();
        loop {
            match connection.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read.map(Some),
            }
            if self.unread.is_empty() {
                return Ok(None);
            }
            let taken = connection.read_tls(&mut &self.encrypted[self.unread.clone()])?;
            self.unread.start += taken;
            connection.process_new_packets().map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        }
    }
}

impl Read for TlsReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(count) = self.decrypted(buffer)? {
                return Ok(count);
            }
            let (count, _) = rustix::net::recv(&self.shared.socket, &mut *self.encrypted, RecvFlags::empty())?;
            if count == 0 {
                return Err(io::Error::new(ErrorKind::UnexpectedEof, "it ended without a goodbye: it was cut"));
            }
            self.unread = 0..count;
        }
    }
}

impl fmt::Debug for TlsReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsReader")
    }
}

/// The half that writes. Dropping it says goodbye and ends the connection.
pub struct TlsWriter {
    shared: Arc<Shared>,
    encrypted: Vec<u8>,
}

impl TlsWriter {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        TlsWriter { shared: Arc::clone(shared), encrypted: Vec::new() }
    }
}

impl Write for TlsWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut connection = self.shared.connection.lock();
        // It takes as much as its buffer holds, which is empty now.
        let taken = connection.writer().write_vectored(pieces)?;
        Shared::drain(&mut connection, &mut self.encrypted)?;
        drop(connection);
        let mut rest = &*self.encrypted;
        while !rest.is_empty() {
            let send = || rustix::net::send(&self.shared.socket, rest, SendFlags::NOSIGNAL);
            rest = &rest[rustix::io::retry_on_intr(send)?..];
        }
        self.encrypted.clear();
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for TlsWriter {
    fn drop(&mut self) {
        // A write that failed has left a record half sent, and nothing behind it could be read.
        if self.encrypted.is_empty() {
            let mut connection = self.shared.connection.lock();
            connection.send_close_notify();
            if Shared::drain(&mut connection, &mut self.encrypted).is_ok() {
                // Not for the price of waiting: without room for a goodbye the connection just ends.
                let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
                let _ = rustix::net::send(&self.shared.socket, &self.encrypted, flags);
            }
        }
        shut_down(&self.shared.socket);
    }
}

impl fmt::Debug for TlsWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsWriter")
    }
}
