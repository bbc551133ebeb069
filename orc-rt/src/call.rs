//! Every call into executed code, and every look at its arrays.
//!
//! You give addresses; what lies there runs on this thread. Everything that can be called may throw, so all functions here are entered
//! through the `C-unwind` ABI and leave no lock behind: their callers hold guards, never locks.
//!
//! `unsafe` because an address is trusted to be what the controller said: see [`Session::new`](crate::Session::new).
#![allow(unsafe_code)]

use crate::atexit::Handler;
use crate::machine;
use crate::service::InitArray;
use std::ffi::{CString, c_char, c_int, c_void};
use std::sync::OnceLock;

/// What initializers and `main` are called with. The environment is read at each call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arguments {
    argc: c_int,
    /// Address of the vector, which is never freed.
    argv: u64,
}

impl Arguments {
    /// Puts the strings where C can have them for good: the C library itself keeps pointers to them (`program_invocation_name`), and
    /// programs change them.
    pub(crate) fn leak(strings: &[CString]) -> Self {
        let pointers =
            strings.iter().map(|text| text.clone().into_raw()).chain([std::ptr::null_mut()]).collect::<Vec<_>>();
        let argc = c_int::try_from(strings.len()).unwrap_or(c_int::MAX);
        Self { argc, argv: Vec::leak(pointers).as_mut_ptr().expose_provenance() as u64 }
    }

    /// Those of this process, as the native loader passes them to the initializers of a library.
    pub(crate) fn of_this_process() -> Self {
        static OWN: OnceLock<Arguments> = OnceLock::new();
        *OWN.get_or_init(|| {
            let strings = std::env::args_os().filter_map(|text| CString::new(text.into_encoded_bytes()).ok());
            Self::leak(&strings.collect::<Vec<_>>())
        })
    }

    fn argv(self) -> *const *const c_char {
        std::ptr::with_exposed_provenance(self.argv as usize)
    }
}

unsafe extern "C" {
    /// The environment as it is now (POSIX environ).
    static environ: *const *const c_char;
}

/// The environment of this process.
fn environment() -> *const *const c_char {
    // SAFETY: reading the pointer; changing the environment while other threads read it is the program's own matter, as in C.
    unsafe { environ }
}

/// The function address at `index` of `array`, in the order to run; `None` for entries that mean nothing: 0, and in `.ctors` and `.dtors` also -1.
///
/// # Safety
/// The array lies in memory of a live image.
pub(crate) unsafe fn entry(array: &InitArray, index: u64) -> Option<u64> {
    let position = if array.reverse { array.count - 1 - index } else { index };
    let address = array.address + position * size_of::<usize>() as u64;
    let pointer = std::ptr::with_exposed_provenance::<usize>(address as usize);
    // SAFETY: within the array; volatile, since executed code may change it meanwhile.
    let value = unsafe { pointer.read_volatile() };
    (value != 0 && value != usize::MAX).then_some(value as u64)
}

/// `f(argc, argv, envp)`, as glibc calls initializers.
///
/// # Safety
/// The address is that of an initializer.
pub(crate) unsafe fn initializer(address: u64, arguments: Arguments) {
    type Initializer = unsafe extern "C-unwind" fn(c_int, *const *const c_char, *const *const c_char);
    // SAFETY: the caller's promise.
    let function = unsafe { std::mem::transmute::<usize, Initializer>(address as usize) };
    // SAFETY: the caller's promise.
    unsafe { function(arguments.argc, arguments.argv(), environment()) }
}

/// `f()`.
///
/// # Safety
/// The address is that of a finalizer or of an `atexit` handler.
pub(crate) unsafe fn plain(address: u64) {
    // SAFETY: the caller's promise.
    let function = unsafe { std::mem::transmute::<usize, unsafe extern "C-unwind" fn()>(address as usize) };
    // SAFETY: the caller's promise.
    unsafe { function() }
}

/// Calls an exit handler, with the exit status for those that take one (0 when a dylib is closed).
///
/// # Safety
/// Executed code registered it, and its dylib is still in memory.
pub(crate) unsafe fn handler(handler: Handler, status: c_int) {
    // The Itanium ABI gives `__cxa_atexit` handlers one argument; the C library passes the status as a second.
    type Cxa = unsafe extern "C-unwind" fn(*mut c_void, c_int);
    type OnExit = unsafe extern "C-unwind" fn(c_int, *mut c_void);
    let pointer = |argument: u64| std::ptr::with_exposed_provenance_mut(argument as usize);
    // SAFETY: the code that registered it says that it is such a function.
    unsafe {
        match handler {
            Handler::Cxa { function, argument } => {
                std::mem::transmute::<usize, Cxa>(function as usize)(pointer(argument), status);
            }
            Handler::Plain { function } => plain(function),
            Handler::OnExit { function, argument } => {
                std::mem::transmute::<usize, OnExit>(function as usize)(status, pointer(argument));
            }
        }
    }
}

/// `int main(int, char **, char **)`.
///
/// # Safety
/// The address is that of such a function.
pub(crate) unsafe fn main(address: u64, arguments: Arguments) -> c_int {
    type Main = unsafe extern "C-unwind" fn(c_int, *const *const c_char, *const *const c_char) -> c_int;
    // SAFETY: the caller's promise.
    let function = unsafe { std::mem::transmute::<usize, Main>(address as usize) };
    // SAFETY: the caller's promise.
    unsafe { function(arguments.argc, arguments.argv(), environment()) }
}

/// Calls the resolver of an indirect function and stores the address of the chosen implementation in `slot`.
///
/// # Safety
/// `resolver` is a resolver (STT_GNU_IFUNC) and `slot` a writable, aligned address of 8 bytes.
pub(crate) unsafe fn resolve_ifunc(resolver: u64, slot: u64) {
    // SAFETY: the caller's promise, for both.
    unsafe {
        let function = machine::call_resolver(resolver);
        std::ptr::with_exposed_provenance_mut::<u64>(slot as usize).write(function);
    }
}

/// The four bytes at `address`.
///
/// # Safety
/// The address lies in readable memory.
pub(crate) unsafe fn word_at(address: u64) -> u32 {
    // SAFETY: the caller's promise; the address may be unaligned.
    unsafe { std::ptr::with_exposed_provenance::<u32>(address as usize).read_unaligned() }
}

/// Calls `body` from a frame through which nothing unwinds.
pub(crate) fn below_a_barrier(body: &mut dyn FnMut()) {
    unsafe extern "C-unwind" fn enter(data: *mut c_void) {
        // SAFETY: `data` is the reference that `below_a_barrier` passes, which nobody else uses meanwhile.
        let body = unsafe { &mut *data.cast::<&mut dyn FnMut()>() };
        body();
    }
    let mut body = body;
    // SAFETY: `enter` takes just this pointer, and the barrier calls it once.
    unsafe { machine::calls::barrier(enter, (&raw mut body).cast()) };
}
