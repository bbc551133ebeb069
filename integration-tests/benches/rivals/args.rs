//! The command line. Written by hand: a bench should not make the project heavier by a parser.

use std::path::PathBuf;
use std::time::Duration;

use crate::Result;

pub(crate) const USAGE: &str = "\
cargo bench -p integration-tests --bench rivals -- [OPTIONS]

  --rounds N          interleaved rounds after the one that checks outputs (default 5)
  --workloads A,B     only workloads whose name starts with one of these (W1, W5-10k, ...)
  --rivals A,B        only rivals whose name contains one of these (orc, jitlink, lld, ...)
  --full              also W5 with 100,000 functions in 10,000 objects
  --orc PATH          measure this binary instead of building orc
  --csv PATH          where the raw figures go (default target/bench-workloads/rivals.csv)
  --timeout SECONDS   end a run that takes longer (default 120)
  --jobs N            compilers at once while workloads are built (default 2)
  --no-install        name absent rivals and tools instead of installing them
  --build-only        build workloads and tools, run nothing
  --commands          print what would be run, and run nothing
  --check             fail if a rival that linked printed something else than the others; for CI

MINILINK=PATH in the environment adds the row `mini`: a bare reference linker.
";

/// What the person asked for.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Interleaved rounds that count; one more goes before them and only checks outputs.
    pub(crate) rounds: usize,
    /// Prefixes of workload names; empty means all.
    pub(crate) workloads: Vec<String>,
    /// Parts of rival names; empty means all.
    pub(crate) rivals: Vec<String>,
    /// Includes the workloads that take many minutes to build.
    pub(crate) full: bool,
    /// A built `orc`.
    pub(crate) orc: Option<PathBuf>,
    /// Where the raw figures go.
    pub(crate) csv: Option<PathBuf>,
    /// A run is ended after this.
    pub(crate) timeout: Duration,
    /// Compilers that run at once.
    pub(crate) jobs: usize,
    /// Install absent tools when allowed to.
    pub(crate) install: bool,
    /// Stop when everything is built.
    pub(crate) build_only: bool,
    /// Print command lines only.
    pub(crate) commands: bool,
    /// A disagreement between rivals is a failure of the bench.
    pub(crate) check: bool,
}

impl Options {
    /// `None` means that the usage was asked for.
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Self>> {
        let mut options = Self {
            rounds: 5,
            workloads: Vec::new(),
            rivals: Vec::new(),
            full: false,
            orc: None,
            csv: None,
            timeout: Duration::from_secs(120),
            jobs: 2,
            install: true,
            build_only: false,
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
                "--commands" => options.commands = true,
                "--check" => options.check = true,
                "--bench" => {} // cargo says it to every bench
                "-h" | "--help" => return Ok(None),
                _ => return Err(format!("unknown option {word} (--help tells)")),
            }
        }
        Ok(Some(options))
    }

    /// Whether a workload of this name was asked for.
    pub(crate) fn wants_workload(&self, name: &str) -> bool {
        self.workloads.is_empty() || self.workloads.iter().any(|prefix| name.starts_with(prefix.as_str()))
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
