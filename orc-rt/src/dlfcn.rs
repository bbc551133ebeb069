//! `jit_dlopen` and friends, as Rust calls them; `capi` makes C of it.
//!
//! Handles are numbers that are looked up, never pointers that are followed: a stale or bogus one is an error (rule 23).
//!
//! # Where this is not dlfcn(3) as glibc has it
//!
//! Each of these has a case in `integration-tests/cases/`, whose first lines name it. Differences of order are in this crate's README.
//!
//! - **Modes.** Neither `NOW` nor `LAZY` means `NOW`; glibc refuses such a mode. `LAZY` is answered by linking everything as well, for now.
//! - **Handles.** What is no handle is an error; glibc follows it. The program can be closed once more than it was opened: its handlers and finalizers run, its
//!   memory stays until `main` has returned. glibc never closes it.
//! - **`dlerror`** is left alone by success; glibc forgets a pending error then.
//! - **Lifetimes.** A dylib lives as long as it is open or what links against it is. Being found by `dlsym`, or having lent a definition, does not
//!   keep it open, as it does in glibc: its finalizers run at its last close. Memory that somebody is bound to stays nevertheless, until they go.
//!   Neither do unique symbols or thread-local objects keep it open: their memory stays, for good and until the threads are through.
//! - **Binding.** Code binds to its own dylib first, then to what that reaches in link order, then to what was opened `GLOBAL`; glibc asks the program and
//!   what is global before, so there strong definitions of a library can be preempted. Weak, COMDAT and unique definitions do follow glibc's order (rule 30).
//! - **Names.** `dladdr` knows static functions and data, too, and calls a dylib by its name, which is no path; [`names`](crate::names) says what stands for a file. Of executed code
//!   `dladdr1` and `dlinfo` give a link map that is in no list, and has no dynamic section; `dlinfo` gives the namespace and the program headers besides, and nothing else. A dylib is as
//!   many objects in `dl_iterate_phdr` as it has images. `dlvsym` takes any version from a JITDylib, which has none. `dlmopen` offers JITDylibs in the base namespace only.
//! - **`exit`** from an initializer does not run the finalizers of that very dylib, whose initializers have not completed; glibc runs them.
//! - **`on_exit`** in a dylib is a handler of that dylib and runs when it is closed, with status 0; in glibc it waits for the end of the process, gone code or not.
//! - **C++ and `dlopen`.** glibc's dlfcn.h declares `dlopen` and `dlclose` as `noexcept`, so a compiler drops handlers around them. Code that wants to catch what an
//!   initializer or finalizer throws calls `__orc_rt_jit_dlopen` and `__orc_rt_jit_dlclose`.

use crate::context;
use crate::found::Question;
use crate::image;
use crate::recent::{self, Place};
use crate::service::{Found, Lookup, scope, tag};
use crate::session::Session;
use crate::sync::leaf::Mutex;
use crate::sync::{Arc, Weak};
use crate::waits::Holder;
use dispatch::CallError;
use dylib_graph::DylibId;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// An open JITDylib. Equal as long as it stays open; never the value of a handle that the system gave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(u64);

/// No pointer looks like this: on machines with 48-bit or 57-bit addresses its upper bits would be equal.
const HANDLE_MARK: u64 = 0x4a49_0000_0000_0000;

impl Handle {
    /// As C code holds it.
    pub fn as_raw(self) -> u64 {
        self.0
    }

    /// From C code; the value is only looked up, so anything may be passed.
    pub fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// Whether this could be a handle of ours at all, or else one of the system's.
    pub(crate) fn is_ours(self) -> bool {
        self.0 & 0xffff_0000_0000_0000 == HANDLE_MARK
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "handle {:#x}", self.0)
    }
}

/// Where a symbol is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// A dylib and what it links against, breadth first (rule 27).
    Handle(Handle),
    /// `RTLD_DEFAULT`, for code of this dylib (if known).
    Default(Option<DylibId>),
    /// `RTLD_NEXT`, for code of this dylib.
    Next(Option<DylibId>),
}

/// What lies at an address, as `dladdr` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressInfo {
    /// Which dylib.
    pub dylib: DylibId,
    /// Its name.
    pub name: String,
    /// The lowest address of its image.
    pub base: u64,
    /// The nearest symbol at or before the address, and that symbol's address.
    pub symbol: Option<(String, u64)>,
}

/// Why an open, close, update or lookup failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DlError {
    /// No JITDylib has this name.
    #[error("there is no JITDylib named {name:?}")]
    NoSuchDylib {
        /// As it was asked for.
        name: String,
    },
    /// It is not open, and `NOLOAD` was given.
    #[error("JITDylib {name} is not loaded, and NOLOAD was given")]
    NotLoaded {
        /// As it was asked for.
        name: String,
    },
    /// The controller could not link it or what it needs. Nothing of it ran.
    #[error("cannot open JITDylib {name}: {reason}")]
    Link {
        /// Its name.
        name: String,
        /// The linker's words.
        reason: String,
    },
    /// The controller could not be asked.
    #[error("the controller cannot be reached: {source}")]
    Controller {
        /// What went wrong.
        source: CallError,
    },
    /// The controller's plan contradicts itself.
    #[error("the controller sent a plan that makes no sense: {reason}")]
    BadPlan {
        /// What is wrong with it.
        reason: String,
    },
    /// A handle that was never given out, or whose dylib was closed.
    #[error("{handle} is not that of an open JITDylib: it is stale, or was never one")]
    BadHandle {
        /// The value.
        handle: Handle,
    },
    /// Closed more often than opened, or updated without being open.
    #[error("JITDylib {name} is not open: it was closed as often as it was opened")]
    NotOpen {
        /// Its name.
        name: String,
    },
    /// An initializer threw an exception earlier.
    #[error("JITDylib {name} cannot be used: {initializer} threw an exception; unload it before it is opened again")]
    Poisoned {
        /// Its name.
        name: String,
        /// Which initializer.
        initializer: String,
    },
    /// It is being unloaded, and that waits for the caller.
    #[error(
        "JITDylib {name} is being unloaded, and the unload waits for this very call: a finalizer cannot open what goes away with it"
    )]
    Unloading {
        /// Its name.
        name: String,
    },
    /// Its memory cannot go yet, so it cannot come back either.
    #[error(
        "JITDylib {name} is unloaded, but {count} calls are still inside its code: it can be opened again when they have returned"
    )]
    StillInside {
        /// Its name.
        name: String,
        /// How many.
        count: usize,
    },
    /// It was not closed, since somebody is inside of what would go with it.
    #[error("JITDylib {name} was not closed: {}", inside_in_words(*count, inside))]
    Inside {
        /// Its name.
        name: String,
        /// How many threads and calls.
        count: usize,
        /// Some of them.
        inside: Vec<Holder>,
    },
    /// Somebody holds it.
    #[error("JITDylib {name} is still in use")]
    InUse {
        /// Its name.
        name: String,
    },
    /// The session ends.
    #[error("the session is being shut down")]
    ShutDown,
    /// Opened or closed from a resolver.
    #[error("an IFUNC resolver cannot open or close JITDylibs: it runs while they are being linked")]
    InsideResolver,
    /// A symbol that is not there.
    #[error("symbol {symbol} is not defined in {place}{}", words_for(asked_by.as_deref()))]
    NoSuchSymbol {
        /// The symbol, as in the object file.
        symbol: String,
        /// Where it was looked for.
        place: String,
        /// The dylib whose code asked, if known.
        asked_by: Option<String>,
    },
    /// A symbol that could not be linked.
    #[error("symbol {symbol} in {place}: {reason}{}", words_for(asked_by.as_deref()))]
    Symbol {
        /// The symbol, as in the object file.
        symbol: String,
        /// Where it was looked for.
        place: String,
        /// The linker's words.
        reason: String,
        /// The dylib whose code asked, if known.
        asked_by: Option<String>,
    },
}

fn inside_in_words(count: usize, inside: &[Holder]) -> String {
    let mut words = inside.iter().map(Holder::to_string).collect::<Vec<_>>().join("; ");
    if count > inside.len() {
        words += &format!("; and {} more", count - inside.len());
    }
    words
}

fn words_for(name: Option<&str>) -> String {
    name.map(|name| format!(" (asked for by JITDylib {name})")).unwrap_or_default()
}

impl Session {
    /// Opens the JITDylib `name` (empty: the program) with flags of [`mode`](crate::service::mode); 0 means `NOW`. Links what is missing, then runs every initializer that has not run, on this
    /// thread, dependencies first. An exception that leaves an initializer passes through to the caller.
    ///
    /// # Errors
    /// Nothing could be linked (then nothing ran), or an initializer threw earlier. Sets this thread's `dlerror`.
    pub fn dlopen(self: &Arc<Self>, name: &str, flags: u32) -> Result<Handle, DlError> {
        crate::crash::prepare_thread_if_asked();
        crate::unwind::verify();
        noted(self.open(name, flags))
    }

    /// Gives one open back. At zero, exit handlers and finalizers of what nobody needs any more run, in exact reverse order.
    ///
    /// # Errors
    /// The handle is not that of an open dylib. Sets this thread's `dlerror`.
    pub fn dlclose(self: &Arc<Self>, handle: Handle) -> Result<(), DlError> {
        noted(self.dylib_of(handle).and_then(|dylib| self.close(dylib)))
    }

    /// Initializes code that was added to an open dylib or what it reaches (rule 25). No counts change.
    ///
    /// # Errors
    /// As [`dlopen`](Self::dlopen) and [`dlclose`](Self::dlclose).
    pub fn dlupdate(self: &Arc<Self>, handle: Handle) -> Result<(), DlError> {
        noted(self.dylib_of(handle).and_then(|dylib| self.update(dylib)))
    }

    /// The address of `symbol`; 0 for a weak one that nobody defines.
    ///
    /// # Errors
    /// Nobody defines it, or its definition could not be linked. Sets this thread's `dlerror`.
    pub fn dlsym(self: &Arc<Self>, scope: Scope, symbol: &str) -> Result<u64, DlError> {
        if let Scope::Handle(handle) = scope
            && let Some(recent::Answer { session, address }) = Self::recent(Place::of(handle), symbol.as_bytes())
            && session == self.dispatch_context()
        {
            return Ok(address);
        }
        noted(self.find(scope, symbol))
    }

    /// The dylib that `handle` stands for.
    ///
    /// # Errors
    /// [`DlError::BadHandle`]
    pub fn dylib_of(&self, handle: Handle) -> Result<DylibId, DlError> {
        match HANDLES.lock().get(&handle) {
            Some((session, dylib)) if std::ptr::eq(session.as_ptr(), self) => Ok(*dylib),
            _ => Err(DlError::BadHandle { handle }),
        }
    }

    /// The name, and the opens less closes, of a dylib.
    pub fn dylib_status(&self, dylib: DylibId) -> (String, u64) {
        let state = self.lock();
        (state.name(dylib).to_owned(), state.loader.count(dylib))
    }

    pub(crate) fn find(&self, place: Scope, symbol: &str) -> Result<u64, DlError> {
        let epoch = recent::epoch();
        let (from, recent) = match place {
            Scope::Handle(handle) => (Some(self.dylib_of(handle)?), Some((epoch, Place::of(handle)))),
            Scope::Default(caller) | Scope::Next(caller) => (caller, None),
        };
        let found = self.find_from(place, from, recent, symbol)?;
        found.ok_or_else(|| self.no_such_symbol(place, from, self.running(), symbol))
    }

    /// The error of a search that found nothing.
    pub(crate) fn no_such_symbol(
        &self,
        place: Scope,
        from: Option<DylibId>,
        asked_by: Option<DylibId>,
        symbol: &str,
    ) -> DlError {
        let (place, asked_by) = self.words(place, from, asked_by);
        DlError::NoSuchSymbol { symbol: symbol.to_owned(), place, asked_by }
    }

    /// What this thread was told lately; nothing to resolvers, which get no answers.
    fn recent(place: Place, name: &[u8]) -> Option<recent::Answer> {
        recent::find(place, name).filter(|_| !context::is_resolving())
    }

    /// As [`find`](Self::find), where the search begins at `from`; `None` when nobody defines it. An answer that was given before is kept for this thread with `recent`, an
    /// epoch that was read before, and who asks.
    pub(crate) fn find_from(
        &self,
        place: Scope,
        from: Option<DylibId>,
        recent: Option<(u64, Place)>,
        symbol: &str,
    ) -> Result<Option<u64>, DlError> {
        let scope = match place {
            Scope::Handle(_) => scope::HANDLE,
            Scope::Default(_) => scope::DEFAULT,
            Scope::Next(_) => scope::NEXT,
        };
        let question = Question { scope, dylib: from.map_or(0, DylibId::get), name: symbol };
        let moment = self.moment();
        let known = moment.and_then(|moment| self.answers.get(moment, question));
        let answer = match known {
            Some(answer) => {
                if let (Some((epoch, place)), Some(Found { address, thread_local: None })) = (recent, answer) {
                    recent::put(
                        epoch,
                        place,
                        symbol.as_bytes(),
                        recent::Answer { session: self.dispatch_context(), address },
                    );
                }
                answer
            }
            None => {
                let lookup = Lookup { scope, dylib: question.dylib, name: symbol };
                let answer: Result<Option<Found>, String> =
                    self.ask(tag::LOOKUP, &lookup).map_err(|source| DlError::Controller { source })?;
                let answer = answer.map_err(|reason| {
                    let (place, asked_by) = self.words(place, from, self.running());
                    DlError::Symbol { symbol: symbol.to_owned(), place, reason, asked_by }
                })?;
                if let Some(moment) = moment {
                    self.answers.put(moment, question, answer);
                }
                answer
            }
        };
        Ok(answer.map(|found| match found.thread_local {
            Some(place) => self.address_here(place),
            None => found.address,
        }))
    }

    /// Where a symbol was looked for, and who did, for messages.
    fn words(&self, place: Scope, from: Option<DylibId>, asked_by: Option<DylibId>) -> (String, Option<String>) {
        let state = self.lock();
        let name = |dylib: Option<DylibId>| dylib.map(|dylib| state.name(dylib).to_owned());
        match place {
            Scope::Handle(_) => {
                (format!("JITDylib {} or what it links against", name(from).unwrap_or_default()), name(asked_by))
            }
            Scope::Default(_) => ("the program or what it links against".to_owned(), name(from)),
            Scope::Next(_) => ("what follows the dylib that asks".to_owned(), name(from)),
        }
    }

    /// The dylib whose code this thread is running.
    pub(crate) fn running(&self) -> Option<DylibId> {
        let (session, dylib) = context::running()?;
        dylib.filter(|_| std::ptr::eq(&*session, self))
    }
}

/// What lies at `address`, in whichever session.
pub fn dladdr(address: u64) -> Option<AddressInfo> {
    let image = image::at(address)?;
    let symbol = image.symbol(address).map(|symbol| (symbol.name.to_string_lossy().into_owned(), symbol.address));
    Some(AddressInfo { dylib: image.dylib, name: image.name.to_string_lossy().into_owned(), base: image.base, symbol })
}

/// The text of this thread's last error, once; then `None` until the next one (rule 17).
pub fn dlerror() -> Option<String> {
    context::take_error()
}

/// Every failing call leaves its text for `dlerror`; success leaves it alone.
pub(crate) fn noted<T>(result: Result<T, DlError>) -> Result<T, DlError> {
    if let Err(error) = &result {
        context::set_error(&error.to_string());
    }
    result
}

/// Every open dylib of every session.
static HANDLES: Mutex<BTreeMap<Handle, (Weak<Session>, DylibId)>> = Mutex::new(BTreeMap::new());

pub(crate) fn new_handle(session: &Arc<Session>, dylib: DylibId) -> Handle {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    // A controller that goes on with another process may still hold handles of this one, which must mean nothing there.
    let process = u64::from(std::process::id()) << 24;
    let handle = Handle(HANDLE_MARK | (process + NEXT.fetch_add(1, Ordering::Relaxed)));
    HANDLES.lock().insert(handle, (Arc::downgrade(session), dylib));
    handle
}

pub(crate) fn forget_handle(handle: Handle) {
    HANDLES.lock().remove(&handle);
    recent::turn();
}

pub(crate) fn forget_handles(session: &Weak<Session>) {
    HANDLES.lock().retain(|_, (owner, _)| !owner.ptr_eq(session));
    recent::turn();
}

/// The session that gave `handle` out, and the dylib that it stands for.
pub(crate) fn who_has(handle: Handle) -> Option<(Arc<Session>, DylibId)> {
    let handles = HANDLES.lock();
    let (session, dylib) = handles.get(&handle)?;
    Some((session.upgrade()?, *dylib))
}
