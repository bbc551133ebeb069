//! What the tests share: objects compiled on the spot, `orc` started over an executor, its end awaited.

use crate::processes::{self, MARK, Process};
use integration_tests::executor::{Executors, Kind, Listener, Surroundings};
use integration_tests::workplace::Workplace;
use rustix::process::{Pid, Signal, kill_process};
use std::cell::RefCell;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// In which everything that was told to end has ended.
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// In which everything else has happened, on a machine that has other things to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The place of one test.
pub(crate) struct World {
    pub(crate) folder: PathBuf,
    pub(crate) mark: String,
    pub(crate) kinds: Vec<Kind>,
    orc: PathBuf,
    executors: Option<Executors>,
    listeners: RefCell<Vec<(Kind, Rc<Listener>)>>,
    _alone: MutexGuard<'static, ()>,
}

impl World {
    pub(crate) fn new(name: &str) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let workplace = Workplace::of_this_test().unwrap_or_else(|why| panic!("{why}"));
        let folder = workplace.builds.join("life-and-death").join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).expect("the folder of the last run can be removed");
        }
        fs::create_dir_all(folder.join("temporary")).expect("a folder");
        let orc = workplace.orc.expect("these tests have no oracle: they need orc");
        let program = workplace.executors.map(|executors| executors.program().to_owned());
        let executors = program.map(|program| Executors::new(program, &orc, folder.join("listeners")));
        let mark = format!("{}-{name}", std::process::id());
        let listeners = RefCell::default();
        Self { folder, mark, kinds: workplace.kinds, orc, executors, listeners, _alone: alone }
    }

    /// The executors of other processes that are to be tried.
    pub(crate) fn remote(&self) -> Vec<Kind> {
        self.kinds.iter().copied().filter(|kind| *kind != Kind::InProcess).collect()
    }

    /// Those behind a listener.
    pub(crate) fn listening(&self) -> Vec<Kind> {
        self.kinds.iter().copied().filter(|kind| kind.listens()).collect()
    }

    /// Compiles C into `name.o`, from `name.c`, with line information.
    pub(crate) fn compile(&self, name: &str, source: &str) {
        fs::write(self.folder.join(format!("{name}.c")), source).expect("it can be written");
        let words = ["gcc", "-c", "-g", "-O0", "-fPIC", &format!("{name}.c")].map(OsString::from);
        integration_tests::process::tool(&self.folder, &words, &[]).unwrap_or_else(|why| panic!("{why}"));
    }

    pub(crate) fn env(&self) -> Vec<(String, OsString)> {
        vec![(MARK.into(), self.mark.clone().into()), ("TMPDIR".into(), self.folder.join("temporary").into())]
    }

    /// This test's listener of that kind.
    #[track_caller]
    pub(crate) fn listener(&self, kind: Kind) -> Rc<Listener> {
        let mut listeners = self.listeners.borrow_mut();
        if let Some((_, known)) = listeners.iter().find(|(known, _)| *known == kind) {
            return known.clone();
        }
        let executors = self.executors.as_ref().expect("an orc-executor");
        let surroundings = Surroundings { folder: self.folder.clone(), env: self.env(), stack: None };
        let listener = Listener::start(executors, kind.into(), &surroundings).unwrap_or_else(|why| panic!("{why}"));
        let listener = Rc::new(listener);
        listeners.push((kind, listener.clone()));
        listener
    }

    /// `orc run` with these words, over an executor, in a process group of its own. What it says goes to `orc.stderr`.
    #[track_caller]
    pub(crate) fn orc(&self, kind: Kind, words: &[&str]) -> Command {
        // Who started this test may ignore signals, and then so would the program.
        let mut command = Command::new("env");
        command.arg("--default-signal=INT,QUIT").arg(&self.orc).arg("run");
        if kind != Kind::InProcess {
            let value = if kind.listens() {
                self.listener(kind).address().clone()
            } else {
                let executors = self.executors.as_ref().expect("an orc-executor");
                executors.address(kind.into(), None).unwrap_or_else(|why| panic!("{why}")).value
            };
            command.arg("--executor").arg(value);
        }
        command.args(words).current_dir(&self.folder).envs(self.env()).env("LC_ALL", "C").process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(self.file("orc.stderr"));
        command
    }

    pub(crate) fn file(&self, name: &str) -> File {
        File::create(self.folder.join(name)).expect("it can be written")
    }

    /// Starts `orc`, to be talked to line by line.
    #[track_caller]
    pub(crate) fn start(&self, kind: Kind, words: &[&str]) -> Running {
        let mut command = self.orc(kind, words);
        let child = command.stdin(Stdio::piped()).spawn().expect("orc starts");
        Running::new(child, &self.folder, format!("{kind}: {words:?}"))
    }

    /// Runs `orc` to its end: exit code, standard output, standard error.
    #[track_caller]
    pub(crate) fn run(&self, kind: Kind, words: &[&str]) -> (i32, String, String) {
        let mut running = self.start(kind, words);
        drop(running.stdin.take());
        let code = running.end();
        (code, running.rest(), running.said())
    }

    /// What lives of this test, but for the listeners themselves.
    pub(crate) fn living(&self) -> Vec<Process> {
        let listeners: Vec<u32> = self.listeners.borrow().iter().map(|(_, listener)| listener.id()).collect();
        let mut found = processes::marked(&self.mark);
        found.retain(|process| !listeners.contains(&process.id));
        found
    }

    /// The processes of executors that wait to be waited for by their listeners.
    pub(crate) fn zombies(&self) -> Vec<Process> {
        self.listeners.borrow().iter().flat_map(|(_, listener)| processes::zombies_of(listener.id())).collect()
    }

    /// Ends the listeners and looks whether anything is left behind.
    #[track_caller]
    pub(crate) fn end(mut self) {
        processes::gone(SECOND, "processes after the test", || self.living());
        processes::gone(SECOND * 3, "zombies of a listener", || self.zombies());
        for (_, listener) in std::mem::take(self.listeners.get_mut()) {
            let listener = Rc::try_unwrap(listener).expect("nobody else has it");
            listener.end().unwrap_or_else(|why| panic!("{why}"));
        }
        processes::gone(SECOND, "processes after the listeners", || processes::marked(&self.mark));
        let temporary = self.folder.join("temporary");
        let left: Vec<_> = fs::read_dir(temporary).expect("it is there").flatten().map(|entry| entry.path()).collect();
        assert!(left.is_empty(), "temporary files are left behind: {left:?}");
        let sockets = processes::sockets(&self.folder.display().to_string());
        assert!(sockets.is_empty(), "sockets are left behind: {sockets:?}");
    }
}

impl Drop for World {
    /// What a failed test shows to be left behind does not stay.
    fn drop(&mut self) {
        if std::thread::panicking() {
            for process in processes::marked(&self.mark) {
                let _ = kill_process(pid(process.id), Signal::KILL);
            }
        }
    }
}

/// An `orc` that runs.
pub(crate) struct Running {
    about: String,
    child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    stderr: PathBuf,
}

impl Running {
    pub(crate) fn new(mut child: Child, folder: &Path, about: String) -> Self {
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        Self { about, child, stdin, stdout, stderr: folder.join("orc.stderr") }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn pid(&self) -> Pid {
        pid(self.child.id())
    }

    /// The next line of the program; empty at the end of its output.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("text");
        line.trim_end().to_owned()
    }

    /// Waits for a line that the program prints.
    #[track_caller]
    pub(crate) fn expect(&mut self, wanted: &str) {
        let line = self.line();
        assert_eq!(line, wanted, "{}: orc says: {}", self.about, self.said());
    }

    /// All that it prints from here on.
    pub(crate) fn rest(&mut self) -> String {
        let mut text = String::new();
        self.stdout.read_to_string(&mut text).expect("text");
        text
    }

    /// What `orc` said on standard error.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stderr).unwrap_or_default()).into_owned()
    }

    pub(crate) fn kill(&self) {
        kill_process(self.pid(), Signal::KILL).expect("it is there");
    }

    /// Waits for the end: exit code, or 128+N for signal N, as a shell says it.
    #[track_caller]
    pub(crate) fn end(&mut self) -> i32 {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it is ours") {
                return status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
            }
            assert!(started.elapsed() < PATIENCE, "{}: orc does not end; it says: {}", self.about, self.said());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only after a failure there is something to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).expect("a number of a process")).expect("not 0")
}
