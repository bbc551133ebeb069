//! The cases on other machines: built by cross compilers, run in user-mode emulators. Each case in one of its variants, every variant in some case, one in four from the
//! image cache as well: `cargo test -p integration-tests --test machines -- riscv64` runs those of one machine.
//!
//! What stands in a case for x86-64 alone says so (`NotElsewhere`), as does what one machine's tools cannot do (`NotOn`). The executors are those that `integration-tests/cross` builds.

use integration_tests::machine::Machine;
use integration_tests::workplace::Workplace;
use integration_tests::{case, oracle};
use libtest_mimic::{Arguments, Failed, Trial};
use std::process::ExitCode;
use std::sync::Arc;

#[allow(clippy::print_stdout, reason = "the summary of a machine is for who reads the run")]
fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut failed = false;
    for machine in &Machine::ALL {
        match trials(machine) {
            Ok(trials) => {
                let conclusion = libtest_mimic::run(&arguments, trials);
                if !arguments.list {
                    println!(
                        "machine {}: {} passed, {} failed",
                        machine.name, conclusion.num_passed, conclusion.num_failed
                    );
                }
                failed |= conclusion.has_failed();
            }
            Err(why) => {
                eprintln!("error: {}: {why}", machine.name);
                failed = true;
            }
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn trials(machine: &'static Machine) -> Result<Vec<Trial>, String> {
    let workplace = Arc::new(Workplace::elsewhere(machine)?);
    let cached = Arc::new(Workplace::elsewhere(machine)?.from_cache());
    let cases = case::discover(&workplace.cases)?;
    let trial = |(number, case): (usize, case::Case)| {
        let variants = case.variants_on(machine);
        let variant = variants.get(number % variants.len().max(1))?.clone();
        // Emulated, a second start is dear.
        let workplace = Arc::clone(if number % 4 == 0 { &cached } else { &workplace });
        let name = format!("{} {} {}", machine.name, case.name, variant.label());
        Some(Trial::test(name, move || oracle::check(&workplace, &case, &variant).map_err(Failed::from)))
    };
    Ok(cases.into_iter().filter(|case| case.holds_on(machine)).enumerate().filter_map(trial).collect())
}
