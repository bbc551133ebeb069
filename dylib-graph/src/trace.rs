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
//! assert_eq!(refuted.to_string(), "rule shallow is refuted by event 5, visitor-0: Init { dylib: dylib-3 }: dylib-3 is the third");
//! # Ok::<(), dylib_graph::trace::Refuted>(())
//! ```

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::graph::DylibId;
use crate::loader::VisitorId;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A link order was replaced.
    Link {
        /// Whose.
        dylib: DylibId,
        /// By what.
        links: Vec<DylibId>,
    },
    /// A dylib got code that has initializers.
    Code {
        /// Which.
        dylib: DylibId,
    },
    /// The loader was called.
    Begin {
        /// For what.
        call: Call,
        /// With which dylib.
        dylib: DylibId,
    },
    /// The call returned; calls of one visitor nest.
    End {
        /// For what it was.
        call: Call,
        /// With which dylib.
        dylib: DylibId,
        /// Whether it succeeded.
        ok: bool,
    },
    /// The initializers of a dylib begin.
    Init {
        /// Whose.
        dylib: DylibId,
    },
    /// They are over.
    InitEnd {
        /// Whose.
        dylib: DylibId,
        /// Whether they all returned.
        ok: bool,
    },
    /// These dylibs are going to be unloaded together, by the visitor's innermost call.
    Unload {
        /// Which, in ascending order.
        dylibs: Vec<DylibId>,
    },
    /// One run of initializers is about to be undone.
    Fini {
        /// Whose.
        dylib: DylibId,
    },
    /// It is undone.
    FiniEnd {
        /// Whose.
        dylib: DylibId,
    },
    /// The memory of these dylibs goes.
    Release {
        /// Which, in ascending order.
        dylibs: Vec<DylibId>,
    },
}

/// How a loader is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Open.
    Open,
    /// Open, and give up on the way: it never succeeds.
    Cut,
    /// Run what is new.
    Update,
    /// Close.
    Close,
    /// Unload a dylib whose first run threw.
    Unload,
    /// Not called by anybody: an open or update has ended, and with it goes what was closed meanwhile. Names the same dylib.
    Deferred,
}

/// What happened, in order, and who did it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The link orders at the beginning, of `dylib-1`, `dylib-2`, and so on.
    pub links: Vec<Vec<DylibId>>,
    /// What happened since.
    pub events: Vec<(VisitorId, Event)>,
}

/// A rule that a trace breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rule {rule} is refuted by event {at}, {visitor}: {event:?}: {why}")]
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
    pub why: String,
}

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
                    return Err(Refuted { rule, at, visitor, event: event.clone(), why });
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

/// The world as a trace has left it so far.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    links: Rc<Links>,
    balance: Vec<u64>,
    /// Whether a run has completed since the last release.
    ready: Vec<bool>,
    /// Batches of code known and run since then.
    code: Vec<(u32, u32)>,
    poisoned: Vec<bool>,
    calls: BTreeMap<VisitorId, Vec<InCall>>,
    done: Vec<DylibId>,
}

/// A call in progress.
#[derive(Clone, Debug)]
pub struct InCall {
    /// What was called.
    pub call: Call,
    /// With which dylib.
    pub dylib: DylibId,
    /// The link orders when the call began.
    pub links: Rc<Links>,
    /// Everything the dylib reached then, in the order of initialization.
    pub order: Vec<DylibId>,
    /// How many batches of code each dylib had then.
    code: Vec<u32>,
    /// Those of `order` that were poisoned or on their way out when the call began.
    pub unusable: Vec<DylibId>,
    /// Whether it began inside an initializer that the dylib reaches, as part of another call in progress (rule 7).
    pub in_progress: bool,
    /// Whether the dylib was open when the call began, or being opened by the same visitor.
    pub was_open: bool,
    /// Whether a close inside this open has taken it back.
    pub taken_back: bool,
    /// What the call itself has run so far, without what calls inside it ran.
    pub ran: Vec<DylibId>,
    /// The initializer or finalizer of this call that runs.
    pub running: Option<DylibId>,
    /// Whether that is a finalizer.
    pub finalizing: bool,
    /// Whether another call was in progress at any time since.
    pub accompanied: bool,
    /// Whether a dylib of `order` was poisoned or on its way out at any time since.
    pub spoiled: bool,
    /// What the call unloads.
    pub unloads: Vec<DylibId>,
    /// Which of their runs it has still to undo, the next one last.
    pub undo: Vec<DylibId>,
    /// Whether their memory is gone.
    pub released: bool,
}

impl InCall {
    /// Whether it is an open or update.
    #[must_use]
    pub fn initializes(&self) -> bool {
        matches!(self.call, Call::Open | Call::Cut | Call::Update)
    }
}

/// Link orders at some moment, for questions that are answered by searching them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links(pub(crate) Vec<Vec<DylibId>>);

impl Links {
    /// The link order of `dylib`.
    #[must_use]
    pub fn of(&self, dylib: DylibId) -> &[DylibId] {
        &self.0[dylib.index()]
    }

    /// Everything that `root` reaches, depth-first and last to be left last.
    #[must_use]
    pub fn reached_by(&self, root: DylibId) -> Vec<DylibId> {
        let mut seen = vec![false; self.0.len()];
        let mut left = Vec::new();
        let mut stack = vec![(root, 0)];
        seen[root.index()] = true;
        while let Some((dylib, followed)) = stack.last_mut() {
            if let Some(&link) = self.0[dylib.index()].get(*followed) {
                *followed += 1;
                if !std::mem::replace(&mut seen[link.index()], true) {
                    stack.push((link, 0));
                }
            } else {
                left.push(*dylib);
                stack.pop();
            }
        }
        left
    }

    /// Whether `a` reaches `b`; everything reaches itself.
    #[must_use]
    pub fn reaches(&self, a: DylibId, b: DylibId) -> bool {
        self.reached_by(a).contains(&b)
    }

    /// Everything that `root` reaches, in the order of initialization.
    #[must_use]
    pub fn init_order(&self, root: DylibId) -> Vec<DylibId> {
        let left = self.reached_by(root);
        let mut order = left.clone();
        let mutual = |a, b| self.reaches(a, b) && self.reaches(b, a);
        order.sort_by_key(|&dylib| left.iter().rposition(|&each| mutual(dylib, each)));
        order
    }
}

impl Replay {
    fn new(links: &[Vec<DylibId>]) -> Self {
        let n = links.len();
        Self {
            links: Rc::new(Links(links.to_vec())),
            balance: vec![0; n],
            ready: vec![false; n],
            code: vec![(0, 0); n],
            poisoned: vec![false; n],
            ..Self::default()
        }
    }

    /// The dylibs, in ascending order.
    pub fn dylibs(&self) -> impl Iterator<Item = DylibId> + use<> {
        (0..self.links.0.len()).map(DylibId::at)
    }

    /// The link orders now.
    #[must_use]
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// Opens that succeeded less closes. A close inside the only open in progress takes that one back.
    #[must_use]
    pub fn balance(&self, dylib: DylibId) -> u64 {
        self.balance[dylib.index()]
    }

    /// Whether a run has completed since the last unload.
    #[must_use]
    pub fn is_ready(&self, dylib: DylibId) -> bool {
        self.ready[dylib.index()]
    }

    /// Whether code was added since the beginning of the call that ran it last.
    #[must_use]
    pub fn has_new_code(&self, dylib: DylibId) -> bool {
        let (added, ran) = self.code[dylib.index()];
        ran < added
    }

    /// Whether an initializer threw since the last unload.
    #[must_use]
    pub fn is_poisoned(&self, dylib: DylibId) -> bool {
        self.poisoned[dylib.index()]
    }

    /// The calls of `visitor` in progress, outermost first.
    #[must_use]
    pub fn calls(&self, visitor: VisitorId) -> &[InCall] {
        self.calls.get(&visitor).map_or(&[], |calls| calls)
    }

    /// All calls in progress.
    pub fn all_calls(&self) -> impl Iterator<Item = &InCall> {
        self.calls.values().flatten()
    }

    /// The dylibs whose initializers `visitor` is inside of, outermost first.
    pub fn running(&self, visitor: VisitorId) -> impl Iterator<Item = DylibId> + '_ {
        self.calls(visitor).iter().filter(|call| !call.finalizing).filter_map(|call| call.running)
    }

    /// Whether somebody is inside `dylib`'s initializers.
    #[must_use]
    pub fn is_running(&self, dylib: DylibId) -> bool {
        self.all_calls().any(|call| !call.finalizing && call.running == Some(dylib))
    }

    /// Whether somebody is unloading `dylib`.
    #[must_use]
    pub fn is_unloading(&self, dylib: DylibId) -> bool {
        self.all_calls().any(|call| !call.released && call.unloads.contains(&dylib))
    }

    fn begin(&mut self, visitor: VisitorId, call: Call, dylib: DylibId) {
        let order = self.links.init_order(dylib);
        let unusable = |each: &DylibId| self.is_poisoned(*each) || self.is_unloading(*each);
        let above = self.running(visitor).any(|each| self.links.reaches(dylib, each));
        let mine =
            |each: &InCall| matches!(each.call, Call::Open | Call::Cut) && each.dylib == dylib && !each.taken_back;
        let opening = self.calls(visitor).iter().rposition(mine);
        let mut in_call = InCall {
            call,
            dylib,
            links: Rc::clone(&self.links),
            unusable: order.iter().copied().filter(unusable).collect(),
            in_progress: above && self.all_calls().any(|call| call.initializes() && call.order.contains(&dylib)),
            was_open: self.balance(dylib) > 0 || opening.is_some(),
            taken_back: false,
            order,
            code: self.code.iter().map(|&(added, _)| added).collect(),
            ran: Vec::new(),
            running: None,
            finalizing: false,
            accompanied: self.all_calls().next().is_some(),
            spoiled: false,
            unloads: Vec::new(),
            undo: Vec::new(),
            released: false,
        };
        in_call.spoiled = !in_call.unusable.is_empty();
        self.calls.values_mut().flatten().for_each(|each| each.accompanied = true);
        let calls = self.calls.entry(visitor).or_default();
        if call == Call::Close {
            match (&mut self.balance[dylib.index()], opening) {
                (0, Some(open)) => calls[open].taken_back = true,
                (balance, _) => *balance = balance.saturating_sub(1),
            }
        }
        calls.push(in_call);
    }

    fn apply(&mut self, visitor: VisitorId, event: &Event) {
        match *event {
            Event::Link { dylib, ref links } => {
                return Rc::make_mut(&mut self.links).0[dylib.index()].clone_from(links);
            }
            Event::Code { dylib } => return self.code[dylib.index()].0 += 1,
            Event::Begin { call, dylib } => return self.begin(visitor, call, dylib),
            Event::End { call, dylib, ok } => {
                let ended = self.calls.get_mut(&visitor).and_then(Vec::pop);
                let counts = call == Call::Open && ok && ended.is_some_and(|call| !call.taken_back);
                self.balance[dylib.index()] += u64::from(counts);
                return;
            }
            Event::InitEnd { dylib, ok } => {
                self.done.push(dylib);
                self.ready[dylib.index()] |= ok;
                self.poisoned[dylib.index()] |= !ok;
                let concerned = self.calls.values_mut().flatten().filter(|call| call.order.contains(&dylib));
                concerned.for_each(|call| call.spoiled |= !ok);
            }
            Event::Release { ref dylibs } => {
                for dylib in dylibs {
                    self.ready[dylib.index()] = false;
                    self.code[dylib.index()] = (0, 0);
                    self.poisoned[dylib.index()] = false;
                }
            }
            Event::Init { .. } | Event::Unload { .. } | Event::Fini { .. } | Event::FiniEnd { .. } => {}
        }
        let undo: Vec<_> = match event {
            Event::Unload { dylibs } => self.done.extract_if(.., |dylib| dylibs.contains(dylib)).collect(),
            _ => Vec::new(),
        };
        let Some(call) = self.calls.get_mut(&visitor).and_then(|calls| calls.last_mut()) else { return };
        match *event {
            Event::Init { dylib } => {
                call.ran.push(dylib);
                self.code[dylib.index()].1 = call.code[dylib.index()];
                (call.running, call.finalizing) = (Some(dylib), false);
            }
            Event::Fini { dylib } => {
                call.undo.pop();
                (call.running, call.finalizing) = (Some(dylib), true);
            }
            Event::InitEnd { .. } | Event::FiniEnd { .. } => call.running = None,
            Event::Unload { ref dylibs } => (call.unloads, call.undo) = (dylibs.clone(), undo),
            Event::Release { .. } => call.released = true,
            _ => {}
        }
    }
}
