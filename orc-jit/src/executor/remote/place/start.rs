//! Starting processes that carry an executor.
//!
//! `unsafe` because something has to happen between fork and exec: descriptors that stay open in this child alone, and signals that it is
//! to ignore.
#![allow(unsafe_code)]

use super::connecting;
use rustix::io::{FdFlags, fcntl_setfd};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command};

/// An executor that was started, with this side's ends.
pub(super) struct Started {
    pub(super) socket: UnixStream,
    pub(super) lifeline: UnixStream,
    pub(super) child: Child,
}

/// Starts an executor of ours with a socket for frames and a lifeline.
pub(super) fn with_sockets(path: &Path, arguments: &[OsString]) -> io::Result<Started> {
    let (socket, its_socket) = UnixStream::pair()?;
    let (lifeline, its_lifeline) = UnixStream::pair()?;
    let mut command = Command::new(path);
    command.args(arguments).args(connecting(&its_socket, &its_lifeline));
    if !super::shares_terminal() {
        // Whoever signals a whole group means this process, which passes it on: once.
        command.process_group(0);
    }
    let inherited = [its_socket.as_raw_fd(), its_lifeline.as_raw_fd()];
    let keep = move || {
        for number in inherited {
            // SAFETY: the two sockets are open in the parent until the child has been started, hence in the child as well.
            fcntl_setfd(unsafe { BorrowedFd::borrow_raw(number) }, FdFlags::empty())?;
        }
        Ok(())
    };
    // SAFETY: one system call for each descriptor, which is allowed between fork and exec. Had they been inheritable before, children
    // that other threads start would keep the connection open.
    unsafe { command.pre_exec(keep) };
    let child = command.spawn()?;
    Ok(Started { socket, lifeline, child })
}

/// Makes a command ignore what a terminal sends to the whole group: its executor gets signals through the connection.
pub(super) fn apart_from_the_terminal(command: &mut Command) -> &mut Command {
    let ignore = || {
        for signal in [libc::SIGINT, libc::SIGQUIT] {
            // SAFETY: SIG_IGN installs no handler; signal(2) is allowed between fork and exec.
            unsafe { libc::signal(signal, libc::SIG_IGN) };
        }
        Ok(())
    };
    // SAFETY: as just said.
    unsafe { command.pre_exec(ignore) }
}
