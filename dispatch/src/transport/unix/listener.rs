//! A socket in the file system that one's own processes connect to.
//!
//! The file belongs to its user alone from its first moment (mode 0600), and whoever connects is asked for the kernel's word on who
//! they are. A file that a dead listener left behind is replaced; anything else that stands there is refused.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::{Credentials, Unix};

/// How many connections wait to be accepted; more are told to try again by the kernel.
const BACKLOG: i32 = 128;

/// Listens at a path. Dropping it removes the file, if it still is the one that it made.
pub struct Listener {
    socket: OwnedFd,
    path: PathBuf,
    /// What was made, and by which process: a forked child that drops its copy must not remove its parent's file.
    made: Option<(u64, u64, u32)>,
}

impl Listener {
    /// Listens at `path`.
    ///
    /// # Errors
    /// Something else stands there, somebody listens there, or the system refused.
    pub fn bind(path: impl AsRef<Path>) -> Result<Self, BindError> {
        let path = path.as_ref();
        let system = |error: Errno| BindError::System { path: path.to_owned(), error: error.into() };
        let _alone = lock_folder(path);
        let address = SocketAddrUnix::new(path).map_err(|_| BindError::TooLong { path: path.to_owned() })?;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .map_err(system)?;
        // The file that bind makes inherits this mode, so that there is no moment in which others could connect.
        rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR).map_err(system)?;
        match rustix::net::bind(&socket, &address) {
            Ok(()) => {}
            Err(Errno::ADDRINUSE) => {
                remove_stale(path)?;
                rustix::net::bind(&socket, &address).map_err(system)?;
            }
            Err(error) => return Err(system(error)),
        }
        let mut listener = Listener { socket, path: path.to_owned(), made: None };
        listener.made =
            rustix::fs::lstat(path).ok().map(|stat| identity(&stat)).map(|(dev, ino)| (dev, ino, std::process::id()));
        rustix::net::listen(&listener.socket, BACKLOG).map_err(system)?;
        Ok(listener)
    }

    /// Listens with a socket that somebody else has bound, e.g. the parent process; its file is not this one's to remove.
    pub fn from_socket(socket: UnixListener) -> Self {
        let address = socket.local_addr().ok();
        let path = address.and_then(|address| address.as_pathname().map(Path::to_owned)).unwrap_or_default();
        Listener { socket: socket.into(), path, made: None }
    }

    /// Waits for the next connection of somebody who [may come in](Credentials::may_come_in).
    ///
    /// # Errors
    /// [`AcceptError::Stranger`]: the connection was closed without a word, and the next call waits for the next one.
    /// [`AcceptError::System`]: nobody was accepted; when descriptors have run out, wait before trying again.
    pub fn accept(&self) -> Result<Unix, AcceptError> {
        let system = |error: io::Error| AcceptError::System { path: self.path.clone(), error };
        let socket = loop {
            match rustix::net::accept_with(&self.socket, SocketFlags::CLOEXEC) {
                Ok(socket) => break socket,
                // One that gave up while it waited is none.
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(error) => return Err(system(error.into())),
            }
        };
        let peer = Credentials::of(socket.as_fd()).map_err(system)?;
        if !peer.may_come_in() {
            return Err(AcceptError::Stranger { path: self.path.clone(), uid: peer.uid, pid: peer.pid });
        }
        Ok(Unix::new(UnixStream::from(socket)).named(format!("unix {} (pid {})", self.path.display(), peer.pid)))
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Two that replace a dead one's file at the same time must not remove each other's: the folder's lock, which leaves no file behind.
/// None if it cannot be had. That is no reason not to listen: a stranger may hold the lock of a folder that all share, for ever.
fn lock_folder(path: &Path) -> Option<OwnedFd> {
    const TRIES: u32 = 100;
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let folder = rustix::fs::open(folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    for _ in 0..TRIES {
        match rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Some(folder),
            Err(Errno::WOULDBLOCK | Errno::INTR) => std::thread::sleep(Duration::from_millis(5)),
            Err(_) => break,
        }
    }
    None
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

/// Removes a socket that nobody listens at.
fn remove_stale(path: &Path) -> Result<(), BindError> {
    let system = |error: io::Error| BindError::System { path: path.to_owned(), error };
    let stat = rustix::fs::lstat(path).map_err(|error| system(error.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
        return Err(BindError::NotASocket { path: path.to_owned() });
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(BindError::InUse { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path).map_err(system),
        // Its queue is full, or it is not ours to connect to: either way somebody may be there.
        Err(_) => Err(BindError::InUse { path: path.to_owned() }),
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let Some((dev, ino, process)) = self.made else { return };
        // While the socket is open its number is not given to another file.
        let own = rustix::fs::lstat(&self.path).is_ok_and(|stat| identity(&stat) == (dev, ino));
        if own && process == std::process::id() {
            // Without it, the next listener replaces it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listener({})", self.path.display())
    }
}

/// A path that cannot be listened at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Something stands there that no listener has made.
    #[error("cannot listen at {path}: something that is no socket stands there; remove it or choose another path")]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// Somebody listens there.
    #[error("cannot listen at {path}: somebody listens there already; end that process or choose another path")]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// A socket's path has room for about 100 bytes.
    #[error("cannot listen at {path}: the path is longer than a socket's may be; choose one below 108 bytes")]
    TooLong {
        /// The path.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot listen at {path}: {error}")]
    System {
        /// The path.
        path: PathBuf,
        /// What it said.
        #[source]
        error: io::Error,
    },
}

/// Nobody came in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// Somebody who is neither this user nor root was turned away.
    #[error("{path}: turned away user {uid} (pid {pid}): only the user who listens and root may connect")]
    Stranger {
        /// Where.
        path: PathBuf,
        /// Their user.
        uid: u32,
        /// Their process, 0 if it cannot be seen from here.
        pid: u32,
    },
    /// The system gave no connection.
    #[error("{path}: no connection could be accepted: {error}")]
    System {
        /// Where.
        path: PathBuf,
        /// What it said.
        #[source]
        error: io::Error,
    },
}
