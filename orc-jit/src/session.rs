//! A session: JITDylibs, the executor that runs them, and the controller's side of every `jit_dlopen`.

mod lazy;
mod options;
mod places;

pub(crate) use lazy::Lazy;
pub use lazy::LazyFailure;
pub use options::{MakePlugin, Plugins, Relax, SessionOptions, Undefined};

use crate::batch::lazy::{LazyDylib, Shelf, Step};
use crate::batch::{self, Batch, Definers, FEW, Made, Part, Unique, Wanted};
use crate::controller;
use crate::crash;
use crate::crew::Crew;
use crate::debug::Portrait;
use crate::dylib::{JitDylib, Opened};
use crate::error::Error;
use crate::executor::{Executor, ExecutorError, Handle, InProcess, Remote};
use crate::map::MapEntry;
use crate::names::{Name, Names, Reach};
use crate::phases;
use crate::restart::Replay;
use crate::ties::Ties;
use crate::tracker::{Leaving, Tracked};
use crate::unit::{TrackerId, UnitId, UnitKey};
use crate::waits;
use dispatch::Registry;
use dylib_graph::{DylibGraph, DylibId};
use jitlink::Resolution;
use jitlink::graph::Linkage;
use jitlink::linked::InitArray;
use orc_rt::debug::Description;
use orc_rt::image::ImageId;
use orc_rt::native::NativeLibrary;
use orc_rt::service::Found;
use orc_rt::waits::REPORT_WAITS;
use orc_rt::{Changes, Watchers};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// JITDylibs that are linked by this process and run by an executor.
///
/// ```no_run
/// # fn main() -> Result<(), orc_jit::Error> {
/// let session = orc_jit::Session::in_process()?;
/// let main = session.add_dylib("main")?;
/// main.add_object_file("app.o")?;
/// main.add_archive_file("libb.a")?;
/// let status = session.run("main", "main", &["app".into()])?;
/// # std::process::exit(status)
/// # }
/// ```
#[derive(Debug)]
pub struct Session<E: Executor = InProcess> {
    pub(crate) shared: Arc<Shared<E>>,
    /// What linked code can call.
    services: Arc<Registry>,
}

impl<E: Executor> Clone for Session<E> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), services: self.services.clone() }
    }
}

#[derive(Debug)]
pub(crate) struct Shared<E: Executor> {
    state: Mutex<State<E>>,
    /// The thread that holds `state`, 0 for none.
    holder: AtomicUsize,
    pub(crate) executor: E,
    crew: Crew,
    options: SessionOptions,
    /// The latest failures of the controller, kept for the callers whose requests they failed; the executor only passes on their texts.
    failures: Mutex<VecDeque<(String, Error)>>,
    /// What is open from outside, and what else a new executor is to be told.
    pub(crate) replay: Replay,
    on_lazy_failure: lazy::OnFailure,
}

/// How many failures are kept: more threads than this that fail at once get texts only.
const FAILURES: usize = 64;

/// What changes while a session lives.
#[derive(Debug)]
pub(crate) struct State<E: Executor> {
    pub(crate) graph: DylibGraph,
    /// By dylib index.
    pub(crate) parts: Vec<Option<Part>>,
    /// By dylib index: what their own units have.
    pub(crate) held: Vec<Held<E::Allocation>>,
    /// What other units have.
    pub(crate) held_by_units: HashMap<UnitId, Held<E::Allocation>>,
    /// The last unit that was made.
    pub(crate) last_unit: UnitId,
    pub(crate) trackers: HashMap<TrackerId, Tracked>,
    /// Images of definitions that were replaced at a moment when the executor could not remove them: at the next.
    pub(crate) overdue: Vec<Vec<ImageId>>,
    pub(crate) ties: Ties,
    /// Units that are on their way out: nobody finds them any more, and their memory is still there.
    pub(crate) leaving: Vec<Leaving<E::Allocation>>,
    pub(crate) by_name: HashMap<String, DylibId>,
    pub(crate) program: Option<DylibId>,
    /// Dylibs that were opened with `GLOBAL`, in the order of these opens.
    pub(crate) global: Vec<DylibId>,
    /// Counts everything that a plan can show.
    pub(crate) epoch: u64,
    /// Counts what the executor has not asked for itself.
    changes: Changes,
    /// Unique symbols (`STB_GNU_UNIQUE`): whoever had one first has it for as long as the session lives.
    pub(crate) unique: HashMap<Box<[u8]>, Unique>,
    /// Memory of unloaded dylibs that others still share definitions of.
    lingering: Vec<Lingering<E::Allocation>>,
    /// First and last address, and unit, of every range that images cover.
    pub(crate) ranges: BTreeMap<u64, (u64, UnitKey)>,
    /// Who defines what, and of how many names of each dylib (by index) it knows. Kept from when many dylibs are in reach.
    pub(crate) index: Definers,
    indexed: Vec<usize>,
    /// Dylibs that have names which are not in the index.
    pub(crate) unindexed: HashSet<DylibId>,
    /// Who has been told of everything.
    pub(crate) told: Watchers,
    /// Linked code may read debug sections of what is linked from now on.
    keeps_debug: bool,
    /// What is linked when it is used.
    pub(crate) lazy: Lazy,
}

/// The state, locked.
pub(crate) struct Locked<'a, E: Executor> {
    guard: MutexGuard<'a, State<E>>,
    holder: &'a AtomicUsize,
}

impl<E: Executor> Deref for Locked<'_, E> {
    type Target = State<E>;
    fn deref(&self) -> &State<E> {
        &self.guard
    }
}

impl<E: Executor> DerefMut for Locked<'_, E> {
    fn deref_mut(&mut self) -> &mut State<E> {
        &mut self.guard
    }
}

impl<E: Executor> Drop for Locked<'_, E> {
    fn drop(&mut self) {
        self.holder.store(0, Ordering::Relaxed);
    }
}

/// A number that no other living thread has.
fn this_thread() -> usize {
    thread_local! { static HERE: u8 = const { 0 } }
    HERE.with(|here| std::ptr::from_ref(here).addr())
}

/// Memory that outlives its dylib.
#[derive(Debug)]
struct Lingering<A> {
    images: Vec<(ImageId, A)>,
    /// Who needs it; `None`: whoever comes, for as long as the session lives.
    borrowers: Option<HashSet<DylibId>>,
}

/// What a unit has in the executor.
#[derive(Debug)]
pub(crate) struct Held<A> {
    pub(crate) images: Vec<(ImageId, A)>,
    /// What can be told of each of them.
    pub(crate) portraits: Vec<(ImageId, Portrait)>,
    /// The keys of its images' ranges in [`State::ranges`].
    pub(crate) starts: Vec<u64>,
    map: Vec<MapEntry>,
    /// Dylibs that share definitions of this one and do not keep it open; with its own unit, for all of them.
    borrowers: HashSet<DylibId>,
    /// It has a unique symbol: its memory stays for as long as the session lives.
    permanent: bool,
    /// Arrays that no plan has named yet.
    pub(crate) arrays: Vec<InitArray>,
}

impl<A> Default for Held<A> {
    fn default() -> Self {
        Self {
            images: Vec::new(),
            portraits: Vec::new(),
            starts: Vec::new(),
            map: Vec::new(),
            borrowers: HashSet::new(),
            permanent: false,
            arrays: Vec::new(),
        }
    }
}

impl Session<InProcess> {
    /// A session that runs its code in this process.
    ///
    /// # Errors
    /// Never today; other executors may be out of reach.
    pub fn in_process() -> Result<Self, Error> {
        Self::new(InProcess::new(), SessionOptions::default())
    }
}

impl Session<Remote> {
    /// A session over a connection, at whose other end is an executor of ours ([`orc_rt::serve`]). [`Remote::connect`] reaches or starts executors.
    ///
    /// # Errors
    /// What is at the other end is no executor, or of another version.
    pub fn connect(transport: impl dispatch::transport::Transport) -> Result<Self, Error> {
        Self::new(Remote::over(transport, Default::default())?, SessionOptions::default())
    }
}

impl<E: Executor> Session<E> {
    /// A session over `executor`.
    ///
    /// # Errors
    /// When the executor cannot be reached or has a controller already.
    pub fn new(executor: E, options: SessionOptions) -> Result<Self, Error> {
        let state = State {
            graph: DylibGraph::new(),
            parts: Vec::new(),
            held: Vec::new(),
            held_by_units: HashMap::new(),
            last_unit: UnitId::OWN,
            trackers: HashMap::new(),
            overdue: Vec::new(),
            ties: Ties::default(),
            leaving: Vec::new(),
            by_name: HashMap::new(),
            program: None,
            global: Vec::new(),
            epoch: 0,
            changes: executor.changes(),
            ranges: BTreeMap::new(),
            index: Definers::default(),
            indexed: Vec::new(),
            unindexed: HashSet::new(),
            told: Watchers::empty(),
            keeps_debug: false,
            unique: HashMap::new(),
            lingering: Vec::new(),
            lazy: Lazy::default(),
        };
        let SessionOptions { report_waits, watch, crash_reports, .. } = options;
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            holder: AtomicUsize::new(0),
            executor,
            crew: Crew::new(options.jobs),
            options,
            failures: Mutex::default(),
            replay: Replay::default(),
            on_lazy_failure: Default::default(),
        });
        let services = controller::serve(&shared);
        shared.executor.attach(services.clone())?;
        if E::IS_THIS_PROCESS && (crash_reports || crash::is_in_environment()) {
            let no_thread = |error| ExecutorError(format!("no thread for crash reports: {error}"));
            crash::watch(&shared).map_err(no_thread)?;
        }
        if report_waits != REPORT_WAITS {
            shared.executor.report_waits(report_waits)?;
        }
        if !watch.is_empty() {
            shared.executor.watch(watch)?;
        }
        shared.executor.on_wait(waits::on_standard_error());
        Ok(Self { shared, services })
    }

    /// Lets linked code call `function` through `__orc_rt_jit_dispatch`, whichever process it runs in. Tags below 2^32 are the user's.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let session = orc_jit::Session::in_process()?;
    /// // In C: __orc_rt_jit_dispatch(NULL, (void *)7, packed, size), with two packed numbers; the answer is one.
    /// session.serve(dispatch::Tag(7), |(a, b): (u64, u64)| a + b)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The tag is taken.
    pub fn serve<A, R>(
        &self,
        tag: dispatch::Tag,
        function: impl Fn(A) -> R + Send + Sync + 'static,
    ) -> Result<(), dispatch::TagInUse>
    where
        A: for<'a> dispatch::packed::Unpack<'a>,
        R: dispatch::packed::Pack,
    {
        self.services.serve(tag, function)
    }

    /// The executor.
    #[must_use]
    pub fn executor(&self) -> &E {
        &self.shared.executor
    }

    /// Adds an empty dylib. The first one is the program: what `dlopen(NULL)` means.
    ///
    /// # Errors
    /// When there is one of that name.
    pub fn add_dylib(&self, name: &str) -> Result<JitDylib<E>, Error> {
        let mut state = self.shared.lock();
        if state.by_name.contains_key(name) {
            return Err(Error::DylibExists(name.to_owned()));
        }
        let id = state.graph.add();
        let index = id.index();
        if state.parts.len() <= index {
            state.parts.resize_with(index + 1, || None);
            state.held.resize_with(index + 1, Held::default);
            state.indexed.resize(index + 1, 0);
        }
        state.parts[index] = Some(Part { lazily: self.shared.options.lazy, ..Part::new(name.to_owned()) });
        state.by_name.insert(name.to_owned(), id);
        state.program.get_or_insert(id);
        state.changed();
        Ok(JitDylib::new(self.shared.clone(), id))
    }

    /// The dylib of that name.
    #[must_use]
    pub fn dylib(&self, name: &str) -> Option<JitDylib<E>> {
        let id = self.shared.lock().by_name.get(name).copied()?;
        Some(JitDylib::new(self.shared.clone(), id))
    }

    /// Opens a shared library in the executor, as a path or as a name that the dynamic loader finds; its symbols are then found in
    /// the process, and by the dylibs that it is added to.
    ///
    /// # Errors
    /// In the dynamic loader's words.
    pub fn open_library(&self, name: &str) -> Result<NativeLibrary, Error> {
        self.shared.request(|executor| executor.open_library(name))
    }

    /// `jit_dlopen` from outside: links what is missing, then runs the initializers on this thread. The dylib stays open until the
    /// result is closed or dropped. The empty name is the program's.
    ///
    /// # Errors
    /// When something cannot be linked (then nothing ran and nothing changed), or an initializer failed.
    ///
    /// # Exceptions
    /// What an initializer throws passes through here, a C++ exception as well as a panic of the host; values on its way are dropped, no
    /// lock is held, and the dylib is poisoned until it is [unloaded](Self::unload). A panic can be caught with
    /// [`catch_unwind`](std::panic::catch_unwind), a C++ exception only by C++ code that called this: where it meets `catch_unwind`
    /// or the end of a thread of Rust's, the process is aborted.
    pub fn open(&self, name: &str) -> Result<Opened<E>, Error> {
        if !name.is_empty() && !self.shared.lock().by_name.contains_key(name) {
            return Err(Error::NoDylib(name.to_owned()));
        }
        let phase = phases::open().entered();
        phase.record("dylib", name);
        loop {
            let era = self.shared.replay.era();
            let handle = self.shared.request(|executor| executor.open(name, orc_rt::service::mode::NOW))?;
            if let Some(open) = self.shared.replay.opened(era, name, handle) {
                return Ok(Opened::new(self.shared.clone(), open, name.to_owned()));
            }
            // Another executor came meanwhile: what is open there is told by its own handles. This one is the old one's, and means nothing
            // there, or is the first of two.
            let _ = self.shared.executor.close(handle);
        }
    }

    /// Unloads a dylib that is loaded though nobody holds it: one whose initializer threw, or what a failed open left initialized. The
    /// next open starts from pristine memory.
    ///
    /// # Errors
    /// When there is no such dylib, when it is not loaded, or when somebody holds it.
    pub fn unload(&self, name: &str) -> Result<(), Error> {
        let id = self.shared.lock().by_name.get(name).copied();
        let id = id.ok_or_else(|| Error::NoDylib(name.to_owned()))?;
        self.shared.request(|executor| executor.unload(id))
    }

    /// What stands where in the executor, by address. Empty unless [`SessionOptions::map`] was set.
    #[must_use]
    pub fn link_map(&self) -> Vec<MapEntry> {
        let state = self.shared.lock();
        let held = state.held.iter().chain(state.held_by_units.values());
        let mut map: Vec<MapEntry> = held.flat_map(|held| held.map.iter().cloned()).collect();
        map.sort_by_key(|entry| entry.address);
        map
    }

    /// The straight line: opens the dylib `program`, looks `entry` up, calls it as a C `main` on this thread, closes the dylib, and gives
    /// what it returned. `arguments[0]` is the program's own name.
    ///
    /// When the code calls `exit`, the process that runs it ends with that status, after all handlers and finalizers: this one, or the
    /// executor's, and then [`Error::Ended`] has the status.
    ///
    /// # Errors
    /// As [`Self::open`], when `entry` is not defined, and when the executor ends.
    pub fn run(&self, program: &str, entry: &str, arguments: &[Vec<u8>]) -> Result<i32, Error> {
        self.set_arguments(arguments)?;
        let opened = self.open(program)?;
        let address = opened.address(entry)?;
        let status = self.call_main(address, arguments)?;
        opened.close()?;
        Ok(status)
    }

    /// Sets what initializers and `main` see as their arguments.
    ///
    /// # Errors
    /// When one holds a zero byte, or the executor is gone.
    pub fn set_arguments(&self, arguments: &[Vec<u8>]) -> Result<(), Error> {
        self.shared.request(|executor| executor.set_arguments(arguments))
    }

    /// Calls `int main(int argc, char **argv, char **envp)` at `entry`, an address in an open dylib.
    ///
    /// # Errors
    /// When the program, or its executor, ended without returning.
    pub fn call_main(&self, entry: u64, arguments: &[Vec<u8>]) -> Result<i32, Error> {
        let _phase = phases::run().entered();
        self.shared.request(|executor| executor.run_program(entry, arguments))
    }

    /// Ends an executor in another process, as `exit(status)` does once handlers and finalizers have run ([`Executor::end_program`]); gives the exit
    /// code that a parent of the program would see. In this process it does nothing.
    ///
    /// # Errors
    /// When the executor ends by a signal.
    pub fn leave(&self, status: i32) -> Result<i32, Error> {
        self.shared.request(|executor| executor.leave(status))
    }
}

impl<E: Executor> Shared<E> {
    /// The state. A thread that panicked while it held the lock had not begun to change anything: batches are committed whole.
    pub(crate) fn lock(&self) -> Locked<'_, E> {
        let guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.holder.store(this_thread(), Ordering::Relaxed);
        Locked { guard, holder: &self.holder }
    }

    /// The state, for a request from linked code; `None` when this thread holds it: the code is a resolver of an indirect function, which
    /// runs while it is being linked.
    pub(crate) fn enter(&self) -> Option<Locked<'_, E>> {
        // Only this thread can have stored its own number.
        (self.holder.load(Ordering::Relaxed) != this_thread()).then(|| self.lock())
    }

    /// Asks the executor for something that may come back to the controller, and gives the controller's own error if it failed there, or
    /// how the executor ended.
    pub(crate) fn request<T>(
        &self,
        ask: impl FnOnce(&E) -> Result<T, crate::executor::ExecutorError>,
    ) -> Result<T, Error> {
        ask(&self.executor).map_err(|error| {
            if let Some(ended) = self.executor.ended() {
                return Error::Ended(Box::new(self.crash_report(ended)));
            }
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            let known = failures.iter().rposition(|(text, _)| error.0.contains(text.as_str()));
            match known.and_then(|at| failures.remove(at)) {
                Some((_, cause)) => cause,
                None => Error::Executor(error),
            }
        })
    }

    /// Keeps an error for whoever asked, and gives its text.
    pub(crate) fn fail(&self, error: Error) -> String {
        let text = error.to_string();
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() == FAILURES {
            failures.pop_front();
        }
        failures.push_back((text.clone(), error));
        text
    }

    /// Links what `roots` need, and commits it.
    pub(crate) fn link(
        &self,
        state: &mut State<E>,
        roots: &[DylibId],
        wanted: Option<Wanted<'_>>,
    ) -> Result<(), Error> {
        self.link_only(state, roots, wanted, None)
    }

    /// As [`Self::link`], and of all that is not linked only this unit, if there is one.
    pub(crate) fn link_only(
        &self,
        state: &mut State<E>,
        roots: &[DylibId],
        wanted: Option<Wanted<'_>>,
        only: Option<UnitKey>,
    ) -> Result<(), Error> {
        let phase = phases::link().entered();
        let reached = batch::reached(&state.graph, roots);
        let many = reached.len().max(state.global.len()) > FEW;
        let (made, shelf) = loop {
            if many {
                state.bring_index_up_to_date();
            }
            match batch::link(&self.view(state, &reached, many.then_some(&state.index), only), wanted)? {
                Batch::Linked(made, shelf) => break (made, shelf),
                Batch::Later(needs) => self.link_needs(state, needs)?,
            }
        };
        // Code that an open has linked is named in its plan; what a lookup has linked, the next open has to ask for.
        let unasked = wanted.is_some() && !made.is_empty();
        state.keeps_debug |= made.iter().any(|one| one.reads_debug);
        phases::count(&phase, "images", || made.len());
        self.commit(state, made, shelf)?;
        if unasked {
            state.changed();
        }
        Ok(())
    }

    fn commit(&self, state: &mut State<E>, made: Vec<Made<E::Allocation>>, shelf: Option<Shelf>) -> Result<(), Error> {
        if made.is_empty() {
            return Ok(());
        }
        let phase = phases::register().entered();
        phases::count(&phase, "images", || made.len());
        let mut images = Vec::with_capacity(made.len());
        let mut rest = Vec::with_capacity(made.len());
        let mut pictures = Vec::with_capacity(made.len());
        let mut steps: Vec<(DylibId, Step)> = Vec::new();
        for mut one in made {
            steps.extend(one.step.take().map(|step| (one.key.dylib, step)));
            let Made {
                key, allocation, image, names, header, arrays, map, linked, pulled, lenders, ties, places, ..
            } = one;
            pictures.push((one.portrait, one.description));
            let ranges = image.ranges.clone();
            images.push(image);
            rest.push((key, allocation, ranges, names, header, arrays, map, linked, pulled, lenders, ties, places));
        }
        let ids = self.executor.register(images)?;
        let mut descriptions: Vec<Description> = Vec::new();
        for ((id, one), (portrait, description)) in ids.into_iter().zip(rest).zip(pictures) {
            descriptions.extend(description.map(|description| Description { image: id.number(), ..description }));
            let (key, allocation, ranges, names, header, arrays, map, linked, pulled, lenders, ties, places) = one;
            for lender in lenders {
                state.held[lender.index()].borrowers.insert(key.dylib);
            }
            state.ties.add(key, ties);
            let permanent = state.keep_unique(key, &names);
            let ranges = ranges.into_iter().filter(|range| !range.is_empty());
            let starts: Vec<u64> = ranges
                .map(|range| {
                    state.ranges.insert(range.start, (range.end, key));
                    range.start
                })
                .collect();
            let has_arrays = !arrays.is_empty();
            let held = state.held_mut(key);
            held.starts.extend(starts);
            held.permanent |= permanent;
            held.images.push((id, allocation));
            held.portraits.push((id, portrait));
            held.arrays.extend(arrays);
            held.map.extend(map);
            state.unindexed.insert(key.dylib);
            let Some(part) = state.parts[key.dylib.index()].as_mut() else { continue };
            if !key.is_own() {
                part.units.linked(key.unit, linked, names, header, places);
                if has_arrays {
                    part.units.with_arrays.insert(key.unit);
                }
                continue;
            }
            if part.names.is_empty() {
                part.names = Arc::new(names);
            } else {
                Arc::make_mut(&mut part.names).append(&names);
            }
            part.header = part.header.or(header);
            part.linked = linked;
            part.pulled.extend(pulled);
        }
        let mut shelf: Vec<(DylibId, LazyDylib)> = shelf.into_iter().flat_map(LazyDylib::of).collect();
        steps.into_iter().for_each(|(dylib, step)| state.go_on(dylib, step, &mut shelf));
        self.tell_watchers(state, descriptions);
        state.epoch += 1;
        Ok(())
    }

    pub(crate) fn release(&self, images: &mut Vec<(ImageId, E::Allocation)>) {
        for (image, allocation) in images.drain(..).rev() {
            self.executor.release(image);
            drop(allocation);
        }
    }

    /// Gives back what dylibs hold; their items stay and are linked anew at the next open.
    pub(crate) fn unload(&self, state: &mut State<E>, dylibs: &[DylibId]) {
        let gone: HashSet<DylibId> = dylibs.iter().copied().collect();
        for dylib in dylibs {
            state.forget_names(*dylib);
            state.lazy.forget(*dylib);
            let Some(Some(part)) = state.parts.get_mut(dylib.index()) else { continue };
            part.linked = 0;
            part.pulled.clear();
            part.names = Arc::default();
            part.header = None;
            let units: Vec<UnitId> = part.units.iter().map(|(id, _)| id).collect();
            part.units.forget_what_is_linked();
            let Held { mut images, mut starts, mut borrowers, mut permanent, .. } =
                std::mem::take(&mut state.held[dylib.index()]);
            state.ties.forget(UnitKey::own(*dylib));
            for unit in units {
                state.ties.forget(UnitKey { dylib: *dylib, unit });
                let Some(held) = state.held_by_units.remove(&unit) else { continue };
                images.extend(held.images);
                starts.extend(held.starts);
                permanent |= held.permanent;
            }
            for start in starts {
                state.ranges.remove(&start);
            }
            borrowers.retain(|borrower| !gone.contains(borrower));
            if permanent || !borrowers.is_empty() {
                let borrowers = (!permanent).then_some(borrowers);
                state.lingering.push(Lingering { images, borrowers });
            } else {
                self.release(&mut images);
            }
        }
        let mut lingering = std::mem::take(&mut state.lingering);
        lingering.retain_mut(|Lingering { images, borrowers }| {
            let Some(borrowers) = borrowers else { return true };
            borrowers.retain(|borrower| !gone.contains(borrower));
            if borrowers.is_empty() {
                self.release(images);
            }
            !borrowers.is_empty()
        });
        state.lingering = lingering;
        state.global.retain(|dylib| !gone.contains(dylib));
        state.epoch += 1;
    }
}

impl<E: Executor> State<E> {
    /// Something changed that the executor has to ask about. To be called when it has, before the lock is given back.
    pub(crate) fn changed(&mut self) {
        self.epoch += 1;
        self.changes.note();
    }

    /// Nothing is linked any more: the process that had it is gone. Inputs and link orders stay.
    pub(crate) fn forget_what_is_linked(&mut self) {
        for part in self.parts.iter_mut().flatten() {
            part.linked = 0;
            part.pulled.clear();
            part.names = Arc::default();
            part.header = None;
            part.units.forget_what_is_linked();
        }
        self.held_by_units.clear();
        self.ties = Ties::default();
        self.leaving.clear();
        self.overdue.clear();
        self.trackers.values_mut().for_each(|tracked| tracked.busy = false);
        self.held.iter_mut().for_each(|held| *held = Held::default());
        self.lingering.clear();
        self.ranges.clear();
        self.global.clear();
        self.unique.clear();
        self.index = Definers::default();
        self.indexed.fill(0);
        self.unindexed.clear();
        self.told = Watchers::empty();
        self.lazy = Lazy::default();
        self.changed();
    }

    pub(crate) fn part(&self, dylib: DylibId) -> Option<&Part> {
        self.parts.get(dylib.index())?.as_ref()
    }

    pub(crate) fn part_mut(&mut self, dylib: DylibId) -> Result<&mut Part, Error> {
        let part = self.parts.get_mut(dylib.index()).and_then(Option::as_mut);
        part.ok_or_else(|| Error::NoDylib(dylib.to_string()))
    }

    /// A number for a new unit.
    pub(crate) fn next_unit(&mut self) -> UnitId {
        self.last_unit.0 += 1;
        self.last_unit
    }

    /// What a unit has in the executor.
    pub(crate) fn held_mut(&mut self, key: UnitKey) -> &mut Held<E::Allocation> {
        if key.is_own() { &mut self.held[key.dylib.index()] } else { self.held_by_units.entry(key.unit).or_default() }
    }

    /// Keeps the unique symbols among the names of a unit. Says whether there are any.
    fn keep_unique(&mut self, by: UnitKey, names: &Names) -> bool {
        // A dylib with definitions of its own shares none for good.
        if self.part(by.dylib).is_some_and(|part| part.own_definitions) {
            return false;
        }
        let unique = |what: &Name| what.linkage == Linkage::Unique && what.reach == Reach::Exported;
        let mut any = false;
        for (name, what) in names.iter().filter(|(_, what)| unique(what)) {
            any = true;
            let place = names.place(&what);
            let place = place.map_or_else(|| Resolution::new(what.address, false), Resolution::thread_local);
            self.unique.entry(name.into()).or_insert(Unique { place, by });
        }
        any
    }

    /// As [`exported`](Self::exported), or `None` as soon as a dylib comes up that might have the name if it were asked to link more.
    pub(crate) fn exported_for_sure(&self, order: &[DylibId], name: &[u8]) -> Option<Found> {
        let known = |dylib: &DylibId| self.exported(std::slice::from_ref(dylib), name).is_some();
        let more = |dylib: &DylibId| self.part(*dylib).is_some_and(Part::has_more);
        let first = order.iter().find(|dylib| known(dylib) || more(dylib)).filter(|dylib| known(dylib))?;
        self.exported(std::slice::from_ref(first), name)
    }

    /// Whether something of these dylibs is not linked, or at need only.
    pub(crate) fn has_more(&self, order: &[DylibId]) -> bool {
        order.iter().filter_map(|dylib| self.part(*dylib)).any(Part::has_more)
    }

    /// Where an exported name is in the first dylib that has it.
    pub(crate) fn exported(&self, order: &[DylibId], name: &[u8]) -> Option<Found> {
        order.iter().find_map(|dylib| {
            if let Some(found) = self.part(*dylib)?.exported(name) {
                let thread_local = found.thread_local().map(batch::native_place);
                return Some(Found { address: found.name.address, thread_local });
            }
            let found = self.lazily_exported(*dylib, name)?;
            Some(Found { address: found.address, thread_local: found.thread_local.map(batch::native_place) })
        })
    }
}

impl<E: Executor> Drop for Shared<E> {
    fn drop(&mut self) {
        // Nobody answers stubs any more.
        let waiting: Vec<DylibId> = self.lock().lazy.dylibs.keys().copied().collect();
        for dylib in waiting {
            let _ = self.link_rest(&mut self.lock(), dylib);
        }
        // What linked code opened and never closed is finalized now, as at the end of a process. Requests get errors: the session is gone.
        self.executor.end_program(0);
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut images: Vec<_> = state.lingering.drain(..).flat_map(|lingering| lingering.images).collect();
        images.extend(state.held.iter_mut().flat_map(|held| held.images.drain(..)));
        images.extend(state.held_by_units.drain().flat_map(|(_, held)| held.images));
        images.extend(state.leaving.drain(..).flat_map(|leaving| leaving.held.images));
        // In the order in which they came, whichever unit they are of.
        images.sort_by_key(|(image, _)| *image);
        self.release(&mut images);
    }
}

impl Handle {
    /// The handle as code in the executor holds it.
    #[must_use]
    pub fn as_raw(self) -> u64 {
        self.0
    }
}
