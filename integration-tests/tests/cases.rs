//! Every case in every variant: `cargo test -p integration-tests --test cases -- init-order` runs those with that in their name.

use integration_tests::workplace::Workplace;
use integration_tests::{case, oracle};
use libtest_mimic::{Arguments, Failed, Trial};
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = Workplace::of_this_test().and_then(|workplace| trials(Arc::new(workplace)));
    match trials {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
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
