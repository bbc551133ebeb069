//! The world as a trace has left it, event by event.
//!
//! You give events; you get answers about what stands: who is open, ready, inside what. Rules and invariants of yours ask it. Not fast: every
//! event may search the whole graph.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::around::Around;
use super::event::{Call, Event, Mode};
use super::links::Links;
use crate::graph::DylibId;
use crate::loader::VisitorId;

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
    done: Vec<Undo>,
    /// How many runs and handlers there were.
    undoable: u64,
    /// Which visitors wait for which dylib.
    waits: BTreeMap<VisitorId, DylibId>,
    /// Which visitors wait for the end of which.
    joins: BTreeMap<VisitorId, VisitorId>,
    pub(crate) around: Around,
}

/// Something that an unload has to undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undo {
    /// Counts what there was to be undone, from the beginning of the trace.
    pub sequence: u64,
    /// Whose.
    pub dylib: DylibId,
    /// What.
    pub what: Undone,
}

/// What is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undone {
    /// A run of initializers, by finalizers.
    Run,
    /// The registration of this handler, by calling it.
    Handler(u64),
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
    /// Which of their runs and handlers it has still to undo, the next one last.
    pub undo: Vec<Undo>,
    /// Whether their memory is gone.
    pub released: bool,
    /// What it was told besides.
    pub mode: Mode,
    /// Whether the dylib was loaded when it began: ready, poisoned, or reached by another call in progress that initializes.
    pub was_loaded: bool,
    /// Whether it was placed already: a call that left it to another may have done that, and then it is there though nobody has it in hand.
    pub was_placed: bool,
    /// What may have mended failures had happened so often when it began.
    pub(super) mends: u64,
    /// What it has placed and not given back.
    pub placed: Vec<DylibId>,
    /// What it could not place.
    pub unplaceable: Option<DylibId>,
    /// The error that it has left.
    pub error: Option<String>,
    /// Which dylibs that names.
    pub error_names: Vec<DylibId>,
}

impl InCall {
    /// Whether it is an open or update.
    #[must_use]
    pub fn initializes(&self) -> bool {
        matches!(self.call, Call::Open | Call::Cut | Call::Update)
    }
}

impl Replay {
    pub(super) fn new(links: &[Vec<DylibId>]) -> Self {
        let n = links.len();
        Self {
            links: Rc::new(Links(links.to_vec())),
            balance: vec![0; n],
            ready: vec![false; n],
            code: vec![(0, 0); n],
            poisoned: vec![false; n],
            around: Around::new(n),
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

    /// What `visitor` waits for.
    #[must_use]
    pub fn waits_for(&self, visitor: VisitorId) -> Option<DylibId> {
        self.waits.get(&visitor).copied()
    }

    /// Whose end `visitor` waits for.
    #[must_use]
    pub fn joins(&self, visitor: VisitorId) -> Option<VisitorId> {
        self.joins.get(&visitor).copied()
    }

    /// Who runs the initializers of `dylib`, or unloads it.
    #[must_use]
    pub fn holder(&self, dylib: DylibId) -> Option<VisitorId> {
        let at_it = |call: &InCall| {
            let running = !call.finalizing && call.running == Some(dylib);
            running || (!call.released && call.unloads.contains(&dylib))
        };
        self.calls.iter().find(|(_, calls)| calls.iter().any(at_it)).map(|(&visitor, _)| visitor)
    }

    /// Visitors inside of calls.
    pub fn visitors(&self) -> impl Iterator<Item = VisitorId> + '_ {
        self.calls.iter().filter(|(_, calls)| !calls.is_empty()).map(|(&visitor, _)| visitor)
    }

    /// The dylibs whose code `visitor` is inside of, outermost first: initializers, finalizers, handlers, and what it entered.
    #[must_use]
    pub fn inside(&self, visitor: VisitorId) -> &[DylibId] {
        self.around.inside(visitor)
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
            in_progress: above && self.is_planned(dylib),
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
            mode: Mode::default(),
            was_loaded: self.is_ready(dylib) || self.is_poisoned(dylib) || self.is_planned(dylib),
            mends: self.around.mends,
            was_placed: self.around.placed[dylib.index()],
            placed: Vec::new(),
            unplaceable: None,
            error: None,
            error_names: Vec::new(),
        };
        let parked = |each: &DylibId| self.around.parked[each.index()];
        in_call.spoiled = !in_call.unusable.is_empty() || in_call.order.iter().any(parked);
        if call == Call::Exit {
            // From here on nobody holds anything, and what was in progress does not go on.
            self.balance.fill(0);
            for each in self.calls.values_mut().flatten() {
                (each.running, each.taken_back) = (None, true);
                each.order.clear();
                each.unloads.clear();
            }
        }
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

    /// Whether a call in progress that initializes reaches `dylib`.
    fn is_planned(&self, dylib: DylibId) -> bool {
        self.all_calls().any(|call| call.initializes() && call.order.contains(&dylib))
    }

    pub(super) fn apply(&mut self, visitor: VisitorId, event: &Event) {
        let innermost = self.calls.get(&visitor).and_then(|calls| calls.last());
        self.around.apply(visitor, event, innermost);
        match *event {
            Event::Link { dylib, ref links } => {
                Rc::make_mut(&mut self.links).0[dylib.index()].clone_from(links);
            }
            Event::Code { dylib } => self.code[dylib.index()].0 += 1,
            Event::Begin { call, dylib } => self.begin(visitor, call, dylib),
            Event::End { call, dylib, ok } => {
                let ended = self.calls.get_mut(&visitor).and_then(Vec::pop);
                let counts = matches!(call, Call::Open | Call::Cut) && ok && ended.is_some_and(|call| !call.taken_back);
                self.balance[dylib.index()] += u64::from(counts);
            }
            Event::InitEnd { dylib, ok } => {
                self.done(dylib, Undone::Run);
                self.ready[dylib.index()] |= ok;
                self.poisoned[dylib.index()] |= !ok;
                let concerned = self.calls.values_mut().flatten().filter(|call| call.order.contains(&dylib));
                concerned.for_each(|call| call.spoiled |= !ok);
            }
            Event::AtExit { dylib, handler } => self.done(dylib, Undone::Handler(handler)),
            Event::Release { ref dylibs } => {
                for dylib in dylibs {
                    self.ready[dylib.index()] = false;
                    self.code[dylib.index()] = (0, 0);
                    self.poisoned[dylib.index()] = false;
                }
            }
            Event::Wait { dylib, .. } => drop(self.waits.insert(visitor, dylib)),
            Event::Waited => drop(self.waits.remove(&visitor)),
            Event::Join { thread } => drop(self.joins.insert(visitor, thread)),
            Event::Joined { .. } => drop(self.joins.remove(&visitor)),
            _ => {}
        }
        if !matches!(event, Event::Begin { .. } | Event::End { .. }) {
            self.apply_to_call(visitor, event);
        }
    }

    /// What an event means for the call that its visitor is in.
    fn apply_to_call(&mut self, visitor: VisitorId, event: &Event) {
        let undo = if let Event::Unload { dylibs } = event { self.undo(visitor, dylibs) } else { Vec::new() };
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
            Event::Handler { .. } => drop(call.undo.pop()),
            Event::InitEnd { .. } | Event::FiniEnd { .. } => call.running = None,
            Event::Unload { ref dylibs } => (call.unloads, call.undo) = (dylibs.clone(), undo),
            Event::Release { .. } => call.released = true,
            Event::Mode { mode } => call.mode = mode,
            Event::Place { dylib } => call.placed.push(dylib),
            Event::Displace { dylib } => call.placed.retain(|&each| each != dylib),
            Event::Unplaceable { dylib } => (call.unplaceable, call.spoiled) = (Some(dylib), true),
            Event::Error { ref text, ref names } => {
                (call.error, call.error_names) = (Some(text.clone()), names.clone());
            }
            _ => {}
        }
    }

    /// Something is to be undone some time; by the unload in progress, if its dylib is on its way out.
    fn done(&mut self, dylib: DylibId, what: Undone) {
        let undo = Undo { sequence: self.undoable, dylib, what };
        self.undoable += 1;
        let unloads = |call: &&mut InCall| !call.released && call.unloads.contains(&dylib);
        match self.calls.values_mut().flatten().filter(unloads).last() {
            Some(call) => call.undo.push(undo),
            None => self.done.push(undo),
        }
    }

    /// Everything of `dylibs` that is to be undone, also by calls that did not come to it: a program's exit goes on where they stopped.
    fn undo(&mut self, visitor: VisitorId, dylibs: &[DylibId]) -> Vec<Undo> {
        let concerned = |undo: &mut Undo| dylibs.contains(&undo.dylib);
        let mut all: Vec<_> = self.done.extract_if(.., concerned).collect();
        let exits = self.calls(visitor).last().is_some_and(|call| call.call == Call::Exit);
        for call in self.calls.values_mut().flatten().filter(|_| exits) {
            all.extend(call.undo.extract_if(.., concerned));
        }
        all.sort_by_key(|undo| undo.sequence);
        all
    }
}
