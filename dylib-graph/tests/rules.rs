//! Does each rule hold in every trace of the loader, whatever the program?
//!
//! One property for each rule, named by its number; `refuted.rs` shows that each of these checks can fail.
#![cfg(feature = "proptest")]

use dylib_graph::init::{InitSection, Priority, initializer_order};
use dylib_graph::program::{Act, Program};
use dylib_graph::scope::{Scope, search_scope};
use dylib_graph::strategies::{
    act, graph_of, inside, links, naming, opening, program, programs, programs_of, schedule,
};
use dylib_graph::trace::{Event, Rule};
use dylib_graph::{DylibId, rules};
use proptest::prelude::*;
use proptest::sample::Index;

/// Runs a program and asks one rule about its trace.
fn holds(program: &Program, schedule: &[u8], rule: Rule) -> Result<(), TestCaseError> {
    let run = program.run(schedule).map_err(|deadlock| TestCaseError::fail(format!("{deadlock:#?}")))?;
    run.trace.check(&[("of this test", rule)])?;
    Ok(())
}

/// What code does, more than opens and closes.
fn mostly_inside(n: usize) -> impl Strategy<Value = Act> {
    prop_oneof![3 => opening(n), 3 => inside(n), 1 => act(n)]
}

/// Names, more than opens and closes.
fn mostly_naming(n: usize) -> impl Strategy<Value = Act> {
    prop_oneof![2 => opening(n), 1 => inside(n), 4 => naming(n)]
}

/// One property for each rule, on programs of one thread and of two, whose acts are `$act`.
macro_rules! properties {
    ($($name:ident: $act:ident, $rule:path;)*) => {
        proptest! {
            #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
            $(
                #[test]
                fn $name(one in programs_of(6, 12, 1, $act), two in programs_of(4, 8, 2, $act), schedule in schedule()) {
                    holds(&one, &[], $rule)?;
                    holds(&two, &schedule, $rule)?;
                }
            )*
        }
    };
}

properties! {
    rule_01_dependencies_finish_first: opening, rules::rule_1;
    rule_02_a_call_runs_in_depth_first_order: opening, rules::rule_2;
    rule_03_repeated_links_mean_nothing: opening, rules::rule_3;
    rule_04_initializers_run_once: opening, rules::rule_4_once;
    rule_04_opens_initialize_what_they_reach_and_nothing_else: opening, rules::rule_4_whole;
    rule_06_arrays_run_by_priority_object_and_section: opening, rules::rule_6;
    rule_07_what_is_in_progress_is_left_alone: opening, rules::rule_7;
    rule_08_inner_opens_are_complete: opening, rules::rule_8;
    rule_09_failures_have_a_reason: opening, rules::rule_9;
    rule_10_new_code_waits_for_the_next_open: opening, rules::rule_10;
    rule_11_one_visitor_initializes: opening, rules::rule_11;
    rule_12_nobody_waits_for_what_it_does_not_need: opening, rules::rule_12;
    rule_13_nobody_closes_a_cycle_of_waits: opening, rules::rule_13;
    rule_14_everything_is_placed_before_anything_runs: opening, rules::rule_14_placed;
    rule_14_failures_do_not_count: opening, rules::rule_14_count;
    rule_14_the_same_open_fails_with_the_same_words: opening, rules::rule_14_again;
    rule_15_poisoned_dylibs_stay_so_until_unloaded: opening, rules::rule_15;
    rule_16_an_open_that_was_cut_converges: opening, rules::rule_16;
    rule_17_an_error_is_its_threads_and_told_once: mostly_inside, rules::rule_17_once;
    rule_17_an_error_names_what_failed: mostly_naming, rules::rule_17_names;
    rule_18_closes_succeed_as_often_as_opens: opening, rules::rule_18_count;
    rule_18_dependencies_live_while_needed: opening, rules::rule_18_lives;
    rule_19_finalizers_and_handlers_run_in_exact_reverse: mostly_inside, rules::rule_19;
    rule_20_handlers_belong_to_the_dylib_that_registers_them: mostly_inside, rules::rule_20_handlers;
    rule_20_an_exit_undoes_everything_that_has_completed: act, rules::rule_20_exit;
    rule_21_objects_of_threads_are_destroyed_before_the_memory_goes: mostly_inside, rules::rule_21;
    rule_22_nothing_runs_in_a_dylib_on_its_way_out: mostly_inside, rules::rule_22;
    rule_22_data_is_pristine_after_a_reopen: mostly_inside, rules::rule_22_data;
    rule_23_nobody_inside_is_unloaded: opening, rules::rule_23;
    rule_24_memory_stays_while_a_thread_is_inside: mostly_inside, rules::rule_24;
    rule_25_updates_need_an_open_dylib: opening, rules::rule_25;
    rule_26_closes_leave_nothing_that_nobody_holds: opening, rules::rule_26;
    rule_27_lookups_find_the_first_in_their_scope: mostly_naming, rules::rule_27;
    rule_27_a_weak_reference_is_null_only_if_nobody_defines_it: mostly_naming, rules::rule_27_weak;
    rule_28_modes_are_kept: opening, rules::rule_28_modes;
    rule_28_addresses_are_described: mostly_naming, rules::rule_28_address;
    rule_29_our_names_come_before_the_systems: mostly_naming, rules::rule_29;
    rule_30_definitions_yield_to_the_first: mostly_naming, rules::rule_30;
}

/// Another number for each of `n` dylibs, by index.
fn renumbering(n: usize, shuffle: &[usize]) -> Vec<DylibId> {
    let place: Vec<u32> = shuffle.iter().filter(|&&at| at < n).map(|&at| u32::try_from(at).unwrap()).collect();
    place.into_iter().map(|at| DylibId::new(at + 1).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rule_03_the_same_program_and_schedule_give_the_same_trace(program in programs(5, 8, 3), schedule in schedule()) {
        let trace = || program.run(&schedule).map(|run| run.trace);
        prop_assert_eq!(trace().ok(), trace().ok());
    }

    #[test]
    fn rule_03_numbering_changes_no_trace(
        links in links(8),
        roots in proptest::collection::vec(any::<(Index, bool)>(), 1..8),
        shuffle in Just((0..8).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let n = links.len();
        let numbers = renumbering(n, &shuffle);
        let run = |name: &dyn Fn(usize) -> DylibId, links: Vec<Vec<DylibId>>| {
            let act = |&(ref root, open): &(Index, bool)| {
                let dylib = name(root.index(n));
                if open { Act::Open(dylib) } else { Act::Close(dylib) }
            };
            let threads = vec![roots.iter().map(act).collect()];
            Program { links, initializers: vec![vec![]; n], finalizers: vec![vec![]; n], threads }.run(&[]).unwrap().trace
        };
        let ids = graph_of(&links).1;
        let mut renamed = vec![vec![]; n];
        for (at, links) in links.iter().enumerate() {
            renamed[numbers[at].index()] = links.iter().map(|link| numbers[link.index()]).collect();
        }
        let (one, other) = (run(&|at| ids[at], links.clone()), run(&|at| numbers[at], renamed));
        rules::rule_3_same(&one, &other, |dylib| numbers[dylib.index()]).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn rule_05_an_order_costs_no_more_steps_than_there_are_dylibs_and_links(links in links(40)) {
        // What can be counted without a clock: nothing comes twice, in either order.
        let (graph, ids) = graph_of(&links);
        for order in [graph.init_order(ids[0]).unwrap().dylibs().to_vec(), graph.search_order(ids[0]).unwrap()] {
            let mut once = order.clone();
            once.sort_unstable();
            once.dedup();
            prop_assert_eq!(once.len(), order.len());
        }
    }

    #[test]
    fn rule_06_an_order_holds_every_array_once(arrays in proptest::collection::vec((0..400_u32, 0..4_u32, 0..9_u32), 0..30)) {
        let array = |&(priority, object, section): &(u32, u32, u32)| {
            let array = InitSection::from_name(".init_array", object, section).unwrap();
            InitSection { priority: Priority::new(priority), ..array }
        };
        let sections: Vec<_> = arrays.iter().map(array).collect();
        let order = initializer_order(&sections);
        let keys: Vec<_> = order.iter().map(|&at| arrays[at]).collect();
        let mut sorted = keys.clone();
        sorted.sort_unstable();
        prop_assert_eq!(keys, sorted);
        let mut all = order;
        all.sort_unstable();
        prop_assert_eq!(all, (0..sections.len()).collect::<Vec<_>>());
    }

    #[test]
    fn rule_12_an_initializer_may_join_a_thread_that_opens_what_does_not_need_it(
        links in links(7),
        chosen: [Index; 3],
        schedule in schedule(),
    ) {
        let ids = graph_of(&links).1;
        let [root, joins, opens] = chosen.map(|index| ids[index.index(ids.len())]);
        let mut initializers = vec![vec![]; links.len()];
        initializers[joins.index()] = vec![Act::Start(vec![Act::Open(opens)]), Act::JoinStarted];
        let needs = graph_of(&links).0.search_order(opens).unwrap().contains(&joins);
        let finalizers = vec![vec![]; links.len()];
        let program = Program { links, initializers, finalizers, threads: vec![vec![Act::Open(root)]] };
        match program.run(&schedule) {
            Ok(run) => rules::check(&run.trace)?,
            // It needs what its joiner is initializing: nobody can resolve that, and everybody can see it.
            Err(deadlock) => prop_assert!(needs && deadlock.waits.iter().all(|wait| wait.dylib == joins), "{:#?}", deadlock),
        }
    }

    #[test]
    fn rule_13_no_program_without_joins_deadlocks(program in programs(4, 8, 4), schedule in schedule()) {
        let run = program.run(&schedule).map_err(|deadlock| TestCaseError::fail(format!("{deadlock:#?}")))?;
        let exits = run.trace.events.iter().any(|(_, event)| matches!(event, Event::Begin { call: dylib_graph::trace::Call::Exit, .. }));
        prop_assert!(exits || run.loader.waits().count() == 0);
    }

    #[test]
    fn rule_16_an_open_cut_anywhere_and_repeated_is_like_one_that_was_not(links in links(7), root: Index, cuts in proptest::collection::vec(0..8_usize, 0..4)) {
        let ids = graph_of(&links).1;
        let root = ids[root.index(ids.len())];
        let run = |cuts: &[usize]| {
            let cuts = cuts.iter().map(|&limit| Act::Cut(root, limit));
            let threads = vec![cuts.chain([Act::Open(root), Act::Close(root)]).collect()];
            let none = vec![vec![]; links.len()];
            Program { links: links.clone(), initializers: none.clone(), finalizers: none, threads }.run(&[]).unwrap().trace
        };
        let (whole, cut) = (run(&[]), run(&cuts));
        prop_assert_eq!((whole.inits(), whole.finis()), (cut.inits(), cut.finis()));
    }

    #[test]
    fn rule_27_scopes_are_searches_one_after_the_other(links in links(9), program: Index, global in proptest::collection::vec(any::<Index>(), 0..3), asking: Index) {
        let (graph, ids) = graph_of(&links);
        let id = |index: &Index| ids[index.index(ids.len())];
        let (program, asking) = (id(&program), id(&asking));
        let global: Vec<_> = global.iter().map(id).collect();
        let mut expected = Vec::new();
        for root in [program].iter().chain(&global).chain([&asking]) {
            for dylib in graph.search_order(*root).unwrap() {
                if !expected.contains(&dylib) {
                    expected.push(dylib);
                }
            }
        }
        let scope = |scope| search_scope(&graph, scope, Some(program), &global, Some(asking)).unwrap();
        prop_assert_eq!(&scope(Scope::Default), &expected);
        let own = expected.iter().position(|&each| each == asking).unwrap();
        prop_assert_eq!(scope(Scope::Next), &expected[own + 1..]);
        prop_assert_eq!(scope(Scope::Handle(asking)), graph.search_order(asking).unwrap());
    }

    #[test]
    fn every_rule_at_once_holds_as_a_user_would_ask(program in program(5, 12)) {
        rules::check(&program.run(&[]).unwrap().trace)?;
    }
}
