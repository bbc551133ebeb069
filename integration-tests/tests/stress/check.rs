//! What has to hold of what linked code has told.

use crate::world::{Line, Told};
use dylib_graph::trace::{Call, Event, Rule, Trace};
use dylib_graph::{DylibId, VisitorId, rules};
use std::collections::HashMap;

/// The rules that hold of events as threads outside see them: a call begins some time before the loader hears of it, and ends some time after,
/// so that what depends on who had which count at a moment cannot be told.
const RULES: [(&str, Rule); 6] = [
    ("1: dependencies first", rules::rule_1),
    ("2: depth-first, in link order", rules::rule_2),
    ("3: repeated links mean nothing", rules::rule_3),
    ("4: exactly once", rules::rule_4_once),
    ("11: one visitor initializes", rules::rule_11),
    ("22: unloaded is forgotten", rules::rule_22),
];

pub(crate) struct Checks {
    /// By the number of the dylib.
    pub(crate) links: Vec<Vec<DylibId>>,
    pub(crate) seed: u64,
}

impl Checks {
    /// Between two unloads each dylib is initialized once, on pristine data; what was added comes in between; in the end all is undone.
    pub(crate) fn alternates(&self, trace: &[Line]) {
        let mut told: Vec<Told> =
            trace.iter().filter_map(|line| if let Line::Code(told) = line { Some(*told) } else { None }).collect();
        assert!(!told.is_empty(), "nothing ran");
        // The order in which code did it, whatever the order in which that was heard.
        told.sort_unstable_by_key(|told| told.number);
        let mut next: HashMap<u32, u32> = HashMap::new();
        for told in told {
            let seed = self.seed;
            let next = next.entry(told.dylib).or_insert(0);
            if told.what == 4 {
                assert!(
                    *next == 2 && told.balance == 1,
                    "added code runs while its dylib is initialized: {told:?}, seed {seed}"
                );
                continue;
            }
            assert_eq!(told.what, *next, "what comes next of it is {next}: {told:?}, seed {seed}");
            let found = u32::from(matches!(told.what, 1 | 2));
            assert_eq!(told.balance, found, "what it finds in its data: {told:?}, seed {seed}");
            *next = (*next + 1) % 4;
        }
        let open: Vec<_> = next.iter().filter(|(_, next)| **next != 0).collect();
        assert!(open.is_empty(), "everything is closed, but these are not finalized: {open:?}, seed {}", self.seed);
    }

    /// The rules, of a time in which no link order changed.
    pub(crate) fn rules(&self, trace: &[Line]) {
        let visitor = |thread: usize| VisitorId(thread as u64);
        let mut threads: HashMap<u32, VisitorId> = HashMap::new();
        let mut events = Vec::new();
        for line in trace {
            match *line {
                Line::Runs(thread, number) => {
                    threads.insert(number, visitor(thread));
                }
                Line::Begin(thread, call, dylib) => events.push((visitor(thread), Event::Begin { call, dylib })),
                Line::End(thread, call, dylib) => events.push((visitor(thread), Event::End { call, dylib, ok: true })),
                Line::Code(told) => {
                    let by = *threads.get(&told.thread).expect("a thread of this test");
                    let dylib = DylibId::new(told.dylib).expect("not zero");
                    match told.what {
                        0 => events.push((by, Event::Init { dylib })),
                        1 => events.push((by, Event::InitEnd { dylib, ok: true })),
                        // What goes with it is not told: each goes by itself.
                        2 => events.extend(
                            [Event::Unload { dylibs: vec![dylib] }, Event::Fini { dylib }].map(|event| (by, event)),
                        ),
                        3 => events.extend(
                            [Event::FiniEnd { dylib }, Event::Release { dylibs: vec![dylib] }].map(|event| (by, event)),
                        ),
                        _ => {}
                    }
                }
            }
        }
        let opens = events.iter().filter(|(_, event)| matches!(event, Event::End { call: Call::Open, .. })).count();
        assert!(opens > 0, "nothing was opened");
        let trace = Trace { events, ..Trace::new(&self.links) };
        trace.check(&RULES).unwrap_or_else(|refuted| panic!("seed {}: {refuted}", self.seed));
    }
}
