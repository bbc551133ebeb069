//! Does each rule hold in every trace of the loader, and is each refuted by a trace that breaks it?
#![cfg(feature = "proptest")]

use dylib_graph::strategies::{program, programs, schedule};
use dylib_graph::trace::{Call, Event, Rule, Trace};
use dylib_graph::{DylibId, VisitorId, rules};
use proptest::prelude::*;

/// One property for each rule, on programs of one thread and of two.
macro_rules! properties {
    ($($name:ident: $rule:path;)*) => {
        proptest! {
            #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
            $(
                #[test]
                fn $name(one in program(6, 12), two in programs(4, 8, 2), schedule in schedule()) {
                    for (program, schedule) in [(one, vec![]), (two, schedule)] {
                        let run = program.run(&schedule).map_err(|deadlock| TestCaseError::fail(format!("{deadlock:#?}")))?;
                        run.trace.check(&[(stringify!($rule), $rule as Rule)])?;
                    }
                }
            )*
        }
    };
}

properties! {
    rule_1_dependencies_finish_first: rules::rule_1;
    rule_2_a_call_runs_in_depth_first_order: rules::rule_2;
    rule_4_initializers_run_once: rules::rule_4_once;
    rule_4_opens_initialize_what_they_reach_and_nothing_else: rules::rule_4_whole;
    rule_7_what_is_in_progress_is_left_alone: rules::rule_7;
    rule_8_inner_opens_are_complete: rules::rule_8;
    rule_9_failures_have_a_reason: rules::rule_9;
    rule_10_new_code_waits_for_the_next_open: rules::rule_10;
    rule_11_one_visitor_initializes: rules::rule_11;
    rule_15_poisoned_dylibs_stay_so_until_unloaded: rules::rule_15;
    rule_18_closes_succeed_as_often_as_opens: rules::rule_18_count;
    rule_18_dependencies_live_while_needed: rules::rule_18_lives;
    rule_19_finalizers_run_in_exact_reverse: rules::rule_19;
    rule_22_nothing_runs_in_a_dylib_on_its_way_out: rules::rule_22;
    rule_23_nobody_inside_is_unloaded: rules::rule_23;
    rule_25_updates_need_an_open_dylib: rules::rule_25;
    rule_26_closes_leave_nothing_that_nobody_holds: rules::rule_26;
}

proptest! {
    #[test]
    fn rule_3_the_same_program_and_schedule_give_the_same_trace(program in programs(5, 8, 3), schedule in schedule()) {
        let trace = || program.run(&schedule).map(|run| run.trace);
        prop_assert_eq!(trace().ok(), trace().ok());
    }

    #[test]
    fn rule_13_no_program_without_joins_deadlocks(program in programs(4, 8, 4), schedule in schedule()) {
        let run = program.run(&schedule).map_err(|deadlock| TestCaseError::fail(format!("{deadlock:#?}")))?;
        prop_assert_eq!(run.loader.waits().count(), 0);
    }
}

fn d(number: u32) -> DylibId {
    DylibId::new(number).unwrap()
}

fn begin(call: Call, dylib: u32) -> Event {
    Event::Begin { call, dylib: d(dylib) }
}

fn end(call: Call, dylib: u32, ok: bool) -> Event {
    Event::End { call, dylib: d(dylib), ok }
}

fn init(dylib: u32) -> Event {
    Event::Init { dylib: d(dylib) }
}

fn done(dylib: u32) -> Event {
    Event::InitEnd { dylib: d(dylib), ok: true }
}

fn threw(dylib: u32) -> Event {
    Event::InitEnd { dylib: d(dylib), ok: false }
}

fn unload(dylibs: &[u32]) -> Event {
    Event::Unload { dylibs: dylibs.iter().map(|&dylib| d(dylib)).collect() }
}

fn release(dylibs: &[u32]) -> Event {
    Event::Release { dylibs: dylibs.iter().map(|&dylib| d(dylib)).collect() }
}

/// The events must break `rule` at the last one, and keep it before.
#[track_caller]
fn refutes(rule: Rule, links: &[&[u32]], events: &[Event]) {
    let links: Vec<Vec<_>> = links.iter().map(|links| links.iter().map(|&link| d(link)).collect()).collect();
    let trace = Trace { links, events: events.iter().map(|event| (VisitorId(0), event.clone())).collect() };
    let refuted = trace.check(&[("the rule", rule)]).unwrap_err();
    assert_eq!(refuted.at + 1, events.len(), "{refuted}");
    assert_eq!(refuted.rule, "the rule");
}

use Call::{Close, Open, Update};

#[test]
fn rules_1_2_and_4_refute_wrong_orders() {
    // What LLVM 19's runtime does with main:[B, C], C:[B]: C before B.
    refutes(rules::rule_1, &[&[2, 3], &[], &[2]], &[begin(Open, 1), init(3)]);
    refutes(rules::rule_2, &[&[2, 3], &[], &[]], &[begin(Open, 1), init(3), done(3), init(2)]);
    refutes(
        rules::rule_4_once,
        &[&[]],
        &[begin(Open, 1), init(1), done(1), end(Open, 1, true), begin(Open, 1), init(1)],
    );
    refutes(rules::rule_4_whole, &[&[2], &[]], &[begin(Open, 1), init(2), done(2), end(Open, 1, true)]);
    refutes(rules::rule_4_whole, &[&[], &[]], &[begin(Open, 1), init(2)]);
}

#[test]
fn rules_7_to_11_refute_wrong_inner_opens() {
    refutes(rules::rule_7, &[&[2, 3], &[], &[]], &[begin(Open, 1), init(2), begin(Open, 1), init(3)]);
    refutes(rules::rule_8, &[&[2, 3], &[], &[]], &[begin(Open, 1), init(2), begin(Open, 3), end(Open, 3, true)]);
    let failed_inside = [begin(Open, 1), init(1), begin(Open, 2), init(2), threw(2), end(Open, 2, false), done(1)];
    refutes(rules::rule_9, &[&[], &[]], &[&failed_inside[..], &[end(Open, 1, false)]].concat());
    let code = Event::Code { dylib: d(1) };
    refutes(rules::rule_10, &[&[]], &[begin(Open, 1), init(1), code, done(1), init(1)]);
    refutes(rules::rule_11, &[&[]], &[begin(Open, 1), init(1), begin(Open, 1), init(1)]);
}

#[test]
fn rule_15_refutes_a_retry_that_succeeds_without_the_constructors() {
    let failed = [begin(Open, 1), init(1), threw(1), end(Open, 1, false), begin(Open, 1)];
    refutes(rules::rule_15, &[&[]], &[&failed[..], &[end(Open, 1, true)]].concat());
    refutes(rules::rule_15, &[&[]], &[&failed[..], &[init(1)]].concat());
}

#[test]
fn rules_18_to_26_refute_wrong_closes() {
    let opened = [begin(Open, 1), init(2), done(2), init(1), done(1), end(Open, 1, true)];
    let after = |rule, links: &[&[u32]], events: &[Event]| refutes(rule, links, &[&opened[..], events].concat());
    let links: &[&[u32]] = &[&[2], &[]];
    refutes(rules::rule_18_count, links, &[begin(Close, 1), end(Close, 1, true)]);
    after(rules::rule_18_count, links, &[begin(Close, 1), end(Close, 1, false)]);
    after(rules::rule_18_count, links, &[begin(Close, 2), end(Close, 2, true)]);
    after(rules::rule_18_lives, links, &[begin(Close, 2), unload(&[2])]);
    let closing = [begin(Close, 1), unload(&[1, 2])];
    after(rules::rule_19, links, &[&closing[..], &[Event::Fini { dylib: d(2) }]].concat());
    after(rules::rule_19, links, &[&closing[..], &[release(&[1, 2])]].concat());
    after(rules::rule_22, links, &[&closing[..], &[begin(Open, 2), init(2)]].concat());
    refutes(rules::rule_23, links, &[begin(Open, 1), init(2), begin(Close, 2), unload(&[2])]);
    refutes(rules::rule_25, links, &[begin(Update, 1), end(Update, 1, true)]);
    after(rules::rule_26, links, &[begin(Close, 1), end(Close, 1, true)]);
}
