//! `orc run`: carries a [`Plan`] out, in this process or with an executor elsewhere.

mod away;
mod inputs;

use super::elsewhere;
use super::phases;
use super::plan::{Plan, Where};
use super::signals;
use super::talk::Talk;
use inputs::Filler;
use orc_jit::cache::{Cache, CacheEvent, CacheOptions};
use orc_jit::diagnose::{CrashReport, Ending, Report};
use orc_jit::input::InputError;
use orc_jit::{Error, Executor, InProcess, Session, SessionOptions, Watchers};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

/// Why there is no exit code of a program's own `main`.
pub(super) enum Failure {
    /// It could not be linked, or the executor not be reached.
    Told(Vec<Report>),
    /// The executor's process has ended, with this exit code for orc; there is something to tell if a signal ended it.
    Ended(i32, Option<Box<Report>>),
}

/// Runs the plan's program. In this process, when the program runs at all, this does not return: the process ends with its exit code.
/// `began`: when the process did.
pub(crate) fn run(plan: &Plan, talk: &Talk, began: Instant) -> ExitCode {
    if let Err(report) = phases::listen(plan, talk, began) {
        return talk.fail(&[*report]);
    }
    match &plan.executor {
        // What is thrown and never caught ends the process here, in the words of the language's own runtime.
        Where::Here => orc_rt::as_a_program(|| {
            // What JIT'd code finds must be what a process of its own would give it.
            signals::restore_defaults();
            let talk_of_crashes = *talk;
            orc_jit::crash::tell_by(move |crash| talk_of_crashes.bytes(&crash_report(crash)));
            // Libraries that the program loads make backtraces, too.
            orc_rt::names::show_to_process();
            let session = new_session(InProcess::new(), plan, talk);
            finish(session.and_then(|session| link_and_run(&session, plan, talk)), talk)
        }),
        Where::Away { place, tls } => finish(away::run(place, tls, plan, talk), talk),
    }
}

fn new_session<E: Executor>(executor: E, plan: &Plan, talk: &Talk) -> Result<Session<E>, Failure> {
    let options = SessionOptions {
        host_symbols: plan.host_symbols,
        map: plan.map.is_some(),
        report_waits: plan.report_waits,
        watch: watch(plan),
        crash_reports: plan.crash_reports,
        backtraces: false,
        lazy: plan.lazy,
        cache: plan.cache.as_ref().map(|(folder, size)| open_cache(folder, *size, talk)).transpose()?,
        jobs: plan.jobs,
        ..SessionOptions::default()
    };
    Session::new(executor, options).map_err(|error| failure(&error))
}

/// Who is told of what is linked.
fn watch(plan: &Plan) -> Watchers {
    plan.watch | SessionOptions::default().watch
}

/// `--cache DIR`: what becomes of it is told to those who asked (`-v`), that it could not be written to everybody.
fn open_cache(folder: &Path, size: u64, talk: &Talk) -> Result<Cache, Failure> {
    let cache = Cache::open(folder, CacheOptions { size });
    let cache = cache.map_err(|error| Failure::Told(vec![Report::error(error.to_string())]))?;
    let (talk, folder) = (*talk, folder.to_owned());
    cache.on_event(move |event| match event {
        CacheEvent::Failed { .. } => talk.warn(&format!("the cache {}: {event}", folder.display())),
        _ => talk.progress(1, &format!("cache: {event}")),
    });
    Ok(cache)
}

/// What is told of a program that dies in this process. Below it on the stack there is nothing but orc.
fn crash_report(mut crash: CrashReport) -> Report {
    let programs = crash.frames.iter().rposition(|frame| frame.dylib.is_some());
    crash.frames.truncate(programs.map_or(crash.frames.len(), |last| last + 1));
    crash.report()
}

fn finish(outcome: Result<i32, Failure>, talk: &Talk) -> ExitCode {
    match outcome {
        Ok(status) => std::process::exit(status),
        Err(Failure::Told(reports)) => talk.fail(&reports),
        Err(Failure::Ended(code, report)) => {
            talk.show(report.as_deref().map_or(&[], std::slice::from_ref));
            std::process::exit(code)
        }
    }
}

/// Links, runs, and ends what runs.
fn link_and_run<E: Executor>(session: &Session<E>, plan: &Plan, talk: &Talk) -> Result<i32, Failure> {
    let arguments = arguments(plan);
    let failed = |error: Error| failure(&error);

    let phase = phases::inputs().entered();
    session.set_arguments(&arguments).map_err(failed)?;
    for library in &plan.preload {
        session.open_library(library).map_err(failed)?;
    }
    Filler::new(session, plan, talk).fill().map_err(Failure::Told)?;
    drop(phase);

    let opened = session.open(&plan.dylibs[0].name).map_err(|error| advised(plan, failure(&error)))?;
    write_map(plan, session).map_err(Failure::Told)?;
    let entry = opened.address(&plan.entry).map_err(|error| no_entry(plan, failure(&error)))?;

    let status = session.call_main(entry, &arguments).map_err(failed)?;
    // As a C runtime does it: handlers and finalizers run, the memory stays, since what the program left in the buffers of the
    // C library is written when the process ends.
    phases::finalize().in_scope(|| session.executor().end_program(status));
    std::mem::forget((opened, session.clone()));
    session.leave(status).map_err(failed)
}

/// `--map FILE`: what is linked by the time the program starts.
fn write_map<E: Executor>(plan: &Plan, session: &Session<E>) -> Result<(), Vec<Report>> {
    let Some(path) = &plan.map else { return Ok(()) };
    let text: String = session.link_map().iter().map(ToString::to_string).collect();
    std::fs::write(path, text)
        .map_err(|error| vec![Report::error(format!("cannot write the map {}: {error}", path.display()))])
}

/// argv of the program.
fn arguments(plan: &Plan) -> Vec<Vec<u8>> {
    let all = std::iter::once(&plan.program).chain(&plan.arguments);
    all.map(|argument| argument.as_bytes().to_vec()).collect()
}

/// What a session's error means for the command.
fn failure(error: &Error) -> Failure {
    match error {
        Error::Ended(crash) => {
            // A program that called `exit` has said all that it wanted to say.
            let told = matches!(crash.ending, Ending::Signal(_));
            Failure::Ended(crash.exit_code(), told.then(|| Box::new(crash.report())))
        }
        other => Failure::Told(reports(other)),
    }
}

/// Reports of a session's error; a file that cannot be read is told as any input is.
fn reports(error: &Error) -> Vec<Report> {
    match error {
        Error::Read { file, error } => {
            let error = std::io::Error::from(error.kind());
            vec![Report::from(&InputError::Read { path: file.into(), error })]
        }
        other => other.reports(),
    }
}

/// What would help with a link that failed.
fn advised(plan: &Plan, failure: Failure) -> Failure {
    let Failure::Told(mut reports) = failure else { return failure };
    elsewhere::advise(plan, &mut reports);
    if !plan.host_symbols
        && let Some(last) = reports.last_mut()
        && last.symbol.is_some()
    {
        last.help.push("--no-host-symbols hides the C library too: name it with -lc".into());
    }
    Failure::Told(reports)
}

fn no_entry(plan: &Plan, failure: Failure) -> Failure {
    let Failure::Told(mut reports) = failure else { return failure };
    if let [report] = &mut *reports
        && report.help.is_empty()
    {
        report.help.push(match plan.entry.as_str() {
            "main" => "give an object that defines main, or name another function with --entry".into(),
            entry => format!("--entry names {entry}: no input defines it"),
        });
    }
    Failure::Told(reports)
}
