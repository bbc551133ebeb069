//! What the tests share: folders, compilers, `orc run` through each executor.

use integration_tests::executor::Kind;
use integration_tests::process::{Outcome, Program, tool};
use integration_tests::workplace::Workplace;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// A folder with a program in it, and the `orc` under test.
pub(crate) struct World {
    pub(crate) folder: PathBuf,
    workplace: Workplace,
}

impl World {
    /// An empty folder for the test of that name.
    pub(crate) fn new(test: &str) -> Self {
        let workplace = Workplace::of_this_test().expect("a workplace");
        let folder = workplace.builds.join("profilers").join(test);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        Self { folder, workplace }
    }

    /// The executors in which linked code is its own process's, or another's. What else there is runs like the second.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = Kind> {
        let wanted = self.workplace.kinds.clone();
        [Kind::InProcess, Kind::Spawn].into_iter().filter(move |kind| wanted.contains(kind))
    }

    /// Writes a source and compiles it to an object of the same name.
    #[track_caller]
    pub(crate) fn compile(&self, source: &str, text: &str, flags: &str) -> String {
        fs::write(self.folder.join(source), text).expect("written");
        let object = format!("{}.o", source.split('.').next().expect("a name"));
        let compiler = if source.ends_with(".cc") { "g++" } else { "gcc" };
        self.tool(&format!("{compiler} {flags} -c {source} -o {object}"));
        object
    }

    /// Runs a tool to its end; words are between spaces.
    #[track_caller]
    pub(crate) fn tool(&self, line: &str) {
        tool(&self.folder, &words(line), &[]).unwrap();
    }

    /// What a tool prints.
    #[track_caller]
    pub(crate) fn output(&self, line: &str) -> String {
        let outcome = self.run(&words(line), &[]);
        let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
        assert_eq!(outcome.code, 0, "{line}\n{text}{}", String::from_utf8_lossy(&outcome.stderr));
        text
    }

    /// The `orc-executor` under test.
    pub(crate) fn executor(&self) -> PathBuf {
        self.workplace.executors.as_ref().expect("an orc-executor").program().to_owned()
    }

    /// `orc run` with an executor, as words.
    pub(crate) fn orc(&self, kind: Kind, rest: &str) -> Vec<OsString> {
        let mut line = vec![self.workplace.orc.clone().expect("an orc").into_os_string(), "run".into()];
        if kind != Kind::InProcess {
            let executors = self.workplace.executors.as_ref().expect("an orc-executor");
            line.extend(["--executor".into(), executors.address(kind.into(), None).expect("an address").value]);
        }
        line.extend(words(rest));
        line
    }

    /// Runs a program to its end, with additions to the environment.
    #[track_caller]
    pub(crate) fn run(&self, words: &[OsString], env: &[(&str, &str)]) -> Outcome {
        let program = Program {
            words: words.to_vec(),
            folder: self.folder.clone(),
            env: env.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect(),
            timeout: Duration::from_secs(120),
            ..Program::default()
        };
        program.run("run").unwrap()
    }

    /// Runs a program that has to succeed; its output.
    #[track_caller]
    pub(crate) fn succeed(&self, words: &[OsString], env: &[(&str, &str)]) -> String {
        let outcome = self.run(words, env);
        let errors = String::from_utf8_lossy(&outcome.stderr);
        assert_eq!(outcome.code, 0, "{words:?}\n{errors}");
        String::from_utf8(outcome.stdout).expect("text")
    }
}

/// The words of a line.
pub(crate) fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}
