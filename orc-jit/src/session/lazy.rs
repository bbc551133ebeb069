//! Dylibs that are linked when they are used: what a call, a lookup or another batch needs of what waits.
//!
//! A stub that was called names its slot; the function is linked with what it needs and no more, under the session's lock like everything else, and
//! registered like any batch. No code runs meanwhile. What was bound when the dylib was opened stays bound so.

use super::{Shared, State};
use crate::batch::lazy::{LazyDylib, Needs, Step};
use crate::batch::{self, Made, View};
use crate::diagnose::demangle;
use crate::error::Error;
use crate::executor::Executor;
use dylib_graph::DylibId;
use jitlink::graph::{BlockId, SymbolId};
use jitlink::lazy::Portion;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// What a session links when it is used.
#[derive(Debug, Default)]
pub(crate) struct Lazy {
    pub(crate) dylibs: HashMap<DylibId, LazyDylib>,
    /// The functions of stubs, by the address of their slot.
    slots: HashMap<u64, (DylibId, SymbolId)>,
}

/// A function that cannot be linked now that it is called.
#[derive(Debug)]
#[non_exhaustive]
pub struct LazyFailure {
    /// The function, as its author wrote it.
    pub function: String,
    /// The object that defines it.
    pub object: String,
    /// The dylib.
    pub dylib: String,
    /// Why.
    pub error: Error,
}

impl fmt::Display for LazyFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { function, object, dylib, error } = self;
        write!(f, "{function}, defined in {object} of JITDylib {dylib}, cannot be linked: {error}")
    }
}

/// Who hears of functions that cannot be linked when they are called.
type Hook = Arc<dyn Fn(&LazyFailure) + Send + Sync>;

/// Holds a [`Hook`].
#[derive(Default)]
pub(crate) struct OnFailure(RwLock<Option<Hook>>);

impl fmt::Debug for OnFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnFailure").finish_non_exhaustive()
    }
}

impl<E: Executor> super::Session<E> {
    /// Has `hook` hear of functions that cannot be linked when they are first called ([`JitDylib::link_lazily`](crate::JitDylib::link_lazily)), before
    /// the process that called dies of it: the caller of a function expects no error. It runs on the thread that called, or on the one that serves it, and
    /// must not ask anything of the session. Another hook takes its place.
    pub fn on_lazy_failure(&self, hook: impl Fn(&LazyFailure) + Send + Sync + 'static) {
        *self.shared.on_lazy_failure.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(hook));
    }
}

impl Lazy {
    /// The dylib is not linked any more.
    pub(crate) fn forget(&mut self, dylib: DylibId) {
        if self.dylibs.remove(&dylib).is_some() {
            self.slots.retain(|_, (of, _)| *of != dylib);
        }
    }
}

impl<E: Executor> State<E> {
    /// Notes how far dylibs are linked now: what a batch made, once it is registered.
    pub(super) fn go_on(&mut self, dylib: DylibId, step: Step, shelf: &mut Vec<(DylibId, LazyDylib)>) {
        let lazy = match step {
            Step::First(progress, advance) => {
                let Some(at) = shelf.iter().position(|(of, _)| *of == dylib) else { return };
                let (_, mut new) = shelf.swap_remove(at);
                new.progress = *progress;
                (self.lazy.dylibs.entry(dylib).insert_entry(new).into_mut(), advance)
            }
            Step::Next(advance) => match self.lazy.dylibs.get_mut(&dylib) {
                Some(lazy) => (lazy, advance),
                None => return,
            },
        };
        let (lazy, advance) = lazy;
        let slots = lazy.progress.advance(advance);
        self.lazy.slots.extend(slots.into_iter().map(|(slot, function)| (slot, (dylib, function))));
    }
}

impl<E: Executor> Shared<E> {
    /// Links the function whose stub was called. Gives what its slot is to hold.
    pub(crate) fn link_called(&self, state: &mut State<E>, slot: u64) -> Result<Vec<(u64, u64)>, String> {
        let unknown = || "a stub was called of a dylib that is closed".to_owned();
        let (dylib, function) = *state.lazy.slots.get(&slot).ok_or_else(unknown)?;
        let body = |state: &State<E>| {
            let lazy = state.lazy.dylibs.get(&dylib)?;
            lazy.waiting().body(&lazy.progress, function)
        };
        let mut linked = Vec::new();
        if body(state).is_none() {
            linked = self.link_more(state, dylib, &[function], &[]).map_err(|error| {
                let failure = state.failure(dylib, function, error);
                let hook = self.on_lazy_failure.0.read().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some(hook) = hook {
                    hook(&failure);
                }
                failure.to_string()
            })?;
        }
        let body = body(state).ok_or_else(unknown)?;
        let others = state.lazy.dylibs.get(&dylib).into_iter().flat_map(|lazy| lazy.progress.slots_of(&linked));
        Ok(std::iter::once((slot, body)).chain(others.filter(|(other, _)| *other != slot)).collect())
    }

    /// Links symbols of a dylib that waits, and makes others addressable: data by linking it, functions by a stub. Gives what is linked by that.
    fn link_more(
        &self,
        state: &mut State<E>,
        dylib: DylibId,
        wanted: &[SymbolId],
        offered: &[SymbolId],
    ) -> Result<Vec<BlockId>, Error> {
        self.link_portion(state, dylib, |lazy| Ok(lazy.waiting().portion(&lazy.progress, wanted, offered)?))
    }

    fn link_portion(
        &self,
        state: &mut State<E>,
        dylib: DylibId,
        portion: impl FnOnce(&LazyDylib) -> Result<Portion<'_>, Error>,
    ) -> Result<Vec<BlockId>, Error> {
        let Some(lazy) = state.lazy.dylibs.get(&dylib) else { return Ok(Vec::new()) };
        let portion = portion(lazy)?;
        if portion.plan.is_empty() {
            return Ok(Vec::new());
        }
        let linked = portion.plan.linked();
        let view = self.view(state, &[], None, None);
        let made: Made<E::Allocation> = batch::lazy::link_portion(&view, lazy.parked(), portion, &lazy.progress)?;
        self.commit(state, vec![made], None)?;
        Ok(linked)
    }

    /// Links what a batch said that it needs first.
    pub(super) fn link_needs(&self, state: &mut State<E>, needs: Needs) -> Result<(), Error> {
        for (dylib, symbols) in needs.symbols {
            self.link_more(state, dylib, &[], &symbols)?;
        }
        for dylib in needs.whole {
            self.link_rest(state, dylib)?;
        }
        Ok(())
    }

    /// Links everything of a dylib that waits.
    pub(super) fn link_rest(&self, state: &mut State<E>, dylib: DylibId) -> Result<(), Error> {
        self.link_portion(state, dylib, |lazy| Ok(lazy.waiting().rest(&lazy.progress)?))?;
        let Some(lazy) = state.lazy.dylibs.get_mut(&dylib) else { return Ok(()) };
        lazy.is_whole = true;
        let slots: Vec<(u64, u64)> = lazy.progress.slots().collect();
        self.executor.write_slots(&slots)?;
        Ok(())
    }

    /// Sees to it that `name` has an address if the first dylib of `order` that defines it is linked in part. With `sure` it ends where a dylib might
    /// define the name if it were asked to link more.
    pub(crate) fn link_named(
        &self,
        state: &mut State<E>,
        order: &[DylibId],
        name: &[u8],
        sure: bool,
    ) -> Result<(), Error> {
        if state.lazy.dylibs.is_empty() {
            return Ok(());
        }
        for dylib in order {
            let Some(part) = state.part(*dylib) else { continue };
            if part.exported(name).is_some() {
                return Ok(());
            }
            let lazy = state.lazy.dylibs.get(dylib);
            if let Some(id) = lazy.and_then(|lazy| lazy.waiting().defined(name, true)) {
                return self.link_more(state, *dylib, &[], &[id]).map(|_| ());
            }
            if sure && part.has_more() {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl<E: Executor> State<E> {
    /// Where an exported name of a dylib that is linked in part is, if that is known.
    pub(super) fn lazily_exported(&self, dylib: DylibId, name: &[u8]) -> Option<jitlink::Resolution> {
        self.lazy.dylibs.get(&dylib)?.find(name, true)
    }

    #[cold]
    fn failure(&self, dylib: DylibId, function: SymbolId, error: Error) -> LazyFailure {
        let name = self.part(dylib).map(|part| part.name.clone()).unwrap_or_default();
        let Some(lazy) = self.lazy.dylibs.get(&dylib) else {
            return LazyFailure { function: String::new(), object: String::new(), dylib: name, error };
        };
        let graph = lazy.waiting().graph();
        let symbol = graph.symbol(function);
        let (text, object) = (String::from_utf8_lossy(symbol.name), graph.object(symbol.object).name.clone());
        LazyFailure { function: demangle(&text).into_owned(), object, dylib: name, error }
    }
}

/// What every view of a session has.
impl<E: Executor> Shared<E> {
    pub(super) fn view<'a>(
        &'a self,
        state: &'a State<E>,
        reached: &'a [DylibId],
        index: Option<&'a batch::Definers>,
        only: Option<crate::unit::UnitKey>,
    ) -> View<'a, E> {
        View {
            executor: &self.executor,
            crew: &self.crew,
            graph: &state.graph,
            parts: &state.parts,
            host_symbols: self.options.host_symbols,
            map: self.options.map,
            keeps_debug: self.options.backtraces || state.keeps_debug,
            reached,
            index,
            program: state.program,
            only,
            global: &state.global,
            unique: &state.unique,
            // What a cache has was linked in the usual way.
            cache: self.options.cache.as_ref().filter(|_| self.options.links_as_usual()),
            options: &self.options,
            recording: None,
            lazy: &state.lazy.dylibs,
        }
    }
}
