//! What the loader of LLVM's executor knows: dylibs, their code, who has them open.
//!
//! You give plans; you get what `dylib_graph` makes of them, under one lock that wakes those who wait for others.

use crate::executor::ExecutorError;
use dylib_graph::{DylibId, LoadError, Loader, Run, Status};
use orc_rt::service::{InitArray, Plan, PlanDylib};
use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, MutexGuard, PoisonError};

type Result<T> = std::result::Result<T, ExecutorError>;

/// Everything that changes while dylibs open and close.
#[derive(Default)]
pub(super) struct State {
    pub(super) loader: Loader,
    /// By dylib index.
    pub(super) dylibs: Vec<Known>,
    pub(super) program: Option<DylibId>,
    /// The latest plan's, for link orders.
    pub(super) epoch: u64,
    /// An open failed, and something that was linked for it could not go back yet.
    pub(super) may_be_stranded: bool,
    pub(super) handles: HashMap<u64, DylibId>,
    pub(super) last_handle: u64,
}

/// What is known of a dylib beyond the loader's state.
#[derive(Default)]
pub(super) struct Known {
    pub(super) name: String,
    pub(super) dso_handle: u64,
    pub(super) handle: Option<u64>,
    pub(super) nodelete: bool,
    /// A plan has named it since it was last unloaded.
    pub(super) linked: bool,
    /// Not run yet.
    pub(super) preinit: Vec<InitArray>,
    /// Code in the order it came, initializers and finalizers; the loader counts the batches.
    pub(super) batches: Vec<(Vec<InitArray>, Vec<InitArray>)>,
}

/// The locked state; wakes those who wait when the loader changed.
pub(super) struct Locked<'a> {
    guard: Option<MutexGuard<'a, State>>,
    changed: &'a Condvar,
    before: u64,
}

impl<'a> Locked<'a> {
    /// Of a state that has just been locked.
    pub(super) fn new(guard: MutexGuard<'a, State>, changed: &'a Condvar) -> Self {
        let before = guard.loader.changes();
        Self { guard: Some(guard), changed, before }
    }

    /// Waits until the loader changes.
    pub(super) fn wait(&mut self) {
        let seen = self.loader.changes();
        if seen != std::mem::replace(&mut self.before, seen) {
            self.changed.notify_all();
        }
        if let Some(guard) = self.guard.take() {
            let same = |state: &mut State| state.loader.changes() == seen;
            self.guard = Some(self.changed.wait_while(guard, same).unwrap_or_else(PoisonError::into_inner));
        }
        self.before = self.loader.changes();
    }
}

impl Deref for Locked<'_> {
    type Target = State;
    fn deref(&self) -> &State {
        self.guard.as_ref().expect("only without a guard inside of wait")
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        self.guard.as_mut().expect("only without a guard inside of wait")
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if self.loader.changes() != self.before {
            self.changed.notify_all();
        }
    }
}

impl State {
    pub(super) fn name(&self, dylib: DylibId) -> &str {
        self.dylibs.get(dylib.index()).map_or("?", |known| &known.name)
    }

    /// A loader's error with names in place of numbers.
    pub(super) fn explain(&self, error: &LoadError) -> ExecutorError {
        ExecutorError(match error {
            LoadError::NotOpen { dylib } => {
                format!("JITDylib {} is not open: it was closed as often as it was opened", self.name(*dylib))
            }
            LoadError::Poisoned { dylib, initializer } => {
                format!("JITDylib {} cannot be used: {initializer}", self.name(*dylib))
            }
            LoadError::Unloading { dylib, .. } | LoadError::UnloadCycle { dylib } => {
                format!("JITDylib {} is being closed", self.name(*dylib))
            }
            LoadError::InUse { dylib } => format!("JITDylib {} is still in use", self.name(*dylib)),
            LoadError::ShutDown => "the session is being shut down".into(),
            other => format!("the controller sent a plan that makes no sense: {other}"),
        })
    }

    /// Notes dylibs, link orders and arrays of a plan: all of it or, when it makes no sense, nothing.
    pub(super) fn merge(&mut self, plan: Plan) -> Result<DylibId> {
        let bad = |reason: String| ExecutorError(format!("the controller sent a plan that makes no sense: {reason}"));
        let id = |number: u32| DylibId::new(number).ok_or_else(|| bad("a dylib with number 0".into()));
        let root = id(plan.root)?;
        let ids = plan.dylibs.iter().map(|dylib| id(dylib.id)).collect::<Result<Vec<_>>>()?;
        for &number in plan.dylibs.iter().flat_map(|dylib| &dylib.links) {
            self.loader.ensure(id(number)?).map_err(|error| bad(error.to_string()))?;
        }
        for own in ids.iter().chain([&root]) {
            self.loader.ensure(*own).map_err(|error| bad(error.to_string()))?;
        }
        let bound = self.loader.graph().id_bound();
        if self.dylibs.len() < bound {
            self.dylibs.resize_with(bound, Known::default);
        }
        let newest = plan.epoch >= self.epoch;
        self.epoch = self.epoch.max(plan.epoch);
        for (dylib, own) in plan.dylibs.into_iter().zip(ids) {
            let PlanDylib {
                name,
                links,
                dso_handle,
                new_initializers,
                new_finalizers,
                mut new_preinit,
                is_program,
                ..
            } = dylib;
            if newest {
                let links: Vec<DylibId> = links.into_iter().filter_map(DylibId::new).collect();
                self.loader.set_link_order(own, &links).map_err(|error| bad(error.to_string()))?;
            }
            if is_program {
                self.program = Some(own);
            }
            let known = &mut self.dylibs[own.index()];
            known.name = name;
            known.dso_handle = dso_handle;
            known.linked = true;
            known.preinit.append(&mut new_preinit);
            if !new_initializers.is_empty() || !new_finalizers.is_empty() {
                known.batches.push((new_initializers, new_finalizers));
                self.loader.add_code(own).map_err(|error| bad(error.to_string()))?;
            }
        }
        Ok(root)
    }

    /// Dylibs that were linked for an open which failed before they ran, and that nothing loaded reaches: they are as if never linked
    /// (rule 14).
    pub(super) fn take_stranded(&mut self) -> Vec<DylibId> {
        let Self { loader, dylibs, may_be_stranded, .. } = self;
        let graph = loader.graph();
        let loaded = |dylib: &DylibId| loader.status(*dylib) != Status::Unloaded;
        let mut reached = vec![false; graph.id_bound()];
        let mut next: Vec<DylibId> = graph.dylibs().filter(loaded).collect();
        while let Some(dylib) = next.pop() {
            if !std::mem::replace(&mut reached[dylib.index()], true) {
                next.extend(graph.link_order(dylib));
            }
        }
        *may_be_stranded = false;
        let mut stranded = Vec::new();
        for dylib in graph.dylibs().filter(|dylib| !loaded(dylib)) {
            let Some(known) = dylibs.get_mut(dylib.index()).filter(|known| known.linked) else { continue };
            if reached[dylib.index()] {
                *may_be_stranded = true;
                continue;
            }
            known.linked = false;
            known.preinit.clear();
            // The loader has counted the batches, so they stay as empty ones.
            known.batches.iter_mut().for_each(|batch| *batch = Default::default());
            stranded.push(dylib);
        }
        stranded
    }

    /// The arrays of a run's batches.
    pub(super) fn batches(&self, run: Run) -> &[(Vec<InitArray>, Vec<InitArray>)] {
        let range = run.batches().start as usize..run.batches().end as usize;
        self.dylibs[run.dylib.index()].batches.get(range).unwrap_or_default()
    }

    pub(super) fn forget_handle(&mut self, dylib: DylibId) {
        if let Some(handle) = self.dylibs[dylib.index()].handle.take() {
            self.handles.remove(&handle);
        }
    }
}
