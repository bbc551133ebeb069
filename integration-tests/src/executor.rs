//! The executors that everything is run through: what `orc run --executor` is given, and the listeners behind it.
//!
//! You give the kind that is wanted and what surrounds the program (folder, environment). You get the value of `--executor`, with a
//! listener that is ready when the kind needs one. A listener ends when what was returned for it is dropped, and also when
//! this process is killed: it watches its standard input, a pipe that nobody writes to.
//!
//! Not for: transports of the tests' own; they are `dispatch`'s, and tested there.

use crate::machine::Machine;
use crate::ways::Way;
use crate::{Failure, context, tool};
use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A kind of executor, in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The process of `orc`.
    InProcess,
    /// `orc` starts it.
    Spawn,
    /// A listener on a socket of this machine, started by the tests.
    Unix,
    /// A listener on a port, started by the tests.
    Tcp,
    /// `orc` starts a command whose standard input and output carry the frames.
    Exec,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::InProcess, Self::Spawn, Self::Unix, Self::Tcp, Self::Exec];

    /// As directives, `ORC_EXECUTORS` and messages name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InProcess => "in-process",
            Self::Spawn => "spawn",
            Self::Unix => "unix",
            Self::Tcp => "tcp",
            Self::Exec => "exec",
        }
    }

    /// Whether a listener has to be there before `orc` is.
    #[must_use]
    pub fn listens(self) -> bool {
        matches!(self, Self::Unix | Self::Tcp)
    }

    /// Reads names between commas and spaces.
    ///
    /// # Errors
    /// A name that is none, or no name at all.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, Failure> {
        let names = text.split([',', ' ']).filter(|name| !name.is_empty());
        let kind = |name: &str| {
            let known = Self::ALL.into_iter().find(|kind| kind.name() == name);
            known.ok_or_else(|| format!("`{name}` is none of in-process, spawn, unix, tcp, exec"))
        };
        let kinds = names.map(kind).collect::<Result<Vec<_>, _>>()?;
        if kinds.is_empty() { Err("names no executor".into()) } else { Ok(kinds) }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What surrounds a program whose executor is started beforehand.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The working folder.
    pub folder: PathBuf,
    /// Added to the environment.
    pub env: Vec<(String, OsString)>,
    /// Limit of the stack in KiB.
    pub stack: Option<u32>,
}

/// The `orc-executor` under test, and the listeners that trials share.
#[derive(Debug)]
pub struct Executors {
    program: PathBuf,
    /// `orc` finds it without being told.
    beside_orc: bool,
    /// Sockets and what listeners say.
    folder: PathBuf,
    shared: Mutex<Vec<(Way, Result<Listener, Failure>)>>,
    /// What it is built for, when it is not this machine.
    machine: Option<&'static Machine>,
}

/// The value of `--executor`, good while this lives.
#[derive(Debug)]
pub struct Address {
    /// The value.
    pub value: OsString,
    /// The listener of this address alone; none when there is none, or when others use it too.
    pub listener: Option<Listener>,
}

/// How long a listener may take to be there, and to go.
const READY: Duration = Duration::from_secs(20);

impl Executors {
    /// Those of `program`; what they leave behind lies in `folder`.
    #[must_use]
    pub fn new(program: PathBuf, orc: &Path, folder: PathBuf) -> Self {
        let beside_orc = orc.parent() == program.parent() && program.ends_with("orc-executor");
        Self { program, beside_orc, folder, shared: Mutex::default(), machine: None }
    }

    /// The program is one of another machine, whose emulator runs it as a command (`exec`).
    #[must_use]
    pub fn emulated(self, machine: &'static Machine) -> Self {
        Self { machine: Some(machine), ..self }
    }

    /// The `orc-executor` under test.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// What `--executor` is given for a way. With `own`, a listener is started there for this address; otherwise the one that all
    /// share is, which stands in the folder of builds.
    ///
    /// # Errors
    /// A listener cannot be started, or is not ready in time; with what it said.
    pub fn address(&self, way: Way, own: Option<&Surroundings>) -> Result<Address, Failure> {
        let without = |value: OsString| Ok(Address { value, listener: None });
        let joined = |before: &str, after: &str| {
            let mut value = OsString::from(before);
            value.push(self.program.as_os_str());
            value.push(after);
            value
        };
        match (way.kind, own) {
            (Kind::InProcess, _) => without("in-process".into()),
            (Kind::Spawn, _) if self.beside_orc => without("spawn".into()),
            (Kind::Spawn, _) => without(joined("spawn:", "")),
            (Kind::Exec, _) => {
                let mut before = String::from("exec:");
                let words = self.machine.map(|machine| machine.emulator(&[])).unwrap_or_default();
                words.iter().for_each(|word| before.extend([&word.to_string_lossy(), " "]));
                without(joined(&before, " --listen stdio"))
            }
            (Kind::Unix | Kind::Tcp, Some(surroundings)) => {
                let listener = Listener::start(self, way, surroundings)?;
                Ok(Address { value: listener.address.clone(), listener: Some(listener) })
            }
            (Kind::Unix | Kind::Tcp, None) => self.shared(way).and_then(without),
        }
    }

    fn shared(&self, way: Way) -> Result<OsString, Failure> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if !shared.iter().any(|(known, _)| *known == way) {
            let surroundings = Surroundings { folder: self.folder.clone(), ..Surroundings::default() };
            shared.push((way, Listener::start(self, way, &surroundings)));
        }
        let (_, listener) = shared.iter().find(|(known, _)| *known == way).ok_or("no listener")?;
        listener.as_ref().map(|listener| listener.address.clone()).map_err(Clone::clone)
    }

    /// Ends the listeners that trials share.
    ///
    /// # Errors
    /// One does not end, ended before, or has printed something where frames may run.
    pub fn end(&self) -> Result<(), Failure> {
        let shared = std::mem::take(&mut *self.shared.lock().unwrap_or_else(PoisonError::into_inner));
        // One that did not start failed its trials.
        shared.into_iter().filter_map(|(_, listener)| listener.ok()).try_for_each(Listener::end)
    }
}

/// An `orc-executor --listen`, ready.
#[derive(Debug)]
pub struct Listener {
    child: Child,
    /// What `--executor` is given.
    address: OsString,
    /// Where its outputs are: with `.stdout`, `.stderr` and `.address` at the end.
    files: PathBuf,
    /// Where its socket is, if it has one with a path.
    socket: PathBuf,
}

/// A socket's path has at most 107 bytes (unix(7)).
const LONGEST: usize = 107;

impl Listener {
    /// Starts one on an address that nobody has, and waits until it is there.
    ///
    /// # Errors
    /// As [`Executors::address`].
    pub fn start(executors: &Executors, way: Way, surroundings: &Surroundings) -> Result<Self, Failure> {
        let Way { kind, hardening, .. } = way;
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        fs::create_dir_all(&executors.folder).map_err(context(executors.folder.display()))?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let files = executors.folder.join(format!("{kind}-{}-{number}", std::process::id()));
        let [announced, stdout, stderr] = ["address", "stdout", "stderr"].map(|end| files.with_extension(end));
        let mut socket = files.with_extension("sock");
        if socket.as_os_str().len() > LONGEST {
            socket = env::temp_dir().join(socket.file_name().unwrap_or_default());
        }
        let _ = fs::remove_file(&announced);
        let listen = match kind {
            Kind::Tcp => OsString::from("tcp:127.0.0.1:0"),
            _ => prefixed("unix:", socket.as_os_str().as_bytes()),
        };
        let mut words: Vec<OsString> = vec![executors.program.clone().into(), "--listen".into(), listen];
        words.extend(["--announce".into(), announced.clone().into(), "--until-eof".into()]);
        if let Some(kib) = surroundings.stack {
            let bytes = u64::from(kib) * 1024;
            words.splice(0..0, ["prlimit".into(), format!("--stack={bytes}:{bytes}").into(), "--".into()]);
        }
        if let Some(hardening) = hardening {
            words.splice(0..0, hardening.words()?);
        }
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(&surroundings.folder).env("LC_ALL", "C");
        command.envs(surroundings.env.iter().map(|(key, value)| (key, value)));
        command.stdin(Stdio::piped());
        command.stdout(File::create(&stdout).map_err(context(stdout.display()))?);
        command.stderr(File::create(&stderr).map_err(context(stderr.display()))?);
        let child = command.spawn().map_err(|error| tool::cannot_start(&words[0].to_string_lossy(), &error))?;
        let mut this = Self { child, address: OsString::new(), files, socket };
        let started = Instant::now();
        loop {
            if let Some(address) = announcement(&announced, kind) {
                this.address = address;
                return Ok(this);
            }
            if let Some(status) = this.child.try_wait().map_err(context("orc-executor"))? {
                return Err(format!("orc-executor --listen ({kind}): {status}\n{}", this.said()));
            }
            if started.elapsed() > READY {
                return Err(format!("orc-executor --listen ({kind}): not ready after {READY:?}\n{}", this.said()));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What `--executor` is given.
    #[must_use]
    pub fn address(&self) -> &OsString {
        &self.address
    }

    /// What it wrote to standard error.
    #[must_use]
    pub fn said(&self) -> String {
        let text = fs::read(self.files.with_extension("stderr")).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Takes its standard input away, which ends it.
    ///
    /// # Errors
    /// It does not end, ended before, or printed something on standard output.
    pub fn end(mut self) -> Result<(), Failure> {
        if let Some(status) = self.child.try_wait().map_err(context("orc-executor"))? {
            return Err(format!("{}: ended by itself: {status}\n{}", self.files.display(), self.said()));
        }
        drop(self.child.stdin.take());
        let started = Instant::now();
        while self.child.try_wait().map_err(context("orc-executor"))?.is_none() {
            if started.elapsed() > READY {
                return Err(format!("{}: no end after its standard input's\n{}", self.files.display(), self.said()));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        if self.socket.exists() {
            return Err(format!("{}: it is left behind", self.socket.display()));
        }
        let printed = fs::read(self.files.with_extension("stdout")).unwrap_or_default();
        if !printed.is_empty() {
            return Err(format!("a listener printed {:?}", String::from_utf8_lossy(&printed)));
        }
        for end in ["address", "stdout", "stderr"] {
            let _ = fs::remove_file(self.files.with_extension(end));
        }
        Ok(())
    }
}

impl Drop for Listener {
    /// After [`Listener::end`] there is nothing to do; after a failure nothing may stay.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(self.child.stdin.take());
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn prefixed(prefix: &str, rest: &[u8]) -> OsString {
    let mut all = OsString::from(prefix);
    all.push(std::ffi::OsStr::from_bytes(rest));
    all
}

/// The address in a file that a listener writes, in one piece, when it is ready.
fn announcement(file: &Path, kind: Kind) -> Option<OsString> {
    let bytes = fs::read(file).ok()?;
    let line = bytes.trim_ascii_end();
    let scheme = format!("{kind}:");
    let rest = line.strip_prefix(scheme.as_bytes()).unwrap_or(line);
    (!rest.is_empty()).then(|| prefixed(&scheme, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_executors() {
        assert_eq!(Kind::parse_list("in-process,spawn"), Ok(vec![Kind::InProcess, Kind::Spawn]));
        assert_eq!(Kind::parse_list(" tcp unix, exec "), Ok(vec![Kind::Tcp, Kind::Unix, Kind::Exec]));
        assert!(Kind::parse_list("").is_err());
        assert!(Kind::parse_list("spawn,remote").unwrap_err().contains("`remote`"));
        assert!(Kind::ALL.iter().all(|kind| Kind::parse_list(kind.name()) == Ok(vec![*kind])));
    }

    #[test]
    fn values_that_need_no_listener() {
        let value = |executors: &Executors, kind: Kind| {
            executors.address(kind.into(), None).unwrap().value.into_string().unwrap()
        };
        let beside = Executors::new("/t/orc-executor".into(), Path::new("/t/orc"), "/t/x".into());
        assert_eq!(value(&beside, Kind::InProcess), "in-process");
        assert_eq!(value(&beside, Kind::Spawn), "spawn");
        assert_eq!(value(&beside, Kind::Exec), "exec:/t/orc-executor --listen stdio");
        let elsewhere = Executors::new("/u/orc-executor".into(), Path::new("/t/orc"), "/t/x".into());
        assert_eq!(value(&elsewhere, Kind::Spawn), "spawn:/u/orc-executor");
    }

    #[test]
    fn announcements_are_addresses_with_or_without_their_kind() {
        let file = env::temp_dir().join(format!("announcement-{}", std::process::id()));
        let check = |text: &str, kind, expected: Option<&str>| {
            fs::write(&file, text).unwrap();
            assert_eq!(announcement(&file, kind), expected.map(OsString::from), "{text:?}");
        };
        check("", Kind::Tcp, None);
        check("127.0.0.1:40", Kind::Tcp, Some("tcp:127.0.0.1:40"));
        check("127.0.0.1:4000\n", Kind::Tcp, Some("tcp:127.0.0.1:4000"));
        check("tcp:127.0.0.1:4000\n", Kind::Tcp, Some("tcp:127.0.0.1:4000"));
        check("/x/y.sock\n", Kind::Unix, Some("unix:/x/y.sock"));
        fs::remove_file(&file).unwrap();
        assert_eq!(announcement(&file, Kind::Unix), None);
    }

    #[test]
    fn a_listener_that_ends_is_told_with_its_words() {
        let folder = env::temp_dir().join(format!("listener-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let program = folder.join("orc-executor");
        fs::write(&program, "#!/bin/sh\necho no such luck >&2\nexit 3\n").unwrap();
        fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let executors = Executors::new(program, Path::new("/t/orc"), folder.clone());
        let error = executors.address(Kind::Unix.into(), None).unwrap_err();
        assert!(error.contains("no such luck") && error.contains("exit status: 3"), "{error}");
        assert_eq!(executors.address(Kind::Unix.into(), None).unwrap_err(), error, "it is not tried again");
        assert_eq!(executors.end(), Ok(()));
        fs::remove_dir_all(&folder).unwrap();
    }
}
