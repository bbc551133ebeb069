//! Is each rule refuted by a trace that breaks it, and by no other rule with it, unless that says the same?
//!
//! A check that cannot fail proves nothing. Each trace below keeps every rule up to its last event, and that breaks exactly the rules that are named.

use dylib_graph::init::InitSection;
use dylib_graph::scope::Scope;
use dylib_graph::trace::{Call, Definition, Described, Event, Kind, Mode, Resolved, Trace};
use dylib_graph::{DylibId, VisitorId, rules};

use Call::{Close, Cut, Exit, Open, Update};
use Event::{FiniEnd, Leave, Waited};

const ME: u64 = 0;
const OTHER: u64 = 1;

fn d(number: u32) -> DylibId {
    DylibId::new(number).unwrap()
}

fn ids(numbers: &[u32]) -> Vec<DylibId> {
    numbers.iter().map(|&number| d(number)).collect()
}

/// The last of `events` must break the rules of these names, and nothing anything before.
#[track_caller]
fn refuted_by(names: &[&str], links: &[&[u32]], events: &[(u64, Event)]) {
    let links: Vec<Vec<_>> = links.iter().map(|links| ids(links)).collect();
    let events: Vec<_> = events.iter().map(|(visitor, event)| (VisitorId(*visitor), event.clone())).collect();
    let trace = Trace { links, events };
    let mut found = Vec::new();
    for (name, rule) in rules::ALL {
        if let Err(refuted) = trace.check(&[(name, rule)]) {
            assert_eq!(refuted.at + 1, trace.events.len(), "{refuted}");
            found.push(name);
        }
    }
    assert_eq!(found, names);
    let refuted = rules::check(&trace).unwrap_err();
    let said = refuted.to_string();
    assert_eq!(refuted.rule, names[0]);
    assert!(said.contains(rules::sentence(names[0]).unwrap()), "{said}");
    assert!(trace.events.len() < 2 || said.contains("\n  0 visitor-"), "{said}");
}

/// As [`refuted_by`], all on one thread.
#[track_caller]
fn refuted(names: &[&str], links: &[&[u32]], events: &[&[Event]]) {
    let events: Vec<_> = events.iter().copied().flatten().map(|event| (ME, event.clone())).collect();
    refuted_by(names, links, &events);
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

fn fini(dylib: u32) -> Event {
    Event::Fini { dylib: d(dylib) }
}

fn unload(dylibs: &[u32]) -> Event {
    Event::Unload { dylibs: ids(dylibs) }
}

fn release(dylibs: &[u32]) -> Event {
    Event::Release { dylibs: ids(dylibs) }
}

fn place(dylib: u32) -> Event {
    Event::Place { dylib: d(dylib) }
}

fn mode(mode: Mode) -> Event {
    Event::Mode { mode }
}

fn error(text: &str, names: &[u32]) -> Event {
    Event::Error { text: text.into(), names: ids(names) }
}

fn taken(text: Option<&str>) -> Event {
    Event::Taken { text: text.map(str::to_owned) }
}

fn wait(root: u32, dylib: u32) -> Event {
    Event::Wait { root: d(root), dylib: d(dylib) }
}

fn define(dylib: u32, symbol: &str, kind: Kind, at: u64) -> Event {
    Event::Define { dylib: d(dylib), definition: Definition { symbol: symbol.into(), kind, at } }
}

fn unify(dylib: u32, symbol: &str, owner: u32) -> Event {
    Event::Unify { dylib: d(dylib), symbol: symbol.into(), owner: d(owner) }
}

/// An open of `dylib-1` that runs these, in order.
fn opened(runs: &[u32]) -> Vec<Event> {
    let runs = runs.iter().flat_map(|&dylib| [init(dylib), done(dylib)]);
    [begin(Open, 1)].into_iter().chain(runs).chain([end(Open, 1, true)]).collect()
}

#[test]
fn rule_01_is_refuted_by_llvm_19s_order() {
    // main:[B, C], C:[B], and C comes before B.
    refuted(&["1: dependencies first"], &[&[2, 3], &[], &[2]], &[&[begin(Open, 1), init(3)]]);
}

#[test]
fn rule_02_and_03_are_refuted_by_the_wrong_order_of_links() {
    let both = ["2: depth-first, in link order", "3: repeated links mean nothing"];
    refuted(&both, &[&[2, 3], &[], &[]], &[&[begin(Open, 1), init(3), done(3), init(2)]]);
    // A loader that goes by the last mention of a link, or by a self-link, would come out like this.
    refuted(&both, &[&[2, 3, 2], &[], &[]], &[&[begin(Open, 1), init(3), done(3), init(2)]]);
}

#[test]
fn rule_03_is_refuted_by_two_traces_that_part() {
    let trace = |runs: &[u32]| Trace {
        links: vec![ids(&[2, 3]), vec![], vec![]],
        events: opened(runs).into_iter().map(|event| (VisitorId(ME), event)).collect(),
    };
    assert_eq!(rules::rule_3_same(&trace(&[2, 3, 1]), &trace(&[2, 3, 1]), |dylib| dylib), Ok(()));
    let parted = rules::rule_3_same(&trace(&[2, 3, 1]), &trace(&[3, 2, 1]), |dylib| dylib).unwrap_err();
    assert_eq!(parted, "initializers part at 0: Some(dylib-2) and Some(dylib-3)");
    assert!(rules::rule_3_same(&trace(&[2, 3, 1]), &trace(&[2, 3]), |dylib| dylib).is_err());
}

#[test]
fn rule_04_is_refuted_by_a_second_run_a_missing_one_and_one_too_many() {
    refuted(&["4: exactly once"], &[&[]], &[&opened(&[1]), &[begin(Open, 1), init(1)]]);
    let missing = ["4: everything, and nothing else", "8: an inner open is complete"];
    refuted(&missing, &[&[2], &[]], &[&[begin(Open, 1), init(2), done(2), end(Open, 1, true)]]);
    refuted(&["4: everything, and nothing else"], &[&[], &[]], &[&[begin(Open, 1), init(2)]]);
}

#[test]
fn rule_06_is_refuted_by_wrong_orders_inside_a_dylib() {
    let array = |name, object, entry| Event::Initializer {
        dylib: d(1),
        batch: 0,
        section: InitSection::from_name(name, object, 0).unwrap(),
        entry,
    };
    let wrong = [
        // LLVM 19 runs objects of equal priority in reverse.
        [array(".init_array", 1, 0), array(".init_array", 0, 0)],
        [array(".init_array", 0, 0), array(".init_array.101", 1, 0)],
        [array(".init_array", 0, 1), array(".init_array", 0, 0)],
        [array(".init_array", 0, 0), array(".init_array", 0, 0)],
        [array(".ctors", 0, 0), array(".ctors", 0, 1)],
        [array(".init_array.101", 0, 0), array(".preinit_array", 0, 0)],
    ];
    for events in wrong {
        refuted(&["6: the order inside a dylib"], &[&[]], &[&[begin(Open, 1), init(1)], &events]);
    }
    refuted(&["6: the order inside a dylib"], &[&[]], &[&[begin(Open, 1), array(".init_array", 0, 0)]]);
    let program = Event::Program { dylib: d(2) };
    let preinit = [program, begin(Open, 1), init(1), array(".preinit_array", 0, 0)];
    refuted(&["6: the order inside a dylib"], &[&[], &[]], &[&preinit]);
}

#[test]
fn rules_07_to_11_are_refuted_by_wrong_inner_opens() {
    let links: &[&[u32]] = &[&[2, 3], &[], &[]];
    refuted(&["7: what is in progress is left alone"], links, &[&[begin(Open, 1), init(2), begin(Open, 1), init(3)]]);
    let incomplete = [begin(Open, 1), init(2), begin(Open, 3), end(Open, 3, true)];
    refuted(&["8: an inner open is complete"], links, &[&incomplete]);
    let failed_inside = [begin(Open, 1), init(1), begin(Open, 2), init(2), threw(2), end(Open, 2, false), done(1)];
    refuted(&["9: failures have a reason"], &[&[], &[]], &[&failed_inside, &[end(Open, 1, false)]]);
    let code = Event::Code { dylib: d(1) };
    refuted(&["10: new code waits for the next open"], &[&[]], &[&[begin(Open, 1), init(1), code, done(1), init(1)]]);
    let twice = [(ME, begin(Open, 1)), (ME, init(1)), (OTHER, begin(Open, 1)), (OTHER, init(1))];
    refuted_by(&["11: one visitor initializes"], &[&[]], &twice);
}

#[test]
fn rule_12_is_refuted_by_waits_for_what_is_not_needed_or_will_not_come() {
    let name = ["12: opens get on side by side"];
    refuted_by(
        &name,
        &[&[], &[]],
        &[(OTHER, begin(Open, 2)), (OTHER, init(2)), (ME, begin(Open, 1)), (ME, wait(1, 2))],
    );
    // What glibc does: an initializer joins a thread that wants a dylib which comes later in the open that is waiting.
    let joined = [
        (ME, begin(Open, 1)),
        (ME, init(2)),
        (ME, Event::Start { thread: VisitorId(OTHER) }),
        (ME, Event::Join { thread: VisitorId(OTHER) }),
        (OTHER, begin(Open, 3)),
        (OTHER, wait(3, 3)),
    ];
    refuted_by(&name, &[&[2, 3], &[], &[]], &joined);
    let early = [(OTHER, begin(Open, 1)), (ME, Event::Joined { thread: VisitorId(OTHER) })];
    refuted_by(&name, &[&[]], &early);
}

#[test]
fn rule_13_is_refuted_by_a_cycle_of_waits() {
    let two = [
        (ME, begin(Open, 1)),
        (ME, init(1)),
        (OTHER, begin(Open, 2)),
        (OTHER, init(2)),
        (ME, begin(Open, 2)),
        (ME, wait(2, 2)),
        (OTHER, begin(Open, 1)),
        (OTHER, wait(1, 1)),
    ];
    refuted_by(&["13: no cycle of waits"], &[&[], &[]], &two);
    // Not when the first wait is over.
    let mut over = two.to_vec();
    over.insert(6, (ME, Waited));
    over.push((OTHER, Event::Code { dylib: d(1) }));
    let events = over.into_iter().map(|(visitor, event)| (VisitorId(visitor), event)).collect();
    rules::check(&Trace { links: vec![vec![], vec![]], events }).unwrap();
    refuted(&["13: no cycle of waits"], &[&[]], &[&[begin(Open, 1), init(1), begin(Open, 1), wait(1, 1)]]);
}

#[test]
fn rule_14_is_refuted_by_what_a_refused_open_leaves() {
    let placed = ["14: placed before anything runs"];
    let links: &[&[u32]] = &[&[2], &[]];
    refuted(&placed, links, &[&[begin(Open, 1), place(2), init(2)]]);
    let refused = [begin(Open, 1), place(2), Event::Unplaceable { dylib: d(1) }];
    refuted(&placed, links, &[&refused, &[init(2)]]);
    refuted(&placed, links, &[&refused, &[end(Open, 1, false)]]);
    let given_back = [Event::Displace { dylib: d(2) }];
    let count = |count| Event::Count { dylib: d(1), count };
    let ended = [&refused[..], &given_back, &[end(Open, 1, false)]].concat();
    refuted(&["14: failures do not count"], links, &[&ended, &[count(1)]]);
    refuted(&["14: failures do not count"], &[&[]], &[&opened(&[1]), &[count(0)]]);
}

#[test]
fn rule_14_is_refuted_by_another_message_or_a_success_without_a_cause() {
    let unplaceable = Event::Unplaceable { dylib: d(1) };
    let failed = |text| [begin(Open, 1), unplaceable.clone(), error(text, &[1]), end(Open, 1, false)];
    let name = ["14: the same failure again"];
    refuted(&name, &[&[]], &[&failed("no f"), &failed("no g")]);
    let succeeds = [begin(Open, 1), end(Open, 1, true)];
    let names = ["4: everything, and nothing else", "8: an inner open is complete", "14: the same failure again"];
    refuted(&names, &[&[]], &[&failed("no f"), &succeeds]);
    let mended = Event::Cause { dylib: d(1), mended: true };
    let fixed = [&failed("no f")[..], &[mended], &failed("no g")].concat();
    let events = fixed.into_iter().map(|event| (VisitorId(ME), event)).collect();
    rules::check(&Trace { links: vec![vec![]], events }).unwrap();
}

#[test]
fn rule_15_is_refuted_by_a_retry_that_succeeds_without_the_constructors() {
    let failed = [begin(Open, 1), init(1), threw(1), end(Open, 1, false), begin(Open, 1)];
    let succeeds = [
        "4: everything, and nothing else",
        "8: an inner open is complete",
        "14: the same failure again",
        "15: poisoned until unloaded",
    ];
    refuted(&succeeds, &[&[]], &[&failed, &[end(Open, 1, true)]]);
    refuted(&["15: poisoned until unloaded"], &[&[]], &[&failed, &[init(1)]]);
}

#[test]
fn rule_16_is_refuted_by_an_open_that_does_not_recover() {
    let cut = [begin(Cut, 1), end(Cut, 1, false)];
    let names = ["9: failures have a reason", "16: a cut open converges"];
    refuted(&names, &[&[]], &[&cut, &[begin(Open, 1), end(Open, 1, false)]]);
    refuted(&["16: a cut open converges"], &[&[2], &[]], &[&[begin(Cut, 1), init(2), done(2), end(Cut, 1, true)]]);
}

#[test]
fn rule_17_is_refuted_by_errors_of_others_lost_repeated_or_empty() {
    let once = ["17: each thread's error, once"];
    let failed = [begin(Close, 1), error("dylib-1 is not open", &[1]), end(Close, 1, false)];
    refuted(&once, &[&[]], &[&failed, &[taken(None)]]);
    refuted(&once, &[&[]], &[&failed, &[taken(Some("something else"))]]);
    refuted(&once, &[&[]], &[&failed, &[taken(Some("dylib-1 is not open")), taken(Some("dylib-1 is not open"))]]);
    refuted(&once, &[&[]], &[&failed, &opened(&[1]), &[taken(None)]]);
    // A global dlerror.
    let mine: Vec<_> = failed.iter().map(|event| (ME, event.clone())).collect();
    let theirs = (OTHER, taken(Some("dylib-1 is not open")));
    refuted_by(&once, &[&[]], &[mine, vec![theirs]].concat());
    // Also where the trace does not tell of errors.
    refuted(&once, &[&[]], &[&[begin(Close, 1), end(Close, 1, false), taken(None)]]);
    let names = ["17: errors name what failed"];
    refuted(&names, &[&[], &[]], &[&failed, &[begin(Close, 2), end(Close, 2, false)]]);
    refuted(&names, &[&[], &[]], &[&[begin(Close, 2), error("no", &[1]), end(Close, 2, false)]]);
    let lookup = Event::Lookup { scope: Scope::Default, asking: None, symbol: "memcpy".into(), found: None };
    refuted(&names, &[&[]], &[&[error("something is not defined", &[]), lookup]]);
}

#[test]
fn rule_18_is_refuted_by_wrong_counts_and_early_unloads() {
    let count = ["18: opens less closes"];
    let links: &[&[u32]] = &[&[2], &[]];
    let opened = opened(&[2, 1]);
    refuted(&count, links, &[&[begin(Close, 1), end(Close, 1, true)]]);
    refuted(&count, links, &[&opened, &[begin(Close, 1), end(Close, 1, false)]]);
    refuted(&count, links, &[&opened, &[begin(Close, 2), end(Close, 2, true)]]);
    refuted(&["18: dependencies live"], links, &[&opened, &[begin(Close, 2), unload(&[2])]]);
}

#[test]
fn rule_19_is_refuted_by_wrong_orders_of_finalizers_and_handlers() {
    let name = ["19: exact reverse"];
    let links: &[&[u32]] = &[&[2], &[]];
    let opened = opened(&[2, 1]);
    let closing = [begin(Close, 1), unload(&[1, 2])];
    refuted(&name, links, &[&opened, &closing, &[fini(2)]]);
    refuted(&name, links, &[&opened, &closing, &[release(&[1, 2])]]);
    let all = [fini(1), FiniEnd { dylib: d(1) }, fini(2), FiniEnd { dylib: d(2) }];
    refuted(&name, links, &[&opened, &closing, &all, &[release(&[1])]]);
    let at_exit = |handler| Event::AtExit { dylib: d(1), handler };
    let runs = |handler| Event::Handler { dylib: d(1), handler };
    let returns = |handler| Event::HandlerEnd { dylib: d(1), handler };
    let registered = [begin(Open, 1), init(1), at_exit(1), at_exit(2), done(1), end(Open, 1, true)];
    let closing = [begin(Close, 1), unload(&[1])];
    refuted(&name, &[&[]], &[&registered, &closing, &[runs(2)]]);
    let finalized = [fini(1), FiniEnd { dylib: d(1) }];
    refuted(&name, &[&[]], &[&registered, &closing, &finalized, &[runs(1)]]);
    // What a handler registers runs before the older ones.
    let registers = [runs(2), at_exit(3), returns(2), runs(1)];
    refuted(&name, &[&[]], &[&registered, &closing, &finalized, &registers]);
    refuted(&name, &[&[]], &[&registered, &closing, &finalized, &[runs(2), returns(2), release(&[1])]]);
}

#[test]
fn rule_20_is_refuted_by_handlers_of_others_and_by_exits_that_leave_something() {
    let name = ["20: handlers belong to who registers"];
    let links: &[&[u32]] = &[&[2], &[]];
    let at_exit = Event::AtExit { dylib: d(2), handler: 1 };
    refuted(&name, links, &[&[begin(Open, 1), init(2), done(2), init(1), at_exit.clone()]]);
    let registered = [begin(Open, 1), init(2), at_exit, done(2), init(1), done(1), end(Open, 1, true)];
    let runs = |handler| Event::Handler { dylib: d(2), handler };
    // It runs though nothing is unloaded: also against the order of rule 19, which has nothing to undo.
    refuted(&["19: exact reverse", name[0]], links, &[&registered, &[begin(Close, 1), runs(1)]]);
    refuted(&["19: exact reverse", name[0]], links, &[&registered, &[begin(Close, 1), unload(&[1, 2]), runs(7)]]);
    let exit = ["20: exit undoes everything"];
    refuted(&exit, links, &[&opened(&[2, 1]), &[begin(Exit, 1), unload(&[1])]]);
    refuted(&exit, links, &[&opened(&[2, 1]), &[begin(Exit, 1), end(Exit, 1, true)]]);
}

#[test]
fn rule_21_is_refuted_by_destructors_on_other_threads_too_late_or_twice() {
    let name = ["21: objects of threads go first"];
    let made = |object| Event::ThreadLocal { dylib: d(1), object };
    let destroyed = |object| Event::ThreadLocalEnd { dylib: d(1), object };
    let has = [begin(Open, 1), init(1), made(1), made(2), done(1), end(Open, 1, true)];
    let has_of_me: Vec<_> = has.iter().map(|event| (ME, event.clone())).collect();
    refuted_by(&name, &[&[]], &[has_of_me, vec![(OTHER, destroyed(2))]].concat());
    refuted(&name, &[&[]], &[&has, &[destroyed(1)]]);
    refuted(&name, &[&[]], &[&has, &[destroyed(2), destroyed(2)]]);
    let closed = [begin(Close, 1), unload(&[1]), destroyed(2), fini(1), FiniEnd { dylib: d(1) }, release(&[1])];
    refuted(&name, &[&[]], &[&has, &closed]);
}

#[test]
fn rule_22_is_refuted_by_runs_on_the_way_out_and_by_old_data() {
    let links: &[&[u32]] = &[&[2], &[]];
    let closing = [begin(Close, 1), unload(&[1, 2]), begin(Open, 2)];
    refuted(&["4: exactly once", "22: unloaded is forgotten"], links, &[&opened(&[2, 1]), &closing, &[init(2)]]);
    let touch = |before| Event::Touch { dylib: d(1), before };
    let touched = [begin(Open, 1), init(1), touch(0), touch(1), done(1), end(Open, 1, true)];
    let closed = [begin(Close, 1), unload(&[1]), fini(1), FiniEnd { dylib: d(1) }, release(&[1]), end(Close, 1, true)];
    refuted(&["22: pristine data"], &[&[]], &[&touched, &closed, &[begin(Open, 1), init(1), touch(2)]]);
}

#[test]
fn rule_23_is_refuted_by_an_unload_under_an_initializer() {
    let links: &[&[u32]] = &[&[2], &[]];
    refuted(&["23: nobody inside is unloaded"], links, &[&[begin(Open, 1), init(2), begin(Close, 2), unload(&[2])]]);
}

#[test]
fn rule_24_is_refuted_by_memory_that_goes_under_a_thread() {
    let name = ["24: memory stays while a thread is inside"];
    let opened: Vec<_> = opened(&[1]).into_iter().map(|event| (ME, event)).collect();
    let enter = (OTHER, Event::Enter { dylib: d(1) });
    let closing = [begin(Close, 1), unload(&[1]), fini(1), FiniEnd { dylib: d(1) }].map(|event| (ME, event));
    let inside = [&opened[..], &[enter], &closing].concat();
    let me = |event| vec![(ME, event)];
    refuted_by(&name, &[&[]], &[inside.clone(), me(release(&[1]))].concat());
    // Parked, it may be released, but neither freed nor run in before the last has left.
    let parked = [inside.clone(), me(Event::Park { dylib: d(1) }), me(release(&[1])), me(end(Close, 1, true))].concat();
    refuted_by(&name, &[&[]], &[parked.clone(), me(Event::Free { dylib: d(1) })].concat());
    refuted_by(&name, &[&[]], &[parked.clone(), me(begin(Open, 1)), me(init(1))].concat());
    let left = [parked, vec![(OTHER, Leave { dylib: d(1) })], me(Event::Free { dylib: d(1) })].concat();
    refuted_by(&name, &[&[]], &[left, me(Event::Free { dylib: d(1) })].concat());
    // An unload that waits is right too.
    let waits = [inside, vec![(OTHER, Leave { dylib: d(1) })], me(release(&[1]))].concat();
    let events = waits.into_iter().map(|(visitor, event)| (VisitorId(visitor), event)).collect();
    rules::check(&Trace { links: vec![vec![]], events }).unwrap();
}

#[test]
fn rules_25_and_26_are_refuted_by_updates_of_closed_dylibs_and_by_leftovers() {
    let closed = ["25: updates need an open dylib"];
    refuted(
        &closed,
        &[&[], &[1]],
        &[
            &[begin(Open, 2), init(1), done(1), init(2), done(2), end(Open, 2, true)],
            &[begin(Update, 1), end(Update, 1, true)],
        ],
    );
    let nothing = [begin(Close, 1), end(Close, 1, true)];
    refuted(&["26: nothing unheld stays"], &[&[]], &[&opened(&[1]), &nothing]);
}

#[test]
fn rule_27_is_refuted_by_the_wrong_scope_or_order() {
    let name = ["27: the first in the scope"];
    let links: &[&[u32]] = &[&[2, 3], &[], &[4], &[]];
    let lookup = |scope, asking: Option<u32>, found: Option<u32>| Event::Lookup {
        scope,
        asking: asking.map(d),
        symbol: "f".into(),
        found: found.map(d),
    };
    let defined = [define(4, "f", Kind::Strong, 0), define(3, "f", Kind::Weak, 0), define(2, "f", Kind::Hidden, 0)];
    let handle = Scope::Handle(d(1));
    refuted(&name, links, &[&defined, &[lookup(handle, None, Some(4))]]);
    refuted(&name, links, &[&defined, &[lookup(handle, None, Some(2))]]);
    refuted(&name, links, &[&defined, &[lookup(handle, None, None)]]);
    let program = [Event::Program { dylib: d(1) }];
    refuted(&name, links, &[&defined, &program, &[lookup(Scope::Default, Some(4), Some(4))]]);
    refuted(&name, links, &[&defined, &program, &[lookup(Scope::Next, Some(3), Some(3))]]);
    // LOCAL is not searched by others, GLOBAL is.
    let open = |flags| [begin(Open, 4), mode(flags), init(4), done(4), end(Open, 4, true)];
    let global = Mode { global: true, ..Mode::default() };
    refuted(&name, links, &[&defined, &open(Mode::default()), &[lookup(Scope::Default, None, Some(4))]]);
    refuted(&name, links, &[&defined, &open(global), &[lookup(Scope::Default, None, None)]]);
    let weak = ["27: weak and undefined is null"];
    let refer = |found: Option<u32>| Event::Refer { dylib: d(2), symbol: "g".into(), found: found.map(d) };
    refuted(&weak, links, &[&[define(3, "g", Kind::Strong, 0), refer(Some(3))]]);
    refuted(&weak, links, &[&[define(2, "g", Kind::Hidden, 0), refer(None)]]);
}

#[test]
fn rule_28_is_refuted_by_modes_that_are_not_kept() {
    let name = ["28: modes"];
    let noload = mode(Mode { noload: true, ..Mode::default() });
    refuted(&name, &[&[]], &[&[begin(Open, 1), noload.clone(), init(1)]]);
    refuted(
        &["4: everything, and nothing else", "8: an inner open is complete", name[0]],
        &[&[]],
        &[&[begin(Open, 1), noload, end(Open, 1, true)]],
    );
    let nodelete = mode(Mode { nodelete: true, ..Mode::default() });
    let kept = [begin(Open, 1), nodelete, init(1), done(1), end(Open, 1, true), begin(Close, 1)];
    refuted(&["18: dependencies live", name[0]], &[&[]], &[&kept, &[unload(&[1])]]);
    let null = mode(Mode { null: true, ..Mode::default() });
    refuted(&name, &[&[], &[]], &[&[Event::Program { dylib: d(2) }, begin(Open, 1), null]]);
}

#[test]
fn rule_28_is_refuted_by_wrong_descriptions_of_addresses() {
    let name = ["28: addresses"];
    let described = |said: Option<(u32, Option<(&str, u64)>)>| Event::Describe {
        dylib: d(1),
        at: 24,
        said: said.map(|(dylib, symbol)| Described {
            dylib: d(dylib),
            symbol: symbol.map(|(symbol, distance)| (symbol.to_owned(), distance)),
        }),
    };
    let defined = [define(1, "f", Kind::Strong, 8), define(1, "g", Kind::Hidden, 16), define(1, "h", Kind::Strong, 32)];
    let placed = [begin(Open, 1), place(1)];
    for wrong in
        [None, Some((2, Some(("g", 8)))), Some((1, Some(("f", 16)))), Some((1, Some(("g", 9)))), Some((1, None))]
    {
        refuted(&name, &[&[], &[]], &[&defined, &placed, &[described(wrong)]]);
    }
    refuted(&name, &[&[], &[]], &[&defined, &[begin(Open, 2), place(2)], &[described(Some((1, Some(("g", 8)))))]]);
}

#[test]
fn rule_29_is_refuted_by_the_system_before_ours() {
    let name = ["29: our names first"];
    let named = Event::Named { dylib: d(1), name: "libm.so.6".into() };
    let resolve = |name: &str, to| Event::Resolve { name: name.into(), to };
    refuted(&name, &[&[]], &[&[named.clone(), resolve("libm.so.6", Resolved::System)]]);
    refuted(&name, &[&[]], &[&[named.clone(), resolve("libm.so.6", Resolved::Nobody)]]);
    refuted(&name, &[&[]], &[&[named, resolve("libc.so.6", Resolved::Dylib(d(1)))]]);
}

#[test]
fn rule_30_is_refuted_by_definitions_that_are_not_one() {
    let name = ["30: one definition for all"];
    // dylib-1 is the program and needs 2; 3 needs 4.
    let links: &[&[u32]] = &[&[2], &[], &[4], &[]];
    let group = || Kind::Group("g".into());
    let placed = [Event::Program { dylib: d(1) }, begin(Open, 1), place(1), place(2), place(3), place(4)];
    let weak = [define(2, "x", Kind::Weak, 0), define(3, "x", Kind::Weak, 0), define(4, "x", Kind::Strong, 0)];
    refuted(&name, links, &[&weak, &placed, &[unify(3, "x", 3)]]);
    refuted(&name, links, &[&weak, &placed, &[unify(3, "x", 4)]]);
    refuted(&name, links, &[&weak, &placed, &[unify(4, "x", 2)]]);
    refuted(&name, links, &[&weak, &[Event::Apart { dylib: d(3) }], &placed, &[unify(3, "x", 2)]]);
    // Who stands apart lends all the same.
    refuted(&name, links, &[&weak, &[Event::Apart { dylib: d(2) }], &placed, &[unify(3, "x", 3)]]);
    // A unique symbol is one also between dylibs that do not know each other.
    let unique = [define(3, "u", Kind::Unique, 0), define(4, "u", Kind::Hidden, 0)];
    let links_apart: &[&[u32]] = &[&[], &[], &[], &[]];
    let both = [define(2, "u", Kind::Unique, 0), define(3, "u", Kind::Unique, 0)];
    let first = [begin(Open, 2), place(2), place(3), unify(2, "u", 2)];
    refuted(&name, links_apart, &[&both, &first, &[unify(3, "u", 3)]]);
    refuted(&name, links, &[&unique, &placed, &[unify(3, "u", 4)]]);
    // A group stands or yields as a whole.
    let grouped = [define(3, "a", group(), 0), define(3, "b", group(), 8), define(2, "a", group(), 0)];
    refuted(&name, links, &[&grouped, &placed, &[unify(3, "a", 2), unify(3, "b", 3)]]);
    refuted(&name, links, &[&grouped, &placed, &[unify(3, "c", 3)]]);
}
