//! Where an executor is, and how one gets there.

use super::gate::Gate;
use super::life::{self, Lease, Life};
use super::streams::{Streams, Waits};
use super::{Remote, RemoteOptions, SUBJECTS, configured};
use crate::executor::{ExecutorError, Late};
use dispatch::packed::from_bytes;
use dispatch::transport::unix::{Descriptors, Unix};
use dispatch::transport::{Transport, pipe, tcp, tls};
use dispatch::{Connect, Peer};
use jitlink::arch::Machine;
use orc_rt::service::down::{Ended, STDIO_KEY, Stdio, VERSION, VERSION_KEY, notice};
use std::ffi::OsString;
use std::fmt;
use std::io::IsTerminal as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio as Piped};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

mod start;

/// The executor's file name.
const EXECUTOR: &str = "orc-executor";

/// Where an executor is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Place {
    /// A child of this process: the program at this path, or `orc-executor` beside this program or in `PATH`. It has this process's standard
    /// streams, folder and environment.
    Spawn {
        /// The program.
        path: Option<PathBuf>,
        /// Its arguments, before those that say how to connect.
        arguments: Vec<OsString>,
    },
    /// Whatever this command line, given to a shell, makes of standard input and output: `ssh host orc-executor`.
    Exec(String),
    /// A Unix socket.
    Unix(PathBuf),
    /// A TCP address, `host:port`.
    Tcp {
        /// The address.
        address: String,
        /// Encryption and proof of who is there; without it only loopback should be used.
        tls: Option<tls::ClientTls>,
    },
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, rest) = text.split_once(':').map_or((text, None), |(kind, rest)| (kind, Some(rest)));
        match (kind, rest) {
            ("spawn", None) => Ok(Self::Spawn { path: None, arguments: Vec::new() }),
            ("spawn", Some(path)) if !path.is_empty() => {
                Ok(Self::Spawn { path: Some(path.into()), arguments: Vec::new() })
            }
            ("exec", Some(command)) if !command.trim().is_empty() => Ok(Self::Exec(command.into())),
            ("unix", Some(path)) if !path.is_empty() => Ok(Self::Unix(path.into())),
            ("tcp", Some(address)) => match address.rsplit_once(':') {
                Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                    Ok(Self::Tcp { address: address.into(), tls: None })
                }
                _ => Err("tcp needs HOST:PORT".into()),
            },
            _ => Err("it is spawn[:PATH], exec:COMMAND LINE, unix:PATH or tcp:HOST:PORT".into()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spawn { path: None, .. } => f.write_str("spawn"),
            Self::Spawn { path: Some(path), .. } => write!(f, "spawn:{}", path.display()),
            Self::Exec(command) => write!(f, "exec:{command}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp { address, .. } => write!(f, "tcp:{address}"),
        }
    }
}

/// A connection to something that says it is an executor: of ours, or of another make.
#[derive(Debug)]
pub struct Reach {
    reached: Reached,
    controller: Arc<Late>,
}

/// What is there once the other side has said who it is.
#[derive(Debug)]
pub(super) struct Reached {
    pub(super) peer: Peer,
    pub(super) gate: Arc<Gate>,
    pub(super) life: Arc<Life>,
    pub(super) descriptors: Option<Descriptors>,
    pub(super) stdio: Stdio,
    pub(super) streams: Option<Arc<Streams>>,
    pub(super) waits: Arc<Waits>,
    pub(super) share_memory: bool,
    pub(super) connect_timeout: Duration,
    pub(super) deadline: Option<Duration>,
}

impl Reach {
    /// Connects to `place`, or starts what is to be there.
    ///
    /// # Errors
    /// It cannot be started or reached, or does not say that it is an executor.
    pub fn new(place: &Place, options: RemoteOptions) -> Result<Self, ExecutorError> {
        let controller = Arc::new(Late::default());
        let reached = reach(place, &options, &controller)?;
        Ok(Self { reached, controller })
    }

    /// Uses a connection that somebody has made.
    ///
    /// # Errors
    /// What is at the other end does not say that it is an executor.
    pub fn over(transport: impl Transport, options: RemoteOptions) -> Result<Self, ExecutorError> {
        let controller = Arc::new(Late::default());
        let reached = connect(transport, None, Life::by_notice(), &options, &controller)?;
        Ok(Self { reached, controller })
    }

    /// Whether it is one of ours.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.reached.peer.setup().is_some_and(|setup| setup.value(VERSION_KEY).is_some())
    }

    /// The connection.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.reached.peer
    }

    /// The executor, if it is one of ours.
    ///
    /// # Errors
    /// It is of another make, or of another version.
    pub fn into_remote(self) -> Result<Remote, ExecutorError> {
        check(&self.reached.peer)?;
        Remote::from_reached(self.reached, self.controller)
    }

    /// The connection of a restart: the controller is the one that it was.
    pub(super) fn into_reached(self, controller: &Arc<Late>) -> Result<Reached, ExecutorError> {
        check(&self.reached.peer)?;
        self.controller.set(controller.clone())?;
        Ok(self.reached)
    }
}

/// The machine whose code the executor runs, as its triple names it.
pub(super) fn machine(peer: &Peer) -> Result<&'static Machine, ExecutorError> {
    let triple = peer.setup().map_or("", |setup| &setup.triple);
    let name = triple.split('-').next().unwrap_or("");
    // Triples of RISC-V name the extensions as well.
    let name = if name.starts_with("riscv64") { "riscv64" } else { name };
    Machine::named(name).ok_or_else(|| {
        let known: Vec<&str> = Machine::ALL.iter().map(|machine| machine.name).collect();
        let (who, known) = (peer.name(), known.join(", "));
        ExecutorError(format!("{who} runs code of {triple}: code can be linked for {known}"))
    })
}

/// Whether both sides mean the same by their messages.
fn check(peer: &Peer) -> Result<(), ExecutorError> {
    let value = peer.setup().and_then(|setup| setup.value(VERSION_KEY));
    match value.map(from_bytes::<u32>) {
        Some(Ok(VERSION)) => Ok(()),
        Some(Ok(other)) => Err(ExecutorError(format!(
            "{} speaks version {other} of the protocol, and this is version {VERSION}: use the executor of the same release",
            peer.name()
        ))),
        _ => Err(ExecutorError(format!("{} is an executor of another make", peer.name()))),
    }
}

fn reach(place: &Place, options: &RemoteOptions, controller: &Arc<Late>) -> Result<Reached, ExecutorError> {
    let failed = |error: std::io::Error| ExecutorError(format!("cannot reach the executor at {place}: {error}"));
    match place {
        Place::Spawn { path, arguments } => {
            let path = path.clone().unwrap_or_else(default_executor);
            let started = start::with_sockets(&path, arguments);
            let start::Started { socket, lifeline, child } = started.map_err(|error| cannot_start(&path, &error))?;
            let shut = socket.try_clone().map_err(failed)?;
            let life = Life::of_child(child, lifeline, shut).map_err(failed)?;
            let transport = Unix::new(socket).named(format!("the executor {}", path.display()));
            let descriptors = transport.descriptors();
            connect(transport, Some(descriptors), life, options, controller)
        }
        Place::Exec(command) => {
            let mut shell = Command::new("/bin/sh");
            shell.arg("-c").arg(command).stdin(Piped::piped()).stdout(Piped::piped());
            let mut child = start::apart_from_the_terminal(&mut shell).spawn().map_err(failed)?;
            let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
                return Err(failed(std::io::Error::other("it has no standard input and output")));
            };
            let life = Life::of_carrier(child).map_err(failed)?;
            let transport = pipe::over(OwnedFd::from(output), OwnedFd::from(input)).map_err(failed)?;
            connect(transport.named(format!("the executor at {place}")), None, life, options, controller)
        }
        Place::Unix(path) => {
            let transport = Unix::connect(path).map_err(failed)?;
            let descriptors = transport.descriptors();
            connect(transport, Some(descriptors), Life::by_notice(), options, controller)
        }
        Place::Tcp { address, tls: None } => {
            let transport = tcp::Tcp::connect(address, options.connect_timeout).map_err(failed)?;
            connect(transport, None, Life::by_notice(), options, controller)
        }
        Place::Tcp { address, tls: Some(tls) } => {
            let transport = tls.connect(address, options.connect_timeout);
            let transport = transport.map_err(|error| ExecutorError(error.to_string()))?;
            connect(transport, None, Life::by_notice(), options, controller)
        }
    }
}

fn cannot_start(path: &Path, error: &std::io::Error) -> ExecutorError {
    let help = if error.kind() == std::io::ErrorKind::NotFound {
        "; install it beside this program or in PATH, or name it"
    } else {
        ""
    };
    ExecutorError(format!("cannot start the executor {}: {error}{help}", path.display()))
}

/// Whether an executor that this process starts shares its terminal, and with it the group of processes that the terminal signals.
#[must_use]
pub fn shares_terminal() -> bool {
    std::io::stdin().is_terminal() || std::io::stdout().is_terminal() || std::io::stderr().is_terminal()
}

/// The executor beside this program, or wherever `PATH` has it.
fn default_executor() -> PathBuf {
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name(EXECUTOR));
    beside.filter(|path| path.exists()).unwrap_or_else(|| EXECUTOR.into())
}

fn connect(
    transport: impl Transport,
    descriptors: Option<Descriptors>,
    life: Arc<Life>,
    options: &RemoteOptions,
    controller: &Arc<Late>,
) -> Result<Reached, ExecutorError> {
    let waits = Arc::new(Waits::default());
    let streams = Streams::new(waits.clone())
        .map_err(|error| ExecutorError(format!("no thread for the program's output: {error}")))?;
    let (lease, telling) = (Lease::new(&life), life.clone());
    let arriving = streams.clone();
    let gate = Gate::new(controller.clone());
    let connect = Connect::controller()
        .handlers(gate.clone())
        .explain(move |_plain| {
            let ended = lease.connection_broke()?;
            Some(life::words(&ended))
        })
        .on_notice(move |subject, bytes| {
            if subject == notice::ENDED {
                // What cannot be read says as much as the end of the connection will.
                telling.tell(from_bytes::<Ended>(bytes).unwrap_or_default());
            } else if SUBJECTS.contains(&subject) {
                arriving.take(subject, bytes);
            }
        });
    let peer = configured(connect, options).over(transport);
    let peer = peer.map_err(|error| {
        life.give_up();
        ExecutorError(error.to_string())
    })?;
    let stdio = peer.setup().and_then(|setup| setup.value(STDIO_KEY)).and_then(|value| from_bytes::<u8>(value).ok());
    let stdio = stdio.map(Stdio::from_number).unwrap_or_default();
    let travel = matches!(stdio, Stdio::InputAndOutput | Stdio::Notices);
    if travel {
        streams.connect(peer.downgrade());
        if options.input {
            let passed = streams.pass_input_on();
            passed.map_err(|error| ExecutorError(format!("no thread for the program's input: {error}")))?;
        } else {
            streams.end_input();
        }
    }
    let streams = travel.then_some(streams);
    Ok(Reached {
        peer,
        gate,
        life,
        descriptors,
        stdio,
        streams,
        waits,
        share_memory: options.share_memory,
        connect_timeout: options.connect_timeout,
        deadline: options.deadline,
    })
}

/// For [`start`]: the words that say how to connect.
fn connecting(socket: &UnixStream, lifeline: &UnixStream) -> [String; 4] {
    [
        "--listen".into(),
        format!("fd:{}", socket.as_raw_fd()),
        "--lifeline".into(),
        format!("fd:{}", lifeline.as_raw_fd()),
    ]
}
