//! Every case in every variant, through every executor: `cargo test -p integration-tests --test cases -- init-order` runs those with
//! that in their name.

use integration_tests::workplace::Workplace;
use integration_tests::{case, oracle};
use libtest_mimic::{Arguments, Failed, Trial};
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let run = || {
        let workplace = Arc::new(Workplace::of_this_test()?);
        let conclusion = libtest_mimic::run(&arguments, trials(Arc::clone(&workplace))?);
        // The listeners that trials shared have served to the end.
        workplace.executors.as_ref().map_or(Ok(()), |executors| executors.end())?;
        Ok(conclusion.exit_code())
    };
    run().unwrap_or_else(|why: String| {
        eprintln!("error: {why}");
        ExitCode::FAILURE
    })
}

fn trials(workplace: Arc<Workplace>) -> Result<Vec<Trial>, String> {
    let mut trials = Vec::new();
    for case in case::discover(&workplace.cases)? {
        let case = Arc::new(case);
        for variant in case.variants() {
            let (workplace, case) = (Arc::clone(&workplace), Arc::clone(&case));
            let name = format!("{} {}", case.name, variant.label());
            trials.push(Trial::test(name, move || oracle::check(&workplace, &case, &variant).map_err(Failed::from)));
        }
    }
    Ok(trials)
}
