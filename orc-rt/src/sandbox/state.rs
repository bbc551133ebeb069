//! What a process must not have when it enters a sandbox: other threads, sockets without a peer.
//!
//! `unsafe` because descriptors that are found by number are asked what they are.
#![allow(unsafe_code)]

use super::error::SandboxError;
use rustix::fd::BorrowedFd;
use rustix::net::{AddressFamily, SocketType, ipproto, sockopt};
use std::fs;
use std::path::Path;

/// # Errors
/// There is another thread.
pub(super) fn only_thread() -> Result<(), SandboxError> {
    let count = list("/proc/self/task")?.len();
    if count == 1 { Ok(()) } else { Err(SandboxError::Threads { count }) }
}

/// Refuses open sockets that can send to somebody else than their peer: `sendmsg` takes an address in memory, where no filter looks.
///
/// # Errors
/// There is one.
pub(super) fn sockets_are_connections() -> Result<(), SandboxError> {
    for number in list("/proc/self/fd")? {
        let link = fs::read_link(Path::new("/proc/self/fd").join(number.to_string()));
        if !link.is_ok_and(|link| link.as_os_str().as_encoded_bytes().starts_with(b"socket:")) {
            continue;
        }
        // SAFETY: the descriptor was open a moment ago, and this is the only thread (`only_thread`), which has closed nothing since.
        let socket = unsafe { BorrowedFd::borrow_raw(number) };
        if let Some(kind) = wandering(socket).map_err(SandboxError::system("an open socket does not tell its kind"))? {
            return Err(SandboxError::Socket { descriptor: number, kind });
        }
    }
    Ok(())
}

/// What kind of socket it is, if not one that is bound to its peer.
fn wandering(socket: BorrowedFd<'_>) -> rustix::io::Result<Option<String>> {
    let (domain, kind) = (sockopt::socket_domain(socket)?, sockopt::socket_type(socket)?);
    let bound = match (domain, kind) {
        (AddressFamily::UNIX, SocketType::STREAM | SocketType::SEQPACKET) => true,
        (AddressFamily::INET | AddressFamily::INET6, SocketType::STREAM) => {
            // SCTP has streams as well, with addresses in each message.
            let protocol = sockopt::socket_protocol(socket)?;
            protocol == Some(ipproto::TCP) || protocol == Some(ipproto::MPTCP)
        }
        (domain, SocketType::STREAM) => i32::from(domain.as_raw()) == libc::AF_VSOCK,
        _ => false,
    };
    let name = || {
        let domain = match domain {
            AddressFamily::UNIX => "Unix".to_owned(),
            AddressFamily::INET | AddressFamily::INET6 => "internet".to_owned(),
            AddressFamily::NETLINK => "netlink".to_owned(),
            other => format!("family {}", other.as_raw()),
        };
        let kind = match kind {
            SocketType::DGRAM => "datagram",
            SocketType::RAW => "raw",
            SocketType::SEQPACKET => "packet",
            _ => "other",
        };
        format!("{domain} {kind}")
    };
    Ok((!bound).then(name))
}

/// Numbers that are names of entries, ascending; the descriptor of the listing itself is closed by then.
fn list(folder: &str) -> Result<Vec<i32>, SandboxError> {
    let what = "/proc/self cannot be read, which tells what is open and what runs";
    let entries = fs::read_dir(folder).map_err(|source| SandboxError::System { what, source })?;
    let mut numbers: Vec<i32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::wandering;
    use std::net::{TcpListener, UdpSocket};
    use std::os::fd::AsFd;
    use std::os::unix::net::{UnixDatagram, UnixStream};

    #[test]
    fn a_stream_is_bound_to_its_peer_and_a_datagram_socket_is_not() {
        let (stream, _) = UnixStream::pair().expect("a pair");
        let (datagram, _) = UnixDatagram::pair().expect("a pair");
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let kinds = [stream.as_fd(), datagram.as_fd(), tcp.as_fd(), udp.as_fd()].map(wandering);
        let [stream, datagram, tcp, udp] = kinds.map(|kind| kind.expect("a socket"));
        assert_eq!((stream, tcp), (None, None));
        assert_eq!((datagram.as_deref(), udp.as_deref()), (Some("Unix datagram"), Some("internet datagram")));
    }
}
