//! What can a sandboxed process still do? (each case is a process of its own, which enters the sandbox and tries)
//!
//! As root every case runs twice: as root, and as a user without any rights.

mod sandbox {
    pub(crate) mod calls;
    pub(crate) mod child;
    pub(crate) mod files;
    pub(crate) mod lacking;
    pub(crate) mod limits;
    pub(crate) mod works;
}

use libtest_mimic::{Arguments, Failed, Trial};
use orc_rt::sandbox::Sandbox;
use sandbox::child::{Case, Ends, Place};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitCode, Output};

/// The case that this process plays.
const CASE: &str = "ORC_RT_SANDBOX_CASE";
/// Its folder.
const PLACE: &str = "ORC_RT_SANDBOX_PLACE";
/// Says what the system lacks.
const LACKING: &str = "what does this system lack";
/// Fails when it lacks something.
const WHOLE: &str = "does the sandbox come whole";
/// A user that owns nothing and runs nothing, as far as the tests are concerned.
const NOBODY: u32 = 64_099;

fn cases() -> impl Iterator<Item = &'static Case> {
    use sandbox::{calls, files, lacking, limits, works};
    [works::CASES, files::CASES, calls::CASES, limits::CASES, lacking::CASES].into_iter().flatten()
}

fn main() -> ExitCode {
    if let Some(name) = std::env::var_os(CASE) {
        return child(&name.to_string_lossy());
    }
    let root = rustix::process::getuid().is_root();
    let lacking = run(LACKING, None).map_or_else(|failed| format!("{failed:?}"), |output| text(&output.stdout));
    if !lacking.trim().is_empty() {
        eprintln!("this system does not give: {lacking}");
    }
    let mut trials = Vec::new();
    for case in cases() {
        let users: &[Option<u32>] = if root { &[None, Some(NOBODY)] } else { &[None] };
        for &user in users {
            if case.only_as_root.is_some_and(|as_root| as_root != (root && user.is_none())) {
                continue;
            }
            let suffix = if root && user.is_none() { " (as root)" } else { "" };
            let trial = Trial::test(format!("{}{suffix}", case.question), move || check(case, user));
            trials.push(trial.with_ignored_flag(!lacking.trim().is_empty()));
        }
    }
    trials.push(Trial::test("what the system lacks is an error unless best effort is asked for", move || {
        let whole = run(WHOLE, None)?;
        assert_eq!(whole.status.success(), lacking.trim().is_empty(), "{}", text(&whole.stderr));
        Ok(())
    }));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Plays a case in this process, which has one thread.
fn child(name: &str) -> ExitCode {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).expect("a death signal");
    sandbox::child::end_after(30);
    match name {
        LACKING => {
            let entered = Sandbox::new().best_effort().enter().expect("best effort is always possible");
            let lacking: Vec<String> = entered.not_enforced().iter().map(ToString::to_string).collect();
            sandbox::child::say(&lacking.join("\n"));
        }
        WHOLE => drop(Sandbox::new().enter().expect("every part")),
        _ => {
            let case = cases().find(|case| case.question == name).expect("a case of that name");
            let place = std::env::var_os(PLACE).expect("a folder");
            (case.play)(&Place::new(Path::new(&place)));
        }
    }
    ExitCode::SUCCESS
}

/// Runs a case in a process of its own and compares how it ends.
fn check(case: &Case, user: Option<u32>) -> Result<(), Failed> {
    let output = run(case.question, user)?;
    let ended = match case.ends {
        Ends::Well => output.status.success(),
        Ends::By(signal) => output.status.signal() == Some(signal),
    };
    if ended && !output.status.core_dumped() {
        return Ok(());
    }
    Err(format!("{} instead of {:?}\n{}", output.status, case.ends, text(&output.stderr)).into())
}

fn run(name: &str, user: Option<u32>) -> Result<Output, Failed> {
    let place = tempfile::tempdir()?;
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755))?;
    Place::new(place.path()).furnish(user)?;
    // By this name it can be started whoever may look into its folder.
    let mut command = Command::new("/proc/self/exe");
    command.arg(name).env(CASE, name).env(PLACE, place.path()).current_dir(place.path());
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    Ok(command.output()?)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
