//! Opening and closing for an executor that cannot: the loader runs here, and what it decides is called there.
//!
//! As the runtime's own loader, but for where it stands: plans come from the controller in this process, without a message, and
//! each run of initializers is one call. Linked code cannot come back here, so nothing nests; threads of this process may open and close at the
//! same time.

use super::remote::{Array, Remote};
use super::state::{Known, Locked, State};
use super::undo::{Records, walked};
use crate::executor::ExecutorError;
use dispatch::{CallError, Caller, call_typed};
use dylib_graph::{Close, CloseStep, DylibId, Finished, LoadError, Open, Outcome, Run, Status, Step, VisitorId};
use orc_rt::service::{Found, InitArray, Lookup, Open as OpenMessage, Plan, mode, scope, tag};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

type Result<T> = std::result::Result<T, ExecutorError>;

/// What is open in the executor, and the way to open more.
pub(super) struct Opener {
    remote: Arc<Remote>,
    controller: OnceLock<Arc<dyn Caller>>,
    state: Mutex<State>,
    /// The loader's state changed.
    changed: Condvar,
    /// Held while the controller plans an open or hears of a close, so that both see these in one order.
    planning: Mutex<()>,
    records: Mutex<Records>,
    /// What initializers and `main` get.
    arguments: Mutex<Option<Arguments>>,
}

/// Arguments that are in the executor's memory. They stay there, since programs keep pointers to them.
struct Arguments {
    strings: Vec<Vec<u8>>,
    /// Address of the vector.
    vector: u64,
}

/// What to ask the controller for.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    Open { name: &'a str, mode: u32 },
    Update(DylibId),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// This thread, as the loader knows it.
fn visitor() -> VisitorId {
    static LAST: AtomicU64 = AtomicU64::new(0);
    thread_local! { static OWN: u64 = LAST.fetch_add(1, Ordering::Relaxed) + 1; }
    VisitorId(OWN.with(|own| *own))
}

fn refuse<T>(text: impl Into<String>) -> Result<T> {
    Err(ExecutorError(text.into()))
}

impl Opener {
    pub(super) fn new(remote: Arc<Remote>) -> Self {
        Self {
            remote,
            controller: OnceLock::new(),
            state: Mutex::default(),
            changed: Condvar::new(),
            planning: Mutex::new(()),
            records: Mutex::default(),
            arguments: Mutex::default(),
        }
    }

    fn locked(&self) -> Locked<'_> {
        Locked::new(lock(&self.state), &self.changed)
    }

    pub(super) fn attach(&self, controller: Arc<dyn Caller>) -> Result<()> {
        self.controller.set(controller).or_else(|_| refuse("the executor has a controller already"))
    }

    fn ask<A: dispatch::packed::Pack, R: for<'a> dispatch::packed::Unpack<'a>>(
        &self,
        tag: dispatch::Tag,
        arguments: &A,
    ) -> Result<R> {
        let Some(controller) = self.controller.get() else { return refuse("the session has no controller yet") };
        let unreachable = |error: CallError| ExecutorError(format!("the controller cannot be reached: {error}"));
        call_typed(&**controller, tag, arguments).map_err(unreachable)
    }

    /// Gives back the handle of the dylib `name`, initialized with all that it reaches.
    pub(super) fn open(&self, name: &str, flags: u32) -> Result<u64> {
        let open = self.begin(Wanted::Open { name, mode: flags })?;
        let root = open.root();
        self.finish(open)?;
        let mut state = self.locked();
        if flags & mode::NODELETE != 0 && !state.dylibs[root.index()].nodelete {
            // A count that nobody has a handle for keeps it open for good.
            let open = state.loader.begin_open(root, visitor()).map_err(|error| state.explain(&error))?;
            state.dylibs[root.index()].nodelete = true;
            drop(state);
            self.finish(open)?;
            state = self.locked();
        }
        let State { dylibs, handles, last_handle, .. } = &mut *state;
        Ok(*dylibs[root.index()].handle.get_or_insert_with(|| {
            *last_handle += 1;
            handles.insert(*last_handle, root);
            *last_handle
        }))
    }

    /// Runs what is new in an open dylib and its dependencies.
    pub(super) fn update(&self, handle: u64) -> Result<()> {
        let dylib = self.dylib(handle)?;
        let open = self.begin(Wanted::Update(dylib))?;
        self.finish(open)
    }

    /// Gives one open back.
    pub(super) fn close(&self, handle: u64) -> Result<()> {
        let dylib = self.dylib(handle)?;
        let close = {
            let mut state = self.locked();
            if state.dylibs[dylib.index()].nodelete && state.loader.count(dylib) == 1 {
                return Err(state.explain(&LoadError::NotOpen { dylib }));
            }
            let close = state.loader.begin_close(dylib, visitor()).map_err(|error| state.explain(&error))?;
            let opening = matches!(state.loader.status(dylib), Status::Pending | Status::Running(_));
            if state.loader.count(dylib) == 0 && !opening {
                state.forget_handle(dylib);
            }
            close
        };
        self.drive(close)
    }

    /// Unloads a dylib that nobody holds.
    pub(super) fn unload(&self, dylib: DylibId) -> Result<()> {
        let close = {
            let mut state = self.locked();
            state.loader.begin_unload(dylib, visitor()).map_err(|error| state.explain(&error))?
        };
        self.drive(close)
    }

    /// The address of a symbol: in the dylib, then in what it reaches, breadth first.
    pub(super) fn symbol(&self, handle: u64, name: &str) -> Result<u64> {
        let dylib = self.dylib(handle)?;
        let lookup = Lookup { scope: scope::HANDLE, dylib: dylib.get(), name };
        let answer: std::result::Result<Option<Found>, String> = self.ask(tag::LOOKUP, &lookup)?;
        let place = || format!("JITDylib {} and what it links against", self.locked().name(dylib));
        match answer {
            Ok(Some(Found { thread_local: Some(_), .. })) => refuse(format!(
                "symbol {name} in {} is thread-local: it has an address in each thread, not one",
                place()
            )),
            Ok(Some(Found { address, .. })) => Ok(address),
            Ok(None) => refuse(format!("symbol {name} is not defined in {}", place())),
            Err(reason) => refuse(format!("symbol {name} in {}: {reason}", place())),
        }
    }

    fn dylib(&self, handle: u64) -> Result<DylibId> {
        let found = self.locked().handles.get(&handle).copied();
        found.ok_or_else(|| ExecutorError(format!("handle {handle:#x} is not that of an open JITDylib")))
    }

    /// Asks for a plan, notes it, and begins.
    fn begin(&self, wanted: Wanted<'_>) -> Result<Open> {
        loop {
            let planning = lock(&self.planning);
            let plan = self.plan(wanted)?;
            let mut state = self.locked();
            let root = state.merge(plan)?;
            let loaded = !matches!(state.loader.status(root), Status::Unloaded | Status::Unloading(_));
            let begun = match wanted {
                Wanted::Open { mode, name } if mode & mode::NOLOAD != 0 && !loaded => {
                    return refuse(format!("JITDylib {name} is not loaded, and NOLOAD was given"));
                }
                Wanted::Open { .. } => state.loader.begin_open(root, visitor()),
                Wanted::Update(_) => state.loader.begin_update(root, visitor()),
            };
            let error = match begun {
                Ok(open) => return Ok(open),
                Err(error) => error,
            };
            let stranded = state.take_stranded();
            drop(state);
            self.tell_closed(&stranded);
            drop(planning);
            let mut state = self.locked();
            let LoadError::Unloading { dylib, .. } = error else { return Err(state.explain(&error)) };
            while matches!(state.loader.status(dylib), Status::Unloading(_)) {
                state.wait();
            }
        }
    }

    fn plan(&self, wanted: Wanted<'_>) -> Result<Plan> {
        type Answer<T> = std::result::Result<T, String>;
        let (name, answer) = match wanted {
            Wanted::Open { name, mode } => {
                let answer: Answer<Option<Plan>> = self.ask(tag::OPEN, &OpenMessage { name, mode })?;
                (name.to_owned(), answer)
            }
            Wanted::Update(dylib) => {
                let answer: Answer<Plan> = self.ask(tag::UPDATE, &dylib.get())?;
                (self.locked().name(dylib).to_owned(), answer.map(Some))
            }
        };
        match answer {
            Ok(Some(plan)) => Ok(plan),
            Ok(None) => refuse(format!("there is no JITDylib named {name:?}")),
            Err(reason) => refuse(format!("cannot open JITDylib {name}: {reason}")),
        }
    }

    /// Runs what an open has to run.
    fn finish(&self, mut open: Open) -> Result<()> {
        let mut failed = self.preinitialize(open.root()).err();
        while failed.is_none()
            && let Some(run) = self.next_run(&mut open)
        {
            let ran = self.initialize(run);
            let outcome = match &ran {
                Ok(()) => Outcome::Completed,
                Err(error) => Outcome::Threw(error.0.clone()),
            };
            self.locked().loader.completed(&mut open, outcome);
            failed = ran.err();
        }
        let mut state = self.locked();
        let (result, close) = match failed {
            Some(error) => (Err(error), state.loader.abandon_open(open)),
            None => {
                let Finished { result, close } = state.loader.finish_open(open);
                (result.map(drop).map_err(|error| state.explain(&error)), close)
            }
        };
        drop(state);
        if result.is_err() {
            let _planning = lock(&self.planning);
            let stranded = self.locked().take_stranded();
            self.tell_closed(&stranded);
        }
        let closed = close.map_or(Ok(()), |close| self.drive(close));
        result.and(closed)
    }

    fn next_run(&self, open: &mut Open) -> Option<Run> {
        let mut state = self.locked();
        loop {
            match state.loader.step(open) {
                Ok(Step::Run(run)) => return Some(run),
                Ok(Step::Wait(_)) => state.wait(),
                // A failure of a step is what finishing reports.
                Ok(Step::Ready) | Err(_) => return None,
            }
        }
    }

    /// `.preinit_array` of the program runs before every other initializer.
    fn preinitialize(&self, root: DylibId) -> Result<()> {
        let (arrays, name) = {
            let mut state = self.locked();
            if state.program != Some(root) {
                return Ok(());
            }
            (std::mem::take(&mut state.dylibs[root.index()].preinit), state.name(root).to_owned())
        };
        self.call_arrays(&arrays, &name)
    }

    /// Calls the initializers of a run, then leaves its finalizers in the executor.
    fn initialize(&self, run: Run) -> Result<()> {
        let (initializers, finalizers, name, dso_handle) = {
            let state = self.locked();
            let batches = state.batches(run);
            let initializers: Vec<InitArray> = batches.iter().flat_map(|batch| batch.0.iter().copied()).collect();
            // What came later goes first.
            let finalizers: Vec<InitArray> = batches.iter().rev().flat_map(|batch| batch.1.iter().copied()).collect();
            let dso_handle = state.dylibs[run.dylib.index()].dso_handle;
            (initializers, finalizers, state.name(run.dylib).to_owned(), dso_handle)
        };
        self.call_arrays(&initializers, &name)?;
        lock(&self.records).leave(&self.remote, run.dylib, dso_handle, &finalizers)
    }

    fn call_arrays(&self, arrays: &[InitArray], name: &str) -> Result<()> {
        let arrays: Vec<Array> = arrays.iter().filter_map(walked).collect();
        if arrays.is_empty() {
            return Ok(());
        }
        self.start(&arrays, &format!("running the initializers of JITDylib {name}")).map(drop)
    }

    /// Calls functions with argc, argv, envp; gives what the last one returned.
    pub(super) fn start(&self, arrays: &[Array], doing: &str) -> Result<u64> {
        let arguments = self.arguments()?;
        self.remote.run(arrays, arguments, self.remote.c().environ, doing)
    }

    fn arguments(&self) -> Result<(u64, u64)> {
        let is_set = lock(&self.arguments).is_some();
        if !is_set {
            // What a process has at least: its own name.
            self.set_arguments(&[self.remote.peer().name().into()])?;
        }
        let arguments = lock(&self.arguments);
        Ok(arguments.as_ref().map_or((0, 0), |arguments| (arguments.strings.len() as u64, arguments.vector)))
    }

    /// Puts arguments into the executor's memory: a vector of pointers, then the strings.
    pub(super) fn set_arguments(&self, strings: &[Vec<u8>]) -> Result<()> {
        for (number, text) in strings.iter().enumerate() {
            if let Some(offset) = text.iter().position(|byte| *byte == 0) {
                return refuse(format!(
                    "argument {number} holds a zero byte at offset {offset}, which no C string can"
                ));
            }
        }
        let mut current = lock(&self.arguments);
        if current.as_ref().is_some_and(|current| current.strings == strings) {
            return Ok(());
        }
        let pointers = 8 * (strings.len() + 1);
        let size = pointers + strings.iter().map(|text| text.len() + 1).sum::<usize>();
        let vector = self.remote.place(&vec![0; size])?;
        let mut bytes = Vec::with_capacity(size);
        let mut next = vector + pointers as u64;
        for text in strings {
            bytes.extend(next.to_le_bytes());
            next += text.len() as u64 + 1;
        }
        bytes.extend([0; 8]);
        strings.iter().for_each(|text| bytes.extend(text.iter().copied().chain([0])));
        self.remote.write(&[(vector, &bytes)])?;
        *current = Some(Arguments { strings: strings.to_vec(), vector });
        Ok(())
    }

    /// Undoes what a close unloads. What fails there, since the executor is gone, does not keep things from being in order here.
    fn drive(&self, mut close: Close) -> Result<()> {
        let mut result = Ok(());
        loop {
            let step = self.locked().loader.close_step(&mut close);
            match step {
                CloseStep::Finalize(run) | CloseStep::Discard(run) => result = result.and(self.undo(run.dylib)),
                CloseStep::Release(dylibs) => {
                    return result.and(self.release(&dylibs, &mut close));
                }
                CloseStep::Done => return result,
            }
        }
    }

    /// Runs the handlers and finalizers of a dylib, the latest first; whatever of them has run already does not again.
    fn undo(&self, dylib: DylibId) -> Result<()> {
        let (dso_handle, name) = {
            let state = self.locked();
            (state.dylibs[dylib.index()].dso_handle, state.name(dylib).to_owned())
        };
        let doing = format!("running the finalizers of JITDylib {name}");
        let records = lock(&self.records).begin_close(&self.remote, dylib)?;
        if dso_handle != 0 {
            self.remote.call(self.remote.c().cxa_finalize, &[dso_handle], &doing)?;
        }
        for record in records {
            // The program may have called `__cxa_finalize` itself, before this.
            self.remote.run(&[Array::function(self.remote.entry("finalize")?)], (record, 0), 0, &doing)?;
        }
        Ok(())
    }

    /// The memory of dylibs whose finalizers have run goes back.
    fn release(&self, dylibs: &[DylibId], close: &mut Close) -> Result<()> {
        let _planning = lock(&self.planning);
        let forgotten = lock(&self.records).forget(&self.remote, dylibs);
        self.tell_closed(dylibs);
        let mut state = self.locked();
        for dylib in dylibs {
            state.forget_handle(*dylib);
            let known = &mut state.dylibs[dylib.index()];
            *known = Known { name: std::mem::take(&mut known.name), ..Known::default() };
        }
        let step = state.loader.close_step(close);
        debug_assert_eq!(step, CloseStep::Done);
        let stranded = if state.may_be_stranded { state.take_stranded() } else { Vec::new() };
        drop(state);
        self.tell_closed(&stranded);
        forgotten
    }

    fn tell_closed(&self, dylibs: &[DylibId]) {
        if !dylibs.is_empty() {
            let numbers: Vec<u32> = dylibs.iter().map(|dylib| dylib.get()).collect();
            // A session that is gone has given everything back itself.
            let _ = self.ask::<_, ()>(tag::CLOSED, &numbers);
        }
    }
}
