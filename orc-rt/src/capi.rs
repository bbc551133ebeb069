//! The C names that executed code is linked against.
//!
//! The `__orc_rt` functions, and those of the C library that a JIT must answer itself: dlfcn.h, exit handlers, `exit` (those about names are in `names`). The
//! controller resolves these names before anything else of the process, so that JITDylibs come first and the system second (rule 29).
//!
//! A call is attributed to a session and a dylib by the address that it returns to; code that no image covers (a call that the compiler
//! made a jump, a callback from a library) counts as the code that this thread is running, or as the only session's.
//!
//! `unsafe` because this is where C pointers come in.
#![allow(unsafe_code)]

use crate::atexit::{Backwards, Handler};
use crate::context;
use crate::dlfcn::{DlError, Handle, Scope, noted, who_has};
use crate::image::{self, ImageId};
use crate::machine::{self, calls::with_caller};
use crate::native::system_error;
use crate::recent::{self, Place};
use crate::session::Session;
use crate::sync::leaf::RwLock;
use crate::sync::{Arc, Weak};
use crate::wrapper::{self, WrapperResult};
use dispatch::Tag;
use dylib_graph::DylibId;
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_void};

/// Sessions by number.
static SESSIONS: RwLock<BTreeMap<u64, Weak<Session>>> = RwLock::new(BTreeMap::new());

pub(crate) fn announce(session: &Arc<Session>) {
    SESSIONS.write().insert(session.dispatch_context(), Arc::downgrade(session));
}

pub(crate) fn withdraw(number: u64) {
    SESSIONS.write().remove(&number);
}

/// The session that code at `caller` belongs to.
fn session_of(caller: u64) -> Option<Arc<Session>> {
    who_calls(caller).map(|(session, _)| session)
}

/// The session and the dylib that code at `caller` belongs to; no dylib when nobody knows.
fn who_calls(caller: u64) -> Option<(Arc<Session>, Option<DylibId>)> {
    if let Some((session, dylib)) = image::owner(caller) {
        return Some((session, Some(dylib)));
    }
    context::running().or_else(|| {
        // Dropped with the table unlocked: the last one to drop a session takes it out of there.
        let mut alive: Vec<_> = SESSIONS.read().values().filter_map(Weak::upgrade).take(2).collect();
        let only = alive.pop()?;
        alive.is_empty().then_some((only, None))
    })
}

with_caller!(entry_jit_dlopen, 2, jit_dlopen);
with_caller!(entry_dlopen, 2, dlopen);
with_caller!(entry_jit_dlsym, 2, jit_dlsym);
with_caller!(entry_dlsym, 2, dlsym);
with_caller!(entry_dlvsym, 3, dlvsym);
with_caller!(entry_dlmopen, 3, dlmopen);
with_caller!(entry_jit_dispatch, 4, jit_dispatch);
with_caller!(entry_run_program, 4, run_program);
with_caller!(entry_cxa_atexit, 3, cxa_atexit);
with_caller!(entry_cxa_finalize, 1, cxa_finalize);
with_caller!(entry_atexit, 1, atexit);
with_caller!(entry_on_exit, 2, on_exit);
with_caller!(entry_exit, 1, exit);

/// Names and addresses.
pub(crate) fn entry_points() -> Vec<(&'static str, u64)> {
    let naked: [(&str, extern "C-unwind" fn()); 16] = [
        ("__orc_rt_jit_dlopen", entry_jit_dlopen),
        ("__orc_rt_jit_dlsym", entry_jit_dlsym),
        ("__orc_rt_jit_dispatch", entry_jit_dispatch),
        ("__orc_rt_run_program", entry_run_program),
        ("dlopen", entry_dlopen),
        ("dlsym", entry_dlsym),
        ("dlvsym", entry_dlvsym),
        ("dlmopen", entry_dlmopen),
        ("__cxa_atexit", entry_cxa_atexit),
        ("__cxa_finalize", entry_cxa_finalize),
        ("atexit", entry_atexit),
        ("on_exit", entry_on_exit),
        ("exit", entry_exit),
        ("__cxa_thread_atexit", machine::tls::entry_thread_atexit),
        ("__cxa_thread_atexit_impl", machine::tls::entry_thread_atexit),
        ("__tls_get_addr", machine::tls::entry_get_address),
    ];
    let mut all: Vec<_> = naked.into_iter().map(|(name, function)| (name, function as *const () as u64)).collect();
    all.extend([
        ("__orc_rt_jit_dlclose", jit_dlclose as *const () as u64),
        ("__orc_rt_jit_dlerror", jit_dlerror as *const () as u64),
        ("__orc_rt_jit_dlupdate", jit_dlupdate as *const () as u64),
        ("__orc_rt_debug_describe_all", __orc_rt_debug_describe_all as *const () as u64),
        ("dlclose", dlclose as *const () as u64),
        ("dlerror", jit_dlerror as *const () as u64),
        (crate::lazy::NAME, crate::lazy::entry_point()),
        ("pthread_create", crate::started::pthread_create as *const () as u64),
    ]);
    all.extend(crate::names::entry_points());
    all.extend(crate::darwin::entry_points());
    all.extend(crate::unwind::entry_point());
    all
}

/// For people in a debugger that was attached late: `call (int)__orc_rt_debug_describe_all()` shows it what is linked already, in every session, and says how
/// many images that were.
#[unsafe(no_mangle)]
extern "C" fn __orc_rt_debug_describe_all() -> c_int {
    let sessions: Vec<Arc<Session>> = SESSIONS.read().values().filter_map(Weak::upgrade).collect();
    let images: usize = sessions.iter().map(|session| session.describe_everything()).sum();
    c_int::try_from(images).unwrap_or(c_int::MAX)
}

/// # Safety
/// Null or a C string.
unsafe fn text<'a>(pointer: *const c_char) -> Option<Result<&'a str, DlError>> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: not null, hence a C string by the caller's promise.
    let text = unsafe { CStr::from_ptr(pointer) };
    Some(text.to_str().map_err(|_| DlError::NoSuchDylib { name: text.to_string_lossy().into_owned() }))
}

/// Reports an error that no session has reported.
fn refuse<T>(error: &DlError, value: T) -> T {
    context::set_error(&error.to_string());
    value
}

fn pointer(address: u64) -> *mut c_void {
    std::ptr::with_exposed_provenance_mut(address as usize)
}

/// The system's last error becomes ours, so that one `dlerror` tells both.
fn system_failed() {
    if let Some(text) = system_error() {
        context::set_error(&text.to_string_lossy());
    }
}

/// Opens among the JITDylibs; says nothing to `dlerror`. Null when `NOLOAD` was given and it is not loaded, which is no error.
///
/// # Safety
/// `name` is null or a C string.
unsafe fn open(name: *const c_char, mode: c_int, caller: u64) -> Result<*mut c_void, DlError> {
    // SAFETY: the caller's promise.
    let name = unsafe { text(name) }.transpose()?.unwrap_or_default();
    let session = session_of(caller).ok_or_else(|| DlError::NoSuchDylib { name: name.to_owned() })?;
    match session.open(name, mode as u32) {
        Ok(handle) => Ok(pointer(handle.as_raw())),
        Err(DlError::NotLoaded { .. }) => Ok(std::ptr::null_mut()),
        Err(error) => Err(error),
    }
}

/// `void *__orc_rt_jit_dlopen(const char *name, int mode)`
///
/// # Safety
/// As dlopen(3).
unsafe extern "C-unwind" fn jit_dlopen(name: *const c_char, mode: c_int, caller: u64) -> *mut c_void {
    // SAFETY: the caller's promise.
    noted(unsafe { open(name, mode, caller) }).unwrap_or(std::ptr::null_mut())
}

/// `dlopen`: JITDylibs first, then the system.
///
/// # Safety
/// As dlopen(3).
unsafe extern "C-unwind" fn dlopen(name: *const c_char, mode: c_int, caller: u64) -> *mut c_void {
    // SAFETY: the caller's promise.
    match unsafe { open(name, mode, caller) } {
        Err(DlError::NoSuchDylib { .. }) => {
            // SAFETY: the caller's promise; the library's initializers run, as asked for.
            let handle = unsafe { system::dlopen(name, mode) };
            if handle.is_null() {
                system_failed();
            } else {
                crate::names::library_loaded();
            }
            handle
        }
        answer => noted(answer).unwrap_or(std::ptr::null_mut()),
    }
}

/// `dlmopen`: the base namespace has the JITDylibs, as for `dlopen`; the others are the system's.
///
/// # Safety
/// As dlmopen(3).
unsafe extern "C-unwind" fn dlmopen(
    namespace: libc::c_long,
    name: *const c_char,
    mode: c_int,
    caller: u64,
) -> *mut c_void {
    if namespace == libc::LM_ID_BASE {
        // SAFETY: the caller's promise.
        return unsafe { dlopen(name, mode, caller) };
    }
    // SAFETY: the caller's promise; the library's initializers run, as asked for.
    let handle = unsafe { system::dlmopen(namespace, name, mode) };
    if handle.is_null() {
        system_failed();
    }
    handle
}

/// `int __orc_rt_jit_dlclose(void *handle)`
extern "C-unwind" fn jit_dlclose(handle: *mut c_void) -> c_int {
    let handle = Handle::from_raw(handle as u64);
    match who_has(handle) {
        Some((session, dylib)) => noted(session.close(dylib)).map_or(-1, |()| 0),
        None => refuse(&DlError::BadHandle { handle }, -1),
    }
}

/// `dlclose`, for handles of ours and of the system.
///
/// # Safety
/// As dlclose(3), for handles that are not ours.
unsafe extern "C-unwind" fn dlclose(handle: *mut c_void) -> c_int {
    if Handle::from_raw(handle as u64).is_ours() || handle.is_null() {
        return jit_dlclose(handle);
    }
    // SAFETY: the caller's promise.
    let result = unsafe { system::dlclose(handle) };
    if result != 0 {
        system_failed();
    }
    result
}

/// `int __orc_rt_jit_dlupdate(void *handle)`
extern "C-unwind" fn jit_dlupdate(handle: *mut c_void) -> c_int {
    let handle = Handle::from_raw(handle as u64);
    match who_has(handle) {
        Some((session, dylib)) => noted(session.update(dylib)).map_or(-1, |()| 0),
        None => refuse(&DlError::BadHandle { handle }, -1),
    }
}

/// `const char *__orc_rt_jit_dlerror(void)`
extern "C-unwind" fn jit_dlerror() -> *const c_char {
    context::take_error_pointer()
}

/// A search of dlsym(3).
struct Search {
    session: Arc<Session>,
    scope: Scope,
    /// Where it begins.
    from: Option<DylibId>,
    /// Where the code that asks goes on.
    caller: u64,
    /// Under what an answer is kept for this thread, since when; `None` when the asker is not known by its address.
    recent: Option<(u64, Place)>,
}

impl Search {
    /// For the handle values of dlsym(3); `None` for a handle that is not ours.
    fn of(handle: *mut c_void, caller: u64) -> Option<Self> {
        let recent = Some(recent::epoch()).zip(Place::new(handle as u64, caller));
        let from_caller = |scope: fn(Option<DylibId>) -> Scope| {
            if let Some((session, from)) = image::owner(caller) {
                return Some(Self { session, scope: scope(Some(from)), from: Some(from), caller, recent });
            }
            let (session, from) = who_calls(caller)?;
            Some(Self { session, scope: scope(from), from, caller, recent: None })
        };
        if handle == libc::RTLD_DEFAULT {
            from_caller(Scope::Default)
        } else if handle == libc::RTLD_NEXT {
            from_caller(Scope::Next)
        } else {
            let handle = Handle::from_raw(handle as u64);
            let (session, dylib) = who_has(handle)?;
            Some(Self { session, scope: Scope::Handle(handle), from: Some(dylib), caller, recent })
        }
    }

    fn find(&self, symbol: &str) -> Result<Option<u64>, DlError> {
        self.session.find_from(self.scope, self.from, self.recent, symbol)
    }

    /// Null, and a `dlerror` that is put into words if somebody asks for it.
    fn nobody_defines(self, symbol: &str) -> *mut c_void {
        let Self { session, scope, from, caller, .. } = self;
        let asked_by = session.dylib_at(caller).or_else(|| session.running());
        let session = Arc::downgrade(&session);
        let symbol = symbol.to_owned();
        context::set_error_later(move || match session.upgrade() {
            Some(session) => session.no_such_symbol(scope, from, asked_by, &symbol).to_string(),
            None => format!("symbol {symbol} is not defined, in a session that has ended"),
        });
        std::ptr::null_mut()
    }

    /// Whether dlsym(3) in this scope also means the system's libraries.
    fn covers_the_process(&self) -> bool {
        match self.scope {
            Scope::Handle(_) => self.session.lock().program == self.from,
            Scope::Default(_) | Scope::Next(_) => true,
        }
    }
}

/// What this thread has got from the same search before, if nothing has changed since.
///
/// # Safety
/// `symbol` is null or a C string.
unsafe fn recently(handle: *mut c_void, symbol: *const c_char, caller: u64) -> Option<*mut c_void> {
    let place = Place::new(handle as u64, caller)?;
    // Resolvers get no answers.
    if symbol.is_null() || context::is_resolving() {
        return None;
    }
    // SAFETY: not null, hence a C string by the caller's promise.
    let name = unsafe { CStr::from_ptr(symbol) };
    recent::find(place, name.to_bytes()).map(|answer| pointer(answer.address))
}

/// `void *__orc_rt_jit_dlsym(void *handle, const char *symbol)`
///
/// # Safety
/// `symbol` is a C string.
unsafe extern "C-unwind" fn jit_dlsym(handle: *mut c_void, symbol: *const c_char, caller: u64) -> *mut c_void {
    // SAFETY: the caller's promise.
    if let Some(address) = unsafe { recently(handle, symbol, caller) } {
        return address;
    }
    let Some(search) = Search::of(handle, caller) else {
        return refuse(&DlError::BadHandle { handle: Handle::from_raw(handle as u64) }, std::ptr::null_mut());
    };
    // SAFETY: the caller's promise.
    let symbol = match unsafe { text(symbol) } {
        Some(Ok(symbol)) => symbol,
        Some(Err(error)) => return refuse(&error, std::ptr::null_mut()),
        None => {
            context::set_error("__orc_rt_jit_dlsym: the name of the symbol is null");
            return std::ptr::null_mut();
        }
    };
    match search.find(symbol) {
        Ok(Some(address)) => pointer(address),
        Ok(None) => search.nobody_defines(symbol),
        Err(error) => refuse(&error, std::ptr::null_mut()),
    }
}

/// `dlsym`: JITDylibs first, then the system, which knows what the program's own handle and the pseudo-handles also cover.
///
/// # Safety
/// As dlsym(3).
unsafe extern "C-unwind" fn dlsym(handle: *mut c_void, symbol: *const c_char, caller: u64) -> *mut c_void {
    // SAFETY: the caller's promise.
    if let Some(address) = unsafe { recently(handle, symbol, caller) } {
        return address;
    }
    let Some(search) = Search::of(handle, caller) else {
        if Handle::from_raw(handle as u64).is_ours() {
            return refuse(&DlError::BadHandle { handle: Handle::from_raw(handle as u64) }, std::ptr::null_mut());
        }
        // SAFETY: the caller's promise, for a handle of the system.
        return unsafe { system_dlsym(handle, symbol) };
    };
    // SAFETY: the caller's promise.
    let Some(Ok(name)) = (unsafe { text(symbol) }) else {
        // SAFETY: the caller's promise.
        return unsafe { system_dlsym(libc::RTLD_DEFAULT, symbol) };
    };
    match search.find(name) {
        Ok(Some(address)) => pointer(address),
        Ok(None) if search.covers_the_process() => {
            // SAFETY: `symbol` is a C string.
            unsafe { system_dlsym(libc::RTLD_DEFAULT, symbol) }
        }
        Ok(None) => search.nobody_defines(name),
        Err(error) => refuse(&error, std::ptr::null_mut()),
    }
}

/// # Safety
/// As dlsym(3).
unsafe fn system_dlsym(handle: *mut c_void, symbol: *const c_char) -> *mut c_void {
    // SAFETY: the caller's promise.
    let address = unsafe { system::dlsym(handle, symbol) };
    if address.is_null() {
        system_failed();
    }
    address
}

/// `dlvsym`: JITDylibs do not have versions; the system does.
///
/// # Safety
/// As dlvsym(3).
unsafe extern "C-unwind" fn dlvsym(
    handle: *mut c_void,
    symbol: *const c_char,
    version: *const c_char,
    caller: u64,
) -> *mut c_void {
    if Handle::from_raw(handle as u64).is_ours() {
        // SAFETY: the caller's promise.
        return unsafe { jit_dlsym(handle, symbol, caller) };
    }
    // SAFETY: the caller's promise.
    let address = unsafe { system::dlvsym(handle, symbol, version) };
    if address.is_null() {
        system_failed();
    }
    address
}

/// `int __cxa_atexit(void (*f)(void *), void *argument, void *dso_handle)` (Itanium C++ ABI 3.3.6.3). A `dso_handle` that is not ours goes to
/// the C library.
///
/// # Safety
/// As the ABI says.
unsafe extern "C-unwind" fn cxa_atexit(
    function: *mut c_void,
    argument: *mut c_void,
    dso_handle: *mut c_void,
    caller: u64,
) -> c_int {
    let image = match dso_handle as u64 {
        0 => image::at(caller),
        handle => image::of_dso_handle(handle),
    };
    let handler = Handler::Cxa { function: function as u64, argument: argument as u64 };
    match image.and_then(|image| Some((image.session.upgrade()?, image))) {
        Some((session, image)) => session.register_handler(image.dylib, Some(image.id), handler),
        // SAFETY: the caller's promise.
        None => unsafe { system::__cxa_atexit(function, argument, dso_handle) },
    }
}

/// `int __cxa_thread_atexit(void (*f)(void *), void *argument, void *dso_handle)`, the C++ runtime's, and `__cxa_thread_atexit_impl`, the
/// C library's: `f(argument)` runs when this thread ends. A `dso_handle` that is not ours goes to the C library.
///
/// # Safety
/// As the ABI says.
pub(crate) unsafe extern "C-unwind" fn cxa_thread_atexit(
    function: *mut c_void,
    argument: *mut c_void,
    dso_handle: *mut c_void,
    caller: u64,
) -> c_int {
    let image = image::of_dso_handle(dso_handle as u64).or_else(|| image::at(caller));
    let handler = Handler::Cxa { function: function as u64, argument: argument as u64 };
    match image.and_then(|image| Some((image.session.upgrade()?, image))) {
        Some((session, image)) => crate::tls::register_destructor(&session, &image, handler),
        // SAFETY: the caller's promise.
        None => unsafe { crate::tls::register_with_the_system(function, argument, dso_handle) },
    }
}

/// `int atexit(void (*f)(void))`: belongs to the dylib whose code called it (rule 20), and to that image of it.
///
/// # Safety
/// As atexit(3).
unsafe extern "C-unwind" fn atexit(function: *mut c_void, caller: u64) -> c_int {
    match dylib_of_caller(caller) {
        Some((session, dylib)) => {
            let handler = Handler::Plain { function: function as u64 };
            session.register_handler(dylib, session.image_at(caller), handler)
        }
        // SAFETY: the caller's promise; a function without parameters may be given one, which it ignores (every psABI).
        None => unsafe { system::__cxa_atexit(function, std::ptr::null_mut(), std::ptr::null_mut()) },
    }
}

/// `int on_exit(void (*f)(int, void *), void *argument)`
///
/// # Safety
/// As on_exit(3).
unsafe extern "C-unwind" fn on_exit(function: *mut c_void, argument: *mut c_void, caller: u64) -> c_int {
    match dylib_of_caller(caller) {
        Some((session, dylib)) => {
            let handler = Handler::OnExit { function: function as u64, argument: argument as u64 };
            session.register_handler(dylib, session.image_at(caller), handler)
        }
        // SAFETY: the caller's promise.
        None => unsafe { system::on_exit(function, argument) },
    }
}

/// Who called: by address, by what this thread is running, or the program.
fn dylib_of_caller(caller: u64) -> Option<(Arc<Session>, DylibId)> {
    let (session, dylib) = who_calls(caller)?;
    let dylib = dylib.or_else(|| session.lock().program)?;
    Some((session, dylib))
}

/// `void __cxa_finalize(void *dso_handle)` (Itanium C++ ABI 3.3.6.3): the handlers of one dylib, or of all for null.
///
/// # Safety
/// As the ABI says.
unsafe extern "C-unwind" fn cxa_finalize(dso_handle: *mut c_void, caller: u64) {
    let (session, dylibs) = match dso_handle as u64 {
        0 => {
            let Some(session) = session_of(caller) else { return };
            let all = session.lock().handlers.pending().map(|(dylib, _)| dylib).collect();
            (session, all)
        }
        handle => match image::of_dso_handle(handle).and_then(|image| Some((image.session.upgrade()?, image.dylib))) {
            Some((session, dylib)) => (session, vec![dylib]),
            // SAFETY: the caller's promise, for a dso_handle of the system.
            None => return unsafe { system::__cxa_finalize(dso_handle) },
        },
    };
    session.run_handlers(&mut Backwards::over(dylibs), 0, 0);
}

impl Session {
    fn register_handler(&self, dylib: DylibId, image: Option<ImageId>, handler: Handler) -> c_int {
        let mut state = self.lock();
        let number = state.next_number();
        state.handlers.register(dylib, image, number, handler);
        0
    }
}

/// `void exit(int status)`: every handler and finalizer of the session, then the C library's.
///
/// # Safety
/// As exit(3).
unsafe extern "C-unwind" fn exit(status: c_int, caller: u64) -> ! {
    if let Some(session) = session_of(caller) {
        session.end_program(status);
        if let Some(hook) = &session.before_exit {
            hook(status);
        }
    }
    // SAFETY: the caller's promise.
    unsafe { libc::exit(status) }
}

/// `int64_t __orc_rt_run_program(const char *dylib, const char *entry, int argc, char **argv)`: opens the JITDylib (null: the program), calls the entry
/// point, closes it. -1 with a `dlerror` when that cannot be done.
///
/// # Safety
/// The names are C strings, `argv` holds `argc` of them, and `entry` is an `int (int, char **, char **)`.
unsafe extern "C-unwind" fn run_program(
    dylib: *const c_char,
    entry: *const c_char,
    argc: c_int,
    argv: *const *const c_char,
    caller: u64,
) -> i64 {
    // SAFETY: the caller's promise.
    let (dylib, entry) = unsafe { (text(dylib), text(entry)) };
    let (Some(Ok(name)), Some(Ok(entry))) = (dylib.or(Some(Ok(""))), entry) else {
        context::set_error("__orc_rt_run_program: the name of the JITDylib or of the entry point is not UTF-8");
        return -1;
    };
    let count = usize::try_from(argc).unwrap_or(0);
    // SAFETY: the caller's promise.
    let arguments =
        (0..count).map(|index| unsafe { CStr::from_ptr(*argv.add(index)) }.to_bytes().to_vec()).collect::<Vec<_>>();
    let Some(session) = session_of(caller) else {
        context::set_error("__orc_rt_run_program: it is not known which session is meant");
        return -1;
    };
    let result = session.set_arguments(arguments.clone()).and_then(|()| {
        let Ok(handle) = session.dlopen(name, 0) else { return Ok(None) };
        let closing = CloseAfterwards { session: &session, handle };
        let Ok(address) = session.dlsym(Scope::Handle(handle), entry) else { return Ok(None) };
        // SAFETY: the caller's promise, and the dylib is open.
        let status = unsafe { session.run_program(address, arguments) }?;
        drop(closing);
        Ok(Some(status))
    });
    match result {
        Ok(Some(status)) => i64::from(status),
        Ok(None) => -1,
        Err(error) => {
            context::set_error(&error.to_string());
            -1
        }
    }
}

/// Also when an exception leaves the program.
struct CloseAfterwards<'a> {
    session: &'a Arc<Session>,
    handle: Handle,
}

impl Drop for CloseAfterwards<'_> {
    fn drop(&mut self) {
        // The program may have closed itself.
        let _ = self.session.dlclose(self.handle);
    }
}

/// `WrapperResult __orc_rt_jit_dispatch(void *context, const void *tag, const char *args, size_t size)`: the one way from executed code to the
/// controller. The context is [`Session::dispatch_context`]; null means the session of the code that calls.
///
/// # Safety
/// `args` points to `size` bytes.
unsafe extern "C-unwind" fn jit_dispatch(
    context: u64,
    tag: u64,
    args: *const u8,
    size: usize,
    caller: u64,
) -> WrapperResult {
    let session = match context {
        0 => session_of(caller),
        number => SESSIONS.read().get(&number).and_then(Weak::upgrade),
    };
    let Some(session) = session else {
        return WrapperResult::error("__orc_rt_jit_dispatch: no session has this context");
    };
    // SAFETY: the caller's promise.
    let args = unsafe { wrapper::arguments(args, size) };
    match session.dispatch(Tag(tag), args) {
        Ok(reply) => WrapperResult::of(&reply),
        Err(error) => WrapperResult::error(&error.to_string()),
    }
}

/// The C library's functions of the same names. Those that run code may unwind.
mod system {
    use std::ffi::{c_char, c_int, c_long, c_void};
    unsafe extern "C-unwind" {
        pub(super) fn dlopen(name: *const c_char, mode: c_int) -> *mut c_void;
        pub(super) fn dlclose(handle: *mut c_void) -> c_int;
        pub(super) fn dlsym(handle: *mut c_void, symbol: *const c_char) -> *mut c_void;
        pub(super) fn dlvsym(handle: *mut c_void, symbol: *const c_char, version: *const c_char) -> *mut c_void;
        pub(super) fn dlmopen(namespace: c_long, name: *const c_char, mode: c_int) -> *mut c_void;
        pub(super) fn __cxa_atexit(function: *mut c_void, argument: *mut c_void, dso_handle: *mut c_void) -> c_int;
        pub(super) fn __cxa_finalize(dso_handle: *mut c_void);
        pub(super) fn on_exit(function: *mut c_void, argument: *mut c_void) -> c_int;
    }
}
