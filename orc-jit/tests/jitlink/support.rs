//! Objects made by LLVM's assembler, and the two commands.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder of files, and the commands run in it.
pub(crate) struct Bench(tempfile::TempDir);

/// How a command ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { status: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("in the folder")).expect("a folder");
        fs::write(&path, text).expect("written");
        path
    }

    /// Runs a tool that has to succeed.
    pub(crate) fn tool(&self, program: &str, arguments: &[&str]) {
        let output = Command::new(program).args(arguments).current_dir(self.0.path()).output();
        let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
        assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Assembles `text` into `name`.
    pub(crate) fn assemble(&self, name: &str, triple: &str, more: &[&str], text: &str) {
        let source = format!("{name}.s");
        self.write(&source, text);
        let triple = format!("-triple={triple}");
        let mut arguments = vec![triple.as_str(), "-filetype=obj", "-o", name, source.as_str()];
        arguments.extend(more);
        self.tool("llvm-mc-19", &arguments);
    }

    /// Assembles for x86-64 Linux.
    pub(crate) fn object(&self, name: &str, text: &str) {
        self.assemble(name, "x86_64-unknown-linux", &["-position-independent"], text);
    }

    pub(crate) fn orc(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orc"));
        self.run(command.arg("jitlink").args(arguments))
    }

    pub(crate) fn llvm(&self, arguments: &[&str]) -> Ended {
        self.run(Command::new("llvm-jitlink-19").args(arguments))
    }

    fn run(&self, command: &mut Command) -> Ended {
        command.current_dir(self.0.path()).output().unwrap_or_else(|error| panic!("{command:?}: {error}")).into()
    }

    /// Runs both, which must agree in the exit status; gives what orc said.
    #[track_caller]
    pub(crate) fn both(&self, arguments: &[&str], status: i32) -> Ended {
        let (orc, llvm) = (self.orc(arguments), self.llvm(arguments));
        assert_eq!(llvm.status, Some(status), "llvm-jitlink {arguments:?}: {llvm:?}");
        assert_eq!(orc.status, Some(status), "orc jitlink {arguments:?}: {orc:?}");
        orc
    }
}

/// A case of the corpus.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) triple: String,
    pub(crate) assembler: Vec<String>,
    pub(crate) arguments: Vec<String>,
}

impl Case {
    /// All cases for machines that are linked for.
    pub(crate) fn all() -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/jitlink/corpus");
        let files = fs::read_dir(folder).expect("the corpus").map(|file| file.expect("a file").path());
        let mut cases: Vec<Self> = files.map(|path| Self::read(&path)).collect();
        cases.sort_by(|a, b| a.name.cmp(&b.name));
        cases.retain(Self::is_linked_for);
        cases
    }

    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("a case");
        let words = |key: &str| {
            let lines = text.lines().filter_map(|line| line.strip_prefix("# ")?.strip_prefix(key)?.strip_prefix(':'));
            lines.flat_map(str::split_whitespace).map(str::to_owned).collect::<Vec<_>>()
        };
        Self {
            name: path.file_stem().expect("a name").to_string_lossy().into_owned(),
            triple: words("triple").concat(),
            assembler: words("assembler"),
            arguments: words("arguments"),
            text,
        }
    }

    fn is_linked_for(&self) -> bool {
        let machine = self.triple.split('-').next().unwrap_or_default();
        // Apple's name of aarch64.
        let machine = if machine == "arm64" { "aarch64" } else { machine };
        jitlink::arch::Machine::named(machine).is_some()
    }

    /// Makes `case.o` of it; gives the arguments of both commands, without those that name rules.
    pub(crate) fn make(&self, bench: &Bench) -> Vec<&str> {
        let more: Vec<&str> = self.assembler.iter().map(String::as_str).collect();
        bench.assemble("case.o", &self.triple, &more, &self.text);
        let mut arguments = vec!["-noexec"];
        arguments.extend(self.arguments.iter().map(String::as_str));
        arguments.push("case.o");
        arguments
    }
}
