//! What the session tests share: C sources compiled on the spot, objects written byte by byte, and a log that linked code writes to.
//!
//! gcc is a declared tool of the tests: where it is missing, they fail.
//!
//! `unsafe` because linked code is called by address; it is the code that the test has just compiled.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

pub mod child;
pub mod tiny;

use orc_jit::{InProcess, JitDylib, Opened, Session};
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_void};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What linked code has noted, in order. The memory stays, since linked code knows its address.
#[derive(Clone, Copy)]
pub struct Log(&'static Mutex<Vec<String>>);

impl Log {
    pub fn new() -> Self {
        Self(Box::leak(Box::default()))
    }

    /// What was noted since the last call.
    pub fn take(self) -> Vec<String> {
        std::mem::take(&mut lock(self.0))
    }

    /// Notes something, as linked code does.
    pub fn note(self, text: &str) {
        lock(self.0).push(text.to_owned());
    }

    pub fn address(self) -> u64 {
        std::ptr::from_ref(self.0).expose_provenance() as u64
    }

    /// Defines `NOTE(text)` for C, and the macros `INIT(name)` and `FINI(name)`, which note `name` and `~name`.
    fn prelude(self) -> String {
        format!(
            "#include <dlfcn.h>\n#include <stdlib.h>\n\
             #define NOTE(text) ((void (*)(void *, const char *)){note:#x}UL)((void *){log:#x}UL, text)\n\
             #define INIT(name) static __attribute__((constructor)) void on_init(void) {{ NOTE(name); }}\n\
             #define FINI(name) static __attribute__((destructor)) void on_fini(void) {{ NOTE(\"~\" name); }}\n\
             #define BOTH(name) INIT(name) FINI(name)\n#line 1\n",
            note = note_address(),
            log = self.address(),
        )
    }
}

/// Address of `void note(log, text)`.
pub fn note_address() -> u64 {
    (note as extern "C" fn(*const Mutex<Vec<String>>, *const c_char)) as usize as u64
}

extern "C" fn note(log: *const Mutex<Vec<String>>, text: *const c_char) {
    // SAFETY: linked code passes the address that `Log::prelude` gave it, which stays, and a string literal.
    let (log, text) = unsafe { (&*log, CStr::from_ptr(text)) };
    lock(log).push(text.to_string_lossy().into_owned());
}

/// A text at an address that stays.
pub fn text_address(text: &str) -> u64 {
    CString::new(text).expect("no zero byte").into_raw().expose_provenance() as u64
}

/// Compiles `source` with the arguments of `compiler`; each pair is compiled once for a process.
pub fn compile(compiler: &[&str], source: &str) -> Arc<[u8]> {
    type Compiled = HashMap<(String, String), Arc<[u8]>>;
    static COMPILED: LazyLock<Mutex<Compiled>> = LazyLock::new(Mutex::default);
    let key = (compiler.join(" "), source.to_owned());
    if let Some(known) = lock(&COMPILED).get(&key) {
        return known.clone();
    }
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("a.o");
    let mut child = Command::new(compiler[0])
        .args(&compiler[1..])
        .args(["-c", "-O1", "-fPIC", "-w", "-", "-o"])
        .arg(&path)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}, which the tests need, cannot be started: {error}", compiler[0]));
    child.stdin.take().expect("piped").write_all(source.as_bytes()).expect("the compiler reads");
    let output = child.wait_with_output().expect("the compiler ends");
    assert!(output.status.success(), "{source}\n{}", String::from_utf8_lossy(&output.stderr));
    let bytes: Arc<[u8]> = std::fs::read(&path).expect("an object").into();
    lock(&COMPILED).insert(key, bytes.clone());
    bytes
}

/// A session, and a log for its code.
pub struct World {
    pub session: Session,
    pub log: Log,
}

impl World {
    pub fn new() -> Self {
        Self::over(Session::in_process().expect("a session"))
    }

    pub fn over(session: Session) -> Self {
        Self { session, log: Log::new() }
    }

    /// The dylib `name`, made when it is not there yet.
    pub fn dylib(&self, name: &str) -> JitDylib<InProcess> {
        match self.session.dylib(name) {
            Some(known) => known,
            None => self.session.add_dylib(name).expect("a free name"),
        }
    }

    pub fn links(&self, dylib: &str, links: &[&str]) -> &Self {
        let links: Vec<_> = links.iter().map(|name| self.dylib(name)).collect();
        self.dylib(dylib).set_link_order(&links).expect("dylibs of this session");
        self
    }

    /// An object made of C, which may use `NOTE` and its kin.
    pub fn object(&self, source: &str) -> Arc<[u8]> {
        compile(&["gcc", "-x", "c"], &format!("{}{source}", self.log.prelude()))
    }

    /// The same of C++; the dylib needs `libstdc++.so.6` then.
    pub fn cxx_object(&self, source: &str) -> Arc<[u8]> {
        compile(&["g++", "-x", "c++"], &format!("{}{source}", self.log.prelude()))
    }

    /// Adds an object made of C.
    pub fn c(&self, dylib: &str, source: &str) -> &Self {
        let object = self.object(source);
        self.dylib(dylib).add_object(format!("{dylib}.o"), object).expect("a live session");
        self
    }

    /// Adds an object made of C++, and the C++ library.
    pub fn cxx(&self, dylib: &str, source: &str) -> &Self {
        let object = self.cxx_object(source);
        self.dylib(dylib).add_object(format!("{dylib}.o"), object).expect("a live session");
        let library = self.session.open_library("libstdc++.so.6").expect("the C++ library");
        self.dylib(dylib).add_library(library).expect("a live session");
        self
    }

    /// A dylib that notes its name when it is initialized, and `~name` when it is finalized.
    pub fn traced(&self, dylib: &str, links: &[&str]) -> &Self {
        let object = tiny::Tiny::new().at_init(self.log, dylib).at_fini(self.log, &format!("~{dylib}")).bytes();
        self.dylib(dylib).add_object(format!("{dylib}.o"), object).expect("a live session");
        self.links(dylib, links)
    }

    #[track_caller]
    pub fn open(&self, dylib: &str) -> Opened<InProcess> {
        self.session.open(dylib).unwrap_or_else(|error| panic!("{dylib}: {error}"))
    }

    /// Opens, and gives the words of the error.
    #[track_caller]
    pub fn refuses(&self, dylib: &str) -> String {
        self.session.open(dylib).err().unwrap_or_else(|| panic!("{dylib} opens")).to_string()
    }

    /// Bytes of the slab that are in use, and how many things are registered with the process.
    pub fn holds(&self) -> (u64, usize) {
        let runtime = self.session.executor().runtime();
        (runtime.slab().usage().used, runtime.ledger().len())
    }

    /// Opens less closes.
    pub fn count(&self, dylib: &str) -> u64 {
        self.session.executor().runtime().dylib_status(self.dylib(dylib).id()).1
    }
}

/// Calls `int name(void)`.
#[track_caller]
pub fn call(dylib: &Opened<InProcess>, name: &str) -> i32 {
    // SAFETY: the tests define these functions so.
    let function = unsafe { dylib.symbol::<extern "C" fn() -> i32>(name) };
    let function = function.unwrap_or_else(|error| panic!("{name}: {error}"));
    function()
}

/// Calls `int name(const char *)`.
#[track_caller]
pub fn call_with(dylib: &Opened<InProcess>, name: &str, text: &str) -> i32 {
    let text = CString::new(text).expect("no zero byte");
    // SAFETY: the tests define these functions so.
    let function = unsafe { dylib.symbol::<extern "C" fn(*const c_char) -> i32>(name) };
    let function = function.unwrap_or_else(|error| panic!("{name}: {error}"));
    function(text.as_ptr())
}

/// Calls `const char *name(void)`, which may say null.
#[track_caller]
pub fn text_of(dylib: &Opened<InProcess>, name: &str) -> Option<String> {
    // SAFETY: the tests define these functions so.
    let function = unsafe { dylib.symbol::<extern "C" fn() -> *const c_char>(name) };
    let text = function.unwrap_or_else(|error| panic!("{name}: {error}"))();
    // SAFETY: null, or a string that is there while the dylib is open.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

/// Reads the `int` that a dylib calls `name`.
#[track_caller]
pub fn read(dylib: &Opened<InProcess>, name: &str) -> i32 {
    // SAFETY: the tests define these variables so, and nobody writes meanwhile.
    unsafe { **dylib.symbol::<*const i32>(name).unwrap_or_else(|error| panic!("{name}: {error}")) }
}

/// A callback for C code: `void (*)(void *)` and its argument, as addresses. An exception may pass through it.
pub fn callback(action: impl Fn() + Send + Sync + 'static) -> (u64, u64) {
    type Action = Box<dyn Fn() + Send + Sync>;
    extern "C-unwind" fn enter(data: *mut c_void) {
        // SAFETY: the pointer made below, which is never freed.
        let action = unsafe { &*data.cast::<Action>() };
        action();
    }
    let action: Action = Box::new(action);
    let action: &'static Action = Box::leak(Box::new(action));
    let data = std::ptr::from_ref(action).expose_provenance() as u64;
    ((enter as extern "C-unwind" fn(*mut c_void)) as usize as u64, data)
}

/// The words that begin `CALL_HOST;` in C: calls a [`callback`].
pub fn call_host((function, data): (u64, u64)) -> String {
    format!("((void (*)(void *)){function:#x}UL)((void *){data:#x}UL)")
}
