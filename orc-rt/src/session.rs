//! The executor's session: everything that running code needs, behind one [`Session`].
//!
//! You give a way to reach the controller; you get `jit_dlopen` and friends, a slab of memory, shared libraries, exit handlers, and the C entry
//! points for executed code. A process may have many sessions; calls from executed code find theirs by the address they come from. A
//! session never sees an object file: images come finalized, with addresses.
//!
//! `unsafe` because images and plans are addresses whose truth the caller answers for.
#![allow(unsafe_code)]

use crate::atexit::Handlers;
use crate::call::Arguments;
use crate::changes::Changes;
use crate::debug::profile::{self, Linked};
use crate::debug::{self, Description, WatchError, Watchers, gdb};
use crate::dlfcn::{DlError, Handle};
use crate::doing::Doing;
use crate::found::{Answers, Moment};
use crate::image::{self, Image, ImageId, ImageInfo};
use crate::keepalive::{Gate, Keepalive, StillInside, Teardown};
use crate::ledger::{ImageError, Ledger, LedgerEntry, Registration};
use crate::loader::TakenOn;
use crate::memory::Slab;
use crate::native::Native;
use crate::planning::{PlanLock, Planning};
use crate::service::{Images, InitArray, tag};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use crate::waits::{Activity, Awaited, Holder, REPORT_WAITS, WaitHook, Waits};
use crate::{call, capi, context, recent, tls, unwind};
use dispatch::{CallError, Caller, Reply, Tag, call_typed};
use dylib_graph::{DylibId, Loader, Run, VisitorId};
use foldhash::fast::FixedState;
use std::collections::HashMap;
use std::ffi::CString;
use std::fmt;
use std::ops::{Deref, DerefMut, Range};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

/// What a session is made of.
pub struct Config {
    /// Answers the tags of [`service::tag`](crate::service::tag): a [`dispatch::Registry`] in process, a peer over a transport elsewhere.
    pub controller: Arc<dyn Caller>,
    /// Called when the program calls `exit`, after its handlers and finalizers and before the process ends with this status.
    pub before_exit: Option<ExitHook>,
    /// What the controller counts its changes in. Without it every open and every lookup asks; with it, only those do whose answer may be another than
    /// last time.
    pub changes: Option<Changes>,
    /// A wait for another thread, or for threads to leave, is told when it has lasted so long, and again after each such time; zero: never.
    pub report_waits: Duration,
    /// Who is told. Without one, standard error is.
    pub on_wait: Option<WaitHook>,
    /// Where code comes to lie; [`Slab::dual_mapped`] for a process that must not try to make executable what was writable.
    pub slab: Slab,
}

/// See [`Config::before_exit`].
pub type ExitHook = Box<dyn Fn(i32) + Send + Sync>;

impl Config {
    /// A session that reaches its controller through `controller`.
    pub fn new(controller: Arc<dyn Caller>) -> Self {
        let (report_waits, slab) = (REPORT_WAITS, Slab::new());
        Self { controller, before_exit: None, changes: None, report_waits, on_wait: None, slab }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").finish_non_exhaustive()
    }
}

/// The executor side of a JIT session. See the [crate] for what it does.
pub struct Session {
    number: u64,
    this: Weak<Session>,
    controller: Arc<dyn Caller>,
    pub(crate) before_exit: Option<ExitHook>,
    changes: Option<Changes>,
    /// Counts what of the executor's own doing can make the answer to a lookup another.
    turns: AtomicU64,
    pub(crate) answers: Answers,
    slab: Slab,
    native: Native,
    state: Mutex<State>,
    /// The loader's state changed.
    changed: Condvar,
    /// Held while the controller plans an open or hears of a close, so that both sides see these in one order.
    planning: PlanLock,
    pub(crate) waits: Waits,
    pub(crate) ledger: Mutex<Ledger>,
    next_image: AtomicU64,
    /// Bits of [`Watchers`].
    watchers: AtomicU8,
    pub(crate) gate: Arc<Gate>,
    pub(crate) arguments: Mutex<(Vec<CString>, Option<Arguments>)>,
}

/// What changes while a session lives.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) loader: Loader,
    /// By dylib index.
    pub(crate) dylibs: Vec<DylibState>,
    pub(crate) program: Option<DylibId>,
    /// What a name meant in the latest plan that was asked for by it.
    pub(crate) by_name: HashMap<String, DylibId, FixedState>,
    pub(crate) handlers: Handlers,
    /// Numbers finished runs and registered handlers alike.
    pub(crate) sequence: u64,
    /// The latest plan's, for link orders.
    pub(crate) epoch: u64,
    /// An open failed, and something that was linked for it could not go back yet.
    pub(crate) may_be_stranded: bool,
    /// The visitor that is ending the program.
    pub(crate) exiting: Option<VisitorId>,
    /// Who runs initializers or finalizers, the latest last.
    pub(crate) doing: Vec<Arc<Doing>>,
}

/// What the executor knows of a dylib beyond the loader's state machine.
#[derive(Debug, Default)]
pub(crate) struct DylibState {
    pub(crate) name: String,
    pub(crate) handle: Option<Handle>,
    pub(crate) nodelete: bool,
    /// A plan has named it since it was last unloaded, so the controller has linked it.
    pub(crate) linked: bool,
    /// Where the controller's changes stood before the latest plan that was about it, and that named everything it reaches.
    pub(crate) planned_at: Option<u64>,
    /// The controller has it among those that serve every lookup.
    pub(crate) global: bool,
    /// Not run yet.
    pub(crate) preinit: Vec<InitArray>,
    /// Code in the order it came; the loader counts the batches.
    pub(crate) batches: Vec<Batch>,
    pub(crate) runs: Vec<DoneRun>,
}

/// Code that came in one plan.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) initializers: Vec<InitArray>,
    pub(crate) finalizers: Vec<InitArray>,
}

/// Initializers that ran.
#[derive(Debug)]
pub(crate) struct DoneRun {
    pub(crate) run: Run,
    /// In the count of [`State::sequence`].
    pub(crate) number: u64,
    /// Its finalizers have run, or it has none because it threw.
    pub(crate) finalized: bool,
}

impl State {
    pub(crate) fn next_number(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    pub(crate) fn name(&self, dylib: DylibId) -> &str {
        self.dylibs.get(dylib.index()).map_or("?", |state| &state.name)
    }
}

/// The locked state; wakes those who wait when the loader changed.
pub(crate) struct Locked<'a> {
    guard: Option<MutexGuard<'a, State>>,
    session: &'a Session,
    before: u64,
}

impl<'a> Locked<'a> {
    /// Waits until the loader may have changed, at most this long.
    pub(crate) fn wait(&mut self, at_most: Duration) {
        if let Some(guard) = self.guard.take() {
            if guard.loader.changes() != self.before {
                self.session.changed.notify_all();
            }
            self.hold(self.session.changed.wait_timeout(guard, at_most));
        }
    }

    /// Does something with the state unlocked.
    pub(crate) fn without(&mut self, something: impl FnOnce()) {
        if let Some(guard) = self.guard.take() {
            if guard.loader.changes() != self.before {
                self.session.changed.notify_all();
            }
            drop(guard);
            something();
            self.hold(self.session.state.lock());
        }
    }

    fn hold(&mut self, guard: MutexGuard<'a, State>) {
        self.before = guard.loader.changes();
        self.guard = Some(guard);
    }
}

impl Deref for Locked<'_> {
    type Target = State;
    fn deref(&self) -> &State {
        self.guard.as_ref().expect("only without a guard inside of wait and without")
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        self.guard.as_mut().expect("only without a guard inside of wait and without")
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // Without a guard it is being unwound from inside of `wait` or `without`.
        if self.guard.as_ref().is_some_and(|guard| guard.loader.changes() != self.before) {
            self.session.changed.notify_all();
        }
    }
}

impl Session {
    /// A session.
    ///
    /// # Safety
    /// The controller is trusted as a linker is: the arrays in its plans hold addresses of functions that may be called as initializers and
    /// finalizers, and lie in memory that stays until it has heard of the dylib's unload.
    pub unsafe fn new(config: Config) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let Config { controller, before_exit, changes, report_waits, on_wait, slab } = config;
        let session = Arc::new_cyclic(|this| Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            this: this.clone(),
            controller,
            before_exit,
            changes,
            turns: AtomicU64::new(0),
            answers: Answers::default(),
            slab,
            native: Native::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
            planning: PlanLock::default(),
            waits: Waits::new(report_waits, on_wait),
            ledger: Mutex::default(),
            next_image: AtomicU64::new(1),
            watchers: AtomicU8::new(0),
            gate: Gate::new(),
            arguments: Mutex::default(),
        });
        capi::announce(&session);
        session
    }

    /// The memory that images of this session live in.
    pub fn slab(&self) -> &Slab {
        &self.slab
    }

    /// The system's shared libraries.
    pub fn native(&self) -> &Native {
        &self.native
    }

    /// Names and addresses that executed code is to be linked against, before anything else of the process: dlfcn.h, exit handlers, `exit`,
    /// and the `__orc_rt` functions.
    pub fn entry_points(&self) -> Vec<(&'static str, u64)> {
        capi::entry_points()
    }

    /// The first argument that `__orc_rt_jit_dispatch` takes for this session.
    pub fn dispatch_context(&self) -> u64 {
        self.number
    }

    /// Calls the controller, as `__orc_rt_jit_dispatch` does.
    ///
    /// # Errors
    /// The call could not be made, or no answer came.
    pub fn dispatch(&self, tag: Tag, args: &[u8]) -> Result<Reply, CallError> {
        self.controller.call(tag, args)
    }

    /// As [`dispatch`](Self::dispatch), packed; an error that the controller reports is one like any other.
    pub(crate) fn ask<A: dispatch::packed::Pack + ?Sized, R: for<'a> dispatch::packed::Unpack<'a>>(
        &self,
        tag: Tag,
        args: &A,
    ) -> Result<R, CallError> {
        call_typed(&*self.controller, tag, args)
    }

    /// Registers finalized images that were linked together, then runs their IFUNC resolvers: after all of them are in place and
    /// before any initializer. Returns one id for each image, in order.
    ///
    /// # Errors
    /// An image overlaps another, or the unwinder refuses its table. None of them is registered then.
    ///
    /// # Safety
    /// The ranges are finalized memory that stays until the image is released; the `.eh_frame` is well-formed; every resolver is one, and
    /// its slot is a writable, aligned address of 8 bytes; thread-local storage is reserved for the image until it is released, and its
    /// content lies in the image. Resolvers must not open or close anything.
    pub unsafe fn register_images(&self, images: Vec<ImageInfo>) -> Result<Vec<ImageId>, ImageError> {
        let mut ids = Vec::with_capacity(images.len());
        let mut ifuncs = Vec::new();
        {
            let mut ledger = self.ledger.lock();
            let contents: Vec<_> = images.iter().filter_map(|info| info.thread_local.as_ref()).collect();
            // SAFETY: the caller's promise; no code of the images can run before they are registered.
            unsafe { tls::initialize(&contents) }.map_err(|source| {
                let first = images.iter().find(|info| info.thread_local.is_some());
                ImageError::ThreadLocal { name: first.map_or_else(String::new, |info| info.name.clone()), source }
            })?;
            for mut info in images {
                let id = ImageId(self.next_image.fetch_add(1, Ordering::Relaxed));
                ifuncs.append(&mut info.ifuncs);
                let image = Arc::new(Image::new(id, self.this.clone(), &mut info));
                let tell_unwinder = |address, size, ranges: &[Range<u64>]| {
                    let is_inside = |function: &Range<u64>| {
                        ranges.iter().any(|range| range.start <= function.start && function.end <= range.end)
                    };
                    // SAFETY: the table lies in the image (the ledger has checked), and the rest is the caller's promise.
                    unsafe { unwind::register(address, size, is_inside) }
                };
                if let Err(error) = ledger.register(&image, info, tell_unwinder) {
                    for id in ids.into_iter().rev() {
                        ledger.release(id);
                    }
                    return Err(error);
                }
                ids.push(id);
            }
        }
        let _resolving = (!ifuncs.is_empty()).then(context::Resolving::begin);
        for (resolver, slot) in ifuncs {
            // SAFETY: the caller's promise.
            unsafe { call::resolve_ifunc(resolver, slot) };
        }
        Ok(ids)
    }

    /// Has these, besides those that are watching already, told of images that are described from now on.
    ///
    /// # Errors
    /// A file that one of them reads cannot be made. Nobody is told then.
    pub fn watch(&self, watchers: Watchers) -> Result<(), WatchError> {
        debug::begin(watchers)?;
        self.watchers.fetch_or(watchers.bits(), Ordering::Relaxed);
        Ok(())
    }

    /// Who is to be told of images: those that [`Self::watch`] named, and a debugger or valgrind that is there.
    pub fn watchers(&self) -> Watchers {
        let mut watchers = Watchers::from_bits_truncate(self.watchers.load(Ordering::Relaxed));
        watchers.set(Watchers::DEBUGGER, watchers.contains(Watchers::DEBUGGER) || gdb::is_attached());
        watchers.set(Watchers::VALGRIND, debug::is_under_valgrind());
        watchers
    }

    /// Tells [`Self::watchers`] of registered images what they have not been told. What is told of an image is taken back when it is released; a description of
    /// one that is not registered is for nobody.
    pub fn describe(&self, descriptions: Vec<Description>) {
        let watchers = self.watchers();
        let mut ledger = self.ledger.lock();
        for description in descriptions {
            ledger.describe(watchers, description, |watchers, description, ranges, table| {
                let image = Linked { ranges, table, slab: self.slab() };
                // SAFETY: who registered the image has promised that it is final and stays until it is released, which takes the ledger.
                unsafe { profile::tell(watchers, description, &image) }
            });
        }
    }

    /// Asks the controller what it can tell of everything that is registered, and shows it to debuggers. Says how many images that were.
    pub(crate) fn describe_everything(&self) -> usize {
        // It reads no file that would have to be made first.
        self.watchers.fetch_or(Watchers::DEBUGGER.bits(), Ordering::Relaxed);
        let images: Vec<Description> = self.ask(tag::IMAGES, &Images::default()).unwrap_or_default();
        let count = images.len();
        self.describe(images);
        count
    }

    /// Undoes everything that was registered for `image`. Says whether it was registered.
    pub fn release_image(&self, image: ImageId) -> bool {
        self.ledger.lock().release(image)
    }

    /// Everything that is registered with the process for this session.
    pub fn ledger(&self) -> Vec<LedgerEntry> {
        let mut entries = self.ledger.lock().entries();
        let handlers =
            |(dylib, count)| LedgerEntry { image: None, dylib, registration: Registration::ExitHandlers(count) };
        entries.extend(self.lock().handlers.pending().map(handlers));
        entries
    }

    /// Keeps the memory of `dylib` while the token lives; `None` when the session is torn down.
    pub fn keepalive(&self, dylib: DylibId) -> Option<Keepalive> {
        self.enter(dylib, None, Activity::Calls)
    }

    /// How many tokens are held of each dylib that somebody is inside of, and which dylibs are unloaded but for their memory, which waits for such.
    pub fn keepalives(&self) -> (Vec<(DylibId, usize)>, Vec<DylibId>) {
        self.gate.held()
    }

    /// Keeps the memory of the image at `address` while the token lives, and with it that of its dylib; other images of the dylib may be
    /// removed meanwhile. `None` where no image of this session is, and when the session is torn down.
    pub fn keepalive_at(&self, address: u64) -> Option<Keepalive> {
        self.enter_at(address, Activity::Calls)
    }

    pub(crate) fn enter_at(&self, address: u64, why: Activity) -> Option<Keepalive> {
        let image = image::at(address).filter(|image| image.session.as_ptr() == self.this.as_ptr())?;
        self.enter(image.dylib, Some(image.id), why)
    }

    pub(crate) fn enter(&self, dylib: DylibId, image: Option<ImageId>, why: Activity) -> Option<Keepalive> {
        self.gate.enter(dylib, image, why)
    }

    /// How long a wait may last before it is told, and again; zero for never. Counts for waits that begin from now on.
    pub fn report_waits(&self, every: Duration) {
        self.waits.report_every(every);
    }

    /// Who is told of waits that last, instead of standard error.
    pub fn on_wait(&self, hook: Option<WaitHook>) {
        self.waits.set_hook(hook);
    }

    /// The dylib whose code or data lies at `address`.
    pub fn dylib_at(&self, address: u64) -> Option<DylibId> {
        let image = image::at(address)?;
        (image.session.as_ptr() == self.this.as_ptr()).then_some(image.dylib)
    }

    /// The image that covers `address`.
    pub(crate) fn image_at(&self, address: u64) -> Option<ImageId> {
        let image = image::at(address)?;
        (image.session.as_ptr() == self.this.as_ptr()).then_some(image.id)
    }

    /// Closes everything, whatever its count: exit handlers and finalizers run in exact reverse order, and the controller hears of it.
    /// Afterwards nobody gets in any more.
    ///
    /// # Errors
    /// Somebody is inside executed code, and `how` says not to wait (longer). Nothing has changed then.
    pub fn shut_down(&self, how: Teardown) -> Result<(), StillInside> {
        tls::run_destructors(self, |_| true);
        let mut wait = None;
        self.gate.tear_down(how, |left| {
            let wait = wait.get_or_insert_with(|| self.waits.begin(context::visitor(), Awaited::Inside, Vec::new()));
            self.gate.wait_while(left.min(wait.left()), None);
            if wait.is_due() {
                let dylibs: Vec<DylibId> = self.gate.held().0.into_iter().map(|(dylib, _)| dylib).collect();
                wait.now_for(Awaited::Inside, self.names_of(&dylibs));
                wait.report(|_| self.who_is_inside(&dylibs).0);
            }
        })?;
        drop(wait);
        let close = self.lock().loader.begin_shutdown(context::visitor());
        self.finish_close(TakenOn::by_shutdown(close));
        Ok(())
    }

    pub(crate) fn lock(&self) -> Locked<'_> {
        let guard = self.state.lock();
        let before = guard.loader.changes();
        Locked { guard: Some(guard), session: self, before }
    }

    /// Waits for the right to talk to the controller about opens and closes.
    ///
    /// # Errors
    /// This thread has it already: an IFUNC resolver opens or closes something.
    pub(crate) fn plan_lock(&self) -> Result<Planning<'_>, DlError> {
        self.planning.take(context::visitor(), &self.waits).ok_or(DlError::InsideResolver)
    }

    /// Tells those who wait for a change of the state that is not the loader's.
    pub(crate) fn notify(&self) {
        self.changed.notify_all();
    }

    pub(crate) fn names_of(&self, dylibs: &[DylibId]) -> Vec<String> {
        let state = self.lock();
        dylibs.iter().map(|&dylib| state.name(dylib).to_owned()).collect()
    }

    /// Who is inside these dylibs, some of them, and how many in all.
    pub(crate) fn who_is_inside(&self, dylibs: &[DylibId]) -> (Vec<Holder>, usize) {
        let (inside, count) = self.gate.who(dylibs, false);
        (self.with_names(inside), count)
    }

    pub(crate) fn with_names(&self, inside: Vec<(DylibId, VisitorId, Holder)>) -> Vec<Holder> {
        let state = self.lock();
        let named = inside.into_iter().map(|(dylib, visitor, holder)| Holder {
            dylib: state.name(dylib).to_owned(),
            waits_for: self.waits.of(visitor),
            ..holder
        });
        named.collect()
    }

    /// Where the controller's changes stand, if it counts them. Read before asking, it dates the answer.
    pub(crate) fn changes(&self) -> Option<u64> {
        self.changes.as_ref().map(Changes::now)
    }

    /// Whether the controller is in this process, and hence in its forked children.
    pub(crate) fn has_controller_here(&self) -> bool {
        self.changes.is_some()
    }

    /// The moment that answers to lookups belong to, to be read before asking. `None` without a controller that counts its changes, and for resolvers, which get no
    /// answers.
    pub(crate) fn moment(&self) -> Option<Moment> {
        let changes = self.changes()?;
        (!context::is_resolving()).then(|| (changes, self.turns.load(Ordering::Acquire)))
    }

    /// Answers to lookups may be others from now on.
    pub(crate) fn turn(&self) {
        self.turns.fetch_add(1, Ordering::Release);
        recent::turn();
    }

    /// The session as executed code holds it.
    pub(crate) fn this(&self) -> Arc<Self> {
        self.this.upgrade().expect("a borrowed session is alive")
    }

    /// The address, in this thread, of a variable that the controller has named.
    pub(crate) fn address_here(&self, place: tls::ThreadLocal) -> u64 {
        // SAFETY: the controller is trusted with addresses: it names variables of what it has linked and registered, and of libraries.
        unsafe { tls::address_here(place) }
    }

    /// The controller's word on images of these dylibs: files for symbolizers, with relative addresses.
    pub(crate) fn describe_images(&self, dylibs: &[DylibId]) -> Result<Vec<Description>, CallError> {
        let dylibs = dylibs.iter().map(|dylib| dylib.get()).collect();
        let mut described: Vec<Description> = self.ask(tag::IMAGES, &Images { dylibs, relative: true })?;
        let ledger = self.ledger.lock();
        described.iter_mut().for_each(|one| ledger.fill_in(one));
        Ok(described)
    }

    /// The controller's word on what lies at `address`.
    pub(crate) fn symbol_at(&self, address: u64) -> Option<(String, u64)> {
        self.ask(tag::DESCRIBE, &address).ok().flatten()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Executed code is not called any more: whoever wants finalizers to run has called `shut_down`.
        self.ledger.lock().release_all();
        crate::dlfcn::forget_handles(&self.this);
        capi::withdraw(self.number);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("number", &self.number).finish_non_exhaustive()
    }
}
