//! Running a program: output and input in files, a limit on time and stack, exit codes as a shell says them.

use crate::{Failure, context, tool};
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What to run.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// The program and its arguments.
    pub words: Vec<OsString>,
    /// The folder to run in.
    pub folder: PathBuf,
    /// A file as standard input; none means an empty one.
    pub stdin: Option<PathBuf>,
    /// Added to the environment.
    pub env: Vec<(String, OsString)>,
    /// Limit of the stack in KiB.
    pub stack: Option<u32>,
    /// When to give up.
    pub timeout: Duration,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Exit code, or 128+N after signal N.
    pub code: i32,
}

impl Program {
    /// Runs it; the outputs also stay in `<folder>/<name>.stdout` and `.stderr` for whoever looks into a failure.
    ///
    /// # Errors
    /// The program cannot be started, or it ran out of time (it is then killed).
    pub fn run(&self, name: &str) -> Result<Outcome, Failure> {
        let (out, err) = (self.folder.join(format!("{name}.stdout")), self.folder.join(format!("{name}.stderr")));
        let mut words = self.words.clone();
        if let Some(kib) = self.stack {
            // prlimit rather than a limit set between fork and exec: that would need unsafe code here.
            let bytes = u64::from(kib) * 1024;
            words.splice(0..0, ["prlimit".into(), format!("--stack={bytes}:{bytes}").into(), "--".into()]);
        }
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(&self.folder).env("LC_ALL", "C");
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        command.stdin(match &self.stdin {
            Some(path) => Stdio::from(File::open(path).map_err(context(path.display()))?),
            None => Stdio::null(),
        });
        command.stdout(File::create(&out).map_err(context(out.display()))?);
        command.stderr(File::create(&err).map_err(context(err.display()))?);
        let program = words[0].to_string_lossy().into_owned();
        let mut child = command.spawn().map_err(|error| tool::cannot_start(&program, &error))?;
        let started = Instant::now();
        let mut pause = Duration::from_micros(500);
        let status = loop {
            if let Some(status) = child.try_wait().map_err(context(&program))? {
                break status;
            }
            if started.elapsed() > self.timeout {
                // Losing a race with its end is fine: it is over either way.
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{name}: no end after {:?}: {}\n{}", self.timeout, self.line(), tail(&err)));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
        };
        let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1);
        Ok(Outcome {
            stdout: fs::read(&out).map_err(context(out.display()))?,
            stderr: fs::read(&err).map_err(context(err.display()))?,
            code,
        })
    }

    /// The command as one could type it.
    pub fn line(&self) -> String {
        let mut line = format!("cd {} &&", self.folder.display());
        for (key, value) in &self.env {
            line.push_str(&format!(" {key}={}", quoted(&value.to_string_lossy())));
        }
        for word in &self.words {
            line.push(' ');
            line.push_str(&quoted(&word.to_string_lossy()));
        }
        line
    }
}

/// Runs a tool of the build to its end.
///
/// # Errors
/// It cannot be started, or it fails: then with its standard error.
pub fn tool(folder: &Path, words: &[OsString], env: &[(String, OsString)]) -> Result<(), Failure> {
    let program = words[0].to_string_lossy().into_owned();
    let output = Command::new(&words[0])
        .args(&words[1..])
        .current_dir(folder)
        .env("LC_ALL", "C")
        .envs(env.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| tool::cannot_start(&program, &error))?;
    if output.status.success() {
        return Ok(());
    }
    let line: Vec<_> = words.iter().map(|word| quoted(&word.to_string_lossy())).collect();
    let hint = if output.status.code() == Some(127) { tool::hint(&line.join(" ")) } else { String::new() };
    Err(format!(
        "cd {} && {}: {}{hint}\n{}",
        folder.display(),
        line.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    ))
}

fn quoted(word: &str) -> String {
    if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./=,+:@%".contains(&byte)) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn tail(path: &Path) -> String {
    let text = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&text[text.len().saturating_sub(2000)..]).into_owned()
}
