//! The `orc` command: runs programs from their object files, and shows what is in these.
//!
//! Exit codes are a contract: the program's own; 2 when the command line is wrong; 125 when orc could not link or reach the executor.

#![deny(unsafe_code)] // exceptions: signal dispositions, in `signals`; a function for the end of the process, in `phases/ending.rs`
#![allow(clippy::print_stdout, reason = "a command talks to its user")]

mod args;
mod demo;
mod elsewhere;
mod generate;
mod inspect;
mod jitlink;
mod phases;
mod plan;
mod run;
mod signals;
mod talk;
mod told;

use args::{Cli, Command, LaterArgs};
use clap::{CommandFactory as _, FromArgMatches as _};
use orc_jit::diagnose::Report;
use orc_jit::input::response;
use std::ffi::OsString;
use std::io;
use std::process::ExitCode;
use std::time::Instant;
use talk::Talk;

fn main() -> ExitCode {
    let began = Instant::now();
    if std::env::args_os().next().as_ref().is_some_and(jitlink::is_asked_for) {
        return jitlink::jitlink(std::env::args_os().skip(1));
    }
    let words = match expand(std::env::args_os().collect()) {
        Ok(words) => words,
        Err(error) => return Talk::default().fail(&[Report::from(&error)]),
    };
    let matches = Cli::command().get_matches_from(words);
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    if let Some(what) = cli.generate {
        return match generate::generate(what, &mut io::stdout().lock()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => Talk::default().fail(&[Report::error(format!("cannot write to standard output: {error}"))]),
        };
    }
    match cli.command {
        Some(Command::Run(args)) => {
            let talk = Talk::new(args.talk);
            let Some(matches) = matches.subcommand_matches("run") else { return talk.usage("nothing to run", None) };
            match plan::Plan::new(matches) {
                Ok(plan) => run::run(&plan, &talk, began),
                Err(error) => talk.usage(&error.message, error.help.as_deref()),
            }
        }
        Some(Command::Inspect(args)) => inspect::inspect(&args, &Talk::new(args.talk)),
        Some(Command::Demo(args)) => demo::demo(&Talk::new(args.talk)),
        Some(Command::Jitlink(LaterArgs { arguments })) => jitlink::jitlink(arguments),
        Some(Command::Executor(LaterArgs { arguments })) => {
            let name = OsString::from("orc executor");
            orc_rt::serve::command::run(std::iter::once(name).chain(arguments), &["executor"])
        }
        None => Talk::default().usage("a command is missing", Some("orc --help lists them")),
    }
}

/// Response files are for inputs: other commands take their arguments as they are.
fn expand(words: Vec<OsString>) -> Result<Vec<OsString>, orc_jit::input::InputError> {
    match words.get(1).and_then(|word| word.to_str()) {
        Some("run" | "inspect") => response::expand(words),
        _ => Ok(words),
    }
}
