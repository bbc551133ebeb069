//! What the tests share: a session over one executor, dylibs of C compiled on the spot, a trace that linked code writes to, and services by which
//! linked code has the controller change something, or waits for the test.

use integration_tests::executor::{Executors, Kind};
use integration_tests::process::tool;
use integration_tests::workplace::Workplace;
use orc_jit::executor::remote::{Place, Remote, RemoteOptions};
use orc_jit::executor::{Executor, InProcess};
use orc_jit::{Error, JitDylib, Opened, Session, SessionOptions};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A wait that ends, so that what hangs is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What every source begins with: a note goes to the trace, a change is what the test has prepared, a stay ends when the test says so.
const PRELUDE: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __cplusplus
extern "C" {
#endif
struct result { char *pointer; size_t size; };
struct result __orc_rt_jit_dispatch(void *context, const void *tag, const char *arguments, size_t size);
int __orc_rt_jit_dlupdate(void *handle);
#ifdef __cplusplus
}
#endif
static inline void note(const char *text) {
    char packed[512];
    uint64_t length = strlen(text);
    if (length > sizeof packed - 8) length = sizeof packed - 8;
    memcpy(packed, &length, 8);
    memcpy(packed + 8, text, length);
    __orc_rt_jit_dispatch(0, (void *)1, packed, 8 + length);
}
static inline void change(void) { __orc_rt_jit_dispatch(0, (void *)2, "", 0); }
static inline void stay(void) { __orc_rt_jit_dispatch(0, (void *)3, "", 0); }
static inline void error_or(const char *text) {
    const char *error = dlerror();
    note(error ? error : text);
}
#define TRACED(name) \
    __attribute__((constructor)) static void init_##name(void) { note(#name); } \
    __attribute__((destructor)) static void fini_##name(void) { note("~" #name); }
"#;

/// Something that the controller does when linked code asks for it.
type Change<E> = Box<dyn FnOnce(&Session<E>) + Send>;

/// A session over one executor.
pub(crate) struct World<E: Executor> {
    pub(crate) kind: Kind,
    pub(crate) session: Session<E>,
    folder: PathBuf,
    trace: Arc<Mutex<Vec<String>>>,
    changes: Arc<Mutex<Vec<Change<E>>>>,
    /// Says that linked code has come to its stay.
    pub(crate) arrived: Mutex<Receiver<()>>,
    /// Ends one stay.
    pub(crate) leave: Sender<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<E: Executor> World<E> {
    fn new(kind: Kind, executor: E, folder: PathBuf) -> Self {
        let session = Session::new(executor, SessionOptions::default()).expect("an executor that is there");
        let trace: Arc<Mutex<Vec<String>>> = Arc::default();
        let changes: Arc<Mutex<Vec<Change<E>>>> = Arc::default();
        let noted = Arc::clone(&trace);
        session.serve(dispatch::Tag(1), move |text: String| lock(&noted).push(text)).expect("a free tag");
        let (to_do, changed) = (Arc::clone(&changes), session.clone());
        let change = move |(): ()| {
            let next = lock(&to_do).pop().expect("the test has prepared a change");
            next(&changed);
        };
        session.serve(dispatch::Tag(2), change).expect("a free tag");
        let (arrive, arrived) = channel();
        let (leave, leaves) = channel();
        let (arrive, leaves) = (Mutex::new(arrive), Mutex::new(leaves));
        let stay = move |(): ()| {
            lock(&arrive).send(()).expect("the test is there");
            lock(&leaves).recv_timeout(PATIENCE).expect("the test lets it go");
        };
        session.serve(dispatch::Tag(3), stay).expect("a free tag");
        // The first dylib is the program, which nothing here is about.
        session.add_dylib("program").expect("a new name");
        Self { kind, session, folder, trace, changes, arrived: Mutex::new(arrived), leave }
    }

    /// Adds a dylib of one source.
    #[track_caller]
    pub(crate) fn c(&self, name: &str, source: &str, needs: &[&str]) -> &Self {
        self.session.add_dylib(name).expect("a new name");
        add(&self.session, &self.folder, name, "c", source);
        link(&self.session, name, needs);
        self
    }

    /// Adds a dylib of one source of C++, with its library.
    #[track_caller]
    pub(crate) fn cpp(&self, name: &str, source: &str, needs: &[&str]) -> &Self {
        let dylib = self.session.add_dylib(name).expect("a new name");
        dylib
            .add_library(self.session.open_library("libstdc++.so.6").expect("it is installed"))
            .expect("a live session");
        add(&self.session, &self.folder, name, "cc", source);
        link(&self.session, name, needs);
        self
    }

    /// What the next call of `change` does.
    pub(crate) fn prepare(&self, change: impl FnOnce(&Hand<E>) + Send + 'static) {
        let folder = self.folder.clone();
        let change = move |session: &Session<E>| change(&Hand { session: session.clone(), folder });
        lock(&self.changes).push(Box::new(change));
    }

    #[track_caller]
    pub(crate) fn open(&self, name: &str) -> Opened<E> {
        self.session.open(name).unwrap_or_else(|error| panic!("through {}: {error}", self.kind))
    }

    /// Calls `int function(int, char **)` of an open dylib.
    #[track_caller]
    pub(crate) fn call(&self, opened: &Opened<E>, function: &str) -> i32 {
        self.try_call(opened, function).unwrap_or_else(|error| panic!("through {}: {error}", self.kind))
    }

    pub(crate) fn try_call(&self, opened: &Opened<E>, function: &str) -> Result<i32, Error> {
        self.session.call_main(opened.address(function)?, &["program".into()])
    }

    /// What was noted since the last time.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.trace))
    }

    /// The same, which has to be this.
    #[track_caller]
    pub(crate) fn noted(&self, expected: &[&str]) {
        assert_eq!(self.take(), expected, "through {}", self.kind);
    }
}

/// The controller's hand while linked code runs.
pub(crate) struct Hand<E: Executor> {
    pub(crate) session: Session<E>,
    folder: PathBuf,
}

impl<E: Executor> Hand<E> {
    /// Adds one more source to a dylib.
    pub(crate) fn add(&self, name: &str, source: &str) -> &Self {
        add(&self.session, &self.folder, name, "c", source);
        self
    }

    /// Sets what a dylib links against.
    pub(crate) fn link(&self, name: &str, needs: &[&str]) -> &Self {
        link(&self.session, name, needs);
        self
    }
}

fn dylib<E: Executor>(session: &Session<E>, name: &str) -> JitDylib<E> {
    session.dylib(name).unwrap_or_else(|| panic!("there is a dylib {name}"))
}

fn link<E: Executor>(session: &Session<E>, name: &str, needs: &[&str]) {
    let needs: Vec<_> = needs.iter().map(|need| dylib(session, need)).collect();
    dylib(session, name).set_link_order(&needs).expect("of one session");
}

/// Compiles a source, once for all executors, and adds it.
fn add<E: Executor>(session: &Session<E>, folder: &Path, name: &str, language: &str, source: &str) {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let file = folder.join(format!("{name}-{}-{number}.{language}", std::process::id()));
    fs::write(&file, format!("{PRELUDE}{source}\n")).expect("it can be written");
    let object = file.with_extension("o");
    let driver = if language == "cc" { "g++" } else { "gcc" };
    let mut words: Vec<OsString> = [driver, "-c", "-g0", "-O1", "-fPIC", "-o"].map(OsString::from).to_vec();
    words.extend([object.clone().into(), file.into()]);
    tool(folder, &words, &[]).unwrap_or_else(|why| panic!("{why}"));
    let bytes = fs::read(&object).expect("the compiler has written it");
    dylib(session, name).add_object(format!("{name}.o"), bytes).expect("a live session");
}

/// Something that holds for every executor.
pub(crate) trait Claim {
    fn check<E: Executor>(&self, world: &World<E>);
}

/// Checks a claim through every executor that is asked for.
pub(crate) fn through_all(claim: &impl Claim) {
    let workplace = Workplace::of_this_test().unwrap_or_else(|why| panic!("{why}"));
    let folder = workplace.builds.join("updates");
    fs::create_dir_all(&folder).expect("a folder");
    for kind in &workplace.kinds {
        if *kind == Kind::InProcess {
            claim.check(&World::new(*kind, InProcess::new(), folder.clone()));
            continue;
        }
        let executors: &Executors = workplace.executors.as_deref().expect("an orc-executor");
        let place = match kind {
            // This program is not beside it.
            Kind::Spawn => Place::Spawn { path: Some(executors.program().to_owned()), arguments: Vec::new() },
            _ => {
                let address = executors.address((*kind).into(), None).unwrap_or_else(|why| panic!("{why}"));
                let text = address.value.into_string().expect("a plain address");
                text.parse().unwrap_or_else(|why| panic!("{text}: {why}"))
            }
        };
        let remote = Remote::connect(&place, RemoteOptions::default());
        let remote = remote.unwrap_or_else(|error| panic!("through {kind}: {error}"));
        claim.check(&World::new(*kind, remote, folder.clone()));
    }
    if let Some(executors) = &workplace.executors {
        executors.end().unwrap_or_else(|why| panic!("{why}"));
    }
}

/// A test whose body is checked through every executor.
macro_rules! everywhere {
    ($(#[$meta:meta])* fn $name:ident($world:ident) $body:block) => {
        $(#[$meta])*
        #[test]
        fn $name() {
            struct This;
            impl crate::world::Claim for This {
                fn check<E: orc_jit::executor::Executor>(&self, $world: &crate::world::World<E>) $body
            }
            crate::world::through_all(&This);
        }
    };
}
pub(crate) use everywhere;
