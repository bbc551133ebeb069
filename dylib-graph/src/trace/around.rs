//! What a trace tells besides opens and closes: memory, handlers, objects of threads, errors, names.
//!
//! You give events; you get what stands, for the rules that speak of it. Each field is written by the events of one paragraph
//! of [`Event`], and a trace without those leaves it empty.

use std::collections::BTreeMap;

use super::event::{Definition, Event};
use super::replay::InCall;
use crate::graph::DylibId;
use crate::loader::VisitorId;

/// A handler that was registered and has not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handled {
    /// Whose.
    pub dylib: DylibId,
    /// Which.
    pub handler: u64,
}

/// An object of one visitor that has a destructor to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    /// Whose it is.
    pub owner: VisitorId,
    /// Whose code made it.
    pub dylib: DylibId,
    /// Which.
    pub object: u64,
}

/// What a visitor's `dlerror` must say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Pending {
    /// Nothing.
    #[default]
    Nothing,
    /// Something: a call failed, and the trace does not tell its text.
    Something,
    /// This.
    Text(String),
}

/// A call that failed, and nothing has happened since that could mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) text: Option<String>,
    pub(crate) mode: super::event::Mode,
}

/// Everything besides the calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Around {
    pub(crate) program: Option<DylibId>,
    /// What is global, in the order in which it became so.
    pub(crate) global: Vec<DylibId>,
    pub(crate) kept: Vec<DylibId>,
    /// Whether the trace tells of places at all.
    pub(crate) tells_places: bool,
    pub(crate) placed: Vec<bool>,
    pub(crate) parked: Vec<bool>,
    /// The latest position that was called in the run in progress.
    pub(crate) called: Vec<Option<Event>>,
    pub(crate) touched: Vec<u64>,
    /// Handlers that were registered, the latest last.
    pub(crate) handlers: Vec<Handled>,
    pub(crate) objects: Vec<Object>,
    entered: Vec<(VisitorId, DylibId)>,
    inside: BTreeMap<VisitorId, Vec<DylibId>>,
    /// Whether the trace tells of errors at all.
    pub(crate) tells_errors: bool,
    pub(crate) errors: BTreeMap<VisitorId, Pending>,
    /// Counts what may have mended something.
    pub(crate) mends: u64,
    pub(crate) failures: BTreeMap<(VisitorId, super::event::Call, DylibId), Failure>,
    pub(crate) definitions: Vec<Vec<Definition>>,
    pub(crate) apart: Vec<bool>,
    /// Which unique symbol belongs to whom, for as long as the owner is placed.
    pub(crate) unique: BTreeMap<String, DylibId>,
    /// Whether the dylib's latest open was cut.
    pub(crate) cut: Vec<bool>,
    /// Whether the dylib's groups stand, by name.
    pub(crate) groups: BTreeMap<(DylibId, String), bool>,
    pub(crate) names: BTreeMap<String, DylibId>,
}

impl Around {
    pub(super) fn new(n: usize) -> Self {
        Self {
            placed: vec![false; n],
            parked: vec![false; n],
            called: vec![None; n],
            touched: vec![0; n],
            definitions: vec![Vec::new(); n],
            apart: vec![false; n],
            cut: vec![false; n],
            ..Self::default()
        }
    }

    pub(super) fn inside(&self, visitor: VisitorId) -> &[DylibId] {
        self.inside.get(&visitor).map_or(&[], |inside| inside)
    }

    /// Who has entered `dylib` and not left it.
    pub(crate) fn entered(&self, dylib: DylibId) -> Option<VisitorId> {
        self.entered.iter().find(|(_, each)| *each == dylib).map(|&(visitor, _)| visitor)
    }

    /// The definition of `symbol` in `dylib`, hidden or not.
    pub(crate) fn definition(&self, dylib: DylibId, symbol: &str) -> Option<&Definition> {
        self.definitions[dylib.index()].iter().find(|definition| definition.symbol == symbol)
    }

    /// Takes note of `event`, which happens in the call `innermost`.
    pub(super) fn apply(&mut self, visitor: VisitorId, event: &Event, innermost: Option<&InCall>) {
        self.apply_to_failures(visitor, event, innermost);
        self.apply_to_code(visitor, event);
        self.apply_to_names(event);
        match *event {
            Event::Program { dylib } => self.program = Some(dylib),
            Event::Place { dylib } => (self.placed[dylib.index()], self.tells_places) = (true, true),
            Event::Displace { dylib } => self.placed[dylib.index()] = false,
            Event::Park { dylib } => self.parked[dylib.index()] = true,
            Event::Free { dylib } => self.parked[dylib.index()] = false,
            Event::Touch { dylib, .. } => self.touched[dylib.index()] += 1,
            Event::Init { dylib } => self.called[dylib.index()] = None,
            Event::Initializer { dylib, .. } => self.called[dylib.index()] = Some(event.clone()),
            Event::AtExit { dylib, handler } => self.handlers.push(Handled { dylib, handler }),
            Event::Handler { handler, .. } => self.handlers.retain(|each| each.handler != handler),
            Event::ThreadLocal { dylib, object } => self.objects.push(Object { owner: visitor, dylib, object }),
            Event::ThreadLocalEnd { object, .. } => self.objects.retain(|each| each.object != object),
            Event::Release { ref dylibs } => dylibs.iter().for_each(|&dylib| self.release(dylib)),
            _ => {}
        }
        let Some(call) = innermost else { return };
        if let Event::End { dylib, ok: true, .. } = *event {
            if call.mode.global && !self.global.contains(&dylib) {
                self.global.push(dylib);
            }
            if call.mode.nodelete && !self.kept.contains(&dylib) {
                self.kept.push(dylib);
            }
        }
    }

    fn release(&mut self, dylib: DylibId) {
        self.placed[dylib.index()] = false;
        self.touched[dylib.index()] = 0;
        self.cut[dylib.index()] = false;
        self.global.retain(|&each| each != dylib);
        self.kept.retain(|&each| each != dylib);
        self.unique.retain(|_, owner| *owner != dylib);
        self.groups.retain(|(each, _), _| *each != dylib);
    }

    fn apply_to_code(&mut self, visitor: VisitorId, event: &Event) {
        let inside = self.inside.entry(visitor).or_default();
        match *event {
            Event::Init { dylib } | Event::Fini { dylib } | Event::Handler { dylib, .. } => inside.push(dylib),
            Event::Enter { dylib } => {
                inside.push(dylib);
                self.entered.push((visitor, dylib));
            }
            Event::InitEnd { dylib, .. }
            | Event::FiniEnd { dylib }
            | Event::HandlerEnd { dylib, .. }
            | Event::Leave { dylib } => {
                if let Some(last) = inside.iter().rposition(|&each| each == dylib) {
                    inside.remove(last);
                }
                if let Event::Leave { .. } = event
                    && let Some(last) = self.entered.iter().rposition(|&each| each == (visitor, dylib))
                {
                    self.entered.remove(last);
                }
            }
            _ => {}
        }
    }

    fn apply_to_names(&mut self, event: &Event) {
        match event {
            Event::Define { dylib, definition } => {
                let definitions = &mut self.definitions[dylib.index()];
                definitions.retain(|each| each.symbol != definition.symbol);
                definitions.push(definition.clone());
            }
            Event::Apart { dylib } => self.apart[dylib.index()] = true,
            Event::Named { dylib, name } => drop(self.names.insert(name.clone(), *dylib)),
            Event::Unify { dylib, symbol, owner } => match self.definition(*dylib, symbol).map(|each| &each.kind) {
                Some(super::Kind::Group(group)) => {
                    self.groups.insert((*dylib, group.clone()), owner == dylib);
                }
                Some(super::Kind::Unique) if owner == dylib && !self.apart[dylib.index()] => {
                    self.unique.insert(symbol.clone(), *dylib);
                }
                _ => {}
            },
            _ => {}
        }
    }

    fn apply_to_failures(&mut self, visitor: VisitorId, event: &Event, innermost: Option<&InCall>) {
        let mends = matches!(
            event,
            Event::Link { .. }
                | Event::Cause { .. }
                | Event::Code { .. }
                | Event::Unload { .. }
                | Event::Release { .. }
        );
        self.mends += u64::from(mends);
        match *event {
            Event::Error { ref text, .. } => {
                self.tells_errors = true;
                self.errors.insert(visitor, Pending::Text(text.clone()));
            }
            Event::Taken { .. } => drop(self.errors.remove(&visitor)),
            Event::Lookup { found: None, .. } => self.failed(visitor),
            Event::End { call, dylib, ok } => {
                let text = innermost.and_then(|call| call.error.clone());
                if !ok && text.is_none() {
                    self.failed(visitor);
                }
                match call {
                    super::Call::Cut => self.cut[dylib.index()] = true,
                    super::Call::Open if ok => self.cut[dylib.index()] = false,
                    _ => {}
                }
                if ok {
                    self.failures.clear();
                } else if innermost.is_some_and(|call| call.mends == self.mends) {
                    let mode = innermost.map(|call| call.mode).unwrap_or_default();
                    self.failures.insert((visitor, call, dylib), Failure { text, mode });
                }
            }
            Event::Begin { .. } | Event::Mode { .. } | Event::Place { .. } | Event::Displace { .. } => {}
            Event::Unplaceable { .. } | Event::Count { .. } | Event::Describe { .. } | Event::Refer { .. } => {}
            // Anything else may have mended what failed.
            _ => self.failures.clear(),
        }
    }

    /// A call failed whose text the trace may not have told.
    fn failed(&mut self, visitor: VisitorId) {
        let pending = self.errors.entry(visitor).or_default();
        if *pending == Pending::Nothing {
            *pending = Pending::Something;
        }
    }
}
