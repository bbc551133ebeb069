//! `orc demo`: a program of three dylibs that tells what happens as it happens.
//!
//! The objects are assembled in memory ([`program`]); they are linked and run as any others. The demo opens and closes step by step
//! what `orc run` does at once.

mod assemble;
mod program;

use super::talk::Talk;
use orc_jit::diagnose::Report;
use orc_jit::{Error, Executor as _, Session};
use std::io::{self, Write as _};
use std::process::ExitCode;

/// Runs the demo.
pub(crate) fn demo(talk: &Talk) -> ExitCode {
    match orc_rt::as_a_program(play) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Session(error)) => talk.fail(&error.reports()),
        // The reader has seen enough (`| head`).
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Failure::Output(error)) => talk.fail(&[Report::error(format!("cannot write to standard output: {error}"))]),
    }
}

enum Failure {
    Session(Box<Error>),
    Output(io::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Session(Box::new(error))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

fn play() -> Result<(), Failure> {
    let parts = program::parts();
    tell("Three dylibs, an object file each, assembled a moment ago:")?;
    for part in &parts {
        tell(&format!("  {:9} {:4} bytes, {}", part.name, part.object.len(), part.about))?;
    }

    let session = Session::in_process()?;
    for part in &parts {
        session.add_dylib(part.name)?.add_object(format!("{}.o", part.name), part.object.clone())?;
    }
    for part in &parts {
        let links: Vec<_> = part.needs.iter().filter_map(|name| session.dylib(name)).collect();
        if let Some(dylib) = session.dylib(part.name) {
            dylib.set_link_order(&links)?;
        }
    }

    tell("\nOpen main: it is linked with all it needs, then initializers run, dependencies first.")?;
    let main = session.open("main")?;
    tell("\nOpen it again: the same handle, one more count, nothing runs.")?;
    let again = session.open("main")?;

    tell("\nLook up main, and call it.")?;
    let entry = main.address("main")?;
    let arguments = [b"demo".to_vec()];
    let status = session.executor().run_program(entry, &arguments).map_err(Error::from)?;
    tell(&format!("\nIt returned {status}. Close it once: it is still open."))?;
    again.close()?;
    tell("\nClose it for the last time: what was done is undone in reverse, then the memory goes back.")?;
    main.close()?;
    tell("\nDone. Your own objects: orc run FILE.o... [-- ARGS...]")?;
    Ok(())
}

/// Says a line at once: what the program writes stands in between.
fn tell(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
