//! Trackers: inputs of a dylib that can go before it does.
//!
//! **You get** a [`Tracker`] from [`JitDylib::tracker`], **give** it objects, and they are part of the dylib, linked by themselves. Removing the
//! tracker takes everything back that they were: names, code, data, thread-local storage, unwind tables, what they have registered. Who is
//! bound to them is known: then the removal is refused with the list, or takes these along. **Not here:** addresses that a lookup
//! has handed out. Nobody knows where these are; whoever calls through one keeps the code with a token
//! ([`keepalive_at`](orc_rt::Session::keepalive_at)), or does not remove it.
//!
//! ```no_run
//! use orc_jit::{Removal, Session};
//!
//! # fn main() -> Result<(), orc_jit::Error> {
//! let session = Session::in_process()?;
//! let main = session.add_dylib("main")?;
//! main.add_object_file("app.o")?;
//! let plugin = main.tracker("plugin")?;
//! plugin.add_object_file("plugin.o")?;
//! let opened = session.open("main")?;
//! println!("{:#x}", opened.address("plugin_entry")?);
//! // "plugin.o of JITDylib main is used by ..." when something is bound to it; otherwise it is gone.
//! plugin.remove(Removal::Refuse)?;
//! # Ok(())
//! # }
//! ```

mod remove;
mod replace;

pub(crate) use remove::Leaving;
pub use replace::NewInputs;

use crate::diagnose::demangle;
use crate::dylib::JitDylib;
use crate::error::Error;
use crate::executor::{Executor, ExecutorError};
use crate::session::{Locked, Shared};
use crate::source::{Item, Source};
use crate::unit::{Role, TrackerId, Unit, UnitId, UnitKey};
use dylib_graph::DylibId;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Inputs of a dylib that can be removed without it. Dropping it leaves them in.
///
/// A tracker's inputs are linked together and apart from all others: one graph, one allocation, one image. The dylib's names are those of all its
/// inputs, hidden ones too, with the rules of one link (two strong definitions of a name are an error, weak ones yield). What differs:
/// `__start_X` and `__stop_X` bound the sections of one tracker, and `__dso_handle` is the tracker's own, so that exit handlers go with it.
#[derive(Debug)]
pub struct Tracker<E: Executor> {
    shared: Arc<Shared<E>>,
    dylib: DylibId,
    id: TrackerId,
    name: String,
}

/// What to do when something is bound to what is to be removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Removal {
    /// Nothing: the error lists who.
    Refuse,
    /// Remove that as well, and what is bound to it. What a dylib itself is made of cannot be removed by itself: then nothing is.
    Cascade,
}

/// Who is bound to what a tracker defines. Prints as `app.o (JITDylib app): bump(int), total`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dependent {
    /// The dylib.
    pub dylib: String,
    /// The tracker, if it is one's.
    pub tracker: Option<String>,
    /// The object that refers to it.
    pub object: String,
    /// The names that it refers to, as their authors wrote them.
    pub symbols: Vec<String>,
}

impl fmt::Display for Dependent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (JITDylib {}): {}", self.object, self.dylib, self.symbols.join(", "))
    }
}

/// What a session knows of a tracker.
#[derive(Debug)]
pub(crate) struct Tracked {
    pub(crate) dylib: DylibId,
    /// What its inputs are.
    pub(crate) unit: UnitId,
    /// Its stubs, if it can be redefined: those of its first definition, and of functions that came with later ones.
    pub(crate) stubs: Vec<UnitId>,
    /// Somebody is redefining it.
    pub(crate) busy: bool,
}

impl Tracked {
    /// Its units.
    pub(crate) fn keys(&self) -> impl Iterator<Item = UnitKey> + use<> {
        let dylib = self.dylib;
        let units: Vec<UnitId> = std::iter::once(self.unit).chain(self.stubs.iter().copied()).collect();
        units.into_iter().map(move |unit| UnitKey { dylib, unit })
    }
}

impl<E: Executor> JitDylib<E> {
    /// A group of inputs that can be removed again; `name` is what messages call it.
    ///
    /// # Errors
    /// When the dylib is gone.
    pub fn tracker(&self, name: impl Into<String>) -> Result<Tracker<E>, Error> {
        self.new_tracker(name.into(), false)
    }

    /// A tracker whose functions can be redefined while they are in use ([`Tracker::replace`]): others reach them through stubs, at the cost of
    /// a jump for each call. A pointer to such a function is its stub's address: equal for everybody, and the same after it was redefined.
    ///
    /// # Errors
    /// When the dylib is gone.
    pub fn redefinable(&self, name: impl Into<String>) -> Result<Tracker<E>, Error> {
        self.new_tracker(name.into(), true)
    }

    fn new_tracker(&self, name: String, redefinable: bool) -> Result<Tracker<E>, Error> {
        let mut state = self.shared.lock();
        let dylib = self.id();
        let unit = state.next_unit();
        let stubs = redefinable.then(|| state.next_unit());
        let id = TrackerId(unit.0);
        let units = &mut state.part_mut(dylib)?.units;
        let role = stubs.map_or(Role::Plain, Role::Behind);
        units.put(unit, Unit::new(name.clone(), id, role));
        if let Some(stubs) = stubs {
            units.put(stubs, Unit::new(name.clone(), id, Role::Stubs));
        }
        state.trackers.insert(id, Tracked { dylib, unit, stubs: stubs.into_iter().collect(), busy: false });
        drop(state);
        Ok(Tracker { shared: self.shared.clone(), dylib, id, name })
    }
}

impl<E: Executor> Tracker<E> {
    /// What messages call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds a relocatable object, to be linked whole, at the next open or update of the dylib.
    ///
    /// # Errors
    /// When the tracker was removed. The file is read when the dylib is opened.
    pub fn add_object_file(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.add(Item::Object(Source::File(path.as_ref().to_owned())))
    }

    /// Adds a relocatable object from memory; `name` is what messages call it.
    ///
    /// # Errors
    /// When the tracker was removed.
    pub fn add_object(&self, name: impl Into<String>, bytes: impl Into<Arc<[u8]>>) -> Result<(), Error> {
        self.add(Item::Object(Source::Memory { name: name.into(), bytes: bytes.into() }))
    }

    /// Defines `name` as an address of the executor.
    ///
    /// # Errors
    /// When the tracker was removed. A clash with another definition is told when the dylib is opened.
    pub fn define_absolute(&self, name: impl Into<String>, address: u64) -> Result<(), Error> {
        self.add(Item::Absolute { name: name.into(), address })
    }

    fn add(&self, item: Item) -> Result<(), Error> {
        let mut state = self.shared.lock();
        let unit = self.at_rest(&state)?.unit;
        let added = state.part_mut(self.dylib)?.units.add(unit, item);
        state.changed();
        if added { Ok(()) } else { Err(self.removed(&state)) }
    }

    /// Who is bound to what it defines, each object once. Trackers and dylibs that are not linked are bound to nothing.
    ///
    /// # Errors
    /// When the tracker was removed.
    pub fn dependents(&self) -> Result<Vec<Dependent>, Error> {
        let state = self.shared.lock();
        let own: Vec<UnitKey> = self.tracked(&state)?.keys().collect();
        let users = own.iter().flat_map(|key| state.ties.users_of(*key));
        Ok(state.in_words(users.filter(|(user, _)| !own.contains(user))))
    }

    /// Removes its inputs: from the dylib, so that the next open links without them, and, if they are linked, from the executor. There the
    /// destructors of thread-local objects (of this thread), exit handlers and finalizers of what goes run first, on this thread, in the
    /// reverse order of what completed; initializers that have not run never will. The memory goes back at once, or when the last one
    /// who is inside has left: holders of a [`Keepalive`](orc_rt::Keepalive), a `main` that runs there, threads that have
    /// destructors of its thread-local objects to run.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), orc_jit::Error> {
    /// # let session = orc_jit::Session::in_process()?;
    /// # let main = session.add_dylib("main")?;
    /// use orc_jit::{Error, Removal};
    ///
    /// let cell = main.tracker("cell 1")?;
    /// match cell.remove(Removal::Refuse) {
    ///     Err(Error::StillUsed { users, .. }) => println!("still used by {} objects", users.len()),
    ///     other => other?,
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// It was removed already; something is bound to it and stays ([`Error::StillUsed`]); its dylib is being opened or closed, be it by this
    /// thread; the executor cannot. Nothing has changed then.
    ///
    /// # Exceptions
    /// What a finalizer throws passes through here, as through a close; the rest is undone nevertheless.
    pub fn remove(&self, removal: Removal) -> Result<(), Error> {
        let going = {
            let mut state = self.shared.enter().ok_or_else(inside_resolver)?;
            self.at_rest(&state)?;
            state.take_out(self.id, removal)?
        };
        self.shared.finish_removal(going)
    }

    /// As [`Self::tracked`], unless somebody is redefining it.
    fn at_rest<'s>(&self, state: &'s Locked<'_, E>) -> Result<&'s Tracked, Error> {
        let tracked = self.tracked(state)?;
        if tracked.busy {
            let text = format!("tracker {} is being redefined: it can be changed when that is done", self.name);
            return Err(Error::Executor(ExecutorError(text)));
        }
        Ok(tracked)
    }

    fn tracked<'s>(&self, state: &'s Locked<'_, E>) -> Result<&'s Tracked, Error> {
        state.trackers.get(&self.id).ok_or_else(|| self.removed(state))
    }

    fn removed(&self, state: &Locked<'_, E>) -> Error {
        let dylib = state.part(self.dylib).map(|part| part.name.clone()).unwrap_or_default();
        Error::TrackerRemoved { name: self.name.clone(), dylib }
    }
}

impl<E: Executor> Clone for Tracker<E> {
    fn clone(&self) -> Self {
        let Self { shared, dylib, id, name } = self;
        Self { shared: shared.clone(), dylib: *dylib, id: *id, name: name.clone() }
    }
}

fn inside_resolver() -> Error {
    let text =
        "a resolver of an indirect function cannot remove or redefine anything: it runs while its code is being linked";
    Error::Executor(ExecutorError(text.into()))
}

/// A name as its author wrote it.
fn readable(name: &[u8]) -> String {
    demangle(&String::from_utf8_lossy(name)).into_owned()
}
