//! Listening: a process for each controller that connects.
//!
//! The listener accepts and does nothing else: a controller's session is this program started again, with the connection inherited, and
//! only that process reads what a stranger sends. So nobody who connects can hold up another or harm the listener.

use super::command::{ExecutorArgs, Session, Where, server_tls};
use super::signals;
use super::supervisor::said;
use dispatch::transport::{tcp, tls, unix};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, Signal};
use std::convert::Infallible;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;

/// How often sessions that have ended are looked for.
const LOOK: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

enum Listener {
    Unix(unix::Listener),
    Tcp(tcp::Listener),
    Tls(tls::Listener),
}

/// Listens where the command line says, until this process is ended.
///
/// # Errors
/// The place cannot be listened on, or a file that is needed cannot be used.
pub(super) fn run(args: &ExecutorArgs) -> Result<Infallible, String> {
    let (listener, address) = listen(args)?;
    let asked_to_end = signals::asked_to_end(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP]);
    if let Some(file) = &args.announce {
        announce(file, &address)?;
    }
    let mut sessions: Vec<Child> = Vec::new();
    while !asked_to_end.load(Ordering::SeqCst) {
        // Those that have ended; a session that cannot be asked has.
        sessions.retain_mut(|session| matches!(session.try_wait(), Ok(None)));
        match wait(&listener, args.until_eof)? {
            Waited::Somebody => {}
            Waited::Nobody => continue,
            Waited::End => break,
        }
        let connected = accept(&listener);
        if sessions.len() >= args.max_sessions {
            complain(&format!("{} sessions are there already: one more was turned away", sessions.len()));
            continue;
        }
        let started = connected.and_then(|(kind, socket)| start(args, kind, socket).map_err(said("start a session")));
        match started {
            Ok(session) => sessions.push(session),
            Err(why) => complain(&why),
        }
    }
    // The socket's file goes with the listener, sessions with this process.
    drop(listener);
    std::process::exit(0)
}

/// The listener, and where it is.
fn listen(args: &ExecutorArgs) -> Result<(Listener, String), String> {
    // Whatever a session would refuse is refused now.
    match (&args.listen, server_tls(&args.tls)?) {
        (Where::Unix(_), Some(_)) => Err("a Unix socket knows who connects: encryption is for tcp".into()),
        (Where::Unix(path), None) => {
            let listener = unix::Listener::bind(path).map_err(|error| error.to_string())?;
            Ok((Listener::Unix(listener), format!("unix:{}", path.display())))
        }
        (Where::Tcp(address), None) => {
            let listener = tcp::Listener::bind(address).map_err(|error| error.to_string())?;
            let address = listener.local_addr().map_err(said("learn the address"))?;
            Ok((Listener::Tcp(listener), format!("tcp:{address}")))
        }
        (Where::Tcp(address), Some(tls)) => {
            let listener = tls::Listener::bind(address, tls).map_err(|error| error.to_string())?;
            let address = listener.local_addr().map_err(said("learn the address"))?;
            Ok((Listener::Tls(listener), format!("tcp:{address}")))
        }
        (Where::Socket(_) | Where::Stdio, _) => Err("there is nothing to listen on".into()),
    }
}

/// Written beside and renamed, so that whoever sees the file sees all of it.
fn announce(file: &Path, address: &str) -> Result<(), String> {
    let beside = file.with_extension("new");
    let written = fs::write(&beside, format!("{address}\n")).and_then(|()| fs::rename(&beside, file));
    written.map_err(|error| format!("cannot write {}: {error}", file.display()))
}

/// Why waiting ended.
enum Waited {
    Somebody,
    Nobody,
    /// Standard input is at its end.
    End,
}

fn wait(listener: &Listener, until_eof: bool) -> Result<Waited, String> {
    let stdin = io::stdin();
    let socket = match listener {
        Listener::Unix(listener) => listener.as_fd(),
        Listener::Tcp(listener) => listener.as_fd(),
        Listener::Tls(listener) => listener.as_fd(),
    };
    let mut events = vec![PollFd::new(&socket, PollFlags::IN)];
    if until_eof {
        events.push(PollFd::new(&stdin, PollFlags::IN));
    }
    match poll(&mut events, Some(&LOOK)) {
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => return Ok(Waited::Nobody),
        Err(error) => return Err(format!("cannot wait for controllers: {error}")),
    }
    let told = events.get(1).is_some_and(|event| !event.revents().is_empty());
    if told && io::stdin().lock().read(&mut [0; 256]).is_ok_and(|count| count == 0) {
        return Ok(Waited::End);
    }
    Ok(if events[0].revents().contains(PollFlags::IN) { Waited::Somebody } else { Waited::Nobody })
}

fn accept(listener: &Listener) -> Result<(Session, OwnedFd), String> {
    match listener {
        Listener::Unix(listener) => {
            let accepted = listener.accept().map_err(|error| error.to_string())?;
            let socket = accepted.into_socket().map_err(said("use a connection"))?;
            Ok((Session::Unix, socket.into()))
        }
        Listener::Tcp(listener) => {
            let accepted = listener.accept().map_err(said("accept a controller"))?;
            let socket = accepted.into_socket().map_err(said("use a connection"))?;
            Ok((Session::Tcp, socket.into()))
        }
        // The session shakes hands: here a stranger could hold up everybody.
        Listener::Tls(listener) => {
            let accepted = listener.accept().map_err(said("accept a controller"))?;
            Ok((Session::Tcp, accepted.into_socket().into()))
        }
    }
}

/// This program again, for one connection.
fn start(args: &ExecutorArgs, kind: Session, connection: OwnedFd) -> io::Result<Child> {
    // Only for the moment of this start, and nothing else is started meanwhile: the listener has one thread.
    fcntl_setfd(&connection, FdFlags::empty())?;
    let mut command = Command::new("/proc/self/exe");
    command.args(args.for_session(kind, connection.as_raw_fd())).stdin(Stdio::null());
    command.spawn()
}

/// Standard error of a listener is its log; a closed one loses it.
fn complain(why: &str) {
    let _ = writeln!(io::stderr().lock(), "orc-executor: {why}");
}

/// From now on this process ends with the one that has started it.
///
/// # Errors
/// It has ended already, or the system refuses.
pub(super) fn end_with(parent: i32) -> Result<(), String> {
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM)).map_err(said("end with the listener"))?;
    if rustix::process::getppid() == Pid::from_raw(parent) { Ok(()) } else { Err("the listener has ended".into()) }
}
