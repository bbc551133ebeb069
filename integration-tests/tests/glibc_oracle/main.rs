//! Do real libraries under glibc do what we do? Random graphs of up to twelve `.so` files, and the same objects as JITDylibs.
//!
//! Initializers, finalizers and exit handlers open, close and look up, as random scripts say. Both records must keep the partial order of
//! rule 1, and where it leaves one order they must be equal; each other difference has a name and a reason (`difference.rs`,
//! `integration-tests/GLIBC.md`), and one that has none fails with the shrunk program.
//!
//! ```sh
//! cargo test -p integration-tests --test glibc_oracle
//! GLIBC_ORACLE_GRAPHS=50000 GLIBC_ORACLE_SEED=7 cargo test -p integration-tests --test glibc_oracle
//! GLIBC_ORACLE_PROGRAM='o1 needs o2; main: open o1, close o1' cargo test -p integration-tests --test glibc_oracle
//! ```

mod compare;
mod difference;
mod event;
mod objects;
mod program;
mod side;
mod world;

use compare::compare;
use difference::Difference;
use integration_tests::Failure;
use objects::Objects;
use program::{Program, programs};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use side::Sides;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(folder) = std::env::var_os(side::CHILD) {
        return match side::serve(Path::new(&folder)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                eprintln!("{why}");
                ExitCode::FAILURE
            }
        };
    }
    let folder = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("glibc-oracle");
    std::fs::create_dir_all(&folder).unwrap();
    let objects = Objects::build(&folder).unwrap();
    if let Ok(text) = std::env::var("GLIBC_ORACLE_PROGRAM") {
        let program: Program = text.parse().unwrap();
        let mut sides = Sides::start(&objects, "one").unwrap();
        let records = sides.play(&program).unwrap();
        for r in &records { for l in r.lines() { println!("{l}"); } println!("=="); }
        println!("{:?}", compare(&program, &records).map_err(|e| {println!("{e}"); 0}));
        return ExitCode::SUCCESS;
    }
    let n: u32 = std::env::var("GLIBC_ORACLE_GRAPHS").map_or(500, |n| n.parse().unwrap());
    let seed: u64 = std::env::var("GLIBC_ORACLE_SEED").map_or(1, |n| n.parse().unwrap());
    let mut s = [0u8; 32];
    s[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &s);
    let config = Config { cases: n, failure_persistence: None, max_shrink_iters: 4000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, rng);
    let sides = std::cell::RefCell::new(Sides::start(&objects, "random").unwrap());
    let stats = std::cell::RefCell::new(BTreeMap::<String, usize>::new());
    let t = std::time::Instant::now();
    let result = runner.run(&programs(), |program| {
        let records = sides.borrow_mut().play(&program).map_err(TestCaseError::fail)?;
        let report = compare(&program, &records).map_err(TestCaseError::fail)?;
        let mut st = stats.borrow_mut();
        let mut c = |k: String| *st.entry(k).or_default() += 1;
        if report.forced { c("forced".into()) }
        if report.equal { c("equal".into()) }
        if report.forced && report.equal { c("forced&equal".into()) }
        if report.acts.0 == report.acts.1 { c("whole".into()) }
        for d in report.differences { c(format!("{d:?}")) }
        c("all".into());
        Ok(())
    });
    println!("{:?} {:?}", stats, t.elapsed());
    match result { Err(proptest::test_runner::TestError::Fail(why, _)) => println!("{why}"), Err(e) => println!("{e}"), _ => {} }
    ExitCode::SUCCESS
}
