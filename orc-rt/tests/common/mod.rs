//! A controller without a linker: its dylibs are arrays of pointers to functions of the test.
//!
//! An initializer, finalizer or handler of the tests is `at::<N>`: it does what the test has put under N with [`act`], on whichever thread.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use dispatch::{Registry, Reply, Tag, packed};
use orc_rt::service::{Found, InitArray, Lookup, Open, Plan, PlanDylib, scope, tag};
use orc_rt::{Config, DlError, Handle, ImageInfo, Session, SymbolTable};
use std::collections::{BTreeMap, HashMap};
use std::ffi::{c_char, c_int, c_void};
use std::ops::Range;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

/// What `at::<N>` does. Numbers are used by one test each: tests share the table.
type Action = Arc<dyn Fn() + Send + Sync>;

static ACTIONS: LazyLock<Mutex<HashMap<usize, Action>>> = LazyLock::new(Mutex::default);

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on `at::<number>` does this.
pub fn act(number: usize, action: impl Fn() + Send + Sync + 'static) {
    // What was there goes with the table unlocked: it may be the last to hold a session.
    let _before = lock(&ACTIONS).insert(number, Arc::new(action));
}

/// Forgets what the functions of these numbers do, and what they hold.
pub fn forget_actions(numbers: Range<usize>) {
    let forgotten: Vec<_> = {
        let mut actions = lock(&ACTIONS);
        numbers.filter_map(|number| actions.remove(&number)).collect()
    };
    drop(forgotten);
}

/// Lets other threads come in between, under a model checker.
pub fn switch() {
    #[cfg(shuttle)]
    shuttle::thread::sleep(std::time::Duration::ZERO);
}

/// The function number `N`. Initializers, finalizers, `__cxa_atexit` and `atexit` handlers may all be called like this.
pub extern "C-unwind" fn at<const N: usize>() {
    let action = lock(&ACTIONS).get(&N).cloned().unwrap_or_else(|| panic!("nothing to do at {N}"));
    action();
}

/// Address of `at::<N>`.
pub fn address<const N: usize>() -> usize {
    at::<N> as extern "C-unwind" fn() as usize
}

/// Lines in the order they were written.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub fn push(&self, line: impl Into<String>) {
        lock(&self.0).push(line.into());
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.0))
    }

    /// `at::<number>` writes `line`.
    pub fn on(&self, number: usize, line: &str) {
        let (log, line) = (self.clone(), line.to_owned());
        act(number, move || log.push(line.clone()));
    }
}

#[derive(Default, Clone)]
pub struct Dylib {
    pub links: Vec<String>,
    pub initializers: Vec<Array>,
    pub finalizers: Vec<Array>,
    pub preinit: Vec<Array>,
    pub symbols: BTreeMap<String, u64>,
    pub is_program: bool,
    pub dso_handle: u64,
    pub delivered: (usize, usize, usize),
}

/// An array in memory that stays.
#[derive(Clone, Copy)]
pub struct Array {
    pub entries: &'static [usize],
    pub reverse: bool,
}

pub fn array(entries: &[usize]) -> Array {
    Array { entries: Box::leak(entries.to_vec().into_boxed_slice()), reverse: false }
}

pub fn reversed(entries: &[usize]) -> Array {
    Array { reverse: true, ..array(entries) }
}

#[derive(Default)]
struct World {
    names: Vec<String>,
    dylibs: Vec<Dylib>,
    broken: Option<String>,
    epoch: u64,
    closed: Vec<String>,
    opens: usize,
    lookups: usize,
    while_planning: Option<Action>,
}

/// The controller and its session.
#[derive(Clone)]
pub struct Fake {
    world: Arc<Mutex<World>>,
    pub session: Arc<Session>,
}

impl Fake {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(configure: impl FnOnce(&mut Config)) -> Self {
        let world: Arc<Mutex<World>> = Arc::default();
        let registry = Registry::new();
        let serve = |served: Tag, answer: fn(&mut World, &[u8]) -> Reply| {
            let world = Arc::clone(&world);
            let answer = move |args: &[u8]| {
                switch();
                let meanwhile = lock(&world).while_planning.clone();
                if let Some(meanwhile) = meanwhile.filter(|_| served == tag::OPEN) {
                    meanwhile();
                }
                let reply = answer(&mut lock(&world), args);
                switch();
                reply
            };
            registry.add(served, answer).expect("a free tag");
        };
        serve(tag::OPEN, |world, args| {
            let open: Open<'_> = packed::from_bytes(args).expect("an open");
            world.opens += 1;
            Reply::packed(&world.open(open.name))
        });
        serve(tag::UPDATE, |world, args| {
            let id: u32 = packed::from_bytes(args).expect("a dylib");
            Reply::packed(&world.plan(id as usize - 1))
        });
        serve(tag::CLOSED, |world, args| {
            for id in packed::from_bytes::<Vec<u32>>(args).expect("dylibs") {
                world.dylibs[id as usize - 1].delivered = (0, 0, 0);
                let name = world.names[id as usize - 1].clone();
                world.closed.push(name);
            }
            Reply::empty()
        });
        serve(tag::LOOKUP, |world, args| {
            let lookup: Lookup<'_> = packed::from_bytes(args).expect("a lookup");
            world.lookups += 1;
            let found = |address| Found { address, thread_local: None };
            Reply::packed(&world.lookup(&lookup).map(|address| address.map(found)))
        });
        registry.add(Tag(77), |args: &[u8]| Reply::copy_from(args)).expect("a free tag");
        registry.add(Tag(78), |_: &[u8]| Reply::error("refused")).expect("a free tag");
        let mut config = Config::new(Arc::new(registry));
        if cfg!(shuttle) {
            // A thread that tells of waits looks at a clock, which the model checker has not.
            config.report_waits = std::time::Duration::ZERO;
        }
        configure(&mut config);
        // SAFETY: the arrays of the tests hold addresses of functions and are never freed.
        let session = unsafe { Session::new(config) };
        Self { world, session }
    }

    /// Adds or replaces a dylib.
    pub fn add(&self, name: &str, links: &[&str], dylib: Dylib) -> &Self {
        let mut world = lock(&self.world);
        let dylib = Dylib { links: links.iter().map(|&link| link.to_owned()).collect(), ..dylib };
        world.epoch += 1;
        world.names.push(name.to_owned());
        world.dylibs.push(dylib);
        self
    }

    /// A dylib whose one initializer writes its name, and whose one finalizer writes `~name`.
    pub fn logging<const I: usize, const F: usize>(&self, log: &Log, name: &str, links: &[&str]) -> &Self {
        log.on(I, name);
        log.on(F, &format!("~{name}"));
        let dylib = Dylib {
            initializers: vec![array(&[address::<I>()])],
            finalizers: vec![reversed(&[address::<F>()])],
            ..Dylib::default()
        };
        self.add(name, links, dylib)
    }

    pub fn change(&self, name: &str, change: impl FnOnce(&mut Dylib)) {
        let mut world = lock(&self.world);
        let index = world.names.iter().position(|known| known == name).expect("a dylib");
        world.epoch += 1;
        change(&mut world.dylibs[index]);
    }

    /// From now on nothing links, for this reason; `None` mends it.
    pub fn break_linking(&self, reason: Option<&str>) {
        lock(&self.world).broken = reason.map(str::to_owned);
    }

    /// What the controller does before it plans an open, on the thread that asks.
    pub fn while_planning(&self, action: impl Fn() + Send + Sync + 'static) {
        lock(&self.world).while_planning = Some(Arc::new(action));
    }

    /// Dylibs that the executor has reported as unloaded since the last call.
    pub fn closed(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.world).closed)
    }

    /// How many plans for opens were asked for.
    pub fn opens(&self) -> usize {
        lock(&self.world).opens
    }

    /// How many lookups were asked for.
    pub fn lookups(&self) -> usize {
        lock(&self.world).lookups
    }

    pub fn id(&self, name: &str) -> orc_rt::DylibId {
        let index = lock(&self.world).names.iter().position(|known| known == name).expect("a dylib");
        orc_rt::DylibId::new(index as u32 + 1).expect("not zero")
    }

    pub fn open(&self, name: &str) -> Result<Handle, DlError> {
        self.session.dlopen(name, 0)
    }

    pub fn count(&self, name: &str) -> u64 {
        self.session.dylib_status(self.id(name)).1
    }
}

/// An image of the bytes of `range`, whose first is also its dylib's `dso_handle`.
pub fn image(fake: &Fake, name: &str, range: Range<u64>) -> ImageInfo {
    let dso_handle = range.start;
    let ranges = std::iter::once(range).collect();
    let symbols = SymbolTable::default();
    ImageInfo {
        dylib: fake.id(name),
        name: name.to_owned(),
        ranges,
        dso_handle,
        eh_frame: None,
        ifuncs: vec![],
        thread_local: None,
        slots: 0..0,
        symbols,
    }
}

/// The image of a dylib whose only "code" is the first byte of `at::<N>`.
pub fn image_of<const N: usize>(fake: &Fake, name: &str) -> ImageInfo {
    let start = address::<N>() as u64;
    image(fake, name, start..start + 1)
}

impl World {
    fn open(&mut self, name: &str) -> Result<Option<Plan>, String> {
        let found = match name {
            "" => self.dylibs.iter().position(|dylib| dylib.is_program),
            name => self.names.iter().position(|known| known == name),
        };
        found.map(|index| self.plan(index)).transpose()
    }

    fn plan(&mut self, root: usize) -> Result<Plan, String> {
        if let Some(reason) = &self.broken {
            return Err(reason.clone());
        }
        let mut reached = vec![root];
        let mut next = 0;
        while let Some(&index) = reached.get(next) {
            next += 1;
            for link in self.links(index)? {
                if !reached.contains(&link) {
                    reached.push(link);
                }
            }
        }
        let mut dylibs = Vec::new();
        for index in reached {
            let links = self.links(index)?.into_iter().map(|link| link as u32 + 1).collect();
            let dylib = &mut self.dylibs[index];
            let fresh = |arrays: &[Array], delivered: &mut usize| {
                let fresh = arrays[*delivered..].iter().map(|array| InitArray {
                    address: array.entries.as_ptr() as u64,
                    count: array.entries.len() as u64,
                    priority: 65535,
                    reverse: array.reverse,
                });
                let fresh = fresh.collect();
                *delivered = arrays.len();
                fresh
            };
            dylibs.push(PlanDylib {
                id: index as u32 + 1,
                name: self.names[index].clone(),
                links,
                dso_handle: dylib.dso_handle,
                new_initializers: fresh(&dylib.initializers, &mut dylib.delivered.0),
                new_finalizers: fresh(&dylib.finalizers, &mut dylib.delivered.1),
                new_preinit: fresh(&dylib.preinit, &mut dylib.delivered.2),
                is_program: dylib.is_program,
            });
        }
        Ok(Plan { root: root as u32 + 1, epoch: self.epoch, dylibs })
    }

    fn links(&self, index: usize) -> Result<Vec<usize>, String> {
        let position = |name: &String| self.names.iter().position(|known| known == name);
        self.dylibs[index].links.iter().map(|link| position(link).ok_or(format!("no dylib {link}"))).collect()
    }

    fn lookup(&self, lookup: &Lookup<'_>) -> Result<Option<u64>, String> {
        if let Some(reason) = &self.broken {
            return Err(reason.clone());
        }
        let start = match lookup.scope {
            scope::HANDLE | scope::NEXT => lookup.dylib as usize - 1,
            _ => self.dylibs.iter().position(|dylib| dylib.is_program).ok_or("no program")?,
        };
        let mut reached = vec![start];
        let mut next = 0;
        while let Some(&index) = reached.get(next) {
            next += 1;
            for link in self.links(index)? {
                if !reached.contains(&link) {
                    reached.push(link);
                }
            }
        }
        let skip = usize::from(lookup.scope == scope::NEXT);
        Ok(reached.into_iter().skip(skip).find_map(|index| self.dylibs[index].symbols.get(lookup.name).copied()))
    }
}

/// The C entry points, typed.
pub struct Entries(HashMap<&'static str, u64>);

impl Entries {
    pub fn of(session: &Session) -> Self {
        Self(session.entry_points().into_iter().collect())
    }

    pub fn address(&self, name: &str) -> u64 {
        self.0[name]
    }

    fn get<F: Copy>(&self, name: &str) -> F {
        assert_eq!(size_of::<F>(), size_of::<u64>());
        // SAFETY: the callers below name the C type of each function.
        unsafe { std::mem::transmute_copy(&self.0[name]) }
    }

    pub fn atexit(&self, function: extern "C-unwind" fn()) -> c_int {
        self.get::<extern "C-unwind" fn(extern "C-unwind" fn()) -> c_int>("atexit")(function)
    }

    pub fn on_exit(&self, function: extern "C-unwind" fn(c_int, *mut c_void), argument: usize) -> c_int {
        type OnExit = extern "C-unwind" fn(extern "C-unwind" fn(c_int, *mut c_void), usize) -> c_int;
        self.get::<OnExit>("on_exit")(function, argument)
    }

    pub fn cxa_atexit(&self, function: extern "C-unwind" fn(), dso_handle: u64) -> c_int {
        type CxaAtexit = extern "C-unwind" fn(extern "C-unwind" fn(), usize, u64) -> c_int;
        self.get::<CxaAtexit>("__cxa_atexit")(function, 0, dso_handle)
    }

    pub fn cxa_thread_atexit(&self, function: extern "C-unwind" fn(), dso_handle: u64) -> c_int {
        type CxaThreadAtexit = extern "C-unwind" fn(extern "C-unwind" fn(), usize, u64) -> c_int;
        self.get::<CxaThreadAtexit>("__cxa_thread_atexit")(function, 0, dso_handle)
    }

    pub fn cxa_finalize(&self, dso_handle: u64) {
        self.get::<extern "C-unwind" fn(u64)>("__cxa_finalize")(dso_handle);
    }

    pub fn exit(&self, status: c_int) -> ! {
        self.get::<extern "C-unwind" fn(c_int) -> !>("exit")(status)
    }

    pub fn dlopen(&self, which: &str, name: *const c_char, mode: c_int) -> *mut c_void {
        self.get::<extern "C-unwind" fn(*const c_char, c_int) -> *mut c_void>(which)(name, mode)
    }

    pub fn dlsym(&self, which: &str, handle: *mut c_void, name: *const c_char) -> *mut c_void {
        self.get::<extern "C-unwind" fn(*mut c_void, *const c_char) -> *mut c_void>(which)(handle, name)
    }

    pub fn handle_call(&self, which: &str, handle: *mut c_void) -> c_int {
        self.get::<extern "C-unwind" fn(*mut c_void) -> c_int>(which)(handle)
    }

    pub fn dlerror(&self, which: &str) -> Option<String> {
        let text = self.get::<extern "C-unwind" fn() -> *const c_char>(which)();
        // SAFETY: dlerror returns null or a C string that is valid until the next call on this thread.
        (!text.is_null()).then(|| unsafe { std::ffi::CStr::from_ptr(text) }.to_str().expect("text").to_owned())
    }

    pub fn dladdr(&self, which: &str, address: u64) -> Option<libc::Dl_info> {
        // SAFETY: null pointers are valid in a Dl_info.
        let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
        let found = self.get::<extern "C-unwind" fn(u64, *mut libc::Dl_info) -> c_int>(which)(address, &raw mut info);
        (found != 0).then_some(info)
    }
}
