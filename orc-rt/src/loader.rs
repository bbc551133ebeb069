//! Opening, updating and closing: the loader decides, this file does.
//!
//! `dylib_graph::Loader` says whose initializers run next; here they are called, on the calling thread, with no lock held. Everything
//! that executed code may unwind through is a guard whose drop puts the state in order: an exception that leaves an initializer passes through `dlopen`
//! to its caller, and the dylib is poisoned (rule 15).
//!
//! `unsafe` because initializers and finalizers are addresses; the promise of [`Session::new`](crate::Session::new) covers them.
#![allow(unsafe_code)]

use crate::atexit::Backwards;
use crate::call::{self, Arguments};
use crate::context::{self, Running};
use crate::dlfcn::{self, DlError, Handle};
use crate::doing::Noted;
use crate::keepalive::{Keepalive, Rests};
use crate::service::{InitArray, Open as OpenMessage, Plan, PlanDylib, mode, tag};
use crate::session::{Batch, DoneRun, DylibState, Locked, Session, State};
use crate::sync::Arc;
use crate::waits::{Activity, Awaited, Wait};
use dispatch::CallError;
use dylib_graph::{Close, CloseStep, DylibId, Finished, LoadError, Open, Outcome, Run, Status, Step};

/// What to ask the controller for.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    Open { name: &'a str, mode: u32 },
    Update(DylibId),
}

impl Session {
    /// Opens the JITDylib `name` (empty: the program) and returns its handle.
    pub(crate) fn open(self: &Arc<Self>, name: &str, flags: u32) -> Result<Handle, DlError> {
        let flags = if flags & (mode::LAZY | mode::NOW) == 0 { flags | mode::NOW } else { flags };
        if let Some(handle) = self.reopen(name, flags) {
            return Ok(handle);
        }
        let open = self.begin(Wanted::Open { name, mode: flags })?;
        let root = open.root();
        OpenInProgress::new(self, open).finish()?;
        let mut state = self.lock();
        if flags & mode::NODELETE != 0 && !state.dylibs[root.index()].nodelete {
            // A count that nobody has a handle for keeps it open for good.
            let open = state.loader.begin_open(root, context::visitor()).map_err(|error| explain(&state, &error))?;
            state.dylibs[root.index()].nodelete = true;
            drop(state);
            OpenInProgress::new(self, open).finish()?;
            state = self.lock();
        }
        if state.loader.count(root) == 0 {
            if self.gate.is_closed() {
                return Err(DlError::ShutDown);
            }
            // Its own initializer gave this very open back.
            return Err(explain(&state, &LoadError::NotOpen { dylib: root }));
        }
        let handle = *state.dylibs[root.index()].handle.get_or_insert_with(|| dlfcn::new_handle(self, root));
        Ok(handle)
    }

    /// The handle of a dylib that is open and complete, when the controller has changed nothing since it planned for it: there is nothing to ask, to
    /// run or to wait for.
    fn reopen(self: &Arc<Self>, name: &str, flags: u32) -> Option<Handle> {
        let now = self.changes()?;
        if context::is_resolving() {
            return None;
        }
        let mut state = self.lock();
        let root = if name.is_empty() { state.program? } else { *state.by_name.get(name)? };
        let State { loader, dylibs, .. } = &mut *state;
        let known = dylibs.get_mut(root.index())?;
        let knows_modes =
            (flags & mode::GLOBAL == 0 || known.global) && (flags & mode::NODELETE == 0 || known.nodelete);
        if known.planned_at != Some(now) || !knows_modes || !loader.reopen(root, context::visitor()) {
            return None;
        }
        Some(*known.handle.get_or_insert_with(|| dlfcn::new_handle(self, root)))
    }

    /// Runs what is new in an open dylib and its dependencies.
    pub(crate) fn update(self: &Arc<Self>, dylib: DylibId) -> Result<(), DlError> {
        let open = self.begin(Wanted::Update(dylib))?;
        OpenInProgress::new(self, open).finish()
    }

    /// Unloads a dylib that nobody holds: one that is poisoned, or that a failed open left initialized. The next open starts from pristine
    /// memory.
    ///
    /// # Errors
    /// It is not loaded, or somebody holds it.
    pub fn unload(&self, dylib: DylibId) -> Result<(), DlError> {
        let mut state = self.lock();
        let close = state.loader.begin_unload(dylib, context::visitor()).map_err(|error| explain(&state, &error))?;
        let close = self.take_on(close);
        drop(state);
        self.finish_close(close);
        Ok(())
    }

    /// Before the state is unlocked that a close was begun with: a shutdown waits for it from here on. `None` when there is nothing to do, or
    /// when a shutdown has begun, which undoes what this one would.
    pub(crate) fn take_on(&self, close: Close) -> Option<TakenOn> {
        let first = *close.dylibs().first()?;
        let inside = self.enter(first, None, Activity::Finalizes)?;
        Some(TakenOn { close, inside: Some(inside) })
    }

    /// Runs what a close has to run, and tells the controller.
    pub(crate) fn finish_close(&self, close: Option<TakenOn>) {
        if let Some(taken) = close {
            CloseInProgress::new(self.this(), taken).drive();
        }
    }

    /// Asks for a plan, notes it, and begins. The controller and the loader see opens and closes in the same order, since no other plan or close gets in between.
    fn begin(self: &Arc<Self>, wanted: Wanted<'_>) -> Result<Open, DlError> {
        let mut patience = Patience::new(self);
        let begun = self.begin_when_possible(wanted, &mut patience);
        if begun.is_err() && patience.wait.is_some() {
            self.lock().loader.stop_waiting(context::visitor());
        }
        begun
    }

    fn begin_when_possible(self: &Arc<Self>, wanted: Wanted<'_>, patience: &mut Patience<'_>) -> Result<Open, DlError> {
        loop {
            if self.gate.is_closed() {
                return Err(DlError::ShutDown);
            }
            let planning = self.plan_lock()?;
            let asked_at = self.changes();
            let plan = self.plan(wanted)?;
            let mut state = self.lock();
            let root = merge(&mut state, plan)?;
            note_plan(&mut state, root, wanted, asked_at);
            self.turn();
            let begun = match wanted {
                Wanted::Open { mode, name } if mode & mode::NOLOAD != 0 && !is_loaded(&state, root) => {
                    return Err(DlError::NotLoaded { name: name.to_owned() });
                }
                Wanted::Open { .. } => state.loader.begin_open(root, context::visitor()),
                Wanted::Update(_) => state.loader.begin_update(root, context::visitor()),
            };
            if begun.is_err() {
                let stranded = state.take_stranded();
                drop(state);
                self.tell_closed(&stranded);
                state = self.lock();
            }
            drop(planning);
            match begun {
                Ok(open) => return Ok(open),
                Err(error) => {
                    let (LoadError::Unloading { dylib, .. } | LoadError::UnloadCycle { dylib }) = error else {
                        return Err(if self.gate.is_closed() { DlError::ShutDown } else { explain(&state, &error) });
                    };
                    if !matches!(state.loader.status(dylib), Status::Unloading(_)) {
                        // It went while the state was unlocked.
                        continue;
                    }
                    match self.gate.unloading(dylib) {
                        Rests::Waits(count) => {
                            return Err(DlError::StillInside { name: state.name(dylib).to_owned(), count });
                        }
                        // Whoever began the unload, the last one inside is ending it.
                        Rests::Runs => {}
                        Rests::No if matches!(error, LoadError::UnloadCycle { .. }) => {
                            return Err(explain(&state, &error));
                        }
                        Rests::No => {}
                    }
                    patience.wait(&mut state, Awaited::Unload, dylib);
                }
            }
        }
    }

    fn tell_closed(&self, dylibs: &[DylibId]) {
        if dylibs.is_empty() {
            return;
        }
        let numbers: Vec<u32> = dylibs.iter().map(|dylib| dylib.get()).collect();
        if let Err(error) = self.ask::<_, ()>(tag::CLOSED, &numbers) {
            tracing::warn!(%error, "the controller did not hear that {} dylibs are unloaded", numbers.len());
        }
        self.turn();
    }

    /// Gives back what was linked for opens that failed, except what others are bound to.
    fn give_back_stranded(&self) {
        // Inside of a resolver nothing can be given back; the next failure or unload comes by here again.
        let Ok(_planning) = self.plan_lock() else { return };
        let stranded = self.lock().take_stranded();
        self.tell_closed(&stranded);
    }

    fn plan(&self, wanted: Wanted<'_>) -> Result<Plan, DlError> {
        let (name, answer) = match wanted {
            Wanted::Open { name, mode } => {
                let answer: Result<Result<Option<Plan>, String>, CallError> =
                    self.ask(tag::OPEN, &OpenMessage { name, mode });
                (name.to_owned(), answer)
            }
            Wanted::Update(dylib) => {
                let answer: Result<Result<Plan, String>, CallError> = self.ask(tag::UPDATE, &dylib.get());
                (self.lock().name(dylib).to_owned(), answer.map(|answer| answer.map(Some)))
            }
        };
        match answer {
            Ok(Ok(Some(plan))) => Ok(plan),
            Ok(Ok(None)) => Err(DlError::NoSuchDylib { name }),
            Ok(Err(reason)) => Err(DlError::Link { name, reason }),
            Err(source) => Err(DlError::Controller { source }),
        }
    }

    pub(crate) fn initializer_arguments(&self) -> Arguments {
        self.arguments.lock().1.unwrap_or_else(Arguments::of_this_process)
    }
}

impl State {
    /// Dylibs that were linked for an open which failed before they ran, and which nothing that is loaded reaches. They are as if never
    /// linked (rule 14), and must be: what they are bound to may go, and they would not hold it.
    fn take_stranded(&mut self) -> Vec<DylibId> {
        let Self { loader, dylibs, may_be_stranded, .. } = self;
        let graph = loader.graph();
        let mut reached = vec![false; graph.id_bound()];
        let mut next: Vec<DylibId> = graph.dylibs().filter(|dylib| loader.status(*dylib) != Status::Unloaded).collect();
        while let Some(dylib) = next.pop() {
            if !std::mem::replace(&mut reached[dylib.index()], true) {
                next.extend(graph.link_order(dylib));
            }
        }
        *may_be_stranded = false;
        let mut stranded = Vec::new();
        for dylib in graph.dylibs().filter(|dylib| loader.status(*dylib) == Status::Unloaded) {
            let Some(known) = dylibs.get_mut(dylib.index()).filter(|known| known.linked) else { continue };
            if reached[dylib.index()] {
                *may_be_stranded = true;
                continue;
            }
            known.linked = false;
            known.preinit.clear();
            // The loader has counted the batches, so they stay as empty ones.
            known.batches.iter_mut().for_each(|batch| *batch = Batch::default());
            stranded.push(dylib);
        }
        stranded
    }
}

fn is_loaded(state: &State, dylib: DylibId) -> bool {
    !matches!(state.loader.status(dylib), Status::Unloaded | Status::Unloading(_))
}

/// Notes dylibs, link orders and arrays of a plan.
fn merge(state: &mut State, plan: Plan) -> Result<DylibId, DlError> {
    let id =
        |number: u32| DylibId::new(number).ok_or_else(|| DlError::BadPlan { reason: "a dylib with number 0".into() });
    let bad = |error: dylib_graph::GraphError| DlError::BadPlan { reason: error.to_string() };
    let root = id(plan.root)?;
    let ids = plan.dylibs.iter().map(|dylib| id(dylib.id)).collect::<Result<Vec<_>, _>>()?;
    // Everything is checked before anything is noted.
    for (dylib, &own) in plan.dylibs.iter().zip(&ids) {
        state.loader.ensure(own).map_err(bad)?;
        for &link in &dylib.links {
            state.loader.ensure(id(link)?).map_err(bad)?;
        }
    }
    state.loader.ensure(root).map_err(bad)?;
    let bound = state.loader.graph().id_bound();
    if state.dylibs.len() < bound {
        state.dylibs.resize_with(bound, DylibState::default);
    }
    let newest = plan.epoch >= state.epoch;
    state.epoch = state.epoch.max(plan.epoch);
    let mut links = Vec::new();
    for (dylib, own) in plan.dylibs.into_iter().zip(ids) {
        let PlanDylib { name, links: numbers, new_initializers, new_finalizers, mut new_preinit, is_program, .. } =
            dylib;
        if newest {
            links.clear();
            links.extend(numbers.into_iter().filter_map(DylibId::new));
            state.loader.set_link_order(own, &links).map_err(bad)?;
        }
        if !new_initializers.is_empty() || !new_finalizers.is_empty() {
            state.loader.add_code(own).map_err(bad)?;
            state.dylibs[own.index()]
                .batches
                .push(Batch { initializers: new_initializers, finalizers: new_finalizers });
        }
        if is_program {
            state.program = Some(own);
        }
        let known = &mut state.dylibs[own.index()];
        known.name = name;
        known.linked = true;
        known.preinit.append(&mut new_preinit);
    }
    Ok(root)
}

/// Notes what the next open of `root` need not ask for.
fn note_plan(state: &mut State, root: DylibId, wanted: Wanted<'_>, asked_at: Option<u64>) {
    let known = &mut state.dylibs[root.index()];
    let Wanted::Open { name, mode } = wanted else {
        known.planned_at = asked_at;
        return;
    };
    known.global |= mode & mode::GLOBAL != 0;
    // For an open with NOLOAD nothing was linked, so the plan may lack what the next open brings.
    if mode & mode::NOLOAD == 0 {
        known.planned_at = asked_at;
    }
    if !name.is_empty() && asked_at.is_some() && state.by_name.get(name) != Some(&root) {
        state.by_name.insert(name.to_owned(), root);
    }
}

/// A wait for others, which is told when it lasts (rule 13). Dropped with no lock held.
struct Patience<'a> {
    session: &'a Session,
    wait: Option<Wait<'a>>,
    about: Option<(Awaited, DylibId)>,
}

impl<'a> Patience<'a> {
    fn new(session: &'a Session) -> Self {
        Self { session, wait: None, about: None }
    }

    /// Waits until something changes in the loader.
    fn wait(&mut self, state: &mut Locked<'_>, awaited: Awaited, dylib: DylibId) {
        let waits = &self.session.waits;
        let before = self.about.replace((awaited, dylib));
        let names = || vec![state.name(dylib).to_owned()];
        let wait = match &mut self.wait {
            Some(wait) => {
                if before != self.about {
                    wait.now_for(awaited, names());
                }
                wait
            }
            none => none.insert(waits.begin(context::visitor(), awaited, names())),
        };
        let seen = state.loader.changes();
        while state.loader.changes() == seen {
            state.wait(wait.left());
            if wait.is_due() {
                let chain = state.chain(dylib);
                state.without(|| wait.report(|waits| chain.into_iter().map(|each| each.named(waits)).collect()));
            }
        }
    }
}

/// A loader's error with names in place of numbers.
pub(crate) fn explain(state: &State, error: &LoadError) -> DlError {
    let name = |dylib: &DylibId| state.name(*dylib).to_owned();
    match error {
        LoadError::NotOpen { dylib } => DlError::NotOpen { name: name(dylib) },
        LoadError::Poisoned { dylib, initializer } => {
            DlError::Poisoned { name: name(dylib), initializer: initializer.clone() }
        }
        LoadError::Unloading { dylib, .. } | LoadError::UnloadCycle { dylib } => {
            DlError::Unloading { name: name(dylib) }
        }
        LoadError::InUse { dylib } => DlError::InUse { name: name(dylib) },
        LoadError::ShutDown => DlError::ShutDown,
        other => DlError::BadPlan { reason: other.to_string() },
    }
}

/// An open or update whose initializers are being run. Dropped before [`finish`](Self::finish) is through, by an exception, it puts everything in order.
struct OpenInProgress<'a> {
    session: &'a Arc<Session>,
    open: Option<Open>,
    root: DylibId,
    running: Option<Run>,
    /// The initializer that is being called.
    at: u64,
}

impl<'a> OpenInProgress<'a> {
    fn new(session: &'a Arc<Session>, open: Open) -> Self {
        Self { session, root: open.root(), open: Some(open), running: None, at: 0 }
    }

    fn finish(mut self) -> Result<(), DlError> {
        self.run_preinit()?;
        // A failure of a step is what finishing reports.
        while let Some(run) = self.next_run() {
            self.run(run)?;
        }
        let Some(open) = self.open.take() else { return Ok(()) };
        let mut state = self.session.lock();
        let Finished { result, close } = state.loader.finish_open(open);
        let closed = self.session.gate.is_closed();
        let why = |error| if closed { DlError::ShutDown } else { explain(&state, &error) };
        let result = result.map(|_| ()).map_err(why);
        let close = close.and_then(|close| self.session.take_on(close));
        drop(state);
        if result.is_err() {
            self.session.give_back_stranded();
        }
        self.session.finish_close(close);
        result
    }

    /// `.preinit_array` of the program runs before every other initializer, those of its dependencies included (gABI, "Initialization and Termination Functions").
    fn run_preinit(&mut self) -> Result<(), DlError> {
        let arrays = {
            let mut state = self.session.lock();
            if state.program != Some(self.root) {
                return Ok(());
            }
            std::mem::take(&mut state.dylibs[self.root.index()].preinit)
        };
        self.call_all(self.root, &arrays).map(|_| ())
    }

    fn next_run(&mut self) -> Option<Run> {
        let open = self.open.as_mut()?;
        let mut patience = Patience::new(self.session);
        let mut state = self.session.lock();
        loop {
            match state.loader.step(open) {
                Ok(Step::Run(run)) => return Some(run),
                Ok(Step::Wait(dylib)) => patience.wait(&mut state, Awaited::Initialization, dylib),
                Ok(Step::Ready) | Err(_) => return None,
            }
        }
    }

    fn run(&mut self, run: Run) -> Result<(), DlError> {
        self.running = Some(run);
        let arrays = {
            let state = self.session.lock();
            let batches = &state.dylibs[run.dylib.index()].batches;
            let batches = batches.get(run.batches().start as usize..run.batches().end as usize).unwrap_or_default();
            batches.iter().flat_map(|batch| batch.initializers.iter().copied()).collect::<Vec<_>>()
        };
        // Until the run is known to be over: a shutdown that comes before would not undo it.
        let _inside = self.call_all(run.dylib, &arrays)?;
        self.running = None;
        let mut state = self.session.lock();
        record(&mut state, run, false);
        if let Some(open) = &mut self.open {
            state.loader.completed(open, Outcome::Completed);
        }
        Ok(())
    }

    /// Fails when the session has been shut down meanwhile; dropping puts everything in order then, too.
    fn call_all(&mut self, dylib: DylibId, arrays: &[InitArray]) -> Result<Option<Keepalive>, DlError> {
        if arrays.is_empty() {
            return Ok(None);
        }
        // A shutdown, which asks for no counts, does not free what runs.
        let inside = self.session.enter(dylib, None, Activity::Initializes).ok_or(DlError::ShutDown)?;
        let _running = Running::enter(self.session, Some(dylib));
        let doing = self.session.begin_doing(dylib, Activity::Initializes);
        let arguments = self.session.initializer_arguments();
        for array in arrays {
            for index in 0..array.count {
                // SAFETY: the controller says that the array is there and what it holds; its dylib is in use by this open.
                if let Some(address) = unsafe { call::entry(array, index) } {
                    self.at = address;
                    doing.at(address);
                    // SAFETY: as above.
                    unsafe { call::initializer(address, arguments) };
                }
            }
        }
        self.at = 0;
        Ok(Some(inside))
    }
}

impl Drop for OpenInProgress<'_> {
    fn drop(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        let threw = name_of_code(self.at);
        let mut state = self.session.lock();
        if let Some(run) = self.running.take() {
            record(&mut state, run, true);
            state.loader.completed(&mut open, Outcome::Threw(threw));
        }
        let close = state.loader.abandon_open(open).and_then(|close| self.session.take_on(close));
        drop(state);
        self.session.give_back_stranded();
        self.session.finish_close(close);
    }
}

/// Gives a run its place in the order of things to undo.
fn record(state: &mut State, run: Run, threw: bool) {
    let number = state.next_number();
    state.dylibs[run.dylib.index()].runs.push(DoneRun { run, number, finalized: threw });
}

/// `name (0x7f...)`, as far as anybody knows.
fn name_of_code(address: u64) -> String {
    match crate::image::at(address).and_then(|image| image.symbol(address)) {
        Some(symbol) => format!("the initializer {} at {address:#x}", symbol.name.to_string_lossy()),
        None => format!("the initializer at {address:#x}"),
    }
}

/// Finalizers that are being run. An exception that leaves one of them passes on; the rest runs nevertheless.
struct Finalizing<'a> {
    arrays: std::vec::IntoIter<InitArray>,
    /// The array that is being run, and its next entry.
    current: Option<(InitArray, u64)>,
    doing: Noted<'a>,
}

impl Finalizing<'_> {
    fn run(&mut self) {
        loop {
            match &mut self.current {
                Some((array, next)) if *next < array.count => {
                    let index = *next;
                    // Counted before it runs, so that one that throws or exits is not called again.
                    *next += 1;
                    // SAFETY: the controller says that the array is there and what it holds; its dylib is released only after its finalizers.
                    if let Some(address) = unsafe { call::entry(array, index) } {
                        self.doing.at(address);
                        // SAFETY: as above.
                        unsafe { call::plain(address) };
                    }
                }
                _ => match self.arrays.next() {
                    Some(array) => self.current = Some((array, 0)),
                    None => return,
                },
            }
        }
    }
}

impl Drop for Finalizing<'_> {
    fn drop(&mut self) {
        self.run();
    }
}

/// A close that this thread does, and for as long a token of what goes: a shutdown, which asks for no counts and frees all at once, waits
/// for it.
pub(crate) struct TakenOn {
    close: Close,
    /// None for the shutdown's own.
    inside: Option<Keepalive>,
}

impl TakenOn {
    pub(crate) fn by_shutdown(close: Close) -> Option<Self> {
        (!close.dylibs().is_empty()).then_some(Self { close, inside: None })
    }
}

/// A close whose handlers and finalizers are being run. An exception that leaves one of them passes on; the rest runs nevertheless.
struct CloseInProgress {
    session: Arc<Session>,
    close: Option<Close>,
    walk: Backwards,
    /// Given out by the loader and not undone yet: an exception may come in between.
    undoing: Option<Run>,
    /// See [`TakenOn`].
    inside: Option<Keepalive>,
}

impl CloseInProgress {
    fn new(session: Arc<Session>, taken: TakenOn) -> Self {
        let TakenOn { close, inside } = taken;
        let walk = Backwards::over(close.dylibs().to_vec());
        Self { session, close: Some(close), walk, undoing: None, inside }
    }

    fn drive(mut self) {
        if let Some(close) = &self.close {
            let dylibs = close.dylibs().to_vec();
            crate::tls::run_destructors(&self.session, |waiting| dylibs.contains(&waiting.dylib));
        }
        self.run_all();
    }

    fn run_all(&mut self) {
        loop {
            if let Some(run) = self.undoing {
                self.undo(run);
                self.undoing = None;
            }
            let Some(close) = &mut self.close else { return };
            let step = self.session.lock().loader.close_step(close);
            match step {
                CloseStep::Finalize(run) | CloseStep::Discard(run) => self.undoing = Some(run),
                CloseStep::Release(dylibs) => {
                    // What was registered before the first run finished.
                    self.run_handlers(0);
                    let Some(close) = self.close.take() else { return };
                    self.inside = None;
                    let session = Arc::clone(&self.session);
                    self.session.release_when_free(dylibs.clone(), move || session.release(&dylibs, close));
                }
                CloseStep::Done => self.close = None,
            }
        }
    }

    /// Everything that happened since `run` and belongs to the dylibs that go, then what `run` set up.
    fn undo(&mut self, run: Run) {
        let number = {
            let state = self.session.lock();
            let runs = &state.dylibs[run.dylib.index()].runs;
            runs.iter().rfind(|done| done.run == run).map_or(0, |done| done.number)
        };
        self.run_handlers(number);
        self.session.finalize(run, number);
    }

    fn run_handlers(&mut self, floor: u64) {
        self.session.run_handlers(&mut self.walk, floor, 0);
    }
}

impl Drop for CloseInProgress {
    fn drop(&mut self) {
        self.run_all();
    }
}

impl Session {
    /// Runs handlers of `walk`'s dylibs from the latest back to number `floor`.
    pub(crate) fn run_handlers(self: &Arc<Self>, walk: &mut Backwards, floor: u64, status: i32) {
        loop {
            let taken = self.lock().handlers.take_latest(walk, floor);
            let Some(handler) = taken else { return };
            let _running = Running::enter(self, None);
            // SAFETY: executed code registered it, and its dylib is released only after all its handlers.
            unsafe { call::handler(handler, status) };
        }
    }

    /// Runs the finalizers of a run, unless they have run.
    pub(crate) fn finalize(self: &Arc<Self>, run: Run, number: u64) {
        let arrays = {
            let mut state = self.lock();
            let DylibState { runs, batches, .. } = &mut state.dylibs[run.dylib.index()];
            let Some(done) = runs.iter_mut().rfind(|done| done.number == number && !done.finalized) else { return };
            done.finalized = true;
            let batches = batches.get(run.batches().start as usize..run.batches().end as usize).unwrap_or_default();
            // What came later goes first.
            batches.iter().rev().flat_map(|batch| batch.finalizers.iter().copied()).collect::<Vec<_>>()
        };
        if arrays.is_empty() {
            return;
        }
        let _running = Running::enter(self, Some(run.dylib));
        let doing = self.begin_doing(run.dylib, Activity::Finalizes);
        Finalizing { arrays: arrays.into_iter(), current: None, doing }.run();
    }

    /// The memory of dylibs whose finalizers have run goes back.
    fn release(self: &Arc<Self>, dylibs: &[DylibId], mut close: Close) {
        // Inside of a resolver the lock is this thread's already.
        let planning = self.plan_lock();
        self.tell_closed(dylibs);
        let mut state = self.lock();
        for dylib in dylibs {
            let known = &mut state.dylibs[dylib.index()];
            let name = std::mem::take(&mut known.name);
            if let Some(handle) = known.handle.take() {
                dlfcn::forget_handle(handle);
            }
            *known = DylibState { name, ..DylibState::default() };
        }
        let step = state.loader.close_step(&mut close);
        debug_assert_eq!(step, CloseStep::Done);
        let stranded = if planning.is_ok() && state.may_be_stranded { state.take_stranded() } else { Vec::new() };
        drop(state);
        self.tell_closed(&stranded);
        drop(planning);
    }
}
