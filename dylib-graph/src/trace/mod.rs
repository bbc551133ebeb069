//! What happened, and whether it was right.
//!
//! You give a [`Trace`], of this crate's loader or of any other; you get the first rule that it breaks. Not for timing or
//! memory: a trace knows the order of things only.
//!
//! [`rules`](crate::rules) has one function for each rule. An invariant of your own is one more such function:
//!
//! ```
//! use dylib_graph::program::{Act, Program};
//! use dylib_graph::trace::{Event, Replay};
//! use dylib_graph::{DylibId, VisitorId};
//!
//! /// Initializers nest at most two deep: a rule of ours, not of the loader's.
//! fn shallow(before: &Replay, visitor: VisitorId, event: &Event) -> Result<(), String> {
//!     match event {
//!         Event::Init { dylib } if before.running(visitor).count() == 2 => Err(format!("{dylib} is the third")),
//!         _ => Ok(()),
//!     }
//! }
//!
//! let ids: Vec<_> = (1..=3).filter_map(DylibId::new).collect();
//! let program = Program {
//!     links: vec![vec![]; 3],
//!     // The initializer of each dylib opens the next one.
//!     initializers: vec![vec![Act::Open(ids[1])], vec![Act::Open(ids[2])], vec![]],
//!     finalizers: vec![vec![]; 3],
//!     threads: vec![vec![Act::Open(ids[0])]],
//! };
//! let trace = program.run(&[]).unwrap().trace;
//! trace.check(&dylib_graph::rules::ALL)?;
//! let refuted = trace.check(&[("shallow", shallow)]).unwrap_err();
//! let said = "rule shallow is refuted by event 8, visitor-0: Init { dylib: dylib-3 }: dylib-3 is the third";
//! assert_eq!(refuted.to_string().lines().next(), Some(said)); // and the events before that
//! # Ok::<(), dylib_graph::trace::Refuted>(())
//! ```

mod around;
mod event;
mod links;
mod replay;

use std::fmt;

pub(crate) use around::Pending;
pub use around::{Handled, Object};
pub use event::{Call, Definition, Described, Event, Kind, Mode, Resolved};
pub use links::Links;
pub use replay::{InCall, Replay, Undo, Undone};

use crate::graph::DylibId;
use crate::loader::VisitorId;
use crate::rules;

/// What happened, in order, and who did it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The link orders at the beginning, of `dylib-1`, `dylib-2`, and so on.
    pub links: Vec<Vec<DylibId>>,
    /// What happened since.
    pub events: Vec<(VisitorId, Event)>,
}

/// A rule that a trace breaks. Prints the rule's name and sentence, the event, and the last events before it.
#[derive(Clone, PartialEq, Eq)]
pub struct Refuted {
    /// The name of the rule.
    pub rule: &'static str,
    /// The position in [`Trace::events`].
    pub at: usize,
    /// Who did it.
    pub visitor: VisitorId,
    /// What was done.
    pub event: Event,
    /// What is wrong with that.
    pub why: Box<str>,
    /// The trace up to that event, which is not part of it.
    pub before: Box<Trace>,
}

/// How many events [`Refuted`] prints.
const SHOWN: usize = 200;

impl fmt::Display for Refuted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, at, visitor, event, why, before } = self;
        write!(f, "rule {rule} is refuted by event {at}, {visitor}: {event:?}: {why}")?;
        if let Some(sentence) = rules::sentence(rule) {
            write!(f, "\n  the rule: {sentence}")?;
        }
        write!(f, "\n  link orders at first: {:?}", before.links)?;
        let skipped = before.events.len().saturating_sub(SHOWN);
        if skipped > 0 {
            write!(f, "\n  ({skipped} events)")?;
        }
        for (number, (visitor, event)) in before.events.iter().enumerate().skip(skipped) {
            write!(f, "\n  {number} {visitor}: {event:?}")?;
        }
        Ok(())
    }
}

/// As it displays: a failed `unwrap` in a test is to say the same.
impl fmt::Debug for Refuted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Refuted {}

/// Judges an event by what happened before it.
pub type Rule = fn(before: &Replay, visitor: VisitorId, event: &Event) -> Result<(), String>;

impl Trace {
    /// A trace in which nothing has happened yet.
    #[must_use]
    pub fn new(links: &[Vec<DylibId>]) -> Self {
        Self { links: links.to_vec(), events: Vec::new() }
    }

    /// Replays the trace under these rules.
    ///
    /// # Errors
    /// The first event that refutes a rule.
    pub fn check(&self, rules: &[(&'static str, Rule)]) -> Result<(), Refuted> {
        let mut replay = Replay::new(&self.links);
        for (at, &(visitor, ref event)) in self.events.iter().enumerate() {
            for &(rule, judge) in rules {
                if let Err(why) = judge(&replay, visitor, event) {
                    let before = Box::new(Self { links: self.links.clone(), events: self.events[..at].to_vec() });
                    return Err(Refuted { rule, at, visitor, event: event.clone(), why: why.into(), before });
                }
            }
            replay.apply(visitor, event);
        }
        Ok(())
    }

    /// The dylibs whose initializers ran, in the order in which they began.
    #[must_use]
    pub fn inits(&self) -> Vec<DylibId> {
        self.pick(|event| if let Event::Init { dylib } = event { Some(*dylib) } else { None })
    }

    /// The dylibs whose finalizers ran, in the order in which they began.
    #[must_use]
    pub fn finis(&self) -> Vec<DylibId> {
        self.pick(|event| if let Event::Fini { dylib } = event { Some(*dylib) } else { None })
    }

    fn pick<T>(&self, what: impl Fn(&Event) -> Option<T>) -> Vec<T> {
        self.events.iter().filter_map(|(_, event)| what(event)).collect()
    }
}
