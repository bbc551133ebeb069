//! Does the loader do what the naive model says, on programs that nobody thought of?
//!
//! `DYLIB_GRAPH_CASES=1000000` asks for that many programs instead of ten thousand.
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

/// As usual, or as many times that as somebody asks for.
fn config(usual: u32) -> ProptestConfig {
    let asked = std::env::var("DYLIB_GRAPH_CASES").ok().and_then(|cases| cases.parse::<u32>().ok());
    let cases =
        asked.map_or(usual, |asked| (u64::from(asked) * u64::from(usual) / 10_000).try_into().unwrap_or(u32::MAX));
    ProptestConfig { cases, max_shrink_iters: 4000, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(10_000))]

    #[test]
    fn loader_and_model_agree_on_one_thread(program in program(5, 12)) {
        prop_assert_eq!(trace(&program, &[])?, model::run(&program));
    }
}

proptest! {
    #![proptest_config(config(2_000))]

    #[test]
    fn every_rule_holds_in_the_models_traces(program in program(5, 12)) {
        rules::check(&model::run(&program))?;
    }

    #[test]
    fn every_rule_holds_on_one_thread(program in program(6, 16)) {
        rules::check(&trace(&program, &[])?)?;
    }

    #[test]
    fn every_rule_holds_on_two_threads(program in programs(5, 8, 2), schedule in schedule()) {
        rules::check(&trace(&program, &schedule)?)?;
    }

    #[test]
    fn every_rule_holds_on_three_threads(program in programs(4, 6, 3), schedule in schedule()) {
        rules::check(&trace(&program, &schedule)?)?;
    }
}
