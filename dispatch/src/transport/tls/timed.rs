//! A socket with a deadline for all that happens on it, however slowly the other side drips.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{RecvFlags, SendFlags};

/// A socket during a handshake. Afterwards it has no deadline again.
pub(super) struct Timed<'a> {
    socket: &'a OwnedFd,
    deadline: Instant,
}

impl<'a> Timed<'a> {
    pub(super) fn new(socket: &'a OwnedFd, deadline: Instant) -> Self {
        Timed { socket, deadline }
    }

    fn arm(&self, direction: Timeout) -> io::Result<()> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // The system counts in microseconds, and takes zero for "no limit".
        let left = left.max(Duration::from_micros(1));
        Ok(set_socket_timeout(self.socket, direction, Some(left))?)
    }
}

fn timed_out(error: Errno) -> io::Error {
    if error == Errno::AGAIN { io::ErrorKind::TimedOut.into() } else { error.into() }
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.arm(Timeout::Recv)?;
            match rustix::net::recv(self.socket, &mut *buffer, RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                received => return received.map(|(count, _)| count).map_err(timed_out),
            }
        }
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.arm(Timeout::Send)?;
            match rustix::net::send(self.socket, bytes, SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => {}
                sent => return sent.map_err(timed_out),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        for direction in [Timeout::Recv, Timeout::Send] {
            // It fails for a socket that is gone, which the next use will tell.
            let _ = set_socket_timeout(self.socket, direction, None);
        }
    }
}
