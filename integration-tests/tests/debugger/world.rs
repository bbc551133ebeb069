//! What the tests share: a folder, compilers, `orc` under gdb.

use integration_tests::process::Program;
use integration_tests::workplace::Workplace;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// A gdb that says nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(180);

/// A folder with sources and objects.
pub(crate) struct World {
    folder: TempDir,
    orc: PathBuf,
}

impl World {
    pub(crate) fn new() -> Self {
        let workplace = Workplace::of_this_test().expect("an orc to test");
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder, orc: workplace.orc.expect("ORC_CASES=native has no debugger tests") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Compiles a source with a command; gives the object's path.
    pub(crate) fn compile(&self, source: &str, text: &str, object: &str, command: &str) -> String {
        fs::write(self.path(source), text).expect("a source can be written");
        let words = command.split_whitespace().chain([source, "-o", object]);
        self.native(&words.collect::<Vec<_>>());
        object.to_owned()
    }

    /// Runs a tool in the folder; gives what it printed.
    pub(crate) fn native(&self, words: &[&str]) -> String {
        let outcome = self.run(words.iter().map(Into::into).collect(), "tool", &[]);
        assert_eq!(outcome.code, 0, "{words:?}: {}", String::from_utf8_lossy(&outcome.stderr));
        String::from_utf8_lossy(&outcome.stdout).into_owned()
    }

    /// Runs a tool that may find fault; gives everything that it printed.
    pub(crate) fn output(&self, words: &[&str]) -> String {
        let outcome = self.run(words.iter().map(Into::into).collect(), "tool", &[]);
        format!("{}{}", String::from_utf8_lossy(&outcome.stdout), String::from_utf8_lossy(&outcome.stderr))
    }

    /// `orc run` with these arguments, under gdb, which runs `commands`; gives what gdb and the program printed.
    pub(crate) fn gdb(&self, orc: &[&str], commands: &str) -> String {
        let mut words = self.orc_words(orc);
        words.splice(0..0, self.gdb_words(commands).into_iter().chain(["--args".into()]));
        self.run_gdb(words)
    }

    /// Attaches gdb to a process.
    pub(crate) fn attach(&self, process: u32, commands: &str) -> String {
        let mut words = self.gdb_words(commands);
        words.extend(["-p".into(), process.to_string().into()]);
        self.run_gdb(words)
    }

    fn gdb_words(&self, commands: &str) -> Vec<OsString> {
        let script = self.path("commands.gdb");
        let prelude = "set confirm off\nset pagination off\nset breakpoint pending on\nset width 0\nset style enabled off\nset print thread-events off\n";
        fs::write(&script, format!("{prelude}{commands}")).expect("a script can be written");
        ["gdb", "-q", "-nx", "-batch", "-x"].iter().map(Into::into).chain([script.into()]).collect()
    }

    fn orc_words(&self, arguments: &[&str]) -> Vec<OsString> {
        let orc = [self.orc.clone().into(), "run".into()];
        orc.into_iter().chain(arguments.iter().map(Into::into)).collect()
    }

    /// `orc run`, not waited for.
    pub(crate) fn start(&self, arguments: &[&str]) -> Command {
        let words = self.orc_words(arguments);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(self.folder());
        command
    }

    fn run_gdb(&self, words: Vec<OsString>) -> String {
        // What is downloaded for libraries of the system says nothing about linked code.
        let outcome = self.run(words, "gdb", &[("DEBUGINFOD_URLS".to_owned(), "".into())]);
        let mut text = String::from_utf8_lossy(&outcome.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&outcome.stderr));
        text
    }

    fn run(&self, words: Vec<OsString>, name: &str, env: &[(String, OsString)]) -> integration_tests::process::Outcome {
        let folder = self.folder().to_owned();
        let program = Program { words, folder, env: env.to_vec(), timeout: PATIENCE, ..Program::default() };
        program.run(name).expect("it starts and ends")
    }
}

/// Every part is in the text, in this order.
#[track_caller]
pub(crate) fn in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let at =
            rest.find(part).unwrap_or_else(|| panic!("`{part}` is not in, or not after what is before it:\n{text}"));
        rest = &rest[at + part.len()..];
    }
}

/// The file that gdb was shown last, as `dump` commands for it: `maint info jit` tells where it is.
pub(crate) fn entries(text: &str) -> Vec<(u64, u64)> {
    let lines = text.lines().skip_while(|line| !line.starts_with("jit_code_entry address"));
    let entries = lines.skip(1).map_while(|line| {
        let mut words = line.split_whitespace();
        words.next().filter(|word| word.starts_with("0x"))?;
        let file = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
        Some((file, words.next()?.parse().ok()?))
    });
    entries.collect()
}
