//! The `orc-executor` command: a process that runs what a controller links. `orc executor` is the same.
//!
//! You give its command line to [`run`]; it ends the process. It begins before any thread of the process does.

use super::ending::leave_now;
use super::relay::{self, Streams};
use super::supervisor::{self, Side};
use super::worker::Worker;
use super::{inherited, listen};
use crate::sandbox::Sandbox;
use crate::serve::Executor;
use crate::service::down::{STDIO_KEY, Stdio};
use clap::{ArgAction, Args, Parser};
use dispatch::packed::to_bytes;
use dispatch::transport::tls::{ServerTls, TlsIdentity, Token};
use dispatch::transport::unix::{Descriptors, Unix};
use dispatch::transport::{Transport, pipe, stdio, tcp};
use std::convert::Infallible;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::net::TcpStream;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// The exit code when the executor cannot do what its command line says.
const FAILED: i32 = 125;

/// How often a silent controller is asked whether it is there, and after how much silence it is given up.
const HEARTBEAT: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(600);

/// Run what a controller links, in a process of its own.
///
/// Without --listen, frames come and go through standard input and output: the way for `ssh host orc-executor`. What the program prints
/// travels to the controller.
#[derive(Debug, Parser)]
#[command(name = "orc-executor", version, about, long_about)]
pub struct ExecutorArgs {
    /// Where controllers connect: unix:PATH, tcp:HOST:PORT, fd:N (a connected socket), or stdio.
    #[arg(long, value_name = "WHERE", default_value = "stdio")]
    pub(super) listen: Where,
    /// Write the address that is listened on to FILE, when it is.
    #[arg(long, value_name = "FILE")]
    pub(super) announce: Option<PathBuf>,
    /// End when standard input is at its end.
    #[arg(long)]
    pub(super) until_eof: bool,
    /// How many controllers may be connected at once, strangers that have not yet shown who they are included.
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(super) max_sessions: usize,
    #[command(flatten)]
    pub(super) tls: TlsArgs,
    #[command(flatten)]
    pub(super) sandbox: SandboxArgs,

    /// One connected session, for the listener and for controllers that start executors.
    #[arg(long, hide = true, value_name = "KIND")]
    pub(super) session: Option<Session>,
    /// The lifeline of a controller that started this executor.
    #[arg(long, hide = true, value_name = "fd:N")]
    pub(super) lifeline: Option<Descriptor>,
    /// End with the process that has this number.
    #[arg(long, hide = true, value_name = "PID")]
    pub(super) with_parent: Option<i32>,
    /// filedescs=IN,OUT or listen=HOST:PORT, as LLVM's controllers say it.
    #[arg(hide = true)]
    pub(super) llvm: Option<Llvm>,
    /// What stands before these arguments when this program is started again.
    #[arg(skip)]
    pub(super) command: Vec<OsString>,
}

/// Who may come in from beyond this machine.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Encryption (needed beyond loopback)")]
pub(super) struct TlsArgs {
    /// The certificate that this executor shows, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(super) tls_cert: Option<PathBuf>,
    /// Its private key, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(super) tls_key: Option<PathBuf>,
    /// Controllers must show a certificate that this authority has signed.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(super) tls_ca: Option<PathBuf>,
    /// Controllers must send this secret, once the connection is encrypted.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(super) token_file: Option<PathBuf>,
}

/// What the program may do.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Sandbox")]
pub(super) struct SandboxArgs {
    /// Limit the program: no network, no other programs, no files but those allowed.
    #[arg(long)]
    pub(super) sandbox: bool,
    /// The program may read PATH and what is below it.
    #[arg(long, value_name = "PATH", requires = "sandbox")]
    pub(super) allow_read: Vec<PathBuf>,
    /// The program may write PATH and what is below it.
    #[arg(long, value_name = "PATH", requires = "sandbox")]
    pub(super) allow_write: Vec<PathBuf>,
    /// Bytes of memory that the program may use.
    #[arg(long, value_name = "BYTES", requires = "sandbox")]
    pub(super) max_memory: Option<u64>,
    /// Seconds of processor time that it may use.
    #[arg(long, value_name = "SECONDS", requires = "sandbox")]
    pub(super) max_cpu: Option<u64>,
    /// Processes and threads that it may have.
    #[arg(long, value_name = "N", requires = "sandbox")]
    pub(super) max_processes: Option<u32>,
    /// Go without what this system's kernel does not offer, and say so.
    #[arg(long, requires = "sandbox", action = ArgAction::SetTrue)]
    pub(super) sandbox_best_effort: bool,
}

/// Where controllers come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Where {
    Unix(PathBuf),
    Tcp(String),
    Socket(Descriptor),
    Stdio,
}

/// What a session's connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Session {
    /// A socket pair whose other end is the controller's, on this machine: the worker speaks with it.
    Direct,
    /// An accepted Unix socket.
    Unix,
    /// An accepted TCP connection.
    Tcp,
}

/// A descriptor that was inherited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Descriptor(pub(super) RawFd);

/// What LLVM's controllers say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Llvm {
    Pipes(Descriptor, Descriptor),
    Listen(String),
}

impl FromStr for Where {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "stdio" => Ok(Self::Stdio),
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Unix(path.into())),
            Some(("tcp", address)) if address.rsplit_once(':').is_some_and(|(host, _)| !host.is_empty()) => {
                Ok(Self::Tcp(address.to_owned()))
            }
            Some(("fd", _)) => text.parse().map(Self::Socket),
            _ => Err("it is unix:PATH, tcp:HOST:PORT, fd:N or stdio".into()),
        }
    }
}

impl FromStr for Descriptor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_prefix("fd:").and_then(|number| number.parse().ok());
        number.filter(|number| *number > 2).map(Self).ok_or_else(|| "it is fd:N, with N above 2".to_owned())
    }
}

impl FromStr for Llvm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some(("filedescs", both)) => {
                let both =
                    both.split_once(',').and_then(|(input, output)| Some((input.parse().ok()?, output.parse().ok()?)));
                let (input, output) = both.ok_or("it is filedescs=IN,OUT")?;
                Ok(Self::Pipes(Descriptor(input), Descriptor(output)))
            }
            Some(("listen", address)) => Ok(Self::Listen(address.to_owned())),
            _ => Err("it is filedescs=IN,OUT or listen=HOST:PORT".into()),
        }
    }
}

impl ExecutorArgs {
    /// The words that start a session of this listener.
    pub(super) fn for_session(&self, kind: Session, socket: RawFd) -> Vec<OsString> {
        let mut words = self.command.clone();
        let kind = match kind {
            Session::Direct => "direct",
            Session::Unix => "unix",
            Session::Tcp => "tcp",
        };
        let socket = format!("fd:{socket}");
        let parent = std::process::id().to_string();
        words.extend(["--listen", &socket, "--session", kind, "--with-parent", &parent].map(OsString::from));
        let mut give = |name: &str, value: OsString| words.extend([name.into(), value]);
        let TlsArgs { tls_cert, tls_key, tls_ca, token_file } = &self.tls;
        let files =
            [("--tls-cert", tls_cert), ("--tls-key", tls_key), ("--tls-ca", tls_ca), ("--token-file", token_file)];
        files.into_iter().for_each(|(name, file)| file.iter().for_each(|file| give(name, file.into())));
        let SandboxArgs { allow_read, allow_write, max_memory, max_cpu, max_processes, .. } = &self.sandbox;
        allow_read.iter().for_each(|path| give("--allow-read", path.into()));
        allow_write.iter().for_each(|path| give("--allow-write", path.into()));
        let numbers =
            [("--max-memory", *max_memory), ("--max-cpu", *max_cpu), ("--max-processes", max_processes.map(u64::from))];
        numbers
            .into_iter()
            .for_each(|(name, value)| value.iter().for_each(|value| give(name, value.to_string().into())));
        let flags = [("--sandbox", self.sandbox.sandbox), ("--sandbox-best-effort", self.sandbox.sandbox_best_effort)];
        words.extend(flags.into_iter().filter(|(_, on)| *on).map(|(name, _)| name.into()));
        words
    }
}

/// Does what the command line says, whose first word is the command's name. `again` are the words that this program needs before these
/// arguments to come here when it is started again: none for `orc-executor` itself.
pub fn run(words: impl IntoIterator<Item = OsString>, again: &[&str]) -> ! {
    let mut args = match ExecutorArgs::try_parse_from(words) {
        Ok(args) => args,
        Err(error) => error.exit(),
    };
    args.command = again.iter().map(OsString::from).collect();
    match serve(&args) {
        Ok(never) => match never {},
        Err(why) => {
            // Nobody can be told that standard error is closed.
            let _ = writeln!(io::stderr().lock(), "orc-executor: error: {why}");
            leave_now(FAILED)
        }
    }
}

fn serve(args: &ExecutorArgs) -> Result<Infallible, String> {
    if let Some(parent) = args.with_parent {
        listen::end_with(parent)?;
    }
    match (&args.llvm, args.session, &args.listen) {
        (Some(Llvm::Pipes(input, output)), ..) => {
            let transport = pipe::over(take(*input)?, take(*output)?).map_err(supervisor::said("use the pipes"))?;
            supervisor::direct(transport, None, worker(args, Stdio::Inherited, None))
        }
        (Some(Llvm::Listen(address)), ..) => {
            let listener = tcp::Listener::bind(address).map_err(|error| error.to_string())?;
            let transport = listener.accept().map_err(supervisor::said("accept a controller"))?;
            drop(listener);
            supervisor::direct(transport, None, worker(args, Stdio::Inherited, None))
        }
        (None, Some(Session::Tcp), Where::Socket(socket)) => {
            let socket = TcpStream::from(take(*socket)?);
            match server_tls(&args.tls)? {
                Some(tls) => {
                    relayed(tls.handshake(socket).map_err(|error| error.to_string())?, None, args, Stdio::Notices)
                }
                None => {
                    let socket = tcp::Tcp::new(socket).map_err(supervisor::said("use the connection"))?;
                    relayed(socket, None, args, Stdio::Notices)
                }
            }
        }
        (None, Some(Session::Unix), Where::Socket(socket)) => {
            let socket = Unix::new(UnixStream::from(take(*socket)?));
            let beside = socket.descriptors();
            relayed(socket, Some(beside), args, Stdio::Descriptors)
        }
        (None, Some(Session::Direct) | None, Where::Socket(socket)) => {
            let lifeline = args.lifeline.map(|lifeline| take(lifeline).map(UnixStream::from)).transpose()?;
            let socket = Unix::new(UnixStream::from(take(*socket)?));
            let beside = socket.descriptors();
            supervisor::direct(socket, lifeline, worker(args, Stdio::Inherited, Some(beside)))
        }
        (None, None, Where::Stdio) => {
            let transport = stdio::take_over().map_err(supervisor::said("use standard input and output"))?;
            relayed(transport, None, args, Stdio::InputAndOutput)
        }
        (None, None, Where::Unix(_) | Where::Tcp(_)) => listen::run(args),
        (None, Some(_), _) => Err("a session needs its connection: --listen fd:N".into()),
    }
}

/// The identity that TLS needs, if it is wanted.
///
/// # Errors
/// A file that cannot be read or is not what it should be, or nothing that tells controllers from strangers.
pub(super) fn server_tls(args: &TlsArgs) -> Result<Option<ServerTls>, String> {
    let (Some(cert), Some(key)) = (&args.tls_cert, &args.tls_key) else { return Ok(None) };
    let identity = TlsIdentity::from_pem_files(cert, key).map_err(|error| error.to_string())?;
    let token = args.token_file.as_ref().map(Token::from_file).transpose().map_err(|error| error.to_string())?;
    ServerTls::new(identity, args.tls_ca.as_deref(), token).map(Some).map_err(|error| error.to_string())
}

/// An inherited descriptor, which from now on is this process's alone.
fn take(descriptor: Descriptor) -> Result<OwnedFd, String> {
    inherited::take(descriptor.0).map_err(supervisor::said("use an inherited descriptor"))
}

/// Relays between `controller` and a worker of our own.
fn relayed(
    controller: impl Transport,
    beside: Option<Descriptors>,
    args: &ExecutorArgs,
    how: Stdio,
) -> Result<Infallible, String> {
    let (ours, theirs) = UnixStream::pair().map_err(supervisor::said("make a pair of sockets"))?;
    let (streams, programs) = pipes(how)?;
    match supervisor::fork()? {
        Side::Worker(record) => {
            // The program's end of its input would not come while it held the other end itself.
            drop((controller, beside, ours, streams));
            programs.become_standard()?;
            // Signals come from the controller alone, not also from a terminal that this process happens to share with it.
            rustix::process::setpgid(None, None).map_err(supervisor::said("leave the group of processes"))?;
            let socket = Unix::new(theirs);
            let worker = worker(args, how, Some(socket.descriptors()))();
            super::worker::run(socket, &record, worker)
        }
        Side::Supervisor(child) => {
            drop((theirs, programs));
            relay::run(controller, beside, ours, streams, child, args.with_parent.is_some())
        }
    }
}

/// What the worker's process does before it connects.
fn worker(args: &ExecutorArgs, how: Stdio, beside: Option<Descriptors>) -> impl FnOnce() -> Worker {
    let sandbox = args.sandbox.sandbox.then(|| sandbox(&args.sandbox));
    move || Worker {
        confine: Box::new(move || {
            let Some(sandbox) = sandbox else { return Ok(()) };
            let entered = sandbox.enter().map_err(|error| error.to_string())?;
            for part in entered.not_enforced() {
                let _ = writeln!(io::stderr().lock(), "orc-executor: warning: the sandbox goes without {part}");
            }
            Ok(())
        }),
        prepare: Box::new(move |executor: &mut Executor| {
            executor.describe(STDIO_KEY, to_bytes(&(how as u8)));
            executor.speak_with_llvm();
            if how == Stdio::Notices {
                // A controller whose machine is gone says nothing any more; nearer ones the system tells of.
                executor.configure(|connect| connect.heartbeat(HEARTBEAT, SILENCE));
            }
            if let Some(beside) = beside {
                executor.receive_descriptors(move || beside.take_received());
            }
        }),
    }
}

fn sandbox(args: &SandboxArgs) -> Sandbox {
    let mut sandbox = Sandbox::new();
    for path in &args.allow_read {
        sandbox = sandbox.allow_read(path);
    }
    for path in &args.allow_write {
        sandbox = sandbox.allow_write(path);
    }
    if let Some(bytes) = args.max_memory {
        sandbox = sandbox.max_memory(bytes);
    }
    if let Some(seconds) = args.max_cpu {
        sandbox = sandbox.max_cpu(Duration::from_secs(seconds));
    }
    if let Some(count) = args.max_processes {
        sandbox = sandbox.max_processes(count);
    }
    if args.sandbox_best_effort { sandbox.best_effort() } else { sandbox }
}

/// The program's ends of its standard streams, where they are pipes.
#[derive(Debug, Default)]
struct Programs {
    input: Option<OwnedFd>,
    output: Option<OwnedFd>,
    errors: Option<OwnedFd>,
}

impl Programs {
    fn become_standard(self) -> Result<(), String> {
        let Self { input, output, errors } = self;
        let done = input.map_or(Ok(()), rustix::stdio::dup2_stdin);
        let done = done.and_then(|()| output.map_or(Ok(()), rustix::stdio::dup2_stdout));
        let done = done.and_then(|()| errors.map_or(Ok(()), rustix::stdio::dup2_stderr));
        done.map_err(supervisor::said("give the program its standard streams"))
    }
}

fn pipes(how: Stdio) -> Result<(Streams, Programs), String> {
    let (mut ours, mut programs) = (Streams::default(), Programs::default());
    let pipe = || io::pipe().map_err(supervisor::said("make a pipe"));
    if matches!(how, Stdio::InputAndOutput | Stdio::Notices) {
        let (read, write) = pipe()?;
        (ours.input, programs.input) = (Some(File::from(OwnedFd::from(write))), Some(read.into()));
        let (read, write) = pipe()?;
        (ours.output, programs.output) = (Some(File::from(OwnedFd::from(read))), Some(write.into()));
    }
    if how == Stdio::Notices {
        let (read, write) = pipe()?;
        (ours.errors, programs.errors) = (Some(File::from(OwnedFd::from(read))), Some(write.into()));
    }
    Ok((ours, programs))
}
