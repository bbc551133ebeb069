//! The rules of opening and closing, one function each; the numbers and sentences are those of the crate's documentation.
//!
//! You give what happened before an event, and the event; a rule says what is wrong with it. [`check`] asks all of them of a whole trace. Not
//! for rule 5, the cost, which no trace can show: measure that.
//!
//! A loader of your own is checked by its trace. It may tell as little as opens and closes; a rule about something that it does not tell holds.
//!
//! ```
//! use dylib_graph::trace::{Call, Event, Trace};
//! use dylib_graph::{DylibId, VisitorId, rules};
//!
//! /// Somebody's loader: it runs the links of `root` from the last to the first, as LLVM 19's runtime does.
//! fn open(links: &[Vec<DylibId>], root: DylibId, done: &mut Vec<DylibId>, trace: &mut Vec<(VisitorId, Event)>) {
//!     for &link in links[root.index()].iter().rev().filter(|link| **link != root) {
//!         if !done.contains(&link) {
//!             open(links, link, done, trace);
//!         }
//!     }
//!     done.push(root);
//!     let me = VisitorId(0);
//!     trace.extend([(me, Event::Init { dylib: root }), (me, Event::InitEnd { dylib: root, ok: true })]);
//! }
//!
//! let ids: Vec<_> = (1..=3).filter_map(DylibId::new).collect();
//! let links = vec![vec![ids[1], ids[2]], vec![], vec![]];
//! let mut trace = Trace::new(&links);
//! trace.events.push((VisitorId(0), Event::Begin { call: Call::Open, dylib: ids[0] }));
//! open(&links, ids[0], &mut vec![], &mut trace.events);
//! trace.events.push((VisitorId(0), Event::End { call: Call::Open, dylib: ids[0], ok: true }));
//!
//! let refuted = rules::check(&trace).unwrap_err();
//! assert_eq!(refuted.rule, "2: depth-first, in link order");
//! assert!(refuted.to_string().contains("dylib-2 comes before dylib-3 in the order of dylib-1"));
//! ```

mod closing;
mod failure;
mod lookup;
mod opens;
mod order;
mod threads;

pub use closing::{
    rule_18_count, rule_18_lives, rule_19, rule_20_exit, rule_20_handlers, rule_22, rule_22_data, rule_23,
};
pub use failure::{rule_14_again, rule_14_count, rule_14_placed, rule_15, rule_16, rule_17_names, rule_17_once};
pub use lookup::{rule_27, rule_27_weak, rule_28_address, rule_28_modes, rule_29, rule_30};
pub use opens::{rule_7, rule_8, rule_9, rule_10, rule_25, rule_26};
pub use order::{rule_1, rule_2, rule_3, rule_3_same, rule_4_once, rule_4_whole, rule_6};
pub use threads::{rule_11, rule_12, rule_13, rule_21, rule_24};

use crate::graph::DylibId;
use crate::loader::VisitorId;
use crate::trace::{InCall, Refuted, Replay, Rule, Trace};

/// Every rule that an event can break, with the name that a refutation shows.
pub const ALL: [(&str, Rule); 38] = [
    ("1: dependencies first", rule_1),
    ("2: depth-first, in link order", rule_2),
    ("3: repeated links mean nothing", rule_3),
    ("4: exactly once", rule_4_once),
    ("4: everything, and nothing else", rule_4_whole),
    ("6: the order inside a dylib", rule_6),
    ("7: what is in progress is left alone", rule_7),
    ("8: an inner open is complete", rule_8),
    ("9: failures have a reason", rule_9),
    ("10: new code waits for the next open", rule_10),
    ("11: one visitor initializes", rule_11),
    ("12: opens get on side by side", rule_12),
    ("13: no cycle of waits", rule_13),
    ("14: placed before anything runs", rule_14_placed),
    ("14: failures do not count", rule_14_count),
    ("14: the same failure again", rule_14_again),
    ("15: poisoned until unloaded", rule_15),
    ("16: a cut open converges", rule_16),
    ("17: each thread's error, once", rule_17_once),
    ("17: errors name what failed", rule_17_names),
    ("18: opens less closes", rule_18_count),
    ("18: dependencies live", rule_18_lives),
    ("19: exact reverse", rule_19),
    ("20: handlers belong to who registers", rule_20_handlers),
    ("20: exit undoes everything", rule_20_exit),
    ("21: objects of threads go first", rule_21),
    ("22: unloaded is forgotten", rule_22),
    ("22: pristine data", rule_22_data),
    ("23: nobody inside is unloaded", rule_23),
    ("24: memory stays while a thread is inside", rule_24),
    ("25: updates need an open dylib", rule_25),
    ("26: nothing unheld stays", rule_26),
    ("27: the first in the scope", rule_27),
    ("27: weak and undefined is null", rule_27_weak),
    ("28: modes", rule_28_modes),
    ("28: addresses", rule_28_address),
    ("29: our names first", rule_29),
    ("30: one definition for all", rule_30),
];

/// The sentences of the rules, from 1 to 30.
pub const SENTENCES: [&str; 30] = [
    "If a reaches b through link orders and b does not reach a, b's initializers finish before a's begin.",
    "Cycles are condensed into sets; sets come in depth-first post-order, links in link order; inside a set the same, from the member reached first.",
    "Self-links, repeated links and numbering change nothing; the same graph and calls give the same trace.",
    "Each initializer runs exactly once between two unloads; everything the root reaches is initialized when open returns, and nothing else is.",
    "Chains and fans of a million dylibs work, in near-linear time, on any stack.",
    "Inside a dylib: `.preinit_array`, then ascending priority; at equal priority objects, sections and entries in order.",
    "Opening what is in progress, from an initializer that it waits for, gives the handle and runs nothing.",
    "Opening what has not started, from any initializer, runs all of it at once; the outer open skips it.",
    "A failed inner open does not spoil the outer one.",
    "Code added to a dylib that is being opened is for the next open or update.",
    "If two threads open one dylib, one of them initializes, and both return when all is done.",
    "Disjoint opens proceed at the same time, even if an initializer waits for the thread of the other.",
    "A cycle of waits is not entered: the open that would close it returns as in rule 7. Every wait can be asked for.",
    "Everything is placed before anything runs. An open that cannot be done changes nothing, and fails again with the same words until its cause is mended.",
    "An exception poisons its dylib until that is unloaded; what had finished stays initialized, held by nobody.",
    "An open that is cut off leaves a state from which a repeated open converges.",
    "An error belongs to its thread: nothing until a call fails, its text once, then nothing; the text names symbol or dylib.",
    "Opens less closes is the count; a dependency lives while any open dylib reaches it.",
    "At zero, everything is undone in exact reverse of its completion, exit handlers too; a cycle goes as a whole.",
    "An exit handler belongs to the dylib whose code registered it. A program's exit undoes everything that has completed.",
    "Destructors of a thread's objects run on that thread, before the memory of the dylib whose code they are goes.",
    "A dylib that is opened after its unload is initialized again, from pristine data.",
    "A close too many is an error. A close from inside waits until the inside is left.",
    "A dylib with a thread inside is not freed: its memory is parked, or the unload waits.",
    "An update runs only what is new, counts nothing, and needs an open dylib.",
    "Links that are new are initialized by the next open or update; links that are gone are released by the next close or update.",
    "Symbols are searched breadth-first in link order; the default scope is the program, what is global, then the one who asks; the next scope is what follows that one.",
    "NOLOAD loads nothing, NODELETE lets nothing go, GLOBAL serves later lookups; no name is the program; an address is described by its dylib and nearest symbol.",
    "Names that linked code asks for are our dylibs' first, then the system's.",
    "Weak, grouped and unique definitions yield to the first in the order of lookups, groups as a whole, unless their dylib stands apart.",
];

/// Asks every rule of every event.
///
/// # Errors
/// The first event that breaks a rule; it prints the rule's number and sentence, the event, and the trace up to it.
pub fn check(trace: &Trace) -> Result<(), Refuted> {
    trace.check(&ALL)
}

/// The sentence of a rule whose name begins with its number, as those of [`ALL`] do.
#[must_use]
pub fn sentence(rule: &str) -> Option<&'static str> {
    let digits = rule.find(|each: char| !each.is_ascii_digit()).unwrap_or(rule.len());
    let number: usize = rule[..digits].parse().ok()?;
    SENTENCES.get(number.checked_sub(1)?).copied()
}

type Verdict = Result<(), String>;

/// Everything that the call's dylib reached, and reaches still, is initialized or in progress.
fn complete(before: &Replay, call: &InCall) -> Verdict {
    let in_hand = |each| call.links.reached_by(each).iter().any(|&each| before.is_running(each));
    let missing = |each: DylibId| !before.is_ready(each) && before.links().reaches(call.dylib, each) && !in_hand(each);
    match call.order.iter().find(|&&each| missing(each)) {
        Some(each) => Err(format!("{each} is not initialized")),
        None => Ok(()),
    }
}

/// What dylibs with a count, or that are kept, reach through initialized ones. A close in progress has taken its count back.
fn held(before: &Replay) -> Vec<DylibId> {
    let counted = |&each: &DylibId| before.balance(each) > 0 || before.around.kept.contains(&each);
    let mut held: Vec<_> = before.dylibs().filter(counted).collect();
    let mut next = 0;
    while let Some(&dylib) = held.get(next) {
        next += 1;
        if before.is_ready(dylib) && !before.is_unloading(dylib) {
            for &link in before.links().of(dylib) {
                if !held.contains(&link) {
                    held.push(link);
                }
            }
        }
    }
    held
}

fn innermost(before: &Replay, visitor: VisitorId) -> Result<&InCall, String> {
    before.calls(visitor).last().ok_or_else(|| format!("{visitor} is not inside a call"))
}
