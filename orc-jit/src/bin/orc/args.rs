//! The command line as clap sees it. What order means is told in [`super::plan`].

#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "these comments are the help text, where brackets mean what may be left out"
)]

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use orc_jit::Watchers;
use orc_jit::executor::remote::Place;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Run programs from their object files, and look into them.
///
/// Links relocatable objects (.o), archives (.a, .rlib) and shared libraries straight into memory, with the semantics of a dynamic
/// loader, and runs them.
#[derive(Debug, Parser)]
#[command(name = "orc", version, about, long_about, arg_required_else_help = true, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Print a manual page or a completion script.
    #[arg(long, value_name = "WHAT", exclusive = true)]
    pub(crate) generate: Option<Generate>,
}

const EXAMPLES: &str = "\
Examples:
  orc demo                                  see three dylibs open, initialize and close
  orc run hello.o                           link and run
  orc run app.o -lstdc++ -lm -- -v file     with libraries; `-v file` is for the program
  orc run main.o --dylib B b.o              main.o in one dylib, b.o in another
  orc inspect hello.o                       sections, blocks, symbols, edges";

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "made once")]
pub(crate) enum Command {
    /// Link into an executor and run.
    ///
    /// The exit code is the program's. It is 2 when the command line is wrong, 125 when orc could not link or reach the executor,
    /// and 128+N when signal N ended the program, as shells say it. argv[0] is the first input.
    Run(RunArgs),
    /// Show the link graph: sections, blocks, symbols, edges.
    Inspect(InspectArgs),
    /// Run a built-in program that tells what happens as it happens.
    Demo(DemoArgs),
    /// Run llvm-jitlink's scripts and tests: link objects of any machine, check and show what came out (orc jitlink -help lists its options).
    Jitlink(LaterArgs),
    /// Be an executor, as the orc-executor command is (orc executor --help tells more).
    Executor(LaterArgs),
}

/// `orc run`.
#[derive(Debug, Args)]
#[command(after_help = RUN_EXAMPLES, override_usage = "orc run [OPTIONS] INPUT... [-- ARGS...]")]
pub(crate) struct RunArgs {
    /// .o, .a, .rlib, .so, or a text linker script; @FILE reads arguments from FILE.
    #[arg(value_name = "INPUT")]
    pub(crate) inputs: Vec<PathBuf>,
    /// Arguments of the program.
    #[arg(value_name = "ARGS", last = true)]
    pub(crate) arguments: Vec<OsString>,
    /// Link libNAME.so, or libNAME.a; `-l :FILE` takes FILE as it is.
    #[arg(short = 'l', long = "library", value_name = "NAME", help_heading = "Inputs")]
    pub(crate) libraries: Vec<String>,
    /// Search DIR for libraries before the system's directories.
    #[arg(short = 'L', long = "library-path", value_name = "DIR", help_heading = "Inputs")]
    pub(crate) library_path: Vec<PathBuf>,
    /// Load every member of the archives that follow.
    #[arg(long, num_args = 0, default_missing_value = "true", action = ArgAction::Append, help_heading = "Inputs")]
    pub(crate) whole_archive: Vec<bool>,
    /// Load only needed members of the archives that follow.
    #[arg(long, num_args = 0, default_missing_value = "true", action = ArgAction::Append, help_heading = "Inputs")]
    pub(crate) no_whole_archive: Vec<bool>,

    /// What follows goes into a new dylib NAME; the first inputs go into "main".
    #[arg(long, value_name = "NAME", help_heading = "Dylibs")]
    pub(crate) dylib: Vec<String>,
    /// The current dylib links against A, then B; '' means none.
    ///
    /// Without it "main" needs every other dylib in the order given, and the others need none.
    #[arg(long, value_name = "A,B", help_heading = "Dylibs")]
    pub(crate) needs: Vec<String>,
    /// The current dylib keeps its own weak, COMDAT and unique definitions.
    ///
    /// Without it these are one for all dylibs, as in a native process: the first definition in lookup order. It is what -Bsymbolic is to a linker.
    #[arg(long, num_args = 0, default_missing_value = "true", action = ArgAction::Append, help_heading = "Dylibs")]
    pub(crate) own_definitions: Vec<bool>,

    /// Call SYMBOL with the program's arguments.
    #[arg(long, value_name = "SYMBOL", default_value = "main", help_heading = "Symbols")]
    pub(crate) entry: String,
    /// Define NAME in the current dylib at ADDR, 0x for hexadecimal.
    #[arg(long, value_name = "NAME=ADDR", value_parser = parse_absolute, help_heading = "Symbols")]
    pub(crate) abs: Vec<(String, u64)>,
    /// Define NEW in the current dylib as another name of OLD.
    #[arg(long, value_name = "NEW=OLD", value_parser = parse_alias, help_heading = "Symbols")]
    pub(crate) alias: Vec<(String, String)>,
    /// Do not look for symbols in the process that orc is.
    #[arg(long, help_heading = "Symbols")]
    pub(crate) no_host_symbols: bool,
    /// Load a shared library into the executor first: a path, or a name that the dynamic loader finds.
    #[arg(long, value_name = "LIB", help_heading = "Symbols")]
    pub(crate) preload: Vec<String>,

    /// Where to run: in-process, spawn[:PATH], exec:COMMAND LINE, unix:PATH or tcp:HOST:PORT (so far in-process only).
    #[arg(long, value_name = "E", default_value = "in-process", help_heading = "Execution")]
    pub(crate) executor: Executor,
    /// Link functions when they are first called, with the data that they need.
    ///
    /// Before anything runs, initializers and what they need are linked, all names are looked up, and those that nobody defines are reported.
    #[arg(long, help_heading = "Execution")]
    pub(crate) lazy: bool,
    /// Tell on standard error when a thread of the program has waited so long for another thread's dylib, and who has it; 0: never.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds, help_heading = "Reports")]
    pub(crate) report_waits: Duration,
    /// Show what is linked to debuggers, with its lines and variables: for those that attach later.
    ///
    /// A debugger that is there when code is linked is told without it. The environment variable ORC_DEBUG=1 is the same.
    #[arg(long, help_heading = "Reports")]
    pub(crate) debug: bool,
    /// Tell profilers what is linked: perf-map, jitdump, or both with a comma between.
    ///
    /// perf-map writes /tmp/perf-PID.map, which perf report reads; jitdump writes a file for perf inject --jit. The environment variable ORC_PROFILE is the same.
    #[arg(long, value_name = "WHAT", default_value = "", hide_default_value = true, help_heading = "Reports")]
    pub(crate) profile: Watchers,
    /// When the program runs in this process and dies of a signal, tell where: functions, objects, lines, callers. Executors elsewhere are always told of. Also: ORC_CRASH_REPORTS=1.
    #[arg(long, help_heading = "Reports")]
    pub(crate) crash_reports: bool,
    /// Keep what is linked in DIR, and take it from there when inputs and options are the same again.
    ///
    /// DIR is made if it is not there; it must belong to the user, and nobody else may be able to write to it. -v says what became of it.
    #[arg(long, value_name = "DIR", help_heading = "Execution")]
    pub(crate) cache: Option<PathBuf>,
    /// Remove from the cache what was used longest ago when it is larger than SIZE bytes; K, M, G for powers of 1024.
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = parse_size, requires = "cache", help_heading = "Execution")]
    pub(crate) cache_size: u64,
    /// Link with at most N threads; the result does not depend on it. Default: 1, and 2 where there are more than 4 MiB of relocations to read.
    #[arg(long, value_name = "N", help_heading = "Execution")]
    pub(crate) jobs: Option<NonZeroUsize>,

    #[command(flatten)]
    pub(crate) tls: TlsArgs,

    /// Write how long each phase took to standard error, with what was done in it: bytes and counts.
    #[arg(long, help_heading = "Reports")]
    pub(crate) time: bool,
    /// Write a link map to FILE: what is where, and from which input.
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    pub(crate) map: Option<PathBuf>,
    /// Write phases, and calls to an executor elsewhere, to FILE, as Perfetto and chrome://tracing read them.
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    pub(crate) trace: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) talk: TalkArgs,
}

const RUN_EXAMPLES: &str = "\
Order matters: --dylib, --needs, --own-definitions, --abs, --alias, --whole-archive and inputs apply as they come; every -L serves every -l.

Examples:
  orc run main.o liba.a libb.a -- x y       archives may need each other
  orc run app.o -lstdc++ -lm                exceptions and iostreams work
  orc run @objects.rsp -- --help            arguments from a file
  orc run --needs B,C main.o --dylib B b.o --dylib C c.o --needs B
                                            initializes B, C, main, and finalizes in reverse";

/// Who orc is to an executor beyond this machine, and whom it trusts.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Encryption of --executor tcp:HOST:PORT")]
pub(crate) struct TlsArgs {
    /// The certificate that orc shows, in PEM.
    #[arg(long, value_name = "FILE", requires_all = ["tls_key", "tls_ca"])]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its private key, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// The authority that has signed the executor's certificate, in PEM.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// The secret that the executor asks for.
    #[arg(long, value_name = "FILE", requires = "tls_ca")]
    pub(crate) token_file: Option<PathBuf>,
}

impl TlsArgs {
    pub(crate) fn is_empty(&self) -> bool {
        // Everything else needs it.
        self.tls_ca.is_none()
    }
}

/// `orc inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// .o, .a or .rlib; all members of archives are shown.
    #[arg(value_name = "INPUT", required = true)]
    pub(crate) inputs: Vec<PathBuf>,
    /// How to show it.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: InspectFormat,
    /// Show it after placing: with addresses, without what nothing refers to.
    #[arg(long)]
    pub(crate) linked: bool,
    /// The address of the first byte for --linked.
    #[arg(long, value_name = "ADDR", default_value = "0x10000000", value_parser = parse_address, requires = "linked")]
    pub(crate) base: u64,
    #[command(flatten)]
    pub(crate) talk: TalkArgs,
}

/// `orc demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    #[command(flatten)]
    pub(crate) talk: TalkArgs,
}

#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct LaterArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub(crate) arguments: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Reports")]
pub(crate) struct TalkArgs {
    /// How errors are written to standard error.
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub(crate) message_format: MessageFormat,
    /// When to use colors.
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorWhen,
    /// Say more; twice: still more.
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Say nothing but errors.
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MessageFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorWhen {
    /// When standard error is a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum InspectFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// For graphviz.
    Dot,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Generate {
    /// The manual page, in roff.
    Man,
    /// Completions for bash.
    CompleteBash,
    /// Completions for zsh.
    CompleteZsh,
    /// Completions for fish.
    CompleteFish,
    /// Completions for elvish.
    CompleteElvish,
    /// Completions for PowerShell.
    CompletePowershell,
}

/// Where code runs.
#[derive(Clone, Debug)]
pub(crate) enum Executor {
    InProcess,
    Away(Place),
}

impl FromStr for Executor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "in-process" {
            return Ok(Self::InProcess);
        }
        text.parse().map(Self::Away).map_err(|error: String| error.replacen("it is ", "it is in-process, ", 1))
    }
}

fn parse_address(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("`{text}` is not an address: give decimal digits, or 0x and hexadecimal ones"))
}

fn parse_absolute(text: &str) -> Result<(String, u64), String> {
    let (name, address) = parse_alias(text)?;
    Ok((name, parse_address(&address)?))
}

fn parse_alias(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok((name.into(), value.into())),
        _ => Err("it is NAME=VALUE".into()),
    }
}

/// A size in bytes, or with K, M or G.
fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || "it is a number of bytes, such as 500000, 64K, 200M or 1G".to_owned();
    let (number, shift) = match text.as_bytes().last().map(u8::to_ascii_uppercase) {
        Some(b'K') => (&text[..text.len() - 1], 10),
        Some(b'M') => (&text[..text.len() - 1], 20),
        Some(b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

/// A time in seconds, with or without a fraction.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "it is a number of seconds, such as 5 or 0.5".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn clap_finds_no_fault_in_the_definition() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_option_of_the_contract_is_in_the_help() {
        let mut command = Cli::command();
        let help = command.find_subcommand_mut("run").unwrap().render_long_help().to_string();
        for option in [
            "--dylib",
            "--needs",
            "--own-definitions",
            "-L",
            "-l",
            "--entry",
            "--whole-archive",
            "--no-host-symbols",
            "--preload",
            "--abs",
            "--alias",
            "--lazy",
            "--jobs",
            "--report-waits",
            "--debug",
            "--profile",
            "ORC_DEBUG",
            "ORC_PROFILE",
            "--crash-reports",
            "--executor",
            "--time",
            "--map",
            "--trace",
            "--message-format",
            "--color",
            "-v",
            "-q",
            "@FILE",
        ] {
            assert!(help.contains(option), "{option} is missing");
        }
    }

    #[test]
    fn executors() {
        let parse = |text: &str| match text.parse::<Executor>() {
            Ok(Executor::InProcess) => Ok("in-process".to_owned()),
            Ok(Executor::Away(place)) => Ok(place.to_string()),
            Err(error) => Err(error),
        };
        for right in
            ["in-process", "spawn", "spawn:/bin/x:y", "exec:ssh host orc-executor", "unix:/run/x", "tcp:[::1]:99"]
        {
            assert_eq!(parse(right), Ok(right.to_owned()));
        }
        for wrong in
            ["", "tcp", "tcp:host", "tcp:host:70000", "exec", "exec: ", "unix:", "spawn:", "in-process:x", "other"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(parse("other").unwrap_err().contains("in-process, spawn"));
    }
}
