//! Nobody frees code that a thread is running.
//!
//! Entering JIT'd code takes a [`Keepalive`]; what is unloaded meanwhile is parked until the last token of its dylibs is dropped. The
//! dylib that unloads does not wait: its finalizers have run, only its memory stays for as long as somebody is inside. A token may be for
//! one image of a dylib: then other images of it can be removed meanwhile, and the dylib cannot.

use crate::image::ImageId;
use crate::sync::{Arc, Condvar, Mutex, MutexGuard};
use dylib_graph::DylibId;
use std::collections::HashMap;
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
    /// Tokens per dylib; without an entry there are none.
    inside: HashMap<DylibId, Inside>,
    /// What is unloaded but not free, because somebody is inside.
    parked: Vec<(Parked, Rest)>,
    closed: bool,
}

/// The tokens of one dylib.
#[derive(Default)]
struct Inside {
    count: usize,
    /// How many of them are for all of it.
    whole: usize,
    /// The others, by image.
    images: HashMap<ImageId, usize>,
}

/// What waits until nobody is inside.
enum Parked {
    Dylibs(Vec<DylibId>),
    Images(Vec<(DylibId, ImageId)>),
}

impl Parked {
    fn is_free(&self, inside: &HashMap<DylibId, Inside>) -> bool {
        match self {
            Self::Dylibs(dylibs) => !dylibs.iter().any(|dylib| inside.contains_key(dylib)),
            Self::Images(images) => !images.iter().any(|(dylib, image)| {
                inside.get(dylib).is_some_and(|inside| inside.whole > 0 || inside.images.contains_key(image))
            }),
        }
    }

    /// The dylibs that are unloaded.
    fn dylibs(&self) -> &[DylibId] {
        match self {
            Self::Dylibs(dylibs) => dylibs,
            Self::Images(_) => &[],
        }
    }
}

/// A thread is inside a dylib, or about to enter: its memory stays.
#[must_use = "the code may be freed as soon as the token is dropped"]
pub struct Keepalive {
    gate: Arc<Gate>,
    dylib: DylibId,
    /// Only this of it.
    image: Option<ImageId>,
}

/// What teardown does when somebody is still inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Teardown {
    /// Fail and say who.
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

    /// Takes a token for a dylib, or for one image of it; `None` once torn down.
    pub(crate) fn enter(self: &Arc<Self>, dylib: DylibId, image: Option<ImageId>) -> Option<Keepalive> {
        let mut state = self.state.lock();
        if state.closed {
            return None;
        }
        let inside = state.inside.entry(dylib).or_default();
        inside.count += 1;
        match image {
            None => inside.whole += 1,
            Some(image) => *inside.images.entry(image).or_insert(0) += 1,
        }
        Some(Keepalive { gate: Arc::clone(self), dylib, image })
    }

    /// Whether it was torn down.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Does `rest` now, or when the last token of `batch` is dropped, on the thread that drops it.
    pub(crate) fn when_nobody_is_inside(&self, batch: Vec<DylibId>, rest: impl FnOnce() + Send + 'static) {
        self.when_free(Parked::Dylibs(batch), Box::new(rest));
    }

    /// As [`when_nobody_is_inside`](Self::when_nobody_is_inside), for some images of dylibs.
    pub(crate) fn when_nobody_is_inside_of(
        &self,
        images: Vec<(DylibId, ImageId)>,
        rest: impl FnOnce() + Send + 'static,
    ) {
        self.when_free(Parked::Images(images), Box::new(rest));
    }

    fn when_free(&self, what: Parked, rest: Rest) {
        let mut state = self.state.lock();
        if !what.is_free(&state.inside) {
            state.parked.push((what, rest));
            return;
        }
        drop(state);
        rest();
    }

    /// How many are inside `dylib` while its unload waits for them.
    pub(crate) fn parked_by(&self, dylib: DylibId) -> Option<usize> {
        let state = self.state.lock();
        let (batch, _) = state.parked.iter().find(|(batch, _)| batch.dylibs().contains(&dylib))?;
        Some(batch.dylibs().iter().filter_map(|dylib| state.inside.get(dylib)).map(|inside| inside.count).sum())
    }

    /// Lets nobody in any more, once nobody is inside.
    pub(crate) fn tear_down(&self, how: Teardown) -> Result<(), StillInside> {
        let deadline = match how {
            Teardown::Refuse => None,
            Teardown::Wait(at_most) => Some(Instant::now() + at_most),
        };
        let mut state = self.state.lock();
        while let Some((&dylib, _)) = state.inside.iter().next() {
            let left = deadline.map_or(Duration::ZERO, |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Err(StillInside { dylib, count: state.inside.values().map(|inside| inside.count).sum() });
            }
            state = self.changed.wait_timeout(state, left);
        }
        state.closed = true;
        Ok(())
    }

    fn leave(&self, dylib: DylibId, image: Option<ImageId>) {
        let mut state = self.state.lock();
        if let Some(inside) = state.inside.get_mut(&dylib) {
            inside.count -= 1;
            match image {
                None => inside.whole -= 1,
                Some(image) => {
                    if let Some(count) = inside.images.get_mut(&image) {
                        *count -= 1;
                        if *count == 0 {
                            inside.images.remove(&image);
                        }
                    }
                }
            }
            if inside.count == 0 {
                state.inside.remove(&dylib);
            }
        }
        let free = take_free(&mut state);
        drop(state);
        self.changed.notify_all();
        for rest in free {
            rest();
        }
    }

    /// Tokens held per dylib, and dylibs whose memory waits for them.
    pub(crate) fn held(&self) -> (Vec<(DylibId, usize)>, Vec<DylibId>) {
        let state = self.state.lock();
        let mut inside: Vec<_> = state.inside.iter().map(|(&dylib, inside)| (dylib, inside.count)).collect();
        inside.sort_unstable();
        (inside, state.parked.iter().flat_map(|(batch, _)| batch.dylibs()).copied().collect())
    }
}

fn take_free(state: &mut MutexGuard<'_, State>) -> Vec<Rest> {
    let State { inside, parked, .. } = &mut **state;
    parked.extract_if(.., |(what, _)| what.is_free(inside)).map(|(_, rest)| rest).collect()
}

impl Keepalive {
    /// The dylib that stays.
    pub fn dylib(&self) -> DylibId {
        self.dylib
    }
}

impl Drop for Keepalive {
    fn drop(&mut self) {
        self.gate.leave(self.dylib, self.image);
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

#[cfg(test)]
mod tests {
    use super::{Gate, ImageId, Teardown};
    use dylib_graph::DylibId;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    fn dylib(number: u32) -> DylibId {
        DylibId::new(number).expect("not zero")
    }

    #[test]
    fn memory_waits_for_the_last_one_inside() {
        let gate = Gate::new();
        let released = Arc::new(Mutex::new(Vec::new()));
        let release = |batch: Vec<DylibId>| {
            let log = Arc::clone(&released);
            gate.when_nobody_is_inside(batch.clone(), move || log.lock().unwrap().push(batch));
        };
        let (first, second) = (gate.enter(dylib(1), None).unwrap(), gate.enter(dylib(1), None).unwrap());
        release(vec![dylib(1), dylib(2)]);
        release(vec![dylib(3)]);
        assert_eq!(*released.lock().unwrap(), [[dylib(3)]]);
        assert_eq!((gate.parked_by(dylib(2)), gate.parked_by(dylib(3))), (Some(2), None));
        drop(first);
        assert_eq!(gate.held(), (vec![(dylib(1), 1)], vec![dylib(1), dylib(2)]));
        drop(second);
        assert_eq!(*released.lock().unwrap(), [vec![dylib(3)], vec![dylib(1), dylib(2)]]);
    }

    #[test]
    fn an_image_waits_for_those_inside_of_it_and_of_all_of_its_dylib() {
        let gate = Gate::new();
        let free = Arc::new(Mutex::new(Vec::new()));
        let release = |image: u64| {
            let log = Arc::clone(&free);
            gate.when_nobody_is_inside_of(vec![(dylib(1), ImageId(image))], move || log.lock().unwrap().push(image));
        };
        let first = gate.enter(dylib(1), Some(ImageId(1))).unwrap();
        release(1);
        release(2);
        assert_eq!(*free.lock().unwrap(), [2], "nobody is inside of the second");
        assert_eq!(gate.parked_by(dylib(1)), None, "the dylib stays");
        let whole = gate.enter(dylib(1), None).unwrap();
        release(3);
        drop(first);
        assert_eq!(*free.lock().unwrap(), [2]);
        drop(whole);
        assert_eq!(*free.lock().unwrap(), [2, 1, 3]);
        assert_eq!(gate.held(), (vec![], vec![]));
    }

    #[test]
    fn teardown_is_refused_or_waits() {
        let gate = Gate::new();
        let token = gate.enter(dylib(4), None).unwrap();
        let refused = gate.tear_down(Teardown::Refuse).unwrap_err();
        assert_eq!((refused.dylib, refused.count), (dylib(4), 1));
        assert!(gate.tear_down(Teardown::Wait(Duration::from_millis(5))).is_err());
        let leaving = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            drop(token);
        });
        gate.tear_down(Teardown::Wait(Duration::from_secs(60))).unwrap();
        leaving.join().unwrap();
        assert!(gate.enter(dylib(4), None).is_none());
    }
}
