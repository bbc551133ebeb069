//! LLVM's controller as a client: what `llvm-jitlink -oop-executor` and others of LLVM's ORC expect of their executor.
//!
//! You give a [`Session`]; you get [`Services`]: names for the Setup, and a [`Caller`] that answers the controller's calls down. The names and messages are
//! those of LLVM 19's `SimpleRemoteEPC`. There a tag is the address of a wrapper function; only two kinds are called: services of this module, and code
//! that this controller has made final in this session. Every other tag is unknown.
//!
//! ```
//! use dispatch::{Caller, Registry, Setup, Tag, packed};
//! use orc_rt::llvm::Services;
//! use orc_rt::{Config, Session};
//! use std::sync::Arc;
//!
//! // SAFETY: LLVM's controller sends no plans.
//! let session = unsafe { Session::new(Config::new(Arc::new(Registry::new()))) };
//! let services = Services::new(&session);
//! let setup = Setup { symbols: services.symbols(), map: services.map(), ..Setup::default() };
//!
//! // What the controller does first: it reserves memory.
//! let reserve = Tag(setup.symbol("__llvm_orc_SimpleExecutorMemoryManager_reserve_wrapper").unwrap());
//! let instance = setup.symbol("__llvm_orc_SimpleExecutorMemoryManager_Instance").unwrap();
//! let address: Result<u64, String> = dispatch::call_typed(&*services, reserve, &(instance, 4096u64))?;
//! assert_eq!(address? % 4096, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Differences from LLVM's own executor, all on the strict side: no page is writable and executable; memory is written only where this controller has
//! reserved it; memory is not given back while a call is inside of it; an exception crosses linked code whose unwind table is registered. Errors out of
//! band lose their text on LLVM's wire, so they are also told to `tracing`.
//!
//! Deliberately absent: the transport, and a say in which calls run beside each other.

mod actions;
mod debugger;
mod frames;
mod libraries;
mod memory;
mod messages;
mod names;
mod process;
mod programs;
mod reservation;
mod services;
mod shared;

use crate::session::Session;
use crate::sync::Arc;
use dispatch::{CallError, Caller, Reply, Tag};
use std::fmt;

/// What LLVM's controller can ask of this session; see the [module](self).
pub struct Services {
    session: Arc<Session>,
    libraries: libraries::Libraries,
    tables: frames::Tables,
    objects: debugger::Objects,
    /// Last, so that tables and objects in it are withdrawn first.
    memory: memory::Memory,
}

impl Services {
    /// The services of a session whose controller is LLVM's. One for each session.
    pub fn new(session: &Arc<Session>) -> Arc<Self> {
        Arc::new_cyclic(|this| {
            names::announce(session.dispatch_context(), this);
            Self {
                session: Arc::clone(session),
                libraries: libraries::Libraries::default(),
                tables: frames::Tables::default(),
                objects: debugger::Objects::default(),
                memory: memory::Memory::new(),
            }
        })
    }

    /// Names and addresses for [`Setup::symbols`](dispatch::Setup::symbols), all that LLVM 19 asks for.
    pub fn symbols(&self) -> Vec<(String, u64)> {
        names::symbols(self.session.dispatch_context())
    }

    /// Entries for [`Setup::map`](dispatch::Setup::map): none, since LLVM 19's executor has none either.
    pub fn map(&self) -> Vec<(String, Vec<u8>)> {
        Vec::new()
    }

    /// Undoes what the controller has not undone itself when its connection ends: deallocation actions run, the latest first. The memory stays until the
    /// services are dropped, for other threads may still run code in it.
    ///
    /// # Errors
    /// A call is still inside of linked code: nothing is undone, and to end the process is all that is left. Or actions failed, with what they say.
    pub fn close(&self) -> Result<(), String> {
        programs::on_a_thread(|| actions::dealloc(self, self.memory.all_actions()?))?
    }
}

impl Caller for Services {
    fn call(&self, tag: Tag, args: &[u8]) -> Result<Reply, CallError> {
        if !Self::runs_code(tag.0) {
            return self.invoke(tag.0, args);
        }
        programs::on_a_thread(|| self.invoke(tag.0, args)).unwrap_or_else(|error| Ok(Reply::error(error)))
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        names::withdraw(self.session.dispatch_context());
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").field("session", &self.session).finish_non_exhaustive()
    }
}
