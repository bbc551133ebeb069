//! Where things are: the cases, the target folder, the `orc` under test.

use crate::Failure;
use crate::executor::{Executors, Kind};
use crate::machine::Machine;
use crate::ways::Ways;
use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Paths that every trial needs.
#[derive(Debug, Clone)]
pub struct Workplace {
    /// `integration-tests/`
    pub package: PathBuf,
    /// `integration-tests/cases/`
    pub cases: PathBuf,
    /// Where builds are kept, below cargo's target folder.
    pub builds: PathBuf,
    /// The `orc` under test; none when only the oracles are run (`ORC_CASES=native`).
    pub orc: Option<PathBuf>,
    /// How trials are run.
    pub ways: Ways,
    /// The executors that these go through, each once.
    pub kinds: Vec<Kind>,
    /// The `orc-executor` under test; none when nothing runs through it.
    pub executors: Option<Arc<Executors>>,
    /// What cases are built for, when it is not this machine.
    pub machine: Option<&'static Machine>,
}

impl Workplace {
    /// From the running test program and the environment: `ORC_BIN` names the `orc` under test, otherwise it is `release/orc` of the
    /// target folder that this test was built in. `ORC_EXECUTOR_BIN` names the `orc-executor`, otherwise it is the one beside `orc`;
    /// `ORC_EXECUTORS` says through which executors trials are run, and in which hardened processes.
    ///
    /// # Errors
    /// No such `orc`, no such `orc-executor` where one is needed, a variable that says something else.
    pub fn of_this_test() -> Result<Self, Failure> {
        let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let target = target_folder()?;
        let ways = Ways::wanted()?;
        let kinds: Vec<Kind> =
            Kind::ALL.into_iter().filter(|kind| ways.all().iter().any(|way| way.kind == *kind)).collect();
        let orc = match env::var("ORC_CASES") {
            Ok(only) if only == "native" => None,
            Ok(other) => return Err(format!("ORC_CASES={other}: only `native` has a meaning")),
            Err(_) => Some(binary("ORC_BIN", || target.join("release/orc"), "orc-jit")?),
        };
        let builds = target.join("cases");
        let executors = match &orc {
            Some(orc) if kinds != [Kind::InProcess] => {
                let program = binary("ORC_EXECUTOR_BIN", || orc.with_file_name("orc-executor"), "orc-rt")?;
                Some(Arc::new(Executors::new(program, orc, builds.join("listeners"))))
            }
            _ => None,
        };
        Ok(Self { cases: package.join("cases"), builds, package, orc, ways, kinds, executors, machine: None })
    }

    /// The same for another machine: everything runs through its executor, in an emulator whose standard input and output carry the frames.
    ///
    /// # Errors
    /// As [`Self::of_this_test`]; its executor has not been built.
    pub fn elsewhere(machine: &'static Machine) -> Result<Self, Failure> {
        let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let target = target_folder()?;
        let orc = binary("ORC_BIN", || target.join("release/orc"), "orc-jit")?;
        let program = machine.executor(&target);
        if !program.is_file() {
            return Err(format!("{}: it is not there; build it with `integration-tests/cross`", program.display()));
        }
        let builds = target.join("cases").join(machine.name);
        let executors = Executors::new(program, &orc, builds.join("listeners")).emulated(machine);
        Ok(Self {
            cases: package.join("cases"),
            builds,
            package,
            orc: Some(orc),
            ways: Ways::Each(vec![Kind::Exec.into()]),
            kinds: vec![Kind::Exec],
            executors: Some(Arc::new(executors)),
            machine: Some(machine),
        })
    }

    /// The same in two starts: what the second one takes from the image cache was linked by the first, and moves.
    #[must_use]
    pub fn from_cache(mut self) -> Self {
        self.ways = self.ways.from_cache();
        self
    }
}

/// The program that `variable` names, otherwise the usual one.
fn binary(variable: &str, usual: impl FnOnce() -> PathBuf, package: &str) -> Result<PathBuf, Failure> {
    let path = env::var_os(variable).map_or_else(usual, PathBuf::from);
    match path.canonicalize() {
        Ok(path) => Ok(path),
        Err(error) => Err(format!(
            "{}: {error}; build it with `cargo build --release -p {package}`, or name it in {variable}",
            path.display()
        )),
    }
}

/// The test runs as `<target>/<profile>/deps/<name>`.
fn target_folder() -> Result<PathBuf, Failure> {
    let this = env::current_exe().map_err(|error| format!("this test's own path: {error}"))?;
    this.ancestors().nth(3).map(Path::to_owned).ok_or_else(|| format!("{}: not inside a target folder", this.display()))
}
