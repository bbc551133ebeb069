//! The comparison: `orc run`, over every executor, against the natively linked program, against expected lines, or against an expected
//! error.

use crate::build::{Built, build};
use crate::case::{Case, Variant};
use crate::directive::{Directives, Judge};
use crate::executor::{Kind, Surroundings};
use crate::machine::Machine;
use crate::process::{Outcome, Program};
use crate::ways::Way;
use crate::workplace::Workplace;
use crate::{Failure, context};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The exit code of `orc` when it could not link.
const COULD_NOT_LINK: i32 = 125;

/// Builds a variant, runs both sides, `orc` once for each way, compares.
///
/// # Errors
/// What differs, through which executor, with the command lines that show it.
pub fn check(workplace: &Workplace, case: &Case, variant: &Variant) -> Result<(), Failure> {
    let said = &case.directives;
    let built = build(workplace, case, variant)?;
    let stdin = stdin(case, &built)?;
    let native = native(workplace.machine, said, &built, stdin.clone())?;
    let Some(orc) = &workplace.orc else { return Ok(()) };

    let variants: Vec<Variant> = case.variants().collect();
    let number = variants.iter().position(|one| one == variant).unwrap_or_default();
    // What is refused in process is refused everywhere in the same words.
    let mut refusal = None;
    let mut failures = Vec::new();
    for way in workplace.ways.of_variant(said, number, variants.len()) {
        let run = |start| {
            run(workplace, orc, said, &built, stdin.clone(), way, start).and_then(|(program, found)| {
                let judged = judge(said, native.as_ref(), refusal.as_ref(), &found);
                judged.map_err(|why| format!("{why}\n  {}", program.line()))?;
                Ok(found)
            })
        };
        let ran = if way.cache {
            run(Start::Empty).and_then(|first| {
                let second = run(Start::Again).map_err(|why| format!("from the image cache: {why}"))?;
                from_cache(said, &first, &second).map(|()| second)
            })
        } else {
            run(Start::Plain)
        };
        match ran {
            Ok(found) if !said.expect_error.is_empty() => refusal = refusal.or(Some(found)),
            Ok(_) => {}
            Err(why) => failures.push(format!("through {way}: {why}")),
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

/// With which image cache a program starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// None.
    Plain,
    /// One that does not exist yet.
    Empty,
    /// The one of the start before.
    Again,
}

/// A second start takes from the cache what the first one has put there, or the first one said why it is not put there.
fn from_cache(said: &Directives, first: &Outcome, second: &Outcome) -> Result<(), Failure> {
    if !said.expect_error.is_empty() {
        return Ok(());
    }
    let [first, second] = [first, second].map(|outcome| String::from_utf8_lossy(&outcome.stderr).into_owned());
    let told = |text: &str, what: &str| text.lines().any(|line| line.starts_with("cache: ") && line.contains(what));
    let stored = told(&first, ": stored");
    let not_stored = told(&first, ": not stored: ");
    if stored && told(&second, ": hit") && !told(&second, ": an entry cannot be used") || not_stored && !stored {
        return Ok(());
    }
    Err(format!("what is in the image cache is not used\nthe first start:\n{first}\nthe second:\n{second}"))
}

/// Runs `orc` over one executor. A listener that is needed is there, and of the trial's own where the program looks around itself.
fn run(
    workplace: &Workplace,
    orc: &Path,
    said: &Directives,
    built: &Built,
    stdin: Option<PathBuf>,
    way: Way,
    start: Start,
) -> Result<(Program, Outcome), Failure> {
    let Way { kind, hardening, .. } = way;
    let mut words = vec![orc.to_owned().into_os_string()];
    words.extend(built.orc_words.iter().cloned());
    let mut address = None;
    if kind != Kind::InProcess {
        let executors = workplace.executors.as_ref().ok_or("no orc-executor")?;
        let own = Surroundings { folder: built.folder.clone(), env: env(said), stack: said.stack };
        let made = executors.address(way, looks_around(said).then_some(&own))?;
        // After `run`, before the inputs.
        words.splice(2..2, ["--executor".into(), made.value.clone()]);
        address = Some(made);
    }
    if way.lazy {
        words.insert(2, "--lazy".into());
    }
    if start != Start::Plain {
        let folder = built.folder.join(format!("cache-{way}"));
        if start == Start::Empty && folder.exists() {
            fs::remove_dir_all(&folder).map_err(context(folder.display()))?;
        }
        // What becomes of it is told; an error is to be told in the same words as without.
        let verbose = said.expect_error.is_empty().then(|| "-v".into());
        words.splice(2..2, ["--cache".into(), folder.into_os_string()].into_iter().chain(verbose));
    }
    if let Some(hardening) = hardening {
        words.splice(0..0, hardening.words()?);
    }
    let program = Program { words, stdin, env: env(said), ..program(said, built) };
    let name = if way == Kind::InProcess.into() { "orc".to_owned() } else { format!("orc-{way}") };
    let outcome = program.run(&name);
    match address.and_then(|address| address.listener) {
        // Its words may say why the run failed.
        Some(listener) => {
            let said = listener.said();
            let outcome = outcome.map_err(|why| format!("{why}\nthe listener: {said}"));
            listener.end()?;
            Ok((program, outcome?))
        }
        None => Ok((program, outcome?)),
    }
}

/// Whether the program sees what surrounds its executor: variables, files by relative names (its shared libraries), limits. A
/// listener that trials share has none of these.
fn looks_around(said: &Directives) -> bool {
    !said.env.is_empty() || !said.shared.is_empty() || said.stack.is_some()
}

/// Judges a run of `orc`.
fn judge(
    said: &Directives,
    native: Option<&Outcome>,
    refusal: Option<&Outcome>,
    found: &Outcome,
) -> Result<(), Failure> {
    if !said.expect_error.is_empty() {
        refused(said, found)?;
        return refusal.map_or(Ok(()), |refusal| same_words(refusal, found));
    }
    if let Some(native) = native {
        same(native, found, "the native program")?;
    }
    if said.judge != Judge::Native {
        same(&expected(said), found, "the case")?;
    }
    Ok(())
}

fn program(said: &Directives, built: &Built) -> Program {
    Program {
        folder: built.folder.clone(),
        stack: said.stack,
        timeout: Duration::from_secs(said.timeout.unwrap_or(60)),
        ..Program::default()
    }
}

fn env(said: &Directives) -> Vec<(String, std::ffi::OsString)> {
    said.env.iter().map(|(name, value)| (name.clone(), value.into())).collect()
}

/// Runs the oracle, once for each build: its outcome is kept beside it.
fn native(
    machine: Option<&Machine>,
    said: &Directives,
    built: &Built,
    stdin: Option<PathBuf>,
) -> Result<Option<Outcome>, Failure> {
    let Some(path) = &built.native else { return Ok(None) };
    let kept = ["native.stdout", "native.stderr", "native.code"].map(|name| built.folder.join(name));
    let known = fs::read_to_string(&kept[2]).ok().and_then(|text| text.strip_prefix(&built.stamp)?.trim().parse().ok());
    let outcome = if let Some(code) = known {
        let [stdout, stderr] = [&kept[0], &kept[1]].map(|path| fs::read(path).map_err(context(path.display())));
        Outcome { stdout: stdout?, stderr: stderr?, code }
    } else {
        let mut env = env(said);
        let libraries = built.folder.join("so");
        let mut words = machine.map(|machine| machine.emulator(&[&libraries])).unwrap_or_default();
        if machine.is_none() {
            env.push(("LD_LIBRARY_PATH".into(), libraries.into()));
        }
        words.push(path.clone().into_os_string());
        words.extend(said.args.iter().map(Into::into));
        let program = Program { words, stdin, env, ..program(said, built) };
        let outcome = program.run("native")?;
        if outcome.code != said.exit {
            let stderr = String::from_utf8_lossy(&outcome.stderr);
            return Err(format!(
                "the native program exits with {}, the case says {}\n  {}\n{stderr}",
                outcome.code,
                said.exit,
                program.line()
            ));
        }
        if outcome.stdout.is_empty() {
            return Err(format!("the native program prints nothing, so nothing is compared\n  {}", program.line()));
        }
        if said.judge == Judge::Both {
            same(&expected(said), &outcome, "the case")
                .map_err(|why| format!("the native program: {why}\n  {}", program.line()))?;
        }
        fs::write(&kept[2], format!("{}{}\n", built.stamp, outcome.code)).map_err(context(kept[2].display()))?;
        outcome
    };
    Ok(Some(outcome))
}

fn expected(said: &Directives) -> Outcome {
    Outcome { stdout: said.expect_stdout.clone().unwrap_or_default().into_bytes(), stderr: Vec::new(), code: said.exit }
}

fn stdin(case: &Case, built: &Built) -> Result<Option<PathBuf>, Failure> {
    if let Some(file) = &case.directives.stdin_file {
        return Ok(Some(case.folder.join(file)));
    }
    if case.directives.stdin.is_empty() {
        return Ok(None);
    }
    let path = built.folder.join("stdin");
    fs::write(&path, &case.directives.stdin).map_err(context(path.display()))?;
    Ok(Some(path))
}

fn same(wanted: &Outcome, found: &Outcome, who: &str) -> Result<(), Failure> {
    let mut differences = Vec::new();
    if wanted.code != found.code {
        differences.push(format!("exit code {} instead of {}", found.code, wanted.code));
    }
    if wanted.stdout != found.stdout {
        let (wanted, found) = (String::from_utf8_lossy(&wanted.stdout), String::from_utf8_lossy(&found.stdout));
        differences.push(first_difference(&wanted, &found));
    }
    if differences.is_empty() {
        return Ok(());
    }
    Err(format!(
        "not as {who}: {}\nstandard error:\n{}",
        differences.join("; "),
        String::from_utf8_lossy(&found.stderr)
    ))
}

fn first_difference(wanted: &str, found: &str) -> String {
    let (mut left, mut right) = (wanted.lines(), found.lines());
    for number in 1.. {
        let pair = (left.next(), right.next());
        match pair {
            (None, None) => break,
            (left, right) if left == right => {}
            (left, right) => return format!("line {number} of the output is {right:?} instead of {left:?}"),
        }
    }
    "the outputs differ in their line ends".into()
}

/// The run has to be refused: exit 125 or as said, nothing printed by the program, and each expected fragment told.
fn refused(said: &Directives, found: &Outcome) -> Result<(), Failure> {
    let stderr = String::from_utf8_lossy(&found.stderr);
    let code = said.error_code.unwrap_or(COULD_NOT_LINK);
    if found.code != code {
        return Err(format!("exit code {} instead of {code}\nstandard error:\n{stderr}", found.code));
    }
    if !found.stdout.is_empty() {
        return Err(format!("something ran: it printed {:?}", String::from_utf8_lossy(&found.stdout)));
    }
    for fragments in &said.expect_error {
        if !has_in_order(&stderr, fragments) {
            return Err(format!("the error does not say `{fragments}`:\n{stderr}"));
        }
    }
    for fragments in &said.refuse_error {
        if has_in_order(&stderr, fragments) {
            return Err(format!("the error says `{fragments}`:\n{stderr}"));
        }
    }
    Ok(())
}

/// Two refusals, but for the addresses in them: each executor has its own.
fn same_words(wanted: &Outcome, found: &Outcome) -> Result<(), Failure> {
    let [wanted, found] = [wanted, found].map(|outcome| without_addresses(&String::from_utf8_lossy(&outcome.stderr)));
    if wanted == found {
        return Ok(());
    }
    Err(format!("not refused in the same words: {}\n{found}", first_difference(&wanted, &found)))
}

/// `text` with every hexadecimal number of five digits or more as `0x...`; offsets in sections are shorter.
fn without_addresses(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("0x") {
        let (before, number) = rest.split_at(at + 2);
        let digits = number.len() - number.trim_start_matches(|c: char| c.is_ascii_hexdigit()).len();
        shown.push_str(before);
        shown.push_str(if digits >= 5 { "..." } else { &number[..digits] });
        rest = &number[digits..];
    }
    shown + rest
}

/// Whether the fragments between ` ... ` occur one after the other, in upper or lower case.
fn has_in_order(text: &str, fragments: &str) -> bool {
    let text = text.to_lowercase();
    let mut rest = text.as_str();
    for fragment in fragments.split(" ... ") {
        let Some(at) = rest.find(&fragment.to_lowercase()) else { return false };
        rest = &rest[at + fragment.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_keep_their_order() {
        assert!(has_in_order("Error: undefined symbol `foo` in a.o", "undefined ... foo ... a.o"));
        assert!(!has_in_order("a.o: foo", "foo ... a.o"));
    }

    #[test]
    fn refusals_are_compared_without_their_addresses() {
        let refused = |stderr: &str| Outcome { stdout: Vec::new(), stderr: stderr.into(), code: COULD_NOT_LINK };
        let wanted =
            refused("error: x\n    referenced by a.o:(.text+0x1b)\n    from 0x7f0012345678 to 0xdeadbeef0: no\n");
        let other = "error: x\n    referenced by a.o:(.text+0x1b)\n    from 0x55a012345678 to 0x123450: no\n";
        assert_eq!(same_words(&wanted, &refused(other)), Ok(()));
        let moved = other.replace("0x1b", "0x1c");
        assert!(same_words(&wanted, &refused(&moved)).unwrap_err().contains("line 2"));
    }

    #[test]
    fn who_looks_around_has_a_listener_of_its_own() {
        let looks = |text| looks_around(&Directives::parse(text).unwrap());
        assert!(looks("//#Env: A=b\n") && looks("//#Shared: libx.so x.c\n") && looks("//#Stack: 512\n"));
        assert!(!looks("//#Dylib: B b.c\n//#Stdin: text\n"));
    }

    #[test]
    fn the_first_differing_line_is_told() {
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), r#"line 2 of the output is Some("c") instead of Some("b")"#);
    }
}
