//! Closing while threads are inside: whoever closes says whether to go ahead, to wait, or to be refused (rule 24).
//!
//! A thread is inside when it holds a [`Keepalive`](crate::Keepalive), runs `main`, was started with a function of the dylib, or has destructors of
//! thread-local objects of it. Not for threads that got there by other ways: nobody knows of them.

use crate::context;
use crate::dlfcn::{self, DlError, Handle, noted};
use crate::image::ImageId;
use crate::keepalive::{ParkedNow, Teardown, deadline, left_until};
use crate::loader::explain;
use crate::session::Session;
use crate::sync::Arc;
use crate::waits::{Awaited, Holder, WaitReport, milliseconds, thread_name};
use dylib_graph::{DylibId, Status, VisitorId};
use std::collections::BTreeSet;
use std::time::Duration;

/// A close that does not go ahead, for now.
struct Refused {
    /// What would go.
    dylibs: Vec<DylibId>,
    inside: Vec<(DylibId, VisitorId, Holder)>,
    count: usize,
}

impl Session {
    /// As [`dlclose`](Self::dlclose); `how` says what is to be done when it would unload a dylib that somebody is inside of. Somebody who enters while the
    /// close is under way keeps the memory, as with [`Teardown::Park`].
    ///
    /// # Errors
    /// As [`dlclose`](Self::dlclose); [`DlError::Inside`] when somebody is inside, and `how` says not to wait (longer), or it is this very thread.
    /// Nothing has changed then: the dylib counts as open as before. Sets this thread's `dlerror`.
    pub fn close_with(self: &Arc<Self>, handle: Handle, how: Teardown) -> Result<(), DlError> {
        noted(self.dylib_of(handle).and_then(|dylib| self.close_when_free(dylib, how)))
    }

    fn close_when_free(self: &Arc<Self>, dylib: DylibId, how: Teardown) -> Result<(), DlError> {
        let deadline = deadline(how);
        let mut wait = None;
        loop {
            let Some(Refused { dylibs, inside, count }) = self.try_close(dylib, how == Teardown::Park)? else {
                return Ok(());
            };
            let left = left_until(deadline);
            // This thread cannot leave while it waits.
            if left.is_zero() || inside.iter().any(|(_, visitor, _)| *visitor == context::visitor()) {
                let name = self.lock().name(dylib).to_owned();
                return Err(DlError::Inside { name, count, inside: self.with_names(inside) });
            }
            let wait = wait
                .get_or_insert_with(|| self.waits.begin(context::visitor(), Awaited::Inside, self.names_of(&dylibs)));
            self.gate.wait_while(left.min(wait.left()), Some(&dylibs));
            if wait.is_due() {
                wait.report(|_| self.who_is_inside(&dylibs).0);
            }
        }
    }

    /// Gives one open of `dylib` back, unless somebody is inside of what goes with it and that matters.
    fn try_close(self: &Arc<Self>, dylib: DylibId, whatever: bool) -> Result<Option<Refused>, DlError> {
        let mut state = self.lock();
        if state.dylibs[dylib.index()].nodelete && state.loader.count(dylib) == 1 {
            return Err(explain(&state, &dylib_graph::LoadError::NotOpen { dylib }));
        }
        let mut refused = None;
        let may = |dylibs: &[DylibId]| {
            let (inside, count) = if whatever { (Vec::new(), 0) } else { self.gate.who(dylibs, true) };
            refused = (count > 0).then(|| Refused { dylibs: dylibs.to_vec(), inside, count });
            count == 0
        };
        let begun = state.loader.begin_close_if(dylib, context::visitor(), may);
        let Some(close) = begun.map_err(|error| explain(&state, &error))? else { return Ok(refused) };
        // The handle that an initializer has of what is being opened is also that of who opens it.
        let opening = matches!(state.loader.status(dylib), Status::Pending | Status::Running(_));
        if state.loader.count(dylib) == 0
            && !opening
            && let Some(handle) = state.dylibs[dylib.index()].handle.take()
        {
            dlfcn::forget_handle(handle);
        }
        let close = self.take_on(close);
        drop(state);
        self.finish_close(close);
        Ok(None)
    }

    /// Gives one open of `dylib` back, whoever is inside.
    pub(crate) fn close(self: &Arc<Self>, dylib: DylibId) -> Result<(), DlError> {
        self.try_close(dylib, true).map(|_| ())
    }

    /// Does `rest` when nobody is inside `dylibs`, and has it told when that takes long.
    pub(crate) fn release_when_free(self: &Arc<Self>, dylibs: Vec<DylibId>, rest: impl FnOnce() + Send + 'static) {
        let every = self.waits.every();
        if self.gate.when_nobody_is_inside(dylibs, every.is_some(), rest) {
            self.watch_parked(every);
        }
    }

    /// As [`release_when_free`](Self::release_when_free), for some images of dylibs.
    pub(crate) fn release_images_when_free(
        self: &Arc<Self>,
        images: Vec<(DylibId, ImageId)>,
        rest: impl FnOnce() + Send + 'static,
    ) {
        let every = self.waits.every();
        if self.gate.when_nobody_is_inside_of(images, every.is_some(), rest) {
            self.watch_parked(every);
        }
    }

    fn watch_parked(self: &Arc<Self>, every: Option<Duration>) {
        let Some(every) = every else { return };
        let session = Arc::clone(self);
        let watch =
            std::thread::Builder::new().name("orc-rt-waits".to_owned()).spawn(move || session.tell_of_parked(every));
        if let Err(error) = watch {
            tracing::warn!(%error, "no thread to tell of memory that waits");
        }
    }

    /// Tells of memory that waits for those inside, until none does any more. What is parked keeps the session.
    fn tell_of_parked(&self, every: Duration) {
        let mut told: BTreeSet<u64> = BTreeSet::new();
        let mut before: Vec<ParkedNow> = Vec::new();
        loop {
            let now = self.gate.watch(every);
            let parked = now.as_deref().unwrap_or_default();
            for gone in before.iter().filter(|each| parked.iter().all(|other| other.number != each.number)) {
                if told.remove(&gone.number) {
                    self.waits.tell(&self.report_of(gone, true));
                }
            }
            for each in parked.iter().filter(|each| each.since.elapsed() >= every) {
                told.insert(each.number);
                self.waits.tell(&self.report_of(each, false));
            }
            match now {
                Some(now) => before = now,
                None => return,
            }
        }
    }

    fn report_of(&self, parked: &ParkedNow, over: bool) -> WaitReport {
        let ParkedNow { dylibs, by, since, number } = parked;
        WaitReport {
            // Numbers of tokens and of waits are two counts.
            wait: 1 << 63 | number,
            waiter: thread_name(*by),
            awaited: Awaited::Memory,
            dylibs: self.names_of(dylibs),
            milliseconds: milliseconds(*since),
            over,
            holders: if over { Vec::new() } else { self.who_is_inside(dylibs).0 },
        }
    }
}
