//! `orc jitlink`: llvm-jitlink's command line, mapped onto the same session that `orc run` drives.
//!
//! [`options`] reads the words, [`files`] says what inputs are, [`fill`] puts them into the dylibs of a session, and [`run`] carries it out; [`picture`]
//! keeps what was linked for [`check`] and [`dump`]. **Deliberately absent:** any linking. What the session cannot do, the command cannot.

mod check;
mod decode;
mod dump;
mod files;
mod fill;
mod options;
mod perf;
mod picture;
mod run;
mod sections;
mod self_reference;
mod slab;
mod words;
mod world;

use options::Asked;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// The name under which this is the whole command.
const NAME: &str = "llvm-jitlink";

/// Whether the program was started as llvm-jitlink: scripts call that.
pub(crate) fn is_asked_for(program: &OsString) -> bool {
    Path::new(program).file_name().is_some_and(|name| name == NAME)
}

/// Links, checks and runs what the words say; the exit status of llvm-jitlink. Where the program runs in this process, this does not return.
pub(crate) fn jitlink(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let outcome = match options::parse(words) {
        Ok(Asked::Help) => {
            print!("{}", options::help());
            return ExitCode::SUCCESS;
        }
        Ok(Asked::Run(plan)) => run::run(&plan),
        Err(wrong) => Err(vec![words::line(&wrong)]),
    };
    match outcome {
        Ok(status) => std::process::exit(status),
        Err(lines) => {
            for line in lines {
                eprintln!("{line}");
            }
            ExitCode::FAILURE
        }
    }
}
