//! `orc run`: carries a [`Plan`] out in this process.

use super::elsewhere;
use super::plan::{DylibPlan, Item, Plan};
use super::signals;
use super::talk::Talk;
use orc_jit::diagnose::Report;
use orc_jit::input::{FileKind, Input, InputError, Resolver, SearchPath};
use orc_jit::{Error, Executor as _, InProcess, JitDylib, Keep, NativeLibrary, Session, SessionOptions};
use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Runs the plan's program. When the program runs at all, this does not return: the process ends with its exit code.
pub(crate) fn run(plan: &Plan, talk: &Talk) -> ExitCode {
    // What is thrown and never caught ends the process here, in the words of the language's own runtime.
    orc_rt::as_a_program(|| match link_and_run(plan, talk) {
        Ok(status) => std::process::exit(status),
        Err(reports) => talk.fail(&reports),
    })
}

fn link_and_run(plan: &Plan, talk: &Talk) -> Result<i32, Vec<Report>> {
    let mut clock = Clock { talk, wanted: plan.time, last: Instant::now() };
    let arguments = arguments(plan);
    let failed = |error: Error| reports(&error);

    let options = SessionOptions { host_symbols: plan.host_symbols, map: plan.map.is_some() };
    let session = Session::new(InProcess::new(), options).map_err(failed)?;
    let executor = session.executor();
    executor.set_arguments(&arguments).map_err(|error| failed(error.into()))?;
    for library in &plan.preload {
        session.open_library(library).map_err(|error| reports(&error))?;
    }
    Filler::new(&session, plan, talk).fill()?;
    clock.lap("find inputs");

    // What JIT'd code finds must be what a process of its own would give it.
    signals::restore_defaults();
    let opened = session.open(&plan.dylibs[0].name).map_err(|error| {
        let mut reports = reports(&error);
        elsewhere::advise(plan, &mut reports);
        if !plan.host_symbols
            && let Some(last) = reports.last_mut()
            && last.symbol.is_some()
        {
            last.help.push("--no-host-symbols hides the C library too: name it with -lc".into());
        }
        reports
    })?;
    write_map(plan, &session)?;
    let entry = opened.address(&plan.entry).map_err(|error| no_entry(plan, &error))?;
    clock.lap("link and initialize");

    let status = executor.run_program(entry, &arguments).map_err(|error| failed(error.into()))?;
    clock.lap("run");
    // As a C runtime does it: handlers and finalizers run, the memory stays, since what the program left in the buffers of the
    // C library is written when the process ends.
    executor.end_program(status);
    clock.lap("finalize");
    std::mem::forget((opened, session.clone()));
    Ok(status)
}

/// `--map FILE`: what is linked by the time the program starts.
fn write_map(plan: &Plan, session: &Session) -> Result<(), Vec<Report>> {
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

fn no_entry(plan: &Plan, error: &Error) -> Vec<Report> {
    let mut reports = reports(error);
    if let [report] = &mut *reports
        && report.help.is_empty()
    {
        report.help.push(match plan.entry.as_str() {
            "main" => "give an object that defines main, or name another function with --entry".into(),
            entry => format!("--entry names {entry}: no input defines it"),
        });
    }
    reports
}

/// Puts what the plan names into dylibs.
struct Filler<'a> {
    session: &'a Session,
    plan: &'a Plan,
    talk: &'a Talk,
    resolver: Resolver,
    libraries: HashMap<PathBuf, NativeLibrary>,
    /// Added to every dylib, after everything else: what the process offers comes first.
    c_library: Option<PathBuf>,
}

impl<'a> Filler<'a> {
    fn new(session: &'a Session, plan: &'a Plan, talk: &'a Talk) -> Self {
        let resolver = Resolver::new(SearchPath::host(plan.library_path.clone()));
        // A program that takes nothing from the process takes nothing from its C library either.
        let c_library = plan.host_symbols.then(|| resolver.search_path().nonshared_c_library()).flatten();
        Self { session, plan, talk, resolver, libraries: HashMap::new(), c_library }
    }

    fn fill(&mut self) -> Result<(), Vec<Report>> {
        let plan = self.plan;
        let mut dylibs = Vec::with_capacity(plan.dylibs.len());
        for dylib in &plan.dylibs {
            let made = self.session.add_dylib(&dylib.name).map_err(|error| reports(&error))?;
            self.fill_one(dylib, &made)?;
            dylibs.push(made);
        }
        // The entry may stand in an archive that nothing else asks.
        dylibs[0].keep_name(&plan.entry).map_err(|error| reports(&error))?;
        // A program alone needs only what its entry reaches, as an executable does; dylibs may look for anything in each other.
        if let [program] = &*dylibs {
            program.keep(Keep::Named).map_err(|error| reports(&error))?;
        }
        for (dylib, made) in plan.dylibs.iter().zip(&dylibs) {
            made.set_link_order(dylib.needs.iter().map(|&index| &dylibs[index])).map_err(|error| reports(&error))?;
        }
        Ok(())
    }

    fn fill_one(&mut self, dylib: &DylibPlan, made: &JitDylib<InProcess>) -> Result<(), Vec<Report>> {
        for item in &dylib.items {
            let (inputs, whole) = match item {
                Item::File { path, whole_archive } => (self.resolver.file(path), *whole_archive),
                Item::Library { name, whole_archive } => (self.resolver.library(name), *whole_archive),
                Item::Absolute { name, address } => {
                    made.define_absolute(name, *address).map_err(|error| reports(&error))?;
                    continue;
                }
                Item::Alias { new, old } => {
                    made.define_alias(new, old).map_err(|error| reports(&error))?;
                    continue;
                }
            };
            for input in inputs.map_err(|error| vec![Report::from(&error)])? {
                self.talk.progress(1, &format!("{}: {}", dylib.name, input.path.display()));
                self.add(&input, whole, made)?;
            }
        }
        if let Some(path) = &self.c_library {
            made.add_last_archive_file(path).map_err(|error| reports(&error))?;
        }
        Ok(())
    }

    fn add(&mut self, input: &Input, whole: bool, made: &JitDylib<InProcess>) -> Result<(), Vec<Report>> {
        let added = match input.kind {
            FileKind::Object => made.add_object_file(&input.path),
            FileKind::Archive if self.c_library.is_some() && input.is_nonshared_c_library() => Ok(()),
            FileKind::Archive if whole => made.add_whole_archive_file(&input.path),
            FileKind::Archive => made.add_archive_file(&input.path),
            FileKind::SharedLibrary => made.add_library(self.open_library(&input.path)?),
            FileKind::Script => {
                let title = format!("{} is a linker script that was not followed", input.path.display());
                return Err(vec![Report::error(title)]);
            }
        };
        added.map_err(|error| reports(&error))
    }

    /// Each library is opened once.
    fn open_library(&mut self, path: &Path) -> Result<NativeLibrary, Vec<Report>> {
        if let Some(library) = self.libraries.get(path) {
            return Ok(*library);
        }
        let library = self.session.open_library(&loadable(path)).map_err(|error| reports(&error))?;
        self.libraries.insert(path.to_owned(), library);
        Ok(library)
    }
}

/// The dynamic loader searches for names without a slash; a path is meant here.
fn loadable(path: &Path) -> String {
    let text = path.display().to_string();
    if text.contains('/') { text } else { format!("./{text}") }
}

/// Tells how long each phase took, as it ends: a program may end the process itself.
struct Clock<'a> {
    talk: &'a Talk,
    wanted: bool,
    last: Instant,
}

impl Clock<'_> {
    fn lap(&mut self, phase: &str) {
        let now = Instant::now();
        if self.wanted {
            self.talk.time(phase, now - self.last);
        }
        self.last = Instant::now();
    }
}
