//! What threads do that others may wait for: the initializers and finalizers that run at this moment.
//!
//! You say that a run begins and get a guard, which notes each function that is called; whoever tells of waits asks here. Only runs that
//! have something to call are noted.

use crate::context;
use crate::session::{Session, State};
use crate::sync::Arc;
use crate::waits::{Activity, Holder, MOST_HOLDERS, Waits, milliseconds, thread_name};
use dylib_graph::{DylibId, VisitorId};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Initializers or finalizers that run.
#[derive(Debug)]
pub(crate) struct Doing {
    visitor: VisitorId,
    dylib: DylibId,
    what: Activity,
    since: Instant,
    /// The address of the function that is being called, 0 for none. For messages only.
    at: AtomicU64,
}

/// Noted for as long as it lives.
pub(crate) struct Noted<'a> {
    session: &'a Session,
    doing: Arc<Doing>,
}

impl Noted<'_> {
    /// This one is called next.
    pub(crate) fn at(&self, address: u64) {
        self.doing.at.store(address, Ordering::Relaxed);
    }
}

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        let mut state = self.session.lock();
        // Mostly the last: runs nest.
        if let Some(index) = state.doing.iter().rposition(|each| Arc::ptr_eq(each, &self.doing)) {
            state.doing.remove(index);
        }
    }
}

/// Who has a dylib, before its names are looked up, for which no lock may be held.
pub(crate) struct Unnamed {
    visitor: VisitorId,
    dylib: String,
    doing: Option<Arc<Doing>>,
}

impl Session {
    /// This thread begins to run functions of `dylib`.
    pub(crate) fn begin_doing(&self, dylib: DylibId, what: Activity) -> Noted<'_> {
        let (visitor, since) = (context::visitor(), Instant::now());
        let doing = Arc::new(Doing { visitor, dylib, what, since, at: AtomicU64::new(0) });
        self.lock().doing.push(Arc::clone(&doing));
        Noted { session: self, doing }
    }
}

impl State {
    /// Who has `dylib`, for which somebody waits; who has what that one waits for; and so on.
    pub(crate) fn chain(&self, dylib: DylibId) -> Vec<Unnamed> {
        let mut chain: Vec<Unnamed> = Vec::new();
        let mut next = Some(dylib);
        while let Some(dylib) = next.filter(|_| chain.len() < MOST_HOLDERS) {
            let held_by =
                self.loader.waits().find(|waiting| waiting.dylib == dylib).and_then(|waiting| waiting.held_by);
            let Some(by) = held_by.filter(|&by| chain.iter().all(|link| link.visitor != by)) else { break };
            let doing = self.doing.iter().rfind(|doing| doing.visitor == by);
            let dylib = doing.map_or(dylib, |doing| doing.dylib);
            chain.push(Unnamed { visitor: by, dylib: self.name(dylib).to_owned(), doing: doing.cloned() });
            next = self.loader.waits().find(|waiting| waiting.visitor == by).map(|waiting| waiting.dylib);
        }
        chain
    }
}

impl Unnamed {
    /// With the names of thread and function. The controller may be asked for the latter, so no lock may be held.
    pub(crate) fn named(self, waits: &Waits) -> Holder {
        let Self { visitor, dylib, doing } = self;
        let function = |doing: &Doing| {
            let address = Some(doing.at.load(Ordering::Relaxed)).filter(|&address| address != 0)?;
            let symbol = crate::image::at(address).and_then(|image| image.symbol(address));
            Some((address, symbol.map(|symbol| symbol.name.to_string_lossy().into_owned()).unwrap_or_default()))
        };
        Holder {
            thread: thread_name(visitor),
            activity: doing.as_ref().map_or(Activity::HasIt, |doing| doing.what),
            dylib,
            function: doing.as_deref().and_then(function),
            milliseconds: doing.as_ref().map_or(0, |doing| milliseconds(doing.since)),
            waits_for: waits.of(visitor),
        }
    }
}
