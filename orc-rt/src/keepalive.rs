//! Nobody frees code that a thread is running.
//!
//! Entering JIT'd code takes a [`Keepalive`]; what is unloaded meanwhile is parked until the last token of its dylibs is dropped: its
//! finalizers have run, its memory stays for as long as somebody is inside. Whoever closes may have it otherwise ([`Teardown`]). A token may be for one
//! image of a dylib: then other images of it can be removed meanwhile, and the dylib cannot.

use crate::context;
use crate::image::ImageId;
use crate::sync::{Arc, Condvar, Mutex, MutexGuard};
use crate::waits::{Activity, Holder, MOST_HOLDERS, milliseconds, thread_name};
use dylib_graph::{DylibId, VisitorId};
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

/// The rest of an unload, which waits for the last one inside.
type Rest = Box<dyn FnOnce() + Send>;

/// Who is inside which dylib, and what waits for them.
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// By dylib and number.
    inside: BTreeMap<(DylibId, u64), Token>,
    next: u64,
    /// Batches that are unloaded but not free, because somebody is inside.
    parked: Vec<Parked>,
    /// Dylibs of batches that the last one inside is giving back now.
    leaving: Vec<DylibId>,
    /// A thread tells when that lasts.
    watched: bool,
    closed: bool,
}

/// Somebody is inside.
#[derive(Debug, Clone, Copy)]
struct Token {
    /// Only this of the dylib.
    image: Option<ImageId>,
    visitor: VisitorId,
    why: Activity,
    since: Instant,
}

/// An unload or a removal that is not through.
struct Parked {
    dylibs: Vec<DylibId>,
    /// Only these go of the dylibs.
    images: Option<Vec<(DylibId, ImageId)>>,
    rest: Rest,
    by: VisitorId,
    since: Instant,
    number: u64,
}

/// What somebody who tells of waits needs to know of a [`Parked`].
#[derive(Debug, Clone)]
pub(crate) struct ParkedNow {
    pub(crate) dylibs: Vec<DylibId>,
    pub(crate) by: VisitorId,
    pub(crate) since: Instant,
    pub(crate) number: u64,
}

/// Where the rest of a dylib's unload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rests {
    /// Not here: it waits for nobody, or there is none.
    No,
    /// It waits for so many who are inside.
    Waits(usize),
    /// The last one inside does it.
    Runs,
}

/// A thread is inside a dylib, or about to enter: its memory stays.
#[must_use = "the code may be freed as soon as the token is dropped"]
pub struct Keepalive {
    gate: Arc<Gate>,
    dylib: DylibId,
    number: u64,
}

/// What teardown does when somebody is still inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Teardown {
    /// Run handlers and finalizers all the same; only the memory waits, until the last one has left.
    #[default]
    Park,
    /// Fail and say who. Nothing has changed then.
    Refuse,
    /// Wait this long, then fail.
    Wait(Duration),
}

/// Somebody is inside JIT'd code that was to be torn down.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{count} calls are still inside {dylib}: wait for them to return, then shut down")]
pub struct StillInside {
    /// One of the dylibs concerned.
    pub dylib: DylibId,
    /// How many tokens are held in all.
    pub count: usize,
}

impl Gate {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), changed: Condvar::new() })
    }

    /// Takes a token for this thread, for a dylib or for one image of it; `None` once torn down.
    pub(crate) fn enter(self: &Arc<Self>, dylib: DylibId, image: Option<ImageId>, why: Activity) -> Option<Keepalive> {
        let token = Token { image, visitor: context::visitor(), why, since: Instant::now() };
        let mut state = self.state.lock();
        if state.closed {
            return None;
        }
        state.next += 1;
        let number = state.next;
        state.inside.insert((dylib, number), token);
        Some(Keepalive { gate: Arc::clone(self), dylib, number })
    }

    /// Whether it was torn down.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Does `rest` now, or when the last token of `batch` is dropped, on the thread that drops it. Says whether somebody has to tell when that
    /// lasts ([`watch`](Self::watch)).
    pub(crate) fn when_nobody_is_inside(
        &self,
        batch: Vec<DylibId>,
        watch: bool,
        rest: impl FnOnce() + Send + 'static,
    ) -> bool {
        self.when_free(batch, None, watch, Box::new(rest))
    }

    /// As [`when_nobody_is_inside`](Self::when_nobody_is_inside), for some images of dylibs.
    pub(crate) fn when_nobody_is_inside_of(
        &self,
        images: Vec<(DylibId, ImageId)>,
        watch: bool,
        rest: impl FnOnce() + Send + 'static,
    ) -> bool {
        let mut dylibs: Vec<_> = images.iter().map(|(dylib, _)| *dylib).collect();
        dylibs.sort_unstable();
        dylibs.dedup();
        self.when_free(dylibs, Some(images), watch, Box::new(rest))
    }

    fn when_free(
        &self,
        dylibs: Vec<DylibId>,
        images: Option<Vec<(DylibId, ImageId)>>,
        watch: bool,
        rest: Rest,
    ) -> bool {
        let (by, since) = (context::visitor(), Instant::now());
        let mut state = self.state.lock();
        let number = state.next + 1;
        let parked = Parked { dylibs, images, rest, by, since, number };
        if state.holds(&parked) {
            state.next = number;
            state.parked.push(parked);
            return watch && !std::mem::replace(&mut state.watched, true);
        }
        drop(state);
        (parked.rest)();
        false
    }

    /// Whether the unload of `dylib` waits for somebody inside.
    pub(crate) fn unloading(&self, dylib: DylibId) -> Rests {
        let state = self.state.lock();
        match state.parked.iter().find(|parked| parked.images.is_none() && parked.dylibs.contains(&dylib)) {
            Some(parked) => Rests::Waits(parked.dylibs.iter().map(|&dylib| state.tokens(dylib).count()).sum()),
            None if state.leaving.contains(&dylib) => Rests::Runs,
            None => Rests::No,
        }
    }

    /// Who is inside these dylibs: at most [`MOST_HOLDERS`] of them, and how many in all. What this thread does at its own end does not count
    /// when it is the one that closes: its destructors of thread-local objects run first.
    pub(crate) fn who(&self, dylibs: &[DylibId], closing: bool) -> (Vec<(DylibId, VisitorId, Holder)>, usize) {
        let me = context::visitor();
        let state = self.state.lock();
        let counts = |token: &Token| !(closing && token.visitor == me && token.why == Activity::HasThreadLocals);
        let tokens = || dylibs.iter().flat_map(|&dylib| state.tokens(dylib).map(move |token| (dylib, *token)));
        let count = tokens().filter(|(_, token)| counts(token)).count();
        let some: Vec<_> = tokens().filter(|(_, token)| counts(token)).take(MOST_HOLDERS).collect();
        drop(state);
        let holder = |(dylib, token): (DylibId, Token)| {
            let Token { visitor, why, since, .. } = token;
            let (thread, milliseconds) = (thread_name(visitor), milliseconds(since));
            (dylib, visitor, Holder { thread, activity: why, milliseconds, ..Holder::default() })
        };
        (some.into_iter().map(holder).collect(), count)
    }

    /// Lets nobody in any more, once nobody is inside (unless that does not matter). `wait` is called with how long to wait at most while
    /// somebody is, with no lock held.
    pub(crate) fn tear_down(&self, how: Teardown, mut wait: impl FnMut(Duration)) -> Result<(), StillInside> {
        let deadline = deadline(how);
        loop {
            let mut state = self.state.lock();
            let first = state.inside.keys().next().copied().filter(|_| how != Teardown::Park);
            let Some((dylib, _)) = first else {
                state.closed = true;
                return Ok(());
            };
            let count = state.inside.len();
            let me = context::visitor();
            let own = state.inside.values().any(|token| token.visitor == me);
            drop(state);
            let left = left_until(deadline);
            // This thread cannot leave while it waits.
            if left.is_zero() || own {
                return Err(StillInside { dylib, count });
            }
            wait(left);
        }
    }

    /// Waits until somebody leaves, at most this long, if `still` says that there is somebody to wait for.
    pub(crate) fn wait_while(&self, at_most: Duration, dylibs: Option<&[DylibId]>) {
        let state = self.state.lock();
        let somebody = dylibs.map_or(!state.inside.is_empty(), |all| all.iter().any(|&each| state.is_inside(each)));
        if somebody {
            drop(self.changed.wait_timeout(state, at_most));
        }
    }

    /// Waits at most this long, then says what is parked; `None` when nothing is: then nobody watches any more.
    pub(crate) fn watch(&self, at_most: Duration) -> Option<Vec<ParkedNow>> {
        let mut state = self.state.lock();
        let until = Instant::now() + at_most;
        while !state.parked.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.changed.wait_timeout(state, left);
        }
        state.watched = !state.parked.is_empty();
        let now = |parked: &Parked| {
            let Parked { dylibs, by, since, number, .. } = parked;
            ParkedNow { dylibs: dylibs.clone(), by: *by, since: *since, number: *number }
        };
        state.watched.then(|| state.parked.iter().map(now).collect())
    }

    fn leave(&self, dylib: DylibId, number: u64) {
        let mut state = self.state.lock();
        state.inside.remove(&(dylib, number));
        let free = take_free(&mut state);
        drop(state);
        self.changed.notify_all();
        for Parked { dylibs, images, rest, .. } in free {
            rest();
            if images.is_none() {
                self.state.lock().leaving.retain(|dylib| !dylibs.contains(dylib));
            }
        }
    }

    /// Tokens held per dylib, and dylibs whose memory waits for them.
    pub(crate) fn held(&self) -> (Vec<(DylibId, usize)>, Vec<DylibId>) {
        let state = self.state.lock();
        let mut inside: Vec<(DylibId, usize)> = Vec::new();
        for &(dylib, _) in state.inside.keys() {
            match inside.last_mut() {
                Some((last, count)) if *last == dylib => *count += 1,
                _ => inside.push((dylib, 1)),
            }
        }
        (inside, state.parked.iter().flat_map(|parked| &parked.dylibs).copied().collect())
    }
}

impl State {
    fn tokens(&self, dylib: DylibId) -> impl Iterator<Item = &Token> {
        self.inside.range((dylib, 0)..=(dylib, u64::MAX)).map(|(_, token)| token)
    }

    fn is_inside(&self, dylib: DylibId) -> bool {
        self.tokens(dylib).next().is_some()
    }

    /// Whether somebody is inside of what is to go.
    fn holds(&self, parked: &Parked) -> bool {
        match &parked.images {
            None => parked.dylibs.iter().any(|&dylib| self.is_inside(dylib)),
            Some(images) => images.iter().any(|&(dylib, image)| {
                self.tokens(dylib).any(|token| token.image.is_none_or(|inside| inside == image))
            }),
        }
    }
}

/// Until when somebody who closes waits.
pub(crate) fn deadline(how: Teardown) -> Option<Instant> {
    match how {
        Teardown::Park | Teardown::Refuse => None,
        // A time that no clock has is no limit that matters.
        Teardown::Wait(at_most) => {
            Some(Instant::now().checked_add(at_most).unwrap_or_else(|| Instant::now() + Duration::from_secs(1 << 32)))
        }
    }
}

pub(crate) fn left_until(deadline: Option<Instant>) -> Duration {
    deadline.map_or(Duration::ZERO, |deadline| deadline.saturating_duration_since(Instant::now()))
}

fn take_free(state: &mut MutexGuard<'_, State>) -> Vec<Parked> {
    let parked = std::mem::take(&mut state.parked);
    let (still, free): (_, Vec<Parked>) = parked.into_iter().partition(|parked| state.holds(parked));
    state.parked = still;
    let unloaded = free.iter().filter(|parked| parked.images.is_none()).flat_map(|parked| &parked.dylibs);
    state.leaving.extend(unloaded);
    free
}

impl Keepalive {
    /// The dylib that stays.
    pub fn dylib(&self) -> DylibId {
        self.dylib
    }
}

impl Drop for Keepalive {
    fn drop(&mut self) {
        self.gate.leave(self.dylib, self.number);
    }
}

impl fmt::Debug for Keepalive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keepalive").field(&self.dylib).finish()
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("held", &self.held()).finish_non_exhaustive()
    }
}

#[cfg(not(shuttle))]
#[cfg(test)]
mod tests {
    use super::{Gate, ImageId, Keepalive, Rests, Teardown};
    use crate::sync::{Arc, Mutex};
    use crate::waits::Activity;
    use dylib_graph::DylibId;
    use std::time::Duration;

    fn dylib(number: u32) -> DylibId {
        DylibId::new(number).expect("not zero")
    }

    fn enter(gate: &Arc<Gate>, number: u32) -> Option<Keepalive> {
        gate.enter(dylib(number), None, Activity::Calls)
    }

    fn tear_down(gate: &Gate, how: Teardown) -> Result<(), super::StillInside> {
        gate.tear_down(how, |left| gate.wait_while(left, None))
    }

    #[test]
    fn memory_waits_for_the_last_one_inside() {
        let gate = Gate::new();
        let released = Arc::new(Mutex::new(Vec::new()));
        let release = |batch: Vec<DylibId>| {
            let log = Arc::clone(&released);
            gate.when_nobody_is_inside(batch.clone(), true, move || log.lock().push(batch))
        };
        let (first, second) = (enter(&gate, 1).unwrap(), enter(&gate, 1).unwrap());
        assert!(release(vec![dylib(1), dylib(2)]), "somebody has to watch");
        assert!(!release(vec![dylib(3)]));
        assert_eq!(*released.lock(), [[dylib(3)]]);
        assert_eq!((gate.unloading(dylib(2)), gate.unloading(dylib(3))), (Rests::Waits(2), Rests::No));
        drop(first);
        assert_eq!(gate.held(), (vec![(dylib(1), 1)], vec![dylib(1), dylib(2)]));
        drop(second);
        assert_eq!(*released.lock(), [vec![dylib(3)], vec![dylib(1), dylib(2)]]);
    }

    #[test]
    fn an_image_waits_for_those_in_it_and_in_the_whole_dylib() {
        let gate = Gate::new();
        let released = Arc::new(Mutex::new(Vec::new()));
        let release = |image: u64| {
            let log = Arc::clone(&released);
            gate.when_nobody_is_inside_of(vec![(dylib(1), ImageId(image))], false, move || {
                log.lock().push(image);
            });
        };
        let first = gate.enter(dylib(1), Some(ImageId(1)), Activity::Calls).unwrap();
        release(1);
        release(2);
        assert_eq!(*released.lock(), [2]);
        let whole = enter(&gate, 1).unwrap();
        release(3);
        drop(first);
        assert_eq!(*released.lock(), [2]);
        assert_eq!(gate.unloading(dylib(1)), Rests::No, "the dylib itself stays");
        drop(whole);
        assert_eq!(*released.lock(), [2, 1, 3]);
    }

    #[test]
    fn teardown_is_refused_or_waits() {
        let gate = Gate::new();
        let token = enter(&gate, 4).unwrap();
        let refused = tear_down(&gate, Teardown::Refuse).unwrap_err();
        assert_eq!((refused.dylib, refused.count), (dylib(4), 1));
        let hour = Teardown::Wait(Duration::from_secs(3600));
        assert!(tear_down(&gate, hour).is_err(), "a thread does not wait for itself");
        drop(token);
        let inside = Arc::clone(&gate);
        let (entered, is_inside) = std::sync::mpsc::channel();
        let leaving = std::thread::spawn(move || {
            let token = enter(&inside, 4);
            entered.send(()).unwrap();
            std::thread::sleep(Duration::from_millis(20));
            drop(token);
        });
        is_inside.recv().unwrap();
        assert!(tear_down(&gate, Teardown::Wait(Duration::from_millis(1))).is_err());
        tear_down(&gate, Teardown::Wait(Duration::from_secs(60))).unwrap();
        leaving.join().unwrap();
        assert!(enter(&gate, 4).is_none());
    }
}
