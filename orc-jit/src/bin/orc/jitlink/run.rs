//! Carries a plan out: a session over the executor that it names, then what is to be shown, checked and run.

use super::check::{self, Failed};
use super::files::{self, Target};
use super::options::{Executor as Where, Plan};
use super::picture::Album;
use super::self_reference::SelfReferences;
use super::world::Images;
use super::{dump, fill, perf, words};
use jitlink::graph::Spelling;
use orc_jit::executor::llvm::{self, LlvmExecutor};
use orc_jit::executor::remote::{Place, Reach, RemoteOptions};
use orc_jit::executor::{ExecutorError, Pretended, PretendedPlace};
use orc_jit::{Executor, InProcess, Opened, Relax, Session, SessionOptions, Undefined, Watchers};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// Lines for standard error.
type Told = Vec<String>;

/// Pages of a slab whose command line does not say.
const PAGE_SIZE: u64 = 4096;

/// What the program has said its exit status is to be, and whether it has.
static RESULT: AtomicI64 = AtomicI64::new(0);
static HAS_RESULT: AtomicBool = AtomicBool::new(false);

extern "C" fn set_result(value: i64) {
    RESULT.store(value, Ordering::Relaxed);
    HAS_RESULT.store(true, Ordering::Release);
}

/// The exit status.
pub(super) fn run(plan: &Plan) -> Result<i32, Told> {
    if plan.run && plan.perf {
        perf::in_llvms_folder().map_err(|error| told(format!("-perf-support: {error}")))?;
    }
    if !plan.checks.is_empty() {
        files::check_unique(plan).map_err(told)?;
    }
    let target = files::target(plan).map_err(told)?;
    let here = Some(set_result as *const () as u64);
    if !plan.run {
        let slab = plan.slab;
        let place =
            PretendedPlace { address: slab.address, size: slab.size, page_size: slab.page_size.unwrap_or(PAGE_SIZE) };
        return with(Pretended::new(target.machine, place), plan, target, here);
    }
    match &plan.executor {
        Where::Here => {
            if target.machine.name != std::env::consts::ARCH {
                let what = format!(
                    "code of {} does not run in this process: give -noexec, or an executor with -oop-executor",
                    target.machine.name
                );
                return Err(told(what));
            }
            orc_rt::as_a_program(|| {
                // What linked code finds must be what a process of its own would give it.
                crate::signals::restore_defaults();
                with(InProcess::new(), plan, target, here)
            })
        }
        Where::Started(path) => started(path.as_ref(), plan, target),
        Where::At(address) => {
            let place = Place::Tcp { address: address.clone(), tls: None };
            reached(&place, plan, target)
        }
    }
}

fn told(text: String) -> Told {
    vec![words::line(&text)]
}

fn unreachable(error: impl std::error::Error) -> Told {
    told(error.to_string())
}

/// Runs with an executor that is started for it.
fn started(path: Option<&PathBuf>, plan: &Plan, target: Target) -> Result<i32, Told> {
    if let Some(path) = path
        && llvm::is_named_like(path)
    {
        let (transport, child) = llvm::spawn_with_pipes(path).map_err(unreachable)?;
        let peer = dispatch::Connect::controller().over(transport).map_err(unreachable)?;
        let executor = LlvmExecutor::over(peer).and_then(|executor| executor.watching(child)).map_err(unreachable)?;
        return with(executor, plan, target, None);
    }
    let place = Place::Spawn { path: path.cloned(), arguments: Vec::new() };
    reached(&or_this_program(place), plan, target)
}

/// Without an executor beside orc, orc is one itself.
fn or_this_program(place: Place) -> Place {
    match (&place, std::env::current_exe()) {
        (Place::Spawn { path: None, .. }, Ok(own)) if !own.with_file_name("orc-executor").exists() => {
            Place::Spawn { path: Some(own), arguments: vec!["executor".into()] }
        }
        _ => place,
    }
}

fn reached(place: &Place, plan: &Plan, target: Target) -> Result<i32, Told> {
    let mut options = RemoteOptions::default();
    options.input = true;
    let remote = Reach::new(place, options).and_then(Reach::into_remote).map_err(unreachable)?;
    if Executor::machine(&remote).name != target.machine.name {
        let what = format!(
            "the executor runs code of {}, and the first object is for {}",
            Executor::machine(&remote).name,
            target.machine.name
        );
        return Err(told(ExecutorError(what).to_string()));
    }
    with(remote, plan, target, None)
}

/// The line: link, show, check, run.
fn with<E: Executor>(executor: E, plan: &Plan, target: Target, set_result: Option<u64>) -> Result<i32, Told> {
    let failed = |error: orc_jit::Error| words::lines(&error);
    let album = Album::default();
    let session = Session::new(executor, session_options(plan, target, &album)).map_err(failed)?;
    let entry = plan.entry.as_deref().unwrap_or(target.entry(plan.run));
    let arguments: Vec<Vec<u8>> = match plan.arguments.as_slice() {
        [] => vec![program(plan)],
        given => given.iter().map(|word| word.as_bytes().to_vec()).collect(),
    };
    session.set_arguments(&arguments).map_err(failed)?;
    fill::fill(&session, plan, target, entry, set_result)?;

    let opened = session.open("main").map_err(failed)?;
    let address = opened.address(entry).map_err(|error| no_entry(entry, &error))?;
    show(plan, &album).map_err(|error| told(format!("cannot write to standard output: {error}")))?;
    check(plan, &album)?;
    if !plan.run {
        return Ok(0);
    }
    execute(&session, opened, address, &arguments)
}

/// What the program is called, unless its arguments say.
fn program(plan: &Plan) -> Vec<u8> {
    let first = plan.dylibs.iter().flat_map(|dylib| &dylib.items).find_map(|item| match item {
        super::options::Item::File(path) => Some(path.as_os_str().as_bytes().to_vec()),
        _ => None,
    });
    first.unwrap_or_default()
}

fn session_options(plan: &Plan, target: Target, album: &Album) -> SessionOptions {
    let mut options = SessionOptions {
        host_symbols: plan.process_symbols,
        // Rules and options name symbols as objects do; a program calls what this process has as C does.
        spelling: if plan.run { Spelling::C } else { Spelling::Object },
        undefined: if plan.phony_externals { Undefined::Null } else { Undefined::Refused },
        // LLVM's linker shortens loads on x86-64 only, and it does when all addresses are known.
        relax: if target.machine.name == "x86_64" { Relax::Late } else { Relax::Never },
        ..SessionOptions::default()
    };
    if plan.run && plan.perf {
        options.watch |= Watchers::JITDUMP;
    }
    let photographers = album.clone();
    options.plugins.add(move |_| photographers.photographer(target.format));
    if plan.add_self_relocations {
        options.plugins.add(|_| Box::new(SelfReferences));
    }
    options
}

fn no_entry(entry: &str, error: &orc_jit::Error) -> Told {
    match error {
        orc_jit::Error::Executor(_) => told(words::not_found([entry].into_iter())),
        other => words::lines(other),
    }
}

fn show(plan: &Plan, album: &Album) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let pictures = album.pictures();
    if let Some(pattern) = &plan.show_graphs {
        let pattern =
            regex_lite::Regex::new(pattern).map_err(|error| std::io::Error::other(format!("-show-graphs: {error}")))?;
        let objects = pictures.iter().flat_map(|picture| picture.objects.iter().map(move |object| (picture, object)));
        // What no file is has a name in angle brackets.
        let files = objects.filter(|(_, object)| !object.name.starts_with('<'));
        for (picture, object) in files.filter(|(_, object)| pattern.is_match(&object.name)) {
            out.write_all(dump::graph(picture, object).as_bytes())?;
        }
    }
    if plan.show_addresses || plan.show_entry {
        out.write_all(dump::addresses(&pictures).as_bytes())?;
    }
    out.flush()
}

fn check(plan: &Plan, album: &Album) -> Result<(), Told> {
    let pictures = album.pictures();
    let world = Images(&pictures);
    let mut lines = Vec::new();
    for path in &plan.checks {
        let text = std::fs::read(path).map_err(|error| told(format!("{}: {error}", path.display())))?;
        if let Err(Failed(failures)) = check::check(&String::from_utf8_lossy(&text), &plan.check_name, &world) {
            lines.extend(failures);
            lines.push(words::line(&format!("Some checks in {} failed", path.display())));
        }
    }
    if lines.is_empty() { Ok(()) } else { Err(lines) }
}

/// Runs the program; its exit status, or the one that it has asked for.
fn execute<E: Executor>(
    session: &Session<E>,
    opened: Opened<E>,
    entry: u64,
    arguments: &[Vec<u8>],
) -> Result<i32, Told> {
    let status = match session.call_main(entry, arguments) {
        Ok(status) => status,
        // A program that called `exit` has said all that it wanted to say.
        Err(orc_jit::Error::Ended(crash)) => return Ok(crash.exit_code()),
        Err(error) => return Err(words::lines(&error)),
    };
    session.executor().end_program(status);
    std::mem::forget((opened, session.clone()));
    let status = session.leave(status).map_err(|error| words::lines(&error))?;
    let asked = HAS_RESULT.load(Ordering::Acquire).then(|| RESULT.load(Ordering::Relaxed));
    // As exit(3) has it: what does not fit is cut off.
    Ok(asked.map_or(status, |asked| asked as i32))
}
