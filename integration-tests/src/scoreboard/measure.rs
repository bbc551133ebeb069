//! One measured run: processes started one after the other, with everything that they start, to the last one's end.
//!
//! You give command lines; you get processor time of the whole process tree, wall time, peak memory, page faults and what was printed.
//! Linkers that answer from a forked child and leave it to tidy up do not escape: orphans come home to the bench and are counted.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::scoreboard::Result;
use crate::scoreboard::rivals::Invocation;

/// The figures of one run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Usage {
    /// Of all processes, in programs and libraries.
    pub user: Duration,
    /// Of all processes, in the kernel.
    pub system: Duration,
    /// From the first process's start to the last one's end.
    pub wall: Duration,
    /// Of the process that had most; KiB.
    pub peak_kib: u64,
    /// Page faults that no file had to be read for, of all processes.
    pub minor_faults: u64,
    /// Page faults that waited for a disk, of all processes.
    pub major_faults: u64,
}

impl Usage {
    /// User and system time.
    pub fn cpu(&self) -> Duration {
        self.user + self.system
    }

    /// The same in milliseconds.
    pub fn cpu_ms(&self) -> f64 {
        self.cpu().as_secs_f64() * 1000.0
    }

    /// Wall time in milliseconds.
    pub fn wall_ms(&self) -> f64 {
        self.wall.as_secs_f64() * 1000.0
    }

    /// Peak memory in MiB.
    pub fn peak_mib(&self) -> f64 {
        self.peak_kib as f64 / 1024.0
    }

    fn add(&mut self, used: &libc::rusage) {
        self.user += duration(used.ru_utime);
        self.system += duration(used.ru_stime);
        self.peak_kib = self.peak_kib.max(used.ru_maxrss as u64);
        self.minor_faults += used.ru_minflt as u64;
        self.major_faults += used.ru_majflt as u64;
    }
}

/// How a program that came to run ended.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) code: i32,
    pub(crate) printed: Vec<u8>,
    /// The line of its standard error that tells most.
    pub(crate) complaint: Option<String>,
}

/// Ends runs that take too long.
#[derive(Debug)]
pub(crate) struct Watchdog {
    watched: Arc<Mutex<Option<(libc::pid_t, Instant)>>>,
    limit: Duration,
}

impl Watchdog {
    /// Starts watching, and takes in orphans: both are for the life of the bench.
    pub(crate) fn start(limit: Duration) -> Result<Self> {
        // SAFETY: PR_SET_CHILD_SUBREAPER takes one integer and touches no memory of ours.
        if unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) } != 0 {
            return Err(format!("cannot take in orphans: {}", io::Error::last_os_error()));
        }
        let watched = Arc::new(Mutex::new(None::<(libc::pid_t, Instant)>));
        let seen = Arc::clone(&watched);
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(Duration::from_millis(100));
                let now = *seen.lock().expect("nobody panics with this lock");
                if let Some((group, deadline)) = now
                    && Instant::now() > deadline
                {
                    // SAFETY: a plain system call; the group was made by us and its leader is not reaped while it is watched.
                    unsafe { libc::kill(-group, libc::SIGKILL) };
                }
            }
        });
        Ok(Self { watched, limit })
    }

    /// Runs the invocations, the last of which is the program; the inner error is why it did not come to run or to its end.
    pub(crate) fn run(
        &self,
        invocations: &[Invocation],
        stdin: Option<&Path>,
        scratch: &Path,
    ) -> Result<(Usage, Result<Program>)> {
        let (printed, complained) = (scratch.join("stdout"), scratch.join("stderr"));
        let mut usage = Usage::default();
        let mut program = Err("nothing to run".to_owned());
        let begun = Instant::now();
        for (index, invocation) in invocations.iter().enumerate() {
            let mut command = Command::new(&invocation.program);
            command.args(&invocation.args).process_group(0).stdout(create(&printed)?).stderr(create(&complained)?);
            command.stdin(match stdin {
                Some(path) => Stdio::from(File::open(path).map_err(|e| format!("{}: {e}", path.display()))?),
                None => Stdio::null(),
            });
            // The caller's environment must not slow one rival more than another (RUST_BACKTRACE, LD_PRELOAD, ...).
            command.env_clear().current_dir(scratch).env("PATH", "/usr/bin:/bin").env("LC_ALL", "C");
            // Waited for below, by its id: `Child` cannot tell what a process used.
            let child = command.spawn().map_err(|e| format!("{}: {e}", invocation.program.display()))?;
            let status = self.wait(child.id() as libc::pid_t, begun + self.limit, &mut usage)?;
            let complaint = complaint(&complained);
            program = match ending(status, begun.elapsed() > self.limit) {
                Ok(code) if index + 1 == invocations.len() => Ok(Program { code, printed: Vec::new(), complaint }),
                Ok(0) => continue,
                Ok(code) => Err(format!("exit code {code}: {}", complaint.unwrap_or_default())),
                Err(ended) => Err([Some(ended), complaint].into_iter().flatten().collect::<Vec<_>>().join(": ")),
            };
            break;
        }
        // As fine as the kernel tells the rest.
        usage.wall = Duration::from_micros(begun.elapsed().as_micros() as u64);
        adopt_orphans(&mut usage)?;
        // Only now: llvm-jitlink does not wait for its executor, which may be about to write what the program printed.
        if let Ok(program) = &mut program {
            program.printed = read(&printed)?;
        }
        Ok((usage, program))
    }

    fn wait(&self, pid: libc::pid_t, deadline: Instant, usage: &mut Usage) -> Result<libc::c_int> {
        *self.watched.lock().expect("nobody panics with this lock") = Some((pid, deadline));
        // Seen ended, but kept: as long as it is not reaped its id is no one else's, so the watchdog cannot hit a stranger.
        // SAFETY: `info` is a valid siginfo_t that the call may fill; all-zero bytes are one.
        let seen = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            libc::waitid(libc::P_PID, pid as libc::id_t, &raw mut info, libc::WEXITED | libc::WNOWAIT)
        };
        *self.watched.lock().expect("nobody panics with this lock") = None;
        if seen != 0 {
            return Err(format!("cannot wait: {}", io::Error::last_os_error()));
        }
        let (_, status) = reap(pid, usage)?;
        Ok(status)
    }
}

/// What a finished process left running in the background ends by itself; its time is the rival's.
fn adopt_orphans(usage: &mut Usage) -> Result<()> {
    loop {
        match reap(-1, usage) {
            Ok(_) => {}
            Err(_) if io::Error::last_os_error().raw_os_error() == Some(libc::ECHILD) => {
                return Ok(());
            }
            Err(message) => return Err(message),
        }
    }
}

fn reap(pid: libc::pid_t, usage: &mut Usage) -> Result<(libc::pid_t, libc::c_int)> {
    let mut status = 0;
    // SAFETY: both pointers are to locals of the right types; all-zero bytes are a valid rusage.
    let (reaped, used) = unsafe {
        let mut used: libc::rusage = std::mem::zeroed();
        (libc::wait4(pid, &raw mut status, 0, &raw mut used), used)
    };
    if reaped < 0 {
        return Err(format!("cannot wait: {}", io::Error::last_os_error()));
    }
    usage.add(&used);
    Ok((reaped, status))
}

fn ending(status: libc::c_int, late: bool) -> Result<i32> {
    if libc::WIFEXITED(status) {
        Ok(libc::WEXITSTATUS(status))
    } else if late {
        Err("took too long".to_owned())
    } else {
        Err(format!("signal {}", libc::WTERMSIG(status)))
    }
}

/// The line of a complaint that tells most.
fn complaint(complained: &Path) -> Option<String> {
    let said = String::from_utf8_lossy(&read(complained).ok()?).into_owned();
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    lines().find(|line| line.contains("rror")).or_else(|| lines().next()).map(str::to_owned)
}

fn create(path: &Path) -> Result<File> {
    File::create(path).map_err(|e| format!("{}: {e}", path.display()))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|e| format!("{}: {e}", path.display()))
}

fn duration(time: libc::timeval) -> Duration {
    Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
}
