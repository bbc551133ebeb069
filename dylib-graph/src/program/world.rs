//! What surrounds a loader while a program runs: memory, handlers, objects of threads, errors, names.
//!
//! You give acts and the news of opens and closes; you get the trace. The loader under test and the model have this in common, for it
//! decides nothing about opens and closes; the rules judge it as they judge them.

use std::collections::BTreeMap;

use super::Act;
use crate::graph::{DylibGraph, DylibId};
use crate::init::{InitSection, initializer_order};
use crate::loader::VisitorId;
use crate::scope::{Scope, search_scope};
use crate::trace::{Call, Definition, Described, Event, Kind, Mode, Resolved, Trace};

/// The names that a system's loader has.
const SYSTEM: [&str; 2] = ["libc.so.6", "libm.so.6"];

/// Everything but the loader.
#[derive(Debug)]
pub(crate) struct World<'a> {
    pub(crate) trace: Trace,
    /// The program has ended: nothing is noted any more.
    pub(crate) ended: bool,
    graph: DylibGraph,
    dylibs: Vec<Surroundings>,
    program: Option<DylibId>,
    global: Vec<DylibId>,
    handlers: Vec<Handler<'a>>,
    objects: Vec<(VisitorId, DylibId, u64)>,
    /// Whose code each visitor is inside of, and whether it has entered that by itself.
    inside: BTreeMap<VisitorId, Vec<(DylibId, bool)>>,
    errors: BTreeMap<VisitorId, String>,
    unique: BTreeMap<String, DylibId>,
    names: BTreeMap<String, DylibId>,
    /// Numbers handlers, objects, and moments.
    clock: u64,
}

/// A handler that has not run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handler<'a> {
    pub(crate) dylib: DylibId,
    pub(crate) number: u64,
    pub(crate) acts: &'a [Act],
}

#[derive(Debug, Default)]
struct Surroundings {
    /// Its initializers throw at their end.
    broken: bool,
    /// It cannot be linked.
    lacking: bool,
    placed: bool,
    parked: bool,
    apart: bool,
    data: u64,
    /// The arrays of each batch of code, with their lengths.
    arrays: Vec<Vec<(InitSection, u32)>>,
    definitions: Vec<Definition>,
}

impl<'a> World<'a> {
    pub(crate) fn new(links: &[Vec<DylibId>]) -> Self {
        let mut graph = DylibGraph::new();
        let ids: Vec<_> = links.iter().map(|_| graph.add()).collect();
        for (id, links) in ids.into_iter().zip(links) {
            graph.set_link_order(id, links).expect("the program has these dylibs");
        }
        Self {
            trace: Trace::new(links),
            ended: false,
            dylibs: links.iter().map(|_| Surroundings::default()).collect(),
            graph,
            program: None,
            global: Vec::new(),
            handlers: Vec::new(),
            objects: Vec::new(),
            inside: BTreeMap::new(),
            errors: BTreeMap::new(),
            unique: BTreeMap::new(),
            names: BTreeMap::new(),
            clock: 0,
        }
    }

    pub(crate) fn note(&mut self, visitor: VisitorId, event: Event) {
        if self.ended {
            return;
        }
        let inside = self.inside.entry(visitor).or_default();
        match event {
            Event::Init { dylib } | Event::Fini { dylib } | Event::Handler { dylib, .. } => inside.push((dylib, false)),
            Event::InitEnd { .. } | Event::FiniEnd { .. } | Event::HandlerEnd { .. } => drop(inside.pop()),
            _ => {}
        }
        self.trace.events.push((visitor, event));
    }

    /// A number larger than every one before.
    pub(crate) fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Does an act that is nothing to the loader. Says whether it was one. `ready` is whether a dylib can be entered.
    pub(crate) fn act(&mut self, visitor: VisitorId, act: &'a Act, ready: impl Fn(DylibId) -> bool) -> bool {
        match *act {
            Act::Break(dylib) => self.cause(visitor, dylib, false, |dylib| dylib.broken = true),
            Act::Lack(dylib) => self.cause(visitor, dylib, false, |dylib| dylib.lacking = true),
            Act::Mend(dylib) => {
                self.cause(visitor, dylib, true, |dylib| (dylib.broken, dylib.lacking) = (false, false));
            }
            Act::Program(dylib) => {
                self.program = Some(dylib);
                self.note(visitor, Event::Program { dylib });
            }
            Act::Enter(dylib) if ready(dylib) => {
                self.inside.entry(visitor).or_default().push((dylib, true));
                self.note(visitor, Event::Enter { dylib });
            }
            Act::Enter(_) => {}
            Act::Leave => {
                if let Some(&(_, true)) = self.inside.get(&visitor).and_then(|inside| inside.last()) {
                    self.leave_to(visitor, self.depth(visitor) - 1);
                }
            }
            Act::AtExit(ref acts) => {
                if let Some(dylib) = self.code_of(visitor) {
                    let number = self.tick();
                    self.handlers.push(Handler { dylib, number, acts });
                    self.note(visitor, Event::AtExit { dylib, handler: number });
                }
            }
            Act::ThreadLocal => {
                if let Some(dylib) = self.code_of(visitor) {
                    let object = self.tick();
                    self.objects.push((visitor, dylib, object));
                    self.note(visitor, Event::ThreadLocal { dylib, object });
                }
            }
            Act::Touch => {
                if let Some(dylib) = self.code_of(visitor) {
                    let before = self.dylibs[dylib.index()].data;
                    self.dylibs[dylib.index()].data += 1;
                    self.note(visitor, Event::Touch { dylib, before });
                }
            }
            Act::TakeError => {
                let text = self.errors.remove(&visitor);
                self.note(visitor, Event::Taken { text });
            }
            _ => return self.act_on_names(visitor, act),
        }
        true
    }

    fn act_on_names(&mut self, visitor: VisitorId, act: &Act) -> bool {
        match *act {
            Act::Define(dylib, ref definition) => {
                let definitions = &mut self.dylibs[dylib.index()].definitions;
                definitions.retain(|each| each.symbol != definition.symbol);
                definitions.push(definition.clone());
                self.note(visitor, Event::Define { dylib, definition: definition.clone() });
            }
            Act::Apart(dylib) => {
                self.dylibs[dylib.index()].apart = true;
                self.note(visitor, Event::Apart { dylib });
            }
            Act::Lookup(scope, ref symbol) => {
                let asking = self.code_of(visitor);
                let order = self.scope(scope, asking);
                let found = order.into_iter().find(|&each| self.exports(each, symbol));
                if found.is_none() {
                    let who = asking.map(|asking| format!(", asked for by {asking}")).unwrap_or_default();
                    let names = asking.into_iter().collect();
                    self.fail(visitor, format!("{symbol} is not defined in {scope:?}{who}"), names);
                }
                self.note(visitor, Event::Lookup { scope, asking, symbol: symbol.clone(), found });
            }
            Act::Refer(ref symbol) => {
                let Some(dylib) = self.code_of(visitor) else { return true };
                let own = |each| each == dylib && self.definition(each, symbol).is_some();
                let order = self.scope(Scope::Handle(dylib), None);
                let found = order.into_iter().find(|&each| own(each) || self.exports(each, symbol));
                self.note(visitor, Event::Refer { dylib, symbol: symbol.clone(), found });
            }
            Act::Describe(dylib, at) => {
                let there = &self.dylibs[dylib.index()];
                let before = there.definitions.iter().filter(|each| each.at <= at).max_by_key(|each| each.at);
                let symbol = before.map(|each| (each.symbol.clone(), at - each.at));
                let said = there.placed.then_some(Described { dylib, symbol });
                self.note(visitor, Event::Describe { dylib, at, said });
            }
            Act::Named(dylib, ref name) => {
                self.names.insert(name.clone(), dylib);
                self.note(visitor, Event::Named { dylib, name: name.clone() });
            }
            Act::Resolve(ref name) => {
                let to = match self.names.get(name) {
                    Some(&dylib) => Resolved::Dylib(dylib),
                    None if SYSTEM.contains(&name.as_str()) => Resolved::System,
                    None => Resolved::Nobody,
                };
                self.note(visitor, Event::Resolve { name: name.clone(), to });
            }
            _ => return false,
        }
        true
    }

    fn cause(&mut self, visitor: VisitorId, dylib: DylibId, mended: bool, change: impl Fn(&mut Surroundings)) {
        change(&mut self.dylibs[dylib.index()]);
        self.note(visitor, Event::Cause { dylib, mended });
    }

    pub(crate) fn is_broken(&self, dylib: DylibId) -> bool {
        self.dylibs[dylib.index()].broken
    }

    pub(crate) fn program(&self) -> Option<DylibId> {
        self.program
    }

    pub(crate) fn link(&mut self, visitor: VisitorId, dylib: DylibId, links: &[DylibId]) {
        self.graph.set_link_order(dylib, links).expect("the program has these dylibs");
        self.note(visitor, Event::Link { dylib, links: links.to_vec() });
    }

    /// `dylib` has got its batch of code with this number.
    pub(crate) fn code(&mut self, visitor: VisitorId, dylib: DylibId, batch: u32, arrays: &[(InitSection, u32)]) {
        let batches = &mut self.dylibs[dylib.index()].arrays;
        batches.resize_with(batch as usize, Vec::new);
        batches.push(arrays.to_vec());
        self.note(visitor, Event::Code { dylib });
    }

    /// A run begins, of these batches of code.
    pub(crate) fn init(&mut self, visitor: VisitorId, dylib: DylibId, batches: std::ops::Range<u32>) {
        self.note(visitor, Event::Init { dylib });
        for batch in batches {
            let arrays = self.dylibs[dylib.index()].arrays.get(batch as usize).cloned().unwrap_or_default();
            let sections: Vec<_> = arrays.iter().map(|&(section, _)| section).collect();
            for at in initializer_order(&sections) {
                let (section, length) = arrays[at];
                for entry in 0..length {
                    let entry = if section.kind.runs_backward() { length - 1 - entry } else { entry };
                    self.note(visitor, Event::Initializer { dylib, batch, section, entry });
                }
            }
        }
    }

    /// A call begins.
    pub(crate) fn begin(&mut self, visitor: VisitorId, call: Call, dylib: DylibId, mode: Mode) {
        self.note(visitor, Event::Begin { call, dylib });
        if mode != Mode::default() {
            self.note(visitor, Event::Mode { mode });
        }
    }

    /// A call ends. An error is named after the dylibs that are concerned.
    pub(crate) fn end(
        &mut self,
        visitor: VisitorId,
        call: Call,
        dylib: DylibId,
        mode: Mode,
        result: Result<(), String>,
    ) {
        let ok = result.is_ok();
        if let Err(why) = result {
            self.fail(visitor, format!("{call:?} of {dylib}: {why}"), vec![dylib]);
        } else if mode.global && !self.global.contains(&dylib) {
            self.global.push(dylib);
        }
        self.note(visitor, Event::End { call, dylib, ok });
    }

    fn fail(&mut self, visitor: VisitorId, text: String, names: Vec<DylibId>) {
        self.errors.insert(visitor, text.clone());
        self.note(visitor, Event::Error { text, names });
    }

    /// Links what an open of `root` needs and gives it its place.
    ///
    /// # Errors
    /// Why that cannot be. Then everything is as it was.
    pub(crate) fn prepare(
        &mut self,
        visitor: VisitorId,
        root: DylibId,
        mode: Mode,
        is_loaded: bool,
    ) -> Result<(), String> {
        let order = self.scope(Scope::Handle(root), None);
        if let Some(dylib) = order.iter().find(|dylib| self.dylibs[dylib.index()].parked) {
            return Err(format!("{dylib} is unloaded, and somebody is still inside"));
        }
        if mode.noload && !is_loaded {
            return Err("not loaded".into());
        }
        let new: Vec<_> = order.into_iter().filter(|dylib| !self.dylibs[dylib.index()].placed).collect();
        for (at, &dylib) in new.iter().enumerate() {
            if self.dylibs[dylib.index()].lacking {
                self.note(visitor, Event::Unplaceable { dylib });
                for &dylib in &new[..at] {
                    self.dylibs[dylib.index()].placed = false;
                    self.note(visitor, Event::Displace { dylib });
                }
                return Err(format!("{dylib} cannot be linked: a symbol is missing"));
            }
            self.dylibs[dylib.index()].placed = true;
            self.note(visitor, Event::Place { dylib });
        }
        for dylib in new {
            for definition in self.dylibs[dylib.index()].definitions.clone() {
                if matches!(definition.kind, Kind::Weak | Kind::Group(_) | Kind::Unique) {
                    let owner = self.unify(dylib, &definition);
                    self.note(visitor, Event::Unify { dylib, symbol: definition.symbol, owner });
                }
            }
        }
        Ok(())
    }

    /// Whose definition `dylib` uses (rule 30).
    fn unify(&mut self, dylib: DylibId, own: &Definition) -> DylibId {
        if self.dylibs[dylib.index()].apart {
            return dylib;
        }
        let same = |each: &DylibId| {
            let Surroundings { placed, ref definitions, .. } = self.dylibs[each.index()];
            let group = |other: &Definition| other.kind == own.kind;
            let grouped = matches!(own.kind, Kind::Group(_));
            let has = if grouped { definitions.iter().any(group) } else { self.exports(*each, &own.symbol) };
            placed && has
        };
        let first = self.scope(Scope::Default, Some(dylib)).into_iter().find(same).unwrap_or(dylib);
        if first == dylib && own.kind == Kind::Unique {
            return *self.unique.entry(own.symbol.clone()).or_insert(dylib);
        }
        first
    }

    /// Takes the latest handler of `dylibs` that was registered after `moment`.
    pub(crate) fn take_handler(&mut self, dylibs: &[DylibId], moment: u64) -> Option<Handler<'a>> {
        let due = |each: &Handler<'_>| dylibs.contains(&each.dylib) && each.number > moment;
        let latest = self.handlers.iter().rposition(due)?;
        Some(self.handlers.remove(latest))
    }

    /// Destroys what `visitor` has of `dylibs`, the latest first.
    pub(crate) fn destroy(&mut self, visitor: VisitorId, dylibs: impl Fn(DylibId) -> bool) -> bool {
        let own = |&(owner, dylib, _): &(VisitorId, DylibId, u64)| owner == visitor && dylibs(dylib);
        let objects: Vec<_> = self.objects.extract_if(.., |object| own(object)).collect();
        for &(_, dylib, object) in objects.iter().rev() {
            self.note(visitor, Event::ThreadLocalEnd { dylib, object });
        }
        !objects.is_empty()
    }

    /// Whether somebody has objects of `dylibs`.
    pub(crate) fn has_objects(&self, dylibs: &[DylibId]) -> bool {
        self.objects.iter().any(|(_, dylib, _)| dylibs.contains(dylib))
    }

    /// Whether `visitor` has objects.
    pub(crate) fn owns_objects(&self, visitor: VisitorId) -> bool {
        self.objects.iter().any(|&(owner, ..)| owner == visitor)
    }

    /// The memory of `dylibs` goes, or is parked where somebody is inside.
    pub(crate) fn release(&mut self, visitor: VisitorId, mut dylibs: Vec<DylibId>) {
        dylibs.sort_unstable();
        for &dylib in &dylibs {
            if self.is_inside(dylib) {
                self.dylibs[dylib.index()].parked = true;
                self.note(visitor, Event::Park { dylib });
            }
            let surroundings = &mut self.dylibs[dylib.index()];
            surroundings.placed = false;
            surroundings.data = 0;
            surroundings.arrays.clear();
        }
        self.global.retain(|dylib| !dylibs.contains(dylib));
        self.unique.retain(|_, dylib| !dylibs.contains(dylib));
        self.note(visitor, Event::Release { dylibs });
    }

    /// How many dylibs' code `visitor` is inside of.
    pub(crate) fn depth(&self, visitor: VisitorId) -> usize {
        self.inside.get(&visitor).map_or(0, Vec::len)
    }

    /// Leaves what was entered since the depth was `depth`.
    pub(crate) fn leave_to(&mut self, visitor: VisitorId, depth: usize) {
        while self.depth(visitor) > depth {
            let Some((dylib, _)) = self.inside.get_mut(&visitor).and_then(Vec::pop) else { return };
            self.note(visitor, Event::Leave { dylib });
            if self.dylibs[dylib.index()].parked && !self.is_inside(dylib) {
                self.dylibs[dylib.index()].parked = false;
                self.note(visitor, Event::Free { dylib });
            }
        }
    }

    fn is_inside(&self, dylib: DylibId) -> bool {
        self.inside.values().flatten().any(|&(each, _)| each == dylib)
    }

    /// The dylib whose code `visitor` runs. Code in parked memory is on its way out and does nothing.
    fn code_of(&self, visitor: VisitorId) -> Option<DylibId> {
        let &(dylib, _) = self.inside.get(&visitor)?.last()?;
        (!self.dylibs[dylib.index()].parked).then_some(dylib)
    }

    fn scope(&self, scope: Scope, asking: Option<DylibId>) -> Vec<DylibId> {
        search_scope(&self.graph, scope, self.program, &self.global, asking).expect("the program has these dylibs")
    }

    fn definition(&self, dylib: DylibId, symbol: &str) -> Option<&Definition> {
        self.dylibs[dylib.index()].definitions.iter().find(|definition| definition.symbol == symbol)
    }

    fn exports(&self, dylib: DylibId, symbol: &str) -> bool {
        self.definition(dylib, symbol).is_some_and(|definition| definition.kind != Kind::Hidden)
    }
}
