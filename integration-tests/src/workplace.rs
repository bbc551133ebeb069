//! Where things are: the cases, the target folder, the `orc` under test.

use crate::Failure;
use std::env;
use std::path::{Path, PathBuf};

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
}

impl Workplace {
    /// From the running test program and the environment: `ORC_BIN` names the `orc` under test, otherwise it is `release/orc` of the
    /// target folder that this test was built in.
    ///
    /// # Errors
    /// No such `orc`.
    pub fn of_this_test() -> Result<Self, Failure> {
        let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let target = target_folder()?;
        let orc = match env::var("ORC_CASES") {
            Ok(only) if only == "native" => None,
            Ok(other) => return Err(format!("ORC_CASES={other}: only `native` has a meaning")),
            Err(_) => Some(orc(&target)?),
        };
        Ok(Self { cases: package.join("cases"), builds: target.join("cases"), package, orc })
    }
}

fn orc(target: &Path) -> Result<PathBuf, Failure> {
    let path = env::var_os("ORC_BIN").map_or_else(|| target.join("release/orc"), PathBuf::from);
    match path.canonicalize() {
        Ok(path) => Ok(path),
        Err(error) => Err(format!(
            "{}: {error}; build it with `cargo build --release -p orc-jit`, or name it in ORC_BIN",
            path.display()
        )),
    }
}

/// The test runs as `<target>/<profile>/deps/<name>`.
fn target_folder() -> Result<PathBuf, Failure> {
    let this = env::current_exe().map_err(|error| format!("this test's own path: {error}"))?;
    this.ancestors().nth(3).map(Path::to_owned).ok_or_else(|| format!("{}: not inside a target folder", this.display()))
}
