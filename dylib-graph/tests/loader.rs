//! Does the loader keep each rule, where it is told exactly what happens?

use dylib_graph::program::{Act, Deadlock, Program};
use dylib_graph::trace::Trace;
use dylib_graph::{
    Close, CloseStep, DylibId, Finished, GraphError, LoadError, Loader, Open, Outcome, Run, Status, Step, VisitorId,
    rules,
};

const ME: VisitorId = VisitorId(1);
const OTHER: VisitorId = VisitorId(2);

/// `dylib-n`.
fn d(n: u32) -> DylibId {
    DylibId::new(n).unwrap()
}

fn ids(numbers: &[u32]) -> Vec<DylibId> {
    numbers.iter().map(|&n| d(n)).collect()
}

/// A loader with these link orders, of `dylib-1` onwards.
fn loader(links: &[&[u32]]) -> Loader {
    let mut loader = Loader::new();
    for _ in links {
        loader.add();
    }
    for (at, links) in (1..).zip(links) {
        loader.set_link_order(d(at), &ids(links)).unwrap();
    }
    loader
}

/// Runs everything an open still has to run; says what that was.
fn drive(loader: &mut Loader, open: &mut Open) -> Result<Vec<DylibId>, LoadError> {
    let mut ran = Vec::new();
    loop {
        match loader.step(open)? {
            Step::Run(run) => {
                ran.push(run.dylib);
                loader.completed(open, Outcome::Completed);
            }
            Step::Wait(dylib) => panic!("nobody else is at {dylib}"),
            Step::Ready => return Ok(ran),
        }
    }
}

fn open(loader: &mut Loader, root: u32) -> Vec<DylibId> {
    let mut open = loader.begin_open(d(root), ME).unwrap();
    let ran = drive(loader, &mut open).unwrap();
    let Finished { result, close } = loader.finish_open(open);
    assert_eq!(result, Ok(d(root)));
    assert!(close.is_none());
    ran
}

fn update(loader: &mut Loader, root: u32) -> (Vec<DylibId>, Vec<DylibId>) {
    let mut open = loader.begin_update(d(root), ME).unwrap();
    let ran = drive(loader, &mut open).unwrap();
    let Finished { result, close } = loader.finish_open(open);
    assert_eq!(result, Ok(d(root)));
    (ran, close.map_or(vec![], |close| undo(loader, close)))
}

/// Drives a close to its end; says what was finalized, in order.
fn undo(loader: &mut Loader, mut close: Close) -> Vec<DylibId> {
    let mut undone = Vec::new();
    loop {
        match loader.close_step(&mut close) {
            CloseStep::Finalize(run) | CloseStep::Discard(run) => undone.push(run.dylib),
            CloseStep::Release(dylibs) => {
                for dylib in dylibs {
                    assert_eq!(loader.status(dylib), Status::Unloading(close.visitor()));
                }
            }
            CloseStep::Done => return undone,
        }
    }
}

fn close(loader: &mut Loader, root: u32) -> Vec<DylibId> {
    let close = loader.begin_close(d(root), ME).unwrap();
    undo(loader, close)
}

/// The first run of an open that must have one.
fn first_run(loader: &mut Loader, open: &mut Open) -> Run {
    match loader.step(open) {
        Ok(Step::Run(run)) => run,
        other => panic!("{other:?} is no run"),
    }
}

/// An open of `root` whose first run throws.
fn open_and_throw(loader: &mut Loader, root: u32) -> LoadError {
    let mut open = loader.begin_open(d(root), ME).unwrap();
    first_run(loader, &mut open);
    loader.completed(&mut open, Outcome::Threw("f in a.o".into()));
    let error = loader.step(&mut open).unwrap_err();
    let Finished { result, close } = loader.finish_open(open);
    assert!(close.is_none());
    assert_eq!(result, Err(error.clone()));
    error
}

/// Runs a program, which must keep every rule.
fn run(links: &[&[u32]], initializers: &[(u32, Act)], threads: &[&[Act]]) -> Result<Trace, Box<Deadlock>> {
    let mut program = Program {
        links: links.iter().map(|links| ids(links)).collect(),
        initializers: vec![vec![]; links.len()],
        finalizers: vec![vec![]; links.len()],
        threads: threads.iter().map(|acts| acts.to_vec()).collect(),
    };
    for (dylib, act) in initializers {
        program.initializers[d(*dylib).index()].push(act.clone());
    }
    let trace = program.run(&[])?.trace;
    trace.check(&rules::ALL).unwrap();
    Ok(trace)
}

#[test]
fn rule_01_and_02_dependencies_run_first_in_link_order() {
    let mut loader = loader(&[&[2, 3, 4], &[], &[], &[3]]);
    assert_eq!(open(&mut loader, 1), ids(&[2, 3, 4, 1]));
}

#[test]
fn rule_04_what_is_initialized_does_not_run_again() {
    let mut loader = loader(&[&[2], &[], &[2]]);
    assert_eq!(open(&mut loader, 2), ids(&[2]));
    assert_eq!(open(&mut loader, 1), ids(&[1]));
    assert_eq!(open(&mut loader, 3), ids(&[3]));
    assert_eq!(open(&mut loader, 1), []);
    assert_eq!(loader.status(d(2)), Status::Ready);
}

#[test]
fn rule_07_a_dylib_in_progress_gives_its_handle_and_runs_nothing() {
    // 2's initializer opens itself and what links against it; both wait for it to return.
    let trace =
        run(&[&[2, 3], &[], &[]], &[(2, Act::Open(d(2))), (2, Act::Open(d(1)))], &[&[Act::Open(d(1))]]).unwrap();
    assert_eq!(trace.inits(), ids(&[2, 3, 1]));
    let mut loader = loader(&[&[2], &[]]);
    let mut outer = loader.begin_open(d(1), ME).unwrap();
    assert_eq!(first_run(&mut loader, &mut outer).dylib, d(2));
    for root in [1, 2] {
        let mut inner = loader.begin_open(d(root), ME).unwrap();
        assert_eq!(loader.step(&mut inner), Ok(Step::Ready));
        assert_eq!(loader.finish_open(inner).result, Ok(d(root)));
        assert_eq!(loader.count(d(root)), 1);
    }
    loader.completed(&mut outer, Outcome::Completed);
    assert_eq!(drive(&mut loader, &mut outer), Ok(ids(&[1])));
    assert_eq!(loader.finish_open(outer).result, Ok(d(1)));
    assert_eq!(loader.count(d(1)), 2);
}

#[test]
fn rule_08_an_inner_open_runs_the_whole_unstarted_subtree() {
    // 1 needs 2, 3; 3 needs 4. 2's initializer opens 3, so 4 and 3 run inside 2, and the outer open skips them.
    let trace = run(&[&[2, 3], &[], &[4], &[]], &[(2, Act::Open(d(3)))], &[&[Act::Open(d(1))]]).unwrap();
    assert_eq!(trace.inits(), ids(&[2, 4, 3, 1]));
}

#[test]
fn rule_08_an_inner_open_of_something_new_runs_it_though_it_needs_what_is_running() {
    let trace = run(&[&[2], &[], &[2, 4], &[]], &[(2, Act::Open(d(3)))], &[&[Act::Open(d(1))]]).unwrap();
    assert_eq!(trace.inits(), ids(&[2, 4, 3, 1]));
}

#[test]
fn rule_09_a_failed_inner_open_does_not_spoil_the_outer_one() {
    let mut loader = loader(&[&[2], &[], &[]]);
    let mut outer = loader.begin_open(d(1), ME).unwrap();
    first_run(&mut loader, &mut outer);
    assert_eq!(open_and_throw(&mut loader, 3), LoadError::Poisoned { dylib: d(3), initializer: "f in a.o".into() });
    loader.completed(&mut outer, Outcome::Completed);
    assert_eq!(drive(&mut loader, &mut outer), Ok(ids(&[1])));
    assert_eq!(loader.finish_open(outer).result, Ok(d(1)));
}

#[test]
fn rule_10_code_added_during_an_open_waits_for_the_next() {
    let mut loader = loader(&[&[2], &[]]);
    assert_eq!(loader.add_code(d(2)), Ok(0));
    let mut open = loader.begin_open(d(1), ME).unwrap();
    assert_eq!(loader.add_code(d(2)), Ok(1));
    assert_eq!(first_run(&mut loader, &mut open).batches(), 0..1);
    loader.completed(&mut open, Outcome::Completed);
    assert_eq!(drive(&mut loader, &mut open), Ok(ids(&[1])));
    assert_eq!(loader.finish_open(open).result, Ok(d(1)));
    assert!(!loader.is_settled(d(1)));
    let mut open = loader.begin_open(d(1), ME).unwrap();
    assert_eq!(first_run(&mut loader, &mut open).batches(), 1..2);
    loader.completed(&mut open, Outcome::Completed);
    assert_eq!(drive(&mut loader, &mut open), Ok(vec![]));
    assert_eq!(loader.finish_open(open).result, Ok(d(1)));
    assert!(loader.is_settled(d(1)));
}

#[test]
fn rule_11_the_same_dylib_runs_on_one_visitor_and_both_return_when_it_is_done() {
    let mut loader = loader(&[&[2, 3], &[], &[]]);
    let mut mine = loader.begin_open(d(1), ME).unwrap();
    let mut theirs = loader.begin_open(d(1), OTHER).unwrap();
    for dylib in [2, 3, 1] {
        // Also between two runs of mine the other visitor does not get ahead.
        assert_eq!(loader.step(&mut theirs), Ok(Step::Wait(d(dylib))));
        assert_eq!(first_run(&mut loader, &mut mine).dylib, d(dylib));
        assert_eq!(loader.step(&mut theirs), Ok(Step::Wait(d(dylib))));
        assert_eq!(loader.status(d(dylib)), Status::Running(ME));
        loader.completed(&mut mine, Outcome::Completed);
    }
    assert_eq!(loader.step(&mut theirs), Ok(Step::Ready));
    assert_eq!(loader.finish_open(theirs).result, Ok(d(1)));
    assert_eq!(loader.step(&mut mine), Ok(Step::Ready));
    assert_eq!(loader.finish_open(mine).result, Ok(d(1)));
    assert_eq!(loader.count(d(1)), 2);
}

#[test]
fn rule_11_whoever_waits_hears_of_a_throw_and_names_it() {
    let mut loader = loader(&[&[]]);
    let mut mine = loader.begin_open(d(1), ME).unwrap();
    first_run(&mut loader, &mut mine);
    let mut theirs = loader.begin_open(d(1), OTHER).unwrap();
    assert_eq!(loader.step(&mut theirs), Ok(Step::Wait(d(1))));
    loader.completed(&mut mine, Outcome::Threw("g in b.o".into()));
    let error = loader.step(&mut theirs).unwrap_err();
    assert_eq!(error.to_string(), "dylib-1 cannot be used: g in b.o threw an exception; unload it to try again");
    assert_eq!(loader.finish_open(theirs).result, Err(error.clone()));
    assert_eq!(loader.finish_open(mine).result, Err(error));
}

#[test]
fn rule_12_disjoint_opens_run_at_the_same_time() {
    let mut loader = loader(&[&[], &[]]);
    let mut mine = loader.begin_open(d(1), ME).unwrap();
    let mut theirs = loader.begin_open(d(2), OTHER).unwrap();
    assert_eq!(first_run(&mut loader, &mut mine).dylib, d(1));
    assert_eq!(first_run(&mut loader, &mut theirs).dylib, d(2));
    loader.completed(&mut mine, Outcome::Completed);
    loader.completed(&mut theirs, Outcome::Completed);
    for (mut open, root) in [(mine, 1), (theirs, 2)] {
        assert_eq!(drive(&mut loader, &mut open), Ok(vec![]));
        assert_eq!(loader.finish_open(open).result, Ok(d(root)));
    }
}

#[test]
fn rule_12_an_initializer_may_join_a_thread_that_opens_something_else() {
    // 2's initializer waits for thread 1, which opens 3: alone, or next in the plan of the very open that is waiting.
    for links in [&[&[2][..], &[], &[]][..], &[&[2, 3], &[], &[]]] {
        let threads: [&[Act]; 2] = [&[Act::Open(d(1))], &[Act::Open(d(3))]];
        let trace = run(links, &[(2, Act::Join(1))], &threads).unwrap();
        assert_eq!(trace.inits().iter().filter(|&&dylib| dylib == d(3)).count(), 1);
    }
}

#[test]
fn rule_12_a_thread_that_waited_politely_goes_on_when_its_turn_cannot_come() {
    // The other thread asks for 3 before 2 runs, and would leave it to the first open. Then 2's initializer joins it.
    let mut loader = loader(&[&[2, 3], &[], &[]]);
    let mut mine = loader.begin_open(d(1), ME).unwrap();
    let mut theirs = loader.begin_open(d(3), OTHER).unwrap();
    assert_eq!(loader.step(&mut theirs), Ok(Step::Wait(d(3))));
    let changes = loader.changes();
    assert_eq!(first_run(&mut loader, &mut mine).dylib, d(2));
    assert_ne!(loader.changes(), changes, "who waits is woken");
    assert_eq!(first_run(&mut loader, &mut theirs).dylib, d(3));
    loader.completed(&mut theirs, Outcome::Completed);
    assert_eq!(loader.step(&mut theirs), Ok(Step::Ready));
    assert_eq!(loader.finish_open(theirs).result, Ok(d(3)));
    loader.completed(&mut mine, Outcome::Completed);
    assert_eq!(drive(&mut loader, &mut mine), Ok(ids(&[1])));
    assert_eq!(loader.finish_open(mine).result, Ok(d(1)));
}

#[test]
fn rule_13_the_open_that_would_close_a_cycle_of_waits_returns_the_handle() {
    // 1's initializer opens 2 while 2's initializer, on another visitor, opens 1.
    let mut loader = loader(&[&[], &[]]);
    let mut mine = loader.begin_open(d(1), ME).unwrap();
    let mut theirs = loader.begin_open(d(2), OTHER).unwrap();
    first_run(&mut loader, &mut mine);
    first_run(&mut loader, &mut theirs);
    let mut my_inner = loader.begin_open(d(2), ME).unwrap();
    assert_eq!(loader.step(&mut my_inner), Ok(Step::Wait(d(2))));
    let waits: Vec<_> = loader.waits().collect();
    assert_eq!((waits[0].visitor, waits[0].dylib, waits[0].held_by), (ME, d(2), Some(OTHER)));
    let mut their_inner = loader.begin_open(d(1), OTHER).unwrap();
    assert_eq!(loader.step(&mut their_inner), Ok(Step::Ready), "waiting would never end");
    assert_eq!(loader.finish_open(their_inner).result, Ok(d(1)));
    assert_eq!(loader.step(&mut my_inner), Ok(Step::Wait(d(2))));
    loader.completed(&mut theirs, Outcome::Completed);
    assert_eq!(loader.step(&mut my_inner), Ok(Step::Ready));
    assert_eq!(loader.finish_open(my_inner).result, Ok(d(2)));
    loader.completed(&mut mine, Outcome::Completed);
    for (open, root) in [(&mut mine, 1), (&mut theirs, 2)] {
        assert_eq!(drive(&mut loader, open), Ok(vec![]), "{root}");
    }
    assert_eq!(loader.finish_open(mine).result, Ok(d(1)));
    assert_eq!(loader.finish_open(theirs).result, Ok(d(2)));
    assert_eq!((loader.count(d(1)), loader.count(d(2))), (2, 2));
    assert_eq!(loader.waits().count(), 0);
}

#[test]
fn rule_13_what_cannot_be_joined_is_a_deadlock_that_is_reported() {
    // The thread needs what its joiner is initializing: nobody can resolve that, but everybody can see it.
    let deadlock = run(&[&[2], &[]], &[(2, Act::Join(1))], &[&[Act::Open(d(1))], &[Act::Open(d(2))]]).unwrap_err();
    let waits: Vec<_> = deadlock.waits.iter().map(|wait| (wait.visitor, wait.dylib, wait.held_by)).collect();
    assert_eq!(waits, [(VisitorId(1), d(2), Some(VisitorId(0)))]);
}

#[test]
fn rule_13_who_asks_again_during_an_unload_wakes_nobody() {
    // Two that wait for the same unload would otherwise wake each other for as long as it lasts.
    let mut loader = loader(&[&[]]);
    open(&mut loader, 1);
    let closing = loader.begin_close(d(1), VisitorId(3)).unwrap();
    let refused = |loader: &mut Loader, visitor| loader.begin_open(d(1), visitor).unwrap_err();
    for visitor in [ME, OTHER] {
        assert_eq!(refused(&mut loader, visitor), LoadError::Unloading { dylib: d(1), by: VisitorId(3) });
    }
    let changes = loader.changes();
    for visitor in [ME, OTHER] {
        refused(&mut loader, visitor);
    }
    assert_eq!((loader.changes(), loader.waits().count()), (changes, 2));
    assert_eq!(undo(&mut loader, closing), ids(&[1]));
    open(&mut loader, 1);
    loader.stop_waiting(OTHER);
    assert_eq!(loader.waits().count(), 0);
}

#[test]
fn rule_13_who_gave_up_waiting_closes_no_cycle() {
    let mut loader = loader(&[&[], &[]]);
    open(&mut loader, 1);
    let closing = loader.begin_close(d(1), VisitorId(3)).unwrap();
    // The other one, inside 2's initializer, wants 1, is told to wait, and does without.
    let mut theirs = loader.begin_open(d(2), OTHER).unwrap();
    first_run(&mut loader, &mut theirs);
    assert!(matches!(loader.begin_open(d(1), OTHER), Err(LoadError::Unloading { .. })));
    loader.stop_waiting(OTHER);
    undo(&mut loader, closing);
    // Inside 1's initializer I want 2, and have to wait for it.
    let mut mine = loader.begin_open(d(1), ME).unwrap();
    first_run(&mut loader, &mut mine);
    let mut inner = loader.begin_open(d(2), ME).unwrap();
    assert_eq!(loader.step(&mut inner), Ok(Step::Wait(d(2))));
    loader.completed(&mut theirs, Outcome::Completed);
    assert_eq!(loader.step(&mut inner), Ok(Step::Ready));
    assert_eq!(loader.finish_open(inner).result, Ok(d(2)));
    loader.completed(&mut mine, Outcome::Completed);
    for (open, root) in [(mine, 1), (theirs, 2)] {
        assert_eq!(loader.finish_open(open).result, Err(LoadError::Abandoned { dylib: d(root) }));
    }
}

#[test]
fn rule_14_a_refused_open_changes_nothing() {
    let mut loader = loader(&[&[2], &[], &[1]]);
    assert!(matches!(loader.begin_open(d(9), ME), Err(LoadError::Graph(GraphError::Unknown { .. }))));
    open_and_throw(&mut loader, 2);
    for _ in 0..2 {
        // The same message until the cause is mended.
        let error = loader.begin_open(d(3), ME).unwrap_err();
        assert_eq!(error, LoadError::Poisoned { dylib: d(2), initializer: "f in a.o".into() });
        for dylib in [1, 3] {
            assert_eq!((loader.status(d(dylib)), loader.count(d(dylib))), (Status::Unloaded, 0));
        }
    }
    let close = loader.begin_unload(d(2), ME).unwrap();
    assert_eq!(undo(&mut loader, close), ids(&[2]));
    assert_eq!(open(&mut loader, 3), ids(&[2, 1, 3]));
}

#[test]
fn rule_15_a_throw_poisons_the_dylib_and_releases_its_finished_dependencies() {
    let mut loader = loader(&[&[2], &[3], &[], &[]]);
    let mut open_1 = loader.begin_open(d(1), ME).unwrap();
    assert_eq!(first_run(&mut loader, &mut open_1).dylib, d(3));
    loader.completed(&mut open_1, Outcome::Completed);
    assert_eq!(first_run(&mut loader, &mut open_1).dylib, d(2));
    loader.completed(&mut open_1, Outcome::Threw("h".into()));
    let Finished { result, close: rest } = loader.finish_open(open_1);
    assert_eq!(result, Err(LoadError::Poisoned { dylib: d(2), initializer: "h".into() }));
    assert!(rest.is_none(), "finished dependencies stay initialized");
    let status = |loader: &Loader| [1, 2, 3].map(|dylib| loader.status(d(dylib)));
    assert_eq!(status(&loader), [Status::Unloaded, Status::Poisoned, Status::Ready]);
    // Another close finds that nobody holds 3. The poisoned one stays, exception and all.
    open(&mut loader, 4);
    assert_eq!(close(&mut loader, 4), ids(&[4, 3]));
    assert_eq!(status(&loader), [Status::Unloaded, Status::Poisoned, Status::Unloaded]);
    let mut unload = loader.begin_unload(d(2), ME).unwrap();
    assert!(matches!(loader.close_step(&mut unload), CloseStep::Discard(run) if run.dylib == d(2)));
    assert_eq!(undo(&mut loader, unload), []);
    assert_eq!(open(&mut loader, 1), ids(&[3, 2, 1]));
}

#[test]
fn rule_15_a_dylib_that_was_in_use_goes_with_its_last_holder() {
    let mut loader = loader(&[&[2], &[]]);
    open(&mut loader, 1);
    loader.add_code(d(2)).unwrap();
    assert!(matches!(open_and_throw(&mut loader, 2), LoadError::Poisoned { .. }));
    assert!(loader.begin_open(d(1), ME).is_err());
    assert_eq!(loader.begin_unload(d(2), ME).unwrap_err(), LoadError::InUse { dylib: d(2) });
    // Its run that threw is undone first, then 1's, then its first one.
    assert_eq!(close(&mut loader, 1), ids(&[2, 1, 2]));
    assert_eq!(open(&mut loader, 1), ids(&[2, 1]));
}

#[test]
fn rule_15_what_a_failed_open_left_over_can_be_unloaded_at_once() {
    let mut loader = loader(&[&[2, 3], &[], &[]]);
    let mut open_1 = loader.begin_open(d(1), ME).unwrap();
    first_run(&mut loader, &mut open_1);
    loader.completed(&mut open_1, Outcome::Completed);
    assert!(loader.abandon_open(open_1).is_none());
    assert_eq!(loader.begin_unload(d(1), ME).unwrap_err(), LoadError::NotOpen { dylib: d(1) });
    let unload = loader.begin_unload(d(2), ME).unwrap();
    assert_eq!(undo(&mut loader, unload), ids(&[2]));
}

#[test]
fn rule_16_an_open_cut_anywhere_converges_when_repeated() {
    for cut in 0..=4 {
        let mut loader = loader(&[&[2, 3], &[], &[4], &[]]);
        let mut first = loader.begin_open(d(1), ME).unwrap();
        let mut ran = Vec::new();
        for _ in 0..cut {
            ran.push(first_run(&mut loader, &mut first).dylib);
            loader.completed(&mut first, Outcome::Completed);
        }
        assert!(loader.abandon_open(first).is_none());
        assert_eq!(loader.count(d(1)), 0);
        ran.extend(open(&mut loader, 1));
        assert_eq!(ran, ids(&[2, 4, 3, 1]), "cut after {cut}");
        assert_eq!(close(&mut loader, 1), ids(&[1, 3, 4, 2]));
    }
}

#[test]
fn rule_16_an_open_abandoned_inside_an_initializer_poisons_it() {
    let mut loader = loader(&[&[]]);
    let mut open = loader.begin_open(d(1), ME).unwrap();
    first_run(&mut loader, &mut open);
    assert_eq!(loader.step(&mut open), Err(LoadError::StillRunning { dylib: d(1) }));
    assert!(loader.abandon_open(open).is_none());
    assert_eq!(loader.status(d(1)), Status::Poisoned);
}

#[test]
fn rule_18_a_count_taken_inside_a_failed_open_stays() {
    // 2's initializer opens 1, which is in progress, and keeps that handle when it throws.
    let mut loader = loader(&[&[3, 2], &[], &[], &[]]);
    let mut outer = loader.begin_open(d(1), ME).unwrap();
    assert_eq!(first_run(&mut loader, &mut outer).dylib, d(3));
    loader.completed(&mut outer, Outcome::Completed);
    assert_eq!(first_run(&mut loader, &mut outer).dylib, d(2));
    assert_eq!(open(&mut loader, 1), []);
    loader.completed(&mut outer, Outcome::Threw("f".into()));
    assert!(loader.finish_open(outer).result.is_err());
    assert_eq!((loader.count(d(1)), loader.status(d(1))), (1, Status::Pending));
    open(&mut loader, 4);
    assert_eq!(close(&mut loader, 4), ids(&[4]), "3 is held by 1, which is open");
    assert_eq!(close(&mut loader, 1), ids(&[3]));
    assert_eq!(loader.status(d(1)), Status::Unloaded);
}

#[test]
fn rule_18_opens_less_closes_and_dependencies_live_as_long_as_needed() {
    let mut loader = loader(&[&[3], &[3], &[]]);
    open(&mut loader, 1);
    open(&mut loader, 1);
    open(&mut loader, 2);
    assert_eq!((loader.count(d(1)), loader.count(d(3))), (2, 0));
    assert_eq!(close(&mut loader, 1), []);
    assert_eq!(close(&mut loader, 1), ids(&[1]));
    assert_eq!(loader.status(d(3)), Status::Ready);
    assert_eq!(close(&mut loader, 2), ids(&[2, 3]));
    assert_eq!(loader.status(d(3)), Status::Unloaded);
}

#[test]
fn rule_19_finalizers_run_in_exact_reverse_of_completion() {
    // 2's initializer opens 4, so the order of completion is 4, 2, 3, 1; new code of 3 runs last of all.
    let mut loader = loader(&[&[2, 3], &[], &[], &[]]);
    let mut outer = loader.begin_open(d(1), ME).unwrap();
    first_run(&mut loader, &mut outer);
    assert_eq!(open(&mut loader, 4), ids(&[4]));
    loader.completed(&mut outer, Outcome::Completed);
    drive(&mut loader, &mut outer).unwrap();
    assert_eq!(loader.finish_open(outer).result, Ok(d(1)));
    loader.add_code(d(3)).unwrap();
    assert_eq!(update(&mut loader, 1), (ids(&[3]), vec![]));
    assert_eq!(close(&mut loader, 1), ids(&[3, 1, 3, 2]));
    assert_eq!(close(&mut loader, 4), ids(&[4]));
}

#[test]
fn rule_19_a_cycle_goes_as_a_whole() {
    let mut loader = loader(&[&[2], &[3], &[2]]);
    assert_eq!(open(&mut loader, 1), ids(&[3, 2, 1]));
    open(&mut loader, 3);
    assert_eq!(close(&mut loader, 1), ids(&[1]));
    assert_eq!(close(&mut loader, 3), ids(&[2, 3]));
}

#[test]
fn rule_20_a_program_that_exits_undoes_everything() {
    // exit() from 3's initializer: what has completed is undone, what runs or waits is not.
    let mut loader = loader(&[&[2, 3], &[], &[], &[]]);
    open(&mut loader, 4);
    let mut outer = loader.begin_open(d(1), ME).unwrap();
    first_run(&mut loader, &mut outer);
    loader.completed(&mut outer, Outcome::Completed);
    assert_eq!(first_run(&mut loader, &mut outer).dylib, d(3));
    let mut waiting = loader.begin_open(d(3), OTHER).unwrap();
    assert_eq!(loader.step(&mut waiting), Ok(Step::Wait(d(3))));
    let shutdown = loader.begin_shutdown(ME);
    assert_eq!(undo(&mut loader, shutdown), ids(&[2, 4]));
    assert_eq!(loader.step(&mut waiting), Err(LoadError::ShutDown));
    loader.completed(&mut outer, Outcome::Completed);
    for open in [outer, waiting] {
        assert!(loader.abandon_open(open).is_none());
    }
    assert_eq!([1, 2, 3, 4].map(|dylib| loader.status(d(dylib))), [Status::Unloaded; 4]);
    assert_eq!(open(&mut loader, 1), ids(&[2, 3, 1]), "and it can begin again");
}

#[test]
fn rule_20_an_exit_from_a_finalizer_undoes_what_is_left_of_the_close() {
    let mut loader = loader(&[&[2], &[]]);
    open(&mut loader, 1);
    let mut first = loader.begin_close(d(1), ME).unwrap();
    assert!(matches!(loader.close_step(&mut first), CloseStep::Finalize(run) if run.dylib == d(1)));
    let shutdown = loader.begin_shutdown(ME);
    assert_eq!(undo(&mut loader, shutdown), ids(&[2]));
    assert_eq!(loader.close_step(&mut first), CloseStep::Done);
}

#[test]
fn rule_20_an_exit_leaves_nothing_that_a_close_could_take_back() {
    // exit() from 1's initializer; 2's finalizer then closes 1, whose open will never succeed.
    let mut loader = loader(&[&[2], &[]]);
    let mut outer = loader.begin_open(d(1), ME).unwrap();
    first_run(&mut loader, &mut outer);
    loader.completed(&mut outer, Outcome::Completed);
    first_run(&mut loader, &mut outer);
    let mut shutdown = loader.begin_shutdown(ME);
    assert!(matches!(loader.close_step(&mut shutdown), CloseStep::Finalize(run) if run.dylib == d(2)));
    assert_eq!(loader.begin_close(d(1), ME).err(), Some(LoadError::NotOpen { dylib: d(1) }));
    assert_eq!(undo(&mut loader, shutdown), []);
    assert!(loader.abandon_open(outer).is_none());
}

#[test]
fn rule_28_a_pinned_dylib_stays_until_the_program_ends() {
    let mut loader = loader(&[&[2], &[]]);
    assert_eq!(loader.pin(d(1)), Err(LoadError::NotOpen { dylib: d(1) }));
    let mut opening = loader.begin_open(d(1), ME).unwrap();
    drive(&mut loader, &mut opening).unwrap();
    assert_eq!(loader.pin(d(1)), Ok(()));
    // Also a close from inside the very open does not let it go.
    let inside = loader.begin_close(d(1), ME).unwrap();
    assert_eq!(undo(&mut loader, inside), []);
    let Finished { result, close: rest } = loader.finish_open(opening);
    assert_eq!((result, rest.is_none()), (Ok(d(1)), true));
    assert_eq!((loader.count(d(1)), loader.status(d(1))), (0, Status::Ready));
    assert_eq!(open(&mut loader, 1), []);
    assert_eq!(close(&mut loader, 1), [], "what it reaches stays too");
    assert_eq!(loader.begin_unload(d(1), ME).unwrap_err(), LoadError::InUse { dylib: d(1) });
    let shutdown = loader.begin_shutdown(ME);
    assert_eq!(undo(&mut loader, shutdown), ids(&[1, 2]));
    assert_eq!(open(&mut loader, 1), ids(&[2, 1]));
    assert_eq!(close(&mut loader, 1), ids(&[1, 2]), "a pin goes with the unload");
}

#[test]
fn rule_22_a_reopened_dylib_is_initialized_again() {
    let mut loader = loader(&[&[2], &[]]);
    for _ in 0..3 {
        assert_eq!(loader.add_code(d(2)), Ok(0), "code went with the memory");
        assert_eq!(open(&mut loader, 1), ids(&[2, 1]));
        assert_eq!(close(&mut loader, 1), ids(&[1, 2]));
    }
}

#[test]
fn rule_22_an_open_waits_for_an_unload_of_others_and_fails_in_its_own() {
    let mut loader = loader(&[&[2], &[]]);
    open(&mut loader, 1);
    let mut closing = loader.begin_close(d(1), ME).unwrap();
    assert!(matches!(loader.close_step(&mut closing), CloseStep::Finalize(_)));
    assert_eq!(loader.status(d(2)), Status::Unloading(ME));
    assert_eq!(loader.begin_open(d(1), ME).unwrap_err(), LoadError::UnloadCycle { dylib: d(2) });
    assert_eq!(loader.begin_open(d(2), OTHER).unwrap_err(), LoadError::Unloading { dylib: d(2), by: ME });
    let changes = loader.changes();
    assert_eq!(undo(&mut loader, closing), ids(&[2]));
    assert_ne!(loader.changes(), changes);
    assert_eq!(open(&mut loader, 2), ids(&[2]));
}

#[test]
fn rule_23_a_close_too_many_is_an_error() {
    let mut loader = loader(&[&[2], &[]]);
    let not_open = |dylib| Some(LoadError::NotOpen { dylib: d(dylib) });
    assert_eq!(loader.begin_close(d(1), ME).err(), not_open(1), "never opened");
    open(&mut loader, 1);
    assert_eq!(loader.begin_close(d(2), ME).err(), not_open(2), "a dependency only");
    assert_eq!(close(&mut loader, 1), ids(&[1, 2]));
    assert_eq!(loader.begin_close(d(1), ME).err(), not_open(1), "closed already");
    assert_eq!(loader.begin_close(d(7), ME).err(), Some(LoadError::Graph(GraphError::Unknown { dylib: d(7) })));
}

#[test]
fn rule_23_a_close_from_the_own_initializer_waits_until_it_has_returned() {
    let mut loader = loader(&[&[2], &[]]);
    let mut outer = loader.begin_open(d(1), ME).unwrap();
    first_run(&mut loader, &mut outer);
    loader.completed(&mut outer, Outcome::Completed);
    first_run(&mut loader, &mut outer);
    assert_eq!(loader.begin_close(d(1), OTHER).err(), Some(LoadError::NotOpen { dylib: d(1) }), "not theirs to close");
    let close = loader.begin_close(d(1), ME).unwrap();
    assert!(close.is_deferred());
    assert_eq!(undo(&mut loader, close), []);
    assert_eq!(loader.begin_close(d(1), ME).err(), Some(LoadError::NotOpen { dylib: d(1) }));
    assert_eq!(loader.status(d(1)), Status::Running(ME));
    loader.completed(&mut outer, Outcome::Completed);
    drive(&mut loader, &mut outer).unwrap();
    let Finished { result, close } = loader.finish_open(outer);
    assert_eq!(result, Ok(d(1)));
    assert_eq!(undo(&mut loader, close.unwrap()), ids(&[1, 2]));
    assert_eq!(loader.count(d(1)), 0);
}

#[test]
fn rule_25_an_update_runs_what_is_new_and_counts_nothing() {
    let mut loader = loader(&[&[2], &[], &[]]);
    assert_eq!(loader.begin_update(d(1), ME).unwrap_err(), LoadError::NotOpen { dylib: d(1) });
    open(&mut loader, 1);
    assert_eq!(update(&mut loader, 1), (vec![], vec![]));
    loader.add_code(d(1)).unwrap();
    loader.add_code(d(2)).unwrap();
    loader.set_link_order(d(1), &ids(&[2, 3])).unwrap();
    assert_eq!(update(&mut loader, 1), (ids(&[2, 3, 1]), vec![]));
    assert_eq!(loader.count(d(1)), 1);
    assert_eq!(close(&mut loader, 1), ids(&[1, 3, 2, 1, 2]));
}

#[test]
fn rule_26_new_links_are_initialized_and_old_ones_released() {
    let mut loader = loader(&[&[2], &[], &[], &[]]);
    open(&mut loader, 1);
    loader.set_link_order(d(1), &ids(&[3])).unwrap();
    assert_eq!(loader.status(d(2)), Status::Ready, "released by the next close or update, not before");
    assert_eq!(open(&mut loader, 1), ids(&[3]));
    assert_eq!(loader.status(d(2)), Status::Ready);
    assert_eq!(update(&mut loader, 1), (vec![], ids(&[2])));
    loader.set_link_order(d(1), &[]).unwrap();
    assert_eq!(close(&mut loader, 1), ids(&[3]), "also by a close that leaves the dylib open");
    assert_eq!(close(&mut loader, 1), ids(&[1]));
}

#[test]
fn dylibs_in_use_cannot_be_removed() {
    let mut loader = loader(&[&[2], &[]]);
    open(&mut loader, 1);
    assert_eq!(loader.remove(d(2)), Err(LoadError::InUse { dylib: d(2) }));
    close(&mut loader, 1);
    assert_eq!(loader.remove(d(2)), Ok(()));
    assert_eq!(open(&mut loader, 1), ids(&[1]));
    assert_eq!(loader.ensure(d(2)), Ok(true));
    assert_eq!(open(&mut loader, 1), ids(&[2]));
    assert_eq!(close(&mut loader, 1), []);
    assert_eq!(close(&mut loader, 1), ids(&[2, 1]));
}

#[test]
fn a_close_that_is_refused_leaves_everything_as_it_was() {
    let mut loader = Loader::new();
    let [main, dep, other] = [(); 3].map(|()| loader.add());
    loader.set_link_order(main, &[dep]).unwrap();
    let me = VisitorId(1);
    for root in [main, other] {
        let mut open = loader.begin_open(root, me).unwrap();
        while let Step::Run(_) = loader.step(&mut open).unwrap() {
            loader.completed(&mut open, Outcome::Completed);
        }
        assert_eq!(loader.finish_open(open).result, Ok(root));
    }
    // What is left over by a changed link order is not lost either.
    loader.set_link_order(main, &[]).unwrap();
    let mut asked = Vec::new();
    let refused = loader.begin_close_if(main, me, |dylibs| {
        asked = dylibs.to_vec();
        false
    });
    assert!(refused.unwrap().is_none());
    asked.sort_unstable();
    assert_eq!(asked, [main, dep]);
    assert_eq!((loader.count(main), loader.status(main), loader.status(dep)), (1, Status::Ready, Status::Ready));
    let close = loader.begin_close(other, me).unwrap();
    let mut gone = close.dylibs().to_vec();
    gone.sort_unstable();
    assert_eq!(gone, [dep, other], "what nobody links to any more goes with the next close");
    let close = loader.begin_close_if(main, me, |dylibs| dylibs == [main]).unwrap().expect("agreed to");
    assert_eq!((close.dylibs(), loader.count(main)), (&[main][..], 0));
}
