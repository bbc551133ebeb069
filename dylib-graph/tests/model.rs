//! Does the loader do what the naive model says, on programs that nobody thought of?
#![cfg(feature = "proptest")]

use dylib_graph::model;
use dylib_graph::program::Program;
use dylib_graph::rules;
use dylib_graph::strategies::{program, programs, schedule};
use proptest::prelude::*;

/// The loader's trace of a program without joins, which cannot deadlock.
fn trace(program: &Program, schedule: &[u8]) -> Result<dylib_graph::trace::Trace, TestCaseError> {
    match program.run(schedule) {
        Ok(run) => Ok(run.trace),
        Err(deadlock) => Err(TestCaseError::fail(format!("{deadlock:#?}"))),
    }
}

/// How many programs to try: more where somebody asks for it.
fn cases(usual: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(1500), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn loader_and_model_agree_on_one_thread(program in program(5, 12)) {
        prop_assert_eq!(trace(&program, &[])?, model::run(&program));
    }

    #[test]
    fn every_rule_holds_in_the_models_traces(program in program(5, 12)) {
        model::run(&program).check(&rules::ALL)?;
    }

    #[test]
    fn every_rule_holds_on_one_thread(program in program(6, 16)) {
        trace(&program, &[])?.check(&rules::ALL)?;
    }

    #[test]
    fn every_rule_holds_on_two_threads(program in programs(5, 8, 2), schedule in schedule()) {
        trace(&program, &schedule)?.check(&rules::ALL)?;
    }

    #[test]
    fn every_rule_holds_on_three_threads(program in programs(4, 6, 3), schedule in schedule()) {
        trace(&program, &schedule)?.check(&rules::ALL)?;
    }
}
