//! LLVM's executor as a process of this machine: how it is started, and how it ended.
//!
//! You give the path of `llvm-jitlink-executor`; you get the connection to it and the process. Its standard streams are this process's.

use dispatch::WeakPeer;
use dispatch::transport::stream::Stream;
use std::io;
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Starts the executor at `path` with its end of a connection: it takes the numbers of two descriptors, one to read and one to write, and a
/// socket is both.
///
/// The descriptor has to be inheritable for a moment, so a process that another thread starts at that moment may get it too. The end of
/// the executor is then not seen on the connection before that process ends; [`super::LlvmExecutor::watching`] sees it nevertheless.
///
/// # Errors
/// The system gives no socket, or the program cannot be started.
pub fn spawn_with_pipes(path: impl AsRef<Path>) -> io::Result<(Stream<UnixStream, UnixStream>, Child)> {
    /// Of two executors that are started at a time none gets the other's descriptor.
    static STARTING: Mutex<()> = Mutex::new(());
    let path = path.as_ref();
    let (ours, theirs) = UnixStream::pair()?;
    let handle = ours.try_clone()?;
    let name = format!("LLVM's executor {}", path.display());
    let transport =
        Stream::new(ours.try_clone()?, ours).named(name).on_close(move || drop(handle.shutdown(Shutdown::Both)));
    let number = theirs.as_raw_fd();
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    rustix::io::fcntl_setfd(&theirs, rustix::io::FdFlags::empty())?;
    let child = Command::new(path).arg(format!("filedescs={number},{number}")).spawn()?;
    drop(theirs);
    Ok((transport, child))
}

/// How a watched process ended, once it has.
#[derive(Debug, Default)]
pub(super) struct Ending {
    status: Mutex<Option<ExitStatus>>,
    known: Condvar,
}

impl Ending {
    /// Watches `child` on a thread of its own. When it has ended, whatever still waits for an answer of `peer` hears of it.
    pub(super) fn watch(mut child: Child, peer: WeakPeer) -> io::Result<Arc<Self>> {
        /// What it sent last may still be on its way.
        const GRACE: Duration = Duration::from_millis(200);
        let ending = Arc::new(Self::default());
        let told = Arc::clone(&ending);
        std::thread::Builder::new().name("llvm-executor".to_owned()).spawn(move || {
            // Nobody else waits for this child, so that waiting cannot fail.
            let Ok(status) = child.wait() else { return };
            *told.status.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
            told.known.notify_all();
            let ended = Instant::now();
            while let Some(peer) = peer.upgrade().filter(|peer| peer.closed().is_none()) {
                if ended.elapsed() > GRACE {
                    peer.hang_up(Ok(()));
                }
                drop(peer);
                std::thread::sleep(Duration::from_millis(5));
            }
        })?;
        Ok(ending)
    }

    /// The status, waited for at most this long.
    pub(super) fn within(&self, time: Duration) -> Option<ExitStatus> {
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.known.wait_timeout_while(status, time, |status| status.is_none());
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}
