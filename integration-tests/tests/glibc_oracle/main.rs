//! Do real libraries under glibc do what ours do? Random graphs of up to twelve `.so` files, and the same objects as JITDylibs.
//!
//! Initializers, finalizers and exit handlers open, close and look up, as random scripts say. Both records must keep the partial order of
//! rule 1, and where that leaves one order they must be equal; each other difference has a name and a reason (`difference.rs`, and for users
//! `orc-rt/README.md`), and one that has none fails with the shrunk program, which can be run again.
//!
//! ```sh
//! cargo test -p integration-tests --test glibc_oracle
//! GLIBC_ORACLE_GRAPHS=50000 GLIBC_ORACLE_SEED=7 cargo test -p integration-tests --test glibc_oracle random
//! GLIBC_ORACLE_PROGRAM='o1 needs o2; o2 initializer: open o1; main: open o1' cargo test -p integration-tests --test glibc_oracle
//! ```

mod compare;
mod difference;
mod event;
mod objects;
mod program;
mod side;
mod world;
mod wrong;

use compare::{Report, compare, side_by_side};
use difference::Difference;
use event::Record;
use integration_tests::{Failure, context};
use libtest_mimic::{Arguments, Failed, Trial};
use objects::Objects;
use program::{Program, programs};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use side::Sides;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// As many as CI runs, and how they come about.
const GRAPHS: u32 = 2_000;
const SEED: u64 = 1;

fn main() -> ExitCode {
    if let Some(folder) = env::var_os(side::CHILD) {
        return match side::serve(Path::new(&folder)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                eprintln!("{why}");
                ExitCode::FAILURE
            }
        };
    }
    let arguments = Arguments::from_args();
    let folder = folder().expect("a folder of its own");
    let trials = if arguments.list { Ok(trials(None)) } else { Objects::build(folder.path()).map(Some).map(trials) };
    match trials {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

/// In the target folder that this test was built in; gone when this is dropped.
fn folder() -> Result<tempfile::TempDir, Failure> {
    let this = env::current_exe().map_err(context("this test"))?;
    let target = this.ancestors().nth(3).ok_or("this test is not inside a target folder")?;
    tempfile::Builder::new().prefix("glibc-oracle-").tempdir_in(target).map_err(context(target.display()))
}

fn trials(objects: Option<Objects>) -> Vec<Trial> {
    let objects = Arc::new(objects);
    let trial = |name: &str, run: fn(&Objects, &str) -> Result<(), String>| {
        let (objects, own) = (Arc::clone(&objects), name.to_owned());
        Trial::test(name, move || match &*objects {
            Some(objects) => run(objects, &own).map_err(Failed::from),
            None => Err("nothing was built".into()),
        })
    };
    if env::var_os(PROGRAM).is_some() {
        return vec![trial("the_given_program", the_given_program)];
    }
    let mut trials = vec![
        trial("random_graphs", random_graphs),
        trial("forced_orders_are_equal", forced_orders_are_equal),
        trial("wrong_records_are_refused", wrong::records_are_refused),
        trial("users_read_of_every_difference", users_read_of_every_difference),
    ];
    for difference in Difference::ALL {
        let objects = Arc::clone(&objects);
        trials.push(Trial::test(format!("difference::{difference:?}"), move || match &*objects {
            Some(objects) => Ok(is_shown(objects, difference)?),
            None => Err("nothing was built".into()),
        }));
    }
    trials
}

/// A number from the environment, or the usual one.
fn number(variable: &str, usual: u64) -> Result<u64, Failure> {
    env::var(variable).map_or(Ok(usual), |text| text.parse().map_err(|_| format!("{variable}={text}: not a number")))
}

const PROGRAM: &str = "GLIBC_ORACLE_PROGRAM";

fn random_graphs(objects: &Objects, name: &str) -> Result<(), String> {
    let seed = number("GLIBC_ORACLE_SEED", SEED)?;
    let graphs = u32::try_from(number("GLIBC_ORACLE_GRAPHS", GRAPHS.into())?).unwrap_or(u32::MAX);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed.to_le_bytes(); 4].concat());
    let config = Config { cases: graphs, failure_persistence: None, max_shrink_iters: 5_000, ..Config::default() };
    let sides = RefCell::new(Sides::start(objects, name)?);
    let counts = RefCell::new(BTreeMap::<String, u32>::new());
    let played = TestRunner::new_with_rng(config, rng).run(&programs(), |program| {
        if program.to_string().parse().as_ref() != Ok(&program) {
            return Err(TestCaseError::fail(format!("not read as it was written:\n{program}")));
        }
        let records = sides.borrow_mut().play(&program);
        let records = records.or_else(|why| {
            // The program that ended a child shall shrink as others do.
            *sides.borrow_mut() = Sides::start(objects, name)?;
            Err(format!("{why}\n\n{program}"))
        });
        let report = records.and_then(|records| compare(&program, &records)).map_err(TestCaseError::fail)?;
        count(&mut counts.borrow_mut(), &report);
        Ok(())
    });
    let counts = counts.into_inner();
    let of = |what: &str| counts.get(what).copied().unwrap_or_default();
    eprintln!("{name}: {graphs} graphs, seed {seed}: {counts:#?}");
    match played {
        Ok(()) if of("forced") < graphs / 10 || of("forced and equal") < graphs / 20 => {
            Err(format!("too few graphs with one order: {counts:?}"))
        }
        Ok(()) => Ok(()),
        Err(TestError::Fail(why, program)) => {
            let line = program.to_string().trim().replace('\n', "; ");
            Err(format!("seed {seed}: {why}\n{PROGRAM}='{line}'"))
        }
        Err(TestError::Abort(why)) => Err(why.to_string()),
    }
}

fn count(counts: &mut BTreeMap<String, u32>, report: &Report) {
    let whole = report.compared.0 == report.compared.1;
    let found = [
        (report.forced, "forced"),
        (report.equal, "equal"),
        (report.forced && report.equal, "forced and equal"),
        (whole, "compared to the end"),
    ];
    let found = found.iter().filter(|(holds, _)| *holds).map(|(_, name)| (*name).to_owned());
    for name in found.chain(report.differences.iter().map(|each| format!("with difference {each:?}"))) {
        *counts.entry(name).or_default() += 1;
    }
}

fn the_given_program(objects: &Objects, name: &str) -> Result<(), String> {
    let program: Program = env::var(PROGRAM).map_err(|error| error.to_string())?.parse()?;
    let records = Sides::start(objects, name)?.play(&program)?;
    eprintln!("{}", side_by_side(&program, &records));
    let report = compare(&program, &records)?;
    eprintln!("{report:?}");
    Ok(())
}

/// Plays `text` and compares.
fn played(objects: &Objects, name: &str, text: &str) -> Result<(Program, [Record; 2], Report), String> {
    let program: Program = text.parse()?;
    let records = Sides::start(objects, name)?.play(&program)?;
    let report = compare(&program, &records)?;
    Ok((program, records, report))
}

fn is_shown(objects: &Objects, difference: Difference) -> Result<(), String> {
    let (program, records, report) = played(objects, &format!("{difference:?}"), difference.example())?;
    if report.equal || !report.differences.contains(&difference) {
        return Err(format!("not shown: {report:?}\n{}", side_by_side(&program, &records)));
    }
    Ok(())
}

/// Rule 1 leaves one order in each of these, whatever scripts do on the way.
const FORCED: [&str; 6] = [
    "o1 needs o2; o2 needs o3; main: open o1, open o3, find o1 group_1, close o1, close o3, open o1",
    "o1 needs o3 o2 o1 o2; o2 needs o3 o3; main: open o1, close o1",
    "o1 needs o2; o2 needs o3; o3 initializer: open o1, open o4, close o4; main: open o1, close o1, close o1",
    "o1 initializer: open o2; o2 initializer: open o3, open o1; main: open o1, close o2, close o3, close o1",
    "o1 needs o2; o2 initializer: register; o2 handler: register, find o1 group_0; main: open o1, close o1, open o2",
    "main: open-noload o1, open-global o1, open-noload o1, close o1, close o1, close o1, open-noload o1",
];

fn forced_orders_are_equal(objects: &Objects, name: &str) -> Result<(), String> {
    for text in FORCED {
        let (program, records, report) = played(objects, name, text)?;
        if !report.forced || !report.equal || report.compared.0 != report.compared.1 {
            return Err(format!("{report:?}\n{}", side_by_side(&program, &records)));
        }
    }
    Ok(())
}

fn users_read_of_every_difference(_: &Objects, _: &str) -> Result<(), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../orc-rt/README.md");
    let list = std::fs::read_to_string(&path).map_err(context(path.display()))?;
    let missing: Vec<_> =
        Difference::ALL.iter().filter(|each| !list.contains(&format!("| {} |", each.title()))).collect();
    assert!(missing.is_empty(), "{}: the list of differences lacks {missing:?}", path.display());
    Ok(())
}
