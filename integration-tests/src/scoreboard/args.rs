//! The command line. Written by hand: a bench should not make the project heavier by a parser.

use std::path::PathBuf;
use std::time::Duration;

use super::Result;
use super::growth::START;
use super::workloads::growth::FAMILIES;

/// What `--help` prints.
pub const USAGE: &str = "\
cargo bench -p integration-tests --bench rivals -- [OPTIONS]

  --rounds N          interleaved rounds after the one that checks outputs (default 5)
  --workloads A,B     only workloads whose name starts with one of these (W1, W5, functions, dylibs, ...),
                      or is one of these (\"functions 1000\")
  --rivals A,B        only rivals whose name contains one of these (orc, jitlink, lld, ...)
  --full              also W5 with 100,000 functions in 10,000 objects
  --orc PATH          measure this binary instead of building orc
  --csv PATH          where the raw figures go (default target/bench-workloads/rivals.csv)
  --timeout SECONDS   end a run that takes longer (default 120)
  --jobs N            compilers at once while workloads are built (default 2)
  --no-install        name absent rivals and tools instead of installing them
  --build-only        build workloads and tools, run nothing
  --readme            run nothing: put the figures of the last run into README.md, and its plot beside the benches
  --commands          print what would be run, and run nothing
  --check             fail if a rival that linked printed something else than the others; for CI
";

/// What the person asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// Interleaved rounds that count; one more goes before them and only checks outputs.
    pub rounds: usize,
    /// Prefixes of workload names, or names with a size; empty means all.
    pub workloads: Vec<String>,
    /// Parts of rival names; empty means all.
    pub rivals: Vec<String>,
    /// Includes the workloads that take many minutes to build.
    pub full: bool,
    /// A built `orc`.
    pub orc: Option<PathBuf>,
    /// The program `floor` of this package, which whoever calls has; no word of the command line says it.
    pub floor: Option<PathBuf>,
    /// Where the raw figures go.
    pub csv: Option<PathBuf>,
    /// A run is ended after this.
    pub timeout: Duration,
    /// Compilers that run at once.
    pub jobs: usize,
    /// Install absent tools when allowed to.
    pub install: bool,
    /// Stop when everything is built.
    pub build_only: bool,
    /// Put the last run's figures into the README.
    pub readme: bool,
    /// Print command lines only.
    pub commands: bool,
    /// A disagreement between rivals is a failure of the bench.
    pub check: bool,
}

impl Options {
    /// From the words of the command line; `None` means that the usage was asked for.
    ///
    /// # Errors
    /// An option that is none, or lacks its value.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Self>> {
        let mut options = Self {
            rounds: 5,
            workloads: Vec::new(),
            rivals: Vec::new(),
            full: false,
            orc: None,
            floor: None,
            csv: None,
            timeout: Duration::from_secs(120),
            jobs: 2,
            install: true,
            build_only: false,
            readme: false,
            commands: false,
            check: false,
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value (--help tells)"));
            match word.as_str() {
                "--rounds" => options.rounds = number(&value()?)?,
                "--workloads" => options.workloads = list(&value()?),
                "--rivals" => options.rivals = list(&value()?),
                "--full" => options.full = true,
                "--orc" => options.orc = Some(value()?.into()),
                "--csv" => options.csv = Some(value()?.into()),
                "--timeout" => options.timeout = Duration::from_secs(number(&value()?)? as u64),
                "--jobs" => options.jobs = number(&value()?)?.max(1),
                "--no-install" => options.install = false,
                "--build-only" => options.build_only = true,
                "--readme" => options.readme = true,
                "--commands" => options.commands = true,
                "--check" => options.check = true,
                "--bench" => {} // cargo says it to every bench
                "-h" | "--help" => return Ok(None),
                _ => return Err(format!("unknown option {word} (--help tells)")),
            }
        }
        Ok(Some(options))
    }

    /// Whether a program of this name was asked for.
    pub(crate) fn wants_program(&self, name: &str) -> bool {
        self.workloads.is_empty() || self.workloads.iter().any(|prefix| name.starts_with(prefix.as_str()))
    }

    /// Whether this was asked to grow to this size. What starting costs is needed by all others.
    pub(crate) fn wants_growth(&self, name: &str, size: usize) -> bool {
        let asked = |word: &String| name.starts_with(word.as_str()) || *word == format!("{name} {size}");
        if name == START {
            let mut others = FAMILIES.iter().filter(|family| family.name != START);
            return others.any(|family| family.sizes.iter().any(|size| self.wants_growth(family.name, *size)));
        }
        self.workloads.is_empty() || self.workloads.iter().any(asked)
    }

    /// Whether a rival of this name was asked for.
    pub(crate) fn wants_rival(&self, name: &str) -> bool {
        self.rivals.is_empty() || self.rivals.iter().any(|part| name.contains(part.as_str()))
    }
}

fn number(word: &str) -> Result<usize> {
    word.parse().map_err(|_| format!("{word} is not a number"))
}

fn list(word: &str) -> Vec<String> {
    word.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}
